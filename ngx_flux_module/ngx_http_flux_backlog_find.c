/*
 * Where the backlog of a room begins: walked back to, from the newest entry.
 */

#include "ngx_http_flux_behind.h"


/*
 * EXPIRE entries stand in the order in which sweeps found them, which is by
 * time but for the length of a sweep and a writer's absence: this is more.
 */
#define NGX_HTTP_FLUX_BACKLOG_SWEEPS  60000


static void ngx_http_flux_backlog_walk(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_http_flux_cover_t *cover);
static void ngx_http_flux_backlog_find_expired(
    ngx_http_flux_behind_room_t *room);
static ngx_int_t ngx_http_flux_backlog_find_moved(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_room_t *room,
    ngx_http_flux_cover_t *cover);


ngx_int_t
ngx_http_flux_backlog_find(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room)
{
    ngx_int_t               rc;
    flux_log_t             *log = &ngx_http_flux_hub.zone->log;
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

    ngx_http_flux_backlog_walk(behind, room, &cover);

    if (ngx_http_flux_backlog_expired(room)) {
        ngx_http_flux_backlog_find_expired(room);
    }

    rc = NGX_OK;

    if (cover.left) {
        rc = ngx_http_flux_backlog_find_moved(behind, room, &cover);
    }

    ngx_free(cover.open);

    return rc;
}


/* Back from the room's newest entry, to the oldest one that was missed. */

static void
ngx_http_flux_backlog_walk(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_http_flux_cover_t *cover)
{
    uint64_t       position;
    ngx_int_t      rc;
    flux_log_t    *log = &ngx_http_flux_hub.zone->log;
    flux_room_t   *r;
    flux_entry_t  *entry;

    r = flux_log_room(log, room->room->node);
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

        rc = ngx_http_flux_backlog_look(behind, room, entry, cover);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc == NGX_OK) {
            room->next = position;
        }
    }
}


/* Back over the room's deletes: the backlog may have to begin earlier. */

static void
ngx_http_flux_backlog_find_expired(ngx_http_flux_behind_room_t *room)
{
    uint64_t       position;
    flux_log_t    *log = &ngx_http_flux_hub.zone->log;
    flux_entry_t  *entry;

    for (position = flux_log_room(log, room->room->node)->newest_delete;
         flux_log_reaches(log, position);
         position = entry->older)
    {
        entry = flux_log_entry(log, position);

        if (ngx_http_flux_backlog_obsolete(entry, position)
            || ngx_http_flux_backlog_expired_before(room, entry))
        {
            break;
        }

        if (entry->kind == FLUX_ENTRY_EXPIRE
            && ngx_http_flux_behind_missed(room, NULL, entry)
            && (room->next == 0 || position < room->next))
        {
            room->next = position;
        }
    }
}


ngx_uint_t
ngx_http_flux_backlog_expired(ngx_http_flux_behind_room_t *room)
{
    flux_feed_t  *feed;

    if (room->section->told) {
        /* it was here, and is told of them in their order */
        return 0;
    }

    feed = &ngx_http_flux_hub.zone->log.header->feeds[room->room->feed->slot];

    return feed->newest_expire > room->section->time;
}


ngx_uint_t
ngx_http_flux_backlog_expired_before(ngx_http_flux_behind_room_t *room,
    flux_entry_t *entry)
{
    return entry->kind == FLUX_ENTRY_EXPIRE
           && entry->ts < room->section->time - NGX_HTTP_FLUX_BACKLOG_SWEEPS;
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


ngx_int_t
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


ngx_int_t
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


ngx_uint_t
ngx_http_flux_backlog_obsolete(flux_entry_t *entry, uint64_t position)
{
    return entry->partition != FLUX_NONE
           && position < ngx_http_flux_hub.zone->log.partitions[
                             entry->partition].created;
}
