/* The store: now or later, by size. */
#include "core/store.h"

void store_free_large(const struct store *store, void *block, size_t size) {
    if (size >= STORE_LATER_MIN && store->later.free_block)
        store->later.free_block(store->later.ctx, block, size);
    else
        heap_free(store->heap, MEM_DATA, block, size);
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
