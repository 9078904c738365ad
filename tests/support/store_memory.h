/* Memory to the byte, for tests of structures that say how much they take: what was allocated from a store, without
 * what its slab keeps for later. */
#pragma once
#include "core/store.h"

static inline size_t store_memory(const struct store *store) {
    size_t heap = (size_t)heap_used(store->heap, MEM_DATA) + (size_t)heap_used(store->heap, MEM_INDEX);
    return heap - slab_held_bytes(store->slab) + slab_used_bytes(store->slab);
}
