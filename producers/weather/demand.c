/*
 * The demand topic, read with two ends in mind: every instance hears every
 * lease, and the consumer group only divides the work. So the group's
 * assignment is kept as this instance's share, and what is really assigned
 * is all partitions, from their beginning (the topic is small and compacted,
 * old leases are expired). A dead instance's share goes to the others when
 * its session ends, and they know its leases already.
 */

#include "weather.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>


/* a dead instance is noticed after this long; a minute is promised */
#define FLUX_DEMAND_SESSION   "10000"

/* so many records at most in one turn of the loop */
#define FLUX_DEMAND_BATCH     500

#define FLUX_DEMAND_METADATA_MS  2000
#define FLUX_DEMAND_PARTITIONS   1024


struct flux_demand_s {
    flux_weather_t      *weather;
    rd_kafka_t          *rk;
    rd_kafka_queue_t    *queue;
    int                  fd;
    int                  partitions;            /* of the topic */
    unsigned char        ours[FLUX_DEMAND_PARTITIONS];
    flux_timer_t         poll;
};


/* FNV-1a: all instances have to agree on it */

static uint32_t
flux_demand_hash(const char *slug)
{
    uint32_t  hash;

    for (hash = 2166136261u; *slug != '\0'; slug++) {
        hash = (hash ^ (unsigned char) *slug) * 16777619u;
    }

    return hash;
}


int
flux_demand_is_ours(const flux_weather_t *weather, const char *slug)
{
    const flux_demand_t  *demand;

    demand = weather->demand;

    if (demand == NULL || demand->partitions == 0) {
        return 0;
    }

    return demand->ours[flux_demand_hash(slug)
                        % (uint32_t) demand->partitions];
}


static int
flux_demand_count(flux_demand_t *demand)
{
    int                          count;
    rd_kafka_topic_t            *topic;
    const rd_kafka_metadata_t   *metadata;

    topic = rd_kafka_topic_new(demand->rk, flux_topic_demand.name, NULL);
    if (topic == NULL) {
        return 0;
    }

    count = 0;

    /* there was an answer to the join just now, so this one is not far */

    if (rd_kafka_metadata(demand->rk, 0, topic, &metadata,
                          FLUX_DEMAND_METADATA_MS)
        == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        if (metadata->topic_cnt == 1
            && metadata->topics[0].partition_cnt <= FLUX_DEMAND_PARTITIONS)
        {
            count = metadata->topics[0].partition_cnt;
        }

        rd_kafka_metadata_destroy(metadata);
    }

    rd_kafka_topic_destroy(topic);

    return count;
}


static void
flux_demand_assign(flux_demand_t *demand,
    const rd_kafka_topic_partition_list_t *given)
{
    int                               i, count, share;
    rd_kafka_topic_partition_list_t  *all;

    count = flux_demand_count(demand);
    all = rd_kafka_topic_partition_list_new(count);

    for (i = 0; i < count; i++) {
        rd_kafka_topic_partition_list_add(all, flux_topic_demand.name, i)
            ->offset = RD_KAFKA_OFFSET_BEGINNING;
    }

    rd_kafka_assign(demand->rk, all);
    rd_kafka_topic_partition_list_destroy(all);

    memset(demand->ours, 0, sizeof(demand->ours));
    demand->partitions = count;
    share = 0;

    for (i = 0; i < given->cnt; i++) {
        if (given->elems[i].partition >= 0
            && given->elems[i].partition < count)
        {
            demand->ours[given->elems[i].partition] = 1;
            share++;
        }
    }

    flux_log(&demand->weather->app.log, FLUX_INFO,
             "demand: %d of %d shares are this instance's", share, count);
}


static void
flux_demand_rebalance(flux_demand_t *demand, rd_kafka_event_t *event)
{
    if (rd_kafka_event_error(event)
        == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
    {
        flux_demand_assign(demand,
                           rd_kafka_event_topic_partition_list(event));

    } else {
        /* until the next assignment: what we have goes on being served */
        rd_kafka_assign(demand->rk, NULL);
    }
}


static void
flux_demand_event(flux_demand_t *demand, rd_kafka_event_t *event)
{
    int                        level;
    const char                *facility, *text;
    const rd_kafka_message_t  *message;

    switch (rd_kafka_event_type(event)) {

    case RD_KAFKA_EVENT_FETCH:
        while ((message = rd_kafka_event_message_next(event)) != NULL) {
            if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                flux_city_demanded(demand->weather, message->key,
                                   message->key_len, message->payload,
                                   message->len);
            }
        }

        break;

    case RD_KAFKA_EVENT_REBALANCE:
        flux_demand_rebalance(demand, event);
        break;

    case RD_KAFKA_EVENT_ERROR:
        flux_log(&demand->weather->app.log, FLUX_DEBUG, "demand: %s",
                 rd_kafka_event_error_string(event));
        break;

    case RD_KAFKA_EVENT_LOG:
        if (rd_kafka_event_log(event, &facility, &text, &level) == 0) {
            flux_log(&demand->weather->app.log, FLUX_DEBUG,
                     "librdkafka: %s: %s", facility, text);
        }

        break;

    default:
        break;
    }
}


static void
flux_demand_serve(flux_demand_t *demand)
{
    int                n;
    rd_kafka_event_t  *event;

    for (n = 0; n < FLUX_DEMAND_BATCH; n++) {
        event = rd_kafka_queue_poll(demand->queue, 0);

        if (event == NULL) {
            break;
        }

        flux_demand_event(demand, event);
        rd_kafka_event_destroy(event);
    }

    if (n > 0) {
        flux_cities_update(demand->weather);
    }

    /* the descriptor tells only once that there is something */

    flux_timer_set(demand->weather->app.loop, &demand->poll,
                   (n == FLUX_DEMAND_BATCH) ? 0 : 1000);
}


static void
flux_demand_ready(void *arg)
{
    uint64_t        n;
    flux_demand_t  *demand = arg;

    if (read(demand->fd, &n, sizeof(n)) < 0 && errno != EAGAIN) {
        return;
    }

    flux_demand_serve(demand);
}


static void
flux_demand_poll(void *arg)
{
    flux_demand_serve(arg);
}


static rd_kafka_conf_t *
flux_demand_conf(flux_weather_t *weather, char *error, size_t size)
{
    size_t                 i;
    rd_kafka_conf_t       *conf;
    flux_kafka_options_t   options;

    const char *const  fixed[] = {
        "group.id", weather->group,
        "session.timeout.ms", FLUX_DEMAND_SESSION,
        "enable.auto.commit", "false",
        "auto.offset.reset", "earliest",
        "topic.metadata.refresh.interval.ms", "10000",
        "queued.max.messages.kbytes", "4096",
        NULL
    };

    memset(&options, 0, sizeof(options));
    options.brokers = weather->app.settings.brokers;
    options.client_id = weather->app.program;

    conf = rd_kafka_conf_new();

    for (i = 0; fixed[i] != NULL; i += 2) {
        if (rd_kafka_conf_set(conf, fixed[i], fixed[i + 1], error, size)
            != RD_KAFKA_CONF_OK)
        {
            rd_kafka_conf_destroy(conf);
            return NULL;
        }
    }

    /*
     * Of the user's properties a consumer takes what it knows: compression,
     * say, is the producer's, which has checked them all.
     */

    if (flux_kafka_configure(conf, &options, error, size) != FLUX_OK) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }

    for (i = 0; weather->app.properties[i] != NULL; i += 2) {
        rd_kafka_conf_set(conf, weather->app.properties[i],
                          weather->app.properties[i + 1], NULL, 0);
    }

    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_REBALANCE
                                   | RD_KAFKA_EVENT_FETCH
                                   | RD_KAFKA_EVENT_ERROR
                                   | RD_KAFKA_EVENT_LOG);

    return conf;
}


static flux_rc_t
flux_demand_subscribe(flux_demand_t *demand)
{
    rd_kafka_resp_err_t               rc;
    rd_kafka_topic_partition_list_t  *topics;

    rd_kafka_poll_set_consumer(demand->rk);
    demand->queue = rd_kafka_queue_get_consumer(demand->rk);
    rd_kafka_set_log_queue(demand->rk, demand->queue);
    rd_kafka_queue_io_event_enable(demand->queue, demand->fd,
                                   &(uint64_t) { 1 }, sizeof(uint64_t));

    topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, flux_topic_demand.name,
                                      RD_KAFKA_PARTITION_UA);
    rc = rd_kafka_subscribe(demand->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);

    return (rc == RD_KAFKA_RESP_ERR_NO_ERROR) ? FLUX_OK : FLUX_ERROR;
}


int
flux_demand_start(flux_weather_t *weather)
{
    char              error[512];
    flux_demand_t    *demand;
    rd_kafka_conf_t  *conf;

    demand = calloc(1, sizeof(flux_demand_t));
    if (demand == NULL) {
        return 1;
    }

    weather->demand = demand;
    demand->weather = weather;
    demand->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    flux_timer_init(&demand->poll, flux_demand_poll, demand);

    conf = flux_demand_conf(weather, error, sizeof(error));

    if (conf != NULL) {
        demand->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error,
                                  sizeof(error));
        if (demand->rk == NULL) {
            rd_kafka_conf_destroy(conf);
        }
    }

    if (demand->rk == NULL) {
        fprintf(stderr, "%s: Kafka: %s\n", weather->app.program, error);
        return 2;
    }

    if (demand->fd == -1 || flux_demand_subscribe(demand) != FLUX_OK
        || flux_loop_watch(weather->app.loop, demand->fd, FLUX_READ,
                           flux_demand_ready, demand) != FLUX_OK)
    {
        fprintf(stderr, "%s: the demand cannot be read\n",
                weather->app.program);
        return 1;
    }

    flux_timer_set(weather->app.loop, &demand->poll, 0);

    return -1;
}


/*
 * Leaves the group, so that others take over at once. What waits for a
 * broker that is not there is left to flux_kafka_close()'s watch.
 */

void
flux_demand_stop(flux_weather_t *weather)
{
    flux_demand_t  *demand;

    demand = weather->demand;
    if (demand == NULL) {
        return;
    }

    weather->demand = NULL;
    flux_timer_clear(weather->app.loop, &demand->poll);

    if (demand->queue != NULL) {
        rd_kafka_queue_io_event_enable(demand->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(demand->queue);
    }

    if (demand->fd != -1) {
        flux_loop_unwatch(weather->app.loop, demand->fd);
        close(demand->fd);
    }

    if (demand->rk != NULL) {
        rd_kafka_unsubscribe(demand->rk);
        flux_kafka_destroy(demand->rk);
    }

    free(demand);
}
