/* What feeds write: dates of two RFCs, titles with markup; and SHA-1. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "flux_buffer.h"
#include "flux_sha1.h"
#include "flux_websocket.h"
#include "../../../producers/news/text.c"


static void
test_dates_of_rss_and_atom(void **state)
{
    (void) state;

    assert_true(flux_news_date("Fri, 02 Jan 2026 03:04:05 +0000")
                == 1767323045000);
    assert_true(flux_news_date("02 Jan 2026 03:04:05 GMT") == 1767323045000);
    assert_true(flux_news_date("Fri, 2 Jan 2026 04:04:05 +0100")
                == 1767323045000);
    assert_true(flux_news_date("Thu, 01 Jan 2026 22:04:05 EST")
                == 1767323045000);
    assert_true(flux_news_date("Fri, 02 Jan 2026 03:04 Z")
                == 1767323040000);
    assert_true(flux_news_date("2026-01-02T03:04:05Z") == 1767323045000);
    assert_true(flux_news_date("2026-01-02T03:04:05.678Z")
                == 1767323045000);
    assert_true(flux_news_date("2026-01-01T21:34:05-05:30")
                == 1767323045000);
    assert_true(flux_news_date("2024-02-29T00:00:00Z") == 1709164800000);
    assert_true(flux_news_date("1970-01-01T00:00:01Z") == 1000);
}


static void
test_what_is_no_date_is_zero(void **state)
{
    size_t  i;

    static const char *const  texts[] = {
        "", "yesterday", "Fri, 99 Jan 2026 03:04:05 +0000",
        "Fri, 02 Foo 2026 03:04:05 +0000", "2026-13-02T03:04:05Z",
        "2026-01-02", "2026-01-02T25:04:05Z", "Fri, 02 Jan 1269 03:04:05",
        "99999999999999999999"
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_true(flux_news_date(texts[i]) == 0);
    }
}


static void
assert_plain(const char *html, const char *expected)
{
    char  out[64];

    flux_plain_text(out, sizeof(out), html);
    assert_string_equal(out, expected);
}


static void
test_markup_becomes_plain_text(void **state)
{
    (void) state;

    assert_plain("  One\n\t two  ", "One two");
    assert_plain("<p>Fish &amp; <b>chips</b></p>", "Fish & chips");
    assert_plain("a &lt;b&gt; c", "a <b> c");
    assert_plain("1 < 2 & 3", "1 < 2 & 3");
    assert_plain("x&#8230;&#x41;&#0;&#xd800;&nope;",
                 "x\xe2\x80\xa6" "A&#0;&#xd800;&nope;");
    assert_plain("<script>", "");
    assert_plain("broken <b", "broken <b");
    assert_plain("bad \xff\xc3 bytes", "bad bytes");
}


/* looking for the end at each of them would take a minute */

static void
test_two_megabytes_of_blanks_are_one(void **state)
{
    char    *html;
    size_t   size = 2 * 1024 * 1024;

    (void) state;

    html = malloc(size + 8);
    assert_non_null(html);

    memset(html, ' ', size);
    memcpy(html, "a", 1);
    memcpy(html + size, "b", 2);
    assert_plain(html, "a b");

    free(html);
}


static void
test_text_is_cut_between_characters(void **state)
{
    char  out[8];

    (void) state;

    flux_plain_text(out, sizeof(out), "abcde\xc3\xa9\xc3\xa9");
    assert_string_equal(out, "abcde\xc3\xa9");

    flux_plain_text(out, sizeof(out), "abcdef\xc3\xa9");
    assert_string_equal(out, "abcdef");
}


/* FIPS 180-4's examples, and RFC 6455's */

static void
test_sha1_and_the_handshakes_answer(void **state)
{
    char           out[32], million[64];
    size_t         i;
    unsigned char  hash[FLUX_SHA1_SIZE];

    static const unsigned char  abc[] = {
        0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e,
        0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d
    };
    static const unsigned char  long_one[] = {
        0x84, 0x98, 0x3e, 0x44, 0x1c, 0x3b, 0xd2, 0x6e, 0xba, 0xae,
        0x4a, 0xa1, 0xf9, 0x51, 0x29, 0xe5, 0xe5, 0x46, 0x70, 0xf1
    };

    (void) state;

    flux_sha1("abc", 3, hash);
    assert_memory_equal(hash, abc, sizeof(hash));

    flux_sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
              hash);
    assert_memory_equal(hash, long_one, sizeof(hash));

    for (i = 0; i < sizeof(million); i++) {
        million[i] = 'a';
    }

    flux_sha1(million, sizeof(million), hash);
    assert_int_equal(hash[0], 0x00);
    assert_int_equal(hash[1], 0x98);

    flux_websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", out);
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_dates_of_rss_and_atom),
        cmocka_unit_test(test_what_is_no_date_is_zero),
        cmocka_unit_test(test_markup_becomes_plain_text),
        cmocka_unit_test(test_two_megabytes_of_blanks_are_one),
        cmocka_unit_test(test_text_is_cut_between_characters),
        cmocka_unit_test(test_sha1_and_the_handshakes_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
