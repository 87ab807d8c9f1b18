/*
 * A consumer: librdkafka's client in nginx's event loop.
 */

#include "ngx_http_flux_consumer.h"


/* batches in one turn: they share its system calls */
#define NGX_HTTP_FLUX_BATCHES    4

/* logs and errors handled in one turn */
#define NGX_HTTP_FLUX_EVENTS     64

#define NGX_HTTP_FLUX_TICK       1000   /* ms */
#define NGX_HTTP_FLUX_RETRY      10000  /* ms, of a client that is refused */


static ngx_int_t ngx_http_flux_consumer_create(
    ngx_http_flux_consumer_t *consumer, char *text, size_t len);
static void ngx_http_flux_consumer_release(ngx_http_flux_consumer_t *consumer);
static void ngx_http_flux_consumer_turn(void *data);
static void ngx_http_flux_consumer_tick(ngx_event_t *ev);
static void ngx_http_flux_consumer_look(ngx_event_t *ev);
static void ngx_http_flux_consumer_done(ngx_http_flux_consumer_t *consumer);
static ngx_int_t ngx_http_flux_consumer_events(
    ngx_http_flux_consumer_t *consumer);
static void ngx_http_flux_consumer_log(ngx_http_flux_consumer_t *consumer,
    rd_kafka_event_t *event);
static void ngx_http_flux_consumer_error(ngx_http_flux_consumer_t *consumer,
    rd_kafka_event_t *event);


void
ngx_http_flux_consumer_connect(ngx_http_flux_consumer_t *consumer)
{
    char  text[512];

    consumer->client.turn = ngx_http_flux_consumer_turn;
    consumer->client.data = consumer;
    consumer->client.log = consumer->log;

    consumer->timer.handler = ngx_http_flux_consumer_tick;
    consumer->timer.data = consumer;
    consumer->timer.log = consumer->log;
    consumer->timer.cancelable = 1;

    consumer->look.handler = ngx_http_flux_consumer_look;
    consumer->look.data = consumer;
    consumer->look.log = consumer->log;
    consumer->look.cancelable = 1;

    consumer->seen = ngx_current_msec;

    text[0] = '\0';

    if (ngx_http_flux_consumer_create(consumer, text, sizeof(text))
        == NGX_OK)
    {
        ngx_add_timer(&consumer->timer, NGX_HTTP_FLUX_TICK);

        consumer->look_metadata = 1;
        ngx_http_flux_kafka_look(consumer);
        return;
    }

    ngx_http_flux_consumer_release(consumer);
    ngx_add_timer(&consumer->timer, NGX_HTTP_FLUX_RETRY);

    ngx_http_flux_kafka_cluster_down(consumer, text);
}


static ngx_int_t
ngx_http_flux_consumer_create(ngx_http_flux_consumer_t *consumer, char *text,
    size_t len)
{
    ngx_keyval_t     *property;
    rd_kafka_conf_t  *conf;

    conf = ngx_http_flux_kafka_conf(consumer->cluster, &property, text, len);
    if (conf == NULL) {
        return NGX_ERROR;
    }

    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_LOG|RD_KAFKA_EVENT_ERROR);

    if (ngx_http_flux_kafka_client_open(&consumer->client, RD_KAFKA_CONSUMER,
                                        conf, text, len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_flux_kafka_fetch_init(consumer);

    if (ngx_http_flux_kafka_init_topics(consumer) != NGX_OK) {
        (void) snprintf(text, len, "no memory or no topic");
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_flux_consumer_stop(ngx_http_flux_consumer_t *consumer)
{
    if (consumer->timer.timer_set) {
        ngx_del_timer(&consumer->timer);
    }

    if (consumer->look.timer_set) {
        ngx_del_timer(&consumer->look);
    }

    ngx_http_flux_consumer_release(consumer);
    ngx_destroy_pool(consumer->pool);
}


/* The assistant lets go of all that is librdkafka's: that may take a while. */

static void
ngx_http_flux_consumer_release(ngx_http_flux_consumer_t *consumer)
{
    size_t                             ntopics = 0;
    ngx_uint_t                         i, n;
    rd_kafka_topic_t                 **handles;
    ngx_http_flux_topic_t            **topics = consumer->topics.elts;
    ngx_http_flux_source_t           **sources;
    rd_kafka_topic_partition_list_t   *reading;

    if (consumer->client.handle == NULL) {
        return;
    }

    ngx_http_flux_kafka_forget(consumer, NULL);

    /* without an assistant there are no topics */

    if (consumer->client.assistant == NULL) {
        ngx_http_flux_kafka_client_close(&consumer->client, NULL, 0, NULL);
        return;
    }

    reading = rd_kafka_topic_partition_list_new(16);
    handles = calloc(consumer->topics.nelts + 1, sizeof(rd_kafka_topic_t *));

    for (i = 0; handles != NULL && i < consumer->topics.nelts; i++) {

        handles[ntopics++] = topics[i]->handle;
        sources = topics[i]->sources.elts;

        for (n = 0; n < topics[i]->sources.nelts; n++) {

            if (sources[n]->reading) {
                rd_kafka_topic_partition_list_add(reading,
                                        (char *) topics[i]->name.data,
                                        sources[n]->number)
                    ->opaque = topics[i]->handle;
            }
        }
    }

    ngx_http_flux_kafka_client_close(&consumer->client, handles, ntopics,
                                     reading);
}


/* --- turns --------------------------------------------------------------- */

/* A bounded slice of what waits. */

static void
ngx_http_flux_consumer_turn(void *data)
{
    ngx_int_t                  rc = NGX_OK, more;
    ngx_uint_t                 n;
    ngx_http_flux_consumer_t  *consumer = data;
    ngx_http_flux_question_t  *answer;

    answer = ngx_http_flux_assistant_answer(consumer->client.assistant);

    if (answer != NULL) {
        ngx_http_flux_kafka_answer(consumer, answer);
    }

    more = ngx_http_flux_consumer_events(consumer);

    for (n = 0; n < NGX_HTTP_FLUX_BATCHES; n++) {
        rc = ngx_http_flux_kafka_take(consumer);

        if (rc != NGX_AGAIN) {
            break;
        }
    }

    if (rc == NGX_AGAIN || more == NGX_AGAIN) {
        ngx_http_flux_kafka_client_next(&consumer->client);
    }

    ngx_http_flux_consumer_done(consumer);
}


static void
ngx_http_flux_consumer_tick(ngx_event_t *ev)
{
    ngx_http_flux_consumer_t  *consumer = ev->data;

    ngx_add_timer(&consumer->timer, NGX_HTTP_FLUX_TICK);

    if (consumer->client.handle == NULL) {
        consumer->restart = 1;

    } else {
        ngx_http_flux_kafka_watermarks(consumer);
        ngx_http_flux_kafka_log_skips(consumer);
    }

    ngx_http_flux_consumer_done(consumer);
}


static void
ngx_http_flux_consumer_look(ngx_event_t *ev)
{
    ngx_http_flux_consumer_t  *consumer = ev->data;

    consumer->look_metadata = 1;
    ngx_http_flux_kafka_look(consumer);
}


/* Afterwards the consumer may be gone. */

static void
ngx_http_flux_consumer_done(ngx_http_flux_consumer_t *consumer)
{
    if (consumer->published) {
        consumer->published = 0;
        ngx_http_flux_zone_wake(consumer->zone);
    }

    if (consumer->restart) {
        ngx_http_flux_consumer_restart(consumer);
    }
}


/* --- logs and errors ----------------------------------------------------- */

static ngx_int_t
ngx_http_flux_consumer_events(ngx_http_flux_consumer_t *consumer)
{
    ngx_uint_t         n;
    rd_kafka_event_t  *event;

    for (n = 0; n < NGX_HTTP_FLUX_EVENTS; n++) {

        event = rd_kafka_queue_poll(consumer->client.events, 0);

        if (event == NULL) {
            return NGX_OK;
        }

        switch (rd_kafka_event_type(event)) {

        case RD_KAFKA_EVENT_LOG:
            ngx_http_flux_consumer_log(consumer, event);
            break;

        case RD_KAFKA_EVENT_ERROR:
            ngx_http_flux_consumer_error(consumer, event);
            break;

        default:
            break;
        }

        rd_kafka_event_destroy(event);
    }

    return NGX_AGAIN;
}


static void
ngx_http_flux_consumer_log(ngx_http_flux_consumer_t *consumer,
    rd_kafka_event_t *event)
{
    int          level;
    ngx_uint_t   ngx_level;
    const char  *facility, *text;

    if (rd_kafka_event_log(event, &facility, &text, &level) != 0) {
        return;
    }

    if (ngx_strcmp(facility, "BROKERUA") == 0) {
        ngx_http_flux_kafka_suspect(consumer, text);
    }

    /* syslog's numbers; none of it is nginx's emergency */

    ngx_level = ngx_max((ngx_uint_t) level + 1, NGX_LOG_ERR);

    if (ngx_strcmp(facility, "CONFWARN") == 0) {
        /* a property for producers, of a cluster that is written to as well */
        ngx_level = NGX_LOG_INFO;
    }

    if (ngx_level > consumer->log->log_level
        || (ngx_level < NGX_LOG_DEBUG
            && !ngx_http_flux_kafka_may_log(consumer)))
    {
        return;
    }

    ngx_log_error(ngx_level, consumer->log, 0, "flux kafka \"%V\": %s: %s",
                  &consumer->cluster->name, facility, text);
}


ngx_uint_t
ngx_http_flux_kafka_may_log(ngx_http_flux_consumer_t *consumer)
{
    if (ngx_current_msec - consumer->logged >= NGX_HTTP_FLUX_KAFKA_SPAN) {

        if (consumer->suppressed) {
            ngx_log_error(NGX_LOG_NOTICE, consumer->log, 0,
                          "flux kafka \"%V\": %ui more lines were suppressed",
                          &consumer->cluster->name, consumer->suppressed);
        }

        consumer->logged = ngx_current_msec;
        consumer->suppressed = 0;
        consumer->lines = 0;
    }

    if (consumer->lines == NGX_HTTP_FLUX_KAFKA_LINES) {
        consumer->suppressed++;
        return 0;
    }

    consumer->lines++;

    return 1;
}


static void
ngx_http_flux_consumer_error(ngx_http_flux_consumer_t *consumer,
    rd_kafka_event_t *event)
{
    const char           *text;
    rd_kafka_resp_err_t   error;

    error = rd_kafka_event_error(event);
    text = rd_kafka_event_error_string(event);

    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        ngx_http_flux_kafka_cluster_down(consumer, text);
        return;
    }

    /* says more than that all are down */

    (void) ngx_cpystrn(consumer->failure, (u_char *) text,
                       sizeof(consumer->failure));
}
