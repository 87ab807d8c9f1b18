/*
 * Where a reader stands: at its channel's front, or behind, with the log to
 * give it what it has missed.
 */

#include "ngx_http_flux_demand.h"
#include "ngx_http_flux_hub.h"
#include "ngx_http_flux_reader.h"


/* Frames of a backlog to one reader before others get their turn. */
#define NGX_HTTP_FLUX_READER_FRAMES  4


static ngx_int_t ngx_http_flux_reader_give(ngx_http_flux_reader_t *reader,
    ngx_http_flux_frame_t *frame);
static ngx_int_t ngx_http_flux_reader_pace(ngx_http_flux_reader_t *reader);


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

            if (reader->resumed && reader->transport != &ngx_http_flux_poll) {
                reader->resumed = 0;

                if (ngx_http_flux_state_greet(reader) == NGX_DONE) {

                    if (frame != NULL) {
                        ngx_http_flux_frame_release(frame);
                    }

                    return;
                }
            }
        }

        sent = NGX_OK;

        if (frame != NULL) {
            sent = ngx_http_flux_reader_give(reader, frame);
            ngx_http_flux_frame_release(frame);
        }

        if (rc == NGX_OK && sent == NGX_OK) {
            (void) ngx_http_flux_reader_flush(reader);
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

    rc = ngx_http_flux_reader_flush(reader);

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


void
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

    if (channel->nrooms == 0 || reader->channel->nrooms == 0) {
        /* what it says is of none of the rooms, and they do not wait for it */
        ngx_str_null(&buf);
        place = &buf;
    }

    behind = ngx_http_flux_behind_create(channel, place, NGX_HTTP_FLUX_EXACT,
                                         reader->conf->buffer);

    if (behind != NULL) {
        ngx_http_flux_behind_only(behind, reader->channel);
    }

    if (behind == NULL
        || (cursor->len
            && ngx_http_flux_behind_add_cursor(behind, cursor) != NGX_OK))
    {
        ngx_http_flux_channel_release(channel);
        return NGX_ERROR;
    }

    /* rooms that stay keep their place in the table of demand */
    ngx_http_flux_demand_join(channel);

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
    ngx_http_flux_demand_leave(channel);

    ngx_http_flux_reader_catch_up(reader);

    return NGX_OK;
}
