/*
 * flux_redis: a client of one Valkey or Redis, hiredis in nginx's event loop.
 * Nothing of it waits.  One process uses it, and lets it tick a few times per
 * second: that connects, again and again, and gives a silent server up.
 */

#ifndef _NGX_HTTP_FLUX_REDIS_H_INCLUDED_
#define _NGX_HTTP_FLUX_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <hiredis/async.h>


#define NGX_HTTP_FLUX_REDIS_ARGS  5     /* of a command, at most */


typedef struct {
    ngx_str_t                       host;       /* numeric, or a path; ends
                                                   with a NUL */
    ngx_str_t                       password;
    ngx_uint_t                      port;       /* 0: host is a path */
    ngx_uint_t                      db;
} ngx_http_flux_redis_address_t;


/* All zeros but for what the caller sets. */

typedef struct {

    /* the caller's */
    ngx_http_flux_redis_address_t  *address;
    ngx_log_t                      *log;
    void                          (*connected)(void *data);
    void                           *data;

    redisAsyncContext              *context;    /* NULL: not connected */
    ngx_connection_t               *connection;
    ngx_msec_t                      tried;      /* when it was connected to */
    ngx_msec_t                      heard;      /* the last answer */
    ngx_uint_t                      waiting;    /* for so many answers */

    unsigned                        up:1;
    unsigned                        closing:1;  /* by our will */
    unsigned                        told:1;     /* that it is down */
    unsigned                        error:1;    /* likewise, an error's text */
} ngx_http_flux_redis_t;


/* The first tick connects. */
void ngx_http_flux_redis_init(ngx_http_flux_redis_t *redis);

/* NGX_OK: it can be talked to. */
ngx_int_t ngx_http_flux_redis_tick(ngx_http_flux_redis_t *redis);

/*
 * Sends a command; the arguments are copied.  The handler is called with the
 * redis' context, its answer and `data`, once, at the latest by the close;
 * without one only errors are looked for.
 */
ngx_int_t ngx_http_flux_redis_command(ngx_http_flux_redis_t *redis,
    ngx_str_t *args, ngx_uint_t nargs, redisCallbackFn *handler, void *data);

/* A handler's first call.  0: there is no answer to go on with. */
ngx_uint_t ngx_http_flux_redis_answered(const redisAsyncContext *context,
    redisReply *reply);

/* May be called at any time; calls the handlers that still wait. */
void ngx_http_flux_redis_close(ngx_http_flux_redis_t *redis);


#endif /* _NGX_HTTP_FLUX_REDIS_H_INCLUDED_ */
