#include "ngx_http_flux_redis.h"


/* in ms */
#define NGX_HTTP_FLUX_REDIS_TIMEOUT  5000   /* for any answer */
#define NGX_HTTP_FLUX_REDIS_RETRY    2000

/* the most that a server may have us gather */
#define NGX_HTTP_FLUX_REDIS_INPUT    (32 * 1024 * 1024)


static void ngx_http_flux_redis_connect(ngx_http_flux_redis_t *redis);
static void ngx_http_flux_redis_attach(ngx_http_flux_redis_t *redis,
    ngx_connection_t *c);
static void ngx_http_flux_redis_connected(const redisAsyncContext *context,
    int status);
static void ngx_http_flux_redis_done(redisAsyncContext *context, void *reply,
    void *data);
static void ngx_http_flux_redis_fail(ngx_http_flux_redis_t *redis,
    const char *why);
static void ngx_http_flux_redis_cleanup(void *data);
static void ngx_http_flux_redis_read(ngx_event_t *ev);
static void ngx_http_flux_redis_write(ngx_event_t *ev);
static void ngx_http_flux_redis_add_read(void *data);
static void ngx_http_flux_redis_del_read(void *data);
static void ngx_http_flux_redis_add_write(void *data);
static void ngx_http_flux_redis_del_write(void *data);


void
ngx_http_flux_redis_init(ngx_http_flux_redis_t *redis)
{
    redis->tried = ngx_current_msec - NGX_HTTP_FLUX_REDIS_RETRY;
}


ngx_int_t
ngx_http_flux_redis_tick(ngx_http_flux_redis_t *redis)
{
    if (redis->context == NULL) {

        if (ngx_current_msec - redis->tried >= NGX_HTTP_FLUX_REDIS_RETRY) {
            ngx_http_flux_redis_connect(redis);
        }

        return NGX_AGAIN;
    }

    if ((!redis->up || redis->waiting)
        && ngx_current_msec - redis->heard >= NGX_HTTP_FLUX_REDIS_TIMEOUT)
    {
        ngx_http_flux_redis_fail(redis, "it does not answer");
        return NGX_AGAIN;
    }

    return redis->up ? NGX_OK : NGX_AGAIN;
}


static void
ngx_http_flux_redis_connect(ngx_http_flux_redis_t *redis)
{
    char              *host = (char *) redis->address->host.data;
    ngx_connection_t  *c;

    redis->tried = ngx_current_msec;
    redis->heard = ngx_current_msec;
    redis->closing = 0;

    redis->context = redis->address->port
                     ? redisAsyncConnect(host, (int) redis->address->port)
                     : redisAsyncConnectUnix(host);

    if (redis->context == NULL) {
        return;
    }

    if (redis->context->err) {
        ngx_http_flux_redis_fail(redis, redis->context->errstr);
        return;
    }

    c = ngx_get_connection(redis->context->c.fd, redis->log);

    if (c == NULL) {
        ngx_http_flux_redis_close(redis);
        return;
    }

    ngx_http_flux_redis_attach(redis, c);

    (void) redisAsyncSetConnectCallback(redis->context,
                                        ngx_http_flux_redis_connected);
}


static void
ngx_http_flux_redis_attach(ngx_http_flux_redis_t *redis, ngx_connection_t *c)
{
    c->data = redis;
    c->read->handler = ngx_http_flux_redis_read;
    c->read->log = redis->log;
    c->write->handler = ngx_http_flux_redis_write;
    c->write->log = redis->log;

    /* not a socket that a graceful shutdown would wait for */

    c->read->channel = 1;
    c->write->channel = 1;

    redis->connection = c;
    redis->context->data = redis;
    redis->context->ev.data = redis;
    redis->context->ev.addRead = ngx_http_flux_redis_add_read;
    redis->context->ev.delRead = ngx_http_flux_redis_del_read;
    redis->context->ev.addWrite = ngx_http_flux_redis_add_write;
    redis->context->ev.delWrite = ngx_http_flux_redis_del_write;
    redis->context->ev.cleanup = ngx_http_flux_redis_cleanup;
}


static void
ngx_http_flux_redis_connected(const redisAsyncContext *context, int status)
{
    u_char                  db[NGX_INT_T_LEN + 1];
    ngx_str_t               args[2];
    ngx_http_flux_redis_t  *redis = context->data;

    if (status != REDIS_OK) {
        /* hiredis frees it now */
        return;
    }

    redis->up = 1;
    redis->error = 0;

    if (redis->told) {
        redis->told = 0;
        ngx_log_error(NGX_LOG_NOTICE, redis->log, 0, "flux_cache is back");
    }

    if (redis->address->password.len) {
        ngx_str_set(&args[0], "AUTH");
        args[1] = redis->address->password;
        (void) ngx_http_flux_redis_command(redis, args, 2, NULL, NULL);
    }

    if (redis->address->db) {
        ngx_str_set(&args[0], "SELECT");
        args[1].data = db;
        args[1].len = ngx_sprintf(db, "%ui", redis->address->db) - db;
        (void) ngx_http_flux_redis_command(redis, args, 2, NULL, NULL);
    }

    redis->connected(redis->data);
}


ngx_int_t
ngx_http_flux_redis_command(ngx_http_flux_redis_t *redis, ngx_str_t *args,
    ngx_uint_t nargs, redisCallbackFn *handler, void *data)
{
    size_t       lengths[NGX_HTTP_FLUX_REDIS_ARGS];
    ngx_uint_t   i;
    const char  *texts[NGX_HTTP_FLUX_REDIS_ARGS];

    if (redis->context == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < nargs; i++) {
        texts[i] = (char *) args[i].data;
        lengths[i] = args[i].len;
    }

    if (redis->waiting == 0) {
        redis->heard = ngx_current_msec;
    }

    if (redisAsyncCommandArgv(redis->context,
                              handler ? handler : ngx_http_flux_redis_done,
                              data, (int) nargs, texts, lengths)
        != REDIS_OK)
    {
        return NGX_ERROR;
    }

    redis->waiting++;

    return NGX_OK;
}


ngx_uint_t
ngx_http_flux_redis_answered(const redisAsyncContext *context,
    redisReply *reply)
{
    ngx_http_flux_redis_t  *redis = context->data;

    if (reply == NULL) {
        /* the connection is being closed */
        return 0;
    }

    redis->heard = ngx_current_msec;

    if (redis->waiting) {
        redis->waiting--;
    }

    if (reply->type != REDIS_REPLY_ERROR) {
        return 1;
    }

    if (!redis->error) {
        redis->error = 1;
        ngx_log_error(NGX_LOG_WARN, redis->log, 0, "flux_cache says: %*s",
                      (size_t) ngx_min(reply->len, 128), reply->str);
    }

    return 0;
}


static void
ngx_http_flux_redis_done(redisAsyncContext *context, void *reply, void *data)
{
    (void) ngx_http_flux_redis_answered(context, reply);
}


void
ngx_http_flux_redis_close(ngx_http_flux_redis_t *redis)
{
    ngx_uint_t  attached;

    if (redis->context == NULL) {
        return;
    }

    redis->closing = 1;

    /* calls the cleanup, where it has one */

    attached = redis->context->ev.data != NULL;
    redisAsyncFree(redis->context);

    if (!attached) {
        redis->context = NULL;
    }
}


static void
ngx_http_flux_redis_fail(ngx_http_flux_redis_t *redis, const char *why)
{
    if (!redis->told) {
        redis->told = 1;
        ngx_log_error(NGX_LOG_WARN, redis->log, 0,
                      "flux_cache cannot be used: %s", why);
    }

    ngx_http_flux_redis_close(redis);
}


/* The context goes, by our will or hiredis': the descriptor after this. */

static void
ngx_http_flux_redis_cleanup(void *data)
{
    ngx_connection_t       *c;
    ngx_http_flux_redis_t  *redis = data;

    c = redis->connection;

    if (c != NULL) {
        ngx_http_flux_redis_del_read(redis);
        ngx_http_flux_redis_del_write(redis);

        if (c->read->posted) {
            ngx_delete_posted_event(c->read);
        }

        if (c->write->posted) {
            ngx_delete_posted_event(c->write);
        }

        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
    }

    if (!redis->closing && !redis->told) {
        redis->told = 1;
        ngx_log_error(NGX_LOG_WARN, redis->log, 0, "flux_cache is away: %s",
                      redis->context->errstr && redis->context->errstr[0]
                      ? redis->context->errstr : "closed");
    }

    redis->connection = NULL;
    redis->context = NULL;
    redis->up = 0;
    redis->waiting = 0;
}


/* --- hiredis in nginx's event loop --------------------------------------- */

static void
ngx_http_flux_redis_read(ngx_event_t *ev)
{
    ngx_connection_t       *c = ev->data;
    ngx_http_flux_redis_t  *redis = c->data;

    if (redis->context == NULL) {
        return;
    }

    if (redis->context->c.reader->len > NGX_HTTP_FLUX_REDIS_INPUT) {
        ngx_http_flux_redis_fail(redis, "it sends too much");
        return;
    }

    redisAsyncHandleRead(redis->context);
}


static void
ngx_http_flux_redis_write(ngx_event_t *ev)
{
    ngx_connection_t       *c = ev->data;
    ngx_http_flux_redis_t  *redis = c->data;

    if (redis->context != NULL) {
        redisAsyncHandleWrite(redis->context);
    }
}


static void
ngx_http_flux_redis_add_read(void *data)
{
    ngx_http_flux_redis_t  *redis = data;

    /* hiredis reads once per call: not by edges */

    if (redis->connection != NULL && !redis->connection->read->active) {
        (void) ngx_add_event(redis->connection->read, NGX_READ_EVENT, 0);
    }
}


static void
ngx_http_flux_redis_del_read(void *data)
{
    ngx_http_flux_redis_t  *redis = data;

    if (redis->connection != NULL && redis->connection->read->active) {
        (void) ngx_del_event(redis->connection->read, NGX_READ_EVENT, 0);
    }
}


static void
ngx_http_flux_redis_add_write(void *data)
{
    ngx_http_flux_redis_t  *redis = data;

    if (redis->connection != NULL && !redis->connection->write->active) {
        (void) ngx_add_event(redis->connection->write, NGX_WRITE_EVENT, 0);
    }
}


static void
ngx_http_flux_redis_del_write(void *data)
{
    ngx_http_flux_redis_t  *redis = data;

    if (redis->connection != NULL && redis->connection->write->active) {
        (void) ngx_del_event(redis->connection->write, NGX_WRITE_EVENT, 0);
    }
}
