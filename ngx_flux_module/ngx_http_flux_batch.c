#include "ngx_http_flux_batch.h"


#if (NGX_HTTP_FLUX_IO_URING)

#include <liburing.h>


/* More gain nothing, and their readers should stay in the cache until then. */
#define NGX_HTTP_FLUX_BATCH      256

/* For fewer than these a system call each is not dearer. */
#define NGX_HTTP_FLUX_BATCH_MIN  4

/* A kernel that has no memory for a batch is asked again, so many times. */
#define NGX_HTTP_FLUX_BATCH_ASK  100

/* What the kernel has not said of a send; no errno is as large. */
#define NGX_HTTP_FLUX_UNKNOWN    INT_MIN


typedef struct {
    ngx_http_flux_batch_pt   handler;
    void                    *data;
    ngx_str_t               *bytes;
    ngx_socket_t             fd;
    int                      result;    /* bytes, -errno, or UNKNOWN */
} ngx_http_flux_batch_send_t;


typedef struct {
    ngx_log_t                  *log;
    struct io_uring             ring;
    ngx_uint_t                  n;
    ngx_uint_t                  serial;
    ngx_http_flux_batch_send_t  sends[NGX_HTTP_FLUX_BATCH];
    unsigned                    open:1;
    unsigned                    off:1;
} ngx_http_flux_batch_t;


static ngx_int_t ngx_http_flux_batch_open(void);
static ngx_int_t ngx_http_flux_batch_run(ngx_uint_t n);
static void ngx_http_flux_batch_give_up(ngx_uint_t n, int error);


static ngx_http_flux_batch_t  ngx_http_flux_batch;


void
ngx_http_flux_batch_init(ngx_log_t *log, ngx_uint_t on)
{
    ngx_http_flux_batch.log = log;
    ngx_http_flux_batch.off = !on;
}


ngx_int_t
ngx_http_flux_batch_add(ngx_socket_t fd, ngx_str_t *bytes,
    ngx_http_flux_batch_pt handler, void *data)
{
    ngx_http_flux_batch_t       *batch = &ngx_http_flux_batch;
    ngx_http_flux_batch_send_t  *send;

    if (!batch->open && ngx_http_flux_batch_open() != NGX_OK) {
        return NGX_DECLINED;
    }

    if (batch->n == NGX_HTTP_FLUX_BATCH) {
        ngx_http_flux_batch_submit();

        if (!batch->open) {
            return NGX_DECLINED;
        }
    }

    send = &batch->sends[batch->n++];
    send->handler = handler;
    send->data = data;
    send->bytes = bytes;
    send->fd = fd;
    send->result = NGX_HTTP_FLUX_UNKNOWN;

    return NGX_OK;
}


static ngx_int_t
ngx_http_flux_batch_open(void)
{
    int                     rc;
    ngx_http_flux_batch_t  *batch = &ngx_http_flux_batch;

    if (batch->off) {
        return NGX_DECLINED;
    }

    rc = io_uring_queue_init(NGX_HTTP_FLUX_BATCH, &batch->ring,
                             IORING_SETUP_SINGLE_ISSUER
                             |IORING_SETUP_COOP_TASKRUN);

    if (rc == -EINVAL) {
        /* before Linux 6.0 */
        rc = io_uring_queue_init(NGX_HTTP_FLUX_BATCH, &batch->ring, 0);
    }

    if (rc < 0) {
        batch->off = 1;
        ngx_log_error(NGX_LOG_NOTICE, batch->log, -rc,
                      "flux sends to its readers one by one: "
                      "io_uring_setup() failed");
        return NGX_DECLINED;
    }

    batch->open = 1;

    return NGX_OK;
}


void
ngx_http_flux_batch_submit(void)
{
    ngx_uint_t                   i, n;
    ngx_http_flux_batch_t       *batch = &ngx_http_flux_batch;
    ngx_http_flux_batch_send_t  *send;

    n = batch->n;

    if (n == 0) {
        return;
    }

    if (n < NGX_HTTP_FLUX_BATCH_MIN) {

        for (i = 0; i < n; i++) {
            batch->sends[i].result = 0;
        }

    } else if (ngx_http_flux_batch_run(n) != NGX_OK) {
        ngx_http_flux_batch_exit();
        batch->off = 1;
    }

    batch->n = 0;
    batch->serial++;

    for (i = 0; i < n; i++) {
        send = &batch->sends[i];

        send->handler(send->data, send->result == NGX_HTTP_FLUX_UNKNOWN
                                  ? NGX_ERROR : ngx_max(send->result, 0));
    }
}


/*
 * Sockets do not block, so each send is done before the kernel returns; that
 * is waited for all the same.  What failed is tried once more by nginx, which
 * knows how to take and to tell it.  NGX_ERROR: the ring is of no use any
 * more, and a send that the kernel had begun may or may not have been done.
 */

static ngx_int_t
ngx_http_flux_batch_run(ngx_uint_t n)
{
    int                          rc;
    unsigned                     head, seen;
    ngx_uint_t                   i, done, asked = 0;
    ngx_http_flux_batch_t       *batch = &ngx_http_flux_batch;
    struct io_uring_cqe         *cqe;
    struct io_uring_sqe         *sqe;
    ngx_http_flux_batch_send_t  *send;

    for (i = 0; i < n; i++) {
        send = &batch->sends[i];

        /* the ring has as many places, and the last run left none taken */
        sqe = io_uring_get_sqe(&batch->ring);

        io_uring_prep_send(sqe, send->fd, send->bytes->data, send->bytes->len,
                           MSG_DONTWAIT|MSG_NOSIGNAL);
        sqe->user_data = i;
    }

    for (done = 0; done < n; done += seen) {

        rc = io_uring_submit_and_wait(&batch->ring, n - done);

        if (rc < 0 && rc != -EINTR
            && (rc != -EAGAIN || ++asked == NGX_HTTP_FLUX_BATCH_ASK))
        {
            ngx_http_flux_batch_give_up(n, -rc);
            return NGX_ERROR;
        }

        seen = 0;

        io_uring_for_each_cqe(&batch->ring, head, cqe) {
            batch->sends[cqe->user_data].result = cqe->res;
            seen++;
        }

        io_uring_cq_advance(&batch->ring, seen);
    }

    return NGX_OK;
}


/* What the kernel has not taken, the last ones, is sent one by one. */

static void
ngx_http_flux_batch_give_up(ngx_uint_t n, int error)
{
    ngx_uint_t              i;
    ngx_http_flux_batch_t  *batch = &ngx_http_flux_batch;

    ngx_log_error(NGX_LOG_ALERT, batch->log, error,
                  "flux sends to its readers one by one: "
                  "io_uring_enter() failed");

    for (i = n - io_uring_sq_ready(&batch->ring); i < n; i++) {
        batch->sends[i].result = 0;
    }
}


ngx_uint_t
ngx_http_flux_batch_serial(void)
{
    return ngx_http_flux_batch.serial;
}


void
ngx_http_flux_batch_exit(void)
{
    ngx_http_flux_batch_t  *batch = &ngx_http_flux_batch;

    if (batch->open) {
        io_uring_queue_exit(&batch->ring);
        batch->open = 0;
    }
}


#else

void
ngx_http_flux_batch_init(ngx_log_t *log, ngx_uint_t on)
{
}


ngx_int_t
ngx_http_flux_batch_add(ngx_socket_t fd, ngx_str_t *bytes,
    ngx_http_flux_batch_pt handler, void *data)
{
    return NGX_DECLINED;
}


void
ngx_http_flux_batch_submit(void)
{
}


ngx_uint_t
ngx_http_flux_batch_serial(void)
{
    return 0;
}


void
ngx_http_flux_batch_exit(void)
{
}

#endif
