/* Hash: from bytes to a bucket, and from a key to a cluster slot.
 *
 * hash_bytes is seeded: with a secret seed a client cannot choose keys that collide, so the worst case of a table stays
 * a matter of luck. In production the seed must come from the kernel's random bytes; tests fix it. The result is 64
 * well mixed bits: take a bucket from some and a tag from others. It is the same on every machine that has the same way
 * to compute it, for the same seed, and never goes to disk. There are two ways; which one, the processor decides:
 *
 * hash_aes    Rounds of AES keyed by the seed, one instruction each (AES-NI), the idea of the hash of Go's maps
 *             ("aeshash"). Up to 16 bytes are one block, which four rounds permute: no two keys of a length have the
 *             same 128 bits, of which 64 are taken. Longer keys take two rounds a block. A difference that enters with
 *             one block passes at least five active S-boxes before the next block could take it back (four bytes spread
 *             to a column, Daemen and Rijmen, "The Design of Rijndael", 9.5), a chance of 2^-30 for whoever does not
 *             know the seed and sees no hashes (the order of SCAN shows some bits of them, to those who may SCAN). In a
 *             batch 2 ns for up to 32 bytes, 4 for 64 (a lonely one 10 and 18), where hash_sip needs 7 to 18 (10 to
 *             20).
 * hash_sip    SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; one round per word and
 *             three at the end, the variant that Rust and Python use for their tables), for all other processors.
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
uint64_t hash_bytes(const struct hash_seed *seed, const void *bytes, size_t len);

/* Its two ways by themselves, for tests. hash_aes may only be called where hash_has_aes. */
uint64_t hash_sip(const struct hash_seed *seed, const void *bytes, size_t len);
uint64_t hash_aes(const struct hash_seed *seed, const void *bytes, size_t len);
bool hash_has_aes(void);

/* --- cluster slot --- */

#define HASH_SLOTS 16384 /* Redis Cluster: 14 of CRC16's bits */

/* crc16(key) % HASH_SLOTS. A hash tag stands for the key: the bytes between the first '{' and the
 * first '}' after it, if any. So {user1}.name and {user1}.mail share a slot. O(len). */
unsigned hash_slot(struct slice key);
