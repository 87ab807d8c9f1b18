/*
 * The log against the model, for many seeds: messages tiny to huge, few and
 * many keys, rooms and partitions, tombstones, room changes, expiry, topics
 * and feeds made anew, and recoveries that nothing made necessary.
 *
 *   FLUX_SEEDS=5000 FLUX_FIRST=1 test_log_model
 */

#include "log_model.h"


#define SEEDS    60
#define BATCHES  60


/* what the stream has told, by ordinal */
typedef struct {
    uint32_t  number, feed, room, generation;
    uint32_t  seen;             /* in the batch of this number */
    int64_t   offset;
} told_t;


typedef struct {
    model_writer_t  writer;
    uint64_t        position;
    uint32_t        epoch;
    told_t         *told;
    size_t          ntold, size;
    uint32_t        batch;
    uint32_t        records, leaves, expired;
    uint64_t        could, did;
} run_t;


static uint8_t       area[MODEL_AREA] __attribute__((aligned(64)));
static model_t       model;
static model_plan_t  plan;
static int64_t       worst[MODEL_FEEDS][MODEL_ROOMS][4];


static long
from_environment(const char *name, long otherwise)
{
    const char  *value = getenv(name);

    return value ? atol(value) : otherwise;
}


static void
tell(run_t *run, const flux_entry_t *entry, const uint8_t *message)
{
    told_t  *told;

    if (run->size <= entry->ordinal) {
        run->size = (entry->ordinal + 1) * 2;
        run->told = realloc(run->told, run->size * sizeof(told_t));
        log_expect(run->told != NULL);
    }

    while (run->ntold <= entry->ordinal) {
        run->told[run->ntold++].feed = FLUX_NONE;
    }

    if (entry->partition == FLUX_NONE) {
        return;
    }

    told = &run->told[entry->ordinal];
    log_expect(told->feed == FLUX_NONE);

    told->number = entry->check - 1u;
    told->feed = told->number / (MODEL_NUMBERS / MODEL_FEEDS);
    told->room = model_room_of(entry, message);
    told->generation = (uint32_t) (entry->ts / MODEL_ERA);
    told->offset = entry->offset;
    told->seen = 0;
}


/* follows the stream as a worker does */
static void
read_on(run_t *run)
{
    static uint8_t       message[MODEL_MESSAGE];
    uint64_t             at;
    flux_entry_t         entry;
    flux_status_t        rc;
    const flux_log_t    *log = &run->writer.log;

    for ( ;; ) {
        rc = flux_log_read(log, &run->position, &entry);

        if (rc == FLUX_AGAIN) {
            return;
        }

        log_expect(rc == FLUX_OK);
        at = run->position - entry.size;
        log_expect(entry.message_length <= sizeof(message));
        log_expect(flux_log_copy(log, at, 0, message, entry.message_length)
                   == FLUX_OK);
        log_expect(model_entry_is_right(&run->writer.shape, &entry, message));

        if (entry.flags & FLUX_ENTRY_MOVED) {
            log_expect(entry.kind == FLUX_ENTRY_RECORD);
            log_expect(!(entry.flags & FLUX_ENTRY_NEW_ROOM));
            continue;
        }

        run->records += entry.kind == FLUX_ENTRY_RECORD
                        || entry.kind == FLUX_ENTRY_DELETE;
        run->leaves += entry.kind == FLUX_ENTRY_LEAVE;
        run->expired += entry.kind == FLUX_ENTRY_EXPIRE;

        if (entry.room != FLUX_NONE
            && flux_node_is(log, entry.room, FLUX_NODE_ROOM)
            && flux_log_room(log, entry.room)->created == at
            && run->epoch == log->header->epoch)
        {
            log_expect(entry.flags & FLUX_ENTRY_NEW_ROOM);
        }

        tell(run, &entry, message);
    }
}


/* consumes a record, and holds what it does to the stream */
static void
consume(run_t *run, uint32_t number)
{
    int64_t          offset;
    uint32_t         leaves, room;
    model_writer_t  *w = &run->writer;
    model_content_t  content;

    offset = w->log.partitions[w->partition[number]].next;
    content = model_content(&w->shape, number, plan.generation[number / 2],
                            offset);
    room = model_lives_in(w, number, &content);
    leaves = content.kind == FLUX_ENTRY_RECORD && room != content.room;

    read_on(run);
    run->records = run->leaves = run->expired = 0;

    model_writer_consume(w, number);
    read_on(run);

    log_expect(run->records == (content.kind != 0));
    log_expect(run->expired == 0);

    /* a key may be evicted to make room for the very record that moves it */
    log_expect(run->leaves == leaves || (leaves && run->leaves == 0));
    log_expect(w->log.partitions[w->partition[number]].next == offset + 1);
}


/* marks what a reader could still get: the rooms' chains, the live records */
static void
mark_what_is_there(run_t *run)
{
    uint32_t             node, n;
    uint64_t             position;
    const flux_key_t    *key;
    const flux_log_t    *log = &run->writer.log;
    const flux_entry_t  *entry;

    run->batch++;

    for (node = 0; node < log->header->used; node++) {

        if (flux_node_is(log, node, FLUX_NODE_ROOM)) {
            for (position = flux_log_room(log, node)->newest;
                 flux_log_reaches(log, position);
                 position = entry->room_prev)
            {
                entry = flux_log_entry(log, position);
                log_expect(!(entry->flags & FLUX_ENTRY_MOVED));
                run->told[entry->ordinal].seen = run->batch;
            }
        }

        if (flux_node_is(log, node, FLUX_NODE_KEY)) {
            key = flux_log_key(log, node);
            position = key->newest;

            for (n = 0; n < key->count; n++) {
                entry = flux_log_entry(log, position);
                run->told[entry->ordinal].seen = run->batch;
                position = entry->older;
            }
        }
    }
}


static void
check_whole_of(run_t *run, uint32_t f, uint32_t room, uint32_t local)
{
    char                     address[64];
    int64_t                  offset = worst[f][room][local];
    uint32_t                 node, partition;
    const flux_log_t        *log = &run->writer.log;
    const flux_partition_t  *p;

    partition = run->writer.partition[f * 4 + local];
    p = &log->partitions[partition];
    node = flux_log_find_room(log, run->writer.feed[f], (uint8_t *) address,
                              model_address(address, f, room));

    log_expect(flux_log_whole(log, node, partition, p->next));

    if (offset < 0) {
        return;
    }

    log_expect(!flux_log_whole(log, node, partition, offset));
    log_expect(!flux_log_whole(log, node, partition, offset / 2));
    log_expect(!flux_log_whole(log, node, partition, 0));

    run->could++;
    run->did += (uint64_t) flux_log_whole(log, node, partition, offset + 1);
}


/* never 1 when a record of that room at or after the offset is gone */
static void
check_whole(run_t *run)
{
    size_t    i;
    uint32_t  f, room, local;
    int64_t  *offset;
    told_t   *told;

    mark_what_is_there(run);
    memset(worst, 0xff, sizeof(worst));

    for (i = 0; i < run->ntold; i++) {
        told = &run->told[i];

        if (told->feed == FLUX_NONE || told->seen == run->batch
            || told->generation != plan.generation[told->number / 2])
        {
            continue;
        }

        offset = &worst[told->feed][told->room][told->number % 4];

        if (*offset < told->offset) {
            *offset = told->offset;
        }
    }

    for (f = 0; f < MODEL_FEEDS; f++) {
        for (room = 0; room < MODEL_ROOMS; room++) {
            for (local = 0; local < 4; local++) {
                check_whole_of(run, f, room, local);
            }
        }
    }
}


static void
check_all(run_t *run, uint32_t recovered)
{
    model_writer_t  *w = &run->writer;

    read_on(run);
    log_check(&w->log);
    model_follow(&model, w);
    model_compare(&model, w);

    if (recovered || run->batch * 16 < plan.read) {
        check_whole(run);
    }
}


static void
batch(run_t *run, uint32_t *state)
{
    uint32_t         n, dice, recovered = 0;
    model_writer_t  *w = &run->writer;

    flux_log_begin(&w->log);

    for (n = next_random(state) % 100; n; n--) {
        consume(run, next_random(state) % MODEL_NUMBERS);
    }

    dice = next_random(state);

    if (dice % 4 == 0) {
        model_writer_expire(w, dice / 4 % MODEL_NUMBERS, dice / 64 % 5000);

    } else if (dice % 16 == 1) {
        model_writer_give_up(w);

    } else if (dice % 16 == 2) {
        flux_log_note(&w->log, w->feed[dice / 16 % MODEL_FEEDS]);

    } else if (dice % 16 == 3) {
        read_on(run);
        log_expect(flux_log_recover(&w->log) == FLUX_OK);
        recovered = 1;

    } else if (dice % 128 == 5) {
        flux_log_end(&w->log);
        model_writer_upset(w, dice / 128);
        flux_log_begin(&w->log);
    }

    flux_log_end(&w->log);
    plan.read++;
    check_all(run, recovered);
    run->epoch = w->log.header->epoch;
}


static void
run_seed(long seed, uint64_t *could, uint64_t *did)
{
    int       i;
    uint32_t  state = (uint32_t) seed * 77 + 1;
    run_t     run = { .batch = 0 };

    log_context_number = seed;
    memset(&model, 0, sizeof(model));
    model_plan_init(&plan);

    run.writer.plan = &plan;
    run.writer.shape = model_shape((uint64_t) seed);

    log_format(&run.writer.log, area, sizeof(area));
    run.position = flux_log_head(&run.writer.log);
    model_writer_start(&run.writer);

    for (i = 0; i < BATCHES; i++) {
        batch(&run, &state);
    }

    *could += run.could;
    *did += run.did;
    free(run.told);
}


static void
test_the_log_holds_what_the_model_holds(void **state)
{
    long      seed, first = from_environment("FLUX_FIRST", 1);
    long      seeds = from_environment("FLUX_SEEDS", SEEDS);
    uint64_t  could = 0, did = 0;

    (void) state;

    log_context = "seed";

    for (seed = first; seed < first + seeds; seed++) {
        run_seed(seed, &could, &did);
    }

    if (getenv("FLUX_SEEDS")) {
        printf("whole where nothing later is missing: %llu of %llu\n",
               (unsigned long long) did, (unsigned long long) could);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_the_log_holds_what_the_model_holds),
    };

    return cmocka_run_group_tests_name("log model", tests, NULL, NULL);
}
