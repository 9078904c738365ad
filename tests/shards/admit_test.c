/* Admit: large replies, and commands that take turns for theirs, go when there is room.
 *
 * Proves   where there is plenty all go; where there is not one that has waited goes beyond what clients may have, as far
 *          as that reaches, the oldest first, so that small ones do not keep a large one waiting; one that does not fit
 *          into that at all is refused soon, and one for which no room comes is in the end, or soon where others need
 *          what it holds. */
#include "shards/admit.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB   (1ull << 20)
#define LATE  400   /* ms: it may go beyond */
#define VAIN  20000 /* none has come */
#define HASTE 1000

struct world {
    struct sim *sim;
    struct shard *shard;
    struct ledger ledger;
};

static int set_up(void **state) {
    struct world *world = calloc(1, sizeof *world);
    struct sim_options options = {.shards = 1, .mailbox_capacity = 8, .db_count = 1, .seed = 1};
    world->sim = sim_new(&options);
    world->shard = sim_shard(world->sim, 0);
    sim_step(world->sim); /* the clock is set */
    world->sim->config.maxmemory_policy = MAXMEMORY_NOEVICTION;
    ledger_init(&world->ledger, 1);
    account_open(world->shard, &world->ledger);
    *state = world;
    return 0;
}

static int tear_down(void **state) {
    struct world *world = *state;
    account_open(world->shard, NULL);
    sim_delete(world->sim);
    free(world);
    return 0;
}

/* Clients may have a MiB, and replies ten more. */
static void be_short(struct world *world) {
    atomic_store(&world->ledger.room, 0);
    atomic_store(&world->ledger.clients_most, 0);
    atomic_store(&world->ledger.client_share, (int64_t)MIB);
    atomic_store(&world->ledger.beyond, (int64_t)(10 * MIB));
}

static enum admission ask(struct world *world, uint64_t bytes, uint64_t since_ms) {
    return admit_waiting_answer(world->shard, bytes, since_ms, false);
}

static enum admission ask_in_haste(struct world *world, uint64_t bytes, uint64_t since_ms) {
    return admit_waiting_answer(world->shard, bytes, since_ms, true);
}

static void expect(struct world *world, uint64_t bytes, int64_t sign) {
    account_expect(&world->shard->account, bytes, sign);
}

static void test_plenty(void **state) {
    struct world *world = *state;
    expect(world, 100 * MIB, 1);
    assert_true(admit_answer(world->shard, 1000 * MIB));
    assert_int_equal(ask(world, 1000 * MIB, world->shard->now_ms), ADMIT_GO);
    expect(world, 100 * MIB, -1);
}

static void test_one_after_the_other(void **state) {
    struct world *world = *state;
    uint64_t first = world->shard->now_ms, second = first + 1;
    be_short(world);
    assert_false(admit_answer(world->shard, 5 * MIB));
    assert_int_equal(ask(world, 5 * MIB, first), ADMIT_WAIT);
    assert_true(admit_answer(world->shard, 1000));
    assert_int_equal(ask(world, 1000, second), ADMIT_GO); /* there is room for a small one beside */
    world->shard->now_ms += LATE;
    assert_int_equal(ask(world, 5 * MIB, first), ADMIT_GO);
    expect(world, 5 * MIB, 1);
    assert_int_equal(ask(world, 7 * MIB, first), ADMIT_WAIT); /* both together are too much */
    assert_int_equal(ask(world, 1000, second), ADMIT_WAIT);   /* no more, for the other has waited for long */
    expect(world, 5 * MIB, -1);
    assert_int_equal(ask(world, 1000, second), ADMIT_WAIT);
    assert_int_equal(ask(world, 7 * MIB, first), ADMIT_GO);
    assert_int_equal(ask(world, 1000, second), ADMIT_GO);
}

/* Who waited for long and then finds plenty, or goes away, keeps nobody else waiting. */
static void test_others_after_it(void **state) {
    struct world *world = *state;
    uint64_t first = world->shard->now_ms, second = first + 1;
    for (int finds_plenty = 0; finds_plenty < 2; finds_plenty++) {
        be_short(world);
        expect(world, 7 * MIB, 1);
        world->shard->now_ms = first + LATE;
        assert_int_equal(ask(world, 7 * MIB, first), ADMIT_WAIT);
        atomic_store(&world->ledger.room, LEDGER_UNBOUNDED);
        if (finds_plenty)
            assert_int_equal(ask(world, 7 * MIB, first), ADMIT_GO);
        else
            admit_answer_ends(world->shard, first);
        expect(world, 7 * MIB, -1);
        be_short(world);
        assert_int_equal(ask(world, 1000, second), ADMIT_GO);
    }
}

static void test_too_much(void **state) {
    struct world *world = *state;
    uint64_t since = world->shard->now_ms;
    be_short(world);
    assert_int_equal(ask(world, 20 * MIB, since), ADMIT_WAIT); /* there may be more room in a moment */
    world->shard->now_ms += LATE;
    assert_int_equal(ask(world, 20 * MIB, since), ADMIT_REFUSE);
    assert_int_equal(atomic_load(&world->ledger.place[0].refused), 1);
    assert_int_equal(atomic_load(&world->ledger.answers), 0); /* no client is closed for it */
    assert_int_equal(ask(world, 1000, since), ADMIT_GO);
}

static void test_no_room_comes(void **state) {
    struct world *world = *state;
    uint64_t since = world->shard->now_ms;
    be_short(world);
    expect(world, 7 * MIB, 1);
    world->shard->now_ms += LATE;
    assert_int_equal(ask(world, 7 * MIB, since), ADMIT_WAIT);
    assert_int_equal(atomic_load(&world->ledger.answers), 7 * MIB); /* the fattest clients are to go */
    world->shard->now_ms += VAIN;
    assert_int_equal(ask(world, 7 * MIB, since), ADMIT_REFUSE);
    expect(world, 7 * MIB, -1);
}

/* Who holds what others need waits for a second, be it that others are before it; and goes beyond as soon as others may. */
static void test_in_haste(void **state) {
    struct world *world = *state;
    uint64_t first = world->shard->now_ms, second = first + 1;
    be_short(world);
    expect(world, 7 * MIB, 1);
    world->shard->now_ms += LATE;
    assert_int_equal(ask(world, 9 * MIB, first), ADMIT_WAIT);
    assert_int_equal(ask_in_haste(world, MIB, second), ADMIT_WAIT); /* it is not its turn */
    world->shard->now_ms += HASTE;
    assert_int_equal(ask(world, 9 * MIB, first), ADMIT_WAIT);
    assert_int_equal(ask_in_haste(world, MIB, second), ADMIT_REFUSE);
    admit_answer_ends(world->shard, first);
    assert_int_equal(ask_in_haste(world, MIB, second), ADMIT_GO);
    assert_int_equal(ask_in_haste(world, 9 * MIB, world->shard->now_ms - LATE), ADMIT_WAIT);
    assert_int_equal(ask_in_haste(world, 9 * MIB, second), ADMIT_REFUSE);
    expect(world, 7 * MIB, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plenty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_after_the_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_others_after_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_much, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_room_comes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_in_haste, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
