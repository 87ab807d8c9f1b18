/*
 * Headers of a request and of its answer.
 */

#ifndef _NGX_HTTP_FLUX_HEADER_H_INCLUDED_
#define _NGX_HTTP_FLUX_HEADER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* A header of the request, or NULL; the name in lower case. */
ngx_str_t *ngx_http_flux_header(ngx_http_request_t *r, const char *name);

/* Is the token, whatever its case, in a list of the request's header? */
ngx_uint_t ngx_http_flux_header_has(ngx_http_request_t *r, const char *name,
    const char *token);

/* The same, letter for letter: for names that the answer repeats. */
ngx_uint_t ngx_http_flux_header_offers(ngx_http_request_t *r, const char *name,
    const char *token);

/* Will the answer have this header? */
ngx_uint_t ngx_http_flux_answer_has(ngx_http_request_t *r, const char *name);

/* Adds a header to the answer; strings are not copied.  NULL: no memory. */
ngx_table_elt_t *ngx_http_flux_add_header(ngx_http_request_t *r,
    const char *name, const char *value);

/* Likewise. */
ngx_table_elt_t *ngx_http_flux_add_header_str(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);


#endif /* _NGX_HTTP_FLUX_HEADER_H_INCLUDED_ */
