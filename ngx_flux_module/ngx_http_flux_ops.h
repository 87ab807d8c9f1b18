/*
 * Answers to what a client sends over its WebSocket, {"op":...}.
 */

#ifndef _NGX_HTTP_FLUX_OPS_H_INCLUDED_
#define _NGX_HTTP_FLUX_OPS_H_INCLUDED_


#include "ngx_http_flux_reader.h"

#include <jansson.h>


/*
 * Tells the reader a message, which is taken over; NULL is none for lack of
 * memory.  As ngx_http_flux_reader_tell().
 */
ngx_int_t ngx_http_flux_op_tell(ngx_http_flux_reader_t *reader,
    json_t *message);


#endif /* _NGX_HTTP_FLUX_OPS_H_INCLUDED_ */
