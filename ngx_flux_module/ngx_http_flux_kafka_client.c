#include "ngx_http_flux_kafka_client.h"

#include <dlfcn.h>
#include <sys/eventfd.h>


static ngx_int_t ngx_http_flux_kafka_client_listen(
    ngx_http_flux_kafka_client_t *client, int fd);
static void ngx_http_flux_kafka_client_detach(
    ngx_http_flux_kafka_client_t *client);
static void ngx_http_flux_kafka_client_wake(ngx_event_t *ev);
static void ngx_http_flux_kafka_client_turn(ngx_event_t *ev);


ngx_int_t
ngx_http_flux_kafka_client_open(ngx_http_flux_kafka_client_t *client,
    rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t len)
{
    int       fd;
    uint64_t  one = 1;

    client->next.handler = ngx_http_flux_kafka_client_turn;
    client->next.data = client;
    client->next.log = client->log;

    client->handle = rd_kafka_new(type, conf, text, len);
    if (client->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return NGX_ERROR;
    }

    rd_kafka_set_log_queue(client->handle, NULL);

    client->queue = rd_kafka_queue_new(client->handle);
    client->events = rd_kafka_queue_get_main(client->handle);

    fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (fd == -1) {
        (void) snprintf(text, len, "eventfd() failed");
        return NGX_ERROR;
    }

    client->assistant = ngx_http_flux_assistant_start(client->handle,
                            client->queue, client->events, fd);

    if (client->assistant == NULL) {
        (void) close(fd);
        (void) snprintf(text, len, "there is no thread to be had");
        return NGX_ERROR;
    }

    if (ngx_http_flux_kafka_client_listen(client, fd) != NGX_OK) {
        (void) snprintf(text, len, "no memory or no connection");
        return NGX_ERROR;
    }

    rd_kafka_queue_io_event_enable(client->queue, fd, &one, sizeof(one));
    rd_kafka_queue_io_event_enable(client->events, fd, &one, sizeof(one));

    /* what came before the descriptor was listened to */

    ngx_http_flux_kafka_client_next(client);

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_kafka_client_listen(ngx_http_flux_kafka_client_t *client, int fd)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, client->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->data = client;
    c->read->handler = ngx_http_flux_kafka_client_wake;
    c->read->log = client->log;
    c->write->log = client->log;

    /* not a socket that a graceful shutdown would wait for */

    c->read->channel = 1;
    c->write->channel = 1;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
        return NGX_ERROR;
    }

    client->connection = c;

    return NGX_OK;
}


void
ngx_http_flux_kafka_client_close(ngx_http_flux_kafka_client_t *client,
    rd_kafka_topic_t **topics, size_t ntopics,
    rd_kafka_topic_partition_list_t *reading)
{
    ngx_http_flux_kafka_client_detach(client);

    if (client->handle == NULL) {
        return;
    }

    rd_kafka_queue_io_event_enable(client->queue, -1, NULL, 0);
    rd_kafka_queue_io_event_enable(client->events, -1, NULL, 0);

    if (client->assistant != NULL) {
        ngx_http_flux_assistant_quit(client->assistant, topics, ntopics,
                                     reading);

    } else {
        /* it never came to having topics */

        rd_kafka_queue_destroy(client->queue);
        rd_kafka_queue_destroy(client->events);
        rd_kafka_destroy_flags(client->handle,
                               RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }

    client->assistant = NULL;
    client->handle = NULL;
}


static void
ngx_http_flux_kafka_client_detach(ngx_http_flux_kafka_client_t *client)
{
    ngx_connection_t  *c = client->connection;

    if (client->next.posted) {
        ngx_delete_posted_event(&client->next);
    }

    if (c == NULL) {
        return;
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    /* the assistant closes the descriptor */

    (void) ngx_del_event(c->read, NGX_READ_EVENT, NGX_DISABLE_EVENT);
    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;

    client->connection = NULL;
}


void
ngx_http_flux_kafka_client_next(ngx_http_flux_kafka_client_t *client)
{
    ngx_post_event(&client->next, &ngx_posted_next_events);
}


static void
ngx_http_flux_kafka_client_wake(ngx_event_t *ev)
{
    uint64_t                       n;
    ngx_connection_t              *c = ev->data;
    ngx_http_flux_kafka_client_t  *client = c->data;

    /* one read empties it; what comes later is a new edge */

    if (read(c->fd, &n, sizeof(n)) == -1 && ngx_errno != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_ALERT, c->log, ngx_errno,
                      "read() of librdkafka's eventfd failed");
    }

    client->turn(client->data);
}


static void
ngx_http_flux_kafka_client_turn(ngx_event_t *ev)
{
    ngx_http_flux_kafka_client_t  *client = ev->data;

    client->turn(client->data);
}


void
ngx_http_flux_kafka_client_pin(void)
{
    Dl_info            info;
    static ngx_uint_t  pinned;

    if (!pinned && dladdr(&pinned, &info) != 0) {
        pinned = 1;
        (void) dlopen(info.dli_fname, RTLD_NOW|RTLD_NOLOAD|RTLD_NODELETE);
    }
}


void
ngx_http_flux_kafka_client_wait(void)
{
    if (ngx_http_flux_assistant_wait(NGX_HTTP_FLUX_KAFKA_EXIT) != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "flux exits while librdkafka waits for the network");
    }
}
