/*
 * The inside of the consumer, for ngx_http_flux_kafka*.c.
 *
 * A consumer is one cluster read by this worker.  All of it runs in nginx's
 * event loop; for what can only be done by waiting, for a cluster or for the
 * kernel, there is its client's assistant.
 */

#ifndef _NGX_HTTP_FLUX_CONSUMER_H_INCLUDED_
#define _NGX_HTTP_FLUX_CONSUMER_H_INCLUDED_


#include "ngx_http_flux_kafka.h"
#include "ngx_http_flux_kafka_client.h"


/* what is taken at once, and appended in one hold of the lock */
#define NGX_HTTP_FLUX_BATCH_MESSAGES  256
#define NGX_HTTP_FLUX_BATCH_BYTES     (256 * 1024)


typedef struct ngx_http_flux_consumer_s  ngx_http_flux_consumer_t;
typedef struct ngx_http_flux_topic_s     ngx_http_flux_topic_t;


/* Where a feed stands in a partition. */

typedef struct {
    ngx_http_flux_feed_t      *feed;
    uint32_t                   partition;   /* in the zone, or FLUX_NONE */
    unsigned                   verify:1;    /* its last record is awaited */
} ngx_http_flux_position_t;


/* A partition as Kafka has it; feeds that share a topic share it. */

typedef struct {
    ngx_http_flux_topic_t     *topic;
    int32_t                    number;
    ngx_http_flux_position_t  *positions;   /* one per feed of the topic */
    int64_t                    high;        /* the last watermark seen */
    ngx_msec_t                 started;     /* when reading began */
    int32_t                    leader;      /* at the last look, -1: none */
    unsigned                   reading:1;   /* librdkafka fetches it */
} ngx_http_flux_source_t;


struct ngx_http_flux_topic_s {
    ngx_http_flux_consumer_t  *consumer;
    ngx_str_t                  name;        /* NUL-ended */
    uint64_t                   hash;
    uint32_t                   fingerprint;
    rd_kafka_topic_t          *handle;
    ngx_array_t                feeds;       /* of ngx_http_flux_feed_t * */
    ngx_array_t                sources;     /* of ngx_http_flux_source_t * */
    ngx_msec_t                 shrunk;      /* since when, or 0 */
    unsigned                   exists:1;    /* at the last look */
    unsigned                   missing:1;   /* likewise, surely not */
    unsigned                   young:1;     /* it came while we looked on */
};


struct ngx_http_flux_consumer_s {
    ngx_http_flux_main_conf_t  *fmcf;
    ngx_http_flux_zone_t       *zone;
    ngx_http_flux_cluster_t    *cluster;
    ngx_pool_t                 *pool;
    ngx_log_t                  *log;

    ngx_http_flux_kafka_client_t  client;

    ngx_event_t                 timer;      /* each second */
    ngx_event_t                 look;       /* when to ask for metadata */

    ngx_array_t                 topics;     /* of ngx_http_flux_topic_t * */
    uint64_t                    id;         /* of the cluster, 0: unknown */

    rd_kafka_message_t         *messages[NGX_HTTP_FLUX_BATCH_MESSAGES];
    size_t                      nmessages;
    size_t                      taken;

    struct {
        int64_t                 messages;   /* from one waking to the next */
        int64_t                 bytes;
        int64_t                 messages_left;
        int64_t                 bytes_left;
    } fetch;

    flux_fresh_t                fresh;

    uint64_t                    changed;    /* feeds whose state changed */
    uint64_t                    complete;   /* that just became ready */
    ngx_msec_t                  look_delay;
    ngx_msec_t                  seen;       /* when metadata last came */
    u_char                      failure[160];

    ngx_msec_t                  logged;     /* begin of this span of lines */
    ngx_uint_t                  lines;
    ngx_uint_t                  suppressed;

    struct {
        ngx_uint_t              count;
        ngx_uint_t              told;
        ngx_msec_t              last;
        ngx_str_t              *topic;
        int32_t                 partition;
        int64_t                 offset;
    } skips[FLUX_SKIP_EXPIRED + 1];

    uint64_t                   evicted[FLUX_LOG_FEEDS];    /* told of */
    ngx_msec_t                 evicted_last;

    unsigned                    up:1;
    unsigned                    down:1;     /* neither: not known yet */
    unsigned                    was_up:1;
    unsigned                    asked:1;
    unsigned                    look_metadata:1;
    unsigned                    look_offsets:1;
    unsigned                    published:1;
    unsigned                    restart:1;
};


static ngx_inline ngx_http_flux_source_t **
ngx_http_flux_sources(ngx_http_flux_topic_t *topic)
{
    return topic->sources.elts;
}


/* The partition in the zone of the topic's feed number i, or NULL. */

static ngx_inline flux_partition_t *
ngx_http_flux_partition(ngx_http_flux_source_t *source, ngx_uint_t i)
{
    uint32_t  n = source->positions[i].partition;

    return n == FLUX_NONE ? NULL
                          : &source->topic->consumer->zone->log.partitions[n];
}


/* Likewise, where a position is known to have one. */

static ngx_inline flux_partition_t *
ngx_http_flux_position_partition(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_position_t *position)
{
    return &consumer->zone->log.partitions[position->partition];
}


/* kafka_consumer.c */

/*
 * Makes the client; nothing waits for the network.  When librdkafka refuses
 * (a file that its properties name is missing, say), it is tried again later.
 */
void ngx_http_flux_consumer_connect(ngx_http_flux_consumer_t *consumer);

/* Frees the consumer; what may take a while is the assistant's. */
void ngx_http_flux_consumer_stop(ngx_http_flux_consumer_t *consumer);

/* 0 when too many lines were written of late. */
ngx_uint_t ngx_http_flux_kafka_may_log(ngx_http_flux_consumer_t *consumer);


/* kafka.c */

/*
 * What answers after a cluster was away may be another one: a fresh client
 * takes the consumer's place.
 */
void ngx_http_flux_consumer_restart(ngx_http_flux_consumer_t *consumer);

/*
 * The writer's lock and the mark that the index changes; NGX_DECLINED once
 * this worker is not the writer any more: it stops consuming by itself then.
 * Unlock also publishes that the feeds in consumer->changed have changed.
 */
ngx_int_t ngx_http_flux_kafka_lock(ngx_http_flux_consumer_t *consumer);
void ngx_http_flux_kafka_unlock(ngx_http_flux_consumer_t *consumer);


/* kafka_metadata.c */

ngx_int_t ngx_http_flux_kafka_init_topics(ngx_http_flux_consumer_t *consumer);

/* Asks the assistant for what is due, unless it is busy. */
void ngx_http_flux_kafka_look(ngx_http_flux_consumer_t *consumer);

/* Something is amiss: looks soon, then again and again, ever less often. */
void ngx_http_flux_kafka_look_soon(ngx_http_flux_consumer_t *consumer);

void ngx_http_flux_kafka_answer(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_question_t *question);

/* NULL when there is no such partition. */
ngx_http_flux_source_t *ngx_http_flux_kafka_source(
    ngx_http_flux_topic_t *topic, int32_t number);


/* kafka_offsets.c */

/* What to ask so as to place partitions; NULL when all are read. */
ngx_http_flux_question_t *ngx_http_flux_kafka_ask_offsets(
    ngx_http_flux_consumer_t *consumer);
void ngx_http_flux_kafka_offsets(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_question_t *question);

/* Holding the lock: the topic is another one, its feeds read it anew. */
void ngx_http_flux_kafka_reset_topic(ngx_http_flux_topic_t *topic);

/* The record at the last offset is another one. */
void ngx_http_flux_kafka_recreated(ngx_http_flux_topic_t *topic);

/* A fetch was refused, says a line of librdkafka's log. */
void ngx_http_flux_kafka_suspect(ngx_http_flux_consumer_t *consumer,
    const char *line);


/* kafka_fetch.c */

void ngx_http_flux_kafka_fetch_init(ngx_http_flux_consumer_t *consumer);

/* So much has left librdkafka's queue. */
void ngx_http_flux_kafka_fetch_taken(ngx_http_flux_consumer_t *consumer,
    size_t messages, size_t bytes);


/* kafka_memory.c */

/* Many records come: has memory made for more. */
void ngx_http_flux_kafka_memory(ngx_http_flux_consumer_t *consumer);


/* kafka_state.c */

/* The cluster cannot be reached, says librdkafka. */
void ngx_http_flux_kafka_cluster_down(ngx_http_flux_consumer_t *consumer,
    const char *error);

/* An error that came instead of a record. */
void ngx_http_flux_kafka_source_error(ngx_http_flux_source_t *source,
    rd_kafka_resp_err_t error, const char *text);

void ngx_http_flux_kafka_stop_topic(ngx_http_flux_topic_t *topic);
void ngx_http_flux_kafka_stop_source(ngx_http_flux_source_t *source);

/* Holding the lock: a partition cannot be read, or can. */
void ngx_http_flux_kafka_source_down(ngx_http_flux_source_t *source,
    rd_kafka_resp_err_t error);
void ngx_http_flux_kafka_source_up(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_position_t *position);

/* Holding the lock: the partition reached its end. */
void ngx_http_flux_kafka_source_ready(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_position_t *position);

/* Holding the lock: is the feed ready now? */
void ngx_http_flux_kafka_check_feed(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_feed_t *feed);

/* Without the lock: says which feeds became ready, and what is in them. */
void ngx_http_flux_kafka_log_complete(ngx_http_flux_consumer_t *consumer);

/* Fetches the watermarks that librdkafka has seen. */
void ngx_http_flux_kafka_watermarks(ngx_http_flux_consumer_t *consumer);


/* kafka_record.c */

/*
 * Takes a batch from librdkafka's queue and appends it: NGX_OK when the queue
 * was empty, NGX_AGAIN when there may be more, NGX_DECLINED when this worker
 * is not the writer.
 */
ngx_int_t ngx_http_flux_kafka_take(ngx_http_flux_consumer_t *consumer);

/* Forgets what was taken from the queue but not yet appended. */
void ngx_http_flux_kafka_forget(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_source_t *source);


/* kafka_skips.c */

/* Says what was skipped since the last line. */
void ngx_http_flux_kafka_log_skips(ngx_http_flux_consumer_t *consumer);


#endif /* _NGX_HTTP_FLUX_CONSUMER_H_INCLUDED_ */
