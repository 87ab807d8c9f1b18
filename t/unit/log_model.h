/*
 * A straightforward model of the log, and a writer whose records are a pure
 * function of (seed, partition, generation of the topic, offset): whoever
 * meets an entry can tell each of its bytes, and a writer that was killed is
 * followed by one that goes on where the log says, as with a real topic.
 */

#ifndef LOG_MODEL_H
#define LOG_MODEL_H


#include "log_check.h"

#include <signal.h>


#define MODEL_AREA        (1024 * 1024)
#define MODEL_FEEDS       3
#define MODEL_TOPICS      6     /* two a feed, of two partitions each */
#define MODEL_NUMBERS     12    /* partitions, numbered through */
#define MODEL_KEYS        1500  /* of a partition */
#define MODEL_ROOMS       1600  /* of a feed */
#define MODEL_EMPTY_ROOM  1584  /* from here on: rooms with an empty key */
#define MODEL_RETAIN      5
#define MODEL_EMPTY       4     /* rooms with an empty key, of a partition */
#define MODEL_SLOTS       (MODEL_KEYS + MODEL_EMPTY)
#define MODEL_MESSAGE     (66 * 1024)
#define MODEL_ERA         1000000000    /* a topic's generation, in its ts */
#define MODEL_EXPIRE      5000


/* what the records of a seed are like */
typedef struct {
    uint64_t  seed;
    uint32_t  keys, rooms, fill;
    uint32_t  retain[MODEL_FEEDS];
    uint32_t  tombstones, moves, skips;     /* percent */
} model_shape_t;


typedef struct {
    uint8_t   kind;             /* FLUX_ENTRY_RECORD, _DELETE; 0: skipped */
    uint32_t  slot, room;
    size_t    fill;
    char      letter;
    int64_t   ts;
} model_content_t;


/* shared by all processes; changed before the log is */
typedef struct {
    uint32_t          generation[MODEL_TOPICS];
    uint64_t          signature[MODEL_FEEDS];
    int64_t           before[MODEL_FEEDS];
    _Atomic uint32_t  stop, failed;
    _Atomic uint64_t  read, lost;
} model_plan_t;


typedef struct {
    flux_log_t       log;
    model_plan_t    *plan;
    model_shape_t    shape;
    uint32_t         feed[MODEL_FEEDS];
    uint32_t         partition[MODEL_NUMBERS];
    uint32_t         sweep;
} model_writer_t;


/* newest first */
typedef struct {
    int64_t   offset[MODEL_RETAIN], ts[MODEL_RETAIN];
    uint32_t  count, room;
} model_key_t;


typedef struct {
    model_key_t  keys[MODEL_NUMBERS][MODEL_SLOTS];
    uint32_t     generation[MODEL_TOPICS];
    uint64_t     signature[MODEL_FEEDS];
    uint64_t     evicted[MODEL_FEEDS];
    int64_t      next[MODEL_NUMBERS];
} model_t;


static inline uint64_t
model_mix(uint64_t x)
{
    /* splitmix64, https://prng.di.unimi.it/splitmix64.c */

    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);

    return x ^ x >> 31;
}


static inline model_shape_t
model_shape(uint64_t seed)
{
    static const uint32_t  keys[] = { 1, 8, 100, 400, MODEL_KEYS };
    static const uint32_t  rooms[] = { 1, 5, 40, 400, MODEL_EMPTY_ROOM };
    static const uint32_t  fill[] = { 1, 60, 300, 3000, 60000 };
    uint32_t               i, state = (uint32_t) seed;
    model_shape_t          shape = { .seed = seed };

    shape.keys = keys[next_random(&state) % countof(keys)];
    shape.rooms = rooms[next_random(&state) % countof(rooms)];
    shape.fill = fill[next_random(&state) % countof(fill)];
    shape.tombstones = next_random(&state) % 20;
    shape.moves = next_random(&state) % 3 * 5;
    shape.skips = next_random(&state) % 10;

    for (i = 0; i < MODEL_FEEDS; i++) {
        shape.retain[i] = 1 + next_random(&state) % MODEL_RETAIN;
    }

    return shape;
}


static inline model_content_t
model_content(const model_shape_t *shape, uint32_t number, uint32_t generation,
    int64_t offset)
{
    uint64_t         h, dice;
    model_content_t  content;

    h = model_mix(shape->seed << 40 ^ (uint64_t) number << 32 ^ generation);
    h = model_mix(h ^ (uint64_t) offset);
    dice = h % 100;

    content.kind = FLUX_ENTRY_RECORD;

    if (dice < shape->skips) {
        content.kind = 0;

    } else if (dice < shape->skips + shape->tombstones) {
        content.kind = FLUX_ENTRY_DELETE;
    }

    h = model_mix(h);

    if (h % 50 == 0) {
        /* an empty key, with a room for it */
        content.slot = h >> 8 & 3;
        content.room = MODEL_EMPTY_ROOM
                       + number % (MODEL_NUMBERS / MODEL_FEEDS) * MODEL_EMPTY
                       + content.slot;

    } else {
        /* a few keys are seen far more often than the others */
        content.slot = MODEL_EMPTY
                       + (uint32_t) ((h >> 8 & 1) ? (h >> 16) % shape->keys
                                     : (h >> 16) % (1 + shape->keys / 16));
        content.room = (content.slot * 7 + number) % shape->rooms;

        if ((h >> 40) % 100 < shape->moves) {
            content.room = (uint32_t) ((h >> 48) % shape->rooms);
        }
    }

    if (number < MODEL_NUMBERS / MODEL_FEEDS) {
        /* the first feed is one room, and its keys are not empty */
        content.room = 0;
        content.slot += content.slot < MODEL_EMPTY ? MODEL_EMPTY : 0;
    }

    h = model_mix(h);
    content.fill = (size_t) (h >> 8) % shape->fill;
    content.letter = (char) ('a' + h % 26);
    content.ts = (int64_t) generation * MODEL_ERA + offset * 10
                 + (int64_t) (h >> 40) % 40;

    return content;
}


static inline size_t
model_address(char *dst, uint32_t feed, uint32_t room)
{
    return (size_t) (feed ? sprintf(dst, "f%u/r%u", feed, room)
                          : sprintf(dst, "f%u", feed));
}


static inline size_t
model_key_text(char *dst, uint32_t number, uint32_t slot)
{
    dst[0] = '\0';

    return slot < MODEL_EMPTY ? 0 : (size_t) sprintf(dst, "k%u-%u", number,
                                                     slot);
}


/* the message of this content in this room; returns its length */
static inline size_t
model_message(uint8_t *dst, flux_message_t *m, uint32_t number, int64_t offset,
    const model_content_t *content, uint32_t room)
{
    static char     key[64], name[64], feed[16];
    static uint8_t  value[MODEL_MESSAGE];
    size_t          length;
    uint32_t        f = number / (MODEL_NUMBERS / MODEL_FEEDS);

    memset(m, 0, sizeof(*m));
    m->feed = (uint8_t *) feed;
    m->feed_size = (size_t) sprintf(feed, "f%u", f);
    m->key = (uint8_t *) key;
    m->key_size = model_key_text(key, number, content->slot);
    m->ts = content->ts;

    if (f) {
        m->room = (uint8_t *) name;
        m->room_size = (size_t) sprintf(name, "r%u", room);
    }

    if (content->kind == FLUX_ENTRY_RECORD) {
        length = (size_t) sprintf((char *) value, "\"%u:%lld:", number,
                                  (long long) offset);
        memset(value + length, content->letter, content->fill);
        value[length + content->fill] = '"';
        m->value = value;
        m->value_size = length + content->fill + 1;
    }

    if (flux_message_measure(m) && dst != NULL) {
        flux_message_write(dst, m);
    }

    return m->length;
}


/* Is each byte of this entry what it has to be? */
static inline int
model_entry_is_right(const model_shape_t *shape, const flux_entry_t *entry,
    const uint8_t *message)
{
    static uint8_t   want[MODEL_MESSAGE];
    char             key[64];
    size_t           length;
    uint32_t         number = entry->check - 1u;
    flux_message_t   m;
    model_content_t  content;

    if (entry->kind == FLUX_ENTRY_RESET || entry->kind == FLUX_ENTRY_STATUS) {
        return entry->message_length == 0;
    }

    if (entry->kind == FLUX_ENTRY_EXPIRE) {
        length = flux_message_delete(want, message + FLUX_MESSAGE_PREFIX,
                                     entry->address_length,
                                     message + flux_message_key_at(
                                         entry->address_length),
                                     entry->key_length, entry->ts);

        return length == entry->message_length
               && memcmp(want, message, length) == 0;
    }

    if (number >= MODEL_NUMBERS) {
        return 0;
    }

    content = model_content(shape, number, (uint32_t) (entry->ts / MODEL_ERA),
                            entry->offset);

    if (content.ts != entry->ts
        || content.kind != (entry->kind == FLUX_ENTRY_LEAVE
                            ? FLUX_ENTRY_RECORD : entry->kind))
    {
        return 0;
    }

    if (entry->kind == FLUX_ENTRY_RECORD) {
        length = model_message(want, &m, number, entry->offset, &content,
                               content.room);

    } else {
        /* the room is where the key lived: only the text itself tells */
        length = flux_message_delete(want, message + FLUX_MESSAGE_PREFIX,
                                     entry->address_length, (uint8_t *) key,
                                     model_key_text(key, number, content.slot),
                                     entry->ts);
    }

    return length == entry->message_length
           && memcmp(want, message, length) == 0;
}


/* The room of an entry, as its address says. */
static inline uint32_t
model_room_of(const flux_entry_t *entry, const uint8_t *message)
{
    size_t    i;
    uint32_t  room = 0;

    for (i = 4; i < entry->address_length; i++) {
        room = room * 10 + (uint32_t) (message[FLUX_MESSAGE_PREFIX + i] - '0');
    }

    return room;
}


/* --- the writer ----------------------------------------------------------- */

/* the writer stops itself before so many calls into the log; 0: never */
static uint32_t  model_stop_in;


static inline void
model_may_stop(void)
{
    if (model_stop_in && --model_stop_in == 0) {
        raise(SIGSTOP);
    }
}


/* Brings feeds and partitions to what the plan says, as a new writer does. */
static inline void
model_writer_start(model_writer_t *w)
{
    uint32_t             i, f, topic;
    flux_log_header_t   *h = w->log.header;
    flux_partition_t    *p;

    model_may_stop();
    flux_log_begin(&w->log);

    for (i = 0; i < FLUX_LOG_FEEDS; i++) {
        for (f = 0; f < MODEL_FEEDS; f++) {
            if (h->feeds[i].signature == w->plan->signature[f]) {
                break;
            }
        }

        if (h->feeds[i].signature && f == MODEL_FEEDS) {
            flux_log_drop_feed(&w->log, i);
        }
    }

    for (f = 0; f < MODEL_FEEDS; f++) {
        w->feed[f] = flux_log_feed(&w->log, w->plan->signature[f],
                                   w->shape.retain[f]);
        log_expect(w->feed[f] != FLUX_NONE);
    }

    for (i = 0; i < MODEL_NUMBERS; i++) {
        topic = i / 2;
        f = i / (MODEL_NUMBERS / MODEL_FEEDS);
        w->partition[i] = flux_log_partition(&w->log, w->feed[f], 100 + topic,
                                             w->plan->generation[topic],
                                             i % 2, 0);
        log_expect(w->partition[i] != FLUX_NONE);
    }

    for (i = 0; i < MODEL_NUMBERS; i++) {
        topic = i / 2;
        f = i / (MODEL_NUMBERS / MODEL_FEEDS);
        p = &w->log.partitions[w->partition[i]];

        if (p->fingerprint != w->plan->generation[topic]) {
            flux_log_reset_topic(&w->log, w->feed[f], 100 + topic,
                                 w->plan->generation[topic]);
            log_expect(p->fingerprint == w->plan->generation[topic]);
            log_expect(p->next == 0);
        }
    }

    flux_log_end(&w->log);
}


/* The room where the key lives, or where the content says. */
static inline uint32_t
model_lives_in(const model_writer_t *w, uint32_t number,
    const model_content_t *content)
{
    char                 key[64], address[64];
    size_t               length, address_length;
    uint32_t             f = number / (MODEL_NUMBERS / MODEL_FEEDS), node, room;
    const flux_entry_t  *entry;

    length = model_key_text(key, number, content->slot);
    address_length = model_address(address, f, content->room);

    room = flux_log_find_room(&w->log, w->feed[f], (uint8_t *) address,
                              address_length);
    node = flux_log_find_key(&w->log, w->feed[f], room, (uint8_t *) key,
                             length);

    if (node == FLUX_NONE) {
        return content->room;
    }

    entry = flux_log_named(&w->log, flux_log_key(&w->log, node)->room);

    return model_room_of(entry, flux_log_message(entry));
}


/* Consumes the next record of a partition. */
static inline void
model_writer_consume(model_writer_t *w, uint32_t number)
{
    uint8_t           *dst;
    uint32_t           f = number / (MODEL_NUMBERS / MODEL_FEEDS), room;
    int                step;
    flux_append_t      what;
    flux_message_t     m;
    model_content_t    content;
    flux_partition_t  *p = &w->log.partitions[w->partition[number]];

    content = model_content(&w->shape, number,
                            w->plan->generation[number / 2], p->next);

    if (content.kind == 0) {
        model_may_stop();
        flux_log_skip(&w->log, w->feed[f], w->partition[number], p->next,
                      FLUX_SKIP_JSON);
        return;
    }

    room = content.room;

    if (content.kind == FLUX_ENTRY_DELETE) {
        room = model_lives_in(w, number, &content);
    }

    what.feed = w->feed[f];
    what.partition = w->partition[number];
    what.offset = p->next;
    what.check = (uint16_t) (number + 1);
    (void) model_message(NULL, &m, number, p->next, &content, room);
    flux_log_describe(&w->log, &what, &m);

    for (step = 0; step < FLUX_AHEAD_STEPS; step++) {
        flux_log_ahead(&w->log, &what, (flux_ahead_t) step);
    }

    model_may_stop();
    dst = flux_log_reserve(&w->log, &what);
    log_expect(dst != NULL);
    flux_message_write(dst, &m);
    model_may_stop();
    flux_log_append(&w->log, &what);
}


/* A reservation that comes to nothing. */
static inline void
model_writer_give_up(model_writer_t *w)
{
    uint8_t        *dst;
    flux_append_t   what = { .feed = w->feed[0], .message_length = 40000,
                             .address_length = 2, .key_length = 3 };

    dst = flux_log_reserve(&w->log, &what);
    log_expect(dst != NULL);
    memset(dst, 0xff, what.message_length);
}


static inline void
model_writer_expire(model_writer_t *w, uint32_t number, uint32_t budget)
{
    int64_t   before[FLUX_LOG_FEEDS], expire[FLUX_LOG_FEEDS];
    int64_t   ts;
    uint32_t  i, f = number / (MODEL_NUMBERS / MODEL_FEEDS);

    for (i = 0; i < FLUX_LOG_FEEDS; i++) {
        before[i] = INT64_MIN;
        expire[i] = MODEL_EXPIRE;
    }

    ts = (int64_t) w->plan->generation[number / 2] * MODEL_ERA
         + w->log.partitions[w->partition[number]].next * 10 - MODEL_EXPIRE;

    if (w->plan->before[f] < ts) {
        w->plan->before[f] = ts;
    }

    before[w->feed[f]] = w->plan->before[f];
    model_may_stop();
    flux_log_expire(&w->log, before, expire, &w->sweep, budget);
}


/* Something rare: a topic made anew, another feed in a feed's place. */
static inline void
model_writer_upset(model_writer_t *w, uint32_t dice)
{
    uint32_t  topic = dice % MODEL_TOPICS, f = topic / 2;

    if (dice / MODEL_TOPICS % 2) {
        w->plan->generation[topic]++;

    } else {
        w->plan->generation[f * 2]++;
        w->plan->generation[f * 2 + 1]++;
        atomic_signal_fence(memory_order_seq_cst);
        w->plan->signature[f] += 10;
    }

    atomic_signal_fence(memory_order_seq_cst);
    model_writer_start(w);
}


static inline void
model_plan_init(model_plan_t *plan)
{
    uint32_t  i;

    memset(plan, 0, sizeof(*plan));

    for (i = 0; i < MODEL_FEEDS; i++) {
        plan->signature[i] = 1 + i;
        plan->before[i] = INT64_MIN;
    }

    for (i = 0; i < MODEL_TOPICS; i++) {
        plan->generation[i] = 1;
    }
}


/* --- the model ------------------------------------------------------------ */

static inline void
model_apply(model_t *model, const model_shape_t *shape, uint32_t number,
    int64_t offset)
{
    uint32_t         retain, f = number / (MODEL_NUMBERS / MODEL_FEEDS);
    model_key_t     *key;
    model_content_t  content;

    content = model_content(shape, number, model->generation[number / 2],
                            offset);

    if (content.kind == 0) {
        return;
    }

    key = &model->keys[number][content.slot];
    retain = shape->retain[f];

    if (content.kind == FLUX_ENTRY_DELETE) {
        key->count = 0;
        return;
    }

    if (key->count && key->room != content.room) {
        key->count = 0;
    }

    if (key->count == retain) {
        key->count--;
    }

    memmove(key->offset + 1, key->offset, key->count * sizeof(int64_t));
    memmove(key->ts + 1, key->ts, key->count * sizeof(int64_t));
    key->offset[0] = offset;
    key->ts[0] = content.ts;
    key->room = content.room;
    key->count++;
}


/* All that the log says it has read. */
static inline void
model_follow(model_t *model, const model_writer_t *w)
{
    int64_t   next;
    uint32_t  number, f;

    for (f = 0; f < MODEL_FEEDS; f++) {
        if (model->signature[f] != w->plan->signature[f]) {
            model->signature[f] = w->plan->signature[f];
            model->evicted[f] = 0;
        }
    }

    for (number = 0; number < MODEL_NUMBERS; number++) {
        if (model->generation[number / 2] != w->plan->generation[number / 2]) {
            memset(model->keys[number], 0, sizeof(model->keys[number]));
            model->next[number] = 0;

            if (number % 2) {
                model->generation[number / 2]
                    = w->plan->generation[number / 2];
            }
        }
    }

    for (number = 0; number < MODEL_NUMBERS; number++) {
        next = w->log.partitions[w->partition[number]].next;
        log_expect(next >= model->next[number]);

        while (model->next[number] < next) {
            model_apply(model, &w->shape, number, model->next[number]++);
        }
    }
}


/* A key's records in the log; its oldest ones may be missing. */
static inline uint32_t
model_compare_key(const model_writer_t *w, uint32_t number, uint32_t slot,
    const model_key_t *want)
{
    char                 key[64], address[64];
    size_t               length, address_length;
    uint32_t             f, room, node, n;
    uint64_t             position;
    const flux_key_t    *found;
    const flux_entry_t  *entry;

    f = number / (MODEL_NUMBERS / MODEL_FEEDS);
    length = model_key_text(key, number, slot);
    address_length = model_address(address, f, want->room);

    room = flux_log_find_room(&w->log, w->feed[f], (uint8_t *) address,
                              address_length);
    node = flux_log_find_key(&w->log, w->feed[f], room, (uint8_t *) key,
                             length);

    if (node == FLUX_NONE) {
        return 0;
    }

    found = flux_log_key(&w->log, node);
    log_expect(found->room == room);
    log_expect(found->count <= want->count);

    position = found->newest;

    for (n = 0; n < found->count; n++) {
        entry = flux_log_entry(&w->log, position);
        log_expect(entry->offset == want->offset[n]);
        log_expect(entry->ts == want->ts[n]);
        log_expect(entry->partition == w->partition[number]);
        log_expect(entry->kind == FLUX_ENTRY_RECORD);
        log_expect(model_entry_is_right(&w->shape, entry,
                                        flux_log_message(entry)));
        position = entry->older;
    }

    return found->count;
}


/* From a partition's `dropped` on, each record still stands in the stream. */
static inline void
model_compare_dropped(const model_t *model, const model_writer_t *w)
{
    int64_t              offset, there[MODEL_NUMBERS] = { 0 };
    uint32_t             number;
    uint64_t             at, position = w->log.header->tail;
    model_content_t      content;
    const flux_entry_t  *entry;

    while ((entry = log_next(&w->log, &position, &at)) != NULL) {
        if (!(entry->flags & FLUX_ENTRY_MOVED)
            && (entry->kind == FLUX_ENTRY_RECORD
                || entry->kind == FLUX_ENTRY_DELETE)
            && log_of_partition(&w->log, entry, at)
            && entry->offset >= w->log.partitions[entry->partition].dropped)
        {
            there[entry->check - 1]++;
        }
    }

    for (number = 0; number < MODEL_NUMBERS; number++) {
        for (offset = w->log.partitions[w->partition[number]].dropped;
             offset < model->next[number];
             offset++)
        {
            content = model_content(&w->shape, number,
                                    model->generation[number / 2], offset);
            there[number] -= content.kind != 0;
        }

        log_expect(there[number] == 0);
    }
}


/*
 * The index holds what the model holds, less what was evicted or has expired;
 * the model then forgets that too.
 */
static inline void
model_compare(model_t *model, const model_writer_t *w)
{
    uint32_t            number, slot, f, count, keys[MODEL_FEEDS] = { 0 };
    uint64_t            missing[MODEL_FEEDS] = { 0 };
    model_key_t        *key;
    const flux_feed_t  *feed;

    model_compare_dropped(model, w);

    for (number = 0; number < MODEL_NUMBERS; number++) {
        f = number / (MODEL_NUMBERS / MODEL_FEEDS);

        for (slot = 0; slot < MODEL_SLOTS; slot++) {
            key = &model->keys[number][slot];

            if (key->count == 0) {
                continue;
            }

            count = model_compare_key(w, number, slot, key);

            if (count < key->count && key->ts[count] >= w->plan->before[f]) {
                missing[f]++;
            }

            key->count = count;
            keys[f] += count != 0;
        }
    }

    for (f = 0; f < MODEL_FEEDS; f++) {
        feed = &w->log.header->feeds[w->feed[f]];
        log_expect(feed->keys == keys[f]);
        log_expect(missing[f] <= feed->evicted - model->evicted[f]);
        model->evicted[f] = feed->evicted;
    }
}


#endif /* LOG_MODEL_H */
