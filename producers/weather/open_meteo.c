/*
 * Open-Meteo, without a key (or with one for its commercial hosts): the
 * geocoder finds a city's place, then its forecast and its air quality are
 * asked for; a file for each, this one has what they share. Errors are
 * {"error":true,"reason":...}, mostly with status 400 or 429.
 */

#include "weather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define FLUX_WEEK_MS   ((int64_t) 7 * 86400 * 1000)
#define FLUX_MONTH_MS  ((int64_t) 30 * 86400 * 1000)

/*
 * The free service allows 10,000 calls a day and 600 a minute, its three
 * hosts together. A start may ask for all of 1,000 cities at once (1,200 of
 * each host), at 3 per second and host; after that the default rates make
 * 6,048 a day, and the cities take turns.
 */
#define FLUX_BURST       1200
#define FLUX_PACE_MILLI  3000


flux_rc_t
flux_open_meteo_key(const flux_weather_t *weather, flux_request_t *request)
{
    size_t  len;
    char    escaped[FLUX_SECRET_SIZE * 3];

    if (weather->key[0] == '\0') {
        return FLUX_OK;
    }

    if (flux_url_escape(escaped, sizeof(escaped), weather->key) != FLUX_OK) {
        return FLUX_FULL;
    }

    len = strlen(request->url);

    return ((size_t) snprintf(request->url + len, sizeof(request->url) - len,
                              "&apikey=%s", escaped)
            < sizeof(request->url) - len) ? FLUX_OK : FLUX_FULL;
}


/* parses and looks for an error inside; the tree is the caller's to free */

flux_verdict_t
flux_open_meteo_tree(flux_tree_t *tree, const flux_reply_t *reply,
    const char **why)
{
    const char         *reason;
    const flux_node_t  *root, *error;

    if (flux_tree_parse(tree, reply->body, reply->len) != FLUX_OK) {
        *why = "not JSON";
        return FLUX_REPLY_INVALID;
    }

    root = flux_tree_root(tree);
    error = flux_tree_member(tree, root, "error");

    if (error == NULL || error->type == FLUX_NODE_FALSE) {
        return FLUX_REPLY_OK;
    }

    reason = flux_tree_string(tree, root, "reason");

    if (reason != NULL && strstr(reason, "limit") != NULL) {
        *why = "asked too often, it says";
        return FLUX_REPLY_LIMITED;
    }

    *why = "an error inside a good status";

    return FLUX_REPLY_TROUBLE;
}


flux_rc_t
flux_open_meteo_request(flux_weather_t *weather, const char *job,
    flux_request_t *request, const char *url, const char *path,
    const char *query)
{
    flux_city_t  *city;

    city = flux_city_find(weather, job);

    if (city == NULL || !city->placed) {
        return FLUX_AGAIN;
    }

    if (flux_request_url(request, url,
                         "%s?latitude=%s&longitude=%s&%s&timezone=auto", path,
                         city->latitude, city->longitude, query) != FLUX_OK)
    {
        return FLUX_FULL;
    }

    return flux_open_meteo_key(weather, request);
}


/* a tape may start with the forecast: then the slug is all that is known */

static flux_city_t *
flux_open_meteo_city(flux_weather_t *weather, const char *job,
    flux_source_t source)
{
    flux_city_t  *city;

    city = flux_city_find(weather, job);

    if (city == NULL && source == FLUX_REPLAY
        && flux_city_configure(weather, job) == FLUX_OK)
    {
        city = flux_city_find(weather, job);
    }

    return city;
}


flux_verdict_t
flux_open_meteo_take(flux_weather_t *weather, const char *job,
    const flux_reply_t *reply, flux_fragment_pt make, flux_city_t **city,
    char **fragment, const char **why)
{
    flux_tree_t     tree;
    flux_verdict_t  verdict;

    *city = flux_open_meteo_city(weather, job, reply->source);
    if (*city == NULL) {
        return FLUX_REPLY_REFUSED;
    }

    verdict = flux_open_meteo_tree(&tree, reply, why);

    if (verdict == FLUX_REPLY_OK) {
        *fragment = make(weather, &tree);

        if (*fragment == NULL) {
            *why = "fields are missing or not what they should be";
            verdict = FLUX_REPLY_INVALID;
        }
    }

    flux_tree_free(&tree);

    return verdict;
}


char *
flux_open_meteo_fragment(flux_buffer_t *out)
{
    char  *fragment;

    fragment = NULL;

    if (out->failed == FLUX_OK && out->len > 2) {
        fragment = strndup(out->data + 1, out->len - 2);
    }

    flux_buffer_free(out);

    return fragment;
}


void
flux_open_meteo_add(flux_weather_t *weather, flux_city_t *city)
{
    if (!city->active || !flux_fallback_asks(&weather->app.fallback)) {
        return;
    }

    flux_fallback_begin(&weather->app.fallback);

    flux_fetcher_add(weather->geocoding, city->slug, FLUX_WEEK_MS, 0);

    if (!city->placed) {
        return;
    }

    flux_fetcher_add(weather->air, city->slug, weather->air_interval, 0);

    /* --once prints one record per city: the air has to be there first */

    if (!weather->app.settings.once) {
        flux_fetcher_add(weather->forecast, city->slug, weather->interval, 0);
    }
}


void
flux_open_meteo_settled(void *self, flux_fetcher_t *fetcher, const char *job,
    flux_verdict_t verdict)
{
    flux_weather_t        *weather = self;
    flux_fetcher_stats_t   stats;

    if (!weather->app.settings.once || fetcher != weather->air) {
        return;
    }

    flux_fetcher_stats(fetcher, &stats);

    if (verdict == FLUX_REPLY_OK || stats.given_up > 0) {
        flux_fetcher_add(weather->forecast, job, weather->interval, 0);

        /* what the air is like is no reason to fail */

        flux_fetcher_remove(weather->air, job);
    }
}


void
flux_open_meteo_remove(flux_weather_t *weather, flux_city_t *city)
{
    flux_fetcher_remove(weather->geocoding, city->slug);
    flux_fetcher_remove(weather->forecast, city->slug);
    flux_fetcher_remove(weather->air, city->slug);
}


static flux_fetcher_t *
flux_open_meteo_fetcher(flux_weather_t *weather,
    const flux_provider_t *provider, int64_t rate, int64_t ttl)
{
    flux_fetcher_options_t  options;

    memset(&options, 0, sizeof(options));
    options.provider = provider;
    options.self = weather;
    options.rate_milli = rate;
    options.burst = FLUX_BURST;
    options.pace_milli = FLUX_PACE_MILLI;
    options.parallel = 4;
    options.cache_ttl = ttl;

    return flux_app_fetcher(&weather->app, &options);
}


flux_rc_t
flux_open_meteo_start(flux_weather_t *weather)
{
    weather->geocoding = flux_open_meteo_fetcher(weather, &flux_geocoding,
                                                 weather->geocoding_rate,
                                                 FLUX_MONTH_MS);
    weather->forecast = flux_open_meteo_fetcher(weather, &flux_forecast,
                                                weather->forecast_rate,
                                                weather->interval * 4);
    weather->air = flux_open_meteo_fetcher(weather, &flux_air,
                                           weather->air_rate,
                                           weather->air_interval * 2);

    return (weather->geocoding != NULL && weather->forecast != NULL
            && weather->air != NULL) ? FLUX_OK : FLUX_NOMEM;
}
