/* Strings, several keys in one command: MGET, MSET, MSETNX, LCS.
 *
 * MGET and MSET are the sum of their keys' parts, so the router splits them and each owner runs its part here. The
 * part hides memory latency: the hashes of up to PREFETCH keys first, then their buckets, then their entries are
 * fetched, and only then the keys are worked on one by one.
 *
 * MSETNX and LCS need all keys at once. When they live on one shard, that shard runs the handler; when not, the
 * client's home collects what it needs in steps (the _across functions). */
#include "shards/answer_work.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/shard.h"
#include "shards/string_lcs.h"
#include "shards/tell_work.h"

#define PREFETCH 16 /* keys in flight: about as many as a core has line fill buffers */

/* Hashes argv[at], argv[at + step] ... up to PREFETCH keys and starts fetching them; returns how many. A part whose
 * hashes came with it was fetched with all its message. */
static uint32_t prefetch_keys(const struct exec *x, uint32_t at, uint32_t step, uint64_t hashes[PREFETCH]) {
    uint32_t count = 0;
    for (; at < x->argc && count < PREFETCH; at += step, count++) {
        hashes[count] = exec_hash(x, at);
        if (!x->hashes) keyspace_prefetch_bucket(x->keys, hashes[count]);
    }
    if (x->hashes) return count;
    for (uint32_t i = 0; i < count; i++) keyspace_prefetch_entry(x->keys, hashes[i]);
    return count;
}

/* --- MGET, MSET --- */

static void cmd_mget(struct exec *x) {
    uint64_t hashes[PREFETCH];
    bool no_touch = x->flags & CLIENT_NO_TOUCH, asked = false;
    char scratch[ENTRY_SCRATCH];
    size_t bytes = 0;
    reply_array(x, x->argc - 1);
    for (uint32_t at = 1; at < x->argc;) {
        uint32_t count = prefetch_keys(x, at, 1, hashes);
        for (uint32_t i = 0; i < count; i++, at++) {
            struct key_ref ref;
            struct entry *entry = keyspace_read(x->keys, x->argv[at], hashes[i], no_touch, &ref);
            if (!entry) exec_event_missed(x, x->argv[at]);
            if (!entry || entry->type != TYPE_STRING) {
                reply_null(x); /* also for other types */
                continue;
            }
            struct slice value = entry_string(entry, scratch);
            bytes += value.len;
            if (UNLIKELY(bytes > ADMIT_LARGE) && !asked) {
                if (answer_waits_for(x, answer_strings_bytes(x, 1))) return;
                asked = true;
            }
            reply_bulk(x, value);
        }
    }
}

static uint64_t mget_answers(const struct exec *x) {
    return answer_strings_bytes(x, 1);
}

static void set_pairs(struct exec *x) {
    uint64_t hashes[PREFETCH];
    for (uint32_t at = 1; at < x->argc;) {
        uint32_t count = prefetch_keys(x, at, 2, hashes);
        for (uint32_t i = 0; i < count; i++, at += 2) {
            struct key_ref ref;
            keyspace_open(x->keys, x->argv[at], hashes[i], &ref);
            keyspace_put_string(x->keys, &ref, x->argv[at + 1], 0, true);
            exec_changed(x, ref.key, 1);
            exec_event_as(x, NOTIFY_STRING, "set", ref.key);
            if (x->argc == 3) /* the only one */
                (void)tell_takes_turns(x, &ref, &(struct tell){.key_at = 1, .db = x->db});
            effect_set(x, ref.key, x->argv[at + 1], 0);
        }
    }
}

static bool pairs_complete(uint32_t argc) {
    return argc % 2 == 1;
}

static void cmd_mset(struct exec *x) {
    if (!pairs_complete(x->argc)) {
        reply_wrong_arity(x);
        return;
    }
    set_pairs(x);
    reply_ok(x);
}

/* --- MSETNX --- */

static bool any_key_exists(struct exec *x) {
    uint64_t hashes[PREFETCH];
    for (uint32_t at = 1; at < x->argc;) {
        uint32_t count = prefetch_keys(x, at, 2, hashes);
        for (uint32_t i = 0; i < count; i++, at += 2) {
            struct key_ref ref;
            if (keyspace_open(x->keys, x->argv[at], hashes[i], &ref)) return true;
        }
    }
    return false;
}

static void cmd_msetnx(struct exec *x) {
    if (!pairs_complete(x->argc)) {
        reply_wrong_arity(x);
        return;
    }
    bool refused = any_key_exists(x);
    if (!refused) set_pairs(x);
    reply_int(x, !refused);
}

/* Sends to each owner the command `name` with its keys of the pairs in argv, and their values if asked for. */
static void send_pairs(struct gather *g, const char *name, bool with_values) {
    struct heap *heap = g->home->heap;
    size_t size = g->argc * (sizeof(struct slice) + 1);
    struct slice *args = heap_alloc(heap, MEM_MESSAGE, size);
    uint8_t *owners = (uint8_t *)(args + g->argc);
    for (uint32_t at = 1; at < g->argc; at += 2) owners[at] = (uint8_t)gather_owner(g, at);
    for (uint32_t shard = 0; shard < gather_shards(g); shard++) {
        uint32_t count = 0;
        for (uint32_t at = 1; at < g->argc; at += 2) {
            if (owners[at] != shard) continue;
            args[count++] = g->argv[at];
            if (with_values) args[count++] = g->argv[at + 1];
        }
        if (count) gather_send(g, shard, name, args, count);
    }
    heap_free(heap, MEM_MESSAGE, args, size);
}

/* The first error among the replies of the last step, or one without bytes. */
static struct slice first_error(const struct gather *g) {
    for (uint32_t i = 0; i < g->parts; i++)
        if (gather_reply_is_error(gather_reply(g, i))) return gather_reply(g, i);
    return SLICE("");
}

static void pass_error(struct gather *g, struct slice reply) {
    buf_append_slice(gather_out(g), reply);
    g->failed = true;
}

static bool any_part_counts(const struct gather *g) {
    for (uint32_t i = 0; i < g->parts; i++) {
        int64_t keys = 0;
        if (gather_reply_int(gather_reply(g, i), &keys) && keys > 0) return true;
    }
    return false;
}

static void msetnx_across(struct gather *g) {
    if (!pairs_complete(g->argc)) {
        gather_error(g, "ERR wrong number of arguments for 'msetnx' command");
        return;
    }
    struct slice error = first_error(g);
    if (error.len) {
        pass_error(g, error);
        return;
    }
    switch (g->step) {
    case 0: send_pairs(g, "exists", false); return;
    case 1:
        if (any_part_counts(g))
            resp_int(gather_out(g), 0);
        else
            send_pairs(g, "mset", true);
        return;
    default: resp_int(gather_out(g), 1); return;
    }
}

/* --- LCS --- */

#define LCS_FIRST_OPTION 3
#define LCS_NOT_STRINGS  "ERR The specified keys must contain string values"

/* Two values are there: reads the options, writes the answer. Returns an error's text, NULL when it went well. */
static const char *lcs_answer(struct shard *shard, const struct slice *argv, uint32_t argc, int resp, struct slice a,
                              struct slice b, struct buf *out) {
    struct lcs_options options;
    const char *error = lcs_parse_options(argv + LCS_FIRST_OPTION, argc - LCS_FIRST_OPTION, &options);
    if (error) return error;
    options.memory_max = shard->config->proto_max_bulk_len;
    return lcs_reply(shard->heap, a, b, &options, resp, out);
}

static void cmd_lcs(struct exec *x) {
    char scratch[2][ENTRY_SCRATCH];
    struct slice values[2];
    bool strings = true;
    for (uint32_t i = 0; i < 2; i++) {
        struct key_ref ref;
        struct entry *entry = exec_read_any(x, i + 1, &ref);
        if (entry && entry->type != TYPE_STRING)
            strings = false;
        else
            values[i] = entry ? entry_string(entry, scratch[i]) : SLICE("");
    }
    const char *error = LCS_NOT_STRINGS;
    if (strings) error = lcs_answer(x->shard, x->argv, x->argc, x->resp, values[0], values[1], x->out);
    if (error) reply_error(x, error);
}

/* Both values come to the client's home, which computes. */
static void lcs_across(struct gather *g) {
    if (g->step == 0) {
        for (uint32_t i = 0; i < 2; i++) gather_send(g, gather_owner(g, i + 1), "get", &g->argv[i + 1], 1);
        return;
    }
    struct slice values[2] = {SLICE_INIT(""), SLICE_INIT("")};
    for (uint32_t i = 0; i < 2; i++) {
        struct slice reply = gather_reply(g, i);
        if (gather_reply_is_error(reply)) { /* the only one that GET knows is a wrong type */
            gather_error(g, LCS_NOT_STRINGS);
            return;
        }
        if (!gather_reply_bulk(reply, &values[i])) values[i] = SLICE("");
    }
    const char *error = lcs_answer(g->home, g->argv, g->argc, g->resp, values[0], values[1], gather_out(g));
    if (error) gather_error(g, error);
}

const struct command string_many_commands[] = {
    {.name = "mget",
     .arity = -2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = SPLIT_BY_KEY,
     .merge = MERGE_BY_KEY,
     .run = cmd_mget,
     .answers = mget_answers,
     .group = "string",
     .since = "1.0.0",
     .cost = "O(N), N = number of keys",
     .args = "key [key ...]",
     .tips = "request_policy:multi_shard",
     .doc = "Answers the strings under several keys, in their order."},
    {.name = "mset",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {KEYS_RANGE(1, -1, 2, KEY_OW | KEY_UPDATE)},
     .where = SPLIT_BY_KEY,
     .merge = MERGE_OK,
     .run = cmd_mset,
     .takes_turns = true,
     .group = "string",
     .since = "1.0.1",
     .cost = "O(N), N = number of keys",
     .args = "key value [key value ...]",
     .tips = "request_policy:multi_shard response_policy:all_succeeded",
     .doc = "Stores several strings, each under its key."},
    {.name = "msetnx",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {KEYS_RANGE(1, -1, 2, KEY_OW | KEY_INSERT)},
     .where = ACROSS_OWNERS,
     .run = cmd_msetnx,
     .takes_turns = true,
     .across = msetnx_across,
     .group = "string",
     .since = "1.0.1",
     .cost = "O(N), N = number of keys",
     .args = "key value [key value ...]",
     .tips = "request_policy:multi_shard response_policy:agg_min",
     .doc = "Stores several strings if none of their keys is there yet."},
    {.name = "lcs",
     .arity = -3,
     .flags = CMD_READ,
     .acl = ACL_STRING,
     .keys = {KEYS_RANGE(1, 2, 1, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_lcs,
     .across = lcs_across,
     .group = "string",
     .since = "7.0.0",
     .cost = "O(N*M), N and M = lengths of the strings",
     .args = "key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]",
     .doc = "Answers the longest sequence of bytes that two strings have in common, gaps allowed."},
    {0},
};
