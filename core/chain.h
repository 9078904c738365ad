/* Chain: a long run of bytes in blocks, for what is too long to be copied, moved or freed in one go.
 *
 *      first                                    last
 *      | 256 KiB | -> | 256 KiB | -> ... -> | being filled |
 *
 * A buf that grows to 100 MB copies what it holds with each growth, and holds its thread for as long. A chain only
 * ever touches its last block, joins another in O(1), and is passed on block by block: the memory itself moves.
 *
 * Owner     whoever embeds it; all blocks are of one memory class, which the caller knows. Zero is an empty chain.
 * Blocks    CHAIN_BLOCK bytes, larger only for a single append that does not fit into one. The first grows by doubling,
 *           so that a short chain is small.
 * Threads   one at a time; a chain that travelled in a message is used through the receiver's heap. */
#pragma once
#include "core/buf.h"

#define CHAIN_BLOCK (256 * 1024)

struct chain_block {
    struct chain_block *next;
    struct buf bytes;
};

struct chain {
    struct chain_block *first, *last;
    size_t sealed; /* bytes in all blocks but the last */
};

void chain_deinit(struct chain *chain, struct heap *heap); /* O(blocks) */

HOT_INLINE bool chain_empty(const struct chain *chain) {
    return !chain->first;
}
HOT_INLINE size_t chain_len(const struct chain *chain) {
    return chain->last ? chain->sealed + buf_readable(&chain->last->bytes) : 0;
}
size_t chain_held(const struct chain *chain); /* what the allocator has set aside for it; O(blocks) */
/* The buf to append to next; good until the next call. Ask again before every append, that keeps blocks small. */
struct buf *chain_tail(struct chain *chain, struct heap *heap, enum mem_class owner);
/* Moves all blocks of `take` behind those of chain. O(1). */
void chain_join(struct chain *chain, struct chain *take);
/* Takes the first block off; out, which has no memory, gets its bytes and its memory. The chain is not empty. O(1). */
void chain_take_first(struct chain *chain, struct heap *heap, struct buf *out);
/* Appends all bytes to out and empties the chain, for one known to be short. O(bytes). */
void chain_flatten(struct chain *chain, struct heap *heap, struct buf *out);
void chain_check(const struct chain *chain);
