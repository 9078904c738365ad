/* The store: from the slab or the heap, by size; now or later, too. */
#include "core/store.h"
#include <assert.h>
#include <string.h>

static_assert(STORE_LATER_MIN == SLAB_LARGE_MAX, "what is the slab's is freed at once: it gives frames back later");

void *store_alloc_large(const struct store *store, size_t size) {
    return size <= SLAB_LARGE_MAX ? slab_alloc_large(store->slab, size) : heap_alloc(store->heap, MEM_DATA, size);
}

void store_free_large(const struct store *store, void *block, size_t size) {
    if (size <= SLAB_LARGE_MAX)
        slab_free_large(store->slab, block, size);
    else if (store->later.free_block)
        store->later.free_block(store->later.ctx, block, size);
    else
        heap_free(store->heap, MEM_DATA, block, size);
}

size_t store_large_size(size_t size) {
    return size <= SLAB_LARGE_MAX ? slab_large_block_size(size) : heap_block_size(size);
}

void *store_try_alloc(const struct store *store, size_t size) {
    return size <= SLAB_LARGE_MAX ? store_alloc(store, size) : heap_try_alloc(store->heap, MEM_DATA, size);
}

void *store_try_resize(const struct store *store, void *block, size_t old_size, size_t new_size) {
    if (old_size > SLAB_LARGE_MAX && new_size > SLAB_LARGE_MAX)
        return heap_try_resize(store->heap, MEM_DATA, block, old_size, new_size);
    if (store_block_size(old_size) == store_block_size(new_size)) return block;
    void *moved = store_try_alloc(store, new_size);
    if (!moved) return NULL;
    memcpy(moved, block, MIN(old_size, new_size));
    store_free(store, block, old_size);
    return moved;
}

void store_free_object(const struct store *store, store_free_some free_some, void *object) {
    if (!free_some(store, object, STORE_NOW_UNITS)) return;
    if (store->later.free_object) {
        store->later.free_object(store->later.ctx, free_some, object);
        return;
    }
    while (free_some(store, object, STORE_NOW_UNITS)) continue;
}

void *store_moved(const struct store *store, void *block, size_t size) {
    if (!store_is_sparse(store, block, size)) return block;
    return slab_move(store->slab, block, size);
}
