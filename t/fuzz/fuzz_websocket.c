/*
 * The WebSocket parser says the same however its input is cut, keeps to its
 * buffer, and after what it calls whole stands what it promised. An offer of
 * compression may be anything, too.
 *
 * Input: flags, the limit, the seed of the cuts, then what the client sends.
 */

#include "fuzz.h"
#include "flux_json.h"
#include "flux_websocket.h"


#define FLAG_DEFLATE  0x01
#define FLAG_FAIR     0x02     /* the mask bit is put in where it is missing */


typedef struct {
    uint8_t  *bytes;
    size_t    length;
    size_t    size;
} trace_t;


static void
trace(trace_t *t, const void *p, size_t len)
{
    if (len > t->size - t->length) {
        t->size = 2 * (t->length + len);
        t->bytes = realloc(t->bytes, t->size);
        must(t->bytes != NULL);
    }

    if (len) {
        memcpy(t->bytes + t->length, p, len);
        t->length += len;
    }
}


static void
check_event(flux_ws_event_t event, const flux_ws_parser_t *p,
    const uint8_t *buf)
{
    switch (event) {

    case FLUX_WS_TEXT:
        must(p->compressed || flux_utf8_valid(buf, p->length));
        /* fall through */

    case FLUX_WS_BINARY:
        must(p->length <= p->max);
        must(p->deflate || !p->compressed);
        break;

    case FLUX_WS_PING:
    case FLUX_WS_PONG:
        must(p->control_length <= FLUX_WS_CONTROL_MAX);
        break;

    case FLUX_WS_CLOSE:
        must(p->control_length >= 2
             ? flux_utf8_valid(p->control + 2, p->control_length - 2u)
             : p->close_code == FLUX_WS_NO_STATUS);
        break;

    case FLUX_WS_ERROR:
        must(p->close_code == FLUX_WS_PROTOCOL
             || p->close_code == FLUX_WS_INVALID
             || p->close_code == FLUX_WS_TOO_LARGE);
        break;

    case FLUX_WS_AGAIN:
        break;
    }
}


static void
trace_event(trace_t *t, flux_ws_event_t event, const flux_ws_parser_t *p,
    const uint8_t *buf)
{
    uint8_t  kind = (uint8_t) event;

    trace(t, &kind, 1);

    switch (event) {

    case FLUX_WS_TEXT:
    case FLUX_WS_BINARY:
        trace(t, &p->length, sizeof(p->length));
        trace(t, buf, p->length);
        break;

    case FLUX_WS_PING:
    case FLUX_WS_PONG:
        trace(t, p->control, p->control_length);
        break;

    default:
        trace(t, &p->close_code, sizeof(p->close_code));
    }
}


/* the buffer is made anew for each piece, no larger than promised */
static uint8_t *
buffer(const flux_ws_parser_t *p, uint8_t *old, size_t len)
{
    size_t    size;
    uint8_t  *buf;

    size = (p->length + len < p->max) ? p->length + len : p->max;
    buf = must_alloc(size);

    if (p->length) {
        memcpy(buf, old, p->length);
    }

    free(old);

    return buf;
}


static void
run(const uint8_t *in, size_t len, size_t max, int deflate, uint8_t cuts,
    trace_t *t)
{
    size_t            n, piece;
    uint8_t          *buf = NULL, *copy;
    const uint8_t    *at;
    flux_ws_event_t   event;
    flux_ws_parser_t  p;

    flux_ws_parser_init(&p, max, deflate);

    do {
        cuts = (uint8_t) (cuts * 5 + (cuts ? 1 : 0));
        piece = (cuts && cuts % 16u < len) ? cuts % 16u : len;

        copy = must_alloc(piece);
        memcpy(copy, in, piece);
        buf = buffer(&p, buf, piece);

        at = copy;
        n = piece;

        do {
            event = flux_ws_parse(&p, buf, &at, &n);
            must(at + n == copy + piece);
            check_event(event, &p, buf);

            if (event != FLUX_WS_AGAIN) {
                trace_event(t, event, &p, buf);
            }

        } while (event != FLUX_WS_AGAIN && event != FLUX_WS_ERROR);

        must(event == FLUX_WS_ERROR || n == 0);
        free(copy);

        in += piece;
        len -= piece;

    } while (len && event != FLUX_WS_ERROR);

    free(buf);
}


/* the input as the header of an offer; what is answered is whole */
static void
accept_anything(const uint8_t *data, size_t size)
{
    char               *offers = must_alloc(size);
    flux_ws_deflate_t   d;

    memcpy(offers, data, size);

    if (flux_ws_accept_deflate(&d, offers, size, 15, 13)) {
        must(d.length > 0 && d.length < sizeof(d.answer));
        must(memmem(offers, size, "permessage-deflate", 18) != NULL);
        must(d.alone == (strstr(d.answer, "server_no_context") != NULL
                         || strstr(d.answer, "bits=13") != NULL));

    } else {
        must(d.length == 0);
    }

    free(offers);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int       deflate;
    size_t    max;
    uint8_t   cuts, *in;
    trace_t   whole = { NULL, 0, 0 }, split = { NULL, 0, 0 };

    if (size < 4) {
        return 0;
    }

    accept_anything(data, size);

    deflate = data[0] & FLAG_DEFLATE;
    max = data[1] * 4u;
    cuts = data[2] | 1;

    in = must_alloc(size - 3);
    memcpy(in, data + 3, size - 3);

    if ((data[0] & FLAG_FAIR) && size > 4) {
        in[1] |= 0x80;
    }

    run(in, size - 3, max, deflate, 0, &whole);
    run(in, size - 3, max, deflate, cuts, &split);

    must(whole.length == split.length);
    must(whole.length == 0
         || memcmp(whole.bytes, split.bytes, whole.length) == 0);

    free(split.bytes);
    free(whole.bytes);
    free(in);

    return 0;
}
