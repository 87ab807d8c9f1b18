/*
 * What is about to be appended: its hashes, and the memory it will touch.
 *
 * The index of a large zone is in no cache, so each record waits for memory
 * several times over, each time for an address that the one before told.
 * While one record is appended, those behind it take a step each.
 */
#include "flux_index.h"
#include "flux_prefetch.h"

#include <string.h>

/* of an entry; what is behind is long enough for the hardware to run ahead */
#define FLUX_ENTRY_AHEAD    512

/* rooms with longer addresses are hashed when they are in the ring */
#define FLUX_ADDRESS_AHEAD  512


static uint32_t flux_ahead_room_hash(const flux_log_t *log, uint32_t feed,
    const flux_message_t *m);
static uint32_t flux_ahead_node(const flux_log_t *log, uint32_t hash);
static void flux_ahead_entry(const flux_log_t *log, uint64_t position,
    size_t length);
static void flux_ahead_node_of(const flux_log_t *log, uint32_t node);
static size_t flux_ahead_fresh(uint64_t used, uint64_t size, size_t most,
    uint64_t *known);


void
flux_log_describe(const flux_log_t *log, flux_append_t *what,
    const flux_message_t *m)
{
    what->ts = m->ts;
    what->kind = m->value ? FLUX_ENTRY_RECORD : FLUX_ENTRY_DELETE;
    what->message_length = (uint32_t) m->length;
    what->address_length = (uint32_t) m->address_length;
    what->key_length = (uint32_t) m->key_length;
    what->room_hash = 0;
    what->key_hash = 0;

    if (!m->verbatim) {
        return;
    }

    what->room_hash = flux_ahead_room_hash(log, what->feed, m);

    if (m->key_size) {
        what->key_hash = flux_index_hash(log, what->feed, 0, m->key,
                                         m->key_size, FLUX_NODE_KEY);
    }
}


static uint32_t
flux_ahead_room_hash(const flux_log_t *log, uint32_t feed,
    const flux_message_t *m)
{
    uint8_t  address[FLUX_ADDRESS_AHEAD];

    if (m->room == NULL) {
        return flux_index_hash(log, feed, 0, m->feed, m->feed_size,
                               FLUX_NODE_ROOM);
    }

    if (m->address_length > sizeof(address)) {
        return 0;
    }

    memcpy(address, m->feed, m->feed_size);
    address[m->feed_size] = '/';
    memcpy(address + m->feed_size + 1, m->room, m->room_size);

    return flux_index_hash(log, feed, 0, address, m->address_length,
                           FLUX_NODE_ROOM);
}


void
flux_log_ahead(const flux_log_t *log, const flux_append_t *what,
    flux_ahead_t step)
{
    uint32_t           node;
    const flux_key_t  *key;

    switch (step) {

    case FLUX_AHEAD_BUCKETS:
        flux_prefetch(flux_index_bucket(log, what->room_hash));
        flux_prefetch(flux_index_bucket(log, what->key_hash));
        return;

    case FLUX_AHEAD_NODES:
        flux_ahead_node_of(log, flux_index_first_of(log, what->room_hash));
        flux_ahead_node_of(log, flux_index_first_of(log, what->key_hash));
        return;

    case FLUX_AHEAD_ENTRIES:
        node = flux_ahead_node(log, what->room_hash);

        if (node != FLUX_NONE) {
            flux_ahead_entry(log, flux_log_room(log, node)->newest,
                             flux_message_key_at(what->address_length));
        }

        node = flux_ahead_node(log, what->key_hash);

        if (node != FLUX_NONE) {
            key = flux_log_key(log, node);
            flux_ahead_entry(log, key->newest,
                             flux_message_key_at(what->address_length)
                             + what->key_length);

            /* between which it is taken out of its lists */
            flux_ahead_node_of(log, key->prev);
            flux_ahead_node_of(log, key->after);
            flux_ahead_node_of(log, key->lru_prev);
            flux_ahead_node_of(log, key->lru_next);
        }
    }
}


/* The first of its bucket, if it may be it; else the second is asked for. */

static uint32_t
flux_ahead_node(const flux_log_t *log, uint32_t hash)
{
    uint32_t  node = flux_index_first_of(log, hash);

    if (node == FLUX_NONE || log->nodes[node].room.hash == hash) {
        return node;
    }

    flux_ahead_node_of(log, log->nodes[node].room.next);

    return FLUX_NONE;
}


static void
flux_ahead_node_of(const flux_log_t *log, uint32_t node)
{
    if (node != FLUX_NONE) {
        flux_prefetch(&log->nodes[node]);
    }
}


/* Up to so much of its message. */

static void
flux_ahead_entry(const flux_log_t *log, uint64_t position, size_t length)
{
    size_t          at;
    const uint8_t  *p = (const uint8_t *) flux_log_entry(log, position);

    length += sizeof(flux_entry_t);

    if (length > FLUX_ENTRY_AHEAD) {
        length = FLUX_ENTRY_AHEAD;
    }

    for (at = 0; at < length; at += FLUX_CACHE_LINE) {
        flux_prefetch(p + at);
    }

    flux_prefetch(p + length - 1);
}


size_t
flux_log_fresh(const flux_log_t *log, flux_fresh_t *known, size_t most,
    uint8_t **memory)
{
    size_t                    size;
    const flux_log_header_t  *h = log->header;

    *memory = log->ring;

    /* the first lap is number one */

    size = flux_ahead_fresh(flux_log_head(log) - log->ring_size,
                            log->ring_size, most, &known->ring);
    if (size) {
        *memory += known->ring - size;
        return size;
    }

    *memory = (uint8_t *) log->nodes;

    size = flux_ahead_fresh(h->used * sizeof(flux_node_t),
                            h->nnodes * sizeof(flux_node_t), most,
                            &known->nodes);

    *memory += known->nodes - size;

    return size;
}


/* The size of a piece that ends at *known. */

static size_t
flux_ahead_fresh(uint64_t used, uint64_t size, size_t most, uint64_t *known)
{
    uint64_t  ahead, from;

    ahead = used < most ? used : most;
    from = *known > used ? *known : used;

    if (from - used > ahead / 2 || from >= size) {
        return 0;
    }

    *known = used + ahead < size ? used + ahead : size;

    return (size_t) (*known - from);
}
