/*
 * Records that wait for Kafka: the newest of each key, in the order in which
 * their keys came. Bounded by records and bytes; when a bound is reached the
 * oldest record leaves and is counted.
 */

#ifndef FLUX_OUTBOX_H
#define FLUX_OUTBOX_H

#include "flux_common.h"

/* A topic a program writes to; static in its main file. */
typedef struct {
    const char         *name;
    const char *const  *config;     /* name, value, ..., NULL: for a topic
                                       that does not exist yet */
    int                 partitions;     /* likewise; 0: as --partitions */
} flux_topic_t;

typedef struct flux_record_s  flux_record_t;

struct flux_record_s {
    flux_record_t       *next;
    flux_record_t       *prev;
    flux_record_t       *chain;
    uint32_t             hash;
    int                  returned;      /* was sent, and not acknowledged */
    const flux_topic_t  *topic;
    size_t               key_len;
    size_t               value_len;
    char                 data[];        /* the key, then the value */
};

typedef struct {
    flux_record_t   *first;
    flux_record_t   *last;
    flux_record_t  **buckets;
    size_t           count;
    size_t           bytes;
    size_t           max_count;
    size_t           max_bytes;
    uint64_t         replaced;      /* by a newer record of their key */
    uint64_t         dropped;       /* for want of room */
} flux_outbox_t;

flux_rc_t flux_outbox_init(flux_outbox_t *box, size_t max_count,
    size_t max_bytes);
void flux_outbox_free(flux_outbox_t *box);

/*
 * Puts a copy in the place of what its key had, else last. FLUX_FULL when
 * the record alone is too large, FLUX_NOMEM.
 */
flux_rc_t flux_outbox_put(flux_outbox_t *box, const flux_topic_t *topic,
    const char *key, size_t key_len, const char *value, size_t value_len);

/*
 * Puts back a record that could not be delivered: first in line, and only
 * if nothing newer of its key waits.
 */
flux_rc_t flux_outbox_return(flux_outbox_t *box, const flux_topic_t *topic,
    const char *key, size_t key_len, const char *value, size_t value_len);

/* The next one to send; it stays in the box until removed. */
const flux_record_t *flux_outbox_first(const flux_outbox_t *box);
void flux_outbox_remove_first(flux_outbox_t *box);

#endif /* FLUX_OUTBOX_H */
