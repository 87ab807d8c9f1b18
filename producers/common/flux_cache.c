#include "flux_cache.h"
#include "flux_policy.h"
#include "flux_tree.h"
#include "flux_writer.h"

#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define FLUX_CACHE_PORT        6379

/* a lookup that takes longer is slower than asking the provider */
#define FLUX_CACHE_LOOKUP_MS   500

/* a server that has not answered for so long gets a new connection */
#define FLUX_CACHE_SILENCE_MS  5000

#define FLUX_CACHE_RETRY_MS    1000
#define FLUX_CACHE_RETRY_CAP   60000

/* commands that wait for an answer; more are dropped */
#define FLUX_CACHE_PENDING     2000

#define FLUX_CACHE_VALUE       (1024 * 1024)


struct flux_cache_s {
    flux_loop_t          *loop;
    const flux_logger_t  *log;
    char                  host[256];
    int                   port;
    redisAsyncContext    *redis;        /* NULL between two attempts */
    int                   connected;
    int                   closing;
    int                   complained;
    int                   fd;
    int                   events;
    unsigned              attempt;
    size_t                pending;
    int64_t               heard;
    flux_timer_t          timer;
    flux_random_t         random;
};


struct flux_lookup_s {
    flux_cache_t    *cache;
    flux_timer_t     timer;
    flux_lookup_pt   handler;       /* NULL: it was called or cancelled */
    void            *arg;
    int              asked;         /* hiredis will call back */
};


static void flux_cache_connect(flux_cache_t *cache);


/* the adapter: hiredis says what it wants to know of its descriptor */

static void
flux_cache_ready(void *arg)
{
    int                 events;
    redisAsyncContext  *redis;
    flux_cache_t       *cache = arg;

    /* a poll for both may come for one: neither call minds */

    events = cache->events;
    redis = cache->redis;

    if (redis != NULL && (events & FLUX_WRITE)) {
        redisAsyncHandleWrite(redis);
    }

    if (cache->redis == redis && redis != NULL && (events & FLUX_READ)) {
        redisAsyncHandleRead(redis);
    }
}


static void
flux_cache_events(flux_cache_t *cache, int events)
{
    cache->events = events;

    if (events == 0) {
        flux_loop_unwatch(cache->loop, cache->fd);

    } else if (flux_loop_watch(cache->loop, cache->fd, events,
                               flux_cache_ready, cache) != FLUX_OK)
    {
        cache->events = 0;
    }
}


static void
flux_cache_add_read(void *arg)
{
    flux_cache_t  *cache = arg;

    flux_cache_events(cache, cache->events | FLUX_READ);
}


static void
flux_cache_del_read(void *arg)
{
    flux_cache_t  *cache = arg;

    flux_cache_events(cache, cache->events & ~FLUX_READ);
}


static void
flux_cache_add_write(void *arg)
{
    flux_cache_t  *cache = arg;

    flux_cache_events(cache, cache->events | FLUX_WRITE);
}


static void
flux_cache_del_write(void *arg)
{
    flux_cache_t  *cache = arg;

    flux_cache_events(cache, cache->events & ~FLUX_WRITE);
}


static void
flux_cache_cleanup(void *arg)
{
    flux_cache_t  *cache = arg;

    if (cache->fd != -1) {
        flux_cache_events(cache, 0);
        cache->fd = -1;
    }
}


static void
flux_cache_lost(flux_cache_t *cache, const char *why)
{
    cache->redis = NULL;
    cache->connected = 0;

    if (cache->closing) {
        return;
    }

    if (!cache->complained) {
        cache->complained = 1;
        flux_log(cache->log, FLUX_WARN, "cache %s:%d: %s: going on without",
                 cache->host, cache->port, why);
    }

    flux_timer_set(cache->loop, &cache->timer,
                   FLUX_CACHE_RETRY_MS / 2
                   + flux_backoff(&cache->random, FLUX_CACHE_RETRY_MS,
                                  FLUX_CACHE_RETRY_CAP, cache->attempt++));
}


static void
flux_cache_connected(const redisAsyncContext *redis, int status)
{
    flux_cache_t  *cache = redis->data;

    if (status != REDIS_OK) {
        flux_cache_lost(cache, redis->errstr);
        return;
    }

    cache->connected = 1;
    cache->heard = flux_monotonic_ms();

    if (cache->complained) {
        cache->complained = 0;
        flux_log(cache->log, FLUX_INFO, "cache %s:%d: there again",
                 cache->host, cache->port);
    }
}


static void
flux_cache_disconnected(const redisAsyncContext *redis, int status)
{
    flux_cache_lost(redis->data, (status == REDIS_OK) ? "closed"
                                                      : redis->errstr);
}


/* time to connect, or to look for a server that says nothing */

static void
flux_cache_timer(void *arg)
{
    flux_cache_t       *cache = arg;
    redisAsyncContext  *redis;

    if (cache->redis == NULL) {
        flux_cache_connect(cache);
        return;
    }

    if ((cache->pending > 0 || !cache->connected)
        && flux_monotonic_ms() - cache->heard > FLUX_CACHE_SILENCE_MS)
    {
        redis = cache->redis;
        flux_cache_lost(cache, "no answer");
        redis->data = cache;
        redisAsyncFree(redis);
        return;
    }

    flux_timer_set(cache->loop, &cache->timer, 1000);
}


static void
flux_cache_connect(flux_cache_t *cache)
{
    redisAsyncContext  *redis;

    redis = redisAsyncConnect(cache->host, cache->port);

    if (redis == NULL || redis->err) {
        flux_cache_lost(cache, (redis != NULL) ? redis->errstr
                                               : "out of memory");
        if (redis != NULL) {
            redisAsyncFree(redis);
        }

        return;
    }

    redis->data = cache;
    redis->ev.data = cache;
    redis->ev.addRead = flux_cache_add_read;
    redis->ev.delRead = flux_cache_del_read;
    redis->ev.addWrite = flux_cache_add_write;
    redis->ev.delWrite = flux_cache_del_write;
    redis->ev.cleanup = flux_cache_cleanup;

    cache->redis = redis;
    cache->fd = redis->c.fd;
    cache->events = 0;
    cache->heard = flux_monotonic_ms();

    flux_timer_set(cache->loop, &cache->timer, 1000);

    redisAsyncSetConnectCallback(redis, flux_cache_connected);
    redisAsyncSetDisconnectCallback(redis, flux_cache_disconnected);
}


/*
 * hiredis resolves names with a blocking call, so the host has to be an
 * address or in /etc/hosts; localhost is.
 */

flux_cache_t *
flux_cache_new(flux_loop_t *loop, const flux_logger_t *log, const char *url)
{
    size_t         len;
    const char    *host, *port;
    flux_cache_t  *cache;

    if (strncmp(url, "redis://", 8) != 0) {
        return NULL;
    }

    host = url + 8;
    len = strcspn(host, ":/");
    port = (host[len] == ':') ? host + len + 1 : NULL;

    cache = calloc(1, sizeof(flux_cache_t));
    if (cache == NULL) {
        return NULL;
    }

    cache->loop = loop;
    cache->log = log;
    cache->fd = -1;
    cache->port = (port != NULL) ? atoi(port) : FLUX_CACHE_PORT;

    if (len == 0 || len >= sizeof(cache->host) || cache->port < 1
        || cache->port > 65535)
    {
        free(cache);
        return NULL;
    }

    memcpy(cache->host, host, len);
    flux_random_seed(&cache->random, (uint64_t) flux_wall_ms());
    flux_timer_init(&cache->timer, flux_cache_timer, cache);
    flux_cache_connect(cache);

    return cache;
}


void
flux_cache_free(flux_cache_t *cache)
{
    if (cache == NULL) {
        return;
    }

    cache->closing = 1;
    flux_timer_clear(cache->loop, &cache->timer);

    if (cache->redis != NULL) {
        redisAsyncFree(cache->redis);
    }

    free(cache);
}


static void
flux_lookup_end(flux_lookup_t *lookup, const flux_reply_t *reply)
{
    flux_lookup_pt  handler;

    handler = lookup->handler;
    lookup->handler = NULL;
    flux_timer_clear(lookup->cache->loop, &lookup->timer);

    if (handler != NULL) {
        handler(lookup->arg, reply);
    }
}


static void
flux_lookup_timeout(void *arg)
{
    int             asked;
    flux_lookup_t  *lookup = arg;

    asked = lookup->asked;
    flux_lookup_end(lookup, NULL);

    if (!asked) {
        free(lookup);       /* else hiredis' callback does it */
    }
}


static void
flux_lookup_found(flux_lookup_t *lookup, const char *text, size_t len)
{
    int64_t              at;
    flux_tree_t          tree;
    flux_reply_t         reply;
    const flux_node_t   *body;

    memset(&reply, 0, sizeof(reply));

    if (len <= FLUX_CACHE_VALUE
        && flux_tree_parse(&tree, text, len) == FLUX_OK)
    {
        body = flux_tree_member(&tree, flux_tree_root(&tree), "body");

        if (body != NULL && body->type == FLUX_NODE_STRING
            && flux_tree_int(&tree, flux_tree_root(&tree), "at", &at)
               == FLUX_OK
            && at > 0 && at <= flux_wall_ms())
        {
            reply.status = 200;
            reply.body = body->text;
            reply.len = body->len;
            reply.retry_after = -1;
            reply.etag = "";
            reply.source = FLUX_LIVE;
            reply.wall_ms = at;
        }
    }

    flux_lookup_end(lookup, (reply.status != 0) ? &reply : NULL);

    if (len <= FLUX_CACHE_VALUE) {
        flux_tree_free(&tree);
    }
}


static void
flux_cache_answer(redisAsyncContext *redis, void *answer, void *arg)
{
    redisReply     *r = answer;
    flux_cache_t   *cache;
    flux_lookup_t  *lookup = arg;

    cache = redis->data;
    cache->pending--;
    cache->heard = flux_monotonic_ms();

    if (lookup == NULL) {
        return;
    }

    lookup->asked = 0;

    if (lookup->handler != NULL && r != NULL
        && r->type == REDIS_REPLY_STRING)
    {
        flux_lookup_found(lookup, r->str, r->len);

    } else {
        flux_lookup_end(lookup, NULL);
    }

    free(lookup);
}


static int
flux_cache_key(char *out, size_t size, const char *provider, const char *job)
{
    int  n;

    n = snprintf(out, size, "flux:%s:%s", provider, job);

    return n > 0 && (size_t) n < size;
}


flux_lookup_t *
flux_cache_get(flux_cache_t *cache, const char *provider, const char *job,
    flux_lookup_pt handler, void *arg)
{
    char            key[1200];
    flux_lookup_t  *lookup;

    lookup = calloc(1, sizeof(flux_lookup_t));
    if (lookup == NULL) {
        return NULL;
    }

    lookup->cache = cache;
    lookup->handler = handler;
    lookup->arg = arg;
    flux_timer_init(&lookup->timer, flux_lookup_timeout, lookup);

    /* while it connects, commands wait in hiredis: that is soon enough */

    if (cache->redis != NULL && cache->pending < FLUX_CACHE_PENDING
        && flux_cache_key(key, sizeof(key), provider, job)
        && redisAsyncCommand(cache->redis, flux_cache_answer, lookup,
                             "GET %s", key) == REDIS_OK)
    {
        cache->pending++;
        lookup->asked = 1;
    }

    flux_timer_set(cache->loop, &lookup->timer,
                   lookup->asked ? FLUX_CACHE_LOOKUP_MS : 0);

    return lookup;
}


void
flux_cache_cancel(flux_lookup_t *lookup)
{
    lookup->handler = NULL;
    flux_timer_clear(lookup->cache->loop, &lookup->timer);

    if (!lookup->asked) {
        free(lookup);
    }
}


void
flux_cache_put(flux_cache_t *cache, const char *provider, const char *job,
    const flux_reply_t *reply, int64_t ttl)
{
    char           key[1200];
    flux_buffer_t  value;
    flux_writer_t  w;

    if (cache->redis == NULL || !cache->connected
        || cache->pending >= FLUX_CACHE_PENDING
        || !flux_cache_key(key, sizeof(key), provider, job))
    {
        return;
    }

    flux_buffer_init(&value, FLUX_CACHE_VALUE);
    flux_writer_init(&w, &value);
    flux_write_object(&w, NULL);
    flux_write_int(&w, "at", reply->wall_ms);
    flux_write_bytes(&w, "body", reply->body, reply->len);
    flux_write_end(&w);

    if (value.failed == FLUX_OK
        && redisAsyncCommand(cache->redis, flux_cache_answer, NULL,
                             "SET %s %b PX %lld", key, value.data, value.len,
                             (long long) ttl) == REDIS_OK)
    {
        cache->pending++;
    }

    flux_buffer_free(&value);
}
