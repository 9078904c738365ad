/* Slice: borrowed bytes. A slice never owns; it is valid as long as whatever it points into.
 *
 * Bytes are binary: no terminator, any value, length 0 allowed (then ptr may be NULL). */
#pragma once
#include "core/defs.h"
#include <string.h>

struct slice {
    const char *ptr;
    size_t len;
};

/* A literal as a constant initialiser: {SLICE_INIT("get")}. */
#define SLICE_INIT(literal)                                                                                            \
    { (literal), sizeof(literal) - 1 }
#define SLICE(literal) ((struct slice)SLICE_INIT(literal))

HOT_INLINE struct slice slice_of(const char *ptr, size_t len) {
    return (struct slice){ptr, len};
}

HOT_INLINE struct slice slice_of_cstr(const char *text) {
    return (struct slice){text, strlen(text)};
}

HOT_INLINE uint64_t slice_word(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Out of line, so that gcc does not warn about the callers whose slices it knows to be short. */
__attribute__((noinline, unused)) static bool slice_equal_long(struct slice a, struct slice b) {
    return memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* Keys are mostly 8 to 32 bytes, names of commands 3 to 7: compared as words, the last of them overlapping, without a
 * call. */
HOT_INLINE bool slice_equal(struct slice a, struct slice b) {
    size_t len = a.len;
    if (len != b.len) return false;
    if (LIKELY(len >= 8 && len <= 32)) {
        for (size_t i = 0; i + 8 < len; i += 8)
            if (slice_word(a.ptr + i) != slice_word(b.ptr + i)) return false;
        return slice_word(a.ptr + len - 8) == slice_word(b.ptr + len - 8);
    }
    if (len > 32) return slice_equal_long(a, b);
    if (len >= 4) {
        uint32_t head[2], tail[2];
        memcpy(&head[0], a.ptr, 4);
        memcpy(&head[1], b.ptr, 4);
        memcpy(&tail[0], a.ptr + len - 4, 4);
        memcpy(&tail[1], b.ptr + len - 4, 4);
        return head[0] == head[1] && tail[0] == tail[1];
    }
    return len == 0 || (a.ptr[0] == b.ptr[0] && a.ptr[len / 2] == b.ptr[len / 2] && a.ptr[len - 1] == b.ptr[len - 1]);
}

/* Copies without a call when short: 16 bytes at a time, the last 16 overlapping. to and from do not overlap. */
HOT_INLINE void slice_copy(char *to, const char *from, size_t len) {
    if (UNLIKELY(len < 16 || len > 128)) {
        if (len) memcpy(to, from, len);
        return;
    }
    for (size_t i = 0; i + 16 < len; i += 16) memcpy(to + i, from + i, 16);
    memcpy(to + len - 16, from + len - 16, 16);
}

/* ASCII case is ignored; a lower-case literal as b is the usual call. O(len). */
static inline bool slice_equal_nocase(struct slice a, struct slice b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++) {
        unsigned char x = (unsigned char)a.ptr[i], y = (unsigned char)b.ptr[i];
        if (x >= 'A' && x <= 'Z') x = (unsigned char)(x + 32);
        if (y >= 'A' && y <= 'Z') y = (unsigned char)(y + 32);
        if (x != y) return false;
    }
    return true;
}

/* The form handlers use to match option words: slice_is(x->argv[3], "keepttl"). */
#define slice_is(s, literal) slice_equal_nocase((s), SLICE(literal))

/* Bytewise order, a shorter prefix first: negative, zero or positive. */
static inline int slice_compare(struct slice a, struct slice b) {
    size_t n = MIN(a.len, b.len);
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    if (c != 0) return c;
    return a.len < b.len ? -1 : a.len > b.len;
}
