/*
 * What is settled before the first record: librdkafka's configuration and
 * the topics.
 */

#include "flux_kafka_setup.h"

#include <stdio.h>
#include <stdlib.h>


flux_rc_t
flux_kafka_configure(void *conf, const flux_kafka_options_t *options,
    char *error, size_t size)
{
    char                text[256];
    size_t              i;
    const char *const  *p;

    const char *const   fixed[] = {
        "bootstrap.servers", options->brokers,
        "client.id", options->client_id,
        "log.queue", "true",
        "reconnect.backoff.ms", "100",
        "reconnect.backoff.max.ms", "2000",
        NULL
    };

    for (i = 0; fixed[i] != NULL; i += 2) {
        if (rd_kafka_conf_set(conf, fixed[i], fixed[i + 1], error, size)
            != RD_KAFKA_CONF_OK)
        {
            return FLUX_INVALID;
        }
    }

    for (p = options->properties; p != NULL && *p != NULL; p += 2) {
        if (rd_kafka_conf_set(conf, p[0], p[1], text, sizeof(text))
            != RD_KAFKA_CONF_OK)
        {
            /* librdkafka may tell of another name of the same property */
            snprintf(error, size, "%s: %s", p[0], text);
            return FLUX_INVALID;
        }
    }

    return FLUX_OK;
}


rd_kafka_conf_t *
flux_kafka_conf(const flux_kafka_options_t *options, char *error, size_t size)
{
    size_t            i;
    rd_kafka_conf_t  *conf;

    static const char *const  fixed[] = {
        "enable.idempotence", "true",
        "linger.ms", "10",
        "queue.buffering.max.messages", "10000",
        "queue.buffering.max.kbytes", "16384",
        NULL
    };

    conf = rd_kafka_conf_new();

    /* not every librdkafka is built with zstd */

    if (rd_kafka_conf_set(conf, "compression.codec", "zstd", NULL, 0)
        != RD_KAFKA_CONF_OK)
    {
        rd_kafka_conf_set(conf, "compression.codec", "lz4", NULL, 0);
    }

    for (i = 0; fixed[i] != NULL; i += 2) {
        if (rd_kafka_conf_set(conf, fixed[i], fixed[i + 1], error, size)
            != RD_KAFKA_CONF_OK)
        {
            rd_kafka_conf_destroy(conf);
            return NULL;
        }
    }

    if (flux_kafka_configure(conf, options, error, size) != FLUX_OK) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }

    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR
                                   | RD_KAFKA_EVENT_LOG);

    return conf;
}


static rd_kafka_NewTopic_t *
flux_topic_new(const flux_logger_t *log, const flux_topic_t *topic,
    int partitions)
{
    char                 error[256];
    const char *const   *p;
    rd_kafka_NewTopic_t *new_topic;

    /* -1: as many replicas as the cluster makes by default */

    new_topic = rd_kafka_NewTopic_new(topic->name,
                                      (topic->partitions > 0)
                                      ? topic->partitions
                                      : partitions,
                                      -1, error, sizeof(error));
    if (new_topic == NULL) {
        flux_log(log, FLUX_FAIL, "topic %s: %s", topic->name, error);
        return NULL;
    }

    for (p = topic->config; p != NULL && *p != NULL; p += 2) {
        rd_kafka_NewTopic_set_config(new_topic, p[0], p[1]);
    }

    return new_topic;
}


flux_rc_t
flux_topics_create(rd_kafka_t *rk, rd_kafka_queue_t *queue,
    const flux_logger_t *log, const flux_topic_t *const *topics, size_t count,
    int partitions, int timeout_ms)
{
    char                      error[256];
    size_t                    i, n;
    rd_kafka_NewTopic_t     **list;
    rd_kafka_AdminOptions_t  *options;

    list = calloc(count, sizeof(rd_kafka_NewTopic_t *));
    if (list == NULL) {
        return FLUX_NOMEM;
    }

    for (i = n = 0; i < count; i++) {
        list[n] = flux_topic_new(log, topics[i], partitions);
        n += (list[n] != NULL);
    }

    options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);

    if (options != NULL && n > 0) {
        rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, error,
                                                  sizeof(error));
        rd_kafka_CreateTopics(rk, list, n, options, queue);
        rd_kafka_AdminOptions_destroy(options);
    }

    rd_kafka_NewTopic_destroy_array(list, n);
    free(list);

    return (options != NULL && n > 0) ? FLUX_OK : FLUX_NOMEM;
}


/* 1 if a broker has answered for this topic, whatever it said */

static int
flux_topic_answered(const flux_logger_t *log, int said,
    const rd_kafka_topic_result_t *result)
{
    rd_kafka_resp_err_t  error;

    error = rd_kafka_topic_result_error(result);

    switch (error) {

    case RD_KAFKA_RESP_ERR_NO_ERROR:
        flux_log(log, FLUX_INFO, "topic %s was created",
                 rd_kafka_topic_result_name(result));
        return 1;

    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
        return 1;

    case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
        return 0;

    default:
        break;
    }

    if (error < 0) {
        return 0;       /* librdkafka's own: there was no answer */
    }

    /* not allowed to, say: somebody else may have made it */

    if (!said) {
        flux_log(log, FLUX_WARN, "topic %s was not created: %s",
                 rd_kafka_topic_result_name(result),
                 (rd_kafka_topic_result_error_string(result) != NULL)
                 ? rd_kafka_topic_result_error_string(result)
                 : rd_kafka_err2str(error));
    }

    return 1;
}


int
flux_topics_answered(const flux_logger_t *log, rd_kafka_event_t *event,
    int said)
{
    size_t                           i, n, answered;
    const rd_kafka_topic_result_t  **topics;

    topics = rd_kafka_CreateTopics_result_topics(
                 rd_kafka_event_CreateTopics_result(event), &n);

    for (i = answered = 0; i < n; i++) {
        answered += (size_t) flux_topic_answered(log, said, topics[i]);
    }

    return answered == n;
}
