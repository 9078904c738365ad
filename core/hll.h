/* Hll: HyperLogLog, how many different things were seen, within 0.81 %, in the bytes that Redis keeps in a string.
 *
 *      | "HYLL" | encoding 1 | 0 0 0 | cached count 8, highest bit: it is out of date | registers |
 *
 * 16384 registers of 0 to 63. Dense: 6 bits each, from the low bits of each byte up. Sparse: runs,
 *
 *      00llllll           l + 1 registers are 0              01llllll llllllll  the same, up to 16384
 *      1vvvvvll           l + 1 registers are v + 1
 *
 * which is made dense when it gets longer than a limit, or a register is above 32. Bytes are the same as Redis's after
 * the same additions, so that a value may move between the two.
 *
 * Sources   Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm" (2007); the
 *           estimator is that of Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017);
 *           elements are hashed with MurmurHash64A. Thread: any. Hostile input: runs that do not make 16384 registers
 *           are found (HLL_CORRUPT). */
#pragma once
#include "core/buf.h"
#include "core/slice.h"

#define HLL_REGISTERS   16384
#define HLL_HEADER      16
#define HLL_DENSE_BYTES (HLL_HEADER + HLL_REGISTERS * 6 / 8)

enum hll_result { HLL_SAME, HLL_CHANGED, HLL_CORRUPT };

bool hll_is_one(struct slice value); /* by its header and, when dense, its length */
bool hll_is_dense(struct slice value);
void hll_init(struct buf *value); /* appends an empty one, sparse */

/* The register of an element, and what it has to be at least. */
struct hll_place {
    uint32_t at;
    uint8_t count;
};
struct hll_place hll_place_of(struct slice element);
uint8_t hll_get_dense(const char *value, uint32_t at);
/* Raises a register. Dense: in place. */
enum hll_result hll_raise_dense(char *value, struct hll_place place);
/* Any: value holds it and nothing else, and may grow, shrink and become dense. O(bytes). */
enum hll_result hll_raise(struct buf *value, struct hll_place place, size_t sparse_max);
enum hll_result hll_make_dense(struct buf *value); /* HLL_SAME: it is already */

/* Each register becomes the larger one. False: corrupt. */
NODISCARD bool hll_merge(struct slice value, uint8_t registers[HLL_REGISTERS]);
uint64_t hll_count(const uint8_t registers[HLL_REGISTERS]);

/* --- the count that is kept with it --- */
bool hll_read_cached(struct slice value, uint64_t *count); /* false: out of date */
void hll_write_cached(char *value, uint64_t count);
void hll_forget_cached(char *value);
