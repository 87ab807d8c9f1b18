#include "ngx_http_flux_status.h"
#include "ngx_http_flux_header.h"
#include "ngx_http_flux_report.h"


static void ngx_http_flux_status_free(void *data);
static ngx_int_t ngx_http_flux_status_write(ngx_http_request_t *r,
    ngx_http_flux_text_t *text);
static ngx_int_t ngx_http_flux_status_send(ngx_http_request_t *r,
    ngx_http_flux_text_t *text);


ngx_int_t
ngx_http_flux_status_handler(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_pool_cleanup_t    *cln;
    ngx_http_flux_text_t  *text;

    if (ngx_http_flux_add_header(r, "Cache-Control", "no-store") == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        if (ngx_http_flux_add_header(r, "Allow", "GET, HEAD") == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_flux_text_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text = cln->data;
    ngx_memzero(text, sizeof(ngx_http_flux_text_t));
    text->log = r->connection->log;
    cln->handler = ngx_http_flux_status_free;

    if (ngx_http_flux_status_write(r, text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_flux_status_send(r, text);
}


static void
ngx_http_flux_status_free(void *data)
{
    ngx_http_flux_text_t  *text = data;

    ngx_free(text->data);
}


static ngx_int_t
ngx_http_flux_status_write(ngx_http_request_t *r, ngx_http_flux_text_t *text)
{
    ngx_http_flux_report_t     *report;
    ngx_http_flux_loc_conf_t   *flcf;
    ngx_http_flux_main_conf_t  *fmcf;

    fmcf = ngx_http_get_module_main_conf(r, ngx_http_flux_module);
    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    report = ngx_http_flux_report_create(r->pool, fmcf);
    if (report == NULL) {
        return NGX_ERROR;
    }

    if (flcf->status == NGX_HTTP_FLUX_STATUS_PROMETHEUS) {
        ngx_http_flux_report_prometheus(report, text);

        /* only the type proper is compared, so that no charset is added */

        ngx_str_set(&r->headers_out.content_type,
                    "text/plain; version=0.0.4; charset=utf-8");
        r->headers_out.content_type_len = sizeof("text/plain") - 1;

    } else {
        ngx_http_flux_report_json(report, text);

        ngx_str_set(&r->headers_out.content_type, "application/json");
        r->headers_out.content_type_len = r->headers_out.content_type.len;
    }

    r->headers_out.content_type_lowcase = NULL;

    return text->failed ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_flux_status_send(ngx_http_request_t *r, ngx_http_flux_text_t *text)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = text->len;

    /* no If-None-Match and the like: it is no page that a cache has */
    r->disable_not_modified = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}
