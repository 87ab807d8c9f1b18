/*
 * How many records a second does the log take?  256 bytes of value, a 64 MB
 * area, few keys to many, and what a recovery costs at the end.
 *
 *   cc -O2 -D_GNU_SOURCE -Ingx_flux_module/core bench/log.c \
 *       ngx_flux_module/core/flux_{log,ring,feed,index,ahead,recover,frame,json}.c \
 *       -o log && ./log
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "flux_frame.h"
#include "flux_log.h"


#define BENCH_AREA     (64 * 1024 * 1024)
#define BENCH_VALUE    256
#define BENCH_RECORDS  2000000
#define BENCH_ROUNDS   3
#define BENCH_BATCH    256      /* records of a begin and end */


static flux_log_t  flux;
static uint8_t     value[BENCH_VALUE];


static double
seconds(void)
{
    struct timespec  now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}


static void
append(uint32_t feed, uint32_t partition, int64_t offset, uint32_t n,
    int rooms)
{
    char             key[32], room[32];
    uint8_t         *dst;
    flux_append_t    what;
    flux_message_t   m = { .feed = (const uint8_t *) "crypto",
                           .feed_size = 6 };

    m.key = (const uint8_t *) key;
    m.key_size = (size_t) (flux_int64_write((uint8_t *) key, 100000 + n)
                           - (uint8_t *) key);

    if (rooms) {
        memcpy(room, key, m.key_size);
        m.room = (const uint8_t *) room;
        m.room_size = m.key_size;
    }

    m.value = value;
    m.value_size = sizeof(value);
    m.ts = 1700000000000 + offset;

    what.feed = feed;
    what.partition = partition;
    what.offset = offset;
    what.check = 1;
    flux_message_measure(&m);
    flux_log_describe(&flux, &what, &m);

    dst = flux_log_reserve(&flux, &what);

    if (dst == NULL) {
        fprintf(stderr, "no room for a record\n");
        exit(1);
    }

    flux_message_write(dst, &m);
    flux_log_append(&flux, &what);
}


static double
round_of(uint8_t *area, uint32_t keys, int rooms)
{
    double    start;
    int64_t   offset;
    uint32_t  feed, partition, n = 1;

    memset(area, 0, BENCH_AREA);
    flux_log_format(&flux, area, BENCH_AREA);
    feed = flux_log_feed(&flux, 1, 1);
    partition = flux_log_partition(&flux, feed, 1, 1, 0, 0);
    start = seconds();

    for (offset = 0; offset < BENCH_RECORDS; offset++) {
        if (offset % BENCH_BATCH == 0) {
            flux_log_end(&flux);
            flux_log_begin(&flux);
        }

        n = n * 1664525 + 1013904223;
        append(feed, partition, offset, (n >> 8) % keys, rooms);
    }

    flux_log_end(&flux);

    return seconds() - start;
}


static void
measure(uint8_t *area, uint32_t keys, int rooms)
{
    int       i;
    double    spent, best = 1e9, start;

    for (i = 0; i < BENCH_ROUNDS; i++) {
        spent = round_of(area, keys, rooms);
        best = spent < best ? spent : best;
    }

    start = seconds();

    if (flux_log_recover(&flux) != FLUX_OK) {
        exit(1);
    }

    printf("%6u keys, %-15s %5.2f M records/s (%4.0f ns), %6u live, "
           "recovered in %5.1f ms\n",
           keys, rooms ? "a room for each:" : "one room:",
           BENCH_RECORDS / best / 1e6, best / BENCH_RECORDS * 1e9,
           flux.header->feeds[0].keys, (seconds() - start) * 1e3);
}


int
main(void)
{
    uint8_t  *area;

    area = mmap(NULL, BENCH_AREA, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED) {
        perror("mmap");
        return 1;
    }

    memset(value, '1', sizeof(value));

    measure(area, 1, 0);
    measure(area, 100, 0);
    measure(area, 100000, 0);
    measure(area, 100, 1);
    measure(area, 100000, 1);

    return 0;
}
