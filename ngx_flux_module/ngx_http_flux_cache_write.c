#include "ngx_http_flux_cache_parts.h"


#define NGX_HTTP_FLUX_CACHE_WRITE    1000   /* ms, between writes of a room */

/* what one turn writes, in bytes */
#define NGX_HTTP_FLUX_CACHE_TURN     (512 * 1024)

/* entries of the log looked at in a tick */
#define NGX_HTTP_FLUX_CACHE_ENTRIES  65536

/* a copy that nobody keeps goes after a week; how often it is kept, in ms */
#define NGX_HTTP_FLUX_CACHE_KEEP     "604800"
#define NGX_HTTP_FLUX_CACHE_KEPT     10000

/* the longest address, each byte of its room escaped */
#define NGX_HTTP_FLUX_CACHE_ADDRESS  (255 + 1 + NGX_HTTP_FLUX_ROOM_MAX * 6)


static void ngx_http_flux_cache_delete(ngx_http_flux_cache_t *cache,
    uint32_t slot);
static size_t ngx_http_flux_cache_room(ngx_http_flux_cache_t *cache,
    uint32_t node);
static ngx_http_flux_feed_t *ngx_http_flux_cache_copy_room(
    ngx_http_flux_cache_t *cache, uint32_t node, ngx_str_t *address,
    ngx_str_t *copy);
static void ngx_http_flux_cache_keep(ngx_http_flux_cache_t *cache,
    ngx_http_flux_feed_t *feed);


void
ngx_http_flux_cache_write_all(ngx_http_flux_cache_t *cache)
{
    uint32_t     node;
    flux_log_t  *log = &cache->zone->log;

    ngx_shmtx_lock(&cache->zone->shpool->mutex);

    cache->position = flux_log_head(log);
    cache->ndirty = 0;

    for (node = 0; node < log->header->nnodes; node++) {

        cache->dirty[node] = node < log->header->used
                             && flux_node_is_room(log, node);
        cache->ndirty += cache->dirty[node];
    }

    ngx_shmtx_unlock(&cache->zone->shpool->mutex);
}


void
ngx_http_flux_cache_scan(ngx_http_flux_cache_t *cache)
{
    ngx_uint_t     n;
    flux_entry_t   entry;
    flux_status_t  rc;

    for (n = 0; n < NGX_HTTP_FLUX_CACHE_ENTRIES; n++) {

        rc = flux_log_read(&cache->zone->log, &cache->position, &entry);

        if (rc == FLUX_AGAIN) {
            return;
        }

        if (rc == FLUX_LOST || entry.kind == FLUX_ENTRY_RESET) {

            if (rc != FLUX_LOST) {
                ngx_http_flux_cache_delete(cache, entry.feed);
            }

            ngx_http_flux_cache_write_all(cache);
            return;
        }

        if (entry.kind != FLUX_ENTRY_STATUS
            && !(entry.flags & FLUX_ENTRY_MOVED)
            && entry.room < cache->zone->log.header->nnodes
            && !cache->dirty[entry.room])
        {
            cache->dirty[entry.room] = 1;
            cache->ndirty++;
        }
    }
}


/* The feed begins anew. */

static void
ngx_http_flux_cache_delete(ngx_http_flux_cache_t *cache, uint32_t slot)
{
    u_char                 key[NGX_HTTP_FLUX_CACHE_KEY];
    ngx_str_t              args[2];
    ngx_http_flux_feed_t  *feed;

    feed = ngx_http_flux_cache_feed(cache, slot);

    if (feed == NULL) {
        return;
    }

    ngx_str_set(&args[0], "DEL");
    args[1] = ngx_http_flux_cache_key(feed, key);

    cache->kept &= ~(UINT64_C(1) << slot);

    (void) ngx_http_flux_redis_command(&cache->redis, args, 2, NULL, NULL);
}


void
ngx_http_flux_cache_flush(ngx_http_flux_cache_t *cache)
{
    size_t    bytes;
    uint32_t  n, nnodes;

    if (cache->ndirty == 0
        || ngx_current_msec - cache->written < NGX_HTTP_FLUX_CACHE_WRITE)
    {
        return;
    }

    nnodes = cache->zone->log.header->nnodes;
    bytes = 0;

    for (n = 0; n < nnodes && cache->ndirty; n++) {

        if (bytes > NGX_HTTP_FLUX_CACHE_TURN) {
            /* the rest in the next tick, once this has gone */
            return;
        }

        if (cache->next >= nnodes) {
            cache->next = 0;
        }

        if (cache->dirty[cache->next]) {
            cache->dirty[cache->next] = 0;
            cache->ndirty--;
            bytes += ngx_http_flux_cache_room(cache, cache->next);
        }

        cache->next++;
    }

    cache->written = ngx_current_msec;
}


/* Returns how many bytes are on their way. */

static size_t
ngx_http_flux_cache_room(ngx_http_flux_cache_t *cache, uint32_t node)
{
    u_char                 key[NGX_HTTP_FLUX_CACHE_KEY];
    u_char                 address[NGX_HTTP_FLUX_CACHE_ADDRESS];
    ngx_str_t              args[4];
    ngx_http_flux_feed_t  *feed;

    args[2].data = address;
    args[2].len = sizeof(address);

    feed = ngx_http_flux_cache_copy_room(cache, node, &args[2], &args[3]);

    if (feed == NULL) {
        return 0;
    }

    args[1] = ngx_http_flux_cache_key(feed, key);

    if (args[3].data != NULL) {
        ngx_str_set(&args[0], "HSET");
        (void) ngx_http_flux_redis_command(&cache->redis, args, 4, NULL, NULL);
        ngx_free(args[3].data);

    } else {
        ngx_str_set(&args[0], "HDEL");
        (void) ngx_http_flux_redis_command(&cache->redis, args, 3, NULL, NULL);
    }

    ngx_http_flux_cache_keep(cache, feed);

    return args[3].len + 64;
}


/*
 * NULL: there is nothing to write of it.  address.len: in, what fits; copy: no
 * data when the room is empty, else the caller's to free.
 */

static ngx_http_flux_feed_t *
ngx_http_flux_cache_copy_room(ngx_http_flux_cache_t *cache, uint32_t node,
    ngx_str_t *address, ngx_str_t *copy)
{
    flux_log_t            *log = &cache->zone->log;
    flux_entry_t          *entry;
    ngx_http_flux_feed_t  *feed;

    ngx_str_null(copy);
    feed = NULL;
    entry = NULL;

    ngx_shmtx_lock(&cache->zone->shpool->mutex);

    if (!log->header->dirty && flux_node_is_room(log, node)) {
        feed = ngx_http_flux_cache_feed(cache,
                                        flux_log_room(log, node)->feed);
    }

    if (feed != NULL
        && ngx_http_flux_cache_partition(cache->zone, feed) == FLUX_NONE)
    {
        entry = flux_log_named(log, node);
    }

    if (entry != NULL && entry->address_length <= address->len) {

        address->len = entry->address_length;
        ngx_memcpy(address->data,
                   flux_log_message(entry) + FLUX_MESSAGE_PREFIX,
                   address->len);

        copy->data = ngx_http_flux_cache_copy(log, node, feed, &copy->len,
                                              cache->log);

    } else {
        feed = NULL;
    }

    ngx_shmtx_unlock(&cache->zone->shpool->mutex);

    return feed;
}


/* Gives the feed's hash a date, unless it has a new one. */

static void
ngx_http_flux_cache_keep(ngx_http_flux_cache_t *cache,
    ngx_http_flux_feed_t *feed)
{
    u_char     key[NGX_HTTP_FLUX_CACHE_KEY];
    ngx_str_t  args[3];

    if (feed->slot == FLUX_NONE
        || (cache->kept & (UINT64_C(1) << feed->slot)))
    {
        return;
    }

    cache->kept |= UINT64_C(1) << feed->slot;

    ngx_str_set(&args[0], "EXPIRE");
    args[1] = ngx_http_flux_cache_key(feed, key);
    ngx_str_set(&args[2], NGX_HTTP_FLUX_CACHE_KEEP);

    (void) ngx_http_flux_redis_command(&cache->redis, args, 3, NULL, NULL);
}


void
ngx_http_flux_cache_keep_all(ngx_http_flux_cache_t *cache)
{
    ngx_uint_t              i;
    ngx_http_flux_feed_t  **feeds = cache->fmcf->feeds.elts;

    if (ngx_current_msec - cache->renewed < NGX_HTTP_FLUX_CACHE_KEPT) {
        return;
    }

    cache->renewed = ngx_current_msec;
    cache->kept = 0;

    for (i = 0; i < cache->fmcf->feeds.nelts; i++) {
        ngx_http_flux_cache_keep(cache, feeds[i]);
    }
}
