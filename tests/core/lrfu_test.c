/* LRFU: fields beside the sum they stand for, computed naively; over the wrap of the clock; what
 * other policies left. */
#include "core/lrfu.h"
#include "core/prng.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static double value_of(uint32_t field, uint32_t clock) {
    return exp2(lrfu_log(field, clock) / (double)LRFU_ONE);
}

/* Random uses at random times: the mean over many entries is what the sum says. */
static void follows_the_sum(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    for (unsigned pace = 1; pace < 2000; pace = pace * 3 + 1) {
        double stored = 0, sum = 0;
        for (unsigned entry = 0; entry < 200; entry++) {
            uint32_t clock = (uint32_t)prng_next(&prng) & LRFU_FIELD, field = clock - LRFU_FIELD / 2;
            double uses = 0;
            for (unsigned i = 0; i < 300; i++) {
                uint32_t later = (uint32_t)prng_below(&prng, pace);
                clock = (clock + later) & LRFU_FIELD;
                uses = uses * exp2(-(double)later / LRFU_ONE) + 1;
                field = lrfu_access(field, clock, (uint32_t)prng_next(&prng));
                assert_true(field <= LRFU_FIELD);
            }
            stored += value_of(field, clock);
            sum += uses;
        }
        if (fabs(stored / sum - 1) > 0.02) fail_msg("pace %u: %f instead of %f", pace, stored, sum);
    }
}

static void saturates(void **state) {
    (void)state;
    uint32_t field = 5, clock = 5;
    for (uint32_t i = 0; i < 2000000; i++) field = lrfu_access(field, clock, i * 2654435761u >> 24);
    assert_true(value_of(field, clock) > 30000);
    assert_int_equal(lrfu_uses(field, clock), 255);
    assert_int_equal(lrfu_uses(field, (clock + 30 * LRFU_ONE) & LRFU_FIELD), 0); /* and is forgotten in time */
}

static void what_is_strange_is_worth_nothing(void **state) {
    (void)state;
    uint32_t clock = 1000;
    assert_int_equal(lrfu_log(clock + 25 * LRFU_ONE, clock), INT32_MIN);
    assert_int_equal(lrfu_access(clock + 25 * LRFU_ONE, clock, 0), clock); /* a first use */
    assert_int_equal(lrfu_access(clock - 11 * LRFU_ONE, clock, 255), clock);
    assert_int_equal(lrfu_log(LRFU_FIELD, 0), -1);
    assert_int_equal(lrfu_log(0, LRFU_FIELD), 1);
}

static void uses_and_fields(void **state) {
    (void)state;
    for (uint32_t uses = 0; uses <= 255; uses++) assert_int_equal(lrfu_uses(lrfu_field(77, uses), 77), uses);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_sum),
        cmocka_unit_test(saturates),
        cmocka_unit_test(what_is_strange_is_worth_nothing),
        cmocka_unit_test(uses_and_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
