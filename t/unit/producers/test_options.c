/* Settings: every type's good and bad values, the environment, secrets. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "flux_options.h"


static int64_t      rate, wait_ms, count;
static int          flag;
static const char  *text, *url, *choice;
static char         secret[FLUX_SECRET_SIZE];
static flux_list_t  list;

static const flux_option_t  own[] = {
    { FLUX_OPTION_GROUP, "Group:", NULL, NULL, NULL, 0, 0, NULL },
    { FLUX_OPTION_RATE, "rate", "N", "help", &rate, 100, 1000000, NULL },
    { FLUX_OPTION_TIME, "some-wait", "TIME", "help", &wait_ms, 100, 3600000,
      NULL },
    { FLUX_OPTION_INTEGER, "count", "N", "help", &count, -5, 5, NULL },
    { FLUX_OPTION_FLAG, "flag", NULL, "help", &flag, 0, 0, NULL },
    { FLUX_OPTION_TEXT, "text", "T", "help", &text, 0, 0, NULL },
    { FLUX_OPTION_URL, "url", "URL", "help", &url, 0, 0, NULL },
    { FLUX_OPTION_CHOICE, "choice", "C", "help", &choice, 0, 0, "a|bc" },
    { FLUX_OPTION_SECRET, "token", NULL, "help", secret, 0, 0, NULL },
    { FLUX_OPTION_LIST, "list", "L", "help", &list, 0, 0, NULL },
    { FLUX_OPTION_GROUP, NULL, NULL, NULL, NULL, 0, 0, NULL }
};

static const flux_option_t  common[] = {
    { FLUX_OPTION_GROUP, NULL, NULL, NULL, NULL, 0, 0, NULL }
};


static int
parse(const char *a, const char *b)
{
    char            *argv[4];
    flux_options_t   options = { "test", "", "", own, common };

    argv[0] = (char *) "test";
    argv[1] = (char *) a;
    argv[2] = (char *) b;
    argv[3] = NULL;

    return flux_options_parse(&options, 1 + (a != NULL) + (b != NULL), argv);
}


static int
reset(void **state)
{
    size_t              i;
    static const char  *names[] = { "RATE", "SOME_WAIT", "TOKEN",
                                    "TOKEN_FILE", "LIST", "FLAG", "URL" };

    (void) state;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unsetenv(names[i]);
    }

    rate = wait_ms = count = 0;
    flag = 0;
    text = url = choice = NULL;
    memset(secret, 0, sizeof(secret));
    flux_list_free(&list);

    return 0;
}


static void
test_numbers_and_times(void **state)
{
    (void) state;

    assert_int_equal(parse("--rate", "0.5"), -1);
    assert_int_equal(rate, 500);
    assert_int_equal(parse("--rate=12.25", NULL), -1);
    assert_int_equal(rate, 12250);
    assert_int_equal(parse("--some-wait", "250ms"), -1);
    assert_int_equal(wait_ms, 250);
    assert_int_equal(parse("--some-wait", "1.5m"), -1);
    assert_int_equal(wait_ms, 90000);
    assert_int_equal(parse("--some-wait", "3"), -1);
    assert_int_equal(wait_ms, 3000);
    assert_int_equal(parse("--count", "-5"), -1);
    assert_int_equal(count, -5);

    assert_int_equal(parse("--rate", "0.0001"), 2);
    assert_int_equal(parse("--rate", "1e3"), 2);
    assert_int_equal(parse("--rate", "99999999999999999999"), 2);
    assert_int_equal(parse("--some-wait", "2 h"), 2);
    assert_int_equal(parse("--some-wait", "9999999999999999d"), 2);
    assert_int_equal(parse("--some-wait", "h"), 2);
    assert_int_equal(parse("--count", "6"), 2);
    assert_int_equal(parse("--count", "5x"), 2);
    assert_int_equal(parse("--count", ""), 2);
}


static void
test_texts_urls_and_choices(void **state)
{
    (void) state;

    assert_int_equal(parse("--url", "https://example.org/a?b=c@d"), -1);
    assert_string_equal(url, "https://example.org/a?b=c@d");
    assert_int_equal(parse("--url", "https://user:pass@example.org"), 2);
    assert_int_equal(parse("--url", "ftp://example.org"), 2);
    assert_int_equal(parse("--url", "https://exa mple.org"), 2);
    assert_int_equal(parse("--url", "https://"), 2);
    assert_int_equal(parse("--choice", "bc"), -1);
    assert_int_equal(parse("--choice", "b"), 2);
    assert_int_equal(parse("--choice", ""), 2);
    assert_int_equal(parse("--text", ""), 2);
    assert_int_equal(parse("--flag", NULL), -1);
    assert_int_equal(flag, 1);
    assert_int_equal(parse("--flag=1", NULL), 2);
    assert_int_equal(parse("--unknown", NULL), 2);
    assert_int_equal(parse("stray", NULL), 2);
    assert_int_equal(parse("--text", NULL), 2);
}


static void
test_environment_counts_and_the_command_line_wins(void **state)
{
    (void) state;

    setenv("SOME_WAIT", "7s", 1);
    setenv("LIST", "x,y", 1);
    setenv("FLAG", "1", 1);

    assert_int_equal(parse(NULL, NULL), -1);
    assert_int_equal(wait_ms, 7000);
    assert_int_equal(flag, 0);
    assert_int_equal(list.count, 2);

    flux_list_free(&list);
    assert_int_equal(parse("--some-wait=8s", "--list=a, b ,,c"), -1);
    assert_int_equal(wait_ms, 8000);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[1], "b");
    assert_string_equal(list.items[2], "c");

    setenv("SOME_WAIT", "soon", 1);
    assert_int_equal(parse("--some-wait=8s", NULL), 2);
}


static void
test_secret_comes_from_environment_or_file_only(void **state)
{
    int    fd;
    char   path[] = "/tmp/flux-test-XXXXXX";

    (void) state;

    assert_int_equal(parse("--token", "abc"), 2);

    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "s3cret\n", 7), 7);

    assert_int_equal(parse("--token-file", path), -1);
    assert_string_equal(secret, "s3cret");

    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(parse("--token-file", path), 2);

    assert_int_equal(ftruncate(fd, 5000), 0);
    assert_int_equal(parse("--token-file", path), 2);

    close(fd);
    unlink(path);
    assert_int_equal(parse("--token-file", path), 2);

    setenv("TOKEN", "from-env", 1);
    assert_int_equal(parse(NULL, NULL), -1);
    assert_string_equal(secret, "from-env");

    setenv("TOKEN", "two words", 1);
    assert_int_equal(parse(NULL, NULL), 2);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup(test_numbers_and_times, reset),
        cmocka_unit_test_setup(test_texts_urls_and_choices, reset),
        cmocka_unit_test_setup(
            test_environment_counts_and_the_command_line_wins, reset),
        cmocka_unit_test_setup_teardown(
            test_secret_comes_from_environment_or_file_only, reset, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
