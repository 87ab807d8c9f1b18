/*
 * The day's movers, into flux.crypto.movers: two records, keys "gainers" and
 * "losers". From CoinGecko's GET /api/v3/coins/markets, an array of
 * {"symbol":"btc","name":...,"current_price":1,"market_cap":2,
 *  "total_volume":3,"price_change_percentage_24h":4.5,...}; numbers may be
 * null. Errors inside a 200 are {"status":{"error_code":429,...}}.
 */

#include "crypto.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define FLUX_MOVERS      5
#define FLUX_MARKET_MAX  250


typedef struct {
    char             symbol[FLUX_PRODUCT_SIZE];
    char             name[64];
    char             price[FLUX_DECIMAL_SIZE];
    char             change_text[FLUX_DECIMAL_SIZE];
    char             volume[FLUX_DECIMAL_SIZE];
    char             market_cap[FLUX_DECIMAL_SIZE];
    flux_decimal_t   change;
} flux_mover_t;


static flux_rc_t flux_coingecko_build(void *self, const char *job,
    flux_request_t *request);
static flux_verdict_t flux_coingecko_parse(void *self, const char *job,
    const flux_reply_t *reply, const char **why);


static const char *const  flux_movers_config[] = {
    "cleanup.policy", "compact",
    "segment.ms", "3600000",
    NULL
};

const flux_topic_t  flux_topic_movers = {
    "flux.crypto.movers", flux_movers_config, 0
};

const flux_provider_t  flux_coingecko = {
    "coingecko",
    flux_coingecko_build,
    flux_coingecko_parse
};


static int
flux_mover_compare(const void *a, const void *b)
{
    const flux_mover_t  *x = a, *y = b;

    return flux_decimal_compare(&y->change, &x->change);
}


static void
flux_movers_publish(flux_crypto_t *crypto, const char *key,
    const flux_mover_t *movers, size_t count, int last, const char *provider,
    flux_source_t source)
{
    char                 time[FLUX_TIME_SIZE];
    size_t               i;
    flux_buffer_t        value;
    flux_writer_t        w;
    const flux_mover_t  *m;

    flux_format_time(flux_wall_ms(), time);
    flux_buffer_init(&value, FLUX_VALUE_MAX);
    flux_writer_init(&w, &value);

    flux_write_object(&w, NULL);
    flux_write_text(&w, "kind", key);
    flux_write_array(&w, "items");

    for (i = 0; i < count && i < FLUX_MOVERS; i++) {
        m = last ? &movers[count - 1 - i] : &movers[i];

        if (last ? m->change.units >= 0 : m->change.units <= 0) {
            break;      /* in a falling market nobody gains */
        }

        flux_write_object(&w, NULL);
        flux_write_text(&w, "symbol", m->symbol);
        flux_write_text(&w, "name", m->name);
        flux_write_text(&w, "price", m->price);
        flux_write_text(&w, "change", m->change_text);
        flux_write_text(&w, "volume", m->volume[0] ? m->volume : NULL);
        flux_write_text(&w, "market_cap",
                        m->market_cap[0] ? m->market_cap : NULL);
        flux_write_end(&w);
    }

    flux_write_end(&w);
    flux_write_text(&w, "time", time);
    flux_write_text(&w, "provider", provider);
    flux_write_text(&w, "source", flux_source_name(source));
    flux_write_end(&w);

    flux_sink_put(&crypto->app.sink, &flux_topic_movers, key, &value);
    flux_buffer_free(&value);
}


static void
flux_movers_rank(flux_crypto_t *crypto, flux_mover_t *movers, size_t count,
    const char *provider, flux_source_t source)
{
    qsort(movers, count, sizeof(flux_mover_t), flux_mover_compare);

    flux_movers_publish(crypto, "gainers", movers, count, 0, provider,
                        source);
    flux_movers_publish(crypto, "losers", movers, count, 1, provider, source);
}


static flux_rc_t
flux_coingecko_build(void *self, const char *job, flux_request_t *request)
{
    flux_crypto_t  *crypto = self;

    (void) job;

    if (crypto->coingecko_key[0] != '\0') {
        snprintf(request->header, sizeof(request->header),
                 "x-cg-demo-api-key: %s", crypto->coingecko_key);
    }

    return flux_request_url(request, crypto->coingecko_url,
                            "/api/v3/coins/markets?vs_currency=usd"
                            "&order=market_cap_desc&per_page=%d&page=1"
                            "&price_change_percentage=24h", FLUX_MARKET_MAX);
}


static void
flux_coingecko_optional(const flux_tree_t *tree, const flux_node_t *coin,
    const char *name, char out[FLUX_DECIMAL_SIZE])
{
    const char  *text;

    text = flux_tree_number(tree, coin, name);

    if (!flux_decimal_unsigned(text)
        || flux_copy_text(out, FLUX_DECIMAL_SIZE, text) != FLUX_OK)
    {
        out[0] = '\0';
    }
}


static flux_rc_t
flux_coingecko_coin(const flux_tree_t *tree, const flux_node_t *coin,
    flux_mover_t *m)
{
    size_t       i;
    const char  *symbol, *name, *price, *change;

    symbol = flux_tree_string(tree, coin, "symbol");
    name = flux_tree_string(tree, coin, "name");
    price = flux_tree_number(tree, coin, "current_price");
    change = flux_tree_number(tree, coin, "price_change_percentage_24h");

    if (symbol == NULL || name == NULL || change == NULL
        || !flux_decimal_positive(price)
        || flux_decimal_parse(&m->change, change) != FLUX_OK
        || flux_copy_text(m->symbol, sizeof(m->symbol), symbol) != FLUX_OK
        || flux_copy_text(m->name, sizeof(m->name), name) != FLUX_OK
        || flux_copy_text(m->price, sizeof(m->price), price) != FLUX_OK
        || flux_copy_text(m->change_text, sizeof(m->change_text), change)
           != FLUX_OK)
    {
        return FLUX_INVALID;
    }

    for (i = 0; m->symbol[i] != '\0'; i++) {
        m->symbol[i] = (char) toupper((unsigned char) m->symbol[i]);
    }

    flux_coingecko_optional(tree, coin, "total_volume", m->volume);
    flux_coingecko_optional(tree, coin, "market_cap", m->market_cap);

    return FLUX_OK;
}


static flux_verdict_t
flux_coingecko_market(flux_crypto_t *crypto, const flux_tree_t *tree,
    flux_source_t source, const char **why)
{
    size_t               count;
    flux_mover_t        *movers;
    const flux_node_t   *root, *coin;

    root = flux_tree_root(tree);

    movers = calloc(FLUX_MARKET_MAX, sizeof(flux_mover_t));
    if (movers == NULL) {
        *why = "out of memory";
        return FLUX_REPLY_INVALID;
    }

    count = 0;

    for (coin = flux_tree_first(tree, root);
         coin != NULL && count < FLUX_MARKET_MAX;
         coin = flux_tree_next(tree, root, coin))
    {
        count += (flux_coingecko_coin(tree, coin, &movers[count]) == FLUX_OK);
    }

    if (count > 0) {
        flux_movers_rank(crypto, movers, count, flux_coingecko.name, source);
    }

    free(movers);

    *why = "no market data";

    return (count > 0) ? FLUX_REPLY_OK : FLUX_REPLY_INVALID;
}


static flux_verdict_t
flux_coingecko_parse(void *self, const char *job, const flux_reply_t *reply,
    const char **why)
{
    int64_t          code;
    flux_tree_t      tree;
    flux_verdict_t   verdict;

    (void) job;

    verdict = FLUX_REPLY_INVALID;
    *why = "not JSON";

    if (flux_tree_parse(&tree, reply->body, reply->len) == FLUX_OK) {

        if (flux_tree_int(&tree,
                          flux_tree_member(&tree, flux_tree_root(&tree),
                                           "status"),
                          "error_code", &code) == FLUX_OK)
        {
            *why = "an error inside a good status";
            verdict = (code == 429) ? FLUX_REPLY_LIMITED : FLUX_REPLY_TROUBLE;

        } else if (flux_tree_root(&tree)->type == FLUX_NODE_ARRAY) {
            verdict = flux_coingecko_market(self, &tree, reply->source, why);

        } else {
            *why = "no market data";
        }
    }

    flux_tree_free(&tree);

    return verdict;
}


void
flux_movers_simulate(flux_crypto_t *crypto)
{
    size_t           i, count;
    flux_mover_t    *movers, *m;
    flux_ticker_t    t;
    flux_product_t  *product;

    movers = calloc(crypto->count, sizeof(flux_mover_t));
    if (movers == NULL) {
        return;
    }

    count = 0;

    for (i = 0; i < crypto->count; i++) {
        product = &crypto->products[i];
        m = &movers[count];

        flux_crypto_simulated_ticker(product, &t);
        flux_copy_text(m->symbol, sizeof(m->symbol), product->id);
        m->symbol[strcspn(m->symbol, "-")] = '\0';

        if (flux_copy_text(m->name, sizeof(m->name), product->name) == FLUX_OK
            && flux_copy_text(m->price, sizeof(m->price), t.price) == FLUX_OK
            && flux_decimal_percent(t.open, t.price, 2, m->change_text)
               == FLUX_OK
            && flux_decimal_parse(&m->change, m->change_text) == FLUX_OK)
        {
            count++;
        }
    }

    flux_movers_rank(crypto, movers, count, "simulated", FLUX_SIMULATED);
    free(movers);
}


flux_rc_t
flux_movers_start(flux_crypto_t *crypto)
{
    flux_fetcher_options_t  options;

    memset(&options, 0, sizeof(options));
    options.provider = &flux_coingecko;
    options.self = crypto;
    options.rate_milli = crypto->coingecko_rate;
    options.burst = 2;
    options.parallel = 1;
    options.cache_ttl = crypto->movers_interval * 4;

    crypto->coingecko = flux_app_fetcher(&crypto->app, &options);
    if (crypto->coingecko == NULL) {
        return FLUX_NOMEM;
    }

    if (crypto->no_movers || !flux_fallback_asks(&crypto->app.fallback)) {
        return FLUX_OK;
    }

    return flux_fetcher_add(crypto->coingecko, "markets",
                            crypto->movers_interval, 0);
}
