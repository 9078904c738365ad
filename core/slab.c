/* Slab: blocks, and which page they come from. Pages and chunks are in slab_page.c, checks in slab_check.c.
 *
 * A page is in one of four states:
 *
 *     current   the one page its class allocates from; in no list
 *     partial   in one of its class's four lists, by how full it is (quarters)
 *     full      in no list; found again when one of its blocks is freed
 *     free      belongs to its chunk: a bit in chunk->free_pages, and in chunk->dirty_pages too while the kernel
 *               still has memory behind it
 *
 * When the current page is full the fullest partial page takes its place, and when all are full a free page of the
 * fullest chunk. Filling what is nearly full lets the nearly empty ones empty: that is what returns memory after a
 * wave of deletes, without moving anything.
 *
 * Within a page, blocks are handed out from the free list first and then in address order from the part that was
 * never used, so a page of large blocks that holds one of them has touched a few 4 KiB frames and not all.
 *
 * Classes    fine: multiples of 8 up to 512
 *            coarse: a small page cut into 31 .. 4 blocks, rounded down to 8
 *            lines: multiples of 64 above 512, aligned to 64, for tables (slab_alloc_lines)
 *            large: a large page cut into 31 .. 6 blocks, rounded down to 64
 * A page's description says its class, for who has nothing but a block; allocating and freeing find it by the size.
 *
 * Free blocks are poisoned under address sanitizer, so the tests see a use after free inside a page as well. */
#include "core/slab_priv.h"
#include <string.h>

/* A coarse or large class is known by how many of its blocks a page has: block sizes differ by more than the 7 (63)
 * bytes that rounding takes off them, so dividing gives the number back. */
HOT_INLINE unsigned class_index(size_t block_size) {
    if (LIKELY(block_size <= SLAB_ALIGNED_MAX)) return (unsigned)block_size / 8 - 1;
    return COARSE_AT + COARSE_FIRST - SMALL_PAGE / (uint32_t)block_size;
}
static unsigned large_index(size_t block_size) {
    return LARGE_AT + LARGE_FIRST - LARGE_PAGE / (uint32_t)block_size;
}
static unsigned lines_index(size_t block_size) {
    return LINES_AT + (unsigned)(block_size - SLAB_ALIGNED_MAX) / 64 - 1;
}
static_assert(SMALL_PAGE / COARSE_FIRST - SMALL_PAGE / (COARSE_FIRST + 1) > 7, "see class_index");
static_assert(LARGE_PAGE / LARGE_FIRST - LARGE_PAGE / (LARGE_FIRST + 1) > 63, "see class_index");
static_assert(LARGE_PAGE / (LARGE_PAGE / SLAB_PAGED_MAX) / 64 * 64 == SLAB_PAGED_MAX, "a class of its own");

/* --- partial pages --- */

static void partial_remove(struct size_class *class, struct page *page) {
    *(page->prev ? &page->prev->next : &class->partial[page->bin]) = page->next;
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

/* The current page is full: the fullest partial page is next. */
static struct page *next_current(struct slab *slab, struct size_class *class) {
    struct page *page = NULL;
    for (unsigned bin = FULLNESS; bin-- > 0 && page == NULL;) page = class->partial[bin];
    if (page != NULL) {
        partial_remove(class, page);
    } else {
        page = slab_page_take(slab, class);
        class->pages++;
    }
    class->current = page;
    return page;
}

/* A page that is not the current one lost a block and has to change its state. */
static void page_drops(struct slab *slab, struct size_class *class, struct page *page) {
    if (page->bin != NO_BIN) partial_remove(class, page);
    if (page->used == 0) {
        class->pages--;
        slab_page_give_back(slab, page);
    } else {
        partial_insert(class, page);
    }
}

void slab_trim(struct slab *slab) {
    for (unsigned i = 0; i < CLASSES; i++) {
        struct size_class *class = &slab->classes[i];
        struct page *page = class->current;
        if (LIKELY(page == NULL || page->used != 0)) continue;
        class->current = NULL;
        page_drops(slab, class, page);
    }
}

/* --- blocks --- */

HOT_INLINE bool page_has_room(const struct page *page) {
    return page->used < page->capacity;
}

/* block_size is the class's, and page_size that of its pages: known to the caller, so they are not read again. */
HOT_INLINE void *take_block(struct slab *slab, struct size_class *class, size_t block_size, uint32_t page_size) {
    struct page *page = class->current;
    if (UNLIKELY(page == NULL || !page_has_room(page))) page = next_current(slab, class);
    page->used++;
    class->used++;
    slab->used_bytes += block_size;

    void *block = page->free;
    if (block != NULL) {
        UNPOISON(block, block_size);
        page->free = *(void **)block;
    } else {
        block = slab_page_blocks(page, page_size) + page->fresh_at;
        page->fresh_at = page->fresh_at + (uint32_t)block_size;
        if (page_size != SMALL_PAGE) slab_page_touched(slab, page);
        UNPOISON(block, block_size);
    }
    return block;
}

HOT_INLINE void give_block(struct slab *slab, unsigned index, void *block, size_t block_size, uint32_t page_size) {
    struct page *page = slab_page_of(block, page_size);
    ASSERT(page->class == index && page->used != 0);
    ASSERT_SLOW(page->block_size == block_size && (uintptr_t)block % page_size % block_size == 0);
    *(void **)block = page->free;
    page->free = block;
    POISON(block, block_size);
    page->used--;
    slab->used_bytes -= block_size;
    struct size_class *class = &slab->classes[index];
    class->used--;

    /* Partial pages act when they leave their quarter or empty; a full one (bin_floor is its capacity) at once. */
    if (page == class->current) return;
    if (page->bin == NO_BIN || page->used < page->bin_floor || page->used == 0) page_drops(slab, class, page);
}

void *slab_alloc(struct slab *slab, size_t size) {
    ASSERT(size - 1 < SLAB_MAX);
    size_t block_size = slab_block_size(size);
    return take_block(slab, &slab->classes[class_index(block_size)], block_size, SMALL_PAGE);
}

void slab_free(struct slab *slab, void *block, size_t size) {
    size_t block_size = slab_block_size(size);
    give_block(slab, class_index(block_size), block, block_size, SMALL_PAGE);
}

void *slab_alloc_large(struct slab *slab, size_t size) {
    ASSERT(size > SLAB_MAX && size <= SLAB_LARGE_MAX);
    if (size > SLAB_PAGED_MAX) return spans_alloc(slab->spans, size);
    size_t block_size = slab_large_block_size(size);
    return take_block(slab, &slab->classes[large_index(block_size)], block_size, LARGE_PAGE);
}

void slab_free_large(struct slab *slab, void *block, size_t size) {
    ASSERT(size > SLAB_MAX && size <= SLAB_LARGE_MAX);
    if (size > SLAB_PAGED_MAX) {
        spans_free(slab->spans, block, size);
        return;
    }
    size_t block_size = slab_large_block_size(size);
    give_block(slab, large_index(block_size), block, block_size, LARGE_PAGE);
}

HOT_INLINE bool is_lines(size_t size) {
    return size > SLAB_ALIGNED_MAX && size <= SLAB_MAX;
}

void *slab_alloc_lines(struct slab *slab, size_t size) {
    ASSERT(size != 0 && size % 64 == 0);
    if (size > SLAB_MAX) return slab_alloc_large(slab, size);
    if (!is_lines(size)) return slab_alloc(slab, size);
    return take_block(slab, &slab->classes[lines_index(size)], size, SMALL_PAGE);
}

void slab_free_lines(struct slab *slab, void *block, size_t size) {
    ASSERT(size != 0 && size % 64 == 0);
    if (size > SLAB_MAX)
        slab_free_large(slab, block, size);
    else if (!is_lines(size))
        slab_free(slab, block, size);
    else
        give_block(slab, lines_index(size), block, size, SMALL_PAGE);
}

void slab_count_as(struct slab *slab, enum mem_class owner, int64_t bytes) {
    heap_count(slab->heap, slab->owner, -bytes);
    heap_count(slab->heap, owner, bytes);
}

/* --- moving --- */

/* A class of which a sixteenth is free is left alone: the last pages cost the most moves. */
static bool has_much_free(const struct size_class *class, uint64_t capacity) {
    return class->used * 16 <= class->pages * capacity * 15;
}

static struct page *page_of_any(const void *block) {
    return slab_page_of(block, slab_chunk_of(block)->page_size);
}

/* Emptying the pages that are no fuller than the mean needs the fewest moves. Among equals, all but the current page
 * may move. */
bool slab_is_sparse(const struct slab *slab, const void *block) {
    const struct page *page = page_of_any(block);
    const struct size_class *class = &slab->classes[page->class];
    if (page == class->current || !has_much_free(class, page->capacity)) return false;
    return class->pages > 1 && page->used * class->pages <= class->used;
}

void *slab_move(struct slab *slab, void *block, size_t size) {
    unsigned index = page_of_any(block)->class;
    struct size_class *class = &slab->classes[index];
    size_t block_size = class->block_size;
    ASSERT(size <= block_size);
    bool small = class->pool == &slab->small;
    void *moved = take_block(slab, class, block_size, small ? SMALL_PAGE : LARGE_PAGE);
    memcpy(moved, block, size);
    give_block(slab, index, block, block_size, small ? SMALL_PAGE : LARGE_PAGE);
    slab->moves++;
    slab->moved_bytes += size;
    return moved;
}

uint64_t slab_moves(const struct slab *slab) {
    return slab->moves;
}

uint64_t slab_moved_bytes(const struct slab *slab) {
    return slab->moved_bytes;
}

/* --- the slab --- */

static uint32_t class_block_size(unsigned index) {
    if (index < COARSE_AT) return (index + 1) * 8;
    if (index < LINES_AT) return SMALL_PAGE / (COARSE_FIRST - (index - COARSE_AT)) & ~7u;
    if (index < LARGE_AT) return SLAB_ALIGNED_MAX + (index - LINES_AT + 1) * 64;
    return LARGE_PAGE / (LARGE_FIRST - (index - LARGE_AT)) & ~63u;
}

struct slab *slab_new(struct heap *heap, enum mem_class owner) {
    struct slab *slab = heap_alloc_zero(heap, owner, sizeof *slab);
    slab->heap = heap;
    slab->owner = owner;
    slab_pool_init(&slab->small, SMALL_PAGE);
    slab_pool_init(&slab->large, LARGE_PAGE);
    for (unsigned i = 0; i < CLASSES; i++) {
        slab->classes[i].block_size = class_block_size(i);
        slab->classes[i].pool = i < LARGE_AT ? &slab->small : &slab->large;
    }
    slab->spans = spans_new(heap, owner);
    return slab;
}

void slab_delete(struct slab *slab) {
    if (slab == NULL) return;
    slab_pool_delete(slab, &slab->small);
    slab_pool_delete(slab, &slab->large);
    spans_delete(slab->spans);
    ASSERT(slab->held_bytes == 0);
    heap_free(slab->heap, slab->owner, slab, sizeof *slab);
}

static bool pool_each_area(const struct pool *pool, heap_area_visit visit, void *ctx) {
    for (const struct chunk *chunk = pool->all; chunk != NULL; chunk = chunk->all_next)
        if (!visit(ctx, chunk, CHUNK_SIZE)) return false;
    return true;
}

void slab_each_area(const struct slab *slab, heap_area_visit visit, void *ctx) {
    if (pool_each_area(&slab->small, visit, ctx) && pool_each_area(&slab->large, visit, ctx))
        spans_each_area(slab->spans, visit, ctx);
}

size_t slab_used_bytes(const struct slab *slab) {
    return slab->used_bytes + spans_used_bytes(slab->spans);
}

size_t slab_spare_bytes(const struct slab *slab) {
    size_t bytes = 0;
    for (unsigned i = 0; i < CLASSES; i++) {
        const struct size_class *class = &slab->classes[i];
        uint64_t capacity = class->pool->page_size / class->block_size;
        if (LIKELY(class->pages <= 1 || !has_much_free(class, capacity))) continue;
        bytes += (class->pages - (class->used + capacity - 1) / capacity) * class->pool->page_size;
    }
    return bytes;
}

size_t slab_paged_bytes(const struct slab *slab) {
    return slab->used_bytes;
}

size_t slab_held_bytes(const struct slab *slab) {
    return slab->held_bytes + spans_held_bytes(slab->spans);
}
