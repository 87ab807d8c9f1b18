/*
 * Settings from the environment and the command line, one table for both
 * and for --help. --some-name is also SOME_NAME in the environment (flags
 * excepted); the command line wins. A secret NAME comes from the environment
 * or from the file named by --NAME-file, never from the command line, where
 * every user of the machine could read it.
 */

#ifndef FLUX_OPTIONS_H
#define FLUX_OPTIONS_H

#include "flux_common.h"

#define FLUX_SECRET_SIZE  256

typedef enum {
    FLUX_OPTION_GROUP = 0,  /* a heading in --help */
    FLUX_OPTION_FLAG,       /* int */
    FLUX_OPTION_TEXT,       /* const char * */
    FLUX_OPTION_CHOICE,     /* const char *, one of choices */
    FLUX_OPTION_LIST,       /* flux_list_t; commas or repeated */
    FLUX_OPTION_INTEGER,    /* int64_t */
    FLUX_OPTION_RATE,       /* int64_t, thousandths: "0.5" is 500 */
    FLUX_OPTION_TIME,       /* int64_t, ms: 250ms, 10s, 5m, 2h, 1d */
    FLUX_OPTION_URL,        /* const char *, http(s):// or ws(s):// */
    FLUX_OPTION_SECRET      /* char[FLUX_SECRET_SIZE] */
} flux_option_type_t;

typedef struct {
    flux_option_type_t  type;
    const char         *name;
    const char         *argument;   /* in --help: DIR, URL */
    const char         *help;       /* may have several lines */
    void               *target;
    int64_t             min;        /* numbers: in the target's unit */
    int64_t             max;
    const char         *choices;    /* "text|json" */
} flux_option_t;

typedef struct {
    char    **items;
    size_t    count;
} flux_list_t;

typedef struct {
    const char           *program;
    const char           *summary;      /* for --help */
    const char           *examples;
    const flux_option_t  *own;          /* ends with a NULL name */
    const flux_option_t  *common;
} flux_options_t;

/*
 * Fills the targets. Returns -1 to go on, or the exit code to leave with: 0
 * after --help or --version, 2 after telling on stderr what is wrong.
 */
int flux_options_parse(const flux_options_t *options, int argc,
    char *const argv[]);

/* Adds what stands between commas, without the spaces around it. */
flux_rc_t flux_list_split(flux_list_t *list, const char *text);
flux_rc_t flux_list_add(flux_list_t *list, const char *item, size_t len);
void flux_list_free(flux_list_t *list);

#endif /* FLUX_OPTIONS_H */
