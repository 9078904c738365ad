/* Crc: the published check values, and the sliced tables against the definition, bit by bit. */
#include "core/crc.h"
#include "core/defs.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static uint16_t bitwise16(const uint8_t *p, size_t len) {
    unsigned crc = 0;
    for (size_t i = 0; i < len * 8; i++) {
        unsigned in = (unsigned)(p[i / 8] >> (7 - i % 8)) & 1;
        unsigned out = crc >> 15 & 1;
        crc = crc << 1 & 0xffff;
        if (in ^ out) crc ^= 0x1021;
    }
    return (uint16_t)crc;
}

/* Jones's polynomial as it is printed, so its own highest bit first, in a register whose bits are
 * mirrored. */
static uint64_t bitwise64(uint64_t crc, const uint8_t *p, size_t len) {
    uint64_t polynomial = 0;
    for (int bit = 0; bit < 64; bit++) {
        if (0xad93d23594c935a9ULL >> bit & 1) polynomial |= 1ULL << (63 - bit);
    }
    for (size_t i = 0; i < len * 8; i++) {
        uint64_t in = (uint64_t)(p[i / 8] >> i % 8) & 1;
        uint64_t out = crc & 1;
        crc >>= 1;
        if (in ^ out) crc ^= polynomial;
    }
    return crc;
}

/* Castagnoli's polynomial as it is printed, likewise; inverted before and after. */
static uint32_t bitwise32(uint32_t crc, const uint8_t *p, size_t len) {
    uint32_t polynomial = 0;
    for (int bit = 0; bit < 32; bit++) {
        if (UINT32_C(0x1edc6f41) >> bit & 1) polynomial |= UINT32_C(1) << (31 - bit);
    }
    crc = ~crc;
    for (size_t i = 0; i < len * 8; i++) {
        uint32_t in = (uint32_t)(p[i / 8] >> i % 8) & 1;
        uint32_t out = crc & 1;
        crc >>= 1;
        if (in ^ out) crc ^= polynomial;
    }
    return ~crc;
}

static void check_values(void **state) {
    (void)state;
    assert_int_equal(crc16("123456789", 9), 0x31c3);
    assert_int_equal(crc16(NULL, 0), 0);
    assert_true(crc64(0, "123456789", 9) == 0xe9c6d914c4b8d9caULL);
    assert_true(crc64(0, NULL, 0) == 0);
    assert_true(crc64(77, NULL, 0) == 77);
    assert_true(crc32c(0, "123456789", 9) == 0xe3069283);
    assert_true(crc32c(0, (const char[32]){0}, 32) == 0x8a9136aa); /* RFC 3720, B.4 */
    assert_true(crc32c(0, NULL, 0) == 0);
    assert_true(crc32c(77, NULL, 0) == 77);
}

/* A lone byte in front of k zero bytes is the entry table[k][byte]. */
static void every_table_entry(void **state) {
    (void)state;
    for (size_t k = 0; k < 8; k++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t bytes[8] = {0};
            bytes[7 - k] = (uint8_t)byte;
            assert_int_equal(crc16(bytes, 8), bitwise16(bytes, 8));
            assert_true(crc64(0, bytes, 8) == bitwise64(0, bytes, 8));
            assert_true(crc32c_by_table(0, bytes, 8) == bitwise32(0, bytes, 8));
        }
    }
}

static void random_bytes_at_every_alignment(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    for (size_t len = 0; len < 300; len++) {
        uint8_t *block = malloc(len + 8);
        assert_non_null(block);
        for (size_t offset = 0; offset < 8; offset++) {
            uint8_t *bytes = block + offset;
            for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)prng_next(&prng);
            uint64_t start = prng_next(&prng);
            size_t cut = (size_t)prng_below(&prng, len + 1);
            assert_int_equal(crc16(bytes, len), bitwise16(bytes, len));
            uint64_t crc = crc64(start, bytes, len);
            assert_true(crc == bitwise64(start, bytes, len));
            assert_true(crc == crc64_by_table(start, bytes, len));
            assert_true(crc == crc64(crc64(start, bytes, cut), bytes + cut, len - cut));
            uint32_t crc32 = crc32c((uint32_t)start, bytes, len);
            assert_true(crc32 == bitwise32((uint32_t)start, bytes, len));
            assert_true(crc32 == crc32c_by_table((uint32_t)start, bytes, len));
            assert_true(crc32 == crc32c(crc32c((uint32_t)start, bytes, cut), bytes + cut, len - cut));
        }
        free(block);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_values),
        cmocka_unit_test(every_table_entry),
        cmocka_unit_test(random_bytes_at_every_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
