/* Strings as bits, several: BITOP. Shorter strings count as if zeros followed them.
 *
 * AND, OR and XOR can be done in any grouping. The operations of Redis 8.2 come to a pair of strings, which can be
 * joined just so, and their result is made of the pair at the end:
 *
 *      DIFF    in the first, in no other      first & ~rest          rest: in any but the first
 *      DIFF1   in another, not in the first   rest & ~first
 *      ANDOR   in the first and in another    first & rest
 *      ONE     in exactly one                 any & ~twice           twice: in two or more
 *
 * So where the keys live on several shards each of them works on those it has (bitop_gather.c). Where all are on one
 * and a string is long, it takes turns (shards/work.h): each slice makes a stretch of the result, which is put in its
 * place at the end. */
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/cmd_bitop_priv.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/shard.h"
#include "shards/work.h"

#define AT_ONCE (1024u * 1024) /* bytes of a result */

bool bitop_parse_operation(struct slice name, enum bit_operation *operation) {
    static const char *const names[] = {
        [BIT_AND] = "and",   [BIT_OR] = "or",       [BIT_XOR] = "xor",     [BIT_NOT] = "not",
        [BIT_DIFF] = "diff", [BIT_DIFF1] = "diff1", [BIT_ANDOR] = "andor", [BIT_ONE] = "one"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        *operation = i;
        if (slice_equal_nocase(name, slice_of_cstr(names[i]))) return true;
    }
    return false;
}

const char *bitop_parse(const struct slice *argv, uint32_t argc, enum bit_operation *operation) {
    if (!bitop_parse_operation(argv[1], operation)) return "ERR syntax error";
    if (*operation == BIT_NOT && argc != 4) return "ERR BITOP NOT must be called with a single source key.";
    if (argc >= 5) return NULL;
    if (*operation == BIT_DIFF) return "ERR BITOP DIFF must be called with at least two source keys.";
    if (*operation == BIT_DIFF1) return "ERR BITOP DIFF1 must be called with at least two source keys.";
    if (*operation == BIT_ANDOR) return "ERR BITOP ANDOR must be called with at least two source keys.";
    return NULL;
}

/* --- bits --- */

/* into (len bytes, the longest's length) becomes the operation of itself and what follows. first: it is empty yet. */
static void fold(enum bit_operation operation, unsigned char *into, size_t len, struct slice from, bool first) {
    const unsigned char *bytes = (const unsigned char *)from.ptr;
    if (first) {
        if (from.len) memcpy(into, bytes, from.len);
        memset(into + from.len, 0, len - from.len);
    } else if (operation == BIT_AND) {
        for (size_t i = 0; i < from.len; i++) into[i] &= bytes[i];
        memset(into + from.len, 0, len - from.len);
    } else if (operation == BIT_OR) {
        for (size_t i = 0; i < from.len; i++) into[i] |= bytes[i];
    } else {
        for (size_t i = 0; i < from.len; i++) into[i] ^= bytes[i];
    }
}

void bitop_combine(enum bit_operation operation, const struct slice *sources, uint32_t count, struct buf *out) {
    size_t len = 0;
    for (uint32_t i = 0; i < count; i++) len = MAX(len, sources[i].len);
    if (len == 0) return;
    unsigned char *into = (unsigned char *)buf_reserve(out, len);
    for (uint32_t i = 0; i < count; i++) fold(operation, into, len, sources[i], i == 0);
    out->len += len;
}

void bitop_invert(struct buf *bytes) {
    for (size_t i = bytes->read; i < bytes->len; i++) bytes->data[i] = (char)~bytes->data[i];
}

/* --- pairs --- */

void bit_pair_init(struct bit_pair *pair, struct heap *heap) {
    buf_init(&pair->a, heap, MEM_MESSAGE);
    buf_init(&pair->b, heap, MEM_MESSAGE);
}

void bit_pair_deinit(struct bit_pair *pair) {
    buf_deinit(&pair->a);
    buf_deinit(&pair->b);
}

static void lengthen(struct buf *bits, size_t len) {
    if (len <= bits->len) return;
    memset(buf_reserve(bits, len - bits->len), 0, len - bits->len);
    bits->len = len;
}

static void or_into(struct buf *into, struct slice from) {
    for (size_t i = 0; i < from.len; i++) into->data[i] |= from.ptr[i];
}

void bit_pair_join(struct bit_pair *pair, enum bit_operation operation, struct slice a, struct slice b) {
    lengthen(&pair->a, MAX(a.len, b.len));
    lengthen(&pair->b, MAX(a.len, b.len));
    for (size_t i = 0; operation == BIT_ONE && i < a.len; i++) pair->b.data[i] |= pair->a.data[i] & a.ptr[i];
    or_into(&pair->a, a);
    or_into(&pair->b, b);
}

/* Another source. */
static void pair_add(struct bit_pair *pair, enum bit_operation operation, struct slice source, bool first) {
    bool to_a = first || operation == BIT_ONE;
    bit_pair_join(pair, operation, to_a ? source : SLICE(""), to_a ? SLICE("") : source);
}

void bit_pair_finish(struct bit_pair *pair, enum bit_operation operation) {
    char *a = pair->a.data;
    const char *b = pair->b.data;
    for (size_t i = 0; i < pair->a.len; i++)
        a[i] = (char)(operation == BIT_ANDOR ? a[i] & b[i] : operation == BIT_DIFF1 ? b[i] & ~a[i] : a[i] & ~b[i]);
}

/* --- on one shard --- */

static const struct bit_stretch whole = {0, SIZE_MAX, false};

/* The stretch of the string at argv[at]. False: it is none, and that was replied. */
static bool source_at(struct exec *x, uint32_t at, const struct bit_stretch *stretch, char *scratch,
                      struct slice *out) {
    struct key_ref ref;
    *out = SLICE("");
    if (!(stretch->again ? exec_open(x, at, TYPE_STRING, &ref) : exec_read(x, at, TYPE_STRING, &ref))) return false;
    if (!ref.entry) return true;
    struct slice bytes = entry_string(ref.entry, scratch);
    if (bytes.len > stretch->at) *out = slice_of(bytes.ptr + stretch->at, MIN(bytes.len - stretch->at, stretch->len));
    return true;
}

/* The pair of the keys argv[first] and those after it; the first of them is the command's first source if has_first.
 * False: one is no string, and that was replied. */
static bool pair_keys(struct exec *x, enum bit_operation operation, uint32_t first, bool has_first,
                      const struct bit_stretch *stretch, struct bit_pair *pair) {
    char scratch[ENTRY_SCRATCH];
    for (uint32_t at = first; at < x->argc; at++) {
        struct slice source;
        if (!source_at(x, at, stretch, scratch, &source)) return false;
        pair_add(pair, operation, source, has_first && at == first);
    }
    return true;
}

/* The keys argv[first] and those after it, combined. False: one is no string, and that was replied. */
static bool combine_keys(struct exec *x, enum bit_operation operation, uint32_t first,
                         const struct bit_stretch *stretch, struct buf *out) {
    uint32_t count = x->argc - first;
    size_t bytes = count * (sizeof(struct slice) + ENTRY_SCRATCH);
    struct slice *sources = heap_alloc(x->shard->heap, MEM_MESSAGE, bytes);
    char *scratch = (char *)(sources + count);
    uint32_t opened = 0;
    while (opened < count && source_at(x, first + opened, stretch, scratch + opened * ENTRY_SCRATCH, &sources[opened]))
        opened++;
    if (opened == count) bitop_combine(operation, sources, count, out);
    heap_free(x->shard->heap, MEM_MESSAGE, sources, bytes);
    return opened == count;
}

/* As Redis: an empty result removes the key, any other replaces what was there, deadline included. */
static void put_result(struct exec *x, uint32_t at, struct slice result) {
    struct key_ref ref;
    const struct entry *old = exec_open_any(x, at, &ref);
    if (result.len > 0) {
        keyspace_put_string(x->keys, &ref, SLICE(""), 0, false);
        char *bytes = keyspace_edit_string(x->keys, &ref, result.len); /* so that OBJECT ENCODING says raw */
        if (!bytes) {
            keyspace_remove(x->keys, &ref);
            if (old) effect_del(x, x->db, x->argv[at]);
            if (old) exec_changed(x, x->argv[at], 1);
            reply_error(x, "ERR insufficient memory for the new length of the string");
            return;
        }
        memcpy(bytes, result.ptr, result.len);
        effect_set(x, x->argv[at], result, 0);
        exec_event_as(x, NOTIFY_STRING, "set", x->argv[at]);
    } else if (old) {
        keyspace_remove(x->keys, &ref);
        effect_del(x, x->db, x->argv[at]);
        exec_event_as(x, NOTIFY_GENERIC, "del", x->argv[at]);
    }
    if (old || result.len > 0) exec_changed(x, x->argv[at], 1);
    reply_int(x, (int64_t)result.len);
}

/* Of the keys argv[3] and those after it. False: one is no string, and that was replied. */
static bool compute(struct exec *x, enum bit_operation operation, const struct bit_stretch *stretch, struct buf *out) {
    if (operation < BIT_PAIRS) {
        bool sound = combine_keys(x, operation, 3, stretch, out);
        if (sound && operation == BIT_NOT) bitop_invert(out);
        return sound;
    }
    struct bit_pair pair;
    bit_pair_init(&pair, x->shard->heap);
    bool sound = pair_keys(x, operation, 3, true, stretch, &pair);
    if (sound) {
        bit_pair_finish(&pair, operation);
        buf_append_slice(out, buf_slice(&pair.a));
    }
    bit_pair_deinit(&pair);
    return sound;
}

/* --- over several turns --- */

struct bitop_work {
    struct work work; /* first: it is cast back */
    enum bit_operation operation;
    struct bit_sources sources; /* as they were: whose time is over meanwhile was not there */
    struct entry *result;       /* of which so many bytes are made; NULL: it is in its place, or there is none */
    size_t made;
    bool put;
    struct effect_tale tale;
};

/* The keys argv[first] and those after it. False: one is no string. */
static bool measure(struct exec *x, uint32_t first, struct bit_sources *out) {
    char scratch[ENTRY_SCRATCH];
    *out = (struct bit_sources){0};
    for (uint32_t at = first; at < x->argc; at++) {
        struct key_ref ref;
        const struct entry *entry = exec_open_any(x, at, &ref);
        if (!entry) continue;
        if (entry->type != TYPE_STRING) return false;
        out->longest = MAX(out->longest, entry_string(entry, scratch).len);
        out->present++;
    }
    return true;
}

static void drop_result(const struct store *store, struct bitop_work *work) {
    if (work->result) entry_delete(store, work->result);
    work->result = NULL;
    work->made = 0;
}

/* A result of so many zeros, in which stretches are put. */
static void begin_result(struct exec *x, struct bitop_work *work, const struct bit_sources *sources) {
    const struct store *store = &x->shared->store;
    char *bytes;
    drop_result(store, work);
    work->sources = *sources;
    if (sources->longest <= ENTRY_EMBED_MAX) return; /* it is as good as nothing */
    struct entry *entry = entry_new_string(store, x->argv[2], SLICE(""), 0, false);
    work->result = entry_edit_string(store, entry, sources->longest, &bytes);
    if (!work->result) entry_delete(store, entry);
}

static void make_some(struct exec *x, struct bitop_work *work) {
    struct bigstr *into = entry_bigstr(work->result);
    size_t len = bitop_stretch(x->argc - 3);
    struct bit_stretch stretch = {work->made, MIN(len, into->len - work->made), true};
    struct buf out;
    buf_init(&out, x->shard->heap, MEM_MESSAGE);
    bool sound = compute(x, work->operation, &stretch, &out);
    ASSERT(sound && out.len == stretch.len);
    memcpy(into->bytes + work->made, out.data, out.len);
    work->made += out.len;
    buf_deinit(&out);
}

static void put_made(struct exec *x, struct bitop_work *work) {
    struct key_ref ref;
    exec_open_any(x, 2, &ref);
    keyspace_put_entry(x->keys, &ref, work->result);
    work->result = NULL;
    work->put = true;
    exec_event_as(x, NOTIFY_STRING, "set", x->argv[2]);
    exec_changed(x, x->argv[2], 1);
}

/* False: all was told. */
static bool tell_some(struct exec *x, struct bitop_work *work) {
    struct key_ref ref;
    const struct entry *entry = exec_open_any(x, 2, &ref);
    ASSERT(entry); /* it has no deadline */
    if (effect_tell_some(&work->tale, x, x->db, entry)) return true;
    reply_int(x, (int64_t)work->made);
    return false;
}

static void bitop_at_once(struct exec *x, enum bit_operation operation) {
    struct buf result;
    buf_init(&result, x->shard->heap, MEM_MESSAGE);
    if (compute(x, operation, &whole, &result)) put_result(x, 2, buf_slice(&result));
    buf_deinit(&result);
}

static bool bitop_work_some(struct exec *x, struct work *of) {
    struct bitop_work *work = (struct bitop_work *)of;
    struct bit_sources sources;
    if (work->put) return tell_some(x, work);
    bool sound = measure(x, 3, &sources);
    ASSERT(sound);
    if (sources.longest != work->sources.longest || sources.present != work->sources.present)
        begin_result(x, work, &sources);
    if (!work->result) { /* what was long is gone, or there is no memory for it, which is replied */
        bitop_at_once(x, work->operation);
        return false;
    }
    if (work->made < sources.longest) make_some(x, work);
    if (work->made < sources.longest) return true;
    if (x->shard->effects.on && !work->work.tells) return work->work.tells = true;
    put_made(x, work);
    return tell_some(x, work);
}

static void bitop_work_end(struct shard *shard, struct work *of) {
    struct bitop_work *work = (struct bitop_work *)of;
    drop_result(&shard->shared.store, work);
}

static struct work *bitop_work_new(const struct exec *x, enum bit_operation operation) {
    struct bitop_work *work = work_new(x, sizeof *work, (struct work){.some = bitop_work_some, .end = bitop_work_end});
    work->operation = operation;
    return &work->work;
}

static bool takes_turns(struct exec *x, enum bit_operation operation) {
    struct bit_sources sources;
    if (!measure(x, 3, &sources) || sources.longest <= AT_ONCE || !work_takes_turns(x)) return false;
    for (uint32_t at = 3; at < x->argc; at++) { /* they are read, and count as such */
        struct key_ref ref;
        (void)exec_read_any(x, at, &ref);
    }
    if (work_begins(x)) work_begin(x, bitop_work_new(x, operation));
    return true;
}

static void cmd_bitop(struct exec *x) {
    enum bit_operation operation;
    const char *error = bitop_parse(x->argv, x->argc, &operation);
    if (error) {
        reply_error(x, error);
        return;
    }
    if (!takes_turns(x, operation)) bitop_at_once(x, operation);
}

/* The longest of its sources, twice: the result and the value. */
static uint64_t bitop_grows(const struct exec *x) {
    uint64_t longest = 0;
    for (uint32_t at = 3; at < x->argc; at++) longest = MAX(longest, admit_key_bytes(x, at));
    return 2 * longest;
}

/* The bits themselves of a part, one string or a pair. False: a key is no string, and that was replied. */
static bool part_of(struct exec *x, enum bit_operation operation, const struct bit_stretch *stretch,
                    struct bit_pair *pair) {
    if (operation < BIT_PAIRS) return combine_keys(x, operation, BIT_PART_KEYS, stretch, &pair->a);
    return pair_keys(x, operation, BIT_PART_KEYS, arg_is(x, 2, "first"), stretch, pair);
}

/* sherd.bit-part operation FIRST|REST READ|AGAIN at length key ... */
static void cmd_bit_part(struct exec *x) {
    enum bit_operation operation;
    struct bit_sources sources;
    struct bit_pair pair;
    int64_t at, len;
    bool known = bitop_parse_operation(x->argv[1], &operation);
    ASSERT(known);
    if (!exec_int(x, 4, &at) || !exec_int(x, 5, &len)) return;
    const struct bit_stretch stretch = {(size_t)at, (size_t)len, arg_is(x, 3, "again")};
    bit_pair_init(&pair, x->shard->heap);
    if (part_of(x, operation, &stretch, &pair)) {
        (void)measure(x, BIT_PART_KEYS, &sources);
        reply_array(x, 4);
        reply_int(x, (int64_t)sources.longest);
        reply_int(x, sources.present);
        reply_bulk(x, buf_slice(&pair.a));
        reply_bulk(x, buf_slice(&pair.b));
    }
    bit_pair_deinit(&pair);
}

/* sherd.bit-store key result */
static void cmd_bit_store(struct exec *x) {
    put_result(x, 1, x->argv[2]);
}

const struct command bitop_commands[] = {
    {.name = "bitop",
     .arity = -4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_BITMAP,
     .keys = {KEYS_ONE(2, KEY_OW | KEY_UPDATE), KEYS_RANGE(3, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_bitop,
     .takes_turns = true,
     .grows = bitop_grows,
     .across = bitop_gather,
     .group = "bitmap",
     .since = "2.6.0",
     .cost = "O(N), N = bytes of all strings",
     .args = "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
     .doc = "Combines strings bit by bit and stores the result."},
    {.name = "sherd.bit-part",
     .arity = -7,
     .flags = CMD_INTERNAL | CMD_READ,
     .keys = {KEYS_RANGE(BIT_PART_KEYS, -1, 1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_bit_part,
     .group = "bitmap",
     .since = "0.3.0",
     .cost = "O(N), N = bytes of the stretch, of all strings",
     .args = "operation <FIRST | REST> <READ | AGAIN> at length key [key ...]",
     .doc = "Combines a stretch of the strings that are here."},
    {.name = "sherd.bit-store",
     .arity = 3,
     .flags = CMD_INTERNAL | CMD_WRITE | CMD_DENYOOM,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_bit_store,
     .group = "bitmap",
     .since = "0.3.0",
     .cost = "O(N), N = bytes of the result",
     .args = "key result",
     .doc = "Stores what was combined."},
    {0},
};
