/*
 * What reading from a cluster and writing to it have in common: librdkafka's
 * client in nginx's event loop, its configuration, and its assistant, a thread
 * for what librdkafka can only do by waiting, which touches nothing but
 * librdkafka.
 */

#ifndef _NGX_HTTP_FLUX_KAFKA_CLIENT_H_INCLUDED_
#define _NGX_HTTP_FLUX_KAFKA_CLIENT_H_INCLUDED_


#include "ngx_http_flux_module.h"

#include <librdkafka/rdkafka.h>


/* how long a worker that exits waits for librdkafka (ms) */
#define NGX_HTTP_FLUX_KAFKA_EXIT     2000

/* lines that librdkafka may write in a span of time (ms) */
#define NGX_HTTP_FLUX_KAFKA_LINES    8
#define NGX_HTTP_FLUX_KAFKA_SPAN     10000


typedef struct ngx_http_flux_assistant_s  ngx_http_flux_assistant_t;


/* What the assistant is asked, and its answer. */

typedef enum {
    NGX_HTTP_FLUX_ASK_METADATA = 1,
    NGX_HTTP_FLUX_ASK_OFFSETS,
    NGX_HTTP_FLUX_ASK_MEMORY
} ngx_http_flux_ask_e;

/* offsets are asked for as Kafka's ListOffsets does */
#define NGX_HTTP_FLUX_TIME_EARLIEST  -2
#define NGX_HTTP_FLUX_TIME_LATEST    -1

/* lists: the earliest offset, the latest one, then one per duration */
#define NGX_HTTP_FLUX_LOW   0
#define NGX_HTTP_FLUX_HIGH  1
#define NGX_HTTP_FLUX_TIME  2

typedef struct {
    ngx_http_flux_ask_e                kind;
    rd_kafka_resp_err_t                error;
    char                              *cluster_id;  /* NULL: not known yet */
    const struct rd_kafka_metadata    *metadata;

    /* .offset: in, a time in Unix ms; out, an offset or an .err */
    rd_kafka_topic_partition_list_t  **lists;
    size_t                             nlists;

    u_char                            *memory;
    size_t                             size;
} ngx_http_flux_question_t;


/* A client, embedded in its owner, who sets turn, data and log. */

typedef struct {
    rd_kafka_t                 *handle;     /* NULL: it could not be made */
    rd_kafka_queue_t           *queue;      /* records, or results */
    rd_kafka_queue_t           *events;     /* logs, errors and reports */
    ngx_http_flux_assistant_t  *assistant;
    ngx_connection_t           *connection; /* an eventfd's */
    ngx_event_t                 next;       /* goes on in the next turn */

    void                      (*turn)(void *data);
    void                       *data;
    ngx_log_t                  *log;
} ngx_http_flux_kafka_client_t;


/* kafka_conf.c */

/* A configuration with brokers and properties, or NULL and what is wrong. */
rd_kafka_conf_t *ngx_http_flux_kafka_conf(ngx_http_flux_cluster_t *cluster,
    ngx_keyval_t **property, char *buf, size_t len);


/* kafka_client.c */

/*
 * Makes the client, takes the configuration; nothing waits for the network.
 * turn() is called whenever there is something in a queue: librdkafka tells of
 * it again only when a queue was found empty, so a turn that leaves something
 * asks for the next one.  NGX_ERROR: `text` says why; close it all the same.
 */
ngx_int_t ngx_http_flux_kafka_client_open(ngx_http_flux_kafka_client_t *client,
    rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t len);

void ngx_http_flux_kafka_client_next(ngx_http_flux_kafka_client_t *client);

/*
 * There are no more turns, and nothing of librdkafka's is left: the assistant
 * lets go of it, as that may take a while.  It also frees `topics` (which may
 * be NULL) and stops the partitions of `reading` (likewise; .opaque: the
 * topic's handle).  May be called again.
 */
void ngx_http_flux_kafka_client_close(ngx_http_flux_kafka_client_t *client,
    rd_kafka_topic_t **topics, size_t ntopics,
    rd_kafka_topic_partition_list_t *reading);

/* Keeps our code and librdkafka's in memory for as long as threads run it. */
void ngx_http_flux_kafka_client_pin(void);

/*
 * For a worker that exits, with all clients closed: exit() must not pull
 * OpenSSL away under threads that use it.  But a name server that is silent
 * keeps them for longer than a reload may wait.
 */
void ngx_http_flux_kafka_client_wait(void);


/* kafka_assistant.c */

/*
 * Takes handle, queues and the eventfd over: the thread destroys them once it
 * was told to quit.  NULL when there is no thread to be had.
 */
ngx_http_flux_assistant_t *ngx_http_flux_assistant_start(rd_kafka_t *handle,
    rd_kafka_queue_t *queue, rd_kafka_queue_t *events, int fd);

/* One question at a time; it belongs to the assistant until taken back. */
void ngx_http_flux_assistant_ask(ngx_http_flux_assistant_t *assistant,
    ngx_http_flux_question_t *question);

/* NULL while there is no answer; the caller destroys it. */
ngx_http_flux_question_t *ngx_http_flux_assistant_answer(
    ngx_http_flux_assistant_t *assistant);

/* A topic that is being read, to be let go before the handle is. */
void ngx_http_flux_assistant_quit(ngx_http_flux_assistant_t *assistant,
    rd_kafka_topic_t **topics, size_t ntopics,
    rd_kafka_topic_partition_list_t *reading);

/* Waits until all that were told to quit have, NGX_AGAIN when too long. */
ngx_int_t ngx_http_flux_assistant_wait(ngx_msec_t timeout);

ngx_http_flux_question_t *ngx_http_flux_question_new(ngx_http_flux_ask_e kind,
    size_t nlists);
void ngx_http_flux_question_destroy(ngx_http_flux_question_t *question);


/* kafka_memory.c */

/* Returns once the kernel has made it. */
void ngx_http_flux_kafka_memory_make(u_char *memory, size_t size);


#endif /* _NGX_HTTP_FLUX_KAFKA_CLIENT_H_INCLUDED_ */
