#include "flux_common.h"

#include <stdio.h>
#include <string.h>
#include <time.h>


const char *
flux_source_name(flux_source_t source)
{
    switch (source) {

    case FLUX_LIVE:
        return "live";

    case FLUX_REPLAY:
        return "replay";

    case FLUX_SIMULATED:
        break;
    }

    return "simulated";
}


static int64_t
flux_clock_ms(clockid_t clock)
{
    struct timespec  ts;

    clock_gettime(clock, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


int64_t
flux_monotonic_ms(void)
{
    return flux_clock_ms(CLOCK_MONOTONIC);
}


int64_t
flux_wall_ms(void)
{
    return flux_clock_ms(CLOCK_REALTIME);
}


void
flux_format_time(int64_t wall_ms, char out[FLUX_TIME_SIZE])
{
    int        ms;
    char       seconds[sizeof("YYYY-MM-DDTHH:MM:SS")];
    time_t     t;
    struct tm  tm;

    t = (time_t) (wall_ms / 1000);
    ms = (int) (wall_ms % 1000);

    if (ms < 0) {
        ms += 1000;
        t--;
    }

    /* years past 9999 do not fit the format */

    if (gmtime_r(&t, &tm) == NULL || tm.tm_year > 8099 || tm.tm_year < -1900
        || strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
    {
        memcpy(seconds, "0000-00-00T00:00:00", sizeof(seconds));
    }

    snprintf(out, FLUX_TIME_SIZE, "%s.%03dZ", seconds, ms % 1000);
}


flux_rc_t
flux_copy_text(char *out, size_t size, const char *text)
{
    size_t  len;

    len = strnlen(text, size);

    if (len < size) {
        memcpy(out, text, len + 1);
        return FLUX_OK;
    }

    memcpy(out, text, size - 1);
    out[size - 1] = '\0';

    return FLUX_FULL;
}
