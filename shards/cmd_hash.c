/* Hashes, field by field (shards/hash_value.h); what looks at all fields is in cmd_hash_visit.c.
 *
 * Where arguments are checked before the key is looked up and where after differs from command to command; clients see
 * it, so the order here is Redis's. */
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/args_work.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/exec.h"
#include "shards/hash_value.h"
#include <math.h>

/* --- setting --- */

/* argv[2 ..] as pairs. False: it takes turns, or the error was replied. */
static bool set_pairs(struct exec *x, enum args_reply reply, uint32_t *created) {
    struct key_ref ref;
    if (x->argc % 2 != 0) {
        reply_wrong_arity(x);
        return false;
    }
    if (!exec_open(x, 1, TYPE_HASH, &ref)) return false;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 2, .reply = reply})) return false;
    uint32_t pairs = (x->argc - 2) / 2;
    *created = hash_set(x->keys, &ref, x->argv + 2, pairs);
    exec_changed(x, x->argv[1], pairs);
    exec_event_as(x, NOTIFY_HASH, "hset", x->argv[1]);
    return true;
}

static void cmd_hset(struct exec *x) {
    uint32_t created;
    if (set_pairs(x, ARGS_ADD_UP, &created)) reply_int(x, created);
}

static void cmd_hmset(struct exec *x) {
    uint32_t created;
    if (set_pairs(x, ARGS_LAST, &created)) reply_ok(x);
}

/* Its deadline stays, and is returned; 0: none. */
static uint64_t set_one(struct exec *x, struct key_ref *ref, struct slice field, struct slice value) {
    struct slice pair[2] = {field, value};
    uint64_t deadline = ref->entry ? hash_deadline(ref->entry, field) : 0;
    hash_set(x->keys, ref, pair, 1);
    if (UNLIKELY(deadline)) hash_set_deadline(x->keys, ref, field, deadline);
    exec_changed(x, x->argv[1], 1);
    exec_event(x, NOTIFY_HASH, x->argv[1]);
    return deadline;
}

static void cmd_hsetnx(struct exec *x) {
    struct key_ref ref;
    struct packed_value value;
    if (!exec_open(x, 1, TYPE_HASH, &ref)) return;
    bool there = ref.entry && hash_get(ref.entry, x->argv[2], &value);
    if (!there) set_one(x, &ref, x->argv[2], x->argv[3]);
    reply_int(x, !there);
}

static void cmd_hdel(struct exec *x) {
    struct key_ref ref;
    int64_t gone = 0;
    if (!exec_open(x, 1, TYPE_HASH, &ref)) return;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_ADD_UP})) return;
    for (uint32_t at = 2; ref.entry && at < x->argc; at++) gone += hash_remove(x->keys, &ref, x->argv[at]);
    if (gone) {
        exec_changed(x, x->argv[1], (uint64_t)gone);
        exec_event_taken(x, NOTIFY_HASH, "hdel", &ref);
    }
    reply_int(x, gone);
}

/* --- reading --- */

static void reply_field(struct exec *x, const struct entry *entry, struct slice field) {
    struct packed_value value;
    if (entry && hash_get(entry, field, &value))
        reply_packed(x, &value);
    else
        reply_null(x);
}

static void cmd_hget(struct exec *x) {
    struct key_ref ref;
    struct packed_value value;
    if (!exec_read(x, 1, TYPE_HASH, &ref)) return;
    if (!ref.entry || !hash_get(ref.entry, x->argv[2], &value))
        reply_null(x);
    else if (value.is_int || !answer_waits_for(x, value.text.len))
        reply_packed(x, &value);
}

/* They are looked up twice, so only of a hash that is large, and while memory is not plenty. */
static bool waits_for_fields(struct exec *x, const struct entry *entry) {
    bool large = entry && entry->encoding >= ENC_EXTERNAL && entry_bytes(entry) > ADMIT_LARGE;
    return large && !admit_has_plenty(x->shard, 0) && answer_waits_for(x, answer_fields_bytes(x));
}

static void cmd_hmget(struct exec *x) {
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_HASH, &ref) || waits_for_fields(x, ref.entry)) return;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_LIST})) return;
    reply_array(x, x->argc - 2);
    for (uint32_t at = 2; at < x->argc; at++) reply_field(x, ref.entry, x->argv[at]);
}

static void cmd_hlen(struct exec *x) {
    struct key_ref ref;
    if (exec_read(x, 1, TYPE_HASH, &ref)) reply_int(x, ref.entry ? (int64_t)hash_len(ref.entry) : 0);
}

static void cmd_hstrlen(struct exec *x) {
    struct key_ref ref;
    struct packed_value value;
    char scratch[PACKED_SCRATCH];
    if (!exec_read(x, 1, TYPE_HASH, &ref)) return;
    bool there = ref.entry && hash_get(ref.entry, x->argv[2], &value);
    reply_int(x, there ? (int64_t)packed_text(&value, scratch).len : 0);
}

static void cmd_hexists(struct exec *x) {
    struct key_ref ref;
    struct packed_value value;
    if (exec_read(x, 1, TYPE_HASH, &ref)) reply_int(x, ref.entry && hash_get(ref.entry, x->argv[2], &value));
}

/* --- numbers --- */

static void cmd_hincrby(struct exec *x) {
    struct key_ref ref;
    struct packed_value value;
    int64_t delta, number = 0;
    if (!exec_int(x, 3, &delta) || !exec_open(x, 1, TYPE_HASH, &ref)) return;
    if (ref.entry && hash_get(ref.entry, x->argv[2], &value)) {
        if (value.is_int) {
            number = value.number;
        } else if (!num_parse_i64(value.text, &number)) {
            reply_error(x, "ERR hash value is not an integer");
            return;
        }
    }
    if (__builtin_add_overflow(number, delta, &number)) {
        reply_error(x, "ERR increment or decrement would overflow");
        return;
    }
    char digits[NUM_I64_MAX];
    set_one(x, &ref, x->argv[2], slice_of(digits, num_format_i64(digits, number)));
    reply_int(x, number);
}

static void cmd_hincrbyfloat(struct exec *x) {
    struct key_ref ref;
    struct packed_value found;
    char scratch[PACKED_SCRATCH], digits[NUM_LONG_DOUBLE_HUMAN_MAX];
    long double value = 0, delta;
    if (!num_parse_long_double(x->argv[3], &delta)) {
        reply_error(x, "ERR value is not a valid float");
        return;
    }
    if (isinf(delta)) {
        reply_error(x, "ERR value is NaN or Infinity");
        return;
    }
    if (!exec_open(x, 1, TYPE_HASH, &ref)) return;
    if (ref.entry && hash_get(ref.entry, x->argv[2], &found) &&
        !num_parse_long_double(packed_text(&found, scratch), &value)) {
        reply_error(x, "ERR hash value is not a float");
        return;
    }
    value += delta;
    if (isnan(value) || isinf(value)) {
        reply_error(x, "ERR increment would produce NaN or Infinity");
        return;
    }
    struct slice text = slice_of(digits, num_format_long_double_human(digits, value));
    uint64_t deadline = set_one(x, &ref, x->argv[2], text);
    effect_add(x, x->db, (struct slice[]){SLICE("HSET"), x->argv[1], x->argv[2], text}, 4);
    if (deadline) effect_field_deadline(x, x->argv[1], x->argv[2], deadline);
    reply_bulk(x, text);
}

const struct command hash_commands[] = {
    {.name = "hset",
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_hset,
     .takes_turns = true,
     .replays = true,
     .beside_save = BESIDE_ELEMENTS,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(N), N = number of pairs",
     .args = "key field value [field value ...]",
     .doc = "Sets fields of a hash and answers how many of them are new; creates the hash."},
    {.name = "hmset",
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_hmset,
     .takes_turns = true,
     .replays = true,
     .beside_save = BESIDE_ELEMENTS,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(N), N = number of pairs",
     .args = "key field value [field value ...]",
     .doc = "Sets fields of a hash, as HSET; answers OK."},
    {.name = "hsetnx",
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_INSERT)},
     .where = ON_OWNER,
     .run = cmd_hsetnx,
     .event = "hset",
     .replays = true,
     .beside_save = BESIDE_ELEMENTS,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(1)",
     .args = "key field value",
     .doc = "Sets a field of a hash if it is not there."},
    {.name = "hget",
     .arity = 3,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_hget,
     .answers = answer_fields_bytes,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(1)",
     .args = "key field",
     .doc = "Answers the value of a field."},
    {.name = "hmget",
     .arity = -3,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_hmget,
     .answers = answer_fields_bytes,
     .takes_turns = true,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(N), N = number of fields",
     .args = "key field [field ...]",
     .doc = "Answers the values of several fields."},
    {.name = "hdel",
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_hdel,
     .takes_turns = true,
     .replays = true,
     .beside_save = BESIDE_ELEMENTS,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(N), N = number of fields",
     .args = "key field [field ...]",
     .doc = "Takes fields out of a hash and answers how many were there."},
    {.name = "hlen",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_hlen,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Answers how many fields a hash has."},
    {.name = "hstrlen",
     .arity = 3,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_hstrlen,
     .group = "hash",
     .since = "3.2.0",
     .cost = "O(1)",
     .args = "key field",
     .doc = "Answers how many bytes the value of a field has."},
    {.name = "hexists",
     .arity = 3,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_hexists,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(1)",
     .args = "key field",
     .doc = "Answers whether a field is there."},
    {.name = "hincrby",
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_hincrby,
     .replays = true,
     .beside_save = BESIDE_ELEMENTS,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(1)",
     .args = "key field increment",
     .doc = "Adds an integer to the integer in a field; a missing one counts as 0."},
    {.name = "hincrbyfloat",
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_hincrbyfloat,
     .beside_save = BESIDE_ELEMENTS,
     .group = "hash",
     .since = "2.6.0",
     .cost = "O(1)",
     .args = "key field increment",
     .doc = "Adds a decimal number to the number in a field; a missing one counts as 0."},
    {0},
};
