#include "flux_writer.h"
#include "flux_utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>


void
flux_writer_init(flux_writer_t *w, flux_buffer_t *out)
{
    w->out = out;
    w->depth = 0;
    w->first = 1;
}


static void
flux_write_escaped(flux_buffer_t *out, const char *text, size_t len)
{
    size_t                n, start, i;
    char                  escape[8];
    const unsigned char  *p;

    p = (const unsigned char *) text;
    start = 0;
    i = 0;

    flux_buffer_append(out, "\"", 1);

    while (i < len) {
        n = flux_utf8_length(p + i, len - i);

        if (n != 0 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
            i += n;
            continue;
        }

        flux_buffer_append(out, text + start, i - start);

        if (n == 0) {
            flux_buffer_text(out, "\xef\xbf\xbd");

        } else if (p[i] == '"' || p[i] == '\\') {
            escape[0] = '\\';
            escape[1] = (char) p[i];
            flux_buffer_append(out, escape, 2);

        } else {
            snprintf(escape, sizeof(escape), "\\u%04x", p[i]);
            flux_buffer_text(out, escape);
        }

        i++;
        start = i;
    }

    flux_buffer_append(out, text + start, len - start);
    flux_buffer_append(out, "\"", 1);
}


static void
flux_write_name(flux_writer_t *w, const char *name)
{
    unsigned  bit;

    bit = 1u << w->depth;

    if (w->first & bit) {
        w->first &= ~bit;

    } else {
        flux_buffer_append(w->out, ",", 1);
    }

    if (name != NULL) {
        flux_write_escaped(w->out, name, strlen(name));
        flux_buffer_append(w->out, ":", 1);
    }
}


static void
flux_write_open(flux_writer_t *w, const char *name, char open, char close)
{
    flux_write_name(w, name);

    if (w->depth + 1 >= FLUX_WRITER_DEPTH) {
        w->out->failed = FLUX_FULL;
        return;
    }

    flux_buffer_append(w->out, &open, 1);

    w->close[w->depth++] = close;
    w->first |= 1u << w->depth;
}


void
flux_write_object(flux_writer_t *w, const char *name)
{
    flux_write_open(w, name, '{', '}');
}


void
flux_write_array(flux_writer_t *w, const char *name)
{
    flux_write_open(w, name, '[', ']');
}


void
flux_write_end(flux_writer_t *w)
{
    if (w->depth == 0) {
        w->out->failed = FLUX_INVALID;
        return;
    }

    flux_buffer_append(w->out, &w->close[--w->depth], 1);
}


void
flux_write_bytes(flux_writer_t *w, const char *name, const char *text,
    size_t len)
{
    flux_write_name(w, name);
    flux_write_escaped(w->out, text, len);
}


void
flux_write_text(flux_writer_t *w, const char *name, const char *text)
{
    if (text == NULL) {
        flux_write_null(w, name);
        return;
    }

    flux_write_bytes(w, name, text, strlen(text));
}


void
flux_write_int(flux_writer_t *w, const char *name, int64_t value)
{
    flux_write_name(w, name);
    flux_buffer_printf(w->out, "%" PRId64, value);
}


void
flux_write_bool(flux_writer_t *w, const char *name, int value)
{
    flux_write_name(w, name);
    flux_buffer_text(w->out, value ? "true" : "false");
}


void
flux_write_null(flux_writer_t *w, const char *name)
{
    flux_write_name(w, name);
    flux_buffer_text(w->out, "null");
}


void
flux_write_number(flux_writer_t *w, const char *name, const char *text)
{
    flux_write_name(w, name);
    flux_buffer_text(w->out, (text != NULL) ? text : "null");
}
