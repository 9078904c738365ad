/* Shared bytes: what several hold and nobody changes, in memory once.
 *
 *      shared | uses | len | bytes ... |
 *
 * Owner     all who hold it; the last one that lets go frees it. It is written once, before a second one has it.
 * Threads   one: the count is no atomic. Cost: O(1) but for the bytes that are written. */
#pragma once
#include "core/alloc.h"
#include "core/slice.h"

struct shared_bytes {
    uint32_t uses;
    enum mem_class owner; /* for which it counts, once, however many hold it */
    size_t len;
    char data[];
};

/* One use of it is the caller's, who writes len bytes to data before anybody else has it. */
struct shared_bytes *shared_bytes_new(struct heap *heap, enum mem_class owner, size_t len);
HOT_INLINE struct shared_bytes *shared_bytes_use(struct shared_bytes *shared) {
    shared->uses++;
    return shared;
}
HOT_INLINE size_t shared_bytes_size(const struct shared_bytes *shared) { /* of the block */
    return sizeof *shared + shared->len;
}
/* True: that was the last use, and the caller frees the block. */
NODISCARD HOT_INLINE bool shared_bytes_drop(struct shared_bytes *shared) {
    return --shared->uses == 0;
}
void shared_bytes_let_go(struct shared_bytes *shared, struct heap *heap); /* the same, and frees it then */
