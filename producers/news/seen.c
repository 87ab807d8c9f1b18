/*
 * The last FLUX_SEEN links and a hash of what was said about each: a ring
 * for the order of age, a hash table over it.
 */

#include "news.h"

#include <stdlib.h>
#include <string.h>


#define FLUX_SEEN          8192
#define FLUX_SEEN_BUCKETS  4096


typedef struct {
    uint64_t  link;         /* 64 bits of hash: collisions are not expected */
    uint64_t  content;
    int       next;         /* in the bucket, -1 at its end */
    int       used;
} flux_seen_entry_t;


struct flux_seen_s {
    flux_seen_entry_t  entries[FLUX_SEEN];
    int                buckets[FLUX_SEEN_BUCKETS];
    int                place;
};


flux_seen_t *
flux_seen_new(void)
{
    flux_seen_t  *seen;

    seen = calloc(1, sizeof(flux_seen_t));
    if (seen == NULL) {
        return NULL;
    }

    memset(seen->buckets, 0xff, sizeof(seen->buckets));

    return seen;
}


void
flux_seen_free(flux_seen_t *seen)
{
    free(seen);
}


static uint64_t
flux_seen_hash(const char *text)
{
    uint64_t  hash;

    for (hash = UINT64_C(14695981039346656037); *text != '\0'; text++) {
        hash = (hash ^ (unsigned char) *text) * UINT64_C(1099511628211);
    }

    return hash;
}


static int *
flux_seen_find(flux_seen_t *seen, uint64_t link)
{
    int  *i;

    i = &seen->buckets[link % FLUX_SEEN_BUCKETS];

    while (*i != -1 && seen->entries[*i].link != link) {
        i = &seen->entries[*i].next;
    }

    return i;
}


int
flux_seen_add(flux_seen_t *seen, const char *link, uint64_t content)
{
    int                 *i;
    uint64_t             hash;
    flux_seen_entry_t   *entry;

    hash = flux_seen_hash(link);
    i = flux_seen_find(seen, hash);

    if (*i != -1) {
        entry = &seen->entries[*i];

        if (entry->content == content) {
            return 0;
        }

        entry->content = content;
        return 1;
    }

    entry = &seen->entries[seen->place];

    if (entry->used) {
        i = flux_seen_find(seen, entry->link);
        *i = entry->next;
    }

    entry->used = 1;
    entry->link = hash;
    entry->content = content;
    entry->next = seen->buckets[hash % FLUX_SEEN_BUCKETS];
    seen->buckets[hash % FLUX_SEEN_BUCKETS] = seen->place;
    seen->place = (seen->place + 1) % FLUX_SEEN;

    return 1;
}
