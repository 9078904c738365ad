/* Hash: that hash_bytes is SipHash-1-3, and that slots are Redis Cluster's.
 *
 * The slow twin is SipHash-c-d from the paper, byte by byte. It is tied down twice: with 2 and 4
 * rounds it must give the example of the paper's appendix A, with 1 and 3 what CPython 3.11
 * computes with a key of zeros (PYTHONHASHSEED=0 python3 -c "print(hex(hash(b'a')))"). The slots
 * come from redis-server 7.0.15's CLUSTER KEYSLOT. */
#include "core/hash.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
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
        assert_true(hash_bytes(&zero, rows[i].text.ptr, rows[i].text.len) == rows[i].hash);
    }
    /* First vector of the list that Rust's core tests use for SipHash-1-3. */
    assert_true(hash_bytes(&counting_seed, NULL, 0) == 0xabac0158050fc4dcULL);
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
        assert_true(hash_bytes(&seed, bytes, len) == slow_sip(&seed, bytes, len, 1, 3));
        free(bytes);
    }
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
        cmocka_unit_test(the_seed_matters),
        cmocka_unit_test(known_slots),
        cmocka_unit_test(tags),
        cmocka_unit_test(not_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
