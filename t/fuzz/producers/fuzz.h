/*
 * What the producers' fuzzers share: the first byte of an input chooses a
 * parser, the rest is the reply. Records are printed to nowhere.
 */

#ifndef FLUX_FUZZ_H
#define FLUX_FUZZ_H

#include "../../../producers/common/flux_app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static inline void
fuzz_app(flux_app_t *app)
{
    flux_logger_init(&app->log, "fuzz");
    app->log.fd = -1;
    app->log.level = FLUX_FAIL;
    app->sink.log = &app->log;
    app->fallback.mode = FLUX_MODE_REPLAY;
    flux_random_seed(&app->random, 1);

    if (freopen("/dev/null", "w", stdout) == NULL) {
        abort();
    }
}


static inline void
fuzz_parse(const flux_provider_t *provider, void *self, const char *job,
    const uint8_t *data, size_t size)
{
    char          *body;
    const char    *why;
    flux_reply_t   reply;

    body = malloc(size + 1);
    if (body == NULL) {
        abort();
    }

    memcpy(body, data, size);
    body[size] = '\0';

    memset(&reply, 0, sizeof(reply));
    reply.status = 200;
    reply.body = body;
    reply.len = size;
    reply.etag = "";
    reply.retry_after = -1;
    reply.source = FLUX_REPLAY;
    reply.wall_ms = 1;

    provider->parse(self, job, &reply, &why);
    free(body);
}

#endif /* FLUX_FUZZ_H */
