/* Lists: pushing, popping, reading and changing one list (shards/list.h).
 *
 * Where arguments are checked before the key is looked up and where after differs from command to command; clients see
 * it, so the order here is Redis's. Negative indices count from the tail. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/args_work.h"
#include "shards/cmd_list_priv.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/pop_work.h"

/* --- shared with the other file --- */

bool list_arg_end(struct exec *x, uint32_t at, enum list_end *end) {
    *end = arg_is(x, at, "left") ? LIST_HEAD : LIST_TAIL;
    if (*end == LIST_HEAD || arg_is(x, at, "right")) return true;
    reply_syntax_error(x);
    return false;
}

static void reply_elements(struct exec *x, struct quicklist_iter *iter, enum list_end from, uint64_t count) {
    struct packed_value value;
    for (; count > 0 && list_step(iter, from, &value); count--) reply_packed(x, &value);
    ASSERT(count == 0);
}

static const char *pop_name(enum list_end end) {
    return end == LIST_HEAD ? "LPOP" : "RPOP";
}

void list_event_popped(struct exec *x, const struct key_ref *ref, enum list_end end) {
    exec_event_taken(x, NOTIFY_LIST, end == LIST_HEAD ? "lpop" : "rpop", ref);
}

static void pop_take(struct exec *x, struct key_ref *ref, const struct pop *pop, uint64_t count) {
    struct quicklist_iter iter = list_seek(ref->entry, pop->end == LIST_HEAD ? 0 : list_len(ref->entry));
    reply_elements(x, &iter, pop->end, count);
    list_drop(x->keys, ref, pop->end, count);
}

static void pop_say(struct exec *x, const struct key_ref *ref, const struct pop *pop) {
    exec_changed(x, ref->key, pop->count);
    effect_pop(x, pop_name(pop->end), ref->key, pop->count);
}

static void pop_finish(struct exec *x, struct key_ref *ref, const struct pop *pop) {
    list_event_popped(x, ref, pop->end);
}

void list_pop_many(struct exec *x, struct key_ref *ref, struct list_popping popping) {
    static const struct pop_kind kind = {WORK_SLICE, pop_take, pop_say, pop_finish};
    struct pop pop = {.kind = &kind,
                      .count = MIN(popping.count, list_len(ref->entry)),
                      .key_at = popping.key_at,
                      .end = (uint8_t)popping.end,
                      .words = 1,
                      .named = popping.named};
    pop_elements(x, ref, &pop);
}

/* --- pushing and popping --- */

static void push(struct exec *x, enum list_end end, bool only_if_there) {
    struct key_ref ref;
    if (!exec_open(x, 1, TYPE_LIST, &ref)) return;
    if (only_if_there && !ref.entry) {
        reply_int(x, 0);
        return;
    }
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_LAST})) return;
    list_push(x->keys, &ref, end, x->argv + 2, x->argc - 2);
    exec_changed(x, x->argv[1], x->argc - 2);
    exec_event_as(x, NOTIFY_LIST, end == LIST_HEAD ? "lpush" : "rpush", x->argv[1]);
    reply_int(x, (int64_t)list_len(ref.entry));
}

static void cmd_lpush(struct exec *x) {
    push(x, LIST_HEAD, false);
}
static void cmd_rpush(struct exec *x) {
    push(x, LIST_TAIL, false);
}
static void cmd_lpushx(struct exec *x) {
    push(x, LIST_HEAD, true);
}
static void cmd_rpushx(struct exec *x) {
    push(x, LIST_TAIL, true);
}

void list_pop_one(struct exec *x, struct key_ref *ref, enum list_end end) {
    struct packed_value value;
    list_peek(ref->entry, end, &value);
    reply_packed(x, &value);
    list_drop(x->keys, ref, end, 1);
    exec_changed(x, ref->key, 1);
    list_event_popped(x, ref, end);
    effect_pop(x, pop_name(end), ref->key, 1);
}

static void pop(struct exec *x, enum list_end end) {
    bool counted = x->argc == 3;
    int64_t count = 1;
    struct key_ref ref;
    if (x->argc > 3) {
        reply_wrong_arity(x);
        return;
    }
    if (counted && !exec_int_range(x, 2, 0, INT64_MAX, &count, "ERR value is out of range, must be positive")) return;
    if (!exec_open(x, 1, TYPE_LIST, &ref)) return;
    if (!ref.entry) {
        if (counted)
            reply_null_array(x);
        else
            reply_null(x);
    } else if (!counted) {
        list_pop_one(x, &ref, end);
    } else if (count == 0) {
        reply_array(x, 0);
    } else {
        struct list_popping popping = {.key_at = 1, .end = end, .count = (uint64_t)count};
        list_pop_many(x, &ref, popping);
    }
}

static uint64_t pop_answers(const struct exec *x) {
    return answer_drawn_bytes(x, TYPE_LIST, list_len);
}

static void cmd_lpop(struct exec *x) {
    pop(x, LIST_HEAD);
}
static void cmd_rpop(struct exec *x) {
    pop(x, LIST_TAIL);
}

/* --- reading --- */

static void cmd_llen(struct exec *x) {
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_LIST, &ref)) return;
    reply_int(x, ref.entry ? (int64_t)list_len(ref.entry) : 0);
}

/* False: there is none. */
static bool element_at(const struct entry *entry, int64_t index, struct packed_value *value) {
    int64_t len = (int64_t)list_len(entry);
    if (index < 0) index += len;
    if (index < 0 || index >= len) return false;
    struct quicklist_iter iter = list_seek(entry, (uint64_t)index);
    return quicklist_next(&iter, value);
}

static uint64_t index_answers(const struct exec *x) {
    const struct entry *entry = answer_peek(x, 1, TYPE_LIST);
    struct packed_value value;
    int64_t index;
    bool there = entry && num_parse_i64(x->argv[2], &index) && element_at(entry, index, &value);
    return there && !value.is_int ? value.text.len : 0;
}

static void cmd_lindex(struct exec *x) {
    struct key_ref ref;
    int64_t index;
    struct packed_value value;
    if (!exec_read(x, 1, TYPE_LIST, &ref)) return;
    if (!ref.entry) {
        reply_null(x);
        return;
    }
    if (!exec_int(x, 2, &index)) return;
    if (!element_at(ref.entry, index, &value))
        reply_null(x);
    else if (value.is_int || !answer_waits_for(x, value.text.len))
        reply_packed(x, &value);
}

/* start .. stop, as given, becomes the range [first, first + count) of a list of len; count may be 0. */
static void clip_range(int64_t start, int64_t stop, int64_t len, uint64_t *first, uint64_t *count) {
    if (start < 0) start = MAX(start + len, 0);
    if (stop < 0) stop += len;
    stop = MIN(stop, len - 1);
    *first = (uint64_t)MIN(start, len);
    *count = start <= stop ? (uint64_t)(stop - start) + 1 : 0;
}

static uint64_t range_answers(const struct exec *x) {
    const struct entry *entry = answer_peek(x, 1, TYPE_LIST);
    int64_t start, stop;
    uint64_t first, count;
    if (!entry || !num_parse_i64(x->argv[2], &start) || !num_parse_i64(x->argv[3], &stop)) return 0;
    clip_range(start, stop, (int64_t)list_len(entry), &first, &count);
    return answer_some_bytes(entry, count, list_len(entry));
}

static void cmd_lrange(struct exec *x) {
    int64_t start, stop;
    struct key_ref ref;
    if (!exec_int(x, 2, &start) || !exec_int(x, 3, &stop) || !exec_read(x, 1, TYPE_LIST, &ref)) return;
    uint64_t first = 0, count = 0;
    if (ref.entry) clip_range(start, stop, (int64_t)list_len(ref.entry), &first, &count);
    if (count == 0) {
        reply_array(x, 0);
        return;
    }
    if (answer_waits_for_some(x, ref.entry, count, list_len(ref.entry))) return;
    struct quicklist_iter iter = list_seek(ref.entry, first);
    reply_array(x, count);
    reply_elements(x, &iter, LIST_HEAD, count);
}

struct lpos_options {
    int64_t rank, count, maxlen; /* count -1: not given; 0: all; maxlen 0: no limit */
};

/* argv[3 ..]. False: the error was replied. */
static bool parse_lpos(struct exec *x, struct lpos_options *out) {
    *out = (struct lpos_options){.rank = 1, .count = -1};
    for (uint32_t at = 3; at < x->argc; at += 2) {
        bool has_value = at + 1 < x->argc;
        if (has_value && arg_is(x, at, "rank")) {
            if (!exec_int(x, at + 1, &out->rank)) return false;
            if (out->rank == 0) {
                reply_error(x, "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or "
                               "use negative to start from the end of the list");
                return false;
            }
        } else if (has_value && arg_is(x, at, "count")) {
            if (!exec_int_range(x, at + 1, 0, INT64_MAX, &out->count, "ERR COUNT can't be negative")) return false;
        } else if (has_value && arg_is(x, at, "maxlen")) {
            if (!exec_int_range(x, at + 1, 0, INT64_MAX, &out->maxlen, "ERR MAXLEN can't be negative")) return false;
        } else {
            reply_syntax_error(x);
            return false;
        }
    }
    return true;
}

static struct list_search search_of(const struct lpos_options *options) {
    struct list_search search = {.from = options->rank > 0 ? LIST_HEAD : LIST_TAIL, .most = UINT64_MAX};
    bool rank_has_opposite =
        options->rank != INT64_MIN; /* Redis takes the other for -1, and never comes to its COUNT */
    if (rank_has_opposite) search.skip = (uint64_t)(options->rank > 0 ? options->rank : -options->rank) - 1;
    if (options->count < 0)
        search.most = 1;
    else if (options->count > 0 && rank_has_opposite)
        search.most = (uint64_t)options->count;
    search.maxlen = options->maxlen ? (uint64_t)options->maxlen : UINT64_MAX;
    search.many = options->count >= 0;
    return search;
}

bool list_search_some(struct exec *x, const struct entry *entry, struct list_search *search, uint64_t max) {
    struct packed_value sought = packed_value_of(x->argv[2]), value;
    uint64_t len = list_len(entry);
    struct quicklist_iter iter = list_seek(entry, search->from == LIST_HEAD ? search->passed : len - search->passed);
    for (; search->found < search->most && search->passed < search->maxlen; max--) {
        if (max == 0) return true;
        if (!list_step(&iter, search->from, &value)) break;
        uint64_t passed = search->passed++;
        if (!packed_equal(&value, &sought)) continue;
        if (search->skip > 0) {
            search->skip--;
            continue;
        }
        reply_int(x, (int64_t)(search->from == LIST_HEAD ? passed : len - 1 - passed));
        search->found++;
    }
    return false;
}

void list_search_end(struct exec *x, const struct list_search *search, size_t mark) {
    if (search->many)
        resp_array_close(x->out, mark, search->found);
    else if (search->found == 0)
        reply_null(x);
}

static void cmd_lpos(struct exec *x) {
    struct lpos_options options;
    struct key_ref ref;
    if (!parse_lpos(x, &options) || !exec_read(x, 1, TYPE_LIST, &ref)) return;
    const struct list_search whole = search_of(&options);
    struct list_search search = whole;
    size_t mark = resp_array_open(x->out);
    if (ref.entry && list_search_some(x, ref.entry, &search, LIST_AT_ONCE)) {
        size_t len = x->out->len;
        x->out->len = mark;
        if (list_search_takes_turns(x, &whole)) return;
        x->out->len = len;
        while (list_search_some(x, ref.entry, &search, UINT64_MAX)) continue;
    }
    list_search_end(x, &search, mark);
}

/* --- changing --- */

static void cmd_lset(struct exec *x) {
    struct key_ref ref;
    int64_t index;
    if (!exec_open(x, 1, TYPE_LIST, &ref)) return;
    if (!ref.entry) {
        reply_error(x, "ERR no such key");
        return;
    }
    if (!exec_int(x, 2, &index)) return;
    int64_t len = (int64_t)list_len(ref.entry);
    if (index < 0) index += len;
    if (index < 0 || index >= len) {
        reply_error(x, "ERR index out of range");
        return;
    }
    list_replace(x->keys, &ref, (uint64_t)index, x->argv[3]);
    exec_changed(x, x->argv[1], 1);
    exec_event(x, NOTIFY_LIST, x->argv[1]);
    reply_ok(x);
}

bool list_find_some(const struct entry *entry, struct slice text, uint64_t *index, uint64_t max, bool *found) {
    struct packed_value sought = packed_value_of(text), value;
    struct quicklist_iter iter = list_seek(entry, *index);
    *found = false;
    for (; max > 0 && quicklist_next(&iter, &value); max--, ++*index)
        if ((*found = packed_equal(&value, &sought))) return false;
    return max == 0;
}

void list_insert_at(struct exec *x, struct key_ref *ref, uint64_t index) {
    bool after = arg_is(x, 2, "after");
    list_insert(x->keys, ref, index + after, x->argv[4]);
    exec_changed(x, x->argv[1], 1);
    exec_event(x, NOTIFY_LIST, x->argv[1]);
    reply_int(x, (int64_t)list_len(ref->entry));
}

static void cmd_linsert(struct exec *x) {
    struct key_ref ref;
    uint64_t index = 0;
    bool found;
    if (!arg_is(x, 2, "after") && !arg_is(x, 2, "before")) {
        reply_syntax_error(x);
        return;
    }
    if (!exec_open(x, 1, TYPE_LIST, &ref)) return;
    if (!ref.entry) {
        reply_int(x, 0);
        return;
    }
    bool more = list_find_some(ref.entry, x->argv[3], &index, LIST_AT_ONCE, &found);
    if (more && list_insert_takes_turns(x)) return;
    while (more) more = list_find_some(ref.entry, x->argv[3], &index, UINT64_MAX, &found);
    if (found)
        list_insert_at(x, &ref, index);
    else
        reply_int(x, -1);
}

void list_say_purged(struct exec *x, const struct key_ref *ref, uint64_t gone) {
    if (gone > 0) {
        exec_changed(x, x->argv[1], gone);
        exec_event_taken(x, NOTIFY_LIST, "lrem", ref);
    }
    reply_int(x, (int64_t)gone);
}

static void cmd_lrem(struct exec *x) {
    struct key_ref ref;
    int64_t count;
    if (!exec_int(x, 2, &count) || !exec_open(x, 1, TYPE_LIST, &ref)) return;
    if (!ref.entry) {
        reply_int(x, 0);
        return;
    }
    uint64_t most = count > 0 ? (uint64_t)count : count < 0 ? -(uint64_t)count : UINT64_MAX;
    enum list_end from = count < 0 ? LIST_TAIL : LIST_HEAD;
    if (list_len(ref.entry) > LIST_AT_ONCE && list_purge_takes_turns(x, from, most)) return;
    list_say_purged(x, &ref, list_purge(x->keys, &ref, from, x->argv[3], most));
}

static void cmd_ltrim(struct exec *x) {
    int64_t start, stop;
    struct key_ref ref;
    if (!exec_int(x, 2, &start) || !exec_int(x, 3, &stop) || !exec_open(x, 1, TYPE_LIST, &ref)) return;
    if (ref.entry) {
        uint64_t len = list_len(ref.entry), first, count;
        clip_range(start, stop, (int64_t)len, &first, &count);
        if (count == 0) first = len;
        list_drop(x->keys, &ref, LIST_HEAD, first);
        if (ref.entry) list_drop(x->keys, &ref, LIST_TAIL, len - first - count);
        exec_changed(x, x->argv[1], len - count);
        exec_event_taken(x, NOTIFY_LIST, "ltrim", &ref);
    }
    reply_ok(x);
}

const struct command list_commands[] = {
    {.name = "lpush",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_INSERT)},
     .where = ON_OWNER,
     .run = cmd_lpush,
     .beside_save = BESIDE_ELEMENTS,
     .takes_turns = true,
     .replays = true,
     .group = "list",
     .since = "1.0.0",
     .cost = "O(N), N = number of elements",
     .args = "key element [element ...]",
     .doc = "Puts elements before the first one, one after the other; creates the list."},
    {.name = "rpush",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_INSERT)},
     .where = ON_OWNER,
     .run = cmd_rpush,
     .beside_save = BESIDE_ELEMENTS,
     .takes_turns = true,
     .replays = true,
     .group = "list",
     .since = "1.0.0",
     .cost = "O(N), N = number of elements",
     .args = "key element [element ...]",
     .doc = "Puts elements behind the last one; creates the list."},
    {.name = "lpushx",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_INSERT)},
     .where = ON_OWNER,
     .run = cmd_lpushx,
     .beside_save = BESIDE_ELEMENTS,
     .takes_turns = true,
     .replays = true,
     .group = "list",
     .since = "2.2.0",
     .cost = "O(N), N = number of elements",
     .args = "key element [element ...]",
     .doc = "Puts elements before the first one if the list is there."},
    {.name = "rpushx",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_INSERT)},
     .where = ON_OWNER,
     .run = cmd_rpushx,
     .beside_save = BESIDE_ELEMENTS,
     .takes_turns = true,
     .replays = true,
     .group = "list",
     .since = "2.2.0",
     .cost = "O(N), N = number of elements",
     .args = "key element [element ...]",
     .doc = "Puts elements behind the last one if the list is there."},
    {.name = "lpop",
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_lpop,
     .answers = pop_answers,
     .beside_save = BESIDE_COUNT,
     .takes_turns = true,
     .group = "list",
     .since = "1.0.0",
     .cost = "O(N), N = number of elements taken",
     .args = "key [count]",
     .doc = "Takes out and answers the first element, or several."},
    {.name = "rpop",
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_rpop,
     .answers = pop_answers,
     .beside_save = BESIDE_COUNT,
     .takes_turns = true,
     .group = "list",
     .since = "1.0.0",
     .cost = "O(N), N = number of elements taken",
     .args = "key [count]",
     .doc = "Takes out and answers the last element, or several."},
    {.name = "llen",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_llen,
     .group = "list",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Answers the length of a list."},
    {.name = "lindex",
     .arity = 3,
     .flags = CMD_READ,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_lindex,
     .answers = index_answers,
     .group = "list",
     .since = "1.0.0",
     .cost = "O(N), N = nodes of the list up to the element, from the nearer end; a node is 8 KiB",
     .args = "key index",
     .doc = "Answers the element at an index; negative ones count from the tail."},
    {.name = "lrange",
     .arity = 4,
     .flags = CMD_READ,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_lrange,
     .answers = range_answers,
     .group = "list",
     .since = "1.0.0",
     .cost = "O(S+N), S = nodes up to start from the nearer end, N = elements answered",
     .args = "key start stop",
     .doc = "Answers the elements from one index to another, both included."},
    {.name = "lpos",
     .arity = -3,
     .flags = CMD_READ,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_lpos,
     .takes_turns = true,
     .group = "list",
     .since = "6.0.6",
     .cost = "O(N), N = elements looked at",
     .args = "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
     .doc = "Answers at which index an element stands, or at which several."},
    {.name = "lset",
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_lset,
     .replays = true,
     .group = "list",
     .since = "1.0.0",
     .cost = "O(N), N = nodes of the list up to the element, from the nearer end",
     .args = "key index element",
     .doc = "Replaces the element at an index."},
    {.name = "linsert",
     .arity = 5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_INSERT)},
     .where = ON_OWNER,
     .run = cmd_linsert,
     .takes_turns = true,
     .replays = true,
     .group = "list",
     .since = "2.2.0",
     .cost = "O(N), N = elements up to the pivot",
     .args = "key <BEFORE | AFTER> pivot element",
     .doc = "Inserts an element beside the first one that equals the pivot."},
    {.name = "lrem",
     .arity = 4,
     .flags = CMD_WRITE,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_lrem,
     .takes_turns = true,
     .replays = true,
     .group = "list",
     .since = "1.0.0",
     .cost = "O(N), N = length of the list",
     .args = "key count element",
     .doc = "Takes out elements of a value: the first ones, the last ones (negative count) or all (0)."},
    {.name = "ltrim",
     .arity = 4,
     .flags = CMD_WRITE,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_ltrim,
     .beside_save = BESIDE_ELEMENTS,
     .replays = true,
     .group = "list",
     .since = "1.0.0",
     .cost = "O(N), N = nodes taken out; their memory is freed later",
     .args = "key start stop",
     .doc = "Keeps the elements from one index to another and takes out the others."},
    {0},
};
