/*
 * flux_publish: what clients send, by POST or WebSocket, becomes records.
 */

#ifndef _NGX_HTTP_FLUX_PUBLISH_H_INCLUDED_
#define _NGX_HTTP_FLUX_PUBLISH_H_INCLUDED_


#include "ngx_http_flux_request.h"

#include <jansson.h>


/* What a flux_publish directive says. */

typedef struct {
    ngx_http_flux_cluster_t   *cluster;
    ngx_str_t                  cluster_name;
    ngx_str_t                  topic;       /* NUL-ended */
    ngx_http_complex_value_t  *key;         /* NULL: the client's choice */
    ngx_array_t                feeds;       /* of ngx_http_flux_feed_t *: */
                                            /*   those that read the topic */
    u_char                    *file;
    ngx_uint_t                 line;
} ngx_http_flux_publish_t;


/* The directive, and what it names, once all of nginx.conf is read. */
char *ngx_http_flux_publish(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t ngx_http_flux_publish_resolve(ngx_conf_t *cf,
    ngx_http_flux_main_conf_t *fmcf, ngx_http_flux_loc_conf_t *flcf);

/*
 * Why a record would not do, for people, or NULL.  *too_large is set when it
 * only is too large.
 */
const char *ngx_http_flux_publish_check(ngx_http_flux_publish_t *publish,
    ngx_http_flux_zone_t *zone, ngx_str_t *key, ngx_str_t *value,
    ngx_uint_t *too_large);

/* How long an acknowledgement is waited for, in ms. */
#define NGX_HTTP_FLUX_PUBLISH_TIMEOUT  5000

/*
 * {"op":"publish"} of a client, `p` being the text that was read as `op`.
 * NGX_ERROR: the reader is to be closed; it is told the rest.
 */
ngx_int_t ngx_http_flux_publish_op(ngx_http_flux_reader_t *reader, json_t *op,
    const u_char *p, size_t len);


#endif /* _NGX_HTTP_FLUX_PUBLISH_H_INCLUDED_ */
