/* Replies that wait for the disk: each situation by itself, on shards whose disks stand still until they are told to go
 * on.
 *
 * Proves   no reply leaves before its position, and with a transaction that of all participants and of what stands
 *          before it there, is durable; a key that is not safe is not shown, and nothing else waits; replies stay in
 *          order; who goes away, or a server that ends, leaves nothing behind. What a crash keeps is a matter of
 *          tests/sim. */
#include "core/hash.h"
#include "shards/exec.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SHARDS 3
#define STEPS  2000 /* more than anything takes that does not wait for a disk */

static void cmd_ping(struct exec *x) {
    reply_simple(x, "PONG");
}

static void cmd_client_reply(struct exec *x) {
    x->client->flags |= CLIENT_REPLY_OFF;
}

#define ROW(n, a, f, r)                                                                                                \
    .name = (n), .arity = (a), .flags = (f), .where = ON_CONN, .run = (r), .acl = ACL_CONNECTION,                      \
    .group = "connection", .since = "0.1.0", .cost = "O(1)", .doc = "For the test.", .args = ""

static const struct command client_subs[] = {
    {ROW("reply", 3, 0, cmd_client_reply)},
    {.name = NULL},
};
static const struct command test_commands[] = {
    {ROW("ping", 1, CMD_NO_WAIT, cmd_ping)},
    {ROW("client", -2, 0, NULL), .subs = client_subs},
    {.name = NULL},
};
static const struct command *const test_tables[] = {test_commands, NULL};

struct scene {
    struct sim *sim;
    struct peer *peers[SHARDS]; /* one client on each shard */
    char keys[SHARDS][2][16];   /* two keys on each shard */
};

static void stall(struct scene *scene, uint32_t shards, bool stalled) {
    for (uint32_t i = 0; i < SHARDS; i++)
        if (shards >> i & 1) sim_stall_disk(scene->sim, i, stalled);
}

/* All disks stand still. */
static int set_up(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->sim = sim_new(&(struct sim_options){
        .shards = SHARDS, .mailbox_capacity = 16, .db_count = 4, .seed = 11, .gated = true, .tables = test_tables});
    for (uint32_t shard = 0, number = 0; shard < SHARDS; shard++) {
        scene->peers[shard] = sim_connect(scene->sim, shard);
        for (uint32_t i = 0; i < 2;) {
            char *name = scene->keys[shard][i];
            snprintf(name, sizeof scene->keys[shard][i], "k%u", number++);
            i += shard_of_slot(hash_slot(slice_of_cstr(name)), SHARDS) == shard;
        }
    }
    stall(scene, 7, true);
    *state = scene;
    return 0;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    stall(scene, 7, false);
    assert_true(sim_settle(scene->sim, 100000));
    for (uint32_t i = 0; i < SHARDS; i++) {
        const struct commit *commit = &sim_shard(scene->sim, i)->commit;
        assert_int_equal(commit->confirmed, sim_shard(scene->sim, i)->effects.position);
        assert_int_equal(commit->latest.count, 0);
        assert_int_equal(commit->listeners, 0);
    }
    sim_delete(scene->sim);
    free(scene);
    return 0;
}

static void go_on(struct scene *scene) {
    for (uint32_t i = 0; i < STEPS; i++) sim_step(scene->sim);
    sim_check(scene->sim);
}

/* %s stand for keys: those of keys, in their order. */
static void say(struct scene *scene, uint32_t peer, const char *format, ...) PRINTF_LIKE(3, 4);
static void say(struct scene *scene, uint32_t peer, const char *format, ...) {
    char text[512];
    va_list list;
    va_start(list, format);
    int len = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    assert_true(len > 0 && len < (int)sizeof text);
    sim_say(scene->peers[peer], text, (size_t)len);
}

/* The same as arrays, which come in one piece: they run as one batch. */
static void say_at_once(struct scene *scene, uint32_t peer, const char *format, ...) PRINTF_LIKE(3, 4);
static void say_at_once(struct scene *scene, uint32_t peer, const char *format, ...) {
    char text[512], *line_end, *word_end;
    va_list list;
    va_start(list, format);
    int len = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    assert_true(len > 0 && len < (int)sizeof text);
    scene->peers[peer]->uncut = true;
    for (char *line = strtok_r(text, "\r\n", &line_end); line; line = strtok_r(NULL, "\r\n", &line_end)) {
        char array[128], head[16];
        size_t at = 0, words = 0;
        for (char *word = strtok_r(line, " ", &word_end); word; word = strtok_r(NULL, " ", &word_end), words++)
            at += (size_t)snprintf(array + at, sizeof array - at, "$%zu\r\n%s\r\n", strlen(word), word);
        assert_true(at < sizeof array);
        sim_say(scene->peers[peer], head, (size_t)snprintf(head, sizeof head, "*%zu\r\n", words));
        sim_say(scene->peers[peer], array, at);
    }
}

static void assert_answer(struct scene *scene, uint32_t peer, const char *text) {
    struct buf *got = &scene->peers[peer]->got;
    go_on(scene);
    assert_int_equal(buf_readable(got), strlen(text));
    if (text[0]) assert_memory_equal(got->data + got->read, text, strlen(text));
    buf_reset(got, 0);
}

static void excuse(struct scene *scene, const char *text) {
    for (uint32_t i = 0; i < SHARDS; i++) commit_set_excuse(sim_shard(scene->sim, i), text);
}

/* At home and from another shard. */
static void a_write_waits(void **state) {
    struct scene *scene = *state;
    for (uint32_t peer = 0; peer < 2; peer++) {
        say(scene, peer, "set %s 1\r\n", scene->keys[0][peer]);
        assert_answer(scene, peer, "");
    }
    stall(scene, 6, false);
    assert_answer(scene, 0, "");
    assert_answer(scene, 1, "");
    stall(scene, 1, false);
    assert_answer(scene, 0, "+OK\r\n");
    assert_answer(scene, 1, "+OK\r\n");
}

/* What takes several turns may name a position that is behind when it answers; nobody would be told of that again. */
static void a_promise_that_is_kept_already_holds_nothing(void **state) {
    struct scene *scene = *state;
    say(scene, 0, "set %s 1\r\n", scene->keys[0][0]);
    assert_answer(scene, 0, "");
    struct shard *owner = sim_shard(scene->sim, 0);
    uint64_t position = owner->effects.position;
    stall(scene, 1, false);
    assert_answer(scene, 0, "+OK\r\n");
    assert_true(owner->commit.confirmed >= position);
    struct message_item item = {.held = false};
    commit_promise(owner, 1, &item, position);
    assert_false(item.held);
}

static void a_key_that_is_not_safe_is_not_shown(void **state) {
    struct scene *scene = *state;
    say(scene, 0, "set %s 1\r\n", scene->keys[0][0]);
    assert_answer(scene, 0, "");
    say(scene, 1, "get %s\r\n", scene->keys[0][1]);
    assert_answer(scene, 1, "$-1\r\n");
    say(scene, 1, "get %s\r\n", scene->keys[0][0]);
    assert_answer(scene, 1, "");
    say(scene, 2, "mget %s %s\r\n", scene->keys[1][1], scene->keys[0][1]);
    assert_answer(scene, 2, "*2\r\n$-1\r\n$-1\r\n");
    say(scene, 2, "mget %s %s\r\n", scene->keys[1][1], scene->keys[0][0]);
    assert_answer(scene, 2, "");
    stall(scene, 1, false);
    assert_answer(scene, 1, "$1\r\n1\r\n");
    assert_answer(scene, 2, "*2\r\n$-1\r\n$1\r\n1\r\n");
    say(scene, 1, "get %s\r\n", scene->keys[0][0]);
    stall(scene, 1, true);
    assert_answer(scene, 1, "$1\r\n1\r\n");
}

/* A write that comes in the same message as reads of other keys does not hold them up. */
static void reads_beside_a_write_do_not_wait(void **state) {
    struct scene *scene = *state;
    struct peer *other = sim_connect(scene->sim, 1);
    char text[64];
    snprintf(text, sizeof text, "get %s\r\n", scene->keys[0][1]);
    for (int i = 0; i < 20; i++) {
        say(scene, 1, "incr %s\r\n", scene->keys[0][0]);
        sim_say(other, text, strlen(text));
    }
    assert_answer(scene, 1, "");
    assert_int_equal(buf_readable(&other->got), 20 * 5);
}

static void what_changed_nothing_does_not_wait(void **state) {
    struct scene *scene = *state;
    const char *key = scene->keys[0][0];
    say(scene, 0, "set %s text\r\n", key);
    assert_answer(scene, 0, "");
    say(scene, 1, "ping\r\nset\r\nincrby %s x\r\ndel %s\r\n", scene->keys[0][1], scene->keys[0][1]);
    assert_answer(scene, 1,
                  "+PONG\r\n-ERR wrong number of arguments for 'set' command\r\n"
                  "-ERR value is not an integer or out of range\r\n:0\r\n");
    say(scene, 1, "setnx %s other\r\n", key); /* shows that there is one */
    say(scene, 2, "lpush %s 1\r\n", key);     /* and of which kind */
    assert_answer(scene, 1, "");
    assert_answer(scene, 2, "");
}

static void a_look_at_all_keys_waits(void **state) {
    struct scene *scene = *state;
    say(scene, 0, "dbsize\r\n");
    assert_answer(scene, 0, ":0\r\n");
    say(scene, 1, "set %s 1\r\n", scene->keys[0][0]);
    assert_answer(scene, 1, "");
    say(scene, 0, "dbsize\r\n");
    say(scene, 2, "keys *\r\n");
    assert_answer(scene, 0, "");
    assert_answer(scene, 2, "");
    stall(scene, 1, false);
    char text[64];
    snprintf(text, sizeof text, "*1\r\n$%zu\r\n%s\r\n", strlen(scene->keys[0][0]), scene->keys[0][0]);
    assert_answer(scene, 0, ":1\r\n");
    assert_answer(scene, 2, text);
}

static void flushed_keys_are_not_shown(void **state) {
    struct scene *scene = *state;
    stall(scene, 7, false);
    say(scene, 0, "mset %s 1 %s 1\r\n", scene->keys[1][0], scene->keys[2][0]);
    assert_answer(scene, 0, "+OK\r\n");
    stall(scene, 7, true);
    say(scene, 0, "flushall\r\n");
    assert_answer(scene, 0, "");
    say(scene, 1, "get %s\r\n", scene->keys[1][0]);
    assert_answer(scene, 1, "");
    stall(scene, 3, false);
    assert_answer(scene, 0, "");
    assert_answer(scene, 1, "");
    stall(scene, 4, false);
    assert_answer(scene, 0, "+OK\r\n");
    assert_answer(scene, 1, "$-1\r\n");
}

static void replies_stay_in_order(void **state) {
    struct scene *scene = *state;
    say(scene, 0, "ping\r\nset %s 1\r\nget %s\r\nping\r\nget %s\r\n", scene->keys[0][0], scene->keys[0][1],
        scene->keys[1][0]);
    assert_answer(scene, 0, "+PONG\r\n");
    stall(scene, 1, false);
    assert_answer(scene, 0, "+OK\r\n$-1\r\n+PONG\r\n$-1\r\n");
}

/* Whether home takes part or not, with parts and with steps. */
static void a_transaction_waits_for_all_its_shards(void **state) {
    struct scene *scene = *state;
    say(scene, 0, "mset %s 1 %s 2\r\n", scene->keys[1][0], scene->keys[2][0]);
    say(scene, 1, "mset %s 1 %s 2\r\n", scene->keys[1][1], scene->keys[2][1]);
    assert_answer(scene, 0, "");
    stall(scene, 3, false);
    assert_answer(scene, 0, "");
    assert_answer(scene, 1, "");
    stall(scene, 4, false);
    assert_answer(scene, 0, "+OK\r\n");
    assert_answer(scene, 1, "+OK\r\n");
    stall(scene, 7, true);
    say(scene, 0, "rename %s %s\r\n", scene->keys[1][0], scene->keys[2][0]);
    say(scene, 1, "rename %s %s\r\n", scene->keys[1][1], scene->keys[2][1]);
    say(scene, 2, "rename nothing %s\r\n", scene->keys[0][1]); /* has changed nothing */
    assert_answer(scene, 2, "-ERR no such key\r\n");
    stall(scene, 4, false);
    assert_answer(scene, 0, "");
    assert_answer(scene, 1, "");
    say(scene, 2, "get %s\r\n", scene->keys[2][0]);
    assert_answer(scene, 2, "");
    stall(scene, 3, false);
    assert_answer(scene, 0, "+OK\r\n");
    assert_answer(scene, 1, "+OK\r\n");
    assert_answer(scene, 2, "$1\r\n1\r\n");
}

/* No lock is held meanwhile: the key's next writer does not wait for the disk before it runs. */
static void a_transaction_that_waits_holds_no_lock(void **state) {
    struct scene *scene = *state;
    const char *key = scene->keys[1][0];
    say(scene, 0, "rename %s %s\r\nmset %s 1 %s 1\r\n", key, scene->keys[2][0], key, scene->keys[2][0]);
    assert_answer(scene, 0, "-ERR no such key\r\n");
    say(scene, 1, "append %s 2\r\n", key);
    say(scene, 2, "rename %s %s\r\n", key, scene->keys[0][0]);
    go_on(scene);
    struct key_ref ref;
    struct shard *owner = sim_shard(scene->sim, 0);
    struct slice name = slice_of_cstr(scene->keys[0][0]);
    assert_true(keyspace_open(shard_db(owner, 0), name, key_hash(&owner->shared, name), &ref));
    assert_true(locks_idle(owner->locks));
    for (uint32_t i = 0; i < SHARDS; i++) assert_answer(scene, i, "");
    stall(scene, 7, false);
    assert_answer(scene, 1, ":2\r\n");
    assert_answer(scene, 2, "+OK\r\n");
    assert_answer(scene, 0, "+OK\r\n");
}

/* The drawing in shards/commit_cut.h: A and B have it, but B has before it what C does not have. */
static void a_transaction_waits_for_what_stands_before_it(void **state) {
    struct scene *scene = *state;
    say(scene, 1, "mset %s 1 %s 1\r\n", scene->keys[1][0], scene->keys[2][0]);
    assert_answer(scene, 1, "");
    say(scene, 0, "mset %s 2 %s 2\r\n", scene->keys[0][0], scene->keys[1][1]);
    stall(scene, 3, false);
    assert_answer(scene, 0, "");
    say(scene, 2, "set %s 3\r\n", scene->keys[0][1]); /* behind it */
    assert_answer(scene, 2, "");
    stall(scene, 4, false);
    assert_answer(scene, 0, "+OK\r\n");
    assert_answer(scene, 1, "+OK\r\n");
    assert_answer(scene, 2, "+OK\r\n");
}

/* On one shard, at home and not; on several; with commands of several shards. */
static void exec_waits_for_what_its_commands_wait_for(void **state) {
    struct scene *scene = *state;
    const char *a = scene->keys[0][0], *b = scene->keys[1][0];
    say(scene, 0, "multi\r\nget %s\r\nexec\r\n", a);
    assert_answer(scene, 0, "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
    say(scene, 0, "multi\r\nset %s 1\r\nget %s\r\nexec\r\n", a, a);
    assert_answer(scene, 0, "+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    say(scene, 1, "multi\r\nget %s\r\nexec\r\n", a);
    assert_answer(scene, 1, "+OK\r\n+QUEUED\r\n");
    say(scene, 2, "multi\r\nincr %s\r\nincr %s\r\nexec\r\n", a, b);
    assert_answer(scene, 2, "+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    stall(scene, 1, false);
    assert_answer(scene, 0, "*2\r\n+OK\r\n$1\r\n1\r\n");
    assert_answer(scene, 1, "*1\r\n$1\r\n1\r\n");
    assert_answer(scene, 2, "");
    say(scene, 0, "multi\r\nmget %s %s\r\nexec\r\n", a, b);
    say(scene, 1, "multi\r\ndbsize\r\nset %s 7\r\nexec\r\n", scene->keys[2][0]);
    assert_answer(scene, 0, "+OK\r\n+QUEUED\r\n");
    assert_answer(scene, 1, "+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    stall(scene, 2, false);
    assert_answer(scene, 0, "*1\r\n*2\r\n$1\r\n2\r\n$1\r\n1\r\n");
    assert_answer(scene, 2, "*2\r\n:2\r\n:1\r\n");
    assert_answer(scene, 1, "");
    stall(scene, 4, false);
    assert_answer(scene, 1, "*2\r\n:2\r\n+OK\r\n");
}

static void a_watching_exec_that_is_stopped_does_not_wait(void **state) {
    struct scene *scene = *state;
    const char *key = scene->keys[0][0];
    say(scene, 1, "watch %s\r\n", key);
    assert_answer(scene, 1, "+OK\r\n");
    say(scene, 0, "set %s 1\r\n", key);
    assert_answer(scene, 0, "");
    say(scene, 1, "multi\r\nset %s 2\r\nset %s 2\r\nexec\r\n", key, scene->keys[2][0]);
    assert_answer(scene, 1, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n");
}

/* Served by a push that is not safe, on one shard and over two. */
static void a_blocked_client_waits_when_it_is_served(void **state) {
    struct scene *scene = *state;
    const char *key = scene->keys[1][0];
    char text[64];
    say(scene, 0, "blpop %s 0\r\n", key);
    assert_answer(scene, 0, "");
    say(scene, 2, "rpush %s a\r\n", key);
    assert_answer(scene, 2, "");
    assert_int_equal(sim_shard(scene->sim, 0)->blocked.count, 0);
    stall(scene, 2, false);
    snprintf(text, sizeof text, "*2\r\n$%zu\r\n%s\r\n$1\r\na\r\n", strlen(key), key);
    assert_answer(scene, 0, text);
    assert_answer(scene, 2, ":1\r\n");
    stall(scene, 2, true);
    say(scene, 1, "blmove %s %s left right 0\r\n", key, scene->keys[2][0]);
    say(scene, 0, "blmove %s %s left right 0\r\n", key, scene->keys[2][0]);
    go_on(scene);
    say(scene, 2, "rpush %s b c\r\n", key);
    stall(scene, 2, false);
    assert_answer(scene, 2, ":2\r\n");
    assert_answer(scene, 0, "");
    assert_answer(scene, 1, "");
    stall(scene, 4, false);
    go_on(scene);
    assert_int_equal(buf_readable(&scene->peers[0]->got), strlen("$1\r\nb\r\n"));
    assert_int_equal(buf_readable(&scene->peers[1]->got), strlen("$1\r\nb\r\n"));
}

static void silence_does_not_wait(void **state) {
    struct scene *scene = *state;
    say(scene, 0, "client reply off\r\nset %s 1\r\nset %s 1\r\nmset %s 1 %s 1\r\n", scene->keys[0][0],
        scene->keys[1][0], scene->keys[0][1], scene->keys[2][0]);
    assert_answer(scene, 0, "");
    assert_true(reply_queue_empty(&scene->peers[0]->client.replies));
    for (uint32_t i = 0; i < SHARDS; i++) assert_int_equal(sim_shard(scene->sim, 0)->commit.peers[i].count, 0);
}

/* How much a client may have under way is limited as without a disk. */
static void what_waits_is_limited(void **state) {
    struct scene *scene = *state;
    struct peer *peer = scene->peers[0];
    for (int i = 0; i < 3 * REPLY_QUEUE_MAX; i++) say(scene, 0, "incr %s\r\n", scene->keys[i % 2][0]);
    assert_answer(scene, 0, "");
    assert_int_equal(peer->client.wait, WAIT_REPLIES);
    assert_true(reply_queue_len(&peer->client.replies) <= REPLY_QUEUE_MAX);
    assert_true(sim_shard(scene->sim, 0)->effects.position <= REPLY_QUEUE_MAX);
    stall(scene, 7, false);
    assert_true(sim_settle(scene->sim, 1000000));
    assert_int_equal(sim_shard(scene->sim, 0)->effects.position, 3 * REPLY_QUEUE_MAX / 2);
}

/* Writes that come at once wait as one reply, those that come later by themselves; and a look at what an earlier one
 * changed leaves with that, not with a write behind it. When it takes too long each of them is answered. */
static void a_pipeline_waits_as_one(void **state) {
    struct scene *scene = *state;
    const char *key = scene->keys[0][0], *other = scene->keys[0][1];
    struct reply_queue *queue = &scene->peers[0]->client.replies;
    stall(scene, 7, false);
    say_at_once(scene, 0, "incr %s\r\n", key); /* before its first answer a client has one command outstanding */
    assert_answer(scene, 0, ":1\r\n");
    stall(scene, 7, true);
    say_at_once(scene, 0, "incr %s\r\nincr %s\r\nget %s\r\nget %s\r\nincr %s\r\n", key, key, key, other, key);
    assert_answer(scene, 0, "");
    assert_int_equal(reply_queue_len(queue), 3); /* :2 :3 $3, $-1, :4 */
    say_at_once(scene, 0, "incr %s\r\n", key);
    assert_answer(scene, 0, "");
    assert_int_equal(reply_queue_len(queue), 4);
    say(scene, 1, "set %s 1\r\n", other);
    go_on(scene);
    say_at_once(scene, 0, "get %s\r\nincr %s\r\n", other, key);
    assert_answer(scene, 0, "");
    assert_int_equal(reply_queue_len(queue), 6);
    stall(scene, 7, false);
    assert_answer(scene, 0, ":2\r\n:3\r\n$1\r\n3\r\n$-1\r\n:4\r\n:5\r\n$1\r\n1\r\n:6\r\n");
    stall(scene, 7, true);
    for (int i = 0; i < 40; i++) say_at_once(scene, 0, "incr %s\r\n", other);
    assert_answer(scene, 0, "");
    assert_true(reply_queue_len(queue) >= 3);
    excuse(scene, "MISCONF it hangs");
    say_at_once(scene, 0, "incr %s\r\nincr %s\r\n", other, other);
    go_on(scene);
    struct buf *got = &scene->peers[0]->got;
    assert_int_equal(buf_readable(got), 42 * strlen("-MISCONF it hangs\r\n"));
    buf_reset(got, 0);
    excuse(scene, NULL);
}

static void clients_that_vanish_leave_nothing(void **state) {
    struct scene *scene = *state;
    for (uint32_t i = 0; i < SHARDS; i++) {
        say(scene, i, "set %s 1\r\nset %s 1\r\nmset %s 1 %s 2\r\n", scene->keys[0][0], scene->keys[1][0],
            scene->keys[1][1], scene->keys[2][1]);
        say(scene, i, "rename %s %s\r\n", scene->keys[1][0], scene->keys[2][0]);
    }
    go_on(scene);
    for (uint32_t i = 0; i < SHARDS; i++) sim_vanish(scene->peers[i]);
    go_on(scene); /* sim_delete looks for what is left */
}

/* As conn_abandon does with connections that are there when the server ends. */
static void a_server_that_ends_leaves_nothing(void **state) {
    struct scene *scene = *state;
    for (uint32_t i = 0; i < SHARDS; i++)
        say(scene, i, "set %s 1\r\nset %s 1\r\nmset %s 1 %s 2\r\n", scene->keys[0][0], scene->keys[1][0],
            scene->keys[0][1], scene->keys[2][1]);
    go_on(scene);
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct peer *peer = scene->peers[i];
        struct reply_queue *replies = &peer->client.replies;
        assert_false(reply_queue_empty(replies));
        replies->head = replies->tail;
        assert_set_shard((int)i);
        release(peer);
        commit_drop(sim_shard(scene->sim, i));
        assert_set_shard(-1);
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        const struct commit *commit = &sim_shard(scene->sim, i)->commit;
        for (uint32_t k = 0; k < SHARDS; k++) assert_int_equal(commit->peers[k].count, 0);
    }
}

/* Only what is acknowledged from then on waits, and first of all for what was there before. */
static void waiting_begins_and_ends_at_an_instant(void **state) {
    struct scene *scene = *state;
    for (uint32_t i = 0; i < SHARDS; i++) commit_stop(sim_shard(scene->sim, i));
    say(scene, 0, "set %s 1\r\n", scene->keys[0][0]);
    say(scene, 1, "mset %s 1 %s 1\r\n", scene->keys[1][0], scene->keys[2][0]);
    assert_answer(scene, 0, "+OK\r\n");
    assert_answer(scene, 1, "+OK\r\n");
    for (uint32_t i = 0; i < SHARDS; i++) commit_start(sim_shard(scene->sim, i), 99);
    say(scene, 0, "set %s 2\r\n", scene->keys[0][0]);
    stall(scene, 3, false);
    assert_answer(scene, 0, "");
    stall(scene, 4, false);
    assert_answer(scene, 0, "+OK\r\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* The disk takes nothing for too long: what waits is answered with an error, of one key, of several, of a transaction,
 * at home and elsewhere; so is what would begin to wait, but not what need not. Then all is as before. */
static void waiting_has_an_end(void **state) {
    struct scene *scene = *state;
    say(scene, 0, "set %s 1\r\nping\r\n", scene->keys[0][0]);
    say(scene, 1, "mset %s 1 %s 2 %s 3\r\n", scene->keys[0][1], scene->keys[1][0], scene->keys[2][0]);
    say(scene, 2, "multi\r\nset %s 5\r\nset %s 6\r\nexec\r\n", scene->keys[0][0], scene->keys[1][1]);
    assert_answer(scene, 0, "");
    assert_answer(scene, 1, "");
    assert_answer(scene, 2, "+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    excuse(scene, "MISCONF it hangs");
    assert_answer(scene, 0, "-MISCONF it hangs\r\n+PONG\r\n");
    assert_answer(scene, 1, "-MISCONF it hangs\r\n");
    assert_answer(scene, 2, "-MISCONF it hangs\r\n");
    say(scene, 1, "get %s\r\nget nothing\r\nset %s 9\r\n", scene->keys[0][0], scene->keys[2][1]);
    assert_answer(scene, 1, "-MISCONF it hangs\r\n$-1\r\n-MISCONF it hangs\r\n");
    excuse(scene, NULL);
    say(scene, 1, "get %s\r\n", scene->keys[0][0]);
    assert_answer(scene, 1, "");
    stall(scene, 7, false);
    assert_answer(scene, 1, "$1\r\n5\r\n");
    say(scene, 0, "set %s 7\r\n", scene->keys[1][0]);
    assert_answer(scene, 0, "+OK\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_write_waits),
        TEST(a_promise_that_is_kept_already_holds_nothing),
        TEST(waiting_has_an_end),
        TEST(a_key_that_is_not_safe_is_not_shown),
        TEST(reads_beside_a_write_do_not_wait),
        TEST(what_changed_nothing_does_not_wait),
        TEST(a_look_at_all_keys_waits),
        TEST(flushed_keys_are_not_shown),
        TEST(replies_stay_in_order),
        TEST(a_transaction_waits_for_all_its_shards),
        TEST(a_transaction_that_waits_holds_no_lock),
        TEST(a_transaction_waits_for_what_stands_before_it),
        TEST(exec_waits_for_what_its_commands_wait_for),
        TEST(a_watching_exec_that_is_stopped_does_not_wait),
        TEST(a_blocked_client_waits_when_it_is_served),
        TEST(silence_does_not_wait),
        TEST(what_waits_is_limited),
        TEST(a_pipeline_waits_as_one),
        TEST(clients_that_vanish_leave_nothing),
        TEST(a_server_that_ends_leaves_nothing),
        TEST(waiting_begins_and_ends_at_an_instant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
