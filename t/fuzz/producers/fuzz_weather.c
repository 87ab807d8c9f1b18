#include "fuzz.h"
#include "../../../producers/weather/weather.h"


static flux_weather_t  weather;


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;

    fuzz_app(&weather.app);
    weather.hours = 12;
    weather.max_cities = 10;
    flux_city_configure(&weather, "paris");

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t  key;

    if (size == 0) {
        return 0;
    }

    switch (data[0] % 4) {

    case 0:
        fuzz_parse(&flux_geocoding, &weather, "paris", data + 1, size - 1);
        break;

    case 1:
        fuzz_parse(&flux_forecast, &weather, "paris", data + 1, size - 1);
        break;

    case 2:
        fuzz_parse(&flux_air, &weather, "paris", data + 1, size - 1);
        break;

    default:
        key = data[0] % 8;
        key = (key < size - 1) ? key : size - 1;
        flux_city_demanded(&weather, (const char *) data + 1, key,
                           (const char *) data + 1 + key, size - 1 - key);
        break;
    }

    return 0;
}
