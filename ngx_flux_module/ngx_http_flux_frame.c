#include "ngx_http_flux_frame.h"

#include "core/flux_websocket.h"


static ngx_int_t ngx_http_flux_frame_encode_event(ngx_http_flux_frame_t *frame,
    ngx_str_t *out, ngx_uint_t chunk);
static ngx_int_t ngx_http_flux_frame_encode_message(
    ngx_http_flux_frame_t *frame, ngx_str_t *out);


ngx_http_flux_frame_t *
ngx_http_flux_frame_create(ngx_log_t *log)
{
    ngx_http_flux_frame_t  *frame;

    frame = ngx_calloc(sizeof(ngx_http_flux_frame_t), log);

    if (frame != NULL) {
        frame->refs = 1;
        frame->json.log = log;
    }

    return frame;
}


ngx_http_flux_frame_t *
ngx_http_flux_frame_hold(ngx_http_flux_frame_t *frame)
{
    frame->refs++;

    return frame;
}


void
ngx_http_flux_frame_release(ngx_http_flux_frame_t *frame)
{
    ngx_uint_t  i;

    if (--frame->refs) {
        return;
    }

    for (i = 0; i < NGX_HTTP_FLUX_ENCODINGS; i++) {
        if (frame->encoded[i].data != NULL
            && i != NGX_HTTP_FLUX_AS_JSON)
        {
            ngx_free(frame->encoded[i].data);
        }
    }

    if (frame->pieces != NULL) {

        for (i = 0; i < NGX_HTTP_FLUX_PIECES; i++) {
            ngx_free(frame->pieces[i].base);
        }

        ngx_free(frame->pieces);
    }

    if (frame->json.data != NULL) {
        ngx_free(frame->json.data);
    }

    if (frame->marks != NULL) {
        ngx_free(frame->marks);
    }

    ngx_free(frame);
}


static ngx_int_t
ngx_http_flux_frame_mark(ngx_http_flux_frame_t *frame, uint64_t ordinal)
{
    ngx_uint_t             size;
    ngx_http_flux_mark_t  *marks;

    if (frame->nmarks == frame->marks_size) {
        size = frame->marks_size ? frame->marks_size * 2 : 4;

        marks = ngx_alloc(size * sizeof(ngx_http_flux_mark_t),
                          frame->json.log);
        if (marks == NULL) {
            frame->json.failed = 1;
            return NGX_ERROR;
        }

        if (frame->marks != NULL) {
            ngx_memcpy(marks, frame->marks,
                       frame->nmarks * sizeof(ngx_http_flux_mark_t));
            ngx_free(frame->marks);
        }

        frame->marks = marks;
        frame->marks_size = size;
    }

    frame->marks[frame->nmarks].ordinal = ordinal;
    frame->marks[frame->nmarks++].at = frame->json.len;

    return NGX_OK;
}


ngx_int_t
ngx_http_flux_frame_open(ngx_http_flux_frame_t *frame)
{
    u_char  *p;

    p = ngx_http_flux_text_extend(&frame->json, 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *p = frame->messages++ ? ',' : '[';

    return NGX_OK;
}


u_char *
ngx_http_flux_frame_message(ngx_http_flux_frame_t *frame, size_t len,
    uint64_t ordinal)
{
    if (ngx_http_flux_frame_open(frame) != NGX_OK
        || ngx_http_flux_frame_mark(frame, ordinal) != NGX_OK)
    {
        return NULL;
    }

    return ngx_http_flux_text_extend(&frame->json, len);
}


void
ngx_http_flux_frame_undo(ngx_http_flux_frame_t *frame, size_t len)
{
    frame->messages--;
    frame->nmarks--;
    frame->json.len -= len + 1;
}


ngx_int_t
ngx_http_flux_frame_close(ngx_http_flux_frame_t *frame, ngx_str_t *cursor)
{
    ngx_http_flux_text_t  *json = &frame->json;

    if (cursor->len) {
        ngx_http_flux_text_add(json, frame->messages ? "," : "[", 1);
        ngx_http_flux_text_literal(json, "{\"type\":\"cursor\",\"cursor\":\"");
        frame->cursor_at = json->len;
        frame->cursor_len = cursor->len;
        ngx_http_flux_text_add(json, cursor->data, cursor->len);
        ngx_http_flux_text_literal(json, "\"}");
    }

    ngx_http_flux_text_literal(json, "]");

    return json->failed ? NGX_ERROR : NGX_OK;
}


ngx_str_t
ngx_http_flux_frame_cursor(ngx_http_flux_frame_t *frame)
{
    ngx_str_t  cursor;

    cursor.data = frame->json.data + frame->cursor_at;
    cursor.len = frame->cursor_len;

    return cursor;
}


ngx_str_t *
ngx_http_flux_frame_encode(ngx_http_flux_frame_t *frame, ngx_uint_t encoding)
{
    ngx_int_t   rc;
    ngx_str_t  *out = &frame->encoded[encoding];

    if (out->data != NULL) {
        return out;
    }

    switch (encoding) {

    case NGX_HTTP_FLUX_AS_JSON:
        out->data = frame->json.data;
        out->len = frame->json.len;
        return out;

    case NGX_HTTP_FLUX_AS_MESSAGE:
        rc = ngx_http_flux_frame_encode_message(frame, out);
        break;

    default:
        rc = ngx_http_flux_frame_encode_event(frame, out,
                                      encoding == NGX_HTTP_FLUX_AS_CHUNK);
        break;
    }

    return rc == NGX_OK ? out : NULL;
}


/* The blocks of WHATWG HTML, 9.2.6; in a chunk of RFC 9112, 7.1. */

static ngx_int_t
ngx_http_flux_frame_encode_event(ngx_http_flux_frame_t *frame, ngx_str_t *out,
    ngx_uint_t chunk)
{
    size_t   len;
    u_char  *p;

    len = sizeof("data: \n\n") - 1 + frame->json.len;

    if (frame->cursor_len) {
        len += sizeof("id: \n") - 1 + frame->cursor_len;
    }

    p = ngx_alloc(len + NGX_SIZE_T_LEN + sizeof("\r\n\r\n") - 1,
                  frame->json.log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;

    if (chunk) {
        p = ngx_sprintf(p, "%xz\r\n", len);
    }

    if (frame->cursor_len) {
        p = ngx_cpymem(p, "id: ", 4);
        p = ngx_cpymem(p, frame->json.data + frame->cursor_at,
                       frame->cursor_len);
        *p++ = '\n';
    }

    p = ngx_cpymem(p, "data: ", 6);
    p = ngx_cpymem(p, frame->json.data, frame->json.len);
    *p++ = '\n';
    *p++ = '\n';

    if (chunk) {
        *p++ = '\r';
        *p++ = '\n';
    }

    out->len = p - out->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_frame_encode_message(ngx_http_flux_frame_t *frame,
    ngx_str_t *out)
{
    size_t  len;

    out->data = ngx_alloc(FLUX_WS_HEADER_MAX + frame->json.len,
                          frame->json.log);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    len = flux_ws_header(out->data, FLUX_WS_OP_TEXT, 0, frame->json.len);
    ngx_memcpy(out->data + len, frame->json.data, frame->json.len);
    out->len = len + frame->json.len;

    return NGX_OK;
}


ngx_http_flux_frame_t *
ngx_http_flux_frame_after(ngx_http_flux_frame_t *frame, uint64_t ordinal)
{
    size_t                  end, at;
    u_char                 *p;
    ngx_str_t               cursor;
    ngx_uint_t              i;
    ngx_http_flux_frame_t  *rest;

    rest = ngx_http_flux_frame_create(frame->json.log);
    if (rest == NULL) {
        return NULL;
    }

    cursor = ngx_http_flux_frame_cursor(frame);

    for (i = 0; i < frame->nmarks; i++) {

        if (frame->marks[i].ordinal <= ordinal) {
            continue;
        }

        at = frame->marks[i].at;
        end = i + 1 < frame->nmarks
              ? frame->marks[i + 1].at - 1
              : frame->cursor_at - sizeof(",{\"type\":\"cursor\",\"cursor\":\"")
                + 1;

        p = ngx_http_flux_frame_message(rest, end - at,
                                        frame->marks[i].ordinal);
        if (p == NULL) {
            break;
        }

        ngx_memcpy(p, frame->json.data + at, end - at);
    }

    if (ngx_http_flux_frame_close(rest, &cursor) != NGX_OK) {
        ngx_http_flux_frame_release(rest);
        return NULL;
    }

    return rest;
}
