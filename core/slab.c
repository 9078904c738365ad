/* Slab: pages of one block size, cut from chunks.
 *
 *    chunk, 2 MiB aligned: | struct chunk with 127 struct page | page 1 | page 2 | ... | page 127 |
 *                            8 KiB of the first page are used
 *
 * The descriptions of all pages of a chunk lie together and not each in its page: freeing a random block then touches a
 * dense table (5 KiB per chunk, a TLB entry or two) and not one more cold frame. Headers at the start of every page
 * would also fall into a handful of cache sets, since their addresses agree in 14 bits.
 *
 * A page is in one of four states:
 *
 *     current   the one page its size allocates from; in no list
 *     partial   in one of its size's four lists, by how full it is (quarters)
 *     full      in no list; found again when one of its blocks is freed
 *     free      belongs to its chunk: a bit in chunk->free_pages, and in chunk->dirty_pages too while the kernel
 *               still has memory behind it
 *
 * When the current page is full the fullest partial page takes its place, and when all are full a free page of the
 * fullest chunk. Filling what is nearly full lets the nearly empty ones empty: that is what returns memory after a
 * wave of deletes, without moving anything.
 *
 * Within a page, blocks are handed out from the free list first and then in address order from the part that was
 * never used, so a page of large blocks that holds one of them has touched one 4 KiB frame and not four.
 *
 * Empty pages go back to the kernel later, in batches, once more than SLAB_SPARE_PAGES of them are dirty; an empty
 * chunk is unmapped unless it is the only empty one. To give each page back when it empties would be dear, and all at
 * once when a large table is freed: its entries lie at random places, so that almost every page empties within the last
 * hundredth of it, and a call that takes a piece out of a huge page while other threads run costs 10 to 50 us. Those
 * that wait are often reused, or go with their whole chunk. The heap's count follows exactly: a page counts from its
 * first use until it is given back.
 *
 * Free blocks are poisoned under address sanitizer, so the tests see a use after free inside a page as well. */
#include "core/slab.h"
#include "core/assert.h"
#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_SIZE    SLAB_PAGE
#define CHUNK_SIZE   (2 * 1024 * 1024u)
#define CHUNK_PAGES  (CHUNK_SIZE / PAGE_SIZE) /* page 0 is the chunk's own */
#define USABLE_PAGES (CHUNK_PAGES - 1)
#define FINE         (SLAB_ALIGNED_MAX / 8)               /* classes of multiples of 8 */
#define COARSE_FIRST (PAGE_SIZE / (SLAB_ALIGNED_MAX + 8)) /* blocks per page of the first class of the others */
#define CLASSES      (FINE + COARSE_FIRST - PAGE_SIZE / SLAB_MAX + 1)
#define FULLNESS     4u /* lists of partial pages per size */
/* Chunks beyond these ask for a huge page when it is for small blocks that they are made: about a tenth of the CPU of a
 * GET or SET that misses the cache (TLB misses cost most in a virtual machine). The first ones do without, so that 64
 * nearly empty shards do not hold 128 MiB. A huge page is resident as a whole when first touched, so up to 2 MiB per
 * slab may be resident before they are counted. Each byte of it costs up to four times as much to touch first, which is
 * little for a small block and would be the most that it costs to fill a cache with large ones. */
#define SMALL_CHUNKS 4u
#define CHUNK_LISTS  9u /* lists of chunks with free pages: the empty ones, then by how many are in use */
#define PURGE_BATCH  16u
#define CHUNK_META   (8 * 1024u) /* what struct chunk touches of the first page */
#define NO_BIN       0xFFu

#if defined(__SANITIZE_ADDRESS__)
#define POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONING 1
#endif
#endif
#ifdef POISONING
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region(p, n)
#define UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

struct page {
    struct page *next, *prev; /* in a list of partial pages */
    void *free;               /* blocks that came back, linked through their first word */
    uint16_t block_size;      /* 0: the page is free */
    uint16_t used;            /* blocks handed out */
    uint16_t fresh_at;        /* offset of the first block that was never handed out */
    uint16_t capacity;
    uint16_t bin_floor; /* below this many used blocks the page belongs into the next lower list */
    uint8_t bin;        /* which list; NO_BIN when in none */
};

struct chunk {
    struct chunk *next, *prev;             /* in a list of chunks with free pages */
    struct chunk *dirty_next, *dirty_prev; /* in the queue of chunks with dirty free pages */
    struct chunk *all_next, *all_prev;
    uint64_t free_pages[2];  /* one bit per page */
    uint64_t dirty_pages[2]; /* free, but resident */
    uint32_t used_pages;
    uint8_t list; /* which list; NO_BIN when no page is free */
    bool in_dirty;
    struct page pages[CHUNK_PAGES]; /* [0] is not used */
};
static_assert(CHUNK_PAGES == 128, "two words of bits");
static_assert(sizeof(struct chunk) <= CHUNK_META, "counted as this much");

struct size_class {
    struct page *current;
    uint64_t used, pages; /* blocks handed out; pages they are in */
    struct page *partial[FULLNESS];
};

struct slab {
    struct heap *heap;
    enum mem_class owner;
    struct size_class classes[CLASSES];
    struct chunk *with_free[CHUNK_LISTS]; /* higher lists are fuller */
    struct chunk *all;
    struct chunk *dirty_first, *dirty_last; /* purged from the front, the longest free */
    uint32_t chunks;                        /* in `all` */
    uint32_t empty_chunks;                  /* purging keeps one at most */
    uint32_t dirty_pages;
    uint64_t moves;
    size_t used_bytes;
    size_t room_bytes; /* blocks of the pages in use, handed out or not */
    size_t held_bytes; /* pages in use, dirty pages and the chunks' own pages */
};

HOT_INLINE struct chunk *chunk_of(const void *within) {
    return (struct chunk *)((uintptr_t)within & ~(uintptr_t)(CHUNK_SIZE - 1));
}
HOT_INLINE struct page *page_of(const void *block) {
    return &chunk_of(block)->pages[(uintptr_t)block % CHUNK_SIZE / PAGE_SIZE];
}
static unsigned page_index(const struct page *page) {
    return (unsigned)(page - chunk_of(page)->pages);
}
HOT_INLINE char *page_blocks(const struct page *page) {
    struct chunk *chunk = chunk_of(page);
    return (char *)chunk + (size_t)(page - chunk->pages) * PAGE_SIZE;
}

/* Above FINE a class is known by how many of its blocks a page has: block sizes differ by more than the 7 bytes that
 * rounding takes off them, so dividing gives the number back. */
HOT_INLINE unsigned class_index(size_t block_size) {
    if (LIKELY(block_size <= SLAB_ALIGNED_MAX)) return (unsigned)block_size / 8 - 1;
    return FINE + COARSE_FIRST - PAGE_SIZE / (uint32_t)block_size;
}
static_assert(PAGE_SIZE / COARSE_FIRST - PAGE_SIZE / (COARSE_FIRST + 1) > 7, "see above");
HOT_INLINE struct size_class *class_of(struct slab *slab, size_t block_size) {
    return &slab->classes[class_index(block_size)];
}

/* --- bits of a chunk's pages --- */

static bool bit_get(const uint64_t bits[2], unsigned i) {
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}
static void bit_set(uint64_t bits[2], unsigned i) {
    bits[i / 64] |= 1ull << (i % 64);
}
static void bit_clear(uint64_t bits[2], unsigned i) {
    bits[i / 64] &= ~(1ull << (i % 64));
}
static bool bits_any(const uint64_t bits[2]) {
    return (bits[0] | bits[1]) != 0;
}
static unsigned bits_first(const uint64_t bits[2]) {
    ASSERT(bits_any(bits));
    return bits[0] != 0 ? (unsigned)__builtin_ctzll(bits[0]) : 64 + (unsigned)__builtin_ctzll(bits[1]);
}

/* --- lists --- */

/* A chunk is listed by the eighth it is used to, an empty one in a list of its own, one without free pages in none. */
static uint8_t chunk_list_of(const struct chunk *chunk) {
    if (chunk->used_pages == USABLE_PAGES) return NO_BIN;
    return chunk->used_pages ? (uint8_t)(1 + chunk->used_pages * (CHUNK_LISTS - 1) / CHUNK_PAGES) : 0;
}

static void chunk_relist(struct slab *slab, struct chunk *chunk) {
    uint8_t list = chunk_list_of(chunk);
    if (list == chunk->list) return;
    if (chunk->list != NO_BIN) {
        if (chunk->prev != NULL)
            chunk->prev->next = chunk->next;
        else
            slab->with_free[chunk->list] = chunk->next;
        if (chunk->next != NULL) chunk->next->prev = chunk->prev;
    }
    chunk->list = list;
    if (list == NO_BIN) return;
    chunk->prev = NULL;
    chunk->next = slab->with_free[list];
    if (chunk->next != NULL) chunk->next->prev = chunk;
    slab->with_free[list] = chunk;
}

static void dirty_queue_remove(struct slab *slab, struct chunk *chunk) {
    if (!chunk->in_dirty) return;
    chunk->in_dirty = false;
    if (chunk->dirty_prev != NULL)
        chunk->dirty_prev->dirty_next = chunk->dirty_next;
    else
        slab->dirty_first = chunk->dirty_next;
    if (chunk->dirty_next != NULL)
        chunk->dirty_next->dirty_prev = chunk->dirty_prev;
    else
        slab->dirty_last = chunk->dirty_prev;
}

static void dirty_queue_append(struct slab *slab, struct chunk *chunk) {
    if (chunk->in_dirty) return;
    chunk->in_dirty = true;
    chunk->dirty_next = NULL;
    chunk->dirty_prev = slab->dirty_last;
    if (slab->dirty_last != NULL)
        slab->dirty_last->dirty_next = chunk;
    else
        slab->dirty_first = chunk;
    slab->dirty_last = chunk;
}

static void partial_remove(struct size_class *class, struct page *page) {
    if (page->prev != NULL)
        page->prev->next = page->next;
    else
        class->partial[page->bin] = page->next;
    if (page->next != NULL) page->next->prev = page->prev;
    page->bin = NO_BIN;
}

/* The list for a page that is used as much as it is now; the floor is where it has to move down. */
static void partial_insert(struct size_class *class, struct page *page) {
    uint32_t bin = page->used * FULLNESS / page->capacity;
    ASSERT_SLOW(bin < FULLNESS);
    page->bin = (uint8_t)bin;
    page->bin_floor = (uint16_t)((bin * page->capacity + FULLNESS - 1) / FULLNESS);
    page->prev = NULL;
    page->next = class->partial[bin];
    if (page->next != NULL) page->next->prev = page;
    class->partial[bin] = page;
}

/* --- chunks --- */

static void count_held(struct slab *slab, int64_t bytes) {
    slab->held_bytes += (size_t)bytes;
    heap_count(slab->heap, slab->owner, bytes);
}

COLD static struct chunk *chunk_new(struct slab *slab, size_t block_size) {
    struct chunk *chunk = heap_map(slab->heap, slab->owner, CHUNK_SIZE, CHUNK_SIZE);
    if (chunk == NULL) panic(__FILE__, __LINE__, "out of memory");
    heap_count(slab->heap, slab->owner, -(int64_t)CHUNK_SIZE); /* pages count when they are used */
    count_held(slab, CHUNK_META);
    if (slab->chunks++ >= SMALL_CHUNKS && block_size <= SLAB_ALIGNED_MAX) madvise(chunk, CHUNK_SIZE, MADV_HUGEPAGE);
    chunk->free_pages[0] = ~1ull;
    chunk->free_pages[1] = ~0ull;
    chunk->list = NO_BIN;
    chunk_relist(slab, chunk);
    chunk->all_next = slab->all;
    if (slab->all != NULL) slab->all->all_prev = chunk;
    slab->all = chunk;
    slab->empty_chunks++;
    return chunk;
}

/* Forgets a chunk and unmaps it; its pages stop counting. */
static void chunk_free(struct slab *slab, struct chunk *chunk) {
    dirty_queue_remove(slab, chunk);
    slab->empty_chunks -= chunk->used_pages == 0;
    uint32_t dirty =
        (uint32_t)(__builtin_popcountll(chunk->dirty_pages[0]) + __builtin_popcountll(chunk->dirty_pages[1]));
    slab->dirty_pages -= dirty;
    count_held(slab, -(int64_t)((chunk->used_pages + dirty) * PAGE_SIZE + CHUNK_META));
    chunk->used_pages = USABLE_PAGES;
    chunk_relist(slab, chunk);
    if (chunk->all_prev != NULL)
        chunk->all_prev->all_next = chunk->all_next;
    else
        slab->all = chunk->all_next;
    if (chunk->all_next != NULL) chunk->all_next->all_prev = chunk->all_prev;
    slab->chunks--;
    UNPOISON(chunk, CHUNK_SIZE);
    heap_count(slab->heap, slab->owner, CHUNK_SIZE); /* heap_unmap takes it off again */
    heap_unmap(slab->heap, slab->owner, chunk, CHUNK_SIZE);
}

/* Gives the memory of up to PURGE_BATCH dirty pages of one chunk back, neighbours in one call. */
static void purge_pages(struct slab *slab) {
    struct chunk *chunk = slab->dirty_first;
    unsigned purged = 0;
    while (purged < PURGE_BATCH && bits_any(chunk->dirty_pages)) {
        unsigned first = bits_first(chunk->dirty_pages), end = first;
        unsigned limit = MIN(first + PURGE_BATCH - purged, CHUNK_PAGES);
        for (; end < limit && bit_get(chunk->dirty_pages, end); end++) bit_clear(chunk->dirty_pages, end);
        madvise(page_blocks(&chunk->pages[first]), (size_t)(end - first) * PAGE_SIZE, MADV_DONTNEED);
        purged += end - first;
    }
    slab->dirty_pages -= purged;
    count_held(slab, -(int64_t)(purged * PAGE_SIZE));
    if (!bits_any(chunk->dirty_pages)) dirty_queue_remove(slab, chunk);
}

static bool wants_purge(const struct slab *slab) {
    return slab->empty_chunks > 1 || slab->dirty_pages > SLAB_SPARE_PAGES;
}

bool slab_purge_some(struct slab *slab) {
    if (LIKELY(!wants_purge(slab))) return false;
    if (slab->empty_chunks > 1)
        chunk_free(slab, slab->with_free[0]);
    else
        purge_pages(slab);
    return wants_purge(slab);
}

/* --- pages --- */

/* A free page of the fullest chunk that has one, a resident one if possible. */
static struct page *page_take(struct slab *slab, size_t block_size) {
    struct chunk *chunk = NULL;
    for (unsigned list = CHUNK_LISTS; list-- > 0 && chunk == NULL;) chunk = slab->with_free[list];
    if (chunk == NULL) chunk = chunk_new(slab, block_size);
    if (chunk->used_pages == 0) slab->empty_chunks--;

    bool dirty = bits_any(chunk->dirty_pages);
    unsigned index = bits_first(dirty ? chunk->dirty_pages : chunk->free_pages);
    bit_clear(chunk->free_pages, index);
    if (dirty) {
        bit_clear(chunk->dirty_pages, index);
        slab->dirty_pages--;
        if (!bits_any(chunk->dirty_pages)) dirty_queue_remove(slab, chunk);
    } else {
        count_held(slab, PAGE_SIZE);
    }
    chunk->used_pages++;
    chunk_relist(slab, chunk);

    struct page *page = &chunk->pages[index];
    POISON(page_blocks(page), PAGE_SIZE);
    *page = (struct page){
        .block_size = (uint16_t)block_size,
        .capacity = (uint16_t)(PAGE_SIZE / block_size),
        .bin = NO_BIN,
    };
    return page;
}

/* The page is empty and in no list. */
static void page_give_back(struct slab *slab, struct page *page) {
    struct chunk *chunk = chunk_of(page);
    unsigned index = page_index(page);
    page->block_size = 0;
    bit_set(chunk->free_pages, index);
    bit_set(chunk->dirty_pages, index);
    dirty_queue_append(slab, chunk);
    slab->dirty_pages++;
    chunk->used_pages--;
    chunk_relist(slab, chunk);
    slab->empty_chunks += chunk->used_pages == 0;
}

/* The current page is full: the fullest partial page is next. */
static struct page *next_current(struct slab *slab, struct size_class *class, size_t block_size) {
    struct page *page = NULL;
    for (unsigned bin = FULLNESS; bin-- > 0 && page == NULL;) page = class->partial[bin];
    if (page != NULL) {
        partial_remove(class, page);
    } else {
        page = page_take(slab, block_size);
        class->pages++;
        slab->room_bytes += page->capacity * block_size;
    }
    class->current = page;
    return page;
}

/* --- blocks --- */

HOT_INLINE bool page_has_room(const struct page *page) {
    return page->used < page->capacity;
}

void *slab_alloc(struct slab *slab, size_t size) {
    ASSERT(size - 1 < SLAB_MAX);
    size_t block_size = slab_block_size(size);
    struct size_class *class = class_of(slab, block_size);
    struct page *page = class->current;
    if (UNLIKELY(page == NULL || !page_has_room(page))) page = next_current(slab, class, block_size);
    page->used++;
    class->used++;
    slab->used_bytes += block_size;

    void *block = page->free;
    if (block != NULL) {
        UNPOISON(block, block_size);
        page->free = *(void **)block;
    } else {
        block = page_blocks(page) + page->fresh_at;
        page->fresh_at = (uint16_t)(page->fresh_at + block_size);
        UNPOISON(block, block_size);
    }
    return block;
}

/* A page that is not the current one lost a block and has to change its state. */
static void page_drops(struct slab *slab, struct size_class *class, struct page *page) {
    if (page->bin != NO_BIN) partial_remove(class, page);
    if (page->used == 0) {
        class->pages--;
        slab->room_bytes -= (size_t)page->capacity * page->block_size;
        page_give_back(slab, page);
    } else {
        partial_insert(class, page);
    }
}

void slab_free(struct slab *slab, void *block, size_t size) {
    size_t block_size = slab_block_size(size);
    struct page *page = page_of(block);
    ASSERT(page->block_size == block_size && page->used != 0);
    ASSERT_SLOW((uintptr_t)block % PAGE_SIZE % block_size == 0);
    *(void **)block = page->free;
    page->free = block;
    POISON(block, block_size);
    page->used--;
    slab->used_bytes -= block_size;
    struct size_class *class = class_of(slab, block_size);
    class->used--;

    /* Partial pages act when they leave their quarter or empty; a full one (bin_floor is its capacity) at once. */
    if (page == class->current) return;
    if (page->bin == NO_BIN || page->used < page->bin_floor || page->used == 0) page_drops(slab, class, page);
}

/* Emptying the pages that are no fuller than the mean needs the fewest moves. Among equals, all but the current page
 * may move. A class of which an eighth is free is left alone: the last pages cost the most moves. */
bool slab_is_sparse(const struct slab *slab, const void *block) {
    const struct page *page = page_of(block);
    const struct size_class *class = &slab->classes[class_index(page->block_size)];
    if (page == class->current || class->used * 8 > class->pages * page->capacity * 7) return false;
    return class->pages > 1 && page->used * class->pages <= class->used;
}

void *slab_move(struct slab *slab, void *block, size_t size) {
    void *moved = slab_alloc(slab, size);
    memcpy(moved, block, size);
    slab_free(slab, block, size);
    slab->moves++;
    return moved;
}

uint64_t slab_moves(const struct slab *slab) {
    return slab->moves;
}

/* --- the slab --- */

struct slab *slab_new(struct heap *heap, enum mem_class owner) {
    struct slab *slab = heap_alloc_zero(heap, owner, sizeof *slab);
    slab->heap = heap;
    slab->owner = owner;
    return slab;
}

void slab_delete(struct slab *slab) {
    if (slab == NULL) return;
    while (slab->all != NULL) chunk_free(slab, slab->all);
    ASSERT(slab->held_bytes == 0 && slab->dirty_pages == 0);
    heap_free(slab->heap, slab->owner, slab, sizeof *slab);
}

void slab_each_area(const struct slab *slab, heap_area_visit visit, void *ctx) {
    for (const struct chunk *chunk = slab->all; chunk != NULL; chunk = chunk->all_next)
        if (!visit(ctx, chunk, CHUNK_SIZE)) return;
}

size_t slab_used_bytes(const struct slab *slab) {
    return slab->used_bytes;
}

size_t slab_spare_bytes(const struct slab *slab) {
    return slab->room_bytes - slab->used_bytes;
}

size_t slab_held_bytes(const struct slab *slab) {
    return slab->held_bytes;
}

/* --- checking --- */

/* Reads free blocks, which are poisoned. */
__attribute__((no_sanitize("address"))) static unsigned free_list_length(const struct page *page) {
    unsigned length = 0;
    for (void *block = page->free; block != NULL; block = *(void **)block) {
        ASSERT(page_of(block) == page);
        size_t offset = (uintptr_t)block % PAGE_SIZE;
        ASSERT(offset < page->fresh_at && offset % page->block_size == 0);
        ASSERT(++length <= page->capacity);
    }
    return length;
}

static size_t check_page(const struct slab *slab, const struct page *page) {
    ASSERT(page->block_size != 0 && page->block_size % 8 == 0 && page->used <= page->capacity);
    unsigned touched = page->fresh_at / page->block_size;
    ASSERT(page->used + free_list_length(page) == touched && touched <= page->capacity);
    const struct size_class *class = &slab->classes[class_index(page->block_size)];
    if (page == class->current) {
        ASSERT(page->bin == NO_BIN);
    } else if (page->bin == NO_BIN) {
        ASSERT(page->used == page->capacity);
    } else {
        ASSERT(page->used != 0 && page->used < page->capacity);
        ASSERT(page->bin == page->used * FULLNESS / page->capacity);
        ASSERT(page->prev != NULL ? page->prev->next == page : class->partial[page->bin] == page);
    }
    return (size_t)page->used * page->block_size;
}

static void check_chunk(const struct slab *slab, const struct chunk *chunk, size_t *used_bytes) {
    unsigned used = 0;
    for (unsigned i = 1; i < CHUNK_PAGES; i++) {
        if (bit_get(chunk->free_pages, i)) {
            ASSERT(chunk->pages[i].block_size == 0);
            continue;
        }
        ASSERT(!bit_get(chunk->dirty_pages, i));
        *used_bytes += check_page(slab, &chunk->pages[i]);
        used++;
    }
    ASSERT(used == chunk->used_pages);
    ASSERT(chunk->in_dirty == bits_any(chunk->dirty_pages));
    ASSERT(chunk->list == chunk_list_of(chunk));
}

static void check_counts(const struct slab *slab) {
    size_t room_bytes = 0, used_bytes = 0;
    for (unsigned i = 0; i < CLASSES; i++) {
        size_t size = i < FINE ? (i + 1) * 8 : slab_block_size(PAGE_SIZE / (COARSE_FIRST - (i - FINE)) - 7);
        ASSERT(class_index(size) == i);
        used_bytes += slab->classes[i].used * size;
        room_bytes += slab->classes[i].pages * (PAGE_SIZE / size) * size;
    }
    ASSERT(used_bytes == slab->used_bytes && room_bytes == slab->room_bytes);
}

void slab_check(const struct slab *slab) {
    check_counts(slab);
    size_t used_bytes = 0, held_bytes = 0, dirty = 0;
    unsigned empty = 0;
    for (const struct chunk *chunk = slab->all; chunk != NULL; chunk = chunk->all_next) {
        check_chunk(slab, chunk, &used_bytes);
        held_bytes += CHUNK_META + chunk->used_pages * PAGE_SIZE;
        dirty +=
            (size_t)__builtin_popcountll(chunk->dirty_pages[0]) + (size_t)__builtin_popcountll(chunk->dirty_pages[1]);
        empty += chunk->used_pages == 0;
    }
    ASSERT(used_bytes == slab->used_bytes);
    ASSERT(held_bytes + dirty * PAGE_SIZE == slab->held_bytes);
    ASSERT(dirty == slab->dirty_pages);
    ASSERT(empty == slab->empty_chunks);
}
