/*
 * What a request asks for: the location's rooms, and what its arguments say.
 */

#include "ngx_http_flux_request.h"

#include "core/flux_json.h"


/* How long a poll waits when it does not say, and at the most; in ms. */
#define NGX_HTTP_FLUX_WAIT      25000
#define NGX_HTTP_FLUX_WAIT_MAX  60000

/* The slowest stream that a client may ask for, in ms. */
#define NGX_HTTP_FLUX_PACE_MAX  60000

/* Keys that a client may narrow its stream to. */
#define NGX_HTTP_FLUX_KEYS_MAX  256


static ngx_int_t ngx_http_flux_query_streams(ngx_http_request_t *r,
    ngx_http_flux_query_t *query);
static ngx_int_t ngx_http_flux_query_args(ngx_http_request_t *r,
    ngx_http_flux_query_t *query);
static ngx_int_t ngx_http_flux_query_unescape(ngx_pool_t *pool,
    ngx_str_t *value);
static ngx_int_t ngx_http_flux_query_time(ngx_str_t *value, ngx_int_t max);
static ngx_int_t ngx_http_flux_query_arg(ngx_http_request_t *r,
    ngx_http_flux_query_t *query, ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_flux_query_room(ngx_http_request_t *r,
    ngx_http_flux_query_t *query, ngx_str_t *value);
static ngx_int_t ngx_http_flux_query_key(ngx_http_request_t *r,
    ngx_http_flux_query_t *query, ngx_str_t *value);


ngx_int_t
ngx_http_flux_query(ngx_http_request_t *r, ngx_pool_t *pool,
    ngx_http_flux_query_t *query)
{
    ngx_int_t                  rc;
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    ngx_memzero(query, sizeof(ngx_http_flux_query_t));
    query->pool = pool;
    query->wait = NGX_HTTP_FLUX_WAIT;
    query->pace = flcf->pace;

    rc = ngx_http_flux_query_streams(r, query);

    if (rc == NGX_OK) {
        rc = ngx_http_flux_query_args(r, query);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (query->addresses.nelts > NGX_HTTP_FLUX_ROOMS_MAX
        || (query->keys != NULL && query->addresses.nelts != 1))
    {
        return NGX_HTTP_BAD_REQUEST;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_query_streams(ngx_http_request_t *r,
    ngx_http_flux_query_t *query)
{
    ngx_int_t                   rc;
    ngx_str_t                   text, room;
    ngx_uint_t                  i;
    ngx_http_flux_stream_t     *stream;
    ngx_http_flux_address_t    *address;
    ngx_http_flux_loc_conf_t   *flcf;
    ngx_http_flux_main_conf_t  *fmcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);
    fmcf = ngx_http_get_module_main_conf(r, ngx_http_flux_module);

    if (ngx_array_init(&query->addresses, query->pool, flcf->streams->nelts,
                       sizeof(ngx_http_flux_address_t))
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    stream = flcf->streams->elts;

    for (i = 0; i < flcf->streams->nelts; i++) {

        address = ngx_array_push(&query->addresses);

        if (address == NULL
            || ngx_http_complex_value(r, &stream[i].value, &text) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        rc = ngx_http_flux_address(query->pool, fmcf, &text, address, &room);

        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? NGX_HTTP_NOT_FOUND
                                      : NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return NGX_OK;
}


/* --- arguments ----------------------------------------------------------- */

static ngx_int_t
ngx_http_flux_query_args(ngx_http_request_t *r, ngx_http_flux_query_t *query)
{
    u_char     *p, *end, *last;
    ngx_int_t   rc;
    ngx_str_t   name, value, *header;

    p = r->args.data;
    last = p + r->args.len;

    for ( /* void */ ; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');
        end = end ? end : last;

        name.data = p;
        value.data = ngx_strlchr(p, end, '=');

        if (value.data == NULL) {
            continue;
        }

        name.len = value.data - p;
        value.data++;
        value.len = end - value.data;

        if (ngx_http_flux_query_unescape(query->pool, &value) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        rc = ngx_http_flux_query_arg(r, query, &name, &value);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    header = ngx_http_flux_header(r, "last-event-id");

    if (header != NULL && header->len) {
        query->cursor = *header;
    }

    return NGX_OK;
}


/* application/x-www-form-urlencoded, as URLSearchParams writes */

static ngx_int_t
ngx_http_flux_query_unescape(ngx_pool_t *pool, ngx_str_t *value)
{
    u_char  *dst, *src;

    dst = ngx_pnalloc(pool, value->len + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dst, value->data, value->len);
    value->data = dst;

    for (src = dst; src < dst + value->len; src++) {
        if (*src == '+') {
            *src = ' ';
        }
    }

    src = value->data;
    ngx_unescape_uri(&dst, &src, value->len, 0);
    value->len = dst - value->data;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_flux_named(ngx_str_t *name, const char *text)
{
    return name->len == ngx_strlen(text)
           && ngx_memcmp(name->data, text, name->len) == 0;
}


/* In ms, `max` at the most; NGX_ERROR: it cannot be read.  Spoils the value. */

static ngx_int_t
ngx_http_flux_query_time(ngx_str_t *value, ngx_int_t max)
{
    ngx_int_t   ms;
    ngx_uint_t  i;

    if (value->len == 0) {
        return NGX_ERROR;
    }

    ms = ngx_parse_time(value, 0);

    if (ms != NGX_ERROR) {
        return ngx_min(ms, max);
    }

    /* too large a number is an error, too: would it be one with small ones? */

    for (i = 0; i < value->len; i++) {
        if (value->data[i] >= '0' && value->data[i] <= '9') {
            value->data[i] = '0';
        }
    }

    return ngx_parse_time(value, 0) == NGX_ERROR ? NGX_ERROR : max;
}


static ngx_int_t
ngx_http_flux_query_arg(ngx_http_request_t *r, ngx_http_flux_query_t *query,
    ngx_str_t *name, ngx_str_t *value)
{
    ngx_int_t  ms;

    if (ngx_http_flux_named(name, "room")) {
        return ngx_http_flux_query_room(r, query, value);
    }

    if (ngx_http_flux_named(name, "key")) {
        return ngx_http_flux_query_key(r, query, value);
    }

    if (ngx_http_flux_named(name, "cursor")) {

        if (value->len) {
            query->cursor = *value;
        }

        return NGX_OK;
    }

    if (ngx_http_flux_named(name, "lastEventId")) {

        if (query->cursor.len == 0) {
            query->cursor = *value;
        }

        return NGX_OK;
    }

    if (ngx_http_flux_named(name, "wait")) {
        ms = ngx_http_flux_query_time(value, NGX_HTTP_FLUX_WAIT_MAX);

        if (ms != NGX_ERROR) {
            query->wait = ms;
        }

        return NGX_OK;
    }

    if (ngx_http_flux_named(name, "pace")) {
        ms = ngx_http_flux_query_time(value, NGX_HTTP_FLUX_PACE_MAX);

        if (ms != NGX_ERROR) {
            query->pace = ngx_max((ngx_msec_t) ms, query->pace);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_query_room(ngx_http_request_t *r, ngx_http_flux_query_t *query,
    ngx_str_t *value)
{
    ngx_int_t                   rc;
    ngx_str_t                   room;
    ngx_http_flux_address_t    *address, found;
    ngx_http_flux_loc_conf_t   *flcf;
    ngx_http_flux_main_conf_t  *fmcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);
    fmcf = ngx_http_get_module_main_conf(r, ngx_http_flux_module);

    rc = ngx_http_flux_address(query->pool, fmcf, value, &found, &room);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED || !ngx_http_flux_allowed(flcf, &found, &room)) {
        /* whether it exists is nobody's business */
        return NGX_HTTP_FORBIDDEN;
    }

    address = ngx_array_push(&query->addresses);
    if (address == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    *address = found;

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_query_key(ngx_http_request_t *r, ngx_http_flux_query_t *query,
    ngx_str_t *value)
{
    ngx_str_t  *key;

    if (query->keys == NULL) {
        query->keys = ngx_array_create(query->pool, 4, sizeof(ngx_str_t));
        if (query->keys == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (query->keys->nelts == NGX_HTTP_FLUX_KEYS_MAX) {
        return NGX_HTTP_BAD_REQUEST;
    }

    key = ngx_array_push(query->keys);
    if (key == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    key->len = flux_json_escaped_size(value->data, value->len);
    key->data = ngx_pnalloc(query->pool, key->len + 1);

    if (key->data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) flux_json_escape(key->data, value->data, value->len);

    return NGX_OK;
}


/* --- addresses ----------------------------------------------------------- */

ngx_int_t
ngx_http_flux_address(ngx_pool_t *pool, ngx_http_flux_main_conf_t *fmcf,
    ngx_str_t *text, ngx_http_flux_address_t *address, ngx_str_t *room)
{
    size_t   len;
    u_char  *slash, *p;

    slash = ngx_strlchr(text->data, text->data + text->len, '/');
    len = slash ? (size_t) (slash - text->data) : text->len;

    address->feed = ngx_http_flux_find_feed(fmcf, text->data, len);
    ngx_str_null(room);

    if (address->feed == NULL) {
        return NGX_DECLINED;
    }

    if (slash == NULL) {
        address->text = address->feed->name;

        return address->feed->room_rule == NGX_HTTP_FLUX_ROOM_NONE
               ? NGX_OK : NGX_DECLINED;
    }

    room->data = slash + 1;
    room->len = text->data + text->len - room->data;

    if (address->feed->room_rule == NGX_HTTP_FLUX_ROOM_NONE
        || !ngx_http_flux_valid_room(room))
    {
        return NGX_DECLINED;
    }

    address->text.len = len + 1
                        + flux_json_escaped_size(room->data, room->len);
    address->text.data = ngx_pnalloc(pool, address->text.len);

    if (address->text.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(address->text.data, text->data, len);
    *p++ = '/';
    (void) flux_json_escape(p, room->data, room->len);

    return NGX_OK;
}


ngx_uint_t
ngx_http_flux_allowed(ngx_http_flux_loc_conf_t *flcf,
    ngx_http_flux_address_t *address, ngx_str_t *room)
{
    ngx_uint_t                i;
    ngx_http_flux_pattern_t  *pattern;

    if (flcf->patterns == NULL) {
        return 0;
    }

    pattern = flcf->patterns->elts;

    for (i = 0; i < flcf->patterns->nelts; i++) {

        if (pattern[i].feed != address->feed) {
            continue;
        }

        if (pattern[i].room.len == room->len
            && (room->len == 0
                || ngx_memcmp(pattern[i].room.data, room->data, room->len)
                   == 0))
        {
            return 1;
        }

        if (pattern[i].room.len == 1 && pattern[i].room.data[0] == '*') {
            return 1;
        }
    }

    return 0;
}
