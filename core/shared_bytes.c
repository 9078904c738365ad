/* Shared bytes: a block with a count. */
#include "core/shared_bytes.h"
#include "core/assert.h"

struct shared_bytes *shared_bytes_new(struct heap *heap, enum mem_class owner, size_t len) {
    struct shared_bytes *shared = heap_alloc(heap, owner, sizeof *shared + len);
    shared->uses = 1;
    shared->owner = owner;
    shared->len = len;
    return shared;
}

void shared_bytes_let_go(struct shared_bytes *shared, struct heap *heap) {
    ASSERT(shared->uses > 0);
    if (shared_bytes_drop(shared)) heap_free(heap, shared->owner, shared, shared_bytes_size(shared));
}
