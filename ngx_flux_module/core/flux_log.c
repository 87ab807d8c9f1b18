#include "flux_log.h"
#include "flux_frame.h"
#include "flux_index.h"
#include "flux_prefetch.h"
#include "flux_ring.h"

#include <string.h>
#include <sys/random.h>

#define FLUX_LOG_MAGIC    UINT64_C(0x666c75786c6f6731)  /* "fluxlog1" */
#define FLUX_LOG_VERSION  8

/*
 * A quarter of the area is for the index: with two nodes a key at the worst
 * (a room of its own) it is full when live records average some 300 bytes.
 */
#define FLUX_INDEX_SHARE   4

/* A partition's place for each so many bytes of the area, within bounds. */
#define FLUX_PARTITION_SHARE  65536
#define FLUX_PARTITIONS_MIN   256
#define FLUX_PARTITIONS_MAX   8192

/*
 * No entry is larger than this part of the ring, so that a live one can always
 * be moved ahead of the tail and still leaves room for what is to come.
 */
#define FLUX_ENTRY_SHARE   8

/* Bytes behind a record that are fetched for the next one, at most. */
#define FLUX_FETCH_MAX     1024


static size_t flux_log_tables(flux_log_header_t *h, size_t size);
static void flux_log_place(flux_log_t *log, void *area);
static flux_entry_t *flux_log_delete_key(flux_log_t *log, uint32_t node,
    flux_entry_kind_t kind, uint64_t from, int64_t ts, uint64_t *position);
static void flux_log_advance_partition(flux_log_t *log, flux_entry_t *entry,
    uint64_t position);


/* --- layout -------------------------------------------------------------- */

static size_t
flux_log_tables(flux_log_header_t *h, size_t size)
{
    size_t  n, at;

    n = size / FLUX_PARTITION_SHARE;
    n = n < FLUX_PARTITIONS_MIN ? FLUX_PARTITIONS_MIN : n;
    h->npartitions = (uint32_t) (n > FLUX_PARTITIONS_MAX ? FLUX_PARTITIONS_MAX
                                                         : n);

    n = size / FLUX_INDEX_SHARE
        / (sizeof(flux_node_t) + sizeof(flux_lost_t) + sizeof(uint32_t));
    h->nnodes = (uint32_t) (n < FLUX_NONE / 2 ? n : FLUX_NONE / 2);

    h->nbuckets = 1;
    while (h->nbuckets <= h->nnodes / 2) {
        h->nbuckets *= 2;
    }

    at = FLUX_ALIGN(sizeof(flux_log_header_t), 64)
         + FLUX_ALIGN(h->npartitions * sizeof(flux_partition_t), 64)
         + FLUX_ALIGN(h->nbuckets * sizeof(uint32_t), 64)
         + FLUX_ALIGN(h->nnodes * sizeof(flux_node_t), 64)
         + FLUX_ALIGN(h->nnodes * sizeof(flux_lost_t), 64);

    h->size = size;
    h->ring_offset = at;
    h->ring_size = size > at ? (size - at) / FLUX_ENTRY_ALIGN * FLUX_ENTRY_ALIGN
                             : 0;
    h->max_entry = h->ring_size / FLUX_ENTRY_SHARE / FLUX_ENTRY_ALIGN
                   * FLUX_ENTRY_ALIGN;

    return at;
}


static void
flux_log_place(flux_log_t *log, void *area)
{
    uint8_t            *p = area;
    flux_log_header_t  *h = area;

    log->header = h;
    p += FLUX_ALIGN(sizeof(flux_log_header_t), 64);
    log->partitions = (flux_partition_t *) (void *) p;
    p += FLUX_ALIGN(h->npartitions * sizeof(flux_partition_t), 64);
    log->buckets = (uint32_t *) (void *) p;
    p += FLUX_ALIGN(h->nbuckets * sizeof(uint32_t), 64);
    log->nodes = (flux_node_t *) (void *) p;
    p += FLUX_ALIGN(h->nnodes * sizeof(flux_node_t), 64);
    log->lost = (flux_lost_t *) (void *) p;
    log->ring = (uint8_t *) area + h->ring_offset;
    log->ring_size = h->ring_size;
    log->reserved = 0;
}


flux_status_t
flux_log_format(flux_log_t *log, void *area, size_t size)
{
    uint32_t            i;
    flux_log_header_t  *h = area;

    if (size < FLUX_LOG_MIN) {
        return FLUX_TOO_LARGE;
    }

    flux_log_tables(h, size);
    flux_log_place(log, area);

    for (i = 0; i < h->npartitions; i++) {
        log->partitions[i].feed = FLUX_NONE;
    }

    flux_index_empty(log);

    if (getrandom(h->key, sizeof(h->key), GRND_NONBLOCK) != sizeof(h->key)) {
        /* so early that there is no chance yet: where the kernel put us */
        h->key[0] = (uintptr_t) area;
        h->key[1] = (uintptr_t) &log * FLUX_HASH_FACTOR;
    }

    h->key[1] |= 1;

    /* the first lap is number one, so that no entry stands at position 0 */
    h->tail = h->ring_size;
    atomic_store(&h->intent, h->ring_size);
    atomic_store(&h->head, h->ring_size);

    h->version = FLUX_LOG_VERSION;
    h->magic = FLUX_LOG_MAGIC;

    return FLUX_OK;
}


flux_status_t
flux_log_attach(flux_log_t *log, void *area, size_t size)
{
    flux_log_header_t   want;
    flux_log_header_t  *h = area;

    if (size < FLUX_LOG_MIN || h->magic != FLUX_LOG_MAGIC
        || h->version != FLUX_LOG_VERSION)
    {
        return FLUX_BAD_LAYOUT;
    }

    flux_log_tables(&want, size);

    if (h->size != size || h->ring_offset != want.ring_offset
        || h->ring_size != want.ring_size || h->nnodes != want.nnodes
        || h->nbuckets != want.nbuckets || h->npartitions != want.npartitions)
    {
        return FLUX_BAD_LAYOUT;
    }

    flux_log_place(log, area);

    return FLUX_OK;
}


/* --- the stream ---------------------------------------------------------- */

/* 1 when what was copied from this position was not being overwritten. */

static int
flux_log_intact(const flux_log_t *log, uint64_t position)
{
    atomic_thread_fence(memory_order_acquire);

    return atomic_load_explicit(&log->header->intent, memory_order_relaxed)
           - position <= log->ring_size;
}


flux_status_t
flux_log_read(const flux_log_t *log, uint64_t *position, flux_entry_t *entry)
{
    uint64_t  at, rest, head = flux_log_head(log);

    for (at = *position; at < head; at += entry->size) {

        rest = log->ring_size - at % log->ring_size;

        if (rest < sizeof(flux_entry_t)) {
            entry->size = (uint32_t) rest;
            continue;
        }

        memcpy(entry, flux_log_entry(log, at), sizeof(flux_entry_t));

        if (!flux_log_intact(log, at)) {
            return FLUX_LOST;
        }

        if (entry->kind != FLUX_ENTRY_PAD) {
            *position = at + entry->size;
            return FLUX_OK;
        }
    }

    *position = at;

    return FLUX_AGAIN;
}


flux_status_t
flux_log_copy(const flux_log_t *log, uint64_t position, size_t from,
    uint8_t *dst, size_t length)
{
    memcpy(dst, flux_log_message(flux_log_entry(log, position)) + from, length);

    return flux_log_intact(log, position) ? FLUX_OK : FLUX_LOST;
}


/* --- the writer: begin, end, recovery ------------------------------------ */

void
flux_log_begin(flux_log_t *log)
{
    log->header->dirty = 1;
    atomic_signal_fence(memory_order_seq_cst);
}


void
flux_log_end(flux_log_t *log)
{
    atomic_thread_fence(memory_order_release);
    log->header->dirty = 0;
}


flux_status_t
flux_log_recover(flux_log_t *log)
{
    flux_status_t  rc;

    flux_log_begin(log);

    rc = flux_index_rebuild(log);

    if (rc == FLUX_OK) {
        flux_log_end(log);
    }

    return rc;
}


/* --- the writer: records ------------------------------------------------- */

/* What a LEAVE or EXPIRE entry for such a key can take, at the most. */

static uint64_t
flux_log_delete_size(uint64_t key_length)
{
    /* an address is at most a feed's name and 255 escaped bytes */

    return flux_ring_entry_size(key_length + 255 + 255 * 6 + 128);
}


/*
 * Where the next record will be written.  To write into memory that is not
 * here costs nothing, but to read it again right away does.
 */

static void
flux_log_fetch(const uint8_t *p, uint64_t size)
{
    uint64_t  at;

    for (at = 0; at < size && at < FLUX_FETCH_MAX; at += FLUX_CACHE_LINE) {
        flux_prefetch_to_write(p + at);
    }
}


uint8_t *
flux_log_reserve(flux_log_t *log, const flux_append_t *what)
{
    uint64_t  size = flux_ring_entry_size(what->message_length);
    uint64_t  extra = flux_log_delete_size(what->key_length);
    uint8_t  *message;

    if (size + extra > log->header->max_entry) {
        return NULL;
    }

    /* each of the two may need a pad before it */
    flux_ring_make_room(log, 2 * (size + extra));
    log->reserved = flux_ring_claim(log, flux_log_head(log), size);

    message = flux_log_message(flux_log_entry(log, log->reserved));
    flux_log_fetch(message + what->message_length, size);

    return message;
}


/*
 * Writes a delete for a live key behind `from` and takes the key out; the
 * caller publishes the entry.
 */

static flux_entry_t *
flux_log_delete_key(flux_log_t *log, uint32_t node, flux_entry_kind_t kind,
    uint64_t from, int64_t ts, uint64_t *position)
{
    size_t               length;
    const flux_key_t    *key = flux_log_key(log, node);
    flux_entry_t        *entry;
    const uint8_t       *message;
    const flux_entry_t  *newest = flux_log_entry(log, key->newest);

    message = flux_log_message(newest);
    length = flux_message_delete(NULL, NULL, newest->address_length, NULL,
                                 newest->key_length, ts);

    *position = flux_ring_claim(log, from, flux_ring_entry_size(length));
    entry = flux_ring_new_entry(log, *position, flux_ring_entry_size(length),
                                kind, key->feed);

    flux_message_delete(flux_log_message(entry),
                        message + FLUX_MESSAGE_PREFIX, newest->address_length,
                        message + flux_message_key_at(newest->address_length),
                        newest->key_length, ts);

    entry->ts = ts;
    entry->message_length = (uint32_t) length;
    entry->address_length = newest->address_length;
    entry->key_length = newest->key_length;

    flux_index_add_room(log, entry, *position, 0);
    flux_index_add_delete(log, entry, *position);

    return entry;
}


/* The partition is read up to behind this entry. */

static void
flux_log_advance_partition(flux_log_t *log, flux_entry_t *entry,
    uint64_t position)
{
    flux_partition_t  *partition = &log->partitions[entry->partition];

    /* a kill before this point: recovery does the same */
    atomic_signal_fence(memory_order_seq_cst);

    partition->newest = position;
    partition->last = entry->offset;
    partition->check = entry->check;
    partition->next = entry->offset + 1;
}


void
flux_log_append(flux_log_t *log, const flux_append_t *what)
{
    uint32_t       key;
    uint64_t       position = log->reserved, last = log->reserved;
    flux_feed_t   *feed = &log->header->feeds[what->feed];
    flux_entry_t  *entry, *leave;

    entry = flux_ring_new_entry(log, position,
                                flux_ring_entry_size(what->message_length),
                                (flux_entry_kind_t) what->kind, what->feed);
    entry->check = what->check;
    entry->offset = what->offset;
    entry->ts = what->ts;
    entry->partition = what->partition;
    entry->message_length = what->message_length;
    entry->address_length = what->address_length;
    entry->key_length = what->key_length;

    entry->partition_prev = log->partitions[what->partition].newest;

    flux_index_add_room(log, entry, position, what->room_hash);

    leave = NULL;
    key = FLUX_NONE;

    if (what->kind == FLUX_ENTRY_RECORD) {
        key = flux_index_key_of(log, entry, what->key_hash);
    }

    if (key != FLUX_NONE && flux_log_key(log, key)->room != entry->room) {
        leave = flux_log_delete_key(log, key, FLUX_ENTRY_LEAVE,
                                    position + entry->size, what->ts, &last);
        leave->offset = what->offset;
        leave->check = what->check;
        leave->partition = what->partition;
        leave->partition_prev = position;
        log->header->records++;
        key = FLUX_NONE;
    }

    if (what->kind == FLUX_ENTRY_RECORD) {
        flux_index_add_record(log, entry, position, key, what->key_hash);

    } else {
        flux_index_add_delete(log, entry, position);
    }

    flux_count(&feed->records, 1);
    flux_count(&feed->bytes, what->message_length);

    /* record and leave at once */
    entry = leave ? leave : entry;
    flux_ring_publish(log, entry, last);
    flux_log_advance_partition(log, entry, last);
}


void
flux_log_skip(flux_log_t *log, uint32_t feed, uint32_t partition,
    int64_t offset, flux_skip_t reason)
{
    flux_partition_t  *p = &log->partitions[partition];

    flux_count(&log->header->feeds[feed].skipped[reason], 1);

    if (p->next <= offset) {
        p->next = offset + 1;
    }
}


void
flux_log_note(flux_log_t *log, uint32_t feed)
{
    flux_ring_signal(log, FLUX_ENTRY_STATUS, feed, 0);
}


void
flux_log_expired(flux_log_t *log, uint32_t feed, int64_t ts)
{
    log->header->feeds[feed].expired = ts;
    flux_ring_signal(log, FLUX_ENTRY_STATUS, feed, ts);
}


void
flux_log_expire(flux_log_t *log, const int64_t before[FLUX_LOG_FEEDS],
    const int64_t expire[FLUX_LOG_FEEDS], uint32_t *node, uint32_t budget)
{
    uint64_t       position;
    flux_key_t    *key;
    flux_feed_t   *feed;
    flux_entry_t  *entry;

    for ( /* void */ ; budget; budget--, ++*node) {

        if (*node >= log->header->used) {
            *node = 0;
            return;
        }

        if (!flux_node_is(log, *node, FLUX_NODE_KEY)) {
            continue;
        }

        key = flux_log_key(log, *node);

        if (key->ts >= before[key->feed]) {
            continue;
        }

        flux_ring_make_room(log, 2 * flux_log_delete_size(
                               flux_log_entry(log, key->newest)->key_length));

        if (!flux_node_is(log, *node, FLUX_NODE_KEY)) {
            /* evicted to make room */
            continue;
        }

        feed = &log->header->feeds[key->feed];

        entry = flux_log_delete_key(log, *node, FLUX_ENTRY_EXPIRE,
                                    flux_log_head(log),
                                    key->ts + expire[key->feed], &position);

        if (feed->newest_expire < entry->ts) {
            feed->newest_expire = entry->ts;
        }

        flux_ring_publish(log, entry, position);
    }
}
