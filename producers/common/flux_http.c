#include "flux_http.h"
#include "flux_policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define FLUX_HTTP_CONNECT_MS  5000
#define FLUX_HTTP_TOTAL_MS    15000
#define FLUX_HTTP_BODY_MAX    (2 * 1024 * 1024)


struct flux_http_s {
    flux_loop_t  *loop;
    char         *agent;
    const char   *ca;
};


struct flux_call_s {
    flux_transfer_t      transfer;      /* first: it is cast back */
    flux_http_t         *http;
    CURL                *easy;
    struct curl_slist   *headers;
    flux_buffer_t        body;
    char                 etag[256];
    char                 error[CURL_ERROR_SIZE];
    flux_reply_pt        handler;
    void                *arg;
};


flux_http_t *
flux_http_new(flux_loop_t *loop, const char *agent)
{
    flux_http_t  *http;

    http = calloc(1, sizeof(flux_http_t));
    if (http == NULL) {
        return NULL;
    }

    http->loop = loop;
    http->agent = strdup(agent);

    if (http->agent == NULL) {
        free(http);
        return NULL;
    }

    return http;
}


void
flux_http_free(flux_http_t *http)
{
    if (http != NULL) {
        free(http->agent);
        free(http);
    }
}


void
flux_http_ca(flux_http_t *http, const char *file)
{
    http->ca = file;
}


static void
flux_call_free(flux_call_t *call)
{
    if (call->easy != NULL) {
        curl_multi_remove_handle(flux_loop_multi(call->http->loop),
                                 call->easy);
        curl_easy_cleanup(call->easy);
    }

    curl_slist_free_all(call->headers);
    flux_buffer_free(&call->body);
    free(call);
}


/* curl calls it with what is left after chunks and compression are undone */

static size_t
flux_call_write(char *data, size_t size, size_t n, void *arg)
{
    flux_call_t  *call = arg;

    if (flux_buffer_append(&call->body, data, size * n) != FLUX_OK) {
        return 0;
    }

    return size * n;
}


static size_t
flux_call_header(char *data, size_t size, size_t n, void *arg)
{
    size_t        len, start;
    flux_call_t  *call = arg;

    len = size * n;

    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        call->etag[0] = '\0';       /* a redirect's was not this one's */
    }

    if (len > 5 && strncasecmp(data, "etag:", 5) == 0) {

        for (start = 5; start < len && data[start] == ' '; start++) {
            /* skip */
        }

        while (len > start && (unsigned char) data[len - 1] <= ' ') {
            len--;
        }

        if (len - start < sizeof(call->etag)) {
            memcpy(call->etag, data + start, len - start);
            call->etag[len - start] = '\0';
        }
    }

    return size * n;
}


static const char *
flux_call_error(const flux_call_t *call, CURLcode result)
{
    if (call->body.failed == FLUX_FULL) {
        return "the body is larger than allowed";
    }

    if (call->body.failed != FLUX_OK) {
        return "out of memory";
    }

    return (call->error[0] != '\0') ? call->error
                                    : curl_easy_strerror(result);
}


static void
flux_call_done(flux_transfer_t *transfer, CURLcode result)
{
    long           status;
    curl_off_t     after;
    flux_call_t   *call = (flux_call_t *) transfer;
    flux_reply_t   reply;

    status = 0;
    after = 0;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &after);

    memset(&reply, 0, sizeof(reply));
    reply.source = FLUX_LIVE;
    reply.wall_ms = flux_wall_ms();
    reply.retry_after = (after > 0) ? flux_retry_after(after) : -1;
    reply.etag = call->etag;
    reply.body = (call->body.data != NULL) ? call->body.data : "";
    reply.len = call->body.len;

    if (result == CURLE_OK) {
        reply.status = (int) status;

    } else {
        /* a body cut short is no answer, whatever its status was */
        reply.error = flux_call_error(call, result);
        reply.body = "";
        reply.len = 0;
    }

    call->handler(call->arg, &reply);

    flux_call_free(call);
}


static int
flux_call_add_header(flux_call_t *call, const char *format, const char *value)
{
    char                text[FLUX_HEADER_SIZE + 32];
    struct curl_slist  *list;

    if (value[0] == '\0') {
        return 1;
    }

    if (strcmp(format, "%s") == 0) {
        flux_copy_text(text, sizeof(text), value);

    } else {
        snprintf(text, sizeof(text), "%s: %s", format, value);
    }

    list = curl_slist_append(call->headers, text);
    if (list == NULL) {
        return 0;
    }

    call->headers = list;

    return 1;
}


static int
flux_call_headers(flux_call_t *call, const flux_request_t *request)
{
    return flux_call_add_header(call, "Accept", request->accept)
           && flux_call_add_header(call, "If-None-Match",
                                   request->if_none_match)
           && flux_call_add_header(call, "%s", request->header);
}


static void
flux_call_setup(flux_call_t *call, const flux_request_t *request)
{
    CURL  *easy;

    easy = call->easy;

    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &call->transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, call->http->agent);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, flux_call_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, flux_call_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, request->connect_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->total_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");

    /* what began with TLS must not end without */

    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR,
                     (strncasecmp(request->url, "https:", 6) == 0)
                     ? "https" : "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION,
                     (request->follow != 0) ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long) request->follow);

    /* a resolver that hangs must not hold the loop when its call ends */

    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);

    if (call->http->ca != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, call->http->ca);
    }
}


flux_call_t *
flux_http_get(flux_http_t *http, const flux_request_t *request,
    flux_reply_pt handler, void *arg)
{
    flux_call_t  *call;

    if (strncasecmp(request->url, "http://", 7) != 0
        && strncasecmp(request->url, "https://", 8) != 0)
    {
        return NULL;
    }

    call = calloc(1, sizeof(flux_call_t));
    if (call == NULL) {
        return NULL;
    }

    call->transfer.done = flux_call_done;
    call->http = http;
    call->handler = handler;
    call->arg = arg;
    flux_buffer_init(&call->body, request->body_max);

    call->easy = curl_easy_init();

    if (call->easy == NULL || !flux_call_headers(call, request)) {
        flux_call_free(call);
        return NULL;
    }

    flux_call_setup(call, request);

    if (curl_multi_add_handle(flux_loop_multi(http->loop), call->easy)
        != CURLM_OK)
    {
        flux_call_free(call);
        return NULL;
    }

    return call;
}


void
flux_http_cancel(flux_call_t *call)
{
    if (call != NULL) {
        flux_call_free(call);
    }
}


void
flux_request_init(flux_request_t *request)
{
    memset(request, 0, sizeof(*request));
    request->connect_ms = FLUX_HTTP_CONNECT_MS;
    request->total_ms = FLUX_HTTP_TOTAL_MS;
    request->body_max = FLUX_HTTP_BODY_MAX;
}


flux_rc_t
flux_request_url(flux_request_t *request, const char *base,
    const char *format, ...)
{
    int      n;
    size_t   len;
    va_list  args;

    len = strlen(base);

    while (len > 0 && base[len - 1] == '/') {
        len--;
    }

    if (len >= sizeof(request->url)) {
        return FLUX_FULL;
    }

    memcpy(request->url, base, len);

    va_start(args, format);
    n = vsnprintf(request->url + len, sizeof(request->url) - len, format,
                  args);
    va_end(args);

    if (n < 0 || (size_t) n >= sizeof(request->url) - len) {
        return FLUX_FULL;
    }

    return FLUX_OK;
}


flux_rc_t
flux_url_escape(char *out, size_t size, const char *text)
{
    size_t              n;
    unsigned char       c;
    static const char   plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz"
                                  "0123456789-._~";

    n = 0;

    while ((c = (unsigned char) *text++) != '\0') {

        if (n + 4 > size) {
            return FLUX_FULL;
        }

        if (strchr(plain, c) != NULL) {
            out[n++] = (char) c;

        } else {
            snprintf(out + n, 4, "%%%02X", c);
            n += 3;
        }
    }

    if (n >= size) {
        return FLUX_FULL;
    }

    out[n] = '\0';

    return FLUX_OK;
}
