/*
 * {"op":"publish"} over a WebSocket.
 */

#include "ngx_http_flux_ops.h"
#include "ngx_http_flux_producer.h"
#include "ngx_http_flux_publish.h"

#include "core/flux_pointer.h"


/* Records of one reader that may wait for their acknowledgement. */
#define NGX_HTTP_FLUX_PUBLISH_WAITING  32


/* Of a reader: its records on their way, and the key of all of them. */

typedef struct {
    ngx_queue_t                waiting;
    ngx_uint_t                 n;
    ngx_str_t                  key;
} ngx_http_flux_acks_t;


typedef struct {
    ngx_queue_t                queue;
    ngx_http_flux_reader_t    *reader;
    ngx_http_flux_delivery_t  *delivery;
    json_t                    *id;
} ngx_http_flux_ack_t;


static ngx_int_t ngx_http_flux_publish_data(ngx_http_flux_publish_t *publish,
    json_t *op, const u_char *p, size_t len, ngx_pool_t *pool,
    ngx_str_t *value);
static ngx_int_t ngx_http_flux_publish_op_key(ngx_http_flux_reader_t *reader,
    ngx_http_flux_publish_t *publish, json_t *op, ngx_str_t *key);
static ngx_int_t ngx_http_flux_publish_op_send(ngx_http_flux_reader_t *reader,
    ngx_http_flux_publish_t *publish, json_t *id, ngx_str_t *key,
    ngx_str_t *value);
static ngx_http_flux_acks_t *ngx_http_flux_publish_acks(
    ngx_http_flux_reader_t *reader);
static void ngx_http_flux_publish_op_cleanup(void *data);
static void ngx_http_flux_publish_op_done(ngx_http_flux_delivery_t *delivery);
static void ngx_http_flux_ack_free(ngx_http_flux_ack_t *ack);
static ngx_int_t ngx_http_flux_publish_failed(ngx_http_flux_reader_t *reader,
    json_t *id, rd_kafka_resp_err_t error);
static ngx_int_t ngx_http_flux_publish_error(ngx_http_flux_reader_t *reader,
    json_t *id, const char *code, const char *message);


ngx_int_t
ngx_http_flux_publish_op(ngx_http_flux_reader_t *reader, json_t *op,
    const u_char *p, size_t len)
{
    json_t                     *id;
    ngx_int_t                   rc;
    ngx_str_t                   key, value;
    ngx_uint_t                  too_large;
    ngx_pool_t                 *pool;
    const char                 *why;
    ngx_http_flux_publish_t    *publish;
    ngx_http_flux_main_conf_t  *fmcf = ngx_http_flux_hub.fmcf;

    publish = reader->conf->publish;
    id = json_object_get(op, "id");

    if (publish == NULL) {
        return ngx_http_flux_publish_error(reader, id, "forbidden",
                                           "nothing is published here");
    }

    if (id != NULL && !json_is_string(id) && !json_is_integer(id)) {
        return ngx_http_flux_publish_error(reader, NULL, "bad_request",
                                           "\"id\" is no string, no integer");
    }

    rc = ngx_http_flux_publish_op_key(reader, publish, op, &key);

    if (rc != NGX_OK) {
        return rc == NGX_ERROR ? NGX_ERROR
               : ngx_http_flux_publish_error(reader, id, "bad_request",
                                             "\"key\" is not a string");
    }

    pool = ngx_create_pool(1024, ngx_http_flux_hub.log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    why = NULL;
    too_large = 0;
    rc = ngx_http_flux_publish_data(publish, op, p, len, pool, &value);

    if (rc == NGX_DECLINED) {
        why = "no \"data\", or not what the feed's format asks for";

    } else if (rc == NGX_OK) {
        why = ngx_http_flux_publish_check(publish, fmcf->zone, &key, &value,
                                          &too_large);
    }

    if (why != NULL) {
        rc = ngx_http_flux_publish_error(reader, id,
                                         too_large ? "too_large"
                                                   : "bad_request", why);

    } else if (rc == NGX_OK) {
        rc = ngx_http_flux_publish_op_send(reader, publish, id, &key, &value);
    }

    ngx_destroy_pool(pool);

    return rc;
}


/*
 * The value, as a message's `data` would have it: JSON as it was written, a
 * string for a feed of text, base64 for one of bytes.
 */

static ngx_int_t
ngx_http_flux_publish_data(ngx_http_flux_publish_t *publish, json_t *op,
    const u_char *p, size_t len, ngx_pool_t *pool, ngx_str_t *value)
{
    json_t                 *data;
    ngx_str_t               text;
    flux_format_t           format;
    ngx_http_flux_feed_t  **feeds = publish->feeds.elts;

    format = publish->feeds.nelts ? feeds[0]->format : FLUX_FORMAT_JSON;
    data = json_object_get(op, "data");

    if (data == NULL) {
        return NGX_DECLINED;
    }

    if (format == FLUX_FORMAT_JSON) {
        value->data = (u_char *) flux_pointer_value(p, len,
                                                    (u_char *) "/data", 5,
                                                    &value->len);
        return value->data != NULL ? NGX_OK : NGX_DECLINED;
    }

    if (!json_is_string(data)) {
        return NGX_DECLINED;
    }

    text.data = (u_char *) json_string_value(data);
    text.len = json_string_length(data);

    if (format == FLUX_FORMAT_TEXT) {
        *value = text;
        return NGX_OK;
    }

    value->len = 0;
    value->data = ngx_pnalloc(pool, ngx_base64_decoded_length(text.len) + 1);

    if (value->data == NULL) {
        return NGX_ERROR;
    }

    return text.len == 0 || ngx_decode_base64(value, &text) == NGX_OK
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_flux_publish_op_key(ngx_http_flux_reader_t *reader,
    ngx_http_flux_publish_t *publish, json_t *op, ngx_str_t *key)
{
    json_t                *value;
    ngx_http_flux_acks_t  *acks;

    ngx_str_null(key);

    if (publish->key != NULL) {

        /* the request's pool lives as long as its connection */

        acks = ngx_http_flux_publish_acks(reader);

        if (acks == NULL
            || (acks->key.data == NULL
                && ngx_http_complex_value(reader->request, publish->key,
                                          &acks->key)
                   != NGX_OK))
        {
            return NGX_ERROR;
        }

        *key = acks->key;
        return NGX_OK;
    }

    value = json_object_get(op, "key");

    if (value == NULL || json_is_null(value)) {
        return NGX_OK;
    }

    if (!json_is_string(value)) {
        return NGX_DECLINED;
    }

    key->data = (u_char *) json_string_value(value);
    key->len = json_string_length(value);

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_publish_op_send(ngx_http_flux_reader_t *reader,
    ngx_http_flux_publish_t *publish, json_t *id, ngx_str_t *key,
    ngx_str_t *value)
{
    rd_kafka_resp_err_t    error;
    ngx_http_flux_ack_t   *ack;
    ngx_http_flux_acks_t  *acks;

    if (ngx_http_flux_producer_down(publish->cluster,
                                    ngx_http_flux_hub.zone))
    {
        return ngx_http_flux_publish_failed(reader, id,
                                            RD_KAFKA_RESP_ERR__TRANSPORT);
    }

    acks = ngx_http_flux_publish_acks(reader);
    if (acks == NULL) {
        return NGX_ERROR;
    }

    if (acks->n == NGX_HTTP_FLUX_PUBLISH_WAITING) {
        return ngx_http_flux_publish_failed(reader, id,
                                            RD_KAFKA_RESP_ERR__QUEUE_FULL);
    }

    ack = ngx_alloc(sizeof(ngx_http_flux_ack_t), ngx_http_flux_hub.log);
    if (ack == NULL) {
        return NGX_ERROR;
    }

    ack->reader = reader;
    ack->delivery = ngx_http_flux_producer_send(publish->cluster,
                        &publish->topic, key, value,
                        NGX_HTTP_FLUX_PUBLISH_TIMEOUT,
                        ngx_http_flux_publish_op_done, ack, &error);

    if (ack->delivery == NULL) {
        ngx_free(ack);
        return ngx_http_flux_publish_failed(reader, id, error);
    }

    ack->id = json_incref(id);
    ngx_queue_insert_tail(&acks->waiting, &ack->queue);
    acks->n++;

    return NGX_OK;
}


static ngx_http_flux_acks_t *
ngx_http_flux_publish_acks(ngx_http_flux_reader_t *reader)
{
    ngx_pool_cleanup_t    *cln;
    ngx_http_flux_acks_t  *acks;

    if (reader->publish != NULL) {
        return reader->publish;
    }

    cln = ngx_pool_cleanup_add(reader->request->pool,
                               sizeof(ngx_http_flux_acks_t));
    if (cln == NULL) {
        return NULL;
    }

    acks = cln->data;
    acks->n = 0;
    ngx_str_null(&acks->key);
    ngx_queue_init(&acks->waiting);

    cln->handler = ngx_http_flux_publish_op_cleanup;
    reader->publish = acks;

    return acks;
}


static void
ngx_http_flux_publish_op_cleanup(void *data)
{
    ngx_queue_t           *q;
    ngx_http_flux_ack_t   *ack;
    ngx_http_flux_acks_t  *acks = data;

    while (!ngx_queue_empty(&acks->waiting)) {
        q = ngx_queue_head(&acks->waiting);
        ack = ngx_queue_data(q, ngx_http_flux_ack_t, queue);

        ngx_http_flux_delivery_cancel(ack->delivery);
        ngx_queue_remove(&ack->queue);
        ngx_http_flux_ack_free(ack);
    }
}


static void
ngx_http_flux_publish_op_done(ngx_http_flux_delivery_t *delivery)
{
    ngx_int_t                  rc = NGX_OK;
    ngx_http_flux_ack_t       *ack = delivery->data;
    ngx_http_flux_acks_t      *acks;
    ngx_http_flux_reader_t    *reader = ack->reader;
    ngx_http_flux_publish_t   *publish;

    acks = reader->publish;
    acks->n--;
    ngx_queue_remove(&ack->queue);

    publish = reader->conf->publish;

    if (!reader->closing) {

        if (delivery->error) {
            rc = ngx_http_flux_publish_failed(reader, ack->id,
                                              delivery->error);
        } else {
            rc = ngx_http_flux_op_tell(reader,
                     json_pack("{ss, sO*, ss, si, sI}", "type", "ack", "id",
                               ack->id, "topic", publish->topic.data,
                               "partition", delivery->partition, "offset",
                               (json_int_t) delivery->offset));
        }
    }

    ngx_http_flux_ack_free(ack);

    if (reader->closing) {
        return;
    }

    if (rc == NGX_ERROR) {
        ngx_http_flux_reader_close(reader, NGX_ERROR);
        return;
    }

    (void) ngx_http_flux_reader_flush(reader);
}


static void
ngx_http_flux_ack_free(ngx_http_flux_ack_t *ack)
{
    json_decref(ack->id);
    ngx_free(ack);
}


static ngx_int_t
ngx_http_flux_publish_failed(ngx_http_flux_reader_t *reader, json_t *id,
    rd_kafka_resp_err_t error)
{
    const char  *code;

    switch (error) {

    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        code = "too_large";
        break;

    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
        code = "bad_request";
        break;

    default:
        code = "unavailable";
    }

    return ngx_http_flux_publish_error(reader, id, code,
                                       rd_kafka_err2str(error));
}


static ngx_int_t
ngx_http_flux_publish_error(ngx_http_flux_reader_t *reader, json_t *id,
    const char *code, const char *message)
{
    return ngx_http_flux_op_tell(reader,
               json_pack("{ss, ss, sO*, ss, ss}", "type", "error", "op",
                         "publish", "id", id, "code", code, "message",
                         message));
}
