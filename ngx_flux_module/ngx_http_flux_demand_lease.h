/*
 * The inside of demand's writer: topics, and leases, the rooms of which it
 * writes.  All of it runs in the writer.
 */

#ifndef _NGX_HTTP_FLUX_DEMAND_LEASE_H_INCLUDED_
#define _NGX_HTTP_FLUX_DEMAND_LEASE_H_INCLUDED_


#include "ngx_http_flux_producer.h"
#include "ngx_http_flux_zone.h"


/* until what failed is tried again, in ms */
#define NGX_HTTP_FLUX_DEMAND_RETRY   1000


/* A topic that demand is written to. */

typedef struct {
    uint64_t                   hash;
    ngx_http_flux_cluster_t   *cluster;
    ngx_str_t                  topic;       /* NUL-ended */
    ngx_msec_t                 asked;       /* when it was to be made */
    unsigned                   known:1;     /* it is there, or never will */
    unsigned                   asking:1;
    unsigned                   refused:1;   /* logged */
    unsigned                   down:1;      /* in this tick */
} ngx_http_flux_target_t;


/* A room of which we write. */

typedef struct {
    ngx_str_node_t             sn;          /* number of target, room */
    ngx_queue_t                queue;
    ngx_http_flux_target_t    *target;
    ngx_str_t                  room;
    uint32_t                   entry;       /* in the table, from 1; or 0 */
    ngx_uint_t                 readers;
    ngx_msec_t                 left;        /* when the last one went */
    ngx_msec_t                 due;         /* the next record */
    int64_t                    expires;     /* the last one; Unix ms */
    ngx_http_flux_delivery_t  *delivery;    /* on its way, or NULL */
    unsigned                   written:1;   /* there may be a record */
    unsigned                   seen:1;      /* a reader was here */
    unsigned                   empty:1;     /* none now, since `left` */
    unsigned                   tombstone:1; /* the one on its way */
} ngx_http_flux_lease_t;


typedef struct {
    ngx_http_flux_main_conf_t  *fmcf;       /* NULL: not the writer */
    ngx_http_flux_zone_t       *zone;
    ngx_http_flux_target_t      targets[FLUX_LOG_FEEDS];
    ngx_uint_t                  ntargets;
    ngx_uint_t                  serial;     /* of this start */
    ngx_rbtree_t                leases;
    ngx_rbtree_node_t           sentinel;
    ngx_queue_t                 all;
    ngx_event_t                 timer;
    ngx_atomic_uint_t           version;    /* of the table, as read */
    ngx_msec_t                  read;
} ngx_http_flux_demand_t;


extern ngx_http_flux_demand_t  ngx_http_flux_demand;


/* The lease of a room, made if there is none; NULL: no memory. */
ngx_http_flux_lease_t *ngx_http_flux_lease_get(ngx_http_flux_target_t *target,
    u_char *room, size_t len);

/* NGX_OK: a record was sent.  Afterwards the lease may be gone. */
ngx_int_t ngx_http_flux_lease_tend(ngx_http_flux_lease_t *lease);

/* Writes a record or its tombstone; lease->delivery is on its way then. */
ngx_int_t ngx_http_flux_lease_send(ngx_http_flux_lease_t *lease,
    ngx_uint_t tombstone);

/* Frees the lease, and its place in the table. */
void ngx_http_flux_lease_drop(ngx_http_flux_lease_t *lease);


#endif /* _NGX_HTTP_FLUX_DEMAND_LEASE_H_INCLUDED_ */
