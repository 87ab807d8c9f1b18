/*
 * Clusters that no feed reads: nobody hears of them by reading, so a worker
 * asks now and then whether they answer.
 */

#include "ngx_http_flux_producer.h"
#include "ngx_http_flux_zone.h"


/* ms between two questions, when it is well and when it is not */
#define NGX_HTTP_FLUX_WATCH_CALM   5000
#define NGX_HTTP_FLUX_WATCH_AMISS  1000


typedef struct {
    ngx_http_flux_cluster_t  *cluster;
    ngx_http_flux_zone_t     *zone;         /* NULL: there is none */
    ngx_event_t               timer;
} ngx_http_flux_watch_t;


static ngx_int_t ngx_http_flux_watch_start(ngx_cycle_t *cycle,
    ngx_http_flux_cluster_t *cluster, ngx_http_flux_zone_t *zone);
static void ngx_http_flux_watch_ask(ngx_event_t *ev);
static void ngx_http_flux_watch_answer(void *data, rd_kafka_resp_err_t error,
    const char *text);


/* where there is no zone: as this worker sees them */
static ngx_http_flux_cluster_state_t
    ngx_http_flux_watched[NGX_HTTP_FLUX_CLUSTERS];


ngx_int_t
ngx_http_flux_producer_watch(ngx_cycle_t *cycle,
    ngx_http_flux_main_conf_t *fmcf)
{
    ngx_uint_t                 i, n;
    ngx_http_flux_feed_t     **feeds = fmcf->feeds.elts;
    ngx_http_flux_cluster_t  **clusters = fmcf->clusters.elts;

    if (fmcf->zone != NULL && ngx_worker != 0) {
        return NGX_OK;
    }

    for (i = 0; i < fmcf->clusters.nelts; i++) {

        for (n = 0; n < fmcf->feeds.nelts; n++) {
            if (feeds[n]->cluster == clusters[i]) {
                break;
            }
        }

        if (n == fmcf->feeds.nelts
            && ngx_http_flux_watch_start(cycle, clusters[i], fmcf->zone)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_http_flux_cluster_state_t *
ngx_http_flux_producer_watched(void)
{
    return ngx_http_flux_watched;
}


static ngx_http_flux_cluster_state_t *
ngx_http_flux_watch_state(ngx_http_flux_watch_t *watch)
{
    return watch->zone ? &watch->zone->shared->clusters[watch->cluster->index]
                       : &ngx_http_flux_watched[watch->cluster->index];
}


static ngx_int_t
ngx_http_flux_watch_start(ngx_cycle_t *cycle,
    ngx_http_flux_cluster_t *cluster, ngx_http_flux_zone_t *zone)
{
    uint32_t                        name;
    ngx_http_flux_watch_t          *watch;
    ngx_http_flux_cluster_state_t  *state;

    watch = ngx_pcalloc(cycle->pool, sizeof(ngx_http_flux_watch_t));
    if (watch == NULL) {
        return NGX_ERROR;
    }

    watch->cluster = cluster;
    watch->zone = zone;

    watch->timer.handler = ngx_http_flux_watch_ask;
    watch->timer.data = watch;
    watch->timer.log = cycle->log;
    watch->timer.cancelable = 1;

    /* the places of clusters go by their order in nginx.conf */

    state = ngx_http_flux_watch_state(watch);
    name = (uint32_t) flux_hash(FLUX_HASH_START, cluster->name.data,
                                cluster->name.len);

    if (state->name != name) {
        ngx_memzero(state, sizeof(ngx_http_flux_cluster_state_t));
        state->name = name;
    }

    ngx_add_timer(&watch->timer, 1);

    return NGX_OK;
}


static void
ngx_http_flux_watch_ask(ngx_event_t *ev)
{
    ngx_http_flux_watch_t  *watch = ev->data;

    if (ngx_http_flux_producer_ask(watch->cluster, ngx_http_flux_watch_answer,
                                   watch)
        != NGX_OK)
    {
        ngx_http_flux_watch_answer(watch, RD_KAFKA_RESP_ERR__FAIL,
                                   "there is no producer");
    }
}


static void
ngx_http_flux_watch_answer(void *data, rd_kafka_resp_err_t error,
    const char *text)
{
    ngx_http_flux_watch_t          *watch = data;
    ngx_http_flux_cluster_state_t  *state;

    if (ngx_exiting || ngx_quit || ngx_terminate) {
        /* its successor watches */
        return;
    }

    ngx_add_timer(&watch->timer,
                  error && error != RD_KAFKA_RESP_ERR__FAIL
                  ? NGX_HTTP_FLUX_WATCH_AMISS : NGX_HTTP_FLUX_WATCH_CALM);

    if (watch->zone != NULL
        && ngx_http_flux_zone_lock(watch->zone) != NGX_OK)
    {
        return;
    }

    state = ngx_http_flux_watch_state(watch);

    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        state->up = 1;
        state->error[0] = '\0';

    } else {

        if (state->up || state->down_since == 0) {
            state->down_since = (int64_t) ngx_time() * 1000;
        }

        state->up = 0;
        (void) ngx_cpystrn(state->error, (u_char *) text,
                           sizeof(state->error));
    }

    if (watch->zone != NULL) {
        ngx_http_flux_zone_unlock(watch->zone);
    }
}
