/*
 * What the blocks flux_kafka and flux_feed have in common, for
 * ngx_http_flux_conf*.c.
 */

#ifndef _NGX_HTTP_FLUX_CONF_BLOCK_H_INCLUDED_
#define _NGX_HTTP_FLUX_CONF_BLOCK_H_INCLUDED_


#include "ngx_http_flux_conf.h"


#define NGX_HTTP_FLUX_ANY  NGX_MAX_INT32_VALUE     /* arguments */


/*
 * A line of a block.  set() returns NGX_CONF_OK, NGX_CONF_ERROR when it has
 * said why, or what the first argument is: "invalid time".
 */

typedef struct {
    ngx_str_t                      name;
    char                        *(*set)(ngx_conf_t *cf, void *conf);
    ngx_uint_t                     min;     /* arguments */
    ngx_uint_t                     max;
    ngx_uint_t                     many;    /* lines of it may stand there */
} ngx_http_flux_conf_command_t;


typedef struct {
    const char                    *kind;    /* the directive */
    ngx_str_t                     *name;
    ngx_http_flux_conf_command_t  *commands;
    void                          *conf;    /* what set() fills in */
    ngx_uint_t                     seen;    /* commands, by bits */
} ngx_http_flux_conf_block_t;


/*
 * Checks a block's name, its first argument.  found: another one has it; many:
 * there are that many, and that is as many as there may be, else 0.
 */
ngx_int_t ngx_http_flux_conf_begin(ngx_conf_t *cf, const char *kind,
    ngx_uint_t found, ngx_uint_t many);

/* Reads a block to its end. */
char *ngx_http_flux_conf_block(ngx_conf_t *cf,
    ngx_http_flux_conf_block_t *block);

/* NGX_OK: Kafka takes it as a topic's name. */
ngx_int_t ngx_http_flux_conf_valid_topic(ngx_str_t *topic);

/* librdkafka and the log want strings that end in NUL. */
ngx_int_t ngx_http_flux_conf_copy(ngx_conf_t *cf, ngx_str_t *dst,
    ngx_str_t *src);


#endif /* _NGX_HTTP_FLUX_CONF_BLOCK_H_INCLUDED_ */
