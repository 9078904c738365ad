/* Evict: who goes under each policy, and who is told.
 *
 * Proves   each policy prefers whom its name says, in all databases and among the keys it may take; nobody's key in
 *          hand goes; journal, watchers and counters hear of each; and random commands between evictions never lead it
 *          to a key that is gone (the address sanitizer looks on). */
#include "shards/evict.h"
#include "shards/request.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DATABASES 3

struct world {
    struct sim *sim;
    struct shard *shard;
    struct peer *peer;
};

static struct world world_new(enum config_maxmemory_policy policy, uint64_t seed) {
    struct sim_options options = {.shards = 1, .mailbox_capacity = 8, .db_count = DATABASES, .seed = seed};
    struct world world = {.sim = sim_new(&options)};
    world.shard = sim_shard(world.sim, 0);
    world.peer = sim_connect(world.sim, 0);
    world.sim->config.maxmemory_policy = policy;
    shard_config_changed(world.shard);
    sim_step(world.sim); /* the clock is set */
    return world;
}

static void say(struct world *world, const char *text) {
    sim_say(world->peer, text, strlen(text));
    assert_true(sim_settle(world->sim, 100000));
}

static void expect(struct world *world, const char *replies) {
    buf_append(&world->peer->got, "", 1);
    assert_string_equal(world->peer->got.data, replies);
    world->peer->got.len = 0;
}

static bool open_number(struct world *world, uint32_t db, uint32_t number, struct key_ref *ref) {
    static char text[32];
    struct slice key = slice_of(text, (size_t)snprintf(text, sizeof text, "key:%u", number));
    return keyspace_open(shard_db(world->shard, db), key, key_hash(&world->shard->shared, key), ref) != NULL;
}

static void put(struct world *world, uint32_t db, uint32_t number, uint64_t deadline_ms) {
    struct key_ref ref;
    open_number(world, db, number, &ref);
    keyspace_put_string(shard_db(world->shard, db), &ref, SLICE("some value or other"), deadline_ms, false);
}

static void use(struct world *world, uint32_t number) {
    struct key_ref ref;
    if (open_number(world, 0, number, &ref)) keyspace_touch(shard_db(world->shard, 0), ref.entry);
}

static uint32_t count_left(struct world *world, uint32_t db, uint32_t from, uint32_t to) {
    struct key_ref ref;
    uint32_t left = 0;
    for (uint32_t i = from; i < to; i++) left += open_number(world, db, i, &ref);
    return left;
}

static void evict_keys(struct world *world, unsigned keys) {
    uint64_t before = world->shard->stats.evicted;
    for (unsigned i = 0; i < keys; i++) assert_true(evict_some(world->shard, 1, 8) > 0);
    assert_int_equal(world->shard->stats.evicted, before + keys);
}

/* --- each policy --- */

static void noeviction_takes_nothing(void **state) {
    (void)state;
    struct world world = world_new(MAXMEMORY_NOEVICTION, 1);
    put(&world, 0, 1, 0);
    assert_int_equal(evict_some(world.shard, 1000, 10), 0);
    assert_int_equal(count_left(&world, 0, 0, 10), 1);
    sim_delete(world.sim);
}

static void an_empty_shard_has_nothing(void **state) {
    (void)state;
    for (unsigned policy = 0; policy <= MAXMEMORY_NOEVICTION; policy++) {
        struct world world = world_new((enum config_maxmemory_policy)policy, 1);
        assert_int_equal(evict_some(world.shard, 1000, 10), 0);
        shard_db(world.shard, 1);
        assert_int_equal(evict_some(world.shard, 1000, 10), 0);
        sim_delete(world.sim);
    }
}

/* A thousand keys, of which the first five hundred are used later, and more often: most victims are of the others. */
static void the_unused_go_first(enum config_maxmemory_policy policy) {
    struct world world = world_new(policy, 1);
    uint64_t deadline_ms = policy <= MAXMEMORY_VOLATILE_LRFU ? sim_now_ms(world.sim) + 10000000 : 0;
    for (uint32_t i = 0; i < 1000; i++) put(&world, 0, i, deadline_ms);
    sim_advance_ms(world.sim, 5000);
    for (uint32_t times = 0; times < 20; times++)
        for (uint32_t i = 0; i < 500; i++) use(&world, i);
    evict_keys(&world, 400);
    assert_in_range(count_left(&world, 0, 0, 500), 490, 500);
    sim_delete(world.sim);
}

static void lru_lfu_and_lrfu(void **state) {
    (void)state;
    the_unused_go_first(MAXMEMORY_ALLKEYS_LRU);
    the_unused_go_first(MAXMEMORY_ALLKEYS_LFU);
    the_unused_go_first(MAXMEMORY_VOLATILE_LRU);
    the_unused_go_first(MAXMEMORY_VOLATILE_LFU);
    the_unused_go_first(MAXMEMORY_ALLKEYS_LRFU);
    the_unused_go_first(MAXMEMORY_VOLATILE_LRFU);
}

/* A key that comes back goes on where it was, and so it stays where a newcomer would have to go. */
static void ghosts_remember(void **state) {
    (void)state;
    struct world world = world_new(MAXMEMORY_ALLKEYS_LRFU, 1);
    struct key_ref ref;
    for (uint32_t times = 0; times < 3; times++) {
        put(&world, 0, 1, 0);
        evict_keys(&world, 1);
    }
    put(&world, 0, 1, 0);
    put(&world, 0, 2, 0);
    uint32_t clock = world.shard->shared.access;
    open_number(&world, 0, 1, &ref);
    assert_int_equal(lrfu_uses(ref.entry->access, clock), 4);
    open_number(&world, 0, 2, &ref);
    assert_int_equal(lrfu_uses(ref.entry->access, clock), 1);
    evict_keys(&world, 1);
    assert_int_equal(count_left(&world, 0, 1, 2), 1);
    sim_delete(world.sim);
}

static void random_takes_from_everywhere(void **state) {
    (void)state;
    struct world world = world_new(MAXMEMORY_ALLKEYS_RANDOM, 1);
    for (uint32_t i = 0; i < 1000; i++) put(&world, 0, i, 0);
    evict_keys(&world, 500);
    assert_in_range(count_left(&world, 0, 0, 500), 200, 300);
    sim_delete(world.sim);
}

static void ttl_takes_who_would_go_soonest(void **state) {
    (void)state;
    struct world world = world_new(MAXMEMORY_VOLATILE_TTL, 1);
    uint64_t now_ms = sim_now_ms(world.sim);
    for (uint32_t i = 0; i < 1000; i++) put(&world, 0, i, now_ms + 1000000 + (i % 500) * 1000 + (i < 500 ? 0 : 600000));
    evict_keys(&world, 400);
    assert_in_range(count_left(&world, 0, 500, 1000), 495, 500);
    sim_delete(world.sim);
}

/* A few keys with a deadline among many without one: they go, all of them, and nobody else. */
static void volatile_takes_no_others(void **state) {
    (void)state;
    for (unsigned policy = 0; policy <= MAXMEMORY_VOLATILE_LRFU; policy++) {
        struct world world = world_new((enum config_maxmemory_policy)policy, 1);
        for (uint32_t i = 0; i < 20000; i++) put(&world, 0, i, 0);
        for (uint32_t i = 0; i < 7; i++) put(&world, 0, i * 2000 + 3, sim_now_ms(world.sim) + 1000000);
        put(&world, 2, 1, sim_now_ms(world.sim) + 1000000);
        struct key_ref ref;
        assert_true(open_number(&world, 0, 3, &ref)); /* one is for ever after all; the bound of its group is too low */
        keyspace_set_deadline(shard_db(world.shard, 0), &ref, 0);
        evict_keys(&world, 7);
        assert_int_equal(evict_some(world.shard, 1, 10), 0);
        assert_int_equal(count_left(&world, 0, 0, 20000), 20000 - 6);
        assert_int_equal(count_left(&world, 2, 0, 10), 0);
        sim_delete(world.sim);
    }
}

static void databases_give_in_proportion(void **state) {
    (void)state;
    struct world world = world_new(MAXMEMORY_ALLKEYS_LRU, 1);
    for (uint32_t i = 0; i < 40000; i++) put(&world, 2, i, 0);
    for (uint32_t i = 0; i < 10000; i++) put(&world, 0, i, 0);
    evict_keys(&world, 10000);
    assert_in_range(count_left(&world, 0, 0, 10000), 7500, 8500);
    evict_keys(&world, 40000);
    assert_int_equal(evict_some(world.shard, 1, 10), 0);
    sim_delete(world.sim);
}

/* --- bounds and bytes --- */

static void stops_at_either_bound(void **state) {
    (void)state;
    struct world world = world_new(MAXMEMORY_ALLKEYS_RANDOM, 1);
    for (uint32_t i = 100; i < 200; i++) put(&world, 0, i, 0);
    struct key_ref ref;
    open_number(&world, 0, 107, &ref);
    size_t each = entry_bytes(ref.entry);
    assert_int_equal(evict_some(world.shard, SIZE_MAX, 10), 10 * each);
    assert_int_equal(evict_some(world.shard, 3 * each, 10), 3 * each);
    assert_int_equal(evict_some(world.shard, 3 * each + 1, 10), 4 * each);
    assert_int_equal(evict_some(world.shard, 1000, 0), 0);
    assert_int_equal(evict_some(world.shard, SIZE_MAX, 1000), (100 - 17) * each);
    assert_int_equal(keyspace_count(shard_db(world.shard, 0)), 0);
    sim_delete(world.sim);
}

static void a_large_value_counts_with_all_it_owns(void **state) {
    (void)state;
    struct world world = world_new(MAXMEMORY_ALLKEYS_LRU, 1);
    for (uint32_t i = 0; i < 3000; i++)
        say(&world, "RPUSH list abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\r\n");
    assert_true(evict_some(world.shard, 1, 1) > 3000 * 52);
    world.peer->got.len = 0;
    say(&world, "EXISTS list\r\n");
    expect(&world, ":0\r\n");
    sim_delete(world.sim);
}

static void nothing_goes_while_loading(void **state) {
    (void)state;
    struct world world = world_new(MAXMEMORY_ALLKEYS_LRU, 1);
    put(&world, 0, 1, 0);
    world.shard->loading = true;
    assert_int_equal(evict_some(world.shard, 1, 1), 0);
    world.shard->loading = false;
    assert_true(evict_some(world.shard, 1, 1) > 0);
    sim_delete(world.sim);
}

/* --- who holds, who is told --- */

static void held_keys_stay(void **state) {
    (void)state;
    struct world world = world_new(MAXMEMORY_ALLKEYS_LRU, 1);
    say(&world, "MSET a 1 b 2 c 3\r\n");
    uint64_t hash = key_hash(&world.shard->shared, SLICE("b"));
    struct request *held = request_hold(world.shard, &hash, 1);
    world.sim->threads[0].awake = true; /* as after a turn that said there is more */
    sim_step(world.sim);
    assert_true(request_is_held(held));
    evict_keys(&world, 2);
    assert_int_equal(evict_some(world.shard, 1, 10), 0);
    world.peer->got.len = 0;
    say(&world, "MGET a b c\r\n");
    expect(&world, "*3\r\n$-1\r\n$1\r\n2\r\n$-1\r\n");
    request_let_go(world.shard, held);
    world.sim->threads[0].awake = true;
    assert_true(sim_settle(world.sim, 100000));
    evict_keys(&world, 1);
    sim_delete(world.sim);
}

static void watchers_and_the_journal_are_told(void **state) {
    (void)state;
    struct world world = world_new(MAXMEMORY_ALLKEYS_LRU, 1);
    struct effects *effects = &world.shard->effects;
    effects->on = true;
    say(&world, "SET k v\r\nMOVE k 1\r\nSET k v\r\nWATCH k\r\nMULTI\r\n");
    struct buf written;
    uint32_t db;
    buf_init(&written, sim_heap(world.sim), MEM_STATS);
    effects_take(effects, &written, &db);
    written.len = written.read = 0;
    uint64_t position = effects->position;
    evict_keys(&world, 2);
    assert_int_equal(effects->position, position + 2);
    effects_take(effects, &written, &db);
    assert_int_equal(db, 0);
    assert_true(
        slice_equal(buf_slice(&written), SLICE("*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n"
                                               "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n")));
    world.peer->got.len = 0;
    say(&world, "SET x y\r\nEXEC\r\n");
    expect(&world, "+QUEUED\r\n*-1\r\n");
    buf_deinit(&written);
    effects_deinit(effects);
    effects->on = false;
    sim_delete(world.sim);
}

/* --- commands between evictions --- */

#define NAMES 400

static void random_command(struct world *world, struct prng *prng) {
    static const char *const commands[] = {
        "SET k%u v\r\n",       "SET k%u a-longer-value-that-takes-another-block EX 1000\r\n",
        "DEL k%u\r\n",         "GET k%u\r\n",
        "EXPIRE k%u 1\r\n",    "PERSIST k%u\r\n",
        "RPUSH k%u a b c\r\n", "RENAME k%u k1\r\n",
        "MOVE k%u 1\r\n",      "SADD s%u a b 1 2\r\n",
    };
    char text[100];
    uint64_t choice = prng_below(prng, 200);
    if (choice == 0)
        say(world, "FLUSHALL\r\n");
    else if (choice == 1)
        say(world, "SWAPDB 0 1\r\n");
    else {
        snprintf(text, sizeof text, commands[choice % ARRAY_LEN(commands)], (unsigned)prng_below(prng, NAMES));
        say(world, text);
    }
}

static uint64_t count_all(const struct world *world) {
    uint64_t keys = 0;
    for (uint32_t db = 0; db < DATABASES; db++)
        if (shard_db_peek(world->shard, db)) keys += keyspace_count(shard_db_peek(world->shard, db));
    return keys;
}

static void random_commands_between(void **state) {
    (void)state;
    uint64_t seed = seed_or(20261127);
    print_message("seed %" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    struct world world = world_new(MAXMEMORY_ALLKEYS_LRU, seed);
    for (unsigned step = 0; step < 20000; step++) {
        if (prng_below(&prng, 500) == 0) {
            world.sim->config.maxmemory_policy = (enum config_maxmemory_policy)prng_below(&prng, MAXMEMORY_NOEVICTION);
            shard_config_changed(world.shard);
        }
        if (prng_below(&prng, 100) == 0) sim_advance_ms(world.sim, prng_below(&prng, 3000));
        random_command(&world, &prng);
        world.peer->got.len = 0;
        if (prng_below(&prng, 4) != 0) continue;
        uint64_t keys = count_all(&world), evicted = world.shard->stats.evicted;
        unsigned max_keys = (unsigned)prng_below(&prng, 4);
        size_t freed = evict_some(world.shard, SIZE_MAX, max_keys);
        evicted = world.shard->stats.evicted - evicted;
        assert_true(evicted <= max_keys && (freed > 0) == (evicted > 0));
        assert_int_equal(count_all(&world), keys - evicted);
        if (step % 100 == 0) shard_check(world.shard);
    }
    sim_delete(world.sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noeviction_takes_nothing),
        cmocka_unit_test(an_empty_shard_has_nothing),
        cmocka_unit_test(lru_lfu_and_lrfu),
        cmocka_unit_test(ghosts_remember),
        cmocka_unit_test(random_takes_from_everywhere),
        cmocka_unit_test(ttl_takes_who_would_go_soonest),
        cmocka_unit_test(volatile_takes_no_others),
        cmocka_unit_test(databases_give_in_proportion),
        cmocka_unit_test(stops_at_either_bound),
        cmocka_unit_test(a_large_value_counts_with_all_it_owns),
        cmocka_unit_test(nothing_goes_while_loading),
        cmocka_unit_test(held_keys_stay),
        cmocka_unit_test(watchers_and_the_journal_are_told),
        cmocka_unit_test(random_commands_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
