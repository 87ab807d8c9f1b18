#include "flux_buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define FLUX_BUFFER_START  256


void
flux_buffer_init(flux_buffer_t *b, size_t max)
{
    memset(b, 0, sizeof(*b));
    b->max = max;
}


void
flux_buffer_reset(flux_buffer_t *b)
{
    b->len = 0;
    b->failed = FLUX_OK;

    if (b->data != NULL) {
        b->data[0] = '\0';
    }
}


void
flux_buffer_free(flux_buffer_t *b)
{
    free(b->data);
    flux_buffer_init(b, b->max);
}


static flux_rc_t
flux_buffer_grow(flux_buffer_t *b, size_t more)
{
    char    *data;
    size_t   size;

    if (more > b->max || b->len > b->max - more || b->max == SIZE_MAX) {
        return FLUX_FULL;
    }

    if (b->len + more < b->size) {
        return FLUX_OK;
    }

    size = (b->size != 0) ? b->size : FLUX_BUFFER_START;

    while (size <= b->len + more) {
        size = (size <= b->max / 2) ? size * 2 : b->max + 1;
    }

    data = realloc(b->data, size);
    if (data == NULL) {
        return FLUX_NOMEM;
    }

    b->data = data;
    b->size = size;

    return FLUX_OK;
}


static flux_rc_t
flux_buffer_fail(flux_buffer_t *b, flux_rc_t rc)
{
    if (b->failed == FLUX_OK) {
        b->failed = rc;
    }

    return rc;
}


flux_rc_t
flux_buffer_append(flux_buffer_t *b, const void *data, size_t len)
{
    flux_rc_t  rc;

    rc = flux_buffer_grow(b, len);
    if (rc != FLUX_OK) {
        return flux_buffer_fail(b, rc);
    }

    if (len != 0) {
        memcpy(b->data + b->len, data, len);
        b->len += len;
    }

    b->data[b->len] = '\0';

    return FLUX_OK;
}


flux_rc_t
flux_buffer_text(flux_buffer_t *b, const char *text)
{
    return flux_buffer_append(b, text, strlen(text));
}


flux_rc_t
flux_buffer_printf(flux_buffer_t *b, const char *format, ...)
{
    int        n;
    va_list    args;
    flux_rc_t  rc;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);

    if (n < 0) {
        return flux_buffer_fail(b, FLUX_ERROR);
    }

    rc = flux_buffer_grow(b, (size_t) n);
    if (rc != FLUX_OK) {
        return flux_buffer_fail(b, rc);
    }

    va_start(args, format);
    vsnprintf(b->data + b->len, (size_t) n + 1, format, args);
    va_end(args);

    b->len += (size_t) n;

    return FLUX_OK;
}
