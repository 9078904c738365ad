/* Sorted sets: union, intersection and difference of several, answered, counted or stored.
 *
 * Sources are read in Redis's order, the shortest first but for differences, because sums of doubles depend on it. A
 * score that becomes NaN (inf - inf, 0 * inf) is 0.
 *
 * Over several shards the sources are fetched to the client's home, up to four at a time, as what RENAME carries
 * (sherd.fetch); the rest is the same there as on one shard, and the result goes to its owner:
 *
 *      owners of sources        home                     destination's shard
 *      sherd.fetch key ... <--- steps 0 ..
 *      [body ...]          ---> join; when it stores --> sherd.put, or sherd.drop when there is nothing
 *                               its reply           <--- done
 *
 * Large ones are not fetched, but joined in many steps (shards/wide_join.h). */
#include "core/assert.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/carry.h"
#include "shards/cmd_tables.h"
#include "shards/cmd_zset_join_priv.h"
#include "shards/cmd_zset_priv.h"
#include "shards/dump.h"
#include "shards/gather.h"
#include "shards/set.h"
#include "shards/shard.h"
#include "shards/wide_join.h"
#include "shards/work.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WRONG_TYPE "WRONGTYPE Operation against a key holding the wrong kind of value"

/* --- what a source may be: a sorted set, or a set, whose members all have the score 1 --- */

bool join_is_source(const struct entry *entry) {
    return entry->type == TYPE_ZSET || entry->type == TYPE_SET;
}

static uint64_t source_len(const struct entry *entry) {
    if (!entry) return 0;
    return entry->type == TYPE_SET ? set_count(entry) : zset_len(entry);
}

static bool source_score(const struct source *source, struct slice member, double *score) {
    if (!source->entry) return false;
    if (source->entry->type == TYPE_ZSET) return zset_score(source->entry, member, score);
    *score = 1;
    return set_has(source->entry, member);
}

/* Calls visit with every member until it answers false. */
typedef bool (*source_visit)(void *ctx, struct slice member, double score);
struct set_walk {
    source_visit visit;
    void *ctx;
};

static bool visit_member(void *ctx, struct slice member) {
    const struct set_walk *walk = ctx;
    return walk->visit(walk->ctx, member, 1);
}

static void join_source_each(const struct source *source, source_visit visit, void *ctx) {
    struct zset_pair pair;
    if (!source->entry) return;
    if (source->entry->type == TYPE_SET) {
        set_each(source->entry, visit_member, &(struct set_walk){visit, ctx});
        return;
    }
    struct zset_iter iter = zset_seek(source->entry, 0);
    while (zset_next(&iter, &pair) && visit(ctx, pair.member, pair.score)) continue;
}

/* --- arguments --- */

/* numkeys and the keys. False: join->error says why. */
static bool parse_keys(struct join *join, const char *name, const struct slice *argv, uint32_t argc) {
    uint32_t at = join->form == JOIN_STORES ? 2 : 1;
    int64_t keys;
    if (!num_parse_i64(argv[at], &keys)) {
        join->error = "ERR value is not an integer or out of range";
    } else if (keys < 1) {
        snprintf(join->text, sizeof join->text, "ERR at least 1 input key is needed for '%s' command", name);
        join->error = join->text;
    } else if (keys > (int64_t)(argc - at - 1)) {
        join->error = "ERR syntax error";
    } else {
        join->first = at + 1;
        join->keys = (uint32_t)keys;
    }
    return !join->error;
}

static const char *parse_weights(const struct join *join, const struct slice *argv, uint32_t at) {
    double weight;
    for (uint32_t i = 0; i < join->keys; i++)
        if (!num_parse_double(argv[at + i], &weight)) return "ERR weight value is not a float";
    return NULL;
}

static const char *parse_aggregate(struct join *join, struct slice word) {
    if (!slice_is(word, "sum") && !slice_is(word, "min") && !slice_is(word, "max")) return "ERR syntax error";
    join->aggregate = slice_is(word, "sum") ? ZSET_SUM : slice_is(word, "min") ? ZSET_MIN : ZSET_MAX;
    return NULL;
}

static const char *parse_limit(struct join *join, struct slice word) {
    int64_t limit;
    if (!num_parse_i64(word, &limit) || limit < 0) return "ERR LIMIT can't be negative";
    join->limit = (uint64_t)limit;
    return NULL;
}

/* What stands behind the keys. False: join->error says why. */
static bool parse_options(struct join *join, const struct slice *argv, uint32_t argc) {
    bool weighs = join->operation != JOIN_DIFF && join->form != JOIN_COUNTS;
    for (uint32_t at = join->first + join->keys; at < argc && !join->error; at++) {
        uint32_t behind = argc - at - 1;
        if (weighs && behind >= join->keys && slice_is(argv[at], "weights")) {
            join->error = parse_weights(join, argv, at + 1);
            join->weights_at = at + 1;
            at += join->keys;
        } else if (weighs && behind >= 1 && slice_is(argv[at], "aggregate")) {
            join->error = parse_aggregate(join, argv[++at]);
        } else if (join->form == JOIN_ANSWERS && slice_is(argv[at], "withscores")) {
            join->with_scores = true;
        } else if (join->form == JOIN_COUNTS && behind >= 1 && slice_is(argv[at], "limit")) {
            join->error = parse_limit(join, argv[++at]);
        } else {
            join->error = "ERR syntax error";
        }
    }
    return !join->error;
}

/* --- joining --- */

static double weighed(const struct source *source, double score) {
    return source->weight * score;
}

bool join_unite_member(void *ctx, struct slice member, double score) {
    const struct joining *joining = ctx;
    struct sorted *set = joining->set;
    struct sorted_element *element = sorted_find(set, member);
    score = zset_score_or_0(weighed(joining->source, score));
    if (element)
        sorted_move(joining->store, set, element, zset_aggregate(joining->join->aggregate, element->score, score));
    else
        sorted_insert(joining->store, set, member, score);
    return true;
}

static void unite(struct joining *joining) {
    for (uint32_t i = 0; i < joining->join->keys; i++) {
        joining->source = &joining->sources[i];
        join_source_each(joining->source, join_unite_member, joining);
    }
}

/* Is this member of the first source in the result? Its score there. */
static bool is_in_all(const struct join *join, const struct source *sources, struct slice member, double *score) {
    double other;
    *score = zset_score_or_0(weighed(&sources[0], *score));
    for (uint32_t i = 1; i < join->keys; i++) {
        if (!source_score(&sources[i], member, &other)) return false;
        *score = zset_aggregate(join->aggregate, *score, weighed(&sources[i], other));
    }
    return true;
}

static bool is_in_no_other(const struct join *join, const struct source *sources, struct slice member) {
    double other;
    for (uint32_t i = 1; i < join->keys; i++)
        if (source_score(&sources[i], member, &other)) return false;
    return true;
}

bool join_select_member(void *ctx, struct slice member, double score) {
    struct joining *joining = ctx;
    const struct join *join = joining->join;
    bool in = join->operation == JOIN_INTER ? is_in_all(join, joining->sources, member, &score)
                                            : is_in_no_other(join, joining->sources, member);
    if (!in) return true;
    if (joining->set) sorted_insert(joining->store, joining->set, member, score);
    return ++joining->count != join->limit;
}

/* How many members the result of an intersection has. */
static uint64_t count_of(const struct join *join, const struct source *sources) {
    struct joining joining = {.join = join, .sources = sources};
    join_source_each(&sources[0], join_select_member, &joining);
    return joining.count;
}

static int compare_sources(const void *a, const void *b) {
    const struct source *left = a, *right = b;
    if (left->len != right->len) return left->len < right->len ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

void join_prepare(const struct join *join, const struct slice *argv, struct source *sources) {
    for (uint32_t i = 0; i < join->keys; i++) {
        struct source *source = &sources[i];
        source->place = i;
        source->len = source_len(source->entry);
        source->weight = 1;
        if (join->weights_at && !num_parse_double(argv[join->weights_at + i], &source->weight))
            ASSERT(false); /* parse_weights has read it */
    }
    if (join->operation != JOIN_DIFF) qsort(sources, join->keys, sizeof *sources, compare_sources);
}

static struct sorted *result_of(const struct keyspace_shared *shared, const struct join *join,
                                const struct source *sources) {
    struct joining joining = {
        .store = &shared->store, .join = join, .sources = sources, .set = sorted_new(&shared->store, &shared->seed)};
    if (join->operation == JOIN_UNION)
        unite(&joining);
    else
        join_source_each(&sources[0], join_select_member, &joining);
    return joining.set;
}

uint64_t join_reply_some(struct buf *out, int resp, const struct join *join, const struct sorted *set, uint64_t from,
                         uint64_t max) {
    struct sorted_iter iter = sorted_seek(set, from);
    if (from == 0) resp_array(out, sorted_count(set) * (join->with_scores && resp == 2 ? 2 : 1));
    const struct sorted_element *element;
    for (; max > 0 && (element = sorted_next(&iter)); max--, from++) {
        if (join->with_scores && resp > 2) resp_array(out, 2);
        resp_bulk(out, sorted_member(element));
        if (join->with_scores) resp_double(out, resp, element->score);
    }
    return from;
}

static void reply_result(struct buf *out, int resp, const struct join *join, const struct sorted *set) {
    (void)join_reply_some(out, resp, join, set, 0, UINT64_MAX);
}

/* --- on one shard --- */

/* It is so much that it takes turns, if it may: then the handler is through. */
static bool takes_turns(struct exec *x, const struct join *join, const struct source *sources) {
    uint64_t total = 0, present = 0;
    for (uint32_t i = 0; i < join->keys; i++) {
        total += sources[i].len;
        present += sources[i].entry != NULL;
    }
    if (LIKELY(total <= WORK_AT_ONCE) || !work_takes_turns(x)) return false;
    if (work_begins(x)) work_begin(x, join_work_new(x, join, present));
    return true;
}

static void join_here(struct exec *x, struct join *join, struct source *sources) {
    struct key_ref ref;
    for (uint32_t i = 0; i < join->keys; i++) { /* entries stay where they are when another one expires */
        sources[i].entry = exec_read_any(x, join->first + i, &ref);
        if (sources[i].entry && !join_is_source(sources[i].entry)) {
            reply_wrong_type(x);
            return;
        }
    }
    if (!parse_options(join, x->argv, x->argc)) {
        reply_error(x, join->error);
        return;
    }
    join_prepare(join, x->argv, sources);
    if (takes_turns(x, join, sources)) return;
    if (join->form == JOIN_COUNTS) {
        reply_int(x, (int64_t)count_of(join, sources));
        return;
    }
    struct sorted *set = result_of(x->shared, join, sources);
    if (join->form == JOIN_STORES) {
        zset_store(x, 1, set);
        return;
    }
    reply_result(x->out, x->resp, join, set);
    sorted_delete(&x->shared->store, set);
}

static void run_join(struct exec *x, enum join_operation operation, enum join_form form) {
    struct join join = {.operation = operation, .form = form};
    if (!parse_keys(&join, x->slot->row->name, x->argv, x->argc)) {
        reply_error(x, join.error);
        return;
    }
    size_t bytes = join.keys * sizeof(struct source);
    struct source *sources = heap_alloc_zero(x->shard->heap, MEM_MESSAGE, bytes);
    join_here(x, &join, sources);
    heap_free(x->shard->heap, MEM_MESSAGE, sources, bytes);
}

/* How many it will answer, or store; 0 where the keys are not known. */
static uint64_t join_bytes(const struct exec *x, enum join_operation operation, enum join_form form) {
    struct join join = {.operation = operation, .form = form};
    bool answers = form == JOIN_ANSWERS;
    if ((!answers && !x->keys) || !parse_keys(&join, x->slot->row->name, x->argv, x->argc)) return 0;
    return answer_join_bytes(x, operation, join.first, join.keys) * (answers ? ANSWER_COPIES : 1);
}

/* --- over several shards --- */

#define FETCH_MAX    4u                 /* parts of a step */
#define JOIN_AT_ONCE (4 * WORK_AT_ONCE) /* elements of all sources: beyond that it is done in steps that are short */

enum { MEMO_FETCHED, MEMO_ASKED, MEMO_COUNT, MEMO_STORED }; /* words of gather->memo */

/* Copies of the sources, as entries of home's; of large ones, that they are there. */
struct fetched {
    uint32_t keys;
    bool large, wrong_type; /* some is */
    uint64_t total;         /* elements of the others */
    struct source sources[];
};

static void forget_fetched(struct gather *g) {
    struct fetched *fetched = (struct fetched *)(uintptr_t)g->memo[MEMO_FETCHED];
    for (uint32_t i = 0; i < fetched->keys; i++) {
        struct entry *entry = (struct entry *)(uintptr_t)fetched->sources[i].entry;
        if (entry) entry_delete(&g->home->shared.store, entry);
    }
    heap_free(g->home->heap, MEM_MESSAGE, fetched, sizeof *fetched + fetched->keys * sizeof *fetched->sources);
}

static struct fetched *fetched_of(struct gather *g, const struct join *join) {
    if (g->step == 0) {
        size_t bytes = sizeof(struct fetched) + join->keys * sizeof(struct source);
        struct fetched *fetched = heap_alloc_zero(g->home->heap, MEM_MESSAGE, bytes);
        fetched->keys = join->keys;
        g->memo[MEMO_FETCHED] = (uint64_t)(uintptr_t)fetched;
        g->end = forget_fetched;
    }
    return (struct fetched *)(uintptr_t)g->memo[MEMO_FETCHED];
}

/* What sherd.fetch answered, as an entry; NULL when there is no such key. */
static struct entry *entry_of_reply(struct gather *g, struct slice reply) {
    struct slice rest, body;
    const struct keyspace_shared *shared = &g->home->shared;
    if (gather_reply_array(reply, &rest) != 3) return NULL;
    bool readable = gather_reply_bulk(gather_next_element(&rest), &body);
    struct buf scratch;
    buf_init(&scratch, g->home->heap, MEM_MESSAGE);
    struct dump_target target = {.store = &shared->store,
                                 .list_rule = &shared->list_rule,
                                 .set_rule = &shared->set_rule,
                                 .hash_rule = &shared->hash_rule,
                                 .zset_rule = &shared->zset_rule,
                                 .seed = &shared->seed,
                                 .scratch = &scratch,
                                 .key = SLICE(""),
                                 .as_it_was = true};
    struct entry *entry = readable ? dump_read_entry(&body, &target) : NULL;
    ASSERT(entry); /* one of us wrote it */
    buf_deinit(&scratch);
    return entry;
}

static struct entry *note_source(struct fetched *fetched, struct entry *entry) {
    if (!entry) return NULL;
    if (join_is_source(entry))
        fetched->total += source_len(entry);
    else
        fetched->wrong_type = true;
    return entry;
}

/* [length, type ...] */
static void note_large(struct fetched *fetched, struct slice reply) {
    struct slice rest;
    int64_t type;
    (void)gather_reply_array(reply, &rest);
    (void)gather_next_element(&rest);
    bool is_int = gather_reply_int(gather_next_element(&rest), &type);
    ASSERT(is_int);
    fetched->large = true;
    fetched->wrong_type |= type != TYPE_SET && type != TYPE_ZSET;
}

/* Takes what came and asks for more; true when all is there. */
static bool fetch(struct gather *g, const struct join *join, struct fetched *fetched) {
    uint64_t asked = g->memo[MEMO_ASKED], before = asked - (g->step > 0 ? g->parts : 0);
    for (; before < asked; before++) {
        struct slice reply = gather_reply(g, (uint32_t)(before + g->parts - asked));
        if (carry_is_head(reply))
            note_large(fetched, reply);
        else
            fetched->sources[before].entry = note_source(fetched, entry_of_reply(g, reply));
    }
    for (unsigned i = 0; i < FETCH_MAX && asked < join->keys; i++, asked++) {
        uint32_t at = join->first + (uint32_t)asked;
        gather_send(g, gather_owner(g, at), "sherd.fetch", (struct slice[]){g->argv[at], SLICE("read")}, 2);
    }
    bool all = asked == g->memo[MEMO_ASKED];
    g->memo[MEMO_ASKED] = asked;
    return all;
}

/* The result goes to its owner. */
static void store_across(struct gather *g, struct sorted *set) {
    g->memo[MEMO_COUNT] = sorted_count(set);
    g->memo[MEMO_STORED] = 1;
    struct entry *entry = zset_new_result(&g->home->shared, SLICE(""), set);
    if (!entry) {
        gather_send(g, gather_owner(g, 1), "sherd.drop", (struct slice[]){g->argv[1], SLICE("gdel")}, 2);
        return;
    }
    struct buf body;
    buf_init(&body, g->home->heap, MEM_MESSAGE);
    dump_write_body(&body, entry, false);
    entry_delete(&g->home->shared.store, entry);
    zset_send_put(g, 1, buf_slice(&body));
    buf_deinit(&body);
}

static void join_in_steps(struct gather *g, const struct join *join) {
    forget_fetched(g);
    wide_join_begin(g, &(struct wide_join){.operation = join->operation,
                                           .form = join->form,
                                           .scored = true,
                                           .first = join->first,
                                           .keys = join->keys,
                                           .weights_at = join->weights_at,
                                           .aggregate = join->aggregate,
                                           .with_scores = join->with_scores,
                                           .limit = join->limit,
                                           .target = 1});
}

static void finish_across(struct gather *g, struct join *join, struct fetched *fetched) {
    struct source *sources = fetched->sources;
    const char *error = NULL;
    if (fetched->wrong_type)
        error = WRONG_TYPE;
    else if (!parse_options(join, g->argv, g->argc))
        error = join->error;
    if (error) {
        gather_error(g, error);
        return;
    }
    if (fetched->large || fetched->total > JOIN_AT_ONCE) {
        join_in_steps(g, join);
        return;
    }
    join_prepare(join, g->argv, sources);
    if (join->form == JOIN_COUNTS) {
        resp_int(gather_out(g), (int64_t)count_of(join, sources));
        return;
    }
    struct sorted *set = result_of(&g->home->shared, join, sources);
    if (join->form == JOIN_STORES) {
        store_across(g, set);
        return;
    }
    reply_result(gather_out(g), g->resp, join, set);
    sorted_delete(&g->home->shared.store, set);
}

static void join_across(struct gather *g, enum join_operation operation, enum join_form form) {
    struct join join = {.operation = operation, .form = form};
    if (wide_join_goes_on(g)) return;
    if (g->memo[MEMO_STORED]) {
        resp_int(gather_out(g), (int64_t)g->memo[MEMO_COUNT]);
        return;
    }
    bool readable = parse_keys(&join, g->slot->row->name, g->argv, g->argc);
    ASSERT(readable); /* or it would not have been routed here */
    struct fetched *fetched = fetched_of(g, &join);
    if (fetch(g, &join, fetched)) finish_across(g, &join, fetched);
}

#define JOIN(name, operation, form)                                                                                    \
    static void cmd_##name(struct exec *x) {                                                                           \
        run_join(x, operation, form);                                                                                  \
    }                                                                                                                  \
    static void name##_gather(struct gather *g) {                                                                      \
        join_across(g, operation, form);                                                                               \
    }
#define LARGE_JOIN(name, operation, form)                                                                              \
    JOIN(name, operation, form)                                                                                        \
    static uint64_t name##_bytes(const struct exec *x) {                                                               \
        return join_bytes(x, operation, form);                                                                         \
    }
LARGE_JOIN(zunion, JOIN_UNION, JOIN_ANSWERS)
LARGE_JOIN(zinter, JOIN_INTER, JOIN_ANSWERS)
LARGE_JOIN(zdiff, JOIN_DIFF, JOIN_ANSWERS)
JOIN(zintercard, JOIN_INTER, JOIN_COUNTS)
LARGE_JOIN(zunionstore, JOIN_UNION, JOIN_STORES)
LARGE_JOIN(zinterstore, JOIN_INTER, JOIN_STORES)
LARGE_JOIN(zdiffstore, JOIN_DIFF, JOIN_STORES)

const struct command zset_join_commands[] = {
    {.name = "zunion",
     .arity = -3,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {{.count_at = 1, .access = KEY_RO | KEY_ACCESS}},
     .where = ACROSS_OWNERS,
     .run = cmd_zunion,
     .answers = zunion_bytes,
     .takes_turns = true,
     .across = zunion_gather,
     .group = "sorted-set",
     .since = "6.2.0",
     .cost = "O(N+M*log(M)), N = members of all sources, M = members of the result",
     .args = "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
     .doc = "Answers the members of all sets."},
    {.name = "zinter",
     .arity = -3,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {{.count_at = 1, .access = KEY_RO | KEY_ACCESS}},
     .where = ACROSS_OWNERS,
     .run = cmd_zinter,
     .answers = zinter_bytes,
     .takes_turns = true,
     .across = zinter_gather,
     .group = "sorted-set",
     .since = "6.2.0",
     .cost = "O(N*K+M*log(M)), N = members of the smallest source, K = sources, M = members of the result",
     .args = "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
     .doc = "Answers the members that all sets have."},
    {.name = "zdiff",
     .arity = -3,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {{.count_at = 1, .access = KEY_RO | KEY_ACCESS}},
     .where = ACROSS_OWNERS,
     .run = cmd_zdiff,
     .answers = zdiff_bytes,
     .takes_turns = true,
     .across = zdiff_gather,
     .group = "sorted-set",
     .since = "6.2.0",
     .cost = "O(N*K+M*log(M)), N = members of the first source, K = sources, M = members of the result",
     .args = "numkeys key [key ...] [WITHSCORES]",
     .doc = "Answers the members of the first set that the others do not have."},
    {.name = "zintercard",
     .arity = -3,
     .flags = CMD_READ,
     .acl = ACL_SORTEDSET,
     .keys = {{.count_at = 1, .access = KEY_RO | KEY_ACCESS}},
     .where = ACROSS_OWNERS,
     .run = cmd_zintercard,
     .takes_turns = true,
     .across = zintercard_gather,
     .group = "sorted-set",
     .since = "7.0.0",
     .cost = "O(N*K), N = members of the smallest source, K = sources",
     .args = "numkeys key [key ...] [LIMIT limit]",
     .doc = "Answers how many members all sets have."},
    {.name = "zunionstore",
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE), {.count_at = 2, .access = KEY_RO | KEY_ACCESS}},
     .where = ACROSS_OWNERS,
     .run = cmd_zunionstore,
     .grows = zunionstore_bytes,
     .takes_turns = true,
     .across = zunionstore_gather,
     .group = "sorted-set",
     .since = "2.0.0",
     .cost = "O(N+M*log(M)), N = members of all sources, M = members of the result",
     .args = "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
     .doc = "Stores the members of all sets."},
    {.name = "zinterstore",
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE), {.count_at = 2, .access = KEY_RO | KEY_ACCESS}},
     .where = ACROSS_OWNERS,
     .run = cmd_zinterstore,
     .grows = zinterstore_bytes,
     .takes_turns = true,
     .across = zinterstore_gather,
     .group = "sorted-set",
     .since = "2.0.0",
     .cost = "O(N*K+M*log(M)), N = members of the smallest source, K = sources, M = members of the result",
     .args = "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
     .doc = "Stores the members that all sets have."},
    {.name = "zdiffstore",
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SORTEDSET,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE), {.count_at = 2, .access = KEY_RO | KEY_ACCESS}},
     .where = ACROSS_OWNERS,
     .run = cmd_zdiffstore,
     .grows = zdiffstore_bytes,
     .takes_turns = true,
     .across = zdiffstore_gather,
     .group = "sorted-set",
     .since = "6.2.0",
     .cost = "O(N*K+M*log(M)), N = members of the first source, K = sources, M = members of the result",
     .args = "destination numkeys key [key ...]",
     .doc = "Stores the members of the first set that the others do not have."},
    {0},
};
