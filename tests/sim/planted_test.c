/* The simulator can fail: each of the bugs in shards/planted.h, in a copy of the shards that has them, is found within
 * a few seeds; and with none of them on, the same seeds find nothing.
 *
 * A bug may show as a violation, a hang or an assertion of the shards, so every seed is played in a process of its own.
 * SHERD_SEED plays that seed with each bug and shows what it prints. */
#include "core/defs.h"
#include "shards/planted.h"
#include "tests/sim/accounts.h"
#include "tests/sim/mixed.h"
#include "tests/sim/queues.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SEEDS_MAX       100  /* within which each bug is to be found, */
#define CRASHES_MAX     2000 /* or one that shows in a crash only */
#define CHILD_SECONDS   5    /* a turn that does not end is a failure, too */
#define QUIET_SEEDS_MAX 30

typedef struct round_result (*run_round)(const struct round *round);
static const run_round rounds[] = {mixed_round, accounts_round, queues_round};
static const char *const round_names[] = {"mixed", "accounts", "queues"};

/* Plays one round in a child; true when it failed, in whatever way. */
static bool fails(enum planted_bug bug, run_round run, uint64_t seed) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!seed_given() && !freopen("/dev/null", "w", stderr)) _exit(2);
        setitimer(ITIMER_PROF, &(struct itimerval){.it_value = {.tv_sec = CHILD_SECONDS}}, NULL);
        struct round round = {.seed = seed, .planted = (int)bug, .report = stderr};
        _exit(run(&round).failed);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

/* The first seed and kind of round that finds the bug; false: none did. */
static bool find(enum planted_bug bug, uint64_t first, uint64_t count, uint64_t *seed, uint32_t *kind) {
    for (*seed = first; *seed < first + count; ++*seed)
        for (*kind = 0; *kind < ARRAY_LEN(rounds); ++*kind)
            if (fails(bug, rounds[*kind], *seed)) return true;
    return false;
}

static void is_found(const char *name, enum planted_bug bug, uint64_t seeds) {
    uint64_t seed;
    uint32_t kind;
    bool found = find(bug, seed_or(1), seed_given() ? 1 : seeds, &seed, &kind);
    if (found) printf("%s: found by seed %llu, %s\n", name, (unsigned long long)seed, round_names[kind]);
    assert_true(found || seed_given());
}

static void nothing_is_not_found(void **state) {
    (void)state;
    uint64_t seed;
    uint32_t kind;
    assert_false(find(PLANT_NOTHING, seed_or(1), seed_given() ? 1 : QUIET_SEEDS_MAX, &seed, &kind));
}

static void early_unlock_is_found(void **state) {
    (void)state;
    is_found("early unlock", PLANT_EARLY_UNLOCK, SEEDS_MAX);
}

static void wrong_order_is_found(void **state) {
    (void)state;
    is_found("wrong order", PLANT_WRONG_ORDER, SEEDS_MAX);
}

static void lost_wakeup_is_found(void **state) {
    (void)state;
    is_found("lost wake-up", PLANT_LOST_WAKEUP, SEEDS_MAX);
}

static void unsafe_reply_is_found(void **state) {
    (void)state;
    is_found("unsafe reply", PLANT_UNSAFE_REPLY, CRASHES_MAX);
}

static void early_read_is_found(void **state) {
    (void)state;
    is_found("early read", PLANT_EARLY_READ, CRASHES_MAX);
}

static void lost_input_is_found(void **state) {
    (void)state;
    is_found("lost input", PLANT_LOST_INPUT, SEEDS_MAX);
}

static void early_yield_is_found(void **state) {
    (void)state;
    is_found("early yield", PLANT_EARLY_YIELD, SEEDS_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_not_found),  cmocka_unit_test(early_unlock_is_found),
        cmocka_unit_test(wrong_order_is_found),  cmocka_unit_test(lost_wakeup_is_found),
        cmocka_unit_test(unsafe_reply_is_found), cmocka_unit_test(early_read_is_found),
        cmocka_unit_test(lost_input_is_found),   cmocka_unit_test(early_yield_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
