/*
 * flux_cache: a Valkey or Redis that has a copy of the snapshots, for a start
 * at which Kafka cannot be read.  All of it runs in the writer; no reader ever
 * waits for it, and nothing relies on it.
 */

#ifndef _NGX_HTTP_FLUX_CACHE_H_INCLUDED_
#define _NGX_HTTP_FLUX_CACHE_H_INCLUDED_


#include "ngx_http_flux_zone.h"


char *ngx_http_flux_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

void ngx_http_flux_cache_start(ngx_cycle_t *cycle,
    ngx_http_flux_main_conf_t *fmcf);
void ngx_http_flux_cache_stop(void);

/*
 * The cluster can be read: what the cache gave for its feeds goes.  With the
 * writer's lock, between flux_log_begin() and flux_log_end().
 */
void ngx_http_flux_cache_forget(ngx_http_flux_main_conf_t *fmcf,
    ngx_http_flux_cluster_t *cluster);


#endif /* _NGX_HTTP_FLUX_CACHE_H_INCLUDED_ */
