/* Plain text out of what feeds call a title or a description. */

#include "news.h"
#include "../common/flux_utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


typedef struct {
    const char  *name;
    const char  *text;
} flux_entity_t;

static const flux_entity_t  flux_entities[] = {
    { "amp", "&" }, { "lt", "<" }, { "gt", ">" }, { "quot", "\"" },
    { "apos", "'" }, { "nbsp", " " }, { "hellip", "\xe2\x80\xa6" },
    { "ndash", "\xe2\x80\x93" }, { "mdash", "\xe2\x80\x94" },
    { "lsquo", "\xe2\x80\x98" }, { "rsquo", "\xe2\x80\x99" },
    { "ldquo", "\xe2\x80\x9c" }, { "rdquo", "\xe2\x80\x9d" },
    { "euro", "\xe2\x82\xac" }, { "pound", "\xc2\xa3" },
    { "eacute", "\xc3\xa9" }, { "egrave", "\xc3\xa8" },
    { "uuml", "\xc3\xbc" }, { "ouml", "\xc3\xb6" }, { "auml", "\xc3\xa4" }
};


/* &name; &#1234; &#x4d2; at p: its length, 0 if it is none */

static size_t
flux_entity(const char *p, char out[8], size_t *out_len)
{
    long     code;
    char    *end;
    size_t   i, len;

    if (*p != '&') {
        return 0;
    }

    len = 1 + strcspn(p + 1, "; \t\n<&");

    if (p[len] != ';' || len < 3 || len > 10) {
        return 0;
    }

    if (p[1] == '#') {
        code = (p[2] == 'x' || p[2] == 'X') ? strtol(p + 3, &end, 16)
                                            : strtol(p + 2, &end, 10);

        if (*end != ';' || code < 0x20 || code > 0x10ffff
            || (code >= 0xd800 && code <= 0xdfff)
            || (code >= 0x7f && code < 0xa0))
        {
            return 0;
        }

        *out_len = flux_utf8_encode((uint32_t) code, out);
        return len + 1;
    }

    for (i = 0; i < sizeof(flux_entities) / sizeof(flux_entities[0]); i++) {
        if (strlen(flux_entities[i].name) == len - 1
            && memcmp(flux_entities[i].name, p + 1, len - 1) == 0)
        {
            *out_len = strlen(flux_entities[i].text);
            memcpy(out, flux_entities[i].text, *out_len);
            return len + 1;
        }
    }

    return 0;
}


/* <b>, </p>, <!-- -->: its length, 0 if "<" is only a sign */

static size_t
flux_tag(const char *p)
{
    const char  *end;

    if (*p != '<' || (!isalpha((unsigned char) p[1]) && p[1] != '/'
                      && p[1] != '!'))
    {
        return 0;
    }

    end = strchr(p, '>');

    return (end != NULL) ? (size_t) (end - p) + 1 : 0;
}


void
flux_plain_text(char *out, size_t size, const char *html)
{
    char         bytes[8];
    size_t       n, len, taken;
    int          space;
    const char  *end;

    end = html + strlen(html);
    n = 0;
    space = 0;

    while (*html != '\0') {

        taken = flux_tag(html);
        if (taken != 0) {
            html += taken;
            space = 1;
            continue;
        }

        taken = flux_entity(html, bytes, &len);

        if (taken == 0) {
            taken = len = flux_utf8_length((const unsigned char *) html,
                                           (size_t) (end - html));
            if (taken == 0) {
                html++;
                continue;
            }

            memcpy(bytes, html, len);
        }

        html += taken;

        if (len == 1 && (unsigned char) bytes[0] <= ' ') {
            space = 1;
            continue;
        }

        if (n + (size_t) (space && n > 0) + len >= size) {
            break;
        }

        if (space && n > 0) {
            out[n++] = ' ';
        }

        space = 0;
        memcpy(out + n, bytes, len);
        n += len;
    }

    out[n] = '\0';
}


static int
flux_month(const char *p)
{
    int                 i;
    static const char   months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (i = 0; i < 12; i++) {
        if (strncasecmp(p, months + i * 3, 3) == 0) {
            return i;
        }
    }

    return -1;
}


/* days since 1970-01-01 of a proleptic Gregorian date, month from 0 */

static int64_t
flux_days(int64_t year, int month, int day)
{
    int64_t  era, yoe, doy, m;

    year -= (month < 2);
    era = ((year >= 0) ? year : year - 399) / 400;
    yoe = year - era * 400;
    m = (month + 10) % 12;
    doy = (153 * m + 2) / 5 + day - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}


/* "+0100", "+01:00", "Z", "GMT", "EST": minutes east of Greenwich */

static int
flux_zone(const char *p)
{
    int     hours, minutes;
    size_t  i;

    static const struct {
        const char  *name;
        int          minutes;
    } zones[] = {
        { "EST", -300 }, { "EDT", -240 }, { "CST", -360 }, { "CDT", -300 },
        { "MST", -420 }, { "MDT", -360 }, { "PST", -480 }, { "PDT", -420 }
    };

    if (*p == '+' || *p == '-') {
        if (sscanf(p + 1, "%2d:%2d", &hours, &minutes) != 2
            && sscanf(p + 1, "%2d%2d", &hours, &minutes) != 2)
        {
            return 0;
        }

        return (*p == '-') ? -(hours * 60 + minutes) : hours * 60 + minutes;
    }

    for (i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        if (strncmp(p, zones[i].name, 3) == 0) {
            return zones[i].minutes;
        }
    }

    return 0;
}


static int64_t
flux_date_ms(int year, int month, int day, int hour, int minute, int second,
    const char *zone)
{
    if (month < 0 || month > 11 || day < 1 || day > 31 || hour < 0
        || hour > 23 || minute < 0 || minute > 59 || second < 0
        || second > 60 || year < 1970 || year > 9999)
    {
        return 0;
    }

    return ((flux_days(year, month, day) * 24 + hour) * 60 + minute
            - flux_zone(zone)) * 60000 + (int64_t) second * 1000;
}


int64_t
flux_news_date(const char *text)
{
    int          year, month, day, hour, minute, second, n;
    char         name[4];
    const char  *p;

    second = 0;
    n = 0;

    if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &year, &month, &day,
               &hour, &minute, &second, &n) == 6)
    {
        p = text + n;

        if (*p == '.') {
            p += 1 + strspn(p + 1, "0123456789");
        }

        return flux_date_ms(year, month - 1, day, hour, minute, second, p);
    }

    /* the day's name before the comma may be missing */

    p = strchr(text, ',');
    p = (p != NULL) ? p + 1 : text;

    if (sscanf(p, "%2d %3[A-Za-z]%*[a-z] %4d %2d:%2d%n", &day, name, &year,
               &hour, &minute, &n) != 5
        && sscanf(p, "%2d %3[A-Za-z] %4d %2d:%2d%n", &day, name, &year, &hour,
                  &minute, &n) != 5)
    {
        return 0;
    }

    p += n;

    if (*p == ':' && sscanf(p, ":%2d%n", &second, &n) == 1) {
        p += n;
    }

    p += strspn(p, " ");

    return flux_date_ms(year, flux_month(name), day, hour, minute, second, p);
}
