/*
 * flux-crypto: prices of coins into flux.crypto.ticker, the day's movers
 * into flux.crypto.movers. What its files share.
 */

#ifndef FLUX_CRYPTO_H
#define FLUX_CRYPTO_H

#include "../common/flux_app.h"
#include "../common/flux_decimal.h"
#include "../common/flux_tree.h"
#include "../common/flux_writer.h"

#define FLUX_PRODUCT_SIZE  32
#define FLUX_PRODUCTS_MAX  64

typedef struct flux_crypto_s       flux_crypto_t;
typedef struct flux_coinbase_ws_s  flux_coinbase_ws_t;

/* A ticker as providers tell it: their own texts, nothing computed. */
typedef struct {
    char  price[FLUX_DECIMAL_SIZE];
    char  open[FLUX_DECIMAL_SIZE];      /* 24 hours ago */
    char  high[FLUX_DECIMAL_SIZE];
    char  low[FLUX_DECIMAL_SIZE];
    char  volume[FLUX_DECIMAL_SIZE];    /* of 24 hours, in the base coin */
    char  time[48];                     /* ISO 8601 */
} flux_ticker_t;

typedef struct {
    char            id[FLUX_PRODUCT_SIZE];      /* BTC-USD */
    const char     *name;                       /* Bitcoin */
    flux_crypto_t  *crypto;

    /* two replies of Coinbase's REST interface make one ticker */
    flux_ticker_t   ticker;
    flux_source_t   source;
    int             has_price;
    int             has_stats;

    int             replayed;       /* the tape has it: not simulated */

    /* the simulation, in units of 10^-scale */
    int64_t         base;
    int64_t         price;
    int64_t         open;
    int64_t         high;
    int64_t         low;
    int64_t         volume;
    int             scale;
} flux_product_t;

struct flux_crypto_s {
    flux_app_t        app;

    flux_list_t       ids;
    const char       *coinbase_url;
    int64_t           coinbase_rate;
    int64_t           interval;
    int64_t           stats_interval;
    const char       *coinbase_ws_url;
    int               no_websocket;
    int64_t           feed_silence;
    const char       *coingecko_url;
    char              coingecko_key[FLUX_SECRET_SIZE];
    int64_t           coingecko_rate;
    int64_t           movers_interval;
    int               no_movers;

    flux_product_t    products[FLUX_PRODUCTS_MAX];
    size_t            count;
    size_t            next;         /* of the simulation */
    size_t            simulated;    /* records so far */
    flux_fetcher_t   *coinbase;
    flux_fetcher_t   *coingecko;
    flux_coinbase_ws_t  *feed;
};

extern const flux_topic_t      flux_topic_movers;
extern const flux_provider_t   flux_coinbase;
extern const flux_provider_t   flux_coingecko;

/* NULL if it is not one of ours. */
flux_product_t *flux_crypto_product(flux_crypto_t *crypto, const char *id);

/*
 * Checks a ticker (prices above zero, the rest not below, a time) and
 * publishes it. FLUX_INVALID: nothing was published.
 */
flux_rc_t flux_crypto_publish(flux_crypto_t *crypto, flux_product_t *product,
    const flux_ticker_t *ticker, const char *provider, flux_source_t source);

/* coinbase.c */
flux_rc_t flux_coinbase_start(flux_crypto_t *crypto);

/* Coinbase's ticker message of the WebSocket feed, also on tapes. */
flux_verdict_t flux_coinbase_message(flux_crypto_t *crypto, const char *text,
    size_t len, flux_source_t source, const char **why);

/* coinbase_ws.c */
flux_rc_t flux_coinbase_ws_start(flux_crypto_t *crypto);
void flux_coinbase_ws_stop(flux_crypto_t *crypto);

/* 1 while prices come by WebSocket. */
int flux_coinbase_ws_delivers(const flux_crypto_t *crypto);

/* movers.c */
flux_rc_t flux_movers_start(flux_crypto_t *crypto);
void flux_movers_simulate(flux_crypto_t *crypto);

/* coins.c: a name and a plausible price for the simulation */
typedef struct {
    const char  *code;
    const char  *name;
    int64_t      base;
    int          scale;
} flux_coin_t;

const flux_coin_t *flux_coin_find(const char *product);

/* simulated.c */
void flux_crypto_simulate_init(flux_product_t *product,
    flux_random_t *random);
void flux_crypto_simulate(void *arg);

/* The simulation's present state, without a step. */
void flux_crypto_simulated_ticker(const flux_product_t *product,
    flux_ticker_t *ticker);

#endif /* FLUX_CRYPTO_H */
