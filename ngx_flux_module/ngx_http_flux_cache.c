#include "ngx_http_flux_cache.h"
#include "ngx_http_flux_kafka.h"

#include "core/flux_json.h"
#include "core/flux_pointer.h"

#include <hiredis/async.h>


/* all in ms */
#define NGX_HTTP_FLUX_CACHE_TICK     250
#define NGX_HTTP_FLUX_CACHE_WRITE    1000   /* between writes of a room */
#define NGX_HTTP_FLUX_CACHE_TIMEOUT  5000   /* for any answer */
#define NGX_HTTP_FLUX_CACHE_RETRY    2000

/* what one turn writes, and the most that is kept of a room, in bytes */
#define NGX_HTTP_FLUX_CACHE_TURN     (512 * 1024)
#define NGX_HTTP_FLUX_CACHE_ROOM     (1024 * 1024)

/* the most that a server may have us gather */
#define NGX_HTTP_FLUX_CACHE_INPUT    (32 * 1024 * 1024)

/* entries of the log looked at in a tick */
#define NGX_HTTP_FLUX_CACHE_ENTRIES  65536

/* a copy that nobody renews goes after a week */
#define NGX_HTTP_FLUX_CACHE_KEEP     "604800"

/* of a copy's first line; another layout has another one */
#define NGX_HTTP_FLUX_CACHE_MAGIC    "flux1"

/* stands for the partition that records from the cache are in */
#define NGX_HTTP_FLUX_CACHE_TOPIC    UINT64_C(0x666c757863616368)


typedef struct {
    ngx_str_t                   text;       /* as in nginx.conf */
    ngx_str_t                   host;       /* numeric, or a path; NUL-ended */
    ngx_str_t                   password;   /* likewise */
    ngx_uint_t                  port;       /* 0: host is a path */
    ngx_uint_t                  db;
} ngx_http_flux_cache_conf_t;


typedef struct {
    ngx_http_flux_main_conf_t  *fmcf;       /* NULL: not the writer */
    ngx_http_flux_cache_conf_t *conf;
    ngx_http_flux_zone_t       *zone;
    ngx_log_t                  *log;

    redisAsyncContext          *redis;
    ngx_connection_t           *connection;
    ngx_event_t                 timer;
    ngx_msec_t                  tried;      /* when it was connected to */
    ngx_msec_t                  heard;      /* the last answer */
    ngx_msec_t                  written;
    ngx_uint_t                  waiting;    /* for so many answers */

    u_char                     *dirty;      /* by node: the room changed */
    uint32_t                    ndirty;
    uint32_t                    next;       /* node to go on with */
    uint64_t                    position;   /* the log was read up to here */
    uint64_t                    kept;       /* feeds whose copy has a date */

    uint64_t                    tried_feeds;
    ngx_http_flux_feed_t       *loading;    /* is being read */
    ngx_uint_t                  loaded;     /* records of it */
    ngx_uint_t                  refused;

    unsigned                    up:1;
    unsigned                    told:1;     /* that it is down */
    unsigned                    error:1;    /* likewise, an error's text */
} ngx_http_flux_cache_t;


static void ngx_http_flux_cache_connect(void);
static void ngx_http_flux_cache_close(const char *why);
static void ngx_http_flux_cache_read(ngx_event_t *ev);
static void ngx_http_flux_cache_write(ngx_event_t *ev);
static void ngx_http_flux_cache_add_read(void *data);
static void ngx_http_flux_cache_del_read(void *data);
static void ngx_http_flux_cache_add_write(void *data);
static void ngx_http_flux_cache_del_write(void *data);
static void ngx_http_flux_cache_cleanup(void *data);
static void ngx_http_flux_cache_connected(const redisAsyncContext *redis,
    int status);
static ngx_int_t ngx_http_flux_cache_command(redisCallbackFn *handler,
    void *data, int n, const char **args, size_t *lengths);
static ngx_uint_t ngx_http_flux_cache_answered(void *reply);
static void ngx_http_flux_cache_done(redisAsyncContext *redis, void *reply,
    void *data);
static void ngx_http_flux_cache_tick(ngx_event_t *ev);
static void ngx_http_flux_cache_mark_all(void);
static void ngx_http_flux_cache_scan(void);
static void ngx_http_flux_cache_flush(void);
static ngx_http_flux_feed_t *ngx_http_flux_cache_feed(uint32_t slot);
static size_t ngx_http_flux_cache_key(ngx_http_flux_feed_t *feed,
    u_char *key);
static size_t ngx_http_flux_cache_room(uint32_t node);
static u_char *ngx_http_flux_cache_copy(uint32_t node, size_t *len);
static void ngx_http_flux_cache_load(void);
static void ngx_http_flux_cache_loaded(redisAsyncContext *redis, void *reply,
    void *data);
static void ngx_http_flux_cache_take(redisReply *fields);
static void ngx_http_flux_cache_take_room(ngx_http_flux_feed_t *feed,
    uint32_t partition, redisReply *address, redisReply *copy);
static ngx_int_t ngx_http_flux_cache_take_record(ngx_http_flux_feed_t *feed,
    uint32_t partition, redisReply *address, size_t key_length, u_char *message,
    size_t length, int64_t ts);


static ngx_http_flux_cache_t  ngx_http_flux_the_cache;


/* --- the directive ------------------------------------------------------- */

char *
ngx_http_flux_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char                      *at, *slash, *end;
    ngx_int_t                    n;
    ngx_str_t                    rest, *value = cf->args->elts;
    ngx_url_t                    url;
    ngx_http_flux_cache_conf_t  *cache;
    ngx_http_flux_main_conf_t   *fmcf = conf;

    if (fmcf->cache != NULL) {
        return "is duplicate";
    }

    cache = ngx_pcalloc(cf->pool, sizeof(ngx_http_flux_cache_conf_t));
    if (cache == NULL) {
        return NGX_CONF_ERROR;
    }

    fmcf->cache = cache;
    cache->text = value[1];

    rest = value[1];
    end = rest.data + rest.len;

    if (ngx_strncmp(rest.data, "unix:", 5) == 0 && rest.len > 5) {
        cache->host.data = rest.data + 5;
        cache->host.len = rest.len - 5;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(rest.data, "redis://", 8) != 0) {
        goto invalid;
    }

    rest.data += 8;

    for (at = end; at > rest.data && at[-1] != '@'; at--) { /* void */ }

    if (at > rest.data) {

        /* ":password@" */

        if (*rest.data != ':') {
            goto invalid;
        }

        cache->password.data = rest.data + 1;
        cache->password.len = at - 1 - cache->password.data;
        cache->password.data[cache->password.len] = '\0';
        rest.data = at;
    }

    slash = ngx_strlchr(rest.data, end, '/');

    if (slash != NULL) {
        n = ngx_atoi(slash + 1, end - slash - 1);

        if (n == NGX_ERROR || n > 65535) {
            goto invalid;
        }

        cache->db = n;
        end = slash;
    }

    ngx_memzero(&url, sizeof(ngx_url_t));
    url.url.data = rest.data;
    url.url.len = end - rest.data;
    url.default_port = 6379;

    if (url.url.len == 0 || ngx_parse_url(cf->pool, &url) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in flux_cache \"%V\"",
                           url.err ? url.err : "no host", &url.url);
        return NGX_CONF_ERROR;
    }

    if (url.naddrs == 0 || url.family == AF_UNIX) {
        goto invalid;
    }

    /* by number: hiredis would wait for a name server */

    cache->host.data = ngx_pcalloc(cf->pool, NGX_SOCKADDR_STRLEN + 1);
    if (cache->host.data == NULL) {
        return NGX_CONF_ERROR;
    }

    cache->host.len = ngx_sock_ntop(url.addrs[0].sockaddr,
                                    url.addrs[0].socklen, cache->host.data,
                                    NGX_SOCKADDR_STRLEN, 0);
    cache->port = ngx_inet_get_port(url.addrs[0].sockaddr);

    if (cache->host.len && cache->host.data[0] == '[') {
        cache->host.len -= 2;
        ngx_memmove(cache->host.data, cache->host.data + 1, cache->host.len);
        cache->host.data[cache->host.len] = '\0';
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid flux_cache, it is "
                       "\"redis://[:password@]host[:port][/db]\" or "
                       "\"unix:path\"");
    return NGX_CONF_ERROR;
}


/* --- life ---------------------------------------------------------------- */

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
    cache->conf = fmcf->cache;
    cache->log = cycle->log;
    cache->tried = ngx_current_msec - NGX_HTTP_FLUX_CACHE_RETRY;
    cache->written = ngx_current_msec;

    cache->dirty = calloc(1, cache->zone->log.header->nnodes);
    if (cache->dirty == NULL) {
        return;
    }

    cache->fmcf = fmcf;

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

    ngx_http_flux_cache_close(NULL);

    free(cache->dirty);
    cache->dirty = NULL;
}


/* --- hiredis in nginx's event loop --------------------------------------- */

static void
ngx_http_flux_cache_connect(void)
{
    ngx_connection_t       *c;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    cache->tried = ngx_current_msec;
    cache->heard = ngx_current_msec;

    cache->redis = cache->conf->port
                   ? redisAsyncConnect((char *) cache->conf->host.data,
                                       (int) cache->conf->port)
                   : redisAsyncConnectUnix((char *) cache->conf->host.data);

    if (cache->redis == NULL) {
        return;
    }

    if (cache->redis->err) {
        ngx_http_flux_cache_close(cache->redis->errstr);
        return;
    }

    c = ngx_get_connection(cache->redis->c.fd, cache->log);

    if (c == NULL) {
        ngx_http_flux_cache_close(NULL);
        return;
    }

    c->data = cache;
    c->read->handler = ngx_http_flux_cache_read;
    c->read->log = cache->log;
    c->write->handler = ngx_http_flux_cache_write;
    c->write->log = cache->log;

    /* not a socket that a graceful shutdown would wait for */

    c->read->channel = 1;
    c->write->channel = 1;

    cache->connection = c;
    cache->redis->ev.data = cache;
    cache->redis->ev.addRead = ngx_http_flux_cache_add_read;
    cache->redis->ev.delRead = ngx_http_flux_cache_del_read;
    cache->redis->ev.addWrite = ngx_http_flux_cache_add_write;
    cache->redis->ev.delWrite = ngx_http_flux_cache_del_write;
    cache->redis->ev.cleanup = ngx_http_flux_cache_cleanup;

    (void) redisAsyncSetConnectCallback(cache->redis,
                                        ngx_http_flux_cache_connected);
}


static void
ngx_http_flux_cache_close(const char *why)
{
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    if (why != NULL && !cache->told) {
        cache->told = 1;
        ngx_log_error(NGX_LOG_WARN, cache->log, 0,
                      "flux_cache cannot be used: %s", why);
    }

    if (cache->redis != NULL) {

        if (cache->redis->ev.data == NULL) {
            redisAsyncFree(cache->redis);
            cache->redis = NULL;

        } else {
            /* calls the cleanup */
            redisAsyncFree(cache->redis);
        }
    }
}


/* The context goes, by our will or hiredis': the descriptor after this. */

static void
ngx_http_flux_cache_cleanup(void *data)
{
    ngx_connection_t       *c;
    ngx_http_flux_cache_t  *cache = data;

    c = cache->connection;

    if (c != NULL) {
        if (c->read->active) {
            (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
        }

        if (c->write->active) {
            (void) ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
        }

        if (c->read->posted) {
            ngx_delete_posted_event(c->read);
        }

        if (c->write->posted) {
            ngx_delete_posted_event(c->write);
        }

        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
    }

    if (cache->fmcf != NULL && !cache->told) {
        cache->told = 1;
        ngx_log_error(NGX_LOG_WARN, cache->log, 0,
                      "flux_cache is away: %s",
                      cache->redis && cache->redis->errstr
                      && cache->redis->errstr[0]
                      ? cache->redis->errstr : "closed");
    }

    cache->connection = NULL;
    cache->redis = NULL;
    cache->up = 0;
    cache->waiting = 0;
    cache->loading = NULL;
}


static void
ngx_http_flux_cache_add_read(void *data)
{
    ngx_http_flux_cache_t  *cache = data;

    /* hiredis reads once per call: not by edges */

    if (cache->connection != NULL && !cache->connection->read->active) {
        (void) ngx_add_event(cache->connection->read, NGX_READ_EVENT, 0);
    }
}


static void
ngx_http_flux_cache_del_read(void *data)
{
    ngx_http_flux_cache_t  *cache = data;

    if (cache->connection != NULL && cache->connection->read->active) {
        (void) ngx_del_event(cache->connection->read, NGX_READ_EVENT, 0);
    }
}


static void
ngx_http_flux_cache_add_write(void *data)
{
    ngx_http_flux_cache_t  *cache = data;

    if (cache->connection != NULL && !cache->connection->write->active) {
        (void) ngx_add_event(cache->connection->write, NGX_WRITE_EVENT, 0);
    }
}


static void
ngx_http_flux_cache_del_write(void *data)
{
    ngx_http_flux_cache_t  *cache = data;

    if (cache->connection != NULL && cache->connection->write->active) {
        (void) ngx_del_event(cache->connection->write, NGX_WRITE_EVENT, 0);
    }
}


static void
ngx_http_flux_cache_read(ngx_event_t *ev)
{
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    if (cache->redis == NULL) {
        return;
    }

    if (cache->redis->c.reader->len > NGX_HTTP_FLUX_CACHE_INPUT) {
        ngx_http_flux_cache_close("it sends too much");
        return;
    }

    redisAsyncHandleRead(cache->redis);
}


static void
ngx_http_flux_cache_write(ngx_event_t *ev)
{
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    if (cache->redis != NULL) {
        redisAsyncHandleWrite(cache->redis);
    }
}


static void
ngx_http_flux_cache_connected(const redisAsyncContext *redis, int status)
{
    char                    db[NGX_INT_T_LEN + 1];
    size_t                  lengths[2];
    const char             *args[2];
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    if (status != REDIS_OK) {
        /* hiredis frees it now */
        return;
    }

    cache->up = 1;
    cache->error = 0;

    if (cache->told) {
        cache->told = 0;
        ngx_log_error(NGX_LOG_NOTICE, cache->log, 0, "flux_cache is back");
    }

    if (cache->conf->password.len) {
        args[0] = "AUTH";
        lengths[0] = 4;
        args[1] = (char *) cache->conf->password.data;
        lengths[1] = cache->conf->password.len;
        (void) ngx_http_flux_cache_command(ngx_http_flux_cache_done, NULL, 2,
                                           args, lengths);
    }

    if (cache->conf->db) {
        args[0] = "SELECT";
        lengths[0] = 6;
        args[1] = db;
        lengths[1] = ngx_sprintf((u_char *) db, "%ui", cache->conf->db)
                     - (u_char *) db;
        (void) ngx_http_flux_cache_command(ngx_http_flux_cache_done, NULL, 2,
                                           args, lengths);
    }

    /* what it missed, and what it may have forgotten */

    cache->tried_feeds = 0;
    cache->kept = 0;
    ngx_http_flux_cache_mark_all();
}


static ngx_int_t
ngx_http_flux_cache_command(redisCallbackFn *handler, void *data, int n,
    const char **args, size_t *lengths)
{
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    if (cache->waiting == 0) {
        cache->heard = ngx_current_msec;
    }

    if (redisAsyncCommandArgv(cache->redis, handler, data, n, args, lengths)
        != REDIS_OK)
    {
        return NGX_ERROR;
    }

    cache->waiting++;

    return NGX_OK;
}


/* 0: no answer to go on with. */

static ngx_uint_t
ngx_http_flux_cache_answered(void *reply)
{
    redisReply             *r = reply;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    if (r == NULL) {
        /* the connection is being closed */
        return 0;
    }

    cache->heard = ngx_current_msec;

    if (cache->waiting) {
        cache->waiting--;
    }

    if (r->type != REDIS_REPLY_ERROR) {
        return 1;
    }

    if (!cache->error) {
        cache->error = 1;
        ngx_log_error(NGX_LOG_WARN, cache->log, 0, "flux_cache says: %*s",
                      (size_t) ngx_min(r->len, 128), r->str);
    }

    return 0;
}


static void
ngx_http_flux_cache_done(redisAsyncContext *redis, void *reply, void *data)
{
    (void) ngx_http_flux_cache_answered(reply);
}


/* --- ticks --------------------------------------------------------------- */

static void
ngx_http_flux_cache_tick(ngx_event_t *ev)
{
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    if (!cache->zone->writing) {
        ngx_http_flux_cache_stop();
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_FLUX_CACHE_TICK);

    if (cache->redis == NULL) {

        if (ngx_current_msec - cache->tried >= NGX_HTTP_FLUX_CACHE_RETRY) {
            ngx_http_flux_cache_connect();
        }

        return;
    }

    if ((!cache->up || cache->waiting)
        && ngx_current_msec - cache->heard >= NGX_HTTP_FLUX_CACHE_TIMEOUT)
    {
        ngx_http_flux_cache_close("it does not answer");
        return;
    }

    if (!cache->up) {
        return;
    }

    ngx_http_flux_cache_scan();

    if (cache->waiting) {
        return;
    }

    ngx_http_flux_cache_load();

    if (cache->waiting == 0 && cache->ndirty
        && ngx_current_msec - cache->written >= NGX_HTTP_FLUX_CACHE_WRITE)
    {
        ngx_http_flux_cache_flush();
    }
}


/* --- writing ------------------------------------------------------------- */

/* From the head on; all that there is counts as changed. */

static void
ngx_http_flux_cache_mark_all(void)
{
    uint32_t                node;
    flux_log_t             *log;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    log = &cache->zone->log;

    ngx_shmtx_lock(&cache->zone->shpool->mutex);

    cache->position = flux_log_head(log);
    cache->ndirty = 0;

    for (node = 0; node < log->header->nnodes; node++) {

        cache->dirty[node] = node < log->header->used
                             && (log->nodes[node].room.hash & 3) == 1;
        cache->ndirty += cache->dirty[node];
    }

    ngx_shmtx_unlock(&cache->zone->shpool->mutex);
}


/* The feed begins anew. */

static void
ngx_http_flux_cache_delete(uint32_t slot)
{
    size_t                  lengths[2];
    u_char                  key[32];
    const char             *args[2];
    ngx_http_flux_feed_t   *feed;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    feed = ngx_http_flux_cache_feed(slot);

    if (feed == NULL) {
        return;
    }

    args[0] = "DEL";
    lengths[0] = 3;
    args[1] = (char *) key;
    lengths[1] = ngx_http_flux_cache_key(feed, key);

    cache->kept &= ~(UINT64_C(1) << slot);

    (void) ngx_http_flux_cache_command(ngx_http_flux_cache_done, NULL, 2,
                                       args, lengths);
}


static void
ngx_http_flux_cache_scan(void)
{
    ngx_uint_t              n;
    flux_entry_t            entry;
    flux_status_t           rc;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    for (n = 0; n < NGX_HTTP_FLUX_CACHE_ENTRIES; n++) {

        rc = flux_log_read(&cache->zone->log, &cache->position, &entry);

        if (rc == FLUX_AGAIN) {
            return;
        }

        if (rc == FLUX_LOST || entry.kind == FLUX_ENTRY_RESET) {

            if (rc != FLUX_LOST) {
                ngx_http_flux_cache_delete(entry.feed);
            }

            ngx_http_flux_cache_mark_all();
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


static void
ngx_http_flux_cache_flush(void)
{
    size_t                  bytes;
    uint32_t                n, nnodes;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

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
            bytes += ngx_http_flux_cache_room(cache->next);

            if (cache->redis == NULL) {
                return;
            }
        }

        cache->next++;
    }

    cache->written = ngx_current_msec;
}


static ngx_http_flux_feed_t *
ngx_http_flux_cache_feed(uint32_t slot)
{
    ngx_uint_t              i;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;
    ngx_http_flux_feed_t  **feeds = cache->fmcf->feeds.elts;

    for (i = 0; i < cache->fmcf->feeds.nelts; i++) {
        if (feeds[i]->slot == slot) {
            return feeds[i];
        }
    }

    return NULL;
}


/* The partition of what the cache gave, FLUX_NONE: Kafka's is there. */

static uint32_t
ngx_http_flux_cache_partition(ngx_http_flux_zone_t *zone,
    ngx_http_flux_feed_t *feed)
{
    return feed->slot == FLUX_NONE ? FLUX_NONE
           : flux_log_find_partition(&zone->log, feed->slot,
                                     NGX_HTTP_FLUX_CACHE_TOPIC, 0);
}


static size_t
ngx_http_flux_cache_key(ngx_http_flux_feed_t *feed, u_char *key)
{
    return ngx_sprintf(key, "flux:%016xL", feed->signature) - key;
}


/* Returns how many bytes are on their way. */

static size_t
ngx_http_flux_cache_room(uint32_t node)
{
    size_t                  len, lengths[4];
    u_char                 *copy, key[32];
    u_char                  address[255 + 1 + NGX_HTTP_FLUX_ROOM_MAX * 6];
    const char             *args[4];
    flux_log_t             *log;
    flux_entry_t           *entry;
    ngx_http_flux_feed_t   *feed;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    log = &cache->zone->log;
    copy = NULL;
    len = 0;

    ngx_shmtx_lock(&cache->zone->shpool->mutex);

    feed = NULL;
    entry = NULL;

    if (!log->header->dirty && (log->nodes[node].room.hash & 3) == 1) {
        feed = ngx_http_flux_cache_feed(flux_log_room(log, node)->feed);
    }

    if (feed != NULL
        && ngx_http_flux_cache_partition(cache->zone, feed) == FLUX_NONE)
    {
        entry = flux_log_named(log, node);
    }

    if (entry == NULL || entry->address_length > sizeof(address)) {
        ngx_shmtx_unlock(&cache->zone->shpool->mutex);
        return 0;
    }

    lengths[2] = entry->address_length;
    ngx_memcpy(address, flux_log_message(entry) + FLUX_MESSAGE_PREFIX,
               lengths[2]);

    copy = ngx_http_flux_cache_copy(node, &len);

    ngx_shmtx_unlock(&cache->zone->shpool->mutex);

    args[0] = copy ? "HSET" : "HDEL";
    lengths[0] = 4;
    args[1] = (char *) key;
    lengths[1] = ngx_http_flux_cache_key(feed, key);
    args[2] = (char *) address;
    args[3] = (char *) copy;
    lengths[3] = len;

    (void) ngx_http_flux_cache_command(ngx_http_flux_cache_done, NULL,
                                       copy ? 4 : 3, args, lengths);

    if (copy != NULL) {
        ngx_free(copy);
    }

    if (!(cache->kept & (UINT64_C(1) << feed->slot))) {
        cache->kept |= UINT64_C(1) << feed->slot;

        args[0] = "EXPIRE";
        lengths[0] = 6;
        args[2] = NGX_HTTP_FLUX_CACHE_KEEP;
        lengths[2] = sizeof(NGX_HTTP_FLUX_CACHE_KEEP) - 1;

        (void) ngx_http_flux_cache_command(ngx_http_flux_cache_done, NULL, 3,
                                           args, lengths);
    }

    return len + 64;
}


/*
 * "flux1 SIGNATURE", then for each record "TS KEY_LENGTH LENGTH" and its
 * message, each on a line of its own.  The keys renewed last come first, as
 * many as fit.  NULL: the room is empty, or there is no memory.
 */

static u_char *
ngx_http_flux_cache_copy(uint32_t node, size_t *len)
{
    size_t                  size;
    u_char                 *p, *buf;
    uint32_t                k, i;
    uint64_t                at;
    ngx_uint_t              pass;
    flux_log_t             *log;
    flux_key_t             *key;
    flux_entry_t           *entry;
    ngx_http_flux_feed_t   *feed;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    log = &cache->zone->log;
    feed = ngx_http_flux_cache_feed(flux_log_room(log, node)->feed);
    size = sizeof(NGX_HTTP_FLUX_CACHE_MAGIC) + 16 + 1;
    buf = NULL;
    p = NULL;

    for (pass = 0; pass < 2; pass++) {

        if (pass == 1) {
            buf = ngx_alloc(size, cache->log);
            if (buf == NULL) {
                return NULL;
            }

            p = ngx_sprintf(buf, NGX_HTTP_FLUX_CACHE_MAGIC " %016xL\n",
                            feed->signature);
            *len = size;
        }

        for (k = flux_log_room(log, node)->last; k != FLUX_NONE; k = key->prev)
        {
            key = flux_log_key(log, k);
            at = key->oldest;

            for (i = key->count; i; i--) {
                entry = flux_log_entry(log, at);
                at = entry->newer;

                if (pass == 0) {
                    size += NGX_INT64_LEN + 2 * (NGX_INT32_LEN + 1) + 2
                            + entry->message_length;
                    continue;
                }

                if ((size_t) (buf + size - p)
                    < NGX_INT64_LEN + 2 * (NGX_INT32_LEN + 1) + 2
                      + entry->message_length)
                {
                    goto done;
                }

                p = ngx_sprintf(p, "%L %uD %uD\n", entry->ts,
                                entry->key_length, entry->message_length);
                p = ngx_cpymem(p, flux_log_message(entry),
                               entry->message_length);
                *p++ = '\n';
            }
        }

        if (flux_log_room(log, node)->keys == 0) {
            return NULL;
        }

        size = ngx_min(size, NGX_HTTP_FLUX_CACHE_ROOM);
    }

done:

    *len = p - buf;

    return buf;
}


/* --- reading ------------------------------------------------------------- */

/* May the cache speak for this feed?  Under the lock. */

static ngx_uint_t
ngx_http_flux_cache_cold(ngx_http_flux_feed_t *feed)
{
    uint32_t                        i;
    flux_log_t                     *log;
    ngx_http_flux_cache_t          *cache = &ngx_http_flux_the_cache;
    ngx_http_flux_cluster_state_t  *state;

    log = &cache->zone->log;

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
ngx_http_flux_cache_load(void)
{
    size_t                  lengths[5];
    u_char                  key[32];
    ngx_uint_t              i, cold;
    const char             *args[5];
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;
    ngx_http_flux_feed_t  **feeds = cache->fmcf->feeds.elts;

    for (i = 0; i < cache->fmcf->feeds.nelts; i++) {

        if (cache->tried_feeds & (UINT64_C(1) << i)) {
            continue;
        }

        ngx_shmtx_lock(&cache->zone->shpool->mutex);

        cold = ngx_http_flux_cache_cold(feeds[i])
               && ngx_http_flux_cache_partition(cache->zone, feeds[i])
                  == FLUX_NONE;

        ngx_shmtx_unlock(&cache->zone->shpool->mutex);

        if (!cold) {
            continue;
        }

        cache->tried_feeds |= UINT64_C(1) << i;
        cache->loading = feeds[i];
        cache->loaded = 0;
        cache->refused = 0;

        args[0] = "HSCAN";
        lengths[0] = 5;
        args[1] = (char *) key;
        lengths[1] = ngx_http_flux_cache_key(feeds[i], key);
        args[2] = "0";
        lengths[2] = 1;
        args[3] = "COUNT";
        lengths[3] = 5;
        args[4] = "64";
        lengths[4] = 2;

        (void) ngx_http_flux_cache_command(ngx_http_flux_cache_loaded,
                                           feeds[i], 5, args, lengths);
        return;
    }
}


static void
ngx_http_flux_cache_loaded(redisAsyncContext *redis, void *reply, void *data)
{
    size_t                  lengths[5];
    u_char                  key[32];
    redisReply             *r = reply, *cursor;
    const char             *args[5];
    ngx_http_flux_feed_t   *feed = data;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    if (!ngx_http_flux_cache_answered(reply) || cache->loading != feed) {
        return;
    }

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2
        || r->element[0]->type != REDIS_REPLY_STRING
        || r->element[1]->type != REDIS_REPLY_ARRAY)
    {
        cache->loading = NULL;
        return;
    }

    ngx_http_flux_cache_take(r->element[1]);

    cursor = r->element[0];

    if (cache->loading == NULL || cursor->len == 0 || cursor->len > 20
        || (cursor->len == 1 && cursor->str[0] == '0'))
    {
        cache->loading = NULL;

        ngx_log_error(NGX_LOG_NOTICE, cache->log, 0,
                      "flux_cache gave %ui record%s of feed \"%V\", "
                      "%ui refused", cache->loaded,
                      cache->loaded == 1 ? "" : "s", &feed->name,
                      cache->refused);
        return;
    }

    args[0] = "HSCAN";
    lengths[0] = 5;
    args[1] = (char *) key;
    lengths[1] = ngx_http_flux_cache_key(feed, key);
    args[2] = cursor->str;
    lengths[2] = cursor->len;
    args[3] = "COUNT";
    lengths[3] = 5;
    args[4] = "64";
    lengths[4] = 2;

    (void) ngx_http_flux_cache_command(ngx_http_flux_cache_loaded, feed, 5,
                                       args, lengths);
}


static void
ngx_http_flux_cache_take(redisReply *fields)
{
    size_t                  i;
    uint32_t                partition;
    flux_log_t             *log;
    flux_partition_t       *p;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;
    ngx_http_flux_feed_t   *feed = cache->loading;

    log = &cache->zone->log;

    if (ngx_http_flux_zone_lock_writer(cache->zone) != NGX_OK) {
        cache->loading = NULL;
        return;
    }

    if (!ngx_http_flux_cache_cold(feed)
        || log->header->live_bytes > log->ring_size / 2)
    {
        cache->loading = NULL;
        ngx_http_flux_zone_unlock(cache->zone);
        return;
    }

    flux_log_begin(log);

    partition = flux_log_partition(log, feed->slot, NGX_HTTP_FLUX_CACHE_TOPIC,
                                   0, 0, NGX_HTTP_FLUX_UNREAD);

    if (partition != FLUX_NONE) {

        p = &log->partitions[partition];

        if (p->next < 0) {
            p->next = 0;
        }

        if (!p->down) {
            p->down = 1;
            p->down_since = ngx_http_flux_kafka_now();
        }

        for (i = 0; i + 1 < fields->elements; i += 2) {
            ngx_http_flux_cache_take_room(feed, partition, fields->element[i],
                                          fields->element[i + 1]);
        }
    }

    flux_log_note(log, feed->slot);
    flux_log_end(log);

    ngx_http_flux_zone_unlock(cache->zone);
    ngx_http_flux_zone_wake(cache->zone);
}


/* A number of at most 19 digits and what ends it; NULL when it is not one. */

static u_char *
ngx_http_flux_cache_number(u_char *p, u_char *last, u_char end, int64_t *n)
{
    u_char  *first = p;

    for (*n = 0; p < last && *p >= '0' && *p <= '9' && p - first < 18; p++) {
        *n = *n * 10 + (*p - '0');
    }

    return p > first && p < last && *p == end ? p + 1 : NULL;
}


static void
ngx_http_flux_cache_take_room(ngx_http_flux_feed_t *feed, uint32_t partition,
    redisReply *address, redisReply *copy)
{
    u_char                 *p, *last, first[64];
    size_t                  len;
    int64_t                 ts, key_length, length;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    len = ngx_sprintf(first, NGX_HTTP_FLUX_CACHE_MAGIC " %016xL\n",
                      feed->signature) - first;

    if (address->type != REDIS_REPLY_STRING || copy->type != REDIS_REPLY_STRING
        || (size_t) copy->len < len || ngx_memcmp(copy->str, first, len) != 0)
    {
        cache->refused++;
        return;
    }

    p = (u_char *) copy->str + len;
    last = (u_char *) copy->str + copy->len;

    while (p < last) {

        p = ngx_http_flux_cache_number(p, last, ' ', &ts);
        p = p ? ngx_http_flux_cache_number(p, last, ' ', &key_length) : NULL;
        p = p ? ngx_http_flux_cache_number(p, last, '\n', &length) : NULL;

        if (p == NULL || length >= last - p || p[length] != '\n'
            || ngx_http_flux_cache_take_record(feed, partition, address,
                   (size_t) key_length, p, (size_t) length, ts)
               != NGX_OK)
        {
            /* nor is the rest to be trusted */
            cache->refused++;
            return;
        }

        p += length + 1;
    }
}


/* Is this the text of a JSON string, escaped as it has to be? */

static ngx_uint_t
ngx_http_flux_cache_escaped(const u_char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {

        if (p[i] == '"' || p[i] < 0x20) {
            return 0;
        }

        if (p[i] == '\\' && ++i == len) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
ngx_http_flux_cache_address(ngx_http_flux_feed_t *feed, const u_char *p,
    size_t len)
{
    if (len < feed->name.len
        || ngx_memcmp(p, feed->name.data, feed->name.len) != 0)
    {
        return 0;
    }

    if (feed->room_rule == NGX_HTTP_FLUX_ROOM_NONE) {
        return len == feed->name.len;
    }

    p += feed->name.len;
    len -= feed->name.len;

    return len > 1 && len <= 1 + NGX_HTTP_FLUX_ROOM_MAX * 2 && p[0] == '/'
           && ngx_http_flux_cache_escaped(p, len);
}


static ngx_int_t
ngx_http_flux_cache_take_record(ngx_http_flux_feed_t *feed, uint32_t partition,
    redisReply *address, size_t key_length, u_char *message, size_t length,
    int64_t ts)
{
    size_t                  at, newlines, size;
    u_char                 *p, *key, *head, end[64];
    const u_char           *data;
    flux_log_t             *log;
    flux_append_t           what;
    ngx_http_flux_cache_t  *cache = &ngx_http_flux_the_cache;

    log = &cache->zone->log;
    head = (u_char *) "{\"type\":\"update\",\"room\":\"";
    at = flux_message_key_at(address->len);

    if (length > log->header->max_entry || key_length > length
        || (size_t) address->len > length || at + key_length + 64 > length + 64
        || !ngx_http_flux_cache_address(feed, (u_char *) address->str,
                                        address->len)
        || flux_json_check(message, length, &newlines) != FLUX_JSON_OK
        || newlines)
    {
        return NGX_DECLINED;
    }

    /* the parts stand where they have to */

    p = ngx_sprintf(end, "\",\"ts\":%L,\"data\":", ts);
    size = p - end;
    key = message + at;

    if (at + key_length + size >= length
        || ngx_memcmp(message, head, FLUX_MESSAGE_PREFIX) != 0
        || ngx_memcmp(message + FLUX_MESSAGE_PREFIX, address->str,
                      address->len)
           != 0
        || ngx_memcmp(message + FLUX_MESSAGE_PREFIX + address->len,
                      "\",\"key\":\"", sizeof("\",\"key\":\"") - 1)
           != 0
        || !ngx_http_flux_cache_escaped(key, key_length)
        || ngx_memcmp(key + key_length, end, size) != 0)
    {
        return NGX_DECLINED;
    }

    data = flux_pointer_value(message, length, (u_char *) "/data", 5, &newlines);

    if (data != key + key_length + size
        || data + newlines + 1 != message + length)
    {
        return NGX_DECLINED;
    }

    if (feed->expire && ts < ngx_http_flux_kafka_now() - feed->expire) {
        return NGX_OK;
    }

    what.feed = feed->slot;
    what.partition = partition;
    what.offset = log->partitions[partition].next;
    what.ts = ts;
    what.check = 1;
    what.kind = FLUX_ENTRY_RECORD;
    what.message_length = (uint32_t) length;
    what.address_length = (uint32_t) address->len;
    what.key_length = (uint32_t) key_length;
    what.room_hash = 0;
    what.key_hash = 0;

    p = flux_log_reserve(log, &what);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    ngx_memcpy(p, message, length);
    flux_log_append(log, &what);
    cache->loaded++;

    return NGX_OK;
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
