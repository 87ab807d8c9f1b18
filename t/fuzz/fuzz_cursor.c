/*
 * flux_cursor_decode() takes anything, keeps to its scratch, and says OK only
 * to what flux_cursor_encode() writes.
 *
 * The input is a cursor's text; then, so that the checksum is no wall, the
 * bytes of one, sealed here.
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
    size_t                 i, n, len;
    uint8_t               *raw;
    unsigned               bit;
    uint16_t               crc = 0xffff;
    flux_cursor_status_t   status;

    raw = must_alloc(size + 3);
    memcpy(raw, data, size);

    for (i = 0; i < size; i++) {
        crc ^= (uint16_t) (raw[i] << 8);

        for (bit = 0; bit < 8; bit++) {
            crc = (uint16_t) (crc << 1 ^ ((crc & 0x8000) ? 0x1021 : 0));
        }
    }

    raw[size] = (uint8_t) (crc >> 8);
    raw[size + 1] = (uint8_t) crc;
    raw[size + 2] = 0;

    len = ((size + 2) * 8 + 5) / 6;
    text = must_alloc(len);

    for (i = n = 0; n < len; i += 6) {
        text[n++] = alphabet[(raw[i / 8] << 8 | raw[i / 8 + 1])
                             >> (10 - i % 8) & 0x3f];
    }

    status = check(text, len, flux_cursor_scratch_size(len));

    if (status == FLUX_CURSOR_OK) {
        status = check(text, len, size);
        must(status != FLUX_CURSOR_INVALID);
    }

    free(text);
    free(raw);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check((const char *) data, size, flux_cursor_scratch_size(size));
    check((const char *) data, size, size);
    check_sealed(data, size);

    return 0;
}
