/* Sets: a set computed from several: SINTER, SUNION, SDIFF, their STORE forms, and SINTERCARD.
 *
 * Where all keys live on one shard the smallest set is walked and looked for in the others (intersection), all are
 * walked and what was met before is left out (union), or the first is walked and what one of the others has is left
 * out.
 *
 * Where they do not, the same happens in two layers, because every operation can be done shard by shard: an
 * intersection is the intersection of the shards' intersections, and a difference takes the union of what other shards
 * have away from the difference at the first key's shard. So a shard sends one set, however many keys it has:
 *
 *      sources' shards                       home                 destination's shard
 *      sherd.set-part inter key key ...  <--- step 0
 *      [sizes, members]                  ---> step 1 ----------->  sherd.set-store key form members, for STORE
 *                                             step 2 <-----------  :count
 *
 * Large ones, which a shard does not answer as a whole, are joined in many steps (shards/wide_join.h).
 *
 * OBJECT ENCODING of what SDIFFSTORE makes depends on how Redis would have computed it, see difference_leaves_table. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_set_algebra_priv.h"
#include "shards/cmd_set_priv.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/gather.h"
#include "shards/shard.h"
#include "shards/wide_join.h"
#include "shards/work.h"
#include <stdlib.h>

static const char *const operation_names[] = {[JOIN_INTER] = "inter", [JOIN_UNION] = "union", [JOIN_DIFF] = "diff"};

/* --- where members go --- */

bool set_collect(void *ctx, struct slice text) {
    struct collector *into = ctx;
    if (into->members && !members_add(into->store, into->members, text)) return true;
    if (into->out) resp_bulk(into->out, text);
    into->count++;
    return into->count != into->limit;
}

bool set_pass(void *ctx, struct slice text) {
    const struct filter *filter = ctx;
    for (uint32_t i = 0; i < filter->count; i++)
        if (filter->has(filter->sets[i], text) != filter->in_all) return true;
    return set_collect(filter->into, text);
}

void set_reply_head(struct buf *out, size_t mark, uint8_t resp, uint64_t count) {
    char head[RESP_HEADER_MAX];
    size_t len = resp_header(head, resp == 3 ? '~' : '*', (int64_t)count);
    buf_insert(out, mark, slice_of(head, len));
}

/* --- on one shard --- */

struct sources {
    const void **sets; /* struct entry, NULL where the key is absent */
    uint32_t count, present;
    uint64_t total; /* members of all of them */
};

static void sources_close(struct exec *x, struct sources *sources) {
    heap_free(x->shard->heap, MEM_MESSAGE, sources->sets, sources->count * sizeof *sources->sets);
}

/* False: one of them is no set, and that was replied. Entries stay where they are while others are opened. */
static bool sources_open(struct exec *x, uint32_t first, uint32_t count, struct sources *sources) {
    *sources = (struct sources){.count = count};
    sources->sets = heap_alloc(x->shard->heap, MEM_MESSAGE, count * sizeof *sources->sets);
    for (uint32_t i = 0; i < count; i++) {
        struct key_ref ref;
        if (!exec_read(x, first + i, TYPE_SET, &ref)) {
            sources_close(x, sources);
            return false;
        }
        sources->sets[i] = ref.entry;
        if (!ref.entry) continue;
        sources->present++;
        sources->total += set_count(ref.entry);
    }
    return true;
}

bool set_entry_has(const void *set, struct slice text) {
    return set && set_has(set, text);
}

int set_by_count(const void *a, const void *b) {
    uint64_t x = set_count(*(const struct entry *const *)a), y = set_count(*(const struct entry *const *)b);
    return (x > y) - (x < y);
}

static void compute(enum join_operation operation, struct sources *sources, struct collector *into) {
    if (operation == JOIN_UNION) {
        for (uint32_t i = 0; i < sources->count; i++)
            if (sources->sets[i]) set_each(sources->sets[i], set_collect, into);
        return;
    }
    if (operation == JOIN_INTER) {
        if (sources->present < sources->count) return;
        qsort(sources->sets, sources->count, sizeof *sources->sets, set_by_count);
    }
    if (!sources->sets[0]) return;
    struct filter filter = {.has = set_entry_has,
                            .sets = sources->sets + 1,
                            .count = sources->count - 1,
                            .in_all = operation == JOIN_INTER,
                            .into = into};
    set_each(sources->sets[0], set_pass, &filter);
}

/* --- as Redis would have computed it --- */

static bool is_number(void *ctx, struct slice text) {
    int64_t number;
    return *(bool *)ctx = num_parse_i64(text, &number);
}

/* What becomes of a set whose members are added to an empty one. */
static bool would_be_table(const struct exec *x, const struct entry *entry) {
    bool numbers = true;
    if (!entry || set_is_intset(entry)) return false;
    if (set_count(entry) > x->shared->set_rule.intset_max) return true;
    set_each(entry, is_number, &numbers);
    return !numbers;
}

/* Redis has two ways for a difference: to look for each member of the first set in all others, or to copy the first and
 * take all members of the others out, if that looks like less work. A copy that was a table stays one, though what is
 * left in it be integers. */
static bool difference_leaves_table(bool first_is_table, uint64_t first_count, uint64_t present, uint64_t total) {
    return first_is_table && present * first_count / 2 > total;
}

/* --- the result under a key --- */

const struct entry *set_put_result(struct exec *x, uint32_t at, struct collector *result, bool allow_intset,
                                   struct slice event) {
    struct key_ref ref;
    struct entry *entry = NULL;
    const struct entry *old = exec_open_any(x, at, &ref);
    if (result->count > 0) {
        entry = set_new_entry(&x->shared->store, &x->shared->set_rule, x->argv[at], result->members, allow_intset, 0);
        keyspace_put_entry(x->keys, &ref, entry);
    } else {
        members_delete(&x->shared->store, result->members);
        if (old) keyspace_remove(x->keys, &ref);
        if (old) effect_del(x, x->db, x->argv[at]);
    }
    if (old || result->count > 0) exec_changed(x, x->argv[at], 1);
    if (result->count > 0 && UNLIKELY(x->shared->notify & NOTIFY_SET))
        notify_event(x->shard, x->db, event, x->argv[at]);
    else if (result->count == 0 && old)
        exec_event_as(x, NOTIFY_GENERIC, "del", x->argv[at]);
    return entry;
}

static void put_result(struct exec *x, uint32_t at, struct collector *result, bool allow_intset, struct slice event) {
    const struct entry *entry = set_put_result(x, at, result, allow_intset, event);
    if (entry) effect_value(x, x->db, entry);
    reply_int(x, (int64_t)result->count);
}

struct collector set_collector_of_members(const struct exec *x) {
    const struct store *store = &x->shared->store;
    return (struct collector){.store = store, .members = members_new(store, &x->shared->set_rule.seed)};
}

/* --- handlers --- */

/* It is so much that it takes turns, if it may: then the handler is through. */
static bool takes_turns(struct exec *x, struct set_job job, struct sources *sources) {
    if (LIKELY(sources->total <= WORK_AT_ONCE) || !work_takes_turns(x)) return false;
    job.present = sources->present;
    sources_close(x, sources);
    if (work_begins(x)) work_begin(x, set_work_new(x, &job));
    return true;
}

static void reply_members(struct exec *x, enum join_operation operation, struct sources *sources, uint8_t resp) {
    size_t mark = x->out->len;
    struct collector into = {.store = &x->shared->store, .out = x->out};
    if (operation == JOIN_UNION && sources->present > 1)
        into.members = members_new(into.store, &x->shared->set_rule.seed);
    compute(operation, sources, &into);
    set_reply_head(x->out, mark, resp, into.count);
    if (into.members) members_delete(into.store, into.members);
}

static void reply_result(struct exec *x, enum join_operation operation) {
    struct sources sources;
    if (!sources_open(x, 1, x->argc - 1, &sources)) return;
    struct set_job job = {.operation = operation, .first = 1, .count = x->argc - 1, .replied = true};
    if (takes_turns(x, job, &sources)) return;
    reply_members(x, operation, &sources, x->resp);
    sources_close(x, &sources);
}

static void store_result(struct exec *x, enum join_operation operation) {
    struct sources sources;
    if (!sources_open(x, 2, x->argc - 2, &sources)) return;
    const struct entry *first = sources.sets[0];
    bool as_table = operation == JOIN_DIFF && first &&
                    difference_leaves_table(would_be_table(x, first), set_count(first), sources.present, sources.total);
    struct set_job job = {.operation = operation, .first = 2, .count = x->argc - 2, .target = 1, .as_table = as_table};
    if (takes_turns(x, job, &sources)) return;
    struct collector result = set_collector_of_members(x);
    compute(operation, &sources, &result);
    sources_close(x, &sources);
    put_result(x, 1, &result, !as_table, slice_of_cstr(x->slot->row->name));
}

static uint64_t reply_bytes(const struct exec *x, enum join_operation operation) {
    return ANSWER_COPIES * answer_join_bytes(x, operation, 1, x->argc - 1);
}
static uint64_t stored_bytes(const struct exec *x, enum join_operation operation) {
    return x->keys ? answer_join_bytes(x, operation, 2, x->argc - 2) : 0;
}

/* A command, and how many bytes it will answer, or store. */
#define ALGEBRA(name, run, bytes, operation)                                                                           \
    static void cmd_##name(struct exec *x) {                                                                           \
        run(x, operation);                                                                                             \
    }                                                                                                                  \
    static uint64_t name##_bytes(const struct exec *x) {                                                               \
        return bytes(x, operation);                                                                                    \
    }
ALGEBRA(sinter, reply_result, reply_bytes, JOIN_INTER)
ALGEBRA(sunion, reply_result, reply_bytes, JOIN_UNION)
ALGEBRA(sdiff, reply_result, reply_bytes, JOIN_DIFF)
ALGEBRA(sinterstore, store_result, stored_bytes, JOIN_INTER)
ALGEBRA(sunionstore, store_result, stored_bytes, JOIN_UNION)
ALGEBRA(sdiffstore, store_result, stored_bytes, JOIN_DIFF)

struct card {
    uint32_t keys; /* from argv[2] on */
    uint64_t limit;
};

/* Returns the error to reply, NULL when it is fine. */
static const char *parse_card(const struct slice *argv, uint32_t argc, struct card *card) {
    int64_t keys, limit = 0;
    if (!num_parse_i64(argv[1], &keys) || keys < 1) return "ERR numkeys should be greater than 0";
    if (keys > (int64_t)argc - 2) return "ERR Number of keys can't be greater than number of args";
    for (uint32_t at = 2 + (uint32_t)keys; at < argc; at += 2) {
        if (!slice_is(argv[at], "limit") || at + 1 == argc) return "ERR syntax error";
        if (!num_parse_i64(argv[at + 1], &limit) || limit < 0) return "ERR LIMIT can't be negative";
    }
    *card = (struct card){(uint32_t)keys, (uint64_t)limit};
    return NULL;
}

static void cmd_sintercard(struct exec *x) {
    struct card card;
    struct sources sources;
    const char *error = parse_card(x->argv, x->argc, &card);
    if (error) {
        reply_error(x, error);
        return;
    }
    if (!sources_open(x, 2, card.keys, &sources)) return;
    struct set_job job = {.operation = JOIN_INTER, .first = 2, .count = card.keys, .limit = card.limit};
    if (takes_turns(x, job, &sources)) return;
    struct collector counted = {.limit = card.limit};
    compute(JOIN_INTER, &sources, &counted);
    sources_close(x, &sources);
    reply_int(x, (int64_t)counted.count);
}

/* --- parts, at the sources' shards and the destination's --- */

/* sherd.set-part operation key ...: of these keys the first one's would-be form and count, how many are there, the
 * members of all, and the result; null when that would take long. */
static void cmd_set_part(struct exec *x) {
    struct sources sources;
    enum join_operation operation = arg_is(x, 1, "inter") ? JOIN_INTER : arg_is(x, 1, "union") ? JOIN_UNION : JOIN_DIFF;
    if (!sources_open(x, 2, x->argc - 2, &sources)) return;
    const struct entry *first = sources.sets[0];
    reply_array(x, 5);
    reply_int(x, operation == JOIN_DIFF && would_be_table(x, first));
    reply_int(x, first ? (int64_t)set_count(first) : 0);
    reply_int(x, sources.present);
    reply_int(x, (int64_t)sources.total);
    if (sources.total > WORK_AT_ONCE)
        reply_null(x);
    else
        reply_members(x, operation, &sources, 2);
    sources_close(x, &sources);
}

/* Members as they stand in a reply. */
static void each_element(struct slice elements, set_visit visit, void *ctx) {
    bool more = true;
    while (more && elements.len > 0) {
        struct slice text;
        bool is_bulk = gather_reply_bulk(gather_next_element(&elements), &text);
        ASSERT(is_bulk);
        more = visit(ctx, text);
    }
}

/* sherd.set-store key intset|table members event: members as they stand in a reply. */
static void cmd_set_store(struct exec *x) {
    struct collector result = set_collector_of_members(x);
    each_element(x->argv[3], set_collect, &result);
    put_result(x, 1, &result, arg_is(x, 2, "intset"), x->argv[4]);
}

/* --- across shards --- */

/* What the gather's command is: operation, where its sources stand, where its destination (0: none). */
struct across {
    enum join_operation operation;
    uint32_t first, count, target;
    bool counts;
    uint64_t limit;
};

/* Sends each shard that has some of the sources one part with them. */
static void send_parts(struct gather *g, const struct across *across) {
    uint32_t home_of_first = gather_owner(g, across->first);
    size_t bytes = (across->count + 1) * sizeof(struct slice);
    struct slice *args = heap_alloc(g->home->heap, MEM_MESSAGE, bytes);
    for (uint32_t shard = 0; shard < gather_shards(g); shard++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < across->count; i++)
            if (gather_owner(g, across->first + i) == shard) args[++count] = g->argv[across->first + i];
        if (count == 0) continue;
        bool subtracts = across->operation == JOIN_DIFF && shard != home_of_first;
        args[0] = slice_of_cstr(operation_names[subtracts ? JOIN_UNION : across->operation]);
        gather_send(g, shard, "sherd.set-part", args, count + 1);
    }
    heap_free(g->home->heap, MEM_MESSAGE, args, bytes);
}

#define JOIN_AT_ONCE (4 * WORK_AT_ONCE) /* members of all sources: beyond that it is done in steps that are short */

/* What the parts answered. */
struct answers {
    struct slice elements[SHARDS_MAX];
    uint32_t parts, first; /* first: the part whose members are walked */
    bool as_table;
    bool large; /* some are missing, or all would take long to join */
};

/* False: one of them is an error, which is the reply. */
static bool read_answers(struct gather *g, const struct across *across, struct answers *answers) {
    uint32_t home_of_first = gather_owner(g, across->first);
    uint64_t present = 0, total = 0, first_count = 0, fewest = UINT64_MAX;
    bool first_is_table = false;
    *answers = (struct answers){.parts = g->parts};
    for (uint32_t part = 0; part < g->parts; part++) {
        struct slice rest, reply = gather_reply(g, part);
        int64_t numbers[4] = {0};
        if (gather_reply_array(reply, &rest) != 5) {
            g->failed = true;
            buf_append_slice(gather_out(g), reply);
            return false;
        }
        for (uint32_t i = 0; i < ARRAY_LEN(numbers); i++) {
            bool is_int = gather_reply_int(gather_next_element(&rest), &numbers[i]);
            ASSERT(is_int);
        }
        int64_t elements = gather_reply_array(gather_next_element(&rest), &answers->elements[part]);
        uint64_t count = (uint64_t)elements;
        answers->large |= elements < 0;
        bool has_first = g->answered[part].shard == home_of_first;
        if (across->operation == JOIN_INTER ? count < fewest : has_first) answers->first = part;
        fewest = MIN(fewest, count);
        present += (uint64_t)numbers[2];
        total += (uint64_t)numbers[3];
        if (!has_first) continue;
        first_is_table = numbers[0];
        first_count = (uint64_t)numbers[1];
    }
    answers->large |= total > JOIN_AT_ONCE;
    answers->as_table =
        across->operation == JOIN_DIFF && difference_leaves_table(first_is_table, first_count, present, total);
    return true;
}

static bool table_has(const void *set, struct slice text) {
    return members_has(set, text);
}

static void join(struct gather *g, const struct across *across, const struct answers *answers, struct buf *out,
                 struct collector *into) {
    const struct keyspace_shared *shared = &g->home->shared;
    struct members *tables[SHARDS_MAX];
    const void *sets[SHARDS_MAX];
    *into = (struct collector){.store = &shared->store, .out = out, .limit = across->limit};
    if (across->operation == JOIN_UNION) {
        into->members = members_new(into->store, &shared->set_rule.seed);
        for (uint32_t part = 0; part < answers->parts; part++) each_element(answers->elements[part], set_collect, into);
        members_delete(into->store, into->members);
        return;
    }
    struct filter filter = {.has = table_has, .sets = sets, .in_all = across->operation == JOIN_INTER, .into = into};
    for (uint32_t part = 0; part < answers->parts; part++) {
        if (part == answers->first) continue;
        struct collector table = {.store = &shared->store};
        table.members = tables[filter.count] = members_new(table.store, &shared->set_rule.seed);
        each_element(answers->elements[part], set_collect, &table);
        sets[filter.count++] = table.members;
    }
    each_element(answers->elements[answers->first], set_pass, &filter);
    for (uint32_t i = 0; i < filter.count; i++) members_delete(&shared->store, tables[i]);
}

static void send_store(struct gather *g, const struct across *across, const struct answers *answers) {
    struct buf elements;
    struct collector into;
    buf_init(&elements, g->home->heap, MEM_MESSAGE);
    join(g, across, answers, &elements, &into);
    struct slice args[4] = {g->argv[across->target], answers->as_table ? SLICE("table") : SLICE("intset"),
                            buf_slice(&elements), slice_of_cstr(g->slot->row->name)};
    gather_send(g, gather_owner(g, across->target), "sherd.set-store", args, 4);
    buf_deinit(&elements);
}

static void join_in_steps(struct gather *g, const struct across *across, bool as_table) {
    wide_join_begin(g, &(struct wide_join){.operation = across->operation,
                                           .form = across->target   ? JOIN_STORES
                                                   : across->counts ? JOIN_COUNTS
                                                                    : JOIN_ANSWERS,
                                           .first = across->first,
                                           .keys = across->count,
                                           .limit = across->limit,
                                           .target = across->target,
                                           .as_table = as_table});
}

static void run_across(struct gather *g, const struct across *across) {
    struct answers answers;
    struct collector into;
    if (wide_join_goes_on(g)) return;
    if (g->step == 0) {
        send_parts(g, across);
    } else if (g->step == 2) {
        buf_append_slice(gather_out(g), gather_reply(g, 0));
    } else if (!read_answers(g, across, &answers)) {
        return;
    } else if (answers.large) {
        join_in_steps(g, across, answers.as_table);
    } else if (across->target) {
        send_store(g, across, &answers);
    } else if (across->counts) {
        join(g, across, &answers, NULL, &into);
        resp_int(gather_out(g), (int64_t)into.count);
    } else {
        join(g, across, &answers, gather_out(g), &into);
        set_reply_head(gather_out(g), 0, g->resp, into.count);
    }
}

static void reply_across(struct gather *g, enum join_operation operation) {
    run_across(g, &(struct across){.operation = operation, .first = 1, .count = g->argc - 1});
}

static void store_across(struct gather *g, enum join_operation operation) {
    run_across(g, &(struct across){.operation = operation, .first = 2, .count = g->argc - 2, .target = 1});
}

static void sinter_gather(struct gather *g) {
    reply_across(g, JOIN_INTER);
}
static void sunion_gather(struct gather *g) {
    reply_across(g, JOIN_UNION);
}
static void sdiff_gather(struct gather *g) {
    reply_across(g, JOIN_DIFF);
}
static void sinterstore_gather(struct gather *g) {
    store_across(g, JOIN_INTER);
}
static void sunionstore_gather(struct gather *g) {
    store_across(g, JOIN_UNION);
}
static void sdiffstore_gather(struct gather *g) {
    store_across(g, JOIN_DIFF);
}

static void sintercard_gather(struct gather *g) {
    struct card card;
    const char *error = parse_card(g->argv, g->argc, &card);
    if (error) {
        gather_error(g, error);
        return;
    }
    run_across(g, &(struct across){
                      .operation = JOIN_INTER, .first = 2, .count = card.keys, .counts = true, .limit = card.limit});
}

const struct command set_algebra_commands[] = {
    {.name = "sinter",
     .arity = -2,
     .flags = CMD_READ,
     .acl = ACL_SET,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_sinter,
     .answers = sinter_bytes,
     .takes_turns = true,
     .across = sinter_gather,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(N*M), N = members of the smallest set, M = number of sets",
     .args = "key [key ...]",
     .tips = "nondeterministic_output_order",
     .doc = "Answers the members that all of the sets have."},
    {.name = "sunion",
     .arity = -2,
     .flags = CMD_READ,
     .acl = ACL_SET,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_sunion,
     .answers = sunion_bytes,
     .takes_turns = true,
     .across = sunion_gather,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(N), N = members of all sets",
     .args = "key [key ...]",
     .tips = "nondeterministic_output_order",
     .doc = "Answers the members of all sets, each once."},
    {.name = "sdiff",
     .arity = -2,
     .flags = CMD_READ,
     .acl = ACL_SET,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_sdiff,
     .answers = sdiff_bytes,
     .takes_turns = true,
     .across = sdiff_gather,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(N), N = members of all sets",
     .args = "key [key ...]",
     .tips = "nondeterministic_output_order",
     .doc = "Answers the members of the first set that no other one has."},
    {.name = "sinterstore",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE), KEYS_RANGE(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_sinterstore,
     .grows = sinterstore_bytes,
     .takes_turns = true,
     .across = sinterstore_gather,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(N*M), N = members of the smallest set, M = number of sets",
     .args = "destination key [key ...]",
     .doc = "Stores what SINTER would answer and says how many members that is."},
    {.name = "sunionstore",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE), KEYS_RANGE(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_sunionstore,
     .grows = sunionstore_bytes,
     .takes_turns = true,
     .across = sunionstore_gather,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(N), N = members of all sets",
     .args = "destination key [key ...]",
     .doc = "Stores what SUNION would answer and says how many members that is."},
    {.name = "sdiffstore",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE), KEYS_RANGE(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_sdiffstore,
     .grows = sdiffstore_bytes,
     .takes_turns = true,
     .across = sdiffstore_gather,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(N), N = members of all sets",
     .args = "destination key [key ...]",
     .doc = "Stores what SDIFF would answer and says how many members that is."},
    {.name = "sintercard",
     .arity = -3,
     .flags = CMD_READ,
     .acl = ACL_SET,
     .keys = {{.count_at = 1, .access = KEY_RO | KEY_ACCESS}},
     .where = ACROSS_OWNERS,
     .run = cmd_sintercard,
     .takes_turns = true,
     .across = sintercard_gather,
     .group = "set",
     .since = "7.0.0",
     .cost = "O(N*M), N = members of the smallest set, M = number of sets",
     .args = "numkeys key [key ...] [LIMIT limit]",
     .doc = "Says how many members all of the sets have, or limit if they are more."},
    {.name = "sherd.set-part",
     .arity = -3,
     .flags = CMD_READ | CMD_INTERNAL,
     .keys = {KEYS_RANGE(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_set_part,
     .group = "set",
     .since = "0.1.0",
     .cost = "O(N), N = members of all sets",
     .args = "operation key [key ...]",
     .doc = "Answers sizes and the result of an operation on sets of one shard."},
    {.name = "sherd.set-store",
     .arity = 5,
     .flags = CMD_WRITE | CMD_INTERNAL,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_set_store,
     .group = "set",
     .since = "0.1.0",
     .cost = "O(N), N = members",
     .args = "key <INTSET | TABLE> members",
     .doc = "Stores the result of an operation on sets of several shards."},
    {0},
};
