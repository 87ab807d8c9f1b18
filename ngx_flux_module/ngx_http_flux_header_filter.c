/*
 * What nginx answers by itself where our directives stand (auth_request, deny,
 * limit_req, limit_conn, a body too large) has the headers that all answers
 * there have: no cache keeps it, and a page of an allowed origin can read it.
 */

#include "ngx_http_flux_request.h"


static ngx_int_t ngx_http_flux_header_filter(ngx_http_request_t *r);


static ngx_http_output_header_filter_pt  ngx_http_flux_next_header_filter;


void
ngx_http_flux_add_header_filter(void)
{
    ngx_http_flux_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_flux_header_filter;
}


static ngx_int_t
ngx_http_flux_header_filter(ngx_http_request_t *r)
{
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    if ((flcf->streams == NULL && flcf->publish == NULL && flcf->status == 0)
        || r != r->main || ngx_http_flux_answer_has(r, "Cache-Control"))
    {
        /* not ours, or the handler was there */
        return ngx_http_flux_next_header_filter(r);
    }

    if (ngx_http_flux_add_header(r, "Cache-Control", "no-store") == NULL) {
        return NGX_ERROR;
    }

    if (flcf->status == 0) {
        /* who is not allowed to read it gets the answer without */
        (void) ngx_http_flux_check_origin(r, flcf);
    }

    return ngx_http_flux_next_header_filter(r);
}
