/*
 * The hub of a worker: the rooms that somebody here reads, the channels (sets
 * of rooms that readers share), and the fan-out of what the log brings.
 */

#ifndef _NGX_HTTP_FLUX_HUB_H_INCLUDED_
#define _NGX_HTTP_FLUX_HUB_H_INCLUDED_


#include "ngx_http_flux_frame.h"
#include "ngx_http_flux_zone.h"

#include "core/flux_cursor.h"
#include "core/flux_deflate.h"




typedef struct ngx_http_flux_reader_s   ngx_http_flux_reader_t;
typedef struct ngx_http_flux_channel_s  ngx_http_flux_channel_t;


/* A room with readers in this worker. */

typedef enum {
    NGX_HTTP_FLUX_LIVE = 0,
    NGX_HTTP_FLUX_STALE,
    NGX_HTTP_FLUX_DOWN
} ngx_http_flux_state_t;


typedef struct {
    ngx_str_node_t             sn;          /* by address, escaped */
    ngx_http_flux_feed_t      *feed;
    uint32_t                   node;        /* in the zone, or FLUX_NONE */
    uint32_t                   hash;        /* of the address, in cursors */
    ngx_queue_t                links;       /* to the channels it is in */
    ngx_uint_t                 readers;
    ngx_uint_t                 demanded;    /* readers that demand counts */
    uint32_t                   demand;      /* entry of it, from 1; or 0 */
    uint32_t                   partition;   /* of its last entry */
    int64_t                    ts;          /* of its newest record */
    int64_t                    since;       /* of its state; Unix ms */
    ngx_uint_t                 version;     /* of the hub, when it changed */
    ngx_http_flux_state_t      state;
    ngx_uint_t                 looked;      /* that state is no guess */
} ngx_http_flux_room_t;


typedef struct {
    ngx_queue_t                queue;       /* of the room */
    ngx_http_flux_room_t      *room;
    ngx_http_flux_channel_t   *channel;
} ngx_http_flux_link_t;


/* The compressed stream of a channel's frames. */

typedef struct {
    ngx_queue_t                queue;       /* of those that have one */
    flux_deflate_t            *deflate;     /* or NULL */
    uint64_t                   context;     /* of the one it had */
    ngx_msec_t                 used;
    ngx_uint_t                 serial;      /* of the frame being counted */
    ngx_uint_t                 inside;      /* readers that took its piece */
    ngx_uint_t                 outside;     /* that had not its context */
    ngx_uint_t                 were_inside; /* the same for the last frame */
    ngx_uint_t                 were_outside;
} ngx_http_flux_deflate_t;


/*
 * All readers with the same rooms, keys and pace.  Those at the front stand
 * where the channel stands: they have been sent all that the hub has taken
 * from the log but what is in `pending`.
 */

struct ngx_http_flux_channel_s {
    ngx_str_node_t             sn;          /* by rooms, keys, pace */
    ngx_queue_t                all;
    ngx_uint_t                 refs;
    ngx_uint_t                 nrooms;
    ngx_http_flux_link_t      *links;
    ngx_uint_t                 nfeeds;
    ngx_http_flux_feed_t     **feeds;       /* of its rooms, each once */
    ngx_uint_t                *layers;      /* of the feeds, see layer() */
    ngx_uint_t                 nlayers;
    uint32_t                  *hashes;      /* of its rooms, ascending */
    uint32_t                   filter;      /* of its keys; 0: all */
    ngx_array_t               *keys;        /* of ngx_str_t, escaped; or NULL */
    ngx_msec_t                 pace;
    ngx_msec_t                 flushed;     /* when readers were last written */

    ngx_queue_t                front;
    ngx_queue_t                dirty;       /* in the hub's list */
    ngx_event_t                timer;       /* the pace, or a rest */

    ngx_http_flux_frame_t     *pending;     /* from the log, not yet sent */
    ngx_http_flux_frame_t     *sending;
    ngx_http_flux_frame_t     *rest;        /* of `sending`, for newcomers */
    uint64_t                   rest_after;  /* behind this ordinal */
    ngx_queue_t                sent;        /* readers that had `sending` */
    ngx_msec_t                 began;       /* to send it */
    ngx_msec_t                 due;         /* the next one may begin */
    ngx_uint_t                 serial;      /* of the frame being sent */
    ngx_uint_t                 batch;       /* where its last sends are */
    ngx_http_flux_deflate_t    streams[2];  /* of events, of messages */

    ngx_http_flux_frame_t     *snapshot;    /* what a newcomer gets */
    ngx_str_t                  cursor;      /* of those at the front */
    size_t                     cursor_size;
    ngx_pool_t                *pool;
    unsigned                   changed:1;   /* since `cursor`; with a pace */
    unsigned                   queued:1;    /* in the hub's list */
    unsigned                   broken:1;    /* no memory for `pending` */
};


/* What the hub knows of a feed's partitions, as it has read the log. */

typedef struct {
    ngx_uint_t                 n, size;
    uint32_t                  *ids;         /* by fingerprint and number */
    flux_cursor_place_t       *places;
    int64_t                   *down;        /* since when, by place; 0: up */
    int64_t                    all_down;    /* cluster or topics; 0: up */
    int64_t                    some_down;   /* any partition of it */
    int64_t                    ready_since; /* 0: it is not */
    int64_t                    expired;     /* all that expired up to here */
    int64_t                    newest_expire;  /* greatest ts of an EXPIRE */
    uint64_t                   told;        /* ordinal: none is behind it */
} ngx_http_flux_positions_t;


/* What was sent and is not in the zone's counters yet. */

typedef struct {
    uint64_t                   frames;
    uint64_t                   messages;
    uint64_t                   bytes;
} ngx_http_flux_sent_t;


typedef struct {
    ngx_http_flux_main_conf_t *fmcf;
    ngx_http_flux_zone_t      *zone;
    ngx_log_t                 *log;

    uint64_t                   position;    /* in the ring: read up to here */
    uint64_t                   ordinal;     /* of the last record read */

    ngx_rbtree_t               rooms;
    ngx_rbtree_node_t          rooms_sentinel;
    ngx_rbtree_t               channels;
    ngx_rbtree_node_t          channels_sentinel;
    ngx_queue_t                all;         /* channels */

    ngx_http_flux_room_t     **by_node;     /* of the zone's nodes */
    ngx_http_flux_feed_t      *by_slot[FLUX_LOG_FEEDS];
    ngx_http_flux_positions_t *positions;   /* by feed's index */
    uint32_t                  *place_of;    /* by partition: index in places */

    ngx_queue_t                dirty;       /* channels to be flushed */
    ngx_queue_t                waiting;     /* readers that the log may help */
    ngx_queue_t                serving;     /* those whose turn it is */
    ngx_event_t                turn;        /* posted: there is work left */
    ngx_event_t                retry;       /* for those who wait */
    ngx_event_t                second;      /* what comes by time alone */
    ngx_uint_t                 version;     /* grows as states change */
    ngx_queue_t                readers;     /* all of this worker */
    ngx_uint_t                 laps;        /* by the writer, not yet logged */
    ngx_msec_t                 lapped;      /* when they last were */
    ngx_http_flux_sent_t       sent[NGX_HTTP_FLUX_TRANSPORTS];
    u_char                    *scratch;     /* the last cursor made */
    size_t                     scratch_size;

    unsigned                   behind:1;    /* the log has more */
    unsigned                   asleep:1;    /* it is not read: begin anew */
    unsigned                   locked:1;    /* this worker has the lock */
    unsigned                   retry_soon:1;
    unsigned                   state_soon:1;   /* a state may have changed */
    unsigned                   telling:1;      /* states to readers */
    unsigned                   draining:1;     /* the worker is to end */
    unsigned                   counting:1;     /* `sent` is added at the end */
    unsigned                   unplaced:1;     /* demand without a place */
} ngx_http_flux_hub_t;


ngx_int_t ngx_http_flux_hub_init(ngx_cycle_t *cycle,
    ngx_http_flux_main_conf_t *fmcf);
void ngx_http_flux_hub_exit(void);

/* Something was published, or there is work left from the last turn. */
void ngx_http_flux_hub_wake(ngx_event_t *ev);

/* The zone's lock, unless this worker has it: the result goes to unlock. */
ngx_uint_t ngx_http_flux_hub_lock(void);
void ngx_http_flux_hub_unlock(ngx_uint_t locked);

/*
 * Counts for the statistics.  In a turn of the hub they gather: the workers
 * would take the counters from each other with every reader.
 */
void ngx_http_flux_hub_count(ngx_uint_t transport, ngx_uint_t frames,
    uint64_t messages, uint64_t bytes);

/* Has the turn go on soon. */
void ngx_http_flux_hub_post(void);

/* Has a reader look again when the log has changed, or a little later. */
void ngx_http_flux_hub_wait(ngx_http_flux_reader_t *reader);

/*
 * Looks up which partitions a feed has.  START: the hub is at the head, and
 * this is where they are.  NEW: those not known yet will be read from their
 * start.  RESET: so will those made anew from this position on.
 */
#define NGX_HTTP_FLUX_POSITIONS_START  0
#define NGX_HTTP_FLUX_POSITIONS_NEW    1
#define NGX_HTTP_FLUX_POSITIONS_RESET  2

ngx_int_t ngx_http_flux_positions_update(ngx_http_flux_feed_t *feed,
    ngx_uint_t how, uint64_t since);

/* Did retention pass what comes next in one of them?  Under the lock. */
ngx_uint_t ngx_http_flux_positions_lost(ngx_http_flux_feed_t *feed);


/* --- ngx_http_flux_hub_scan.c --- */

/* The hub stands at the log's head: what was before is had from the index. */
ngx_int_t ngx_http_flux_hub_start(void);

/* Before there is somebody who reads. */
ngx_int_t ngx_http_flux_hub_awake(void);

/*
 * Takes what is new in the log into the channels; under the lock the hub is at
 * the head afterwards.
 */
void ngx_http_flux_hub_scan(void);


/* --- ngx_http_flux_state.c --- */

/* Looks at all rooms and has their readers told of what changed. */
void ngx_http_flux_state_update(void);

/* Goes on telling: NGX_AGAIN when there is more to do. */
ngx_int_t ngx_http_flux_state_tell(ngx_uint_t *budget);

/* The room's state now, without telling anyone. */
void ngx_http_flux_state_look(ngx_http_flux_room_t *room);

/* It as it is now, whether readers were told of it or not. */
ngx_http_flux_state_t ngx_http_flux_state_now(ngx_http_flux_room_t *room,
    int64_t *since);

/* {"type":"status",…} of a room; returns the text's end. */
#define NGX_HTTP_FLUX_STATE_BEGIN  "{\"type\":\"status\",\"room\":\""
#define NGX_HTTP_FLUX_STATE_LEN    (NGX_INT64_LEN + 64)
u_char *ngx_http_flux_state_message(u_char *p, ngx_http_flux_room_t *room,
    ngx_http_flux_state_t state, int64_t since);

/* Tells a reader of those of its rooms that are not live; NGX_DONE: it is gone. */
ngx_int_t ngx_http_flux_state_greet(ngx_http_flux_reader_t *reader);


/* --- ngx_http_flux_drain.c --- */

/* Lets all readers go, spread over flux_drain; later ones, too. */
void ngx_http_flux_drain(void);


/* --- ngx_http_flux_room.c --- */

/* An address, escaped, and the feed that it names. */
typedef struct {
    ngx_str_t                  text;
    ngx_http_flux_feed_t      *feed;
} ngx_http_flux_address_t;

/* A room that is read here, or NULL; the address is escaped. */
ngx_http_flux_room_t *ngx_http_flux_room_find(ngx_str_t *address);

/* The same, made if there is none, with a reference; NULL: no memory. */
ngx_http_flux_room_t *ngx_http_flux_room_get(ngx_http_flux_address_t *address);
void ngx_http_flux_room_release(ngx_http_flux_room_t *room);

/* Looks its node up in the zone; under the lock. */
void ngx_http_flux_room_bind(ngx_http_flux_room_t *room);

/* It has no node any more, as far as this worker knows. */
void ngx_http_flux_room_unbind(ngx_http_flux_room_t *room);


/* --- ngx_http_flux_channel.c --- */


/*
 * The channel of these addresses ("feed" or "feed/room", escaped; feeds[i] is
 * that of addresses[i]) and keys (escaped, or NULL for all), with a reference.
 * Strings are copied, the array of addresses is sorted.  NULL: no memory.
 */

ngx_http_flux_channel_t *ngx_http_flux_channel_get(
    ngx_http_flux_address_t *addresses, ngx_uint_t n, ngx_array_t *keys,
    ngx_msec_t pace);
void ngx_http_flux_channel_release(ngx_http_flux_channel_t *channel);

ngx_uint_t ngx_http_flux_channel_has(ngx_http_flux_channel_t *channel,
    ngx_http_flux_feed_t *feed);

/*
 * A room as cursors know it: who has seen some of its keys knows nothing of
 * what others have missed.
 */
#define ngx_http_flux_channel_hash(channel, room)                             \
    ((room)->hash ^ (channel)->filter)

/*
 * Feeds that share a topic are at places of their own in it: they are in
 * different layers, and a section of a cursor is of one layer.
 */
ngx_uint_t ngx_http_flux_channel_layer(ngx_http_flux_channel_t *channel,
    ngx_http_flux_feed_t *feed);

/* Takes the message of an entry of one of its rooms. */
void ngx_http_flux_channel_add(ngx_http_flux_channel_t *channel,
    flux_entry_t *entry, uint64_t position);

/* Forgets the snapshot it has kept for newcomers. */
void ngx_http_flux_channel_forget(ngx_http_flux_channel_t *channel);

/* Has it flushed in one of the next turns. */
void ngx_http_flux_channel_mark(ngx_http_flux_channel_t *channel);


/* --- ngx_http_flux_fanout.c --- */

/* The front stands at this cursor. */
void ngx_http_flux_channel_stand(ngx_http_flux_channel_t *channel,
    ngx_str_t *cursor);

/* The handler of a channel's timer: its pace has passed. */
void ngx_http_flux_channel_tick(ngx_event_t *ev);

/*
 * Sends what has gathered to those at the front, each send taken from the
 * budget: NGX_AGAIN when that ran out first; else the channel is no longer
 * dirty.
 */
ngx_int_t ngx_http_flux_channel_flush(ngx_http_flux_channel_t *channel,
    ngx_uint_t *budget);

/* Puts a reader to the front; it has seen all up to `ordinal`. */
void ngx_http_flux_channel_join(ngx_http_flux_channel_t *channel,
    ngx_http_flux_reader_t *reader, uint64_t ordinal);

/* 1 when messages of this key, escaped, are for the channel's readers. */
ngx_uint_t ngx_http_flux_channel_wants(ngx_http_flux_channel_t *channel,
    const u_char *key, size_t len);

/* All at the front go on by the log from where they are. */
void ngx_http_flux_channel_fall_back(ngx_http_flux_channel_t *channel);

/*
 * The cursor of all that the hub has read, for the channel's rooms.  The text
 * is valid until the next one is made.
 */
ngx_int_t ngx_http_flux_channel_cursor(ngx_http_flux_channel_t *channel,
    ngx_str_t *cursor);
ngx_int_t ngx_http_flux_cursor_text(flux_cursor_t *from, ngx_str_t *text);

/* What expired up to here is in the log; 0: keys of these rooms never do. */
int64_t ngx_http_flux_channel_expired(ngx_http_flux_channel_t *channel);

/*
 * A sweep takes a second to find all keys that expired up to its time, so
 * readers are told of some that a time does not vouch for.  Such EXPIRE
 * entries of these rooms end with this ordinal; 0: `time` vouches for all.
 */
uint64_t ngx_http_flux_channel_told(ngx_http_flux_channel_t *channel,
    int64_t time);

extern ngx_http_flux_hub_t  ngx_http_flux_hub;


#endif /* _NGX_HTTP_FLUX_HUB_H_INCLUDED_ */
