/*
 * load - many readers of one server, and what it cost the server.
 *
 *   load stream  opens --readers connections, prints "ready", then counts for
 *                --secs what arrives: messages, gaps, repeats, latencies, the
 *                CPU time and memory of the processes named with --pid
 *   load storm   opens them, prints "ready", loses them all at once (closed by
 *                itself, or, with --wait, by the server's death) and reports
 *                how long it takes until each has data again: --first N bytes
 *                behind the answer's header (1)
 *
 *   --port N --path TEXT     %d in it: the reader's number modulo --rooms
 *   --transport ws|sse       --readers N --rooms N
 *   --warm S --secs S --grace S --first N
 *   --header TEXT --hello TEXT    --hello: a message sent once it is open
 *   --echo IN OUT            a message that is answered (Socket.IO's ping)
 *   --pid N                  any number of them
 *   --plain                  counts bytes only (of compressed streams)
 *   --deaf N                 as many more, that ask and then read nothing
 *   --compress               asks for compressed streams and inflates them all:
 *                            what a message takes is reported, and what broke
 *   --churn N                so many readers a second leave and come anew
 *
 * A record's value begins {"at":<19 digits, Unix ns>,"seq":<10 digits>, and is
 * looked for in the bytes as they come, whatever wraps it.  seq grows by one
 * from record to record of what a reader reads.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>


#define LIST_MAX     32
#define EVENTS       512
#define BUFFER       (256 * 1024)
#define TEXT         (4 * 1024 * 1024)      /* a frame, inflated */
#define OPENING      256            /* handshakes at a time */
#define DEAF_BUFFER  4096
#define SECOND       UINT64_C(1000000000)

#define MARK         "\"at\":"
#define MARK_SEQ     ",\"seq\":"
#define MARK_AT      (sizeof(MARK) - 1)
#define MARK_SEQ_AT  (MARK_AT + 19 + sizeof(MARK_SEQ) - 1)
#define MARK_LEN     (MARK_SEQ_AT + 10)

/* latencies: 32 steps per power of two of microseconds */
#define STEP_BITS    5
#define STEPS        (40 << STEP_BITS)


typedef enum { IDLE = 0, CONNECTING, ASKED, OPEN, GONE } state_t;


typedef struct {
    int        fd;
    state_t    state;
    int        served;              /* has data since it was opened */
    size_t     got;                 /* bytes of it, until it is served */
    unsigned   carried;
    char       carry[MARK_LEN];
    unsigned   skip;                /* of a WebSocket frame */
    unsigned   nheader;
    uint8_t    header[10];
    uint64_t   seq;
    z_stream  *z;                   /* of a compressed stream */
    uint8_t   *part;                /* of a frame that has not all come */
    size_t     npart, part_size;
} conn_t;


typedef struct {
    int         port, readers, rooms, deaf, wait, ws, plain, compress;
    double      warm, secs, grace, churn;
    size_t      first;
    const char *path, *hello, *echo, *answer;
    const char *headers[LIST_MAX];
    int         nheaders;
    pid_t       pids[LIST_MAX];
    int         npids;
} options_t;


typedef struct {
    uint64_t    messages, bytes, gaps, repeats, arrived;
    uint64_t    first_seq, last_seq;    /* of those made in the window */
    uint64_t    latency[STEPS], late, longest;
    uint64_t    from, to;               /* the window */
    int         opened, refused, lost, left;
    uint64_t    frames, framed;         /* with updates, and their bytes */
    uint64_t    broken;
    uint64_t    snapshots, snapshot_bytes;
} result_t;


static options_t  opt = {
    .rooms = 1, .readers = 100, .warm = 1, .secs = 5, .grace = 1, .first = 1,
    .path = "/"
};

static result_t  res;
static conn_t   *conns;
static int       epoll;
static int       served;
static char      buffer[MARK_LEN + BUFFER];


static void die(const char *what)
{
    perror(what);
    exit(1);
}


static uint64_t now(void)
{
    struct timespec  t;

    clock_gettime(CLOCK_REALTIME, &t);

    return (uint64_t) t.tv_sec * SECOND + (uint64_t) t.tv_nsec;
}


/* --- what the server pays -------------------------------------------------- */

static double cpu_of_all(void)
{
    double           sum = 0;
    clockid_t        clock;
    struct timespec  t;

    for (int i = 0; i < opt.npids; i++) {
        if (clock_getcpuclockid(opt.pids[i], &clock) == 0
            && clock_gettime(clock, &t) == 0)
        {
            sum += (double) t.tv_sec + (double) t.tv_nsec / 1e9;
        }
    }

    return sum;
}


static double pss_of_all(void)
{
    char    name[64], line[256];
    FILE   *f;
    double  sum = 0, kb;

    for (int i = 0; i < opt.npids; i++) {
        snprintf(name, sizeof(name), "/proc/%d/smaps_rollup",
                 (int) opt.pids[i]);
        f = fopen(name, "r");

        while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
            if (sscanf(line, "Pss: %lf", &kb) == 1) {
                sum += kb;
            }
        }

        if (f != NULL) {
            fclose(f);
        }
    }

    return sum;
}


/* --- latencies ------------------------------------------------------------- */

static unsigned step_of(uint64_t us)
{
    unsigned  shift;

    if (us < 2 << STEP_BITS) {
        return (unsigned) us;
    }

    shift = 63 - (unsigned) __builtin_clzll(us) - STEP_BITS;

    return (shift << STEP_BITS) + (unsigned) (us >> shift);
}


static double us_of(unsigned step)
{
    unsigned  shift;

    if (step < 2 << STEP_BITS) {
        return step;
    }

    shift = (step >> STEP_BITS) - 1;

    return (double) (((uint64_t) step - ((uint64_t) shift << STEP_BITS))
                     << shift);
}


static double percentile(double part)
{
    uint64_t  seen = 0, all = 0;

    for (unsigned i = 0; i < STEPS; i++) {
        all += res.latency[i];
    }

    for (unsigned i = 0; i < STEPS; i++) {
        seen += res.latency[i];

        if (seen && (double) seen >= part * (double) all) {
            return us_of(i);
        }
    }

    return 0;
}


/* --- messages -------------------------------------------------------------- */

static uint64_t number(const char *p, unsigned digits)
{
    uint64_t  n = 0;

    while (digits--) {
        n = n * 10 + (uint64_t) (*p++ - '0');
    }

    return n;
}


static void message(conn_t *c, const char *p, uint64_t time)
{
    uint64_t  at = number(p + MARK_AT, 19);
    uint64_t  seq = number(p + MARK_SEQ_AT, 10);
    uint64_t  us;

    if (c->seq && seq <= c->seq) {
        res.repeats++;

    } else {
        if (c->seq && seq > c->seq + 1) {
            res.gaps += seq - c->seq - 1;
        }

        c->seq = seq;
    }

    if (time >= res.from && time < res.to) {
        res.arrived++;
    }

    if (at < res.from || at >= res.to) {
        return;
    }

    us = time > at ? (time - at) / 1000 : 0;
    res.latency[step_of(us)]++;
    res.messages++;

    if (us > res.longest) {
        res.longest = us;
    }

    if (res.first_seq == 0 || seq < res.first_seq) {
        res.first_seq = seq;
    }

    if (seq > res.last_seq) {
        res.last_seq = seq;
    }
}


/* The bytes p ... end; what may be the beginning of a record is carried. */

static void look(conn_t *c, const char *p, const char *end, uint64_t time)
{
    const char  *found;
    size_t       left;

    while ((found = memmem(p, (size_t) (end - p), MARK, MARK_AT)) != NULL) {

        if ((size_t) (end - found) < MARK_LEN) {
            p = found;
            break;
        }

        if (memcmp(found + MARK_AT + 19, MARK_SEQ, sizeof(MARK_SEQ) - 1)
            == 0)
        {
            message(c, found, time);
        }

        p = found + MARK_AT;
    }

    left = (size_t) (end - p);

    if (found == NULL && left > MARK_AT - 1) {
        left = MARK_AT - 1;
    }

    c->carried = (unsigned) left;
    memcpy(c->carry, end - left, left);
}


static void send_message(conn_t *c, int opcode, const char *text, size_t len)
{
    uint8_t   frame[1024];
    size_t    n = 0;

    frame[n++] = (uint8_t) (0x80 | opcode);

    if (len < 126) {
        frame[n++] = (uint8_t) (0x80 | len);

    } else {
        frame[n++] = 0x80 | 126;
        frame[n++] = (uint8_t) (len >> 8);
        frame[n++] = (uint8_t) len;
    }

    /* a mask of zeros leaves the text as it is */
    memset(frame + n, 0, 4);
    n += 4;

    if (len > sizeof(frame) - n) {
        return;
    }

    memcpy(frame + n, text, len);
    (void) !send(c->fd, frame, n + len, MSG_NOSIGNAL);
}


/* Frame by frame, only to answer pings: RFC 6455, section 5.2. */

static void frames(conn_t *c, const uint8_t *p, const uint8_t *end)
{
    size_t    need;
    unsigned  len;

    while (p < end) {

        if (c->skip) {
            need = (size_t) (end - p) < c->skip ? (size_t) (end - p) : c->skip;
            p += need;
            c->skip -= (unsigned) need;
            continue;
        }

        c->header[c->nheader++] = *p++;

        len = c->nheader < 2 ? 0 : c->header[1] & 0x7f;
        need = c->nheader < 2 || len < 126 ? 2 : len == 126 ? 4 : 10;

        if (c->nheader < need) {
            continue;
        }

        if (len == 126) {
            len = (unsigned) (c->header[2] << 8 | c->header[3]);

        } else if (len == 127) {
            len = 0;

            for (int i = 2; i < 10; i++) {
                len = len << 8 | c->header[i];
            }
        }

        if ((c->header[0] & 0x0f) == 9 && (size_t) (end - p) >= len) {
            send_message(c, 10, (const char *) p, len);
        }

        if (opt.echo && len == strlen(opt.echo)
            && (size_t) (end - p) >= len && memcmp(p, opt.echo, len) == 0)
        {
            send_message(c, 1, opt.answer, strlen(opt.answer));
        }

        c->skip = len;
        c->nheader = 0;
    }
}


/* --- compressed streams ---------------------------------------------------- */

static const char *const  compress_header[] = {
    "Accept-Encoding: gzip", "Sec-WebSocket-Extensions: permessage-deflate"
};


/* The text of one frame; returns its length, 0 if there is none yet. */

static size_t inflated(conn_t *c, const uint8_t *p, size_t len, char *text)
{
    int             rc;
    static uint8_t  tail[] = { 0, 0, 0xff, 0xff };

    c->z->next_out = (uint8_t *) text;
    c->z->avail_out = TEXT;
    c->z->next_in = (uint8_t *) p;
    c->z->avail_in = (unsigned) len;

    rc = inflate(c->z, Z_SYNC_FLUSH);

    if (opt.ws && rc == Z_OK && c->z->avail_in == 0) {
        c->z->next_in = tail;
        c->z->avail_in = sizeof(tail);
        rc = inflate(c->z, Z_SYNC_FLUSH);
    }

    if ((rc != Z_OK && rc != Z_BUF_ERROR) || c->z->avail_in
        || c->z->avail_out == 0)
    {
        res.broken++;
    }

    return TEXT - c->z->avail_out;
}


/* The first frame is a snapshot: the newest record of each key. */

static void snapshot(conn_t *c, const char *text, size_t len, size_t wire)
{
    uint64_t     seq;
    const char  *p = text, *end = text + len;

    c->served = 1;
    served++;
    res.snapshots++;
    res.snapshot_bytes += wire;

    while ((p = memmem(p, (size_t) (end - p), MARK_SEQ, sizeof(MARK_SEQ) - 1))
           != NULL)
    {
        p += sizeof(MARK_SEQ) - 1;

        if (end - p < 10) {
            return;
        }

        seq = number(p, 10);
        c->seq = seq > c->seq ? seq : c->seq;
    }
}


static void frame(conn_t *c, const uint8_t *p, size_t len, int packed,
    size_t wire, uint64_t time)
{
    size_t         n = len;
    uint64_t       before = res.arrived;
    const char    *text = (const char *) p;
    static char    out[TEXT];

    if (packed) {
        n = inflated(c, p, len, out);
        text = out;
    }

    if (memmem(text, n, MARK, MARK_AT) == NULL) {
        return;
    }

    if (!c->served) {
        snapshot(c, text, n, wire);
        return;
    }

    look(c, text, text + n, time);
    c->carried = 0;

    if (res.arrived != before) {
        res.frames++;
        res.framed += wire;
    }
}


/* RFC 6455, section 5.2: what one frame takes, or 0 when it is not whole. */

static size_t unpack_message(conn_t *c, const uint8_t *p, size_t left,
    uint64_t time)
{
    size_t  head = 2, len;

    if (left < 2) {
        return 0;
    }

    len = p[1] & 0x7f;

    if (len == 126) {
        head = 4;
        len = left < head ? 0 : (size_t) (p[2] << 8 | p[3]);

    } else if (len == 127) {
        head = 10;
        len = 0;

        for (int i = 2; i < 10 && left >= head; i++) {
            len = len << 8 | p[i];
        }
    }

    if (left < head || left - head < len) {
        return 0;
    }

    if ((p[0] & 0x0f) == 9) {
        send_message(c, 10, (const char *) p + head, len);

    } else if ((p[0] & 0x0f) == 1) {
        frame(c, p + head, len, c->z && (p[0] & 0x40), head + len, time);
    }

    return head + len;
}


/* A chunk (RFC 9112, section 7.1), which holds one event. */

static size_t unpack_chunk(conn_t *c, const uint8_t *p, size_t left,
    uint64_t time)
{
    size_t    head, len;
    uint8_t  *line = memmem(p, left, "\r\n", 2);

    if (line == NULL) {
        return 0;
    }

    len = strtoul((const char *) p, NULL, 16);
    head = (size_t) (line - p) + 2;

    if (left - head < len + 2) {
        return 0;
    }

    frame(c, p + head, len, c->z != NULL, head + len + 2, time);

    return head + len + 2;
}


static void unpack(conn_t *c, const char *p, size_t len, uint64_t time)
{
    size_t    n, at = 0;
    uint8_t  *part;

    if (c->part_size < c->npart + len) {
        part = realloc(c->part, (c->npart + len) * 2);

        if (part == NULL) {
            die("realloc");
        }

        c->part = part;
        c->part_size = (c->npart + len) * 2;
    }

    memcpy(c->part + c->npart, p, len);
    c->npart += len;

    do {
        n = opt.ws ? unpack_message(c, c->part + at, c->npart - at, time)
                   : unpack_chunk(c, c->part + at, c->npart - at, time);
        at += n;
    } while (n);

    c->npart -= at;
    memmove(c->part, c->part + at, c->npart);
}


static void unpack_open(conn_t *c, const char *head, size_t len)
{
    if (memmem(head, len, opt.ws ? "permessage-deflate" : "gzip",
               opt.ws ? 18 : 4) == NULL)
    {
        return;
    }

    c->z = calloc(1, sizeof(z_stream));

    if (c->z == NULL || inflateInit2(c->z, opt.ws ? -15 : 31) != Z_OK) {
        die("inflate");
    }
}


static void unpack_close(conn_t *c)
{
    if (c->z != NULL) {
        inflateEnd(c->z);
        free(c->z);
    }

    free(c->part);
}


/* --- connections ----------------------------------------------------------- */

static void gone(conn_t *c)
{
    if (c->state == OPEN) {
        res.lost++;
        res.opened--;

    } else {
        res.refused++;
    }

    close(c->fd);
    c->fd = -1;
    c->state = GONE;
}


static void start(conn_t *c)
{
    int                 one = 1;
    struct epoll_event  ev;
    struct sockaddr_in  to = { .sin_family = AF_INET };

    memset(c, 0, sizeof(conn_t));

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd == -1) {
        die("socket");
    }

    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    to.sin_port = htons((uint16_t) opt.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->state = CONNECTING;

    if (connect(c->fd, (void *) &to, sizeof(to)) == -1
        && errno != EINPROGRESS)
    {
        gone(c);
        return;
    }

    ev.events = EPOLLIN | EPOLLOUT | EPOLLET;
    ev.data.ptr = c;

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev) == -1) {
        die("epoll_ctl");
    }
}


static int ask_text(char *text, size_t size, int reader)
{
    char  path[512];
    int   n;

    snprintf(path, sizeof(path), opt.path, reader % opt.rooms);

    n = snprintf(text, size, "GET %s HTTP/1.1\r\nHost: localhost\r\n", path);

    n += snprintf(text + n, size - n, opt.ws
                  ? "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                  : "Accept: text/event-stream\r\n");

    for (int i = 0; i < opt.nheaders; i++) {
        n += snprintf(text + n, size - n, "%s\r\n", opt.headers[i]);
    }

    if (opt.compress) {
        n += snprintf(text + n, size - n, "%s\r\n", compress_header[opt.ws]);
    }

    return n + snprintf(text + n, size - n, "\r\n");
}


static void ask(conn_t *c)
{
    char  text[4096];
    int   n = ask_text(text, sizeof(text), (int) (c - conns));

    if (send(c->fd, text, n, MSG_NOSIGNAL) != n) {
        gone(c);
        return;
    }

    c->state = ASKED;
}


/* What follows the answer's header, or NULL when it is not whole yet. */

static char *answered(conn_t *c, char *p, char *end)
{
    char  *body = memmem(p, (size_t) (end - p), "\r\n\r\n", 4);

    if (body == NULL) {
        /* a header arrives whole, or the part that matters does */
        c->carried = (unsigned) (end - p < 3 ? end - p : 3);
        memcpy(c->carry, end - c->carried, c->carried);
        return NULL;
    }

    if (memmem(p, (size_t) (body - p), opt.ws ? " 101 " : " 200 ", 5)
        == NULL)
    {
        if (res.refused == 0) {
            fprintf(stderr, "load: %.*s\n", (int) (body - p), p);
        }

        gone(c);
        return NULL;
    }

    c->state = OPEN;
    res.opened++;

    if (opt.compress) {
        unpack_open(c, p, (size_t) (body - p));
    }

    if (opt.hello != NULL) {
        send_message(c, 1, opt.hello, strlen(opt.hello));
    }

    return body + 4;
}


static void receive(conn_t *c)
{
    char      *p, *end, *fresh;
    ssize_t    n;
    uint64_t   time;

    for ( ;; ) {
        memcpy(buffer, c->carry, c->carried);
        fresh = buffer + c->carried;

        n = recv(c->fd, fresh, BUFFER, 0);

        if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }

        if (n <= 0) {
            gone(c);
            return;
        }

        time = now();
        end = fresh + n;
        p = buffer;

        if (time >= res.from && time < res.to) {
            res.bytes += (uint64_t) n;
        }

        if (c->state == ASKED) {
            p = answered(c, p, end);

            if (p == NULL) {
                if (c->state == GONE) {
                    return;
                }

                continue;
            }

            c->carried = 0;
            fresh = p;
        }

        if (opt.compress) {
            unpack(c, p, (size_t) (end - p), time);

            if (n < BUFFER) {
                return;
            }

            continue;
        }

        if (!c->served) {
            c->got += (size_t) (end - fresh);

            if (c->got >= opt.first) {
                c->served = 1;
                served++;
            }
        }

        if (opt.ws) {
            frames(c, (uint8_t *) fresh, (uint8_t *) end);
        }

        if (!opt.plain) {
            look(c, p, end, time);
        }

        if (n < BUFFER) {
            /* edge triggered: more is a new edge */
            return;
        }
    }
}


static void turn(int timeout)
{
    int                 n;
    conn_t             *c;
    struct epoll_event  events[EVENTS];

    n = epoll_wait(epoll, events, EVENTS, timeout);

    for (int i = 0; i < n; i++) {
        c = events[i].data.ptr;

        if (c->state == CONNECTING) {

            if (events[i].events & (EPOLLERR | EPOLLHUP)) {
                gone(c);
                continue;
            }

            if (events[i].events & EPOLLOUT) {
                ask(c);
            }
        }

        if ((c->state == ASKED || c->state == OPEN)
            && (events[i].events & ~(uint32_t) EPOLLOUT))
        {
            receive(c);
        }
    }
}


static void open_all(void)
{
    int       next = 0;
    uint64_t  limit = now() + 60 * SECOND;

    while (res.opened + res.refused < opt.readers && now() < limit) {

        while (next < opt.readers
               && next - res.opened - res.refused < OPENING)
        {
            start(&conns[next++]);
        }

        turn(100);
    }
}


/* Their small buffers are full soon; they stay until we end. */

static void open_deaf(void)
{
    char                text[4096];
    int                 fd, n, size = DEAF_BUFFER;
    struct sockaddr_in  to = { .sin_family = AF_INET };

    to.sin_port = htons((uint16_t) opt.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    for (int i = 0; i < opt.deaf; i++) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        n = ask_text(text, sizeof(text), i);

        if (fd == -1
            || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == -1
            || connect(fd, (void *) &to, sizeof(to)) == -1
            || send(fd, text, n, MSG_NOSIGNAL) != n)
        {
            die("a deaf reader");
        }
    }
}


/* The one who has been here longest leaves, and comes anew. */

static void churn(uint64_t time)
{
    static int       next;
    static uint64_t  due;

    if (due == 0) {
        due = time;
    }

    for ( /* void */ ; due < time; due += (uint64_t) (SECOND / opt.churn)) {
        conn_t  *c = &conns[next++ % opt.readers];

        if (c->state != OPEN) {
            continue;
        }

        close(c->fd);
        unpack_close(c);
        res.opened--;
        res.left++;
        start(c);
    }
}


static void run_until(uint64_t end)
{
    uint64_t  time;

    while ((time = now()) < end) {

        if (opt.churn > 0) {
            churn(time);
        }

        turn(end - time > SECOND / 20 ? 50 : (int) ((end - time) / 1000000));
    }
}


/* --- stream ---------------------------------------------------------------- */

static int stream(void)
{
    double    pss, pss_open, pss_end, cpu_open, cpu, began, mine;
    uint64_t  expected, framed, frames_came;

    pss = pss_of_all();
    cpu_open = cpu_of_all();
    began = (double) now() / 1e9;

    open_deaf();
    open_all();

    began = (double) now() / 1e9 - began;
    cpu_open = cpu_of_all() - cpu_open;
    printf("ready\n");
    fflush(stdout);

    run_until(now() + (uint64_t) (opt.warm * 1e9));
    pss_open = pss_of_all();

    res.from = now();
    res.to = res.from + (uint64_t) (opt.secs * 1e9);
    res.gaps = res.repeats = 0;
    res.snapshots = res.snapshot_bytes = 0;
    res.frames = res.framed = 0;
    cpu = cpu_of_all();
    mine = (double) clock() / CLOCKS_PER_SEC;

    run_until(res.to);

    cpu = cpu_of_all() - cpu;
    mine = (double) clock() / CLOCKS_PER_SEC - mine;
    frames_came = res.frames;
    framed = res.framed;

    pss_end = pss_of_all();

    /* what was made in the window may still be on its way */
    run_until(res.to + (uint64_t) (opt.grace * 1e9));

    expected = res.messages
               ? (res.last_seq - res.first_seq + 1) * (uint64_t) opt.readers
               : 0;

    printf("{\"opened\": %d, \"refused\": %d, \"lost\": %d, "
           "\"open_s\": %.3f, \"open_cpu_us\": %.2f, "
           "\"messages\": %llu, \"expected\": %llu, \"arrived\": %llu, "
           "\"bytes\": %llu, \"gaps\": %llu, \"repeats\": %llu, "
           "\"cpu_s\": %.4f, \"cpu_us\": %.4f, \"client_cpu_s\": %.3f, "
           "\"p50_ms\": %.3f, \"p90_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"max_ms\": %.3f, "
           "\"frame_bytes\": %.2f, \"per_frame\": %.3f, \"broken\": %llu, "
           "\"came\": %d, \"snapshot_bytes\": %.0f, "
           "\"pss_kb\": %.0f, \"pss_open_kb\": %.0f, \"pss_end_kb\": %.0f, "
           "\"kb_per_reader\": %.3f}\n",
           res.opened, res.refused, res.lost, began,
           res.opened ? cpu_open * 1e6 / res.opened : 0,
           (unsigned long long) res.messages, (unsigned long long) expected,
           (unsigned long long) res.arrived, (unsigned long long) res.bytes,
           (unsigned long long) res.gaps, (unsigned long long) res.repeats,
           cpu, res.arrived ? cpu * 1e6 / (double) res.arrived : 0, mine,
           percentile(.5) / 1e3, percentile(.9) / 1e3, percentile(.99) / 1e3,
           (double) res.longest / 1e3,
           res.arrived ? (double) framed / (double) res.arrived : 0,
           frames_came ? (double) res.arrived / (double) frames_came : 0,
           (unsigned long long) res.broken, res.left,
           res.snapshots ? (double) res.snapshot_bytes
                           / (double) res.snapshots : 0,
           pss, pss_open, pss_end,
           res.opened ? (pss_open - pss) / res.opened : 0);

    return res.opened == opt.readers ? 0 : 1;
}


/* --- storm ----------------------------------------------------------------- */

static int storm(void)
{
    int       next = 0, all, retries = 0;
    double    cpu;
    uint64_t  began, limit;

    open_all();
    limit = now() + 10 * SECOND;

    while (served < res.opened && now() < limit) {
        turn(50);
    }

    all = res.opened;
    printf("ready\n");
    fflush(stdout);

    if (opt.wait) {
        limit = now() + 60 * SECOND;

        while (res.lost == 0 && now() < limit) {
            turn(1000);
        }

    } else {
        run_until(now() + SECOND / 2);
    }

    cpu = cpu_of_all();
    began = now();
    limit = began + 60 * SECOND;
    res.refused = 0;
    served = 0;

    for (int i = 0; i < opt.readers; i++) {
        conns[i].served = 0;
        conns[i].got = 0;

        if (!opt.wait) {
            close(conns[i].fd);
            conns[i].state = IDLE;
        }
    }

    if (!opt.wait) {
        res.opened = 0;
    }

    /* who is refused tries again at once */

    while (served < all && now() < limit) {

        for (int i = 0; i < OPENING; i++, next++) {
            conn_t  *c = &conns[next % opt.readers];

            if (c->state == GONE || c->state == IDLE) {
                retries += c->state == GONE && !opt.wait;
                start(c);
            }
        }

        turn(served < all ? 1 : 0);
    }

    began = now() - began;
    cpu = cpu_of_all() - cpu;

    printf("{\"readers\": %d, \"served\": %d, \"all_ms\": %.1f, "
           "\"retries\": %d, \"cpu_us\": %.1f}\n",
           all, served, (double) began / 1e6, retries,
           all ? cpu * 1e6 / all : 0);

    return served == all && all == opt.readers ? 0 : 1;
}


/* --- options --------------------------------------------------------------- */

static int usage(void)
{
    fprintf(stderr, "usage: load stream|storm --port N ...\n");
    return 2;
}


static int option(const char *name, char **value)
{
    const char  *v = value[0];

    if (strcmp(name, "--wait") == 0) {
        opt.wait = 1;
        return 0;
    }

    if (strcmp(name, "--plain") == 0) {
        opt.plain = 1;
        return 0;
    }

    if (strcmp(name, "--compress") == 0) {
        opt.compress = 1;
        return 0;
    }

    if (v == NULL) {
        return -1;
    }

    if (strcmp(name, "--port") == 0) {
        opt.port = atoi(v);

    } else if (strcmp(name, "--path") == 0) {
        opt.path = v;

    } else if (strcmp(name, "--transport") == 0) {
        opt.ws = strcmp(v, "ws") == 0;

    } else if (strcmp(name, "--readers") == 0) {
        opt.readers = atoi(v);

    } else if (strcmp(name, "--deaf") == 0) {
        opt.deaf = atoi(v);

    } else if (strcmp(name, "--rooms") == 0) {
        opt.rooms = atoi(v);

    } else if (strcmp(name, "--warm") == 0) {
        opt.warm = atof(v);

    } else if (strcmp(name, "--secs") == 0) {
        opt.secs = atof(v);

    } else if (strcmp(name, "--grace") == 0) {
        opt.grace = atof(v);

    } else if (strcmp(name, "--churn") == 0) {
        opt.churn = atof(v);

    } else if (strcmp(name, "--first") == 0) {
        opt.first = strtoul(v, NULL, 10);

    } else if (strcmp(name, "--hello") == 0) {
        opt.hello = v;

    } else if (strcmp(name, "--header") == 0 && opt.nheaders < LIST_MAX) {
        opt.headers[opt.nheaders++] = v;

    } else if (strcmp(name, "--pid") == 0 && opt.npids < LIST_MAX) {
        opt.pids[opt.npids++] = atoi(v);

    } else if (strcmp(name, "--echo") == 0 && value[1] != NULL) {
        opt.echo = v;
        opt.answer = value[1];
        return 2;

    } else {
        return -1;
    }

    return 1;
}


int main(int argc, char **argv)
{
    int  taken;

    if (argc < 2) {
        return usage();
    }

    for (int i = 2; i < argc; i += 1 + taken) {
        taken = option(argv[i], &argv[i + 1]);

        if (taken == -1) {
            fprintf(stderr, "load: %s?\n", argv[i]);
            return usage();
        }
    }

    if (opt.port == 0 || opt.readers < 1 || opt.rooms < 1) {
        return usage();
    }

    signal(SIGPIPE, SIG_IGN);
    conns = calloc((size_t) opt.readers, sizeof(conn_t));
    epoll = epoll_create1(EPOLL_CLOEXEC);

    if (conns == NULL || epoll == -1) {
        die("load");
    }

    if (strcmp(argv[1], "stream") == 0) {
        return stream();
    }

    if (strcmp(argv[1], "storm") == 0) {
        return storm();
    }

    return usage();
}
