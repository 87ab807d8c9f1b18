/*
 * What is inflated keeps to its cap, whatever it is; and readers that come,
 * miss frames and are sent others read every byte of what they take.
 */

#include "fuzz.h"
#include "flux_deflate.h"


#define READERS  4
#define CAP      4096


typedef struct {
    flux_inflate_t  *inflate;
    uint64_t         context;
} reader_t;


static void
inflate_anything(const uint8_t *data, size_t size)
{
    size_t                  length, at, n;
    uint8_t                *out;
    flux_inflate_t         *i = flux_inflate_new(15);
    flux_deflate_status_t   status;

    must(i != NULL);

    /* several messages in one context */
    for (at = 0; at < size; at += n) {
        n = data[at] + 1u;
        n = (n < size - at) ? n : size - at;

        out = must_alloc(CAP);
        status = flux_inflate_message(i, out, CAP, &length, data + at, n);
        must(status != FLUX_DEFLATE_OK || length <= CAP);
        free(out);

        if (status != FLUX_DEFLATE_OK) {
            flux_inflate_reset(i);
        }
    }

    flux_inflate_destroy(i);
}


static void
take(reader_t *r, const flux_deflate_piece_t *piece, const uint8_t *bytes,
    const uint8_t *plain, size_t len)
{
    size_t    length;
    uint8_t  *out = must_alloc(len);

    must(flux_inflate_message(r->inflate, out, len, &length, bytes,
                              piece->length - FLUX_DEFLATE_TAIL)
         == FLUX_DEFLATE_OK);
    must(length == len);
    must(len == 0 || memcmp(out, plain, len) == 0);

    r->context = piece->leaves;
    free(out);
}


/* each frame begins with a byte that says who takes it, and how */
static void
share(const uint8_t *data, size_t size)
{
    size_t                 at, len, bound, n;
    uint8_t               *next, *alone, who;
    reader_t               readers[READERS] = { { NULL, 0 } };
    flux_deflate_t        *stream, *single;
    flux_deflate_piece_t   next_piece, alone_piece;

    stream = flux_deflate_new(6, 9, 1);
    single = flux_deflate_new(6, 15, 8);
    must(stream != NULL && single != NULL);

    for (n = 0; n < READERS; n++) {
        readers[n].inflate = flux_inflate_new(15);
        must(readers[n].inflate != NULL);
    }

    for (at = 0; at < size; at += len) {
        who = data[at++];
        len = (at < size) ? data[at] % 64u : 0;
        len = (len < size - at) ? len : size - at;

        if ((who & 0x30) == 0x30) {
            flux_deflate_restart(stream);
        }

        bound = flux_deflate_bound(stream, len);
        next = must_alloc(bound);
        must(flux_deflate_next(stream, next, bound, data + at, len,
                               &next_piece) == FLUX_DEFLATE_OK);

        bound = flux_deflate_bound(single, len);
        alone = must_alloc(bound);
        must(flux_deflate_alone(single, alone, bound, data + at, len,
                                &alone_piece) == FLUX_DEFLATE_OK);

        for (n = 0; n < READERS; n++) {

            if (who >> n & 1) {
                continue;
            }

            if (next_piece.needs == 0
                || next_piece.needs == readers[n].context)
            {
                take(&readers[n], &next_piece, next, data + at, len);

            } else {
                take(&readers[n], &alone_piece, alone, data + at, len);
            }
        }

        free(alone);
        free(next);
    }

    for (n = 0; n < READERS; n++) {
        flux_inflate_destroy(readers[n].inflate);
    }

    flux_deflate_destroy(single);
    flux_deflate_destroy(stream);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    inflate_anything(data, size);
    share(data, size);

    return 0;
}
