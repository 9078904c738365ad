/* Text array: the naive twin of every list, an array of copied strings where each change moves all
 * that is behind it. */
#pragma once
#include "core/slice.h"
#include <stdlib.h>

struct text_array {
    struct slice *texts;
    size_t count, cap;
};

static inline struct slice text_copy(struct slice text) {
    char *bytes = malloc(text.len + 1);
    if (text.len) memcpy(bytes, text.ptr, text.len);
    return slice_of(bytes, text.len);
}

static inline void text_free(struct slice text) {
    free((char *)(uintptr_t)text.ptr);
}

static inline void text_array_insert(struct text_array *array, size_t at, struct slice text) {
    if (array->count == array->cap) {
        array->cap = 2 * array->cap + 100;
        array->texts = realloc(array->texts, array->cap * sizeof *array->texts);
    }
    memmove(array->texts + at + 1, array->texts + at, (array->count - at) * sizeof text);
    array->texts[at] = text_copy(text);
    array->count++;
}

static inline void text_array_remove(struct text_array *array, size_t at, size_t count) {
    for (size_t i = at; i < at + count; i++) text_free(array->texts[i]);
    array->count -= count;
    if (array->count) memmove(array->texts + at, array->texts + at + count, (array->count - at) * sizeof *array->texts);
}

static inline void text_array_replace(struct text_array *array, size_t at, struct slice text) {
    text_free(array->texts[at]);
    array->texts[at] = text_copy(text);
}

/* Takes out up to max equal ones, from the front or from the back; how many. */
static inline uint64_t text_array_purge(struct text_array *array, bool from_back, struct slice text, uint64_t max) {
    uint64_t gone = 0;
    for (size_t passed = 0; passed < array->count && gone < max;) {
        size_t at = from_back ? array->count - 1 - passed : passed;
        if (slice_equal(array->texts[at], text)) {
            text_array_remove(array, at, 1);
            gone++;
        } else {
            passed++;
        }
    }
    return gone;
}

static inline void text_array_clear(struct text_array *array) {
    if (array->count) text_array_remove(array, 0, array->count);
    free(array->texts);
    *array = (struct text_array){0};
}
