/*
 * UTF-8 as RFC 3629 has it: one step of a decoder, for those in core that
 * read text that others wrote.
 */

#ifndef FLUX_UTF8_H
#define FLUX_UTF8_H


#include <stddef.h>
#include <stdint.h>
#include <string.h>


/*
 * Looks at the sequence that begins at p, p < end. Returns
 *    1 .. 4    its length;
 *   -1 .. -3   it is wrong, and so many bytes are to be replaced by one U+FFFD
 *              (the "maximal subpart", as the WHATWG decoder does);
 *    0         all bytes up to end are the beginning of a sequence.
 */
static inline int
flux_utf8_sequence(const uint8_t *p, const uint8_t *end)
{
    int      i, length;
    uint8_t  low = 0x80, high = 0xbf;

    if (*p < 0x80) {
        return 1;
    }

    if (*p < 0xc2 || *p > 0xf4) {
        return -1;
    }

    if (*p < 0xe0) {
        length = 2;

    } else if (*p < 0xf0) {
        length = 3;
        low = (*p == 0xe0) ? 0xa0 : low;       /* not overlong */
        high = (*p == 0xed) ? 0x9f : high;     /* no surrogate */

    } else {
        length = 4;
        low = (*p == 0xf0) ? 0x90 : low;
        high = (*p == 0xf4) ? 0x8f : high;     /* at most U+10FFFF */
    }

    for (i = 1; i < length; i++) {
        if (p + i == end) {
            return 0;
        }

        if (p[i] < low || p[i] > high) {
            return -i;
        }

        low = 0x80;
        high = 0xbf;
    }

    return length;
}


/*
 * Returns where the text stops being whole sequences: end, or the first byte
 * of a sequence that is wrong or not complete.
 */
static inline const uint8_t *
flux_utf8_prefix(const uint8_t *p, const uint8_t *end)
{
    int       length;
    uint64_t  word;

    while (p < end) {

        if ((size_t) (end - p) >= sizeof(word)) {
            memcpy(&word, p, sizeof(word));

            if ((word & 0x8080808080808080) == 0) {
                p += sizeof(word);
                continue;
            }
        }

        length = flux_utf8_sequence(p, end);

        if (length <= 0) {
            return p;
        }

        p += length;
    }

    return end;
}


#endif /* FLUX_UTF8_H */
