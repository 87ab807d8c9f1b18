/*
 * Text that grows: messages and reports are written into it.
 */

#ifndef _NGX_HTTP_FLUX_TEXT_H_INCLUDED_
#define _NGX_HTTP_FLUX_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Zeroed, with a log.  `data` is to be freed by ngx_free(). */

typedef struct {
    u_char     *data;
    size_t      len;
    size_t      size;
    ngx_log_t  *log;
    unsigned    failed:1;       /* memory ran out; it stays as it was */
} ngx_http_flux_text_t;


/* Makes place for `len` more bytes and returns it, or NULL. */
u_char *ngx_http_flux_text_extend(ngx_http_flux_text_t *text, size_t len);

void ngx_http_flux_text_add(ngx_http_flux_text_t *text, const void *p,
    size_t len);

#define ngx_http_flux_text_literal(text, s)                                   \
    ngx_http_flux_text_add(text, s, sizeof(s) - 1)

/* As ngx_sprintf(). */
void ngx_http_flux_text_print(ngx_http_flux_text_t *text, const char *fmt,
    ...);


#endif /* _NGX_HTTP_FLUX_TEXT_H_INCLUDED_ */
