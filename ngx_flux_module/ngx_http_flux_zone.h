/*
 * The shared zone: nginx's slab pool in the first page (for its mutex alone),
 * then what the workers share, then the log.  Also the writer's lease.
 */

#ifndef _NGX_HTTP_FLUX_ZONE_H_INCLUDED_
#define _NGX_HTTP_FLUX_ZONE_H_INCLUDED_


#include "ngx_http_flux_module.h"


#define NGX_HTTP_FLUX_SEATS       64    /* workers that count readers at once */
#define NGX_HTTP_FLUX_TRANSPORTS  3     /* sse, websocket, poll: in this order */
#define NGX_HTTP_FLUX_ENDS        4     /* slow, reload, expired, quit */


/* A cluster as the writer sees it; the others read it under the lock. */

typedef struct {
    uint64_t           id;              /* hash of the cluster's id, 0: unknown */
    uint32_t           name;            /* hash of its name in nginx.conf */
    uint32_t           up;
    int64_t            down_since;      /* Unix ms */
    u_char             error[160];      /* the last one, NUL-ended; "" for none */
} ngx_http_flux_cluster_state_t;


/* A worker process: its readers, all and by feed; one may read several. */

typedef struct {
    ngx_atomic_t       pid;             /* 0: free */
    uint32_t           connected[NGX_HTTP_FLUX_TRANSPORTS];
    uint32_t           readers[FLUX_LOG_FEEDS][NGX_HTTP_FLUX_TRANSPORTS];
} ngx_http_flux_seat_t;


typedef struct {
    uint64_t           magic;
    uint64_t           size;

    /* the lease, under the lock */
    ngx_atomic_t       cycles;          /* configurations read so far */
    ngx_atomic_t       generation;      /* the last one given out */
    ngx_atomic_t       writer;          /* generation of the writer, 0: none */
    ngx_pid_t          writer_pid;

    /* counters only grow */
    ngx_atomic_t       frames[NGX_HTTP_FLUX_TRANSPORTS];
    ngx_atomic_t       messages[NGX_HTTP_FLUX_TRANSPORTS];
    ngx_atomic_t       bytes[NGX_HTTP_FLUX_TRANSPORTS];
    ngx_atomic_t       conflated;
    ngx_atomic_t       ended[NGX_HTTP_FLUX_ENDS];
    ngx_atomic_t       demand_refused;  /* rooms that found no place */

    ngx_http_flux_cluster_state_t  clusters[NGX_HTTP_FLUX_CLUSTERS];
    ngx_http_flux_seat_t           seats[NGX_HTTP_FLUX_SEATS];
} ngx_http_flux_shared_t;


struct ngx_http_flux_zone_s {
    ngx_str_t                name;
    size_t                   size;
    ngx_shm_zone_t          *shm_zone;
    ngx_slab_pool_t         *shpool;
    ngx_http_flux_shared_t  *shared;
    flux_log_t               log;
    void                    *demand;        /* ngx_http_flux_demand_table_t */
    int                      wake;          /* eventfd of all workers */
    ngx_atomic_uint_t        cycle;         /* the configuration's number */

    /* of this worker */
    ngx_atomic_uint_t        generation;
    ngx_http_flux_seat_t    *seat;          /* NULL: none was free */
    ngx_connection_t        *wake_connection;
    ngx_event_t              lease;
    unsigned                 writing:1;     /* this worker holds the lease */
    unsigned                 created:1;     /* `wake` was made for this one */
    unsigned                 inherited:1;   /* a later cycle goes on with it */
};


/* The least size of a zone, in bytes. */
size_t ngx_http_flux_zone_least(void);

/* Adds the zone while nginx.conf is read. */
ngx_int_t ngx_http_flux_zone_add(ngx_conf_t *cf,
    ngx_http_flux_main_conf_t *fmcf, ngx_str_t *name, size_t size);

/*
 * In each worker: takes a seat, listens for wake-ups (`handler` is called in
 * the event loop when something was published), and in slot 0 asks for the
 * lease.  Once held, ngx_http_flux_kafka_start() is called; when another
 * generation asks for it, ngx_http_flux_kafka_stop().
 */
ngx_int_t ngx_http_flux_zone_init_worker(ngx_cycle_t *cycle,
    ngx_http_flux_main_conf_t *fmcf, ngx_event_handler_pt handler);
void ngx_http_flux_zone_exit_worker(ngx_http_flux_main_conf_t *fmcf);

/*
 * For a walk over rooms and keys; hold it shortly.  NGX_AGAIN without the lock
 * when the writer died while it changed the index: the next one repairs it.
 */
ngx_int_t ngx_http_flux_zone_lock(ngx_http_flux_zone_t *zone);
void ngx_http_flux_zone_unlock(ngx_http_flux_zone_t *zone);

/*
 * The writer's lock: NGX_OK, or NGX_DECLINED without the lock when this
 * worker is not (or no longer) the writer; then it must stop consuming.
 */
ngx_int_t ngx_http_flux_zone_lock_writer(ngx_http_flux_zone_t *zone);

/* Wakes every worker; one write. */
void ngx_http_flux_zone_wake(ngx_http_flux_zone_t *zone);


#endif /* _NGX_HTTP_FLUX_ZONE_H_INCLUDED_ */
