/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates. */

#ifndef FLUX_UTF8_H
#define FLUX_UTF8_H

#include "flux_common.h"

/* The length of the character at p (1 to 4), 0 if there is none. */
size_t flux_utf8_length(const unsigned char *p, size_t len);

/* Writes a code point, returns its length; code must be below 0x110000. */
size_t flux_utf8_encode(uint32_t code, char out[4]);

/* 1 if the whole text is UTF-8. */
int flux_utf8_valid(const char *text, size_t len);

#endif /* FLUX_UTF8_H */
