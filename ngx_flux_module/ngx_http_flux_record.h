/*
 * A record on its way from librdkafka's queue into the log.
 */

#ifndef _NGX_HTTP_FLUX_RECORD_H_INCLUDED_
#define _NGX_HTTP_FLUX_RECORD_H_INCLUDED_


#include "ngx_http_flux_consumer.h"


#define NGX_HTTP_FLUX_SKIP_NONE  -1

/* records between two steps towards what one will look at */
#define NGX_HTTP_FLUX_AHEAD  8


typedef struct {
    ngx_http_flux_source_t    *source;
    ngx_http_flux_position_t  *position;
    flux_message_t             message;
    flux_append_t              append;
    int                        skip;        /* a flux_skip_t, or none */
    unsigned                   eof:1;       /* no record: the end */
    unsigned                   seek:1;      /* it is to say where it lives */
    u_char                    *escaped;     /* the key of one that seeks */
    u_char                     room[NGX_HTTP_FLUX_ROOM_MAX];
} ngx_http_flux_record_t;


/* kafka_append.c */

/*
 * Appends records, in this order, holding the lock for all of them:
 * NGX_DECLINED, and none is, when this worker is not the writer.
 */
ngx_int_t ngx_http_flux_kafka_append(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *records, size_t n);


/* kafka_skips.c */

/* One more record with no entry; reason: a flux_skip_t. */
void ngx_http_flux_kafka_skipped(ngx_http_flux_consumer_t *consumer,
    ngx_http_flux_record_t *record, int reason);


#endif /* _NGX_HTTP_FLUX_RECORD_H_INCLUDED_ */
