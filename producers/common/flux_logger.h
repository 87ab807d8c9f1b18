/*
 * Log lines to stderr, as text for a person or JSON for a collector. One
 * line is one write(), so lines of several processes do not mix. No line
 * ever holds a key: callers log a request's name, not its URL.
 */

#ifndef FLUX_LOGGER_H
#define FLUX_LOGGER_H

#include "flux_common.h"

typedef enum {
    FLUX_DEBUG = 0,
    FLUX_INFO,
    FLUX_WARN,
    FLUX_FAIL
} flux_level_t;

typedef struct {
    const char    *program;     /* borrowed, static */
    flux_level_t   level;       /* lines below it are dropped */
    int            json;
    int            fd;
} flux_logger_t;

void flux_logger_init(flux_logger_t *log, const char *program);

/* FLUX_INVALID for a name that is not debug, info, warn or error. */
flux_rc_t flux_logger_level(flux_logger_t *log, const char *name);

/* Control characters and broken UTF-8 in the text are made harmless. */
void flux_log(const flux_logger_t *log, flux_level_t level,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif /* FLUX_LOGGER_H */
