/*
 * The block flux_feed: topics, and how their records become rooms.
 */

#include "ngx_http_flux_conf_block.h"

#include "core/flux_json.h"


static char *ngx_http_flux_feed_kafka(ngx_conf_t *cf, void *conf);
static char *ngx_http_flux_feed_topic(ngx_conf_t *cf, void *conf);
static char *ngx_http_flux_feed_room(ngx_conf_t *cf, void *conf);
static char *ngx_http_flux_feed_retain(ngx_conf_t *cf, void *conf);
static char *ngx_http_flux_feed_start(ngx_conf_t *cf, void *conf);
static char *ngx_http_flux_feed_expire(ngx_conf_t *cf, void *conf);
static char *ngx_http_flux_feed_stale(ngx_conf_t *cf, void *conf);
static char *ngx_http_flux_feed_demand(ngx_conf_t *cf, void *conf);
static char *ngx_http_flux_feed_format(ngx_conf_t *cf, void *conf);
static ngx_int_t ngx_http_flux_valid_pointer(ngx_str_t *pointer);
static ngx_int_t ngx_http_flux_time(ngx_str_t *value, int64_t *ms);


static ngx_http_flux_conf_command_t  ngx_http_flux_feed_commands[] = {
    { ngx_string("kafka"),   ngx_http_flux_feed_kafka,  1, 1, 0 },
    { ngx_string("topic"),   ngx_http_flux_feed_topic,  1, NGX_HTTP_FLUX_ANY, 1 },
    { ngx_string("room"),    ngx_http_flux_feed_room,   1, 1, 0 },
    { ngx_string("retain"),  ngx_http_flux_feed_retain, 1, 1, 0 },
    { ngx_string("start"),   ngx_http_flux_feed_start,  1, 1, 0 },
    { ngx_string("expire"),  ngx_http_flux_feed_expire, 1, 1, 0 },
    { ngx_string("stale"),   ngx_http_flux_feed_stale,  1, 1, 0 },
    { ngx_string("demand"),  ngx_http_flux_feed_demand, 1, 1, 0 },
    { ngx_string("format"),  ngx_http_flux_feed_format, 1, 1, 0 },
    { ngx_null_string,       NULL,                      0, 0, 0 }
};


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
    ngx_http_flux_conf_block_t  block;

    if (ngx_http_flux_conf_begin(cf, "flux_feed",
            ngx_http_flux_find_feed(fmcf, value[1].data, value[1].len) != NULL,
            fmcf->feeds.nelts == FLUX_LOG_FEEDS ? FLUX_LOG_FEEDS : 0)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    feed = ngx_pcalloc(cf->pool, sizeof(ngx_http_flux_feed_t));
    slot = ngx_array_push(&fmcf->feeds);

    if (feed == NULL || slot == NULL
        || ngx_http_flux_conf_copy(cf, &feed->name, &value[1]) != NGX_OK
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

    block.kind = "flux_feed";
    block.name = &feed->name;
    block.commands = ngx_http_flux_feed_commands;
    block.conf = feed;

    rv = ngx_http_flux_conf_block(cf, &block);

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
ngx_http_flux_feed_kafka(ngx_conf_t *cf, void *conf)
{
    ngx_str_t             *value = cf->args->elts;
    ngx_http_flux_feed_t  *feed = conf;

    feed->cluster_line = cf->conf_file->line;

    return ngx_http_flux_conf_copy(cf, &feed->cluster_name, &value[1])
           == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_flux_feed_topic(ngx_conf_t *cf, void *conf)
{
    ngx_str_t             *value = cf->args->elts, *topics, *topic;
    ngx_uint_t             i, n;
    ngx_http_flux_feed_t  *feed = conf;

    for (i = 1; i < cf->args->nelts; i++) {

        topics = feed->topics.elts;

        for (n = 0; n < feed->topics.nelts; n++) {
            if (ngx_strcmp(topics[n].data, value[i].data) == 0) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate topic \"%V\"", &value[i]);
                return NGX_CONF_ERROR;
            }
        }

        topic = ngx_array_push(&feed->topics);

        if (topic == NULL
            || ngx_http_flux_conf_topic(cf, &value[i], topic) != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_flux_feed_room(ngx_conf_t *cf, void *conf)
{
    ngx_str_t             *value = cf->args->elts, source;
    ngx_http_flux_feed_t  *feed = conf;

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

    return ngx_http_flux_conf_copy(cf, &feed->room_source, &source) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
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
ngx_http_flux_feed_retain(ngx_conf_t *cf, void *conf)
{
    ngx_int_t              n;
    ngx_str_t             *value = cf->args->elts;
    ngx_http_flux_feed_t  *feed = conf;

    n = ngx_atoi(value[1].data, value[1].len);

    if (n == NGX_ERROR || n < 1 || n > 1000000) {
        return "invalid number";
    }

    feed->retain = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_flux_feed_start(ngx_conf_t *cf, void *conf)
{
    ngx_str_t             *value = cf->args->elts;
    ngx_http_flux_feed_t  *feed = conf;

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
ngx_http_flux_feed_expire(ngx_conf_t *cf, void *conf)
{
    ngx_str_t             *value = cf->args->elts;
    ngx_http_flux_feed_t  *feed = conf;

    return ngx_http_flux_time(&value[1], &feed->expire) == NGX_OK
           ? NGX_CONF_OK : "invalid time";
}


static char *
ngx_http_flux_feed_stale(ngx_conf_t *cf, void *conf)
{
    ngx_str_t             *value = cf->args->elts;
    ngx_http_flux_feed_t  *feed = conf;

    return ngx_http_flux_time(&value[1], &feed->stale) == NGX_OK
           ? NGX_CONF_OK : "invalid time";
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
ngx_http_flux_feed_demand(ngx_conf_t *cf, void *conf)
{
    ngx_str_t             *value = cf->args->elts;
    ngx_http_flux_feed_t  *feed = conf;

    if (ngx_http_flux_conf_valid_topic(&value[1]) != NGX_OK) {
        return "invalid topic";
    }

    return ngx_http_flux_conf_copy(cf, &feed->demand, &value[1]) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_flux_feed_format(ngx_conf_t *cf, void *conf)
{
    ngx_str_t             *value = cf->args->elts;
    ngx_http_flux_feed_t  *feed = conf;

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
