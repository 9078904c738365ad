/* Sorted sets: elements, the table that finds them, and freeing in slices. The tree is in sorted_tree.c, its nodes in
 * sorted_node.c, the checks in sorted_check.c. */
#include "core/hashtable_inline.h"
#include "core/sorted_priv.h"
#include <math.h>

#define FREE_BATCH 64 /* elements taken from the table at a time */

/* --- elements --- */

static size_t element_size(size_t len) {
    return offsetof(struct sorted_element, bytes) + (len < SORTED_LONG ? 0 : sizeof(uint32_t)) + len;
}

static struct sorted_element *element_new(const struct store *store, struct sorted *set, struct slice member,
                                          double score) {
    struct sorted_element *element = store_alloc(store, element_size(member.len));
    char *at = element->bytes;
    set->bytes += store_block_size(element_size(member.len));
    element->score = score;
    element->len = (uint8_t)MIN(member.len, (size_t)SORTED_LONG);
    if (element->len == SORTED_LONG) {
        uint32_t len = (uint32_t)member.len;
        memcpy(at, &len, sizeof len);
        at += sizeof len;
    }
    slice_copy(at, member.ptr, member.len);
    return element;
}

static void element_free(const struct store *store, struct sorted *set, struct sorted_element *element) {
    size_t size = element_size(sorted_member(element).len);
    set->bytes -= store_block_size(size);
    store_free(store, element, size);
}

/* --- the set --- */

static uint64_t hash_of(const struct sorted *set, struct slice member) {
    return hash_bytes(&set->seed, member.ptr, member.len);
}

static uint64_t rehash(void *ctx, const void *element) {
    return hash_of(ctx, sorted_member(element));
}

static const struct hashtable_type table_type = {.rehash = rehash};

HOT_INLINE bool is_member(const void *element, const void *member) {
    return slice_equal(sorted_member(element), *(const struct slice *)member);
}

struct sorted *sorted_new(const struct store *store, const struct hash_seed *seed) {
    struct sorted *set = store_alloc(store, sizeof *set);
    *set = (struct sorted){.seed = *seed, .bytes = store_block_size(sizeof *set)};
    set->table = hashtable_new(store->heap, store->slab, &table_type, set);
    return set;
}

void sorted_delete(const struct store *store, struct sorted *set) {
    store_free_object(store, sorted_free_some, set);
}

/* First the elements, in the order of the table, then the tree, which reads no element when it goes. */
bool sorted_free_some(const struct store *store, void *object, unsigned units) {
    struct sorted *set = object;
    void *elements[FREE_BATCH];
    ASSERT(!set->watch);
    while (units > 0 && hashtable_count(set->table) > 0) {
        size_t many = hashtable_drain(set->table, &set->freed_to, elements, MIN(units, (unsigned)FREE_BATCH));
        for (size_t i = 0; i < many; i++) __builtin_prefetch(elements[i]);
        for (size_t i = 0; i < many; i++) element_free(store, set, elements[i]);
        units -= (unsigned)many;
    }
    if (units == 0 || sorted_tree_free_some(store, set, units)) return true;
    hashtable_delete(set->table, NULL);
    ASSERT(set->bytes == store_block_size(sizeof *set));
    store_free(store, set, sizeof *set);
    return false;
}

struct sorted *sorted_copy(const struct store *store, const struct sorted *set) {
    struct sorted *copy = sorted_new(store, &set->seed);
    struct sorted_iter iter = sorted_seek(set, 0);
    copy->compact = set->compact;
    sorted_expect(copy, sorted_count(set));
    for (const struct sorted_element *element; (element = sorted_next(&iter));)
        sorted_insert(store, copy, sorted_member(element), element->score);
    return copy;
}

void sorted_expect(struct sorted *set, uint64_t count) {
    hashtable_expect(set->table, count);
}

uint64_t sorted_count(const struct sorted *set) {
    return hashtable_count(set->table);
}

size_t sorted_bytes(const struct sorted *set) {
    return set->bytes + hashtable_bytes(set->table);
}

bool sorted_compact(const struct sorted *set) {
    return set->compact;
}

void sorted_set_compact(struct sorted *set, bool compact) {
    set->compact = compact;
}

/* --- one element --- */

static void tell(const struct sorted *set, struct slice member, const double *from, const double *to) {
    if (UNLIKELY(set->watch != NULL)) set->watch->before(set->watch->ctx, member, from, to);
}

void sorted_watch(struct sorted *set, const struct score_watch *watch) {
    ASSERT(!watch || !set->watch);
    set->watch = watch;
}

struct sorted_element *sorted_find(const struct sorted *set, struct slice member) {
    ht_slot *slot = ht_find(set->table, hash_of(set, member), is_member, &member);
    return slot ? ht_entry(*slot) : NULL;
}

void sorted_insert(const struct store *store, struct sorted *set, struct slice member, double score) {
    ASSERT(!isnan(score));
    tell(set, member, NULL, &score);
    struct sorted_element *element = element_new(store, set, member, score);
    sorted_tree_insert(store, set, element);
    hashtable_insert(set->table, hash_of(set, member), element, 0);
}

void sorted_move(const struct store *store, struct sorted *set, struct sorted_element *element, double score) {
    ASSERT(!isnan(score));
    tell(set, sorted_member(element), &element->score, &score);
    if (sorted_tree_move(set, element, score)) return;
    sorted_tree_remove(store, set, element);
    element->score = score;
    sorted_tree_insert(store, set, element);
}

void sorted_remove(const struct store *store, struct sorted *set, struct sorted_element *element) {
    struct slice member = sorted_member(element);
    uint64_t hash = hash_of(set, member);
    ht_slot *slot = ht_find(set->table, hash, is_member, &member);
    ASSERT(slot && ht_entry(*slot) == element);
    tell(set, member, &element->score, NULL);
    hashtable_remove(set->table, hash, slot);
    sorted_tree_remove(store, set, element);
    element_free(store, set, element);
}

uint64_t sorted_scan(const struct sorted *set, uint64_t cursor, hashtable_visit visit, void *ctx) {
    return hashtable_scan(set->table, cursor, visit, ctx);
}
