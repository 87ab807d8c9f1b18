/*
 * Where partitions are read from, and whether they are still the same ones.
 */

#include "ngx_http_flux_consumer.h"


static void ngx_http_flux_offsets_add(ngx_http_flux_question_t *question,
    size_t list, ngx_http_flux_source_t *source, int64_t time);
static ngx_int_t ngx_http_flux_offsets_get(
    ngx_http_flux_question_t *question, size_t list,
    ngx_http_flux_source_t *source, int64_t *offset);
static ngx_uint_t ngx_http_flux_source_knows_start(
    ngx_http_flux_source_t *source, ngx_http_flux_question_t *question);
static ngx_uint_t ngx_http_flux_source_foreign(
    ngx_http_flux_source_t *source, int64_t high);
static void ngx_http_flux_source_place(ngx_http_flux_source_t *source,
    ngx_http_flux_question_t *question);
static int64_t ngx_http_flux_position_place(ngx_http_flux_source_t *source,
    ngx_http_flux_position_t *position, ngx_http_flux_question_t *question,
    int64_t low, int64_t high);
static int64_t ngx_http_flux_position_first(ngx_http_flux_source_t *source,
    ngx_http_flux_position_t *position, ngx_http_flux_question_t *question,
    int64_t low, int64_t high);


ngx_http_flux_question_t *
ngx_http_flux_kafka_ask_offsets(ngx_http_flux_consumer_t *consumer)
{
    size_t                     list, durations;
    int64_t                    now;
    ngx_uint_t                 i, n, k;
    flux_partition_t          *p;
    ngx_http_flux_feed_t      *feed;
    ngx_http_flux_topic_t    **topics = consumer->topics.elts;
    ngx_http_flux_source_t    *source;
    ngx_http_flux_question_t  *question;

    durations = 0;

    for (i = 0; i < consumer->topics.nelts; i++) {
        durations = ngx_max(durations, topics[i]->feeds.nelts);
    }

    question = ngx_http_flux_question_new(NGX_HTTP_FLUX_ASK_OFFSETS,
                                          NGX_HTTP_FLUX_TIME + durations);
    if (question == NULL) {
        return NULL;
    }

    now = ngx_http_flux_kafka_now();

    for (i = 0; i < consumer->topics.nelts; i++) {
        for (n = 0; n < topics[i]->sources.nelts; n++) {
            source = ngx_http_flux_sources(topics[i])[n];

            if (source->reading || source->leader < 0) {
                continue;
            }

            ngx_http_flux_offsets_add(question, NGX_HTTP_FLUX_LOW, source,
                                      NGX_HTTP_FLUX_TIME_EARLIEST);
            ngx_http_flux_offsets_add(question, NGX_HTTP_FLUX_HIGH, source,
                                      NGX_HTTP_FLUX_TIME_LATEST);

            for (k = 0; k < topics[i]->feeds.nelts; k++) {
                p = ngx_http_flux_partition(source, k);
                feed = source->positions[k].feed;
                list = NGX_HTTP_FLUX_TIME + k;

                if (p != NULL && feed->start >= 0) {
                    ngx_http_flux_offsets_add(question, list, source,
                                              now - feed->start);
                }
            }
        }
    }

    if (question->lists[NGX_HTTP_FLUX_LOW]->cnt == 0) {
        ngx_http_flux_question_destroy(question);
        return NULL;
    }

    return question;
}


static void
ngx_http_flux_offsets_add(ngx_http_flux_question_t *question, size_t list,
    ngx_http_flux_source_t *source, int64_t time)
{
    rd_kafka_topic_partition_t  *partition;

    partition = rd_kafka_topic_partition_list_add(question->lists[list],
                                          (char *) source->topic->name.data,
                                          source->number);
    partition->offset = time;
    partition->opaque = source;
}


static ngx_int_t
ngx_http_flux_offsets_get(ngx_http_flux_question_t *question, size_t list,
    ngx_http_flux_source_t *source, int64_t *offset)
{
    rd_kafka_topic_partition_t  *partition;

    if (list >= question->nlists) {
        return NGX_DECLINED;
    }

    partition = rd_kafka_topic_partition_list_find(question->lists[list],
                                           (char *) source->topic->name.data,
                                           source->number);

    if (partition == NULL || partition->err) {
        return NGX_DECLINED;
    }

    *offset = partition->offset;

    return NGX_OK;
}


void
ngx_http_flux_kafka_offsets(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_question_t *question)
{
    int                               i;
    int64_t                           low, high;
    ngx_http_flux_source_t           *source;
    rd_kafka_topic_partition_list_t  *list;

    if (ngx_http_flux_kafka_lock(consumer) != NGX_OK) {
        return;
    }

    list = question->lists[NGX_HTTP_FLUX_LOW];

    for (i = 0; i < list->cnt; i++) {
        source = list->elems[i].opaque;

        if (source->reading || source->leader < 0) {
            continue;
        }

        if (list->elems[i].err
            || ngx_http_flux_offsets_get(question, NGX_HTTP_FLUX_LOW, source,
                                         &low) != NGX_OK
            || ngx_http_flux_offsets_get(question, NGX_HTTP_FLUX_HIGH, source,
                                         &high) != NGX_OK
            || !ngx_http_flux_source_knows_start(source, question))
        {
            ngx_http_flux_kafka_source_down(source, list->elems[i].err
                                              ? list->elems[i].err
                                              : RD_KAFKA_RESP_ERR__TIMED_OUT);
            continue;
        }

        if (ngx_http_flux_source_foreign(source, high)) {
            ngx_http_flux_kafka_reset_topic(source->topic);
        }

        ngx_http_flux_source_place(source, question);
    }

    ngx_http_flux_kafka_unlock(consumer);
}


/* Was it told where a feed with `start TIME` begins?  Else it is asked again. */

static ngx_uint_t
ngx_http_flux_source_knows_start(ngx_http_flux_source_t *source,
    ngx_http_flux_question_t *question)
{
    int64_t            offset;
    ngx_uint_t         i;
    flux_partition_t  *p;

    for (i = 0; i < source->topic->feeds.nelts; i++) {
        p = ngx_http_flux_partition(source, i);

        if (p != NULL && p->start == NGX_HTTP_FLUX_UNREAD
            && source->positions[i].feed->start >= 0
            && ngx_http_flux_offsets_get(question, NGX_HTTP_FLUX_TIME + i,
                                         source, &offset)
               != NGX_OK)
        {
            return 0;
        }
    }

    return 1;
}


/* Is it surely not the partition that the zone knows? */

static ngx_uint_t
ngx_http_flux_source_foreign(ngx_http_flux_source_t *source, int64_t high)
{
    ngx_uint_t         i;
    flux_partition_t  *p;

    for (i = 0; i < source->topic->feeds.nelts; i++) {
        p = ngx_http_flux_partition(source, i);

        if (p == NULL || p->start < 0) {
            continue;
        }

        if (p->fingerprint != source->topic->fingerprint || p->next > high) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_flux_source_place(ngx_http_flux_source_t *source,
    ngx_http_flux_question_t *question)
{
    int64_t                    low, high, from, offset;
    ngx_uint_t                 i;
    flux_partition_t          *p;
    ngx_http_flux_topic_t     *topic = source->topic;
    ngx_http_flux_consumer_t  *consumer = topic->consumer;

    if (ngx_http_flux_offsets_get(question, NGX_HTTP_FLUX_LOW, source, &low)
        != NGX_OK
        || ngx_http_flux_offsets_get(question, NGX_HTTP_FLUX_HIGH, source,
                                     &high)
           != NGX_OK)
    {
        return;
    }

    from = INT64_MAX;

    for (i = 0; i < topic->feeds.nelts; i++) {
        p = ngx_http_flux_partition(source, i);

        if (p == NULL) {
            continue;
        }

        offset = ngx_http_flux_position_place(source, &source->positions[i],
                                              question, low, high);
        from = ngx_min(from, offset);

        p->high_watermark = high;

        if (!p->ready) {

            if (p->target < 0) {
                p->target = high;
            }

            if (p->next >= p->target) {
                p->ready = 1;
            }
        }

        ngx_http_flux_kafka_check_feed(consumer, source->positions[i].feed);
    }

    if (from == INT64_MAX) {
        return;
    }

    source->high = high;

    if (rd_kafka_consume_start_queue(topic->handle, source->number, from,
                                     consumer->client.queue)
        == -1)
    {
        ngx_http_flux_kafka_source_down(source, rd_kafka_last_error());
        return;
    }

    source->reading = 1;
    source->started = ngx_current_msec;

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, consumer->log, 0,
                   "flux reads %V[%D] from %L, high watermark %L",
                   &topic->name, source->number, from, high);
}


/* Returns the offset that the feed's reading begins with. */

static int64_t
ngx_http_flux_position_place(ngx_http_flux_source_t *source,
    ngx_http_flux_position_t *position, ngx_http_flux_question_t *question,
    int64_t low, int64_t high)
{
    flux_partition_t  *p;

    p = &source->topic->consumer->zone->log.partitions[position->partition];

    position->verify = 0;

    if (p->start < 0) {
        p->start = ngx_http_flux_position_first(source, position, question,
                                                low, high);
        p->fingerprint = source->topic->fingerprint;
        p->next = p->start;
        p->whole = p->start;

        source->topic->consumer->changed
            |= UINT64_C(1) << position->feed->slot;

        return p->next;
    }

    if (p->next < low) {
        ngx_log_error(NGX_LOG_WARN, source->topic->consumer->log, 0,
                      "flux kafka \"%V\": %V[%D] begins at offset %L, "
                      "retention has passed %L: %L offsets are lost",
                      &source->topic->consumer->cluster->name,
                      &source->topic->name, source->number, low, p->next,
                      low - p->next);

        p->next = low;
        p->whole = low;

        source->topic->consumer->changed
            |= UINT64_C(1) << position->feed->slot;

        return low;
    }

    if (p->last >= low) {
        position->verify = 1;
        return p->last;
    }

    return p->next;
}


static int64_t
ngx_http_flux_position_first(ngx_http_flux_source_t *source,
    ngx_http_flux_position_t *position, ngx_http_flux_question_t *question,
    int64_t low, int64_t high)
{
    int64_t                offset;
    flux_partition_t      *p;
    ngx_http_flux_feed_t  *feed = position->feed;

    p = &source->topic->consumer->zone->log.partitions[position->partition];

    if (p->start == NGX_HTTP_FLUX_UNREAD_YOUNG
        || feed->start == NGX_HTTP_FLUX_START_BEGINNING)
    {
        return low;
    }

    if (feed->start == NGX_HTTP_FLUX_START_END) {
        return high;
    }

    if (ngx_http_flux_offsets_get(question, NGX_HTTP_FLUX_TIME
                                            + (position - source->positions),
                                  source, &offset)
        != NGX_OK)
    {
        return low;
    }

    /* no record is so young: -1 */

    return (offset < 0 || offset > high) ? high : ngx_max(offset, low);
}


/* --- recreated topics ---------------------------------------------------- */

void
ngx_http_flux_kafka_recreated(ngx_http_flux_topic_t *topic)
{
    ngx_http_flux_consumer_t  *consumer = topic->consumer;

    if (ngx_http_flux_kafka_lock(consumer) != NGX_OK) {
        return;
    }

    ngx_http_flux_kafka_reset_topic(topic);
    ngx_http_flux_kafka_unlock(consumer);

    consumer->look_offsets = 1;
    ngx_http_flux_kafka_look(consumer);
}


void
ngx_http_flux_kafka_reset_topic(ngx_http_flux_topic_t *topic)
{
    uint32_t                    old;
    ngx_uint_t                  i, n, known;
    flux_log_t                 *log = &topic->consumer->zone->log;
    flux_partition_t           *p;
    ngx_http_flux_feed_t       *feed;
    ngx_http_flux_source_t     *source;
    ngx_http_flux_position_t   *position;

    ngx_log_error(NGX_LOG_WARN, topic->consumer->log, 0,
                  "flux kafka \"%V\": topic \"%V\" is another one now, "
                  "it is read anew", &topic->consumer->cluster->name,
                  &topic->name);

    ngx_http_flux_kafka_stop_topic(topic);

    for (i = 0; i < topic->feeds.nelts; i++) {

        feed = ((ngx_http_flux_feed_t **) topic->feeds.elts)[i];
        known = 0;
        old = 0;

        for (n = 0; n < topic->sources.nelts; n++) {
            p = ngx_http_flux_partition(ngx_http_flux_sources(topic)[n], i);

            if (p != NULL && p->start >= 0) {
                known = 1;
                old = p->fingerprint;
            }
        }

        if (!known) {
            continue;
        }

        flux_log_reset_topic(log, feed->slot, topic->hash,
                             topic->fingerprint);

        /*
         * All of them, also those that the topic does not have now: they are
         * let go.  In the same cluster it was made while we looked on.
         * Another cluster has a past of its own.
         */

        for (n = 0; n < log->header->npartitions; n++) {
            p = &log->partitions[n];

            if (p->feed == feed->slot && p->topic == topic->hash) {
                p->start = (old == topic->fingerprint)
                           ? NGX_HTTP_FLUX_UNREAD_YOUNG
                           : NGX_HTTP_FLUX_UNREAD;
            }
        }

        for (n = 0; n < topic->sources.nelts; n++) {
            source = ngx_http_flux_sources(topic)[n];
            position = &source->positions[i];

            position->verify = 0;
            position->partition = flux_log_find_partition(log, feed->slot,
                                               topic->hash,
                                               (uint32_t) source->number);
        }

        topic->consumer->changed |= UINT64_C(1) << feed->slot;
    }

    topic->consumer->look_offsets = 1;
}


/*
 * A topic that is deleted and made again between two fetches goes unnoticed
 * when the new one is as long as the old one was: librdkafka retries at the
 * same offset by itself and says so in its log alone.  It waits before it
 * retries, so the line comes first.
 */

void
ngx_http_flux_kafka_suspect(ngx_http_flux_consumer_t *consumer,
    const char *line)
{
    char                    *p;
    ngx_uint_t               i;
    ngx_http_flux_topic_t  **topics = consumer->topics.elts;

    for (i = 0; i < consumer->topics.nelts; i++) {

        /* the name may be part of a thread's, which stands before it */

        p = ngx_strstr(line, topics[i]->name.data);

        while (p != NULL
               && ngx_strncmp(p + topics[i]->name.len, " [", 2) != 0)
        {
            p = ngx_strstr(p + 1, topics[i]->name.data);
        }

        if (p == NULL) {
            continue;
        }

        ngx_http_flux_kafka_stop_topic(topics[i]);
        consumer->look_offsets = 1;
    }

    ngx_http_flux_kafka_look_soon(consumer);
    ngx_http_flux_kafka_look(consumer);
}
