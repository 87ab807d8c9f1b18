/*
 * Valkey or Redis, optional: the last good reply of each job, so that a
 * restart asks no provider again. Everything here is a wish: when it is
 * absent, slow or broken, lookups end without a result and stores are
 * dropped, and nothing else changes.
 */

#ifndef FLUX_CACHE_H
#define FLUX_CACHE_H

#include "flux_http.h"
#include "flux_logger.h"
#include "flux_loop.h"

typedef struct flux_cache_s   flux_cache_t;
typedef struct flux_lookup_s  flux_lookup_t;

/*
 * reply is NULL when there is none, or not in time. It was checked as JSON
 * of ours, no more: whoever gets it checks it like any provider's reply. The
 * lookup is gone when it returns.
 */
typedef void (*flux_lookup_pt)(void *arg, const flux_reply_t *reply);

/* url: redis://HOST[:PORT]. NULL: not such a URL, or no memory. */
flux_cache_t *flux_cache_new(flux_loop_t *loop, const flux_logger_t *log,
    const char *url);
void flux_cache_free(flux_cache_t *cache);

/*
 * Calls handler once, within 500 ms, never before it returned. NULL when
 * there is no memory: then handler is not called.
 */
flux_lookup_t *flux_cache_get(flux_cache_t *cache, const char *provider,
    const char *job, flux_lookup_pt handler, void *arg);

/* handler will not be called any more. */
void flux_cache_cancel(flux_lookup_t *lookup);

/* Keeps a good reply for ttl ms. */
void flux_cache_put(flux_cache_t *cache, const char *provider,
    const char *job, const flux_reply_t *reply, int64_t ttl);

#endif /* FLUX_CACHE_H */
