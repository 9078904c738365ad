/* Growth and the cold paths of buf. */
#include "core/buf.h"
#include "core/assert.h"
#include <stdarg.h>
#include <stdio.h>

#define BUF_FIRST   256u           /* the first allocation: a handful of small replies */
#define BUF_DOUBLES (1024u * 1024) /* above this, growth by a quarter keeps the waste small */

void buf_init(struct buf *buf, struct heap *heap, enum mem_class owner) {
    *buf = (struct buf){.heap = heap, .owner = owner};
}

void buf_deinit(struct buf *buf) {
    heap_free(buf->heap, buf->owner, buf->data, buf->cap);
    buf->data = NULL;
    buf->read = buf->len = buf->cap = 0;
}

static size_t wanted_cap(const struct buf *buf, size_t extra) {
    size_t need = buf->len + extra;
    size_t cap = buf->cap < BUF_DOUBLES ? buf->cap * 2 : buf->cap + buf->cap / 4;
    return MAX(MAX(cap, need), BUF_FIRST);
}

void buf_grow(struct buf *buf, size_t extra) {
    size_t cap = wanted_cap(buf, extra);
    buf->data = heap_resize(buf->heap, buf->owner, buf->data, buf->cap, cap);
    buf->cap = cap;
}

bool buf_try_reserve(struct buf *buf, size_t extra) {
    if (buf->cap - buf->len >= extra) return true;
    size_t cap = MAX(buf->len + extra, BUF_FIRST);
    char *data = heap_try_resize(buf->heap, buf->owner, buf->data, buf->cap, cap);
    if (!data) return false;
    buf->data = data;
    buf->cap = cap;
    return true;
}

void buf_reset(struct buf *buf, size_t keep) {
    buf->read = buf->len = 0;
    if (buf->cap > keep) buf_deinit(buf);
}

void buf_take(struct buf *to, struct buf *from) {
    ASSERT(buf_readable(to) == 0 && to->heap == from->heap);
    int64_t held = (int64_t)buf_held(from);
    buf_deinit(to);
    heap_count(to->heap, from->owner, -held);
    heap_count(to->heap, to->owner, held);
    to->data = from->data;
    to->read = from->read;
    to->len = from->len;
    to->cap = from->cap;
    from->data = NULL;
    from->read = from->len = from->cap = 0;
}

void buf_cut(struct buf *buf, size_t len) {
    ASSERT(len >= buf->read && len <= buf->len);
    size_t cap = MAX(len, BUF_FIRST);
    buf->len = len;
    if (buf->cap <= 2 * cap) return;
    buf->data = heap_resize(buf->heap, buf->owner, buf->data, buf->cap, cap);
    buf->cap = cap;
}

void buf_compact(struct buf *buf) {
    if (buf->read == 0) return;
    size_t rest = buf_readable(buf);
    if (rest) memmove(buf->data, buf->data + buf->read, rest);
    buf->read = 0;
    buf->len = rest;
}

void buf_insert(struct buf *buf, size_t at, struct slice bytes) {
    buf_make_room(buf, bytes.len);
    memmove(buf->data + at + bytes.len, buf->data + at, buf->len - at);
    memcpy(buf->data + at, bytes.ptr, bytes.len);
    buf->len += bytes.len;
}

void buf_printf(struct buf *buf, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(need >= 0);
    char *at = buf_reserve(buf, (size_t)need + 1);
    vsnprintf(at, (size_t)need + 1, format, again);
    va_end(again);
    buf->len += (size_t)need;
}
