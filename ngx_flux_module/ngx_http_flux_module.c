#include "ngx_http_flux_cache.h"
#include "ngx_http_flux_compress.h"
#include "ngx_http_flux_conf.h"
#include "ngx_http_flux_hub.h"
#include "ngx_http_flux_producer.h"
#include "ngx_http_flux_publish.h"
#include "ngx_http_flux_request.h"
#include "ngx_http_flux_status.h"
#include "ngx_http_flux_zone.h"


#define NGX_HTTP_FLUX_ALL_TRANSPORTS                                          \
    (NGX_HTTP_FLUX_SSE|NGX_HTTP_FLUX_WEBSOCKET|NGX_HTTP_FLUX_POLL)


static void *ngx_http_flux_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_flux_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_flux_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static void ngx_http_flux_warn_limit_rate(ngx_conf_t *cf,
    ngx_http_flux_loc_conf_t *flcf);
static ngx_int_t ngx_http_flux_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_flux_init_process(ngx_cycle_t *cycle);
static void ngx_http_flux_exit_process(ngx_cycle_t *cycle);
static char *ngx_http_flux_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_flux_positive_msec(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_http_flux_positive_size(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_http_flux_transports_slot(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_flux_stream_handler(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_flux_origin(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_flux_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_conf_post_t  ngx_http_flux_post_msec =
    { ngx_http_flux_positive_msec };

static ngx_conf_post_t  ngx_http_flux_post_size =
    { ngx_http_flux_positive_size };


static ngx_conf_bitmask_t  ngx_http_flux_transports[] = {
    { ngx_string("sse"), NGX_HTTP_FLUX_SSE },
    { ngx_string("websocket"), NGX_HTTP_FLUX_WEBSOCKET },
    { ngx_string("poll"), NGX_HTTP_FLUX_POLL },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_flux_commands[] = {

    { ngx_string("flux_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_flux_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("flux_kafka"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_flux_kafka_block,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("flux_feed"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_flux_feed_block,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("flux_node"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_flux_main_conf_t, node),
      NULL },

    { ngx_string("flux_cache"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_flux_cache,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("flux_drain"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_flux_main_conf_t, drain),
      NULL },

    { ngx_string("flux_io_uring"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_flux_main_conf_t, io_uring),
      NULL },

    { ngx_string("flux_stream"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_flux_stream_handler,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("flux_subscribe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_flux_subscribe,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("flux_transports"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_flux_transports_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_flux_loc_conf_t, transports),
      &ngx_http_flux_transports },

    { ngx_string("flux_heartbeat"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_flux_loc_conf_t, heartbeat),
      &ngx_http_flux_post_msec },

    { ngx_string("flux_pace"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_flux_loc_conf_t, pace),
      NULL },

    { ngx_string("flux_buffer"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_flux_loc_conf_t, buffer),
      NULL },

    { ngx_string("flux_send_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_flux_loc_conf_t, send_timeout),
      &ngx_http_flux_post_msec },

#if (FLUX_TEST_ECHO)
    /* for conformance tests alone: messages go back instead of frames */
    { ngx_string("flux_test_echo"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_flux_loc_conf_t, echo),
      NULL },
#endif

    { ngx_string("flux_compress"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_flux_loc_conf_t, compress),
      NULL },

    { ngx_string("flux_detach"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_flux_loc_conf_t, detach),
      NULL },

    { ngx_string("flux_max_message"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_flux_loc_conf_t, max_message),
      &ngx_http_flux_post_size },

    { ngx_string("flux_origin"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_flux_origin,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("flux_expires"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_flux_loc_conf_t, expires),
      NULL },

    { ngx_string("flux_publish"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE23,
      ngx_http_flux_publish,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("flux_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_flux_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_flux_module_ctx = {
    ngx_http_flux_add_variables,           /* preconfiguration */
    ngx_http_flux_postconfiguration,       /* postconfiguration */

    ngx_http_flux_create_main_conf,        /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_flux_create_loc_conf,         /* create location configuration */
    ngx_http_flux_merge_loc_conf           /* merge location configuration */
};


ngx_module_t  ngx_http_flux_module = {
    NGX_MODULE_V1,
    &ngx_http_flux_module_ctx,             /* module context */
    ngx_http_flux_commands,                /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_flux_init_process,            /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_flux_exit_process,            /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_flux_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_flux_main_conf_t  *fmcf;

    fmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_flux_main_conf_t));
    if (fmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&fmcf->clusters, cf->pool, 2, sizeof(void *)) != NGX_OK
        || ngx_array_init(&fmcf->feeds, cf->pool, 8, sizeof(void *)) != NGX_OK
        || ngx_array_init(&fmcf->locations, cf->pool, 8, sizeof(void *))
           != NGX_OK)
    {
        return NULL;
    }

    fmcf->drain = NGX_CONF_UNSET_MSEC;
    fmcf->io_uring = NGX_CONF_UNSET;

    return fmcf;
}


static void *
ngx_http_flux_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_flux_loc_conf_t  *flcf;

    flcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_flux_loc_conf_t));
    if (flcf == NULL) {
        return NULL;
    }

    flcf->heartbeat = NGX_CONF_UNSET_MSEC;
    flcf->pace = NGX_CONF_UNSET_MSEC;
    flcf->buffer = NGX_CONF_UNSET_SIZE;
    flcf->send_timeout = NGX_CONF_UNSET_MSEC;
    flcf->compress = NGX_CONF_UNSET;
    flcf->detach = NGX_CONF_UNSET;
#if (FLUX_TEST_ECHO)
    flcf->echo = NGX_CONF_UNSET;
#endif
    flcf->origins = NGX_CONF_UNSET_PTR;
    flcf->expires = NGX_CONF_UNSET_PTR;
    flcf->max_message = NGX_CONF_UNSET_SIZE;

    return flcf;
}


static char *
ngx_http_flux_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_flux_loc_conf_t  *prev = parent;
    ngx_http_flux_loc_conf_t  *conf = child;

    ngx_conf_merge_bitmask_value(conf->transports, prev->transports,
                                 (NGX_CONF_BITMASK_SET
                                  |NGX_HTTP_FLUX_ALL_TRANSPORTS));
    ngx_conf_merge_msec_value(conf->heartbeat, prev->heartbeat, 15000);
    ngx_conf_merge_msec_value(conf->pace, prev->pace, 0);
    ngx_conf_merge_size_value(conf->buffer, prev->buffer, 64 * 1024);
    ngx_conf_merge_msec_value(conf->send_timeout, prev->send_timeout, 30000);
    ngx_conf_merge_value(conf->compress, prev->compress, 1);
    ngx_conf_merge_value(conf->detach, prev->detach, 0);
#if (FLUX_TEST_ECHO)
    ngx_conf_merge_value(conf->echo, prev->echo, 0);
#endif
    ngx_conf_merge_ptr_value(conf->origins, prev->origins, NULL);
    ngx_conf_merge_ptr_value(conf->expires, prev->expires, NULL);
    ngx_conf_merge_size_value(conf->max_message, prev->max_message, 16 * 1024);

    conf->core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->streams != NULL) {
        ngx_http_flux_warn_limit_rate(cf, conf);
    }

    return NGX_CONF_OK;
}


/* What is sent past nginx's filters is sent past limit_rate, too. */

static void
ngx_http_flux_warn_limit_rate(ngx_conf_t *cf, ngx_http_flux_loc_conf_t *flcf)
{
    ngx_http_flux_stream_t    *stream = flcf->streams->elts;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->limit_rate == NULL
        || (clcf->limit_rate->lengths == NULL
            && clcf->limit_rate->u.size == 0))
    {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "\"limit_rate\" does not slow down WebSocket and SSE over "
                  "HTTP/1.x of \"flux_stream\" in %s:%ui: \"flux_pace\" does",
                  stream->file, stream->line);
}


static ngx_int_t
ngx_http_flux_postconfiguration(ngx_conf_t *cf)
{
    ngx_uint_t                   i;
    ngx_http_flux_loc_conf_t   **locations;
    ngx_http_flux_main_conf_t   *fmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_flux_module);

    ngx_http_flux_add_header_filter();

    ngx_conf_init_msec_value(fmcf->drain, 10000);
    ngx_conf_init_value(fmcf->io_uring, 1);

    if (fmcf->node.len == 0) {
        fmcf->node = cf->cycle->hostname;
    }

    if (ngx_http_flux_conf_resolve(cf, fmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    locations = fmcf->locations.elts;

    for (i = 0; i < fmcf->locations.nelts; i++) {
        if (ngx_http_flux_conf_resolve_location(cf, fmcf, locations[i])
            != NGX_OK
            || ngx_http_flux_publish_resolve(cf, fmcf, locations[i])
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_http_flux_main_conf_t *
ngx_http_flux_main_conf(ngx_cycle_t *cycle)
{
    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NULL;
    }

    return ngx_http_cycle_get_module_main_conf(cycle, ngx_http_flux_module);
}


static ngx_int_t
ngx_http_flux_init_process(ngx_cycle_t *cycle)
{
    ngx_http_flux_main_conf_t  *fmcf = ngx_http_flux_main_conf(cycle);

    if (fmcf == NULL) {
        return NGX_OK;
    }

    if (ngx_http_flux_producer_watch(cycle, fmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (fmcf->zone == NULL) {
        return NGX_OK;
    }

    if (ngx_http_flux_zone_init_worker(cycle, fmcf, ngx_http_flux_hub_wake)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_flux_trim_init();

    return ngx_http_flux_hub_init(cycle, fmcf);
}


static void
ngx_http_flux_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_flux_main_conf_t  *fmcf = ngx_http_flux_main_conf(cycle);

    if (fmcf != NULL && fmcf->zone != NULL) {
        ngx_http_flux_zone_exit_worker(fmcf);
        ngx_http_flux_hub_exit();
        ngx_http_flux_compress_exit();
    }
}


/* --- directives ---------------------------------------------------------- */

static char *
ngx_http_flux_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    size_t                      least;
    ssize_t                     size;
    ngx_str_t                  *value = cf->args->elts;
    ngx_http_flux_main_conf_t  *fmcf = conf;

    if (fmcf->zone != NULL) {
        return "is duplicate";
    }

    if (value[1].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "flux_zone has no name");
        return NGX_CONF_ERROR;
    }

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid flux_zone size \"%V\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    least = ngx_http_flux_zone_least();

    if ((size_t) size < least) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "flux_zone \"%V\" is too small: %V is less than %uz",
                           &value[1], &value[2], least);
        return NGX_CONF_ERROR;
    }

    return ngx_http_flux_zone_add(cf, fmcf, &value[1], size) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_flux_positive_msec(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t  *value = data;

    return *value ? NGX_CONF_OK : "must not be zero";
}


static char *
ngx_http_flux_positive_size(ngx_conf_t *cf, void *post, void *data)
{
    size_t  *value = data;

    return *value ? NGX_CONF_OK : "must not be zero";
}


static char *
ngx_http_flux_transports_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_flux_loc_conf_t  *flcf = conf;

    /* bits of a second one would be added */

    return flcf->transports ? "is duplicate"
                            : ngx_conf_set_bitmask_slot(cf, cmd, conf);
}


static char *
ngx_http_flux_stream_handler(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_flux_loc_conf_t  *flcf = conf;

    if (flcf->status) {
        return "stands beside flux_status";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (((ngx_http_flux_loc_conf_t *) conf)->publish == NULL) {
        clcf->handler = ngx_http_flux_request_handler;
    }

    return ngx_http_flux_stream(cf, cmd, conf);
}


/* scheme "://" host [ ":" port ] (RFC 6454, 6.2) */

static ngx_uint_t
ngx_http_flux_origin_valid(ngx_str_t *origin)
{
    u_char  *host, *last;

    last = origin->data + origin->len;
    host = (u_char *) ngx_strstr(origin->data, "://");

    return host != NULL && host != origin->data && host + 3 != last
           && ngx_strlchr(host + 3, last, '/') == NULL;
}


/* NULL: same; an empty array: any; otherwise the origins allowed */

static char *
ngx_http_flux_origin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                 *value = cf->args->elts, *origin;
    ngx_uint_t                 i;
    ngx_http_flux_loc_conf_t  *flcf = conf;

    if (flcf->origins != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "same") == 0) {
        flcf->origins = NULL;
        return NGX_CONF_OK;
    }

    flcf->origins = ngx_array_create(cf->pool, cf->args->nelts,
                                     sizeof(ngx_str_t));
    if (flcf->origins == NULL) {
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "any") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "any") == 0) {
            return "has \"any\" among other parameters";
        }

        if (ngx_strcmp(value[i].data, "same") != 0
            && !ngx_http_flux_origin_valid(&value[i]))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid origin \"%V\": \"https://host\" is "
                               "what browsers send", &value[i]);
            return NGX_CONF_ERROR;
        }

        origin = ngx_array_push(flcf->origins);
        *origin = value[i];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_flux_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                 *value = cf->args->elts;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_flux_loc_conf_t  *flcf = conf;

    if (flcf->streams != NULL) {
        return "stands beside flux_stream";
    }

    if (flcf->status) {
        return "is duplicate";
    }

    if (cf->args->nelts == 1 || ngx_strcmp(value[1].data, "json") == 0) {
        flcf->status = NGX_HTTP_FLUX_STATUS_JSON;

    } else if (ngx_strcmp(value[1].data, "prometheus") == 0) {
        flcf->status = NGX_HTTP_FLUX_STATUS_PROMETHEUS;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown flux_status format \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_flux_status_handler;

    return NGX_CONF_OK;
}
