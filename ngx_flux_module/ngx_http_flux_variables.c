#include "ngx_http_flux_request.h"


static ngx_int_t ngx_http_flux_variable_transport(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_flux_variable_room(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_flux_variable_cursor(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_flux_variable_messages(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_flux_variables[] = {

    { ngx_string("flux_transport"), NULL,
      ngx_http_flux_variable_transport, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("flux_room"), NULL,
      ngx_http_flux_variable_room, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("flux_cursor"), NULL,
      ngx_http_flux_variable_cursor, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("flux_messages"), NULL,
      ngx_http_flux_variable_messages, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_flux_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_flux_variables; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/* The request's reader, or NULL and the variable is not found. */

static ngx_http_flux_reader_t *
ngx_http_flux_variable_reader(ngx_http_request_t *r,
    ngx_http_variable_value_t *v)
{
    ngx_http_flux_reader_t  *reader;

    reader = ngx_http_get_module_ctx(r->main, ngx_http_flux_module);

    v->valid = reader != NULL;
    v->not_found = reader == NULL;
    v->no_cacheable = 0;

    return reader;
}


static ngx_int_t
ngx_http_flux_variable_transport(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_flux_reader_t  *reader = ngx_http_flux_variable_reader(r, v);

    if (reader != NULL) {
        v->data = reader->transport->name.data;
        v->len = reader->transport->name.len;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_variable_room(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t                   len = 0;
    u_char                  *p;
    ngx_str_t               *address;
    ngx_uint_t               i;
    ngx_http_flux_reader_t  *reader = ngx_http_flux_variable_reader(r, v);

    if (reader == NULL) {
        return NGX_OK;
    }

    for (i = 0; i < reader->channel->nrooms; i++) {
        len += reader->channel->links[i].room->sn.str.len + 1;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;

    for (i = 0; i < reader->channel->nrooms; i++) {

        if (i) {
            *p++ = ' ';
        }

        address = &reader->channel->links[i].room->sn.str;
        p = ngx_cpymem(p, address->data, address->len);
    }

    v->len = p - v->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_variable_cursor(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                last;
    ngx_http_flux_reader_t  *reader = ngx_http_flux_variable_reader(r, v);

    if (reader == NULL) {
        return NGX_OK;
    }

    if (reader->closing) {
        v->len = reader->joined.len;
        v->data = reader->joined.data;
        return NGX_OK;
    }

    v->len = 0;

    if (!r->header_sent) {
        return NGX_OK;
    }

    last = ngx_http_flux_reader_last(reader);

    if (last.len) {
        v->data = ngx_pstrdup(r->pool, &last);
        v->len = v->data ? last.len : 0;
        ngx_free(last.data);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_variable_messages(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    ngx_http_flux_reader_t  *reader = ngx_http_flux_variable_reader(r, v);

    if (reader == NULL) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;
    v->len = ngx_sprintf(p, "%uL", reader->messages) - p;

    return NGX_OK;
}
