/* The JSON reader and writer, and base64 beside them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "flux_base64.h"
#include "flux_tree.h"
#include "flux_writer.h"


static flux_rc_t
parse(flux_tree_t *tree, const char *text)
{
    return flux_tree_parse(tree, text, strlen(text));
}


static void
test_numbers_keep_their_text(void **state)
{
    int64_t             n;
    flux_tree_t         tree;
    const flux_node_t  *root;

    (void) state;

    assert_int_equal(parse(&tree, "{\"a\":1.10,\"b\":-0.0,\"c\":1.2e-07,"
                                  "\"d\":12345678901234567890.123,"
                                  "\"i\":1700000000123}"), FLUX_OK);
    root = flux_tree_root(&tree);

    assert_string_equal(flux_tree_number(&tree, root, "a"), "1.10");
    assert_string_equal(flux_tree_number(&tree, root, "b"), "-0.0");
    assert_string_equal(flux_tree_number(&tree, root, "c"), "1.2e-07");
    assert_string_equal(flux_tree_number(&tree, root, "d"),
                        "12345678901234567890.123");
    assert_int_equal(flux_tree_int(&tree, root, "i", &n), FLUX_OK);
    assert_true(n == 1700000000123);
    assert_int_equal(flux_tree_int(&tree, root, "a", &n), FLUX_INVALID);
    assert_int_equal(flux_tree_int(&tree, root, "d", &n), FLUX_INVALID);
    assert_null(flux_tree_string(&tree, root, "a"));
    assert_null(flux_tree_number(&tree, root, "missing"));

    flux_tree_free(&tree);
}


static void
test_strings_are_decoded(void **state)
{
    flux_tree_t  tree;

    (void) state;

    assert_int_equal(parse(&tree, "[\"a\\n\\\"\\\\\\/\\u00e9\\ud83d\\ude00z\","
                                  "\"\",\"\xc3\xa9\"]"), FLUX_OK);
    assert_string_equal(
        flux_tree_item(&tree, flux_tree_root(&tree), 0)->text,
        "a\n\"\\/\xc3\xa9\xf0\x9f\x98\x80z");
    assert_string_equal(
        flux_tree_item(&tree, flux_tree_root(&tree), 1)->text, "");
    assert_string_equal(
        flux_tree_item(&tree, flux_tree_root(&tree), 2)->text, "\xc3\xa9");
    assert_null(flux_tree_item(&tree, flux_tree_root(&tree), 3));

    flux_tree_free(&tree);
}


static void
test_paths_walk_past_what_is_missing(void **state)
{
    size_t              n;
    flux_tree_t         tree;
    const flux_node_t  *root, *list, *item;

    (void) state;

    assert_int_equal(parse(&tree, "{\"a\":{\"b\":[1,[2,3],{\"c\":4}]},"
                                  "\"z\":true,\"a\":5}"), FLUX_OK);
    root = flux_tree_root(&tree);
    list = flux_tree_member(&tree, flux_tree_member(&tree, root, "a"), "b");

    n = 0;

    for (item = flux_tree_first(&tree, list);
         item != NULL;
         item = flux_tree_next(&tree, list, item))
    {
        n++;
    }

    assert_int_equal(n, 3);
    assert_string_equal(flux_tree_number(&tree,
                                         flux_tree_item(&tree, list, 2),
                                         "c"), "4");
    assert_null(flux_tree_member(&tree, flux_tree_member(&tree, root, "q"),
                                 "b"));
    assert_int_equal(flux_tree_member(&tree, root, "z")->type,
                     FLUX_NODE_TRUE);

    flux_tree_free(&tree);
}


static void
test_what_is_not_json_is_refused(void **state)
{
    size_t       i;
    flux_tree_t  tree;

    static const char *const  texts[] = {
        " ", "{", "}", "[1,]", "{\"a\":1,}", "{\"a\"}", "{a:1}", "01", "1.",
        "-", "+1", "1e", "\"\\x\"", "\"\\u12\"", "\"\\u0000\"",
        "\"\\ud800\"", "\"\\udc00\"", "\"\xff\"", "\"\xc0\x80\"", "\"\n\"",
        "nul", "truee", "[1] 2", "'a'", "[1 2]", "\"abc", "NaN", "\"\\"
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(parse(&tree, texts[i]), FLUX_INVALID);
        assert_null(flux_tree_root(&tree));
        flux_tree_free(&tree);
    }

    assert_int_equal(flux_tree_parse(&tree, "", 0), FLUX_INVALID);
    flux_tree_free(&tree);
}


static void
test_depth_and_nodes_are_bounded(void **state)
{
    char        *text;
    size_t       n;
    flux_tree_t  tree;

    (void) state;

    n = FLUX_TREE_DEPTH + 1;
    text = malloc(2 * FLUX_TREE_NODES + 4);
    if (text == NULL) {
        fail();
        return;
    }

    memset(text, '[', n);
    memset(text + n, ']', n);
    assert_int_equal(flux_tree_parse(&tree, text, 2 * n), FLUX_FULL);
    flux_tree_free(&tree);

    assert_int_equal(flux_tree_parse(&tree, text + 1, 2 * (n - 1)), FLUX_OK);
    flux_tree_free(&tree);

    memset(text, '[', 1);
    for (n = 1; n < 2 * FLUX_TREE_NODES; n += 2) {
        text[n] = '1';
        text[n + 1] = ',';
    }
    text[n] = '1';
    text[n + 1] = ']';
    assert_int_equal(flux_tree_parse(&tree, text, n + 2), FLUX_FULL);
    flux_tree_free(&tree);

    free(text);
}


static void
test_writer_escapes_and_nests(void **state)
{
    flux_buffer_t  out;
    flux_writer_t  w;

    (void) state;
    flux_buffer_init(&out, 1000);
    flux_writer_init(&w, &out);

    flux_write_object(&w, NULL);
    flux_write_text(&w, "a\"", "x\n\x01\xff\xc3\xa9\\");
    flux_write_array(&w, "list");
    flux_write_number(&w, NULL, "1.10");
    flux_write_number(&w, NULL, NULL);
    flux_write_object(&w, NULL);
    flux_write_end(&w);
    flux_write_end(&w);
    flux_write_int(&w, "n", INT64_MIN);
    flux_write_bool(&w, "b", 1);
    flux_write_text(&w, "none", NULL);
    flux_write_end(&w);

    assert_int_equal(out.failed, FLUX_OK);
    assert_string_equal(out.data,
                        "{\"a\\\"\":\"x\\u000a\\u0001\xef\xbf\xbd\xc3\xa9"
                        "\\\\\",\"list\":[1.10,null,{}],"
                        "\"n\":-9223372036854775808,\"b\":true,"
                        "\"none\":null}");
    flux_buffer_free(&out);
}


static void
test_writer_tells_when_the_buffer_is_full(void **state)
{
    flux_buffer_t  out;
    flux_writer_t  w;

    (void) state;
    flux_buffer_init(&out, 10);
    flux_writer_init(&w, &out);

    flux_write_object(&w, NULL);
    flux_write_text(&w, "name", "a text of more than ten bytes");
    flux_write_end(&w);

    assert_int_equal(out.failed, FLUX_FULL);
    assert_true(out.len <= 10);
    flux_buffer_free(&out);
}


static void
test_base64_both_ways(void **state)
{
    size_t         n;
    char           bytes[64];
    flux_buffer_t  text, back;

    (void) state;

    for (n = 0; n < sizeof(bytes); n++) {
        bytes[n] = (char) (n * 37 + 200);
    }

    for (n = 0; n <= sizeof(bytes); n++) {
        flux_buffer_init(&text, 200);
        flux_buffer_init(&back, 200);

        flux_base64_encode(&text, bytes, n);
        assert_int_equal(flux_base64_decode(&back, n ? text.data : ""),
                         FLUX_OK);
        assert_int_equal(back.len, n);
        assert_memory_equal(back.data ? back.data : "", bytes, n);

        flux_buffer_free(&text);
        flux_buffer_free(&back);
    }

    flux_buffer_init(&back, 200);
    assert_int_equal(flux_base64_decode(&back, "QQ="), FLUX_INVALID);
    assert_int_equal(flux_base64_decode(&back, "Q==="), FLUX_INVALID);
    assert_int_equal(flux_base64_decode(&back, "QQ==QQ=="), FLUX_INVALID);
    assert_int_equal(flux_base64_decode(&back, "Q*=="), FLUX_INVALID);
    flux_buffer_free(&back);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_numbers_keep_their_text),
        cmocka_unit_test(test_strings_are_decoded),
        cmocka_unit_test(test_paths_walk_past_what_is_missing),
        cmocka_unit_test(test_what_is_not_json_is_refused),
        cmocka_unit_test(test_depth_and_nodes_are_bounded),
        cmocka_unit_test(test_writer_escapes_and_nests),
        cmocka_unit_test(test_writer_tells_when_the_buffer_is_full),
        cmocka_unit_test(test_base64_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
