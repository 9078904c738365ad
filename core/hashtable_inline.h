/* Hash table, the hot path: find and prefetch, inline so that the match function is inlined too.
 *
 * A batch of look-ups hides its misses by going over its keys three times: ht_prefetch_bucket for all, then
 * ht_prefetch_entry for all (the buckets are in cache by now), then ht_find. In batches of 16 a look-up that misses
 * the cache twice costs a fifth of a lonely one (perf/micro/hashtable_bench.c).
 *
 * The layout below is private to core/hashtable*.c; it is here only because inline functions need it. What the
 * fields mean and which invariants hold is told in core/hashtable.c. */
#pragma once
#include "core/hashtable.h"
#include <endian.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* --- private layout --- */

#define HT_SLOTS        7u
#define HT_SEGMENT_BITS 10
#define HT_SEGMENT      (1u << HT_SEGMENT_BITS) /* buckets: 64 KiB */
#define HT_META_COUNT   7u                      /* how many of the first slots are used */
#define HT_META_CHAINED 8u                      /* the last slot points to an overflow bucket */
#define HT_WINDOW_BITS  24

/* tags[i] is the low byte of entry i's window, the top 16 bits of slots[i] are the rest. */
struct ht_bucket {
    uint8_t tags[HT_SLOTS];
    uint8_t meta;
    ht_slot slots[HT_SLOTS];
} __attribute__((aligned(64)));

struct ht_due;

struct ht_array {
    struct ht_bucket **segments; /* the directory; &only for a table of one segment */
    uint64_t buckets;            /* 0: this array does not exist */
    unsigned window;             /* the stored bits are hash bits 63 - window downwards */
    struct ht_bucket *only;
    struct ht_due *due; /* per segment; NULL before the first deadline */
};

struct hashtable {
    struct ht_array arrays[2]; /* [0] has the hashes from the frontier upwards, [1] those below it */
    uint64_t frontier;         /* a border between buckets of arrays[0]; 0 when no resize is under way */
    uint64_t count;
    uint64_t grow_at, shrink_at; /* a resize starts above, below this count */
    uint64_t moved;              /* buckets of arrays[0] that are empty now, because they lie below the frontier */
    uint64_t entered;            /* segments of arrays[1] that the frontier has touched */
    uint64_t expected;           /* count that was announced; 0 when it is reached */
    unsigned pace;               /* buckets to move per insert or remove */
    struct heap *heap;
    struct slab *slab;
    const struct hashtable_type *type;
    void *ctx;
    uint64_t overflow_buckets;
    size_t bytes;
};

/* Borders between buckets fall on multiples of 2^16, so a border fits a cursor: the low bits do not count. */
HOT_INLINE uint64_t ht_index(uint64_t hash, uint64_t buckets) {
    return (uint64_t)(((unsigned __int128)(hash & ~0xFFFFull) * buckets) >> 64);
}

HOT_INLINE uint32_t ht_window(uint64_t hash, unsigned window) {
    return (uint32_t)((hash << window) >> (64 - HT_WINDOW_BITS));
}

HOT_INLINE const struct ht_array *ht_array_of(const struct hashtable *table, uint64_t hash) {
    return &table->arrays[hash < table->frontier];
}

HOT_INLINE struct ht_bucket *ht_bucket_at(const struct ht_array *array, uint64_t index) {
    return &array->segments[index >> HT_SEGMENT_BITS][index & (HT_SEGMENT - 1)];
}

HOT_INLINE struct ht_bucket *ht_next(const struct ht_bucket *bucket) {
    return (struct ht_bucket *)(uintptr_t)bucket->slots[HT_SLOTS - 1];
}

/* One bit per used slot whose tag is equal. */
HOT_INLINE unsigned ht_tag_hits(const struct ht_bucket *bucket, uint8_t tag) {
    unsigned used = (1u << (bucket->meta & HT_META_COUNT)) - 1;
#ifdef __SSE2__
    __m128i tags = _mm_loadl_epi64((const __m128i *)(const void *)bucket);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag))) & used;
#else
    uint64_t word;
    memcpy(&word, bucket, sizeof word);
    word = le64toh(word) ^ tag * 0x0101010101010101ull;
    uint64_t low7 = 0x7F7F7F7F7F7F7F7Full;
    uint64_t zero = ~(((word & low7) + low7) | word | low7); /* 0x80 in each byte that was equal */
    return (unsigned)((zero >> 7) * 0x0102040810204080ull >> 56) & used;
#endif
}

/* --- look-up --- */

/* The slot of the entry that has this hash and that match accepts; NULL when there is none. */
HOT_INLINE ht_slot *ht_find(struct hashtable *table, uint64_t hash, hashtable_match match, const void *key) {
    const struct ht_array *array = ht_array_of(table, hash);
    struct ht_bucket *bucket = ht_bucket_at(array, ht_index(hash, array->buckets));
    uint32_t window = ht_window(hash, array->window);
    for (;;) {
        for (unsigned hits = ht_tag_hits(bucket, (uint8_t)window); hits != 0; hits &= hits - 1) {
            ht_slot *slot = &bucket->slots[__builtin_ctz(hits)];
            if (LIKELY(*slot >> 48 == window >> 8) && LIKELY(match(ht_entry(*slot), key))) return slot;
        }
        if (LIKELY((bucket->meta & HT_META_CHAINED) == 0)) return NULL;
        bucket = ht_next(bucket);
    }
}

HOT_INLINE void ht_prefetch_bucket(const struct hashtable *table, uint64_t hash) {
    const struct ht_array *array = ht_array_of(table, hash);
    __builtin_prefetch(ht_bucket_at(array, ht_index(hash, array->buckets)));
}

/* Two cache lines of the first entry that may be the one, or the overflow bucket if none in the first bucket may. */
HOT_INLINE void ht_prefetch_entry(const struct hashtable *table, uint64_t hash) {
    const struct ht_array *array = ht_array_of(table, hash);
    const struct ht_bucket *bucket = ht_bucket_at(array, ht_index(hash, array->buckets));
    uint32_t window = ht_window(hash, array->window);
    for (unsigned hits = ht_tag_hits(bucket, (uint8_t)window); hits != 0; hits &= hits - 1) {
        ht_slot slot = bucket->slots[__builtin_ctz(hits)];
        if (slot >> 48 != window >> 8) continue;
        const char *entry = ht_entry(slot);
        __builtin_prefetch(entry);
        __builtin_prefetch(entry + CACHE_LINE);
        return;
    }
    if (bucket->meta & HT_META_CHAINED) __builtin_prefetch(ht_next(bucket));
}
