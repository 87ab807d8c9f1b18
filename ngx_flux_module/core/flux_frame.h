/*
 * flux_frame - records to messages, messages to frames (docs/protocol.md).
 * Nothing here allocates: sizes are asked for first, then written.
 */
#ifndef FLUX_FRAME_H
#define FLUX_FRAME_H

#include <stddef.h>
#include <stdint.h>

typedef enum { FLUX_FORMAT_JSON = 0, FLUX_FORMAT_TEXT, FLUX_FORMAT_BINARY }
    flux_format_t;

/* A record on its way to being a message.  All strings are borrowed. */
typedef struct {
    const uint8_t  *feed;           /* of [A-Za-z0-9._-] */
    size_t          feed_size;
    const uint8_t  *room;           /* raw bytes; NULL: the feed is one room */
    size_t          room_size;
    const uint8_t  *key;            /* raw bytes; may be NULL when empty */
    size_t          key_size;
    const uint8_t  *value;          /* NULL: a delete */
    size_t          value_size;
    size_t          newlines;       /* in a JSON value, as flux_json_check says */
    int64_t         ts;             /* Unix ms */
    flux_format_t   format;

    /* set by flux_message_measure(): lengths of the escaped text */
    size_t          address_length;
    size_t          key_length;
    size_t          length;         /* of the whole message */
    unsigned        verbatim:1;     /* room and key are their escaped text */
} flux_message_t;

/* Sets the lengths and returns the message's. */
size_t flux_message_measure(flux_message_t *m);

/* Writes exactly m->length bytes; returns their end. */
uint8_t *flux_message_write(uint8_t *dst, const flux_message_t *m);

/* Where the parts stand in a message with these lengths of address and key. */
#define FLUX_MESSAGE_PREFIX  (sizeof("{\"type\":\"update\",\"room\":\"") - 1)

static inline size_t
flux_message_key_at(size_t address_length)
{
    return FLUX_MESSAGE_PREFIX + address_length + sizeof("\",\"key\":\"") - 1;
}

/* In an update, the part from here to the end is a snapshot's item less '{'. */
static inline size_t
flux_message_item_at(size_t address_length)
{
    return FLUX_MESSAGE_PREFIX + address_length + sizeof("\",") - 1;
}

/*
 * A delete made from an escaped address and key: returns its length;
 * dst may be NULL to measure.
 */
size_t flux_message_delete(uint8_t *dst, const uint8_t *address,
    size_t address_length, const uint8_t *key, size_t key_length, int64_t ts);

/* Decimal text of a number, at most 20 bytes; returns its end. */
uint8_t *flux_int64_write(uint8_t *dst, int64_t n);

/* The check that stands for a record in log and cursor; never 0. */
uint16_t flux_record_check(const uint8_t *key, size_t key_size,
    const uint8_t *value, size_t value_size, int64_t ts);

/*
 * A hash of bytes, in a 64-bit state that starts with FLUX_HASH_START; against
 * chance, not against an enemy.  Where 32 bits are enough, all of the state
 * goes into them.
 */
#define FLUX_HASH_START   UINT64_C(14695981039346656037)
#define FLUX_HASH_FACTOR  UINT64_C(0x9e3779b97f4a7c15)
uint64_t flux_hash(uint64_t state, const void *p, size_t size);

/*
 * For tables whose keys a stranger chooses: with a key that nobody else knows
 * (its second half odd) nobody can make many texts of one hash.
 */
uint64_t flux_hash_keyed(const uint64_t key[2], uint64_t start, const void *p,
    size_t size);

static inline uint32_t
flux_hash_end(uint64_t state)
{
    return (uint32_t) (state * FLUX_HASH_FACTOR >> 32);
}

#endif
