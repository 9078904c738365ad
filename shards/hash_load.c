/* Loading hashes: fields arrive one by one, and how many there will be is not to be believed.
 *
 * They are written to a run, and, as soon as it would take long to see in it whether a field is there already, put into
 * a table as well. What the hash has become by then decides which of the two is kept. */
#include "core/assert.h"
#include "shards/hash_value.h"

#define SEARCH_MAX 128u /* pairs of a run that are searched for each new field */

void hash_load_begin(struct hash_loading *loading, const struct store *store, const struct packed_rule *rule,
                     const struct hash_seed *seed) {
    *loading = (struct hash_loading){.store = store, .rule = rule, .seed = seed};
    buf_init(&loading->run, store->heap, MEM_DATA);
}

void hash_load_expect(struct hash_loading *loading, uint64_t pairs) {
    loading->expected = pairs;
}

static struct packed run_of(const struct hash_loading *loading) {
    const char *begin = loading->run.len ? loading->run.data : "";
    return (struct packed){begin, begin + loading->run.len, (uint32_t)(2 * loading->pairs)};
}

static bool has_field(struct hash_loading *loading, const struct packed_value *field) {
    if (loading->fields) return fields_find(loading->fields, field->text) != NULL;
    if (loading->pairs == 0) return false;
    struct packed run = run_of(loading);
    return packed_find(&run, run.begin, field, 2) != NULL;
}

static void put_field(struct hash_loading *loading, const struct packed_value *field,
                      const struct packed_value *value) {
    char scratch[2][PACKED_SCRATCH];
    fields_put(loading->store, loading->fields, packed_text(field, scratch[0]), packed_text(value, scratch[1]));
}

static void make_fields(struct hash_loading *loading) {
    struct packed_value field, value;
    struct packed run = run_of(loading);
    loading->fields = fields_new(loading->store, loading->seed);
    fields_expect(loading->fields, loading->expected);
    for (const char *at = run.begin; at < run.end;) {
        at = packed_read(packed_read(at, &field), &value);
        put_field(loading, &field, &value);
    }
}

static void append(struct hash_loading *loading, const struct packed_value *value) {
    size_t size = packed_size(value);
    packed_write(buf_reserve(&loading->run, size), value);
    loading->run.len += size;
}

/* Both have text, also where they are numbers. */
static bool load(struct hash_loading *loading, const struct packed_value *field, const struct packed_value *value,
                 bool judged) {
    size_t text_max = loading->rule->text_max, size = packed_size(field) + packed_size(value);
    if (has_field(loading, field)) return false;
    if (judged && (field->text.len > text_max || value->text.len > text_max)) loading->large = true;
    if (loading->run.len + size > ENTRY_RUN_MAX || loading->pairs >= loading->rule->count_max) loading->large = true;
    if (loading->large && (loading->run.len + size > HASH_RUN_MAX || loading->pairs >= HASH_PAIRS_MAX))
        loading->only_table = true;
    if (!loading->fields && (loading->only_table || loading->pairs == SEARCH_MAX)) make_fields(loading);
    if (loading->only_table) {
        buf_deinit(&loading->run);
    } else {
        append(loading, field);
        append(loading, value);
    }
    if (loading->fields) put_field(loading, field, value);
    loading->pairs++;
    return true;
}

bool hash_load(struct hash_loading *loading, const struct packed_value *field, const struct packed_value *value,
               bool judged) {
    /* Encoded anew: numbers may come as text, but are found only as numbers. */
    char scratch[2][PACKED_SCRATCH];
    struct packed_value own_field = packed_value_of(packed_text(field, scratch[0]));
    struct packed_value own_value = packed_value_of(packed_text(value, scratch[1]));
    return load(loading, &own_field, &own_value, judged);
}

void hash_load_timed(struct hash_loading *loading) {
    ASSERT(loading->pairs == 0);
    loading->timed = loading->large = loading->only_table = true;
}

void hash_load_deadline(struct hash_loading *loading, const struct packed_value *field, uint64_t deadline_ms) {
    char scratch[PACKED_SCRATCH];
    ASSERT(loading->timed && loading->pairs > 0);
    fields_set_deadline(loading->store, loading->fields, packed_text(field, scratch), deadline_ms);
}

struct entry *hash_load_end(struct hash_loading *loading, struct slice key, uint64_t deadline_ms) {
    struct entry *entry = NULL;
    char *at;
    struct packed run = run_of(loading);
    size_t len = loading->run.len;
    if (loading->only_table && loading->pairs > 0) {
        entry = entry_new_object(loading->store, key, TYPE_HASH, loading->fields, deadline_ms);
        if (fields_timed(loading->fields) > 0) entry->flags |= ENTRY_FIELDS_TIMED;
        loading->fields = NULL;
    } else if (loading->pairs > 0) {
        entry = entry_new_packed(loading->store, key, TYPE_HASH, run.count, len, deadline_ms, &at);
        memcpy(at, run.begin, len);
    }
    if (entry && loading->large) entry->flags |= ENTRY_LARGE;
    hash_load_drop(loading);
    return entry;
}

void hash_load_drop(struct hash_loading *loading) {
    if (loading->fields) fields_delete(loading->store, loading->fields);
    buf_deinit(&loading->run);
}
