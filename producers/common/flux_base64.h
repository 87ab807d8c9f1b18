/* Base64 (RFC 4648, section 4), for tapes and WebSocket handshakes. */

#ifndef FLUX_BASE64_H
#define FLUX_BASE64_H

#include "flux_buffer.h"

/* Both append to out. */
flux_rc_t flux_base64_encode(flux_buffer_t *out, const void *data,
    size_t len);
flux_rc_t flux_base64_decode(flux_buffer_t *out, const char *text);

#endif /* FLUX_BASE64_H */
