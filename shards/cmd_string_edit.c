/* Strings, in place: parts of a value, and values that are numbers.
 *
 * Integers are stored as integers, so INCR is one look-up, one addition and one store of 8 bytes. Editing commands
 * keep the key's deadline. */
#include "core/num.h"
#include "shards/admit.h"
#include "shards/answer_work.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/exec.h"
#include "shards/shard.h"
#include "shards/tell_work.h"
#include <math.h>

static void changed(struct exec *x, const struct key_ref *ref) {
    exec_changed(x, ref->key, 1);
    exec_event(x, NOTIFY_STRING, ref->key);
}

/* --- parts --- */

/* May a string get that long? Both are lengths or offsets, so not negative. */
static bool length_allowed(struct exec *x, uint64_t before, uint64_t extra) {
    uint64_t total = before + extra; /* no overflow: each is below 2^63 */
    if (total <= x->shard->config->proto_max_bulk_len || x->flags & CLIENT_LOADER) return true;
    reply_error(x, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

static void reply_no_memory(struct exec *x) {
    reply_error(x, "ERR insufficient memory for the new length of the string");
}

static void cmd_strlen(struct exec *x) {
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_STRING, &ref)) return;
    reply_int(x, ref.entry ? (int64_t)entry_string_len(ref.entry) : 0);
}

/* The part from start to end, both included; negative ones count from the end. Like Redis, an end before the first
 * byte stands for the first byte, unless both are negative and in the wrong order. */
static struct slice part_of(struct slice bytes, int64_t start, int64_t end) {
    int64_t len = (int64_t)bytes.len;
    if (len == 0 || (start < 0 && end < 0 && start > end)) return SLICE("");
    if (start < 0) start = MAX(start + len, 0);
    if (end < 0) end = MAX(end + len, 0);
    end = MIN(end, len - 1);
    return start > end ? SLICE("") : slice_of(bytes.ptr + start, (size_t)(end - start + 1));
}

static uint64_t range_answers(const struct exec *x) {
    int64_t start, end;
    if (!num_parse_i64(x->argv[2], &start) || !num_parse_i64(x->argv[3], &end)) return 0;
    return part_of(slice_of("", answer_string_bytes(x)), start, end).len; /* only its length counts */
}

static void cmd_getrange(struct exec *x) {
    int64_t start, end;
    if (!exec_int(x, 2, &start) || !exec_int(x, 3, &end)) return;
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_STRING, &ref)) return;
    char scratch[ENTRY_SCRATCH];
    struct slice bytes = ref.entry ? entry_string(ref.entry, scratch) : SLICE("");
    struct slice part = part_of(bytes, start, end);
    if (!answer_waits_for(x, part.len)) reply_bulk(x, part);
}

/* These bytes of the string under ref were written. Few, they are told as the command that came. */
static void tell_bytes(struct exec *x, struct key_ref *ref, size_t offset, size_t len) {
    if (LIKELY(len <= x->shard->effects.tell_bytes)) return;
    struct tell tell = {.key_at = 1, .db = x->db, .from = offset, .end = offset + len};
    (void)tell_takes_turns(x, ref, &tell);
}

/* Puts bytes at offset of the string under ref, which has length `before`. An absent key is made, and unmade when
 * memory is refused. */
static void write_at(struct exec *x, struct key_ref *ref, size_t before, size_t offset, struct slice bytes) {
    bool fresh = !ref->entry;
    size_t after = MAX(before, offset + bytes.len);
    if (!admit_edit(x, ref->entry, after)) return;
    if (fresh) keyspace_put_string(x->keys, ref, SLICE(""), 0, false);
    char *string = keyspace_edit_string(x->keys, ref, after);
    if (UNLIKELY(!string)) {
        if (fresh) keyspace_remove(x->keys, ref);
        reply_no_memory(x);
        return;
    }
    if (bytes.len) memcpy(string + offset, bytes.ptr, bytes.len);
    changed(x, ref);
    tell_bytes(x, ref, offset, bytes.len);
    reply_int(x, (int64_t)after);
}

static void cmd_setrange(struct exec *x) {
    int64_t offset;
    if (!exec_int(x, 2, &offset)) return;
    if (offset < 0) {
        reply_error(x, "ERR offset is out of range");
        return;
    }
    struct key_ref ref;
    if (!exec_open(x, 1, TYPE_STRING, &ref)) return;
    size_t before = ref.entry ? entry_string_len(ref.entry) : 0;
    struct slice bytes = x->argv[3];
    if (bytes.len == 0) { /* writes nothing, wherever */
        reply_int(x, (int64_t)before);
        return;
    }
    if (!length_allowed(x, (uint64_t)offset, bytes.len)) return;
    write_at(x, &ref, before, (size_t)offset, bytes);
}

static uint64_t setrange_grows(const struct exec *x) {
    int64_t offset;
    if (!num_parse_i64(x->argv[2], &offset) || offset < 0 || x->argv[3].len == 0) return 0;
    return admit_grown_string(x, 1, (uint64_t)offset + x->argv[3].len);
}

static void cmd_append(struct exec *x) {
    struct key_ref ref;
    if (!exec_open(x, 1, TYPE_STRING, &ref)) return;
    struct slice bytes = x->argv[2];
    if (!ref.entry) {
        keyspace_put_string(x->keys, &ref, bytes, 0, true);
        changed(x, &ref);
        tell_bytes(x, &ref, 0, bytes.len);
        reply_int(x, (int64_t)bytes.len);
        return;
    }
    size_t before = entry_string_len(ref.entry);
    if (length_allowed(x, before, bytes.len)) write_at(x, &ref, before, before, bytes);
}

/* --- numbers --- */

/* The value as an integer, 0 when there is none. False: it is not one, the error was replied. */
static bool value_int(struct exec *x, const struct entry *entry, int64_t *value) {
    *value = 0;
    if (!entry) return true;
    if (LIKELY(entry->encoding == ENC_INT)) {
        *value = entry_int(entry);
        return true;
    }
    char scratch[ENTRY_SCRATCH];
    if (num_parse_i64(entry_string(entry, scratch), value)) return true;
    reply_error(x, "ERR value is not an integer or out of range");
    return false;
}

static void add(struct exec *x, int64_t delta) {
    struct key_ref ref;
    int64_t value;
    if (!exec_open(x, 1, TYPE_STRING, &ref) || !value_int(x, ref.entry, &value)) return;
    if (__builtin_add_overflow(value, delta, &value)) {
        reply_error(x, "ERR increment or decrement would overflow");
        return;
    }
    keyspace_put_int(x->keys, &ref, value);
    changed(x, &ref);
    reply_int(x, value);
}

static void cmd_incr(struct exec *x) {
    add(x, 1);
}

static void cmd_decr(struct exec *x) {
    add(x, -1);
}

static void cmd_incrby(struct exec *x) {
    int64_t delta;
    if (exec_int(x, 2, &delta)) add(x, delta);
}

static void cmd_decrby(struct exec *x) {
    int64_t delta;
    if (!exec_int(x, 2, &delta)) return;
    if (delta == INT64_MIN) {
        reply_error(x, "ERR decrement would overflow");
        return;
    }
    add(x, -delta);
}

/* The result is stored as text, not as an integer: the encoding is what Redis's would be. */
static void cmd_incrbyfloat(struct exec *x) {
    struct key_ref ref;
    if (!exec_open(x, 1, TYPE_STRING, &ref)) return;
    char scratch[ENTRY_SCRATCH];
    long double value = 0, delta;
    bool valid = !ref.entry || num_parse_long_double(entry_string(ref.entry, scratch), &value);
    if (!valid || !num_parse_long_double(x->argv[2], &delta)) {
        reply_error(x, "ERR value is not a valid float");
        return;
    }
    value += delta;
    if (isnan(value) || isinf(value)) {
        reply_error(x, "ERR increment would produce NaN or Infinity");
        return;
    }
    char digits[NUM_LONG_DOUBLE_HUMAN_MAX];
    struct slice text = slice_of(digits, num_format_long_double_human(digits, value));
    keyspace_put_string(x->keys, &ref, text, ref.entry ? entry_deadline_ms(ref.entry) : 0, false);
    changed(x, &ref);
    effect_add(x, x->db, (struct slice[]){SLICE("SET"), ref.key, text, SLICE("KEEPTTL")}, 4);
    reply_bulk(x, text);
}

const struct command string_edit_commands[] = {
    {.name = "strlen",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_strlen,
     .group = "string",
     .since = "2.2.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Answers how many bytes a string has."},
    {.name = "getrange",
     .arity = 4,
     .flags = CMD_READ,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_getrange,
     .answers = range_answers,
     .group = "string",
     .since = "2.4.0",
     .cost = "O(N), N = length of the answer",
     .args = "key start end",
     .doc = "Answers the bytes of a string from one position to another."},
    {.name = "substr",
     .arity = 4,
     .flags = CMD_READ,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_getrange,
     .answers = range_answers,
     .group = "string",
     .since = "1.0.0",
     .cost = "O(N), N = length of the answer",
     .args = "key start end",
     .doc = "The old name of GETRANGE."},
    {.name = "setrange",
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_setrange,
     .takes_turns = true,
     .grows = setrange_grows,
     .replays = true,
     .group = "string",
     .since = "2.2.0",
     .cost = "O(N), N = length of the value and of the gap before it",
     .args = "key offset value",
     .doc = "Overwrites a string from an offset on, filling a gap with zero bytes."},
    {.name = "append",
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_INSERT)},
     .where = ON_OWNER,
     .run = cmd_append,
     .takes_turns = true,
     .replays = true,
     .group = "string",
     .since = "2.0.0",
     .cost = "O(N), N = length of the value, amortised",
     .args = "key value",
     .doc = "Adds bytes to the end of a string, which is made when it is not there."},
    {.name = "incr",
     .arity = 2,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_incr,
     .event = "incrby",
     .replays = true,
     .group = "string",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Adds one to an integer; a missing key counts as 0."},
    {.name = "decr",
     .arity = 2,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_decr,
     .event = "incrby",
     .replays = true,
     .group = "string",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Takes one from an integer; a missing key counts as 0."},
    {.name = "incrby",
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_incrby,
     .replays = true,
     .group = "string",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key increment",
     .doc = "Adds a number to an integer; a missing key counts as 0."},
    {.name = "decrby",
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_decrby,
     .event = "incrby",
     .replays = true,
     .group = "string",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key decrement",
     .doc = "Takes a number from an integer; a missing key counts as 0."},
    {.name = "incrbyfloat",
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_incrbyfloat,
     .group = "string",
     .since = "2.6.0",
     .cost = "O(1)",
     .args = "key increment",
     .doc = "Adds a decimal number to a decimal number; a missing key counts as 0."},
    {0},
};
