/* Birth and death of the pool; the rest is inline. */
#include "core/buf_pool.h"

void buf_pool_init(struct buf_pool *pool, struct heap *heap, enum mem_class owner) {
    *pool = (struct buf_pool){.heap = heap, .owner = owner};
}

void buf_pool_drain(struct buf_pool *pool) {
    while (pool->count) heap_free(pool->heap, pool->owner, pool->spare[--pool->count], BUF_POOL_BYTES);
}

void buf_pool_deinit(struct buf_pool *pool) {
    buf_pool_drain(pool);
}
