#include "flux_index.h"
#include "flux_frame.h"

#include <stdlib.h>
#include <string.h>


static uint32_t flux_index_take(flux_log_t *log, uint32_t hash);
static void flux_index_release(flux_log_t *log, uint32_t node);
static void flux_index_insert(flux_log_t *log, uint32_t node);
static void flux_index_lost(flux_lost_t *lost, const flux_entry_t *entry);


uint32_t
flux_index_hash(const flux_log_t *log, uint32_t feed, uint32_t room,
    const uint8_t *text, size_t length, uint32_t type)
{
    uint64_t  start = feed;

    if (type == FLUX_NODE_KEY && length == 0) {
        start |= (uint64_t) room << 32;
    }

    return ((uint32_t) flux_hash_keyed(log->header->key, start, text, length)
            & ~3u) | type;
}


static uint32_t
flux_index_key_hash(const flux_log_t *log, const flux_entry_t *entry)
{
    return flux_index_hash(log, entry->feed, entry->room,
                           flux_entry_key(entry), entry->key_length,
                           FLUX_NODE_KEY);
}


void
flux_index_clear(flux_log_t *log)
{
    uint32_t            i;
    flux_log_header_t  *h = log->header;

    for (i = 0; i < h->nbuckets; i++) {
        log->buckets[i] = 0;
    }

    for (i = 0; i < h->used; i++) {
        log->nodes[i].room.hash = FLUX_NODE_FREE;
        log->nodes[i].room.created = 0;
    }

    flux_index_empty(log);
}


void
flux_index_empty(flux_log_t *log)
{
    flux_log_header_t  *h = log->header;

    h->free = FLUX_NONE;
    h->free_count = h->nnodes;
    h->lru_first = FLUX_NONE;
    h->lru_last = FLUX_NONE;
    h->live_bytes = 0;
}


static uint32_t
flux_index_take(flux_log_t *log, uint32_t hash)
{
    uint32_t            node;
    flux_log_header_t  *h = log->header;

    if (h->free != FLUX_NONE) {
        node = h->free;
        h->free = log->nodes[node].room.next;

    } else {
        node = h->used++;
        /* recovery clears what lies before: first count it, then write to it */
        atomic_signal_fence(memory_order_seq_cst);
    }

    h->free_count--;

    if ((hash & 3) == FLUX_NODE_ROOM) {
        memset(&log->nodes[node].room, 0, sizeof(flux_room_t));
        memset(flux_log_lost(log, node), 0, sizeof(flux_lost_t));

    } else {
        memset(&log->nodes[node].key, 0, sizeof(flux_key_t));
    }

    log->nodes[node].room.hash = hash;

    return node;
}


static void
flux_index_insert(flux_log_t *log, uint32_t node)
{
    uint32_t  *bucket = flux_index_bucket(log, log->nodes[node].room.hash);

    log->nodes[node].room.next = ~*bucket;
    *bucket = ~node;
}


static void
flux_index_release(flux_log_t *log, uint32_t node)
{
    uint32_t            other, *bucket;
    flux_log_header_t  *h = log->header;

    bucket = flux_index_bucket(log, log->nodes[node].room.hash);
    other = ~*bucket;

    if (other == node) {
        *bucket = ~log->nodes[node].room.next;

    } else {
        while (log->nodes[other].room.next != node) {
            other = log->nodes[other].room.next;
        }

        log->nodes[other].room.next = log->nodes[node].room.next;
    }

    log->nodes[node].room.hash = FLUX_NODE_FREE;
    log->nodes[node].room.next = h->free;
    h->free = node;
    h->free_count++;
}


flux_entry_t *
flux_log_named(const flux_log_t *log, uint32_t node)
{
    flux_room_t  *room = flux_log_room(log, node);

    if (flux_log_reaches(log, room->newest)) {
        return flux_log_entry(log, room->newest);
    }

    return flux_log_entry(log, flux_log_key(log, room->last)->newest);
}


static uint32_t
flux_index_find_room(const flux_log_t *log, uint32_t feed, uint32_t hash,
    const uint8_t *address, size_t length)
{
    uint32_t             node;
    const flux_entry_t  *entry;

    for (node = flux_index_first_of(log, hash);
         node != FLUX_NONE;
         node = log->nodes[node].room.next)
    {
        if (log->nodes[node].room.hash != hash
            || log->nodes[node].room.feed != feed)
        {
            continue;
        }

        entry = flux_log_named(log, node);

        if (entry->address_length == length
            && memcmp(flux_entry_address(entry), address, length) == 0)
        {
            return node;
        }
    }

    return FLUX_NONE;
}


uint32_t
flux_log_find_room(const flux_log_t *log, uint32_t feed,
    const uint8_t *address, size_t length)
{
    return flux_index_find_room(log, feed,
                                flux_index_hash(log, feed, 0, address,
                                                length, FLUX_NODE_ROOM),
                                address, length);
}


static uint32_t
flux_index_find_key(const flux_log_t *log, uint32_t feed, uint32_t room,
    uint32_t hash, const uint8_t *text, size_t length)
{
    uint32_t             node;
    const flux_key_t    *key;
    const flux_entry_t  *entry;

    for (node = flux_index_first_of(log, hash);
         node != FLUX_NONE;
         node = log->nodes[node].key.next)
    {
        key = &log->nodes[node].key;

        if (key->hash != hash || key->feed != feed) {
            continue;
        }

        if (length == 0 && key->room != room) {
            continue;
        }

        entry = flux_log_entry(log, key->newest);

        if (entry->key_length == length
            && memcmp(flux_entry_key(entry), text, length) == 0)
        {
            return node;
        }
    }

    return FLUX_NONE;
}


uint32_t
flux_log_find_key(const flux_log_t *log, uint32_t feed, uint32_t room,
    const uint8_t *text, size_t length)
{
    return flux_index_find_key(log, feed, room,
                               flux_index_hash(log, feed, room, text,
                                               length, FLUX_NODE_KEY),
                               text, length);
}


uint32_t
flux_index_key_of(const flux_log_t *log, const flux_entry_t *entry,
    uint32_t hash)
{
    if (hash == 0) {
        hash = flux_index_key_hash(log, entry);
    }

    return flux_index_find_key(log, entry->feed, entry->room, hash,
                               flux_entry_key(entry), entry->key_length);
}


void
flux_index_new_room(flux_log_t *log, uint32_t node, const flux_entry_t *entry,
    uint64_t position)
{
    flux_room_t  *room = flux_log_room(log, node);

    room->feed = entry->feed;
    room->first = FLUX_NONE;
    room->last = FLUX_NONE;
    room->created = position;
    room->ts = INT64_MIN;
    flux_log_lost(log, node)->expire = INT64_MIN;

    flux_index_first(log, node, entry);
    log->header->feeds[entry->feed].rooms++;
    flux_index_insert(log, node);
}


/* Before its first entry a room may have lived and been forgotten. */

void
flux_index_first(flux_log_t *log, uint32_t node, const flux_entry_t *entry)
{
    flux_lost_t        *lost = flux_log_lost(log, node);
    const flux_feed_t  *feed = &log->header->feeds[entry->feed];

    lost->partition = entry->partition;
    lost->offset = entry->offset - 1;

    if (feed->dropped) {
        lost->record = entry->ordinal - 1;
        lost->del = entry->ordinal - 1;
        lost->expire = entry->ts <= feed->newest_expire
                       ? entry->ts - 1 : feed->newest_expire;
        lost->many = FLUX_LOST_ELSEWHERE;
    }
}


void
flux_index_add_room(flux_log_t *log, flux_entry_t *entry, uint64_t position,
    uint32_t hash)
{
    uint32_t        node;
    flux_room_t    *room;
    const uint8_t  *address = flux_entry_address(entry);

    if (hash == 0) {
        hash = flux_index_hash(log, entry->feed, 0, address,
                               entry->address_length, FLUX_NODE_ROOM);
    }

    node = flux_index_find_room(log, entry->feed, hash, address,
                                entry->address_length);

    if (node == FLUX_NONE) {
        node = flux_index_take(log, hash);
        flux_index_new_room(log, node, entry, position);
        entry->flags |= FLUX_ENTRY_NEW_ROOM;
    }

    room = flux_log_room(log, node);

    entry->room = node;
    entry->room_prev = room->newest;
    entry->room_next = 0;

    if (flux_log_reaches(log, room->newest)) {
        flux_log_entry(log, room->newest)->room_next = position;
    }

    room->newest = position;

    if (entry->kind == FLUX_ENTRY_RECORD && entry->ts > room->ts) {
        room->ts = entry->ts;
    }
}


/* Behind all others of its room and of the zone. */

void
flux_index_renew(flux_log_t *log, uint32_t node)
{
    flux_key_t         *key = flux_log_key(log, node);
    flux_room_t        *room = flux_log_room(log, key->room);
    flux_log_header_t  *h = log->header;

    key->prev = room->last;
    key->after = FLUX_NONE;

    if (room->last != FLUX_NONE) {
        flux_log_key(log, room->last)->after = node;

    } else {
        room->first = node;
    }

    room->last = node;

    key->lru_prev = h->lru_last;
    key->lru_next = FLUX_NONE;

    if (h->lru_last != FLUX_NONE) {
        flux_log_key(log, h->lru_last)->lru_next = node;

    } else {
        h->lru_first = node;
    }

    h->lru_last = node;
}


void
flux_index_unlink(flux_log_t *log, uint32_t node)
{
    flux_key_t         *key = flux_log_key(log, node);
    flux_room_t        *room = flux_log_room(log, key->room);
    flux_log_header_t  *h = log->header;

    *(key->prev != FLUX_NONE ? &flux_log_key(log, key->prev)->after
                             : &room->first) = key->after;
    *(key->after != FLUX_NONE ? &flux_log_key(log, key->after)->prev
                              : &room->last) = key->prev;

    *(key->lru_prev != FLUX_NONE ? &flux_log_key(log, key->lru_prev)->lru_next
                                 : &h->lru_first) = key->lru_next;
    *(key->lru_next != FLUX_NONE ? &flux_log_key(log, key->lru_next)->lru_prev
                                 : &h->lru_last) = key->lru_prev;
}


/* The oldest live record of a key is live no longer. */

static void
flux_index_unlive(flux_log_t *log, flux_key_t *key, flux_entry_t *entry)
{
    entry->live = 0;
    log->header->live_bytes -= entry->size;
    flux_log_room(log, key->room)->bytes -= entry->message_length;
    key->oldest = entry->newer;
    key->count--;

    if (entry->flags & FLUX_ENTRY_MOVED) {
        /* its room's chain does not have it any more either */
        flux_index_lost(flux_log_lost(log, key->room), entry);
    }
}


static void
flux_index_remove_key(flux_log_t *log, uint32_t node)
{
    flux_key_t   *key = flux_log_key(log, node);
    flux_room_t  *room = flux_log_room(log, key->room);
    uint32_t      room_node = key->room;

    while (key->count) {
        flux_index_unlive(log, key, flux_log_entry(log, key->oldest));
    }

    flux_index_unlink(log, node);
    log->header->feeds[key->feed].keys--;
    flux_index_release(log, node);

    if (--room->keys == 0 && !flux_log_reaches(log, room->newest)) {
        flux_index_free_room(log, room_node);
    }
}


void
flux_index_forget_key(flux_log_t *log, uint32_t node)
{
    uint32_t           n;
    uint64_t           position;
    flux_entry_t      *entry;
    const flux_key_t  *key = flux_log_key(log, node);

    position = key->oldest;

    for (n = key->count; n; n--) {
        entry = flux_log_entry(log, position);
        entry->key = FLUX_NONE;
        position = entry->newer;
    }

    flux_index_remove_key(log, node);
}


void
flux_index_free_room(flux_log_t *log, uint32_t node)
{
    log->header->feeds[flux_log_room(log, node)->feed].rooms--;
    flux_index_release(log, node);
}


/*
 * Puts a record among the live ones of its key.  While a rebuild reads moved
 * records, one may be older than what the key has.
 */

static void
flux_index_link_record(flux_log_t *log, flux_key_t *key, flux_entry_t *entry,
    uint64_t position)
{
    uint64_t  older = key->count ? key->newest : 0, newer = 0;

    while (older && flux_log_entry(log, older)->ordinal > entry->ordinal) {
        newer = older;
        older = older == key->oldest ? 0 : flux_log_entry(log, older)->older;
    }

    if (older && flux_log_entry(log, older)->ordinal == entry->ordinal) {
        /* killed between a move and letting the old place go */
        flux_index_moved(log, flux_log_entry(log, older), position);
        flux_log_entry(log, older)->live = 0;
        return;
    }

    entry->older = older;
    entry->newer = newer;

    if (older) {
        flux_log_entry(log, older)->newer = position;

    } else {
        key->oldest = position;
    }

    if (newer) {
        flux_log_entry(log, newer)->older = position;

    } else {
        key->newest = position;
        key->ordinal = entry->ordinal;
        key->ts = entry->ts;
    }

    entry->live = 1;
    log->header->live_bytes += entry->size;
    flux_log_room(log, key->room)->bytes += entry->message_length;
    key->count++;
}


void
flux_index_add_record(flux_log_t *log, flux_entry_t *entry, uint64_t position,
    uint32_t node, uint32_t hash)
{
    flux_key_t   *key;
    flux_feed_t  *feed = &log->header->feeds[entry->feed];

    if (node == FLUX_NONE) {
        node = flux_index_take(log, hash ? hash
                                         : flux_index_key_hash(log, entry));
        key = flux_log_key(log, node);
        key->feed = entry->feed;
        key->room = entry->room;
        feed->keys++;
        flux_log_room(log, entry->room)->keys++;
        flux_index_insert(log, node);

    } else {
        key = flux_log_key(log, node);
        flux_index_unlink(log, node);
    }

    flux_index_renew(log, node);
    entry->key = node;
    flux_index_link_record(log, key, entry, position);

    while (key->count > feed->retain) {
        flux_index_unlive(log, key, flux_log_entry(log, key->oldest));
    }
}


void
flux_index_add_delete(flux_log_t *log, flux_entry_t *entry, uint64_t position)
{
    uint32_t      node;
    flux_room_t  *room = flux_log_room(log, entry->room);

    entry->older = room->newest_delete;
    room->newest_delete = position;

    node = flux_index_key_of(log, entry, 0);

    if (node != FLUX_NONE && flux_log_key(log, node)->room == entry->room) {
        flux_index_remove_key(log, node);
    }
}


void
flux_index_moved(flux_log_t *log, const flux_entry_t *entry, uint64_t to)
{
    flux_key_t    *key = flux_log_key(log, entry->key);
    flux_entry_t  *moved = flux_log_entry(log, to);

    moved->key = entry->key;
    moved->live = 1;
    moved->older = entry->older;
    moved->newer = entry->newer;

    /* the ends of the chain hold positions that nobody may follow */

    if (key->oldest == key->newest) {
        key->oldest = to;
        key->newest = to;
        return;
    }

    if (entry->ordinal == key->ordinal) {
        key->newest = to;

    } else {
        flux_log_entry(log, entry->newer)->older = to;
    }

    if (entry->ordinal == flux_log_entry(log, key->oldest)->ordinal) {
        key->oldest = to;

    } else {
        flux_log_entry(log, entry->older)->newer = to;
    }
}


/* A kill in between leaves one that promises less. */

static void
flux_index_set_mark(flux_mark_t *mark, uint64_t ordinal, int64_t offset)
{
    mark->offset = offset;
    atomic_signal_fence(memory_order_seq_cst);
    mark->ordinal = ordinal;
    atomic_signal_fence(memory_order_seq_cst);
}


static void
flux_index_mark(flux_log_t *log, flux_partition_t *partition,
    const flux_entry_t *entry, uint64_t position)
{
    uint64_t      ticks;
    unsigned      level;
    flux_mark_t  *mark;

    if (position < partition->mark_due || (entry->flags & FLUX_ENTRY_MOVED)
        || entry->kind == FLUX_ENTRY_LEAVE)
    {
        /* a LEAVE's record has its offset, and a smaller ordinal */
        return;
    }

    partition->mark_due = position + log->ring_size / 4;
    ticks = partition->mark_ticks++;

    for (level = 0; level < FLUX_MARK_LEVELS; level++) {

        if (ticks % FLUX_MARK_STEP != 0 && level > 0) {
            return;
        }

        if (level > 0) {
            ticks /= FLUX_MARK_STEP;
        }

        mark = partition->marks[level];
        flux_index_set_mark(&mark[1], mark[0].ordinal, mark[0].offset);
        flux_index_set_mark(&mark[0], entry->ordinal, entry->offset);
    }
}


void
flux_index_left(flux_log_t *log, const flux_entry_t *entry, uint64_t position)
{
    flux_feed_t       *feed = &log->header->feeds[entry->feed];
    flux_partition_t  *partition;

    if (position < feed->created) {
        return;
    }

    feed->dropped++;

    if (entry->partition == FLUX_NONE) {
        return;
    }

    partition = &log->partitions[entry->partition];

    if (position >= partition->created && entry->offset >= partition->dropped) {
        partition->dropped = entry->offset + 1;
        flux_index_mark(log, partition, entry, position);
    }
}


/* A reader of the room can get this entry no longer. */

static void
flux_index_lost(flux_lost_t *lost, const flux_entry_t *entry)
{
    if (entry->kind == FLUX_ENTRY_EXPIRE) {

        if (lost->expire < entry->ts) {
            lost->expire = entry->ts;
        }

    } else if (lost->record == 0) {
        lost->partition = entry->partition;
        lost->offset = entry->offset;

    } else if (lost->partition != entry->partition) {
        lost->many = FLUX_LOST_MANY;

    } else if (lost->offset < entry->offset) {
        lost->offset = entry->offset;
    }

    if (lost->record < entry->ordinal) {
        lost->record = entry->ordinal;
    }

    if (entry->kind != FLUX_ENTRY_RECORD && lost->del < entry->ordinal) {
        lost->del = entry->ordinal;
    }
}


void
flux_index_dropped(flux_log_t *log, const flux_entry_t *entry,
    uint64_t position)
{
    flux_room_t  *room;

    if (position < log->header->feeds[entry->feed].created
        || entry->room == FLUX_NONE
        || !flux_node_is(log, entry->room, FLUX_NODE_ROOM))
    {
        return;
    }

    room = flux_log_room(log, entry->room);

    if (position < room->created) {
        return;
    }

    flux_index_lost(flux_log_lost(log, entry->room), entry);

    if (room->keys == 0 && room->newest <= position) {
        flux_index_free_room(log, entry->room);
    }
}


void
flux_index_remove_feed(flux_log_t *log, uint32_t feed, uint64_t topic)
{
    uint32_t             node;
    flux_log_header_t   *h = log->header;
    const flux_entry_t  *newest;

    for (node = 0; node < h->used; node++) {

        if (!flux_node_is(log, node, FLUX_NODE_KEY)
            || flux_log_key(log, node)->feed != feed)
        {
            continue;
        }

        newest = flux_log_entry(log, flux_log_key(log, node)->newest);

        if (topic == 0 || log->partitions[newest->partition].topic == topic) {
            flux_index_forget_key(log, node);
        }
    }

    if (topic) {
        return;
    }

    for (node = 0; node < h->used; node++) {
        if (flux_node_is(log, node, FLUX_NODE_ROOM)
            && flux_log_room(log, node)->feed == feed)
        {
            flux_index_free_room(log, node);
        }
    }
}
