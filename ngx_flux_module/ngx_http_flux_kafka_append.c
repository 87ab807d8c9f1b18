/*
 * Records become entries of the log; all of it holding the lock.
 */

#include "ngx_http_flux_record.h"


/* escaped: feed, slash, room */
#define NGX_HTTP_FLUX_ADDRESS_MAX  4096


static void ngx_http_flux_append_ahead(flux_log_t *log,
    ngx_http_flux_record_t *records, size_t n, size_t i);
static void ngx_http_flux_append_record(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record);
static int ngx_http_flux_append_store(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record);
static int ngx_http_flux_append_delete(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record);
static void ngx_http_flux_append_eof(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record);


ngx_int_t
ngx_http_flux_kafka_append(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *records, size_t n)
{
    size_t  i;

    if (ngx_http_flux_kafka_lock(consumer) != NGX_OK) {
        return NGX_DECLINED;
    }

    for (i = 0; i < n; i++) {
        ngx_http_flux_append_ahead(&consumer->zone->log, records, n, i);
        ngx_http_flux_append_record(consumer, &records[i]);
    }

    consumer->published = 1;
    ngx_http_flux_kafka_unlock(consumer);

    return NGX_OK;
}


/* Those behind record i come a step nearer each. */

static void
ngx_http_flux_append_ahead(flux_log_t *log, ngx_http_flux_record_t *records,
    size_t n, size_t i)
{
    int  step;

    for (step = FLUX_AHEAD_STEPS - 1; step >= 0; step--) {
        i += NGX_HTTP_FLUX_AHEAD;

        if (i >= n) {
            return;
        }

        flux_log_ahead(log, &records[i].append, (flux_ahead_t) step);
    }
}


static void
ngx_http_flux_append_record(ngx_http_flux_consumer_t *consumer,
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
        ngx_http_flux_append_eof(consumer, record);
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
        skip = ngx_http_flux_append_store(consumer, record);
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

        ngx_http_flux_kafka_skipped(consumer, record, skip);
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
ngx_http_flux_append_store(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record)
{
    uint8_t         *dst;
    flux_log_t      *log = &consumer->zone->log;

    if (record->seek) {
        return ngx_http_flux_append_delete(consumer, record);
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
ngx_http_flux_append_delete(ngx_http_flux_consumer_t *consumer,
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
        return m->room ? ngx_http_flux_append_store(consumer, record)
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
ngx_http_flux_append_eof(ngx_http_flux_consumer_t *consumer,
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
