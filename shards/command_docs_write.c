/* The argument tree as COMMAND DOCS replies it. What the syntax does not name (blocks and choices) gets a name made of
 * its parts: "nx-or-xx", "score-member"; clients show the parts, not these names. */
#include "core/resp_write.h"
#include "shards/command_docs.h"

#define NAME_BYTES 128

static void append(char out[NAME_BYTES], size_t *len, struct slice text) {
    for (size_t i = 0; i < text.len && *len < NAME_BYTES - 1; i++) {
        char c = text.ptr[i];
        out[(*len)++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
}

static void name_of(const struct docs_tree *tree, const struct docs_node *node, char out[NAME_BYTES], size_t *len) {
    if (node->name.len) {
        append(out, len, node->name);
    } else if (node->first < 0 || (node->type == DOCS_BLOCK && node->token.len)) {
        append(out, len, node->token);
    } else {
        for (int16_t i = node->first; i >= 0; i = tree->node[i].next) {
            if (i != node->first) append(out, len, node->type == DOCS_ONEOF ? SLICE("-or-") : SLICE("-"));
            name_of(tree, &tree->node[i], out, len);
        }
    }
}

static void write_pair(struct buf *out, const char *name, struct slice value) {
    resp_bulk(out, slice_of_cstr(name));
    resp_bulk(out, value);
}

/* Flags in Redis's order, as simple strings. */
static void write_flags(struct buf *out, int resp, unsigned flags) {
    static const char *const names[] = {"optional", "multiple", "multiple_token"};
    resp_bulk(out, SLICE("flags"));
    resp_set(out, resp, (uint64_t)__builtin_popcount(flags));
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (flags >> i & 1) resp_simple(out, slice_of_cstr(names[i]));
}

struct writer {
    struct buf *out;
    int resp;
    const struct docs_tree *tree;
    uint32_t key_specs, keys_seen;
};

static void write_list(struct writer *w, int16_t first);

static void write_node(struct writer *w, const struct docs_node *node) {
    char name[NAME_BYTES];
    size_t name_len = 0;
    bool key = node->type == DOCS_KEY && w->key_specs > 0;
    bool parts = node->type == DOCS_ONEOF || node->type == DOCS_BLOCK;
    name_of(w->tree, node, name, &name_len);
    resp_map(w->out, w->resp, 2u + key + (node->token.len > 0) + (node->flags != 0) + parts);
    write_pair(w->out, "name", slice_of(name, name_len));
    write_pair(w->out, "type", slice_of_cstr(docs_type_name((enum docs_type)node->type)));
    if (key) { /* the n-th key argument has the n-th specification; the last one covers the rest */
        resp_bulk(w->out, SLICE("key_spec_index"));
        uint32_t spec = w->keys_seen++;
        resp_int(w->out, spec < w->key_specs ? spec : w->key_specs - 1);
    }
    if (node->token.len) write_pair(w->out, "token", slice_equal(node->token, SLICE("\"\"")) ? SLICE("") : node->token);
    if (node->flags) write_flags(w->out, w->resp, node->flags);
    if (!parts) return;
    resp_bulk(w->out, SLICE("arguments"));
    write_list(w, node->first);
}

static void write_list(struct writer *w, int16_t first) {
    resp_array(w->out, docs_count(w->tree, first));
    for (int16_t i = first; i >= 0; i = w->tree->node[i].next) write_node(w, &w->tree->node[i]);
}

void docs_write(struct buf *out, int resp, const struct docs_tree *tree, uint32_t key_specs) {
    struct writer w = {out, resp, tree, key_specs, 0};
    write_list(&w, tree->first);
}
