/* Strings, the whole value at once: SET and GET in all their forms.
 *
 * The other string commands: cmd_string_edit.c (parts of a value, numbers), cmd_string_many.c (several keys) and
 * cmd_string_compare.c (what SET's conditions on the old value mean).
 *
 * GET and a SET without options are most of what a cache does: each is one look-up, writes its reply straight into
 * x->out and, when an overwritten value fits its block, allocates nothing.
 *
 * Options are parsed as Redis does: in any order, repeated ones allowed, the last deadline wins, and anything that
 * contradicts what came before is a syntax error. Errors are found in Redis's order: syntax, deadline, type. */
#include "shards/answer_work.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/exec.h"
#include "shards/string_compare.h"
#include "shards/tell_work.h"

enum set_option {
    OPT_NX = 1 << 0,
    OPT_XX = 1 << 1,
    OPT_COMPARE = 1 << 2, /* IFEQ and its like */
    OPT_GET = 1 << 3,
    OPT_KEEPTTL = 1 << 4,
    OPT_PERSIST = 1 << 5,
    OPT_EX = 1 << 6, /* the four deadlines: one kind per command */
    OPT_PX = 1 << 7,
    OPT_EXAT = 1 << 8,
    OPT_PXAT = 1 << 9,
};
#define OPT_CONDITION (OPT_NX | OPT_XX | OPT_COMPARE)
#define OPT_DEADLINE  (OPT_EX | OPT_PX | OPT_EXAT | OPT_PXAT)
#define OPT_LIFETIME  (OPT_DEADLINE | OPT_KEEPTTL | OPT_PERSIST)

#define FOR_SET   (OPT_CONDITION | OPT_GET | OPT_KEEPTTL | OPT_DEADLINE)
#define FOR_GETEX (OPT_PERSIST | OPT_DEADLINE)

/* An option word, and which options before it make it a syntax error. Repeating one is fine, except those that
 * compare. */
struct option_row {
    struct slice word;
    unsigned option, excluded_by;
    bool takes_value;
};

static const struct option_row option_rows[] = {
    {SLICE_INIT("nx"), OPT_NX, OPT_CONDITION & ~OPT_NX, false},
    {SLICE_INIT("xx"), OPT_XX, OPT_CONDITION & ~OPT_XX, false},
    {SLICE_INIT("ifeq"), OPT_COMPARE, OPT_CONDITION, true},
    {SLICE_INIT("ifne"), OPT_COMPARE, OPT_CONDITION, true},
    {SLICE_INIT("ifdeq"), OPT_COMPARE, OPT_CONDITION, true},
    {SLICE_INIT("ifdne"), OPT_COMPARE, OPT_CONDITION, true},
    {SLICE_INIT("get"), OPT_GET, 0, false},
    {SLICE_INIT("keepttl"), OPT_KEEPTTL, OPT_LIFETIME & ~OPT_KEEPTTL, false},
    {SLICE_INIT("persist"), OPT_PERSIST, OPT_LIFETIME & ~OPT_PERSIST, false},
    {SLICE_INIT("ex"), OPT_EX, OPT_LIFETIME & ~OPT_EX, true},
    {SLICE_INIT("px"), OPT_PX, OPT_LIFETIME & ~OPT_PX, true},
    {SLICE_INIT("exat"), OPT_EXAT, OPT_LIFETIME & ~OPT_EXAT, true},
    {SLICE_INIT("pxat"), OPT_PXAT, OPT_LIFETIME & ~OPT_PXAT, true},
};

struct options {
    unsigned set;         /* enum set_option */
    uint32_t deadline_at; /* position in argv; 0: none */
    uint32_t compare_at;  /* what is compared, as the word before it says; 0: nothing */
};

static const struct option_row *option_find(struct slice word) {
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++)
        if (slice_equal_nocase(word, option_rows[i].word)) return &option_rows[i];
    return NULL;
}

/* Reads argv[first ..]; false when it is not an option that `allowed` has: the syntax error was replied. */
static bool parse_options(struct exec *x, uint32_t first, unsigned allowed, struct options *out) {
    *out = (struct options){0};
    for (uint32_t at = first; at < x->argc; at++) {
        const struct option_row *row = option_find(x->argv[at]);
        bool fits = row && (row->option & allowed) && !(row->excluded_by & out->set);
        if (!fits || (row->takes_value && at + 1 == x->argc)) {
            reply_syntax_error(x);
            return false;
        }
        out->set |= row->option;
        if (!row->takes_value) continue;
        at++;
        if (row->option == OPT_COMPARE)
            out->compare_at = at;
        else
            out->deadline_at = at;
    }
    return true;
}

/* argv[at], read as `unit` (an OPT_DEADLINE) says, as an absolute deadline. False: the error was replied. */
static bool read_deadline(struct exec *x, uint32_t at, unsigned unit, uint64_t *deadline_ms) {
    int64_t when;
    if (!exec_int(x, at, &when)) return false;
    bool overflow = when <= 0;
    if (unit & (OPT_EX | OPT_EXAT)) overflow |= __builtin_mul_overflow(when, 1000, &when);
    if (unit & (OPT_EX | OPT_PX)) overflow |= __builtin_add_overflow(when, (int64_t)x->shared->now_ms, &when);
    if (overflow) {
        reply_errorf(x, "ERR invalid expire time in '%s' command", x->slot->row->name);
        return false;
    }
    *deadline_ms = (uint64_t)when;
    return true;
}

static void reply_value(struct exec *x, const struct entry *entry) {
    if (entry)
        reply_entry(x, entry);
    else
        reply_null(x);
}

/* Is there no room to reply it yet? */
static bool value_waits(struct exec *x, const struct entry *entry) {
    return entry && answer_waits_for(x, entry_string_len(entry));
}

static void put(struct exec *x, struct key_ref *ref, uint32_t value_at, uint64_t deadline_ms) {
    keyspace_put_string(x->keys, ref, x->argv[value_at], deadline_ms, true);
    exec_changed(x, ref->key, 1);
    exec_event_as(x, NOTIFY_STRING, "set", ref->key);
    if (UNLIKELY(x->argv[value_at].len > x->shard->effects.tell_bytes)) /* else the command, or its caller, says it */
        (void)tell_takes_turns(x, ref, &(struct tell){.key_at = 1, .db = x->db});
}

/* --- SET --- */

/* May it be set, as its condition says? The key is of type string when something is compared with it. */
static bool condition_met(const struct exec *x, const struct options *options, const struct entry *old) {
    uint32_t at = options->compare_at;
    if (options->set & OPT_NX) return !old;
    if (options->set & OPT_XX) return old;
    return !at || string_compare_holds(x, string_compare_of(x->argv[at - 1]), old, x->argv[at]);
}

static void set_with_options(struct exec *x) {
    struct options options;
    uint64_t deadline_ms = 0;
    if (!parse_options(x, 3, FOR_SET, &options)) return;
    if (options.deadline_at && !read_deadline(x, options.deadline_at, options.set, &deadline_ms)) return;

    struct key_ref ref;
    if (options.set & OPT_GET) {
        if (!exec_read(x, 1, TYPE_STRING, &ref)) return;
    } else if (options.compare_at) {
        if (!exec_open(x, 1, TYPE_STRING, &ref)) return;
    } else {
        exec_open_any(x, 1, &ref);
    }
    uint32_t at = options.compare_at;
    enum string_compare how = at ? string_compare_of(x->argv[at - 1]) : COMPARE_NOTHING;
    if (at && !string_compare_makes_sense(x, how, ref.entry, x->argv[at])) return;
    if (string_compare_takes_turns(x, how, ref.entry)) return;
    /* GET's answer is the old value, whether the condition is met or not. */
    if (options.set & OPT_GET && value_waits(x, ref.entry)) return;
    if (options.set & OPT_GET) reply_value(x, ref.entry);
    if (!condition_met(x, &options, ref.entry)) {
        if (!(options.set & OPT_GET)) reply_null(x);
        return;
    }
    if ((options.set & OPT_KEEPTTL) && ref.entry) deadline_ms = entry_deadline_ms(ref.entry);
    put(x, &ref, 2, deadline_ms);
    if (options.deadline_at) exec_event_as(x, NOTIFY_GENERIC, "expire", x->argv[1]);
    /* What counts from now would count from later; older Redis does not compare. */
    if (options.set & (OPT_EX | OPT_PX | OPT_COMPARE)) effect_set(x, x->argv[1], x->argv[2], deadline_ms);
    if (!(options.set & OPT_GET)) reply_ok(x);
}

/* With GET, what was there. */
static uint64_t set_answers(const struct exec *x) {
    for (uint32_t at = 3; at < x->argc; at++)
        if (arg_is(x, at, "get")) return answer_string_bytes(x);
    return 0;
}

static void cmd_set(struct exec *x) {
    if (UNLIKELY(x->argc != 3)) {
        set_with_options(x);
        return;
    }
    struct key_ref ref;
    exec_open_any(x, 1, &ref);
    put(x, &ref, 2, 0);
    reply_ok(x);
}

static void cmd_setnx(struct exec *x) {
    struct key_ref ref;
    if (exec_open_any(x, 1, &ref)) {
        reply_int(x, 0);
        return;
    }
    put(x, &ref, 2, 0);
    reply_int(x, 1);
}

static void set_for(struct exec *x, unsigned unit) {
    uint64_t deadline_ms;
    if (!read_deadline(x, 2, unit, &deadline_ms)) return;
    struct key_ref ref;
    exec_open_any(x, 1, &ref);
    put(x, &ref, 3, deadline_ms);
    exec_event_as(x, NOTIFY_GENERIC, "expire", x->argv[1]);
    effect_set(x, x->argv[1], x->argv[3], deadline_ms);
    reply_ok(x);
}

static void cmd_setex(struct exec *x) {
    set_for(x, OPT_EX);
}

static void cmd_psetex(struct exec *x) {
    set_for(x, OPT_PX);
}

/* --- GET --- */

static void cmd_get(struct exec *x) {
    struct key_ref ref;
    char scratch[ENTRY_SCRATCH];
    if (!exec_read(x, 1, TYPE_STRING, &ref)) return;
    if (!ref.entry) {
        reply_null(x);
        return;
    }
    struct slice value = entry_string(ref.entry, scratch);
    if (!answer_waits_for(x, value.len)) reply_bulk(x, value);
}

static void cmd_getset(struct exec *x) {
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_STRING, &ref) || value_waits(x, ref.entry)) return;
    reply_value(x, ref.entry);
    put(x, &ref, 2, 0);
}

static void remove_key(struct exec *x, struct key_ref *ref) {
    keyspace_remove(x->keys, ref);
    exec_changed(x, ref->key, 1);
    exec_event_as(x, NOTIFY_GENERIC, "del", ref->key);
    effect_del(x, x->db, ref->key);
}

static void cmd_getdel(struct exec *x) {
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_STRING, &ref) || value_waits(x, ref.entry)) return;
    reply_value(x, ref.entry);
    if (ref.entry) remove_key(x, &ref);
}

/* An absolute deadline that has passed deletes the key at once, where SET would leave that to expiry. */
static void cmd_getex(struct exec *x) {
    struct options options;
    uint64_t deadline_ms = 0;
    if (!parse_options(x, 2, FOR_GETEX, &options)) return;
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_STRING, &ref)) return;
    if (!ref.entry) {
        reply_null(x);
        return;
    }
    if (options.deadline_at && !read_deadline(x, options.deadline_at, options.set, &deadline_ms)) return;
    if (value_waits(x, ref.entry)) return;
    reply_entry(x, ref.entry);

    if ((options.set & (OPT_EXAT | OPT_PXAT)) && deadline_ms <= x->shared->now_ms) {
        remove_key(x, &ref);
    } else if (deadline_ms || ((options.set & OPT_PERSIST) && entry_deadline_ms(ref.entry))) {
        keyspace_set_deadline(x->keys, &ref, deadline_ms);
        exec_changed(x, ref.key, 1);
        exec_event_as(x, NOTIFY_GENERIC, deadline_ms ? "expire" : "persist", ref.key);
        effect_deadline(x, ref.key, deadline_ms);
    }
}

static uint32_t access_of_set(const struct slice *argv, uint32_t argc) {
    for (uint32_t at = 3; at < argc; at++)
        if (slice_is(argv[at], "get")) return KEY_RW | KEY_ACCESS | KEY_UPDATE;
    return KEY_OW | KEY_UPDATE;
}

const struct command string_commands[] = {
    {.name = "set",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {{.first = 1,
               .last = 1,
               .step = 1,
               .access = KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE,
               .access_in = access_of_set}},
     .where = ON_OWNER,
     .run = cmd_set,
     .answers = set_answers,
     .takes_turns = true, /* where the digest of a long value is compared, or the log told of one */
     .replays = true,
     .group = "string",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key value [NX | XX | IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest] "
             "[GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
     .doc = "Stores a string under a key, whatever was there before; options make it conditional, give it a "
            "deadline or return the old value."},
    {.name = "setnx",
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_INSERT)},
     .where = ON_OWNER,
     .run = cmd_setnx,
     .takes_turns = true,
     .replays = true,
     .group = "string",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key value",
     .doc = "Stores a string if there is nothing under the key yet."},
    {.name = "setex",
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_setex,
     .takes_turns = true,
     .group = "string",
     .since = "2.0.0",
     .cost = "O(1)",
     .args = "key seconds value",
     .doc = "Stores a string that lives for a number of seconds."},
    {.name = "psetex",
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_psetex,
     .takes_turns = true,
     .group = "string",
     .since = "2.6.0",
     .cost = "O(1)",
     .args = "key milliseconds value",
     .doc = "Stores a string that lives for a number of milliseconds."},
    {.name = "get",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_get,
     .answers = answer_string_bytes,
     .group = "string",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Answers the string under a key."},
    {.name = "getex",
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_getex,
     .answers = answer_string_bytes,
     .group = "string",
     .since = "6.2.0",
     .cost = "O(1)",
     .args = "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
     .doc = "Answers the string under a key and changes or removes its deadline."},
    {.name = "getdel",
     .arity = 2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_getdel,
     .answers = answer_string_bytes,
     .group = "string",
     .since = "6.2.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Answers the string under a key and deletes the key."},
    {.name = "getset",
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_getset,
     .answers = answer_string_bytes,
     .takes_turns = true,
     .replays = true,
     .group = "string",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key value",
     .doc = "Stores a string and answers the one it replaces."},
    {0},
};
