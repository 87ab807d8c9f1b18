#include "ngx_http_flux_behind.h"


/*
 * Rooms of up to so many bytes come in one frame.  Larger ones come in parts,
 * so that nobody else waits for them and a slow socket holds one part.
 */
#define NGX_HTTP_FLUX_SNAPSHOT_WHOLE  (1024 * 1024)
#define NGX_HTTP_FLUX_SNAPSHOT_PART   (256 * 1024)


/* A snapshot in parts.  It holds what was live when it began, but what has
 * been superseded since: that comes as an update. */

struct ngx_http_flux_snapshot_s {
    uint64_t                         until;     /* ordinal when it began */
    uint32_t                         epoch;     /* of the index */
    ngx_uint_t                       room;      /* index of the current one */
    uint32_t                         key;       /* the last one given */
    uint64_t                         ordinal;   /* its, when it was */
    u_char                          *given;     /* a bit per node */
    ngx_http_flux_behind_section_t  *here;
    unsigned                         opened:1;  /* parts of the room are out */
};


static ngx_int_t ngx_http_flux_snapshot_begin(ngx_http_flux_behind_t *behind);
static ngx_int_t ngx_http_flux_snapshot_room(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, ngx_http_flux_behind_room_t *room);
static ngx_int_t ngx_http_flux_snapshot_items(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, ngx_http_flux_behind_room_t *room);
static uint32_t ngx_http_flux_snapshot_first(ngx_http_flux_snapshot_t *s,
    ngx_http_flux_behind_room_t *room);
static ngx_uint_t ngx_http_flux_snapshot_key(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, uint32_t node, ngx_uint_t items);
static ngx_int_t ngx_http_flux_snapshot_state(ngx_http_flux_frame_t *frame,
    ngx_http_flux_room_t *room);
static void ngx_http_flux_snapshot_reset(ngx_http_flux_frame_t *frame,
    ngx_http_flux_behind_room_t *room);
static void ngx_http_flux_snapshot_open(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, ngx_http_flux_behind_room_t *room,
    size_t *more);


static ngx_str_t  ngx_http_flux_reset_reasons[] = {
    ngx_null_string,
    ngx_string("expired"),
    ngx_string("recreated"),
    ngx_string("foreign"),
    ngx_string("invalid")
};


ngx_int_t
ngx_http_flux_snapshot(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame)
{
    ngx_int_t                  rc;
    ngx_str_t                  none = ngx_null_string;
    ngx_uint_t                 i;
    ngx_http_flux_hub_t       *hub = &ngx_http_flux_hub;
    ngx_http_flux_snapshot_t  *s;

    if (behind->snapshot == NULL) {
        rc = ngx_http_flux_snapshot_begin(behind);

        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? NGX_OK : rc;
        }
    }

    s = behind->snapshot;

    if (s->epoch != hub->zone->log.header->epoch) {
        /* rebuilt meanwhile: nodes are not what they were */
        return NGX_ERROR;
    }

    for ( /* void */ ; s->room < behind->nrooms; s->room++) {

        if (behind->rooms[s->room].state != NGX_HTTP_FLUX_NEW) {
            continue;
        }

        rc = ngx_http_flux_snapshot_room(behind, frame,
                                         &behind->rooms[s->room]);

        if (rc == NGX_AGAIN) {
            behind->newcomer = 0;
            return ngx_http_flux_frame_close(frame, &none) == NGX_OK
                   ? NGX_DECLINED : NGX_ERROR;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    for (i = 0; i < behind->nrooms; i++) {
        if (behind->rooms[i].state == NGX_HTTP_FLUX_NEW) {
            behind->rooms[i].state = NGX_HTTP_FLUX_RESUMED;
            behind->rooms[i].reset = NGX_HTTP_FLUX_RESET_NONE;
            behind->rooms[i].section = s->here;
            behind->rooms[i].next = 0;
            behind->rooms[i].last = 0;
        }
    }

    behind->snapshot = NULL;

    if (s->given != NULL) {
        ngx_pfree(behind->pool, s->given);
    }

    return s->until == hub->ordinal ? NGX_OK : NGX_AGAIN;
}


/* NGX_DECLINED: no room needs one. */

static ngx_int_t
ngx_http_flux_snapshot_begin(ngx_http_flux_behind_t *behind)
{
    uint64_t                      bytes = 0;
    ngx_uint_t                    i, n = 0;
    flux_log_t                   *log = &ngx_http_flux_hub.zone->log;
    ngx_http_flux_room_t         *room;
    ngx_http_flux_snapshot_t     *s;

    for (i = 0; i < behind->nrooms; i++) {

        if (behind->rooms[i].state != NGX_HTTP_FLUX_NEW) {
            continue;
        }

        n++;
        room = behind->rooms[i].room;

        if (room->node != FLUX_NONE) {
            bytes += flux_log_room(log, room->node)->bytes;
        }
    }

    if (n == 0) {
        return NGX_DECLINED;
    }

    s = ngx_pcalloc(behind->pool, sizeof(ngx_http_flux_snapshot_t));
    if (s == NULL) {
        return NGX_ERROR;
    }

    if (bytes > NGX_HTTP_FLUX_SNAPSHOT_WHOLE && !behind->whole) {
        s->given = ngx_pcalloc(behind->pool, log->header->nnodes / 8 + 1);
        if (s->given == NULL) {
            return NGX_ERROR;
        }
    }

    s->here = ngx_http_flux_behind_here(behind);
    if (s->here == NULL) {
        return NGX_ERROR;
    }

    s->until = ngx_http_flux_hub.ordinal;
    s->epoch = log->header->epoch;
    s->key = FLUX_NONE;
    behind->snapshot = s;

    return NGX_OK;
}


/* NGX_AGAIN: the part is full. */

static ngx_int_t
ngx_http_flux_snapshot_room(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, ngx_http_flux_behind_room_t *room)
{
    size_t                     more = 0;
    ngx_int_t                  rc;
    ngx_http_flux_snapshot_t  *s = behind->snapshot;

    if (!s->opened) {
        ngx_http_flux_snapshot_reset(frame, room);
    }

    ngx_http_flux_snapshot_open(behind, frame, room, &more);

    rc = ngx_http_flux_snapshot_items(behind, frame, room);

    ngx_http_flux_text_literal(&frame->json, "]}");

    if (frame->json.failed) {
        return NGX_ERROR;
    }

    if (rc == NGX_AGAIN) {
        s->opened = 1;
        return NGX_AGAIN;
    }

    /* the last part: what was set aside for "more" becomes blanks */

    if (s->given != NULL) {
        ngx_memset(frame->json.data + more, ' ',
                   sizeof("\"more\":true,") - 1);
    }

    s->opened = 0;
    s->key = FLUX_NONE;

    return ngx_http_flux_snapshot_state(frame, room->room);
}


/* A newcomer is told of a room that is not live. */

static ngx_int_t
ngx_http_flux_snapshot_state(ngx_http_flux_frame_t *frame,
    ngx_http_flux_room_t *room)
{
    u_char  *p, *end;
    size_t   len = room->sn.str.len + NGX_HTTP_FLUX_STATE_LEN;

    ngx_http_flux_state_look(room);

    if (room->state == NGX_HTTP_FLUX_LIVE) {
        return NGX_OK;
    }

    if (ngx_http_flux_frame_open(frame) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_http_flux_text_extend(&frame->json, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    end = ngx_http_flux_state_message(p, room, room->state, room->since);
    frame->json.len -= len - (end - p);

    return NGX_OK;
}


static void
ngx_http_flux_snapshot_reset(ngx_http_flux_frame_t *frame,
    ngx_http_flux_behind_room_t *room)
{
    ngx_str_t             *reason = &ngx_http_flux_reset_reasons[room->reset];
    ngx_http_flux_text_t  *json = &frame->json;

    if (room->reset == NGX_HTTP_FLUX_RESET_NONE
        || ngx_http_flux_frame_open(frame) != NGX_OK)
    {
        return;
    }

    ngx_http_flux_text_literal(json, "{\"type\":\"reset\",\"room\":\"");
    ngx_http_flux_text_add(json, room->room->sn.str.data,
                           room->room->sn.str.len);
    ngx_http_flux_text_literal(json, "\",\"reason\":\"");
    ngx_http_flux_text_add(json, reason->data, reason->len);
    ngx_http_flux_text_literal(json, "\"}");
}


static void
ngx_http_flux_snapshot_open(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, ngx_http_flux_behind_room_t *room,
    size_t *more)
{
    ngx_uint_t             ready;
    flux_log_t            *log = &ngx_http_flux_hub.zone->log;
    ngx_http_flux_text_t  *json = &frame->json;

    ready = room->room->feed->slot != FLUX_NONE
            && log->header->feeds[room->room->feed->slot].ready;

    if (ngx_http_flux_frame_open(frame) != NGX_OK) {
        return;
    }

    ngx_http_flux_text_literal(json, "{\"type\":\"snapshot\",\"room\":\"");
    ngx_http_flux_text_add(json, room->room->sn.str.data,
                           room->room->sn.str.len);
    ngx_http_flux_text_literal(json, "\",\"complete\":");

    if (ready) {
        ngx_http_flux_text_literal(json, "true,");

    } else {
        ngx_http_flux_text_literal(json, "false,");
    }

    *more = json->len;

    if (behind->snapshot->given != NULL) {
        ngx_http_flux_text_literal(json, "\"more\":true,");
    }

    ngx_http_flux_text_literal(json, "\"items\":[");
}


static ngx_int_t
ngx_http_flux_snapshot_items(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, ngx_http_flux_behind_room_t *room)
{
    uint32_t                   node;
    ngx_uint_t                 items = 0;
    flux_key_t                *key;
    flux_log_t                *log = &ngx_http_flux_hub.zone->log;
    ngx_http_flux_snapshot_t  *s = behind->snapshot;

    if (room->room->node == FLUX_NONE) {
        return NGX_OK;
    }

    for (node = ngx_http_flux_snapshot_first(s, room);
         node != FLUX_NONE;
         node = key->after)
    {
        key = flux_log_key(log, node);

        if (s->given != NULL) {

            if (s->given[node / 8] & (1 << node % 8)) {
                continue;
            }

            if (frame->json.len > NGX_HTTP_FLUX_SNAPSHOT_PART) {
                return NGX_AGAIN;
            }

            s->given[node / 8] |= 1 << node % 8;
        }

        items = ngx_http_flux_snapshot_key(behind, frame, node, items);

        s->key = node;
        s->ordinal = key->ordinal;
    }

    return NGX_OK;
}


/* The first key not given yet: keys stand by the ordinal of their newest. */

static uint32_t
ngx_http_flux_snapshot_first(ngx_http_flux_snapshot_t *s,
    ngx_http_flux_behind_room_t *room)
{
    flux_log_t  *log = &ngx_http_flux_hub.zone->log;
    flux_key_t  *key;

    if (s->key != FLUX_NONE) {
        key = flux_log_key(log, s->key);

        if (flux_node_is_key(log, s->key) && key->room == room->room->node
            && key->ordinal == s->ordinal)
        {
            return key->after;
        }
    }

    return flux_log_room(log, room->room->node)->first;
}


/* Adds a key's records, the oldest first; returns the number of items. */

static ngx_uint_t
ngx_http_flux_snapshot_key(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t *frame, uint32_t node, ngx_uint_t items)
{
    size_t                 at, len;
    u_char                *p, *message;
    uint32_t               n;
    uint64_t               position;
    flux_log_t            *log = &ngx_http_flux_hub.zone->log;
    flux_key_t            *key = flux_log_key(log, node);
    flux_entry_t          *entry;

    position = key->oldest;

    for (n = key->count; n; n--, position = entry->newer) {

        entry = flux_log_entry(log, position);
        message = flux_log_message(entry);

        if (entry->ordinal > behind->snapshot->until) {
            break;
        }

        if (!ngx_http_flux_channel_wants(behind->channel,
                          message + flux_message_key_at(entry->address_length),
                          entry->key_length))
        {
            break;
        }

        at = flux_message_item_at(entry->address_length);
        len = entry->message_length - at;

        p = ngx_http_flux_text_extend(&frame->json, len + 1 + (items != 0));
        if (p == NULL) {
            break;
        }

        if (items++) {
            *p++ = ',';
        }

        *p++ = '{';
        ngx_memcpy(p, message + at, len);
    }

    return items;
}
