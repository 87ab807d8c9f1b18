#include "ngx_http_flux_hub.h"


static ngx_uint_t ngx_http_flux_positions_collect(ngx_http_flux_feed_t *feed,
    ngx_uint_t how, uint64_t since, flux_cursor_place_t *places,
    uint32_t *ids);
static void ngx_http_flux_positions_jump(flux_partition_t *partition,
    flux_cursor_place_t *place);
static ngx_uint_t ngx_http_flux_positions_before_gap(
    flux_partition_t *partition, flux_cursor_place_t *place);
static int64_t ngx_http_flux_positions_down(uint32_t id);
static void ngx_http_flux_positions_feed(ngx_http_flux_feed_t *feed,
    ngx_http_flux_positions_t *positions);
static void ngx_http_flux_positions_expired(ngx_http_flux_feed_t *feed,
    ngx_http_flux_positions_t *positions);
static void ngx_http_flux_positions_sort(flux_cursor_place_t *places,
    uint32_t *ids, ngx_uint_t n);


ngx_int_t
ngx_http_flux_positions_update(ngx_http_flux_feed_t *feed, ngx_uint_t how,
    uint64_t since)
{
    int64_t                    *down;
    uint32_t                   *ids;
    ngx_int_t                   rc;
    ngx_uint_t                  i, n, locked;
    ngx_http_flux_hub_t        *hub = &ngx_http_flux_hub;
    flux_cursor_place_t        *places;
    ngx_http_flux_positions_t  *positions = &hub->positions[feed->index];

    locked = ngx_http_flux_hub_lock();

    rc = NGX_ERROR;

    n = ngx_http_flux_positions_collect(feed, how, since, NULL, NULL);
    ids = ngx_alloc((n + 1) * sizeof(uint32_t), hub->log);
    places = ngx_alloc((n + 1) * sizeof(flux_cursor_place_t), hub->log);

    down = ngx_alloc((n + 1) * sizeof(int64_t), hub->log);

    if (ids != NULL && places != NULL && down != NULL) {

        (void) ngx_http_flux_positions_collect(feed, how, since, places, ids);

        for (i = 0; i < positions->n; i++) {
            hub->place_of[positions->ids[i]] = FLUX_NONE;
        }

        ngx_http_flux_positions_sort(places, ids, n);

        for (i = 0; i < n; i++) {
            hub->place_of[ids[i]] = i;
            down[i] = ngx_http_flux_positions_down(ids[i]);
        }

        ngx_http_flux_positions_feed(feed, positions);

        if (how == NGX_HTTP_FLUX_POSITIONS_START) {
            ngx_http_flux_positions_expired(feed, positions);
        }

        ngx_free(positions->ids);
        ngx_free(positions->places);
        ngx_free(positions->down);
        positions->down = down;
        positions->ids = ids;
        positions->places = places;
        positions->n = n;
        rc = NGX_OK;

    } else {
        ngx_free(ids);
        ngx_free(places);
        ngx_free(down);
    }

    ngx_http_flux_hub_unlock(locked);

    return rc;
}


/* Since when a partition cannot be read, 0: it can. */

static int64_t
ngx_http_flux_positions_down(uint32_t id)
{
    flux_partition_t  *partition;

    partition = &ngx_http_flux_hub.zone->log.partitions[id];

    return partition->down ? ngx_max(partition->down_since, 1) : 0;
}


/* What holds for the feed as a whole. */

static void
ngx_http_flux_positions_feed(ngx_http_flux_feed_t *feed,
    ngx_http_flux_positions_t *positions)
{
    uint32_t              id;
    int64_t               since = 0;
    flux_log_t           *log = &ngx_http_flux_hub.zone->log;
    ngx_uint_t            up = 0;
    flux_partition_t     *partition;

    ngx_http_flux_cluster_state_t  *cluster;

    positions->all_down = 0;
    positions->some_down = 0;

    if (feed->slot == FLUX_NONE) {
        return;
    }

    positions->ready_since = log->header->feeds[feed->slot].ready
                             ? log->header->feeds[feed->slot].ready_since : 0;

    for (id = 0; id < log->header->npartitions; id++) {

        partition = &log->partitions[id];

        if (partition->feed != feed->slot) {
            continue;
        }

        if (!partition->down) {
            up++;

        } else if (since == 0 || partition->down_since < since) {
            since = partition->down_since;
        }
    }

    cluster = &ngx_http_flux_hub.zone->shared->clusters[feed->cluster->index];

    if (up == 0 && since == 0 && !cluster->up && cluster->error[0]) {
        /* nothing was ever heard of its partitions */
        since = cluster->down_since;
    }

    positions->some_down = since;

    if (up == 0) {
        positions->all_down = since;
    }
}


/* At the head; from there on the log says, entry by entry. */

static void
ngx_http_flux_positions_expired(ngx_http_flux_feed_t *feed,
    ngx_http_flux_positions_t *positions)
{
    flux_feed_t          *state;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    if (feed->slot == FLUX_NONE) {
        return;
    }

    state = &hub->zone->log.header->feeds[feed->slot];

    positions->expired = state->expired;
    positions->newest_expire = state->newest_expire;
    positions->told = hub->ordinal;
}


/*
 * Retention has passed what comes behind the last entry: whoever joins from
 * now on stands behind the gap, and has lost nothing.
 */

static void
ngx_http_flux_positions_jump(flux_partition_t *partition,
    flux_cursor_place_t *place)
{
    if (ngx_http_flux_positions_before_gap(partition, place)) {
        place->offset = partition->whole;
        place->check = 0;
    }
}


static ngx_uint_t
ngx_http_flux_positions_before_gap(flux_partition_t *partition,
    flux_cursor_place_t *place)
{
    return place->offset < partition->whole
           && place->offset > partition->last;
}


ngx_uint_t
ngx_http_flux_positions_lost(ngx_http_flux_feed_t *feed)
{
    ngx_uint_t                  i;
    ngx_http_flux_hub_t        *hub = &ngx_http_flux_hub;
    ngx_http_flux_positions_t  *positions = &hub->positions[feed->index];

    for (i = 0; i < positions->n; i++) {
        if (ngx_http_flux_positions_before_gap(
                &hub->zone->log.partitions[positions->ids[i]],
                &positions->places[i]))
        {
            return 1;
        }
    }

    return 0;
}


/* Counts the feed's partitions and, given the arrays, says where each is. */

static ngx_uint_t
ngx_http_flux_positions_collect(ngx_http_flux_feed_t *feed, ngx_uint_t how,
    uint64_t since, flux_cursor_place_t *places, uint32_t *ids)
{
    uint32_t                    id, old;
    ngx_uint_t                  n = 0;
    flux_partition_t           *partition;
    ngx_http_flux_hub_t        *hub = &ngx_http_flux_hub;
    flux_log_t                 *log = &hub->zone->log;
    ngx_http_flux_positions_t  *positions = &hub->positions[feed->index];

    if (feed->slot == FLUX_NONE) {
        return 0;
    }

    for (id = 0; id < log->header->npartitions; id++) {

        partition = &log->partitions[id];

        if (partition->feed != feed->slot || partition->start < 0) {
            /* another feed's, or not placed yet: nobody has a place in it */
            continue;
        }

        if (places == NULL) {
            n++;
            continue;
        }

        old = hub->place_of[id];

        if (old != FLUX_NONE
            && (old >= positions->n || positions->ids[old] != id))
        {
            /* it was another feed's, which is gone */
            old = FLUX_NONE;
        }

        if (how == NGX_HTTP_FLUX_POSITIONS_START) {
            places[n].offset = partition->last >= 0 ? partition->last + 1
                                                    : partition->next;
            places[n].check = partition->last >= 0 ? partition->check : 0;
            ngx_http_flux_positions_jump(partition, &places[n]);

        } else if (old == FLUX_NONE
                   || (how == NGX_HTTP_FLUX_POSITIONS_RESET
                       && partition->created >= since))
        {
            places[n].offset = partition->start;
            places[n].check = 0;

        } else {
            places[n] = positions->places[old];
            ngx_http_flux_positions_jump(partition, &places[n]);
        }

        places[n].fingerprint = partition->fingerprint;
        places[n].partition = partition->number;
        ids[n++] = id;
    }

    return n;
}


/* By insertion: they come nearly in this order. */

static void
ngx_http_flux_positions_sort(flux_cursor_place_t *places, uint32_t *ids,
    ngx_uint_t n)
{
    uint32_t             id;
    ngx_uint_t           i, k;
    flux_cursor_place_t  place;

    for (i = 1; i < n; i++) {
        id = ids[i];
        place = places[i];

        for (k = i; k > 0; k--) {

            if (places[k - 1].fingerprint < place.fingerprint
                || (places[k - 1].fingerprint == place.fingerprint
                    && places[k - 1].partition < place.partition))
            {
                break;
            }

            places[k] = places[k - 1];
            ids[k] = ids[k - 1];
        }

        places[k] = place;
        ids[k] = id;
    }
}
