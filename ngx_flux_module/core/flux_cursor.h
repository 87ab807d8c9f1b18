/*
 * A reader's position: for each set of rooms the next offset of each
 * partition, as an opaque string of URL-safe characters.
 *
 * A cursor comes back from the outside: its checksum tells damage, not
 * malice. What is decoded is to be treated like any input.
 *
 * Nothing allocates; all functions may run in any process or thread.
 */

#ifndef FLUX_CURSOR_H
#define FLUX_CURSOR_H


#include <stddef.h>
#include <stdint.h>


#define FLUX_CURSOR_SECTIONS  8


typedef struct {
    uint32_t                    fingerprint;   /* of cluster and topic */
    uint32_t                    partition;
    int64_t                     offset;        /* the next to read, >= 0 */
    uint16_t                    check;         /* of the record before it,
                                                  0 = none */
} flux_cursor_place_t;


/* rooms that stand at the same places */
typedef struct {
    const uint32_t             *rooms;         /* hashes of the addresses */
    size_t                      nrooms;
    const flux_cursor_place_t  *places;        /* grouped by fingerprint, */
    size_t                      nplaces;       /* partitions ascending */
} flux_cursor_section_t;


typedef struct {
    int64_t                     time;          /* Unix ms, 0 = none */
    uint32_t                    log;           /* the node's log it is of, */
    uint64_t                    told;          /* and an ordinal there, or 0:
                                                  then `log` is left out */
    size_t                      nsections;
    flux_cursor_section_t       sections[FLUX_CURSOR_SECTIONS];
} flux_cursor_t;


typedef enum {
    FLUX_CURSOR_OK = 0,
    FLUX_CURSOR_INVALID,       /* damaged, or never was one */
    FLUX_CURSOR_TOO_LARGE      /* more than the scratch or the sections hold */
} flux_cursor_status_t;


/* enough scratch to decode any text of so many bytes */
#define flux_cursor_scratch_size(len)                                         \
    ((len) / 5 * sizeof(flux_cursor_place_t)                                  \
     + FLUX_CURSOR_SECTIONS * sizeof(flux_cursor_place_t))


/* at most so many bytes of text */
size_t flux_cursor_size(const flux_cursor_t *cursor);

/*
 * Writes the text, without a NUL, and returns its length. The same cursor
 * gives the same text, and one that moved on by a record differs in some six
 * characters at its end, which is what a compressed stream likes.
 */
size_t flux_cursor_encode(char *dst, const flux_cursor_t *cursor);

/*
 * Takes any bytes of any length, p may be NULL when len is 0. On OK the
 * arrays of *out lie in scratch, which needs no alignment; *out is not to be
 * used otherwise. Only what flux_cursor_encode() writes is OK: each cursor
 * has one text.
 */
flux_cursor_status_t flux_cursor_decode(const char *p, size_t len,
    void *scratch, size_t size, flux_cursor_t *out);


#endif /* FLUX_CURSOR_H */
