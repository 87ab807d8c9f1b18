/* Decimal arithmetic: what goes in as text comes out as the right text. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "flux_decimal.h"


static void
assert_round(const char *text, int places, const char *expected)
{
    char            out[FLUX_DECIMAL_SIZE];
    flux_decimal_t  d;

    assert_int_equal(flux_decimal_parse(&d, text), FLUX_OK);
    assert_int_equal(flux_decimal_round(&d, places), FLUX_OK);
    flux_decimal_format(&d, out);
    assert_string_equal(out, expected);
}


static void
assert_percent(const char *from, const char *to, const char *expected)
{
    char  out[FLUX_DECIMAL_SIZE];

    assert_int_equal(flux_decimal_percent(from, to, 2, out), FLUX_OK);
    assert_string_equal(out, expected);
}


static void
test_parse_and_format_keep_the_text(void **state)
{
    size_t          i;
    char            out[FLUX_DECIMAL_SIZE];
    flux_decimal_t  d;

    static const char *const  texts[] = {
        "0", "1", "-1", "0.1", "-0.05", "93381.00", "0.00002113",
        "123456789012345678901234", "0.000000000000000000000001",
        "-12345678901.2345678901234"
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(flux_decimal_parse(&d, texts[i]), FLUX_OK);
        flux_decimal_format(&d, out);
        assert_string_equal(out, texts[i]);
    }
}


static void
test_parse_reads_exponents(void **state)
{
    char            out[FLUX_DECIMAL_SIZE];
    flux_decimal_t  d;

    (void) state;

    assert_int_equal(flux_decimal_parse(&d, "1.2e-07"), FLUX_OK);
    flux_decimal_format(&d, out);
    assert_string_equal(out, "0.00000012");

    assert_int_equal(flux_decimal_parse(&d, "-1.25E3"), FLUX_OK);
    flux_decimal_format(&d, out);
    assert_string_equal(out, "-1250");
}


static void
test_parse_refuses_what_is_no_number(void **state)
{
    size_t          i;
    flux_decimal_t  d;

    static const char *const  texts[] = {
        "", "-", ".5", "5.", "1..2", "1.2.3", "+1", " 1", "1 ", "0x10", "1e",
        "1e+", "NaN", "inf", "1,5", "--1", "1-", "1e1.5"
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(flux_decimal_parse(&d, texts[i]), FLUX_INVALID);
    }

    assert_int_equal(flux_decimal_parse(&d, "1234567890123456789012345"),
                     FLUX_FULL);
    assert_int_equal(flux_decimal_parse(&d, "1e99"), FLUX_FULL);
    assert_int_equal(flux_decimal_parse(&d, "1e999"), FLUX_FULL);
}


static void
test_round_is_half_away_from_zero(void **state)
{
    (void) state;

    assert_round("1.005", 2, "1.01");
    assert_round("-1.005", 2, "-1.01");
    assert_round("1.0049999", 2, "1.00");
    assert_round("0.5", 0, "1");
    assert_round("-0.4", 0, "0");
    assert_round("7", 3, "7.000");
    assert_round("99.999", 2, "100.00");
}


static void
test_percent(void **state)
{
    char  out[FLUX_DECIMAL_SIZE];

    (void) state;

    assert_percent("100", "101.5", "1.50");
    assert_percent("93381.00", "90000", "-3.62");
    assert_percent("0.00002113", "0.00002114", "0.05");
    assert_percent("3", "1", "-66.67");
    assert_percent("5", "5.000", "0.00");
    assert_percent("1", "123456789012.5", "12345678901150.00");

    assert_int_equal(flux_decimal_percent("0", "1", 2, out), FLUX_INVALID);
    assert_int_equal(flux_decimal_percent("-1", "1", 2, out), FLUX_INVALID);
    assert_int_equal(flux_decimal_percent("x", "1", 2, out), FLUX_INVALID);
}


static void
test_linear_makes_fahrenheit_exactly(void **state)
{
    char            out[FLUX_DECIMAL_SIZE];
    flux_decimal_t  d;

    const flux_decimal_t  factor = { 18, 1 };
    const flux_decimal_t  addend = { 32, 0 };

    (void) state;

    assert_int_equal(flux_decimal_parse(&d, "13.4"), FLUX_OK);
    assert_int_equal(flux_decimal_linear(&d, &factor, &addend), FLUX_OK);
    flux_decimal_format(&d, out);
    assert_string_equal(out, "56.12");

    assert_int_equal(flux_decimal_parse(&d, "-40"), FLUX_OK);
    assert_int_equal(flux_decimal_linear(&d, &factor, &addend), FLUX_OK);
    assert_int_equal(flux_decimal_round(&d, 1), FLUX_OK);
    flux_decimal_format(&d, out);
    assert_string_equal(out, "-40.0");
}


static void
test_compare(void **state)
{
    flux_decimal_t  a, b;

    (void) state;

    assert_int_equal(flux_decimal_parse(&a, "1.10"), FLUX_OK);
    assert_int_equal(flux_decimal_parse(&b, "1.1"), FLUX_OK);
    assert_int_equal(flux_decimal_compare(&a, &b), 0);

    assert_int_equal(flux_decimal_parse(&b, "1.1000001"), FLUX_OK);
    assert_true(flux_decimal_compare(&a, &b) < 0);

    assert_int_equal(flux_decimal_parse(&a, "100000000000000000000000"),
                     FLUX_OK);
    assert_int_equal(flux_decimal_parse(&b, "0.000000000000000000000001"),
                     FLUX_OK);
    assert_true(flux_decimal_compare(&a, &b) > 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_parse_and_format_keep_the_text),
        cmocka_unit_test(test_parse_reads_exponents),
        cmocka_unit_test(test_parse_refuses_what_is_no_number),
        cmocka_unit_test(test_round_is_half_away_from_zero),
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_linear_makes_fahrenheit_exactly),
        cmocka_unit_test(test_compare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
