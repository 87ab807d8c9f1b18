/*
 * Raw replies on disk, for tests, demos and bug reports. A tape is a
 * directory of PROVIDER.jsonl files; a line is
 *   {"at":UNIX_MS,"provider":"coinbase","request":"ticker/BTC-USD",
 *    "status":200,"body":"..."}
 * or, when the body is not UTF-8, "body64" with it in base64. The request is
 * the job's name, never the URL, so no key gets on a tape.
 */

#ifndef FLUX_TAPE_H
#define FLUX_TAPE_H

#include "flux_http.h"
#include "flux_logger.h"
#include "flux_loop.h"

typedef struct flux_recorder_s  flux_recorder_t;
typedef struct flux_player_s    flux_player_t;

/* Makes the directory if need be. NULL: errno tells why. */
flux_recorder_t *flux_recorder_new(const char *dir, const flux_logger_t *log);
void flux_recorder_free(flux_recorder_t *recorder);

/* recorder may be NULL. Failures are logged once and cost nothing else. */
void flux_recorder_write(flux_recorder_t *recorder, const char *provider,
    const char *request, const flux_reply_t *reply);

/* reply->source is FLUX_REPLAY; all texts are gone when it returns. */
typedef void (*flux_play_pt)(void *arg, const char *provider,
    const char *request, const flux_reply_t *reply);

/*
 * Opens all files of a tape. NULL when there is none or it cannot be read:
 * error tells why. speed is in thousandths: 2000 plays twice as fast.
 */
flux_player_t *flux_player_new(flux_loop_t *loop, const flux_logger_t *log,
    const char *dir, int64_t speed, flux_play_pt play, void *arg,
    char *error, size_t size);
void flux_player_free(flux_player_t *player);

/* In time, from the beginning, for ever; _stop() forgets the place. */
void flux_player_start(flux_player_t *player);
void flux_player_stop(flux_player_t *player);

/* All of it now, once. Returns how many replies that were. */
size_t flux_player_run(flux_player_t *player);

#endif /* FLUX_TAPE_H */
