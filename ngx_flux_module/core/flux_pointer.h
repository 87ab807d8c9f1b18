/*
 * flux_pointer - the scalar that a JSON pointer (RFC 6901) names in a text,
 * as text.  No tree is built and nothing allocates, so a number keeps the
 * digits that its producer wrote.
 */
#ifndef FLUX_POINTER_H
#define FLUX_POINTER_H

#include <stddef.h>
#include <stdint.h>

/*
 * json: a text that flux_json_check() has accepted; anything else is undefined.
 * Writes the text of the string (unescaped), number, true or false to dst and
 * returns its length.  Returns -1 when there is no such value, when it is null,
 * an object or an array, when it is longer than `size` bytes, or when it is a
 * string with half a surrogate pair.  Of members with one name the last counts,
 * as in ECMAScript.
 */
ptrdiff_t flux_pointer_text(const uint8_t *json, size_t length,
    const uint8_t *pointer, size_t pointer_length, uint8_t *dst, size_t size);

/*
 * Likewise any value, as it stands in the text, without white space around it:
 * NULL when there is none.
 */
const uint8_t *flux_pointer_value(const uint8_t *json, size_t length,
    const uint8_t *pointer, size_t pointer_length, size_t *size);

#endif
