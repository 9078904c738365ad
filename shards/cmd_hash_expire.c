/* Hashes whose fields end by themselves: HEXPIRE and its relatives (Redis 7.4), HGETEX, HSETEX, HGETDEL (Redis 8.0).
 *
 * A deadline that has passed when it is set takes the field out at once. What is over later is taken out by whoever
 * looks at the key next (shards/keyspace.h), so nothing here asks whether a field is still good. The order of checks is
 * Redis's: the type comes first, but for HSETEX. */
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/args_work.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/exec.h"
#include "shards/hash_value.h"

#define DEADLINE_MAX   ((1ll << 46) - 1) /* milliseconds; Redis's limit */
#define NOT_POSITIVE   "ERR Number of fields must be a positive integer"
#define NOT_MATCHING   "ERR The `numfields` parameter must match the number of arguments"
#define FIELDS_MISSING "ERR Mandatory argument FIELDS is missing or not at the right position"

/* --- arguments --- */

struct list { /* argv[first .. argc) */
    uint32_t first;
    int64_t count;
};

/* argv[at ..]: FIELDS numfields field ... False: the error was replied. */
static bool parse_fields(struct exec *x, uint32_t at, const char *not_positive, struct list *list) {
    const char *error = NULL;
    if (at >= x->argc || !arg_is(x, at, "fields"))
        error = FIELDS_MISSING;
    else if (at + 1 >= x->argc)
        error = NOT_MATCHING;
    else if (!num_parse_i64(x->argv[at + 1], &list->count) || list->count < 1)
        error = not_positive;
    else if (list->count != (int64_t)(x->argc - at - 2))
        error = NOT_MATCHING;
    if (error) reply_error(x, error);
    list->first = at + 2;
    return !error;
}

/* Very many fields take turns; then there is no reply yet. */
static bool fields_take_turns(struct exec *x, const struct list *list) {
    struct args_parts parts = {.first = list->first, .step = 1, .count_at = list->first - 1, .reply = ARGS_LIST};
    return args_take_turns(x, parts);
}

/* What a deadline is given in. */
struct unit {
    int64_t ms;
    bool relative;
};
static const struct unit in_s = {1000, true}, in_ms = {1, true}, at_s = {1000, false}, at_ms = {1, false};

static bool parse_deadline(struct exec *x, uint32_t at, struct unit unit, int64_t *deadline_ms) {
    int64_t now = unit.relative ? (int64_t)x->shared->now_ms : 0, value;
    if (!exec_int(x, at, &value)) return false;
    if (value < 0) {
        reply_error(x, "ERR invalid expire time, must be >= 0");
        return false;
    }
    if (value > DEADLINE_MAX / unit.ms || value * unit.ms > DEADLINE_MAX - now) {
        reply_errorf(x, "ERR invalid expire time in '%s' command", x->slot->row->name);
        return false;
    }
    *deadline_ms = value * unit.ms + now;
    return true;
}

/* EX, PX, EXAT or PXAT. */
static bool is_unit(const struct exec *x, uint32_t at, struct unit *unit) {
    bool ex = arg_is(x, at, "ex"), px = arg_is(x, at, "px"), exat = arg_is(x, at, "exat"), pxat = arg_is(x, at, "pxat");
    *unit = ex ? in_s : px ? in_ms : exat ? at_s : at_ms;
    return ex || px || exat || pxat;
}

/* --- one field --- */

static bool has(const struct key_ref *ref, struct slice field) {
    struct packed_value value;
    return ref->entry && hash_get(ref->entry, field, &value);
}

static void take_out(struct exec *x, struct key_ref *ref, struct slice field) {
    (void)hash_remove(x->keys, ref, field);
    effect_add(x, x->db, (struct slice[]){SLICE("HDEL"), x->argv[1], field}, 3);
}

static bool is_over(const struct exec *x, int64_t deadline_ms) {
    return deadline_ms <= (int64_t)x->shared->now_ms;
}

/* Of a field that is there. False: its time is over already, and it was taken out. */
static bool set_deadline(struct exec *x, struct key_ref *ref, struct slice field, int64_t deadline_ms) {
    if (is_over(x, deadline_ms)) {
        take_out(x, ref, field);
        return false;
    }
    hash_set_deadline(x->keys, ref, field, (uint64_t)deadline_ms);
    effect_field_deadline(x, x->argv[1], field, (uint64_t)deadline_ms);
    return true;
}

/* --- HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT --- */

enum condition { ALWAYS, WITHOUT, WITH, LATER, EARLIER };

static enum condition condition_of(const struct exec *x, uint32_t at) {
    if (arg_is(x, at, "nx")) return WITHOUT;
    if (arg_is(x, at, "xx")) return WITH;
    if (arg_is(x, at, "gt")) return LATER;
    return arg_is(x, at, "lt") ? EARLIER : ALWAYS;
}

/* No deadline is later than any other. */
static bool is_met(enum condition condition, uint64_t old, uint64_t fresh) {
    switch (condition) {
    case WITHOUT: return old == 0;
    case WITH: return old != 0;
    case LATER: return old != 0 && fresh > old;
    case EARLIER: return old == 0 || fresh < old;
    default: return true;
    }
}

enum { NO_FIELD = -2, NOT_MET = 0, IS_SET = 1, IS_GONE = 2, NO_DEADLINE = -1 };

/* The keyspace events: fields got deadlines, and others that have passed. */
static void tell_times(struct exec *x, const struct key_ref *ref, uint64_t set, uint64_t gone) {
    if (set) exec_event_as(x, NOTIFY_HASH, "hexpire", x->argv[1]);
    if (gone) exec_event_taken(x, NOTIFY_HASH, "hdel", ref);
}

static void expire(struct exec *x, struct unit unit) {
    struct key_ref ref;
    struct list list;
    int64_t deadline_ms;
    uint64_t set = 0, gone = 0;
    if (!exec_open(x, 1, TYPE_HASH, &ref) || !parse_deadline(x, 2, unit, &deadline_ms)) return;
    enum condition condition = condition_of(x, 3);
    if (!parse_fields(x, condition == ALWAYS ? 3 : 4, "ERR Parameter `numFields` should be greater than 0", &list))
        return;
    if (fields_take_turns(x, &list)) return;
    reply_array(x, (uint64_t)list.count);
    for (uint32_t at = list.first; at < x->argc; at++) {
        struct slice field = x->argv[at];
        if (!has(&ref, field)) {
            reply_int(x, NO_FIELD);
        } else if (!is_met(condition, hash_deadline(ref.entry, field), (uint64_t)deadline_ms)) {
            reply_int(x, NOT_MET);
        } else {
            bool stays = set_deadline(x, &ref, field, deadline_ms);
            reply_int(x, stays ? IS_SET : IS_GONE);
            set += stays;
            gone += !stays;
        }
    }
    if (set + gone) exec_changed(x, x->argv[1], set + gone);
    tell_times(x, &ref, set, gone);
}

static void cmd_hexpire(struct exec *x) {
    expire(x, in_s);
}
static void cmd_hpexpire(struct exec *x) {
    expire(x, in_ms);
}
static void cmd_hexpireat(struct exec *x) {
    expire(x, at_s);
}
static void cmd_hpexpireat(struct exec *x) {
    expire(x, at_ms);
}

/* --- HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME, HPERSIST --- */

static void tell(struct exec *x, struct unit unit) {
    struct key_ref ref;
    struct list list;
    uint64_t now = unit.relative ? x->shared->now_ms : 0;
    if (!exec_read(x, 1, TYPE_HASH, &ref) || !parse_fields(x, 2, NOT_POSITIVE, &list)) return;
    if (fields_take_turns(x, &list)) return;
    reply_array(x, (uint64_t)list.count);
    for (uint32_t at = list.first; at < x->argc; at++) {
        bool there = has(&ref, x->argv[at]);
        uint64_t deadline = there ? hash_deadline(ref.entry, x->argv[at]) : 0;
        uint64_t rounded = deadline + (uint64_t)unit.ms - 1 - now;
        reply_int(x, !there ? NO_FIELD : !deadline ? NO_DEADLINE : (int64_t)rounded / unit.ms);
    }
}

static void cmd_httl(struct exec *x) {
    tell(x, in_s);
}
static void cmd_hpttl(struct exec *x) {
    tell(x, in_ms);
}
static void cmd_hexpiretime(struct exec *x) {
    tell(x, at_s);
}
static void cmd_hpexpiretime(struct exec *x) {
    tell(x, at_ms);
}

static void cmd_hpersist(struct exec *x) {
    struct key_ref ref;
    struct list list;
    uint64_t changed = 0;
    if (!exec_open(x, 1, TYPE_HASH, &ref) || !parse_fields(x, 2, NOT_POSITIVE, &list)) return;
    if (fields_take_turns(x, &list)) return;
    reply_array(x, (uint64_t)list.count);
    for (uint32_t at = list.first; at < x->argc; at++) {
        bool there = has(&ref, x->argv[at]), timed = there && hash_deadline(ref.entry, x->argv[at]);
        if (timed) hash_set_deadline(x->keys, &ref, x->argv[at], 0);
        changed += timed;
        reply_int(x, !there ? NO_FIELD : timed ? IS_SET : NO_DEADLINE);
    }
    if (!changed) return;
    exec_changed(x, x->argv[1], changed);
    exec_event(x, NOTIFY_HASH, x->argv[1]);
}

/* --- HGETDEL, HGETEX --- */

/* The field's value; true: it is there. */
static bool reply_value(struct exec *x, const struct key_ref *ref, struct slice field) {
    struct packed_value value;
    bool there = ref->entry && hash_get(ref->entry, field, &value);
    if (there)
        reply_packed(x, &value);
    else
        reply_null(x);
    return there;
}

static void cmd_hgetdel(struct exec *x) {
    struct key_ref ref;
    struct list list;
    uint64_t changed = 0;
    if (!exec_open(x, 1, TYPE_HASH, &ref) || !parse_fields(x, 2, NOT_POSITIVE, &list)) return;
    if (fields_take_turns(x, &list)) return;
    reply_array(x, (uint64_t)list.count);
    for (uint32_t at = list.first; at < x->argc; at++) {
        if (!reply_value(x, &ref, x->argv[at])) continue;
        take_out(x, &ref, x->argv[at]);
        changed++;
    }
    if (!changed) return;
    exec_changed(x, x->argv[1], changed);
    exec_event_taken(x, NOTIFY_HASH, "hdel", &ref);
}

/* False: there was none. */
static bool persist(struct exec *x, struct key_ref *ref, struct slice field) {
    if (!hash_deadline(ref->entry, field)) return false;
    hash_set_deadline(x->keys, ref, field, 0);
    effect_field_deadline(x, x->argv[1], field, 0);
    return true;
}

static void cmd_hgetex(struct exec *x) {
    struct key_ref ref;
    struct list list;
    struct unit unit;
    int64_t deadline_ms = 0;
    uint64_t set = 0, gone = 0, persisted = 0;
    if (answer_waits(x) || !exec_open(x, 1, TYPE_HASH, &ref)) return;
    bool sets = is_unit(x, 2, &unit), persists = arg_is(x, 2, "persist");
    if (sets && !parse_deadline(x, 3, unit, &deadline_ms)) return;
    if (!parse_fields(x, sets ? 4 : persists ? 3 : 2, NOT_POSITIVE, &list)) return;
    if (fields_take_turns(x, &list)) return;
    reply_array(x, (uint64_t)list.count);
    for (uint32_t at = list.first; at < x->argc; at++) {
        struct slice field = x->argv[at];
        if (!reply_value(x, &ref, field)) continue;
        bool stays = sets && set_deadline(x, &ref, field, deadline_ms);
        set += stays;
        gone += sets && !stays;
        persisted += persists && persist(x, &ref, field);
    }
    if (set + gone + persisted) exec_changed(x, x->argv[1], set + gone + persisted);
    tell_times(x, &ref, set, gone);
    if (persisted) exec_event_as(x, NOTIFY_HASH, "hpersist", x->argv[1]);
}

/* --- HSETEX --- */

struct setting {
    bool if_none, if_all; /* of the fields is there */
    bool keeps, sets;     /* deadlines */
    int64_t deadline_ms;
    uint32_t first; /* field value ... */
    uint32_t pairs;
};

#define ONE_CONDITION "ERR Only one of FXX or FNX arguments can be specified"
#define ONE_DEADLINE  "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"

static bool parse_pairs(struct exec *x, uint32_t at, struct setting *setting) {
    int64_t count;
    if (at + 3 >= x->argc) {
        reply_wrong_arity(x);
        return false;
    }
    if (!num_parse_i64(x->argv[at + 1], &count) || count < 1 || count > INT32_MAX) {
        reply_error(x, "ERR invalid number of fields");
        return false;
    }
    setting->first = at + 2;
    setting->pairs = (x->argc - at - 2) / 2;
    bool fits = (x->argc - at) % 2 == 0 && count == setting->pairs;
    if (!fits) reply_wrong_arity(x);
    return fits;
}

/* One option at *at, which is then its last word. False: the error was replied. */
static bool take_option(struct exec *x, uint32_t *at, struct setting *setting) {
    struct unit unit;
    bool fnx = arg_is(x, *at, "fnx"), fxx = arg_is(x, *at, "fxx"), keeps = arg_is(x, *at, "keepttl");
    bool sets = is_unit(x, *at, &unit);
    const char *error = NULL;
    if ((fnx || fxx) && (setting->if_none || setting->if_all))
        error = ONE_CONDITION;
    else if ((keeps || sets) && (setting->keeps || setting->sets))
        error = ONE_DEADLINE;
    else if (sets && *at + 1 >= x->argc)
        error = "ERR missing expire time";
    else if (!fnx && !fxx && !keeps && !sets)
        reply_errorf(x, "ERR unknown argument: %.*s", (int)x->argv[*at].len, x->argv[*at].ptr);
    if (error) reply_error(x, error);
    setting->if_none |= fnx;
    setting->if_all |= fxx;
    setting->keeps |= keeps;
    setting->sets |= sets;
    if (error || !(fnx || fxx || keeps || sets)) return false;
    return !sets || parse_deadline(x, ++*at, unit, &setting->deadline_ms);
}

static bool parse_setting(struct exec *x, struct setting *setting) {
    for (uint32_t at = 2; at < x->argc; at++) {
        if (arg_is(x, at, "fields")) return parse_pairs(x, at, setting);
        if (!take_option(x, &at, setting)) return false;
    }
    reply_wrong_arity(x); /* no FIELDS: then Redis has read past the last argument */
    return false;
}

static bool may_set(const struct exec *x, const struct key_ref *ref, const struct setting *setting) {
    for (uint32_t i = 0; i < setting->pairs && (setting->if_none || setting->if_all); i++)
        if (has(ref, x->argv[setting->first + 2 * i]) != setting->if_all) return false;
    return true;
}

/* Sets a field; its deadline is what is asked for. */
static void set_field(struct exec *x, struct key_ref *ref, const struct setting *setting, const struct slice pair[2]) {
    uint64_t deadline = setting->sets ? (uint64_t)setting->deadline_ms : 0;
    if (setting->keeps && ref->entry) deadline = hash_deadline(ref->entry, pair[0]);
    hash_set(x->keys, ref, pair, 1);
    effect_add(x, x->db, (struct slice[]){SLICE("HSET"), x->argv[1], pair[0], pair[1]}, 4);
    if (!deadline) return;
    hash_set_deadline(x->keys, ref, pair[0], deadline);
    effect_field_deadline(x, x->argv[1], pair[0], deadline);
}

static void cmd_hsetex(struct exec *x) {
    struct setting setting = {0};
    struct key_ref ref;
    if (!parse_setting(x, &setting) || !exec_open(x, 1, TYPE_HASH, &ref)) return;
    if (!may_set(x, &ref, &setting)) {
        reply_int(x, 0);
        return;
    }
    struct args_parts parts = {.first = setting.first, .step = 2, .count_at = setting.first - 1, .reply = ARGS_LAST};
    bool of_all = setting.if_none || setting.if_all; /* a condition of all fields is not one of some */
    if (!of_all && args_take_turns(x, parts)) return;
    bool over = setting.sets && is_over(x, setting.deadline_ms);
    for (uint32_t i = 0; i < setting.pairs; i++) {
        const struct slice *pair = &x->argv[setting.first + 2 * i];
        if (!over)
            set_field(x, &ref, &setting, pair);
        else if (has(&ref, pair[0]))
            take_out(x, &ref, pair[0]);
        else
            effect_add(x, x->db, (struct slice[]){SLICE("HDEL"), x->argv[1], pair[0]}, 3); /* it came and went */
    }
    exec_changed(x, x->argv[1], setting.pairs);
    if (!over) exec_event_as(x, NOTIFY_HASH, "hset", x->argv[1]);
    tell_times(x, &ref, setting.sets && !over, over);
    reply_int(x, 1);
}

#define IN_HASH                                                                                                        \
    .acl = ACL_HASH, .where = ON_OWNER, .takes_turns = true, .group = "hash", .cost = "O(N), N = number of fields"
#define EXPIRES                                                                                                        \
    IN_HASH, .arity = -6, .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .since = "7.4.0",                               \
             .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)}
#define TELLS                                                                                                          \
    IN_HASH, .arity = -5, .flags = CMD_READ | CMD_FAST, .since = "7.4.0", .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)}
#define FIELDS "FIELDS numfields field [field ...]"
#define UNITS  "EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | "

const struct command hash_expire_commands[] = {
    {.name = "hexpire",
     EXPIRES,
     .run = cmd_hexpire,
     .args = "key seconds [NX | XX | GT | LT] " FIELDS,
     .doc = "Lets fields end in so many seconds."},
    {.name = "hpexpire",
     EXPIRES,
     .run = cmd_hpexpire,
     .args = "key milliseconds [NX | XX | GT | LT] " FIELDS,
     .doc = "Lets fields end in so many milliseconds."},
    {.name = "hexpireat",
     EXPIRES,
     .run = cmd_hexpireat,
     .args = "key unix-time-seconds [NX | XX | GT | LT] " FIELDS,
     .doc = "Lets fields end at a Unix time in seconds."},
    {.name = "hpexpireat",
     EXPIRES,
     .run = cmd_hpexpireat,
     .args = "key unix-time-milliseconds [NX | XX | GT | LT] " FIELDS,
     .doc = "Lets fields end at a Unix time in milliseconds."},
    {.name = "httl", TELLS, .run = cmd_httl, .args = "key " FIELDS, .doc = "Answers in how many seconds fields end."},
    {.name = "hpttl",
     TELLS,
     .run = cmd_hpttl,
     .args = "key " FIELDS,
     .doc = "Answers in how many milliseconds fields end."},
    {.name = "hexpiretime",
     TELLS,
     .run = cmd_hexpiretime,
     .args = "key " FIELDS,
     .doc = "Answers the Unix times, in seconds, at which fields end."},
    {.name = "hpexpiretime",
     TELLS,
     .run = cmd_hpexpiretime,
     .args = "key " FIELDS,
     .doc = "Answers the Unix times, in milliseconds, at which fields end."},
    {.name = "hpersist",
     IN_HASH,
     .arity = -5,
     .flags = CMD_WRITE | CMD_FAST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .run = cmd_hpersist,
     .replays = true,
     .since = "7.4.0",
     .args = "key " FIELDS,
     .doc = "Lets fields stay for ever."},
    {.name = "hgetdel",
     IN_HASH,
     .arity = -5,
     .flags = CMD_WRITE | CMD_FAST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .run = cmd_hgetdel,
     .answers = answer_fields_bytes,
     .since = "8.0.0",
     .args = "key " FIELDS,
     .doc = "Answers the values of fields and takes them out."},
    {.name = "hgetex",
     IN_HASH,
     .arity = -5,
     .flags = CMD_WRITE | CMD_FAST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .run = cmd_hgetex,
     .answers = answer_fields_bytes,
     .since = "8.0.0",
     .args = "key [" UNITS "PERSIST] " FIELDS,
     .doc = "Answers the values of fields and changes when they end."},
    {.name = "hsetex",
     IN_HASH,
     .arity = -6,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .run = cmd_hsetex,
     .since = "8.0.0",
     .args = "key [FNX | FXX] [" UNITS "KEEPTTL] FIELDS numfields field value [field value ...]",
     .doc = "Sets fields, perhaps only if none or all of them are there, and when they end."},
    {0},
};
