/* Spikes: a series beside a naive twin (one second is one sample, the longest; the latest 160 stay), and series of
 * several shards merged as if one had seen everything. */
#include "core/prng.h"
#include "shards/spikes.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define SECONDS 2000
#define SHARDS  5

static struct prng prng;
static struct heap *heap;

/* By second: the longest, 0: none. */
static void assert_series(const struct spike_series *series, const uint32_t *longest, uint32_t seconds) {
    uint32_t expected = 0, at = 0, max = 0;
    for (uint32_t s = 0; s < seconds; s++) {
        expected += longest[s] > 0;
        max = MAX(max, longest[s]);
    }
    uint32_t skip = expected > SPIKE_SAMPLES ? expected - SPIKE_SAMPLES : 0;
    assert_int_equal(series->count, expected - skip);
    assert_int_equal(series->max_ms, max);
    for (uint32_t s = 0; s < seconds; s++) {
        if (!longest[s] || skip-- > 0) continue;
        skip = 0;
        struct spike spike = spike_at(series, at++);
        assert_int_equal(spike.time_s, s);
        assert_int_equal(spike.ms, longest[s]);
    }
}

static void test_beside_a_twin(void **state) {
    (void)state;
    static uint32_t longest[SECONDS], own[SHARDS][SECONDS];
    struct spikes shards[SHARDS];
    memset(longest, 0, sizeof longest);
    memset(own, 0, sizeof own);
    for (int i = 0; i < SHARDS; i++) spikes_init(&shards[i], heap);
    for (uint32_t s = 1; s < SECONDS; s++)
        for (uint64_t left = prng_below(&prng, 4); left; left--) {
            uint32_t shard = (uint32_t)prng_below(&prng, SHARDS), ms = 1 + (uint32_t)prng_below(&prng, 1000);
            spikes_add(&shards[shard], SPIKE_TURN, s, ms);
            own[shard][s] = MAX(own[shard][s], ms);
            longest[s] = MAX(longest[s], ms);
        }
    struct spike_series sum = {0};
    for (int i = 0; i < SHARDS; i++) {
        assert_series(shards[i].series[SPIKE_TURN], own[i], SECONDS);
        spike_series_merge(&sum, shards[i].series[SPIKE_TURN]);
    }
    /* Of the last 160 seconds each shard has all it saw, so the sum does, too. */
    assert_int_equal(sum.count, SPIKE_SAMPLES);
    for (uint32_t i = 0; i < sum.count; i++) {
        struct spike spike = spike_at(&sum, i);
        assert_int_equal(spike.ms, longest[spike.time_s]);
    }
    for (int i = 0; i < SHARDS; i++) spikes_deinit(&shards[i]);
}

static void test_reset(void **state) {
    (void)state;
    struct spikes spikes;
    spikes_init(&spikes, heap);
    assert_false(spikes_reset(&spikes, SPIKE_SYNC));
    spikes_add(&spikes, SPIKE_SYNC, 5, 7);
    assert_true(spikes_reset(&spikes, SPIKE_SYNC));
    assert_false(spikes_reset(&spikes, SPIKE_SYNC));
    assert_null(spikes.series[SPIKE_SYNC]);
    spikes_deinit(&spikes);
}

static void test_a_clock_that_is_set_back(void **state) {
    (void)state;
    struct spikes spikes;
    spikes_init(&spikes, heap);
    spikes_add(&spikes, SPIKE_COMMAND, 100, 3);
    spikes_add(&spikes, SPIKE_COMMAND, 40, 9);
    assert_int_equal(spikes.series[SPIKE_COMMAND]->count, 1);
    assert_int_equal(spike_at(spikes.series[SPIKE_COMMAND], 0).time_s, 100);
    assert_int_equal(spike_at(spikes.series[SPIKE_COMMAND], 0).ms, 9);
    spikes_deinit(&spikes);
}

static void test_names(void **state) {
    (void)state;
    enum spike_event event;
    for (int i = 0; i < SPIKE_EVENTS; i++) {
        const char *name = spike_name((enum spike_event)i);
        assert_true(spike_find(name, strlen(name), &event));
        assert_int_equal(event, i);
    }
    assert_false(spike_find("command", 6, &event));
    assert_false(spike_find("Command", 7, &event));
    assert_false(spike_find("", 0, &event));
}

int main(void) {
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("seed %llu\n", (unsigned long long)seed);
    prng_init(&prng, seed);
    heap = heap_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beside_a_twin),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_a_clock_that_is_set_back),
        cmocka_unit_test(test_names),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    heap_delete(heap);
    return failed;
}
