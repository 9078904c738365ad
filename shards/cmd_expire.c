/* Deadlines: giving one, asking for it, taking it away.
 *
 * All forms of EXPIRE come down to an absolute deadline in milliseconds and a condition on the present one; all forms
 * of TTL to the same number seen from now or from 1970, in one of two units. */
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"

/* --- EXPIRE and its forms --- */

enum condition { IF_NONE = 1 << 0, IF_ANY = 1 << 1, IF_LATER = 1 << 2, IF_EARLIER = 1 << 3 }; /* NX XX GT LT */

/* argv[3 ..]. False: the error was replied. */
static bool parse_conditions(struct exec *x, unsigned *conditions) {
    *conditions = 0;
    for (uint32_t at = 3; at < x->argc; at++) {
        if (arg_is(x, at, "nx"))
            *conditions |= IF_NONE;
        else if (arg_is(x, at, "xx"))
            *conditions |= IF_ANY;
        else if (arg_is(x, at, "gt"))
            *conditions |= IF_LATER;
        else if (arg_is(x, at, "lt"))
            *conditions |= IF_EARLIER;
        else {
            struct slice word = x->argv[at];
            while (word.len && (word.ptr[word.len - 1] == '\r' || word.ptr[word.len - 1] == '\n')) word.len--;
            reply_errorf(x, "ERR Unsupported option %.*s", (int)MIN(word.len, (size_t)900), word.ptr);
            return false;
        }
    }
    if (*conditions & IF_NONE && *conditions & ~(unsigned)IF_NONE) {
        reply_error(x, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (*conditions & IF_LATER && *conditions & IF_EARLIER) {
        reply_error(x, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* No deadline counts as the end of time: nothing is later, everything is earlier. */
static bool conditions_hold(unsigned conditions, uint64_t present_ms, int64_t when_ms) {
    if (conditions & IF_NONE && present_ms) return false;
    if (conditions & IF_ANY && !present_ms) return false;
    if (conditions & IF_LATER && (!present_ms || when_ms <= (int64_t)present_ms)) return false;
    if (conditions & IF_EARLIER && present_ms && when_ms >= (int64_t)present_ms) return false;
    return true;
}

/* argv[2] as an absolute deadline; negative and past ones are fine. False: the error was replied. */
static bool parse_deadline(struct exec *x, uint64_t base_ms, bool seconds, int64_t *when_ms) {
    if (!exec_int(x, 2, when_ms)) return false;
    bool overflow = seconds && __builtin_mul_overflow(*when_ms, 1000, when_ms);
    overflow = overflow || *when_ms > INT64_MAX - (int64_t)base_ms;
    if (overflow) {
        reply_errorf(x, "ERR invalid expire time in '%s' command", x->slot->row->name);
        return false;
    }
    *when_ms += (int64_t)base_ms;
    return true;
}

static void expire_generic(struct exec *x, uint64_t base_ms, bool seconds) {
    unsigned conditions;
    int64_t when_ms;
    if (!parse_conditions(x, &conditions) || !parse_deadline(x, base_ms, seconds, &when_ms)) return;
    struct key_ref ref;
    const struct entry *entry = exec_open_any(x, 1, &ref);
    if (!entry || !conditions_hold(conditions, entry_deadline_ms(entry), when_ms)) {
        reply_int(x, 0);
        return;
    }
    if (when_ms <= (int64_t)x->shared->now_ms) {
        keyspace_remove(x->keys, &ref);
        effect_del(x, x->db, x->argv[1]);
        exec_event_as(x, NOTIFY_GENERIC, "del", x->argv[1]);
    } else {
        keyspace_set_deadline(x->keys, &ref, (uint64_t)when_ms);
        effect_deadline(x, x->argv[1], (uint64_t)when_ms);
        exec_event_as(x, NOTIFY_GENERIC, "expire", x->argv[1]);
    }
    exec_changed(x, x->argv[1], 1);
    reply_int(x, 1);
}

static void cmd_expire(struct exec *x) {
    expire_generic(x, x->shared->now_ms, true);
}
static void cmd_pexpire(struct exec *x) {
    expire_generic(x, x->shared->now_ms, false);
}
static void cmd_expireat(struct exec *x) {
    expire_generic(x, 0, true);
}
static void cmd_pexpireat(struct exec *x) {
    expire_generic(x, 0, false);
}

static void cmd_persist(struct exec *x) {
    struct key_ref ref;
    const struct entry *entry = exec_open_any(x, 1, &ref);
    if (!entry || !entry_deadline_ms(entry)) {
        reply_int(x, 0);
        return;
    }
    keyspace_set_deadline(x->keys, &ref, 0);
    exec_changed(x, x->argv[1], 1);
    exec_event(x, NOTIFY_GENERIC, x->argv[1]);
    reply_int(x, 1);
}

/* --- TTL and its forms --- */

/* -2: no such key, -1: no deadline. Seconds are rounded, half up. */
static void ttl_generic(struct exec *x, uint64_t base_ms, bool seconds) {
    struct key_ref ref;
    const struct entry *entry = exec_peek_any(x, 1, &ref);
    uint64_t deadline_ms = entry ? entry_deadline_ms(entry) : 0;
    if (!deadline_ms) {
        reply_int(x, entry ? -1 : -2);
        return;
    }
    uint64_t left_ms = deadline_ms > base_ms ? deadline_ms - base_ms : 0;
    reply_int(x, (int64_t)(seconds ? (left_ms + 500) / 1000 : left_ms));
}

static void cmd_ttl(struct exec *x) {
    ttl_generic(x, x->shared->now_ms, true);
}
static void cmd_pttl(struct exec *x) {
    ttl_generic(x, x->shared->now_ms, false);
}
static void cmd_expiretime(struct exec *x) {
    ttl_generic(x, 0, true);
}
static void cmd_pexpiretime(struct exec *x) {
    ttl_generic(x, 0, false);
}

const struct command expire_commands[] = {
    {.name = "expire",
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_expire,
     .group = "generic",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key seconds [NX | XX | GT | LT]",
     .doc = "Lets a key live for a number of seconds from now."},
    {.name = "pexpire",
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_pexpire,
     .group = "generic",
     .since = "2.6.0",
     .cost = "O(1)",
     .args = "key milliseconds [NX | XX | GT | LT]",
     .doc = "Lets a key live for a number of milliseconds from now."},
    {.name = "expireat",
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_expireat,
     .group = "generic",
     .since = "1.2.0",
     .cost = "O(1)",
     .args = "key unix-time-seconds [NX | XX | GT | LT]",
     .doc = "Lets a key live until a moment given in Unix seconds."},
    {.name = "pexpireat",
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_pexpireat,
     .group = "generic",
     .since = "2.6.0",
     .cost = "O(1)",
     .args = "key unix-time-milliseconds [NX | XX | GT | LT]",
     .doc = "Lets a key live until a moment given in Unix milliseconds."},
    {.name = "ttl",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_ttl,
     .group = "generic",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key",
     .tips = "nondeterministic_output",
     .doc = "Answers how many seconds a key has left."},
    {.name = "pttl",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_pttl,
     .group = "generic",
     .since = "2.6.0",
     .cost = "O(1)",
     .args = "key",
     .tips = "nondeterministic_output",
     .doc = "Answers how many milliseconds a key has left."},
    {.name = "expiretime",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_expiretime,
     .group = "generic",
     .since = "7.0.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Answers when a key expires, in Unix seconds."},
    {.name = "pexpiretime",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_pexpiretime,
     .group = "generic",
     .since = "7.0.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Answers when a key expires, in Unix milliseconds."},
    {.name = "persist",
     .arity = 2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_persist,
     .replays = true,
     .group = "generic",
     .since = "2.2.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Takes a key's deadline away."},
    {0},
};
