/*
 * The writer's part of demand: what the table says becomes records.
 */

#include "ngx_http_flux_demand_lease.h"
#include "ngx_http_flux_demand_table.h"


/* docs/writing.md; all in ms */
#define NGX_HTTP_FLUX_DEMAND_TICK    200
#define NGX_HTTP_FLUX_DEMAND_LOOK    1000   /* at counts that changed */

/* how long tombstones are waited for at the end */
#define NGX_HTTP_FLUX_DEMAND_FLUSH   1500

/* records sent in one tick: what is left has the next one */
#define NGX_HTTP_FLUX_DEMAND_SENDS   2000


static ngx_http_flux_target_t *ngx_http_flux_target_find(uint64_t hash);
static void ngx_http_flux_target_make(ngx_http_flux_target_t *target);
static void ngx_http_flux_target_made(void *data, rd_kafka_resp_err_t error,
    const char *text);
static void ngx_http_flux_demand_tick(ngx_event_t *ev);
static ngx_uint_t ngx_http_flux_demand_superseded(void);
static void ngx_http_flux_demand_read(void);
static void ngx_http_flux_demand_read_entry(
    ngx_http_flux_demand_entry_t *entry, uint32_t number);


ngx_http_flux_demand_t  ngx_http_flux_demand;


/* --- life ---------------------------------------------------------------- */

void
ngx_http_flux_demand_start(ngx_cycle_t *cycle, ngx_http_flux_main_conf_t *fmcf)
{
    uint64_t                  hash;
    ngx_uint_t                i;
    ngx_http_flux_feed_t    **feeds = fmcf->feeds.elts;
    ngx_http_flux_demand_t   *demand = &ngx_http_flux_demand;
    ngx_http_flux_target_t   *target;

    ngx_http_flux_demand_stop();

    demand->ntargets = 0;
    demand->serial++;

    for (i = 0; i < fmcf->feeds.nelts; i++) {

        if (feeds[i]->demand.len == 0) {
            continue;
        }

        hash = ngx_http_flux_demand_target(feeds[i]);

        if (ngx_http_flux_target_find(hash) != NULL) {
            continue;
        }

        target = &demand->targets[demand->ntargets++];

        ngx_memzero(target, sizeof(ngx_http_flux_target_t));
        target->hash = hash;
        target->cluster = feeds[i]->cluster;
        target->topic = feeds[i]->demand;
        target->asked = ngx_current_msec - NGX_HTTP_FLUX_DEMAND_RETRY;
    }

    if (demand->ntargets == 0) {
        return;
    }

    demand->fmcf = fmcf;
    demand->zone = fmcf->zone;

    /* as no table's version is: it is read at once */

    demand->version = (ngx_atomic_uint_t) -1;

    ngx_rbtree_init(&demand->leases, &demand->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&demand->all);

    demand->timer.handler = ngx_http_flux_demand_tick;
    demand->timer.data = demand;
    demand->timer.log = cycle->log;
    demand->timer.cancelable = 1;

    ngx_add_timer(&demand->timer, 1);
}


void
ngx_http_flux_demand_stop(void)
{
    ngx_uint_t               i, last;
    ngx_queue_t             *q;
    ngx_msec_t               until;
    ngx_http_flux_lease_t   *lease;
    ngx_http_flux_demand_t  *demand = &ngx_http_flux_demand;

    if (demand->fmcf == NULL) {
        return;
    }

    last = !ngx_http_flux_demand_superseded();

    if (demand->timer.timer_set) {
        ngx_del_timer(&demand->timer);
    }

    while (!ngx_queue_empty(&demand->all)) {
        q = ngx_queue_head(&demand->all);
        lease = ngx_queue_data(q, ngx_http_flux_lease_t, queue);

        if (lease->delivery != NULL) {
            ngx_http_flux_delivery_cancel(lease->delivery);
            lease->delivery = NULL;
        }

        if (last && lease->written && lease->target->known
            && !ngx_http_flux_producer_down(lease->target->cluster,
                                            demand->zone)
            && ngx_http_flux_lease_send(lease, 1) == NGX_OK)
        {
            ngx_http_flux_delivery_cancel(lease->delivery);
        }

        if (!last) {
            /* it stays in the table, for who goes on with it */
            lease->entry = 0;
        }

        ngx_http_flux_lease_drop(lease);
    }

    ngx_time_update();
    until = ngx_current_msec + NGX_HTTP_FLUX_DEMAND_FLUSH;

    for (i = 0; last && i < demand->ntargets; i++) {
        ngx_http_flux_producer_flush(demand->targets[i].cluster,
               ngx_max((ngx_msec_int_t) (until - ngx_current_msec), 0));
    }

    demand->fmcf = NULL;
}


/* Another writer goes on, or will: a later configuration has been read. */

static ngx_uint_t
ngx_http_flux_demand_superseded(void)
{
    ngx_http_flux_zone_t  *zone = ngx_http_flux_demand.zone;

    return zone->shared->cycles != zone->cycle
           || zone->shared->generation != zone->generation;
}


/* --- topics -------------------------------------------------------------- */

static ngx_http_flux_target_t *
ngx_http_flux_target_find(uint64_t hash)
{
    ngx_uint_t               i;
    ngx_http_flux_demand_t  *demand = &ngx_http_flux_demand;

    for (i = 0; i < demand->ntargets; i++) {
        if (demand->targets[i].hash == hash) {
            return &demand->targets[i];
        }
    }

    return NULL;
}


static void
ngx_http_flux_target_make(ngx_http_flux_target_t *target)
{
    uintptr_t                number;
    ngx_http_flux_demand_t  *demand = &ngx_http_flux_demand;

    if (target->asking
        || ngx_current_msec - target->asked < NGX_HTTP_FLUX_DEMAND_RETRY)
    {
        return;
    }

    target->asked = ngx_current_msec;

    /* the answer may come after a stop: a number says which target it was */

    number = demand->serial * FLUX_LOG_FEEDS + (target - demand->targets);

    if (ngx_http_flux_producer_create_topic(target->cluster, &target->topic,
                                            ngx_http_flux_target_made,
                                            (void *) number)
        == NGX_OK)
    {
        target->asking = 1;
    }
}


static void
ngx_http_flux_target_made(void *data, rd_kafka_resp_err_t error,
    const char *text)
{
    uintptr_t                number = (uintptr_t) data;
    ngx_http_flux_demand_t  *demand = &ngx_http_flux_demand;
    ngx_http_flux_target_t  *target;

    if (demand->fmcf == NULL || number / FLUX_LOG_FEEDS != demand->serial) {
        return;
    }

    target = &demand->targets[number % FLUX_LOG_FEEDS];
    target->asking = 0;

    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        target->known = 1;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "flux made demand topic \"%V\"", &target->topic);
        return;
    }

    if (error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
        target->known = 1;
        return;
    }

    if (error < RD_KAFKA_RESP_ERR_NO_ERROR
        || error == RD_KAFKA_RESP_ERR_NOT_CONTROLLER
        || error == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT)
    {
        /* nobody was asked: once more, later */
        return;
    }

    /* it may be there all the same */

    target->known = 1;

    if (!target->refused) {
        target->refused = 1;
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "flux could not make demand topic \"%V\": %s",
                      &target->topic, text);
    }
}


/* --- ticks --------------------------------------------------------------- */

static void
ngx_http_flux_demand_tick(ngx_event_t *ev)
{
    ngx_uint_t                     i, sends;
    ngx_queue_t                   *q, *next;
    ngx_http_flux_target_t        *target;
    ngx_http_flux_demand_t        *demand = &ngx_http_flux_demand;
    ngx_http_flux_demand_table_t  *table;

    if (demand->zone->shared->generation != demand->zone->generation
        || !demand->zone->writing)
    {
        ngx_http_flux_demand_stop();
        return;
    }

    for (i = 0; i < demand->ntargets; i++) {
        target = &demand->targets[i];
        target->down = ngx_http_flux_producer_down(target->cluster,
                                                   demand->zone);

        if (!target->known && !target->down) {
            ngx_http_flux_target_make(target);
        }
    }

    table = ngx_http_flux_demand_table(demand->zone);

    if (table->version != demand->version
        || ngx_current_msec - demand->read >= NGX_HTTP_FLUX_DEMAND_LOOK)
    {
        ngx_http_flux_demand_read();
    }

    sends = 0;

    for (q = ngx_queue_head(&demand->all);
         q != ngx_queue_sentinel(&demand->all)
             && sends < NGX_HTTP_FLUX_DEMAND_SENDS;
         q = next)
    {
        next = ngx_queue_next(q);

        if (ngx_http_flux_lease_tend(ngx_queue_data(q, ngx_http_flux_lease_t,
                                                    queue))
            == NGX_OK)
        {
            sends++;
        }
    }

    ngx_add_timer(ev, NGX_HTTP_FLUX_DEMAND_TICK);
}


static void
ngx_http_flux_demand_read(void)
{
    uint32_t                       i;
    ngx_uint_t                     locked;
    ngx_queue_t                   *q;
    ngx_http_flux_lease_t         *lease;
    ngx_http_flux_demand_t        *demand = &ngx_http_flux_demand;
    ngx_http_flux_demand_table_t  *table;

    for (q = ngx_queue_head(&demand->all);
         q != ngx_queue_sentinel(&demand->all);
         q = ngx_queue_next(q))
    {
        lease = ngx_queue_data(q, ngx_http_flux_lease_t, queue);
        lease->readers = 0;
    }

    table = ngx_http_flux_demand_table(demand->zone);

    locked = ngx_http_flux_hub_lock();

    demand->version = table->version;
    demand->read = ngx_current_msec;

    for (i = table->top; i-- > 0; /* void */) {

        /* from the end: freeing lowers `top` */

        if (table->entries[i].owner != NGX_HTTP_FLUX_DEMAND_FREE) {
            ngx_http_flux_demand_read_entry(&table->entries[i], i + 1);
        }
    }

    ngx_http_flux_hub_unlock(locked);

    for (q = ngx_queue_head(&demand->all);
         q != ngx_queue_sentinel(&demand->all);
         q = ngx_queue_next(q))
    {
        lease = ngx_queue_data(q, ngx_http_flux_lease_t, queue);

        if (lease->readers) {
            lease->empty = 0;

        } else if (!lease->empty) {
            lease->empty = 1;
            lease->left = ngx_current_msec;
        }
    }
}


static void
ngx_http_flux_demand_read_entry(ngx_http_flux_demand_entry_t *entry,
    uint32_t number)
{
    ngx_http_flux_lease_t   *lease;
    ngx_http_flux_target_t  *target;

    target = ngx_http_flux_target_find(entry->target);

    lease = target == NULL ? NULL
            : ngx_http_flux_lease_get(target, entry->room, entry->length);

    switch (entry->owner) {

    case NGX_HTTP_FLUX_DEMAND_LEASE:

        if (lease == NULL || (lease->entry && lease->entry != number)) {
            /* of another nginx.conf: it expires */
            ngx_http_flux_demand_free(ngx_http_flux_demand.zone, number);

        } else if (!lease->entry) {
            /* of a writer before us */
            lease->entry = number;
            lease->written = 1;
            lease->expires = entry->expires;
        }

        return;

    case NGX_HTTP_FLUX_DEMAND_LEFT:

        if (lease != NULL) {
            lease->seen = 1;
            lease->empty = 1;
            lease->left = ngx_current_msec;
        }

        ngx_http_flux_demand_free(ngx_http_flux_demand.zone, number);
        return;

    default:

        if (lease != NULL) {
            lease->readers += entry->readers;
        }
    }
}
