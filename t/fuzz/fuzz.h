/* What every fuzz target shares. */

#ifndef FUZZ_H
#define FUZZ_H


#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* an assertion that no build turns off */
#define must(condition)                                                       \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__,        \
                    #condition);                                              \
            abort();                                                          \
        }                                                                     \
    } while (0)


/* memory of exactly this size; to be freed */
static inline void *
must_alloc(size_t size)
{
    void  *p = malloc(size ? size : 1);

    must(p != NULL);

    return p;
}


#endif /* FUZZ_H */
