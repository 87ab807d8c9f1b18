#include "ngx_http_flux_header.h"


/*
 * The next element of this name from a place in a list on; NULL: there is none.
 * To begin with, the place is the list's first part and 0.
 */

static ngx_table_elt_t *
ngx_http_flux_header_next(ngx_list_part_t **part, ngx_uint_t *i,
    const char *name)
{
    size_t            len = ngx_strlen(name);
    ngx_table_elt_t  *h;

    for ( /* void */ ; *part != NULL; *part = (*part)->next, *i = 0) {

        while (*i < (*part)->nelts) {
            h = (ngx_table_elt_t *) (*part)->elts + (*i)++;

            if (h->key.len == len
                && ngx_strncasecmp(h->key.data, (u_char *) name, len) == 0)
            {
                return h;
            }
        }
    }

    return NULL;
}


ngx_str_t *
ngx_http_flux_header(ngx_http_request_t *r, const char *name)
{
    ngx_uint_t        i = 0;
    ngx_list_part_t  *part = &r->headers_in.headers.part;
    ngx_table_elt_t  *h;

    h = ngx_http_flux_header_next(&part, &i, name);

    return h ? &h->value : NULL;
}


/* RFC 9110, 12.4.2: a weight of 0 is "not acceptable". */

static ngx_uint_t
ngx_http_flux_refused(u_char *p, u_char *last)
{
    while (p < last && (*p == ';' || *p == ' ' || *p == '\t')) {
        p++;
    }

    if (last - p < 3 || (*p | 0x20) != 'q' || p[1] != '=' || p[2] != '0') {
        return 0;
    }

    for (p += 3; p < last && (*p == '.' || *p == '0'); p++) { /* void */ }

    return p == last || *p == ' ' || *p == '\t';
}


/* The next element of a list (RFC 9110, 5.6.1), as it stands there. */

static ngx_str_t
ngx_http_flux_list_next(u_char **from, u_char *last)
{
    u_char     *p = *from, *end;
    ngx_str_t   element;

    end = ngx_strlchr(p, last, ',');
    end = end ? end : last;
    *from = end < last ? end + 1 : last;

    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < end && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }

    element.data = p;
    element.len = end - p;

    return element;
}


/* Without its parameters; empty when it is refused. */

static ngx_str_t
ngx_http_flux_list_token(ngx_str_t element)
{
    u_char  *p = element.data, *last = p + element.len;

    while (p < last && *p != ';' && *p != ' ' && *p != '\t') {
        p++;
    }

    element.len = ngx_http_flux_refused(p, last) ? 0 : p - element.data;

    return element;
}


static ngx_uint_t
ngx_http_flux_header_lists(ngx_http_request_t *r, const char *name,
    const char *token, ngx_uint_t exact)
{
    u_char           *p, *last;
    size_t            len = ngx_strlen(token);
    ngx_str_t         found;
    ngx_uint_t        i = 0;
    ngx_list_part_t  *part = &r->headers_in.headers.part;
    ngx_table_elt_t  *h;

    while ((h = ngx_http_flux_header_next(&part, &i, name)) != NULL) {

        p = h->value.data;
        last = p + h->value.len;

        while (p < last) {
            found = ngx_http_flux_list_next(&p, last);

            if (!exact) {
                found = ngx_http_flux_list_token(found);
            }

            if (found.len == len
                && (exact ? ngx_strncmp(found.data, token, len)
                          : ngx_strncasecmp(found.data, (u_char *) token, len))
                   == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_flux_header_has(ngx_http_request_t *r, const char *name,
    const char *token)
{
    return ngx_http_flux_header_lists(r, name, token, 0);
}


ngx_uint_t
ngx_http_flux_header_offers(ngx_http_request_t *r, const char *name,
    const char *token)
{
    return ngx_http_flux_header_lists(r, name, token, 1);
}


ngx_uint_t
ngx_http_flux_answer_has(ngx_http_request_t *r, const char *name)
{
    ngx_uint_t        i = 0;
    ngx_list_part_t  *part = &r->headers_out.headers.part;
    ngx_table_elt_t  *h;

    while ((h = ngx_http_flux_header_next(&part, &i, name)) != NULL) {

        if (h->hash != 0) {
            return 1;
        }
    }

    return 0;
}


ngx_table_elt_t *
ngx_http_flux_add_header(ngx_http_request_t *r, const char *name,
    const char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = ngx_strlen(value);

    return h;
}


ngx_table_elt_t *
ngx_http_flux_add_header_str(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_http_flux_add_header(r, name, "");

    if (h != NULL) {
        h->value = *value;
    }

    return h;
}
