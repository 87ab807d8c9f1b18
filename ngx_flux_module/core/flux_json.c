#include "flux_json.h"
#include "flux_utf8.h"

#if (__SSE2__)
#include <emmintrin.h>
#endif


/* a byte in all eight places of a word */
#define JSON_BYTES(c)  (0x0101010101010101 * (uint64_t) (c))

#define JSON_BITS      64


/* one bit per open container: is it an object? */
typedef struct {
    unsigned  depth;
    uint64_t  objects[FLUX_JSON_DEPTH_MAX / JSON_BITS];
} json_stack_t;


static const char  json_hex[] = "0123456789abcdef";


static const uint8_t *
json_space(const uint8_t *p, const uint8_t *end, size_t *newlines)
{
    for ( /* void */ ; p < end && *p <= ' '; p++) {

        if (*p == '\n' || *p == '\r') {
            (*newlines)++;

        } else if (*p != ' ' && *p != '\t') {
            return p;
        }
    }

    return p;
}


/* up to the first quote, backslash, control character or byte of UTF-8 */
static const uint8_t *
json_plain(const uint8_t *p, const uint8_t *end)
{
#if (__SSE2__)
    int      mask;
    __m128i  bytes, hits;

    while (end - p >= 16) {
        bytes = _mm_loadu_si128((const __m128i *) p);

        /* as signed bytes, those from 0x80 on are less than a space, too */
        hits = _mm_cmplt_epi8(bytes, _mm_set1_epi8(' '));
        hits = _mm_or_si128(hits, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
        hits = _mm_or_si128(hits, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        mask = _mm_movemask_epi8(hits);

        if (mask) {
            return p + __builtin_ctz((unsigned) mask);
        }

        p += 16;
    }

#else
    uint64_t  word, hits;

    while (end - p >= 8) {
        memcpy(&word, p, sizeof(word));

        hits = word | (word - JSON_BYTES(' '))
               | ((word ^ JSON_BYTES('"')) - JSON_BYTES(1))
               | ((word ^ JSON_BYTES('\\')) - JSON_BYTES(1));

        if (hits & JSON_BYTES(0x80)) {
            break;
        }

        p += 8;
    }
#endif

    while (p < end && *p >= ' ' && *p < 0x80 && *p != '"' && *p != '\\') {
        p++;
    }

    return p;
}


static int
json_is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}


/* p is behind the backslash; returns NULL if that is no escape */
static const uint8_t *
json_escape_end(const uint8_t *p, const uint8_t *end)
{
    if (p == end) {
        return NULL;
    }

    switch (*p) {

    case '"': case '\\': case '/':
    case 'b': case 'f': case 'n': case 'r': case 't':
        return p + 1;

    case 'u':
        if (end - p >= 5 && json_is_hex(p[1]) && json_is_hex(p[2])
            && json_is_hex(p[3]) && json_is_hex(p[4]))
        {
            return p + 5;
        }
    }

    return NULL;
}


/* p is behind the opening quote; returns NULL and sets *fault on an error */
static const uint8_t *
json_string(const uint8_t *p, const uint8_t *end, flux_json_status_t *fault)
{
    int  length;

    for ( ;; ) {
        p = json_plain(p, end);

        if (p == end || *p < ' ') {
            return NULL;
        }

        if (*p == '"') {
            return p + 1;
        }

        if (*p == '\\') {
            p = json_escape_end(p + 1, end);

            if (p == NULL) {
                return NULL;
            }

            continue;
        }

        do {
            length = flux_utf8_sequence(p, end);

            if (length <= 0) {
                *fault = FLUX_JSON_UTF8;
                return NULL;
            }

            p += length;

        } while (p < end && *p >= 0x80);
    }
}


static const uint8_t *
json_digits(const uint8_t *p, const uint8_t *end)
{
#if (__SSE2__)
    int      mask;
    __m128i  bytes, others;

    /* one branch instead of one that is hard to predict per number */
    while (end - p >= 16) {
        bytes = _mm_loadu_si128((const __m128i *) p);

        others = _mm_or_si128(_mm_cmplt_epi8(bytes, _mm_set1_epi8('0')),
                              _mm_cmpgt_epi8(bytes, _mm_set1_epi8('9')));
        mask = _mm_movemask_epi8(others);

        if (mask) {
            return p + __builtin_ctz((unsigned) mask);
        }

        p += 16;
    }
#endif

    while (p < end && (uint8_t) (*p - '0') <= 9) {
        p++;
    }

    return p;
}


static const uint8_t *
json_number(const uint8_t *p, const uint8_t *end)
{
    const uint8_t  *digits;

    digits = (*p == '-') ? p + 1 : p;
    p = json_digits(digits, end);

    if (p == digits || (*digits == '0' && p != digits + 1)) {
        return NULL;
    }

    if (p < end && *p == '.') {
        digits = p + 1;
        p = json_digits(digits, end);

        if (p == digits) {
            return NULL;
        }
    }

    if (p < end && (*p | 0x20) == 'e') {
        digits = p + 1;

        if (digits < end && (*digits == '+' || *digits == '-')) {
            digits++;
        }

        p = json_digits(digits, end);

        if (p == digits) {
            return NULL;
        }
    }

    return p;
}


static const uint8_t *
json_word(const uint8_t *p, const uint8_t *end, const char *word, size_t len)
{
    if ((size_t) (end - p) < len || memcmp(p, word, len) != 0) {
        return NULL;
    }

    return p + len;
}


/* a value that is no container */
static const uint8_t *
json_scalar(const uint8_t *p, const uint8_t *end, flux_json_status_t *fault)
{
    switch (*p) {

    case '"':
        return json_string(p + 1, end, fault);

    case '-':
    case '0': case '1': case '2': case '3': case '4':
    case '5': case '6': case '7': case '8': case '9':
        return json_number(p, end);

    case 't':
        return json_word(p, end, "true", 4);

    case 'f':
        return json_word(p, end, "false", 5);

    case 'n':
        return json_word(p, end, "null", 4);
    }

    return NULL;
}


/* a member's name, and on to its value */
static const uint8_t *
json_name(const uint8_t *p, const uint8_t *end, size_t *newlines,
    flux_json_status_t *fault)
{
    if (p == end || *p != '"') {
        return NULL;
    }

    p = json_string(p + 1, end, fault);

    if (p == NULL) {
        return NULL;
    }

    p = json_space(p, end, newlines);

    if (p == end || *p != ':') {
        return NULL;
    }

    return json_space(p + 1, end, newlines);
}


static void
json_push(json_stack_t *stack, int object)
{
    uint64_t  *word = &stack->objects[stack->depth / JSON_BITS];
    uint64_t   bit = (uint64_t) 1 << stack->depth % JSON_BITS;

    if (bit == 1) {
        /* nothing is in the word yet: most values need one of all */
        *word = 0;
    }

    *word = object ? *word | bit : *word & ~bit;

    stack->depth++;
}


/* what ends the innermost container */
static uint8_t
json_closing(const json_stack_t *stack)
{
    unsigned  at = stack->depth - 1;

    return (stack->objects[at / JSON_BITS] >> at % JSON_BITS & 1) ? '}' : ']';
}


/* closes what ends here; returns the next value or name, NULL on an error */
static const uint8_t *
json_next(const uint8_t *p, const uint8_t *end, json_stack_t *stack,
    size_t *newlines)
{
    for ( ;; ) {
        p = json_space(p, end, newlines);

        if (stack->depth == 0) {
            return (p == end) ? p : NULL;
        }

        if (p == end) {
            return NULL;
        }

        if (*p == ',') {
            return json_space(p + 1, end, newlines);
        }

        if (*p != json_closing(stack)) {
            return NULL;
        }

        stack->depth--;
        p++;
    }
}


flux_json_status_t
flux_json_check(const uint8_t *p, size_t len, size_t *newlines)
{
    int                 whole;
    size_t              lines = 0;
    const uint8_t      *end;
    json_stack_t        stack;
    flux_json_status_t  fault = FLUX_JSON_SYNTAX;

    stack.depth = 0;

    if (len == 0) {
        return FLUX_JSON_EMPTY;
    }

    end = p + len;
    p = json_space(p, end, &lines);

    if (p == end) {
        return FLUX_JSON_EMPTY;
    }

    for ( ;; ) {

        if (p == end) {
            return FLUX_JSON_SYNTAX;
        }

        if (*p == '{' || *p == '[') {

            if (stack.depth == FLUX_JSON_DEPTH_MAX) {
                return FLUX_JSON_DEPTH;
            }

            json_push(&stack, *p == '{');
            p = json_space(p + 1, end, &lines);
            whole = (p < end && *p == json_closing(&stack));

        } else {
            p = json_scalar(p, end, &fault);

            if (p == NULL) {
                return fault;
            }

            whole = 1;
        }

        if (whole) {
            p = json_next(p, end, &stack, &lines);

            if (p == NULL) {
                return FLUX_JSON_SYNTAX;
            }

            if (stack.depth == 0) {
                *newlines = lines;
                return FLUX_JSON_OK;
            }
        }

        if (json_closing(&stack) == '}') {
            p = json_name(p, end, &lines, &fault);

            if (p == NULL) {
                return fault;
            }
        }
    }
}


const char *
flux_json_strerror(flux_json_status_t status)
{
    switch (status) {
    case FLUX_JSON_OK:
        return "ok";
    case FLUX_JSON_EMPTY:
        return "no value";
    case FLUX_JSON_SYNTAX:
        return "not JSON";
    case FLUX_JSON_DEPTH:
        return "nested too deeply";
    case FLUX_JSON_UTF8:
        return "not UTF-8";
    }

    return "unknown";
}


uint8_t *
flux_json_copy(uint8_t *dst, const uint8_t *p, size_t len)
{
    const uint8_t  *end;

    if (len == 0) {
        return dst;
    }

    for (end = p + len; p < end; p++) {
        if (*p != '\n' && *p != '\r') {
            *dst++ = *p;
        }
    }

    return dst;
}


/* the letter of a control character's short escape, 0 if it has none */
static char
json_short_escape(uint8_t c)
{
    switch (c) {
    case '\b':
        return 'b';
    case '\t':
        return 't';
    case '\n':
        return 'n';
    case '\f':
        return 'f';
    case '\r':
        return 'r';
    }

    return 0;
}


size_t
flux_json_escaped_size(const uint8_t *p, size_t len)
{
    int             length;
    size_t          size = 0;
    const uint8_t  *end, *plain;

    if (len == 0) {
        return 0;
    }

    end = p + len;

    for ( ;; ) {
        plain = p;
        p = json_plain(p, end);
        size += (size_t) (p - plain);

        if (p == end) {
            return size;
        }

        if (*p < 0x80) {
            size += (*p >= ' ' || json_short_escape(*p)) ? 2 : 6;
            p++;
            continue;
        }

        length = flux_utf8_sequence(p, end);

        if (length > 0) {
            size += (size_t) length;
            p += length;
            continue;
        }

        size += 3;
        p = (length == 0) ? end : p - length;
    }
}


int
flux_json_verbatim(const uint8_t *p, size_t len)
{
    int             length;
    const uint8_t  *end;

    if (len == 0) {
        return 1;
    }

    end = p + len;

    for ( ;; ) {
        p = json_plain(p, end);

        if (p == end) {
            return 1;
        }

        length = (*p < 0x80) ? 0 : flux_utf8_sequence(p, end);

        if (length <= 0) {
            return 0;
        }

        p += length;
    }
}


static uint8_t *
json_escape_ascii(uint8_t *dst, uint8_t c)
{
    char  letter;

    letter = (c < ' ') ? json_short_escape(c) : (char) c;

    *dst++ = '\\';

    if (letter) {
        *dst++ = (uint8_t) letter;
        return dst;
    }

    memcpy(dst, "u00", 3);
    dst[3] = (uint8_t) json_hex[c >> 4];
    dst[4] = (uint8_t) json_hex[c & 0xf];

    return dst + 5;
}


uint8_t *
flux_json_escape(uint8_t *dst, const uint8_t *p, size_t len)
{
    int             length;
    const uint8_t  *end, *plain;

    if (len == 0) {
        return dst;
    }

    end = p + len;

    for ( ;; ) {
        plain = p;
        p = json_plain(p, end);

        if (p != plain) {
            memcpy(dst, plain, (size_t) (p - plain));
            dst += p - plain;
        }

        if (p == end) {
            return dst;
        }

        if (*p < 0x80) {
            dst = json_escape_ascii(dst, *p++);
            continue;
        }

        length = flux_utf8_sequence(p, end);

        if (length > 0) {
            memcpy(dst, p, (size_t) length);
            dst += length;
            p += length;
            continue;
        }

        memcpy(dst, "\xef\xbf\xbd", 3);
        dst += 3;
        p = (length == 0) ? end : p - length;
    }
}


int
flux_utf8_valid(const uint8_t *p, size_t len)
{
    return len == 0 || flux_utf8_prefix(p, p + len) == p + len;
}
