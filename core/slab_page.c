/* Slab: pages, and the chunks they are cut from.
 *
 *    chunk, 2 MiB aligned: | struct chunk with its struct pages | page 1 | page 2 | ... |
 *                            8 KiB of the first page are used
 *
 * The descriptions of all pages of a chunk lie together and not each in its page: freeing a random block then touches a
 * dense table (5 KiB per chunk, a TLB entry or two) and not one more cold frame. Headers at the start of every page
 * would also fall into a handful of cache sets, since their addresses agree in 14 bits.
 *
 * A chunk has 127 small pages or 15 large ones; the rest of a large chunk's first page is address space and nothing
 * else. Empty pages go back to the kernel later, in batches, once more than SLAB_SPARE bytes of them are dirty; an
 * empty chunk is unmapped unless it is the only empty one. To give each page back when it empties would be dear, and
 * all at once when a large table is freed: its entries lie at random places, so that almost every page empties within
 * the last hundredth of it, and a call that takes a piece out of a huge page while other threads run costs 10 to 50 us.
 * Those that wait are often reused, or go with their whole chunk. The heap's count follows exactly: a frame counts from
 * its first use until it is given back.
 *
 * Huge pages are for chunks that are full. In one that asks for them, the kernel's khugepaged makes whole again what
 * was given back in pieces: within minutes all that purging saved would be resident. So a chunk of which a piece goes
 * back asks for none from then on, until it is full again. */
#include "core/slab_priv.h"
#include <sys/mman.h>

/* Chunks beyond these ask for a huge page when it is for small blocks that they are made: about a tenth of the CPU of a
 * GET or SET that misses the cache (TLB misses cost most in a virtual machine). The first ones do without, so that 64
 * nearly empty shards do not hold 128 MiB. A huge page is resident as a whole when first touched, so up to 2 MiB per
 * slab may be resident before they are counted. It takes 0.2 ms to touch it first, in a virtual machine up to 5 ms:
 * somebody would wait for that every few ms if larger blocks had them too, so for those chunks are huge only while
 * nobody can be waiting (core/slab_fill.c). */
#define SMALL_CHUNKS 4u
#define PURGE_BATCH  (16 * SMALL_PAGE)

/* --- bits of a chunk's pages --- */

static void bit_set(uint64_t bits[2], unsigned i) {
    bits[i / 64] |= 1ull << (i % 64);
}
static void bit_clear(uint64_t bits[2], unsigned i) {
    bits[i / 64] &= ~(1ull << (i % 64));
}
static unsigned bits_first(const uint64_t bits[2]) {
    ASSERT(slab_bits_any(bits));
    return bits[0] != 0 ? (unsigned)__builtin_ctzll(bits[0]) : 64 + (unsigned)__builtin_ctzll(bits[1]);
}

/* --- lists --- */

static uint32_t pages_of(const struct chunk *chunk) {
    return CHUNK_SIZE / chunk->page_size;
}

/* A chunk is listed by the eighth it is used to, an empty one in a list of its own, one without free pages in none. */
uint8_t slab_chunk_list(const struct chunk *chunk) {
    if (chunk->used_pages == pages_of(chunk) - 1) return NO_BIN;
    uint32_t eighth = chunk->used_pages * (CHUNK_LISTS - 1) / pages_of(chunk);
    return chunk->used_pages ? (uint8_t)(1 + eighth) : 0;
}

static void chunk_relist(struct chunk *chunk) {
    struct pool *pool = chunk->pool;
    uint8_t list = slab_chunk_list(chunk);
    if (list == chunk->list) return;
    if (chunk->list != NO_BIN) {
        *(chunk->prev ? &chunk->prev->next : &pool->with_free[chunk->list]) = chunk->next;
        if (chunk->next != NULL) chunk->next->prev = chunk->prev;
    }
    chunk->list = list;
    if (list == NO_BIN) return;
    chunk->prev = NULL;
    chunk->next = pool->with_free[list];
    if (chunk->next != NULL) chunk->next->prev = chunk;
    pool->with_free[list] = chunk;
}

static void dirty_queue_remove(struct chunk *chunk) {
    if (!chunk->in_dirty) return;
    struct pool *pool = chunk->pool;
    chunk->in_dirty = false;
    *(chunk->dirty_prev ? &chunk->dirty_prev->dirty_next : &pool->dirty_first) = chunk->dirty_next;
    *(chunk->dirty_next ? &chunk->dirty_next->dirty_prev : &pool->dirty_last) = chunk->dirty_prev;
}

static void dirty_queue_append(struct chunk *chunk) {
    if (chunk->in_dirty) return;
    struct pool *pool = chunk->pool;
    chunk->in_dirty = true;
    chunk->dirty_next = NULL;
    chunk->dirty_prev = pool->dirty_last;
    *(pool->dirty_last ? &pool->dirty_last->dirty_next : &pool->dirty_first) = chunk;
    pool->dirty_last = chunk;
}

/* --- chunks --- */

static void count_held(struct slab *slab, int64_t bytes) {
    slab->held_bytes += (size_t)bytes;
    heap_count(slab->heap, slab->owner, bytes);
}

COLD static struct chunk *chunk_new(struct slab *slab, struct pool *pool, uint32_t block_size) {
    struct chunk *chunk = heap_map(slab->heap, slab->owner, CHUNK_SIZE, CHUNK_SIZE);
    if (chunk == NULL) panic(__FILE__, __LINE__, "out of memory");
    heap_count(slab->heap, slab->owner, -(int64_t)CHUNK_SIZE); /* pages count when they are used */
    count_held(slab, CHUNK_META);
    uint32_t pages = CHUNK_SIZE / pool->page_size;
    bool many = pool->chunks++ >= SMALL_CHUNKS && !slab->spare_huge, huge = many && block_size <= SLAB_ALIGNED_MAX;
    bool fill = many && !huge && slab->fill.wanted && pool->page_size == SMALL_PAGE;
    if (fill)
        huge = slab_fill_chunk(&slab->fill, chunk);
    else
        madvise(chunk, CHUNK_SIZE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    chunk->huge = chunk->for_huge = huge;
    pool->ahead = huge || fill ? chunk : NULL; /* no other has pages that were never used, or it would not be made */
    chunk->pool = pool;
    chunk->page_size = pool->page_size;
    chunk->free_pages[0] = pages < 64 ? (1ull << pages) - 2 : ~1ull;
    chunk->free_pages[1] = pages < 64 ? 0 : ~0ull;
    chunk->list = NO_BIN;
    chunk_relist(chunk);
    chunk->all_next = pool->all;
    if (pool->all != NULL) pool->all->all_prev = chunk;
    pool->all = chunk;
    pool->empty_chunks++;
    return chunk;
}

/* Forgets a chunk and unmaps it; its pages stop counting. */
static void chunk_free(struct slab *slab, struct chunk *chunk) {
    struct pool *pool = chunk->pool;
    dirty_queue_remove(chunk);
    pool->empty_chunks -= chunk->used_pages == 0;
    if (pool->ahead == chunk) pool->ahead = NULL;
    uint32_t frames = 0, dirty = 0;
    for (unsigned i = 1; i < pages_of(chunk); i++) {
        frames += chunk->pages[i].frames;
        if (slab_bit_get(chunk->dirty_pages, i)) dirty += chunk->pages[i].frames;
    }
    pool->dirty_frames -= dirty;
    count_held(slab, -(int64_t)(frames * SLAB_FRAME + CHUNK_META));
    chunk->used_pages = pages_of(chunk) - 1;
    chunk_relist(chunk);
    *(chunk->all_prev ? &chunk->all_prev->all_next : &pool->all) = chunk->all_next;
    if (chunk->all_next != NULL) chunk->all_next->all_prev = chunk->all_prev;
    pool->chunks--;
    UNPOISON(chunk, CHUNK_SIZE);
    heap_count(slab->heap, slab->owner, CHUNK_SIZE); /* heap_unmap takes it off again */
    heap_unmap(slab->heap, slab->owner, chunk, CHUNK_SIZE);
}

void slab_pool_init(struct pool *pool, uint32_t page_size) {
    *pool = (struct pool){.page_size = page_size};
}

void slab_pool_delete(struct slab *slab, struct pool *pool) {
    while (pool->all != NULL) chunk_free(slab, pool->all);
    ASSERT(pool->dirty_frames == 0 && pool->chunks == 0);
}

/* --- purging --- */

static void leave_huge(struct chunk *chunk) {
    if (chunk->huge) madvise(chunk, CHUNK_SIZE, MADV_NOHUGEPAGE);
    chunk->huge = false;
}

static void discard_pages(struct chunk *chunk, unsigned first, unsigned end) {
    size_t page_size = chunk->page_size;
    madvise(slab_page_blocks(&chunk->pages[first], chunk->page_size), (end - first) * page_size, MADV_DONTNEED);
}

/* Gives the memory of some dirty pages of one chunk back, neighbours in one call. */
static void purge_pages(struct slab *slab, struct pool *pool) {
    struct chunk *chunk = pool->dirty_first;
    unsigned left = PURGE_BATCH / pool->page_size;
    uint32_t frames = 0;
    leave_huge(chunk);
    while (left > 0 && slab_bits_any(chunk->dirty_pages)) {
        unsigned first = bits_first(chunk->dirty_pages), end = first;
        for (; left > 0 && end < pages_of(chunk) && slab_bit_get(chunk->dirty_pages, end); end++, left--) {
            bit_clear(chunk->dirty_pages, end);
            frames += chunk->pages[end].frames;
            chunk->pages[end].frames = 0;
        }
        discard_pages(chunk, first, end);
    }
    pool->dirty_frames -= frames;
    count_held(slab, -(int64_t)(frames * SLAB_FRAME));
    if (!slab_bits_any(chunk->dirty_pages)) dirty_queue_remove(chunk);
}

static bool wants_purge(const struct pool *pool, uint32_t keep) {
    return pool->empty_chunks > 1 || pool->dirty_frames > keep / SLAB_FRAME;
}

static bool purge_some(struct slab *slab, struct pool *pool, uint32_t keep) {
    if (!wants_purge(pool, keep)) return false;
    if (pool->empty_chunks > 1)
        chunk_free(slab, pool->with_free[0]);
    else
        purge_pages(slab, pool);
    return wants_purge(pool, keep);
}

bool slab_purge_some(struct slab *slab) {
    if (LIKELY(!wants_purge(&slab->small, SLAB_SPARE) && !wants_purge(&slab->large, SLAB_SPARE)))
        return spans_purge_some(slab->spans);
    bool more = purge_some(slab, &slab->small, SLAB_SPARE);
    more |= purge_some(slab, &slab->large, SLAB_SPARE);
    return spans_purge_some(slab->spans) || more;
}

bool slab_purge_rest(struct slab *slab) {
    bool more = purge_some(slab, &slab->small, 0);
    more |= purge_some(slab, &slab->large, 0);
    return spans_purge_rest(slab->spans) || more;
}

static bool never_used(const struct chunk *chunk, unsigned i) {
    return slab_bit_get(chunk->free_pages, i) && chunk->pages[i].frames == 0;
}

static void purge_unused(struct pool *pool) {
    struct chunk *chunk = pool->ahead;
    pool->ahead = NULL;
    if (chunk == NULL || chunk->list == NO_BIN) return;
    leave_huge(chunk);
    for (unsigned first = 1, end; first < pages_of(chunk); first = end + 1) {
        for (end = first; end < pages_of(chunk) && never_used(chunk, end);) end++;
        if (end > first) discard_pages(chunk, first, end);
    }
}

void slab_purge_unused(struct slab *slab) {
    purge_unused(&slab->small);
    purge_unused(&slab->large);
}

void slab_spare_huge(struct slab *slab, bool spare) {
    slab->spare_huge = spare;
}

/* --- pages --- */

struct page *slab_page_take(struct slab *slab, const struct size_class *class) {
    struct pool *pool = class->pool;
    struct chunk *chunk = NULL;
    for (unsigned list = CHUNK_LISTS; list-- > 0 && chunk == NULL;) chunk = pool->with_free[list];
    if (chunk == NULL) chunk = chunk_new(slab, pool, class->block_size);
    if (chunk->used_pages == 0) pool->empty_chunks--;

    bool dirty = slab_bits_any(chunk->dirty_pages);
    unsigned index = bits_first(dirty ? chunk->dirty_pages : chunk->free_pages);
    struct page *page = &chunk->pages[index];
    bit_clear(chunk->free_pages, index);
    if (dirty) {
        bit_clear(chunk->dirty_pages, index);
        pool->dirty_frames -= page->frames;
        if (!slab_bits_any(chunk->dirty_pages)) dirty_queue_remove(chunk);
    }
    chunk->used_pages++;
    chunk_relist(chunk);
    if (chunk->list == NO_BIN && chunk->for_huge && !chunk->huge)
        chunk->huge = madvise(chunk, CHUNK_SIZE, MADV_HUGEPAGE) == 0;

    POISON(slab_page_blocks(page, pool->page_size), pool->page_size);
    *page = (struct page){
        .block_size = (uint16_t)(class->block_size),
        .capacity = (uint16_t)(pool->page_size / class->block_size),
        .class = (uint8_t)(class - slab->classes),
        .bin = NO_BIN,
        .frames = page->frames,
    };
    if (pool->page_size == SMALL_PAGE) { /* the first block touches it as good as whole */
        page->fresh_at = SMALL_PAGE;
        slab_page_touched(slab, page);
        page->fresh_at = 0;
    }
    return page;
}

void slab_page_touched(struct slab *slab, struct page *page) {
    uint32_t frames = FRAMES(page->fresh_at);
    if (frames <= page->frames) return;
    count_held(slab, (int64_t)(frames - page->frames) * SLAB_FRAME);
    page->frames = (uint8_t)frames;
}

void slab_page_give_back(struct slab *slab, struct page *page) {
    struct chunk *chunk = slab_chunk_of(page);
    struct pool *pool = chunk->pool;
    unsigned index = (unsigned)(page - chunk->pages);
    (void)slab;
    page->block_size = 0;
    bit_set(chunk->free_pages, index);
    bit_set(chunk->dirty_pages, index);
    dirty_queue_append(chunk);
    pool->dirty_frames += page->frames;
    chunk->used_pages--;
    chunk_relist(chunk);
    pool->empty_chunks += chunk->used_pages == 0;
}
