#include "flux_frame.h"
#include "flux_json.h"

#include <string.h>

#define LITERAL(dst, s)  memcpy(dst, s, sizeof(s) - 1), dst += sizeof(s) - 1


#define FLUX_HASH_PRIME  UINT64_C(1099511628211)


static size_t flux_int64_length(int64_t n);
static uint8_t *flux_base64_write(uint8_t *dst, const uint8_t *p, size_t size);


static size_t
flux_base64_length(size_t size)
{
    return (size + 2) / 3 * 4;
}


static size_t
flux_value_length(const flux_message_t *m)
{
    switch (m->format) {

    case FLUX_FORMAT_TEXT:
        return flux_json_escaped_size(m->value, m->value_size) + 2;

    case FLUX_FORMAT_BINARY:
        return flux_base64_length(m->value_size) + 2;

    default:
        return m->value_size - m->newlines;
    }
}


size_t
flux_message_measure(flux_message_t *m)
{
    m->key_length = flux_json_escaped_size(m->key, m->key_size);
    m->address_length = m->feed_size;

    if (m->room != NULL) {
        m->address_length += 1 + flux_json_escaped_size(m->room, m->room_size);
    }

    m->length = flux_message_key_at(m->address_length) + m->key_length
                + sizeof("\",\"ts\":}") - 1 + flux_int64_length(m->ts);

    if (m->value != NULL) {
        m->length += sizeof(",\"data\":") - 1 + flux_value_length(m);
    }

    return m->length;
}


static uint8_t *
flux_value_write(uint8_t *dst, const flux_message_t *m)
{
    if (m->format == FLUX_FORMAT_JSON) {

        if (m->newlines == 0) {
            memcpy(dst, m->value, m->value_size);
            return dst + m->value_size;
        }

        return flux_json_copy(dst, m->value, m->value_size);
    }

    *dst++ = '"';

    if (m->format == FLUX_FORMAT_TEXT) {
        dst = flux_json_escape(dst, m->value, m->value_size);

    } else {
        dst = flux_base64_write(dst, m->value, m->value_size);
    }

    *dst++ = '"';

    return dst;
}


uint8_t *
flux_message_write(uint8_t *dst, const flux_message_t *m)
{
    if (m->value != NULL) {
        LITERAL(dst, "{\"type\":\"update\",\"room\":\"");

    } else {
        LITERAL(dst, "{\"type\":\"delete\",\"room\":\"");
    }

    memcpy(dst, m->feed, m->feed_size);
    dst += m->feed_size;

    if (m->room != NULL) {
        *dst++ = '/';
        dst = flux_json_escape(dst, m->room, m->room_size);
    }

    LITERAL(dst, "\",\"key\":\"");

    if (m->key_size) {
        dst = flux_json_escape(dst, m->key, m->key_size);
    }

    LITERAL(dst, "\",\"ts\":");
    dst = flux_int64_write(dst, m->ts);

    if (m->value != NULL) {
        LITERAL(dst, ",\"data\":");
        dst = flux_value_write(dst, m);
    }

    *dst++ = '}';

    return dst;
}


size_t
flux_message_delete(uint8_t *dst, const uint8_t *address,
    size_t address_length, const uint8_t *key, size_t key_length, int64_t ts)
{
    if (dst != NULL) {
        LITERAL(dst, "{\"type\":\"delete\",\"room\":\"");
        memcpy(dst, address, address_length);
        dst += address_length;
        LITERAL(dst, "\",\"key\":\"");
        memcpy(dst, key, key_length);
        dst += key_length;
        LITERAL(dst, "\",\"ts\":");
        dst = flux_int64_write(dst, ts);
        *dst = '}';
    }

    return flux_message_key_at(address_length) + key_length
           + sizeof("\",\"ts\":}") - 1 + flux_int64_length(ts);
}


static size_t
flux_int64_length(int64_t n)
{
    uint64_t  u = n < 0 ? 0 - (uint64_t) n : (uint64_t) n;
    size_t    length = n < 0 ? 2 : 1;

    while (u >= 10) {
        u /= 10;
        length++;
    }

    return length;
}


uint8_t *
flux_int64_write(uint8_t *dst, int64_t n)
{
    size_t    length = flux_int64_length(n);
    uint64_t  u = n < 0 ? 0 - (uint64_t) n : (uint64_t) n;
    uint8_t  *p = dst + length;

    do {
        *--p = (uint8_t) ('0' + u % 10);
        u /= 10;
    } while (u);

    if (n < 0) {
        *--p = '-';
    }

    return dst + length;
}


/* RFC 4648, section 4: padded */

static uint8_t *
flux_base64_write(uint8_t *dst, const uint8_t *p, size_t size)
{
    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    for (; size >= 3; size -= 3, p += 3) {
        *dst++ = (uint8_t) digits[p[0] >> 2];
        *dst++ = (uint8_t) digits[(p[0] & 3) << 4 | p[1] >> 4];
        *dst++ = (uint8_t) digits[(p[1] & 15) << 2 | p[2] >> 6];
        *dst++ = (uint8_t) digits[p[2] & 63];
    }

    if (size == 0) {
        return dst;
    }

    *dst++ = (uint8_t) digits[p[0] >> 2];

    if (size == 1) {
        *dst++ = (uint8_t) digits[(p[0] & 3) << 4];
        *dst++ = '=';

    } else {
        *dst++ = (uint8_t) digits[(p[0] & 3) << 4 | p[1] >> 4];
        *dst++ = (uint8_t) digits[(p[1] & 15) << 2];
    }

    *dst++ = '=';

    return dst;
}


/* The same on every machine: cursors go from one to another. */

static uint64_t
flux_word(const uint8_t *p)
{
    return (uint64_t) p[0] | (uint64_t) p[1] << 8 | (uint64_t) p[2] << 16
           | (uint64_t) p[3] << 24 | (uint64_t) p[4] << 32
           | (uint64_t) p[5] << 40 | (uint64_t) p[6] << 48
           | (uint64_t) p[7] << 56;
}


uint64_t
flux_hash(uint64_t state, const void *p, size_t size)
{
    const uint8_t  *byte = p;

    /*
     * FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/), but of eight bytes
     * at a time: every record has some 100 bytes hashed, and a multiplication
     * for each was a tenth of its cost.  What is high comes down in between.
     */

    for ( /* void */ ; size >= 8; size -= 8, byte += 8) {
        state = (state ^ flux_word(byte)) * FLUX_HASH_PRIME;
        state ^= state >> 32;
    }

    while (size--) {
        state = (state ^ *byte++) * FLUX_HASH_PRIME;
    }

    return state;
}


uint16_t
flux_record_check(const uint8_t *key, size_t key_size, const uint8_t *value,
    size_t value_size, int64_t ts)
{
    uint64_t  hash;

    /*
     * A few bytes are enough to tell one record from another one that took
     * its offset: the timestamp, the key, both ends of the value.
     */

    hash = flux_hash(FLUX_HASH_START, &ts, sizeof(ts));
    hash = flux_hash(hash, key, key_size < 64 ? key_size : 64);
    hash = flux_hash(hash, &value_size, sizeof(value_size));
    hash = flux_hash(hash, value, value_size < 32 ? value_size : 32);

    if (value_size > 32) {
        hash = flux_hash(hash, value + value_size - 32, 32);
    }

    hash ^= hash >> 32;
    hash ^= hash >> 16;

    return (uint16_t) hash ? (uint16_t) hash : 1;
}
