#include "flux_loop.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>


/* Kafka twice, Valkey, one WebSocket and the signals are 5 */
#define FLUX_LOOP_FDS  16

/* the loop looks up at least this often */
#define FLUX_LOOP_IDLE_MS  1000

/* after an error that would repeat at once */
#define FLUX_LOOP_PAUSE_US  10000


typedef struct {
    int               fd;
    int               events;
    flux_handler_pt   handler;
    void             *arg;
} flux_watch_t;


struct flux_loop_s {
    CURLM            *multi;
    flux_timer_t     *timers;               /* sorted by time */
    flux_watch_t      watches[FLUX_LOOP_FDS];
    unsigned          count;
    int               signals;
    flux_handler_pt   on_signal;
    void             *on_signal_arg;
    int64_t           now;
    int               stopped;
};


static void
flux_loop_signal(void *arg)
{
    flux_loop_t              *loop = arg;
    struct signalfd_siginfo   info;

    if (read(loop->signals, &info, sizeof(info)) != sizeof(info)) {
        return;
    }

    if (loop->on_signal != NULL) {
        loop->on_signal(loop->on_signal_arg);

    } else {
        flux_loop_stop(loop);
    }
}


flux_loop_t *
flux_loop_new(void)
{
    sigset_t      set;
    flux_loop_t  *loop;

    loop = calloc(1, sizeof(flux_loop_t));
    if (loop == NULL) {
        return NULL;
    }

    signal(SIGPIPE, SIG_IGN);

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);

    loop->now = flux_monotonic_ms();
    loop->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    loop->multi = curl_multi_init();

    if (loop->signals == -1 || loop->multi == NULL
        || flux_loop_watch(loop, loop->signals, FLUX_READ, flux_loop_signal,
                           loop) != FLUX_OK)
    {
        flux_loop_free(loop);
        return NULL;
    }

    return loop;
}


void
flux_loop_free(flux_loop_t *loop)
{
    if (loop == NULL) {
        return;
    }

    if (loop->multi != NULL) {
        curl_multi_cleanup(loop->multi);
    }

    if (loop->signals != -1) {
        close(loop->signals);
    }

    free(loop);
}


void
flux_loop_on_signal(flux_loop_t *loop, flux_handler_pt handler, void *arg)
{
    loop->on_signal = handler;
    loop->on_signal_arg = arg;
}


int64_t
flux_loop_now(const flux_loop_t *loop)
{
    return loop->now;
}


CURLM *
flux_loop_multi(flux_loop_t *loop)
{
    return loop->multi;
}


void
flux_timer_init(flux_timer_t *timer, flux_handler_pt handler, void *arg)
{
    memset(timer, 0, sizeof(*timer));
    timer->handler = handler;
    timer->arg = arg;
}


void
flux_timer_set(flux_loop_t *loop, flux_timer_t *timer, int64_t delay)
{
    flux_timer_t  **link;

    flux_timer_clear(loop, timer);

    timer->at = flux_monotonic_ms() + ((delay > 0) ? delay : 0);
    timer->set = 1;

    for (link = &loop->timers; *link != NULL; link = &(*link)->next) {
        if ((*link)->at > timer->at) {
            break;
        }
    }

    timer->next = *link;
    *link = timer;
}


void
flux_timer_clear(flux_loop_t *loop, flux_timer_t *timer)
{
    flux_timer_t  **link;

    if (!timer->set) {
        return;
    }

    for (link = &loop->timers; *link != timer; link = &(*link)->next) {
        /* a timer that is set is in the list */
    }

    *link = timer->next;
    timer->set = 0;
}


flux_rc_t
flux_loop_watch(flux_loop_t *loop, int fd, int events,
    flux_handler_pt handler, void *arg)
{
    unsigned       i;
    flux_watch_t  *watch;

    for (i = 0; i < loop->count; i++) {
        if (loop->watches[i].fd == fd) {
            break;
        }
    }

    if (i == FLUX_LOOP_FDS) {
        return FLUX_FULL;
    }

    if (i == loop->count) {
        loop->count++;
    }

    watch = &loop->watches[i];
    watch->fd = fd;
    watch->events = events;
    watch->handler = handler;
    watch->arg = arg;

    return FLUX_OK;
}


void
flux_loop_unwatch(flux_loop_t *loop, int fd)
{
    unsigned  i;

    for (i = 0; i < loop->count; i++) {
        if (loop->watches[i].fd == fd) {
            loop->watches[i] = loop->watches[--loop->count];
            return;
        }
    }
}


static void
flux_loop_expire(flux_loop_t *loop)
{
    flux_timer_t  *timer;

    /*
     * loop->now stands still here, so a timer set again by its own handler
     * waits at least for the next turn.
     */

    while (loop->timers != NULL && loop->timers->at <= loop->now
           && !loop->stopped)
    {
        timer = loop->timers;
        flux_timer_clear(loop, timer);
        timer->handler(timer->arg);
    }
}


static void
flux_loop_transfers(flux_loop_t *loop)
{
    int               left;
    CURLcode          result;
    CURLMsg          *message;
    flux_transfer_t  *transfer;

    curl_multi_perform(loop->multi, &left);

    while (!loop->stopped
           && (message = curl_multi_info_read(loop->multi, &left)) != NULL)
    {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }

        transfer = NULL;
        result = message->data.result;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
                          (char **) &transfer);

        if (transfer != NULL) {
            transfer->done(transfer, result);
        }
    }
}


static void
flux_loop_ready(flux_loop_t *loop, struct curl_waitfd *fds, unsigned n)
{
    unsigned  i, k;

    for (i = 0; i < n && !loop->stopped; i++) {

        if (fds[i].revents == 0) {
            continue;
        }

        /* an earlier handler may have unwatched this one */

        for (k = 0; k < loop->count; k++) {
            if (loop->watches[k].fd == fds[i].fd) {
                loop->watches[k].handler(loop->watches[k].arg);
                break;
            }
        }
    }
}


static int
flux_loop_timeout(const flux_loop_t *loop)
{
    int64_t  wait;

    if (loop->timers == NULL) {
        return FLUX_LOOP_IDLE_MS;
    }

    wait = loop->timers->at - flux_monotonic_ms();

    if (wait < 0) {
        return 0;
    }

    return (wait < FLUX_LOOP_IDLE_MS) ? (int) wait : FLUX_LOOP_IDLE_MS;
}


static void
flux_loop_turn(flux_loop_t *loop)
{
    unsigned            i, n;
    struct curl_waitfd  fds[FLUX_LOOP_FDS];

    n = loop->count;

    for (i = 0; i < n; i++) {
        fds[i].fd = loop->watches[i].fd;
        fds[i].revents = 0;
        fds[i].events = 0;

        if (loop->watches[i].events & FLUX_READ) {
            fds[i].events |= CURL_WAIT_POLLIN;
        }

        if (loop->watches[i].events & FLUX_WRITE) {
            fds[i].events |= CURL_WAIT_POLLOUT;
        }
    }

    if (curl_multi_poll(loop->multi, fds, n, flux_loop_timeout(loop), NULL)
        != CURLM_OK)
    {
        usleep(FLUX_LOOP_PAUSE_US);
    }

    loop->now = flux_monotonic_ms();

    flux_loop_ready(loop, fds, n);
    flux_loop_transfers(loop);
    flux_loop_expire(loop);
}


void
flux_loop_run(flux_loop_t *loop)
{
    loop->stopped = 0;

    while (!loop->stopped) {
        flux_loop_turn(loop);
    }
}


void
flux_loop_stop(flux_loop_t *loop)
{
    loop->stopped = 1;
}
