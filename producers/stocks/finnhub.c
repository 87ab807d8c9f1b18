/*
 * Finnhub, with a token: GET /api/v1/quote?symbol=AAPL gives numbers,
 * {"c":261.74,"d":1.08,"dp":0.4143,"h":263.31,"l":260.68,"o":261.07,
 *  "pc":259.45,"t":1582641000}. An unknown symbol is all zeros with status
 * 200, d and dp null. The token goes into a header, so no URL shows it. The
 * free plan allows 60 requests a minute.
 */

#include "stocks.h"

#include <stdio.h>
#include <string.h>


static flux_rc_t flux_finnhub_build(void *self, const char *job,
    flux_request_t *request);
static flux_verdict_t flux_finnhub_parse(void *self, const char *job,
    const flux_reply_t *reply, const char **why);


const flux_provider_t  flux_finnhub = {
    "finnhub",
    flux_finnhub_build,
    flux_finnhub_parse
};


static flux_rc_t
flux_finnhub_build(void *self, const char *job, flux_request_t *request)
{
    char            symbol[FLUX_SYMBOL_SIZE * 3];
    flux_stocks_t  *stocks = self;

    if (flux_url_escape(symbol, sizeof(symbol), job) != FLUX_OK) {
        return FLUX_FULL;
    }

    snprintf(request->header, sizeof(request->header), "X-Finnhub-Token: %s",
             stocks->token);

    return flux_request_url(request, stocks->finnhub_url,
                            "/api/v1/quote?symbol=%s", symbol);
}


static flux_rc_t
flux_finnhub_number(const flux_tree_t *tree, const char *name, int is_price,
    char out[FLUX_DECIMAL_SIZE])
{
    const char      *text;
    flux_decimal_t   d;

    text = flux_tree_number(tree, flux_tree_root(tree), name);

    if (text == NULL || flux_decimal_parse(&d, text) != FLUX_OK
        || (is_price && d.units <= 0))
    {
        return FLUX_INVALID;
    }

    return flux_copy_text(out, FLUX_DECIMAL_SIZE, text);
}


static flux_rc_t
flux_finnhub_quote(const flux_tree_t *tree, flux_quote_t *quote)
{
    int64_t  seconds;

    if (flux_finnhub_number(tree, "c", 1, quote->price) != FLUX_OK
        || flux_finnhub_number(tree, "o", 1, quote->open) != FLUX_OK
        || flux_finnhub_number(tree, "h", 1, quote->high) != FLUX_OK
        || flux_finnhub_number(tree, "l", 1, quote->low) != FLUX_OK
        || flux_finnhub_number(tree, "pc", 1, quote->previous) != FLUX_OK
        || flux_finnhub_number(tree, "d", 0, quote->difference) != FLUX_OK
        || flux_finnhub_number(tree, "dp", 0, quote->change) != FLUX_OK
        || flux_tree_int(tree, flux_tree_root(tree), "t", &seconds)
           != FLUX_OK
        || seconds <= 0 || seconds > INT64_MAX / 1000)
    {
        return FLUX_INVALID;
    }

    quote->time = seconds * 1000;

    return FLUX_OK;
}


static int
flux_finnhub_is_unknown(const flux_tree_t *tree)
{
    const char  *price;

    price = flux_tree_number(tree, flux_tree_root(tree), "c");

    return price != NULL && strcmp(price, "0") == 0;
}


static flux_verdict_t
flux_finnhub_parse(void *self, const char *job, const flux_reply_t *reply,
    const char **why)
{
    flux_tree_t      tree;
    flux_quote_t     quote;
    flux_stock_t    *stock;
    flux_stocks_t   *stocks = self;
    flux_verdict_t   verdict;

    stock = flux_stocks_find(stocks, job);
    if (stock == NULL) {
        return FLUX_REPLY_REFUSED;
    }

    memset(&quote, 0, sizeof(quote));
    verdict = FLUX_REPLY_INVALID;
    *why = "not JSON";

    if (flux_tree_parse(&tree, reply->body, reply->len) == FLUX_OK) {

        if (flux_tree_string(&tree, flux_tree_root(&tree), "error") != NULL) {
            *why = "an error inside a good status";
            verdict = FLUX_REPLY_TROUBLE;

        } else if (flux_finnhub_is_unknown(&tree)) {
            *why = "no such symbol";
            verdict = FLUX_REPLY_REFUSED;

        } else if (flux_finnhub_quote(&tree, &quote) == FLUX_OK) {
            *why = NULL;
            flux_stocks_publish(stocks, stock, &quote, flux_finnhub.name,
                                reply->source);
            verdict = FLUX_REPLY_OK;

        } else {
            *why = "fields are missing or not what they should be";
        }
    }

    flux_tree_free(&tree);

    return verdict;
}
