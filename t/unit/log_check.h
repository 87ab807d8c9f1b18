/*
 * What must hold of a log at the end of every batch: each list, chain, sum and
 * count of the index against what stands in the ring.
 */

#ifndef LOG_CHECK_H
#define LOG_CHECK_H


#include "unit.h"

#include <unistd.h>

#include "flux_frame.h"
#include "flux_index.h"
#include "flux_log.h"


/* a child process ends with 1, a test fails */
static int          log_in_child;
static const char  *log_context = "";
static long         log_context_number;


static __attribute__((noinline)) void
log_failed(const char *what, const char *file, int line)
{
    if (log_in_child) {
        fprintf(stderr, "%s:%d: %s (%s %ld)\n", file, line, what, log_context,
                log_context_number);
        _exit(1);
    }

    fail_msg("%s:%d: %s (%s %ld)", file, line, what, log_context,
             log_context_number);
}


#define log_expect(condition)                                                \
    do {                                                                     \
        if (!(condition)) {                                                  \
            log_failed(#condition, __FILE__, __LINE__);                      \
        }                                                                    \
    } while (0)


/* A new log in memory that held another one. */

static inline void
log_format(flux_log_t *log, uint8_t *area, size_t size)
{
    memset(area, 0, size);
    log_expect(flux_log_format(log, area, size) == FLUX_OK);
}


/* a room or a partition while its entries are walked */
typedef struct {
    uint64_t  last, last_delete;
} log_seen_t;


static inline int
log_is_below(const flux_log_t *log, uint64_t position)
{
    return position < log->header->tail;
}


/* the next entry of the ring, pads left out; NULL at the head */
static inline flux_entry_t *
log_next(const flux_log_t *log, uint64_t *position, uint64_t *at)
{
    uint64_t       rest;
    flux_entry_t  *entry;

    while (*position < flux_log_head(log)) {
        rest = log->ring_size - *position % log->ring_size;

        if (rest < sizeof(flux_entry_t)) {
            *position += rest;
            continue;
        }

        *at = *position;
        entry = flux_log_entry(log, *position);
        log_expect(entry->size >= sizeof(flux_entry_t));
        log_expect(entry->size <= rest);
        *position += entry->size;
        log_expect(*position <= flux_log_head(log));

        if (entry->kind != FLUX_ENTRY_PAD) {
            log_expect(entry->size >= sizeof(flux_entry_t)
                                      + entry->message_length);
            return entry;
        }
    }

    return NULL;
}


/* is it of the feed, the partition and the room that have these numbers now? */

static inline int
log_of_feed(const flux_log_t *log, const flux_entry_t *entry, uint64_t at)
{
    return log->header->feeds[entry->feed].signature
           && at >= log->header->feeds[entry->feed].created;
}


static inline int
log_of_partition(const flux_log_t *log, const flux_entry_t *entry, uint64_t at)
{
    return entry->partition != FLUX_NONE && log_of_feed(log, entry, at)
           && log->partitions[entry->partition].feed == entry->feed
           && at >= log->partitions[entry->partition].created;
}


static inline int
log_of_room(const flux_log_t *log, const flux_entry_t *entry, uint64_t at)
{
    return entry->room != FLUX_NONE && log_of_feed(log, entry, at)
           && entry->room < log->header->used
           && flux_node_is(log, entry->room, FLUX_NODE_ROOM)
           && at >= flux_log_room(log, entry->room)->created;
}


static inline void
log_check_room_link(const flux_log_t *log, log_seen_t *seen,
    const flux_entry_t *entry, uint64_t at)
{
    if (seen->last) {
        log_expect(entry->room_prev == seen->last);
        log_expect(flux_log_entry(log, seen->last)->room_next == at);

    } else {
        log_expect(log_is_below(log, entry->room_prev));
    }

    seen->last = at;

    if (entry->kind == FLUX_ENTRY_RECORD) {
        return;
    }

    log_expect(seen->last_delete ? entry->older == seen->last_delete
                                 : log_is_below(log, entry->older));
    seen->last_delete = at;
}


static inline void
log_check_live(const flux_log_t *log, const flux_entry_t *entry)
{
    log_expect(entry->kind == FLUX_ENTRY_RECORD);
    log_expect(entry->key < log->header->used);
    log_expect(flux_node_is(log, entry->key, FLUX_NODE_KEY));
    log_expect(flux_log_key(log, entry->key)->room == entry->room);
    log_expect(flux_node_is(log, entry->room, FLUX_NODE_ROOM));
}


/* the ring from tail to head; what is seen last of rooms and partitions */
static inline uint64_t
log_check_ring(const flux_log_t *log, log_seen_t *rooms,
    log_seen_t *partitions)
{
    uint64_t             position, at = 0, records, bytes, live, ordinal;
    const flux_entry_t  *entry;

    records = bytes = live = ordinal = 0;
    position = log->header->tail;

    while ((entry = log_next(log, &position, &at)) != NULL) {
        records++;

        if (entry->live) {
            log_check_live(log, entry);
            bytes += entry->size;
            live++;
        }

        if (entry->flags & FLUX_ENTRY_MOVED) {
            continue;
        }

        log_expect(entry->ordinal > ordinal);
        ordinal = entry->ordinal;

        if (log_of_room(log, entry, at)) {
            log_check_room_link(log, &rooms[entry->room], entry, at);
        }

        if (log_of_partition(log, entry, at)) {
            log_expect(partitions[entry->partition].last
                       ? entry->partition_prev
                         == partitions[entry->partition].last
                       : log_is_below(log, entry->partition_prev));
            partitions[entry->partition].last = at;
        }
    }

    log_expect(records == log->header->records);
    log_expect(bytes == log->header->live_bytes);
    log_expect(ordinal <= log->header->ordinal);

    return live;
}


/* a key and its records; returns the bytes of their messages */
static inline uint64_t
log_check_key(const flux_log_t *log, uint32_t node)
{
    uint32_t             n;
    uint64_t             position, newer = 0, bytes = 0;
    const flux_key_t    *key = flux_log_key(log, node);
    const flux_entry_t  *entry = NULL;

    log_expect(flux_node_is(log, node, FLUX_NODE_KEY));
    log_expect(key->count > 0);
    log_expect(key->count <= log->header->feeds[key->feed].retain);

    position = key->newest;

    for (n = 0; n < key->count; n++) {
        log_expect(!log_is_below(log, position));
        log_expect(position < flux_log_head(log));

        if (entry != NULL) {
            log_expect(flux_log_entry(log, position)->ordinal
                       < entry->ordinal);
            log_expect(flux_log_entry(log, position)->newer == newer);
        }

        entry = flux_log_entry(log, position);

        if (n == 0) {
            log_expect(entry->ordinal == key->ordinal);
            log_expect(entry->ts == key->ts);
        }

        log_expect(entry->live == 1);
        log_expect(entry->key == node);
        log_expect(entry->room == key->room);
        log_expect(entry->feed == key->feed);

        bytes += entry->message_length;
        newer = position;

        if (n + 1 < key->count) {
            position = entry->older;
        }
    }

    log_expect(position == key->oldest);

    return bytes;
}


static inline void
log_check_room(const flux_log_t *log, uint32_t node, const log_seen_t *seen)
{
    uint32_t            at, prev = FLUX_NONE, keys = 0;
    uint64_t            bytes = 0, ordinal = 0;
    const flux_key_t   *key;
    const flux_room_t  *room = flux_log_room(log, node);
    flux_entry_t       *entry;

    for (at = room->first; at != FLUX_NONE; at = key->after) {
        key = flux_log_key(log, at);
        log_expect(keys++ < room->keys);
        log_expect(key->prev == prev);
        log_expect(key->room == node);
        log_expect(key->feed == room->feed);
        log_expect(key->ordinal > ordinal);
        ordinal = key->ordinal;
        bytes += log_check_key(log, at);
        prev = at;
    }

    log_expect(room->last == prev);
    log_expect(room->keys == keys);
    log_expect(room->bytes == bytes);

    if (seen->last) {
        log_expect(room->newest == seen->last);
        log_expect(flux_log_entry(log, room->newest)->room_next == 0);

    } else {
        /* only its keys hold it */
        log_expect(log_is_below(log, room->newest));
        log_expect(keys > 0);
    }

    log_expect(seen->last_delete ? room->newest_delete == seen->last_delete
                                 : log_is_below(log, room->newest_delete));

    entry = flux_log_named(log, node);
    log_expect(entry->room == node);
    log_expect(flux_log_find_room(log, room->feed,
                                  flux_log_message(entry)
                                  + FLUX_MESSAGE_PREFIX,
                                  entry->address_length) == node);
}


static inline uint64_t
log_check_lru(const flux_log_t *log)
{
    uint32_t           at, prev = FLUX_NONE;
    uint64_t           ordinal = 0, n = 0;
    const flux_key_t  *key;

    for (at = log->header->lru_first; at != FLUX_NONE; at = key->lru_next) {
        key = flux_log_key(log, at);
        log_expect(n++ < log->header->nnodes);
        log_expect(flux_node_is(log, at, FLUX_NODE_KEY));
        log_expect(key->lru_prev == prev);
        log_expect(key->ordinal > ordinal);
        ordinal = key->ordinal;
        prev = at;
    }

    log_expect(log->header->lru_last == prev);

    return n;
}


static inline void
log_check_nodes(const flux_log_t *log, const log_seen_t *rooms, uint64_t live)
{
    uint32_t                  node, feed_rooms[FLUX_LOG_FEEDS] = { 0 },
                              feed_keys[FLUX_LOG_FEEDS] = { 0 };
    uint64_t                  i, n, keys = 0, taken = 0, records = 0;
    const flux_log_header_t  *h = log->header;

    log_expect(h->used <= h->nnodes);

    for (node = 0; node < h->used; node++) {

        if (flux_node_is(log, node, FLUX_NODE_ROOM)) {
            log_check_room(log, node, &rooms[node]);
            feed_rooms[flux_log_room(log, node)->feed]++;
            taken++;

        } else if (flux_node_is(log, node, FLUX_NODE_KEY)) {
            feed_keys[flux_log_key(log, node)->feed]++;
            records += flux_log_key(log, node)->count;
            taken++;
            keys++;

        } else {
            log_expect(log->nodes[node].room.hash == FLUX_NODE_FREE);
        }
    }

    log_expect(h->free_count == h->nnodes - taken);
    log_expect(log_check_lru(log) == keys);
    log_expect(records == live);

    for (i = 0; i < FLUX_LOG_FEEDS; i++) {
        if (h->feeds[i].signature) {
            log_expect(h->feeds[i].rooms == feed_rooms[i]);
            log_expect(h->feeds[i].keys == feed_keys[i]);

        } else {
            log_expect(feed_rooms[i] == 0 && feed_keys[i] == 0);
        }
    }

    for (i = 0, n = 0; i < h->nbuckets; i++) {
        for (node = ~log->buckets[i]; node != FLUX_NONE;
             node = log->nodes[node].room.next)
        {
            log_expect(n++ < taken);
            log_expect(!flux_node_is(log, node, FLUX_NODE_FREE));
        }
    }

    log_expect(n == taken);

    for (node = h->free, n = 0; node != FLUX_NONE;
         node = log->nodes[node].room.next)
    {
        log_expect(n++ < h->used);
        log_expect(flux_node_is(log, node, FLUX_NODE_FREE));
    }

    log_expect(n == h->used - taken);
}


static inline void
log_check_partitions(const flux_log_t *log, const log_seen_t *seen)
{
    uint32_t                 i;
    const flux_entry_t      *entry;
    const flux_partition_t  *p;

    for (i = 0; i < log->header->npartitions; i++) {
        p = &log->partitions[i];

        if (p->feed == FLUX_NONE) {
            continue;
        }

        log_expect(log->header->feeds[p->feed].signature != 0);
        log_expect(p->next > p->last);
        log_expect(p->dropped <= p->next);

        if (!seen[i].last) {
            log_expect(log_is_below(log, p->newest));
            continue;
        }

        log_expect(p->newest == seen[i].last);
        entry = flux_log_entry(log, p->newest);
        log_expect(p->last == entry->offset);
        log_expect(p->check == entry->check);
    }
}


/* all of it */
static inline void
log_check(const flux_log_t *log)
{
    uint64_t                  live;
    log_seen_t               *rooms, *partitions;
    const flux_log_header_t  *h = log->header;

    log_expect(h->dirty == 0);
    log_expect(h->tail <= flux_log_head(log));
    log_expect(flux_log_head(log) - h->tail <= log->ring_size);
    log_expect(atomic_load(&h->intent) >= flux_log_head(log));
    log_expect(atomic_load(&h->intent) - h->tail <= log->ring_size);

    rooms = calloc(h->nnodes, sizeof(log_seen_t));
    partitions = calloc(h->npartitions, sizeof(log_seen_t));
    log_expect(rooms != NULL && partitions != NULL);

    live = log_check_ring(log, rooms, partitions);
    log_check_nodes(log, rooms, live);
    log_check_partitions(log, partitions);

    free(rooms);
    free(partitions);
}


#endif /* LOG_CHECK_H */
