/* Sets: members at random, SRANDMEMBER and SPOP.
 *
 * One member is drawn by its form's own means (set_random), each with the same probability. Several different ones,
 * k of n: if k is a small part of a table, draw until k different ones were seen. Otherwise go through all n once and
 * take each with probability (still wanted) / (still to come), which gives every subset of k the same chance (Knuth,
 * The Art of Computer Programming, volume 2, 3.4.2, algorithm S). */
#include "core/assert.h"
#include "shards/answer_work.h"
#include "shards/cmd_set_priv.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/pop_work.h"
#include "shards/shard.h"
#include "shards/work.h"

#define DRAW_PART 3                /* k below n / DRAW_PART is drawn, more is a walk */
#define KEEP_PART 5                /* SPOP: when less than k / KEEP_PART stays, the set is built anew, as by Redis */
#define PIECE     (WORK_SLICE / 4) /* of an SPOP: each is drawn, replied and taken out */

static struct slice draw(struct exec *x, const struct entry *entry, char scratch[SET_SCRATCH]) {
    return set_random(entry, &x->shard->prng, scratch);
}

/* --- several different ones --- */

struct walk {
    struct exec *x;
    uint64_t wanted, left;
};

static bool reply_perhaps(void *ctx, struct slice text) {
    struct walk *walk = ctx;
    if (prng_below(&walk->x->shard->prng, walk->left--) < walk->wanted) {
        reply_bulk(walk->x, text);
        walk->wanted--;
    }
    return walk->wanted > 0;
}

/* A few of many: about count tries, as most of them are new. */
static void reply_drawn(struct exec *x, const struct entry *entry, uint64_t count) {
    const struct store *store = &x->shared->store;
    struct members *seen = members_new(store, &x->shared->set_rule.seed);
    char scratch[SET_SCRATCH];
    while (count > 0) {
        struct slice text = draw(x, entry, scratch);
        if (!members_add(store, seen, text)) continue;
        reply_bulk(x, text);
        count--;
    }
    members_delete(store, seen);
}

static void reply_different(struct exec *x, const struct entry *entry, uint64_t count) {
    uint64_t all = set_count(entry);
    struct walk walk = {x, count, all};
    reply_array(x, MIN(count, all));
    if (count >= all)
        set_each(entry, reply_member, x);
    else if (entry->encoding == ENC_OBJECT && count < all / DRAW_PART)
        reply_drawn(x, entry, count);
    else if (count > 0)
        set_each(entry, reply_perhaps, &walk);
}

/* --- SRANDMEMBER --- */

static void reply_repeating(struct exec *x, const struct entry *entry, uint64_t count) {
    char scratch[SET_SCRATCH];
    reply_array(x, count);
    for (; count > 0; count--) reply_bulk(x, draw(x, entry, scratch));
}

static void cmd_srandmember(struct exec *x) {
    struct key_ref ref;
    int64_t count;
    char scratch[SET_SCRATCH];
    if (x->argc > 3) {
        reply_syntax_error(x);
        return;
    }
    if (x->argc == 2) {
        if (!exec_read(x, 1, TYPE_SET, &ref)) return;
        if (ref.entry)
            reply_bulk(x, draw(x, ref.entry, scratch));
        else
            reply_null(x);
        return;
    }
    const char *error = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    if (!exec_int(x, 2, &count)) return;
    if (count == INT64_MIN) {
        reply_error(x, error);
        return;
    }
    if (!exec_read(x, 1, TYPE_SET, &ref)) return;
    uint64_t len = ref.entry ? set_count(ref.entry) : 0;
    if (count >= -ANSWER_DRAWN_MAX &&
        answer_waits_for_some(x, ref.entry, count < 0 ? (uint64_t)-count : MIN((uint64_t)count, len), len))
        return;
    if (!ref.entry)
        reply_array(x, 0);
    else if (count >= 0)
        reply_different(x, ref.entry, (uint64_t)count);
    else if (count < -ANSWER_DRAWN_MAX)
        reply_error(x, "ERR value is out of range");
    else
        reply_repeating(x, ref.entry, (uint64_t)-count);
}

static uint64_t drawn_answers(const struct exec *x) {
    return answer_drawn_bytes(x, TYPE_SET, set_count);
}

/* --- SPOP --- */

static void pop_one(struct exec *x, struct key_ref *ref, struct effect_run *popped) {
    char scratch[SET_SCRATCH];
    struct slice text = draw(x, ref->entry, scratch);
    reply_bulk(x, text);
    /* It may lie in what is about to move; the reply has a copy. */
    if (text.ptr != scratch) text.ptr = x->out->data + x->out->len - 2 - text.len;
    set_remove(x->keys, ref, text);
    effect_run_add(popped, &text, 1);
}

static void pop_some(struct exec *x, struct key_ref *ref, uint64_t count) {
    struct effect_run popped;
    effect_run_begin(&popped, x, x->db, "SREM", x->argv[1]);
    for (; count > 0; count--) pop_one(x, ref, &popped);
    effect_run_end(&popped);
}

/* After so many were taken. A large set is shown as what it is already, and stays what it is. */
static void reform(struct exec *x, struct key_ref *ref, uint64_t popped) {
    uint64_t left = set_count(ref->entry);
    bool may_be_small = left <= MAX(x->shared->set_rule.intset_max, (uint64_t)SET_EMBED_MAX);
    if (may_be_small && left * KEEP_PART <= popped) set_reform(x->keys, ref);
}

static void take(struct exec *x, struct key_ref *ref, const struct pop *pop, uint64_t count) {
    (void)pop;
    pop_some(x, ref, count);
}

static void say(struct exec *x, const struct key_ref *ref, const struct pop *pop) {
    exec_changed(x, ref->key, pop->count);
}

static void finish(struct exec *x, struct key_ref *ref, const struct pop *pop) {
    reform(x, ref, pop->count);
    exec_event_taken(x, NOTIFY_SET, "spop", ref);
}

/* All members were replied. */
static void take_all(struct exec *x, struct key_ref *ref) {
    uint64_t all = set_count(ref->entry);
    keyspace_remove(x->keys, ref);
    effect_del(x, x->db, x->argv[1]);
    exec_changed(x, x->argv[1], all);
    exec_event_taken(x, NOTIFY_SET, "spop", ref);
}

/* All of a large one: nothing changes before the last turn. */
struct all_work {
    struct work work; /* first: it is cast back */
    struct exec *x;   /* of the slice */
    uint64_t cursor, replied;
    bool begun;
};

static bool reply_and_count(void *ctx, struct slice text) {
    struct all_work *work = ctx;
    work->replied++;
    return reply_member(work->x, text);
}

static bool all_work_some(struct exec *x, struct work *of) {
    struct all_work *work = (struct all_work *)of;
    struct key_ref ref;
    if (!exec_open_any(x, 1, &ref)) { /* its time is over: that was all */
        if (!work->begun) reply_set(x, 0);
        resp_recount(x->out, 0, work->replied);
        return false;
    }
    if (!work->begun) reply_set(x, set_count(ref.entry));
    work->begun = true;
    work->x = x;
    work->cursor = set_scan(ref.entry, work->cursor, WORK_SLICE, reply_and_count, work);
    if (work->cursor) return true;
    ASSERT(work->replied == set_count(ref.entry));
    take_all(x, &ref);
    return false;
}

static void pop_all(struct exec *x, struct key_ref *ref) {
    uint64_t all = set_count(ref->entry);
    if (all > WORK_AT_ONCE && work_takes_turns(x)) {
        struct work begun = {.some = all_work_some, .expects = entry_bytes(ref->entry)};
        if (work_begins(x)) work_begin(x, work_new(x, sizeof(struct all_work), begun));
        return;
    }
    reply_set(x, all);
    set_each(ref->entry, reply_member, x);
    take_all(x, ref);
}

static void pop_many(struct exec *x, struct key_ref *ref, uint64_t count) {
    static const struct pop_kind kind = {PIECE, take, say, finish};
    struct pop pop = {.kind = &kind, .count = count, .key_at = 1, .words = 1, .as_set = true};
    if (count < set_count(ref->entry))
        pop_elements(x, ref, &pop);
    else
        pop_all(x, ref);
}

static void cmd_spop(struct exec *x) {
    struct key_ref ref;
    int64_t count = 1;
    if (x->argc > 3) {
        reply_syntax_error(x);
        return;
    }
    bool counted = x->argc == 3;
    if (counted && !exec_int_range(x, 2, 0, INT64_MAX, &count, "ERR value is out of range, must be positive")) return;
    if (!exec_open(x, 1, TYPE_SET, &ref)) return;
    if (counted && (!ref.entry || count == 0)) {
        reply_set(x, 0);
    } else if (counted) {
        pop_many(x, &ref, (uint64_t)count);
    } else if (ref.entry) {
        pop_some(x, &ref, 1);
        exec_changed(x, x->argv[1], 1);
        exec_event_taken(x, NOTIFY_SET, "spop", &ref);
    } else {
        reply_null(x);
    }
}

const struct command set_random_commands[] = {
    {.name = "srandmember",
     .arity = -2,
     .flags = CMD_READ,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_srandmember,
     .answers = drawn_answers,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(1), with count O(N), N = count",
     .args = "key [count]",
     .tips = "nondeterministic_output",
     .doc = "Answers members of a set chosen at random: different ones, or, if count is negative, as they come."},
    {.name = "spop",
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_spop,
     .answers = drawn_answers,
     .takes_turns = true,
     .beside_save = BESIDE_COUNT,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(1), with count O(N), N = count",
     .args = "key [count]",
     .tips = "nondeterministic_output",
     .doc = "Takes members chosen at random out of a set and answers them."},
    {0},
};
