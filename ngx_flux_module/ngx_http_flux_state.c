#include "ngx_http_flux_reader.h"


static ngx_http_flux_state_t ngx_http_flux_state_of(
    ngx_http_flux_room_t *room, int64_t *since);
static int64_t ngx_http_flux_state_down(ngx_http_flux_room_t *room,
    ngx_http_flux_positions_t *positions);
static int64_t ngx_http_flux_state_time(void);
static ngx_int_t ngx_http_flux_state_to(ngx_http_flux_reader_t *reader,
    ngx_uint_t version, ngx_uint_t live);


static int64_t
ngx_http_flux_state_time(void)
{
    ngx_time_t  *tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}


/* Since when the partitions that matter to the room cannot be read, or 0. */

static int64_t
ngx_http_flux_state_down(ngx_http_flux_room_t *room,
    ngx_http_flux_positions_t *positions)
{
    uint32_t  place;

    if (positions->all_down) {
        return positions->all_down;
    }

    if (room->feed->room_rule != NGX_HTTP_FLUX_ROOM_NONE) {

        /* what a room's keys have in common is their partition, mostly */

        place = room->partition == FLUX_NONE
                ? FLUX_NONE : ngx_http_flux_hub.place_of[room->partition];

        return place < positions->n ? positions->down[place] : 0;
    }

    return positions->some_down;
}


static ngx_http_flux_state_t
ngx_http_flux_state_of(ngx_http_flux_room_t *room, int64_t *since)
{
    int64_t                     from, now = ngx_http_flux_state_time();
    ngx_http_flux_positions_t  *positions;

    positions = &ngx_http_flux_hub.positions[room->feed->index];

    *since = ngx_http_flux_state_down(room, positions);

    if (*since) {
        return NGX_HTTP_FLUX_DOWN;
    }

    if (room->feed->stale) {

        from = room->ts != INT64_MIN ? room->ts : positions->ready_since;

        if (from && now - from >= room->feed->stale) {
            *since = from + room->feed->stale;
            return NGX_HTTP_FLUX_STALE;
        }
    }

    *since = now;

    return NGX_HTTP_FLUX_LIVE;
}


void
ngx_http_flux_state_look(ngx_http_flux_room_t *room)
{
    int64_t                 since;
    ngx_http_flux_state_t   state = ngx_http_flux_state_of(room, &since);

    if (!room->looked
        || (room->state != state && ngx_queue_empty(&room->links)))
    {
        /* nobody was told another one */
        room->looked = 1;
        room->state = state;
        room->since = since;
        return;
    }

    if (room->state != state) {
        ngx_http_flux_hub.state_soon = 1;
        ngx_http_flux_hub_post();
    }
}


void
ngx_http_flux_state_update(void)
{
    int64_t                   since;
    ngx_uint_t                changed = 0;
    ngx_queue_t              *q;
    ngx_rbtree_node_t        *node;
    ngx_http_flux_hub_t      *hub = &ngx_http_flux_hub;
    ngx_http_flux_link_t     *link;
    ngx_http_flux_room_t     *room;
    ngx_http_flux_state_t     state;

    if (hub->rooms.root == &hub->rooms_sentinel) {
        return;
    }

    for (node = ngx_rbtree_min(hub->rooms.root, &hub->rooms_sentinel);
         node != NULL;
         node = ngx_rbtree_next(&hub->rooms, node))
    {
        room = (ngx_http_flux_room_t *) node;
        state = ngx_http_flux_state_of(room, &since);

        if (state == room->state) {
            room->looked = 1;
            continue;
        }

        if (!room->looked) {
            ngx_http_flux_state_look(room);
            continue;
        }

        if (!changed) {
            changed = 1;
            hub->version++;
        }

        room->state = state;
        room->since = since;
        room->version = hub->version;

        for (q = ngx_queue_head(&room->links);
             q != ngx_queue_sentinel(&room->links);
             q = ngx_queue_next(q))
        {
            link = ngx_queue_data(q, ngx_http_flux_link_t, queue);
            ngx_http_flux_channel_forget(link->channel);
        }
    }

    if (changed) {
        hub->telling = 1;
    }
}


ngx_http_flux_state_t
ngx_http_flux_state_now(ngx_http_flux_room_t *room, int64_t *since)
{
    ngx_http_flux_state_t  state = ngx_http_flux_state_of(room, since);

    if (room->looked && room->state == state) {
        *since = room->since;
    }

    return state;
}


u_char *
ngx_http_flux_state_message(u_char *p, ngx_http_flux_room_t *room,
    ngx_http_flux_state_t state, int64_t since)
{
    static char  *names[] = { "live", "stale", "down" };

    return ngx_sprintf(p, NGX_HTTP_FLUX_STATE_BEGIN "%V\","
                       "\"state\":\"%s\",\"since\":%L}",
                       &room->sn.str, names[state], since);
}


ngx_int_t
ngx_http_flux_state_tell(ngx_uint_t *budget)
{
    ngx_queue_t             *q, *next;
    ngx_uint_t               version;
    ngx_http_flux_hub_t     *hub = &ngx_http_flux_hub;
    ngx_http_flux_reader_t  *reader;

    for (q = ngx_queue_head(&hub->readers);
         q != ngx_queue_sentinel(&hub->readers);
         q = next)
    {
        next = ngx_queue_next(q);
        reader = ngx_queue_data(q, ngx_http_flux_reader_t, all);

        if (reader->version == hub->version) {
            continue;
        }

        if (*budget == 0) {
            return NGX_AGAIN;
        }

        --*budget;

        version = reader->version;
        reader->version = hub->version;

        (void) ngx_http_flux_state_to(reader, version, 1);
    }

    hub->telling = 0;

    return NGX_OK;
}


ngx_int_t
ngx_http_flux_state_greet(ngx_http_flux_reader_t *reader)
{
    ngx_uint_t  i;

    for (i = 0; i < reader->channel->nrooms; i++) {
        ngx_http_flux_state_look(reader->channel->links[i].room);
    }

    return ngx_http_flux_state_to(reader, 0, 0);
}


/*
 * Tells a reader the states of its rooms that changed after a version; live
 * ones, too, if `live`.  NGX_DONE: the reader is gone.
 */

static ngx_int_t
ngx_http_flux_state_to(ngx_http_flux_reader_t *reader, ngx_uint_t version,
    ngx_uint_t live)
{
    u_char                *p;
    ngx_int_t              rc = NGX_OK;
    ngx_str_t              messages;
    ngx_uint_t             i;
    ngx_http_flux_hub_t   *hub = &ngx_http_flux_hub;
    ngx_http_flux_room_t  *room;
    ngx_http_flux_text_t   text;

    ngx_memzero(&text, sizeof(ngx_http_flux_text_t));
    text.log = hub->log;

    for (i = 0; i < reader->channel->nrooms; i++) {
        room = reader->channel->links[i].room;

        if (live ? room->version <= version
                 : room->state == NGX_HTTP_FLUX_LIVE)
        {
            continue;
        }

        if (text.len) {
            ngx_http_flux_text_literal(&text, ",");
        }

        p = ngx_http_flux_text_extend(&text, room->sn.str.len
                                             + NGX_HTTP_FLUX_STATE_LEN);
        if (p == NULL) {
            break;
        }

        text.len = ngx_http_flux_state_message(p, room, room->state,
                                               room->since)
                   - text.data;
    }

    if (text.len && !text.failed) {
        messages.data = text.data;
        messages.len = text.len;
        rc = reader->transport->tell(reader, &messages);
    }

    ngx_free(text.data);

    if (rc == NGX_ERROR) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return NGX_DONE;
    }

    if (rc == NGX_OK && live) {
        rc = ngx_http_flux_reader_flush(reader);
    }

    return rc == NGX_DONE ? NGX_DONE : NGX_OK;
}
