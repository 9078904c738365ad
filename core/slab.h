/* Slab: small entries, packed without waste, one slab per shard.
 *
 * Blocks up to SLAB_MAX are served from pages of 16 KiB that hold one size only. Sizes up to 512 are rounded up to a
 * multiple of 8; above, a page is cut into 31, 30, ... 4 blocks, so that all of it is used: 1 KiB and a header take
 * 1088 bytes (15 blocks), where an allocator with four sizes per doubling takes 1280.
 * Pages come from 2 MiB chunks mapped straight from the kernel and go back to it when they have emptied, so accounting
 * is exact and memory that was freed is really free: what the heap counts for the slab is the pages that have been
 * touched and not given back, never the untouched rest of a chunk. A page's description is found from any block in it
 * by masking.
 *
 *    chunk, 2 MiB aligned: | descriptions of its pages | page 1 | page 2 | ... | page 127 |
 *    page, 16 KiB aligned: | block | block | block | ... |
 *
 * Blocks are 8-byte aligned; those whose size is a multiple of 64 up to SLAB_ALIGNED_MAX are 64-byte aligned, as table
 * overflow buckets need it.
 * Why not mimalloc: freeing and allocating 56-byte objects at random among 2M costs about 175 ns and 64.5 B each
 * with mimalloc 2.0.9 and 24 ns and 56 B here (perf/README.md says how it is measured).
 *
 * Thread    the shard's owner only. Cost: O(1), no search, no system call but for a new chunk.
 * Purging   empty pages go back to the kernel in slab_purge_some, which the owner calls as often as it likes (once a
 *           turn). Up to SLAB_SPARE_PAGES empty pages are kept for the next allocation, and one wholly empty chunk
 *           stays mapped. */
#pragma once
#include "core/alloc.h"

#define SLAB_MAX         4096 /* bytes; larger blocks belong to the heap */
#define SLAB_ALIGNED_MAX 512
#define SLAB_PAGE        (16 * 1024u)
#define SLAB_SPARE_PAGES 64 /* 1 MiB, the most that purging leaves beyond the pages that have blocks in them */

struct slab;

struct slab *slab_new(struct heap *heap, enum mem_class owner);
void slab_delete(struct slab *slab); /* with all blocks in it */

NODISCARD void *slab_alloc(struct slab *slab, size_t size);  /* 1 <= size <= SLAB_MAX; stops when memory is gone */
void slab_free(struct slab *slab, void *block, size_t size); /* the size it was allocated with */

/* Gives some empty pages back to the kernel, 16 or a whole chunk: a few 100 us. True while there are more to give. */
bool slab_purge_some(struct slab *slab);

/* What a block of that size takes. */
HOT_INLINE size_t slab_block_size(size_t size) {
    uint32_t rounded = ((uint32_t)size + 7) & ~7u;
    return LIKELY(rounded <= SLAB_ALIGNED_MAX) ? rounded : SLAB_PAGE / (SLAB_PAGE / rounded) & ~7u;
}

/* Would moving this block to a new one help to empty its page? True when more than an eighth of the blocks of its size
 * are free, and its page is not fuller than the mean of them and not the one they are allocated from. For
 * defragmenting: allocate anew, copy, free. O(1). */
bool slab_is_sparse(const struct slab *slab, const void *block);
void *slab_move(struct slab *slab, void *block, size_t size); /* does that; returns where the block is now. O(bytes) */
uint64_t slab_moves(const struct slab *slab);                 /* so far */
size_t slab_spare_bytes(const struct slab *slab); /* free blocks in pages that have others: what moving can save */

/* Its chunks, the newest first, as heap_each_area. */
void slab_each_area(const struct slab *slab, heap_area_visit visit, void *ctx);
size_t slab_used_bytes(const struct slab *slab); /* blocks handed out */
size_t slab_held_bytes(const struct slab *slab); /* resident pages: headers, gaps and spare pages included */
void slab_check(const struct slab *slab);        /* every invariant; for tests */
