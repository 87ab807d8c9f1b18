/*
 * The WebSocket transport (RFC 6455) and what clients may ask for over it.
 */

#ifndef _NGX_HTTP_FLUX_WEBSOCKET_H_INCLUDED_
#define _NGX_HTTP_FLUX_WEBSOCKET_H_INCLUDED_


#include "ngx_http_flux_request.h"

#include "core/flux_websocket.h"


/* a SHA-1 in base64, and a NUL */
#define NGX_HTTP_FLUX_WS_ACCEPT    29

#define NGX_HTTP_UPGRADE_REQUIRED  426      /* RFC 9110, 15.5.22 */


/* A reader's context, from a frame's first byte to the message's last. */

typedef struct {
    flux_ws_parser_t   parser;
    u_char            *buf;             /* a message being gathered, or NULL */
    size_t             size;
} ngx_http_flux_ws_t;


/* NGX_OK, or the status that a bad handshake is answered with. */
ngx_int_t ngx_http_flux_websocket_check(ngx_http_request_t *r);

/* A text message from the client: NGX_OK, or NGX_DONE and the reader is gone. */
ngx_int_t ngx_http_flux_ws_message(ngx_http_flux_reader_t *reader, u_char *p,
    size_t len);


#endif /* _NGX_HTTP_FLUX_WEBSOCKET_H_INCLUDED_ */
