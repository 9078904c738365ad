/* Entries: layout arithmetic in one place (layout_of), everything else in terms of it. */
#include "core/value.h"
#include "core/assert.h"
#include "core/num.h"

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

/* Two sizes that come from the same block need no move. */
static size_t block_size(size_t size) {
    return size <= SLAB_MAX ? slab_block_size(size) : heap_block_size(size);
}

static void *block_new(const struct store *store, size_t size) {
    return size <= SLAB_MAX ? slab_alloc(store->slab, size) : heap_alloc(store->heap, MEM_DATA, size);
}

static void block_free(const struct store *store, void *block, size_t size) {
    if (size <= SLAB_MAX)
        slab_free(store->slab, block, size);
    else
        heap_free(store->heap, MEM_DATA, block, size);
}

const char *value_type_name(enum value_type type) {
    static const char *const names[TYPE_COUNT] = {"string", "list", "set", "zset", "hash", "stream"};
    return names[type];
}

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
    struct entry *entry = block_new(store, layout_of(key.len, payload_len, deadline_ms != 0).size);
    write_head(entry, key, payload_len, deadline_ms);
    entry->encoding = encoding & 0xF;
    return entry;
}

static char *payload(struct entry *entry) {
    return (char *)(uintptr_t)entry_payload(entry);
}

static struct bigstr *bigstr_new(const struct store *store, size_t len, size_t cap) {
    struct bigstr *big = heap_alloc(store->heap, MEM_DATA, sizeof *big + cap);
    big->len = len;
    big->cap = cap;
    return big;
}

static void drop_external(const struct store *store, struct entry *entry) {
    if (entry->encoding != ENC_EXTERNAL) return;
    struct bigstr *big = entry_bigstr(entry);
    heap_free(store->heap, MEM_DATA, big, sizeof *big + big->cap);
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
    if (entry->encoding == ENC_INT) return "int";
    /* 44: the longest string that Redis embeds in its object header. */
    return entry->encoding == ENC_EMBEDDED && entry->value_len <= 44 && !(entry->flags & ENTRY_RAW) ? "embstr" : "raw";
}

size_t entry_bytes(const struct entry *entry) {
    size_t bytes = block_size(entry_size(entry));
    if (entry->encoding == ENC_EXTERNAL) bytes += heap_block_size(sizeof(struct bigstr) + entry_bigstr(entry)->cap);
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

void entry_delete_shell(const struct store *store, struct entry *entry) {
    block_free(store, entry, entry_size(entry));
}

void entry_delete(const struct store *store, struct entry *entry) {
    drop_external(store, entry);
    entry_delete_shell(store, entry);
}

/* True when the entry's block also fits a payload of that length with or without a deadline as it has now. */
static bool fits_in_place(const struct entry *entry, size_t payload_len, bool timed) {
    if (((entry->flags & ENTRY_TIMED) != 0) != timed) return false;
    struct slice key = entry_key(entry);
    return block_size(layout_of(key.len, payload_len, timed).size) == block_size(entry_size(entry)) &&
           (layout_of(key.len, payload_len, timed).size <= SLAB_MAX) == (entry_size(entry) <= SLAB_MAX);
}

/* The common overwrite: same block, new bytes. */
static bool overwrite(const struct store *store, struct entry *entry, const void *bytes, size_t len,
                      uint64_t deadline_ms, enum value_encoding encoding) {
    if (!fits_in_place(entry, len, deadline_ms != 0)) return false;
    drop_external(store, entry);
    if (deadline_ms) memcpy(entry->rest, &deadline_ms, 8);
    entry->encoding = encoding & 0xF;
    entry->type = TYPE_STRING;
    entry->flags &= (uint8_t)~ENTRY_RAW;
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
    uint64_t deadline_ms = entry_deadline_ms(take);
    if (LIKELY(overwrite(store, take, &value, 8, deadline_ms, ENC_INT))) return take;
    struct entry *fresh = entry_new_int(store, entry_key(take), value, deadline_ms);
    fresh->access = take->access;
    entry_delete(store, take);
    return fresh;
}

struct entry *entry_set_deadline(const struct store *store, struct entry *take, uint64_t deadline_ms) {
    if (((take->flags & ENTRY_TIMED) != 0) == (deadline_ms != 0)) {
        if (deadline_ms) memcpy(take->rest, &deadline_ms, 8);
        return take;
    }
    struct entry *fresh = new_entry(store, entry_key(take), take->value_len, deadline_ms, take->encoding);
    fresh->type = take->type;
    fresh->access = take->access;
    fresh->flags |= take->flags & ENTRY_RAW;
    memcpy(payload(fresh), entry_payload(take), take->value_len);
    block_free(store, take, entry_size(take)); /* the external block, if any, has a new owner */
    return fresh;
}

/* Room for growth as Redis's sds has it: double up to 1 MiB, then 1 MiB more. */
static size_t grown_cap(size_t len) {
    return len < 1024 * 1024 ? len * 2 : len + 1024 * 1024;
}

static struct entry *edit_external(const struct store *store, struct entry *entry, size_t new_len, char **bytes) {
    struct bigstr *big = entry_bigstr(entry);
    ASSERT(new_len >= big->len);
    if (new_len > big->cap) {
        size_t cap = grown_cap(new_len);
        big = heap_try_resize(store->heap, MEM_DATA, big, sizeof *big + big->cap, sizeof *big + cap);
        if (!big) return NULL;
        big->cap = cap;
        memcpy(payload(entry), &big, sizeof big);
    }
    memset(big->bytes + big->len, 0, new_len - big->len);
    big->len = new_len;
    *bytes = big->bytes;
    return entry;
}

static struct entry *edit_to_external(const struct store *store, struct entry *take, struct slice old, size_t new_len,
                                      char **bytes) {
    size_t cap = grown_cap(new_len);
    struct bigstr *big = heap_try_alloc(store->heap, MEM_DATA, sizeof *big + cap);
    if (!big) return NULL;
    big->len = new_len;
    big->cap = cap;
    memcpy(big->bytes, old.ptr, old.len);
    memset(big->bytes + old.len, 0, new_len - old.len);
    struct entry *fresh = new_external(store, entry_key(take), big, entry_deadline_ms(take));
    fresh->access = take->access;
    fresh->flags |= ENTRY_RAW;
    entry_delete(store, take);
    *bytes = big->bytes;
    return fresh;
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
    } else {
        fresh = new_entry(store, key, entry->value_len, deadline_ms, entry->encoding);
        memcpy(payload(fresh), entry_payload(entry), entry->value_len);
    }
    fresh->type = entry->type;
    fresh->access = entry->access;
    fresh->flags |= entry->flags & ENTRY_RAW;
    return fresh;
}
