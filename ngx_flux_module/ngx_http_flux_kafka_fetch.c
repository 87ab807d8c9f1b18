/*
 * That librdkafka goes on fetching.
 *
 * Its thread looks at what it has queued before each fetch.  When that is as
 * much as may be, it goes to sleep, and what we take from the queue does not
 * wake it: up to a second later it finds the queue empty.  (From 2.2 on,
 * fetch.queue.backoff.ms tells for how long.)  Any request that goes to the
 * partition's leader does wake it, and a question whose answer nobody waits
 * for is a cheap one.
 */

#include "ngx_http_flux_consumer.h"


/* the part of a full queue that is taken before fetching goes on */
#define NGX_HTTP_FLUX_FETCH_SHARE  4

#define NGX_HTTP_FLUX_FETCH_BACKOFF  0x02020000     /* librdkafka's version */


static int64_t ngx_http_flux_fetch_limit(ngx_http_flux_consumer_t *consumer,
    const char *name);
static void ngx_http_flux_fetch_wake(ngx_http_flux_consumer_t *consumer);
static ngx_uint_t ngx_http_flux_fetch_asked(
    rd_kafka_topic_partition_list_t *list, int32_t leader);


void
ngx_http_flux_kafka_fetch_init(ngx_http_flux_consumer_t *consumer)
{
    consumer->fetch.messages = INT64_MAX;
    consumer->fetch.bytes = INT64_MAX;

    if (rd_kafka_version() < NGX_HTTP_FLUX_FETCH_BACKOFF) {
        consumer->fetch.messages = ngx_http_flux_fetch_limit(consumer,
                                                  "queued.min.messages");
        consumer->fetch.bytes = 1024 * ngx_http_flux_fetch_limit(consumer,
                                                  "queued.max.messages.kbytes");
    }

    consumer->fetch.messages_left = consumer->fetch.messages;
    consumer->fetch.bytes_left = consumer->fetch.bytes;
}


static int64_t
ngx_http_flux_fetch_limit(ngx_http_flux_consumer_t *consumer, const char *name)
{
    char    value[32];
    size_t  len = sizeof(value);

    if (rd_kafka_conf_get(rd_kafka_conf(consumer->client.handle), name, value,
                          &len)
        != RD_KAFKA_CONF_OK)
    {
        return INT32_MAX;
    }

    return ngx_max(strtoll(value, NULL, 10) / NGX_HTTP_FLUX_FETCH_SHARE, 1);
}


void
ngx_http_flux_kafka_fetch_taken(ngx_http_flux_consumer_t *consumer,
    size_t messages, size_t bytes)
{
    consumer->fetch.messages_left -= messages;
    consumer->fetch.bytes_left -= bytes;

    if (consumer->fetch.messages_left > 0 && consumer->fetch.bytes_left > 0) {
        return;
    }

    consumer->fetch.messages_left = consumer->fetch.messages;
    consumer->fetch.bytes_left = consumer->fetch.bytes;

    ngx_http_flux_fetch_wake(consumer);
}


/* Asks each broker that we fetch from for the end of one partition. */

static void
ngx_http_flux_fetch_wake(ngx_http_flux_consumer_t *consumer)
{
    ngx_uint_t                        i, n;
    ngx_http_flux_topic_t           **topics = consumer->topics.elts;
    ngx_http_flux_source_t           *source;
    rd_kafka_topic_partition_t       *partition;
    rd_kafka_topic_partition_list_t  *list;

    list = rd_kafka_topic_partition_list_new(4);

    for (i = 0; i < consumer->topics.nelts; i++) {
        for (n = 0; n < topics[i]->sources.nelts; n++) {
            source = ngx_http_flux_sources(topics[i])[n];

            if (!source->reading
                || ngx_http_flux_fetch_asked(list, source->leader))
            {
                continue;
            }

            partition = rd_kafka_topic_partition_list_add(list,
                                              (char *) topics[i]->name.data,
                                              source->number);
            partition->offset = NGX_HTTP_FLUX_TIME_LATEST;
            partition->opaque = (void *) (intptr_t) source->leader;
        }
    }

    if (list->cnt) {
        (void) rd_kafka_offsets_for_times(consumer->client.handle, list, 0);
    }

    rd_kafka_topic_partition_list_destroy(list);
}


static ngx_uint_t
ngx_http_flux_fetch_asked(rd_kafka_topic_partition_list_t *list,
    int32_t leader)
{
    int  i;

    for (i = 0; i < list->cnt; i++) {
        if (list->elems[i].opaque == (void *) (intptr_t) leader) {
            return 1;
        }
    }

    return 0;
}
