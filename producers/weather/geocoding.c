/* Open-Meteo's geocoder: from a city's name to its place. */

#include "weather.h"

#include <stdio.h>
#include <string.h>


static flux_rc_t flux_geocoding_build(void *self, const char *job,
    flux_request_t *request);
static flux_verdict_t flux_geocoding_parse(void *self, const char *job,
    const flux_reply_t *reply, const char **why);


const flux_provider_t  flux_geocoding = {
    "open-meteo-geocoding",
    flux_geocoding_build,
    flux_geocoding_parse
};


/* a slug is a name with hyphens for spaces: the geocoder wants the spaces */

static flux_rc_t
flux_geocoding_build(void *self, const char *job, flux_request_t *request)
{
    char             name[FLUX_SLUG_SIZE], escaped[FLUX_SLUG_SIZE * 3], *p;
    flux_weather_t  *weather = self;

    if (flux_copy_text(name, sizeof(name), job) != FLUX_OK) {
        return FLUX_FULL;
    }

    for (p = name; *p != '\0'; p++) {
        if (*p == '-') {
            *p = ' ';
        }
    }

    if (flux_url_escape(escaped, sizeof(escaped), name) != FLUX_OK
        || flux_request_url(request, weather->geocoding_url,
                            "/v1/search?name=%s&count=1&language=en"
                            "&format=json", escaped) != FLUX_OK)
    {
        return FLUX_FULL;
    }

    return flux_open_meteo_key(weather, request);
}


static void
flux_geocoding_text(const flux_tree_t *tree, const flux_node_t *node,
    const char *name, char *out, size_t size)
{
    const char  *text;

    text = flux_tree_string(tree, node, name);

    /* a text that does not fit is left out, never cut inside a character */

    if (text == NULL || flux_copy_text(out, size, text) != FLUX_OK) {
        out[0] = '\0';
    }
}


static flux_rc_t
flux_geocoding_place(flux_city_t *city, const flux_tree_t *tree,
    const flux_node_t *place)
{
    const char      *latitude, *longitude;
    flux_decimal_t   d;

    latitude = flux_tree_number(tree, place, "latitude");
    longitude = flux_tree_number(tree, place, "longitude");

    if (latitude == NULL || longitude == NULL
        || flux_tree_string(tree, place, "name") == NULL
        || flux_decimal_parse(&d, latitude) != FLUX_OK
        || flux_decimal_parse(&d, longitude) != FLUX_OK
        || strlen(latitude) >= sizeof(city->latitude)
        || strlen(longitude) >= sizeof(city->longitude))
    {
        return FLUX_INVALID;
    }

    flux_copy_text(city->latitude, sizeof(city->latitude), latitude);
    flux_copy_text(city->longitude, sizeof(city->longitude), longitude);

    flux_geocoding_text(tree, place, "name", city->name, sizeof(city->name));
    flux_geocoding_text(tree, place, "country", city->country,
                        sizeof(city->country));
    flux_geocoding_text(tree, place, "country_code", city->country_code,
                        sizeof(city->country_code));
    flux_geocoding_text(tree, place, "timezone", city->timezone,
                        sizeof(city->timezone));

    if (city->name[0] == '\0') {
        return FLUX_INVALID;
    }

    city->placed = 1;

    return FLUX_OK;
}


static flux_verdict_t
flux_geocoding_parse(void *self, const char *job, const flux_reply_t *reply,
    const char **why)
{
    flux_city_t         *city;
    flux_tree_t          tree;
    flux_verdict_t       verdict;
    flux_weather_t      *weather = self;
    const flux_node_t   *place;

    city = flux_city_find(weather, job);
    if (city == NULL) {
        return FLUX_REPLY_REFUSED;
    }

    verdict = flux_open_meteo_tree(&tree, reply, why);

    if (verdict == FLUX_REPLY_OK) {
        place = flux_tree_item(&tree,
                               flux_tree_member(&tree,
                                                flux_tree_root(&tree),
                                                "results"), 0);

        if (place == NULL) {
            *why = "no such city";
            verdict = FLUX_REPLY_REFUSED;

        } else if (flux_geocoding_place(city, &tree, place) != FLUX_OK) {
            *why = "fields are missing or not what they should be";
            verdict = FLUX_REPLY_INVALID;

        } else if (reply->source == FLUX_LIVE) {
            flux_open_meteo_add(weather, city);
        }
    }

    flux_tree_free(&tree);

    return verdict;
}
