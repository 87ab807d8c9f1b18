/*
 * Headlines for when no feed answers: sentences put together from parts,
 * about places and people that do not exist, marked "simulated".
 */

#include "news.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>


static const char *const  flux_who[] = {
    "Harbour city", "Mountain village", "Island council", "River port",
    "Old town", "Valley school", "Coastal library", "Northern observatory",
    "Lakeside market", "Desert university", "Forest railway", "Hill museum"
};

static const char *const  flux_what[] = {
    "opens a new tram line", "plants its ten thousandth tree",
    "restores a mosaic found under a car park",
    "switches its ferries to batteries", "finds a comet on old plates",
    "brings back the night train", "lends out tools instead of books",
    "counts more storks than ever", "wins the prize for the best bread",
    "maps its caves with the help of pupils",
    "turns a mill into a theatre", "records a year without a power cut"
};

static const char *const  flux_then[] = {
    "", ", visitors welcome", " after ten years of work", ", a first",
    " ahead of schedule", ", and the neighbours want to follow"
};

static const char *const  flux_papers[] = {
    "The Daily Example", "Sample Herald", "Placeholder Post", "Mock Times"
};

#define flux_pick(random, list)                                               \
    (list)[flux_random_below(random, sizeof(list) / sizeof((list)[0]))]


void
flux_news_simulate(void *arg)
{
    flux_item_t     item;
    flux_news_t    *news = arg;
    flux_random_t  *random;

    random = &news->app.random;
    memset(&item, 0, sizeof(item));

    snprintf(item.title, sizeof(item.title), "%s %s%s",
             flux_pick(random, flux_who), flux_pick(random, flux_what),
             flux_pick(random, flux_then));
    snprintf(item.link, sizeof(item.link),
             "https://news.example/simulated/%" PRIu64,
             news->simulated++ % 50);
    flux_copy_text(item.summary, sizeof(item.summary),
                   "A simulated headline: no provider could be reached.");
    item.published = flux_wall_ms();
    item.points = -1;
    item.comments = -1;

    flux_news_publish(news, &item, flux_pick(random, flux_papers),
                      "simulated", FLUX_SIMULATED);
}
