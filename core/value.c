/* Entries: layout arithmetic in one place (layout_of), everything else in terms of it. */
#include "core/value.h"
#include "core/assert.h"
#include "core/fields.h"
#include "core/members.h"
#include "core/num.h"
#include "core/quicklist.h"
#include "core/sorted.h"
#include "core/stream.h"

#define LONG_KEY_MARK 255u

struct layout {
    size_t key_at, payload_at, size;
};

static struct layout layout_of(size_t key_len, size_t payload_len, bool timed) {
    struct layout layout;
    layout.key_at = (timed ? 8u : 0u) + (key_len >= LONG_KEY_MARK ? 4u : 0u);
    layout.payload_at = layout.key_at + key_len;
    layout.size = sizeof(struct entry) + layout.payload_at + payload_len;
    return layout;
}

static size_t entry_size(const struct entry *entry) {
    struct slice key = entry_key(entry);
    return layout_of(key.len, entry->value_len, entry->flags & ENTRY_TIMED).size;
}

/* --- types --- */

/* What an entry has to know of a type of collections. A new type is one row more. */
struct collection {
    const char *(*encoding_name)(const struct entry *entry);
    store_free_some free_some; /* this and the following: of its object */
    size_t (*bytes)(const void *object);
    void *(*copy)(const struct store *store, const void *object);
    store_defrag_some defrag_some; /* NULL: its blocks stay where they are */
};

static const char *list_encoding_name(const struct entry *entry) {
    (void)entry;
    return "quicklist"; /* Redis 7.0 has no other name for lists, however small */
}
static size_t list_bytes(const void *object) {
    return quicklist_bytes(object);
}
static void *list_copy(const struct store *store, const void *object) {
    return quicklist_copy(store, object);
}

/* Redis 7.0 has no small form of a set of strings. */
static const char *set_encoding_name(const struct entry *entry) {
    bool numbers =
        entry->encoding == ENC_INT || (entry->encoding == ENC_OBJECT && members_numbers(entry_object(entry)));
    return numbers ? "intset" : "hashtable";
}
static size_t set_bytes(const void *object) {
    return members_bytes(object);
}
static void *set_copy(const struct store *store, const void *object) {
    return members_copy(store, object);
}

static const char *hash_encoding_name(const struct entry *entry) {
    return entry->flags & ENTRY_LARGE ? "hashtable" : "listpack";
}
static size_t hash_object_bytes(const void *object) {
    return fields_bytes(object);
}
static void *hash_copy(const struct store *store, const void *object) {
    return fields_copy(store, object);
}

static const char *zset_encoding_name(const struct entry *entry) {
    return entry_is_packed(entry) || sorted_compact(entry_object(entry)) ? "listpack" : "skiplist";
}
static size_t zset_bytes(const void *object) {
    return sorted_bytes(object);
}
static void *zset_copy(const struct store *store, const void *object) {
    return sorted_copy(store, object);
}

static const char *stream_encoding_name(const struct entry *entry) {
    (void)entry;
    return "stream";
}
static size_t stream_object_bytes(const void *object) {
    return stream_bytes(object);
}
static void *stream_object_copy(const struct store *store, const void *object) {
    return stream_copy(store, object);
}

static const struct collection collections[TYPE_COUNT] = {
    [TYPE_LIST] = {list_encoding_name, quicklist_free_some, list_bytes, list_copy, quicklist_defrag_some},
    [TYPE_SET] = {set_encoding_name, members_free_some, set_bytes, set_copy, members_defrag_some},
    [TYPE_HASH] = {hash_encoding_name, fields_free_some, hash_object_bytes, hash_copy, fields_defrag_some},
    [TYPE_ZSET] = {zset_encoding_name, sorted_free_some, zset_bytes, zset_copy, sorted_defrag_some},
    [TYPE_STREAM] = {stream_encoding_name, stream_free_some, stream_object_bytes, stream_object_copy, NULL},
};

static const struct collection *collection_of(const struct entry *entry) {
    const struct collection *row = &collections[entry->type];
    ASSERT(row->free_some);
    return row;
}

const char *value_type_name(enum value_type type) {
    static const char *const names[TYPE_COUNT] = {"string", "list", "set", "zset", "hash", "stream"};
    return names[type];
}

/* --- parts --- */

/* Writes header, deadline and key; the payload is the caller's. */
static void write_head(struct entry *entry, struct slice key, size_t payload_len, uint64_t deadline_ms) {
    struct layout layout = layout_of(key.len, payload_len, deadline_ms != 0);
    bool long_key = key.len >= LONG_KEY_MARK;
    entry->type = TYPE_STRING;
    entry->flags = (uint8_t)((deadline_ms ? ENTRY_TIMED : 0) | (long_key ? ENTRY_LONG_KEY : 0));
    entry->value_len = (uint16_t)payload_len;
    entry->access = 0;
    entry->key_len = (uint8_t)(long_key ? LONG_KEY_MARK : key.len);
    if (deadline_ms) memcpy(entry->rest, &deadline_ms, 8);
    if (long_key) {
        uint32_t len = (uint32_t)key.len;
        memcpy(entry->rest + layout.key_at - 4, &len, 4);
    }
    if (key.len) memmove(entry->rest + layout.key_at, key.ptr, key.len);
}

static struct entry *new_entry(const struct store *store, struct slice key, size_t payload_len, uint64_t deadline_ms,
                               enum value_encoding encoding) {
    ASSERT(key.len <= KEY_MAX && payload_len <= UINT16_MAX);
    struct entry *entry = store_alloc(store, layout_of(key.len, payload_len, deadline_ms != 0).size);
    write_head(entry, key, payload_len, deadline_ms);
    entry->encoding = encoding & 0xF;
    return entry;
}

static char *payload(struct entry *entry) {
    return (char *)(uintptr_t)entry_payload(entry);
}

/* A block of its own is never a small one, so that a run has room to shrink and grow a little. */
#define BIGSTR_CAP_MIN (SLAB_MAX + 1 - sizeof(struct bigstr))

static struct bigstr *bigstr_new(const struct store *store, size_t len, size_t cap) {
    cap = MAX(cap, BIGSTR_CAP_MIN);
    struct bigstr *big = store_alloc(store, sizeof *big + cap);
    big->len = len;
    big->cap = cap;
    return big;
}

static COLD void drop_owned(const struct store *store, const struct entry *entry) {
    if (entry->encoding == ENC_EXTERNAL) {
        struct bigstr *big = entry_bigstr(entry);
        store_free(store, big, sizeof *big + big->cap);
    } else {
        store_free_object(store, collection_of(entry)->free_some, entry_object(entry));
    }
}

HOT_INLINE void drop_content(const struct store *store, const struct entry *entry) {
    if (UNLIKELY(entry->encoding >= ENC_EXTERNAL)) drop_owned(store, entry);
}

struct slice entry_string(const struct entry *entry, char scratch[ENTRY_SCRATCH]) {
    if (LIKELY(entry->encoding == ENC_EMBEDDED)) return slice_of(entry_payload(entry), entry->value_len);
    if (entry->encoding == ENC_INT) return slice_of(scratch, num_format_i64(scratch, entry_int(entry)));
    struct bigstr *big = entry_bigstr(entry);
    return slice_of(big->bytes, big->len);
}

size_t entry_string_len(const struct entry *entry) {
    char scratch[ENTRY_SCRATCH];
    return entry_string(entry, scratch).len;
}

const char *entry_encoding_name(const struct entry *entry) {
    if (entry->type != TYPE_STRING) return collection_of(entry)->encoding_name(entry);
    if (entry->encoding == ENC_INT) return "int";
    /* 44: the longest string that Redis embeds in its object header. */
    return entry->encoding == ENC_EMBEDDED && entry->value_len <= 44 && !(entry->flags & ENTRY_RAW) ? "embstr" : "raw";
}

size_t entry_bytes(const struct entry *entry) {
    size_t bytes = store_block_size(entry_size(entry));
    if (entry->encoding == ENC_EXTERNAL) bytes += store_block_size(sizeof(struct bigstr) + entry_bigstr(entry)->cap);
    if (entry->encoding == ENC_OBJECT) bytes += collection_of(entry)->bytes(entry_object(entry));
    return bytes;
}

static struct entry *new_external(const struct store *store, struct slice key, struct bigstr *big,
                                  uint64_t deadline_ms) {
    struct entry *entry = new_entry(store, key, sizeof big, deadline_ms, ENC_EXTERNAL);
    memcpy(payload(entry), &big, sizeof big);
    return entry;
}

struct entry *entry_new_int(const struct store *store, struct slice key, int64_t value, uint64_t deadline_ms) {
    struct entry *entry = new_entry(store, key, 8, deadline_ms, ENC_INT);
    memcpy(payload(entry), &value, 8);
    return entry;
}

struct entry *entry_new_string(const struct store *store, struct slice key, struct slice value, uint64_t deadline_ms,
                               bool allow_int) {
    int64_t number;
    if (allow_int && num_parse_i64(value, &number)) return entry_new_int(store, key, number, deadline_ms);
    if (value.len > ENTRY_EMBED_MAX) {
        struct bigstr *big = bigstr_new(store, value.len, value.len);
        memcpy(big->bytes, value.ptr, value.len);
        return new_external(store, key, big, deadline_ms);
    }
    struct entry *entry = new_entry(store, key, value.len, deadline_ms, ENC_EMBEDDED);
    slice_copy(payload(entry), value.ptr, value.len);
    return entry;
}

/* A run in a block of its own, without room to grow. */
static struct entry *new_long_run(const struct store *store, struct slice key, enum value_type type, uint32_t count,
                                  size_t len, uint64_t deadline_ms, char **run) {
    struct bigstr *big = bigstr_new(store, sizeof count + len, sizeof count + len);
    memcpy(big->bytes, &count, sizeof count);
    *run = big->bytes + sizeof count;
    struct entry *entry = new_external(store, key, big, deadline_ms);
    entry->type = type & 0xF;
    return entry;
}

struct entry *entry_new_packed(const struct store *store, struct slice key, enum value_type type, uint32_t count,
                               size_t len, uint64_t deadline_ms, char **run) {
    uint16_t stored = (uint16_t)count;
    ASSERT(type != TYPE_STRING && len <= ENTRY_RUN_MAX);
    if (len > ENTRY_PACKED_MAX) return new_long_run(store, key, type, count, len, deadline_ms, run);
    struct entry *entry = new_entry(store, key, sizeof stored + len, deadline_ms, ENC_EMBEDDED);
    entry->type = type & 0xF;
    memcpy(payload(entry), &stored, sizeof stored);
    *run = payload(entry) + sizeof stored;
    return entry;
}

struct entry *entry_new_intset(const struct store *store, struct slice key, unsigned width, uint32_t count,
                               uint64_t deadline_ms, char **ints) {
    size_t len = 1 + (size_t)width * count;
    ASSERT(len <= ENTRY_EMBED_MAX);
    struct entry *entry = new_entry(store, key, len, deadline_ms, ENC_INT);
    entry->type = TYPE_SET;
    *payload(entry) = (char)width;
    *ints = payload(entry) + 1;
    return entry;
}

struct entry *entry_new_object(const struct store *store, struct slice key, enum value_type type, void *object,
                               uint64_t deadline_ms) {
    struct entry *entry = new_entry(store, key, sizeof object, deadline_ms, ENC_OBJECT);
    entry->type = type & 0xF;
    memcpy(payload(entry), &object, sizeof object);
    return entry;
}

/* What the entry owns has a new owner. */
static void delete_shell(const struct store *store, struct entry *entry) {
    store_free(store, entry, entry_size(entry));
}

void entry_delete(const struct store *store, struct entry *entry) {
    drop_content(store, entry);
    delete_shell(store, entry);
}

COLD static bool is_same_large_block(size_t a, size_t b) {
    return b > SLAB_MAX && store_large_size(a) == store_large_size(b);
}

/* Both sizes come from a block of the same kind and size, so nothing has to move. */
HOT_INLINE bool is_same_block(size_t a, size_t b) {
    if (LIKELY(a <= SLAB_MAX)) return b <= SLAB_MAX && slab_block_size(a) == slab_block_size(b);
    return is_same_large_block(a, b);
}

/* True when the entry's block also fits a payload of that length with or without a deadline as it has now. */
static bool fits_in_place(const struct entry *entry, size_t payload_len, bool timed) {
    if (((entry->flags & ENTRY_TIMED) != 0) != timed) return false;
    size_t size = entry_size(entry);
    return is_same_block(size, size - entry->value_len + payload_len);
}

/* The common overwrite: same block, new bytes. */
static bool overwrite(const struct store *store, struct entry *entry, const void *bytes, size_t len,
                      uint64_t deadline_ms, enum value_encoding encoding) {
    if (!fits_in_place(entry, len, deadline_ms != 0)) return false;
    drop_content(store, entry);
    if (deadline_ms) memcpy(entry->rest, &deadline_ms, 8);
    entry->encoding = encoding & 0xF;
    entry->type = TYPE_STRING;
    entry->flags &= (uint8_t)~ENTRY_OF_VALUE;
    char *at = payload(entry);
    entry->value_len = (uint16_t)len;
    slice_copy(at, bytes, len);
    return true;
}

struct entry *entry_set_string(const struct store *store, struct entry *take, struct slice value, uint64_t deadline_ms,
                               bool allow_int) {
    int64_t number;
    if (allow_int && num_parse_i64(value, &number)) {
        if (overwrite(store, take, &number, 8, deadline_ms, ENC_INT)) return take;
    } else if (value.len <= ENTRY_EMBED_MAX) {
        if (overwrite(store, take, value.ptr, value.len, deadline_ms, ENC_EMBEDDED)) return take;
    }
    struct entry *fresh = entry_new_string(store, entry_key(take), value, deadline_ms, allow_int);
    fresh->access = take->access;
    entry_delete(store, take);
    return fresh;
}

struct entry *entry_set_int(const struct store *store, struct entry *take, int64_t value) {
    if (LIKELY(take->type == TYPE_STRING && take->encoding == ENC_INT)) {
        memcpy(payload(take), &value, sizeof value);
        return take;
    }
    uint64_t deadline_ms = entry_deadline_ms(take);
    if (overwrite(store, take, &value, sizeof value, deadline_ms, ENC_INT)) return take;
    struct entry *fresh = entry_new_int(store, entry_key(take), value, deadline_ms);
    fresh->access = take->access;
    entry_delete(store, take);
    return fresh;
}

/* The same payload with another key or deadline. */
static struct entry *rebuild(const struct store *store, struct entry *take, struct slice key, uint64_t deadline_ms) {
    struct entry *fresh = new_entry(store, key, take->value_len, deadline_ms, take->encoding);
    fresh->type = take->type;
    fresh->access = take->access;
    fresh->flags |= take->flags & ENTRY_OF_VALUE;
    memcpy(payload(fresh), entry_payload(take), take->value_len);
    delete_shell(store, take);
    return fresh;
}

struct entry *entry_set_deadline(const struct store *store, struct entry *take, uint64_t deadline_ms) {
    if (((take->flags & ENTRY_TIMED) != 0) == (deadline_ms != 0)) {
        if (deadline_ms) memcpy(take->rest, &deadline_ms, 8);
        return take;
    }
    return rebuild(store, take, entry_key(take), deadline_ms);
}

struct entry *entry_rename(const struct store *store, struct entry *take, struct slice key) {
    return rebuild(store, take, key, entry_deadline_ms(take));
}

/* --- runs --- */

struct packed entry_packed_external(const struct entry *entry) {
    const struct bigstr *big = entry_bigstr(entry);
    uint32_t count;
    memcpy(&count, big->bytes, sizeof count);
    return (struct packed){big->bytes + sizeof count, big->bytes + big->len, count};
}

static size_t run_len(const struct packed *run) {
    return (size_t)(run->end - run->begin);
}

/* A run with a block: the block gets half as much again when it is full, and a smaller one follows when three quarters
 * of it are free. So an edit costs O(bytes behind it), amortised. */
static char *edit_long_run(const struct store *store, struct entry *entry, struct packed_edit edit) {
    struct bigstr *big = entry_bigstr(entry);
    uint32_t count;
    memcpy(&count, big->bytes, sizeof count);
    count += (uint32_t)edit.added;
    size_t at = sizeof count + edit.at, behind = big->len - at - edit.remove, len = at + edit.insert + behind;
    if (len > big->cap || (len < big->cap / 4 && big->cap > BIGSTR_CAP_MIN)) {
        struct bigstr *moved = bigstr_new(store, len, len + len / 2);
        memcpy(moved->bytes, big->bytes, at);
        memcpy(moved->bytes + at + edit.insert, big->bytes + at + edit.remove, behind);
        store_free(store, big, sizeof *big + big->cap);
        big = moved;
        memcpy(payload(entry), &big, sizeof big);
    } else {
        if (edit.insert != edit.remove) memmove(big->bytes + at + edit.insert, big->bytes + at + edit.remove, behind);
        big->len = len;
    }
    memcpy(big->bytes, &count, sizeof count);
    return big->bytes + at;
}

/* In the entry before and after. Head and key are copied together with what stays in front of the gap. */
static struct entry *edit_embedded_run(const struct store *store, struct entry *take, struct packed_edit edit,
                                       char **gap) {
    struct packed run = entry_packed(take);
    uint16_t count = (uint16_t)(run.count + (uint32_t)edit.added);
    size_t old_size = entry_size(take), size = old_size - edit.remove + edit.insert;
    size_t before = (size_t)(run.begin - (const char *)take) + edit.at, behind = old_size - before - edit.remove;
    const char *rest = (const char *)take + before + edit.remove;
    struct entry *entry = take;
    if (is_same_block(old_size, size)) {
        if (edit.insert != edit.remove) memmove((char *)take + before + edit.insert, rest, behind);
    } else {
        entry = store_alloc(store, size);
        memcpy(entry, take, before);
        memcpy((char *)entry + before + edit.insert, rest, behind);
        store_free(store, take, old_size);
    }
    entry->value_len = (uint16_t)(entry->value_len - edit.remove + edit.insert);
    memcpy(payload(entry), &count, sizeof count);
    *gap = (char *)entry + before;
    return entry;
}

struct entry *entry_edit_packed(const struct store *store, struct entry *take, struct packed_edit edit, char **gap) {
    struct packed run = entry_packed(take);
    size_t len = run_len(&run), behind = len - edit.at - edit.remove;
    ASSERT(take->type != TYPE_STRING && entry_is_packed(take) && edit.at + edit.remove <= len);
    len = len - edit.remove + edit.insert;
    ASSERT(len <= ENTRY_RUN_MAX);
    if (edit.insert == edit.remove && edit.added == 0) { /* as long as what it replaces: nothing moves */
        *gap = (char *)(uintptr_t)run.begin + edit.at;
        return take;
    }
    if (UNLIKELY(take->encoding == ENC_EXTERNAL)) {
        *gap = edit_long_run(store, take, edit);
        return take;
    }
    if (LIKELY(len <= ENTRY_PACKED_MAX)) return edit_embedded_run(store, take, edit, gap);
    char *begin;
    struct entry *entry = entry_new_packed(store, entry_key(take), take->type, run.count + (uint32_t)edit.added, len,
                                           entry_deadline_ms(take), &begin);
    entry->access = take->access;
    entry->flags |= take->flags & ENTRY_OF_VALUE;
    memcpy(begin, run.begin, edit.at);
    memcpy(begin + edit.at + edit.insert, run.begin + edit.at + edit.remove, behind);
    delete_shell(store, take);
    *gap = begin + edit.at;
    return entry;
}

struct entry *entry_edit_intset(const struct store *store, struct entry *take, uint32_t index, bool add, char **gap) {
    struct intset ints = entry_intset(take);
    size_t before = 1 + (size_t)index * ints.width, behind = take->value_len - before - (add ? 0 : ints.width);
    size_t len = before + behind + (add ? ints.width : 0);
    ASSERT(take->type == TYPE_SET && take->encoding == ENC_INT && index + !add <= ints.count && len <= ENTRY_EMBED_MAX);
    const char *from = entry_payload(take), *rest = from + take->value_len - behind;
    struct entry *entry = take;
    if (!fits_in_place(take, len, take->flags & ENTRY_TIMED)) {
        char *fresh;
        entry = entry_new_intset(store, entry_key(take), ints.width, ints.count + (add ? 1 : -1u),
                                 entry_deadline_ms(take), &fresh);
        entry->access = take->access;
        memcpy(payload(entry), from, before);
    }
    *gap = payload(entry) + before;
    memmove(payload(entry) + len - behind, rest, behind);
    entry->value_len = (uint16_t)len;
    if (entry != take) delete_shell(store, take);
    return entry;
}

struct entry *entry_set_object(const struct store *store, struct entry *take, void *object) {
    ASSERT(take->type != TYPE_STRING && entry_is_packed(take));
    struct entry *entry = entry_new_object(store, entry_key(take), take->type, object, entry_deadline_ms(take));
    entry->access = take->access;
    entry_delete(store, take);
    return entry;
}

/* --- changing the bytes of a string --- */

/* Room for growth as Redis's sds has it: double up to 1 MiB, then 1 MiB more. */
static size_t grown_cap(size_t len) {
    return len < 1024 * 1024 ? len * 2 : len + 1024 * 1024;
}

/* The bytes from one length to another become zero. `dirty`: what of the block may not be. */
static void clear(struct bigstr *big, size_t from, size_t to, size_t dirty) {
    if (heap_comes_zeroed(sizeof *big + big->cap)) to = MIN(to, MAX(dirty, sizeof *big + from) - sizeof *big);
    memset(big->bytes + from, 0, to - from);
}

static struct entry *edit_external(const struct store *store, struct entry *entry, size_t new_len, char **bytes) {
    struct bigstr *big = entry_bigstr(entry);
    size_t dirty = store_block_size(sizeof *big + big->cap);
    ASSERT(new_len >= big->len);
    if (new_len > big->cap) {
        size_t cap = grown_cap(new_len);
        big = store_try_resize(store, big, sizeof *big + big->cap, sizeof *big + cap);
        if (!big) return NULL;
        big->cap = cap;
        memcpy(payload(entry), &big, sizeof big);
    }
    clear(big, big->len, new_len, dirty);
    big->len = new_len;
    *bytes = big->bytes;
    return entry;
}

static struct entry *edit_to_external(const struct store *store, struct entry *take, struct slice old, size_t new_len,
                                      char **bytes) {
    size_t cap = grown_cap(new_len);
    struct bigstr *big = store_try_alloc(store, sizeof *big + cap);
    if (!big) return NULL;
    big->len = new_len;
    big->cap = cap;
    memcpy(big->bytes, old.ptr, old.len);
    clear(big, old.len, new_len, 0);
    struct entry *fresh = new_external(store, entry_key(take), big, entry_deadline_ms(take));
    fresh->access = take->access;
    fresh->flags |= ENTRY_RAW;
    entry_delete(store, take);
    *bytes = big->bytes;
    return fresh;
}

size_t entry_edit_bytes(const struct entry *entry, size_t new_len) {
    bool fits = entry && entry->encoding == ENC_EXTERNAL && new_len <= entry_bigstr(entry)->cap;
    return fits ? 0 : sizeof(struct bigstr) + grown_cap(new_len);
}

struct entry *entry_edit_string(const struct store *store, struct entry *take, size_t new_len, char **bytes) {
    if (take->encoding == ENC_EXTERNAL) return edit_external(store, take, new_len, bytes);
    char scratch[ENTRY_SCRATCH];
    struct slice old = entry_string(take, scratch);
    ASSERT(new_len >= old.len);
    if (new_len > ENTRY_EMBED_MAX) return edit_to_external(store, take, old, new_len, bytes);
    struct entry *entry = take;
    if (take->encoding != ENC_EMBEDDED || !fits_in_place(take, new_len, take->flags & ENTRY_TIMED)) {
        entry = new_entry(store, entry_key(take), new_len, entry_deadline_ms(take), ENC_EMBEDDED);
        entry->access = take->access;
        memcpy(payload(entry), old.ptr, old.len);
        entry_delete(store, take);
    }
    entry->flags |= ENTRY_RAW;
    entry->value_len = (uint16_t)new_len;
    *bytes = payload(entry);
    memset(*bytes + old.len, 0, new_len - old.len);
    return entry;
}

struct entry *entry_copy(const struct store *store, const struct entry *entry, struct slice key, uint64_t deadline_ms) {
    struct entry *fresh;
    if (entry->encoding == ENC_EXTERNAL) {
        struct bigstr *from = entry_bigstr(entry), *big = bigstr_new(store, from->len, from->len);
        memcpy(big->bytes, from->bytes, from->len);
        fresh = new_external(store, key, big, deadline_ms);
    } else if (entry->encoding == ENC_OBJECT) {
        fresh = entry_new_object(store, key, entry->type, collection_of(entry)->copy(store, entry_object(entry)),
                                 deadline_ms);
    } else {
        fresh = new_entry(store, key, entry->value_len, deadline_ms, entry->encoding);
        memcpy(payload(fresh), entry_payload(entry), entry->value_len);
    }
    fresh->type = entry->type;
    fresh->access = entry->access;
    fresh->flags |= entry->flags & ENTRY_OF_VALUE;
    return fresh;
}

/* --- moving --- */

struct entry *entry_moved(const struct store *store, struct entry *take) {
    return store_moved(store, take, entry_size(take));
}

static void move_block(const struct store *store, struct entry *entry) {
    struct bigstr *big = entry_bigstr(entry);
    big = store_moved(store, big, sizeof *big + big->cap);
    memcpy(payload(entry), &big, sizeof big);
}

uint64_t entry_defrag_some(const struct store *store, struct entry *entry, uint64_t position, unsigned units) {
    if (entry->encoding == ENC_EXTERNAL) move_block(store, entry);
    if (entry->encoding != ENC_OBJECT || !collection_of(entry)->defrag_some) return 0;
    return collection_of(entry)->defrag_some(store, entry_object(entry), position, units);
}
