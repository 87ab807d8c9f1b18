#include "flux_base64.h"

#include <string.h>


static const char  flux_base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "abcdefghijklmnopqrstuvwxyz"
                                          "0123456789+/";


flux_rc_t
flux_base64_encode(flux_buffer_t *out, const void *data, size_t len)
{
    char                  quad[4];
    size_t                i, n;
    uint32_t              bits;
    const unsigned char  *p = data;

    for (i = 0; i < len; i += 3) {
        n = (len - i < 3) ? len - i : 3;

        bits = (uint32_t) p[i] << 16;
        bits |= (n > 1) ? (uint32_t) p[i + 1] << 8 : 0;
        bits |= (n > 2) ? p[i + 2] : 0;

        quad[0] = flux_base64_digits[bits >> 18];
        quad[1] = flux_base64_digits[bits >> 12 & 63];
        quad[2] = (n > 1) ? flux_base64_digits[bits >> 6 & 63] : '=';
        quad[3] = (n > 2) ? flux_base64_digits[bits & 63] : '=';

        flux_buffer_append(out, quad, 4);
    }

    return out->failed;
}


static int
flux_base64_quad(const char *text, int last, unsigned char out[3])
{
    int          i, pad;
    uint32_t     bits;
    const char  *at;

    bits = 0;
    pad = 0;

    for (i = 0; i < 4; i++) {
        bits <<= 6;

        if (text[i] == '=' && last && i >= 2) {
            pad++;
            continue;
        }

        at = strchr(flux_base64_digits, text[i]);
        if (at == NULL || text[i] == '\0' || pad != 0) {
            return -1;
        }

        bits |= (uint32_t) (at - flux_base64_digits);
    }

    out[0] = (unsigned char) (bits >> 16);
    out[1] = (unsigned char) (bits >> 8);
    out[2] = (unsigned char) bits;

    return 3 - pad;
}


flux_rc_t
flux_base64_decode(flux_buffer_t *out, const char *text)
{
    int            n;
    size_t         i, len;
    unsigned char  bytes[3];

    len = strlen(text);

    if (len % 4 != 0) {
        return FLUX_INVALID;
    }

    for (i = 0; i < len; i += 4) {
        n = flux_base64_quad(text + i, i + 4 == len, bytes);
        if (n < 0) {
            return FLUX_INVALID;
        }

        flux_buffer_append(out, bytes, (size_t) n);
    }

    return out->failed;
}
