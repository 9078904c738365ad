/* The simulator: N real shards in one process, clients that talk RESP to them, turns in a random order, everything from one
 * seed.
 *
 * Proves   every command, MULTI to EXEC and blocking command is atomic and strictly serialisable over all shards: all answers
 *          can be explained by a server that does one operation after the other, in an order that keeps the order of
 *          time. WATCH sees every change and nothing else. No element of a list is lost or given out twice. Nothing
 *          hangs, and nothing is left behind.
 * How      tests/sim/mixed.h checks small histories exactly; accounts.h and queues.h check larger ones by what must hold.
 *
 * Seeds 1 to SHERD_ROUNDS, and some fresh ones, which are printed. SHERD_SEED runs that seed only, or with SHERD_ROUNDS as
 * many from there: SHERD_SEED=$RANDOM$RANDOM SHERD_ROUNDS=1000000 is for the night. A failure prints its seed, the
 * operations and what the checker found. */
#include "tests/sim/accounts.h"
#include "tests/sim/mixed.h"
#include "tests/sim/queues.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#define ROUNDS       300 /* when SHERD_ROUNDS does not say otherwise */
#define FAILURES_MAX 3   /* printed before a test gives up */

typedef struct round_result (*run_round)(const struct round *round);

struct sum {
    uint64_t rounds, failures, steps, operations, nodes, nodes_max;
};

static void run_seeds(run_round run, uint64_t first, uint64_t count, struct sum *sum) {
    for (uint64_t seed = first; seed < first + count && sum->failures < FAILURES_MAX; seed++) {
        struct round round = {.seed = seed, .report = stderr};
        struct round_result result = run(&round);
        sum->rounds++;
        sum->failures += result.failed;
        sum->steps += result.steps;
        sum->operations += result.operations;
        sum->nodes += result.nodes;
        sum->nodes_max = result.nodes > sum->nodes_max ? result.nodes : sum->nodes_max;
    }
}

static uint64_t rounds_or(uint64_t otherwise) {
    const char *text = getenv("SHERD_ROUNDS");
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

/* share: this test's part of the rounds, in percent; they differ in length. */
static void play(const char *name, run_round run, uint64_t share) {
    struct sum sum = {0};
    uint64_t rounds = rounds_or(seed_given() ? 1 : ROUNDS), fresh = (uint64_t)time(NULL) << 16;
    if (!seed_given()) rounds = (rounds * share + 99) / 100;
    run_seeds(run, seed_or(1), rounds, &sum);
    if (!seed_given()) {
        printf("%s: fresh seeds from %" PRIu64 "\n", name, fresh);
        run_seeds(run, fresh, rounds / 20 + 1, &sum);
    }
    printf("%s: %" PRIu64 " seeds, %" PRIu64 " steps, %" PRIu64 " operations, %" PRIu64
           " states searched, at most %" PRIu64 " for one seed\n",
           name, sum.rounds, sum.steps, sum.operations, sum.nodes, sum.nodes_max);
    assert_int_equal(sum.failures, 0);
}

static void answers_have_an_order(void **state) {
    (void)state;
    play("mixed", mixed_round, 70);
}

static void sums_stay(void **state) {
    (void)state;
    play("accounts", accounts_round, 10);
}

static void elements_are_neither_lost_nor_doubled(void **state) {
    (void)state;
    play("queues", queues_round, 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_have_an_order),
        cmocka_unit_test(sums_stay),
        cmocka_unit_test(elements_are_neither_lost_nor_doubled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
