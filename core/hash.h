/* Hash: from bytes to a bucket, and from a key to a cluster slot.
 *
 * hash_bytes is SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; one
 * round per word and three at the end, the variant that Rust and Python use for their tables). With
 * a secret seed a client cannot choose keys that collide, so the worst case of a table stays a
 * matter of luck. In production the seed must come from the kernel's random bytes; tests fix it.
 * The result is 64 well mixed bits: take a bucket from some and a tag from others. It is the same
 * on every machine for the same seed, and never goes to disk.
 *
 * Cost: five dependent rounds and one more per 8 bytes: 12 ns for 8 bytes, 23 ns for 32 on the
 * small virtual machine it was written on. It is inline so that the hashes of a batch can overlap.
 *
 * hash_slot is Redis Cluster's mapping and public: nothing about it resists an attack. */
#pragma once
#include "core/slice.h"
#include <endian.h>

/* --- seeded hash of bytes --- */

struct hash_seed {
    uint64_t k0, k1; /* the 128-bit key, each half little-endian */
};

HOT_INLINE uint64_t hash_rotate(uint64_t x, unsigned bits) {
    return x << bits | x >> (64 - bits);
}

HOT_INLINE uint64_t hash_load64(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return le64toh(word);
}

HOT_INLINE uint32_t hash_load32(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return le32toh(word);
}

HOT_INLINE void hash_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = hash_rotate(v[1], 13) ^ v[0];
    v[3] = hash_rotate(v[3], 16) ^ v[2];
    v[0] = hash_rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[1] = hash_rotate(v[1], 17) ^ v[2];
    v[3] = hash_rotate(v[3], 21) ^ v[0];
    v[2] = hash_rotate(v[2], 32);
}

/* The 0-7 bytes that do not fill a word, little-endian, without a loop and without reading outside
 * bytes[0..len): a long input rereads its last eight bytes and shifts the known ones away, a short
 * one is two or three overlapping reads. */
HOT_INLINE uint64_t hash_tail(const uint8_t *bytes, size_t len) {
    size_t rest = len & 7;
    if (rest == 0) return 0;
    if (len >= 8) return hash_load64(bytes + len - 8) >> (8 * (8 - rest));
    if (len >= 4) {
        return hash_load32(bytes) | (uint64_t)hash_load32(bytes + len - 4) << (8 * (len - 4));
    }
    return bytes[0] | (uint64_t)bytes[len / 2] << (8 * (len / 2)) | (uint64_t)bytes[len - 1] << (8 * (len - 1));
}

/* O(len); bytes may be NULL when len is 0. */
static inline uint64_t hash_bytes(const struct hash_seed *seed, const void *bytes, size_t len) {
    const uint8_t *p = bytes;
    uint64_t v[4] = {/* "somepseudorandomlygeneratedbytes", the paper's constants */
                     seed->k0 ^ 0x736f6d6570736575ULL, seed->k1 ^ 0x646f72616e646f6dULL,
                     seed->k0 ^ 0x6c7967656e657261ULL, seed->k1 ^ 0x7465646279746573ULL};
    uint64_t last = (uint64_t)len << 56 | hash_tail(p, len);
    for (size_t words = len / 8; words > 0; words--, p += 8) {
        uint64_t word = hash_load64(p);
        v[3] ^= word;
        hash_round(v);
        v[0] ^= word;
    }
    v[3] ^= last;
    hash_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    hash_round(v);
    hash_round(v);
    hash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- cluster slot --- */

#define HASH_SLOTS 16384 /* Redis Cluster: 14 of CRC16's bits */

/* crc16(key) % HASH_SLOTS. A hash tag stands for the key: the bytes between the first '{' and the
 * first '}' after it, if any. So {user1}.name and {user1}.mail share a slot. O(len). */
unsigned hash_slot(struct slice key);
