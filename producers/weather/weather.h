/*
 * flux-weather: the weather of cities that somebody reads into flux.weather.
 * What its files share.
 *
 * A city's key is its slug, the room's name in PROTOCOL.md: "paris",
 * "new-york". It lives as long as it is configured or a lease for it lasts.
 */

#ifndef FLUX_WEATHER_H
#define FLUX_WEATHER_H

#include "../common/flux_app.h"
#include "../common/flux_decimal.h"
#include "../common/flux_tree.h"
#include "../common/flux_writer.h"

#define FLUX_SLUG_SIZE    96
#define FLUX_CITIES_MAX   4000
#define FLUX_LEASES_MAX   20000

typedef struct flux_weather_s  flux_weather_t;
typedef struct flux_city_s     flux_city_t;
typedef struct flux_demand_s   flux_demand_t;

struct flux_city_s {
    flux_city_t   *next;
    char           slug[FLUX_SLUG_SIZE];
    int            configured;
    unsigned       leases;
    int            active;          /* asked for, and ours to serve */
    int            replayed;        /* the tape has it: not simulated */

    /* from the geocoder; the provider's own texts */
    int            placed;
    char           name[128];
    char           country[128];
    char           country_code[8];
    char           timezone[64];
    char           latitude[32];
    char           longitude[32];

    /* members of the record, without braces: what was read last */
    char          *forecast;
    char          *air;
    flux_source_t  source;          /* of the forecast */
    flux_source_t  air_source;

    /* the simulation; tenths of a degree */
    int            temperature;
    int            drawn;
    unsigned       sky;
};

typedef struct {
    char          *key;             /* NODE/ROOM */
    flux_city_t   *city;
    int64_t        expires;         /* Unix ms */
} flux_lease_t;

struct flux_weather_s {
    flux_app_t        app;

    flux_list_t       names;        /* --city */
    const char       *geocoding_url;
    const char       *forecast_url;
    const char       *air_url;
    char              key[FLUX_SECRET_SIZE];
    int64_t           forecast_rate;
    int64_t           air_rate;
    int64_t           geocoding_rate;
    int64_t           interval;
    int64_t           air_interval;
    int64_t           hours;
    int64_t           max_cities;
    int               demand_off;
    const char       *group;

    flux_city_t      *cities;
    size_t            cities_count;
    flux_city_t      *next;         /* of the simulation */
    flux_lease_t      leases[FLUX_LEASES_MAX];
    size_t            leases_count;
    int               full;         /* said so */
    flux_timer_t      sweep;

    flux_fetcher_t   *geocoding;
    flux_fetcher_t   *forecast;
    flux_fetcher_t   *air;
    flux_demand_t    *demand;
};

extern const flux_topic_t  flux_topic_weather;
extern const flux_topic_t  flux_topic_demand;

/* cities.c */

flux_city_t *flux_city_find(flux_weather_t *weather, const char *slug);
flux_rc_t flux_city_configure(flux_weather_t *weather, const char *name);

/*
 * A demand record; value NULL is a tombstone. What is not one is skipped.
 */
void flux_city_demanded(flux_weather_t *weather, const char *key,
    size_t key_len, const char *value, size_t len);

/* Leases end, cities come and go. To be called when our share changed. */
void flux_cities_update(flux_weather_t *weather);
void flux_cities_start(flux_weather_t *weather);
void flux_cities_free(flux_weather_t *weather);

/* demand.c */

/*
 * Follows flux.demand.weather. All instances of a group hear all leases;
 * the partitions that the group gives an instance say which cities are its.
 * -1, or the exit code to leave with.
 */
int flux_demand_start(flux_weather_t *weather);
void flux_demand_stop(flux_weather_t *weather);

/* 1 if this instance is to serve a demanded city. */
int flux_demand_is_ours(const flux_weather_t *weather, const char *slug);

/* geocoding.c */
extern const flux_provider_t  flux_geocoding;

/* forecast.c, air.c */
extern const flux_provider_t  flux_forecast;
extern const flux_provider_t  flux_air;

/* open_meteo.c */

/* a fragment: members of a city's record as JSON, without the braces */
#define FLUX_FRAGMENT_MAX  (64 * 1024)

/* Makes one, to be freed with free(); NULL: there is too little in the tree. */
typedef char *(*flux_fragment_pt)(const flux_weather_t *weather,
    const flux_tree_t *tree);

/* Adds the key to a request, if there is one. */
flux_rc_t flux_open_meteo_key(const flux_weather_t *weather,
    flux_request_t *request);

/*
 * Parses a reply and looks for an error inside; why is set unless it is
 * FLUX_REPLY_OK. The tree is the caller's to free in any case.
 */
flux_verdict_t flux_open_meteo_tree(flux_tree_t *tree,
    const flux_reply_t *reply, const char **why);

/* A request about the place of a city; FLUX_AGAIN until it is known. */
flux_rc_t flux_open_meteo_request(flux_weather_t *weather, const char *job,
    flux_request_t *request, const char *url, const char *path,
    const char *query);

/*
 * Makes a fragment of a reply to that. city and fragment, then the caller's,
 * are there with FLUX_REPLY_OK; why is set otherwise.
 */
flux_verdict_t flux_open_meteo_take(flux_weather_t *weather, const char *job,
    const flux_reply_t *reply, flux_fragment_pt make, flux_city_t **city,
    char **fragment, const char **why);

/* Cuts an object's braces off, frees the buffer; NULL: it has no members. */
char *flux_open_meteo_fragment(flux_buffer_t *out);

flux_rc_t flux_open_meteo_start(flux_weather_t *weather);

/* Starts and stops asking for a city. */
void flux_open_meteo_add(flux_weather_t *weather, flux_city_t *city);
void flux_open_meteo_remove(flux_weather_t *weather, flux_city_t *city);

/* After each reply: what --once has to wait for. */
void flux_open_meteo_settled(void *self, flux_fetcher_t *fetcher,
    const char *job, flux_verdict_t verdict);

/* record.c */

/* The text of a WMO weather code (table 4677 as Open-Meteo uses it). */
const char *flux_condition(int64_t code);

/* Writes NAME_c as it is and NAME_f computed; text NULL: null for both. */
void flux_write_temperature(flux_writer_t *w, const char *name,
    const char *text);

/* Publishes what is known of a city: place, forecast, air. */
void flux_weather_publish(flux_weather_t *weather, flux_city_t *city,
    const char *provider);

/* simulated.c */
void flux_weather_simulate(void *arg);
void flux_weather_simulate_city(flux_weather_t *weather, flux_city_t *city);

#endif /* FLUX_WEATHER_H */
