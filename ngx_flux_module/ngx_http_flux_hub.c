#include "ngx_http_flux_batch.h"
#include "ngx_http_flux_demand.h"
#include "ngx_http_flux_hub.h"
#include "ngx_http_flux_reader.h"


/* Readers that a turn writes to at the most: some 7 us each. */
#define NGX_HTTP_FLUX_TURN_SENDS    512

/* How often what comes by time alone is looked at, in ms. */
#define NGX_HTTP_FLUX_SECOND        500

/* How often readers that wait for the log look again. */
#define NGX_HTTP_FLUX_RETRY         50


static void ngx_http_flux_hub_second(ngx_event_t *ev);
static void ngx_http_flux_hub_turn(ngx_event_t *ev);
static void ngx_http_flux_hub_work(void);
static void ngx_http_flux_hub_counted(void);
static void ngx_http_flux_hub_retry(ngx_event_t *ev);
static void ngx_http_flux_hub_serve_waiting(void);


ngx_http_flux_hub_t  ngx_http_flux_hub;


ngx_int_t
ngx_http_flux_hub_init(ngx_cycle_t *cycle, ngx_http_flux_main_conf_t *fmcf)
{
    ngx_uint_t            i;
    flux_log_header_t    *header = fmcf->zone->log.header;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    ngx_memzero(hub, sizeof(ngx_http_flux_hub_t));

    hub->fmcf = fmcf;
    hub->zone = fmcf->zone;
    hub->log = cycle->log;

    ngx_rbtree_init(&hub->rooms, &hub->rooms_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&hub->channels, &hub->channels_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&hub->all);
    ngx_queue_init(&hub->dirty);
    ngx_queue_init(&hub->waiting);
    ngx_queue_init(&hub->serving);
    ngx_queue_init(&hub->readers);
    ngx_http_flux_timer_init(cycle->log);

    ngx_http_flux_batch_init(cycle->log, fmcf->io_uring);

    /* both are touched only where there is something */

    hub->by_node = calloc(header->nnodes, sizeof(ngx_http_flux_room_t *));
    hub->place_of = ngx_alloc(header->npartitions * sizeof(uint32_t),
                              cycle->log);
    hub->positions = ngx_pcalloc(cycle->pool, (fmcf->feeds.nelts + 1)
                                          * sizeof(ngx_http_flux_positions_t));

    if (hub->by_node == NULL || hub->place_of == NULL
        || hub->positions == NULL)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < header->npartitions; i++) {
        hub->place_of[i] = FLUX_NONE;
    }

    hub->turn.handler = ngx_http_flux_hub_turn;
    hub->turn.log = cycle->log;

    /* nginx's debug log takes data for a connection, and reads its fd */

    hub->retry.handler = ngx_http_flux_hub_retry;
    hub->retry.data = hub;
    hub->retry.log = cycle->log;
    hub->retry.cancelable = 1;

    hub->second.handler = ngx_http_flux_hub_second;
    hub->second.data = hub;
    hub->second.log = cycle->log;
    hub->second.cancelable = 1;
    ngx_add_timer(&hub->second, NGX_HTTP_FLUX_SECOND);

    return ngx_http_flux_hub_start();
}


/* Rooms become stale by nothing happening; the table of demand gets place. */

static void
ngx_http_flux_hub_second(ngx_event_t *ev)
{
    ngx_uint_t              i;
    ngx_http_flux_hub_t    *hub = &ngx_http_flux_hub;
    ngx_http_flux_feed_t  **feeds = hub->fmcf->feeds.elts;

    for (i = 0; i < hub->fmcf->feeds.nelts; i++) {
        if (feeds[i]->stale) {
            hub->state_soon = 1;
            ngx_http_flux_hub_post();
            break;
        }
    }

    ngx_http_flux_demand_look();

    ngx_add_timer(ev, NGX_HTTP_FLUX_SECOND);
}


void
ngx_http_flux_hub_exit(void)
{
    ngx_uint_t            i;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    if (hub->fmcf == NULL) {
        return;
    }

    ngx_http_flux_batch_exit();

    for (i = 0; i < hub->fmcf->feeds.nelts; i++) {
        ngx_free(hub->positions[i].ids);
        ngx_free(hub->positions[i].places);
        ngx_free(hub->positions[i].down);
    }

    free(hub->by_node);
    ngx_free(hub->place_of);
    ngx_free(hub->scratch);
    hub->fmcf = NULL;
}


/* Unless the lock is held already; the result goes to unlock. */

ngx_uint_t
ngx_http_flux_hub_lock(void)
{
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    if (hub->locked) {
        return 0;
    }

    ngx_shmtx_lock(&hub->zone->shpool->mutex);
    hub->locked = 1;

    return 1;
}


void
ngx_http_flux_hub_unlock(ngx_uint_t locked)
{
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    if (locked) {
        hub->locked = 0;
        ngx_shmtx_unlock(&hub->zone->shpool->mutex);
    }
}


/* --- the turn ------------------------------------------------------------ */

void
ngx_http_flux_hub_wake(ngx_event_t *ev)
{
    ngx_connection_t  *c = ev->data;

    if (c->close && ngx_http_flux_hub.fmcf != NULL) {
        /* as all idle connections are: the worker is asked to end */
        c->close = 0;
        c->idle = 0;
        ngx_http_flux_drain();
        return;
    }

    if (ngx_http_flux_hub.fmcf != NULL) {
        ngx_http_flux_hub_turn(&ngx_http_flux_hub.turn);
    }
}


void
ngx_http_flux_hub_post(void)
{
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    if (!hub->turn.posted) {
        ngx_post_event(&hub->turn, &ngx_posted_next_events);
    }
}


static void
ngx_http_flux_hub_turn(ngx_event_t *ev)
{
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    hub->counting = 1;
    ngx_http_flux_hub_work();
    hub->counting = 0;

    ngx_http_flux_hub_counted();
}


static void
ngx_http_flux_hub_work(void)
{
    ngx_int_t                 rc;
    ngx_uint_t                budget = NGX_HTTP_FLUX_TURN_SENDS;
    ngx_queue_t              *q;
    ngx_http_flux_hub_t      *hub = &ngx_http_flux_hub;
    ngx_http_flux_channel_t  *channel;

    ngx_http_flux_hub_scan();

    while (!ngx_queue_empty(&hub->dirty)) {

        q = ngx_queue_head(&hub->dirty);
        channel = ngx_queue_data(q, ngx_http_flux_channel_t, dirty);

        rc = ngx_http_flux_channel_flush(channel, &budget);

        if (rc == NGX_AGAIN) {
            ngx_http_flux_batch_submit();
            ngx_http_flux_hub_post();
            return;
        }
    }

    ngx_http_flux_batch_submit();

    if (hub->state_soon) {
        hub->state_soon = 0;
        ngx_http_flux_state_update();
    }

    if (hub->telling && ngx_http_flux_state_tell(&budget) == NGX_AGAIN) {
        ngx_http_flux_hub_post();
        return;
    }

    if (hub->retry_soon) {
        hub->retry_soon = 0;
        ngx_http_flux_hub_serve_waiting();
    }

    if (hub->behind) {
        ngx_http_flux_hub_post();
    }
}


void
ngx_http_flux_hub_count(ngx_uint_t transport, ngx_uint_t frames,
    uint64_t messages, uint64_t bytes)
{
    ngx_http_flux_hub_t   *hub = &ngx_http_flux_hub;
    ngx_http_flux_sent_t  *sent = &hub->sent[transport];

    sent->frames += frames;
    sent->messages += messages;
    sent->bytes += bytes;

    if (!hub->counting) {
        ngx_http_flux_hub_counted();
    }
}


static void
ngx_http_flux_hub_counted(void)
{
    ngx_uint_t               i;
    ngx_http_flux_hub_t     *hub = &ngx_http_flux_hub;
    ngx_http_flux_sent_t    *sent;
    ngx_http_flux_shared_t  *shared = hub->zone->shared;

    for (i = 0; i < NGX_HTTP_FLUX_TRANSPORTS; i++) {
        sent = &hub->sent[i];

        if (sent->bytes == 0 && sent->frames == 0) {
            continue;
        }

        (void) ngx_atomic_fetch_add(&shared->frames[i], sent->frames);
        (void) ngx_atomic_fetch_add(&shared->messages[i], sent->messages);
        (void) ngx_atomic_fetch_add(&shared->bytes[i], sent->bytes);

        ngx_memzero(sent, sizeof(ngx_http_flux_sent_t));
    }
}


/* Those whom only the log can help: ahead of this node, or at a dirty index. */

void
ngx_http_flux_hub_wait(ngx_http_flux_reader_t *reader)
{
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    if (!reader->waiting) {
        reader->waiting = 1;
        ngx_queue_insert_tail(&hub->waiting, &reader->queue);
    }

    if (!hub->retry.timer_set) {
        ngx_add_timer(&hub->retry, NGX_HTTP_FLUX_RETRY);
    }
}


static void
ngx_http_flux_hub_retry(ngx_event_t *ev)
{
    ngx_http_flux_hub_serve_waiting();
}


/*
 * Who still has to wait comes with the next retry: a turn later it would be no
 * other, and those behind would never have theirs.
 */

static void
ngx_http_flux_hub_serve_waiting(void)
{
    ngx_uint_t               n;
    ngx_queue_t             *q;
    ngx_http_flux_hub_t     *hub = &ngx_http_flux_hub;
    ngx_http_flux_reader_t  *reader;

    if (ngx_queue_empty(&hub->serving) && !ngx_queue_empty(&hub->waiting)) {
        ngx_queue_add(&hub->serving, &hub->waiting);
        ngx_queue_init(&hub->waiting);
    }

    for (n = 0; !ngx_queue_empty(&hub->serving); n++) {

        if (n == NGX_HTTP_FLUX_TURN_SENDS) {
            hub->retry_soon = 1;
            ngx_http_flux_hub_post();
            return;
        }

        q = ngx_queue_head(&hub->serving);
        ngx_queue_remove(q);

        reader = ngx_queue_data(q, ngx_http_flux_reader_t, queue);
        reader->waiting = 0;

        ngx_http_flux_reader_catch_up(reader);
    }

    if (!ngx_queue_empty(&hub->waiting) && !hub->retry.timer_set) {
        ngx_add_timer(&hub->retry, NGX_HTTP_FLUX_RETRY);
    }
}
