/*
 * Which rooms can go on from their cursor, and which begin anew.
 */

#include "ngx_http_flux_behind.h"


/*
 * A cursor that stays ahead of the broker's high watermark for so long is of
 * another topic: the watermark is renewed by each fetch, twice a second.
 */
#define NGX_HTTP_FLUX_AHEAD_TIME  1500


static ngx_int_t ngx_http_flux_behind_judge_sections(
    ngx_http_flux_behind_t *behind, ngx_uint_t *belongs);
static void ngx_http_flux_behind_judge_room(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room);
static ngx_http_flux_reset_t ngx_http_flux_behind_judge_place(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_room_t *room,
    ngx_http_flux_behind_place_t *place);
static ngx_int_t ngx_http_flux_behind_place_section(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_section_t *section);
static ngx_uint_t ngx_http_flux_behind_belongs(
    ngx_http_flux_behind_t *behind, ngx_http_flux_behind_section_t *section);


ngx_int_t
ngx_http_flux_behind_judge(ngx_http_flux_behind_t *behind)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i, belongs;
    ngx_http_flux_behind_room_t  *room;

    for (i = 0; behind->nsections && i < behind->channel->nfeeds; i++) {
        if (behind->channel->feeds[i]->slot == FLUX_NONE) {
            /* a reload has begun, or has taken the feed: another can tell */
            return NGX_BUSY;
        }
    }

    for (i = 0; i < behind->nrooms; i++) {
        ngx_http_flux_room_bind(behind->rooms[i].room);
    }

    rc = ngx_http_flux_behind_judge_sections(behind, &belongs);

    if (rc != NGX_OK) {
        return rc;
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
        behind->exact_until = ngx_http_flux_hub.ordinal;
    }

    return NGX_OK;
}


/* *belongs: some of what the cursor speaks of is of these feeds. */

static ngx_int_t
ngx_http_flux_behind_judge_sections(ngx_http_flux_behind_t *behind,
    ngx_uint_t *belongs)
{
    ngx_uint_t            i, s, known;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    known = 0;
    *belongs = 0;

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

        behind->sections[s].belongs =
                   ngx_http_flux_behind_belongs(behind, &behind->sections[s]);

        *belongs |= behind->sections[s].unread || behind->sections[s].belongs;
    }

    return NGX_OK;
}


static void
ngx_http_flux_behind_judge_room(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room)
{
    uint32_t                       node = room->room->node;
    ngx_uint_t                     i;
    flux_log_t                    *log = &ngx_http_flux_hub.zone->log;
    ngx_http_flux_reset_t          reset;
    ngx_http_flux_behind_place_t  *place = room->section->places.elts;

    if (room->section->unread) {

        /* not where the channel is, and the cursor keeps it */

        behind->ahead = 1;

        if (ngx_http_flux_hub.positions[room->room->feed->index].n == 0) {
            return;
        }
    }

    if (!room->section->belongs) {
        ngx_http_flux_behind_begin_anew(room, NGX_HTTP_FLUX_RESET_FOREIGN);
        return;
    }

    for (i = 0; i < room->section->places.nelts; i++) {
        reset = ngx_http_flux_behind_judge_place(behind, room, &place[i]);

        if (reset != NGX_HTTP_FLUX_RESET_NONE) {
            ngx_http_flux_behind_begin_anew(room, reset);
            return;
        }
    }

    if (room->room->feed->expire
        && (room->section->time
            < log->header->feeds[room->room->feed->slot].lost_expire
            || (node != FLUX_NONE
                && room->section->time
                   < flux_log_lost(log, node)->expire
                && room->section->told < flux_log_lost(log, node)->del)))
    {
        ngx_http_flux_behind_begin_anew(room, NGX_HTTP_FLUX_RESET_NONE);
    }
}


static ngx_uint_t
ngx_http_flux_behind_hears(ngx_http_flux_feed_t *feed)
{
    return ngx_http_flux_hub.zone->shared->clusters[feed->cluster->index].up;
}


/* NONE: the room can go on from this place. */

static ngx_http_flux_reset_t
ngx_http_flux_behind_judge_place(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_room_t *room, ngx_http_flux_behind_place_t *place)
{
    uint16_t           check;
    uint32_t           node = room->room->node;
    flux_log_t        *log = &ngx_http_flux_hub.zone->log;
    flux_partition_t  *partition;

    if (place->id == FLUX_NONE) {
        return NGX_HTTP_FLUX_RESET_NONE;
    }

    partition = &log->partitions[place->id];

    if (partition->feed != room->room->feed->slot) {
        return NGX_HTTP_FLUX_RESET_NONE;
    }

    if (place->offset > partition->next) {

        behind->ahead = 1;

        /* where nothing is heard of the partition, nobody can tell */

        return partition->high_watermark >= 0
               && place->offset > partition->high_watermark
               && !partition->down
               && ngx_http_flux_behind_hears(room->room->feed)
               && ngx_current_msec - behind->since > NGX_HTTP_FLUX_AHEAD_TIME
               ? NGX_HTTP_FLUX_RESET_RECREATED : NGX_HTTP_FLUX_RESET_NONE;
    }

    if (place->check && behind->verify && !place->verified) {

        /* rooms share their section's places: once is enough */

        check = flux_log_check(log, place->id, place->offset);

        if (check && check != place->check) {
            return NGX_HTTP_FLUX_RESET_RECREATED;
        }

        place->verified = 1;
    }

    if (flux_log_whole(log, node, place->id, place->offset)) {
        return NGX_HTTP_FLUX_RESET_NONE;
    }

    /*
     * Too far back for each record.  A reader that was only slow can do with
     * the newest of each key, if no delete has been lost.
     */

    if (!behind->exact && node != FLUX_NONE
        && flux_log_lost(log, node)->del == 0
        && place->offset >= partition->whole)
    {
        behind->conflate = 1;
        return NGX_HTTP_FLUX_RESET_NONE;
    }

    return NGX_HTTP_FLUX_RESET_EXPIRED;
}


/*
 * All partitions of the channel's feeds, each where the section says, or at
 * its start where it says nothing: then all of it is new to the reader.
 */

static ngx_int_t
ngx_http_flux_behind_place_section(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section)
{
    size_t                         k;
    ngx_uint_t                     i;
    const flux_cursor_place_t     *known;
    ngx_http_flux_behind_place_t  *place;

    if (ngx_http_flux_behind_places(behind, section) != NGX_OK) {
        return NGX_ERROR;
    }

    place = section->places.elts;

    for (i = 0; i < section->places.nelts; i++) {

        place[i].offset = ngx_http_flux_hub.zone->log.partitions[place[i].id]
                              .start;
        place[i].check = 0;

        for (k = 0; k < section->cursor->nplaces; k++) {
            known = &section->cursor->places[k];

            if (known->fingerprint == place[i].fingerprint
                && known->partition == place[i].partition)
            {
                place[i].offset = known->offset;
                place[i].check = known->check;
                break;
            }
        }

        place[i].given = place[i].offset;
        place[i].given_check = place[i].check;
    }

    return ngx_http_flux_behind_keep_unread(behind, section);
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
