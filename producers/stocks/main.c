#include "stocks.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static const char *const  flux_stocks_config[] = {
    "cleanup.policy", "compact",
    "segment.ms", "600000",
    "min.compaction.lag.ms", "1800000",     /* half an hour for the charts */
    NULL
};

static const flux_topic_t  flux_topic_stocks = {
    "flux.stocks", flux_stocks_config, 0
};

static const flux_topic_t *const  flux_stocks_topics[] = {
    &flux_topic_stocks
};

static const char  flux_stocks_summary[] =
    "Writes quotes of US shares to the Kafka topic flux.stocks, one record per\n"
    "symbol and look at it, its key the symbol. They come from Finnhub with a\n"
    "token (FINNHUB_TOKEN); without one they are simulated and say so.";

static const char  flux_stocks_examples[] =
    "  FINNHUB_TOKEN=... flux-stocks --brokers kafka-1:9092\n"
    "  flux-stocks --finnhub-token-file /etc/flux/finnhub.token --symbol AAPL,IBM\n"
    "  flux-stocks --provider simulated --print --once | jq .price\n";


flux_stock_t *
flux_stocks_find(flux_stocks_t *stocks, const char *symbol)
{
    size_t  i;

    for (i = 0; i < stocks->count; i++) {
        if (strcmp(stocks->stocks[i].symbol, symbol) == 0) {
            return &stocks->stocks[i];
        }
    }

    return NULL;
}


flux_rc_t
flux_stocks_publish(flux_stocks_t *stocks, flux_stock_t *stock,
    const flux_quote_t *quote, const char *provider, flux_source_t source)
{
    char           time[FLUX_TIME_SIZE];
    flux_rc_t      rc;
    flux_buffer_t  value;
    flux_writer_t  w;

    stock->replayed = (source == FLUX_REPLAY);

    flux_format_time(quote->time, time);
    flux_buffer_init(&value, FLUX_VALUE_MAX);
    flux_writer_init(&w, &value);

    flux_write_object(&w, NULL);
    flux_write_text(&w, "symbol", stock->symbol);
    flux_write_text(&w, "name", stock->name);
    flux_write_text(&w, "price", quote->price);
    flux_write_text(&w, "change", quote->change);
    flux_write_text(&w, "difference", quote->difference);
    flux_write_text(&w, "open", quote->open);
    flux_write_text(&w, "high", quote->high);
    flux_write_text(&w, "low", quote->low);
    flux_write_text(&w, "previous_close", quote->previous);
    flux_write_text(&w, "time", time);
    flux_write_text(&w, "provider", provider);
    flux_write_text(&w, "source", flux_source_name(source));
    flux_write_end(&w);

    rc = flux_sink_put(&stocks->app.sink, &flux_topic_stocks, stock->symbol,
                       &value);
    flux_buffer_free(&value);

    return rc;
}


static int
flux_stocks_options(flux_stocks_t *stocks, int argc, char *const argv[])
{
    int          rc;
    flux_app_t  *app;

    app = &stocks->app;

    const flux_option_t  own[] = {
        { FLUX_OPTION_GROUP, "What to fetch:", NULL, NULL, NULL, 0, 0, NULL },
        { FLUX_OPTION_LIST, "symbol", "SYMBOL,...",
          "shares (some 50 of the largest)", &stocks->symbols, 0, 0, NULL },
        { FLUX_OPTION_CHOICE, "provider", "NAME",
          "auto, finnhub, replay or simulated (auto: Finnhub if there\n"
          "is a token; while it does not answer the tape and a simulation)",
          &app->settings.provider, 0, 0, "auto|finnhub|replay|simulated" },
        { FLUX_OPTION_SECRET, "finnhub-token", NULL,
          "or FINNHUB_TOKEN in the environment", stocks->token, 0, 0, NULL },
        { FLUX_OPTION_URL, "finnhub-url", "URL", "(https://finnhub.io)",
          &stocks->finnhub_url, 0, 0, NULL },
        { FLUX_OPTION_RATE, "finnhub-rate", "N",
          "requests per second at most (0.9: the free plan has 1)",
          &stocks->finnhub_rate, 1, 1000000, NULL },
        { FLUX_OPTION_TIME, "interval", "TIME",
          "between two quotes of a share (1m)", &stocks->interval, 100,
          86400000, NULL },
        { FLUX_OPTION_GROUP, NULL, NULL, NULL, NULL, 0, 0, NULL }
    };

    app->program = "flux-stocks";
    app->summary = flux_stocks_summary;
    app->examples = flux_stocks_examples;
    app->options = own;
    app->topics = flux_stocks_topics;
    app->topics_count = sizeof(flux_stocks_topics)
                        / sizeof(flux_stocks_topics[0]);
    app->simulate = flux_stocks_simulate;
    app->self = stocks;
    app->settings.rate = 5000;

    stocks->finnhub_url = "https://finnhub.io";
    stocks->finnhub_rate = 900;
    stocks->interval = 60000;

    rc = flux_app_parse(app, argc, argv);

    if (rc == -1 && stocks->token[0] == '\0'
        && strcmp(app->settings.provider, "finnhub") == 0)
    {
        fprintf(stderr, "flux-stocks: --provider finnhub needs a token in "
                "FINNHUB_TOKEN or --finnhub-token-file\n");
        rc = 2;
    }

    return rc;
}


static int
flux_symbol_is_valid(const char *symbol)
{
    size_t  i;

    for (i = 0; symbol[i] != '\0'; i++) {
        if (!isupper((unsigned char) symbol[i])
            && !isdigit((unsigned char) symbol[i]) && symbol[i] != '.'
            && symbol[i] != '-')
        {
            return 0;
        }
    }

    return i > 0 && i < FLUX_SYMBOL_SIZE;
}


/* shares that nobody knows here are called by their symbol, and cost $100 */

static void
flux_stock_init(flux_stock_t *stock, const char *symbol)
{
    size_t                i;
    const flux_symbol_t  *known;

    flux_copy_text(stock->symbol, sizeof(stock->symbol), symbol);
    stock->name = stock->symbol;
    stock->base = 10000;

    for (i = 0; (known = flux_symbol(i)) != NULL; i++) {
        if (strcmp(known->symbol, symbol) == 0) {
            stock->name = known->name;
            stock->base = known->cents;
        }
    }
}


static int
flux_stocks_init(flux_stocks_t *stocks)
{
    size_t                i;
    const flux_symbol_t  *known;

    for (i = 0; stocks->symbols.count == i && (known = flux_symbol(i)); i++) {
        if (flux_list_add(&stocks->symbols, known->symbol,
                          strlen(known->symbol)) != FLUX_OK)
        {
            return 1;
        }
    }

    if (stocks->symbols.count > FLUX_SYMBOLS_MAX) {
        fprintf(stderr, "flux-stocks: more than %d symbols\n",
                FLUX_SYMBOLS_MAX);
        return 2;
    }

    stocks->stocks = calloc(stocks->symbols.count, sizeof(flux_stock_t));
    if (stocks->stocks == NULL) {
        return 1;
    }

    for (i = 0; i < stocks->symbols.count; i++) {

        if (!flux_symbol_is_valid(stocks->symbols.items[i])) {
            fprintf(stderr, "flux-stocks: --symbol: '%s' is not like AAPL\n",
                    stocks->symbols.items[i]);
            return 2;
        }

        if (flux_stocks_find(stocks, stocks->symbols.items[i]) == NULL) {
            flux_stock_init(&stocks->stocks[stocks->count++],
                            stocks->symbols.items[i]);
        }
    }

    return -1;
}


static flux_rc_t
flux_stocks_fetcher(flux_stocks_t *stocks)
{
    size_t                   i;
    flux_rc_t                rc;
    flux_fetcher_options_t   options;

    memset(&options, 0, sizeof(options));
    options.provider = &flux_finnhub;
    options.self = stocks;
    options.rate_milli = stocks->finnhub_rate;
    options.burst = 5;
    options.parallel = 2;
    options.cache_ttl = stocks->interval * 10;

    stocks->finnhub = flux_app_fetcher(&stocks->app, &options);
    if (stocks->finnhub == NULL) {
        return FLUX_NOMEM;
    }

    if (!flux_fallback_asks(&stocks->app.fallback)) {
        return FLUX_OK;
    }

    if (stocks->token[0] == '\0') {
        flux_log(&stocks->app.log, FLUX_WARN, "no Finnhub token");
        stocks->app.fallback.grace = 0;     /* nobody to wait for */
        return FLUX_OK;
    }

    rc = FLUX_OK;

    for (i = 0; i < stocks->count && rc == FLUX_OK; i++) {
        rc = flux_fetcher_add(stocks->finnhub, stocks->stocks[i].symbol,
                              stocks->interval, 0);
    }

    return rc;
}


static int
flux_stocks_start(void *self)
{
    int             rc;
    size_t          i;
    flux_stocks_t  *stocks = self;

    rc = flux_stocks_init(stocks);

    if (rc == -1) {
        stocks->app.simulate_once = stocks->count;
        rc = flux_app_start(&stocks->app);
    }

    if (rc != -1) {
        return rc;
    }

    for (i = 0; i < stocks->count; i++) {
        flux_stocks_simulate_init(stocks, &stocks->stocks[i]);
    }

    return (flux_stocks_fetcher(stocks) == FLUX_OK) ? -1 : 1;
}


int
main(int argc, char *argv[])
{
    int             rc;
    flux_stocks_t  *stocks;

    stocks = calloc(1, sizeof(flux_stocks_t));
    if (stocks == NULL) {
        return 1;
    }

    rc = flux_stocks_options(stocks, argc, argv);

    if (rc == -1) {
        rc = flux_app_serve(&stocks->app, flux_stocks_start, NULL);
    }

    flux_list_free(&stocks->symbols);
    free(stocks->stocks);
    free(stocks);

    return rc;
}
