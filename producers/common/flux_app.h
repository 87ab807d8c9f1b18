/*
 * What the four programs have in common: settings, start, heartbeat, end.
 * A program fills in a flux_app_t's first part and calls flux_app_parse(),
 * then flux_app_serve(), whose start() calls flux_app_start() and adds the
 * program's fetchers.
 */

#ifndef FLUX_APP_H
#define FLUX_APP_H

#include "flux_fallback.h"
#include "flux_fetcher.h"
#include "flux_options.h"
#include "flux_sink.h"

#define FLUX_APP_FETCHERS  8

/* with a second for librdkafka's end, a stop takes five at most */
#define FLUX_APP_FLUSH_MS  3800

extern const flux_topic_t  flux_topic_producers;

typedef struct {
    const char   *brokers;
    flux_list_t   kafka_properties;
    const char   *kafka_config;
    int64_t       partitions;
    int           print;
    int           once;
    const char   *provider;
    const char   *record;
    const char   *replay;
    int64_t       replay_speed;
    int64_t       rate;             /* of simulated records, thousandths */
    int64_t       seed;
    int64_t       grace;
    int64_t       timeout;          /* of a request */
    const char   *instance;
    const char   *node;
    const char   *ca_file;
    const char   *log_format;
    const char   *log_level;
    int64_t       heartbeat;
    const char   *user_agent;
    const char   *cache;            /* redis://..., or NULL */
} flux_settings_t;

typedef struct flux_app_s  flux_app_t;

struct flux_app_s {
    /* filled in by the program */
    const char                 *program;
    const char                 *summary;
    const char                 *examples;
    const flux_option_t        *options;        /* its own, NULL name last */
    const flux_topic_t *const  *topics;         /* flux.producers excepted */
    size_t                      topics_count;

    /*
     * Makes one simulated record; to be called simulate_once times for
     * --once. Replayed replies go to the fetcher of their provider, or,
     * if none has that name, to play.
     */
    flux_handler_pt             simulate;
    size_t                      simulate_once;
    flux_play_pt                play;
    void                       *self;

    /* after each reply of a fetcher; or NULL */
    void                      (*settled)(void *self, flux_fetcher_t *fetcher,
                                         const char *job,
                                         flux_verdict_t verdict);

    /* no jobs at start: auto's grace begins with flux_fallback_begin() */
    int                         lazy;

    flux_settings_t             settings;

    /* there after flux_app_start() */
    flux_logger_t               log;
    flux_loop_t                *loop;
    flux_http_t                *http;
    flux_recorder_t            *recorder;
    flux_cache_t               *cache;
    flux_player_t              *player;
    flux_sink_t                 sink;
    flux_fallback_t             fallback;
    flux_random_t               random;

    /* private to flux_app.c and flux_heartbeat.c */
    flux_fetcher_t             *fetchers[FLUX_APP_FETCHERS];
    size_t                      fetchers_count;
    const flux_topic_t         *all_topics[8];
    const char                **properties;
    char                       *properties_text;
    char                        host[65];
    flux_timer_t                deadline;
    flux_timer_t                heartbeat;
    int64_t                     last_live;
    int                         stopping;
    int                         exit_code;
};

/* Reads the settings. -1 to go on, or the exit code to leave with. */
int flux_app_parse(flux_app_t *app, int argc, char *const argv[]);

/* Makes everything. -1 to go on, or the exit code to leave with. */
int flux_app_start(flux_app_t *app);

/*
 * A fetcher under the app's care: freed by it, shown in the heartbeat. Its
 * good replies count as live data. options' loop, log, http and recorder are
 * filled in; settled may be the program's own. NULL: no memory, logged.
 */
flux_fetcher_t *flux_app_fetcher(flux_app_t *app,
    flux_fetcher_options_t *options);

/* For replies that did not come through a fetcher: one was good. */
void flux_app_live(flux_app_t *app);

/* Leaves the loop; the first exit code that is not 0 stays. */
void flux_app_stop(flux_app_t *app, int exit_code);

/*
 * start(self), which says -1 or an exit code, as flux_app_start() does; then
 * runs until SIGTERM or, with --once, until all was done; then stop(self),
 * which may be NULL and is called after a start that failed too. Flushes and
 * frees all that was made. Returns the exit code.
 */
int flux_app_serve(flux_app_t *app, int (*start)(void *self),
    void (*stop)(void *self));

/* flux_heartbeat.c: writes the first and every later heartbeat. */
void flux_heartbeat_start(flux_app_t *app);
void flux_heartbeat_send(flux_app_t *app, const char *state);

#endif /* FLUX_APP_H */
