#include "flux_cursor.h"


/*
 * The text is base64url (RFC 4648 section 5, no padding) of
 *
 *   version                                     one byte
 *   sections                                    number
 *   for each section
 *       rooms                                   number
 *       hash                                    32 bits, for each room
 *       groups                                  number
 *       for each group
 *           fingerprint                         32 bits
 *           partitions                          number, not 0
 *           partition                           number: the first as it is,
 *                                               then the step less one
 *   offset                                      number, for each place
 *   check                                       16 bits, for each place
 *   time                                        number
 *   CRC                                         16 bits, of all before it
 *
 * What changes from frame to frame stands behind what does not. All is big
 * endian, a number too: seven bits a byte, 0x80 set in all but the last, no
 * leading zeros. So an offset that grows keeps its first bytes.
 */

#define CURSOR_VERSION      1

#define CURSOR_CRC_START    0xffff

/* bytes of a number at most: 32 and 63 bits; the latter as 64, to be safe */
#define CURSOR_NUMBER32     5
#define CURSOR_NUMBER64     10


typedef struct {
    char        *dst;
    uint32_t     bits;
    unsigned     gathered;     /* bytes in bits */
    uint16_t     crc;
} cursor_writer_t;


typedef struct {
    const char  *p;
    size_t       left;         /* bytes, not characters */
    uint32_t     bits;
    unsigned     nbits;
    int          failed;
} cursor_reader_t;


typedef struct {
    uint8_t     *p;
    size_t       left;
} cursor_scratch_t;


static const char  cursor_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";


/* CRC-16/CCITT, polynomial 0x1021 */
static uint16_t
cursor_crc(uint16_t crc, uint8_t byte)
{
    unsigned  x;

    x = (crc >> 8 ^ byte) & 0xff;
    x ^= x >> 4;

    return (uint16_t) ((unsigned) crc << 8 ^ x << 12 ^ x << 5 ^ x);
}


static size_t
cursor_group_end(const flux_cursor_section_t *section, size_t start)
{
    size_t  i = start;

    do {
        i++;
    } while (i < section->nplaces
             && section->places[i].fingerprint
                == section->places[start].fingerprint);

    return i;
}


size_t
flux_cursor_size(const flux_cursor_t *cursor)
{
    size_t                        i, size;
    const flux_cursor_section_t  *section;

    size = 1 + CURSOR_NUMBER32 + CURSOR_NUMBER64 + 2;

    for (i = 0; i < cursor->nsections; i++) {
        section = &cursor->sections[i];

        /* each place in a group of its own, at worst */
        size += 2 * CURSOR_NUMBER32 + section->nrooms * 4
                + section->nplaces * (4 + 2 * CURSOR_NUMBER32
                                      + CURSOR_NUMBER64 + 2);
    }

    return (size + 2) / 3 * 4;
}


static void
cursor_put(cursor_writer_t *w, uint8_t byte)
{
    w->crc = cursor_crc(w->crc, byte);
    w->bits = w->bits << 8 | byte;

    if (++w->gathered == 3) {
        *w->dst++ = cursor_alphabet[w->bits >> 18 & 0x3f];
        *w->dst++ = cursor_alphabet[w->bits >> 12 & 0x3f];
        *w->dst++ = cursor_alphabet[w->bits >> 6 & 0x3f];
        *w->dst++ = cursor_alphabet[w->bits & 0x3f];
        w->gathered = 0;
    }
}


static void
cursor_put16(cursor_writer_t *w, uint16_t value)
{
    cursor_put(w, (uint8_t) (value >> 8));
    cursor_put(w, (uint8_t) value);
}


static void
cursor_put32(cursor_writer_t *w, uint32_t value)
{
    cursor_put16(w, (uint16_t) (value >> 16));
    cursor_put16(w, (uint16_t) value);
}


static void
cursor_put_number(cursor_writer_t *w, uint64_t value)
{
    int  shift = 0;

    while (shift < 63 && value >> (shift + 7)) {
        shift += 7;
    }

    for ( /* void */ ; shift; shift -= 7) {
        cursor_put(w, (uint8_t) (0x80 | (value >> shift & 0x7f)));
    }

    cursor_put(w, value & 0x7f);
}


/* what is left of three bytes */
static void
cursor_put_end(cursor_writer_t *w)
{
    switch (w->gathered) {

    case 1:
        *w->dst++ = cursor_alphabet[w->bits >> 2 & 0x3f];
        *w->dst++ = cursor_alphabet[w->bits << 4 & 0x3f];
        break;

    case 2:
        *w->dst++ = cursor_alphabet[w->bits >> 10 & 0x3f];
        *w->dst++ = cursor_alphabet[w->bits >> 4 & 0x3f];
        *w->dst++ = cursor_alphabet[w->bits << 2 & 0x3f];
        break;
    }
}


static void
cursor_put_group(cursor_writer_t *w, const flux_cursor_place_t *places,
    size_t n)
{
    size_t  i;

    cursor_put32(w, places[0].fingerprint);
    cursor_put_number(w, n);
    cursor_put_number(w, places[0].partition);

    for (i = 1; i < n; i++) {
        cursor_put_number(w, places[i].partition - places[i - 1].partition
                             - 1);
    }
}


static void
cursor_put_section(cursor_writer_t *w, const flux_cursor_section_t *section)
{
    size_t  i, end, ngroups = 0;

    cursor_put_number(w, section->nrooms);

    for (i = 0; i < section->nrooms; i++) {
        cursor_put32(w, section->rooms[i]);
    }

    for (i = 0; i < section->nplaces; i = cursor_group_end(section, i)) {
        ngroups++;
    }

    cursor_put_number(w, ngroups);

    for (i = 0; i < section->nplaces; i = end) {
        end = cursor_group_end(section, i);
        cursor_put_group(w, section->places + i, end - i);
    }
}


size_t
flux_cursor_encode(char *dst, const flux_cursor_t *cursor)
{
    size_t                        i, n;
    cursor_writer_t               w = { dst, 0, 0, CURSOR_CRC_START };
    const flux_cursor_section_t  *section;

    cursor_put(&w, CURSOR_VERSION);
    cursor_put_number(&w, cursor->nsections);

    for (n = 0; n < cursor->nsections; n++) {
        cursor_put_section(&w, &cursor->sections[n]);
    }

    for (n = 0; n < cursor->nsections; n++) {
        section = &cursor->sections[n];

        for (i = 0; i < section->nplaces; i++) {
            cursor_put_number(&w, (uint64_t) section->places[i].offset);
        }
    }

    for (n = 0; n < cursor->nsections; n++) {
        section = &cursor->sections[n];

        for (i = 0; i < section->nplaces; i++) {
            cursor_put16(&w, section->places[i].check);
        }
    }

    cursor_put_number(&w, (uint64_t) cursor->time);
    cursor_put16(&w, w.crc);
    cursor_put_end(&w);

    return (size_t) (w.dst - dst);
}


/* -1 for a character that is none of ours */
static int
cursor_char_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }

    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }

    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }

    return (c == '-') ? 62 : (c == '_') ? 63 : -1;
}


static uint8_t
cursor_get(cursor_reader_t *r)
{
    int  value;

    if (r->left == 0) {
        r->failed = 1;
        return 0;
    }

    while (r->nbits < 8) {
        value = cursor_char_value(*r->p++);

        if (value < 0) {
            r->failed = 1;
            value = 0;
        }

        r->bits = r->bits << 6 | (uint32_t) value;
        r->nbits += 6;
    }

    r->left--;
    r->nbits -= 8;

    return (uint8_t) (r->bits >> r->nbits);
}


static uint16_t
cursor_get16(cursor_reader_t *r)
{
    unsigned  high = cursor_get(r);

    return (uint16_t) (high << 8 | cursor_get(r));
}


static uint32_t
cursor_get32(cursor_reader_t *r)
{
    uint32_t  high = cursor_get16(r);

    return high << 16 | cursor_get16(r);
}


static uint64_t
cursor_get_number(cursor_reader_t *r, uint64_t max)
{
    uint8_t   byte;
    uint64_t  value = 0;

    do {
        byte = cursor_get(r);

        if ((byte == 0x80 && value == 0) || value > max >> 7) {
            r->failed = 1;
            return 0;
        }

        value = value << 7 | (byte & 0x7f);

    } while (byte & 0x80);

    if (value > max) {
        r->failed = 1;
        return 0;
    }

    return value;
}


/* the characters, the bits that stand for nothing, and the CRC */
static int
cursor_text_valid(cursor_reader_t r)
{
    uint16_t  crc = CURSOR_CRC_START;

    while (r.left) {
        crc = cursor_crc(crc, cursor_get(&r));
    }

    return !r.failed && crc == 0 && (r.bits & ((1u << r.nbits) - 1)) == 0;
}


static void *
cursor_alloc(cursor_scratch_t *scratch, size_t n, size_t size, size_t align)
{
    void    *p;
    size_t   padding;

    padding = -(uintptr_t) scratch->p & (align - 1);

    if (scratch->left < padding || (scratch->left - padding) / size < n) {
        return NULL;
    }

    p = scratch->p + padding;
    scratch->p += padding + n * size;
    scratch->left -= padding + n * size;

    return p;
}


static flux_cursor_status_t
cursor_get_rooms(cursor_reader_t *r, cursor_scratch_t *scratch,
    flux_cursor_section_t *section)
{
    size_t     i;
    uint32_t  *rooms;

    section->nrooms = cursor_get_number(r, r->left / 4);

    if (r->failed) {
        return FLUX_CURSOR_INVALID;
    }

    rooms = cursor_alloc(scratch, section->nrooms, sizeof(uint32_t),
                         _Alignof(uint32_t));
    if (rooms == NULL) {
        return FLUX_CURSOR_TOO_LARGE;
    }

    for (i = 0; i < section->nrooms; i++) {
        rooms[i] = cursor_get32(r);
    }

    section->rooms = rooms;

    return r->failed ? FLUX_CURSOR_INVALID : FLUX_CURSOR_OK;
}


/* appends to the section's places, which end where scratch begins */
static flux_cursor_status_t
cursor_get_group(cursor_reader_t *r, cursor_scratch_t *scratch,
    flux_cursor_section_t *section)
{
    size_t                i, n;
    uint64_t              next;
    uint32_t              fingerprint;
    flux_cursor_place_t  *place;

    fingerprint = cursor_get32(r);
    n = cursor_get_number(r, r->left);

    if (r->failed || n == 0
        || (section->nplaces
            && section->places[section->nplaces - 1].fingerprint
               == fingerprint))
    {
        return FLUX_CURSOR_INVALID;
    }

    place = cursor_alloc(scratch, n, sizeof(flux_cursor_place_t),
                         _Alignof(flux_cursor_place_t));
    if (place == NULL) {
        return FLUX_CURSOR_TOO_LARGE;
    }

    next = 0;

    for (i = 0; i < n; i++) {

        if (next > UINT32_MAX) {
            return FLUX_CURSOR_INVALID;
        }

        next += cursor_get_number(r, UINT32_MAX - next);

        place[i].fingerprint = fingerprint;
        place[i].partition = (uint32_t) next++;
    }

    section->nplaces += n;

    return r->failed ? FLUX_CURSOR_INVALID : FLUX_CURSOR_OK;
}


static flux_cursor_status_t
cursor_get_section(cursor_reader_t *r, cursor_scratch_t *scratch,
    flux_cursor_section_t *section)
{
    size_t                ngroups;
    flux_cursor_status_t  status;

    status = cursor_get_rooms(r, scratch, section);

    if (status != FLUX_CURSOR_OK) {
        return status;
    }

    ngroups = cursor_get_number(r, r->left);

    section->nplaces = 0;
    section->places = cursor_alloc(scratch, 0, 1,
                                   _Alignof(flux_cursor_place_t));

    if (section->places == NULL) {
        return r->failed ? FLUX_CURSOR_INVALID : FLUX_CURSOR_TOO_LARGE;
    }

    for ( /* void */ ; ngroups; ngroups--) {
        status = cursor_get_group(r, scratch, section);

        if (status != FLUX_CURSOR_OK) {
            return status;
        }
    }

    return r->failed ? FLUX_CURSOR_INVALID : FLUX_CURSOR_OK;
}


/* offsets and checks, for places that are known by now */
static void
cursor_get_places(cursor_reader_t *r, flux_cursor_t *out)
{
    size_t                i, n;
    flux_cursor_place_t  *places;

    for (n = 0; n < out->nsections; n++) {
        places = (flux_cursor_place_t *) out->sections[n].places;

        for (i = 0; i < out->sections[n].nplaces; i++) {
            places[i].offset = (int64_t) cursor_get_number(r, INT64_MAX);
        }
    }

    for (n = 0; n < out->nsections; n++) {
        places = (flux_cursor_place_t *) out->sections[n].places;

        for (i = 0; i < out->sections[n].nplaces; i++) {
            places[i].check = cursor_get16(r);
        }
    }
}


flux_cursor_status_t
flux_cursor_decode(const char *p, size_t len, void *scratch, size_t size,
    flux_cursor_t *out)
{
    size_t                n, nsections;
    cursor_reader_t       r = { p, len / 4 * 3 + len % 4 * 3 / 4, 0, 0, 0 };
    cursor_scratch_t      space = { scratch, size };
    flux_cursor_status_t  status;

    if (len % 4 == 1 || r.left < 2 || !cursor_text_valid(r)) {
        return FLUX_CURSOR_INVALID;
    }

    r.left -= 2;       /* the CRC */

    if (cursor_get(&r) != CURSOR_VERSION) {
        return FLUX_CURSOR_INVALID;
    }

    nsections = cursor_get_number(&r, r.left);

    if (nsections > FLUX_CURSOR_SECTIONS) {
        return FLUX_CURSOR_TOO_LARGE;
    }

    out->nsections = nsections;

    for (n = 0; n < nsections; n++) {
        status = cursor_get_section(&r, &space, &out->sections[n]);

        if (status != FLUX_CURSOR_OK) {
            return status;
        }
    }

    cursor_get_places(&r, out);

    out->time = (int64_t) cursor_get_number(&r, INT64_MAX);

    return (r.failed || r.left) ? FLUX_CURSOR_INVALID : FLUX_CURSOR_OK;
}
