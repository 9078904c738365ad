/* Keys of any type, one at a time or as a sum over several: existence, removal, type, what is known about the object.
 *
 * Deadlines are in cmd_expire.c, new names and other databases in cmd_rename.c, walks in cmd_scan.c, payloads in
 * cmd_dump.c, whole databases in cmd_database.c. */
#include "core/num.h"
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/shard.h"

/* --- shared with the other files --- */

struct entry *exec_peek_any(struct exec *x, uint32_t at, struct key_ref *ref) {
    struct entry *entry = keyspace_read(x->keys, x->argv[at], exec_hash(x, at), true, ref);
    if (!entry && x->slot->parent == NULL) exec_event_missed(x, x->argv[at]); /* OBJECT does not say so */
    return entry;
}

/* --- the access field: LRU, unix seconds, 24 bits; or what core/lfu.h says --- */

#define ACCESS_MASK 0xFFFFFFu

bool access_is_lfu(const struct exec *x) {
    return x->shared->use_lfu || x->shared->use_lrfu;
}

static uint32_t clock_s(const struct exec *x) {
    return (uint32_t)(x->shared->now_ms / 1000) & ACCESS_MASK;
}

uint32_t access_idle_s(const struct exec *x, const struct entry *entry) {
    return (clock_s(x) - entry->access) & ACCESS_MASK; /* right for half a year, as the clock wraps */
}

uint32_t access_freq(const struct exec *x, const struct entry *entry) {
    if (x->shared->use_lrfu) return lrfu_uses(entry->access, x->shared->access);
    return lfu_counter(entry->access, keyspace_minutes(x->shared), &x->shared->lfu);
}

uint32_t access_of_idle(const struct exec *x, uint64_t idle_s) {
    /* Redis caps what the clock of this wrap cannot express at half its range. */
    uint64_t shown = idle_s > clock_s(x) ? ACCESS_MASK / 2 + 1 : idle_s;
    return (clock_s(x) - (uint32_t)shown) & ACCESS_MASK;
}

uint32_t access_of_freq(const struct exec *x, uint32_t freq) {
    if (x->shared->use_lrfu) return lrfu_field(x->shared->access, freq);
    return lfu_field(keyspace_minutes(x->shared), freq);
}

/* --- sums over keys --- */

static void cmd_del(struct exec *x) {
    int64_t removed = 0;
    for (uint32_t at = 1; at < x->argc; at++) {
        struct key_ref ref;
        if (!exec_open_any(x, at, &ref)) continue;
        keyspace_remove(x->keys, &ref);
        exec_changed(x, x->argv[at], 1);
        exec_event_as(x, NOTIFY_GENERIC, "del", x->argv[at]);
        effect_del(x, x->db, x->argv[at]);
        removed++;
    }
    reply_int(x, removed);
}

static void cmd_exists(struct exec *x) {
    int64_t present = 0;
    for (uint32_t at = 1; at < x->argc; at++) {
        struct key_ref ref;
        present += exec_peek_any(x, at, &ref) != NULL;
    }
    reply_int(x, present);
}

static void cmd_touch(struct exec *x) {
    int64_t touched = 0;
    for (uint32_t at = 1; at < x->argc; at++) {
        struct key_ref ref;
        touched += exec_read_any(x, at, &ref) != NULL;
    }
    reply_int(x, touched);
}

static void cmd_type(struct exec *x) {
    struct key_ref ref;
    const struct entry *entry = exec_peek_any(x, 1, &ref);
    reply_simple(x, entry ? value_type_name(entry->type) : "none");
}

/* --- OBJECT --- */

/* NULL when the key is absent: null was replied. */
static const struct entry *object_entry(struct exec *x) {
    struct key_ref ref;
    const struct entry *entry = exec_peek_any(x, 2, &ref);
    if (!entry) reply_null(x);
    return entry;
}

static void cmd_object_encoding(struct exec *x) {
    const struct entry *entry = object_entry(x);
    if (entry) reply_cstr(x, entry_encoding_name(entry));
}

/* Nothing is shared here, but Redis shares the integers below 10000 and says so. */
static void cmd_object_refcount(struct exec *x) {
    const struct entry *entry = object_entry(x);
    if (!entry) return;
    bool is_int = entry->type == TYPE_STRING && entry->encoding == ENC_INT;
    bool shared = is_int && entry_int(entry) >= 0 && entry_int(entry) < 10000;
    reply_int(x, shared ? INT32_MAX : 1);
}

static void cmd_object_idletime(struct exec *x) {
    const struct entry *entry = object_entry(x);
    if (!entry) return;
    if (access_is_lfu(x)) {
        reply_error(x, "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when "
                       "switching between policies at runtime LRU and LFU data will take some time to adjust.");
        return;
    }
    reply_int(x, access_idle_s(x, entry));
}

static void cmd_object_freq(struct exec *x) {
    const struct entry *entry = object_entry(x);
    if (!entry) return;
    if (!access_is_lfu(x)) {
        reply_error(x, "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
                       "when switching between policies at runtime LRU and LFU data will take some time to adjust.");
        return;
    }
    reply_int(x, access_freq(x, entry));
}

static void cmd_object_help(struct exec *x) {
    static const char *const lines[] = {
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        NULL,
    };
    reply_help(x, lines);
}

/* --- WAIT --- */

/* There are no replicas, so none has acknowledged anything and none ever will: waiting for the timeout would not
 * change the answer. Redis would sleep here; we keep its checks and answer at once. */
static void cmd_wait(struct exec *x) {
    int64_t replicas, timeout_ms;
    if (!exec_int(x, 1, &replicas)) return;
    if (!num_parse_i64(x->argv[2], &timeout_ms)) {
        reply_error(x, "ERR timeout is not an integer or out of range");
    } else if (timeout_ms < 0) {
        reply_error(x, "ERR timeout is negative");
    } else {
        reply_int(x, 0);
    }
}

static const struct command object_subs[] = {
    {.name = "help",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_KEYSPACE,
     .where = ON_CONN,
     .run = cmd_object_help,
     .group = "generic",
     .since = "6.2.0",
     .cost = "O(1)",
     .doc = "Explains the subcommands."},
    {.name = "encoding",
     .arity = 3,
     .flags = CMD_READ,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(2, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_object_encoding,
     .group = "generic",
     .since = "2.2.3",
     .cost = "O(1)",
     .args = "key",
     .tips = "nondeterministic_output",
     .doc = "Names the internal representation of a value."},
    {.name = "idletime",
     .arity = 3,
     .flags = CMD_READ,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(2, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_object_idletime,
     .group = "generic",
     .since = "2.2.3",
     .cost = "O(1)",
     .args = "key",
     .tips = "nondeterministic_output",
     .doc = "Answers the seconds since a key was last used."},
    {.name = "freq",
     .arity = 3,
     .flags = CMD_READ,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(2, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_object_freq,
     .group = "generic",
     .since = "4.0.0",
     .cost = "O(1)",
     .args = "key",
     .tips = "nondeterministic_output",
     .doc = "Answers how often a key is used, on a logarithmic scale."},
    {.name = "refcount",
     .arity = 3,
     .flags = CMD_READ,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(2, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_object_refcount,
     .group = "generic",
     .since = "2.2.3",
     .cost = "O(1)",
     .args = "key",
     .tips = "nondeterministic_output",
     .doc = "Answers how many references a value has."},
    {0},
};

const struct command generic_commands[] = {
    {.name = "del",
     .arity = -2,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RM | KEY_DELETE)},
     .where = SPLIT_BY_KEY,
     .merge = MERGE_SUM,
     .run = cmd_del,
     .group = "generic",
     .since = "1.0.0",
     .cost = "O(N), N = number of keys; memory of large values is freed later",
     .args = "key [key ...]",
     .tips = "request_policy:multi_shard response_policy:agg_sum",
     .doc = "Deletes keys and answers how many there were."},
    {.name = "unlink",
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RM | KEY_DELETE)},
     .where = SPLIT_BY_KEY,
     .merge = MERGE_SUM,
     .run = cmd_del,
     .group = "generic",
     .since = "4.0.0",
     .cost = "O(N), N = number of keys; memory of large values is freed later",
     .args = "key [key ...]",
     .tips = "request_policy:multi_shard response_policy:agg_sum",
     .doc = "Deletes keys; the same as DEL here, which does not wait for memory either."},
    {.name = "exists",
     .arity = -2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RO)},
     .where = SPLIT_BY_KEY,
     .merge = MERGE_SUM,
     .run = cmd_exists,
     .group = "generic",
     .since = "1.0.0",
     .cost = "O(N), N = number of keys",
     .args = "key [key ...]",
     .tips = "request_policy:multi_shard response_policy:agg_sum",
     .doc = "Counts which of the given keys are there; a key given twice counts twice."},
    {.name = "touch",
     .arity = -2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RO)},
     .where = SPLIT_BY_KEY,
     .merge = MERGE_SUM,
     .run = cmd_touch,
     .group = "generic",
     .since = "3.2.1",
     .cost = "O(N), N = number of keys",
     .args = "key [key ...]",
     .tips = "request_policy:multi_shard response_policy:agg_sum",
     .doc = "Marks keys as used just now and answers how many there were."},
    {.name = "type",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_type,
     .group = "generic",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Names the type of the value under a key."},
    {.name = "object",
     .arity = -2,
     .subs = object_subs,
     .group = "generic",
     .since = "2.2.3",
     .cost = "O(1)",
     .doc = "A container for what can be asked about a value's representation."},
    {.name = "wait",
     .arity = 3,
     .flags = CMD_NOSCRIPT,
     .acl = ACL_CONNECTION,
     .where = ON_CONN,
     .run = cmd_wait,
     .group = "generic",
     .since = "3.0.0",
     .cost = "O(1)",
     .args = "numreplicas timeout",
     .tips = "request_policy:all_shards response_policy:agg_min",
     .doc = "Answers how many replicas have acknowledged the writes of this connection."},
    {0},
};
