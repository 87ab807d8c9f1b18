/*
 * Asks one provider for a changing set of things (jobs), each at its own
 * interval, under the provider's policies: token bucket, bound on requests
 * under way, retries with backoff and full jitter, Retry-After, breaker.
 * Fetchers share nothing but the loop: one's trouble delays no other.
 */

#ifndef FLUX_FETCHER_H
#define FLUX_FETCHER_H

#include "flux_cache.h"
#include "flux_policy.h"
#include "flux_provider.h"
#include "flux_tape.h"

#define FLUX_JOB_SIZE  1024

typedef struct flux_fetcher_s  flux_fetcher_t;

typedef struct {
    flux_loop_t            *loop;
    const flux_logger_t    *log;
    flux_http_t            *http;
    flux_recorder_t        *recorder;       /* or NULL */
    flux_cache_t           *cache;          /* or NULL */
    int64_t                 cache_ttl;      /* ms; 0: replies are not kept */
    const flux_provider_t  *provider;
    void                   *self;           /* the provider's */
    int64_t                 rate_milli;     /* requests in 1,000 seconds */
    int64_t                 burst;
    int64_t                 pace_milli;     /* and never faster than this,
                                               bursts included; 0: no bound */
    unsigned                parallel;       /* requests under way */
    int                     separate;       /* each job is a provider of its
                                               own: a breaker for each */
    int64_t                 timeout;        /* of one, in all; ms */

    /* called after each reply; may be NULL. It may add and remove jobs */
    void                  (*settled)(void *arg, flux_fetcher_t *fetcher,
                                     const char *job, flux_verdict_t verdict);
    void                   *arg;
} flux_fetcher_options_t;

typedef struct {
    const char  *provider;
    const char  *state;             /* idle, live, failing, limited, open */
    uint64_t     requests;
    uint64_t     failures;
    int64_t      last_success;      /* Unix ms, 0 if never */
    size_t       jobs;
    size_t       settled;           /* jobs that got data or gave up once */
    size_t       given_up;          /* of these, the ones without data */
} flux_fetcher_stats_t;

flux_fetcher_t *flux_fetcher_new(const flux_fetcher_options_t *options);
void flux_fetcher_free(flux_fetcher_t *fetcher);

/*
 * Adds a job, due after delay ms and then every interval ms; one that is
 * there already gets the new interval and keeps its place. FLUX_FULL for a
 * name too long, FLUX_NOMEM.
 */
flux_rc_t flux_fetcher_add(flux_fetcher_t *fetcher, const char *job,
    int64_t interval, int64_t delay);

/* Forgets a job and cancels its request. */
void flux_fetcher_remove(flux_fetcher_t *fetcher, const char *job);

/*
 * Hands a reply to the provider as if it had been fetched: for replays.
 * Counts nowhere.
 */
flux_verdict_t flux_fetcher_play(flux_fetcher_t *fetcher, const char *job,
    const flux_reply_t *reply);

void flux_fetcher_stats(const flux_fetcher_t *fetcher,
    flux_fetcher_stats_t *stats);

#endif /* FLUX_FETCHER_H */
