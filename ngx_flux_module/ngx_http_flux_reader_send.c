/*
 * What goes to a reader: frames, and what is told to it alone.
 */

#include "ngx_http_flux_batch.h"
#include "ngx_http_flux_compress.h"
#include "ngx_http_flux_request.h"


/*
 * More than this of answers to what its client asks may not wait for a socket
 * when the next one comes.  One may be larger: the states of 256 rooms.
 */
#if (FLUX_TEST_ECHO)
#define NGX_HTTP_FLUX_TOLD_MAX       (64 * 1024 * 1024)
#else
#define NGX_HTTP_FLUX_TOLD_MAX       (64 * 1024)
#endif


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

    if (ngx_http_flux_reader_flush(reader) == NGX_AGAIN) {
        /* what comes meanwhile it takes from the log */
        ngx_http_flux_reader_leave(reader);
    }
}


ngx_int_t
ngx_http_flux_reader_flush(ngx_http_flux_reader_t *reader)
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

    if (talk->told.len + talk->telling.len > NGX_HTTP_FLUX_TOLD_MAX) {
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
ngx_http_flux_reader_header(ngx_http_flux_reader_t *reader)
{
    ngx_http_request_t  *r = reader->request;

    return r->http_version < NGX_HTTP_VERSION_20
           && ngx_http_flux_flush_header(r) == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


void
ngx_http_flux_reader_write(ngx_http_request_t *r)
{
    ngx_http_flux_reader_t  *reader;

    reader = ngx_http_get_module_ctx(r, ngx_http_flux_module);

    if (reader->closing) {
        return;
    }

    if (ngx_http_flux_reader_header(reader) != NGX_OK) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return;
    }

    ngx_http_flux_detach(reader);
    ngx_http_flux_reader_writable(reader);
}


void
ngx_http_flux_reader_writable(ngx_http_flux_reader_t *reader)
{
    if (ngx_http_flux_reader_flush(reader) == NGX_OK) {
        ngx_http_flux_reader_catch_up(reader);
    }
}
