/* Clock: that the system's clock is the system's, and that the manual one moves exactly as told. */
#include "core/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

static void system_time_is_the_machine_s(void **state) {
    (void)state;
    struct clock clock = clock_system();
    uint64_t before_s = (uint64_t)time(NULL);
    uint64_t real_us = clock_real_us(&clock);
    /* time(2) may lag behind clock_gettime by a tick, never by a second. */
    assert_in_range(real_us / 1000000, before_s, before_s + 60);
    uint64_t last_ns = clock_mono_ns(&clock);
    assert_true(last_ns > 0);
    for (int i = 0; i < 10000; i++) {
        uint64_t now_ns = clock_mono_ns(&clock);
        assert_true(now_ns >= last_ns);
        last_ns = now_ns;
    }
}

static void manual_time_stands_still(void **state) {
    (void)state;
    struct clock_manual manual;
    clock_manual_init(&manual, 5, 1700000000000000);
    struct clock clock = clock_manual_port(&manual);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(clock_mono_ns(&clock), 5);
        assert_int_equal(clock_real_us(&clock), 1700000000000000);
    }
}

static void advancing_moves_both(void **state) {
    (void)state;
    struct clock_manual manual;
    clock_manual_init(&manual, 0, 100);
    struct clock clock = clock_manual_port(&manual);
    for (int i = 0; i < 3; i++) clock_manual_advance_ns(&manual, 400); /* small steps add up */
    assert_int_equal(clock_mono_ns(&clock), 1200);
    assert_int_equal(clock_real_us(&clock), 101);
    clock_manual_advance_ns(&manual, 1000000000);
    assert_int_equal(clock_mono_ns(&clock), 1000001200);
    assert_int_equal(clock_real_us(&clock), 1000101);
}

static void setting_moves_one(void **state) {
    (void)state;
    struct clock_manual manual;
    clock_manual_init(&manual, 10, 20);
    struct clock clock = clock_manual_port(&manual);
    clock_manual_set_real_us(&manual, 3); /* back, as an administrator may */
    assert_int_equal(clock_real_us(&clock), 3);
    assert_int_equal(clock_mono_ns(&clock), 10);
    clock_manual_set_mono_ns(&manual, 99);
    assert_int_equal(clock_real_us(&clock), 3);
    assert_int_equal(clock_mono_ns(&clock), 99);
}

/* Two clocks in one process have nothing in common. */
static void ports_are_independent(void **state) {
    (void)state;
    struct clock_manual a, b;
    clock_manual_init(&a, 1, 1);
    clock_manual_init(&b, 1, 1);
    struct clock of_a = clock_manual_port(&a), of_b = clock_manual_port(&b);
    clock_manual_advance_ns(&a, 7);
    assert_int_equal(clock_mono_ns(&of_a), 8);
    assert_int_equal(clock_mono_ns(&of_b), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_time_is_the_machine_s), cmocka_unit_test(manual_time_stands_still),
        cmocka_unit_test(advancing_moves_both),         cmocka_unit_test(setting_moves_one),
        cmocka_unit_test(ports_are_independent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
