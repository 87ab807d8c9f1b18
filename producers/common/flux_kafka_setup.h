/*
 * For flux_kafka.c: its configuration and its topics. Includes librdkafka's
 * header, which flux_kafka.h keeps from the rest.
 */

#ifndef FLUX_KAFKA_SETUP_H
#define FLUX_KAFKA_SETUP_H

#include "flux_kafka.h"

#include <librdkafka/rdkafka.h>

/* An idempotent, compressing producer's; NULL: error tells what is wrong. */
rd_kafka_conf_t *flux_kafka_conf(const flux_kafka_options_t *options,
    char *error, size_t size);

/* Asks for all topics to be created; the answer comes by the queue. */
flux_rc_t flux_topics_create(rd_kafka_t *rk, rd_kafka_queue_t *queue,
    const flux_logger_t *log, const flux_topic_t *const *topics, size_t count,
    int partitions, int timeout_ms);

/*
 * 1 if a broker has answered for each topic, whatever it said: that it is
 * there, that it was made, that we may not make it (logged unless said).
 */
int flux_topics_answered(const flux_logger_t *log, rd_kafka_event_t *event,
    int said);

#endif /* FLUX_KAFKA_SETUP_H */
