/* Sorted sets: what must always be true. The table has the elements of the tree and no others; the tree is in order;
 * what inner nodes say of their children is so; all leaves are at the same depth; bytes are counted. */
#include "core/hashtable_inline.h"
#include "core/sorted_priv.h"
#include <math.h>

struct walk {
    const struct sorted *set;
    const struct sorted_element *last;
    uint64_t count;
    size_t bytes;
};

static void check_element(struct walk *walk, const struct sorted_element *element) {
    struct slice member = sorted_member(element);
    size_t head = offsetof(struct sorted_element, bytes) + (element->len == SORTED_LONG ? sizeof(uint32_t) : 0);
    ASSERT(!isnan(element->score) && sorted_find(walk->set, member) == element);
    if (walk->last) {
        struct sorted_bound bound = {.by = SORTED_BY_BOTH, .score = element->score, .member = member};
        ASSERT(sorted_is_before(walk->last->score, sorted_member(walk->last), &bound));
    }
    walk->last = element;
    walk->count++;
    walk->bytes += store_block_size(head + member.len);
}

static const struct sorted_element *first_of(const struct sorted_node *node) {
    return node->level ? sorted_inner_of(node)->firsts[0] : sorted_slot(node, 0);
}

/* Depth: the levels of the tree. */
static void check_node(struct walk *walk, const struct sorted_node *node) {
    ASSERT(node->count > 0 && node->count <= sorted_node_max(node) && node->level < SORTED_LEVELS);
    walk->bytes += store_block_size(node->level ? sizeof(struct sorted_inner) : sizeof(struct sorted_leaf));
    for (unsigned i = 0; i < node->count; i++) {
        if (node->level == 0) {
            check_element(walk, sorted_slot(node, i));
            continue;
        }
        const struct sorted_inner *inner = sorted_inner_of(node);
        const struct sorted_node *child = inner->children[i];
        uint64_t before = walk->count;
        ASSERT(child->level + 1 == node->level);
        ASSERT(inner->firsts[i] == first_of(child) && inner->scores[i] == inner->firsts[i]->score);
        check_node(walk, child);
        ASSERT(walk->count - before == inner->counts[i]);
    }
}

void sorted_check(const struct sorted *set) {
    struct walk walk = {.set = set, .bytes = store_block_size(sizeof *set)};
    hashtable_check(set->table);
    ASSERT((set->root == NULL) == (sorted_count(set) == 0));
    if (set->root) {
        ASSERT(set->root->level == 0 || set->root->count > 1);
        check_node(&walk, set->root);
    }
    ASSERT(walk.count == sorted_count(set) && walk.bytes == set->bytes);
}
