#include "ngx_http_flux_websocket.h"

#include "core/flux_json.h"


#define NGX_HTTP_FLUX_NOT_ACCEPTABLE  406    /* RFC 9110, 15.5.7 */


/* How long a poll waits when it does not say, and at the most; in ms. */
#define NGX_HTTP_FLUX_WAIT      25000
#define NGX_HTTP_FLUX_WAIT_MAX  60000

/* The slowest stream that a client may ask for, in ms. */
#define NGX_HTTP_FLUX_PACE_MAX  60000

/* RFC 8446, 5.1: what OpenSSL tells of at once, sent or not. */
#define NGX_HTTP_FLUX_TLS_RECORD  16384

/* What most requests need for their addresses and arguments. */
#define NGX_HTTP_FLUX_QUERY_POOL  512

/* Keys that a client may narrow its stream to. */
#define NGX_HTTP_FLUX_KEYS_MAX  256


static ngx_int_t ngx_http_flux_transport(ngx_http_request_t *r,
    ngx_http_flux_transport_t **transport);
static ngx_int_t ngx_http_flux_query_run(ngx_http_request_t *r,
    ngx_http_flux_query_t *query, ngx_http_flux_transport_t *transport);
static ngx_int_t ngx_http_flux_query_streams(ngx_http_request_t *r,
    ngx_http_flux_query_t *query);
static ngx_int_t ngx_http_flux_query_args(ngx_http_request_t *r,
    ngx_http_flux_query_t *query);
static ngx_int_t ngx_http_flux_query_arg(ngx_http_request_t *r,
    ngx_http_flux_query_t *query, ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_flux_query_room(ngx_http_request_t *r,
    ngx_http_flux_query_t *query, ngx_str_t *value);
static ngx_int_t ngx_http_flux_query_key(ngx_http_request_t *r,
    ngx_http_flux_query_t *query, ngx_str_t *value);


ngx_int_t
ngx_http_flux_request_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc, allowed;
    ngx_str_t                   origin;
    ngx_http_flux_query_t       query;
    ngx_http_flux_loc_conf_t   *flcf;
    ngx_http_flux_transport_t  *transport;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    if (r != r->main) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "flux_stream cannot serve a subrequest");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_flux_add_header(r, "Cache-Control", "no-store") == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    allowed = ngx_http_flux_check_origin(r, flcf, &origin);
    rc = ngx_http_flux_method(r);

    if (rc == NGX_OK) {
        rc = allowed;
    }

    if (rc == NGX_OK && r->method == NGX_HTTP_OPTIONS) {
        return ngx_http_flux_preflight(r);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_flux_transport(r, &transport);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_memzero(&query, sizeof(ngx_http_flux_query_t));
    query.wait = NGX_HTTP_FLUX_WAIT;
    query.pace = flcf->pace;

    /* the request's own pool lives as long as the stream */

    query.pool = ngx_create_pool(NGX_HTTP_FLUX_QUERY_POOL,
                                 r->connection->log);
    if (query.pool == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_flux_query_streams(r, &query);

    if (rc == NGX_OK) {
        rc = ngx_http_flux_query_args(r, &query);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_flux_query_run(r, &query, transport);
    }

    ngx_destroy_pool(query.pool);

    return rc;
}


static ngx_int_t
ngx_http_flux_query_run(ngx_http_request_t *r, ngx_http_flux_query_t *query,
    ngx_http_flux_transport_t *transport)
{
    ngx_msec_t                wait;
    ngx_http_flux_channel_t  *channel;

    if (query->addresses.nelts > NGX_HTTP_FLUX_ROOMS_MAX
        || (query->keys != NULL && query->addresses.nelts != 1))
    {
        return NGX_HTTP_BAD_REQUEST;
    }

    channel = ngx_http_flux_channel_get(query->addresses.elts,
                                        query->addresses.nelts, query->keys,
                                        query->pace);
    if (channel == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    wait = 0;

    if (transport == &ngx_http_flux_poll && query->cursor.len) {
        wait = ngx_max(query->wait, 1);
    }

    return ngx_http_flux_reader_create(r, transport, channel, &query->cursor,
                                       wait);
}


/* --- headers --------------------------------------------------------------- */

ngx_str_t *
ngx_http_flux_header(ngx_http_request_t *r, const char *name)
{
    size_t            len = ngx_strlen(name);
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == len
            && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
        {
            return &h[i].value;
        }
    }
}


/* RFC 9110, 12.4.2: a weight of 0 is "not acceptable". */

static ngx_uint_t
ngx_http_flux_refused(u_char *p, u_char *last)
{
    while (p < last && (*p == ';' || *p == ' ' || *p == '\t')) {
        p++;
    }

    if (last - p < 3 || (*p | 0x20) != 'q' || p[1] != '=' || p[2] != '0') {
        return 0;
    }

    for (p += 3; p < last && (*p == '.' || *p == '0'); p++) { /* void */ }

    return p == last || *p == ' ' || *p == '\t';
}


/*
 * The next element of a list (RFC 9110, 5.6.1), without its parameters; empty
 * when it is refused.
 */

static ngx_str_t
ngx_http_flux_list_next(u_char **from, u_char *last)
{
    u_char     *p, *end;
    ngx_str_t   token;

    end = ngx_strlchr(*from, last, ',');
    end = end ? end : last;

    for (p = *from; p < end && (*p == ' ' || *p == '\t'); p++) { /* void */ }

    token.data = p;

    while (p < end && *p != ';' && *p != ' ' && *p != '\t') {
        p++;
    }

    token.len = ngx_http_flux_refused(p, end) ? 0 : p - token.data;
    *from = end < last ? end + 1 : last;

    return token;
}


ngx_uint_t
ngx_http_flux_header_has(ngx_http_request_t *r, const char *name,
    const char *token)
{
    size_t            len = ngx_strlen(name);
    u_char           *p, *last;
    ngx_str_t         found;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != len
                || ngx_strncasecmp(h[i].key.data, (u_char *) name, len) != 0)
            {
                continue;
            }

            p = h[i].value.data;
            last = p + h[i].value.len;

            while (p < last) {
                found = ngx_http_flux_list_next(&p, last);

                if (found.len == ngx_strlen(token)
                    && ngx_strncasecmp(found.data, (u_char *) token, found.len)
                       == 0)
                {
                    return 1;
                }
            }
        }
    }

    return 0;
}


ngx_table_elt_t *
ngx_http_flux_add_header(ngx_http_request_t *r, const char *name,
    const char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = ngx_strlen(value);

    return h;
}


static ngx_table_elt_t *
ngx_http_flux_add_header_str(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_http_flux_add_header(r, name, "");

    if (h != NULL) {
        h->value = *value;
    }

    return h;
}


static ngx_uint_t
ngx_http_flux_streams(ngx_http_request_t *r)
{
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    return flcf->streams != NULL;
}


static const char *
ngx_http_flux_methods(ngx_http_request_t *r)
{
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    if (flcf->publish == NULL) {
        return "GET, OPTIONS";
    }

    return flcf->streams ? "GET, POST, OPTIONS" : "POST, OPTIONS";
}


ngx_int_t
ngx_http_flux_method(ngx_http_request_t *r)
{
    if ((r->method == NGX_HTTP_GET && ngx_http_flux_streams(r))
        || (r->method == NGX_HTTP_OPTIONS
            && ngx_http_flux_header(r, "origin") != NULL))
    {
        return NGX_OK;
    }

    if (ngx_http_flux_add_header(r, "Allow", ngx_http_flux_methods(r))
        == NULL)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_NOT_ALLOWED;
}


/* --- origin ---------------------------------------------------------------- */

/*
 * RFC 6454: scheme "://" host [":" port]; Host has the two latter, and some
 * clients write a port there that is the scheme's own.
 */

static ngx_uint_t
ngx_http_flux_same_origin(ngx_http_request_t *r, ngx_str_t *origin)
{
    size_t      len;
    u_char     *host;
    ngx_str_t   rest, *named;

    host = ngx_strnstr(origin->data, "://", origin->len);

    if (host == NULL || r->headers_in.host == NULL) {
        return 0;
    }

    named = &r->headers_in.host->value;
    len = named->len;

    rest.data = host + 3;
    rest.len = origin->data + origin->len - rest.data;

    if (len == rest.len + 3
        && ngx_strncmp(named->data + rest.len, ":80", 3) == 0
        && ngx_strncasecmp(origin->data, (u_char *) "http:", 5) == 0)
    {
        len -= 3;
    }

    if (len == rest.len + 4
        && ngx_strncmp(named->data + rest.len, ":443", 4) == 0
        && ngx_strncasecmp(origin->data, (u_char *) "https:", 6) == 0)
    {
        len -= 4;
    }

    return rest.len == len
           && ngx_strncasecmp(rest.data, named->data, len) == 0;
}


static ngx_uint_t
ngx_http_flux_listed_origin(ngx_http_request_t *r, ngx_array_t *origins,
    ngx_str_t *origin)
{
    ngx_str_t   *listed = origins->elts;
    ngx_uint_t   i;

    for (i = 0; i < origins->nelts; i++) {

        if (ngx_strcmp(listed[i].data, "same") == 0
            && ngx_http_flux_same_origin(r, origin))
        {
            return 1;
        }

        if (listed[i].len == origin->len
            && ngx_strncasecmp(listed[i].data, origin->data, origin->len) == 0)
        {
            return 1;
        }
    }

    return origins->nelts == 0;
}


ngx_int_t
ngx_http_flux_check_origin(ngx_http_request_t *r,
    ngx_http_flux_loc_conf_t *flcf, ngx_str_t *origin)
{
    ngx_str_t   *value;
    ngx_uint_t   allowed;

    value = ngx_http_flux_header(r, "origin");

    if (value == NULL) {
        /* not a browser, or a page of the same origin */
        return NGX_OK;
    }

    allowed = flcf->origins == NULL
              ? ngx_http_flux_same_origin(r, value)
              : ngx_http_flux_listed_origin(r, flcf->origins, value);

    if (ngx_http_flux_add_header(r, "Vary", "Origin") == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!allowed) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "flux_origin does not allow \"%V\"", value);
        return NGX_HTTP_FORBIDDEN;
    }

    return ngx_http_flux_add_header_str(r, "Access-Control-Allow-Origin",
                                        value)
           != NULL ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


ngx_int_t
ngx_http_flux_preflight(ngx_http_request_t *r)
{
    ngx_int_t   rc;
    ngx_str_t  *asked;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    asked = ngx_http_flux_header(r, "access-control-request-headers");

    if (ngx_http_flux_add_header(r, "Access-Control-Allow-Methods",
                                 ngx_http_flux_methods(r))
        == NULL
        || ngx_http_flux_add_header(r, "Access-Control-Max-Age", "86400")
           == NULL
        || (asked != NULL
            && ngx_http_flux_add_header_str(r, "Access-Control-Allow-Headers",
                                            asked)
               == NULL))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_NO_CONTENT;
    r->header_only = 1;

    return ngx_http_send_header(r);
}


/* --- transport ------------------------------------------------------------- */

static ngx_int_t
ngx_http_flux_transport(ngx_http_request_t *r,
    ngx_http_flux_transport_t **transport)
{
    ngx_uint_t                 bit;
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    if (ngx_http_flux_header_has(r, "upgrade", "websocket")) {
        *transport = &ngx_http_flux_websocket;
        bit = NGX_HTTP_FLUX_WEBSOCKET;

    } else if (ngx_http_flux_header_has(r, "accept", "text/event-stream")) {
        *transport = &ngx_http_flux_sse;
        bit = NGX_HTTP_FLUX_SSE;

    } else {
        *transport = &ngx_http_flux_poll;
        bit = NGX_HTTP_FLUX_POLL;
    }

    if (!(flcf->transports & bit)) {
        return NGX_HTTP_FLUX_NOT_ACCEPTABLE;
    }

    return bit == NGX_HTTP_FLUX_WEBSOCKET
           ? ngx_http_flux_websocket_check(r) : NGX_OK;
}


ngx_int_t
ngx_http_flux_send_header(ngx_http_request_t *r)
{
    ngx_int_t          rc;
    ngx_connection_t  *c = r->connection;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return rc == NGX_ERROR ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
    }

    if (r->http_version >= NGX_HTTP_VERSION_20) {
        rc = ngx_http_send_special(r, NGX_HTTP_FLUSH);

    } else {

        /* no body goes through the filters: they need no context for it */

        while (rc != NGX_ERROR && rc != NGX_AGAIN && r->out != NULL) {
            rc = ngx_http_write_filter(r, NULL);
        }

        if (rc == NGX_AGAIN && r->out == NULL && c->buffered) {
            /* it is in the buffer of TLS */
            rc = ngx_http_write_filter(r, NULL);
        }
    }

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_flux_send(ngx_http_flux_reader_t *reader, ngx_str_t *bytes,
    size_t *sent)
{
    size_t               size;
    ssize_t              n;
    ngx_http_request_t  *r = reader->request;
    ngx_connection_t    *c = reader->connection;

    if (r != NULL && (r->out != NULL || c->buffered)) {

        /* the header is still on its way */

        if (ngx_http_write_filter(r, NULL) == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (r->out != NULL || c->buffered) {
            return NGX_AGAIN;
        }
    }

    while (*sent < bytes->len) {

        size = bytes->len - *sent;

#if (NGX_HTTP_SSL)
        if (c->ssl != NULL) {
            size = ngx_min(size, NGX_HTTP_FLUX_TLS_RECORD);
        }
#endif

        n = c->send(c, bytes->data + *sent, size);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (n == NGX_AGAIN || n == 0) {
            return ngx_handle_write_event(c->write, 0) == NGX_OK ? NGX_AGAIN
                                                                 : NGX_ERROR;
        }

        *sent += n;
    }

    reader->direct = c->send == ngx_send;

    return NGX_OK;
}


u_char *
ngx_http_flux_end_message(u_char *p, ngx_http_flux_end_t why,
    ngx_msec_t retry)
{
    static char  *reasons[] = { "slow", "reload", "expired", "quit" };

    return ngx_sprintf(p, "{\"type\":\"end\",\"reason\":\"%s\",\"retry\":%M}",
                       reasons[why], retry);
}


/* --- addresses ------------------------------------------------------------- */

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

    address->text.len = len + 1 + flux_json_escaped_size(room->data, room->len);
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


/* --- arguments ------------------------------------------------------------- */

static ngx_int_t
ngx_http_flux_query_args(ngx_http_request_t *r, ngx_http_flux_query_t *query)
{
    u_char     *p, *end, *last, *dst, *src;
    ngx_int_t   rc;
    ngx_str_t   name, value, *header;

    header = ngx_http_flux_header(r, "last-event-id");

    if (header != NULL) {
        query->cursor = *header;
    }

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

        /* application/x-www-form-urlencoded, as URLSearchParams writes */

        src = value.data;
        dst = ngx_pnalloc(query->pool, value.len + 1);
        if (dst == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_memcpy(dst, src, value.len);
        value.data = dst;

        for (src = dst; src < dst + value.len; src++) {
            if (*src == '+') {
                *src = ' ';
            }
        }

        src = value.data;
        ngx_unescape_uri(&dst, &src, value.len, 0);
        value.len = dst - value.data;

        rc = ngx_http_flux_query_arg(r, query, &name, &value);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_flux_named(ngx_str_t *name, const char *text)
{
    return name->len == ngx_strlen(text)
           && ngx_memcmp(name->data, text, name->len) == 0;
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

        if (ngx_http_flux_header(r, "last-event-id") == NULL) {
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
        ms = ngx_parse_time(value, 0);

        if (ms != NGX_ERROR && value->len) {
            query->wait = ngx_min(ms, NGX_HTTP_FLUX_WAIT_MAX);
        }

        return NGX_OK;
    }

    if (ngx_http_flux_named(name, "pace")) {
        ms = ngx_parse_time(value, 0);

        if (ms != NGX_ERROR && value->len) {
            ms = ngx_min(ms, NGX_HTTP_FLUX_PACE_MAX);
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
