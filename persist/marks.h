/* Marks: where in a file its latest batches end, for what is told about them when the disk has them.
 *
 * A ring, oldest first. `written` of them end where the file is written. Owner: whoever embeds it. O(1) each, but for
 * marks_advance and marks_drop: O(marks passed). */
#pragma once
#include "core/alloc.h"

/* A place between two batches, and what has been said before it. */
struct point {
    uint64_t offset, seq, position;
};

/* One batch, or a few small ones. */
struct mark {
    uint64_t begin;
    struct point end;
    uint64_t closed_ns; /* the first of them */
};

struct marks {
    struct heap *heap;
    struct mark *ring;
    uint32_t first, count, cap;
    uint32_t written;
};

void marks_init(struct marks *marks, struct heap *heap); /* allocates nothing */
void marks_deinit(struct marks *marks);
struct mark *marks_at(const struct marks *marks, uint32_t i); /* i-th oldest, i < count */
void marks_add(struct marks *marks, const struct mark *mark);
/* Everything up to offset is written: the end of the last mark there goes to *point, which is left
 * alone without one. */
void marks_advance(struct marks *marks, uint64_t offset, struct point *point);
void marks_drop(struct marks *marks, uint64_t offset); /* those that end at or before offset, which are written */
