/* Credit: a bound on what several threads use together, though each only looks at numbers of its own.
 *
 *      budget = pool.free + granted of shard 0 + granted of shard 1 + ...
 *
 * A shard may use what it was granted. When that is not enough it takes more from the pool, a quantum at a time so that
 * it comes back seldom, and when it needs much less it gives the rest back. So the hot path compares two local numbers
 * and the shared word is touched about once per quantum.
 *
 * Not everything can be refused: a table that has to grow, a reply that is being written. Who has used more than it was
 * granted takes that without asking (credit_settle). The pool may then be negative, which every shard sees: a debt of
 * all, and nobody is granted anything until it is paid back. A budget that became smaller is the same.
 *
 * Numbers   bytes, signed. What one shard has used may be negative, when it freed what another had allocated.
 * Threads   the pool is shared; a credit is its shard's own. Cost: O(1); credit_take and credit_settle touch the shared
 *           line only when something moves. */
#pragma once
#include "core/defs.h"
#include <stdatomic.h>

struct credit_pool {
    _Alignas(CACHE_LINE) _Atomic int64_t free; /* negative: what all together have used too much */
};

struct credit {
    struct credit_pool *pool;
    int64_t granted;
};

/* May `bytes` be used beyond `used`? True: they are granted, and stay granted until credit_settle finds them unused. */
NODISCARD bool credit_take(struct credit *credit, int64_t used, int64_t bytes, int64_t quantum);

/* Now and then, at least once a turn: what was used without being granted is taken, and what is not needed soon, more
 * than two quanta, is given back down to one; all of it, when there is a debt. */
void credit_settle(struct credit *credit, int64_t used, int64_t quantum);

/* The budget grew or shrank by so much. Any thread. */
void credit_pool_add(struct credit_pool *pool, int64_t bytes);
int64_t credit_pool_free(const struct credit_pool *pool); /* any thread; a moment old */
