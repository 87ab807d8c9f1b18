/*
 * HTTP requests on the loop. Each has a connect and a total time-out and a
 * bound on its body, which holds for chunked and compressed bodies too: what
 * is counted is what comes out of the decoder. TLS is always checked.
 */

#ifndef FLUX_HTTP_H
#define FLUX_HTTP_H

#include "flux_buffer.h"
#include "flux_logger.h"
#include "flux_loop.h"

#define FLUX_URL_SIZE     2048
#define FLUX_HEADER_SIZE  512

typedef struct flux_http_s  flux_http_t;
typedef struct flux_call_s  flux_call_t;

typedef struct {
    char      url[FLUX_URL_SIZE];
    char      accept[128];                  /* "" for any */
    char      header[FLUX_HEADER_SIZE];     /* one more, "" for none; may
                                               hold a key: never logged */
    char      if_none_match[256];           /* an ETag of before, or "" */
    long      connect_ms;
    long      total_ms;
    size_t    body_max;
    unsigned  follow;                       /* redirects to follow; 0 when
                                               the request carries a key */
} flux_request_t;

typedef struct {
    int           status;           /* 0: no answer, error says why */
    const char   *error;            /* NULL when there is a status */
    const char   *body;             /* NUL-terminated, never NULL */
    size_t        len;
    int64_t       retry_after;      /* ms, -1 if not sent */
    const char   *etag;             /* "" if not sent */
    flux_source_t source;
    int64_t       wall_ms;          /* when it came, or came then */
} flux_reply_t;

/*
 * Called exactly once, unless the call was cancelled before. The reply and
 * the call are gone when it returns.
 */
typedef void (*flux_reply_pt)(void *arg, const flux_reply_t *reply);

/* agent: the User-Agent, some providers refuse requests without. */
flux_http_t *flux_http_new(flux_loop_t *loop, const char *agent);
void flux_http_free(flux_http_t *http);

/*
 * A CA file instead of the system's, for tests and for providers behind a
 * private CA. NULL goes back to the system's.
 */
void flux_http_ca(flux_http_t *http, const char *file);

/* NULL when memory is missing or the URL is not http or https. */
flux_call_t *flux_http_get(flux_http_t *http, const flux_request_t *request,
    flux_reply_pt handler, void *arg);
void flux_http_cancel(flux_call_t *call);

/* The defaults: 5 s to connect, 15 s in all, 2 MiB, no redirects. */
void flux_request_init(flux_request_t *request);

/*
 * base + path with exactly one slash between them. FLUX_FULL if it does not
 * fit.
 */
flux_rc_t flux_request_url(flux_request_t *request, const char *base,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Percent-encodes what RFC 3986 does not call unreserved. */
flux_rc_t flux_url_escape(char *out, size_t size, const char *text);

#endif /* FLUX_HTTP_H */
