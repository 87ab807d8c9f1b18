/*
 * What the parts of the module share: the configuration as it was read.
 */

#ifndef _NGX_HTTP_FLUX_MODULE_H_INCLUDED_
#define _NGX_HTTP_FLUX_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/flux_frame.h"
#include "core/flux_log.h"


#define NGX_HTTP_FLUX_VERSION   "0.1.0"

#define NGX_HTTP_FLUX_CLUSTERS  16      /* clusters of one nginx */

#define NGX_HTTP_FLUX_ROOM_NONE    0
#define NGX_HTTP_FLUX_ROOM_KEY     1
#define NGX_HTTP_FLUX_ROOM_HEADER  2
#define NGX_HTTP_FLUX_ROOM_JSON    3

#define NGX_HTTP_FLUX_START_BEGINNING  -2
#define NGX_HTTP_FLUX_START_END        -1

#define NGX_HTTP_FLUX_ROOM_MAX  255     /* bytes of a room's name */
#define NGX_HTTP_FLUX_ROOMS_MAX  256    /* rooms of one reader */

#define NGX_HTTP_FLUX_STATUS_JSON        1
#define NGX_HTTP_FLUX_STATUS_PROMETHEUS  2

#define NGX_HTTP_FLUX_SSE        0x0002
#define NGX_HTTP_FLUX_WEBSOCKET  0x0004
#define NGX_HTTP_FLUX_POLL       0x0008


/* flux_kafka */

typedef struct {
    ngx_str_t                 name;
    ngx_str_t                 brokers;
    ngx_array_t               properties;   /* of ngx_keyval_t, NUL-ended */
    ngx_uint_t                index;
    u_char                   *file;
    ngx_uint_t                line;
} ngx_http_flux_cluster_t;


/* flux_feed */

typedef struct {
    ngx_str_t                 name;         /* NUL-ended */
    ngx_http_flux_cluster_t  *cluster;
    ngx_array_t               topics;       /* of ngx_str_t, NUL-ended */
    ngx_str_t                 cluster_name;
    ngx_uint_t                room_rule;
    ngx_str_t                 room_source;  /* header or pointer, NUL-ended */
    ngx_uint_t                retain;
    int64_t                   start;        /* one of START_*, or ms back */
    int64_t                   expire;       /* ms, 0: never */
    int64_t                   stale;        /* ms, 0: never */
    ngx_str_t                 demand;       /* topic, NUL-ended; empty: none */
    flux_format_t             format;
    uint64_t                  signature;
    ngx_uint_t                index;
    u_char                   *file;
    ngx_uint_t                line;         /* of the block's end */
    ngx_uint_t                cluster_line;

    /* set in each worker: the feed's place in the zone, or FLUX_NONE */
    uint32_t                  slot;
} ngx_http_flux_feed_t;


typedef struct ngx_http_flux_zone_s  ngx_http_flux_zone_t;

typedef struct {
    ngx_array_t               clusters;     /* of ngx_http_flux_cluster_t * */
    ngx_array_t               feeds;        /* of ngx_http_flux_feed_t * */
    ngx_array_t               locations;    /* of ngx_http_flux_loc_conf_t * */
    ngx_http_flux_zone_t     *zone;         /* NULL: no flux_zone */
    ngx_str_t                 node;
    ngx_msec_t                drain;
    ngx_flag_t                io_uring;
    void                     *cache;        /* flux_cache, or NULL */
} ngx_http_flux_main_conf_t;


typedef struct {
    ngx_array_t              *streams;      /* flux_stream, parsed addresses */
    ngx_array_t              *patterns;     /* flux_subscribe */
    ngx_uint_t                transports;   /* bits of NGX_HTTP_FLUX_SSE … */
    ngx_msec_t                heartbeat;
    ngx_msec_t                pace;
    size_t                    buffer;
    ngx_msec_t                send_timeout;
    ngx_flag_t                compress;
    ngx_flag_t                detach;
    ngx_http_core_loc_conf_t *core;         /* nginx's, of this location */
    ngx_array_t              *origins;      /* of ngx_str_t */
    ngx_http_complex_value_t *expires;
    size_t                    max_message;
    ngx_uint_t                status;       /* one of STATUS_*, or 0 */
    void                     *publish;
#if (FLUX_TEST_ECHO)
    ngx_flag_t                echo;
#endif
} ngx_http_flux_loc_conf_t;


/* The feed of this name, or NULL. */
ngx_http_flux_feed_t *ngx_http_flux_find_feed(ngx_http_flux_main_conf_t *fmcf,
    u_char *name, size_t len);

extern ngx_module_t  ngx_http_flux_module;


#endif /* _NGX_HTTP_FLUX_MODULE_H_INCLUDED_ */
