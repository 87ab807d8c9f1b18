#include "ngx_http_flux_behind.h"


static ngx_int_t ngx_http_flux_behind_decode(ngx_http_flux_behind_t *behind,
    ngx_str_t *text, ngx_http_flux_reset_t *reset);
static ngx_uint_t ngx_http_flux_behind_renewed(
    ngx_http_flux_behind_room_t *room, flux_entry_t *entry);
static ngx_int_t ngx_http_flux_behind_section(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section, ngx_uint_t layer,
    ngx_pool_t *pool, flux_cursor_t *cursor);


ngx_http_flux_behind_t *
ngx_http_flux_behind_create(ngx_http_flux_channel_t *channel,
    ngx_str_t *cursor, ngx_uint_t flags, size_t buffer)
{
    ngx_pool_t              *pool;
    ngx_uint_t               i;
    ngx_http_flux_behind_t  *behind;

    pool = ngx_create_pool(1024, ngx_http_flux_hub.log);
    if (pool == NULL) {
        return NULL;
    }

    behind = ngx_pcalloc(pool, sizeof(ngx_http_flux_behind_t));
    if (behind == NULL) {
        goto failed;
    }

    behind->pool = pool;
    behind->channel = channel;
    behind->buffer = buffer;
    behind->exact = (flags & NGX_HTTP_FLUX_EXACT) ? 1 : 0;
    behind->conflate = (flags & NGX_HTTP_FLUX_CONFLATE) ? 1 : 0;
    behind->whole = (flags & NGX_HTTP_FLUX_WHOLE) ? 1 : 0;
    behind->since = ngx_current_msec;
    behind->nrooms = channel->nrooms;

    behind->rooms = ngx_pcalloc(pool, channel->nrooms
                                      * sizeof(ngx_http_flux_behind_room_t));
    if (behind->rooms == NULL) {
        goto failed;
    }

    for (i = 0; i < channel->nrooms; i++) {
        behind->rooms[i].room = channel->links[i].room;
    }

    if (cursor->len) {
        behind->text.len = cursor->len;
        behind->text.data = ngx_pstrdup(pool, cursor);

        if (behind->text.data == NULL
            || ngx_http_flux_behind_add_cursor(behind, cursor) != NGX_OK)
        {
            goto failed;
        }
    }

    return behind;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


void
ngx_http_flux_behind_destroy(ngx_http_flux_behind_t *behind)
{
    ngx_destroy_pool(behind->pool);
}


ngx_int_t
ngx_http_flux_behind_add_cursor(ngx_http_flux_behind_t *behind,
    ngx_str_t *text)
{
    ngx_uint_t             i;
    ngx_http_flux_reset_t  reset = NGX_HTTP_FLUX_RESET_NONE;

    if (ngx_http_flux_behind_decode(behind, text, &reset) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < behind->nrooms; i++) {
        if (behind->rooms[i].section == NULL) {
            behind->rooms[i].reset = reset;
        }
    }

    return NGX_OK;
}


/* Adds the cursor's sections, and to each the rooms that it knows. */

static ngx_int_t
ngx_http_flux_behind_decode(ngx_http_flux_behind_t *behind, ngx_str_t *text,
    ngx_http_flux_reset_t *reset)
{
    size_t                           size, k;
    void                            *scratch;
    ngx_uint_t                       i, s;
    flux_cursor_t                   *cursor;
    ngx_http_flux_behind_section_t  *section;

    cursor = ngx_pcalloc(behind->pool, sizeof(flux_cursor_t));
    size = flux_cursor_scratch_size(text->len);
    scratch = ngx_palloc(behind->pool, size);

    if (cursor == NULL || scratch == NULL) {
        return NGX_ERROR;
    }

    if (flux_cursor_decode((char *) text->data, text->len, scratch, size,
                           cursor)
        != FLUX_CURSOR_OK)
    {
        *reset = NGX_HTTP_FLUX_RESET_INVALID;
        return NGX_OK;
    }

    for (s = 0; s < cursor->nsections; s++) {

        if (behind->nsections == FLUX_CURSOR_SECTIONS - 1) {
            /* one is kept for snapshots; the rooms beyond begin anew */
            break;
        }

        section = &behind->sections[behind->nsections++];
        section->cursor = &cursor->sections[s];
        section->time = cursor->time;
        section->told = cursor->log == ngx_http_flux_hub.zone->log.header->id
                        ? cursor->told : 0;

        if (ngx_array_init(&section->places, behind->pool, 4,
                           sizeof(ngx_http_flux_behind_place_t))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        for (i = 0; i < behind->nrooms; i++) {

            for (k = 0; k < section->cursor->nrooms; k++) {

                if (behind->rooms[i].section == NULL
                    && section->cursor->rooms[k]
                       == ngx_http_flux_channel_hash(behind->channel,
                                                     behind->rooms[i].room))
                {
                    behind->rooms[i].section = section;
                    behind->rooms[i].state = NGX_HTTP_FLUX_RESUMED;
                    behind->rooms[i].reset = NGX_HTTP_FLUX_RESET_NONE;
                    break;
                }
            }
        }
    }

    return NGX_OK;
}


void
ngx_http_flux_behind_only(ngx_http_flux_behind_t *behind,
    ngx_http_flux_channel_t *channel)
{
    ngx_uint_t  i, k;

    for (i = 0; i < behind->nrooms; i++) {

        for (k = 0; k < channel->nrooms; k++) {
            if (channel->links[k].room == behind->rooms[i].room) {
                break;
            }
        }

        if (k == channel->nrooms) {
            ngx_http_flux_behind_begin_anew(&behind->rooms[i],
                                            NGX_HTTP_FLUX_RESET_NONE);
        }
    }
}


void
ngx_http_flux_behind_reset(ngx_http_flux_behind_t *behind,
    ngx_http_flux_feed_t *feed)
{
    ngx_uint_t  i;

    for (i = 0; i < behind->nrooms; i++) {
        if (behind->rooms[i].room->feed == feed) {
            ngx_http_flux_behind_begin_anew(&behind->rooms[i],
                                            NGX_HTTP_FLUX_RESET_RECREATED);
        }
    }

    behind->newcomer = 0;
}


void
ngx_http_flux_behind_begin_anew(ngx_http_flux_behind_room_t *room,
    ngx_http_flux_reset_t reset)
{
    room->state = NGX_HTTP_FLUX_NEW;
    room->section = NULL;
    room->next = 0;
    room->last = 0;
    room->reset = reset;
}


/* --- places -------------------------------------------------------------- */

/* A section that no room is in. */

static ngx_http_flux_behind_section_t *
ngx_http_flux_behind_spare(ngx_http_flux_behind_t *behind)
{
    ngx_uint_t  i, s;

    for (s = 0; s < behind->nsections; s++) {

        for (i = 0; i < behind->nrooms; i++) {
            if (behind->rooms[i].section == &behind->sections[s]) {
                break;
            }
        }

        if (i == behind->nrooms) {
            return &behind->sections[s];
        }
    }

    return s < FLUX_CURSOR_SECTIONS ? &behind->sections[behind->nsections++]
                                    : NULL;
}


ngx_http_flux_behind_section_t *
ngx_http_flux_behind_here(ngx_http_flux_behind_t *behind)
{
    ngx_http_flux_behind_section_t  *section;

    section = ngx_http_flux_behind_spare(behind);
    if (section == NULL) {
        return NULL;
    }

    ngx_memzero(section, sizeof(ngx_http_flux_behind_section_t));
    section->time = ngx_http_flux_channel_expired(behind->channel);
    section->told = ngx_http_flux_hub.ordinal;

    if (ngx_array_init(&section->places, behind->pool, 4,
                       sizeof(ngx_http_flux_behind_place_t))
        != NGX_OK)
    {
        return NULL;
    }

    return ngx_http_flux_behind_places(behind, section) == NGX_OK ? section
                                                                  : NULL;
}


ngx_int_t
ngx_http_flux_behind_places(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section)
{
    ngx_uint_t                     f, i;
    ngx_http_flux_positions_t     *positions;
    ngx_http_flux_behind_place_t  *place;

    for (f = 0; f < behind->channel->nfeeds; f++) {
        positions = &ngx_http_flux_hub.positions[
                                          behind->channel->feeds[f]->index];

        for (i = 0; i < positions->n; i++) {

            place = ngx_array_push(&section->places);
            if (place == NULL) {
                return NGX_ERROR;
            }

            place->layer = behind->channel->layers[f];
            place->id = positions->ids[i];
            place->fingerprint = positions->places[i].fingerprint;
            place->partition = positions->places[i].partition;
            place->offset = positions->places[i].offset;
            place->check = positions->places[i].check;
            place->given = place->offset;
            place->given_check = place->check;
            place->verified = 0;
        }
    }

    section->placed = 1;

    return NGX_OK;
}


ngx_http_flux_behind_place_t *
ngx_http_flux_behind_place(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, uint32_t partition)
{
    ngx_uint_t                     i;
    flux_partition_t              *p;
    ngx_http_flux_behind_place_t  *place = room->section->places.elts;

    for (i = 0; i < room->section->places.nelts; i++) {
        if (place[i].id == partition) {
            return &place[i];
        }
    }

    /* added since */

    place = ngx_array_push(&room->section->places);
    if (place == NULL) {
        return NULL;
    }

    p = &ngx_http_flux_hub.zone->log.partitions[partition];

    ngx_memzero(place, sizeof(ngx_http_flux_behind_place_t));
    place->layer = ngx_http_flux_channel_layer(behind->channel,
                                               room->room->feed);
    place->id = partition;
    place->fingerprint = p->fingerprint;
    place->partition = p->number;
    place->offset = p->start;
    place->given = p->start;

    return place;
}


ngx_uint_t
ngx_http_flux_behind_missed(ngx_http_flux_behind_room_t *room,
    ngx_http_flux_behind_place_t *place, flux_entry_t *entry)
{
    if (entry->kind == FLUX_ENTRY_EXPIRE) {
        return entry->ts > room->section->time
               && entry->ordinal > room->section->told
               && !ngx_http_flux_behind_renewed(room, entry);
    }

    return entry->offset >= place->offset;
}


/*
 * At another node a cursor's time is a little older than what its reader was
 * told, so an expired key may have come back in between: then it is not ended
 * again.
 */

static ngx_uint_t
ngx_http_flux_behind_renewed(ngx_http_flux_behind_room_t *room,
    flux_entry_t *entry)
{
    uint32_t                       node;
    ngx_uint_t                     i;
    flux_log_t                    *log = &ngx_http_flux_hub.zone->log;
    flux_entry_t                  *oldest;
    ngx_http_flux_behind_place_t  *place = room->section->places.elts;

    node = flux_log_find_key(log, room->room->feed->slot, room->room->node,
                             flux_log_message(entry)
                             + flux_message_key_at(entry->address_length),
                             entry->key_length);

    if (node == FLUX_NONE
        || flux_log_key(log, node)->room != room->room->node)
    {
        return 0;
    }

    oldest = flux_log_entry(log, flux_log_key(log, node)->oldest);

    for (i = 0; i < room->section->places.nelts; i++) {
        if (place[i].id == oldest->partition) {
            return oldest->offset < place[i].offset;
        }
    }

    return 0;
}


void
ngx_http_flux_behind_told(ngx_http_flux_behind_t *behind, uint64_t ordinal)
{
    ngx_uint_t  s;

    for (s = 0; s < behind->nsections; s++) {
        behind->sections[s].told = ngx_max(behind->sections[s].told, ordinal);
    }
}


/* --- the cursor ---------------------------------------------------------- */

ngx_int_t
ngx_http_flux_behind_advance(ngx_http_flux_behind_t *behind, ngx_str_t *text)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, s, layer;
    ngx_pool_t                    *pool;
    flux_cursor_t                  cursor;
    ngx_http_flux_behind_place_t  *place;

    pool = ngx_create_pool(1024, ngx_http_flux_hub.log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_OK;
    cursor.time = 0;
    cursor.log = ngx_http_flux_hub.zone->log.header->id;
    cursor.told = 0;
    cursor.nsections = 0;

    for (s = 0; s < behind->nsections; s++) {

        place = behind->sections[s].places.elts;

        for (i = 0; i < behind->sections[s].places.nelts; i++) {
            place[i].offset = place[i].given;
            place[i].check = place[i].given_check;
        }

        for (layer = 0; layer < behind->channel->nlayers; layer++) {
            if (ngx_http_flux_behind_section(behind, &behind->sections[s],
                                             layer, pool, &cursor)
                != NGX_OK)
            {
                rc = NGX_ERROR;
            }
        }
    }

    if (ngx_http_flux_channel_told(behind->channel, cursor.time) == 0) {
        cursor.told = 0;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_flux_cursor_text(&cursor, text);
    }

    ngx_destroy_pool(pool);

    return rc;
}


/* Adds what the section has of a layer. */

static ngx_int_t
ngx_http_flux_behind_section(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section, ngx_uint_t layer,
    ngx_pool_t *pool, flux_cursor_t *cursor)
{
    uint32_t                      *rooms;
    ngx_uint_t                     i, n, k;
    flux_cursor_place_t           *places;
    ngx_http_flux_behind_place_t  *place = section->places.elts;

    rooms = ngx_palloc(pool, behind->nrooms * sizeof(uint32_t));
    places = ngx_palloc(pool, (section->places.nelts + 1)
                              * sizeof(flux_cursor_place_t));

    if (rooms == NULL || places == NULL) {
        return NGX_ERROR;
    }

    for (i = 0, n = 0; i < behind->nrooms; i++) {
        if (behind->rooms[i].section == section
            && ngx_http_flux_channel_layer(behind->channel,
                                           behind->rooms[i].room->feed)
               == layer)
        {
            rooms[n++] = ngx_http_flux_channel_hash(behind->channel,
                                                    behind->rooms[i].room);
        }
    }

    /* rooms for which there is no section left begin anew */

    if (n == 0 || cursor->nsections == FLUX_CURSOR_SECTIONS) {
        return NGX_OK;
    }

    for (i = 0, k = 0; i < section->places.nelts; i++) {

        if (place[i].layer != layer) {
            continue;
        }

        places[k].fingerprint = place[i].fingerprint;
        places[k].partition = place[i].partition;
        places[k].offset = place[i].offset;
        places[k++].check = place[i].check;
    }

    cursor->sections[cursor->nsections].rooms = rooms;
    cursor->sections[cursor->nsections].nrooms = n;
    cursor->sections[cursor->nsections].places = places;
    cursor->sections[cursor->nsections++].nplaces = k;

    /* what all sections know */

    if (cursor->nsections == 1) {
        cursor->time = section->time;
        cursor->told = section->told;

    } else {
        cursor->time = ngx_min(cursor->time, section->time);
        cursor->told = ngx_min(cursor->told, section->told);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_flux_behind_text(ngx_http_flux_behind_t *behind, ngx_str_t *cursor)
{
    if (!behind->judged) {
        *cursor = behind->text;

        if (behind->nsections == 0) {
            /* it could not be read: whatever it is, it is no cursor */
            cursor->len = 0;
        }

        return NGX_OK;
    }

    return ngx_http_flux_behind_advance(behind, cursor);
}
