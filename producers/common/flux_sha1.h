/* SHA-1 (FIPS 180-4), which RFC 6455's handshake asks for. Not for secrets. */

#ifndef FLUX_SHA1_H
#define FLUX_SHA1_H

#include "flux_common.h"

#define FLUX_SHA1_SIZE  20

/* len is below 2^29: the handshake's is 60. */
void flux_sha1(const void *data, size_t len,
    unsigned char out[FLUX_SHA1_SIZE]);

#endif /* FLUX_SHA1_H */
