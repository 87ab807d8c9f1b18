/*
 * What a request no longer needs once its stream runs.  nginx makes place for
 * 20 headers in each direction, for a request of a kilobyte and for more in
 * each block of a pool; a reader stays for hours and has five headers.
 */

#include "ngx_http_flux_reader.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif


/* Less is not worth a call. */
#define NGX_HTTP_FLUX_TRIM_MIN  64

/* The probe's blocks: those of pools and buffers are among them. */
#define NGX_HTTP_FLUX_TRIM_PROBE_MIN  256
#define NGX_HTTP_FLUX_TRIM_PROBE_MAX  (64 * 1024)


typedef struct {
    ngx_table_elt_t  *from;
    ngx_table_elt_t  *to;
    ngx_uint_t        n;
} ngx_http_flux_move_t;


static void ngx_http_flux_trim_buffers(ngx_http_request_t *r);
static void ngx_http_flux_trim_buffer(ngx_pool_t *pool, ngx_buf_t *b);
static void ngx_http_flux_trim_pool(ngx_pool_t *pool);
static void ngx_http_flux_trim_block(void *p, size_t size);
static ngx_pool_large_t *ngx_http_flux_trim_large(ngx_pool_t *pool, void *p);
static ngx_int_t ngx_http_flux_trim_list(ngx_http_request_t *r,
    ngx_list_t *list, ngx_http_flux_move_t *move);
static void ngx_http_flux_trim_pointers(ngx_http_flux_move_t *move,
    void *first, void *last);


/*
 * glibc's realloc() to less splits the block and never moves it, and so the
 * pointers that others keep into what is left stay good.  C does not promise
 * that, and another allocator may be there in glibc's place (jemalloc, ASan,
 * valgrind): a process shrinks blocks only if they stayed where they were in
 * this probe.
 */
static ngx_uint_t  ngx_http_flux_trim_in_place;


void
ngx_http_flux_trim_init(void)
{
#if defined(__GLIBC__)

    void        *p, *q;
    size_t       size, to;
    uintptr_t    before;
    ngx_uint_t   moved;

    ngx_http_flux_trim_in_place = 0;

    for (size = NGX_HTTP_FLUX_TRIM_PROBE_MIN;
         size <= NGX_HTTP_FLUX_TRIM_PROBE_MAX;
         size *= 2)
    {
        for (to = size - NGX_HTTP_FLUX_TRIM_MIN; to > 16; to /= 2) {

            p = malloc(size);
            if (p == NULL) {
                return;
            }

            before = (uintptr_t) p;
            q = realloc(p, to);

            if (q == NULL) {
                free(p);
                return;
            }

            moved = ((uintptr_t) q != before);
            free(q);

            if (moved) {
                return;
            }
        }
    }

    ngx_http_flux_trim_in_place = 1;

#endif
}


void
ngx_http_flux_trim(ngx_http_request_t *r)
{
    ngx_http_flux_move_t     move;
    ngx_http_headers_in_t   *in = &r->headers_in;
    ngx_http_headers_out_t  *out = &r->headers_out;

    if (r->http_version < NGX_HTTP_VERSION_20) {

        /* the connection is this request's alone */

        ngx_http_flux_trim_buffers(r);
        ngx_http_flux_trim_pool(r->connection->pool);
    }

    ngx_http_flux_trim_pool(r->pool);

    if (ngx_http_flux_trim_list(r, &in->headers, &move) == NGX_OK) {

        /* all between the two are pointers to headers, or arrays of such */

        ngx_http_flux_trim_pointers(&move, &in->host, &in->user);

#if (nginx_version >= 1023000)
        ngx_http_flux_trim_pointers(&move, &in->cookie, &in->cookie + 1);
#else
        ngx_http_flux_trim_pointers(&move, in->cookies.elts,
                                    (ngx_table_elt_t **) in->cookies.elts
                                    + in->cookies.nelts);
#if (NGX_HTTP_X_FORWARDED_FOR)
        ngx_http_flux_trim_pointers(&move, in->x_forwarded_for.elts,
                                    (ngx_table_elt_t **)
                                        in->x_forwarded_for.elts
                                    + in->x_forwarded_for.nelts);
#endif
#endif

        ngx_free(move.from);
    }

    if (ngx_http_flux_trim_list(r, &out->headers, &move) == NGX_OK) {

        ngx_http_flux_trim_pointers(&move, &out->server,
                                    &out->override_charset);

#if (nginx_version >= 1023000)
        ngx_http_flux_trim_pointers(&move, &out->cache_control,
                                    &out->cache_control + 1);
        ngx_http_flux_trim_pointers(&move, &out->link, &out->link + 1);
#else
        ngx_http_flux_trim_pointers(&move, out->cache_control.elts,
                                    (ngx_table_elt_t **)
                                        out->cache_control.elts
                                    + out->cache_control.nelts);
        ngx_http_flux_trim_pointers(&move, out->link.elts,
                                    (ngx_table_elt_t **) out->link.elts
                                    + out->link.nelts);
#endif

        ngx_free(move.from);
    }
}


/*
 * The buffers that the request was read into, to the end of what came.  No
 * other request follows on this connection; should one do, nginx has all of
 * its large buffers left to read it.
 */

static void
ngx_http_flux_trim_buffers(ngx_http_request_t *r)
{
    ngx_chain_t       *cl;
    ngx_connection_t  *c = r->connection;

    ngx_http_flux_trim_buffer(c->pool, c->buffer);

    for (cl = r->http_connection->busy; cl; cl = cl->next) {
        ngx_http_flux_trim_buffer(c->pool, cl->buf);
    }

#if (NGX_HTTP_SSL)

    /* of what is sent through it; made anew if there is more */

    if (c->ssl != NULL && !c->buffered) {
        ngx_ssl_free_buffer(c);
    }

#endif
}


static void
ngx_http_flux_trim_buffer(ngx_pool_t *pool, ngx_buf_t *b)
{
    size_t  size;

    if (b == NULL || b->start == NULL
        || ngx_http_flux_trim_large(pool, b->start) == NULL)
    {
        return;
    }

    size = ngx_max(b->last - b->start, 1);
    size = ngx_align(size, NGX_ALIGNMENT);

    if ((size_t) (b->end - b->start) < size + NGX_HTTP_FLUX_TRIM_MIN
        || !ngx_http_flux_trim_in_place)
    {
        return;
    }

    b->end = b->start + size;
    ngx_http_flux_trim_block(b->start, size);
}


/*
 * The last block of a pool, which is the only one with much to give.  Blocks
 * to come are as large as the first one, and have to take what is not large.
 */

static void
ngx_http_flux_trim_pool(ngx_pool_t *pool)
{
    size_t       size;
    ngx_pool_t  *p;

    for (p = pool; p->d.next; p = p->d.next) { /* void */ }

    size = ngx_align((size_t) (p->d.last - (u_char *) p), NGX_ALIGNMENT);

    if ((size_t) (p->d.end - (u_char *) p) < size + NGX_HTTP_FLUX_TRIM_MIN
        || !ngx_http_flux_trim_in_place)
    {
        return;
    }

    if (p == pool) {
        pool->max = ngx_min(pool->max, size - sizeof(ngx_pool_t));
    }

    p->d.end = (u_char *) p + size;
    ngx_http_flux_trim_block(p, size);
}


static void
ngx_http_flux_trim_block(void *p, size_t size)
{
#if defined(__GLIBC__)

    void       *q;
    uintptr_t   before = (uintptr_t) p;

    q = realloc(p, size);

    if (q != NULL && (uintptr_t) q != before) {
        /* what the probe has ruled out */
        ngx_abort();
    }

#endif
}


static ngx_pool_large_t *
ngx_http_flux_trim_large(ngx_pool_t *pool, void *p)
{
    ngx_pool_large_t  *large;

    for (large = pool->large; large; large = large->next) {
        if (large->alloc == p) {
            return large;
        }
    }

    return NULL;
}


/*
 * A copy that is as large as it must be.  NGX_DECLINED: the list is in several
 * parts, or in the midst of the pool, and cannot be given back.
 */

static ngx_int_t
ngx_http_flux_trim_list(ngx_http_request_t *r, ngx_list_t *list,
    ngx_http_flux_move_t *move)
{
    ngx_uint_t         n = list->part.nelts;
    ngx_pool_large_t  *large;

    if (list->part.next != NULL || n == 0 || n > list->nalloc / 2) {
        return NGX_DECLINED;
    }

    large = ngx_http_flux_trim_large(r->pool, list->part.elts);

    if (large == NULL) {
        return NGX_DECLINED;
    }

    move->from = list->part.elts;
    move->n = n;
    move->to = ngx_alloc(n * sizeof(ngx_table_elt_t), r->connection->log);

    if (move->to == NULL) {
        return NGX_DECLINED;
    }

    /* the caller frees it */
    large->alloc = move->to;

    ngx_memcpy(move->to, move->from, n * sizeof(ngx_table_elt_t));

    list->part.elts = move->to;
    list->nalloc = n;

#if (nginx_version >= 1023000)

    /* headers of one name are linked */

    for (n = 0; n < move->n; n++) {
        ngx_http_flux_trim_pointers(move, &move->to[n].next,
                                    &move->to[n].next + 1);
    }

#endif

    return NGX_OK;
}


/* Those that point into the old list, into the new one. */

static void
ngx_http_flux_trim_pointers(ngx_http_flux_move_t *move, void *first,
    void *last)
{
    ngx_table_elt_t  **p;

    for (p = first; p < (ngx_table_elt_t **) last; p++) {
        if (*p >= move->from && *p < move->from + move->n) {
            *p = move->to + (*p - move->from);
        }
    }
}
