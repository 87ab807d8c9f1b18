/*
 * raw PORT RATE SIZE [PROCESSES [FIRST]] - the floor that servers are compared
 * with: one loop that send()s a ready frame to each connection, and does
 * nothing else.  Whoever asks for a WebSocket gets one, all others an event
 * stream.  With 2 processes they share the connections.  FIRST: so many frames
 * come with the answer, as a snapshot would.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>


#define EVENTS       512
#define SECOND       UINT64_C(1000000000)
#define READERS_MAX  65536

static int     size;
static char   *first[2];        /* frames that come first: SSE, WebSocket */
static size_t  first_len[2];


static uint64_t now(void)
{
    struct timespec  t;

    clock_gettime(CLOCK_REALTIME, &t);

    return (uint64_t) t.tv_sec * SECOND + (uint64_t) t.tv_nsec;
}


/* The frame of a record: as a WebSocket message, or as a chunk of SSE. */

static size_t raw_frame(char *out, int ws, uint64_t seq)
{
    char    value[64 * 1024];
    size_t  len;

    len = (size_t) snprintf(value, sizeof(value),
                            "{\"at\":%llu,\"seq\":%llu,\"pad\":\"",
                            (unsigned long long) now(),
                            (unsigned long long) seq);

    while (len < (size_t) size - 2) {
        value[len++] = 'x';
    }

    value[len++] = '"';
    value[len++] = '}';

    if (!ws) {
        return (size_t) sprintf(out, "%zx\r\ndata: %.*s\n\n\r\n", len + 8,
                                (int) len, value);
    }

    out[0] = (char) 0x81;
    out[1] = 126;
    out[2] = (char) (len >> 8);
    out[3] = (char) len;
    memcpy(out + 4, value, len);

    return len + 4;
}


static void raw_answer(int fd, const char *text, size_t len, int *ws)
{
    static const char  upgrade[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Accept: "
        "ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n";
    static const char  events[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        "Transfer-Encoding: chunked\r\n\r\n";

    struct iovec  out[2];

    *ws = memmem(text, len, "websocket", 9) != NULL;

    out[0].iov_base = (void *) (*ws ? upgrade : events);
    out[0].iov_len = *ws ? sizeof(upgrade) - 1 : sizeof(events) - 1;
    out[1].iov_base = first[*ws];
    out[1].iov_len = first_len[*ws];

    (void) !writev(fd, out, 2);
}


static void raw_first(int frames)
{
    for (int ws = 0; ws < 2; ws++) {
        first[ws] = malloc((size_t) frames * ((size_t) size + 32) + 1);

        if (first[ws] == NULL) {
            perror("raw");
            exit(1);
        }

        for (int i = 0; i < frames; i++) {
            first_len[ws] += raw_frame(first[ws] + first_len[ws], ws,
                                       UINT64_C(1000000000) + (uint64_t) i);
        }
    }
}


int main(int argc, char **argv)
{
    int                 fd, listener, one = 1, n, nfds = 0, ws = 0, slot, room;
    int                *fds = calloc(READERS_MAX, sizeof(int));
    int                 port, epoll;
    char                text[4096], *frame = malloc(70 * 1024);
    double              rate;
    size_t              len;
    ssize_t             got;
    uint64_t            due, time, seq = 1000000000;
    struct epoll_event  ev, events[EVENTS];
    struct sockaddr_in  at = { .sin_family = AF_INET };

    if (argc < 4 || (size = atoi(argv[3])) < 64 || size > 60000
        || fds == NULL || frame == NULL)
    {
        fprintf(stderr, "usage: raw PORT RATE SIZE [PROCESSES [FIRST]]\n");
        return 2;
    }

    port = atoi(argv[1]);
    rate = atof(argv[2]);
    signal(SIGPIPE, SIG_IGN);
    raw_first(argc > 5 ? atoi(argv[5]) : 0);

    if (argc > 4 && atoi(argv[4]) == 2 && fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    }

    epoll = epoll_create1(EPOLL_CLOEXEC);

    at.sin_port = htons((uint16_t) port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));

    if (first_len[0]) {
        /* all of it fits, so that there is no rest to send later */
        room = (int) first_len[0] * 2;
        setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    }

    if (bind(listener, (void *) &at, sizeof(at)) == -1
        || listen(listener, 4096) == -1)
    {
        perror("raw");
        return 1;
    }

    ev.events = EPOLLIN;
    ev.data.fd = listener;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev);
    due = now();

    for ( ;; ) {
        time = now();
        n = epoll_wait(epoll, events, EVENTS,
                       time < due ? (int) ((due - time) / 1000000) : 0);

        for (int i = 0; i < n; i++) {

            if (events[i].data.fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK))
                       != -1)
                {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
                               sizeof(one));
                    ev.events = EPOLLIN;
                    ev.data.fd = fd;
                    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
                }

                continue;
            }

            fd = events[i].data.fd;
            got = recv(fd, text, sizeof(text), 0);

            if (got > 0) {
                if (memmem(text, (size_t) got, "\r\n\r\n", 4) != NULL) {
                    raw_answer(fd, text, (size_t) got, &ws);
                    fds[nfds++] = fd;
                }

                continue;
            }

            close(fd);

            for (slot = 0; slot < nfds; slot++) {
                if (fds[slot] == fd) {
                    fds[slot] = fds[--nfds];
                    break;
                }
            }
        }

        if (now() < due) {
            continue;
        }

        due += (uint64_t) (1e9 / rate);

        if (nfds == 0) {
            due = now() + 1000000;
            continue;
        }

        len = raw_frame(frame, ws, ++seq);

        for (slot = 0; slot < nfds; slot++) {
            (void) !send(fds[slot], frame, len, MSG_NOSIGNAL);
        }
    }
}
