/*
 * The consumer: cluster -> log.  Lives in the one worker that holds the
 * writer's lease, in nginx's event loop.
 */

#ifndef _NGX_HTTP_FLUX_KAFKA_H_INCLUDED_
#define _NGX_HTTP_FLUX_KAFKA_H_INCLUDED_


#include "ngx_http_flux_zone.h"


/*
 * Starts a consumer per cluster that has feeds.  The zone's index is whole
 * and this worker is its writer.  Nothing here waits for the network.
 */
ngx_int_t ngx_http_flux_kafka_start(ngx_cycle_t *cycle,
    ngx_http_flux_main_conf_t *fmcf);

/* Stops at a record's boundary; waits for librdkafka for a bounded time. */
void ngx_http_flux_kafka_stop(void);

/*
 * At nginx -t: sets brokers and properties on a new rd_kafka_conf_t and throws
 * it away.  Returns NULL or the error, in `buf` of `len` bytes; *property is
 * the one that librdkafka refused, or NULL.
 */
char *ngx_http_flux_kafka_check(ngx_http_flux_cluster_t *cluster,
    ngx_keyval_t **property, char *buf, size_t len);


#endif /* _NGX_HTTP_FLUX_KAFKA_H_INCLUDED_ */
