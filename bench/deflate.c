/*
 * What does a shared compressed stream cost, and save? For frames of ticker
 * JSON, by zlib's parameters: bytes and microseconds per frame in context and
 * alone, the memory a stream takes, and the price of a restart.
 *
 *   cc -O2 -Ingx_flux_module/core bench/deflate.c \
 *       ngx_flux_module/core/flux_deflate.c -lz -o deflate && ./deflate
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flux_deflate.h"


#define BENCH_FRAMES  4096
#define BENCH_FRAME   65536
#define BENCH_AFTER   64       /* frames after a restart that still pay */


typedef struct {
    size_t  length;
    char   *text;
} bench_frame_t;


typedef struct {
    double  bytes;             /* per frame */
    double  us;
} bench_result_t;


static bench_frame_t  frames[BENCH_FRAMES];
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


static size_t
put_update(char *p, size_t size)
{
    static const char *const  coins[] = { "BTC", "ETH", "SOL", "ADA", "XRP",
                                          "DOT", "LTC", "UNI", "BCH", "XLM" };
    unsigned                  coin = number(10);

    return (size_t) snprintf(p, size,
        "{\"type\":\"update\",\"room\":\"crypto\",\"key\":\"%s-USD\","
        "\"ts\":17000%08u,\"data\":{\"price\":\"%u.%02u\",\"open_24h\":"
        "\"%u.20\",\"volume_24h\":\"%u.%06u\",\"low_24h\":\"%u.00\","
        "\"high_24h\":\"%u.99\",\"side\":\"%s\",\"trade_id\":7%08u,"
        "\"time\":\"2026-11-05T12:%02u:%02u.%06uZ\"}},",
        coins[coin], number(100000000), 100 + coin * 700 + number(90),
        number(100), 100 + coin * 700, number(90000), number(1000000),
        90 + coin * 700, 190 + coin * 700, number(2) ? "buy" : "sell",
        number(100000000), number(60), number(60), number(1000000));
}


static void
make_frames(unsigned updates)
{
    char      text[BENCH_FRAME], *p;
    size_t    i;
    unsigned  n;

    for (i = 0; i < BENCH_FRAMES; i++) {
        p = text;
        *p++ = '[';

        for (n = 0; n < updates; n++) {
            p += put_update(p, 1024);
        }

        p += snprintf(p, 256, "{\"type\":\"cursor\",\"cursor\":"
                      "\"AQEB3q2-7wESNFZ4AQC6%06x%08xnsXZg\"}]",
                      number(1 << 24), number(1 << 30));

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


/* bytes that the frames after a restart take more than others do */
static double
restart_cost(flux_deflate_t *d)
{
    size_t                i, n, anew = 0, old = 0;
    flux_deflate_piece_t  piece;

    for (i = 0; i < BENCH_FRAMES; i++) {
        n = i % (2 * BENCH_AFTER);

        if (n == 0) {
            flux_deflate_restart(d);
        }

        (void) flux_deflate_next(d, out, sizeof(out),
                                 (uint8_t *) frames[i].text,
                                 frames[i].length, &piece);

        if (n < BENCH_AFTER) {
            anew += piece.length;

        } else {
            old += piece.length;
        }
    }

    return (double) (anew - old) / (BENCH_FRAMES / (2 * BENCH_AFTER));
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

    printf("%5d %6d %6d %7d KB %7.0f B %6.1f us %7.0f B %6.1f us %7.0f B\n",
           level, window, memory,
           ((4 << window) + (512 << memory)) / 1024 + 6,
           next.bytes, next.us, alone.bytes, alone.us, cost);

    flux_deflate_destroy(d);
}


static void
table(unsigned updates)
{
    static const int  parameters[][3] = {
        { 1, 15, 8 }, { 3, 15, 8 }, { 6, 15, 8 }, { 9, 15, 8 },
        { 6, 14, 7 }, { 6, 13, 6 }, { 6, 12, 5 }, { 6, 11, 4 },
        { 1, 13, 6 }, { 3, 13, 6 }, { 6, 15, 5 },
    };
    size_t            i;

    make_frames(updates);

    printf("\n%u updates, %zu bytes\n"
           "level window memory             in context             alone"
           "    restart\n", updates, frames[0].length);

    for (i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
        measure(parameters[i][0], parameters[i][1], parameters[i][2]);
    }
}


int
main(void)
{
    table(1);
    table(10);
    table(100);

    return 0;
}
