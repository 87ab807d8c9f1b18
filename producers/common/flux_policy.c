#include "flux_policy.h"


#define FLUX_TOKEN  1000000


static uint64_t
flux_random_next(flux_random_t *r)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;

    return r->state * UINT64_C(0x2545f4914f6cdd1d);
}


void
flux_random_seed(flux_random_t *r, uint64_t seed)
{
    /* splitmix64's increment: neighbouring seeds start far apart */

    r->state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);

    if (r->state == 0) {
        r->state = 1;
    }

    flux_random_next(r);
    flux_random_next(r);
}


uint64_t
flux_random_below(flux_random_t *r, uint64_t bound)
{
    /* the bias of a plain remainder is below bound / 2^64 */

    return (bound != 0) ? flux_random_next(r) % bound : 0;
}


int64_t
flux_backoff(flux_random_t *r, int64_t base_ms, int64_t cap_ms,
    unsigned attempt)
{
    int64_t  limit;

    limit = base_ms;

    while (attempt-- > 0 && limit < cap_ms) {
        limit *= 2;
    }

    if (limit > cap_ms) {
        limit = cap_ms;
    }

    return (int64_t) flux_random_below(r, (uint64_t) limit + 1);
}


int64_t
flux_retry_after(int64_t seconds)
{
    if (seconds <= 0) {
        return 0;
    }

    if (seconds >= FLUX_RETRY_AFTER_MAX / 1000) {
        return FLUX_RETRY_AFTER_MAX;
    }

    return seconds * 1000;
}


void
flux_breaker_init(flux_breaker_t *b, unsigned threshold, int64_t open_ms,
    int64_t max_ms)
{
    b->state = FLUX_CLOSED;
    b->failures = 0;
    b->threshold = threshold;
    b->open_ms = open_ms;
    b->max_ms = max_ms;
    b->current_ms = open_ms;
    b->until = 0;
}


int
flux_breaker_allow(flux_breaker_t *b, int64_t now)
{
    switch (b->state) {

    case FLUX_CLOSED:
        return 1;

    case FLUX_OPEN:
        if (now < b->until) {
            return 0;
        }

        b->state = FLUX_HALF_OPEN;
        return 1;

    case FLUX_HALF_OPEN:
        break;
    }

    return 0;
}


void
flux_breaker_success(flux_breaker_t *b)
{
    b->state = FLUX_CLOSED;
    b->failures = 0;
    b->current_ms = b->open_ms;
}


void
flux_breaker_failure(flux_breaker_t *b, int64_t now)
{
    b->failures++;

    if (b->state == FLUX_HALF_OPEN) {
        b->current_ms = (b->current_ms <= b->max_ms / 2) ? b->current_ms * 2
                                                         : b->max_ms;

    } else if (b->state == FLUX_OPEN || b->failures < b->threshold) {
        return;
    }

    b->state = FLUX_OPEN;
    b->until = now + b->current_ms;
}


void
flux_breaker_cancel(flux_breaker_t *b)
{
    /* until is in the past, so the next request is the probe */

    if (b->state == FLUX_HALF_OPEN) {
        b->state = FLUX_OPEN;
    }
}


int64_t
flux_breaker_wait(const flux_breaker_t *b, int64_t now)
{
    switch (b->state) {

    case FLUX_CLOSED:
        return 0;

    case FLUX_OPEN:
        return (b->until > now) ? b->until - now : 0;

    case FLUX_HALF_OPEN:
        break;
    }

    /* the probe's end will be told; until then this is a guess */

    return b->open_ms;
}


void
flux_bucket_init(flux_bucket_t *b, int64_t per_second_milli, int64_t burst,
    int64_t now)
{
    b->rate = per_second_milli;
    b->burst = burst * FLUX_TOKEN;
    b->level = b->burst;
    b->updated = now;
    b->blocked = 0;
}


/* thousandths per second are millionths per millisecond: nothing is lost */

static void
flux_bucket_fill(flux_bucket_t *b, int64_t now)
{
    int64_t  passed;

    passed = now - b->updated;

    if (passed <= 0) {
        return;
    }

    b->updated = now;

    if (b->rate <= 0 || b->level >= b->burst) {
        return;
    }

    if (passed > (b->burst - b->level) / b->rate) {
        b->level = b->burst;

    } else {
        b->level += passed * b->rate;
    }
}


int
flux_bucket_take(flux_bucket_t *b, int64_t now)
{
    flux_bucket_fill(b, now);

    if (b->level < FLUX_TOKEN || now < b->blocked) {
        return 0;
    }

    b->level -= FLUX_TOKEN;

    return 1;
}


int64_t
flux_bucket_wait(flux_bucket_t *b, int64_t now)
{
    int64_t  wait;

    flux_bucket_fill(b, now);

    wait = 0;

    if (b->level < FLUX_TOKEN) {
        wait = (b->rate > 0)
               ? (FLUX_TOKEN - b->level + b->rate - 1) / b->rate
               : FLUX_RETRY_AFTER_MAX;
    }

    if (b->blocked - now > wait) {
        wait = b->blocked - now;
    }

    return wait;
}


void
flux_bucket_block(flux_bucket_t *b, int64_t now, int64_t ms)
{
    if (now + ms > b->blocked) {
        b->blocked = now + ms;
    }
}
