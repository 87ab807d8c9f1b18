/*
 * A copy is "flux1 SIGNATURE", then for each record "TS KEY_LENGTH LENGTH" and
 * its message, each on a line of its own.  The keys renewed last come first,
 * as many as fit.
 */

#include "ngx_http_flux_cache_parts.h"
#include "ngx_http_flux_kafka.h"
#include "ngx_http_flux_text.h"

#include "core/flux_json.h"
#include "core/flux_pointer.h"


/* another layout has another one */
#define NGX_HTTP_FLUX_COPY_MAGIC  "flux1"

/* the first line, with its newline */
#define NGX_HTTP_FLUX_COPY_FIRST  (sizeof(NGX_HTTP_FLUX_COPY_MAGIC) + 16 + 1)

/* what stands with a message, at most: three numbers and both newlines */
#define NGX_HTTP_FLUX_COPY_LINE                                               \
    (NGX_INT64_LEN + 2 * (NGX_INT32_LEN + 1) + 2)

/* the most that is kept of a room, in bytes */
#define NGX_HTTP_FLUX_COPY_MAX    (1024 * 1024)

#define NGX_HTTP_FLUX_COPY_HEAD   "{\"type\":\"update\",\"room\":\""
#define NGX_HTTP_FLUX_COPY_KEY    "\",\"key\":\""


/* A record as a copy has it. */

typedef struct {
    int64_t     ts;
    size_t      key_length;
    u_char     *message;
    size_t      length;
} ngx_http_flux_cached_t;


static u_char *ngx_http_flux_cache_first(ngx_http_flux_feed_t *feed,
    u_char *p);
static u_char *ngx_http_flux_cache_next(u_char *p, u_char *last,
    ngx_http_flux_cached_t *record);
static u_char *ngx_http_flux_cache_number(u_char *p, u_char *last, u_char end,
    int64_t *n);
static ngx_uint_t ngx_http_flux_cache_address(ngx_http_flux_feed_t *feed,
    ngx_str_t *address);
static ngx_uint_t ngx_http_flux_cache_escaped(const u_char *p, size_t len);
static ngx_uint_t ngx_http_flux_cache_valid(ngx_str_t *address,
    ngx_http_flux_cached_t *record);
static ngx_int_t ngx_http_flux_cache_append(flux_log_t *log,
    ngx_http_flux_feed_t *feed, uint32_t partition, ngx_str_t *address,
    ngx_http_flux_cached_t *record);


static u_char *
ngx_http_flux_cache_first(ngx_http_flux_feed_t *feed, u_char *p)
{
    return ngx_sprintf(p, NGX_HTTP_FLUX_COPY_MAGIC " %016xL\n",
                       feed->signature);
}


/* --- writing ------------------------------------------------------------- */

u_char *
ngx_http_flux_cache_copy(flux_log_t *log, uint32_t node,
    ngx_http_flux_feed_t *feed, size_t *len, ngx_log_t *errors)
{
    u_char                *p;
    uint32_t               k, i;
    uint64_t               at;
    flux_key_t            *key;
    flux_entry_t          *entry;
    ngx_http_flux_text_t   text;

    if (flux_log_room(log, node)->keys == 0) {
        return NULL;
    }

    ngx_memzero(&text, sizeof(ngx_http_flux_text_t));
    text.log = errors;

    p = ngx_http_flux_text_extend(&text, NGX_HTTP_FLUX_COPY_FIRST);
    if (p == NULL) {
        return NULL;
    }

    text.len = ngx_http_flux_cache_first(feed, p) - text.data;

    for (k = flux_log_room(log, node)->last; k != FLUX_NONE; k = key->prev) {

        key = flux_log_key(log, k);
        at = key->oldest;

        for (i = key->count; i; i--) {
            entry = flux_log_entry(log, at);
            at = entry->newer;

            if (NGX_HTTP_FLUX_COPY_MAX - text.len
                < NGX_HTTP_FLUX_COPY_LINE + entry->message_length)
            {
                goto done;
            }

            ngx_http_flux_text_print(&text, "%L %uD %uD\n", entry->ts,
                                     entry->key_length, entry->message_length);
            ngx_http_flux_text_add(&text, flux_log_message(entry),
                                   entry->message_length);
            ngx_http_flux_text_literal(&text, "\n");
        }
    }

done:

    if (text.failed) {
        ngx_free(text.data);
        return NULL;
    }

    *len = text.len;

    return text.data;
}


/* --- taking -------------------------------------------------------------- */

void
ngx_http_flux_cache_take(flux_log_t *log, ngx_http_flux_feed_t *feed,
    uint32_t partition, ngx_str_t *address, ngx_str_t *copy,
    ngx_http_flux_cache_count_t *count)
{
    u_char                  *p, *last, first[NGX_HTTP_FLUX_COPY_FIRST];
    size_t                   len;
    ngx_int_t                rc;
    ngx_http_flux_cached_t   record;

    len = ngx_http_flux_cache_first(feed, first) - first;

    if (copy->len < len || ngx_memcmp(copy->data, first, len) != 0) {
        count->refused++;
        return;
    }

    p = copy->data + len;
    last = copy->data + copy->len;

    while (p < last) {

        p = ngx_http_flux_cache_next(p, last, &record);
        rc = NGX_DECLINED;

        if (p != NULL
            && record.length <= log->header->max_entry
            && ngx_http_flux_cache_address(feed, address)
            && ngx_http_flux_cache_valid(address, &record))
        {
            rc = ngx_http_flux_cache_append(log, feed, partition, address,
                                            &record);
        }

        if (rc == NGX_DECLINED) {
            /* nor is the rest to be trusted */
            count->refused++;
            return;
        }

        if (rc == NGX_OK) {
            count->taken++;
        }
    }
}


/* Where the next record begins; NULL: this is not one. */

static u_char *
ngx_http_flux_cache_next(u_char *p, u_char *last,
    ngx_http_flux_cached_t *record)
{
    int64_t  key_length, length;

    p = ngx_http_flux_cache_number(p, last, ' ', &record->ts);
    p = p ? ngx_http_flux_cache_number(p, last, ' ', &key_length) : NULL;
    p = p ? ngx_http_flux_cache_number(p, last, '\n', &length) : NULL;

    if (p == NULL || length >= last - p || p[length] != '\n') {
        return NULL;
    }

    record->message = p;
    record->length = (size_t) length;
    record->key_length = (size_t) key_length;

    return p + length + 1;
}


/* A number of at most 18 digits and what ends it; NULL when it is not one. */

static u_char *
ngx_http_flux_cache_number(u_char *p, u_char *last, u_char end, int64_t *n)
{
    u_char  *first = p;

    for (*n = 0; p < last && *p >= '0' && *p <= '9' && p - first < 18; p++) {
        *n = *n * 10 + (*p - '0');
    }

    return p > first && p < last && *p == end ? p + 1 : NULL;
}


static ngx_uint_t
ngx_http_flux_cache_address(ngx_http_flux_feed_t *feed, ngx_str_t *address)
{
    size_t   len = address->len;
    u_char  *p = address->data;

    if (len < feed->name.len
        || ngx_memcmp(p, feed->name.data, feed->name.len) != 0)
    {
        return 0;
    }

    if (feed->room_rule == NGX_HTTP_FLUX_ROOM_NONE) {
        return len == feed->name.len;
    }

    p += feed->name.len;
    len -= feed->name.len;

    return len > 1 && len <= 1 + NGX_HTTP_FLUX_ROOM_MAX * 2 && p[0] == '/'
           && ngx_http_flux_cache_escaped(p, len);
}


/* Is this the text of a JSON string, escaped as it has to be? */

static ngx_uint_t
ngx_http_flux_cache_escaped(const u_char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {

        if (p[i] == '"' || p[i] < 0x20) {
            return 0;
        }

        if (p[i] == '\\' && ++i == len) {
            return 0;
        }
    }

    return 1;
}


/* Is it JSON, with all the parts where they have to stand? */

static ngx_uint_t
ngx_http_flux_cache_valid(ngx_str_t *address, ngx_http_flux_cached_t *record)
{
    size_t         at, newlines, size, len;
    u_char        *p, *key, end[64], *message = record->message;
    const u_char  *data;

    if (record->key_length > record->length
        || flux_json_check(message, record->length, &newlines)
           != FLUX_JSON_OK
        || newlines)
    {
        return 0;
    }

    size = ngx_sprintf(end, "\",\"ts\":%L,\"data\":", record->ts) - end;
    at = flux_message_key_at(address->len);

    if (at + record->key_length + size >= record->length) {
        return 0;
    }

    p = message + FLUX_MESSAGE_PREFIX;
    key = message + at;

    if (ngx_memcmp(message, NGX_HTTP_FLUX_COPY_HEAD, FLUX_MESSAGE_PREFIX) != 0
        || ngx_memcmp(p, address->data, address->len) != 0
        || ngx_memcmp(p + address->len, NGX_HTTP_FLUX_COPY_KEY,
                      sizeof(NGX_HTTP_FLUX_COPY_KEY) - 1)
           != 0
        || !ngx_http_flux_cache_escaped(key, record->key_length)
        || ngx_memcmp(key + record->key_length, end, size) != 0)
    {
        return 0;
    }

    data = flux_pointer_value(message, record->length, (u_char *) "/data", 5,
                              &len);

    return data == key + record->key_length + size
           && data + len + 1 == message + record->length;
}


/* NGX_DONE: it is too old to be shown. */

static ngx_int_t
ngx_http_flux_cache_append(flux_log_t *log, ngx_http_flux_feed_t *feed,
    uint32_t partition, ngx_str_t *address, ngx_http_flux_cached_t *record)
{
    u_char         *p;
    flux_append_t   what;

    if (feed->expire
        && record->ts < ngx_http_flux_kafka_now() - feed->expire)
    {
        return NGX_DONE;
    }

    what.feed = feed->slot;
    what.partition = partition;
    what.offset = log->partitions[partition].next;
    what.ts = record->ts;
    what.check = 1;
    what.kind = FLUX_ENTRY_RECORD;
    what.message_length = (uint32_t) record->length;
    what.address_length = (uint32_t) address->len;
    what.key_length = (uint32_t) record->key_length;
    what.room_hash = 0;
    what.key_hash = 0;

    p = flux_log_reserve(log, &what);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    ngx_memcpy(p, record->message, record->length);
    flux_log_append(log, &what);

    return NGX_OK;
}
