/*
 * Reads JSON (RFC 8259, strictly) into a flat array of nodes. Numbers stay
 * the text they were, so nothing goes through a double. Strings are decoded
 * in a private copy of the input; all texts are NUL-terminated and live as
 * long as the tree.
 *
 * Refused, besides what is not JSON: more than FLUX_TREE_DEPTH levels, more
 * than FLUX_TREE_NODES nodes, U+0000 in a string.
 */

#ifndef FLUX_TREE_H
#define FLUX_TREE_H

#include "flux_common.h"

#define FLUX_TREE_DEPTH  32
#define FLUX_TREE_NODES  262144

typedef enum {
    FLUX_NODE_NULL = 0,
    FLUX_NODE_FALSE,
    FLUX_NODE_TRUE,
    FLUX_NODE_NUMBER,
    FLUX_NODE_STRING,
    FLUX_NODE_ARRAY,
    FLUX_NODE_OBJECT
} flux_node_type_t;

typedef struct {
    flux_node_type_t   type;
    uint32_t           end;     /* index after the last node below this one */
    const char        *name;    /* in an object, else NULL */
    const char        *text;    /* strings and numbers, else NULL */
    size_t             len;     /* of text */
} flux_node_t;

typedef struct {
    flux_node_t  *nodes;
    uint32_t      count;
    uint32_t      size;
    char         *text;
} flux_tree_t;

/*
 * FLUX_OK, FLUX_INVALID, FLUX_FULL or FLUX_NOMEM. Whatever it returns, the
 * tree can be freed, and only on FLUX_OK has it a root: nodes[0].
 */
flux_rc_t flux_tree_parse(flux_tree_t *tree, const char *text, size_t len);
void flux_tree_free(flux_tree_t *tree);

/*
 * All of these take NULL for a node and answer NULL, so a path can be
 * walked with one check at its end.
 */
const flux_node_t *flux_tree_root(const flux_tree_t *tree);
const flux_node_t *flux_tree_member(const flux_tree_t *tree,
    const flux_node_t *node, const char *name);
const flux_node_t *flux_tree_first(const flux_tree_t *tree,
    const flux_node_t *node);
const flux_node_t *flux_tree_next(const flux_tree_t *tree,
    const flux_node_t *parent, const flux_node_t *child);
const flux_node_t *flux_tree_item(const flux_tree_t *tree,
    const flux_node_t *node, size_t i);

/* The text of a member of that type, NULL if it is missing or another. */
const char *flux_tree_string(const flux_tree_t *tree,
    const flux_node_t *node, const char *name);
const char *flux_tree_number(const flux_tree_t *tree,
    const flux_node_t *node, const char *name);

/* An integer member; FLUX_INVALID if missing, fractional or out of range. */
flux_rc_t flux_tree_int(const flux_tree_t *tree, const flux_node_t *node,
    const char *name, int64_t *value);
flux_rc_t flux_node_int(const flux_node_t *node, int64_t *value);

#endif /* FLUX_TREE_H */
