#include "ngx_http_flux_behind.h"


/*
 * A frame of a backlog is closed behind so many bytes: enough that cursors
 * weigh little, little enough that a slow socket does not hold much.
 */
#define NGX_HTTP_FLUX_BACKLOG_FRAME  (64 * 1024)


/*
 * While a room is walked backwards: partitions in which the reader missed
 * something, and of which no entry that it knows was met yet.  Once there is
 * none left, all that is older is known to it.
 */

typedef struct {
    u_char      *open;          /* by place of the room's section */
    ngx_uint_t   left;
} ngx_http_flux_cover_t;


static ngx_int_t ngx_http_flux_backlog_locked(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, uint64_t *ordinal);
static ngx_int_t ngx_http_flux_backlog_resume(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame);
static ngx_int_t ngx_http_flux_backlog_find(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room);
static ngx_int_t ngx_http_flux_backlog_find_moved(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_room_t *room,
    ngx_http_flux_cover_t *cover);
static ngx_int_t ngx_http_flux_backlog_add_item(ngx_array_t *items,
    flux_entry_t *entry, uint64_t position,
    ngx_http_flux_behind_room_t *room);
static ngx_int_t ngx_http_flux_backlog_give_moved(
    ngx_http_flux_behind_t *behind, ngx_http_flux_frame_t *frame);
static ngx_uint_t ngx_http_flux_backlog_too_much(
    ngx_http_flux_behind_t *behind);
static ngx_int_t ngx_http_flux_backlog_conflate(
    ngx_http_flux_behind_t *behind, ngx_http_flux_frame_t *frame);
static ngx_int_t ngx_http_flux_backlog_collect(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_array_t *items);
static ngx_int_t ngx_http_flux_backlog_collect_keys(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_room_t *room,
    ngx_array_t *items, uint32_t node);
static ngx_int_t ngx_http_flux_backlog_collect_deletes(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_room_t *room,
    ngx_array_t *items, uint64_t position);
static ngx_int_t ngx_http_flux_backlog_give_items(
    ngx_http_flux_behind_t *behind, ngx_http_flux_frame_t *frame,
    ngx_array_t *items);
static ngx_int_t ngx_http_flux_backlog_give(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_http_flux_frame_t *frame,
    flux_entry_t *entry);


ngx_int_t
ngx_http_flux_backlog(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t **out, uint64_t *ordinal)
{
    ngx_int_t                 rc;
    ngx_http_flux_hub_t      *hub = &ngx_http_flux_hub;
    ngx_http_flux_frame_t    *frame;
    ngx_http_flux_channel_t  *channel = behind->channel;

    *out = NULL;

    if (ngx_http_flux_zone_lock(hub->zone) != NGX_OK) {
        return NGX_BUSY;
    }

    hub->locked = 1;
    ngx_http_flux_hub_scan();

    rc = ngx_http_flux_behind_judge(behind);

    if (rc == NGX_OK && channel->snapshot != NULL && behind->newcomer) {
        *out = ngx_http_flux_frame_hold(channel->snapshot);
        *ordinal = hub->ordinal;

    } else if (rc == NGX_OK) {
        frame = ngx_http_flux_frame_create(hub->log);

        rc = frame ? ngx_http_flux_backlog_locked(behind, frame, ordinal)
                   : NGX_ERROR;

        if (rc != NGX_ERROR && frame->messages) {
            *out = frame;

            if (rc == NGX_OK && behind->newcomer) {
                channel->snapshot = ngx_http_flux_frame_hold(frame);
            }

        } else if (frame != NULL) {
            ngx_http_flux_frame_release(frame);
        }
    }

    hub->locked = 0;
    ngx_http_flux_zone_unlock(hub->zone);

    if (!ngx_queue_empty(&hub->dirty) || hub->retry_soon) {
        /* the scan has found something for others */
        ngx_http_flux_hub_post();
    }

    return rc;
}


static ngx_int_t
ngx_http_flux_backlog_locked(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, uint64_t *ordinal)
{
    ngx_int_t             rc;
    ngx_str_t             cursor;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    if (behind->snapshot == NULL) {

        rc = ngx_http_flux_backlog_resume(behind, frame);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_http_flux_snapshot(behind, frame);

    if (rc == NGX_ERROR || rc == NGX_DECLINED) {
        /* no memory, or there is more to come before a cursor can be given */
        return rc == NGX_ERROR ? NGX_ERROR : NGX_AGAIN;
    }

    if (rc == NGX_AGAIN || behind->ahead) {

        /* not where the channel is */

        if (frame->messages
            && (ngx_http_flux_behind_advance(behind, &cursor) != NGX_OK
                || ngx_http_flux_frame_close(frame, &cursor) != NGX_OK))
        {
            return NGX_ERROR;
        }

        return rc == NGX_AGAIN || frame->messages ? NGX_AGAIN : NGX_BUSY;
    }

    *ordinal = hub->ordinal;

    if (frame->messages == 0) {
        return NGX_OK;
    }

    if (ngx_http_flux_channel_cursor(behind->channel, &cursor) != NGX_OK
        || ngx_http_flux_frame_close(frame, &cursor) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * What came since the cursor, for the rooms it knows.  NGX_OK: all; NGX_AGAIN:
 * the frame is full and closed.
 */

static ngx_int_t
ngx_http_flux_backlog_resume(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame)
{
    ngx_str_t                     cursor;
    ngx_uint_t                    i;
    flux_log_t                   *log = &ngx_http_flux_hub.zone->log;
    flux_entry_t                 *entry, *next;
    ngx_http_flux_behind_room_t  *room, *first;

    if (!behind->conflate) {

        for (i = 0; i < behind->nrooms; i++) {
            if (ngx_http_flux_backlog_find(behind, &behind->rooms[i])
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        if (ngx_http_flux_backlog_too_much(behind)) {
            behind->conflate = 1;
        }
    }

    if (behind->conflate) {
        return ngx_http_flux_backlog_conflate(behind, frame);
    }

    if (ngx_http_flux_backlog_give_moved(behind, frame) != NGX_OK) {
        return NGX_ERROR;
    }

    for ( ;; ) {

        first = NULL;
        entry = NULL;

        for (i = 0; i < behind->nrooms; i++) {
            room = &behind->rooms[i];

            if (room->state != NGX_HTTP_FLUX_RESUMED || room->next == 0) {
                continue;
            }

            next = flux_log_entry(log, room->next);

            if (entry == NULL || next->ordinal < entry->ordinal) {
                entry = next;
                first = room;
            }
        }

        if (first == NULL) {
            return NGX_OK;
        }

        if (entry->kind != FLUX_ENTRY_LEAVE
            && (frame->json.len >= NGX_HTTP_FLUX_BACKLOG_FRAME
                || (behind->exact && entry->ordinal > behind->exact_until
                    && frame->messages)))
        {
            /* a LEAVE is of the record before it: no cursor in between */
            break;
        }

        if (ngx_http_flux_backlog_give(behind, first, frame, entry)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        first->last = first->next;
        first->next = entry->room_next;
    }

    if (ngx_http_flux_behind_advance(behind, &cursor) != NGX_OK
        || ngx_http_flux_frame_close(frame, &cursor) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (entry->ordinal > behind->exact_until) {
        behind->exact = 0;
    }

    return NGX_AGAIN;
}


/* Adds an entry's message if it was missed, and moves the place behind it. */

static ngx_int_t
ngx_http_flux_backlog_give(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_http_flux_frame_t *frame,
    flux_entry_t *entry)
{
    u_char                        *p, *message = flux_log_message(entry);
    ngx_http_flux_behind_place_t  *place;

    place = NULL;

    if (entry->partition != FLUX_NONE) {
        place = ngx_http_flux_behind_place(behind, room, entry->partition);

        if (place == NULL) {
            return NGX_ERROR;
        }
    }

    if (!ngx_http_flux_behind_missed(room, place, entry)) {
        return NGX_OK;
    }

    if (ngx_http_flux_channel_wants(behind->channel,
                          message + flux_message_key_at(entry->address_length),
                          entry->key_length))
    {
        p = ngx_http_flux_frame_message(frame, entry->message_length,
                                        entry->ordinal);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(p, message, entry->message_length);
    }

    if (place != NULL && entry->offset >= place->offset) {
        place->given = entry->offset + 1;
        place->given_check = entry->check;
    }

    return NGX_OK;
}


/* --- where a room's backlog begins ----------------------------------------- */

static ngx_int_t
ngx_http_flux_backlog_cover(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_http_flux_cover_t *cover)
{
    ngx_uint_t                     i, n;
    flux_partition_t              *partition;
    ngx_http_flux_behind_place_t  *place;

    n = room->section->places.nelts;
    place = room->section->places.elts;

    cover->left = 0;
    cover->open = ngx_calloc(n + 1, ngx_http_flux_hub.log);

    if (cover->open == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {

        if (place[i].id == FLUX_NONE) {
            continue;
        }

        partition = &ngx_http_flux_hub.zone->log.partitions[place[i].id];

        if (partition->feed == room->room->feed->slot
            && partition->last >= place[i].offset)
        {
            cover->open[i] = 1;
            cover->left++;
        }
    }

    return NGX_OK;
}


/*
 * Looks at an entry on the way back: NGX_OK when the reader missed it,
 * NGX_DECLINED when not, NGX_DONE when it knows all that is older.
 */

static ngx_int_t
ngx_http_flux_backlog_look(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, flux_entry_t *entry,
    ngx_http_flux_cover_t *cover)
{
    ngx_uint_t                     i;
    ngx_http_flux_behind_place_t  *place = room->section->places.elts;

    if (entry->kind == FLUX_ENTRY_EXPIRE) {
        return ngx_http_flux_behind_missed(room, NULL, entry) ? NGX_OK
                                                              : NGX_DECLINED;
    }

    if (cover->left == 0) {
        return NGX_DONE;
    }

    for (i = 0; i < room->section->places.nelts; i++) {

        if (place[i].id != entry->partition) {
            continue;
        }

        if (ngx_http_flux_behind_missed(room, &place[i], entry)) {
            return NGX_OK;
        }

        if (cover->open[i]) {
            cover->open[i] = 0;
            cover->left--;
        }

        return cover->left ? NGX_DECLINED : NGX_DONE;
    }

    if (ngx_http_flux_hub.zone->log.partitions[entry->partition].start < 0) {
        /* from the cache: the reader's place there is not known yet */
        return NGX_DECLINED;
    }

    /* a partition added since */

    return NGX_OK;
}


/* 1 when the entry is of the topic as it was before it was made anew. */

static ngx_uint_t
ngx_http_flux_backlog_obsolete(flux_entry_t *entry, uint64_t position)
{
    return entry->partition != FLUX_NONE
           && position < ngx_http_flux_hub.zone->log.partitions[
                             entry->partition].created;
}


static ngx_int_t
ngx_http_flux_backlog_find(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room)
{
    uint64_t                position;
    ngx_int_t               rc;
    flux_log_t             *log = &ngx_http_flux_hub.zone->log;
    flux_room_t            *r;
    flux_entry_t           *entry;
    ngx_http_flux_cover_t   cover;

    if (room->state != NGX_HTTP_FLUX_RESUMED) {
        return NGX_OK;
    }

    if (room->room->node == FLUX_NONE) {
        room->next = 0;
        return NGX_OK;
    }

    if (room->next && flux_log_reaches(log, room->next)) {
        return NGX_OK;
    }

    if (room->next == 0 && room->last && flux_log_reaches(log, room->last)) {
        room->next = flux_log_entry(log, room->last)->room_next;
        return NGX_OK;
    }

    if (ngx_http_flux_backlog_cover(behind, room, &cover) != NGX_OK) {
        return NGX_ERROR;
    }

    r = flux_log_room(log, room->room->node);
    rc = NGX_OK;
    room->next = 0;
    room->last = r->newest;

    for (position = r->newest; /* void */ ; position = entry->room_prev) {

        if (!flux_log_reaches(log, position)) {
            break;
        }

        entry = flux_log_entry(log, position);

        if ((entry->flags & FLUX_ENTRY_MOVED)
            || ngx_http_flux_backlog_obsolete(entry, position))
        {
            break;
        }

        rc = ngx_http_flux_backlog_look(behind, room, entry, &cover);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc == NGX_OK) {
            room->next = position;
        }
    }

    rc = NGX_OK;

    if (cover.left) {
        rc = ngx_http_flux_backlog_find_moved(behind, room, &cover);
    }

    ngx_free(cover.open);

    return rc;
}


/*
 * The ring's tail has passed what the room got then; what is live of it was
 * moved ahead.  The keys are looked at from the last renewed one on.
 */

static ngx_int_t
ngx_http_flux_backlog_find_moved(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_http_flux_cover_t *cover)
{
    uint32_t                      node, n;
    uint64_t                      position;
    ngx_int_t                     rc;
    flux_key_t                   *key;
    flux_log_t                   *log = &ngx_http_flux_hub.zone->log;
    flux_entry_t                 *entry;

    if (behind->moved.elts == NULL
        && ngx_array_init(&behind->moved, behind->pool, 16,
                          sizeof(ngx_http_flux_behind_item_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (node = flux_log_room(log, room->room->node)->last;
         node != FLUX_NONE;
         node = key->prev)
    {
        key = flux_log_key(log, node);
        position = key->newest;

        for (n = key->count; n; n--, position = entry->older) {

            entry = flux_log_entry(log, position);
            rc = ngx_http_flux_backlog_look(behind, room, entry, cover);

            if (rc == NGX_DONE) {
                return NGX_OK;
            }

            if (rc == NGX_DECLINED) {
                break;
            }

            if (!(entry->flags & FLUX_ENTRY_MOVED)) {
                continue;
            }

            if (ngx_http_flux_backlog_add_item(&behind->moved, entry, position,
                                               room)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_http_flux_backlog_compare(const void *one, const void *two)
{
    uint64_t  a = ((const ngx_http_flux_behind_item_t *) one)->ordinal;
    uint64_t  b = ((const ngx_http_flux_behind_item_t *) two)->ordinal;

    return (a > b) - (a < b);
}


static ngx_int_t
ngx_http_flux_backlog_give_moved(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame)
{
    return ngx_http_flux_backlog_give_items(behind, frame, &behind->moved);
}


static ngx_int_t
ngx_http_flux_backlog_give_items(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, ngx_array_t *items)
{
    ngx_uint_t                    i;
    flux_log_t                   *log = &ngx_http_flux_hub.zone->log;
    ngx_http_flux_behind_item_t  *item = items->elts;

    if (items->nelts == 0) {
        return NGX_OK;
    }

    qsort(item, items->nelts, sizeof(ngx_http_flux_behind_item_t),
          ngx_http_flux_backlog_compare);

    for (i = 0; i < items->nelts; i++) {
        if (ngx_http_flux_backlog_give(behind, item[i].room, frame,
                                       flux_log_entry(log, item[i].position))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    items->nelts = 0;

    return NGX_OK;
}


/* --- conflation ------------------------------------------------------------ */

/* Has more gathered than the reader may be given record by record? */

static ngx_uint_t
ngx_http_flux_backlog_too_much(ngx_http_flux_behind_t *behind)
{
    size_t                        bytes = 0;
    uint64_t                      position;
    ngx_uint_t                    i;
    flux_log_t                   *log = &ngx_http_flux_hub.zone->log;
    flux_entry_t                 *entry;
    ngx_http_flux_behind_room_t  *room;

    if (behind->exact) {
        return 0;
    }

    for (i = 0; i < behind->nrooms; i++) {
        room = &behind->rooms[i];

        if (room->state != NGX_HTTP_FLUX_RESUMED) {
            continue;
        }

        for (position = room->next; position; position = entry->room_next) {
            entry = flux_log_entry(log, position);
            bytes += entry->message_length;

            if (bytes > behind->buffer) {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_flux_backlog_conflate(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_array_t                   items;
    ngx_http_flux_hub_t          *hub = &ngx_http_flux_hub;
    ngx_http_flux_behind_room_t  *room;

    if (ngx_array_init(&items, behind->pool, 64,
                       sizeof(ngx_http_flux_behind_item_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < behind->nrooms; i++) {
        room = &behind->rooms[i];

        if (room->state != NGX_HTTP_FLUX_RESUMED) {
            continue;
        }

        if (ngx_http_flux_backlog_collect(behind, room, &items) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    behind->moved.nelts = 0;

    rc = ngx_http_flux_backlog_give_items(behind, frame, &items);

    if (rc == NGX_OK && frame->messages && behind->buffer) {
        (void) ngx_atomic_fetch_add(&hub->zone->shared->conflated, 1);
    }

    return rc;
}


static ngx_int_t
ngx_http_flux_backlog_add_item(ngx_array_t *items, flux_entry_t *entry,
    uint64_t position, ngx_http_flux_behind_room_t *room)
{
    ngx_http_flux_behind_item_t  *item;

    item = ngx_array_push(items);
    if (item == NULL) {
        return NGX_ERROR;
    }

    item->ordinal = entry->ordinal;
    item->position = position;
    item->room = room;

    return NGX_OK;
}


/*
 * The newest record of each key that changed since the room's place, and the
 * deletes.  Afterwards the room is where the log ends.
 */

static ngx_int_t
ngx_http_flux_backlog_collect(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_array_t *items)
{
    ngx_int_t     rc;
    flux_log_t   *log = &ngx_http_flux_hub.zone->log;
    flux_room_t  *r;

    if (room->room->node == FLUX_NONE) {
        return NGX_OK;
    }

    r = flux_log_room(log, room->room->node);

    rc = ngx_http_flux_backlog_collect_keys(behind, room, items, r->last);

    if (rc == NGX_OK) {
        rc = ngx_http_flux_backlog_collect_deletes(behind, room, items,
                                                   r->newest_delete);
    }

    room->next = 0;
    room->last = r->newest;

    return rc;
}


static ngx_int_t
ngx_http_flux_backlog_collect_keys(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_array_t *items, uint32_t node)
{
    ngx_int_t               rc;
    flux_key_t             *key;
    flux_log_t             *log = &ngx_http_flux_hub.zone->log;
    flux_entry_t           *entry;
    ngx_http_flux_cover_t   cover;

    rc = ngx_http_flux_backlog_cover(behind, room, &cover);

    for ( /* void */ ; rc == NGX_OK && node != FLUX_NONE; node = key->prev) {

        key = flux_log_key(log, node);
        entry = flux_log_entry(log, key->newest);

        switch (ngx_http_flux_backlog_look(behind, room, entry, &cover)) {

        case NGX_OK:
            rc = ngx_http_flux_backlog_add_item(items, entry, key->newest,
                                                room);
            break;

        case NGX_DONE:
            ngx_free(cover.open);
            return NGX_OK;
        }
    }

    ngx_free(cover.open);

    return rc;
}


static ngx_int_t
ngx_http_flux_backlog_collect_deletes(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_array_t *items, uint64_t position)
{
    ngx_int_t               rc;
    flux_log_t             *log = &ngx_http_flux_hub.zone->log;
    flux_entry_t           *entry;
    ngx_http_flux_cover_t   cover;

    rc = ngx_http_flux_backlog_cover(behind, room, &cover);

    for ( /* void */ ;
         rc == NGX_OK && flux_log_reaches(log, position);
         position = entry->older)
    {
        entry = flux_log_entry(log, position);

        if (ngx_http_flux_backlog_obsolete(entry, position)) {
            break;
        }

        switch (ngx_http_flux_backlog_look(behind, room, entry, &cover)) {

        case NGX_OK:
            rc = ngx_http_flux_backlog_add_item(items, entry, position, room);
            break;

        case NGX_DONE:
            ngx_free(cover.open);
            return NGX_OK;
        }
    }

    ngx_free(cover.open);

    return rc;
}
