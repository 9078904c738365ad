/* Admit: commands that take turns for their reply begin when there is room for it.
 *
 * Proves   where there is plenty all begin; where there is not one that is alone begins all the same, others wait for its
 *          end, in the order in which they came once one has waited for long, so that small ones do not keep a large
 *          one waiting; and one for which there is no room on the machine is refused, unless keys go for it. */
#include "shards/admit.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB   (1ull << 20)
#define LATER 60000 /* ms: whoever waits for long by then */

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

/* Clients may have a MiB, and one command ten more. */
static void be_short(struct world *world) {
    atomic_store(&world->ledger.room, 0);
    atomic_store(&world->ledger.clients_most, 0);
    atomic_store(&world->ledger.client_share, (int64_t)MIB);
    atomic_store(&world->ledger.beyond, (int64_t)(10 * MIB));
}

static void test_plenty(void **state) {
    struct world *world = *state;
    account_expect(&world->shard->account, 100 * MIB, 1);
    assert_int_equal(admit_work(world->shard, 1000 * MIB, world->shard->now_ms), ADMIT_GO);
    account_expect(&world->shard->account, 100 * MIB, -1);
}

static void test_one_after_the_other(void **state) {
    struct world *world = *state;
    struct shard *shard = world->shard;
    uint64_t first = shard->now_ms, second = first + 1;
    be_short(world);
    assert_int_equal(admit_work(shard, 5 * MIB, first), ADMIT_GO);
    account_expect(&shard->account, 5 * MIB, 1);
    assert_int_equal(admit_work(shard, 2 * MIB, first), ADMIT_WAIT);
    assert_int_equal(admit_work(shard, 1000, second), ADMIT_WAIT);
    account_expect(&shard->account, 5 * MIB - 1000, -1);
    assert_int_equal(admit_work(shard, 1000, second), ADMIT_GO); /* there is room for a small one beside */
    shard->now_ms += LATER;
    assert_int_equal(admit_work(shard, 2 * MIB, first), ADMIT_WAIT);
    assert_int_equal(admit_work(shard, 1000, second), ADMIT_WAIT); /* no more, for the other has waited for long */
    account_expect(&shard->account, 1000, -1);
    assert_int_equal(admit_work(shard, 1000, second), ADMIT_WAIT);
    assert_int_equal(admit_work(shard, 2 * MIB, first), ADMIT_GO);
    assert_int_equal(admit_work(shard, 1000, second), ADMIT_GO);
}

/* Who waited for long and then finds plenty keeps nobody else waiting. */
static void test_plenty_after_all(void **state) {
    struct world *world = *state;
    struct shard *shard = world->shard;
    uint64_t first = shard->now_ms, second = first + 1;
    be_short(world);
    account_expect(&shard->account, 5 * MIB, 1);
    shard->now_ms += LATER;
    assert_int_equal(admit_work(shard, 2 * MIB, first), ADMIT_WAIT);
    atomic_store(&world->ledger.room, LEDGER_UNBOUNDED);
    assert_int_equal(admit_work(shard, 2 * MIB, first), ADMIT_GO);
    account_expect(&shard->account, 5 * MIB, -1);
    be_short(world);
    assert_int_equal(admit_work(shard, 1000, second), ADMIT_GO);
}

static void test_too_much(void **state) {
    struct world *world = *state;
    struct shard *shard = world->shard;
    uint64_t since = shard->now_ms;
    be_short(world);
    assert_int_equal(admit_work(shard, 20 * MIB, since), ADMIT_WAIT); /* there may be more room in a moment */
    shard->now_ms += LATER;
    assert_int_equal(admit_work(shard, 20 * MIB, since), ADMIT_REFUSE);
    assert_int_equal(atomic_load(&world->ledger.place[0].refused), 1);
    world->sim->config.maxmemory_policy = MAXMEMORY_ALLKEYS_LRU;
    shard_config_changed(shard);
    assert_int_equal(admit_work(shard, 20 * MIB, since), ADMIT_GO); /* keys go for it */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plenty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_after_the_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_plenty_after_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_much, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
