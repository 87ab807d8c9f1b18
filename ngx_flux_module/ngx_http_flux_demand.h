/*
 * Demand: rooms that have readers on this node, as leased records in a topic,
 * so that producers know what to fetch.  Workers count in a table in the zone;
 * the writer alone writes records.
 */

#ifndef _NGX_HTTP_FLUX_DEMAND_H_INCLUDED_
#define _NGX_HTTP_FLUX_DEMAND_H_INCLUDED_


#include "ngx_http_flux_hub.h"


/* Bytes of the table in a zone of this size; it starts zeroed. */
size_t ngx_http_flux_demand_size(size_t zone);

/* A seat's worker is gone, and its readers are; under the lock. */
void ngx_http_flux_demand_clear(ngx_http_flux_zone_t *zone, ngx_uint_t seat);

/* In each worker: a reader of these rooms comes, or goes. */
void ngx_http_flux_demand_join(ngx_http_flux_channel_t *channel);
void ngx_http_flux_demand_leave(ngx_http_flux_channel_t *channel);

/* From time to time: rooms that the table had no place for, if it has now. */
void ngx_http_flux_demand_look(void);

/*
 * In the writer: starts to write.  Stop writes tombstones where nobody goes on
 * with it, and waits for them for a second and a half at the most.
 */
void ngx_http_flux_demand_start(ngx_cycle_t *cycle,
    ngx_http_flux_main_conf_t *fmcf);
void ngx_http_flux_demand_stop(void);


#endif /* _NGX_HTTP_FLUX_DEMAND_H_INCLUDED_ */
