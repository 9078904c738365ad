/* A ring of blocks. The first block begins at `begin`; the i-th one after it is blocks[(first + i) % cap]. */
#include "persist/tail.h"
#include "core/assert.h"
#include "persist/segment.h"
#include <string.h>

#define CAP_FIRST 4

static_assert(TAIL_BLOCK % SEGMENT_PAGE == 0, "a block is whole pages");

void tail_init(struct tail *tail, struct heap *heap) {
    *tail = (struct tail){.heap = heap};
}

static char *block_at(const struct tail *tail, uint32_t i) {
    return tail->blocks[(tail->first + i) & (tail->cap - 1)];
}

static void free_block(struct tail *tail, char *block) {
    heap_free(tail->heap, MEM_JOURNAL, block, TAIL_BLOCK);
}

void tail_deinit(struct tail *tail) {
    for (uint32_t i = 0; i < tail->count; i++) free_block(tail, block_at(tail, i));
    free_block(tail, tail->spare);
    heap_free(tail->heap, MEM_JOURNAL, tail->blocks, tail->cap * sizeof *tail->blocks);
    tail_init(tail, tail->heap);
}

/* Twice as many places; what had wrapped around moves behind the old end. */
static void grow_ring(struct tail *tail) {
    uint32_t cap = tail->cap ? 2 * tail->cap : CAP_FIRST;
    ASSERT(cap > tail->cap);
    tail->blocks = heap_resize(tail->heap, MEM_JOURNAL, tail->blocks, tail->cap * sizeof *tail->blocks,
                               cap * sizeof *tail->blocks);
    if (tail->first) memcpy(tail->blocks + tail->cap, tail->blocks, tail->first * sizeof *tail->blocks);
    tail->cap = cap;
}

static void add_block(struct tail *tail) {
    if (tail->count == tail->cap) grow_ring(tail);
    if (tail->count == 0) tail->begin = tail->end / TAIL_BLOCK * TAIL_BLOCK;
    char *block = tail->spare ? tail->spare : heap_alloc_aligned(tail->heap, MEM_JOURNAL, TAIL_BLOCK, SEGMENT_PAGE);
    tail->spare = NULL;
    tail->blocks[(tail->first + tail->count++) & (tail->cap - 1)] = block;
}

void tail_append(struct tail *tail, const void *bytes, size_t len) {
    for (const char *from = bytes; len > 0;) {
        size_t in_block = (size_t)(tail->end % TAIL_BLOCK);
        if (in_block == 0 || tail->count == 0) add_block(tail);
        size_t part = MIN(len, TAIL_BLOCK - in_block);
        memcpy(block_at(tail, tail->count - 1) + in_block, from, part);
        tail->end += part;
        from += part;
        len -= part;
    }
}

const char *tail_at(const struct tail *tail, uint64_t offset, size_t *len) {
    ASSERT(tail->count > 0 && offset >= tail->begin && offset < tail->end);
    size_t in_block = (size_t)(offset % TAIL_BLOCK);
    *len = (size_t)MIN(TAIL_BLOCK - in_block, tail->end - offset);
    return block_at(tail, (uint32_t)((offset - tail->begin) / TAIL_BLOCK)) + in_block;
}

void tail_copy(const struct tail *tail, uint64_t offset, char *out, size_t len) {
    while (len > 0) {
        size_t part;
        const char *bytes = tail_at(tail, offset, &part);
        part = MIN(part, len);
        memcpy(out, bytes, part);
        offset += part;
        out += part;
        len -= part;
    }
}

void tail_release(struct tail *tail, uint64_t offset) {
    ASSERT(offset <= tail->end);
    uint64_t keep = offset / SEGMENT_PAGE * SEGMENT_PAGE;
    while (tail->count > 0 && tail->begin + TAIL_BLOCK <= keep) {
        char *block = block_at(tail, 0);
        if (tail->spare)
            free_block(tail, block);
        else
            tail->spare = block;
        tail->first = (tail->first + 1) & (tail->cap - 1);
        tail->count--;
        tail->begin += TAIL_BLOCK;
    }
}
