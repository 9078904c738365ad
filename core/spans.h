/* Spans: blocks of whole frames of 4 KiB, for what is too large to share a page with others.
 *
 * A block takes the frames that it needs and gives them back to the kernel, so nothing has to be moved to keep what is
 * resident near what is used: what is lost is half a frame per block in the mean, and what waits for being used again
 * (SPANS_SPARE and a 32nd of it at most, after purging). Address space is not kept so tight, and need not be.
 *
 * Blocks are aligned to 4096. Part of the slab (core/slab.h), which hands out everything below as blocks in pages.
 *
 * Thread    the slab's. Cost: alloc and free some 100 ns and, when nothing that fits waits for being used again, what
 *           the kernel takes for touching the frames: 0.1 to 0.3 us each. */
#pragma once
#include "core/alloc.h"

#define SPANS_FRAME 4096u
#define SPANS_MAX   (1024 * 1024u) /* bytes of the largest block */
#define SPANS_SPARE (1024 * 1024u) /* bytes that purging leaves to be used again, and a 32nd of what is used */

struct spans;

struct spans *spans_new(struct heap *heap, enum mem_class owner);
void spans_delete(struct spans *spans); /* with all blocks in it */

NODISCARD void *spans_alloc(struct spans *spans, size_t size);  /* 1 <= size <= SPANS_MAX; stops when memory is gone */
void spans_free(struct spans *spans, void *block, size_t size); /* the size it was allocated with */
HOT_INLINE size_t spans_block_size(size_t size) {               /* what a block of that size takes */
    return (size + SPANS_FRAME - 1) & ~(size_t)(SPANS_FRAME - 1);
}

/* Gives some frames, about 1 MiB, back to the kernel. True while there are more to give. */
bool spans_purge_some(struct spans *spans);
bool spans_purge_rest(struct spans *spans); /* the same, and nothing waits for being used again */

/* Its chunks, as heap_each_area. */
void spans_each_area(const struct spans *spans, heap_area_visit visit, void *ctx);
size_t spans_used_bytes(const struct spans *spans); /* blocks handed out */
size_t spans_held_bytes(const struct spans *spans); /* besides, what waits, and the chunks' own frames */
void spans_check(const struct spans *spans);        /* every invariant; for tests */
