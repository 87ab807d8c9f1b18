/*
 * librdkafka's configuration, from defaults, nginx.conf and what must be.
 */

#include "ngx_http_flux_consumer.h"


static void ngx_http_flux_kafka_conf_debug(rd_kafka_conf_t *conf);
static ngx_int_t ngx_http_flux_kafka_reserved(ngx_keyval_t *property,
    char *buf, size_t len);
static ngx_int_t ngx_http_flux_kafka_conf_set(rd_kafka_conf_t *conf,
    const char *name, const char *value, char *buf, size_t len);


/* What suits us better than librdkafka's own; nginx.conf may say otherwise. */

static ngx_keyval_t  ngx_http_flux_kafka_defaults[] = {

    { ngx_string("client.id"), ngx_string("flux") },

    /* a fetch that waits keeps a partition that is added later waiting */
    { ngx_string("fetch.wait.max.ms"), ngx_string("100") },
    { ngx_string("fetch.error.backoff.ms"), ngx_string("100") },

    /* a cluster that is back is noticed within a second */
    { ngx_string("reconnect.backoff.max.ms"), ngx_string("1000") },

    { ngx_string("socket.keepalive.enable"), ngx_string("true") },
    { ngx_string("socket.nagle.disable"), ngx_string("true") },
    { ngx_string("socket.timeout.ms"), ngx_string("15000") },

    /*
     * Records that wait for us: more make nothing faster, as fetching goes on
     * in time (see ngx_http_flux_kafka_fetch.c), but take memory that is in no
     * cache.
     */
    { ngx_string("queued.max.messages.kbytes"), ngx_string("16384") },

    /* librdkafka 2.0 does not know it */
    { ngx_string("fetch.queue.backoff.ms"), ngx_string("10") },

    { ngx_null_string, ngx_null_string }
};


/* What the rest relies on. */

static ngx_keyval_t  ngx_http_flux_kafka_fixed[] = {
    { ngx_string("enable.partition.eof"), ngx_string("true") },
    { ngx_string("auto.offset.reset"), ngx_string("error") },
    { ngx_string("enable.auto.commit"), ngx_string("false") },
    { ngx_string("enable.auto.offset.store"), ngx_string("false") },
    { ngx_string("log.queue"), ngx_string("true") },
    { ngx_null_string, ngx_null_string }
};


char *
ngx_http_flux_kafka_check(ngx_http_flux_cluster_t *cluster,
    ngx_keyval_t **property, char *buf, size_t len)
{
    rd_kafka_conf_t  *conf;

    conf = ngx_http_flux_kafka_conf(cluster, property, buf, len);

    if (conf == NULL) {
        return buf;
    }

    rd_kafka_conf_destroy(conf);

    return NULL;
}


rd_kafka_conf_t *
ngx_http_flux_kafka_conf(ngx_http_flux_cluster_t *cluster,
    ngx_keyval_t **property, char *buf, size_t len)
{
    ngx_uint_t        i;
    ngx_keyval_t     *kv;
    rd_kafka_conf_t  *conf;

    *property = NULL;
    conf = rd_kafka_conf_new();

    for (kv = ngx_http_flux_kafka_defaults; kv->key.len; kv++) {
        (void) ngx_http_flux_kafka_conf_set(conf, (char *) kv->key.data,
                                            (char *) kv->value.data, buf, len);
    }

    kv = cluster->properties.elts;

    for (i = 0; i < cluster->properties.nelts; i++) {

        if (ngx_http_flux_kafka_reserved(&kv[i], buf, len) != NGX_OK
            || ngx_http_flux_kafka_conf_set(conf, (char *) kv[i].key.data,
                                            (char *) kv[i].value.data, buf,
                                            len)
               != NGX_OK)
        {
            *property = &kv[i];
            goto failed;
        }
    }

    for (kv = ngx_http_flux_kafka_fixed; kv->key.len; kv++) {
        if (ngx_http_flux_kafka_conf_set(conf, (char *) kv->key.data,
                                         (char *) kv->value.data, buf, len)
            != NGX_OK)
        {
            goto failed;
        }
    }

    if (ngx_http_flux_kafka_conf_set(conf, "bootstrap.servers",
                                     (char *) cluster->brokers.data, buf, len)
        != NGX_OK)
    {
        goto failed;
    }

    ngx_http_flux_kafka_conf_debug(conf);

    return conf;

failed:

    rd_kafka_conf_destroy(conf);

    return NULL;
}


/*
 * Some of what librdkafka knows of a topic it tells its log alone, see
 * ngx_http_flux_kafka_suspect().
 */

static void
ngx_http_flux_kafka_conf_debug(rd_kafka_conf_t *conf)
{
    char    value[256], error[128];
    size_t  len = sizeof(value) - sizeof(",topic") + 1;

    if (rd_kafka_conf_get(conf, "debug", value, &len) != RD_KAFKA_CONF_OK) {
        return;
    }

    if (value[0] == '\0') {
        ngx_memcpy(value, "topic", sizeof("topic"));

    } else {
        ngx_memcpy(value + ngx_strlen(value), ",topic", sizeof(",topic"));
    }

    (void) ngx_http_flux_kafka_conf_set(conf, "debug", value, error,
                                        sizeof(error));
}


static ngx_int_t
ngx_http_flux_kafka_reserved(ngx_keyval_t *property, char *buf, size_t len)
{
    ngx_keyval_t  *kv;

    if (ngx_strcmp(property->key.data, "bootstrap.servers") == 0
        || ngx_strcmp(property->key.data, "metadata.broker.list") == 0)
    {
        (void) snprintf(buf, len, "use the \"brokers\" directive instead");
        return NGX_DECLINED;
    }

    for (kv = ngx_http_flux_kafka_fixed; kv->key.len; kv++) {

        if (ngx_strcmp(property->key.data, kv->key.data) == 0
            && ngx_strcmp(property->value.data, kv->value.data) != 0)
        {
            (void) snprintf(buf, len, "it must be \"%s\"",
                            (char *) kv->value.data);
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_kafka_conf_set(rd_kafka_conf_t *conf, const char *name,
    const char *value, char *buf, size_t len)
{
    return rd_kafka_conf_set(conf, name, value, buf, len) == RD_KAFKA_CONF_OK
           ? NGX_OK : NGX_ERROR;
}
