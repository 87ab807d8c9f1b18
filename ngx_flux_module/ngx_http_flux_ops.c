#include "ngx_http_flux_ops.h"
#include "ngx_http_flux_publish.h"
#include "ngx_http_flux_websocket.h"


static ngx_int_t ngx_http_flux_op_rooms(ngx_http_flux_reader_t *reader,
    json_t *op, ngx_uint_t add);
static ngx_array_t *ngx_http_flux_op_addresses(ngx_http_flux_reader_t *reader,
    ngx_pool_t *pool);
static ngx_int_t ngx_http_flux_op_add(ngx_http_flux_reader_t *reader,
    ngx_array_t *addresses, ngx_pool_t *pool, json_t *room, const char **code);
static ngx_int_t ngx_http_flux_op_remove(ngx_array_t *addresses,
    ngx_pool_t *pool, json_t *room, const char **code);
static ngx_str_t ngx_http_flux_op_cursor(json_t *value);
static ngx_int_t ngx_http_flux_op_change(ngx_http_flux_reader_t *reader,
    ngx_array_t *addresses, ngx_str_t *cursor);
static ngx_int_t ngx_http_flux_op_error(ngx_http_flux_reader_t *reader,
    const char *op, json_t *room, const char *code, const char *message);


ngx_int_t
ngx_http_flux_ws_message(ngx_http_flux_reader_t *reader, u_char *p, size_t len)
{
    json_t       *op;
    ngx_int_t     rc;
    ngx_str_t     pong = ngx_string("{\"type\":\"pong\"}");
    const char   *name;

    op = json_loadb((char *) p, len, JSON_REJECT_DUPLICATES, NULL);
    name = json_string_value(json_object_get(op, "op"));

    if (name == NULL) {
        rc = ngx_http_flux_op_error(reader, NULL, NULL, "bad_request",
                                    "not a JSON object with an \"op\"");

    } else if (ngx_strcmp(name, "ping") == 0) {
        rc = ngx_http_flux_reader_tell(reader, &pong);

    } else if (ngx_strcmp(name, "subscribe") == 0) {
        rc = ngx_http_flux_op_rooms(reader, op, 1);

    } else if (ngx_strcmp(name, "unsubscribe") == 0) {
        rc = ngx_http_flux_op_rooms(reader, op, 0);

    } else if (ngx_strcmp(name, "publish") == 0) {
        rc = ngx_http_flux_publish_op(reader, op, p, len);

    } else {
        rc = ngx_http_flux_op_error(reader, name, NULL, "bad_request",
                                    "unknown op");
    }

    json_decref(op);

    if (rc == NGX_ERROR) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return NGX_DONE;
    }

    return rc;
}


static ngx_int_t
ngx_http_flux_op_error(ngx_http_flux_reader_t *reader, const char *op,
    json_t *room, const char *code, const char *message)
{
    return ngx_http_flux_op_tell(reader,
               json_pack("{ss, ss*, sO*, ss, ss}", "type", "error", "op", op,
                         "room", room, "code", code, "message", message));
}


ngx_int_t
ngx_http_flux_op_tell(ngx_http_flux_reader_t *reader, json_t *message)
{
    char       *text;
    ngx_int_t   rc;
    ngx_str_t   str;

    text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);

    if (text == NULL) {
        return NGX_ERROR;
    }

    str.data = (u_char *) text;
    str.len = ngx_strlen(text);
    rc = ngx_http_flux_reader_tell(reader, &str);

    free(text);

    return rc;
}


/* Subscribes to rooms (`add`) or unsubscribes from them. */

static ngx_int_t
ngx_http_flux_op_rooms(ngx_http_flux_reader_t *reader, json_t *op,
    ngx_uint_t add)
{
    size_t        i;
    json_t       *rooms, *room;
    ngx_int_t     rc;
    ngx_str_t     cursor = ngx_null_string;
    ngx_pool_t   *pool;
    const char   *name, *code;
    ngx_array_t  *addresses;

    name = add ? "subscribe" : "unsubscribe";
    rooms = json_object_get(op, "rooms");

    if (!json_is_array(rooms) || (add && reader->channel->keys != NULL)) {
        return ngx_http_flux_op_error(reader, name, NULL, "bad_request", add
                   ? "\"rooms\" is not an array, or the stream is narrowed "
                     "to keys"
                   : "\"rooms\" is not an array");
    }

    pool = ngx_create_pool(1024, ngx_http_flux_hub.log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    addresses = ngx_http_flux_op_addresses(reader, pool);
    rc = addresses ? NGX_OK : NGX_ERROR;

    for (i = 0; rc == NGX_OK && i < json_array_size(rooms); i++) {

        code = NULL;
        room = json_array_get(rooms, i);
        rc = add ? ngx_http_flux_op_add(reader, addresses, pool, room, &code)
                 : ngx_http_flux_op_remove(addresses, pool, room, &code);

        if (code != NULL) {
            rc = ngx_http_flux_op_error(reader, name, room, code,
                                        add ? "the room was not subscribed"
                                            : "the room is not subscribed");
        }
    }

    if (rc == NGX_OK) {

        if (add) {
            cursor = ngx_http_flux_op_cursor(json_object_get(op, "cursor"));
        }

        rc = ngx_http_flux_op_change(reader, addresses, &cursor);
    }

    ngx_destroy_pool(pool);

    return rc;
}


/* The rooms that the reader has now, in memory of the pool. */

static ngx_array_t *
ngx_http_flux_op_addresses(ngx_http_flux_reader_t *reader, ngx_pool_t *pool)
{
    ngx_uint_t                i;
    ngx_array_t              *addresses;
    ngx_http_flux_room_t     *room;
    ngx_http_flux_address_t  *address;

    addresses = ngx_array_create(pool, reader->channel->nrooms + 1,
                                 sizeof(ngx_http_flux_address_t));
    if (addresses == NULL) {
        return NULL;
    }

    for (i = 0; i < reader->channel->nrooms; i++) {
        room = reader->channel->links[i].room;
        address = ngx_array_push(addresses);
        address->text = room->sn.str;
        address->feed = room->feed;
    }

    return addresses;
}


/* *code is set when the reader may not have the room. */

static ngx_int_t
ngx_http_flux_op_add(ngx_http_flux_reader_t *reader, ngx_array_t *addresses,
    ngx_pool_t *pool, json_t *room, const char **code)
{
    ngx_int_t                 rc;
    ngx_str_t                 text, name;
    ngx_http_flux_address_t  *address, found;

    if (!json_is_string(room)) {
        *code = "bad_request";
        return NGX_OK;
    }

    text.data = (u_char *) json_string_value(room);
    text.len = json_string_length(room);

    rc = ngx_http_flux_address(pool, ngx_http_flux_hub.fmcf, &text, &found,
                               &name);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED
        || !ngx_http_flux_allowed(reader->conf, &found, &name))
    {
        *code = "forbidden";
        return NGX_OK;
    }

    if (addresses->nelts >= NGX_HTTP_FLUX_ROOMS_MAX) {
        *code = "too_large";
        return NGX_OK;
    }

    address = ngx_array_push(addresses);
    if (address == NULL) {
        return NGX_ERROR;
    }

    *address = found;

    return NGX_OK;
}


/* *code is set when the reader has no such room. */

static ngx_int_t
ngx_http_flux_op_remove(ngx_array_t *addresses, ngx_pool_t *pool, json_t *room,
    const char **code)
{
    ngx_str_t                 text, name;
    ngx_uint_t                i;
    ngx_http_flux_address_t  *address, found;

    *code = "unknown";

    text.data = (u_char *) json_string_value(room);
    text.len = json_string_length(room);

    if (text.data == NULL
        || ngx_http_flux_address(pool, ngx_http_flux_hub.fmcf, &text, &found,
                                 &name)
           != NGX_OK)
    {
        return NGX_OK;
    }

    address = addresses->elts;

    for (i = 0; i < addresses->nelts; i++) {

        if (address[i].text.len == found.text.len
            && ngx_memcmp(address[i].text.data, found.text.data,
                          found.text.len)
               == 0)
        {
            address[i] = address[--addresses->nelts];
            *code = NULL;
            break;
        }
    }

    return NGX_OK;
}


/* One that is no string cannot be read, as one of garbage. */

static ngx_str_t
ngx_http_flux_op_cursor(json_t *value)
{
    ngx_str_t  cursor = ngx_null_string, unreadable = ngx_string("?");

    if (json_is_string(value)) {
        cursor.data = (u_char *) json_string_value(value);
        cursor.len = json_string_length(value);

    } else if (value != NULL && !json_is_null(value)) {
        return unreadable;
    }

    return cursor;
}


static ngx_int_t
ngx_http_flux_op_change(ngx_http_flux_reader_t *reader,
    ngx_array_t *addresses, ngx_str_t *cursor)
{
    ngx_http_flux_channel_t  *channel;

    channel = ngx_http_flux_channel_get(addresses->elts, addresses->nelts,
                                        reader->channel->keys,
                                        reader->channel->pace);
    if (channel == NULL) {
        return NGX_ERROR;
    }

    if (channel == reader->channel) {
        ngx_http_flux_channel_release(channel);
        return NGX_OK;
    }

    return ngx_http_flux_reader_change(reader, channel, cursor);
}
