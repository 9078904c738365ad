/* Hash table: arrays, buckets, insert and remove. Resize is in hashtable_resize.c, visiting in hashtable_visit.c,
 * deadlines in hashtable_due.c, checks in hashtable_check.c, find in hashtable_inline.h.
 *
 *   hash space   0 ............ frontier T ..................... 2^64
 *                |  arrays[1]   |        arrays[0]              |      while a resize is under way
 *                |                 arrays[0]                    |      otherwise (T = 0)
 *
 *   array        directory -> segments of 1024 buckets (64 KiB); the last one is cut to size
 *   bucket       | t0 t1 t2 t3 t4 t5 t6 | meta | s0 | s1 | s2 | s3 | s4 | s5 | s6 |        64 bytes
 *   slot         | window bits 23..8 | pointer bits 47..3 | flags |      tag: window bits 7..0
 *
 * Which bucket. With u the upper 48 bits of the hash, bucket i of n holds floor(u * n / 2^48) == i, that is
 * ceil(i * 2^48 / n) <= u < ceil((i + 1) * 2^48 / n). All the n are allowed, not only powers of two, and buckets of
 * any two arrays are intervals of the same line: that is what makes the frontier and the scan cursor work.
 *
 * The window. An entry stores W = 24 bits of its hash, those below the top B bits: bits 63-B down to 40-B. B belongs
 * to the array. A bucket is an interval of 2^64/n hashes, and stored bits repeat every 2^(64-B). As long as
 * n >= 2^B an interval is no longer than the repetition, so the bucket's number and the stored bits together
 * determine the first B + 24 bits of the hash: a granule of 2^(40-B) hashes. From these the bucket in any other array
 * of n' buckets follows, unless a border of the new array cuts the granule. A granule is n' / 2^(B+24) of a new
 * bucket, so that is how often the entry must be read.
 *   The first log2(n) - B bits of the window say again what the bucket says and tell nothing apart. The tag byte is
 * the low end of the window, always beyond those.
 *   Hence: B is kept from array to array while 2^B <= n' < 2^(B+13), which leaves 12 to 24 bits that discriminate and
 * lets 1 move in 2^11 read its entry. Above that B jumps to log2(n'), for which every entry has to be rehashed once:
 * at 2^13 buckets (50,000 entries), at 2^26 (400 million) and never again. When a table shrinks below 2^B,
 * B falls to log2(n'); the bits that appear at the top are implied by the old bucket, so this reads nothing.
 *
 * The chain. A bucket of up to 7 entries stands alone. With more, slot 6 links to overflow buckets; only the first of
 * these has room, all behind it are full. So an insert, and a remove that fills the hole with the last entry of
 * the first overflow bucket, are O(1) however long a hostile chain is. Entries lie in the first slots without
 * gaps; when 7 are left the overflow bucket goes.
 *
 * Load. Entries fall into buckets like a Poisson process; with a mean of L per bucket a bucket needs an overflow
 * bucket with probability P(X > 7): 0.13 at 5, 0.30 at 6.3, and the bytes per entry, 64 * (1 + P) / L, are 14.6 and
 * 13.2. A growing table starts to grow at 6.3 and is done, a quarter larger, when L is 5.8 (one bucket moves per
 * insert, so half of the time a resize is under way and what its segments hold in advance is all that is paid for it).
 * Measured from 100,000 to 4 million entries, all included: 13.3 to 15.1 bytes, 13.7 in the mean; 13 to 16% of the
 * entries lie in overflow buckets (perf/micro/hashtable_bench.c).
 *
 * Segments are allocated by the first insert into them; until then the directory points to ht_empty_segment. So a
 * big `expect` costs a directory, and not even an empty table has a bucket. */
#include "core/hashtable_priv.h"
#include <assert.h>

static_assert(sizeof(struct ht_bucket) == 64, "a bucket is a cache line");
static_assert(offsetof(struct ht_bucket, meta) == HT_SLOTS, "tags are compared as one word");

/* Entries per bucket, in tenths: above the first a table grows, below the second it shrinks. One that doubles when it
 * grows, and so has half of the first then, must have much less. */
#define GROW_TENTHS         63
#define SHRINK_TENTHS       32
#define SHRINK_SMALL_TENTHS 20

const struct ht_bucket ht_empty_segment[HT_SEGMENT];

/* --- storage --- */

static bool from_slab(const struct hashtable *table, size_t size) {
    return table->slab != NULL && (size <= SLAB_ALIGNED_MAX || size % 64 == 0);
}

void *ht_take(struct hashtable *table, size_t size) {
    if (from_slab(table, size)) {
        size_t bytes = size % 64 ? slab_block_size(size) : slab_lines_size(size);
        table->bytes += bytes;
        if (size > SLAB_ALIGNED_MAX) slab_count_as(table->slab, MEM_INDEX, (int64_t)bytes);
        return size % 64 ? slab_alloc(table->slab, size) : slab_alloc_lines(table->slab, size);
    }
    table->bytes += heap_block_size(size);
    return heap_alloc_aligned(table->heap, MEM_INDEX, size, size % 64 == 0 ? 64 : 8);
}

void ht_give_back(struct hashtable *table, void *block, size_t size) {
    if (block == NULL) return;
    if (!from_slab(table, size)) {
        table->bytes -= heap_block_size(size);
        heap_free(table->heap, MEM_INDEX, block, size);
        return;
    }
    size_t bytes = size % 64 ? slab_block_size(size) : slab_lines_size(size);
    table->bytes -= bytes;
    if (size > SLAB_ALIGNED_MAX) slab_count_as(table->slab, MEM_INDEX, -(int64_t)bytes);
    if (size % 64)
        slab_free(table->slab, block, size);
    else
        slab_free_lines(table->slab, block, size);
}

void *ht_moved(struct hashtable *table, void *block, size_t size) {
    if (!from_slab(table, size) || size > SLAB_PAGED_MAX || !slab_is_sparse(table->slab, block)) return block;
    return slab_move(table->slab, block, size);
}

static struct ht_bucket *overflow_new(struct hashtable *table) {
    table->overflow_buckets++;
    return ht_take(table, sizeof(struct ht_bucket));
}

void ht_overflow_free(struct hashtable *table, struct ht_bucket *bucket) {
    table->overflow_buckets--;
    ht_give_back(table, bucket, sizeof *bucket);
}

/* The directory is zeroed by the allocator (large ones by the kernel, as they are touched); the entries of a new
 * array are set when the frontier comes to them. */
void ht_array_init(struct hashtable *table, struct ht_array *array, uint64_t buckets, unsigned window) {
    *array = (struct ht_array){.buckets = buckets, .window = window};
    array->segments = &array->only;
    uint64_t segments = ht_segment_count(array);
    if (segments == 1) return;
    array->segments = heap_alloc_zero(table->heap, MEM_INDEX, segments * sizeof *array->segments);
    table->bytes += heap_block_size(segments * sizeof *array->segments);
}

void ht_segment_release(struct hashtable *table, struct ht_array *array, uint64_t s) {
    struct ht_bucket *segment = array->segments[s];
    array->segments[s] = (struct ht_bucket *)(uintptr_t)ht_empty_segment;
    if (segment != NULL && !ht_is_empty(segment))
        ht_give_back(table, segment, ht_segment_size(array, s) * sizeof *segment);
    ht_due_release(table, array, s);
}

void ht_directory_release(struct hashtable *table, struct ht_array *array) {
    uint64_t segments = ht_segment_count(array);
    if (array->due != NULL) {
        heap_free(table->heap, MEM_INDEX, array->due, segments * sizeof *array->due);
        table->bytes -= heap_block_size(segments * sizeof *array->due);
    }
    if (segments > 1) {
        heap_free(table->heap, MEM_INDEX, array->segments, segments * sizeof *array->segments);
        table->bytes -= heap_block_size(segments * sizeof *array->segments);
    }
    *array = (struct ht_array){0};
}

static void array_deinit(struct hashtable *table, struct ht_array *array) {
    for (uint64_t s = 0; s < ht_segment_count(array); s++) ht_segment_release(table, array, s);
    ht_directory_release(table, array);
}

COLD static struct ht_bucket *segment_new(struct hashtable *table, struct ht_array *array, uint64_t s) {
    size_t size = ht_segment_size(array, s) * sizeof(struct ht_bucket);
    struct ht_bucket *segment = ht_take(table, size);
    memset(segment, 0, size);
    return array->segments[s] = segment;
}

/* --- one bucket --- */

HOT_INLINE ht_slot *fill(struct ht_bucket *bucket, uint8_t tag, ht_slot slot) {
    unsigned i = ht_used(bucket);
    bucket->tags[i] = tag;
    bucket->slots[i] = slot;
    bucket->meta++;
    return &bucket->slots[i];
}

static void link_overflow(struct ht_bucket *bucket, struct ht_bucket *overflow) {
    bucket->tags[HT_SLOTS - 1] = 0;
    bucket->slots[HT_SLOTS - 1] = (uint64_t)(uintptr_t)overflow;
    bucket->meta = HT_META_CHAINED | (HT_SLOTS - 1);
}

/* The first bucket is full: the entry goes into the first overflow bucket, which is made when there is none or when
 * it is full as well. */
static ht_slot *put_overflow(struct hashtable *table, struct ht_bucket *first, uint8_t tag, ht_slot slot) {
    struct ht_bucket *overflow;
    if (!ht_chained(first)) {
        overflow = overflow_new(table);
        overflow->meta = 0;
        fill(overflow, first->tags[HT_SLOTS - 1], first->slots[HT_SLOTS - 1]);
        link_overflow(first, overflow);
        return fill(overflow, tag, slot);
    }
    overflow = ht_next(first);
    if (ht_used(overflow) < (ht_chained(overflow) ? HT_SLOTS - 1 : HT_SLOTS)) return fill(overflow, tag, slot);
    struct ht_bucket *fresh = overflow_new(table);
    link_overflow(fresh, overflow);
    fresh->meta = HT_META_CHAINED;
    link_overflow(first, fresh);
    return fill(fresh, tag, slot);
}

ht_slot *ht_put(struct hashtable *table, struct ht_array *array, uint64_t index, uint8_t tag, ht_slot slot) {
    uint64_t s = index >> HT_SEGMENT_BITS;
    struct ht_bucket *segment = array->segments[s];
    if (UNLIKELY(ht_is_empty(segment))) segment = segment_new(table, array, s);
    struct ht_bucket *bucket = &segment[index & (HT_SEGMENT - 1)];
    if (LIKELY(bucket->meta < HT_SLOTS)) return fill(bucket, tag, slot);
    return put_overflow(table, bucket, tag, slot);
}

void ht_take_out(struct hashtable *table, struct ht_bucket *first, struct ht_bucket *bucket, unsigned i) {
    struct ht_bucket *last = ht_chained(first) ? ht_next(first) : first;
    unsigned from = ht_used(last) - 1;
    ASSERT(ht_used(last) != 0 && i < ht_used(bucket));
    bucket->tags[i] = last->tags[from];
    bucket->slots[i] = last->slots[from];
    last->meta--;
    if (last == first) return;
    if (!ht_chained(last) && from == 1) { /* seven are left: the link's place is enough for the last one */
        first->tags[HT_SLOTS - 1] = last->tags[0];
        first->slots[HT_SLOTS - 1] = last->slots[0];
        first->meta = HT_SLOTS;
        ht_overflow_free(table, last);
    } else if (from == 0) {
        link_overflow(first, ht_next(last));
        ht_overflow_free(table, last);
    }
}

/* --- the table --- */

void ht_set_limits(struct hashtable *table) {
    uint64_t buckets = table->arrays[0].buckets;
    table->grow_at = buckets * GROW_TENTHS / 10;
    table->shrink_at = buckets == 1 ? 0 : buckets * (ht_may_double(buckets) ? SHRINK_SMALL_TENTHS : SHRINK_TENTHS) / 10;
}

static void start_empty(struct hashtable *table, uint64_t buckets) {
    ht_array_init(table, &table->arrays[0], buckets, ht_window_for(buckets, 0));
    for (uint64_t s = 0; s < ht_segment_count(&table->arrays[0]); s++)
        table->arrays[0].segments[s] = (struct ht_bucket *)(uintptr_t)ht_empty_segment;
    ht_set_limits(table);
}

struct hashtable *hashtable_new(struct heap *heap, struct slab *slab, const struct hashtable_type *type, void *ctx) {
    struct hashtable *table = heap_alloc_zero(heap, MEM_INDEX, sizeof *table);
    table->heap = heap;
    table->slab = slab;
    table->type = type;
    table->ctx = ctx;
    table->bytes = heap_block_size(sizeof *table);
    start_empty(table, 1);
    return table;
}

/* Frees the overflow buckets and hands out the entries of one array. */
static void array_drop(struct hashtable *table, struct ht_array *array, void (*drop)(void *, void *)) {
    for (uint64_t s = 0; s < ht_segment_count(array); s++) {
        struct ht_bucket *segment = array->segments[s];
        if (segment == NULL || ht_is_empty(segment)) continue;
        for (uint64_t b = 0; b < ht_segment_size(array, s); b++) {
            for (struct ht_bucket *bucket = &segment[b], *next; bucket != NULL; bucket = next) {
                next = ht_chained(bucket) ? ht_next(bucket) : NULL;
                for (unsigned i = 0; drop != NULL && i < ht_used(bucket); i++)
                    drop(table->ctx, ht_entry(bucket->slots[i]));
                if (bucket != &segment[b]) ht_overflow_free(table, bucket);
            }
        }
    }
}

void hashtable_delete(struct hashtable *table, void (*drop)(void *ctx, void *entry)) {
    if (table == NULL) return;
    for (unsigned a = 0; a < ARRAY_LEN(table->arrays); a++) {
        array_drop(table, &table->arrays[a], drop);
        array_deinit(table, &table->arrays[a]);
    }
    ASSERT(table->overflow_buckets == 0 && table->bytes == heap_block_size(sizeof *table));
    heap_free(table->heap, MEM_INDEX, table, sizeof *table);
}

uint64_t hashtable_count(const struct hashtable *table) {
    return table->count;
}

size_t hashtable_bytes(const struct hashtable *table) {
    return table->bytes;
}

ht_slot *hashtable_find(struct hashtable *table, uint64_t hash, hashtable_match match, const void *key) {
    return ht_find(table, hash, match, key);
}

/* The step comes first: the slot that is returned must stay where it is. */
ht_slot *hashtable_insert(struct hashtable *table, uint64_t hash, void *entry, unsigned flags) {
    ASSERT_SLOW(((uintptr_t)entry & 7) == 0 && (uintptr_t)entry >> 47 == 0 && flags <= HT_FLAGS);
    if (ht_resizing(table)) {
        hashtable_step(table, table->pace);
    } else if (UNLIKELY(table->count >= table->grow_at)) {
        ht_resize_start(table, ht_grown(table->arrays[0].buckets));
    }
    table->count++;
    if (UNLIKELY(table->count == table->expected)) table->expected = 0;
    struct ht_array *array = &table->arrays[hash < table->frontier];
    uint32_t window = ht_window(hash, array->window);
    return ht_put(table, array, ht_index(hash, array->buckets), (uint8_t)window,
                  (uint64_t)(window >> 8) << 48 | (uint64_t)(uintptr_t)entry | flags);
}

/* Shrinks to a load of 5 per bucket, from 3 or 2: the ways to growth and to the next shrink are both long. */
static void maybe_shrink(struct hashtable *table) {
    uint64_t buckets = table->count / 5 + 1;
    if (table->expected == 0 && buckets < table->arrays[0].buckets) ht_resize_start(table, buckets);
}

void hashtable_remove(struct hashtable *table, uint64_t hash, ht_slot *slot) {
    const struct ht_array *array = ht_array_of(table, hash);
    struct ht_bucket *first = ht_bucket_at(array, ht_index(hash, array->buckets));
    /* Buckets are aligned, so a slot's address says which bucket and which slot. */
    struct ht_bucket *bucket = (struct ht_bucket *)((uintptr_t)slot & ~(uintptr_t)63);
    unsigned i = (unsigned)(slot - bucket->slots);
    ASSERT_SLOW(ht_stored_window(bucket, i) == ht_window(hash, array->window));
    ht_take_out(table, first, bucket, i);
    table->count--;
    if (ht_resizing(table)) {
        hashtable_step(table, table->pace);
    } else if (UNLIKELY(table->count < table->shrink_at)) {
        maybe_shrink(table);
    }
}

void hashtable_expect(struct hashtable *table, uint64_t count) {
    table->expected = count > table->count ? count : 0;
    if (table->expected == 0 || ht_resizing(table) || count <= table->grow_at) return;
    uint64_t buckets = ht_grown(table->arrays[0].buckets);
    if (table->count != 0) {
        ht_resize_start(table, buckets);
    } else {
        buckets = MAX(buckets, count / 5 + 1);
        array_deinit(table, &table->arrays[0]);
        start_empty(table, buckets);
    }
}
