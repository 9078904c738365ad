/* Slab: every invariant, for tests. */
#include "core/slab_priv.h"

/* Reads free blocks, which are poisoned. */
__attribute__((no_sanitize("address"))) static unsigned free_list_length(const struct page *page, uint32_t page_size) {
    unsigned length = 0;
    for (void *block = page->free; block != NULL; block = *(void **)block) {
        ASSERT(slab_page_of(block, page_size) == page);
        size_t offset = (uintptr_t)block % page_size;
        ASSERT(offset < page->fresh_at && offset % page->block_size == 0);
        ASSERT(++length <= page->capacity);
    }
    return length;
}

static size_t check_page(const struct slab *slab, const struct chunk *chunk, const struct page *page) {
    const struct size_class *class = &slab->classes[page->class];
    ASSERT(page->block_size == class->block_size && class->pool == chunk->pool && page->used <= page->capacity);
    ASSERT(page->capacity == chunk->page_size / class->block_size && page->fresh_at <= page->frames * SLAB_FRAME);
    unsigned touched = page->fresh_at / page->block_size;
    ASSERT(page->used + free_list_length(page, chunk->page_size) == touched && touched <= page->capacity);
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

struct sums {
    size_t used_bytes, held_bytes, dirty_frames;
    uint32_t chunks, empty_chunks;
};

static void check_chunk(const struct slab *slab, const struct chunk *chunk, struct sums *sums) {
    unsigned used = 0;
    for (unsigned i = 1; i < CHUNK_SIZE / chunk->page_size; i++) {
        const struct page *page = &chunk->pages[i];
        bool dirty = slab_bit_get(chunk->dirty_pages, i);
        sums->held_bytes += page->frames * SLAB_FRAME;
        if (slab_bit_get(chunk->free_pages, i)) {
            ASSERT(page->block_size == 0 && dirty == (page->frames != 0));
            sums->dirty_frames += page->frames;
            continue;
        }
        ASSERT(!dirty);
        sums->used_bytes += check_page(slab, chunk, page);
        used++;
    }
    sums->held_bytes += CHUNK_META;
    sums->chunks++;
    sums->empty_chunks += used == 0;
    ASSERT(used == chunk->used_pages);
    ASSERT(chunk->in_dirty == slab_bits_any(chunk->dirty_pages));
    ASSERT(chunk->list == slab_chunk_list(chunk));
}

static void check_pool(const struct slab *slab, const struct pool *pool, struct sums *sums) {
    struct sums own = {0};
    for (const struct chunk *chunk = pool->all; chunk != NULL; chunk = chunk->all_next) {
        ASSERT(chunk->pool == pool && chunk->page_size == pool->page_size);
        check_chunk(slab, chunk, &own);
    }
    ASSERT(own.dirty_frames == pool->dirty_frames && (pool->ahead == NULL || pool->ahead->pool == pool));
    ASSERT(own.chunks == pool->chunks && own.empty_chunks == pool->empty_chunks);
    sums->used_bytes += own.used_bytes;
    sums->held_bytes += own.held_bytes;
}

static void check_classes(const struct slab *slab) {
    size_t used_bytes = 0;
    for (unsigned i = 0; i < CLASSES; i++) {
        const struct size_class *class = &slab->classes[i];
        used_bytes += class->used * class->block_size;
    }
    ASSERT(used_bytes == slab->used_bytes);
}

void slab_check(const struct slab *slab) {
    struct sums sums = {0};
    check_classes(slab);
    check_pool(slab, &slab->small, &sums);
    check_pool(slab, &slab->large, &sums);
    ASSERT(sums.used_bytes == slab->used_bytes && sums.held_bytes == slab->held_bytes);
    spans_check(slab->spans);
}
