#include "ngx_http_flux_publish.h"
#include "ngx_http_flux_kafka.h"
#include "ngx_http_flux_producer.h"

#include "core/flux_json.h"
#include "core/flux_pointer.h"


/* Retry-After, in seconds. */
#define NGX_HTTP_FLUX_PUBLISH_RETRY  "2"


/* A POST whose record is on its way. */

typedef struct {
    ngx_http_request_t        *request;
    ngx_http_flux_delivery_t  *delivery;    /* NULL: it arrived, or did not */
} ngx_http_flux_post_t;


static ngx_int_t ngx_http_flux_publish_handler(ngx_http_request_t *r);
static void ngx_http_flux_publish_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_flux_publish_value(ngx_http_request_t *r,
    ngx_str_t *value);
static ngx_int_t ngx_http_flux_publish_key(ngx_http_request_t *r,
    ngx_http_flux_publish_t *publish, ngx_str_t *key);
static ngx_int_t ngx_http_flux_publish_send(ngx_http_request_t *r,
    ngx_http_flux_publish_t *publish, ngx_str_t *key, ngx_str_t *value);
static void ngx_http_flux_publish_cleanup(void *data);
static void ngx_http_flux_publish_done(ngx_http_flux_delivery_t *delivery);
static ngx_int_t ngx_http_flux_publish_status(ngx_http_request_t *r,
    rd_kafka_resp_err_t error);
static ngx_int_t ngx_http_flux_publish_answer(ngx_http_request_t *r,
    ngx_http_flux_delivery_t *delivery);


/* --- the directive ------------------------------------------------------- */

char *
ngx_http_flux_publish(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    void                              **location;
    ngx_str_t                          *value = cf->args->elts, key;
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_flux_publish_t            *publish;
    ngx_http_flux_loc_conf_t           *flcf = conf;
    ngx_http_flux_main_conf_t          *fmcf;
    ngx_http_compile_complex_value_t    ccv;

    if (flcf->publish != NULL) {
        return "is duplicate";
    }

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_flux_module);

    publish = ngx_pcalloc(cf->pool, sizeof(ngx_http_flux_publish_t));
    location = ngx_array_push(&fmcf->locations);

    if (publish == NULL || location == NULL
        || ngx_array_init(&publish->feeds, cf->pool, 1, sizeof(void *))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    *location = conf;

    publish->cluster_name = value[1];
    publish->file = cf->conf_file->file.name.data;
    publish->line = cf->conf_file->line;

    if (ngx_http_flux_conf_topic(cf, &value[2], &publish->topic) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 4) {

        if (ngx_strncmp(value[3].data, "key=", 4) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[3]);
            return NGX_CONF_ERROR;
        }

        key.data = value[3].data + 4;
        key.len = value[3].len - 4;

        publish->key = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (publish->key == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));
        ccv.cf = cf;
        ccv.value = &key;
        ccv.complex_value = publish->key;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    flcf->publish = publish;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_flux_publish_handler;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_flux_publish_resolve(ngx_conf_t *cf, ngx_http_flux_main_conf_t *fmcf,
    ngx_http_flux_loc_conf_t *flcf)
{
    ngx_str_t                *topic;
    ngx_uint_t                i, n;
    ngx_http_flux_feed_t    **feeds = fmcf->feeds.elts, **feed;
    ngx_http_flux_publish_t  *publish = flcf->publish;

    if (publish == NULL || publish->cluster != NULL) {
        return NGX_OK;
    }

    publish->cluster = ngx_http_flux_find_cluster(fmcf,
                                                  &publish->cluster_name);

    if (publish->cluster == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown flux_kafka \"%V\" in \"flux_publish %V %V\" "
                      "in %s:%ui", &publish->cluster_name,
                      &publish->cluster_name, &publish->topic, publish->file,
                      publish->line);
        return NGX_ERROR;
    }

    for (i = 0; i < fmcf->feeds.nelts; i++) {

        topic = feeds[i]->topics.elts;

        for (n = 0; n < feeds[i]->topics.nelts; n++) {

            if (feeds[i]->cluster != publish->cluster
                || ngx_strcmp(topic[n].data, publish->topic.data) != 0)
            {
                continue;
            }

            feed = ngx_array_push(&publish->feeds);
            if (feed == NULL) {
                return NGX_ERROR;
            }

            *feed = feeds[i];
        }
    }

    return NGX_OK;
}


/* --- the rules of feeds -------------------------------------------------- */

static const char *
ngx_http_flux_publish_room(ngx_http_flux_feed_t *feed, ngx_str_t *key,
    ngx_str_t *value, ngx_str_t *room, u_char *buf)
{
    size_t     newlines;
    ptrdiff_t  n;

    ngx_str_null(room);

    switch (feed->room_rule) {

    case NGX_HTTP_FLUX_ROOM_NONE:
        return NULL;

    case NGX_HTTP_FLUX_ROOM_KEY:
        *room = *key;

        return ngx_http_flux_room_valid(room->data, room->len)
               ? NULL : "a key is needed that can be a room's name";

    case NGX_HTTP_FLUX_ROOM_JSON:

        if (flux_json_check(value->data, value->len, &newlines)
            != FLUX_JSON_OK)
        {
            return "the value is not JSON";
        }

        n = flux_pointer_text(value->data, value->len, feed->room_source.data,
                              feed->room_source.len, buf,
                              NGX_HTTP_FLUX_ROOM_MAX);
        room->data = buf;
        room->len = n > 0 ? n : 0;

        return ngx_http_flux_room_valid(room->data, room->len)
               ? NULL : "the value has no room";

    default: /* NGX_HTTP_FLUX_ROOM_HEADER */
        return "the feed takes its rooms from a header";
    }
}


const char *
ngx_http_flux_publish_check(ngx_http_flux_publish_t *publish,
    ngx_http_flux_zone_t *zone, ngx_str_t *key, ngx_str_t *value,
    ngx_uint_t *too_large)
{
    u_char                  buf[NGX_HTTP_FLUX_ROOM_MAX];
    ngx_str_t               room;
    ngx_uint_t              i;
    const char             *why;
    flux_message_t          m;
    flux_json_status_t      status;
    ngx_http_flux_feed_t  **feeds = publish->feeds.elts;

    *too_large = 0;

    for (i = 0; i < publish->feeds.nelts; i++) {

        ngx_memzero(&m, sizeof(flux_message_t));

        if (feeds[i]->format == FLUX_FORMAT_JSON) {
            status = flux_json_check(value->data, value->len, &m.newlines);

            if (status != FLUX_JSON_OK) {
                return flux_json_strerror(status);
            }
        }

        why = ngx_http_flux_publish_room(feeds[i], key, value, &room, buf);

        if (why != NULL) {
            return why;
        }

        m.feed = feeds[i]->name.data;
        m.feed_size = feeds[i]->name.len;
        m.room = room.data;
        m.room_size = room.len;
        m.key = key->data;
        m.key_size = key->len;
        m.value = value->data;
        m.value_size = value->len;
        m.format = feeds[i]->format;
        m.ts = (int64_t) ngx_time() * 1000;

        if (flux_message_measure(&m) > zone->log.header->max_entry) {
            *too_large = 1;
            return "the record would not fit in the zone";
        }
    }

    return NULL;
}


/* --- POST ---------------------------------------------------------------- */

static ngx_int_t
ngx_http_flux_publish_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc, allowed;
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    if (r->method != NGX_HTTP_POST && flcf->streams != NULL) {
        return ngx_http_flux_request_handler(r);
    }

    if (ngx_http_flux_add_header(r, "Cache-Control", "no-store") == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    allowed = ngx_http_flux_check_origin(r, flcf);
    rc = r->method == NGX_HTTP_POST ? NGX_OK : ngx_http_flux_method(r);

    if (rc == NGX_OK) {
        rc = allowed;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (r->method == NGX_HTTP_OPTIONS) {
        return ngx_http_flux_preflight(r);
    }

    if (r->headers_in.content_length_n > (off_t) flcf->max_message) {
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_flux_publish_body);

    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}


static void
ngx_http_flux_publish_body(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_str_t                   key, value;
    ngx_uint_t                  too_large;
    const char                 *why;
    ngx_http_flux_publish_t    *publish;
    ngx_http_flux_loc_conf_t   *flcf;
    ngx_http_flux_main_conf_t  *fmcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);
    fmcf = ngx_http_get_module_main_conf(r, ngx_http_flux_module);
    publish = flcf->publish;

    rc = ngx_http_flux_publish_value(r, &value);

    if (rc == NGX_OK) {
        rc = ngx_http_flux_publish_key(r, publish, &key);
    }

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    why = ngx_http_flux_publish_check(publish, fmcf->zone, &key, &value,
                                      &too_large);

    if (why != NULL) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "flux_publish refuses a record for \"%V\": %s",
                      &publish->topic, why);

        ngx_http_finalize_request(r, too_large
                                     ? NGX_HTTP_REQUEST_ENTITY_TOO_LARGE
                                     : NGX_HTTP_BAD_REQUEST);
        return;
    }

    if (ngx_http_flux_producer_down(publish->cluster, fmcf->zone)) {
        rc = ngx_http_flux_publish_status(r, RD_KAFKA_RESP_ERR__TRANSPORT);

    } else {
        rc = ngx_http_flux_publish_send(r, publish, &key, &value);
    }

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    /* the reference that the body's reader took is given back at the end */

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;
}


static ngx_int_t
ngx_http_flux_publish_value(ngx_http_request_t *r, ngx_str_t *value)
{
    off_t                      len;
    size_t                     size;
    ngx_chain_t               *cl;
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);

    value->len = 0;
    value->data = (u_char *) "";

    if (r->request_body == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (len = 0, cl = r->request_body->bufs; cl != NULL; cl = cl->next) {
        len += ngx_buf_size(cl->buf);
    }

    if (len > (off_t) flcf->max_message) {
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    if (len == 0) {
        return NGX_OK;
    }

    value->data = ngx_pnalloc(r->pool, len);
    if (value->data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (cl = r->request_body->bufs; cl != NULL; cl = cl->next) {

        size = (size_t) ngx_buf_size(cl->buf);

        if (size == 0) {
            /* a chunked body has one at its end, in no memory and no file */
            continue;
        }

        if (ngx_buf_in_memory(cl->buf)) {
            ngx_memcpy(value->data + value->len, cl->buf->pos, size);

        } else if (ngx_read_file(cl->buf->file, value->data + value->len, size,
                                 cl->buf->file_pos)
                   != (ssize_t) size)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        value->len += size;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_publish_key(ngx_http_request_t *r,
    ngx_http_flux_publish_t *publish, ngx_str_t *key)
{
    u_char     *src, *dst;
    size_t      i;
    ngx_str_t   arg;

    ngx_str_null(key);

    if (publish->key != NULL) {
        return ngx_http_complex_value(r, publish->key, key) == NGX_OK
               ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_arg(r, (u_char *) "key", 3, &arg) != NGX_OK) {
        return NGX_OK;
    }

    /* application/x-www-form-urlencoded, as URLSearchParams writes */

    key->data = ngx_pnalloc(r->pool, arg.len + 1);
    if (key->data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (i = 0; i < arg.len; i++) {
        key->data[i] = arg.data[i] == '+' ? ' ' : arg.data[i];
    }

    src = dst = key->data;
    ngx_unescape_uri(&dst, &src, arg.len, 0);
    key->len = dst - key->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_publish_send(ngx_http_request_t *r,
    ngx_http_flux_publish_t *publish, ngx_str_t *key, ngx_str_t *value)
{
    ngx_pool_cleanup_t    *cln;
    rd_kafka_resp_err_t    error;
    ngx_http_flux_post_t  *post;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_flux_post_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    post = cln->data;
    post->request = r;
    post->delivery = ngx_http_flux_producer_send(publish->cluster,
                         &publish->topic, key, value,
                         NGX_HTTP_FLUX_PUBLISH_TIMEOUT,
                         ngx_http_flux_publish_done, post, &error);

    if (post->delivery == NULL) {
        return ngx_http_flux_publish_status(r, error);
    }

    cln->handler = ngx_http_flux_publish_cleanup;

    return NGX_OK;
}


/* The client has gone: the record goes its way. */

static void
ngx_http_flux_publish_cleanup(void *data)
{
    ngx_http_flux_post_t  *post = data;

    if (post->delivery != NULL) {
        ngx_http_flux_delivery_cancel(post->delivery);
        post->delivery = NULL;
    }
}


static void
ngx_http_flux_publish_done(ngx_http_flux_delivery_t *delivery)
{
    ngx_int_t              rc;
    ngx_connection_t      *c;
    ngx_http_request_t    *r;
    ngx_http_flux_post_t  *post = delivery->data;

    post->delivery = NULL;
    r = post->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (delivery->error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rc = ngx_http_flux_publish_answer(r, delivery);

    } else {
        rc = ngx_http_flux_publish_status(r, delivery->error);
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/* What a failure is in HTTP's terms. */

static ngx_int_t
ngx_http_flux_publish_status(ngx_http_request_t *r, rd_kafka_resp_err_t error)
{
    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "flux_publish failed: %s", rd_kafka_err2str(error));

    switch (error) {

    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;

    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
        /* a topic that wants keys, for one */
        return NGX_HTTP_BAD_REQUEST;

    default:

        if (ngx_http_flux_add_header(r, "Retry-After",
                                     NGX_HTTP_FLUX_PUBLISH_RETRY)
            == NULL)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }
}


static ngx_int_t
ngx_http_flux_publish_answer(ngx_http_request_t *r,
    ngx_http_flux_delivery_t *delivery)
{
    size_t                     len;
    ngx_int_t                  rc;
    ngx_buf_t                 *b;
    ngx_chain_t                out;
    ngx_http_flux_publish_t   *publish;
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_flux_module);
    publish = flcf->publish;

    len = sizeof("{\"topic\":\"\",\"partition\":,\"offset\":}\n") - 1
          + publish->topic.len + NGX_INT32_LEN + NGX_INT64_LEN;

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_sprintf(b->last,
                          "{\"topic\":\"%V\",\"partition\":%D,\"offset\":%L}\n",
                          &publish->topic, delivery->partition,
                          delivery->offset);
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    /* no If-None-Match and the like: it is no page that a cache has */
    r->disable_not_modified = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}
