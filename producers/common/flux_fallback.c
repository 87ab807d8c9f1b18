#include "flux_fallback.h"


/* so many simulated records at most are made up for after a late turn */
#define FLUX_FALLBACK_CATCH_UP  50


static void
flux_fallback_simulate(flux_fallback_t *f)
{
    int      n;
    int64_t  now, gap;

    if (f->rate_milli <= 0) {
        return;
    }

    now = flux_monotonic_ms();
    gap = 1000000 / f->rate_milli;
    gap = (gap > 0) ? gap : 1;

    for (n = 0; f->next <= now && n < FLUX_FALLBACK_CATCH_UP; n++) {
        f->simulate(f->arg);
        f->next += gap;
    }

    if (f->next <= now) {
        f->next = now + gap;
    }

    flux_timer_set(f->loop, &f->timer, f->next - now);
}


static void
flux_fallback_enter(flux_fallback_t *f)
{
    f->serving = FLUX_FALLEN_BACK;
    f->next = flux_monotonic_ms();

    if (f->player != NULL) {
        flux_player_start(f->player);
    }

    /* the tape's first lines come first: what it covers is not simulated */

    flux_timer_set(f->loop, &f->timer, (f->player != NULL) ? 200 : 0);
}


static void
flux_fallback_timer(void *arg)
{
    flux_fallback_t  *f = arg;

    if (f->serving == FLUX_STARTING) {
        flux_fallback_give_up(f);
        return;
    }

    flux_fallback_simulate(f);
}


void
flux_fallback_init(flux_fallback_t *f)
{
    flux_timer_init(&f->timer, flux_fallback_timer, f);
}


void
flux_fallback_start(flux_fallback_t *f)
{
    switch (f->mode) {

    case FLUX_MODE_AUTO:
        f->serving = FLUX_STARTING;

        if (!f->lazy) {
            flux_timer_set(f->loop, &f->timer, f->grace);
        }

        break;

    case FLUX_MODE_LIVE:
        f->serving = FLUX_STARTING;
        break;

    case FLUX_MODE_REPLAY:
        f->serving = FLUX_SERVING_TAPE;
        flux_player_start(f->player);
        break;

    case FLUX_MODE_SIMULATED:
        flux_fallback_enter(f);
        break;
    }
}


void
flux_fallback_begin(flux_fallback_t *f)
{
    if (f->lazy && f->mode == FLUX_MODE_AUTO) {
        f->lazy = 0;
        flux_timer_set(f->loop, &f->timer, f->grace);
    }
}


void
flux_fallback_stop(flux_fallback_t *f)
{
    flux_timer_clear(f->loop, &f->timer);

    if (f->player != NULL) {
        flux_player_stop(f->player);
    }
}


void
flux_fallback_live(flux_fallback_t *f)
{
    if (!flux_fallback_asks(f) || f->serving == FLUX_SERVING_LIVE) {
        return;
    }

    flux_fallback_stop(f);
    f->serving = FLUX_SERVING_LIVE;
    flux_log(f->log, FLUX_INFO, "live data");
}


void
flux_fallback_give_up(flux_fallback_t *f)
{
    if (f->mode != FLUX_MODE_AUTO || f->serving != FLUX_STARTING) {
        return;
    }

    flux_log(f->log, FLUX_WARN, "no provider answers: %s until one does",
             (f->player != NULL) ? "the tape and simulated data"
                                 : "simulated data");
    flux_fallback_enter(f);
}


int
flux_fallback_asks(const flux_fallback_t *f)
{
    return f->mode == FLUX_MODE_AUTO || f->mode == FLUX_MODE_LIVE;
}
