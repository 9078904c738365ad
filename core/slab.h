/* Slab: the blocks that values and tables consist of, packed without waste, one slab per shard.
 *
 *    bytes                 where
 *    1 .. 512              in pages of 16 KiB that hold one size only, multiples of 8
 *    .. 4096               the same, cut into 31, 30, ... 4 blocks, so that all of a page is used: 1 KiB and a header
 *                          take 1088 bytes (15 blocks), where an allocator with four sizes per doubling takes 1280
 *    .. 21824              in pages of 128 KiB that are cut into 31, 30, ... 6 blocks
 *    .. 1 MiB              whole frames of 4 KiB of its own (core/spans.h)
 *
 * Pages come from 2 MiB chunks mapped straight from the kernel and go back to it when they have emptied, so accounting
 * is exact and memory that was freed is really free: what the heap counts for the slab is what has been touched and not
 * given back, never the untouched rest of a page or chunk. A page that has not emptied is helped by moving the blocks
 * that are left in it (slab_is_sparse, slab_move). A page's description is found from any block in it by masking.
 *
 *    chunk, 2 MiB aligned: | descriptions of its pages | page 1 | page 2 | ... |
 *    page:                 | block | block | block | ... |
 *
 * Blocks are 8-byte aligned. Those above SLAB_MAX, those whose size is a multiple of 64 up to SLAB_ALIGNED_MAX, and
 * those of slab_alloc_lines are 64-byte aligned, as tables need it.
 * Why not mimalloc: freeing and allocating 56-byte objects at random among 2M costs about 175 ns and 64.5 B each
 * with mimalloc 2.0.9 and 24 ns and 56 B here (perf/README.md says how it is measured); and its pages, once they are
 * sparse, stay resident.
 *
 * Thread    the shard's owner only. Cost: O(1), no search, no system call but for a new chunk; above SLAB_PAGED_MAX see
 *           core/spans.h.
 * Purging   empty pages go back to the kernel in slab_purge_some, which the owner calls as often as it likes (once a
 *           turn). Up to SLAB_SPARE bytes of empty pages of each of the two sizes, and SPANS_SPARE, are kept for the
 *           next allocation, and one wholly empty chunk stays mapped. */
#pragma once
#include "core/spans.h"

#define SLAB_MAX         4096 /* bytes of a small block */
#define SLAB_ALIGNED_MAX 512
#define SLAB_PAGED_MAX   21824u    /* bytes; larger blocks share no page, and so need not be moved */
#define SLAB_LARGE_MAX   SPANS_MAX /* bytes; larger blocks belong to the heap */
#define SLAB_PAGE        (16 * 1024u)
#define SLAB_SPARE       (1024 * 1024u) /* the most that purging leaves beyond the pages that have blocks in them */

struct slab;

struct slab *slab_new(struct heap *heap, enum mem_class owner);
void slab_delete(struct slab *slab); /* with all blocks in it */

/* --- small blocks: 1 <= size <= SLAB_MAX. All allocation stops when memory is gone --- */
NODISCARD void *slab_alloc(struct slab *slab, size_t size);
void slab_free(struct slab *slab, void *block, size_t size); /* the size it was allocated with */
/* What a block of that size takes. */
HOT_INLINE size_t slab_block_size(size_t size) {
    uint32_t rounded = ((uint32_t)size + 7) & ~7u;
    return LIKELY(rounded <= SLAB_ALIGNED_MAX) ? rounded : SLAB_PAGE / (SLAB_PAGE / rounded) & ~7u;
}

/* --- larger ones: SLAB_MAX < size <= SLAB_LARGE_MAX --- */
NODISCARD void *slab_alloc_large(struct slab *slab, size_t size);
void slab_free_large(struct slab *slab, void *block, size_t size);
HOT_INLINE size_t slab_large_block_size(size_t size) {
    if (size > SLAB_PAGED_MAX) return spans_block_size(size);
    uint32_t rounded = ((uint32_t)size + 63) & ~63u;
    return 8 * SLAB_PAGE / (8 * SLAB_PAGE / rounded) & ~63u;
}

/* --- cache lines: multiples of 64 up to SLAB_LARGE_MAX, aligned to 64 --- */
NODISCARD void *slab_alloc_lines(struct slab *slab, size_t size);
void slab_free_lines(struct slab *slab, void *block, size_t size);
HOT_INLINE size_t slab_lines_size(size_t size) {
    return size > SLAB_MAX ? slab_large_block_size(size) : size;
}

/* Much is to be allocated soon, and nobody waits for the single block: new chunks become resident at once, as huge
 * pages where that is quick, for larger blocks too. Up to 2 MiB of them are not counted yet. Until it is taken back. */
void slab_expect_much(struct slab *slab, bool much);

/* Memory is short: what becomes resident is to be what is used, so new chunks are no huge pages. Until it is taken
 * back. */
void slab_spare_huge(struct slab *slab, bool spare);

/* So many bytes of its blocks count for another owner from now on; negative: again for the slab's. For tables. */
void slab_count_as(struct slab *slab, enum mem_class owner, int64_t bytes);

/* Gives some empty pages back to the kernel, 256 KiB, a chunk or a run of frames of each kind: a few 100 us. True while
 * there are more to give. */
bool slab_purge_some(struct slab *slab);
/* The same, and nothing is kept for the next allocation: for an owner that has time. */
bool slab_purge_rest(struct slab *slab);
/* A huge page is resident before it is used, up to 2 MiB of it that do not count: what is not used yet goes back. For
 * an owner that needs no more for a while. Some us, and more when there is something to give. */
void slab_purge_unused(struct slab *slab);
/* Pages that have no block any more, but are kept for the next one of their size, become free. O(sizes), some us. */
void slab_trim(struct slab *slab);

/* --- moving: blocks of up to SLAB_PAGED_MAX bytes, however they were allocated --- */
/* Would moving this block to a new one help to empty its page? True when more than a sixteenth of the blocks of its
 * size are free, and its page is not fuller than the mean of them and not the one they are allocated from. For
 * defragmenting: allocate anew, copy, free. O(1). */
bool slab_is_sparse(const struct slab *slab, const void *block);
void *slab_move(struct slab *slab, void *block, size_t size); /* does that; returns where the block is now. O(bytes) */
uint64_t slab_moves(const struct slab *slab);                 /* so far */
uint64_t slab_moved_bytes(const struct slab *slab);
size_t slab_spare_bytes(const struct slab *slab); /* pages that moving would empty, touched or not. O(sizes), some us */
size_t slab_paged_bytes(const struct slab *slab); /* blocks handed out of pages: what may have to be moved */

/* Its chunks, the newest of each kind first, as heap_each_area. */
void slab_each_area(const struct slab *slab, heap_area_visit visit, void *ctx);
size_t slab_used_bytes(const struct slab *slab); /* blocks handed out */
size_t slab_held_bytes(const struct slab *slab); /* resident pages: headers, gaps and spare pages included */
void slab_check(const struct slab *slab);        /* every invariant; for tests */
