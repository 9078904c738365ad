/* The syntax parser. Two passes over every sequence: first words and brackets become a list of raw nodes in which a
 * token is a node of its own and "x [x ...]" has been recognised by comparing; then tokens take what follows them.
 *
 *    "key [NX | XX] [EX seconds]"
 *     raw     key  opt(oneof(NX, XX))  opt(seq(EX, seconds))
 *     folded  key  opt(oneof(NX, XX))  opt(seconds, token EX)
 *
 * Nodes are never moved in the array; lists are links, so repeating, wrapping and folding are changes of links. */
#include "shards/command_docs.h"
#include "core/assert.h"
#include "core/resp_write.h"

struct parser {
    struct docs_tree *tree;
    const char *at, *end;
    unsigned depth;
};

/* A sequence being collected. */
struct list {
    int16_t first, last;
};

static struct docs_node *node_at(struct docs_tree *tree, int16_t i) {
    return &tree->node[i];
}

static bool fail(struct parser *p, const char *why) {
    if (!p->tree->error) p->tree->error = why;
    return false;
}

/* -1 when the tree is full. */
static int16_t node_new(struct parser *p, enum docs_type type) {
    if (p->tree->used == DOCS_NODES_MAX) {
        fail(p, "too many arguments");
        return -1;
    }
    *node_at(p->tree, p->tree->used) = (struct docs_node){.type = (uint8_t)type, .first = -1, .next = -1};
    return p->tree->used++;
}

static void list_add(struct parser *p, struct list *list, int16_t node) {
    node_at(p->tree, node)->next = -1;
    if (list->first < 0)
        list->first = node;
    else
        node_at(p->tree, list->last)->next = node;
    list->last = node;
}

uint32_t docs_count(const struct docs_tree *tree, int16_t first) {
    uint32_t count = 0;
    for (int16_t i = first; i >= 0; i = tree->node[i].next) count++;
    return count;
}

/* --- words --- */

static const struct {
    const char *name;
    enum docs_type type;
} type_names[] = {
    {"string", DOCS_STRING},         {"key", DOCS_KEY},         {"integer", DOCS_INTEGER},
    {"double", DOCS_DOUBLE},         {"pattern", DOCS_PATTERN}, {"unix-time", DOCS_UNIX_TIME},
    {"pure-token", DOCS_PURE_TOKEN}, {"oneof", DOCS_ONEOF},     {"block", DOCS_BLOCK},
};

const char *docs_type_name(enum docs_type type) {
    ASSERT(type_names[type].type == type);
    return type_names[type].name;
}

/* What names mean in Redis's syntax; all others are strings. */
static const struct {
    const char *name;
    enum docs_type type;
} known_names[] = {
    {"key", DOCS_KEY},
    {"newkey", DOCS_KEY},
    {"key1", DOCS_KEY},
    {"key2", DOCS_KEY},
    {"source", DOCS_KEY},
    {"destination", DOCS_KEY},
    {"destkey", DOCS_KEY},
    {"sourcekey", DOCS_KEY},
    {"src", DOCS_KEY},
    {"dst", DOCS_KEY},
    {"pattern", DOCS_PATTERN},
    {"unix-time-seconds", DOCS_UNIX_TIME},
    {"unix-time-milliseconds", DOCS_UNIX_TIME},
    {"seconds", DOCS_INTEGER},
    {"milliseconds", DOCS_INTEGER},
    {"count", DOCS_INTEGER},
    {"offset", DOCS_INTEGER},
    {"start", DOCS_INTEGER},
    {"end", DOCS_INTEGER},
    {"stop", DOCS_INTEGER},
    {"index", DOCS_INTEGER},
    {"index1", DOCS_INTEGER},
    {"index2", DOCS_INTEGER},
    {"increment", DOCS_INTEGER},
    {"decrement", DOCS_INTEGER},
    {"numkeys", DOCS_INTEGER},
    {"cursor", DOCS_INTEGER},
    {"db", DOCS_INTEGER},
    {"destination-db", DOCS_INTEGER},
    {"client-id", DOCS_INTEGER},
    {"protover", DOCS_INTEGER},
    {"version", DOCS_INTEGER},
    {"len", DOCS_INTEGER},
    {"min-match-len", DOCS_INTEGER},
    {"ttl", DOCS_INTEGER},
    {"frequency", DOCS_INTEGER},
    {"timeout", DOCS_INTEGER},
    {"numlocal", DOCS_INTEGER},
    {"numreplicas", DOCS_INTEGER},
    {"maxlen", DOCS_INTEGER},
    {"rank", DOCS_INTEGER},
    {"num-matches", DOCS_INTEGER},
    {"bit", DOCS_INTEGER},
    {"numfields", DOCS_INTEGER},
    {"limit", DOCS_INTEGER},
    {"score", DOCS_DOUBLE},
    {"longitude", DOCS_DOUBLE},
    {"latitude", DOCS_DOUBLE},
    {"radius", DOCS_DOUBLE},
    {"width", DOCS_DOUBLE},
    {"height", DOCS_DOUBLE},
};

static enum docs_type docs_type_of(struct slice name) {
    for (size_t i = 0; i < ARRAY_LEN(known_names); i++)
        if (slice_equal(name, slice_of_cstr(known_names[i].name))) return known_names[i].type;
    return DOCS_STRING;
}

static bool is_token(struct slice word) {
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] >= 'a' && word.ptr[i] <= 'z') return false;
    return true;
}

/* "increment:double": the part behind the last colon, if it is a type. */
static struct slice split_type(struct slice word, enum docs_type *type) {
    const char *colon = memrchr(word.ptr, ':', word.len);
    if (colon == NULL) return word;
    struct slice tail = slice_of(colon + 1, word.len - (size_t)(colon + 1 - word.ptr));
    for (size_t i = 0; i <= DOCS_UNIX_TIME; i++) {
        if (!slice_equal(tail, slice_of_cstr(type_names[i].name))) continue;
        *type = type_names[i].type;
        return slice_of(word.ptr, (size_t)(colon - word.ptr));
    }
    return word;
}

static int16_t word_node(struct parser *p, struct slice word) {
    if (is_token(word)) {
        int16_t i = node_new(p, DOCS_PURE_TOKEN);
        if (i >= 0) node_at(p->tree, i)->token = word;
        return i;
    }
    enum docs_type type = DOCS_STRING;
    struct slice name = split_type(word, &type);
    if (name.len == word.len) type = docs_type_of(name);
    int16_t i = node_new(p, type);
    if (i >= 0) node_at(p->tree, i)->name = name;
    return i;
}

static void skip_blanks(struct parser *p) {
    while (p->at < p->end && *p->at == ' ') p->at++;
}

static bool is_special(char c) {
    return c == ' ' || c == '[' || c == ']' || c == '|' || c == '<' || c == '>';
}

static struct slice take_word(struct parser *p) {
    const char *start = p->at;
    while (p->at < p->end && !is_special(*p->at)) p->at++;
    return slice_of(start, (size_t)(p->at - start));
}

/* --- repetition --- */

static bool same_tree(const struct docs_tree *tree, int16_t a, int16_t b);

static bool same_node(const struct docs_tree *tree, int16_t a, int16_t b) {
    const struct docs_node *x = &tree->node[a], *y = &tree->node[b];
    return x->type == y->type && slice_equal(x->name, y->name) && slice_equal(x->token, y->token) &&
           same_tree(tree, x->first, y->first);
}

static bool same_tree(const struct docs_tree *tree, int16_t a, int16_t b) {
    for (; a >= 0 && b >= 0; a = tree->node[a].next, b = tree->node[b].next)
        if (!same_node(tree, a, b)) return false;
    return a < 0 && b < 0;
}

/* The last `count` nodes of a list: *before is the node before them, -1 when they are the whole list. */
static int16_t list_tail(const struct docs_tree *tree, const struct list *list, uint32_t count, int16_t *before) {
    uint32_t total = docs_count(tree, list->first);
    *before = -1;
    if (total < count) return -1;
    int16_t i = list->first;
    for (uint32_t skip = total - count; skip > 0; skip--) {
        *before = i;
        i = tree->node[i].next;
    }
    return i;
}

/* What "x ..." is, from the nodes of x: the one node with `multiple`, or a block. */
static int16_t fold_tokens(struct parser *p, int16_t first);
static int16_t repeated(struct parser *p, int16_t first) {
    bool leading_token = node_at(p->tree, first)->type == DOCS_PURE_TOKEN && node_at(p->tree, first)->next >= 0;
    first = fold_tokens(p, first);
    if (first < 0) return -1;
    int16_t node = first;
    if (node_at(p->tree, first)->next >= 0) {
        node = node_new(p, DOCS_BLOCK);
        if (node < 0) return -1;
        node_at(p->tree, node)->first = first;
    }
    node_at(p->tree, node)->flags |= DOCS_MULTIPLE;
    if (leading_token) node_at(p->tree, node)->flags |= DOCS_MULTIPLE_TOKEN;
    return node;
}

/* "[x ...]" behind x: replaces the x in the list. False when what stands before is something else. */
static bool merge_repetition(struct parser *p, struct list *list, int16_t group_first) {
    int16_t before, tail = list_tail(p->tree, list, docs_count(p->tree, group_first), &before);
    if (tail < 0 || !same_tree(p->tree, tail, group_first)) return false;
    int16_t node = repeated(p, tail);
    if (node < 0) return true; /* failed: the caller sees tree->error */
    if (before < 0) list->first = -1;
    list->last = before;
    if (before >= 0) node_at(p->tree, before)->next = -1;
    list_add(p, list, node);
    return true;
}

/* --- sequences --- */

static bool takes_part(const struct docs_node *node) {
    return !(node->flags & DOCS_OPTIONAL) && (node->type != DOCS_PURE_TOKEN) && node->token.len == 0;
}

/* A token and the plain arguments behind it become one node. Returns the new first node. */
static int16_t fold_tokens(struct parser *p, int16_t first) {
    struct list out = {-1, -1};
    while (first >= 0) {
        int16_t token = first, next = node_at(p->tree, first)->next;
        bool plain_token = node_at(p->tree, token)->type == DOCS_PURE_TOKEN &&
                           !(node_at(p->tree, token)->flags & (DOCS_OPTIONAL | DOCS_MULTIPLE));
        struct list taken = {-1, -1};
        while (plain_token && next >= 0 && takes_part(node_at(p->tree, next))) {
            int16_t after = node_at(p->tree, next)->next;
            list_add(p, &taken, next);
            next = after;
        }
        int16_t node = token;
        if (taken.first >= 0 && taken.first == taken.last) {
            node = taken.first;
            node_at(p->tree, node)->token = node_at(p->tree, token)->token;
        } else if (taken.first >= 0) {
            node_at(p->tree, token)->type = DOCS_BLOCK;
            node_at(p->tree, token)->first = taken.first;
        }
        list_add(p, &out, node);
        first = next;
    }
    return out.first;
}

static bool parse_choice(struct parser *p, char close, struct list *raw, bool *repeats, bool *choice);

/* One node for the content of a bracket. */
static int16_t group_node(struct parser *p, int16_t first, bool repeats) {
    if (repeats) return repeated(p, first);
    first = fold_tokens(p, first);
    if (first < 0 || node_at(p->tree, first)->next < 0) return first;
    int16_t block = node_new(p, DOCS_BLOCK);
    if (block >= 0) node_at(p->tree, block)->first = first;
    return block;
}

static bool parse_group(struct parser *p, struct list *list) {
    char open = *p->at++;
    struct list raw = {-1, -1};
    bool repeats = false, choice = false;
    if (++p->depth > 16) return fail(p, "too deep");
    if (!parse_choice(p, open == '[' ? ']' : '>', &raw, &repeats, &choice)) return false;
    p->depth--;
    if (raw.first < 0) return fail(p, "empty brackets");
    if (open == '[' && repeats && merge_repetition(p, list, raw.first)) return p->tree->error == NULL;
    int16_t node = group_node(p, raw.first, repeats);
    if (node < 0) return false;
    if (open == '[') node_at(p->tree, node)->flags |= DOCS_OPTIONAL;
    list_add(p, list, node);
    return true;
}

/* Words and groups up to | or the closing bracket, which is left. */
static bool parse_sequence(struct parser *p, struct list *raw, bool *repeats) {
    for (;;) {
        skip_blanks(p);
        if (p->at == p->end || *p->at == '|' || *p->at == ']' || *p->at == '>') return true;
        if (*repeats) return fail(p, "something follows ...");
        if (*p->at == '[' || *p->at == '<') {
            if (!parse_group(p, raw)) return false;
            continue;
        }
        struct slice word = take_word(p);
        if (slice_equal(word, SLICE("..."))) {
            if (raw->first < 0) return fail(p, "... repeats nothing");
            *repeats = true;
            continue;
        }
        int16_t node = word_node(p, word);
        if (node < 0) return false;
        list_add(p, raw, node);
    }
}

/* Alternatives up to close ('\0': the end of the text). One alternative: its raw nodes. Several: one oneof. */
static bool parse_choice(struct parser *p, char close, struct list *raw, bool *repeats, bool *choice) {
    struct list alternatives = {-1, -1};
    for (;;) {
        struct list sequence = {-1, -1};
        bool repeated_here = false;
        if (!parse_sequence(p, &sequence, &repeated_here)) return false;
        bool more = p->at < p->end && *p->at == '|';
        if (!more && !*choice) {
            *raw = sequence;
            *repeats = repeated_here;
            break;
        }
        *choice = true;
        if (sequence.first < 0) return fail(p, "an empty alternative");
        int16_t node = group_node(p, sequence.first, repeated_here);
        if (node < 0) return false;
        list_add(p, &alternatives, node);
        if (!more) break;
        p->at++;
    }
    if (*choice) {
        int16_t node = node_new(p, DOCS_ONEOF);
        if (node < 0) return false;
        node_at(p->tree, node)->first = alternatives.first;
        *raw = (struct list){node, node};
    }
    if (close == 0) return p->at == p->end || fail(p, "a closing bracket too many");
    if (p->at == p->end || *p->at != close) return fail(p, "a bracket is not closed");
    p->at++;
    return true;
}

bool docs_parse(struct slice args, struct docs_tree *tree) {
    struct parser p = {.tree = tree, .at = args.ptr, .end = args.ptr + args.len};
    struct list raw = {-1, -1};
    bool repeats = false, choice = false;
    tree->first = -1;
    tree->used = 0;
    tree->error = NULL;
    if (args.len == 0) return true;
    if (!parse_choice(&p, 0, &raw, &repeats, &choice)) return false;
    if (raw.first < 0) return true;
    tree->first = repeats ? repeated(&p, raw.first) : fold_tokens(&p, raw.first);
    return tree->error == NULL;
}
