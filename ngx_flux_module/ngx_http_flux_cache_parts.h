/*
 * The inside of flux_cache, for ngx_http_flux_cache*.c.  There is one, in the
 * process that writes the log.
 *
 * The server has a hash for each feed, "flux:SIGNATURE", and in it a field for
 * each room: the room's address, as in the messages, and its copy.
 */

#ifndef _NGX_HTTP_FLUX_CACHE_PARTS_H_INCLUDED_
#define _NGX_HTTP_FLUX_CACHE_PARTS_H_INCLUDED_


#include "ngx_http_flux_cache.h"
#include "ngx_http_flux_redis.h"


/* the topic that what the cache gave counts as; its partition is 0 */
#define NGX_HTTP_FLUX_CACHE_TOPIC  UINT64_C(0x666c757863616368)

#define NGX_HTTP_FLUX_CACHE_KEY    (sizeof("flux:") - 1 + 16)


/* What came of a feed's copies. */

typedef struct {
    ngx_uint_t                  taken;      /* records */
    ngx_uint_t                  refused;    /* copies, in part or as a whole */
} ngx_http_flux_cache_count_t;


typedef struct {
    ngx_http_flux_main_conf_t  *fmcf;       /* NULL: not the writer */
    ngx_http_flux_zone_t       *zone;
    ngx_log_t                  *log;
    ngx_http_flux_redis_t       redis;
    ngx_event_t                 timer;

    /* ngx_http_flux_cache_write.c */
    ngx_msec_t                  written;
    u_char                     *dirty;      /* by node: the room changed */
    uint32_t                    ndirty;
    uint32_t                    next;       /* node to go on with */
    uint64_t                    position;   /* the log was read up to here */
    uint64_t                    kept;       /* feeds whose copy has a date */
    ngx_msec_t                  renewed;    /* when all had a new one */

    /* ngx_http_flux_cache_read.c */
    uint64_t                    tried;      /* feeds, by index */
    ngx_http_flux_feed_t       *loading;    /* is being read */
    ngx_http_flux_cache_count_t count;      /* of that one */
} ngx_http_flux_cache_t;


/* The feed in this place of the zone, or NULL: it has left nginx.conf. */
ngx_http_flux_feed_t *ngx_http_flux_cache_feed(ngx_http_flux_cache_t *cache,
    uint32_t slot);

/* Where the feed's hash is; `key`: NGX_HTTP_FLUX_CACHE_KEY bytes. */
ngx_str_t ngx_http_flux_cache_key(ngx_http_flux_feed_t *feed, u_char *key);

/* The partition of what the cache gave, FLUX_NONE: Kafka's is there. */
uint32_t ngx_http_flux_cache_partition(ngx_http_flux_zone_t *zone,
    ngx_http_flux_feed_t *feed);


/* --- ngx_http_flux_cache_write.c: the log -> the server ------------------ */

/* From the log's head on; all rooms that there are count as changed. */
void ngx_http_flux_cache_write_all(ngx_http_flux_cache_t *cache);

/* Looks for rooms that changed; a bounded piece of the log. */
void ngx_http_flux_cache_scan(ngx_http_flux_cache_t *cache);

/* Sends changed rooms if it is time, not more than a turn may. */
void ngx_http_flux_cache_flush(ngx_http_flux_cache_t *cache);

/* Keeps what the server has from expiring, also of feeds that are quiet. */
void ngx_http_flux_cache_keep_all(ngx_http_flux_cache_t *cache);


/* --- ngx_http_flux_cache_read.c: the server -> the log ------------------- */

/* Each feed may be asked for again. */
void ngx_http_flux_cache_read_all(ngx_http_flux_cache_t *cache);

/* Asks for a feed that Kafka has nothing of, if there is one. */
void ngx_http_flux_cache_load(ngx_http_flux_cache_t *cache);


/* --- ngx_http_flux_cache_copy.c: a copy's bytes -------------------------- */

/*
 * Writes the copy of a room, with the lock.  The caller frees it with
 * ngx_free().  NULL: the room is empty, or there is no memory.
 */
u_char *ngx_http_flux_cache_copy(flux_log_t *log, uint32_t node,
    ngx_http_flux_feed_t *feed, size_t *len, ngx_log_t *errors);

/*
 * Appends what a copy has, as records of `partition`, between flux_log_begin()
 * and flux_log_end().  Nothing of address and copy is trusted; they may be
 * anything.
 */
void ngx_http_flux_cache_take(flux_log_t *log, ngx_http_flux_feed_t *feed,
    uint32_t partition, ngx_str_t *address, ngx_str_t *copy,
    ngx_http_flux_cache_count_t *count);


#endif /* _NGX_HTTP_FLUX_CACHE_PARTS_H_INCLUDED_ */
