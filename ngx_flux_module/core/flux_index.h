/*
 * flux_index - rooms and keys of the log: which records are their newest.
 * For the log's own files; all of it under the writer's lock.
 */
#ifndef FLUX_INDEX_H
#define FLUX_INDEX_H

#include "flux_frame.h"
#include "flux_log.h"

/* What a node is, in the two low bits of its hash. */
#define FLUX_NODE_FREE  0
#define FLUX_NODE_ROOM  1
#define FLUX_NODE_KEY   2

/* Nothing is in the index, of which all buckets and nodes are zeros. */
void flux_index_empty(flux_log_t *log);

/*
 * The same, whatever is in them.  `used` stays as it is: after a kill on the
 * way it still tells what there is to clear.
 */
void flux_index_clear(flux_log_t *log);

/*
 * Links an entry (room and key text in its message) into the index; `key`: the
 * node of a record's key, if it lives in this room.  Hashes are as in
 * flux_append_t.
 */
void flux_index_add_room(flux_log_t *log, flux_entry_t *entry,
    uint64_t position, uint32_t hash);
void flux_index_add_record(flux_log_t *log, flux_entry_t *entry,
    uint64_t position, uint32_t key, uint32_t hash);
void flux_index_add_delete(flux_log_t *log, flux_entry_t *entry,
    uint64_t position);

/* A live record now stands elsewhere. */
void flux_index_moved(flux_log_t *log, const flux_entry_t *entry, uint64_t to);

/* An entry's place is about to be let go: the stream has it no longer. */
void flux_index_left(flux_log_t *log, const flux_entry_t *entry,
    uint64_t position);

/* Likewise, and the entry is not live: it is gone for good. */
void flux_index_dropped(flux_log_t *log, const flux_entry_t *entry,
    uint64_t position);

/*
 * Takes a key out with all its records where no entry says so: recovery is not
 * to bring it back.
 */
void flux_index_forget_key(flux_log_t *log, uint32_t key);

/*
 * Takes out a feed's keys whose newest record is of this topic; with topic 0
 * all of its keys and rooms.
 */
void flux_index_remove_feed(flux_log_t *log, uint32_t feed, uint64_t topic);

/* Rebuilds all from the entries between tail and head; FLUX_FULL: no memory. */
flux_status_t flux_index_rebuild(flux_log_t *log);

uint32_t flux_index_hash(const flux_log_t *log, uint32_t feed, uint32_t room,
    const uint8_t *text, size_t length, uint32_t type);

/* The node of the entry's key. */
uint32_t flux_index_key_of(const flux_log_t *log, const flux_entry_t *entry,
    uint32_t hash);

/* Holds ~node, so that a bucket of zeros is an empty one. */
static inline uint32_t *
flux_index_bucket(const flux_log_t *log, uint32_t hash)
{
    /* the low bits tell the type */
    return &log->buckets[hash >> 2 & (log->header->nbuckets - 1)];
}

/* The first node of a hash's bucket, or FLUX_NONE. */
static inline uint32_t
flux_index_first_of(const flux_log_t *log, uint32_t hash)
{
    return ~*flux_index_bucket(log, hash);
}

static inline int
flux_node_is(const flux_log_t *log, uint32_t node, uint32_t type)
{
    return (log->nodes[node].room.hash & 3) == type;
}


/* --- for flux_recover.c --- */

void flux_index_new_room(flux_log_t *log, uint32_t node,
    const flux_entry_t *entry, uint64_t position);
void flux_index_first(flux_log_t *log, uint32_t room,
    const flux_entry_t *entry);
void flux_index_renew(flux_log_t *log, uint32_t node);
void flux_index_unlink(flux_log_t *log, uint32_t node);
void flux_index_free_room(flux_log_t *log, uint32_t node);

static inline const uint8_t *
flux_entry_address(const flux_entry_t *entry)
{
    return flux_log_message(entry) + FLUX_MESSAGE_PREFIX;
}

static inline const uint8_t *
flux_entry_key(const flux_entry_t *entry)
{
    return flux_log_message(entry) + flux_message_key_at(entry->address_length);
}

#endif
