#include "ngx_http_flux_producer.h"
#include "ngx_http_flux_kafka_client.h"
#include "ngx_http_flux_zone.h"


/* reports handled in one turn */
#define NGX_HTTP_FLUX_PRODUCER_EVENTS  64

/* how often a cluster that failed is tried again, and a refused client (ms) */
#define NGX_HTTP_FLUX_PRODUCER_RETRY   1000

#define NGX_HTTP_FLUX_CREATE_TIMEOUT   4000


typedef struct {
    ngx_http_flux_kafka_client_t  client;

    ngx_http_flux_cluster_t    *cluster;
    ngx_queue_t                 pending;    /* of deliveries */
    ngx_http_flux_asked_pt      asked;      /* NULL: nobody has */
    void                       *asker;
    u_char                      failure[160];   /* "" for none */

    ngx_msec_t                  tried;      /* when it was down, or refused */
    ngx_msec_t                  logged;
    ngx_uint_t                  lines;
    unsigned                    down:1;     /* as far as we heard */
} ngx_http_flux_producer_t;


typedef struct {
    ngx_http_flux_topic_created_pt   handler;
    void                            *data;
} ngx_http_flux_creation_t;


static ngx_http_flux_producer_t *ngx_http_flux_producer(
    ngx_http_flux_cluster_t *cluster);
static ngx_int_t ngx_http_flux_producer_init(void);
static ngx_int_t ngx_http_flux_producer_open(
    ngx_http_flux_producer_t *producer, char *text, size_t len);
static rd_kafka_conf_t *ngx_http_flux_producer_conf(
    ngx_http_flux_cluster_t *cluster, char *text, size_t len);
static void ngx_http_flux_producer_close(ngx_http_flux_producer_t *producer);
static void ngx_http_flux_producer_exit(void *data);
static void ngx_http_flux_delivery_timeout(ngx_event_t *ev);
static void ngx_http_flux_delivery_done(ngx_http_flux_delivery_t *delivery,
    rd_kafka_resp_err_t error);
static void ngx_http_flux_delivery_free(ngx_http_flux_delivery_t *delivery);
static void ngx_http_flux_producer_turn(void *data);
static void ngx_http_flux_producer_answer(ngx_http_flux_producer_t *producer);
static ngx_int_t ngx_http_flux_producer_event(
    ngx_http_flux_producer_t *producer, int timeout);
static ngx_int_t ngx_http_flux_producer_result(
    ngx_http_flux_producer_t *producer);
static void ngx_http_flux_producer_report(ngx_http_flux_producer_t *producer,
    const rd_kafka_message_t *message);
static void ngx_http_flux_producer_log(ngx_http_flux_producer_t *producer,
    rd_kafka_event_t *event);


/* What suits us better than librdkafka's own; nginx.conf may say otherwise. */

static ngx_keyval_t  ngx_http_flux_producer_defaults[] = {

    { ngx_string("enable.idempotence"), ngx_string("true") },

    /* somebody waits for each record */
    { ngx_string("linger.ms"), ngx_string("0") },

    /* whom we told that it failed does not want it to arrive an hour later */
    { ngx_string("message.timeout.ms"), ngx_string("5000") },

    { ngx_string("queue.buffering.max.messages"), ngx_string("20000") },
    { ngx_string("queue.buffering.max.kbytes"), ngx_string("32768") },

    { ngx_null_string, ngx_null_string }
};


static ngx_http_flux_producer_t
    *ngx_http_flux_producers[NGX_HTTP_FLUX_CLUSTERS];
static ngx_uint_t  ngx_http_flux_producer_ready;


/* --- life ---------------------------------------------------------------- */

static ngx_http_flux_producer_t *
ngx_http_flux_producer(ngx_http_flux_cluster_t *cluster)
{
    char                       text[512];
    ngx_http_flux_producer_t  *producer;

    producer = ngx_http_flux_producers[cluster->index];

    if (producer != NULL
        && (producer->client.handle != NULL
            || ngx_current_msec - producer->tried
               < NGX_HTTP_FLUX_PRODUCER_RETRY))
    {
        return producer->client.handle ? producer : NULL;
    }

    if (ngx_http_flux_producer_init() != NGX_OK) {
        return NULL;
    }

    if (producer == NULL) {
        producer = ngx_calloc(sizeof(ngx_http_flux_producer_t),
                              ngx_cycle->log);
        if (producer == NULL) {
            return NULL;
        }

        ngx_queue_init(&producer->pending);
        ngx_http_flux_producers[cluster->index] = producer;
    }

    producer->cluster = cluster;
    producer->tried = ngx_current_msec;
    text[0] = '\0';

    if (ngx_http_flux_producer_open(producer, text, sizeof(text)) == NGX_OK) {
        return producer;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "flux kafka \"%V\" cannot be written to: %s",
                  &cluster->name, text);

    ngx_http_flux_producer_close(producer);

    return NULL;
}


static ngx_int_t
ngx_http_flux_producer_init(void)
{
    ngx_pool_cleanup_t  *cln;

    if (ngx_http_flux_producer_ready) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(ngx_cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_flux_producer_exit;
    ngx_http_flux_producer_ready = 1;

    ngx_http_flux_kafka_client_pin();

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_producer_open(ngx_http_flux_producer_t *producer, char *text,
    size_t len)
{
    rd_kafka_conf_t  *conf;

    conf = ngx_http_flux_producer_conf(producer->cluster, text, len);
    if (conf == NULL) {
        return NGX_ERROR;
    }

    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_LOG|RD_KAFKA_EVENT_ERROR
                                   |RD_KAFKA_EVENT_DR);

    producer->client.turn = ngx_http_flux_producer_turn;
    producer->client.data = producer;
    producer->client.log = ngx_cycle->log;

    return ngx_http_flux_kafka_client_open(&producer->client,
                                           RD_KAFKA_PRODUCER, conf, text, len);
}


static rd_kafka_conf_t *
ngx_http_flux_producer_conf(ngx_http_flux_cluster_t *cluster, char *text,
    size_t len)
{
    ngx_uint_t        i;
    ngx_keyval_t     *kv, *property;
    rd_kafka_conf_t  *conf;

    conf = ngx_http_flux_kafka_conf(cluster, &property, text, len);
    if (conf == NULL) {
        return NULL;
    }

    property = cluster->properties.elts;

    for (kv = ngx_http_flux_producer_defaults; kv->key.len; kv++) {

        for (i = 0; i < cluster->properties.nelts; i++) {
            if (ngx_strcmp(property[i].key.data, kv->key.data) == 0) {
                break;
            }
        }

        if (i == cluster->properties.nelts
            && rd_kafka_conf_set(conf, (char *) kv->key.data,
                                 (char *) kv->value.data, text, len)
               != RD_KAFKA_CONF_OK)
        {
            rd_kafka_conf_destroy(conf);
            return NULL;
        }
    }

    return conf;
}


static void
ngx_http_flux_producer_close(ngx_http_flux_producer_t *producer)
{
    ngx_queue_t  *q;

    if (producer->client.handle == NULL) {
        return;
    }

    /* without a report there is nobody but us to free them */

    rd_kafka_purge(producer->client.handle,
                   RD_KAFKA_PURGE_F_QUEUE|RD_KAFKA_PURGE_F_INFLIGHT
                   |RD_KAFKA_PURGE_F_NON_BLOCKING);

    while (!ngx_queue_empty(&producer->pending)) {
        q = ngx_queue_head(&producer->pending);
        ngx_http_flux_delivery_free(ngx_queue_data(q,
                                       ngx_http_flux_delivery_t, queue));
    }

    ngx_http_flux_kafka_client_close(&producer->client, NULL, 0, NULL);
}


static void
ngx_http_flux_producer_exit(void *data)
{
    ngx_uint_t                 i;
    ngx_http_flux_producer_t  *producer;

    ngx_http_flux_producer_ready = 0;

    for (i = 0; i < NGX_HTTP_FLUX_CLUSTERS; i++) {
        producer = ngx_http_flux_producers[i];

        if (producer != NULL) {
            ngx_http_flux_producers[i] = NULL;
            ngx_http_flux_producer_close(producer);
            ngx_free(producer);
        }
    }

    ngx_http_flux_kafka_client_wait();
}


ngx_uint_t
ngx_http_flux_producer_down(ngx_http_flux_cluster_t *cluster,
    ngx_http_flux_zone_t *zone)
{
    ngx_http_flux_producer_t       *producer;
    ngx_http_flux_cluster_state_t  *state;

    if (zone != NULL) {
        state = &zone->shared->clusters[cluster->index];

        if (state->name == (uint32_t) flux_hash(FLUX_HASH_START,
                                                cluster->name.data,
                                                cluster->name.len)
            && (state->up || state->error[0]))
        {
            return !state->up;
        }
    }

    producer = ngx_http_flux_producers[cluster->index];

    if (producer == NULL || !producer->down) {
        return 0;
    }

    if (ngx_current_msec - producer->tried >= NGX_HTTP_FLUX_PRODUCER_RETRY) {
        producer->tried = ngx_current_msec;
        return 0;
    }

    return 1;
}


/* --- deliveries ---------------------------------------------------------- */

ngx_http_flux_delivery_t *
ngx_http_flux_producer_send(ngx_http_flux_cluster_t *cluster,
    ngx_str_t *topic, ngx_str_t *key, ngx_str_t *value, ngx_msec_t timeout,
    ngx_http_flux_delivery_pt handler, void *data, rd_kafka_resp_err_t *error)
{
    ngx_http_flux_delivery_t  *delivery;
    ngx_http_flux_producer_t  *producer;

    *error = RD_KAFKA_RESP_ERR__FAIL;

    producer = ngx_http_flux_producer(cluster);
    if (producer == NULL) {
        return NULL;
    }

    delivery = ngx_calloc(sizeof(ngx_http_flux_delivery_t), ngx_cycle->log);
    if (delivery == NULL) {
        return NULL;
    }

    *error = rd_kafka_producev(producer->client.handle,
                               RD_KAFKA_V_TOPIC((char *) topic->data),
                               RD_KAFKA_V_KEY(key->len ? key->data : NULL,
                                              key->len),
                               RD_KAFKA_V_VALUE(value ? value->data : NULL,
                                                value ? value->len : 0),
                               RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                               RD_KAFKA_V_OPAQUE(delivery),
                               RD_KAFKA_V_END);

    if (*error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        ngx_free(delivery);
        return NULL;
    }

    delivery->data = data;
    delivery->handler = handler;
    ngx_queue_insert_tail(&producer->pending, &delivery->queue);

    if (timeout) {
        delivery->timer.handler = ngx_http_flux_delivery_timeout;
        delivery->timer.data = delivery;
        delivery->timer.log = ngx_cycle->log;
        ngx_add_timer(&delivery->timer, timeout);
    }

    return delivery;
}


void
ngx_http_flux_delivery_cancel(ngx_http_flux_delivery_t *delivery)
{
    delivery->handler = NULL;

    if (delivery->timer.timer_set) {
        ngx_del_timer(&delivery->timer);
    }
}


static void
ngx_http_flux_delivery_timeout(ngx_event_t *ev)
{
    /* librdkafka still has it: the report frees it */

    ngx_http_flux_delivery_done(ev->data, RD_KAFKA_RESP_ERR__TIMED_OUT);
}


static void
ngx_http_flux_delivery_done(ngx_http_flux_delivery_t *delivery,
    rd_kafka_resp_err_t error)
{
    ngx_http_flux_delivery_pt  handler = delivery->handler;

    ngx_http_flux_delivery_cancel(delivery);

    if (handler != NULL) {
        delivery->error = error;
        handler(delivery);
    }
}


static void
ngx_http_flux_delivery_free(ngx_http_flux_delivery_t *delivery)
{
    ngx_http_flux_delivery_cancel(delivery);
    ngx_queue_remove(&delivery->queue);
    ngx_free(delivery);
}


void
ngx_http_flux_producer_flush(ngx_http_flux_cluster_t *cluster,
    ngx_msec_t timeout)
{
    ngx_msec_t                 until;
    ngx_queue_t               *q;
    ngx_http_flux_producer_t  *producer;

    producer = ngx_http_flux_producers[cluster->index];

    if (producer == NULL || producer->client.handle == NULL) {
        return;
    }

    for (q = ngx_queue_head(&producer->pending);
         q != ngx_queue_sentinel(&producer->pending);
         q = ngx_queue_next(q))
    {
        ngx_http_flux_delivery_cancel(ngx_queue_data(q,
                                         ngx_http_flux_delivery_t, queue));
    }

    ngx_time_update();
    until = ngx_current_msec + timeout;

    while (!ngx_queue_empty(&producer->pending)
           && (ngx_msec_int_t) (until - ngx_current_msec) > 0)
    {
        (void) ngx_http_flux_producer_event(producer, 20);
        ngx_time_update();
    }
}


/* --- topics -------------------------------------------------------------- */

ngx_int_t
ngx_http_flux_producer_create_topic(ngx_http_flux_cluster_t *cluster,
    ngx_str_t *topic, ngx_http_flux_topic_created_pt handler, void *data)
{
    char                       text[256];
    rd_kafka_NewTopic_t       *new;
    rd_kafka_AdminOptions_t   *options;
    ngx_http_flux_creation_t  *creation;
    ngx_http_flux_producer_t  *producer;

    producer = ngx_http_flux_producer(cluster);
    if (producer == NULL) {
        return NGX_ERROR;
    }

    creation = ngx_alloc(sizeof(ngx_http_flux_creation_t), ngx_cycle->log);
    if (creation == NULL) {
        return NGX_ERROR;
    }

    creation->handler = handler;
    creation->data = data;

    /* partitions and replicas: what the brokers have as default */

    new = rd_kafka_NewTopic_new((char *) topic->data, -1, -1, text,
                                sizeof(text));
    if (new == NULL) {
        ngx_free(creation);
        return NGX_ERROR;
    }

    (void) rd_kafka_NewTopic_set_config(new, "cleanup.policy", "compact");
    (void) rd_kafka_NewTopic_set_config(new, "segment.ms", "60000");

    options = rd_kafka_AdminOptions_new(producer->client.handle,
                                        RD_KAFKA_ADMIN_OP_CREATETOPICS);
    (void) rd_kafka_AdminOptions_set_request_timeout(options,
               NGX_HTTP_FLUX_CREATE_TIMEOUT, text, sizeof(text));
    rd_kafka_AdminOptions_set_opaque(options, creation);

    rd_kafka_CreateTopics(producer->client.handle, &new, 1, options,
                          producer->client.queue);

    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(new);

    return NGX_OK;
}


/* --- its state ----------------------------------------------------------- */

ngx_int_t
ngx_http_flux_producer_ask(ngx_http_flux_cluster_t *cluster,
    ngx_http_flux_asked_pt handler, void *data)
{
    ngx_http_flux_producer_t  *producer;
    ngx_http_flux_question_t  *question;

    producer = ngx_http_flux_producer(cluster);
    if (producer == NULL) {
        return NGX_ERROR;
    }

    question = ngx_http_flux_question_new(NGX_HTTP_FLUX_ASK_METADATA, 0);
    if (question == NULL) {
        return NGX_ERROR;
    }

    producer->asked = handler;
    producer->asker = data;
    ngx_http_flux_assistant_ask(producer->client.assistant, question);

    return NGX_OK;
}


static void
ngx_http_flux_producer_answer(ngx_http_flux_producer_t *producer)
{
    const char                *text;
    ngx_http_flux_question_t  *answer;

    answer = ngx_http_flux_assistant_answer(producer->client.assistant);
    if (answer == NULL) {
        return;
    }

    if (answer->error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        producer->down = 0;
        producer->failure[0] = '\0';
    }

    text = producer->failure[0] ? (char *) producer->failure
                                : rd_kafka_err2str(answer->error);

    producer->asked(producer->asker, answer->error, text);

    ngx_http_flux_question_destroy(answer);
}


/* --- turns --------------------------------------------------------------- */

static void
ngx_http_flux_producer_turn(void *data)
{
    ngx_uint_t                 n;
    ngx_http_flux_producer_t  *producer = data;

    ngx_http_flux_producer_answer(producer);

    for (n = 0; n < NGX_HTTP_FLUX_PRODUCER_EVENTS; n++) {

        if (ngx_http_flux_producer_event(producer, 0) != NGX_OK
            && ngx_http_flux_producer_result(producer) != NGX_OK)
        {
            return;
        }
    }

    ngx_http_flux_kafka_client_next(&producer->client);
}


/* NGX_AGAIN: there was none. */

static ngx_int_t
ngx_http_flux_producer_event(ngx_http_flux_producer_t *producer, int timeout)
{
    rd_kafka_event_t          *event;
    const rd_kafka_message_t  *message;

    event = rd_kafka_queue_poll(producer->client.events, timeout);

    if (event == NULL) {
        return NGX_AGAIN;
    }

    switch (rd_kafka_event_type(event)) {

    case RD_KAFKA_EVENT_DR:

        while ((message = rd_kafka_event_message_next(event)) != NULL) {
            ngx_http_flux_producer_report(producer, message);
        }

        break;

    case RD_KAFKA_EVENT_LOG:
        ngx_http_flux_producer_log(producer, event);
        break;

    case RD_KAFKA_EVENT_ERROR:

        if (rd_kafka_event_error(event)
            == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        {
            producer->down = 1;
            producer->tried = ngx_current_msec;

        } else {
            /* says more than that all are down */
            (void) ngx_cpystrn(producer->failure,
                               (u_char *) rd_kafka_event_error_string(event),
                               sizeof(producer->failure));
        }

        break;

    default:
        break;
    }

    rd_kafka_event_destroy(event);

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_producer_result(ngx_http_flux_producer_t *producer)
{
    size_t                               n;
    const char                          *text;
    rd_kafka_event_t                    *event;
    rd_kafka_resp_err_t                  error;
    ngx_http_flux_creation_t            *creation;
    const rd_kafka_topic_result_t      **topics;
    const rd_kafka_CreateTopics_result_t  *result;

    event = rd_kafka_queue_poll(producer->client.queue, 0);

    if (event == NULL) {
        return NGX_AGAIN;
    }

    result = rd_kafka_event_CreateTopics_result(event);

    if (result != NULL) {
        creation = rd_kafka_event_opaque(event);
        error = rd_kafka_event_error(event);
        text = rd_kafka_event_error_string(event);

        topics = rd_kafka_CreateTopics_result_topics(result, &n);

        if (error == RD_KAFKA_RESP_ERR_NO_ERROR && n == 1) {
            error = rd_kafka_topic_result_error(topics[0]);
            text = rd_kafka_topic_result_error_string(topics[0]);
        }

        creation->handler(creation->data, error, text ? text : "");
        ngx_free(creation);
    }

    rd_kafka_event_destroy(event);

    return NGX_OK;
}


static void
ngx_http_flux_producer_report(ngx_http_flux_producer_t *producer,
    const rd_kafka_message_t *message)
{
    ngx_http_flux_delivery_t  *delivery = message->_private;

    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        producer->down = 0;
    }

    delivery->partition = message->partition;
    delivery->offset = message->offset;

    ngx_http_flux_delivery_done(delivery, message->err);
    ngx_http_flux_delivery_free(delivery);
}


/* What the cluster suffers from the consumer tells, too. */

static void
ngx_http_flux_producer_log(ngx_http_flux_producer_t *producer,
    rd_kafka_event_t *event)
{
    int          level;
    ngx_uint_t   ngx_level;
    const char  *facility, *text;

    if (rd_kafka_event_log(event, &facility, &text, &level) != 0) {
        return;
    }

    ngx_level = level < 7 ? NGX_LOG_INFO : NGX_LOG_DEBUG;

    if (ngx_level > ngx_cycle->log->log_level
        || ngx_strcmp(facility, "CONFWARN") == 0)
    {
        return;
    }

    if (ngx_current_msec - producer->logged >= NGX_HTTP_FLUX_KAFKA_SPAN) {
        producer->logged = ngx_current_msec;
        producer->lines = 0;
    }

    if (ngx_level == NGX_LOG_INFO
        && producer->lines++ >= NGX_HTTP_FLUX_KAFKA_LINES)
    {
        return;
    }

    ngx_log_error(ngx_level, ngx_cycle->log, 0,
                  "flux kafka \"%V\", writing: %s: %s",
                  &producer->cluster->name, facility, text);
}
