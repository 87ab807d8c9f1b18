/*
 * A writer in a process of its own is killed at any instruction, again and
 * again; each time its log is recovered and held against the model, and the
 * next writer goes on at the offsets it finds.  Two readers without any lock
 * follow the stream all the while: they get every record once and in order,
 * or are told that they have lost it.
 *
 *   FLUX_ROUNDS=5000 FLUX_FIRST=1 test_log_kill
 */

#include "log_model.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>


#define SEEDS      6
#define ROUNDS     25           /* kills of a seed */
#define STEPS_LOG  12           /* at most 2^this single steps before a kill */
#define DELAY      3000         /* us; the most that a writer lives */


typedef struct {
    model_plan_t  plan;
    uint32_t      steps;        /* may a writer be single-stepped here? */
    uint8_t       area[MODEL_AREA] __attribute__((aligned(64)));
} shared_t;


static shared_t  *shared;
static model_t    model;
static uint32_t   dirty_kills;


static long
from_environment(const char *name, long otherwise)
{
    const char  *value = getenv(name);

    return value ? atol(value) : otherwise;
}


static void
pause_us(long us)
{
    struct timespec  t = { .tv_nsec = us * 1000 };

    nanosleep(&t, NULL);
}


/* --- the readers ---------------------------------------------------------- */

typedef struct {
    flux_log_t     log;
    model_shape_t  shape;
    uint64_t       position;
    int            lost[MODEL_NUMBERS];
    int64_t        last[MODEL_NUMBERS];
    uint32_t       generation[MODEL_NUMBERS];
} reader_t;


/* Each offset once and in order; one left out must have had no record. */

static void
reader_follow(reader_t *r, const flux_entry_t *entry)
{
    int64_t          offset;
    uint32_t         number = entry->check - 1u, generation;
    model_content_t  content;

    generation = (uint32_t) (entry->ts / MODEL_ERA);
    log_expect(generation >= r->generation[number]);

    if (generation > r->generation[number]) {
        r->generation[number] = generation;
        r->last[number] = -1;
    }

    log_expect(entry->offset > r->last[number]);

    offset = r->lost[number] ? entry->offset : r->last[number] + 1;

    for ( /* void */ ; offset < entry->offset; offset++) {
        content = model_content(&r->shape, number, generation, offset);
        log_expect(content.kind == 0);
    }

    r->last[number] = entry->offset;
    r->lost[number] = 0;
}


static void
reader_lost(reader_t *r)
{
    uint32_t  i;

    for (i = 0; i < MODEL_NUMBERS; i++) {
        r->lost[i] = 1;
    }

    r->position = flux_log_head(&r->log);
    atomic_fetch_add(&shared->plan.lost, 1);
}


/* returns 0 when there is nothing to read */
static int
reader_read(reader_t *r)
{
    static uint8_t  message[MODEL_MESSAGE];
    flux_entry_t    entry;
    flux_status_t   rc;

    rc = flux_log_read(&r->log, &r->position, &entry);

    if (rc == FLUX_LOST) {
        reader_lost(r);
        return 1;
    }

    if (rc == FLUX_AGAIN) {
        return 0;
    }

    log_expect(entry.message_length <= sizeof(message));

    if (flux_log_copy(&r->log, r->position - entry.size, 0, message,
                      entry.message_length)
        != FLUX_OK)
    {
        reader_lost(r);
        return 1;
    }

    log_expect(model_entry_is_right(&r->shape, &entry, message));
    atomic_fetch_add(&shared->plan.read, 1);

    if (!(entry.flags & FLUX_ENTRY_MOVED)
        && (entry.kind == FLUX_ENTRY_RECORD
            || entry.kind == FLUX_ENTRY_DELETE))
    {
        reader_follow(r, &entry);
    }

    return 1;
}


/* The second one dawdles, to be overtaken now and then. */

static void
reader(uint32_t index, const model_shape_t *shape, uint64_t position)
{
    uint32_t  i, state = index + 1;
    reader_t  r = { .shape = *shape, .position = position };

    log_context = "reader of seed";
    log_expect(flux_log_attach(&r.log, shared->area, sizeof(shared->area))
               == FLUX_OK);

    for (i = 0; i < MODEL_NUMBERS; i++) {
        r.last[i] = -1;
    }

    while (!atomic_load(&shared->plan.stop)) {
        if (!reader_read(&r) || (index && next_random(&state) % 64 == 0)) {
            pause_us(index ? 3000 : 100);
        }
    }

    while (reader_read(&r)) { /* void */ }
}


/* --- the writer ----------------------------------------------------------- */

static void
writer_batch(model_writer_t *w, uint32_t *state)
{
    uint32_t  n, dice = next_random(state);

    if (dice % 40 == 0) {
        model_writer_upset(w, dice / 40);
    }

    flux_log_begin(&w->log);

    for (n = next_random(state) % 16; n; n--) {
        model_writer_consume(w, next_random(state) % MODEL_NUMBERS);
    }

    dice = next_random(state);

    if (dice % 8 == 0) {
        model_writer_expire(w, dice / 8 % MODEL_NUMBERS, dice / 64 % 500);

    } else if (dice % 16 == 1) {
        model_writer_give_up(w);

    } else if (dice % 16 == 2) {
        flux_log_note(&w->log, w->feed[dice / 16 % MODEL_FEEDS]);
    }

    flux_log_end(&w->log);
}


static void
writer_attach(model_writer_t *w, const model_shape_t *shape)
{
    memset(w, 0, sizeof(*w));
    w->plan = &shared->plan;
    w->shape = *shape;

    log_expect(flux_log_attach(&w->log, shared->area, sizeof(shared->area))
               == FLUX_OK);
}


static void
writer_recover(model_writer_t *w)
{
    if (w->log.header->dirty) {
        log_expect(flux_log_recover(&w->log) == FLUX_OK);
    }

    model_writer_start(w);
}


static void
writer(const model_shape_t *shape, uint32_t state)
{
    model_writer_t  w;

    log_context = "writer of seed";
    writer_attach(&w, shape);

    if (shared->steps) {
        model_stop_in = next_random(&state) % (2u << next_random(&state) % 10);

        if (model_stop_in == 0) {
            /* the recovery itself */
            raise(SIGSTOP);
        }
    }

    writer_recover(&w);

    for ( ;; ) {
        writer_batch(&w, &state);
    }
}


/* --- the one who kills ---------------------------------------------------- */

static pid_t
spawn(void)
{
    pid_t  pid;

    fflush(NULL);
    pid = fork();
    log_expect(pid != -1);

    if (pid == 0) {
        log_in_child = 1;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }

    return pid;
}


static void
expect_killed(pid_t pid)
{
    int  status;

    log_expect(waitpid(pid, &status, 0) == pid);
    log_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}


/* returns the signal that it stopped with */
static int
expect_stopped(pid_t pid)
{
    int  status;

    log_expect(waitpid(pid, &status, 0) == pid);
    log_expect(WIFSTOPPED(status));

    return WSTOPSIG(status);
}


static int
single_step(pid_t pid)
{
    log_expect(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0);

    return expect_stopped(pid);
}


/* Single steps from where the writer stops itself. */

static void
step(pid_t pid, uint32_t steps)
{
    expect_stopped(pid);

    while (steps--) {
        single_step(pid);
    }
}


/* A container may forbid it. */

static int
may_step(void)
{
    int    status, stopped;
    pid_t  pid = spawn();

    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0) {
            raise(SIGSTOP);
        }

        _exit(0);
    }

    log_expect(waitpid(pid, &status, 0) == pid);
    stopped = WIFSTOPPED(status);

    if (stopped) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }

    return stopped;
}


/* A writer lives for a while. */

static void
live_and_die(const model_shape_t *shape, uint32_t *state)
{
    pid_t     pid;
    uint32_t  seed = next_random(state), steps;

    steps = next_random(state) % (2u << next_random(state) % STEPS_LOG);
    pid = spawn();

    if (pid == 0) {
        if (shared->steps) {
            log_expect(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
        }

        writer(shape, seed);
    }

    if (!shared->steps) {
        pause_us(next_random(state) % DELAY);

    } else {
        step(pid, steps);
    }

    kill(pid, SIGKILL);
    expect_killed(pid);
}


static void
check_log(const model_shape_t *shape, uint32_t dice)
{
    model_writer_t  w;

    writer_attach(&w, shape);
    dirty_kills += w.log.header->dirty;

    if (dice % 4 == 0) {
        /* left to the next writer, which may be killed while it recovers */
        return;
    }

    writer_recover(&w);
    log_check(&w.log);
    model_follow(&model, &w);
    model_compare(&model, &w);
}


static void
end_reader(pid_t pid)
{
    int  status;

    log_expect(waitpid(pid, &status, 0) == pid);
    log_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}


static void
run_seed(long seed, long rounds, int single_steps)
{
    long           i;
    pid_t          readers[2];
    uint32_t       n, state = (uint32_t) seed * 991 + 3;
    uint64_t       position;
    flux_log_t     log;
    model_shape_t  shape = model_shape((uint64_t) seed);

    log_context = "seed";
    log_context_number = seed;
    memset(&model, 0, sizeof(model));
    model_plan_init(&shared->plan);
    shared->steps = (uint32_t) single_steps;

    log_format(&log, shared->area, sizeof(shared->area));
    position = flux_log_head(&log);

    for (n = 0; n < 2; n++) {
        readers[n] = spawn();

        if (readers[n] == 0) {
            reader(n, &shape, position);
            _exit(0);
        }
    }

    for (i = 0; i < rounds; i++) {
        live_and_die(&shape, &state);
        check_log(&shape, next_random(&state));
    }

    check_log(&shape, 1);
    atomic_store(&shared->plan.stop, 1);
    end_reader(readers[0]);
    end_reader(readers[1]);
}


static void
map_shared(void)
{
    shared = mmap(NULL, sizeof(shared_t), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
}


static void
kill_often(int single_steps)
{
    long      seed, first = from_environment("FLUX_FIRST", 1);
    uint64_t  read = 0, lost = 0;

    map_shared();
    dirty_kills = 0;

    for (seed = first; seed < first + from_environment("FLUX_SEEDS", SEEDS);
         seed++)
    {
        run_seed(seed, from_environment("FLUX_ROUNDS", ROUNDS), single_steps);
        read += shared->plan.read;
        lost += shared->plan.lost;
    }

    if (getenv("FLUX_SEEDS")) {
        printf("killed in mid-change %u times; readers: %llu entries, "
               "overtaken %llu times\n", dirty_kills,
               (unsigned long long) read, (unsigned long long) lost);
    }

    munmap(shared, sizeof(shared_t));
}


static void
test_a_writer_killed_at_any_time_loses_and_repeats_nothing(void **state)
{
    (void) state;

    kill_often(0);
}


static void
test_a_writer_killed_at_any_instruction_loses_and_repeats_nothing(
    void **state)
{
    (void) state;

    if (!may_step()) {
        skip();
    }

    kill_often(1);
}


/* --- one change, store by store ------------------------------------------- */

typedef enum {
    CHANGE_BATCH = 0, CHANGE_EXPIRE, CHANGE_TOPIC, CHANGE_FEED, CHANGES
} change_t;


/* A writer that waits before a change, and behind it. */

static void
changer(const model_shape_t *shape, change_t change, uint32_t state)
{
    uint32_t        n;
    model_writer_t  w;

    log_context = "change of seed";
    writer_attach(&w, shape);
    writer_recover(&w);

    for (n = 0; n < 100; n++) {
        writer_batch(&w, &state);
    }

    if (change == CHANGE_EXPIRE) {
        /* all that the last feed has */
        w.plan->before[MODEL_FEEDS - 1] = INT64_MAX;
    }

    raise(SIGSTOP);

    switch (change) {

    case CHANGE_TOPIC:
        model_writer_upset(&w, MODEL_TOPICS + 1);
        break;

    case CHANGE_FEED:
        model_writer_upset(&w, 1);
        break;

    case CHANGE_EXPIRE:
        flux_log_begin(&w.log);
        model_writer_expire(&w, MODEL_NUMBERS - 1, 500);
        flux_log_end(&w.log);
        break;

    default:
        writer_batch(&w, &state);
    }

    raise(SIGSTOP);
}


/* What the writer left, had it been killed right here. */

static void
check_copy(const model_shape_t *shape, shared_t *copy)
{
    static model_t  saved;
    shared_t       *live = shared;

    saved = model;
    shared = copy;
    check_log(shape, 1);
    model = saved;
    shared = live;
}


static uint32_t
change_by_steps(const model_shape_t *shape, change_t change, uint32_t seed)
{
    int              stopped;
    pid_t            pid = spawn();
    uint32_t         stores = 0;
    static shared_t  seen, copy;

    if (pid == 0) {
        log_expect(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
        changer(shape, change, seed);
        _exit(0);
    }

    expect_stopped(pid);
    check_log(shape, 1);
    seen = *shared;

    do {
        stopped = single_step(pid);

        if (memcmp(&seen, shared, sizeof(shared_t)) != 0) {
            seen = *shared;
            copy = *shared;
            check_copy(shape, &copy);
            stores++;
        }

    } while (stopped != SIGSTOP);

    kill(pid, SIGKILL);
    expect_killed(pid);

    return stores;
}


static void
test_any_store_of_a_change_may_be_the_last(void **state)
{
    uint32_t       change, seed = (uint32_t) from_environment("FLUX_FIRST", 1);
    flux_log_t     log;
    model_shape_t  shape = model_shape(seed);

    (void) state;

    if (!may_step()) {
        skip();
    }

    map_shared();

    shape.keys = 8;
    shape.rooms = 4;
    shape.fill = 300;

    for (change = 0; change < CHANGES; change++) {

        memset(&model, 0, sizeof(model));
        model_plan_init(&shared->plan);
        log_context = "change";
        log_context_number = change;
        log_format(&log, shared->area, sizeof(shared->area));
        log_expect(change_by_steps(&shape, (change_t) change, seed) > 1);
    }

    munmap(shared, sizeof(shared_t));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(
            test_a_writer_killed_at_any_time_loses_and_repeats_nothing),
        cmocka_unit_test(
            test_a_writer_killed_at_any_instruction_loses_and_repeats_nothing),
        cmocka_unit_test(test_any_store_of_a_change_may_be_the_last),
    };

    return cmocka_run_group_tests_name("log kill", tests, NULL, NULL);
}
