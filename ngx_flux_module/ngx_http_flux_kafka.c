#include "ngx_http_flux_consumer.h"

/* the index is walked for expired keys once a second, in so many parts */
#define NGX_HTTP_FLUX_EXPIRE_PARTS   20
#define NGX_HTTP_FLUX_EXPIRE_TIMER   (1000 / NGX_HTTP_FLUX_EXPIRE_PARTS)
#define NGX_HTTP_FLUX_EXPIRE_BUDGET  8192   /* nodes in one part, at most */


typedef struct {
    ngx_http_flux_main_conf_t  *fmcf;
    ngx_cycle_t                *cycle;
    ngx_array_t                 consumers;  /* of ngx_http_flux_consumer_t * */
    ngx_pool_t                 *pool;
    ngx_event_t                 expire;
    ngx_event_t                 fenced;
    uint32_t                    node;
    int64_t                     sweep;      /* when it began, Unix ms */
    ngx_uint_t                  swept;      /* sweeps whose time is told */
    ngx_uint_t                  cleanup;
} ngx_http_flux_kafka_t;


static void ngx_http_flux_kafka_exit(void *data);
static ngx_int_t ngx_http_flux_consumer_start(
    ngx_http_flux_consumer_t **place, ngx_http_flux_cluster_t *cluster);
static void ngx_http_flux_kafka_fenced(ngx_event_t *ev);
static void ngx_http_flux_kafka_expire(ngx_event_t *ev);


static ngx_http_flux_kafka_t  ngx_http_flux_kafka;


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
    kafka->swept = 2;

    if (!kafka->cleanup) {
        cln = ngx_pool_cleanup_add(cycle->pool, 0);
        if (cln == NULL) {
            return NGX_ERROR;
        }

        cln->handler = ngx_http_flux_kafka_exit;
        kafka->cleanup = 1;

        ngx_http_flux_kafka_client_pin();
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
                      NGX_HTTP_FLUX_EXPIRE_TIMER);
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


static void
ngx_http_flux_kafka_exit(void *data)
{
    ngx_http_flux_kafka_stop();

    ngx_http_flux_kafka.cleanup = 0;

    ngx_http_flux_kafka_client_wait();
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

    ngx_http_flux_consumer_connect(consumer);

    return NGX_OK;
}


void
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


/* --- the zone ------------------------------------------------------------ */

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
    uint32_t     slot;
    flux_log_t  *log = &consumer->zone->log;

    if (consumer->changed) {
        for (slot = 0; slot < FLUX_LOG_FEEDS; slot++) {
            if (consumer->changed & (UINT64_C(1) << slot)) {
                flux_log_note(log, slot);
            }
        }

        consumer->changed = 0;
        consumer->published = 1;
    }

    flux_log_end(log);
    ngx_http_flux_zone_unlock(consumer->zone);

    if (consumer->complete) {
        ngx_http_flux_kafka_log_complete(consumer);
    }
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
    flux_feed_t            *feed;
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

    if (kafka->node == 0) {
        kafka->sweep = now;
    }

    flux_log_begin(&zone->log);
    flux_log_expire(&zone->log, before, expire, &kafka->node,
                    ngx_min(budget, NGX_HTTP_FLUX_EXPIRE_BUDGET));

    if (flux_log_head(&zone->log) != head) {

        /* a key may have expired after this sweep began: the next one, too */

        kafka->swept = 2;
    }

    if (kafka->node == 0) {

        /* the whole index was seen: cursors may say so */

        for (i = 0; i < FLUX_LOG_FEEDS; i++) {
            feed = &zone->log.header->feeds[i];

            if (expire[i] && (kafka->swept
                              || feed->expired < feed->lost_expire))
            {
                flux_log_expired(&zone->log, i, kafka->sweep);
            }
        }

        if (kafka->swept) {
            kafka->swept--;
        }
    }

    flux_log_end(&zone->log);

    head = flux_log_head(&zone->log) - head;

    ngx_http_flux_zone_unlock(zone);

    if (head) {
        ngx_http_flux_zone_wake(zone);
    }

    ngx_add_timer(&kafka->expire,
                  NGX_HTTP_FLUX_EXPIRE_TIMER);
}
