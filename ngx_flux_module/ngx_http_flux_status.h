/*
 * flux_status: what an operator sees, as JSON or for Prometheus.
 */

#ifndef _NGX_HTTP_FLUX_STATUS_H_INCLUDED_
#define _NGX_HTTP_FLUX_STATUS_H_INCLUDED_


#include "ngx_http_flux_module.h"


/*
 * The content handler.  Any worker answers: all that it tells stands in the
 * zone.
 */
ngx_int_t ngx_http_flux_status_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_FLUX_STATUS_H_INCLUDED_ */
