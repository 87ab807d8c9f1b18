#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "flux_deflate.h"


/*
 * A restart costs a reader in the context as much as one outside of it pays
 * more for so many pieces (bench/deflate.c: 3 for ten keys, 5 for a hundred).
 */
#define DEFLATE_RESTART_PIECES  4

/* an empty stored block and what is left of a byte, beside deflateBound() */
#define DEFLATE_FLUSH_MAX       16


struct flux_deflate_s {
    z_stream  z;
    uint64_t  context;         /* what the last piece left, never 0 again */
    size_t    plain;           /* bytes since the last start */
    size_t    pieces;          /* since then; 0: the next needs no context */
    size_t    waited;          /* pieces that readers outside have taken */
};


struct flux_inflate_s {
    z_stream  z;
};


/* a stored block of no bytes, RFC 1951 section 3.2.4 */
static const uint8_t  deflate_empty[] = { 0, 0, 0, 0xff, 0xff };

#define DEFLATE_TAIL_BYTES  (deflate_empty + 1)


flux_deflate_t *
flux_deflate_new(int level, int window_bits, int memory_level)
{
    flux_deflate_t  *d;

    if (window_bits < 9 || window_bits > MAX_WBITS || level < 1) {
        return NULL;
    }

    d = calloc(1, sizeof(flux_deflate_t));

    if (d == NULL) {
        return NULL;
    }

    if (deflateInit2(&d->z, level, Z_DEFLATED, -window_bits, memory_level,
                     Z_DEFAULT_STRATEGY)
        != Z_OK)
    {
        free(d);
        return NULL;
    }

    return d;
}


void
flux_deflate_destroy(flux_deflate_t *d)
{
    if (d) {
        (void) deflateEnd(&d->z);
        free(d);
    }
}


size_t
flux_deflate_bound(flux_deflate_t *d, size_t len)
{
    return deflateBound(&d->z, len) + DEFLATE_FLUSH_MAX;
}


uint64_t
flux_deflate_context(const flux_deflate_t *d)
{
    return d->context;
}


void
flux_deflate_follow(flux_deflate_t *d, uint64_t context)
{
    d->context = context;
}


void
flux_deflate_restart(flux_deflate_t *d)
{
    d->waited = 0;

    if (d->pieces) {
        (void) deflateReset(&d->z);
        d->pieces = 0;
        d->plain = 0;
    }
}


int
flux_deflate_restart_due(flux_deflate_t *d, size_t inside, size_t outside)
{
    if (outside == 0 || d->pieces == 0) {
        d->waited = 0;
        return 0;
    }

    d->waited += outside;

    return d->plain >= FLUX_DEFLATE_RESTART
           || d->waited >= inside * DEFLATE_RESTART_PIECES;
}


/* zlib counts in unsigned int */
static unsigned
deflate_part(size_t len)
{
    return (len > UINT_MAX) ? UINT_MAX : (unsigned) len;
}


static flux_deflate_status_t
deflate_nothing(uint8_t *dst, size_t size, size_t *length)
{
    if (size < sizeof(deflate_empty)) {
        return FLUX_DEFLATE_TOO_LARGE;
    }

    memcpy(dst, deflate_empty, sizeof(deflate_empty));
    *length = sizeof(deflate_empty);

    return FLUX_DEFLATE_OK;
}


/* all of it, and a sync flush */
static flux_deflate_status_t
deflate_run(z_stream *z, uint8_t *dst, size_t size, const uint8_t *p,
    size_t len, size_t *length)
{
    int       flush;
    size_t    left = size;
    unsigned  in, out;

    if (len == 0) {
        /* zlib writes nothing when a flush follows another */
        return deflate_nothing(dst, size, length);
    }

    z->next_in = (Bytef *) p;
    z->next_out = dst;

    do {
        in = deflate_part(len);
        out = deflate_part(left);
        flush = (in == len) ? Z_SYNC_FLUSH : Z_NO_FLUSH;

        z->avail_in = in;
        z->avail_out = out;

        (void) deflate(z, flush);

        len -= in - z->avail_in;
        left -= out - z->avail_out;

        /* room left in the output means that the flush is complete */
        if (left == 0) {
            return FLUX_DEFLATE_TOO_LARGE;
        }

    } while (len || flush != Z_SYNC_FLUSH || z->avail_out == 0);

    *length = size - left;

    return FLUX_DEFLATE_OK;
}


flux_deflate_status_t
flux_deflate_next(flux_deflate_t *d, uint8_t *dst, size_t size,
    const uint8_t *p, size_t len, flux_deflate_piece_t *piece)
{
    flux_deflate_status_t  status;

    piece->needs = d->pieces ? d->context : 0;

    d->context++;
    d->pieces++;
    d->plain += len;

    status = deflate_run(&d->z, dst, size, p, len, &piece->length);

    if (status != FLUX_DEFLATE_OK) {
        flux_deflate_restart(d);
        return status;
    }

    piece->leaves = d->context;

    return FLUX_DEFLATE_OK;
}


flux_deflate_status_t
flux_deflate_alone(flux_deflate_t *d, uint8_t *dst, size_t size,
    const uint8_t *p, size_t len, flux_deflate_piece_t *piece)
{
    flux_deflate_status_t  status;

    flux_deflate_restart(d);

    status = flux_deflate_next(d, dst, size, p, len, piece);
    piece->leaves = 0;

    flux_deflate_restart(d);

    return status;
}


flux_inflate_t *
flux_inflate_new(int window_bits)
{
    flux_inflate_t  *i;

    if (window_bits < 8 || window_bits > MAX_WBITS) {
        return NULL;
    }

    i = calloc(1, sizeof(flux_inflate_t));

    if (i == NULL) {
        return NULL;
    }

    if (inflateInit2(&i->z, -window_bits) != Z_OK) {
        free(i);
        return NULL;
    }

    return i;
}


void
flux_inflate_destroy(flux_inflate_t *i)
{
    if (i) {
        (void) inflateEnd(&i->z);
        free(i);
    }
}


void
flux_inflate_reset(flux_inflate_t *i)
{
    (void) inflateReset(&i->z);
}


/* p into z's output, which has been set */
static flux_deflate_status_t
inflate_run(z_stream *z, const uint8_t *p, size_t len)
{
    int      rc, full = 0;
    uint8_t  spill, *end = NULL;

    z->next_in = (Bytef *) p;
    z->avail_in = (unsigned) len;

    for ( ;; ) {

        if (z->avail_out == 0) {
            /* is there more, or was that all? */
            full = 1;
            end = z->next_out;
            z->next_out = &spill;
            z->avail_out = 1;
        }

        rc = inflate(z, Z_SYNC_FLUSH);

        if (full && z->avail_out == 0) {
            return FLUX_DEFLATE_TOO_LARGE;
        }

        if (rc == Z_STREAM_END) {
            /* a final block ends no message, RFC 7692 section 7.2.3.4 */
            rc = inflateResetKeep(z);
        }

        if (rc != Z_OK && rc != Z_BUF_ERROR) {
            return FLUX_DEFLATE_INVALID;
        }

        if (z->avail_in == 0 && z->avail_out) {
            break;
        }
    }

    if (full) {
        z->next_out = end;
        z->avail_out = 0;
    }

    return FLUX_DEFLATE_OK;
}


flux_deflate_status_t
flux_inflate_message(flux_inflate_t *i, uint8_t *dst, size_t size,
    size_t *length, const uint8_t *p, size_t len)
{
    z_stream               *z = &i->z;
    flux_deflate_status_t   status;

    if (len > UINT_MAX || size > UINT_MAX) {
        return FLUX_DEFLATE_TOO_LARGE;
    }

    z->next_out = dst;
    z->avail_out = (unsigned) size;

    status = inflate_run(z, p, len);

    if (status == FLUX_DEFLATE_OK) {
        status = inflate_run(z, DEFLATE_TAIL_BYTES, FLUX_DEFLATE_TAIL);
    }

    if (status != FLUX_DEFLATE_OK) {
        return status;
    }

    /* 128: at the end of a block, see inflate() in zlib.h */
    if (!(z->data_type & 128)) {
        return FLUX_DEFLATE_INVALID;
    }

    *length = size - z->avail_out;

    return FLUX_DEFLATE_OK;
}
