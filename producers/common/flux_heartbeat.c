/*
 * The heartbeat: every producer's own record in flux.producers, its key
 * PROGRAM/INSTANCE. The page and the metrics show it.
 */

#include "flux_app.h"
#include "flux_writer.h"

#include <stdio.h>
#include <string.h>


static const char *const  flux_producers_config[] = {
    "cleanup.policy", "compact,delete",
    "retention.ms", "86400000",             /* who is gone leaves in a day */
    "segment.ms", "3600000",
    NULL
};

const flux_topic_t  flux_topic_producers = {
    "flux.producers", flux_producers_config, 0
};


static const char *
flux_heartbeat_state(const flux_app_t *app)
{
    switch (app->fallback.serving) {

    case FLUX_STARTING:
        return "starting";

    case FLUX_SERVING_LIVE:
        return "live";

    case FLUX_SERVING_TAPE:
        return "replay";

    case FLUX_FALLEN_BACK:
        break;
    }

    return (app->player != NULL) ? "replay" : "simulated";
}


static void
flux_heartbeat_time(flux_writer_t *w, const char *name, int64_t wall_ms)
{
    if (wall_ms != 0) {
        flux_write_int(w, name, wall_ms);

    } else {
        flux_write_null(w, name);
    }
}


static void
flux_heartbeat_providers(flux_writer_t *w, const flux_app_t *app)
{
    size_t                 i;
    flux_fetcher_stats_t   stats;

    flux_write_array(w, "providers");

    for (i = 0; i < app->fetchers_count; i++) {
        flux_fetcher_stats(app->fetchers[i], &stats);

        flux_write_object(w, NULL);
        flux_write_text(w, "name", stats.provider);
        flux_write_text(w, "state", stats.state);
        flux_heartbeat_time(w, "last_success", stats.last_success);
        flux_write_int(w, "jobs", (int64_t) stats.jobs);
        flux_write_int(w, "requests", (int64_t) stats.requests);
        flux_write_int(w, "failures", (int64_t) stats.failures);
        flux_write_end(w);
    }

    flux_write_end(w);
}


void
flux_heartbeat_send(flux_app_t *app, const char *state)
{
    char                 key[256];
    flux_buffer_t        value;
    flux_writer_t        w;
    flux_kafka_stats_t   kafka;

    if (app->sink.kafka == NULL) {
        return;
    }

    flux_kafka_stats(app->sink.kafka, &kafka);
    flux_buffer_init(&value, FLUX_VALUE_MAX);
    flux_writer_init(&w, &value);

    flux_write_object(&w, NULL);
    flux_write_text(&w, "producer", app->program);
    flux_write_text(&w, "instance", app->settings.instance);
    flux_write_text(&w, "node", app->settings.node);
    flux_write_text(&w, "version", FLUX_VERSION);
    flux_write_text(&w, "state", state);
    flux_write_text(&w, "provider", app->settings.provider);
    flux_heartbeat_time(&w, "last_success", app->last_live);
    flux_write_int(&w, "records", (int64_t) app->sink.records);
    flux_write_int(&w, "lost", (int64_t) app->sink.lost);
    flux_heartbeat_providers(&w, app);
    flux_write_object(&w, "kafka");
    flux_write_text(&w, "state", kafka.up ? "up" : "away");
    flux_write_int(&w, "delivered", (int64_t) kafka.delivered);
    flux_write_int(&w, "waiting", (int64_t) kafka.waiting);
    flux_write_int(&w, "replaced", (int64_t) kafka.replaced);
    flux_write_int(&w, "dropped", (int64_t) kafka.dropped);
    flux_write_end(&w);
    flux_write_int(&w, "time", flux_wall_ms());
    flux_write_end(&w);

    snprintf(key, sizeof(key), "%s/%s", app->program,
             app->settings.instance);

    if (value.failed == FLUX_OK) {
        flux_kafka_put(app->sink.kafka, &flux_topic_producers, key,
                       value.data, value.len);
    }

    flux_buffer_free(&value);
}


static void
flux_heartbeat_timer(void *arg)
{
    flux_app_t  *app = arg;

    flux_heartbeat_send(app, flux_heartbeat_state(app));
    flux_timer_set(app->loop, &app->heartbeat, app->settings.heartbeat);
}


void
flux_heartbeat_start(flux_app_t *app)
{
    flux_timer_init(&app->heartbeat, flux_heartbeat_timer, app);
    flux_timer_set(app->loop, &app->heartbeat, 0);
}
