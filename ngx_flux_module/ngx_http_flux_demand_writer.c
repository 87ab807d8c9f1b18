/*
 * The writer's part of demand: what the table says becomes records.
 */

#include "ngx_http_flux_demand_table.h"
#include "ngx_http_flux_kafka.h"
#include "ngx_http_flux_producer.h"

#include "core/flux_json.h"


/* docs/writing.md; all in ms */
#define NGX_HTTP_FLUX_DEMAND_TICK    200
#define NGX_HTTP_FLUX_DEMAND_LOOK    1000   /* at counts that changed */
#define NGX_HTTP_FLUX_DEMAND_RENEW   20000
#define NGX_HTTP_FLUX_DEMAND_VALID   60000
#define NGX_HTTP_FLUX_DEMAND_RETRY   1000

/* a reader who comes back within this time was never away */
#define NGX_HTTP_FLUX_DEMAND_GRACE   7000

/* how long tombstones are waited for at the end */
#define NGX_HTTP_FLUX_DEMAND_FLUSH   1500

/* records sent in one tick: what is left has the next one */
#define NGX_HTTP_FLUX_DEMAND_SENDS   2000


/* A topic that demand is written to. */

typedef struct {
    uint64_t                   hash;
    ngx_http_flux_cluster_t   *cluster;
    ngx_str_t                  topic;       /* NUL-ended */
    ngx_msec_t                 asked;       /* when it was to be made */
    unsigned                   known:1;     /* it is there, or never will */
    unsigned                   asking:1;
    unsigned                   refused:1;   /* logged */
    unsigned                   down:1;      /* in this tick */
} ngx_http_flux_target_t;


/* A room of which we write. */

typedef struct {
    ngx_str_node_t             sn;          /* number of target, room */
    ngx_queue_t                queue;
    ngx_http_flux_target_t    *target;
    ngx_str_t                  room;
    uint32_t                   entry;       /* in the table, from 1; or 0 */
    ngx_uint_t                 readers;
    ngx_msec_t                 left;        /* when the last one went */
    ngx_msec_t                 due;         /* the next record */
    int64_t                    expires;     /* the last one; Unix ms */
    ngx_http_flux_delivery_t  *delivery;    /* on its way, or NULL */
    unsigned                   written:1;   /* there may be a record */
    unsigned                   seen:1;      /* a reader was here */
    unsigned                   empty:1;     /* none now, since `left` */
    unsigned                   tombstone:1; /* the one on its way */
} ngx_http_flux_lease_t;


typedef struct {
    ngx_http_flux_main_conf_t  *fmcf;       /* NULL: not the writer */
    ngx_http_flux_zone_t       *zone;
    ngx_http_flux_target_t      targets[FLUX_LOG_FEEDS];
    ngx_uint_t                  ntargets;
    ngx_uint_t                  serial;     /* of this start */
    ngx_rbtree_t                leases;
    ngx_rbtree_node_t           sentinel;
    ngx_queue_t                 all;
    ngx_event_t                 timer;
    ngx_atomic_uint_t           version;    /* of the table, as read */
    ngx_msec_t                  read;
} ngx_http_flux_demand_t;


static ngx_http_flux_target_t *ngx_http_flux_target_find(uint64_t hash);
static void ngx_http_flux_target_make(ngx_http_flux_target_t *target);
static void ngx_http_flux_target_made(void *data, rd_kafka_resp_err_t error,
    const char *text);
static void ngx_http_flux_demand_tick(ngx_event_t *ev);
static ngx_uint_t ngx_http_flux_demand_superseded(void);
static void ngx_http_flux_demand_read(void);
static void ngx_http_flux_demand_read_entry(
    ngx_http_flux_demand_entry_t *entry, uint32_t number);
static ngx_http_flux_lease_t *ngx_http_flux_lease_get(
    ngx_http_flux_target_t *target, u_char *room, size_t len);
static ngx_int_t ngx_http_flux_lease_tend(ngx_http_flux_lease_t *lease);
static void ngx_http_flux_lease_mark(ngx_http_flux_lease_t *lease);
static ngx_int_t ngx_http_flux_lease_send(ngx_http_flux_lease_t *lease,
    ngx_uint_t tombstone);
static void ngx_http_flux_lease_sent(ngx_http_flux_delivery_t *delivery);
static void ngx_http_flux_lease_drop(ngx_http_flux_lease_t *lease);


static ngx_http_flux_demand_t  ngx_http_flux_demand;


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


/* --- leases -------------------------------------------------------------- */

static ngx_http_flux_lease_t *
ngx_http_flux_lease_get(ngx_http_flux_target_t *target, u_char *room,
    size_t len)
{
    u_char                   name[NGX_HTTP_FLUX_ROOM_MAX + 1];
    uint32_t                 hash;
    ngx_str_t                str;
    ngx_http_flux_lease_t   *lease;
    ngx_http_flux_demand_t  *demand = &ngx_http_flux_demand;

    len = ngx_min(len, NGX_HTTP_FLUX_ROOM_MAX);

    name[0] = (u_char) (target - demand->targets);
    ngx_memcpy(name + 1, room, len);

    str.data = name;
    str.len = len + 1;
    hash = ngx_crc32_long(str.data, str.len);

    lease = (ngx_http_flux_lease_t *)
                ngx_str_rbtree_lookup(&demand->leases, &str, hash);

    if (lease != NULL) {
        return lease;
    }

    lease = ngx_calloc(sizeof(ngx_http_flux_lease_t) + str.len,
                       ngx_cycle->log);
    if (lease == NULL) {
        return NULL;
    }

    lease->sn.str.data = (u_char *) lease + sizeof(ngx_http_flux_lease_t);
    lease->sn.str.len = str.len;
    lease->sn.node.key = hash;
    ngx_memcpy(lease->sn.str.data, name, str.len);

    lease->target = target;
    lease->room.data = lease->sn.str.data + 1;
    lease->room.len = len;
    lease->due = ngx_current_msec;

    ngx_rbtree_insert(&demand->leases, &lease->sn.node);
    ngx_queue_insert_tail(&demand->all, &lease->queue);

    return lease;
}


/* NGX_OK: a record was sent.  Afterwards the lease may be gone. */

static ngx_int_t
ngx_http_flux_lease_tend(ngx_http_flux_lease_t *lease)
{
    ngx_uint_t  over;

    if (lease->delivery != NULL) {
        return NGX_DECLINED;
    }

    over = lease->empty && ngx_current_msec - lease->left
                           >= NGX_HTTP_FLUX_DEMAND_GRACE;

    if (lease->empty
        && ((!lease->written && !lease->seen) || (over && !lease->written)
            || (lease->written && lease->expires < ngx_http_flux_kafka_now())))
    {
        ngx_http_flux_lease_drop(lease);
        return NGX_DECLINED;
    }

    if (!lease->target->known || lease->target->down
        || (ngx_msec_int_t) (lease->due - ngx_current_msec) > 0)
    {
        /* a tombstone is due when a record is not */

        if (!over || !lease->written || !lease->target->known
            || lease->target->down)
        {
            return NGX_DECLINED;
        }
    }

    if (over) {
        return ngx_http_flux_lease_send(lease, 1);
    }

    if (lease->empty && lease->written) {
        return NGX_DECLINED;
    }

    return ngx_http_flux_lease_send(lease, 0);
}


static ngx_int_t
ngx_http_flux_lease_send(ngx_http_flux_lease_t *lease, ngx_uint_t tombstone)
{
    size_t                   node;
    u_char                  *p, *buf;
    int64_t                  expires;
    ngx_str_t                key, value, *name;
    rd_kafka_resp_err_t      error;
    ngx_http_flux_demand_t  *demand = &ngx_http_flux_demand;

    name = &demand->fmcf->node;
    node = flux_json_escaped_size(name->data, name->len);

    key.len = name->len + 1 + lease->room.len;

    buf = ngx_alloc(key.len + node + lease->room.len * 2 + NGX_INT64_LEN * 2
                    + sizeof("{\"node\":\"\",\"room\":\"\",\"readers\":,"
                             "\"expires\":}"), ngx_cycle->log);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    key.data = buf;
    p = ngx_sprintf(buf, "%V/%V", name, &lease->room);

    expires = ngx_http_flux_kafka_now() + NGX_HTTP_FLUX_DEMAND_VALID;

    value.data = p;
    p = ngx_cpymem(p, "{\"node\":\"", 9);
    p = flux_json_escape(p, name->data, name->len);
    p = ngx_cpymem(p, "\",\"room\":\"", 10);
    p = flux_json_escape(p, lease->room.data, lease->room.len);
    p = ngx_sprintf(p, "\",\"readers\":%ui,\"expires\":%L}",
                    ngx_max(lease->readers, 1), expires);
    value.len = p - value.data;

    lease->delivery = ngx_http_flux_producer_send(lease->target->cluster,
                          &lease->target->topic, &key,
                          tombstone ? NULL : &value, 0,
                          ngx_http_flux_lease_sent, lease, &error);

    ngx_free(buf);

    lease->due = ngx_current_msec + NGX_HTTP_FLUX_DEMAND_RETRY;

    if (lease->delivery == NULL) {
        return NGX_ERROR;
    }

    lease->tombstone = (tombstone != 0);

    if (!tombstone) {
        lease->written = 1;
        lease->expires = expires;
        lease->due = ngx_current_msec + NGX_HTTP_FLUX_DEMAND_RENEW;
        ngx_http_flux_lease_mark(lease);
    }

    return NGX_OK;
}


/* Whoever is the writer next will know of it. */

static void
ngx_http_flux_lease_mark(ngx_http_flux_lease_t *lease)
{
    ngx_uint_t                     locked;
    ngx_http_flux_demand_t        *demand = &ngx_http_flux_demand;
    ngx_http_flux_demand_table_t  *table;

    locked = ngx_http_flux_hub_lock();

    if (lease->entry == 0) {
        lease->entry = ngx_http_flux_demand_take(demand->zone,
                           NGX_HTTP_FLUX_DEMAND_LEASE, lease->target->hash,
                           &lease->room);
    }

    if (lease->entry) {
        table = ngx_http_flux_demand_table(demand->zone);
        table->entries[lease->entry - 1].expires = lease->expires;
    }

    ngx_http_flux_hub_unlock(locked);
}


static void
ngx_http_flux_lease_sent(ngx_http_flux_delivery_t *delivery)
{
    ngx_http_flux_lease_t  *lease = delivery->data;

    lease->delivery = NULL;

    if (delivery->error) {

        lease->due = ngx_current_msec + NGX_HTTP_FLUX_DEMAND_RETRY;

        if (delivery->error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
            || delivery->error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        {
            lease->target->known = 0;
        }

        return;
    }

    if (!lease->tombstone) {
        return;
    }

    lease->written = 0;
    lease->seen = 0;
    lease->due = ngx_current_msec;

    if (lease->empty) {
        ngx_http_flux_lease_drop(lease);
    }
}


static void
ngx_http_flux_lease_drop(ngx_http_flux_lease_t *lease)
{
    ngx_uint_t               locked;
    ngx_http_flux_demand_t  *demand = &ngx_http_flux_demand;

    if (lease->delivery != NULL) {
        ngx_http_flux_delivery_cancel(lease->delivery);
    }

    if (lease->entry) {
        locked = ngx_http_flux_hub_lock();
        ngx_http_flux_demand_free(demand->zone, lease->entry);
        ngx_http_flux_hub_unlock(locked);
    }

    ngx_rbtree_delete(&demand->leases, &lease->sn.node);
    ngx_queue_remove(&lease->queue);
    ngx_free(lease);
}
