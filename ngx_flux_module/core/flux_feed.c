/*
 * Feeds and partitions of the log, and what a partition knows of what is gone.
 */
#include "flux_index.h"
#include "flux_ring.h"

#include <string.h>

/* Steps back in a partition before a check is given up as unknown. */
#define FLUX_CHECK_STEPS  100000


uint32_t
flux_log_find_partition(const flux_log_t *log, uint32_t feed, uint64_t topic,
    uint32_t number)
{
    uint32_t           i;
    flux_partition_t  *partition;

    for (i = 0; i < log->header->npartitions; i++) {
        partition = &log->partitions[i];

        if (partition->feed == feed && partition->topic == topic
            && partition->number == number)
        {
            return i;
        }
    }

    return FLUX_NONE;
}


/* Is all that came up to this ordinal known at the offset? */

static int
flux_log_marked(const flux_partition_t *p, uint64_t ordinal, int64_t offset)
{
    unsigned            i;
    const flux_mark_t  *mark = p->marks[0];

    for (i = 0; i < FLUX_MARK_LEVELS * 2; i++) {
        if (mark[i].ordinal > ordinal && mark[i].offset <= offset) {
            return 1;
        }
    }

    return 0;
}


int
flux_log_whole(const flux_log_t *log, uint32_t node, uint32_t partition,
    int64_t offset)
{
    const flux_lost_t       *lost;
    const flux_partition_t  *p = &log->partitions[partition];

    if (offset < p->whole) {
        return 0;
    }

    if (offset >= p->dropped) {
        return 1;
    }

    if (node == FLUX_NONE) {
        return 0;
    }

    lost = flux_log_lost(log, node);

    if (lost->record == 0 || flux_log_marked(p, lost->record, offset)) {
        return 1;
    }

    switch (lost->many) {

    case FLUX_LOST_MANY:
        return 0;

    case FLUX_LOST_ELSEWHERE:
        return lost->partition == partition && offset > lost->offset;

    default:
        return lost->partition != partition || offset > lost->offset;
    }
}


uint16_t
flux_log_check(const flux_log_t *log, uint32_t partition, int64_t offset)
{
    int                  steps;
    uint64_t             position = log->partitions[partition].newest;
    const flux_entry_t  *entry;

    if (offset <= log->partitions[partition].dropped) {
        /* it has left the ring */
        return 0;
    }

    for (steps = 0; steps < FLUX_CHECK_STEPS; steps++) {

        if (!flux_log_reaches(log, position)) {
            return 0;
        }

        entry = flux_log_entry(log, position);

        if (entry->offset < offset) {
            return entry->offset == offset - 1 ? entry->check : 0;
        }

        position = entry->partition_prev;
    }

    return 0;
}


uint32_t
flux_log_find_feed(const flux_log_t *log, uint64_t signature)
{
    uint32_t  i;

    for (i = 0; i < FLUX_LOG_FEEDS; i++) {
        if (log->header->feeds[i].signature == signature) {
            return i;
        }
    }

    return FLUX_NONE;
}


uint32_t
flux_log_feed(flux_log_t *log, uint64_t signature, uint32_t retain)
{
    uint32_t      i;
    flux_feed_t  *feed;

    i = flux_log_find_feed(log, signature);

    if (i != FLUX_NONE) {
        return i;
    }

    i = flux_log_find_feed(log, 0);

    if (i == FLUX_NONE) {
        return FLUX_NONE;
    }

    feed = &log->header->feeds[i];
    memset(feed, 0, sizeof(flux_feed_t));
    feed->created = flux_log_head(log);
    feed->retain = retain;

    atomic_signal_fence(memory_order_seq_cst);
    feed->signature = signature;

    return i;
}


void
flux_log_drop_feed(flux_log_t *log, uint32_t feed)
{
    uint32_t  i;

    /* first, so that after a kill recovery lets go of all the rest */
    log->header->feeds[feed].signature = 0;
    atomic_signal_fence(memory_order_seq_cst);

    flux_index_remove_feed(log, feed, 0);

    for (i = 0; i < log->header->npartitions; i++) {
        if (log->partitions[i].feed == feed) {
            log->partitions[i].feed = FLUX_NONE;
        }
    }

    flux_ring_signal(log, FLUX_ENTRY_RESET, feed, 0);
}


/*
 * Nothing is known of what it had, and none of that can be read from the log.
 * Killed on the way it is still found by what it is, and vouches for nothing.
 */

static void
flux_log_new_partition(flux_log_t *log, flux_partition_t *partition,
    int64_t start)
{
    size_t  from = offsetof(flux_partition_t, ready);

    partition->whole = INT64_MAX;
    atomic_signal_fence(memory_order_seq_cst);

    memset((uint8_t *) partition + from, 0, sizeof(flux_partition_t) - from);
    partition->start = start;
    partition->next = start;
    partition->last = -1;
    partition->created = flux_log_head(log);
    partition->high_watermark = -1;
    partition->target = -1;

    atomic_signal_fence(memory_order_seq_cst);
    partition->whole = start;
    atomic_signal_fence(memory_order_seq_cst);
}


void
flux_log_reset_topic(flux_log_t *log, uint32_t feed, uint64_t topic,
    uint32_t fingerprint)
{
    uint32_t           i;
    flux_partition_t  *partition;

    flux_index_remove_feed(log, feed, topic);
    flux_ring_signal(log, FLUX_ENTRY_RESET, feed, 0);
    log->header->feeds[feed].ready = 0;

    for (i = 0; i < log->header->npartitions; i++) {

        partition = &log->partitions[i];

        if (partition->feed == feed && partition->topic == topic) {
            /* the fingerprint last: after a kill it tells what is undone */
            flux_log_new_partition(log, partition, 0);
            partition->fingerprint = fingerprint;
        }
    }
}


uint32_t
flux_log_partition(flux_log_t *log, uint32_t feed, uint64_t topic,
    uint32_t fingerprint, uint32_t number, int64_t start)
{
    uint32_t           i;
    flux_partition_t  *partition;

    i = flux_log_find_partition(log, feed, topic, number);

    if (i != FLUX_NONE) {
        return i;
    }

    for (i = 0; i < log->header->npartitions; i++) {

        partition = &log->partitions[i];

        if (partition->feed != FLUX_NONE) {
            continue;
        }

        partition->number = number;
        partition->topic = topic;
        partition->fingerprint = fingerprint;
        flux_log_new_partition(log, partition, start);
        partition->feed = feed;

        return i;
    }

    return FLUX_NONE;
}
