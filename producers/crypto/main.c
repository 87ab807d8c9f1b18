#include "crypto.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static const char *const  flux_ticker_config[] = {
    "cleanup.policy", "compact",
    "segment.ms", "600000",
    "min.compaction.lag.ms", "1800000",     /* half an hour for the charts */
    NULL
};

static const flux_topic_t  flux_topic_ticker = {
    "flux.crypto.ticker", flux_ticker_config, 0
};

static const flux_topic_t *const  flux_crypto_topics[] = {
    &flux_topic_ticker,
    &flux_topic_movers
};

static const char  flux_crypto_products[] =
    "BTC-USD,ETH-USD,SOL-USD,XRP-USD,DOGE-USD,ADA-USD,AVAX-USD,LINK-USD,"
    "DOT-USD,LTC-USD";

static const char  flux_crypto_summary[] =
    "Writes the prices of coins to the Kafka topic flux.crypto.ticker,\n"
    "one record per product and change, its key the product (BTC-USD), and the\n"
    "day's movers to flux.crypto.movers (keys gainers and losers). They come\n"
    "from Coinbase Exchange and CoinGecko; no key is needed.";

static const char  flux_crypto_examples[] =
    "  flux-crypto --brokers kafka-1:9092,kafka-2:9092\n"
    "  flux-crypto --product BTC-USD,ETH-EUR --print --once | jq .price\n"
    "  flux-crypto --provider simulated --rate 50 --seed 7\n";


flux_product_t *
flux_crypto_product(flux_crypto_t *crypto, const char *id)
{
    size_t  i;

    for (i = 0; i < crypto->count; i++) {
        if (strcmp(crypto->products[i].id, id) == 0) {
            return &crypto->products[i];
        }
    }

    return NULL;
}


static flux_rc_t
flux_ticker_check(const flux_ticker_t *t)
{
    if (!flux_decimal_positive(t->price) || !flux_decimal_positive(t->open)
        || !flux_decimal_positive(t->high) || !flux_decimal_positive(t->low)
        || !flux_decimal_unsigned(t->volume)
        || !isdigit((unsigned char) t->time[0]))
    {
        return FLUX_INVALID;
    }

    return FLUX_OK;
}


flux_rc_t
flux_crypto_publish(flux_crypto_t *crypto, flux_product_t *product,
    const flux_ticker_t *t, const char *provider, flux_source_t source)
{
    char           change[FLUX_DECIMAL_SIZE];
    flux_rc_t      rc;
    flux_buffer_t  value;
    flux_writer_t  w;

    if (flux_ticker_check(t) != FLUX_OK
        || flux_decimal_percent(t->open, t->price, 2, change) != FLUX_OK)
    {
        return FLUX_INVALID;
    }

    product->replayed = (source == FLUX_REPLAY);

    flux_buffer_init(&value, FLUX_VALUE_MAX);
    flux_writer_init(&w, &value);

    flux_write_object(&w, NULL);
    flux_write_text(&w, "symbol", product->id);
    flux_write_text(&w, "name", product->name);
    flux_write_text(&w, "price", t->price);
    flux_write_text(&w, "open", t->open);
    flux_write_text(&w, "high", t->high);
    flux_write_text(&w, "low", t->low);
    flux_write_text(&w, "volume", t->volume);
    flux_write_text(&w, "change", change);
    flux_write_text(&w, "time", t->time);
    flux_write_text(&w, "provider", provider);
    flux_write_text(&w, "source", flux_source_name(source));
    flux_write_end(&w);

    rc = flux_sink_put(&crypto->app.sink, &flux_topic_ticker, product->id,
                       &value);
    flux_buffer_free(&value);

    /* a record that Kafka does not take is no fault of the ticker's */

    (void) rc;

    return FLUX_OK;
}


/* tapes of the WebSocket feed, recorded or made from a series */

static void
flux_crypto_play(void *self, const char *provider, const char *request,
    const flux_reply_t *reply)
{
    const char  *why;

    (void) request;

    if (strcmp(provider, "coinbase-ws") == 0) {
        flux_coinbase_message(self, reply->body, reply->len, reply->source,
                              &why);
    }
}


static int
flux_product_is_valid(const char *id)
{
    size_t  i;

    for (i = 0; id[i] != '\0'; i++) {
        if (!isupper((unsigned char) id[i]) && !isdigit((unsigned char) id[i])
            && id[i] != '-')
        {
            return 0;
        }
    }

    return i >= 3 && i < FLUX_PRODUCT_SIZE && strchr(id, '-') != NULL;
}


static int
flux_crypto_products_init(flux_crypto_t *crypto)
{
    size_t           i;
    flux_product_t  *product;

    if (crypto->ids.count > FLUX_PRODUCTS_MAX) {
        fprintf(stderr, "flux-crypto: more than %d products\n",
                FLUX_PRODUCTS_MAX);
        return 2;
    }

    for (i = 0; i < crypto->ids.count; i++) {

        if (!flux_product_is_valid(crypto->ids.items[i])) {
            fprintf(stderr, "flux-crypto: --product: '%s' is not like "
                    "BTC-USD\n", crypto->ids.items[i]);
            return 2;
        }

        if (flux_crypto_product(crypto, crypto->ids.items[i]) != NULL) {
            continue;
        }

        product = &crypto->products[crypto->count++];
        product->crypto = crypto;
        flux_copy_text(product->id, sizeof(product->id),
                       crypto->ids.items[i]);
        product->name = flux_coin_find(product->id)->name;

        if (product->name == NULL) {
            product->name = product->id;
        }
    }

    return -1;
}


static int
flux_crypto_options(flux_crypto_t *crypto, int argc, char *const argv[])
{
    flux_app_t  *app;

    app = &crypto->app;

    const flux_option_t  own[] = {
        { FLUX_OPTION_GROUP, "What to fetch:", NULL, NULL, NULL, 0, 0, NULL },
        { FLUX_OPTION_LIST, "product", "ID,...",
          "products of Coinbase Exchange (ten of the best known,\n"
          "all against USD)", &crypto->ids, 0, 0, NULL },
        { FLUX_OPTION_CHOICE, "provider", "NAME",
          "auto, coinbase, replay or simulated (auto: Coinbase,\n"
          "and while it does not answer the tape and a simulation)",
          &app->settings.provider, 0, 0, "auto|coinbase|replay|simulated" },
        { FLUX_OPTION_TIME, "interval", "TIME",
          "between two prices of a product (2s)", &crypto->interval, 100,
          86400000, NULL },
        { FLUX_OPTION_TIME, "stats-interval", "TIME",
          "between two looks at open, high, low, volume (30s)",
          &crypto->stats_interval, 1000, 86400000, NULL },
        { FLUX_OPTION_URL, "coinbase-url", "URL",
          "REST interface (https://api.exchange.coinbase.com)",
          &crypto->coinbase_url, 0, 0, NULL },
        { FLUX_OPTION_RATE, "coinbase-rate", "N",
          "requests per second at most (8)", &crypto->coinbase_rate, 1,
          1000000, NULL },
        { FLUX_OPTION_URL, "coinbase-ws-url", "URL",
          "WebSocket feed (wss://ws-feed.exchange.coinbase.com)",
          &crypto->coinbase_ws_url, 0, 0, NULL },
        { FLUX_OPTION_FLAG, "no-websocket", NULL,
          "REST only; else it is the fallback", &crypto->no_websocket, 0, 0,
          NULL },
        { FLUX_OPTION_TIME, "feed-silence", "TIME",
          "a WebSocket that says nothing for so long is left (30s)",
          &crypto->feed_silence, 100, 600000, NULL },
        { FLUX_OPTION_GROUP, "Movers:", NULL, NULL, NULL, 0, 0, NULL },
        { FLUX_OPTION_FLAG, "no-movers", NULL, "without flux.crypto.movers",
          &crypto->no_movers, 0, 0, NULL },
        { FLUX_OPTION_TIME, "movers-interval", "TIME",
          "between two looks at the market (2m)", &crypto->movers_interval,
          100, 86400000, NULL },
        { FLUX_OPTION_URL, "coingecko-url", "URL",
          "(https://api.coingecko.com)", &crypto->coingecko_url, 0, 0, NULL },
        { FLUX_OPTION_RATE, "coingecko-rate", "N",
          "requests per second at most (0.08)", &crypto->coingecko_rate, 1,
          1000000, NULL },
        { FLUX_OPTION_SECRET, "coingecko-key", NULL,
          "of a demo plan, or COINGECKO_KEY in the environment; optional",
          crypto->coingecko_key, 0, 0, NULL },
        { FLUX_OPTION_GROUP, NULL, NULL, NULL, NULL, 0, 0, NULL }
    };

    app->program = "flux-crypto";
    app->summary = flux_crypto_summary;
    app->examples = flux_crypto_examples;
    app->options = own;
    app->topics = flux_crypto_topics;
    app->topics_count = sizeof(flux_crypto_topics)
                        / sizeof(flux_crypto_topics[0]);
    app->simulate = flux_crypto_simulate;
    app->play = flux_crypto_play;
    app->self = crypto;
    app->settings.rate = 10000;

    crypto->coinbase_url = "https://api.exchange.coinbase.com";
    crypto->coinbase_ws_url = "wss://ws-feed.exchange.coinbase.com";
    crypto->feed_silence = 30000;
    crypto->coingecko_url = "https://api.coingecko.com";
    crypto->coingecko_rate = 80;
    crypto->movers_interval = 120000;
    crypto->coinbase_rate = 8000;
    crypto->interval = 2000;
    crypto->stats_interval = 30000;

    return flux_app_parse(app, argc, argv);
}


static int
flux_crypto_start(void *self)
{
    int             rc;
    size_t          i;
    flux_crypto_t  *crypto = self;

    if (crypto->ids.count == 0
        && flux_list_split(&crypto->ids, flux_crypto_products) != FLUX_OK)
    {
        return 1;
    }

    rc = flux_crypto_products_init(crypto);

    if (rc == -1) {
        crypto->app.simulate_once = crypto->count;
        rc = flux_app_start(&crypto->app);
    }

    if (rc != -1) {
        return rc;
    }

    for (i = 0; i < crypto->count; i++) {
        flux_crypto_simulate_init(&crypto->products[i], &crypto->app.random);
    }

    return (flux_coinbase_start(crypto) == FLUX_OK
            && flux_coinbase_ws_start(crypto) == FLUX_OK
            && flux_movers_start(crypto) == FLUX_OK) ? -1 : 1;
}


static void
flux_crypto_stop(void *self)
{
    flux_coinbase_ws_stop(self);
}


int
main(int argc, char *argv[])
{
    int             rc;
    flux_crypto_t  *crypto;

    crypto = calloc(1, sizeof(flux_crypto_t));
    if (crypto == NULL) {
        return 1;
    }

    rc = flux_crypto_options(crypto, argc, argv);

    if (rc == -1) {
        rc = flux_app_serve(&crypto->app, flux_crypto_start, flux_crypto_stop);
    }

    flux_list_free(&crypto->ids);
    free(crypto);

    return rc;
}
