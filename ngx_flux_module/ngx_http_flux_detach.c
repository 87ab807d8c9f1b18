/*
 * flux_detach: a stream whose request is over.  Once the answer's header is
 * out the request is logged and freed, as nginx does before a connection waits
 * for its next one; the connection and the reader stay.
 */

#include "ngx_http_flux_request.h"


/* A connection that is closed once the client has read all. */

typedef struct {
    ngx_http_core_loc_conf_t  *conf;
    time_t                     until;
} ngx_http_flux_linger_t;


static ngx_uint_t ngx_http_flux_detach_ready(ngx_http_flux_reader_t *reader);
static void ngx_http_flux_detach_buffers(ngx_connection_t *c,
    ngx_http_connection_t *hc);
static void ngx_http_flux_detached_read(ngx_event_t *ev);
static void ngx_http_flux_detached_write(ngx_event_t *ev);
static void ngx_http_flux_detached_finish(ngx_http_flux_reader_t *reader);
static void ngx_http_flux_linger(ngx_connection_t *c);
static void ngx_http_flux_linger_read(ngx_event_t *ev);


ngx_uint_t
ngx_http_flux_detach_wanted(ngx_http_flux_reader_t *reader)
{
    ngx_http_flux_loc_conf_t  *flcf = reader->conf;

    /*
     * A stream of HTTP/2 is more than its connection; a key of flux_publish
     * may have variables, and post_action comes after the request.
     */

    return flcf->detach && flcf->publish == NULL
           && reader->transport != &ngx_http_flux_poll
           && reader->request->http_version < NGX_HTTP_VERSION_20
           && flcf->core->post_action.data == NULL;
}


void
ngx_http_flux_detach(ngx_http_flux_reader_t *reader)
{
    ngx_connection_t       *c = reader->connection;
    ngx_http_request_t     *r = reader->request;
    ngx_http_connection_t  *hc;

    if (!reader->detach || r == NULL || !ngx_http_flux_detach_ready(reader)) {
        return;
    }

    hc = r->http_connection;

    ngx_http_flux_reader_keep(reader);
    ngx_http_free_request(r, 0);

    reader->request = NULL;

    c->data = reader;
    c->read->handler = ngx_http_flux_detached_read;
    c->write->handler = ngx_http_flux_detached_write;
    c->log->action = "streaming to client";

    ngx_http_flux_detach_buffers(c, hc);
}


/* Nothing and nobody needs the request any more. */

static ngx_uint_t
ngx_http_flux_detach_ready(ngx_http_flux_reader_t *reader)
{
    ngx_connection_t    *c = reader->connection;
    ngx_http_request_t  *r = reader->request;

    return !reader->closing && r->count == 1 && !r->blocked
           && r->out == NULL && r->postponed == NULL && !c->buffered
           && !c->write->delayed
           && (reader->transport != &ngx_http_flux_websocket
               || r->header_in->pos == r->header_in->last);
}


static void
ngx_http_flux_detach_buffers(ngx_connection_t *c, ngx_http_connection_t *hc)
{
    ngx_buf_t    *b = c->buffer;
    ngx_chain_t  *cl, *next, **chain[2];
    ngx_uint_t    i;

    if (ngx_pfree(c->pool, b->start) == NGX_OK) {
        b->start = NULL;
        b->pos = NULL;
        b->last = NULL;
        b->end = NULL;
    }

    chain[0] = &hc->busy;
    chain[1] = &hc->free;

    for (i = 0; i < 2; i++) {

        for (cl = *chain[i]; cl; cl = next) {
            next = cl->next;
            (void) ngx_pfree(c->pool, cl->buf->start);
            ngx_free_chain(c->pool, cl);
        }

        *chain[i] = NULL;
    }

    hc->nbusy = 0;

#if (NGX_HTTP_SSL)

    if (c->ssl != NULL) {
        ngx_ssl_free_buffer(c);
    }

#endif
}


/* --- events -------------------------------------------------------------- */

static void
ngx_http_flux_detached_read(ngx_event_t *ev)
{
    ngx_connection_t        *c = ev->data;
    ngx_http_flux_reader_t  *reader = c->data;

    if (c->close) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return;
    }

    /* whatever a message leads to, the reader stays until here */

    reader->served = 0;
    reader->transport->receive(reader);

    if (reader->closing) {
        ngx_http_flux_detached_finish(reader);
        return;
    }

    reader->served = 1;
}


static void
ngx_http_flux_detached_write(ngx_event_t *ev)
{
    ngx_connection_t  *c = ev->data;

    ngx_http_flux_reader_writable(c->data);
}


void
ngx_http_flux_detached_discard(ngx_http_flux_reader_t *reader)
{
    ngx_http_flux_receive(reader, NULL);
}


/* --- the end ------------------------------------------------------------- */

void
ngx_http_flux_detached_close(ngx_http_flux_reader_t *reader)
{
    if (reader->served) {
        ngx_http_flux_detached_finish(reader);
    }
}


static void
ngx_http_flux_detached_finish(ngx_http_flux_reader_t *reader)
{
    ngx_uint_t                 websocket;
    ngx_connection_t          *c = reader->connection;
    ngx_http_flux_linger_t    *linger;
    ngx_http_core_loc_conf_t  *clcf = reader->conf->core;

    websocket = reader->transport == &ngx_http_flux_websocket;

    ngx_http_flux_reader_free(reader);

    /* what was sent last would be lost with what the client sends meanwhile */

    if (!c->error && !c->read->eof
        && (clcf->lingering_close == NGX_HTTP_LINGERING_ALWAYS
            || (clcf->lingering_close == NGX_HTTP_LINGERING_ON
                && (websocket || c->read->ready))))
    {
        linger = ngx_palloc(c->pool, sizeof(ngx_http_flux_linger_t));

        if (linger != NULL) {
            linger->conf = clcf;
            linger->until = ngx_time()
                            + (time_t) (clcf->lingering_time / 1000);
            c->data = linger;
            ngx_http_flux_linger(c);
            return;
        }
    }

    ngx_http_close_connection(c);
}


/* As ngx_http_set_lingering_close(), which needs a request. */

static void
ngx_http_flux_linger(ngx_connection_t *c)
{
    ngx_event_t             *rev = c->read, *wev = c->write;
    ngx_http_flux_linger_t  *linger = c->data;

#if (NGX_HTTP_SSL)

    ngx_int_t  rc;

    if (c->ssl != NULL) {
        c->ssl->shutdown_without_free = 1;

        rc = ngx_ssl_shutdown(c);

        if (rc == NGX_ERROR) {
            ngx_http_close_connection(c);
            return;
        }

        if (rc == NGX_AGAIN) {
            c->ssl->handler = ngx_http_flux_linger;
            return;
        }
    }

#endif

    rev->handler = ngx_http_flux_linger_read;
    wev->handler = ngx_http_empty_handler;

    if (ngx_handle_read_event(rev, 0) != NGX_OK
        || (wev->active && (ngx_event_flags & NGX_USE_LEVEL_EVENT)
            && ngx_del_event(wev, NGX_WRITE_EVENT, 0) != NGX_OK))
    {
        ngx_http_close_connection(c);
        return;
    }

    if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
        ngx_connection_error(c, ngx_socket_errno,
                             ngx_shutdown_socket_n " failed");
        ngx_http_close_connection(c);
        return;
    }

    c->close = 0;
    ngx_reusable_connection(c, 1);

    ngx_add_timer(rev, linger->conf->lingering_timeout);

    if (rev->ready) {
        ngx_http_flux_linger_read(rev);
    }
}


static void
ngx_http_flux_linger_read(ngx_event_t *ev)
{
    time_t                   left;
    ssize_t                  n;
    ngx_msec_t               timer;
    ngx_connection_t        *c = ev->data;
    ngx_http_flux_linger_t  *linger = c->data;

    static u_char            chunk[4096];

    left = linger->until - ngx_time();

    if (ev->timedout || c->close || left <= 0) {
        ngx_http_close_connection(c);
        return;
    }

    do {
        n = c->recv(c, chunk, sizeof(chunk));

        if (n == NGX_ERROR || n == 0) {
            ngx_http_close_connection(c);
            return;
        }

    } while (n != NGX_AGAIN && ev->ready);

    if (ngx_handle_read_event(ev, 0) != NGX_OK) {
        ngx_http_close_connection(c);
        return;
    }

    timer = (ngx_msec_t) left * 1000;
    ngx_add_timer(ev, ngx_min(timer, linger->conf->lingering_timeout));
}
