#include <zlib.h>

#include "unit.h"
#include "flux_deflate.h"


#define FRAMES     420
#define FRAME_MAX  512

#define LEVEL      6
#define WINDOW     15
#define MEMORY     8

#define GZIP       (WINDOW + 16)       /* as zlib's inflateInit2() has it */
#define RAW        (-WINDOW)


/* someone who reads, with zlib's own inflate */
typedef struct {
    z_stream  z;
    uint64_t  context;
    size_t    shared;
    size_t    alone;
} reader_t;


/* a frame, compressed both ways */
typedef struct {
    char                  plain[FRAME_MAX];
    size_t                length;
    uint8_t              *next;
    uint8_t              *alone;
    flux_deflate_piece_t  next_piece;
    flux_deflate_piece_t  alone_piece;
} frame_t;


static frame_t  frames[FRAMES];


static flux_deflate_t *
deflater(void)
{
    flux_deflate_t  *d = flux_deflate_new(LEVEL, WINDOW, MEMORY);

    assert_non_null(d);

    return d;
}


static flux_inflate_t *
inflater(void)
{
    flux_inflate_t  *i = flux_inflate_new(WINDOW);

    assert_non_null(i);

    return i;
}


static void *
allocate(size_t size)
{
    void  *p = malloc(size ? size : 1);

    assert_non_null(p);

    return p;
}


/* restarts: after so many frames, as a hub would decide */
static int
make_frames(void **state)
{
    size_t           i, size;
    frame_t         *f;
    uint32_t         seed = 17;
    flux_deflate_t  *stream = deflater(), *single = deflater();

    (void) state;

    for (i = 0; i < FRAMES; i++) {
        f = &frames[i];
        f->length = (size_t) snprintf(f->plain, FRAME_MAX,
            "[{\"type\":\"update\",\"room\":\"crypto\",\"key\":\"%s-USD\","
            "\"ts\":17000%08u,\"data\":{\"price\":\"%u.%02u\","
            "\"volume\":\"%u.%06u\",\"time\":\"2026-11-05T12:%02u:%02u.%06uZ\""
            "}},{\"type\":\"cursor\",\"cursor\":\"CBBDerb7vBASNFZ4BAA%04u\"}]",
            (next_random(&seed) & 1) ? "BTC" : "ETH", next_random(&seed),
            next_random(&seed) % 70000, next_random(&seed) % 100,
            next_random(&seed) % 9000, next_random(&seed) % 1000000,
            next_random(&seed) % 60, next_random(&seed) % 60,
            next_random(&seed) % 1000000, next_random(&seed) % 10000);

        size = flux_deflate_bound(stream, f->length);
        f->next = allocate(size);
        f->alone = allocate(size);

        if (i % 100 == 99) {
            flux_deflate_restart(stream);
        }

        assert_int_equal(flux_deflate_next(stream, f->next, size,
                             (uint8_t *) f->plain, f->length,
                             &f->next_piece), FLUX_DEFLATE_OK);
        assert_int_equal(flux_deflate_alone(single, f->alone, size,
                             (uint8_t *) f->plain, f->length,
                             &f->alone_piece), FLUX_DEFLATE_OK);
    }

    flux_deflate_destroy(single);
    flux_deflate_destroy(stream);

    return 0;
}


static int
free_frames(void **state)
{
    size_t  i;

    (void) state;

    for (i = 0; i < FRAMES; i++) {
        free(frames[i].next);
        free(frames[i].alone);
    }

    return 0;
}


/* the bytes must give exactly this text, no more and no less */
static void
assert_inflates(z_stream *z, const uint8_t *p, size_t len, const char *plain,
    size_t length)
{
    uint8_t  out[FRAME_MAX + 1];

    z->next_in = (Bytef *) p;
    z->avail_in = (unsigned) len;
    z->next_out = out;
    z->avail_out = sizeof(out);

    assert_int_equal(inflate(z, Z_SYNC_FLUSH), Z_OK);
    assert_int_equal(z->avail_in, 0);
    assert_int_equal(sizeof(out) - z->avail_out, length);
    assert_memory_equal(out, plain, length);
}


static void
open_reader(reader_t *r, int window)
{
    memset(r, 0, sizeof(reader_t));
    assert_int_equal(inflateInit2(&r->z, window), Z_OK);

    if (window == GZIP) {
        r->z.next_out = (Bytef *) "";
        r->z.avail_out = 1;
        r->z.next_in = (Bytef *) FLUX_GZIP_HEADER;
        r->z.avail_in = FLUX_GZIP_HEADER_SIZE;
        assert_int_equal(inflate(&r->z, Z_SYNC_FLUSH), Z_OK);
        assert_int_equal(r->z.avail_in, 0);
    }
}


static void
take(reader_t *r, const frame_t *f)
{
    uint64_t  needs = f->next_piece.needs;

    if (needs == 0 || needs == r->context) {
        assert_inflates(&r->z, f->next, f->next_piece.length, f->plain,
                        f->length);
        r->context = f->next_piece.leaves;
        r->shared++;
        return;
    }

    assert_int_equal(f->alone_piece.needs, 0);
    assert_inflates(&r->z, f->alone, f->alone_piece.length, f->plain,
                    f->length);
    r->context = f->alone_piece.leaves;
    r->alone++;
}


static void
test_a_reader_that_joins_anywhere_reads_every_byte(void **state)
{
    size_t    window, join, i;
    reader_t  r;

    (void) state;

    for (window = 0; window < 2; window++) {

        for (join = 0; join < FRAMES; join++) {
            open_reader(&r, window ? GZIP : RAW);

            for (i = join; i < FRAMES; i++) {
                take(&r, &frames[i]);
            }

            /* alone until the next restart, then never again */
            assert_true(r.alone < 100);
            assert_int_equal(r.alone, (join == 0) ? 0
                             : (join < 400) ? (499 - join) % 100
                             : FRAMES - join);
            inflateEnd(&r.z);
        }
    }
}


static void
test_readers_that_miss_frames_read_all_that_they_take(void **state)
{
    size_t    round, i;
    uint32_t  seed = 23;
    reader_t  r;

    (void) state;

    for (round = 0; round < 300; round++) {
        open_reader(&r, (round & 1) ? GZIP : RAW);

        for (i = 0; i < FRAMES; i++) {

            switch (next_random(&seed) % 40) {

            case 0:
                /* slow: what it missed comes as one frame of its own */
                i += next_random(&seed) % 30;
                continue;

            case 1:
                assert_inflates(&r.z, frames[i].alone,
                                frames[i].alone_piece.length,
                                frames[i].plain, frames[i].length);
                r.context = frames[i].alone_piece.leaves;
                continue;

            default:
                take(&r, &frames[i]);
            }
        }

        assert_true(r.shared > 0);
        inflateEnd(&r.z);
    }
}


static void
test_a_piece_without_its_tail_is_a_permessage_deflate_message(void **state)
{
    size_t           i, length;
    uint8_t          out[FRAME_MAX];
    frame_t         *f;
    flux_inflate_t  *context = inflater(), *single = inflater();

    (void) state;

    for (i = 0; i < FRAMES; i++) {
        f = &frames[i];

        assert_memory_equal(f->next + f->next_piece.length
                            - FLUX_DEFLATE_TAIL, "\0\0\xff\xff", 4);
        assert_memory_equal(f->alone + f->alone_piece.length
                            - FLUX_DEFLATE_TAIL, "\0\0\xff\xff", 4);

        assert_int_equal(flux_inflate_message(context, out, sizeof(out),
                             &length, f->next,
                             f->next_piece.length - FLUX_DEFLATE_TAIL),
                         FLUX_DEFLATE_OK);
        assert_int_equal(length, f->length);
        assert_memory_equal(out, f->plain, length);

        flux_inflate_reset(single);
        assert_int_equal(flux_inflate_message(single, out, sizeof(out),
                             &length, f->alone,
                             f->alone_piece.length - FLUX_DEFLATE_TAIL),
                         FLUX_DEFLATE_OK);
        assert_int_equal(length, f->length);
        assert_memory_equal(out, f->plain, length);
    }

    flux_inflate_destroy(single);
    flux_inflate_destroy(context);
}


static void
test_context_is_worth_it(void **state)
{
    size_t  i, plain = 0, next = 0, alone = 0;

    (void) state;

    for (i = 0; i < FRAMES; i++) {
        plain += frames[i].length;
        next += frames[i].next_piece.length;
        alone += frames[i].alone_piece.length;
    }

    assert_true(2 * next < alone);
    assert_true(alone < plain);
}


static void
test_the_bound_holds_for_what_cannot_be_compressed(void **state)
{
    static const int       windows[][2] = { { 9, 1 }, { 12, 5 }, { 15, 8 },
                                            { 15, 9 } };
    size_t                 i, n, len, size;
    uint8_t               *plain, *out;
    uint32_t               seed = 29;
    flux_deflate_t        *d;
    flux_deflate_piece_t   piece;

    (void) state;

    plain = allocate(300000);

    for (i = 0; i < 300000; i++) {
        plain[i] = (uint8_t) next_random(&seed);
    }

    for (i = 0; i < countof(windows); i++) {
        d = flux_deflate_new(LEVEL, windows[i][0], windows[i][1]);
        assert_non_null(d);

        for (n = 0; n < 250; n++) {
            len = (n < 200) ? n : next_random(&seed) % 300000;
            size = flux_deflate_bound(d, len);
            out = allocate(size);

            assert_int_equal(flux_deflate_next(d, out, size, plain, len,
                                               &piece), FLUX_DEFLATE_OK);
            assert_true(piece.length < size);
            free(out);
        }

        flux_deflate_destroy(d);
    }

    free(plain);
}


static void
test_an_empty_frame_is_a_piece(void **state)
{
    size_t                 n, length;
    uint8_t                out[64], plain[8];
    flux_deflate_t        *d = deflater();
    flux_inflate_t        *i = inflater();
    flux_deflate_piece_t   piece;

    (void) state;

    for (n = 0; n < 6; n++) {
        assert_int_equal(flux_deflate_next(d, out, sizeof(out),
                             (const uint8_t *) "abcabc", (n & 2) ? 6 : 0,
                             &piece), FLUX_DEFLATE_OK);
        assert_int_equal(flux_inflate_message(i, plain, sizeof(plain),
                             &length, out, piece.length - FLUX_DEFLATE_TAIL),
                         FLUX_DEFLATE_OK);
        assert_int_equal(length, (n & 2) ? 6 : 0);
    }

    assert_int_equal(flux_deflate_next(d, out, sizeof(out), NULL, 0, &piece),
                     FLUX_DEFLATE_OK);

    flux_inflate_destroy(i);
    flux_deflate_destroy(d);
}


static void
test_a_small_dst_is_told_and_the_stream_starts_anew(void **state)
{
    size_t                 size;
    uint8_t               *out;
    flux_deflate_t        *d = deflater();
    flux_deflate_piece_t   piece;

    (void) state;

    for (size = 0; size < 64; size++) {
        out = allocate(size);

        if (flux_deflate_next(d, out, size, (uint8_t *) frames[0].plain,
                              frames[0].length, &piece) == FLUX_DEFLATE_OK)
        {
            assert_true(piece.length <= size);

        } else {
            free(out);
            out = allocate(1024);

            assert_int_equal(flux_deflate_next(d, out, 1024,
                                 (uint8_t *) frames[1].plain,
                                 frames[1].length, &piece), FLUX_DEFLATE_OK);
            assert_int_equal(piece.needs, 0);
        }

        free(out);
    }

    flux_deflate_destroy(d);
}


static void
test_a_compressor_used_alone_starts_its_stream_anew(void **state)
{
    uint8_t                out[1024];
    flux_deflate_t        *d = deflater();
    flux_deflate_piece_t   first, piece;

    (void) state;

    flux_deflate_next(d, out, sizeof(out), (const uint8_t *) "abc", 3, &first);
    assert_int_equal(first.needs, 0);
    assert_int_not_equal(first.leaves, 0);

    flux_deflate_next(d, out, sizeof(out), (const uint8_t *) "abc", 3, &piece);
    assert_int_equal(piece.needs, first.leaves);
    assert_int_not_equal(piece.leaves, first.leaves);

    flux_deflate_alone(d, out, sizeof(out), (const uint8_t *) "abc", 3,
                       &piece);
    assert_int_equal(piece.needs, 0);
    assert_int_equal(piece.leaves, 0);

    flux_deflate_next(d, out, sizeof(out), (const uint8_t *) "abc", 3, &piece);
    assert_int_equal(piece.needs, 0);

    flux_deflate_destroy(d);
}


static void
test_a_stream_that_follows_another_has_other_contexts(void **state)
{
    size_t                 i;
    uint8_t                out[1024];
    uint64_t               last;
    flux_deflate_t        *d = deflater();
    flux_deflate_piece_t   piece;

    (void) state;

    for (i = 0; i < 10; i++) {
        flux_deflate_next(d, out, sizeof(out), (uint8_t *) frames[i].plain,
                          frames[i].length, &piece);
    }

    last = flux_deflate_context(d);
    assert_int_equal(last, piece.leaves);
    flux_deflate_destroy(d);

    d = deflater();
    flux_deflate_follow(d, last);

    for (i = 0; i < 10; i++) {
        flux_deflate_next(d, out, sizeof(out), (uint8_t *) frames[i].plain,
                          frames[i].length, &piece);
        assert_true(i ? piece.needs > last : piece.needs == 0);
        assert_true(piece.leaves > last);
    }

    flux_deflate_destroy(d);
}


static void
test_a_restart_is_due_when_it_pays(void **state)
{
    size_t                 i, n;
    uint8_t                out[1024];
    flux_deflate_t        *d = deflater();
    flux_deflate_piece_t   piece;

    (void) state;

    assert_false(flux_deflate_restart_due(d, 0, 10));

    for (i = 0; i < 10; i++) {
        flux_deflate_next(d, out, sizeof(out), (uint8_t *) frames[i].plain,
                          frames[i].length, &piece);
    }

    /* nobody waits; nearly all do; few do, and not for long */
    assert_false(flux_deflate_restart_due(d, 1000, 0));
    assert_true(flux_deflate_restart_due(d, 10, 1000));
    assert_false(flux_deflate_restart_due(d, 1000, 1));

    /* the only reader came late */
    assert_true(flux_deflate_restart_due(d, 0, 1));

    /* what one waits adds up, until nobody waits */
    assert_false(flux_deflate_restart_due(d, 5, 0));

    for (n = 1; n < 20; n++) {
        assert_false(flux_deflate_restart_due(d, 5, 1));
    }

    assert_true(flux_deflate_restart_due(d, 5, 1));
    assert_false(flux_deflate_restart_due(d, 5, 0));
    assert_false(flux_deflate_restart_due(d, 5, 1));

    for (n = 0; n < FLUX_DEFLATE_RESTART; n += frames[i++ % FRAMES].length) {
        flux_deflate_next(d, out, sizeof(out),
                          (uint8_t *) frames[i % FRAMES].plain,
                          frames[i % FRAMES].length, &piece);
    }

    assert_true(flux_deflate_restart_due(d, 1000000, 1));
    assert_false(flux_deflate_restart_due(d, 1000000, 0));

    flux_deflate_restart(d);
    assert_false(flux_deflate_restart_due(d, 10, 1000));

    flux_deflate_destroy(d);
}


static void
test_arguments_out_of_range_give_nothing(void **state)
{
    (void) state;

    assert_null(flux_deflate_new(LEVEL, 8, MEMORY));
    assert_null(flux_deflate_new(LEVEL, 16, MEMORY));
    assert_null(flux_deflate_new(LEVEL, WINDOW, 0));
    assert_null(flux_deflate_new(LEVEL, WINDOW, 10));
    assert_null(flux_deflate_new(0, WINDOW, MEMORY));
    assert_null(flux_deflate_new(10, WINDOW, MEMORY));
    assert_null(flux_inflate_new(7));
    assert_null(flux_inflate_new(16));

    flux_deflate_destroy(NULL);
    flux_inflate_destroy(NULL);
}


/* the examples of RFC 7692, sections 7.2.3.1 to 7.2.3.5 */
static void
test_the_examples_of_the_rfc_inflate(void **state)
{
    #define message(bytes)  { bytes, sizeof(bytes) - 1 }

    static const struct {
        const char  *bytes;
        size_t       len;
    } messages[] = {
        message("\xf2\x48\xcd\xc9\xc9\x07\x00"),
        message("\xf2\x00\x11\x00\x00"),
        message("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),
        message("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
        message("\xf2\x00\x11\x00\x00"),
        message("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"),
        message("\xf2\x00\x11\x00\x00"),
    };

    #undef message

    size_t           n, length;
    uint8_t          out[5];
    flux_inflate_t  *i = inflater();

    (void) state;

    for (n = 0; n < countof(messages); n++) {
        assert_int_equal(flux_inflate_message(i, out, sizeof(out), &length,
                             (const uint8_t *) messages[n].bytes,
                             messages[n].len), FLUX_DEFLATE_OK);
        assert_int_equal(length, 5);
        assert_memory_equal(out, "Hello", 5);
    }

    flux_inflate_destroy(i);
}


static void
test_a_message_that_needs_context_is_invalid_without(void **state)
{
    size_t           length;
    uint8_t          out[16];
    flux_inflate_t  *i = inflater();

    (void) state;

    assert_int_equal(flux_inflate_message(i, out, sizeof(out), &length,
                         (const uint8_t *) "\xf2\x48\xcd\xc9\xc9\x07\x00", 7),
                     FLUX_DEFLATE_OK);
    flux_inflate_reset(i);
    assert_int_equal(flux_inflate_message(i, out, sizeof(out), &length,
                         (const uint8_t *) "\xf2\x00\x11\x00\x00", 5),
                     FLUX_DEFLATE_INVALID);

    flux_inflate_destroy(i);
}


static void
test_broken_messages_are_invalid(void **state)
{
    size_t           n, len, length;
    uint8_t          in[64], out[64];
    uint32_t         round, seed = 31;
    flux_inflate_t  *i = inflater();

    (void) state;

    /* cut anywhere but behind the whole */
    for (n = 1; n < 6; n++) {
        flux_inflate_reset(i);
        assert_int_equal(flux_inflate_message(i, out, sizeof(out), &length,
                             (const uint8_t *) "\xf2\x48\xcd\xc9\xc9\x07\x00",
                             n), FLUX_DEFLATE_INVALID);
    }

    for (round = 0; round < 50000; round++) {
        len = next_random(&seed) % sizeof(in);

        for (n = 0; n < len; n++) {
            in[n] = (uint8_t) next_random(&seed);
        }

        if (flux_inflate_message(i, out, sizeof(out), &length, in, len)
            == FLUX_DEFLATE_OK)
        {
            assert_true(length <= sizeof(out));

        } else {
            flux_inflate_reset(i);
        }
    }

    flux_inflate_destroy(i);
}


static void
test_a_bomb_stops_at_the_cap(void **state)
{
    size_t                 n, length, size;
    uint8_t               *plain, *in, *out;
    flux_deflate_t        *d = deflater();
    flux_inflate_t        *i = inflater();
    flux_deflate_piece_t   piece;

    (void) state;

    n = 4 * 1024 * 1024;
    plain = allocate(n);
    memset(plain, 'a', n);

    size = flux_deflate_bound(d, n);
    in = allocate(size);
    flux_deflate_next(d, in, size, plain, n, &piece);
    assert_true(piece.length < n / 500);

    out = allocate(16384);
    assert_int_equal(flux_inflate_message(i, out, 16384, &length, in,
                         piece.length - FLUX_DEFLATE_TAIL),
                     FLUX_DEFLATE_TOO_LARGE);

    /* what just fits, fits, and one byte less does not */
    for (n = 0; n < 2000; n += (n < 300) ? 1 : 97) {
        flux_deflate_alone(d, in, size, plain, n, &piece);
        free(out);
        out = allocate(n);

        flux_inflate_reset(i);
        assert_int_equal(flux_inflate_message(i, out, n, &length, in,
                             piece.length - FLUX_DEFLATE_TAIL),
                         FLUX_DEFLATE_OK);
        assert_int_equal(length, n);

        if (n) {
            flux_inflate_reset(i);
            assert_int_equal(flux_inflate_message(i, out, n - 1, &length, in,
                                 piece.length - FLUX_DEFLATE_TAIL),
                             FLUX_DEFLATE_TOO_LARGE);
        }
    }

    flux_inflate_reset(i);
    flux_deflate_alone(d, in, size, plain, 1, &piece);
    assert_int_equal(flux_inflate_message(i, NULL, 0, &length, in,
                         piece.length - FLUX_DEFLATE_TAIL),
                     FLUX_DEFLATE_TOO_LARGE);

    free(out);
    free(in);
    free(plain);
    flux_inflate_destroy(i);
    flux_deflate_destroy(d);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_a_reader_that_joins_anywhere_reads_every_byte),
        cmocka_unit_test(
            test_readers_that_miss_frames_read_all_that_they_take),
        cmocka_unit_test(
            test_a_piece_without_its_tail_is_a_permessage_deflate_message),
        cmocka_unit_test(test_context_is_worth_it),
        cmocka_unit_test(test_the_bound_holds_for_what_cannot_be_compressed),
        cmocka_unit_test(test_an_empty_frame_is_a_piece),
        cmocka_unit_test(test_a_small_dst_is_told_and_the_stream_starts_anew),
        cmocka_unit_test(test_a_compressor_used_alone_starts_its_stream_anew),
        cmocka_unit_test(
            test_a_stream_that_follows_another_has_other_contexts),
        cmocka_unit_test(test_a_restart_is_due_when_it_pays),
        cmocka_unit_test(test_arguments_out_of_range_give_nothing),
        cmocka_unit_test(test_the_examples_of_the_rfc_inflate),
        cmocka_unit_test(test_a_message_that_needs_context_is_invalid_without),
        cmocka_unit_test(test_broken_messages_are_invalid),
        cmocka_unit_test(test_a_bomb_stops_at_the_cap),
    };

    return cmocka_run_group_tests_name("deflate", tests, make_frames,
                                       free_frames);
}
