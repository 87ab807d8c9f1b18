#include "news.h"

#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static const char *const  flux_news_config[] = {
    "cleanup.policy", "compact,delete",
    "retention.ms", "604800000",            /* a week of news is enough */
    "segment.ms", "86400000",
    NULL
};

static const flux_topic_t  flux_topic_news = {
    "flux.news", flux_news_config, 0
};

static const flux_topic_t *const  flux_news_topics[] = {
    &flux_topic_news
};

static const char  flux_news_feeds[] =
    "https://feeds.bbci.co.uk/news/world/rss.xml,"
    "https://www.theguardian.com/world/rss,"
    "https://www.aljazeera.com/xml/rss/all.xml,"
    "https://rss.dw.com/rdf/rss-en-world";

static const char  flux_news_summary[] =
    "Writes headlines to the Kafka topic flux.news, one record per link, which\n"
    "is its key. They come from RSS and Atom feeds and from the front page of\n"
    "Hacker News (by Algolia); no key is needed.";

static const char  flux_news_examples[] =
    "  flux-news --brokers kafka-1:9092\n"
    "  flux-news --feed https://example.org/feed.xml --no-hn --print --once\n"
    "  flux-news --print --once | jq -r '[.time,.feed,.title]|@tsv'\n";


/* points and comments change all day: a new count is not news */

static uint64_t
flux_item_content(const flux_item_t *item)
{
    uint64_t     hash;
    const char  *p;

    hash = UINT64_C(14695981039346656037);

    for (p = item->title; *p != '\0'; p++) {
        hash = (hash ^ (unsigned char) *p) * UINT64_C(1099511628211);
    }

    return hash ^ (uint64_t) (item->points / 50);
}


static int
flux_item_is_good(const flux_news_t *news, const flux_item_t *item,
    flux_source_t source)
{
    if (item->title[0] == '\0'
        || (strncmp(item->link, "http://", 7) != 0
            && strncmp(item->link, "https://", 8) != 0))
    {
        return 0;
    }

    return source != FLUX_LIVE || item->published == 0
           || item->published > flux_wall_ms() - news->max_age;
}


static void
flux_item_write(flux_buffer_t *value, const flux_item_t *item,
    const char *feed, const char *provider, flux_source_t source)
{
    char           time[FLUX_TIME_SIZE];
    flux_writer_t  w;

    flux_writer_init(&w, value);
    flux_write_object(&w, NULL);
    flux_write_text(&w, "title", item->title);
    flux_write_text(&w, "link", item->link);
    flux_write_text(&w, "feed", (feed[0] != '\0') ? feed : NULL);
    flux_write_text(&w, "summary", item->summary[0] ? item->summary : NULL);
    flux_write_text(&w, "author", item->author[0] ? item->author : NULL);

    if (item->published != 0) {
        flux_format_time(item->published, time);
        flux_write_text(&w, "time", time);

    } else {
        flux_write_null(&w, "time");
    }

    if (item->points >= 0) {
        flux_write_int(&w, "points", item->points);
    }

    if (item->comments >= 0) {
        flux_write_int(&w, "comments", item->comments);
    }

    flux_write_text(&w, "provider", provider);
    flux_write_text(&w, "source", flux_source_name(source));
    flux_write_end(&w);
}


void
flux_news_publish(flux_news_t *news, const flux_item_t *item,
    const char *feed, const char *provider, flux_source_t source)
{
    flux_buffer_t  value;

    if (!flux_item_is_good(news, item, source)
        || !flux_seen_add(news->seen, item->link, flux_item_content(item)))
    {
        return;
    }

    flux_buffer_init(&value, FLUX_VALUE_MAX);
    flux_item_write(&value, item, feed, provider, source);
    flux_sink_put(&news->app.sink, &flux_topic_news, item->link, &value);
    flux_buffer_free(&value);
}


static int
flux_news_options(flux_news_t *news, int argc, char *const argv[])
{
    flux_app_t  *app;

    app = &news->app;

    const flux_option_t  own[] = {
        { FLUX_OPTION_GROUP, "What to fetch:", NULL, NULL, NULL, 0, 0, NULL },
        { FLUX_OPTION_LIST, "feed", "URL,...",
          "RSS or Atom feeds, repeatable (four of world news:\n"
          "BBC, Guardian, Al Jazeera, DW)", &news->urls, 0, 0, NULL },
        { FLUX_OPTION_CHOICE, "provider", "NAME",
          "auto, feeds, replay or simulated (auto: the feeds, and\n"
          "while none answers the tape and a simulation)",
          &app->settings.provider, 0, 0, "auto|feeds|replay|simulated" },
        { FLUX_OPTION_TIME, "interval", "TIME",
          "between two looks at a feed (5m)", &news->interval, 1000,
          86400000, NULL },
        { FLUX_OPTION_TIME, "max-age", "TIME",
          "older items are left out (3d)", &news->max_age, 60000,
          (int64_t) 366 * 86400000, NULL },
        { FLUX_OPTION_INTEGER, "limit", "N", "items of a feed at once (30)",
          &news->limit, 1, FLUX_ITEMS_MAX, NULL },
        { FLUX_OPTION_FLAG, "no-hn", NULL, "without Hacker News",
          &news->no_hn, 0, 0, NULL },
        { FLUX_OPTION_URL, "hn-url", "URL", "(https://hn.algolia.com)",
          &news->hn_url, 0, 0, NULL },
        { FLUX_OPTION_GROUP, NULL, NULL, NULL, NULL, 0, 0, NULL }
    };

    app->program = "flux-news";
    app->summary = flux_news_summary;
    app->examples = flux_news_examples;
    app->options = own;
    app->topics = flux_news_topics;
    app->topics_count = sizeof(flux_news_topics)
                        / sizeof(flux_news_topics[0]);
    app->simulate = flux_news_simulate;
    app->simulate_once = 20;
    app->self = news;
    app->settings.rate = 250;

    news->interval = 300000;
    news->max_age = (int64_t) 3 * 86400000;
    news->limit = 30;
    news->hn_url = "https://hn.algolia.com";

    return flux_app_parse(app, argc, argv);
}


static int
flux_news_feeds_init(flux_news_t *news)
{
    size_t  i;

    if (news->urls.count == 0
        && flux_list_split(&news->urls, flux_news_feeds) != FLUX_OK)
    {
        return 1;
    }

    if (news->urls.count > FLUX_FEEDS_MAX) {
        fprintf(stderr, "flux-news: more than %d feeds\n", FLUX_FEEDS_MAX);
        return 2;
    }

    news->feeds = calloc(news->urls.count, sizeof(flux_feed_t));
    if (news->feeds == NULL) {
        return 1;
    }

    for (i = 0; i < news->urls.count; i++) {
        if ((strncmp(news->urls.items[i], "http://", 7) != 0
             && strncmp(news->urls.items[i], "https://", 8) != 0)
            || flux_copy_text(news->feeds[i].url, FLUX_JOB_SIZE,
                              news->urls.items[i]) != FLUX_OK)
        {
            fprintf(stderr, "flux-news: --feed: '%s' is not an http or https "
                    "URL\n", news->urls.items[i]);
            return 2;
        }
    }

    news->feeds_count = news->urls.count;

    return -1;
}


static flux_rc_t
flux_news_fetchers(flux_news_t *news)
{
    size_t                   i;
    flux_fetcher_options_t   options;

    memset(&options, 0, sizeof(options));
    options.provider = &flux_rss;
    options.self = news;
    options.rate_milli = 2000;
    options.burst = 4;
    options.parallel = FLUX_FEEDS_MAX;  /* a slow publisher delays no other */
    options.separate = 1;
    news->rss = flux_app_fetcher(&news->app, &options);

    options.provider = &flux_hn;
    options.separate = 0;
    options.rate_milli = 200;
    options.burst = 1;
    options.parallel = 1;
    news->hn = flux_app_fetcher(&news->app, &options);

    if (news->rss == NULL || news->hn == NULL) {
        return FLUX_NOMEM;
    }

    if (!flux_fallback_asks(&news->app.fallback)) {
        return FLUX_OK;
    }

    for (i = 0; i < news->feeds_count; i++) {
        if (flux_fetcher_add(news->rss, news->feeds[i].url, news->interval, 0)
            != FLUX_OK)
        {
            return FLUX_NOMEM;
        }
    }

    return news->no_hn ? FLUX_OK
                       : flux_fetcher_add(news->hn, "front_page",
                                          news->interval, 0);
}


static int
flux_news_start(void *self)
{
    int           rc;
    flux_news_t  *news = self;

    rc = flux_news_feeds_init(news);

    if (rc == -1) {
        rc = flux_app_start(&news->app);
    }

    if (rc == -1) {
        news->seen = flux_seen_new();

        if (news->seen == NULL || flux_news_fetchers(news) != FLUX_OK) {
            rc = 1;
        }
    }

    return rc;
}


int
main(int argc, char *argv[])
{
    int           rc;
    flux_news_t  *news;

    news = calloc(1, sizeof(flux_news_t));
    if (news == NULL) {
        return 1;
    }

    rc = flux_news_options(news, argc, argv);

    if (rc == -1) {
        rc = flux_app_serve(&news->app, flux_news_start, NULL);
    }

    flux_seen_free(news->seen);
    flux_list_free(&news->urls);
    free(news->feeds);
    free(news);
    xmlCleanupParser();

    return rc;
}
