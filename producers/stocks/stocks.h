/*
 * flux-stocks: quotes of US shares into flux.stocks. What its files share.
 */

#ifndef FLUX_STOCKS_H
#define FLUX_STOCKS_H

#include "../common/flux_app.h"
#include "../common/flux_decimal.h"
#include "../common/flux_tree.h"
#include "../common/flux_writer.h"

#define FLUX_SYMBOL_SIZE   16
#define FLUX_SYMBOLS_MAX   500

typedef struct flux_stocks_s  flux_stocks_t;

/* A quote as the provider tells it. */
typedef struct {
    char     price[FLUX_DECIMAL_SIZE];
    char     change[FLUX_DECIMAL_SIZE];         /* in percent */
    char     difference[FLUX_DECIMAL_SIZE];     /* in dollars */
    char     open[FLUX_DECIMAL_SIZE];
    char     high[FLUX_DECIMAL_SIZE];
    char     low[FLUX_DECIMAL_SIZE];
    char     previous[FLUX_DECIMAL_SIZE];
    int64_t  time;                              /* Unix ms */
} flux_quote_t;

typedef struct {
    char         symbol[FLUX_SYMBOL_SIZE];
    const char  *name;
    int          replayed;

    /* the simulation, in cents */
    int64_t      base;
    int64_t      price;
    int64_t      open;
    int64_t      previous;
    int64_t      high;
    int64_t      low;
} flux_stock_t;

struct flux_stocks_s {
    flux_app_t       app;

    flux_list_t      symbols;
    const char      *finnhub_url;
    char             token[FLUX_SECRET_SIZE];
    int64_t          finnhub_rate;
    int64_t          interval;

    flux_stock_t    *stocks;
    size_t           count;
    size_t           next;          /* of the simulation */
    flux_fetcher_t  *finnhub;
};

extern const flux_provider_t  flux_finnhub;

flux_stock_t *flux_stocks_find(flux_stocks_t *stocks, const char *symbol);

/* FLUX_INVALID: it is no quote; nothing was published. */
flux_rc_t flux_stocks_publish(flux_stocks_t *stocks, flux_stock_t *stock,
    const flux_quote_t *quote, const char *provider, flux_source_t source);

/* symbols.c: a name and a plausible price in cents for the simulation */
typedef struct {
    const char  *symbol;
    const char  *name;
    int64_t      cents;
} flux_symbol_t;

/* The i-th of some 50 known shares; NULL past the end. */
const flux_symbol_t *flux_symbol(size_t i);

/* simulated.c */
void flux_stocks_simulate_init(flux_stocks_t *stocks, flux_stock_t *stock);
void flux_stocks_simulate(void *arg);

#endif /* FLUX_STOCKS_H */
