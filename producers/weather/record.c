#include "weather.h"

#include <stdio.h>
#include <string.h>


const char *
flux_condition(int64_t code)
{
    size_t  i;

    static const struct {
        int          code;
        const char  *text;
    } conditions[] = {
        { 0, "Clear sky" }, { 1, "Mainly clear" }, { 2, "Partly cloudy" },
        { 3, "Overcast" }, { 45, "Fog" }, { 48, "Rime fog" },
        { 51, "Light drizzle" }, { 53, "Drizzle" }, { 55, "Dense drizzle" },
        { 56, "Light freezing drizzle" }, { 57, "Freezing drizzle" },
        { 61, "Light rain" }, { 63, "Rain" }, { 65, "Heavy rain" },
        { 66, "Light freezing rain" }, { 67, "Freezing rain" },
        { 71, "Light snow" }, { 73, "Snow" }, { 75, "Heavy snow" },
        { 77, "Snow grains" }, { 80, "Light showers" }, { 81, "Showers" },
        { 82, "Violent showers" }, { 85, "Snow showers" },
        { 86, "Heavy snow showers" }, { 95, "Thunderstorm" },
        { 96, "Thunderstorm with hail" },
        { 99, "Thunderstorm with heavy hail" }
    };

    for (i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        if (conditions[i].code == code) {
            return conditions[i].text;
        }
    }

    return "Unknown";
}


/* F = C * 1.8 + 32, to one place */

void
flux_write_temperature(flux_writer_t *w, const char *name, const char *text)
{
    char            member[64], fahrenheit[FLUX_DECIMAL_SIZE];
    flux_decimal_t  d;

    const flux_decimal_t  factor = { 18, 1 };
    const flux_decimal_t  addend = { 32, 0 };

    snprintf(member, sizeof(member), "%s_c", name);
    flux_write_number(w, member, text);

    snprintf(member, sizeof(member), "%s_f", name);

    if (text != NULL && flux_decimal_parse(&d, text) == FLUX_OK
        && flux_decimal_linear(&d, &factor, &addend) == FLUX_OK
        && flux_decimal_round(&d, 1) == FLUX_OK)
    {
        flux_decimal_format(&d, fahrenheit);
        flux_write_number(w, member, fahrenheit);

    } else {
        flux_write_null(w, member);
    }
}


static void
flux_weather_place(flux_writer_t *w, const flux_city_t *city)
{
    flux_write_text(w, "city", city->name);
    flux_write_text(w, "slug", city->slug);
    flux_write_text(w, "country", city->country[0] ? city->country : NULL);
    flux_write_text(w, "country_code",
                    city->country_code[0] ? city->country_code : NULL);
    flux_write_text(w, "timezone", city->timezone[0] ? city->timezone : NULL);
    flux_write_number(w, "latitude", city->latitude[0] ? city->latitude
                                                       : NULL);
    flux_write_number(w, "longitude", city->longitude[0] ? city->longitude
                                                         : NULL);
}


void
flux_weather_publish(flux_weather_t *weather, flux_city_t *city,
    const char *provider)
{
    flux_buffer_t  value;
    flux_writer_t  w;

    if (city->forecast == NULL) {
        return;
    }

    flux_buffer_init(&value, FLUX_VALUE_MAX);
    flux_writer_init(&w, &value);

    flux_write_object(&w, NULL);
    flux_weather_place(&w, city);

    flux_buffer_append(&value, ",", 1);
    flux_buffer_text(&value, city->forecast);
    flux_buffer_append(&value, ",", 1);
    /* air that was made up is in no record that says it is live */

    flux_buffer_text(&value, (city->air != NULL
                              && city->air_source == city->source)
                             ? city->air
                             : "\"aqi\":null,\"european_aqi\":null,"
                               "\"pm2_5\":null,\"pm10\":null");

    flux_write_text(&w, "provider", provider);
    flux_write_text(&w, "source", flux_source_name(city->source));
    flux_write_end(&w);

    flux_sink_put(&weather->app.sink, &flux_topic_weather, city->slug,
                  &value);
    flux_buffer_free(&value);
}
