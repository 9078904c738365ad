/* Xxh3: five ways, by length.
 *
 *      0                 a constant
 *      1 .. 16           all bytes in one or two words, which are mixed
 *      17 .. 240         pieces of 16 bytes, each folded from a product of 128 bits; their sum
 *      241 ..            eight sums; stripes of 64 bytes are added to them, each under the secret from one word further
 *      on.
 *                        After 16 stripes the sums are scrambled. The last 64 bytes are one more stripe, then the sums
 *                        are folded by twos.
 *
 * Words are little-endian in memory. */
#include "core/xxh3.h"
#include "core/defs.h"
#include <endian.h>
#include <string.h>

#define PRIME32_1 0x9e3779b1u
#define PRIME32_2 0x85ebca77u
#define PRIME32_3 0xc2b2ae3du
#define PRIME64_1 0x9e3779b185ebca87u
#define PRIME64_2 0xc2b2ae3d27d4eb4fu
#define PRIME64_3 0x165667b19e3779f9u
#define PRIME64_4 0x85ebca77c2b2ae63u
#define PRIME64_5 0x27d4eb2f165667c5u
#define MIX_1     0x165667919e3779f9u
#define MIX_2     0x9fb21c651e98df25u

#define SUMS         8
#define STRIPE       64
#define BLOCK        1024 /* 16 stripes: then the secret is used up */
#define SHORT_MAX    240
#define SECRET_BYTES 192

/* The algorithm's own, as words. */
static const uint64_t secret_words[SECRET_BYTES / 8] = {
    0xbe4ba423396cfeb8, 0x1cad21f72c81017c, 0xdb979083e96dd4de, 0x1f67b3b7a4a44072, 0x78e5c0cc4ee679cb,
    0x2172ffcc7dd05a82, 0x8e2443f7744608b8, 0x4c263a81e69035e0, 0xcb00c391bb52283c, 0xa32e531b8b65d088,
    0x4ef90da297486471, 0xd8acdea946ef1938, 0x3f349ce33f76faa8, 0x1d4f0bc7c7bbdcf9, 0x3159b4cd4be0518a,
    0x647378d9c97e9fc8, 0xc3ebd33483acc5ea, 0xeb6313faffa081c5, 0x49daf0b751dd0d17, 0x9e68d429265516d3,
    0xfca1477d58be162b, 0xce31d07ad1b8f88f, 0x280416958f3acb45, 0x7e404bbbcafbd7af,
};

static uint64_t read_64(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return le64toh(word);
}

static uint64_t read_32(const char *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return le32toh(word);
}

/* The secret from any byte on. */
static uint64_t secret_at(size_t at) {
    unsigned shift = at % 8 * 8;
    uint64_t low = secret_words[at / 8] >> shift;
    return shift ? low | secret_words[at / 8 + 1] << (64 - shift) : low;
}

static uint64_t rotate(uint64_t x, unsigned bits) {
    return x << bits | x >> (64 - bits);
}

static uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t avalanche(uint64_t x) {
    x ^= x >> 37;
    x *= MIX_1;
    return x ^ x >> 32;
}

static uint64_t avalanche_old(uint64_t x) { /* that of XXH64 */
    x ^= x >> 33;
    x *= PRIME64_2;
    x ^= x >> 29;
    x *= PRIME64_3;
    return x ^ x >> 32;
}

/* --- up to 16 bytes --- */

static uint64_t of_1_to_3(const char *at, size_t len) {
    uint64_t first = (uint8_t)at[0], middle = (uint8_t)at[len >> 1], last = (uint8_t)at[len - 1];
    uint64_t secret = (secret_at(0) ^ secret_at(0) >> 32) & UINT32_MAX;
    return avalanche_old((first << 16 | middle << 24 | last | len << 8) ^ secret);
}

static uint64_t of_4_to_8(const char *at, size_t len) {
    uint64_t x = (read_32(at + len - 4) + (read_32(at) << 32)) ^ (secret_at(8) ^ secret_at(16));
    x ^= rotate(x, 49) ^ rotate(x, 24);
    x *= MIX_2;
    x ^= (x >> 35) + len;
    x *= MIX_2;
    return x ^ x >> 28;
}

static uint64_t of_9_to_16(const char *at, size_t len) {
    uint64_t low = read_64(at) ^ (secret_at(24) ^ secret_at(32));
    uint64_t high = read_64(at + len - 8) ^ (secret_at(40) ^ secret_at(48));
    return avalanche(len + __builtin_bswap64(low) + high + fold(low, high));
}

/* --- up to 240 bytes --- */

static uint64_t mix_16(const char *at, size_t secret) {
    return fold(read_64(at) ^ secret_at(secret), read_64(at + 8) ^ secret_at(secret + 8));
}

/* Pieces from both ends, as many as are needed to have met every byte. */
static uint64_t of_17_to_128(const char *at, size_t len) {
    uint64_t sum = len * PRIME64_1;
    for (size_t i = 0; i <= (len - 1) / 32; i++)
        sum += mix_16(at + 16 * i, 32 * i) + mix_16(at + len - 16 * (i + 1), 32 * i + 16);
    return avalanche(sum);
}

static uint64_t of_129_to_240(const char *at, size_t len) {
    uint64_t sum = len * PRIME64_1;
    for (size_t i = 0; i < 8; i++) sum += mix_16(at + 16 * i, 16 * i);
    sum = avalanche(sum) + mix_16(at + len - 16, 136 - 17);
    for (size_t i = 8; i < len / 16; i++) sum += mix_16(at + 16 * i, 16 * (i - 8) + 3);
    return avalanche(sum);
}

/* --- more --- */

static void add_stripe(uint64_t sums[SUMS], const char *at, const uint64_t secret[SUMS]) {
    for (size_t i = 0; i < SUMS; i++) {
        uint64_t word = read_64(at + 8 * i), key = word ^ secret[i];
        sums[i ^ 1] += word;
        sums[i] += (key & UINT32_MAX) * (key >> 32);
    }
}

static void scramble(uint64_t sums[SUMS]) {
    for (size_t i = 0; i < SUMS; i++) {
        sums[i] ^= sums[i] >> 47;
        sums[i] ^= secret_words[(SECRET_BYTES - STRIPE) / 8 + i];
        sums[i] *= PRIME32_1;
    }
}

static uint64_t of_many(const char *at, size_t len) {
    uint64_t sums[SUMS] = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1};
    uint64_t last[SUMS], result = len * PRIME64_1;
    size_t stripes = (len - 1) / STRIPE;
    for (size_t i = 0; i < stripes; i++) {
        add_stripe(sums, at + i * STRIPE, &secret_words[i % (BLOCK / STRIPE)]);
        if (i % (BLOCK / STRIPE) == BLOCK / STRIPE - 1) scramble(sums);
    }
    for (size_t i = 0; i < SUMS; i++) last[i] = secret_at(SECRET_BYTES - STRIPE - 7 + 8 * i);
    add_stripe(sums, at + len - STRIPE, last);
    for (size_t i = 0; i < SUMS; i += 2)
        result += fold(sums[i] ^ secret_at(11 + 8 * i), sums[i + 1] ^ secret_at(19 + 8 * i));
    return avalanche(result);
}

uint64_t xxh3_64(struct slice bytes) {
    size_t len = bytes.len;
    if (len > SHORT_MAX) return of_many(bytes.ptr, len);
    if (len > 128) return of_129_to_240(bytes.ptr, len);
    if (len > 16) return of_17_to_128(bytes.ptr, len);
    if (len > 8) return of_9_to_16(bytes.ptr, len);
    if (len > 3) return of_4_to_8(bytes.ptr, len);
    if (len > 0) return of_1_to_3(bytes.ptr, len);
    return avalanche_old(secret_at(56) ^ secret_at(64));
}
