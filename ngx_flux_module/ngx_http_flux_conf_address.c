/*
 * Addresses of flux_stream, patterns of flux_subscribe, and what can only be
 * resolved once all of nginx.conf is read.
 */

#include "ngx_http_flux_conf.h"

#include "core/flux_json.h"


#define ngx_http_flux_conf_error(cf, file, line, fmt, ...)                    \
    ngx_log_error(NGX_LOG_EMERG, (cf)->log, 0, fmt " in %s:%ui", __VA_ARGS__, \
                  file, line)


static ngx_int_t ngx_http_flux_conf_location(ngx_conf_t *cf,
    ngx_http_flux_loc_conf_t *flcf);
static uint64_t ngx_http_flux_signature(ngx_http_flux_feed_t *feed);


char *
ngx_http_flux_stream(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                         *value = cf->args->elts;
    ngx_uint_t                         i;
    ngx_http_flux_stream_t            *stream;
    ngx_http_flux_loc_conf_t          *flcf = conf;
    ngx_http_compile_complex_value_t   ccv;

    if (flcf->streams != NULL) {
        return "is duplicate";
    }

    if (cf->args->nelts - 1 > NGX_HTTP_FLUX_ROOMS_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "more than %d rooms in \"flux_stream\"",
                           NGX_HTTP_FLUX_ROOMS_MAX);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_flux_conf_location(cf, flcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    flcf->streams = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                     sizeof(ngx_http_flux_stream_t));
    if (flcf->streams == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        stream = ngx_array_push(flcf->streams);

        ngx_memzero(stream, sizeof(ngx_http_flux_stream_t));
        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        stream->file = cf->conf_file->file.name.data;
        stream->line = cf->conf_file->line;

        ccv.cf = cf;
        ccv.value = &value[i];
        ccv.complex_value = &stream->value;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* A location whose addresses are looked up once all feeds are known. */

static ngx_int_t
ngx_http_flux_conf_location(ngx_conf_t *cf, ngx_http_flux_loc_conf_t *flcf)
{
    ngx_http_flux_loc_conf_t   **location;
    ngx_http_flux_main_conf_t   *fmcf;

    if (flcf->streams != NULL || flcf->patterns != NULL) {
        return NGX_OK;
    }

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_flux_module);

    location = ngx_array_push(&fmcf->locations);
    if (location == NULL) {
        return NGX_ERROR;
    }

    *location = flcf;

    return NGX_OK;
}


char *
ngx_http_flux_subscribe(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                 *value = cf->args->elts;
    ngx_uint_t                 i;
    ngx_http_flux_pattern_t   *pattern;
    ngx_http_flux_loc_conf_t  *flcf = conf;

    if (ngx_http_flux_conf_location(cf, flcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (flcf->patterns == NULL) {
        flcf->patterns = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                          sizeof(ngx_http_flux_pattern_t));
        if (flcf->patterns == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    for (i = 1; i < cf->args->nelts; i++) {

        pattern = ngx_array_push(flcf->patterns);
        if (pattern == NULL) {
            return NGX_CONF_ERROR;
        }

        pattern->text = value[i];
        pattern->feed = NULL;
        pattern->file = cf->conf_file->file.name.data;
        pattern->line = cf->conf_file->line;
    }

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_http_flux_valid_room(ngx_str_t *room)
{
    size_t  i;

    if (room->len == 0 || room->len > NGX_HTTP_FLUX_ROOM_MAX
        || !flux_utf8_valid(room->data, room->len))
    {
        return 0;
    }

    for (i = 0; i < room->len; i++) {
        if (room->data[i] < 0x20 || room->data[i] == 0x7f) {
            return 0;
        }
    }

    return 1;
}


/*
 * Splits an address in its feed and room (an empty one: none) and says what is
 * wrong with it, or NULL.
 */

static char *
ngx_http_flux_split(ngx_http_flux_main_conf_t *fmcf, ngx_str_t *address,
    ngx_http_flux_feed_t **feed, ngx_str_t *room)
{
    u_char  *slash;

    slash = ngx_strlchr(address->data, address->data + address->len, '/');

    *feed = ngx_http_flux_find_feed(fmcf, address->data,
                                    slash ? (size_t) (slash - address->data)
                                          : address->len);
    if (*feed == NULL) {
        return "unknown feed in";
    }

    ngx_str_null(room);

    if (slash != NULL) {
        room->data = slash + 1;
        room->len = address->data + address->len - room->data;
    }

    if ((*feed)->room_rule == NGX_HTTP_FLUX_ROOM_NONE) {
        return slash ? "a room of a feed that is not split in" : NULL;
    }

    if (room->len == 0) {
        return "no room of a split feed in";
    }

    return ngx_http_flux_valid_room(room) ? NULL : "invalid room in";
}


ngx_int_t
ngx_http_flux_conf_resolve_location(ngx_conf_t *cf,
    ngx_http_flux_main_conf_t *fmcf, ngx_http_flux_loc_conf_t *flcf)
{
    char                     *error;
    u_char                   *slash;
    ngx_str_t                 room, *text;
    ngx_uint_t                i;
    ngx_http_flux_stream_t   *stream;
    ngx_http_flux_pattern_t  *pattern;

    stream = flcf->streams ? flcf->streams->elts : NULL;

    for (i = 0; stream != NULL && i < flcf->streams->nelts; i++) {

        text = &stream[i].value.value;

        if (stream[i].value.lengths != NULL) {

            /* with variables: what stands before them may still tell */

            slash = ngx_strlchr(text->data, text->data + text->len, '/');

            if (slash == NULL
                || ngx_strlchr(text->data, slash, '$') != NULL)
            {
                continue;
            }
        }

        error = ngx_http_flux_split(fmcf, text, &stream[i].feed, &room);

        if (error != NULL) {
            ngx_http_flux_conf_error(cf, stream[i].file, stream[i].line,
                                     "%s \"flux_stream %V\"", error, text);
            return NGX_ERROR;
        }

        stream[i].feed = stream[i].value.lengths ? NULL : stream[i].feed;
    }

    pattern = flcf->patterns ? flcf->patterns->elts : NULL;

    if (pattern != NULL && stream == NULL) {
        ngx_http_flux_conf_error(cf, pattern[0].file, pattern[0].line,
                                 "no flux_stream beside \"flux_subscribe %V\"",
                                 &pattern[0].text);
        return NGX_ERROR;
    }

    for (i = 0; pattern != NULL && i < flcf->patterns->nelts; i++) {

        text = &pattern[i].text;
        error = ngx_http_flux_split(fmcf, text, &pattern[i].feed,
                                    &pattern[i].room);
        if (error != NULL) {
            ngx_http_flux_conf_error(cf, pattern[i].file, pattern[i].line,
                                     "%s \"flux_subscribe %V\"", error, text);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Another signature is another log, read anew. */

static uint64_t
ngx_http_flux_signature(ngx_http_flux_feed_t *feed)
{
    uint64_t    hash;
    ngx_str_t  *topic = feed->topics.elts;
    ngx_uint_t  i;

    hash = flux_hash(FLUX_HASH_START, feed->name.data, feed->name.len + 1);
    hash = flux_hash(hash, feed->cluster->name.data,
                     feed->cluster->name.len + 1);

    for (i = 0; i < feed->topics.nelts; i++) {
        hash = flux_hash(hash, topic[i].data, topic[i].len + 1);
    }

    hash = flux_hash(hash, &feed->room_rule, sizeof(feed->room_rule));
    hash = flux_hash(hash, feed->room_source.data, feed->room_source.len);
    hash = flux_hash(hash, &feed->retain, sizeof(feed->retain));
    hash = flux_hash(hash, &feed->start, sizeof(feed->start));
    hash = flux_hash(hash, &feed->format, sizeof(feed->format));

    return hash ? hash : 1;
}


ngx_int_t
ngx_http_flux_conf_resolve(ngx_conf_t *cf, ngx_http_flux_main_conf_t *fmcf)
{
    ngx_uint_t                 i;
    ngx_http_flux_feed_t     **feeds = fmcf->feeds.elts, *feed;
    ngx_http_flux_cluster_t  **clusters = fmcf->clusters.elts;

    for (i = 0; i < fmcf->feeds.nelts; i++) {
        feed = feeds[i];

        if (fmcf->zone == NULL) {
            ngx_http_flux_conf_error(cf, feed->file, feed->line,
                                     "flux_feed \"%V\" needs a flux_zone",
                                     &feed->name);
            return NGX_ERROR;
        }

        if (feed->cluster_name.len) {
            feed->cluster = ngx_http_flux_find_cluster(fmcf,
                                                       &feed->cluster_name);

            if (feed->cluster == NULL) {
                ngx_http_flux_conf_error(cf, feed->file, feed->cluster_line,
                                 "unknown flux_kafka \"%V\" of flux_feed "
                                 "\"%V\"", &feed->cluster_name, &feed->name);
                return NGX_ERROR;
            }

        } else if (fmcf->clusters.nelts == 1) {
            feed->cluster = clusters[0];

        } else {
            ngx_http_flux_conf_error(cf, feed->file, feed->line,
                             "flux_feed \"%V\" does not say which of %ui "
                             "flux_kafka it reads", &feed->name,
                             fmcf->clusters.nelts);
            return NGX_ERROR;
        }

        feed->signature = ngx_http_flux_signature(feed);
    }

    return NGX_OK;
}
