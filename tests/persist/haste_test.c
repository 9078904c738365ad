/* Haste, on threads that are played: figures in, a share out.
 *
 * Proves   a checkpoint that the log hardly grows beside takes the least, from its first key to its last; where a half
 *          of the thread is enough, both parts of the log come to no more than one and a half checkpoints, or what was
 *          there before and a quarter, whatever keys and writes cost; where it is not, it takes the half; nothing that
 *          is asked makes it leave its bounds, and a longer log never makes it slower.
 * How      a thread divides its time as haste says; keys and writes take so long and have so many bytes, by seed. */
#include "core/defs.h"
#include "core/prng.h"
#include "persist/haste.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MB   (1024.0 * 1024)
#define TURN 0.001 /* seconds */

struct thread {
    double key_seconds, write_seconds; /* of CPU, for a key that is saved; for a write */
    double key_bytes, write_bytes;
    double keys, log_before;
};

struct outcome {
    double log; /* since the cut, in checkpoints */
    double share_max, share_min;
};

static struct outcome play(const struct thread *thread) {
    struct outcome out = {.share_min = 1};
    double keys = 0, log = 0, whole = thread->keys * thread->key_bytes;
    while (keys < thread->keys) {
        struct haste_input input = {.keys = (uint64_t)keys,
                                    .keys_total = (uint64_t)thread->keys,
                                    .saved = (uint64_t)(keys * thread->key_bytes),
                                    .log_before = (uint64_t)(thread->log_before * whole),
                                    .log = (uint64_t)log};
        double haste = haste_of(&input);
        assert_true(haste >= HASTE_LEAST && haste <= HASTE_MOST);
        log += TURN / thread->write_seconds * thread->write_bytes;
        keys += TURN * haste / thread->key_seconds;
        out.share_max = MAX(out.share_max, haste);
        out.share_min = MIN(out.share_min, haste);
    }
    out.log = log / whole;
    return out;
}

static struct thread thread_of(double key_us, double write_us, double log_before) {
    return (struct thread){key_us / 1e6, write_us / 1e6, 1050, 1100, 500000, log_before};
}

static void little_is_written(void **state) {
    (void)state;
    struct thread thread = thread_of(1, 100, 1);
    struct outcome out = play(&thread);
    assert_true(out.share_max == HASTE_LEAST);
    assert_true(out.log < 0.2);
}

static void much_is_written(void **state) {
    (void)state;
    struct thread thread = thread_of(1, 2.5, 1);
    struct outcome out = play(&thread);
    assert_true(out.share_max > 0.5);
    assert_true(out.log <= 0.51);
    thread.log_before = 0;
    out = play(&thread);
    assert_true(out.log > 1 && out.log <= 1.51); /* there is room for it, so writers are left alone for longer */
}

static void more_than_a_half_can_do(void **state) {
    (void)state;
    struct thread thread = thread_of(4, 1, 1);
    struct outcome out = play(&thread);
    assert_true(out.share_max == HASTE_MOST);
    assert_true(out.log > 3.5);
}

/* Where the half is enough, it is never passed by more than the first megabyte and a turn. */
static void at_any_speed(void **state) {
    (void)state;
    struct prng prng;
    uint64_t seed = seed_or(7);
    prng_init(&prng, seed);
    for (int i = 0; i < 200; i++) {
        struct thread thread = {.key_seconds = (double)(1 + prng_below(&prng, 50)) / 1e7,
                                .write_seconds = (double)(5 + prng_below(&prng, 500)) / 1e7,
                                .key_bytes = (double)(50 + prng_below(&prng, 5000)),
                                .write_bytes = (double)(50 + prng_below(&prng, 5000)),
                                .keys = (double)(100000 + prng_below(&prng, 400000)),
                                .log_before = (double)prng_below(&prng, 300) / 100};
        double whole = thread.keys * thread.key_bytes, allowed = MAX(0.25, 1.5 - thread.log_before);
        double least = thread.key_seconds / thread.key_bytes * thread.write_bytes / thread.write_seconds;
        struct outcome out = play(&thread);
        double slack = (2 * MB + 2 * TURN / thread.write_seconds * thread.write_bytes) / whole;
        if (out.log > MAX(allowed, least) + slack)
            fail_msg("SHERD_SEED=%llu thread %d: %f, %f and %f", (unsigned long long)seed, i, out.log, allowed, least);
    }
}

static void odd_figures(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, seed_or(7));
    for (int i = 0; i < 100000; i++) {
        uint64_t figures[5];
        for (int k = 0; k < 5; k++) figures[k] = prng_below(&prng, 1ull << (1 + prng_below(&prng, 62)));
        struct haste_input input = {figures[0], figures[1], figures[2], figures[3], figures[4]};
        double haste = haste_of(&input);
        assert_true(haste >= HASTE_LEAST && haste <= HASTE_MOST);
        input.log += prng_below(&prng, 1ull << 40);
        assert_true(haste_of(&input) >= haste);
    }
    struct haste_input nothing = {0};
    assert_true(haste_of(&nothing) == HASTE_LEAST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_is_written),
        cmocka_unit_test(much_is_written),
        cmocka_unit_test(more_than_a_half_can_do),
        cmocka_unit_test(at_any_speed),
        cmocka_unit_test(odd_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
