/*
 * The block flux_kafka: a cluster.
 */

#include "ngx_http_flux_conf_block.h"
#include "ngx_http_flux_kafka.h"

#include <librdkafka/rdkafka.h>


/* its predecessors repeat a nonce, which newer brokers refuse */
#define NGX_HTTP_FLUX_SCRAM  0x020601ff


static char *ngx_http_flux_kafka_brokers(ngx_conf_t *cf, void *conf);
static ngx_int_t ngx_http_flux_kafka_ports(ngx_str_t *brokers);
static char *ngx_http_flux_kafka_property(ngx_conf_t *cf, void *conf);
static char *ngx_http_flux_kafka_known(ngx_conf_t *cf,
    ngx_http_flux_cluster_t *cluster, ngx_keyval_t *property);


static ngx_http_flux_conf_command_t  ngx_http_flux_kafka_commands[] = {
    { ngx_string("brokers"),  ngx_http_flux_kafka_brokers,  1, 1, 0 },
    { ngx_string("property"), ngx_http_flux_kafka_property, 2, 2, 1 },
    { ngx_null_string,        NULL,                         0, 0, 0 }
};


ngx_http_flux_cluster_t *
ngx_http_flux_find_cluster(ngx_http_flux_main_conf_t *fmcf, ngx_str_t *name)
{
    ngx_uint_t                 i;
    ngx_http_flux_cluster_t  **clusters = fmcf->clusters.elts;

    for (i = 0; i < fmcf->clusters.nelts; i++) {
        if (clusters[i]->name.len == name->len
            && ngx_memcmp(clusters[i]->name.data, name->data, name->len) == 0)
        {
            return clusters[i];
        }
    }

    return NULL;
}


char *
ngx_http_flux_kafka_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                       *rv;
    ngx_str_t                  *value = cf->args->elts;
    ngx_http_flux_cluster_t    *cluster, **slot;
    ngx_http_flux_main_conf_t  *fmcf = conf;
    ngx_http_flux_conf_block_t  block;

    if (ngx_http_flux_conf_begin(cf, "flux_kafka",
            ngx_http_flux_find_cluster(fmcf, &value[1]) != NULL,
            fmcf->clusters.nelts == NGX_HTTP_FLUX_CLUSTERS
            ? NGX_HTTP_FLUX_CLUSTERS : 0)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    cluster = ngx_pcalloc(cf->pool, sizeof(ngx_http_flux_cluster_t));
    slot = ngx_array_push(&fmcf->clusters);

    if (cluster == NULL || slot == NULL
        || ngx_http_flux_conf_copy(cf, &cluster->name, &value[1]) != NGX_OK
        || ngx_array_init(&cluster->properties, cf->pool, 4,
                          sizeof(ngx_keyval_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    cluster->index = fmcf->clusters.nelts - 1;
    cluster->file = cf->conf_file->file.name.data;
    cluster->line = cf->conf_file->line;
    *slot = cluster;

    block.kind = "flux_kafka";
    block.name = &cluster->name;
    block.commands = ngx_http_flux_kafka_commands;
    block.conf = cluster;

    rv = ngx_http_flux_conf_block(cf, &block);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (cluster->brokers.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "flux_kafka \"%V\" has no brokers", &cluster->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_flux_kafka_brokers(ngx_conf_t *cf, void *conf)
{
    ngx_str_t                *value = cf->args->elts;
    ngx_http_flux_cluster_t  *cluster = conf;

    if (value[1].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "empty \"brokers\"");
        return NGX_CONF_ERROR;
    }

    if (ngx_http_flux_kafka_ports(&value[1]) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid port in \"brokers %V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    return ngx_http_flux_conf_copy(cf, &cluster->brokers, &value[1]) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* SASL_SSL://host:port,[::1]:port,host: librdkafka takes any number for one. */

static ngx_int_t
ngx_http_flux_kafka_ports(ngx_str_t *brokers)
{
    u_char     *p, *host, *port, *last = brokers->data + brokers->len;
    ngx_int_t   n;

    for (host = brokers->data; host < last; host = p + 1) {

        p = ngx_strlchr(host, last, ',');

        if (p == NULL) {
            p = last;
        }

        for (port = p; port > host && port[-1] != ':'; port--) { /* void */ }

        if (port == host || *port == '/' || ngx_strlchr(port, p, ']') != NULL) {
            continue;
        }

        n = ngx_atoi(port, p - port);

        if (n < 1 || n > 65535) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static char *
ngx_http_flux_kafka_property(ngx_conf_t *cf, void *conf)
{
    char                     *error, buf[256];
    ngx_str_t                *value = cf->args->elts;
    ngx_keyval_t             *property, *refused;
    ngx_http_flux_cluster_t  *cluster = conf;

    property = ngx_array_push(&cluster->properties);

    if (property == NULL
        || ngx_http_flux_conf_copy(cf, &property->key, &value[1]) != NGX_OK
        || ngx_http_flux_conf_copy(cf, &property->value, &value[2]) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    error = ngx_http_flux_kafka_check(cluster, &refused, buf, sizeof(buf));

    if (error != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "property \"%V\" of flux_kafka \"%V\": %s",
                           &value[1], &cluster->name, error);
        return NGX_CONF_ERROR;
    }

    return ngx_http_flux_kafka_known(cf, cluster, property);
}


/* What librdkafka takes here and stumbles over when it runs. */

static char *
ngx_http_flux_kafka_known(ngx_conf_t *cf, ngx_http_flux_cluster_t *cluster,
    ngx_keyval_t *property)
{
    size_t  len = sizeof(".location") - 1;

    if (property->key.len > len
        && ngx_strcmp(property->key.data + property->key.len - len,
                      ".location") == 0
        && ngx_strcmp(property->value.data, "probe") != 0
        && access((char *) property->value.data, R_OK) == -1)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "property \"%V\" of flux_kafka \"%V\": "
                           "\"%V\" cannot be read",
                           &property->key, &cluster->name, &property->value);
        return NGX_CONF_ERROR;
    }

    if ((ngx_strcmp(property->key.data, "sasl.mechanism") == 0
         || ngx_strcmp(property->key.data, "sasl.mechanisms") == 0)
        && ngx_strncmp(property->value.data, "SCRAM", 5) == 0
        && rd_kafka_version() < NGX_HTTP_FLUX_SCRAM)
    {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "librdkafka %s cannot log in by SCRAM at Kafka 4, "
                           "which takes 2.6.1 or newer",
                           rd_kafka_version_str());
    }

    return NGX_CONF_OK;
}
