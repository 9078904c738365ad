/* xoshiro256** and the two ways to narrow its output without bias. */
#include "core/prng.h"
#include "core/assert.h"

static uint64_t rotate(uint64_t x, unsigned bits) {
    return x << bits | x >> (64 - bits);
}

/* Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014. It is a bijection
 * of a counter, so four results in a row cannot all be zero: the one state xoshiro never leaves. */
static uint64_t splitmix64(uint64_t *counter) {
    uint64_t z = *counter += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

void prng_init(struct prng *prng, uint64_t seed) {
    for (size_t i = 0; i < ARRAY_LEN(prng->state); i++) prng->state[i] = splitmix64(&seed);
}

uint64_t prng_next(struct prng *prng) {
    uint64_t *s = prng->state;
    ASSERT_SLOW((s[0] | s[1] | s[2] | s[3]) != 0); /* prng_init was forgotten */
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

/* Lemire, "Fast Random Integer Generation in an Interval", 2019: the high half of random * n is the
 * answer. The low half tells when we are in the 2^64 mod n values that would make some answers more
 * likely; those draw again. The division that counts them is reached with probability n / 2^64
 * only. */
uint64_t prng_below(struct prng *prng, uint64_t n) {
    ASSERT(n > 0);
    unsigned __int128 product = (unsigned __int128)prng_next(prng) * n;
    if (UNLIKELY((uint64_t)product < n)) {
        uint64_t excess = (0 - n) % n;
        while ((uint64_t)product < excess) product = (unsigned __int128)prng_next(prng) * n;
    }
    return (uint64_t)(product >> 64);
}

double prng_double(struct prng *prng) {
    return (double)(prng_next(prng) >> 11) * 0x1p-53;
}
