/* Intsets: halving, and integers of three widths. */
#include "core/intset.h"
#include "core/assert.h"
#include <stdlib.h>

uint8_t intset_width_of(int64_t value) {
    if (value >= INT16_MIN && value <= INT16_MAX) return 2;
    return value >= INT32_MIN && value <= INT32_MAX ? 4 : 8;
}

bool intset_find(const struct intset *set, int64_t value, uint32_t *index) {
    uint32_t low = 0, high = set->count; /* it stands in [low, high), or would stand at low when that is empty */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (intset_at(set, middle) < value)
            low = middle + 1;
        else
            high = middle;
    }
    *index = low;
    return low < set->count && intset_at(set, low) == value;
}

void intset_write(char *at, unsigned width, int64_t value) {
    uint64_t wide = htole64((uint64_t)value);
    ASSERT_SLOW(width >= intset_width_of(value));
    memcpy(at, &wide, width); /* little-endian: the low bytes come first */
}

void intset_widen(char *to, unsigned width, const struct intset *set) {
    ASSERT(width >= set->width);
    for (uint32_t i = 0; i < set->count; i++) intset_write(to + (size_t)i * width, width, intset_at(set, i));
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void intset_sort(int64_t *values, size_t count) {
    if (count > 1) qsort(values, count, sizeof *values, ascending);
}

bool intset_open(struct slice bytes, unsigned width, struct intset *set) {
    if (width != 2 && width != 4 && width != 8) return false;
    if (bytes.len % width != 0 || bytes.len / width > UINT32_MAX) return false;
    *set = (struct intset){bytes.ptr, (uint32_t)(bytes.len / width), (uint8_t)width};
    for (uint32_t i = 1; i < set->count; i++)
        if (intset_at(set, i - 1) >= intset_at(set, i)) return false;
    return true;
}
