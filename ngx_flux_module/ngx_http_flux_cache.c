#include "ngx_http_flux_cache_parts.h"


#define NGX_HTTP_FLUX_CACHE_TICK  250   /* ms */


static void ngx_http_flux_cache_tick(ngx_event_t *ev);
static void ngx_http_flux_cache_connected(void *data);


static ngx_http_flux_cache_t  ngx_http_flux_the_cache;


void
ngx_http_flux_cache_start(ngx_cycle_t *cycle, ngx_http_flux_main_conf_t *fmcf)
{
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    ngx_http_flux_cache_stop();

    if (fmcf->cache == NULL || fmcf->feeds.nelts == 0) {
        return;
    }

    ngx_memzero(cache, sizeof(ngx_http_flux_cache_t));

    cache->zone = fmcf->zone;
    cache->log = cycle->log;
    cache->written = ngx_current_msec;
    cache->renewed = ngx_current_msec;

    cache->dirty = calloc(1, cache->zone->log.header->nnodes);
    if (cache->dirty == NULL) {
        return;
    }

    cache->fmcf = fmcf;

    cache->redis.address = fmcf->cache;
    cache->redis.log = cycle->log;
    cache->redis.connected = ngx_http_flux_cache_connected;
    cache->redis.data = cache;
    ngx_http_flux_redis_init(&cache->redis);

    cache->timer.handler = ngx_http_flux_cache_tick;
    cache->timer.data = cache;
    cache->timer.log = cycle->log;
    cache->timer.cancelable = 1;

    ngx_add_timer(&cache->timer, 1);
}


void
ngx_http_flux_cache_stop(void)
{
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    if (cache->fmcf == NULL) {
        return;
    }

    cache->fmcf = NULL;

    if (cache->timer.timer_set) {
        ngx_del_timer(&cache->timer);
    }

    ngx_http_flux_redis_close(&cache->redis);

    free(cache->dirty);
    cache->dirty = NULL;
}


static void
ngx_http_flux_cache_tick(ngx_event_t *ev)
{
    ngx_http_flux_cache_t  *cache = ev->data;

    if (!cache->zone->writing) {
        ngx_http_flux_cache_stop();
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_FLUX_CACHE_TICK);

    if (ngx_http_flux_redis_tick(&cache->redis) != NGX_OK) {
        return;
    }

    ngx_http_flux_cache_scan(cache);

    if (cache->redis.waiting == 0) {
        ngx_http_flux_cache_keep_all(cache);
        ngx_http_flux_cache_load(cache);
    }

    if (cache->redis.waiting == 0) {
        ngx_http_flux_cache_flush(cache);
    }
}


/* What it missed, and what it may have forgotten. */

static void
ngx_http_flux_cache_connected(void *data)
{
    ngx_http_flux_cache_t  *cache = data;

    cache->kept = 0;
    ngx_http_flux_cache_read_all(cache);
    ngx_http_flux_cache_write_all(cache);
}


ngx_http_flux_feed_t *
ngx_http_flux_cache_feed(ngx_http_flux_cache_t *cache, uint32_t slot)
{
    ngx_uint_t              i;
    ngx_http_flux_feed_t  **feeds = cache->fmcf->feeds.elts;

    for (i = 0; i < cache->fmcf->feeds.nelts; i++) {
        if (feeds[i]->slot == slot) {
            return feeds[i];
        }
    }

    return NULL;
}


ngx_str_t
ngx_http_flux_cache_key(ngx_http_flux_feed_t *feed, u_char *key)
{
    ngx_str_t  text;

    text.data = key;
    text.len = ngx_sprintf(key, "flux:%016xL", feed->signature) - key;

    return text;
}


uint32_t
ngx_http_flux_cache_partition(ngx_http_flux_zone_t *zone,
    ngx_http_flux_feed_t *feed)
{
    return feed->slot == FLUX_NONE ? FLUX_NONE
           : flux_log_find_partition(&zone->log, feed->slot,
                                     NGX_HTTP_FLUX_CACHE_TOPIC, 0);
}


void
ngx_http_flux_cache_forget(ngx_http_flux_main_conf_t *fmcf,
    ngx_http_flux_cluster_t *cluster)
{
    uint32_t                partition;
    ngx_uint_t              i;
    flux_log_t             *log = &fmcf->zone->log;
    ngx_http_flux_feed_t  **feeds = fmcf->feeds.elts;

    for (i = 0; i < fmcf->feeds.nelts; i++) {

        if (feeds[i]->cluster != cluster) {
            continue;
        }

        partition = ngx_http_flux_cache_partition(fmcf->zone, feeds[i]);

        if (partition == FLUX_NONE) {
            continue;
        }

        flux_log_reset_topic(log, feeds[i]->slot, NGX_HTTP_FLUX_CACHE_TOPIC,
                             0);
        log->partitions[partition].feed = FLUX_NONE;
    }
}
