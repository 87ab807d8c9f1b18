/*
 * Rebuilds the index from the ring, after a writer died while it changed it.
 */

#include "flux_frame.h"
#include "flux_index.h"

#include <stdlib.h>
#include <string.h>


typedef struct {
    uint64_t  ordinal;
    uint32_t  node;
} flux_index_order_t;

/* Of each room and key the position of its last end; a hash table. */
typedef struct {
    uint64_t  *positions;       /* 0: none */
    size_t     mask;
} flux_index_ends_t;


static int
flux_index_compare(const void *one, const void *two)
{
    uint64_t  a = ((const flux_index_order_t *) one)->ordinal;
    uint64_t  b = ((const flux_index_order_t *) two)->ordinal;

    return (a > b) - (a < b);
}


/* The next entry between tail and head, or NULL; *position: behind it. */

static flux_entry_t *
flux_index_next(flux_log_t *log, uint64_t *position, uint64_t *at)
{
    uint64_t       rest, head = flux_log_head(log);
    flux_entry_t  *entry;

    while (*position < head) {
        rest = log->ring_size - *position % log->ring_size;

        if (rest < sizeof(flux_entry_t)) {
            *position += rest;
            continue;
        }

        *at = *position;
        entry = flux_log_entry(log, *position);
        *position += entry->size;

        if (entry->kind != FLUX_ENTRY_PAD) {
            return entry;
        }
    }

    return NULL;
}


/* Of the feed that has this place now, and of a partition it has read? */

static int
flux_index_is_of_feed(const flux_log_t *log, const flux_entry_t *entry,
    uint64_t at)
{
    const flux_feed_t  *feed = &log->header->feeds[entry->feed];

    return feed->signature && at >= feed->created;
}


static int
flux_index_is_of_partition(const flux_log_t *log, const flux_entry_t *entry,
    uint64_t at)
{
    return entry->partition != FLUX_NONE
           && at >= log->partitions[entry->partition].created;
}


/*
 * The next one that has a room.  A moved record without a key is left out: it
 * is in no chain, and its room may be another one by now.
 */

static flux_entry_t *
flux_index_next_of_room(flux_log_t *log, uint64_t *position, uint64_t *at)
{
    flux_entry_t  *entry;

    while ((entry = flux_index_next(log, position, at)) != NULL) {

        if (entry->room < log->header->nnodes
            && *at >= flux_log_room(log, entry->room)->created
            && flux_index_is_of_feed(log, entry, *at)
            && (!(entry->flags & FLUX_ENTRY_MOVED)
                || (entry->key != FLUX_NONE
                    && flux_index_is_of_partition(log, entry, *at))))
        {
            return entry;
        }
    }

    return NULL;
}


/*
 * Nothing is live at first.  Marks where the nodes of rooms were taken for the
 * last time, and returns the oldest entry of the stream, or NULL.
 */

static const flux_entry_t *
flux_index_rebuild_begin(flux_log_t *log)
{
    uint64_t             position = log->header->tail, at;
    flux_entry_t        *entry;
    const flux_entry_t  *oldest = NULL;

    while ((entry = flux_index_next(log, &position, &at)) != NULL) {
        log->header->records++;
        entry->live = 0;

        if (oldest == NULL && !(entry->flags & FLUX_ENTRY_MOVED)) {
            oldest = entry;
        }

        if (entry->flags & FLUX_ENTRY_NEW_ROOM
            && flux_index_is_of_feed(log, entry, at))
        {
            flux_log_room(log, entry->room)->created = at;
        }
    }

    return oldest;
}


static void
flux_index_rebuild_room(flux_log_t *log, const flux_entry_t *entry,
    uint64_t at)
{
    flux_room_t  *room = flux_log_room(log, entry->room);

    memset(room, 0, sizeof(flux_node_t));
    memset(flux_log_lost(log, entry->room), 0, sizeof(flux_lost_t));
    room->hash = flux_index_hash(log, entry->feed, 0, flux_entry_address(entry),
                                 entry->address_length, FLUX_NODE_ROOM);
    flux_index_new_room(log, entry->room, entry, at);
    log->header->free_count--;
}


/* A room of moved records alone has lost all that its chain had. */

static void
flux_index_rebuild_moved(flux_log_t *log, flux_room_t *room,
    const flux_entry_t *entry, uint64_t at, const flux_entry_t *oldest)
{
    flux_lost_t  *lost = flux_log_lost(log, entry->room);

    if (room->newest == 0) {
        /* it bears the address, but is no entry of the stream */
        room->newest = at;

        lost->record = oldest ? oldest->ordinal - 1 : log->header->ordinal;
        lost->del = lost->record;
        lost->many = FLUX_LOST_MANY;

        if (oldest && lost->expire < oldest->ts) {
            lost->expire = oldest->ts;
        }
    }

    if (entry->ts > room->ts) {
        room->ts = entry->ts;
    }
}


/*
 * Rooms keep their nodes: workers know them by these numbers.  They are all
 * placed before a key could take one.
 */

static void
flux_index_rebuild_rooms(flux_log_t *log, const flux_entry_t *oldest)
{
    uint32_t            node, used = 0;
    uint64_t            position = log->header->tail, at;
    flux_room_t        *room;
    flux_entry_t       *entry, *newest;
    flux_log_header_t  *h = log->header;

    while ((entry = flux_index_next_of_room(log, &position, &at)) != NULL) {

        room = flux_log_room(log, entry->room);

        if (room->hash == FLUX_NODE_FREE) {
            flux_index_rebuild_room(log, entry, at);
            used = used > entry->room ? used : entry->room + 1;
        }

        if (entry->flags & FLUX_ENTRY_MOVED) {
            flux_index_rebuild_moved(log, room, entry, at, oldest);
            continue;
        }

        newest = flux_log_entry(log, room->newest);

        if (room->newest && !(newest->flags & FLUX_ENTRY_MOVED)) {
            entry->room_prev = room->newest;
            newest->room_next = at;

        } else {
            entry->room_prev = 0;
            flux_index_first(log, entry->room, entry);
        }

        entry->room_next = 0;
        room->newest = at;

        if (entry->kind == FLUX_ENTRY_RECORD && entry->ts > room->ts) {
            room->ts = entry->ts;
        }
    }

    h->used = used;

    for (node = 0; node < used; node++) {
        if (flux_node_is(log, node, FLUX_NODE_FREE)) {
            log->nodes[node].room.next = h->free;
            h->free = node;
        }
    }
}


static void
flux_index_rebuild_partition(flux_partition_t *partition, flux_entry_t *entry,
    uint64_t at)
{
    entry->partition_prev = partition->newest;
    partition->newest = at;
    partition->last = entry->offset;
    partition->check = entry->check;

    if (partition->next <= entry->offset) {
        partition->next = entry->offset + 1;
    }
}


/* --- what has ended -------------------------------------------------------- */

/* A delete, or a record that was forgotten: its key had nothing from before. */

static int
flux_index_is_end(const flux_entry_t *entry)
{
    return entry->kind != FLUX_ENTRY_RECORD || entry->key == FLUX_NONE;
}


/* Where the end of the entry's key is, or would be. */

static uint64_t *
flux_index_end_of(const flux_log_t *log, const flux_index_ends_t *ends,
    const flux_entry_t *entry)
{
    size_t               i;
    const flux_entry_t  *other;

    /* one room is of one feed */
    i = flux_index_hash(log, entry->room, entry->room, flux_entry_key(entry),
                        entry->key_length, FLUX_NODE_KEY) >> 2;

    for (i &= ends->mask; ends->positions[i]; i = (i + 1) & ends->mask) {

        other = flux_log_entry(log, ends->positions[i]);

        if (other->room == entry->room
            && other->key_length == entry->key_length
            && memcmp(flux_entry_key(other), flux_entry_key(entry),
                      entry->key_length) == 0)
        {
            break;
        }
    }

    return &ends->positions[i];
}


static flux_status_t
flux_index_find_ends(flux_log_t *log, flux_index_ends_t *ends)
{
    size_t         n = 0, size = 2;
    uint64_t       position, at, *end;
    flux_entry_t  *entry;

    position = log->header->tail;

    while ((entry = flux_index_next_of_room(log, &position, &at)) != NULL) {
        n += flux_index_is_end(entry);
    }

    while (size < n * 2) {
        size *= 2;
    }

    ends->mask = size - 1;
    ends->positions = calloc(size, sizeof(uint64_t));
    if (ends->positions == NULL) {
        return FLUX_FULL;
    }

    position = log->header->tail;

    while ((entry = flux_index_next_of_room(log, &position, &at)) != NULL) {

        if (!flux_index_is_end(entry)) {
            continue;
        }

        end = flux_index_end_of(log, ends, entry);

        if (*end == 0
            || flux_log_entry(log, *end)->ordinal < entry->ordinal)
        {
            *end = at;
        }
    }

    return FLUX_OK;
}


static int
flux_index_has_ended(const flux_log_t *log, const flux_index_ends_t *ends,
    const flux_entry_t *entry)
{
    const uint64_t  *end = flux_index_end_of(log, ends, entry);

    return *end && flux_log_entry(log, *end)->ordinal >= entry->ordinal;
}


/*
 * Only what is live in the end takes a node: all that ever lived in the ring
 * may need more than there are.
 */

static void
flux_index_rebuild_entries(flux_log_t *log, const flux_index_ends_t *ends)
{
    int            current;
    uint64_t       position = log->header->tail, at;
    flux_entry_t  *entry;

    while ((entry = flux_index_next_of_room(log, &position, &at)) != NULL) {

        current = flux_index_is_of_partition(log, entry, at);

        if (current && !(entry->flags & FLUX_ENTRY_MOVED)) {
            flux_index_rebuild_partition(&log->partitions[entry->partition],
                                         entry, at);
        }

        if (entry->kind != FLUX_ENTRY_RECORD) {
            flux_index_add_delete(log, entry, at);

        } else if (current && !flux_index_has_ended(log, ends, entry)
                   && log->header->free_count)
        {
            flux_index_add_record(log, entry, at,
                                  flux_index_key_of(log, entry, 0), 0);
        }
    }
}


/* Rooms that only moved records held: their keys name them, or nothing does. */

static void
flux_index_rebuild_end(flux_log_t *log)
{
    uint32_t      node;
    flux_room_t  *room;

    for (node = 0; node < log->header->used; node++) {

        if (!flux_node_is(log, node, FLUX_NODE_ROOM)) {
            continue;
        }

        room = flux_log_room(log, node);

        if (flux_log_entry(log, room->newest)->flags & FLUX_ENTRY_MOVED) {
            room->newest = 0;

            if (room->keys == 0) {
                flux_index_free_room(log, node);
            }
        }
    }
}


/* Both lists of keys go by the newest record, which may have been moved. */

static flux_status_t
flux_index_rebuild_order(flux_log_t *log)
{
    size_t               i, n = 0;
    uint32_t             node;
    flux_log_header_t   *h = log->header;
    flux_index_order_t  *order;

    order = malloc((h->used + 1) * sizeof(flux_index_order_t));
    if (order == NULL) {
        return FLUX_FULL;
    }

    for (node = 0; node < h->used; node++) {
        if (flux_node_is(log, node, FLUX_NODE_KEY)) {
            order[n].ordinal = flux_log_key(log, node)->ordinal;
            order[n++].node = node;
        }
    }

    qsort(order, n, sizeof(flux_index_order_t), flux_index_compare);

    for (i = 0; i < n; i++) {
        flux_index_unlink(log, order[i].node);
        flux_index_renew(log, order[i].node);
    }

    free(order);

    return FLUX_OK;
}


flux_status_t
flux_index_rebuild(flux_log_t *log)
{
    uint32_t             i;
    flux_index_ends_t    ends;
    flux_log_header_t   *h = log->header;
    const flux_entry_t  *oldest;

    flux_index_clear(log);
    h->epoch++;
    h->records = 0;

    for (i = 0; i < FLUX_LOG_FEEDS; i++) {
        h->feeds[i].rooms = 0;
        h->feeds[i].keys = 0;
    }

    for (i = 0; i < h->npartitions; i++) {
        log->partitions[i].newest = 0;

        if (log->partitions[i].feed != FLUX_NONE
            && h->feeds[log->partitions[i].feed].signature == 0)
        {
            /* killed while its feed was dropped */
            log->partitions[i].feed = FLUX_NONE;
        }
    }

    oldest = flux_index_rebuild_begin(log);
    flux_index_rebuild_rooms(log, oldest);

    if (flux_index_find_ends(log, &ends) != FLUX_OK) {
        return FLUX_FULL;
    }

    flux_index_rebuild_entries(log, &ends);
    free(ends.positions);
    flux_index_rebuild_end(log);

    return flux_index_rebuild_order(log);
}
