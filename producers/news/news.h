/*
 * flux-news: headlines into flux.news, the key of each its link. What its
 * files share.
 */

#ifndef FLUX_NEWS_H
#define FLUX_NEWS_H

#include "../common/flux_app.h"
#include "../common/flux_tree.h"
#include "../common/flux_writer.h"

#define FLUX_LINK_SIZE   256        /* a key is at most 255 bytes */
#define FLUX_FEEDS_MAX   64

/* of one reply: the newest, as feeds are ordered */
#define FLUX_ITEMS_MAX   100

typedef struct flux_news_s  flux_news_t;
typedef struct flux_seen_s  flux_seen_t;

/* An item as read; texts are plain, in UTF-8, without markup. */
typedef struct {
    char     title[512];
    char     link[FLUX_LINK_SIZE];
    char     summary[1024];
    char     author[128];
    int64_t  published;         /* Unix ms, 0 if not told */
    int64_t  points;            /* HN, -1 if not told */
    int64_t  comments;
} flux_item_t;

typedef struct {
    char  url[FLUX_JOB_SIZE];
    char  name[128];            /* the publisher's, from the feed */
    char  etag[256];
} flux_feed_t;

struct flux_news_s {
    flux_app_t        app;

    flux_list_t       urls;
    const char       *hn_url;
    int               no_hn;
    int64_t           interval;
    int64_t           max_age;
    int64_t           limit;        /* items of a feed at once */

    flux_feed_t      *feeds;
    size_t            feeds_count;
    flux_seen_t      *seen;
    uint64_t          simulated;    /* how many were made up */
    flux_fetcher_t   *rss;
    flux_fetcher_t   *hn;
};

extern const flux_provider_t  flux_rss;
extern const flux_provider_t  flux_hn;

/*
 * Publishes an item unless its link was published with the same content
 * before, or it is too old, or has no title or no http(s) link.
 */
void flux_news_publish(flux_news_t *news, const flux_item_t *item,
    const char *feed, const char *provider, flux_source_t source);

/* rss.c: an RSS 2.0, RSS 1.0 or Atom document */
typedef void (*flux_item_pt)(void *arg, const flux_item_t *item,
    const char *feed);

/* RFC 822 (RSS) and RFC 3339 (Atom) dates to Unix ms; 0 if it is neither. */
int64_t flux_news_date(const char *text);

/*
 * Plain text of HTML in UTF-8: tags go, entities are resolved, spaces are
 * folded. Cut between characters when it does not fit.
 */
void flux_plain_text(char *out, size_t size, const char *html);

/* seen.c: the links published lately */
flux_seen_t *flux_seen_new(void);
void flux_seen_free(flux_seen_t *seen);

/* 1 if this link was not there with this content; it is from now on. */
int flux_seen_add(flux_seen_t *seen, const char *link, uint64_t content);

/* simulated.c */
void flux_news_simulate(void *arg);

#endif /* FLUX_NEWS_H */
