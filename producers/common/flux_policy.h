/*
 * When to ask a provider, and when not: retry delays, a circuit breaker, a
 * token bucket. Plain state machines: the caller brings the time (monotonic
 * milliseconds), so tests need no clock.
 */

#ifndef FLUX_POLICY_H
#define FLUX_POLICY_H

#include "flux_common.h"

/* a small PRNG (xorshift64*), seeded; not for secrets */
typedef struct {
    uint64_t  state;
} flux_random_t;

void flux_random_seed(flux_random_t *r, uint64_t seed);

/* Evenly from 0 to bound - 1; 0 for a bound of 0. */
uint64_t flux_random_below(flux_random_t *r, uint64_t bound);

/*
 * Exponential backoff with full jitter: evenly between 0 and
 * min(cap, base * 2^attempt); attempt counts from 0.
 */
int64_t flux_backoff(flux_random_t *r, int64_t base_ms, int64_t cap_ms,
    unsigned attempt);

/* A provider's Retry-After is believed up to this long. */
#define FLUX_RETRY_AFTER_MAX  ((int64_t) 3600 * 1000)

/* Seconds as the provider said to milliseconds, clamped to 0 .. an hour. */
int64_t flux_retry_after(int64_t seconds);

typedef enum {
    FLUX_CLOSED = 0,        /* all is well, everything passes */
    FLUX_OPEN,              /* nothing passes until open_ms are over */
    FLUX_HALF_OPEN          /* one probe is under way, nothing else passes */
} flux_breaker_state_t;

typedef struct {
    flux_breaker_state_t  state;
    unsigned              failures;     /* in a row */
    unsigned              threshold;    /* so many open it */
    int64_t               open_ms;      /* how long; doubles up to max_ms */
    int64_t               max_ms;
    int64_t               current_ms;
    int64_t               until;
} flux_breaker_t;

void flux_breaker_init(flux_breaker_t *b, unsigned threshold,
    int64_t open_ms, int64_t max_ms);

/*
 * 1 if a request may be sent now. It then must be followed by exactly one
 * of _success(), _failure() or, if its end says nothing about the provider,
 * _cancel().
 */
int flux_breaker_allow(flux_breaker_t *b, int64_t now);
void flux_breaker_success(flux_breaker_t *b);
void flux_breaker_failure(flux_breaker_t *b, int64_t now);
void flux_breaker_cancel(flux_breaker_t *b);

/* Milliseconds until _allow() can answer 1; 0 when it can now. */
int64_t flux_breaker_wait(const flux_breaker_t *b, int64_t now);

typedef struct {
    int64_t  rate;          /* tokens in 1,000 seconds */
    int64_t  burst;         /* in millionths of a token */
    int64_t  level;         /* likewise */
    int64_t  updated;
    int64_t  blocked;       /* nothing before this time: Retry-After */
} flux_bucket_t;

/* per_second in thousandths: 500 is one token in two seconds. */
void flux_bucket_init(flux_bucket_t *b, int64_t per_second_milli,
    int64_t burst, int64_t now);

/* 1 and one token less, or 0. */
int flux_bucket_take(flux_bucket_t *b, int64_t now);

/* Milliseconds until a token is there. */
int64_t flux_bucket_wait(flux_bucket_t *b, int64_t now);

/* No token before now + ms. */
void flux_bucket_block(flux_bucket_t *b, int64_t now, int64_t ms);

#endif /* FLUX_POLICY_H */
