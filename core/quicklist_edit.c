/* Quicklist: changes inside.
 *
 * An insert makes room in its node, moving the shorter side if there is room on that side. When the node is full it is
 * split where the iterator stands, and the value goes between the halves; a value that is larger than a node gets its
 * own there. Where many elements went, a node is joined with the neighbour on the side that was already passed. */
#include "core/assert.h"
#include "core/quicklist_priv.h"

/* Iterators are given to readers, too, so they do not hand out nodes to write to; the owner of the list may. */
static struct quicklist_node *writable(const struct quicklist_iter *iter) {
    return (struct quicklist_node *)(uintptr_t)iter->node;
}

/* Opens a gap of `size` bytes `offset` bytes behind the start of the run of a node with room for it, and returns the
 * node, perhaps moved. The gap is `offset` behind the new start. */
static struct quicklist_node *open_gap(const struct store *store, struct quicklist *list, struct quicklist_node *node,
                                       uint32_t offset, uint32_t size, const struct quicklist_rule *rule) {
    uint32_t used = node_used(node), front = node->start, back = node->cap - node->end;
    if (front >= size && (back < size || offset < used / 2)) {
        memmove(node->bytes + node->start - size, node->bytes + node->start, offset);
        node->start -= size;
        return node;
    }
    if (node->cap - used < size)
        node = node_resize(store, list, node, MIN(MAX(2 * node->cap, used + size), rule_used_max(rule)), LIST_TAIL);
    else if (back < size)
        node_slide(node, LIST_TAIL);
    char *gap = node->bytes + node->start + offset;
    memmove(gap + size, gap, used - offset);
    node->end += size;
    return node;
}

static uint32_t count_between(const char *at, const char *end) {
    uint32_t count = 0;
    for (; at < end; at = packed_next(at)) count++;
    return count;
}

struct halves {
    struct quicklist_node *prev, *next; /* NULL at an end of the list */
};

/* Splits the node so that its elements from `at` on are in the next node; what lies between `at` and `resume`, a whole
 * number of elements, is taken out. */
static struct halves split(const struct store *store, struct quicklist *list, struct quicklist_node *node,
                           const char *at, const char *resume) {
    const char *begin = node->bytes + node->start, *end = node->bytes + node->end;
    struct halves halves = {node, node->next};
    uint32_t before = count_between(begin, at), gone = count_between(at, resume);
    if (resume < end) {
        uint32_t len = (uint32_t)(end - resume);
        halves.next = node_add(store, list, node, node->next, len, 0);
        memcpy(halves.next->bytes, resume, len);
        halves.next->end = len;
        halves.next->count = node->count - before - gone;
    }
    list->count -= gone;
    node->end = (uint32_t)(at - node->bytes);
    node->count = before;
    if (before == 0) {
        halves.prev = node->prev;
        node_remove(store, list, node);
    } else {
        node_shrink(store, list, node, LIST_TAIL);
        halves.prev = halves.next ? halves.next->prev : list->tail;
    }
    return halves;
}

void quicklist_insert(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                      const struct quicklist_iter *iter, const struct packed_value *value) {
    struct quicklist_node *node = writable(iter);
    ASSERT(!list->past);
    if (!node) {
        quicklist_push(store, list, rule, LIST_TAIL, value);
        return;
    }
    size_t size = packed_size(value);
    if (node_fits(node, size, rule)) {
        uint32_t offset = (uint32_t)(iter->at - iter->begin);
        node = open_gap(store, list, node, offset, (uint32_t)size, rule);
        packed_write(node->bytes + node->start + offset, value);
        node->count++;
        list->count++;
        return;
    }
    struct halves halves = {node->prev, node};
    if (iter->at == iter->end)
        halves = (struct halves){node, node->next};
    else if (iter->at > iter->begin)
        halves = split(store, list, node, iter->at, iter->at);
    quicklist_put_between(store, list, rule, halves.prev, halves.next, value);
}

void quicklist_replace(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                       const struct quicklist_iter *iter, const struct packed_value *value) {
    struct quicklist_iter at = *iter;
    ASSERT(!list->past);
    if (at.at == at.end) (void)quicklist_next_node(&at);
    ASSERT(at.at < at.end);
    struct quicklist_node *node = writable(&at);
    const char *next = packed_next(at.at);
    uint32_t offset = (uint32_t)(at.at - at.begin), old = (uint32_t)(next - at.at);
    size_t size = packed_size(value);
    if (size <= old) {
        char *to = node->bytes + node->start + offset;
        packed_write(to, value);
        memmove(to + size, next, (size_t)(at.end - next));
        node->end -= old - (uint32_t)size;
        node_shrink(store, list, node, LIST_TAIL);
    } else if (node_used(node) - old + size <= rule_used_max(rule)) {
        node = open_gap(store, list, node, offset, (uint32_t)size - old, rule);
        packed_write(node->bytes + node->start + offset, value); /* over the gap and the old element behind it */
    } else {
        struct halves halves = split(store, list, node, at.at, next);
        quicklist_put_between(store, list, rule, halves.prev, halves.next, value);
    }
}

/* --- purging --- */

/* Moves b's elements behind those of a, the node before it; false when one node cannot hold both. */
static bool join(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                 struct quicklist_node *a, struct quicklist_node *b) {
    if (!a || !b) return false;
    uint32_t used = node_used(b);
    if (node_used(a) + used > rule_used_max(rule) || a->count + b->count > rule->count_max) return false;
    if (a->cap - node_used(a) < used)
        a = node_resize(store, list, a, node_used(a) + used, LIST_TAIL);
    else if (a->cap - a->end < used)
        node_slide(a, LIST_TAIL);
    memcpy(a->bytes + a->end, b->bytes + b->start, used);
    a->end += used;
    a->count += b->count;
    node_remove(store, list, b);
    return true;
}

/* How many went. */
static uint32_t purge_node(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                           struct quicklist_node *node, enum list_end from, const struct packed_value *sought,
                           uint64_t max) {
    uint32_t skip = 0, gone;
    if (from == LIST_TAIL && max < node->count) { /* the last ones go, and the run is read forwards */
        struct packed run = node_run(node);
        uint32_t equal = packed_count_equal(&run, sought);
        skip = equal > max ? equal - (uint32_t)max : 0;
    }
    char *end = packed_purge(node->bytes + node->start, node->bytes + node->end, sought, skip, max, &gone);
    if (gone == 0) return 0;
    node->end = (uint32_t)(end - node->bytes);
    node->count -= gone;
    list->count -= gone;
    if (node->count == 0)
        node_remove(store, list, node);
    else if (!(from == LIST_HEAD ? join(store, list, rule, node->prev, node)
                                 : join(store, list, rule, node, node->next)))
        node_shrink(store, list, node, from);
    return gone;
}

/* The first node that was not passed. */
static struct quicklist_node *purge_from(const struct quicklist *list, enum list_end from, uint64_t passed) {
    uint64_t index = from == LIST_HEAD ? passed : list->count - passed - 1;
    return (struct quicklist_node *)(uintptr_t)quicklist_seek(list, index).node;
}

bool quicklist_purge_some(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                          enum list_end from, const struct packed_value *sought, struct quicklist_purging *purging,
                          unsigned nodes) {
    ASSERT(!list->past);
    if (purging->passed >= list->count) return false;
    struct quicklist_node *node = purge_from(list, from, purging->passed), *after;
    for (; node && purging->gone < purging->max && nodes > 0; node = after, nodes--) {
        uint32_t count = node->count;
        after = from == LIST_HEAD ? node->next : node->prev;
        uint32_t gone = purge_node(store, list, rule, node, from, sought, purging->max - purging->gone);
        purging->gone += gone;
        purging->passed += count - gone;
    }
    return node && purging->gone < purging->max;
}

uint64_t quicklist_purge(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                         enum list_end from, const struct packed_value *sought, uint64_t max) {
    struct quicklist_purging purging = {.max = max};
    while (quicklist_purge_some(store, list, rule, from, sought, &purging, UINT32_MAX)) continue;
    return purging.gone;
}

/* --- appending a run --- */

/* As many elements from `at` on as fit into `room` bytes and `most` elements. Returns their end; *count is how many. */
static const char *prefix_of(const char *at, const char *end, size_t room, uint32_t most, uint32_t *count) {
    const char *stop = at;
    for (*count = 0; stop < end && *count < most; ++*count) {
        const char *next = packed_next(stop);
        if ((size_t)(next - at) > room) break;
        stop = next;
    }
    return stop;
}

void quicklist_append_run(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                          const struct packed *run) {
    ASSERT(!list->past);
    for (const char *at = run->begin, *stop; at < run->end; at = stop) {
        struct quicklist_node *node = list->tail;
        uint32_t count = 0, max = rule_used_max(rule), used = node ? node_used(node) : max;
        uint32_t most = node && node->count < rule->count_max ? rule->count_max - node->count : 0;
        stop = prefix_of(at, run->end, used < max ? max - used : 0, most, &count);
        if (count == 0) { /* a new node, of one element when that is large */
            stop = prefix_of(at, run->end, max, rule->count_max, &count);
            if (count == 0) {
                stop = packed_next(at);
                count = 1;
            }
            node = node_add(store, list, node, NULL, (size_t)(stop - at), 0);
        }
        uint32_t len = (uint32_t)(stop - at);
        if (node->cap - node->end < len) node = node_resize(store, list, node, node_used(node) + len, LIST_TAIL);
        memcpy(node->bytes + node->end, at, len);
        node->end += len;
        node->count += count;
        list->count += count;
    }
}
