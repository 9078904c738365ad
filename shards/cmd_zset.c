/* Sorted sets: members and their scores. Where arguments are checked before the key is looked up and where after
 * differs from command to command; clients see it, so the order here is Redis's. */
#include "core/assert.h"
#include "core/glob.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/args_work.h"
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_tables.h"
#include "shards/cmd_zset_priv.h"
#include "shards/effect_add.h"
#include "shards/shard.h"
#include <math.h>
#include <stdlib.h>

#define NOT_A_FLOAT "ERR value is not a valid float"

/* --- shared with the other files --- */

void zset_reply_head(struct exec *x, uint64_t count, bool with_scores, bool nested) {
    reply_array(x, with_scores && !nested && x->resp == 2 ? count * 2 : count);
}

void zset_reply_pair(struct exec *x, const struct zset_pair *pair, bool with_scores, bool nested) {
    if (with_scores && (nested || x->resp > 2)) reply_array(x, 2);
    reply_bulk(x, pair->member);
    if (with_scores) reply_double(x, pair->score);
}

struct entry *zset_new_result(const struct keyspace_shared *shared, struct slice key, struct sorted *set) {
    if (sorted_count(set) == 0) {
        sorted_delete(&shared->store, set);
        return NULL;
    }
    zset_mark(&shared->zset_rule, set);
    return zset_new_entry(&shared->store, key, set, 0);
}

struct entry *zset_store_untold(struct exec *x, uint32_t at, struct sorted *set) {
    struct key_ref ref;
    uint64_t count = sorted_count(set);
    exec_open_any(x, at, &ref);
    bool changes = count > 0 || ref.entry;
    struct entry *entry = zset_new_result(x->shared, x->argv[at], set);
    if (entry) {
        keyspace_put_entry(x->keys, &ref, entry);
    } else if (ref.entry) {
        keyspace_remove(x->keys, &ref);
        effect_del(x, x->db, x->argv[at]);
    }
    if (changes) exec_changed(x, x->argv[at], 1);
    if (count > 0)
        exec_event(x, NOTIFY_ZSET, x->argv[at]);
    else if (changes)
        exec_event_as(x, NOTIFY_GENERIC, "del", x->argv[at]);
    return entry;
}

void zset_store(struct exec *x, uint32_t at, struct sorted *set) {
    uint64_t count = sorted_count(set);
    struct entry *entry = zset_store_untold(x, at, set);
    if (entry) effect_value(x, x->db, entry);
    reply_int(x, (int64_t)count);
}

/* --- ZADD, ZINCRBY --- */

bool zset_add_option(const struct exec *x, uint32_t at, struct zset_add *add) {
    bool nx = arg_is(x, at, "nx"), xx = arg_is(x, at, "xx"), ch = arg_is(x, at, "ch");
    add->nx |= nx;
    add->xx |= xx;
    add->count_changes |= ch;
    return nx || xx || ch;
}

/* Options of ZADD. False: the error was replied. */
static bool parse_add(struct exec *x, struct zset_add *add, uint32_t *first) {
    uint32_t at = 2;
    *add = (struct zset_add){0};
    for (; at < x->argc; at++) {
        if (zset_add_option(x, at, add))
            continue;
        else if (arg_is(x, at, "incr"))
            add->increment = true;
        else if (arg_is(x, at, "gt"))
            add->gt = true;
        else if (arg_is(x, at, "lt"))
            add->lt = true;
        else
            break;
    }
    *first = at; /* score member score member ... */
    const char *error = NULL;
    if (at == x->argc || (x->argc - at) % 2 != 0)
        error = "ERR syntax error";
    else if (add->nx && add->xx)
        error = "ERR XX and NX options at the same time are not compatible";
    else if ((add->gt && add->nx) || (add->lt && add->nx) || (add->gt && add->lt))
        error = "ERR GT, LT, and/or NX options at the same time are not compatible";
    else if (add->increment && x->argc - at > 2)
        error = "ERR INCR option supports a single increment-element pair";
    if (error) reply_error(x, error);
    return !error;
}

enum zset_outcome zset_add_one(struct exec *x, struct key_ref *ref, struct zset_add *add, struct slice member,
                               double *score) {
    double old = 0;
    bool found = ref->entry && zset_score(ref->entry, member, &old);
    if (found ? add->nx : add->xx) return ZSET_NOTHING;
    if (found) {
        if (add->increment) *score += old;
        if (isnan(*score)) return ZSET_NOT_A_NUMBER;
        if ((add->lt && *score >= old) || (add->gt && *score <= old)) return ZSET_NOTHING;
        if (*score == old) return ZSET_SAME;
    }
    zset_put(x->keys, ref, member, *score);
    add->added += !found;
    add->changed += found;
    return found ? ZSET_CHANGED : ZSET_ADDED;
}

void zset_add_end(struct exec *x, const struct zset_add *add) {
    uint64_t both = add->added + add->changed;
    if (both > 0) {
        exec_changed(x, x->argv[1], both);
        exec_event_as(x, NOTIFY_ZSET, "zadd", x->argv[1]);
    }
    reply_int(x, (int64_t)(add->count_changes ? both : add->added));
}

/* ZADD with INCR, and ZINCRBY: replies the new score. */
static void increment(struct exec *x, struct key_ref *ref, struct zset_add *add, struct slice member, double score) {
    enum zset_outcome outcome = zset_add_one(x, ref, add, member, &score);
    if (outcome == ZSET_CHANGED || outcome == ZSET_ADDED) {
        exec_changed(x, x->argv[1], 1);
        exec_event_as(x, NOTIFY_ZSET, "zincr", x->argv[1]);
    }
    if (outcome == ZSET_NOT_A_NUMBER)
        reply_error(x, "ERR resulting score is not a number (NaN)");
    else if (outcome == ZSET_NOTHING)
        reply_null(x);
    else
        reply_double(x, score);
}

#define SCORES_KEPT 16 /* of the first pass; later ones are read again */

static bool parse_scores(struct exec *x, uint32_t first, double kept[SCORES_KEPT]) {
    double score;
    for (uint32_t at = first, i = 0; at < x->argc; at += 2, i++) {
        if (!num_parse_double(x->argv[at], i < SCORES_KEPT ? &kept[i] : &score)) {
            reply_error(x, NOT_A_FLOAT);
            return false;
        }
    }
    return true;
}

static void cmd_zadd(struct exec *x) {
    struct zset_add add;
    struct key_ref ref;
    double kept[SCORES_KEPT];
    uint32_t first;
    if (!parse_add(x, &add, &first) || !parse_scores(x, first, kept) || !exec_open(x, 1, TYPE_ZSET, &ref)) return;
    if (add.increment) {
        increment(x, &ref, &add, x->argv[first + 1], kept[0]);
        return;
    }
    if (args_take_turns(x, (struct args_parts){.first = first, .step = 2, .reply = ARGS_ADD_UP})) return;
    for (uint32_t at = first, i = 0; at < x->argc; at += 2, i++) {
        double score = 0;
        if (i < SCORES_KEPT)
            score = kept[i];
        else if (!num_parse_double(x->argv[at], &score))
            ASSERT(false); /* it was readable in the first pass */
        (void)zset_add_one(x, &ref, &add, x->argv[at + 1], &score);
    }
    zset_add_end(x, &add);
}

static void cmd_zincrby(struct exec *x) {
    struct key_ref ref;
    double score;
    if (!num_parse_double(x->argv[2], &score))
        reply_error(x, NOT_A_FLOAT);
    else if (exec_open(x, 1, TYPE_ZSET, &ref))
        increment(x, &ref, &(struct zset_add){.increment = true}, x->argv[3], score);
}

/* --- reading --- */

static void reply_score(struct exec *x, const struct entry *entry, struct slice member) {
    double score;
    if (entry && zset_score(entry, member, &score))
        reply_double(x, score);
    else
        reply_null(x);
}

static void cmd_zscore(struct exec *x) {
    struct key_ref ref;
    if (exec_read(x, 1, TYPE_ZSET, &ref)) reply_score(x, ref.entry, x->argv[2]);
}

static void cmd_zmscore(struct exec *x) {
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_ZSET, &ref)) return;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_LIST})) return;
    reply_array(x, x->argc - 2);
    for (uint32_t at = 2; at < x->argc; at++) reply_score(x, ref.entry, x->argv[at]);
}

static void cmd_zcard(struct exec *x) {
    struct key_ref ref;
    if (exec_read(x, 1, TYPE_ZSET, &ref)) reply_int(x, ref.entry ? (int64_t)zset_len(ref.entry) : 0);
}

static void rank(struct exec *x, bool from_end) {
    struct key_ref ref;
    uint64_t at;
    if (!exec_read(x, 1, TYPE_ZSET, &ref)) return;
    if (ref.entry && zset_rank(ref.entry, x->argv[2], &at))
        reply_int(x, (int64_t)(from_end ? zset_len(ref.entry) - 1 - at : at));
    else
        reply_null(x);
}

static void cmd_zrank(struct exec *x) {
    rank(x, false);
}
static void cmd_zrevrank(struct exec *x) {
    rank(x, true);
}

static void cmd_zrem(struct exec *x) {
    struct key_ref ref;
    uint64_t gone = 0;
    if (!exec_open(x, 1, TYPE_ZSET, &ref)) return;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_ADD_UP})) return;
    for (uint32_t at = 2; at < x->argc && ref.entry; at++) gone += zset_remove(x->keys, &ref, x->argv[at]);
    if (gone > 0) {
        exec_changed(x, x->argv[1], gone);
        exec_event_taken(x, NOTIFY_ZSET, "zrem", &ref);
    }
    reply_int(x, (int64_t)gone);
}

/* --- ZRANDMEMBER --- */

static void reply_rank(struct exec *x, const struct entry *entry, uint64_t rank_of, bool with_scores) {
    struct zset_pair pair;
    struct zset_iter iter = zset_seek(entry, rank_of);
    bool there = zset_next(&iter, &pair);
    ASSERT(there);
    zset_reply_pair(x, &pair, with_scores, false);
}

static int compare_ranks(const void *a, const void *b) {
    uint64_t left, right;
    memcpy(&left, a, sizeof left);
    memcpy(&right, b, sizeof right);
    return left < right ? -1 : left > right;
}

/* Draws until `count` different ranks are there, in order: at most half of all, so that few draws are in vain. */
static void draw_ranks(struct prng *prng, uint64_t len, uint64_t *ranks, uint64_t count) {
    for (uint64_t have = 0; have < count;) {
        uint64_t kept = 1;
        for (uint64_t i = have; i < count; i++) ranks[i] = prng_below(prng, len);
        qsort(ranks, count, sizeof *ranks, compare_ranks);
        for (uint64_t i = 1; i < count; i++)
            if (ranks[i] != ranks[kept - 1]) ranks[kept++] = ranks[i];
        have = kept;
    }
}

/* Each of `count` different elements. When they are more than half, every element is looked at and taken with the
 * chance that is left for it (Knuth, "The Art of Computer Programming" 2, 3.4.2, algorithm S). */
static void reply_different(struct exec *x, const struct entry *entry, uint64_t count, bool with_scores) {
    uint64_t len = zset_len(entry);
    struct zset_pair pair;
    if (count <= len / 2) {
        uint64_t *ranks = heap_alloc(x->shard->heap, MEM_MESSAGE, count * sizeof *ranks);
        draw_ranks(&x->shard->prng, len, ranks, count);
        for (uint64_t i = 0; i < count; i++) reply_rank(x, entry, ranks[i], with_scores);
        heap_free(x->shard->heap, MEM_MESSAGE, ranks, count * sizeof *ranks);
        return;
    }
    struct zset_iter iter = zset_seek(entry, 0);
    for (uint64_t left = len; count > 0 && zset_next(&iter, &pair); left--) {
        if (prng_below(&x->shard->prng, left) >= count) continue;
        zset_reply_pair(x, &pair, with_scores, false);
        count--;
    }
}

static void random_members(struct exec *x, int64_t count, bool with_scores) {
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_ZSET, &ref)) return;
    if (!ref.entry || count == 0) {
        reply_array(x, 0);
        return;
    }
    uint64_t len = zset_len(ref.entry), many = count < 0 ? (uint64_t)-count : MIN((uint64_t)count, len);
    if (count < 0 && many > ANSWER_DRAWN_MAX) {
        reply_error(x, "ERR value is out of range");
        return;
    }
    if (answer_waits_for_some(x, ref.entry, many, len)) return;
    zset_reply_head(x, many, with_scores, false);
    if (count > 0) {
        reply_different(x, ref.entry, many, with_scores);
        return;
    }
    for (; many > 0; many--) reply_rank(x, ref.entry, prng_below(&x->shard->prng, len), with_scores);
}

static uint64_t drawn_answers(const struct exec *x) {
    return answer_drawn_bytes(x, TYPE_ZSET, zset_len);
}

static void cmd_zrandmember(struct exec *x) {
    struct key_ref ref;
    int64_t count;
    if (x->argc == 2) {
        if (!exec_read(x, 1, TYPE_ZSET, &ref)) return;
        if (ref.entry)
            reply_rank(x, ref.entry, prng_below(&x->shard->prng, zset_len(ref.entry)), false);
        else
            reply_null(x);
        return;
    }
    if (!exec_int(x, 2, &count)) return;
    if (count == INT64_MIN) {
        reply_error(x, "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
        return;
    }
    bool with_scores = x->argc == 4 && arg_is(x, 3, "withscores");
    if (x->argc > 4 || (x->argc == 4 && !with_scores))
        reply_syntax_error(x);
    else if (with_scores && (count < -INT64_MAX / 2 || count > INT64_MAX / 2))
        reply_error(x, "ERR value is out of range");
    else
        random_members(x, count, with_scores);
}

/* --- ZSCAN --- */

struct scan {
    struct exec *x;
    struct scan_options options;
    bool compact; /* scores are shown as Redis has them in a listpack */
    uint64_t visited, found;
};

static void scan_visit(void *ctx, struct slice member, double score) {
    struct scan *scan = ctx;
    char digits[NUM_DOUBLE_MAX], number[PACKED_SCRATCH];
    scan->visited++;
    if (!scan->options.all && !glob_match(scan->options.pattern, member, false)) return;
    scan->found++;
    reply_bulk(scan->x, member);
    struct packed_value compact = zset_compact_score(score, digits);
    struct slice text = packed_text(&compact, number);
    if (!scan->compact) text = slice_of(digits, num_format_double(digits, score));
    reply_bulk(scan->x, text);
}

static void cmd_zscan(struct exec *x) {
    uint64_t cursor;
    struct key_ref ref;
    struct scan scan = {.x = x};
    if (!num_parse_u64(x->argv[2], &cursor)) {
        reply_error(x, "ERR invalid cursor");
        return;
    }
    if (!exec_read(x, 1, TYPE_ZSET, &ref)) return;
    size_t mark = x->out->len;
    if (!ref.entry) {
        scan_reply_head(x, mark, 0, 0); /* whatever the options are */
        return;
    }
    if (!scan_parse(x, 3, &scan.options)) return;
    scan.compact = zset_is_compact(ref.entry);
    cursor &= (1ull << HT_CURSOR_BITS) - 1;
    /* A step passes over up to 64 empty buckets, so an almost empty table is bounded by the steps. */
    uint64_t max = MIN((uint64_t)scan.options.count, SCAN_VISIT_MAX), steps = 0;
    do cursor = zset_scan(ref.entry, cursor, scan_visit, &scan);
    while (cursor && scan.visited < max && ++steps < max);
    scan_reply_head(x, mark, cursor, scan.found * 2);
}

const struct command zset_commands[] = {
    {.name = "zadd",
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_zadd,
     .takes_turns = true,
     .replays = true,
     .beside_save = BESIDE_ELEMENTS,
     .group = "sorted-set",
     .since = "1.2.0",
     .cost = "O(log(N)) for each member",
     .args = "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
     .doc = "Adds members with their scores, or gives them new ones."},
    {.name = "zincrby",
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_zincrby,
     .replays = true,
     .beside_save = BESIDE_ELEMENTS,
     .group = "sorted-set",
     .since = "1.2.0",
     .cost = "O(log(N))",
     .args = "key increment member",
     .doc = "Adds to the score of a member, which is created if need be."},
    {.name = "zrem",
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_zrem,
     .takes_turns = true,
     .replays = true,
     .beside_save = BESIDE_ELEMENTS,
     .group = "sorted-set",
     .since = "1.2.0",
     .cost = "O(M*log(N)), M = number of members taken out",
     .args = "key member [member ...]",
     .doc = "Takes out members and answers how many were there."},
    {.name = "zscore",
     .arity = 3,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zscore,
     .group = "sorted-set",
     .since = "1.2.0",
     .cost = "O(1)",
     .args = "key member",
     .doc = "Answers the score of a member."},
    {.name = "zmscore",
     .arity = -3,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zmscore,
     .takes_turns = true,
     .group = "sorted-set",
     .since = "6.2.0",
     .cost = "O(N), N = number of members asked for",
     .args = "key member [member ...]",
     .doc = "Answers the scores of several members."},
    {.name = "zcard",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_zcard,
     .group = "sorted-set",
     .since = "1.2.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Answers how many members there are."},
    {.name = "zrank",
     .arity = 3,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zrank,
     .group = "sorted-set",
     .since = "2.0.0",
     .cost = "O(log(N))",
     .args = "key member",
     .doc = "Answers how many members stand before this one."},
    {.name = "zrevrank",
     .arity = 3,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zrevrank,
     .group = "sorted-set",
     .since = "2.0.0",
     .cost = "O(log(N))",
     .args = "key member",
     .doc = "Answers how many members stand behind this one."},
    {.name = "zrandmember",
     .arity = -2,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zrandmember,
     .answers = drawn_answers,
     .group = "sorted-set",
     .since = "6.2.0",
     .cost = "O(M*log(N)), M = number of members answered",
     .args = "key [count [WITHSCORES]]",
     .tips = "nondeterministic_output",
     .doc = "Answers members at random: different ones, or with repetitions (negative count)."},
    {.name = "zscan",
     .arity = -3,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zscan,
     .group = "sorted-set",
     .since = "2.8.0",
     .cost = "O(1) for each call, O(N) for a whole scan",
     .args = "key cursor [MATCH pattern] [COUNT count]",
     .tips = "nondeterministic_output",
     .doc = "Goes on walking over members and scores, some at a time."},
    {0},
};
