/*
 * The table of demand in the zone.  All of it is under the zone's lock, except
 * that a worker sets `readers` of its own entries.
 */

#ifndef _NGX_HTTP_FLUX_DEMAND_TABLE_H_INCLUDED_
#define _NGX_HTTP_FLUX_DEMAND_TABLE_H_INCLUDED_


#include "ngx_http_flux_demand.h"


/* Who has an entry: a worker (its seat), or one of these. */
#define NGX_HTTP_FLUX_DEMAND_FREE   0
#define NGX_HTTP_FLUX_DEMAND_SEAT   1       /* of seat 0, and so on */
#define NGX_HTTP_FLUX_DEMAND_LEFT   0xfffe  /* there was a reader */
#define NGX_HTTP_FLUX_DEMAND_LEASE  0xffff  /* the writer has written of it */


typedef struct {
    uint16_t      owner;
    uint16_t      length;
    uint32_t      readers;
    uint64_t      target;       /* hash of cluster and topic */
    int64_t       expires;      /* of a lease; Unix ms */
    u_char        room[NGX_HTTP_FLUX_ROOM_MAX + 1];
} ngx_http_flux_demand_entry_t;


typedef struct {
    ngx_atomic_t  version;      /* grows as rooms come and go */
    ngx_atomic_t  told;         /* rooms without a place, of the log's line */
    time_t        warned;       /* when it was written */
    uint32_t      size;
    uint32_t      top;          /* no entry is used from here on */
    uint32_t      hint;         /* none is free before this one */

    ngx_http_flux_demand_entry_t  entries[];
} ngx_http_flux_demand_table_t;


/* Where the zone has its table; prepared if it is new. */
ngx_http_flux_demand_table_t *ngx_http_flux_demand_table(
    ngx_http_flux_zone_t *zone);

/* What stands for the demand topic of a feed, in entries; never 0. */
uint64_t ngx_http_flux_demand_target(ngx_http_flux_feed_t *feed);

/* Under the lock: number of a new entry, counted from 1; 0: the table is full. */
uint32_t ngx_http_flux_demand_take(ngx_http_flux_zone_t *zone, ngx_uint_t owner,
    uint64_t target, ngx_str_t *room);

/* Under the lock. */
void ngx_http_flux_demand_free(ngx_http_flux_zone_t *zone, uint32_t number);


#endif /* _NGX_HTTP_FLUX_DEMAND_TABLE_H_INCLUDED_ */
