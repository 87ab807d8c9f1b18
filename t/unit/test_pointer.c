#include "unit.h"
#include "flux_json.h"
#include "flux_pointer.h"

#include <jansson.h>


#define NONE  NULL


typedef struct {
    const char  *json;
    const char  *pointer;
    const char  *text;          /* NONE: there is no such value */
} pointer_case_t;


static ptrdiff_t
lookup(const char *json, const char *pointer, uint8_t *dst, size_t size)
{
    size_t      newlines;
    uint8_t    *j = exact_copy(json, strlen(json));
    uint8_t    *p = exact_copy(pointer, strlen(pointer));
    ptrdiff_t   n;

    assert_int_equal(flux_json_check(j, strlen(json), &newlines),
                     FLUX_JSON_OK);

    n = flux_pointer_text(j, strlen(json), p, strlen(pointer), dst, size);

    free(j);
    free(p);

    return n;
}


static void
assert_cases(const pointer_case_t *cases, size_t count)
{
    size_t     i;
    uint8_t    text[64];
    ptrdiff_t  n;

    for (i = 0; i < count; i++) {
        n = lookup(cases[i].json, cases[i].pointer, text, sizeof(text));

        if (cases[i].text == NONE
            ? n != -1
            : n != (ptrdiff_t) strlen(cases[i].text)
              || memcmp(text, cases[i].text, (size_t) n) != 0)
        {
            fail_msg("%s of %s", cases[i].pointer, cases[i].json);
        }
    }
}


static void
test_scalars_are_found_as_their_text(void **state)
{
    static const pointer_case_t  cases[] = {
        { "{\"a\":\"x\"}", "/a", "x" },
        { " { \"b\" : 1 , \"a\" :\n \"x\" } ", "/a", "x" },
        { "{\"a\":{\"b\":[1,[2,3],{\"c\":\"x\"}]}}", "/a/b/2/c", "x" },
        { "{\"a\":{\"b\":[1,[2,3],{\"c\":\"x\"}]}}", "/a/b/1/1", "3" },
        { "{\"a\":18446744073709551616.10e+5}", "/a",
          "18446744073709551616.10e+5" },
        { "[-0,true , false]", "/0", "-0" },
        { "[-0,true , false]", "/1", "true" },
        { "[-0,true , false]", "/2", "false" },
        { "\"x\"", "", "x" }, { " 7 ", "", "7" },
        { "{\"a\":\"\"}", "/a", "" },
        { "{\"a\":1,\"a\":2}", "/a", "2" },
    };

    (void) state;

    assert_cases(cases, countof(cases));
}


static void
test_what_is_no_scalar_is_not_found(void **state)
{
    static const pointer_case_t  cases[] = {
        { "{\"a\":null}", "/a", NONE }, { "{\"a\":{}}", "/a", NONE },
        { "{\"a\":[1]}", "/a", NONE }, { "{}", "/a", NONE },
        { "[]", "/0", NONE }, { "[1]", "/1", NONE }, { "[1]", "/-", NONE },
        { "[1]", "/00", NONE }, { "[1]", "/", NONE }, { "[1]", "/0/0", NONE },
        { "{\"a\":1}", "", NONE }, { "1", "/a", NONE },
        { "{\"ab\":1}", "/a", NONE }, { "{\"a\":1}", "/ab", NONE },
        { "[1,2,3,4]", "/9999999999", NONE },
    };

    (void) state;

    assert_cases(cases, countof(cases));
}


static void
test_names_may_hold_anything(void **state)
{
    static const pointer_case_t  cases[] = {
        { "{\"\":\"x\"}", "/", "x" }, { "{\"a/b\":1}", "/a~1b", "1" },
        { "{\"a~b\":1}", "/a~0b", "1" }, { "{\"~1\":1}", "/~01", "1" },
        { "{\"\\u00e9\":1}", "/\xc3\xa9", "1" },
        { "{\"\\ud83d\\ude00\":1}", "/\xf0\x9f\x98\x80", "1" },
        { "{\"a\\\"}\":0,\"b\":1}", "/b", "1" },
        { "{\"a\":\"\\\\\",\"b\":1}", "/b", "1" },
        { "{\"\\ud800\":0,\"b\":1}", "/b", "1" },
    };

    (void) state;

    assert_cases(cases, countof(cases));
}


static void
test_escapes_become_characters(void **state)
{
    static const pointer_case_t  cases[] = {
        { "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]", "/0", "\"\\/\b\f\n\r\t" },
        { "[\"\\u0041\\u00E9\\u20ac\\uD83D\\uDE00\"]", "/0",
          "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "[\"\\ud800\"]", "/0", NONE }, { "[\"\\udc00\"]", "/0", NONE },
        { "[\"\\ud800x\"]", "/0", NONE },
        { "[\"\\ud800\\u0041\"]", "/0", NONE },
    };

    (void) state;

    assert_cases(cases, countof(cases));
}


static void
test_a_text_that_does_not_fit_is_not_found(void **state)
{
    uint8_t  text[8];

    (void) state;

    assert_int_equal(lookup("[\"12345678\"]", "/0", text, 8), 8);
    assert_int_equal(lookup("[\"123456789\"]", "/0", text, 8), -1);
    assert_int_equal(lookup("[123456789]", "/0", text, 8), -1);
    assert_int_equal(lookup("[\"1234567\\u00e9\"]", "/0", text, 8), -1);
}


/* --- beside jansson ------------------------------------------------------- */

static char *
grow(char *p, uint32_t *random, int depth)
{
    static const char  *scalars[] = {
        "1", "-2.5", "true", "null", "\"s\"", "\"\\u00e9\\n\"", "\"\"",
        "\"a]}b\"", "\"\\\\\"",
    };
    static const char  *names[] = { "a", "b", "", "a/b", "~", "\\u0061" };

    uint32_t  i, n, kind = next_random(random) % (depth ? 3 : 1);

    if (kind == 0) {
        return p + sprintf(p, "%s",
                           scalars[next_random(random) % countof(scalars)]);
    }

    *p++ = kind == 1 ? '{' : '[';
    n = next_random(random) % 4;

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s%s", i ? "," : "",
                     next_random(random) % 4 ? "" : " ");

        if (kind == 1) {
            p += sprintf(p, "\"%s\"%s:",
                         names[next_random(random) % countof(names)],
                         next_random(random) % 4 ? "" : "\n");
        }

        p = grow(p, random, depth - 1);
    }

    *p++ = kind == 1 ? '}' : ']';
    *p = '\0';

    return p;
}


static void
test_finds_what_jansson_finds(void **state)
{
    /* a token, and the name or index that it stands for */
    static const char  *tokens[][2] = {
        { "a", "a" }, { "b", "b" }, { "", "" }, { "a~1b", "a/b" },
        { "~0", "~" }, { "0", "0" }, { "1", "1" }, { "2", "2" },
    };

    char         json[8192], pointer[64], expected[64];
    int          run, depth, k, length;
    size_t       t;
    json_t      *root, *at;
    uint8_t      text[64];
    uint32_t     random = 1;
    ptrdiff_t    n;

    (void) state;

    for (run = 0; run < 20000; run++) {
        grow(json, &random, 4);

        root = json_loads(json, JSON_DECODE_ANY, NULL);
        assert_non_null(root);

        at = root;
        depth = (int) (next_random(&random) % 4);
        pointer[0] = '\0';

        for (k = 0; k < depth; k++) {
            t = next_random(&random) % countof(tokens);
            strcat(strcat(pointer, "/"), tokens[t][0]);

            if (json_is_object(at)) {
                at = json_object_get(at, tokens[t][1]);

            } else if (json_is_array(at) && tokens[t][1][0] >= '0'
                       && tokens[t][1][0] <= '9')
            {
                at = json_array_get(at, (size_t) atoi(tokens[t][1]));

            } else {
                at = NULL;
            }
        }

        length = -1;

        if (json_is_string(at)) {
            length = sprintf(expected, "%s", json_string_value(at));

        } else if (json_is_true(at)) {
            length = sprintf(expected, "true");

        } else if (json_is_integer(at)) {
            length = sprintf(expected, "1");

        } else if (json_is_real(at)) {
            length = sprintf(expected, "-2.5");
        }

        n = lookup(json, pointer, text, sizeof(text));

        if (n != length || (n > 0 && memcmp(text, expected, (size_t) n) != 0)) {
            fail_msg("%s of %s", pointer, json);
        }

        json_decref(root);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_scalars_are_found_as_their_text),
        cmocka_unit_test(test_what_is_no_scalar_is_not_found),
        cmocka_unit_test(test_names_may_hold_anything),
        cmocka_unit_test(test_escapes_become_characters),
        cmocka_unit_test(test_a_text_that_does_not_fit_is_not_found),
        cmocka_unit_test(test_finds_what_jansson_finds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
