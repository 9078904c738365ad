/* The two hashes of bytes, and the cluster slot. */
#include "core/hash.h"
#include "core/assert.h"
#include "core/crc.h"
#include <assert.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

/* --- SipHash-1-3 --- */

HOT_INLINE void sip_round(uint64_t v[4]) {
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

uint64_t hash_sip(const struct hash_seed *seed, const void *bytes, size_t len) {
    const uint8_t *p = bytes;
    uint64_t v[4] = {/* "somepseudorandomlygeneratedbytes", the paper's constants */
                     seed->k0 ^ 0x736f6d6570736575ULL, seed->k1 ^ 0x646f72616e646f6dULL,
                     seed->k0 ^ 0x6c7967656e657261ULL, seed->k1 ^ 0x7465646279746573ULL};
    uint64_t last = (uint64_t)len << 56 | hash_tail(p, len);
    for (size_t words = len / 8; words > 0; words--, p += 8) {
        uint64_t word = hash_load64(p);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- rounds of AES --- */

#ifdef __x86_64__

/* The last block, be it the only one: up to 16 bytes, padded with zeros or read again. With the length beside it no two
 * keys make the same block. */
HOT_INLINE __m128i aes_tail(const uint8_t *bytes, size_t len) {
    if (LIKELY(len >= 16)) return _mm_loadu_si128((const __m128i *)(const void *)(bytes + len - 16));
    if (len >= 8) return _mm_set_epi64x((long long)hash_load64(bytes + len - 8), (long long)hash_load64(bytes));
    return _mm_cvtsi64_si128((long long)hash_tail(bytes, len));
}

__attribute__((target("aes"))) uint64_t hash_aes(const struct hash_seed *seed, const void *bytes, size_t len) {
    const uint8_t *p = bytes;
    const __m128i even = _mm_loadu_si128((const __m128i *)(const void *)seed);
    const __m128i odd = _mm_xor_si128(even, _mm_set_epi64x(0x6c7967656e657261LL, 0x7465646279746573LL));
    __m128i state = _mm_xor_si128(even, _mm_cvtsi64_si128((long long)len));
    for (size_t left = len; left > 16; left -= 16, p += 16) {
        state = _mm_xor_si128(state, _mm_loadu_si128((const __m128i *)(const void *)p));
        state = _mm_aesenc_si128(_mm_aesenc_si128(state, odd), even);
    }
    state = _mm_xor_si128(state, aes_tail(bytes, len));
    state = _mm_aesenc_si128(_mm_aesenc_si128(state, odd), even);
    state = _mm_aesenc_si128(_mm_aesenc_si128(state, odd), even);
    return (uint64_t)_mm_cvtsi128_si64(state);
}

bool hash_has_aes(void) {
    return __builtin_cpu_supports("aes");
}

#else

uint64_t hash_aes(const struct hash_seed *seed, const void *bytes, size_t len) {
    (void)seed, (void)bytes, (void)len;
    ASSERT(hash_has_aes());
    return 0;
}

bool hash_has_aes(void) {
    return false;
}

#endif

uint64_t hash_bytes(const struct hash_seed *seed, const void *bytes, size_t len) {
    return LIKELY(hash_has_aes()) ? hash_aes(seed, bytes, len) : hash_sip(seed, bytes, len);
}

/* --- cluster slot ---
 *
 * The rule of the Redis Cluster specification, "Hash tags". Most keys hold no '{', and for those the rule costs one
 * memchr. */

static_assert((HASH_SLOTS & (HASH_SLOTS - 1)) == 0, "the slot is the CRC's low bits");

/* The part of the key that decides, given its first '{'. */
static struct slice tag_or_key(struct slice key, const char *open) {
    const char *tag = open + 1;
    size_t rest = (size_t)(key.ptr + key.len - tag);
    const char *close = memchr(tag, '}', rest);
    if (!close || close == tag) return key;
    return slice_of(tag, (size_t)(close - tag));
}

unsigned hash_slot(struct slice key) {
    const char *open = key.len ? memchr(key.ptr, '{', key.len) : NULL;
    if (UNLIKELY(open)) key = tag_or_key(key, open);
    return crc16(key.ptr, key.len) & (HASH_SLOTS - 1);
}
