/*
 * A frame: messages and a cursor, encoded once for each transport and shared
 * by all who are sent it.  Lives in one worker, counted by references.
 */

#ifndef _NGX_HTTP_FLUX_FRAME_H_INCLUDED_
#define _NGX_HTTP_FLUX_FRAME_H_INCLUDED_


#include "ngx_http_flux_module.h"
#include "ngx_http_flux_text.h"


#define NGX_HTTP_FLUX_AS_JSON         0     /* the body of a poll */
#define NGX_HTTP_FLUX_AS_EVENT        1     /* SSE */
#define NGX_HTTP_FLUX_AS_CHUNK        2     /* SSE in a chunk of HTTP/1.1 */
#define NGX_HTTP_FLUX_AS_MESSAGE      3     /* WebSocket */
#define NGX_HTTP_FLUX_ENCODINGS       4


/* Where a message begins in the frame, and the ordinal of its entry. */

typedef struct {
    uint64_t   ordinal;
    size_t     at;
} ngx_http_flux_mark_t;


/*
 * The frame compressed (core/flux_deflate.h): in its channel's stream or
 * alone, as an event or as a message.
 */

#define NGX_HTTP_FLUX_PIECES  4     /* 2 * alone + message */

typedef struct {
    u_char    *base;                /* NULL: not made */
    ngx_str_t  bytes;
    ngx_str_t  framed;              /* in a chunk, or as WebSocket's frame */
    uint64_t   needs;
    uint64_t   leaves;
} ngx_http_flux_piece_t;


typedef struct {
    ngx_uint_t             refs;
    ngx_uint_t             messages;    /* without the cursor */
    ngx_http_flux_text_t   json;
    size_t                 cursor_at;   /* in json, 0: the frame has none */
    size_t                 cursor_len;
    ngx_http_flux_mark_t  *marks;       /* one per message, or NULL */
    ngx_uint_t             nmarks, marks_size;
    ngx_str_t              encoded[NGX_HTTP_FLUX_ENCODINGS];
    ngx_http_flux_piece_t *pieces;      /* NULL, or PIECES of them */
} ngx_http_flux_frame_t;


/* A new frame with one reference, or NULL. */
ngx_http_flux_frame_t *ngx_http_flux_frame_create(ngx_log_t *log);

ngx_http_flux_frame_t *ngx_http_flux_frame_hold(ngx_http_flux_frame_t *frame);
void ngx_http_flux_frame_release(ngx_http_flux_frame_t *frame);

/*
 * Begins a message of `len` bytes and returns where to write it; NULL when
 * memory ran out, then the frame is of no use any more.
 */
u_char *ngx_http_flux_frame_message(ngx_http_flux_frame_t *frame, size_t len,
    uint64_t ordinal);

/* Takes the message just begun back. */
void ngx_http_flux_frame_undo(ngx_http_flux_frame_t *frame, size_t len);

/* For a message written in pieces: opens it, then ngx_http_flux_text_*(). */
ngx_int_t ngx_http_flux_frame_open(ngx_http_flux_frame_t *frame);

/*
 * Ends the frame, with a cursor unless it is empty.  Nothing is added to it
 * afterwards.
 */
ngx_int_t ngx_http_flux_frame_close(ngx_http_flux_frame_t *frame,
    ngx_str_t *cursor);

ngx_str_t ngx_http_flux_frame_cursor(ngx_http_flux_frame_t *frame);

/* The frame's bytes for a transport; they live as long as the frame. */
ngx_str_t *ngx_http_flux_frame_encode(ngx_http_flux_frame_t *frame,
    ngx_uint_t encoding);

/* A new frame of the messages behind an ordinal, with the same cursor. */
ngx_http_flux_frame_t *ngx_http_flux_frame_after(ngx_http_flux_frame_t *frame,
    uint64_t ordinal);

#endif /* _NGX_HTTP_FLUX_FRAME_H_INCLUDED_ */
