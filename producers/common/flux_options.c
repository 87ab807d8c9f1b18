#include "flux_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define FLUX_OPTIONS_MAX   96
#define FLUX_OPTION_NAME   64
#define FLUX_EXIT_USAGE    2

/* in --help, the column in which the explanation starts */
#define FLUX_HELP_COLUMN   30


typedef struct {
    const flux_option_t  *options[FLUX_OPTIONS_MAX];
    char                  names[FLUX_OPTIONS_MAX][FLUX_OPTION_NAME];
    struct option         longs[FLUX_OPTIONS_MAX + 1];
    int                   given[FLUX_OPTIONS_MAX];
    int                   count;
} flux_option_set_t;


static flux_rc_t
flux_parse_integer(const char *text, int64_t *value)
{
    char       *end;
    long long   n;

    if (*text != '-' && !isdigit((unsigned char) *text)) {
        return FLUX_INVALID;
    }

    errno = 0;
    n = strtoll(text, &end, 10);

    if (errno != 0 || *end != '\0' || end == text) {
        return FLUX_INVALID;
    }

    *value = n;

    return FLUX_OK;
}


/* "12.5" is 12500; more than three places are not a number here */

static flux_rc_t
flux_parse_milli(const char *text, int64_t *milli)
{
    int         places;
    int64_t     n;
    const char *p;

    n = 0;
    places = -1;

    for (p = text; *p != '\0'; p++) {

        if (*p == '.' && places < 0 && p > text) {
            places = 0;
            continue;
        }

        if (*p < '0' || *p > '9' || places == 3 || n > INT64_MAX / 100000) {
            return FLUX_INVALID;
        }

        n = n * 10 + (*p - '0');
        places += (places >= 0);
    }

    if (p == text || places == 0) {
        return FLUX_INVALID;
    }

    for (places = (places < 0) ? 0 : places; places < 3; places++) {
        n *= 10;
    }

    *milli = n;

    return FLUX_OK;
}


static flux_rc_t
flux_parse_time(const char *text, int64_t *ms)
{
    size_t      i, len;
    char        number[32];
    int64_t     milli;

    static const struct {
        const char  *unit;
        int64_t      ms;
    } units[] = {
        { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
        { "d", 86400000 }, { "", 1000 }
    };

    len = strspn(text, "0123456789.");

    if (len == 0 || len >= sizeof(number)) {
        return FLUX_INVALID;
    }

    memcpy(number, text, len);
    number[len] = '\0';

    if (flux_parse_milli(number, &milli) != FLUX_OK) {
        return FLUX_INVALID;
    }

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + len, units[i].unit) == 0) {

            if (milli > INT64_MAX / units[i].ms) {
                return FLUX_INVALID;
            }

            *ms = milli * units[i].ms / 1000;
            return FLUX_OK;
        }
    }

    return FLUX_INVALID;
}


flux_rc_t
flux_list_add(flux_list_t *list, const char *item, size_t len)
{
    char  **items;

    items = realloc(list->items, (list->count + 1) * sizeof(char *));
    if (items == NULL) {
        return FLUX_NOMEM;
    }

    list->items = items;

    items[list->count] = strndup(item, len);
    if (items[list->count] == NULL) {
        return FLUX_NOMEM;
    }

    list->count++;

    return FLUX_OK;
}


void
flux_list_free(flux_list_t *list)
{
    while (list->count > 0) {
        free(list->items[--list->count]);
    }

    free(list->items);
    list->items = NULL;
}


flux_rc_t
flux_list_split(flux_list_t *list, const char *value)
{
    size_t       len;
    const char  *p;

    for (p = value; *p != '\0'; p += len) {
        p += strspn(p, ", \t\n");
        len = strcspn(p, ",");

        while (len > 0 && isspace((unsigned char) p[len - 1])) {
            len--;
        }

        if (len > 0 && flux_list_add(list, p, len) != FLUX_OK) {
            return FLUX_NOMEM;
        }

        len = strcspn(p, ",");
    }

    return FLUX_OK;
}


static int
flux_option_is_choice(const char *choices, const char *value)
{
    size_t       len;
    const char  *p;

    len = strlen(value);

    for (p = choices; *p != '\0'; p += strcspn(p, "|")) {
        p += (*p == '|');

        if (strcspn(p, "|") == len && memcmp(p, value, len) == 0) {
            return len != 0;
        }
    }

    return 0;
}


static int
flux_option_is_url(const char *value)
{
    size_t       i;
    const char  *p;

    static const char *const  schemes[] = {
        "http://", "https://", "ws://", "wss://", "redis://"
    };

    for (p = value; *p != '\0'; p++) {
        if ((unsigned char) *p <= ' ' || *p == 0x7f) {
            return 0;
        }
    }

    for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strncmp(value, schemes[i], strlen(schemes[i])) == 0) {
            p = value + strlen(schemes[i]);

            /* user:password@host would be a key in plain sight */

            return *p != '\0' && *p != '/'
                   && memchr(p, '@', strcspn(p, "/?#")) == NULL;
        }
    }

    return 0;
}


static flux_rc_t
flux_option_set_number(const flux_option_t *option, const char *value,
    char *expected, size_t size)
{
    int64_t    n;
    flux_rc_t  rc;

    switch (option->type) {

    case FLUX_OPTION_RATE:
        rc = flux_parse_milli(value, &n);
        snprintf(expected, size, "a number from %g to %g",
                 (double) option->min / 1000, (double) option->max / 1000);
        break;

    case FLUX_OPTION_TIME:
        rc = flux_parse_time(value, &n);
        snprintf(expected, size, "a time from %gs to %gs, as 500ms, 10s, 5m",
                 (double) option->min / 1000, (double) option->max / 1000);
        break;

    default:
        rc = flux_parse_integer(value, &n);
        snprintf(expected, size, "a whole number from %lld to %lld",
                 (long long) option->min, (long long) option->max);
        break;
    }

    if (rc != FLUX_OK || n < option->min || n > option->max) {
        return FLUX_INVALID;
    }

    *(int64_t *) option->target = n;

    return FLUX_OK;
}


static flux_rc_t
flux_option_set(const flux_option_t *option, const char *value,
    char *expected, size_t size)
{
    switch (option->type) {

    case FLUX_OPTION_GROUP:
    case FLUX_OPTION_FLAG:
    case FLUX_OPTION_SECRET:
        break;

    case FLUX_OPTION_CHOICE:
        snprintf(expected, size, "one of %s", option->choices);

        if (!flux_option_is_choice(option->choices, value)) {
            return FLUX_INVALID;
        }

        *(const char **) option->target = value;
        break;

    case FLUX_OPTION_URL:
        snprintf(expected, size, "a URL without user and password");

        if (!flux_option_is_url(value)) {
            return FLUX_INVALID;
        }

        *(const char **) option->target = value;
        break;

    case FLUX_OPTION_TEXT:
        snprintf(expected, size, "a text that is not empty");

        if (*value == '\0') {
            return FLUX_INVALID;
        }

        *(const char **) option->target = value;
        break;

    case FLUX_OPTION_LIST:
        snprintf(expected, size, "a list");
        return flux_list_split(option->target, value);

    case FLUX_OPTION_INTEGER:
    case FLUX_OPTION_RATE:
    case FLUX_OPTION_TIME:
        return flux_option_set_number(option, value, expected, size);
    }

    return FLUX_OK;
}


static void
flux_option_env_name(const char *name, char out[FLUX_OPTION_NAME])
{
    size_t  i;

    for (i = 0; name[i] != '\0' && i < FLUX_OPTION_NAME - 1; i++) {
        out[i] = (name[i] == '-') ? '_'
                                  : (char) toupper((unsigned char) name[i]);
    }

    out[i] = '\0';
}


static int
flux_usage(const flux_options_t *options)
{
    fprintf(stderr, "Try '%s --help'.\n", options->program);

    return FLUX_EXIT_USAGE;
}


static int
flux_secret_set(const flux_options_t *options, const flux_option_t *option,
    const char *value, size_t len, const char *from)
{
    size_t  i;
    char   *target = option->target;

    while (len > 0 && isspace((unsigned char) value[len - 1])) {
        len--;
    }

    for (i = 0; i < len; i++) {
        if (!isgraph((unsigned char) value[i])) {
            break;
        }
    }

    if (len == 0 || i < len || len >= FLUX_SECRET_SIZE) {
        fprintf(stderr, "%s: %s: no key of 1 to %d printable characters\n",
                options->program, from, FLUX_SECRET_SIZE - 1);
        return flux_usage(options);
    }

    memcpy(target, value, len);
    target[len] = '\0';

    return -1;
}


static int
flux_secret_from_file(const flux_options_t *options,
    const flux_option_t *option, const char *path)
{
    char    text[FLUX_SECRET_SIZE + 1];
    FILE   *file;
    size_t  len;

    file = fopen(path, "re");
    if (file == NULL) {
        /* not the path: it may be a key given by mistake */
        fprintf(stderr, "%s: --%s-file: the file cannot be read: %s\n",
                options->program, option->name, strerror(errno));
        return flux_usage(options);
    }

    len = fread(text, 1, sizeof(text), file);
    fclose(file);

    return flux_secret_set(options, option, text, len, "the key's file");
}


static int
flux_option_apply(const flux_options_t *options, const flux_option_t *option,
    const char *value, const char *from)
{
    char  expected[160];

    if (option->type == FLUX_OPTION_SECRET) {
        return flux_secret_from_file(options, option, value);
    }

    if (flux_option_set(option, value, expected, sizeof(expected))
        != FLUX_OK)
    {
        fprintf(stderr, "%s: %s: '%s' is not %s\n", options->program, from,
                value, expected);
        return flux_usage(options);
    }

    return -1;
}


static int
flux_options_env(const flux_options_t *options, const flux_option_t *option)
{
    char         name[FLUX_OPTION_NAME], file[FLUX_OPTION_NAME + 8];
    const char  *value;

    flux_option_env_name(option->name, name);

    if (option->type == FLUX_OPTION_SECRET) {
        snprintf(file, sizeof(file), "%s_FILE", name);

        value = getenv(name);
        if (value != NULL && *value != '\0') {
            return flux_secret_set(options, option, value, strlen(value),
                                   name);
        }

        value = getenv(file);
        if (value != NULL && *value != '\0') {
            return flux_secret_from_file(options, option, value);
        }

        return -1;
    }

    value = getenv(name);

    if (option->type == FLUX_OPTION_FLAG || value == NULL || *value == '\0') {
        return -1;
    }

    return flux_option_apply(options, option, value, name);
}


static void
flux_option_set_add(flux_option_set_t *set, const flux_option_t *table)
{
    struct option  *o;

    for ( /* void */ ; table->name != NULL; table++) {

        if (table->type == FLUX_OPTION_GROUP
            || set->count == FLUX_OPTIONS_MAX)
        {
            continue;
        }

        snprintf(set->names[set->count], FLUX_OPTION_NAME, "%s%s",
                 table->name,
                 (table->type == FLUX_OPTION_SECRET) ? "-file" : "");

        o = &set->longs[set->count];
        o->name = set->names[set->count];
        o->has_arg = (table->type == FLUX_OPTION_FLAG) ? no_argument
                                                       : required_argument;
        set->options[set->count++] = table;
    }
}


static void
flux_help_line(const char *left, const char *help)
{
    size_t       len, end;
    const char  *p;

    len = strlen(left);
    fputs(left, stdout);

    if (len > FLUX_HELP_COLUMN - 2) {
        fputc('\n', stdout);
        len = 0;
    }

    for (p = help; *p != '\0'; p += end + (p[end] == '\n')) {
        end = strcspn(p, "\n");
        printf("%*s", (int) (FLUX_HELP_COLUMN - len), "");
        fwrite(p, 1, end, stdout);
        fputc('\n', stdout);
        len = 0;
    }
}


static void
flux_help_table(const flux_option_t *option)
{
    char  left[128];

    for ( /* void */ ; option->name != NULL; option++) {

        if (option->type == FLUX_OPTION_GROUP) {
            printf("\n%s\n", option->name);
            continue;
        }

        if (option->type == FLUX_OPTION_SECRET) {
            snprintf(left, sizeof(left), "  --%s-file FILE", option->name);

        } else {
            snprintf(left, sizeof(left), "  --%s%s%s", option->name,
                     (option->argument != NULL) ? " " : "",
                     (option->argument != NULL) ? option->argument : "");
        }

        flux_help_line(left, option->help);
    }
}


static void
flux_help(const flux_options_t *options)
{
    printf("Usage: %s [OPTION]...\n\n%s\n", options->program,
           options->summary);

    flux_help_table(options->own);
    flux_help_table(options->common);

    printf("\nEvery option with a value can also be set in the environment:"
           "\n--log-format as LOG_FORMAT, and so on; the command line wins. "
           "A key is taken\nfrom the environment or from a file, never from "
           "the command line.\n\n"
           "Exit codes: 0 done or stopped by SIGTERM, 1 what was asked for "
           "could not be\ndone, 2 a setting is wrong.\n\n"
           "Examples:\n%s", options->examples);
}


int
flux_options_parse(const flux_options_t *options, int argc,
    char *const argv[])
{
    int                 i, c, rc;
    char                from[FLUX_OPTION_NAME + 4];
    flux_option_set_t   set;
    const flux_option_t *option;

    memset(&set, 0, sizeof(set));
    flux_option_set_add(&set, options->own);
    flux_option_set_add(&set, options->common);

    for (i = 0; i < set.count; i++) {
        rc = flux_options_env(options, set.options[i]);
        if (rc != -1) {
            return rc;
        }
    }

    optind = 0;

    while ((c = getopt_long(argc, argv, "", set.longs, &i)) != -1) {

        if (c != 0) {
            return flux_usage(options);     /* getopt said what is wrong */
        }

        option = set.options[i];

        if (strcmp(option->name, "help") == 0) {
            flux_help(options);
            return 0;
        }

        if (strcmp(option->name, "version") == 0) {
            printf("%s %s\n", options->program, FLUX_VERSION);
            return 0;
        }

        if (option->type == FLUX_OPTION_FLAG) {
            *(int *) option->target = 1;
            continue;
        }

        if (option->type == FLUX_OPTION_LIST && !set.given[i]) {
            flux_list_free(option->target);     /* the environment's */
        }

        set.given[i] = 1;
        snprintf(from, sizeof(from), "--%s", set.names[i]);

        rc = flux_option_apply(options, option, optarg, from);
        if (rc != -1) {
            return rc;
        }
    }

    if (optind < argc) {
        fprintf(stderr, "%s: '%s' is not an option\n", options->program,
                argv[optind]);
        return flux_usage(options);
    }

    return -1;
}
