/* Sort words: the arguments of SORT and SORT_RO, and what their patterns make of an element.
 *
 * A pattern of BY or GET names something by an element, which stands for its first '*':
 *
 *      weight_*          the string at the key weight_<element>
 *      object_*->name    the field `name` of the hash at the key object_<element>
 *      #                 the element itself
 *
 * Anything without a '*' names nothing. As BY it means that there is nothing to sort by, and the order stays.
 *
 * Words are borrowed. Pure functions. */
#pragma once
#include "core/buf.h"

/* The one key pattern. */
struct sort_pattern {
    enum { PATTERN_NOTHING, PATTERN_ELEMENT, PATTERN_STRING, PATTERN_FIELD } kind;
    struct slice before, behind, field;
};
struct sort_pattern sort_pattern_of(struct slice word);
/* The key that it names for this element, into out, which is emptied first. */
struct slice sort_pattern_key(const struct sort_pattern *pattern, struct slice element, struct buf *out);

struct sort_words {
    bool descending, alpha;
    bool unsorted;       /* BY something constant */
    bool elsewhere;      /* a pattern names other keys */
    struct slice by;     /* ptr NULL: none */
    uint32_t store;      /* position of the key behind STORE; 0: none */
    uint32_t gets;       /* how many */
    int64_t skip, count; /* LIMIT; count < 0: all */
    const char *error;   /* the reply */
};
/* gets, when not NULL, has room for argc positions of the words behind GET. read_only: SORT_RO, which has no STORE. */
struct sort_words sort_words_of(const struct slice *argv, uint32_t argc, bool read_only, uint32_t *gets);
