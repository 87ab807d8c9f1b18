#include "ngx_http_flux_conf_block.h"


/* Kafka's bound on a topic's name */
#define NGX_HTTP_FLUX_TOPIC_MAX  249


static char *ngx_http_flux_conf_line(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf);
static ngx_int_t ngx_http_flux_conf_name(ngx_str_t *name);


ngx_int_t
ngx_http_flux_conf_begin(ngx_conf_t *cf, const char *kind, ngx_uint_t found,
    ngx_uint_t many)
{
    ngx_str_t  *value = cf->args->elts;

    if (ngx_http_flux_conf_name(&value[1]) != NGX_OK
        || value[1].len > NGX_HTTP_FLUX_ROOM_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid %s name \"%V\"",
                           kind, &value[1]);
        return NGX_ERROR;
    }

    if (found) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate %s \"%V\"",
                           kind, &value[1]);
        return NGX_ERROR;
    }

    if (many) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "more than %ui %s", many,
                           kind);
        return NGX_ERROR;
    }

    return NGX_OK;
}


char *
ngx_http_flux_conf_block(ngx_conf_t *cf, ngx_http_flux_conf_block_t *block)
{
    char        *rv;
    ngx_conf_t   save;

    block->seen = 0;

    save = *cf;
    cf->handler = ngx_http_flux_conf_line;
    cf->handler_conf = (void *) block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    return rv;
}


static char *
ngx_http_flux_conf_line(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    char                          *rv;
    ngx_str_t                     *value = cf->args->elts;
    ngx_uint_t                     bit, nargs;
    ngx_http_flux_conf_block_t    *block = conf;
    ngx_http_flux_conf_command_t  *cmd;

    for (cmd = block->commands; cmd->name.len; cmd++) {
        if (ngx_strcmp(value[0].data, cmd->name.data) == 0) {
            break;
        }
    }

    if (cmd->name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown directive \"%V\" in %s", &value[0],
                           block->kind);
        return NGX_CONF_ERROR;
    }

    nargs = cf->args->nelts - 1;

    if (nargs < cmd->min || nargs > cmd->max) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"%V\" directive",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    bit = 1 << (cmd - block->commands);

    if (!cmd->many && (block->seen & bit)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" directive is duplicate", &value[0]);
        return NGX_CONF_ERROR;
    }

    block->seen |= bit;
    rv = cmd->set(cf, block->conf);

    if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
        return rv;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "%s \"%V\" in \"%V\" of %s \"%V\"", rv, &value[1],
                       &value[0], block->kind, block->name);
    return NGX_CONF_ERROR;
}


/* Letters, digits, ".", "_" and "-", and not empty. */

static ngx_int_t
ngx_http_flux_conf_name(ngx_str_t *name)
{
    size_t  i;
    u_char  ch;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
              || (ch >= '0' && ch <= '9')
              || ch == '.' || ch == '_' || ch == '-'))
        {
            return NGX_DECLINED;
        }
    }

    return name->len ? NGX_OK : NGX_DECLINED;
}


/* Kafka: at most 249 of these characters, not "." and not "..". */

ngx_int_t
ngx_http_flux_conf_valid_topic(ngx_str_t *topic)
{
    return ngx_http_flux_conf_name(topic) == NGX_OK
           && topic->len <= NGX_HTTP_FLUX_TOPIC_MAX
           && ngx_strcmp(topic->data, ".") != 0
           && ngx_strcmp(topic->data, "..") != 0
           ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_http_flux_conf_topic(ngx_conf_t *cf, ngx_str_t *value, ngx_str_t *topic)
{
    if (ngx_http_flux_conf_valid_topic(value) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid topic \"%V\"",
                           value);
        return NGX_ERROR;
    }

    return ngx_http_flux_conf_copy(cf, topic, value);
}


ngx_int_t
ngx_http_flux_conf_copy(ngx_conf_t *cf, ngx_str_t *dst, ngx_str_t *src)
{
    dst->len = src->len;
    dst->data = ngx_pnalloc(cf->pool, src->len + 1);

    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dst->data, src->data, src->len);
    dst->data[src->len] = '\0';

    return NGX_OK;
}
