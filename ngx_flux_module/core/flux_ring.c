#include "flux_ring.h"
#include "flux_index.h"
#include "flux_prefetch.h"

#include <string.h>


static void flux_ring_evict(flux_log_t *log);
static void flux_ring_move(flux_log_t *log, flux_entry_t *entry);
static void flux_ring_advance(flux_log_t *log);


uint64_t
flux_ring_claim(flux_log_t *log, uint64_t from, uint64_t size)
{
    uint64_t       rest;
    flux_entry_t  *pad;

    rest = log->ring_size - from % log->ring_size;

    if (rest >= size) {
        rest = 0;
    }

    /* more may have been announced for what was then not published */

    if (atomic_load_explicit(&log->header->intent, memory_order_relaxed)
        < from + rest + size)
    {
        atomic_store_explicit(&log->header->intent, from + rest + size,
                              memory_order_relaxed);
    }

    atomic_thread_fence(memory_order_release);

    if (rest >= sizeof(flux_entry_t)) {
        pad = flux_log_entry(log, from);
        memset(pad, 0, sizeof(flux_entry_t));
        pad->size = (uint32_t) rest;
        pad->kind = FLUX_ENTRY_PAD;
    }

    return from + rest;
}


flux_entry_t *
flux_ring_new_entry(flux_log_t *log, uint64_t position, uint64_t size,
    flux_entry_kind_t kind, uint32_t feed)
{
    flux_entry_t  *entry = flux_log_entry(log, position);

    /* one by one: a memset() of this size costs as much as all the rest */
    entry->size = (uint32_t) size;
    entry->kind = (uint8_t) kind;
    entry->flags = 0;
    entry->check = 0;
    entry->ordinal = ++log->header->ordinal;
    entry->offset = -1;
    entry->ts = 0;
    entry->feed = feed;
    entry->partition = FLUX_NONE;
    entry->room = FLUX_NONE;
    entry->message_length = 0;
    entry->address_length = 0;
    entry->key_length = 0;
    entry->key = 0;
    entry->live = 0;
    entry->room_prev = 0;
    entry->room_next = 0;
    entry->partition_prev = 0;
    entry->older = 0;
    entry->newer = 0;

    return entry;
}


void
flux_ring_publish(flux_log_t *log, flux_entry_t *entry, uint64_t position)
{
    log->header->records++;
    atomic_store_explicit(&log->header->head, position + entry->size,
                          memory_order_release);
}


/* Live bytes that the ring may hold; above, keys have to go. */

static uint64_t
flux_ring_live_limit(const flux_log_t *log)
{
    return log->ring_size / 2 - log->header->max_entry;
}


static void
flux_ring_evict(flux_log_t *log)
{
    uint32_t  node = log->header->lru_first;

    flux_count(&log->header->feeds[flux_log_key(log, node)->feed].evicted, 1);
    flux_index_forget_key(log, node);
}


/* The entry at the tail, still live, is appended anew. */

static void
flux_ring_move(flux_log_t *log, flux_entry_t *entry)
{
    uint64_t       to = flux_ring_claim(log, flux_log_head(log), entry->size);
    flux_entry_t  *moved = flux_log_entry(log, to);

    memcpy(moved, entry, sizeof(flux_entry_t) + entry->message_length);
    moved->flags = FLUX_ENTRY_MOVED;
    flux_index_moved(log, entry, to);
    flux_ring_publish(log, moved, to);
}


/* Lets the oldest entry go. */

static void
flux_ring_advance(flux_log_t *log)
{
    uint64_t            rest, tail;
    flux_entry_t       *entry;
    flux_log_header_t  *h = log->header;

    tail = h->tail;
    rest = log->ring_size - tail % log->ring_size;

    if (rest < sizeof(flux_entry_t)) {
        h->tail = tail + rest;
        return;
    }

    entry = flux_log_entry(log, tail);

    if (entry->kind == FLUX_ENTRY_PAD) {
        h->tail = tail + entry->size;
        return;
    }

    flux_index_left(log, entry, tail);

    if (entry->live) {
        flux_ring_move(log, entry);

    } else {
        flux_index_dropped(log, entry, tail);
    }

    /* what is gone is counted first, or a kill would hide it */
    atomic_signal_fence(memory_order_seq_cst);

    h->tail = tail + entry->size;
    h->records--;

    /* the next one to go is as old, and as cold */
    entry = flux_log_entry(log, h->tail);
    flux_prefetch(entry);
    flux_prefetch(&entry->room_prev);
}


void
flux_ring_make_room(flux_log_t *log, uint64_t need)
{
    uint64_t            lap, limit;
    flux_log_header_t  *h = log->header;

    limit = log->ring_size - 2 * h->max_entry;
    lap = h->tail + log->ring_size;

    while (h->live_bytes > flux_ring_live_limit(log)) {
        flux_ring_evict(log);
    }

    while (h->free_count < 2) {
        if (h->lru_first != FLUX_NONE) {
            flux_ring_evict(log);
        }

        if (h->free_count < 2) {
            flux_ring_advance(log);
        }
    }

    while (flux_log_head(log) + need - h->tail > limit) {

        if (h->tail > lap && h->lru_first != FLUX_NONE) {
            /* a whole lap freed too little */
            flux_ring_evict(log);
        }

        flux_ring_advance(log);
    }
}


void
flux_ring_signal(flux_log_t *log, flux_entry_kind_t kind, uint32_t feed,
    int64_t ts)
{
    uint64_t       position, size = flux_ring_entry_size(0);
    flux_entry_t  *entry;

    flux_ring_make_room(log, 2 * size);
    position = flux_ring_claim(log, flux_log_head(log), size);

    entry = flux_ring_new_entry(log, position, size, kind, feed);
    entry->ts = ts;
    flux_ring_publish(log, entry, position);
}
