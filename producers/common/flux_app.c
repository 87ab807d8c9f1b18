#include "flux_app.h"
#include "flux_properties.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


#define FLUX_EXIT_FAILED  1
#define FLUX_EXIT_USAGE   2

/* with --once, all has to be done by then */
#define FLUX_ONCE_MS      30000


static void
flux_app_defaults(flux_app_t *app)
{
    flux_settings_t  *s;

    s = &app->settings;

    if (gethostname(app->host, sizeof(app->host) - 1) != 0) {
        flux_copy_text(app->host, sizeof(app->host), "localhost");
    }

    app->host[sizeof(app->host) - 1] = '\0';

    s->brokers = "127.0.0.1:9092";
    s->partitions = 1;
    s->replay_speed = 1000;
    s->grace = 4000;
    s->timeout = 15000;
    s->instance = app->host;
    s->node = app->host;
    s->log_format = "text";
    s->log_level = "info";
    s->heartbeat = 10000;
    s->user_agent = "flux/" FLUX_VERSION;
}


int
flux_app_parse(flux_app_t *app, int argc, char *const argv[])
{
    int               rc;
    flux_options_t    options;
    flux_settings_t  *s;

    s = &app->settings;
    flux_app_defaults(app);

    const flux_option_t  common[] = {
        { FLUX_OPTION_GROUP, "Kafka:", NULL, NULL, NULL, 0, 0, NULL },
        { FLUX_OPTION_TEXT, "brokers", "HOST:PORT,...",
          "where Kafka is (127.0.0.1:9092)", &s->brokers, 0, 0, NULL },
        { FLUX_OPTION_LIST, "kafka-property", "NAME=VALUE",
          "a librdkafka property; repeatable", &s->kafka_properties, 0, 0,
          NULL },
        { FLUX_OPTION_TEXT, "kafka-config", "FILE",
          "properties from a file, one NAME=VALUE a line:\n"
          "the place for passwords", &s->kafka_config, 0, 0, NULL },
        { FLUX_OPTION_INTEGER, "partitions", "N",
          "of topics that have to be created (1)", &s->partitions, 1, 10000,
          NULL },

        { FLUX_OPTION_GROUP, "Without Kafka:", NULL, NULL, NULL, 0, 0, NULL },
        { FLUX_OPTION_FLAG, "print", NULL,
          "print records to stdout, one JSON value a line", &s->print, 0, 0,
          NULL },
        { FLUX_OPTION_FLAG, "once", NULL,
          "stop after one round; exit 1 if something is missing", &s->once,
          0, 0, NULL },

        { FLUX_OPTION_GROUP, "Tape and simulation:", NULL, NULL, NULL, 0, 0,
          NULL },
        { FLUX_OPTION_TEXT, "record", "DIR",
          "keep the providers' raw replies in DIR", &s->record, 0, 0, NULL },
        { FLUX_OPTION_TEXT, "replay", "DIR",
          "what --record kept: with --provider replay the only\n"
          "source, with auto while no provider answers", &s->replay, 0, 0,
          NULL },
        { FLUX_OPTION_RATE, "replay-speed", "FACTOR", "2 is twice as fast (1)",
          &s->replay_speed, 1, 1000000, NULL },
        { FLUX_OPTION_RATE, "rate", "N",
          "simulated records per second, all keys together", &s->rate, 1,
          10000000, NULL },
        { FLUX_OPTION_INTEGER, "seed", "N",
          "of the simulation: the same seed, the same records", &s->seed, 0,
          INT64_MAX, NULL },
        { FLUX_OPTION_TIME, "grace", "TIME",
          "--provider auto waits so long for live data (4s)", &s->grace, 1,
          3600000, NULL },

        { FLUX_OPTION_GROUP, "Everything else:", NULL, NULL, NULL, 0, 0,
          NULL },
        { FLUX_OPTION_TIME, "timeout", "TIME",
          "of a request in all (15s)", &s->timeout, 1, 300000, NULL },
        { FLUX_OPTION_TEXT, "ca-file", "FILE",
          "certificates to trust instead of the system's", &s->ca_file, 0, 0,
          NULL },
        { FLUX_OPTION_TEXT, "user-agent", "TEXT",
          "what providers are told (flux/" FLUX_VERSION ")", &s->user_agent,
          0, 0, NULL },
        { FLUX_OPTION_URL, "cache", "URL",
          "Valkey or Redis, as redis://127.0.0.1:6379: keeps good replies\n"
          "over a restart; works without as well", &s->cache, 0, 0, NULL },
        { FLUX_OPTION_TEXT, "instance", "NAME",
          "in the heartbeat's key; one per process (host's name)",
          &s->instance, 0, 0, NULL },
        { FLUX_OPTION_TEXT, "node", "NAME",
          "in the heartbeat (host's name)", &s->node, 0, 0, NULL },
        { FLUX_OPTION_TIME, "heartbeat", "TIME",
          "between two heartbeats (10s)", &s->heartbeat, 100, 3600000, NULL },
        { FLUX_OPTION_CHOICE, "log-format", "FORMAT", "text or json (text)",
          &s->log_format, 0, 0, "text|json" },
        { FLUX_OPTION_CHOICE, "log-level", "LEVEL",
          "debug, info, warn or error (info)", &s->log_level, 0, 0,
          "debug|info|warn|error" },
        { FLUX_OPTION_FLAG, "help", NULL, "this text", NULL, 0, 0, NULL },
        { FLUX_OPTION_FLAG, "version", NULL, "name and version", NULL, 0, 0,
          NULL },
        { FLUX_OPTION_GROUP, NULL, NULL, NULL, NULL, 0, 0, NULL }
    };

    options.program = app->program;
    options.summary = app->summary;
    options.examples = app->examples;
    options.own = app->options;
    options.common = common;

    rc = flux_options_parse(&options, argc, argv);
    if (rc != -1) {
        return rc;
    }

    flux_logger_init(&app->log, app->program);
    flux_logger_level(&app->log, s->log_level);
    app->log.json = (strcmp(s->log_format, "json") == 0);

    if (s->provider == NULL) {
        s->provider = "auto";
    }

    if (strcmp(s->provider, "replay") == 0 && s->replay == NULL) {
        fprintf(stderr, "%s: --provider replay needs --replay DIR\n",
                app->program);
        return FLUX_EXIT_USAGE;
    }

    return -1;
}


static flux_mode_t
flux_app_mode(const char *provider)
{
    if (strcmp(provider, "auto") == 0) {
        return FLUX_MODE_AUTO;
    }

    if (strcmp(provider, "replay") == 0) {
        return FLUX_MODE_REPLAY;
    }

    return (strcmp(provider, "simulated") == 0) ? FLUX_MODE_SIMULATED
                                                : FLUX_MODE_LIVE;
}


/* a replayed reply goes where a fetched one would */

static void
flux_app_play(void *arg, const char *provider, const char *request,
    const flux_reply_t *reply)
{
    size_t                 i;
    flux_app_t            *app = arg;
    flux_fetcher_stats_t   stats;

    for (i = 0; i < app->fetchers_count; i++) {
        flux_fetcher_stats(app->fetchers[i], &stats);

        if (strcmp(stats.provider, provider) == 0) {
            flux_fetcher_play(app->fetchers[i], request, reply);
            return;
        }
    }

    if (app->play != NULL) {
        app->play(app->self, provider, request, reply);
    }
}


static void
flux_app_signal(void *arg)
{
    flux_app_t  *app = arg;

    if (app->stopping) {
        _exit(FLUX_EXIT_FAILED);        /* asked a second time */
    }

    flux_app_stop(app, 0);
}


static int
flux_app_start_kafka(flux_app_t *app)
{
    char                   error[512];
    flux_kafka_options_t   options;

    app->properties = flux_properties_new(app->settings.kafka_config,
                                          &app->settings.kafka_properties,
                                          &app->properties_text, error,
                                          sizeof(error));
    if (app->properties == NULL) {
        fprintf(stderr, "%s: %s\n", app->program, error);
        return FLUX_EXIT_USAGE;
    }

    memset(&options, 0, sizeof(options));
    options.brokers = app->settings.brokers;
    options.properties = app->properties;
    options.client_id = app->program;
    options.partitions = (int) app->settings.partitions;

    memcpy(app->all_topics, app->topics,
           app->topics_count * sizeof(flux_topic_t *));
    app->all_topics[app->topics_count] = &flux_topic_producers;

    app->sink.kafka = flux_kafka_new(app->loop, &app->log, &options,
                                     app->all_topics, app->topics_count + 1,
                                     error, sizeof(error));
    if (app->sink.kafka == NULL) {
        fprintf(stderr, "%s: Kafka: %s\n", app->program, error);
        return FLUX_EXIT_USAGE;
    }

    flux_heartbeat_start(app);

    return -1;
}


static int
flux_app_start_tape(flux_app_t *app)
{
    char              error[512];
    flux_settings_t  *s;

    s = &app->settings;

    if (s->record != NULL) {
        app->recorder = flux_recorder_new(s->record, &app->log);

        if (app->recorder == NULL) {
            fprintf(stderr, "%s: --record: %s: %s\n", app->program,
                    s->record, strerror(errno));
            return FLUX_EXIT_USAGE;
        }
    }

    if (s->replay != NULL) {
        app->player = flux_player_new(app->loop, &app->log, s->replay,
                                      s->replay_speed, flux_app_play, app,
                                      error, sizeof(error));

        if (app->player == NULL) {
            fprintf(stderr, "%s: --replay: %s\n", app->program, error);
            return FLUX_EXIT_USAGE;
        }
    }

    return -1;
}


static void
flux_app_simulate(void *arg)
{
    size_t       i;
    flux_app_t  *app = arg;

    if (app->settings.once) {
        for (i = 0; i < app->simulate_once; i++) {
            app->simulate(app->self);
        }

        flux_app_stop(app, 0);
        return;
    }

    app->simulate(app->self);

    if (app->sink.closed) {
        flux_app_stop(app, 0);
    }
}


static void
flux_app_start_fallback(flux_app_t *app)
{
    flux_fallback_t  *f;

    f = &app->fallback;
    flux_fallback_init(f);
    f->loop = app->loop;
    f->log = &app->log;
    f->mode = flux_app_mode(app->settings.provider);
    f->player = app->player;
    f->grace = app->settings.grace;
    f->rate_milli = app->settings.rate;
    f->simulate = flux_app_simulate;
    f->arg = app;
    f->lazy = app->lazy;
}


static void
flux_app_deadline(void *arg)
{
    flux_app_t  *app = arg;

    flux_log(&app->log, FLUX_FAIL, "not all could be had in %d s",
             FLUX_ONCE_MS / 1000);
    flux_app_stop(app, FLUX_EXIT_FAILED);
}


int
flux_app_start(flux_app_t *app)
{
    int  rc;

    /* the loop blocks signals: before curl and librdkafka start threads */

    app->loop = flux_loop_new();

    if (app->loop == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        fprintf(stderr, "%s: out of memory or descriptors\n", app->program);
        return FLUX_EXIT_FAILED;
    }

    flux_loop_on_signal(app->loop, flux_app_signal, app);

    app->http = flux_http_new(app->loop, app->settings.user_agent);
    if (app->http == NULL) {
        fprintf(stderr, "%s: out of memory\n", app->program);
        return FLUX_EXIT_FAILED;
    }

    flux_http_ca(app->http, app->settings.ca_file);
    app->sink.log = &app->log;

    if (app->settings.cache != NULL) {
        app->cache = flux_cache_new(app->loop, &app->log,
                                    app->settings.cache);

        if (app->cache == NULL) {
            fprintf(stderr, "%s: --cache: '%s' is not redis://HOST:PORT\n",
                    app->program, app->settings.cache);
            return FLUX_EXIT_USAGE;
        }
    }

    flux_random_seed(&app->random, (uint64_t) app->settings.seed);

    rc = flux_app_start_tape(app);
    if (rc != -1) {
        return rc;
    }

    flux_timer_init(&app->deadline, flux_app_deadline, app);
    flux_app_start_fallback(app);

    if (!app->settings.print) {
        return flux_app_start_kafka(app);
    }

    return -1;
}


/* with --once: all there, all settled, or time to simulate */

static void
flux_app_check_once(flux_app_t *app)
{
    size_t                 i, jobs, settled, given_up;
    flux_fetcher_stats_t   stats;

    jobs = settled = given_up = 0;

    for (i = 0; i < app->fetchers_count; i++) {
        flux_fetcher_stats(app->fetchers[i], &stats);
        jobs += stats.jobs;
        settled += stats.settled;
        given_up += stats.given_up;
    }

    if (settled < jobs) {
        return;
    }

    if (app->fallback.serving == FLUX_STARTING
        && app->fallback.mode == FLUX_MODE_AUTO)
    {
        flux_fallback_give_up(&app->fallback);
        return;
    }

    flux_app_stop(app, (given_up == 0) ? 0 : FLUX_EXIT_FAILED);
}


static void
flux_app_settled(void *arg, flux_fetcher_t *fetcher, const char *job,
    flux_verdict_t verdict)
{
    flux_app_t  *app = arg;

    if (app->settled != NULL) {
        app->settled(app->self, fetcher, job, verdict);
    }

    if (verdict == FLUX_REPLY_OK) {
        flux_app_live(app);
    }

    if (app->settings.once && app->fallback.serving != FLUX_FALLEN_BACK) {
        flux_app_check_once(app);
    }

    if (app->sink.closed) {
        flux_app_stop(app, 0);
    }
}


flux_fetcher_t *
flux_app_fetcher(flux_app_t *app, flux_fetcher_options_t *options)
{
    flux_fetcher_t  *fetcher;

    options->loop = app->loop;
    options->log = &app->log;
    options->http = app->http;
    options->recorder = app->recorder;
    options->cache = app->cache;
    options->settled = flux_app_settled;
    options->arg = app;
    options->timeout = app->settings.timeout;

    if (app->fetchers_count == FLUX_APP_FETCHERS) {
        return NULL;
    }

    fetcher = flux_fetcher_new(options);

    if (fetcher == NULL) {
        flux_log(&app->log, FLUX_FAIL, "out of memory");
        return NULL;
    }

    app->fetchers[app->fetchers_count++] = fetcher;

    return fetcher;
}


void
flux_app_live(flux_app_t *app)
{
    app->last_live = flux_wall_ms();
    flux_fallback_live(&app->fallback);
}


void
flux_app_stop(flux_app_t *app, int exit_code)
{
    app->stopping = 1;

    if (app->exit_code == 0) {
        app->exit_code = exit_code;
    }

    flux_loop_stop(app->loop);
}


static void
flux_app_run(flux_app_t *app)
{
    flux_fallback_t  *f;

    f = &app->fallback;

    if (app->settings.once && f->mode == FLUX_MODE_REPLAY) {
        flux_player_run(app->player);
        return;
    }

    if (app->settings.once) {
        flux_timer_set(app->loop, &app->deadline, FLUX_ONCE_MS);
    }

    flux_log(&app->log, FLUX_INFO, "started: provider %s, records to %s",
             app->settings.provider,
             app->settings.print ? "stdout" : app->settings.brokers);

    flux_fallback_start(f);
    flux_loop_run(app->loop);
    flux_fallback_stop(f);
}


static int
flux_app_close(flux_app_t *app, int rc)
{
    if (rc != -1) {
        app->exit_code = rc;
    }

    if (app->sink.kafka != NULL) {
        flux_timer_clear(app->loop, &app->heartbeat);
        flux_heartbeat_send(app, "stopped");
    }

    while (app->fetchers_count > 0) {
        flux_fetcher_free(app->fetchers[--app->fetchers_count]);
    }

    if (app->sink.kafka != NULL) {
        if (flux_kafka_close(app->sink.kafka, FLUX_APP_FLUSH_MS) == FLUX_OK) {
            flux_log(&app->log, FLUX_INFO, "stopped, all is delivered");
        }
    }

    flux_cache_free(app->cache);
    flux_player_free(app->player);
    flux_recorder_free(app->recorder);
    flux_http_free(app->http);
    flux_loop_free(app->loop);
    flux_properties_free(app->properties, app->properties_text);
    flux_list_free(&app->settings.kafka_properties);

    return app->exit_code;
}


int
flux_app_serve(flux_app_t *app, int (*start)(void *self),
    void (*stop)(void *self))
{
    int  rc;

    rc = start(app->self);

    if (rc == -1) {
        flux_app_run(app);
    }

    if (stop != NULL) {
        stop(app->self);
    }

    return flux_app_close(app, rc);
}
