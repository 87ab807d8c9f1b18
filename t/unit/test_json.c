#include "unit.h"
#include "flux_json.h"


typedef struct {
    const char          *text;
    flux_json_status_t   status;
} json_case_t;


static flux_json_status_t
check(const char *text, size_t len, size_t *newlines)
{
    uint8_t            *copy = exact_copy(text, len);
    flux_json_status_t  status;

    status = flux_json_check(copy, len, newlines);
    free(copy);

    return status;
}


static void
assert_cases(const json_case_t *cases, size_t n)
{
    size_t  i, newlines;

    for (i = 0; i < n; i++) {
        if (check(cases[i].text, strlen(cases[i].text), &newlines)
            != cases[i].status)
        {
            fail_msg("case %zu: %s", i, cases[i].text);
        }
    }
}


static void
test_any_value_may_stand_at_the_top(void **state)
{
    static const json_case_t  cases[] = {
        { "{}", FLUX_JSON_OK }, { "[]", FLUX_JSON_OK },
        { "\"\"", FLUX_JSON_OK }, { "0", FLUX_JSON_OK },
        { "true", FLUX_JSON_OK }, { "false", FLUX_JSON_OK },
        { "null", FLUX_JSON_OK }, { " \t\r\n[ ] ", FLUX_JSON_OK },
        { "", FLUX_JSON_EMPTY }, { " \n", FLUX_JSON_EMPTY },
    };

    (void) state;

    assert_cases(cases, countof(cases));
}


static void
test_numbers_follow_the_grammar(void **state)
{
    static const json_case_t  cases[] = {
        { "-0", FLUX_JSON_OK }, { "10", FLUX_JSON_OK },
        { "1.50", FLUX_JSON_OK }, { "1e5", FLUX_JSON_OK },
        { "1E+05", FLUX_JSON_OK }, { "-1.0e-99999", FLUX_JSON_OK },
        { "123456789012345678901234567890", FLUX_JSON_OK },
        { "01", FLUX_JSON_SYNTAX }, { "-", FLUX_JSON_SYNTAX },
        { "-01", FLUX_JSON_SYNTAX }, { "+1", FLUX_JSON_SYNTAX },
        { ".5", FLUX_JSON_SYNTAX }, { "1.", FLUX_JSON_SYNTAX },
        { "1.e5", FLUX_JSON_SYNTAX }, { "1e", FLUX_JSON_SYNTAX },
        { "1e+", FLUX_JSON_SYNTAX }, { "0x10", FLUX_JSON_SYNTAX },
        { "NaN", FLUX_JSON_SYNTAX }, { "-Infinity", FLUX_JSON_SYNTAX },
        { "1 2", FLUX_JSON_SYNTAX }, { "1-2", FLUX_JSON_SYNTAX },
    };

    (void) state;

    assert_cases(cases, countof(cases));
}


static void
test_strings_follow_the_grammar(void **state)
{
    static const json_case_t  cases[] = {
        { "\"a\\\"b\\\\\\/\\b\\f\\n\\r\\t\"", FLUX_JSON_OK },
        { "\"\\u00e9\\uD83D\\uDE00\"", FLUX_JSON_OK },
        { "\"\\ud800 a lone one\"", FLUX_JSON_OK },
        { "\"0123456789abcdef0123456789abcdef\"", FLUX_JSON_OK },
        { "\"\x7f\"", FLUX_JSON_OK },
        { "\"", FLUX_JSON_SYNTAX }, { "\"a", FLUX_JSON_SYNTAX },
        { "\"\\", FLUX_JSON_SYNTAX }, { "\"\\\"", FLUX_JSON_SYNTAX },
        { "\"\\x\"", FLUX_JSON_SYNTAX }, { "\"\\u12\"", FLUX_JSON_SYNTAX },
        { "\"\\u123g\"", FLUX_JSON_SYNTAX }, { "\"\\u", FLUX_JSON_SYNTAX },
        { "\"a\nb\"", FLUX_JSON_SYNTAX }, { "\"a\tb\"", FLUX_JSON_SYNTAX },
        { "\"0123456789abcdef\x1f\"", FLUX_JSON_SYNTAX },
        { "'a'", FLUX_JSON_SYNTAX },
    };

    (void) state;

    assert_cases(cases, countof(cases));
}


static void
test_containers_follow_the_grammar(void **state)
{
    static const json_case_t  cases[] = {
        { "{\"a\":1,\"a\":[1,{\"b\":[[],{}]},\"\"]}", FLUX_JSON_OK },
        { " { \"a\" : [ 1 , 2 ] , \"b\" : { } } ", FLUX_JSON_OK },
        { "[", FLUX_JSON_SYNTAX }, { "[1", FLUX_JSON_SYNTAX },
        { "[1,", FLUX_JSON_SYNTAX }, { "[1,]", FLUX_JSON_SYNTAX },
        { "[,]", FLUX_JSON_SYNTAX }, { "[,1]", FLUX_JSON_SYNTAX },
        { "[1 2]", FLUX_JSON_SYNTAX }, { "[1}", FLUX_JSON_SYNTAX },
        { "[}", FLUX_JSON_SYNTAX }, { "{]", FLUX_JSON_SYNTAX },
        { "{", FLUX_JSON_SYNTAX }, { "{\"a\"", FLUX_JSON_SYNTAX },
        { "{\"a\"}", FLUX_JSON_SYNTAX }, { "{\"a\":}", FLUX_JSON_SYNTAX },
        { "{\"a\":1,}", FLUX_JSON_SYNTAX }, { "{1:1}", FLUX_JSON_SYNTAX },
        { "{\"a\":1]", FLUX_JSON_SYNTAX }, { "{,}", FLUX_JSON_SYNTAX },
        { "{\"a\" 1}", FLUX_JSON_SYNTAX }, { "{\"a\":1:2}", FLUX_JSON_SYNTAX },
        { "{\"a\":1 \"b\":2}", FLUX_JSON_SYNTAX }, { "]", FLUX_JSON_SYNTAX },
        { "[]]", FLUX_JSON_SYNTAX }, { "{} {}", FLUX_JSON_SYNTAX },
        { "[1\f]", FLUX_JSON_SYNTAX }, { "[1]//", FLUX_JSON_SYNTAX },
        { "tru", FLUX_JSON_SYNTAX }, { "truex", FLUX_JSON_SYNTAX },
        { "[nul]", FLUX_JSON_SYNTAX }, { "False", FLUX_JSON_SYNTAX },
        { "\xef\xbb\xbf{}", FLUX_JSON_SYNTAX }, { "\xa0", FLUX_JSON_SYNTAX },
    };

    (void) state;

    assert_cases(cases, countof(cases));
}


static void
test_a_nul_byte_is_no_json(void **state)
{
    size_t  newlines;

    (void) state;

    assert_int_equal(check("\0", 1, &newlines), FLUX_JSON_SYNTAX);
    assert_int_equal(check("1\0", 2, &newlines), FLUX_JSON_SYNTAX);
    assert_int_equal(check("\"\0\"", 3, &newlines), FLUX_JSON_SYNTAX);
    assert_int_equal(flux_json_check(NULL, 0, &newlines), FLUX_JSON_EMPTY);
}


static void
test_strings_are_utf8(void **state)
{
    static const json_case_t  cases[] = {
        { "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", FLUX_JSON_OK },
        { "{\"\xc3\xa9\":\"\xed\x9f\xbf\xee\x80\x80\"}", FLUX_JSON_OK },
        { "\"\xf4\x8f\xbf\xbf\"", FLUX_JSON_OK },
        { "\"\x80\"", FLUX_JSON_UTF8 }, { "\"\xc3\"", FLUX_JSON_UTF8 },
        { "\"\xc0\xaf\"", FLUX_JSON_UTF8 },
        { "\"\xe0\x9f\xbf\"", FLUX_JSON_UTF8 },
        { "\"\xed\xa0\x80\"", FLUX_JSON_UTF8 },
        { "\"\xf0\x8f\xbf\xbf\"", FLUX_JSON_UTF8 },
        { "\"\xf4\x90\x80\x80\"", FLUX_JSON_UTF8 },
        { "\"\xf5\x80\x80\x80\"", FLUX_JSON_UTF8 },
        { "\"\xe2\x82", FLUX_JSON_UTF8 },
        { "{\"\xff\":1}", FLUX_JSON_UTF8 },
    };

    (void) state;

    assert_cases(cases, countof(cases));
}


static void
test_depth_is_bounded_and_the_bound_is_reached(void **state)
{
    char    text[2 * (FLUX_JSON_DEPTH_MAX + 1)];
    size_t  i, depth, newlines;

    (void) state;

    for (depth = FLUX_JSON_DEPTH_MAX; ; depth++) {

        for (i = 0; i < depth; i++) {
            text[i] = '[';
            text[2 * depth - 1 - i] = ']';
        }

        if (depth > FLUX_JSON_DEPTH_MAX) {
            break;
        }

        assert_int_equal(check(text, 2 * depth, &newlines), FLUX_JSON_OK);
    }

    assert_int_equal(check(text, 2 * depth, &newlines), FLUX_JSON_DEPTH);
}


static void
test_objects_and_arrays_are_told_apart_at_every_depth(void **state)
{
    char      text[8 * FLUX_JSON_DEPTH_MAX], close[FLUX_JSON_DEPTH_MAX];
    size_t    i, len, newlines;
    uint32_t  seed = 1;

    (void) state;

    len = 0;

    for (i = 0; i < FLUX_JSON_DEPTH_MAX; i++) {
        if (next_random(&seed) & 1) {
            memcpy(text + len, "[0,", 3);
            len += 3;
            close[i] = ']';

        } else {
            memcpy(text + len, "{\"a\":", 5);
            len += 5;
            close[i] = '}';
        }
    }

    text[len++] = '1';

    while (i) {
        text[len++] = close[--i];
    }

    assert_int_equal(check(text, len, &newlines), FLUX_JSON_OK);

    text[len - 1] ^= ']' ^ '}';
    assert_int_equal(check(text, len, &newlines), FLUX_JSON_SYNTAX);
}


static void
test_every_cut_and_every_changed_byte_is_judged_alike(void **state)
{
    static const char  text[] = "{\"aaaaaaaaaaaaaaaa\":[1.5e3,\"\\u00e9"
                                "0123456789012345678901234567890\"]}";
    char      copy[sizeof(text)];
    size_t    i, newlines;

    (void) state;

    for (i = 0; i < sizeof(text) - 1; i++) {
        assert_int_not_equal(check(text, i, &newlines), FLUX_JSON_OK);

        memcpy(copy, text, sizeof(text));
        copy[i] = '\x01';
        assert_int_not_equal(check(copy, sizeof(text) - 1, &newlines),
                             FLUX_JSON_OK);
    }

    assert_int_equal(check(text, sizeof(text) - 1, &newlines), FLUX_JSON_OK);
}


static void
test_newlines_are_counted_and_left_out_by_copy(void **state)
{
    static const char  text[] = "\r\n{ \"a\\n\" :\n\t[ 1,\r2 ]\n\n}\n";
    static const char  line[] = "{ \"a\\n\" :\t[ 1,2 ]}";
    size_t             newlines = 99;
    uint8_t           *p, *out;

    (void) state;

    assert_int_equal(check(text, sizeof(text) - 1, &newlines), FLUX_JSON_OK);
    assert_int_equal(newlines, sizeof(text) - sizeof(line));

    out = exact_copy(line, sizeof(line) - 1);
    memset(out, 0, sizeof(line) - 1);
    p = flux_json_copy(out, (const uint8_t *) text, sizeof(text) - 1);

    assert_ptr_equal(p, out + sizeof(line) - 1);
    assert_memory_equal(out, line, sizeof(line) - 1);
    free(out);
}


static void
assert_escaped(const char *bytes, size_t len, const char *expected)
{
    size_t    size;
    uint8_t  *in, *out, *end;

    in = exact_copy(bytes, len);
    size = flux_json_escaped_size(in, len);
    assert_int_equal(size, strlen(expected));

    out = exact_copy(expected, size);
    memset(out, 0, size);
    end = flux_json_escape(out, in, len);

    assert_ptr_equal(end, out + size);
    assert_memory_equal(out, expected, size);
    assert_int_equal(flux_json_verbatim(in, len),
                     size == len && memcmp(in, out, len) == 0);

    free(out);
    free(in);
}


static void
test_escape_writes_what_json_stringify_writes(void **state)
{
    (void) state;

    assert_escaped("", 0, "");
    assert_escaped("plain / text \x7f", 14, "plain / text \x7f");
    assert_escaped("\"\\", 2, "\\\"\\\\");
    assert_escaped("\b\t\n\f\r", 5, "\\b\\t\\n\\f\\r");
    assert_escaped("\0\x01\x0b\x1f", 4, "\\u0000\\u0001\\u000b\\u001f");
    assert_escaped("\xe2\x80\xa8\xe2\x80\xa9", 6, "\xe2\x80\xa8\xe2\x80\xa9");
    assert_escaped("\xef\xbb\xbf" "a", 4, "\xef\xbb\xbf" "a");
    assert_escaped("0123456789abcdef\"0123456789abcdef\n", 34,
                   "0123456789abcdef\\\"0123456789abcdef\\n");
}


/* the examples of Unicode 15, section 3.9, and of the WHATWG's tests */
static void
test_escape_replaces_as_the_whatwg_decoder_does(void **state)
{
    #define R  "\xef\xbf\xbd"

    (void) state;

    assert_escaped("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82" "A", 9,
                   R R R R R R R R "A");
    assert_escaped("\xed\xa0\x80\xed\xbf\xbf\xed\xaf" "A", 9,
                   R R R R R R R R "A");
    assert_escaped("\xf4\x91\x92\x93\xff" "A\x80\xbf" "B", 9,
                   R R R R R "A" R R "B");
    assert_escaped("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf" "A", 9,
                   R R R R "A");
    assert_escaped("\xe2\x82", 2, R);
    assert_escaped("\xf0\x9f\x98", 3, R);
    assert_escaped("\xf0\x9f\x98\"", 4, R "\\\"");

    #undef R
}


static void
test_escaped_bytes_are_always_a_json_string(void **state)
{
    size_t    i, len, newlines;
    uint8_t   in[64], out[2 + 6 * sizeof(in)], *p;
    uint32_t  round, seed = 7;

    (void) state;

    for (round = 0; round < 20000; round++) {
        len = next_random(&seed) % (sizeof(in) + 1);

        for (i = 0; i < len; i++) {
            in[i] = (uint8_t) next_random(&seed);
        }

        out[0] = '"';
        p = flux_json_escape(out + 1, in, len);
        assert_int_equal(p - out - 1, flux_json_escaped_size(in, len));
        *p++ = '"';

        assert_int_equal(flux_json_check(out, (size_t) (p - out), &newlines),
                         FLUX_JSON_OK);
        assert_int_equal(newlines, 0);
    }
}


/* an own decoder, by arithmetic: what is encoded again gives the same bytes */
static int
is_utf8(const uint8_t *p, size_t len)
{
    size_t    i, n;
    uint32_t  code;

    while (len) {
        n = (*p < 0x80) ? 1 : (*p >> 5 == 6) ? 2 : (*p >> 4 == 14) ? 3
            : (*p >> 3 == 30) ? 4 : 0;

        if (n == 0 || n > len) {
            return 0;
        }

        code = (n == 1) ? *p : *p & (0x7f >> n);

        for (i = 1; i < n; i++) {
            if (p[i] >> 6 != 2) {
                return 0;
            }
            code = code << 6 | (p[i] & 0x3f);
        }

        if ((n == 2 && code < 0x80) || (n == 3 && code < 0x800)
            || (n == 4 && code < 0x10000) || code > 0x10ffff
            || (code >= 0xd800 && code <= 0xdfff))
        {
            return 0;
        }

        p += n;
        len -= n;
    }

    return 1;
}


static void
test_utf8_is_judged_as_arithmetic_does(void **state)
{
    uint8_t   p[12];
    uint32_t  a, b, seed = 3;

    (void) state;

    assert_true(flux_utf8_valid(NULL, 0));

    for (a = 0; a < 256; a++) {
        for (b = 0; b < 65536; b++) {
            p[0] = (uint8_t) a;
            p[1] = (uint8_t) (b >> 8);
            p[2] = (uint8_t) b;
            p[3] = (uint8_t) (0x80 | (next_random(&seed) & 0x3f));

            if (flux_utf8_valid(p, 3) != is_utf8(p, 3)
                || flux_utf8_valid(p, 4) != is_utf8(p, 4))
            {
                fail_msg("%02x %02x %02x %02x", p[0], p[1], p[2], p[3]);
            }
        }
    }

    /* behind a whole word of ASCII, and before one */
    memcpy(p, "01234567\xe2\x82\xac", 11);
    assert_true(flux_utf8_valid(p, 11));
    assert_false(flux_utf8_valid(p, 10));
    assert_false(flux_utf8_valid(p, 9));
    assert_false(flux_utf8_valid((const uint8_t *) "\x80" "0123456789", 11));
}


static void
test_every_status_has_a_text(void **state)
{
    int  status;

    (void) state;

    for (status = FLUX_JSON_OK; status <= FLUX_JSON_UTF8; status++) {
        assert_string_not_equal(
            flux_json_strerror((flux_json_status_t) status), "unknown");
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_any_value_may_stand_at_the_top),
        cmocka_unit_test(test_numbers_follow_the_grammar),
        cmocka_unit_test(test_strings_follow_the_grammar),
        cmocka_unit_test(test_containers_follow_the_grammar),
        cmocka_unit_test(test_a_nul_byte_is_no_json),
        cmocka_unit_test(test_strings_are_utf8),
        cmocka_unit_test(test_depth_is_bounded_and_the_bound_is_reached),
        cmocka_unit_test(
            test_objects_and_arrays_are_told_apart_at_every_depth),
        cmocka_unit_test(
            test_every_cut_and_every_changed_byte_is_judged_alike),
        cmocka_unit_test(test_newlines_are_counted_and_left_out_by_copy),
        cmocka_unit_test(test_escape_writes_what_json_stringify_writes),
        cmocka_unit_test(test_escape_replaces_as_the_whatwg_decoder_does),
        cmocka_unit_test(test_escaped_bytes_are_always_a_json_string),
        cmocka_unit_test(test_utf8_is_judged_as_arithmetic_does),
        cmocka_unit_test(test_every_status_has_a_text),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
