/* Retry delays, circuit breaker and token bucket; the tests are the clock. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "flux_policy.h"


static void
test_backoff_grows_stays_in_bounds_and_uses_the_whole_range(void **state)
{
    int             i;
    int64_t         delay, most, least;
    unsigned        attempt;
    flux_random_t   r;

    (void) state;
    flux_random_seed(&r, 7);

    for (attempt = 0; attempt < 40; attempt++) {
        most = 0;
        least = INT64_MAX;

        for (i = 0; i < 500; i++) {
            delay = flux_backoff(&r, 1000, 60000, attempt);
            most = (delay > most) ? delay : most;
            least = (delay < least) ? delay : least;
        }

        if (attempt < 5) {
            assert_true(most <= (1000 << attempt));
            assert_true(most > (1000 << attempt) * 9 / 10);

        } else {
            assert_true(most <= 60000);
        }

        assert_true(least >= 0 && least < most / 10);
    }
}


static void
test_retry_after_is_clamped_to_an_hour(void **state)
{
    (void) state;

    assert_int_equal(flux_retry_after(-5), 0);
    assert_int_equal(flux_retry_after(7), 7000);
    assert_int_equal(flux_retry_after(3600), 3600000);
    assert_int_equal(flux_retry_after(INT64_MAX), 3600000);
}


static void
test_breaker_opens_probes_once_and_closes(void **state)
{
    int              i;
    flux_breaker_t   b;

    (void) state;
    flux_breaker_init(&b, 3, 1000, 4000);

    for (i = 0; i < 2; i++) {
        assert_true(flux_breaker_allow(&b, 0));
        flux_breaker_failure(&b, 0);
    }

    assert_true(flux_breaker_allow(&b, 0));
    flux_breaker_failure(&b, 0);

    assert_false(flux_breaker_allow(&b, 999));
    assert_int_equal(flux_breaker_wait(&b, 400), 600);

    assert_true(flux_breaker_allow(&b, 1000));
    assert_false(flux_breaker_allow(&b, 1000));      /* one probe only */

    flux_breaker_success(&b);
    assert_true(flux_breaker_allow(&b, 1001));
    assert_int_equal(flux_breaker_wait(&b, 1001), 0);
}


static void
test_breaker_waits_longer_after_each_failed_probe(void **state)
{
    int64_t         now;
    flux_breaker_t  b;

    (void) state;
    flux_breaker_init(&b, 1, 1000, 3000);

    flux_breaker_failure(&b, 0);
    assert_int_equal(flux_breaker_wait(&b, 0), 1000);

    now = 1000;
    assert_true(flux_breaker_allow(&b, now));
    flux_breaker_failure(&b, now);
    assert_int_equal(flux_breaker_wait(&b, now), 2000);

    now = 3000;
    assert_true(flux_breaker_allow(&b, now));
    flux_breaker_failure(&b, now);
    assert_int_equal(flux_breaker_wait(&b, now), 3000);
}


static void
test_breaker_probe_that_said_nothing_is_repeated(void **state)
{
    flux_breaker_t  b;

    (void) state;
    flux_breaker_init(&b, 1, 1000, 3000);

    flux_breaker_failure(&b, 0);
    assert_true(flux_breaker_allow(&b, 1000));
    flux_breaker_cancel(&b);
    assert_true(flux_breaker_allow(&b, 1000));
}


static void
test_bucket_allows_a_burst_and_then_the_rate(void **state)
{
    int             taken;
    int64_t         now;
    flux_bucket_t   b;

    (void) state;
    flux_bucket_init(&b, 2500, 5, 0);       /* 2.5 per second, burst 5 */

    for (taken = 0; flux_bucket_take(&b, 0); taken++) { /* void */ }
    assert_int_equal(taken, 5);

    for (taken = 0, now = 0; now <= 100000; now += 7) {
        taken += flux_bucket_take(&b, now);
    }

    assert_in_range(taken, 249, 250);
}


static void
test_bucket_wait_is_exact(void **state)
{
    int64_t        now, wait;
    flux_bucket_t  b;

    (void) state;
    flux_bucket_init(&b, 700, 1, 0);
    now = 12;
    assert_true(flux_bucket_take(&b, now));

    wait = flux_bucket_wait(&b, now);
    assert_in_range(wait, 1, 1430);
    assert_false(flux_bucket_take(&b, now + wait - 3));
    assert_true(flux_bucket_take(&b, now + wait + 1));
}


static void
test_bucket_block_holds_and_ends(void **state)
{
    flux_bucket_t  b;

    (void) state;
    flux_bucket_init(&b, 1000000, 100, 0);
    flux_bucket_block(&b, 0, 5000);

    assert_false(flux_bucket_take(&b, 4999));
    assert_int_equal(flux_bucket_wait(&b, 1000), 4000);
    assert_true(flux_bucket_take(&b, 5000));
}


static void
test_random_is_repeatable_and_seeds_differ(void **state)
{
    int            i, same;
    flux_random_t  a, b, c;

    (void) state;
    flux_random_seed(&a, 1);
    flux_random_seed(&b, 1);
    flux_random_seed(&c, 2);

    for (i = same = 0; i < 100; i++) {
        assert_int_equal(flux_random_below(&a, 1000),
                         flux_random_below(&b, 1000));
        same += (flux_random_below(&a, 1000) == flux_random_below(&c, 1000));
        flux_random_below(&b, 1000);
    }

    assert_true(same < 10);
    assert_int_equal(flux_random_below(&a, 0), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(
            test_backoff_grows_stays_in_bounds_and_uses_the_whole_range),
        cmocka_unit_test(test_retry_after_is_clamped_to_an_hour),
        cmocka_unit_test(test_breaker_opens_probes_once_and_closes),
        cmocka_unit_test(test_breaker_waits_longer_after_each_failed_probe),
        cmocka_unit_test(test_breaker_probe_that_said_nothing_is_repeated),
        cmocka_unit_test(test_bucket_allows_a_burst_and_then_the_rate),
        cmocka_unit_test(test_bucket_wait_is_exact),
        cmocka_unit_test(test_bucket_block_holds_and_ends),
        cmocka_unit_test(test_random_is_repeatable_and_seeds_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
