#include "ngx_http_flux_hub.h"


ngx_http_flux_room_t *
ngx_http_flux_room_find(ngx_str_t *address)
{
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    return (ngx_http_flux_room_t *)
               ngx_str_rbtree_lookup(&hub->rooms, address,
                                     ngx_crc32_long(address->data,
                                                    address->len));
}


ngx_http_flux_room_t *
ngx_http_flux_room_get(ngx_http_flux_address_t *address)
{
    uint64_t               hash;
    ngx_http_flux_hub_t   *hub = &ngx_http_flux_hub;
    ngx_http_flux_room_t  *room;

    room = ngx_http_flux_room_find(&address->text);

    if (room != NULL) {
        room->readers++;
        return room;
    }

    room = ngx_calloc(sizeof(ngx_http_flux_room_t) + address->text.len,
                      hub->log);
    if (room == NULL) {
        return NULL;
    }

    room->sn.str.data = (u_char *) room + sizeof(ngx_http_flux_room_t);
    room->sn.str.len = address->text.len;
    ngx_memcpy(room->sn.str.data, address->text.data, address->text.len);
    room->sn.node.key = ngx_crc32_long(address->text.data, address->text.len);

    hash = flux_hash(FLUX_HASH_START, address->text.data, address->text.len);
    room->hash = flux_hash_end(hash);

    room->feed = address->feed;
    room->node = FLUX_NONE;
    room->partition = FLUX_NONE;
    room->ts = INT64_MIN;
    room->readers = 1;
    ngx_queue_init(&room->links);

    ngx_rbtree_insert(&hub->rooms, &room->sn.node);

    return room;
}


void
ngx_http_flux_room_release(ngx_http_flux_room_t *room)
{
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    if (--room->readers) {
        return;
    }

    ngx_http_flux_room_unbind(room);

    ngx_rbtree_delete(&hub->rooms, &room->sn.node);
    ngx_free(room);
}


void
ngx_http_flux_room_unbind(ngx_http_flux_room_t *room)
{
    if (room->node != FLUX_NONE) {
        ngx_http_flux_hub.by_node[room->node] = NULL;
        room->node = FLUX_NONE;
    }
}


void
ngx_http_flux_room_bind(ngx_http_flux_room_t *room)
{
    uint32_t              node;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    node = FLUX_NONE;

    if (room->feed->slot != FLUX_NONE) {
        node = flux_log_find_room(&hub->zone->log, room->feed->slot,
                                  room->sn.str.data, room->sn.str.len);
    }

    if (room->node == node) {
        return;
    }

    if (node != FLUX_NONE) {
        room->ts = flux_log_room(&hub->zone->log, node)->ts;
        room->partition = flux_log_named(&hub->zone->log, node)->partition;
        ngx_http_flux_state_look(room);
    }

    ngx_http_flux_room_unbind(room);
    room->node = node;

    if (node != FLUX_NONE) {

        if (hub->by_node[node] != NULL) {
            hub->by_node[node]->node = FLUX_NONE;
        }

        hub->by_node[node] = room;
    }
}
