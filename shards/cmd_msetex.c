/* MSETEX (Redis 8.4, Valkey 9.1): several strings at once, perhaps only if none or all of their keys are there, with
 * one deadline for all. Over several shards:
 *
 *      owners of the keys                   home
 *      exists key ...                  <--- step 0, if there is a condition
 *      how many of them are there      ---> step 1: is it met?
 *      sherd.msetex deadline key value <---
 *      done                            ---> its reply                                                            */
#include "core/num.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/shard.h"

#define FIRST 2u /* argv[2]: the first key, its value, the next key ... */

struct words {
    uint32_t pairs;
    bool if_none, if_all; /* of the keys is there */
    bool keeps;           /* deadlines */
    int64_t deadline_ms;  /* 0: none */
    const char *error;
};

static const char *parse_pairs(struct words *words, const struct slice *argv, uint32_t argc) {
    int64_t pairs;
    if (!num_parse_i64(argv[1], &pairs) || pairs < 1 || pairs > INT32_MAX) return "ERR invalid numkeys value";
    if (pairs > (int64_t)(argc - FIRST) / 2) return "ERR wrong number of key-value pairs";
    words->pairs = (uint32_t)pairs;
    return NULL;
}

static const char *parse_deadline(struct words *words, struct slice word, int64_t unit_ms, uint64_t now_ms) {
    int64_t when;
    if (!num_parse_i64(word, &when)) return "ERR value is not an integer or out of range";
    bool overflow = when <= 0 || __builtin_mul_overflow(when, unit_ms, &when);
    overflow = overflow || __builtin_add_overflow(when, (int64_t)now_ms, &when);
    if (overflow) return "ERR invalid expire time in 'msetex' command";
    words->deadline_ms = when;
    return NULL;
}

/* Both ends of a gather read the same words, at times that differ: only home's deadline counts. */
static struct words parse(const struct slice *argv, uint32_t argc, uint64_t now_ms) {
    struct words words = {0};
    words.error = parse_pairs(&words, argv, argc);
    for (uint32_t at = FIRST + 2 * words.pairs; at < argc && !words.error; at++) {
        bool nx = slice_is(argv[at], "nx"), xx = slice_is(argv[at], "xx"), keeps = slice_is(argv[at], "keepttl");
        bool ex = slice_is(argv[at], "ex"), px = slice_is(argv[at], "px");
        bool exat = slice_is(argv[at], "exat"), pxat = slice_is(argv[at], "pxat");
        bool timed = words.keeps || words.deadline_ms;
        if ((nx && !words.if_all) || (xx && !words.if_none)) {
            words.if_none |= nx;
            words.if_all |= xx;
        } else if (keeps && !words.deadline_ms) {
            words.keeps = true;
        } else if ((ex || px || exat || pxat) && !timed && at + 1 < argc) {
            words.error = parse_deadline(&words, argv[++at], ex || exat ? 1000 : 1, ex || px ? now_ms : 0);
        } else {
            words.error = "ERR syntax error";
        }
    }
    return words;
}

/* --- on one shard --- */

static void set_one(struct exec *x, uint32_t at, bool keeps, uint64_t deadline_ms) {
    struct key_ref ref;
    const struct entry *old = exec_open_any(x, at, &ref);
    if (keeps && old) deadline_ms = entry_deadline_ms(old);
    keyspace_put_string(x->keys, &ref, x->argv[at + 1], deadline_ms, true);
    exec_changed(x, ref.key, 1);
    effect_set(x, ref.key, x->argv[at + 1], deadline_ms);
    exec_event_as(x, NOTIFY_STRING, "set", ref.key);
    if (deadline_ms && !keeps) exec_event_as(x, NOTIFY_GENERIC, "expire", ref.key);
}

static bool is_met(const struct words *words, uint64_t there) {
    return !(words->if_none && there > 0) && !(words->if_all && there < words->pairs);
}

static void cmd_msetex(struct exec *x) {
    struct words words = parse(x->argv, x->argc, x->shared->now_ms);
    struct key_ref ref;
    uint64_t there = 0;
    if (words.error) {
        reply_error(x, words.error);
        return;
    }
    for (uint32_t i = 0; i < words.pairs && (words.if_none || words.if_all); i++)
        there += exec_open_any(x, FIRST + 2 * i, &ref) != NULL;
    bool met = is_met(&words, there);
    for (uint32_t i = 0; met && i < words.pairs; i++)
        set_one(x, FIRST + 2 * i, words.keeps, (uint64_t)words.deadline_ms);
    reply_int(x, met);
}

static void cmd_part(struct exec *x) {
    int64_t deadline_ms = 0;
    bool keeps = arg_is(x, 1, "keep");
    if (!keeps && !exec_int(x, 1, &deadline_ms)) return;
    for (uint32_t at = 2; at + 1 < x->argc; at += 2) set_one(x, at, keeps, (uint64_t)deadline_ms);
    reply_ok(x);
}

/* --- across shards --- */

/* To each owner its keys, and their values behind `head` if that is not NULL. */
static void send_keys(struct gather *g, const struct words *words, const char *name, const struct slice *head) {
    size_t bytes = (2 * (size_t)words->pairs + 1) * sizeof(struct slice);
    struct slice *args = heap_alloc(g->home->heap, MEM_MESSAGE, bytes);
    for (uint32_t shard = 0; shard < gather_shards(g); shard++) {
        uint32_t count = 0, before = 0;
        if (head) args[count++] = *head, before = 1;
        for (uint32_t at = FIRST; at < FIRST + 2 * words->pairs; at += 2) {
            if (gather_owner(g, at) != shard) continue;
            args[count++] = g->argv[at];
            if (head) args[count++] = g->argv[at + 1];
        }
        if (count > before) gather_send(g, shard, name, args, count);
    }
    heap_free(g->home->heap, MEM_MESSAGE, args, bytes);
}

static void send_values(struct gather *g, const struct words *words) {
    char digits[NUM_I64_MAX];
    struct slice head = slice_of(digits, num_format_i64(digits, words->deadline_ms));
    if (words->keeps) head = SLICE("keep");
    send_keys(g, words, "sherd.msetex", &head);
}

static uint64_t sum_of_replies(const struct gather *g) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < g->parts; i++) {
        int64_t count;
        if (gather_reply_int(gather_reply(g, i), &count)) sum += (uint64_t)count;
    }
    return sum;
}

static void msetex_across(struct gather *g) {
    struct words words = parse(g->argv, g->argc, g->home->shared.now_ms);
    bool asks = words.if_none || words.if_all;
    if (words.error)
        gather_error(g, words.error);
    else if (asks && g->step == 0)
        send_keys(g, &words, "exists", NULL);
    else if (g->step == asks && !(asks && !is_met(&words, sum_of_replies(g))))
        send_values(g, &words);
    else
        resp_int(gather_out(g), g->step > asks);
}

const struct command msetex_commands[] = {
    {.name = "msetex",
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {{.count_at = 1, .step = 2, .access = KEY_OW | KEY_UPDATE}},
     .where = ACROSS_OWNERS,
     .run = cmd_msetex,
     .across = msetex_across,
     .group = "string",
     .since = "8.4.0",
     .cost = "O(N), N = number of keys",
     .args = "numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | "
             "PXAT unix-time-milliseconds | KEEPTTL]",
     .doc = "Stores several strings with one deadline, perhaps only if none or all of their keys are there."},
    {.name = "sherd.msetex",
     .arity = -4,
     .flags = CMD_WRITE | CMD_INTERNAL,
     .keys = {KEYS_RANGE(2, -1, 2, KEY_OW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_part,
     .group = "string",
     .since = "0.4.0",
     .cost = "O(N), N = number of keys",
     .args = "<KEEP | deadline> key value [key value ...]",
     .doc = "Stores a shard's strings of MSETEX."},
    {0},
};
