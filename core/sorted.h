/* Sorted: elements with a score, in the order of (score, member), found by rank, by score and by member.
 *
 *      member ---> hashtable ---> | score 8 | length 1 | member | <--- B+ tree: leaves of 42 pointers, counted
 *
 * Each element is one allocation that both structures point to. The tree gives order and rank, the table finds a
 * member. Bytewise order decides between equal scores; a score is never NaN.
 *
 * Ownership the set owns its elements; their memory is the store's. Members are copied in. What is returned points to
 *           elements and is valid until the set changes.
 * Thread    the shard's owner.
 * Cost      find: O(1). Insert, remove, move, rank, seek: O(log n). A step of an iterator: O(1). Copy: O(n). Freeing
 *           goes in slices (core/store.h), a scan bucket by bucket.
 * Memory    over score and member about 9 bytes of tree, 14 of table, 1 of length, and what the slab rounds up. */
#pragma once
#include "core/hash.h"
#include "core/hashtable.h"
#include "core/slice.h"
#include "core/store.h"
#include "core/table_watch.h"

struct sorted;
struct sorted_node;

#define SORTED_LONG 255u /* a length of this many bytes or more stands in 4 bytes before the member */
struct sorted_element {
    double score;
    uint8_t len;
    char bytes[];
};

HOT_INLINE struct slice sorted_member(const struct sorted_element *element) {
    if (LIKELY(element->len < SORTED_LONG)) return slice_of(element->bytes, element->len);
    uint32_t len;
    memcpy(&len, element->bytes, sizeof len);
    return slice_of(element->bytes + sizeof len, len);
}

struct sorted *sorted_new(const struct store *store, const struct hash_seed *seed);
void sorted_delete(const struct store *store, struct sorted *set);           /* large ones later, see core/store.h */
bool sorted_free_some(const struct store *store, void *set, unsigned units); /* a store_free_some */
uint64_t sorted_defrag_some(const struct store *store, void *set, uint64_t position, unsigned units);
struct sorted *sorted_copy(const struct store *store, const struct sorted *set);
void sorted_expect(struct sorted *set, uint64_t count); /* a hint before many inserts */

uint64_t sorted_count(const struct sorted *set);
size_t sorted_bytes(const struct sorted *set); /* memory taken */

/* When Redis would keep a set as a listpack, though it has another form here. */
struct zset_rule {
    uint64_t entries_max, value_max; /* elements; bytes of a member */
};
/* A mark that belongs to the set's owner and is copied with it: Redis would still keep this one as a listpack. */
bool sorted_compact(const struct sorted *set);
void sorted_set_compact(struct sorted *set, bool compact);

/* --- one element --- */
struct sorted_element *sorted_find(const struct sorted *set, struct slice member); /* NULL when absent */
/* member is absent and does not point into this set. */
void sorted_insert(const struct store *store, struct sorted *set, struct slice member, double score);
void sorted_move(const struct store *store, struct sorted *set, struct sorted_element *element, double score);
void sorted_remove(const struct store *store, struct sorted *set, struct sorted_element *element);

/* The three above are told from now on; NULL ends it. One watch at a time. */
void sorted_watch(struct sorted *set, const struct score_watch *watch);

/* --- places --- */
/* A place between elements: behind all that are smaller, and behind the equal ones too when `inclusive`. By member it
 * is meant for sets whose scores are all equal; in others it is somewhere. */
enum sorted_by { SORTED_BY_SCORE, SORTED_BY_MEMBER, SORTED_BY_BOTH };
struct sorted_bound {
    enum sorted_by by;
    bool inclusive;
    double score;
    struct slice member;
};
/* How many elements lie before it: the rank of the first that does not. */
uint64_t sorted_count_before(const struct sorted *set, const struct sorted_bound *bound);
HOT_INLINE bool sorted_is_before(double score, struct slice member, const struct sorted_bound *bound) {
    if (bound->by != SORTED_BY_MEMBER) {
        if (score != bound->score) return score < bound->score;
        if (bound->by == SORTED_BY_SCORE) return bound->inclusive;
    }
    int order = slice_compare(member, bound->member);
    return order < 0 || (order == 0 && bound->inclusive);
}

/* --- iterating: an iterator stands between two elements --- */
#define SORTED_LEVELS 12 /* of the tree; a node has 8 children or more but for the last ones: more than memory holds */
struct sorted_path {     /* [0] is the leaf */
    struct sorted_node *nodes[SORTED_LEVELS];
    uint16_t at[SORTED_LEVELS];
};
struct sorted_iter {
    struct sorted_path path;
    unsigned top; /* the root's level */
};
/* Before the element of that rank; at the end when it is the count. */
struct sorted_iter sorted_seek(const struct sorted *set, uint64_t rank);
const struct sorted_element *sorted_next(struct sorted_iter *iter); /* steps over one; NULL at the end */
const struct sorted_element *sorted_prev(struct sorted_iter *iter);
HOT_INLINE struct sorted_element *sorted_at(const struct sorted *set, uint64_t rank) { /* below the count */
    struct sorted_iter iter = sorted_seek(set, rank);
    return (struct sorted_element *)(uintptr_t)sorted_next(&iter);
}
/* In the order of the table, as hashtable_scan. */
uint64_t sorted_scan(const struct sorted *set, uint64_t cursor, hashtable_visit visit, void *ctx);

void sorted_check(const struct sorted *set); /* every invariant; for tests */
