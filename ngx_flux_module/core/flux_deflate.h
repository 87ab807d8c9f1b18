/*
 * One compressed stream for many readers (RFC 1951, by zlib).
 *
 * A stream turns frames into pieces, each compressed in the context of those
 * before it, once, whoever reads it. A piece is sent as it is to all readers
 * that have that context; the others get one that was compressed alone until
 * the stream starts anew. The same pieces serve as
 *
 *   Content-Encoding: gzip   FLUX_GZIP_HEADER once, then pieces; no trailer:
 *                            such a stream does not end, it is left
 *   permessage-deflate       (RFC 7692) each piece is the payload of one
 *                            message without its last FLUX_DEFLATE_TAIL
 *                            bytes, RSV1 set
 *
 * Who may take what, with one number per reader, 0 in the beginning:
 *
 *   if (piece.needs == 0 || piece.needs == reader->context) {
 *       ... send it ...
 *       reader->context = piece.leaves;
 *   }
 *
 * Whatever else the reader is sent compressed sets its context to 0, and so
 * does its move to another stream. A WebSocket message that is sent plain
 * leaves it as it is.
 *
 * A stream belongs to one thread and is not for two processes; what zlib
 * needs is allocated in _new(), nothing after.
 */

#ifndef FLUX_DEFLATE_H
#define FLUX_DEFLATE_H


#include <stddef.h>
#include <stdint.h>


/* 00 00 ff ff, which ends each piece and no permessage-deflate message */
#define FLUX_DEFLATE_TAIL       4

/* no time, no name, no system (RFC 1952) */
#define FLUX_GZIP_HEADER        "\x1f\x8b\x08\0\0\0\0\0\0\xff"
#define FLUX_GZIP_HEADER_SIZE   10

/*
 * What serves frames of ticker JSON well (bench/deflate.c): 166 KB a stream.
 * A window of 8 KB, for 70 KB, takes 7 % more bytes for ten keys and 15 % for
 * a hundred, as the last record of a key is what helps most; zlib's default
 * of 262 KB gains nothing for frames that are flushed one by one.
 */
#define FLUX_DEFLATE_LEVEL          6
#define FLUX_DEFLATE_WINDOW         15
#define FLUX_DEFLATE_MEMORY         6

/* a frame alone does as well with 70 KB, which are sooner cleared */
#define FLUX_DEFLATE_WINDOW_ALONE   13

/* a late reader's wait for its place in the stream, in plain bytes */
#define FLUX_DEFLATE_RESTART        131072


typedef struct flux_deflate_s  flux_deflate_t;
typedef struct flux_inflate_s  flux_inflate_t;


typedef enum {
    FLUX_DEFLATE_OK = 0,
    FLUX_DEFLATE_TOO_LARGE,    /* more than dst takes */
    FLUX_DEFLATE_INVALID       /* not what a deflater writes */
} flux_deflate_status_t;


typedef struct {
    size_t    length;          /* in dst, the tail included */
    uint64_t  needs;           /* the context it was compressed in, 0: none */
    uint64_t  leaves;          /* the context of who has taken it, 0: none */
} flux_deflate_piece_t;


/*
 * level: 1 (fast) .. 9, as zlib has it. window_bits: 9 .. 15, at most what
 * was negotiated. memory_level: 1 .. 9. It takes
 * (4 << window_bits) + (512 << memory_level) bytes and some 6 KB.
 * NULL when there is no memory or an argument is out of range.
 */
flux_deflate_t *flux_deflate_new(int level, int window_bits,
    int memory_level);

/* NULL is taken, too */
void flux_deflate_destroy(flux_deflate_t *d);

/*
 * For a stream that follows on one that was destroyed and had come so far:
 * its contexts are others than those that readers may still have.
 */
uint64_t flux_deflate_context(const flux_deflate_t *d);
void flux_deflate_follow(flux_deflate_t *d, uint64_t context);

/* what a piece of len plain bytes takes at most */
size_t flux_deflate_bound(flux_deflate_t *d, size_t len);

/*
 * Compresses the stream's next frame into dst. One of no bytes is allowed.
 * TOO_LARGE when size is less than flux_deflate_bound() and did not do: dst
 * is then to be thrown away, and the stream starts anew.
 */
flux_deflate_status_t flux_deflate_next(flux_deflate_t *d, uint8_t *dst,
    size_t size, const uint8_t *p, size_t len, flux_deflate_piece_t *piece);

/*
 * Compresses a frame alone: it needs no context and leaves none. d is best a
 * compressor kept for this; one worker needs but one. A stream starts anew.
 */
flux_deflate_status_t flux_deflate_alone(flux_deflate_t *d, uint8_t *dst,
    size_t size, const uint8_t *p, size_t len, flux_deflate_piece_t *piece);

/*
 * The next piece will need no context, so that all can take it from there.
 * It costs those who are in the context a few hundred bytes each.
 */
void flux_deflate_restart(flux_deflate_t *d);

/*
 * Is it time for a restart, with so many readers in the context and so many
 * outside? To be asked before each frame. When waiting has cost the latter
 * what a restart will cost the former, and in any case each
 * FLUX_DEFLATE_RESTART bytes while there is one outside.
 */
int flux_deflate_restart_due(flux_deflate_t *d, size_t inside,
    size_t outside);


/* For what clients send. window_bits: 8 .. 15. NULL when out of memory. */
flux_inflate_t *flux_inflate_new(int window_bits);

/* NULL is taken, too */
void flux_inflate_destroy(flux_inflate_t *i);

/*
 * Forgets the context: before each message when client_no_context_takeover
 * was negotiated (one inflater then does for all readers of a worker), and
 * after any error.
 */
void flux_inflate_reset(flux_inflate_t *i);

/*
 * Inflates the payload of one permessage-deflate message into dst, at most
 * size bytes, and sets *length. TOO_LARGE stops as soon as there is more;
 * INVALID is a broken or truncated payload (close with 1007 is usual).
 */
flux_deflate_status_t flux_inflate_message(flux_inflate_t *i, uint8_t *dst,
    size_t size, size_t *length, const uint8_t *p, size_t len);


#endif /* FLUX_DEFLATE_H */
