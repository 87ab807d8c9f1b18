/*
 * Open-Meteo's forecast: what the sky is like in a city, and will be. Numbers
 * are JSON numbers there and stay the text they are.
 */

#include "weather.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>


typedef struct {
    const char  *from;      /* Open-Meteo's variable */
    const char  *to;        /* ours */
} flux_variable_t;


static flux_rc_t flux_forecast_build(void *self, const char *job,
    flux_request_t *request);
static flux_verdict_t flux_forecast_parse(void *self, const char *job,
    const flux_reply_t *reply, const char **why);


const flux_provider_t  flux_forecast = {
    "open-meteo",
    flux_forecast_build,
    flux_forecast_parse
};


static flux_rc_t
flux_forecast_build(void *self, const char *job, flux_request_t *request)
{
    flux_weather_t  *weather = self;

    return flux_open_meteo_request(weather, job, request,
                                   weather->forecast_url, "/v1/forecast",
                                   "current=temperature_2m,"
                                   "apparent_temperature,"
                                   "relative_humidity_2m,is_day,"
                                   "precipitation,weather_code,cloud_cover,"
                                   "pressure_msl,visibility,wind_speed_10m,"
                                   "wind_direction_10m,wind_gusts_10m"
                                   "&hourly=temperature_2m,weather_code,"
                                   "precipitation_probability"
                                   "&daily=sunrise,sunset,temperature_2m_max,"
                                   "temperature_2m_min&forecast_days=2");
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


static char *
flux_forecast_fragment(const flux_weather_t *weather, const flux_tree_t *tree)
{
    const char          *now;
    flux_buffer_t        out;
    flux_writer_t        w;
    const flux_node_t   *current;

    if (flux_forecast_check(tree) != FLUX_OK) {
        return NULL;
    }

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


static flux_verdict_t
flux_forecast_parse(void *self, const char *job, const flux_reply_t *reply,
    const char **why)
{
    char            *fragment;
    flux_city_t     *city;
    flux_verdict_t   verdict;
    flux_weather_t  *weather = self;

    verdict = flux_open_meteo_take(weather, job, reply, flux_forecast_fragment,
                                   &city, &fragment, why);

    if (verdict == FLUX_REPLY_OK) {
        free(city->forecast);
        city->forecast = fragment;
        city->source = reply->source;
        city->replayed = (reply->source == FLUX_REPLAY);
        flux_weather_publish(weather, city, flux_forecast.name);
    }

    return verdict;
}
