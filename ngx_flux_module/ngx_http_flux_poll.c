#include "ngx_http_flux_request.h"


static ngx_int_t ngx_http_flux_poll_start(ngx_http_flux_reader_t *reader);
static ngx_uint_t ngx_http_flux_poll_encoding(ngx_http_flux_reader_t *reader);
static ngx_int_t ngx_http_flux_poll_send(ngx_http_flux_reader_t *reader,
    ngx_str_t *bytes, size_t *sent);
static ngx_int_t ngx_http_flux_poll_heartbeat(ngx_http_flux_reader_t *reader);
static ngx_int_t ngx_http_flux_poll_answer(ngx_http_flux_reader_t *reader,
    ngx_str_t *messages);
static ngx_int_t ngx_http_flux_poll_tell(ngx_http_flux_reader_t *reader,
    ngx_str_t *messages);
static void ngx_http_flux_poll_end(ngx_http_flux_reader_t *reader,
    ngx_http_flux_end_t why, ngx_msec_t retry);


ngx_http_flux_transport_t  ngx_http_flux_poll = {
    ngx_string("poll"),
    2,
    NGX_HTTP_FLUX_WHOLE,
    ngx_http_flux_poll_start,
    ngx_http_flux_poll_encoding,
    ngx_http_flux_poll_send,
    ngx_http_flux_poll_heartbeat,
    ngx_http_flux_poll_end,
    ngx_http_flux_poll_tell,
    NULL,
    ngx_http_test_reading,
    NULL
};


static ngx_int_t
ngx_http_flux_poll_start(ngx_http_flux_reader_t *reader)
{
    /* the header goes with the frame */

    return NGX_OK;
}


static ngx_uint_t
ngx_http_flux_poll_encoding(ngx_http_flux_reader_t *reader)
{
    return NGX_HTTP_FLUX_AS_JSON;
}


/* Where the frame has states of rooms, up to so many; anything may look so. */

static ngx_uint_t
ngx_http_flux_poll_find_states(ngx_str_t *frame, u_char **found, ngx_uint_t n)
{
    u_char      *p = frame->data, *end = frame->data + frame->len;
    ngx_uint_t   i;

    for (i = 0; i < n; i++) {
        p = memmem(p, end - p, NGX_HTTP_FLUX_STATE_BEGIN,
                   sizeof(NGX_HTTP_FLUX_STATE_BEGIN) - 1);
        if (p == NULL) {
            break;
        }

        found[i] = p++;
    }

    return i;
}


/*
 * Nobody tells a client that is away: who comes back is told of all its rooms
 * that are not live, but for those that the frame tells of by itself.
 */

static void
ngx_http_flux_poll_states(ngx_http_flux_reader_t *reader, ngx_str_t *frame,
    ngx_http_flux_text_t *text)
{
    u_char                 *p, *last, *end = frame->data + frame->len;
    u_char                 *found[NGX_HTTP_FLUX_ROOMS_MAX * 2];
    int64_t                 since;
    size_t                  len;
    ngx_uint_t              i, k, n;
    ngx_http_flux_room_t   *room;
    ngx_http_flux_state_t   state;

    n = reader->resumed ? ngx_http_flux_poll_find_states(frame, found,
                                                 NGX_HTTP_FLUX_ROOMS_MAX * 2)
                        : 0;

    for (i = 0; reader->resumed && i < reader->channel->nrooms; i++) {

        room = reader->channel->links[i].room;

        state = ngx_http_flux_state_now(room, &since);

        if (state == NGX_HTTP_FLUX_LIVE && room->state == state) {
            /* one that has just become live is told of with what made it so */
            continue;
        }

        len = text->len;
        p = ngx_http_flux_text_extend(text, room->sn.str.len
                                            + NGX_HTTP_FLUX_STATE_LEN);
        if (p == NULL) {
            return;
        }

        last = ngx_http_flux_state_message(p, room, state, since);

        for (k = 0; k < n; k++) {
            if (end - found[k] >= last - p
                && ngx_memcmp(found[k], p, last - p) == 0)
            {
                break;
            }
        }

        if (k < n) {
            text->len = len;
            continue;
        }

        *last++ = ',';
        text->len = last - text->data;
    }
}


/* The frame is the answer: all of it, through the filters. */

static ngx_int_t
ngx_http_flux_poll_send(ngx_http_flux_reader_t *reader, ngx_str_t *bytes,
    size_t *sent)
{
    u_char                *cursor;
    ngx_int_t              rc;
    ngx_buf_t             *b;
    ngx_chain_t            out;
    ngx_http_request_t    *r = reader->request;
    ngx_http_flux_text_t   states;

    ngx_memzero(&states, sizeof(ngx_http_flux_text_t));
    states.log = r->connection->log;

    /* the last message, which holds no other brace */

    cursor = bytes->data + bytes->len;
    while (cursor > bytes->data && *--cursor != '{') { /* void */ }

    if (ngx_strncmp(cursor, "{\"type\":\"cursor\"", 16) == 0) {
        ngx_http_flux_poll_states(reader, bytes, &states);
    }

    b = states.failed ? NULL : ngx_create_temp_buf(r->pool, bytes->len
                                                            + states.len);
    if (b == NULL) {
        ngx_free(states.data);
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->pos, bytes->data, cursor - bytes->data);

    if (states.len) {
        b->last = ngx_cpymem(b->last, states.data, states.len);
    }

    b->last = ngx_cpymem(b->last, cursor, bytes->data + bytes->len - cursor);
    b->last_buf = 1;
    b->last_in_chain = 1;

    ngx_free(states.data);

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    /* no If-None-Match and the like: it is no page that a cache has */
    r->disable_not_modified = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return NGX_ERROR;
    }

    out.buf = b;
    out.next = NULL;

    if (ngx_http_output_filter(r, &out) == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* by which it is known that the frame has gone */
    *sent = bytes->len;

    return NGX_DONE;
}


/* Nothing has come in time: the answer is where the reader stands. */

static ngx_int_t
ngx_http_flux_poll_heartbeat(ngx_http_flux_reader_t *reader)
{
    ngx_str_t  none = ngx_null_string;

    if (reader->deadline == 0
        || (ngx_msec_int_t) (reader->deadline - ngx_current_msec) > 0)
    {
        return NGX_OK;
    }

    return ngx_http_flux_poll_answer(reader, &none);
}


static ngx_int_t
ngx_http_flux_poll_answer(ngx_http_flux_reader_t *reader, ngx_str_t *messages)
{
    size_t                  sent = 0;
    u_char                 *p;
    ngx_int_t               rc = NGX_ERROR;
    ngx_str_t               cursor;
    ngx_http_flux_frame_t  *frame;

    if (reader->behind != NULL) {
        if (ngx_http_flux_behind_text(reader->behind, &cursor) != NGX_OK) {
            cursor.len = 0;
        }

    } else {
        cursor = *ngx_http_flux_reader_place(reader, &cursor);
    }

    frame = ngx_http_flux_frame_create(ngx_http_flux_hub.log);

    if (frame != NULL) {

        if (messages->len) {
            p = ngx_http_flux_frame_message(frame, messages->len, 0);

            if (p != NULL) {
                ngx_memcpy(p, messages->data, messages->len);
            }
        }

        if (ngx_http_flux_frame_close(frame, &cursor) == NGX_OK) {
            rc = ngx_http_flux_poll_send(reader,
                       ngx_http_flux_frame_encode(frame,
                                                  NGX_HTTP_FLUX_AS_JSON),
                       &sent);
            ngx_http_flux_reader_count(reader, sent);
        }

        ngx_http_flux_frame_release(frame);
    }

    ngx_http_flux_reader_close(reader, rc == NGX_DONE ? NGX_OK : NGX_ERROR);

    return NGX_DONE;
}


static void
ngx_http_flux_poll_end(ngx_http_flux_reader_t *reader,
    ngx_http_flux_end_t why, ngx_msec_t retry)
{
    u_char     buf[128];
    ngx_str_t  message;

    message.data = buf;
    message.len = ngx_http_flux_end_message(buf, why, retry) - buf;

    (void) ngx_http_flux_poll_answer(reader, &message);
}


/* One who waits is answered: it has no other message to be told with. */

static ngx_int_t
ngx_http_flux_poll_tell(ngx_http_flux_reader_t *reader, ngx_str_t *messages)
{
    if (!reader->front && !reader->waiting) {
        return NGX_OK;
    }

    return ngx_http_flux_poll_answer(reader, messages);
}
