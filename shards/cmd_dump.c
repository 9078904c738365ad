/* DUMP and RESTORE: a value as bytes that any Redis understands (shards/dump.h has the format).
 *
 * RESTORE checks in Redis's order: options, is the name taken, the time to live, version and checksum, the body. */
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_tables.h"
#include "shards/dump.h"
#include "shards/effect_add.h"
#include "shards/effect_payload.h"
#include "shards/shard.h"
#include "shards/tell_work.h"

static void cmd_dump(struct exec *x) {
    struct key_ref ref;
    const struct entry *entry = exec_read_any(x, 1, &ref);
    if (!entry) {
        reply_null(x);
        return;
    }
    if (answer_waits_for_some(x, entry, 1, 1)) return;
    size_t mark = x->out->len;
    dump_write(x->out, entry);
    char head[RESP_HEADER_MAX];
    buf_insert(x->out, mark, slice_of(head, resp_header(head, '$', (int64_t)(x->out->len - mark))));
    buf_append_literal(x->out, "\r\n");
}

struct restore_options {
    bool replace, absolute;
    int64_t idle_s, freq; /* -1: not given */
};

/* argv[4 ..]. False: the error was replied. */
static bool parse_restore(struct exec *x, struct restore_options *out) {
    *out = (struct restore_options){.idle_s = -1, .freq = -1};
    for (uint32_t at = 4; at < x->argc; at++) {
        bool has_value = at + 1 < x->argc;
        if (arg_is(x, at, "replace")) {
            out->replace = true;
        } else if (arg_is(x, at, "absttl")) {
            out->absolute = true;
        } else if (has_value && arg_is(x, at, "idletime") && out->freq == -1) {
            if (!exec_int(x, ++at, &out->idle_s)) return false;
            if (out->idle_s < 0) {
                reply_error(x, "ERR Invalid IDLETIME value, must be >= 0");
                return false;
            }
        } else if (has_value && arg_is(x, at, "freq") && out->idle_s == -1) {
            if (!exec_int(x, ++at, &out->freq)) return false;
            if (out->freq < 0 || out->freq > 255) {
                reply_error(x, "ERR Invalid FREQ value, must be >= 0 and <= 255");
                return false;
            }
        } else {
            reply_syntax_error(x);
            return false;
        }
    }
    return true;
}

/* argv[2] as a deadline, 0 for none. False: the error was replied. */
static bool parse_ttl(struct exec *x, bool absolute, int64_t *deadline_ms) {
    if (!exec_int(x, 2, deadline_ms)) return false;
    if (*deadline_ms < 0) {
        reply_error(x, "ERR Invalid TTL value, must be >= 0");
        return false;
    }
    /* One that overflows wraps into the past, as it does in Redis: the key then counts as expired. */
    if (*deadline_ms && !absolute) {
        *deadline_ms = (int64_t)((uint64_t)*deadline_ms + x->shared->now_ms);
    }
    return true;
}

static void say_restored(struct exec *x, uint64_t deadline_ms) {
    char digits[NUM_U64_MAX];
    struct slice argv[] = {SLICE("RESTORE"), x->argv[1], {0}, x->argv[3], SLICE("REPLACE"), SLICE("ABSTTL")};
    argv[2] = slice_of(digits, num_format_u64(digits, deadline_ms));
    effect_add(x, x->db, argv, ARRAY_LEN(argv));
}

/* Puts the entry under ref, or nothing when its deadline has passed: the old one goes in any case. */
static void restore(struct exec *x, struct key_ref *ref, struct entry *entry, const struct restore_options *options) {
    uint64_t deadline_ms = entry_deadline_ms(entry);
    if (deadline_ms && (int64_t)deadline_ms <= (int64_t)x->shared->now_ms) {
        entry_delete(&x->shared->store, entry);
        if (!ref->entry) return;
        keyspace_remove(x->keys, ref);
        exec_changed(x, x->argv[1], 1);
        exec_event_as(x, NOTIFY_GENERIC, "del", x->argv[1]);
        effect_del(x, x->db, x->argv[1]);
        return;
    }
    if (ref->entry) exec_event_as(x, NOTIFY_NEW, "new", x->argv[1]); /* the old one is deleted first */
    keyspace_put_entry(x->keys, ref, entry);
    bool lfu = access_is_lfu(x);
    if (lfu && options->freq >= 0) ref->entry->access = access_of_freq(x, (uint32_t)options->freq) & 0xFFFFFF;
    if (!lfu && options->idle_s >= 0) ref->entry->access = access_of_idle(x, (uint64_t)options->idle_s) & 0xFFFFFF;
    exec_changed(x, x->argv[1], 1);
    exec_event(x, NOTIFY_GENERIC, x->argv[1]);
    if (!tell_takes_turns(x, ref, &(struct tell){.key_at = 1, .db = x->db})) say_restored(x, deadline_ms);
}

/* The value of a payload as an entry under argv[key_at]; NULL: it is none. The footer stays in view: Redis, too, lets
 * a body that is cut short run into it. */
static struct entry *read_payload(struct exec *x, struct slice payload, uint32_t key_at, int64_t deadline_ms) {
    struct buf scratch;
    buf_init(&scratch, x->shard->heap, MEM_MESSAGE);
    struct entry *entry = dump_read_entry(&payload, &(struct dump_target){.store = &x->shared->store,
                                                                          .list_rule = &x->shared->list_rule,
                                                                          .set_rule = &x->shared->set_rule,
                                                                          .hash_rule = &x->shared->hash_rule,
                                                                          .zset_rule = &x->shared->zset_rule,
                                                                          .seed = &x->shared->seed,
                                                                          .scratch = &scratch,
                                                                          .key = x->argv[key_at],
                                                                          .deadline_ms = (uint64_t)deadline_ms,
                                                                          .allow_int = true});
    buf_deinit(&scratch);
    return entry;
}

static void cmd_restore(struct exec *x) {
    struct restore_options options;
    if (!parse_restore(x, &options)) return;
    struct key_ref ref;
    if (exec_open_any(x, 1, &ref) && !options.replace) {
        reply_error(x, "BUSYKEY Target key name already exists.");
        return;
    }
    int64_t deadline_ms;
    if (!parse_ttl(x, options.absolute, &deadline_ms)) return;
    if (!dump_footer_fits(x->argv[3])) {
        reply_error(x, "ERR DUMP payload version or checksum are wrong");
        return;
    }
    struct entry *entry = read_payload(x, x->argv[3], 1, deadline_ms);
    if (!entry) {
        reply_error(x, "ERR Bad data format");
        return;
    }
    restore(x, &ref, entry, &options);
    reply_ok(x);
}

/* What effects say (shards/effect_payload.h): the string under the key is the payload of what it becomes. */
static void cmd_eval(struct exec *x) {
    char scratch[ENTRY_SCRATCH];
    struct key_ref ref;
    bool known = slice_equal(x->argv[1], SLICE(EFFECT_PAYLOAD_SCRIPT)) && slice_equal(x->argv[2], SLICE("1"));
    if (!known || !exec_open_any(x, 3, &ref) || ref.entry->type != TYPE_STRING) {
        reply_error(x, "ERR no script of this server's");
        return;
    }
    struct slice payload = entry_string(ref.entry, scratch);
    struct entry *entry = dump_footer_fits(payload) ? read_payload(x, payload, 3, 0) : NULL;
    if (!entry) {
        reply_error(x, "ERR Bad data format");
        return;
    }
    keyspace_put_entry(x->keys, &ref, entry);
    exec_changed(x, x->argv[3], 1);
    reply_null(x);
}

const struct command dump_commands[] = {
    {.name = "dump",
     .arity = 2,
     .flags = CMD_READ,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_dump,
     .answers = answer_key_bytes,
     .group = "generic",
     .since = "2.6.0",
     .cost = "O(N), N = length of the value",
     .args = "key",
     .tips = "nondeterministic_output",
     .doc = "Answers a value as bytes that RESTORE takes, here and in Redis."},
    {.name = "restore",
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_restore,
     .takes_turns = true,
     .group = "generic",
     .since = "2.6.0",
     .cost = "O(N), N = length of the value",
     .args = "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
     .doc = "Creates a key from what DUMP answered."},
    {.name = "eval",
     .arity = 4,
     .flags = CMD_WRITE | CMD_INTERNAL,
     .keys = {KEYS_ONE(3, KEY_OW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_eval,
     .only_effect = true,
     .group = "generic",
     .since = "0.6.0",
     .cost = "O(N), N = length of the value",
     .args = "script 1 key",
     .doc = "In a journal: makes a value of the payload that its key holds."},
    {0},
};
