#include "flux_kafka_setup.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>


/* the newest of each key: far more keys than any producer here has */
#define FLUX_KAFKA_WAITING        20000
#define FLUX_KAFKA_WAITING_BYTES  (16 * 1024 * 1024)

/* without any acknowledgement for so long, Kafka counts as away */
#define FLUX_KAFKA_SILENCE_MS     5000

/* how often silence is looked for */
#define FLUX_KAFKA_CHECK_MS       500

/* of the five seconds that a stop may take, with the flush before it */
#define FLUX_KAFKA_DESTROY_S      1

#define FLUX_KAFKA_PROBE_MS       5000
#define FLUX_KAFKA_PROBE_PAUSE_MS 500

/* the same trouble is not logged more often */
#define FLUX_KAFKA_REPEAT_MS      60000


struct flux_kafka_s {
    flux_loop_t                *loop;
    const flux_logger_t        *log;
    flux_kafka_options_t        options;
    const flux_topic_t *const  *topics;
    size_t                      topics_count;

    rd_kafka_t                 *rk;
    rd_kafka_queue_t           *queue;
    int                         fd;
    flux_timer_t                check;
    flux_outbox_t               outbox;

    int                         up;
    int                         probing;
    int                         fatal;
    int                         refused;        /* said once */
    size_t                      unacked;
    int64_t                     progress;       /* last acknowledgement */
    int64_t                     probe_after;
    uint64_t                    delivered;
    rd_kafka_resp_err_t         last_error;
    int64_t                     last_error_at;
};


static void flux_kafka_release(flux_kafka_t *kafka);


static flux_rc_t
flux_kafka_open(flux_kafka_t *kafka, char *error, size_t size)
{
    rd_kafka_conf_t  *conf;

    conf = flux_kafka_conf(&kafka->options, error, size);
    if (conf == NULL) {
        return FLUX_INVALID;
    }

    kafka->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, size);
    if (kafka->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return FLUX_INVALID;
    }

    kafka->queue = rd_kafka_queue_get_main(kafka->rk);
    rd_kafka_set_log_queue(kafka->rk, kafka->queue);
    rd_kafka_queue_io_event_enable(kafka->queue, kafka->fd,
                                   &(uint64_t) { 1 }, sizeof(uint64_t));

    kafka->fatal = 0;
    kafka->probing = 0;
    kafka->unacked = 0;

    return FLUX_OK;
}


static int
flux_kafka_is_news(flux_kafka_t *kafka, rd_kafka_resp_err_t error)
{
    int64_t  now;

    now = flux_monotonic_ms();

    if (error == kafka->last_error
        && now - kafka->last_error_at < FLUX_KAFKA_REPEAT_MS)
    {
        return 0;
    }

    kafka->last_error = error;
    kafka->last_error_at = now;

    return 1;
}


static void
flux_kafka_away(flux_kafka_t *kafka, const char *why)
{
    if (!kafka->up) {
        return;
    }

    flux_log(kafka->log, FLUX_WARN,
             "Kafka is away (%s): the newest record of each key waits", why);

    kafka->up = 0;
    kafka->probe_after = 0;

    /* what was not acknowledged comes back by its delivery report */

    rd_kafka_purge(kafka->rk, RD_KAFKA_PURGE_F_QUEUE
                              | RD_KAFKA_PURGE_F_INFLIGHT
                              | RD_KAFKA_PURGE_F_NON_BLOCKING);
}


static void
flux_kafka_probe(flux_kafka_t *kafka)
{
    if (flux_topics_create(kafka->rk, kafka->queue, kafka->log,
                           kafka->topics, kafka->topics_count,
                           kafka->options.partitions, FLUX_KAFKA_PROBE_MS)
        == FLUX_OK)
    {
        kafka->probing = 1;
    }
}


static void
flux_kafka_probed(flux_kafka_t *kafka, rd_kafka_event_t *event)
{
    kafka->probing = 0;
    kafka->probe_after = flux_monotonic_ms() + FLUX_KAFKA_PROBE_PAUSE_MS;

    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        flux_log(kafka->log, FLUX_DEBUG, "Kafka does not answer: %s",
                 rd_kafka_event_error_string(event));
        return;
    }

    if (!flux_topics_answered(kafka->log, event, kafka->refused)
        || kafka->up || kafka->fatal)
    {
        return;
    }

    flux_log(kafka->log, FLUX_INFO, "Kafka is there: %zu records waited",
             kafka->outbox.count);

    kafka->refused = 1;
    kafka->up = 1;
    kafka->last_error = RD_KAFKA_RESP_ERR_NO_ERROR;
    flux_kafka_release(kafka);
}


static void
flux_kafka_report(flux_kafka_t *kafka, const rd_kafka_message_t *message)
{
    flux_rc_t            rc;
    const flux_topic_t  *topic;

    if (kafka->unacked > 0) {
        kafka->unacked--;
    }

    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        kafka->delivered++;
        kafka->progress = flux_monotonic_ms();
        return;
    }

    topic = message->_private;

    /* too large, say: the same record would fail again and again */

    if (message->err > 0
        && rd_kafka_fatal_error(kafka->rk, NULL, 0)
           == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        if (flux_kafka_is_news(kafka, message->err)) {
            flux_log(kafka->log, FLUX_FAIL, "topic %s refused a record: %s",
                     topic->name, rd_kafka_err2str(message->err));
        }

        kafka->outbox.dropped++;
        return;
    }

    rc = flux_outbox_return(&kafka->outbox, topic, message->key,
                            message->key_len, message->payload, message->len);
    if (rc != FLUX_OK) {
        kafka->outbox.dropped++;
    }
}


/*
 * What an idempotent producer cannot be sure of any more (a broker that was
 * killed forgot its sequence, say) ends it: the next check makes a new one.
 */

static void
flux_kafka_fatal(flux_kafka_t *kafka)
{
    char  text[256];

    if (kafka->fatal
        || rd_kafka_fatal_error(kafka->rk, text, sizeof(text))
           == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        return;
    }

    flux_log(kafka->log, FLUX_WARN, "Kafka producer starts anew: %s", text);
    flux_kafka_away(kafka, "fatal error");
    kafka->fatal = 1;
}


static void
flux_kafka_error(flux_kafka_t *kafka, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t  error;

    error = rd_kafka_event_error(event);

    if (error == RD_KAFKA_RESP_ERR__FATAL) {
        flux_kafka_fatal(kafka);
        return;
    }

    if (flux_kafka_is_news(kafka, error)) {
        flux_log(kafka->log, FLUX_WARN, "Kafka: %s",
                 rd_kafka_event_error_string(event));
    }

    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        flux_kafka_away(kafka, "all brokers are down");
    }
}


static void
flux_kafka_event(flux_kafka_t *kafka, rd_kafka_event_t *event)
{
    int                        level;
    const char                *facility, *text;
    const rd_kafka_message_t  *message;

    switch (rd_kafka_event_type(event)) {

    case RD_KAFKA_EVENT_DR:
        while ((message = rd_kafka_event_message_next(event)) != NULL) {
            flux_kafka_report(kafka, message);
        }

        break;

    case RD_KAFKA_EVENT_ERROR:
        flux_kafka_error(kafka, event);
        break;

    case RD_KAFKA_EVENT_CREATETOPICS_RESULT:
        flux_kafka_probed(kafka, event);
        break;

    case RD_KAFKA_EVENT_LOG:
        if (rd_kafka_event_log(event, &facility, &text, &level) == 0) {
            flux_log(kafka->log, FLUX_DEBUG, "librdkafka: %s: %s", facility,
                     text);
        }

        break;

    default:
        break;
    }
}


static void
flux_kafka_serve(flux_kafka_t *kafka)
{
    rd_kafka_event_t  *event;

    while ((event = rd_kafka_queue_poll(kafka->queue, 0)) != NULL) {
        flux_kafka_event(kafka, event);
        rd_kafka_event_destroy(event);
    }
}


/* an idempotent producer that met a fatal error is of no use any more */

static void
flux_kafka_reopen(flux_kafka_t *kafka)
{
    char  error[256];

    rd_kafka_purge(kafka->rk, RD_KAFKA_PURGE_F_QUEUE
                              | RD_KAFKA_PURGE_F_INFLIGHT);
    flux_kafka_serve(kafka);

    rd_kafka_queue_io_event_enable(kafka->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(kafka->queue);
    rd_kafka_destroy(kafka->rk);

    if (flux_kafka_open(kafka, error, sizeof(error)) != FLUX_OK) {
        /* the same settings were good before: memory or threads are short */
        flux_log(kafka->log, FLUX_FAIL, "Kafka producer: %s", error);
        abort();
    }
}


static void
flux_kafka_ready(void *arg)
{
    uint64_t       n;
    flux_kafka_t  *kafka = arg;

    if (read(kafka->fd, &n, sizeof(n)) < 0 && errno != EAGAIN) {
        return;
    }

    flux_kafka_serve(kafka);
    flux_kafka_release(kafka);
}


static void
flux_kafka_check(void *arg)
{
    int64_t        now;
    flux_kafka_t  *kafka = arg;

    now = flux_monotonic_ms();

    flux_kafka_serve(kafka);
    flux_kafka_fatal(kafka);

    if (kafka->fatal) {
        flux_kafka_reopen(kafka);
    }

    if (kafka->up && kafka->unacked > 0
        && now - kafka->progress > FLUX_KAFKA_SILENCE_MS)
    {
        flux_kafka_away(kafka, "no acknowledgement");
    }

    if (!kafka->up && !kafka->probing && now >= kafka->probe_after) {
        flux_kafka_probe(kafka);
    }

    flux_kafka_release(kafka);
    flux_timer_set(kafka->loop, &kafka->check, FLUX_KAFKA_CHECK_MS);
}


flux_kafka_t *
flux_kafka_new(flux_loop_t *loop, const flux_logger_t *log,
    const flux_kafka_options_t *options, const flux_topic_t *const *topics,
    size_t count, char *error, size_t size)
{
    flux_kafka_t  *kafka;

    kafka = calloc(1, sizeof(flux_kafka_t));
    if (kafka == NULL) {
        flux_copy_text(error, size, "out of memory");
        return NULL;
    }

    kafka->loop = loop;
    kafka->log = log;
    kafka->options = *options;
    kafka->topics = topics;
    kafka->topics_count = count;
    kafka->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (kafka->fd == -1
        || flux_outbox_init(&kafka->outbox, FLUX_KAFKA_WAITING,
                            FLUX_KAFKA_WAITING_BYTES) != FLUX_OK
        || flux_loop_watch(loop, kafka->fd, FLUX_READ, flux_kafka_ready,
                           kafka) != FLUX_OK)
    {
        flux_copy_text(error, size, "out of memory or descriptors");
        goto failed;
    }

    if (flux_kafka_open(kafka, error, size) != FLUX_OK) {
        flux_loop_unwatch(loop, kafka->fd);
        goto failed;
    }

    flux_timer_init(&kafka->check, flux_kafka_check, kafka);
    flux_timer_set(loop, &kafka->check, 0);

    return kafka;

failed:

    if (kafka->fd != -1) {
        close(kafka->fd);
    }

    flux_outbox_free(&kafka->outbox);
    free(kafka);

    return NULL;
}


static rd_kafka_resp_err_t
flux_kafka_produce(flux_kafka_t *kafka, const flux_topic_t *topic,
    const char *key, size_t key_len, const char *value, size_t value_len)
{
    rd_kafka_resp_err_t  error;

    error = rd_kafka_producev(kafka->rk,
                              RD_KAFKA_V_TOPIC(topic->name),
                              RD_KAFKA_V_KEY(key, key_len),
                              RD_KAFKA_V_VALUE((void *) value, value_len),
                              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                              RD_KAFKA_V_OPAQUE((void *) topic),
                              RD_KAFKA_V_END);

    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && kafka->unacked++ == 0) {
        kafka->progress = flux_monotonic_ms();
    }

    return error;
}


static void
flux_kafka_release(flux_kafka_t *kafka)
{
    rd_kafka_resp_err_t   error;
    const flux_record_t  *r;

    while (kafka->up && (r = flux_outbox_first(&kafka->outbox)) != NULL) {

        error = flux_kafka_produce(kafka, r->topic, r->data, r->key_len,
                                   r->data + r->key_len, r->value_len);

        if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            return;
        }

        if (error == RD_KAFKA_RESP_ERR__FATAL) {
            flux_kafka_fatal(kafka);
            return;
        }

        if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
            flux_log(kafka->log, FLUX_FAIL, "topic %s: a record is lost: %s",
                     r->topic->name, rd_kafka_err2str(error));
            kafka->outbox.dropped++;
        }

        flux_outbox_remove_first(&kafka->outbox);
    }
}


flux_rc_t
flux_kafka_put(flux_kafka_t *kafka, const flux_topic_t *topic,
    const char *key, const char *value, size_t len)
{
    flux_rc_t  rc;

    if (kafka->up && kafka->outbox.count == 0
        && flux_kafka_produce(kafka, topic, key, strlen(key), value, len)
           == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        return FLUX_OK;
    }

    rc = flux_outbox_put(&kafka->outbox, topic, key, strlen(key), value, len);
    flux_kafka_release(kafka);

    return rc;
}


void
flux_kafka_stats(const flux_kafka_t *kafka, flux_kafka_stats_t *stats)
{
    stats->up = kafka->up;
    stats->waiting = kafka->outbox.count;
    stats->delivered = kafka->delivered;
    stats->replaced = kafka->outbox.replaced;
    stats->dropped = kafka->outbox.dropped;
}


static void
flux_kafka_drain(flux_kafka_t *kafka, int64_t deadline)
{
    int64_t            now;
    rd_kafka_event_t  *event;

    for ( ;; ) {
        flux_kafka_release(kafka);

        now = flux_monotonic_ms();

        if (now >= deadline
            || (kafka->unacked == 0 && kafka->outbox.count == 0))
        {
            return;
        }

        if (kafka->fatal) {
            flux_kafka_reopen(kafka);
        }

        if (!kafka->up && !kafka->probing && now >= kafka->probe_after) {
            flux_kafka_probe(kafka);
        }

        event = rd_kafka_queue_poll(kafka->queue, 50);

        if (event != NULL) {
            flux_kafka_event(kafka, event);
            rd_kafka_event_destroy(event);
        }
    }
}


static void
flux_kafka_hangs(int signo)
{
    (void) signo;
    _exit(0);
}


/*
 * rd_kafka_destroy() waits for a resolver that may not answer for 10 s: all
 * is said and done by now, so the process may end in the middle of it.
 */

void
flux_kafka_destroy(void *rk)
{
    signal(SIGALRM, flux_kafka_hangs);
    alarm(FLUX_KAFKA_DESTROY_S);

    rd_kafka_destroy(rk);

    alarm(0);
    signal(SIGALRM, SIG_DFL);
}


flux_rc_t
flux_kafka_close(flux_kafka_t *kafka, int timeout_ms)
{
    size_t  left;

    flux_timer_clear(kafka->loop, &kafka->check);
    flux_kafka_drain(kafka, flux_monotonic_ms() + timeout_ms);

    left = kafka->unacked + kafka->outbox.count;

    if (left != 0) {
        flux_log(kafka->log, FLUX_WARN, "%zu records were left behind", left);
    }

    rd_kafka_queue_io_event_enable(kafka->queue, -1, NULL, 0);
    flux_loop_unwatch(kafka->loop, kafka->fd);
    rd_kafka_queue_destroy(kafka->queue);

    rd_kafka_purge(kafka->rk, RD_KAFKA_PURGE_F_QUEUE
                              | RD_KAFKA_PURGE_F_INFLIGHT);
    flux_kafka_destroy(kafka->rk);
    close(kafka->fd);
    flux_outbox_free(&kafka->outbox);
    free(kafka);

    return (left == 0) ? FLUX_OK : FLUX_AGAIN;
}
