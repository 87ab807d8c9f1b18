/*
 * The thread that waits for librdkafka, and for the kernel, so that nginx does
 * not.
 */

#include "ngx_http_flux_kafka_client.h"

#include <pthread.h>
#include <sys/eventfd.h>


/*
 * Short enough that a worker that stops finds its assistant at leisure, long
 * enough for a cluster on the other side of the world.
 */
#define NGX_HTTP_FLUX_ASK_TIMEOUT  1000     /* ms */


struct ngx_http_flux_assistant_s {
    pthread_mutex_t                   mutex;
    pthread_cond_t                    cond;
    int                               quit;
    ngx_http_flux_question_t         *question;
    ngx_http_flux_question_t         *answer;

    rd_kafka_t                       *handle;
    rd_kafka_queue_t                 *queue;
    rd_kafka_queue_t                 *events;
    int                               fd;

    /* handed over with quit */
    rd_kafka_topic_t                **topics;
    size_t                            ntopics;
    rd_kafka_topic_partition_list_t  *reading;
};


static void *ngx_http_flux_assistant_thread(void *data);
static void ngx_http_flux_assistant_work(ngx_http_flux_assistant_t *assistant,
    ngx_http_flux_question_t *question);
static void ngx_http_flux_assistant_metadata(
    ngx_http_flux_assistant_t *assistant, ngx_http_flux_question_t *question);
static void ngx_http_flux_assistant_offsets(
    ngx_http_flux_assistant_t *assistant,
    rd_kafka_topic_partition_list_t *list);
static int ngx_http_flux_assistant_quits(ngx_http_flux_assistant_t *assistant);
static void ngx_http_flux_assistant_end(ngx_http_flux_assistant_t *assistant);


/* how many threads there are in this process */
static pthread_mutex_t  ngx_http_flux_assistant_mutex =
    PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t   ngx_http_flux_assistant_cond =
    PTHREAD_COND_INITIALIZER;
static ngx_uint_t       ngx_http_flux_assistants;


ngx_http_flux_assistant_t *
ngx_http_flux_assistant_start(rd_kafka_t *handle, rd_kafka_queue_t *queue,
    rd_kafka_queue_t *events, int fd)
{
    int                         rc;
    sigset_t                    all, old;
    pthread_t                   thread;
    ngx_http_flux_assistant_t  *assistant;

    assistant = calloc(1, sizeof(ngx_http_flux_assistant_t));
    if (assistant == NULL) {
        return NULL;
    }

    pthread_mutex_init(&assistant->mutex, NULL);
    pthread_cond_init(&assistant->cond, NULL);

    assistant->handle = handle;
    assistant->queue = queue;
    assistant->events = events;
    assistant->fd = fd;

    pthread_mutex_lock(&ngx_http_flux_assistant_mutex);
    ngx_http_flux_assistants++;
    pthread_mutex_unlock(&ngx_http_flux_assistant_mutex);

    /* nginx's signals are for nginx's thread */

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);

    rc = pthread_create(&thread, NULL, ngx_http_flux_assistant_thread,
                        assistant);

    pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (rc != 0) {
        pthread_mutex_lock(&ngx_http_flux_assistant_mutex);
        ngx_http_flux_assistants--;
        pthread_mutex_unlock(&ngx_http_flux_assistant_mutex);

        free(assistant);
        return NULL;
    }

    pthread_setname_np(thread, "flux-assistant");
    pthread_detach(thread);

    return assistant;
}


void
ngx_http_flux_assistant_ask(ngx_http_flux_assistant_t *assistant,
    ngx_http_flux_question_t *question)
{
    pthread_mutex_lock(&assistant->mutex);
    assistant->question = question;
    pthread_cond_signal(&assistant->cond);
    pthread_mutex_unlock(&assistant->mutex);
}


ngx_http_flux_question_t *
ngx_http_flux_assistant_answer(ngx_http_flux_assistant_t *assistant)
{
    ngx_http_flux_question_t  *answer;

    pthread_mutex_lock(&assistant->mutex);
    answer = assistant->answer;
    assistant->answer = NULL;
    pthread_mutex_unlock(&assistant->mutex);

    return answer;
}


void
ngx_http_flux_assistant_quit(ngx_http_flux_assistant_t *assistant,
    rd_kafka_topic_t **topics, size_t ntopics,
    rd_kafka_topic_partition_list_t *reading)
{
    pthread_mutex_lock(&assistant->mutex);
    assistant->topics = topics;
    assistant->ntopics = ntopics;
    assistant->reading = reading;
    assistant->quit = 1;
    pthread_cond_signal(&assistant->cond);
    pthread_mutex_unlock(&assistant->mutex);
}


ngx_int_t
ngx_http_flux_assistant_wait(ngx_msec_t timeout)
{
    int              rc = 0;
    ngx_int_t        result;
    struct timespec  until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout / 1000;
    until.tv_nsec += (timeout % 1000) * 1000000;

    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }

    pthread_mutex_lock(&ngx_http_flux_assistant_mutex);

    while (ngx_http_flux_assistants && rc == 0) {
        rc = pthread_cond_timedwait(&ngx_http_flux_assistant_cond,
                                    &ngx_http_flux_assistant_mutex, &until);
    }

    result = ngx_http_flux_assistants ? NGX_AGAIN : NGX_OK;

    pthread_mutex_unlock(&ngx_http_flux_assistant_mutex);

    return result;
}


static void *
ngx_http_flux_assistant_thread(void *data)
{
    ngx_http_flux_assistant_t *assistant = data;

    ngx_http_flux_question_t  *question;

    for ( ;; ) {
        pthread_mutex_lock(&assistant->mutex);

        while (assistant->question == NULL && !assistant->quit) {
            pthread_cond_wait(&assistant->cond, &assistant->mutex);
        }

        if (assistant->quit) {
            pthread_mutex_unlock(&assistant->mutex);
            break;
        }

        question = assistant->question;
        assistant->question = NULL;

        pthread_mutex_unlock(&assistant->mutex);

        ngx_http_flux_assistant_work(assistant, question);

        pthread_mutex_lock(&assistant->mutex);
        assistant->answer = question;
        pthread_mutex_unlock(&assistant->mutex);

        (void) eventfd_write(assistant->fd, 1);
    }

    ngx_http_flux_assistant_end(assistant);

    pthread_mutex_lock(&ngx_http_flux_assistant_mutex);
    ngx_http_flux_assistants--;
    pthread_cond_broadcast(&ngx_http_flux_assistant_cond);
    pthread_mutex_unlock(&ngx_http_flux_assistant_mutex);

    return NULL;
}


static void
ngx_http_flux_assistant_work(ngx_http_flux_assistant_t *assistant,
    ngx_http_flux_question_t *question)
{
    size_t  i;

    switch (question->kind) {

    case NGX_HTTP_FLUX_ASK_METADATA:
        ngx_http_flux_assistant_metadata(assistant, question);
        break;

    case NGX_HTTP_FLUX_ASK_OFFSETS:

        for (i = 0; i < question->nlists; i++) {
            ngx_http_flux_assistant_offsets(assistant, question->lists[i]);
        }

        break;

    case NGX_HTTP_FLUX_ASK_MEMORY:
        ngx_http_flux_kafka_memory_make(question->memory, question->size);
        break;
    }
}


static void
ngx_http_flux_assistant_metadata(ngx_http_flux_assistant_t *assistant,
    ngx_http_flux_question_t *question)
{
    /* of the topics that the handle knows: those it has handles of */

    question->error = rd_kafka_metadata(assistant->handle, 0, NULL,
                                        &question->metadata,
                                        NGX_HTTP_FLUX_ASK_TIMEOUT);

    if (question->error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        question->cluster_id = rd_kafka_clusterid(assistant->handle,
                                                  NGX_HTTP_FLUX_ASK_TIMEOUT);
    }
}


static void
ngx_http_flux_assistant_offsets(ngx_http_flux_assistant_t *assistant,
    rd_kafka_topic_partition_list_t *list)
{
    int                               i;
    rd_kafka_resp_err_t               error;
    rd_kafka_topic_partition_t       *partition;
    rd_kafka_topic_partition_list_t  *one;

    if (list->cnt == 0) {
        return;
    }

    error = rd_kafka_offsets_for_times(assistant->handle, list,
                                       NGX_HTTP_FLUX_ASK_TIMEOUT);

    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }

    /* one that fails lets all fail: ask for each alone */

    for (i = 0; i < list->cnt; i++) {
        partition = &list->elems[i];
        partition->err = error;

        if (list->cnt == 1 || ngx_http_flux_assistant_quits(assistant)) {
            continue;
        }

        one = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(one, partition->topic,
                                          partition->partition)
            ->offset = partition->offset;

        partition->err = rd_kafka_offsets_for_times(assistant->handle, one,
                                                    NGX_HTTP_FLUX_ASK_TIMEOUT);

        if (partition->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            partition->err = one->elems[0].err;
            partition->offset = one->elems[0].offset;
        }

        rd_kafka_topic_partition_list_destroy(one);
    }
}


static int
ngx_http_flux_assistant_quits(ngx_http_flux_assistant_t *assistant)
{
    int  quit;

    pthread_mutex_lock(&assistant->mutex);
    quit = assistant->quit;
    pthread_mutex_unlock(&assistant->mutex);

    return quit;
}


static void
ngx_http_flux_assistant_end(ngx_http_flux_assistant_t *assistant)
{
    int     i;
    size_t  n;

    if (assistant->reading != NULL) {
        for (i = 0; i < assistant->reading->cnt; i++) {
            rd_kafka_consume_stop(assistant->reading->elems[i].opaque,
                                  assistant->reading->elems[i].partition);
        }

        rd_kafka_topic_partition_list_destroy(assistant->reading);
    }

    for (n = 0; n < assistant->ntopics; n++) {
        rd_kafka_topic_destroy(assistant->topics[n]);
    }

    free(assistant->topics);

    rd_kafka_queue_destroy(assistant->queue);
    rd_kafka_queue_destroy(assistant->events);
    rd_kafka_destroy_flags(assistant->handle,
                           RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);

    ngx_http_flux_question_destroy(assistant->question);
    ngx_http_flux_question_destroy(assistant->answer);

    close(assistant->fd);

    pthread_mutex_destroy(&assistant->mutex);
    pthread_cond_destroy(&assistant->cond);
    free(assistant);
}


ngx_http_flux_question_t *
ngx_http_flux_question_new(ngx_http_flux_ask_e kind, size_t nlists)
{
    size_t                     i;
    ngx_http_flux_question_t  *question;

    question = calloc(1, sizeof(ngx_http_flux_question_t));
    if (question == NULL) {
        return NULL;
    }

    question->kind = kind;

    if (nlists == 0) {
        return question;
    }

    question->lists = calloc(nlists, sizeof(question->lists[0]));
    if (question->lists == NULL) {
        free(question);
        return NULL;
    }

    for (i = 0; i < nlists; i++) {
        question->lists[i] = rd_kafka_topic_partition_list_new(16);
    }

    question->nlists = nlists;

    return question;
}


void
ngx_http_flux_question_destroy(ngx_http_flux_question_t *question)
{
    size_t  i;

    if (question == NULL) {
        return;
    }

    for (i = 0; i < question->nlists; i++) {
        rd_kafka_topic_partition_list_destroy(question->lists[i]);
    }

    if (question->metadata != NULL) {
        rd_kafka_metadata_destroy(question->metadata);
    }

    if (question->cluster_id != NULL) {
        rd_kafka_mem_free(NULL, question->cluster_id);
    }

    free(question->lists);
    free(question);
}
