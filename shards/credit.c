/* Credit. All accesses to the pool are relaxed: it is one number, no other memory is published with it, and
 * read-modify- write operations lose nothing. */
#include "shards/credit.h"
#include "core/assert.h"

static void move(struct credit *credit, int64_t bytes) {
    atomic_fetch_sub_explicit(&credit->pool->free, bytes, memory_order_relaxed);
    credit->granted += bytes;
}

bool credit_take(struct credit *credit, int64_t used, int64_t bytes, int64_t quantum) {
    ASSERT(bytes >= 0 && quantum > 0);
    int64_t missing = used + bytes - credit->granted;
    if (missing <= 0) return true;
    int64_t free = credit_pool_free(credit->pool), taken;
    do {
        if (free < missing) return false;
        taken = MIN(MAX(missing, quantum), free);
    } while (!atomic_compare_exchange_weak_explicit(&credit->pool->free, &free, free - taken, memory_order_relaxed,
                                                    memory_order_relaxed));
    credit->granted += taken;
    return true;
}

void credit_settle(struct credit *credit, int64_t used, int64_t quantum) {
    ASSERT(quantum > 0);
    int64_t spare = credit->granted - used;
    if (spare < 0)
        move(credit, -spare);
    else if (spare > 0 && credit_pool_free(credit->pool) < 0)
        move(credit, -spare);
    else if (spare > 2 * quantum)
        move(credit, quantum - spare);
}

void credit_pool_add(struct credit_pool *pool, int64_t bytes) {
    atomic_fetch_add_explicit(&pool->free, bytes, memory_order_relaxed);
}

int64_t credit_pool_free(const struct credit_pool *pool) {
    return atomic_load_explicit(&pool->free, memory_order_relaxed);
}
