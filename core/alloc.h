/* Alloc: the only caller of the allocator. One heap per thread, every byte counted against an owner class.
 *
 * A heap wraps a mimalloc heap. Blocks are allocated by the thread that owns the heap. A block that travelled in a
 * message may be freed by the thread that received it, through that thread's own heap: mimalloc hands the memory
 * back to its owner, and the counters are signed and only meaningful as a sum over all heaps.
 *
 * Sizes     the caller knows the size of what it frees and passes it, so nothing is looked up. What is counted is
 *           what the allocator really sets aside (heap_block_size(size)), not what was asked for.
 * Failure   heap_alloc and heap_resize stop the process when memory is gone (small, bounded sizes). A size that a
 *           client chose goes through heap_try_alloc / heap_try_resize, which answer NULL and change nothing.
 * Threads   one owner per heap; heap_used may be read from any thread (relaxed: a moment old). */
#pragma once
#include "core/defs.h"

/* Who holds a byte. The ledger (INFO memory) is a sum over heaps per class. */
enum mem_class {
    MEM_DATA,       /* keys and values */
    MEM_INDEX,      /* hash tables */
    MEM_CLIENT_IN,  /* unparsed input, connection state */
    MEM_CLIENT_OUT, /* replies not yet sent */
    MEM_MESSAGE,    /* messages between threads */
    MEM_JOURNAL,    /* what the disk does not have yet */
    MEM_PUBSUB,     /* channels, patterns and who subscribes to them */
    MEM_STATS,      /* slow log, histograms, tables that describe the server itself */
    MEM_CLASSES
};
const char *mem_class_name(enum mem_class owner);

struct heap;

/* Larger blocks are mappings of their own: they are resized without being copied, and when they are freed nothing of
 * them stays resident. */
#define HEAP_MAP_OVER ((size_t)4 << 20)

/* --- owner thread --- */
struct heap *heap_new(void); /* for the calling thread; NULL when out of memory */
/* Frees every block that is left, too, wherever it is (so messages have to be back by then); mapped pages and
 * blocks over HEAP_MAP_OVER are not included. In sanitizer builds blocks that are left are
 * reported as leaks instead. */
void heap_delete(struct heap *heap);

NODISCARD void *heap_alloc(struct heap *heap, enum mem_class owner, size_t size);
NODISCARD void *heap_alloc_zero(struct heap *heap, enum mem_class owner, size_t size);
NODISCARD void *heap_alloc_aligned(struct heap *heap, enum mem_class owner, size_t size, size_t align);
NODISCARD void *heap_resize(struct heap *heap, enum mem_class owner, void *block, size_t old_size, size_t new_size);
NODISCARD void *heap_try_alloc(struct heap *heap, enum mem_class owner, size_t size);
/* The memory of such a block is zero when it comes, and so is what one of any size grows by to become it, behind the
 * heap_block_size of what it was: nobody need touch it. */
NODISCARD bool heap_comes_zeroed(size_t size);
NODISCARD void *heap_try_resize(struct heap *heap, enum mem_class owner, void *block, size_t old_size, size_t new_size);
void heap_free(struct heap *heap, enum mem_class owner, void *block, size_t size); /* NULL is fine */
size_t heap_block_size(size_t size); /* what a block of that size really takes */

/* Whole pages straight from the kernel, zeroed, for slabs: size and align are multiples of 4096. Counted against
 * owner as they are mapped. NULL when refused. */
NODISCARD void *heap_map(struct heap *heap, enum mem_class owner, size_t size, size_t align);
void heap_unmap(struct heap *heap, enum mem_class owner, void *pages, size_t size);

/* Corrects the count by hand, for an owner of mapped pages that knows which of them are resident (slab). */
void heap_count(struct heap *heap, enum mem_class owner, int64_t bytes);

/* Gives the whole pages inside block[from, from + size) back to the kernel; their content is lost, the block stays
 * allocated. For freeing a large block in pieces. */
void heap_discard(void *block, size_t from, size_t size);

/* Gives back what the allocator holds but does not use (MEMORY PURGE). O(pages). */
void heap_purge(struct heap *heap);

/* The memory behind the heap's blocks in contiguous areas, touched or not, for whoever asks the kernel where it is
 * (net/placement.h), until visit says false; without mapped pages, and blocks that are mappings. An area has 64 KiB or
 * more. Sanitizer builds have none to show. */
typedef bool (*heap_area_visit)(void *ctx, const void *start, size_t bytes);
void heap_each_area(struct heap *heap, heap_area_visit visit, void *ctx);

/* --- any thread --- */
/* Pages that a heap has freed go back to the kernel at once, or a moment later, when something near them is freed or
 * used: that is five times cheaper for who overwrites values of 200 KB, and leaves much resident after a wave of
 * deletes. All heaps of the process; later to begin with. */
void heap_return_at_once(bool on);
#define ALLOC_NAME_MAX 32
const char *alloc_name(char out[ALLOC_NAME_MAX]); /* the allocator behind the heaps: "mimalloc-2.0.9"; returns out */
int64_t heap_used(const struct heap *heap, enum mem_class owner); /* bytes; negative after cross-thread frees */
/* The sum over all classes, at a place that lasts as long as the heap, for whoever compares it very often (relaxed). */
const _Atomic int64_t *heap_total(const struct heap *heap);

/* --- before the threads start and after they ended ---
 * Memory that no thread owns (mailboxes, tables that are constant afterwards); zeroed, aligned to a cache line.
 * NULL when out of memory. Not part of any heap's count. */
NODISCARD void *shared_alloc(size_t size);
void shared_free(void *block);
