#include "ngx_http_flux_conf.h"
#include "ngx_http_flux_kafka.h"

#include "core/flux_json.h"

#include <librdkafka/rdkafka.h>


/* its predecessors repeat a nonce, which newer brokers refuse */
#define NGX_HTTP_FLUX_SCRAM  0x020601ff


static char *ngx_http_flux_conf_block(ngx_conf_t *cf,
    ngx_conf_handler_pt handler, void *conf);
static char *ngx_http_flux_kafka_line(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf);
static char *ngx_http_flux_kafka_known(ngx_conf_t *cf,
    ngx_http_flux_cluster_t *cluster, ngx_keyval_t *property);
static char *ngx_http_flux_feed_line(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf);
static char *ngx_http_flux_feed_topic(ngx_conf_t *cf,
    ngx_http_flux_feed_t *feed);
static char *ngx_http_flux_feed_room(ngx_conf_t *cf,
    ngx_http_flux_feed_t *feed);
static char *ngx_http_flux_feed_retain(ngx_conf_t *cf,
    ngx_http_flux_feed_t *feed);
static char *ngx_http_flux_feed_start(ngx_conf_t *cf,
    ngx_http_flux_feed_t *feed);
static char *ngx_http_flux_feed_expire(ngx_conf_t *cf,
    ngx_http_flux_feed_t *feed);
static char *ngx_http_flux_feed_stale(ngx_conf_t *cf,
    ngx_http_flux_feed_t *feed);
static char *ngx_http_flux_feed_format(ngx_conf_t *cf,
    ngx_http_flux_feed_t *feed);
static char *ngx_http_flux_feed_kafka(ngx_conf_t *cf,
    ngx_http_flux_feed_t *feed);
static char *ngx_http_flux_feed_demand(ngx_conf_t *cf,
    ngx_http_flux_feed_t *feed);
static ngx_int_t ngx_http_flux_valid_name(ngx_str_t *name);
static ngx_int_t ngx_http_flux_valid_pointer(ngx_str_t *pointer);
static ngx_int_t ngx_http_flux_copy(ngx_conf_t *cf, ngx_str_t *dst,
    ngx_str_t *src);


typedef struct {
    ngx_str_t   name;
    char     *(*set)(ngx_conf_t *cf, ngx_http_flux_feed_t *feed);
    ngx_uint_t  many;       /* arguments, and lines */
} ngx_http_flux_feed_command_t;


static ngx_http_flux_feed_command_t  ngx_http_flux_feed_commands[] = {
    { ngx_string("kafka"),  ngx_http_flux_feed_kafka,  0 },
    { ngx_string("topic"),  ngx_http_flux_feed_topic,  1 },
    { ngx_string("room"),   ngx_http_flux_feed_room,   0 },
    { ngx_string("retain"), ngx_http_flux_feed_retain, 0 },
    { ngx_string("start"),  ngx_http_flux_feed_start,  0 },
    { ngx_string("expire"), ngx_http_flux_feed_expire, 0 },
    { ngx_string("stale"),  ngx_http_flux_feed_stale,  0 },
    { ngx_string("demand"), ngx_http_flux_feed_demand, 0 },
    { ngx_string("format"), ngx_http_flux_feed_format, 0 },
    { ngx_null_string,      NULL,                      0 }
};


static char *
ngx_http_flux_conf_block(ngx_conf_t *cf, ngx_conf_handler_pt handler,
    void *conf)
{
    char        *rv;
    ngx_conf_t   save;

    save = *cf;
    cf->handler = handler;
    cf->handler_conf = conf;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    return rv;
}


static ngx_int_t
ngx_http_flux_valid_name(ngx_str_t *name)
{
    size_t  i;
    u_char  ch;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
              || (ch >= '0' && ch <= '9')
              || ch == '.' || ch == '_' || ch == '-'))
        {
            return NGX_DECLINED;
        }
    }

    return name->len ? NGX_OK : NGX_DECLINED;
}


/* librdkafka and the log want strings that end in NUL. */

static ngx_int_t
ngx_http_flux_copy(ngx_conf_t *cf, ngx_str_t *dst, ngx_str_t *src)
{
    dst->len = src->len;
    dst->data = ngx_pnalloc(cf->pool, src->len + 1);

    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dst->data, src->data, src->len);
    dst->data[src->len] = '\0';

    return NGX_OK;
}


/* --- flux_kafka ---------------------------------------------------------- */

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

    if (ngx_http_flux_valid_name(&value[1]) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid flux_kafka name \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_flux_find_cluster(fmcf, &value[1]) != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate flux_kafka \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (fmcf->clusters.nelts == NGX_HTTP_FLUX_CLUSTERS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "more than %d flux_kafka clusters",
                           NGX_HTTP_FLUX_CLUSTERS);
        return NGX_CONF_ERROR;
    }

    cluster = ngx_pcalloc(cf->pool, sizeof(ngx_http_flux_cluster_t));
    slot = ngx_array_push(&fmcf->clusters);

    if (cluster == NULL || slot == NULL
        || ngx_http_flux_copy(cf, &cluster->name, &value[1]) != NGX_OK
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

    rv = ngx_http_flux_conf_block(cf, ngx_http_flux_kafka_line, cluster);

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
ngx_http_flux_kafka_property(ngx_conf_t *cf, ngx_http_flux_cluster_t *cluster)
{
    char          *error, buf[256];
    ngx_str_t     *value = cf->args->elts;
    ngx_keyval_t  *property, *refused;

    property = ngx_array_push(&cluster->properties);

    if (property == NULL
        || ngx_http_flux_copy(cf, &property->key, &value[1]) != NGX_OK
        || ngx_http_flux_copy(cf, &property->value, &value[2]) != NGX_OK)
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
                           "which takes 2.6.1 or newer", rd_kafka_version_str());
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_flux_kafka_line(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    ngx_str_t                *value = cf->args->elts;
    ngx_http_flux_cluster_t  *cluster = conf;

    if (ngx_strcmp(value[0].data, "brokers") == 0) {

        if (cf->args->nelts != 2) {
            goto arguments;
        }

        if (cluster->brokers.len) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"brokers\" directive is duplicate");
            return NGX_CONF_ERROR;
        }

        if (value[1].len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "empty \"brokers\"");
            return NGX_CONF_ERROR;
        }

        return ngx_http_flux_copy(cf, &cluster->brokers, &value[1]) == NGX_OK
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[0].data, "property") == 0) {

        if (cf->args->nelts != 3) {
            goto arguments;
        }

        return ngx_http_flux_kafka_property(cf, cluster);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown directive \"%V\" in flux_kafka", &value[0]);
    return NGX_CONF_ERROR;

arguments:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid number of arguments in \"%V\" directive",
                       &value[0]);
    return NGX_CONF_ERROR;
}


/* --- flux_feed ----------------------------------------------------------- */

ngx_http_flux_feed_t *
ngx_http_flux_find_feed(ngx_http_flux_main_conf_t *fmcf, u_char *name,
    size_t len)
{
    ngx_uint_t              i;
    ngx_http_flux_feed_t  **feeds = fmcf->feeds.elts;

    for (i = 0; i < fmcf->feeds.nelts; i++) {
        if (feeds[i]->name.len == len
            && ngx_memcmp(feeds[i]->name.data, name, len) == 0)
        {
            return feeds[i];
        }
    }

    return NULL;
}


char *
ngx_http_flux_feed_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                       *rv;
    ngx_str_t                  *value = cf->args->elts;
    ngx_http_flux_feed_t       *feed, **slot;
    ngx_http_flux_main_conf_t  *fmcf = conf;

    if (ngx_http_flux_valid_name(&value[1]) != NGX_OK
        || value[1].len > NGX_HTTP_FLUX_ROOM_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid flux_feed name \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_flux_find_feed(fmcf, value[1].data, value[1].len) != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate flux_feed \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (fmcf->feeds.nelts == FLUX_LOG_FEEDS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "more than %d flux_feed",
                           FLUX_LOG_FEEDS);
        return NGX_CONF_ERROR;
    }

    feed = ngx_pcalloc(cf->pool, sizeof(ngx_http_flux_feed_t));
    slot = ngx_array_push(&fmcf->feeds);

    if (feed == NULL || slot == NULL
        || ngx_http_flux_copy(cf, &feed->name, &value[1]) != NGX_OK
        || ngx_array_init(&feed->topics, cf->pool, 2, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    feed->retain = 1;
    feed->start = NGX_HTTP_FLUX_START_BEGINNING;
    feed->slot = FLUX_NONE;
    feed->index = fmcf->feeds.nelts - 1;
    feed->file = cf->conf_file->file.name.data;
    *slot = feed;

    rv = ngx_http_flux_conf_block(cf, ngx_http_flux_feed_line, feed);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (feed->topics.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "flux_feed \"%V\" has no topic", &feed->name);
        return NGX_CONF_ERROR;
    }

    feed->line = cf->conf_file->line;

    return NGX_CONF_OK;
}


static char *
ngx_http_flux_feed_line(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    char                          *rv;
    ngx_uint_t                     bit;
    ngx_str_t                     *value = cf->args->elts;
    ngx_http_flux_feed_t          *feed = conf;
    ngx_http_flux_feed_command_t  *cmd;

    for (cmd = ngx_http_flux_feed_commands; cmd->name.len; cmd++) {

        if (ngx_strcmp(value[0].data, cmd->name.data) != 0) {
            continue;
        }

        if (cf->args->nelts < 2 || (!cmd->many && cf->args->nelts > 2)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                              "invalid number of arguments in \"%V\" directive",
                              &value[0]);
            return NGX_CONF_ERROR;
        }

        bit = 1 << (cmd - ngx_http_flux_feed_commands);

        if (!cmd->many && (feed->seen & bit)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" directive is duplicate", &value[0]);
            return NGX_CONF_ERROR;
        }

        feed->seen |= bit;
        rv = cmd->set(cf, feed);

        if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
            return rv;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s \"%V\" in \"%V\" of flux_feed \"%V\"", rv,
                           &value[1], &value[0], &feed->name);
        return NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown directive \"%V\" in flux_feed", &value[0]);
    return NGX_CONF_ERROR;
}


static char *
ngx_http_flux_feed_kafka(ngx_conf_t *cf, ngx_http_flux_feed_t *feed)
{
    ngx_str_t  *value = cf->args->elts;

    feed->cluster_line = cf->conf_file->line;

    return ngx_http_flux_copy(cf, &feed->cluster_name, &value[1]) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_flux_conf_topic(ngx_conf_t *cf, ngx_str_t *value, ngx_str_t *topic)
{
    /* Kafka: at most 249 of these characters, not "." and not ".." */

    if (ngx_http_flux_valid_name(value) != NGX_OK || value->len > 249
        || ngx_strcmp(value->data, ".") == 0
        || ngx_strcmp(value->data, "..") == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid topic \"%V\"",
                           value);
        return NGX_ERROR;
    }

    return ngx_http_flux_copy(cf, topic, value);
}


static char *
ngx_http_flux_feed_topic(ngx_conf_t *cf, ngx_http_flux_feed_t *feed)
{
    ngx_str_t   *value = cf->args->elts, *topic;
    ngx_uint_t   i, n;

    for (i = 1; i < cf->args->nelts; i++) {

        /* Kafka: at most 249 of these characters */

        if (ngx_http_flux_valid_name(&value[i]) != NGX_OK
            || value[i].len > 249)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid topic \"%V\"",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        topic = feed->topics.elts;

        for (n = 0; n < feed->topics.nelts; n++) {
            if (ngx_strcmp(topic[n].data, value[i].data) == 0) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate topic \"%V\"", &value[i]);
                return NGX_CONF_ERROR;
            }
        }

        topic = ngx_array_push(&feed->topics);

        if (topic == NULL
            || ngx_http_flux_copy(cf, topic, &value[i]) != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* RFC 6901, section 3: '~' stands before '0' or '1' alone. */

static ngx_int_t
ngx_http_flux_valid_pointer(ngx_str_t *pointer)
{
    u_char  *p, *last;

    last = pointer->data + pointer->len;

    for (p = pointer->data; p < last; p++) {
        if (*p == '~' && (p + 1 == last || (p[1] != '0' && p[1] != '1'))) {
            return NGX_DECLINED;
        }
    }

    return flux_utf8_valid(pointer->data, pointer->len) ? NGX_OK
                                                        : NGX_DECLINED;
}


static char *
ngx_http_flux_feed_room(ngx_conf_t *cf, ngx_http_flux_feed_t *feed)
{
    ngx_str_t  *value = cf->args->elts, source;

    source = value[1];

    if (ngx_strcmp(value[1].data, "key") == 0) {
        feed->room_rule = NGX_HTTP_FLUX_ROOM_KEY;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value[1].data, "header:", 7) == 0 && value[1].len > 7) {
        feed->room_rule = NGX_HTTP_FLUX_ROOM_HEADER;
        source.data += 7;
        source.len -= 7;

    } else if (ngx_strncmp(value[1].data, "json:/", 6) == 0) {
        feed->room_rule = NGX_HTTP_FLUX_ROOM_JSON;
        source.data += 5;
        source.len -= 5;

        if (ngx_http_flux_valid_pointer(&source) != NGX_OK) {
            return "invalid JSON pointer";
        }

    } else {
        return "unknown room rule";
    }

    return ngx_http_flux_copy(cf, &feed->room_source, &source) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_flux_feed_retain(ngx_conf_t *cf, ngx_http_flux_feed_t *feed)
{
    ngx_int_t   n;
    ngx_str_t  *value = cf->args->elts;

    n = ngx_atoi(value[1].data, value[1].len);

    if (n == NGX_ERROR || n < 1 || n > 1000000) {
        return "invalid number";
    }

    feed->retain = n;

    return NGX_CONF_OK;
}


/* Whole seconds or, with a unit, as nginx's times; in ms. */

static ngx_int_t
ngx_http_flux_time(ngx_str_t *value, int64_t *ms)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n == 0) {
        return NGX_ERROR;
    }

    *ms = n;

    return NGX_OK;
}


static char *
ngx_http_flux_feed_start(ngx_conf_t *cf, ngx_http_flux_feed_t *feed)
{
    ngx_str_t  *value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "beginning") == 0) {
        feed->start = NGX_HTTP_FLUX_START_BEGINNING;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "end") == 0) {
        feed->start = NGX_HTTP_FLUX_START_END;
        return NGX_CONF_OK;
    }

    return ngx_http_flux_time(&value[1], &feed->start) == NGX_OK
           ? NGX_CONF_OK : "invalid value";
}


static char *
ngx_http_flux_feed_expire(ngx_conf_t *cf, ngx_http_flux_feed_t *feed)
{
    ngx_str_t  *value = cf->args->elts;

    return ngx_http_flux_time(&value[1], &feed->expire) == NGX_OK
           ? NGX_CONF_OK : "invalid time";
}


static char *
ngx_http_flux_feed_stale(ngx_conf_t *cf, ngx_http_flux_feed_t *feed)
{
    ngx_str_t  *value = cf->args->elts;

    return ngx_http_flux_time(&value[1], &feed->stale) == NGX_OK
           ? NGX_CONF_OK : "invalid time";
}


static char *
ngx_http_flux_feed_demand(ngx_conf_t *cf, ngx_http_flux_feed_t *feed)
{
    ngx_str_t  *value = cf->args->elts;

    if (ngx_http_flux_valid_name(&value[1]) != NGX_OK || value[1].len > 249) {
        return "invalid topic";
    }

    return ngx_http_flux_copy(cf, &feed->demand, &value[1]) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_flux_feed_format(ngx_conf_t *cf, ngx_http_flux_feed_t *feed)
{
    ngx_str_t  *value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "json") == 0) {
        feed->format = FLUX_FORMAT_JSON;

    } else if (ngx_strcmp(value[1].data, "text") == 0) {
        feed->format = FLUX_FORMAT_TEXT;

    } else if (ngx_strcmp(value[1].data, "binary") == 0) {
        feed->format = FLUX_FORMAT_BINARY;

    } else {
        return "unknown format";
    }

    return NGX_CONF_OK;
}
