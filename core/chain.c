/* Chain: a list of bufs. A block counts as full a little before its capacity, so that an append of ordinary size that
 * follows does not make it grow, which would copy it. */
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

void chain_take_first(struct chain *chain, struct heap *heap, struct buf *out) {
    ASSERT(chain->first && !out->data);
    struct chain_block *block = chain->first;
    if (block != chain->last) chain->sealed -= buf_readable(&block->bytes);
    *out = block->bytes;
    buf_set_heap(out, heap);
    free_first(chain, heap);
}

size_t chain_held(const struct chain *chain) {
    size_t bytes = 0;
    for (const struct chain_block *block = chain->first; block; block = block->next)
        bytes += heap_block_size(sizeof *block) + buf_held(&block->bytes);
    return bytes;
}

void chain_deinit(struct chain *chain, struct heap *heap) {
    while (chain->first) {
        struct buf bytes = {0};
        chain_take_first(chain, heap, &bytes);
        buf_deinit(&bytes);
    }
}

struct buf *chain_tail(struct chain *chain, struct heap *heap, enum mem_class owner) {
    struct chain_block *last = chain->last;
    if (last && last->bytes.len < CHAIN_FULL) {
        buf_set_heap(&last->bytes, heap);
        return &last->bytes;
    }
    struct chain_block *block = heap_alloc(heap, owner, sizeof *block);
    block->next = NULL;
    buf_init(&block->bytes, heap, owner);
    buf_make_room(&block->bytes, last ? CHAIN_BLOCK : CHAIN_FIRST);
    if (last) {
        chain->sealed += buf_readable(&last->bytes);
        last->next = block;
    } else {
        chain->first = block;
    }
    chain->last = block;
    return &block->bytes;
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
        chain_take_first(chain, heap, &bytes);
        buf_append_slice(out, buf_slice(&bytes));
        buf_deinit(&bytes);
    }
}

void chain_check(const struct chain *chain) {
    ASSERT(!chain->first == !chain->last);
    size_t sealed = 0;
    for (const struct chain_block *block = chain->first; block; block = block->next) {
        ASSERT(block->bytes.read <= block->bytes.len && block->bytes.len <= block->bytes.cap);
        ASSERT((block->next == NULL) == (block == chain->last));
        if (block->next) sealed += buf_readable(&block->bytes);
    }
    ASSERT(sealed == chain->sealed);
}
