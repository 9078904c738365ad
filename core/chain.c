/* Chain: a list of bufs, each with bytes of its own or as a view of shared ones. A block counts as full a little before
 * its capacity, so that an append of ordinary size that follows does not make it grow, which would copy it. */
#include "core/chain.h"
#include "core/assert.h"

#define CHAIN_FIRST 512 /* a power of two: doubling then ends at CHAIN_BLOCK */
#define CHAIN_FULL  (CHAIN_BLOCK - 4096)

/* The block's node, without its bytes. */
static void free_first(struct chain *chain, struct heap *heap) {
    struct chain_block *block = chain->first;
    enum mem_class owner = block->bytes.owner;
    chain->first = block->next;
    if (!chain->first) chain->last = NULL;
    heap_free(heap, owner, block, sizeof *block);
}

struct shared_bytes *chain_take_first(struct chain *chain, struct heap *heap, struct buf *out) {
    ASSERT(chain->first && !out->data);
    struct chain_block *block = chain->first;
    struct shared_bytes *shared = block->shared;
    if (block != chain->last) chain->sealed -= buf_readable(&block->bytes);
    *out = block->bytes;
    buf_set_heap(out, heap);
    free_first(chain, heap);
    return shared;
}

size_t chain_held(const struct chain *chain) {
    size_t bytes = 0;
    for (const struct chain_block *block = chain->first; block; block = block->next)
        bytes += heap_block_size(sizeof *block) +
                 (block->shared ? heap_block_size(shared_bytes_size(block->shared)) / block->shared->uses
                                : buf_held(&block->bytes));
    return bytes;
}

/* What chain_take_first gave. */
static void give_up(struct buf *bytes, struct shared_bytes *shared, struct heap *heap) {
    if (shared)
        shared_bytes_let_go(shared, heap);
    else
        buf_deinit(bytes);
}

void chain_deinit(struct chain *chain, struct heap *heap) {
    while (chain->first) {
        struct buf bytes = {0};
        struct shared_bytes *shared = chain_take_first(chain, heap, &bytes);
        give_up(&bytes, shared, heap);
    }
}

/* An empty one at the end. */
static struct chain_block *add_block(struct chain *chain, struct heap *heap, enum mem_class owner) {
    struct chain_block *last = chain->last, *block = heap_alloc(heap, owner, sizeof *block);
    block->next = NULL;
    block->shared = NULL;
    buf_init(&block->bytes, heap, owner);
    if (last) {
        chain->sealed += buf_readable(&last->bytes);
        last->next = block;
    } else {
        chain->first = block;
    }
    chain->last = block;
    return block;
}

struct buf *chain_tail(struct chain *chain, struct heap *heap, enum mem_class owner) {
    struct chain_block *last = chain->last;
    if (last && !last->shared && last->bytes.len < CHAIN_FULL) {
        buf_set_heap(&last->bytes, heap);
        return &last->bytes;
    }
    struct chain_block *block = add_block(chain, heap, owner);
    buf_make_room(&block->bytes, last ? CHAIN_BLOCK : CHAIN_FIRST);
    return &block->bytes;
}

bool chain_has_room(const struct chain *chain, size_t bytes) {
    const struct chain_block *last = chain->last;
    return last && !last->shared && last->bytes.cap - last->bytes.len >= bytes;
}

struct buf *chain_tail_sized(struct chain *chain, struct heap *heap, enum mem_class owner, size_t bytes, size_t block) {
    if (!chain_has_room(chain, bytes)) buf_make_room(&add_block(chain, heap, owner)->bytes, MAX(bytes, block));
    buf_set_heap(&chain->last->bytes, heap);
    return &chain->last->bytes;
}

void chain_take_buf(struct chain *chain, struct heap *heap, enum mem_class owner, struct buf *take) {
    ASSERT(take->owner == owner);
    if (buf_readable(take) > 0) {
        add_block(chain, heap, owner)->bytes = *take;
        buf_init(take, heap, owner);
    }
    buf_deinit(take);
}

void chain_add_shared(struct chain *chain, struct heap *heap, struct shared_bytes *shared) {
    struct chain_block *block = add_block(chain, heap, shared->owner);
    block->shared = shared_bytes_use(shared);
    block->bytes.data = shared->data;
    block->bytes.len = shared->len;
}

void chain_join(struct chain *chain, struct chain *take) {
    if (!take->first) return;
    if (chain->last) {
        chain->sealed = chain_len(chain) + take->sealed;
        chain->last->next = take->first;
        chain->last = take->last;
    } else {
        *chain = *take;
    }
    *take = (struct chain){0};
}

void chain_flatten(struct chain *chain, struct heap *heap, struct buf *out) {
    buf_make_room(out, chain_len(chain));
    while (chain->first) {
        struct buf bytes = {0};
        struct shared_bytes *shared = chain_take_first(chain, heap, &bytes);
        buf_append_slice(out, buf_slice(&bytes));
        give_up(&bytes, shared, heap);
    }
}

void chain_check(const struct chain *chain) {
    ASSERT(!chain->first == !chain->last);
    size_t sealed = 0;
    for (const struct chain_block *block = chain->first; block; block = block->next) {
        ASSERT(block->bytes.read <= block->bytes.len);
        if (block->shared)
            ASSERT(block->shared->uses > 0 && block->bytes.len == block->shared->len && block->bytes.cap == 0);
        else
            ASSERT(block->bytes.len <= block->bytes.cap);
        ASSERT((block->next == NULL) == (block == chain->last));
        if (block->next) sealed += buf_readable(&block->bytes);
    }
    ASSERT(sealed == chain->sealed);
}
