/*
 * What does a shared compressed stream cost, and save? For frames of ticker
 * JSON, by zlib's parameters: bytes and microseconds per frame in context and
 * alone, the memory a stream takes, and the price of a restart.
 *
 *   cc -O2 -Ingx_flux_module/core bench/deflate.c \
 *       ngx_flux_module/core/flux_deflate.c \
 *       ngx_flux_module/core/flux_cursor.c -lz -o deflate && ./deflate
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flux_cursor.h"
#include "flux_deflate.h"


#define BENCH_FRAMES  4096
#define BENCH_FRAME   65536
#define BENCH_AFTER   128      /* frames after a restart that still pay */
#define BENCH_EACH    512      /* frames from restart to restart */
#define BENCH_COINS   100


typedef struct {
    size_t  length;
    char   *text;
} bench_frame_t;


typedef struct {
    double  bytes;             /* per frame */
    double  us;
} bench_result_t;


typedef struct {
    char      name[4];
    unsigned  price, open, high, low, volume;
} bench_coin_t;


static bench_coin_t   coins[BENCH_COINS];
static bench_frame_t  frames[BENCH_FRAMES];
static unsigned long long  ts = 1795575707334;
static uint8_t        out[2 * BENCH_FRAME];


static double
seconds(void)
{
    struct timespec  now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}


static unsigned
number(unsigned below)
{
    return (unsigned) rand() % below;
}


static void
make_coins(void)
{
    unsigned  i, c;

    for (i = 0; i < BENCH_COINS; i++) {
        for (c = 0; c < 3; c++) {
            coins[i].name[c] = (char) ('A' + number(26));
        }

        coins[i].price = coins[i].open = 1000 + number(9000000);
        coins[i].high = coins[i].low = coins[i].price;
        coins[i].volume = number(2000000000);
    }
}


/* like a record of flux-crypto: a walk of prices, in cents */
static size_t
put_update(char *p, size_t size, unsigned ncoins)
{
    bench_coin_t  *coin = &coins[number(ncoins)];
    unsigned       step = coin->price / 2000 + 2;

    coin->price += number(step) - step / 2;
    coin->volume += number(100000);
    coin->high = coin->price > coin->high ? coin->price : coin->high;
    coin->low = coin->price < coin->low ? coin->price : coin->low;
    ts += 20 + number(60);

    return (size_t) snprintf(p, size,
        "{\"type\":\"update\",\"room\":\"crypto\",\"key\":\"%s-USD\","
        "\"ts\":%llu,\"data\":{\"symbol\":\"%s-USD\",\"name\":\"%s coin\","
        "\"price\":\"%u.%02u\",\"open\":\"%u.%02u\",\"high\":\"%u.%02u\","
        "\"low\":\"%u.%02u\",\"volume\":\"%u.%03u\",\"change\":\"%.2f\","
        "\"time\":\"2026-11-25T12:%02u:%02u.%03uZ\","
        "\"provider\":\"coinbase\",\"source\":\"live\"}},",
        coin->name, ts, coin->name, coin->name,
        coin->price / 100, coin->price % 100,
        coin->open / 100, coin->open % 100,
        coin->high / 100, coin->high % 100, coin->low / 100, coin->low % 100,
        coin->volume / 1000, coin->volume % 1000,
        (coin->price * 1.0 / coin->open - 1) * 100,
        (unsigned) (ts / 60000 % 60), (unsigned) (ts / 1000 % 60),
        (unsigned) (ts % 1000));
}


static size_t
put_cursor(char *p)
{
    static const uint32_t       room = 0xdeadbeef;
    static flux_cursor_place_t  place = { 0x12345678, 0, 1234567, 0 };
    const flux_cursor_t         cursor = {
        .nsections = 1, .sections = { { &room, 1, &place, 1 } }
    };

    place.offset++;
    place.check = (uint16_t) number(65536);

    return flux_cursor_encode(p, &cursor);
}


static void
make_frames(unsigned updates, unsigned ncoins)
{
    char      text[BENCH_FRAME], *p;
    size_t    i;
    unsigned  n;

    for (i = 0; i < BENCH_FRAMES; i++) {
        p = text;
        *p++ = '[';

        for (n = 0; n < updates; n++) {
            p += put_update(p, 1024, ncoins);
        }

        p += sprintf(p, "{\"type\":\"cursor\",\"cursor\":\"");
        p += put_cursor(p);
        p += sprintf(p, "\"}]");

        free(frames[i].text);
        frames[i].text = strdup(text);
        frames[i].length = (size_t) (p - text);

        if (frames[i].text == NULL) {
            exit(1);
        }
    }
}


static bench_result_t
run(flux_deflate_t *d, int alone)
{
    size_t                i, bytes = 0, plain = 0;
    double                start = seconds();
    bench_result_t        result;
    flux_deflate_piece_t  piece;

    for (i = 0; i < BENCH_FRAMES; i++) {

        if (alone) {
            (void) flux_deflate_alone(d, out, sizeof(out),
                                      (uint8_t *) frames[i].text,
                                      frames[i].length, &piece);

        } else {
            if (plain >= FLUX_DEFLATE_RESTART) {
                flux_deflate_restart(d);
                plain = 0;
            }

            (void) flux_deflate_next(d, out, sizeof(out),
                                     (uint8_t *) frames[i].text,
                                     frames[i].length, &piece);
            plain += frames[i].length;
        }

        bytes += piece.length;
    }

    result.bytes = (double) bytes / BENCH_FRAMES;
    result.us = (seconds() - start) / BENCH_FRAMES * 1e6;

    return result;
}


/* bytes that the frames after a restart take more than those at its end */
static double
restart_cost(flux_deflate_t *d)
{
    size_t                i, n, anew = 0, old = 0;
    flux_deflate_piece_t  piece;

    for (i = 0; i < BENCH_FRAMES; i++) {
        n = i % BENCH_EACH;

        if (n == 0) {
            flux_deflate_restart(d);
        }

        (void) flux_deflate_next(d, out, sizeof(out),
                                 (uint8_t *) frames[i].text,
                                 frames[i].length, &piece);

        if (n < BENCH_AFTER) {
            anew += piece.length;

        } else if (n >= BENCH_EACH - BENCH_AFTER) {
            old += piece.length;
        }
    }

    return ((double) anew - (double) old) / (BENCH_FRAMES / BENCH_EACH);
}


static void
measure(int level, int window, int memory)
{
    double           cost;
    flux_deflate_t  *d;
    bench_result_t   next, alone;

    d = flux_deflate_new(level, window, memory);

    if (d == NULL) {
        exit(1);
    }

    next = run(d, 0);
    flux_deflate_restart(d);
    alone = run(d, 1);
    cost = restart_cost(d);

    printf("%5d %6d %6d %7d KB %7.1f B %6.1f us %7.1f B %6.1f us %7.0f B"
           " %5.1f\n",
           level, window, memory,
           ((4 << window) + (512 << memory)) / 1024 + 6,
           next.bytes, next.us, alone.bytes, alone.us, cost,
           cost / (alone.bytes - next.bytes));

    flux_deflate_destroy(d);
}


static void
table(unsigned updates, unsigned ncoins)
{
    static const int  parameters[][3] = {
        { 1, 15, 6 }, { 4, 15, 6 }, { 5, 15, 6 }, { 6, 15, 6 },
        { 7, 15, 6 }, { 8, 15, 6 }, { 9, 15, 6 },
        { 6, 15, 8 }, { 6, 15, 7 }, { 6, 15, 5 }, { 6, 15, 4 },
        { 6, 14, 6 }, { 6, 13, 6 }, { 6, 12, 5 }, { 6, 11, 4 },
    };
    size_t            i;

    make_frames(updates, ncoins);

    printf("\n%u updates of %u keys, %zu bytes\n"
           "level window memory             in context             alone"
           "    restart  in excess of alone\n",
           updates, ncoins, frames[0].length);

    for (i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
        measure(parameters[i][0], parameters[i][1], parameters[i][2]);
    }
}


int
main(void)
{
    make_coins();
    table(1, 10);
    table(1, 100);
    table(10, 100);

    return 0;
}
