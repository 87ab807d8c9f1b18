#include "ngx_http_flux_cache_parts.h"
#include "ngx_http_flux_kafka.h"


/* fields asked for at once */
#define NGX_HTTP_FLUX_CACHE_COUNT  "64"


static ngx_uint_t ngx_http_flux_cache_cold(ngx_http_flux_cache_t *cache,
    ngx_http_flux_feed_t *feed);
static void ngx_http_flux_cache_ask(ngx_http_flux_cache_t *cache,
    ngx_str_t *cursor);
static void ngx_http_flux_cache_answer(redisAsyncContext *context,
    void *reply, void *data);
static void ngx_http_flux_cache_fields(ngx_http_flux_cache_t *cache,
    redisReply *fields);
static uint32_t ngx_http_flux_cache_open(ngx_http_flux_cache_t *cache,
    ngx_http_flux_feed_t *feed);


void
ngx_http_flux_cache_read_all(ngx_http_flux_cache_t *cache)
{
    cache->tried = 0;
}


void
ngx_http_flux_cache_load(ngx_http_flux_cache_t *cache)
{
    ngx_str_t               cursor = ngx_string("0");
    ngx_uint_t              i, cold;
    ngx_http_flux_feed_t  **feeds = cache->fmcf->feeds.elts;

    for (i = 0; i < cache->fmcf->feeds.nelts; i++) {

        if (cache->tried & (UINT64_C(1) << i)) {
            continue;
        }

        ngx_shmtx_lock(&cache->zone->shpool->mutex);

        cold = ngx_http_flux_cache_cold(cache, feeds[i])
               && ngx_http_flux_cache_partition(cache->zone, feeds[i])
                  == FLUX_NONE;

        ngx_shmtx_unlock(&cache->zone->shpool->mutex);

        if (!cold) {
            continue;
        }

        cache->tried |= UINT64_C(1) << i;
        cache->loading = feeds[i];
        ngx_memzero(&cache->count, sizeof(ngx_http_flux_cache_count_t));

        ngx_http_flux_cache_ask(cache, &cursor);
        return;
    }
}


/* May the cache speak for this feed?  Under the lock. */

static ngx_uint_t
ngx_http_flux_cache_cold(ngx_http_flux_cache_t *cache,
    ngx_http_flux_feed_t *feed)
{
    uint32_t                        i;
    flux_log_t                     *log = &cache->zone->log;
    ngx_http_flux_cluster_state_t  *state;

    if (feed->slot == FLUX_NONE || log->header->feeds[feed->slot].ready) {
        return 0;
    }

    state = &cache->zone->shared->clusters[feed->cluster->index];

    if (state->up || state->error[0] == '\0') {
        return 0;
    }

    for (i = 0; i < log->header->npartitions; i++) {
        if (log->partitions[i].feed == feed->slot
            && log->partitions[i].start >= 0)
        {
            /* some of it was read */
            return 0;
        }
    }

    return 1;
}


static void
ngx_http_flux_cache_ask(ngx_http_flux_cache_t *cache, ngx_str_t *cursor)
{
    u_char     key[NGX_HTTP_FLUX_CACHE_KEY];
    ngx_str_t  args[5];

    ngx_str_set(&args[0], "HSCAN");
    args[1] = ngx_http_flux_cache_key(cache->loading, key);
    args[2] = *cursor;
    ngx_str_set(&args[3], "COUNT");
    ngx_str_set(&args[4], NGX_HTTP_FLUX_CACHE_COUNT);

    (void) ngx_http_flux_redis_command(&cache->redis, args, 5,
                                       ngx_http_flux_cache_answer, cache);
}


static void
ngx_http_flux_cache_answer(redisAsyncContext *context, void *reply, void *data)
{
    ngx_str_t               cursor;
    redisReply             *r = reply;
    ngx_http_flux_cache_t  *cache = data;

    if (!ngx_http_flux_redis_answered(context, r)
        || cache->loading == NULL
        || r->type != REDIS_REPLY_ARRAY || r->elements != 2
        || r->element[0]->type != REDIS_REPLY_STRING
        || r->element[1]->type != REDIS_REPLY_ARRAY)
    {
        cache->loading = NULL;
        return;
    }

    ngx_http_flux_cache_fields(cache, r->element[1]);

    if (cache->loading == NULL) {
        return;
    }

    cursor.data = (u_char *) r->element[0]->str;
    cursor.len = r->element[0]->len;

    if (cursor.len > 0 && cursor.len <= NGX_INT64_LEN
        && !(cursor.len == 1 && cursor.data[0] == '0'))
    {
        ngx_http_flux_cache_ask(cache, &cursor);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, cache->log, 0,
                  "flux_cache gave %ui record%s of feed \"%V\", %ui refused",
                  cache->count.taken, cache->count.taken == 1 ? "" : "s",
                  &cache->loading->name, cache->count.refused);

    cache->loading = NULL;
}


/* Takes addresses and copies, in turn. */

static void
ngx_http_flux_cache_fields(ngx_http_flux_cache_t *cache, redisReply *fields)
{
    size_t                 i;
    uint32_t               partition;
    ngx_str_t              address, copy;
    flux_log_t            *log = &cache->zone->log;
    redisReply           **field = fields->element;
    ngx_http_flux_feed_t  *feed = cache->loading;

    if (ngx_http_flux_zone_lock_writer(cache->zone) != NGX_OK) {
        cache->loading = NULL;
        return;
    }

    if (!ngx_http_flux_cache_cold(cache, feed)
        || log->header->live_bytes > log->ring_size / 2)
    {
        cache->loading = NULL;
        ngx_http_flux_zone_unlock(cache->zone);
        return;
    }

    flux_log_begin(log);

    partition = ngx_http_flux_cache_open(cache, feed);

    for (i = 0; partition != FLUX_NONE && i + 1 < fields->elements; i += 2) {

        if (field[i]->type != REDIS_REPLY_STRING
            || field[i + 1]->type != REDIS_REPLY_STRING)
        {
            cache->count.refused++;
            continue;
        }

        address.data = (u_char *) field[i]->str;
        address.len = field[i]->len;
        copy.data = (u_char *) field[i + 1]->str;
        copy.len = field[i + 1]->len;

        ngx_http_flux_cache_take(log, feed, partition, &address, &copy,
                                 &cache->count);
    }

    flux_log_note(log, feed->slot);
    flux_log_end(log);

    ngx_http_flux_zone_unlock(cache->zone);
    ngx_http_flux_zone_wake(cache->zone);
}


/* The partition for what the cache gives: known, never read, and down. */

static uint32_t
ngx_http_flux_cache_open(ngx_http_flux_cache_t *cache,
    ngx_http_flux_feed_t *feed)
{
    uint32_t           partition;
    flux_log_t        *log = &cache->zone->log;
    flux_partition_t  *p;

    partition = flux_log_partition(log, feed->slot, NGX_HTTP_FLUX_CACHE_TOPIC,
                                   0, 0, NGX_HTTP_FLUX_UNREAD);
    if (partition == FLUX_NONE) {
        return FLUX_NONE;
    }

    p = &log->partitions[partition];

    if (p->next < 0) {
        p->next = 0;
    }

    if (!p->down) {
        p->down = 1;
        p->down_since = ngx_http_flux_kafka_now();
    }

    return partition;
}
