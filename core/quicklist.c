/* Quicklist: nodes, both ends, iterating.
 *
 * A node starts with 1 KiB and doubles. Room is made at the end where it is needed: by moving the run within the block
 * when half of it is free, so that this happens once in many pushes; by a larger block; or by a new node. So a push is
 * amortised O(bytes of the element), and so is a pop, which moves nothing unless three quarters of a block are free.
 *
 * Many nodes that go at once (LTRIM, LPOP with a count) are cut off as a chain, which becomes a list of its own and is
 * deleted like any other, in slices if it is long. */
#include "core/assert.h"
#include "core/quicklist_priv.h"

struct quicklist_rule quicklist_rule_of(int list_max_listpack_size) {
    static const uint32_t kib[] = {4, 8, 16, 32, 64};
    if (list_max_listpack_size < 0)
        return (struct quicklist_rule){kib[MIN(-(int64_t)list_max_listpack_size, 5) - 1] * 1024, UINT32_MAX};
    return (struct quicklist_rule){kib[1] * 1024, (uint32_t)MAX(list_max_listpack_size, 1)};
}

struct quicklist *quicklist_new(const struct store *store) {
    struct quicklist *list = store_alloc(store, sizeof *list);
    *list = (struct quicklist){0};
    return list;
}

void quicklist_delete(const struct store *store, struct quicklist *list) {
    store_free_object(store, quicklist_free_some, list);
}

bool quicklist_free_some(const struct store *store, void *object, unsigned nodes) {
    struct quicklist *list = object;
    ASSERT(!list->past);
    for (; list->head && nodes > 0; nodes--) {
        struct quicklist_node *node = list->head;
        list->head = node->next;
        store_free(store, node, sizeof *node + node->cap);
    }
    if (list->head) return true;
    store_free(store, list, sizeof *list);
    return false;
}

uint64_t quicklist_count(const struct quicklist *list) {
    return list->count;
}

size_t quicklist_bytes(const struct quicklist *list) {
    return list->bytes + store_block_size(sizeof *list);
}

uint64_t quicklist_nodes(const struct quicklist *list) {
    return list->nodes;
}

/* --- nodes --- */

static struct quicklist_node *node_new(const struct store *store, size_t cap) {
    size_t size = store_block_size(sizeof(struct quicklist_node) + cap);
    struct quicklist_node *node = store_alloc(store, size);
    node->cap = (uint32_t)(size - sizeof *node);
    node->count = 0;
    return node;
}

struct quicklist_node *node_copy(const struct store *store, const struct quicklist_node *node) {
    struct quicklist_node *copy = node_new(store, node_used(node));
    memcpy(copy->bytes, node->bytes + node->start, node_used(node));
    copy->prev = copy->next = NULL;
    copy->start = 0;
    copy->end = node_used(node);
    copy->count = node->count;
    return copy;
}

/* Makes its neighbours, or the list's ends, point at the node. */
static void link_neighbours(struct quicklist *list, struct quicklist_node *node) {
    *(node->prev ? &node->prev->next : &list->head) = node;
    *(node->next ? &node->next->prev : &list->tail) = node;
}

struct quicklist_node *node_add(const struct store *store, struct quicklist *list, struct quicklist_node *prev,
                                struct quicklist_node *next, size_t cap, size_t start) {
    struct quicklist_node *node = node_new(store, cap);
    node->prev = prev;
    node->next = next;
    node->start = node->end = (uint32_t)MIN(start, (size_t)node->cap);
    link_neighbours(list, node);
    list->nodes++;
    list->bytes += sizeof *node + node->cap;
    return node;
}

void node_remove(const struct store *store, struct quicklist *list, struct quicklist_node *node) {
    *(node->prev ? &node->prev->next : &list->head) = node->next;
    *(node->next ? &node->next->prev : &list->tail) = node->prev;
    if (list->walk == node) list->walk = node->next;
    list->nodes--;
    list->bytes -= sizeof *node + node->cap;
    if (LIKELY(!list->past) || !quicklist_past_goes(list->past, node))
        store_free(store, node, sizeof *node + node->cap);
}

struct quicklist_node *node_resize(const struct store *store, struct quicklist *list, struct quicklist_node *node,
                                   size_t cap, enum list_end room) {
    uint32_t used = node_used(node);
    ASSERT(cap >= used);
    struct quicklist_node *moved = node_new(store, cap);
    moved->prev = node->prev;
    moved->next = node->next;
    moved->count = node->count;
    moved->start = room == LIST_TAIL ? 0 : moved->cap - used;
    moved->end = moved->start + used;
    memcpy(moved->bytes + moved->start, node->bytes + node->start, used);
    link_neighbours(list, moved);
    if (list->walk == node) list->walk = moved;
    list->bytes += (size_t)moved->cap - node->cap;
    store_free(store, node, sizeof *node + node->cap);
    return moved;
}

void node_slide(struct quicklist_node *node, enum list_end room) {
    uint32_t used = node_used(node), start = room == LIST_TAIL ? 0 : node->cap - used;
    memmove(node->bytes + start, node->bytes + node->start, used);
    node->start = start;
    node->end = start + used;
}

void node_shrink(const struct store *store, struct quicklist *list, struct quicklist_node *node, enum list_end room) {
    uint32_t used = node_used(node);
    if (LIKELY(used >= node->cap / 4 || node->cap <= NODE_START)) return;
    node_resize(store, list, node, MAX(2 * used, NODE_START), room);
}

/* --- the ends --- */

/* Makes room for an element at one end of a node that it fits into. Returns the node, perhaps moved; NULL when a new
 * node is the cheaper way. */
static struct quicklist_node *make_room(const struct store *store, struct quicklist *list, struct quicklist_node *node,
                                        enum list_end end, uint32_t size, const struct quicklist_rule *rule) {
    uint32_t here = end == LIST_TAIL ? node->cap - node->end : node->start;
    if (LIKELY(here >= size)) return node;
    uint32_t used = node_used(node), free = node->cap - used;
    if (free >= size && free >= node->cap / 2) {
        node_slide(node, end);
        return node;
    }
    if (node->cap >= rule_used_max(rule)) return NULL;
    return node_resize(store, list, node, MIN(MAX(2 * node->cap, used + size), rule_used_max(rule)), end);
}

static void write_at_end(struct quicklist *list, struct quicklist_node *node, enum list_end end, uint32_t size,
                         const struct packed_value *value) {
    if (end == LIST_HEAD)
        node->start -= size;
    else
        node->end += size;
    char *behind = packed_write(node->bytes + (end == LIST_HEAD ? node->start : node->end - size), value);
    ASSERT_SLOW(behind == node->bytes + (end == LIST_HEAD ? node->start + size : node->end));
    (void)behind;
    node->count++;
    list->count++;
}

/* False: the node, which may be NULL, has no room at that end. */
static bool put_into(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                     struct quicklist_node *node, enum list_end end, size_t size, const struct packed_value *value) {
    if (!node || !node_fits(node, size, rule)) return false;
    if (UNLIKELY(list->past != NULL)) quicklist_past_changes(list->past, node);
    node = make_room(store, list, node, end, (uint32_t)size, rule);
    if (node) write_at_end(list, node, end, (uint32_t)size, value);
    return node != NULL;
}

void quicklist_put_between(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                           struct quicklist_node *prev, struct quicklist_node *next, const struct packed_value *value) {
    size_t size = packed_size(value);
    if (put_into(store, list, rule, prev, LIST_TAIL, size, value)) return;
    if (put_into(store, list, rule, next, LIST_HEAD, size, value)) return;
    enum list_end end = prev ? LIST_TAIL : LIST_HEAD;
    size_t cap = MAX(size, MIN(NODE_START, rule_used_max(rule)));
    if (UNLIKELY(list->past != NULL)) quicklist_past_grows(list->past, end);
    struct quicklist_node *node = node_add(store, list, prev, next, cap, end == LIST_TAIL ? 0 : SIZE_MAX);
    write_at_end(list, node, end, (uint32_t)size, value);
}

void quicklist_push(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                    enum list_end end, const struct packed_value *value) {
    if (end == LIST_HEAD)
        quicklist_put_between(store, list, rule, NULL, list->head, value);
    else
        quicklist_put_between(store, list, rule, list->tail, NULL, value);
}

bool quicklist_peek(const struct quicklist *list, enum list_end end, struct packed_value *value) {
    const struct quicklist_node *node = end == LIST_HEAD ? list->head : list->tail;
    if (!node) return false;
    (void)packed_read(end == LIST_HEAD ? node->bytes + node->start : packed_prev(node->bytes + node->end), value);
    return true;
}

/* --- finding a place --- */

struct place {
    struct quicklist_node *node; /* that holds the element */
    uint64_t count, nodes;       /* before the node */
    size_t bytes;
};

/* index is below the count. */
static struct place find_place(const struct quicklist *list, uint64_t index) {
    struct place place = {.node = list->head};
    if (index < list->count / 2) {
        for (; index >= place.count + place.node->count; place.node = place.node->next) {
            place.count += place.node->count;
            place.bytes += sizeof *place.node + place.node->cap;
            place.nodes++;
        }
        return place;
    }
    place = (struct place){list->tail, list->count, list->nodes, list->bytes};
    for (;; place.node = place.node->prev) {
        place.count -= place.node->count;
        place.bytes -= sizeof *place.node + place.node->cap;
        place.nodes--;
        if (index >= place.count) return place;
    }
}

/* --- dropping --- */

static void drop_in_node(const struct store *store, struct quicklist *list, struct quicklist_node *node,
                         enum list_end end, uint32_t count) {
    struct packed run = node_run(node);
    ASSERT_SLOW(count < node->count);
    if (UNLIKELY(list->past != NULL)) quicklist_past_changes(list->past, node);
    if (end == LIST_HEAD)
        node->start = (uint32_t)(packed_at(&run, count) - node->bytes);
    else
        node->end = (uint32_t)(packed_at(&run, run.count - count) - node->bytes);
    node->count -= count;
    list->count -= count;
    node_shrink(store, list, node, end);
}

void node_delete_all(const struct store *store, struct quicklist_node *first, struct quicklist_node *last) {
    if (!first) return;
    struct quicklist *chain = quicklist_new(store);
    chain->head = first;
    chain->tail = last;
    quicklist_delete(store, chain);
}

/* first .. last, this end of the list or all of it, become a list that is deleted. sums is what they add up to. */
static void cut_off(const struct store *store, struct quicklist *list, enum list_end end, struct quicklist_node *first,
                    struct quicklist_node *last, struct place sums) {
    *(first->prev ? &first->prev->next : &list->head) = last->next;
    *(last->next ? &last->next->prev : &list->tail) = first->prev;
    first->prev = last->next = NULL;
    list->walk = NULL; /* it may be among them */
    list->count -= sums.count;
    list->nodes -= sums.nodes;
    list->bytes -= sums.bytes;
    if (UNLIKELY(list->past != NULL)) quicklist_past_cut(list->past, end, &first, &last, sums.nodes);
    node_delete_all(store, first, last);
}

/* count is at least that of the last node and less than all. */
static void drop_nodes(const struct store *store, struct quicklist *list, enum list_end end, uint64_t count) {
    uint64_t kept = list->count - count;
    struct place place = find_place(list, end == LIST_HEAD ? count : kept - 1);
    uint32_t in_node;
    if (end == LIST_HEAD) {
        in_node = (uint32_t)(count - place.count);
        cut_off(store, list, end, list->head, place.node->prev, place);
    } else {
        in_node = (uint32_t)(place.count + place.node->count - kept);
        struct place behind = {.count = list->count - place.count - place.node->count,
                               .nodes = list->nodes - place.nodes - 1,
                               .bytes = list->bytes - place.bytes - sizeof *place.node - place.node->cap};
        cut_off(store, list, end, place.node->next, list->tail, behind);
    }
    if (in_node > 0) drop_in_node(store, list, place.node, end, in_node);
}

void quicklist_drop(const struct store *store, struct quicklist *list, enum list_end end, uint64_t count) {
    struct quicklist_node *node = end == LIST_HEAD ? list->head : list->tail;
    if (count == 0 || !node) return;
    if (LIKELY(count < node->count)) {
        drop_in_node(store, list, node, end, (uint32_t)count);
    } else if (count == node->count) {
        list->count -= node->count;
        node_remove(store, list, node);
    } else if (count >= list->count) {
        struct place all = {.count = list->count, .nodes = list->nodes, .bytes = list->bytes};
        cut_off(store, list, end, list->head, list->tail, all);
    } else {
        drop_nodes(store, list, end, count);
    }
}

/* --- iterating --- */

static void enter_node(struct quicklist_iter *iter, const struct quicklist_node *node) {
    iter->node = node;
    iter->begin = node->bytes + node->start;
    iter->end = node->bytes + node->end;
}

struct quicklist_iter quicklist_seek(const struct quicklist *list, uint64_t index) {
    struct quicklist_iter iter = {0};
    ASSERT(index <= list->count);
    if (!list->head) return iter;
    if (index == list->count) {
        enter_node(&iter, list->tail);
        iter.at = iter.end;
        return iter;
    }
    struct place place = find_place(list, index);
    struct packed run = node_run(place.node);
    enter_node(&iter, place.node);
    iter.at = packed_at(&run, (uint32_t)(index - place.count));
    return iter;
}

struct quicklist_iter quicklist_iter_of_run(const struct packed *run, uint32_t index) {
    return (struct quicklist_iter){NULL, run->begin, packed_at(run, index), run->end};
}

bool quicklist_next_node(struct quicklist_iter *iter) {
    if (!iter->node || !iter->node->next) return false;
    enter_node(iter, iter->node->next);
    iter->at = iter->begin;
    return true;
}

bool quicklist_prev_node(struct quicklist_iter *iter) {
    if (!iter->node || !iter->node->prev) return false;
    enter_node(iter, iter->node->prev);
    iter->at = iter->end;
    return true;
}

const struct quicklist_node *quicklist_walk(const struct quicklist *list, const struct quicklist_node *last,
                                            struct packed *run) {
    const struct quicklist_node *node = last ? last->next : list->head;
    if (node) *run = node_run(node);
    return node;
}

/* --- the whole --- */

bool quicklist_copy_some(const struct store *store, struct quicklist *copy, const struct quicklist *list,
                         unsigned nodes) {
    const struct quicklist_node *from = copy->count < list->count ? find_place(list, copy->count).node : NULL;
    for (; from && nodes > 0; from = from->next, nodes--) {
        struct quicklist_node *node = node_add(store, copy, copy->tail, NULL, node_used(from), 0);
        memcpy(node->bytes, from->bytes + from->start, node_used(from));
        node->end = node_used(from);
        node->count = from->count;
        copy->count += from->count;
    }
    return from != NULL;
}

struct quicklist *quicklist_copy(const struct store *store, const struct quicklist *list) {
    struct quicklist *copy = quicklist_new(store);
    while (quicklist_copy_some(store, copy, list, UINT32_MAX)) continue;
    return copy;
}

void quicklist_check(const struct quicklist *list) {
    uint64_t count = 0, nodes = 0, elements;
    size_t bytes = 0;
    const struct quicklist_node *prev = NULL;
    unsigned walk = 0;
    for (const struct quicklist_node *node = list->head; node; prev = node, node = node->next) {
        walk += list->walk == node;
        ASSERT(node->prev == prev && node->count > 0 && node->start < node->end && node->end <= node->cap);
        bool valid = packed_valid(slice_of(node->bytes + node->start, node_used(node)), &elements);
        ASSERT(valid && elements == node->count);
        ASSERT(store_block_size(sizeof *node + node->cap) == sizeof *node + node->cap);
        count += node->count;
        bytes += sizeof *node + node->cap;
        nodes++;
    }
    ASSERT(walk == (list->walk != NULL) && list->tail == prev && list->count == count && list->nodes == nodes &&
           list->bytes == bytes);
}

/* --- moving --- */

static struct quicklist_node *move_node(const struct store *store, struct quicklist *list,
                                        struct quicklist_node *node) {
    struct quicklist_node *moved = store_moved(store, node, sizeof *node + node->cap);
    if (moved != node) link_neighbours(list, moved);
    return moved;
}

/* A store_defrag_some; a unit is a node. The list itself knows where it goes on. */
uint64_t quicklist_defrag_some(const struct store *store, void *object, uint64_t position, unsigned units) {
    struct quicklist *list = object;
    struct quicklist_node *node = position == 0 ? list->head : list->walk;
    for (; node && units > 0; units--) node = move_node(store, list, node)->next;
    list->walk = node;
    return node != NULL;
}
