/*
 * RSS 2.0, RSS 1.0 (RDF) and Atom (RFC 4287) with libxml2. Feeds are read
 * without network, without entities beyond XML's own and without huge nodes,
 * so neither an external entity nor a billion laughs gets anywhere.
 */

#include "news.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static flux_rc_t flux_rss_build(void *self, const char *job,
    flux_request_t *request);
static flux_verdict_t flux_rss_parse(void *self, const char *job,
    const flux_reply_t *reply, const char **why);


const flux_provider_t  flux_rss = {
    "rss",
    flux_rss_build,
    flux_rss_parse
};


static int
flux_is(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE
           && strcmp((const char *) node->name, name) == 0;
}


static xmlNode *
flux_child(const xmlNode *parent, const char *name)
{
    xmlNode  *node;

    if (parent == NULL) {
        return NULL;
    }

    for (node = parent->children; node != NULL; node = node->next) {
        if (flux_is(node, name)) {
            return node;
        }
    }

    return NULL;
}


static void
flux_child_text(const xmlNode *parent, const char *name, char *out,
    size_t size)
{
    xmlNode  *node;
    xmlChar  *text;

    out[0] = '\0';
    node = flux_child(parent, name);

    if (node == NULL) {
        return;
    }

    text = xmlNodeGetContent(node);

    if (text != NULL) {
        flux_plain_text(out, size, (const char *) text);
        xmlFree(text);
    }
}


/* a link that does not fit whole is no link */

static void
flux_copy_link(char out[FLUX_LINK_SIZE], const xmlChar *text)
{
    size_t       len;
    const char  *p;

    p = (const char *) text + strspn((const char *) text, " \t\r\n");
    len = strcspn(p, " \t\r\n");

    if (len < FLUX_LINK_SIZE) {
        memcpy(out, p, len);
        out[len] = '\0';
    }
}


/*
 * RSS has the address in the element, Atom in its href; of Atom's several
 * the one without rel or with rel="alternate".
 */

static void
flux_item_link(const xmlNode *item, char out[FLUX_LINK_SIZE])
{
    xmlNode  *node;
    xmlChar  *href, *rel;

    out[0] = '\0';

    for (node = item->children; node != NULL && out[0] == '\0';
         node = node->next)
    {
        if (!flux_is(node, "link")) {
            continue;
        }

        href = xmlGetProp(node, (const xmlChar *) "href");
        rel = xmlGetProp(node, (const xmlChar *) "rel");

        if (href == NULL) {
            href = xmlNodeGetContent(node);
        }

        if (href != NULL
            && (rel == NULL || strcmp((char *) rel, "alternate") == 0))
        {
            flux_copy_link(out, href);
        }

        xmlFree(href);
        xmlFree(rel);
    }
}


static int64_t
flux_item_date(const xmlNode *item)
{
    char     text[64];
    size_t   i;
    int64_t  date;

    static const char *const  names[] = {
        "pubDate", "published", "date", "updated"
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        flux_child_text(item, names[i], text, sizeof(text));
        date = flux_news_date(text);

        if (date != 0) {
            return date;
        }
    }

    return 0;
}


static void
flux_item_read(const xmlNode *node, flux_item_t *item)
{
    memset(item, 0, sizeof(*item));
    item->points = -1;
    item->comments = -1;

    flux_child_text(node, "title", item->title, sizeof(item->title));
    flux_item_link(node, item->link);

    flux_child_text(node, "description", item->summary,
                    sizeof(item->summary));
    if (item->summary[0] == '\0') {
        flux_child_text(node, "summary", item->summary,
                        sizeof(item->summary));
    }

    flux_child_text(node, "creator", item->author, sizeof(item->author));
    if (item->author[0] == '\0') {
        flux_child_text(flux_child(node, "author"), "name", item->author,
                        sizeof(item->author));
    }

    item->published = flux_item_date(node);
}


static void
flux_items_read(const xmlNode *parent, const char *name, const char *feed,
    flux_item_pt handler, void *arg)
{
    int           n;
    xmlNode      *node;
    flux_item_t   item;

    n = 0;

    for (node = parent->children; node != NULL && n < FLUX_ITEMS_MAX;
         node = node->next)
    {
        if (flux_is(node, name)) {
            flux_item_read(node, &item);
            handler(arg, &item, feed);
            n++;
        }
    }
}


static flux_rc_t
flux_feed_read(const xmlNode *root, char *name, size_t size,
    flux_item_pt handler, void *arg)
{
    const xmlNode  *channel;

    if (root == NULL) {
        return FLUX_INVALID;
    }

    if (flux_is(root, "feed")) {                        /* Atom */
        flux_child_text(root, "title", name, size);
        flux_items_read(root, "entry", name, handler, arg);
        return FLUX_OK;
    }

    channel = flux_child(root, "channel");
    if (channel == NULL) {
        return FLUX_INVALID;
    }

    flux_child_text(channel, "title", name, size);

    /* RSS 1.0 has its items beside the channel, RSS 2.0 inside */

    if (flux_is(root, "RDF")) {
        flux_items_read(root, "item", name, handler, arg);
        return FLUX_OK;
    }

    if (flux_is(root, "rss")) {
        flux_items_read(channel, "item", name, handler, arg);
        return FLUX_OK;
    }

    return FLUX_INVALID;
}


/* libxml2 prints some errors whatever its options say */

static void
flux_rss_silent(void *arg, const char *format, ...)
{
    (void) arg;
    (void) format;
}


/*
 * Calls handler for each item, FLUX_ITEMS_MAX at most. FLUX_INVALID: it is
 * no feed. name gets the feed's title.
 */

static flux_rc_t
flux_rss_read(const char *text, size_t len, char *name, size_t name_size,
    flux_item_pt handler, void *arg)
{
    xmlDoc     *document;
    flux_rc_t   rc;

    if (len == 0 || len > INT32_MAX) {
        return FLUX_INVALID;
    }

    xmlSetGenericErrorFunc(NULL, flux_rss_silent);

    document = xmlReadMemory(text, (int) len, NULL, NULL,
                             XML_PARSE_NONET | XML_PARSE_NOERROR
                             | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA);
    if (document == NULL) {
        return FLUX_INVALID;
    }

    if (document->intSubset != NULL && document->intSubset->entities != NULL) {
        /* of its own making: a few could stand for gigabytes of text */
        xmlFreeDoc(document);
        return FLUX_INVALID;
    }

    rc = flux_feed_read(xmlDocGetRootElement(document), name, name_size,
                        handler, arg);
    xmlFreeDoc(document);

    return rc;
}


static flux_feed_t *
flux_rss_feed(flux_news_t *news, const char *url)
{
    size_t  i;

    for (i = 0; i < news->feeds_count; i++) {
        if (strcmp(news->feeds[i].url, url) == 0) {
            return &news->feeds[i];
        }
    }

    return NULL;
}


static flux_rc_t
flux_rss_build(void *self, const char *job, flux_request_t *request)
{
    flux_feed_t  *feed;

    feed = flux_rss_feed(self, job);

    if (feed == NULL
        || flux_copy_text(request->url, sizeof(request->url), job) != FLUX_OK)
    {
        return FLUX_INVALID;
    }

    flux_copy_text(request->accept, sizeof(request->accept),
                   "application/rss+xml, application/atom+xml, "
                   "application/xml;q=0.9, text/xml;q=0.9");
    flux_copy_text(request->if_none_match, sizeof(request->if_none_match),
                   feed->etag);

    request->follow = 5;        /* feeds move, and no key travels along */

    return FLUX_OK;
}


typedef struct {
    flux_news_t    *news;
    flux_source_t   source;
    int64_t         left;
    size_t          items;
} flux_rss_arg_t;


static void
flux_rss_item(void *arg, const flux_item_t *item, const char *feed)
{
    flux_rss_arg_t  *a = arg;

    a->items++;

    if (a->left-- > 0) {
        flux_news_publish(a->news, item, feed, flux_rss.name, a->source);
    }
}


static flux_verdict_t
flux_rss_parse(void *self, const char *job, const flux_reply_t *reply,
    const char **why)
{
    char             name[128];
    flux_feed_t     *feed;
    flux_news_t     *news = self;
    flux_rss_arg_t   arg;

    if (reply->status == 304) {
        return FLUX_REPLY_OK;
    }

    arg.news = news;
    arg.source = reply->source;
    arg.left = news->limit;
    arg.items = 0;

    if (flux_rss_read(reply->body, reply->len, name, sizeof(name),
                      flux_rss_item, &arg) != FLUX_OK)
    {
        *why = "no feed";
        return FLUX_REPLY_INVALID;
    }

    feed = flux_rss_feed(news, job);

    if (feed != NULL && reply->source == FLUX_LIVE) {
        flux_copy_text(feed->name, sizeof(feed->name), name);

        if (flux_copy_text(feed->etag, sizeof(feed->etag), reply->etag)
            != FLUX_OK)
        {
            feed->etag[0] = '\0';
        }
    }

    return FLUX_REPLY_OK;
}
