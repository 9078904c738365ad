/* Stream block: appending, walking both ways, marking, and what comes from files.
 *
 * Flags are 1 for deleted and 2 for "names as the block's first entry". The number at the end of an entry counts its
 * elements but for itself, so that a walk from the end finds where it begins. Layout: t_stream.c of Redis, as described
 * in https://redis.io/docs/latest/develop/data-types/streams and by its RDB files. */
#include "core/stream_block.h"
#include "core/assert.h"
#include "core/num.h"

enum { DELETED = 1, SAME_NAMES = 2 };

#define CAP_START  128u
#define HEAD_ELEMS 3u /* flags and two numbers */

size_t block_size(const struct block *block) {
    return sizeof *block + block->cap;
}

static struct packed_value number_of(int64_t number) {
    return (struct packed_value){.number = number, .is_int = true};
}

static char *write_number(char *at, int64_t number) {
    struct packed_value value = number_of(number);
    return packed_write(at, &value);
}

static char *write_text(char *at, struct slice text) {
    struct packed_value value = packed_value_of(text);
    return packed_write(at, &value);
}

/* The number at `at`, and behind it; *sound is left alone, or false when there is none. */
static const char *read_number(const char *at, const char *end, int64_t *number, bool *sound) {
    struct packed_value value;
    *number = 0;
    if (at >= end) {
        *sound = false;
        return at;
    }
    at = packed_read(at, &value);
    if (value.is_int)
        *number = value.number;
    else
        *sound = false;
    return at;
}

/* --- making --- */

static struct block *resize(const struct store *store, struct block *block, size_t cap) {
    size_t size = store_block_size(sizeof *block + cap);
    struct block *moved = store_alloc(store, size);
    memcpy(moved, block, sizeof *block + block->used);
    moved->cap = (uint32_t)(size - sizeof *block);
    store_free(store, block, block_size(block));
    return moved;
}

static struct block *block_alloc(const struct store *store, size_t cap) {
    size_t size = store_block_size(sizeof(struct block) + cap);
    struct block *block = store_alloc(store, size);
    *block = (struct block){.cap = (uint32_t)(size - sizeof *block)};
    return block;
}

struct block *block_new(const struct store *store, const struct slice *pairs, uint32_t fields) {
    size_t room = 7 * PACKED_OVER_MAX; /* of its first entry, too */
    for (uint32_t i = 0; i < 2 * fields; i++) room += pairs[i].len + PACKED_OVER_MAX;
    struct block *block = block_alloc(store, MAX(room, CAP_START - sizeof *block));
    block->fields = fields;
    char *at = write_number(block->run, fields);
    for (uint32_t i = 0; i < fields; i++) at = write_text(at, pairs[2 * i]);
    at = write_number(at, 0);
    block->used = block->entries_at = (uint32_t)(at - block->run);
    return block;
}

static size_t head_size(const struct block *block) {
    struct packed_value live = number_of(block->live), dead = number_of(block->dead);
    return packed_size(&live) + packed_size(&dead);
}

/* As Redis counts: a listpack has 6 bytes in front and one behind, and the entry to come counts its text alone. */
bool block_is_full(const struct block *block, const struct stream_rule *rule, uint64_t bytes) {
    uint64_t max = rule->block_bytes && rule->block_bytes < BLOCK_BYTES_MAX ? rule->block_bytes : BLOCK_BYTES_MAX;
    if (7 + head_size(block) + block->used + bytes >= max) return true;
    return rule->block_entries && (int64_t)block->live + block->dead >= rule->block_entries;
}

static bool names_equal(const struct block *block, const struct slice *pairs, uint32_t fields) {
    struct packed_value name;
    char scratch[PACKED_SCRATCH];
    if (fields != block->fields) return false;
    const char *at = packed_next(block->run);
    for (uint32_t i = 0; i < fields; i++) {
        at = packed_read(at, &name);
        if (!slice_equal(packed_text(&name, scratch), pairs[2 * i])) return false;
    }
    return true;
}

struct block *block_append(const struct store *store, struct block *block, struct stream_id base, struct stream_id id,
                           const struct slice *pairs, uint32_t fields) {
    bool same = names_equal(block, pairs, fields);
    size_t room = 5 * PACKED_OVER_MAX;
    for (uint32_t i = same; i < 2 * fields; i += 1 + same) room += pairs[i].len + PACKED_OVER_MAX;
    if (block->used + room > block->cap) block = resize(store, block, MAX(block->used + room, block->cap * (size_t)2));
    char *at = write_number(block->run + block->used, same ? SAME_NAMES : 0);
    at = write_number(at, (int64_t)(id.ms - base.ms));
    at = write_number(at, (int64_t)(id.seq - base.seq));
    if (!same) at = write_number(at, fields);
    for (uint32_t i = same; i < 2 * fields; i += 1 + same) at = write_text(at, pairs[i]);
    at = write_number(at, same ? (int64_t)fields + HEAD_ELEMS : 2 * (int64_t)fields + HEAD_ELEMS + 1);
    block->used = (uint32_t)(at - block->run);
    block->live++;
    return block;
}

struct block *block_shrink(const struct store *store, struct block *block) {
    if (store_block_size(sizeof *block + block->used) >= store_block_size(block_size(block))) return block;
    return resize(store, block, block->used);
}

struct slice block_bytes(const struct block *block) {
    return slice_of((const char *)block, sizeof *block + block->used);
}

struct block *block_of_bytes(const struct store *store, struct slice bytes) {
    ASSERT(bytes.len >= sizeof(struct block));
    struct block *block = block_alloc(store, bytes.len - sizeof *block);
    uint32_t cap = block->cap;
    memcpy(block, bytes.ptr, bytes.len);
    block->cap = cap;
    ASSERT(block->used == bytes.len - sizeof *block);
    return block;
}

struct block *block_copy(const struct store *store, const struct block *block) {
    return block_of_bytes(store, block_bytes(block));
}

/* --- reading --- */

bool stream_entry_is_deleted(const struct stream_entry *entry) {
    return (unsigned char)*entry->at & DELETED;
}

/* Reads an entry up to its first field. Numbers may wrap around, as Redis's do: ids are what is exact. */
static const char *open_entry(const struct block *block, struct stream_id base, const char *at,
                              struct stream_entry *entry) {
    struct packed_value flags, ms, seq, fields;
    entry->at = at;
    at = packed_read(packed_read(packed_read(at, &flags), &ms), &seq);
    entry->id = (struct stream_id){base.ms + (uint64_t)ms.number, base.seq + (uint64_t)seq.number};
    if (flags.number & SAME_NAMES) {
        entry->fields = block->fields;
        entry->names = packed_next(block->run);
    } else {
        at = packed_read(at, &fields);
        entry->fields = (uint64_t)fields.number;
        entry->names = NULL;
    }
    return entry->next = at;
}

const char *block_next(const struct block *block, struct stream_id base, const char *at, struct stream_entry *entry) {
    ASSERT_SLOW(at < block_end(block));
    at = open_entry(block, base, at, entry);
    for (uint64_t left = entry->names ? entry->fields : 2 * entry->fields; left > 0; left--) at = packed_next(at);
    return packed_next(at);
}

const char *block_prev(const struct block *block, struct stream_id base, const char *at, struct stream_entry *entry) {
    struct packed_value elements;
    ASSERT_SLOW(at > block_begin(block));
    at = packed_prev(at);
    (void)packed_read(at, &elements);
    for (int64_t left = elements.number; left > 0; left--) at = packed_prev(at);
    (void)open_entry(block, base, at, entry);
    return at;
}

void stream_entry_field(struct stream_entry *entry, struct packed_value *name, struct packed_value *value) {
    if (entry->names)
        entry->names = packed_read(entry->names, name);
    else
        entry->next = packed_read(entry->next, name);
    entry->next = packed_read(entry->next, value);
}

/* Flags are an integer of one byte, so that nothing moves. */
void block_mark_deleted(struct block *block, const struct stream_entry *entry) {
    ASSERT(!stream_entry_is_deleted(entry) && entry->at >= block_begin(block) && entry->at < block_end(block));
    char *flags = block->run + (entry->at - block->run);
    *flags = (char)(*flags | DELETED);
    block->live--;
    block->dead++;
}

/* --- files --- */

size_t block_write_head(const struct block *block, char head[BLOCK_HEAD_MAX]) {
    return (size_t)(write_number(write_number(head, block->live), block->dead) - head);
}

/* Is there an entry at `at`, all of it? Moves behind it. */
static bool pass_entry(const struct block *block, const char **place, const char *end, bool *deleted) {
    int64_t flags, ms, seq, fields = block->fields, elements;
    bool sound = true;
    const char *at = *place;
    at = read_number(at, end, &flags, &sound);
    at = read_number(at, end, &ms, &sound);
    at = read_number(at, end, &seq, &sound);
    if (!sound || flags < 0 || flags > 3) return false;
    if (!(flags & SAME_NAMES)) at = read_number(at, end, &fields, &sound);
    if (!sound || fields < 0 || fields > end - at) return false;
    int64_t texts = flags & SAME_NAMES ? fields : 2 * fields;
    for (int64_t i = 0; i < texts; i++, at = packed_next(at))
        if (at >= end) return false;
    at = read_number(at, end, &elements, &sound);
    *place = at;
    *deleted = flags & DELETED;
    return sound && elements == texts + HEAD_ELEMS + !(flags & SAME_NAMES);
}

/* The names of the first entry: *place moves to the first entry. */
static bool pass_names(const char **place, const char *end, int64_t *fields) {
    int64_t zero;
    bool sound = true;
    const char *at = read_number(*place, end, fields, &sound);
    if (!sound || *fields < 0 || *fields > end - at) return false;
    for (int64_t i = 0; i < *fields; i++, at = packed_next(at))
        if (at >= end) return false;
    *place = read_number(at, end, &zero, &sound);
    return sound && zero == 0;
}

/* Of those that are there: one that was taken out may be above what came after it, when XSETID went back. */
static bool ids_rise(const struct block *block, struct stream_id base) {
    struct stream_entry entry;
    struct stream_id last = base;
    bool first = true;
    for (const char *at = block_begin(block); at < block_end(block); first = false) {
        at = block_next(block, base, at, &entry);
        int order = stream_id_compare(entry.id, last);
        if (!first && stream_entry_is_deleted(&entry)) continue;
        if (first ? order != 0 : order <= 0) return false;
        last = entry.id;
    }
    return true;
}

static bool entries_sound(const struct block *block) {
    uint64_t live = 0, dead = 0;
    bool deleted;
    for (const char *at = block_begin(block); at < block_end(block);) {
        if (!pass_entry(block, &at, block_end(block), &deleted)) return false;
        live += !deleted;
        dead += deleted;
    }
    return live == block->live && dead == block->dead && live + dead > 0;
}

struct block *block_read(const struct store *store, struct stream_id base, const struct packed *elements) {
    int64_t live, dead, fields;
    bool sound = true;
    const char *at = read_number(elements->begin, elements->end, &live, &sound);
    at = read_number(at, elements->end, &dead, &sound);
    const char *run = at, *entries = at;
    if (!sound || live < 0 || dead < 0 || live > UINT32_MAX || dead > UINT32_MAX) return NULL;
    if (!pass_names(&entries, elements->end, &fields) || elements->end - run > (ptrdiff_t)UINT32_MAX / 2) return NULL;
    struct block *block = block_alloc(store, (size_t)(elements->end - run));
    block->used = (uint32_t)(elements->end - run);
    block->live = (uint32_t)live;
    block->dead = (uint32_t)dead;
    block->fields = (uint32_t)fields;
    block->entries_at = (uint32_t)(entries - run);
    memcpy(block->run, run, block->used);
    if (entries_sound(block) && ids_rise(block, base)) return block;
    store_free(store, block, block_size(block));
    return NULL;
}

void block_check(const struct block *block, struct stream_id base) {
    uint64_t elements;
    ASSERT(block->used <= block->cap && block->entries_at <= block->used);
    ASSERT(packed_valid(slice_of(block->run, block->used), &elements));
    ASSERT(entries_sound(block) && ids_rise(block, base));
}
