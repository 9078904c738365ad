/* Fields: core/hashtable.h, filled with blocks that hold a name and its value. */
#include "core/fields.h"
#include "core/assert.h"
#include "core/hashtable_inline.h"
#include "core/sorted.h"

#define DRAIN_PIECE 64 /* fields taken out of the table at a time */

struct fields {
    struct hashtable *table;
    struct hash_seed seed;
    uint64_t drained;         /* position of fields_free_some */
    size_t bytes;             /* of all fields */
    struct sorted *deadlines; /* names by deadline; NULL: none */
    const struct table_watch *watch;
};

static uint64_t hash_of(const struct fields *fields, struct slice name) {
    return hash_bytes(&fields->seed, name.ptr, name.len);
}

static uint64_t rehash(void *ctx, const void *entry) {
    return hash_of(ctx, field_name(entry));
}

static const struct hashtable_type table_type = {.rehash = rehash};

HOT_INLINE bool name_matches(const void *entry, const void *name) {
    return slice_equal(field_name(entry), *(const struct slice *)name);
}

static size_t size_for(size_t name_len, size_t value_len) {
    return sizeof(struct field) + name_len + value_len;
}

static size_t field_size(const struct field *field) {
    return size_for(field->name_len, field->value_len);
}

/* --- one field --- */

static struct field *field_new(const struct store *store, struct fields *fields, struct slice name,
                               struct slice value) {
    ASSERT(name.len <= UINT32_MAX && value.len <= UINT32_MAX);
    struct field *field = store_alloc(store, size_for(name.len, value.len));
    field->name_len = (uint32_t)name.len;
    field->value_len = (uint32_t)value.len;
    slice_copy(field->bytes, name.ptr, name.len);
    slice_copy(field->bytes + name.len, value.ptr, value.len);
    fields->bytes += store_block_size(field_size(field));
    return field;
}

static void field_delete(const struct store *store, struct fields *fields, struct field *field) {
    fields->bytes -= store_block_size(field_size(field));
    store_free(store, field, field_size(field));
}

/* The common overwrite: the same block, new bytes. */
static bool overwrite(struct field *field, struct slice value) {
    size_t old = field_size(field), fresh = size_for(field->name_len, value.len);
    if (store_block_size(old) != store_block_size(fresh)) return false;
    field->value_len = (uint32_t)value.len;
    slice_copy(field->bytes + field->name_len, value.ptr, value.len);
    return true;
}

static void tell(const struct fields *fields, struct slice name, const struct field *old) {
    if (UNLIKELY(fields->watch))
        fields->watch->before(fields->watch->ctx, name, old, old ? field_value(old) : SLICE(""));
}

/* --- the whole --- */

struct fields *fields_new(const struct store *store, const struct hash_seed *seed) {
    struct fields *fields = store_alloc(store, sizeof *fields);
    *fields = (struct fields){.seed = *seed};
    fields->table = hashtable_new(store->heap, store->slab, &table_type, fields);
    return fields;
}

void fields_delete(const struct store *store, struct fields *fields) {
    store_free_object(store, fields_free_some, fields);
}

bool fields_free_some(const struct store *store, void *object, unsigned units) {
    struct fields *fields = object;
    void *out[DRAIN_PIECE];
    ASSERT(!fields->watch);
    if (fields->deadlines) {
        if (!sorted_free_some(store, fields->deadlines, units)) fields->deadlines = NULL;
        return true;
    }
    size_t count = hashtable_drain(fields->table, &fields->drained, out, MIN((size_t)units, ARRAY_LEN(out)));
    for (size_t i = 0; i < count; i++) {
        if (i + 8 < count) __builtin_prefetch(out[i + 8]);
        field_delete(store, fields, out[i]);
    }
    if (hashtable_count(fields->table) > 0) return true;
    ASSERT(fields->bytes == 0);
    hashtable_delete(fields->table, NULL);
    store_free(store, fields, sizeof *fields);
    return false;
}

static void *move_field(void *ctx, void *field) {
    return store_moved(ctx, field, field_size(field));
}

/* A store_defrag_some; a unit is a bucket. */
uint64_t fields_defrag_some(const struct store *store, void *object, uint64_t position, unsigned units) {
    struct fields *fields = object;
    while (units-- > 0) {
        position = hashtable_defrag(fields->table, position, move_field, (void *)(uintptr_t)store);
        if (position == 0) break;
    }
    return position;
}

struct copying {
    const struct store *store;
    struct fields *to;
};

static void copy_field(void *ctx, void *entry, unsigned flags) {
    struct copying *copying = ctx;
    struct slice name = field_name(entry);
    (void)flags;
    struct field *field = field_new(copying->store, copying->to, name, field_value(entry));
    hashtable_insert(copying->to->table, hash_of(copying->to, name), field, 0);
}

struct fields *fields_copy(const struct store *store, const struct fields *fields) {
    struct copying copying = {store, fields_new(store, &fields->seed)};
    uint64_t cursor = 0;
    hashtable_expect(copying.to->table, hashtable_count(fields->table));
    do cursor = hashtable_scan(fields->table, cursor, copy_field, &copying);
    while (cursor);
    ASSERT(fields_count(copying.to) == fields_count(fields));
    if (fields->deadlines) copying.to->deadlines = sorted_copy(store, fields->deadlines);
    return copying.to;
}

uint64_t fields_count(const struct fields *fields) {
    return hashtable_count(fields->table);
}

size_t fields_bytes(const struct fields *fields) {
    size_t deadlines = fields->deadlines ? sorted_bytes(fields->deadlines) : 0;
    return store_block_size(sizeof *fields) + hashtable_bytes(fields->table) + fields->bytes + deadlines;
}

void fields_expect(struct fields *fields, uint64_t count) {
    hashtable_expect(fields->table, count);
}

void fields_expect_timed(struct fields *fields, uint64_t count) {
    ASSERT(fields->deadlines);
    sorted_expect(fields->deadlines, count);
}

/* --- by name --- */

const struct field *fields_find(struct fields *fields, struct slice name) {
    ht_slot *slot = ht_find(fields->table, hash_of(fields, name), name_matches, &name);
    return slot ? ht_entry(*slot) : NULL;
}

bool fields_put(const struct store *store, struct fields *fields, struct slice name, struct slice value) {
    uint64_t hash = hash_of(fields, name);
    ht_slot *slot = ht_find(fields->table, hash, name_matches, &name);
    tell(fields, name, slot ? ht_entry(*slot) : NULL);
    if (!slot) {
        hashtable_insert(fields->table, hash, field_new(store, fields, name, value), 0);
        return true;
    }
    struct field *old = ht_entry(*slot);
    if (UNLIKELY(fields->deadlines)) fields_set_deadline(store, fields, name, 0);
    if (overwrite(old, value)) return false;
    ht_replace(slot, field_new(store, fields, name, value), 0);
    field_delete(store, fields, old);
    return false;
}

bool fields_remove(const struct store *store, struct fields *fields, struct slice name) {
    uint64_t hash = hash_of(fields, name);
    ht_slot *slot = ht_find(fields->table, hash, name_matches, &name);
    if (!slot) return false;
    struct field *field = ht_entry(*slot);
    tell(fields, name, field);
    if (UNLIKELY(fields->deadlines)) fields_set_deadline(store, fields, name, 0);
    hashtable_remove(fields->table, hash, slot);
    field_delete(store, fields, field);
    return true;
}

/* --- deadlines --- */

uint64_t fields_timed(const struct fields *fields) {
    return fields->deadlines ? sorted_count(fields->deadlines) : 0;
}

uint64_t fields_deadline(const struct fields *fields, struct slice name) {
    const struct sorted_element *found = fields->deadlines ? sorted_find(fields->deadlines, name) : NULL;
    return found ? (uint64_t)found->score : 0;
}

static void drop_deadline(const struct store *store, struct fields *fields, struct sorted_element *deadline) {
    sorted_remove(store, fields->deadlines, deadline);
    if (sorted_count(fields->deadlines) > 0) return;
    sorted_delete(store, fields->deadlines);
    fields->deadlines = NULL;
}

void fields_set_deadline(const struct store *store, struct fields *fields, struct slice name, uint64_t deadline_ms) {
    ASSERT(deadline_ms < 1ull << 53); /* exact as a score */
    if (!fields->deadlines && !deadline_ms) return;
    if (!fields->deadlines) fields->deadlines = sorted_new(store, &fields->seed);
    struct sorted_element *found = sorted_find(fields->deadlines, name);
    if (found && deadline_ms)
        sorted_move(store, fields->deadlines, found, (double)deadline_ms);
    else if (deadline_ms)
        sorted_insert(store, fields->deadlines, name, (double)deadline_ms);
    else if (found)
        drop_deadline(store, fields, found);
}

static struct sorted_element *first_deadline(const struct fields *fields) {
    return fields->deadlines ? sorted_at(fields->deadlines, 0) : NULL;
}

uint64_t fields_first_deadline(const struct fields *fields) {
    const struct sorted_element *first = first_deadline(fields);
    return first ? (uint64_t)first->score : UINT64_MAX;
}

uint64_t fields_due_count(const struct fields *fields, uint64_t now_ms) {
    struct sorted_bound bound = {.by = SORTED_BY_SCORE, .inclusive = true, .score = (double)now_ms};
    return fields->deadlines ? sorted_count_before(fields->deadlines, &bound) : 0;
}

bool fields_due(const struct fields *fields, uint64_t now_ms, struct slice *name) {
    const struct sorted_element *first = first_deadline(fields);
    if (!first || (uint64_t)first->score > now_ms) return false;
    *name = sorted_member(first);
    return true;
}

void fields_remove_first_due(const struct store *store, struct fields *fields) {
    struct sorted_element *first = first_deadline(fields);
    ASSERT(first);
    struct slice name = sorted_member(first);
    uint64_t hash = hash_of(fields, name);
    ht_slot *slot = ht_find(fields->table, hash, name_matches, &name);
    ASSERT(slot); /* who has a deadline is there */
    struct field *field = ht_entry(*slot);
    tell(fields, name, field);
    hashtable_remove(fields->table, hash, slot);
    field_delete(store, fields, field);
    drop_deadline(store, fields, first);
}

/* --- visiting --- */

struct visiting {
    fields_visit visit;
    void *ctx;
};

static void visit_field(void *ctx, void *entry, unsigned flags) {
    const struct visiting *visiting = ctx;
    (void)flags;
    visiting->visit(visiting->ctx, entry);
}

uint64_t fields_scan(struct fields *fields, uint64_t cursor, fields_visit visit, void *ctx) {
    struct visiting visiting = {visit, ctx};
    return hashtable_scan(fields->table, cursor, visit_field, &visiting);
}

void fields_watch(struct fields *fields, const struct table_watch *watch) {
    ASSERT(!watch || !fields->watch);
    fields->watch = watch;
}

uint64_t fields_position(const struct fields *fields, struct slice name) {
    return hash_of(fields, name) >> (64 - HT_CURSOR_BITS);
}

const struct field *fields_random(struct fields *fields, struct prng *prng) {
    return hashtable_random(fields->table, prng);
}

/* --- checking --- */

struct sums {
    uint64_t count;
    size_t bytes;
};

static void add_up(void *ctx, const struct field *field) {
    struct sums *sums = ctx;
    sums->count++;
    sums->bytes += store_block_size(field_size(field));
}

void fields_check(struct fields *fields) {
    struct sums sums = {0};
    uint64_t cursor = 0;
    hashtable_check(fields->table);
    do cursor = fields_scan(fields, cursor, add_up, &sums);
    while (cursor);
    ASSERT(sums.count == fields_count(fields) && sums.bytes == fields->bytes);
    if (!fields->deadlines) return;
    ASSERT(sorted_count(fields->deadlines) > 0);
    sorted_check(fields->deadlines);
    struct sorted_iter iter = sorted_seek(fields->deadlines, 0);
    for (const struct sorted_element *element; (element = sorted_next(&iter));)
        ASSERT(fields_find(fields, sorted_member(element)) && element->score > 0);
}
