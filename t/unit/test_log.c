/* The log, case by case.  For many cases at once: test_log_model.c. */

#include "log_check.h"


#define AREA   FLUX_LOG_MIN
#define TOPIC  7


static uint8_t     area[AREA] __attribute__((aligned(64)));
static flux_log_t  flux;
static uint32_t    feed, partition;


static void
begin(uint8_t *memory, size_t size)
{
    log_format(&flux, memory, size);

    flux_log_begin(&flux);
    feed = flux_log_feed(&flux, 1, 1);
    partition = flux_log_partition(&flux, feed, TOPIC, 70, 0, 0);
    flux_log_end(&flux);
}


static int
setup(void **state)
{
    (void) state;

    begin(area, sizeof(area));

    return 0;
}


static void
other_retain(uint32_t retain)
{
    flux.header->feeds[feed].retain = retain;
}


/* value NULL: a tombstone */
static uint8_t *
try_put(uint32_t part, int64_t offset, const char *room, const char *key,
    const char *value, size_t length)
{
    uint8_t         *dst;
    flux_append_t    what;
    flux_message_t   m = { .feed = (const uint8_t *) "f", .feed_size = 1 };

    m.room = (const uint8_t *) room;
    m.room_size = strlen(room);
    m.key = (const uint8_t *) key;
    m.key_size = strlen(key);
    m.value = (const uint8_t *) value;
    m.value_size = length;
    m.ts = 1000 + offset;

    what.feed = flux.partitions[part].feed;
    what.partition = part;
    what.offset = offset;
    what.check = (uint16_t) (offset * 3 + 1);
    flux_message_measure(&m);
    flux_log_describe(&flux, &what, &m);

    dst = flux_log_reserve(&flux, &what);

    if (dst != NULL) {
        flux_message_write(dst, &m);
        flux_log_append(&flux, &what);
    }

    return dst;
}


static void
put_at(uint32_t part, int64_t offset, const char *room, const char *key,
    const char *value)
{
    flux_log_begin(&flux);
    assert_non_null(try_put(part, offset, room, key, value,
                            value ? strlen(value) : 0));
    flux_log_end(&flux);
}


static int64_t
put(const char *room, const char *key, const char *value)
{
    int64_t  offset = flux.partitions[partition].next;

    put_at(partition, offset, room, key, value);

    return offset;
}


/* records of other rooms, until the tail has passed this position */
static void
push_out(uint64_t position)
{
    static char  value[4000];

    memset(value, '1', sizeof(value) - 1);

    while (flux_log_reaches(&flux, position)) {
        put("filler", "filler", value);
    }
}


static uint32_t
room_of(const char *room)
{
    char  address[300];

    return flux_log_find_room(&flux, feed, (uint8_t *) address,
                              (size_t) sprintf(address, "f/%s", room));
}


static uint32_t
key_of(const char *room, const char *key)
{
    return flux_log_find_key(&flux, feed, room_of(room), (const uint8_t *) key,
                             strlen(key));
}


static const flux_key_t *
live_key(const char *room, const char *key)
{
    uint32_t  node = key_of(room, key);

    assert_int_not_equal(node, FLUX_NONE);
    assert_int_equal(flux_log_key(&flux, node)->room, room_of(room));

    return flux_log_key(&flux, node);
}


static flux_entry_t
next_entry(uint64_t *position)
{
    flux_entry_t  entry;

    do {
        assert_int_equal(flux_log_read(&flux, position, &entry), FLUX_OK);
    } while (entry.flags & FLUX_ENTRY_MOVED);

    return entry;
}


static void
assert_message(uint64_t end, const flux_entry_t *entry, const char *want)
{
    char  message[300] = "";

    assert_true(entry->message_length < sizeof(message));
    assert_int_equal(flux_log_copy(&flux, end - entry->size, 0,
                                   (uint8_t *) message, entry->message_length),
                     FLUX_OK);
    assert_string_equal(message, want);
}


static void
test_a_record_is_read_as_it_was_written(void **state)
{
    uint8_t       part[4];
    uint64_t      position = flux_log_head(&flux);
    flux_entry_t  entry;

    (void) state;

    assert_int_equal(flux_log_read(&flux, &position, &entry), FLUX_AGAIN);
    put("a", "k", "{}");

    entry = next_entry(&position);
    assert_int_equal(entry.kind, FLUX_ENTRY_RECORD);
    assert_int_equal(entry.offset, 0);
    assert_int_equal(entry.ts, 1000);
    assert_int_equal(entry.check, 1);
    assert_int_equal(entry.ordinal, 1);
    assert_int_equal(entry.room, room_of("a"));
    assert_message(position, &entry, "{\"type\":\"update\",\"room\":\"f/a\","
                   "\"key\":\"k\",\"ts\":1000,\"data\":{}}");

    assert_int_equal(flux_log_copy(&flux, position - entry.size, 2, part, 4),
                     FLUX_OK);
    assert_memory_equal(part, "type", 4);

    assert_int_equal(flux_log_read(&flux, &position, &entry), FLUX_AGAIN);
    log_check(&flux);
}


static void
test_another_area_is_not_attached(void **state)
{
    flux_log_t  other;

    (void) state;

    assert_int_equal(flux_log_attach(&other, area, sizeof(area)), FLUX_OK);
    assert_int_equal(flux_log_attach(&other, area, sizeof(area) - 1),
                     FLUX_BAD_LAYOUT);
    assert_int_equal(flux_log_attach(&other, area, 100), FLUX_BAD_LAYOUT);
    assert_int_equal(flux_log_format(&other, area, 100), FLUX_TOO_LARGE);

    flux.header->version++;
    assert_int_equal(flux_log_attach(&other, area, sizeof(area)),
                     FLUX_BAD_LAYOUT);
}


static void
test_a_reader_that_was_overtaken_is_told(void **state)
{
    uint8_t       byte;
    uint64_t      start = flux_log_head(&flux), position = start;
    flux_entry_t  entry;

    (void) state;

    put("a", "k", "1");
    push_out(start);

    while (flux.header->intent - start <= flux.ring_size) {
        put("a", "k", "1");
    }

    assert_int_equal(flux_log_read(&flux, &position, &entry), FLUX_LOST);
    assert_int_equal(position, start);
    assert_int_equal(flux_log_copy(&flux, start, 0, &byte, 1), FLUX_LOST);
}


static void
test_what_was_given_up_stays_announced(void **state)
{
    uint64_t       intent;
    flux_append_t  what = { .feed = feed, .message_length = 50000 };

    (void) state;

    flux_log_begin(&flux);
    assert_non_null(flux_log_reserve(&flux, &what));
    intent = flux.header->intent;
    assert_true(intent >= flux_log_head(&flux) + 50000);
    flux_log_end(&flux);

    put("a", "k", "1");
    assert_int_equal(flux.header->intent, intent);
    log_check(&flux);
}


static void
test_a_record_too_large_is_refused(void **state)
{
    static char  value[FLUX_LOG_MIN];

    (void) state;

    memset(value, '1', sizeof(value));
    flux_log_begin(&flux);
    assert_null(try_put(partition, 0, "a", "k", value, sizeof(value)));
    assert_null(try_put(partition, 0, "a", "k", value,
                        flux.header->max_entry));
    assert_non_null(try_put(partition, 0, "a", "k", value,
                            flux.header->max_entry - 4000));
    flux_log_end(&flux);
    log_check(&flux);
}


static void
test_a_key_keeps_its_newest_records(void **state)
{
    const flux_key_t  *key;

    (void) state;

    put("a", "k", "1");
    put("a", "k", "2");
    key = live_key("a", "k");
    assert_int_equal(key->count, 1);
    assert_int_equal(flux_log_entry(&flux, key->newest)->offset, 1);
    log_check(&flux);

    other_retain(3);
    put("a", "k", "3");
    put("a", "k", "4");
    put("a", "k", "5");
    key = live_key("a", "k");
    assert_int_equal(key->count, 3);
    assert_int_equal(flux_log_entry(&flux, key->newest)->offset, 4);
    assert_int_equal(flux_log_entry(&flux, key->oldest)->offset, 2);
    log_check(&flux);
}


static void
test_a_tombstone_takes_the_key_with_all_its_records(void **state)
{
    uint64_t      position;
    flux_entry_t  entry;

    (void) state;

    other_retain(3);
    put("a", "k", "1");
    put("a", "k", "2");
    position = flux_log_head(&flux);
    put("a", "k", NULL);

    entry = next_entry(&position);
    assert_int_equal(entry.kind, FLUX_ENTRY_DELETE);
    assert_message(position, &entry, "{\"type\":\"delete\",\"room\":\"f/a\","
                   "\"key\":\"k\",\"ts\":1002}");
    assert_int_equal(key_of("a", "k"), FLUX_NONE);
    assert_int_equal(flux.header->live_bytes, 0);
    assert_int_equal(flux.header->feeds[feed].keys, 0);

    /* nobody here knows that one, but a reader may */
    put("b", "other", NULL);
    entry = next_entry(&position);
    assert_int_equal(entry.kind, FLUX_ENTRY_DELETE);
    log_check(&flux);
}


static void
test_a_key_that_changes_its_room_leaves_the_old_one(void **state)
{
    uint64_t      position;
    flux_entry_t  entry;

    (void) state;

    other_retain(2);
    put("a", "k", "1");
    put("a", "k", "2");
    position = flux_log_head(&flux);
    put("b", "k", "3");

    entry = next_entry(&position);
    assert_int_equal(entry.kind, FLUX_ENTRY_RECORD);
    assert_int_equal(entry.room, room_of("b"));

    entry = next_entry(&position);
    assert_int_equal(entry.kind, FLUX_ENTRY_LEAVE);
    assert_int_equal(entry.room, room_of("a"));
    assert_int_equal(entry.offset, 2);
    assert_int_equal(entry.ordinal, 4);
    assert_message(position, &entry, "{\"type\":\"delete\",\"room\":\"f/a\","
                   "\"key\":\"k\",\"ts\":1002}");

    assert_int_equal(live_key("b", "k")->count, 1);
    assert_int_equal(flux_log_room(&flux, room_of("a"))->keys, 0);
    assert_int_equal(flux_log_room(&flux, room_of("a"))->newest_delete,
                     position - entry.size);
    log_check(&flux);
}


static void
test_the_empty_key_is_one_of_its_own_in_each_room(void **state)
{
    (void) state;

    put("a", "", "1");
    put("b", "", "2");
    assert_int_not_equal(key_of("a", ""), key_of("b", ""));
    assert_int_equal(flux.header->feeds[feed].keys, 2);

    put("a", "", NULL);
    assert_int_equal(key_of("a", ""), FLUX_NONE);
    assert_int_equal(live_key("b", "")->count, 1);
    log_check(&flux);
}


static void
test_a_live_record_moves_ahead_of_the_tail(void **state)
{
    uint64_t      start;
    flux_entry_t  entry;

    (void) state;

    start = flux_log_head(&flux);
    put("a", "k", "1");
    put("a", "dead", "1");
    put("a", "dead", NULL);
    push_out(start);

    assert_true(live_key("a", "k")->newest > start);
    entry = *flux_log_entry(&flux, live_key("a", "k")->newest);
    assert_int_equal(entry.flags, FLUX_ENTRY_MOVED);
    assert_int_equal(entry.offset, 0);
    assert_int_equal(entry.ordinal, 1);
    log_check(&flux);

    push_out(flux_log_head(&flux));
    push_out(flux_log_head(&flux));
    assert_int_equal(live_key("a", "k")->count, 1);
    assert_ptr_equal(flux_log_named(&flux, room_of("a")),
                     flux_log_entry(&flux, live_key("a", "k")->newest));
    log_check(&flux);
}


static void
test_a_moved_record_is_missed_only_once_it_is_dead(void **state)
{
    uint64_t  start = flux_log_head(&flux);

    (void) state;

    put("a", "k", "1");
    push_out(start);
    assert_true(flux_log_whole(&flux, room_of("a"), partition, 0));

    put("a", "k", "2");
    assert_false(flux_log_whole(&flux, room_of("a"), partition, 0));
    assert_true(flux_log_whole(&flux, room_of("a"), partition, 1));
}


static void
test_a_room_is_whole_while_nothing_of_it_is_dropped(void **state)
{
    int64_t   offset;
    uint64_t  start;
    uint32_t  second, other;

    (void) state;

    flux_log_begin(&flux);
    second = flux_log_partition(&flux, feed, TOPIC, 70, 1, 5);
    flux_log_end(&flux);

    put("a", "k", "1");
    offset = put("b", "k2", "1");
    start = flux_log_head(&flux);
    put("b", "k2", "2");
    push_out(start - 1);

    /* b has lost one, a none; what was never read is not whole */
    assert_true(flux_log_whole(&flux, room_of("a"), partition, 0));
    assert_false(flux_log_whole(&flux, room_of("b"), partition, offset));
    assert_true(flux_log_whole(&flux, room_of("b"), partition, offset + 1));
    assert_true(flux_log_whole(&flux, room_of("b"), second, 5));
    assert_false(flux_log_whole(&flux, room_of("b"), second, 4));

    /* a room that nobody knows may have been there */
    assert_false(flux_log_whole(&flux, FLUX_NONE, partition, offset));

    /* a new room knows its partition from its first record on */
    offset = put("c", "k3", "1");
    other = flux.partitions[partition].next > offset ? room_of("c") : 0;
    flux.partitions[partition].dropped = offset + 1;
    flux.partitions[second].dropped = 10;
    assert_true(flux_log_whole(&flux, other, partition, offset));
    assert_false(flux_log_whole(&flux, other, partition, offset - 1));
    assert_false(flux_log_whole(&flux, other, second, 6));
}


static void
test_losses_in_two_partitions_are_not_told_apart(void **state)
{
    uint64_t  start;
    uint32_t  second;

    (void) state;

    flux_log_begin(&flux);
    second = flux_log_partition(&flux, feed, TOPIC, 70, 1, 0);
    flux_log_end(&flux);

    put("a", "x", "1");
    put("a", "x", NULL);
    put_at(second, 0, "a", "y", "1");
    put_at(second, 1, "a", "y", NULL);
    start = flux_log_head(&flux);
    put_at(second, 2, "z", "z", "1");
    put("a", "k", "1");
    push_out(start);

    assert_false(flux_log_whole(&flux, room_of("a"), partition, 1));
    assert_false(flux_log_whole(&flux, room_of("a"), second, 2));
    assert_true(flux_log_whole(&flux, room_of("a"), second, 3));
    log_check(&flux);
}


/* A quiet room beside a busy one: whoever was here since then missed nothing. */
static void
test_losses_before_what_a_reader_knows_do_not_matter(void **state)
{
    int       lap;
    int64_t   offset[20], lost;
    uint32_t  second;

    (void) state;

    flux_log_begin(&flux);
    second = flux_log_partition(&flux, feed, TOPIC, 70, 1, 0);
    flux_log_end(&flux);

    put("a", "x", "1");
    lost = put("a", "x", NULL);
    put_at(second, 0, "a", "y", "1");
    put_at(second, 1, "a", "y", NULL);
    put("a", "k", "1");

    for (lap = 0; lap < 20; lap++) {
        push_out(flux_log_head(&flux));
        offset[lap] = flux.partitions[partition].next;
    }

    push_out(flux_log_head(&flux));

    assert_int_equal(flux_log_lost(&flux, room_of("a"))->many,
                     FLUX_LOST_MANY);
    assert_true(flux.partitions[partition].dropped > offset[18]);

    for (lap = 17; lap < 20; lap++) {
        assert_true(flux_log_whole(&flux, room_of("a"), partition,
                                   offset[lap]));
    }

    assert_false(flux_log_whole(&flux, room_of("a"), partition, lost));
    assert_false(flux_log_whole(&flux, room_of("a"), partition, 0));

    lost = put("a", "x", "2");
    put("a", "x", NULL);
    push_out(flux_log_head(&flux));
    push_out(flux_log_head(&flux));
    assert_false(flux_log_whole(&flux, room_of("a"), partition, lost));
    assert_false(flux_log_whole(&flux, room_of("a"), partition, offset[19]));
    log_check(&flux);
}


static void
test_a_partition_says_what_stands_before_an_offset(void **state)
{
    uint64_t  start = flux_log_head(&flux);

    (void) state;

    assert_int_equal(flux_log_check(&flux, partition, 0), 0);

    put("a", "k", "1");
    put("b", "k", "2");
    put_at(partition, 5, "b", "k", "3");

    assert_int_equal(flux_log_check(&flux, partition, 0), 0);
    assert_int_equal(flux_log_check(&flux, partition, 1), 1);
    assert_int_equal(flux_log_check(&flux, partition, 2), 4);
    assert_int_equal(flux_log_check(&flux, partition, 3), 0);
    assert_int_equal(flux_log_check(&flux, partition, 6), 16);
    assert_int_equal(flux_log_check(&flux, partition, 7), 0);

    push_out(start);
    assert_int_equal(flux_log_check(&flux, partition, 1), 0);
}


static void
test_keys_least_recently_renewed_are_evicted(void **state)
{
    char          key[16];
    static char   value[20000];
    uint32_t      i;

    (void) state;

    memset(value, '1', sizeof(value) - 1);

    for (i = 0; i < 60; i++) {
        sprintf(key, "k%u", i);
        put("a", key, value);
        put("a", "often", "1");
    }

    assert_int_not_equal(key_of("a", "often"), FLUX_NONE);
    assert_int_not_equal(key_of("a", "k59"), FLUX_NONE);
    assert_int_equal(key_of("a", "k0"), FLUX_NONE);
    assert_true(flux.header->live_bytes < flux.ring_size / 2);
    assert_int_equal(flux.header->feeds[feed].keys
                     + flux.header->feeds[feed].evicted, 61);
    log_check(&flux);

    i = flux.header->feeds[feed].keys;
    flux_log_recover(&flux);
    assert_int_equal(flux.header->feeds[feed].keys, i);
    log_check(&flux);
}


static void
test_nodes_that_run_out_cost_the_oldest_keys(void **state)
{
    char      key[16];
    uint32_t  i, n = flux.header->nnodes * 2;

    (void) state;

    for (i = 0; i < n; i++) {
        sprintf(key, "k%u", i);
        put(key, key, "1");
    }

    assert_true(flux.header->free_count <= 2);
    assert_true(flux.header->feeds[feed].evicted > 0);
    assert_int_not_equal(key_of(key, key), FLUX_NONE);
    log_check(&flux);

    flux_log_recover(&flux);
    assert_int_not_equal(key_of(key, key), FLUX_NONE);
    log_check(&flux);
}


static void
test_a_new_room_is_announced(void **state)
{
    uint32_t      node;
    uint64_t      position = flux_log_head(&flux);
    flux_entry_t  entry;

    (void) state;

    put("a", "k", "1");
    put("a", "k", NULL);
    node = room_of("a");

    entry = next_entry(&position);
    assert_int_equal(entry.flags, FLUX_ENTRY_NEW_ROOM);
    entry = next_entry(&position);
    assert_int_equal(entry.flags, 0);

    /* a recovery leaves it to those who have not read it yet */
    position = flux.header->tail;
    flux_log_recover(&flux);
    assert_int_equal(next_entry(&position).flags, FLUX_ENTRY_NEW_ROOM);

    push_out(position);
    push_out(flux_log_head(&flux));
    assert_int_equal(room_of("a"), FLUX_NONE);

    position = flux_log_head(&flux);
    put("b", "k", "1");
    entry = next_entry(&position);
    assert_int_equal(entry.flags, FLUX_ENTRY_NEW_ROOM);
    assert_int_equal(entry.room, node);
    log_check(&flux);
}


static void
sweep(int64_t ts, uint32_t *node, uint32_t budget)
{
    uint32_t  i;
    int64_t   before[FLUX_LOG_FEEDS], expire[FLUX_LOG_FEEDS];

    for (i = 0; i < FLUX_LOG_FEEDS; i++) {
        before[i] = INT64_MIN;
        expire[i] = 0;
    }

    before[feed] = ts;
    expire[feed] = 500;

    flux_log_begin(&flux);
    flux_log_expire(&flux, before, expire, node, budget);
    flux_log_end(&flux);
}


static void
test_keys_expire_by_the_time_of_their_newest_record(void **state)
{
    uint32_t      node = 0;
    uint64_t      position;
    flux_entry_t  entry;

    (void) state;

    put("a", "old", "1");
    put("a", "renewed", "1");
    put("b", "renewed", "1");
    position = flux_log_head(&flux);

    sweep(1001, &node, 1);
    assert_int_equal(node, 1);
    sweep(1001, &node, 100);
    assert_int_equal(node, 0);

    entry = next_entry(&position);
    assert_int_equal(entry.kind, FLUX_ENTRY_EXPIRE);
    assert_int_equal(entry.offset, -1);
    assert_int_equal(entry.partition, FLUX_NONE);
    assert_int_equal(entry.ts, 1500);
    assert_message(position, &entry, "{\"type\":\"delete\",\"room\":\"f/a\","
                   "\"key\":\"old\",\"ts\":1500}");
    assert_int_equal(flux_log_read(&flux, &position, &entry), FLUX_AGAIN);

    assert_int_equal(key_of("a", "old"), FLUX_NONE);
    assert_int_equal(live_key("b", "renewed")->count, 1);
    log_check(&flux);
}


static void
test_a_topic_made_anew_keeps_its_partitions_ids(void **state)
{
    uint32_t      gone, second, other;
    uint64_t      position;
    flux_entry_t  entry;

    (void) state;

    /* a free place before them must not draw them */
    flux_log_begin(&flux);
    gone = flux_log_feed(&flux, 2, 1);
    flux_log_partition(&flux, gone, 1, 1, 0, 0);
    second = flux_log_partition(&flux, feed, TOPIC, 70, 1, 0);
    other = flux_log_partition(&flux, feed, 8, 80, 0, 0);
    flux_log_drop_feed(&flux, gone);
    flux_log_end(&flux);

    put("a", "k", "1");
    put_at(second, 0, "a", "k2", "1");
    put_at(other, 0, "a", "k3", "1");
    position = flux_log_head(&flux);

    flux_log_begin(&flux);
    flux_log_reset_topic(&flux, feed, TOPIC, 71);
    flux_log_end(&flux);

    assert_int_equal(flux_log_find_partition(&flux, feed, TOPIC, 0), partition);
    assert_int_equal(flux_log_find_partition(&flux, feed, TOPIC, 1), second);
    assert_int_equal(flux.partitions[partition].fingerprint, 71);
    assert_int_equal(flux.partitions[partition].next, 0);
    assert_int_equal(flux.partitions[partition].last, -1);
    assert_int_equal(flux.partitions[other].next, 1);
    assert_int_equal(flux_log_check(&flux, partition, 1), 0);

    entry = next_entry(&position);
    assert_int_equal(entry.kind, FLUX_ENTRY_RESET);
    assert_int_equal(entry.feed, feed);
    assert_int_equal(flux.header->feeds[feed].keys, 1);
    assert_int_equal(live_key("a", "k3")->count, 1);
    log_check(&flux);

    put("a", "k", "1");
    flux_log_recover(&flux);
    assert_int_equal(flux.header->feeds[feed].keys, 2);
    assert_int_equal(flux.partitions[partition].next, 1);
    assert_int_equal(flux.partitions[second].next, 0);
    log_check(&flux);
}


static void
test_a_dropped_feed_leaves_nothing(void **state)
{
    uint32_t  i;

    (void) state;

    put("a", "k", "1");
    put("a", "k2", "1");

    flux_log_begin(&flux);
    flux_log_drop_feed(&flux, feed);
    assert_int_equal(flux_log_find_feed(&flux, 1), FLUX_NONE);
    assert_int_equal(flux.header->free_count, flux.header->nnodes);
    assert_int_equal(flux.header->live_bytes, 0);
    flux_log_end(&flux);
    log_check(&flux);

    for (i = 0; i < flux.header->npartitions; i++) {
        assert_int_equal(flux.partitions[i].feed, FLUX_NONE);
    }

    /* its place is taken by another one, and its entries are not */
    flux_log_begin(&flux);
    assert_int_equal(flux_log_feed(&flux, 9, 1), feed);
    assert_int_equal(flux_log_partition(&flux, feed, TOPIC, 70, 0, 3),
                     partition);
    flux_log_end(&flux);

    flux_log_recover(&flux);
    assert_int_equal(flux.header->feeds[feed].keys, 0);
    assert_int_equal(flux.partitions[partition].next, 3);
    assert_int_equal(flux.header->records, 3);
    log_check(&flux);

    push_out(flux_log_head(&flux));
    log_check(&flux);
}


static void
test_tables_are_bounded(void **state)
{
    uint32_t  i;

    (void) state;

    flux_log_begin(&flux);

    for (i = 1; i < flux.header->npartitions; i++) {
        assert_int_equal(flux_log_partition(&flux, feed, TOPIC, 70, i, 0), i);
    }

    assert_int_equal(flux_log_partition(&flux, feed, TOPIC, 70, i, 0),
                     FLUX_NONE);
    assert_int_equal(flux_log_partition(&flux, feed, TOPIC, 70, 3, 0), 3);

    for (i = 1; i < FLUX_LOG_FEEDS; i++) {
        assert_int_equal(flux_log_feed(&flux, 1 + i, 1), i);
    }

    assert_int_equal(flux_log_feed(&flux, 1 + i, 1), FLUX_NONE);
    assert_int_equal(flux_log_feed(&flux, 1, 1), feed);
    flux_log_end(&flux);
    log_check(&flux);
}


static void
test_a_skipped_offset_is_counted_and_passed(void **state)
{
    const flux_feed_t  *f = &flux.header->feeds[feed];

    (void) state;

    put("a", "k", "1");

    flux_log_begin(&flux);
    flux_log_skip(&flux, feed, partition, 4, FLUX_SKIP_ROOM);
    flux_log_skip(&flux, feed, partition, 2, FLUX_SKIP_ROOM);
    flux_log_end(&flux);

    assert_int_equal(f->skipped[FLUX_SKIP_ROOM], 2);
    assert_int_equal(f->skipped[FLUX_SKIP_JSON], 0);
    assert_int_equal(f->records, 1);
    assert_int_equal(flux.partitions[partition].next, 5);

    flux_log_recover(&flux);
    assert_int_equal(flux.partitions[partition].next, 5);
    assert_int_equal(flux.partitions[partition].last, 0);
    log_check(&flux);
}


static void
test_recovery_finds_moved_records_and_their_order(void **state)
{
    uint64_t    start = flux_log_head(&flux);
    uint32_t    node;

    (void) state;

    other_retain(3);
    put("a", "first", "1");
    put("a", "k", "1");
    put("a", "k", "2");
    put("b", "k2", "1");
    push_out(start);
    push_out(flux_log_head(&flux));
    put("a", "k", "3");
    node = room_of("a");

    flux_log_recover(&flux);
    assert_int_equal(flux.header->epoch, 1);
    assert_int_equal(room_of("a"), node);
    assert_int_equal(live_key("a", "k")->count, 3);
    assert_int_equal(live_key("b", "k2")->count, 1);
    assert_int_equal(flux_log_room(&flux, node)->first, key_of("a", "first"));
    assert_int_equal(flux_log_room(&flux, node)->last, key_of("a", "k"));
    log_check(&flux);
}


/* There never were as many at once as the ring still tells of. */

static void
test_recovery_wants_no_nodes_for_keys_that_are_gone(void **state)
{
    char      name[16];
    uint64_t  start = flux_log_head(&flux);
    uint32_t  i, gone = flux.header->nnodes / 16;

    (void) state;

    for (i = 0; i < gone; i++) {
        sprintf(name, "g%u", i);
        put("a", name, "1");
    }

    put("a", "stays", "1");

    for (i = 0; i < gone; i++) {
        sprintf(name, "g%u", i);
        put("a", name, NULL);
    }

    /* a tombstone alone makes a room */

    for (i = 0; flux.header->free_count > 2; i++) {
        sprintf(name, "r%u", i);
        put(name, "", NULL);
    }

    assert_true(flux_log_reaches(&flux, start));
    assert_int_equal(flux.header->feeds[feed].evicted, 0);

    flux_log_recover(&flux);
    assert_int_equal(flux.header->free_count, 2);
    assert_int_equal(live_key("a", "stays")->count, 1);
    log_check(&flux);
}


/* As after a kill between a move and letting the old place go. */

static void
test_a_record_found_at_both_its_places_counts_once(void **state)
{
    uint64_t           start = flux_log_head(&flux);
    const flux_key_t  *key;

    (void) state;

    other_retain(3);
    put("a", "k", "1");
    put("a", "k", "2");
    push_out(start);

    flux.header->tail = start;
    flux_log_recover(&flux);

    key = live_key("a", "k");
    assert_int_equal(key->count, 2);
    assert_int_equal(flux_log_entry(&flux, key->newest)->offset, 1);
    assert_int_equal(flux_log_entry(&flux, key->oldest)->offset, 0);
    assert_true(key->oldest > start);
    log_check(&flux);

    push_out(start);
    assert_int_equal(live_key("a", "k")->count, 2);
    log_check(&flux);
}


/* --- memory ---------------------------------------------------------------- */

#define MOST   8192
#define LARGE  (8 * 1024 * 1024)


/* Takes what there is; *..._end is where a piece of that kind is to begin. */

static void
take_fresh(flux_fresh_t *known, const uint8_t **ring_end,
    const uint8_t **nodes_end)
{
    size_t    size;
    uint8_t  *memory;

    while ((size = flux_log_fresh(&flux, known, MOST, &memory)) != 0) {
        assert_in_range(size, 1, MOST);

        if (memory >= flux.ring) {
            assert_true(memory >= *ring_end);
            *ring_end = memory + size;

        } else {
            assert_true(memory >= *nodes_end);
            *nodes_end = memory + size;
        }
    }
}


static void
test_fresh_memory_is_told_of_once_and_ahead_of_the_writer(void **state)
{
    int             i;
    char            key[16], value[1000];
    uint8_t        *large = malloc(LARGE);
    uint64_t        used, full;
    flux_fresh_t    known = { 0, 0 };
    const uint8_t  *nodes, *ring_end, *nodes_end;

    (void) state;

    assert_non_null(large);
    begin(large, LARGE);
    nodes_end = nodes = (const uint8_t *) flux.nodes;
    ring_end = flux.ring;

    take_fresh(&known, &ring_end, &nodes_end);
    assert_ptr_equal(ring_end, flux.ring);
    assert_ptr_equal(nodes_end, nodes);

    memset(value, '1', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    full = flux.ring_size;

    for (i = 0; flux_log_head(&flux) - full < full; i++) {
        sprintf(key, "k%d", i);
        put("room", key, value);

        take_fresh(&known, &ring_end, &nodes_end);

        used = flux_log_head(&flux) - full;

        if (used > full) {
            used = full;
        }

        assert_true((uint64_t) (ring_end - flux.ring) >= used);
        assert_true((uint64_t) (ring_end - flux.ring) <= full);
        assert_true((uint64_t) (ring_end - flux.ring) <= used + MOST);
        assert_true((uint64_t) (nodes_end - nodes)
                    >= flux.header->used * sizeof(flux_node_t));
    }

    assert_ptr_equal(ring_end, flux.ring + full);

    /* the second lap has what the first one touched */

    for (i = 0; i < 100; i++) {
        put("room", "k", value);
        take_fresh(&known, &ring_end, &nodes_end);
        assert_ptr_equal(ring_end, flux.ring + full);
    }

    free(large);
}


int
main(void)
{
#define CASE(name)  cmocka_unit_test_setup(name, setup)

    const struct CMUnitTest  tests[] = {
        CASE(test_a_record_is_read_as_it_was_written),
        CASE(test_another_area_is_not_attached),
        CASE(test_a_reader_that_was_overtaken_is_told),
        CASE(test_what_was_given_up_stays_announced),
        CASE(test_a_record_too_large_is_refused),
        CASE(test_a_key_keeps_its_newest_records),
        CASE(test_a_tombstone_takes_the_key_with_all_its_records),
        CASE(test_a_key_that_changes_its_room_leaves_the_old_one),
        CASE(test_the_empty_key_is_one_of_its_own_in_each_room),
        CASE(test_a_live_record_moves_ahead_of_the_tail),
        CASE(test_a_moved_record_is_missed_only_once_it_is_dead),
        CASE(test_a_room_is_whole_while_nothing_of_it_is_dropped),
        CASE(test_losses_in_two_partitions_are_not_told_apart),
        CASE(test_losses_before_what_a_reader_knows_do_not_matter),
        CASE(test_a_partition_says_what_stands_before_an_offset),
        CASE(test_keys_least_recently_renewed_are_evicted),
        CASE(test_nodes_that_run_out_cost_the_oldest_keys),
        CASE(test_a_new_room_is_announced),
        CASE(test_keys_expire_by_the_time_of_their_newest_record),
        CASE(test_a_topic_made_anew_keeps_its_partitions_ids),
        CASE(test_a_dropped_feed_leaves_nothing),
        CASE(test_tables_are_bounded),
        CASE(test_a_skipped_offset_is_counted_and_passed),
        CASE(test_recovery_finds_moved_records_and_their_order),
        CASE(test_recovery_wants_no_nodes_for_keys_that_are_gone),
        CASE(test_a_record_found_at_both_its_places_counts_once),
        CASE(test_fresh_memory_is_told_of_once_and_ahead_of_the_writer)
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
