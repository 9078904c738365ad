/* Command docs: a row's syntax string as the argument tree that COMMAND DOCS shows, from which redis-cli makes hints.
 *
 * The notation is the synopsis that Redis prints:
 *
 *   key value            arguments; the type follows from the name (docs_type_of), or is said: "increment:double"
 *   NX                   a word without lower-case letters is a token; alone it is a pure-token
 *   EX seconds           a token takes the plain arguments behind it: one argument with that token, or a block
 *   [a | b]  <a | b>     one of these, optional or not
 *   [x]                  optional
 *   x [x ...]            one or more; also for groups: "key value [key value ...]" is a block, "GET p [GET p ...]"
 *   repeats
 *                        its token
 *   [x ...]  [x [x ...]] zero or more
 *
 * Pure: no memory but the caller's tree, whose names point into the syntax string. */
#pragma once
#include "core/buf.h"

enum docs_type {
    DOCS_STRING,
    DOCS_KEY,
    DOCS_INTEGER,
    DOCS_DOUBLE,
    DOCS_PATTERN,
    DOCS_UNIX_TIME,
    DOCS_PURE_TOKEN,
    DOCS_ONEOF,
    DOCS_BLOCK,
};
enum docs_flag { DOCS_OPTIONAL = 1, DOCS_MULTIPLE = 2, DOCS_MULTIPLE_TOKEN = 4 };

struct docs_node {
    struct slice name;  /* of an argument; empty for a token, a oneof and a block */
    struct slice token; /* empty: none */
    uint8_t type, flags;
    int16_t first; /* child of a oneof or block, -1: none */
    int16_t next;  /* sibling, -1: none */
};

#define DOCS_NODES_MAX 160

struct docs_tree {
    int16_t first; /* of the arguments, -1: none */
    int16_t used;
    const char *error; /* what is wrong with the syntax string; NULL: nothing */
    struct docs_node node[DOCS_NODES_MAX];
};

/* False when args is not well formed; tree->error says why (our bug: rows are checked by tests). */
NODISCARD bool docs_parse(struct slice args, struct docs_tree *tree);
const char *docs_type_name(enum docs_type type);
/* How many siblings from this one on. */
uint32_t docs_count(const struct docs_tree *tree, int16_t first);
/* The arguments as COMMAND DOCS writes them: an array of maps. key_specs is how many key specifications the row has. */
void docs_write(struct buf *out, int resp, const struct docs_tree *tree, uint32_t key_specs);
