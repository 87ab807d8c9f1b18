/*
 * Partitions that this node has not read yet.  A cluster, or a partition's
 * leader, may be away while nginx starts: what the cursor says of it stays as
 * it is until it can be held against the log.
 */

#include "ngx_http_flux_behind.h"


/* 1: a partition waits to be placed.  A cursor may have a thousand places. */

static ngx_uint_t
ngx_http_flux_behind_some_unread(void)
{
    uint32_t     id;
    flux_log_t  *log = &ngx_http_flux_hub.zone->log;

    for (id = 0; id < log->header->npartitions; id++) {
        if (log->partitions[id].feed != FLUX_NONE
            && log->partitions[id].start < 0)
        {
            return 1;
        }
    }

    return 0;
}


/* The feed that a place may be of; some: of one of the partitions that wait. */

static ngx_http_flux_feed_t *
ngx_http_flux_behind_unread_feed(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section, uint32_t fingerprint,
    uint32_t number, ngx_uint_t some)
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

        for (id = 0; some && id < log->header->npartitions; id++) {
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


ngx_int_t
ngx_http_flux_behind_keep_unread(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section)
{
    size_t                         k;
    ngx_uint_t                     i, some, n = section->places.nelts;
    ngx_http_flux_feed_t          *feed;
    const flux_cursor_place_t     *known;
    ngx_http_flux_behind_place_t  *place;

    some = ngx_http_flux_behind_some_unread();

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
                                                        known->partition,
                                                        some);
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
        place->verified = 0;
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


void
ngx_http_flux_behind_resolve(ngx_http_flux_behind_t *behind,
    ngx_http_flux_behind_section_t *section)
{
    ngx_uint_t                     i, some;
    ngx_http_flux_behind_place_t  *place = section->places.elts;

    if (section->unread == 0) {
        return;
    }

    some = ngx_http_flux_behind_some_unread();

    section->unread = 0;

    for (i = 0; i < section->places.nelts; i++) {

        if (place[i].id != FLUX_NONE) {
            continue;
        }

        place[i].id = ngx_http_flux_behind_id(behind, &place[i]);

        if (place[i].id == FLUX_NONE
            && ngx_http_flux_behind_unread_feed(behind, section,
                                                place[i].fingerprint,
                                                place[i].partition, some)
               != NULL)
        {
            section->unread++;
        }
    }
}
