#include "flux_tree.h"
#include "flux_utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>


typedef struct {
    flux_tree_t  *tree;
    char         *p;
    char         *end;
    unsigned      depth;
} flux_scan_t;


static flux_rc_t flux_scan_value(flux_scan_t *s, const char *name);


static void
flux_scan_space(flux_scan_t *s)
{
    while (s->p < s->end
           && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t'
               || *s->p == '\r'))
    {
        s->p++;
    }
}


static int
flux_scan_char(flux_scan_t *s, char c)
{
    flux_scan_space(s);

    if (s->p < s->end && *s->p == c) {
        s->p++;
        return 1;
    }

    return 0;
}


static flux_rc_t
flux_scan_node(flux_scan_t *s, flux_node_type_t type, const char *name,
    uint32_t *index)
{
    uint32_t      size;
    flux_node_t  *nodes, *node;
    flux_tree_t  *tree;

    tree = s->tree;

    if (tree->count == tree->size) {
        if (tree->size >= FLUX_TREE_NODES) {
            return FLUX_FULL;
        }

        size = (tree->size != 0) ? tree->size * 2 : 64;

        nodes = realloc(tree->nodes, size * sizeof(flux_node_t));
        if (nodes == NULL) {
            return FLUX_NOMEM;
        }

        tree->nodes = nodes;
        tree->size = size;
    }

    *index = tree->count++;

    node = &tree->nodes[*index];
    node->type = type;
    node->end = tree->count;
    node->name = name;
    node->text = NULL;
    node->len = 0;

    return FLUX_OK;
}


static int
flux_hex4(const char *p, uint32_t *code)
{
    int  i, c;

    *code = 0;

    for (i = 0; i < 4; i++) {
        c = p[i] | 0x20;

        if (p[i] >= '0' && p[i] <= '9') {
            c = p[i] - '0';

        } else if (c >= 'a' && c <= 'f') {
            c = c - 'a' + 10;

        } else {
            return 0;
        }

        *code = *code << 4 | (uint32_t) c;
    }

    return 1;
}


/* s->p stands after "\u"; surrogates must come in pairs (RFC 8259, 7) */

static flux_rc_t
flux_scan_unicode(flux_scan_t *s, char **out)
{
    uint32_t  code, low;

    if (s->end - s->p < 4 || !flux_hex4(s->p, &code) || code == 0) {
        return FLUX_INVALID;
    }

    s->p += 4;

    if (code >= 0xdc00 && code <= 0xdfff) {
        return FLUX_INVALID;
    }

    if (code >= 0xd800 && code <= 0xdbff) {
        if (s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u'
            || !flux_hex4(s->p + 2, &low) || low < 0xdc00 || low > 0xdfff)
        {
            return FLUX_INVALID;
        }

        s->p += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }

    *out += flux_utf8_encode(code, *out);

    return FLUX_OK;
}


static flux_rc_t
flux_scan_escape(flux_scan_t *s, char **out)
{
    const char         *at;
    static const char   from[] = "\"\\/bfnrt";
    static const char   to[] = "\"\\/\b\f\n\r\t";

    if (s->p == s->end || *s->p == '\0') {
        return FLUX_INVALID;
    }

    if (*s->p == 'u') {
        s->p++;
        return flux_scan_unicode(s, out);
    }

    at = strchr(from, *s->p);
    if (at == NULL) {
        return FLUX_INVALID;
    }

    *(*out)++ = to[at - from];
    s->p++;

    return FLUX_OK;
}


/*
 * s->p stands after the opening quote. Decoding never lengthens a string, so
 * it is done in place, and the closing quote becomes the NUL.
 */

static flux_rc_t
flux_scan_string(flux_scan_t *s, char **start, size_t *len)
{
    char       *out;
    size_t      n;
    flux_rc_t   rc;

    *start = out = s->p;

    while (s->p < s->end) {

        if (*s->p == '"') {
            *len = (size_t) (out - *start);
            *out = '\0';
            s->p++;
            return FLUX_OK;
        }

        if (*s->p == '\\') {
            s->p++;

            rc = flux_scan_escape(s, &out);
            if (rc != FLUX_OK) {
                return rc;
            }

            continue;
        }

        n = flux_utf8_length((unsigned char *) s->p,
                             (size_t) (s->end - s->p));

        if (n == 0 || (unsigned char) *s->p < 0x20) {
            return FLUX_INVALID;
        }

        memmove(out, s->p, n);
        out += n;
        s->p += n;
    }

    return FLUX_INVALID;
}


static int
flux_scan_digits(flux_scan_t *s)
{
    char  *start;

    start = s->p;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        s->p++;
    }

    return s->p > start;
}


static flux_rc_t
flux_scan_number(flux_scan_t *s, const char *name)
{
    char       *start;
    uint32_t    i;
    flux_rc_t   rc;

    start = s->p;

    if (*s->p == '-') {
        s->p++;
    }

    if (s->p < s->end && *s->p == '0') {
        s->p++;

    } else if (!flux_scan_digits(s)) {
        return FLUX_INVALID;
    }

    if (s->p < s->end && *s->p == '.') {
        s->p++;

        if (!flux_scan_digits(s)) {
            return FLUX_INVALID;
        }
    }

    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;

        if (s->p < s->end && (*s->p == '+' || *s->p == '-')) {
            s->p++;
        }

        if (!flux_scan_digits(s)) {
            return FLUX_INVALID;
        }
    }

    rc = flux_scan_node(s, FLUX_NODE_NUMBER, name, &i);
    if (rc == FLUX_OK) {
        s->tree->nodes[i].text = start;
        s->tree->nodes[i].len = (size_t) (s->p - start);
    }

    return rc;
}


static flux_rc_t
flux_scan_word(flux_scan_t *s, const char *word, flux_node_type_t type,
    const char *name)
{
    size_t    len;
    uint32_t  i;

    len = strlen(word);

    if ((size_t) (s->end - s->p) < len || memcmp(s->p, word, len) != 0) {
        return FLUX_INVALID;
    }

    s->p += len;

    return flux_scan_node(s, type, name, &i);
}


static flux_rc_t
flux_scan_member(flux_scan_t *s)
{
    char       *name;
    size_t      len;
    flux_rc_t   rc;

    if (!flux_scan_char(s, '"')) {
        return FLUX_INVALID;
    }

    rc = flux_scan_string(s, &name, &len);
    if (rc != FLUX_OK) {
        return rc;
    }

    if (!flux_scan_char(s, ':')) {
        return FLUX_INVALID;
    }

    return flux_scan_value(s, name);
}


static flux_rc_t
flux_scan_container(flux_scan_t *s, flux_node_type_t type, char close,
    const char *name)
{
    uint32_t   i;
    flux_rc_t  rc;

    rc = flux_scan_node(s, type, name, &i);
    if (rc != FLUX_OK) {
        return rc;
    }

    if (++s->depth > FLUX_TREE_DEPTH) {
        return FLUX_FULL;
    }

    s->p++;

    if (!flux_scan_char(s, close)) {
        do {
            rc = (type == FLUX_NODE_OBJECT) ? flux_scan_member(s)
                                            : flux_scan_value(s, NULL);
            if (rc != FLUX_OK) {
                return rc;
            }

        } while (flux_scan_char(s, ','));

        if (!flux_scan_char(s, close)) {
            return FLUX_INVALID;
        }
    }

    s->depth--;
    s->tree->nodes[i].end = s->tree->count;

    return FLUX_OK;
}


static flux_rc_t
flux_scan_value(flux_scan_t *s, const char *name)
{
    char       *text;
    size_t      len;
    uint32_t    i;
    flux_rc_t   rc;

    flux_scan_space(s);

    if (s->p == s->end) {
        return FLUX_INVALID;
    }

    switch (*s->p) {

    case '{':
        return flux_scan_container(s, FLUX_NODE_OBJECT, '}', name);

    case '[':
        return flux_scan_container(s, FLUX_NODE_ARRAY, ']', name);

    case '"':
        s->p++;
        rc = flux_scan_string(s, &text, &len);
        if (rc == FLUX_OK) {
            rc = flux_scan_node(s, FLUX_NODE_STRING, name, &i);
        }

        if (rc == FLUX_OK) {
            s->tree->nodes[i].text = text;
            s->tree->nodes[i].len = len;
        }

        return rc;

    case 't':
        return flux_scan_word(s, "true", FLUX_NODE_TRUE, name);

    case 'f':
        return flux_scan_word(s, "false", FLUX_NODE_FALSE, name);

    case 'n':
        return flux_scan_word(s, "null", FLUX_NODE_NULL, name);
    }

    return flux_scan_number(s, name);
}


/* what follows a number is needed until all is read, so NULs come last */

static void
flux_tree_terminate(flux_tree_t *tree)
{
    uint32_t      i;
    flux_node_t  *node;

    for (i = 0; i < tree->count; i++) {
        node = &tree->nodes[i];

        if (node->type == FLUX_NODE_NUMBER) {
            tree->text[(size_t) (node->text - tree->text) + node->len] = '\0';
        }
    }
}


flux_rc_t
flux_tree_parse(flux_tree_t *tree, const char *text, size_t len)
{
    flux_rc_t    rc;
    flux_scan_t  s;

    memset(tree, 0, sizeof(*tree));

    if (len == 0 || len == SIZE_MAX) {
        return FLUX_INVALID;
    }

    tree->text = malloc(len + 1);
    if (tree->text == NULL) {
        return FLUX_NOMEM;
    }

    memcpy(tree->text, text, len);
    tree->text[len] = '\0';

    s.tree = tree;
    s.p = tree->text;
    s.end = tree->text + len;
    s.depth = 0;

    rc = flux_scan_value(&s, NULL);

    if (rc == FLUX_OK) {
        flux_scan_space(&s);
        rc = (s.p == s.end) ? FLUX_OK : FLUX_INVALID;
    }

    if (rc != FLUX_OK) {
        tree->count = 0;
        return rc;
    }

    flux_tree_terminate(tree);

    return FLUX_OK;
}


void
flux_tree_free(flux_tree_t *tree)
{
    free(tree->nodes);
    free(tree->text);
    memset(tree, 0, sizeof(*tree));
}


const flux_node_t *
flux_tree_root(const flux_tree_t *tree)
{
    return (tree->count != 0) ? &tree->nodes[0] : NULL;
}


const flux_node_t *
flux_tree_first(const flux_tree_t *tree, const flux_node_t *node)
{
    if (node == NULL
        || (node->type != FLUX_NODE_OBJECT && node->type != FLUX_NODE_ARRAY)
        || node + 1 == &tree->nodes[node->end])
    {
        return NULL;
    }

    return node + 1;
}


const flux_node_t *
flux_tree_next(const flux_tree_t *tree, const flux_node_t *parent,
    const flux_node_t *child)
{
    if (parent == NULL || child == NULL || child->end >= parent->end) {
        return NULL;
    }

    return &tree->nodes[child->end];
}


const flux_node_t *
flux_tree_member(const flux_tree_t *tree, const flux_node_t *node,
    const char *name)
{
    const flux_node_t  *child;

    if (node == NULL || node->type != FLUX_NODE_OBJECT) {
        return NULL;
    }

    for (child = flux_tree_first(tree, node);
         child != NULL;
         child = flux_tree_next(tree, node, child))
    {
        if (strcmp(child->name, name) == 0) {
            return child;
        }
    }

    return NULL;
}


const flux_node_t *
flux_tree_item(const flux_tree_t *tree, const flux_node_t *node, size_t i)
{
    const flux_node_t  *child;

    if (node == NULL || node->type != FLUX_NODE_ARRAY) {
        return NULL;
    }

    child = flux_tree_first(tree, node);

    while (child != NULL && i-- > 0) {
        child = flux_tree_next(tree, node, child);
    }

    return child;
}


const char *
flux_tree_string(const flux_tree_t *tree, const flux_node_t *node,
    const char *name)
{
    node = flux_tree_member(tree, node, name);

    return (node != NULL && node->type == FLUX_NODE_STRING) ? node->text
                                                            : NULL;
}


const char *
flux_tree_number(const flux_tree_t *tree, const flux_node_t *node,
    const char *name)
{
    node = flux_tree_member(tree, node, name);

    return (node != NULL && node->type == FLUX_NODE_NUMBER) ? node->text
                                                            : NULL;
}


flux_rc_t
flux_node_int(const flux_node_t *node, int64_t *value)
{
    char       *end;
    long long   n;

    if (node == NULL || node->type != FLUX_NODE_NUMBER) {
        return FLUX_INVALID;
    }

    errno = 0;
    n = strtoll(node->text, &end, 10);

    if (errno != 0 || *end != '\0') {
        return FLUX_INVALID;
    }

    *value = n;

    return FLUX_OK;
}


flux_rc_t
flux_tree_int(const flux_tree_t *tree, const flux_node_t *node,
    const char *name, int64_t *value)
{
    return flux_node_int(flux_tree_member(tree, node, name), value);
}
