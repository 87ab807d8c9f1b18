/*
 * The insides of ngx_http_flux_behind_t, for the files that make frames from
 * the index.  All that takes a flux_entry_t runs under the lock.
 */

#ifndef _NGX_HTTP_FLUX_BEHIND_H_INCLUDED_
#define _NGX_HTTP_FLUX_BEHIND_H_INCLUDED_


#include "ngx_http_flux_backlog.h"


/* Where a reader is in a partition of the feeds it reads. */

typedef struct {
    uint32_t                      id;           /* in the zone, or FLUX_NONE:
                                                   not read here yet */
    uint32_t                      fingerprint;
    uint32_t                      partition;
    uint16_t                      check;
    uint16_t                      given_check;
    int64_t                       offset;       /* it has all before this */
    int64_t                       given;        /* with the frame being made */
    ngx_uint_t                    layer;        /* of its feed */
    ngx_uint_t                    verified;     /* the check was right */
} ngx_http_flux_behind_place_t;


/* Rooms that stand at the same place. */

typedef struct {
    int64_t                       time;         /* expired keys it knows of */
    uint64_t                      told;         /* the same by ordinal, here */
    ngx_array_t                   places;       /* of behind_place_t */
    flux_cursor_section_t        *cursor;       /* as it came */
    ngx_uint_t                    unread;       /* places that wait for ids */
    unsigned                      placed:1;     /* `places` are looked up */
    unsigned                      belongs:1;    /* one is of these feeds */
} ngx_http_flux_behind_section_t;


typedef enum {
    NGX_HTTP_FLUX_NEW = 0,          /* needs its snapshot */
    NGX_HTTP_FLUX_RESUMED           /* needs what it missed */
} ngx_http_flux_behind_state_t;


typedef enum {
    NGX_HTTP_FLUX_RESET_NONE = 0,
    NGX_HTTP_FLUX_RESET_EXPIRED,
    NGX_HTTP_FLUX_RESET_RECREATED,
    NGX_HTTP_FLUX_RESET_FOREIGN,
    NGX_HTTP_FLUX_RESET_INVALID
} ngx_http_flux_reset_t;


typedef struct {
    ngx_http_flux_room_t            *room;
    ngx_http_flux_behind_section_t  *section;   /* NULL: in none */
    ngx_http_flux_behind_state_t     state;
    ngx_http_flux_reset_t            reset;     /* told before the snapshot */
    uint64_t                         next;      /* its next entry, 0: none */
    uint64_t                         last;      /* the one before, 0: unknown */
} ngx_http_flux_behind_room_t;


/* A live record that was missed and has been moved ahead of the tail. */

typedef struct {
    uint64_t                      ordinal;
    uint64_t                      position;
    ngx_http_flux_behind_room_t  *room;
} ngx_http_flux_behind_item_t;


typedef struct ngx_http_flux_snapshot_s  ngx_http_flux_snapshot_t;


struct ngx_http_flux_behind_s {
    ngx_pool_t                     *pool;
    ngx_http_flux_channel_t        *channel;
    size_t                          buffer;
    ngx_str_t                       text;       /* the cursor it began with */

    ngx_uint_t                      nrooms;
    ngx_http_flux_behind_room_t    *rooms;

    ngx_uint_t                      nsections;
    ngx_http_flux_behind_section_t  sections[FLUX_CURSOR_SECTIONS];
    ngx_array_t                     moved;      /* of behind_item_t */

    uint64_t                        exact_until;
    ngx_msec_t                      since;      /* it waits for this node */
    ngx_http_flux_snapshot_t       *snapshot;   /* one in several frames */

    unsigned                        exact:1;
    unsigned                        conflate:1;
    unsigned                        whole:1;
    unsigned                        judged:1;
    unsigned                        ahead:1;    /* of this node */
    unsigned                        verify:1;   /* look at the checks */
    unsigned                        newcomer:1; /* all rooms new, no reset */
};


/* --- behind.c --- */

/* The room needs its snapshot, and is told why. */
void ngx_http_flux_behind_begin_anew(ngx_http_flux_behind_room_t *room,
    ngx_http_flux_reset_t reset);

/* The place of a partition for a room, made if need be; NULL: no memory. */
ngx_http_flux_behind_place_t *ngx_http_flux_behind_place(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_room_t *room,
    uint32_t partition);

/* 1 when the reader has not seen the entry; place is NULL for an EXPIRE. */
ngx_uint_t ngx_http_flux_behind_missed(ngx_http_flux_behind_room_t *room,
    ngx_http_flux_behind_place_t *place, flux_entry_t *entry);

/*
 * The cursor with the frame being made; what was given counts as seen from now
 * on.  The text is valid until the next one is made.
 */
ngx_int_t ngx_http_flux_behind_advance(ngx_http_flux_behind_t *behind,
    ngx_str_t *cursor);

/* What expired up to this ordinal was given to all rooms that resumed. */
void ngx_http_flux_behind_told(ngx_http_flux_behind_t *behind,
    uint64_t ordinal);

/* A section that stands where the log ends. */
ngx_http_flux_behind_section_t *ngx_http_flux_behind_here(
    ngx_http_flux_behind_t *behind);


/* All partitions of the channel's feeds, each where the log ends. */
ngx_int_t ngx_http_flux_behind_places(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section);


/* --- behind_judge.c --- */

/*
 * Decides which rooms can go on from their cursor and which begin anew.
 * NGX_BUSY: the feeds' partitions are not known yet.
 */
ngx_int_t ngx_http_flux_behind_judge(ngx_http_flux_behind_t *behind);


/* --- behind_unread.c --- */

/* Adds the cursor's places of partitions that were not read here yet. */
ngx_int_t ngx_http_flux_behind_keep_unread(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section);

/* Looks which of them have been by now. */
void ngx_http_flux_behind_resolve(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section);


/* --- snapshot.c --- */

/*
 * Snapshots of all new rooms.  NGX_OK: done.  NGX_AGAIN: done, and time has
 * passed since they began.  NGX_DECLINED: there is more to come, the frame is
 * closed without a cursor.
 */
ngx_int_t ngx_http_flux_snapshot(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame);


/* --- backlog.c --- */

/* Items: entries of several rooms, given in the order of their ordinals. */
ngx_int_t ngx_http_flux_backlog_add_item(ngx_array_t *items,
    flux_entry_t *entry, uint64_t position, ngx_http_flux_behind_room_t *room);
ngx_int_t ngx_http_flux_backlog_give_items(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, ngx_array_t *items);


/* --- backlog_find.c --- */

/*
 * While a room is walked backwards: partitions in which the reader missed
 * something, and of which no entry that it knows was met yet.  Once there is
 * none left, all that is older is known to it.
 */

typedef struct {
    u_char      *open;          /* by place of the room's section */
    ngx_uint_t   left;
} ngx_http_flux_cover_t;


/* Sets where the room's backlog begins; adds what was moved to the items. */
ngx_int_t ngx_http_flux_backlog_find(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room);

/* `open` is the caller's to free. */
ngx_int_t ngx_http_flux_backlog_cover(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_http_flux_cover_t *cover);

/*
 * Looks at an entry on the way back: NGX_OK when the reader missed it,
 * NGX_DECLINED when not, NGX_DONE when it knows all that is older.
 */
ngx_int_t ngx_http_flux_backlog_look(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, flux_entry_t *entry,
    ngx_http_flux_cover_t *cover);

/*
 * A reader that comes from another node may know records that came here after
 * a key was found to have expired, and not know of that yet: the EXPIRE lies
 * before all that covers the room.  1: there may be such ones.
 */
ngx_uint_t ngx_http_flux_backlog_expired(ngx_http_flux_behind_room_t *room);

/* 1 when an EXPIRE is so old that none before it was missed. */
ngx_uint_t ngx_http_flux_backlog_expired_before(
    ngx_http_flux_behind_room_t *room, flux_entry_t *entry);

/* 1 when the entry is of the topic as it was before it was made anew. */
ngx_uint_t ngx_http_flux_backlog_obsolete(flux_entry_t *entry,
    uint64_t position);


/* --- backlog_conflate.c --- */

/* Has more gathered than the reader may be given record by record? */
ngx_uint_t ngx_http_flux_backlog_too_much(ngx_http_flux_behind_t *behind);

/* Gives all that changed, of each key its newest record alone. */
ngx_int_t ngx_http_flux_backlog_conflate(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame);


#endif /* _NGX_HTTP_FLUX_BEHIND_H_INCLUDED_ */
