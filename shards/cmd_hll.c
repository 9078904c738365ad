/* HyperLogLog: PFADD, PFCOUNT, PFMERGE, PFDEBUG on strings in Redis's format (core/hll.h).
 *
 * With keys on several shards each of those sends the registers of its own joined, 16 KiB, and home joins these:
 *
 *      sources' shards                       home                 destination's shard
 *      sherd.pf-part key key ...        <--- step 0
 *      [is one dense, registers]        ---> step 1: count, or -> sherd.pf-store key dense|sparse registers
 *      or [which key, error]                 the error of the first key that has one, as Redis looks at them in order
 *
 * The count that PFCOUNT keeps in the value is a cache: it is written without an effect. WATCH sees it, as in Redis. */
#include "core/assert.h"
#include "core/hll.h"
#include "core/num.h"
#include "shards/args_work.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/gather.h"
#include "shards/shard.h"
#include "shards/watch.h"
#include <stdio.h>

static void reply_corrupt(struct exec *x) {
    reply_error(x, "INVALIDOBJ Corrupted HLL object detected");
}

/* --- the value of a key --- */

/* False: the key holds something else, and that was replied. An absent key is fine. */
static bool open_hll(struct exec *x, uint32_t at, struct key_ref *ref, struct slice *value,
                     char scratch[ENTRY_SCRATCH]) {
    if (!exec_open(x, at, TYPE_STRING, ref)) return false;
    *value = ref->entry ? entry_string(ref->entry, scratch) : SLICE("");
    if (!ref->entry || hll_is_one(*value)) return true;
    reply_error(x, "WRONGTYPE Key is not a valid HyperLogLog string value.");
    return false;
}

static size_t sparse_max(const struct exec *x) {
    return (size_t)x->shard->config->hll_sparse_max_bytes;
}

/* The key holds these bytes from now on, with the deadline that it had. */
static void put(struct exec *x, struct key_ref *ref, struct slice value) {
    uint64_t deadline_ms = ref->entry ? entry_deadline_ms(ref->entry) : 0;
    if (!ref->entry || entry_string_len(ref->entry) > value.len)
        keyspace_put_string(x->keys, ref, SLICE(""), deadline_ms, false);
    char *bytes = keyspace_edit_string(x->keys, ref, value.len);
    ASSERT(bytes); /* it is short */
    memcpy(bytes, value.ptr, value.len);
}

/* --- PFADD --- */

static void add_dense(struct exec *x, struct key_ref *ref) {
    char *value = keyspace_edit_string(x->keys, ref, HLL_DENSE_BYTES);
    ASSERT(value); /* it has that length already */
    uint64_t changes = 0;
    for (uint32_t at = 2; at < x->argc; at++)
        changes += hll_raise_dense(value, hll_place_of(x->argv[at])) == HLL_CHANGED;
    if (changes) {
        hll_forget_cached(value);
        exec_changed(x, ref->key, changes);
        exec_event_as(x, NOTIFY_STRING, "pfadd", ref->key);
    }
    reply_int(x, changes > 0);
}

/* As in Redis, what was added before the damage was met stays, and WATCH does not see it. */
static void keep_part(struct exec *x, struct key_ref *ref, struct slice value) {
    put(x, ref, value);
    x->shared->dirty++;
    effect_set(x, ref->key, value, entry_deadline_ms(ref->entry));
}

static void add_sparse(struct exec *x, struct key_ref *ref, struct slice old) {
    struct buf value;
    enum hll_result result = HLL_SAME;
    uint64_t changes = !ref->entry;
    buf_init(&value, x->shard->heap, MEM_MESSAGE);
    if (ref->entry)
        buf_append_slice(&value, old);
    else
        hll_init(&value);
    for (uint32_t at = 2; at < x->argc && result != HLL_CORRUPT; at++) {
        result = hll_raise(&value, hll_place_of(x->argv[at]), sparse_max(x));
        changes += result == HLL_CHANGED;
    }
    if (result == HLL_CORRUPT) {
        if (changes) keep_part(x, ref, buf_slice(&value));
        reply_corrupt(x);
    } else {
        if (changes) {
            hll_forget_cached(value.data);
            put(x, ref, buf_slice(&value));
            exec_changed(x, ref->key, changes);
            exec_event_as(x, NOTIFY_STRING, "pfadd", ref->key);
        }
        reply_int(x, changes > 0);
    }
    buf_deinit(&value);
}

static void cmd_pfadd(struct exec *x) {
    struct key_ref ref;
    struct slice value;
    char scratch[ENTRY_SCRATCH];
    if (!open_hll(x, 1, &ref, &value, scratch)) return;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_ANY})) return;
    if (ref.entry && hll_is_dense(value))
        add_dense(x, &ref);
    else
        add_sparse(x, &ref, value);
}

/* --- several --- */

/* The registers of all keys, joined. Returns 0, or the position of the key for which an error was replied. */
static uint32_t join_keys(struct exec *x, uint8_t registers[HLL_REGISTERS], bool *dense) {
    memset(registers, 0, HLL_REGISTERS);
    *dense = false;
    for (uint32_t at = 1; at < x->argc; at++) {
        struct key_ref ref;
        struct slice value;
        char scratch[ENTRY_SCRATCH];
        (void)exec_read_any(x, at, &ref); /* counts */
        if (!open_hll(x, at, &ref, &value, scratch)) return at;
        if (!ref.entry) continue;
        *dense |= hll_is_dense(value);
        if (!hll_merge(value, registers)) {
            reply_corrupt(x);
            return at;
        }
    }
    return 0;
}

static void count_one(struct exec *x) {
    struct key_ref ref;
    struct slice value;
    char scratch[ENTRY_SCRATCH];
    uint64_t count;
    uint8_t registers[HLL_REGISTERS] = {0};
    (void)exec_read_any(x, 1, &ref); /* counts */
    if (!open_hll(x, 1, &ref, &value, scratch)) return;
    if (!ref.entry) {
        reply_int(x, 0);
        return;
    }
    if (!hll_read_cached(value, &count)) {
        if (!hll_merge(value, registers)) {
            reply_corrupt(x);
            return;
        }
        count = hll_count(registers);
        char *bytes = keyspace_edit_string(x->keys, &ref, value.len);
        ASSERT(bytes);
        hll_write_cached(bytes, count);
        if (x->shard->watchers > 0) watch_touch(x->shard, x->db, ref.key);
    }
    reply_int(x, (int64_t)count);
}

static void cmd_pfcount(struct exec *x) {
    uint8_t registers[HLL_REGISTERS];
    bool dense;
    if (x->argc == 2)
        count_one(x);
    else if (!join_keys(x, registers, &dense))
        reply_int(x, (int64_t)hll_count(registers));
}

/* The key at argv[at] gets at least these registers. */
static void store(struct exec *x, uint32_t at, const uint8_t registers[HLL_REGISTERS], bool dense) {
    struct key_ref ref;
    struct slice old;
    char scratch[ENTRY_SCRATCH];
    struct buf value;
    if (!open_hll(x, at, &ref, &old, scratch)) return;
    buf_init(&value, x->shard->heap, MEM_MESSAGE);
    if (ref.entry)
        buf_append_slice(&value, old);
    else
        hll_init(&value);
    enum hll_result result = dense ? hll_make_dense(&value) : HLL_SAME;
    for (uint32_t i = 0; i < HLL_REGISTERS && result != HLL_CORRUPT; i++)
        if (registers[i]) result = hll_raise(&value, (struct hll_place){i, registers[i]}, sparse_max(x));
    if (result == HLL_CORRUPT) {
        reply_corrupt(x);
    } else {
        hll_forget_cached(value.data);
        put(x, &ref, buf_slice(&value));
        exec_changed(x, x->argv[at], 1);
        exec_event_as(x, NOTIFY_STRING, "pfadd", x->argv[at]);
        effect_set(x, x->argv[at], buf_slice(&value), entry_deadline_ms(ref.entry));
        reply_ok(x);
    }
    buf_deinit(&value);
}

static void cmd_pfmerge(struct exec *x) {
    uint8_t registers[HLL_REGISTERS];
    bool dense;
    if (!join_keys(x, registers, &dense)) store(x, 1, registers, dense);
}

/* --- parts --- */

/* sherd.pf-part key ... */
static void cmd_pf_part(struct exec *x) {
    uint8_t registers[HLL_REGISTERS];
    bool dense;
    reply_array(x, 2);
    size_t mark = x->out->len;
    uint32_t bad = join_keys(x, registers, &dense);
    char text[NUM_U64_MAX + 4];
    size_t len = (size_t)snprintf(text, sizeof text, ":%u\r\n", bad ? bad : (unsigned)dense);
    buf_insert(x->out, mark, slice_of(text, len));
    if (!bad) reply_bulk(x, slice_of((const char *)registers, sizeof registers));
}

/* sherd.pf-store key dense|sparse registers */
static void cmd_pf_store(struct exec *x) {
    ASSERT(x->argv[3].len == HLL_REGISTERS);
    store(x, 1, (const uint8_t *)x->argv[3].ptr, arg_is(x, 2, "dense"));
}

static void send_parts(struct gather *g) {
    size_t bytes = g->argc * sizeof(struct slice);
    struct slice *args = heap_alloc(g->home->heap, MEM_MESSAGE, bytes);
    for (uint32_t shard = 0; shard < gather_shards(g); shard++) {
        uint32_t count = 0;
        for (uint32_t at = 1; at < g->argc; at++)
            if (gather_owner(g, at) == shard) args[count++] = g->argv[at];
        if (count > 0) gather_send(g, shard, "sherd.pf-part", args, count);
    }
    heap_free(g->home->heap, MEM_MESSAGE, args, bytes);
}

/* Where the nth key of a shard stands in the command. */
static uint32_t position_of(const struct gather *g, uint32_t shard, uint32_t nth) {
    uint32_t at = 1;
    for (; at < g->argc; at++)
        if (gather_owner(g, at) == shard && --nth == 0) break;
    return at;
}

/* False: there is an error, which is the reply. */
static bool join_parts(struct gather *g, uint8_t registers[HLL_REGISTERS], bool *dense) {
    struct slice error = {0};
    uint32_t first = UINT32_MAX;
    memset(registers, 0, HLL_REGISTERS);
    *dense = false;
    for (uint32_t part = 0; part < g->parts; part++) {
        struct slice rest, bytes;
        int64_t number;
        bool right = gather_reply_array(gather_reply(g, part), &rest) == 2 &&
                     gather_reply_int(gather_next_element(&rest), &number);
        ASSERT(right);
        struct slice element = gather_next_element(&rest);
        if (gather_reply_is_error(element)) {
            uint32_t at = position_of(g, g->answered[part].shard, (uint32_t)number);
            if (at < first) first = at, error = element;
            continue;
        }
        right = gather_reply_bulk(element, &bytes) && bytes.len == HLL_REGISTERS;
        ASSERT(right);
        *dense |= number;
        for (uint32_t i = 0; i < HLL_REGISTERS; i++) registers[i] = (uint8_t)MAX(registers[i], (uint8_t)bytes.ptr[i]);
    }
    if (first == UINT32_MAX) return true;
    g->failed = true;
    buf_append_slice(gather_out(g), error);
    return false;
}

static void pfcount_gather(struct gather *g) {
    uint8_t registers[HLL_REGISTERS];
    bool dense;
    if (g->step == 0)
        send_parts(g);
    else if (join_parts(g, registers, &dense))
        resp_int(gather_out(g), (int64_t)hll_count(registers));
}

static void pfmerge_gather(struct gather *g) {
    uint8_t registers[HLL_REGISTERS];
    bool dense;
    if (g->step == 0) {
        send_parts(g);
    } else if (g->step == 2) {
        buf_append_slice(gather_out(g), gather_reply(g, 0));
    } else if (join_parts(g, registers, &dense)) {
        struct slice args[3] = {g->argv[1], dense ? SLICE("dense") : SLICE("sparse"),
                                slice_of((const char *)registers, sizeof registers)};
        gather_send(g, gather_owner(g, 1), "sherd.pf-store", args, 3);
    }
}

/* --- PFDEBUG --- */

static void reply_registers(struct exec *x, struct slice value) {
    uint8_t registers[HLL_REGISTERS] = {0};
    if (!hll_merge(value, registers)) {
        reply_corrupt(x);
        return;
    }
    reply_array(x, HLL_REGISTERS);
    for (uint32_t i = 0; i < HLL_REGISTERS; i++) reply_int(x, registers[i]);
}

/* True: it is dense now. */
static bool make_dense(struct exec *x, struct key_ref *ref, struct slice old, bool *changed) {
    struct buf value;
    buf_init(&value, x->shard->heap, MEM_MESSAGE);
    buf_append_slice(&value, old);
    enum hll_result result = hll_make_dense(&value);
    *changed = result == HLL_CHANGED;
    if (*changed) {
        put(x, ref, buf_slice(&value));
        exec_changed_unseen(x);
        effect_set(x, x->argv[2], buf_slice(&value), entry_deadline_ms(ref->entry));
    }
    if (result == HLL_CORRUPT) reply_corrupt(x);
    buf_deinit(&value);
    return result != HLL_CORRUPT;
}

static void cmd_pfdebug(struct exec *x) {
    struct key_ref ref;
    struct slice value;
    char scratch[ENTRY_SCRATCH];
    bool changed;
    if (!open_hll(x, 2, &ref, &value, scratch)) return;
    if (!ref.entry)
        reply_error(x, "ERR The specified key does not exist");
    else if (arg_is(x, 1, "encoding"))
        reply_simple(x, hll_is_dense(value) ? "dense" : "sparse");
    else if (arg_is(x, 1, "todense")) {
        if (make_dense(x, &ref, value, &changed)) reply_int(x, changed);
    } else if (arg_is(x, 1, "getreg")) { /* as in Redis it becomes dense by that */
        if (make_dense(x, &ref, value, &changed)) reply_registers(x, entry_string(ref.entry, scratch));
    } else
        reply_errorf(x, "ERR Unknown PFDEBUG subcommand '%.*s'", (int)MIN(x->argv[1].len, (size_t)128), x->argv[1].ptr);
}

/* Redis tests its own registers here; ours are tested where they are built (tests/core/hll_test.c). */
static void cmd_pfselftest(struct exec *x) {
    reply_ok(x);
}

#define HLL .acl = ACL_HYPERLOGLOG, .group = "hyperloglog"

const struct command hll_commands[] = {
    {.name = "pfadd",
     HLL,
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_INSERT)},
     .where = ON_OWNER,
     .run = cmd_pfadd,
     .takes_turns = true,
     .replays = true,
     .since = "2.8.9",
     .cost = "O(1) for each element",
     .args = "key [element [element ...]]",
     .doc = "Adds elements to a HyperLogLog; says whether the estimate may have changed."},
    {.name = "pfcount",
     HLL,
     .arity = -2,
     .flags = CMD_READ | CMD_MAY_REPLICATE,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RW | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_pfcount,
     .across = pfcount_gather,
     .since = "2.8.9",
     .cost = "O(1) for one key, most of the time; O(N) for N keys",
     .args = "key [key ...]",
     .doc = "Estimates how many different elements were added to one HyperLogLog, or to any of several."},
    {.name = "pfmerge",
     HLL,
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_INSERT), KEYS_RANGE(2, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_pfmerge,
     .across = pfmerge_gather,
     .since = "2.8.9",
     .cost = "O(N), N = number of keys",
     .args = "destkey [sourcekey [sourcekey ...]]",
     .doc = "Joins HyperLogLogs into one."},
    {.name = "pfdebug",
     HLL,
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_ADMIN,
     .keys = {KEYS_ONE(2, KEY_RW | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_pfdebug,
     .since = "2.8.9",
     .cost = "O(1)",
     .args = "subcommand key",
     .doc = "Shows a HyperLogLog from inside: ENCODING, GETREG, TODENSE."},
    {.name = "pfselftest",
     HLL,
     .arity = 1,
     .flags = CMD_ADMIN,
     .where = ON_CONN,
     .run = cmd_pfselftest,
     .since = "2.8.9",
     .cost = "O(1)",
     .doc = "Says OK: what it tests in Redis is tested when the server is built."},
    {.name = "sherd.pf-part",
     .arity = -2,
     .flags = CMD_INTERNAL | CMD_READ,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_pf_part,
     .group = "hyperloglog",
     .since = "0.3.0",
     .cost = "O(N), N = number of keys",
     .args = "key [key ...]",
     .doc = "Joins the HyperLogLogs that are here."},
    {.name = "sherd.pf-store",
     .arity = 4,
     .flags = CMD_INTERNAL | CMD_WRITE | CMD_DENYOOM,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_INSERT)},
     .where = ON_OWNER,
     .run = cmd_pf_store,
     .group = "hyperloglog",
     .since = "0.3.0",
     .cost = "O(1)",
     .args = "key form registers",
     .doc = "Raises registers to what was joined."},
    {0},
};
