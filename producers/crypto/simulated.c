/*
 * A seeded random walk in integers for products that nothing real covers.
 * Its records say "simulated" and have no claim to be anything else.
 */

#include "crypto.h"

#include <stdio.h>
#include <string.h>


/* a step is at most so many millionths of the price */
#define FLUX_STEP_PPM   600

/* and the walk is drawn back by 1/400 of its distance from the start */
#define FLUX_PULL       400

/* simulated movers after so many simulated prices; more than products */
#define FLUX_MOVERS_EVERY  100

/* in thousandths of a coin, per step at most */
#define FLUX_VOLUME     5000


/* the price of 24 hours ago is up to 6 % away, the turnover $50m to $1,050m */

void
flux_crypto_simulate_init(flux_product_t *product, flux_random_t *random)
{
    int                 i;
    int64_t             unit;
    const flux_coin_t  *coin;

    coin = flux_coin_find(product->id);

    for (i = 0, unit = 1; i < coin->scale; i++) {
        unit *= 10;
    }

    product->scale = coin->scale;
    product->base = coin->base;
    product->price = coin->base;
    product->open = coin->base
                    + coin->base
                      * ((int64_t) flux_random_below(random, 1201) - 600)
                      / 10000;
    product->high = (coin->base > product->open) ? coin->base : product->open;
    product->low = (coin->base < product->open) ? coin->base : product->open;
    product->volume = (int64_t) (50000000
                                 + flux_random_below(random, 1000000000))
                      * unit / coin->base * 1000;
}


static void
flux_simulate_text(int64_t units, int scale, char out[FLUX_DECIMAL_SIZE])
{
    flux_decimal_t  d;

    d.units = units;
    d.scale = scale;
    flux_decimal_format(&d, out);
}


static void
flux_crypto_step(flux_random_t *random, flux_product_t *product)
{
    int64_t  ppm, step;

    ppm = (int64_t) flux_random_below(random, 2 * FLUX_STEP_PPM + 1)
          - FLUX_STEP_PPM;
    step = product->price * ppm / 1000000;

    if (step == 0) {
        step = (ppm > 0) - (ppm < 0);       /* cheap coins move too */
    }

    product->price += step + (product->base - product->price) / FLUX_PULL;

    if (product->price < 1) {
        product->price = 1;
    }

    if (product->price > product->high) {
        product->high = product->price;
    }

    if (product->price < product->low) {
        product->low = product->price;
    }

    product->volume += (int64_t) flux_random_below(random, FLUX_VOLUME);
}


void
flux_crypto_simulated_ticker(const flux_product_t *product, flux_ticker_t *t)
{
    memset(t, 0, sizeof(*t));
    flux_simulate_text(product->price, product->scale, t->price);
    flux_simulate_text(product->open, product->scale, t->open);
    flux_simulate_text(product->high, product->scale, t->high);
    flux_simulate_text(product->low, product->scale, t->low);
    flux_simulate_text(product->volume, 3, t->volume);
    flux_format_time(flux_wall_ms(), t->time);
}


void
flux_crypto_simulate(void *arg)
{
    size_t           i;
    flux_ticker_t    t;
    flux_crypto_t   *crypto = arg;
    flux_product_t  *product;

    product = NULL;

    for (i = 0; i < crypto->count; i++) {
        product = &crypto->products[crypto->next++ % crypto->count];

        if (!product->replayed) {
            break;
        }
    }

    if (i == crypto->count) {
        return;         /* the tape has all of them */
    }

    flux_crypto_step(&crypto->app.random, product);
    flux_crypto_simulated_ticker(product, &t);
    flux_crypto_publish(crypto, product, &t, "simulated", FLUX_SIMULATED);

    /* the first movers when each coin has had its turn */

    if (!crypto->no_movers
        && crypto->simulated++ % FLUX_MOVERS_EVERY == crypto->count - 1)
    {
        flux_movers_simulate(crypto);
    }
}
