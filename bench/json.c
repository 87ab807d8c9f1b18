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


/*
 * A branch predictor learns one short text by heart, so each kind comes in
 * many variants: digits and the lengths of numbers differ.
 */
#define BENCH_VARIANTS  512
#define BENCH_TEXT      512

#define BENCH_BYTES     (256 * 1024 * 1024)
#define BENCH_ROUNDS    5


typedef int (*bench_check_pt)(const char *p, size_t len);


typedef struct {
    size_t  len;
    char    text[BENCH_TEXT];
} bench_text_t;


/* each # becomes one to six digits, the first of them no zero */
static const char  ticker[] =
    "{\"type\":\"ticker\",\"sequence\":93#,\"product_id\":\"BTC-USD\","
    "\"price\":\"#.#\",\"open_24h\":\"#.20\",\"volume_24h\":"
    "\"#.56#\",\"low_24h\":\"#.00\",\"high_24h\":\"#.99\","
    "\"best_bid\":\"#.#\",\"best_ask\":\"#.#\",\"side\":\"buy\","
    "\"time\":\"2026-11-05T12:34:56.#Z\",\"trade_id\":7#,"
    "\"last_size\":\"0.0#\"}";

static const char  numbers[] =
    "{\"hourly\":{\"time\":[1700#,1700#,1700#,1700#],"
    "\"temperature\":[#.4,#.1,#.8,-0.5,#.25e1],\"wind\":[#,#,#,#,#]},"
    "\"latitude\":48.#,\"longitude\":2.#,\"current\":true}";

static const char  pretty[] =
    "{\n    \"city\": \"Paris\",\n    \"current\": {\n        \"temperature\":"
    " #.4,\n        \"wind\": #.1,\n        \"text\": \"light rain\"\n"
    "    },\n    \"alerts\": [\n        \"none\"\n    ]\n}\n";

static const char  text[] =
    "{\"id\":\"#\",\"title\":\"Überraschung: Größe zählt, sagt François\","
    "\"summary\":\"東京の天気は晴れ、最高気温は#度。Привет, мир!\"}";

static bench_text_t  variants[BENCH_VARIANTS];


static void
make_variant(bench_text_t *variant, const char *pattern)
{
    int    digits;
    char  *p = variant->text;

    for ( /* void */ ; *pattern; pattern++) {

        if (*pattern != '#') {
            *p++ = *pattern;
            continue;
        }

        *p++ = (char) ('1' + rand() % 9);

        for (digits = rand() % 6; digits; digits--) {
            *p++ = (char) ('0' + rand() % 10);
        }
    }

    *p = '\0';
    variant->len = (size_t) (p - variant->text);
}


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
measure(bench_check_pt check, size_t bytes)
{
    int                  round;
    size_t               done;
    double               start, speed, best = 0;
    const bench_text_t  *variant;

    for (round = 0; round < BENCH_ROUNDS; round++) {
        start = seconds();
        variant = variants;

        for (done = 0; done < bytes; done += variant->len) {
            if (++variant == variants + BENCH_VARIANTS) {
                variant = variants;
            }

            if (!check(variant->text, variant->len)) {
                fprintf(stderr, "not JSON: %s\n", variant->text);
                exit(1);
            }
        }

        speed = (double) done / (seconds() - start) / 1e9;
        best = (speed > best) ? speed : best;
    }

    return best;
}


static void
compare(const char *name, const char *pattern)
{
    size_t  i, total = 0;
    double  flux, jansson, mean;

    for (i = 0; i < BENCH_VARIANTS; i++) {
        make_variant(&variants[i], pattern);
        total += variants[i].len;
    }

    mean = (double) total / BENCH_VARIANTS;
    flux = measure(check_flux, BENCH_BYTES);
    jansson = measure(check_jansson, BENCH_BYTES / 64);

    printf("%-8s %4.0f B  flux %5.2f GB/s (%4.0f ns)  "
           "jansson %6.3f GB/s (%5.0f ns)\n",
           name, mean, flux, mean / flux, jansson, mean / jansson);
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
