#include "flux_logger.h"
#include "flux_writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>


/* a longer line is cut: a provider's error text is not worth more */
#define FLUX_LOG_TEXT  1024

static const char  *flux_level_names[] = { "debug", "info", "warn", "error" };


void
flux_logger_init(flux_logger_t *log, const char *program)
{
    log->program = program;
    log->level = FLUX_INFO;
    log->json = 0;
    log->fd = STDERR_FILENO;
}


flux_rc_t
flux_logger_level(flux_logger_t *log, const char *name)
{
    int  i;

    for (i = FLUX_DEBUG; i <= FLUX_FAIL; i++) {
        if (strcmp(name, flux_level_names[i]) == 0) {
            log->level = (flux_level_t) i;
            return FLUX_OK;
        }
    }

    return FLUX_INVALID;
}


static void
flux_log_json(const flux_logger_t *log, flux_buffer_t *line,
    flux_level_t level, const char *time, const char *text)
{
    flux_writer_t  w;

    flux_writer_init(&w, line);
    flux_write_object(&w, NULL);
    flux_write_text(&w, "time", time);
    flux_write_text(&w, "level", flux_level_names[level]);
    flux_write_text(&w, "program", log->program);
    flux_write_text(&w, "message", text);
    flux_write_end(&w);
}


static void
flux_log_text(const flux_logger_t *log, flux_buffer_t *line,
    flux_level_t level, const char *time, char *text)
{
    char  *p;

    for (p = text; *p != '\0'; p++) {
        if ((unsigned char) *p < 0x20 || *p == 0x7f) {
            *p = ' ';
        }
    }

    flux_buffer_printf(line, "%s %s %s: %s", time, log->program,
                       flux_level_names[level], text);
}


void
flux_log(const flux_logger_t *log, flux_level_t level, const char *format,
    ...)
{
    char           text[FLUX_LOG_TEXT], time[FLUX_TIME_SIZE];
    va_list        args;
    flux_buffer_t  line;

    if (level < log->level) {
        return;
    }

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);

    flux_format_time(flux_wall_ms(), time);
    flux_buffer_init(&line, FLUX_LOG_TEXT * 8);

    if (log->json) {
        flux_log_json(log, &line, level, time, text);

    } else {
        flux_log_text(log, &line, level, time, text);
    }

    flux_buffer_append(&line, "\n", 1);

    if (line.failed == FLUX_OK) {
        /* nothing sensible is left to do if stderr is gone */
        if (write(log->fd, line.data, line.len) < 0) {
            line.failed = FLUX_ERROR;
        }
    }

    flux_buffer_free(&line);
}
