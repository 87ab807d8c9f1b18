/*
 * Which partitions there are, where to read them from, and whether they can
 * be read.
 */

#include "ngx_http_flux_consumer.h"


/* ms between two looks at the cluster: all well, or something to wait for */
#define NGX_HTTP_FLUX_LOOK_CALM     15000
#define NGX_HTTP_FLUX_LOOK_CONCERN  1000

/* without an answer for so long (ms) a cluster is down */
#define NGX_HTTP_FLUX_LOOK_PATIENCE  5000


static ngx_http_flux_topic_t *ngx_http_flux_topic_add(
    ngx_http_flux_consumer_t *consumer, ngx_str_t *name);
static ngx_int_t ngx_http_flux_source_add(ngx_http_flux_topic_t *topic);
static void ngx_http_flux_metadata_answer(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_question_t *question);
static void ngx_http_flux_metadata_cluster(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_question_t *question);
static void ngx_http_flux_metadata_topic(ngx_http_flux_topic_t *topic,
    const rd_kafka_metadata_topic_t *metadata);
static void ngx_http_flux_metadata_source(ngx_http_flux_source_t *source,
    const rd_kafka_metadata_partition_t *metadata);
static void ngx_http_flux_metadata_missing(ngx_http_flux_topic_t *topic,
    rd_kafka_resp_err_t error);
static void ngx_http_flux_source_enter(ngx_http_flux_source_t *source);
static ngx_uint_t ngx_http_flux_topic_read(ngx_http_flux_topic_t *topic,
    ngx_http_flux_feed_t *feed);
static ngx_http_flux_question_t *ngx_http_flux_offsets_question(
    ngx_http_flux_consumer_t *consumer);
static void ngx_http_flux_offsets_add(ngx_http_flux_question_t *question,
    size_t list, ngx_http_flux_source_t *source, int64_t time);
static void ngx_http_flux_offsets_answer(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_question_t *question);
static ngx_int_t ngx_http_flux_offsets_get(ngx_http_flux_question_t *question,
    size_t list, ngx_http_flux_source_t *source, int64_t *offset);
static void ngx_http_flux_source_place(ngx_http_flux_source_t *source,
    ngx_http_flux_question_t *question);
static int64_t ngx_http_flux_position_place(ngx_http_flux_source_t *source,
    ngx_http_flux_position_t *position, ngx_http_flux_question_t *question,
    int64_t low, int64_t high);
static int64_t ngx_http_flux_position_first(ngx_http_flux_source_t *source,
    ngx_http_flux_position_t *position, ngx_http_flux_question_t *question,
    int64_t low, int64_t high);
static ngx_uint_t ngx_http_flux_source_foreign(ngx_http_flux_source_t *source,
    int64_t high);
static void ngx_http_flux_topic_reset(ngx_http_flux_topic_t *topic);
static void ngx_http_flux_topic_stop(ngx_http_flux_topic_t *topic);
static void ngx_http_flux_source_stop(ngx_http_flux_source_t *source);
static void ngx_http_flux_source_down(ngx_http_flux_source_t *source,
    rd_kafka_resp_err_t error);
static void ngx_http_flux_feed_check(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_feed_t *feed);
static ngx_uint_t ngx_http_flux_consumer_calm(
    ngx_http_flux_consumer_t *consumer);


static ngx_http_flux_source_t **
ngx_http_flux_sources(ngx_http_flux_topic_t *topic)
{
    return topic->sources.elts;
}


static flux_partition_t *
ngx_http_flux_partition(ngx_http_flux_source_t *source, ngx_uint_t i)
{
    uint32_t  n = source->positions[i].partition;

    return n == FLUX_NONE ? NULL
                          : &source->topic->consumer->zone->log.partitions[n];
}


/* --- topics --------------------------------------------------------------- */

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

    conf = rd_kafka_default_topic_conf_dup(consumer->handle);
    rd_kafka_topic_conf_set_opaque(conf, topic);

    topic->handle = rd_kafka_topic_new(consumer->handle,
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


/* --- questions ------------------------------------------------------------ */

void
ngx_http_flux_kafka_look(ngx_http_flux_consumer_t *consumer)
{
    ngx_http_flux_question_t  *question = NULL;

    if (consumer->asked || consumer->assistant == NULL) {
        return;
    }

    if (consumer->look_offsets) {
        consumer->look_offsets = 0;
        question = ngx_http_flux_offsets_question(consumer);
    }

    if (question == NULL
        && (ngx_msec_int_t) (ngx_current_msec - consumer->look_at) >= 0)
    {
        question = ngx_http_flux_question_new(NGX_HTTP_FLUX_ASK_METADATA, 0);
    }

    if (question != NULL) {
        consumer->asked = 1;
        ngx_http_flux_assistant_ask(consumer->assistant, question);
    }
}


void
ngx_http_flux_kafka_answer(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_question_t *question)
{
    consumer->asked = 0;

    if (question->kind == NGX_HTTP_FLUX_ASK_METADATA) {
        ngx_http_flux_metadata_answer(consumer, question);

    } else {
        ngx_http_flux_offsets_answer(consumer, question);
    }

    ngx_http_flux_question_destroy(question);

    consumer->look_at = ngx_current_msec
                        + (ngx_http_flux_consumer_calm(consumer)
                           ? NGX_HTTP_FLUX_LOOK_CALM
                           : NGX_HTTP_FLUX_LOOK_CONCERN);

    ngx_http_flux_kafka_look(consumer);
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

        if (!topics[i]->exists) {
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


/* --- metadata ------------------------------------------------------------- */

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
            hash ^= hash >> 32;
            topics[i]->fingerprint = (uint32_t) hash ? (uint32_t) hash : 1;
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

    for (i = 0; i < topic->sources.nelts; i++) {
        ngx_http_flux_source_enter(ngx_http_flux_sources(topic)[i]);
        ngx_http_flux_sources(topic)[i]->leader = 0;
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


static void
ngx_http_flux_metadata_source(ngx_http_flux_source_t *source,
    const rd_kafka_metadata_partition_t *metadata)
{
    ngx_uint_t         i;
    flux_partition_t  *p;

    if (metadata->leader < 0) {
        ngx_http_flux_source_down(source,
            metadata->err ? metadata->err
                          : RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
        return;
    }

    source->leader = 1;

    if (!source->reading) {
        source->topic->consumer->look_offsets = 1;
        return;
    }

    for (i = 0; i < source->topic->feeds.nelts; i++) {
        p = ngx_http_flux_partition(source, i);

        if (p != NULL && p->down) {

            /* it was away: see whether it is still the same */

            ngx_http_flux_source_stop(source);
            source->topic->consumer->look_offsets = 1;
            return;
        }
    }
}


static void
ngx_http_flux_metadata_missing(ngx_http_flux_topic_t *topic,
    rd_kafka_resp_err_t error)
{
    ngx_uint_t  i;

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

    ngx_http_flux_topic_stop(topic);

    if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        topic->young = 1;
    }

    for (i = 0; i < topic->sources.nelts; i++) {
        ngx_http_flux_sources(topic)[i]->leader = 0;
        ngx_http_flux_source_enter(ngx_http_flux_sources(topic)[i]);
        ngx_http_flux_source_down(ngx_http_flux_sources(topic)[i], error);
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
                ngx_log_error(NGX_LOG_ERR, topic->consumer->log, 0,
                              "flux zone \"%V\" has no place for partition "
                              "%V[%D]", &topic->consumer->zone->name,
                              &topic->name, source->number);
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


/* --- offsets -------------------------------------------------------------- */

static ngx_http_flux_question_t *
ngx_http_flux_offsets_question(ngx_http_flux_consumer_t *consumer)
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

            if (source->reading || !source->leader) {
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


static void
ngx_http_flux_offsets_answer(ngx_http_flux_consumer_t *consumer,
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

        if (source->reading || !source->leader) {
            continue;
        }

        if (list->elems[i].err
            || ngx_http_flux_offsets_get(question, NGX_HTTP_FLUX_LOW, source,
                                         &low) != NGX_OK
            || ngx_http_flux_offsets_get(question, NGX_HTTP_FLUX_HIGH, source,
                                         &high) != NGX_OK)
        {
            ngx_http_flux_source_down(source, list->elems[i].err
                                              ? list->elems[i].err
                                              : RD_KAFKA_RESP_ERR__TIMED_OUT);
            continue;
        }

        if (ngx_http_flux_source_foreign(source, high)) {
            ngx_http_flux_topic_reset(source->topic);
        }

        ngx_http_flux_source_place(source, question);
    }

    ngx_http_flux_kafka_unlock(consumer);
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

        ngx_http_flux_feed_check(consumer, source->positions[i].feed);
    }

    if (from == INT64_MAX) {
        return;
    }

    source->high = high;

    if (rd_kafka_consume_start_queue(topic->handle, source->number, from,
                                     consumer->queue)
        == -1)
    {
        ngx_http_flux_source_down(source, rd_kafka_last_error());
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


/* --- recreated topics ----------------------------------------------------- */

void
ngx_http_flux_kafka_recreated(ngx_http_flux_topic_t *topic)
{
    ngx_http_flux_consumer_t  *consumer = topic->consumer;

    if (ngx_http_flux_kafka_lock(consumer) != NGX_OK) {
        return;
    }

    ngx_http_flux_topic_reset(topic);
    ngx_http_flux_kafka_unlock(consumer);

    consumer->look_offsets = 1;
    ngx_http_flux_kafka_look(consumer);
}


static void
ngx_http_flux_topic_reset(ngx_http_flux_topic_t *topic)
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

    ngx_http_flux_topic_stop(topic);

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

        for (n = 0; n < topic->sources.nelts; n++) {
            source = ngx_http_flux_sources(topic)[n];
            position = &source->positions[i];

            position->verify = 0;
            position->partition = flux_log_find_partition(log, feed->slot,
                                               topic->hash,
                                               (uint32_t) source->number);

            if (position->partition == FLUX_NONE) {
                continue;
            }

            p = ngx_http_flux_partition(source, i);

            /*
             * In the same cluster it was made while we looked on.  Another
             * cluster has a past of its own.
             */

            p->start = (old == topic->fingerprint)
                       ? NGX_HTTP_FLUX_UNREAD_YOUNG : NGX_HTTP_FLUX_UNREAD;
        }

        topic->consumer->changed |= UINT64_C(1) << feed->slot;
    }

    topic->consumer->look_offsets = 1;
}


static void
ngx_http_flux_topic_stop(ngx_http_flux_topic_t *topic)
{
    ngx_uint_t  i;

    for (i = 0; i < topic->sources.nelts; i++) {
        ngx_http_flux_source_stop(ngx_http_flux_sources(topic)[i]);
    }
}


static void
ngx_http_flux_source_stop(ngx_http_flux_source_t *source)
{
    if (!source->reading) {
        return;
    }

    source->reading = 0;

    /* waits for a thread of librdkafka to nod, not for the network */

    rd_kafka_consume_stop(source->topic->handle, source->number);
    ngx_http_flux_kafka_forget(source->topic->consumer, source);
}


/* --- states --------------------------------------------------------------- */

void
ngx_http_flux_kafka_cluster_down(ngx_http_flux_consumer_t *consumer,
    const char *error)
{
    ngx_uint_t                       i, n;
    ngx_http_flux_feed_t           **feeds = consumer->fmcf->feeds.elts;
    ngx_http_flux_topic_t          **topics = consumer->topics.elts;
    ngx_http_flux_cluster_state_t   *state;

    consumer->look_at = ngx_current_msec;

    if (consumer->down) {
        return;
    }

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
            ngx_http_flux_source_down(ngx_http_flux_sources(topics[i])[n],
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

        ngx_http_flux_source_stop(source);
        consumer->look_at = ngx_current_msec;

        if (ngx_current_msec - source->started > NGX_HTTP_FLUX_LOOK_CONCERN) {
            consumer->look_offsets = 1;
            ngx_http_flux_kafka_look(consumer);
        }

        return;
    }

    if (error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
        || error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
        || error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
    {
        /* what comes back under this name has to be looked at first */

        error = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        ngx_http_flux_source_stop(source);
    }

    consumer->look_at = ngx_current_msec + NGX_HTTP_FLUX_LOOK_CONCERN;

    if (ngx_http_flux_kafka_lock(consumer) != NGX_OK) {
        return;
    }

    ngx_http_flux_source_down(source, error);
    ngx_http_flux_kafka_unlock(consumer);
}


static void
ngx_http_flux_source_down(ngx_http_flux_source_t *source,
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
    flux_partition_t  *p = &consumer->zone->log.partitions[position->partition];

    p->down = 0;
    p->error = 0;
    p->down_since = 0;

    consumer->changed |= UINT64_C(1) << position->feed->slot;
}


void
ngx_http_flux_kafka_source_ready(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_position_t *position)
{
    consumer->zone->log.partitions[position->partition].ready = 1;

    ngx_http_flux_feed_check(consumer, position->feed);
}


/* A feed is ready when each partition of each of its topics is. */

static void
ngx_http_flux_feed_check(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_feed_t *feed)
{
    ngx_uint_t               i, n, k;
    flux_feed_t             *state;
    flux_partition_t        *p;
    ngx_http_flux_feed_t   **feeds;
    ngx_http_flux_topic_t  **topics = consumer->topics.elts;

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
                p = ngx_http_flux_partition(ngx_http_flux_sources(topics[i])[n],
                                            k);

                if (p == NULL || !p->ready) {
                    return;
                }
            }
        }
    }

    state->ready = 1;
    consumer->changed |= UINT64_C(1) << feed->slot;
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
                || rd_kafka_get_watermark_offsets(consumer->handle,
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
