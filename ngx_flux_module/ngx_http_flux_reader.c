#include "ngx_http_flux_demand.h"
#include "ngx_http_flux_request.h"


/* Who is sent away comes back after a while of this and less, in ms. */
#define NGX_HTTP_FLUX_RETRY_MAX      1000


static ngx_int_t ngx_http_flux_reader_init(ngx_http_flux_reader_t *reader,
    ngx_str_t *cursor);
static time_t ngx_http_flux_reader_expires(ngx_str_t *value);
static void ngx_http_flux_reader_retire(void *data);


ngx_int_t
ngx_http_flux_reader_create(ngx_http_request_t *r,
    ngx_http_flux_transport_t *transport, ngx_http_flux_channel_t *channel,
    ngx_str_t *cursor, ngx_msec_t wait)
{
    ngx_int_t                rc;
    ngx_pool_cleanup_t      *cln;
    ngx_http_cleanup_t      *end;
    ngx_http_flux_reader_t  *reader;

    reader = ngx_calloc(sizeof(ngx_http_flux_reader_t), r->connection->log);
    cln = ngx_pool_cleanup_add(r->pool, 0);
    end = ngx_http_cleanup_add(r, 0);

    if (reader == NULL || cln == NULL || end == NULL) {
        ngx_free(reader);
        ngx_http_flux_channel_release(channel);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    reader->request = r;
    reader->connection = r->connection;
    reader->conf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);
    reader->transport = transport;
    reader->channel = channel;
    reader->deadline = wait ? ngx_current_msec + wait : 0;
    reader->written = ngx_current_msec;
    reader->version = ngx_http_flux_hub.version;
    reader->resumed = cursor->len != 0;

    cln->handler = ngx_http_flux_reader_free;
    cln->data = reader;
    end->handler = ngx_http_flux_reader_retire;
    end->data = reader;

    ngx_queue_insert_tail(&ngx_http_flux_hub.readers, &reader->all);
    ngx_http_flux_reader_seat(reader, 1);
    ngx_http_set_ctx(r, reader, ngx_http_flux_module);

    rc = ngx_http_flux_reader_init(reader, cursor);

    if (rc != NGX_OK) {
        return rc;
    }

    if (transport != &ngx_http_flux_poll) {
        ngx_http_flux_trim(r);
    }

    r->main->count++;
    r->write_event_handler = ngx_http_flux_reader_write;
    r->read_event_handler = transport->read;

    if (ngx_http_flux_hub.draining) {
        ngx_http_flux_drain();
    }

    ngx_http_flux_reader_arm(reader);
    ngx_http_flux_reader_catch_up(reader);

    if (!reader->closing && ngx_http_flux_reader_header(reader) != NGX_OK) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
    }

    /* closed or not, the request lives until the handler returns */
    reader->served = 1;

    if (!reader->closing && ngx_http_flux_detach_wanted(reader)) {
        reader->detach = 1;
        (void) ngx_http_post_request(r, NULL);
    }

    return NGX_DONE;
}


static ngx_int_t
ngx_http_flux_reader_init(ngx_http_flux_reader_t *reader, ngx_str_t *cursor)
{
    ngx_str_t                  value;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_flux_loc_conf_t  *flcf = reader->conf;

    clcf = ngx_http_get_module_loc_conf(reader->request, ngx_http_core_module);

    /* or a record waits until the one before is acknowledged: up to 40 ms */

    if (clcf->tcp_nodelay && ngx_tcp_nodelay(reader->connection) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (flcf->expires != NULL) {
        if (ngx_http_complex_value(reader->request, flcf->expires, &value)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        reader->expires = ngx_http_flux_reader_expires(&value);
    }

    reader->behind = ngx_http_flux_behind_create(reader->channel, cursor,
                                                 NGX_HTTP_FLUX_EXACT
                                                 |reader->transport->flags,
                                                 flcf->buffer);
    if (reader->behind == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return reader->transport->start(reader);
}


/* A Unix time, maybe with a fraction (RFC 7519, section 2); 0: never. */

static time_t
ngx_http_flux_reader_expires(ngx_str_t *value)
{
    time_t   n;
    u_char  *p, *fraction, *last = value->data + value->len;

    fraction = ngx_strlchr(value->data, last, '.');

    if (fraction == NULL) {
        fraction = last;

    } else if (fraction + 1 == last) {
        return 0;
    }

    for (p = fraction + 1; p < last; p++) {
        if (*p < '0' || *p > '9') {
            return 0;
        }
    }

    n = ngx_atotm(value->data, fraction - value->data);

    return n == NGX_ERROR ? 0 : ngx_max(n, 1);
}


/* Counts the reader in the zone, and for each of its feeds. */

void
ngx_http_flux_reader_seat(ngx_http_flux_reader_t *reader, ngx_uint_t on)
{
    ngx_uint_t             i;
    ngx_http_flux_hub_t   *hub = &ngx_http_flux_hub;
    ngx_http_flux_seat_t  *seat = hub->zone->seat;

    if (on) {
        ngx_http_flux_demand_join(reader->channel);

    } else {
        ngx_http_flux_demand_leave(reader->channel);
    }

    if (seat == NULL) {
        return;
    }

    if (on) {
        for (i = 0; i < reader->channel->nfeeds; i++) {
            if (reader->channel->feeds[i]->slot != FLUX_NONE) {
                reader->counted |= UINT64_C(1)
                                   << reader->channel->feeds[i]->slot;
            }
        }
    }

    seat->connected[reader->transport->index] += on ? 1 : -1;

    for (i = 0; i < FLUX_LOG_FEEDS; i++) {
        if (reader->counted & (UINT64_C(1) << i)) {
            seat->readers[i][reader->transport->index] += on ? 1 : -1;
        }
    }

    if (!on) {
        reader->counted = 0;
    }
}


ngx_str_t
ngx_http_flux_reader_last(ngx_http_flux_reader_t *reader)
{
    ngx_str_t  buf, *place = NULL, last = ngx_null_string;

    if (reader->front) {
        place = ngx_http_flux_reader_place(reader, &buf);

    } else if (reader->behind != NULL
               && ngx_http_flux_behind_text(reader->behind, &buf) == NGX_OK)
    {
        place = &buf;
    }

    if (place != NULL && place->len) {
        last.data = ngx_alloc(place->len, ngx_http_flux_hub.log);

        if (last.data != NULL) {
            ngx_memcpy(last.data, place->data, place->len);
            last.len = place->len;
        }
    }

    return last;
}


/* It is sent nothing any more; the request may live on for a while. */

static void
ngx_http_flux_reader_retire(void *data)
{
    ngx_str_t                last;
    ngx_http_flux_reader_t  *reader = data;

    if (reader->closing) {
        return;
    }

    reader->closing = 1;

    ngx_str_null(&last);

    if (reader->request != NULL) {
        /* for the access log */
        last = ngx_http_flux_reader_last(reader);
    }

    ngx_http_flux_reader_leave(reader);
    ngx_http_flux_reader_seat(reader, 0);
    reader->joined = last;
    ngx_queue_remove(&reader->all);

    ngx_http_flux_timer_unset(reader);
}


void
ngx_http_flux_reader_keep(ngx_http_flux_reader_t *reader)
{
    ngx_pool_cleanup_t  *cln;
    ngx_http_cleanup_t  *end;

    for (end = reader->request->cleanup; end; end = end->next) {
        if (end->handler == ngx_http_flux_reader_retire
            && end->data == reader)
        {
            end->handler = NULL;
        }
    }

    for (cln = reader->request->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_flux_reader_free && cln->data == reader) {
            cln->handler = NULL;
        }
    }
}


/* With a request: after the access log, whose variables want to know. */

void
ngx_http_flux_reader_free(void *data)
{
    ngx_http_flux_reader_t  *reader = data;

    if (reader->transport->cleanup != NULL) {
        reader->transport->cleanup(reader);
    }

    if (reader->out != NULL) {
        ngx_http_flux_frame_release(reader->out);
    }

    if (reader->behind != NULL) {
        ngx_http_flux_behind_destroy(reader->behind);
    }

    if (reader->talk != NULL) {
        ngx_free(reader->talk->told.data);
        ngx_free(reader->talk->telling.data);
        ngx_free(reader->talk);
    }

    ngx_free(reader->joined.data);

    ngx_http_flux_channel_release(reader->channel);
    ngx_free(reader);
}


void
ngx_http_flux_reader_count(ngx_http_flux_reader_t *reader, size_t bytes)
{
    ngx_http_flux_hub_count(reader->transport->index, 0, 0, bytes);
}


/* --- time ---------------------------------------------------------------- */

/* The next time something is due; the timer itself is set lazily. */

void
ngx_http_flux_reader_arm(ngx_http_flux_reader_t *reader)
{
    time_t      left;
    ngx_msec_t  due, at;

    due = reader->written + (reader->blocked ? reader->conf->send_timeout
                                             : reader->conf->heartbeat);

    if (reader->paced) {
        at = reader->written + reader->channel->pace;
        due = (ngx_msec_int_t) (at - due) < 0 ? at : due;
    }

    if (reader->deadline) {
        at = reader->deadline;
        due = (ngx_msec_int_t) (at - due) < 0 ? at : due;
    }

    if (reader->expires) {
        left = reader->expires - ngx_time();
        left = ngx_max(left, 0);

        if (left < 24 * 60 * 60) {
            at = ngx_current_msec + left * 1000;
            due = (ngx_msec_int_t) (at - due) < 0 ? at : due;
        }
    }

    if ((ngx_msec_int_t) (due - ngx_current_msec) < 1) {
        due = ngx_current_msec + 1;
    }

    ngx_http_flux_timer_set(reader, due);
}


void
ngx_http_flux_reader_due(ngx_http_flux_reader_t *reader)
{
    ngx_msec_t  idle;

    ngx_http_flux_detach(reader);

    if (reader->expires && reader->expires <= ngx_time()) {
        ngx_http_flux_reader_end(reader, NGX_HTTP_FLUX_END_EXPIRED);
        return;
    }

    idle = ngx_current_msec - reader->written;

    if (reader->blocked) {

        if (idle >= reader->conf->send_timeout) {
            ngx_http_flux_reader_end(reader, NGX_HTTP_FLUX_END_SLOW);
            return;
        }

    } else if ((reader->deadline
                && (ngx_msec_int_t) (reader->deadline - ngx_current_msec) <= 0)
               || idle >= reader->conf->heartbeat)
    {
        reader->written = ngx_current_msec;

        if (reader->transport->heartbeat(reader) != NGX_OK) {
            return;
        }
    }

    if (reader->paced) {
        reader->paced = 0;
        ngx_http_flux_reader_arm(reader);
        ngx_http_flux_reader_catch_up(reader);
        return;
    }

    ngx_http_flux_reader_arm(reader);
}


/* --- the end ------------------------------------------------------------- */

void
ngx_http_flux_reader_end(ngx_http_flux_reader_t *reader,
    ngx_http_flux_end_t why)
{
    ngx_msec_t            retry;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    (void) ngx_atomic_fetch_add(&hub->zone->shared->ended[why], 1);

    if (reader->blocked) {
        /* a good-bye would stand in the middle of something */
        ngx_log_error(NGX_LOG_INFO, reader->connection->log, 0,
                      "flux reader was too slow");
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return;
    }

    retry = 1 + ngx_random() % NGX_HTTP_FLUX_RETRY_MAX;

    ngx_http_flux_reader_retire(reader);
    reader->transport->end(reader, why, retry);
}


void
ngx_http_flux_reader_close(ngx_http_flux_reader_t *reader, ngx_int_t rc)
{
    ngx_uint_t           served = reader->served;
    ngx_connection_t    *c = reader->connection;
    ngx_http_request_t  *r = reader->request;

    ngx_http_flux_reader_retire(reader);

    if (rc == NGX_ERROR || (r == NULL && rc != NGX_OK)) {
        c->error = 1;
    }

    if (r == NULL) {
        ngx_http_flux_detached_close(reader);
        return;
    }

    ngx_http_finalize_request(r, rc);

    if (served) {
        /* out of a timer or the hub's turn, nobody else would */
        ngx_http_run_posted_requests(c);
    }
}
