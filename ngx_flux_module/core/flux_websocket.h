/*
 * WebSocket frames (RFC 6455), the server's side: the header of what is sent,
 * an incremental parser for what a client sends, and what to say to its offer
 * of compression.
 *
 * Nothing allocates; a parser belongs to whoever declares it.
 */

#ifndef FLUX_WEBSOCKET_H
#define FLUX_WEBSOCKET_H


#include <stddef.h>
#include <stdint.h>


/* opcodes, RFC 6455 section 5.2 */
#define FLUX_WS_OP_CONTINUATION  0x0
#define FLUX_WS_OP_TEXT          0x1
#define FLUX_WS_OP_BINARY        0x2
#define FLUX_WS_OP_CLOSE         0x8
#define FLUX_WS_OP_PING          0x9
#define FLUX_WS_OP_PONG          0xa

/* close codes, section 7.4.1 and IANA's registry */
#define FLUX_WS_NORMAL           1000
#define FLUX_WS_GOING_AWAY       1001
#define FLUX_WS_PROTOCOL         1002
#define FLUX_WS_UNSUPPORTED      1003
#define FLUX_WS_NO_STATUS        1005      /* never on the wire */
#define FLUX_WS_INVALID          1007
#define FLUX_WS_POLICY           1008
#define FLUX_WS_TOO_LARGE        1009
#define FLUX_WS_RESTART          1012
#define FLUX_WS_TRY_LATER        1013

#define FLUX_WS_HEADER_MAX       10        /* server to client: no mask */
#define FLUX_WS_CLIENT_MAX       14        /* client to server */
#define FLUX_WS_CONTROL_MAX      125

/* room for every parameter that the answer can have */
#define FLUX_WS_DEFLATE_ANSWER   112


typedef enum {
    FLUX_WS_AGAIN = 0,         /* all input consumed, nothing complete */
    FLUX_WS_TEXT,
    FLUX_WS_BINARY,
    FLUX_WS_PING,
    FLUX_WS_PONG,
    FLUX_WS_CLOSE,
    FLUX_WS_ERROR
} flux_ws_event_t;


typedef struct flux_ws_parser_s  flux_ws_parser_t;

/* what the caller may read is named in flux_ws_parse(), the rest is private */
struct flux_ws_parser_s {
    size_t    max;
    size_t    length;          /* of the message, as far as it is in buf */
    size_t    checked;         /* of it, whole UTF-8 sequences */
    uint64_t  payload;         /* of the frame, still to come */

    uint16_t  close_code;
    uint8_t   control_length;
    uint8_t   header_length;

    uint8_t   state;
    uint8_t   message;         /* opcode of the message, 0 between two */
    uint8_t   turn;            /* which byte of the mask is next */

    unsigned  deflate:1;
    unsigned  compressed:1;

    uint8_t   mask[4];
    uint8_t   header[FLUX_WS_CLIENT_MAX];
    uint8_t   control[FLUX_WS_CONTROL_MAX];
};


/*
 * Writes the header of an unmasked frame with FIN set, at most
 * FLUX_WS_HEADER_MAX bytes, and returns its length. rsv1 is 0 or 1.
 */
size_t flux_ws_header(uint8_t *dst, unsigned opcode, unsigned rsv1,
    uint64_t payload);

/* what was agreed on, RFC 7692 section 7.1 */
typedef struct {
    unsigned  alone:1;         /* each message to this client is compressed
                                  alone: server_no_context_takeover, or a
                                  window too small for the stream */
    size_t    length;          /* of the answer; 0: nothing was agreed on */
    char      answer[FLUX_WS_DEFLATE_ANSWER];
} flux_ws_deflate_t;

/*
 * Chooses from what a Sec-WebSocket-Extensions header offers the first
 * permessage-deflate that a server can keep whose messages refer back at most
 * 1 << window_bits bytes, or 1 << alone_bits where each is compressed alone.
 * d->answer is then the value of the header to answer with. It always asks for
 * client_no_context_takeover, so that no inflater needs to be kept per client.
 * Returns 1 if there is one.
 */
int flux_ws_accept_deflate(flux_ws_deflate_t *d, const char *offers,
    size_t len, unsigned window_bits, unsigned alone_bits);

/*
 * max: the largest message taken, as it is on the wire (before inflating).
 * deflate: permessage-deflate was negotiated, RSV1 is allowed.
 */
void flux_ws_parser_init(flux_ws_parser_t *p, size_t max, int deflate);

/*
 * Consumes input, advancing *in and reducing *len, until one event:
 *
 *   TEXT, BINARY  a whole message, unmasked, stands in buf: p->length bytes.
 *                 p->compressed says that they are to be inflated (then text
 *                 was not yet checked to be UTF-8).
 *   PING, PONG    p->control_length bytes in p->control. May come between
 *                 the fragments of a message, which stays in buf.
 *   CLOSE         p->close_code (FLUX_WS_NO_STATUS when there was none) and
 *                 in p->control the payload: two bytes of code, then UTF-8.
 *                 Later input is thrown away: AGAIN.
 *   ERROR         p->close_code says what to close with: 1002, 1007 or 1009.
 *                 So does every later call.
 *   AGAIN         *len is 0.
 *
 * Text is checked as it comes: an error is told with the first byte that is
 * wrong, not at the message's end.
 *
 * buf has room for min(max, p->length + *len) bytes. It may be another one
 * in the next call if the first p->length bytes are the same; after TEXT and
 * BINARY, or when p->length is 0, nothing needs to be kept.
 */
flux_ws_event_t flux_ws_parse(flux_ws_parser_t *p, uint8_t *buf,
    const uint8_t **in, size_t *len);

/* 1: it stands between two messages, and a new parser would do as well */
int flux_ws_idle(const flux_ws_parser_t *p);


#endif /* FLUX_WEBSOCKET_H */
