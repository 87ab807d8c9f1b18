#include "ngx_http_flux_text.h"


/* What a frame of one small record takes; larger ones grow by doubling. */
#define NGX_HTTP_FLUX_TEXT_FIRST  512


/* Has place for `len` more bytes behind what there is. */

static ngx_int_t
ngx_http_flux_text_grow(ngx_http_flux_text_t *text, size_t len)
{
    size_t   size;
    u_char  *p;

    if (text->failed) {
        return NGX_ERROR;
    }

    if (text->size - text->len >= len) {
        return NGX_OK;
    }

    size = text->size ? text->size * 2 : NGX_HTTP_FLUX_TEXT_FIRST;
    size = ngx_max(size, text->len + len);

    p = ngx_alloc(size, text->log);
    if (p == NULL) {
        text->failed = 1;
        return NGX_ERROR;
    }

    if (text->data != NULL) {
        ngx_memcpy(p, text->data, text->len);
        ngx_free(text->data);
    }

    text->data = p;
    text->size = size;

    return NGX_OK;
}


u_char *
ngx_http_flux_text_extend(ngx_http_flux_text_t *text, size_t len)
{
    u_char  *p;

    if (ngx_http_flux_text_grow(text, len) != NGX_OK) {
        return NULL;
    }

    p = text->data + text->len;
    text->len += len;

    return p;
}


void
ngx_http_flux_text_add(ngx_http_flux_text_t *text, const void *src, size_t len)
{
    u_char  *p = ngx_http_flux_text_extend(text, len);

    if (p != NULL) {
        ngx_memcpy(p, src, len);
    }
}


void
ngx_http_flux_text_print(ngx_http_flux_text_t *text, const char *fmt, ...)
{
    size_t    free;
    u_char   *p;
    va_list   args;

    for (free = 1; ngx_http_flux_text_grow(text, free) == NGX_OK;
         free = text->size)
    {
        va_start(args, fmt);
        p = ngx_vslprintf(text->data + text->len, text->data + text->size, fmt,
                          args);
        va_end(args);

        /* up to the very end: it may have been cut off */

        if (p < text->data + text->size) {
            text->len = p - text->data;
            return;
        }
    }
}
