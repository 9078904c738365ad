/* The machine of several shards: replies and input that are large, or that nobody takes.
 *
 * Proves   who does not read is not served, and gets everything later; long replies leave piece by piece and are never
 *          there twice; held replies, idle clients and long commands keep no more memory than they must.
 * How      scripted clients of tests/support/machine.h, in a machine of one shard and of several. */
#include "shards/client_limits.h"
#include "tests/support/small_machine.h"

/* A reader that stops is not served beyond OUT_PAUSE, however long its pipeline is, and gets everything later. */
static void a_reader_that_stops_is_not_served(void **state) {
    (void)state;
    enum { COUNT = 500, BYTES = 20000 };
    for (uint32_t shards = 1; shards <= 3; shards++) {
        struct sim *sim = small_sim(shards, 16);
        struct peer *peer = sim_connect(sim, 0);
        struct buf text;
        struct heap *heap = heap_new();
        buf_init(&text, heap, MEM_CLIENT_IN);
        char *value = malloc(BYTES);
        memset(value, 'v', BYTES);
        for (int key = 0; key < 5; key++) {
            char name[16];
            snprintf(name, sizeof name, "k%d", key);
            resp_command(&text, (struct slice[]){SLICE("set"), slice_of_cstr(name), slice_of(value, BYTES)}, 3);
        }
        sim_say(peer, text.data, text.len);
        assert_true(sim_settle(sim, 100000));
        assert_got(peer, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
        peer->stalled = true;
        for (int i = 0; i < COUNT; i++) {
            char line[32];
            snprintf(line, sizeof line, "get k%d\r\n", i % 5);
            say_text(peer, line);
        }
        assert_true(sim_settle(sim, 100000));
        size_t held = client_output_bytes(&peer->client) + buf_readable(&peer->sending) - peer->client.carried;
        assert_int_equal(peer->client.wait, WAIT_READER);
        assert_true(held >= OUT_PAUSE && held <= 2 * OUT_PAUSE + 2 * 1024 * 1024);
        assert_true(reply_queue_empty(&peer->client.replies));
        peer->stalled = false;
        assert_true(sim_settle(sim, 100000));
        assert_int_equal(buf_readable(&peer->got), (size_t)COUNT * (BYTES + 10));
        assert_int_equal(peer->client.in.cap, 0); /* an idle client pins no memory */
        assert_int_equal(peer->client.out.cap, 0);
        sim_delete(sim);
        buf_deinit(&text);
        heap_delete(heap);
        free(value);
    }
}

/* Nor is one whose first commands go to other shards and answer much, which nobody knows before the first reply. */
static void a_new_reader_gets_one_large_reply(void **state) {
    (void)state;
    enum { COUNT = 60, KEYS = 5, BYTES = 1024 * 1024 };
    for (uint32_t shards = 1; shards <= 3; shards++) {
        struct sim *sim = small_sim(shards, 16);
        struct peer *writer = sim_connect(sim, 0), *peer = sim_connect(sim, 0);
        struct heap *heap = heap_new();
        struct buf text;
        buf_init(&text, heap, MEM_CLIENT_IN);
        char *value = calloc(1, BYTES);
        for (int key = 0; key < KEYS; key++) {
            char name[16];
            snprintf(name, sizeof name, "k%d", key);
            resp_command(&text, (struct slice[]){SLICE("set"), slice_of_cstr(name), slice_of(value, BYTES)}, 3);
        }
        sim_say(writer, text.data, text.len);
        assert_true(sim_settle(sim, 100000));
        peer->stalled = true;
        buf_reset(&text, 0);
        for (int i = 0; i < COUNT; i++) buf_printf(&text, "get k%d\r\n", i % KEYS);
        sim_say(peer, text.data, text.len);
        assert_true(sim_settle(sim, 100000));
        assert_int_equal(peer->client.wait, WAIT_READER);
        assert_in_range(buf_readable(&peer->client.out) + buf_readable(&peer->sending), BYTES, 4 * BYTES);
        peer->stalled = false;
        assert_true(sim_settle(sim, 100000));
        assert_int_equal(buf_readable(&peer->got), (size_t)COUNT * (BYTES + strlen("$1048576\r\n\r\n")));
        sim_delete(sim);
        buf_deinit(&text);
        heap_delete(heap);
        free(value);
    }
}

/* A pipeline of one client that never lets its reply queue run empty does not grow the held replies for ever. */
static void held_replies_do_not_pile_up(void **state) {
    (void)state;
    struct sim *sim = small_sim(2, 16);
    struct peer *peer = sim_connect(sim, 0);
    char line[400];
    size_t most = 0;
    for (int i = 0; i < 3000; i++) {
        snprintf(line, sizeof line, "get key%d\r\nping %0300d\r\n", i, i);
        say_text(peer, line);
        if (i > 20) sim_step(sim);
        most = MAX(most, peer->client.replies.held.len);
    }
    assert_true(sim_settle(sim, 100000));
    assert_true(most < 100000);
    sim_delete(sim);
}

/* A large command that came in pieces leaves nothing behind at the client. */
static void an_idle_client_pins_no_input(void **state) {
    (void)state;
    enum { BYTES = 3 * 1000 * 1000 };
    struct sim *sim = small_sim(1, 16);
    struct peer *peer = sim_connect(sim, 0);
    struct heap *heap = heap_new();
    struct buf text;
    buf_init(&text, heap, MEM_CLIENT_IN);
    char *value = calloc(1, BYTES);
    for (int i = 0; i < 10; i++) {
        resp_command(&text, (struct slice[]){SLICE("set"), SLICE("k"), slice_of(value, BYTES)}, 3);
        sim_say(peer, text.data, text.len);
        buf_reset(&text, 0);
        assert_true(sim_settle(sim, 100000));
        assert_got(peer, "+OK\r\n");
        assert_int_equal(peer->client.in.cap, 0);
    }
    sim_delete(sim);
    free(value);
    heap_delete(heap);
}

/* A command of many arguments that arrives in small pieces is taken in linear time. */
static void a_long_command_is_not_copied_with_every_piece(void **state) {
    (void)state;
    enum { PAIRS = 100000 };
    struct sim *sim = small_sim(2, 16);
    struct peer *peer = sim_connect(sim, 0);
    struct heap *heap = heap_new();
    struct buf text;
    buf_init(&text, heap, MEM_CLIENT_IN);
    buf_printf(&text, "*%d\r\n$4\r\nmset\r\n", 1 + 2 * PAIRS);
    for (int i = 0; i < PAIRS; i++) buf_printf(&text, "$9\r\nk%08d\r\n$1\r\nv\r\n", i);
    sim_say(peer, text.data, text.len);
    size_t cap = 0;
    int grown = 0;
    while (sim_peer_busy(peer)) {
        sim_step(sim);
        grown += peer->client.in.cap > cap;
        cap = MAX(cap, peer->client.in.cap);
    }
    assert_got(peer, "+OK\r\n");
    assert_true(grown < 60);
    say_text(peer, "dbsize\r\nflushall\r\n");
    assert_true(sim_settle(sim, 100000));
    assert_got(peer, ":100000\r\n+OK\r\n");
    sim_delete(sim);
    buf_deinit(&text);
    heap_delete(heap);
}

/* --- replies too long for one turn --- */

#define MANY_KEYS 15000 /* of 100 bytes: 1.5 MB */

static struct sim *sim_with_many_keys(uint32_t shards) {
    enum { EACH = 500 };
    struct sim *sim = small_sim(shards, 4);
    struct peer *peer = sim_connect(sim, 0);
    struct heap *heap = heap_new();
    struct buf text;
    buf_init(&text, heap, MEM_CLIENT_IN);
    for (int i = 0; i < MANY_KEYS; i++) {
        if (i % EACH == 0) buf_printf(&text, "*%d\r\n$4\r\nmset\r\n", 1 + 2 * EACH);
        buf_printf(&text, "$100\r\n%0100d\r\n$1\r\nv\r\n", i);
    }
    sim_say(peer, text.data, text.len);
    assert_true(sim_settle(sim, 1000000));
    assert_int_equal(peer->got.len, MANY_KEYS / EACH * strlen("+OK\r\n"));
    buf_deinit(&text);
    heap_delete(heap);
    return sim;
}

/* The reply at the front of what the peer got has every key once; takes it off. */
static void assert_all_keys(struct peer *peer) {
    char head[32];
    size_t len = (size_t)snprintf(head, sizeof head, "*%d\r\n", MANY_KEYS);
    struct slice got = buf_slice(&peer->got);
    assert_true(got.len >= len + MANY_KEYS * (size_t)108);
    assert_memory_equal(got.ptr, head, len);
    bool *seen = calloc(MANY_KEYS, sizeof *seen);
    const char *at = got.ptr + len;
    for (int i = 0; i < MANY_KEYS; i++, at += 108) {
        int64_t key = 0;
        assert_memory_equal(at, "$100\r\n", 6);
        for (int digit = 6; digit < 106; digit++) key = key * 10 + at[digit] - '0';
        assert_true(key >= 0 && key < MANY_KEYS && !seen[key]);
        seen[key] = true;
    }
    free(seen);
    peer->got.read += (size_t)(at - got.ptr);
}

/* The carrier has no more than a block of it at once, what comes behind waits for it, and a neighbour for nothing. */
static void a_long_reply_leaves_block_by_block(void **state) {
    (void)state;
    for (uint32_t shards = 1; shards <= 3; shards++) {
        struct sim *sim = sim_with_many_keys(shards);
        struct peer *peer = sim_connect(sim, shards - 1), *neighbour = sim_connect(sim, shards - 1);
        peer->client.resp = (uint8_t)(2 + shards % 2);
        say_text(peer, "keys *\r\nping\r\nget a\r\nkeys 0*\r\nkeys a*\r\nping\r\n");
        size_t blocks = 0, before = 0;
        while (peer->stalled || sim_peer_busy(peer)) {
            sim_step(sim);
            sim_check(sim);
            assert_true(peer->sending.len <= 2 * CHAIN_BLOCK && peer->client.out.len < CHAIN_BLOCK);
            blocks += chain_len(&peer->client.rest) < before;
            before = chain_len(&peer->client.rest);
            peer->stalled = before > 1000000 && neighbour->got.len < 700;
            if (before && buf_readable(&neighbour->script) == 0) say_text(neighbour, "ping\r\n");
        }
        assert_true(blocks >= 10);
        assert_true(neighbour->got.len >= 700);
        assert_all_keys(peer);
        const char *null = peer->client.resp == 2 ? "$-1\r\n" : "_\r\n";
        size_t len = strlen("+PONG\r\n") + strlen(null);
        char text[32];
        snprintf(text, sizeof text, "+PONG\r\n%s", null);
        assert_memory_equal(peer->got.data + peer->got.read, text, len);
        peer->got.read += len;
        assert_all_keys(peer);
        assert_got(peer, "*0\r\n+PONG\r\n");
        sim_delete(sim);
    }
}

/* Whoever goes away in the middle of it, or does not want it, leaves nothing behind (sim_delete looks). */
static void a_long_reply_that_nobody_takes(void **state) {
    (void)state;
    for (uint32_t shards = 1; shards <= 3; shards++) {
        struct sim *sim = sim_with_many_keys(shards);
        for (uint32_t steps = 0; steps < 60; steps++) {
            struct peer *peer = sim_connect(sim, steps % shards);
            say_text(peer, steps % 3 == 0 ? "client reply skip\r\nkeys *\r\nping\r\n" : "keys *\r\nping\r\n");
            peer->stalled = steps % 3 == 1;
            for (uint32_t i = 0; i < steps; i++) sim_step(sim);
            if (steps % 3 > 0) {
                sim_vanish(peer);
            } else {
                assert_true(sim_settle(sim, 100000));
                assert_got(peer, "+PONG\r\n");
            }
        }
        struct peer *stalled = sim_connect(sim, 0);
        stalled->stalled = true;
        say_text(stalled, "keys *\r\nping\r\n");
        assert_true(sim_settle(sim, 100000));
        assert_true(chain_len(&stalled->client.rest) > 1000000);
        sim_delete(sim);
    }
}

/* Behind a small one that is still there a large one is a block of its own, whatever shard its key is on and however it is
 * made: it is not copied; nor where the client's next command waits at the brake already. */
static void a_large_reply_is_not_copied_behind_a_small_one(void **state) {
    (void)state;
    enum { BYTES = 2 * OUT_PAUSE };
    static const char *const asked[] = {"get k", "mget k k2 k3 k4", "sunion s s2 s3 s4", "lrange l 0 -1"};
    struct heap *heap = heap_new();
    char *value = malloc(BYTES);
    memset(value, 'v', BYTES);
    for (unsigned kind = 0; kind < ARRAY_LEN(asked); kind++) {
        struct sim *sim = small_sim(3, 16);
        struct peer *writer = sim_connect(sim, 1);
        struct brake brake = {0};
        struct buf text;
        buf_init(&text, heap, MEM_CLIENT_IN);
        struct slice long_one = slice_of(value, BYTES);
        resp_command(&text, (struct slice[]){SLICE("set"), SLICE("k"), long_one}, 3);
        resp_command(&text, (struct slice[]){SLICE("sadd"), SLICE("s"), long_one}, 3);
        resp_command(&text, (struct slice[]){SLICE("rpush"), SLICE("l"), long_one}, 3);
        sim_say(writer, text.data, text.len);
        assert_true(sim_settle(sim, 100000));
        for (uint32_t i = 0; i < 3; i++) sim_shard(sim, i)->braked.brake = &brake;
        for (uint32_t i = 0; i < 6; i++) {
            struct peer *peer = sim_connect(sim, i / 2);
            char line[200];
            bool braked = i % 2;
            peer->stalled = true;
            peer->piece_max = 0;
            say_text(peer, "get a\r\nget b\r\nget c\r\n"); /* small ones, as far as is known of this client */
            assert_true(sim_settle(sim, 100000));          /* the carrier has some, and is not done with it */
            if (braked) brake_close(&brake);
            const char *next = braked ? "append z 1" : "echo z";
            snprintf(line, sizeof line, "ping small\r\n%s\r\n%s\r\nping\r\n", asked[kind], next);
            say_text(peer, line);
            for (int n = 0; n < 1000; n++) sim_step(sim);
            if (kind != 2) assert_int_equal(peer->client.wait == WAIT_BRAKE, braked); /* which waits for its reply */
            bool apart = chain_len(&peer->client.rest) >= BYTES, direct = buf_readable(&peer->client.out) >= BYTES;
            assert_true(apart != direct);
            if (direct) assert_true(kind == 0 || kind == 3); /* it was written there by its own shard */
            if (apart) assert_true(peer->client.rest.first->bytes.len >= BYTES);
            brake_open(&brake);
            peer->stalled = false;
            assert_true(sim_settle(sim, 100000));
            struct slice got = buf_slice(&peer->got);
            assert_true(got.len > BYTES);
            assert_memory_equal(got.ptr, "$-1\r\n$-1\r\n$-1\r\n$5\r\nsmall\r\n", 26);
            assert_memory_equal(got.ptr + got.len - 9, "\r\n+PONG\r\n", 9);
        }
        sim_delete(sim);
        buf_deinit(&text);
    }
    free(value);
    heap_delete(heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_reply_is_not_copied_behind_a_small_one),
        cmocka_unit_test(a_reader_that_stops_is_not_served),
        cmocka_unit_test(a_new_reader_gets_one_large_reply),
        cmocka_unit_test(held_replies_do_not_pile_up),
        cmocka_unit_test(an_idle_client_pins_no_input),
        cmocka_unit_test(a_long_command_is_not_copied_with_every_piece),
        cmocka_unit_test(a_long_reply_leaves_block_by_block),
        cmocka_unit_test(a_long_reply_that_nobody_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
