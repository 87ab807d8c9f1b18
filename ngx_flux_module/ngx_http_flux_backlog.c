#include "ngx_http_flux_behind.h"


/*
 * A frame of a backlog is closed behind so many bytes: enough that cursors
 * weigh little, little enough that a slow socket does not hold much.
 */
#define NGX_HTTP_FLUX_BACKLOG_FRAME  (64 * 1024)


static ngx_int_t ngx_http_flux_backlog_locked(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, uint64_t *ordinal);
static ngx_int_t ngx_http_flux_backlog_resume(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame);
static flux_entry_t *ngx_http_flux_backlog_first(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_room_t **first);
static int ngx_libc_cdecl ngx_http_flux_backlog_compare(const void *one,
    const void *two);
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
    flux_entry_t                 *entry;
    ngx_http_flux_behind_room_t  *first;

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

        if (ngx_http_flux_backlog_conflate(behind, frame) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_http_flux_behind_told(behind, ngx_http_flux_hub.ordinal);

        return NGX_OK;
    }

    if (ngx_http_flux_backlog_give_items(behind, frame, &behind->moved)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for ( ;; ) {

        entry = ngx_http_flux_backlog_first(behind, &first);

        if (entry == NULL) {
            ngx_http_flux_behind_told(behind, ngx_http_flux_hub.ordinal);
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

    ngx_http_flux_behind_told(behind, entry->ordinal - 1);

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


/* The oldest entry that waits, and its room; NULL: there is none left. */

static flux_entry_t *
ngx_http_flux_backlog_first(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t **first)
{
    ngx_uint_t                    i;
    flux_log_t                   *log = &ngx_http_flux_hub.zone->log;
    flux_entry_t                 *entry, *next;
    ngx_http_flux_behind_room_t  *room;

    entry = NULL;

    for (i = 0; i < behind->nrooms; i++) {
        room = &behind->rooms[i];

        if (room->state != NGX_HTTP_FLUX_RESUMED || room->next == 0) {
            continue;
        }

        next = flux_log_entry(log, room->next);

        if (entry == NULL || next->ordinal < entry->ordinal) {
            entry = next;
            *first = room;
        }
    }

    return entry;
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


ngx_int_t
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


static int ngx_libc_cdecl
ngx_http_flux_backlog_compare(const void *one, const void *two)
{
    uint64_t  a = ((const ngx_http_flux_behind_item_t *) one)->ordinal;
    uint64_t  b = ((const ngx_http_flux_behind_item_t *) two)->ordinal;

    return (a > b) - (a < b);
}


ngx_int_t
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
