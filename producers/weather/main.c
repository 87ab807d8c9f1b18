#include "weather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static const char *const  flux_weather_config[] = {
    "cleanup.policy", "compact,delete",
    "retention.ms", "86400000",             /* a city nobody reads leaves */
    "segment.ms", "3600000",
    NULL
};

static const char *const  flux_demand_config[] = {
    "cleanup.policy", "compact,delete",
    "retention.ms", "3600000",              /* leases last a minute */
    "segment.ms", "600000",
    NULL
};

const flux_topic_t  flux_topic_weather = {
    "flux.weather", flux_weather_config, 0
};

/* as many partitions as instances may ever share the cities */

const flux_topic_t  flux_topic_demand = {
    "flux.demand.weather", flux_demand_config, 12
};

static const flux_topic_t *const  flux_weather_topics[] = {
    &flux_topic_weather,
    &flux_topic_demand
};

static const char  flux_weather_summary[] =
    "Writes the weather of cities to the Kafka topic flux.weather, one record\n"
    "per city and look at it, its key the city as a room's name (new-york).\n"
    "It serves the cities that readers are in (flux.demand.weather) and those\n"
    "of --city, nothing else. The data come from Open-Meteo; no key is needed.";

static const char  flux_weather_examples[] =
    "  flux-weather --brokers kafka-1:9092 --cache redis://127.0.0.1\n"
    "  flux-weather --city Paris --print --once | jq .temperature_c\n"
    "  flux-weather --city 'New York,Seattle' --no-demand\n";


static int
flux_weather_options(flux_weather_t *weather, int argc, char *const argv[])
{
    flux_app_t  *app;

    app = &weather->app;

    const flux_option_t  own[] = {
        { FLUX_OPTION_GROUP, "What to fetch:", NULL, NULL, NULL, 0, 0, NULL },
        { FLUX_OPTION_LIST, "city", "NAME,...",
          "cities to serve whether somebody reads them or not",
          &weather->names, 0, 0, NULL },
        { FLUX_OPTION_FLAG, "no-demand", NULL,
          "do not read flux.demand.weather", &weather->demand_off, 0, 0,
          NULL },
        { FLUX_OPTION_TEXT, "group", "NAME",
          "instances of one group share the cities (flux-weather)",
          &weather->group, 0, 0, NULL },
        { FLUX_OPTION_INTEGER, "max-cities", "N",
          "served at most (2000)", &weather->max_cities, 1, FLUX_CITIES_MAX,
          NULL },
        { FLUX_OPTION_INTEGER, "hours", "N", "of forecast in a record (12)",
          &weather->hours, 0, 24, NULL },
        { FLUX_OPTION_CHOICE, "provider", "NAME",
          "auto, open-meteo, replay or simulated (auto: Open-Meteo,\n"
          "and while it does not answer the tape and a simulation)",
          &app->settings.provider, 0, 0, "auto|open-meteo|replay|simulated" },
        { FLUX_OPTION_TIME, "interval", "TIME",
          "between two looks at a city (15m)", &weather->interval, 1000,
          86400000, NULL },
        { FLUX_OPTION_TIME, "air-interval", "TIME",
          "between two looks at its air (1h)", &weather->air_interval, 1000,
          86400000, NULL },
        { FLUX_OPTION_GROUP, "Open-Meteo:", NULL, NULL, NULL, 0, 0, NULL },
        { FLUX_OPTION_URL, "forecast-url", "URL",
          "(https://api.open-meteo.com)", &weather->forecast_url, 0, 0,
          NULL },
        { FLUX_OPTION_URL, "air-url", "URL",
          "(https://air-quality-api.open-meteo.com)", &weather->air_url, 0, 0,
          NULL },
        { FLUX_OPTION_URL, "geocoding-url", "URL",
          "(https://geocoding-api.open-meteo.com)", &weather->geocoding_url,
          0, 0, NULL },
        { FLUX_OPTION_SECRET, "open-meteo-key", NULL,
          "of a paid plan, or OPEN_METEO_KEY in the environment",
          weather->key, 0, 0, NULL },
        { FLUX_OPTION_RATE, "forecast-rate", "N",
          "requests per second in the long run (0.045); with\n"
          "the next two 6,000 a day: the free plan has 10,000",
          &weather->forecast_rate, 1, 1000000, NULL },
        { FLUX_OPTION_RATE, "air-rate", "N", "likewise (0.015)",
          &weather->air_rate, 1, 1000000, NULL },
        { FLUX_OPTION_RATE, "geocoding-rate", "N", "likewise (0.01)",
          &weather->geocoding_rate, 1, 1000000, NULL },
        { FLUX_OPTION_GROUP, NULL, NULL, NULL, NULL, 0, 0, NULL }
    };

    app->program = "flux-weather";
    app->summary = flux_weather_summary;
    app->examples = flux_weather_examples;
    app->options = own;
    app->topics = flux_weather_topics;
    app->topics_count = sizeof(flux_weather_topics)
                        / sizeof(flux_weather_topics[0]);
    app->simulate = flux_weather_simulate;
    app->settled = flux_open_meteo_settled;
    app->self = weather;
    app->lazy = 1;
    app->settings.rate = 500;

    weather->group = "flux-weather";
    weather->max_cities = 2000;
    weather->hours = 12;
    weather->interval = 900000;
    weather->air_interval = 3600000;
    weather->forecast_url = "https://api.open-meteo.com";
    weather->air_url = "https://air-quality-api.open-meteo.com";
    weather->geocoding_url = "https://geocoding-api.open-meteo.com";
    weather->forecast_rate = 45;
    weather->air_rate = 15;
    weather->geocoding_rate = 10;

    return flux_app_parse(app, argc, argv);
}


static int
flux_weather_cities(flux_weather_t *weather)
{
    size_t  i;

    for (i = 0; i < weather->names.count; i++) {
        if (flux_city_configure(weather, weather->names.items[i]) != FLUX_OK)
        {
            fprintf(stderr, "flux-weather: --city: '%s' is not a name\n",
                    weather->names.items[i]);
            return 2;
        }
    }

    if (weather->names.count == 0 && weather->app.settings.replay == NULL
        && (weather->demand_off || weather->app.settings.print))
    {
        fprintf(stderr, "flux-weather: no city: without Kafka or with "
                "--no-demand, --city has to name one\n");
        return 2;
    }

    return -1;
}


static int
flux_weather_start(void *self)
{
    int              rc;
    flux_weather_t  *weather = self;

    rc = flux_weather_cities(weather);

    if (rc == -1) {
        weather->app.simulate_once = weather->cities_count;
        rc = flux_app_start(&weather->app);
    }

    if (rc == -1 && flux_open_meteo_start(weather) != FLUX_OK) {
        rc = 1;
    }

    if (rc == -1 && !weather->demand_off && !weather->app.settings.print) {
        rc = flux_demand_start(weather);
    }

    if (rc == -1) {
        flux_cities_start(weather);
    }

    return rc;
}


static void
flux_weather_stop(void *self)
{
    flux_demand_stop(self);
}


int
main(int argc, char *argv[])
{
    int              rc;
    flux_weather_t  *weather;

    weather = calloc(1, sizeof(flux_weather_t));
    if (weather == NULL) {
        return 1;
    }

    rc = flux_weather_options(weather, argc, argv);

    if (rc == -1) {
        rc = flux_app_serve(&weather->app, flux_weather_start,
                            flux_weather_stop);
    }

    flux_cities_free(weather);
    flux_list_free(&weather->names);
    free(weather);

    return rc;
}
