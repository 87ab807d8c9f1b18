/*
 * What a reader has missed, taken from the log's index: snapshots of rooms it
 * does not know, records since its cursor, or the newest record of each key
 * that changed.
 */

#ifndef _NGX_HTTP_FLUX_BACKLOG_H_INCLUDED_
#define _NGX_HTTP_FLUX_BACKLOG_H_INCLUDED_


#include "ngx_http_flux_hub.h"


typedef struct ngx_http_flux_behind_s  ngx_http_flux_behind_t;


#define NGX_HTTP_FLUX_EXACT     1   /* each record up to now, whatever it is */
#define NGX_HTTP_FLUX_CONFLATE  2   /* only the newest record of a key */
#define NGX_HTTP_FLUX_WHOLE     4   /* no snapshot in parts */


/*
 * A reader of the channel who is at this cursor (empty: at none).  `buffer`:
 * more bytes than that are conflated, unless EXACT.  NULL: no memory.
 */
ngx_http_flux_behind_t *ngx_http_flux_behind_create(
    ngx_http_flux_channel_t *channel, ngx_str_t *cursor, ngx_uint_t flags,
    size_t buffer);
void ngx_http_flux_behind_destroy(ngx_http_flux_behind_t *behind);

/* Adds what a second cursor knows of rooms that the first does not. */
ngx_int_t ngx_http_flux_behind_add_cursor(ngx_http_flux_behind_t *behind,
    ngx_str_t *cursor);

/* Rooms that are not in this channel, too, begin with their snapshots. */
void ngx_http_flux_behind_only(ngx_http_flux_behind_t *behind,
    ngx_http_flux_channel_t *channel);

/* The rooms of this feed begin anew: their topic is another one. */
void ngx_http_flux_behind_reset(ngx_http_flux_behind_t *behind,
    ngx_http_flux_feed_t *feed);

/*
 * The next frame, or *frame is NULL when there is none.
 *   NGX_OK     with this frame nothing is missed: *ordinal is where the reader
 *              then stands, and it may go to the front
 *   NGX_AGAIN  there is more
 *   NGX_BUSY   there is nothing to be had now: the cursor is ahead of this
 *              node, or the index is being rebuilt
 *   NGX_ERROR  no memory
 */
ngx_int_t ngx_http_flux_backlog(ngx_http_flux_behind_t *behind,
    ngx_http_flux_frame_t **frame, uint64_t *ordinal);
/*
 * The cursor of where the reader stands, with all frames that it was given.
 * The text is valid until the next one is made.
 */
ngx_int_t ngx_http_flux_behind_text(ngx_http_flux_behind_t *behind,
    ngx_str_t *cursor);


#endif /* _NGX_HTTP_FLUX_BACKLOG_H_INCLUDED_ */
