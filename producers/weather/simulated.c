/*
 * Weather for cities when no provider answers: drawn from the city's name
 * and the seed, so it is the same after a restart, and drifting slowly. It
 * says "simulated" and has no claim to be anything else.
 */

#include "weather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define FLUX_DAY_MS  86400000


static const int  flux_skies[] = { 0, 1, 2, 3, 61, 63, 80, 45, 71, 95 };


static void
flux_weather_draw(flux_weather_t *weather, flux_city_t *city)
{
    uint64_t       seed;
    const char    *p;
    flux_random_t  r;

    seed = (uint64_t) weather->app.settings.seed;

    for (p = city->slug; *p != '\0'; p++) {
        seed = seed * 31 + (unsigned char) *p;
    }

    flux_random_seed(&r, seed);
    city->temperature = (int) flux_random_below(&r, 280) - 30;
    city->sky = (unsigned) flux_random_below(&r, 10);
    city->drawn = 1;
}


static void
flux_tenths(int tenths, char out[FLUX_DECIMAL_SIZE])
{
    flux_decimal_t  d;

    d.units = tenths;
    d.scale = 1;
    flux_decimal_format(&d, out);
}


static void
flux_simulate_number(flux_weather_t *weather, flux_writer_t *w,
    const char *name, int tenths, int spread)
{
    char  text[FLUX_DECIMAL_SIZE];

    flux_tenths(tenths + (int) flux_random_below(&weather->app.random,
                                                 (uint64_t) spread), text);
    flux_write_number(w, name, text);
}


static void
flux_simulate_degrees(flux_writer_t *w, const char *name, int tenths)
{
    char  text[FLUX_DECIMAL_SIZE];

    flux_tenths(tenths, text);
    flux_write_temperature(w, name, text);
}


/* Open-Meteo's form of a time: local, to the minute; local is UTC here */

static void
flux_simulate_time(int64_t ms, char out[FLUX_TIME_SIZE])
{
    flux_format_time(ms, out);
    out[sizeof("YYYY-MM-DDTHH:MM") - 1] = '\0';
}


static void
flux_simulate_hours(flux_weather_t *weather, flux_writer_t *w,
    const flux_city_t *city, int64_t now)
{
    int      code;
    char     time[FLUX_TIME_SIZE];
    int64_t  i, hour;

    hour = now - now % 3600000;
    flux_write_array(w, "hours");

    for (i = 1; i <= weather->hours; i++) {
        code = flux_skies[(city->sky + (unsigned) (i / 4)) % 10];
        flux_simulate_time(hour + i * 3600000, time);

        flux_write_object(w, NULL);
        flux_write_text(w, "time", time);
        flux_simulate_degrees(w, "temperature",
                              city->temperature
                              + (int) ((i * 7 + city->temperature) % 25)
                              - 12);
        flux_write_int(w, "code", code);
        flux_write_text(w, "condition", flux_condition(code));
        flux_write_int(w, "precipitation_probability",
                       (code >= 50) ? 70 : 10);
        flux_write_end(w);
    }

    flux_write_end(w);
}


static void
flux_simulate_forecast(flux_weather_t *weather, flux_writer_t *w,
    const flux_city_t *city)
{
    int      code;
    char     time[FLUX_TIME_SIZE];
    int64_t  now, day;

    now = flux_wall_ms();
    day = now - now % FLUX_DAY_MS;
    code = flux_skies[city->sky % 10];

    flux_simulate_time(now, time);
    flux_write_text(w, "time", time);
    flux_write_int(w, "utc_offset_seconds", 0);
    flux_simulate_degrees(w, "temperature", city->temperature);
    flux_simulate_degrees(w, "feels_like", city->temperature - 13);
    flux_write_int(w, "humidity",
                   50 + (int64_t) flux_random_below(&weather->app.random,
                                                    45));
    flux_simulate_number(weather, w, "wind_kmh", 40, 150);
    flux_write_int(w, "wind_direction",
                   (int64_t) flux_random_below(&weather->app.random, 360));
    flux_simulate_number(weather, w, "gusts_kmh", 200, 200);
    flux_simulate_number(weather, w, "pressure_hpa", 9950, 300);
    flux_simulate_number(weather, w, "visibility_m", 90000, 150000);
    flux_write_int(w, "cloud_cover", (code == 0) ? 0 : 60);
    flux_write_number(w, "precipitation_mm", (code >= 50) ? "0.4" : "0.0");
    flux_write_bool(w, "is_day", now - day > FLUX_DAY_MS / 4
                                 && now - day < FLUX_DAY_MS * 3 / 4);
    flux_write_int(w, "code", code);
    flux_write_text(w, "condition", flux_condition(code));
    flux_simulate_degrees(w, "high", city->temperature + 34);
    flux_simulate_degrees(w, "low", city->temperature - 41);

    flux_simulate_time(day + FLUX_DAY_MS / 4, time);
    flux_write_text(w, "sunrise", time);
    flux_simulate_time(day + FLUX_DAY_MS * 3 / 4, time);
    flux_write_text(w, "sunset", time);

    flux_simulate_hours(weather, w, city, now);
}


static char *
flux_simulated_members(flux_weather_t *weather, const flux_city_t *city,
    int air)
{
    char           *members;
    flux_buffer_t   out;
    flux_writer_t   w;

    members = NULL;
    flux_buffer_init(&out, FLUX_VALUE_MAX / 2);
    flux_writer_init(&w, &out);
    flux_write_object(&w, NULL);

    if (air) {
        flux_write_int(&w, "aqi",
                       20 + (int64_t) flux_random_below(&weather->app.random,
                                                        60));
        flux_write_int(&w, "european_aqi",
                       15 + (int64_t) flux_random_below(&weather->app.random,
                                                        40));
        flux_simulate_number(weather, &w, "pm2_5", 40, 100);
        flux_simulate_number(weather, &w, "pm10", 80, 150);

    } else {
        flux_simulate_forecast(weather, &w, city);
    }

    flux_write_end(&w);

    if (out.failed == FLUX_OK) {
        members = strndup(out.data + 1, out.len - 2);
    }

    flux_buffer_free(&out);

    return members;
}


void
flux_weather_simulate_city(flux_weather_t *weather, flux_city_t *city)
{
    if (!city->drawn) {
        flux_weather_draw(weather, city);
    }

    city->temperature += (int) flux_random_below(&weather->app.random, 5) - 2;

    free(city->forecast);
    free(city->air);
    city->forecast = flux_simulated_members(weather, city, 0);
    city->air = flux_simulated_members(weather, city, 1);
    city->source = FLUX_SIMULATED;
    city->air_source = FLUX_SIMULATED;

    flux_weather_publish(weather, city, "simulated");
}


/* the next city in turn that is asked for and not on the tape */

void
flux_weather_simulate(void *arg)
{
    size_t           i;
    flux_weather_t  *weather = arg;
    flux_city_t     *city;

    for (i = 0; i <= weather->cities_count; i++) {

        city = (weather->next != NULL) ? weather->next : weather->cities;
        if (city == NULL) {
            return;
        }

        weather->next = city->next;

        if (city->active && !city->replayed) {
            flux_weather_simulate_city(weather, city);
            return;
        }
    }
}
