/* Intset: finding in sets of every width, against a walk over all of them; widening; and which bytes from outside are
 * one. */
#include "core/intset.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#define COUNT_MAX 300

static void knows_what_numbers_need(void **state) {
    (void)state;
    static const struct {
        int64_t value;
        uint8_t width;
    } known[] = {{0, 2},          {-1, 2},         {INT16_MAX, 2}, {INT16_MIN, 2}, {INT16_MAX + 1, 4},
                 {INT16_MIN - 1, 4}, {INT32_MAX, 4},  {INT32_MIN, 4}, {INT32_MAX + 1ll, 8}, {INT32_MIN - 1ll, 8},
                 {INT64_MAX, 8},  {INT64_MIN, 8}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) assert_int_equal(intset_width_of(known[i].value), known[i].width);
}

/* Distinct values in ascending order that fit a width, as many as asked for or fewer. */
static uint32_t draw(struct prng *prng, unsigned width, uint32_t count, int64_t *values) {
    for (uint32_t i = 0; i < count; i++)
        values[i] = (int64_t)prng_next(prng) >> (64 - 8 * width) >> prng_below(prng, 8 * width - 1);
    intset_sort(values, count);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || values[i] != values[kept - 1]) values[kept++] = values[i];
    return kept;
}

static void assert_finds(const struct intset *set, const int64_t *values, int64_t sought) {
    uint32_t index, below = 0;
    bool there = false;
    for (uint32_t i = 0; i < set->count; i++) {
        below += values[i] < sought;
        there |= values[i] == sought;
    }
    assert_int_equal(intset_find(set, sought, &index), there);
    assert_int_equal(index, below);
}

static void finds_what_a_walk_finds(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    for (int round = 0; round < 600; round++) {
        unsigned step = (unsigned)prng_below(&prng, 3), width = 2u << step;
        unsigned wider = width << prng_below(&prng, 3 - step);
        int64_t values[COUNT_MAX];
        char bytes[COUNT_MAX * 8], wide[COUNT_MAX * 8];
        uint32_t count = draw(&prng, width, (uint32_t)prng_below(&prng, COUNT_MAX), values);
        for (uint32_t i = 0; i < count; i++) intset_write(bytes + (size_t)i * width, width, values[i]);
        struct intset set, opened;
        assert_true(intset_open(slice_of(bytes, (size_t)count * width), width, &set));
        assert_int_equal(set.count, count);
        intset_widen(wide, wider, &set);
        assert_true(intset_open(slice_of(wide, (size_t)count * wider), wider, &opened));
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(intset_at(&set, i), values[i]);
            assert_int_equal(intset_at(&opened, i), values[i]);
            assert_finds(&set, values, values[i]);
            assert_finds(&opened, values, values[i] + (values[i] < INT64_MAX));
        }
        for (int i = 0; i < 20; i++) assert_finds(&set, values, (int64_t)prng_next(&prng) >> prng_below(&prng, 64));
    }
}

static void refuses_what_is_none(void **state) {
    (void)state;
    struct intset set;
    assert_true(intset_open(SLICE("\1\0\2\0"), 2, &set));
    assert_true(intset_open(SLICE("\xff\xff\0\0"), 2, &set)); /* -1 and 0 */
    assert_true(intset_open(SLICE(""), 8, &set));
    assert_false(intset_open(SLICE("\2\0\1\0"), 2, &set)); /* descending */
    assert_false(intset_open(SLICE("\1\0\1\0"), 2, &set)); /* twice */
    assert_false(intset_open(SLICE("\1\0\2"), 2, &set));
    assert_false(intset_open(SLICE("\1\0\2\0"), 8, &set));
    assert_false(intset_open(SLICE("\1\0\2\0"), 0, &set));
    assert_false(intset_open(SLICE("\1\0\2\0"), 1, &set));
    assert_false(intset_open(SLICE("\1\0\2\0\3\0"), 3, &set));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_what_numbers_need),
        cmocka_unit_test(finds_what_a_walk_finds),
        cmocka_unit_test(refuses_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
