#include "ngx_http_flux_batch.h"
#include "ngx_http_flux_hub.h"
#include "ngx_http_flux_reader.h"

#include "core/flux_prefetch.h"


/*
 * After a frame has gone to many the channel rests for as long as that took,
 * and no longer than this (ms): what comes meanwhile goes out together, and
 * the core is free for others.  A frame that is this large (bytes) gains
 * nothing by more of it.
 */
#define NGX_HTTP_FLUX_REST        7
#define NGX_HTTP_FLUX_REST_FRAME  16384

/* So many sends in a row may take a ms. */
#define NGX_HTTP_FLUX_REST_SENDS  64


static ngx_uint_t ngx_http_flux_channel_rests(
    ngx_http_flux_channel_t *channel);
static void ngx_http_flux_channel_rest(ngx_http_flux_channel_t *channel,
    ngx_uint_t sends);
static ngx_int_t ngx_http_flux_channel_seal(ngx_http_flux_channel_t *channel);
static ngx_int_t ngx_http_flux_channel_conflate(
    ngx_http_flux_channel_t *channel);
static void ngx_http_flux_channel_send(ngx_http_flux_channel_t *channel,
    ngx_http_flux_reader_t *reader);
static void ngx_http_flux_channel_prefetch(ngx_http_flux_channel_t *channel);


void
ngx_http_flux_channel_tick(ngx_event_t *ev)
{
    ngx_http_flux_channel_mark(ev->data);
    ngx_http_flux_hub_post();
}


ngx_int_t
ngx_http_flux_channel_flush(ngx_http_flux_channel_t *channel,
    ngx_uint_t *budget)
{
    ngx_int_t                rc = NGX_OK;
    ngx_str_t                cursor;
    ngx_uint_t               begin = *budget;
    ngx_queue_t             *q;
    ngx_http_flux_reader_t  *reader;

    if (ngx_http_flux_channel_rests(channel)) {
        channel->queued = 0;
        ngx_queue_remove(&channel->dirty);
        return NGX_OK;
    }

    channel->refs++;

    if (channel->batch == ngx_http_flux_batch_serial()) {
        /* its readers have the frame before this one still to be sent */
        ngx_http_flux_batch_submit();
    }

    if (channel->sending == NULL) {
        channel->began = ngx_current_msec;
        channel->serial++;
        rc = channel->pace ? ngx_http_flux_channel_conflate(channel)
                           : ngx_http_flux_channel_seal(channel);
    }

    while (channel->sending != NULL && !ngx_queue_empty(&channel->front)) {

        if (*budget == 0) {
            ngx_http_flux_channel_release(channel);
            return NGX_AGAIN;
        }

        --*budget;

        ngx_http_flux_channel_prefetch(channel);

        q = ngx_queue_head(&channel->front);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&channel->sent, q);

        reader = ngx_queue_data(q, ngx_http_flux_reader_t, queue);
        ngx_http_flux_channel_send(channel, reader);
    }

    if (channel->sending != NULL) {
        cursor = ngx_http_flux_frame_cursor(channel->sending);
        ngx_http_flux_channel_stand(channel, &cursor);

        if (!ngx_queue_empty(&channel->sent)) {
            ngx_queue_add(&channel->front, &channel->sent);
            ngx_queue_init(&channel->sent);
        }

        ngx_http_flux_frame_release(channel->sending);
        channel->sending = NULL;
        ngx_http_flux_channel_rest(channel, begin - *budget);
    }

    if (channel->rest != NULL) {
        ngx_http_flux_frame_release(channel->rest);
        channel->rest = NULL;
    }

    channel->queued = 0;
    ngx_queue_remove(&channel->dirty);

    if (rc == NGX_ERROR) {
        ngx_http_flux_channel_fall_back(channel);

    } else if (channel->pending != NULL) {
        /* came while this was sent: behind the other channels */
        ngx_http_flux_channel_mark(channel);
    }

    ngx_http_flux_channel_release(channel);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_flux_channel_rests(ngx_http_flux_channel_t *channel)
{
    ngx_msec_int_t  left = (ngx_msec_int_t) (channel->due - ngx_current_msec);

    if (left <= 0 || channel->sending != NULL || channel->pending == NULL
        || channel->pending->json.len >= NGX_HTTP_FLUX_REST_FRAME)
    {
        return 0;
    }

    if (!channel->timer.timer_set) {
        ngx_add_timer(&channel->timer, (ngx_msec_t) left);
    }

    return 1;
}


static void
ngx_http_flux_channel_rest(ngx_http_flux_channel_t *channel, ngx_uint_t sends)
{
    ngx_msec_t  took;

    if (sends < NGX_HTTP_FLUX_REST_SENDS
        && channel->began == ngx_current_msec)
    {
        return;
    }

    ngx_http_flux_batch_submit();
    ngx_time_update();

    took = ngx_current_msec - channel->began;
    channel->due = ngx_current_msec + ngx_min(took, NGX_HTTP_FLUX_REST);
}


/*
 * When thousands are sent to in a row, what it takes of a reader and of its
 * connection is never in the cache.  Each step loads what the one before has
 * brought the way to.
 */

static void
ngx_http_flux_channel_prefetch(ngx_http_flux_channel_t *channel)
{
#if defined(__GNUC__)

    u_char                  *p;
    ngx_queue_t             *ahead[4];
    ngx_uint_t               i;
    ngx_connection_t        *c;
    ngx_http_flux_reader_t  *reader;

    ahead[0] = ngx_queue_next(ngx_queue_head(&channel->front));

    for (i = 1; i < 4; i++) {
        ahead[i] = ngx_queue_next(ahead[i - 1]);

        if (ahead[i] == ngx_queue_sentinel(&channel->front)) {
            return;
        }
    }

    p = (u_char *) ngx_queue_data(ahead[3], ngx_http_flux_reader_t, queue);

    for (i = 0; i < offsetof(ngx_http_flux_reader_t, all);
         i += ngx_cacheline_size)
    {
        flux_prefetch_to_write(p + i);
    }

    reader = ngx_queue_data(ahead[1], ngx_http_flux_reader_t, queue);
    c = reader->connection;
    flux_prefetch(&c->fd);
    flux_prefetch_to_write(&c->sent);

#endif
}


/* The front stands at this cursor. */

void
ngx_http_flux_channel_stand(ngx_http_flux_channel_t *channel,
    ngx_str_t *cursor)
{
    u_char  *p;

    if (channel->cursor_size < cursor->len) {
        p = ngx_alloc(cursor->len * 2, ngx_http_flux_hub.log);
        if (p == NULL) {
            return;
        }

        ngx_free(channel->cursor.data);
        channel->cursor.data = p;
        channel->cursor_size = cursor->len * 2;
    }

    ngx_memcpy(channel->cursor.data, cursor->data, cursor->len);
    channel->cursor.len = cursor->len;
}


/* `pending` gets its cursor and becomes `sending`. */

static ngx_int_t
ngx_http_flux_channel_seal(ngx_http_flux_channel_t *channel)
{
    ngx_str_t               cursor;
    ngx_http_flux_frame_t  *frame = channel->pending;

    if (channel->broken) {
        channel->broken = 0;
        return NGX_ERROR;
    }

    channel->pending = NULL;

    if (frame == NULL) {
        return NGX_OK;
    }

    if (frame->messages == 0) {
        ngx_http_flux_frame_release(frame);
        return NGX_OK;
    }

    if (ngx_http_flux_channel_cursor(channel, &cursor) != NGX_OK
        || ngx_http_flux_frame_close(frame, &cursor) != NGX_OK)
    {
        ngx_http_flux_frame_release(frame);
        return NGX_ERROR;
    }

    channel->sending = frame;

    return NGX_OK;
}


/*
 * With a pace: once it is time, the newest record of each key that changed
 * since the front's cursor.
 */

static ngx_int_t
ngx_http_flux_channel_conflate(ngx_http_flux_channel_t *channel)
{
    uint64_t                 ordinal;
    ngx_int_t                rc;
    ngx_msec_int_t           left;
    ngx_http_flux_behind_t  *behind;

    left = (ngx_msec_int_t) (channel->flushed + channel->pace
                             - ngx_current_msec);

    if (left > 0) {
        if (!channel->timer.timer_set) {
            ngx_add_timer(&channel->timer, (ngx_msec_t) left);
        }

        return NGX_OK;
    }

    if (!channel->changed || ngx_queue_empty(&channel->front)) {
        return NGX_OK;
    }

    behind = ngx_http_flux_behind_create(channel, &channel->cursor,
                                         NGX_HTTP_FLUX_CONFLATE, 0);
    if (behind == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_flux_backlog(behind, &channel->sending, &ordinal);

    ngx_http_flux_behind_destroy(behind);

    if (rc == NGX_OK) {
        channel->changed = 0;
        channel->flushed = ngx_current_msec;
        return NGX_OK;
    }

    if (rc == NGX_BUSY) {
        /* the index is being rebuilt */
        ngx_add_timer(&channel->timer, channel->pace);
        return NGX_OK;
    }

    return NGX_ERROR;
}


static void
ngx_http_flux_channel_send(ngx_http_flux_channel_t *channel,
    ngx_http_flux_reader_t *reader)
{
    ngx_http_flux_frame_t  *frame = channel->sending;

    if (channel->pace
        && (ngx_msec_int_t) (channel->flushed - reader->written)
           < (ngx_msec_int_t) channel->pace)
    {
        /* it came in between: on its own until the next time */
        ngx_http_flux_reader_fall_back(reader);
        return;
    }

    if (frame->nmarks == 0 || reader->ordinal < frame->marks[0].ordinal) {
        reader->serial = channel->serial;
        ngx_http_flux_reader_send(reader, frame);
        return;
    }

    /* it came while the frame was gathered and has seen its beginning */

    if (reader->ordinal >= frame->marks[frame->nmarks - 1].ordinal) {
        return;
    }

    if (channel->rest == NULL || channel->rest_after != reader->ordinal) {

        if (channel->rest != NULL) {
            ngx_http_flux_frame_release(channel->rest);
        }

        channel->rest = ngx_http_flux_frame_after(frame, reader->ordinal);
        channel->rest_after = reader->ordinal;
    }

    if (channel->rest == NULL) {
        ngx_http_flux_reader_close(reader, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    reader->serial = channel->serial;
    ngx_http_flux_reader_send(reader, channel->rest);
}
