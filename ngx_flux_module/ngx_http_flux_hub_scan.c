/*
 * The hub reads the log: messages go to the channels of their rooms, changes
 * that no message tells to whom they concern.
 */

#include "ngx_http_flux_hub.h"
#include "ngx_http_flux_reader.h"


/* What a scan reads at the most before others get their turn. */
#define NGX_HTTP_FLUX_SCAN_ENTRIES  8192
#define NGX_HTTP_FLUX_SCAN_BYTES    (1024 * 1024)

/* As much as this is passed over where nobody reads anything. */
#define NGX_HTTP_FLUX_SCAN_IDLE     (64 * 1024)

/* One line of laps in so many ms. */
#define NGX_HTTP_FLUX_LAPS_SPAN     10000


static void ngx_http_flux_hub_restart(void);
static void ngx_http_flux_hub_entry(flux_entry_t *entry, uint64_t position);
static void ngx_http_flux_hub_bind(flux_entry_t *entry, uint64_t position);
static void ngx_http_flux_hub_place(flux_entry_t *entry);
static void ngx_http_flux_hub_expire(flux_entry_t *entry);
static void ngx_http_flux_hub_status(flux_entry_t *entry);
static void ngx_http_flux_hub_reset(ngx_http_flux_feed_t *feed);
static void ngx_http_flux_hub_fall_back(ngx_http_flux_feed_t *feed);
static void ngx_http_flux_hub_lost(void);
static void ngx_http_flux_hub_map_feeds(void);


ngx_int_t
ngx_http_flux_hub_start(void)
{
    ngx_int_t              rc = NGX_OK;
    ngx_uint_t             i, locked;
    ngx_http_flux_hub_t   *hub = &ngx_http_flux_hub;
    ngx_http_flux_feed_t **feeds = hub->fmcf->feeds.elts;

    locked = ngx_http_flux_hub_lock();

    /* a log that is being mended may say less than its head does */
    hub->asleep = hub->zone->log.header->dirty;

    hub->position = flux_log_head(&hub->zone->log);
    hub->ordinal = hub->zone->log.header->ordinal;

    ngx_http_flux_hub_map_feeds();

    for (i = 0; i < hub->fmcf->feeds.nelts; i++) {
        if (ngx_http_flux_positions_update(feeds[i],
                                           NGX_HTTP_FLUX_POSITIONS_START, 0)
            != NGX_OK)
        {
            rc = NGX_ERROR;
        }
    }

    if (rc != NGX_OK) {
        hub->asleep = 1;
    }

    ngx_http_flux_hub_unlock(locked);

    return rc;
}


ngx_int_t
ngx_http_flux_hub_awake(void)
{
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    /* where there are readers already, the next scan does more than this */

    return hub->asleep && ngx_queue_empty(&hub->all)
           ? ngx_http_flux_hub_start() : NGX_OK;
}


/* Under the lock. */

static void
ngx_http_flux_hub_map_feeds(void)
{
    uint32_t                slot;
    ngx_uint_t              i;
    ngx_http_flux_hub_t    *hub = &ngx_http_flux_hub;
    ngx_http_flux_feed_t  **feeds = hub->fmcf->feeds.elts;

    ngx_memzero(hub->by_slot, sizeof(hub->by_slot));

    for (i = 0; i < hub->fmcf->feeds.nelts; i++) {
        slot = flux_log_find_feed(&hub->zone->log, feeds[i]->signature);
        feeds[i]->slot = slot;

        if (slot != FLUX_NONE) {
            hub->by_slot[slot] = feeds[i];
        }
    }
}


void
ngx_http_flux_hub_scan(void)
{
    uint64_t              position, began;
    ngx_uint_t            n;
    flux_entry_t          entry;
    flux_status_t         rc;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    began = hub->position;

    if (ngx_queue_empty(&hub->all)) {

        hub->asleep |= flux_log_head(&hub->zone->log) - began
                       > NGX_HTTP_FLUX_SCAN_IDLE;

        if (hub->asleep) {
            hub->behind = 0;
            return;
        }

    } else if (hub->asleep) {
        ngx_http_flux_hub_restart();
        return;
    }

    for (n = 0; /* void */ ; n++) {

        position = hub->position;
        rc = flux_log_read(&hub->zone->log, &position, &entry);

        if (rc == FLUX_AGAIN) {
            hub->position = position;
            hub->behind = 0;
            return;
        }

        if (rc == FLUX_LOST) {
            ngx_http_flux_hub_lost();
            return;
        }

        if (!hub->locked
            && (n >= NGX_HTTP_FLUX_SCAN_ENTRIES
                || (n && position - began > NGX_HTTP_FLUX_SCAN_BYTES))
            && entry.kind != FLUX_ENTRY_LEAVE)
        {
            /* a LEAVE is of the record before it: no cursor in between */
            hub->behind = 1;
            return;
        }

        hub->position = position;

        if (!(entry.flags & FLUX_ENTRY_MOVED)) {
            hub->ordinal = entry.ordinal;
            ngx_http_flux_hub_entry(&entry, position - entry.size);
        }
    }
}


static void
ngx_http_flux_hub_entry(flux_entry_t *entry, uint64_t position)
{
    ngx_queue_t           *q;
    ngx_http_flux_hub_t   *hub = &ngx_http_flux_hub;
    ngx_http_flux_link_t  *link;
    ngx_http_flux_room_t  *room;

    if (entry->kind == FLUX_ENTRY_STATUS || entry->kind == FLUX_ENTRY_RESET) {
        ngx_http_flux_hub_status(entry);
        return;
    }

    if (entry->partition != FLUX_NONE) {
        ngx_http_flux_hub_place(entry);
    }

    if (entry->kind == FLUX_ENTRY_EXPIRE) {
        ngx_http_flux_hub_expire(entry);
    }

    if (entry->flags & FLUX_ENTRY_NEW_ROOM) {
        ngx_http_flux_hub_bind(entry, position);
    }

    room = hub->by_node[entry->room];

    if (room == NULL) {
        return;
    }

    if (entry->kind == FLUX_ENTRY_RECORD) {
        room->ts = ngx_max(room->ts, entry->ts);
        room->partition = entry->partition;

        if (room->state != NGX_HTTP_FLUX_LIVE) {
            hub->state_soon = 1;
        }
    }

    for (q = ngx_queue_head(&room->links);
         q != ngx_queue_sentinel(&room->links);
         q = ngx_queue_next(q))
    {
        link = ngx_queue_data(q, ngx_http_flux_link_t, queue);
        ngx_http_flux_channel_add(link->channel, entry, position);
    }
}


/* The hub has read the partition up to behind this entry. */

static void
ngx_http_flux_hub_place(flux_entry_t *entry)
{
    int64_t                     whole;
    uint32_t                    i;
    ngx_http_flux_hub_t        *hub = &ngx_http_flux_hub;
    flux_cursor_place_t        *place;
    ngx_http_flux_feed_t       *feed = hub->by_slot[entry->feed];
    ngx_http_flux_positions_t  *positions;

    if (feed == NULL) {
        /* of another nginx.conf */
        return;
    }

    if (hub->place_of[entry->partition] == FLUX_NONE) {

        if (hub->zone->log.partitions[entry->partition].start < 0) {
            /* from the cache: it is in no cursor */
            return;
        }

        (void) ngx_http_flux_positions_update(feed,
                                              NGX_HTTP_FLUX_POSITIONS_NEW, 0);
    }

    positions = &hub->positions[feed->index];
    i = hub->place_of[entry->partition];

    if (i >= positions->n || positions->ids[i] != entry->partition) {
        return;
    }

    place = &positions->places[i];
    whole = hub->zone->log.partitions[entry->partition].whole;

    if (place->offset < whole && entry->offset >= whole) {
        /* retention was faster than this node: its readers are to be told */
        ngx_http_flux_hub_fall_back(feed);
    }

    place->offset = entry->offset + 1;
    place->check = entry->check;
}


/* The readers of its room are told of it before a sweep vouches for it. */

static void
ngx_http_flux_hub_expire(flux_entry_t *entry)
{
    ngx_http_flux_hub_t        *hub = &ngx_http_flux_hub;
    ngx_http_flux_feed_t       *feed = hub->by_slot[entry->feed];
    ngx_http_flux_positions_t  *positions;

    if (feed == NULL) {
        return;
    }

    positions = &hub->positions[feed->index];
    positions->told = entry->ordinal;
    positions->newest_expire = ngx_max(positions->newest_expire, entry->ts);
}


/* A room's first entry tells its node's number, maybe another's before. */

static void
ngx_http_flux_hub_bind(flux_entry_t *entry, uint64_t position)
{
    u_char                 address[255 + 1 + NGX_HTTP_FLUX_ROOM_MAX * 6];
    ngx_str_t              name;
    ngx_http_flux_hub_t   *hub = &ngx_http_flux_hub;
    ngx_http_flux_feed_t  *feed = hub->by_slot[entry->feed];
    ngx_http_flux_room_t  *room = hub->by_node[entry->room];

    if (room != NULL) {
        room->node = FLUX_NONE;
        hub->by_node[entry->room] = NULL;
    }

    if (feed == NULL || entry->address_length > sizeof(address)
        || flux_log_copy(&hub->zone->log, position, FLUX_MESSAGE_PREFIX,
                         address, entry->address_length)
           != FLUX_OK)
    {
        return;
    }

    name.data = address;
    name.len = entry->address_length;
    room = ngx_http_flux_room_find(&name);

    if (room == NULL) {
        return;
    }

    if (room->node != FLUX_NONE) {
        hub->by_node[room->node] = NULL;
    }

    room->node = entry->room;
    hub->by_node[room->node] = room;
}


/* --- changes that no message tells --------------------------------------- */

static void
ngx_http_flux_hub_status(flux_entry_t *entry)
{
    ngx_uint_t                locked;
    ngx_queue_t              *q;
    ngx_http_flux_hub_t      *hub = &ngx_http_flux_hub;
    ngx_http_flux_feed_t     *feed;
    ngx_http_flux_channel_t  *channel;

    locked = ngx_http_flux_hub_lock();
    ngx_http_flux_hub_map_feeds();
    feed = hub->by_slot[entry->feed];

    if (feed == NULL) {
        ngx_http_flux_hub_unlock(locked);
        return;
    }

    if (entry->kind == FLUX_ENTRY_RESET) {
        (void) ngx_http_flux_positions_update(feed,
                        NGX_HTTP_FLUX_POSITIONS_RESET,
                        hub->position - entry->size);
        ngx_http_flux_hub_unlock(locked);
        ngx_http_flux_hub_reset(feed);
        return;
    }

    if (ngx_http_flux_positions_lost(feed)) {
        /* retention was faster than this node: its readers are to be told */
        ngx_http_flux_hub_fall_back(feed);
    }

    (void) ngx_http_flux_positions_update(feed, NGX_HTTP_FLUX_POSITIONS_NEW,
                                          0);
    ngx_http_flux_hub_unlock(locked);

    if (entry->ts) {
        hub->positions[feed->index].expired = entry->ts;
    }

    /* a snapshot says whether its feed is complete */

    for (q = ngx_queue_head(&hub->all);
         q != ngx_queue_sentinel(&hub->all);
         q = ngx_queue_next(q))
    {
        channel = ngx_queue_data(q, ngx_http_flux_channel_t, all);

        if (ngx_http_flux_channel_has(channel, feed)) {
            ngx_http_flux_channel_forget(channel);
        }
    }

    hub->retry_soon = 1;
    hub->state_soon = 1;
}


/* The topic of a feed is another one: all its readers begin anew. */

static void
ngx_http_flux_hub_reset(ngx_http_flux_feed_t *feed)
{
    ngx_queue_t             *q;
    ngx_http_flux_hub_t     *hub = &ngx_http_flux_hub;
    ngx_http_flux_reader_t  *reader;

    ngx_http_flux_hub_fall_back(feed);

    for (q = ngx_queue_head(&hub->readers);
         q != ngx_queue_sentinel(&hub->readers);
         q = ngx_queue_next(q))
    {
        reader = ngx_queue_data(q, ngx_http_flux_reader_t, all);

        if (reader->behind != NULL
            && ngx_http_flux_channel_has(reader->channel, feed))
        {
            ngx_http_flux_behind_reset(reader->behind, feed);
        }
    }

    hub->retry_soon = 1;
}


/* All who read the feed, or anything (NULL), go on by the log. */

static void
ngx_http_flux_hub_fall_back(ngx_http_flux_feed_t *feed)
{
    ngx_queue_t              *q;
    ngx_http_flux_hub_t      *hub = &ngx_http_flux_hub;
    ngx_http_flux_channel_t  *channel;

    for (q = ngx_queue_head(&hub->all);
         q != ngx_queue_sentinel(&hub->all);
         q = ngx_queue_next(q))
    {
        channel = ngx_queue_data(q, ngx_http_flux_channel_t, all);

        if (feed == NULL || ngx_http_flux_channel_has(channel, feed)) {
            ngx_http_flux_channel_forget(channel);
            ngx_http_flux_channel_fall_back(channel);
        }
    }

    hub->retry_soon = 1;
}


/* The writer has lapped this worker. */

static void
ngx_http_flux_hub_lost(void)
{
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    hub->laps++;

    if (ngx_current_msec - hub->lapped >= NGX_HTTP_FLUX_LAPS_SPAN) {
        ngx_log_error(NGX_LOG_WARN, hub->log, 0,
                      "flux log went around before this worker read it: "
                      "%ui times since the last such line", hub->laps);
        hub->laps = 0;
        hub->lapped = ngx_current_msec;
    }

    ngx_http_flux_hub_restart();
}


/*
 * From the head.  What was read is in the channels and goes out; the rest
 * everybody gets from the index.
 */

static void
ngx_http_flux_hub_restart(void)
{
    ngx_uint_t             locked;
    ngx_rbtree_node_t     *node;
    ngx_http_flux_hub_t   *hub = &ngx_http_flux_hub;
    ngx_http_flux_room_t  *room;

    hub->behind = 0;
    ngx_http_flux_hub_fall_back(NULL);

    (void) ngx_http_flux_hub_start();

    if (hub->rooms.root != &hub->rooms_sentinel) {

        locked = ngx_http_flux_hub_lock();

        for (node = ngx_rbtree_min(hub->rooms.root, &hub->rooms_sentinel);
             node != NULL && !hub->zone->log.header->dirty;
             node = ngx_rbtree_next(&hub->rooms, node))
        {
            room = (ngx_http_flux_room_t *) node;

            /* what it heard last was passed over, too */

            ngx_http_flux_room_unbind(room);
            ngx_http_flux_room_bind(room);
        }

        ngx_http_flux_hub_unlock(locked);
    }

    hub->retry_soon = 1;
}
