/* Alloc: a mimalloc heap with one counter per owner class.
 *
 * The counters have one writer, the heap's thread, so an update is a plain load, add and store: relaxed atomics cost
 * nothing here and let INFO read them from another thread without a data race.
 *
 * Large      blocks of more than HEAP_MAP_OVER are mappings of their own, which their size alone tells. Such a block
 *            grows without being copied, and all of its memory goes back when it is freed. mimalloc keeps pages for a
 *            moment and whole segments for half a second: a few buffers that grow to 32 MiB left as much again resident
 *            behind them.
 * Exactness  a block is counted as heap_block_size(size), the size class mimalloc puts it in, so that the sum over
 *            classes follows the resident set and not the requests. For the same reason a resize moves as soon as the
 *            size class changes: mi_realloc would leave a shrunk block in a place up to twice its size.
 * Sanitizers with address or thread sanitizer the C library's malloc is used, because those tools understand only
 *            their own. There is no heap to destroy then: heap_delete frees the heap itself, and blocks that are
 *            left show up as leaks, which is what one wants to be told in a test. */
#include "core/alloc.h"
#include "core/assert.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#include <mimalloc.h>
#endif

/* The leak checker does not look for pointers in mapped pages unless it is told to. */
#if defined(__SANITIZE_ADDRESS__)
#define LEAK_ROOTS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAK_ROOTS 1
#endif
#endif
#ifdef LEAK_ROOTS
#include <sanitizer/lsan_interface.h>
#endif

#define DECOMMIT_DELAY_MS 25 /* mimalloc's default */

#define MAP_PAGE 4096u

/* Above this a request is refused before the allocator sees it: no machine has it, and sizes near 2^64 would wrap. */
#define SIZE_LIMIT ((size_t)1 << 46)

struct heap {
    _Atomic int64_t used[MEM_CLASSES]; /* written by the owner only */
    _Atomic int64_t total;             /* their sum */
#if !SANITIZED
    mi_heap_t *blocks;
#endif
};

const char *mem_class_name(enum mem_class owner) {
    static const char *const names[MEM_CLASSES] = {
        [MEM_DATA] = "data",           [MEM_INDEX] = "index",
        [MEM_CLIENT_IN] = "client_in", [MEM_CLIENT_OUT] = "client_out",
        [MEM_MESSAGE] = "message",     [MEM_JOURNAL] = "journal",
        [MEM_PUBSUB] = "pubsub",       [MEM_STATS] = "stats",
    };
    ASSERT((unsigned)owner < MEM_CLASSES);
    return names[owner];
}

/* --- the two allocators behind one face --- */

#if SANITIZED
static void *raw_alloc(struct heap *heap, size_t size) {
    (void)heap;
    return malloc(size != 0 ? size : 1);
}
static void *raw_alloc_zero(struct heap *heap, size_t size) {
    (void)heap;
    return calloc(1, size != 0 ? size : 1);
}
static void *raw_alloc_aligned(struct heap *heap, size_t size, size_t align) {
    (void)heap;
    void *block = NULL;
    return posix_memalign(&block, MAX(align, sizeof(void *)), size) == 0 ? block : NULL;
}
static void raw_free(void *block, size_t size) {
    (void)size;
    free(block);
}
static bool is_remapped(size_t old_size, size_t new_size) {
    (void)old_size;
    (void)new_size;
    return false;
}
static void *raw_remap(void *block, size_t old_size, size_t new_size) {
    (void)old_size;
    (void)new_size;
    return block;
}
size_t heap_block_size(size_t size) {
    return size;
}
bool heap_comes_zeroed(size_t size) {
    (void)size;
    return false;
}
const char *alloc_name(char out[ALLOC_NAME_MAX]) {
    snprintf(out, ALLOC_NAME_MAX, "libc");
    return out;
}
#else
HOT_INLINE bool is_mapped(size_t size) {
    return UNLIKELY(size > HEAP_MAP_OVER);
}
size_t heap_block_size(size_t size) {
    return is_mapped(size) ? (size + MAP_PAGE - 1) & ~(size_t)(MAP_PAGE - 1) : mi_good_size(size);
}
bool heap_comes_zeroed(size_t size) {
    return is_mapped(size);
}
COLD static void *map_block(size_t size) {
    void *block = mmap(NULL, heap_block_size(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block != MAP_FAILED ? block : NULL;
}
/* The process may have only so many mappings (vm.max_map_count), and to free the middle of one makes two. Then its
 * memory goes back and the addresses stay. */
COLD static void unmap_block(void *block, size_t size) {
    if (munmap(block, heap_block_size(size)) != 0) madvise(block, heap_block_size(size), MADV_DONTNEED);
}
static bool is_remapped(size_t old_size, size_t new_size) {
    return is_mapped(old_size) && is_mapped(new_size);
}
COLD static void *raw_remap(void *block, size_t old_size, size_t new_size) {
    void *moved = mremap(block, heap_block_size(old_size), heap_block_size(new_size), MREMAP_MAYMOVE);
    return moved != MAP_FAILED ? moved : NULL;
}
static void *raw_alloc(struct heap *heap, size_t size) {
    return is_mapped(size) ? map_block(size) : mi_heap_malloc(heap->blocks, size);
}
static void *raw_alloc_zero(struct heap *heap, size_t size) {
    return is_mapped(size) ? map_block(size) : mi_heap_zalloc(heap->blocks, size);
}
/* mi_heap_malloc_aligned asks for size + align - 1 bytes, which for a power of two means the next size class, a
 * quarter more. But most size classes are aligned by nature (all multiples of 64 are to 64), so try the plain call
 * first. The 8 bytes more: 2.0.9 answers size == align == 256 (512, 1024) with a misaligned block, because it trusts
 * the size class; a size that is no multiple of align takes its careful path. */
static void *raw_alloc_aligned(struct heap *heap, size_t size, size_t align) {
    ASSERT(align <= MAP_PAGE);
    if (is_mapped(size)) return map_block(size);
    void *block = mi_heap_malloc(heap->blocks, size);
    if (LIKELY(((uintptr_t)block & (align - 1)) == 0)) return block;
    mi_free(block);
    block = mi_heap_malloc_aligned(heap->blocks, size + 8, align);
    ASSERT(((uintptr_t)block & (align - 1)) == 0);
    return block;
}
static void raw_free(void *block, size_t size) {
    if (is_mapped(size))
        unmap_block(block, size);
    else
        mi_free(block);
}
/* Asked of the library that runs, which need not be the one we compiled with. 209 is 2.0.9. */
const char *alloc_name(char out[ALLOC_NAME_MAX]) {
    int version = mi_version();
    snprintf(out, ALLOC_NAME_MAX, "mimalloc-%d.%d.%d", version / 100, version / 10 % 10, version % 10);
    return out;
}
#endif

/* Relaxed: one writer; readers want a recent figure and nothing else that was written with it. */
HOT_INLINE void add(_Atomic int64_t *counter, int64_t bytes) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + bytes, memory_order_relaxed);
}

HOT_INLINE void count(struct heap *heap, enum mem_class owner, int64_t bytes) {
    add(&heap->used[owner], bytes);
    add(&heap->total, bytes);
}

COLD NORETURN static void out_of_memory(void) {
    panic(__FILE__, __LINE__, "out of memory");
}

HOT_INLINE void *counted(struct heap *heap, enum mem_class owner, void *block, size_t size) {
    if (LIKELY(block != NULL)) count(heap, owner, (int64_t)heap_block_size(size));
    return block;
}

HOT_INLINE void *or_stop(void *block) {
    if (UNLIKELY(block == NULL)) out_of_memory();
    return block;
}

/* --- heaps --- */

#if SANITIZED
struct heap *heap_new(void) {
    return calloc(1, sizeof(struct heap));
}
void heap_delete(struct heap *heap) {
    free(heap);
}
void heap_purge(struct heap *heap) {
    (void)heap;
}
void heap_each_area(struct heap *heap, heap_area_visit visit, void *ctx) {
    (void)heap, (void)visit, (void)ctx;
}
void heap_return_at_once(bool on) {
    (void)on;
}
#else
/* The heap's own description is its first block, and goes with it. */
struct heap *heap_new(void) {
    mi_heap_t *blocks = mi_heap_new();
    if (blocks == NULL) return NULL;
    struct heap *heap = mi_heap_zalloc_aligned(blocks, sizeof *heap, CACHE_LINE);
    if (heap == NULL) {
        mi_heap_destroy(blocks);
        return NULL;
    }
    heap->blocks = blocks;
    return heap;
}
void heap_delete(struct heap *heap) {
    if (heap != NULL) mi_heap_destroy(heap->blocks);
}
void heap_purge(struct heap *heap) {
    mi_heap_collect(heap->blocks, true);
}
void heap_return_at_once(bool on) {
    mi_option_set(mi_option_decommit_delay, on ? 0 : DECOMMIT_DELAY_MS);
}

struct area_visit {
    heap_area_visit visit;
    void *ctx;
};

static bool visit_area(const mi_heap_t *blocks, const mi_heap_area_t *area, void *block, size_t size, void *arg) {
    const struct area_visit *to = arg;
    (void)blocks, (void)block, (void)size;
    return to->visit(to->ctx, area->blocks, area->committed);
}

void heap_each_area(struct heap *heap, heap_area_visit visit, void *ctx) {
    struct area_visit to = {visit, ctx};
    mi_heap_visit_blocks(heap->blocks, false, visit_area, &to);
}
#endif

int64_t heap_used(const struct heap *heap, enum mem_class owner) {
    return atomic_load_explicit(&heap->used[owner], memory_order_relaxed); /* see count */
}

const _Atomic int64_t *heap_total(const struct heap *heap) {
    return &heap->total;
}

void heap_count(struct heap *heap, enum mem_class owner, int64_t bytes) {
    count(heap, owner, bytes);
}

/* --- blocks --- */

void *heap_try_alloc(struct heap *heap, enum mem_class owner, size_t size) {
    if (UNLIKELY(size > SIZE_LIMIT)) return NULL;
    return counted(heap, owner, raw_alloc(heap, size), size);
}

void *heap_alloc(struct heap *heap, enum mem_class owner, size_t size) {
    return or_stop(heap_try_alloc(heap, owner, size));
}

void *heap_alloc_zero(struct heap *heap, enum mem_class owner, size_t size) {
    ASSERT(size <= SIZE_LIMIT);
    return or_stop(counted(heap, owner, raw_alloc_zero(heap, size), size));
}

void *heap_alloc_aligned(struct heap *heap, enum mem_class owner, size_t size, size_t align) {
    ASSERT(size <= SIZE_LIMIT && align != 0 && (align & (align - 1)) == 0);
    return or_stop(counted(heap, owner, raw_alloc_aligned(heap, size, align), size));
}

void heap_free(struct heap *heap, enum mem_class owner, void *block, size_t size) {
    if (block == NULL) return;
    raw_free(block, size);
    count(heap, owner, -(int64_t)heap_block_size(size));
}

void *heap_try_resize(struct heap *heap, enum mem_class owner, void *block, size_t old_size, size_t new_size) {
    if (block == NULL) return heap_try_alloc(heap, owner, new_size);
    if (UNLIKELY(new_size > SIZE_LIMIT)) return NULL;
    if (heap_block_size(old_size) == heap_block_size(new_size)) return block;
    if (is_remapped(old_size, new_size)) {
        void *grown = raw_remap(block, old_size, new_size);
        if (grown) count(heap, owner, (int64_t)heap_block_size(new_size) - (int64_t)heap_block_size(old_size));
        return grown;
    }
    void *moved = heap_try_alloc(heap, owner, new_size);
    if (moved == NULL) return NULL;
    memcpy(moved, block, MIN(old_size, new_size));
    heap_free(heap, owner, block, old_size);
    return moved;
}

void *heap_resize(struct heap *heap, enum mem_class owner, void *block, size_t old_size, size_t new_size) {
    return or_stop(heap_try_resize(heap, owner, block, old_size, new_size));
}

/* --- pages --- */

/* mmap aligns to 4 KiB only: ask for align more and give the ends back. */
void *heap_map(struct heap *heap, enum mem_class owner, size_t size, size_t align) {
    ASSERT(size != 0 && size % 4096 == 0 && size <= SIZE_LIMIT);
    ASSERT(align >= 4096 && align <= SIZE_LIMIT && (align & (align - 1)) == 0);
    size_t whole = size + align - 4096;
    char *start = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    char *pages = (char *)(((uintptr_t)start + align - 1) & ~(uintptr_t)(align - 1));
    size_t before = (size_t)(pages - start), after = whole - size - before;
    if (before != 0) munmap(start, before);
    if (after != 0) munmap(pages + size, after);
#ifdef LEAK_ROOTS
    __lsan_register_root_region(pages, size);
#endif
    count(heap, owner, (int64_t)size);
    return pages;
}

void heap_unmap(struct heap *heap, enum mem_class owner, void *pages, size_t size) {
#ifdef LEAK_ROOTS
    __lsan_unregister_root_region(pages, size);
#endif
    /* Splitting a mapping fails when the process has vm.max_map_count of them; then only the memory goes back. */
    if (munmap(pages, size) != 0) madvise(pages, size, MADV_DONTNEED);
    count(heap, owner, -(int64_t)size);
}

void heap_discard(void *block, size_t from, size_t size) {
    uintptr_t start = ((uintptr_t)block + from + 4095) & ~(uintptr_t)4095;
    uintptr_t end = ((uintptr_t)block + from + size) & ~(uintptr_t)4095;
    if (start < end) madvise((void *)start, end - start, MADV_DONTNEED);
}

void *shared_alloc(size_t size) {
    size_t whole = (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    void *block = aligned_alloc(CACHE_LINE, whole);
    if (block) memset(block, 0, whole);
    return block;
}

void shared_free(void *block) {
    free(block);
}
