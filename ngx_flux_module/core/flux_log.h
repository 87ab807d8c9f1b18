/*
 * flux_log - the ring of records in shared memory, and the index of what is
 * live in it.  One process writes, any number read.
 *
 * The log owns an area of memory (formatted once, attached by every process)
 * that holds, in this order: a header, tables of feeds and partitions, hash
 * buckets, a pool of nodes (rooms and keys), what rooms lost, and the ring.  Everything in it
 * is an index or a position, never a pointer.
 *
 * Two ways to read:
 *   - the stream: flux_log_read() and flux_log_copy() walk the ring without
 *     any lock and notice when the writer has overtaken them;
 *   - the index (rooms, keys, partitions, chains of entries): only while the
 *     caller holds the zone's lock, which the writer holds for a batch.
 *
 * A position is a byte position that only grows; position % ring size is the
 * place.  An ordinal numbers what was appended: it grows by one per record
 * and stays with a record that is moved ahead of the tail.
 */
#ifndef FLUX_LOG_H
#define FLUX_LOG_H

#include "flux_frame.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define FLUX_NONE        UINT32_MAX     /* no node, no partition, no feed */

#define FLUX_LOG_MIN     (768 * 1024)   /* the smallest area that is useful */
#define FLUX_LOG_FEEDS   64             /* feeds of one zone */

typedef enum {
    FLUX_OK = 0,
    FLUX_AGAIN,         /* nothing there yet */
    FLUX_LOST,          /* the writer has overwritten it */
    FLUX_TOO_LARGE,     /* can never fit */
    FLUX_FULL,          /* a table has no free place */
    FLUX_BAD_LAYOUT     /* the area is not one of ours, or of another layout */
} flux_status_t;

typedef enum {
    FLUX_ENTRY_PAD = 0, /* fills the ring up to its end */
    FLUX_ENTRY_RECORD,  /* an update */
    FLUX_ENTRY_DELETE,  /* a tombstone */
    FLUX_ENTRY_LEAVE,   /* a delete in the room that a key has left */
    FLUX_ENTRY_EXPIRE,  /* a delete by time; it moves no cursor */
    FLUX_ENTRY_RESET,   /* all rooms of its feed begin anew; no message */
    FLUX_ENTRY_STATUS   /* the feed or a room changed its state; no message */
} flux_entry_kind_t;

#define FLUX_ENTRY_MOVED     1          /* was carried ahead of the tail */
#define FLUX_ENTRY_NEW_ROOM  2          /* the first entry of a room's node */

/*
 * What stands in the ring, before the message of PROTOCOL.md:
 * {"type":"update","room":"ADDRESS","key":"KEY","ts":TS,"data":VALUE} or
 * {"type":"delete","room":"ADDRESS","key":"KEY","ts":TS}.
 * ADDRESS and KEY are escaped JSON text; they identify room and key.
 * The last five fields change under the zone's lock, the others never.
 */
typedef struct {
    uint32_t  size;             /* of the whole entry, in bytes */
    uint8_t   kind;
    uint8_t   flags;
    uint16_t  check;            /* of key, value and timestamp; never 0 */
    uint64_t  ordinal;
    int64_t   offset;           /* in Kafka; -1 where there is none */
    int64_t   ts;               /* Unix ms */
    uint32_t  feed;
    uint32_t  partition;        /* FLUX_NONE where there is none */
    uint32_t  room;
    uint32_t  message_length;
    uint32_t  address_length;
    uint32_t  key_length;

    uint32_t  key;              /* node, while live; FLUX_NONE: forgotten */
    uint32_t  live;             /* 1 while a key's snapshot holds it */
    uint64_t  room_prev;        /* the room's entry before this one, 0: none */
    uint64_t  room_next;
    uint64_t  partition_prev;
    uint64_t  older;            /* the key's live records; of deletes: the */
    uint64_t  newer;            /*   room's delete before this one */
} flux_entry_t;

/* A feed as the zone knows it.  Counters only grow and outlive a reload. */
typedef struct {
    uint64_t          signature;        /* 0: a free place */
    uint64_t          created;          /* its entries lie behind this one */
    uint64_t          dropped;          /* entries that left the ring */
    uint32_t          retain;
    uint32_t          ready;            /* each partition reached its end */
    int64_t           ready_since;      /* Unix ms */
    int64_t           expired;          /* keys that did by then are gone */
    int64_t           newest_expire;    /* the greatest ts of an EXPIRE */
    int64_t           lost_expire;      /* when the last one did that came */
                                        /*   too late to enter */
    uint32_t          rooms;
    uint32_t          keys;
    _Atomic uint64_t  records, bytes, evicted;
    _Atomic uint64_t  skipped[4];       /* by flux_skip_t */
} flux_feed_t;

typedef enum {
    FLUX_SKIP_JSON = 0, FLUX_SKIP_ROOM, FLUX_SKIP_SIZE, FLUX_SKIP_EXPIRED
} flux_skip_t;

/*
 * A record that has left the ring: what has a smaller offset in its partition
 * has a smaller ordinal, and the other way round.  So a reader who is at that
 * offset knows whatever a room had lost there before that ordinal.
 */
typedef struct {
    uint64_t  ordinal;          /* 0: none */
    int64_t   offset;
} flux_mark_t;

/*
 * Taken each quarter of a lap, and each 2, 4, ... 64 of them: whoever has been
 * away for some time finds one that is at most four times as old.
 */
#define FLUX_MARK_LEVELS  7
#define FLUX_MARK_STEP    2

/* A partition of a topic.  Only the writer changes it. */
typedef struct {
    uint32_t  feed;             /* FLUX_NONE: a free place */
    uint32_t  number;
    uint64_t  topic;            /* hash of the topic's name */
    int64_t   whole;            /* what lies before may never have come */
    uint32_t  fingerprint;      /* of cluster and topic, as in cursors */
    uint32_t  ready;            /* it reached the end it had at start */
    int64_t   start;            /* the first offset this log ever read */
    int64_t   next;             /* the next offset to be read */
    int64_t   last;             /* of the last entry, -1: none */
    int64_t   dropped;          /* behind all that has left the ring */
    uint64_t  created;          /* its entries lie behind this position */
    int64_t   high_watermark;   /* -1: unknown */
    int64_t   target;           /* ready once next is here, -1: unknown */
    uint64_t  newest;           /* position of its last entry, 0: none */
    uint16_t  check;            /* of its last entry */
    uint16_t  down;             /* it cannot be read now */
    int32_t   error;            /* as librdkafka numbers them, 0: none */
    int64_t   down_since;       /* Unix ms */
    uint64_t  mark_due;         /* position that asks for the next marks */
    uint64_t  mark_ticks;
    flux_mark_t  marks[FLUX_MARK_LEVELS][2];    /* the last one, and before */
} flux_partition_t;

#define FLUX_LOST_MANY       1  /* dropped in several partitions */
#define FLUX_LOST_ELSEWHERE  2  /* in others nobody knows: a new node */

/* Rooms and keys take a line of the cache each. */
typedef struct {
    uint32_t  hash, next;       /* bucket chain; also the free list */
    uint32_t  feed;
    uint32_t  keys;             /* how many live keys */
    uint32_t  first, last;      /* its keys, least recently renewed first */
    uint64_t  newest;           /* position of its last entry, 0: none */
    uint64_t  newest_delete;    /* likewise, of a delete */
    uint64_t  created;          /* its entries lie behind this position */
    uint64_t  bytes;            /* of its live messages */
    int64_t   ts;               /* of its newest record, INT64_MIN: none */
} flux_room_t;

typedef struct {
    uint32_t  hash, next;
    uint32_t  room;
    uint32_t  feed:6;           /* of FLUX_LOG_FEEDS */
    uint32_t  count:26;         /* live records */
    uint32_t  prev, after;      /* in the room, by renewal */
    uint32_t  lru_prev, lru_next;   /* in the zone, by renewal */
    uint64_t  newest, oldest;   /* positions of its live records */
    uint64_t  ordinal;          /* of the newest */
    int64_t   ts;               /* of the newest */
} flux_key_t;

typedef union {
    flux_room_t  room;
    flux_key_t   key;
} flux_node_t;

_Static_assert(sizeof(flux_node_t) == 64, "a line of the cache");
_Static_assert(FLUX_LOG_FEEDS <= 1 << 6, "flux_key_t has 6 bits for a feed");

/*
 * What a room had and has no longer.  Apart from its node: there is a place for
 * each node, but only those of rooms are ever touched and take memory.
 */
typedef struct {
    uint64_t  record;           /* ordinal of its last record dropped */
    uint64_t  del;              /* likewise, of a delete */
    int64_t   expire;           /* time of the last EXPIRE entry dropped */
    int64_t   offset;           /* the highest offset dropped, if all of */
    uint32_t  partition;        /*   them were in one partition */
    uint32_t  many;             /* FLUX_LOST_MANY, FLUX_LOST_ELSEWHERE or 0 */
} flux_lost_t;

typedef struct {
    uint64_t          magic;
    uint32_t          version;
    uint32_t          nbuckets, nnodes, npartitions;
    uint64_t          size, ring_offset, ring_size;
    uint64_t          max_entry;        /* larger entries are refused */

    _Atomic uint64_t  head;             /* published up to here */
    _Atomic uint64_t  intent;           /* written up to here; never sinks */
    uint64_t          tail;             /* the oldest entry */
    uint64_t          ordinal;          /* the last one given out */
    uint64_t          live_bytes;
    uint32_t          dirty;            /* the index is being changed */
    uint32_t          epoch;            /* grows when it is rebuilt */
    uint32_t          free;             /* list of nodes */
    uint32_t          used;             /* nodes ever taken, from the front */
    uint32_t          free_count;
    uint32_t          lru_first, lru_last;
    uint32_t          id;               /* whose ordinals these are: the */
                                        /*   caller's, set after formatting */
    uint64_t          records;          /* entries between tail and head */
    uint64_t          key[2];           /* of the index's hashes: a secret */

    flux_feed_t       feeds[FLUX_LOG_FEEDS];
} flux_log_header_t;

/* One process' view of the area. */
typedef struct {
    flux_log_header_t  *header;
    flux_partition_t   *partitions;
    uint32_t           *buckets;
    flux_node_t        *nodes;
    flux_lost_t        *lost;           /* by node */
    uint8_t            *ring;
    uint64_t            ring_size;
    uint64_t            reserved;       /* the writer's: where it may write */
} flux_log_t;


/*
 * Makes a new log in the area, which is all zeros, as fresh memory is: what is
 * empty is not written to, so that it takes no memory before it is used.
 */
flux_status_t flux_log_format(flux_log_t *log, void *area, size_t size);

/* FLUX_BAD_LAYOUT when the area holds no log of this layout and size. */
flux_status_t flux_log_attach(flux_log_t *log, void *area, size_t size);


/* --- the stream: any process, no lock ----------------------------------- */

static inline uint64_t
flux_log_head(const flux_log_t *log)
{
    return atomic_load_explicit(&log->header->head, memory_order_acquire);
}

/*
 * Copies the header at *position and moves *position behind the entry; pads
 * are passed over.  FLUX_AGAIN at the head.  FLUX_LOST when it was
 * overwritten: then only a new start from the index helps.
 */
flux_status_t flux_log_read(const flux_log_t *log, uint64_t *position,
    flux_entry_t *entry);

/* Copies bytes of the message of the entry at this very position. */
flux_status_t flux_log_copy(const flux_log_t *log, uint64_t position,
    size_t from, uint8_t *dst, size_t length);


/* --- the index: any process that holds the lock ------------------------- */

/* The entry at a position between tail and head; valid while locked. */
static inline flux_entry_t *
flux_log_entry(const flux_log_t *log, uint64_t position)
{
    return (flux_entry_t *) (void *) (log->ring + position % log->ring_size);
}

static inline uint8_t *
flux_log_message(const flux_entry_t *entry)
{
    return (uint8_t *) (uintptr_t) (entry + 1);
}

/* 1 when an entry may still be read there. */
static inline int
flux_log_reaches(const flux_log_t *log, uint64_t position)
{
    return position >= log->header->tail;
}

/* address: escaped, with the feed's name.  FLUX_NONE when there is none. */
uint32_t flux_log_find_room(const flux_log_t *log, uint32_t feed,
    const uint8_t *address, size_t length);
uint32_t flux_log_find_partition(const flux_log_t *log, uint32_t feed,
    uint64_t topic, uint32_t number);

static inline flux_room_t *
flux_log_room(const flux_log_t *log, uint32_t node)
{
    return &log->nodes[node].room;
}

static inline flux_lost_t *
flux_log_lost(const flux_log_t *log, uint32_t room)
{
    return &log->lost[room];
}

static inline flux_key_t *
flux_log_key(const flux_log_t *log, uint32_t node)
{
    return &log->nodes[node].key;
}

/* 1 when a room has this node. */
static inline int
flux_node_is_room(const flux_log_t *log, uint32_t node)
{
    return (log->nodes[node].room.hash & 3) == 1;
}

/* 1 when a key has this node. */
static inline int
flux_node_is_key(const flux_log_t *log, uint32_t node)
{
    return (log->nodes[node].key.hash & 3) == 2;
}

/*
 * The node of a key, FLUX_NONE when it does not live.  The empty key is one of
 * its own in each room, so it is looked for in that room.
 */
uint32_t flux_log_find_key(const flux_log_t *log, uint32_t feed, uint32_t room,
    const uint8_t *key, size_t length);

/* An entry that bears the room's address. */
flux_entry_t *flux_log_named(const flux_log_t *log, uint32_t room);

/*
 * Can a reader of the room whose next offset in this partition is `offset`
 * still get all that it missed there?  From the room's chain, and from its
 * keys' live records where they were moved: those are in no chain.
 */
int flux_log_whole(const flux_log_t *log, uint32_t room, uint32_t partition,
    int64_t offset);

/* The check of the partition's entry before this offset, 0: not in the ring. */
uint16_t flux_log_check(const flux_log_t *log, uint32_t partition,
    int64_t offset);


/* --- the writer, holding the lock --------------------------------------- */

/*
 * Between begin and end the index is marked as changing.  A writer that finds
 * the mark set by a dead one calls flux_log_recover(), which rebuilds all from
 * the ring: FLUX_FULL (out of memory) leaves the mark set.
 */
void flux_log_begin(flux_log_t *log);
void flux_log_end(flux_log_t *log);
flux_status_t flux_log_recover(flux_log_t *log);

/*
 * The place of a feed in the zone, made if there is none: FLUX_NONE when the
 * table is full.  The signature (never 0) stands for all that makes its log
 * what it is (name, topics, cluster, room rule, format, retain): another
 * signature is another feed.
 */
uint32_t flux_log_feed(flux_log_t *log, uint64_t signature, uint32_t retain);
uint32_t flux_log_find_feed(const flux_log_t *log, uint64_t signature);

/* Forgets a feed with its partitions, rooms and keys. */
void flux_log_drop_feed(flux_log_t *log, uint32_t feed);

/*
 * The topic is another one now: forgets the feed's keys that came from it and
 * appends a RESET entry; its partitions start anew (start and next are 0, all
 * else is unknown) and keep their ids.  Entries before a partition's `created`
 * belong to the old one.  After a kill in the middle at least one of them still
 * has the old fingerprint, and the call is to be made again.
 */
void flux_log_reset_topic(flux_log_t *log, uint32_t feed, uint64_t topic,
    uint32_t fingerprint);

/* Found or made; `start` is where reading begins.  FLUX_NONE: table full. */
uint32_t flux_log_partition(flux_log_t *log, uint32_t feed, uint64_t topic,
    uint32_t fingerprint, uint32_t number, int64_t start);

/* What a record brings; the strings are escaped text in the message. */
typedef struct {
    uint32_t  feed;
    uint32_t  partition;
    int64_t   offset;
    int64_t   ts;
    uint16_t  check;
    uint8_t   kind;             /* FLUX_ENTRY_RECORD or FLUX_ENTRY_DELETE */
    uint32_t  message_length;
    uint32_t  address_length;
    uint32_t  key_length;
    uint32_t  room_hash;        /* in the index; 0: not known yet */
    uint32_t  key_hash;
} flux_append_t;

/* What a measured message says of itself; `feed` is there already. */
void flux_log_describe(const flux_log_t *log, flux_append_t *what,
    const flux_message_t *m);

/*
 * Steps towards what flux_log_append() will look at: a writer with many
 * records takes each for a record that it will come to a little later, so
 * that the memory is there by then.  They change nothing.
 */
typedef enum {
    FLUX_AHEAD_BUCKETS = 0, FLUX_AHEAD_NODES, FLUX_AHEAD_ENTRIES
} flux_ahead_t;

#define FLUX_AHEAD_STEPS  3

void flux_log_ahead(const flux_log_t *log, const flux_append_t *what,
    flux_ahead_t step);

/* Up to where a caller knows of it, in bytes; zeros at first. */
typedef struct {
    uint64_t  ring;
    uint64_t  nodes;
} flux_fresh_t;

/*
 * Memory that will soon be written to for the first time: as much again as is
 * in use, `most` bytes at most.  It is told of once, in pieces; 0: there is
 * none, or enough of it is known.
 */
size_t flux_log_fresh(const flux_log_t *log, flux_fresh_t *known, size_t most,
    uint8_t **memory);

/*
 * Makes room for a message of these lengths and returns where to write it, or
 * NULL when it can never fit.
 * Follow with flux_log_append() or nothing.
 */
uint8_t *flux_log_reserve(flux_log_t *log, const flux_append_t *what);

/*
 * Indexes and publishes what was reserved and written.  A key that lived in
 * another room leaves it (an entry of its own, published by the same store).
 * A tombstone of a key that is not there is published too: a reader elsewhere
 * may still have it.
 */
void flux_log_append(flux_log_t *log, const flux_append_t *what);

/* An offset that has no entry: counted, and never read again. */
void flux_log_skip(flux_log_t *log, uint32_t feed, uint32_t partition,
    int64_t offset, flux_skip_t reason);

/* Appends an entry without message: something in the feed's state changed. */
void flux_log_note(flux_log_t *log, uint32_t feed);

/* The same, when all keys that expired up to `ts` (Unix ms) are out. */
void flux_log_expired(flux_log_t *log, uint32_t feed, int64_t ts);

/*
 * Looks at up to `budget` nodes from *node on (0 at first; it wraps) and lets
 * keys of the feed go whose newest record is older than before[feed] (Unix ms;
 * INT64_MIN: never).  expire[feed] is added to make the delete's ts.
 */
void flux_log_expire(flux_log_t *log, const int64_t before[FLUX_LOG_FEEDS],
    const int64_t expire[FLUX_LOG_FEEDS], uint32_t *node, uint32_t budget);

#endif
