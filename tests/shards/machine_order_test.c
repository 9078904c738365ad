/* The machine of several shards: who goes first, who waits, and what is put back.
 *
 * Proves   a pipeline has one order whatever makes it stop: a full reply queue, a barrier, a pause, the brake, errors
 *          of the protocol, transactions; and more messages than a turn takes are not forgotten.
 * How      scripted clients of tests/support/machine.h, in a machine of one shard and of several. */
#include "tests/support/seed.h"
#include "tests/support/small_machine.h"

/* A batch that holds commands from the kept input and behind them some from the carrier's bytes, and stops in the first
 * part: both parts go back (the second was lost once). */
static void put_back_takes_kept_and_passed_commands(void **state) {
    (void)state;
    struct sim *sim = small_sim(1, 16);
    struct peer *peer = sim_connect(sim, 0);
    struct shard *shard = sim_shard(sim, 0);
    struct client *client = &peer->client;
    struct buf set;
    struct heap *heap = heap_new();
    buf_init(&set, heap, MEM_CLIENT_IN);
    char *value = calloc(1, OUT_PAUSE);
    resp_command(&set, (struct slice[]){SLICE("set"), SLICE("k"), slice_of(value, OUT_PAUSE)}, 3);
    sim_say(peer, set.data, set.len);
    assert_true(sim_settle(sim, 10000));
    assert_got(peer, "+OK\r\n");
    assert_set_shard(0);
    shard_turn_begin(shard, shard->now_ns, shard->now_ms);
    struct slice half = SLICE("*2\r\n$3\r\nget\r\n");
    assert_int_equal(pipeline_feed(shard, client, half), 0);
    assert_true(client_keep_input(shard, client, half));
    struct slice rest = SLICE("$1\r\nk\r\n*2\r\n$4\r\nping\r\n$1\r\n1\r\n*2\r\n$4\r\nping\r\n$1\r\n2\r\n");
    assert_true(client_keep_input(shard, client, rest));
    pipeline_feed_kept(shard, client);
    assert_int_equal(client->queued, 3);
    char *passed = malloc(23);
    memcpy(passed, "*2\r\n$4\r\nping\r\n$1\r\n3\r\n", 21);
    assert_int_equal(pipeline_feed(shard, client, slice_of(passed, 21)), 21);
    assert_int_equal(client->queued, 4);
    pipeline_run(shard);
    free(passed);
    assert_int_equal(client->wait, WAIT_READER);
    assert_int_equal(client->queued, 0);
    assert_set_shard(-1);
    assert_true(sim_settle(sim, 10000));
    struct slice got = buf_slice(&peer->got);
    assert_true(got.len > 21);
    assert_memory_equal(got.ptr + got.len - 21, "$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n", 21);
    sim_delete(sim);
    buf_deinit(&set);
    heap_delete(heap);
    free(value);
}

/* The parser may be in the middle of a long command when earlier ones go back in front of it. */
static void put_back_before_a_half_parsed_command(void **state) {
    (void)state;
    enum { PAIRS = 100 };
    struct sim *sim = small_sim(1, 16);
    struct peer *peer = sim_connect(sim, 0);
    struct shard *shard = sim_shard(sim, 0);
    struct client *client = &peer->client;
    struct heap *heap = heap_new();
    struct buf text;
    buf_init(&text, heap, MEM_CLIENT_IN);
    char *value = calloc(1, OUT_PAUSE);
    resp_command(&text, (struct slice[]){SLICE("set"), SLICE("k"), slice_of(value, OUT_PAUSE)}, 3);
    sim_say(peer, text.data, text.len);
    assert_true(sim_settle(sim, 10000));
    assert_got(peer, "+OK\r\n");
    buf_reset(&text, SIZE_MAX);
    for (int i = 0; i < 3; i++) buf_append_literal(&text, "*2\r\n$3\r\nget\r\n$1\r\nk\r\n");
    buf_printf(&text, "*%d\r\n$4\r\nmset\r\n", 1 + 2 * PAIRS);
    for (int i = 0; i < PAIRS; i++) buf_printf(&text, "$4\r\nk%03d\r\n$4\r\nv%03d\r\n", i, i);
    size_t cut = text.len - 300;
    assert_set_shard(0);
    shard_turn_begin(shard, shard->now_ns, shard->now_ms);
    size_t taken = pipeline_feed(shard, client, slice_of(text.data, cut));
    assert_int_equal(client->queued, 3);
    assert_true(client_keep_input(shard, client, slice_of(text.data + taken, cut - taken)));
    pipeline_run(shard);
    assert_int_equal(client->wait, WAIT_READER);
    assert_set_shard(-1);
    sim_say(peer, text.data + cut, text.len - cut);
    assert_true(sim_settle(sim, 10000));
    buf_reset(&peer->got, 0);
    say_text(peer, "dbsize\r\nget k099\r\nget k000\r\n");
    assert_true(sim_settle(sim, 10000));
    assert_got(peer, ":101\r\n$4\r\nv099\r\n$4\r\nv000\r\n");
    sim_delete(sim);
    buf_deinit(&text);
    heap_delete(heap);
    free(value);
}

/* A barrier that runs on another shard holds back the commands behind it until it took effect. */
static void a_remote_barrier_holds_back(void **state) {
    (void)state;
    struct sim *sim = small_sim(2, 16);
    struct shard *shard = sim_shard(sim, 0);
    struct peer *peer = sim_connect(sim, 0);
    char here[16], there[16];
    for (int i = 0, found = 0; found != 3; i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "{%d}", i);
        bool local = shard_of_key(shard, slice_of_cstr(tag)) == 0;
        memcpy(local ? here : there, tag, sizeof tag);
        found |= local ? 1 : 2;
    }
    char text[200];
    snprintf(text, sizeof text, "get %s\r\ncopy %s1 %s2\r\nincr %s\r\n", there, there, there, here);
    size_t len = strlen(text);
    char *piece = malloc(len);
    memcpy(piece, text, len);
    assert_set_shard(0);
    shard_turn_begin(shard, shard->now_ns, shard->now_ms);
    size_t taken = pipeline_feed(shard, &peer->client, slice_of(piece, len)); /* the GET is out: COPY waits */
    assert_true(client_keep_input(shard, &peer->client, slice_of(piece + taken, len - taken)));
    pipeline_run(shard);
    free(piece);
    assert_int_equal(taken, strlen("get \r\n") + strlen(there));
    assert_int_equal(peer->client.wait, WAIT_REPLIES);
    assert_set_shard(-1);
    bool seen = false;
    for (int i = 0; i < 1000 && sim_peer_busy(peer); i++) {
        sim_step(sim);
        bool waits = peer->client.wait == WAIT_REPLIES && buf_readable(&peer->client.in) < 20; /* COPY is out */
        seen |= waits;
        assert_true(!waits || !shard_db_peek(shard, 0) || keyspace_count(shard_db_peek(shard, 0)) == 0);
    }
    assert_true(seen);
    assert_true(sim_settle(sim, 10000));
    assert_got(peer, "$-1\r\n:0\r\n:1\r\n");
    sim_delete(sim);
}

/* CLIENT PAUSE holds back what its own pipeline brings behind it (with one shard it did not). */
static void a_pause_holds_back_its_own_pipeline(void **state) {
    (void)state;
    for (uint32_t shards = 1; shards <= 3; shards++) {
        struct sim *sim = small_sim(shards, 16);
        struct peer *peer = sim_connect(sim, 0);
        peer->piece_max = 0;
        for (int i = 0; i < 20; i++) {
            say_text(peer, "*3\r\n$6\r\nclient\r\n$5\r\npause\r\n$3\r\n100\r\n*1\r\n$6\r\npaused\r\n");
            assert_true(sim_settle(sim, 100000));
            assert_got(peer, "+OK\r\n:0\r\n");
        }
        sim_delete(sim);
    }
}

/* Nothing is granted: writes wait, each with its client; reads of others and what MULTI keeps do not. Then as many pass
 * as is granted, in the order in which they came, and in the end all. */
static void writes_wait_at_the_brake(void **state) {
    (void)state;
    for (uint32_t shards = 1; shards <= 3; shards += 2) {
        struct sim *sim = small_sim(shards, 16);
        struct brake brake = {0};
        struct peer *peers[4];
        for (uint32_t i = 0; i < shards; i++) sim_shard(sim, i)->braked.brake = &brake;
        for (uint32_t i = 0; i < ARRAY_LEN(peers); i++) peers[i] = sim_connect(sim, i % shards);
        brake_close(&brake);
        say_text(peers[0], "get a\r\nset a 1\r\nget a\r\n");
        for (int i = 0; i < 200; i++) sim_step(sim);
        assert_got(peers[0], "$-1\r\n");
        say_text(peers[1], "multi\r\nappend a 2\r\nget b\r\nset b 3\r\nexec\r\n");
        for (int i = 0; i < 200; i++) sim_step(sim);
        assert_got(peers[1], "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
        say_text(peers[2], "get a\r\nmulti\r\nget a\r\nexec\r\nappend a 4\r\n");
        for (int i = 0; i < 200; i++) sim_step(sim);
        assert_got(peers[2], "$-1\r\n+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
        say_text(peers[3], "append a 5\r\n");
        for (int i = 0; i < 200; i++) sim_step(sim);
        sim_check(sim);
        sim_vanish(peers[3]); /* its place is lost */
        brake_grant(&brake, 1, UINT32_MAX);
        for (int i = 0; i < 500; i++) sim_step(sim);
        assert_got(peers[0], "+OK\r\n$1\r\n1\r\n");
        assert_got(peers[1], "");
        brake_grant(&brake, 200, UINT32_MAX);
        for (int i = 0; i < 500; i++) sim_step(sim);
        assert_got(peers[1], "*3\r\n:2\r\n$-1\r\n+OK\r\n");
        assert_got(peers[2], "");
        brake_open(&brake);
        assert_true(sim_settle(sim, 100000));
        assert_got(peers[2], ":3\r\n");
        sim_check_idle(sim);
        sim_delete(sim);
    }
}

/* Who has waited for too long is refused, and goes on with what it has sent; an EXEC takes its transaction with it. */
static void patience_ends(void **state) {
    (void)state;
    struct sim *sim = small_sim(2, 16);
    struct brake brake = {0};
    struct peer *a = sim_connect(sim, 0), *b = sim_connect(sim, 1);
    for (uint32_t i = 0; i < 2; i++) {
        sim_shard(sim, i)->braked.brake = &brake;
        sim_shard(sim, i)->braked.reason = "MISCONF too slow";
    }
    brake_close(&brake);
    say_text(a, "set a 1\r\nget a\r\n");
    say_text(b, "multi\r\nset a 1\r\nexec\r\nget a\r\n");
    sim_advance_ms(sim, 5000);
    assert_got(a, "");
    assert_got(b, "+OK\r\n+QUEUED\r\n");
    sim_advance_ms(sim, 5100);
    assert_got(a, "-MISCONF too slow\r\n$-1\r\n");
    assert_got(b, "-EXECABORT Transaction discarded because of: MISCONF too slow\r\n$-1\r\n");
    say_text(a, "set a 1\r\n");
    say_text(b, "set b 1\r\n");
    sim_advance_ms(sim, 5000);
    sim_shard(sim, 0)->no_writes = "MISCONF stands still"; /* nobody waits any longer */
    sim_advance_ms(sim, 10);
    assert_got(a, "-MISCONF stands still\r\n");
    assert_got(b, "");
    brake_open(&brake);
    assert_true(sim_settle(sim, 100000));
    assert_got(b, "+OK\r\n");
    sim_check_idle(sim);
    sim_delete(sim);
}

/* A client that wants no replies gets none for its protocol error either. */
static void silence_covers_protocol_errors(void **state) {
    (void)state;
    struct sim *sim = small_sim(2, 16);
    struct peer *peer = sim_connect(sim, 1);
    say_text(peer, "client reply off\r\nget a\r\n*1\r\nx\r\n");
    assert_true(sim_settle(sim, 10000));
    assert_true(peer->closed);
    assert_int_equal(buf_readable(&peer->got), 0);
    sim_delete(sim);
}

/* More messages at once than a turn takes: none is forgotten (the mark of a mailbox was cleared when the turn's budget,
 * and not the mailbox, was the limit). */
static void messages_beyond_a_turn_are_not_forgotten(void **state) {
    (void)state;
    enum { SHARDS = 7, CLIENTS = 70 };
    struct sim *sim = small_sim(SHARDS, 256);
    struct peer *peers[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) peers[i] = sim_connect(sim, (uint32_t)(1 + i % (SHARDS - 1)));
    for (int round = 0; round < 30; round++) {
        /* Sliced commands travel alone, one message each; all land in the mailboxes of all shards. */
        for (int i = 0; i < CLIENTS; i++) say_text(peers[i], "keys a*\r\n");
        if (!sim_settle(sim, 200000)) {
            sim_explain(sim);
            fail_msg("round %d hangs", round);
        }
        for (int i = 0; i < CLIENTS; i++) assert_got(peers[i], "*0\r\n");
    }
    sim_delete(sim);
}

/* --- transactions in a pipeline --- */

/* What a client gets for these lines, sent at once or one after the other. */
static void play_lines(uint32_t shards, const char *const *lines, size_t count, bool at_once, struct buf *got) {
    struct sim *sim = small_sim(shards, 16);
    struct peer *peer = sim_connect(sim, 0);
    struct buf text;
    struct heap *heap = heap_new();
    buf_init(&text, heap, MEM_CLIENT_IN);
    char *value = malloc(100000);
    memset(value, 'v', 100000);
    resp_command(&text, (struct slice[]){SLICE("set"), SLICE("{a}big"), slice_of(value, 100000)}, 3);
    sim_say(peer, text.data, text.len);
    for (size_t i = 0; i < count; i++) {
        if (!at_once) assert_true(sim_settle(sim, 100000));
        say_text(peer, lines[i]);
    }
    assert_true(sim_settle(sim, 1000000));
    buf_append_slice(got, buf_slice(&peer->got));
    free(value);
    buf_deinit(&text);
    heap_delete(heap);
    sim_delete(sim);
}

/* Commands in a pipeline are routed by what MULTI and EXEC ahead of them will have done (shards/multi.h), also when
 * some are put back in between because the client has too many replies waiting. */
static void a_pipeline_of_transactions_is_like_one_by_one(void **state) {
    (void)state;
    static const char *const lines[] = {
        "multi\r\n",
        "multi\r\n",
        "multi\r\n",
        "exec\r\n",
        "exec\r\n",
        "exec\r\n",
        "exec\r\n",
        "discard\r\n",
        "set {a}1 x\r\n",
        "incr {a}2\r\n",
        "get {a}1\r\n",
        "get {a}2\r\n",
        "set {b}1 y\r\n",
        "incr {b}2\r\n",
        "get {b}1\r\n",
        "get {a}big\r\n",
        "get\r\n",
        "multi x\r\n",
        "exec x\r\n",
        "watch {a}1\r\n",
        "watch {b}1\r\n",
        "unwatch\r\n",
        "ping\r\n",
        "select 1\r\n",
        "select 0\r\n",
        "dbsize\r\n",
        "nosuch\r\n",
        "mset {a}1 p {b}1 q c r\r\n",
        "mget {a}1 {b}2 c\r\n",
    };
    enum { LINES = 120 };
    struct heap *heap = heap_new();
    for (uint64_t seed = seed_or(1), last = seed + 150; seed < last; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        uint32_t shards = 1 + (uint32_t)(seed % 3);
        const char *script[LINES];
        for (size_t i = 0; i < LINES; i++) script[i] = lines[prng_below(&prng, ARRAY_LEN(lines))];
        struct buf at_once, singly;
        buf_init(&at_once, heap, MEM_CLIENT_OUT);
        buf_init(&singly, heap, MEM_CLIENT_OUT);
        play_lines(shards, script, LINES, true, &at_once);
        play_lines(shards, script, LINES, false, &singly);
        if (!slice_equal(buf_slice(&at_once), buf_slice(&singly))) {
            fail_msg("seed %llu, %u shards", (unsigned long long)seed, shards);
        }
        buf_deinit(&at_once);
        buf_deinit(&singly);
    }
    heap_delete(heap);
}

/* Nothing expires while data are read; what came too late is gone for the very turn in which that ends. */
static void loading_ends_in_the_middle_of_a_turn(void **state) {
    (void)state;
    struct sim *sim = small_sim(1, 16);
    struct peer *peer = sim_connect(sim, 0);
    struct shard *shard = sim_shard(sim, 0);
    struct slice set = SLICE("*5\r\n$3\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\npx\r\n$2\r\n10\r\n");
    sim_say(peer, set.ptr, set.len);
    assert_true(sim_settle(sim, 10000));
    assert_got(peer, "+OK\r\n");
    shard->loading = true;
    sim_advance_ms(sim, 50);
    assert_set_shard(0);
    shard_turn_begin(shard, shard->now_ns, sim_now_ms(sim));
    shard_loaded(shard);
    struct slice exists = SLICE("*2\r\n$6\r\nexists\r\n$1\r\nk\r\n");
    assert_int_equal(pipeline_feed(shard, &peer->client, exists), exists.len);
    pipeline_run(shard);
    assert_set_shard(-1);
    assert_true(sim_settle(sim, 10000));
    assert_got(peer, ":0\r\n");
    sim_delete(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_back_takes_kept_and_passed_commands),
        cmocka_unit_test(put_back_before_a_half_parsed_command),
        cmocka_unit_test(a_remote_barrier_holds_back),
        cmocka_unit_test(a_pause_holds_back_its_own_pipeline),
        cmocka_unit_test(writes_wait_at_the_brake),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(silence_covers_protocol_errors),
        cmocka_unit_test(messages_beyond_a_turn_are_not_forgotten),
        cmocka_unit_test(a_pipeline_of_transactions_is_like_one_by_one),
        cmocka_unit_test(loading_ends_in_the_middle_of_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
