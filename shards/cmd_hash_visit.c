/* Hashes as a whole: HGETALL and its relatives, HRANDFIELD, HSCAN.
 *
 * Some of the fields at random, each once: of a run, or when many are asked for, one walk that takes each field with
 * the chance of what is still needed to what is left (Knuth, The Art of Computer Programming 2, algorithm S). Few of a
 * large table are drawn one by one, and what was drawn before is drawn again. */
#include "core/glob.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_tables.h"
#include "shards/exec.h"
#include "shards/hash_value.h"
#include "shards/shard.h"

/* What is written of each field. */
struct visit {
    struct exec *x;
    bool fields, values;
    bool nested; /* RESP3: a field and its value are an array of two */
};

static void reply_pair(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    const struct visit *visit = ctx;
    if (visit->nested) reply_array(visit->x, 2);
    if (visit->fields) reply_packed(visit->x, field);
    if (visit->values) reply_packed(visit->x, value);
}

/* --- all --- */

static void reply_all(struct exec *x, bool fields, bool values) {
    struct key_ref ref;
    struct visit visit = {.x = x, .fields = fields, .values = values};
    if (!exec_read(x, 1, TYPE_HASH, &ref)) return;
    uint64_t count = ref.entry ? hash_len(ref.entry) : 0;
    if (answer_waits_for_some(x, ref.entry, count, count)) return;
    if (fields && values)
        reply_map(x, count);
    else
        reply_array(x, count);
    if (ref.entry) hash_each(ref.entry, reply_pair, &visit);
}

static void cmd_hgetall(struct exec *x) {
    reply_all(x, true, true);
}
static void cmd_hkeys(struct exec *x) {
    reply_all(x, true, false);
}
static void cmd_hvals(struct exec *x) {
    reply_all(x, false, true);
}

/* --- some at random --- */

#define DRAWN_SHARE 3       /* a walk over all takes about as long as drawing a third of them */
#define DRAWN_MAX   1048576 /* repeated fields in one reply: a tenth of a second */

struct sample {
    struct visit visit;
    struct prng *prng;
    uint64_t left, needed;
};

static void sample_field(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    struct sample *sample = ctx;
    if (prng_below(sample->prng, sample->left--) >= sample->needed) return;
    sample->needed--;
    reply_pair(&sample->visit, field, value);
}

struct drawing {
    struct visit visit;
    const struct store *store;
    struct fields *drawn;
    uint64_t needed;
};

static void take_undrawn(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    struct drawing *drawing = ctx;
    char scratch[PACKED_SCRATCH];
    if (drawing->needed == 0) return;
    if (!fields_put(drawing->store, drawing->drawn, packed_text(field, scratch), slice_of(NULL, 0))) return;
    drawing->needed--;
    reply_pair(&drawing->visit, field, value);
}

/* Two draws in three are new, so the tries end it only by a defect of the generator. */
static void draw_some(struct exec *x, const struct entry *entry, struct visit visit, uint64_t count) {
    struct drawing drawing = {visit, &x->shared->store, fields_new(&x->shared->store, &x->shared->seed), count};
    struct packed_value field, value;
    for (uint64_t tries = 100 + 10 * count; drawing.needed > 0 && tries > 0; tries--) {
        hash_random(entry, &x->shard->prng, &field, &value);
        take_undrawn(&drawing, &field, &value);
    }
    if (drawing.needed > 0) hash_each(entry, take_undrawn, &drawing);
    fields_delete(&x->shared->store, drawing.drawn);
}

static void reply_some(struct exec *x, const struct entry *entry, struct visit visit, uint64_t count) {
    uint64_t len = hash_len(entry);
    if (count >= len) {
        hash_each(entry, reply_pair, &visit);
    } else if (entry_is_packed(entry) || count > len / DRAWN_SHARE) {
        struct sample sample = {visit, &x->shard->prng, len, count};
        hash_each(entry, sample_field, &sample);
    } else {
        draw_some(x, entry, visit, count);
    }
}

static void random_fields(struct exec *x, int64_t count, bool values) {
    struct key_ref ref;
    struct packed_value field, value;
    struct visit visit = {.x = x, .fields = true, .values = values, .nested = values && x->resp > 2};
    if (!exec_read(x, 1, TYPE_HASH, &ref)) return;
    if (!ref.entry) count = 0;
    uint64_t found = count < 0 ? (uint64_t)-count : ref.entry ? MIN((uint64_t)count, hash_len(ref.entry)) : 0;
    if (count < 0 && found > DRAWN_MAX) {
        reply_error(x, "ERR value is out of range");
        return;
    }
    if (found && answer_waits_for_some(x, ref.entry, found, hash_len(ref.entry))) return;
    reply_array(x, found * (values && !visit.nested ? 2 : 1));
    if (count > 0) reply_some(x, ref.entry, visit, found);
    for (; count < 0; count++) {
        hash_random(ref.entry, &x->shard->prng, &field, &value);
        reply_pair(&visit, &field, &value);
    }
}

static uint64_t drawn_answers(const struct exec *x) {
    return answer_drawn_bytes(x, TYPE_HASH, hash_len);
}

static void cmd_hrandfield(struct exec *x) {
    struct key_ref ref;
    struct packed_value field, value;
    int64_t count;
    if (x->argc == 2) {
        if (!exec_read(x, 1, TYPE_HASH, &ref)) return;
        if (!ref.entry) {
            reply_null(x);
            return;
        }
        hash_random(ref.entry, &x->shard->prng, &field, &value);
        reply_packed(x, &field);
        return;
    }
    if (!exec_int(x, 2, &count)) return;
    if (count == INT64_MIN) {
        reply_error(x, "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
    } else if (x->argc > 4 || (x->argc == 4 && !arg_is(x, 3, "withvalues"))) {
        reply_syntax_error(x);
    } else if (x->argc == 4 && (count < -INT64_MAX / 2 || count > INT64_MAX / 2)) {
        reply_error(x, "ERR value is out of range"); /* twice as many could not be counted */
    } else {
        random_fields(x, count, x->argc == 4);
    }
}

/* --- HSCAN --- */

#define SCAN_BYTES_MAX (512 * 1024) /* of fields and values found, after which a call ends all the same */

struct scan {
    struct visit visit;
    struct scan_options options;
    const struct fields *fields; /* NULL: a run */
    uint64_t resumed_at;         /* places before this were visited in an earlier call (shards/cmd_scan.c) */
    uint64_t visited, found;
    size_t bytes;
};

static void scan_field(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    struct scan *scan = ctx;
    char scratch[2][PACKED_SCRATCH];
    struct slice name = packed_text(field, scratch[0]);
    scan->visited++;
    if (scan->resumed_at && fields_position(scan->fields, name) < scan->resumed_at) return;
    if (!scan->options.all && !glob_match(scan->options.pattern, name, false)) return;
    reply_pair(&scan->visit, field, value);
    scan->found += 2;
    scan->bytes += name.len + packed_text(value, scratch[1]).len;
}

/* Goes on at the cursor until enough was visited; a run is visited whole. Returns where to go on. */
static uint64_t scan_some(struct scan *scan, const struct entry *entry, uint64_t cursor) {
    uint64_t max = MIN((uint64_t)scan->options.count, (uint64_t)SCAN_VISIT_MAX);
    if (entry_is_packed(entry)) return hash_scan(entry, 0, scan_field, scan);
    scan->fields = entry_object(entry);
    scan->resumed_at = cursor;
    for (uint64_t steps = 0; steps < max; steps++) {
        cursor = hash_scan(entry, cursor, scan_field, scan);
        scan->resumed_at = 0;
        if (cursor == 0 || scan->visited >= max || scan->bytes >= SCAN_BYTES_MAX) break;
    }
    return cursor;
}

static void cmd_hscan(struct exec *x) {
    struct key_ref ref;
    struct scan scan = {.visit = {.x = x, .fields = true, .values = true}};
    uint64_t cursor;
    if (!num_parse_u64(x->argv[2], &cursor)) {
        reply_error(x, "ERR invalid cursor");
        return;
    }
    if (!exec_read(x, 1, TYPE_HASH, &ref)) return;
    size_t mark = x->out->len;
    if (!ref.entry) {
        scan_reply_head(x, mark, 0, 0); /* whatever the options are */
        return;
    }
    if (!scan_parse(x, 3, &scan.options)) return;
    cursor = scan_some(&scan, ref.entry, cursor & ((1ull << HT_CURSOR_BITS) - 1));
    scan_reply_head(x, mark, cursor, scan.found);
}

const struct command hash_visit_commands[] = {
    {.name = "hgetall",
     .arity = 2,
     .flags = CMD_READ,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_hgetall,
     .answers = answer_key_bytes,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(N), N = number of fields",
     .args = "key",
     .tips = "nondeterministic_output",
     .doc = "Answers all fields and their values."},
    {.name = "hkeys",
     .arity = 2,
     .flags = CMD_READ,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_hkeys,
     .answers = answer_key_bytes,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(N), N = number of fields",
     .args = "key",
     .tips = "nondeterministic_output_order",
     .doc = "Answers all fields."},
    {.name = "hvals",
     .arity = 2,
     .flags = CMD_READ,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_hvals,
     .answers = answer_key_bytes,
     .group = "hash",
     .since = "2.0.0",
     .cost = "O(N), N = number of fields",
     .args = "key",
     .tips = "nondeterministic_output_order",
     .doc = "Answers all values."},
    {.name = "hrandfield",
     .arity = -2,
     .flags = CMD_READ,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_hrandfield,
     .answers = drawn_answers,
     .group = "hash",
     .since = "6.2.0",
     .cost = "O(N), N = fields answered, or all when these are a third of them",
     .args = "key [count [WITHVALUES]]",
     .tips = "nondeterministic_output",
     .doc = "Answers fields chosen at random, each once, or with a negative count each independently."},
    {.name = "hscan",
     .arity = -3,
     .flags = CMD_READ,
     .acl = ACL_HASH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_hscan,
     .group = "hash",
     .since = "2.8.0",
     .cost = "O(COUNT) for a call, O(N) for all, N = number of fields",
     .args = "key cursor [MATCH pattern] [COUNT count]",
     .tips = "nondeterministic_output",
     .doc = "Lists some of the fields with their values and a cursor to go on with; a small hash whole."},
    {0},
};
