/*
 * Which topics and partitions there are.
 */

#include "ngx_http_flux_consumer.h"
#include "ngx_http_flux_cache.h"


/*
 * Time (ms) to the next look at the cluster: when all is well, after something
 * has happened, and at the most while it does not get well.
 */
#define NGX_HTTP_FLUX_LOOK_CALM   15000
#define NGX_HTTP_FLUX_LOOK_FIRST  100
#define NGX_HTTP_FLUX_LOOK_LAST   1000

/* ms that a topic may seem to have lost partitions */
#define NGX_HTTP_FLUX_SHRINK_PATIENCE  5000

/* without an answer for so long (ms) a cluster is down */
#define NGX_HTTP_FLUX_LOOK_PATIENCE  5000


static ngx_http_flux_topic_t *ngx_http_flux_topic_add(
    ngx_http_flux_consumer_t *consumer, ngx_str_t *name);
static ngx_int_t ngx_http_flux_source_add(ngx_http_flux_topic_t *topic);
static ngx_uint_t ngx_http_flux_consumer_calm(
    ngx_http_flux_consumer_t *consumer);
static void ngx_http_flux_metadata_answer(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_question_t *question);
static void ngx_http_flux_metadata_cluster(
    ngx_http_flux_consumer_t *consumer, ngx_http_flux_question_t *question);
static void ngx_http_flux_metadata_topic(ngx_http_flux_topic_t *topic,
    const rd_kafka_metadata_topic_t *metadata);
static void ngx_http_flux_metadata_shrink(ngx_http_flux_topic_t *topic,
    uint32_t count);
static void ngx_http_flux_metadata_source(ngx_http_flux_source_t *source,
    const rd_kafka_metadata_partition_t *metadata);
static void ngx_http_flux_metadata_missing(ngx_http_flux_topic_t *topic,
    rd_kafka_resp_err_t error);
static void ngx_http_flux_source_enter(ngx_http_flux_source_t *source);
static ngx_uint_t ngx_http_flux_topic_read(ngx_http_flux_topic_t *topic,
    ngx_http_flux_feed_t *feed);


/* --- topics -------------------------------------------------------------- */

ngx_int_t
ngx_http_flux_kafka_init_topics(ngx_http_flux_consumer_t *consumer)
{
    ngx_str_t               *names;
    ngx_uint_t               i, n;
    ngx_http_flux_feed_t   **feeds, **feed;
    ngx_http_flux_topic_t   *topic;

    if (ngx_array_init(&consumer->topics, consumer->pool, 4,
                       sizeof(ngx_http_flux_topic_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    feeds = consumer->fmcf->feeds.elts;

    for (i = 0; i < consumer->fmcf->feeds.nelts; i++) {

        if (feeds[i]->cluster != consumer->cluster
            || feeds[i]->slot == FLUX_NONE)
        {
            continue;
        }

        names = feeds[i]->topics.elts;

        for (n = 0; n < feeds[i]->topics.nelts; n++) {

            topic = ngx_http_flux_topic_add(consumer, &names[n]);
            if (topic == NULL) {
                return NGX_ERROR;
            }

            feed = topic->feeds.elts;

            if (topic->feeds.nelts
                && feed[topic->feeds.nelts - 1] == feeds[i])
            {
                continue;
            }

            feed = ngx_array_push(&topic->feeds);
            if (feed == NULL) {
                return NGX_ERROR;
            }

            *feed = feeds[i];
        }
    }

    return NGX_OK;
}


static ngx_http_flux_topic_t *
ngx_http_flux_topic_add(ngx_http_flux_consumer_t *consumer, ngx_str_t *name)
{
    ngx_uint_t               i;
    rd_kafka_topic_conf_t   *conf;
    ngx_http_flux_topic_t   *topic, **topics, **place;

    topics = consumer->topics.elts;

    for (i = 0; i < consumer->topics.nelts; i++) {
        if (topics[i]->name.len == name->len
            && ngx_strncmp(topics[i]->name.data, name->data, name->len) == 0)
        {
            return topics[i];
        }
    }

    topic = ngx_pcalloc(consumer->pool, sizeof(ngx_http_flux_topic_t));
    if (topic == NULL) {
        return NULL;
    }

    topic->consumer = consumer;
    topic->name = *name;
    topic->hash = ngx_http_flux_topic_hash(name);

    if (ngx_array_init(&topic->feeds, consumer->pool, 1,
                       sizeof(ngx_http_flux_feed_t *))
        != NGX_OK
        || ngx_array_init(&topic->sources, consumer->pool, 4,
                          sizeof(ngx_http_flux_source_t *))
           != NGX_OK)
    {
        return NULL;
    }

    place = ngx_array_push(&consumer->topics);
    if (place == NULL) {
        return NULL;
    }

    conf = rd_kafka_default_topic_conf_dup(consumer->client.handle);
    rd_kafka_topic_conf_set_opaque(conf, topic);

    topic->handle = rd_kafka_topic_new(consumer->client.handle,
                                       (char *) name->data, conf);
    if (topic->handle == NULL) {
        ngx_log_error(NGX_LOG_ERR, consumer->log, 0,
                      "flux kafka \"%V\": topic \"%V\" is refused: %s",
                      &consumer->cluster->name, name,
                      rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_topic_conf_destroy(conf);
        consumer->topics.nelts--;
        return NULL;
    }

    *place = topic;

    return topic;
}


ngx_http_flux_source_t *
ngx_http_flux_kafka_source(ngx_http_flux_topic_t *topic, int32_t number)
{
    if (number < 0 || (ngx_uint_t) number >= topic->sources.nelts) {
        return NULL;
    }

    return ngx_http_flux_sources(topic)[number];
}


/* The topic's next partition. */

static ngx_int_t
ngx_http_flux_source_add(ngx_http_flux_topic_t *topic)
{
    ngx_uint_t                i;
    ngx_pool_t               *pool = topic->consumer->pool;
    ngx_http_flux_feed_t    **feeds = topic->feeds.elts;
    ngx_http_flux_source_t   *source, **place;

    source = ngx_pcalloc(pool, sizeof(ngx_http_flux_source_t));
    if (source == NULL) {
        return NGX_ERROR;
    }

    source->positions = ngx_pcalloc(pool, topic->feeds.nelts
                                          * sizeof(ngx_http_flux_position_t));
    if (source->positions == NULL) {
        return NGX_ERROR;
    }

    source->topic = topic;
    source->number = (int32_t) topic->sources.nelts;
    source->high = -1;
    source->leader = -1;

    for (i = 0; i < topic->feeds.nelts; i++) {
        source->positions[i].feed = feeds[i];
        source->positions[i].partition = FLUX_NONE;
    }

    place = ngx_array_push(&topic->sources);
    if (place == NULL) {
        return NGX_ERROR;
    }

    *place = source;

    return NGX_OK;
}


/* --- questions ----------------------------------------------------------- */

void
ngx_http_flux_kafka_look(ngx_http_flux_consumer_t *consumer)
{
    ngx_http_flux_question_t  *question = NULL;

    if (consumer->asked || consumer->client.assistant == NULL) {
        return;
    }

    if (consumer->look_offsets) {
        consumer->look_offsets = 0;
        question = ngx_http_flux_kafka_ask_offsets(consumer);
    }

    if (question == NULL && consumer->look_metadata) {
        consumer->look_metadata = 0;
        question = ngx_http_flux_question_new(NGX_HTTP_FLUX_ASK_METADATA, 0);
    }

    if (question != NULL) {
        consumer->asked = 1;
        ngx_http_flux_assistant_ask(consumer->client.assistant, question);
    }
}


void
ngx_http_flux_kafka_answer(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_question_t *question)
{
    consumer->asked = 0;

    if (question->kind == NGX_HTTP_FLUX_ASK_MEMORY) {
        ngx_http_flux_question_destroy(question);
        ngx_http_flux_kafka_look(consumer);
        return;
    }

    if (question->kind == NGX_HTTP_FLUX_ASK_METADATA) {
        ngx_http_flux_metadata_answer(consumer, question);

    } else {
        ngx_http_flux_kafka_offsets(consumer, question);
    }

    ngx_http_flux_question_destroy(question);

    if (ngx_http_flux_consumer_calm(consumer)) {
        consumer->look_delay = 0;
        ngx_add_timer(&consumer->look, NGX_HTTP_FLUX_LOOK_CALM);

    } else {
        consumer->look_delay = ngx_min(ngx_max(2 * consumer->look_delay,
                                               NGX_HTTP_FLUX_LOOK_FIRST),
                                       NGX_HTTP_FLUX_LOOK_LAST);
        ngx_add_timer(&consumer->look, consumer->look_delay);
    }

    ngx_http_flux_kafka_look(consumer);
}


void
ngx_http_flux_kafka_look_soon(ngx_http_flux_consumer_t *consumer)
{
    consumer->look_delay = NGX_HTTP_FLUX_LOOK_FIRST;
    ngx_add_timer(&consumer->look, NGX_HTTP_FLUX_LOOK_FIRST);
}


/* Is there nothing that a look could make better? */

static ngx_uint_t
ngx_http_flux_consumer_calm(ngx_http_flux_consumer_t *consumer)
{
    ngx_uint_t                i, n, k;
    flux_partition_t         *p;
    ngx_http_flux_topic_t   **topics = consumer->topics.elts;
    ngx_http_flux_source_t   *source;

    if (!consumer->up) {
        return 0;
    }

    for (i = 0; i < consumer->topics.nelts; i++) {

        if (!topics[i]->exists || topics[i]->shrunk) {
            return 0;
        }

        for (n = 0; n < topics[i]->sources.nelts; n++) {
            source = ngx_http_flux_sources(topics[i])[n];

            if (!source->reading) {
                return 0;
            }

            for (k = 0; k < topics[i]->feeds.nelts; k++) {
                p = ngx_http_flux_partition(source, k);

                if (p != NULL && p->down) {
                    return 0;
                }
            }
        }
    }

    return 1;
}


/* --- metadata ------------------------------------------------------------ */

static void
ngx_http_flux_metadata_answer(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_question_t *question)
{
    int                              n;
    ngx_uint_t                       i;
    ngx_http_flux_topic_t          **topics = consumer->topics.elts;
    const struct rd_kafka_metadata  *metadata = question->metadata;

    if (question->error != RD_KAFKA_RESP_ERR_NO_ERROR
        || question->cluster_id == NULL)
    {
        if (ngx_current_msec - consumer->seen >= NGX_HTTP_FLUX_LOOK_PATIENCE) {
            ngx_http_flux_kafka_cluster_down(consumer,
                question->error ? rd_kafka_err2str(question->error)
                                : "the cluster does not tell its id");
        }

        return;
    }

    consumer->seen = ngx_current_msec;

    if (consumer->down && consumer->was_up) {

        /*
         * What answers now may be anything: begin anew, with a fresh client
         * that knows nothing of the old cluster.
         */

        consumer->restart = 1;
        return;
    }

    if (ngx_http_flux_kafka_lock(consumer) != NGX_OK) {
        return;
    }

    ngx_http_flux_metadata_cluster(consumer, question);

    for (i = 0; i < consumer->topics.nelts; i++) {

        for (n = 0; n < metadata->topic_cnt; n++) {
            if (ngx_strcmp(metadata->topics[n].topic, topics[i]->name.data)
                == 0)
            {
                ngx_http_flux_metadata_topic(topics[i], &metadata->topics[n]);
                break;
            }
        }
    }

    ngx_http_flux_kafka_unlock(consumer);
}


static void
ngx_http_flux_metadata_cluster(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_question_t *question)
{
    uint64_t                         hash;
    ngx_uint_t                       i;
    ngx_http_flux_feed_t           **feeds = consumer->fmcf->feeds.elts;
    ngx_http_flux_topic_t          **topics = consumer->topics.elts;
    ngx_http_flux_cluster_state_t   *state;

    state = &consumer->zone->shared->clusters[consumer->cluster->index];

    if (consumer->id == 0) {
        consumer->id = flux_hash(FLUX_HASH_START, question->cluster_id,
                                 ngx_strlen(question->cluster_id));

        for (i = 0; i < consumer->topics.nelts; i++) {
            hash = flux_hash(consumer->id, topics[i]->name.data,
                             topics[i]->name.len);
            topics[i]->fingerprint = ngx_max(flux_hash_end(hash), 1);
        }
    }

    state->id = consumer->id;

    if (consumer->up && state->up) {
        return;
    }

    consumer->up = 1;
    consumer->was_up = 1;
    consumer->down = 0;
    consumer->failure[0] = '\0';
    state->up = 1;
    state->error[0] = '\0';

    ngx_http_flux_cache_forget(consumer->fmcf, consumer->cluster);

    for (i = 0; i < consumer->fmcf->feeds.nelts; i++) {
        if (feeds[i]->cluster == consumer->cluster
            && feeds[i]->slot != FLUX_NONE)
        {
            consumer->changed |= UINT64_C(1) << feeds[i]->slot;
        }
    }

    ngx_log_error(NGX_LOG_NOTICE, consumer->log, 0,
                  "flux kafka \"%V\" is up, cluster id %s",
                  &consumer->cluster->name, question->cluster_id);
}


static void
ngx_http_flux_metadata_topic(ngx_http_flux_topic_t *topic,
    const rd_kafka_metadata_topic_t *metadata)
{
    int         n;
    ngx_uint_t  i;

    if (metadata->partition_cnt > 0) {

        if (topic->missing) {
            ngx_log_error(NGX_LOG_NOTICE, topic->consumer->log, 0,
                          "flux kafka \"%V\": topic \"%V\" is there",
                          &topic->consumer->cluster->name, &topic->name);
        }

        topic->exists = 1;
        topic->missing = 0;

    } else {
        ngx_http_flux_metadata_missing(topic,
            metadata->err ? metadata->err
                          : RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
        return;
    }

    while (topic->sources.nelts < (ngx_uint_t) metadata->partition_cnt) {

        if (ngx_http_flux_source_add(topic) != NGX_OK) {
            return;
        }
    }

    ngx_http_flux_metadata_shrink(topic, (uint32_t) metadata->partition_cnt);

    for (i = 0; i < topic->sources.nelts; i++) {
        ngx_http_flux_source_enter(ngx_http_flux_sources(topic)[i]);
        ngx_http_flux_sources(topic)[i]->leader = -1;
    }

    /* from now on, what is new has come while we looked on */

    topic->young = 1;

    for (n = 0; n < metadata->partition_cnt; n++) {

        if (metadata->partitions[n].id >= 0
            && (ngx_uint_t) metadata->partitions[n].id < topic->sources.nelts)
        {
            ngx_http_flux_metadata_source(
                ngx_http_flux_sources(topic)[metadata->partitions[n].id],
                &metadata->partitions[n]);
        }
    }
}


/*
 * Kafka only ever adds partitions, so a topic with fewer of them is another
 * one; unless the broker that was asked has not heard of the new ones yet.
 */

static void
ngx_http_flux_metadata_shrink(ngx_http_flux_topic_t *topic, uint32_t count)
{
    uint32_t                n;
    ngx_uint_t              i, read;
    flux_log_t             *log = &topic->consumer->zone->log;
    flux_partition_t       *p;
    ngx_http_flux_feed_t  **feeds = topic->feeds.elts;

    read = 0;

    for (i = 0; i < topic->feeds.nelts; i++) {
        for (n = 0; n < log->header->npartitions; n++) {
            p = &log->partitions[n];

            if (p->feed == feeds[i]->slot && p->topic == topic->hash
                && p->number >= count && p->start >= 0)
            {
                read = 1;
            }
        }
    }

    if (!read) {
        topic->shrunk = 0;

    } else if (topic->shrunk == 0) {
        topic->shrunk = ngx_max(ngx_current_msec, 1);

    } else if (ngx_current_msec - topic->shrunk
               >= NGX_HTTP_FLUX_SHRINK_PATIENCE)
    {
        topic->shrunk = 0;
        ngx_http_flux_kafka_reset_topic(topic);
    }

    for (i = 0; i < topic->feeds.nelts; i++) {
        for (n = 0; n < log->header->npartitions; n++) {
            p = &log->partitions[n];

            if (p->feed == feeds[i]->slot && p->topic == topic->hash
                && p->number >= count && p->start < 0)
            {
                p->feed = FLUX_NONE;
                topic->consumer->changed |= UINT64_C(1) << feeds[i]->slot;
            }
        }
    }

    if (topic->shrunk) {
        return;
    }

    while (topic->sources.nelts > count) {
        ngx_http_flux_sources(topic)[--topic->sources.nelts]->leader = -1;
    }

    for (i = 0; i < topic->feeds.nelts; i++) {
        ngx_http_flux_kafka_check_feed(topic->consumer, feeds[i]);
    }
}


static void
ngx_http_flux_metadata_source(ngx_http_flux_source_t *source,
    const rd_kafka_metadata_partition_t *metadata)
{
    ngx_uint_t         i;
    flux_partition_t  *p;

    if (metadata->leader < 0) {
        ngx_http_flux_kafka_source_down(source,
            metadata->err ? metadata->err
                          : RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
        return;
    }

    source->leader = metadata->leader;

    if (!source->reading) {
        source->topic->consumer->look_offsets = 1;
        return;
    }

    for (i = 0; i < source->topic->feeds.nelts; i++) {
        p = ngx_http_flux_partition(source, i);

        if (p != NULL && p->down) {

            /* it was away: see whether it is still the same */

            ngx_http_flux_kafka_stop_source(source);
            source->topic->consumer->look_offsets = 1;
            return;
        }
    }
}


static void
ngx_http_flux_metadata_missing(ngx_http_flux_topic_t *topic,
    rd_kafka_resp_err_t error)
{
    ngx_uint_t               i;
    ngx_http_flux_source_t  *source;

    if (!topic->missing || topic->exists) {
        ngx_log_error(NGX_LOG_WARN, topic->consumer->log, 0,
                      "flux kafka \"%V\": topic \"%V\": %s",
                      &topic->consumer->cluster->name, &topic->name,
                      rd_kafka_err2str(error));
    }

    topic->exists = 0;
    topic->missing = 1;

    /* every topic has a first partition: it bears the error */

    if (topic->sources.nelts == 0
        && ngx_http_flux_source_add(topic) != NGX_OK)
    {
        return;
    }

    ngx_http_flux_kafka_stop_topic(topic);

    if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        topic->young = 1;
    }

    for (i = 0; i < topic->sources.nelts; i++) {
        source = ngx_http_flux_sources(topic)[i];

        source->leader = -1;
        ngx_http_flux_source_enter(source);
        ngx_http_flux_kafka_source_down(source, error);
    }
}


/*
 * Gives a partition its places in the zone.  One that was never read has no
 * start yet: -1.
 */

static void
ngx_http_flux_source_enter(ngx_http_flux_source_t *source)
{
    uint32_t                   n;
    ngx_uint_t                 i, young;
    flux_log_t                *log = &source->topic->consumer->zone->log;
    flux_partition_t          *p;
    ngx_http_flux_topic_t     *topic = source->topic;
    ngx_http_flux_position_t  *position;

    for (i = 0; i < topic->feeds.nelts; i++) {
        position = &source->positions[i];

        if (position->partition != FLUX_NONE) {
            continue;
        }

        young = topic->young;
        n = flux_log_find_partition(log, position->feed->slot, topic->hash,
                                    (uint32_t) source->number);

        if (n == FLUX_NONE) {
            young = topic->young
                    || ngx_http_flux_topic_read(topic, position->feed);

            n = flux_log_partition(log, position->feed->slot, topic->hash,
                                   topic->fingerprint,
                                   (uint32_t) source->number, 0);

            if (n == FLUX_NONE) {

                if (ngx_http_flux_kafka_may_log(topic->consumer)) {
                    ngx_log_error(NGX_LOG_ERR, topic->consumer->log, 0,
                                  "flux zone \"%V\" has no place for "
                                  "partition %V[%D]",
                                  &topic->consumer->zone->name, &topic->name,
                                  source->number);
                }

                continue;
            }

            log->partitions[n].start = NGX_HTTP_FLUX_UNREAD;
        }

        p = &log->partitions[n];

        if (young && p->start == NGX_HTTP_FLUX_UNREAD) {
            p->start = NGX_HTTP_FLUX_UNREAD_YOUNG;
        }

        position->partition = n;
    }
}


/* Has the feed ever read from this topic? */

static ngx_uint_t
ngx_http_flux_topic_read(ngx_http_flux_topic_t *topic,
    ngx_http_flux_feed_t *feed)
{
    uint32_t     n;
    flux_log_t  *log = &topic->consumer->zone->log;

    n = flux_log_find_partition(log, feed->slot, topic->hash, 0);

    return n != FLUX_NONE && log->partitions[n].start >= 0;
}
