/*
 * Records of Kafka become entries of the log.  What can be found out about a
 * record alone is found out before the lock is taken.
 */

#include "ngx_http_flux_consumer.h"

#include "core/flux_json.h"
#include "core/flux_pointer.h"


/* a message has a record in each feed of its topic */
#define NGX_HTTP_FLUX_RECORDS  (NGX_HTTP_FLUX_BATCH_MESSAGES + FLUX_LOG_FEEDS)

/* records between two steps towards what one will look at */
#define NGX_HTTP_FLUX_AHEAD  8

/* the bytes of a value that are fetched ahead; then the hardware runs ahead */
#define NGX_HTTP_FLUX_FETCH  512
#define NGX_HTTP_FLUX_CACHE_LINE  64

/* escaped: feed, slash, room */
#define NGX_HTTP_FLUX_ADDRESS_MAX  4096

#define NGX_HTTP_FLUX_SKIP_NONE    -1

#define NGX_HTTP_FLUX_SKIP_INTERVAL  10000      /* ms between lines */


typedef struct {
    ngx_http_flux_source_t    *source;
    ngx_http_flux_position_t  *position;
    flux_message_t             message;
    flux_append_t              append;
    int                        skip;        /* a flux_skip_t, or none */
    unsigned                   eof:1;       /* no record: the end */
    unsigned                   seek:1;      /* it is to say where it lives */
    u_char                    *escaped;     /* the key of one that seeks */
    u_char                     room[NGX_HTTP_FLUX_ROOM_MAX];
} ngx_http_flux_record_t;


static void ngx_http_flux_record_fetch(ngx_http_flux_consumer_t *consumer);
static ngx_int_t ngx_http_flux_record_message(
    ngx_http_flux_consumer_t *consumer, rd_kafka_message_t *message);
static ngx_int_t ngx_http_flux_record_verify(ngx_http_flux_source_t *source,
    rd_kafka_message_t *message, uint16_t check);
static void ngx_http_flux_record_prepare(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record, rd_kafka_message_t *message, int64_t now);
static void ngx_http_flux_record_value(ngx_http_flux_record_t *record,
    rd_kafka_message_t *message, ngx_http_flux_feed_t *feed);
static void ngx_http_flux_record_room(ngx_http_flux_record_t *record,
    rd_kafka_message_t *message, ngx_http_flux_feed_t *feed);
static ngx_int_t ngx_http_flux_record_flush(
    ngx_http_flux_consumer_t *consumer);
static void ngx_http_flux_record_ahead(ngx_http_flux_consumer_t *consumer,
    size_t i);
static void ngx_http_flux_record_append(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record);
static int ngx_http_flux_record_store(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record);
static int ngx_http_flux_record_store_delete(
    ngx_http_flux_consumer_t *consumer, ngx_http_flux_record_t *record);
static void ngx_http_flux_record_eof(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record);
static void ngx_http_flux_record_skipped(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record, int reason);


/* of the one thread that uses them: consumers take turns */
static ngx_http_flux_record_t  ngx_http_flux_records[NGX_HTTP_FLUX_RECORDS];
static size_t                  ngx_http_flux_nrecords;

static const char  *ngx_http_flux_skip_names[] = {
    "not JSON", "no room", "too large", "expired"
};


ngx_int_t
ngx_http_flux_kafka_take(ngx_http_flux_consumer_t *consumer)
{
    size_t               i, bytes;
    ssize_t              n;
    ngx_int_t            rc;
    ngx_uint_t           fresh;
    rd_kafka_message_t  *message;

    fresh = consumer->taken == consumer->nmessages;

    if (fresh) {

        n = rd_kafka_consume_batch_queue(consumer->client.queue, 0,
                                         consumer->messages,
                                         NGX_HTTP_FLUX_BATCH_MESSAGES);
        if (n <= 0) {
            return NGX_OK;
        }

        consumer->nmessages = n;
        consumer->taken = 0;

        if (n == NGX_HTTP_FLUX_BATCH_MESSAGES) {
            ngx_http_flux_kafka_memory(consumer);
        }
    }

    if (consumer->down) {

        /*
         * The client has found a cluster again.  Whether it is the same one
         * is not known yet: what is read before is read again.
         */

        ngx_http_flux_kafka_forget(consumer, NULL);
        consumer->taken = consumer->nmessages;

        return NGX_AGAIN;
    }

    ngx_http_flux_nrecords = 0;
    bytes = 0;
    i = consumer->taken;
    rc = NGX_OK;

    while (consumer->taken < consumer->nmessages
           && bytes < NGX_HTTP_FLUX_BATCH_BYTES
           && ngx_http_flux_nrecords < NGX_HTTP_FLUX_BATCH_MESSAGES)
    {
        message = consumer->messages[consumer->taken++];

        if (message == NULL) {
            continue;
        }

        bytes += message->len + message->key_len;
        ngx_http_flux_record_fetch(consumer);

        if (ngx_http_flux_record_message(consumer, message) == NGX_DECLINED) {
            rc = NGX_DECLINED;
            break;
        }
    }

    if (rc == NGX_OK) {
        rc = ngx_http_flux_record_flush(consumer);
    }

    ngx_http_flux_kafka_fetch_taken(consumer, consumer->taken - i, bytes);

    for ( /* void */ ; i < consumer->taken; i++) {
        if (consumer->messages[i] != NULL) {
            rd_kafka_message_destroy(consumer->messages[i]);
        }
    }

    if (rc != NGX_OK) {
        return rc;
    }

    /* while an older batch was worked off, the queue's wake-up may have come */

    return (!fresh || consumer->taken < consumer->nmessages
            || consumer->nmessages == NGX_HTTP_FLUX_BATCH_MESSAGES)
           ? NGX_AGAIN : NGX_OK;
}


/* A value was written by another processor: fetch one that comes soon. */

static void
ngx_http_flux_record_fetch(ngx_http_flux_consumer_t *consumer)
{
    size_t               i, len;
    rd_kafka_message_t  *message;

    i = consumer->taken - 1 + NGX_HTTP_FLUX_AHEAD;
    message = i < consumer->nmessages ? consumer->messages[i] : NULL;

    if (message != NULL && message->payload != NULL) {
        len = ngx_min(message->len, NGX_HTTP_FLUX_FETCH);

        for (i = 0; i < len; i += NGX_HTTP_FLUX_CACHE_LINE) {
            __builtin_prefetch((u_char *) message->payload + i);
        }
    }
}


void
ngx_http_flux_kafka_forget(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_source_t *source)
{
    size_t               i;
    rd_kafka_message_t  *message;

    for (i = consumer->taken; i < consumer->nmessages; i++) {
        message = consumer->messages[i];

        if (message == NULL) {
            continue;
        }

        if (source == NULL
            || (message->rkt == source->topic->handle
                && message->partition == source->number))
        {
            rd_kafka_message_destroy(message);
            consumer->messages[i] = NULL;
        }
    }
}


static ngx_int_t
ngx_http_flux_record_message(ngx_http_flux_consumer_t *consumer,
    rd_kafka_message_t *message)
{
    int64_t                    now;
    uint16_t                   check;
    ngx_uint_t                 i;
    ngx_http_flux_topic_t     *topic;
    ngx_http_flux_record_t    *record;
    ngx_http_flux_source_t    *source;
    ngx_http_flux_position_t  *position;

    topic = message->rkt ? rd_kafka_topic_opaque(message->rkt) : NULL;
    source = topic ? ngx_http_flux_kafka_source(topic, message->partition)
                   : NULL;

    if (source == NULL || !source->reading) {
        return NGX_OK;
    }

    check = 0;

    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {

        /* what Kafka says of the time is the same at every node */

        check = flux_record_check(message->key, message->key_len,
                                  message->payload, message->len,
                                  rd_kafka_message_timestamp(message, NULL));

        if (ngx_http_flux_record_verify(source, message, check) != NGX_OK) {

            if (ngx_http_flux_record_flush(consumer) != NGX_OK) {
                return NGX_DECLINED;
            }

            ngx_http_flux_kafka_recreated(topic);
            return NGX_OK;
        }

    } else if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {

        if (ngx_http_flux_record_flush(consumer) != NGX_OK) {
            return NGX_DECLINED;
        }

        ngx_http_flux_kafka_source_error(source, message->err,
                                         rd_kafka_message_errstr(message));
        return NGX_OK;
    }

    now = ngx_http_flux_kafka_now();

    for (i = 0; i < topic->feeds.nelts; i++) {
        position = &source->positions[i];

        if (position->partition == FLUX_NONE) {
            continue;
        }

        record = &ngx_http_flux_records[ngx_http_flux_nrecords++];

        record->source = source;
        record->position = position;
        record->append.feed = position->feed->slot;
        record->append.partition = position->partition;
        record->append.offset = message->offset;
        record->append.check = check;
        record->append.room_hash = 0;
        record->append.key_hash = 0;
        record->skip = NGX_HTTP_FLUX_SKIP_NONE;
        record->eof = (message->err != 0);
        record->seek = 0;
        record->escaped = NULL;

        if (!record->eof) {
            ngx_http_flux_record_prepare(consumer, record, message, now);
        }
    }

    return NGX_OK;
}


/*
 * Reading begins at the last record that is in the log: if it is not the same
 * one, the topic is not the same either.
 */

static ngx_int_t
ngx_http_flux_record_verify(ngx_http_flux_source_t *source,
    rd_kafka_message_t *message, uint16_t check)
{
    ngx_uint_t                 i;
    flux_partition_t          *partition;
    ngx_http_flux_topic_t     *topic = source->topic;
    ngx_http_flux_position_t  *position;

    for (i = 0; i < topic->feeds.nelts; i++) {
        position = &source->positions[i];

        if (!position->verify) {
            continue;
        }

        partition = ngx_http_flux_position_partition(topic->consumer,
                                                     position);

        if (message->offset < partition->last) {
            continue;
        }

        position->verify = 0;

        if (message->offset == partition->last && partition->check != 0
            && partition->check != check)
        {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


static void
ngx_http_flux_record_prepare(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record, rd_kafka_message_t *message, int64_t now)
{
    flux_message_t        *m = &record->message;
    flux_partition_t      *partition;
    ngx_http_flux_feed_t  *feed = record->position->feed;

    partition = ngx_http_flux_position_partition(consumer, record->position);

    if (message->offset < partition->next) {
        /* another feed needs it */
        return;
    }

    ngx_memzero(m, sizeof(flux_message_t));

    m->feed = feed->name.data;
    m->feed_size = feed->name.len;
    m->key = message->key;
    m->key_size = message->key ? message->key_len : 0;
    m->value = message->payload;
    m->value_size = message->payload ? message->len : 0;
    m->format = feed->format;
    m->ts = rd_kafka_message_timestamp(message, NULL);

    if (m->ts < 0) {
        m->ts = now;
    }

    if (feed->expire && m->ts < now - feed->expire) {
        record->skip = FLUX_SKIP_EXPIRED;
        return;
    }

    ngx_http_flux_record_value(record, message, feed);

    if (record->skip == NGX_HTTP_FLUX_SKIP_NONE) {
        ngx_http_flux_record_room(record, message, feed);
    }

    if (record->skip != NGX_HTTP_FLUX_SKIP_NONE) {
        return;
    }

    flux_message_measure(m);

    if (m->length > consumer->zone->log.header->max_entry) {
        record->skip = FLUX_SKIP_SIZE;
        return;
    }

    flux_log_describe(&record->append, m);

    if (m->value != NULL || feed->room_rule == NGX_HTTP_FLUX_ROOM_NONE
        || feed->room_rule == NGX_HTTP_FLUX_ROOM_KEY)
    {
        return;
    }

    /* a tombstone: its key may live in any room */

    record->seek = 1;

    if (m->key_length) {
        record->escaped = ngx_alloc(m->key_length, consumer->log);

        if (record->escaped != NULL) {
            flux_json_escape(record->escaped, m->key, m->key_size);
        }
    }
}


static void
ngx_http_flux_record_value(ngx_http_flux_record_t *record,
    rd_kafka_message_t *message, ngx_http_flux_feed_t *feed)
{
    if (message->payload == NULL || feed->format != FLUX_FORMAT_JSON) {
        return;
    }

    if (flux_json_check(message->payload, message->len,
                        &record->message.newlines)
        != FLUX_JSON_OK)
    {
        record->skip = FLUX_SKIP_JSON;
    }
}


static void
ngx_http_flux_record_room(ngx_http_flux_record_t *record,
    rd_kafka_message_t *message, ngx_http_flux_feed_t *feed)
{
    size_t               size;
    ptrdiff_t            n;
    const void          *value;
    flux_message_t      *m = &record->message;
    rd_kafka_headers_t  *headers;

    switch (feed->room_rule) {

    case NGX_HTTP_FLUX_ROOM_NONE:
        return;

    case NGX_HTTP_FLUX_ROOM_KEY:
        m->room = m->key;
        m->room_size = m->key_size;
        break;

    case NGX_HTTP_FLUX_ROOM_HEADER:

        if (rd_kafka_message_headers(message, &headers) == 0
            && rd_kafka_header_get_last(headers,
                                        (char *) feed->room_source.data,
                                        &value, &size)
               == 0)
        {
            m->room = value;
            m->room_size = value ? size : 0;
        }

        break;

    default: /* NGX_HTTP_FLUX_ROOM_JSON */

        if (message->payload == NULL) {
            return;
        }

        if (feed->format != FLUX_FORMAT_JSON
            && flux_json_check(message->payload, message->len, &size)
               != FLUX_JSON_OK)
        {
            break;
        }

        n = flux_pointer_text(message->payload, message->len,
                              feed->room_source.data, feed->room_source.len,
                              record->room, NGX_HTTP_FLUX_ROOM_MAX);
        if (n > 0) {
            m->room = record->room;
            m->room_size = n;
        }
    }

    if (ngx_http_flux_room_valid(m->room, m->room_size)) {
        return;
    }

    m->room = NULL;
    m->room_size = 0;

    if (m->value != NULL || feed->room_rule == NGX_HTTP_FLUX_ROOM_KEY) {
        record->skip = FLUX_SKIP_ROOM;
    }
}


ngx_uint_t
ngx_http_flux_room_valid(const u_char *p, size_t len)
{
    size_t  i;

    if (p == NULL || len == 0 || len > NGX_HTTP_FLUX_ROOM_MAX
        || !flux_utf8_valid(p, len))
    {
        return 0;
    }

    for (i = 0; i < len; i++) {

        /* U+0080 .. U+009F are control characters, too */

        if (p[i] < 0x20 || p[i] == 0x7f || (p[i] == 0xc2 && p[i + 1] < 0xa0)) {
            return 0;
        }
    }

    return 1;
}


/* --- with the lock ------------------------------------------------------- */

static ngx_int_t
ngx_http_flux_record_flush(ngx_http_flux_consumer_t *consumer)
{
    size_t                   i;
    ngx_int_t                rc;
    ngx_http_flux_record_t  *record;

    if (ngx_http_flux_nrecords == 0) {
        return NGX_OK;
    }

    rc = ngx_http_flux_kafka_lock(consumer);

    for (i = 0; i < ngx_http_flux_nrecords; i++) {
        record = &ngx_http_flux_records[i];

        if (rc == NGX_OK) {
            ngx_http_flux_record_ahead(consumer, i);
            ngx_http_flux_record_append(consumer, record);
        }

        if (record->escaped != NULL) {
            ngx_free(record->escaped);
        }
    }

    ngx_http_flux_nrecords = 0;

    if (rc == NGX_OK) {
        consumer->published = 1;
        ngx_http_flux_kafka_unlock(consumer);
    }

    return rc;
}


/* Those behind record i come a step nearer each. */

static void
ngx_http_flux_record_ahead(ngx_http_flux_consumer_t *consumer, size_t i)
{
    int  step;

    for (step = FLUX_AHEAD_STEPS - 1; step >= 0; step--) {
        i += NGX_HTTP_FLUX_AHEAD;

        if (i >= ngx_http_flux_nrecords) {
            return;
        }

        flux_log_ahead(&consumer->zone->log, &ngx_http_flux_records[i].append,
                       (flux_ahead_t) step);
    }
}


static void
ngx_http_flux_record_append(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record)
{
    int                        skip;
    flux_log_t                *log = &consumer->zone->log;
    flux_partition_t          *p;
    flux_feed_t               *state;
    ngx_http_flux_position_t  *position = record->position;

    p = ngx_http_flux_position_partition(consumer, position);

    if (p->down) {
        ngx_http_flux_kafka_source_up(consumer, position);
    }

    if (record->eof) {
        ngx_http_flux_record_eof(consumer, record);
        return;
    }

    if (record->append.offset < p->next) {
        return;
    }

    if (!p->ready && record->append.offset > p->next) {

        /* compacted away before we came: a reader may have seen it */

        p->whole = record->append.offset;
    }

    skip = record->skip;

    if (skip == NGX_HTTP_FLUX_SKIP_NONE) {
        skip = ngx_http_flux_record_store(consumer, record);
    }

    if (skip != NGX_HTTP_FLUX_SKIP_NONE) {
        flux_log_skip(log, position->feed->slot, position->partition,
                      record->append.offset, (flux_skip_t) skip);

        if (skip == FLUX_SKIP_EXPIRED) {

            /* who saw it elsewhere has to be told, and we know no room */

            state = &log->header->feeds[position->feed->slot];
            state->lost_expire = ngx_max(state->lost_expire,
                                         record->message.ts
                                         + position->feed->expire);
        }

        ngx_http_flux_record_skipped(consumer, record, skip);
    }

    if (p->high_watermark < p->next) {
        p->high_watermark = p->next;
    }

    if (!p->ready && p->target >= 0 && p->next >= p->target) {
        ngx_http_flux_kafka_source_ready(consumer, position);
    }
}


/* Returns why it could not be stored. */

static int
ngx_http_flux_record_store(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record)
{
    uint8_t         *dst;
    flux_log_t      *log = &consumer->zone->log;

    if (record->seek) {
        return ngx_http_flux_record_store_delete(consumer, record);
    }

    dst = flux_log_reserve(log, &record->append);

    if (dst == NULL) {
        return FLUX_SKIP_SIZE;
    }

    flux_message_write(dst, &record->message);
    flux_log_append(log, &record->append);

    return NGX_HTTP_FLUX_SKIP_NONE;
}


/*
 * A tombstone deletes its key where it lives; if it lives nowhere, in the room
 * that its header names.
 */

static int
ngx_http_flux_record_store_delete(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record)
{
    size_t           length;
    uint8_t         *dst, address[NGX_HTTP_FLUX_ADDRESS_MAX];
    uint32_t         key;
    flux_log_t      *log = &consumer->zone->log;
    flux_entry_t    *entry;
    flux_append_t    what = record->append;
    flux_message_t  *m = &record->message;

    record->seek = 0;
    key = FLUX_NONE;

    if (record->escaped != NULL) {
        key = flux_log_find_key(log, record->position->feed->slot, FLUX_NONE,
                                record->escaped, m->key_length);
    }

    if (key == FLUX_NONE) {
        return m->room ? ngx_http_flux_record_store(consumer, record)
                       : FLUX_SKIP_ROOM;
    }

    /* making place in the ring moves entries: keep the address */

    entry = flux_log_entry(log, flux_log_key(log, key)->newest);
    length = entry->address_length;

    if (length > sizeof(address)) {
        return FLUX_SKIP_ROOM;
    }

    ngx_memcpy(address, flux_log_message(entry) + FLUX_MESSAGE_PREFIX, length);

    what.room_hash = 0;
    what.address_length = (uint32_t) length;
    what.message_length = (uint32_t) flux_message_delete(NULL, address, length,
                                                         record->escaped,
                                                         m->key_length, m->ts);

    dst = flux_log_reserve(log, &what);

    if (dst == NULL) {
        return FLUX_SKIP_SIZE;
    }

    flux_message_delete(dst, address, length, record->escaped, m->key_length,
                        m->ts);
    flux_log_append(log, &what);

    return NGX_HTTP_FLUX_SKIP_NONE;
}


static void
ngx_http_flux_record_eof(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record)
{
    flux_partition_t  *p;

    p = ngx_http_flux_position_partition(consumer, record->position);

    /* what lies between the last record and the end holds no data */

    if (p->next < record->append.offset) {
        p->next = record->append.offset;
    }

    if (p->high_watermark < record->append.offset) {
        p->high_watermark = record->append.offset;
    }

    if (!p->ready) {
        ngx_http_flux_kafka_source_ready(consumer, record->position);
    }
}


/* --- what was skipped ---------------------------------------------------- */

static void
ngx_http_flux_record_skipped(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record, int reason)
{
    consumer->skips[reason].count++;
    consumer->skips[reason].topic = &record->source->topic->name;
    consumer->skips[reason].partition = record->source->number;
    consumer->skips[reason].offset = record->append.offset;
}


/* Keys that had to go because the zone is too small for all of them. */

static void
ngx_http_flux_record_log_evicted(ngx_http_flux_consumer_t *consumer)
{
    uint64_t                evicted;
    ngx_uint_t              i;
    ngx_http_flux_feed_t  **feeds = consumer->fmcf->feeds.elts;

    if (consumer->evicted_last
        && ngx_current_msec - consumer->evicted_last
           < NGX_HTTP_FLUX_SKIP_INTERVAL)
    {
        return;
    }

    for (i = 0; i < consumer->fmcf->feeds.nelts; i++) {

        if (feeds[i]->cluster != consumer->cluster
            || feeds[i]->slot == FLUX_NONE)
        {
            continue;
        }

        evicted = consumer->zone->log.header->feeds[feeds[i]->slot].evicted;

        if (evicted <= consumer->evicted[feeds[i]->slot]) {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, consumer->log, 0,
                      "flux zone \"%V\" is too small: %uL keys of feed "
                      "\"%V\" had to leave so far",
                      &consumer->zone->name, evicted, &feeds[i]->name);

        consumer->evicted[feeds[i]->slot] = evicted;
        consumer->evicted_last = ngx_current_msec;
    }
}


void
ngx_http_flux_kafka_log_skips(ngx_http_flux_consumer_t *consumer)
{
    int         i;
    ngx_uint_t  n;

    ngx_http_flux_record_log_evicted(consumer);

    for (i = 0; i <= FLUX_SKIP_EXPIRED; i++) {
        n = consumer->skips[i].count - consumer->skips[i].told;

        if (n == 0
            || (consumer->skips[i].told
                && ngx_current_msec - consumer->skips[i].last
                   < NGX_HTTP_FLUX_SKIP_INTERVAL))
        {
            continue;
        }

        consumer->skips[i].told = consumer->skips[i].count;
        consumer->skips[i].last = ngx_current_msec;

        ngx_log_error(NGX_LOG_WARN, consumer->log, 0,
                      "flux kafka \"%V\": %ui record%s skipped (%s), "
                      "the last one is %V[%D] at offset %L",
                      &consumer->cluster->name, n, n == 1 ? "" : "s",
                      ngx_http_flux_skip_names[i], consumer->skips[i].topic,
                      consumer->skips[i].partition, consumer->skips[i].offset);
    }
}
