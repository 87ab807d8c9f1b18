/*
 * What did not come into the log, or had to leave it, is told in the error
 * log, and not for each record a line.
 */

#include "ngx_http_flux_record.h"


#define NGX_HTTP_FLUX_SKIP_INTERVAL  10000      /* ms between lines */


static void ngx_http_flux_skips_log_evicted(
    ngx_http_flux_consumer_t *consumer);


static const char  *ngx_http_flux_skip_names[] = {
    "not JSON", "no room", "too large", "expired"
};


void
ngx_http_flux_kafka_skipped(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record, int reason)
{
    consumer->skips[reason].count++;
    consumer->skips[reason].topic = &record->source->topic->name;
    consumer->skips[reason].partition = record->source->number;
    consumer->skips[reason].offset = record->append.offset;
}


/* Keys that had to go because the zone is too small for all of them. */

static void
ngx_http_flux_skips_log_evicted(ngx_http_flux_consumer_t *consumer)
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

    ngx_http_flux_skips_log_evicted(consumer);

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
