/*
 * A copy of what the zone knows about its feeds, clusters and readers, and
 * the two ways to write it down.  For the status handler alone.
 */

#ifndef _NGX_HTTP_FLUX_REPORT_H_INCLUDED_
#define _NGX_HTTP_FLUX_REPORT_H_INCLUDED_


#include "ngx_http_flux_text.h"
#include "ngx_http_flux_zone.h"


typedef struct {
    ngx_uint_t                         feed;    /* index in nginx.conf */
    ngx_uint_t                         topic;   /* index in its topics */
    flux_partition_t                   state;
} ngx_http_flux_report_partition_t;


typedef struct {
    ngx_http_flux_feed_t              *feed;
    flux_feed_t                        state;   /* zeros: not in the zone */
    ngx_uint_t                         readers[NGX_HTTP_FLUX_TRANSPORTS];
    ngx_http_flux_report_partition_t  *partitions;  /* by topic and number */
    ngx_uint_t                         npartitions;
} ngx_http_flux_report_feed_t;


typedef struct {
    ngx_http_flux_main_conf_t         *conf;

    uint64_t                           used;        /* bytes of the ring */
    uint64_t                           live;
    uint64_t                           records;
    ngx_pid_t                          writer;      /* 0: none */
    uint64_t                           generation;

    ngx_http_flux_cluster_state_t      clusters[NGX_HTTP_FLUX_CLUSTERS];
    ngx_http_flux_report_feed_t       *feeds;       /* as in nginx.conf */
    ngx_uint_t                         nfeeds;

    ngx_uint_t                         readers[NGX_HTTP_FLUX_TRANSPORTS];
    uint64_t                           frames[NGX_HTTP_FLUX_TRANSPORTS];
    uint64_t                           messages[NGX_HTTP_FLUX_TRANSPORTS];
    uint64_t                           bytes[NGX_HTTP_FLUX_TRANSPORTS];
    uint64_t                           conflated;
    uint64_t                           demand_refused;
    uint64_t                           ended[NGX_HTTP_FLUX_ENDS];
} ngx_http_flux_report_t;


/* In the order of the zone's counters. */
extern ngx_str_t  ngx_http_flux_transport_names[NGX_HTTP_FLUX_TRANSPORTS];
extern ngx_str_t  ngx_http_flux_end_names[NGX_HTTP_FLUX_ENDS];
extern ngx_str_t  ngx_http_flux_skip_names[FLUX_SKIP_EXPIRED + 1];


/* NULL: no memory.  All of it, names aside, lives in the pool. */
ngx_http_flux_report_t *ngx_http_flux_report_create(ngx_pool_t *pool,
    ngx_http_flux_main_conf_t *fmcf);

ngx_str_t *ngx_http_flux_report_topic(ngx_http_flux_report_t *report,
    ngx_http_flux_report_partition_t *partition);

/* How many offsets are still to be read, -1: unknown. */
int64_t ngx_http_flux_report_lag(ngx_http_flux_report_partition_t *partition);

/* Why the partition cannot be read, for people; NULL: it can. */
const char *ngx_http_flux_report_error(
    ngx_http_flux_report_partition_t *partition);


void ngx_http_flux_report_json(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text);

/* The text format 0.0.4 of Prometheus. */
void ngx_http_flux_report_prometheus(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text);


#endif /* _NGX_HTTP_FLUX_REPORT_H_INCLUDED_ */
