/* Hash: that hash_sip is SipHash-1-3 and hash_aes is made of rounds of AES, and that slots are Redis Cluster's.
 *
 * The slow twin of the one is SipHash-c-d from the paper, byte by byte. It is tied down twice: with 2 and 4
 * rounds it must give the example of the paper's appendix A, with 1 and 3 what CPython 3.11
 * computes with a key of zeros (PYTHONHASHSEED=0 python3 -c "print(hex(hash(b'a')))"). That of the other computes a
 * round of AES from its definition, without a table, and is tied down by the example of FIPS 197, appendix B. The slots
 * come from redis-server 7.0.15's CLUSTER KEYSLOT. */
#include "core/hash.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* --- the slow twin --- */

static uint64_t turn(uint64_t x, int left) {
    for (; left > 0; left--) x = x << 1 | x >> 63;
    return x;
}

static void slow_rounds(uint64_t v[4], int rounds) {
    for (; rounds > 0; rounds--) {
        v[0] += v[1], v[1] = turn(v[1], 13), v[1] ^= v[0], v[0] = turn(v[0], 32);
        v[2] += v[3], v[3] = turn(v[3], 16), v[3] ^= v[2];
        v[0] += v[3], v[3] = turn(v[3], 21), v[3] ^= v[0];
        v[2] += v[1], v[1] = turn(v[1], 17), v[1] ^= v[2], v[2] = turn(v[2], 32);
    }
}

static uint64_t slow_sip(const struct hash_seed *seed, const uint8_t *p, size_t len, int c, int d) {
    uint64_t v[4] = {0, 0, 0, 0};
    const char constants[] = "somepseudorandomlygeneratedbytes";
    for (size_t i = 0; i < 32; i++) v[i / 8] = v[i / 8] << 8 | (uint8_t)constants[i];
    v[0] ^= seed->k0;
    v[1] ^= seed->k1;
    v[2] ^= seed->k0;
    v[3] ^= seed->k1;
    for (size_t word = 0; word <= len / 8; word++) {
        uint64_t m = 0;
        for (size_t i = 0; i < 8; i++) {
            size_t at = word * 8 + i;
            uint64_t byte = at < len ? p[at] : 0;
            if (word == len / 8 && i == 7) byte = len & 255;
            m |= byte << (8 * i);
        }
        v[3] ^= m;
        slow_rounds(v, c);
        v[0] ^= m;
    }
    v[2] ^= 255;
    slow_rounds(v, d);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- SipHash --- */

static const struct hash_seed counting_seed = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};

static void the_twin_is_siphash(void **state) {
    (void)state;
    uint8_t bytes[15];
    for (uint8_t i = 0; i < 15; i++) bytes[i] = i;
    assert_true(slow_sip(&counting_seed, bytes, 15, 2, 4) == 0xa129ca6149be45e5ULL);
}

static void known_vectors(void **state) {
    (void)state;
    static const struct {
        struct slice text;
        uint64_t hash;
    } rows[] = {
        {SLICE_INIT("a"), 0x407448d2b89b1813ULL},
        {SLICE_INIT("\0\1\2\3\4\5\6\7"), 0xead411e67ebe2eeaULL},
        {SLICE_INIT("\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16"), 0xf30eb725bb91c9eaULL},
        {SLICE_INIT("user:1000:profile"), 0xb7ecdddead301017ULL},
    };
    struct hash_seed zero = {0, 0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(hash_sip(&zero, rows[i].text.ptr, rows[i].text.len) == rows[i].hash);
    }
    /* First vector of the list that Rust's core tests use for SipHash-1-3. */
    assert_true(hash_sip(&counting_seed, NULL, 0) == 0xabac0158050fc4dcULL);
}

static void agrees_with_the_twin(void **state) {
    (void)state;
    uint64_t start = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", start);
    struct prng prng;
    prng_init(&prng, start);
    for (size_t round = 0; round < 20000; round++) {
        size_t len = round < 600 ? round : (size_t)prng_below(&prng, 64);
        uint8_t *bytes = malloc(len ? len : 1); /* exact: the sanitizer sees a read beyond */
        assert_non_null(bytes);
        for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)prng_next(&prng);
        struct hash_seed seed = {prng_next(&prng), prng_next(&prng)};
        assert_true(hash_sip(&seed, bytes, len) == slow_sip(&seed, bytes, len, 1, 3));
        free(bytes);
    }
}

/* --- rounds of AES --- */

/* The product in the field of AES: polynomials over two, modulo x^8 + x^4 + x^3 + x + 1. */
static uint8_t times(uint8_t a, uint8_t b) {
    unsigned product = 0;
    for (unsigned i = 0; i < 8; i++)
        if (b & 1u << i) product ^= (unsigned)a << i;
    for (unsigned i = 14; i >= 8; i--)
        if (product & 1u << i) product ^= 0x11bu << (i - 8);
    return (uint8_t)product;
}

static uint8_t substitute(uint8_t a) {
    unsigned inverse = 0; /* 0 has none and stays */
    for (unsigned b = 1; b < 256 && a; b++)
        if (times(a, (uint8_t)b) == 1) inverse = b;
    unsigned doubled = inverse | inverse << 8;
    return (uint8_t)(inverse ^ doubled >> 4 ^ doubled >> 5 ^ doubled >> 6 ^ doubled >> 7 ^ 0x63);
}

/* Byte 4 * column + row of the state, as FIPS 197 counts. */
static void slow_round(uint8_t state[16], const uint8_t key[16]) {
    static const uint8_t matrix[4] = {2, 3, 1, 1};
    uint8_t moved[16];
    for (unsigned i = 0; i < 16; i++) moved[i] = substitute(state[(i + 4 * (i % 4)) % 16]);
    for (unsigned i = 0; i < 16; i++) {
        uint8_t sum = key[i];
        for (unsigned k = 0; k < 4; k++) sum ^= times(matrix[k], moved[i / 4 * 4 + (i + k) % 4]);
        state[i] = sum;
    }
}

static uint64_t slow_aes(const struct hash_seed *seed, const uint8_t *p, size_t len) {
    const char constants[] = "setybdetarenegyl";
    uint8_t keys[2][16], state[16];
    for (unsigned i = 0; i < 16; i++) {
        keys[0][i] = (uint8_t)((i < 8 ? seed->k0 : seed->k1) >> (i % 8 * 8));
        keys[1][i] = keys[0][i] ^ (uint8_t)constants[i];
        state[i] = (uint8_t)(keys[0][i] ^ (i < 8 ? len >> (i * 8) : 0));
    }
    for (size_t at = 0; at == 0 || at < len; at += 16) {
        bool last = len - at <= 16;
        for (unsigned i = 0; i < 16; i++) {
            if (last && len < 8) state[i] ^= i < len ? p[i] : 0;
            if (last && len >= 8 && len < 16) state[i] ^= i < 8 ? p[i] : p[len - 16 + i];
            if (len >= 16) state[i] ^= p[(last ? len - 16 : at) + i];
        }
        for (unsigned round = 0; round < (last ? 4 : 2); round++) slow_round(state, keys[(round + 1) % 2]);
    }
    uint64_t hash = 0;
    for (unsigned i = 0; i < 8; i++) hash |= (uint64_t)state[i] << (8 * i);
    return hash;
}

static void the_twin_does_rounds_of_aes(void **state) {
    (void)state;
    uint8_t block[16] = {0x19, 0x3d, 0xe3, 0xbe, 0xa0, 0xf4, 0xe2, 0x2b,
                         0x9a, 0xc6, 0x8d, 0x2a, 0xe9, 0xf8, 0x48, 0x08};
    const uint8_t key[16] = {0xa0, 0xfa, 0xfe, 0x17, 0x88, 0x54, 0x2c, 0xb1,
                             0x23, 0xa3, 0x39, 0x39, 0x2a, 0x6c, 0x76, 0x05};
    const uint8_t after[16] = {0xa4, 0x9c, 0x7f, 0xf2, 0x68, 0x9f, 0x35, 0x2b,
                               0x6b, 0x5b, 0xea, 0x43, 0x02, 0x6a, 0x50, 0x49};
    slow_round(block, key);
    assert_memory_equal(block, after, 16);
}

static void aes_agrees_with_the_twin(void **state) {
    (void)state;
    if (!hash_has_aes()) {
        print_message("this processor has no instructions for AES\n");
        skip();
    }
    uint64_t start = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", start);
    struct prng prng;
    prng_init(&prng, start);
    for (size_t len = 0; len < 80; len++) {
        uint8_t *bytes = malloc(len ? len : 1); /* exact: the sanitizer sees a read beyond */
        assert_non_null(bytes);
        for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)prng_next(&prng);
        struct hash_seed seed = {prng_next(&prng), prng_next(&prng)};
        assert_true(hash_aes(&seed, len ? bytes : NULL, len) == slow_aes(&seed, bytes, len));
        assert_true(hash_aes(&seed, bytes, len) == hash_bytes(&seed, bytes, len));
        free(bytes);
    }
}

/* --- whichever it is --- */

/* A bit of the key changes each bit of the hash half of the time. */
static void every_bit_counts(void **state) {
    (void)state;
    uint64_t start = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", start);
    struct prng prng;
    prng_init(&prng, start);
    enum { ROUNDS = 4000 };
    unsigned flips[64] = {0};
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct hash_seed seed = {prng_next(&prng), prng_next(&prng)};
        char key[64];
        int len = snprintf(key, sizeof key, "%.*s:%u", (int)(round % 40),
                           "a name that is as long as some names of keys are", round);
        uint64_t before = hash_bytes(&seed, key, (size_t)len);
        uint64_t bit = prng_below(&prng, (uint64_t)len * 8);
        key[bit / 8] ^= (char)(1u << bit % 8);
        uint64_t changed = before ^ hash_bytes(&seed, key, (size_t)len);
        for (unsigned i = 0; i < 64; i++) flips[i] += (unsigned)(changed >> i & 1);
    }
    for (unsigned i = 0; i < 64; i++) assert_in_range(flips[i], ROUNDS / 2 - 250, ROUNDS / 2 + 250); /* 8 sigma */
}

static void the_seed_matters(void **state) {
    (void)state;
    struct hash_seed a = {1, 2}, b = {1, 3}, c = {2, 2};
    uint64_t hash = hash_bytes(&a, "key", 3);
    assert_true(hash != hash_bytes(&b, "key", 3));
    assert_true(hash != hash_bytes(&c, "key", 3));
}

/* --- slots --- */

static void known_slots(void **state) {
    (void)state;
    static const struct {
        struct slice key;
        unsigned slot;
    } rows[] = {
        {SLICE_INIT("foo"), 12182},       {SLICE_INIT("bar"), 5061}, {SLICE_INIT("hello"), 866},
        {SLICE_INIT("123456789"), 12739}, {SLICE_INIT(""), 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(hash_slot(rows[i].key), rows[i].slot);
    }
    assert_int_equal(hash_slot(slice_of(NULL, 0)), 0);
}

/* key shares the slot of tag (which holds no braces itself). */
static void tags(void **state) {
    (void)state;
    static const struct {
        struct slice key, tag;
    } rows[] = {
        {SLICE_INIT("{user1000}.following"), SLICE_INIT("user1000")},
        {SLICE_INIT("{user1000}.followers"), SLICE_INIT("user1000")},
        {SLICE_INIT("a{foo}b"), SLICE_INIT("foo")},
        {SLICE_INIT("a}b{foo}"), SLICE_INIT("foo")},
        {SLICE_INIT("{foo}{bar}"), SLICE_INIT("foo")},
        {SLICE_INIT("{a\0b}"), SLICE_INIT("a\0b")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(hash_slot(rows[i].key), hash_slot(rows[i].tag));
    }
    assert_int_equal(hash_slot(SLICE("foo{{bar}}zap")), 4015); /* the tag is "{bar" */
}

/* No tag: the whole key counts. Numbers from CLUSTER KEYSLOT. */
static void not_tags(void **state) {
    (void)state;
    assert_int_equal(hash_slot(SLICE("foo{}{bar}")), 8363);
    assert_int_equal(hash_slot(SLICE("{}")), 15257);
    assert_int_equal(hash_slot(SLICE("{foo")), 13308);
    assert_int_equal(hash_slot(SLICE("foo}")), 15679);
    assert_int_equal(hash_slot(SLICE("foo{")), 7673);
    assert_int_equal(hash_slot(SLICE("}foo{")), 8453);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_twin_is_siphash),
        cmocka_unit_test(known_vectors),
        cmocka_unit_test(agrees_with_the_twin),
        cmocka_unit_test(the_twin_does_rounds_of_aes),
        cmocka_unit_test(aes_agrees_with_the_twin),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(the_seed_matters),
        cmocka_unit_test(known_slots),
        cmocka_unit_test(tags),
        cmocka_unit_test(not_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
