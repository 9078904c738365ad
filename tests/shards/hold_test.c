/* Keys that are held while somebody reads them over several turns, entries that are pinned, and the cut.
 *
 * Proves   a held key's readers go on and its writers wait, each in their order, also when transactions of several
 *          shards want it; all wait no longer than it is held. A pinned entry whose time is over leaves its table and
 *          stays as it is. A cut is told to every shard once, and between transactions. */
#include "shards/gather.h"
#include "shards/request.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sim *machine(uint32_t shards) {
    return sim_new(&(struct sim_options){.shards = shards, .mailbox_capacity = 8, .db_count = 2, .seed = 3});
}

static void say(struct peer *peer, const char *text) {
    sim_say(peer, text, strlen(text));
}

static void let_pass(struct sim *sim) {
    for (unsigned i = 0; i < 2000; i++) sim_step(sim);
}

static void expect(struct sim *sim, struct peer *peer, const char *replies) {
    let_pass(sim);
    buf_append(&peer->got, "", 1);
    assert_string_equal(peer->got.data, replies);
    peer->got.len = 0;
}

static struct shard *owner_of(struct sim *sim, struct slice key) {
    return sim_shard(sim, shard_of_key(sim_shard(sim, 0), key));
}

static struct request *hold(struct sim *sim, struct slice key) {
    struct shard *shard = owner_of(sim, key);
    uint64_t hash = key_hash(&shard->shared, key);
    struct request *held = request_hold(shard, &hash, 1);
    sim->threads[shard->id].awake = true; /* as after a turn that said there is more */
    let_pass(sim);
    return held;
}

static void let_go(struct sim *sim, struct slice key, struct request *held) {
    struct shard *shard = owner_of(sim, key);
    request_let_go(shard, held);
    sim->threads[shard->id].awake = true;
}

static void readers_go_on_and_writers_wait(void **state) {
    (void)state;
    for (uint32_t shards = 1; shards <= 4; shards++) {
        struct sim *sim = machine(shards);
        struct peer *writer = sim_connect(sim, 0), *reader = sim_connect(sim, shards - 1);
        say(writer, "SET a 1\r\nSET b 1\r\n");
        expect(sim, writer, "+OK\r\n+OK\r\n");
        struct request *held = hold(sim, SLICE("a"));
        assert_true(request_is_held(held));
        say(writer, "INCR a\r\n");
        expect(sim, writer, "");
        say(reader, "GET a\r\nINCR b\r\nGET a\r\n");
        expect(sim, reader, "$1\r\n1\r\n:2\r\n$1\r\n1\r\n");
        let_go(sim, SLICE("a"), held);
        expect(sim, writer, ":2\r\n");
        say(reader, "GET a\r\n");
        expect(sim, reader, "$1\r\n2\r\n");
        sim_delete(sim);
    }
}

static void transactions_wait_and_then_run(void **state) {
    (void)state;
    struct sim *sim = machine(4);
    struct peer *one = sim_connect(sim, 0), *two = sim_connect(sim, 3);
    say(one, "MSET a 1 b 1 c 1 d 1\r\n");
    expect(sim, one, "+OK\r\n");
    struct request *held = hold(sim, SLICE("b"));
    say(one, "MSET a 2 b 2 c 2 d 2\r\n");
    say(two, "FLUSHALL\r\n");
    expect(sim, one, "");
    expect(sim, two, "");
    let_go(sim, SLICE("b"), held);
    expect(sim, one, "+OK\r\n");
    expect(sim, two, "+OK\r\n");
    sim_delete(sim);
}

/* A transaction under way keeps its keys; whoever wants to hold one waits for its end. */
static void what_is_locked_is_held_later(void **state) {
    (void)state;
    struct sim *sim = machine(3);
    struct peer *peer = sim_connect(sim, 0);
    for (unsigned steps = 0; steps < 60; steps++) {
        say(peer, "MSET a 1 b 1 c 1 d 1 e 1\r\nRENAME a b\r\n");
        for (unsigned i = 0; i < steps; i++) sim_step(sim);
        struct request *held = hold(sim, SLICE("b"));
        assert_true(request_is_held(held));
        let_go(sim, SLICE("b"), held);
        expect(sim, peer, "+OK\r\n+OK\r\n");
    }
    sim_delete(sim);
}

static void a_pinned_entry_outlives_its_time(void **state) {
    (void)state;
    struct sim *sim = machine(1);
    struct shard *shard = sim_shard(sim, 0);
    struct peer *peer = sim_connect(sim, 0);
    say(peer, "SET a value PX 1000000\r\n");
    expect(sim, peer, "+OK\r\n");
    struct key_ref ref;
    struct pin pin = {.entry =
                          keyspace_open(shard_db(shard, 0), SLICE("a"), key_hash(&shard->shared, SLICE("a")), &ref)};
    shard->shared.pins = &pin;
    shard->shared.pin_count = 1;
    sim_advance_ms(sim, 1000000);
    say(peer, "EXISTS a\r\n");
    expect(sim, peer, ":0\r\n");
    assert_true(pin.orphan);
    char scratch[ENTRY_SCRATCH];
    assert_true(slice_equal(entry_string(pin.entry, scratch), SLICE("value")));
    shard->shared.pins = NULL;
    shard->shared.pin_count = 0;
    entry_delete(&shard->shared.store, pin.entry);
    sim_delete(sim);
}

struct cuts {
    struct sim *sim;
    uint32_t told[4];
    char seen[4]; /* the values of a, b, c, d at the cut; 0: not there */
};

/* What the shard has of the keys that a transaction writes together. */
static void look_at_keys(struct cuts *cuts, struct shard *shard) {
    static const char keys[] = "abcd";
    for (uint32_t i = 0; i < 4; i++) {
        struct slice key = slice_of(&keys[i], 1);
        struct key_ref ref;
        char scratch[ENTRY_SCRATCH];
        if (shard_of_key(shard, key) != shard->id) continue;
        if (keyspace_open(shard_db(shard, 0), key, key_hash(&shard->shared, key), &ref))
            cuts->seen[i] = entry_string(ref.entry, scratch).ptr[0];
    }
}

static void on_cut(void *ctx, uint64_t kind, uint64_t number) {
    struct cuts *cuts = ctx;
    int id = assert_shard();
    assert_int_equal(kind, 1);
    assert_true(number == UINT64_MAX);
    cuts->told[id]++;
    look_at_keys(cuts, sim_shard(cuts->sim, (uint32_t)id));
}

static void a_cut_is_told_to_all(void **state) {
    (void)state;
    bool early = false, late = false;
    for (uint32_t steps = 0; steps < 80; steps++) {
        uint32_t shards = 1 + steps % 4;
        struct cuts cuts = {.sim = machine(shards)};
        struct peer *peer = sim_connect(cuts.sim, 0);
        for (uint32_t i = 0; i < shards; i++)
            sim_shard(cuts.sim, i)->cutter = (struct shard_cutter){.ctx = &cuts, .cut = on_cut};
        say(peer, "MSET a 1 b 1 c 1 d 1\r\nMSET a 2 b 2 c 2 d 2\r\n");
        for (unsigned i = 0; i < steps / 4; i++) sim_step(cuts.sim);
        struct slice argv[] = {SLICE("sherd.cut"), SLICE("1"), SLICE("18446744073709551615")};
        assert_set_shard((int)shards - 1);
        gather_start_own(sim_shard(cuts.sim, shards - 1), argv, ARRAY_LEN(argv));
        assert_set_shard(-1);
        cuts.sim->threads[shards - 1].awake = true;
        expect(cuts.sim, peer, "+OK\r\n+OK\r\n");
        for (uint32_t i = 0; i < shards; i++) assert_int_equal(cuts.told[i], 1);
        for (uint32_t i = 1; i < 4; i++) assert_int_equal(cuts.seen[i], cuts.seen[0]);
        early |= cuts.seen[0] != '2';
        late |= cuts.seen[0] == '2';
        sim_delete(cuts.sim);
    }
    assert_true(early && late);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_go_on_and_writers_wait), cmocka_unit_test(transactions_wait_and_then_run),
        cmocka_unit_test(what_is_locked_is_held_later),   cmocka_unit_test(a_pinned_entry_outlives_its_time),
        cmocka_unit_test(a_cut_is_told_to_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
