/* What quicklist.c (nodes, ends, iterating) and quicklist_edit.c (changes inside) share. */
#pragma once
#include "core/quicklist.h"

struct quicklist_node {
    struct quicklist_node *prev, *next;
    uint32_t cap;        /* bytes of bytes; with the header it is exactly what the block takes */
    uint32_t start, end; /* the run is bytes[start .. end) */
    uint32_t count;      /* elements, never 0 in a list */
    char bytes[];
};

struct quicklist {
    struct quicklist_node *head, *tail;
    uint64_t count, nodes;
    size_t bytes;                /* of the nodes' blocks */
    struct quicklist_node *walk; /* where defragmenting goes on; NULL: it does not */
    struct quicklist_past *past; /* somebody reads it as it was */
};

#define NODE_START ((uint32_t)(1024 - sizeof(struct quicklist_node))) /* first capacity of a node, and a small one */

HOT_INLINE uint32_t node_used(const struct quicklist_node *node) {
    return node->end - node->start;
}
HOT_INLINE struct packed node_run(const struct quicklist_node *node) {
    return (struct packed){node->bytes + node->start, node->bytes + node->end, node->count};
}
HOT_INLINE uint32_t rule_used_max(const struct quicklist_rule *rule) {
    return rule->block_max - (uint32_t)sizeof(struct quicklist_node);
}
HOT_INLINE bool node_fits(const struct quicklist_node *node, size_t size, const struct quicklist_rule *rule) {
    return node_used(node) + size <= rule_used_max(rule) && node->count < rule->count_max;
}

/* A node of at least cap bytes between two neighbours, either of which may be NULL. Its run is empty, at `start` or,
 * when that is beyond the end, at the end. */
struct quicklist_node *node_add(const struct store *store, struct quicklist *list, struct quicklist_node *prev,
                                struct quicklist_node *next, size_t cap, size_t start);
/* Unlinks and frees; its elements are no longer counted. */
void node_remove(const struct store *store, struct quicklist *list, struct quicklist_node *node);
/* Moves the run to a block of another capacity, flush with the other end than `room`. Returns the new node. */
struct quicklist_node *node_resize(const struct store *store, struct quicklist *list, struct quicklist_node *node,
                                   size_t cap, enum list_end room);
/* A chain of nodes of no list, NULL: none; large ones later. */
void node_delete_all(const struct store *store, struct quicklist_node *first, struct quicklist_node *last);
struct quicklist_node *node_copy(const struct store *store, const struct quicklist_node *node); /* belongs to no list */
/* The same within the block. */
void node_slide(struct quicklist_node *node, enum list_end room);
/* After elements went: a block that is mostly empty becomes smaller. */
void node_shrink(const struct store *store, struct quicklist *list, struct quicklist_node *node, enum list_end room);

/* --- what the past is told (quicklist_past.c) --- */
void quicklist_past_changes(struct quicklist_past *past, const struct quicklist_node *node); /* is about to */
void quicklist_past_grows(struct quicklist_past *past, enum list_end end);                   /* by a node */
/* It has left the list, and its links are as before. True: it is the past's. */
bool quicklist_past_goes(struct quicklist_past *past, struct quicklist_node *node);
/* `many` nodes have left the list at this end, *first .. *last; what the past wants of them it takes out of this chain,
 * of which may be nothing left. */
void quicklist_past_cut(struct quicklist_past *past, enum list_end end, struct quicklist_node **first,
                        struct quicklist_node **last, uint64_t many);

/* Puts a value between two neighbours, either of which may be NULL: into one of them or a node of its own. */
void quicklist_put_between(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                           struct quicklist_node *prev, struct quicklist_node *next, const struct packed_value *value);
