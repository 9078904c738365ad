/* Dump: hashes, in the four forms that Redis ever wrote. We write a listpack for what is shown as one, and a length and
 * strings for what is shown as a hashtable.
 *
 *      zipmap   | pairs 1 | field | value | ... | ff |    pairs: fe when there are more than a byte can say
 *      field    | length | bytes |                       length: 1 byte below fe, or fe and 4 bytes, little-endian
 *      value    | length | free 1 | bytes | free bytes | */
#include "shards/dump_priv.h"
#include "shards/hash_value.h"
#include <endian.h>

enum { ZIPMAP_LONG = 0xfe, ZIPMAP_END = 0xff };

/* --- writing --- */

struct writing {
    struct buf *out;
    bool compress;
};

static void write_pair(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    const struct writing *writing = ctx;
    char scratch[PACKED_SCRATCH];
    dump_write_string(writing->out, packed_text(field, scratch), writing->compress);
    dump_write_string(writing->out, packed_text(value, scratch), writing->compress);
}

void dump_write_hash(struct buf *out, const struct entry *entry, bool compress) {
    if (entry->flags & ENTRY_FIELDS_TIMED) {
        dump_write_hash_timed(out, entry, compress);
        return;
    }
    if (!(entry->flags & ENTRY_LARGE)) {
        struct packed run = entry_packed(entry);
        dump_write_listpack(out, &run, compress);
        return;
    }
    struct writing writing = {out, compress};
    dump_write_length(out, hash_len(entry));
    hash_each(entry, write_pair, &writing);
}

/* --- reading --- */

static struct hash_loading begin(const struct dump_target *target) {
    struct hash_loading loading;
    hash_load_begin(&loading, target->store, target->hash_rule, target->seed);
    return loading;
}

static struct entry *end(struct hash_loading *loading, const struct dump_target *target, bool sound) {
    if (sound) return hash_load_end(loading, target->key, target->deadline_ms);
    hash_load_drop(loading);
    return NULL;
}

static bool load_texts(struct hash_loading *loading, struct slice field, struct slice value) {
    struct packed_value name = packed_value_of(field), content = packed_value_of(value);
    return hash_load(loading, &name, &content, true);
}

/* The field is kept aside while its value is unpacked. */
static bool read_pair(struct slice *rest, const struct dump_target *target, struct buf *kept,
                      struct hash_loading *loading) {
    struct slice field, value;
    if (!dump_read_string(rest, kept, &field)) return false;
    return dump_read_string(rest, target->scratch, &value) && load_texts(loading, field, value);
}

struct entry *dump_read_hash(struct slice *rest, const struct dump_target *target) {
    uint64_t count;
    if (!dump_read_length(rest, &count)) return NULL;
    struct hash_loading loading = begin(target);
    hash_load_expect(&loading, dump_expected(count, rest, 3));
    struct buf kept;
    buf_init(&kept, target->scratch->heap, target->scratch->owner);
    bool sound = true;
    for (; sound && count > 0; count--) sound = read_pair(rest, target, &kept, &loading);
    buf_deinit(&kept);
    return end(&loading, target, sound);
}

/* The length whose first byte is `first`. */
static bool zipmap_length(struct slice *rest, unsigned first, uint64_t *len) {
    struct slice more;
    *len = first;
    if (first < ZIPMAP_LONG) return true;
    if (first == ZIPMAP_END || !dump_take(rest, 4, &more)) return false;
    uint32_t wire;
    memcpy(&wire, more.ptr, sizeof wire);
    *len = le32toh(wire);
    return *len >= ZIPMAP_LONG && *len <= DUMP_STRING_MAX;
}

static bool zipmap_pair(struct slice *map, unsigned first, struct hash_loading *loading) {
    uint64_t len;
    unsigned unused;
    struct slice field, value, skipped;
    if (!zipmap_length(map, first, &len) || !dump_take(map, len, &field)) return false;
    if (!dump_take_byte(map, &first) || !zipmap_length(map, first, &len) || !dump_take_byte(map, &unused)) return false;
    if (!dump_take(map, len, &value) || !dump_take(map, unused, &skipped)) return false;
    return load_texts(loading, field, value);
}

struct entry *dump_read_hash_zipmap(struct slice *rest, const struct dump_target *target) {
    struct slice map;
    unsigned first, said;
    if (!dump_read_string(rest, target->scratch, &map) || !dump_take_byte(&map, &said)) return NULL;
    struct hash_loading loading = begin(target);
    bool sound = true, more = true;
    while (sound && more) {
        sound = dump_take_byte(&map, &first);
        more = sound && first != ZIPMAP_END;
        if (more) sound = zipmap_pair(&map, first, &loading);
    }
    return end(&loading, target, sound && map.len == 0 && (said >= ZIPMAP_LONG || said == loading.pairs));
}

struct entry *dump_read_hash_ziplist(struct slice *rest, const struct dump_target *target) {
    struct slice bytes;
    struct ziplist_walk walk;
    struct packed_value field, value;
    if (!dump_read_string(rest, target->scratch, &bytes) || !dump_open_ziplist(bytes, &walk)) return NULL;
    struct hash_loading loading = begin(target);
    bool sound = true;
    while (sound && dump_next_in_ziplist(&walk, &field))
        sound = dump_next_in_ziplist(&walk, &value) && hash_load(&loading, &field, &value, false);
    return end(&loading, target, sound && walk.sound);
}

struct entry *dump_read_hash_listpack(struct slice *rest, const struct dump_target *target) {
    struct slice bytes;
    struct packed run;
    struct packed_value field, value;
    if (!dump_read_string(rest, target->scratch, &bytes) || !dump_open_listpack(bytes, &run)) return NULL;
    if (run.count % 2 != 0) return NULL;
    struct hash_loading loading = begin(target);
    bool sound = true;
    for (const char *at = run.begin; sound && at < run.end;) {
        at = packed_read(packed_read(at, &field), &value);
        sound = hash_load(&loading, &field, &value, false);
    }
    return end(&loading, target, sound);
}
