/* Idtree: look-up, insertion, iterating, cutting. An inner node says of each child the least id that may be below it;
 * of its first child that is not looked at, so that ids below all others need no word above, and nothing has to be told
 * when the first of a node goes. Nodes are never empty; a node of which two thirds are free joins a neighbour that has
 * room.
 *
 * Why not the tree of core/sorted.h: that one orders pointers to elements which own their text, by a double and then by
 * text, and counts below every node for ranks. Here a key has 128 bits, a slot is its own element, nobody asks for
 * ranks, and what grows at its end and goes from its front leaves full nodes and is cut off in O(inner nodes).
 *
 * Depth: a level multiplies by 42, or by half of that when slots come in the middle, so 16 levels are out of reach. */
#include "core/idtree.h"
#include "core/assert.h"
#include <string.h>

#define LEAF_BYTES 1016u
#define LEAF_START 2u /* slots of the first leaf; it doubles */
#define INNER_MAX  42u

struct idtree_node {
    uint16_t count, cap;
    uint32_t level; /* 0: a leaf */
    char slots[];
};

struct child {
    struct stream_id from;
    struct idtree_node *node;
};
static_assert(sizeof(struct child) == 24, "packed as a slot");

HOT_INLINE struct child *child_at(const struct idtree_node *node, unsigned i) {
    return (struct child *)(void *)(uintptr_t)node->slots + i;
}
HOT_INLINE char *slot_at(const struct idtree_node *node, size_t size, unsigned i) {
    return (char *)(uintptr_t)node->slots + size * i;
}
HOT_INLINE struct stream_id id_of(const void *slot) {
    struct stream_id id;
    memcpy(&id, slot, sizeof id);
    return id;
}
HOT_INLINE size_t size_of(const struct idtree *tree, unsigned level) {
    return level ? sizeof(struct child) : tree->slot_size;
}
static unsigned leaf_max(const struct idtree *tree) {
    return LEAF_BYTES / tree->slot_size;
}
static unsigned node_max(const struct idtree *tree, unsigned level) {
    return level ? INNER_MAX : leaf_max(tree);
}
static size_t node_bytes(const struct idtree *tree, const struct idtree_node *node) {
    return sizeof *node + node->cap * size_of(tree, node->level);
}

void idtree_init(struct idtree *tree, size_t slot_size) {
    ASSERT(slot_size >= sizeof(struct stream_id) && slot_size % 8 == 0 && slot_size < 128);
    *tree = (struct idtree){.slot_size = (uint32_t)slot_size};
}

/* --- nodes --- */

static struct idtree_node *node_new(const struct store *store, struct idtree *tree, unsigned level, unsigned cap) {
    struct idtree_node *node = store_alloc(store, sizeof *node + cap * size_of(tree, level));
    *node = (struct idtree_node){.cap = (uint16_t)cap, .level = level};
    tree->bytes += store_block_size(node_bytes(tree, node));
    return node;
}

static void node_free(const struct store *store, struct idtree *tree, struct idtree_node *node) {
    tree->bytes -= store_block_size(node_bytes(tree, node));
    store_free(store, node, node_bytes(tree, node));
}

/* A gap at `at`, or one less; there is room. */
static void open_gap(const struct idtree *tree, struct idtree_node *node, unsigned at) {
    size_t size = size_of(tree, node->level);
    char *gap = slot_at(node, size, at);
    memmove(gap + size, gap, (node->count - at) * size);
    node->count++;
}
static void close_gap(const struct idtree *tree, struct idtree_node *node, unsigned at) {
    size_t size = size_of(tree, node->level);
    char *gap = slot_at(node, size, at);
    node->count--;
    memmove(gap, gap + size, (node->count - at) * size);
}

/* Slots of a leaf that are below id; children of an inner node whose ids begin at id or below, but the first is one in
 * any case. */
static unsigned count_below(const struct idtree *tree, const struct idtree_node *node, struct stream_id id) {
    size_t size = size_of(tree, node->level);
    unsigned low = node->level ? 1 : 0, high = node->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        int order = stream_id_compare(id_of(slot_at(node, size, middle)), id);
        if (order < 0 || (order == 0 && node->level))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* --- iterating --- */

struct idtree_iter idtree_seek(const struct idtree *tree, struct stream_id id) {
    struct idtree_iter iter;
    struct idtree_node *node = tree->root;
    iter.slot_size = tree->slot_size;
    iter.top = node ? node->level : 0;
    iter.nodes[0] = NULL;
    for (; node && node->level; node = child_at(node, iter.at[node->level])->node) {
        iter.nodes[node->level] = node;
        iter.at[node->level] = (uint16_t)(count_below(tree, node, id) - 1);
    }
    if (!node) return iter;
    iter.nodes[0] = node;
    iter.at[0] = (uint16_t)count_below(tree, node, id);
    return iter;
}

/* From the child where the iterator is at this level down to its first place, or its last. */
static void enter(struct idtree_iter *iter, unsigned level, bool at_end) {
    for (; level > 0; level--) {
        struct idtree_node *child = child_at(iter->nodes[level], iter->at[level])->node;
        iter->nodes[level - 1] = child;
        iter->at[level - 1] = (uint16_t)(at_end ? child->count - (level > 1) : 0);
    }
}

static struct idtree_iter edge(const struct idtree *tree, bool at_end) {
    struct idtree_iter iter;
    iter.slot_size = tree->slot_size;
    iter.nodes[0] = NULL;
    iter.top = 0;
    if (!tree->root) return iter;
    iter.top = tree->root->level;
    iter.nodes[iter.top] = tree->root;
    iter.at[iter.top] = (uint16_t)(at_end ? tree->root->count - (iter.top > 0) : 0);
    enter(&iter, iter.top, at_end);
    return iter;
}

struct idtree_iter idtree_begin(const struct idtree *tree) {
    return edge(tree, false);
}
struct idtree_iter idtree_end(const struct idtree *tree) {
    return edge(tree, true);
}

static bool next_leaf(struct idtree_iter *iter) {
    for (unsigned level = 1; level <= iter->top; level++) {
        if (iter->at[level] + 1u >= iter->nodes[level]->count) continue;
        iter->at[level]++;
        enter(iter, level, false);
        return true;
    }
    return false;
}

static bool prev_leaf(struct idtree_iter *iter) {
    for (unsigned level = 1; level <= iter->top; level++) {
        if (iter->at[level] == 0) continue;
        iter->at[level]--;
        enter(iter, level, true);
        return true;
    }
    return false;
}

void *idtree_next(struct idtree_iter *iter) {
    if (!iter->nodes[0]) return NULL;
    if (UNLIKELY(iter->at[0] == iter->nodes[0]->count) && !next_leaf(iter)) return NULL;
    return slot_at(iter->nodes[0], iter->slot_size, iter->at[0]++);
}

void *idtree_prev(struct idtree_iter *iter) {
    if (!iter->nodes[0]) return NULL;
    if (UNLIKELY(iter->at[0] == 0) && !prev_leaf(iter)) return NULL;
    return slot_at(iter->nodes[0], iter->slot_size, --iter->at[0]);
}

void *idtree_find(const struct idtree *tree, struct stream_id id) {
    struct idtree_node *node = tree->root;
    if (!node) return NULL;
    while (node->level) node = child_at(node, count_below(tree, node, id) - 1)->node;
    unsigned at = count_below(tree, node, id);
    if (at == node->count) return NULL;
    char *slot = slot_at(node, tree->slot_size, at);
    return stream_id_equal(id_of(slot), id) ? slot : NULL;
}

void *idtree_last(const struct idtree *tree) {
    struct idtree_node *node = tree->root;
    if (!node) return NULL;
    while (node->level) node = child_at(node, node->count - 1u)->node;
    return slot_at(node, tree->slot_size, node->count - 1u);
}

/* --- inserting --- */

static void grow_leaf(const struct store *store, struct idtree *tree) {
    struct idtree_node *old = tree->root;
    unsigned cap = MIN(old->cap * 2u, leaf_max(tree));
    tree->root = node_new(store, tree, 0, cap);
    tree->root->count = old->count;
    memcpy(tree->root->slots, old->slots, old->count * tree->slot_size);
    node_free(store, tree, old);
}

static void grow_root(const struct store *store, struct idtree *tree, struct idtree_iter *path) {
    struct idtree_node *root = node_new(store, tree, tree->root->level + 1, INNER_MAX);
    ASSERT(root->level < IDTREE_LEVELS_MAX);
    *child_at(root, 0) = (struct child){STREAM_ID_MIN, tree->root};
    root->count = 1;
    tree->root = root;
    path->top = root->level;
    path->nodes[path->top] = root;
    path->at[path->top] = 0;
}

/* Half of a full node's slots move to a new one behind it; none when what comes is put behind all of them. */
static struct idtree_node *split(const struct store *store, struct idtree *tree, struct idtree_node *node,
                                 unsigned at) {
    struct idtree_node *fresh = node_new(store, tree, node->level, node_max(tree, node->level));
    size_t size = size_of(tree, node->level);
    unsigned kept = at == node->count ? node->count : node->count / 2u;
    fresh->count = (uint16_t)(node->count - kept);
    memcpy(fresh->slots, slot_at(node, size, kept), fresh->count * size);
    node->count = (uint16_t)kept;
    return fresh;
}

/* A new slot, or child, at this place of the path's node; returns it with its id written. */
static void *place(const struct store *store, struct idtree *tree, struct idtree_iter *path, unsigned level,
                   unsigned at, struct stream_id id) {
    struct idtree_node *node = path->nodes[level];
    if (UNLIKELY(node->count == node->cap) && node->cap < node_max(tree, level)) {
        ASSERT(node == tree->root && level == 0);
        grow_leaf(store, tree);
        node = tree->root;
    } else if (UNLIKELY(node->count == node->cap)) {
        struct idtree_node *fresh = split(store, tree, node, at);
        struct stream_id from = fresh->count ? id_of(fresh->slots) : id;
        if (level == path->top) grow_root(store, tree, path);
        struct child *child = place(store, tree, path, level + 1, path->at[level + 1] + 1u, from);
        child->node = fresh;
        if (at > node->count || fresh->count == 0) {
            at -= node->count;
            node = fresh;
        }
    }
    open_gap(tree, node, at);
    void *slot = slot_at(node, size_of(tree, level), at);
    memcpy(slot, &id, sizeof id);
    return slot;
}

void *idtree_insert(const struct store *store, struct idtree *tree, struct stream_id id) {
    if (!tree->root) tree->root = node_new(store, tree, 0, LEAF_START);
    struct idtree_iter path = idtree_seek(tree, id);
    tree->count++;
    return place(store, tree, &path, 0, path.at[0], id);
}

/* --- removing --- */

/* A root with one child gives way to it, an empty one to nothing. */
static void lower_root(const struct store *store, struct idtree *tree) {
    while (tree->root && (tree->root->count == 0 || (tree->root->level && tree->root->count == 1))) {
        struct idtree_node *old = tree->root;
        tree->root = old->count == 0 ? NULL : child_at(old, 0)->node;
        node_free(store, tree, old);
    }
}

/* Child i + 1 gives all it has to child i, which has room, and is gone. */
static void join(const struct store *store, struct idtree *tree, struct idtree_node *parent, unsigned i) {
    struct idtree_node *left = child_at(parent, i)->node, *right = child_at(parent, i + 1)->node;
    size_t size = size_of(tree, left->level);
    if (right->level) child_at(right, 0)->from = child_at(parent, i + 1)->from;
    memcpy(slot_at(left, size, left->count), right->slots, right->count * size);
    left->count = (uint16_t)(left->count + right->count);
    node_free(store, tree, right);
    close_gap(tree, parent, i + 1);
}

/* The path's node of this level, which is not the root, goes when it is empty or a neighbour can take what is left. */
static void thin_out(const struct store *store, struct idtree *tree, struct idtree_iter *path, unsigned level) {
    struct idtree_node *node = path->nodes[level], *parent = path->nodes[level + 1];
    unsigned i = path->at[level + 1], max = node_max(tree, level), roomy = max - max / 8;
    if (node->count >= max / 3) return;
    if (node->count == 0) {
        node_free(store, tree, node);
        close_gap(tree, parent, i);
    } else if (i > 0 && child_at(parent, i - 1)->node->count + node->count <= (int)roomy) {
        join(store, tree, parent, i - 1);
    } else if (i + 1 < parent->count && child_at(parent, i + 1)->node->count + node->count <= (int)roomy) {
        join(store, tree, parent, i);
    }
}

void idtree_remove(const struct store *store, struct idtree *tree, struct stream_id id) {
    struct idtree_iter path = idtree_seek(tree, id);
    struct idtree_node *leaf = path.nodes[0];
    ASSERT(leaf && path.at[0] < leaf->count);
    ASSERT(stream_id_equal(id_of(slot_at(leaf, tree->slot_size, path.at[0])), id));
    close_gap(tree, leaf, path.at[0]);
    tree->count--;
    for (unsigned level = 0; level < path.top; level++) thin_out(store, tree, &path, level);
    lower_root(store, tree);
}

/* The last node goes; those above it that are empty then, too. */
static void drop_last_leaf(const struct store *store, struct idtree *tree) {
    struct idtree_iter path = idtree_end(tree);
    for (unsigned level = 0; level <= path.top; level++) {
        node_free(store, tree, path.nodes[level]);
        if (level == path.top)
            tree->root = NULL;
        else if (--path.nodes[level + 1]->count > 0)
            return;
    }
}

void idtree_drop_last(const struct store *store, struct idtree *tree) {
    struct idtree_node *node = tree->root;
    ASSERT(node);
    while (node->level) node = child_at(node, node->count - 1u)->node;
    node->count--;
    tree->count--;
    if (node->count == 0) drop_last_leaf(store, tree);
}

bool idtree_free_some(const struct store *store, struct idtree *tree, unsigned *nodes) {
    for (; tree->root && *nodes > 0; --*nodes) drop_last_leaf(store, tree);
    if (!tree->root) tree->count = 0;
    return tree->root != NULL;
}

/* --- cutting --- */

static size_t bytes_below(const struct idtree *tree, const struct idtree_node *node) {
    size_t bytes = store_block_size(node_bytes(tree, node));
    if (node->level == 1) /* its leaves are full-sized: only a root may be smaller */
        return bytes + node->count * store_block_size(sizeof *node + leaf_max(tree) * tree->slot_size);
    for (unsigned i = 0; node->level && i < node->count; i++) bytes += bytes_below(tree, child_at(node, i)->node);
    return bytes;
}

/* A node with the first `count` slots of the other, which keeps the rest. NULL: none. */
static struct idtree_node *cut_node(const struct store *store, struct idtree *tree, struct idtree_node *node,
                                    unsigned count) {
    if (count == 0) return NULL;
    struct idtree_node *front = node_new(store, tree, node->level, node_max(tree, node->level));
    size_t size = size_of(tree, node->level);
    front->count = (uint16_t)count;
    memcpy(front->slots, node->slots, count * size);
    node->count = (uint16_t)(node->count - count);
    memmove(node->slots, slot_at(node, size, count), node->count * size);
    return front;
}

void idtree_cut(const struct store *store, struct idtree *tree, const struct idtree_iter *at, uint64_t count,
                struct idtree *front) {
    struct idtree_node *below = NULL; /* what was cut from the path's node of the level below */
    idtree_init(front, tree->slot_size);
    if (count == 0) return;
    for (unsigned level = 0; level <= at->top; level++) {
        struct idtree_node *node = at->nodes[level], *cut = cut_node(store, tree, node, at->at[level]);
        bool emptied = level > 0 && at->nodes[level - 1]->count == 0;
        if (below && !cut && level < at->top) cut = node_new(store, tree, level, INNER_MAX);
        if (below && cut) {
            struct stream_id from = cut->count ? child_at(node, 0)->from : STREAM_ID_MIN;
            *child_at(cut, cut->count++) = (struct child){from, below};
        }
        if (emptied) {
            node_free(store, tree, at->nodes[level - 1]);
            close_gap(tree, node, 0);
        }
        if (cut) below = cut;
    }
    front->root = below;
    front->count = count;
    front->bytes = bytes_below(front, below);
    tree->bytes -= front->bytes;
    tree->count -= count;
    lower_root(store, tree);
}

/* --- checking --- */

static size_t check_node(const struct idtree *tree, const struct idtree_node *node, struct stream_id from,
                         struct stream_id *last, uint64_t *count) {
    size_t bytes = store_block_size(node_bytes(tree, node));
    ASSERT(node->count > 0 && node->count <= node->cap && node->cap <= node_max(tree, node->level));
    ASSERT(node == tree->root || node->cap == node_max(tree, node->level));
    for (unsigned i = 0; i < node->count; i++) {
        struct stream_id id = id_of(slot_at(node, size_of(tree, node->level), i));
        if (node->level) {
            const struct child *child = child_at(node, i);
            ASSERT(child->node->level + 1 == node->level);
            ASSERT(i == 0 || *count == 0 || stream_id_compare(child->from, *last) > 0);
            bytes += check_node(tree, child->node, i == 0 ? from : child->from, last, count);
            continue;
        }
        ASSERT(stream_id_compare(id, from) >= 0 && (*count == 0 || stream_id_compare(id, *last) > 0));
        *last = id;
        ++*count;
    }
    return bytes;
}

void idtree_check(const struct idtree *tree) {
    struct stream_id last = STREAM_ID_MIN;
    uint64_t count = 0;
    size_t bytes = tree->root ? check_node(tree, tree->root, STREAM_ID_MIN, &last, &count) : 0;
    ASSERT(count == tree->count && bytes == tree->bytes);
}
