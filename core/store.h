/* Store: where the memory of values comes from and goes to, one per shard.
 *
 * Blocks of up to SLAB_LARGE_MAX bytes are the slab's, larger ones the heap's, and all count as data. The caller knows
 * the size of what it frees, as in core/alloc.h.
 *
 * Giving memory back takes time: about 0.1 us per page, and a structure of a million blocks is a million calls. So what
 * is large goes through the port `later`, which queues it and frees it in slices (shards/reaper fills it in). Without a
 * port, in tests and tools, everything is freed at once.
 *
 * Thread    the shard's owner. Failure: as heap_alloc. */
#pragma once
#include "core/slab.h"

struct store;

/* Frees some of an object that nobody else knows any more: `units` of its nodes or so, some 100 ns each. True while
 * something is left; after false the object is gone. */
typedef bool (*store_free_some)(const struct store *store, void *object, unsigned units);

/* The port. Both functions take what they are given. */
struct store_later {
    void (*free_block)(void *ctx, void *block, size_t size);
    void (*free_object)(void *ctx, store_free_some free_some, void *object);
    void *ctx;
};

struct store {
    struct heap *heap;
    struct slab *slab;
    struct store_later later; /* functions NULL: at once */
};

#define STORE_LATER_MIN (1024 * 1024) /* bytes; blocks above are freed later */
#define STORE_NOW_UNITS 16            /* of an object are freed at once; most objects have no more */

/* --- blocks --- */
void *store_alloc_large(const struct store *store, size_t size);
HOT_INLINE void *store_alloc(const struct store *store, size_t size) {
    return LIKELY(size <= SLAB_MAX) ? slab_alloc(store->slab, size) : store_alloc_large(store, size);
}
void store_free_large(const struct store *store, void *block, size_t size);
HOT_INLINE void store_free(const struct store *store, void *block, size_t size) {
    if (LIKELY(size <= SLAB_MAX))
        slab_free(store->slab, block, size);
    else
        store_free_large(store, block, size);
}
/* What a block of that size really takes. No two kinds of blocks have a size in common: of equal sizes, either block
 * can be freed as the other. */
size_t store_large_size(size_t size);
HOT_INLINE size_t store_block_size(size_t size) {
    return LIKELY(size <= SLAB_MAX) ? slab_block_size(size) : store_large_size(size);
}
/* A block of a size that a client chose, or one in place of `block`, with its bytes. NULL, and nothing has changed,
 * when memory is refused. */
void *store_try_alloc(const struct store *store, size_t size);
void *store_try_resize(const struct store *store, void *block, size_t old_size, size_t new_size);

/* A block that lies in a sparse page moves to a fuller one: returns where it is now. O(bytes). */
HOT_INLINE bool store_is_sparse(const struct store *store, const void *block, size_t size) {
    return size <= SLAB_PAGED_MAX && slab_is_sparse(store->slab, block);
}
void *store_moved(const struct store *store, void *block, size_t size);

/* Moves some of an object's blocks out of sparse pages: `units` of them are looked at. *position, 0 at first, is where
 * it goes on in the next call, also when the object changed meanwhile; 0 again: all were looked at. */
typedef uint64_t (*store_defrag_some)(const struct store *store, void *object, uint64_t position, unsigned units);

/* --- objects of many blocks --- */
/* Frees the start of it now and the rest, if any, later. */
void store_free_object(const struct store *store, store_free_some free_some, void *object);
