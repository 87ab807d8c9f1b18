/*
 * What nginx.conf says: the blocks flux_kafka and flux_feed, addresses and
 * patterns.  All of it runs while the configuration is read.
 */

#ifndef _NGX_HTTP_FLUX_CONF_H_INCLUDED_
#define _NGX_HTTP_FLUX_CONF_H_INCLUDED_


#include "ngx_http_flux_module.h"


/* An address of flux_stream: "feed" or "feed/room", with variables. */

typedef struct {
    ngx_http_complex_value_t   value;
    ngx_http_flux_feed_t      *feed;    /* NULL: only a request tells */
    u_char                    *file;
    ngx_uint_t                 line;
} ngx_http_flux_stream_t;


/* A pattern of flux_subscribe. */

typedef struct {
    ngx_str_t                  text;
    ngx_http_flux_feed_t      *feed;
    ngx_str_t                  room;    /* "*": any; empty: none */
    u_char                    *file;
    ngx_uint_t                 line;
} ngx_http_flux_pattern_t;


char *ngx_http_flux_kafka_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_flux_feed_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_flux_stream(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_flux_subscribe(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* The cluster of this name, or NULL. */
ngx_http_flux_cluster_t *ngx_http_flux_find_cluster(
    ngx_http_flux_main_conf_t *fmcf, ngx_str_t *name);

/* Copies a topic's name, which is checked; NUL-ended. */
ngx_int_t ngx_http_flux_conf_topic(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *topic);

/* Text of 1 to 255 bytes without control characters. */
ngx_uint_t ngx_http_flux_valid_room(ngx_str_t *room);

/*
 * Once all is read: clusters of feeds, feeds of addresses.  Errors name the
 * place where the directive stands.
 */
ngx_int_t ngx_http_flux_conf_resolve(ngx_conf_t *cf,
    ngx_http_flux_main_conf_t *fmcf);
ngx_int_t ngx_http_flux_conf_resolve_location(ngx_conf_t *cf,
    ngx_http_flux_main_conf_t *fmcf, ngx_http_flux_loc_conf_t *flcf);


#endif /* _NGX_HTTP_FLUX_CONF_H_INCLUDED_ */
