/*
 * A provider: how to ask it for one thing and how to read its answer. What
 * it is asked for, and when, is the fetcher's business.
 */

#ifndef FLUX_PROVIDER_H
#define FLUX_PROVIDER_H

#include "flux_http.h"

typedef enum {
    FLUX_REPLY_OK = 0,
    FLUX_REPLY_INVALID,     /* fails its checks: nothing was published */
    FLUX_REPLY_LIMITED,     /* asked too often */
    FLUX_REPLY_REFUSED,     /* this job is wrong, the provider is well */
    FLUX_REPLY_TROUBLE      /* the provider is not well, or the key is */
} flux_verdict_t;

typedef struct {
    const char  *name;      /* in records, logs and tapes */

    /*
     * Fills a request that flux_request_init() prepared. FLUX_AGAIN: not
     * now (the job is put off by its interval).
     */
    flux_rc_t  (*build)(void *self, const char *job, flux_request_t *request);

    /*
     * Reads a reply with status 200 or 304 and publishes what it holds. An
     * error inside a 200 is told by the verdict. why is static text or NULL.
     */
    flux_verdict_t  (*parse)(void *self, const char *job,
        const flux_reply_t *reply, const char **why);

} flux_provider_t;

#endif /* FLUX_PROVIDER_H */
