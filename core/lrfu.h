/* LRFU: how often and how recently something is used, as one number in the 24 bits of an entry's access field.
 *
 * Each use counts 1, and counts half as much after a half-life: the value of an entry is C = sum of 2^-(age of the
 * use). Between LFU (uses count for ever) and LRU (only the last one counts) that is the whole range, chosen by the
 * half-life (Lee et al., "LRFU: a spectrum of policies that subsumes the LRU and LFU policies", 2001).
 *
 * What is stored is not C, which falls all the time, but its logarithm on a clock that counts half-lives:
 *
 *      field = clock + log2(C), in 1/256, modulo 2^24        which does not change while nothing is used
 *
 * So values of two entries are compared by subtracting their fields, and a use adds 1 to C = 2^(field - clock). Above
 * some 100,000 C does not grow any more. A field that says more than that is of another policy, or older than half the
 * range of the clock: it counts as worth nothing.
 *
 * Pure functions. */
#pragma once
#include "core/defs.h"

#define LRFU_ONE   256u /* clock units per half-life */
#define LRFU_FIELD 0xFFFFFFu

/* log2(C) in clock units; INT32_MIN when the field says nothing. */
HOT_INLINE int32_t lrfu_log(uint32_t field, uint32_t clock) {
    int32_t log = (int32_t)((field - clock) << 8) >> 8;
    return log > 24 * (int32_t)LRFU_ONE ? INT32_MIN : log;
}
/* The field after one more use. chance: eight random bits, by which fractions are rounded. */
uint32_t lrfu_access(uint32_t field, uint32_t clock, uint32_t chance);
/* C, rounded, at most 255: what OBJECT FREQ shows. And the field of an entry that has this C now. */
uint32_t lrfu_uses(uint32_t field, uint32_t clock);
uint32_t lrfu_field(uint32_t clock, uint32_t uses);
