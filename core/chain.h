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
 *           so that a short chain is small. Or bytes that other chains have, too (core/shared_bytes.h): such a block is a
 *           use of them, of any length, and nothing is appended to it.
 * Threads   one at a time; a chain that travelled in a message is used through the receiver's heap. */
#pragma once
#include "core/buf.h"
#include "core/shared_bytes.h"

#define CHAIN_BLOCK (256 * 1024)

struct chain_block {
    struct chain_block *next;
    struct buf bytes;            /* of a shared block: has no capacity, and points into `shared` */
    struct shared_bytes *shared; /* NULL: the bytes are its own */
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
/* What the allocator has set aside for it; of shared bytes a part, as many as use them. O(blocks). */
size_t chain_held(const struct chain *chain);
/* The buf to append to next; good until the next call. Ask again before every append, that keeps blocks small. */
struct buf *chain_tail(struct chain *chain, struct heap *heap, enum mem_class owner);
/* The same with room for so many bytes, in blocks of this size that never grow: for one of many chains that are filled at
 * the same time. */
struct buf *chain_tail_sized(struct chain *chain, struct heap *heap, enum mem_class owner, size_t bytes, size_t block);
/* Is there room for so many more bytes without another block? */
bool chain_has_room(const struct chain *chain, size_t bytes);
/* Takes what buf has, memory and all, as its last block; nothing where that is empty. O(1). */
void chain_take_buf(struct chain *chain, struct heap *heap, enum mem_class owner, struct buf *take);
/* Bytes that others have, too: another use of them. O(1). */
void chain_add_shared(struct chain *chain, struct heap *heap, struct shared_bytes *shared);
/* Moves all blocks of `take` behind those of chain. O(1). */
void chain_join(struct chain *chain, struct chain *take);
/* Takes the first block off; out, which has no memory, gets its bytes and its memory. The chain is not empty. O(1).
 * Not NULL: the bytes are shared ones, whose use is the caller's now; out only points there, and is not to be freed. */
NODISCARD struct shared_bytes *chain_take_first(struct chain *chain, struct heap *heap, struct buf *out);
/* Appends all bytes to out and empties the chain, for one known to be short. O(bytes). */
void chain_flatten(struct chain *chain, struct heap *heap, struct buf *out);
void chain_check(const struct chain *chain);
