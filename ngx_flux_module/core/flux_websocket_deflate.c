#include <stdio.h>
#include <string.h>

#include "flux_websocket.h"


#define WS_WINDOW_MIN  8
#define WS_WINDOW_MAX  15


typedef struct {
    const char  *p;
    const char  *end;
} ws_scan_t;


typedef struct {
    const char  *p;
    size_t       len;
} ws_word_t;


/* one offer; a parameter may stand in it once */
typedef struct {
    unsigned     server_alone:1;
    unsigned     client_alone:1;
    unsigned     client_window:1;
    unsigned     server_window;        /* 0: not given */
} ws_offer_t;


static int
ws_word_is(ws_word_t word, const char *text)
{
    return word.len == strlen(text) && memcmp(word.p, text, word.len) == 0;
}


static int
ws_is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9')
           || (c && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}


static void
ws_skip_space(ws_scan_t *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t')) {
        s->p++;
    }
}


/* takes this character and the space around it, if it is there */
static int
ws_skip(ws_scan_t *s, char c)
{
    ws_skip_space(s);

    if (s->p == s->end || *s->p != c) {
        return 0;
    }

    s->p++;
    ws_skip_space(s);

    return 1;
}


/* returns 0 if there is none */
static int
ws_token(ws_scan_t *s, ws_word_t *word)
{
    word->p = s->p;

    while (s->p < s->end && ws_is_token(*s->p)) {
        s->p++;
    }

    word->len = (size_t) (s->p - word->p);

    return word->len != 0;
}


/* a token or a quoted string, whose escapes stay as they are */
static int
ws_value(ws_scan_t *s, ws_word_t *word)
{
    if (s->p == s->end || *s->p != '"') {
        return ws_token(s, word);
    }

    word->p = ++s->p;

    for ( /* void */ ; s->p < s->end && *s->p != '"'; s->p++) {
        if (*s->p == '\\' && s->end - s->p > 1) {
            s->p++;
        }
    }

    if (s->p == s->end) {
        return 0;
    }

    word->len = (size_t) (s->p++ - word->p);

    return 1;
}


/* 0 for what is no window, RFC 7692 section 7.1.2 */
static unsigned
ws_window(ws_word_t value)
{
    size_t    i;
    unsigned  bits = 0;

    if (value.len == 0 || value.len > 2 || value.p[0] == '0') {
        return 0;
    }

    for (i = 0; i < value.len; i++) {
        if (value.p[i] < '0' || value.p[i] > '9') {
            return 0;
        }

        bits = bits * 10 + (unsigned) (value.p[i] - '0');
    }

    return (bits >= WS_WINDOW_MIN && bits <= WS_WINDOW_MAX) ? bits : 0;
}


/* value is NULL if there is none; returns 0 to decline the offer */
static int
ws_parameter(ws_offer_t *offer, ws_word_t name, const ws_word_t *value)
{
    if (ws_word_is(name, "server_no_context_takeover")) {
        if (value || offer->server_alone) {
            return 0;
        }

        offer->server_alone = 1;
        return 1;
    }

    if (ws_word_is(name, "client_no_context_takeover")) {
        if (value || offer->client_alone) {
            return 0;
        }

        offer->client_alone = 1;
        return 1;
    }

    if (ws_word_is(name, "client_max_window_bits")) {
        if (offer->client_window || (value && !ws_window(*value))) {
            return 0;
        }

        offer->client_window = 1;
        return 1;
    }

    if (ws_word_is(name, "server_max_window_bits")) {
        if (offer->server_window || !value) {
            return 0;
        }

        offer->server_window = ws_window(*value);
        return offer->server_window != 0;
    }

    return 0;
}


/*
 * Reads one extension with its parameters. Returns 0 when the header is
 * malformed; *wanted says if it is a permessage-deflate we know all of.
 */
static int
ws_read_offer(ws_scan_t *s, ws_offer_t *offer, int *wanted)
{
    ws_word_t  name, value;

    memset(offer, 0, sizeof(ws_offer_t));

    if (!ws_token(s, &name)) {
        return 0;
    }

    *wanted = ws_word_is(name, "permessage-deflate");

    while (ws_skip(s, ';')) {

        if (!ws_token(s, &name)) {
            return 0;
        }

        if (!ws_skip(s, '=')) {
            *wanted = ws_parameter(offer, name, NULL) && *wanted;
            continue;
        }

        if (!ws_value(s, &value)) {
            return 0;
        }

        *wanted = ws_parameter(offer, name, &value) && *wanted;
    }

    return 1;
}


static void
ws_answer(flux_ws_deflate_t *d, const ws_offer_t *offer, unsigned window_bits)
{
    int   n;
    char  window[sizeof("; server_max_window_bits=15")] = "";

    if (offer->server_window) {
        (void) snprintf(window, sizeof(window),
                        "; server_max_window_bits=%u", window_bits);
    }

    n = snprintf(d->answer, sizeof(d->answer),
                 "permessage-deflate; client_no_context_takeover%s%s",
                 offer->server_alone ? "; server_no_context_takeover" : "",
                 window);

    d->length = (size_t) n;
}


int
flux_ws_accept_deflate(flux_ws_deflate_t *d, const char *offers, size_t len,
    unsigned window_bits, unsigned alone_bits)
{
    int         wanted;
    ws_scan_t   s;
    ws_offer_t  offer;

    d->alone = 0;
    d->length = 0;

    if (len == 0 || window_bits > WS_WINDOW_MAX) {
        return 0;
    }

    s.p = offers;
    s.end = offers + len;
    ws_skip_space(&s);

    do {
        if (!ws_read_offer(&s, &offer, &wanted)) {
            return 0;
        }

        if (wanted
            && (offer.server_window == 0
                || offer.server_window >= alone_bits))
        {
            d->alone = offer.server_alone
                       || (offer.server_window
                           && offer.server_window < window_bits);

            ws_answer(d, &offer, d->alone ? alone_bits : window_bits);
            return 1;
        }

    } while (ws_skip(&s, ','));

    return 0;
}
