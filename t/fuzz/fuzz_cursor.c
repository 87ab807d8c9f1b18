/*
 * flux_cursor_decode() takes anything, keeps to its scratch, and says OK only
 * to what flux_cursor_encode() writes.
 *
 * The input is a cursor's text; then, so that the checksum is no wall, its
 * characters by their six bits, sealed here.
 */

#include "fuzz.h"
#include "flux_cursor.h"


static const char  alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";


static flux_cursor_status_t
check(const char *text, size_t len, size_t size)
{
    char                  *again;
    void                  *scratch;
    flux_cursor_t          cursor;
    flux_cursor_status_t   status;

    scratch = must_alloc(size);
    status = flux_cursor_decode(text, len, scratch, size, &cursor);

    if (status == FLUX_CURSOR_OK) {
        must(flux_cursor_size(&cursor) >= len);

        again = must_alloc(flux_cursor_size(&cursor));
        must(flux_cursor_encode(again, &cursor) == len);
        must(memcmp(again, text, len) == 0);
        free(again);
    }

    free(scratch);

    return status;
}


static void
check_sealed(const uint8_t *data, size_t size)
{
    char                  *text;
    size_t                 i, len = size + 2;
    unsigned               bit, crc = 0xfff;
    flux_cursor_status_t   status;

    text = must_alloc(len);

    for (i = 0; i < size; i++) {
        text[i] = alphabet[data[i] & 0x3f];
        crc ^= (unsigned) (data[i] & 0x3f) << 6;

        for (bit = 0; bit < 6; bit++) {
            crc = (crc << 1 ^ ((crc & 0x800) ? 0x80f : 0)) & 0xfff;
        }
    }

    text[size] = alphabet[crc >> 6];
    text[size + 1] = alphabet[crc & 0x3f];

    status = check(text, len, flux_cursor_scratch_size(len));

    if (status == FLUX_CURSOR_OK) {
        status = check(text, len, size);
        must(status != FLUX_CURSOR_INVALID);
    }

    free(text);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check((const char *) data, size, flux_cursor_scratch_size(size));
    check((const char *) data, size, size);
    check_sealed(data, size);

    return 0;
}
