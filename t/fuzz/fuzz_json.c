/*
 * flux_json_check() and jansson say the same of every text, but for
 *
 *   what jansson cannot hold: numbers out of the range of its types, \u0000
 *   in a name;
 *   a lone surrogate written as an escape: RFC 8259 lets it be;
 *   depth: 1024 here, 2048 there;
 *   a NUL byte behind the value: jansson takes it for the end of the text.
 *
 * A text without its newlines means the same. Any bytes, escaped, are a JSON
 * string, and the same each time.
 */

#include <jansson.h>

#include "fuzz.h"
#include "flux_json.h"


#define FLAGS  (JSON_DECODE_ANY | JSON_ALLOW_NUL)


static int
jansson_may_refuse(const json_error_t *error)
{
    switch (json_error_code(error)) {

    case json_error_numeric_overflow:
    case json_error_null_byte_in_key:
    case json_error_null_character:
        return 1;

    case json_error_invalid_syntax:
        return strstr(error->text, "invalid Unicode") != NULL;

    default:
        return 0;
    }
}


static void
check_copy(const uint8_t *data, size_t size, size_t newlines,
    const json_t *value)
{
    size_t    again;
    json_t   *copied;
    uint8_t  *copy = must_alloc(size - newlines);

    must(flux_json_copy(copy, data, size) == copy + size - newlines);
    must(flux_json_check(copy, size - newlines, &again) == FLUX_JSON_OK);
    must(again == 0);

    if (value) {
        copied = json_loadb((const char *) copy, size - newlines, FLAGS,
                            NULL);
        must(copied != NULL && json_equal(copied, value));
        json_decref(copied);
    }

    free(copy);
}


static void
check_escape(const uint8_t *data, size_t size)
{
    size_t    escaped, newlines;
    json_t   *value;
    uint8_t  *text;

    escaped = flux_json_escaped_size(data, size);
    text = must_alloc(escaped + 2);

    text[0] = '"';
    must(flux_json_escape(text + 1, data, size) == text + 1 + escaped);
    must(flux_json_verbatim(data, size)
         == (escaped == size && memcmp(text + 1, data, size) == 0));
    text[escaped + 1] = '"';

    must(flux_json_check(text, escaped + 2, &newlines) == FLUX_JSON_OK);
    must(newlines == 0);

    value = json_loadb((const char *) text, escaped + 2, FLAGS, NULL);
    must(json_is_string(value));

    if (flux_utf8_valid(data, size)) {
        must(json_string_length(value) == size);
        must(memcmp(json_string_value(value), data, size) == 0);
    }

    json_decref(value);
    free(text);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t               newlines;
    json_t              *value;
    json_error_t         error;
    flux_json_status_t   status;

    status = flux_json_check(data, size, &newlines);
    value = json_loadb((const char *) data, size, FLAGS, &error);

    if (status == FLUX_JSON_OK) {
        must(value != NULL || jansson_may_refuse(&error));
        check_copy(data, size, newlines, value);

    } else {
        must(value == NULL || status == FLUX_JSON_DEPTH
             || memchr(data, 0, size) != NULL);
    }

    json_decref(value);
    check_escape(data, size);

    return 0;
}
