/* Sorted, shared between core/sorted*.c: the set and the nodes of its tree. */
#pragma once
#include "core/assert.h"
#include "core/sorted.h"

struct sorted {
    struct sorted_node *root; /* NULL when empty */
    struct hashtable *table;
    struct hash_seed seed;
    size_t bytes;      /* of elements, nodes and this */
    uint64_t freed_to; /* how far the table is drained, while it is freed */
    bool compact;
    const struct score_watch *watch;
};

struct sorted_node {
    uint16_t count;
    uint8_t level; /* 0: a leaf */
};

/* 48 bits per pointer: user space has no more, and a sixth more elements fit into a leaf. */
#define LEAF_MAX  42u
#define SLOT_SIZE 6u
struct sorted_leaf {
    struct sorted_node node;
    unsigned char slots[LEAF_MAX * SLOT_SIZE];
};
static_assert(sizeof(struct sorted_leaf) == 256, "four cache lines, aligned by the slab");

/* What a node says of a child is true of it: its first element, that one's score, how many elements are below. */
#define INNER_MAX 31u
struct sorted_inner {
    struct sorted_node node;
    double scores[INNER_MAX];
    const struct sorted_element *firsts[INNER_MAX];
    struct sorted_node *children[INNER_MAX];
    uint64_t counts[INNER_MAX];
};

HOT_INLINE struct sorted_inner *sorted_inner_of(const struct sorted_node *node) {
    return (struct sorted_inner *)(uintptr_t)node;
}
HOT_INLINE struct sorted_element *sorted_slot(const struct sorted_node *node, unsigned i) {
    const unsigned char *at = ((const struct sorted_leaf *)(const void *)node)->slots + i * SLOT_SIZE;
    uint32_t low;
    uint16_t high;
    memcpy(&low, at, sizeof low);
    memcpy(&high, at + sizeof low, sizeof high);
    return (struct sorted_element *)(uintptr_t)((uint64_t)high << 32 | low);
}
HOT_INLINE unsigned sorted_node_max(const struct sorted_node *node) {
    return node->level ? INNER_MAX : LEAF_MAX;
}

/* --- sorted_tree.c --- */
void sorted_tree_insert(const struct store *store, struct sorted *set, struct sorted_element *element);
void sorted_tree_remove(const struct store *store, struct sorted *set, const struct sorted_element *element);
/* Gives the element another score if it may stay where it is. */
bool sorted_tree_move(struct sorted *set, struct sorted_element *element, double score);
/* Frees some nodes, not elements; true while there are more. */
bool sorted_tree_free_some(const struct store *store, struct sorted *set, unsigned units);

/* --- sorted_node.c: one or two nodes --- */
/* What a place of a node holds; in a leaf only `first`. */
struct sorted_item {
    const struct sorted_element *first;
    double score;
    struct sorted_node *child;
    uint64_t count;
};
struct sorted_node *sorted_node_new(const struct store *store, struct sorted *set, unsigned level);
void sorted_set_slot(struct sorted_node *leaf, unsigned i, const struct sorted_element *element);
void sorted_node_free(const struct store *store, struct sorted *set, struct sorted_node *node);
/* In between; there is room. */
void sorted_node_put(struct sorted_node *node, unsigned at, const struct sorted_item *item);
void sorted_node_take(struct sorted_node *node, unsigned at);
/* Says again in the parent what is true of its child i, which is not empty; or only what is its first element. */
void sorted_node_tell(struct sorted_inner *parent, unsigned i);
void sorted_node_tell_first(struct sorted_inner *parent, unsigned i);
/* Deals what the children first .. first + many - 1 hold out among them, evenly. */
#define SPREAD_MAX 3u
void sorted_node_spread(struct sorted_inner *parent, unsigned first, unsigned many);
/* Child i + 1 gives all it has to child i and is gone. */
void sorted_node_join(const struct store *store, struct sorted *set, struct sorted_inner *parent, unsigned i);
