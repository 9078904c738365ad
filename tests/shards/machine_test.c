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
#include "tests/support/seed.h"
#include "tests/support/small_machine.h"
#include <inttypes.h>

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
    bool moves;       /* clients move between shards */
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

/* Returns how often clients have moved. */
static uint64_t run_round(const struct round *round) {
    fprintf(stderr,
            "seed %" PRIu64 ": %u shards, %u clients, %u commands each, mailboxes of %u, values to %zu%s%s%s%s%s\n",
            round->seed, round->shards, round->clients, round->commands, round->mailbox, round->value_max,
            round->stall ? ", stalling readers" : "", round->vanish ? ", vanishing clients" : "",
            round->gated ? ", disks" : "", round->braked ? ", a brake" : "", round->moves ? ", moves" : "");
    struct sim_options options = {.shards = round->shards,
                                  .mailbox_capacity = round->mailbox,
                                  .db_count = 2 * round->clients + 3,
                                  .seed = round->seed,
                                  .gated = round->gated,
                                  .braked = round->braked,
                                  .moves = round->moves,
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
    uint64_t moves = sim_moves(sim);
    sim_delete(sim);
    assert_int_equal(heap_used(heap, MEM_CLIENT_IN), 0);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
    return moves;
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
                          .braked = prng_below(&prng, 3) == 0,
                          .moves = prng_below(&prng, 2) == 0};
}

static void replies_equal_those_of_a_naive_server(void **state) {
    (void)state;
    uint64_t first = seed_or(1);
    uint64_t rounds = setting("SHERD_ROUNDS", seed_given() ? 1 : 40);
    uint64_t moves = 0;
    for (uint64_t seed = first; seed < first + rounds; seed++) {
        struct round round = round_of(seed);
        moves += run_round(&round);
    }
    assert_true(moves > 0 || rounds < 40);
}
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_equal_those_of_a_naive_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
