/*
 * The way to Kafka: an idempotent, compressing librdkafka producer whose
 * events are served by the loop, and an outbox for the times without Kafka.
 *
 * Up:    records go straight to librdkafka.
 * Away:  (at start, when all brokers are down, when no acknowledgement came
 *        for a while) only the newest record of each key is kept. Creating
 *        the topics is the probe: once a broker answers it, the outbox goes
 *        out first, then what is new.
 */

#ifndef FLUX_KAFKA_H
#define FLUX_KAFKA_H

#include "flux_logger.h"
#include "flux_loop.h"
#include "flux_outbox.h"

typedef struct flux_kafka_s  flux_kafka_t;

typedef struct {
    const char         *brokers;
    const char *const  *properties;     /* name, value, ...; NULL at the end
                                           or as a whole; borrowed */
    const char         *client_id;
    int                 partitions;     /* of topics created here */
} flux_kafka_options_t;

typedef struct {
    int       up;
    size_t    waiting;      /* in the outbox */
    uint64_t  delivered;
    uint64_t  replaced;     /* while away, by a newer one of their key */
    uint64_t  dropped;
} flux_kafka_stats_t;

/*
 * Sets librdkafka properties that producers and consumers share. On
 * FLUX_INVALID error tells which one is wrong. conf is rd_kafka_conf_t *.
 */
flux_rc_t flux_kafka_configure(void *conf,
    const flux_kafka_options_t *options, char *error, size_t size);

/*
 * Does not wait for a broker. topics and options' texts are borrowed for as
 * long as the producer lives. NULL: error tells why (a wrong property).
 */
flux_kafka_t *flux_kafka_new(flux_loop_t *loop, const flux_logger_t *log,
    const flux_kafka_options_t *options, const flux_topic_t *const *topics,
    size_t count, char *error, size_t size);

/* Copies. Never blocks; FLUX_FULL only for a record too large to keep. */
flux_rc_t flux_kafka_put(flux_kafka_t *kafka, const flux_topic_t *topic,
    const char *key, const char *value, size_t len);

void flux_kafka_stats(const flux_kafka_t *kafka, flux_kafka_stats_t *stats);

/*
 * Waits up to timeout_ms for all that was put to be acknowledged, then lets
 * go. FLUX_OK when nothing was left behind. Blocks; for the end of a program.
 */
flux_rc_t flux_kafka_close(flux_kafka_t *kafka, int timeout_ms);

/*
 * rd_kafka_destroy() with an end: if it takes longer than a second, the
 * process exits with 0. The last thing to do with rk (rd_kafka_t *).
 */
void flux_kafka_destroy(void *rk);

#endif /* FLUX_KAFKA_H */
