/*
 * Who may ask, and by which methods: origins and preflights.
 */

#include "ngx_http_flux_request.h"


static ngx_uint_t
ngx_http_flux_streams(ngx_http_request_t *r)
{
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    return flcf->streams != NULL;
}


static const char *
ngx_http_flux_methods(ngx_http_request_t *r)
{
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    if (flcf->publish == NULL) {
        return "GET, OPTIONS";
    }

    return flcf->streams ? "GET, POST, OPTIONS" : "POST, OPTIONS";
}


ngx_int_t
ngx_http_flux_method(ngx_http_request_t *r)
{
    if ((r->method == NGX_HTTP_GET && ngx_http_flux_streams(r))
        || (r->method == NGX_HTTP_OPTIONS
            && ngx_http_flux_header(r, "origin") != NULL))
    {
        return NGX_OK;
    }

    if (ngx_http_flux_add_header(r, "Allow", ngx_http_flux_methods(r))
        == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_NOT_ALLOWED;
}


/*
 * RFC 6454: scheme "://" host [":" port]; Host has the two latter, and some
 * clients write a port there that is the scheme's own.
 */

static ngx_uint_t
ngx_http_flux_same_origin(ngx_http_request_t *r, ngx_str_t *origin)
{
    size_t      len;
    u_char     *host;
    ngx_str_t   rest, *named;

    host = ngx_strnstr(origin->data, "://", origin->len);

    if (host == NULL || r->headers_in.host == NULL) {
        return 0;
    }

    named = &r->headers_in.host->value;
    len = named->len;

    rest.data = host + 3;
    rest.len = origin->data + origin->len - rest.data;

    if (len == rest.len + 3
        && ngx_strncmp(named->data + rest.len, ":80", 3) == 0
        && ngx_strncasecmp(origin->data, (u_char *) "http:", 5) == 0)
    {
        len -= 3;
    }

    if (len == rest.len + 4
        && ngx_strncmp(named->data + rest.len, ":443", 4) == 0
        && ngx_strncasecmp(origin->data, (u_char *) "https:", 6) == 0)
    {
        len -= 4;
    }

    return rest.len == len
           && ngx_strncasecmp(rest.data, named->data, len) == 0;
}


static ngx_uint_t
ngx_http_flux_listed_origin(ngx_http_request_t *r, ngx_array_t *origins,
    ngx_str_t *origin)
{
    ngx_str_t   *listed = origins->elts;
    ngx_uint_t   i;

    for (i = 0; i < origins->nelts; i++) {

        if (ngx_strcmp(listed[i].data, "same") == 0
            && ngx_http_flux_same_origin(r, origin))
        {
            return 1;
        }

        if (listed[i].len == origin->len
            && ngx_strncasecmp(listed[i].data, origin->data, origin->len) == 0)
        {
            return 1;
        }
    }

    return origins->nelts == 0;
}


ngx_int_t
ngx_http_flux_check_origin(ngx_http_request_t *r,
    ngx_http_flux_loc_conf_t *flcf)
{
    ngx_str_t   *value;
    ngx_uint_t   allowed;

    value = ngx_http_flux_header(r, "origin");

    if (value == NULL) {
        /* not a browser, or a page of the same origin */
        return NGX_OK;
    }

    allowed = flcf->origins == NULL
              ? ngx_http_flux_same_origin(r, value)
              : ngx_http_flux_listed_origin(r, flcf->origins, value);

    if (ngx_http_flux_add_header(r, "Vary", "Origin") == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!allowed) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "flux_origin does not allow \"%V\"", value);
        return NGX_HTTP_FORBIDDEN;
    }

    return ngx_http_flux_add_header_str(r, "Access-Control-Allow-Origin",
                                        value)
           != NULL ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


ngx_int_t
ngx_http_flux_preflight(ngx_http_request_t *r)
{
    ngx_int_t   rc;
    ngx_str_t  *asked;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    asked = ngx_http_flux_header(r, "access-control-request-headers");

    if (ngx_http_flux_add_header(r, "Access-Control-Allow-Methods",
                                 ngx_http_flux_methods(r))
        == NULL
        || ngx_http_flux_add_header(r, "Access-Control-Max-Age", "86400")
           == NULL
        || (asked != NULL
            && ngx_http_flux_add_header_str(r, "Access-Control-Allow-Headers",
                                            asked)
               == NULL))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_NO_CONTENT;
    r->header_only = 1;

    return ngx_http_send_header(r);
}
