/* Sorted sets: what lies between two places. A place is a rank, a score or a member; all of them become ranks first
 * (core/sorted.h), so that every range is "so many elements from here on, this way", and its length is known before the
 * first element is written.
 *
 * ZRANGESTORE over two shards:
 *
 *      source's shard           home                 destination's shard
 *      sherd.zrange        <--- step 0
 *      [body count]        ---> step 1 ----------->  sherd.put, or sherd.drop when there is nothing
 *                               step 2 <-----------  done: replies the count */
#include "core/assert.h"
#include "core/num.h"
#include "shards/admit.h"
#include "shards/answer_work.h"
#include "shards/carry.h"
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_tables.h"
#include "shards/cmd_zset_priv.h"
#include "shards/dump.h"
#include "shards/effect_add.h"
#include "shards/gather.h"
#include "shards/shard.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- places --- */

enum by { BY_RANK, BY_SCORE, BY_MEMBER };
enum infinite { BEFORE_ALL = -1, FINITE, BEHIND_ALL };

struct place {
    enum infinite infinite;
    struct sorted_bound bound;
};

/* As strtod reads it, which takes spaces in front and ends at a zero byte. */
static bool parse_score(struct slice text, double *score) {
    char copy[NUM_FLOAT_TEXT_MAX + 1], *end;
    if (num_parse_double(text, score)) return true;
    if (text.len > NUM_FLOAT_TEXT_MAX) return false;
    slice_copy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    *score = strtod(copy, &end);
    return *end == 0 && !isnan(*score);
}

/* "(" in front excludes. In front of a maximum lies what is equal, unless it is excluded; of a
 * minimum the other way. */
static bool parse_score_place(struct slice text, bool is_max, struct place *place) {
    bool exclusive = text.len > 0 && text.ptr[0] == '(';
    if (exclusive) text = slice_of(text.ptr + 1, text.len - 1);
    *place = (struct place){.bound = {.by = SORTED_BY_SCORE, .inclusive = is_max != exclusive}};
    return parse_score(text, &place->bound.score);
}

static bool parse_member_place(struct slice text, bool is_max, struct place *place) {
    char first = text.len > 0 ? text.ptr[0] : 0;
    *place = (struct place){.bound = {.by = SORTED_BY_MEMBER}};
    if (first == '-' || first == '+') {
        place->infinite = first == '-' ? BEFORE_ALL : BEHIND_ALL;
        return text.len == 1 || text.ptr[1] == 0; /* Redis looks no further than a zero byte */
    }
    if (first != '(' && first != '[') return false;
    place->bound.inclusive = is_max != (first == '(');
    place->bound.member = slice_of(text.ptr + 1, text.len - 1);
    return true;
}

/* False: the error was replied. */
static bool parse_places(struct exec *x, enum by by, uint32_t min_at, uint32_t max_at, struct place places[2]) {
    bool (*parse)(struct slice, bool, struct place *) = by == BY_SCORE ? parse_score_place : parse_member_place;
    if (parse(x->argv[min_at], false, &places[0]) && parse(x->argv[max_at], true, &places[1])) return true;
    reply_error(x, by == BY_SCORE ? "ERR min or max is not a float" : "ERR min or max not valid string range item");
    return false;
}

/* Elements from .. to - 1. */
struct ranks {
    uint64_t from, to;
};

static uint64_t count_before(const struct entry *entry, const struct place *place) {
    if (place->infinite == FINITE) return zset_count_before(entry, &place->bound);
    return place->infinite == BEFORE_ALL ? 0 : zset_len(entry);
}

static struct ranks between(const struct entry *entry, const struct place places[2]) {
    struct ranks ranks = {count_before(entry, &places[0]), count_before(entry, &places[1])};
    if (ranks.to < ranks.from) ranks.to = ranks.from;
    return ranks;
}

/* Negative ones count from the end; both are included. */
static struct ranks of_indices(uint64_t len, int64_t first, int64_t last) {
    int64_t count = (int64_t)len;
    if (first < 0) first = MAX(first + count, 0);
    if (last < 0) last += count;
    last = MIN(last, count - 1);
    if (first > last || first >= count) return (struct ranks){0, 0};
    return (struct ranks){(uint64_t)first, (uint64_t)last + 1};
}

/* --- ranges --- */

struct range {
    enum by by;
    bool backwards, with_scores, is_open; /* is_open: options may say by and backwards */
    int64_t first, last, offset, limit;
    struct place places[2];
};

/* argv[at ..]. False: the error was replied. */
static bool parse_options(struct exec *x, uint32_t at, bool stores, struct range *range) {
    bool by_given = false, way_given = false, open = range->is_open;
    range->limit = -1;
    for (; at < x->argc; at++) {
        if (!stores && arg_is(x, at, "withscores")) {
            range->with_scores = true;
        } else if (at + 2 < x->argc && arg_is(x, at, "limit")) {
            if (!exec_int(x, at + 1, &range->offset) || !exec_int(x, at + 2, &range->limit)) return false;
            at += 2;
        } else if (open && !way_given && arg_is(x, at, "rev")) {
            way_given = range->backwards = true;
        } else if (open && !by_given && (arg_is(x, at, "bylex") || arg_is(x, at, "byscore"))) {
            range->by = arg_is(x, at, "bylex") ? BY_MEMBER : BY_SCORE;
            by_given = true;
        } else {
            reply_syntax_error(x);
            return false;
        }
    }
    const char *error = NULL;
    if (range->limit != -1 && range->by == BY_RANK)
        error = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
    else if (range->with_scores && range->by == BY_MEMBER)
        error = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
    if (error) reply_error(x, error);
    return !error;
}

/* argv[key_at + 1 ..]. False: the error was replied. */
static bool parse_range(struct exec *x, uint32_t key_at, bool stores, struct range *range) {
    uint32_t min = key_at + 1, max = key_at + 2;
    if (!parse_options(x, key_at + 3, stores, range)) return false;
    if (range->by == BY_RANK) return exec_int(x, min, &range->first) && exec_int(x, max, &range->last);
    return parse_places(x, range->by, range->backwards ? max : min, range->backwards ? min : max, range->places);
}

/* The elements of a range, one after the other. */
struct walk {
    struct zset_iter iter;
    uint64_t from; /* the lowest rank */
    uint64_t left;
    bool backwards;
};

static struct walk start(const struct entry *entry, const struct range *range) {
    uint64_t len = zset_len(entry);
    struct ranks ranks;
    if (range->by == BY_RANK) {
        ranks = of_indices(len, range->first, range->last);
        if (range->backwards) ranks = (struct ranks){len - ranks.to, len - ranks.from};
    } else {
        ranks = between(entry, range->places);
        uint64_t count = ranks.to - ranks.from, skip = MIN((uint64_t)range->offset, count); /* negative: all */
        uint64_t take = range->limit < 0 ? count - skip : MIN((uint64_t)range->limit, count - skip);
        ranks.from = range->backwards ? ranks.to - skip - take : ranks.from + skip;
        ranks.to = ranks.from + take;
    }
    return (struct walk){.iter = zset_seek(entry, range->backwards ? ranks.to : ranks.from),
                         .from = ranks.from,
                         .left = ranks.to - ranks.from,
                         .backwards = range->backwards};
}

static bool step(struct walk *walk, struct zset_pair *pair) {
    if (walk->left == 0) return false;
    bool there = zset_step(&walk->iter, walk->backwards, pair);
    ASSERT(there);
    walk->left--;
    return true;
}

static void reply_range(struct exec *x, struct range range) {
    struct key_ref ref;
    struct zset_pair pair;
    if (!parse_range(x, 1, false, &range) || !exec_read(x, 1, TYPE_ZSET, &ref)) return;
    if (!ref.entry) {
        reply_array(x, 0);
        return;
    }
    struct walk walk = start(ref.entry, &range);
    if (answer_waits_for_some(x, ref.entry, walk.left, zset_len(ref.entry))) return;
    zset_reply_head(x, walk.left, range.with_scores, false);
    while (step(&walk, &pair)) zset_reply_pair(x, &pair, range.with_scores, false);
}

static uint64_t range_bytes(const struct exec *x, uint32_t key_at, bool stores, struct range range) {
    const struct entry *entry = answer_peek(x, key_at, TYPE_ZSET);
    struct buf unseen;
    struct exec asked = answer_asked(x, &unseen);
    bool readable = entry && parse_range(&asked, key_at, stores, &range);
    buf_deinit(&unseen);
    return readable ? answer_some_bytes(entry, start(entry, &range).left, zset_len(entry)) : 0;
}

/* A command, and how much it will answer. */
#define RANGE_COMMAND(name, ...)                                                                                       \
    static void cmd_##name(struct exec *x) {                                                                           \
        reply_range(x, (struct range){__VA_ARGS__});                                                                   \
    }                                                                                                                  \
    static uint64_t name##_answers(const struct exec *x) {                                                             \
        return range_bytes(x, 1, false, (struct range){__VA_ARGS__});                                                  \
    }
RANGE_COMMAND(zrange, .is_open = true)
RANGE_COMMAND(zrevrange, .backwards = true)
RANGE_COMMAND(zrangebyscore, .by = BY_SCORE)
RANGE_COMMAND(zrevrangebyscore, .by = BY_SCORE, .backwards = true)
RANGE_COMMAND(zrangebylex, .by = BY_MEMBER)
RANGE_COMMAND(zrevrangebylex, .by = BY_MEMBER, .backwards = true)
#undef RANGE_COMMAND

/* --- ZRANGESTORE --- */

/* Redis stores one element after the other, the first
 * of them compactly (unless it knows from ranks that there are too many), and so minus zero becomes zero in them. */
void zrangestore_add(struct exec *x, struct sorted *set, bool *compact, const struct zset_pair *pair) {
    const struct zset_rule *rule = &x->shared->zset_rule;
    *compact = *compact && sorted_count(set) < rule->entries_max && pair->member.len <= rule->value_max;
    sorted_insert(&x->shared->store, set, pair->member, *compact && pair->score == 0 ? 0 : pair->score);
}

/* The range of argv[key_at] as a set; NULL: the error was replied, or it takes turns. */
static struct sorted *collect(struct exec *x, uint32_t key_at) {
    struct range range = {.is_open = true};
    struct key_ref ref;
    struct zset_pair pair;
    if (!parse_range(x, key_at, true, &range) || !exec_read(x, key_at, TYPE_ZSET, &ref)) return NULL;
    struct sorted *set = sorted_new(&x->shared->store, &x->shared->seed);
    if (!ref.entry) return set;
    struct walk walk = start(ref.entry, &range);
    bool compact = range.by != BY_RANK || walk.left <= x->shared->zset_rule.entries_max;
    if (walk.left > WORK_AT_ONCE && x->slot->row->flags & CMD_INTERNAL) { /* sherd.zrange: these are carried */
        reply_array(x, 3);                                                /* not two, which is a result */
        reply_int(x, (int64_t)walk.from);
        reply_int(x, (int64_t)(walk.from + walk.left));
        reply_int(x, (int64_t)walk.left);
        sorted_delete(&x->shared->store, set);
        return NULL;
    }
    if (walk.left > WORK_AT_ONCE && work_takes_turns(x)) {
        sorted_delete(&x->shared->store, set);
        if (work_begins(x))
            work_begin(x, zrangestore_work_new(x, walk.from, walk.from + walk.left, walk.backwards, compact));
        return NULL;
    }
    sorted_expect(set, walk.left);
    while (step(&walk, &pair)) zrangestore_add(x, set, &compact, &pair);
    return set;
}

static uint64_t zrangestore_grows(const struct exec *x) {
    return x->keys ? range_bytes(x, 2, true, (struct range){.is_open = true}) : 0;
}

static void cmd_zrangestore(struct exec *x) {
    struct sorted *set = collect(x, 2);
    if (set) zset_store(x, 1, set);
}

void zset_reply_result(struct exec *x, struct sorted *set) {
    uint64_t count = sorted_count(set);
    struct entry *entry = zset_new_result(x->shared, SLICE(""), set);
    if (!entry) {
        reply_int(x, 0);
        return;
    }
    reply_array(x, 2);
    size_t mark = x->out->len;
    dump_write_body(x->out, entry, false);
    entry_delete(&x->shared->store, entry);
    char head[RESP_HEADER_MAX];
    buf_insert(x->out, mark, slice_of(head, resp_header(head, '$', (int64_t)(x->out->len - mark))));
    buf_append_literal(x->out, "\r\n");
    reply_int(x, (int64_t)count);
}

static void cmd_internal_range(struct exec *x) {
    struct sorted *set = collect(x, 1);
    if (set) zset_reply_result(x, set);
}

enum { MEMO_COUNT = 11 }; /* words of gather->memo; the others are carry's */

void zset_send_put(struct gather *g, uint32_t at, struct slice body) {
    char event[32];
    int len = snprintf(event, sizeof event, "z%s", command_event(g->slot->row));
    struct slice args[6] = {g->argv[at], body, SLICE("0"), SLICE("0"), SLICE("replace"), slice_of(event, (size_t)len)};
    gather_send(g, gather_owner(g, at), "sherd.put", args, ARRAY_LEN(args));
}

void zset_put_result(struct gather *g, uint32_t at) {
    struct slice reply = gather_reply(g, 0), rest, body;
    int64_t count;
    if (gather_reply_is_error(reply)) {
        g->failed = true;
        buf_append_slice(gather_out(g), reply);
    } else if (gather_reply_int(reply, &count)) {
        gather_send(g, gather_owner(g, at), "sherd.drop", (struct slice[]){g->argv[at], SLICE("gdel")}, 2);
    } else {
        bool readable = gather_reply_array(reply, &rest) == 2 && gather_reply_bulk(gather_next_element(&rest), &body) &&
                        gather_reply_int(gather_next_element(&rest), &count);
        ASSERT(readable); /* one of us wrote it */
        g->memo[MEMO_COUNT] = (uint64_t)count;
        zset_send_put(g, at, body);
    }
}

void zset_end_result(struct gather *g) {
    resp_int(gather_out(g), (int64_t)g->memo[MEMO_COUNT]);
}

/* A long range, piece by piece. rest: what sherd.zrange says of it, ranks [from, to). */
static void range_carries(struct gather *g, struct slice rest) {
    const struct carry carry = {
        .source = 2, .target = 1, .db = g->db, .replace = true, .admits = true, .event = "zzrangestore"};
    int64_t from, to;
    enum carry_state state = CARRY_GOES_ON;
    if (carry_is_on(g))
        state = carry_step(g, &carry);
    else if (gather_reply_int(gather_next_element(&rest), &from) && gather_reply_int(gather_next_element(&rest), &to))
        state = carry_begin_range(g, &carry, (uint64_t)from, (uint64_t)to);
    switch (state) {
    case CARRY_NO_SOURCE:
        gather_send(g, gather_owner(g, 1), "sherd.drop", (struct slice[]){g->argv[1], SLICE("gdel")}, 2);
        return;
    case CARRY_NO_MEMORY: gather_error(g, OOM_ERROR); return;
    case CARRY_DONE: resp_int(gather_out(g), (int64_t)carry_count(g)); return;
    default: return;
    }
}

static void zrangestore_gather(struct gather *g) {
    struct slice rest = {0};
    if (carry_is_on(g) || (g->step == 1 && gather_reply_array(gather_reply(g, 0), &rest) == 3)) {
        range_carries(g, rest);
        return;
    }
    switch (g->step) {
    case 0: gather_send(g, gather_owner(g, 2), "sherd.zrange", g->argv + 2, g->argc - 2); return;
    case 1: zset_put_result(g, 1); return;
    default: zset_end_result(g);
    }
}

/* --- counting and removing --- */

static void count(struct exec *x, enum by by) {
    struct place places[2];
    struct key_ref ref;
    if (!parse_places(x, by, 2, 3, places) || !exec_read(x, 1, TYPE_ZSET, &ref)) return;
    struct ranks ranks = {0, 0};
    if (ref.entry) ranks = between(ref.entry, places);
    reply_int(x, (int64_t)(ranks.to - ranks.from));
}

static void cmd_zcount(struct exec *x) {
    count(x, BY_SCORE);
}
static void cmd_zlexcount(struct exec *x) {
    count(x, BY_MEMBER);
}

/* Between which texts a member lies has an answer only where all scores are equal. Elsewhere what is found depends on
 * how the set has grown, so its effect names ranks. */
static void say_ranks(struct exec *x, struct ranks ranks) {
    char digits[2][NUM_U64_MAX];
    struct slice argv[4] = {SLICE("ZREMRANGEBYRANK"), x->argv[1]};
    argv[2] = slice_of(digits[0], num_format_u64(digits[0], ranks.from));
    argv[3] = slice_of(digits[1], num_format_u64(digits[1], ranks.to - 1));
    effect_add(x, x->db, argv, 4);
}

void zremrange_say(struct exec *x, uint64_t from, uint64_t to, bool by_member) {
    exec_changed(x, x->argv[1], to - from);
    if (by_member) say_ranks(x, (struct ranks){from, to});
}

/* All of a set goes at once. */
static bool takes_turns(struct exec *x, const struct entry *entry, struct ranks ranks) {
    uint64_t count = ranks.to - ranks.from;
    return count > WORK_AT_ONCE && count < zset_len(entry) && work_takes_turns(x);
}

/* What is no range is refused, which is little. */
static bool is_few(const struct exec *x, const struct entry *entry, enum by by) {
    struct place places[2];
    int64_t first, last;
    if (x->argc != 4 || entry->type != TYPE_ZSET) return true;
    if (by == BY_RANK) {
        if (!num_parse_i64(x->argv[2], &first) || !num_parse_i64(x->argv[3], &last)) return true;
        struct ranks ranks = of_indices(zset_len(entry), first, last);
        return ranks.to - ranks.from <= WORK_AT_ONCE;
    }
    bool (*parse)(struct slice, bool, struct place *) = by == BY_SCORE ? parse_score_place : parse_member_place;
    if (!parse(x->argv[2], false, &places[0]) || !parse(x->argv[3], true, &places[1])) return true;
    struct ranks ranks = between(entry, places);
    return ranks.to - ranks.from <= WORK_AT_ONCE;
}

static bool few_by_rank(const struct exec *x, const struct entry *entry) {
    return is_few(x, entry, BY_RANK);
}
static bool few_by_score(const struct exec *x, const struct entry *entry) {
    return is_few(x, entry, BY_SCORE);
}
static bool few_by_member(const struct exec *x, const struct entry *entry) {
    return is_few(x, entry, BY_MEMBER);
}

static void remove_range(struct exec *x, enum by by) {
    struct place places[2];
    struct key_ref ref;
    struct ranks ranks = {0, 0};
    int64_t first = 0, last = 0;
    bool parsed = by == BY_RANK ? exec_int(x, 2, &first) && exec_int(x, 3, &last) : parse_places(x, by, 2, 3, places);
    if (!parsed || !exec_open(x, 1, TYPE_ZSET, &ref)) return;
    if (ref.entry) ranks = by == BY_RANK ? of_indices(zset_len(ref.entry), first, last) : between(ref.entry, places);
    if (ranks.to > ranks.from) {
        if (takes_turns(x, ref.entry, ranks)) {
            if (work_begins(x)) work_begin(x, zremrange_work_new(x, ranks.from, ranks.to, by == BY_MEMBER));
            return;
        }
        zset_remove_ranks(x->keys, &ref, ranks.from, ranks.to);
        zremrange_say(x, ranks.from, ranks.to, by == BY_MEMBER);
        exec_event_taken(x, NOTIFY_ZSET, x->slot->row->name, &ref);
    }
    reply_int(x, (int64_t)(ranks.to - ranks.from));
}

static void cmd_zremrangebyrank(struct exec *x) {
    remove_range(x, BY_RANK);
}
static void cmd_zremrangebyscore(struct exec *x) {
    remove_range(x, BY_SCORE);
}
static void cmd_zremrangebylex(struct exec *x) {
    remove_range(x, BY_MEMBER);
}

const struct command zset_range_commands[] = {
    {.name = "zrange",
     .arity = -4,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zrange,
     .answers = zrange_answers,
     .group = "sorted-set",
     .since = "1.2.0",
     .cost = "O(log(N)+M), M = number of members answered",
     .args = "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
     .doc = "Answers the members between two ranks, scores or texts."},
    {.name = "zrevrange",
     .arity = -4,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zrevrange,
     .answers = zrevrange_answers,
     .group = "sorted-set",
     .since = "1.2.0",
     .cost = "O(log(N)+M), M = number of members answered",
     .args = "key start stop [WITHSCORES]",
     .doc = "Answers the members between two ranks from the end, the largest first."},
    {.name = "zrangebyscore",
     .arity = -4,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zrangebyscore,
     .answers = zrangebyscore_answers,
     .group = "sorted-set",
     .since = "1.0.5",
     .cost = "O(log(N)+M), M = number of members answered",
     .args = "key min max [WITHSCORES] [LIMIT offset count]",
     .doc = "Answers the members between two scores."},
    {.name = "zrevrangebyscore",
     .arity = -4,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zrevrangebyscore,
     .answers = zrevrangebyscore_answers,
     .group = "sorted-set",
     .since = "2.2.0",
     .cost = "O(log(N)+M), M = number of members answered",
     .args = "key max min [WITHSCORES] [LIMIT offset count]",
     .doc = "Answers the members between two scores, the largest first."},
    {.name = "zrangebylex",
     .arity = -4,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zrangebylex,
     .answers = zrangebylex_answers,
     .group = "sorted-set",
     .since = "2.8.9",
     .cost = "O(log(N)+M), M = number of members answered",
     .args = "key min max [LIMIT offset count]",
     .doc = "Answers the members between two texts, of a set whose scores are equal."},
    {.name = "zrevrangebylex",
     .arity = -4,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zrevrangebylex,
     .answers = zrevrangebylex_answers,
     .group = "sorted-set",
     .since = "2.8.9",
     .cost = "O(log(N)+M), M = number of members answered",
     .args = "key max min [LIMIT offset count]",
     .doc = "Answers the members between two texts, the largest first."},
    {.name = "zrangestore",
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE), KEYS_ONE(2, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_zrangestore,
     .grows = zrangestore_grows,
     .takes_turns = true,
     .across = zrangestore_gather,
     .group = "sorted-set",
     .since = "6.2.0",
     .cost = "O(log(N)+M*log(M)), M = number of members stored",
     .args = "destination source min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
     .doc = "Stores the members between two ranks, scores or texts under another key."},
    {.name = "zcount",
     .arity = 4,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zcount,
     .group = "sorted-set",
     .since = "2.0.0",
     .cost = "O(log(N))",
     .args = "key min max",
     .doc = "Answers how many members lie between two scores."},
    {.name = "zlexcount",
     .arity = 4,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_zlexcount,
     .group = "sorted-set",
     .since = "2.8.9",
     .cost = "O(log(N))",
     .args = "key min max",
     .doc = "Answers how many members lie between two texts."},
    {.name = "zremrangebyrank",
     .arity = 4,
     .flags = CMD_WRITE,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_zremrangebyrank,
     .beside_save = BESIDE_ELEMENTS,
     .beside_few = few_by_rank,
     .takes_turns = true,
     .replays = true,
     .group = "sorted-set",
     .since = "2.0.0",
     .cost = "O(M*log(N)), M = number of members taken out",
     .args = "key start stop",
     .doc = "Takes out the members between two ranks."},
    {.name = "zremrangebyscore",
     .arity = 4,
     .flags = CMD_WRITE,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_zremrangebyscore,
     .beside_save = BESIDE_ELEMENTS,
     .beside_few = few_by_score,
     .takes_turns = true,
     .replays = true,
     .group = "sorted-set",
     .since = "1.2.0",
     .cost = "O(M*log(N)), M = number of members taken out",
     .args = "key min max",
     .doc = "Takes out the members between two scores."},
    {.name = "zremrangebylex",
     .arity = 4,
     .flags = CMD_WRITE,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_zremrangebylex,
     .beside_save = BESIDE_ELEMENTS,
     .beside_few = few_by_member,
     .takes_turns = true,
     .group = "sorted-set",
     .since = "2.8.9",
     .cost = "O(M*log(N)), M = number of members taken out",
     .args = "key min max",
     .doc = "Takes out the members between two texts."},
    {.name = "sherd.zrange",
     .arity = -4,
     .flags = CMD_INTERNAL,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_internal_range,
     .group = "sorted-set",
     .since = "0.2.0",
     .cost = "O(log(N)+M), M = number of members answered",
     .args = "source min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
     .doc = "What ZRANGESTORE is to store, as a body and a count."},
    {0},
};
