/*
 * Which cities are served: the configured ones, and those with a lease that
 * are this instance's share. A lease is a demand record, alive until it
 * expires or its tombstone comes.
 */

#include "weather.h"
#include "../common/flux_utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/* a node's clock may be wrong: no lease is believed for longer */
#define FLUX_LEASE_MAX_MS   120000

#define FLUX_SWEEP_MS       1000


/* "New York" becomes "new-york". FLUX_INVALID: no slug can be made of it. */

static flux_rc_t
flux_city_slug(char slug[FLUX_SLUG_SIZE], const char *name)
{
    size_t         i, n;
    unsigned char  c;

    n = 0;

    for (i = 0; name[i] != '\0'; i++) {
        c = (unsigned char) name[i];

        if (c < 0x20 || c == 0x7f || n + 1 >= FLUX_SLUG_SIZE) {
            return FLUX_INVALID;
        }

        slug[n++] = (c == ' ' || c == '_') ? '-' : (char) tolower(c);
    }

    slug[n] = '\0';

    return (n > 0 && flux_utf8_valid(slug, n)) ? FLUX_OK : FLUX_INVALID;
}


/* until the geocoder tells better: "new-york" is New York */

static void
flux_city_title(flux_city_t *city)
{
    size_t  i;
    int     begins;

    begins = 1;

    for (i = 0; city->slug[i] != '\0'; i++) {
        city->name[i] = (city->slug[i] == '-') ? ' ' : city->slug[i];

        if (begins) {
            city->name[i] = (char) toupper((unsigned char) city->name[i]);
        }

        begins = (city->name[i] == ' ');
    }

    city->name[i] = '\0';
}


flux_city_t *
flux_city_find(flux_weather_t *weather, const char *slug)
{
    flux_city_t  *city;

    for (city = weather->cities; city != NULL; city = city->next) {
        if (strcmp(city->slug, slug) == 0) {
            return city;
        }
    }

    return NULL;
}


static void
flux_city_free(flux_city_t *city)
{
    free(city->forecast);
    free(city->air);
    free(city);
}


/* a city that nobody asks for any more makes room for a new one */

static void
flux_cities_evict(flux_weather_t *weather)
{
    flux_city_t  *city, **link, **old;

    old = NULL;

    for (link = &weather->cities; *link != NULL; link = &(*link)->next) {
        if (!(*link)->active && !(*link)->configured && (*link)->leases == 0)
        {
            old = link;
        }
    }

    if (old != NULL) {
        city = *old;
        *old = city->next;
        weather->next = NULL;
        weather->cities_count--;
        flux_city_free(city);
    }
}


static flux_city_t *
flux_city_make(flux_weather_t *weather, const char *slug)
{
    flux_city_t  *city;

    city = flux_city_find(weather, slug);
    if (city != NULL) {
        return city;
    }

    if (weather->cities_count >= FLUX_CITIES_MAX) {
        flux_cities_evict(weather);
    }

    if (weather->cities_count >= FLUX_CITIES_MAX) {
        return NULL;
    }

    city = calloc(1, sizeof(flux_city_t));
    if (city == NULL) {
        return NULL;
    }

    flux_copy_text(city->slug, sizeof(city->slug), slug);
    flux_city_title(city);
    city->source = FLUX_SIMULATED;
    city->next = weather->cities;
    weather->cities = city;
    weather->cities_count++;

    return city;
}


flux_rc_t
flux_city_configure(flux_weather_t *weather, const char *name)
{
    char          slug[FLUX_SLUG_SIZE];
    flux_city_t  *city;

    if (flux_city_slug(slug, name) != FLUX_OK) {
        return FLUX_INVALID;
    }

    city = flux_city_make(weather, slug);
    if (city == NULL) {
        return FLUX_NOMEM;
    }

    city->configured = 1;

    return FLUX_OK;
}


static flux_lease_t *
flux_lease_find(flux_weather_t *weather, const char *key, size_t len)
{
    size_t         i;
    flux_lease_t  *lease;

    for (i = 0; i < weather->leases_count; i++) {
        lease = &weather->leases[i];

        if (strncmp(lease->key, key, len) == 0 && lease->key[len] == '\0') {
            return lease;
        }
    }

    return NULL;
}


static void
flux_lease_end(flux_weather_t *weather, flux_lease_t *lease)
{
    lease->city->leases--;
    free(lease->key);
    *lease = weather->leases[--weather->leases_count];
}


static void
flux_lease_begin(flux_weather_t *weather, const char *key, size_t len,
    const char *room, int64_t expires)
{
    flux_city_t   *city;
    flux_lease_t  *lease;

    if (weather->leases_count == FLUX_LEASES_MAX) {
        return;
    }

    city = flux_city_make(weather, room);

    lease = &weather->leases[weather->leases_count];
    lease->key = strndup(key, len);
    lease->city = city;
    lease->expires = expires;

    if (city == NULL || lease->key == NULL) {
        free(lease->key);

        if (!weather->full) {
            weather->full = 1;
            flux_log(&weather->app.log, FLUX_WARN,
                     "more cities are asked for than there is room for");
        }

        return;
    }

    city->leases++;
    weather->leases_count++;
}


/* rooms are compared byte by byte: "Paris" is not the room "paris" */

static int
flux_room_is_slug(const char *room)
{
    char  slug[FLUX_SLUG_SIZE];

    return flux_city_slug(slug, room) == FLUX_OK && strcmp(slug, room) == 0;
}


static flux_rc_t
flux_demand_read(const char *value, size_t len, char room[FLUX_SLUG_SIZE],
    int64_t *expires)
{
    const char   *text;
    flux_rc_t     rc;
    flux_tree_t   tree;

    rc = flux_tree_parse(&tree, value, len);

    if (rc == FLUX_OK) {
        text = flux_tree_string(&tree, flux_tree_root(&tree), "room");

        if (text == NULL || !flux_room_is_slug(text)
            || flux_tree_int(&tree, flux_tree_root(&tree), "expires",
                             expires) != FLUX_OK)
        {
            rc = FLUX_INVALID;

        } else {
            flux_copy_text(room, FLUX_SLUG_SIZE, text);
        }
    }

    flux_tree_free(&tree);

    return rc;
}


void
flux_city_demanded(flux_weather_t *weather, const char *key, size_t key_len,
    const char *value, size_t len)
{
    char           room[FLUX_SLUG_SIZE];
    int64_t        expires, now;
    flux_lease_t  *lease;

    if (key == NULL || key_len == 0
        || memchr(key, '\0', key_len) != NULL)
    {
        return;
    }

    lease = flux_lease_find(weather, key, key_len);

    if (value == NULL) {
        if (lease != NULL) {
            flux_lease_end(weather, lease);
        }

        return;
    }

    if (flux_demand_read(value, len, room, &expires) != FLUX_OK) {
        return;
    }

    now = flux_wall_ms();
    expires = (expires < now + FLUX_LEASE_MAX_MS) ? expires
                                                  : now + FLUX_LEASE_MAX_MS;

    if (lease != NULL && strcmp(lease->city->slug, room) == 0) {
        lease->expires = expires;
        return;
    }

    if (lease != NULL) {
        flux_lease_end(weather, lease);
    }

    if (expires > now) {
        flux_lease_begin(weather, key, key_len, room, expires);
    }
}


static void
flux_city_activate(flux_weather_t *weather, flux_city_t *city)
{
    city->active = 1;
    flux_open_meteo_add(weather, city);

    if (weather->app.fallback.serving == FLUX_FALLEN_BACK
        && !weather->app.settings.once && !city->replayed)
    {
        flux_weather_simulate_city(weather, city);
    }
}


void
flux_cities_update(flux_weather_t *weather)
{
    int           wanted;
    size_t        i, active;
    int64_t       now;
    flux_city_t  *city;

    now = flux_wall_ms();

    for (i = weather->leases_count; i > 0; i--) {
        if (weather->leases[i - 1].expires <= now) {
            flux_lease_end(weather, &weather->leases[i - 1]);
        }
    }

    active = 0;

    for (city = weather->cities; city != NULL; city = city->next) {

        wanted = city->configured
                 || (city->leases > 0
                     && flux_demand_is_ours(weather, city->slug));

        if (wanted && active >= (size_t) weather->max_cities) {
            wanted = 0;
        }

        active += (size_t) wanted;

        if (wanted && !city->active) {
            flux_city_activate(weather, city);

        } else if (!wanted && city->active) {
            city->active = 0;
            flux_open_meteo_remove(weather, city);
        }
    }
}


static void
flux_cities_sweep(void *arg)
{
    flux_weather_t  *weather = arg;

    flux_cities_update(weather);
    flux_timer_set(weather->app.loop, &weather->sweep, FLUX_SWEEP_MS);
}


void
flux_cities_start(flux_weather_t *weather)
{
    flux_timer_init(&weather->sweep, flux_cities_sweep, weather);
    flux_cities_sweep(weather);
}


void
flux_cities_free(flux_weather_t *weather)
{
    flux_city_t  *city;

    while (weather->leases_count > 0) {
        flux_lease_end(weather, &weather->leases[0]);
    }

    while ((city = weather->cities) != NULL) {
        weather->cities = city->next;
        flux_city_free(city);
    }
}
