/* Lists: pushing, popping, reading and changing one list (shards/list.h).
 *
 * Where arguments are checked before the key is looked up and where after differs from command to command; clients see
 * it, so the order here is Redis's. Negative indices count from the tail. */
#include "core/assert.h"
#include "shards/cmd_list_priv.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"

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

void list_take(struct exec *x, struct key_ref *ref, enum list_end end, uint64_t count) {
    struct quicklist_iter iter = list_seek(ref->entry, end == LIST_HEAD ? 0 : list_len(ref->entry));
    reply_elements(x, &iter, end, count);
    list_drop(x->keys, ref, end, count);
}

void list_say_popped(struct exec *x, struct slice key, enum list_end end, uint64_t count) {
    exec_changed(x, key, count);
    effect_pop(x, pop_name(end), key, count);
}

void list_pop_many(struct exec *x, struct key_ref *ref, enum list_end end, uint64_t count) {
    uint64_t popped = MIN(count, list_len(ref->entry));
    reply_array(x, popped);
    list_take(x, ref, end, popped);
    list_event_popped(x, ref, end);
    list_say_popped(x, ref->key, end, popped);
}

/* --- pushing and popping --- */

static void push(struct exec *x, enum list_end end, bool only_if_there) {
    struct key_ref ref;
    if (!exec_open(x, 1, TYPE_LIST, &ref)) return;
    if (only_if_there && !ref.entry) {
        reply_int(x, 0);
        return;
    }
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
        uint64_t taken = MIN((uint64_t)count, list_len(ref.entry));
        if (!list_pop_takes_turns(x, end, taken)) list_pop_many(x, &ref, end, taken);
    }
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
    int64_t len = (int64_t)list_len(ref.entry);
    if (index < 0) index += len;
    if (index < 0 || index >= len) {
        reply_null(x);
        return;
    }
    struct quicklist_iter iter = list_seek(ref.entry, (uint64_t)index);
    (void)quicklist_next(&iter, &value);
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

/* Replies the positions of matches as integers; how many. */
static uint64_t reply_positions(struct exec *x, const struct entry *entry, const struct lpos_options *options) {
    enum list_end from = options->rank > 0 ? LIST_HEAD : LIST_TAIL;
    struct packed_value sought = packed_value_of(x->argv[2]), value;
    uint64_t len = list_len(entry), most = options->count > 0 ? (uint64_t)options->count : UINT64_MAX, found = 0;
    /* The smallest rank there is has no opposite: Redis takes it for -1. */
    uint64_t skip = options->rank == INT64_MIN ? 0 : (uint64_t)(options->rank > 0 ? options->rank : -options->rank) - 1;
    if (options->count < 0) most = 1;
    struct quicklist_iter iter = list_seek(entry, from == LIST_HEAD ? 0 : len);
    for (uint64_t passed = 0; found < most && list_step(&iter, from, &value); passed++) {
        if (options->maxlen && passed >= (uint64_t)options->maxlen) break;
        if (!packed_equal(&value, &sought)) continue;
        if (skip > 0) {
            skip--;
            continue;
        }
        reply_int(x, (int64_t)(from == LIST_HEAD ? passed : len - 1 - passed));
        found++;
    }
    return found;
}

static void cmd_lpos(struct exec *x) {
    struct lpos_options options;
    struct key_ref ref;
    if (!parse_lpos(x, &options) || !exec_read(x, 1, TYPE_LIST, &ref)) return;
    size_t mark = resp_array_open(x->out);
    uint64_t found = ref.entry ? reply_positions(x, ref.entry, &options) : 0;
    if (options.count >= 0)
        resp_array_close(x->out, mark, found);
    else if (found == 0)
        reply_null(x);
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

/* Where the first element that equals text stands; false when there is none. */
static bool find_first(const struct entry *entry, struct slice text, uint64_t *index) {
    struct packed_value sought = packed_value_of(text), value;
    struct quicklist_iter iter = list_seek(entry, 0);
    for (*index = 0; quicklist_next(&iter, &value); ++*index)
        if (packed_equal(&value, &sought)) return true;
    return false;
}

static void cmd_linsert(struct exec *x) {
    struct key_ref ref;
    uint64_t index;
    bool after = arg_is(x, 2, "after");
    if (!after && !arg_is(x, 2, "before")) {
        reply_syntax_error(x);
        return;
    }
    if (!exec_open(x, 1, TYPE_LIST, &ref)) return;
    if (!ref.entry) {
        reply_int(x, 0);
    } else if (!find_first(ref.entry, x->argv[3], &index)) {
        reply_int(x, -1);
    } else {
        list_insert(x->keys, &ref, index + after, x->argv[4]);
        exec_changed(x, x->argv[1], 1);
        exec_event(x, NOTIFY_LIST, x->argv[1]);
        reply_int(x, (int64_t)list_len(ref.entry));
    }
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
    uint64_t gone = list_purge(x->keys, &ref, count < 0 ? LIST_TAIL : LIST_HEAD, x->argv[3], most);
    if (gone > 0) {
        exec_changed(x, x->argv[1], gone);
        exec_event_taken(x, NOTIFY_LIST, "lrem", &ref);
    }
    reply_int(x, (int64_t)gone);
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
     .replays = true,
     .group = "list",
     .since = "1.0.0",
     .cost = "O(N), N = nodes taken out; their memory is freed later",
     .args = "key start stop",
     .doc = "Keeps the elements from one index to another and takes out the others."},
    {0},
};
