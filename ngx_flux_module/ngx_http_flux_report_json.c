#include "ngx_http_flux_report.h"

#include "core/flux_json.h"


static void ngx_http_flux_json_zone(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text);
static void ngx_http_flux_json_clusters(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text);
static void ngx_http_flux_json_feed(ngx_http_flux_report_t *report,
    ngx_http_flux_report_feed_t *feed, ngx_http_flux_text_t *text);
static void ngx_http_flux_json_partition(ngx_http_flux_report_t *report,
    ngx_http_flux_report_partition_t *partition, ngx_http_flux_text_t *text);
static void ngx_http_flux_json_readers(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text);
static void ngx_http_flux_json_numbers(ngx_http_flux_text_t *text,
    ngx_str_t *names, uint64_t *numbers, ngx_uint_t n);
static void ngx_http_flux_json_string(ngx_http_flux_text_t *text,
    const u_char *data, size_t len);
static void ngx_http_flux_json_known(ngx_http_flux_text_t *text,
    int64_t number);
static uint64_t ngx_http_flux_sum(uint64_t *numbers, ngx_uint_t n);


/* Names of feeds, topics and clusters need no escapes: nginx -t sees to it. */

void
ngx_http_flux_report_json(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text)
{
    ngx_uint_t  i;
    ngx_str_t  *node = &report->conf->node;

    ngx_http_flux_text_print(text, "{\"version\":\"%s\",\"node\":",
                             NGX_HTTP_FLUX_VERSION);
    ngx_http_flux_json_string(text, node->data, node->len);

    ngx_http_flux_json_zone(report, text);
    ngx_http_flux_json_clusters(report, text);

    ngx_http_flux_text_print(text, ",\"feeds\":{");

    for (i = 0; i < report->nfeeds; i++) {
        ngx_http_flux_text_print(text, i ? "," : "");
        ngx_http_flux_json_feed(report, &report->feeds[i], text);
    }

    ngx_http_flux_text_print(text, "}");

    ngx_http_flux_json_readers(report, text);

    ngx_http_flux_text_print(text, "}\n");
}


static void
ngx_http_flux_json_zone(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text)
{
    ngx_http_flux_zone_t  *zone = report->conf->zone;

    ngx_http_flux_text_print(text, ",\"zone\":");

    if (zone == NULL) {
        ngx_http_flux_text_print(text, "null");

    } else {
        ngx_http_flux_text_print(text, "{\"name\":");
        ngx_http_flux_json_string(text, zone->name.data, zone->name.len);
        ngx_http_flux_text_print(text, ",\"size\":%uz,\"used\":%uL,"
                                 "\"live\":%uL,\"records\":%uL}",
                                 zone->size, report->used, report->live,
                                 report->records);
    }

    ngx_http_flux_text_print(text, ",\"writer\":{\"pid\":");

    if (report->writer) {
        ngx_http_flux_text_print(text, "%P", report->writer);

    } else {
        ngx_http_flux_text_print(text, "null");
    }

    ngx_http_flux_text_print(text, ",\"generation\":%uL}",
                             report->generation);
}


static void
ngx_http_flux_json_clusters(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text)
{
    u_char                          *error;
    ngx_uint_t                       i;
    ngx_http_flux_cluster_t        **clusters;
    ngx_http_flux_cluster_state_t   *state;

    clusters = report->conf->clusters.elts;

    ngx_http_flux_text_print(text, ",\"clusters\":{");

    for (i = 0; i < report->conf->clusters.nelts; i++) {
        state = &report->clusters[clusters[i]->index];
        error = state->error;

        ngx_http_flux_text_print(text, "%s\"%V\":{\"state\":\"%s\",\"error\":",
                                 i ? "," : "", &clusters[i]->name,
                                 state->up ? "up" : "down");

        if (!state->up && error[0]) {
            ngx_http_flux_json_string(text, error,
                                      strnlen((char *) error,
                                              sizeof(state->error)));

        } else {
            ngx_http_flux_text_print(text, "null");
        }

        ngx_http_flux_text_print(text, "}");
    }

    ngx_http_flux_text_print(text, "}");
}


static void
ngx_http_flux_json_feed(ngx_http_flux_report_t *report,
    ngx_http_flux_report_feed_t *feed, ngx_http_flux_text_t *text)
{
    uint64_t      skipped[FLUX_SKIP_EXPIRED + 1];
    ngx_uint_t    i, readers;
    flux_feed_t  *state = &feed->state;

    readers = 0;

    for (i = 0; i < NGX_HTTP_FLUX_TRANSPORTS; i++) {
        readers += feed->readers[i];
    }

    ngx_http_flux_text_print(text, "\"%V\":{\"ready\":%s,\"rooms\":%uD,"
                             "\"keys\":%uD,\"readers\":%ui,\"records\":%uL,"
                             "\"bytes\":%uL,\"evicted\":%uL,\"skipped\":",
                             &feed->feed->name,
                             state->ready ? "true" : "false",
                             state->rooms, state->keys, readers,
                             (uint64_t) state->records,
                             (uint64_t) state->bytes,
                             (uint64_t) state->evicted);

    for (i = 0; i <= FLUX_SKIP_EXPIRED; i++) {
        skipped[i] = state->skipped[i];
    }

    ngx_http_flux_json_numbers(text, ngx_http_flux_skip_names, skipped, i);

    ngx_http_flux_text_print(text, ",\"partitions\":[");

    for (i = 0; i < feed->npartitions; i++) {
        ngx_http_flux_text_print(text, i ? "," : "");
        ngx_http_flux_json_partition(report, &feed->partitions[i], text);
    }

    ngx_http_flux_text_print(text, "]}");
}


static void
ngx_http_flux_json_partition(ngx_http_flux_report_t *report,
    ngx_http_flux_report_partition_t *partition, ngx_http_flux_text_t *text)
{
    const char  *error = ngx_http_flux_report_error(partition);

    ngx_http_flux_text_print(text, "{\"topic\":\"%V\",\"partition\":%uD,"
                             "\"offset\":%L,\"high_watermark\":",
                             ngx_http_flux_report_topic(report, partition),
                             partition->state.number, partition->state.next);
    ngx_http_flux_json_known(text, partition->state.high_watermark);

    ngx_http_flux_text_print(text, ",\"lag\":");
    ngx_http_flux_json_known(text, ngx_http_flux_report_lag(partition));

    ngx_http_flux_text_print(text, ",\"error\":");

    if (error != NULL) {
        ngx_http_flux_json_string(text, (u_char *) error, ngx_strlen(error));

    } else {
        ngx_http_flux_text_print(text, "null");
    }

    ngx_http_flux_text_print(text, "}");
}


static void
ngx_http_flux_json_readers(ngx_http_flux_report_t *report,
    ngx_http_flux_text_t *text)
{
    uint64_t    readers[NGX_HTTP_FLUX_TRANSPORTS];
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_FLUX_TRANSPORTS; i++) {
        readers[i] = report->readers[i];
    }

    ngx_http_flux_text_print(text, ",\"readers\":");
    ngx_http_flux_json_numbers(text, ngx_http_flux_transport_names, readers,
                               NGX_HTTP_FLUX_TRANSPORTS);

    ngx_http_flux_text_print(text, ",\"sent\":{\"frames\":%uL,"
                             "\"messages\":%uL,\"bytes\":%uL},"
                             "\"conflated\":%uL,\"ended\":",
                             ngx_http_flux_sum(report->frames,
                                               NGX_HTTP_FLUX_TRANSPORTS),
                             ngx_http_flux_sum(report->messages,
                                               NGX_HTTP_FLUX_TRANSPORTS),
                             ngx_http_flux_sum(report->bytes,
                                               NGX_HTTP_FLUX_TRANSPORTS),
                             report->conflated);

    ngx_http_flux_json_numbers(text, ngx_http_flux_end_names, report->ended,
                               NGX_HTTP_FLUX_ENDS);

    ngx_http_flux_text_print(text, ",\"demand\":{\"refused\":%uL}",
                             report->demand_refused);
}


static void
ngx_http_flux_json_numbers(ngx_http_flux_text_t *text, ngx_str_t *names,
    uint64_t *numbers, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        ngx_http_flux_text_print(text, "%s\"%V\":%uL", i ? "," : "{",
                                 &names[i], numbers[i]);
    }

    ngx_http_flux_text_print(text, "}");
}


static void
ngx_http_flux_json_string(ngx_http_flux_text_t *text, const u_char *data,
    size_t len)
{
    size_t   size;
    u_char  *p;

    size = flux_json_escaped_size(data, len) + 2;

    p = ngx_http_flux_text_extend(text, size);
    if (p == NULL) {
        return;
    }

    *p++ = '"';
    p = flux_json_escape(p, data, len);
    *p = '"';
}


static void
ngx_http_flux_json_known(ngx_http_flux_text_t *text, int64_t number)
{
    if (number < 0) {
        ngx_http_flux_text_print(text, "null");

    } else {
        ngx_http_flux_text_print(text, "%L", number);
    }
}


static uint64_t
ngx_http_flux_sum(uint64_t *numbers, ngx_uint_t n)
{
    uint64_t  sum;

    for (sum = 0; n; n--) {
        sum += numbers[n - 1];
    }

    return sum;
}
