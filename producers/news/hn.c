/*
 * Hacker News by Algolia's search: GET /api/v1/search?tags=front_page gives
 * {"hits":[{"objectID":"1","title":...,"url":...|null,"author":...,
 * "points":1,"num_comments":2,"created_at_i":1700000000,...}],...}.
 */

#include "news.h"

#include <stdio.h>
#include <string.h>


static flux_rc_t flux_hn_build(void *self, const char *job,
    flux_request_t *request);
static flux_verdict_t flux_hn_parse(void *self, const char *job,
    const flux_reply_t *reply, const char **why);


const flux_provider_t  flux_hn = {
    "hn",
    flux_hn_build,
    flux_hn_parse
};


static flux_rc_t
flux_hn_build(void *self, const char *job, flux_request_t *request)
{
    flux_news_t  *news = self;

    return flux_request_url(request, news->hn_url,
                            "/api/v1/search?tags=%s&hitsPerPage=30", job);
}


static flux_rc_t
flux_hn_item(const flux_tree_t *tree, const flux_node_t *hit,
    flux_item_t *item)
{
    int64_t      seconds;
    const char  *title, *url, *author, *id;

    memset(item, 0, sizeof(*item));

    id = flux_tree_string(tree, hit, "objectID");
    title = flux_tree_string(tree, hit, "title");
    url = flux_tree_string(tree, hit, "url");
    author = flux_tree_string(tree, hit, "author");

    if (id == NULL || title == NULL
        || flux_tree_int(tree, hit, "created_at_i", &seconds) != FLUX_OK
        || seconds < 0 || seconds > INT64_MAX / 1000)
    {
        return FLUX_INVALID;
    }

    flux_plain_text(item->title, sizeof(item->title), title);
    flux_plain_text(item->author, sizeof(item->author),
                    (author != NULL) ? author : "");
    item->published = seconds * 1000;

    /* a question has no address of its own */

    if (url == NULL || url[0] == '\0') {
        snprintf(item->link, sizeof(item->link),
                 "https://news.ycombinator.com/item?id=%.32s", id);

    } else if (flux_copy_text(item->link, sizeof(item->link), url)
               != FLUX_OK)
    {
        return FLUX_INVALID;
    }

    if (flux_tree_int(tree, hit, "points", &item->points) != FLUX_OK) {
        item->points = -1;
    }

    if (flux_tree_int(tree, hit, "num_comments", &item->comments)
        != FLUX_OK)
    {
        item->comments = -1;
    }

    return FLUX_OK;
}


static flux_verdict_t
flux_hn_parse(void *self, const char *job, const flux_reply_t *reply,
    const char **why)
{
    size_t               good;
    flux_item_t          item;
    flux_tree_t          tree;
    flux_news_t         *news = self;
    const flux_node_t   *hits, *hit;

    (void) job;

    good = 0;
    hits = NULL;

    if (flux_tree_parse(&tree, reply->body, reply->len) == FLUX_OK) {
        hits = flux_tree_member(&tree, flux_tree_root(&tree), "hits");

        for (hit = flux_tree_first(&tree, hits);
             hit != NULL;
             hit = flux_tree_next(&tree, hits, hit))
        {
            if (flux_hn_item(&tree, hit, &item) == FLUX_OK) {
                flux_news_publish(news, &item, "Hacker News", flux_hn.name,
                                  reply->source);
                good++;
            }
        }
    }

    flux_tree_free(&tree);

    if (hits == NULL || good == 0) {
        *why = "no stories";
        return FLUX_REPLY_INVALID;
    }

    return FLUX_REPLY_OK;
}
