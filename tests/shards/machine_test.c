/* The machine of several shards: every client gets exactly the replies that a naive single-threaded server would give
 * it.
 *
 * Proves   replies are complete and in order whatever the number of shards, the cutting of the input, the order of
 *          turns, full mailboxes, readers that stop, pauses and neighbours that vanish; that nothing hangs; and that
 *          nothing is left afterwards: no message, no reply place, no gather, no byte.
 * How      each client works on keys of its own (in database 0 by prefix, in two databases by itself), so a twin of its
 *          own knows all its replies in advance. tests/support/machine.h plays everything around the shards.
 *
 * SHERD_SEED runs one seed only, SHERD_STEPS is the number of commands per client (default 400), SHERD_ROUNDS how many
 * seeds; a failure prints the seed. */
#include "core/num.h"
#include "shards/exec.h"
#include "shards/pipeline.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- the connection's commands, which live in net/ in production --- */

static void cmd_ping(struct exec *x) {
    if (x->argc == 2)
        reply_bulk(x, x->argv[1]);
    else
        reply_simple(x, "PONG");
}

static void cmd_select(struct exec *x) {
    int64_t db;
    if (!exec_int_range(x, 1, 0, x->shard->db_count - 1, &db, NULL)) return;
    x->client->db = (uint16_t)db;
    reply_ok(x);
}

static void cmd_quit(struct exec *x) {
    x->client->flags |= CLIENT_CLOSE_AFTER_REPLY;
    reply_ok(x);
}

static void cmd_client_reply(struct exec *x) {
    if (arg_is(x, 2, "on")) {
        x->client->flags &= ~(uint32_t)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT);
        reply_ok(x);
    } else if (arg_is(x, 2, "off")) {
        x->client->flags |= CLIENT_REPLY_OFF;
    } else if (!(x->client->flags & CLIENT_REPLY_OFF)) {
        x->client->flags |= CLIENT_REPLY_SKIP_NEXT;
    }
}

static void cmd_client_pause(struct exec *x) {
    int64_t ms;
    if (!exec_int(x, 2, &ms)) return;
    x->shard->pause_all = x->argc == 3;
    x->shard->pause_until_ms = x->shard->now_ms + (uint64_t)ms;
    reply_ok(x);
}

static void cmd_client_unpause(struct exec *x) {
    shard_unpause(x->shard);
    reply_ok(x);
}

/* Answers how much of the pause is left on the client's shard: 0 when none. */
static void cmd_paused(struct exec *x) {
    reply_int(x, (int64_t)(x->shard->pause_until_ms > x->shard->now_ms));
}

#define ROW(n, a, f, w, r)                                                                                             \
    .name = (n), .arity = (a), .flags = (f), .where = (w), .run = (r), .acl = ACL_CONNECTION, .group = "connection",   \
    .since = "0.1.0", .cost = "O(1)", .doc = "For the test.", .args = ""

static const struct command client_subs[] = {
    {ROW("reply", 3, 0, ON_CONN, cmd_client_reply)},
    {ROW("pause", -3, 0, ON_ALL, cmd_client_pause), .merge = MERGE_OK},
    {ROW("unpause", 2, CMD_ALLOW_BUSY, ON_ALL, cmd_client_unpause), .merge = MERGE_OK},
    {.name = NULL},
};

static const struct command test_commands[] = {
    {ROW("ping", -1, CMD_FAST | CMD_NO_WAIT, ON_CONN, cmd_ping)},
    {ROW("select", 2, 0, ON_CONN, cmd_select)},
    {ROW("quit", 1, 0, ON_CONN, cmd_quit)},
    {ROW("paused", 1, 0, ON_CONN, cmd_paused)},
    {ROW("client", -2, 0, ON_CONN, NULL), .subs = client_subs},
    {.name = NULL},
};
static const struct command *const test_tables[] = {test_commands, NULL};

/* --- the twin --- */

#define TWIN_KEYS 24
#define KEY_TEXT  1200 /* long ones: a KEYS of all is too long for one turn */
#define TWIN_DBS  3    /* 0: shared with everybody, keys by prefix; the others are its own */

struct reply {
    char *bytes;
    size_t len;
    bool any_order; /* an array whose elements may come in any order (KEYS) */
};

struct twin {
    struct peer *peer;
    struct prng *prng;
    char *values[TWIN_DBS][TWIN_KEYS]; /* NULL: absent */
    size_t lens[TWIN_DBS][TWIN_KEYS];
    unsigned db;
    bool off, skip, skip_next, ended;
    bool plain; /* single keys only, and few: long runs without a barrier, so that order on one key is at stake */
    bool long_keys;
    size_t value_max;
    struct reply *replies;
    size_t reply_count, reply_cap;
    struct buf out; /* of the command being made */
    struct heap *heap;
};

static uint32_t pick(struct twin *twin, uint32_t n) {
    return (uint32_t)prng_below(twin->prng, n);
}

static unsigned pick_key(struct twin *twin) {
    return pick(twin, twin->plain ? 4 : TWIN_KEYS);
}

static struct slice key_text(const struct twin *twin, unsigned key, char out[KEY_TEXT]) {
    /* Some share a slot by their tag, so that commands of several keys are also run on one shard. */
    const char *format = key % 3 == 0 ? "c%u:{tag}:%u" : "c%u:%u";
    size_t len = (size_t)snprintf(out, KEY_TEXT, format, twin->peer->number, key);
    if (!twin->long_keys) return slice_of(out, len);
    memset(out + len, 'x', KEY_TEXT - len);
    return slice_of(out, KEY_TEXT);
}

static void set_value(struct twin *twin, unsigned key, struct slice value) {
    free(twin->values[twin->db][key]);
    char *copy = malloc(value.len + 1);
    memcpy(copy, value.ptr, value.len);
    twin->values[twin->db][key] = copy;
    twin->lens[twin->db][key] = value.len;
}

static bool drop_value(struct twin *twin, unsigned key) {
    bool was = twin->values[twin->db][key] != NULL;
    free(twin->values[twin->db][key]);
    twin->values[twin->db][key] = NULL;
    return was;
}

static void answer_value(struct twin *twin, unsigned key) {
    const char *value = twin->values[twin->db][key];
    if (value)
        resp_bulk(&twin->out, slice_of(value, twin->lens[twin->db][key]));
    else
        resp_null(&twin->out, 2);
}

/* What was written to twin->out is the reply of this command, unless the client does not want it. */
static void command_done(struct twin *twin, bool any_order) {
    bool dropped = twin->off || twin->skip || twin->out.len == 0;
    twin->skip = twin->skip_next;
    twin->skip_next = false;
    if (!dropped) {
        if (twin->reply_count == twin->reply_cap) {
            twin->reply_cap = twin->reply_cap ? twin->reply_cap * 2 : 64;
            twin->replies = realloc(twin->replies, twin->reply_cap * sizeof *twin->replies);
        }
        struct reply *reply = &twin->replies[twin->reply_count++];
        *reply = (struct reply){malloc(twin->out.len), twin->out.len, any_order};
        memcpy(reply->bytes, twin->out.data, twin->out.len);
    }
    buf_reset(&twin->out, SIZE_MAX);
}

static void say(struct twin *twin, const struct slice *argv, uint32_t argc) {
    struct buf command;
    buf_init(&command, twin->heap, MEM_CLIENT_IN);
    bool plain = argc < 4;
    for (uint32_t i = 0; i < argc; i++)
        plain &= argv[i].len > 0 && argv[i].len < 30 && !memchr(argv[i].ptr, ' ', argv[i].len);
    if (plain && pick(twin, 20) == 0) { /* typed by a person */
        for (uint32_t i = 0; i < argc; i++) buf_printf(&command, "%s%.*s", i ? " " : "", (int)argv[i].len, argv[i].ptr);
        buf_append_literal(&command, "\r\n");
    } else {
        resp_command(&command, argv, argc);
    }
    if (pick(twin, 50) == 0) buf_append_literal(&command, "\r\n"); /* an empty line is no command */
    sim_say(twin->peer, command.data, command.len);
    buf_deinit(&command);
}

#define SAY(twin, ...)                                                                                                 \
    say((twin), (const struct slice[]){__VA_ARGS__},                                                                   \
        (uint32_t)(sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice)))

static struct slice random_value(struct twin *twin, char *out) {
    size_t len;
    switch (pick(twin, 8)) {
    case 0: return slice_of(out, (size_t)snprintf(out, 32, "%d", (int)pick(twin, 2000) - 1000));
    case 1: len = pick(twin, (uint32_t)twin->value_max); break;
    default: len = pick(twin, 40); break;
    }
    for (size_t i = 0; i < len; i++) out[i] = (char)('a' + (i * 7 + len) % 26);
    return slice_of(out, len);
}

#define VALUE_MAX (64 * 1024)

static void do_set(struct twin *twin) {
    char text[KEY_TEXT], *value = malloc(VALUE_MAX);
    unsigned key = pick_key(twin);
    struct slice bytes = random_value(twin, value);
    SAY(twin, SLICE("SET"), key_text(twin, key, text), bytes);
    set_value(twin, key, bytes);
    resp_simple(&twin->out, SLICE("OK"));
    command_done(twin, false);
    free(value);
}

static void do_get(struct twin *twin) {
    char text[KEY_TEXT];
    unsigned key = pick_key(twin);
    SAY(twin, SLICE("gEt"), key_text(twin, key, text));
    answer_value(twin, key);
    command_done(twin, false);
}

static void do_incr(struct twin *twin) {
    char text[KEY_TEXT], digits[32];
    unsigned key = pick_key(twin);
    SAY(twin, SLICE("incr"), key_text(twin, key, text));
    int64_t value = 0;
    const char *old = twin->values[twin->db][key];
    if (old && !num_parse_i64(slice_of(old, twin->lens[twin->db][key]), &value)) {
        resp_error(&twin->out, SLICE("ERR value is not an integer or out of range"));
    } else {
        set_value(twin, key, slice_of(digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, value + 1)));
        resp_int(&twin->out, value + 1);
    }
    command_done(twin, false);
}

enum many { MANY_MGET, MANY_MSET, MANY_DEL, MANY_EXISTS };

static void do_many(struct twin *twin, enum many what) {
    static const char *const names[] = {"mget", "mset", "del", "exists"};
    enum { MOST = 200 };
    uint32_t count = pick(twin, 30) == 0 ? MOST : 1 + pick(twin, 8), argc = 1;
    struct slice *argv = malloc((1 + 2 * MOST) * sizeof *argv);
    char(*texts)[KEY_TEXT] = malloc(MOST * sizeof *texts), (*values)[32] = malloc(MOST * sizeof *values);
    bool same_slot = pick(twin, 4) == 0;
    argv[0] = slice_of_cstr(names[what]);
    int64_t sum = 0;
    if (what == MANY_MGET) resp_array(&twin->out, count);
    for (uint32_t i = 0; i < count; i++) {
        unsigned key = same_slot ? 3 * pick(twin, TWIN_KEYS / 3) : pick(twin, TWIN_KEYS);
        argv[argc++] = key_text(twin, key, texts[i]);
        switch (what) {
        case MANY_MGET: answer_value(twin, key); break;
        case MANY_DEL: sum += drop_value(twin, key); break;
        case MANY_EXISTS: sum += twin->values[twin->db][key] != NULL; break;
        case MANY_MSET:
            argv[argc++] = slice_of(values[i], (size_t)snprintf(values[i], 32, "v%u", pick(twin, 1000)));
            set_value(twin, key, argv[argc - 1]);
            break;
        }
    }
    say(twin, argv, argc);
    if (what == MANY_MSET)
        resp_simple(&twin->out, SLICE("OK"));
    else if (what != MANY_MGET)
        resp_int(&twin->out, sum);
    command_done(twin, false);
    free(argv);
    free(texts);
    free(values);
}

static unsigned count_keys(const struct twin *twin) {
    unsigned count = 0;
    for (unsigned key = 0; key < TWIN_KEYS; key++) count += twin->values[twin->db][key] != NULL;
    return count;
}

static void do_keys(struct twin *twin) {
    char pattern[32], text[KEY_TEXT];
    snprintf(pattern, sizeof pattern, "c%u:*", twin->peer->number);
    SAY(twin, SLICE("keys"), twin->db && pick(twin, 2) ? SLICE("*") : slice_of_cstr(pattern));
    resp_array(&twin->out, count_keys(twin));
    for (unsigned key = 0; key < TWIN_KEYS; key++)
        if (twin->values[twin->db][key]) resp_bulk(&twin->out, key_text(twin, key, text));
    command_done(twin, true);
}

static void do_whole(struct twin *twin) {
    if (twin->db == 0) { /* others' keys, too: not ours to count or to empty */
        do_keys(twin);
        return;
    }
    if (pick(twin, 3) == 0) {
        SAY(twin, SLICE("flushdb"));
        for (unsigned key = 0; key < TWIN_KEYS; key++) drop_value(twin, key);
        resp_simple(&twin->out, SLICE("OK"));
    } else {
        SAY(twin, SLICE("dbsize"));
        resp_int(&twin->out, count_keys(twin));
    }
    command_done(twin, false);
}

static void do_select(struct twin *twin) {
    char digits[16];
    twin->db = pick(twin, TWIN_DBS);
    unsigned number = twin->db ? 2 * twin->peer->number + twin->db : 0;
    SAY(twin, SLICE("select"), slice_of(digits, (size_t)snprintf(digits, sizeof digits, "%u", number)));
    resp_simple(&twin->out, SLICE("OK"));
    command_done(twin, false);
}

static void do_reply_mode(struct twin *twin) {
    switch (pick(twin, 4)) {
    case 0:
        SAY(twin, SLICE("client"), SLICE("reply"), SLICE("off"));
        twin->off = true;
        break;
    case 1:
        SAY(twin, SLICE("client"), SLICE("reply"), SLICE("skip"));
        if (!twin->off) twin->skip_next = true;
        break;
    default:
        SAY(twin, SLICE("client"), SLICE("reply"), SLICE("on"));
        twin->off = twin->skip = twin->skip_next = false;
        resp_simple(&twin->out, SLICE("OK"));
        break;
    }
    command_done(twin, false);
}

static void do_wrong(struct twin *twin) {
    switch (pick(twin, 4)) {
    case 0:
        SAY(twin, SLICE("nosuch"), SLICE("a"), SLICE("b"));
        resp_error(&twin->out, SLICE("ERR unknown command 'nosuch', with args beginning with: 'a' 'b' "));
        break;
    case 1:
        SAY(twin, SLICE("get"));
        resp_error(&twin->out, SLICE("ERR wrong number of arguments for 'get' command"));
        break;
    case 2:
        SAY(twin, SLICE("mset"), SLICE("a"), SLICE("b"), SLICE("c"));
        resp_error(&twin->out, SLICE("ERR wrong number of arguments for 'mset' command"));
        break;
    default:
        SAY(twin, SLICE("sherd.fetch"));
        resp_error(&twin->out, SLICE("ERR unknown command 'sherd.fetch', with args beginning with: "));
        break;
    }
    command_done(twin, false);
}

static void do_pause(struct twin *twin) {
    char ms[16];
    struct slice time = slice_of(ms, (size_t)snprintf(ms, sizeof ms, "%u", 1 + pick(twin, 20)));
    switch (pick(twin, 4)) {
    case 0: SAY(twin, SLICE("client"), SLICE("pause"), time); break;
    case 1: SAY(twin, SLICE("client"), SLICE("pause"), time, SLICE("write")); break;
    default: SAY(twin, SLICE("client"), SLICE("unpause")); break;
    }
    resp_simple(&twin->out, SLICE("OK"));
    command_done(twin, false);
}

static void do_ping(struct twin *twin) {
    SAY(twin, SLICE("ping"));
    resp_simple(&twin->out, SLICE("PONG"));
    command_done(twin, false);
}

static void do_something(struct twin *twin) {
    uint32_t die = pick(twin, twin->plain ? 66 : 100);
    if (die < 28)
        do_set(twin);
    else if (die < 56)
        do_get(twin);
    else if (die < 66)
        do_incr(twin);
    else if (die < 71)
        do_many(twin, MANY_MGET);
    else if (die < 75)
        do_many(twin, MANY_MSET);
    else if (die < 78)
        do_many(twin, MANY_DEL);
    else if (die < 81)
        do_many(twin, MANY_EXISTS);
    else if (die < 83)
        do_keys(twin);
    else if (die < 86)
        do_whole(twin);
    else if (die < 89)
        do_select(twin);
    else if (die < 92)
        do_reply_mode(twin);
    else if (die < 95)
        do_wrong(twin);
    else if (die < 96)
        do_pause(twin);
    else
        do_ping(twin);
}

/* How a session ends: open, by QUIT, or by bytes that are no protocol. What follows is not looked at. */
static void do_end(struct twin *twin) {
    switch (pick(twin, 3)) {
    case 0: return;
    case 1:
        SAY(twin, SLICE("quit"));
        resp_simple(&twin->out, SLICE("OK"));
        break;
    default:
        sim_say(twin->peer, "*2\r\n$3\r\nGET\r\nx\r\n", 17);
        resp_error(&twin->out, SLICE("ERR Protocol error: expected '$', got 'x'"));
        break;
    }
    command_done(twin, false);
    SAY(twin, SLICE("ping"));
    twin->ended = true;
}

/* --- comparing --- */

static int compare_elements(const void *a, const void *b) {
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* Elements of an array reply, sorted; returns how many. */
static size_t elements(struct slice reply, struct slice out[TWIN_KEYS + 1]) {
    const char *at = memchr(reply.ptr, '\n', reply.len);
    if (!at) return SIZE_MAX;
    struct slice rest = slice_of(at + 1, reply.len - (size_t)(at + 1 - reply.ptr));
    size_t count = 0;
    while (rest.len && count <= TWIN_KEYS) {
        size_t size = resp_skip(rest);
        if (!size) return SIZE_MAX;
        out[count++] = slice_of(rest.ptr, size);
        rest = slice_of(rest.ptr + size, rest.len - size);
    }
    qsort(out, count, sizeof *out, compare_elements);
    return count;
}

static bool same_in_any_order(struct slice a, struct slice b) {
    struct slice x[TWIN_KEYS + 1], y[TWIN_KEYS + 1];
    size_t count = elements(a, x);
    if (count == SIZE_MAX || count != elements(b, y)) return false;
    for (size_t i = 0; i < count; i++)
        if (!slice_equal(x[i], y[i])) return false;
    return true;
}

static void show(const char *what, struct slice bytes) {
    fprintf(stderr, "  %s (%zu): ", what, bytes.len);
    for (size_t i = 0; i < MIN(bytes.len, (size_t)200); i++) {
        char c = bytes.ptr[i];
        if (c >= ' ' && c <= '~')
            fputc(c, stderr);
        else
            fprintf(stderr, "\\x%02x", (unsigned char)c);
    }
    fputc('\n', stderr);
}

/* Compares what the peer got with the twin's replies; a prefix will do for one that was cut off. */
static bool replies_match(const struct twin *twin, bool whole) {
    struct slice got = buf_slice(&twin->peer->got);
    for (size_t i = 0; i < twin->reply_count; i++) {
        const struct reply *reply = &twin->replies[i];
        struct slice want = slice_of(reply->bytes, reply->len), have = slice_of(got.ptr, MIN(got.len, reply->len));
        if (!whole && have.len < want.len) { /* cut off in the middle */
            if (!reply->any_order && have.len && memcmp(have.ptr, want.ptr, have.len) != 0) return false;
            return true;
        }
        bool same = reply->any_order ? have.len == want.len && same_in_any_order(have, want) : slice_equal(have, want);
        if (!same) {
            fprintf(stderr, "client %u, reply %zu of %zu differs:\n", twin->peer->number, i, twin->reply_count);
            show("wanted", want);
            show("got", got);
            return false;
        }
        got = slice_of(got.ptr + have.len, got.len - have.len);
    }
    if (got.len) show("too much", got);
    return got.len == 0;
}

/* --- rounds --- */

struct round {
    uint64_t seed;
    uint32_t shards, clients, commands, mailbox;
    size_t value_max; /* of the rare long values */
    bool stall;       /* readers stop for a while */
    bool vanish;      /* some clients disappear */
    bool gated;       /* replies wait for disks */
    bool braked;      /* writes wait now and then */
};

static void twin_init(struct twin *twin, struct sim *sim, struct heap *heap, const struct round *round) {
    *twin = (struct twin){.prng = sim_prng(sim), .heap = heap, .value_max = round->value_max};
    buf_init(&twin->out, heap, MEM_CLIENT_OUT);
    twin->peer = sim_connect(sim, (uint32_t)prng_below(sim_prng(sim), round->shards));
    static const size_t pieces[] = {1, 7, 100, 0, 0, 0};
    twin->peer->piece_max = pieces[pick(twin, ARRAY_LEN(pieces))];
    twin->plain = pick(twin, 3) == 0;
    twin->long_keys = twin->peer->piece_max != 1 && pick(twin, 4) == 0;
    uint32_t commands = twin->peer->piece_max == 1 ? round->commands / 4 : round->commands;
    if (twin->peer->piece_max == 1) twin->value_max = MIN(twin->value_max, (size_t)500);
    for (uint32_t i = 0; i < commands; i++) do_something(twin);
    do_end(twin);
}

static void twin_deinit(struct twin *twin) {
    for (unsigned db = 0; db < TWIN_DBS; db++)
        for (unsigned key = 0; key < TWIN_KEYS; key++) free(twin->values[db][key]);
    for (size_t i = 0; i < twin->reply_count; i++) free(twin->replies[i].bytes);
    free(twin->replies);
    buf_deinit(&twin->out);
}

/* Trouble while it runs: readers stop and go on, clients vanish. */
static void disturb(struct sim *sim, const struct round *round, struct twin *twins, bool *vanished) {
    for (uint32_t i = 0; i < 300; i++) {
        for (uint32_t steps = 0; steps < 20; steps++) sim_step(sim);
        sim_check(sim);
        uint32_t at = (uint32_t)prng_below(sim_prng(sim), round->clients);
        if (round->stall) twins[at].peer->stalled = prng_below(sim_prng(sim), 2);
        if (round->vanish && prng_below(sim_prng(sim), 100) == 0) {
            sim_vanish(twins[at].peer);
            vanished[at] = true;
        }
    }
    for (uint32_t i = 0; i < round->clients; i++) twins[i].peer->stalled = false;
}

static void run_round(const struct round *round) {
    fprintf(stderr,
            "seed %" PRIu64 ": %u shards, %u clients, %u commands each, mailboxes of %u, values to %zu%s%s%s%s\n",
            round->seed, round->shards, round->clients, round->commands, round->mailbox, round->value_max,
            round->stall ? ", stalling readers" : "", round->vanish ? ", vanishing clients" : "",
            round->gated ? ", disks" : "", round->braked ? ", a brake" : "");
    struct sim_options options = {.shards = round->shards,
                                  .mailbox_capacity = round->mailbox,
                                  .db_count = 2 * round->clients + 3,
                                  .seed = round->seed,
                                  .gated = round->gated,
                                  .braked = round->braked,
                                  .tables = test_tables};
    struct sim *sim = sim_new(&options);
    struct heap *heap = heap_new();
    struct twin *twins = calloc(round->clients, sizeof *twins);
    bool *vanished = calloc(round->clients, sizeof *vanished);
    for (uint32_t i = 0; i < round->clients; i++) twin_init(&twins[i], sim, heap, round);
    if (round->stall || round->vanish) disturb(sim, round, twins, vanished);
    if (!sim_settle(sim, 20000000)) {
        sim_explain(sim);
        fail_msg("seed %" PRIu64 ": it hangs", round->seed);
    }
    sim_check_idle(sim);
    for (uint32_t i = 0; i < round->clients; i++) {
        if (!replies_match(&twins[i], !vanished[i])) fail_msg("seed %" PRIu64 ": wrong replies", round->seed);
        if (!vanished[i] && twins[i].peer->closed != twins[i].ended) fail_msg("seed %" PRIu64 ": closed?", round->seed);
        twin_deinit(&twins[i]);
    }
    free(twins);
    free(vanished);
    sim_delete(sim);
    assert_int_equal(heap_used(heap, MEM_CLIENT_IN), 0);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
}

static uint64_t setting(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

/* Everything about a round follows from its seed. */
static struct round round_of(uint64_t seed) {
    static const uint32_t shards[] = {1, 2, 3, 7}, mailboxes[] = {1, 2, 4, 256};
    static const size_t values[] = {100, 5000, 30000, VALUE_MAX};
    struct prng prng;
    prng_init(&prng, seed);
    return (struct round){.seed = seed,
                          .shards = shards[seed % ARRAY_LEN(shards)],
                          .clients = 1 + (uint32_t)prng_below(&prng, 20),
                          .commands = (uint32_t)setting("SHERD_STEPS", 400),
                          .mailbox = mailboxes[prng_below(&prng, ARRAY_LEN(mailboxes))],
                          .value_max = values[prng_below(&prng, ARRAY_LEN(values))],
                          .stall = prng_below(&prng, 2),
                          .vanish = prng_below(&prng, 3) == 0,
                          .gated = prng_below(&prng, 3) == 0,
                          .braked = prng_below(&prng, 3) == 0};
}

static void replies_equal_those_of_a_naive_server(void **state) {
    (void)state;
    uint64_t first = seed_or(1);
    uint64_t rounds = setting("SHERD_ROUNDS", seed_given() ? 1 : 40);
    for (uint64_t seed = first; seed < first + rounds; seed++) {
        struct round round = round_of(seed);
        run_round(&round);
    }
}

/* --- single situations --- */

static struct sim *small_sim(uint32_t shards, uint32_t mailbox) {
    struct sim_options options = {
        .shards = shards, .mailbox_capacity = mailbox, .db_count = 16, .seed = 5, .tables = test_tables};
    return sim_new(&options);
}

static void say_text(struct peer *peer, const char *text) {
    sim_say(peer, text, strlen(text));
}

static void assert_got(struct peer *peer, const char *text) {
    struct slice got = buf_slice(&peer->got);
    if (!slice_equal(got, slice_of_cstr(text))) show("got", got);
    assert_int_equal(got.len, strlen(text));
    assert_memory_equal(got.ptr, text, got.len);
    buf_reset(&peer->got, 0);
}

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
        size_t held = buf_readable(&peer->client.out) + buf_readable(&peer->sending);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_that_stops_is_not_served),
        cmocka_unit_test(a_new_reader_gets_one_large_reply),
        cmocka_unit_test(put_back_takes_kept_and_passed_commands),
        cmocka_unit_test(put_back_before_a_half_parsed_command),
        cmocka_unit_test(a_remote_barrier_holds_back),
        cmocka_unit_test(a_pause_holds_back_its_own_pipeline),
        cmocka_unit_test(writes_wait_at_the_brake),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(silence_covers_protocol_errors),
        cmocka_unit_test(messages_beyond_a_turn_are_not_forgotten),
        cmocka_unit_test(held_replies_do_not_pile_up),
        cmocka_unit_test(an_idle_client_pins_no_input),
        cmocka_unit_test(a_long_command_is_not_copied_with_every_piece),
        cmocka_unit_test(a_long_reply_leaves_block_by_block),
        cmocka_unit_test(a_long_reply_that_nobody_takes),
        cmocka_unit_test(a_pipeline_of_transactions_is_like_one_by_one),
        cmocka_unit_test(replies_equal_those_of_a_naive_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
