/* Sorted sets: taking elements from an end: ZPOPMIN, ZPOPMAX, ZMPOP, and BZPOPMIN, BZPOPMAX, BZMPOP, which wait until
 * there is something (shards/waiters.h). With keys on several shards ZMPOP asks for one after the other, and so do
 * those that wait; the steps are those of the list commands (shards/cmd_blocking_priv.h). */
#include "core/assert.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/cmd_blocking_priv.h"
#include "shards/cmd_tables.h"
#include "shards/cmd_zset_priv.h"
#include "shards/effect_add.h"
#include "shards/pop_work.h"
#include "shards/shard.h"
#include "shards/work.h"

#define PIECE (WORK_SLICE / 4) /* a tree and a table change for each, and it is replied */

enum end { MIN_END, MAX_END };

/* They are replied behind what was written. */
static void take(struct exec *x, struct key_ref *ref, const struct pop *pop, uint64_t count) {
    struct zset_pair pair;
    uint64_t len = zset_len(ref->entry), from = pop->end == MIN_END ? 0 : len - count;
    struct zset_iter iter = zset_seek(ref->entry, pop->end == MIN_END ? 0 : len);
    for (uint64_t left = count; left > 0 && zset_step(&iter, pop->end == MAX_END, &pair); left--) {
        if (pop->words == 1) reply_array(x, 2);
        reply_bulk(x, pair.member);
        reply_double(x, pair.score);
    }
    zset_remove_ranks(x->keys, ref, from, from + count);
}

static void say(struct exec *x, const struct key_ref *ref, const struct pop *pop) {
    exec_changed(x, ref->key, pop->count);
    effect_pop(x, pop->end == MIN_END ? "ZPOPMIN" : "ZPOPMAX", ref->key, pop->count);
}

static void finish(struct exec *x, struct key_ref *ref, const struct pop *pop) {
    exec_event_taken(x, NOTIFY_ZSET, pop->end == MIN_END ? "zpopmin" : "zpopmax", ref);
}

static const struct pop_kind kind = {PIECE, take, say, finish};

/* --- from one --- */

static void pop(struct exec *x, enum end end) {
    int64_t count = 1;
    struct key_ref ref;
    if (x->argc > 3) {
        reply_syntax_error(x);
        return;
    }
    bool counted = x->argc == 3;
    if (counted && !exec_int_range(x, 2, 0, INT64_MAX, &count, "ERR value is out of range, must be positive")) return;
    if (!exec_open(x, 1, TYPE_ZSET, &ref)) return;
    if (!ref.entry || count == 0) {
        reply_array(x, 0);
        return;
    }
    struct pop pop = {.kind = &kind,
                      .count = MIN((uint64_t)count, zset_len(ref.entry)),
                      .key_at = 1,
                      .end = (uint8_t)end,
                      .words = counted && x->resp > 2 ? 1 : 2}; /* an element is a pair, or two words */
    pop_elements(x, &ref, &pop);
}

static uint64_t pop_answers(const struct exec *x) {
    return answer_drawn_bytes(x, TYPE_ZSET, zset_len);
}

static void cmd_zpopmin(struct exec *x) {
    pop(x, MIN_END);
}
static void cmd_zpopmax(struct exec *x) {
    pop(x, MAX_END);
}

/* --- some from the first of several --- */

struct pop_many {
    uint32_t first, keys; /* argv[first .. first + keys) */
    enum end end;
    uint64_t count;
};

/* numkeys key ... MIN|MAX [COUNT count], from argv[at] on. False: the error was replied. */
static bool parse_pop_many(struct exec *x, uint32_t at, struct pop_many *pop_many) {
    int64_t keys, count = 1;
    if (!exec_int_range(x, at, 1, INT64_MAX, &keys, "ERR numkeys should be greater than 0")) return false;
    if (keys >= (int64_t)(x->argc - at - 1)) { /* no room for MIN or MAX */
        reply_syntax_error(x);
        return false;
    }
    pop_many->first = at + 1;
    pop_many->keys = (uint32_t)keys;
    at += 1 + pop_many->keys;
    pop_many->end = arg_is(x, at, "min") ? MIN_END : MAX_END;
    bool sound = pop_many->end == MIN_END || arg_is(x, at, "max");
    at++;
    for (bool seen = false; sound && at < x->argc; at += 2, seen = true) {
        sound = !seen && at + 1 < x->argc && arg_is(x, at, "count");
        if (!sound) break;
        if (!exec_int_range(x, at + 1, 1, INT64_MAX, &count, "ERR count should be greater than 0")) return false;
    }
    if (!sound) reply_syntax_error(x);
    pop_many->count = (uint64_t)count;
    return sound;
}

/* False, and no reply, when there is nothing. It may take turns, and then there is no reply either. */
static bool try_pop_many(struct exec *x, const struct pop_many *pop_many) {
    struct key_ref ref;
    for (uint32_t at = pop_many->first; at < pop_many->first + pop_many->keys; at++) {
        if (!exec_open(x, at, TYPE_ZSET, &ref)) return true;
        if (!ref.entry) continue;
        struct pop pop = {.kind = &kind,
                          .count = MIN(pop_many->count, zset_len(ref.entry)),
                          .key_at = at,
                          .end = (uint8_t)pop_many->end,
                          .words = 1,
                          .named = true};
        pop_elements(x, &ref, &pop);
        return true;
    }
    return false;
}

static void cmd_zmpop(struct exec *x) {
    struct pop_many pop_many;
    if (parse_pop_many(x, 1, &pop_many) && !try_pop_many(x, &pop_many)) reply_null_array(x);
}

/* --- waiting --- */

static bool try_pop(struct exec *x, enum end end) {
    struct key_ref ref;
    for (uint32_t at = 1; at + 1 < x->argc; at++) {
        if (!exec_open(x, at, TYPE_ZSET, &ref)) return true;
        if (!ref.entry) continue;
        struct pop one = {.kind = &kind, .count = 1, .key_at = at, .end = (uint8_t)end, .words = 2};
        reply_array(x, 3);
        reply_bulk(x, x->argv[at]);
        take(x, &ref, &one, 1);
        finish(x, &ref, &one);
        say(x, &ref, &one);
        return true;
    }
    return false;
}

static void pop_or_wait(struct exec *x, enum end end) {
    uint64_t ms;
    if (!exec_timeout(x, x->argc - 1, &ms) || try_pop(x, end) || exec_block(x, ms)) return;
    reply_null_array(x);
}

static void cmd_bzpopmin(struct exec *x) {
    pop_or_wait(x, MIN_END);
}
static void cmd_bzpopmax(struct exec *x) {
    pop_or_wait(x, MAX_END);
}

static void cmd_bzmpop(struct exec *x) {
    uint64_t ms;
    struct pop_many pop_many;
    if (!parse_pop_many(x, 2, &pop_many) || !exec_timeout(x, 1, &ms)) return;
    if (try_pop_many(x, &pop_many) || exec_block(x, ms)) return;
    reply_null_array(x);
}

const struct command zset_pop_commands[] = {
    {.name = "zpopmin",
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_zpopmin,
     .answers = pop_answers,
     .takes_turns = true,
     .beside_save = BESIDE_COUNT,
     .group = "sorted-set",
     .since = "5.0.0",
     .cost = "O(M*log(N)), M = number of members taken out",
     .args = "key [count]",
     .doc = "Takes out and answers the member with the lowest score, or several."},
    {.name = "zpopmax",
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_zpopmax,
     .answers = pop_answers,
     .takes_turns = true,
     .beside_save = BESIDE_COUNT,
     .group = "sorted-set",
     .since = "5.0.0",
     .cost = "O(M*log(N)), M = number of members taken out",
     .args = "key [count]",
     .doc = "Takes out and answers the member with the highest score, or several."},
    {.name = "zmpop",
     .arity = -4,
     .flags = CMD_WRITE,
     .acl = ACL_SORTEDSET,
     .keys = {{.count_at = 1, .access = KEY_RW | KEY_ACCESS | KEY_DELETE}},
     .where = ACROSS_OWNERS,
     .run = cmd_zmpop,
     .takes_turns = true,
     .across = mpop_gather,
     .group = "sorted-set",
     .since = "7.0.0",
     .cost = "O(K)+O(M*log(N)), M = number of members taken out",
     .args = "numkeys key [key ...] <MIN | MAX> [COUNT count]",
     .doc = "Takes members from the first of several sets that is not empty."},
    {.name = "bzpopmin",
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST | CMD_NOSCRIPT | CMD_BLOCKING,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_RANGE(1, -2, 1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .where = ACROSS_OWNERS,
     .run = cmd_bzpopmin,
     .across = bpop_gather,
     .waits_for = TYPE_ZSET,
     .beside_save = BESIDE_ELEMENTS,
     .group = "sorted-set",
     .since = "5.0.0",
     .cost = "O(log(N))",
     .args = "key [key ...] timeout",
     .doc = "Takes the lowest member of the first set that has one; waits until there is one."},
    {.name = "bzpopmax",
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST | CMD_NOSCRIPT | CMD_BLOCKING,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_RANGE(1, -2, 1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .where = ACROSS_OWNERS,
     .run = cmd_bzpopmax,
     .across = bpop_gather,
     .waits_for = TYPE_ZSET,
     .beside_save = BESIDE_ELEMENTS,
     .group = "sorted-set",
     .since = "5.0.0",
     .cost = "O(log(N))",
     .args = "key [key ...] timeout",
     .doc = "Takes the highest member of the first set that has one; waits until there is one."},
    {.name = "bzmpop",
     .arity = -5,
     .flags = CMD_WRITE | CMD_BLOCKING,
     .acl = ACL_SORTEDSET,
     .keys = {{.count_at = 2, .access = KEY_RW | KEY_ACCESS | KEY_DELETE}},
     .where = ACROSS_OWNERS,
     .run = cmd_bzmpop,
     .takes_turns = true,
     .across = bmpop_gather,
     .waits_for = TYPE_ZSET,
     .group = "sorted-set",
     .since = "7.0.0",
     .cost = "O(K)+O(M*log(N)), M = number of members taken out",
     .args = "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]",
     .doc = "Takes members from the first of several sets that is not empty; waits until one is not."},
    {0},
};
