#include "ngx_http_flux_demand_table.h"


/* A part of the zone for the table, and the least: 1 / 32, 64 entries. */
#define NGX_HTTP_FLUX_DEMAND_PART   32
#define NGX_HTTP_FLUX_DEMAND_LEAST  64

/* seconds between two lines of the log about a full table */
#define NGX_HTTP_FLUX_DEMAND_WARN   60


static void ngx_http_flux_demand_warn(ngx_http_flux_zone_t *zone,
    ngx_http_flux_demand_table_t *table);
static void ngx_http_flux_demand_enter(ngx_http_flux_room_t *room);
static void ngx_http_flux_demand_name(ngx_http_flux_room_t *room,
    ngx_str_t *name, u_char *buf);


/* --- the table ----------------------------------------------------------- */

static uint32_t
ngx_http_flux_demand_entries(size_t zone)
{
    return (uint32_t) ngx_max(zone / NGX_HTTP_FLUX_DEMAND_PART
                              / sizeof(ngx_http_flux_demand_entry_t),
                              NGX_HTTP_FLUX_DEMAND_LEAST);
}


size_t
ngx_http_flux_demand_size(size_t zone)
{
    return ngx_align(sizeof(ngx_http_flux_demand_table_t)
                     + ngx_http_flux_demand_entries(zone)
                       * sizeof(ngx_http_flux_demand_entry_t), 64);
}


ngx_http_flux_demand_table_t *
ngx_http_flux_demand_table(ngx_http_flux_zone_t *zone)
{
    ngx_http_flux_demand_table_t  *table = zone->demand;

    table->size = ngx_http_flux_demand_entries(zone->size);

    return table;
}


uint64_t
ngx_http_flux_demand_target(ngx_http_flux_feed_t *feed)
{
    uint64_t  hash;

    hash = flux_hash(FLUX_HASH_START, feed->cluster->name.data,
                     feed->cluster->name.len + 1);
    hash = flux_hash(hash, feed->demand.data, feed->demand.len);

    return hash ? hash : 1;
}


static void
ngx_http_flux_demand_warn(ngx_http_flux_zone_t *zone,
    ngx_http_flux_demand_table_t *table)
{
    if (ngx_time() - table->warned < NGX_HTTP_FLUX_DEMAND_WARN) {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "flux zone \"%V\" has no place for demand of more than %uD "
                  "rooms: %uA times since the last such line", &zone->name,
                  table->size, zone->shared->demand_refused - table->told);

    table->warned = ngx_time();
    table->told = zone->shared->demand_refused;
}


/* Under the lock: has the table a place?  `hint` is the first one then. */

static ngx_uint_t
ngx_http_flux_demand_has_place(ngx_http_flux_demand_table_t *table)
{
    while (table->hint < table->size
           && table->entries[table->hint].owner != NGX_HTTP_FLUX_DEMAND_FREE)
    {
        table->hint++;
    }

    return table->hint < table->size;
}


uint32_t
ngx_http_flux_demand_take(ngx_http_flux_zone_t *zone, ngx_uint_t owner,
    uint64_t target, ngx_str_t *room)
{
    uint32_t                       i;
    ngx_http_flux_demand_table_t  *table = ngx_http_flux_demand_table(zone);
    ngx_http_flux_demand_entry_t  *entry;

    if (!ngx_http_flux_demand_has_place(table)) {

        zone->shared->demand_refused++;
        ngx_http_flux_demand_warn(zone, table);

        return 0;
    }

    i = table->hint;
    entry = &table->entries[i];
    entry->length = (uint16_t) room->len;
    entry->readers = 0;
    entry->target = target;
    entry->expires = 0;
    ngx_memcpy(entry->room, room->data, room->len);

    if (table->top <= i) {
        table->top = i + 1;
    }

    /* a worker killed before this leaves a free entry */

    ngx_memory_barrier();
    entry->owner = (uint16_t) owner;

    table->version++;

    return i + 1;
}


void
ngx_http_flux_demand_free(ngx_http_flux_zone_t *zone, uint32_t number)
{
    ngx_http_flux_demand_table_t  *table = ngx_http_flux_demand_table(zone);

    table->hint = ngx_min(table->hint, number - 1);
    table->entries[number - 1].owner = NGX_HTTP_FLUX_DEMAND_FREE;

    while (table->top
           && table->entries[table->top - 1].owner
              == NGX_HTTP_FLUX_DEMAND_FREE)
    {
        table->top--;
    }
}


void
ngx_http_flux_demand_clear(ngx_http_flux_zone_t *zone, ngx_uint_t seat)
{
    uint32_t                       i;
    ngx_http_flux_demand_table_t  *table = ngx_http_flux_demand_table(zone);

    for (i = 0; i < table->top; i++) {
        if (table->entries[i].owner == NGX_HTTP_FLUX_DEMAND_SEAT + seat) {
            table->entries[i].readers = 0;
            table->entries[i].owner = NGX_HTTP_FLUX_DEMAND_LEFT;
            table->version++;
        }
    }
}


/* --- readers of this worker ---------------------------------------------- */

void
ngx_http_flux_demand_join(ngx_http_flux_channel_t *channel)
{
    ngx_uint_t             i;
    ngx_http_flux_hub_t   *hub = &ngx_http_flux_hub;
    ngx_http_flux_room_t  *room;

    for (i = 0; i < channel->nrooms; i++) {
        room = channel->links[i].room;

        if (room->feed->demand.len == 0 || hub->zone->seat == NULL) {
            continue;
        }

        room->demanded++;
        ngx_http_flux_demand_enter(room);
    }
}


void
ngx_http_flux_demand_leave(ngx_http_flux_channel_t *channel)
{
    ngx_uint_t                     i, locked;
    ngx_http_flux_hub_t           *hub = &ngx_http_flux_hub;
    ngx_http_flux_room_t          *room;
    ngx_http_flux_demand_entry_t  *entry;
    ngx_http_flux_demand_table_t  *table;

    for (i = 0; i < channel->nrooms; i++) {
        room = channel->links[i].room;

        if (room->demanded == 0) {
            continue;
        }

        room->demanded--;

        if (room->demand == 0) {
            continue;
        }

        table = ngx_http_flux_demand_table(hub->zone);
        entry = &table->entries[room->demand - 1];
        entry->readers = (uint32_t) room->demanded;

        if (room->demanded == 0) {

            /* the writer frees it: who was here for a moment counts, too */

            locked = ngx_http_flux_hub_lock();
            entry->owner = NGX_HTTP_FLUX_DEMAND_LEFT;
            table->version++;
            ngx_http_flux_hub_unlock(locked);

            room->demand = 0;
        }
    }
}


/* The room's readers are in the table, if it has a place. */

static void
ngx_http_flux_demand_enter(ngx_http_flux_room_t *room)
{
    u_char                         buf[NGX_HTTP_FLUX_ROOM_MAX];
    ngx_str_t                      name;
    ngx_uint_t                     locked;
    ngx_http_flux_hub_t           *hub = &ngx_http_flux_hub;
    ngx_http_flux_demand_table_t  *table;

    if (room->demand == 0) {

        ngx_http_flux_demand_name(room, &name, buf);

        locked = ngx_http_flux_hub_lock();

        room->demand = ngx_http_flux_demand_take(hub->zone,
                           NGX_HTTP_FLUX_DEMAND_SEAT
                           + (hub->zone->seat - hub->zone->shared->seats),
                           ngx_http_flux_demand_target(room->feed), &name);

        ngx_http_flux_hub_unlock(locked);
    }

    if (room->demand == 0) {
        hub->unplaced = 1;
        return;
    }

    table = ngx_http_flux_demand_table(hub->zone);
    table->entries[room->demand - 1].readers = (uint32_t) room->demanded;
}


void
ngx_http_flux_demand_look(void)
{
    ngx_uint_t                     locked;
    ngx_rbtree_node_t             *node;
    ngx_http_flux_hub_t           *hub = &ngx_http_flux_hub;
    ngx_http_flux_room_t          *room;
    ngx_http_flux_demand_table_t  *table;

    if (!hub->unplaced || hub->rooms.root == &hub->rooms_sentinel) {
        return;
    }

    table = ngx_http_flux_demand_table(hub->zone);
    hub->unplaced = 0;

    for (node = ngx_rbtree_min(hub->rooms.root, &hub->rooms_sentinel);
         node != NULL;
         node = ngx_rbtree_next(&hub->rooms, node))
    {
        room = (ngx_http_flux_room_t *) node;

        if (room->demanded == 0 || room->demand) {
            continue;
        }

        locked = ngx_http_flux_hub_lock();

        if (ngx_http_flux_demand_has_place(table)) {
            ngx_http_flux_demand_enter(room);

        } else {
            hub->unplaced = 1;
        }

        ngx_http_flux_hub_unlock(locked);

        if (hub->unplaced) {
            return;
        }
    }
}


/*
 * The room as it was before it was escaped: of what is, only quotes and
 * backslashes are in names of rooms.  A feed of one room has the feed's name.
 */

static void
ngx_http_flux_demand_name(ngx_http_flux_room_t *room, ngx_str_t *name,
    u_char *buf)
{
    u_char  *p, *last, *dst;

    *name = room->feed->name;

    if (room->feed->room_rule == NGX_HTTP_FLUX_ROOM_NONE) {
        return;
    }

    p = room->sn.str.data + room->feed->name.len + 1;
    last = room->sn.str.data + room->sn.str.len;

    for (dst = buf; p < last && dst < buf + NGX_HTTP_FLUX_ROOM_MAX; p++) {

        if (*p == '\\' && p + 1 < last) {
            p++;
        }

        *dst++ = *p;
    }

    name->data = buf;
    name->len = dst - buf;
}
