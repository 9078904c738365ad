/* The simulator: N real shards in one process, clients that talk RESP to them, turns in a random order, everything from
 * one seed.
 *
 * Proves   every command, MULTI to EXEC and blocking command is atomic and strictly serialisable over all shards: all
 *          answers can be explained by a server that does one operation after the other, in an order that keeps the
 *          order of time. WATCH sees every change and nothing else. No element of a list is lost or given out twice.
 *          Nothing hangs, and nothing is left behind.
 * How      tests/sim/mixed.h checks small histories exactly; accounts.h and queues.h check larger ones by what must
 *          hold.
 *
 * Seeds 1 to SHERD_ROUNDS, and some fresh ones, which are printed. SHERD_SEED runs that seed only, or with SHERD_ROUNDS
 * as many from there: SHERD_SEED=$RANDOM$RANDOM SHERD_ROUNDS=1000000 is for the night. A failure prints its seed, the
 * operations and what the checker found. */
#include "tests/sim/accounts.h"
#include "tests/sim/mixed.h"
#include "tests/sim/queues.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS        300 /* when SHERD_ROUNDS does not say otherwise */
#define FAILURES_MAX  3   /* printed before a test gives up */
#define CHUNK         200 /* seeds of one process: an assertion of the shards ends that one only */
#define CHUNK_SECONDS 120 /* of CPU: a turn that does not end */

typedef struct round_result (*run_round)(const struct round *round);

/* Shared with the process that plays. */
struct sum {
    uint64_t rounds, failures, crashes, steps, operations, nodes, nodes_max;
    uint64_t seed; /* that is being played */
};

static void run_seeds(run_round run, uint64_t end, struct sum *sum) {
    for (; sum->seed < end && sum->failures < FAILURES_MAX; sum->seed++) {
        struct round round = {.seed = sum->seed, .report = stderr};
        sum->rounds++;
        struct round_result result = run(&round);
        sum->failures += result.failed;
        sum->crashes += result.crashed;
        sum->steps += result.steps;
        sum->operations += result.operations;
        sum->nodes += result.nodes;
        sum->nodes_max = result.nodes > sum->nodes_max ? result.nodes : sum->nodes_max;
    }
}

/* cmocka goes on after a signal with the next test, which is not what a child is for. */
static void die_of_signals(void) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) signal(signals[i], SIG_DFL);
}

/* The same in a process of its own. One that dies leaves its seed behind, and the next goes on
 * with the one after it. */
static void run_chunk(const char *name, run_round run, uint64_t end, struct sum *sum) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        die_of_signals();
        setitimer(ITIMER_PROF, &(struct itimerval){.it_value = {.tv_sec = CHUNK_SECONDS}}, NULL);
        run_seeds(run, end, sum);
        exit(0); /* where the leak sanitizer looks */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    fprintf(stderr, "%s, seed %" PRIu64 ": %s %d\n", name, sum->seed, WIFSIGNALED(status) ? "signal" : "exit",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    sum->failures++;
    sum->seed++;
}

static void run_chunks(const char *name, run_round run, uint64_t first, uint64_t count, struct sum *sum) {
    uint64_t end = first + count;
    for (sum->seed = first; sum->seed < end && sum->failures < FAILURES_MAX;)
        run_chunk(name, run, end - sum->seed > CHUNK ? sum->seed + CHUNK : end, sum);
}

static uint64_t rounds_or(uint64_t otherwise) {
    const char *text = getenv("SHERD_ROUNDS");
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void print_sum(const char *name, const struct sum *sum) {
    printf("%s: %" PRIu64 " seeds, %" PRIu64 " crashes, %" PRIu64 " steps, %" PRIu64 " operations, %" PRIu64
           " states searched, at most %" PRIu64 " for one seed\n",
           name, sum->rounds, sum->crashes, sum->steps, sum->operations, sum->nodes, sum->nodes_max);
}

/* share: this test's part of the rounds, in percent; they differ in length. */
static void play(const char *name, run_round run, uint64_t share) {
    struct sum *sum = mmap(NULL, sizeof *sum, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(sum != MAP_FAILED);
    uint64_t rounds = rounds_or(seed_given() ? 1 : ROUNDS), fresh = (uint64_t)time(NULL) << 16;
    if (seed_given()) {
        sum->seed = seed_or(1);
        if (rounds == 1)
            run_seeds(run, sum->seed + 1, sum); /* here, for the debugger */
        else
            run_chunks(name, run, sum->seed, rounds, sum);
    } else {
        rounds = (rounds * share + 99) / 100;
        run_chunks(name, run, 1, rounds, sum);
        printf("%s: fresh seeds from %" PRIu64 "\n", name, fresh);
        run_chunks(name, run, fresh, rounds / 20 + 1, sum);
    }
    print_sum(name, sum);
    uint64_t failures = sum->failures;
    munmap(sum, sizeof *sum);
    assert_int_equal(failures, 0);
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
