#include "flux_sha1.h"

#include <string.h>


static uint32_t
flux_rotate(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}


static void
flux_sha1_block(uint32_t h[5], const unsigned char *p)
{
    int       t;
    uint32_t  w[80], a, b, c, d, e, f, k, next;

    for (t = 0; t < 16; t++) {
        w[t] = (uint32_t) p[t * 4] << 24 | (uint32_t) p[t * 4 + 1] << 16
               | (uint32_t) p[t * 4 + 2] << 8 | p[t * 4 + 3];
    }

    for ( /* void */ ; t < 80; t++) {
        w[t] = flux_rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    }

    a = h[0];
    b = h[1];
    c = h[2];
    d = h[3];
    e = h[4];

    for (t = 0; t < 80; t++) {

        if (t < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;

        } else if (t < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;

        } else if (t < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;

        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }

        next = flux_rotate(a, 5) + f + e + k + w[t];
        e = d;
        d = c;
        c = flux_rotate(b, 30);
        b = a;
        a = next;
    }

    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}


void
flux_sha1(const void *data, size_t len, unsigned char out[FLUX_SHA1_SIZE])
{
    int                   i;
    size_t                done, rest, size;
    uint64_t              bits;
    unsigned char         tail[128];
    const unsigned char  *p = data;

    uint32_t  h[5] = {
        0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0
    };

    for (done = 0; len - done >= 64; done += 64) {
        flux_sha1_block(h, p + done);
    }

    /* the rest, a one bit, zeros, the length in bits */

    rest = len - done;
    size = (rest < 56) ? 64 : 128;
    bits = (uint64_t) len * 8;

    memset(tail, 0, sizeof(tail));
    memcpy(tail, p + done, rest);
    tail[rest] = 0x80;

    for (i = 0; i < 8; i++) {
        tail[size - 1 - (size_t) i] = (unsigned char) (bits >> (8 * i));
    }

    for (done = 0; done < size; done += 64) {
        flux_sha1_block(h, tail + done);
    }

    for (i = 0; i < FLUX_SHA1_SIZE; i++) {
        out[i] = (unsigned char) (h[i / 4] >> (24 - 8 * (i % 4)));
    }
}
