#include "flux_pointer.h"

#define FLUX_POINTER_END      -1        /* of a string or a token */
#define FLUX_POINTER_INVALID  -2        /* half a surrogate pair */


static const uint8_t *
flux_pointer_space(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) {
        p++;
    }

    return p;
}


/* From the byte behind the opening quote to the one behind the closing. */
static const uint8_t *
flux_pointer_skip_string(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p != '"') {
        p += (*p == '\\') ? 2 : 1;
    }

    return p < end ? p + 1 : end;
}


static const uint8_t *
flux_pointer_skip_value(const uint8_t *p, const uint8_t *end)
{
    size_t  depth = 0;

    while (p < end) {

        switch (*p) {

        case '"':
            p = flux_pointer_skip_string(p + 1, end);
            break;

        case '{':
        case '[':
            depth++;
            p++;
            break;

        case '}':
        case ']':
            if (depth == 0) {
                return p;
            }

            depth--;
            p++;
            break;

        case ',':
            if (depth == 0) {
                return p;
            }

            p++;
            continue;

        case ':':
        case ' ':
        case '\t':
        case '\n':
        case '\r':
            p++;
            continue;

        default:
            while (p < end && *p != ',' && *p != '}' && *p != ']'
                   && *p != ' ' && *p != '\t' && *p != '\n' && *p != '\r')
            {
                p++;
            }
        }

        if (depth == 0) {
            return p;
        }
    }

    return end;
}


static uint32_t
flux_pointer_hex(const uint8_t *p)
{
    uint32_t  n = 0;
    size_t    i;

    for (i = 0; i < 4; i++) {
        n = n << 4 | (uint32_t) (p[i] <= '9' ? p[i] - '0'
                                             : (p[i] | 0x20) - 'a' + 10);
    }

    return n;
}


static int
flux_pointer_utf8(uint32_t c, uint8_t *dst)
{
    if (c < 0x80) {
        dst[0] = (uint8_t) c;
        return 1;
    }

    if (c < 0x800) {
        dst[0] = (uint8_t) (0xc0 | c >> 6);
        dst[1] = (uint8_t) (0x80 | (c & 0x3f));
        return 2;
    }

    if (c < 0x10000) {
        dst[0] = (uint8_t) (0xe0 | c >> 12);
        dst[1] = (uint8_t) (0x80 | (c >> 6 & 0x3f));
        dst[2] = (uint8_t) (0x80 | (c & 0x3f));
        return 3;
    }

    dst[0] = (uint8_t) (0xf0 | c >> 18);
    dst[1] = (uint8_t) (0x80 | (c >> 12 & 0x3f));
    dst[2] = (uint8_t) (0x80 | (c >> 6 & 0x3f));
    dst[3] = (uint8_t) (0x80 | (c & 0x3f));

    return 4;
}


/* A \u escape, from the four digits on. */
static int
flux_pointer_unicode(const uint8_t **pp, const uint8_t *end, uint8_t *dst)
{
    uint32_t        c, low;
    const uint8_t  *p = *pp;

    c = flux_pointer_hex(p);
    *pp = p + 4;

    if (c < 0xd800 || c > 0xdfff) {
        return flux_pointer_utf8(c, dst);
    }

    if (c > 0xdbff || end - p < 10 || p[4] != '\\' || p[5] != 'u') {
        return FLUX_POINTER_INVALID;
    }

    low = flux_pointer_hex(p + 6);

    if (low < 0xdc00 || low > 0xdfff) {
        return FLUX_POINTER_INVALID;
    }

    *pp = p + 10;

    return flux_pointer_utf8(0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00),
                             dst);
}


/* The next byte of a string, or all bytes of an escape: how many. */
static int
flux_pointer_next(const uint8_t **pp, const uint8_t *end, uint8_t *dst)
{
    const uint8_t  *p = *pp;

    if (p >= end || *p == '"') {
        return FLUX_POINTER_END;
    }

    if (*p != '\\') {
        dst[0] = *p;
        *pp = p + 1;
        return 1;
    }

    *pp = p + 2;

    switch (p[1]) {

    case 'b':
        dst[0] = '\b';
        return 1;

    case 'f':
        dst[0] = '\f';
        return 1;

    case 'n':
        dst[0] = '\n';
        return 1;

    case 'r':
        dst[0] = '\r';
        return 1;

    case 't':
        dst[0] = '\t';
        return 1;

    case 'u':
        return flux_pointer_unicode(pp, end, dst);

    default:
        dst[0] = p[1];
        return 1;
    }
}


/* RFC 6901 section 4: ~1 is a slash, ~0 a tilde. */
static int
flux_pointer_token_byte(const uint8_t **pp, const uint8_t *end)
{
    const uint8_t  *p = *pp;

    if (p == end) {
        return FLUX_POINTER_END;
    }

    if (*p == '~' && p + 1 < end) {
        *pp = p + 2;
        return p[1] == '1' ? '/' : '~';
    }

    *pp = p + 1;

    return *p;
}


static int
flux_pointer_name_is(const uint8_t *name, const uint8_t *end,
    const uint8_t *token, const uint8_t *token_end)
{
    int      i, n;
    uint8_t  bytes[4];

    for ( ;; ) {
        n = flux_pointer_next(&name, end, bytes);

        if (n == FLUX_POINTER_END) {
            return token == token_end;
        }

        for (i = 0; i < n; i++) {
            if (flux_pointer_token_byte(&token, token_end) != bytes[i]) {
                return 0;
            }
        }

        if (n < 0) {
            return 0;
        }
    }
}


static const uint8_t *
flux_pointer_member(const uint8_t *p, const uint8_t *end,
    const uint8_t *token, const uint8_t *token_end)
{
    const uint8_t  *name, *found = NULL;

    for ( ;; ) {
        p = flux_pointer_space(p, end);

        if (p >= end || *p != '"') {
            return found;
        }

        name = p + 1;
        p = flux_pointer_skip_string(name, end);
        p = flux_pointer_space(p, end) + 1;         /* the colon */
        p = flux_pointer_space(p, end);

        if (flux_pointer_name_is(name, end, token, token_end)) {
            found = p;
        }

        p = flux_pointer_space(flux_pointer_skip_value(p, end), end);

        if (p >= end || *p != ',') {
            return found;
        }

        p++;
    }
}


static const uint8_t *
flux_pointer_element(const uint8_t *p, const uint8_t *end,
    const uint8_t *token, const uint8_t *token_end)
{
    size_t  index = 0;

    if (token == token_end || token_end - token > 9
        || (*token == '0' && token_end - token > 1))
    {
        return NULL;
    }

    for ( /* void */ ; token < token_end; token++) {
        if (*token < '0' || *token > '9') {
            return NULL;
        }

        index = index * 10 + (size_t) (*token - '0');
    }

    p = flux_pointer_space(p, end);

    if (p < end && *p == ']') {
        return NULL;
    }

    while (index--) {
        p = flux_pointer_space(flux_pointer_skip_value(p, end), end);

        if (p >= end || *p != ',') {
            return NULL;
        }

        p = flux_pointer_space(p + 1, end);
    }

    return p;
}


static ptrdiff_t
flux_pointer_string(const uint8_t *p, const uint8_t *end, uint8_t *dst,
    size_t size)
{
    int      i, n;
    size_t   length = 0;
    uint8_t  bytes[4];

    while ((n = flux_pointer_next(&p, end, bytes)) > 0) {

        if (size - length < (size_t) n) {
            return -1;
        }

        for (i = 0; i < n; i++) {
            dst[length++] = bytes[i];
        }
    }

    return n == FLUX_POINTER_END ? (ptrdiff_t) length : -1;
}


static const uint8_t *
flux_pointer_find(const uint8_t *json, size_t length, const uint8_t *pointer,
    size_t pointer_length)
{
    const uint8_t  *p, *end, *token, *last;

    end = json + length;
    last = pointer + pointer_length;
    p = flux_pointer_space(json, end);

    while (pointer < last) {
        token = pointer + 1;                        /* the slash */

        for (pointer = token; pointer < last && *pointer != '/'; pointer++) {
            /* void */
        }

        if (*p == '{') {
            p = flux_pointer_member(p + 1, end, token, pointer);

        } else if (*p == '[') {
            p = flux_pointer_element(p + 1, end, token, pointer);

        } else {
            return NULL;
        }

        if (p == NULL || p >= end) {
            return NULL;
        }
    }

    return p;
}


ptrdiff_t
flux_pointer_text(const uint8_t *json, size_t length, const uint8_t *pointer,
    size_t pointer_length, uint8_t *dst, size_t size)
{
    size_t          i, n;
    const uint8_t  *p, *end = json + length;

    p = flux_pointer_find(json, length, pointer, pointer_length);

    if (p == NULL) {
        return -1;
    }

    if (*p == '"') {
        return flux_pointer_string(p + 1, end, dst, size);
    }

    if (*p == '{' || *p == '[' || *p == 'n') {
        return -1;
    }

    n = (size_t) (flux_pointer_skip_value(p, end) - p);

    if (n > size) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        dst[i] = p[i];
    }

    return (ptrdiff_t) n;
}


const uint8_t *
flux_pointer_value(const uint8_t *json, size_t length, const uint8_t *pointer,
    size_t pointer_length, size_t *size)
{
    const uint8_t  *p;

    p = flux_pointer_find(json, length, pointer, pointer_length);

    if (p != NULL) {
        *size = (size_t) (flux_pointer_skip_value(p, json + length) - p);
    }

    return p;
}
