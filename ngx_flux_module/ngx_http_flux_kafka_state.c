/*
 * What can be read and what cannot: clusters, partitions, feeds.
 */

#include "ngx_http_flux_consumer.h"


void
ngx_http_flux_kafka_cluster_down(ngx_http_flux_consumer_t *consumer,
    const char *error)
{
    ngx_uint_t                       i, n;
    ngx_http_flux_feed_t           **feeds = consumer->fmcf->feeds.elts;
    ngx_http_flux_topic_t          **topics = consumer->topics.elts;
    ngx_http_flux_source_t          *source;
    ngx_http_flux_cluster_state_t   *state;

    if (consumer->down) {
        return;
    }

    ngx_http_flux_kafka_look_soon(consumer);

    consumer->down = 1;
    consumer->up = 0;

    if (consumer->failure[0]) {
        error = (char *) consumer->failure;
    }

    ngx_log_error(NGX_LOG_ERR, consumer->log, 0,
                  "flux kafka \"%V\" is down: %s",
                  &consumer->cluster->name, error);

    if (ngx_http_flux_kafka_lock(consumer) != NGX_OK) {
        return;
    }

    state = &consumer->zone->shared->clusters[consumer->cluster->index];
    state->up = 0;
    state->down_since = ngx_http_flux_kafka_now();
    (void) ngx_cpystrn(state->error, (u_char *) error, sizeof(state->error));

    for (i = 0; i < consumer->fmcf->feeds.nelts; i++) {
        if (feeds[i]->cluster == consumer->cluster
            && feeds[i]->slot != FLUX_NONE)
        {
            consumer->changed |= UINT64_C(1) << feeds[i]->slot;
        }
    }

    for (i = 0; i < consumer->topics.nelts; i++) {
        for (n = 0; n < topics[i]->sources.nelts; n++) {
            source = ngx_http_flux_sources(topics[i])[n];
            ngx_http_flux_kafka_source_down(source,
                                      RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN);
        }
    }

    ngx_http_flux_kafka_unlock(consumer);
}


void
ngx_http_flux_kafka_source_error(ngx_http_flux_source_t *source,
    rd_kafka_resp_err_t error, const char *text)
{
    ngx_http_flux_topic_t     *topic = source->topic;
    ngx_http_flux_consumer_t  *consumer = topic->consumer;

    if (ngx_http_flux_kafka_may_log(consumer)) {
        ngx_log_error(NGX_LOG_WARN, consumer->log, 0,
                      "flux kafka \"%V\": %V[%D]: %s",
                      &consumer->cluster->name, &topic->name, source->number,
                      text ? text : rd_kafka_err2str(error));
    }

    if (error == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
        || error == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
    {
        /* retention has passed it, or it is another topic: look */

        ngx_http_flux_kafka_stop_source(source);
        ngx_http_flux_kafka_look_soon(consumer);
        return;
    }

    if (error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
        || error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
        || error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
    {
        /* what comes back under this name has to be looked at first */

        error = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        ngx_http_flux_kafka_stop_source(source);
    }

    ngx_http_flux_kafka_look_soon(consumer);

    if (ngx_http_flux_kafka_lock(consumer) != NGX_OK) {
        return;
    }

    ngx_http_flux_kafka_source_down(source, error);
    ngx_http_flux_kafka_unlock(consumer);
}


void
ngx_http_flux_kafka_source_down(ngx_http_flux_source_t *source,
    rd_kafka_resp_err_t error)
{
    ngx_uint_t         i;
    flux_partition_t  *p;

    for (i = 0; i < source->topic->feeds.nelts; i++) {
        p = ngx_http_flux_partition(source, i);

        if (p == NULL || (p->down && p->error == error)) {
            continue;
        }

        if (!p->down) {
            p->down = 1;
            p->down_since = ngx_http_flux_kafka_now();
        }

        p->error = error;

        source->topic->consumer->changed
            |= UINT64_C(1) << source->positions[i].feed->slot;
    }
}


void
ngx_http_flux_kafka_source_up(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_position_t *position)
{
    flux_partition_t  *p;

    p = ngx_http_flux_position_partition(consumer, position);

    p->down = 0;
    p->error = 0;
    p->down_since = 0;

    consumer->changed |= UINT64_C(1) << position->feed->slot;
}


void
ngx_http_flux_kafka_source_ready(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_position_t *position)
{
    ngx_http_flux_position_partition(consumer, position)->ready = 1;

    ngx_http_flux_kafka_check_feed(consumer, position->feed);
}


/* A feed is ready when each partition of each of its topics is. */

void
ngx_http_flux_kafka_check_feed(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_feed_t *feed)
{
    ngx_uint_t               i, n, k;
    flux_feed_t             *state;
    flux_partition_t        *p;
    ngx_http_flux_feed_t   **feeds;
    ngx_http_flux_topic_t  **topics = consumer->topics.elts;
    ngx_http_flux_source_t  *source;

    state = &consumer->zone->log.header->feeds[feed->slot];

    if (state->ready) {
        return;
    }

    for (i = 0; i < consumer->topics.nelts; i++) {
        feeds = topics[i]->feeds.elts;

        for (k = 0; k < topics[i]->feeds.nelts; k++) {

            if (feeds[k] != feed) {
                continue;
            }

            if (!topics[i]->exists) {
                return;
            }

            for (n = 0; n < topics[i]->sources.nelts; n++) {
                source = ngx_http_flux_sources(topics[i])[n];
                p = ngx_http_flux_partition(source, k);

                if (p == NULL || !p->ready) {
                    return;
                }
            }
        }
    }

    state->ready = 1;
    state->ready_since = ngx_http_flux_kafka_now();
    consumer->changed |= UINT64_C(1) << feed->slot;
    consumer->complete |= UINT64_C(1) << feed->slot;
}


void
ngx_http_flux_kafka_log_complete(ngx_http_flux_consumer_t *consumer)
{
    ngx_uint_t              i;
    flux_feed_t            *state;
    ngx_http_flux_feed_t  **feeds = consumer->fmcf->feeds.elts;

    for (i = 0; consumer->complete && i < consumer->fmcf->feeds.nelts; i++) {

        if (feeds[i]->slot == FLUX_NONE
            || !(consumer->complete & (UINT64_C(1) << feeds[i]->slot)))
        {
            continue;
        }

        consumer->complete &= ~(UINT64_C(1) << feeds[i]->slot);
        state = &consumer->zone->log.header->feeds[feeds[i]->slot];

        ngx_log_error(NGX_LOG_NOTICE, consumer->log, 0,
                      "flux feed \"%V\" is complete: %uD rooms, %uD keys",
                      &feeds[i]->name, state->rooms, state->keys);
    }
}


void
ngx_http_flux_kafka_watermarks(ngx_http_flux_consumer_t *consumer)
{
    int64_t                   low, high;
    ngx_uint_t                i, n, k, locked;
    flux_partition_t         *p;
    ngx_http_flux_topic_t   **topics = consumer->topics.elts;
    ngx_http_flux_source_t   *source;

    locked = 0;

    for (i = 0; i < consumer->topics.nelts; i++) {
        for (n = 0; n < topics[i]->sources.nelts; n++) {
            source = ngx_http_flux_sources(topics[i])[n];

            if (!source->reading
                || rd_kafka_get_watermark_offsets(consumer->client.handle,
                                               (char *) topics[i]->name.data,
                                               source->number, &low, &high)
                   != RD_KAFKA_RESP_ERR_NO_ERROR
                || high < 0 || high == source->high)
            {
                continue;
            }

            if (!locked && ngx_http_flux_kafka_lock(consumer) != NGX_OK) {
                return;
            }

            locked = 1;
            source->high = high;

            for (k = 0; k < topics[i]->feeds.nelts; k++) {
                p = ngx_http_flux_partition(source, k);

                if (p != NULL) {
                    p->high_watermark = ngx_max(high, p->next);
                }
            }
        }
    }

    if (locked) {
        ngx_http_flux_kafka_unlock(consumer);
    }
}


void
ngx_http_flux_kafka_stop_topic(ngx_http_flux_topic_t *topic)
{
    ngx_uint_t  i;

    for (i = 0; i < topic->sources.nelts; i++) {
        ngx_http_flux_kafka_stop_source(ngx_http_flux_sources(topic)[i]);
    }
}


void
ngx_http_flux_kafka_stop_source(ngx_http_flux_source_t *source)
{
    if (!source->reading) {
        return;
    }

    source->reading = 0;

    /* waits for a thread of librdkafka to nod, not for the network */

    rd_kafka_consume_stop(source->topic->handle, source->number);
    ngx_http_flux_kafka_forget(source->topic->consumer, source);
}
