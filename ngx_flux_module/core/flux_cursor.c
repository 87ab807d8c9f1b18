#include "flux_cursor.h"


/*
 * The text is of base64url's characters (RFC 4648 section 5), six bits each,
 * and nothing in it shares a character with its neighbour:
 *
 *   version                                     one character
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
 *   time                                        number
 *   log                                         32 bits    } in version 3
 *   ordinal                                     number     } alone, not 0
 *   for each place
 *       offset                                  number
 *       check                                   16 bits
 *   CRC                                         12 bits, of all before it
 *
 * What changes from frame to frame stands behind what does not: of one record
 * more, some six characters do, which is what a compressed stream pays for.
 * All is big endian, with zeros in front to fill a character; a number is of
 * five bits a character, 0x20 set in all but the last, no leading zeros.
 */

#define CURSOR_VERSION      2
#define CURSOR_VERSION_TOLD 3

#define CURSOR_CRC_START    0xfff
#define CURSOR_CRC_LENGTH   2

#define CURSOR_MORE         0x20

/* characters of a number at most: 32 and 63 bits */
#define CURSOR_NUMBER32     7
#define CURSOR_NUMBER64     13

/* of a hash, and of a check */
#define CURSOR_LENGTH32     6
#define CURSOR_LENGTH16     3

/* what a place takes at least: its partition, its offset, its check */
#define CURSOR_PLACE_LEAST  (1 + 1 + CURSOR_LENGTH16)


typedef struct {
    char        *dst;
    unsigned     crc;
} cursor_writer_t;


typedef struct {
    const char  *p;
    size_t       left;
    int          failed;
} cursor_reader_t;


typedef struct {
    uint8_t     *p;
    size_t       left;
} cursor_scratch_t;


static const char  cursor_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";


/* of twelve bits, polynomial 0x80f */
static unsigned
cursor_crc(unsigned crc, unsigned six)
{
    int  bit;

    crc ^= six << 6;

    for (bit = 0; bit < 6; bit++) {
        crc = crc << 1 ^ ((crc & 0x800) ? 0x80f : 0);
    }

    return crc & 0xfff;
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

    size = 1 + CURSOR_NUMBER32 + CURSOR_NUMBER64 + CURSOR_LENGTH32
           + CURSOR_NUMBER64 + CURSOR_CRC_LENGTH;

    for (i = 0; i < cursor->nsections; i++) {
        section = &cursor->sections[i];

        /* each place in a group of its own, at worst */
        size += 2 * CURSOR_NUMBER32 + section->nrooms * CURSOR_LENGTH32
                + section->nplaces * (CURSOR_LENGTH32 + 2 * CURSOR_NUMBER32
                                      + CURSOR_NUMBER64 + CURSOR_LENGTH16);
    }

    return size;
}


static void
cursor_put(cursor_writer_t *w, unsigned six)
{
    w->crc = cursor_crc(w->crc, six);
    *w->dst++ = cursor_alphabet[six];
}


/* the low bits of a value in so many characters */
static void
cursor_put_bits(cursor_writer_t *w, uint32_t value, unsigned length)
{
    while (length--) {
        cursor_put(w, (uint64_t) value >> length * 6 & 0x3f);
    }
}


static void
cursor_put_number(cursor_writer_t *w, uint64_t value)
{
    int  shift = 0;

    while (shift < 60 && value >> (shift + 5)) {
        shift += 5;
    }

    for ( /* void */ ; shift; shift -= 5) {
        cursor_put(w, CURSOR_MORE | (value >> shift & 0x1f));
    }

    cursor_put(w, value & 0x1f);
}


static void
cursor_put_group(cursor_writer_t *w, const flux_cursor_place_t *places,
    size_t n)
{
    size_t  i;

    cursor_put_bits(w, places[0].fingerprint, CURSOR_LENGTH32);
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
        cursor_put_bits(w, section->rooms[i], CURSOR_LENGTH32);
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
    cursor_writer_t               w = { dst, CURSOR_CRC_START };
    const flux_cursor_section_t  *section;

    cursor_put(&w, cursor->told ? CURSOR_VERSION_TOLD : CURSOR_VERSION);
    cursor_put_number(&w, cursor->nsections);

    for (n = 0; n < cursor->nsections; n++) {
        cursor_put_section(&w, &cursor->sections[n]);
    }

    cursor_put_number(&w, (uint64_t) cursor->time);

    if (cursor->told) {
        cursor_put_bits(&w, cursor->log, CURSOR_LENGTH32);
        cursor_put_number(&w, cursor->told);
    }

    for (n = 0; n < cursor->nsections; n++) {
        section = &cursor->sections[n];

        for (i = 0; i < section->nplaces; i++) {
            cursor_put_number(&w, (uint64_t) section->places[i].offset);
            cursor_put_bits(&w, section->places[i].check, CURSOR_LENGTH16);
        }
    }

    cursor_put_bits(&w, w.crc, CURSOR_CRC_LENGTH);

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


static unsigned
cursor_get(cursor_reader_t *r)
{
    int  value;

    if (r->left == 0) {
        r->failed = 1;
        return 0;
    }

    r->left--;
    value = cursor_char_value(*r->p++);

    if (value < 0) {
        r->failed = 1;
        return 0;
    }

    return (unsigned) value;
}


/* a value of so many bits, in as few characters as hold them */
static uint32_t
cursor_get_bits(cursor_reader_t *r, unsigned bits)
{
    unsigned  i;
    uint64_t  value = 0;

    for (i = 0; i < bits; i += 6) {
        value = value << 6 | cursor_get(r);
    }

    if (value >> bits) {
        r->failed = 1;
        return 0;
    }

    return (uint32_t) value;
}


static uint64_t
cursor_get_number(cursor_reader_t *r, uint64_t max)
{
    unsigned  six;
    uint64_t  value = 0;

    do {
        six = cursor_get(r);

        if ((six == CURSOR_MORE && value == 0) || value > max >> 5) {
            r->failed = 1;
            return 0;
        }

        value = value << 5 | (six & (CURSOR_MORE - 1));

    } while (six & CURSOR_MORE);

    if (value > max) {
        r->failed = 1;
        return 0;
    }

    return value;
}


/* the characters and the CRC, of which r has at least the latter */
static int
cursor_text_valid(cursor_reader_t r)
{
    unsigned  crc = CURSOR_CRC_START;

    while (r.left > CURSOR_CRC_LENGTH) {
        crc = cursor_crc(crc, cursor_get(&r));
    }

    return cursor_get_bits(&r, CURSOR_CRC_LENGTH * 6) == crc && !r.failed;
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

    section->nrooms = cursor_get_number(r, r->left / CURSOR_LENGTH32);

    if (r->failed) {
        return FLUX_CURSOR_INVALID;
    }

    rooms = cursor_alloc(scratch, section->nrooms, sizeof(uint32_t),
                         _Alignof(uint32_t));
    if (rooms == NULL) {
        return FLUX_CURSOR_TOO_LARGE;
    }

    for (i = 0; i < section->nrooms; i++) {
        rooms[i] = cursor_get_bits(r, 32);
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

    fingerprint = cursor_get_bits(r, 32);
    n = cursor_get_number(r, r->left / CURSOR_PLACE_LEAST);

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
            places[i].check = (uint16_t) cursor_get_bits(r, 16);
        }
    }
}


flux_cursor_status_t
flux_cursor_decode(const char *p, size_t len, void *scratch, size_t size,
    flux_cursor_t *out)
{
    size_t                n, nsections;
    unsigned              version;
    cursor_reader_t       r = { p, len, 0 };
    cursor_scratch_t      space = { scratch, size };
    flux_cursor_status_t  status;

    if (len < CURSOR_CRC_LENGTH || !cursor_text_valid(r)) {
        return FLUX_CURSOR_INVALID;
    }

    r.left -= CURSOR_CRC_LENGTH;

    version = cursor_get(&r);

    if (version != CURSOR_VERSION && version != CURSOR_VERSION_TOLD) {
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

    out->time = (int64_t) cursor_get_number(&r, INT64_MAX);
    out->log = 0;
    out->told = 0;

    if (version == CURSOR_VERSION_TOLD) {
        out->log = cursor_get_bits(&r, 32);
        out->told = cursor_get_number(&r, INT64_MAX);

        if (out->told == 0) {
            return FLUX_CURSOR_INVALID;
        }
    }

    cursor_get_places(&r, out);

    return (r.failed || r.left) ? FLUX_CURSOR_INVALID : FLUX_CURSOR_OK;
}
