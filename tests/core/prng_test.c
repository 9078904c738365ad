/* Prng: the published sequences, ranges without bias, and the same numbers for the same seed. All
 * seeds are fixed: the statistics here either always hold or never. */
#include "core/prng.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* From state 1, 2, 3, 4: the sequence that other implementations of xoshiro256** test with. */
static void known_sequence(void **state) {
    (void)state;
    struct prng prng = {{1, 2, 3, 4}};
    static const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_true(prng_next(&prng) == expected[i]);
    }
}

/* splitmix64 from 1234567, as on Rosetta Code. */
static void known_seeding(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 1234567);
    static const uint64_t expected[] = {6457827717110365317ULL, 3203168211198807973ULL, 9817491932198370423ULL,
                                        4593380528125082431ULL};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) assert_true(prng.state[i] == expected[i]);
}

static void a_seed_is_a_sequence(void **state) {
    (void)state;
    struct prng a, b, c;
    prng_init(&a, 0);
    prng_init(&b, 0);
    prng_init(&c, 1);
    bool differs = false;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = prng_next(&a);
        assert_true(x == prng_next(&b));
        differs |= x != prng_next(&c);
    }
    assert_true(differs);
}

static void below_stays_below(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 3);
    static const uint64_t bounds[] = {1, 2, 3, 1000, 1ULL << 32, (1ULL << 63) + 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        for (int round = 0; round < 10000; round++) {
            assert_true(prng_below(&prng, bounds[i]) < bounds[i]);
        }
    }
}

static void below_is_even(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 4);
    int count[10] = {0};
    for (int round = 0; round < 100000; round++) count[prng_below(&prng, 10)]++;
    for (size_t i = 0; i < 10; i++) assert_in_range(count[i], 9600, 10400); /* 4 deviations of 95 */
}

/* Below 3 * 2^62, taking the high half without rejection would give each multiple of three twice
 * the chance of the others. */
static void below_rejects_what_would_be_bias(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 5);
    int count[3] = {0};
    for (int round = 0; round < 30000; round++) count[prng_below(&prng, 3ULL << 62) % 3]++;
    for (size_t i = 0; i < 3; i++) assert_in_range(count[i], 9600, 10400);
}

static void doubles_fill_the_unit_interval(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 6);
    double sum = 0, low = 1, high = 0;
    for (int round = 0; round < 100000; round++) {
        double x = prng_double(&prng);
        assert_true(x >= 0 && x < 1);
        sum += x;
        low = MIN(low, x);
        high = MAX(high, x);
    }
    assert_true(sum > 49500 && sum < 50500);
    assert_true(low < 0.001 && high > 0.999);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_sequence),
        cmocka_unit_test(known_seeding),
        cmocka_unit_test(a_seed_is_a_sequence),
        cmocka_unit_test(below_stays_below),
        cmocka_unit_test(below_is_even),
        cmocka_unit_test(below_rejects_what_would_be_bias),
        cmocka_unit_test(doubles_fill_the_unit_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
