/* What waits for Kafka: the newest of each key, bounded, in order. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "flux_outbox.h"


static const flux_topic_t  topic_a = { "a", NULL, 0 };
static const flux_topic_t  topic_b = { "b", NULL, 0 };


static void
put(flux_outbox_t *box, const flux_topic_t *topic, const char *key,
    const char *value)
{
    assert_int_equal(flux_outbox_put(box, topic, key, strlen(key), value,
                                     strlen(value)), FLUX_OK);
}


static void
give_back(flux_outbox_t *box, const flux_topic_t *topic, const char *key,
    const char *value)
{
    assert_int_equal(flux_outbox_return(box, topic, key, strlen(key), value,
                                        strlen(value)), FLUX_OK);
}


static void
assert_next(flux_outbox_t *box, const flux_topic_t *topic, const char *key,
    const char *value)
{
    const flux_record_t  *r;

    r = flux_outbox_first(box);
    assert_non_null(r);
    assert_ptr_equal(r->topic, topic);
    assert_int_equal(r->key_len, strlen(key));
    assert_memory_equal(r->data, key, r->key_len);
    assert_int_equal(r->value_len, strlen(value));
    assert_memory_equal(r->data + r->key_len, value, r->value_len);
    flux_outbox_remove_first(box);
}


static void
test_newest_record_of_a_key_takes_its_place(void **state)
{
    flux_outbox_t  box;

    (void) state;
    assert_int_equal(flux_outbox_init(&box, 100, 100000), FLUX_OK);

    put(&box, &topic_a, "btc", "1");
    put(&box, &topic_a, "eth", "2");
    put(&box, &topic_b, "btc", "3");
    put(&box, &topic_a, "btc", "4");

    assert_int_equal(box.replaced, 1);
    assert_next(&box, &topic_a, "btc", "4");
    assert_next(&box, &topic_a, "eth", "2");
    assert_next(&box, &topic_b, "btc", "3");
    assert_null(flux_outbox_first(&box));
    assert_int_equal(box.bytes, 0);

    flux_outbox_free(&box);
}


static void
test_returned_record_goes_first_but_never_over_a_newer_one(void **state)
{
    flux_outbox_t  box;

    (void) state;
    assert_int_equal(flux_outbox_init(&box, 100, 100000), FLUX_OK);

    put(&box, &topic_a, "btc", "new");
    give_back(&box, &topic_a, "btc", "old");
    give_back(&box, &topic_a, "eth", "old");

    assert_next(&box, &topic_a, "eth", "old");
    assert_next(&box, &topic_a, "btc", "new");

    flux_outbox_free(&box);
}


static void
test_of_two_returned_records_of_a_key_the_later_one_stays(void **state)
{
    flux_outbox_t  box;

    (void) state;
    assert_int_equal(flux_outbox_init(&box, 100, 100000), FLUX_OK);

    give_back(&box, &topic_a, "paris", "first");
    give_back(&box, &topic_a, "rome", "first");
    give_back(&box, &topic_a, "paris", "second");
    put(&box, &topic_a, "rome", "new");
    give_back(&box, &topic_a, "rome", "second");

    assert_int_equal(box.count, 2);
    assert_next(&box, &topic_a, "rome", "new");
    assert_next(&box, &topic_a, "paris", "second");

    flux_outbox_free(&box);
}


static void
test_bounds_hold_and_the_oldest_leaves(void **state)
{
    int            i;
    char           key[32];
    flux_outbox_t  box;

    (void) state;
    assert_int_equal(flux_outbox_init(&box, 1000, 100000000), FLUX_OK);

    for (i = 0; i < 25000; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        put(&box, &topic_a, key, "value");
        assert_true(box.count <= 1000);
    }

    assert_int_equal(box.dropped, 24000);
    assert_next(&box, &topic_a, "key-24000", "value");
    flux_outbox_free(&box);

    assert_int_equal(flux_outbox_init(&box, 1000, 400), FLUX_OK);
    for (i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        put(&box, &topic_a, key, "value");
        assert_true(box.bytes <= 400);
    }

    snprintf(key, sizeof(key), "large");
    assert_int_equal(flux_outbox_put(&box, &topic_a, key, 5, (char [400]) {0},
                                     400), FLUX_FULL);
    flux_outbox_free(&box);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_newest_record_of_a_key_takes_its_place),
        cmocka_unit_test(
            test_returned_record_goes_first_but_never_over_a_newer_one),
        cmocka_unit_test(
            test_of_two_returned_records_of_a_key_the_later_one_stays),
        cmocka_unit_test(test_bounds_hold_and_the_oldest_leaves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
