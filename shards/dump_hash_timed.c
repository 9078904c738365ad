/* Dump: hashes whose fields have deadlines, as Redis has written them since 7.4. A hash without any is written as ever
 * (dump_hash.c), so what an older Redis can have, it can read.
 *
 *      22   | count | deadline | field | value | ...                a deadline is a length; 0: none
 *      24   | earliest 8 | count | deadline - earliest + 1 | field | value | ...
 *      23   | listpack of field, value, deadline, ... |
 *      25   | earliest 8 | the same listpack |
 *
 * 22 and 23 are those of release candidates, and only read. We write 24. Times that are over are read, too: whoever
 * looks at the hash next takes those fields out. */
#include "core/assert.h"
#include "shards/dump_priv.h"
#include "shards/hash_value.h"
#include <endian.h>

#define DEADLINE_MAX (1ull << 53) /* not reached: core/fields.h */

/* --- writing --- */

struct writing {
    struct buf *out;
    const struct entry *entry;
    uint64_t first;
    bool compress;
};

static void write_field(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    const struct writing *writing = ctx;
    char scratch[2][PACKED_SCRATCH];
    struct slice name = packed_text(field, scratch[0]);
    uint64_t deadline = hash_deadline(writing->entry, name);
    dump_write_length(writing->out, deadline ? deadline - writing->first + 1 : 0);
    dump_write_string(writing->out, name, writing->compress);
    dump_write_string(writing->out, packed_text(value, scratch[1]), writing->compress);
}

void dump_write_hash_timed(struct buf *out, const struct entry *entry, bool compress) {
    struct writing writing = {out, entry, fields_first_deadline(entry_object(entry)), compress};
    uint64_t wire = htole64(writing.first);
    buf_append(out, &wire, sizeof wire);
    dump_write_length(out, hash_len(entry));
    hash_each(entry, write_field, &writing);
}

/* --- reading --- */

static struct hash_loading begin(const struct dump_target *target) {
    struct hash_loading loading;
    hash_load_begin(&loading, target->store, target->hash_rule, target->seed);
    hash_load_timed(&loading);
    return loading;
}

static struct entry *end(struct hash_loading *loading, const struct dump_target *target, bool sound) {
    if (sound) return hash_load_end(loading, target->key, target->deadline_ms);
    hash_load_drop(loading);
    return NULL;
}

static bool load(struct hash_loading *loading, const struct packed_value *field, const struct packed_value *value,
                 uint64_t deadline) {
    if (deadline >= DEADLINE_MAX || !hash_load(loading, field, value, false)) return false;
    if (deadline) hash_load_deadline(loading, field, deadline);
    return true;
}

static bool read_first(struct slice *rest, uint64_t *first) {
    struct slice bytes;
    if (!dump_take(rest, 8, &bytes)) return false;
    memcpy(first, bytes.ptr, sizeof *first);
    *first = le64toh(*first);
    return *first < DEADLINE_MAX;
}

/* The field is kept aside while its value is unpacked. */
static bool read_field(struct slice *rest, const struct dump_target *target, uint64_t first, struct buf *kept,
                       struct hash_loading *loading) {
    uint64_t deadline;
    struct slice field, value;
    if (!dump_read_length(rest, &deadline) || deadline >= DEADLINE_MAX) return false;
    if (!dump_read_string(rest, kept, &field) || !dump_read_string(rest, target->scratch, &value)) return false;
    struct packed_value name = {.text = field}, content = {.text = value};
    return load(loading, &name, &content, deadline ? deadline + first : 0);
}

/* first: what has to be added to a deadline. */
static struct entry *read_fields(struct slice *rest, const struct dump_target *target, uint64_t first) {
    uint64_t count;
    if (!dump_read_length(rest, &count)) return NULL;
    struct hash_loading loading = begin(target);
    hash_load_expect(&loading, dump_expected(count, rest, 4));
    struct buf kept;
    buf_init(&kept, target->scratch->heap, target->scratch->owner);
    bool sound = true;
    for (; sound && count > 0; count--) sound = read_field(rest, target, first, &kept, &loading);
    buf_deinit(&kept);
    return end(&loading, target, sound);
}

struct entry *dump_read_hash_timed(struct slice *rest, const struct dump_target *target) {
    uint64_t first;
    if (!read_first(rest, &first)) return NULL;
    return read_fields(rest, target, first ? first - 1 : 0);
}

struct entry *dump_read_hash_timed_old(struct slice *rest, const struct dump_target *target) {
    return read_fields(rest, target, 0);
}

struct entry *dump_read_hash_listpack_timed_old(struct slice *rest, const struct dump_target *target) {
    struct slice bytes;
    struct packed run;
    struct packed_value field, value, deadline;
    if (!dump_read_string(rest, target->scratch, &bytes) || !dump_open_listpack(bytes, &run)) return NULL;
    if (run.count % 3 != 0) return NULL;
    struct hash_loading loading = begin(target);
    bool sound = true;
    for (const char *at = run.begin; sound && at < run.end;) {
        at = packed_read(packed_read(packed_read(at, &field), &value), &deadline);
        sound = deadline.is_int && deadline.number >= 0 && load(&loading, &field, &value, (uint64_t)deadline.number);
    }
    return end(&loading, target, sound);
}

struct entry *dump_read_hash_listpack_timed(struct slice *rest, const struct dump_target *target) {
    uint64_t first; /* the listpack says it once more */
    return read_first(rest, &first) ? dump_read_hash_listpack_timed_old(rest, target) : NULL;
}
