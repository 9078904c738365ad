/* The stopwatch of the turns beside a naive twin that keeps every turn: sums, histograms, and the slowest ones, over
 * random turns; and what CONFIG RESETSTAT does in the middle of one. */
#include "core/prng.h"
#include "shards/turns.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define TURNS 5000

struct random {
    struct prng prng;
    uint64_t now;
    struct turn_counts counts;
};

/* Mostly short, now and then very long. */
static uint64_t some_time(struct random *random) {
    uint64_t power = prng_below(&random->prng, prng_below(&random->prng, 20) == 0 ? 30 : 12);
    return prng_below(&random->prng, (1ull << power) + 1);
}

/* One turn; what it took of each phase is in `spent`. */
static uint64_t play_turn(struct turns *turns, struct random *random, uint64_t spent[TURNS_PHASES]) {
    memset(spent, 0, TURNS_PHASES * sizeof *spent);
    bool sampling = turns->sampling;
    uint64_t wait = some_time(random), kernel = prng_below(&random->prng, wait + 1);
    turns->phase = SPENT_WAIT;
    random->now += wait;
    spent[SPENT_WAIT] = sampling ? wait - kernel : wait;
    spent[SPENT_KERNEL] = sampling ? kernel : 0;
    turns_begin(turns, random->now, sampling ? kernel : 0, random->now, &random->counts);
    enum turn_phase phase = SPENT_RECEIVE;
    for (uint64_t left = prng_below(&random->prng, 20); left; left--) {
        uint64_t time = some_time(random);
        random->now += time;
        spent[phase] += time;
        phase = (enum turn_phase)(SPENT_RECEIVE + prng_below(&random->prng, TURNS_PHASES - SPENT_RECEIVE));
        turns_pass(turns, phase, random->now);
    }
    random->counts.commands += prng_below(&random->prng, 200);
    random->counts.messages += prng_below(&random->prng, 5);
    random->counts.bytes_in += prng_below(&random->prng, 5000);
    uint64_t length = 0;
    for (int i = SPENT_KERNEL; i < TURNS_PHASES; i++) length += spent[i];
    assert_int_equal(turns_end(turns, random->now, &random->counts), length);
    return length;
}

static int longest_first(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void check_slowest(const struct turn_stats *stats, uint64_t *lengths, uint32_t count) {
    uint64_t slowest[TURNS_SLOWEST];
    for (int i = 0; i < TURNS_SLOWEST; i++) slowest[i] = stats->slowest[i].length;
    qsort(slowest, TURNS_SLOWEST, sizeof *slowest, longest_first);
    qsort(lengths, count, sizeof *lengths, longest_first);
    for (int i = 0; i < TURNS_SLOWEST; i++) assert_int_equal(slowest[i], lengths[i]);
}

static void test_beside_a_twin(void **state) {
    (void)state;
    static struct turns turns;
    static uint64_t lengths[TURNS];
    struct random random = {.now = 1};
    struct turn_stats twin = {0};
    turns = (struct turns){.mark = random.now};
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("seed %llu\n", (unsigned long long)seed);
    prng_init(&random.prng, seed);
    for (uint32_t i = 0; i < TURNS; i++) {
        uint64_t spent[TURNS_PHASES], commands = random.counts.commands;
        bool sampling = turns.sampling;
        lengths[i] = play_turn(&turns, &random, spent);
        twin.turns++;
        unsigned bucket = 0;
        while (bucket < TURNS_BUCKETS - 1 && lengths[i] >= 2ull << bucket) bucket++;
        twin.length[bucket]++;
        if (!sampling) continue;
        twin.samples++;
        twin.sample_commands += random.counts.commands - commands;
        for (int phase = 0; phase < TURNS_PHASES; phase++) twin.phase[phase] += spent[phase];
    }
    assert_int_equal(twin.samples, TURNS / TURNS_SAMPLE_EVERY);
    struct turn_stats sum = {0}, none = {0};
    turn_stats_add(&sum, &turns.stats);
    turn_stats_add(&sum, &none);
    assert_memory_equal(&sum, &twin, sizeof twin);
    check_slowest(&turns.stats, lengths, TURNS);
}

static void test_what_a_slow_turn_did(void **state) {
    (void)state;
    struct turns turns = {.mark = 100};
    struct turn_counts before = {10, 2, 1000}, after = {15, 3, 1700};
    turns_begin(&turns, 150, 0, 77, &before);
    turns_pass(&turns, SPENT_JOURNAL, 160);
    turns_note_command(&turns, 5, 33);
    turns_note_command(&turns, 9, 44);
    turns_note_command(&turns, 7, 55);
    turns_end(&turns, 1000, &after);
    const struct slow_turn *turn = &turns.stats.slowest[0];
    assert_int_equal(turn->length, 850);
    assert_int_equal(turn->began_ms, 77);
    assert_int_equal(turn->phase[SPENT_KERNEL], 0);
    assert_int_equal(turn->phase[SPENT_JOURNAL], 840);
    assert_int_equal(turn->commands, 5);
    assert_int_equal(turn->messages, 1);
    assert_int_equal(turn->bytes_in, 700);
    assert_int_equal(turn->longest, 9);
    assert_int_equal(turn->longest_number, 44);
    assert_int_equal(turns.longest, 0);
}

static void test_reset_in_the_middle_of_a_turn(void **state) {
    (void)state;
    struct turns turns = {.mark = 100};
    struct turn_counts before = {10, 2, 1000}, after = {1, 0, 0};
    turns_begin(&turns, 150, 0, 77, &before);
    turns_reset(&turns);
    turns_end(&turns, 1000, &after); /* its counters began anew as well */
    assert_int_equal(turns.stats.turns, 0);
    turns_begin(&turns, 1100, 0, 78, &after);
    turns_end(&turns, 1200, &after);
    assert_int_equal(turns.stats.turns, 1);
}

static void test_buckets(void **state) {
    (void)state;
    assert_int_equal(turns_bucket(0), 0);
    assert_int_equal(turns_bucket(1), 0);
    assert_int_equal(turns_bucket(2), 1);
    assert_int_equal(turns_bucket(127), 6);
    assert_int_equal(turns_bucket(128), 7);
    assert_int_equal(turns_bucket(UINT64_MAX), TURNS_BUCKETS - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beside_a_twin),
        cmocka_unit_test(test_what_a_slow_turn_did),
        cmocka_unit_test(test_reset_in_the_middle_of_a_turn),
        cmocka_unit_test(test_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
