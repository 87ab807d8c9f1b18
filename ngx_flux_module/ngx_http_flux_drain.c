#include "ngx_http_flux_reader.h"


/* Readers go in steps of so many ms, at most so many in one. */
#define NGX_HTTP_FLUX_DRAIN_STEP  20
#define NGX_HTTP_FLUX_DRAIN_MANY  512


static void ngx_http_flux_drain_step(ngx_event_t *ev);


typedef struct {
    ngx_event_t           step;
    ngx_msec_t            until;
    ngx_http_flux_end_t   why;
} ngx_http_flux_drain_t;


static ngx_http_flux_drain_t  ngx_http_flux_drain_state;


void
ngx_http_flux_drain(void)
{
    ngx_http_flux_hub_t    *hub = &ngx_http_flux_hub;
    ngx_http_flux_drain_t  *drain = &ngx_http_flux_drain_state;

    if (!hub->draining) {
        hub->draining = 1;
        drain->until = ngx_current_msec + hub->fmcf->drain;

        /* a newer configuration, with workers to go to, or the end of it */

        drain->why = hub->zone->shared->cycles != hub->zone->cycle
                     ? NGX_HTTP_FLUX_END_RELOAD : NGX_HTTP_FLUX_END_QUIT;

        ngx_memzero(&drain->step, sizeof(ngx_event_t));
        drain->step.handler = ngx_http_flux_drain_step;
        drain->step.log = hub->log;
        drain->step.data = drain;
    }

    /* not cancelable: the worker stays until its readers have gone */

    if (!drain->step.timer_set) {
        ngx_add_timer(&drain->step, 1);
    }
}


static void
ngx_http_flux_drain_step(ngx_event_t *ev)
{
    ngx_uint_t               readers, n;
    ngx_queue_t             *q;
    ngx_msec_int_t           left;
    ngx_http_flux_hub_t     *hub = &ngx_http_flux_hub;
    ngx_http_flux_reader_t  *reader;
    ngx_http_flux_drain_t   *drain = ev->data;

    readers = 0;

    for (q = ngx_queue_head(&hub->readers);
         q != ngx_queue_sentinel(&hub->readers);
         q = ngx_queue_next(q))
    {
        readers++;
    }

    if (readers == 0) {
        return;
    }

    /* of those that are left, as many as make it come out even */

    left = (ngx_msec_int_t) (drain->until - ngx_current_msec);
    n = left > NGX_HTTP_FLUX_DRAIN_STEP
        ? (readers * NGX_HTTP_FLUX_DRAIN_STEP + left - 1) / left : readers;
    n = ngx_min(n, NGX_HTTP_FLUX_DRAIN_MANY);

    while (n-- && !ngx_queue_empty(&hub->readers)) {
        q = ngx_queue_head(&hub->readers);
        reader = ngx_queue_data(q, ngx_http_flux_reader_t, all);
        ngx_http_flux_reader_end(reader, drain->why);
    }

    ngx_add_timer(ev, left > 0 ? NGX_HTTP_FLUX_DRAIN_STEP : 1);
}
