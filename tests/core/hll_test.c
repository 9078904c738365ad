/* HyperLogLog against an array of registers.
 *
 * Proves   sparse and dense hold the same registers after any additions, with any limit between them; joining is the
 *          larger of each; the estimate is within 3 % (four times the standard error); no bytes whatever are read past
 *          their end. */
#include "core/hll.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static uint64_t seed;

static void expect_registers(struct slice value, const uint8_t model[HLL_REGISTERS]) {
    uint8_t registers[HLL_REGISTERS] = {0};
    assert_true(hll_is_one(value));
    assert_true(hll_merge(value, registers));
    if (memcmp(registers, model, HLL_REGISTERS) != 0) fail_msg("registers differ, seed %" PRIu64, seed);
}

static void additions(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct prng prng;
    prng_init(&prng, seed);
    for (unsigned round = 0; round < 60; round++) {
        static uint8_t model[HLL_REGISTERS];
        struct buf value;
        size_t limit = (size_t)prng_below(&prng, 4000);
        uint64_t elements = prng_below(&prng, 4000), span = 1 + prng_below(&prng, 100000);
        memset(model, 0, sizeof model);
        buf_init(&value, heap, MEM_MESSAGE);
        hll_init(&value);
        for (uint64_t i = 0; i < elements; i++) {
            uint64_t element = prng_below(&prng, span);
            struct hll_place place = hll_place_of(slice_of((const char *)&element, sizeof element));
            if (prng_below(&prng, 50) == 0) place.count = (uint8_t)(1 + prng_below(&prng, 51));
            enum hll_result expected = model[place.at] < place.count ? HLL_CHANGED : HLL_SAME;
            assert_int_equal(hll_raise(&value, place, limit), expected);
            if (expected == HLL_CHANGED) model[place.at] = place.count;
        }
        expect_registers(buf_slice(&value), model);
        bool dense = hll_is_dense(buf_slice(&value));
        if (!dense) assert_true(value.len <= limit || elements == 0 || value.len <= HLL_HEADER + 2);
        assert_int_equal(hll_make_dense(&value), dense ? HLL_SAME : HLL_CHANGED);
        expect_registers(buf_slice(&value), model);
        for (uint32_t i = 0; i < HLL_REGISTERS; i += 97) assert_int_equal(hll_get_dense(value.data, i), model[i]);
        buf_deinit(&value);
    }
    heap_delete(heap);
}

static void estimates(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    static const uint64_t counts[] = {0, 1, 10, 100, 1000, 10000, 100000, 1000000};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        struct buf value;
        uint8_t registers[HLL_REGISTERS] = {0};
        buf_init(&value, heap, MEM_MESSAGE);
        hll_init(&value);
        for (uint64_t n = 0; n < counts[i]; n++) {
            uint64_t element = n ^ seed;
            hll_raise(&value, hll_place_of(slice_of((const char *)&element, sizeof element)), 3000);
        }
        assert_true(hll_merge(buf_slice(&value), registers));
        double estimate = (double)hll_count(registers), exact = (double)counts[i];
        if (estimate < exact * 0.97 - 1 || estimate > exact * 1.03 + 1)
            fail_msg("%g counted as %g, seed %" PRIu64, exact, estimate, seed);
        uint64_t cached;
        hll_write_cached(value.data, 5);
        assert_true(hll_read_cached(buf_slice(&value), &cached) && cached == 5);
        hll_forget_cached(value.data);
        assert_false(hll_read_cached(buf_slice(&value), &cached));
        buf_deinit(&value);
    }
    heap_delete(heap);
}

/* Run with the address sanitizer this finds a read past the end. */
static void any_bytes(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct prng prng;
    prng_init(&prng, seed);
    for (unsigned round = 0; round < 20000; round++) {
        struct buf value;
        uint8_t registers[HLL_REGISTERS] = {0};
        buf_init(&value, heap, MEM_MESSAGE);
        hll_init(&value);
        value.len = HLL_HEADER;
        for (uint64_t left = prng_below(&prng, 12); left > 0; left--)
            buf_append(&value, &(char){(char)(prng_below(&prng, 3) ? prng_next(&prng) : 0x7f)}, 1);
        struct hll_place place = {(uint32_t)prng_below(&prng, HLL_REGISTERS), (uint8_t)(1 + prng_below(&prng, 40))};
        bool whole = hll_merge(buf_slice(&value), registers);
        enum hll_result result = hll_raise(&value, place, 3000);
        if (whole) assert_int_not_equal(result, HLL_CORRUPT);
        buf_deinit(&value);
    }
    heap_delete(heap);
}

/* A run of two bytes whose second one is not there any more (BITFIELD, SETRANGE): Redis takes it for zero, and what it
 * writes in its place is one byte short, too. */
static void a_run_cut_short(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct buf value;
    uint8_t registers[HLL_REGISTERS] = {0};
    buf_init(&value, heap, MEM_MESSAGE);
    hll_init(&value);
    value.len = HLL_HEADER;
    buf_append(&value, "\x7f", 1); /* 16129 registers */
    assert_int_equal(hll_raise(&value, (struct hll_place){16129, 2}, 3000), HLL_CORRUPT);
    assert_int_equal(hll_raise(&value, (struct hll_place){5, 2}, 3000), HLL_CHANGED);
    assert_int_equal(value.len, HLL_HEADER + 3);
    assert_memory_equal(value.data + HLL_HEADER, "\x04\x84\x7e", 3);
    assert_false(hll_merge(buf_slice(&value), registers));
    buf_deinit(&value);
    heap_delete(heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(additions), cmocka_unit_test(estimates),
                                       cmocka_unit_test(any_bytes), cmocka_unit_test(a_run_cut_short)};
    seed = seed_or((uint64_t)time(NULL));
    printf("seed %" PRIu64 "\n", seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
