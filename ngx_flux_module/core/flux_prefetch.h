/*
 * flux_prefetch - asks for memory that is needed soon, or is written to soon.
 */
#ifndef FLUX_PREFETCH_H
#define FLUX_PREFETCH_H

#define FLUX_CACHE_LINE  64     /* or more; it is prefetched in such steps */

/*
 * The hint by itself has no effect that a compiler knows of: gcc takes a
 * function that has no other for one that does nothing, and drops the calls.
 * The empty statement is an effect.
 */
static inline void
flux_prefetch(const void *p)
{
    __builtin_prefetch(p);
    __asm__ volatile ("" : : "r" (p));
}

static inline void
flux_prefetch_to_write(const void *p)
{
    __builtin_prefetch(p, 1);
    __asm__ volatile ("" : : "r" (p));
}

#endif
