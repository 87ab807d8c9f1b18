#include "unit.h"

#include "flux_frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>


static void
check_number(int64_t n)
{
    char     want[32];
    int      length = sprintf(want, "%" PRId64, n);
    uint8_t  got[32], *end;

    end = flux_int64_write(got, n);

    assert_int_equal(end - got, length);
    assert_memory_equal(got, want, length);
}


static void
test_numbers_are_written_as_printf_does(void **state)
{
    int       i, d;
    uint64_t  power = 1;

    (void) state;

    for (i = -100000; i <= 100000; i++) {
        check_number(i);
    }

    for (i = 0; i < 20; i++, power *= 10) {
        for (d = -2; d <= 2; d++) {
            check_number((int64_t) (power + (uint64_t) d));
            check_number((int64_t) (0 - power + (uint64_t) d));
        }
    }

    for (i = 0; i < 64; i++) {
        for (d = -1; d <= 1; d++) {
            check_number((int64_t) ((UINT64_C(1) << i) + (uint64_t) d));
        }
    }
}


#define TEXTS   10000
#define PLACES  16384


typedef struct {
    const char  *head;
    int          width;
    const char  *tail;
} pattern_t;


/* How many texts share a place with one before? */

static int
sharing(const pattern_t *pattern, const uint64_t *key, unsigned shift)
{
    int       i, length, shared = 0;
    char      text[64], taken[PLACES] = { 0 };
    size_t    size;
    uint32_t  place;

    for (i = 0; i < TEXTS; i++) {
        length = snprintf(text, sizeof(text), "%s%0*d%s", pattern->head,
                          pattern->width, i, pattern->tail);
        size = (size_t) length;
        place = key ? (uint32_t) flux_hash_keyed(key, 0, text, size)
                    : flux_hash_end(flux_hash(FLUX_HASH_START, text, size));
        place >>= shift;
        shared += taken[place % PLACES];
        taken[place % PLACES] = 1;
    }

    return shared;
}


static void
test_texts_that_differ_in_a_few_digits_are_hashed_apart(void **state)
{
    size_t           i;
    unsigned         shift;
    const uint64_t   key[2] = { 0x3141592653589793, 0x2384626433832795 };
    const pattern_t  patterns[] = {
        { "", 1, "" }, { "k", 1, "" }, { "user", 4, "" }, { "", 8, "" },
        { "", 7, "" }, { "room/", 1, "" }, { "abcdefgh", 1, "" },
        { "", 4, "tail" }, { "", 4, "tailtail" }, { "", 16, "" },
        { "BTC-USD-", 1, "" }, { "a", 1, "/b" }
    };

    (void) state;

    /* by chance it is one in four */

    for (i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        for (shift = 0; shift <= 16; shift += 2) {
            assert_in_range(sharing(&patterns[i], NULL, shift), 0,
                            TEXTS * 3 / 10);
            assert_in_range(sharing(&patterns[i], key, shift), 0,
                            TEXTS * 3 / 10);
        }
    }
}


static void
test_each_part_of_a_record_counts_in_its_check(void **state)
{
    size_t    i;
    int       same = 0;
    uint8_t   key[] = "key", value[100];
    uint16_t  check;

    (void) state;

    memset(value, 'x', sizeof(value));
    check = flux_record_check(key, 3, value, sizeof(value), 1);

    assert_int_equal(flux_record_check(key, 3, value, sizeof(value), 1),
                     check);

    for (i = 2; i < 100; i++) {
        same += flux_record_check(key, 3, value, sizeof(value), (int64_t) i)
                == check;
        same += flux_record_check(key, 3, value, sizeof(value) - i, 1)
                == check;
    }

    for (i = 0; i < 3; i++) {
        key[i] ^= 1;
        same += flux_record_check(key, 3, value, sizeof(value), 1) == check;
        key[i] ^= 1;
    }

    for (i = 0; i < sizeof(value); i++) {

        if (i == 32) {
            i = sizeof(value) - 32;
        }

        value[i] ^= 1;
        same += flux_record_check(key, 3, value, sizeof(value), 1) == check;
        value[i] ^= 1;
    }

    /* of 260, by chance */
    assert_in_range(same, 0, 1);
}


/* Two texts that an enemy has made to have one hash. */

static void
test_a_key_keeps_made_up_collisions_apart(void **state)
{
    size_t          i;
    uint64_t        a[2], b[2];
    const uint64_t  one[2] = { 0x0123456789abcdef, 0xfedcba9876543211 };
    const uint64_t  other[2] = { 0x0123456789abcdee, 0xfedcba9876543211 };

    (void) state;

    for (i = 0; i < 1000; i++) {
        a[0] = 0x6161616161616161 + i;
        b[0] = 0x6262626262626262 + i * 3;
        a[1] = 0x6363636363636363;
        b[1] = a[1] ^ flux_hash(FLUX_HASH_START, &a[0], 8)
                    ^ flux_hash(FLUX_HASH_START, &b[0], 8);

        assert_int_equal(flux_hash(FLUX_HASH_START, a, 16),
                         flux_hash(FLUX_HASH_START, b, 16));
        assert_int_not_equal(flux_hash_keyed(one, 0, a, 16),
                             flux_hash_keyed(one, 0, b, 16));
        assert_int_not_equal(flux_hash_keyed(one, 0, a, 16),
                             flux_hash_keyed(other, 0, a, 16));
        assert_int_not_equal(flux_hash_keyed(one, 0, a, 16),
                             flux_hash_keyed(one, 1, a, 16));
        assert_int_not_equal(flux_hash_keyed(one, 0, a, 16),
                             flux_hash_keyed(one, 0, a, 15));
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_numbers_are_written_as_printf_does),
        cmocka_unit_test(
            test_texts_that_differ_in_a_few_digits_are_hashed_apart),
        cmocka_unit_test(test_each_part_of_a_record_counts_in_its_check),
        cmocka_unit_test(test_a_key_keeps_made_up_collisions_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
