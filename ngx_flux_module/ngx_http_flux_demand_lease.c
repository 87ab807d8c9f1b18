/*
 * A room's demand as records: when to write one, and what.
 */

#include "ngx_http_flux_demand_lease.h"
#include "ngx_http_flux_demand_table.h"
#include "ngx_http_flux_kafka.h"

#include "core/flux_json.h"


/* docs/writing.md; in ms */
#define NGX_HTTP_FLUX_DEMAND_RENEW   20000
#define NGX_HTTP_FLUX_DEMAND_VALID   60000

/* a reader who comes back within this time was never away */
#define NGX_HTTP_FLUX_DEMAND_GRACE   7000


static void ngx_http_flux_lease_mark(ngx_http_flux_lease_t *lease);
static void ngx_http_flux_lease_sent(ngx_http_flux_delivery_t *delivery);


ngx_http_flux_lease_t *
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


ngx_int_t
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


ngx_int_t
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


void
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
