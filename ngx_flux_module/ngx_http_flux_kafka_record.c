/*
 * Records of Kafka are taken from librdkafka's queue.  What can be found out
 * about one alone is found out here, before the lock is taken.
 */

#include "ngx_http_flux_record.h"

#include "core/flux_json.h"
#include "core/flux_pointer.h"
#include "core/flux_prefetch.h"


/* a message has a record in each feed of its topic */
#define NGX_HTTP_FLUX_RECORDS  (NGX_HTTP_FLUX_BATCH_MESSAGES + FLUX_LOG_FEEDS)

/* the bytes of a value that are fetched ahead; then the hardware runs ahead */
#define NGX_HTTP_FLUX_FETCH  512


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


/* of the one thread that uses them: consumers take turns */
static ngx_http_flux_record_t  ngx_http_flux_records[NGX_HTTP_FLUX_RECORDS];
static size_t                  ngx_http_flux_nrecords;


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

        for (i = 0; i < len; i += FLUX_CACHE_LINE) {
            flux_prefetch((u_char *) message->payload + i);
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

    m->feed = feed->name.data;
    m->feed_size = feed->name.len;
    m->room = NULL;
    m->room_size = 0;
    m->key = message->key;
    m->key_size = message->key ? message->key_len : 0;
    m->value = message->payload;
    m->value_size = message->payload ? message->len : 0;
    m->newlines = 0;
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

    flux_log_describe(&consumer->zone->log, &record->append, m);

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


static ngx_int_t
ngx_http_flux_record_flush(ngx_http_flux_consumer_t *consumer)
{
    size_t     i;
    ngx_int_t  rc;

    if (ngx_http_flux_nrecords == 0) {
        return NGX_OK;
    }

    rc = ngx_http_flux_kafka_append(consumer, ngx_http_flux_records,
                                    ngx_http_flux_nrecords);

    for (i = 0; i < ngx_http_flux_nrecords; i++) {
        if (ngx_http_flux_records[i].escaped != NULL) {
            ngx_free(ngx_http_flux_records[i].escaped);
        }
    }

    ngx_http_flux_nrecords = 0;

    return rc;
}
