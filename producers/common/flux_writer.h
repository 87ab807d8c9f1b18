/*
 * Writes compact JSON into a buffer. Names are NULL inside an array and at
 * the top. Errors stick to the buffer: check buffer->failed at the end.
 * Numbers are written from text, so a provider's decimals arrive unchanged.
 */

#ifndef FLUX_WRITER_H
#define FLUX_WRITER_H

#include "flux_buffer.h"

#define FLUX_WRITER_DEPTH  16

typedef struct {
    flux_buffer_t  *out;                        /* borrowed */
    unsigned        depth;
    unsigned        first;                      /* bit per level */
    char            close[FLUX_WRITER_DEPTH];
} flux_writer_t;

void flux_writer_init(flux_writer_t *w, flux_buffer_t *out);

/* Open, to be closed by flux_write_end(). */
void flux_write_object(flux_writer_t *w, const char *name);
void flux_write_array(flux_writer_t *w, const char *name);
void flux_write_end(flux_writer_t *w);

/* text may be NULL: null is written. Broken UTF-8 becomes U+FFFD. */
void flux_write_text(flux_writer_t *w, const char *name, const char *text);
void flux_write_bytes(flux_writer_t *w, const char *name, const char *text,
    size_t len);
void flux_write_int(flux_writer_t *w, const char *name, int64_t value);
void flux_write_bool(flux_writer_t *w, const char *name, int value);
void flux_write_null(flux_writer_t *w, const char *name);

/* text is a JSON number (flux_tree says so) or NULL for null. */
void flux_write_number(flux_writer_t *w, const char *name, const char *text);

#endif /* FLUX_WRITER_H */
