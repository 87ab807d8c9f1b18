#include "flux_fetcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/* retries of one job */
#define FLUX_RETRY_BASE_MS    1000
#define FLUX_RETRY_CAP_MS     60000

/* a job that the provider refused is asked for again, but seldom */
#define FLUX_REFUSED_BASE_MS  60000
#define FLUX_REFUSED_CAP_MS   3600000

/* asked too often, and the provider did not say how long to wait */
#define FLUX_LIMITED_BASE_MS  2000
#define FLUX_LIMITED_CAP_MS   120000

/* who asks only once (--once) asks a job so often */
#define FLUX_GIVE_UP          3

/* thousandths per second: as fast as replies come */
#define FLUX_NO_PACE          100000000

#define FLUX_BREAKER_FAILURES 5
#define FLUX_BREAKER_OPEN_MS  5000
#define FLUX_BREAKER_MAX_MS   60000


typedef struct flux_job_s  flux_job_t;

struct flux_job_s {
    flux_job_t      *next;
    flux_fetcher_t  *fetcher;
    flux_call_t     *call;          /* while under way */
    flux_lookup_t   *lookup;        /* while the cache is asked */
    int64_t          interval;
    int64_t          due;
    unsigned         attempt;       /* failures in a row */
    int              complained;    /* said so in the log */
    int              served;        /* got data at least once */
    int              refused;
    flux_breaker_t   own;           /* with separate */
    flux_breaker_t  *breaker;       /* that one or the fetcher's */
    char             name[];
};


struct flux_fetcher_s {
    flux_fetcher_options_t   options;
    flux_job_t              *jobs;
    size_t                   count;
    unsigned                 under_way;
    flux_timer_t             timer;
    flux_bucket_t            bucket;
    flux_bucket_t            pace;
    flux_breaker_t           breaker;
    flux_random_t            random;
    flux_fetcher_stats_t     stats;
    unsigned                 limited;       /* refusals for rate in a row */
};


static void flux_fetcher_pump(void *arg);


static void
flux_fetcher_breaker(flux_breaker_t *breaker)
{
    flux_breaker_init(breaker, FLUX_BREAKER_FAILURES, FLUX_BREAKER_OPEN_MS,
                      FLUX_BREAKER_MAX_MS);
}


flux_fetcher_t *
flux_fetcher_new(const flux_fetcher_options_t *options)
{
    flux_fetcher_t  *fetcher;

    fetcher = calloc(1, sizeof(flux_fetcher_t));
    if (fetcher == NULL) {
        return NULL;
    }

    fetcher->options = *options;
    fetcher->stats.provider = options->provider->name;

    flux_timer_init(&fetcher->timer, flux_fetcher_pump, fetcher);
    flux_bucket_init(&fetcher->bucket, options->rate_milli, options->burst,
                     flux_monotonic_ms());
    flux_bucket_init(&fetcher->pace,
                     (options->pace_milli > 0) ? options->pace_milli
                                               : FLUX_NO_PACE,
                     options->parallel, flux_monotonic_ms());
    flux_fetcher_breaker(&fetcher->breaker);
    flux_random_seed(&fetcher->random, (uint64_t) flux_wall_ms()
                                       ^ (uint64_t) (uintptr_t) fetcher);

    return fetcher;
}


static void
flux_job_free(flux_job_t *job)
{
    if (job->call != NULL) {
        flux_http_cancel(job->call);
        job->fetcher->under_way--;
        flux_breaker_cancel(job->breaker);
    }

    if (job->lookup != NULL) {
        flux_cache_cancel(job->lookup);
    }

    free(job);
}


void
flux_fetcher_free(flux_fetcher_t *fetcher)
{
    flux_job_t  *job;

    if (fetcher == NULL) {
        return;
    }

    flux_timer_clear(fetcher->options.loop, &fetcher->timer);

    while ((job = fetcher->jobs) != NULL) {
        fetcher->jobs = job->next;
        flux_job_free(job);
    }

    free(fetcher);
}


static flux_job_t **
flux_fetcher_find(const flux_fetcher_t *fetcher, const char *name)
{
    flux_job_t  **link;

    link = (flux_job_t **) &fetcher->jobs;

    while (*link != NULL && strcmp((*link)->name, name) != 0) {
        link = &(*link)->next;
    }

    return link;
}


/* tells whoever listens; it may remove the job */

static void
flux_fetcher_settled(flux_job_t *job, flux_verdict_t verdict)
{
    char             name[FLUX_JOB_SIZE];
    flux_fetcher_t  *fetcher;

    fetcher = job->fetcher;
    flux_timer_set(fetcher->options.loop, &fetcher->timer, 0);

    if (fetcher->options.settled != NULL) {
        flux_copy_text(name, sizeof(name), job->name);
        fetcher->options.settled(fetcher->options.arg, fetcher, name,
                                 verdict);
    }
}


/* what the cache has is as good as fetched, only older */

static void
flux_fetcher_cached(void *arg, const flux_reply_t *reply)
{
    int64_t          now, age;
    flux_job_t      *job = arg;
    const char      *why;
    flux_fetcher_t  *fetcher;

    fetcher = job->fetcher;
    now = flux_monotonic_ms();

    job->lookup = NULL;

    if (reply == NULL
        || fetcher->options.provider->parse(fetcher->options.self, job->name,
                                            reply, &why) != FLUX_REPLY_OK)
    {
        flux_timer_set(fetcher->options.loop, &fetcher->timer, 0);
        return;
    }

    age = flux_wall_ms() - reply->wall_ms;
    age = (age > 0) ? age : 0;

    job->served = 1;
    job->due = now + ((age < job->interval) ? job->interval - age : 0);

    flux_fetcher_settled(job, FLUX_REPLY_OK);
}


flux_rc_t
flux_fetcher_add(flux_fetcher_t *fetcher, const char *name, int64_t interval,
    int64_t delay)
{
    size_t       len;
    flux_job_t  *job, **link;

    link = flux_fetcher_find(fetcher, name);

    if (*link != NULL) {
        (*link)->interval = interval;
        return FLUX_OK;
    }

    len = strlen(name);

    if (len >= FLUX_JOB_SIZE) {
        return FLUX_FULL;
    }

    job = calloc(1, sizeof(flux_job_t) + len + 1);
    if (job == NULL) {
        return FLUX_NOMEM;
    }

    memcpy(job->name, name, len + 1);
    job->fetcher = fetcher;
    job->interval = interval;
    job->due = flux_monotonic_ms() + delay;
    job->breaker = &fetcher->breaker;

    if (fetcher->options.separate) {
        job->breaker = &job->own;
        flux_fetcher_breaker(job->breaker);
    }

    *link = job;
    fetcher->count++;

    if (fetcher->options.cache != NULL && fetcher->options.cache_ttl > 0) {
        job->lookup = flux_cache_get(fetcher->options.cache,
                                     fetcher->stats.provider, name,
                                     flux_fetcher_cached, job);
    }

    flux_timer_set(fetcher->options.loop, &fetcher->timer, 0);

    return FLUX_OK;
}


void
flux_fetcher_remove(flux_fetcher_t *fetcher, const char *name)
{
    flux_job_t  *job, **link;

    link = flux_fetcher_find(fetcher, name);
    job = *link;

    if (job != NULL) {
        *link = job->next;
        fetcher->count--;
        flux_job_free(job);
        flux_timer_set(fetcher->options.loop, &fetcher->timer, 0);
    }
}


static flux_verdict_t
flux_fetcher_judge(flux_fetcher_t *fetcher, const flux_job_t *job,
    const flux_reply_t *reply, const char **why)
{
    *why = NULL;

    switch (reply->status) {

    case 200:
    case 304:
        return fetcher->options.provider->parse(fetcher->options.self,
                                                job->name, reply, why);

    case 429:
        return FLUX_REPLY_LIMITED;

    case 503:
        return (reply->retry_after >= 0) ? FLUX_REPLY_LIMITED
                                         : FLUX_REPLY_TROUBLE;

    case 400:
    case 404:
    case 410:
    case 422:
        return FLUX_REPLY_REFUSED;
    }

    return FLUX_REPLY_TROUBLE;
}


/*
 * A job's trouble is a warning when it begins and the provider was well
 * until then; the rest is for who wants to see all.
 */

static void
flux_fetcher_complain(flux_fetcher_t *fetcher, flux_job_t *job,
    const flux_reply_t *reply, const char *why)
{
    flux_level_t  level;
    char  status[32];

    snprintf(status, sizeof(status), "status %d", reply->status);

    if (why == NULL) {
        why = (reply->error != NULL) ? reply->error : status;
    }

    level = FLUX_DEBUG;

    if (!job->complained && job->breaker->state == FLUX_CLOSED) {
        level = FLUX_WARN;
        job->complained = 1;
    }

    flux_log(fetcher->options.log, level, "%s: %s: %s",
             fetcher->stats.provider, job->name, why);
}


static void
flux_fetcher_good(flux_fetcher_t *fetcher, flux_job_t *job, int64_t now)
{
    if (job->complained) {
        job->complained = 0;
        flux_log(fetcher->options.log, FLUX_INFO, "%s: %s: well again",
                 fetcher->stats.provider, job->name);
    }

    flux_breaker_success(job->breaker);
    fetcher->limited = 0;
    fetcher->stats.last_success = flux_wall_ms();
    job->attempt = 0;
    job->served = 1;
    job->due = now + job->interval;
}


static void
flux_fetcher_limited(flux_fetcher_t *fetcher, flux_job_t *job,
    const flux_reply_t *reply, int64_t now)
{
    int64_t  wait;

    wait = reply->retry_after;

    if (wait < 0) {
        wait = FLUX_LIMITED_BASE_MS / 2
               + flux_backoff(&fetcher->random, FLUX_LIMITED_BASE_MS,
                              FLUX_LIMITED_CAP_MS,
                              fetcher->options.separate ? job->attempt++
                                                        : fetcher->limited);
    }

    flux_breaker_cancel(job->breaker);
    job->due = now + wait;

    if (!fetcher->options.separate) {
        fetcher->limited++;
        flux_bucket_block(&fetcher->bucket, now, wait);
    }
}


static void
flux_fetcher_bad(flux_fetcher_t *fetcher, flux_job_t *job,
    const flux_reply_t *reply, flux_verdict_t verdict, int64_t now)
{
    fetcher->stats.failures++;

    switch (verdict) {

    case FLUX_REPLY_LIMITED:
        flux_fetcher_limited(fetcher, job, reply, now);
        return;

    case FLUX_REPLY_REFUSED:
        flux_breaker_success(job->breaker);
        job->refused = 1;
        job->due = now + FLUX_REFUSED_BASE_MS
                   + flux_backoff(&fetcher->random, FLUX_REFUSED_BASE_MS,
                                  FLUX_REFUSED_CAP_MS, job->attempt++);
        return;

    default:
        break;
    }

    flux_breaker_failure(job->breaker, now);
    job->due = now + flux_backoff(&fetcher->random, FLUX_RETRY_BASE_MS,
                                  FLUX_RETRY_CAP_MS, job->attempt++);
}


static void
flux_fetcher_reply(void *arg, const flux_reply_t *reply)
{
    int64_t          now;
    flux_job_t      *job = arg;
    const char      *why;
    flux_fetcher_t  *fetcher;
    flux_verdict_t   verdict;

    fetcher = job->fetcher;
    now = flux_loop_now(fetcher->options.loop);

    job->call = NULL;
    fetcher->under_way--;

    flux_recorder_write(fetcher->options.recorder, fetcher->stats.provider,
                        job->name, reply);

    verdict = flux_fetcher_judge(fetcher, job, reply, &why);

    if (verdict == FLUX_REPLY_OK) {
        flux_fetcher_good(fetcher, job, now);

        if (fetcher->options.cache != NULL && reply->status == 200
            && fetcher->options.cache_ttl > 0)
        {
            flux_cache_put(fetcher->options.cache, fetcher->stats.provider,
                           job->name, reply, fetcher->options.cache_ttl);
        }

    } else {
        flux_fetcher_complain(fetcher, job, reply, why);
        flux_fetcher_bad(fetcher, job, reply, verdict, now);
    }

    flux_fetcher_settled(job, verdict);
}


static void
flux_fetcher_send(flux_fetcher_t *fetcher, flux_job_t *job, int64_t now)
{
    flux_rc_t        rc;
    flux_request_t   request;

    flux_request_init(&request);

    if (fetcher->options.timeout > 0) {
        request.total_ms = (long) fetcher->options.timeout;
    }

    rc = fetcher->options.provider->build(fetcher->options.self, job->name,
                                          &request);
    if (rc == FLUX_OK) {
        job->call = flux_http_get(fetcher->options.http, &request,
                                  flux_fetcher_reply, job);
    }

    if (job->call == NULL) {
        flux_breaker_cancel(job->breaker);
        job->due = now + job->interval;

        if (rc != FLUX_AGAIN) {
            flux_log(fetcher->options.log, FLUX_FAIL,
                     "%s: %s: the request could not be made",
                     fetcher->stats.provider, job->name);
        }

        return;
    }

    fetcher->under_way++;
    fetcher->stats.requests++;
}


/* the job whose turn comes first, and in how many ms that is */

static flux_job_t *
flux_fetcher_next(const flux_fetcher_t *fetcher, int64_t now, int64_t *wait)
{
    int64_t      turn, pause;
    flux_job_t  *job, *next;

    next = NULL;
    *wait = 0;

    for (job = fetcher->jobs; job != NULL; job = job->next) {
        if (job->call != NULL || job->lookup != NULL) {
            continue;
        }

        turn = job->due - now;
        pause = flux_breaker_wait(job->breaker, now);
        turn = (pause > turn) ? pause : turn;

        if (next == NULL || turn < *wait) {
            next = job;
            *wait = turn;
        }
    }

    return next;
}


/* sends what is due and allowed, then waits for what comes first */

static void
flux_fetcher_pump(void *arg)
{
    int64_t          now, wait, pause;
    flux_job_t      *job;
    flux_fetcher_t  *fetcher = arg;

    now = flux_monotonic_ms();

    while (fetcher->under_way < fetcher->options.parallel) {

        job = flux_fetcher_next(fetcher, now, &wait);
        if (job == NULL) {
            return;
        }

        pause = flux_bucket_wait(&fetcher->bucket, now);
        wait = (pause > wait) ? pause : wait;

        pause = flux_bucket_wait(&fetcher->pace, now);
        wait = (pause > wait) ? pause : wait;

        if (wait > 0) {
            flux_timer_set(fetcher->options.loop, &fetcher->timer, wait);
            return;
        }

        if (!flux_breaker_allow(job->breaker, now)
            || !flux_bucket_take(&fetcher->pace, now)
            || !flux_bucket_take(&fetcher->bucket, now))
        {
            /* both said there was no wait: the clock went on since */
            flux_timer_set(fetcher->options.loop, &fetcher->timer, 1);
            return;
        }

        flux_fetcher_send(fetcher, job, now);
    }
}


flux_verdict_t
flux_fetcher_play(flux_fetcher_t *fetcher, const char *job,
    const flux_reply_t *reply)
{
    const char  *why;

    why = NULL;

    if (reply->status != 200) {
        return FLUX_REPLY_TROUBLE;
    }

    return fetcher->options.provider->parse(fetcher->options.self, job,
                                            reply, &why);
}


void
flux_fetcher_stats(const flux_fetcher_t *fetcher,
    flux_fetcher_stats_t *stats)
{
    size_t             open, failing;
    const flux_job_t  *job;

    open = failing = 0;
    *stats = fetcher->stats;
    stats->jobs = fetcher->count;
    stats->settled = 0;
    stats->given_up = 0;

    for (job = fetcher->jobs; job != NULL; job = job->next) {
        open += (job->breaker->state != FLUX_CLOSED);
        failing += (job->breaker->failures != 0);

        if (job->served) {
            stats->settled++;

        } else if (job->refused || job->attempt >= FLUX_GIVE_UP) {
            stats->settled++;
            stats->given_up++;
        }
    }

    if (open != 0 && open == fetcher->count) {
        stats->state = "open";

    } else if (fetcher->limited != 0) {
        stats->state = "limited";

    } else if (failing != 0) {
        stats->state = "failing";

    } else {
        stats->state = (fetcher->stats.last_success != 0) ? "live" : "idle";
    }
}
