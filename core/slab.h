/* Slab: small entries, packed without waste, one slab per shard.
 *
 * Sizes up to SLAB_MAX are rounded up to a multiple of 8 and served from pages of 16 KiB that hold one size only.
 * Pages come from 2 MiB chunks mapped straight from the kernel and go back to it when they have emptied, so accounting is
 * exact and memory that was freed is really free: what the heap counts for the slab is the pages that have been
 * touched and not given back, never the untouched rest of a chunk. A page's description is found from any block in it
 * by masking.
 *
 *    chunk, 2 MiB aligned: | descriptions of its pages | page 1 | page 2 | ... | page 127 |
 *    page, 16 KiB aligned: | block | block | block | ... |
 *
 * Blocks are 8-byte aligned (blocks of 64, 128, ... are 64-byte aligned, as table overflow buckets need it).
 * Why not mimalloc: freeing and allocating 56-byte objects at random among 2M costs about 175 ns and 64.5 B each
 * with mimalloc 2.0.9 and 24 ns and 56 B here (perf/README.md says how it is measured).
 *
 * Thread    the shard's owner only. Cost: O(1), no search, no system call but for a new chunk.
 * Purging   empty pages go back to the kernel in slab_purge_some, which the owner calls as often as it likes (once a turn).
 *           Up to SLAB_SPARE_PAGES empty pages are kept for the next allocation, and one wholly empty chunk stays mapped. */
#pragma once
#include "core/alloc.h"

#define SLAB_MAX         256 /* bytes; larger blocks belong to the heap */
#define SLAB_SPARE_PAGES 64  /* 1 MiB, the most that purging leaves beyond the pages that have blocks in them */

struct slab;

struct slab *slab_new(struct heap *heap, enum mem_class owner);
void slab_delete(struct slab *slab); /* with all blocks in it */

NODISCARD void *slab_alloc(struct slab *slab, size_t size);  /* 1 <= size <= SLAB_MAX; stops when memory is gone */
void slab_free(struct slab *slab, void *block, size_t size); /* the size it was allocated with */

/* Gives some empty pages back to the kernel, 16 or a whole chunk: a few 100 us. True while there are more to give. */
bool slab_purge_some(struct slab *slab);

HOT_INLINE size_t slab_block_size(size_t size) {
    return (size + 7) & ~(size_t)7;
}

/* Would moving this block to a new one help to empty its page? True when the page is less than half full, is not the
 * one its size allocates from, and fuller ones have room. For defragmenting: allocate anew, copy, free. O(1). */
bool slab_is_sparse(const struct slab *slab, const void *block);

size_t slab_used_bytes(const struct slab *slab); /* blocks handed out */
size_t slab_held_bytes(const struct slab *slab); /* resident pages: headers, gaps and spare pages included */
void slab_check(const struct slab *slab);        /* every invariant; for tests */
