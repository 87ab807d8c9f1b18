/*
 * A byte buffer that grows up to a bound. An append that fails leaves the
 * buffer unchanged and marks it failed, so that a row of appends needs one
 * check at its end. data is NUL-terminated whenever it is not NULL.
 */

#ifndef FLUX_BUFFER_H
#define FLUX_BUFFER_H

#include "flux_common.h"

typedef struct {
    char       *data;       /* owned; NULL until the first append */
    size_t      len;
    size_t      size;
    size_t      max;        /* largest len */
    flux_rc_t   failed;     /* the first failure, FLUX_OK if none */
} flux_buffer_t;

void flux_buffer_init(flux_buffer_t *b, size_t max);

/* Forgets the content and the failure, keeps the memory. */
void flux_buffer_reset(flux_buffer_t *b);

void flux_buffer_free(flux_buffer_t *b);

/* FLUX_OK, FLUX_FULL or FLUX_NOMEM. */
flux_rc_t flux_buffer_append(flux_buffer_t *b, const void *data, size_t len);
flux_rc_t flux_buffer_text(flux_buffer_t *b, const char *text);
flux_rc_t flux_buffer_printf(flux_buffer_t *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif /* FLUX_BUFFER_H */
