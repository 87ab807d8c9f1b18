/*
 * librdkafka properties from --kafka-property and --kafka-config. What is a
 * password has to come from the file: the command line is for all to read.
 */

#ifndef FLUX_PROPERTIES_H
#define FLUX_PROPERTIES_H

#include "flux_options.h"

/*
 * name, value, ..., NULL; the texts live in *text. NULL: error tells why.
 * file may be NULL. The list's entries win over the file's.
 */
const char **flux_properties_new(const char *file, const flux_list_t *list,
    char **text, char *error, size_t size);
void flux_properties_free(const char **properties, char *text);

#endif /* FLUX_PROPERTIES_H */
