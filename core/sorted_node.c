/* Nodes of a sorted set's tree: putting into and taking out of one, and sharing between neighbours. A leaf and an inner
 * node differ in what a place holds; everything about that is here, so that the tree moves items and need not ask.
 *
 *      leaf     | count, level | pointer of 6 bytes, up to 42 times |                                     256 bytes
 *      inner    | count, level | scores | first elements | children | counts of elements |, up to 31 each */
#include "core/sorted_priv.h"

struct sorted_node *sorted_node_new(const struct store *store, struct sorted *set, unsigned level) {
    size_t size = level ? sizeof(struct sorted_inner) : sizeof(struct sorted_leaf);
    struct sorted_node *node = store_alloc(store, size);
    set->bytes += store_block_size(size);
    node->count = 0;
    node->level = (uint8_t)level;
    return node;
}

void sorted_node_free(const struct store *store, struct sorted *set, struct sorted_node *node) {
    size_t size = node->level ? sizeof(struct sorted_inner) : sizeof(struct sorted_leaf);
    set->bytes -= store_block_size(size);
    store_free(store, node, size);
}

/* --- one node --- */

void sorted_set_slot(struct sorted_node *node, unsigned i, const struct sorted_element *element) {
    unsigned char *at = ((struct sorted_leaf *)(void *)node)->slots + i * SLOT_SIZE;
    uint64_t bits = (uint64_t)(uintptr_t)element;
    uint32_t low = (uint32_t)bits;
    uint16_t high = (uint16_t)(bits >> 32);
    memcpy(at, &low, sizeof low);
    memcpy(at + sizeof low, &high, sizeof high);
}

static struct sorted_item read_item(const struct sorted_node *node, unsigned i) {
    if (node->level == 0) return (struct sorted_item){.first = sorted_slot(node, i)};
    const struct sorted_inner *inner = sorted_inner_of(node);
    return (struct sorted_item){inner->firsts[i], inner->scores[i], inner->children[i], inner->counts[i]};
}

static void write_item(struct sorted_node *node, unsigned i, const struct sorted_item *item) {
    if (node->level == 0) {
        sorted_set_slot(node, i, item->first);
        return;
    }
    struct sorted_inner *inner = sorted_inner_of(node);
    inner->firsts[i] = item->first;
    inner->scores[i] = item->score;
    inner->children[i] = item->child;
    inner->counts[i] = item->count;
}

/* Items from .. count - 1 move to `to`. */
static void shift(struct sorted_node *node, unsigned to, unsigned from) {
    size_t many = node->count - from;
    if (node->level == 0) {
        unsigned char *slots = ((struct sorted_leaf *)(void *)node)->slots;
        memmove(slots + to * SLOT_SIZE, slots + from * SLOT_SIZE, many * SLOT_SIZE);
        return;
    }
    struct sorted_inner *inner = sorted_inner_of(node);
    memmove(inner->firsts + to, inner->firsts + from, many * sizeof *inner->firsts);
    memmove(inner->scores + to, inner->scores + from, many * sizeof *inner->scores);
    memmove(inner->children + to, inner->children + from, many * sizeof *inner->children);
    memmove(inner->counts + to, inner->counts + from, many * sizeof *inner->counts);
}

void sorted_node_put(struct sorted_node *node, unsigned at, const struct sorted_item *item) {
    ASSERT(node->count < sorted_node_max(node) && at <= node->count);
    shift(node, at + 1, at);
    write_item(node, at, item);
    node->count++;
}

void sorted_node_take(struct sorted_node *node, unsigned at) {
    ASSERT(at < node->count);
    shift(node, at, at + 1);
    node->count--;
}

/* --- a child and its parent --- */

void sorted_node_tell_first(struct sorted_inner *parent, unsigned i) {
    const struct sorted_node *child = parent->children[i];
    ASSERT(i < parent->node.count && child->count > 0);
    parent->firsts[i] = child->level ? sorted_inner_of(child)->firsts[0] : sorted_slot(child, 0);
    parent->scores[i] = child->level ? sorted_inner_of(child)->scores[0] : parent->firsts[i]->score;
}

void sorted_node_tell(struct sorted_inner *parent, unsigned i) {
    const struct sorted_node *child = parent->children[i];
    sorted_node_tell_first(parent, i);
    parent->counts[i] = child->count;
    if (child->level == 0) return;
    const struct sorted_inner *inner = sorted_inner_of(child);
    parent->counts[i] = 0;
    for (unsigned j = 0; j < child->count; j++) parent->counts[i] += inner->counts[j];
}

/* --- neighbours --- */

void sorted_node_spread(struct sorted_inner *parent, unsigned first, unsigned many) {
    struct sorted_item items[SPREAD_MAX * LEAF_MAX];
    unsigned total = 0, dealt = 0;
    ASSERT(many <= SPREAD_MAX && first + many <= parent->node.count);
    for (unsigned i = 0; i < many; i++) {
        const struct sorted_node *child = parent->children[first + i];
        for (unsigned j = 0; j < child->count; j++) items[total++] = read_item(child, j);
    }
    for (unsigned i = 0; i < many; i++) {
        struct sorted_node *child = parent->children[first + i];
        unsigned share = total * (i + 1) / many - dealt;
        for (unsigned j = 0; j < share; j++) write_item(child, j, &items[dealt++]);
        child->count = (uint16_t)share;
        sorted_node_tell(parent, first + i);
    }
}

void sorted_node_join(const struct store *store, struct sorted *set, struct sorted_inner *parent, unsigned i) {
    struct sorted_node *left = parent->children[i], *right = parent->children[i + 1];
    ASSERT(left->count + right->count <= sorted_node_max(left));
    for (unsigned j = 0; j < right->count; j++) {
        struct sorted_item item = read_item(right, j);
        write_item(left, left->count++, &item);
    }
    sorted_node_free(store, set, right);
    sorted_node_take(&parent->node, i + 1);
    sorted_node_tell(parent, i);
}
