#include "ngx_http_flux_behind.h"


/*
 * A cursor that stays ahead of the broker's high watermark for so long is of
 * another topic: the watermark is renewed by each fetch, twice a second.
 */
#define NGX_HTTP_FLUX_AHEAD_TIME  1500


static ngx_int_t ngx_http_flux_behind_decode(ngx_http_flux_behind_t *behind,
    ngx_str_t *text, ngx_http_flux_reset_t *reset);
static ngx_int_t ngx_http_flux_behind_place_section(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_section_t *section);
static ngx_int_t ngx_http_flux_behind_keep_unread(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_section_t *section);
static void ngx_http_flux_behind_resolve(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section);
static ngx_uint_t ngx_http_flux_behind_belongs(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_section_t *section);
static ngx_uint_t ngx_http_flux_behind_renewed(
    ngx_http_flux_behind_room_t *room, flux_entry_t *entry);
static void ngx_http_flux_behind_judge_room(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room);
static ngx_int_t ngx_http_flux_behind_section(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section, ngx_uint_t layer,
    ngx_pool_t *pool, flux_cursor_t *cursor);
static void ngx_http_flux_behind_begin_anew(ngx_http_flux_behind_room_t *room,
    ngx_http_flux_reset_t reset);


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

        if (ngx_array_init(&section->places, behind->pool, 4,
                           sizeof(ngx_http_flux_behind_place_t))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        for (i = 0; i < behind->nrooms; i++) {

            for (k = 0; k < section->cursor->nrooms; k++) {

                if (behind->rooms[i].section == NULL
                    && section->cursor->rooms[k] == behind->rooms[i].room->hash)
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


static void
ngx_http_flux_behind_begin_anew(ngx_http_flux_behind_room_t *room,
    ngx_http_flux_reset_t reset)
{
    room->state = NGX_HTTP_FLUX_NEW;
    room->section = NULL;
    room->next = 0;
    room->last = 0;
    room->reset = reset;
}


/* --- places ---------------------------------------------------------------- */

/*
 * All partitions of the channel's feeds, each where the section says, or at
 * its start where it says nothing: then all of it is new to the reader.
 */

static ngx_int_t
ngx_http_flux_behind_place_section(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section)
{
    size_t                         k;
    ngx_uint_t                     f, i;
    ngx_http_flux_hub_t           *hub = &ngx_http_flux_hub;
    const flux_cursor_place_t     *known;
    ngx_http_flux_positions_t     *positions;
    ngx_http_flux_behind_place_t  *place;

    for (f = 0; f < behind->channel->nfeeds; f++) {
        positions = &hub->positions[behind->channel->feeds[f]->index];

        for (i = 0; i < positions->n; i++) {

            place = ngx_array_push(&section->places);
            if (place == NULL) {
                return NGX_ERROR;
            }

            place->layer = behind->channel->layers[f];
            place->id = positions->ids[i];
            place->fingerprint = positions->places[i].fingerprint;
            place->partition = positions->places[i].partition;
            place->offset = hub->zone->log.partitions[place->id].start;
            place->check = 0;

            for (k = 0; k < section->cursor->nplaces; k++) {
                known = &section->cursor->places[k];

                if (known->fingerprint == place->fingerprint
                    && known->partition == place->partition)
                {
                    place->offset = known->offset;
                    place->check = known->check;
                    break;
                }
            }

            place->given = place->offset;
            place->given_check = place->check;
        }
    }

    section->placed = 1;

    return ngx_http_flux_behind_keep_unread(behind, section);
}


/* --- partitions that this node has not read yet ----------------------------- */

/*
 * A cluster, or a partition's leader, may be away while nginx starts: what the
 * cursor says of it stays as it is until it can be held against the log.
 */

static ngx_http_flux_feed_t *
ngx_http_flux_behind_unread_feed(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section, uint32_t fingerprint,
    uint32_t number)
{
    uint32_t                  id;
    ngx_uint_t                f, i;
    flux_log_t               *log = &ngx_http_flux_hub.zone->log;
    flux_partition_t         *partition;
    ngx_http_flux_feed_t     *feed;
    ngx_http_flux_channel_t  *channel = behind->channel;

    for (f = 0; f < channel->nfeeds; f++) {
        feed = channel->feeds[f];

        if (ngx_http_flux_hub.positions[feed->index].n == 0) {

            /* nothing was heard of it: the place may be its own */

            for (i = 0; i < behind->nrooms; i++) {
                if (behind->rooms[i].section == section
                    && behind->rooms[i].room->feed == feed)
                {
                    return feed;
                }
            }
        }

        for (id = 0; id < log->header->npartitions; id++) {
            partition = &log->partitions[id];

            if (partition->feed == feed->slot && partition->start < 0
                && partition->fingerprint == fingerprint
                && partition->number == number)
            {
                return feed;
            }
        }
    }

    return NULL;
}


static int ngx_libc_cdecl
ngx_http_flux_behind_compare_places(const void *one, const void *two)
{
    const ngx_http_flux_behind_place_t  *a = one, *b = two;

    if (a->layer != b->layer) {
        return a->layer < b->layer ? -1 : 1;
    }

    if (a->fingerprint != b->fingerprint) {
        return a->fingerprint < b->fingerprint ? -1 : 1;
    }

    return (a->partition > b->partition) - (a->partition < b->partition);
}


static ngx_int_t
ngx_http_flux_behind_keep_unread(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section)
{
    size_t                         k;
    ngx_uint_t                     i, n = section->places.nelts;
    ngx_http_flux_feed_t          *feed;
    const flux_cursor_place_t     *known;
    ngx_http_flux_behind_place_t  *place;

    for (k = 0; k < section->cursor->nplaces; k++) {

        known = &section->cursor->places[k];
        place = section->places.elts;

        for (i = 0; i < n; i++) {
            if (known->fingerprint == place[i].fingerprint
                && known->partition == place[i].partition)
            {
                break;
            }
        }

        feed = i < n ? NULL
                     : ngx_http_flux_behind_unread_feed(behind, section,
                                                        known->fingerprint,
                                                        known->partition);
        if (feed == NULL) {
            continue;
        }

        place = ngx_array_push(&section->places);
        if (place == NULL) {
            return NGX_ERROR;
        }

        place->layer = ngx_http_flux_channel_layer(behind->channel, feed);
        place->id = FLUX_NONE;
        place->fingerprint = known->fingerprint;
        place->partition = known->partition;
        place->offset = known->offset;
        place->check = known->check;
        place->given = known->offset;
        place->given_check = known->check;
        section->unread++;
    }

    if (section->unread) {
        /* as cursors want them */
        qsort(section->places.elts, section->places.nelts,
              sizeof(ngx_http_flux_behind_place_t),
              ngx_http_flux_behind_compare_places);
    }

    return NGX_OK;
}


static uint32_t
ngx_http_flux_behind_id(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_place_t *place)
{
    ngx_uint_t                  f, i;
    ngx_http_flux_positions_t  *positions;

    for (f = 0; f < behind->channel->nfeeds; f++) {

        if (behind->channel->layers[f] != place->layer) {
            continue;
        }

        positions = &ngx_http_flux_hub.positions[
                                          behind->channel->feeds[f]->index];

        for (i = 0; i < positions->n; i++) {
            if (positions->places[i].fingerprint == place->fingerprint
                && positions->places[i].partition == place->partition)
            {
                return positions->ids[i];
            }
        }
    }

    return FLUX_NONE;
}


static void
ngx_http_flux_behind_resolve(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section)
{
    ngx_uint_t                     i;
    ngx_http_flux_behind_place_t  *place = section->places.elts;

    if (section->unread == 0) {
        return;
    }

    section->unread = 0;

    for (i = 0; i < section->places.nelts; i++) {

        if (place[i].id != FLUX_NONE) {
            continue;
        }

        place[i].id = ngx_http_flux_behind_id(behind, &place[i]);

        if (place[i].id == FLUX_NONE
            && ngx_http_flux_behind_unread_feed(behind, section,
                                                place[i].fingerprint,
                                                place[i].partition)
               != NULL)
        {
            section->unread++;
        }
    }
}


/* Is a topic of these feeds in the section? */

static ngx_uint_t
ngx_http_flux_behind_belongs(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section)
{
    size_t                      k;
    ngx_uint_t                  f, i;
    ngx_http_flux_hub_t        *hub = &ngx_http_flux_hub;
    ngx_http_flux_positions_t  *positions;

    if (section->cursor == NULL || section->cursor->nplaces == 0) {
        return 1;
    }

    for (f = 0; f < behind->channel->nfeeds; f++) {
        positions = &hub->positions[behind->channel->feeds[f]->index];

        for (i = 0; i < positions->n; i++) {
            for (k = 0; k < section->cursor->nplaces; k++) {
                if (section->cursor->places[k].fingerprint
                    == positions->places[i].fingerprint)
                {
                    return 1;
                }
            }
        }
    }

    return 0;
}


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
    ngx_uint_t                       f, i;
    ngx_http_flux_hub_t             *hub = &ngx_http_flux_hub;
    ngx_http_flux_positions_t       *positions;
    ngx_http_flux_behind_place_t    *place;
    ngx_http_flux_behind_section_t  *section;

    section = ngx_http_flux_behind_spare(behind);
    if (section == NULL) {
        return NULL;
    }

    ngx_memzero(section, sizeof(ngx_http_flux_behind_section_t));
    section->time = ngx_http_flux_channel_expired(behind->channel);

    if (ngx_array_init(&section->places, behind->pool, 4,
                       sizeof(ngx_http_flux_behind_place_t))
        != NGX_OK)
    {
        return NULL;
    }

    for (f = 0; f < behind->channel->nfeeds; f++) {
        positions = &hub->positions[behind->channel->feeds[f]->index];

        for (i = 0; i < positions->n; i++) {

            place = ngx_array_push(&section->places);
            if (place == NULL) {
                return NULL;
            }

            place->layer = behind->channel->layers[f];
            place->id = positions->ids[i];
            place->fingerprint = positions->places[i].fingerprint;
            place->partition = positions->places[i].partition;
            place->offset = positions->places[i].offset;
            place->check = positions->places[i].check;
            place->given = place->offset;
            place->given_check = place->check;
        }
    }

    section->placed = 1;

    return section;
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
               && !ngx_http_flux_behind_renewed(room, entry);
    }

    return entry->offset >= place->offset;
}


/*
 * A cursor's time is a little older than what its reader was told, so an
 * expired key may have come back in between: then it is not ended again.
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


/* --- judgement ------------------------------------------------------------- */

ngx_int_t
ngx_http_flux_behind_judge(ngx_http_flux_behind_t *behind)
{
    ngx_uint_t                    i, s, known, belongs;
    ngx_http_flux_hub_t          *hub = &ngx_http_flux_hub;
    ngx_http_flux_behind_room_t  *room;

    for (i = 0; i < behind->nrooms; i++) {
        ngx_http_flux_room_bind(behind->rooms[i].room);
    }

    known = 0;
    belongs = 0;

    for (i = 0; i < behind->channel->nfeeds; i++) {
        known += hub->positions[behind->channel->feeds[i]->index].n;
    }

    for (s = 0; s < behind->nsections; s++) {

        if (!behind->judged
            && behind->sections[s].cursor->nplaces && known == 0)
        {
            /* nothing was heard of the cluster yet: who could tell? */
            return NGX_BUSY;
        }

        if (!behind->sections[s].placed
            && ngx_http_flux_behind_place_section(behind, &behind->sections[s])
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_http_flux_behind_resolve(behind, &behind->sections[s]);

        belongs |= behind->sections[s].unread
                   || ngx_http_flux_behind_belongs(behind,
                                                   &behind->sections[s]);
    }

    /* a place that was ahead could not be held against the log before */

    behind->verify = !behind->judged || behind->ahead;
    behind->ahead = 0;
    behind->newcomer = !behind->judged;

    for (i = 0; i < behind->nrooms; i++) {
        room = &behind->rooms[i];

        if (room->state == NGX_HTTP_FLUX_RESUMED) {
            ngx_http_flux_behind_judge_room(behind, room);

        } else if (behind->nsections && !belongs && !behind->judged) {
            room->reset = NGX_HTTP_FLUX_RESET_FOREIGN;
        }

        if (room->state != NGX_HTTP_FLUX_NEW
            || room->reset != NGX_HTTP_FLUX_RESET_NONE)
        {
            behind->newcomer = 0;
        }
    }

    if (!behind->judged) {
        behind->judged = 1;
        behind->exact_until = hub->ordinal;
    }

    return NGX_OK;
}


static void
ngx_http_flux_behind_judge_room(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room)
{
    uint16_t                       check;
    uint32_t                       node = room->room->node;
    ngx_uint_t                     i;
    flux_log_t                    *log = &ngx_http_flux_hub.zone->log;
    flux_partition_t              *partition;
    ngx_http_flux_behind_place_t  *place = room->section->places.elts;

    if (room->section->unread) {

        /* not where the channel is, and the cursor keeps it */

        behind->ahead = 1;

        if (ngx_http_flux_hub.positions[room->room->feed->index].n == 0) {
            return;
        }
    }

    if (!ngx_http_flux_behind_belongs(behind, room->section)) {
        ngx_http_flux_behind_begin_anew(room, NGX_HTTP_FLUX_RESET_FOREIGN);
        return;
    }

    for (i = 0; i < room->section->places.nelts; i++) {

        if (place[i].id == FLUX_NONE) {
            continue;
        }

        partition = &log->partitions[place[i].id];

        if (partition->feed != room->room->feed->slot) {
            continue;
        }

        if (place[i].offset > partition->next) {

            behind->ahead = 1;

            if (partition->high_watermark >= 0
                && place[i].offset > partition->high_watermark
                && ngx_current_msec - behind->since > NGX_HTTP_FLUX_AHEAD_TIME)
            {
                goto recreated;
            }

            continue;
        }

        if (place[i].check && behind->verify) {
            check = flux_log_check(log, place[i].id, place[i].offset);

            if (check && check != place[i].check) {
                goto recreated;
            }
        }

        if (flux_log_whole(log, node, place[i].id, place[i].offset)) {
            continue;
        }

        /*
         * Too far back for each record.  A reader that was only slow can do
         * with the newest of each key, if no delete has been lost.
         */

        if (!behind->exact && node != FLUX_NONE
            && flux_log_room(log, node)->lost_delete == 0
            && place[i].offset >= partition->whole)
        {
            behind->conflate = 1;
            continue;
        }

        ngx_http_flux_behind_begin_anew(room, NGX_HTTP_FLUX_RESET_EXPIRED);
        return;
    }

    if (room->room->feed->expire
        && (room->section->time
            < log->header->feeds[room->room->feed->slot].lost_expire
            || (node != FLUX_NONE
                && room->section->time
                   < flux_log_room(log, node)->lost_expire)))
    {
        ngx_http_flux_behind_begin_anew(room, NGX_HTTP_FLUX_RESET_NONE);
    }

    return;

recreated:

    ngx_http_flux_behind_begin_anew(room, NGX_HTTP_FLUX_RESET_RECREATED);
}


/* --- the cursor ------------------------------------------------------------ */

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
            rooms[n++] = behind->rooms[i].room->hash;
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

    if (cursor->time == 0 || section->time < cursor->time) {
        cursor->time = section->time;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_flux_behind_text(ngx_http_flux_behind_t *behind, ngx_str_t *cursor)
{
    if (!behind->judged) {
        *cursor = behind->text;
        return NGX_OK;
    }

    return ngx_http_flux_behind_advance(behind, cursor);
}
