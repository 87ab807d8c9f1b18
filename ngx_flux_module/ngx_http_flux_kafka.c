#include "ngx_http_flux_consumer.h"

#include <sys/eventfd.h>


/* How long a worker that exits waits for librdkafka. */
#define NGX_HTTP_FLUX_EXIT_WAIT  2000

#define NGX_HTTP_FLUX_TICK       1000   /* ms */
#define NGX_HTTP_FLUX_RETRY      10000  /* ms, of a client that is refused */

/* lines that librdkafka may write in a span of time (ms) */
#define NGX_HTTP_FLUX_LOG_LINES  8
#define NGX_HTTP_FLUX_LOG_SPAN   10000

/* logs and errors handled in one turn */
#define NGX_HTTP_FLUX_EVENTS     64

/* the index is walked for expired keys once a second, in so many parts */
#define NGX_HTTP_FLUX_EXPIRE_PARTS   20
#define NGX_HTTP_FLUX_EXPIRE_BUDGET  8192   /* nodes in one part, at most */


typedef struct {
    ngx_http_flux_main_conf_t  *fmcf;
    ngx_cycle_t                *cycle;
    ngx_array_t                 consumers;  /* of ngx_http_flux_consumer_t * */
    ngx_pool_t                 *pool;
    ngx_event_t                 expire;
    ngx_event_t                 fenced;
    uint32_t                    node;
    ngx_uint_t                  cleanup;
} ngx_http_flux_kafka_t;


static ngx_int_t ngx_http_flux_kafka_reserved(ngx_keyval_t *property,
    char *buf, size_t len);
static ngx_int_t ngx_http_flux_kafka_conf_set(rd_kafka_conf_t *conf,
    const char *name, const char *value, char *buf, size_t len);
static ngx_int_t ngx_http_flux_consumer_start(ngx_http_flux_consumer_t **place,
    ngx_http_flux_cluster_t *cluster);
static ngx_int_t ngx_http_flux_consumer_connect(
    ngx_http_flux_consumer_t *consumer);
static ngx_int_t ngx_http_flux_consumer_listen(
    ngx_http_flux_consumer_t *consumer, int fd);
static void ngx_http_flux_consumer_stop(ngx_http_flux_consumer_t *consumer);
static void ngx_http_flux_consumer_release(
    ngx_http_flux_consumer_t *consumer);
static void ngx_http_flux_consumer_wake(ngx_event_t *ev);
static void ngx_http_flux_consumer_next(ngx_event_t *ev);
static void ngx_http_flux_consumer_tick(ngx_event_t *ev);
static void ngx_http_flux_consumer_turn(ngx_http_flux_consumer_t *consumer);
static void ngx_http_flux_consumer_done(ngx_http_flux_consumer_t *consumer);
static ngx_int_t ngx_http_flux_consumer_events(
    ngx_http_flux_consumer_t *consumer);
static void ngx_http_flux_consumer_log(ngx_http_flux_consumer_t *consumer,
    rd_kafka_event_t *event);
static void ngx_http_flux_consumer_error(ngx_http_flux_consumer_t *consumer,
    rd_kafka_event_t *event);
static void ngx_http_flux_consumer_restart(
    ngx_http_flux_consumer_t *consumer);
static void ngx_http_flux_kafka_fenced(ngx_event_t *ev);
static void ngx_http_flux_kafka_expire(ngx_event_t *ev);
static void ngx_http_flux_kafka_exit(void *data);


static ngx_http_flux_kafka_t  ngx_http_flux_kafka;


/* What suits us better than librdkafka's own; nginx.conf may say otherwise. */

static ngx_keyval_t  ngx_http_flux_kafka_defaults[] = {

    { ngx_string("client.id"), ngx_string("flux") },

    /* a fetch that waits keeps a partition that is added later waiting */
    { ngx_string("fetch.wait.max.ms"), ngx_string("100") },
    { ngx_string("fetch.error.backoff.ms"), ngx_string("100") },

    /* a cluster that is back is noticed within a second */
    { ngx_string("reconnect.backoff.max.ms"), ngx_string("1000") },

    { ngx_string("socket.keepalive.enable"), ngx_string("true") },
    { ngx_string("socket.nagle.disable"), ngx_string("true") },
    { ngx_string("socket.timeout.ms"), ngx_string("15000") },

    /* librdkafka 2.0 pauses for a second when it has so many */
    { ngx_string("queued.min.messages"), ngx_string("500000") },

    { ngx_null_string, ngx_null_string }
};


/* What the rest relies on. */

static ngx_keyval_t  ngx_http_flux_kafka_fixed[] = {
    { ngx_string("enable.partition.eof"), ngx_string("true") },
    { ngx_string("auto.offset.reset"), ngx_string("error") },
    { ngx_string("enable.auto.commit"), ngx_string("false") },
    { ngx_string("enable.auto.offset.store"), ngx_string("false") },
    { ngx_string("log.queue"), ngx_string("true") },
    { ngx_null_string, ngx_null_string }
};


/* --- configuration --------------------------------------------------------- */

char *
ngx_http_flux_kafka_check(ngx_http_flux_cluster_t *cluster,
    ngx_keyval_t **property, char *buf, size_t len)
{
    rd_kafka_conf_t  *conf;

    conf = ngx_http_flux_kafka_conf(cluster, property, buf, len);

    if (conf == NULL) {
        return buf;
    }

    rd_kafka_conf_destroy(conf);

    return NULL;
}


rd_kafka_conf_t *
ngx_http_flux_kafka_conf(ngx_http_flux_cluster_t *cluster,
    ngx_keyval_t **property, char *buf, size_t len)
{
    ngx_uint_t        i;
    ngx_keyval_t     *kv;
    rd_kafka_conf_t  *conf;

    *property = NULL;
    conf = rd_kafka_conf_new();

    for (kv = ngx_http_flux_kafka_defaults; kv->key.len; kv++) {
        (void) ngx_http_flux_kafka_conf_set(conf, (char *) kv->key.data,
                                            (char *) kv->value.data, buf, len);
    }

    kv = cluster->properties.elts;

    for (i = 0; i < cluster->properties.nelts; i++) {

        if (ngx_http_flux_kafka_reserved(&kv[i], buf, len) != NGX_OK
            || ngx_http_flux_kafka_conf_set(conf, (char *) kv[i].key.data,
                                            (char *) kv[i].value.data, buf,
                                            len)
               != NGX_OK)
        {
            *property = &kv[i];
            goto failed;
        }
    }

    for (kv = ngx_http_flux_kafka_fixed; kv->key.len; kv++) {
        if (ngx_http_flux_kafka_conf_set(conf, (char *) kv->key.data,
                                         (char *) kv->value.data, buf, len)
            != NGX_OK)
        {
            goto failed;
        }
    }

    if (ngx_http_flux_kafka_conf_set(conf, "bootstrap.servers",
                                     (char *) cluster->brokers.data, buf, len)
        != NGX_OK)
    {
        goto failed;
    }

    return conf;

failed:

    rd_kafka_conf_destroy(conf);

    return NULL;
}


static ngx_int_t
ngx_http_flux_kafka_reserved(ngx_keyval_t *property, char *buf, size_t len)
{
    ngx_keyval_t  *kv;

    if (ngx_strcmp(property->key.data, "bootstrap.servers") == 0
        || ngx_strcmp(property->key.data, "metadata.broker.list") == 0)
    {
        (void) snprintf(buf, len, "use the \"brokers\" directive instead");
        return NGX_DECLINED;
    }

    for (kv = ngx_http_flux_kafka_fixed; kv->key.len; kv++) {

        if (ngx_strcmp(property->key.data, kv->key.data) == 0
            && ngx_strcmp(property->value.data, kv->value.data) != 0)
        {
            (void) snprintf(buf, len, "it must be \"%s\"",
                            (char *) kv->value.data);
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_kafka_conf_set(rd_kafka_conf_t *conf, const char *name,
    const char *value, char *buf, size_t len)
{
    return rd_kafka_conf_set(conf, name, value, buf, len) == RD_KAFKA_CONF_OK
           ? NGX_OK : NGX_ERROR;
}


/* --- start and stop -------------------------------------------------------- */

ngx_int_t
ngx_http_flux_kafka_start(ngx_cycle_t *cycle, ngx_http_flux_main_conf_t *fmcf)
{
    ngx_uint_t                 i, n;
    ngx_pool_cleanup_t        *cln;
    ngx_http_flux_feed_t     **feeds = fmcf->feeds.elts;
    ngx_http_flux_kafka_t     *kafka = &ngx_http_flux_kafka;
    ngx_http_flux_cluster_t  **clusters = fmcf->clusters.elts;

    ngx_http_flux_kafka_stop();

    kafka->fmcf = fmcf;
    kafka->cycle = cycle;
    kafka->node = 0;

    if (!kafka->cleanup) {
        cln = ngx_pool_cleanup_add(cycle->pool, 0);
        if (cln == NULL) {
            return NGX_ERROR;
        }

        cln->handler = ngx_http_flux_kafka_exit;
        kafka->cleanup = 1;
    }

    kafka->pool = ngx_create_pool(1024, cycle->log);
    if (kafka->pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&kafka->consumers, kafka->pool, 1,
                       sizeof(ngx_http_flux_consumer_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < fmcf->clusters.nelts; i++) {

        for (n = 0; n < fmcf->feeds.nelts; n++) {
            if (feeds[n]->cluster == clusters[i]) {
                break;
            }
        }

        if (n == fmcf->feeds.nelts) {
            continue;
        }

        if (ngx_http_flux_consumer_start(ngx_array_push(&kafka->consumers),
                                         clusters[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    for (n = 0; n < fmcf->feeds.nelts; n++) {

        if (feeds[n]->expire == 0) {
            continue;
        }

        kafka->expire.handler = ngx_http_flux_kafka_expire;
        kafka->expire.data = kafka;
        kafka->expire.log = cycle->log;
        kafka->expire.cancelable = 1;

        ngx_add_timer(&kafka->expire,
                      NGX_HTTP_FLUX_TICK / NGX_HTTP_FLUX_EXPIRE_PARTS);
        break;
    }

    return NGX_OK;
}


void
ngx_http_flux_kafka_stop(void)
{
    ngx_uint_t                  i;
    ngx_http_flux_kafka_t      *kafka = &ngx_http_flux_kafka;
    ngx_http_flux_consumer_t  **consumers;

    if (kafka->pool == NULL) {
        return;
    }

    if (kafka->expire.timer_set) {
        ngx_del_timer(&kafka->expire);
    }

    if (kafka->fenced.posted) {
        ngx_delete_posted_event(&kafka->fenced);
    }

    consumers = kafka->consumers.elts;

    for (i = 0; i < kafka->consumers.nelts; i++) {
        if (consumers[i] != NULL) {
            ngx_http_flux_consumer_stop(consumers[i]);
        }
    }

    ngx_destroy_pool(kafka->pool);
    kafka->pool = NULL;
}


/*
 * exit() must not pull OpenSSL away under threads that use it; but a name
 * server that is silent keeps them for longer than a reload may wait.
 */

static void
ngx_http_flux_kafka_exit(void *data)
{
    ngx_http_flux_kafka_stop();

    ngx_http_flux_kafka.cleanup = 0;

    if (ngx_http_flux_assistant_wait(NGX_HTTP_FLUX_EXIT_WAIT) != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "flux exits while librdkafka waits for the network");
    }
}


static ngx_int_t
ngx_http_flux_consumer_start(ngx_http_flux_consumer_t **place,
    ngx_http_flux_cluster_t *cluster)
{
    ngx_pool_t                     *pool;
    ngx_http_flux_kafka_t          *kafka = &ngx_http_flux_kafka;
    ngx_http_flux_consumer_t       *consumer;
    ngx_http_flux_cluster_state_t  *state;

    if (place == NULL) {
        return NGX_ERROR;
    }

    *place = NULL;

    pool = ngx_create_pool(4096, kafka->cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    consumer = ngx_pcalloc(pool, sizeof(ngx_http_flux_consumer_t));
    if (consumer == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    consumer->pool = pool;
    consumer->fmcf = kafka->fmcf;
    consumer->zone = kafka->fmcf->zone;
    consumer->cluster = cluster;
    consumer->log = kafka->cycle->log;

    consumer->next.handler = ngx_http_flux_consumer_next;
    consumer->next.data = consumer;
    consumer->next.log = consumer->log;

    consumer->timer.handler = ngx_http_flux_consumer_tick;
    consumer->timer.data = consumer;
    consumer->timer.log = consumer->log;
    consumer->timer.cancelable = 1;

    *place = consumer;

    /* the places of clusters go by their order in nginx.conf */

    state = &consumer->zone->shared->clusters[cluster->index];

    if (state->name != (uint32_t) flux_hash(FLUX_HASH_START,
                                            cluster->name.data,
                                            cluster->name.len))
    {
        ngx_memzero(state, sizeof(ngx_http_flux_cluster_state_t));
        state->name = (uint32_t) flux_hash(FLUX_HASH_START, cluster->name.data,
                                           cluster->name.len);
    }

    if (ngx_http_flux_consumer_connect(consumer) == NGX_OK) {
        ngx_add_timer(&consumer->timer, NGX_HTTP_FLUX_TICK);
        ngx_http_flux_kafka_look(consumer);

    } else {
        ngx_add_timer(&consumer->timer, NGX_HTTP_FLUX_RETRY);
    }

    return NGX_OK;
}


/* Makes the client.  Nothing waits for the network. */

static ngx_int_t
ngx_http_flux_consumer_connect(ngx_http_flux_consumer_t *consumer)
{
    int               fd;
    char              text[512];
    uint64_t          one = 1;
    ngx_keyval_t     *property;
    rd_kafka_conf_t  *conf;

    text[0] = '\0';

    conf = ngx_http_flux_kafka_conf(consumer->cluster, &property, text,
                                    sizeof(text));
    if (conf == NULL) {
        goto failed;
    }

    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_LOG|RD_KAFKA_EVENT_ERROR);

    consumer->handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text,
                                    sizeof(text));
    if (consumer->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        goto failed;
    }

    rd_kafka_set_log_queue(consumer->handle, NULL);

    consumer->queue = rd_kafka_queue_new(consumer->handle);
    consumer->events = rd_kafka_queue_get_main(consumer->handle);

    fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (fd == -1) {
        (void) snprintf(text, sizeof(text), "eventfd() failed");
        goto failed;
    }

    consumer->assistant = ngx_http_flux_assistant_start(consumer->handle,
                              consumer->queue, consumer->events, fd);

    if (consumer->assistant == NULL) {
        (void) close(fd);
        (void) snprintf(text, sizeof(text), "there is no thread to be had");
        goto failed;
    }

    if (ngx_http_flux_kafka_init_topics(consumer) != NGX_OK
        || ngx_http_flux_consumer_listen(consumer, fd) != NGX_OK)
    {
        (void) snprintf(text, sizeof(text), "no memory, or no connection");
        goto failed;
    }

    rd_kafka_queue_io_event_enable(consumer->queue, fd, &one, sizeof(one));
    rd_kafka_queue_io_event_enable(consumer->events, fd, &one, sizeof(one));

    consumer->seen = ngx_current_msec;
    consumer->look_at = ngx_current_msec;

    /* what came before the descriptor was there */

    ngx_post_event(&consumer->next, &ngx_posted_events);

    return NGX_OK;

failed:

    ngx_http_flux_consumer_release(consumer);
    ngx_http_flux_kafka_cluster_down(consumer, text);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_flux_consumer_listen(ngx_http_flux_consumer_t *consumer, int fd)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, consumer->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->data = consumer;
    c->read->handler = ngx_http_flux_consumer_wake;
    c->read->log = consumer->log;
    c->write->log = consumer->log;

    /* not a socket that a graceful shutdown would wait for */

    c->read->channel = 1;
    c->write->channel = 1;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
        return NGX_ERROR;
    }

    consumer->connection = c;

    return NGX_OK;
}


static void
ngx_http_flux_consumer_stop(ngx_http_flux_consumer_t *consumer)
{
    ngx_connection_t  *c = consumer->connection;

    if (consumer->timer.timer_set) {
        ngx_del_timer(&consumer->timer);
    }

    if (consumer->next.posted) {
        ngx_delete_posted_event(&consumer->next);
    }

    if (c != NULL) {

        if (c->read->posted) {
            ngx_delete_posted_event(c->read);
        }

        /* the assistant closes the descriptor */

        (void) ngx_del_event(c->read, NGX_READ_EVENT, NGX_DISABLE_EVENT);
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
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

    if (consumer->handle == NULL) {
        return;
    }

    ngx_http_flux_kafka_forget(consumer, NULL);

    rd_kafka_queue_io_event_enable(consumer->queue, -1, NULL, 0);
    rd_kafka_queue_io_event_enable(consumer->events, -1, NULL, 0);

    if (consumer->assistant == NULL) {
        rd_kafka_queue_destroy(consumer->queue);
        rd_kafka_queue_destroy(consumer->events);
        rd_kafka_destroy_flags(consumer->handle,
                               RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        consumer->handle = NULL;
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

    ngx_http_flux_assistant_quit(consumer->assistant, handles, ntopics,
                                 reading);

    consumer->assistant = NULL;
    consumer->handle = NULL;
}


/* What answers now may be another cluster: a fresh client finds out. */

static void
ngx_http_flux_consumer_restart(ngx_http_flux_consumer_t *consumer)
{
    ngx_uint_t                  i;
    ngx_http_flux_kafka_t      *kafka = &ngx_http_flux_kafka;
    ngx_http_flux_cluster_t    *cluster = consumer->cluster;
    ngx_http_flux_consumer_t  **consumers = kafka->consumers.elts;

    for (i = 0; i < kafka->consumers.nelts; i++) {

        if (consumers[i] == consumer) {
            ngx_http_flux_consumer_stop(consumer);
            (void) ngx_http_flux_consumer_start(&consumers[i], cluster);
            return;
        }
    }
}


/* --- turns ----------------------------------------------------------------- */

static void
ngx_http_flux_consumer_wake(ngx_event_t *ev)
{
    uint64_t           n;
    ngx_connection_t  *c = ev->data;

    /* one read empties it; what comes later is a new edge */

    (void) read(c->fd, &n, sizeof(n));

    ngx_http_flux_consumer_turn(c->data);
}


static void
ngx_http_flux_consumer_next(ngx_event_t *ev)
{
    ngx_http_flux_consumer_turn(ev->data);
}


/*
 * A bounded slice of what waits.  librdkafka writes to the descriptor again
 * only when a queue was found empty, so what is left needs a turn of its own.
 */

static void
ngx_http_flux_consumer_turn(ngx_http_flux_consumer_t *consumer)
{
    ngx_int_t                  rc, more;
    ngx_http_flux_question_t  *answer;

    answer = ngx_http_flux_assistant_answer(consumer->assistant);

    if (answer != NULL) {
        ngx_http_flux_kafka_answer(consumer, answer);
    }

    more = ngx_http_flux_consumer_events(consumer);
    rc = ngx_http_flux_kafka_take(consumer);

    if (rc == NGX_AGAIN || more == NGX_AGAIN) {
        ngx_post_event(&consumer->next, &ngx_posted_next_events);
    }

    ngx_http_flux_consumer_done(consumer);
}


static void
ngx_http_flux_consumer_tick(ngx_event_t *ev)
{
    ngx_http_flux_consumer_t  *consumer = ev->data;

    ngx_add_timer(&consumer->timer, NGX_HTTP_FLUX_TICK);

    if (consumer->handle == NULL) {
        consumer->restart = 1;

    } else {
        ngx_http_flux_kafka_look(consumer);
        ngx_http_flux_kafka_watermarks(consumer);
        ngx_http_flux_kafka_log_skips(consumer);
    }

    ngx_http_flux_consumer_done(consumer);
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


/* --- logs and errors ------------------------------------------------------- */

static ngx_int_t
ngx_http_flux_consumer_events(ngx_http_flux_consumer_t *consumer)
{
    ngx_uint_t         n;
    rd_kafka_event_t  *event;

    for (n = 0; n < NGX_HTTP_FLUX_EVENTS; n++) {

        event = rd_kafka_queue_poll(consumer->events, 0);

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

    /* syslog's numbers; none of it is nginx's emergency */

    ngx_level = ngx_max((ngx_uint_t) level + 1, NGX_LOG_ERR);

    if (ngx_strcmp(facility, "CONFWARN") == 0) {
        /* a property for producers, of a cluster that is written to as well */
        ngx_level = NGX_LOG_INFO;
    }

    if (ngx_level > consumer->log->log_level
        || !ngx_http_flux_kafka_may_log(consumer))
    {
        return;
    }

    ngx_log_error(ngx_level, consumer->log, 0, "flux kafka \"%V\": %s: %s",
                  &consumer->cluster->name, facility, text);
}


ngx_uint_t
ngx_http_flux_kafka_may_log(ngx_http_flux_consumer_t *consumer)
{
    if (ngx_current_msec - consumer->logged >= NGX_HTTP_FLUX_LOG_SPAN) {

        if (consumer->suppressed) {
            ngx_log_error(NGX_LOG_NOTICE, consumer->log, 0,
                          "flux kafka \"%V\": %ui more lines were suppressed",
                          &consumer->cluster->name, consumer->suppressed);
        }

        consumer->logged = ngx_current_msec;
        consumer->suppressed = 0;
        consumer->lines = 0;
    }

    if (consumer->lines == NGX_HTTP_FLUX_LOG_LINES) {
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


/* --- the zone -------------------------------------------------------------- */

ngx_int_t
ngx_http_flux_kafka_lock(ngx_http_flux_consumer_t *consumer)
{
    ngx_http_flux_kafka_t  *kafka = &ngx_http_flux_kafka;

    if (ngx_http_flux_zone_lock_writer(consumer->zone) == NGX_OK) {
        flux_log_begin(&consumer->zone->log);
        return NGX_OK;
    }

    /* not from under the feet of the caller */

    kafka->fenced.handler = ngx_http_flux_kafka_fenced;
    kafka->fenced.data = kafka;
    kafka->fenced.log = consumer->log;
    ngx_post_event(&kafka->fenced, &ngx_posted_events);

    return NGX_DECLINED;
}


void
ngx_http_flux_kafka_unlock(ngx_http_flux_consumer_t *consumer)
{
    int64_t      now;
    uint32_t     slot;
    flux_log_t  *log = &consumer->zone->log;

    if (consumer->changed) {
        now = ngx_http_flux_kafka_now();

        for (slot = 0; slot < FLUX_LOG_FEEDS; slot++) {
            if (consumer->changed & (UINT64_C(1) << slot)) {
                flux_log_note(log, slot, now);
            }
        }

        consumer->changed = 0;
        consumer->published = 1;
    }

    flux_log_end(log);
    ngx_http_flux_zone_unlock(consumer->zone);
}


int64_t
ngx_http_flux_kafka_now(void)
{
    ngx_time_t  *tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}


static void
ngx_http_flux_kafka_fenced(ngx_event_t *ev)
{
    ngx_http_flux_kafka_stop();
}


static void
ngx_http_flux_kafka_expire(ngx_event_t *ev)
{
    int64_t                 now, before[FLUX_LOG_FEEDS];
    int64_t                 expire[FLUX_LOG_FEEDS];
    uint32_t                budget;
    uint64_t                head;
    ngx_uint_t              i;
    ngx_http_flux_zone_t   *zone;
    ngx_http_flux_feed_t  **feeds;
    ngx_http_flux_kafka_t  *kafka = ev->data;

    zone = kafka->fmcf->zone;
    feeds = kafka->fmcf->feeds.elts;
    now = ngx_http_flux_kafka_now();

    for (i = 0; i < FLUX_LOG_FEEDS; i++) {
        before[i] = INT64_MIN;
        expire[i] = 0;
    }

    for (i = 0; i < kafka->fmcf->feeds.nelts; i++) {
        if (feeds[i]->expire && feeds[i]->slot != FLUX_NONE) {
            before[feeds[i]->slot] = now - feeds[i]->expire;
            expire[feeds[i]->slot] = feeds[i]->expire;
        }
    }

    if (ngx_http_flux_zone_lock_writer(zone) != NGX_OK) {
        ngx_http_flux_kafka_stop();
        return;
    }

    head = flux_log_head(&zone->log);
    budget = zone->log.header->used / NGX_HTTP_FLUX_EXPIRE_PARTS + 1;

    flux_log_begin(&zone->log);
    flux_log_expire(&zone->log, before, expire, &kafka->node,
                    ngx_min(budget, NGX_HTTP_FLUX_EXPIRE_BUDGET));
    flux_log_end(&zone->log);

    head = flux_log_head(&zone->log) - head;

    ngx_http_flux_zone_unlock(zone);

    if (head) {
        ngx_http_flux_zone_wake(zone);
    }

    ngx_add_timer(&kafka->expire,
                  NGX_HTTP_FLUX_TICK / NGX_HTTP_FLUX_EXPIRE_PARTS);
}
