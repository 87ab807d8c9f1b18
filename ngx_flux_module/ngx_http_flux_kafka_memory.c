/*
 * Memory of the zone, before it is written to for the first time.
 *
 * The kernel makes a page when it is first touched, which is a third of what
 * a record costs while a fresh zone is filled.  The assistant has that done
 * while we go on.
 */

#include "ngx_http_flux_consumer.h"

#include <sys/mman.h>


/* how far ahead, at most */
#define NGX_HTTP_FLUX_MEMORY_AHEAD  (16 * 1024 * 1024)


void
ngx_http_flux_kafka_memory(ngx_http_flux_consumer_t *consumer)
{
    size_t                     size;
    u_char                    *memory;
    ngx_http_flux_question_t  *question;

    if (consumer->asked) {
        return;
    }

    size = flux_log_fresh(&consumer->zone->log, &consumer->fresh,
                          NGX_HTTP_FLUX_MEMORY_AHEAD, &memory);
    if (size == 0) {
        return;
    }

    question = ngx_http_flux_question_new(NGX_HTTP_FLUX_ASK_MEMORY, 0);
    if (question == NULL) {
        return;
    }

    question->memory = memory;
    question->size = size;

    consumer->asked = 1;
    ngx_http_flux_assistant_ask(consumer->client.assistant, question);
}


void
ngx_http_flux_kafka_memory_make(u_char *memory, size_t size)
{
#ifdef MADV_POPULATE_WRITE      /* Linux 5.14; others touch it themselves */

    u_char  *begin = ngx_align_ptr(memory, ngx_pagesize);
    u_char  *end = memory + size;

    if (begin < end) {
        (void) madvise(begin, end - begin, MADV_POPULATE_WRITE);
    }

#endif
}
