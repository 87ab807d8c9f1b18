/*
 * What a program serves from: its live providers, a tape, or a simulation.
 *
 * auto starts live. If no provider gave data within the grace, the tape (if
 * there is one) and the simulation take over until one does; from then on it
 * stays live: real data that grow old are better than invented new ones.
 */

#ifndef FLUX_FALLBACK_H
#define FLUX_FALLBACK_H

#include "flux_loop.h"
#include "flux_logger.h"
#include "flux_tape.h"

typedef enum {
    FLUX_MODE_AUTO = 0,
    FLUX_MODE_LIVE,
    FLUX_MODE_REPLAY,
    FLUX_MODE_SIMULATED
} flux_mode_t;

typedef enum {
    FLUX_STARTING = 0,      /* live, but nothing came yet */
    FLUX_SERVING_LIVE,
    FLUX_SERVING_TAPE,      /* the tape alone */
    FLUX_FALLEN_BACK        /* tape and simulation */
} flux_serving_t;

typedef struct {
    flux_loop_t          *loop;
    const flux_logger_t  *log;
    flux_mode_t           mode;
    flux_serving_t        serving;
    flux_player_t        *player;       /* or NULL; borrowed */
    int64_t               grace;        /* ms */
    int64_t               rate_milli;   /* simulated records in 1,000 s */
    flux_handler_pt       simulate;     /* makes one record */
    void                 *arg;
    int                   lazy;         /* the grace waits for _begin() */
    flux_timer_t          timer;
    int64_t               next;         /* when the next record is due */
} flux_fallback_t;

/* The members from loop to lazy are set by the caller before _start(). */
void flux_fallback_init(flux_fallback_t *f);
void flux_fallback_start(flux_fallback_t *f);
/* With lazy: a live provider is asked for the first time. */
void flux_fallback_begin(flux_fallback_t *f);

void flux_fallback_stop(flux_fallback_t *f);

/* A live provider gave data. */
void flux_fallback_live(flux_fallback_t *f);

/* Live providers cannot give data: no need to wait for the grace's end. */
void flux_fallback_give_up(flux_fallback_t *f);

/* 1 when live providers are to be asked at all. */
int flux_fallback_asks(const flux_fallback_t *f);

#endif /* FLUX_FALLBACK_H */
