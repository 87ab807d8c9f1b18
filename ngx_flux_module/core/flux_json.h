/*
 * Is this JSON? And how do arbitrary bytes become a JSON string?
 *
 * Every record passes here. Nothing allocates, nothing recurses, nothing is
 * kept between calls: all functions may run in any process or thread.
 */

#ifndef FLUX_JSON_H
#define FLUX_JSON_H


#include <stddef.h>
#include <stdint.h>


/* containers in containers: what jansson takes by default is 2048 */
#define FLUX_JSON_DEPTH_MAX  1024


typedef enum {
    FLUX_JSON_OK = 0,
    FLUX_JSON_EMPTY,           /* no byte, or nothing but white space */
    FLUX_JSON_SYNTAX,
    FLUX_JSON_DEPTH,           /* more than FLUX_JSON_DEPTH_MAX containers */
    FLUX_JSON_UTF8             /* a string that is not UTF-8 */
} flux_json_status_t;


/*
 * Checks one whole text against RFC 8259, any value at its top level, and
 * says what its first fault is. Stricter than the grammar in nothing: a lone
 * surrogate written as an escape and a repeated name are JSON. A byte order
 * mark is not.
 *
 * *newlines is set when the text is JSON: the number of its CR and LF bytes.
 * All of them lie between tokens.
 */
flux_json_status_t flux_json_check(const uint8_t *p, size_t len,
    size_t *newlines);

/* for people; a constant, never NULL */
const char *flux_json_strerror(flux_json_status_t status);

/*
 * Copies JSON without its CR and LF bytes, so that it fits on one line: len
 * less newlines bytes (with none of them, memcpy() does the same faster).
 * Returns the end of what it wrote.
 */
uint8_t *flux_json_copy(uint8_t *dst, const uint8_t *p, size_t len);

/*
 * The inside of a JSON string, quotes not included, for any bytes: escapes
 * quote, backslash and the control characters below U+0020 (\b \t \n \f \r,
 * else \u00xx with lower-case digits) and nothing else; each invalid UTF-8
 * sequence becomes one U+FFFD as in the WHATWG decoder, a byte order mark is
 * a character. The same bytes in give the same bytes out.
 *
 * dst has room for flux_json_escaped_size() bytes; flux_json_escape()
 * returns the end of what it wrote, exactly so many.
 */
size_t flux_json_escaped_size(const uint8_t *p, size_t len);
uint8_t *flux_json_escape(uint8_t *dst, const uint8_t *p, size_t len);

/* 1 when these bytes are their own escaped text */
int flux_json_verbatim(const uint8_t *p, size_t len);

/* 1 when all of it is UTF-8 (RFC 3629), 0 when not */
int flux_utf8_valid(const uint8_t *p, size_t len);


#endif /* FLUX_JSON_H */
