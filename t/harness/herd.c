/*
 * herd - many readers that come back with their cursor whenever they are cut
 * off, each time by the other of SSE and WebSocket, and what they saw.
 *
 *   herd PORT PATH READERS KEYS
 *
 * Prints "ready" once each has its snapshot, then obeys lines of its input:
 * "cut" drops every connection; "state" prints how it is; "until N" waits
 * until each reader has N records or no record came for 20 s, then prints how
 * it is and ends.
 *
 * Records are {"n":1...}, {"n":2...}, ...; record n has the key n modulo KEYS.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define RECORDS_MAX   (1 << 17)
#define KEYS_MAX      64
#define CURSOR_MAX    1024
#define PIECE         65536
#define OPENING       64            /* handshakes at a time */
#define PATIENCE      20000         /* ms without a record, and it is over */
#define RETRY         20            /* ms after a refused connection */


typedef enum { WAITING = 0, CONNECTING, ASKED, OPEN } state_t;


typedef struct {
    char      *data;
    size_t     len, size;
} text_t;


typedef struct {
    int        fd, ws;
    state_t    state;
    uint64_t   at;                  /* when to connect */
    text_t     in;                  /* as it came */
    text_t     body;                /* of chunks */
    char       cursor[CURSOR_MAX];
    uint8_t    seen[RECORDS_MAX / 8];
    uint32_t   newest[KEYS_MAX];
    uint32_t   count;
    unsigned   snapshots;
} reader_t;


static int          port, nreaders, keys, epoll, opening;
static const char  *path;
static reader_t    *readers;
static uint64_t     moved;          /* when the last record came */

static struct {
    uint64_t   twice, disorder, resets, snapshots, ends, cuts, refused,
               answers;
} total;


static void die(const char *what)
{
    perror(what);
    exit(1);
}


static uint64_t now(void)
{
    struct timespec  t;

    clock_gettime(CLOCK_MONOTONIC, &t);

    return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}


static void append(text_t *text, const char *data, size_t len)
{
    if (text->len + len > text->size) {
        text->size = (text->len + len) * 2;
        text->data = realloc(text->data, text->size);

        if (text->data == NULL) {
            die("realloc");
        }
    }

    memcpy(text->data + text->len, data, len);
    text->len += len;
}


static void consume(text_t *text, size_t len)
{
    text->len -= len;
    memmove(text->data, text->data + len, text->len);
}


static const char *find(const char *p, const char *end, const char *what)
{
    return memmem(p, (size_t) (end - p), what, strlen(what));
}


/* --- what came ------------------------------------------------------------- */

static void record(reader_t *r, unsigned n)
{
    if (n >= RECORDS_MAX) {
        fprintf(stderr, "herd: record %u\n", n);
        exit(1);
    }

    if (r->seen[n / 8] & 1 << n % 8) {
        total.twice++;
        return;
    }

    total.disorder += n < r->newest[n % (unsigned) keys];
    r->newest[n % (unsigned) keys] = n;
    r->seen[n / 8] |= (uint8_t) (1 << n % 8);
    r->count++;
    moved = now();
}


/* The cursor goes last: what a frame holds counts as it arrives, whole. */

static void frame(reader_t *r, const char *p, const char *end)
{
    size_t       len;
    const char  *found, *quote;

    for (found = p; (found = find(found, end, "{\"n\":")); found += 5) {
        record(r, (unsigned) strtoul(found + 5, NULL, 10));
    }

    if (find(p, end, "\"type\":\"snapshot\"")) {
        r->snapshots++;
        total.snapshots += r->snapshots > 1;
    }

    total.resets += find(p, end, "\"type\":\"reset\"") != NULL;
    total.ends += find(p, end, "\"type\":\"end\"") != NULL;

    found = find(p, end, "\"cursor\":\"");

    if (found != NULL) {
        found += 10;
        quote = memchr(found, '"', (size_t) (end - found));
        len = (size_t) (quote - found);

        if (len >= CURSOR_MAX) {
            fprintf(stderr, "herd: a cursor of %zu bytes\n", len);
            exit(1);
        }

        memcpy(r->cursor, found, len);
        r->cursor[len] = '\0';
    }
}


static void events(reader_t *r)
{
    const char  *p = r->body.data, *last = p + r->body.len, *end, *data;

    while (p < last && (end = find(p, last, "\n\n")) != NULL) {
        data = find(p, end, "data:");

        if (data != NULL) {
            frame(r, data, end);
        }

        p = end + 2;
    }

    consume(&r->body, (size_t) (p - r->body.data));
}


static size_t chunk(reader_t *r)
{
    char    *end, *line = memmem(r->in.data, r->in.len, "\r\n", 2);
    size_t   size, head;

    if (line == NULL) {
        return 0;
    }

    size = strtoul(r->in.data, &end, 16);
    head = (size_t) (line - r->in.data) + 2;

    if (r->in.len < head + size + 2) {
        return 0;
    }

    append(&r->body, r->in.data + head, size);

    return head + size + 2;
}


/* RFC 6455, section 5.2: a server's frames are not masked. */

static size_t ws_frame(reader_t *r)
{
    size_t    len, head = 2;
    uint8_t  *p = (uint8_t *) r->in.data, pong[6 + 125];

    if (r->in.len < 2) {
        return 0;
    }

    len = p[1];

    if (len == 126) {
        head = 4;

    } else if (len == 127) {
        head = 10;
    }

    if (r->in.len < head) {
        return 0;
    }

    if (head > 2) {
        len = 0;

        for (size_t i = 2; i < head; i++) {
            len = len << 8 | p[i];
        }
    }

    if (r->in.len < head + len) {
        return 0;
    }

    if ((p[0] & 0x0f) == 1) {
        frame(r, r->in.data + head, r->in.data + head + len);

    } else if ((p[0] & 0x0f) == 9 && len <= 125) {
        memset(pong, 0, 6);
        pong[0] = 0x8a;
        pong[1] = (uint8_t) (0x80 | len);
        memcpy(pong + 6, p + head, len);
        (void) !send(r->fd, pong, 6 + len, MSG_NOSIGNAL);
    }

    return head + len;
}


/* --- connections ----------------------------------------------------------- */

static void gone(reader_t *r, unsigned wait)
{
    opening -= r->state == CONNECTING || r->state == ASKED;
    close(r->fd);
    r->fd = -1;
    r->state = WAITING;
    r->at = now() + wait;
    r->in.len = 0;
    r->body.len = 0;
    r->ws = !r->ws;
}


static void dial(reader_t *r)
{
    struct epoll_event  ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET,
                               .data.ptr = r };
    struct sockaddr_in  to = { .sin_family = AF_INET,
                               .sin_port = htons((uint16_t) port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (r->fd == -1) {
        die("socket");
    }

    r->state = CONNECTING;
    opening++;

    if (connect(r->fd, (void *) &to, sizeof(to)) == -1
        && errno != EINPROGRESS)
    {
        total.refused++;
        gone(r, RETRY);
        return;
    }

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, r->fd, &ev) == -1) {
        die("epoll_ctl");
    }
}


static void ask(reader_t *r)
{
    int   n;
    char  text[CURSOR_MAX + 1024];

    n = snprintf(text, sizeof(text),
                 "GET %s%s%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path,
                 r->cursor[0] ? "?cursor=" : "", r->cursor,
                 r->ws ? "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                         "Sec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                       : "Accept: text/event-stream\r\n");

    if (send(r->fd, text, (size_t) n, MSG_NOSIGNAL) != n) {
        total.refused++;
        gone(r, RETRY);
        return;
    }

    r->state = ASKED;
}


static size_t answer(reader_t *r)
{
    char  *end = memmem(r->in.data, r->in.len, "\r\n\r\n", 4);

    if (end == NULL) {
        return 0;
    }

    if (strncmp(r->in.data, r->ws ? "HTTP/1.1 101" : "HTTP/1.1 200", 12)) {

        if (total.answers++ == 0) {
            fprintf(stderr, "herd: %.*s\n", (int) (end - r->in.data),
                    r->in.data);
        }
    }

    r->state = OPEN;
    opening--;

    return (size_t) (end - r->in.data) + 4;
}


static void understand(reader_t *r)
{
    size_t  n;

    do {
        n = r->state == ASKED ? answer(r) : r->ws ? ws_frame(r) : chunk(r);
        consume(&r->in, n);
    } while (n && r->in.len);

    if (r->state == OPEN && !r->ws) {
        events(r);
    }
}


static void receive(reader_t *r)
{
    char      piece[PIECE];
    ssize_t   n;

    for ( ;; ) {
        n = recv(r->fd, piece, PIECE, 0);

        if (n > 0) {
            append(&r->in, piece, (size_t) n);
            understand(r);
            continue;
        }

        if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }

        total.cuts += r->state == OPEN;
        total.refused += r->state != OPEN;
        gone(r, r->state == OPEN ? 0 : RETRY);
        return;
    }
}


static void turn(void)
{
    int                 n;
    uint64_t            time = now();
    reader_t           *r;
    struct epoll_event  ready[256];

    for (int i = 0; i < nreaders && opening < OPENING; i++) {
        if (readers[i].state == WAITING && readers[i].at <= time) {
            dial(&readers[i]);
        }
    }

    n = epoll_wait(epoll, ready, 256, 10);

    for (int i = 0; i < n; i++) {
        r = ready[i].data.ptr;

        if (r == NULL) {
            continue;
        }

        if (r->state == CONNECTING) {
            ask(r);
        }

        if (r->state == ASKED || r->state == OPEN) {
            receive(r);
        }
    }
}


/* --- orders ---------------------------------------------------------------- */

static void tell(void)
{
    uint32_t  least = UINT32_MAX, most = 0;
    int       open = 0;

    for (int i = 0; i < nreaders; i++) {
        least = readers[i].count < least ? readers[i].count : least;
        most = readers[i].count > most ? readers[i].count : most;
        open += readers[i].state == OPEN;
    }

    printf("{\"readers\": %d, \"open\": %d, \"least\": %u, \"most\": %u, "
           "\"twice\": %ju, \"disorder\": %ju, \"resets\": %ju, "
           "\"snapshots\": %ju, \"ends\": %ju, \"cuts\": %ju, "
           "\"refused\": %ju, \"answers\": %ju}\n",
           nreaders, open, least, most, (uintmax_t) total.twice,
           (uintmax_t) total.disorder, (uintmax_t) total.resets,
           (uintmax_t) total.snapshots, (uintmax_t) total.ends,
           (uintmax_t) total.cuts, (uintmax_t) total.refused,
           (uintmax_t) total.answers);
    fflush(stdout);
}


static void run_until(uint32_t count)
{
    int  i = 0;

    moved = now();

    while (i < nreaders && now() < moved + PATIENCE) {
        turn();

        while (i < nreaders && readers[i].count >= count) {
            i++;
        }
    }
}


static int all_ready(void)
{
    for (int i = 0; i < nreaders; i++) {
        if (readers[i].snapshots == 0) {
            return 0;
        }
    }

    return 1;
}


int main(int argc, char **argv)
{
    char                line[64];
    ssize_t             n;
    struct epoll_event  ev = { .events = EPOLLIN };

    if (argc != 5) {
        fprintf(stderr, "usage: herd PORT PATH READERS KEYS\n");
        return 2;
    }

    port = atoi(argv[1]);
    path = argv[2];
    nreaders = atoi(argv[3]);
    keys = atoi(argv[4]);
    readers = nreaders > 0 ? calloc((size_t) nreaders, sizeof(reader_t))
                           : NULL;
    epoll = epoll_create1(EPOLL_CLOEXEC);

    if (readers == NULL || epoll == -1 || keys < 1 || keys > KEYS_MAX) {
        die("herd");
    }

    for (int i = 0; i < nreaders; i++) {
        readers[i].ws = i % 2;
    }

    while (!all_ready()) {
        turn();
    }

    printf("ready\n");
    fflush(stdout);

    fcntl(0, F_SETFL, O_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &ev);

    for ( ;; ) {
        turn();
        n = read(0, line, sizeof(line) - 1);

        if (n == 0) {
            return 0;
        }

        if (n < 0) {
            continue;
        }

        line[n] = '\0';

        if (strncmp(line, "until ", 6) == 0) {
            run_until((uint32_t) strtoul(line + 6, NULL, 10));
            tell();
            return 0;
        }

        if (strcmp(line, "cut\n") == 0) {
            for (int i = 0; i < nreaders; i++) {
                if (readers[i].state == OPEN) {
                    gone(&readers[i], 0);
                }
            }
        }

        if (strcmp(line, "state\n") == 0) {
            tell();
        }
    }
}
