/*
 * A seeded random walk in cents for shares that nothing real covers. Its
 * records say "simulated" and have no claim to be anything else.
 */

#include "stocks.h"

#include <stdio.h>
#include <string.h>


/* a step is at most so many millionths of the price */
#define FLUX_STEP_PPM  900

/* and the walk is drawn back by 1/300 of its distance from the start */
#define FLUX_PULL      300


static void
flux_simulate_cents(int64_t cents, char out[FLUX_DECIMAL_SIZE])
{
    flux_decimal_t  d;

    d.units = cents;
    d.scale = 2;
    flux_decimal_format(&d, out);
}


/* yesterday's close is up to 3 % away, the opening 1 % from that */

void
flux_stocks_simulate_init(flux_stocks_t *stocks, flux_stock_t *stock)
{
    flux_random_t  *random;

    random = &stocks->app.random;

    stock->price = stock->base;
    stock->previous = stock->base
                      + stock->base
                        * ((int64_t) flux_random_below(random, 601) - 300)
                        / 10000;
    stock->open = stock->previous
                  + stock->previous
                    * ((int64_t) flux_random_below(random, 201) - 100)
                    / 10000;
    stock->high = (stock->open > stock->price) ? stock->open : stock->price;
    stock->low = (stock->open < stock->price) ? stock->open : stock->price;
}


static void
flux_stocks_step(flux_random_t *random, flux_stock_t *stock)
{
    int64_t  ppm, step;

    ppm = (int64_t) flux_random_below(random, 2 * FLUX_STEP_PPM + 1)
          - FLUX_STEP_PPM;
    step = stock->price * ppm / 1000000;

    if (step == 0) {
        step = (ppm > 0) - (ppm < 0);       /* cheap shares move too */
    }

    stock->price += step + (stock->base - stock->price) / FLUX_PULL;
    stock->price = (stock->price > 0) ? stock->price : 1;
    stock->high = (stock->price > stock->high) ? stock->price : stock->high;
    stock->low = (stock->price < stock->low) ? stock->price : stock->low;
}


void
flux_stocks_simulate(void *arg)
{
    size_t          i;
    flux_quote_t    quote;
    flux_stock_t   *stock;
    flux_stocks_t  *stocks = arg;

    stock = NULL;

    for (i = 0; i < stocks->count; i++) {
        stock = &stocks->stocks[stocks->next++ % stocks->count];

        if (!stock->replayed) {
            break;
        }
    }

    if (i == stocks->count) {
        return;         /* the tape has all of them */
    }

    flux_stocks_step(&stocks->app.random, stock);

    memset(&quote, 0, sizeof(quote));
    flux_simulate_cents(stock->price, quote.price);
    flux_simulate_cents(stock->price - stock->previous, quote.difference);
    flux_simulate_cents(stock->open, quote.open);
    flux_simulate_cents(stock->high, quote.high);
    flux_simulate_cents(stock->low, quote.low);
    flux_simulate_cents(stock->previous, quote.previous);
    quote.time = flux_wall_ms();

    if (flux_decimal_percent(quote.previous, quote.price, 2, quote.change)
        == FLUX_OK)
    {
        flux_stocks_publish(stocks, stock, &quote, "simulated",
                            FLUX_SIMULATED);
    }
}
