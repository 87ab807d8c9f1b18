/*
 * A backlog that is too long: the newest record of each key instead.
 */

#include "ngx_http_flux_behind.h"


static ngx_int_t ngx_http_flux_backlog_collect(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_array_t *items);
static ngx_int_t ngx_http_flux_backlog_collect_keys(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_room_t *room,
    ngx_array_t *items, uint32_t node);
static ngx_int_t ngx_http_flux_backlog_collect_deletes(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_room_t *room,
    ngx_array_t *items, uint64_t position);
static ngx_int_t ngx_http_flux_backlog_collect_entry(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_room_t *room,
    ngx_array_t *items, flux_entry_t *entry, uint64_t position,
    ngx_http_flux_cover_t *cover);


ngx_uint_t
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


ngx_int_t
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

        rc = ngx_http_flux_backlog_collect_entry(behind, room, items, entry,
                                                 key->newest, &cover);
    }

    ngx_free(cover.open);

    return rc == NGX_DONE ? NGX_OK : rc;
}


static ngx_int_t
ngx_http_flux_backlog_collect_deletes(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_array_t *items, uint64_t position)
{
    ngx_int_t               rc;
    ngx_uint_t              expired;
    flux_log_t             *log = &ngx_http_flux_hub.zone->log;
    flux_entry_t           *entry;
    ngx_http_flux_cover_t   cover;

    rc = ngx_http_flux_backlog_cover(behind, room, &cover);
    expired = ngx_http_flux_backlog_expired(room);

    for ( /* void */ ;
         (rc == NGX_OK || (rc == NGX_DONE && expired))
         && flux_log_reaches(log, position);
         position = entry->older)
    {
        entry = flux_log_entry(log, position);

        if (ngx_http_flux_backlog_obsolete(entry, position)
            || (cover.left == 0
                && ngx_http_flux_backlog_expired_before(room, entry)))
        {
            break;
        }

        if (rc == NGX_DONE && entry->kind != FLUX_ENTRY_EXPIRE) {
            continue;
        }

        rc = ngx_http_flux_backlog_collect_entry(behind, room, items, entry,
                                                 position, &cover);
    }

    ngx_free(cover.open);

    return rc == NGX_DONE ? NGX_OK : rc;
}


/* NGX_DONE: all that is older is known to the reader. */

static ngx_int_t
ngx_http_flux_backlog_collect_entry(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_array_t *items,
    flux_entry_t *entry, uint64_t position, ngx_http_flux_cover_t *cover)
{
    ngx_int_t  rc;

    rc = ngx_http_flux_backlog_look(behind, room, entry, cover);

    if (rc == NGX_OK) {
        return ngx_http_flux_backlog_add_item(items, entry, position, room);
    }

    return rc == NGX_DONE ? NGX_DONE : NGX_OK;
}
