/* Buf: growable bytes with a write end and a read cursor.
 *
 *      data        data+read        data+len        data+cap
 *       | consumed  | readable       | free          |
 *
 * Owner     whoever embeds it; memory comes from one heap and is counted there. buf_deinit frees.
 * Growth    doubles, then grows by a quarter above 1 MiB. A size that a client chose is reserved with buf_try_reserve.
 * Cost      appends are amortised O(bytes); buf_reserve is one comparison when there is room.
 * Threads   one at a time. A buf that travels in a message is re-homed with buf_set_heap by the receiver. */
#pragma once
#include "core/alloc.h"
#include "core/slice.h"

struct buf {
    char *data;
    size_t read; /* first byte not yet consumed */
    size_t len;  /* end of what was written */
    size_t cap;
    struct heap *heap;
    enum mem_class owner;
};

void buf_init(struct buf *buf, struct heap *heap, enum mem_class owner); /* allocates nothing */
void buf_deinit(struct buf *buf);
COLD void buf_grow(struct buf *buf, size_t extra);
NODISCARD bool buf_try_reserve(struct buf *buf, size_t extra); /* false when memory is refused; unchanged then */
/* Frees the memory when it is larger than keep bytes; content is dropped either way. */
void buf_reset(struct buf *buf, size_t keep);
/* to is empty and takes what from has, memory and all, which counts for it from then on. Both are of one heap. */
void buf_take(struct buf *to, struct buf *from);
/* Leaves the first len bytes, and gives back most of the memory behind them. */
void buf_cut(struct buf *buf, size_t len);
/* Moves readable bytes to the front, so that all room is at the end. O(readable). */
void buf_compact(struct buf *buf);
/* Puts bytes before what was written from offset `at` on, which moves. O(bytes moved). */
void buf_insert(struct buf *buf, size_t at, struct slice bytes);
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

HOT_INLINE void buf_set_heap(struct buf *buf, struct heap *heap) {
    buf->heap = heap;
}
HOT_INLINE size_t buf_readable(const struct buf *buf) {
    return buf->len - buf->read;
}
/* What the allocator has set aside for it. */
HOT_INLINE size_t buf_held(const struct buf *buf) {
    return buf->cap ? heap_block_size(buf->cap) : 0;
}
HOT_INLINE struct slice buf_slice(const struct buf *buf) {
    /* NULL + 0 is undefined before C2y, and clang's sanitizer says so. */
    return slice_of(buf->data ? buf->data + buf->read : NULL, buf->len - buf->read);
}
/* Room for extra bytes at the write end; never fails (we stop instead). */
HOT_INLINE void buf_make_room(struct buf *buf, size_t extra) {
    if (UNLIKELY(buf->cap - buf->len < extra)) buf_grow(buf, extra);
}
/* The same, and where they go; extra > 0. */
HOT_INLINE char *buf_reserve(struct buf *buf, size_t extra) {
    buf_make_room(buf, extra);
    return buf->data + buf->len;
}
HOT_INLINE void buf_append(struct buf *buf, const void *bytes, size_t len) {
    if (len == 0) return;
    memcpy(buf_reserve(buf, len), bytes, len);
    buf->len += len;
}
HOT_INLINE void buf_append_slice(struct buf *buf, struct slice bytes) {
    buf_append(buf, bytes.ptr, bytes.len);
}
#define buf_append_literal(buf, literal) buf_append((buf), (literal), sizeof(literal) - 1)
