/* CRCs by slicing: eight table look-ups that do not wait for each other, where a loop over bytes
 * has eight that do.
 *
 * A CRC is linear: the CRC of a XOR b is the CRC of a XOR the CRC of b. So the whole checksum of
 * eight bytes is the XOR of what each byte contributes alone, and table[k][v] is that contribution
 * for a byte v with k bytes after it.
 *
 * Linearity builds the tables too. A byte with one bit set contributes the polynomial pushed
 * through the shift register some number of times. Those 8 * 8 values are one chain, each a
 * single-bit step of the one before; a byte with several bits is the XOR of its bits. The compiler
 * does all of it: nothing to initialise, nothing to write by hand, and the tests compare every
 * table entry with the bit-by-bit definition.
 *
 *   chain:  s0 = polynomial, s1 = step(s0), ... s63
 *   crc16, highest bit first:  table[k][1 << j]   = s(8k + j)
 *   crc64, lowest bit first:   table[k][128 >> j] = s(8k + j)
 *   crc32c, the same way */
#include "core/crc.h"
#include "core/defs.h"
#include <endian.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

/* One clock of each shift register, as an enumerator: so can one C constant come from another. */
#define CRC16_POLY           0x1021
#define CRC16_STEP(to, from) to = (((from) << 1) & 0xffff) ^ (((from)&0x8000) ? CRC16_POLY : 0)
#define CRC64_POLY           0x95ac9329ac4bc9b5ULL /* Jones's 0xad93d23594c935a9, bits reversed */
#define CRC64_STEP(to, from) to = ((from) >> 1) ^ (((from)&1) ? CRC64_POLY : 0)
#define CRC32_POLY           0x82f63b78 /* Castagnoli's 0x1edc6f41, bits reversed */
#define CRC32_STEP(to, from) to = ((from) >> 1) ^ (((from)&1) ? CRC32_POLY : 0)

/* Steps are named in octal: a17 is step 15. A row of eight goes on where the row before ended. */
#define CHAIN_ROW(STEP, s, before, row)                                                                                \
    STEP(s##row##0, s##before##7), STEP(s##row##1, s##row##0), STEP(s##row##2, s##row##1), STEP(s##row##3, s##row##2), \
        STEP(s##row##4, s##row##3), STEP(s##row##5, s##row##4), STEP(s##row##6, s##row##5), STEP(s##row##7, s##row##6)

#define CHAIN(STEP, POLY, s)                                                                                           \
    s##00 = (POLY), STEP(s##01, s##00), STEP(s##02, s##01), STEP(s##03, s##02), STEP(s##04, s##03),                    \
    STEP(s##05, s##04), STEP(s##06, s##05), STEP(s##07, s##06), CHAIN_ROW(STEP, s, 0, 1), CHAIN_ROW(STEP, s, 1, 2),    \
    CHAIN_ROW(STEP, s, 2, 3), CHAIN_ROW(STEP, s, 3, 4), CHAIN_ROW(STEP, s, 4, 5), CHAIN_ROW(STEP, s, 5, 6),            \
    CHAIN_ROW(STEP, s, 6, 7)

enum { CHAIN(CRC16_STEP, CRC16_POLY, a) };
enum { CHAIN(CRC64_STEP, CRC64_POLY, b) }; /* 64 bits wide: gcc and clang both have it */
enum { CHAIN(CRC32_STEP, CRC32_POLY, c) };

/* The 256 XORs of eight values, ordered by the byte that selects them; bit 0 contributes b0. */
#define XOR1(x, b0)                          (x), (x) ^ (b0)
#define XOR2(x, b0, b1)                      XOR1(x, b0), XOR1((x) ^ (b1), b0)
#define XOR3(x, b0, b1, b2)                  XOR2(x, b0, b1), XOR2((x) ^ (b2), b0, b1)
#define XOR4(x, b0, b1, b2, b3)              XOR3(x, b0, b1, b2), XOR3((x) ^ (b3), b0, b1, b2)
#define XOR5(x, b0, b1, b2, b3, b4)          XOR4(x, b0, b1, b2, b3), XOR4((x) ^ (b4), b0, b1, b2, b3)
#define XOR6(x, b0, b1, b2, b3, b4, b5)      XOR5(x, b0, b1, b2, b3, b4), XOR5((x) ^ (b5), b0, b1, b2, b3, b4)
#define XOR7(x, b0, b1, b2, b3, b4, b5, b6)  XOR6(x, b0, b1, b2, b3, b4, b5), XOR6((x) ^ (b6), b0, b1, b2, b3, b4, b5)
#define XOR8(b0, b1, b2, b3, b4, b5, b6, b7) XOR7(0, b0, b1, b2, b3, b4, b5, b6), XOR7((b7), b0, b1, b2, b3, b4, b5, b6)

#define TABLE16(r)                                                                                                     \
    { XOR8(a##r##0, a##r##1, a##r##2, a##r##3, a##r##4, a##r##5, a##r##6, a##r##7) }
#define TABLE64(r)                                                                                                     \
    { XOR8(b##r##7, b##r##6, b##r##5, b##r##4, b##r##3, b##r##2, b##r##1, b##r##0) }
#define TABLE32(r)                                                                                                     \
    { XOR8(c##r##7, c##r##6, c##r##5, c##r##4, c##r##3, c##r##2, c##r##1, c##r##0) }

static const uint16_t table16[8][256] = {TABLE16(0), TABLE16(1), TABLE16(2), TABLE16(3),
                                         TABLE16(4), TABLE16(5), TABLE16(6), TABLE16(7)};
static const uint64_t table64[8][256] = {TABLE64(0), TABLE64(1), TABLE64(2), TABLE64(3),
                                         TABLE64(4), TABLE64(5), TABLE64(6), TABLE64(7)};
static const uint32_t table32[8][256] = {TABLE32(0), TABLE32(1), TABLE32(2), TABLE32(3),
                                         TABLE32(4), TABLE32(5), TABLE32(6), TABLE32(7)};

uint16_t crc16(const void *bytes, size_t len) {
    const uint8_t *p = bytes;
    unsigned crc = 0;
    for (; len >= 8; p += 8, len -= 8) {
        crc = (unsigned)(table16[7][p[0] ^ (crc >> 8)] ^ table16[6][p[1] ^ (crc & 0xff)] ^ table16[5][p[2]] ^
                         table16[4][p[3]] ^ table16[3][p[4]] ^ table16[2][p[5]] ^ table16[1][p[6]] ^ table16[0][p[7]]);
    }
    for (; len > 0; p++, len--) crc = ((crc << 8) & 0xffff) ^ table16[0][p[0] ^ (crc >> 8)];
    return (uint16_t)crc;
}

uint64_t crc64_by_table(uint64_t crc, const void *bytes, size_t len) {
    const uint8_t *p = bytes;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        crc ^= le64toh(word);
        crc = table64[7][crc & 0xff] ^ table64[6][(crc >> 8) & 0xff] ^ table64[5][(crc >> 16) & 0xff] ^
              table64[4][(crc >> 24) & 0xff] ^ table64[3][(crc >> 32) & 0xff] ^ table64[2][(crc >> 40) & 0xff] ^
              table64[1][(crc >> 48) & 0xff] ^ table64[0][crc >> 56];
    }
    for (; len > 0; p++, len--) crc = (crc >> 8) ^ table64[0][(crc ^ p[0]) & 0xff];
    return crc;
}

/* --- crc64 by folding ---
 * A CRC is the remainder of the message as a polynomial, and a factor x^n in front of a part of it may be replaced by
 * x^n's own remainder. So 16 bytes that have 64 more behind them are as good as those 64 bytes plus the product of the
 * 16 with a constant, and carry-less multiplication adds them up four lanes wide, until 16 bytes are left that have the
 * same CRC as the whole. A lane is two words; the one in front is 64 bits further away. In this order of bits (the
 * lowest is the highest power) a product comes out multiplied by x, so the constants are of powers one lower:
 *
 *      FAR   x^575 and x^511, over the 512 bits of four lanes       NEAR   x^191 and x^127, over one lane
 *
 * Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction" (Intel, 2009). The tests
 * compare it with the table for all short lengths. */
#ifdef __x86_64__
#define FOLD_MIN 128u /* bytes: below that the table is as quick */
#define FAR      _mm_set_epi64x((int64_t)0xf49784a634f014e4u, (int64_t)0xaf86efb16d9ab4fbu)
#define NEAR     _mm_set_epi64x((int64_t)0x381d0015c96f4444u, (int64_t)0xd9d7be7d505da32cu)

__attribute__((target("pclmul"))) static inline __m128i fold(__m128i lane, __m128i powers, __m128i next) {
    __m128i front = _mm_clmulepi64_si128(lane, powers, 0x00), back = _mm_clmulepi64_si128(lane, powers, 0x11);
    return _mm_xor_si128(_mm_xor_si128(front, back), next);
}

static inline __m128i load(const uint8_t *at) {
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

/* len is at least 64. */
__attribute__((target("pclmul"))) static uint64_t crc64_by_folding(uint64_t crc, const uint8_t *p, size_t len) {
    __m128i lanes[4] = {_mm_xor_si128(load(p), _mm_cvtsi64_si128((int64_t)crc)), load(p + 16), load(p + 32),
                        load(p + 48)};
    for (p += 64, len -= 64; len >= 64; p += 64, len -= 64)
        for (unsigned i = 0; i < 4; i++) lanes[i] = fold(lanes[i], FAR, load(p + 16 * i));
    __m128i all = lanes[0];
    for (unsigned i = 1; i < 4; i++) all = fold(all, NEAR, lanes[i]);
    for (; len >= 16; p += 16, len -= 16) all = fold(all, NEAR, load(p));
    uint8_t last[16];
    memcpy(last, &all, sizeof last);
    return crc64_by_table(crc64_by_table(0, last, sizeof last), p, len);
}

uint64_t crc64(uint64_t crc, const void *bytes, size_t len) {
    if (len >= FOLD_MIN && LIKELY(__builtin_cpu_supports("pclmul"))) return crc64_by_folding(crc, bytes, len);
    return crc64_by_table(crc, bytes, len);
}
#else
uint64_t crc64(uint64_t crc, const void *bytes, size_t len) {
    return crc64_by_table(crc, bytes, len);
}
#endif

uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t len) {
    const uint8_t *p = bytes;
    crc = ~crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        word = le64toh(word) ^ crc;
        crc = table32[7][word & 0xff] ^ table32[6][(word >> 8) & 0xff] ^ table32[5][(word >> 16) & 0xff] ^
              table32[4][(word >> 24) & 0xff] ^ table32[3][(word >> 32) & 0xff] ^ table32[2][(word >> 40) & 0xff] ^
              table32[1][(word >> 48) & 0xff] ^ table32[0][word >> 56];
    }
    for (; len > 0; p++, len--) crc = (crc >> 8) ^ table32[0][(crc ^ p[0]) & 0xff];
    return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_by_instruction(uint32_t crc, const void *bytes, size_t len) {
    const uint8_t *p = bytes;
    uint64_t wide = (uint32_t)~crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; len > 0; p++, len--) crc = __builtin_ia32_crc32qi(crc, *p);
    return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len) {
    if (LIKELY(__builtin_cpu_supports("sse4.2"))) return crc32c_by_instruction(crc, bytes, len);
    return crc32c_by_table(crc, bytes, len);
}
#else
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len) {
    return crc32c_by_table(crc, bytes, len);
}
#endif
