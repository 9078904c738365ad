/* Hash table, shared between core/hashtable*.c: places in hash space, buckets, storage, deadlines. */
#pragma once
#include "core/assert.h"
#include "core/hashtable_inline.h"

#define HT_GROUP 4u /* buckets per deadline summary */

/* Lower bounds of the deadlines in one segment; groups is NULL while nothing in it is timed. */
struct ht_due {
    uint32_t *groups;
    uint32_t min;
};

/* Stands for every segment that has no entry yet. Constant, so a stray write is a crash and not a riddle. */
extern const struct ht_bucket ht_empty_segment[HT_SEGMENT];

HOT_INLINE bool ht_is_empty(const struct ht_bucket *segment) {
    return segment == ht_empty_segment;
}
HOT_INLINE bool ht_resizing(const struct hashtable *table) {
    return table->arrays[1].buckets != 0;
}
HOT_INLINE unsigned ht_used(const struct ht_bucket *bucket) {
    return bucket->meta & HT_META_COUNT;
}
HOT_INLINE bool ht_chained(const struct ht_bucket *bucket) {
    return (bucket->meta & HT_META_CHAINED) != 0;
}
HOT_INLINE uint32_t ht_stored_window(const struct ht_bucket *bucket, unsigned i) {
    return (uint32_t)(bucket->slots[i] >> 48) << 8 | bucket->tags[i];
}
HOT_INLINE uint64_t ht_segment_count(const struct ht_array *array) {
    return (array->buckets + HT_SEGMENT - 1) / HT_SEGMENT;
}
/* Buckets in segment s: the last one is cut to size. */
HOT_INLINE uint64_t ht_segment_size(const struct ht_array *array, uint64_t s) {
    return MIN((uint64_t)HT_SEGMENT, array->buckets - s * HT_SEGMENT);
}

/* --- hash space --- */

/* The first hash of bucket i; of bucket n it is 2^64, which is 0. */
uint64_t ht_border(uint64_t i, uint64_t buckets);

/* The bucket that holds a hash now, and the first hash that is not its business (0 is the end of hash space).
 * A bucket of the new array that the frontier divides ends at the frontier. */
struct ht_place {
    struct ht_array *array;
    uint64_t index, end;
};
struct ht_place ht_place_at(struct hashtable *table, uint64_t hash);
uint64_t ht_place_limit(const struct hashtable *table, const struct ht_array *array); /* indices in use end here */

/* --- storage (hashtable.c) --- */
void ht_array_init(struct hashtable *table, struct ht_array *array, uint64_t buckets, unsigned window);
void ht_directory_release(struct hashtable *table, struct ht_array *array); /* its segments are released already */
void ht_segment_release(struct hashtable *table, struct ht_array *array, uint64_t s);
void *ht_take(struct hashtable *table, size_t size); /* 64-byte aligned when size is a multiple of 64 */
void ht_give_back(struct hashtable *table, void *block, size_t size);
void *ht_moved(struct hashtable *table, void *block, size_t size); /* out of a sparse page; where it is now */
void ht_overflow_free(struct hashtable *table, struct ht_bucket *bucket);
void ht_set_limits(struct hashtable *table); /* grow_at and shrink_at for arrays[0] */

/* Puts an entry into bucket index; tag and slot carry the window already. */
ht_slot *ht_put(struct hashtable *table, struct ht_array *array, uint64_t index, uint8_t tag, ht_slot slot);
/* Takes entry i of `bucket` out of the chain that starts at `first`. */
void ht_take_out(struct hashtable *table, struct ht_bucket *first, struct ht_bucket *bucket, unsigned i);

/* --- resize (hashtable_resize.c) --- */
void ht_resize_start(struct hashtable *table, uint64_t buckets);
uint64_t ht_grown(uint64_t buckets);
bool ht_may_double(uint64_t buckets); /* has a table of that size doubled, perhaps, when it grew? */
unsigned ht_window_for(uint64_t buckets, unsigned window); /* the next array's window, given the last one's */
/* Works out the bucket in an array of `buckets` from stored bits of an entry of [low, high]; false when it takes the
 * hash. *known is a hash that agrees with the entry's in all stored bits. */
bool ht_deduce(uint32_t stored, unsigned window, uint64_t low, uint64_t high, uint64_t buckets, uint64_t *index,
               uint64_t *known);

/* --- deadlines (hashtable_due.c) --- */
void ht_due_note(struct hashtable *table, struct ht_array *array, uint64_t index, uint32_t when_s);
void ht_due_release(struct hashtable *table, struct ht_array *array, uint64_t s);
void ht_due_move(struct hashtable *table, struct ht_array *array, uint64_t s); /* see ht_moved */
HOT_INLINE uint32_t ht_due_bound(const struct ht_array *array, uint64_t index) {
    if (array->due == NULL || array->due[index >> HT_SEGMENT_BITS].groups == NULL) return UINT32_MAX;
    return array->due[index >> HT_SEGMENT_BITS].groups[(index & (HT_SEGMENT - 1)) / HT_GROUP];
}
