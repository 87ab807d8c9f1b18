/*
 * Many small sends for one system call: io_uring(7).  What a frame's way to a
 * socket costs is mostly the kernel's, and a part of that the way in and out
 * of it and the receiver being woken between two sends.
 *
 * A worker has one ring, made when it is first of use.  Where the kernel has
 * none, or does not let us, readers are sent to one by one.
 */

#ifndef _NGX_HTTP_FLUX_BATCH_H_INCLUDED_
#define _NGX_HTTP_FLUX_BATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* So many bytes went, 0: try yourself; NGX_ERROR: nobody knows how many. */
typedef void (*ngx_http_flux_batch_pt)(void *data, ssize_t n);


/*
 * Takes a send that is done by the next submit at the latest; the bytes stay
 * where they are until then, and nobody else sends to this socket, which does
 * not block.  NGX_DECLINED: there is no ring, send it yourself.
 */
ngx_int_t ngx_http_flux_batch_add(ngx_socket_t fd, ngx_str_t *bytes,
    ngx_http_flux_batch_pt handler, void *data);

/* Sends all that was taken and calls the handlers.  Does not block. */
void ngx_http_flux_batch_submit(void);

/* The submits so far: a send added under another number is done. */
ngx_uint_t ngx_http_flux_batch_serial(void);

/* Of the worker; off: there never is a ring. */
void ngx_http_flux_batch_init(ngx_log_t *log, ngx_uint_t on);
void ngx_http_flux_batch_exit(void);


#endif /* _NGX_HTTP_FLUX_BATCH_H_INCLUDED_ */
