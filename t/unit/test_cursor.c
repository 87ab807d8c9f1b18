#include <ctype.h>

#include "unit.h"
#include "flux_cursor.h"


static const uint32_t  rooms[] = { 0xdeadbeef, 0, 0xffffffff };

static const flux_cursor_place_t  places[] = {
    { 0x12345678, 0, 123456789, 0xabcd },
    { 0x12345678, 1, 0, 0 },
    { 0x12345678, 200, INT64_MAX, 0xffff },
    { 0x12345678, UINT32_MAX, 127, 1 },
    { 0x00000001, 7, 128, 2 },
};

static const flux_cursor_t  several = {
    .time = 1762300000123,
    .nsections = 4,
    .sections = {
        { rooms, 1, places, 1 },
        { rooms, 3, places, 5 },
        { NULL, 0, places + 4, 1 },
        { rooms + 2, 1, NULL, 0 },
    }
};

static const flux_cursor_t  none = { .time = 0 };

static const flux_cursor_t  told = {
    .time = 1762300000123,
    .log = 0xfedcba98,
    .told = INT64_MAX,
    .nsections = 1,
    .sections = { { rooms, 1, places, 1 } }
};

static const flux_cursor_t  one = {
    .time = 1762300000123,
    .nsections = 1,
    .sections = { { rooms, 1, places, 1 } }
};


/* encodes into memory of exactly the promised size; to be freed */
static char *
encode(const flux_cursor_t *cursor, size_t *len)
{
    char  *text = malloc(flux_cursor_size(cursor));

    assert_non_null(text);

    *len = flux_cursor_encode(text, cursor);
    assert_true(*len <= flux_cursor_size(cursor));

    return text;
}


/* decodes with a scratch of so many bytes, checks, throws away */
static flux_cursor_status_t
decode(const char *text, size_t len, size_t size,
    const flux_cursor_t *expected)
{
    size_t                        i, n;
    uint8_t                      *copy = exact_copy(text, len);
    uint8_t                      *scratch;
    flux_cursor_t                 out;
    flux_cursor_status_t          status;
    const flux_cursor_section_t  *a, *b;

    scratch = malloc(size ? size : 1);
    assert_non_null(scratch);

    status = flux_cursor_decode((const char *) copy, len, scratch, size,
                                &out);

    if (status == FLUX_CURSOR_OK && expected) {
        assert_int_equal(out.time, expected->time);
        assert_int_equal(out.log, expected->log);
        assert_int_equal(out.told, expected->told);
        assert_int_equal(out.nsections, expected->nsections);

        for (n = 0; n < out.nsections; n++) {
            a = &out.sections[n];
            b = &expected->sections[n];

            assert_int_equal(a->nrooms, b->nrooms);
            assert_int_equal(a->nplaces, b->nplaces);

            for (i = 0; i < a->nrooms; i++) {
                assert_int_equal(a->rooms[i], b->rooms[i]);
            }

            for (i = 0; i < a->nplaces; i++) {
                assert_int_equal(a->places[i].fingerprint,
                                 b->places[i].fingerprint);
                assert_int_equal(a->places[i].partition,
                                 b->places[i].partition);
                assert_int_equal(a->places[i].offset, b->places[i].offset);
                assert_int_equal(a->places[i].check, b->places[i].check);
            }
        }
    }

    free(scratch);
    free(copy);

    return status;
}


static void
assert_comes_back(const flux_cursor_t *cursor)
{
    char    *text;
    size_t   len;

    text = encode(cursor, &len);

    assert_int_equal(decode(text, len, flux_cursor_scratch_size(len), cursor),
                     FLUX_CURSOR_OK);
    free(text);
}


static void
test_what_was_encoded_comes_back(void **state)
{
    (void) state;

    assert_comes_back(&none);
    assert_comes_back(&one);
    assert_comes_back(&told);
    assert_comes_back(&several);
}


static void
test_many_partitions_come_back(void **state)
{
    size_t                i, n;
    uint32_t              seed = 5;
    flux_cursor_t         cursor = one;
    flux_cursor_place_t  *many;

    (void) state;

    many = calloc(1000, sizeof(flux_cursor_place_t));
    assert_non_null(many);

    for (i = 0; i < 1000; i++) {
        many[i].fingerprint = (uint32_t) (i / 100);
        many[i].partition = (uint32_t) (i % 100 * 3);
        many[i].offset = (int64_t) next_random(&seed) << (i % 39);
        many[i].check = (uint16_t) next_random(&seed);
    }

    cursor.nsections = FLUX_CURSOR_SECTIONS;

    for (n = 0; n < FLUX_CURSOR_SECTIONS; n++) {
        cursor.sections[n].rooms = rooms;
        cursor.sections[n].nrooms = n % 4;
        cursor.sections[n].places = many;
        cursor.sections[n].nplaces = 1000 >> n;
    }

    assert_comes_back(&cursor);
    free(many);
}


static void
test_text_is_url_safe_and_the_same_each_time(void **state)
{
    char    *text;
    size_t   i, len;

    (void) state;

    text = encode(&several, &len);

    for (i = 0; i < len; i++) {
        assert_true(isalnum((unsigned char) text[i])
                    || text[i] == '-' || text[i] == '_');
    }

    free(text);

    text = encode(&one, &len);

    /* the wire format: a change here is a new version */
    assert_int_equal(len, 38);
    assert_memory_equal(text, "CBBDerb7vBASNFZ4BAhzpo0n97bj13zoVKvNEn", len);
    free(text);
}


static void
test_a_cursor_that_moves_on_changes_six_characters(void **state)
{
    char                *before, *after;
    size_t               len, moved;
    flux_cursor_t        cursor = one;
    flux_cursor_place_t  place = places[0];

    (void) state;

    place.offset += 3;
    place.check = 0x1111;
    cursor.sections[0].places = &place;

    before = encode(&one, &len);
    after = encode(&cursor, &moved);

    /* one of the offset, three of the check, two of the CRC */
    assert_int_equal(len, moved);
    assert_memory_equal(before, after, len - 6);
    assert_memory_not_equal(before, after, len);

    free(after);
    free(before);
}


static void
test_any_cut_and_any_flipped_bit_is_invalid(void **state)
{
    char    *text;
    int      bit;
    size_t   i, len;

    (void) state;

    text = encode(&several, &len);

    for (i = 0; i < len; i++) {
        assert_int_equal(decode(text, i, 4096, NULL), FLUX_CURSOR_INVALID);

        for (bit = 0; bit < 8; bit++) {
            text[i] ^= (char) (1 << bit);
            assert_int_equal(decode(text, len, 4096, NULL),
                             FLUX_CURSOR_INVALID);
            text[i] ^= (char) (1 << bit);
        }
    }

    free(text);
}


static void
test_garbage_is_invalid(void **state)
{
    char      text[64];
    size_t    i, len;
    uint32_t  round, seed = 11;

    (void) state;

    assert_int_equal(decode("", 0, 64, NULL), FLUX_CURSOR_INVALID);
    assert_int_equal(decode("1700000000:0", 12, 64, NULL),
                     FLUX_CURSOR_INVALID);

    /* what the first layout wrote */
    assert_int_equal(decode("AQEB3q2-7wESNFZ4AQC675oVq82zpYqP7nsXZg", 38,
                            4096, NULL), FLUX_CURSOR_INVALID);

    for (round = 0; round < 20000; round++) {
        len = next_random(&seed) % sizeof(text);

        for (i = 0; i < len; i++) {
            text[i] = (char) next_random(&seed);
        }

        assert_int_equal(decode(text, len, 4096, NULL), FLUX_CURSOR_INVALID);
    }
}


/*
 * A text with a right CRC behind it, as someone would make it who wants to do
 * harm.
 */
static flux_cursor_status_t
forged(const char *start)
{
    static const char  alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "abcdefghijklmnopqrstuvwxyz0123456789-_";
    char      text[128];
    size_t    i, len = strlen(start);
    unsigned  bit, crc = 0xfff;

    memcpy(text, start, len);

    for (i = 0; i < len; i++) {
        crc ^= (unsigned) (strchr(alphabet, text[i]) - alphabet) << 6;

        for (bit = 0; bit < 6; bit++) {
            crc = (crc << 1 ^ ((crc & 0x800) ? 0x80f : 0)) & 0xfff;
        }
    }

    text[len++] = alphabet[crc >> 6];
    text[len++] = alphabet[crc & 0x3f];

    return decode(text, len, flux_cursor_scratch_size(len), NULL);
}


static void
test_forged_cursors_are_judged(void **state)
{
    (void) state;

    assert_int_equal(forged("CAA"), FLUX_CURSOR_OK);
    assert_int_equal(forged("CBABBFINGABFAHAAA"), FLUX_CURSOR_OK);

    /* another version; more after the end; a number with a leading zero */
    assert_int_equal(forged("EAA"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("CAAA"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("CAgB"), FLUX_CURSOR_INVALID);

    /* a fingerprint of 33 bits, a check of 17 */
    assert_int_equal(forged("CBABEFINGABFAHAAA"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("CBABBFINGABFAHQAA"), FLUX_CURSOR_INVALID);

    /* a time of 64 bits */
    assert_int_equal(forged("CAn___________f"), FLUX_CURSOR_OK);
    assert_int_equal(forged("CAv___________f"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("CAhgggggggggggggA"), FLUX_CURSOR_INVALID);

    /* an ordinal that is missing, without a log, of 33 bits' log, of none */
    assert_int_equal(forged("DAAD_____B"), FLUX_CURSOR_OK);
    assert_int_equal(forged("DAA"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("DAAB"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("DAAE_____B"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("DAAD_____A"), FLUX_CURSOR_INVALID);

    /* nine sections; counts that promise more than there is */
    assert_int_equal(forged("CJAAAAAAAAAAAAAAAAAAAA"), FLUX_CURSOR_TOO_LARGE);
    assert_int_equal(forged("CBj_____fAA"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("CBAj_____fA"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("CBABBFINGAj_____fAAAAAA"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("CBABBFINGACFAAHAAA"), FLUX_CURSOR_INVALID);

    /* an empty group; one fingerprint in two groups */
    assert_int_equal(forged("CBABBFINGAAA"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("CBACBFINGABABFINGABBAAAAAAAAA"),
                     FLUX_CURSOR_INVALID);
    assert_int_equal(forged("CBACBFINGABABFINGBBBAAAAAAAAA"),
                     FLUX_CURSOR_OK);

    /* a partition of 33 bits, at once or by steps */
    assert_int_equal(forged("CBABBFINGABkgggggAAAAAA"), FLUX_CURSOR_INVALID);
    assert_int_equal(forged("CBABBFINGACj_____fAAAAAAAAAA"),
                     FLUX_CURSOR_INVALID);
    assert_int_equal(forged("CBABBFINGACj_____eAAAAAAAAAA"),
                     FLUX_CURSOR_OK);
}


static void
test_a_small_scratch_is_told_and_not_passed(void **state)
{
    char                  *text;
    size_t                 len, size;
    flux_cursor_status_t   status;

    (void) state;

    text = encode(&several, &len);

    for (size = 0; size <= flux_cursor_scratch_size(len); size++) {
        status = decode(text, len, size, &several);

        assert_true(status == FLUX_CURSOR_OK
                    || status == FLUX_CURSOR_TOO_LARGE);
        assert_true(size >= 7 * sizeof(flux_cursor_place_t)
                    || status == FLUX_CURSOR_TOO_LARGE);
    }

    assert_int_equal(status, FLUX_CURSOR_OK);
    free(text);
}


static void
test_scratch_needs_no_alignment(void **state)
{
    char           *text;
    size_t          len, shift;
    uint8_t        *scratch;
    flux_cursor_t   out;

    (void) state;

    text = encode(&several, &len);
    scratch = malloc(flux_cursor_scratch_size(len) + 8);
    assert_non_null(scratch);

    for (shift = 0; shift < 8; shift++) {
        assert_int_equal(flux_cursor_decode(text, len, scratch + shift,
                                            flux_cursor_scratch_size(len),
                                            &out), FLUX_CURSOR_OK);
        assert_int_equal(out.sections[1].places[2].offset, INT64_MAX);
    }

    free(scratch);
    free(text);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_what_was_encoded_comes_back),
        cmocka_unit_test(test_many_partitions_come_back),
        cmocka_unit_test(test_text_is_url_safe_and_the_same_each_time),
        cmocka_unit_test(test_a_cursor_that_moves_on_changes_six_characters),
        cmocka_unit_test(test_any_cut_and_any_flipped_bit_is_invalid),
        cmocka_unit_test(test_garbage_is_invalid),
        cmocka_unit_test(test_forged_cursors_are_judged),
        cmocka_unit_test(test_a_small_scratch_is_told_and_not_passed),
        cmocka_unit_test(test_scratch_needs_no_alignment),
    };

    return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
