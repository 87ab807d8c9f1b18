/*
 * When something is due for a reader.  A node of a tree is 40 bytes, an event
 * of nginx 96; one event does for all readers of the worker.
 */

#include "ngx_http_flux_reader.h"


/* Readers served before others get their turn. */
#define NGX_HTTP_FLUX_TIMER_MANY  512


static void ngx_http_flux_timer_wind(void);
static void ngx_http_flux_timer_fire(ngx_event_t *ev);


static ngx_rbtree_t       ngx_http_flux_timers;
static ngx_rbtree_node_t  ngx_http_flux_timers_sentinel;
static ngx_event_t        ngx_http_flux_timer;


void
ngx_http_flux_timer_init(ngx_log_t *log)
{
    ngx_rbtree_init(&ngx_http_flux_timers, &ngx_http_flux_timers_sentinel,
                    ngx_rbtree_insert_timer_value);

    ngx_memzero(&ngx_http_flux_timer, sizeof(ngx_event_t));
    ngx_http_flux_timer.handler = ngx_http_flux_timer_fire;
    ngx_http_flux_timer.log = log;

    /* nginx's debug log takes it for a connection, and reads its fd */
    ngx_http_flux_timer.data = &ngx_http_flux_timer;
}


void
ngx_http_flux_timer_set(ngx_http_flux_reader_t *reader, ngx_msec_t due)
{
    if (reader->timed) {

        if ((ngx_msec_int_t) (reader->timer.key - due) <= 0) {
            return;
        }

        ngx_rbtree_delete(&ngx_http_flux_timers, &reader->timer);
    }

    reader->timed = 1;
    reader->timer.key = due;
    ngx_rbtree_insert(&ngx_http_flux_timers, &reader->timer);

    ngx_http_flux_timer_wind();
}


void
ngx_http_flux_timer_unset(ngx_http_flux_reader_t *reader)
{
    if (!reader->timed) {
        return;
    }

    reader->timed = 0;
    ngx_rbtree_delete(&ngx_http_flux_timers, &reader->timer);

    if (ngx_http_flux_timers.root == &ngx_http_flux_timers_sentinel
        && ngx_http_flux_timer.timer_set)
    {
        /* a worker that is to end would wait for it */
        ngx_del_timer(&ngx_http_flux_timer);
    }
}


/* Has the event come when the first is due; too early does no harm. */

static void
ngx_http_flux_timer_wind(void)
{
    ngx_msec_int_t      left;
    ngx_rbtree_node_t  *first;
    ngx_event_t        *ev = &ngx_http_flux_timer;

    first = ngx_rbtree_min(ngx_http_flux_timers.root,
                           &ngx_http_flux_timers_sentinel);

    if (ev->timer_set) {

        if ((ngx_msec_int_t) (ev->timer.key - first->key) <= 0) {
            return;
        }

        /* ngx_add_timer() alone would leave it if it is only a little late */
        ngx_del_timer(ev);
    }

    left = (ngx_msec_int_t) (first->key - ngx_current_msec);
    ngx_add_timer(ev, (ngx_msec_t) ngx_max(left, 1));
}


static void
ngx_http_flux_timer_fire(ngx_event_t *ev)
{
    ngx_uint_t               n;
    ngx_rbtree_node_t       *first;
    ngx_http_flux_reader_t  *reader;

    for (n = 0; n < NGX_HTTP_FLUX_TIMER_MANY; n++) {

        if (ngx_http_flux_timers.root == &ngx_http_flux_timers_sentinel) {
            return;
        }

        first = ngx_rbtree_min(ngx_http_flux_timers.root,
                               &ngx_http_flux_timers_sentinel);

        if ((ngx_msec_int_t) (first->key - ngx_current_msec) > 0) {
            break;
        }

        reader = ngx_rbtree_data(first, ngx_http_flux_reader_t, timer);

        ngx_rbtree_delete(&ngx_http_flux_timers, first);
        reader->timed = 0;

        ngx_http_flux_reader_due(reader);
    }

    if (ngx_http_flux_timers.root != &ngx_http_flux_timers_sentinel) {
        ngx_http_flux_timer_wind();
    }
}
