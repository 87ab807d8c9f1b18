/*
 * Records to Kafka: one librdkafka producer per cluster and worker, made when
 * it is first needed.  All of it runs in nginx's event loop, in any worker;
 * nothing waits for the network, except ngx_http_flux_producer_flush().
 */

#ifndef _NGX_HTTP_FLUX_PRODUCER_H_INCLUDED_
#define _NGX_HTTP_FLUX_PRODUCER_H_INCLUDED_


#include "ngx_http_flux_zone.h"

#include <librdkafka/rdkafka.h>


typedef struct ngx_http_flux_delivery_s  ngx_http_flux_delivery_t;

typedef void (*ngx_http_flux_delivery_pt)(ngx_http_flux_delivery_t *delivery);


/* A record on its way.  It belongs to the producer, which frees it. */

struct ngx_http_flux_delivery_s {
    void                       *data;
    rd_kafka_resp_err_t         error;      /* 0: the brokers have it */
    int32_t                     partition;
    int64_t                     offset;

    /* the producer's */
    ngx_queue_t                 queue;
    ngx_event_t                 timer;
    ngx_http_flux_delivery_pt   handler;
};


typedef void (*ngx_http_flux_topic_created_pt)(void *data,
    rd_kafka_resp_err_t error, const char *text);

typedef void (*ngx_http_flux_asked_pt)(void *data, rd_kafka_resp_err_t error,
    const char *text);


/*
 * Sends a record; an empty key is none, a NULL value is a tombstone.  Strings
 * are copied; the topic ends in NUL.  The handler is called once, in a later
 * turn: after the brokers' acknowledgement, or with an error, which is
 * RD_KAFKA_RESP_ERR__TIMED_OUT when nothing was heard for `timeout` ms (0: as
 * long as librdkafka tries).  NULL, and no call of the handler: too many
 * records wait, or there is no producer; *error says which.
 */
ngx_http_flux_delivery_t *ngx_http_flux_producer_send(
    ngx_http_flux_cluster_t *cluster, ngx_str_t *topic, ngx_str_t *key,
    ngx_str_t *value, ngx_msec_t timeout, ngx_http_flux_delivery_pt handler,
    void *data, rd_kafka_resp_err_t *error);

/* The handler is not called any more; the record may arrive all the same. */
void ngx_http_flux_delivery_cancel(ngx_http_flux_delivery_t *delivery);

/*
 * 1 when the cluster is known to be down: by the zone's word, or, where the
 * writer does not read from it (`zone` may be NULL), by the producer's own
 * failures; then a call a second gets a 0, to try.
 */
ngx_uint_t ngx_http_flux_producer_down(ngx_http_flux_cluster_t *cluster,
    ngx_http_flux_zone_t *zone);

/*
 * Has a compacted topic be made if there is none; the handler is called once
 * in a later turn, with RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS when there is.
 * NGX_ERROR and no call: there is no producer.
 */
ngx_int_t ngx_http_flux_producer_create_topic(ngx_http_flux_cluster_t *cluster,
    ngx_str_t *topic, ngx_http_flux_topic_created_pt handler, void *data);

/*
 * Asks whether the cluster answers; the handler is called once in a later
 * turn.  One question at a time.  NGX_ERROR and no call: there is no producer.
 */
ngx_int_t ngx_http_flux_producer_ask(ngx_http_flux_cluster_t *cluster,
    ngx_http_flux_asked_pt handler, void *data);

/*
 * For the end of a worker's work: all handlers are forgotten, what was sent is
 * waited for, `timeout` ms at most.
 */
void ngx_http_flux_producer_flush(ngx_http_flux_cluster_t *cluster,
    ngx_msec_t timeout);


/* --- ngx_http_flux_producer_watch.c --- */

/*
 * From now on says of the clusters that no feed reads how they are: in the
 * zone, or, where there is none, here alone.
 */
ngx_int_t ngx_http_flux_producer_watch(ngx_cycle_t *cycle,
    ngx_http_flux_main_conf_t *fmcf);

/* Where there is no zone: the state of each cluster, by its index. */
ngx_http_flux_cluster_state_t *ngx_http_flux_producer_watched(void);


#endif /* _NGX_HTTP_FLUX_PRODUCER_H_INCLUDED_ */
