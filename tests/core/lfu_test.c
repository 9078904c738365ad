/* Lfu: the counter rises as the table in redis.conf says, decays by the minute, and survives the wrap of its clock. */
#include "core/lfu.h"
#include "core/prng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct lfu_rule usual = {.log_factor = 10, .decay_minutes = 1};

static void a_field_holds_minutes_and_counter(void **state) {
    (void)state;
    assert_int_equal(lfu_field(0x1234, LFU_START), 0x123405);
    assert_int_equal(lfu_field(0x51234, 255), 0x1234FF); /* the clock wraps */
    assert_int_equal(lfu_counter(lfu_field(7, 200), 7, &usual), 200);
}

static void access_counts_by_chance(void **state) {
    (void)state;
    /* Up to the start value always, then with 1 / (height * factor + 1). */
    assert_int_equal(lfu_access(lfu_field(1, 0), 1, &usual, 0.999), lfu_field(1, 1));
    assert_int_equal(lfu_access(lfu_field(1, 5), 1, &usual, 0.999), lfu_field(1, 6));
    assert_int_equal(lfu_access(lfu_field(1, 6), 1, &usual, 0.0909), lfu_field(1, 7));
    assert_int_equal(lfu_access(lfu_field(1, 6), 1, &usual, 0.0910), lfu_field(1, 6));
    assert_int_equal(lfu_access(lfu_field(1, 255), 1, &usual, 0), lfu_field(1, 255));
    struct lfu_rule every = {.log_factor = 0};
    uint32_t field = lfu_field(1, 0);
    for (int i = 0; i < 300; i++) field = lfu_access(field, 1, &every, 0.999);
    assert_int_equal(field, lfu_field(1, 255));
}

static void it_decays_between_accesses(void **state) {
    (void)state;
    struct lfu_rule slow = {.log_factor = 10, .decay_minutes = 10}, never = {.log_factor = 10};
    uint32_t field = lfu_field(100, 50);
    assert_int_equal(lfu_counter(field, 101, &usual), 49);
    assert_int_equal(lfu_counter(field, 150, &usual), 0);
    assert_int_equal(lfu_counter(field, 5000, &usual), 0);
    assert_int_equal(lfu_counter(field, 109, &slow), 50);
    assert_int_equal(lfu_counter(field, 130, &slow), 47);
    assert_int_equal(lfu_counter(field, 5000, &never), 50);
    /* Reckoned at the access, from which on it counts anew. */
    assert_int_equal(lfu_access(field, 110, &usual, 0.999), lfu_field(110, 40));
    assert_int_equal(lfu_counter(lfu_field(65535, 50), 65536 + 9, &usual), 40); /* over the wrap */
}

/* redis.conf: with factor 10, 100 hits make 10, 1000 hits 18, 100k hits 142, 1M hits 255. */
static void it_grows_as_redis_says(void **state) {
    (void)state;
    static const struct {
        int hits;
        uint32_t counter;
    } table[] = {{100, 10}, {1000, 18}, {100000, 142}, {1000000, 255}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct prng prng;
        uint64_t sum = 0;
        uint32_t rounds = table[i].hits > 1000 ? 3 : 100;
        prng_init(&prng, 1);
        for (uint32_t round = 0; round < rounds; round++) {
            uint32_t field = lfu_field(0, LFU_START);
            for (int hit = 0; hit < table[i].hits; hit++) field = lfu_access(field, 0, &usual, prng_double(&prng));
            sum += lfu_counter(field, 0, &usual);
        }
        double mean = (double)sum / rounds, want = table[i].counter;
        assert_true(mean > want * 0.9 - 1 && mean < want * 1.1 + 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_holds_minutes_and_counter),
        cmocka_unit_test(access_counts_by_chance),
        cmocka_unit_test(it_decays_between_accesses),
        cmocka_unit_test(it_grows_as_redis_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
