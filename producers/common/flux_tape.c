#include "flux_tape.h"
#include "flux_base64.h"
#include "flux_tree.h"
#include "flux_utf8.h"
#include "flux_writer.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>


#define FLUX_TAPE_FILES  16

/* a body is at most 2 MiB raw, and each byte at most 6 when escaped */
#define FLUX_TAPE_LINE   (16 * 1024 * 1024)

/* recording stops there: a forgotten --record must not fill the disk */
#define FLUX_TAPE_BYTES  ((int64_t) 1024 * 1024 * 1024)

/* between two rounds of a tape that lasts no time at all */
#define FLUX_TAPE_PAUSE  1000


struct flux_recorder_s {
    char                  dir[PATH_MAX];
    const flux_logger_t  *log;
    int64_t               bytes;
    int                   failed;
};


typedef struct {
    FILE     *file;
    char     *line;
    size_t    size;
    int64_t   at;           /* of the line that is next */
    int       ready;
} flux_track_t;


struct flux_player_s {
    flux_loop_t          *loop;
    const flux_logger_t  *log;
    flux_track_t          tracks[FLUX_TAPE_FILES];
    unsigned              count;
    int64_t               speed;
    flux_play_pt          play;
    void                 *arg;
    flux_timer_t          timer;
    int64_t               first;        /* at of the first line */
    int64_t               started;
    int                   complained;
};


flux_recorder_t *
flux_recorder_new(const char *dir, const flux_logger_t *log)
{
    flux_recorder_t  *recorder;

    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        return NULL;
    }

    recorder = calloc(1, sizeof(flux_recorder_t));
    if (recorder == NULL) {
        return NULL;
    }

    if (flux_copy_text(recorder->dir, sizeof(recorder->dir), dir)
        != FLUX_OK)
    {
        free(recorder);
        errno = ENAMETOOLONG;
        return NULL;
    }

    recorder->log = log;

    return recorder;
}


void
flux_recorder_free(flux_recorder_t *recorder)
{
    free(recorder);
}


static flux_rc_t
flux_recorder_line(flux_buffer_t *line, const char *provider,
    const char *request, const flux_reply_t *reply)
{
    flux_writer_t  w;
    flux_buffer_t  encoded;

    flux_buffer_init(&encoded, FLUX_TAPE_LINE);
    flux_writer_init(&w, line);

    flux_write_object(&w, NULL);
    flux_write_int(&w, "at", reply->wall_ms);
    flux_write_text(&w, "provider", provider);
    flux_write_text(&w, "request", request);
    flux_write_int(&w, "status", reply->status);

    if (flux_utf8_valid(reply->body, reply->len)
        && memchr(reply->body, '\0', reply->len) == NULL)
    {
        flux_write_bytes(&w, "body", reply->body, reply->len);

    } else if (flux_base64_encode(&encoded, reply->body, reply->len)
               == FLUX_OK)
    {
        flux_write_bytes(&w, "body64", encoded.data, encoded.len);
    }

    flux_write_end(&w);
    flux_buffer_append(line, "\n", 1);
    flux_buffer_free(&encoded);

    return line->failed;
}


static int
flux_recorder_append(const flux_recorder_t *recorder, const char *provider,
    const flux_buffer_t *line)
{
    int    ok;
    char   path[PATH_MAX + 128];
    FILE  *file;

    snprintf(path, sizeof(path), "%s/%.100s.jsonl", recorder->dir, provider);

    file = fopen(path, "ae");
    if (file == NULL) {
        return 0;
    }

    ok = fwrite(line->data, 1, line->len, file) == line->len;

    return (fclose(file) == 0) && ok;
}


void
flux_recorder_write(flux_recorder_t *recorder, const char *provider,
    const char *request, const flux_reply_t *reply)
{
    flux_buffer_t  line;

    if (recorder == NULL || recorder->failed || reply->status == 0) {
        return;
    }

    flux_buffer_init(&line, FLUX_TAPE_LINE);

    if (flux_recorder_line(&line, provider, request, reply) != FLUX_OK
        || !flux_recorder_append(recorder, provider, &line))
    {
        flux_log(recorder->log, FLUX_FAIL, "recording to %s stops: %s",
                 recorder->dir, strerror(errno));
        recorder->failed = 1;
    }

    recorder->bytes += (int64_t) line.len;

    if (recorder->bytes > FLUX_TAPE_BYTES && !recorder->failed) {
        flux_log(recorder->log, FLUX_WARN,
                 "recording to %s stops: the tape is 1 GiB", recorder->dir);
        recorder->failed = 1;
    }

    flux_buffer_free(&line);
}


static void
flux_player_complain(flux_player_t *player, const char *what)
{
    if (!player->complained) {
        player->complained = 1;
        flux_log(player->log, FLUX_WARN, "tape: %s is skipped", what);
    }
}


/* reads on to a line whose time can be read; ready is 0 at the end */

static void
flux_track_advance(flux_player_t *player, flux_track_t *track)
{
    ssize_t      n;
    flux_rc_t    rc;
    flux_tree_t  tree;

    track->ready = 0;

    while (!track->ready
           && (n = getline(&track->line, &track->size, track->file)) > 0)
    {
        if (n > FLUX_TAPE_LINE) {
            flux_player_complain(player, "a line that is too long");
            continue;
        }

        rc = flux_tree_parse(&tree, track->line, (size_t) n);

        if (rc == FLUX_OK) {
            rc = flux_tree_int(&tree, flux_tree_root(&tree), "at",
                               &track->at);
        }

        flux_tree_free(&tree);

        if (rc == FLUX_OK) {
            track->ready = 1;

        } else {
            flux_player_complain(player, "a line that is not of a tape");
        }
    }
}


static void
flux_player_rewind(flux_player_t *player)
{
    int       any;
    unsigned  i;

    any = 0;
    player->first = 0;

    for (i = 0; i < player->count; i++) {
        rewind(player->tracks[i].file);
        flux_track_advance(player, &player->tracks[i]);

        if (player->tracks[i].ready
            && (!any || player->tracks[i].at < player->first))
        {
            any = 1;
            player->first = player->tracks[i].at;
        }
    }
}


static flux_track_t *
flux_player_next(flux_player_t *player)
{
    unsigned       i;
    flux_track_t  *next;

    next = NULL;

    for (i = 0; i < player->count; i++) {
        if (player->tracks[i].ready
            && (next == NULL || player->tracks[i].at < next->at))
        {
            next = &player->tracks[i];
        }
    }

    return next;
}


static void
flux_player_deliver(flux_player_t *player, const flux_tree_t *tree,
    const char *provider, const char *request, int64_t at, int64_t status)
{
    const char     *body64;
    flux_reply_t    reply;
    flux_buffer_t   decoded;
    const flux_node_t *body;

    memset(&reply, 0, sizeof(reply));
    reply.status = (int) status;
    reply.retry_after = -1;
    reply.etag = "";
    reply.source = FLUX_REPLAY;
    reply.wall_ms = at;

    flux_buffer_init(&decoded, FLUX_TAPE_LINE);

    body = flux_tree_member(tree, flux_tree_root(tree), "body");
    body64 = flux_tree_string(tree, flux_tree_root(tree), "body64");

    if (body != NULL && body->type == FLUX_NODE_STRING) {
        reply.body = body->text;
        reply.len = body->len;

    } else if (body64 != NULL
               && flux_base64_decode(&decoded, body64) == FLUX_OK)
    {
        reply.body = (decoded.data != NULL) ? decoded.data : "";
        reply.len = decoded.len;

    } else {
        flux_player_complain(player, "a reply without a body");
        return;
    }

    player->play(player->arg, provider, request, &reply);
    flux_buffer_free(&decoded);
}


static void
flux_player_play(flux_player_t *player, flux_track_t *track)
{
    int64_t              status;
    const char          *provider, *request;
    flux_tree_t          tree;
    const flux_node_t   *root;

    if (flux_tree_parse(&tree, track->line, strlen(track->line)) == FLUX_OK) {

        root = flux_tree_root(&tree);
        provider = flux_tree_string(&tree, root, "provider");
        request = flux_tree_string(&tree, root, "request");

        if (provider != NULL && request != NULL
            && flux_tree_int(&tree, root, "status", &status) == FLUX_OK
            && status >= 100 && status <= 599)
        {
            flux_player_deliver(player, &tree, provider, request, track->at,
                                status);
        } else {
            flux_player_complain(player, "a line that is not of a tape");
        }
    }

    flux_tree_free(&tree);
    flux_track_advance(player, track);
}


static void
flux_player_tick(void *arg)
{
    int64_t         due, now;
    flux_track_t   *track;
    flux_player_t  *player = arg;

    now = flux_loop_now(player->loop);
    track = flux_player_next(player);

    if (track == NULL) {
        flux_player_rewind(player);
        player->started = now + FLUX_TAPE_PAUSE;
        flux_timer_set(player->loop, &player->timer, FLUX_TAPE_PAUSE);
        return;
    }

    due = player->started
          + (track->at - player->first) * 1000 / player->speed;

    if (due > now) {
        flux_timer_set(player->loop, &player->timer, due - now);
        return;
    }

    /* one line a turn: whatever the speed, the loop goes on turning */

    flux_timer_set(player->loop, &player->timer, 0);
    flux_player_play(player, track);
}


static int
flux_player_is_track(const struct dirent *entry)
{
    size_t  len;

    len = strlen(entry->d_name);

    return len > 6 && strcmp(entry->d_name + len - 6, ".jsonl") == 0;
}


static flux_rc_t
flux_player_open(flux_player_t *player, const char *dir)
{
    int              i, n;
    char             path[PATH_MAX];
    FILE            *file;
    struct dirent  **names;

    n = scandir(dir, &names, flux_player_is_track, alphasort);
    if (n < 0) {
        return FLUX_ERROR;
    }

    for (i = 0; i < n; i++) {
        if (player->count < FLUX_TAPE_FILES
            && snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name)
               < (int) sizeof(path))
        {
            file = fopen(path, "re");
            if (file != NULL) {
                player->tracks[player->count++].file = file;
            }
        }

        free(names[i]);
    }

    free(names);

    if (player->count == 0) {
        errno = ENOENT;
        return FLUX_ERROR;
    }

    return FLUX_OK;
}


flux_player_t *
flux_player_new(flux_loop_t *loop, const flux_logger_t *log, const char *dir,
    int64_t speed, flux_play_pt play, void *arg, char *error, size_t size)
{
    flux_player_t  *player;

    player = calloc(1, sizeof(flux_player_t));
    if (player == NULL) {
        flux_copy_text(error, size, "out of memory");
        return NULL;
    }

    player->loop = loop;
    player->log = log;
    player->speed = (speed > 0) ? speed : 1000;
    player->play = play;
    player->arg = arg;
    flux_timer_init(&player->timer, flux_player_tick, player);

    if (flux_player_open(player, dir) != FLUX_OK) {
        snprintf(error, size, "no tape in %s: %s", dir, strerror(errno));
        flux_player_free(player);
        return NULL;
    }

    flux_player_rewind(player);

    if (flux_player_next(player) == NULL) {
        snprintf(error, size, "the tape in %s is empty", dir);
        flux_player_free(player);
        return NULL;
    }

    return player;
}


void
flux_player_free(flux_player_t *player)
{
    unsigned  i;

    if (player == NULL) {
        return;
    }

    flux_timer_clear(player->loop, &player->timer);

    for (i = 0; i < player->count; i++) {
        fclose(player->tracks[i].file);
        free(player->tracks[i].line);
    }

    free(player);
}


void
flux_player_start(flux_player_t *player)
{
    flux_player_rewind(player);
    player->started = flux_monotonic_ms();
    flux_timer_set(player->loop, &player->timer, 0);
}


void
flux_player_stop(flux_player_t *player)
{
    flux_timer_clear(player->loop, &player->timer);
}


size_t
flux_player_run(flux_player_t *player)
{
    size_t         n;
    flux_track_t  *track;

    flux_player_rewind(player);

    for (n = 0; (track = flux_player_next(player)) != NULL; n++) {
        flux_player_play(player, track);
    }

    return n;
}
