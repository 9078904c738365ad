#include "persist/marks.h"
#include "core/assert.h"
#include <string.h>

#define CAP_FIRST 16

void marks_init(struct marks *marks, struct heap *heap) {
    *marks = (struct marks){.heap = heap};
}

void marks_deinit(struct marks *marks) {
    heap_free(marks->heap, MEM_JOURNAL, marks->ring, marks->cap * sizeof *marks->ring);
    marks_init(marks, marks->heap);
}

struct mark *marks_at(const struct marks *marks, uint32_t i) {
    ASSERT(i < marks->count);
    return &marks->ring[(marks->first + i) & (marks->cap - 1)];
}

/* Twice as many places; what had wrapped around moves behind the old end. */
static void grow(struct marks *marks) {
    uint32_t cap = marks->cap ? 2 * marks->cap : CAP_FIRST;
    ASSERT(cap > marks->cap);
    marks->ring =
        heap_resize(marks->heap, MEM_JOURNAL, marks->ring, marks->cap * sizeof *marks->ring, cap * sizeof *marks->ring);
    if (marks->first) memcpy(marks->ring + marks->cap, marks->ring, marks->first * sizeof *marks->ring);
    marks->cap = cap;
}

void marks_add(struct marks *marks, const struct mark *mark) {
    ASSERT(marks->count == 0 || marks_at(marks, marks->count - 1)->end.offset == mark->begin);
    if (marks->count == marks->cap) grow(marks);
    marks->count++;
    *marks_at(marks, marks->count - 1) = *mark;
}

void marks_advance(struct marks *marks, uint64_t offset, struct point *point) {
    while (marks->written < marks->count && marks_at(marks, marks->written)->end.offset <= offset)
        *point = marks_at(marks, marks->written++)->end;
}

void marks_drop(struct marks *marks, uint64_t offset) {
    while (marks->written > 0 && marks_at(marks, 0)->end.offset <= offset) {
        marks->first = (marks->first + 1) & (marks->cap - 1);
        marks->count--;
        marks->written--;
    }
}
