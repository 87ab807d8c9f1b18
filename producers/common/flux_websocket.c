#include "flux_websocket.h"
#include "flux_base64.h"
#include "flux_sha1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>


#define FLUX_WS_GUID       "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* what waits to be sent: subscriptions and pongs are small */
#define FLUX_WS_OUT_MAX    (256 * 1024)

#define FLUX_WS_HEADER_MAX (16 * 1024)
#define FLUX_WS_READ       16384

/* reads in one turn of the loop, so that a flood stops nobody else */
#define FLUX_WS_READS      16

/* RFC 6455, section 5.2 */
#define FLUX_WS_CONTINUE   0x0
#define FLUX_WS_TEXT       0x1
#define FLUX_WS_BINARY     0x2
#define FLUX_WS_CLOSE      0x8
#define FLUX_WS_PING       0x9
#define FLUX_WS_PONG       0xa


struct flux_websocket_s {
    flux_transfer_t            transfer;    /* first: it is cast back */
    flux_loop_t               *loop;
    flux_websocket_options_t   options;
    CURL                      *easy;
    CURLU                     *url;
    curl_socket_t              fd;
    char                       key[32];
    char                       error[CURL_ERROR_SIZE];
    flux_buffer_t              in;
    flux_buffer_t              out;
    flux_buffer_t              message;     /* fragments so far */
    int                        fragmented;
    int                        open;
    int                        ended;
    int                        pinged;
    int64_t                    heard;
    flux_timer_t               timer;       /* handshake, then silence */
    flux_timer_t               again;       /* more to read */
};


static void flux_websocket_ready(void *arg);


void
flux_websocket_accept(const char *key, char out[32])
{
    char           text[128];
    flux_buffer_t  encoded;
    unsigned char  hash[FLUX_SHA1_SIZE];

    snprintf(text, sizeof(text), "%.60s%s", key, FLUX_WS_GUID);
    flux_sha1(text, strlen(text), hash);

    flux_buffer_init(&encoded, 64);

    if (flux_base64_encode(&encoded, hash, sizeof(hash)) == FLUX_OK) {
        flux_copy_text(out, 32, encoded.data);

    } else {
        out[0] = '\0';
    }

    flux_buffer_free(&encoded);
}


static void
flux_websocket_end(flux_websocket_t *ws, const char *why)
{
    if (ws->ended) {
        return;
    }

    ws->ended = 1;
    flux_timer_clear(ws->loop, &ws->timer);
    flux_timer_clear(ws->loop, &ws->again);

    if (ws->fd != CURL_SOCKET_BAD) {
        flux_loop_unwatch(ws->loop, ws->fd);
    }

    ws->options.closed(ws->options.arg, why);
}


static void
flux_websocket_flush(flux_websocket_t *ws)
{
    int       events;
    size_t    n, sent;
    CURLcode  result;

    sent = 0;
    result = CURLE_OK;

    while (sent < ws->out.len && result == CURLE_OK) {
        result = curl_easy_send(ws->easy, ws->out.data + sent,
                                ws->out.len - sent, &n);
        sent += (result == CURLE_OK) ? n : 0;
    }

    if (result != CURLE_OK && result != CURLE_AGAIN) {
        flux_websocket_end(ws, curl_easy_strerror(result));
        return;
    }

    if (sent > 0) {
        memmove(ws->out.data, ws->out.data + sent, ws->out.len - sent);
        ws->out.len -= sent;
    }

    events = FLUX_READ | ((ws->out.len > 0) ? FLUX_WRITE : 0);

    if (flux_loop_watch(ws->loop, ws->fd, events, flux_websocket_ready, ws)
        != FLUX_OK)
    {
        flux_websocket_end(ws, "too many descriptors");
    }
}


/* a client's frames are masked (RFC 6455, section 5.3) */

static flux_rc_t
flux_websocket_frame(flux_websocket_t *ws, int opcode, const char *payload,
    size_t len)
{
    int            i;
    char           c;
    size_t         n, start;
    unsigned char  head[14], mask[4];

    if (getrandom(mask, sizeof(mask), 0) != sizeof(mask)) {
        return FLUX_ERROR;
    }

    n = 0;
    head[n++] = (unsigned char) (0x80 | opcode);

    if (len < 126) {
        head[n++] = (unsigned char) (0x80 | len);

    } else if (len < 65536) {
        head[n++] = 0x80 | 126;
        head[n++] = (unsigned char) (len >> 8);
        head[n++] = (unsigned char) len;

    } else {
        head[n++] = 0x80 | 127;
        for (i = 7; i >= 0; i--) {
            head[n++] = (unsigned char) ((uint64_t) len >> (8 * i));
        }
    }

    memcpy(head + n, mask, 4);
    n += 4;

    start = ws->out.len;
    flux_buffer_append(&ws->out, head, n);

    for (n = 0; n < len; n++) {
        c = (char) (payload[n] ^ mask[n & 3]);
        flux_buffer_append(&ws->out, &c, 1);
    }

    if (ws->out.failed != FLUX_OK) {
        ws->out.len = start;        /* half a frame would be worse */
        ws->out.failed = FLUX_OK;
        return FLUX_FULL;
    }

    flux_websocket_flush(ws);

    return FLUX_OK;
}


flux_rc_t
flux_websocket_send(flux_websocket_t *ws, const char *text, size_t len)
{
    if (!ws->open || ws->ended) {
        return FLUX_AGAIN;
    }

    return flux_websocket_frame(ws, FLUX_WS_TEXT, text, len);
}


/* 1 if the header lines in ws->in (NUL-terminated) accept the upgrade */

static int
flux_websocket_is_accepted(const flux_websocket_t *ws)
{
    size_t       len;
    char         expected[32];
    const char  *p;

    if (strncmp(ws->in.data, "HTTP/1.1 101 ", 13) != 0) {
        return 0;
    }

    flux_websocket_accept(ws->key, expected);
    len = strlen(expected);

    for (p = strstr(ws->in.data, "\r\n"); p != NULL; p = strstr(p, "\r\n")) {
        p += 2;

        if (strncasecmp(p, "sec-websocket-accept:", 21) == 0) {
            p += 21 + strspn(p + 21, " \t");

            return strncmp(p, expected, len) == 0 && p[len] == '\r';
        }
    }

    return 0;
}


static void
flux_websocket_handshake(flux_websocket_t *ws)
{
    int     accepted;
    char   *end;
    size_t  used;
    char    why[64];

    end = (ws->in.data != NULL) ? strstr(ws->in.data, "\r\n\r\n") : NULL;

    if (end == NULL) {
        if (ws->in.len > FLUX_WS_HEADER_MAX) {
            flux_websocket_end(ws, "the handshake's header is too long");
        }

        return;
    }

    end[2] = '\0';      /* what follows may be frames */
    accepted = flux_websocket_is_accepted(ws);

    if (!accepted) {
        snprintf(why, sizeof(why), "no upgrade: %.40s", ws->in.data);
        why[strcspn(why, "\r\n")] = '\0';
        flux_websocket_end(ws, why);
        return;
    }

    used = (size_t) (end - ws->in.data) + 4;
    memmove(ws->in.data, ws->in.data + used, ws->in.len - used);
    ws->in.len -= used;

    ws->open = 1;
    flux_timer_set(ws->loop, &ws->timer, ws->options.silence_ms / 8 + 1);
    ws->options.opened(ws->options.arg);
}


static void
flux_websocket_control(flux_websocket_t *ws, int opcode, const char *payload,
    size_t len)
{
    switch (opcode) {

    case FLUX_WS_PING:
        flux_websocket_frame(ws, FLUX_WS_PONG, payload, len);
        break;

    case FLUX_WS_CLOSE:
        flux_websocket_frame(ws, FLUX_WS_CLOSE, payload, (len >= 2) ? 2 : 0);
        flux_websocket_end(ws, "closed by the server");
        break;

    default:            /* a pong: that it came is all it tells */
        break;
    }
}


static void
flux_websocket_data(flux_websocket_t *ws, int opcode, int fin,
    const char *payload, size_t len)
{
    if ((opcode == FLUX_WS_CONTINUE) != ws->fragmented) {
        flux_websocket_end(ws, "fragments out of order");
        return;
    }

    if (fin && !ws->fragmented) {
        ws->options.message(ws->options.arg, payload, len);
        return;
    }

    if (flux_buffer_append(&ws->message, payload, len) != FLUX_OK) {
        flux_websocket_end(ws, "a message is too large");
        return;
    }

    ws->fragmented = !fin;

    if (fin) {
        ws->options.message(ws->options.arg, ws->message.data,
                            ws->message.len);
        flux_buffer_reset(&ws->message);
    }
}


/* the frame at p: its length, 0 if it is not all there, or the end */

static size_t
flux_websocket_read_frame(flux_websocket_t *ws, const unsigned char *p,
    size_t len)
{
    int       i, opcode, fin;
    size_t    head;
    uint64_t  size;

    if (len < 2) {
        return 0;
    }

    fin = p[0] >> 7;
    opcode = p[0] & 0x0f;
    size = p[1] & 0x7f;
    head = 2;

    /* no extension was asked for, and a server does not mask */

    if ((p[0] & 0x70) || (p[1] & 0x80)
        || (opcode > FLUX_WS_BINARY && opcode < FLUX_WS_CLOSE)
        || opcode > FLUX_WS_PONG
        || (opcode >= FLUX_WS_CLOSE && (!fin || size > 125)))
    {
        flux_websocket_end(ws, "a frame that breaks the protocol");
        return 0;
    }

    if (size >= 126) {
        head = (size == 126) ? 4 : 10;

        if (len < head) {
            return 0;
        }

        for (size = 0, i = 2; i < (int) head; i++) {
            size = size << 8 | p[i];
        }
    }

    if (size > ws->options.message_max) {
        flux_websocket_end(ws, "a message is too large");
        return 0;
    }

    if (len - head < size) {
        return 0;
    }

    if (opcode >= FLUX_WS_CLOSE) {
        flux_websocket_control(ws, opcode, (const char *) p + head,
                               (size_t) size);
    } else {
        flux_websocket_data(ws, opcode, fin, (const char *) p + head,
                            (size_t) size);
    }

    return head + (size_t) size;
}


static void
flux_websocket_frames(flux_websocket_t *ws)
{
    size_t  used, n;

    used = 0;

    while (!ws->ended) {
        n = flux_websocket_read_frame(ws,
                                      (unsigned char *) ws->in.data + used,
                                      ws->in.len - used);
        if (n == 0) {
            break;
        }

        used += n;
    }

    if (used > 0) {
        memmove(ws->in.data, ws->in.data + used, ws->in.len - used);
        ws->in.len -= used;
    }
}


static void
flux_websocket_received(flux_websocket_t *ws, const char *data, size_t n)
{
    ws->heard = flux_loop_now(ws->loop);
    ws->pinged = 0;

    if (flux_buffer_append(&ws->in, data, n) != FLUX_OK) {
        flux_websocket_end(ws, "out of memory");
        return;
    }

    if (!ws->open) {
        flux_websocket_handshake(ws);
    }

    if (ws->open && !ws->ended && ws->in.len > 0) {
        flux_websocket_frames(ws);
    }
}


static void
flux_websocket_ready(void *arg)
{
    int                i;
    char               data[FLUX_WS_READ];
    size_t             n;
    CURLcode           result;
    flux_websocket_t  *ws = arg;

    if (ws->out.len > 0) {
        flux_websocket_flush(ws);
    }

    for (i = 0; i < FLUX_WS_READS && !ws->ended; i++) {

        result = curl_easy_recv(ws->easy, data, sizeof(data), &n);

        if (result == CURLE_AGAIN) {
            return;
        }

        if (result != CURLE_OK || n == 0) {
            flux_websocket_end(ws, (result != CURLE_OK)
                                   ? curl_easy_strerror(result)
                                   : "the connection was closed");
            return;
        }

        flux_websocket_received(ws, data, n);
    }

    /* what TLS has decrypted already wakes no poll */

    if (!ws->ended) {
        flux_timer_set(ws->loop, &ws->again, 0);
    }
}


static void
flux_websocket_request(flux_websocket_t *ws)
{
    char           *host, *port, *path, *query;
    flux_buffer_t   key;
    unsigned char   nonce[16];

    host = port = path = query = NULL;
    curl_url_get(ws->url, CURLUPART_HOST, &host, 0);
    curl_url_get(ws->url, CURLUPART_PORT, &port, 0);
    curl_url_get(ws->url, CURLUPART_PATH, &path, 0);
    curl_url_get(ws->url, CURLUPART_QUERY, &query, 0);

    flux_buffer_init(&key, 64);

    if (host != NULL && path != NULL
        && getrandom(nonce, sizeof(nonce), 0) == sizeof(nonce)
        && flux_base64_encode(&key, nonce, sizeof(nonce)) == FLUX_OK)
    {
        flux_copy_text(ws->key, sizeof(ws->key), key.data);

        flux_buffer_printf(&ws->out,
                           "GET %s%s%s HTTP/1.1\r\n"
                           "Host: %s%s%s\r\n"
                           "Upgrade: websocket\r\n"
                           "Connection: Upgrade\r\n"
                           "Sec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: %s\r\n"
                           "User-Agent: %s\r\n\r\n",
                           path, (query != NULL) ? "?" : "",
                           (query != NULL) ? query : "", host,
                           (port != NULL) ? ":" : "",
                           (port != NULL) ? port : "", ws->key,
                           ws->options.agent);
    }

    flux_buffer_free(&key);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_free(query);
}


static void
flux_websocket_connected(flux_transfer_t *transfer, CURLcode result)
{
    flux_websocket_t  *ws = (flux_websocket_t *) transfer;

    if (result != CURLE_OK) {
        flux_websocket_end(ws, (ws->error[0] != '\0')
                               ? ws->error : curl_easy_strerror(result));
        return;
    }

    if (curl_easy_getinfo(ws->easy, CURLINFO_ACTIVESOCKET, &ws->fd)
        != CURLE_OK || ws->fd == CURL_SOCKET_BAD)
    {
        ws->fd = CURL_SOCKET_BAD;
        flux_websocket_end(ws, "no connection");
        return;
    }

    ws->heard = flux_loop_now(ws->loop);
    flux_websocket_request(ws);

    if (ws->out.failed != FLUX_OK || ws->out.len == 0) {
        flux_websocket_end(ws, "out of memory");
        return;
    }

    flux_websocket_flush(ws);
}


static void
flux_websocket_watch(void *arg)
{
    int64_t            quiet;
    flux_websocket_t  *ws = arg;

    if (!ws->open) {
        flux_websocket_end(ws, "no handshake in time");
        return;
    }

    quiet = flux_loop_now(ws->loop) - ws->heard;

    if (quiet >= ws->options.silence_ms) {
        flux_websocket_end(ws, "silence");
        return;
    }

    if (quiet >= ws->options.silence_ms / 2 && !ws->pinged) {
        ws->pinged = 1;
        flux_websocket_frame(ws, FLUX_WS_PING, "flux", 4);
    }

    if (!ws->ended) {
        flux_timer_set(ws->loop, &ws->timer, ws->options.silence_ms / 8 + 1);
    }
}


/* curl is told http(s): with CURLOPT_CONNECT_ONLY it only connects */

static flux_rc_t
flux_websocket_setup(flux_websocket_t *ws)
{
    int          secure;
    char         text[1024];
    const char  *url;

    url = ws->options.url;
    secure = (strncasecmp(url, "wss://", 6) == 0);

    if (!secure && strncasecmp(url, "ws://", 5) != 0) {
        return FLUX_INVALID;
    }

    snprintf(text, sizeof(text), "%s%s", secure ? "https://" : "http://",
             url + (secure ? 6 : 5));

    ws->url = curl_url();
    ws->easy = curl_easy_init();

    if (ws->url == NULL || ws->easy == NULL
        || curl_url_set(ws->url, CURLUPART_URL, text, 0) != CURLUE_OK)
    {
        return FLUX_INVALID;
    }

    curl_easy_setopt(ws->easy, CURLOPT_URL, text);
    curl_easy_setopt(ws->easy, CURLOPT_PRIVATE, &ws->transfer);
    curl_easy_setopt(ws->easy, CURLOPT_ERRORBUFFER, ws->error);
    curl_easy_setopt(ws->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(ws->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(ws->easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(ws->easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(ws->easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
    curl_easy_setopt(ws->easy, CURLOPT_CONNECTTIMEOUT_MS,
                     ws->options.connect_ms);

    if (ws->options.ca != NULL) {
        curl_easy_setopt(ws->easy, CURLOPT_CAINFO, ws->options.ca);
    }

    return (curl_multi_add_handle(flux_loop_multi(ws->loop), ws->easy)
            == CURLM_OK) ? FLUX_OK : FLUX_ERROR;
}


flux_websocket_t *
flux_websocket_new(flux_loop_t *loop, const flux_websocket_options_t *options)
{
    flux_websocket_t  *ws;

    ws = calloc(1, sizeof(flux_websocket_t));
    if (ws == NULL) {
        return NULL;
    }

    ws->transfer.done = flux_websocket_connected;
    ws->loop = loop;
    ws->options = *options;
    ws->fd = CURL_SOCKET_BAD;

    /* a frame's head and what was read behind it are on top */

    flux_buffer_init(&ws->in, options->message_max + FLUX_WS_HEADER_MAX
                              + FLUX_WS_READ);
    flux_buffer_init(&ws->out, FLUX_WS_OUT_MAX);
    flux_buffer_init(&ws->message, options->message_max);
    flux_timer_init(&ws->timer, flux_websocket_watch, ws);
    flux_timer_init(&ws->again, flux_websocket_ready, ws);

    if (flux_websocket_setup(ws) != FLUX_OK) {
        flux_websocket_free(ws);
        return NULL;
    }

    flux_timer_set(loop, &ws->timer, options->connect_ms);

    return ws;
}


void
flux_websocket_free(flux_websocket_t *ws)
{
    if (ws == NULL) {
        return;
    }

    flux_timer_clear(ws->loop, &ws->timer);
    flux_timer_clear(ws->loop, &ws->again);

    if (ws->fd != CURL_SOCKET_BAD) {
        flux_loop_unwatch(ws->loop, ws->fd);
    }

    if (ws->easy != NULL) {
        curl_multi_remove_handle(flux_loop_multi(ws->loop), ws->easy);
        curl_easy_cleanup(ws->easy);
    }

    curl_url_cleanup(ws->url);
    flux_buffer_free(&ws->in);
    flux_buffer_free(&ws->out);
    flux_buffer_free(&ws->message);
    free(ws);
}
