/*
 * The consumer: cluster -> log.  Lives in the one worker that holds the
 * writer's lease, in nginx's event loop.
 */

#ifndef _NGX_HTTP_FLUX_KAFKA_H_INCLUDED_
#define _NGX_HTTP_FLUX_KAFKA_H_INCLUDED_


#include "ngx_http_flux_zone.h"


/*
 * Starts a consumer per cluster that has feeds.  The zone's index is whole
 * and this worker is its writer.  Nothing here waits for the network.
 */
ngx_int_t ngx_http_flux_kafka_start(ngx_cycle_t *cycle,
    ngx_http_flux_main_conf_t *fmcf);

/*
 * Stops at once, at a record's boundary; may be called again, or when nothing
 * runs.  librdkafka's end is waited for when the worker exits (2 s at most).
 */
void ngx_http_flux_kafka_stop(void);

/*
 * What flux_partition_t.start is of a partition that is known but was never
 * read (no metadata, no leader, no such topic): its next offset is 0 and means
 * nothing, so it belongs in no cursor.  A young one came while we looked on:
 * it will be read from its beginning, whatever the feed's `start`.
 */
#define NGX_HTTP_FLUX_UNREAD        -1
#define NGX_HTTP_FLUX_UNREAD_YOUNG  -2

/* Milliseconds of Unix time. */
int64_t ngx_http_flux_kafka_now(void);

/* May these bytes be the name of a room? */
ngx_uint_t ngx_http_flux_room_valid(const u_char *p, size_t len);

/* flux_partition_t.topic of a topic. */
#define ngx_http_flux_topic_hash(name)                                        \
    flux_hash(FLUX_HASH_START, (name)->data, (name)->len)

/*
 * At nginx -t: sets brokers and properties on a new rd_kafka_conf_t and throws
 * it away.  Returns NULL or the error, in `buf` of `len` bytes; *property is
 * the one that librdkafka refused, or NULL.
 */
char *ngx_http_flux_kafka_check(ngx_http_flux_cluster_t *cluster,
    ngx_keyval_t **property, char *buf, size_t len);


#endif /* _NGX_HTTP_FLUX_KAFKA_H_INCLUDED_ */
