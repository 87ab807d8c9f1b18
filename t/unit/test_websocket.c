#include "unit.h"
#include "flux_websocket.h"


#define FIN   0x80
#define RSV1  0x40

#define TRACE_MAX  4096


/* what a parser said, one event after the other, to be compared */
typedef struct {
    size_t   length;
    uint8_t  bytes[TRACE_MAX];
} trace_t;


static const uint8_t  key[4] = { 0x37, 0xfa, 0x21, 0x3d };


/* appends a masked frame as a client sends it; returns its end */
static uint8_t *
put_frame(uint8_t *p, unsigned first, const void *payload, size_t len)
{
    size_t  i;

    *p++ = (uint8_t) first;

    if (len < 126) {
        *p++ = (uint8_t) (0x80 | len);

    } else if (len < 65536) {
        *p++ = 0x80 | 126;
        *p++ = (uint8_t) (len >> 8);
        *p++ = (uint8_t) len;

    } else {
        *p++ = 0x80 | 127;

        for (i = 0; i < 8; i++) {
            *p++ = (uint8_t) ((uint64_t) len >> (56 - 8 * i));
        }
    }

    memcpy(p, key, sizeof(key));
    p += sizeof(key);

    for (i = 0; i < len; i++) {
        *p++ = ((const uint8_t *) payload)[i] ^ key[i % 4];
    }

    return p;
}


static void
trace(trace_t *t, const void *p, size_t len)
{
    assert_true(len <= TRACE_MAX - t->length);

    if (len) {
        memcpy(t->bytes + t->length, p, len);
        t->length += len;
    }
}


static void
trace_event(trace_t *t, flux_ws_event_t event, const flux_ws_parser_t *p,
    const uint8_t *buf)
{
    uint8_t   kind = (uint8_t) event;
    uint16_t  code = p->close_code;

    trace(t, &kind, 1);

    switch (event) {

    case FLUX_WS_TEXT:
    case FLUX_WS_BINARY:
        kind = p->compressed;
        trace(t, &kind, 1);
        trace(t, &p->length, sizeof(p->length));
        trace(t, buf, p->length);
        break;

    case FLUX_WS_CLOSE:
        trace(t, &code, sizeof(code));
        trace(t, &p->control_length, 1);
        trace(t, p->control, p->control_length);
        break;

    case FLUX_WS_PING:
    case FLUX_WS_PONG:
        trace(t, &p->control_length, 1);
        trace(t, p->control, p->control_length);
        break;

    default:
        trace(t, &code, sizeof(code));
    }
}


/* feeds one piece in memory of its own; returns 0 after an error */
static int
feed(flux_ws_parser_t *p, uint8_t *buf, const uint8_t *in, size_t len,
    trace_t *t)
{
    uint8_t          *piece = exact_copy(in, len);
    const uint8_t    *at = piece;
    flux_ws_event_t   event;

    do {
        event = flux_ws_parse(p, buf, &at, &len);

        if (event != FLUX_WS_AGAIN) {
            trace_event(t, event, p, buf);
        }

    } while (event != FLUX_WS_AGAIN && event != FLUX_WS_ERROR);

    if (event == FLUX_WS_AGAIN) {
        assert_int_equal(len, 0);
    }

    free(piece);

    return event == FLUX_WS_AGAIN;
}


/* the input in pieces of `step` bytes, 0: at once */
static void
run(const uint8_t *in, size_t len, size_t step, size_t max, int deflate,
    trace_t *t)
{
    size_t            n;
    uint8_t          *buf;
    flux_ws_parser_t  p;

    buf = malloc(max ? max : 1);
    assert_non_null(buf);

    t->length = 0;
    flux_ws_parser_init(&p, max, deflate);

    do {
        n = (step && step < len) ? step : len;

        if (!feed(&p, buf, in, n, t)) {
            break;
        }

        in += n;
        len -= n;

    } while (len);

    free(buf);
}


static void
assert_alike_however_split(const uint8_t *in, size_t len, size_t max,
    int deflate)
{
    size_t   step;
    trace_t  whole, split;

    run(in, len, 0, max, deflate, &whole);

    for (step = 1; step < len; step++) {
        run(in, len, step, max, deflate, &split);

        assert_int_equal(split.length, whole.length);
        assert_memory_equal(split.bytes, whole.bytes, whole.length);
    }
}


/* the last event is an error with this code, however the input is split */
static void
assert_fails(const uint8_t *in, size_t len, size_t max, int deflate,
    unsigned code)
{
    trace_t   t;
    uint16_t  told;

    run(in, len, 0, max, deflate, &t);

    assert_true(t.length >= 3);
    assert_int_equal(t.bytes[t.length - 3], FLUX_WS_ERROR);

    memcpy(&told, t.bytes + t.length - 2, sizeof(told));
    assert_int_equal(told, code);

    assert_alike_however_split(in, len, max, deflate);
}


static void
assert_frame_fails(unsigned first, const char *payload, size_t len,
    unsigned code)
{
    uint8_t  in[256];

    assert_fails(in, (size_t) (put_frame(in, first, payload, len) - in),
                 1024, 0, code);
}


static void
test_header_has_the_shortest_length(void **state)
{
    uint8_t  p[FLUX_WS_HEADER_MAX];

    (void) state;

    assert_int_equal(flux_ws_header(p, FLUX_WS_OP_TEXT, 0, 0), 2);
    assert_memory_equal(p, "\x81\x00", 2);

    assert_int_equal(flux_ws_header(p, FLUX_WS_OP_TEXT, 1, 125), 2);
    assert_memory_equal(p, "\xc1\x7d", 2);

    assert_int_equal(flux_ws_header(p, FLUX_WS_OP_BINARY, 0, 126), 4);
    assert_memory_equal(p, "\x82\x7e\x00\x7e", 4);

    assert_int_equal(flux_ws_header(p, FLUX_WS_OP_TEXT, 0, 65535), 4);
    assert_memory_equal(p, "\x81\x7e\xff\xff", 4);

    assert_int_equal(flux_ws_header(p, FLUX_WS_OP_TEXT, 0, 65536), 10);
    assert_memory_equal(p, "\x81\x7f\0\0\0\0\0\x01\0\0", 10);

    assert_int_equal(flux_ws_header(p, FLUX_WS_OP_PING, 0,
                                    0x0102030405060708), 10);
    assert_memory_equal(p, "\x89\x7f\x01\x02\x03\x04\x05\x06\x07\x08", 10);
}


/* RFC 6455 section 5.7 */
static void
test_the_example_of_the_rfc_is_read(void **state)
{
    static const uint8_t  hello[] = { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                                      0x7f, 0x9f, 0x4d, 0x51, 0x58 };
    size_t                len = sizeof(hello);
    uint8_t               buf[5];
    const uint8_t        *in = hello;
    flux_ws_parser_t      p;

    (void) state;

    flux_ws_parser_init(&p, sizeof(buf), 0);

    assert_int_equal(flux_ws_parse(&p, buf, &in, &len), FLUX_WS_TEXT);
    assert_int_equal(p.length, 5);
    assert_memory_equal(buf, "Hello", 5);
    assert_int_equal(len, 0);

    assert_int_equal(flux_ws_parse(&p, buf, &in, &len), FLUX_WS_AGAIN);
    assert_int_equal(p.length, 0);
}


static void
test_control_frames_may_come_between_fragments(void **state)
{
    trace_t           t, expected = { 0, { 0 } };
    uint8_t           in[256], *end;
    flux_ws_parser_t  p;

    (void) state;

    end = put_frame(in, FLUX_WS_OP_TEXT, "\xe2\x82", 2);
    end = put_frame(end, FIN | FLUX_WS_OP_PING, "ping", 4);
    end = put_frame(end, FLUX_WS_OP_CONTINUATION, "", 0);
    end = put_frame(end, FIN | FLUX_WS_OP_PONG, "", 0);
    end = put_frame(end, FIN | FLUX_WS_OP_CONTINUATION, "\xac!", 2);
    end = put_frame(end, FIN | FLUX_WS_OP_BINARY, "\xff", 1);
    end = put_frame(end, FIN | FLUX_WS_OP_TEXT, "", 0);
    end = put_frame(end, FIN | FLUX_WS_OP_CLOSE, "\x03\xe8" "bye", 5);
    end = put_frame(end, FIN | FLUX_WS_OP_TEXT, "late", 4);

    run(in, (size_t) (end - in), 0, 16, 0, &t);

    flux_ws_parser_init(&p, 16, 0);

    p.control_length = 4;
    memcpy(p.control, "ping", 4);
    trace_event(&expected, FLUX_WS_PING, &p, NULL);

    p.control_length = 0;
    trace_event(&expected, FLUX_WS_PONG, &p, NULL);

    p.length = 4;
    trace_event(&expected, FLUX_WS_TEXT, &p, (uint8_t *) "\xe2\x82\xac!");

    p.length = 1;
    trace_event(&expected, FLUX_WS_BINARY, &p, (uint8_t *) "\xff");

    p.length = 0;
    trace_event(&expected, FLUX_WS_TEXT, &p, NULL);

    p.control_length = 5;
    memcpy(p.control, "\x03\xe8" "bye", 5);
    p.close_code = FLUX_WS_NORMAL;
    trace_event(&expected, FLUX_WS_CLOSE, &p, NULL);

    assert_int_equal(t.length, expected.length);
    assert_memory_equal(t.bytes, expected.bytes, t.length);

    assert_alike_however_split(in, (size_t) (end - in), 16, 0);
}


static void
test_every_length_is_read(void **state)
{
    static const size_t  lengths[] = { 0, 1, 7, 8, 9, 125, 126, 127, 65535,
                                       65536, 70001 };
    size_t               i, len;
    uint8_t             *in, *buf, *payload;
    const uint8_t       *at;
    flux_ws_parser_t     p;

    (void) state;

    for (i = 0; i < countof(lengths); i++) {
        payload = malloc(lengths[i] + 1);
        buf = malloc(lengths[i] + 1);
        in = malloc(lengths[i] + FLUX_WS_CLIENT_MAX);
        assert_true(payload && buf && in);

        for (len = 0; len < lengths[i]; len++) {
            payload[len] = (uint8_t) (len * 31);
        }

        at = in;
        len = (size_t) (put_frame(in, FIN | FLUX_WS_OP_BINARY, payload,
                                  lengths[i]) - in);

        flux_ws_parser_init(&p, lengths[i], 0);

        assert_int_equal(flux_ws_parse(&p, buf, &at, &len), FLUX_WS_BINARY);
        assert_int_equal(p.length, lengths[i]);
        assert_memory_equal(buf, payload, lengths[i]);

        free(in);
        free(buf);
        free(payload);
    }
}


static void
test_lengths_have_one_spelling(void **state)
{
    static const char  cases[][14] = {
        "\x82\xfe\x00\x7dmask",
        "\x82\xff\0\0\0\0\0\0\xff\xff",
        "\x82\xff\x80\0\0\0\0\0\0\0",
    };
    size_t             i;
    uint8_t            in[14];

    (void) state;

    for (i = 0; i < countof(cases); i++) {
        memcpy(in, cases[i], sizeof(in));
        assert_fails(in, (i == 0) ? 8 : 14, 1 << 20, 0, FLUX_WS_PROTOCOL);
    }
}


static void
test_protocol_errors_are_1002(void **state)
{
    uint8_t   in[256], *end;
    unsigned  opcode;

    (void) state;

    /* not masked */
    assert_fails((const uint8_t *) "\x81\x01" "a", 3, 16, 0,
                 FLUX_WS_PROTOCOL);

    for (opcode = 0; opcode < 16; opcode++) {
        if ((opcode > FLUX_WS_OP_BINARY && opcode < FLUX_WS_OP_CLOSE)
            || opcode > FLUX_WS_OP_PONG || opcode == 0)
        {
            assert_frame_fails(FIN | opcode, "", 0, FLUX_WS_PROTOCOL);
        }
    }

    assert_frame_fails(FIN | 0x40 | FLUX_WS_OP_TEXT, "", 0, FLUX_WS_PROTOCOL);
    assert_frame_fails(FIN | 0x20 | FLUX_WS_OP_TEXT, "", 0, FLUX_WS_PROTOCOL);
    assert_frame_fails(FIN | 0x10 | FLUX_WS_OP_TEXT, "", 0, FLUX_WS_PROTOCOL);

    /* control frames: whole, short, not compressed */
    assert_frame_fails(FLUX_WS_OP_PING, "", 0, FLUX_WS_PROTOCOL);
    end = put_frame(in, FIN | FLUX_WS_OP_PING, in, 126);
    assert_fails(in, (size_t) (end - in), 1024, 0, FLUX_WS_PROTOCOL);
    end = put_frame(in, FIN | RSV1 | FLUX_WS_OP_PING, "", 0);
    assert_fails(in, (size_t) (end - in), 1024, 1, FLUX_WS_PROTOCOL);

    /* a message within a message; RSV1 not in its first frame */
    end = put_frame(in, FLUX_WS_OP_TEXT, "a", 1);
    end = put_frame(end, FIN | FLUX_WS_OP_TEXT, "b", 1);
    assert_fails(in, (size_t) (end - in), 1024, 0, FLUX_WS_PROTOCOL);

    end = put_frame(in, RSV1 | FLUX_WS_OP_TEXT, "a", 1);
    end = put_frame(end, FIN | RSV1 | FLUX_WS_OP_CONTINUATION, "b", 1);
    assert_fails(in, (size_t) (end - in), 1024, 1, FLUX_WS_PROTOCOL);

    /* a continuation of nothing, after a whole message */
    end = put_frame(in, FIN | FLUX_WS_OP_TEXT, "a", 1);
    end = put_frame(end, FIN | FLUX_WS_OP_CONTINUATION, "b", 1);
    assert_fails(in, (size_t) (end - in), 1024, 0, FLUX_WS_PROTOCOL);
}


static void
test_compressed_messages_are_marked_and_not_checked_as_text(void **state)
{
    size_t            len;
    uint8_t           in[64], buf[16], *end;
    const uint8_t    *at = in;
    flux_ws_parser_t  p;

    (void) state;

    end = put_frame(in, RSV1 | FLUX_WS_OP_TEXT, "\xff", 1);
    end = put_frame(end, FIN | FLUX_WS_OP_CONTINUATION, "\xfe", 1);
    end = put_frame(end, FIN | FLUX_WS_OP_TEXT, "a", 1);
    len = (size_t) (end - in);

    flux_ws_parser_init(&p, sizeof(buf), 1);

    assert_int_equal(flux_ws_parse(&p, buf, &at, &len), FLUX_WS_TEXT);
    assert_true(p.compressed);
    assert_int_equal(p.length, 2);

    assert_int_equal(flux_ws_parse(&p, buf, &at, &len), FLUX_WS_TEXT);
    assert_false(p.compressed);
    assert_int_equal(p.length, 1);

    assert_alike_however_split(in, (size_t) (end - in), 16, 1);
}


static void
test_close_codes(void **state)
{
    static const unsigned  valid[] = { 1000, 1001, 1002, 1003, 1007, 1008,
                                       1009, 1010, 1011, 1012, 1013, 1014,
                                       3000, 3999, 4000, 4999 };
    static const unsigned  wrong[] = { 0, 999, 1004, 1005, 1006, 1015, 1016,
                                       1100, 2000, 2999, 5000, 65535 };
    char                   code[2];
    size_t                 i, len;
    uint8_t                in[16];
    const uint8_t         *at;
    flux_ws_parser_t       p;

    (void) state;

    for (i = 0; i < countof(valid); i++) {
        code[0] = (char) (valid[i] >> 8);
        code[1] = (char) valid[i];
        at = in;
        len = (size_t) (put_frame(in, FIN | FLUX_WS_OP_CLOSE, code, 2) - in);

        flux_ws_parser_init(&p, 0, 0);
        assert_int_equal(flux_ws_parse(&p, NULL, &at, &len), FLUX_WS_CLOSE);
        assert_int_equal(p.close_code, valid[i]);
    }

    for (i = 0; i < countof(wrong); i++) {
        code[0] = (char) (wrong[i] >> 8);
        code[1] = (char) wrong[i];
        assert_frame_fails(FIN | FLUX_WS_OP_CLOSE, code, 2,
                           FLUX_WS_PROTOCOL);
    }

    at = in;
    len = (size_t) (put_frame(in, FIN | FLUX_WS_OP_CLOSE, "", 0) - in);
    flux_ws_parser_init(&p, 0, 0);
    assert_int_equal(flux_ws_parse(&p, NULL, &at, &len), FLUX_WS_CLOSE);
    assert_int_equal(p.close_code, FLUX_WS_NO_STATUS);

    assert_frame_fails(FIN | FLUX_WS_OP_CLOSE, "\x03", 1, FLUX_WS_PROTOCOL);
    assert_frame_fails(FIN | FLUX_WS_OP_CLOSE, "\x03\xe8\xe2\x82", 4,
                       FLUX_WS_INVALID);
}


static void
test_text_that_is_not_utf8_is_1007(void **state)
{
    uint8_t  in[64], *end;

    (void) state;

    assert_frame_fails(FIN | FLUX_WS_OP_TEXT, "a\xff" "b", 3,
                       FLUX_WS_INVALID);
    assert_frame_fails(FIN | FLUX_WS_OP_TEXT, "\xed\xa0\x80", 3,
                       FLUX_WS_INVALID);

    /* not complete: only the end of the message tells */
    assert_frame_fails(FIN | FLUX_WS_OP_TEXT, "\xe2\x82", 2,
                       FLUX_WS_INVALID);

    end = put_frame(in, FLUX_WS_OP_TEXT, "\xe2\x82", 2);
    end = put_frame(end, FIN | FLUX_WS_OP_CONTINUATION, "", 0);
    assert_fails(in, (size_t) (end - in), 1024, 0, FLUX_WS_INVALID);
}


static void
test_wrong_text_is_told_before_the_message_ends(void **state)
{
    size_t            len;
    uint8_t           in[64], buf[16];
    const uint8_t    *at = in;
    flux_ws_parser_t  p;

    (void) state;

    put_frame(in, FLUX_WS_OP_TEXT, "abc\xf4\x90\x80\x80", 7);
    flux_ws_parser_init(&p, sizeof(buf), 0);

    len = 6 + 4;
    assert_int_equal(flux_ws_parse(&p, buf, &at, &len), FLUX_WS_AGAIN);

    len = 1;
    assert_int_equal(flux_ws_parse(&p, buf, &at, &len), FLUX_WS_ERROR);
    assert_int_equal(p.close_code, FLUX_WS_INVALID);

    len = 2;
    assert_int_equal(flux_ws_parse(&p, buf, &at, &len), FLUX_WS_ERROR);
    assert_int_equal(len, 0);
}


static void
test_a_message_over_the_limit_is_1009_at_its_header(void **state)
{
    size_t            len;
    uint8_t           in[64], buf[4], *end;
    const uint8_t    *at;
    flux_ws_parser_t  p;

    (void) state;

    put_frame(in, FIN | FLUX_WS_OP_TEXT, "abcde", 5);
    flux_ws_parser_init(&p, sizeof(buf), 0);
    at = in;
    len = 6;
    assert_int_equal(flux_ws_parse(&p, buf, &at, &len), FLUX_WS_ERROR);
    assert_int_equal(p.close_code, FLUX_WS_TOO_LARGE);

    end = put_frame(in, FLUX_WS_OP_TEXT, "abc", 3);
    end = put_frame(end, FIN | FLUX_WS_OP_PING, "0123456789", 10);
    end = put_frame(end, FIN | FLUX_WS_OP_CONTINUATION, "de", 2);
    assert_fails(in, (size_t) (end - in), sizeof(buf), 0, FLUX_WS_TOO_LARGE);

    memcpy(in, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" "mask", 14);
    assert_fails(in, 14, sizeof(buf), 0, FLUX_WS_TOO_LARGE);
}


static void
test_the_buffer_may_move_between_two_calls(void **state)
{
    size_t            len, step;
    uint8_t           in[128], *buf, *moved, *end;
    const uint8_t    *at = in;
    flux_ws_event_t   event;
    flux_ws_parser_t  p;

    (void) state;

    end = put_frame(in, FLUX_WS_OP_TEXT, "h\xc3\xa9llo, ", 8);
    end = put_frame(end, FIN | FLUX_WS_OP_CONTINUATION, "w\xc3\xb6rld", 6);

    flux_ws_parser_init(&p, 14, 0);
    buf = exact_copy("", 0);

    do {
        step = 1;
        len = p.length + step;

        moved = malloc((len < p.max) ? len : p.max);
        assert_non_null(moved);
        memcpy(moved, buf, p.length);
        free(buf);
        buf = moved;

        event = flux_ws_parse(&p, buf, &at, &step);

    } while (event == FLUX_WS_AGAIN);

    assert_int_equal(event, FLUX_WS_TEXT);
    assert_ptr_equal(at, end);
    assert_int_equal(p.length, 14);
    assert_memory_equal(buf, "h\xc3\xa9llo, w\xc3\xb6rld", 14);

    free(buf);
}


/* in a frame's header, its payload, between fragments: not there */
static void
test_it_is_idle_only_between_two_messages(void **state)
{
    size_t            i, len;
    uint8_t           in[64], buf[16], *end;
    const uint8_t    *p;
    flux_ws_parser_t  parser;

    (void) state;

    end = put_frame(in, FLUX_WS_OP_TEXT, "ab", 2);
    end = put_frame(end, FIN | FLUX_WS_OP_PING, "p", 1);
    end = put_frame(end, FIN | FLUX_WS_OP_CONTINUATION, "", 0);

    flux_ws_parser_init(&parser, sizeof(buf), 0);
    assert_true(flux_ws_idle(&parser));

    for (i = 0; in + i < end; i++) {
        p = in + i;
        len = 1;
        (void) flux_ws_parse(&parser, buf, &p, &len);
        assert_int_equal(flux_ws_idle(&parser), in + i + 1 == end);
    }

    end = put_frame(in, FIN | FLUX_WS_OP_CLOSE, "", 0);
    p = in;
    len = (size_t) (end - in);
    assert_int_equal(flux_ws_parse(&parser, buf, &p, &len), FLUX_WS_CLOSE);
    assert_false(flux_ws_idle(&parser));

    /* an opcode that means nothing */
    flux_ws_parser_init(&parser, sizeof(buf), 0);
    end = put_frame(in, FIN | 3, "", 0);
    p = in;
    len = (size_t) (end - in);
    assert_int_equal(flux_ws_parse(&parser, buf, &p, &len), FLUX_WS_ERROR);
    assert_false(flux_ws_idle(&parser));
}


static void
test_a_parser_is_small(void **state)
{
    (void) state;

    assert_true(sizeof(flux_ws_parser_t) <= 200);
}


static void
assert_agreed(const char *offers, const char *answer)
{
    uint8_t            *copy = exact_copy(offers, strlen(offers));
    flux_ws_deflate_t   d;

    assert_int_equal(flux_ws_accept_deflate(&d, (const char *) copy,
                                            strlen(offers), 15, 13),
                     answer != NULL);
    free(copy);

    if (answer) {
        assert_int_equal(d.length, strlen(answer));
        assert_memory_equal(d.answer, answer, d.length);
        assert_int_equal(d.alone,
                         strstr(answer, "server_no_context") != NULL
                         || strstr(answer, "server_max_window_bits=13")
                            != NULL);

    } else {
        assert_int_equal(d.length, 0);
    }
}


static void
test_offers_of_compression_are_answered(void **state)
{
    #define PMD    "permessage-deflate"
    #define AGREED PMD "; client_no_context_takeover"

    (void) state;

    /* Chromium, Firefox, Safari */
    assert_agreed(PMD "; client_max_window_bits", AGREED);
    assert_agreed(PMD, AGREED);
    assert_agreed("x-webkit-deflate-frame, " PMD, AGREED);

    assert_agreed(PMD ";client_no_context_takeover ; "
                  "server_no_context_takeover\t",
                  AGREED "; server_no_context_takeover");
    assert_agreed(PMD "; server_max_window_bits=15",
                  AGREED "; server_max_window_bits=15");
    assert_agreed(PMD "; server_max_window_bits=14",
                  AGREED "; server_max_window_bits=13");
    assert_agreed(PMD "; server_max_window_bits = \"13\"; "
                  "server_no_context_takeover; client_max_window_bits=8",
                  AGREED "; server_no_context_takeover"
                  "; server_max_window_bits=13");

    /* the first that can be kept */
    assert_agreed(PMD "; server_max_window_bits=10, " PMD
                  "; server_no_context_takeover, " PMD,
                  AGREED "; server_no_context_takeover");
    assert_agreed("foo; a=\"x, " PMD "\\\"; y\"; b, " PMD, AGREED);
    assert_agreed(PMD "; what=ever, " PMD, AGREED);

    /* declined */
    assert_agreed("", NULL);
    assert_agreed("permessage-bzip2", NULL);
    assert_agreed("Permessage-Deflatex", NULL);
    assert_agreed(PMD "; server_max_window_bits=12", NULL);
    assert_agreed(PMD "; server_max_window_bits", NULL);
    assert_agreed(PMD "; server_max_window_bits=16", NULL);
    assert_agreed(PMD "; server_max_window_bits=015", NULL);
    assert_agreed(PMD "; server_max_window_bits=\"\"", NULL);
    assert_agreed(PMD "; server_no_context_takeover=1", NULL);
    assert_agreed(PMD "; client_max_window_bits=7", NULL);
    assert_agreed(PMD "; client_max_window_bits; client_max_window_bits",
                  NULL);
    assert_agreed(PMD "; unknown", NULL);
    assert_agreed(PMD ";", NULL);
    assert_agreed(PMD "; a=\"" PMD, NULL);
    assert_agreed(PMD "; a=\"\\", NULL);
    assert_agreed(PMD "; unknown " PMD, NULL);
    assert_agreed(", " PMD, NULL);

    #undef AGREED
    #undef PMD
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_header_has_the_shortest_length),
        cmocka_unit_test(test_the_example_of_the_rfc_is_read),
        cmocka_unit_test(test_control_frames_may_come_between_fragments),
        cmocka_unit_test(test_every_length_is_read),
        cmocka_unit_test(test_lengths_have_one_spelling),
        cmocka_unit_test(test_protocol_errors_are_1002),
        cmocka_unit_test(
            test_compressed_messages_are_marked_and_not_checked_as_text),
        cmocka_unit_test(test_close_codes),
        cmocka_unit_test(test_text_that_is_not_utf8_is_1007),
        cmocka_unit_test(test_wrong_text_is_told_before_the_message_ends),
        cmocka_unit_test(test_a_message_over_the_limit_is_1009_at_its_header),
        cmocka_unit_test(test_the_buffer_may_move_between_two_calls),
        cmocka_unit_test(test_it_is_idle_only_between_two_messages),
        cmocka_unit_test(test_a_parser_is_small),
        cmocka_unit_test(test_offers_of_compression_are_answered),
    };

    return cmocka_run_group_tests_name("websocket", tests, NULL, NULL);
}
