/*
 * flux_ring - places in the log's ring: entries are written at its head and
 * let go at its tail.  For the log's own files; all of it by the writer, under
 * the lock.
 */
#ifndef FLUX_RING_H
#define FLUX_RING_H

#include "flux_log.h"

#define FLUX_ALIGN(n, to)  (((n) + (to) - 1) / (to) * (to))
#define FLUX_ENTRY_ALIGN   16

static inline uint64_t
flux_ring_entry_size(uint64_t message_length)
{
    return FLUX_ALIGN(sizeof(flux_entry_t) + message_length, FLUX_ENTRY_ALIGN);
}

/*
 * Lets entries go, and keys if need be, until `need` bytes (and a pad) fit, two
 * nodes are free, and there is still place to move the largest entry.
 */
void flux_ring_make_room(flux_log_t *log, uint64_t need);

/*
 * The next place for an entry of this size at `from` (the head, or behind an
 * entry not yet published), after a pad when it would not fit before the
 * ring's end.  What is written is announced first: whoever reads there without
 * the lock then knows.
 */
uint64_t flux_ring_claim(flux_log_t *log, uint64_t from, uint64_t size);

/* An entry at a place that was claimed; it has the next ordinal. */
flux_entry_t *flux_ring_new_entry(flux_log_t *log, uint64_t position,
    uint64_t size, flux_entry_kind_t kind, uint32_t feed);

/* Moves the head behind the entry: all who read see it from now on. */
void flux_ring_publish(flux_log_t *log, flux_entry_t *entry,
    uint64_t position);

/* Appends an entry without message. */
void flux_ring_signal(flux_log_t *log, flux_entry_kind_t kind, uint32_t feed,
    int64_t ts);

/* Others read a counter, but it is the writer's alone: no locked addition. */
static inline void
flux_count(_Atomic uint64_t *counter, uint64_t n)
{
    n += atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, n, memory_order_relaxed);
}

#endif
