/*
 * How fast is flux_json_check()? Beside it, in the same run and on the same
 * texts: jansson's parser.
 *
 *   cc -O2 -Ingx_flux_module/core bench/json.c \
 *       ngx_flux_module/core/flux_json.c -ljansson -o json && ./json
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flux_json.h"


/* enough that the text's length does not matter to the clock */
#define BENCH_BYTES   (256 * 1024 * 1024)
#define BENCH_ROUNDS  5


typedef int (*bench_check_pt)(const char *p, size_t len);


static const char  ticker[] =
    "{\"type\":\"ticker\",\"sequence\":93412345678,\"product_id\":\"BTC-USD\","
    "\"price\":\"67123.45\",\"open_24h\":\"66001.20\",\"volume_24h\":"
    "\"12034.56789012\",\"low_24h\":\"65800.00\",\"high_24h\":\"67999.99\","
    "\"best_bid\":\"67123.44\",\"best_ask\":\"67123.46\",\"side\":\"buy\","
    "\"time\":\"2026-11-05T12:34:56.789012Z\",\"trade_id\":712345678,"
    "\"last_size\":\"0.00123\"}";

static const char  numbers[] =
    "{\"hourly\":{\"time\":[1700000000,1700003600,1700007200,1700010800],"
    "\"temperature\":[12.4,12.1,11.8,-0.5,1.25e1],\"wind\":[3,4,5,12,7]},"
    "\"latitude\":48.8566,\"longitude\":2.3522,\"current\":true}";

static const char  pretty[] =
    "{\n    \"city\": \"Paris\",\n    \"current\": {\n        \"temperature\":"
    " 12.4,\n        \"wind\": 3.1,\n        \"text\": \"light rain\"\n"
    "    },\n    \"alerts\": [\n        \"none\"\n    ]\n}\n";

static const char  text[] =
    "{\"title\":\"Überraschung: Größe zählt, sagt François à Łódź\","
    "\"summary\":\"東京の天気は晴れ、最高気温は二十五度。Привет, мир!\"}";


static int
check_flux(const char *p, size_t len)
{
    size_t  newlines;

    return flux_json_check((const uint8_t *) p, len, &newlines)
           == FLUX_JSON_OK;
}


static int
check_jansson(const char *p, size_t len)
{
    json_t  *json;

    json = json_loadb(p, len, JSON_DECODE_ANY, NULL);
    json_decref(json);

    return json != NULL;
}


static double
seconds(void)
{
    struct timespec  now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}


/* bytes per nanosecond, which is GB/s, of the best round */
static double
measure(bench_check_pt check, const char *p, size_t len, size_t bytes)
{
    int     round;
    size_t  n, runs;
    double  start, spent, best;

    best = 1e9;
    runs = bytes / len;

    for (round = 0; round < BENCH_ROUNDS; round++) {
        start = seconds();

        for (n = 0; n < runs; n++) {
            if (!check(p, len)) {
                fprintf(stderr, "not JSON: %s\n", p);
                exit(1);
            }
        }

        spent = seconds() - start;
        best = (spent < best) ? spent : best;
    }

    return (double) (runs * len) / best / 1e9;
}


static void
compare(const char *name, const char *p)
{
    size_t  len = strlen(p);
    double  flux;

    flux = measure(check_flux, p, len, BENCH_BYTES);

    printf("%-8s %5zu B  flux %5.2f GB/s (%4.0f ns)  jansson %6.3f GB/s\n",
           name, len, flux, (double) len / flux,
           measure(check_jansson, p, len, BENCH_BYTES / 64));
}


int
main(void)
{
    compare("ticker", ticker);
    compare("numbers", numbers);
    compare("pretty", pretty);
    compare("text", text);

    return 0;
}
