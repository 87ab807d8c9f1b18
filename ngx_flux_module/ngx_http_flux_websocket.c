#include "ngx_http_flux_compress.h"
#include "ngx_http_flux_websocket.h"

#include <ngx_sha1.h>

#include "core/flux_json.h"


/* Heartbeats that may stay unanswered. */
#define NGX_HTTP_FLUX_WS_MISSED  2


static ngx_int_t ngx_http_flux_ws_start(ngx_http_flux_reader_t *reader);
static ngx_uint_t ngx_http_flux_ws_encoding(ngx_http_flux_reader_t *reader);
static ngx_int_t ngx_http_flux_ws_heartbeat(ngx_http_flux_reader_t *reader);
static void ngx_http_flux_ws_end(ngx_http_flux_reader_t *reader,
    ngx_http_flux_end_t why, ngx_msec_t retry);
static void ngx_http_flux_ws_cleanup(ngx_http_flux_reader_t *reader);
static void ngx_http_flux_ws_read(ngx_http_request_t *r);
static void ngx_http_flux_ws_receive(ngx_http_flux_reader_t *reader);
static ngx_int_t ngx_http_flux_ws_input(ngx_http_flux_reader_t *reader,
    const u_char *p, size_t len);
static ngx_int_t ngx_http_flux_ws_event(ngx_http_flux_reader_t *reader,
    flux_ws_event_t event);
static ngx_int_t ngx_http_flux_ws_control(ngx_http_flux_reader_t *reader,
    ngx_uint_t opcode, u_char *payload, size_t len);
static ngx_int_t ngx_http_flux_ws_compressed(ngx_http_flux_reader_t *reader);
static void ngx_http_flux_ws_close(ngx_http_flux_reader_t *reader,
    ngx_uint_t code);


ngx_http_flux_transport_t  ngx_http_flux_websocket = {
    ngx_string("websocket"),
    1,
    0,
    ngx_http_flux_ws_start,
    ngx_http_flux_ws_encoding,
    ngx_http_flux_send,
    ngx_http_flux_ws_heartbeat,
    ngx_http_flux_ws_end,
    ngx_http_flux_reader_tell,
    ngx_http_flux_ws_cleanup,
    ngx_http_flux_ws_read,
    ngx_http_flux_ws_receive
};


/* --- handshake: RFC 6455 section 4.2 ------------------------------------- */

ngx_int_t
ngx_http_flux_websocket_check(ngx_http_request_t *r)
{
    u_char      buf[24];
    ngx_str_t  *key, *version, decoded;

    key = ngx_http_flux_header(r, "sec-websocket-key");
    version = ngx_http_flux_header(r, "sec-websocket-version");

    if (r->http_version != NGX_HTTP_VERSION_11
        || !ngx_http_flux_header_has(r, "connection", "upgrade"))
    {
        return NGX_HTTP_BAD_REQUEST;
    }

    if (version == NULL) {
        return NGX_HTTP_BAD_REQUEST;
    }

    if (version->len != 2 || ngx_memcmp(version->data, "13", 2) != 0) {

        if (ngx_http_flux_add_header(r, "Upgrade", "websocket") == NULL
            || ngx_http_flux_add_header(r, "Sec-WebSocket-Version", "13")
               == NULL)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_UPGRADE_REQUIRED;
    }

    decoded.data = buf;

    if (key == NULL || key->len != 24
        || ngx_decode_base64(&decoded, key) != NGX_OK || decoded.len != 16)
    {
        return NGX_HTTP_BAD_REQUEST;
    }

    return NGX_OK;
}


static void
ngx_http_flux_ws_accept(ngx_http_request_t *r, u_char *p)
{
    u_char      digest[20];
    ngx_str_t   sum, accept, *key;
    ngx_sha1_t  sha1;

    key = ngx_http_flux_header(r, "sec-websocket-key");

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, key->data, key->len);
    ngx_sha1_update(&sha1, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    ngx_sha1_final(digest, &sha1);

    sum.data = digest;
    sum.len = sizeof(digest);

    accept.data = p;
    ngx_encode_base64(&accept, &sum);
    p[accept.len] = '\0';
}


static ngx_int_t
ngx_http_flux_ws_deflate(ngx_http_flux_reader_t *reader)
{
    char                *answer;
    ngx_str_t           *offers;
    flux_ws_deflate_t    deflate;
    ngx_http_request_t  *r = reader->request;

    offers = ngx_http_flux_header(r, "sec-websocket-extensions");

    if (offers == NULL
        || !flux_ws_accept_deflate(&deflate, (char *) offers->data,
                                   offers->len, FLUX_DEFLATE_WINDOW,
                                   FLUX_DEFLATE_WINDOW_ALONE))
    {
        return NGX_OK;
    }

    answer = ngx_pcalloc(r->pool, deflate.length + 1);
    if (answer == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(answer, deflate.answer, deflate.length);

    reader->compress = 1;
    reader->alone = deflate.alone;

    return ngx_http_flux_add_header(r, "Sec-WebSocket-Extensions", answer)
           != NULL ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_flux_ws_start(ngx_http_flux_reader_t *reader)
{
    u_char              *accept;
    ngx_int_t            rc;
    ngx_http_request_t  *r = reader->request;

    accept = ngx_pnalloc(r->pool, NGX_HTTP_FLUX_WS_ACCEPT);
    if (accept == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_flux_ws_accept(r, accept);

    if (reader->conf->compress && ngx_http_flux_ws_deflate(reader) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_flux_add_header(r, "Upgrade", "websocket") == NULL
        || ngx_http_flux_add_header(r, "Sec-WebSocket-Accept",
                                    (char *) accept)
           == NULL
        || (ngx_http_flux_header_offers(r, "sec-websocket-protocol",
                                        "flux.v1")
            && ngx_http_flux_add_header(r, "Sec-WebSocket-Protocol",
                                        "flux.v1")
               == NULL))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_SWITCHING_PROTOCOLS;
    ngx_str_set(&r->headers_out.status_line, "101 Switching Protocols");
    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);

    r->keepalive = 0;

    /* the client may still send when we have said good-bye */
    r->lingering_close = 1;

    rc = ngx_http_flux_send_header(r);

    if (rc != NGX_OK) {
        return rc;
    }

    /* what came with the handshake, or since */
    ngx_post_event(r->connection->read, &ngx_posted_events);

    return NGX_OK;
}


static void
ngx_http_flux_ws_cleanup(ngx_http_flux_reader_t *reader)
{
    ngx_http_flux_ws_t  *ws = reader->context;

    if (ws != NULL) {
        ngx_free(ws->buf);
        ngx_free(ws);
        reader->context = NULL;
    }
}


/* What reads a message is there as long as one comes. */

static ngx_http_flux_ws_t *
ngx_http_flux_ws_context(ngx_http_flux_reader_t *reader)
{
    ngx_http_flux_ws_t  *ws = reader->context;

    if (ws == NULL) {
        ws = ngx_calloc(sizeof(ngx_http_flux_ws_t), ngx_http_flux_hub.log);

        if (ws != NULL) {
            flux_ws_parser_init(&ws->parser, reader->conf->max_message,
                                reader->compress);
            reader->context = ws;
        }
    }

    return ws;
}


/* --- sending ------------------------------------------------------------- */

static ngx_uint_t
ngx_http_flux_ws_encoding(ngx_http_flux_reader_t *reader)
{
    return NGX_HTTP_FLUX_AS_MESSAGE;
}


static ngx_int_t
ngx_http_flux_ws_control(ngx_http_flux_reader_t *reader, ngx_uint_t opcode,
    u_char *payload, size_t len)
{
    size_t  n;
    u_char  frame[FLUX_WS_HEADER_MAX + FLUX_WS_CONTROL_MAX];

    n = flux_ws_header(frame, opcode, 0, len);

    if (len) {
        ngx_memcpy(frame + n, payload, len);
    }

    return ngx_http_flux_reader_tell_bytes(reader, frame, n + len);
}


static ngx_int_t
ngx_http_flux_ws_heartbeat(ngx_http_flux_reader_t *reader)
{
    if (reader->missed == NGX_HTTP_FLUX_WS_MISSED
        || ngx_http_flux_ws_control(reader, FLUX_WS_OP_PING, NULL, 0)
           != NGX_OK)
    {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return NGX_DONE;
    }

    reader->missed++;

    return ngx_http_flux_reader_flush(reader) == NGX_DONE ? NGX_DONE : NGX_OK;
}


static void
ngx_http_flux_ws_end(ngx_http_flux_reader_t *reader, ngx_http_flux_end_t why,
    ngx_msec_t retry)
{
    static ngx_uint_t  codes[] = { FLUX_WS_TRY_LATER, FLUX_WS_RESTART,
                                   FLUX_WS_POLICY, FLUX_WS_GOING_AWAY };

    size_t     sent = 0;
    u_char     frame[FLUX_WS_HEADER_MAX + 128], text[128], *p;
    ngx_str_t  bytes;

    text[0] = '[';
    p = ngx_http_flux_end_message(text + 1, why, retry);
    *p++ = ']';

    bytes.data = frame;
    bytes.len = flux_ws_header(frame, FLUX_WS_OP_TEXT, 0, p - text);
    ngx_memcpy(frame + bytes.len, text, p - text);
    bytes.len += p - text;

    if (ngx_http_flux_send(reader, &bytes, &sent) != NGX_OK) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return;
    }

    ngx_http_flux_reader_count(reader, sent);
    ngx_http_flux_ws_close(reader, codes[why]);
}


/* Sends the close frame if the socket takes it, and ends the request. */

static void
ngx_http_flux_ws_close(ngx_http_flux_reader_t *reader, ngx_uint_t code)
{
    size_t     n, sent = 0;
    u_char     frame[FLUX_WS_HEADER_MAX + 2];
    ngx_int_t  rc = NGX_OK;
    ngx_str_t  bytes;

    if (!reader->blocked && reader->talk == NULL && reader->out == NULL) {

        n = flux_ws_header(frame, FLUX_WS_OP_CLOSE, 0,
                           code == FLUX_WS_NO_STATUS ? 0 : 2);

        if (code != FLUX_WS_NO_STATUS) {
            frame[n++] = (u_char) (code >> 8);
            frame[n++] = (u_char) code;
        }

        bytes.data = frame;
        bytes.len = n;
        rc = ngx_http_flux_send(reader, &bytes, &sent);
    }

    ngx_http_flux_reader_close(reader, rc == NGX_OK ? NGX_OK : NGX_ERROR);
}


/* --- receiving ----------------------------------------------------------- */

static void
ngx_http_flux_ws_read(ngx_http_request_t *r)
{
    ngx_http_flux_reader_t  *reader;

    reader = ngx_http_get_module_ctx(r, ngx_http_flux_module);

    if (reader->closing) {
        return;
    }

    /* whatever a message leads to, the reader stays until here */

    r->main->count++;
    reader->served = 0;

    ngx_http_flux_ws_receive(reader);

    if (reader->closing) {
        ngx_http_finalize_request(r, NGX_DONE);
        return;
    }

    reader->served = 1;
    r->main->count--;

    ngx_http_flux_detach(reader);
}


static void
ngx_http_flux_ws_receive(ngx_http_flux_reader_t *reader)
{
    size_t      n;
    ngx_buf_t  *b = NULL;

    if (reader->request != NULL) {
        b = reader->request->header_in;
    }

    if (b != NULL && b->pos < b->last) {
        n = b->last - b->pos;
        b->pos = b->last;

        if (ngx_http_flux_ws_input(reader, b->last - n, n) != NGX_OK) {
            return;
        }
    }

    ngx_http_flux_receive(reader, ngx_http_flux_ws_input);
}


static ngx_int_t
ngx_http_flux_ws_compressed(ngx_http_flux_reader_t *reader)
{
    ngx_int_t            rc;
    ngx_str_t            text;
    ngx_http_flux_ws_t  *ws = reader->context;

    rc = ngx_http_flux_inflate(ws->buf, ws->parser.length, ws->parser.max,
                               &text);

    if (rc == NGX_ERROR) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return NGX_DONE;
    }

    if (rc == NGX_OK && !flux_utf8_valid(text.data, text.len)) {
        ngx_free(text.data);
        rc = FLUX_WS_INVALID;
    }

    if (rc != NGX_OK) {
        ngx_http_flux_ws_close(reader, rc);
        return NGX_DONE;
    }

    rc = ngx_http_flux_ws_message(reader, text.data, text.len);
    ngx_free(text.data);

    return rc;
}


/* NGX_DONE: the reader is gone. */

static ngx_int_t
ngx_http_flux_ws_input(ngx_http_flux_reader_t *reader, const u_char *p,
    size_t len)
{
    size_t               need;
    u_char              *buf;
    ngx_int_t            rc;
    flux_ws_event_t      event;
    ngx_http_flux_ws_t  *ws;

    ws = ngx_http_flux_ws_context(reader);

    if (ws == NULL) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return NGX_DONE;
    }

    reader->missed = 0;

    for ( ;; ) {

        need = ngx_min(ws->parser.max, ws->parser.length + len);

        if (need > ws->size) {
            need = ngx_min(ws->parser.max, ngx_max(need, ws->size * 2));
            buf = ngx_alloc(need, ngx_http_flux_hub.log);

            if (buf == NULL) {
                ngx_http_flux_reader_close(reader, NGX_ERROR);
                return NGX_DONE;
            }

            if (ws->buf != NULL) {
                ngx_memcpy(buf, ws->buf, ws->parser.length);
                ngx_free(ws->buf);
            }

            ws->buf = buf;
            ws->size = need;
        }

        event = flux_ws_parse(&ws->parser, ws->buf, &p, &len);

        if (event == FLUX_WS_AGAIN) {
            break;
        }

        rc = ngx_http_flux_ws_event(reader, event);

        if (rc != NGX_OK || reader->closing) {
            return NGX_DONE;
        }
    }

    if (flux_ws_idle(&ws->parser)) {
        ngx_http_flux_ws_cleanup(reader);

    } else if (ws->parser.length == 0) {
        ngx_free(ws->buf);
        ws->buf = NULL;
        ws->size = 0;
    }

    return ngx_http_flux_reader_flush(reader) == NGX_DONE ? NGX_DONE : NGX_OK;
}


#if (FLUX_TEST_ECHO)

static ngx_int_t
ngx_http_flux_ws_echo(ngx_http_flux_reader_t *reader, flux_ws_event_t event)
{
    size_t               n;
    u_char               head[FLUX_WS_HEADER_MAX], *base = NULL;
    ngx_int_t            rc = NGX_OK;
    ngx_str_t            text, out, inflated = ngx_null_string;
    ngx_uint_t           opcode;
    ngx_http_flux_ws_t  *ws = reader->context;

    if (!reader->conf->echo
        || (event != FLUX_WS_TEXT && event != FLUX_WS_BINARY))
    {
        return NGX_DECLINED;
    }

    text.data = ws->buf;
    text.len = ws->parser.length;

    if (ws->parser.compressed) {
        rc = ngx_http_flux_inflate(text.data, text.len, ws->parser.max,
                                   &inflated);

        if (rc == NGX_OK && event == FLUX_WS_TEXT
            && !flux_utf8_valid(inflated.data, inflated.len))
        {
            rc = FLUX_WS_INVALID;
        }

        if (rc != NGX_OK) {
            ngx_free(inflated.data);
            ngx_http_flux_ws_close(reader, rc);
            return NGX_DONE;
        }

        text = inflated;
    }

    opcode = event == FLUX_WS_TEXT ? FLUX_WS_OP_TEXT : FLUX_WS_OP_BINARY;

    if (reader->compress) {
        rc = ngx_http_flux_compress_echo(&text, opcode, &out, &base);

        if (rc == NGX_OK) {
            rc = ngx_http_flux_reader_tell_bytes(reader, out.data, out.len);
        }

        ngx_free(base);

    } else {
        n = flux_ws_header(head, opcode, 0, text.len);

        if (ngx_http_flux_reader_tell_bytes(reader, head, n) != NGX_OK
            || ngx_http_flux_reader_tell_bytes(reader, text.data, text.len)
               != NGX_OK)
        {
            rc = NGX_ERROR;
        }
    }

    ngx_free(inflated.data);

    if (rc != NGX_OK) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return NGX_DONE;
    }

    return NGX_OK;
}

#endif


static ngx_int_t
ngx_http_flux_ws_event(ngx_http_flux_reader_t *reader, flux_ws_event_t event)
{
    ngx_http_flux_ws_t  *ws = reader->context;

#if (FLUX_TEST_ECHO)
    ngx_int_t  rc = ngx_http_flux_ws_echo(reader, event);

    if (rc != NGX_DECLINED) {
        return rc;
    }
#endif

    switch (event) {

    case FLUX_WS_TEXT:
        if (ws->parser.compressed) {
            return ngx_http_flux_ws_compressed(reader);
        }

        return ngx_http_flux_ws_message(reader, ws->buf, ws->parser.length);

    case FLUX_WS_PING:
        if (ngx_http_flux_ws_control(reader, FLUX_WS_OP_PONG,
                                     ws->parser.control,
                                     ws->parser.control_length)
            == NGX_OK)
        {
            return NGX_OK;
        }

        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return NGX_DONE;

    case FLUX_WS_PONG:
        return NGX_OK;

    case FLUX_WS_BINARY:
        ngx_http_flux_ws_close(reader, FLUX_WS_UNSUPPORTED);
        return NGX_DONE;

    default:

        /* CLOSE is answered in kind, ERROR told */

        if (ngx_http_flux_reader_flush(reader) == NGX_DONE) {
            return NGX_DONE;
        }

        ngx_http_flux_ws_close(reader, ws->parser.close_code);
        return NGX_DONE;
    }
}
