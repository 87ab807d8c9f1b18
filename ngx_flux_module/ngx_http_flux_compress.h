/*
 * Frames compressed: once for all readers of a channel that have its context,
 * or alone for all others (core/flux_deflate.h).
 */

#ifndef _NGX_HTTP_FLUX_COMPRESS_H_INCLUDED_
#define _NGX_HTTP_FLUX_COMPRESS_H_INCLUDED_


#include "ngx_http_flux_reader.h"


/*
 * As ngx_http_flux_frame_encode(), for a reader whose stream is compressed and
 * who is about to be sent it.  NULL: no memory.
 */
ngx_str_t *ngx_http_flux_compress(ngx_http_flux_reader_t *reader,
    ngx_http_flux_frame_t *frame, ngx_uint_t encoding);

/*
 * Text for one reader of an event stream, in a chunk or not; it loses the
 * channel's context.  To be freed with ngx_free().
 */
ngx_int_t ngx_http_flux_compress_text(ngx_http_flux_reader_t *reader,
    ngx_str_t *text, ngx_uint_t chunk, ngx_str_t *out, u_char **base);

#if (FLUX_TEST_ECHO)

/* A message for one WebSocket; to be freed with ngx_free(). */
ngx_int_t ngx_http_flux_compress_echo(ngx_str_t *text, ngx_uint_t opcode,
    ngx_str_t *out, u_char **base);

#endif

/*
 * Inflates a client's message to at most `max` bytes; to be freed with
 * ngx_free().  NGX_OK, or the code to close with.
 */
ngx_int_t ngx_http_flux_inflate(const u_char *p, size_t len, size_t max,
    ngx_str_t *out);

/* Gives back what a channel's stream holds; it may be used on. */
void ngx_http_flux_compress_close(ngx_http_flux_deflate_t *stream);

void ngx_http_flux_compress_exit(void);


#endif /* _NGX_HTTP_FLUX_COMPRESS_H_INCLUDED_ */
