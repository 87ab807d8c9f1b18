#include "flux_sink.h"

#include <stdio.h>
#include <string.h>


#define FLUX_KEY_MAX  255


static flux_rc_t
flux_sink_print(flux_sink_t *sink, const flux_buffer_t *value)
{
    if (fwrite(value->data, 1, value->len, stdout) != value->len
        || fputc('\n', stdout) == EOF
        || fflush(stdout) == EOF)
    {
        sink->closed = 1;
        return FLUX_ERROR;
    }

    return FLUX_OK;
}


flux_rc_t
flux_sink_put(flux_sink_t *sink, const flux_topic_t *topic, const char *key,
    const flux_buffer_t *value)
{
    size_t     len;
    flux_rc_t  rc;

    len = strlen(key);

    if (value->failed != FLUX_OK || value->data == NULL || len == 0
        || len > FLUX_KEY_MAX)
    {
        sink->lost++;
        flux_log(sink->log, FLUX_WARN, "%s: a record for '%s' cannot be made",
                 topic->name, key);
        return FLUX_INVALID;
    }

    if (sink->kafka != NULL) {
        rc = flux_kafka_put(sink->kafka, topic, key, value->data, value->len);

    } else {
        rc = flux_sink_print(sink, value);
    }

    if (rc == FLUX_OK) {
        sink->records++;

    } else {
        sink->lost++;
    }

    return rc;
}
