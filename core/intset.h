/* Intset: distinct integers in ascending order, 2, 4 or 8 bytes each, in one stretch of memory.
 *
 * All have the width that the widest of them needs, little-endian, so that a value is found by halving. The bytes are
 * those behind the head of Redis's intset, so one becomes the other by 8 bytes in front (shards/dump_set.c).
 *
 * An intset owns nothing; it is a view of bytes. Its owner is the entry of a small set (core/value.h), which keeps the
 * width in a byte of its own and makes room; what is here reads, searches and writes.
 *
 * Cost      finding is O(log n), an insert moves half of the bytes in the mean.
 * Threads   pure functions. */
#pragma once
#include "core/slice.h"
#include <endian.h>

struct intset {
    const char *ints;
    uint32_t count;
    uint8_t width; /* 2, 4 or 8 */
};

HOT_INLINE int64_t intset_at(const struct intset *set, uint32_t index) {
    const char *at = set->ints + (size_t)index * set->width;
    uint64_t wide;
    uint32_t half;
    uint16_t quarter;
    switch (set->width) {
    case 2: memcpy(&quarter, at, sizeof quarter); return (int16_t)le16toh(quarter);
    case 4: memcpy(&half, at, sizeof half); return (int32_t)le32toh(half);
    default: memcpy(&wide, at, sizeof wide); return (int64_t)le64toh(wide);
    }
}

uint8_t intset_width_of(int64_t value); /* that it needs */
/* Is it there? *index is where it is, or would be. */
bool intset_find(const struct intset *set, int64_t value, uint32_t *index);

/* --- writing --- */
void intset_write(char *at, unsigned width, int64_t value);
/* All of them once more at `to`, with a width at least as large. */
void intset_widen(char *to, unsigned width, const struct intset *set);
/* Puts values in ascending order; for building one. O(n log n). */
void intset_sort(int64_t *values, size_t count);

/* Are these bytes, from outside, whole integers of this width in strictly ascending order? Then *set is their view. */
NODISCARD bool intset_open(struct slice bytes, unsigned width, struct intset *set);
