/*
 * The directive flux_cache: "redis://[:password@]host[:port][/db]" or
 * "unix:path".
 */

#include "ngx_http_flux_cache_parts.h"


#define NGX_HTTP_FLUX_CACHE_PORT  6379
#define NGX_HTTP_FLUX_CACHE_DB    65535     /* the last one */


static char *ngx_http_flux_cache_invalid(ngx_conf_t *cf);
static ngx_int_t ngx_http_flux_cache_password(ngx_str_t *text,
    ngx_str_t *password);
static ngx_int_t ngx_http_flux_cache_db(ngx_str_t *text, ngx_uint_t *db);
static char *ngx_http_flux_cache_host(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_flux_redis_address_t *address);


char *
ngx_http_flux_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                       text, *value = cf->args->elts;
    ngx_http_flux_main_conf_t      *fmcf = conf;
    ngx_http_flux_redis_address_t  *address;

    if (fmcf->cache != NULL) {
        return "is duplicate";
    }

    address = ngx_pcalloc(cf->pool, sizeof(ngx_http_flux_redis_address_t));
    if (address == NULL) {
        return NGX_CONF_ERROR;
    }

    fmcf->cache = address;
    text = value[1];

    if (text.len > 5 && ngx_strncmp(text.data, "unix:", 5) == 0) {
        address->host.data = text.data + 5;
        address->host.len = text.len - 5;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(text.data, "redis://", 8) != 0) {
        return ngx_http_flux_cache_invalid(cf);
    }

    text.data += 8;
    text.len -= 8;

    if (ngx_http_flux_cache_password(&text, &address->password) != NGX_OK
        || ngx_http_flux_cache_db(&text, &address->db) != NGX_OK)
    {
        return ngx_http_flux_cache_invalid(cf);
    }

    return ngx_http_flux_cache_host(cf, &text, address);
}


static char *
ngx_http_flux_cache_invalid(ngx_conf_t *cf)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid flux_cache, it is "
                       "\"redis://[:password@]host[:port][/db]\" or "
                       "\"unix:path\"");
    return NGX_CONF_ERROR;
}


/* Cuts ":password@" off the text's begin, if it is there. */

static ngx_int_t
ngx_http_flux_cache_password(ngx_str_t *text, ngx_str_t *password)
{
    u_char  *at;

    for (at = text->data + text->len; at > text->data; at--) {
        if (at[-1] == '@') {
            break;
        }
    }

    if (at == text->data) {
        return NGX_OK;
    }

    if (text->data[0] != ':') {
        return NGX_ERROR;
    }

    password->data = text->data + 1;
    password->len = at - 1 - password->data;

    text->len -= at - text->data;
    text->data = at;

    return NGX_OK;
}


/* Cuts "/db" off the text's end, if it is there. */

static ngx_int_t
ngx_http_flux_cache_db(ngx_str_t *text, ngx_uint_t *db)
{
    u_char     *slash, *last;
    ngx_int_t   n;

    last = text->data + text->len;
    slash = ngx_strlchr(text->data, last, '/');

    if (slash == NULL) {
        return NGX_OK;
    }

    n = ngx_atoi(slash + 1, last - slash - 1);

    if (n == NGX_ERROR || n > NGX_HTTP_FLUX_CACHE_DB) {
        return NGX_ERROR;
    }

    *db = n;
    text->len = slash - text->data;

    return NGX_OK;
}


static char *
ngx_http_flux_cache_host(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_flux_redis_address_t *address)
{
    ngx_url_t   url;
    ngx_str_t  *host = &address->host;

    ngx_memzero(&url, sizeof(ngx_url_t));
    url.url = *text;
    url.default_port = NGX_HTTP_FLUX_CACHE_PORT;

    if (url.url.len == 0 || ngx_parse_url(cf->pool, &url) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in flux_cache \"%V\"",
                           url.err ? url.err : "no host", &url.url);
        return NGX_CONF_ERROR;
    }

    if (url.naddrs == 0 || url.family == AF_UNIX) {
        return ngx_http_flux_cache_invalid(cf);
    }

    /* by number: hiredis would wait for a name server */

    host->data = ngx_pcalloc(cf->pool, NGX_SOCKADDR_STRLEN + 1);
    if (host->data == NULL) {
        return NGX_CONF_ERROR;
    }

    host->len = ngx_sock_ntop(url.addrs[0].sockaddr, url.addrs[0].socklen,
                              host->data, NGX_SOCKADDR_STRLEN, 0);
    address->port = ngx_inet_get_port(url.addrs[0].sockaddr);

    if (host->len && host->data[0] == '[') {
        host->len -= 2;
        ngx_memmove(host->data, host->data + 1, host->len);
        host->data[host->len] = '\0';
    }

    return NGX_CONF_OK;
}
