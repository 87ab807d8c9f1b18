/*
 * A WebSocket client (RFC 6455, version 13) over a connection that curl made:
 * TLS, proxies and time-outs are curl's, the frames are ours. So it works
 * with every libcurl, not only with those that speak ws themselves.
 *
 * One connection, once: reconnecting is the owner's business.
 */

#ifndef FLUX_WEBSOCKET_H
#define FLUX_WEBSOCKET_H

#include "flux_buffer.h"
#include "flux_loop.h"

typedef struct flux_websocket_s  flux_websocket_t;

typedef struct {
    const char  *url;               /* ws:// or wss:// */
    const char  *agent;
    const char  *ca;                /* a CA file, or NULL: the system's */
    long         connect_ms;        /* until the handshake is over */
    int64_t      silence_ms;        /* without a byte for so long it is dead;
                                       a ping goes out after half of it */
    size_t       message_max;

    /* the handshake is over */
    void       (*opened)(void *arg);

    /* a text or binary message, whole */
    void       (*message)(void *arg, const char *text, size_t len);

    /* the end, called once; the WebSocket is to be freed afterwards, not in
       this call or in message. why: text for a person */
    void       (*closed)(void *arg, const char *why);
    void        *arg;
} flux_websocket_options_t;

/* NULL: no memory, or url is none. Texts of options are copied as needed. */
flux_websocket_t *flux_websocket_new(flux_loop_t *loop,
    const flux_websocket_options_t *options);

/* Any time but in its own callbacks; closed is not called. */
void flux_websocket_free(flux_websocket_t *ws);

/* A text message. FLUX_FULL or FLUX_NOMEM; FLUX_AGAIN before opened. */
flux_rc_t flux_websocket_send(flux_websocket_t *ws, const char *text,
    size_t len);

/* For its tests: base64(SHA-1(key + GUID)), NUL-terminated. */
void flux_websocket_accept(const char *key, char out[32]);

#endif /* FLUX_WEBSOCKET_H */
