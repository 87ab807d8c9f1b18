#include "ngx_http_flux_websocket.h"


#define NGX_HTTP_FLUX_NOT_ACCEPTABLE  406    /* RFC 9110, 15.5.7 */

/* RFC 8446, 5.1: what OpenSSL tells of at once, sent or not. */
#define NGX_HTTP_FLUX_TLS_RECORD      16384

/* Read from a client before others get their turn. */
#define NGX_HTTP_FLUX_RECEIVE         (64 * 1024)

/* What most requests need for their addresses and arguments. */
#define NGX_HTTP_FLUX_QUERY_POOL      512


static ngx_int_t ngx_http_flux_transport(ngx_http_request_t *r,
    ngx_http_flux_transport_t **transport);
static ngx_int_t ngx_http_flux_request_run(ngx_http_request_t *r,
    ngx_http_flux_query_t *query, ngx_http_flux_transport_t *transport);


ngx_int_t
ngx_http_flux_request_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc, allowed;
    ngx_pool_t                 *pool;
    ngx_http_flux_query_t       query;
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

    allowed = ngx_http_flux_check_origin(r, flcf);
    rc = ngx_http_flux_method(r);

    if (rc == NGX_OK) {
        rc = allowed;
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

    /* the request's own pool lives as long as the stream */

    pool = ngx_create_pool(NGX_HTTP_FLUX_QUERY_POOL, r->connection->log);
    if (pool == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_flux_query(r, pool, &query);

    if (rc == NGX_OK) {
        rc = ngx_http_flux_request_run(r, &query, transport);
    }

    ngx_destroy_pool(pool);

    return rc;
}


static ngx_int_t
ngx_http_flux_request_run(ngx_http_request_t *r, ngx_http_flux_query_t *query,
    ngx_http_flux_transport_t *transport)
{
    ngx_msec_t                wait;
    ngx_http_flux_channel_t  *channel;

    channel = ngx_http_flux_channel_get(query->addresses.elts,
                                        query->addresses.nelts, query->keys,
                                        query->pace);
    if (channel == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    wait = 0;

    if (transport == &ngx_http_flux_poll && query->cursor.len) {
        wait = ngx_max(query->wait, 1);
    }

    return ngx_http_flux_reader_create(r, transport, channel, &query->cursor,
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
ngx_http_flux_send_header(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    /* no If-None-Match and the like: it is no page that a cache has */
    r->disable_not_modified = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return rc == NGX_ERROR ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
    }

    if (r->http_version >= NGX_HTTP_VERSION_20) {
        rc = ngx_http_send_special(r, NGX_HTTP_FLUSH);

    } else if (r->connection->send != ngx_send) {
        rc = ngx_http_flux_flush_header(r);
    }

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


/* No body goes through the filters: they need no context for it. */

ngx_int_t
ngx_http_flux_flush_header(ngx_http_request_t *r)
{
    ngx_int_t          rc;
    ngx_uint_t         tls = 0;
    ngx_connection_t  *c = r->connection;

    while (r->out != NULL || (c->buffered & NGX_LOWLEVEL_BUFFERED)) {

        rc = ngx_http_write_filter(r, NULL);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_AGAIN && r->out == NULL && !tls) {
            /* it is in the buffer of TLS */
            tls = 1;
            continue;
        }

        if (rc == NGX_AGAIN) {
            return ngx_handle_write_event(c->write, 0) == NGX_OK ? NGX_AGAIN
                                                                 : NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* A header that was held back goes with what comes first, in one call. */

static ngx_int_t
ngx_http_flux_send_joined(ngx_http_request_t *r, ngx_str_t *bytes,
    size_t *sent)
{
    ngx_buf_t          b;
    ngx_chain_t       *last, *left, first;
    ngx_connection_t  *c = r->connection;

    ngx_memzero(&b, sizeof(ngx_buf_t));
    b.pos = bytes->data + *sent;
    b.last = bytes->data + bytes->len;
    b.memory = 1;

    first.buf = &b;
    first.next = NULL;

    for (last = r->out; last->next != NULL; last = last->next) { /* void */ }

    last->next = &first;
    left = c->send_chain(c, r->out, 0);
    last->next = NULL;

    if (left == NGX_CHAIN_ERROR) {
        return NGX_ERROR;
    }

    *sent = b.pos - bytes->data;

    if (left == NULL) {
        r->out = NULL;
        return NGX_OK;
    }

    if (left == &first) {
        r->out = NULL;

    } else {
        r->out = left;
        c->buffered |= NGX_HTTP_WRITE_BUFFERED;
    }

    return ngx_handle_write_event(c->write, 0) == NGX_OK ? NGX_AGAIN
                                                         : NGX_ERROR;
}


ngx_int_t
ngx_http_flux_send(ngx_http_flux_reader_t *reader, ngx_str_t *bytes,
    size_t *sent)
{
    size_t               size;
    ssize_t              n;
    ngx_int_t            rc;
    ngx_http_request_t  *r = reader->request;
    ngx_connection_t    *c = reader->connection;

    if (r != NULL && r->out != NULL && !c->buffered && c->send == ngx_send
        && *sent < bytes->len)
    {
        rc = ngx_http_flux_send_joined(r, bytes, sent);

        if (rc != NGX_OK) {
            return rc;
        }

    } else if (r != NULL && (r->out != NULL || c->buffered)) {

        /* the header is still on its way */

        if (ngx_http_write_filter(r, NULL) == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (r->out != NULL || c->buffered) {
            return ngx_handle_write_event(c->write, 0) == NGX_OK ? NGX_AGAIN
                                                                 : NGX_ERROR;
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

    reader->direct = c->send == ngx_send;

    return NGX_OK;
}


void
ngx_http_flux_receive(ngx_http_flux_reader_t *reader,
    ngx_http_flux_input_pt input)
{
    size_t             total;
    ssize_t            n;
    ngx_connection_t  *c = reader->connection;

    static u_char      chunk[16 * 1024];

    for (total = 0; total < NGX_HTTP_FLUX_RECEIVE; total += n) {

        n = c->recv(c, chunk, sizeof(chunk));

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
                ngx_http_flux_reader_close(reader, NGX_ERROR);
            }

            return;
        }

        if (n == NGX_ERROR || n == 0) {
            ngx_http_flux_reader_close(reader, NGX_ERROR);
            return;
        }

        if (input != NULL && input(reader, chunk, n) != NGX_OK) {
            return;
        }
    }

    ngx_post_event(c->read, &ngx_posted_next_events);
}


u_char *
ngx_http_flux_end_message(u_char *p, ngx_http_flux_end_t why,
    ngx_msec_t retry)
{
    static char  *reasons[] = { "slow", "reload", "expired", "quit" };

    return ngx_sprintf(p, "{\"type\":\"end\",\"reason\":\"%s\",\"retry\":%M}",
                       reasons[why], retry);
}
