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
sharing(const pattern_t *pattern, unsigned shift)
{
    int       i, length, shared = 0;
    char      text[64], taken[PLACES] = { 0 };
    uint32_t  place;

    for (i = 0; i < TEXTS; i++) {
        length = snprintf(text, sizeof(text), "%s%0*d%s", pattern->head,
                          pattern->width, i, pattern->tail);
        place = flux_hash_end(flux_hash(FLUX_HASH_START, text,
                                        (size_t) length)) >> shift;
        shared += taken[place % PLACES];
        taken[place % PLACES] = 1;
    }

    return shared;
}


static void
test_texts_that_differ_in_a_few_digits_are_hashed_apart(void **state)
{
    size_t           i;
    const pattern_t  patterns[] = {
        { "", 1, "" }, { "k", 1, "" }, { "user", 4, "" }, { "", 8, "" },
        { "", 7, "" }, { "room/", 1, "" }, { "abcdefgh", 1, "" },
        { "", 4, "tail" }, { "", 4, "tailtail" }, { "", 16, "" },
        { "BTC-USD-", 1, "" }, { "a", 1, "/b" }
    };

    (void) state;

    /* by chance it is one in four */

    for (i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        assert_in_range(sharing(&patterns[i], 0), 0, TEXTS * 3 / 10);
        assert_in_range(sharing(&patterns[i], 2), 0, TEXTS * 3 / 10);
        assert_in_range(sharing(&patterns[i], 16), 0, TEXTS * 3 / 10);
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


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_numbers_are_written_as_printf_does),
        cmocka_unit_test(
            test_texts_that_differ_in_a_few_digits_are_hashed_apart),
        cmocka_unit_test(test_each_part_of_a_record_counts_in_its_check)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
