#include "ngx_http_flux_status.h"
#include "ngx_http_flux_report.h"


#define NGX_HTTP_FLUX_TEXT_SIZE  4096   /* of a text, to begin with */


static ngx_int_t ngx_http_flux_status_add_header(ngx_http_request_t *r,
    char *name, char *value);
static ngx_int_t ngx_http_flux_status_write(ngx_http_request_t *r,
    ngx_http_flux_text_t *text);
static ngx_int_t ngx_http_flux_status_send(ngx_http_request_t *r,
    ngx_http_flux_text_t *text);
static ngx_int_t ngx_http_flux_text_grow(ngx_http_flux_text_t *text,
    size_t need);


ngx_int_t
ngx_http_flux_status_handler(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_http_flux_text_t  text;

    if (ngx_http_flux_status_add_header(r, "Cache-Control", "no-store")
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        if (ngx_http_flux_status_add_header(r, "Allow", "GET, HEAD")
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_flux_status_write(r, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_flux_status_send(r, &text);
}


static ngx_int_t
ngx_http_flux_status_add_header(ngx_http_request_t *r, char *name,
    char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = ngx_strlen(value);
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
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

    ngx_memzero(text, sizeof(ngx_http_flux_text_t));
    text->pool = r->pool;

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
    r->headers_out.content_length_n = text->pos - text->start;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = text->start;
    b->last = text->pos;
    b->memory = 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* --- text ---------------------------------------------------------------- */

u_char *
ngx_http_flux_text_reserve(ngx_http_flux_text_t *text, size_t size)
{
    if ((size_t) (text->end - text->pos) < size
        && ngx_http_flux_text_grow(text, size) != NGX_OK)
    {
        return NULL;
    }

    return text->pos;
}


void
ngx_http_flux_text_print(ngx_http_flux_text_t *text, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    do {
        va_start(args, fmt);
        p = ngx_vslprintf(text->pos, text->end, fmt, args);
        va_end(args);

        /* up to the very end: it may have been cut off */

        if (p < text->end) {
            text->pos = p;
            return;
        }

    } while (ngx_http_flux_text_grow(text, 1) == NGX_OK);
}


static ngx_int_t
ngx_http_flux_text_grow(ngx_http_flux_text_t *text, size_t need)
{
    size_t   used, size;
    u_char  *p;

    used = text->pos - text->start;
    size = ngx_max((size_t) (text->end - text->start) * 2,
                   NGX_HTTP_FLUX_TEXT_SIZE);
    size = ngx_max(size, used + need);

    p = text->failed ? NULL : ngx_pnalloc(text->pool, size);
    if (p == NULL) {
        text->failed = 1;
        return NGX_ERROR;
    }

    if (used) {
        ngx_memcpy(p, text->start, used);
        (void) ngx_pfree(text->pool, text->start);
    }

    text->start = p;
    text->pos = p + used;
    text->end = p + size;

    return NGX_OK;
}
