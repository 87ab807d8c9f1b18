#include "ngx_http_flux_cache.h"
#include "ngx_http_flux_demand.h"
#include "ngx_http_flux_kafka.h"

#include <sys/eventfd.h>
#include <sys/random.h>


#define NGX_HTTP_FLUX_ZONE_MAGIC  0x666c757a6f6e6532    /* "fluzone2" */

/* The kernel gives zeros; nginx may be built to fill them with something. */
#if (NGX_DEBUG_MALLOC)
#define NGX_HTTP_FLUX_ZONE_ZEROS  0
#else
#define NGX_HTTP_FLUX_ZONE_ZEROS  1
#endif

/* How soon a new writer sees that the old one has let go, or died. */
#define NGX_HTTP_FLUX_LEASE_WAIT  10

/* How soon the old one sees that it is asked for. */
#define NGX_HTTP_FLUX_LEASE_LOOK  50


static ngx_int_t ngx_http_flux_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_flux_zone_place(ngx_http_flux_zone_t *zone,
    ngx_log_t *log, ngx_uint_t fresh);
static uint32_t ngx_http_flux_zone_id(void);
static ngx_int_t ngx_http_flux_zone_make_wake(ngx_http_flux_zone_t *zone,
    ngx_http_flux_zone_t *old, ngx_log_t *log);
static void ngx_http_flux_zone_cleanup(void *data);
static void ngx_http_flux_zone_take_seat(ngx_http_flux_zone_t *zone);
static void ngx_http_flux_zone_clear_seat(ngx_http_flux_zone_t *zone,
    ngx_http_flux_seat_t *seat);
static ngx_int_t ngx_http_flux_zone_listen(ngx_cycle_t *cycle,
    ngx_http_flux_zone_t *zone, ngx_event_handler_pt handler);
static void ngx_http_flux_zone_lease(ngx_event_t *ev);
static ngx_int_t ngx_http_flux_zone_take_lease(
    ngx_http_flux_main_conf_t *fmcf);
static void ngx_http_flux_zone_give_lease(ngx_http_flux_zone_t *zone);
static void ngx_http_flux_zone_sync_feeds(ngx_http_flux_main_conf_t *fmcf);


/*
 * nginx's page and what the workers share are taken from it; that a round
 * megabyte be enough, the log makes do with what is left of it.
 */

size_t
ngx_http_flux_zone_least(void)
{
    return 1024 * 1024;
}


ngx_int_t
ngx_http_flux_zone_add(ngx_conf_t *cf, ngx_http_flux_main_conf_t *fmcf,
    ngx_str_t *name, size_t size)
{
    ngx_pool_cleanup_t    *cln;
    ngx_http_flux_zone_t  *zone;

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_flux_zone_t));
    if (zone == NULL) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    zone->name = *name;
    zone->size = size;
    zone->wake = -1;

    zone->shm_zone = ngx_shared_memory_add(cf, name, size,
                                           &ngx_http_flux_module);
    if (zone->shm_zone == NULL) {
        return NGX_ERROR;
    }

    zone->shm_zone->init = ngx_http_flux_zone_init;
    zone->shm_zone->data = zone;

    cln->handler = ngx_http_flux_zone_cleanup;
    cln->data = zone;

    fmcf->zone = zone;

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_log_t             *log = shm_zone->shm.log;
    ngx_http_flux_zone_t  *zone = shm_zone->data;
    ngx_http_flux_zone_t  *old = data;

    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (ngx_http_flux_zone_place(zone, log, old == NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    zone->cycle = ++zone->shared->cycles;

    return ngx_http_flux_zone_make_wake(zone, old, log);
}


/*
 * The pages behind the pool's are ours: nginx allocates nothing in a zone by
 * itself, it only needs the mutex at the start.
 */

static ngx_int_t
ngx_http_flux_zone_place(ngx_http_flux_zone_t *zone, ngx_log_t *log,
    ngx_uint_t fresh)
{
    size_t      size, used, demand;
    u_char     *p;
    ngx_uint_t  zeros = NGX_HTTP_FLUX_ZONE_ZEROS;

    p = zone->shm_zone->shm.addr + ngx_pagesize;
    used = ngx_pagesize + ngx_align(sizeof(ngx_http_flux_shared_t), 64);
    demand = ngx_http_flux_demand_size(zone->size);
    zone->demand = zone->shm_zone->shm.addr + used;
    used += demand;
    size = (zone->size - used) / 64 * 64;

    zone->shared = (ngx_http_flux_shared_t *) p;
    p = zone->shm_zone->shm.addr + used;

    if (!fresh
        && zone->shared->magic == NGX_HTTP_FLUX_ZONE_MAGIC
        && zone->shared->size == sizeof(ngx_http_flux_shared_t)
        && flux_log_attach(&zone->log, p, size) == FLUX_OK)
    {
        return NGX_OK;
    }

    if (!fresh) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "flux zone \"%V\" has another layout, it starts empty",
                      &zone->name);
        zeros = 0;
    }

    if (fresh && !ngx_test_config) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "flux zone \"%V\" of %uz bytes is new, it starts empty",
                      &zone->name, zone->size);
    }

    if (!zeros) {
        /* else it would only make pages that may never be needed */
        ngx_memzero(zone->demand, demand);
        ngx_memzero(p, size);
    }

    ngx_memzero(zone->shared, sizeof(ngx_http_flux_shared_t));

    if (flux_log_format(&zone->log, p, size) != FLUX_OK) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "flux zone \"%V\" is too small",
                      &zone->name);
        return NGX_ERROR;
    }

    zone->log.header->id = ngx_http_flux_zone_id();

    zone->shared->size = sizeof(ngx_http_flux_shared_t);
    zone->shared->magic = NGX_HTTP_FLUX_ZONE_MAGIC;

    return NGX_OK;
}


/*
 * No other node has it, nor this one when it begins anew: nginx's own random
 * numbers hang on the pid, which is 1 in many a container, and the time.
 */

static uint32_t
ngx_http_flux_zone_id(void)
{
    uint32_t        id;
    struct timeval  tv;

    if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != sizeof(id)) {
        ngx_gettimeofday(&tv);
        id = (uint32_t) (tv.tv_sec * 1000003 ^ tv.tv_usec * 4099 ^ ngx_pid);
    }

    return id;
}


/* The workers of all cycles share one descriptor, so that one write is enough. */

static ngx_int_t
ngx_http_flux_zone_make_wake(ngx_http_flux_zone_t *zone,
    ngx_http_flux_zone_t *old, ngx_log_t *log)
{
    if (old != NULL && old->wake != -1) {
        zone->wake = old->wake;
        old->inherited = 1;
        return NGX_OK;
    }

    zone->wake = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (zone->wake == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno, "eventfd() failed");
        return NGX_ERROR;
    }

    zone->created = 1;

    return NGX_OK;
}


static void
ngx_http_flux_zone_cleanup(void *data)
{
    ngx_http_flux_zone_t  *zone = data;

    if (zone->created && !zone->inherited) {
        (void) close(zone->wake);
    }
}


ngx_int_t
ngx_http_flux_zone_init_worker(ngx_cycle_t *cycle,
    ngx_http_flux_main_conf_t *fmcf, ngx_event_handler_pt handler)
{
    ngx_http_flux_zone_t  *zone = fmcf->zone;

    if (!(ngx_event_flags & NGX_USE_CLEAR_EVENT)) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "flux needs an edge-triggered event method, as epoll");
        return NGX_ERROR;
    }

    ngx_http_flux_zone_take_seat(zone);

    if (ngx_http_flux_zone_listen(cycle, zone, handler) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_worker != 0) {
        return NGX_OK;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);
    zone->generation = ++zone->shared->generation;
    ngx_shmtx_unlock(&zone->shpool->mutex);

    zone->lease.handler = ngx_http_flux_zone_lease;
    zone->lease.data = fmcf;
    zone->lease.log = cycle->log;
    zone->lease.cancelable = 1;

    ngx_http_flux_zone_lease(&zone->lease);

    return NGX_OK;
}


void
ngx_http_flux_zone_exit_worker(ngx_http_flux_main_conf_t *fmcf)
{
    ngx_http_flux_zone_t  *zone = fmcf->zone;

    if (zone->writing) {
        ngx_http_flux_zone_give_lease(zone);
    }

    if (zone->seat != NULL) {
        ngx_shmtx_lock(&zone->shpool->mutex);
        ngx_http_flux_zone_clear_seat(zone, zone->seat);
        ngx_shmtx_unlock(&zone->shpool->mutex);
    }
}


static void
ngx_http_flux_zone_take_seat(ngx_http_flux_zone_t *zone)
{
    ngx_uint_t             i;
    ngx_http_flux_seat_t  *seat;

    ngx_shmtx_lock(&zone->shpool->mutex);

    for (i = 0; i < NGX_HTTP_FLUX_SEATS; i++) {
        seat = &zone->shared->seats[i];

        if (seat->pid != 0
            && (kill((ngx_pid_t) seat->pid, 0) == 0 || ngx_errno != NGX_ESRCH))
        {
            continue;
        }

        /* free, or of a worker that died: its readers are gone */

        ngx_http_flux_zone_clear_seat(zone, seat);

        if (zone->seat == NULL) {
            seat->pid = (ngx_atomic_uint_t) ngx_pid;
            zone->seat = seat;
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


static void
ngx_http_flux_zone_clear_seat(ngx_http_flux_zone_t *zone,
    ngx_http_flux_seat_t *seat)
{
    if (seat->pid != 0) {
        ngx_http_flux_demand_clear(zone, seat - zone->shared->seats);
    }

    ngx_memzero(seat->connected, sizeof(seat->connected));
    ngx_memzero(seat->readers, sizeof(seat->readers));
    seat->pid = 0;
}


static ngx_int_t
ngx_http_flux_zone_listen(ngx_cycle_t *cycle, ngx_http_flux_zone_t *zone,
    ngx_event_handler_pt handler)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(zone->wake, cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->read->handler = handler;
    c->read->log = cycle->log;
    c->data = zone;

    /* not a socket that a graceful shutdown would wait for */
    c->read->channel = 1;
    c->write->channel = 1;

    /* nginx tells idle connections when it wants to end */
    c->idle = 1;

    zone->wake_connection = c;

    /* never read: each write is an edge */

    return ngx_add_event(c->read, NGX_READ_EVENT, NGX_CLEAR_EVENT);
}


ngx_int_t
ngx_http_flux_zone_lock(ngx_http_flux_zone_t *zone)
{
    ngx_shmtx_lock(&zone->shpool->mutex);

    if (zone->log.header->dirty) {
        ngx_shmtx_unlock(&zone->shpool->mutex);
        return NGX_AGAIN;
    }

    return NGX_OK;
}


void
ngx_http_flux_zone_unlock(ngx_http_flux_zone_t *zone)
{
    ngx_shmtx_unlock(&zone->shpool->mutex);
}


ngx_int_t
ngx_http_flux_zone_lock_writer(ngx_http_flux_zone_t *zone)
{
    ngx_shmtx_lock(&zone->shpool->mutex);

    if (zone->shared->writer == zone->generation
        && zone->shared->generation == zone->generation)
    {
        return NGX_OK;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return NGX_DECLINED;
}


void
ngx_http_flux_zone_wake(ngx_http_flux_zone_t *zone)
{
    uint64_t  one = 1;

    if (write(zone->wake, &one, sizeof(one)) == -1) {

        /* full after 2^64 writes: never */

        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "write() to flux eventfd failed");
    }
}


/* --- the lease ----------------------------------------------------------- */

static void
ngx_http_flux_zone_lease(ngx_event_t *ev)
{
    ngx_msec_t                  delay;
    ngx_http_flux_zone_t       *zone;
    ngx_http_flux_main_conf_t  *fmcf = ev->data;

    zone = fmcf->zone;
    delay = NGX_HTTP_FLUX_LEASE_LOOK;

    if (zone->writing) {

        if (ngx_exiting || zone->shared->generation != zone->generation) {
            ngx_http_flux_zone_give_lease(zone);
            return;
        }

    } else {

        if (ngx_exiting || zone->shared->generation != zone->generation) {
            return;
        }

        if (ngx_http_flux_zone_take_lease(fmcf) != NGX_OK) {
            delay = NGX_HTTP_FLUX_LEASE_WAIT;
        }
    }

    ngx_add_timer(ev, delay);
}


static ngx_int_t
ngx_http_flux_zone_take_lease(ngx_http_flux_main_conf_t *fmcf)
{
    ngx_pid_t                pid;
    ngx_http_flux_zone_t    *zone = fmcf->zone;
    ngx_http_flux_shared_t  *shared = zone->shared;

    ngx_shmtx_lock(&zone->shpool->mutex);

    pid = shared->writer_pid;

    if (shared->writer != 0
        && (kill(pid, 0) == 0 || ngx_errno != NGX_ESRCH))
    {
        ngx_shmtx_unlock(&zone->shpool->mutex);
        return NGX_AGAIN;
    }

    if (zone->log.header->dirty) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "flux writer %P died while it wrote, "
                      "the index is rebuilt", pid);

        if (flux_log_recover(&zone->log) != FLUX_OK) {
            ngx_shmtx_unlock(&zone->shpool->mutex);
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "flux zone \"%V\" could not be rebuilt: no memory",
                          &zone->name);
            return NGX_AGAIN;
        }
    }

    shared->writer = zone->generation;
    shared->writer_pid = ngx_pid;
    zone->writing = 1;

    ngx_http_flux_zone_sync_feeds(fmcf);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    ngx_http_flux_zone_wake(zone);

    ngx_http_flux_demand_start((ngx_cycle_t *) ngx_cycle, fmcf);
    ngx_http_flux_cache_start((ngx_cycle_t *) ngx_cycle, fmcf);

    return ngx_http_flux_kafka_start((ngx_cycle_t *) ngx_cycle, fmcf);
}


static void
ngx_http_flux_zone_give_lease(ngx_http_flux_zone_t *zone)
{
    zone->writing = 0;

    ngx_http_flux_cache_stop();
    ngx_http_flux_demand_stop();
    ngx_http_flux_kafka_stop();

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (zone->shared->writer == zone->generation) {
        zone->shared->writer = 0;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


/* The zone's feeds become those of this nginx.conf. */

static void
ngx_http_flux_zone_sync_feeds(ngx_http_flux_main_conf_t *fmcf)
{
    uint32_t                slot;
    ngx_uint_t              i;
    uint64_t                kept = 0;
    flux_log_t             *log = &fmcf->zone->log;
    ngx_http_flux_feed_t  **feeds = fmcf->feeds.elts;

    flux_log_begin(log);

    for (i = 0; i < fmcf->feeds.nelts; i++) {
        slot = flux_log_find_feed(log, feeds[i]->signature);

        if (slot != FLUX_NONE) {
            kept |= UINT64_C(1) << slot;
        }
    }

    for (slot = 0; slot < FLUX_LOG_FEEDS; slot++) {
        if (log->header->feeds[slot].signature
            && !(kept & (UINT64_C(1) << slot)))
        {
            flux_log_drop_feed(log, slot);
        }
    }

    for (i = 0; i < fmcf->feeds.nelts; i++) {
        feeds[i]->slot = flux_log_feed(log, feeds[i]->signature,
                                       (uint32_t) feeds[i]->retain);
        flux_log_note(log, feeds[i]->slot);
    }

    flux_log_end(log);
}
