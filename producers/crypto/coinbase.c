/*
 * Coinbase Exchange, without a key.
 *
 * REST: GET /products/ID/ticker has price and time, GET /products/ID/stats
 * has open, high, low and volume of 24 hours; a record needs both. Public
 * endpoints allow 10 requests per second and refuse a missing User-Agent.
 */

#include "crypto.h"

#include <string.h>


static flux_rc_t flux_coinbase_build(void *self, const char *job,
    flux_request_t *request);
static flux_verdict_t flux_coinbase_parse(void *self, const char *job,
    const flux_reply_t *reply, const char **why);


const flux_provider_t  flux_coinbase = {
    "coinbase",
    flux_coinbase_build,
    flux_coinbase_parse
};


/* a job is ticker/ID or stats/ID */

static flux_rc_t
flux_coinbase_build(void *self, const char *job, flux_request_t *request)
{
    const char     *id;
    flux_crypto_t  *crypto = self;

    id = strchr(job, '/');
    if (id == NULL) {
        return FLUX_INVALID;
    }

    if (flux_coinbase_ws_delivers(crypto)) {
        return FLUX_AGAIN;
    }

    flux_copy_text(request->accept, sizeof(request->accept),
                   "application/json");

    return flux_request_url(request, crypto->coinbase_url,
                            "/products/%s/%.*s", id + 1, (int) (id - job),
                            job);
}


/* copies a member that is a decimal number in a string */

static flux_rc_t
flux_coinbase_decimal(const flux_tree_t *tree, const flux_node_t *node,
    const char *name, char out[FLUX_DECIMAL_SIZE])
{
    const char  *text;

    text = flux_tree_string(tree, node, name);

    if (!flux_decimal_unsigned(text)) {
        return FLUX_INVALID;
    }

    return flux_copy_text(out, FLUX_DECIMAL_SIZE, text);
}


static flux_rc_t
flux_coinbase_time(const flux_tree_t *tree, const flux_node_t *node,
    flux_ticker_t *ticker)
{
    const char  *text;

    text = flux_tree_string(tree, node, "time");

    if (text == NULL) {
        return FLUX_INVALID;
    }

    return flux_copy_text(ticker->time, sizeof(ticker->time), text);
}


static flux_rc_t
flux_coinbase_read_ticker(flux_product_t *product, const flux_tree_t *tree)
{
    flux_ticker_t       ticker;
    const flux_node_t  *root;

    ticker = product->ticker;
    root = flux_tree_root(tree);

    if (flux_coinbase_decimal(tree, root, "price", ticker.price) != FLUX_OK
        || flux_coinbase_time(tree, root, &ticker) != FLUX_OK)
    {
        return FLUX_INVALID;
    }

    product->ticker = ticker;
    product->has_price = 1;

    return FLUX_OK;
}


static flux_rc_t
flux_coinbase_read_stats(flux_product_t *product, const flux_tree_t *tree)
{
    flux_ticker_t       ticker;
    const flux_node_t  *root;

    ticker = product->ticker;
    root = flux_tree_root(tree);

    if (flux_coinbase_decimal(tree, root, "open", ticker.open) != FLUX_OK
        || flux_coinbase_decimal(tree, root, "high", ticker.high) != FLUX_OK
        || flux_coinbase_decimal(tree, root, "low", ticker.low) != FLUX_OK
        || flux_coinbase_decimal(tree, root, "volume", ticker.volume)
           != FLUX_OK)
    {
        return FLUX_INVALID;
    }

    product->ticker = ticker;
    product->has_stats = 1;

    return FLUX_OK;
}


static flux_verdict_t
flux_coinbase_rest(flux_crypto_t *crypto, const char *job,
    const flux_tree_t *tree, flux_source_t source, const char **why)
{
    int              is_ticker, first;
    flux_rc_t        rc;
    flux_product_t  *product;

    is_ticker = (strncmp(job, "ticker/", 7) == 0);
    product = flux_crypto_product(crypto, strchr(job, '/') + 1);

    if (product == NULL) {
        *why = "not one of the products asked for";
        return FLUX_REPLY_REFUSED;
    }

    /* a replayed half and a live half make no whole */

    if (product->source != source) {
        product->source = source;
        product->has_price = 0;
        product->has_stats = 0;
    }

    first = !product->has_price || !product->has_stats;

    rc = is_ticker ? flux_coinbase_read_ticker(product, tree)
                   : flux_coinbase_read_stats(product, tree);
    if (rc != FLUX_OK) {
        *why = "fields are missing or not what they should be";
        return FLUX_REPLY_INVALID;
    }

    if (!product->has_price || !product->has_stats
        || (!is_ticker && !first))
    {
        return FLUX_REPLY_OK;
    }

    if (flux_crypto_publish(crypto, product, &product->ticker,
                            flux_coinbase.name, source) != FLUX_OK)
    {
        product->has_price = 0;
        *why = "the values make no ticker";
        return FLUX_REPLY_INVALID;
    }

    return FLUX_REPLY_OK;
}


/* errors are {"message":"NotFound"} with a status, but be sure */

static flux_verdict_t
flux_coinbase_parse(void *self, const char *job, const flux_reply_t *reply,
    const char **why)
{
    flux_tree_t      tree;
    flux_verdict_t   verdict;
    flux_crypto_t   *crypto = self;

    if (strchr(job, '/') == NULL) {
        return FLUX_REPLY_REFUSED;
    }

    verdict = FLUX_REPLY_INVALID;
    *why = "not JSON";

    if (flux_tree_parse(&tree, reply->body, reply->len) == FLUX_OK) {
        *why = NULL;

        if (flux_tree_string(&tree, flux_tree_root(&tree), "message")
            != NULL)
        {
            *why = "an error inside a good status";
            verdict = FLUX_REPLY_TROUBLE;

        } else {
            verdict = flux_coinbase_rest(crypto, job, &tree, reply->source,
                                         why);
        }
    }

    flux_tree_free(&tree);

    return verdict;
}


static flux_verdict_t
flux_coinbase_ticker(flux_crypto_t *crypto, const flux_tree_t *tree,
    flux_source_t source, const char **why)
{
    const char         *id;
    flux_ticker_t       t;
    flux_product_t     *product;
    const flux_node_t  *root;

    root = flux_tree_root(tree);
    id = flux_tree_string(tree, root, "product_id");
    product = (id != NULL) ? flux_crypto_product(crypto, id) : NULL;

    if (product == NULL) {
        *why = "not one of the products asked for";
        return FLUX_REPLY_REFUSED;
    }

    memset(&t, 0, sizeof(t));

    if (flux_coinbase_decimal(tree, root, "price", t.price) != FLUX_OK
        || flux_coinbase_decimal(tree, root, "open_24h", t.open) != FLUX_OK
        || flux_coinbase_decimal(tree, root, "high_24h", t.high) != FLUX_OK
        || flux_coinbase_decimal(tree, root, "low_24h", t.low) != FLUX_OK
        || flux_coinbase_decimal(tree, root, "volume_24h", t.volume)
           != FLUX_OK
        || flux_coinbase_time(tree, root, &t) != FLUX_OK
        || flux_crypto_publish(crypto, product, &t, flux_coinbase.name,
                               source) != FLUX_OK)
    {
        *why = "fields are missing or not what they should be";
        return FLUX_REPLY_INVALID;
    }

    return FLUX_REPLY_OK;
}


/*
 * {"type":"ticker","product_id":...}; subscriptions and heartbeats tell
 * nothing, {"type":"error","message":...} tells of trouble.
 */

flux_verdict_t
flux_coinbase_message(flux_crypto_t *crypto, const char *text, size_t len,
    flux_source_t source, const char **why)
{
    const char      *type;
    flux_tree_t      tree;
    flux_verdict_t   verdict;

    verdict = FLUX_REPLY_INVALID;
    *why = "not JSON";

    if (flux_tree_parse(&tree, text, len) == FLUX_OK) {
        type = flux_tree_string(&tree, flux_tree_root(&tree), "type");
        *why = NULL;

        if (type == NULL) {
            *why = "a message without a type";

        } else if (strcmp(type, "ticker") == 0) {
            verdict = flux_coinbase_ticker(crypto, &tree, source, why);

        } else if (strcmp(type, "error") == 0) {
            *why = "an error message";
            verdict = FLUX_REPLY_TROUBLE;

        } else {
            verdict = FLUX_REPLY_OK;
        }
    }

    flux_tree_free(&tree);

    return verdict;
}


flux_rc_t
flux_coinbase_start(flux_crypto_t *crypto)
{
    char                     job[FLUX_PRODUCT_SIZE + 16];
    size_t                   i;
    flux_fetcher_options_t   options;

    memset(&options, 0, sizeof(options));
    options.provider = &flux_coinbase;
    options.self = crypto;
    options.rate_milli = crypto->coinbase_rate;
    options.burst = 10;
    options.parallel = 4;

    crypto->coinbase = flux_app_fetcher(&crypto->app, &options);
    if (crypto->coinbase == NULL) {
        return FLUX_NOMEM;
    }

    if (!flux_fallback_asks(&crypto->app.fallback)) {
        return FLUX_OK;
    }

    for (i = 0; i < crypto->count; i++) {

        snprintf(job, sizeof(job), "stats/%s", crypto->products[i].id);

        if (flux_fetcher_add(crypto->coinbase, job, crypto->stats_interval, 0)
            != FLUX_OK)
        {
            return FLUX_NOMEM;
        }

        snprintf(job, sizeof(job), "ticker/%s", crypto->products[i].id);

        if (flux_fetcher_add(crypto->coinbase, job, crypto->interval, 0)
            != FLUX_OK)
        {
            return FLUX_NOMEM;
        }
    }

    return FLUX_OK;
}
