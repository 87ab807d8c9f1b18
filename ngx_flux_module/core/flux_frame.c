#include "flux_frame.h"
#include "flux_json.h"

#include <string.h>

#define LITERAL(dst, s)  memcpy(dst, s, sizeof(s) - 1), dst += sizeof(s) - 1



static const uint64_t  flux_powers[] = {
    UINT64_C(1), UINT64_C(10), UINT64_C(100), UINT64_C(1000),
    UINT64_C(10000), UINT64_C(100000), UINT64_C(1000000),
    UINT64_C(10000000), UINT64_C(100000000), UINT64_C(1000000000),
    UINT64_C(10000000000), UINT64_C(100000000000),
    UINT64_C(1000000000000), UINT64_C(10000000000000),
    UINT64_C(100000000000000), UINT64_C(1000000000000000),
    UINT64_C(10000000000000000), UINT64_C(100000000000000000),
    UINT64_C(1000000000000000000), UINT64_C(10000000000000000000)
};

static const char  flux_pairs[] =
    "0001020304050607080910111213141516171819"
    "2021222324252627282930313233343536373839"
    "4041424344454647484950515253545556575859"
    "6061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";


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


static size_t
flux_text_length(const flux_message_t *m, const uint8_t *p, size_t size)
{
    return m->verbatim ? size : flux_json_escaped_size(p, size);
}


static uint8_t *
flux_text_write(uint8_t *dst, const flux_message_t *m, const uint8_t *p,
    size_t size)
{
    if (!m->verbatim) {
        return flux_json_escape(dst, p, size);
    }

    memcpy(dst, p, size);

    return dst + size;
}


size_t
flux_message_measure(flux_message_t *m)
{
    m->verbatim = flux_json_verbatim(m->key, m->key_size)
                  && flux_json_verbatim(m->room, m->room_size);

    m->key_length = flux_text_length(m, m->key, m->key_size);
    m->address_length = m->feed_size;

    if (m->room != NULL) {
        m->address_length += 1 + flux_text_length(m, m->room, m->room_size);
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
        dst = flux_text_write(dst, m, m->room, m->room_size);
    }

    LITERAL(dst, "\",\"key\":\"");

    if (m->key_size) {
        dst = flux_text_write(dst, m, m->key, m->key_size);
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


static uint64_t
flux_int64_digits(int64_t n, size_t *digits)
{
    uint64_t  u = n < 0 ? 0 - (uint64_t) n : (uint64_t) n;
    unsigned  bits = 64 - (unsigned) __builtin_clzll(u | 1);

    /* log 2 is 1233/4096; it may say one too many: a power of ten decides */

    *digits = bits * 1233 >> 12;
    *digits += (u | 1) >= flux_powers[*digits];

    return u;
}


static size_t
flux_int64_length(int64_t n)
{
    size_t  digits;

    (void) flux_int64_digits(n, &digits);

    return digits + (n < 0);
}


uint8_t *
flux_int64_write(uint8_t *dst, int64_t n)
{
    size_t    digits;
    uint8_t  *p, *end;
    uint64_t  u = flux_int64_digits(n, &digits);

    if (n < 0) {
        *dst++ = '-';
    }

    end = dst + digits;

    for (p = end; digits >= 2; digits -= 2, u /= 100) {
        p -= 2;
        memcpy(p, &flux_pairs[u % 100 * 2], 2);
    }

    if (digits) {
        *--p = (uint8_t) ('0' + u);
    }

    return end;
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
flux_half(const uint8_t *p)
{
    return (uint64_t) p[0] | (uint64_t) p[1] << 8 | (uint64_t) p[2] << 16
           | (uint64_t) p[3] << 24;
}


static uint64_t
flux_word(const uint8_t *p)
{
    return flux_half(p) | flux_half(p + 4) << 32;
}


/* Up to seven bytes, and how many they are. */

static uint64_t
flux_tail(const uint8_t *p, size_t size)
{
    uint64_t  word = (uint64_t) size << 56;

    if (size >= 4) {
        return word ^ flux_half(p) ^ flux_half(p + size - 4) << 32;
    }

    return word ^ p[0] ^ (uint64_t) p[size / 2] << 8
           ^ (uint64_t) p[size - 1] << 16;
}


/*
 * Multiplies by 2^64 divided by the golden ratio (Knuth 6.4).  What is low
 * goes up with that, what is high comes down again behind it.
 */

static uint64_t
flux_hash_word(uint64_t state, uint64_t word)
{
    state = (state ^ word) * FLUX_HASH_FACTOR;

    return state ^ state >> 32;
}


uint64_t
flux_hash(uint64_t state, const void *p, size_t size)
{
    const uint8_t  *byte = p;

    /* eight bytes at a time: every record has some 100 bytes hashed */

    for ( /* void */ ; size >= 8; size -= 8, byte += 8) {
        state = flux_hash_word(state, flux_word(byte));
    }

    return size ? flux_hash_word(state, flux_tail(byte, size)) : state;
}


/*
 * A product of two words, folded: who does not know the key can tell neither
 * what comes of a word nor which two give the same.
 */

static uint64_t
flux_hash_fold(uint64_t state, uint64_t key)
{
    unsigned __int128  product = (unsigned __int128) state * key;

    return (uint64_t) product ^ (uint64_t) (product >> 64);
}


uint64_t
flux_hash_keyed(const uint64_t key[2], uint64_t start, const void *p,
    size_t size)
{
    uint64_t        state = key[0] ^ start ^ (uint64_t) size << 32;
    const uint8_t  *byte = p;

    for ( /* void */ ; size >= 8; size -= 8, byte += 8) {
        state = flux_hash_fold(state ^ flux_word(byte), key[1]);
    }

    if (size) {
        state = flux_hash_fold(state ^ flux_tail(byte, size), key[1]);
    }

    return flux_hash_fold(state, key[1]);
}


uint16_t
flux_record_check(const uint8_t *key, size_t key_size, const uint8_t *value,
    size_t value_size, int64_t ts)
{
    uint64_t  hash, head, tail;

    /*
     * A few bytes are enough to tell one record from another one that took
     * its offset: the timestamp, the key, both ends of the value.  These are
     * hashed apart, as a processor can do that side by side.
     */

    hash = flux_hash_word(FLUX_HASH_START, (uint64_t) ts);
    hash = flux_hash(hash, key, key_size < 64 ? key_size : 64);
    head = flux_hash_word(FLUX_HASH_START, value_size);

    if (value_size <= 32) {
        head = flux_hash(head, value, value_size);
        tail = 0;

    } else {
        head = flux_hash(head, value, 32);
        tail = flux_hash(FLUX_HASH_START, value + value_size - 32, 32);
    }

    hash = flux_hash_word(flux_hash_word(hash, head), tail);
    hash = flux_hash_end(hash) >> 16;

    return (uint16_t) hash ? (uint16_t) hash : 1;
}
