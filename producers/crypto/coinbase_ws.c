/*
 * Coinbase Exchange's WebSocket feed: one connection, one subscription to
 * the ticker channel. It reconnects for ever with backoff and subscribes
 * anew; a feed that is open but says nothing is left. While it delivers,
 * the REST interface is not asked.
 */

#include "crypto.h"
#include "../common/flux_websocket.h"

#include <stdlib.h>
#include <string.h>


#define FLUX_WS_CONNECT_MS   10000
#define FLUX_WS_MESSAGE_MAX  (256 * 1024)

#define FLUX_WS_RETRY_BASE   1000
#define FLUX_WS_RETRY_CAP    60000

/* a feed that delivered within this time makes REST superfluous */
#define FLUX_WS_FRESH_MS     10000


struct flux_coinbase_ws_s {
    flux_crypto_t     *crypto;
    flux_websocket_t  *ws;
    flux_timer_t       retry;
    flux_timer_t       quiet;       /* pings are answered, but no data come */
    unsigned           attempt;
    int                complained;
    int64_t            delivered;   /* monotonic ms, 0 if never */
};


static void flux_coinbase_ws_connect(void *arg);


static void
flux_coinbase_ws_opened(void *arg)
{
    size_t                i;
    flux_buffer_t         text;
    flux_writer_t         w;
    flux_coinbase_ws_t   *feed = arg;

    flux_buffer_init(&text, FLUX_VALUE_MAX);
    flux_writer_init(&w, &text);
    flux_write_object(&w, NULL);
    flux_write_text(&w, "type", "subscribe");
    flux_write_array(&w, "product_ids");

    for (i = 0; i < feed->crypto->count; i++) {
        flux_write_text(&w, NULL, feed->crypto->products[i].id);
    }

    flux_write_end(&w);
    flux_write_array(&w, "channels");
    flux_write_text(&w, NULL, "ticker");
    flux_write_end(&w);
    flux_write_end(&w);

    if (text.failed == FLUX_OK) {
        flux_websocket_send(feed->ws, text.data, text.len);
    }

    flux_buffer_free(&text);
}


static void
flux_coinbase_ws_record(const flux_coinbase_ws_t *feed, const char *text,
    size_t len)
{
    flux_reply_t  reply;

    memset(&reply, 0, sizeof(reply));
    reply.status = 200;
    reply.body = text;
    reply.len = len;
    reply.wall_ms = flux_wall_ms();

    flux_recorder_write(feed->crypto->app.recorder, "coinbase-ws", "ticker",
                        &reply);
}


static void
flux_coinbase_ws_message(void *arg, const char *text, size_t len)
{
    uint64_t              before;
    const char           *why;
    flux_app_t           *app;
    flux_verdict_t        verdict;
    flux_coinbase_ws_t   *feed = arg;

    app = &feed->crypto->app;
    before = app->sink.records;

    flux_coinbase_ws_record(feed, text, len);
    verdict = flux_coinbase_message(feed->crypto, text, len, FLUX_LIVE, &why);

    if (verdict != FLUX_REPLY_OK) {
        flux_log(&app->log, FLUX_DEBUG, "coinbase feed: %s", why);
        return;
    }

    if (app->sink.records > before) {
        feed->attempt = 0;
        feed->complained = 0;
        feed->delivered = flux_monotonic_ms();
        flux_timer_set(app->loop, &feed->quiet,
                       feed->crypto->feed_silence * 2);
        flux_app_live(app);
    }

    if (app->sink.closed) {
        flux_app_stop(app, 0);
    }
}


static void
flux_coinbase_ws_retry(flux_coinbase_ws_t *feed)
{
    flux_app_t  *app;

    app = &feed->crypto->app;
    flux_timer_clear(app->loop, &feed->quiet);
    flux_timer_set(app->loop, &feed->retry,
                   flux_backoff(&app->random, FLUX_WS_RETRY_BASE,
                                FLUX_WS_RETRY_CAP, feed->attempt++));
}


static void
flux_coinbase_ws_closed(void *arg, const char *why)
{
    flux_coinbase_ws_t  *feed = arg;

    flux_log(&feed->crypto->app.log,
             feed->complained ? FLUX_DEBUG : FLUX_WARN,
             "coinbase feed: %s, connecting again", why);
    feed->complained = 1;

    flux_coinbase_ws_retry(feed);
}


static void
flux_coinbase_ws_quiet(void *arg)
{
    flux_coinbase_ws_t  *feed = arg;

    flux_log(&feed->crypto->app.log, FLUX_WARN,
             "coinbase feed: no prices, connecting again");
    flux_websocket_free(feed->ws);
    feed->ws = NULL;
    flux_coinbase_ws_retry(feed);
}


static void
flux_coinbase_ws_connect(void *arg)
{
    flux_app_t                *app;
    flux_coinbase_ws_t        *feed = arg;
    flux_websocket_options_t   options;

    app = &feed->crypto->app;
    flux_websocket_free(feed->ws);

    memset(&options, 0, sizeof(options));
    options.url = feed->crypto->coinbase_ws_url;
    options.agent = app->settings.user_agent;
    options.ca = app->settings.ca_file;
    options.connect_ms = FLUX_WS_CONNECT_MS;
    options.silence_ms = feed->crypto->feed_silence;
    options.message_max = FLUX_WS_MESSAGE_MAX;
    options.opened = flux_coinbase_ws_opened;
    options.message = flux_coinbase_ws_message;
    options.closed = flux_coinbase_ws_closed;
    options.arg = feed;

    feed->ws = flux_websocket_new(app->loop, &options);

    if (feed->ws == NULL) {
        flux_coinbase_ws_retry(feed);
        return;
    }

    flux_timer_set(app->loop, &feed->quiet, feed->crypto->feed_silence * 2);
}


int
flux_coinbase_ws_delivers(const flux_crypto_t *crypto)
{
    const flux_coinbase_ws_t  *feed;

    feed = crypto->feed;

    return feed != NULL && feed->delivered != 0
           && flux_monotonic_ms() - feed->delivered < FLUX_WS_FRESH_MS;
}


flux_rc_t
flux_coinbase_ws_start(flux_crypto_t *crypto)
{
    flux_coinbase_ws_t  *feed;

    if (crypto->no_websocket || crypto->app.settings.once
        || !flux_fallback_asks(&crypto->app.fallback))
    {
        return FLUX_OK;
    }

    feed = calloc(1, sizeof(flux_coinbase_ws_t));
    if (feed == NULL) {
        return FLUX_NOMEM;
    }

    crypto->feed = feed;
    feed->crypto = crypto;
    flux_timer_init(&feed->retry, flux_coinbase_ws_connect, feed);
    flux_timer_init(&feed->quiet, flux_coinbase_ws_quiet, feed);
    flux_coinbase_ws_connect(feed);

    return FLUX_OK;
}


void
flux_coinbase_ws_stop(flux_crypto_t *crypto)
{
    if (crypto->feed == NULL) {
        return;
    }

    flux_timer_clear(crypto->app.loop, &crypto->feed->retry);
    flux_timer_clear(crypto->app.loop, &crypto->feed->quiet);
    flux_websocket_free(crypto->feed->ws);
    free(crypto->feed);
    crypto->feed = NULL;
}
