/* Prng: random numbers from a seed, the same sequence for the same seed on every machine.
 *
 * Used wherever Redis draws (SPOP, RANDOMKEY, sampling for eviction) and by simulation and tests,
 * which is why there is no global one: each shard owns a struct prng, seeded by whoever builds it.
 * Not for secrets; tokens and hash seeds come from the kernel.
 *
 * xoshiro256** 1.0 (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2018),
 * period 2^256 - 1; its state is filled by splitmix64, so any seed is a good one, 0 too. A few ns
 * a number.
 *
 * Ownership  the caller's memory, nothing to free. A copy repeats the sequence.
 * Threads    one at a time. */
#pragma once
#include "core/defs.h"

struct prng {
    uint64_t state[4]; /* never all zero */
};

void prng_init(struct prng *prng, uint64_t seed);
uint64_t prng_next(struct prng *prng);              /* all 64 bits are good */
uint64_t prng_below(struct prng *prng, uint64_t n); /* uniform in [0, n), exactly; n > 0 */
double prng_double(struct prng *prng);              /* uniform in [0, 1), a multiple of 2^-53 */
