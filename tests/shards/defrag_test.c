/* Defrag: two shards are given the same random commands; in one of them a round of moving runs all the time, and its
 * slices come between the commands. At the end both dump the same bytes for every key.
 *
 * Further: after most of what fills the pages was deleted, the pages go back; what is pinned stays where it is. */
#include "shards/defrag.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FILLERS 60000
#define NAMES   40

struct world {
    struct sim *sim;
    struct shard *shard;
    struct peer *peer;
};

static struct world world_new(bool defrag) {
    struct sim_options options = {.shards = 1, .mailbox_capacity = 8, .db_count = 2, .seed = 3};
    struct world world = {.sim = sim_new(&options)};
    world.shard = sim_shard(world.sim, 0);
    world.peer = sim_connect(world.sim, 0);
    world.sim->config.activedefrag = defrag;
    return world;
}

static void say(struct world *world, const char *text) {
    sim_say(world->peer, text, strlen(text));
    assert_true(sim_settle(world->sim, 1000000));
}

/* --- strings that fill pages, and leave holes --- */

static struct slice filler_key(uint32_t number, char text[32]) {
    return slice_of(text, (size_t)snprintf(text, 32, "filler:%u", number));
}

static void fill(struct world *world, size_t len) {
    struct keyspace *keys = shard_db(world->shard, 0);
    char text[32], bytes[5000];
    memset(bytes, 'v', sizeof bytes);
    for (uint32_t i = 0; i < FILLERS; i++) {
        struct key_ref ref;
        struct slice key = filler_key(i, text);
        keyspace_open(keys, key, key_hash(&world->shard->shared, key), &ref);
        keyspace_put_string(keys, &ref, slice_of(bytes, len), 0, false);
    }
}

static void delete_most(struct world *world) {
    struct keyspace *keys = shard_db(world->shard, 0);
    struct prng prng;
    char text[32];
    prng_init(&prng, 1);
    for (uint32_t i = 0; i < FILLERS; i++) {
        struct key_ref ref;
        struct slice key = filler_key(i, text);
        if (prng_below(&prng, 10) < 4) continue;
        keyspace_open(keys, key, key_hash(&world->shard->shared, key), &ref);
        keyspace_remove(keys, &ref);
    }
}

/* Until the rounds are over that begin by themselves. */
static void let_defrag(struct world *world) {
    for (unsigned i = 0; i < 20; i++) sim_advance_ms(world->sim, 1000);
    while (slab_purge_some(world->shard->slab)) continue;
}

static void pages_go_back(void **state) {
    (void)state;
    static const size_t lengths[] = {50, 300, 1024, 5000};
    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
        for (unsigned on = 0; on < 2; on++) {
            struct world world = world_new(on);
            fill(&world, lengths[i]);
            delete_most(&world);
            let_defrag(&world);
            double ratio = (double)slab_held_bytes(world.shard->slab) / (double)slab_used_bytes(world.shard->slab);
            bool large = slab_used_bytes(world.shard->slab) > (8u << 20);
            if (large && (on ? ratio > 1.35 : ratio < 1.6)) fail_msg("%zu bytes, %u: %f", lengths[i], on, ratio);
            assert_int_equal(slab_moves(world.shard->slab) > 0, on && slab_used_bytes(world.shard->slab) > DEFRAG_MIN);
            shard_check(world.shard);
            sim_delete(world.sim);
        }
    }
}

static void the_pinned_stays(void **state) {
    (void)state;
    struct world world = world_new(true);
    fill(&world, 300);
    delete_most(&world);
    struct pin *pins = calloc(FILLERS, sizeof *pins);
    uint32_t count = 0;
    char text[32];
    for (uint32_t i = 0; i < FILLERS && count < 500; i++) {
        struct key_ref ref;
        struct slice key = filler_key(i, text);
        if (keyspace_open(shard_db(world.shard, 0), key, key_hash(&world.shard->shared, key), &ref))
            pins[count++].entry = ref.entry;
    }
    world.shard->shared.pins = pins;
    world.shard->shared.pin_count = count;
    let_defrag(&world);
    assert_true(slab_moves(world.shard->slab) > 1000);
    for (uint32_t i = 0, pinned = 0; pinned < count; i++) {
        struct key_ref ref;
        struct slice key = filler_key(i, text);
        if (keyspace_open(shard_db(world.shard, 0), key, key_hash(&world.shard->shared, key), &ref))
            assert_ptr_equal(pins[pinned++].entry, ref.entry);
    }
    world.shard->shared.pins = NULL;
    world.shard->shared.pin_count = 0;
    free(pins);
    sim_delete(world.sim);
}

/* Spare messages and buffers go when the load has gone, and not between two commands of it. */
static void what_load_needed_goes(void **state) {
    (void)state;
    struct sim_options options = {.shards = 2, .mailbox_capacity = 8, .db_count = 1, .seed = 3};
    struct sim *sim = sim_new(&options);
    struct peer *peer = sim_connect(sim, 0);
    for (unsigned i = 0; i < 500; i++) {
        char text[64];
        snprintf(text, sizeof text, "SET key:%u v\r\nGET key:%u\r\n", i, i);
        sim_say(peer, text, strlen(text));
    }
    assert_true(sim_settle(sim, 1000000));
    struct shard *shard = sim_shard(sim, 0);
    assert_true(shard->messages.free_count > 0);
    for (unsigned i = 0; i < 20; i++) sim_advance_ms(sim, 100);
    assert_true(defrag_is_done(shard));
    assert_int_equal(shard->messages.free_count, 0);
    assert_int_equal(shard->replies.count, 0);
    sim_delete(sim);
}

/* --- the same commands --- */

static void add_elements(char *text, size_t size, const char *command, uint32_t name, struct prng *prng) {
    size_t len = (size_t)snprintf(text, size, "%s %c%u", command, command[0], name);
    bool pairs = command[0] == 'H', scores = command[0] == 'Z';
    for (unsigned i = 0; i < 30; i++) {
        unsigned element = (unsigned)prng_below(prng, 3000);
        if (scores) len += (size_t)snprintf(text + len, size - len, " %u", element % 100);
        len += (size_t)snprintf(text + len, size - len, " element:%u:%.*s", element, (int)(element % 50),
                                "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
        if (pairs) len += (size_t)snprintf(text + len, size - len, " v%u", element * 7);
    }
    snprintf(text + len, size - len, "\r\n");
}

static void remove_elements(char *text, size_t size, const char *command, uint32_t name, struct prng *prng) {
    size_t len = (size_t)snprintf(text, size, "%s %c%u", command, command[0], name);
    for (unsigned i = 0; i < 40; i++) {
        unsigned element = (unsigned)prng_below(prng, 3000);
        len += (size_t)snprintf(text + len, size - len, " element:%u:%.*s", element, (int)(element % 50),
                                "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
    }
    snprintf(text + len, size - len, "\r\n");
}

static void random_command(char *text, size_t size, struct prng *prng) {
    static const char *const add[] = {"SADD", "HSET", "ZADD", "RPUSH", "SADD", "HSET", "ZADD"};
    static const char *const take[] = {"SREM", "HDEL", "ZREM"};
    uint32_t name = (uint32_t)prng_below(prng, NAMES);
    uint64_t choice = prng_below(prng, 100);
    if (choice < 50)
        add_elements(text, size, add[choice % ARRAY_LEN(add)], name, prng);
    else if (choice < 85)
        remove_elements(text, size, take[choice % ARRAY_LEN(take)], name, prng);
    else if (choice < 93)
        snprintf(text, size, "LPOP R%u %u\r\n", name, (unsigned)prng_below(prng, 40));
    else
        snprintf(text, size, "DEL %c%u\r\n", "SHZR"[choice % 4], name);
}

static void expect_the_same(struct world *a, struct world *b) {
    a->peer->got.len = b->peer->got.len = 0;
    for (uint32_t i = 0; i < NAMES; i++) {
        char text[100];
        snprintf(text, sizeof text, "DUMP S%u\r\nDUMP H%u\r\nDUMP Z%u\r\nDUMP R%u\r\n", i, i, i, i);
        say(a, text);
        say(b, text);
    }
    assert_true(slice_equal(buf_slice(&a->peer->got), buf_slice(&b->peer->got)));
}

static void moving_changes_nothing(void **state) {
    (void)state;
    uint64_t seed = seed_or(20261127);
    print_message("seed %" PRIu64 "\n", seed);
    struct world with = world_new(true), without = world_new(false);
    struct prng prng;
    prng_init(&prng, seed);
    char *text = malloc(10000);
    uint64_t moves = 0;
    for (unsigned round = 0; round < 4; round++) {
        fill(&with, 100 + round * 8); /* holes of other sizes each time */
        for (unsigned step = 0; step < 1200; step++) {
            random_command(text, 10000, &prng);
            say(&with, text);
            say(&without, text);
            if (step == 300) delete_most(&with);
            if (step % 10 == 0) sim_advance_ms(with.sim, 100);
            with.peer->got.len = without.peer->got.len = 0;
        }
        shard_check(with.shard);
        expect_the_same(&with, &without);
        assert_true(slab_moves(with.shard->slab) > moves);
        moves = slab_moves(with.shard->slab);
    }
    free(text);
    sim_delete(with.sim);
    sim_delete(without.sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_go_back),
        cmocka_unit_test(the_pinned_stays),
        cmocka_unit_test(what_load_needed_goes),
        cmocka_unit_test(moving_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
