/* Regroup, with clients and a disk that are played.
 *
 * Proves   clients that come back at once are in one sync all together from the second round on, whatever the order in
 *          which they first came; a part of them that stays away is waited for no longer than a quarter of a round;
 *          clients that come at times of their own are waited for a fifth of a round on average, at most; a single
 *          client never is; a wait is never longer than a round, or than 8 ms, whatever comes and however slow the disk
 *          was.
 * How      time goes in steps of 1 us, a turn in each. Clients write again so long after their reply. */
#include "core/defs.h"
#include "core/prng.h"
#include "persist/regroup.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define US      1000ull
#define CLIENTS 50u

struct play {
    struct regroup regroup;
    uint64_t now_ns, round_ns, began_ns; /* began: 0: no round is under way */
    uint64_t durable, in_round, written;
    uint64_t due[CLIENTS];                     /* when each client writes next; 0: it waits for its reply */
    uint64_t group[CLIENTS];                   /* what it waits for */
    uint64_t gap_ns;                           /* between a reply and the next command */
    uint32_t rounds, clients;                  /* so many of them */
    uint64_t carried;                          /* groups that rounds have carried */
    uint64_t ready_ns, wait_max_ns, waited_ns; /* since when something could be written; how long that took */
};

static void start(struct play *play, uint32_t clients, uint64_t round_ns, uint64_t gap_ns) {
    *play = (struct play){.now_ns = US, .ready_ns = 2 * US, .round_ns = round_ns, .gap_ns = gap_ns, .clients = clients};
    /* Half of them while the first round is under way. */
    for (uint32_t i = 0; i < clients; i++) play->due[i] = US + (i % 2) * round_ns / 2;
}

static void answer(struct play *play) {
    play->durable = play->in_round;
    regroup_begin(&play->regroup, play->now_ns, play->durable, play->written, play->now_ns - play->began_ns);
    play->began_ns = 0;
    for (uint32_t i = 0; i < play->clients; i++)
        if (!play->due[i] && play->group[i] <= play->durable) play->due[i] = play->now_ns + play->gap_ns;
}

static void begin_round(struct play *play) {
    uint64_t waited_ns = play->now_ns - play->ready_ns;
    play->wait_max_ns = MAX(play->wait_max_ns, waited_ns);
    play->waited_ns += waited_ns;
    play->began_ns = play->now_ns;
    play->carried += play->written - play->in_round;
    play->in_round = play->written;
    play->rounds++;
}

static void step(struct play *play) {
    play->now_ns += US;
    for (uint32_t i = 0; i < play->clients; i++) {
        if (!play->due[i] || play->due[i] > play->now_ns) continue;
        play->due[i] = 0;
        play->group[i] = ++play->written;
    }
    if (play->began_ns && play->now_ns - play->began_ns >= play->round_ns) answer(play);
    regroup_turn(&play->regroup, play->now_ns, play->written);
    if (play->began_ns || play->written == play->in_round) {
        play->ready_ns = play->now_ns + US;
        return;
    }
    if (regroup_due_ns(&play->regroup) <= play->now_ns) begin_round(play);
}

static void run(struct play *play, uint64_t ns) {
    for (uint64_t end_ns = play->now_ns + ns; play->now_ns < end_ns;) step(play);
}

static void forget(struct play *play) {
    play->rounds = 0;
    play->carried = play->wait_max_ns = play->waited_ns = 0;
}

static void all_who_come_back_are_together(void **state) {
    (void)state;
    struct play play;
    start(&play, CLIENTS, 200 * US, 40 * US);
    run(&play, 2000 * US);
    forget(&play);
    run(&play, 20000 * US);
    assert_true(play.rounds > 70);
    assert_true(play.carried >= (uint64_t)play.rounds * CLIENTS - CLIENTS);
}

static void who_stays_away_is_not_waited_for(void **state) {
    (void)state;
    struct play play;
    start(&play, CLIENTS, 200 * US, 10000 * US);
    run(&play, 100000 * US);
    assert_true(play.wait_max_ns <= 52 * US); /* a quarter of a round */
}

static void one_client_waits_for_nobody(void **state) {
    (void)state;
    struct play play;
    start(&play, 1, 200 * US, 30 * US);
    run(&play, 10000 * US);
    assert_true(play.rounds > 40 && play.wait_max_ns == 0);
}

/* Everybody writes when he likes, whatever was answered. */
static void an_open_loop_is_left_alone(void **state) {
    (void)state;
    struct play play;
    struct prng prng;
    uint64_t seed = seed_or(7);
    prng_init(&prng, seed);
    start(&play, 0, 200 * US, 0);
    for (uint32_t i = 0; i < 200000; i++) {
        if (prng_below(&prng, 100) == 0) play.written++;
        step(&play);
    }
    if (play.rounds <= 500 || play.wait_max_ns > 202 * US || play.waited_ns / play.rounds > 40 * US)
        fail_msg("SHERD_SEED=%llu: %u rounds, %llu ns, %llu ns at most", (unsigned long long)seed, play.rounds,
                 (unsigned long long)(play.waited_ns / play.rounds), (unsigned long long)play.wait_max_ns);
}

/* A disk that stood still has answered thousands; a few come, one after the other, and never all. */
static void no_wait_is_long(void **state) {
    (void)state;
    struct regroup regroup = {0};
    uint64_t now_ns = US, written = 100000;
    regroup_begin(&regroup, now_ns, 100000, written, 30000000 * US);
    uint64_t began_ns = now_ns;
    do {
        now_ns += 10 * US;
        regroup_turn(&regroup, now_ns, ++written);
    } while (regroup_due_ns(&regroup) > now_ns);
    assert_true(now_ns - began_ns > 5000 * US && now_ns - began_ns <= 8030 * US);
    regroup_begin(&regroup, now_ns, 100000, written, 200 * US); /* a sync that failed: nobody was answered */
    assert_true(regroup_due_ns(&regroup) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_who_come_back_are_together),
        cmocka_unit_test(who_stays_away_is_not_waited_for),
        cmocka_unit_test(one_client_waits_for_nobody),
        cmocka_unit_test(an_open_loop_is_left_alone),
        cmocka_unit_test(no_wait_is_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
