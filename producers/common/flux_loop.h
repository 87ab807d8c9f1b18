/*
 * One thread, one event loop: timers, descriptors, signals and curl's
 * transfers. Everything here runs in the thread that called flux_loop_new()
 * and calls handlers from flux_loop_run().
 */

#ifndef FLUX_LOOP_H
#define FLUX_LOOP_H

#include "flux_common.h"

#include <curl/curl.h>

typedef struct flux_loop_s  flux_loop_t;

typedef void (*flux_handler_pt)(void *arg);

/* Owned by whoever embeds it; has to stay until it fired or was cleared. */
typedef struct flux_timer_s  flux_timer_t;

struct flux_timer_s {
    int64_t           at;
    flux_handler_pt   handler;
    void             *arg;
    flux_timer_t     *next;
    int               set;
};

/* What a transfer of the multi handle calls at its end (CURLOPT_PRIVATE). */
typedef struct flux_transfer_s  flux_transfer_t;

struct flux_transfer_s {
    void  (*done)(flux_transfer_t *transfer, CURLcode result);
};

/*
 * NULL when memory or descriptors are missing. Blocks SIGTERM and SIGINT in
 * this thread (call it before any thread is started) and ignores SIGPIPE.
 */
flux_loop_t *flux_loop_new(void);
void flux_loop_free(flux_loop_t *loop);

/* Returns after flux_loop_stop(). */
void flux_loop_run(flux_loop_t *loop);
void flux_loop_stop(flux_loop_t *loop);

/* handler is called on SIGTERM or SIGINT. */
void flux_loop_on_signal(flux_loop_t *loop, flux_handler_pt handler,
    void *arg);

/* Monotonic milliseconds as of this turn of the loop. */
int64_t flux_loop_now(const flux_loop_t *loop);

void flux_timer_init(flux_timer_t *timer, flux_handler_pt handler, void *arg);

/* Fires once, delay ms from now; set again, it moves. */
void flux_timer_set(flux_loop_t *loop, flux_timer_t *timer, int64_t delay);
void flux_timer_clear(flux_loop_t *loop, flux_timer_t *timer);

#define FLUX_READ   1
#define FLUX_WRITE  2

/*
 * Watches a descriptor, level-triggered; called again for the same fd it
 * changes what is watched. FLUX_FULL when too many are. The descriptor
 * stays the caller's, who unwatches it before closing it.
 */
flux_rc_t flux_loop_watch(flux_loop_t *loop, int fd, int events,
    flux_handler_pt handler, void *arg);
void flux_loop_unwatch(flux_loop_t *loop, int fd);

/* For flux_http and flux_websocket only. */
CURLM *flux_loop_multi(flux_loop_t *loop);

#endif /* FLUX_LOOP_H */
