/* Buf pool: empty buffers of one size on loan, last in first out, so that a few cache-warm ones serve everybody and an
 * idle borrower has none.
 *
 * Owner     one thread. Bounded: at most BUF_POOL_MAX spare ones are kept, the rest goes back to the heap.
 * Cost      O(1), no allocation in the steady state. */
#pragma once
#include "core/buf.h"

#define BUF_POOL_BYTES (16 * 1024) /* capacity of a lent buffer */
#define BUF_POOL_MAX   128

struct buf_pool {
    struct heap *heap;
    enum mem_class owner;
    uint32_t count;
    char *spare[BUF_POOL_MAX];
};

void buf_pool_init(struct buf_pool *pool, struct heap *heap, enum mem_class owner);
void buf_pool_deinit(struct buf_pool *pool);
void buf_pool_drain(struct buf_pool *pool); /* frees the spare ones */

/* buf has no memory; it gets BUF_POOL_BYTES of it. */
HOT_INLINE void buf_pool_lend(struct buf_pool *pool, struct buf *buf) {
    buf->data = LIKELY(pool->count) ? pool->spare[--pool->count] : heap_alloc(pool->heap, pool->owner, BUF_POOL_BYTES);
    buf->cap = BUF_POOL_BYTES;
    buf->read = buf->len = 0;
}

/* Takes the memory of buf, whatever it has grown to, and leaves it without. */
HOT_INLINE void buf_pool_give_back(struct buf_pool *pool, struct buf *buf) {
    if (UNLIKELY(buf->cap != BUF_POOL_BYTES || pool->count == BUF_POOL_MAX)) {
        buf_deinit(buf);
        return;
    }
    pool->spare[pool->count++] = buf->data;
    buf->data = NULL;
    buf->read = buf->len = buf->cap = 0;
}
