/*
 * Where records go: to Kafka, or as JSON lines to stdout (--print). A record
 * is a topic, a key and a JSON value.
 */

#ifndef FLUX_SINK_H
#define FLUX_SINK_H

#include "flux_buffer.h"
#include "flux_kafka.h"

/* the largest value: room for a day's forecast or a long article, and far
   below a broker's default message.max.bytes */
#define FLUX_VALUE_MAX  (256 * 1024)

typedef struct {
    flux_kafka_t         *kafka;        /* NULL: print; owned by the app */
    const flux_logger_t  *log;
    uint64_t              records;
    uint64_t              lost;
    int                   closed;       /* stdout is gone */
} flux_sink_t;

/*
 * Takes a value that was written without failure; a failed buffer, an empty
 * key or one above 255 bytes (what a room name may be) is FLUX_INVALID and
 * counted as lost.
 */
flux_rc_t flux_sink_put(flux_sink_t *sink, const flux_topic_t *topic,
    const char *key, const flux_buffer_t *value);

#endif /* FLUX_SINK_H */
