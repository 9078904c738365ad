/* Sorted sets, moving: leaf after leaf, each with its elements and the nodes on the way down to it; then the table.
 *
 * An element is pointed to by its leaf, by the table, and by every node above for which it is the first element. A node
 * is pointed to by its parent alone. The position is a rank or, from TABLE on, a place in the table: what is inserted
 * or removed before it between two calls shifts it by as much, and then a few elements are looked at twice or not at
 * all. */
#include "core/hashtable_inline.h"
#include "core/sorted_priv.h"

#define TABLE (1ull << 63)

HOT_INLINE bool is_same(const void *element, const void *other) {
    return element == other;
}

static size_t element_size(const struct sorted_element *element) {
    size_t head = offsetof(struct sorted_element, bytes) + (element->len == SORTED_LONG ? sizeof(uint32_t) : 0);
    return head + sorted_member(element).len;
}

static void move_elements(const struct store *store, struct sorted *set, struct sorted_node *leaf) {
    for (unsigned i = 0; i < leaf->count; i++) {
        struct sorted_element *element = sorted_slot(leaf, i);
        size_t size = element_size(element);
        if (!store_is_sparse(store, element, size)) continue;
        struct slice member = sorted_member(element);
        uint64_t hash = hash_bytes(&set->seed, member.ptr, member.len);
        ht_slot *slot = ht_find(set->table, hash, is_same, element);
        ASSERT(slot);
        element = store_moved(store, element, size);
        ht_replace(slot, element, 0);
        sorted_set_slot(leaf, i, element);
    }
}

static struct sorted_node *move_node(const struct store *store, struct sorted_node *node) {
    return store_moved(store, node, node->level ? sizeof(struct sorted_inner) : sizeof(struct sorted_leaf));
}

/* The leaf that holds the rank, and what leads to it; returns the rank behind it. */
static uint64_t move_leaf(const struct store *store, struct sorted *set, uint64_t rank) {
    struct sorted_inner *path[SORTED_LEVELS];
    unsigned at[SORTED_LEVELS], depth = 0;
    uint64_t before = 0;
    struct sorted_node *node = set->root = move_node(store, set->root);
    while (node->level) {
        struct sorted_inner *inner = sorted_inner_of(node);
        unsigned i = 0;
        for (; i + 1u < node->count && rank >= before + inner->counts[i]; i++) before += inner->counts[i];
        path[depth] = inner;
        at[depth++] = i;
        node = inner->children[i] = move_node(store, inner->children[i]);
    }
    move_elements(store, set, node);
    while (depth-- > 0) sorted_node_tell_first(path[depth], at[depth]);
    return before + node->count;
}

static void *stays(void *ctx, void *element) {
    (void)ctx;
    return element;
}

/* A store_defrag_some; a unit is a leaf, or a bucket of the table. */
uint64_t sorted_defrag_some(const struct store *store, void *object, uint64_t position, unsigned units) {
    struct sorted *set = object;
    for (; units > 0 && position < TABLE && position < sorted_count(set); units--)
        position = move_leaf(store, set, position);
    if (position < TABLE && position < sorted_count(set)) return position;
    uint64_t cursor = position < TABLE ? 0 : position - TABLE;
    for (; units > 0; units--) {
        cursor = hashtable_defrag(set->table, cursor, stays, NULL);
        if (cursor == 0) return 0;
    }
    return TABLE + cursor;
}
