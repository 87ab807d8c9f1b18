#include "ngx_http_flux_report.h"

#include "core/flux_utf8.h"


typedef struct {
    const char  *name;
    const char  *help;
    size_t       offset;    /* in flux_feed_t, of an _Atomic uint64_t */
} ngx_http_flux_feed_counter_t;


static void ngx_http_flux_prometheus_node(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text);
static void ngx_http_flux_prometheus_feeds(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text);
static void ngx_http_flux_prometheus_partitions(
    ngx_http_flux_report_t *report, ngx_http_flux_text_t *text);
static void ngx_http_flux_prometheus_clusters(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text);
static void ngx_http_flux_prometheus_readers(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text);
static void ngx_http_flux_prometheus_zone(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text);
static void ngx_http_flux_prometheus_family(ngx_http_flux_text_t *text,
    const char *name, const char *type, const char *help);
static void ngx_http_flux_prometheus_rows(ngx_http_flux_text_t *text,
    const char *name, const char *label, ngx_str_t *values,
    uint64_t *numbers, ngx_uint_t n);
static void ngx_http_flux_prometheus_partition(ngx_http_flux_text_t *text,
    const char *name, ngx_http_flux_report_t *report,
    ngx_http_flux_report_partition_t *partition, int64_t number);
static void ngx_http_flux_prometheus_label(ngx_http_flux_text_t *text,
    ngx_str_t *value);


static ngx_http_flux_feed_counter_t  ngx_http_flux_feed_counters[] = {

    { "flux_records_total",
      "Records that entered the log.",
      offsetof(flux_feed_t, records) },

    { "flux_record_bytes_total",
      "Bytes of the messages that entered the log.",
      offsetof(flux_feed_t, bytes) },

    { "flux_keys_evicted_total",
      "Keys that left the snapshot because the zone was full.",
      offsetof(flux_feed_t, evicted) },

    { NULL, NULL, 0 }
};


/* Names of feeds, topics and clusters need no escapes: nginx -t sees to it. */

void
ngx_http_flux_report_prometheus(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text)
{
    ngx_http_flux_prometheus_node(report, text);
    ngx_http_flux_prometheus_feeds(report, text);
    ngx_http_flux_prometheus_partitions(report, text);
    ngx_http_flux_prometheus_clusters(report, text);
    ngx_http_flux_prometheus_readers(report, text);
    ngx_http_flux_prometheus_zone(report, text);
}


static void
ngx_http_flux_prometheus_node(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text)
{
    ngx_http_flux_prometheus_family(text, "flux_node_info", "gauge",
                                    "This node and its version.");
    ngx_http_flux_text_print(text, "flux_node_info{node=\"");
    ngx_http_flux_prometheus_label(text, &report->conf->node);
    ngx_http_flux_text_print(text, "\",version=\"%s\"} 1\n",
                             NGX_HTTP_FLUX_VERSION);
}


static void
ngx_http_flux_prometheus_feeds(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text)
{
    ngx_uint_t                     i, n;
    _Atomic uint64_t              *number;
    ngx_http_flux_report_feed_t   *feeds = report->feeds;
    ngx_http_flux_feed_counter_t  *counter;

    for (counter = ngx_http_flux_feed_counters; counter->name; counter++) {

        ngx_http_flux_prometheus_family(text, counter->name, "counter",
                                        counter->help);

        for (i = 0; i < report->nfeeds; i++) {
            number = (_Atomic uint64_t *) ((u_char *) &feeds[i].state
                                           + counter->offset);

            ngx_http_flux_text_print(text, "%s{feed=\"%V\"} %uL\n",
                                     counter->name, &feeds[i].feed->name,
                                     (uint64_t) *number);
        }
    }

    ngx_http_flux_prometheus_family(text, "flux_records_skipped_total",
                                    "counter", "Records that could not be "
                                    "taken into the log, by reason.");

    for (i = 0; i < report->nfeeds; i++) {
        for (n = 0; n <= FLUX_SKIP_EXPIRED; n++) {
            ngx_http_flux_text_print(text, "flux_records_skipped_total"
                                     "{feed=\"%V\",reason=\"%V\"} %uL\n",
                                     &feeds[i].feed->name,
                                     &ngx_http_flux_skip_names[n],
                                     (uint64_t) feeds[i].state.skipped[n]);
        }
    }

    ngx_http_flux_prometheus_family(text, "flux_feed_ready", "gauge",
                                    "1 once each partition was read up to "
                                    "the end it had at start.");

    for (i = 0; i < report->nfeeds; i++) {
        ngx_http_flux_text_print(text, "flux_feed_ready{feed=\"%V\"} %d\n",
                                 &feeds[i].feed->name,
                                 feeds[i].state.ready ? 1 : 0);
    }
}


/* A row is there as soon as the partition is known, an unknown lag is 0. */

static void
ngx_http_flux_prometheus_partitions(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text)
{
    int64_t                            lag;
    ngx_uint_t                         i, n;
    ngx_http_flux_report_partition_t  *partition;

    ngx_http_flux_prometheus_family(text, "flux_partition_offset", "gauge",
                                    "The next offset to be read.");

    for (i = 0; i < report->nfeeds; i++) {
        for (n = 0; n < report->feeds[i].npartitions; n++) {
            partition = &report->feeds[i].partitions[n];
            ngx_http_flux_prometheus_partition(text, "flux_partition_offset",
                                               report, partition,
                                               partition->state.next);
        }
    }

    ngx_http_flux_prometheus_family(text, "flux_partition_lag", "gauge",
                                    "Offsets between the next one to be read "
                                    "and the high watermark.");

    for (i = 0; i < report->nfeeds; i++) {
        for (n = 0; n < report->feeds[i].npartitions; n++) {
            partition = &report->feeds[i].partitions[n];
            lag = ngx_http_flux_report_lag(partition);
            ngx_http_flux_prometheus_partition(text, "flux_partition_lag",
                                               report, partition,
                                               ngx_max(lag, 0));
        }
    }
}


static void
ngx_http_flux_prometheus_clusters(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text)
{
    ngx_uint_t                 i;
    ngx_http_flux_cluster_t  **clusters = report->conf->clusters.elts;

    ngx_http_flux_prometheus_family(text, "flux_cluster_up", "gauge",
                                    "1 while the Kafka cluster answers.");

    for (i = 0; i < report->conf->clusters.nelts; i++) {
        ngx_http_flux_text_print(text, "flux_cluster_up{cluster=\"%V\"} %d\n",
                                 &clusters[i]->name,
                                 report->clusters[clusters[i]->index].up
                                 ? 1 : 0);
    }
}


static void
ngx_http_flux_prometheus_readers(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text)
{
    ngx_uint_t                    i, n;
    ngx_http_flux_report_feed_t  *feed;

    ngx_http_flux_prometheus_family(text, "flux_readers", "gauge",
                                    "Readers that are connected now.");

    for (i = 0; i < report->nfeeds; i++) {
        feed = &report->feeds[i];

        for (n = 0; n < NGX_HTTP_FLUX_TRANSPORTS; n++) {
            ngx_http_flux_text_print(text, "flux_readers"
                                     "{feed=\"%V\",transport=\"%V\"} %ui\n",
                                     &feed->feed->name,
                                     &ngx_http_flux_transport_names[n],
                                     feed->readers[n]);
        }
    }

    ngx_http_flux_prometheus_family(text, "flux_sent_frames_total", "counter",
                                    "Frames sent to readers.");
    ngx_http_flux_prometheus_rows(text, "flux_sent_frames_total", "transport",
                                  ngx_http_flux_transport_names,
                                  report->frames, NGX_HTTP_FLUX_TRANSPORTS);

    ngx_http_flux_prometheus_family(text, "flux_sent_messages_total",
                                    "counter", "Messages sent to readers, "
                                    "cursors not counted.");
    ngx_http_flux_prometheus_rows(text, "flux_sent_messages_total",
                                  "transport", ngx_http_flux_transport_names,
                                  report->messages, NGX_HTTP_FLUX_TRANSPORTS);

    ngx_http_flux_prometheus_family(text, "flux_sent_bytes_total", "counter",
                                    "Bytes sent to readers.");
    ngx_http_flux_prometheus_rows(text, "flux_sent_bytes_total", "transport",
                                  ngx_http_flux_transport_names,
                                  report->bytes, NGX_HTTP_FLUX_TRANSPORTS);

    ngx_http_flux_prometheus_family(text, "flux_conflated_total", "counter",
                                    "Times that a slow reader was given the "
                                    "newest record of each key only.");
    ngx_http_flux_text_print(text, "flux_conflated_total %uL\n",
                             report->conflated);

    ngx_http_flux_prometheus_family(text, "flux_readers_ended_total",
                                    "counter", "Readers that the server "
                                    "ended, by reason.");
    ngx_http_flux_prometheus_rows(text, "flux_readers_ended_total", "reason",
                                  ngx_http_flux_end_names, report->ended,
                                  NGX_HTTP_FLUX_ENDS);

    ngx_http_flux_prometheus_family(text, "flux_demand_refused_total",
                                    "counter", "Rooms with readers that found "
                                    "no place in the table of demand.");
    ngx_http_flux_text_print(text, "flux_demand_refused_total %uL\n",
                             report->demand_refused);
}


static void
ngx_http_flux_prometheus_zone(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text)
{
    uint64_t          bytes[3];
    static ngx_str_t  states[] = {
        ngx_string("size"),
        ngx_string("used"),
        ngx_string("live")
    };

    bytes[0] = report->conf->zone ? report->conf->zone->size : 0;
    bytes[1] = report->used;
    bytes[2] = report->live;

    ngx_http_flux_prometheus_family(text, "flux_zone_bytes", "gauge",
                                    "The shared zone: its size, what the log "
                                    "holds, what of it is live.");
    ngx_http_flux_prometheus_rows(text, "flux_zone_bytes", "state", states,
                                  bytes, 3);
}


static void
ngx_http_flux_prometheus_family(ngx_http_flux_text_t *text, const char *name,
    const char *type, const char *help)
{
    ngx_http_flux_text_print(text, "# HELP %s %s\n# TYPE %s %s\n",
                             name, help, name, type);
}


static void
ngx_http_flux_prometheus_rows(ngx_http_flux_text_t *text, const char *name,
    const char *label, ngx_str_t *values, uint64_t *numbers, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        ngx_http_flux_text_print(text, "%s{%s=\"%V\"} %uL\n", name, label,
                                 &values[i], numbers[i]);
    }
}


static void
ngx_http_flux_prometheus_partition(ngx_http_flux_text_t *text,
    const char *name, ngx_http_flux_report_t *report,
    ngx_http_flux_report_partition_t *partition, int64_t number)
{
    ngx_http_flux_text_print(text, "%s{feed=\"%V\",topic=\"%V\","
                             "partition=\"%uD\"} %L\n", name,
                             &report->feeds[partition->feed].feed->name,
                             ngx_http_flux_report_topic(report, partition),
                             partition->state.number, number);
}


/* What is not UTF-8 would cost the whole scrape: it becomes U+FFFD. */

static void
ngx_http_flux_prometheus_label(ngx_http_flux_text_t *text, ngx_str_t *value)
{
    int      length;
    u_char  *p, *last, *dst;

    dst = ngx_http_flux_text_extend(text, value->len * 3);
    if (dst == NULL) {
        return;
    }

    last = value->data + value->len;

    for (p = value->data; p < last; p += length) {
        length = flux_utf8_sequence(p, last);

        if (length <= 0) {
            dst = ngx_cpymem(dst, "\xef\xbf\xbd", 3);
            length = length ? -length : (int) (last - p);

        } else if (*p == '\\' || *p == '"') {
            *dst++ = '\\';
            *dst++ = *p;

        } else if (*p == '\n') {
            *dst++ = '\\';
            *dst++ = 'n';

        } else {
            dst = ngx_cpymem(dst, p, length);
        }
    }

    text->len = dst - text->data;
}
