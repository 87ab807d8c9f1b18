#include <string.h>

#include "flux_websocket.h"
#include "flux_utf8.h"


#define WS_FIN      0x80
#define WS_RSV1     0x40
#define WS_RSV23    0x30
#define WS_OPCODE   0x0f
#define WS_CONTROL  0x08       /* the opcode's bit of control frames */
#define WS_MASKED   0x80
#define WS_LENGTH   0x7f

/* the 7-bit lengths that stand for a longer one behind it */
#define WS_16BIT    126
#define WS_64BIT    127


enum {
    WS_HEADER = 0,
    WS_PAYLOAD,
    WS_CLOSED,
    WS_FAILED
};


size_t
flux_ws_header(uint8_t *dst, unsigned opcode, unsigned rsv1, uint64_t payload)
{
    int  shift;

    dst[0] = (uint8_t) (WS_FIN | (rsv1 ? WS_RSV1 : 0) | (opcode & WS_OPCODE));

    if (payload < WS_16BIT) {
        dst[1] = (uint8_t) payload;
        return 2;
    }

    if (payload <= UINT16_MAX) {
        dst[1] = WS_16BIT;
        dst[2] = (uint8_t) (payload >> 8);
        dst[3] = (uint8_t) payload;
        return 4;
    }

    dst[1] = WS_64BIT;

    for (shift = 56; shift >= 0; shift -= 8) {
        dst[9 - shift / 8] = (uint8_t) (payload >> shift);
    }

    return 10;
}


void
flux_ws_parser_init(flux_ws_parser_t *p, size_t max, int deflate)
{
    memset(p, 0, sizeof(flux_ws_parser_t));

    p->max = max;
    p->deflate = (deflate != 0);
}


static flux_ws_event_t
ws_fail(flux_ws_parser_t *p, uint16_t code)
{
    p->state = WS_FAILED;
    p->close_code = code;

    return FLUX_WS_ERROR;
}


static int
ws_is_control(const flux_ws_parser_t *p)
{
    return p->header[0] & WS_CONTROL;
}


static size_t
ws_header_size(const flux_ws_parser_t *p)
{
    switch (p->header[1] & WS_LENGTH) {

    case WS_16BIT:
        return 2 + 2 + 4;

    case WS_64BIT:
        return 2 + 8 + 4;
    }

    return 2 + 4;
}


/* may a frame begin so? RFC 6455 sections 5.2, 5.4 and 5.5, RFC 7692 6 */
static int
ws_start_valid(const flux_ws_parser_t *p)
{
    unsigned  first = p->header[0], second = p->header[1];

    if ((first & WS_RSV23) || !(second & WS_MASKED)) {
        return 0;
    }

    switch (first & WS_OPCODE) {

    case FLUX_WS_OP_CONTINUATION:
        return p->message && !(first & WS_RSV1);

    case FLUX_WS_OP_TEXT:
    case FLUX_WS_OP_BINARY:
        return !p->message && (p->deflate || !(first & WS_RSV1));

    case FLUX_WS_OP_CLOSE:
    case FLUX_WS_OP_PING:
    case FLUX_WS_OP_PONG:
        return (first & WS_FIN) && !(first & WS_RSV1)
               && (second & WS_LENGTH) <= FLUX_WS_CONTROL_MAX;
    }

    return 0;
}


/* returns 0 when the length is not written as short as it can be */
static int
ws_payload_length(flux_ws_parser_t *p)
{
    size_t    i;
    uint64_t  length, least;

    switch (p->header[1] & WS_LENGTH) {

    case WS_16BIT:
        least = WS_16BIT;
        break;

    case WS_64BIT:
        least = UINT16_MAX + 1;
        break;

    default:
        p->payload = p->header[1] & WS_LENGTH;
        return 1;
    }

    length = 0;

    for (i = 2; i < p->header_length - sizeof(p->mask); i++) {
        length = length << 8 | p->header[i];
    }

    p->payload = length;

    return length >= least && length <= INT64_MAX;
}


/* the header is whole */
static flux_ws_event_t
ws_frame_begins(flux_ws_parser_t *p)
{
    if (!ws_payload_length(p)) {
        return ws_fail(p, FLUX_WS_PROTOCOL);
    }

    memcpy(p->mask, p->header + p->header_length - sizeof(p->mask),
           sizeof(p->mask));
    p->turn = 0;
    p->state = WS_PAYLOAD;

    if (ws_is_control(p)) {
        p->control_length = 0;
        return FLUX_WS_AGAIN;
    }

    if (!p->message) {
        p->message = p->header[0] & WS_OPCODE;
        p->compressed = ((p->header[0] & WS_RSV1) != 0);
    }

    if (p->payload > p->max - p->length) {
        return ws_fail(p, FLUX_WS_TOO_LARGE);
    }

    return FLUX_WS_AGAIN;
}


static flux_ws_event_t
ws_read_header(flux_ws_parser_t *p, const uint8_t **in, size_t *len)
{
    while (*len) {
        p->header[p->header_length++] = *(*in)++;
        (*len)--;

        if (p->header_length < 2) {
            continue;
        }

        if (p->header_length == 2 && !ws_start_valid(p)) {
            return ws_fail(p, FLUX_WS_PROTOCOL);
        }

        if (p->header_length == ws_header_size(p)) {
            return ws_frame_begins(p);
        }
    }

    return FLUX_WS_AGAIN;
}


static void
ws_unmask(flux_ws_parser_t *p, uint8_t *dst, const uint8_t *src, size_t len)
{
    size_t    i;
    uint8_t   key[8];
    uint64_t  keys, word;

    for (i = 0; i < sizeof(key); i++) {
        key[i] = p->mask[(p->turn + i) % sizeof(p->mask)];
    }

    p->turn = (uint8_t) ((p->turn + len) % sizeof(p->mask));

    memcpy(&keys, key, sizeof(keys));

    for ( /* void */ ; len >= sizeof(word); len -= sizeof(word)) {
        memcpy(&word, src, sizeof(word));
        word ^= keys;
        memcpy(dst, &word, sizeof(word));

        src += sizeof(word);
        dst += sizeof(word);
    }

    for (i = 0; i < len; i++) {
        dst[i] = src[i] ^ key[i];
    }
}


/* 0 once the text cannot become UTF-8 any more */
static int
ws_text_valid(flux_ws_parser_t *p, const uint8_t *buf)
{
    const uint8_t  *at, *end;

    if (p->checked == p->length) {
        return 1;
    }

    end = buf + p->length;
    at = flux_utf8_prefix(buf + p->checked, end);
    p->checked = (size_t) (at - buf);

    return at == end || flux_utf8_sequence(at, end) == 0;
}


static flux_ws_event_t
ws_read_payload(flux_ws_parser_t *p, uint8_t *buf, const uint8_t **in,
    size_t *len)
{
    size_t  n;

    n = (*len < p->payload) ? *len : (size_t) p->payload;

    if (n == 0) {
        return FLUX_WS_AGAIN;
    }

    if (ws_is_control(p)) {
        ws_unmask(p, p->control + p->control_length, *in, n);
        p->control_length += (uint8_t) n;

    } else {
        ws_unmask(p, buf + p->length, *in, n);
        p->length += n;
    }

    *in += n;
    *len -= n;
    p->payload -= n;

    if (!ws_is_control(p) && p->message == FLUX_WS_OP_TEXT && !p->compressed
        && !ws_text_valid(p, buf))
    {
        return ws_fail(p, FLUX_WS_INVALID);
    }

    return FLUX_WS_AGAIN;
}


/* may a peer send it? RFC 6455 section 7.4 and IANA's registry */
static int
ws_close_code_valid(unsigned code)
{
    return (code >= 1000 && code <= 1003)
           || (code >= 1007 && code <= 1014)
           || (code >= 3000 && code <= 4999);
}


static flux_ws_event_t
ws_close(flux_ws_parser_t *p)
{
    const uint8_t  *reason, *end;

    if (p->control_length == 0) {
        p->state = WS_CLOSED;
        p->close_code = FLUX_WS_NO_STATUS;
        return FLUX_WS_CLOSE;
    }

    if (p->control_length == 1) {
        return ws_fail(p, FLUX_WS_PROTOCOL);
    }

    p->close_code = (uint16_t) (p->control[0] << 8 | p->control[1]);

    if (!ws_close_code_valid(p->close_code)) {
        return ws_fail(p, FLUX_WS_PROTOCOL);
    }

    reason = p->control + 2;
    end = p->control + p->control_length;

    if (flux_utf8_prefix(reason, end) != end) {
        return ws_fail(p, FLUX_WS_INVALID);
    }

    p->state = WS_CLOSED;

    return FLUX_WS_CLOSE;
}


/* AGAIN: it was a fragment, there are more */
static flux_ws_event_t
ws_frame_ends(flux_ws_parser_t *p)
{
    unsigned  message;

    p->state = WS_HEADER;
    p->header_length = 0;

    switch (p->header[0] & WS_OPCODE) {

    case FLUX_WS_OP_PING:
        return FLUX_WS_PING;

    case FLUX_WS_OP_PONG:
        return FLUX_WS_PONG;

    case FLUX_WS_OP_CLOSE:
        return ws_close(p);
    }

    if (!(p->header[0] & WS_FIN)) {
        return FLUX_WS_AGAIN;
    }

    message = p->message;
    p->message = 0;

    if (message == FLUX_WS_OP_BINARY) {
        return FLUX_WS_BINARY;
    }

    if (!p->compressed && p->checked != p->length) {
        return ws_fail(p, FLUX_WS_INVALID);
    }

    return FLUX_WS_TEXT;
}


int
flux_ws_idle(const flux_ws_parser_t *p)
{
    return p->state == WS_HEADER && p->header_length == 0 && p->message == 0;
}


flux_ws_event_t
flux_ws_parse(flux_ws_parser_t *p, uint8_t *buf, const uint8_t **in,
    size_t *len)
{
    flux_ws_event_t  event;

    if (!p->message) {
        p->length = 0;
        p->checked = 0;
    }

    for ( ;; ) {

        switch (p->state) {

        case WS_HEADER:
            event = ws_read_header(p, in, len);
            break;

        case WS_PAYLOAD:
            event = ws_read_payload(p, buf, in, len);
            break;

        default:
            if (*len) {
                *in += *len;
                *len = 0;
            }

            return (p->state == WS_CLOSED) ? FLUX_WS_AGAIN : FLUX_WS_ERROR;
        }

        if (event == FLUX_WS_AGAIN
            && p->state == WS_PAYLOAD && p->payload == 0)
        {
            event = ws_frame_ends(p);
        }

        if (event != FLUX_WS_AGAIN || *len == 0) {
            return event;
        }
    }
}
