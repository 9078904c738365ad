/* Dump: sets. Redis 7.0 writes them in two forms, and so do we: as strings, or, what OBJECT ENCODING calls an intset,
 * as one string that is
 *
 *      | width 4 | integers 4 | integers in ascending order |      all little-endian
 *
 * Redis 7.2 also writes listpacks of members, which we read. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/dump_priv.h"
#include "shards/set.h"
#include <endian.h>

#define INTSET_HEAD 8u

/* --- writing --- */

struct writing {
    struct buf *out;
    bool compress;
};

static bool write_member(void *ctx, struct slice text) {
    const struct writing *writing = ctx;
    dump_write_string(writing->out, text, writing->compress);
    return true;
}

static void write_head(struct buf *out, uint32_t width, uint32_t count) {
    uint32_t head[2] = {htole32(width), htole32(count)};
    buf_append(out, head, sizeof head);
}

struct collected {
    int64_t *values;
    uint32_t count;
    uint8_t width;
};

static bool collect_int(void *ctx, struct slice text) {
    struct collected *ints = ctx;
    int64_t value;
    bool is_int = num_parse_i64(text, &value);
    ASSERT(is_int);
    ints->values[ints->count++] = value;
    ints->width = (uint8_t)MAX(ints->width, intset_width_of(value));
    return true;
}

/* The integers of a set too large for its entry: they are in a table, in no order. */
static void append_sorted(struct buf *whole, const struct entry *entry) {
    size_t bytes = set_count(entry) * sizeof(int64_t);
    struct collected ints = {.values = heap_alloc(whole->heap, whole->owner, bytes), .width = 2};
    set_each(entry, collect_int, &ints);
    intset_sort(ints.values, ints.count);
    write_head(whole, ints.width, ints.count);
    char *at = buf_reserve(whole, (size_t)ints.count * ints.width);
    for (uint32_t i = 0; i < ints.count; i++) intset_write(at + (size_t)i * ints.width, ints.width, ints.values[i]);
    whole->len += (size_t)ints.count * ints.width;
    heap_free(whole->heap, whole->owner, ints.values, bytes);
}

void dump_write_set(struct buf *out, const struct entry *entry, bool compress) {
    if (!set_is_intset(entry)) {
        struct writing writing = {out, compress};
        dump_write_length(out, set_count(entry));
        set_each(entry, write_member, &writing);
        return;
    }
    struct buf whole;
    buf_init(&whole, out->heap, out->owner);
    if (entry->encoding == ENC_INT) {
        struct intset ints = entry_intset(entry);
        write_head(&whole, ints.width, ints.count);
        buf_append(&whole, ints.ints, (size_t)ints.count * ints.width);
    } else {
        append_sorted(&whole, entry);
    }
    dump_write_string(out, buf_slice(&whole), compress);
    buf_deinit(&whole);
}

/* --- reading --- */

/* The set that was read, or nothing when it is empty or something was wrong with it. */
static struct entry *finish(const struct dump_target *target, struct members *members, bool sound) {
    if (sound && members_count(members) > 0)
        return set_new_entry(target->store, target->set_rule, target->key, members, target->allow_int,
                             target->deadline_ms);
    members_delete(target->store, members);
    return NULL;
}

static struct members *start(const struct dump_target *target) {
    return members_new(target->store, &target->set_rule->seed);
}

/* Members that are there twice are an error, as in Redis. What is read takes memory in proportion to what is there,
 * whatever count says. */
struct entry *dump_read_set(struct slice *rest, const struct dump_target *target) {
    uint64_t count;
    if (!dump_read_length(rest, &count)) return NULL;
    struct members *members = start(target);
    members_expect(members, dump_expected(count, rest, 2));
    bool sound = true;
    for (; sound && count > 0; count--) {
        struct slice text;
        sound = dump_read_string(rest, target->scratch, &text) && members_add(target->store, members, text);
    }
    return finish(target, members, sound);
}

static bool add_value(const struct dump_target *target, struct members *members, const struct packed_value *value) {
    char scratch[PACKED_SCRATCH];
    return members_add(target->store, members, packed_text(value, scratch));
}

struct entry *dump_read_set_listpack(struct slice *rest, const struct dump_target *target) {
    struct slice bytes;
    struct packed run;
    if (!dump_read_string(rest, target->scratch, &bytes) || !dump_open_listpack(bytes, &run)) return NULL;
    struct members *members = start(target);
    bool sound = true;
    for (const char *at = run.begin; sound && at < run.end;) {
        struct packed_value value;
        at = packed_read(at, &value);
        sound = add_value(target, members, &value);
    }
    return finish(target, members, sound);
}

struct entry *dump_read_set_intset(struct slice *rest, const struct dump_target *target) {
    struct slice bytes;
    struct intset ints;
    uint32_t head[2];
    if (!dump_read_string(rest, target->scratch, &bytes) || bytes.len < INTSET_HEAD) return NULL;
    memcpy(head, bytes.ptr, sizeof head);
    struct slice inner = slice_of(bytes.ptr + INTSET_HEAD, bytes.len - INTSET_HEAD);
    if (!intset_open(inner, le32toh(head[0]), &ints) || ints.count != le32toh(head[1])) return NULL;
    struct members *members = start(target);
    for (uint32_t i = 0; i < ints.count; i++) {
        struct packed_value value = {.number = intset_at(&ints, i), .is_int = true};
        add_value(target, members, &value);
    }
    return finish(target, members, true);
}
