#include "flux_properties.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define FLUX_PROPERTIES_MAX   128
#define FLUX_PROPERTIES_FILE  65536


static int
flux_property_is_secret(const char *name)
{
    return strstr(name, "password") != NULL || strstr(name, "secret") != NULL
           || strstr(name, ".pem") != NULL;
}


/* cuts NAME=VALUE in two, in place; spaces around both go */

static flux_rc_t
flux_property_split(char *line, const char **name, const char **value)
{
    char  *p, *equals;

    equals = strchr(line, '=');
    if (equals == NULL) {
        return FLUX_INVALID;
    }

    *equals = '\0';

    for (p = equals; p > line && isspace((unsigned char) p[-1]); p--) {
        p[-1] = '\0';
    }

    line += strspn(line, " \t");
    equals += 1 + strspn(equals + 1, " \t");

    for (p = equals + strlen(equals);
         p > equals && isspace((unsigned char) p[-1]);
         p--)
    {
        p[-1] = '\0';
    }

    *name = line;
    *value = equals;

    return (*line != '\0') ? FLUX_OK : FLUX_INVALID;
}


static size_t
flux_properties_read(const char *path, char *text)
{
    FILE   *file;
    size_t  len;

    file = fopen(path, "re");
    if (file == NULL) {
        return SIZE_MAX;
    }

    len = fread(text, 1, FLUX_PROPERTIES_FILE, file);
    fclose(file);

    text[len] = '\0';

    return len;
}


static flux_rc_t
flux_properties_file(const char *path, char *text, const char **out,
    size_t *n, char *error, size_t size)
{
    int      number;
    char    *line, *rest;
    size_t   len;

    len = flux_properties_read(path, text);

    if (len == SIZE_MAX) {
        snprintf(error, size, "%s: %s", path, strerror(errno));
        return FLUX_ERROR;
    }

    if (len >= FLUX_PROPERTIES_FILE) {
        snprintf(error, size, "%s: larger than %d bytes", path,
                 FLUX_PROPERTIES_FILE);
        return FLUX_FULL;
    }

    number = 0;
    rest = text;

    while ((line = strsep(&rest, "\n")) != NULL) {
        number++;
        line += strspn(line, " \t\r");

        if (*line == '\0' || *line == '#') {
            continue;
        }

        if (*n + 2 > FLUX_PROPERTIES_MAX * 2
            || flux_property_split(line, &out[*n], &out[*n + 1]) != FLUX_OK)
        {
            snprintf(error, size, "%s:%d: not NAME=VALUE", path, number);
            return FLUX_INVALID;
        }

        *n += 2;
    }

    return FLUX_OK;
}


static flux_rc_t
flux_properties_list(const flux_list_t *list, const char **out, size_t *n,
    char *error, size_t size)
{
    size_t  i;

    for (i = 0; i < list->count; i++) {

        if (*n + 2 > FLUX_PROPERTIES_MAX * 2
            || flux_property_split(list->items[i], &out[*n], &out[*n + 1])
               != FLUX_OK)
        {
            snprintf(error, size, "--kafka-property: '%s' is not NAME=VALUE",
                     list->items[i]);
            return FLUX_INVALID;
        }

        if (flux_property_is_secret(out[*n])) {
            snprintf(error, size, "--kafka-property: %s belongs into the "
                     "file of --kafka-config, where others cannot read it",
                     out[*n]);
            return FLUX_INVALID;
        }

        *n += 2;
    }

    return FLUX_OK;
}


const char **
flux_properties_new(const char *file, const flux_list_t *list, char **text,
    char *error, size_t size)
{
    size_t        n;
    const char  **out;

    n = 0;
    out = calloc(FLUX_PROPERTIES_MAX * 2 + 1, sizeof(char *));
    *text = calloc(1, FLUX_PROPERTIES_FILE + 1);

    if (out == NULL || *text == NULL) {
        flux_copy_text(error, size, "out of memory");

    } else if ((file == NULL
                || flux_properties_file(file, *text, out, &n, error, size)
                   == FLUX_OK)
               && flux_properties_list(list, out, &n, error, size) == FLUX_OK)
    {
        return out;
    }

    flux_properties_free(out, *text);
    *text = NULL;

    return NULL;
}


void
flux_properties_free(const char **properties, char *text)
{
    free(properties);
    free(text);
}
