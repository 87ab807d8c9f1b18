/*
 * kafka - what the scenarios need of a Kafka.
 *
 *   kafka topic    BROKERS TOPIC PARTITIONS [NAME=VALUE]...    creates it
 *   kafka produce  BROKERS TOPIC RATE COUNT SIZE KEYS [each | CHANNEL]
 *       records k0, k1, ... k(KEYS-1), k0, ... of SIZE bytes.  RATE 0: as fast
 *       as it goes; COUNT 0: until SIGTERM.  seq counts all records, or with
 *       `each` those of a key.  CHANNEL: the value of a header `channel`.
 *   kafka lines    BROKERS TOPIC
 *       a record for each line KEY<tab>VALUE of its input
 *   kafka consume  BROKERS TOPIC COUNT [PLACE]
 *       the plainest consumer there is: reads COUNT records from the beginning
 *       and does nothing with them; with a PLACE copies each into so many bytes
 *       of fresh shared memory, which is the least that a zone can cost
 *   kafka latency  BROKERS TOPIC SECS
 *       how old new records are when the plainest consumer has them
 *   kafka bridge   BROKERS TOPIC PORT PATH
 *       POSTs each new record to http://127.0.0.1:PORT/PATH, one connection
 *
 * Each prints a line of JSON.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define SECOND       UINT64_C(1000000000)
#define SEQ_FIRST    UINT64_C(1000000001)   /* ten digits from the first on */
#define BATCH        1000
#define VALUE_MAX    (64 * 1024)
#define SAMPLES      1000000

/* how long a consumer waits for what does not come, ms */
#define PATIENCE     20000


static volatile sig_atomic_t  ended;
static uint64_t               failed;


static uint64_t clock_of(clockid_t id)
{
    struct timespec  t;

    clock_gettime(id, &t);

    return (uint64_t) t.tv_sec * SECOND + (uint64_t) t.tv_nsec;
}


static double cpu(void)
{
    return (double) clock_of(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
}


static void on_signal(int number)
{
    (void) number;
    ended = 1;
}


static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message,
    void *data)
{
    (void) handle;
    (void) data;

    if (message->err) {
        failed++;
    }
}


static rd_kafka_t *client(rd_kafka_type_t type, const char *brokers,
    const char **properties)
{
    char              error[256];
    rd_kafka_t       *handle;
    rd_kafka_conf_t  *conf = rd_kafka_conf_new();

    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);

    for (int i = 0; properties[i] != NULL; i += 2) {
        if (rd_kafka_conf_set(conf, properties[i], properties[i + 1], error,
                              sizeof(error))
            != RD_KAFKA_CONF_OK)
        {
            fprintf(stderr, "kafka: %s\n", error);
            exit(2);
        }
    }

    if (type == RD_KAFKA_PRODUCER) {
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    }

    handle = rd_kafka_new(type, conf, error, sizeof(error));

    if (handle == NULL) {
        fprintf(stderr, "kafka: %s\n", error);
        exit(1);
    }

    return handle;
}


/* --- topic ----------------------------------------------------------------- */

static int topic(int argc, char **argv)
{
    int                  rc;
    char                *value, error[256];
    const char          *none[] = { NULL };
    rd_kafka_t          *handle;
    rd_kafka_queue_t    *queue;
    rd_kafka_event_t    *event;
    rd_kafka_NewTopic_t *fresh;

    handle = client(RD_KAFKA_PRODUCER, argv[0], none);
    queue = rd_kafka_queue_new(handle);
    fresh = rd_kafka_NewTopic_new(argv[1], atoi(argv[2]), 1, error,
                                  sizeof(error));

    for (int i = 3; i < argc; i++) {
        value = strchr(argv[i], '=');

        if (value != NULL) {
            *value++ = '\0';
            rd_kafka_NewTopic_set_config(fresh, argv[i], value);
        }
    }

    rd_kafka_CreateTopics(handle, &fresh, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, PATIENCE);
    rc = event == NULL || rd_kafka_event_error(event) != 0;

    rd_kafka_NewTopic_destroy(fresh);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(handle);

    return rc;
}


/* --- produce --------------------------------------------------------------- */

static void value_of(char *value, int size, uint64_t seq)
{
    int  len;

    len = sprintf(value, "{\"at\":%llu,\"seq\":%llu,\"pad\":\"",
                  (unsigned long long) clock_of(CLOCK_REALTIME),
                  (unsigned long long) seq);

    memset(value + len, 'x', size - len - 2);
    memcpy(value + size - 2, "\"}", 2);
}


static void pause_until(rd_kafka_t *handle, uint64_t due)
{
    uint64_t         time;
    struct timespec  left = { 0, 0 };

    while ((time = clock_of(CLOCK_MONOTONIC)) < due && !ended) {
        rd_kafka_poll(handle, 0);
        left.tv_nsec = (long) (due - time < 20000000 ? due - time : 20000000);
        nanosleep(&left, NULL);
    }
}


static rd_kafka_resp_err_t send_record(rd_kafka_t *handle,
    rd_kafka_topic_t *to, const char *key, char *value, int size,
    const char *header)
{
    if (header == NULL) {
        return rd_kafka_produce(to, RD_KAFKA_PARTITION_UA,
                                RD_KAFKA_MSG_F_COPY, value, (size_t) size,
                                key, strlen(key), NULL)
               == -1 ? rd_kafka_last_error() : RD_KAFKA_RESP_ERR_NO_ERROR;
    }

    return rd_kafka_producev(handle, RD_KAFKA_V_RKT(to),
                             RD_KAFKA_V_KEY(key, strlen(key)),
                             RD_KAFKA_V_VALUE(value, (size_t) size),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                             RD_KAFKA_V_HEADER("channel", header, -1),
                             RD_KAFKA_V_END);
}


static int produce(int argc, char **argv)
{
    int                each = argc > 6 && strcmp(argv[6], "each") == 0;
    int                size = atoi(argv[4]);
    const char        *header = argc > 6 && !each ? argv[6] : NULL;
    char               key[32], *value = malloc(VALUE_MAX);
    double             rate = atof(argv[2]), took;
    uint64_t           i, seq, began;
    uint64_t           count = strtoull(argv[3], NULL, 10);
    uint64_t           keys = strtoull(argv[5], NULL, 10);
    rd_kafka_t        *handle;
    rd_kafka_topic_t  *to;
    rd_kafka_resp_err_t              error;
    const struct rd_kafka_metadata  *metadata;

    const char *properties[] = {
        "linger.ms", rate > 0 ? "0" : "20", "acks", "1",
        "socket.nagle.disable", "true",
        "queue.buffering.max.messages", "200000",
        NULL
    };

    if (size < 64 || size > VALUE_MAX || keys == 0 || value == NULL) {
        return 2;
    }

    handle = client(RD_KAFKA_PRODUCER, argv[0], properties);
    to = rd_kafka_topic_new(handle, argv[1], NULL);

    /* the leader is known before the clock starts */

    if (rd_kafka_metadata(handle, 0, to, &metadata, PATIENCE) == 0) {
        rd_kafka_metadata_destroy(metadata);
    }

    began = clock_of(CLOCK_MONOTONIC);

    for (i = 0; (count == 0 || i < count) && !ended; i++) {

        if (rate > 0) {
            pause_until(handle, began + (uint64_t) (1e9 * (double) i / rate));
        }

        seq = SEQ_FIRST + (each ? i / keys : i);
        sprintf(key, "k%llu", (unsigned long long) (i % keys));
        value_of(value, size, seq);

        while ((error = send_record(handle, to, key, value, size, header))
               != RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                failed++;
                break;
            }

            rd_kafka_poll(handle, 10);
        }

        rd_kafka_poll(handle, 0);
    }

    rd_kafka_flush(handle, PATIENCE);
    took = (double) (clock_of(CLOCK_MONOTONIC) - began) / 1e9;

    printf("{\"records\": %llu, \"failed\": %llu, \"secs\": %.3f}\n",
           (unsigned long long) i, (unsigned long long) failed, took);

    rd_kafka_topic_destroy(to);
    rd_kafka_destroy(handle);

    return failed != 0;
}


/* --- lines ----------------------------------------------------------------- */

static int lines(int argc, char **argv)
{
    char              *line = NULL, *value;
    size_t             size = 0;
    ssize_t            len;
    uint64_t           records = 0;
    const char        *properties[] = { "linger.ms", "0", NULL };
    rd_kafka_t        *handle;
    rd_kafka_topic_t  *to;

    (void) argc;
    handle = client(RD_KAFKA_PRODUCER, argv[0], properties);
    to = rd_kafka_topic_new(handle, argv[1], NULL);

    while ((len = getline(&line, &size, stdin)) > 0) {
        value = strchr(line, '\t');

        if (value == NULL) {
            continue;
        }

        len -= line[len - 1] == '\n';
        value++;
        rd_kafka_produce(to, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
                         value, (size_t) (line + len - value), line,
                         (size_t) (value - 1 - line), NULL);
        rd_kafka_poll(handle, 0);
        records++;
    }

    rd_kafka_flush(handle, PATIENCE);
    printf("{\"records\": %llu, \"failed\": %llu}\n",
           (unsigned long long) records, (unsigned long long) failed);
    free(line);
    rd_kafka_topic_destroy(to);
    rd_kafka_destroy(handle);

    return failed != 0;
}


/* --- consume --------------------------------------------------------------- */

/* Of all partitions, by one queue. */

static rd_kafka_queue_t *consume_all(rd_kafka_t *handle, rd_kafka_topic_t *from,
    int64_t offset)
{
    rd_kafka_queue_t                *queue = rd_kafka_queue_new(handle);
    const struct rd_kafka_metadata  *metadata;

    if (rd_kafka_metadata(handle, 0, from, &metadata, PATIENCE) != 0
        || metadata->topic_cnt == 0)
    {
        fprintf(stderr, "kafka: no metadata\n");
        exit(1);
    }

    for (int i = 0; i < metadata->topics[0].partition_cnt; i++) {
        rd_kafka_consume_start_queue(from,
                                     metadata->topics[0].partitions[i].id,
                                     offset, queue);
    }

    rd_kafka_metadata_destroy(metadata);

    return queue;
}


static int consume(int argc, char **argv)
{
    double               took;
    ssize_t              n;
    uint64_t             began, first = 0, seen = 0, bytes = 0;
    uint64_t             count = strtoull(argv[2], NULL, 10);
    uint64_t             place = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    uint8_t             *memory = NULL;
    const char          *properties[] = { /* it pauses when its queue is full */
                             "queued.min.messages", "10000000",
                             "queued.max.messages.kbytes", "2097151", NULL };
    rd_kafka_t          *handle;
    rd_kafka_topic_t    *from;
    rd_kafka_queue_t    *queue;
    rd_kafka_message_t  *batch[BATCH];

    began = clock_of(CLOCK_MONOTONIC);

    if (place) {
        memory = mmap(NULL, count * place, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            perror("mmap");
            return 1;
        }
    }

    handle = client(RD_KAFKA_CONSUMER, argv[0], properties);
    from = rd_kafka_topic_new(handle, argv[1], NULL);
    queue = consume_all(handle, from, RD_KAFKA_OFFSET_BEGINNING);

    while (seen < count && !ended) {
        n = rd_kafka_consume_batch_queue(queue, PATIENCE, batch, BATCH);

        if (n <= 0) {
            break;
        }

        for (ssize_t i = 0; i < n; i++) {
            if (batch[i]->err == 0 && seen < count) {
                if (memory) {
                    memcpy(memory + seen * place, batch[i]->payload,
                           batch[i]->len < place ? batch[i]->len : place);
                }

                if (seen++ == 0) {
                    first = clock_of(CLOCK_MONOTONIC);
                }

                bytes += batch[i]->len;
            }

            rd_kafka_message_destroy(batch[i]);
        }
    }

    took = (double) (clock_of(CLOCK_MONOTONIC) - began) / 1e9;

    printf("{\"records\": %llu, \"bytes\": %llu, \"secs\": %.4f, "
           "\"reading_secs\": %.4f, \"cpu_s\": %.4f}\n",
           (unsigned long long) seen, (unsigned long long) bytes, took,
           (double) (clock_of(CLOCK_MONOTONIC) - first) / 1e9, cpu());

    /* not worth the wait for an orderly end */
    fflush(stdout);
    _exit(seen != count);
}


/* --- latency --------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    uint64_t  one = *(const uint64_t *) a, two = *(const uint64_t *) b;

    return (one > two) - (one < two);
}


static int latency(int argc, char **argv)
{
    size_t               n = 0;
    uint64_t             end, sent, *ages = malloc(SAMPLES * sizeof(uint64_t));
    const char          *properties[] = { "fetch.wait.max.ms", "100", NULL };
    rd_kafka_t          *handle;
    rd_kafka_topic_t    *from;
    rd_kafka_queue_t    *queue;
    rd_kafka_message_t  *message;

    (void) argc;
    handle = client(RD_KAFKA_CONSUMER, argv[0], properties);
    from = rd_kafka_topic_new(handle, argv[1], NULL);
    queue = consume_all(handle, from, RD_KAFKA_OFFSET_END);
    end = clock_of(CLOCK_REALTIME) + (uint64_t) (atof(argv[2]) * 1e9);

    while (n < SAMPLES && clock_of(CLOCK_REALTIME) < end) {
        message = rd_kafka_consume_queue(queue, 100);

        if (message == NULL) {
            continue;
        }

        if (message->err == 0 && message->len > 25
            && sscanf(message->payload, "{\"at\":%19" SCNu64, &sent) == 1)
        {
            ages[n++] = clock_of(CLOCK_REALTIME) - sent;
        }

        rd_kafka_message_destroy(message);
    }

    qsort(ages, n, sizeof(uint64_t), compare);

    printf("{\"records\": %zu, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n", n,
           n ? (double) ages[n / 2] / 1e6 : 0,
           n ? (double) ages[n * 99 / 100] / 1e6 : 0);
    fflush(stdout);
    _exit(0);
}


/* --- bridge ---------------------------------------------------------------- */

static int dial(int port)
{
    int                 fd, one = 1;
    struct sockaddr_in  to = { .sin_family = AF_INET };

    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    to.sin_port = htons((uint16_t) port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (connect(fd, (void *) &to, sizeof(to)) == -1) {
        perror("kafka: bridge");
        exit(1);
    }

    return fd;
}


/* The answer has a body that the Content-Length tells. */

static int answered(int fd)
{
    char    text[4096], *body, *length;
    size_t  len = 0;

    for ( ;; ) {
        ssize_t  n = recv(fd, text + len, sizeof(text) - 1 - len, 0);

        if (n <= 0) {
            return -1;
        }

        len += (size_t) n;
        text[len] = '\0';
        body = strstr(text, "\r\n\r\n");
        length = strcasestr(text, "content-length:");

        if (body != NULL
            && (length == NULL
                || len - (size_t) (body + 4 - text)
                   >= (size_t) atol(length + 15)))
        {
            return text[9] == '2' ? 0 : -1;
        }
    }
}


static int bridge(int argc, char **argv)
{
    int                  fd, port = atoi(argv[2]), len;
    char                *request = malloc(VALUE_MAX + 1024);
    uint64_t             seen = 0;
    const char          *properties[] = { "fetch.wait.max.ms", "100", NULL };
    rd_kafka_t          *handle;
    rd_kafka_topic_t    *from;
    rd_kafka_queue_t    *queue;
    rd_kafka_message_t  *message;

    (void) argc;
    handle = client(RD_KAFKA_CONSUMER, argv[0], properties);
    from = rd_kafka_topic_new(handle, argv[1], NULL);
    queue = consume_all(handle, from, RD_KAFKA_OFFSET_END);
    fd = dial(port);

    while (!ended) {
        /* one by one: a batch is waited for until it is full */
        message = rd_kafka_consume_queue(queue, 100);

        if (message == NULL) {
            continue;
        }

        if (message->err == 0 && message->len < VALUE_MAX) {
            len = sprintf(request, "POST %s HTTP/1.1\r\nHost: localhost\r\n"
                          "Content-Length: %zu\r\n\r\n", argv[3],
                          message->len);
            memcpy(request + len, message->payload, message->len);

            if (send(fd, request, (size_t) len + message->len, MSG_NOSIGNAL)
                == -1
                || answered(fd) == -1)
            {
                failed++;
                close(fd);
                fd = dial(port);
            }

            seen++;
        }

        rd_kafka_message_destroy(message);
    }

    printf("{\"records\": %llu, \"failed\": %llu, \"cpu_s\": %.4f}\n",
           (unsigned long long) seen, (unsigned long long) failed, cpu());
    fflush(stdout);
    _exit(0);
}


int main(int argc, char **argv)
{
    static const struct {
        const char  *name;
        int          least;
        int        (*run)(int argc, char **argv);
    } commands[] = {
        { "topic", 3, topic },
        { "produce", 6, produce },
        { "lines", 2, lines },
        { "consume", 3, consume },
        { "latency", 3, latency },
        { "bridge", 4, bridge }
    };

    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (argc > 1 && strcmp(argv[1], commands[i].name) == 0
            && argc - 2 >= commands[i].least)
        {
            return commands[i].run(argc - 2, argv + 2);
        }
    }

    fprintf(stderr, "usage: kafka topic|produce|lines|consume|latency|bridge BROKERS TOPIC"
            " ...\n");

    return 2;
}
