/*
 * A reader: one stream to one client.  It stands at a place in the log and has
 * no queue: at the front it is sent what its channel is sent; otherwise the
 * log gives it what it has missed.
 */

#ifndef _NGX_HTTP_FLUX_READER_H_INCLUDED_
#define _NGX_HTTP_FLUX_READER_H_INCLUDED_


#include "ngx_http_flux_backlog.h"


typedef enum {
    NGX_HTTP_FLUX_END_SLOW = 0,
    NGX_HTTP_FLUX_END_RELOAD,
    NGX_HTTP_FLUX_END_EXPIRED,
    NGX_HTTP_FLUX_END_QUIT
} ngx_http_flux_end_t;


typedef struct {
    ngx_str_t    name;
    ngx_uint_t   index;         /* in the zone's counters */
    ngx_uint_t   flags;         /* for ngx_http_flux_behind_create() */

    /* makes the answer's header: NGX_OK, or an HTTP status */
    ngx_int_t  (*start)(ngx_http_flux_reader_t *reader);

    /* the encoding of frames */
    ngx_uint_t (*encoding)(ngx_http_flux_reader_t *reader);

    /*
     * Sends bytes that stay where they are until all went; *sent grows by what
     * went.  NGX_OK: all; NGX_AGAIN: the reader is told when more can go;
     * NGX_DONE: all, and the request is over; NGX_ERROR.
     */
    ngx_int_t  (*send)(ngx_http_flux_reader_t *reader, ngx_str_t *bytes,
                       size_t *sent);

    /* a sign of life on an idle stream; NGX_ERROR: the client shows none */
    ngx_int_t  (*heartbeat)(ngx_http_flux_reader_t *reader);

    /* says why the stream ends, as far as the socket takes it, and ends it */
    void       (*end)(ngx_http_flux_reader_t *reader, ngx_http_flux_end_t why,
                      ngx_msec_t retry);

    /* has messages go out, now or with what is being sent */
    ngx_int_t  (*tell)(ngx_http_flux_reader_t *reader, ngx_str_t *messages);

    /* frees what the context holds outside of the request's pool; or NULL */
    void       (*cleanup)(ngx_http_flux_reader_t *reader);

    /* something came from the client */
    ngx_http_event_handler_pt  read;

    /* the same, when the request is over */
    void       (*receive)(ngx_http_flux_reader_t *reader);
} ngx_http_flux_transport_t;


/* Messages and bytes that no frame has. */

typedef struct {
    ngx_http_flux_text_t        told;
    ngx_http_flux_text_t        telling;    /* those being sent */
    size_t                      sent;
} ngx_http_flux_talk_t;


struct ngx_http_flux_reader_s {

    /* what the fan-out touches: the less, the better for a crowd of readers */

    ngx_queue_t                 queue;      /* channel's front, hub's waiting */
    ngx_connection_t           *connection;
    ngx_http_flux_transport_t  *transport;
    ngx_http_flux_channel_t    *channel;
    ngx_http_flux_frame_t      *out;        /* being sent */
    ngx_str_t                  *bytes;      /* of it, once started */
    size_t                      sent;       /* of these */
    ngx_http_flux_talk_t       *talk;       /* NULL: nothing is to be told */
    uint64_t                    ordinal;    /* has seen so far, when it joined */
    ngx_str_t                   joined;     /* cursor of that place; or of
                                               where it was when it ended */
    ngx_uint_t                  serial;     /* of the channel's last frame */
    ngx_msec_t                  written;    /* when bytes last went */
    uint64_t                    messages;

    unsigned                    front:1;
    unsigned                    waiting:1;
    unsigned                    blocked:1;  /* the socket takes nothing */
    unsigned                    started:1;  /* `out` was tried to be sent */
    unsigned                    direct:1;   /* a frame is a send(), no more */
    unsigned                    closing:1;  /* nothing is sent any more */
    unsigned                    paced:1;    /* waits for its pace */
    unsigned                    compress:1;
    unsigned                    alone:1;    /* may keep no context */
    unsigned                    served:1;   /* the content handler is done */
    unsigned                    resumed:1;  /* came with a cursor */
    unsigned                    missed:2;   /* heartbeats unanswered */
    unsigned                    timed:1;    /* `timer` is in the tree */
    unsigned                    chunked:1;  /* events go in chunks */
    unsigned                    detach:1;   /* the request may end before it */

    /* and what it does not */

    ngx_queue_t                 all;        /* of the worker */
    ngx_http_request_t         *request;    /* NULL: over, flux_detach */
    ngx_http_flux_loc_conf_t   *conf;
    ngx_http_flux_behind_t     *behind;     /* what it missed; NULL: nothing */
    uint64_t                    deflated;   /* its place in the stream */
    uint64_t                    counted;    /* slots of feeds it counts in */
    ngx_uint_t                  version;    /* states it knows; of the hub */
    ngx_msec_t                  deadline;   /* of a poll; 0: none */
    time_t                      expires;    /* 0: never */
    ngx_rbtree_node_t           timer;      /* ngx_http_flux_timer.c */
    void                       *context;    /* of the transport */
    void                       *publish;    /* of ngx_http_flux_publish_op.c */
};


/*
 * Takes the request over: sends the header, then what the cursor (empty: none)
 * says is missing.  `wait` is how long a poll may wait, in ms.  The channel's
 * reference goes over to the reader, whatever happens.  Returns what a content
 * handler does.
 */
ngx_int_t ngx_http_flux_reader_create(ngx_http_request_t *r,
    ngx_http_flux_transport_t *transport, ngx_http_flux_channel_t *channel,
    ngx_str_t *cursor, ngx_msec_t wait);

/* Counts it, or no longer, for its channel's feeds and rooms. */
void ngx_http_flux_reader_seat(ngx_http_flux_reader_t *reader, ngx_uint_t on);

/* Bytes that went out count for the statistics. */
void ngx_http_flux_reader_count(ngx_http_flux_reader_t *reader, size_t bytes);

/* Sets the timer for the next time that something is due. */
void ngx_http_flux_reader_arm(ngx_http_flux_reader_t *reader);

/* What the timer was set for.  The reader may be gone afterwards. */
void ngx_http_flux_reader_due(ngx_http_flux_reader_t *reader);

/* Ends the stream by our own will.  The reader is gone afterwards. */
void ngx_http_flux_reader_end(ngx_http_flux_reader_t *reader,
    ngx_http_flux_end_t why);

/* The stream is broken, or over: as ngx_http_finalize_request(). */
void ngx_http_flux_reader_close(ngx_http_flux_reader_t *reader, ngx_int_t rc);

/* A copy of the last cursor that it was sent, or nothing. */
ngx_str_t ngx_http_flux_reader_last(ngx_http_flux_reader_t *reader);

/* From now on the reader does not end with its request. */
void ngx_http_flux_reader_keep(ngx_http_flux_reader_t *reader);

/* Frees one that was ended, and its memory. */
void ngx_http_flux_reader_free(void *data);


/* --- ngx_http_flux_reader_send.c --- */

/*
 * Sends a frame to a reader who stands right before it, now or with the next
 * ngx_http_flux_batch_submit(): until then nothing else may be sent to it.
 * The reader may be gone afterwards.
 */
void ngx_http_flux_reader_send(ngx_http_flux_reader_t *reader,
    ngx_http_flux_frame_t *frame);

/*
 * Has messages (without brackets) that belong to no place in the log go out
 * with the next flush.  NGX_ERROR: too many wait for the socket, or no memory.
 */
ngx_int_t ngx_http_flux_reader_tell(ngx_http_flux_reader_t *reader,
    ngx_str_t *messages);

/* The same for bytes of the transport itself. */
ngx_int_t ngx_http_flux_reader_tell_bytes(ngx_http_flux_reader_t *reader,
    u_char *bytes, size_t len);

/*
 * Sends what there is to send: a frame that was begun, what was told, a frame.
 * NGX_OK: all went; NGX_AGAIN: the socket is full; NGX_DONE: the reader is
 * gone.
 */
ngx_int_t ngx_http_flux_reader_flush(ngx_http_flux_reader_t *reader);

/* The socket takes something.  The reader may be gone afterwards. */
void ngx_http_flux_reader_writable(ngx_http_flux_reader_t *reader);
void ngx_http_flux_reader_write(ngx_http_request_t *r);

/* What is left of the header, as far as the socket takes it: NGX_ERROR, or OK. */
ngx_int_t ngx_http_flux_reader_header(ngx_http_flux_reader_t *reader);


/* --- ngx_http_flux_reader_place.c --- */

/* Goes on with what it has missed, if it can.  It may be gone afterwards. */
void ngx_http_flux_reader_catch_up(ngx_http_flux_reader_t *reader);

/* Takes it from the front: it goes on by the log, soon. */
void ngx_http_flux_reader_fall_back(ngx_http_flux_reader_t *reader);

/* Takes it from wherever it stands or waits. */
void ngx_http_flux_reader_leave(ngx_http_flux_reader_t *reader);

/* The cursor of where a reader at the front stands. */
ngx_str_t *ngx_http_flux_reader_place(ngx_http_flux_reader_t *reader,
    ngx_str_t *buf);

/*
 * From now on it reads this channel, whose reference goes over.  A cursor, if
 * any, is for rooms that it did not read before.
 */
ngx_int_t ngx_http_flux_reader_change(ngx_http_flux_reader_t *reader,
    ngx_http_flux_channel_t *channel, ngx_str_t *cursor);


/* --- ngx_http_flux_detach.c --- */

/* 1 when flux_detach is on and the request is one that can end early. */
ngx_uint_t ngx_http_flux_detach_wanted(ngx_http_flux_reader_t *reader);

/* Ends the request, if it is wanted and time for it; the reader stays. */
void ngx_http_flux_detach(ngx_http_flux_reader_t *reader);

/* Reads and forgets what a client of events sends. */
void ngx_http_flux_detached_discard(ngx_http_flux_reader_t *reader);

/*
 * Closes the connection of a reader that was ended and has no request; it is
 * gone afterwards, or when what is being received has been dealt with.
 */
void ngx_http_flux_detached_close(ngx_http_flux_reader_t *reader);


/* --- ngx_http_flux_timer.c --- */

void ngx_http_flux_timer_init(ngx_log_t *log);

/*
 * Has ngx_http_flux_reader_due() called at this time or, if it was set before,
 * at the earlier one.
 */
void ngx_http_flux_timer_set(ngx_http_flux_reader_t *reader, ngx_msec_t due);
void ngx_http_flux_timer_unset(ngx_http_flux_reader_t *reader);


/* --- ngx_http_flux_trim.c --- */

/*
 * Gives back what nginx keeps for what did not come.  The answer's header has
 * been sent; all variables go on working.
 */
void ngx_http_flux_trim(ngx_http_request_t *r);

/* In each worker, before the first of them. */
void ngx_http_flux_trim_init(void);

extern ngx_http_flux_transport_t  ngx_http_flux_sse;
extern ngx_http_flux_transport_t  ngx_http_flux_websocket;
extern ngx_http_flux_transport_t  ngx_http_flux_poll;


#endif /* _NGX_HTTP_FLUX_READER_H_INCLUDED_ */
