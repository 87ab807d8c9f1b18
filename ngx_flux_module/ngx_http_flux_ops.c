#include "ngx_http_flux_publish.h"
#include "ngx_http_flux_websocket.h"

#include "core/flux_json.h"

#include <jansson.h>


static ngx_int_t ngx_http_flux_op_subscribe(ngx_http_flux_reader_t *reader,
    json_t *op);
static ngx_int_t ngx_http_flux_op_unsubscribe(ngx_http_flux_reader_t *reader,
    json_t *op);
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
        rc = ngx_http_flux_op_subscribe(reader, op);

    } else if (ngx_strcmp(name, "unsubscribe") == 0) {
        rc = ngx_http_flux_op_unsubscribe(reader, op);

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
    char       *text;
    json_t     *error;
    ngx_int_t   rc;
    ngx_str_t   str;

    error = json_pack("{ss, ss*, sO*, ss, ss}", "type", "error", "op", op,
                      "room", room, "code", code, "message", message);
    text = error ? json_dumps(error, JSON_COMPACT) : NULL;
    json_decref(error);

    if (text == NULL) {
        return NGX_ERROR;
    }

    str.data = (u_char *) text;
    str.len = ngx_strlen(text);
    rc = ngx_http_flux_reader_tell(reader, &str);

    free(text);

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
ngx_http_flux_op_subscribe(ngx_http_flux_reader_t *reader, json_t *op)
{
    size_t                      i;
    json_t                     *rooms, *room;
    ngx_int_t                   rc;
    ngx_str_t                   text, name;
    ngx_pool_t                 *pool;
    const char                 *code;
    ngx_array_t                *addresses;
    ngx_http_flux_address_t    *address, found;
    ngx_http_flux_main_conf_t  *fmcf;

    fmcf = ngx_http_flux_hub.fmcf;

    rooms = json_object_get(op, "rooms");

    if (!json_is_array(rooms) || reader->channel->keys != NULL) {
        return ngx_http_flux_op_error(reader, "subscribe", NULL, "bad_request",
                                      "\"rooms\" is not an array, or the "
                                      "stream is narrowed to keys");
    }

    pool = ngx_create_pool(1024, ngx_http_flux_hub.log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;
    addresses = ngx_http_flux_op_addresses(reader, pool);

    if (addresses == NULL) {
        goto done;
    }

    json_array_foreach(rooms, i, room) {

        code = NULL;

        if (!json_is_string(room)) {
            code = "bad_request";

        } else {
            text.data = (u_char *) json_string_value(room);
            text.len = json_string_length(room);

            rc = ngx_http_flux_address(pool, fmcf, &text, &found, &name);

            if (rc == NGX_ERROR) {
                goto done;
            }

            if (rc == NGX_DECLINED
                || !ngx_http_flux_allowed(reader->conf, &found, &name))
            {
                code = "forbidden";

            } else if (addresses->nelts >= NGX_HTTP_FLUX_ROOMS_MAX) {
                code = "too_large";
            }
        }

        if (code != NULL) {
            rc = ngx_http_flux_op_error(reader, "subscribe", room, code,
                                        "the room was not subscribed");
            if (rc != NGX_OK) {
                goto done;
            }

            continue;
        }

        address = ngx_array_push(addresses);
        if (address == NULL) {
            rc = NGX_ERROR;
            goto done;
        }

        *address = found;
    }

    text = ngx_http_flux_op_cursor(json_object_get(op, "cursor"));

    rc = ngx_http_flux_op_change(reader, addresses, &text);

done:

    ngx_destroy_pool(pool);

    return rc;
}


/* NGX_DECLINED: it is not among them. */

static ngx_int_t
ngx_http_flux_op_remove(ngx_array_t *addresses, ngx_pool_t *pool, json_t *room)
{
    ngx_str_t                 text, name;
    ngx_uint_t                i;
    ngx_http_flux_address_t  *address, found;

    text.data = (u_char *) json_string_value(room);
    text.len = json_string_length(room);

    if (text.data == NULL
        || ngx_http_flux_address(pool, ngx_http_flux_hub.fmcf, &text, &found,
                                 &name)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    address = addresses->elts;

    for (i = 0; i < addresses->nelts; i++) {

        if (address[i].text.len == found.text.len
            && ngx_memcmp(address[i].text.data, found.text.data,
                          found.text.len)
               == 0)
        {
            address[i] = address[--addresses->nelts];
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_flux_op_unsubscribe(ngx_http_flux_reader_t *reader, json_t *op)
{
    size_t                      i;
    json_t                     *rooms, *room;
    ngx_int_t                   rc;
    ngx_str_t                   none = ngx_null_string;
    ngx_pool_t                 *pool;
    ngx_array_t                *addresses;

    rooms = json_object_get(op, "rooms");

    if (!json_is_array(rooms)) {
        return ngx_http_flux_op_error(reader, "unsubscribe", NULL,
                                      "bad_request",
                                      "\"rooms\" is not an array");
    }

    pool = ngx_create_pool(1024, ngx_http_flux_hub.log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;
    addresses = ngx_http_flux_op_addresses(reader, pool);

    if (addresses == NULL) {
        goto done;
    }

    json_array_foreach(rooms, i, room) {

        if (ngx_http_flux_op_remove(addresses, pool, room) == NGX_OK) {
            continue;
        }

        rc = ngx_http_flux_op_error(reader, "unsubscribe", room, "unknown",
                                    "the room is not subscribed");
        if (rc != NGX_OK) {
            goto done;
        }
    }

    rc = ngx_http_flux_op_change(reader, addresses, &none);

done:

    ngx_destroy_pool(pool);

    return rc;
}


static ngx_int_t
ngx_http_flux_op_change(ngx_http_flux_reader_t *reader,
    ngx_array_t *addresses, ngx_str_t *cursor)
{
    ngx_http_flux_channel_t  *channel;

    channel = ngx_http_flux_channel_get(addresses->elts, addresses->nelts,
                                        NULL, reader->channel->pace);
    if (channel == NULL) {
        return NGX_ERROR;
    }

    if (channel == reader->channel) {
        ngx_http_flux_channel_release(channel);
        return NGX_OK;
    }

    return ngx_http_flux_reader_change(reader, channel, cursor);
}
