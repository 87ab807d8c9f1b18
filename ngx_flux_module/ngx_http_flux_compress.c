#include "ngx_http_flux_compress.h"

#include "core/flux_json.h"
#include "core/flux_websocket.h"


/* Before a piece: the size of a chunk, or the header of a message. */
#define NGX_HTTP_FLUX_PIECE_HEAD     (NGX_SIZE_T_LEN + 2)

/*
 * A stream takes 166 KB, so a worker has 32 MB of them at most.  Half of them
 * are kept for channels that several read.  Who finds none takes over one
 * that has not been used for so many ms, or does without.
 */
#define NGX_HTTP_FLUX_STREAMS        192
#define NGX_HTTP_FLUX_STREAMS_FEW    96
#define NGX_HTTP_FLUX_FEW_READERS    2
#define NGX_HTTP_FLUX_STREAM_IDLE    60000

/* What is shorter alone gains nothing, and may go plain over WebSocket. */
#define NGX_HTTP_FLUX_MESSAGE_LEAST  128


static ngx_int_t ngx_http_flux_piece_make(ngx_http_flux_piece_t *piece,
    flux_deflate_t *d, ngx_str_t *text, ngx_uint_t message, ngx_uint_t alone);


/* of this worker, made when they are first needed */

static flux_deflate_t  *ngx_http_flux_deflate;
static flux_inflate_t  *ngx_http_flux_inflater;

/* by their last use */
static ngx_queue_t      ngx_http_flux_streams;
static ngx_uint_t       ngx_http_flux_nstreams;


void
ngx_http_flux_compress_exit(void)
{
    flux_deflate_destroy(ngx_http_flux_deflate);
    flux_inflate_destroy(ngx_http_flux_inflater);

    ngx_http_flux_deflate = NULL;
    ngx_http_flux_inflater = NULL;
}


static flux_deflate_t *
ngx_http_flux_deflate_alone(void)
{
    if (ngx_http_flux_deflate == NULL) {
        ngx_http_flux_deflate = flux_deflate_new(FLUX_DEFLATE_LEVEL,
                                                 FLUX_DEFLATE_WINDOW_ALONE,
                                                 FLUX_DEFLATE_MEMORY);
    }

    return ngx_http_flux_deflate;
}


/* --- pieces -------------------------------------------------------------- */

static ngx_int_t
ngx_http_flux_piece_make(ngx_http_flux_piece_t *piece, flux_deflate_t *d,
    ngx_str_t *text, ngx_uint_t message, ngx_uint_t alone)
{
    size_t                 n, bound;
    u_char                *p, head[NGX_HTTP_FLUX_PIECE_HEAD];
    flux_deflate_piece_t   made;
    flux_deflate_status_t  rc;

    bound = flux_deflate_bound(d, text->len);

    piece->base = ngx_alloc(NGX_HTTP_FLUX_PIECE_HEAD + bound + 2,
                            ngx_http_flux_hub.log);
    if (piece->base == NULL) {
        return NGX_ERROR;
    }

    p = piece->base + NGX_HTTP_FLUX_PIECE_HEAD;

    rc = alone
         ? flux_deflate_alone(d, p, bound, text->data, text->len, &made)
         : flux_deflate_next(d, p, bound, text->data, text->len, &made);

    if (rc != FLUX_DEFLATE_OK) {
        ngx_free(piece->base);
        piece->base = NULL;
        return NGX_ERROR;
    }

    piece->needs = made.needs;
    piece->leaves = made.leaves;

    if (message) {
        made.length -= FLUX_DEFLATE_TAIL;
        n = flux_ws_header(head, FLUX_WS_OP_TEXT, 1, made.length);

    } else {
        n = ngx_sprintf(head, "%xz\r\n", made.length) - head;
        p[made.length] = '\r';
        p[made.length + 1] = '\n';
    }

    ngx_memcpy(p - n, head, n);

    piece->framed.data = p - n;
    piece->framed.len = n + made.length + (message ? 0 : 2);
    piece->bytes.data = p;
    piece->bytes.len = made.length;

    return NGX_OK;
}


static ngx_http_flux_piece_t *
ngx_http_flux_piece_of(ngx_http_flux_frame_t *frame, flux_deflate_t *d,
    ngx_uint_t message, ngx_uint_t alone)
{
    ngx_str_t              *text;
    ngx_http_flux_piece_t  *piece;

    if (frame->pieces == NULL) {
        frame->pieces = ngx_calloc(NGX_HTTP_FLUX_PIECES
                                   * sizeof(ngx_http_flux_piece_t),
                                   frame->json.log);
        if (frame->pieces == NULL) {
            return NULL;
        }
    }

    piece = &frame->pieces[2 * alone + message];

    if (piece->base != NULL) {
        return piece;
    }

    text = ngx_http_flux_frame_encode(frame, message ? NGX_HTTP_FLUX_AS_JSON
                                                     : NGX_HTTP_FLUX_AS_EVENT);

    if (d == NULL || text == NULL
        || ngx_http_flux_piece_make(piece, d, text, message, alone) != NGX_OK)
    {
        return NULL;
    }

    return piece;
}


/* --- the stream of a channel --------------------------------------------- */

void
ngx_http_flux_compress_close(ngx_http_flux_deflate_t *stream)
{
    if (stream->deflate == NULL) {
        return;
    }

    stream->context = flux_deflate_context(stream->deflate);

    flux_deflate_destroy(stream->deflate);
    stream->deflate = NULL;

    ngx_queue_remove(&stream->queue);
    ngx_http_flux_nstreams--;
}


/* NGX_DECLINED: it does without. */

static ngx_int_t
ngx_http_flux_compress_open(ngx_http_flux_deflate_t *stream,
    ngx_uint_t readers)
{
    ngx_uint_t                max;
    ngx_http_flux_deflate_t  *oldest;

    if (stream->deflate != NULL) {
        ngx_queue_remove(&stream->queue);
        ngx_queue_insert_tail(&ngx_http_flux_streams, &stream->queue);
        stream->used = ngx_current_msec;

        return NGX_OK;
    }

    if (ngx_http_flux_streams.next == NULL) {
        ngx_queue_init(&ngx_http_flux_streams);
    }

    max = readers <= NGX_HTTP_FLUX_FEW_READERS ? NGX_HTTP_FLUX_STREAMS_FEW
                                               : NGX_HTTP_FLUX_STREAMS;

    if (ngx_http_flux_nstreams >= max) {
        oldest = ngx_queue_data(ngx_queue_head(&ngx_http_flux_streams),
                                ngx_http_flux_deflate_t, queue);

        if (ngx_current_msec - oldest->used < NGX_HTTP_FLUX_STREAM_IDLE) {
            return NGX_DECLINED;
        }

        ngx_http_flux_compress_close(oldest);
    }

    stream->deflate = flux_deflate_new(FLUX_DEFLATE_LEVEL,
                                       FLUX_DEFLATE_WINDOW,
                                       FLUX_DEFLATE_MEMORY);
    if (stream->deflate == NULL) {
        return NGX_DECLINED;
    }

    flux_deflate_follow(stream->deflate, stream->context);

    ngx_queue_insert_tail(&ngx_http_flux_streams, &stream->queue);
    ngx_http_flux_nstreams++;
    stream->used = ngx_current_msec;

    return NGX_OK;
}


/* The piece of its stream, or NULL: there is none for this frame. */

static ngx_http_flux_piece_t *
ngx_http_flux_compress_shared(ngx_http_flux_channel_t *channel,
    ngx_http_flux_frame_t *frame, ngx_uint_t message)
{
    ngx_uint_t                readers;
    ngx_http_flux_deflate_t  *stream = &channel->streams[message];

    if (stream->serial != channel->serial) {

        /* who took the last frame from the stream, and who did not */

        stream->serial = channel->serial;
        stream->were_inside = stream->inside;
        stream->were_outside = stream->outside;
        stream->inside = 0;
        stream->outside = 0;
    }

    if (frame->pieces != NULL && frame->pieces[message].base != NULL) {
        return &frame->pieces[message];
    }

    /* a reader that leaves after its first frame pays for none */

    readers = stream->were_inside + stream->were_outside;

    if (readers == 0
        || ngx_http_flux_compress_open(stream, readers) != NGX_OK)
    {
        return NULL;
    }

    if (flux_deflate_restart_due(stream->deflate, stream->were_inside,
                                 stream->were_outside))
    {
        flux_deflate_restart(stream->deflate);
    }

    return ngx_http_flux_piece_of(frame, stream->deflate, message, 0);
}


ngx_str_t *
ngx_http_flux_compress(ngx_http_flux_reader_t *reader,
    ngx_http_flux_frame_t *frame, ngx_uint_t encoding)
{
    ngx_uint_t                message = encoding == NGX_HTTP_FLUX_AS_MESSAGE;
    ngx_http_flux_piece_t    *piece = NULL;
    ngx_http_flux_channel_t  *channel = reader->channel;

    if (frame == channel->sending && !reader->alone) {

        piece = ngx_http_flux_compress_shared(channel, frame, message);

        if (piece != NULL
            && (piece->needs == 0 || piece->needs == reader->deflated))
        {
            channel->streams[message].inside++;

        } else {
            channel->streams[message].outside++;
            piece = NULL;
        }
    }

    if (piece == NULL) {

        if (message && frame->json.len < NGX_HTTP_FLUX_MESSAGE_LEAST) {
            return ngx_http_flux_frame_encode(frame, encoding);
        }

        piece = ngx_http_flux_piece_of(frame, ngx_http_flux_deflate_alone(),
                                       message, 1);
        if (piece == NULL) {
            return message ? ngx_http_flux_frame_encode(frame, encoding)
                           : NULL;
        }
    }

    reader->deflated = piece->leaves;

    return encoding == NGX_HTTP_FLUX_AS_EVENT ? &piece->bytes : &piece->framed;
}


ngx_int_t
ngx_http_flux_compress_text(ngx_http_flux_reader_t *reader, ngx_str_t *text,
    ngx_uint_t chunk, ngx_str_t *out, u_char **base)
{
    flux_deflate_t         *d = ngx_http_flux_deflate_alone();
    ngx_http_flux_piece_t   piece;

    if (d == NULL
        || ngx_http_flux_piece_make(&piece, d, text, 0, 1) != NGX_OK)
    {
        return NGX_ERROR;
    }

    reader->deflated = 0;
    *out = chunk ? piece.framed : piece.bytes;
    *base = piece.base;

    return NGX_OK;
}


#if (FLUX_TEST_ECHO)

ngx_int_t
ngx_http_flux_compress_echo(ngx_str_t *text, ngx_uint_t opcode, ngx_str_t *out,
    u_char **base)
{
    flux_deflate_t         *d = ngx_http_flux_deflate_alone();
    ngx_http_flux_piece_t   piece;

    if (d == NULL
        || ngx_http_flux_piece_make(&piece, d, text, 1, 1) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* FIN, RSV1 */
    piece.framed.data[0] = (u_char) (0xc0 | opcode);

    *out = piece.framed;
    *base = piece.base;

    return NGX_OK;
}

#endif


/* --- what clients send --------------------------------------------------- */

ngx_int_t
ngx_http_flux_inflate(const u_char *p, size_t len, size_t max, ngx_str_t *out)
{
    flux_deflate_status_t  rc;

    if (ngx_http_flux_inflater == NULL) {
        ngx_http_flux_inflater = flux_inflate_new(15);
        if (ngx_http_flux_inflater == NULL) {
            return NGX_ERROR;
        }
    }

    out->data = ngx_alloc(max, ngx_http_flux_hub.log);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    /* client_no_context_takeover: one for all */
    flux_inflate_reset(ngx_http_flux_inflater);

    rc = flux_inflate_message(ngx_http_flux_inflater, out->data, max,
                              &out->len, p, len);

    if (rc == FLUX_DEFLATE_OK) {
        return NGX_OK;
    }

    ngx_free(out->data);
    out->data = NULL;

    return rc == FLUX_DEFLATE_TOO_LARGE ? FLUX_WS_TOO_LARGE : FLUX_WS_INVALID;
}
