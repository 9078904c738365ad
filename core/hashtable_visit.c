/* Hash table, visiting: scan, random, drain.
 *
 * Why the scan keeps its promise. A cursor is a hash with 16 zero bits left off; it says "everything below has been
 * visited". A call visits the bucket that holds the hash and answers that bucket's end, which is a border of whatever
 * array it is in, or the frontier, and both are multiples of 2^16. A later call finds that hash in whatever bucket
 * covers it then: perhaps in its middle, if the table was resized, and then some entries are seen twice, but never is
 * one skipped, because an entry's hash does not change. The cursor only grows, by a bucket at least, so a scan
 * ends, and it ends at 2^48, which is 0. */
#include "core/hashtable_priv.h"

#define PASS_OVER    64 /* empty buckets that one call may pass */
#define RANDOM_SLOTS 16 /* buckets with more entries are 2 in 10,000 */

struct ht_place ht_place_at(struct hashtable *table, uint64_t hash) {
    bool below = hash < table->frontier;
    struct ht_array *array = &table->arrays[below];
    struct ht_place place = {.array = array, .index = ht_index(hash, array->buckets)};
    place.end = ht_border(place.index + 1, array->buckets);
    if (below && place.end - 1 >= table->frontier) place.end = table->frontier;
    return place;
}

uint64_t ht_place_limit(const struct hashtable *table, const struct ht_array *array) {
    if (array == &table->arrays[0]) return array->buckets;
    return table->frontier == 0 ? 0 : ht_index(table->frontier - 1, array->buckets) + 1;
}

/* --- scan --- */

static bool visit_chain(const struct ht_bucket *bucket, hashtable_visit visit, void *ctx) {
    bool any = ht_used(bucket) != 0;
    for (;; bucket = ht_next(bucket)) {
        for (unsigned i = 0; i < ht_used(bucket); i++)
            visit(ctx, ht_entry(bucket->slots[i]), ht_flags(bucket->slots[i]));
        if (!ht_chained(bucket)) return any;
    }
}

/* Where the segment of an empty place ends, for jumping over segments nobody has written to. */
static uint64_t segment_end(const struct hashtable *table, const struct ht_place *place) {
    uint64_t next = MIN((place->index | (HT_SEGMENT - 1)) + 1, place->array->buckets);
    uint64_t end = ht_border(next, place->array->buckets);
    bool below = place->array == &table->arrays[1];
    return below && end - 1 >= table->frontier ? table->frontier : end;
}

uint64_t hashtable_scan(struct hashtable *table, uint64_t cursor, hashtable_visit visit, void *ctx) {
    uint64_t hash = cursor << (64 - HT_CURSOR_BITS);
    for (unsigned passed = 0; passed < PASS_OVER; passed++) {
        struct ht_place place = ht_place_at(table, hash);
        const struct ht_bucket *segment = place.array->segments[place.index >> HT_SEGMENT_BITS];
        if (ht_is_empty(segment)) {
            hash = segment_end(table, &place);
        } else {
            hash = place.end;
            if (visit_chain(ht_bucket_at(place.array, place.index), visit, ctx)) break;
        }
        if (hash == 0) break;
    }
    return hash >> (64 - HT_CURSOR_BITS);
}

/* --- moving --- */

static void move_overflow(struct hashtable *table, struct ht_bucket *before) {
    struct ht_bucket *moved = ht_moved(table, ht_next(before), sizeof *moved);
    before->slots[HT_SLOTS - 1] = (uint64_t)(uintptr_t)moved;
}

/* When the walk enters it. */
static void move_segment(struct hashtable *table, struct ht_array *array, uint64_t s) {
    array->segments[s] = ht_moved(table, array->segments[s], ht_segment_size(array, s) * sizeof(struct ht_bucket));
    ht_due_move(table, array, s);
}

static void prefetch_entries(const struct ht_bucket *bucket) {
    for (unsigned i = 0; i < ht_used(bucket); i++) __builtin_prefetch(ht_entry(bucket->slots[i]));
}

uint64_t hashtable_defrag(struct hashtable *table, uint64_t cursor, hashtable_relocate relocate, void *ctx) {
    uint64_t hash = cursor << (64 - HT_CURSOR_BITS);
    struct ht_place place = ht_place_at(table, hash);
    if (ht_is_empty(place.array->segments[place.index >> HT_SEGMENT_BITS]))
        return segment_end(table, &place) >> (64 - HT_CURSOR_BITS);
    if (place.index % HT_SEGMENT == 0) move_segment(table, place.array, place.index / HT_SEGMENT);
    struct ht_bucket *bucket = ht_bucket_at(place.array, place.index);
    if ((place.index + 1) % HT_SEGMENT != 0 && place.index + 1 < place.array->buckets) prefetch_entries(bucket + 1);
    for (;; bucket = ht_next(bucket)) {
        for (unsigned i = 0; i < ht_used(bucket); i++) {
            ht_slot *slot = &bucket->slots[i];
            ht_replace(slot, relocate(ctx, ht_entry(*slot)), ht_flags(*slot));
        }
        if (!ht_chained(bucket)) break;
        move_overflow(table, bucket);
    }
    return place.end >> (64 - HT_CURSOR_BITS);
}

/* --- random --- */

static unsigned chain_length(const struct ht_bucket *bucket) {
    unsigned length = ht_used(bucket);
    for (; ht_chained(bucket); length += ht_used(bucket)) bucket = ht_next(bucket);
    return length;
}

static void *chain_entry(const struct ht_bucket *bucket, uint64_t i) {
    for (; i >= ht_used(bucket); bucket = ht_next(bucket)) i -= ht_used(bucket);
    return ht_entry(bucket->slots[i]);
}

/* Bucket number `pick` of those in use: those of the new array first, then what is left of the old one. */
static const struct ht_bucket *pick_bucket(const struct hashtable *table, uint64_t pick, uint64_t below) {
    if (pick < below) return ht_bucket_at(&table->arrays[1], pick);
    return ht_bucket_at(&table->arrays[0], pick - below + table->moved);
}

static void keep_first(void *ctx, void *entry, unsigned flags) {
    (void)flags;
    void **first = ctx;
    if (*first == NULL) *first = entry;
}

/* A bucket and one of RANDOM_SLOTS places in it, until the place is taken: that makes an entry in a full bucket as
 * likely as one in an almost empty one. About three tries at the usual load. */
void *hashtable_random(struct hashtable *table, struct prng *prng) {
    if (table->count == 0) return NULL;
    uint64_t below = ht_place_limit(table, &table->arrays[1]);
    uint64_t buckets = below + table->arrays[0].buckets - table->moved;
    for (unsigned tries = 0; tries < 64; tries++) {
        const struct ht_bucket *bucket = pick_bucket(table, prng_below(prng, buckets), below);
        unsigned length = chain_length(bucket);
        uint64_t place = prng_below(prng, RANDOM_SLOTS);
        if (length > RANDOM_SLOTS) place = prng_below(prng, length);
        if (place < length) return chain_entry(bucket, place);
    }
    void *entry = NULL;
    for (uint64_t cursor = prng_next(prng); entry == NULL;) cursor = hashtable_scan(table, cursor, keep_first, &entry);
    return entry;
}

/* --- drain --- */

/* A segment that lost its last entry goes. Reading its 64 KiB once for the 5000 entries it held is nothing, and it
 * means that a caller who starts in the middle loses nothing. */
static void release_if_empty(struct hashtable *table, struct ht_array *array, uint64_t s) {
    const struct ht_bucket *segment = array->segments[s];
    if (ht_is_empty(segment)) return;
    for (uint64_t i = 0; i < ht_segment_size(array, s); i++)
        if (segment[i].meta != 0) return;
    ht_segment_release(table, array, s);
}

static size_t empty_bucket(struct hashtable *table, struct ht_bucket *bucket, void **out, size_t max) {
    size_t taken = 0;
    while (taken < max && bucket->meta != 0) {
        struct ht_bucket *last = ht_chained(bucket) ? ht_next(bucket) : bucket;
        unsigned i = ht_used(last) - 1;
        out[taken++] = ht_entry(last->slots[i]);
        ht_take_out(table, bucket, last, i);
    }
    table->count -= taken;
    return taken;
}

size_t hashtable_drain(struct hashtable *table, uint64_t *position, void **out, size_t max) {
    size_t taken = 0;
    uint64_t hash = *position << (64 - HT_CURSOR_BITS);
    while (taken < max && table->count != 0) {
        struct ht_place place = ht_place_at(table, hash);
        uint64_t s = place.index >> HT_SEGMENT_BITS;
        if (ht_is_empty(place.array->segments[s])) {
            hash = segment_end(table, &place);
            continue;
        }
        struct ht_bucket *bucket = ht_bucket_at(place.array, place.index);
        __builtin_prefetch(bucket + 2);
        taken += empty_bucket(table, bucket, out + taken, max - taken);
        if (bucket->meta != 0) break;
        hash = place.end;
        if (hash == segment_end(table, &place)) release_if_empty(table, place.array, s);
    }
    *position = hash >> (64 - HT_CURSOR_BITS);
    return taken;
}
