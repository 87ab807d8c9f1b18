#include "ngx_http_flux_report.h"
#include "ngx_http_flux_kafka.h"
#include "ngx_http_flux_producer.h"


static ngx_int_t ngx_http_flux_report_feeds(ngx_http_flux_report_t *report,
    ngx_pool_t *pool);
static ngx_uint_t ngx_http_flux_report_count(flux_log_t *log);
static ngx_uint_t ngx_http_flux_report_copy(ngx_http_flux_report_t *report,
    ngx_http_flux_report_partition_t *partitions, ngx_uint_t limit);
static void ngx_http_flux_report_clusters(ngx_http_flux_report_t *report);
static void ngx_http_flux_report_counters(ngx_http_flux_report_t *report);
static void ngx_http_flux_report_readers(ngx_http_flux_report_t *report,
    uint32_t *slots);
static ngx_uint_t ngx_http_flux_report_partitions(
    ngx_http_flux_report_t *report, uint32_t *slots,
    ngx_http_flux_report_partition_t *partitions, ngx_uint_t limit);
static void ngx_http_flux_report_sort(ngx_http_flux_report_t *report,
    ngx_http_flux_report_partition_t *partitions, ngx_uint_t n);
static ngx_uint_t ngx_http_flux_report_topic_index(ngx_http_flux_feed_t *feed,
    uint64_t hash);
static int ngx_libc_cdecl ngx_http_flux_report_compare(const void *one,
    const void *two);


ngx_str_t  ngx_http_flux_transport_names[NGX_HTTP_FLUX_TRANSPORTS] = {
    ngx_string("sse"),
    ngx_string("websocket"),
    ngx_string("poll")
};


ngx_str_t  ngx_http_flux_end_names[NGX_HTTP_FLUX_ENDS] = {
    ngx_string("slow"),
    ngx_string("reload"),
    ngx_string("expired"),
    ngx_string("quit")
};


ngx_str_t  ngx_http_flux_skip_names[FLUX_SKIP_EXPIRED + 1] = {
    ngx_string("json"),
    ngx_string("room"),
    ngx_string("size"),
    ngx_string("expired")
};


ngx_http_flux_report_t *
ngx_http_flux_report_create(ngx_pool_t *pool, ngx_http_flux_main_conf_t *fmcf)
{
    ngx_int_t                          locked;
    ngx_uint_t                         n;
    ngx_http_flux_zone_t              *zone = fmcf->zone;
    ngx_http_flux_report_t            *report;
    ngx_http_flux_report_partition_t  *partitions;

    report = ngx_pcalloc(pool, sizeof(ngx_http_flux_report_t));
    if (report == NULL) {
        return NULL;
    }

    report->conf = fmcf;

    if (ngx_http_flux_report_feeds(report, pool) != NGX_OK) {
        return NULL;
    }

    if (zone == NULL) {
        ngx_memcpy(report->clusters, ngx_http_flux_producer_watched(),
                   sizeof(report->clusters));
        ngx_http_flux_report_clusters(report);

        return report;
    }

    /* a partition that comes between count and copy is there the next time */

    n = ngx_http_flux_report_count(&zone->log);

    partitions = ngx_palloc(pool,
                            n * sizeof(ngx_http_flux_report_partition_t));
    if (partitions == NULL) {
        return NULL;
    }

    /*
     * While the index waits for its repair there is no lock to be had; tables
     * of numbers can be read all the same.
     */

    locked = ngx_http_flux_zone_lock(zone);

    n = ngx_http_flux_report_copy(report, partitions, n);

    if (locked == NGX_OK) {
        ngx_http_flux_zone_unlock(zone);
    }

    ngx_http_flux_report_clusters(report);
    ngx_http_flux_report_counters(report);
    ngx_http_flux_report_sort(report, partitions, n);

    return report;
}


static ngx_int_t
ngx_http_flux_report_feeds(ngx_http_flux_report_t *report, ngx_pool_t *pool)
{
    ngx_uint_t              i;
    ngx_http_flux_feed_t  **feeds = report->conf->feeds.elts;

    report->nfeeds = report->conf->feeds.nelts;
    report->feeds = ngx_pcalloc(pool, report->nfeeds
                                      * sizeof(ngx_http_flux_report_feed_t));
    if (report->feeds == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < report->nfeeds; i++) {
        report->feeds[i].feed = feeds[i];
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_flux_report_count(flux_log_t *log)
{
    uint32_t    i;
    ngx_uint_t  n;

    n = 0;

    for (i = 0; i < log->header->npartitions; i++) {
        if (log->partitions[i].feed != FLUX_NONE) {
            n++;
        }
    }

    return n;
}


/* Under the lock: only what has to be looked at together. */

static ngx_uint_t
ngx_http_flux_report_copy(ngx_http_flux_report_t *report,
    ngx_http_flux_report_partition_t *partitions, ngx_uint_t limit)
{
    uint32_t                 slots[FLUX_LOG_FEEDS];
    ngx_uint_t               i;
    flux_log_t              *log = &report->conf->zone->log;
    ngx_http_flux_shared_t  *shared = report->conf->zone->shared;

    for (i = 0; i < report->nfeeds; i++) {
        slots[i] = flux_log_find_feed(log, report->feeds[i].feed->signature);

        if (slots[i] != FLUX_NONE) {
            ngx_memcpy(&report->feeds[i].state, &log->header->feeds[slots[i]],
                       sizeof(flux_feed_t));
        }
    }

    ngx_http_flux_report_readers(report, slots);

    ngx_memcpy(report->clusters, shared->clusters, sizeof(report->clusters));

    report->used = log->header->head - log->header->tail;
    report->live = log->header->live_bytes;
    report->records = log->header->records;

    /* while the lease changes hands there is none but the one who asks */

    if (shared->writer != 0) {
        report->writer = shared->writer_pid;
        report->generation = shared->writer;

    } else {
        report->generation = shared->generation;
    }

    return ngx_http_flux_report_partitions(report, slots, partitions, limit);
}


static void
ngx_http_flux_report_readers(ngx_http_flux_report_t *report, uint32_t *slots)
{
    ngx_uint_t             i, n, t;
    ngx_http_flux_seat_t  *seat;

    for (n = 0; n < NGX_HTTP_FLUX_SEATS; n++) {
        seat = &report->conf->zone->shared->seats[n];

        if (seat->pid == 0) {
            continue;
        }

        for (t = 0; t < NGX_HTTP_FLUX_TRANSPORTS; t++) {
            report->readers[t] += seat->connected[t];

            for (i = 0; i < report->nfeeds; i++) {
                if (slots[i] != FLUX_NONE) {
                    report->feeds[i].readers[t] += seat->readers[slots[i]][t];
                }
            }
        }
    }
}


static ngx_uint_t
ngx_http_flux_report_partitions(ngx_http_flux_report_t *report,
    uint32_t *slots, ngx_http_flux_report_partition_t *partitions,
    ngx_uint_t limit)
{
    uint32_t           slot;
    uint8_t            feeds[FLUX_LOG_FEEDS];   /* slot -> feed and one */
    ngx_uint_t         i, n;
    flux_log_t        *log = &report->conf->zone->log;
    flux_partition_t  *p;

    ngx_memzero(feeds, sizeof(feeds));

    for (i = 0; i < report->nfeeds; i++) {
        if (slots[i] != FLUX_NONE) {
            feeds[slots[i]] = (uint8_t) (i + 1);
        }
    }

    n = 0;

    for (i = 0; i < log->header->npartitions && n < limit; i++) {
        p = &log->partitions[i];
        slot = p->feed;

        if (slot < FLUX_LOG_FEEDS && feeds[slot]) {
            partitions[n].feed = feeds[slot] - 1;
            partitions[n].state = *p;
            n++;
        }
    }

    return n;
}


/* What an earlier nginx.conf left says nothing of the cluster here now. */

static void
ngx_http_flux_report_clusters(ngx_http_flux_report_t *report)
{
    uint64_t                         hash;
    ngx_uint_t                       i;
    ngx_http_flux_cluster_t        **clusters;
    ngx_http_flux_cluster_state_t   *state;

    clusters = report->conf->clusters.elts;

    for (i = 0; i < report->conf->clusters.nelts; i++) {
        state = &report->clusters[clusters[i]->index];
        hash = flux_hash(FLUX_HASH_START, clusters[i]->name.data,
                         clusters[i]->name.len);

        if (state->name != (uint32_t) hash) {
            ngx_memzero(state, sizeof(ngx_http_flux_cluster_state_t));
        }
    }
}


static void
ngx_http_flux_report_counters(ngx_http_flux_report_t *report)
{
    ngx_uint_t               i;
    ngx_http_flux_shared_t  *shared = report->conf->zone->shared;

    for (i = 0; i < NGX_HTTP_FLUX_TRANSPORTS; i++) {
        report->frames[i] = shared->frames[i];
        report->messages[i] = shared->messages[i];
        report->bytes[i] = shared->bytes[i];
    }

    for (i = 0; i < NGX_HTTP_FLUX_ENDS; i++) {
        report->ended[i] = shared->ended[i];
    }

    report->conflated = shared->conflated;
    report->demand_refused = shared->demand_refused;
}


/* Feed by feed, topic by topic, and each feed told where its own stand. */

static void
ngx_http_flux_report_sort(ngx_http_flux_report_t *report,
    ngx_http_flux_report_partition_t *partitions, ngx_uint_t n)
{
    ngx_uint_t                    i;
    ngx_http_flux_report_feed_t  *feed;

    for (i = 0; i < n; i++) {
        partitions[i].topic = ngx_http_flux_report_topic_index(
                                  report->feeds[partitions[i].feed].feed,
                                  partitions[i].state.topic);
    }

    ngx_qsort(partitions, n, sizeof(ngx_http_flux_report_partition_t),
              ngx_http_flux_report_compare);

    for (i = 0; i < n; i++) {
        feed = &report->feeds[partitions[i].feed];

        if (partitions[i].topic == feed->feed->topics.nelts) {
            continue;
        }

        if (feed->npartitions++ == 0) {
            feed->partitions = &partitions[i];
        }
    }
}


/* Behind the last one when the feed reads no such topic. */

static ngx_uint_t
ngx_http_flux_report_topic_index(ngx_http_flux_feed_t *feed, uint64_t hash)
{
    ngx_str_t   *topics = feed->topics.elts;
    ngx_uint_t   i;

    for (i = 0; i < feed->topics.nelts; i++) {
        if (ngx_http_flux_topic_hash(&topics[i]) == hash) {
            break;
        }
    }

    return i;
}


static int ngx_libc_cdecl
ngx_http_flux_report_compare(const void *one, const void *two)
{
    const ngx_http_flux_report_partition_t  *a = one, *b = two;

    if (a->feed != b->feed) {
        return a->feed < b->feed ? -1 : 1;
    }

    if (a->topic != b->topic) {
        return a->topic < b->topic ? -1 : 1;
    }

    return (a->state.number > b->state.number)
           - (a->state.number < b->state.number);
}


ngx_str_t *
ngx_http_flux_report_topic(ngx_http_flux_report_t *report,
    ngx_http_flux_report_partition_t *partition)
{
    ngx_str_t  *topics = report->feeds[partition->feed].feed->topics.elts;

    return &topics[partition->topic];
}


int64_t
ngx_http_flux_report_lag(ngx_http_flux_report_partition_t *partition)
{
    flux_partition_t  *p = &partition->state;

    if (p->high_watermark < 0) {
        return -1;
    }

    return ngx_max(p->high_watermark - p->next, 0);
}


const char *
ngx_http_flux_report_error(ngx_http_flux_report_partition_t *partition)
{
    flux_partition_t  *p = &partition->state;

    if (p->error) {
        return rd_kafka_err2str((rd_kafka_resp_err_t) p->error);
    }

    return p->down ? "cannot be read" : NULL;
}
