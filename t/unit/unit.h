/* What every unit test includes: cmocka and the headers it asks for. */

#ifndef UNIT_H
#define UNIT_H


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>


#define countof(array)  (sizeof(array) / sizeof((array)[0]))


/*
 * A copy that ends where its memory ends, so that a sanitizer sees a byte
 * read too far. To be freed, and never NULL.
 */
static inline uint8_t *
exact_copy(const void *p, size_t len)
{
    uint8_t  *copy = malloc(len ? len : 1);

    assert_non_null(copy);

    if (len) {
        memcpy(copy, p, len);
    }

    return copy;
}


/* the same numbers in every run */
static inline uint32_t
next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;

    return *state >> 8;
}


#endif /* UNIT_H */
