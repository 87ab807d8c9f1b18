#include "ngx_http_flux_websocket.h"


#define NGX_HTTP_FLUX_NOT_ACCEPTABLE  406    /* RFC 9110, 15.5.7 */

/* RFC 8446, 5.1: what OpenSSL tells of at once, sent or not. */
#define NGX_HTTP_FLUX_TLS_RECORD      16384


static ngx_int_t ngx_http_flux_transport(ngx_http_request_t *r,
    ngx_http_flux_transport_t **transport);


ngx_int_t
ngx_http_flux_request_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_msec_t                  wait;
    ngx_http_flux_query_t       query;
    ngx_http_flux_channel_t    *channel;
    ngx_http_flux_loc_conf_t   *flcf;
    ngx_http_flux_transport_t  *transport;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    if (r != r->main) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "flux_stream cannot serve a subrequest");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_flux_add_header(r, "Cache-Control", "no-store") == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_flux_method(r);

    if (rc == NGX_OK) {
        rc = ngx_http_flux_check_origin(r, flcf);
    }

    if (rc == NGX_OK && r->method == NGX_HTTP_OPTIONS) {
        return ngx_http_flux_preflight(r);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_flux_transport(r, &transport);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_flux_query(r, &query);

    if (rc != NGX_OK) {
        return rc;
    }

    channel = ngx_http_flux_channel_get(query.addresses.elts,
                                        query.addresses.nelts, query.keys,
                                        query.pace);
    if (channel == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    wait = 0;

    if (transport == &ngx_http_flux_poll && query.cursor.len) {
        wait = ngx_max(query.wait, 1);
    }

    return ngx_http_flux_reader_create(r, transport, channel, &query.cursor,
                                       wait);
}


static ngx_int_t
ngx_http_flux_transport(ngx_http_request_t *r,
    ngx_http_flux_transport_t **transport)
{
    ngx_uint_t                 bit;
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    if (ngx_http_flux_header_has(r, "upgrade", "websocket")) {
        *transport = &ngx_http_flux_websocket;
        bit = NGX_HTTP_FLUX_WEBSOCKET;

    } else if (ngx_http_flux_header_has(r, "accept", "text/event-stream")) {
        *transport = &ngx_http_flux_sse;
        bit = NGX_HTTP_FLUX_SSE;

    } else {
        *transport = &ngx_http_flux_poll;
        bit = NGX_HTTP_FLUX_POLL;
    }

    if (!(flcf->transports & bit)) {
        return NGX_HTTP_FLUX_NOT_ACCEPTABLE;
    }

    return bit == NGX_HTTP_FLUX_WEBSOCKET
           ? ngx_http_flux_websocket_check(r) : NGX_OK;
}


ngx_int_t
ngx_http_flux_send(ngx_http_flux_reader_t *reader, ngx_str_t *bytes,
    size_t *sent)
{
    size_t               size;
    ssize_t              n;
    ngx_http_request_t  *r = reader->request;
    ngx_connection_t    *c = r->connection;

    if (r->out != NULL || c->buffered) {

        /* the header is still on its way */

        if (ngx_http_output_filter(r, NULL) == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (r->out != NULL || c->buffered) {
            return NGX_AGAIN;
        }
    }

    while (*sent < bytes->len) {

        size = bytes->len - *sent;

#if (NGX_HTTP_SSL)
        if (c->ssl != NULL) {
            size = ngx_min(size, NGX_HTTP_FLUX_TLS_RECORD);
        }
#endif

        n = c->send(c, bytes->data + *sent, size);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (n == NGX_AGAIN || n == 0) {
            return ngx_handle_write_event(c->write, 0) == NGX_OK ? NGX_AGAIN
                                                                 : NGX_ERROR;
        }

        *sent += n;
    }

    return NGX_OK;
}


u_char *
ngx_http_flux_end_message(u_char *p, ngx_http_flux_end_t why,
    ngx_msec_t retry)
{
    static char  *reasons[] = { "slow", "reload", "expired", "quit" };

    return ngx_sprintf(p, "{\"type\":\"end\",\"reason\":\"%s\",\"retry\":%M}",
                       reasons[why], retry);
}
