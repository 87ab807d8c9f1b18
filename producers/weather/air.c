/* Open-Meteo's air quality of a city. */

#include "weather.h"

#include <stdlib.h>


static flux_rc_t flux_air_build(void *self, const char *job,
    flux_request_t *request);
static flux_verdict_t flux_air_parse(void *self, const char *job,
    const flux_reply_t *reply, const char **why);


const flux_provider_t  flux_air = {
    "open-meteo-air",
    flux_air_build,
    flux_air_parse
};


static flux_rc_t
flux_air_build(void *self, const char *job, flux_request_t *request)
{
    flux_weather_t  *weather = self;

    return flux_open_meteo_request(weather, job, request, weather->air_url,
                                   "/v1/air-quality",
                                   "current=us_aqi,european_aqi,pm2_5,pm10");
}


static char *
flux_air_fragment(const flux_weather_t *weather, const flux_tree_t *tree)
{
    flux_buffer_t        out;
    flux_writer_t        w;
    const flux_node_t   *current;

    (void) weather;

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
    flux_verdict_t   verdict;
    flux_weather_t  *weather = self;

    verdict = flux_open_meteo_take(weather, job, reply, flux_air_fragment,
                                   &city, &fragment, why);

    if (verdict != FLUX_REPLY_OK) {
        return verdict;
    }

    free(city->air);
    city->air = fragment;
    city->air_source = reply->source;

    /* a live forecast goes with live air, a replayed with replayed */

    if (city->source == reply->source) {
        flux_weather_publish(weather, city, flux_forecast.name);
    }

    return FLUX_REPLY_OK;
}
