/*
 * What a request no longer needs once its stream runs.  nginx makes place for
 * 20 headers in each direction; a reader stays for hours and has five.
 */

#include "ngx_http_flux_reader.h"


typedef struct {
    ngx_table_elt_t  *from;
    ngx_table_elt_t  *to;
    ngx_uint_t        n;
} ngx_http_flux_move_t;


static ngx_int_t ngx_http_flux_trim_list(ngx_http_request_t *r,
    ngx_list_t *list, ngx_http_flux_move_t *move);
static void ngx_http_flux_trim_pointers(ngx_http_flux_move_t *move,
    void *first, void *last);


void
ngx_http_flux_trim(ngx_http_request_t *r)
{
    ngx_http_flux_move_t     move;
    ngx_http_headers_in_t   *in = &r->headers_in;
    ngx_http_headers_out_t  *out = &r->headers_out;

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

    for (large = r->pool->large; large; large = large->next) {
        if (large->alloc == list->part.elts) {
            break;
        }
    }

    if (large == NULL) {
        return NGX_DECLINED;
    }

    move->from = list->part.elts;
    move->n = n;
    move->to = ngx_alloc(n * sizeof(ngx_table_elt_t), r->connection->log);

    if (move->to == NULL) {
        return NGX_DECLINED;
    }

    /* takes the old one's place among what the pool frees */
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
