#include "ngx_http_flux_batch.h"
#include "ngx_http_flux_compress.h"
#include "ngx_http_flux_demand.h"


/* Frames of a backlog to one reader before others get their turn. */
#define NGX_HTTP_FLUX_READER_FRAMES  4

/* What may wait for a socket of answers to what its client asks. */
#if (FLUX_TEST_ECHO)
#define NGX_HTTP_FLUX_TOLD_MAX       (64 * 1024 * 1024)
#else
#define NGX_HTTP_FLUX_TOLD_MAX       (64 * 1024)
#endif

/* Who is sent away comes back after a while of this and less, in ms. */
#define NGX_HTTP_FLUX_RETRY_MAX      1000


static ngx_int_t ngx_http_flux_reader_init(ngx_http_flux_reader_t *reader,
    ngx_str_t *cursor);
static void ngx_http_flux_reader_seat(ngx_http_flux_reader_t *reader,
    ngx_uint_t on);
static void ngx_http_flux_reader_retire(void *data);
static void ngx_http_flux_reader_write(ngx_http_request_t *r);
static ngx_int_t ngx_http_flux_reader_push(ngx_http_flux_reader_t *reader);
static ngx_int_t ngx_http_flux_reader_push_bytes(
    ngx_http_flux_reader_t *reader, ngx_str_t *bytes, size_t *sent);
static ngx_int_t ngx_http_flux_reader_push_told(
    ngx_http_flux_reader_t *reader);
static ngx_int_t ngx_http_flux_reader_push_frame(
    ngx_http_flux_reader_t *reader);
static ngx_int_t ngx_http_flux_reader_start(ngx_http_flux_reader_t *reader);
static ngx_int_t ngx_http_flux_reader_done(ngx_http_flux_reader_t *reader,
    ngx_int_t rc);
static void ngx_http_flux_reader_sent(void *data, ssize_t n);
static ngx_int_t ngx_http_flux_reader_give(ngx_http_flux_reader_t *reader,
    ngx_http_flux_frame_t *frame);
static ngx_int_t ngx_http_flux_reader_pace(ngx_http_flux_reader_t *reader);
static void ngx_http_flux_reader_leave(ngx_http_flux_reader_t *reader);
static void ngx_http_flux_reader_arm(ngx_http_flux_reader_t *reader);


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
    ngx_int_t                  n;
    ngx_str_t                  value;
    ngx_http_flux_loc_conf_t  *flcf = reader->conf;

    if (flcf->expires != NULL) {
        if (ngx_http_complex_value(reader->request, flcf->expires, &value)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        n = ngx_atotm(value.data, value.len);
        reader->expires = n == NGX_ERROR ? 0 : n;
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


/* Counts the reader in the zone, and for each of its feeds. */

static void
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


/* --- sending --------------------------------------------------------------- */

void
ngx_http_flux_reader_send(ngx_http_flux_reader_t *reader,
    ngx_http_flux_frame_t *frame)
{
    ngx_free(reader->joined.data);
    ngx_str_null(&reader->joined);

    reader->out = ngx_http_flux_frame_hold(frame);
    reader->sent = 0;
    reader->started = 0;

    if (reader->direct && reader->talk == NULL
        && ngx_http_flux_reader_start(reader) == NGX_OK
        && ngx_http_flux_batch_add(reader->connection->fd,
                                   reader->bytes, ngx_http_flux_reader_sent,
                                   reader)
           == NGX_OK)
    {
        reader->channel->batch = ngx_http_flux_batch_serial();
        return;
    }

    ngx_http_flux_reader_sent(reader, 0);
}


static void
ngx_http_flux_reader_sent(void *data, ssize_t n)
{
    ngx_http_flux_reader_t  *reader = data;

    if (n == NGX_ERROR) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return;
    }

    if (n > 0) {
        reader->connection->sent += n;
        reader->sent = n;
        reader->written = ngx_current_msec;
        ngx_http_flux_reader_count(reader, n);

        if (reader->sent == reader->bytes->len) {

            if (ngx_http_flux_reader_done(reader, NGX_OK) != NGX_OK) {
                ngx_http_flux_reader_close(reader, NGX_ERROR);
            }

            return;
        }
    }

    if (ngx_http_flux_reader_push(reader) == NGX_AGAIN) {
        /* what comes meanwhile it takes from the log */
        ngx_http_flux_reader_leave(reader);
    }
}


/*
 * Sends what there is to send: a frame that was begun, what was told, a frame.
 * NGX_OK: all went; NGX_AGAIN: the socket is full; NGX_DONE: the reader is
 * gone.
 */

static ngx_int_t
ngx_http_flux_reader_push(ngx_http_flux_reader_t *reader)
{
    ngx_int_t  rc;

    while (reader->talk != NULL || reader->out != NULL) {

        if (reader->out != NULL
            && (reader->started || reader->talk == NULL))
        {
            rc = ngx_http_flux_reader_push_frame(reader);

        } else {
            rc = ngx_http_flux_reader_push_told(reader);
        }

        if (rc == NGX_AGAIN) {
            if (!reader->blocked) {
                reader->blocked = 1;
                ngx_http_flux_reader_arm(reader);
            }

            return NGX_AGAIN;
        }

        if (rc != NGX_OK) {
            ngx_http_flux_reader_close(reader,
                                       rc == NGX_DONE ? NGX_OK : NGX_ERROR);
            return NGX_DONE;
        }
    }

    reader->blocked = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_reader_push_bytes(ngx_http_flux_reader_t *reader,
    ngx_str_t *bytes, size_t *sent)
{
    size_t     before = *sent;
    ngx_int_t  rc;

    rc = reader->transport->send(reader, bytes, sent);

    if (*sent != before) {
        reader->written = ngx_current_msec;
        ngx_http_flux_reader_count(reader, *sent - before);
    }

    return rc;
}


static void
ngx_http_flux_talk_begin(ngx_http_flux_text_t *text)
{
    ngx_memzero(text, sizeof(ngx_http_flux_text_t));
    text->log = ngx_http_flux_hub.log;
}


/* TLS and HTTP/2 want bytes that were begun to stay where they are. */

static ngx_int_t
ngx_http_flux_reader_push_told(ngx_http_flux_reader_t *reader)
{
    ngx_int_t              rc;
    ngx_str_t              bytes;
    ngx_http_flux_talk_t  *talk = reader->talk;

    if (talk->telling.len == 0) {
        talk->telling = talk->told;
        talk->sent = 0;
        ngx_http_flux_talk_begin(&talk->told);
    }

    bytes.data = talk->telling.data;
    bytes.len = talk->telling.len;

    rc = ngx_http_flux_reader_push_bytes(reader, &bytes, &talk->sent);

    if (rc == NGX_OK) {
        ngx_free(talk->telling.data);
        ngx_http_flux_talk_begin(&talk->telling);

        if (talk->told.len == 0) {
            ngx_free(talk);
            reader->talk = NULL;
        }
    }

    return rc;
}


static ngx_str_t *
ngx_http_flux_reader_encode(ngx_http_flux_reader_t *reader,
    ngx_http_flux_frame_t *frame)
{
    ngx_uint_t  encoding = reader->transport->encoding(reader);

    return reader->compress ? ngx_http_flux_compress(reader, frame, encoding)
                            : ngx_http_flux_frame_encode(frame, encoding);
}


static ngx_int_t
ngx_http_flux_reader_push_frame(ngx_http_flux_reader_t *reader)
{
    ngx_int_t  rc;

    if (!reader->started && ngx_http_flux_reader_start(reader) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_flux_reader_push_bytes(reader, reader->bytes, &reader->sent);

    return rc == NGX_OK || rc == NGX_DONE
           ? ngx_http_flux_reader_done(reader, rc) : rc;
}


static ngx_int_t
ngx_http_flux_reader_start(ngx_http_flux_reader_t *reader)
{
    reader->bytes = ngx_http_flux_reader_encode(reader, reader->out);

    if (reader->bytes == NULL) {
        return NGX_ERROR;
    }

    reader->started = 1;

    return NGX_OK;
}


/* The frame has gone; NGX_DONE: and the request is over. */

static ngx_int_t
ngx_http_flux_reader_done(ngx_http_flux_reader_t *reader, ngx_int_t rc)
{
    ngx_str_t               cursor;
    ngx_http_flux_frame_t  *frame = reader->out;

    reader->out = NULL;
    reader->started = 0;
    reader->messages += frame->messages;

    ngx_http_flux_hub_count(reader->transport->index, 1, frame->messages, 0);

    if (rc == NGX_OK && !reader->front && reader->behind == NULL) {

        /* it was at the front and too slow: now on its own */

        cursor = ngx_http_flux_frame_cursor(frame);

        reader->behind = ngx_http_flux_behind_create(reader->channel, &cursor,
                                                     0, reader->conf->buffer);
        if (reader->behind == NULL) {
            rc = NGX_ERROR;
        }
    }

    ngx_http_flux_frame_release(frame);

    return rc;
}


ngx_int_t
ngx_http_flux_reader_tell_bytes(ngx_http_flux_reader_t *reader, u_char *bytes,
    size_t len)
{
    ngx_http_flux_talk_t  *talk = reader->talk;

    if (talk == NULL) {
        talk = ngx_calloc(sizeof(ngx_http_flux_talk_t), ngx_http_flux_hub.log);
        if (talk == NULL) {
            return NGX_ERROR;
        }

        ngx_http_flux_talk_begin(&talk->told);
        ngx_http_flux_talk_begin(&talk->telling);
        reader->talk = talk;
    }

    if (talk->told.len + talk->telling.len + len > NGX_HTTP_FLUX_TOLD_MAX) {
        return NGX_ERROR;
    }

    ngx_http_flux_text_add(&talk->told, bytes, len);

    return talk->told.failed ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_flux_reader_tell(ngx_http_flux_reader_t *reader, ngx_str_t *messages)
{
    u_char                 *p;
    ngx_int_t               rc = NGX_ERROR;
    ngx_str_t              *bytes, none = ngx_null_string;
    ngx_uint_t              encoding;
    ngx_http_flux_frame_t  *frame;

    frame = ngx_http_flux_frame_create(ngx_http_flux_hub.log);
    if (frame == NULL) {
        return NGX_ERROR;
    }

    p = ngx_http_flux_frame_message(frame, messages->len, 0);

    if (p != NULL) {
        ngx_memcpy(p, messages->data, messages->len);

        if (ngx_http_flux_frame_close(frame, &none) == NGX_OK) {
            encoding = reader->transport->encoding(reader);

            /* WebSocket: plain, so that it keeps the channel's context */
            bytes = encoding == NGX_HTTP_FLUX_AS_MESSAGE
                    ? ngx_http_flux_frame_encode(frame, encoding)
                    : ngx_http_flux_reader_encode(reader, frame);
            if (bytes != NULL) {
                rc = ngx_http_flux_reader_tell_bytes(reader, bytes->data,
                                                     bytes->len);
            }
        }
    }

    ngx_http_flux_frame_release(frame);

    return rc;
}


ngx_int_t
ngx_http_flux_reader_flush(ngx_http_flux_reader_t *reader)
{
    return ngx_http_flux_reader_push(reader);
}


static void
ngx_http_flux_reader_write(ngx_http_request_t *r)
{
    ngx_http_flux_reader_t  *reader;

    reader = ngx_http_get_module_ctx(r, ngx_http_flux_module);

    if (!reader->closing) {
        ngx_http_flux_detach(reader);
        ngx_http_flux_reader_writable(reader);
    }
}


void
ngx_http_flux_reader_writable(ngx_http_flux_reader_t *reader)
{
    if (ngx_http_flux_reader_push(reader) == NGX_OK) {
        ngx_http_flux_reader_catch_up(reader);
    }
}


/* --- what it has missed ---------------------------------------------------- */

void
ngx_http_flux_reader_catch_up(ngx_http_flux_reader_t *reader)
{
    uint64_t                ordinal;
    ngx_int_t               rc, sent;
    ngx_uint_t              n;
    ngx_http_flux_frame_t  *frame;

#if (FLUX_TEST_ECHO)
    if (reader->conf->echo) {
        return;
    }
#endif

    if (reader->behind == NULL && !reader->front && reader->out == NULL) {
        /* there was no memory for it */
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return;
    }

    for (n = 0; n < NGX_HTTP_FLUX_READER_FRAMES; n++) {

        if (reader->behind == NULL || reader->out != NULL || reader->waiting
            || ngx_http_flux_reader_pace(reader) != NGX_OK)
        {
            return;
        }

        rc = ngx_http_flux_backlog(reader->behind, &frame, &ordinal);

        if (rc == NGX_ERROR) {
            ngx_http_flux_reader_close(reader, NGX_ERROR);
            return;
        }

        if (rc == NGX_OK) {
            ngx_http_flux_behind_destroy(reader->behind);
            reader->behind = NULL;
            ngx_http_flux_channel_join(reader->channel, reader, ordinal);

            if (reader->resumed) {
                reader->resumed = 0;
                ngx_http_flux_state_greet(reader);
            }
        }

        sent = NGX_OK;

        if (frame != NULL) {
            sent = ngx_http_flux_reader_give(reader, frame);
            ngx_http_flux_frame_release(frame);
        }

        if (rc == NGX_OK && sent == NGX_OK) {
            (void) ngx_http_flux_reader_push(reader);
            return;
        }

        if (sent != NGX_OK) {
            return;
        }

        if (rc == NGX_BUSY) {
            ngx_http_flux_hub_wait(reader);
            return;
        }
    }

    ngx_http_flux_hub.retry_soon = 1;
    ngx_http_flux_hub_wait(reader);
    ngx_http_flux_hub_post();
}


/* A frame of its own; it keeps the place where it joined. */

static ngx_int_t
ngx_http_flux_reader_give(ngx_http_flux_reader_t *reader,
    ngx_http_flux_frame_t *frame)
{
    ngx_int_t  rc;

    reader->out = ngx_http_flux_frame_hold(frame);
    reader->sent = 0;
    reader->started = 0;

    rc = ngx_http_flux_reader_push(reader);

    if (rc == NGX_AGAIN) {
        ngx_http_flux_reader_leave(reader);
    }

    return rc;
}


/* NGX_AGAIN: not yet; the timer goes on with it. */

static ngx_int_t
ngx_http_flux_reader_pace(ngx_http_flux_reader_t *reader)
{
    if (reader->channel->pace == 0 || reader->messages == 0
        || (ngx_msec_int_t) (ngx_current_msec - reader->written)
           >= (ngx_msec_int_t) reader->channel->pace)
    {
        reader->paced = 0;
        return NGX_OK;
    }

    reader->paced = 1;
    ngx_http_flux_reader_arm(reader);

    return NGX_AGAIN;
}


static void
ngx_http_flux_reader_leave(ngx_http_flux_reader_t *reader)
{
    if (reader->front || reader->waiting) {
        ngx_queue_remove(&reader->queue);
        reader->front = 0;
        reader->waiting = 0;
    }

    ngx_free(reader->joined.data);
    ngx_str_null(&reader->joined);
}


ngx_str_t *
ngx_http_flux_reader_place(ngx_http_flux_reader_t *reader, ngx_str_t *buf)
{
    ngx_http_flux_channel_t  *channel = reader->channel;

    if (reader->joined.len) {
        return &reader->joined;
    }

    if (channel->sending != NULL && reader->serial == channel->serial) {
        *buf = ngx_http_flux_frame_cursor(channel->sending);
        return buf;
    }

    return &channel->cursor;
}


void
ngx_http_flux_reader_fall_back(ngx_http_flux_reader_t *reader)
{
    ngx_str_t                  buf;

    /* without memory it is closed when its turn comes */

    reader->behind = ngx_http_flux_behind_create(reader->channel,
                                    ngx_http_flux_reader_place(reader, &buf),
                                    reader->channel->pace
                                    ? NGX_HTTP_FLUX_CONFLATE : 0,
                                    reader->conf->buffer);
    ngx_http_flux_reader_leave(reader);
    ngx_http_flux_hub_wait(reader);
    ngx_http_flux_hub.retry_soon = 1;
}


ngx_int_t
ngx_http_flux_reader_change(ngx_http_flux_reader_t *reader,
    ngx_http_flux_channel_t *channel, ngx_str_t *cursor)
{
    ngx_str_t                  buf, *place;
    ngx_http_flux_behind_t    *behind;

    if (reader->out != NULL && reader->behind == NULL) {
        buf = ngx_http_flux_frame_cursor(reader->out);
        place = &buf;

    } else if (reader->behind != NULL) {
        place = &buf;

        if (ngx_http_flux_behind_text(reader->behind, &buf) != NGX_OK) {
            ngx_http_flux_channel_release(channel);
            return NGX_ERROR;
        }

    } else {
        place = ngx_http_flux_reader_place(reader, &buf);
    }

    behind = ngx_http_flux_behind_create(channel, place, NGX_HTTP_FLUX_EXACT,
                                         reader->conf->buffer);

    if (behind == NULL
        || (cursor->len
            && ngx_http_flux_behind_add_cursor(behind, cursor) != NGX_OK))
    {
        ngx_http_flux_channel_release(channel);
        return NGX_ERROR;
    }

    ngx_http_flux_reader_leave(reader);
    ngx_http_flux_reader_seat(reader, 0);

    if (reader->behind != NULL) {
        ngx_http_flux_behind_destroy(reader->behind);
    }

    ngx_http_flux_channel_release(reader->channel);

    reader->channel = channel;
    reader->deflated = 0;
    reader->behind = behind;
    ngx_http_flux_reader_seat(reader, 1);

    ngx_http_flux_reader_catch_up(reader);

    return NGX_OK;
}


/* --- time ------------------------------------------------------------------ */

/* The next time something is due; the timer itself is set lazily. */

static void
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


/* --- the end --------------------------------------------------------------- */

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
