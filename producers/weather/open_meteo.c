/*
 * Open-Meteo, without a key (or with one for its commercial hosts): the
 * geocoder finds a city's place, then its forecast and its air quality are
 * asked for. Numbers are JSON numbers there and stay the text they are.
 * Errors are {"error":true,"reason":...}, mostly with status 400 or 429.
 */

#include "weather.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define FLUX_WEEK_MS   ((int64_t) 7 * 86400 * 1000)
#define FLUX_MONTH_MS  ((int64_t) 30 * 86400 * 1000)

#define FLUX_FRAGMENT_MAX  (64 * 1024)

/*
 * The free service allows 10,000 calls a day and 600 a minute, its three
 * hosts together. A start may ask for all of 1,000 cities at once (1,200 of
 * each host), at 3 per second and host; after that the default rates make
 * 6,048 a day, and the cities take turns.
 */
#define FLUX_BURST       1200
#define FLUX_PACE_MILLI  3000


typedef struct {
    const char  *from;      /* Open-Meteo's variable */
    const char  *to;        /* ours */
} flux_variable_t;


static flux_rc_t flux_forecast_build(void *self, const char *job,
    flux_request_t *request);
static flux_verdict_t flux_forecast_parse(void *self, const char *job,
    const flux_reply_t *reply, const char **why);
static flux_rc_t flux_air_build(void *self, const char *job,
    flux_request_t *request);
static flux_verdict_t flux_air_parse(void *self, const char *job,
    const flux_reply_t *reply, const char **why);


const flux_provider_t  flux_forecast = {
    "open-meteo",
    flux_forecast_build,
    flux_forecast_parse
};

const flux_provider_t  flux_air = {
    "open-meteo-air",
    flux_air_build,
    flux_air_parse
};


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


static flux_rc_t
flux_forecast_build(void *self, const char *job, flux_request_t *request)
{
    flux_city_t     *city;
    flux_weather_t  *weather = self;

    city = flux_city_find(weather, job);

    if (city == NULL || !city->placed) {
        return FLUX_AGAIN;
    }

    if (flux_request_url(request, weather->forecast_url,
                         "/v1/forecast?latitude=%s&longitude=%s"
                         "&current=temperature_2m,apparent_temperature,"
                         "relative_humidity_2m,is_day,precipitation,"
                         "weather_code,cloud_cover,pressure_msl,visibility,"
                         "wind_speed_10m,wind_direction_10m,wind_gusts_10m"
                         "&hourly=temperature_2m,weather_code,"
                         "precipitation_probability"
                         "&daily=sunrise,sunset,temperature_2m_max,"
                         "temperature_2m_min"
                         "&forecast_days=2&timezone=auto",
                         city->latitude, city->longitude) != FLUX_OK)
    {
        return FLUX_FULL;
    }

    return flux_open_meteo_key(weather, request);
}


/* a member of the first day; Open-Meteo gives an array per variable */

static const flux_node_t *
flux_forecast_day(const flux_tree_t *tree, const char *name)
{
    const flux_node_t  *daily;

    daily = flux_tree_member(tree, flux_tree_root(tree), "daily");

    return flux_tree_item(tree, flux_tree_member(tree, daily, name), 0);
}


static const char *
flux_node_text(const flux_node_t *node, flux_node_type_t type)
{
    return (node != NULL && node->type == type) ? node->text : NULL;
}


static void
flux_forecast_hour(flux_writer_t *w, const flux_tree_t *tree,
    const flux_node_t *hourly, size_t i)
{
    int64_t             code;
    const flux_node_t  *node;

    flux_write_object(w, NULL);

    node = flux_tree_item(tree, flux_tree_member(tree, hourly, "time"), i);
    flux_write_text(w, "time", flux_node_text(node, FLUX_NODE_STRING));

    node = flux_tree_item(tree, flux_tree_member(tree, hourly,
                                                 "temperature_2m"), i);
    flux_write_temperature(w, "temperature",
                           flux_node_text(node, FLUX_NODE_NUMBER));

    node = flux_tree_item(tree, flux_tree_member(tree, hourly,
                                                 "weather_code"), i);

    if (flux_node_int(node, &code) == FLUX_OK) {
        flux_write_int(w, "code", code);
        flux_write_text(w, "condition", flux_condition(code));

    } else {
        flux_write_null(w, "code");
        flux_write_null(w, "condition");
    }

    node = flux_tree_item(tree, flux_tree_member(tree, hourly,
                                                 "precipitation_probability"),
                          i);
    flux_write_number(w, "precipitation_probability",
                      flux_node_text(node, FLUX_NODE_NUMBER));

    flux_write_end(w);
}


/*
 * The hours from the current one on. Times are local, as 2026-11-25T13:15:
 * the hour is what two of them have in common up to the colon.
 */

static void
flux_forecast_hours(flux_writer_t *w, const flux_tree_t *tree,
    const char *now, size_t max)
{
    size_t              i, n;
    const flux_node_t  *hourly, *times, *time;

    hourly = flux_tree_member(tree, flux_tree_root(tree), "hourly");
    times = flux_tree_member(tree, hourly, "time");

    flux_write_array(w, "hours");
    i = n = 0;

    for (time = flux_tree_first(tree, times);
         time != NULL && n < max;
         time = flux_tree_next(tree, times, time))
    {
        if (time->type == FLUX_NODE_STRING
            && strncmp(time->text, now, sizeof("YYYY-MM-DDTHH") - 1) > 0)
        {
            flux_forecast_hour(w, tree, hourly, i);
            n++;
        }

        i++;
    }

    flux_write_end(w);
}


static void
flux_forecast_current(flux_writer_t *w, const flux_tree_t *tree,
    const flux_node_t *current)
{
    size_t   i;
    int64_t  n;

    static const flux_variable_t  numbers[] = {
        { "relative_humidity_2m", "humidity" },
        { "wind_speed_10m", "wind_kmh" },
        { "wind_direction_10m", "wind_direction" },
        { "wind_gusts_10m", "gusts_kmh" },
        { "pressure_msl", "pressure_hpa" },
        { "visibility", "visibility_m" },
        { "cloud_cover", "cloud_cover" },
        { "precipitation", "precipitation_mm" }
    };

    flux_write_temperature(w, "temperature",
                           flux_tree_number(tree, current, "temperature_2m"));
    flux_write_temperature(w, "feels_like",
                           flux_tree_number(tree, current,
                                            "apparent_temperature"));

    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        flux_write_number(w, numbers[i].to,
                          flux_tree_number(tree, current, numbers[i].from));
    }

    if (flux_tree_int(tree, current, "is_day", &n) == FLUX_OK) {
        flux_write_bool(w, "is_day", n != 0);

    } else {
        flux_write_null(w, "is_day");
    }

    if (flux_tree_int(tree, current, "weather_code", &n) == FLUX_OK) {
        flux_write_int(w, "code", n);
        flux_write_text(w, "condition", flux_condition(n));
    }
}


/* the record's members between braces that are cut off: FLUX_INVALID if not */

static char *
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


static char *
flux_forecast_fragment(const flux_weather_t *weather, const flux_tree_t *tree)
{
    const char          *now;
    flux_buffer_t        out;
    flux_writer_t        w;
    const flux_node_t   *current;

    current = flux_tree_member(tree, flux_tree_root(tree), "current");
    now = flux_tree_string(tree, current, "time");

    flux_buffer_init(&out, FLUX_FRAGMENT_MAX);
    flux_writer_init(&w, &out);
    flux_write_object(&w, NULL);

    flux_write_text(&w, "time", now);
    flux_write_number(&w, "utc_offset_seconds",
                      flux_tree_number(tree, flux_tree_root(tree),
                                       "utc_offset_seconds"));
    flux_forecast_current(&w, tree, current);

    flux_write_temperature(&w, "high",
                           flux_node_text(flux_forecast_day(tree,
                                          "temperature_2m_max"),
                                          FLUX_NODE_NUMBER));
    flux_write_temperature(&w, "low",
                           flux_node_text(flux_forecast_day(tree,
                                          "temperature_2m_min"),
                                          FLUX_NODE_NUMBER));
    flux_write_text(&w, "sunrise",
                    flux_node_text(flux_forecast_day(tree, "sunrise"),
                                   FLUX_NODE_STRING));
    flux_write_text(&w, "sunset",
                    flux_node_text(flux_forecast_day(tree, "sunset"),
                                   FLUX_NODE_STRING));
    flux_forecast_hours(&w, tree, now, (size_t) weather->hours);

    flux_write_end(&w);

    return flux_open_meteo_fragment(&out);
}


/* without these there is no weather to speak of */

static flux_rc_t
flux_forecast_check(const flux_tree_t *tree)
{
    int64_t              code;
    const char          *time;
    const flux_node_t   *current;

    current = flux_tree_member(tree, flux_tree_root(tree), "current");
    time = flux_tree_string(tree, current, "time");

    if (time == NULL || strlen(time) < sizeof("YYYY-MM-DDTHH") - 1
        || !isdigit((unsigned char) time[0])
        || flux_tree_number(tree, current, "temperature_2m") == NULL
        || flux_tree_int(tree, current, "weather_code", &code) != FLUX_OK)
    {
        return FLUX_INVALID;
    }

    return FLUX_OK;
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


static flux_verdict_t
flux_forecast_parse(void *self, const char *job, const flux_reply_t *reply,
    const char **why)
{
    char            *fragment;
    flux_city_t     *city;
    flux_tree_t      tree;
    flux_verdict_t   verdict;
    flux_weather_t  *weather = self;

    city = flux_open_meteo_city(weather, job, reply->source);
    if (city == NULL) {
        return FLUX_REPLY_REFUSED;
    }

    verdict = flux_open_meteo_tree(&tree, reply, why);

    if (verdict == FLUX_REPLY_OK) {
        fragment = (flux_forecast_check(&tree) == FLUX_OK)
                   ? flux_forecast_fragment(weather, &tree) : NULL;

        if (fragment == NULL) {
            *why = "fields are missing or not what they should be";
            verdict = FLUX_REPLY_INVALID;

        } else {
            free(city->forecast);
            city->forecast = fragment;
            city->source = reply->source;
            city->replayed = (reply->source == FLUX_REPLAY);
            flux_weather_publish(weather, city, flux_forecast.name);
        }
    }

    flux_tree_free(&tree);

    return verdict;
}


static flux_rc_t
flux_air_build(void *self, const char *job, flux_request_t *request)
{
    flux_city_t     *city;
    flux_weather_t  *weather = self;

    city = flux_city_find(weather, job);

    if (city == NULL || !city->placed) {
        return FLUX_AGAIN;
    }

    if (flux_request_url(request, weather->air_url,
                         "/v1/air-quality?latitude=%s&longitude=%s"
                         "&current=us_aqi,european_aqi,pm2_5,pm10"
                         "&timezone=auto",
                         city->latitude, city->longitude) != FLUX_OK)
    {
        return FLUX_FULL;
    }

    return flux_open_meteo_key(weather, request);
}


static char *
flux_air_fragment(const flux_tree_t *tree)
{
    flux_buffer_t        out;
    flux_writer_t        w;
    const flux_node_t   *current;

    current = flux_tree_member(tree, flux_tree_root(tree), "current");

    if (flux_tree_number(tree, current, "us_aqi") == NULL
        && flux_tree_number(tree, current, "european_aqi") == NULL)
    {
        return NULL;
    }

    flux_buffer_init(&out, FLUX_FRAGMENT_MAX);
    flux_writer_init(&w, &out);
    flux_write_object(&w, NULL);
    flux_write_number(&w, "aqi", flux_tree_number(tree, current, "us_aqi"));
    flux_write_number(&w, "european_aqi",
                      flux_tree_number(tree, current, "european_aqi"));
    flux_write_number(&w, "pm2_5", flux_tree_number(tree, current, "pm2_5"));
    flux_write_number(&w, "pm10", flux_tree_number(tree, current, "pm10"));
    flux_write_end(&w);

    return flux_open_meteo_fragment(&out);
}


static flux_verdict_t
flux_air_parse(void *self, const char *job, const flux_reply_t *reply,
    const char **why)
{
    char            *fragment;
    flux_city_t     *city;
    flux_tree_t      tree;
    flux_verdict_t   verdict;
    flux_weather_t  *weather = self;

    city = flux_open_meteo_city(weather, job, reply->source);
    if (city == NULL) {
        return FLUX_REPLY_REFUSED;
    }

    verdict = flux_open_meteo_tree(&tree, reply, why);

    if (verdict == FLUX_REPLY_OK) {
        fragment = flux_air_fragment(&tree);

        if (fragment == NULL) {
            *why = "fields are missing or not what they should be";
            verdict = FLUX_REPLY_INVALID;

        } else {
            free(city->air);
            city->air = fragment;

            /* a live forecast goes with live air, a replayed with replayed */

            if (city->source == reply->source) {
                flux_weather_publish(weather, city, flux_forecast.name);
            }
        }
    }

    flux_tree_free(&tree);

    return verdict;
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
