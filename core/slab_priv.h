/* What slab.c (blocks), slab_page.c (pages and chunks) and slab_check.c share. */
#pragma once
#include "core/assert.h"
#include "core/poison.h"
#include "core/slab.h"
#include "core/spans.h"
#include <assert.h>

#define CHUNK_SIZE     (2 * 1024 * 1024u)
#define CHUNK_META     (8 * 1024u) /* what struct chunk touches of the first page */
#define SMALL_PAGE     SLAB_PAGE
#define LARGE_PAGE     (8 * SLAB_PAGE)
#define CHUNK_PAGES    (CHUNK_SIZE / SMALL_PAGE) /* at most; page 0 is the chunk's own */
#define SLAB_FRAME     4096u                     /* what the kernel gives and takes */
#define FRAMES(bytes)  (((bytes) + SLAB_FRAME - 1) / SLAB_FRAME)
#define COARSE_FIRST   (SMALL_PAGE / (SLAB_ALIGNED_MAX + 8)) /* blocks per page of the first coarse class */
#define LARGE_FIRST    (LARGE_PAGE / (SLAB_MAX + 64))        /* the same of the first large class */
#define FINE_CLASSES   (SLAB_ALIGNED_MAX / 8)                /* multiples of 8 */
#define COARSE_CLASSES (COARSE_FIRST - SMALL_PAGE / SLAB_MAX + 1)
#define LINE_CLASSES   ((SLAB_MAX - SLAB_ALIGNED_MAX) / 64) /* multiples of 64 above SLAB_ALIGNED_MAX */
#define LARGE_CLASSES  (LARGE_FIRST - LARGE_PAGE / SLAB_PAGED_MAX + 1)
#define COARSE_AT      FINE_CLASSES
#define LINES_AT       (COARSE_AT + COARSE_CLASSES)
#define LARGE_AT       (LINES_AT + LINE_CLASSES)
#define CLASSES        (LARGE_AT + LARGE_CLASSES)
#define FULLNESS       4u /* lists of partial pages per class */
#define CHUNK_LISTS    9u /* lists of chunks with free pages: the empty ones, then by how many are in use */
#define NO_BIN         0xFFu
static_assert(CLASSES <= UINT8_MAX, "struct page has a byte for it");

struct page {
    struct page *next, *prev; /* in a list of partial pages */
    void *free;               /* blocks that came back, linked through their first word */
    uint32_t fresh_at;        /* offset of the first block that was never handed out */
    uint16_t block_size;      /* 0: the page is free */
    uint16_t used;            /* blocks handed out */
    uint16_t capacity;
    uint16_t bin_floor; /* below this many used blocks the page belongs into the next lower list */
    uint8_t bin;        /* which list; NO_BIN when in none */
    uint8_t class;
    uint8_t frames; /* from the first on that have been touched and not given back; also of a free page */
};

/* Chunks of one size of pages. */
struct pool {
    uint32_t page_size;
    uint32_t chunks;                      /* in `all` */
    uint32_t empty_chunks;                /* purging keeps one at most */
    uint32_t dirty_frames;                /* of free pages */
    struct chunk *with_free[CHUNK_LISTS]; /* higher lists are fuller */
    struct chunk *all;
    struct chunk *ahead;                    /* the newest, if what it has not used yet may be resident, too; or NULL */
    struct chunk *dirty_first, *dirty_last; /* purged from the front, the longest free */
};

struct chunk {
    struct pool *pool;
    struct chunk *next, *prev;             /* in a list of chunks with free pages */
    struct chunk *dirty_next, *dirty_prev; /* in the queue of chunks with dirty free pages */
    struct chunk *all_next, *all_prev;
    uint64_t free_pages[2];  /* one bit per page */
    uint64_t dirty_pages[2]; /* free, but resident */
    uint32_t page_size, used_pages;
    uint8_t list; /* which list; NO_BIN when no page is free */
    bool in_dirty;
    bool for_huge;                  /* it is to have a huge page while it is full, */
    bool huge;                      /* and has asked for one */
    struct page pages[CHUNK_PAGES]; /* [0] is not used */
};
static_assert(CHUNK_PAGES == 128, "two words of bits");
static_assert(sizeof(struct chunk) <= CHUNK_META, "counted as this much");

struct size_class {
    struct page *current;
    uint64_t used, pages; /* blocks handed out; pages they are in */
    struct page *partial[FULLNESS];
    struct pool *pool;
    uint32_t block_size;
};

/* While much is expected. */
struct slab_fill {
    bool wanted;
    uint32_t skip, pause; /* so many chunks go without a huge page; did, after the last one that was slow */
};

struct slab {
    struct heap *heap;
    enum mem_class owner;
    uint64_t moves, moved_bytes;
    size_t used_bytes; /* of blocks in pages */
    size_t held_bytes; /* what is resident of pages, and the chunks' own pages */
    struct slab_fill fill;
    bool spare_huge; /* new chunks are no huge pages */
    struct spans *spans;
    struct pool small, large;
    struct size_class classes[CLASSES];
};

HOT_INLINE struct chunk *slab_chunk_of(const void *within) {
    return (struct chunk *)((uintptr_t)within & ~(uintptr_t)(CHUNK_SIZE - 1));
}
/* page_size is a constant where it matters. */
HOT_INLINE struct page *slab_page_of(const void *block, uint32_t page_size) {
    return &slab_chunk_of(block)->pages[(uintptr_t)block % CHUNK_SIZE / page_size];
}
HOT_INLINE char *slab_page_blocks(const struct page *page, uint32_t page_size) {
    struct chunk *chunk = slab_chunk_of(page);
    return (char *)chunk + (size_t)(page - chunk->pages) * page_size;
}

HOT_INLINE bool slab_bit_get(const uint64_t bits[2], unsigned i) {
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}
HOT_INLINE bool slab_bits_any(const uint64_t bits[2]) {
    return (bits[0] | bits[1]) != 0;
}

/* --- slab_fill.c --- */
/* Makes a new chunk resident, as a huge page or in single ones; true: it asks for a huge page. 0.2 to 6 ms. */
bool slab_fill_chunk(struct slab_fill *fill, void *chunk);

/* --- slab_page.c --- */
void slab_pool_init(struct pool *pool, uint32_t page_size);
void slab_pool_delete(struct slab *slab, struct pool *pool);
/* A free page of the fullest chunk that has one, a resident one if possible, for blocks of this class. */
struct page *slab_page_take(struct slab *slab, const struct size_class *class);
/* The page is empty and in no list. */
void slab_page_give_back(struct slab *slab, struct page *page);
/* More of a page is resident: up to fresh_at. */
void slab_page_touched(struct slab *slab, struct page *page);
uint8_t slab_chunk_list(const struct chunk *chunk); /* where it belongs */
