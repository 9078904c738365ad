/* What handlers did, as commands. A value as a whole is RESTORE's payload while it is small: one effect, and it keeps
 * the form it has. A large one is deleted and put together again in pieces, so that no effect is as long as the value.
 * A stream stays a payload, since what is pending there may be about entries that are gone, which no command puts
 * together; in slices that is told in pieces, too (shards/effect_payload.h). A long string is made as long as it will
 * be with its last byte, then filled. */
#include "shards/effect_add.h"
#include "core/num.h"
#include "shards/dump.h"
#include "shards/hash_value.h"
#include "shards/list.h"
#include "shards/set.h"
#include "shards/shard.h"
#include "shards/work.h"
#include "shards/zset.h"

#define RUN_ARGS     512u /* arguments, or bytes, of one effect of a run; one element more may exceed them */
#define RUN_BYTES    32768u
#define STRING_PIECE (512u * 1024) /* bytes of a string in one effect, where it takes several */

HOT_INLINE bool is_on(const struct exec *x) {
    return x->shard->effects.on;
}

void effect_add(struct exec *x, uint32_t db, const struct slice *argv, uint32_t argc) {
    if (is_on(x)) effects_add(&x->shard->effects, db, argv, argc);
}

void effect_same(struct exec *x) {
    effect_add(x, x->db, x->argv, x->argc);
}

void effect_del(struct exec *x, uint32_t db, struct slice key) {
    effect_add(x, db, (struct slice[]){SLICE("DEL"), key}, 2);
}

static void set_in(struct exec *x, uint32_t db, struct slice key, struct slice value, uint64_t deadline_ms) {
    char digits[NUM_U64_MAX];
    struct slice argv[5] = {SLICE("SET"), key, value, SLICE("PXAT")};
    argv[4] = slice_of(digits, num_format_u64(digits, deadline_ms));
    effect_add(x, db, argv, deadline_ms ? 5 : 3);
}

void effect_set(struct exec *x, struct slice key, struct slice value, uint64_t deadline_ms) {
    if (is_on(x) && !x->tells) set_in(x, x->db, key, value, deadline_ms);
}

void effect_deadline_in(struct exec *x, uint32_t db, struct slice key, uint64_t deadline_ms) {
    char digits[NUM_U64_MAX];
    struct slice argv[3] = {SLICE("PEXPIREAT"), key};
    argv[2] = slice_of(digits, num_format_u64(digits, deadline_ms));
    effect_add(x, db, argv, 3);
}

void effect_deadline(struct exec *x, struct slice key, uint64_t deadline_ms) {
    if (!is_on(x)) return;
    if (deadline_ms)
        effect_deadline_in(x, x->db, key, deadline_ms);
    else
        effect_add(x, x->db, (struct slice[]){SLICE("PERSIST"), key}, 2);
}

static void field_deadline_in(struct exec *x, uint32_t db, struct slice key, struct slice field, uint64_t deadline_ms) {
    char digits[NUM_U64_MAX];
    struct slice at = slice_of(digits, num_format_u64(digits, deadline_ms));
    effect_add(x, db, (struct slice[]){SLICE("HPEXPIREAT"), key, at, SLICE("FIELDS"), SLICE("1"), field}, 6);
}

void effect_field_deadline(struct exec *x, struct slice key, struct slice field, uint64_t deadline_ms) {
    if (!is_on(x)) return;
    if (deadline_ms)
        field_deadline_in(x, x->db, key, field, deadline_ms);
    else
        effect_add(x, x->db, (struct slice[]){SLICE("HPERSIST"), key, SLICE("FIELDS"), SLICE("1"), field}, 5);
}

void effect_pop(struct exec *x, const char *name, struct slice key, uint64_t count) {
    char digits[NUM_U64_MAX];
    if (!is_on(x)) return;
    struct slice argv[3] = {slice_of_cstr(name), key};
    argv[2] = slice_of(digits, num_format_u64(digits, count));
    effect_add(x, x->db, argv, count == 1 ? 2 : 3);
}

/* --- runs --- */

void effect_run_begin(struct effect_run *run, struct exec *x, uint32_t db, const char *name, struct slice key) {
    *run = (struct effect_run){.x = x, .db = db, .name = name, .key = key};
    buf_init(&run->args, x->shard->heap, MEM_MESSAGE);
}

static void flush(struct effect_run *run) {
    if (run->argc == 0) return;
    effects_add_resp(&run->x->shard->effects, run->db, buf_slice(&run->args), run->argc);
    run->args.len = 0;
    run->argc = 0;
}

static void append(struct effect_run *run, struct slice text) {
    resp_bulk(&run->args, text);
    run->argc++;
}

void effect_run_add(struct effect_run *run, const struct slice *texts, uint32_t count) {
    if (!is_on(run->x)) return;
    if (run->argc == 0) {
        append(run, slice_of_cstr(run->name));
        append(run, run->key);
    }
    for (uint32_t i = 0; i < count; i++) append(run, texts[i]);
    if (run->argc >= RUN_ARGS || run->args.len >= RUN_BYTES) flush(run);
}

void effect_run_end(struct effect_run *run) {
    flush(run);
    buf_deinit(&run->args);
}

/* --- whole values --- */

static void restore(struct exec *x, uint32_t db, const struct entry *entry) {
    char digits[NUM_U64_MAX];
    struct buf payload;
    buf_init(&payload, x->shard->heap, MEM_MESSAGE);
    dump_write(&payload, entry);
    struct slice ttl = slice_of(digits, num_format_u64(digits, entry_deadline_ms(entry)));
    struct slice argv[] = {SLICE("RESTORE"),    entry_key(entry), ttl,
                           buf_slice(&payload), SLICE("REPLACE"), SLICE("ABSTTL")};
    effect_add(x, db, argv, ARRAY_LEN(argv));
    buf_deinit(&payload);
}

static void add_packed(struct effect_run *run, const struct packed_value *value) {
    char scratch[PACKED_SCRATCH];
    struct slice text = packed_text(value, scratch);
    effect_run_add(run, &text, 1);
}

static bool add_member(void *ctx, struct slice text) {
    effect_run_add(ctx, &text, 1);
    return true;
}

static void add_field(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    char scratch[2][PACKED_SCRATCH];
    effect_run_add(ctx, (struct slice[]){packed_text(field, scratch[0]), packed_text(value, scratch[1])}, 2);
}

/* At most `max` from that index on; returns the index behind them. */
static uint64_t add_elements(struct effect_run *run, const struct entry *entry, uint64_t from, uint64_t max) {
    struct packed_value value;
    struct quicklist_iter iter = list_seek(entry, from);
    for (; max && quicklist_next(&iter, &value); max--, from++) add_packed(run, &value);
    return from;
}

/* At most `max` from that rank on; returns the rank behind them. */
static uint64_t add_scores(struct effect_run *run, const struct entry *entry, uint64_t from, uint64_t max) {
    struct zset_pair pair;
    char digits[NUM_DOUBLE_MAX];
    struct zset_iter iter = zset_seek(entry, from);
    for (; max && zset_next(&iter, &pair); max--, from++)
        effect_run_add(run, (struct slice[]){slice_of(digits, num_format_double(digits, pair.score)), pair.member}, 2);
    return from;
}

struct timed_hash {
    struct exec *x;
    uint32_t db;
    const struct entry *entry;
};

static void add_deadline(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    const struct timed_hash *timed = ctx;
    char scratch[PACKED_SCRATCH];
    struct slice name = packed_text(field, scratch);
    uint64_t deadline = hash_deadline(timed->entry, name);
    (void)value;
    if (deadline) field_deadline_in(timed->x, timed->db, entry_key(timed->entry), name, deadline);
}

static const char *const element_adders[TYPE_COUNT] = {
    [TYPE_LIST] = "RPUSH", [TYPE_SET] = "SADD", [TYPE_ZSET] = "ZADD", [TYPE_HASH] = "HSET"};

/* From nothing, element by element. */
static void put_together(struct exec *x, uint32_t db, const struct entry *entry) {
    struct effect_run run;
    effect_del(x, db, entry_key(entry));
    effect_run_begin(&run, x, db, element_adders[entry->type], entry_key(entry));
    switch ((enum value_type)entry->type) {
    case TYPE_LIST: (void)add_elements(&run, entry, 0, UINT64_MAX); break;
    case TYPE_SET: set_each(entry, add_member, &run); break;
    case TYPE_ZSET: (void)add_scores(&run, entry, 0, UINT64_MAX); break;
    case TYPE_HASH: hash_each(entry, add_field, &run); break;
    default: ASSERT(false);
    }
    effect_run_end(&run);
    if (entry->flags & ENTRY_FIELDS_TIMED && entry->type == TYPE_HASH)
        hash_each(entry, add_deadline, &(struct timed_hash){x, db, entry});
    if (entry_deadline_ms(entry)) effect_deadline_in(x, db, entry_key(entry), entry_deadline_ms(entry));
}

void effect_value(struct exec *x, uint32_t db, const struct entry *entry) {
    char scratch[ENTRY_SCRATCH];
    if (!is_on(x)) return;
    if (entry->type == TYPE_STRING)
        set_in(x, db, entry_key(entry), entry_string(entry, scratch), entry_deadline_ms(entry));
    else if (entry_bytes(entry) <= x->shard->effects.payload_bytes || entry->type == TYPE_STREAM)
        restore(x, db, entry);
    else
        put_together(x, db, entry);
}

/* --- the same in slices --- */

bool effect_takes_slices(const struct exec *x, const struct entry *entry) {
    if (entry_bytes(entry) <= x->shard->effects.payload_bytes) return false;
    return entry->type == TYPE_STRING ? entry->encoding == ENC_EXTERNAL : entry->encoding == ENC_OBJECT;
}

static void add_bytes(struct exec *x, uint32_t db, const struct entry *entry, uint64_t at, uint64_t len) {
    char digits[NUM_U64_MAX];
    struct slice argv[] = {SLICE("SETRANGE"), entry_key(entry), slice_of(digits, num_format_u64(digits, at)),
                           slice_of(entry_bigstr(entry)->bytes + at, len)};
    effect_add(x, db, argv, ARRAY_LEN(argv));
}

uint64_t effect_tell_bytes(struct exec *x, uint32_t db, const struct entry *entry, uint64_t from, uint64_t at,
                           uint64_t end) {
    uint64_t piece_end = MIN(at + STRING_PIECE, end);
    if (at == from && piece_end < end) add_bytes(x, db, entry, end - 1, 1);
    add_bytes(x, db, entry, at, piece_end - at);
    return piece_end;
}

/* From there on; returns where it goes on, or 0. */
static uint64_t add_some_bytes(struct exec *x, uint32_t db, const struct entry *entry, uint64_t at) {
    uint64_t len = entry_bigstr(entry)->len;
    at = effect_tell_bytes(x, db, entry, 0, at, len);
    return at < len ? at : 0;
}

#define FIELD_STEPS (WORK_SLICE / 16) /* through a table of fields: each answers a few of them */

static uint64_t add_some_fields(struct effect_run *run, const struct entry *entry, uint64_t at) {
    for (unsigned steps = 0; steps < FIELD_STEPS; steps++)
        if (!(at = hash_scan(entry, at, add_field, run))) break;
    return at;
}

/* The deadlines of the fields that the same steps answer. */
static void add_some_deadlines(struct exec *x, uint32_t db, const struct entry *entry, uint64_t at) {
    struct timed_hash timed = {x, db, entry};
    for (unsigned steps = 0; steps < FIELD_STEPS; steps++)
        if (!(at = hash_scan(entry, at, add_deadline, &timed))) break;
}

/* As many as tale->at is moved by. */
static void tell_elements(struct effect_tale *tale, struct effect_run *run, const struct entry *entry) {
    uint64_t length;
    switch (entry->type) {
    case TYPE_LIST:
        tale->at = add_elements(run, entry, tale->at, WORK_SLICE);
        length = list_len(entry);
        break;
    case TYPE_ZSET:
        tale->at = add_scores(run, entry, tale->at, WORK_SLICE);
        length = zset_len(entry);
        break;
    case TYPE_SET: tale->at = set_scan(entry, tale->at, WORK_SLICE, add_member, run); return;
    default: tale->at = add_some_fields(run, entry, tale->at); return;
    }
    if (tale->at == length) tale->at = 0;
}

bool effect_tell_some(struct effect_tale *tale, struct exec *x, uint32_t db, const struct entry *entry) {
    struct effect_run run;
    if (!is_on(x)) return false;
    if (!tale->begun && !effect_takes_slices(x, entry)) {
        effect_value(x, db, entry);
        return false;
    }
    ASSERT(!entry_deadline_ms(entry));
    if (!tale->begun) effect_del(x, db, entry_key(entry));
    tale->begun = true;
    if (entry->type == TYPE_STREAM) return effect_payload_some(&tale->payload, x, db, entry);
    if (entry->type == TYPE_STRING) return (tale->at = add_some_bytes(x, db, entry, tale->at)) != 0;
    uint64_t from = tale->at;
    effect_run_begin(&run, x, db, element_adders[entry->type], entry_key(entry));
    tell_elements(tale, &run, entry);
    effect_run_end(&run);
    bool timed = entry->type == TYPE_HASH && entry->flags & ENTRY_FIELDS_TIMED;
    if (timed) add_some_deadlines(x, db, entry, from);
    return tale->at != 0;
}
