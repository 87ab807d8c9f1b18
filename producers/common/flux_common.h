/*
 * What every file of the producers shares: result codes, clocks and the size
 * limits that more than one of them has to agree on.
 */

#ifndef FLUX_COMMON_H
#define FLUX_COMMON_H

#include <stddef.h>
#include <stdint.h>

#define FLUX_VERSION  "0.1.0"

typedef enum {
    FLUX_OK = 0,
    FLUX_AGAIN,             /* not now; ask again later */
    FLUX_INVALID,           /* the input is not what it should be */
    FLUX_FULL,              /* a bound was reached */
    FLUX_NOMEM,
    FLUX_ERROR              /* anything else; the log says what */
} flux_rc_t;

/* Where a record's data came from. Shown to the reader as "source". */
typedef enum {
    FLUX_LIVE = 0,
    FLUX_REPLAY,
    FLUX_SIMULATED
} flux_source_t;

/* "live", "replay" or "simulated". */
const char *flux_source_name(flux_source_t source);

/* Milliseconds that never run backwards; only differences mean anything. */
int64_t flux_monotonic_ms(void);

/* Unix time in milliseconds. */
int64_t flux_wall_ms(void);

/* ISO 8601 in UTC with milliseconds: 24 characters and a NUL. */
#define FLUX_TIME_SIZE  25
void flux_format_time(int64_t wall_ms, char out[FLUX_TIME_SIZE]);

/*
 * Copies into out what does not exceed size - 1 bytes, always terminated.
 * FLUX_FULL when text had to be cut.
 */
flux_rc_t flux_copy_text(char *out, size_t size, const char *text);

#endif /* FLUX_COMMON_H */
