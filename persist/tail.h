/* Tail: the end of a file, kept in memory until the disk has it.
 *
 *      file      0 ............ begin .......... kept ....................... end
 *      blocks                   | 256 KiB | 256 KiB | 256 KiB    |
 *
 * Bytes are appended at the end and released from the front. Each block stands for a stretch of the file that begins at
 * a multiple of its size, and its memory is aligned to a page, so whole pages can be written from where they lie, with
 * O_DIRECT too.
 *
 * Owner     whoever embeds it; blocks come from one heap (MEM_JOURNAL). The page that holds the first byte which is not
 *           released stays, as it is written again with what follows.
 * Cost      append: a copy. Everything else: O(1), but for release: O(blocks released). One block is kept for reuse. */
#pragma once
#include "core/alloc.h"

#define TAIL_BLOCK ((size_t)256 << 10)

struct tail {
    struct heap *heap;
    char **blocks; /* a ring */
    uint32_t first, count, cap;
    char *spare;
    uint64_t begin; /* offset of the first block */
    uint64_t end;   /* offset behind the last byte */
};

void tail_init(struct tail *tail, struct heap *heap); /* allocates nothing */
void tail_deinit(struct tail *tail);                  /* is as after tail_init then */
void tail_append(struct tail *tail, const void *bytes, size_t len);
/* The bytes at an offset, which are there, and in *len how many lie together. Valid until they are released. */
const char *tail_at(const struct tail *tail, uint64_t offset, size_t *len);
void tail_copy(const struct tail *tail, uint64_t offset, char *out, size_t len);
/* What is before offset is not needed any more, but for the page that offset lies in. */
void tail_release(struct tail *tail, uint64_t offset);
