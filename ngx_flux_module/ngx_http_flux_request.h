/*
 * A request to a flux_stream location: who asks, for which rooms, by which
 * transport.  And what the transports share.  Runs in any worker.
 */

#ifndef _NGX_HTTP_FLUX_REQUEST_H_INCLUDED_
#define _NGX_HTTP_FLUX_REQUEST_H_INCLUDED_


#include "ngx_http_flux_conf.h"
#include "ngx_http_flux_header.h"
#include "ngx_http_flux_reader.h"


/* What a request asks for. */

typedef struct {
    ngx_pool_t   *pool;             /* of all below */
    ngx_array_t   addresses;        /* of ngx_http_flux_address_t */
    ngx_array_t  *keys;             /* of ngx_str_t, escaped; NULL: all */
    ngx_str_t     cursor;
    ngx_msec_t    wait;
    ngx_msec_t    pace;
} ngx_http_flux_query_t;


ngx_int_t ngx_http_flux_request_handler(ngx_http_request_t *r);

/* {"type":"end",…}, at most 80 bytes; returns its end. */
u_char *ngx_http_flux_end_message(u_char *p, ngx_http_flux_end_t why,
    ngx_msec_t retry);

/*
 * Makes the header of a stream: NGX_OK, or what start() returns.  On a plain
 * connection it may be held back, so that it goes with the first bytes that
 * are sent; when there are none yet, flush_header() sends it alone.
 */
ngx_int_t ngx_http_flux_send_header(ngx_http_request_t *r);

/* NGX_OK, NGX_AGAIN: there is more, once the socket takes it; NGX_ERROR. */
ngx_int_t ngx_http_flux_flush_header(ngx_http_request_t *r);

/* As a transport's send, straight to the connection. */
ngx_int_t ngx_http_flux_send(ngx_http_flux_reader_t *reader, ngx_str_t *bytes,
    size_t *sent);

/*
 * Gives what the client sent to input(), so much of it in one turn; NULL: it is
 * forgotten.  The reader is ended when the connection is; when input() does not
 * return NGX_OK, it is gone.
 */
typedef ngx_int_t (*ngx_http_flux_input_pt)(ngx_http_flux_reader_t *reader,
    const u_char *p, size_t len);

void ngx_http_flux_receive(ngx_http_flux_reader_t *reader,
    ngx_http_flux_input_pt input);


/* --- ngx_http_flux_variables.c --- */

ngx_int_t ngx_http_flux_add_variables(ngx_conf_t *cf);


/* --- ngx_http_flux_header_filter.c --- */

/* Has all answers where our directives stand have the headers that ours do. */
void ngx_http_flux_add_header_filter(void);


/* --- ngx_http_flux_origin.c --- */

/* NGX_OK for a method that the location serves, or the status (405). */
ngx_int_t ngx_http_flux_method(ngx_http_request_t *r);

/* NGX_OK when flux_origin allows who asks, or the status (403). */
ngx_int_t ngx_http_flux_check_origin(ngx_http_request_t *r,
    ngx_http_flux_loc_conf_t *flcf);

/* Answers OPTIONS. */
ngx_int_t ngx_http_flux_preflight(ngx_http_request_t *r);


/* --- ngx_http_flux_query.c --- */

/* NGX_OK, or the status to answer with; all that it makes is the pool's. */
ngx_int_t ngx_http_flux_query(ngx_http_request_t *r, ngx_pool_t *pool,
    ngx_http_flux_query_t *query);

/*
 * Makes an address of what somebody wrote: its feed is looked up, its room
 * checked and escaped in memory of the pool.  NGX_DECLINED: no such feed, or
 * the room does not fit it; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_flux_address(ngx_pool_t *pool,
    ngx_http_flux_main_conf_t *fmcf, ngx_str_t *text,
    ngx_http_flux_address_t *address, ngx_str_t *room);

/* May a client add this address? */
ngx_uint_t ngx_http_flux_allowed(ngx_http_flux_loc_conf_t *flcf,
    ngx_http_flux_address_t *address, ngx_str_t *room);


#endif /* _NGX_HTTP_FLUX_REQUEST_H_INCLUDED_ */
