#include "flux_outbox.h"

#include <stdlib.h>
#include <string.h>


/* a power of two; with 20,000 records chains are 5 long */
#define FLUX_OUTBOX_BUCKETS  4096


flux_rc_t
flux_outbox_init(flux_outbox_t *box, size_t max_count, size_t max_bytes)
{
    memset(box, 0, sizeof(*box));
    box->max_count = max_count;
    box->max_bytes = max_bytes;
    box->buckets = calloc(FLUX_OUTBOX_BUCKETS, sizeof(flux_record_t *));

    return (box->buckets != NULL) ? FLUX_OK : FLUX_NOMEM;
}


void
flux_outbox_free(flux_outbox_t *box)
{
    while (box->first != NULL) {
        flux_outbox_remove_first(box);
    }

    free(box->buckets);
    box->buckets = NULL;
}


/* FNV-1a */

static uint32_t
flux_outbox_hash(const flux_topic_t *topic, const char *key, size_t len)
{
    size_t       i;
    uint32_t     hash;
    const char  *p;

    hash = 2166136261u;

    for (p = topic->name; *p != '\0'; p++) {
        hash = (hash ^ (unsigned char) *p) * 16777619u;
    }

    for (i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char) key[i]) * 16777619u;
    }

    return hash;
}


static flux_record_t **
flux_outbox_find(const flux_outbox_t *box, const flux_topic_t *topic,
    const char *key, size_t len, uint32_t hash)
{
    flux_record_t  **link, *record;

    link = &box->buckets[hash & (FLUX_OUTBOX_BUCKETS - 1)];

    for ( /* void */ ; *link != NULL; link = &(*link)->chain) {
        record = *link;

        if (record->hash == hash && record->topic == topic
            && record->key_len == len && memcmp(record->data, key, len) == 0)
        {
            break;
        }
    }

    return link;
}


static size_t
flux_record_size(const flux_record_t *record)
{
    return sizeof(flux_record_t) + record->key_len + record->value_len;
}


static void
flux_outbox_remove(flux_outbox_t *box, flux_record_t *record)
{
    flux_record_t  **link;

    link = flux_outbox_find(box, record->topic, record->data,
                            record->key_len, record->hash);
    *link = record->chain;

    if (record->prev != NULL) {
        record->prev->next = record->next;
    } else {
        box->first = record->next;
    }

    if (record->next != NULL) {
        record->next->prev = record->prev;
    } else {
        box->last = record->prev;
    }

    box->count--;
    box->bytes -= flux_record_size(record);

    free(record);
}


/* links a record in before the given one, last if that is NULL */

static void
flux_outbox_insert(flux_outbox_t *box, flux_record_t *record,
    flux_record_t *before)
{
    flux_record_t  **bucket;

    record->next = before;
    record->prev = (before != NULL) ? before->prev : box->last;

    if (record->prev != NULL) {
        record->prev->next = record;
    } else {
        box->first = record;
    }

    if (before != NULL) {
        before->prev = record;
    } else {
        box->last = record;
    }

    bucket = &box->buckets[record->hash & (FLUX_OUTBOX_BUCKETS - 1)];
    record->chain = *bucket;
    *bucket = record;

    box->count++;
    box->bytes += flux_record_size(record);
}


static flux_record_t *
flux_record_new(const flux_topic_t *topic, const char *key, size_t key_len,
    const char *value, size_t value_len, uint32_t hash)
{
    flux_record_t  *record;

    record = malloc(sizeof(flux_record_t) + key_len + value_len);
    if (record == NULL) {
        return NULL;
    }

    record->hash = hash;
    record->returned = 0;
    record->topic = topic;
    record->key_len = key_len;
    record->value_len = value_len;
    memcpy(record->data, key, key_len);
    memcpy(record->data + key_len, value, value_len);

    return record;
}


static int
flux_outbox_fits(const flux_outbox_t *box, size_t key_len, size_t value_len)
{
    return box->max_count > 0
           && key_len <= box->max_bytes
           && value_len <= box->max_bytes - key_len
           && sizeof(flux_record_t) <= box->max_bytes - key_len - value_len;
}


static void
flux_outbox_trim(flux_outbox_t *box)
{
    while (box->count > box->max_count || box->bytes > box->max_bytes) {
        flux_outbox_remove(box, box->first);
        box->dropped++;
    }
}


flux_rc_t
flux_outbox_put(flux_outbox_t *box, const flux_topic_t *topic,
    const char *key, size_t key_len, const char *value, size_t value_len)
{
    uint32_t        hash;
    flux_record_t  *record, *old, *before;

    if (!flux_outbox_fits(box, key_len, value_len)) {
        return FLUX_FULL;
    }

    hash = flux_outbox_hash(topic, key, key_len);

    record = flux_record_new(topic, key, key_len, value, value_len, hash);
    if (record == NULL) {
        return FLUX_NOMEM;
    }

    before = NULL;
    old = *flux_outbox_find(box, topic, key, key_len, hash);

    if (old != NULL) {
        before = old->next;
        flux_outbox_remove(box, old);
        box->replaced++;
    }

    flux_outbox_insert(box, record, before);
    flux_outbox_trim(box);

    return FLUX_OK;
}


/*
 * They come back in the order in which they were sent: of two of one key the
 * later one stays, unless a newer one has been put in meanwhile.
 */

flux_rc_t
flux_outbox_return(flux_outbox_t *box, const flux_topic_t *topic,
    const char *key, size_t key_len, const char *value, size_t value_len)
{
    uint32_t        hash;
    flux_record_t  *record, *old, *before;

    hash = flux_outbox_hash(topic, key, key_len);
    old = *flux_outbox_find(box, topic, key, key_len, hash);

    if (old != NULL && !old->returned) {
        box->replaced++;
        return FLUX_OK;
    }

    if (!flux_outbox_fits(box, key_len, value_len)) {
        return FLUX_FULL;
    }

    record = flux_record_new(topic, key, key_len, value, value_len, hash);
    if (record == NULL) {
        return FLUX_NOMEM;
    }

    record->returned = 1;
    before = box->first;

    if (old != NULL) {
        before = old->next;
        flux_outbox_remove(box, old);
        box->replaced++;
    }

    flux_outbox_insert(box, record, before);
    flux_outbox_trim(box);

    return FLUX_OK;
}


const flux_record_t *
flux_outbox_first(const flux_outbox_t *box)
{
    return box->first;
}


void
flux_outbox_remove_first(flux_outbox_t *box)
{
    flux_outbox_remove(box, box->first);
}
