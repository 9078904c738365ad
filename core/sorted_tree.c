/* The tree of a sorted set: a counted B+ tree.
 *
 *                      | -5 a: 30 | 12 b: 41 | 12 x: 28 |       inner: first element of each child and how many it has
 *                          /          |           \
 *                     | 30 |         | 41 |        | 28 |            leaves: pointers to elements
 *
 * A search compares with the scores that stand in the inner nodes and reads an element only to decide between equal
 * ones; in the leaf it reads elements, 5 or 6 of 42. A rank is the sum of the counts left of the way down.
 *
 * Full nodes. One that is full first shares with a neighbour that has room, and only when both are full three are made
 * of two (a B*-tree: Knuth, "The Art of Computer Programming" 3, 6.2.4): leaves are about 80% full when elements come
 * in any order. What is only appended, like times, leaves full leaves behind.
 *
 * A node is never empty. One that is less than a third full is joined with a neighbour when both fit into one with
 * an eighth to spare, so that a change back and forth does not divide and join each time. */
#include "core/sorted_priv.h"

#define SHARE_MIN 4u /* places that a neighbour must have free to be shared with */

/* --- searching --- */

HOT_INLINE bool is_before(double score, const struct sorted_element *element, const struct sorted_bound *bound) {
    if (bound->by != SORTED_BY_MEMBER) {
        if (score != bound->score) return score < bound->score;
        if (bound->by == SORTED_BY_SCORE) return bound->inclusive;
    }
    int order = slice_compare(sorted_member(element), bound->member);
    return order < 0 || (order == 0 && bound->inclusive);
}

/* Items of an inner node whose first element lies before the bound. */
static unsigned inner_before(const struct sorted_inner *inner, const struct sorted_bound *bound) {
    unsigned low = 0, high = inner->node.count;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (is_before(inner->scores[mid], inner->firsts[mid], bound))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static unsigned leaf_before(const struct sorted_node *leaf, const struct sorted_bound *bound) {
    unsigned low = 0, high = leaf->count;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        const struct sorted_element *element = sorted_slot(leaf, mid);
        if (is_before(element->score, element, bound))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

uint64_t sorted_count_before(const struct sorted *set, const struct sorted_bound *bound) {
    const struct sorted_node *node = set->root;
    uint64_t rank = 0;
    if (!node) return 0;
    while (node->level) {
        const struct sorted_inner *inner = sorted_inner_of(node);
        unsigned before = inner_before(inner, bound);
        if (before == 0) return rank;
        for (unsigned i = 0; i + 1 < before; i++) rank += inner->counts[i];
        node = inner->children[before - 1];
    }
    return rank + leaf_before(node, bound);
}

static struct sorted_bound bound_at(const struct sorted_element *element) {
    return (struct sorted_bound){
        .by = SORTED_BY_BOTH, .inclusive = true, .score = element->score, .member = sorted_member(element)};
}

/* The way to the place behind all elements that lie before the bound. The set is not empty. */
static void descend(const struct sorted *set, const struct sorted_bound *bound, struct sorted_path *path) {
    struct sorted_node *node = set->root;
    while (node->level) {
        const struct sorted_inner *inner = sorted_inner_of(node);
        unsigned before = inner_before(inner, bound);
        path->nodes[node->level] = node;
        path->at[node->level] = (uint16_t)(before ? before - 1 : 0);
        node = inner->children[path->at[node->level]];
    }
    path->nodes[0] = node;
    path->at[0] = (uint16_t)leaf_before(node, bound);
}

/* --- making room --- */

static struct sorted_inner *parent_of(const struct sorted_path *path, unsigned level) {
    return sorted_inner_of(path->nodes[level + 1]);
}

static void grow_root(const struct store *store, struct sorted *set, struct sorted_path *path) {
    unsigned level = set->root->level + 1u;
    ASSERT(level < SORTED_LEVELS);
    struct sorted_node *root = sorted_node_new(store, set, level);
    sorted_node_put(root, 0, &(struct sorted_item){.child = set->root});
    sorted_node_tell(sorted_inner_of(root), 0);
    set->root = root;
    path->nodes[level] = root;
    path->at[level] = 0;
}

/* Spreads children first .. of the path's parent of `level`; the path goes on to the same place. */
static void spread(struct sorted_path *path, unsigned level, unsigned first, unsigned many) {
    struct sorted_inner *parent = parent_of(path, level);
    unsigned at = path->at[level], child = first;
    for (unsigned i = first; i < path->at[level + 1]; i++) at += parent->children[i]->count;
    sorted_node_spread(parent, first, many);
    for (; child + 1 < first + many && at >= parent->children[child]->count; child++)
        at -= parent->children[child]->count;
    path->at[level + 1] = (uint16_t)child;
    path->nodes[level] = parent->children[child];
    path->at[level] = (uint16_t)at;
}

/* Shares with a neighbour that has room. */
static bool share(struct sorted_path *path, unsigned level) {
    const struct sorted_inner *parent = parent_of(path, level);
    unsigned i = path->at[level + 1], full = sorted_node_max(path->nodes[level]) - SHARE_MIN;
    bool left = i > 0 && parent->children[i - 1]->count <= full;
    bool right = i + 1 < parent->node.count && parent->children[i + 1]->count <= full;
    if (left || right) spread(path, level, left ? i - 1 : i, 2);
    return left || right;
}

static bool is_at_end(const struct sorted *set, const struct sorted_path *path, unsigned level) {
    bool end = path->at[level] + (level > 0) == path->nodes[level]->count;
    for (unsigned i = level + 1; i <= set->root->level && end; i++) end = path->at[i] + 1u == path->nodes[i]->count;
    return end;
}

/* A new node to the right of the path's full one; the parent has room. At the end of all nothing moves but what the
 * path stands on, for who appends goes on appending. */
static void split(const struct store *store, struct sorted *set, struct sorted_path *path, unsigned level) {
    struct sorted_inner *parent = parent_of(path, level);
    unsigned i = path->at[level + 1];
    bool end = is_at_end(set, path, level);
    struct sorted_node *node = path->nodes[level], *fresh = sorted_node_new(store, set, level);
    sorted_node_put(&parent->node, i + 1, &(struct sorted_item){.child = fresh});
    if (!end) {
        bool three = parent->node.count > 2;
        spread(path, level, three && i + 2 == parent->node.count ? i - 1 : i, three ? 3 : 2);
        return;
    }
    if (level > 0) {
        const struct sorted_inner *inner = sorted_inner_of(node);
        unsigned last = node->count - 1u;
        sorted_node_put(fresh, 0,
                        &(struct sorted_item){inner->firsts[last], inner->scores[last], inner->children[last],
                                              inner->counts[last]});
        sorted_node_take(node, last);
        sorted_node_tell(parent, i);
        sorted_node_tell(parent, i + 1);
    }
    path->nodes[level] = fresh;
    path->at[level] = 0;
    path->at[level + 1]++;
}

/* The path's node of this level gets room for one more. Depth: the levels above. */
static void make_room(const struct store *store, struct sorted *set, struct sorted_path *path, unsigned level) {
    if (path->nodes[level]->count < sorted_node_max(path->nodes[level])) return;
    if (level == set->root->level) grow_root(store, set, path);
    if (share(path, level)) return;
    make_room(store, set, path, level + 1);
    split(store, set, path, level);
}

/* Says the path's first elements again, up to the root. */
static void tell_firsts(const struct sorted *set, const struct sorted_path *path) {
    for (unsigned level = 1; level <= set->root->level; level++) {
        sorted_node_tell_first(sorted_inner_of(path->nodes[level]), path->at[level]);
        if (path->at[level] > 0) return;
    }
}

void sorted_tree_insert(const struct store *store, struct sorted *set, struct sorted_element *element) {
    struct sorted_bound bound = bound_at(element);
    struct sorted_path path;
    if (!set->root) set->root = sorted_node_new(store, set, 0);
    descend(set, &bound, &path);
    make_room(store, set, &path, 0);
    sorted_node_put(path.nodes[0], path.at[0], &(struct sorted_item){.first = element});
    for (unsigned level = 1; level <= set->root->level; level++)
        sorted_inner_of(path.nodes[level])->counts[path.at[level]]++;
    if (path.at[0] == 0) tell_firsts(set, &path);
}

/* --- removing --- */

static void find(const struct sorted *set, const struct sorted_element *element, struct sorted_path *path) {
    struct sorted_bound bound = bound_at(element);
    ASSERT(set->root);
    descend(set, &bound, path);
    ASSERT(path->at[0] > 0 && sorted_slot(path->nodes[0], path->at[0] - 1u) == element);
    path->at[0]--;
}

/* The path's node of this level, which is not the root, goes when it is empty or a neighbour can take what is left. */
static void thin_out(const struct store *store, struct sorted *set, struct sorted_path *path, unsigned level) {
    struct sorted_inner *parent = parent_of(path, level);
    const struct sorted_node *node = path->nodes[level];
    unsigned i = path->at[level + 1], max = sorted_node_max(node), roomy = max - max / 8;
    if (node->count >= max / 3) return;
    if (node->count == 0) {
        sorted_node_free(store, set, path->nodes[level]);
        sorted_node_take(&parent->node, i);
    } else if (i > 0 && parent->children[i - 1]->count + node->count <= roomy) {
        sorted_node_join(store, set, parent, i - 1);
        path->at[level + 1]--;
    } else if (i + 1 < parent->node.count && parent->children[i + 1]->count + node->count <= roomy) {
        sorted_node_join(store, set, parent, i);
    }
}

static void lower_root(const struct store *store, struct sorted *set) {
    while (set->root && (set->root->count == 0 || (set->root->level && set->root->count == 1))) {
        struct sorted_node *old = set->root;
        set->root = old->count == 0 ? NULL : sorted_inner_of(old)->children[0];
        sorted_node_free(store, set, old);
    }
}

void sorted_tree_remove(const struct store *store, struct sorted *set, const struct sorted_element *element) {
    struct sorted_path path;
    find(set, element, &path);
    bool first = path.at[0] == 0;
    sorted_node_take(path.nodes[0], path.at[0]);
    unsigned top = set->root->level;
    for (unsigned level = 1; level <= top; level++) sorted_inner_of(path.nodes[level])->counts[path.at[level]]--;
    if (first && path.nodes[0]->count > 0) tell_firsts(set, &path);
    for (unsigned level = 0; level < top; level++) {
        thin_out(store, set, &path, level);
        if (level + 1 < top && path.nodes[level + 1]->count > 0) /* its first child may be another now */
            sorted_node_tell_first(parent_of(&path, level + 1), path.at[level + 2]);
    }
    lower_root(store, set);
}

bool sorted_tree_move(struct sorted *set, struct sorted_element *element, double score) {
    struct sorted_path path;
    find(set, element, &path);
    const struct sorted_node *leaf = path.nodes[0];
    unsigned at = path.at[0];
    if (at == 0 || at + 1u >= leaf->count) return false;
    const struct sorted_element *before = sorted_slot(leaf, at - 1), *behind = sorted_slot(leaf, at + 1);
    struct sorted_bound bound = bound_at(element);
    bound.score = score;
    if (!is_before(before->score, before, &bound) || is_before(behind->score, behind, &bound)) return false;
    element->score = score;
    return true;
}

/* --- iterating --- */

struct sorted_iter sorted_seek(const struct sorted *set, uint64_t rank) {
    struct sorted_iter iter = {.top = 0};
    struct sorted_node *node = set->root;
    ASSERT(rank <= sorted_count(set));
    if (!node) return iter;
    iter.top = node->level;
    while (node->level) {
        const struct sorted_inner *inner = sorted_inner_of(node);
        unsigned i = 0;
        for (; i + 1u < node->count && rank >= inner->counts[i]; i++) rank -= inner->counts[i];
        iter.path.nodes[node->level] = node;
        iter.path.at[node->level] = (uint16_t)i;
        node = inner->children[i];
    }
    iter.path.nodes[0] = node;
    iter.path.at[0] = (uint16_t)rank;
    return iter;
}

/* From child `at` of the path's node of this level down to its first place, or its last. */
static void enter(struct sorted_path *path, unsigned level, bool at_end) {
    for (; level > 0; level--) {
        struct sorted_node *child = sorted_inner_of(path->nodes[level])->children[path->at[level]];
        path->nodes[level - 1] = child;
        path->at[level - 1] = (uint16_t)(at_end ? child->count - (level > 1) : 0);
    }
}

static bool next_leaf(struct sorted_iter *iter) {
    for (unsigned level = 1; level <= iter->top; level++) {
        if (iter->path.at[level] + 1u >= iter->path.nodes[level]->count) continue;
        iter->path.at[level]++;
        enter(&iter->path, level, false);
        return true;
    }
    return false;
}

static bool prev_leaf(struct sorted_iter *iter) {
    for (unsigned level = 1; level <= iter->top; level++) {
        if (iter->path.at[level] == 0) continue;
        iter->path.at[level]--;
        enter(&iter->path, level, true);
        return true;
    }
    return false;
}

const struct sorted_element *sorted_next(struct sorted_iter *iter) {
    struct sorted_path *path = &iter->path;
    if (UNLIKELY(!path->nodes[0])) return NULL;
    if (UNLIKELY(path->at[0] == path->nodes[0]->count) && !next_leaf(iter)) return NULL;
    return sorted_slot(path->nodes[0], path->at[0]++);
}

const struct sorted_element *sorted_prev(struct sorted_iter *iter) {
    struct sorted_path *path = &iter->path;
    if (UNLIKELY(!path->nodes[0])) return NULL;
    if (UNLIKELY(path->at[0] == 0) && !prev_leaf(iter)) return NULL;
    return sorted_slot(path->nodes[0], --path->at[0]);
}

/* --- freeing --- */

bool sorted_tree_free_some(const struct store *store, struct sorted *set, unsigned units) {
    for (; units > 0 && set->root; units--) {
        struct sorted_node **at = &set->root, *above = NULL;
        while ((*at)->level && (*at)->count > 0) {
            above = *at;
            at = &sorted_inner_of(above)->children[above->count - 1];
        }
        sorted_node_free(store, set, *at);
        *at = NULL;
        if (above) above->count--;
    }
    return set->root != NULL;
}
