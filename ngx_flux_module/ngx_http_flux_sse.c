#include "ngx_http_flux_compress.h"
#include "ngx_http_flux_request.h"


static ngx_int_t ngx_http_flux_sse_start(ngx_http_flux_reader_t *reader);
static ngx_int_t ngx_http_flux_sse_compress(ngx_http_flux_reader_t *reader);
static ngx_int_t ngx_http_flux_sse_gzip_header(ngx_http_flux_reader_t *reader);
static ngx_uint_t ngx_http_flux_sse_encoding(ngx_http_flux_reader_t *reader);
static ngx_int_t ngx_http_flux_sse_send(ngx_http_flux_reader_t *reader,
    ngx_str_t *bytes, size_t *sent);
static ngx_int_t ngx_http_flux_sse_send_filter(ngx_http_flux_reader_t *reader,
    ngx_str_t *bytes, size_t *sent);
static ngx_int_t ngx_http_flux_sse_heartbeat(ngx_http_flux_reader_t *reader);
static void ngx_http_flux_sse_end(ngx_http_flux_reader_t *reader,
    ngx_http_flux_end_t why, ngx_msec_t retry);


ngx_http_flux_transport_t  ngx_http_flux_sse = {
    ngx_string("sse"),
    0,
    0,
    ngx_http_flux_sse_start,
    ngx_http_flux_sse_encoding,
    ngx_http_flux_sse_send,
    ngx_http_flux_sse_heartbeat,
    ngx_http_flux_sse_end,
    ngx_http_flux_reader_tell,
    NULL,
    ngx_http_test_reading,
    ngx_http_flux_detached_discard
};


/* What goes through the filters: one buffer at a time. */

typedef struct {
    ngx_buf_t    buf;
    ngx_chain_t  chain;
    unsigned     busy:1;
} ngx_http_flux_sse_t;


static ngx_int_t
ngx_http_flux_sse_start(ngx_http_flux_reader_t *reader)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r = reader->request;

    if (ngx_http_flux_add_header(r, "X-Accel-Buffering", "no") == NULL
        || ngx_http_flux_sse_compress(reader) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "text/event-stream");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);

    r->keepalive = 0;

#if (NGX_HTTP_GZIP)
    /* frames go past the filters, also past gunzip */
    r->gzip_tested = 1;
    r->gzip_ok = reader->compress;
#endif

    rc = ngx_http_flux_send_header(r);

    if (rc != NGX_OK) {
        return rc;
    }

    reader->chunked = r->chunked;

    return reader->compress ? ngx_http_flux_sse_gzip_header(reader) : NGX_OK;
}


static ngx_int_t
ngx_http_flux_sse_compress(ngx_http_flux_reader_t *reader)
{
    ngx_table_elt_t           *h;
    ngx_http_request_t        *r = reader->request;
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    if (!flcf->compress) {
        return NGX_OK;
    }

    if (ngx_http_flux_add_header(r, "Vary", "Accept-Encoding") == NULL) {
        return NGX_ERROR;
    }

    if (!ngx_http_flux_header_has(r, "accept-encoding", "gzip")) {
        return NGX_OK;
    }

    h = ngx_http_flux_add_header(r, "Content-Encoding", "gzip");
    if (h == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.content_encoding = h;
    reader->compress = 1;

    return NGX_OK;
}


/* RFC 1952; what follows are blocks of one stream without an end. */

static ngx_int_t
ngx_http_flux_sse_gzip_header(ngx_http_flux_reader_t *reader)
{
    ngx_int_t  rc;

    static u_char  chunk[] = "a\r\n" FLUX_GZIP_HEADER "\r\n";
    static u_char  plain[] = FLUX_GZIP_HEADER;

    if (reader->chunked) {
        rc = ngx_http_flux_reader_tell_bytes(reader, chunk, sizeof(chunk) - 1);

    } else {
        rc = ngx_http_flux_reader_tell_bytes(reader, plain, sizeof(plain) - 1);
    }

    return rc == NGX_OK ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_uint_t
ngx_http_flux_sse_encoding(ngx_http_flux_reader_t *reader)
{
    return reader->chunked ? NGX_HTTP_FLUX_AS_CHUNK : NGX_HTTP_FLUX_AS_EVENT;
}


static ngx_int_t
ngx_http_flux_sse_send(ngx_http_flux_reader_t *reader, ngx_str_t *bytes,
    size_t *sent)
{
    if (reader->request != NULL
        && reader->request->http_version >= NGX_HTTP_VERSION_20)
    {
        return ngx_http_flux_sse_send_filter(reader, bytes, sent);
    }

    return ngx_http_flux_send(reader, bytes, sent);
}


/*
 * Streams of one connection share its window and its frames: only the filters
 * know how.
 */

static ngx_int_t
ngx_http_flux_sse_send_filter(ngx_http_flux_reader_t *reader,
    ngx_str_t *bytes, size_t *sent)
{
    ngx_int_t             rc;
    ngx_buf_t            *b;
    ngx_http_request_t   *r = reader->request;
    ngx_http_flux_sse_t  *sse = reader->context;

    if (sse == NULL) {
        sse = ngx_pcalloc(r->pool, sizeof(ngx_http_flux_sse_t));
        if (sse == NULL) {
            return NGX_ERROR;
        }

        sse->chain.buf = &sse->buf;
        reader->context = sse;
    }

    b = &sse->buf;

    if (sse->busy) {
        rc = ngx_http_output_filter(r, NULL);

    } else {
        ngx_memzero(b, sizeof(ngx_buf_t));
        b->start = bytes->data;
        b->pos = bytes->data;
        b->last = bytes->data + bytes->len;
        b->end = b->last;
        b->memory = 1;
        b->flush = 1;
        sse->chain.next = NULL;
        sse->busy = 1;

        rc = ngx_http_output_filter(r, &sse->chain);
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    *sent = b->pos - b->start;

    if (b->pos != b->last || r->out != NULL || r->connection->buffered) {
        return NGX_AGAIN;
    }

    sse->busy = 0;

    return NGX_OK;
}


/* A comment: WHATWG HTML, 9.2.6. */

static ngx_int_t
ngx_http_flux_sse_heartbeat(ngx_http_flux_reader_t *reader)
{
    u_char     *base = NULL;
    ngx_int_t   rc = NGX_OK;
    ngx_str_t   bytes, chunk = ngx_string("3\r\n:\n\n\r\n"),
                plain = ngx_string(":\n\n");

    if (reader->compress) {
        rc = ngx_http_flux_compress_text(reader, &plain,
                                         reader->chunked, &bytes, &base);

    } else {
        bytes = reader->chunked ? chunk : plain;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_flux_reader_tell_bytes(reader, bytes.data, bytes.len);
        ngx_free(base);
    }

    if (rc != NGX_OK) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return NGX_DONE;
    }

    return ngx_http_flux_reader_flush(reader) == NGX_DONE ? NGX_DONE : NGX_OK;
}


static void
ngx_http_flux_sse_end(ngx_http_flux_reader_t *reader, ngx_http_flux_end_t why,
    ngx_msec_t retry)
{
    size_t               sent = 0;
    u_char               block[160], event[128], *p, *base = NULL;
    ngx_int_t            rc;
    ngx_str_t            bytes, last = ngx_string("0\r\n\r\n");
    ngx_http_request_t  *r = reader->request;

    p = ngx_sprintf(event, "retry: %M\ndata: [", retry);
    p = ngx_http_flux_end_message(p, why, retry);
    p = ngx_cpymem(p, "]\n\n", 3);

    bytes.data = event;
    bytes.len = p - event;

    if (reader->compress) {
        if (ngx_http_flux_compress_text(reader, &bytes, reader->chunked,
                                        &bytes, &base)
            != NGX_OK)
        {
            ngx_http_flux_reader_close(reader, NGX_ERROR);
            return;
        }

    } else if (reader->chunked) {
        p = ngx_sprintf(block, "%xz\r\n%V\r\n", bytes.len, &bytes);
        bytes.data = block;
        bytes.len = p - block;
    }

    if (r != NULL && r->http_version >= NGX_HTTP_VERSION_20) {
        /* it outlives this call */
        bytes.data = ngx_pstrdup(r->pool, &bytes);

        if (bytes.data == NULL) {
            ngx_free(base);
            ngx_http_flux_reader_close(reader, NGX_ERROR);
            return;
        }
    }

    rc = ngx_http_flux_sse_send(reader, &bytes, &sent);
    ngx_free(base);

    if (rc == NGX_ERROR) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return;
    }

    ngx_http_flux_reader_count(reader, sent);

    if (r != NULL) {
        rc = ngx_http_send_special(r, NGX_HTTP_LAST);

    } else if (rc == NGX_OK && reader->chunked) {
        sent = 0;
        rc = ngx_http_flux_send(reader, &last, &sent);
    }

    ngx_http_flux_reader_close(reader, rc);
}
