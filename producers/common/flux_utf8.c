#include "flux_utf8.h"


static int
flux_utf8_tail(const unsigned char *p, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return 1;
}


/* the table of RFC 3629, section 4 */

size_t
flux_utf8_length(const unsigned char *p, size_t len)
{
    unsigned char  c;

    if (len == 0) {
        return 0;
    }

    c = p[0];

    if (c < 0x80) {
        return 1;
    }

    if (c >= 0xc2 && c <= 0xdf) {
        return (len >= 2 && flux_utf8_tail(p + 1, 1)) ? 2 : 0;
    }

    if (c >= 0xe0 && c <= 0xef) {
        if (len < 3 || !flux_utf8_tail(p + 1, 2)
            || (c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f))
        {
            return 0;
        }

        return 3;
    }

    if (c >= 0xf0 && c <= 0xf4) {
        if (len < 4 || !flux_utf8_tail(p + 1, 3)
            || (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
        {
            return 0;
        }

        return 4;
    }

    return 0;
}


size_t
flux_utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char) code;
        return 1;
    }

    if (code < 0x800) {
        out[0] = (char) (0xc0 | (code >> 6));
        out[1] = (char) (0x80 | (code & 0x3f));
        return 2;
    }

    if (code < 0x10000) {
        out[0] = (char) (0xe0 | (code >> 12));
        out[1] = (char) (0x80 | ((code >> 6) & 0x3f));
        out[2] = (char) (0x80 | (code & 0x3f));
        return 3;
    }

    out[0] = (char) (0xf0 | (code >> 18));
    out[1] = (char) (0x80 | ((code >> 12) & 0x3f));
    out[2] = (char) (0x80 | ((code >> 6) & 0x3f));
    out[3] = (char) (0x80 | (code & 0x3f));

    return 4;
}


int
flux_utf8_valid(const char *text, size_t len)
{
    size_t  n, i;

    for (i = 0; i < len; i += n) {
        n = flux_utf8_length((const unsigned char *) text + i, len - i);
        if (n == 0) {
            return 0;
        }
    }

    return 1;
}
