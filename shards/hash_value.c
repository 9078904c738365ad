/* Hashes: a run is searched and edited in its entry; a table is core/fields. Which of them a hash is, and how it is
 * shown, is decided where it grows: `put` and `show_large`. */
#include "shards/hash_value.h"
#include "core/assert.h"

#define BATCH 16 /* pairs encoded at a time for a new hash */

static size_t run_len(const struct packed *run) {
    return (size_t)(run->end - run->begin);
}

static struct packed_value text_value(struct slice text) {
    return (struct packed_value){.text = text};
}

/* --- reading --- */

uint64_t hash_len(const struct entry *entry) {
    ASSERT(entry->type == TYPE_HASH);
    return entry_is_packed(entry) ? entry_packed(entry).count / 2 : fields_count(entry_object(entry));
}

bool hash_get(const struct entry *entry, struct slice name, struct packed_value *value) {
    ASSERT(entry->type == TYPE_HASH);
    if (!entry_is_packed(entry)) {
        const struct field *field = fields_find(entry_object(entry), name);
        if (field) *value = text_value(field_value(field));
        return field != NULL;
    }
    struct packed run = entry_packed(entry);
    struct packed_value sought = packed_value_of(name);
    const char *at = packed_find(&run, run.begin, &sought, 2);
    if (at) (void)packed_read(packed_next(at), value);
    return at != NULL;
}

struct visiting {
    hash_visit visit;
    void *ctx;
};

static void visit_field(void *ctx, const struct field *field) {
    const struct visiting *visiting = ctx;
    struct packed_value name = text_value(field_name(field)), value = text_value(field_value(field));
    visiting->visit(visiting->ctx, &name, &value);
}

uint64_t hash_scan(const struct entry *entry, uint64_t cursor, hash_visit visit, void *ctx) {
    struct visiting visiting = {visit, ctx};
    if (!entry_is_packed(entry)) return fields_scan(entry_object(entry), cursor, visit_field, &visiting);
    struct packed run = entry_packed(entry);
    struct packed_value field, value;
    for (const char *at = run.begin; at < run.end;) {
        at = packed_read(packed_read(at, &field), &value);
        visit(ctx, &field, &value);
    }
    return 0;
}

void hash_each(const struct entry *entry, hash_visit visit, void *ctx) {
    uint64_t cursor = 0;
    do cursor = hash_scan(entry, cursor, visit, ctx);
    while (cursor);
}

void hash_random(const struct entry *entry, struct prng *prng, struct packed_value *field, struct packed_value *value) {
    if (!entry_is_packed(entry)) {
        const struct field *chosen = fields_random(entry_object(entry), prng);
        *field = text_value(field_name(chosen));
        *value = text_value(field_value(chosen));
        return;
    }
    struct packed run = entry_packed(entry);
    const char *at = packed_at(&run, 2 * (uint32_t)prng_below(prng, run.count / 2));
    (void)packed_read(packed_read(at, field), value);
}

/* --- becoming large --- */

static bool may_stay_run(size_t len, uint64_t pairs) {
    return len <= HASH_RUN_MAX && pairs <= HASH_PAIRS_MAX;
}

static void put_into_fields(struct fields *fields, const struct store *store, const struct packed *run) {
    struct packed_value name, value;
    char scratch[2][PACKED_SCRATCH];
    for (const char *at = run->begin; at < run->end;) {
        at = packed_read(packed_read(at, &name), &value);
        fields_put(store, fields, packed_text(&name, scratch[0]), packed_text(&value, scratch[1]));
    }
}

/* Makes the hash a table; an absent one is created, and empty until its caller puts something in. */
static struct fields *make_table(struct keyspace *keys, struct key_ref *ref) {
    const struct keyspace_shared *shared = keyspace_shared_of(keys);
    struct fields *fields = fields_new(&shared->store, &shared->seed);
    if (ref->entry) {
        struct packed run = entry_packed(ref->entry);
        put_into_fields(fields, &shared->store, &run);
        keyspace_set_object(keys, ref, fields);
    } else {
        keyspace_put_entry(keys, ref, entry_new_object(&shared->store, ref->key, TYPE_HASH, fields, 0));
    }
    ref->entry->flags |= ENTRY_LARGE;
    return fields;
}

static void show_large(struct keyspace *keys, struct key_ref *ref) {
    if (ref->entry->flags & ENTRY_LARGE) return;
    struct packed run = entry_packed(ref->entry);
    if (may_stay_run(run_len(&run), run.count / 2))
        ref->entry->flags |= ENTRY_LARGE;
    else
        make_table(keys, ref);
}

/* --- setting --- */

/* Are these too much for a run that Redis would show as a listpack? */
static bool too_much(const struct packed_rule *rule, size_t used, const struct slice *texts, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        if (texts[i].len > rule->text_max) return true;
        used += texts[i].len + PACKED_OVER_MAX;
    }
    return used > ENTRY_RUN_MAX;
}

static bool put(struct keyspace *keys, struct key_ref *ref, const struct slice pair[2]) {
    const struct keyspace_shared *shared = keyspace_shared_of(keys);
    if (!entry_is_packed(ref->entry)) return fields_put(&shared->store, entry_object(ref->entry), pair[0], pair[1]);
    struct packed run = entry_packed(ref->entry);
    struct packed_value name = packed_value_of(pair[0]), value = packed_value_of(pair[1]);
    struct packed_edit edit = {.at = run_len(&run), .insert = packed_size(&value)};
    const char *found = packed_find(&run, run.begin, &name, 2);
    if (found) {
        const char *old = packed_next(found);
        edit.at = (size_t)(old - run.begin);
        edit.remove = (size_t)(packed_next(old) - old);
    } else {
        edit.insert += packed_size(&name);
        edit.added = 2;
    }
    uint64_t pairs = (run.count + (uint32_t)edit.added) / 2;
    bool large = ref->entry->flags & ENTRY_LARGE || pairs > shared->hash_rule.count_max;
    if (large && !may_stay_run(run_len(&run) - edit.remove + edit.insert, pairs))
        return fields_put(&shared->store, make_table(keys, ref), pair[0], pair[1]);
    char *gap = keyspace_edit_packed(keys, ref, edit);
    if (!found) gap = packed_write(gap, &name);
    packed_write(gap, &value);
    if (large) ref->entry->flags |= ENTRY_LARGE;
    return !found;
}

/* Encodes the first of the pairs, as many as have different fields, fit into values and stay within len_max bytes. */
static uint32_t encode(const struct slice *pairs, uint32_t count, size_t len_max, struct packed_value values[2 * BATCH],
                       size_t *len) {
    *len = 0;
    for (uint32_t i = 0; i < MIN(count, (uint32_t)BATCH); i++) {
        struct packed_value *pair = values + 2 * (size_t)i;
        pair[0] = packed_value_of(pairs[2 * i]);
        pair[1] = packed_value_of(pairs[2 * i + 1]);
        for (uint32_t j = 0; j < i; j++)
            if (packed_equal(&values[2 * j], &pair[0])) return i;
        size_t size = packed_size(&pair[0]) + packed_size(&pair[1]);
        if (*len + size > len_max) return i;
        *len += size;
    }
    return MIN(count, (uint32_t)BATCH);
}

/* Makes a hash of the first pairs and returns how many these are; 0 when it is an empty table. */
static uint32_t create(struct keyspace *keys, struct key_ref *ref, const struct slice *pairs, uint32_t count,
                       bool large) {
    const struct keyspace_shared *shared = keyspace_shared_of(keys);
    struct packed_value values[2 * BATCH];
    size_t len;
    char *at;
    uint32_t fit = encode(pairs, count, large ? HASH_RUN_MAX : ENTRY_PACKED_MAX, values, &len);
    if (large && fit == 0) {
        make_table(keys, ref);
        return 0;
    }
    if (fit == 0) { /* the first is long, but the rule allows it */
        fit = 1;
        len = packed_size(&values[0]) + packed_size(&values[1]);
    }
    if (fit > shared->hash_rule.count_max && !may_stay_run(len, fit)) {
        make_table(keys, ref);
        return 0;
    }
    struct entry *entry = entry_new_packed(&shared->store, ref->key, TYPE_HASH, 2 * fit, len, 0, &at);
    for (uint32_t i = 0; i < 2 * fit; i++) at = packed_write(at, &values[i]);
    if (large || fit > shared->hash_rule.count_max) entry->flags |= ENTRY_LARGE;
    keyspace_put_entry(keys, ref, entry);
    return fit;
}

uint32_t hash_set(struct keyspace *keys, struct key_ref *ref, const struct slice *pairs, uint32_t count) {
    const struct packed_rule *rule = &keyspace_shared_of(keys)->hash_rule;
    uint32_t done = 0, created = 0;
    size_t used = 0;
    ASSERT(count > 0);
    bool listpack = !ref->entry || !(ref->entry->flags & ENTRY_LARGE);
    if (ref->entry && listpack) {
        struct packed run = entry_packed(ref->entry);
        used = run_len(&run);
    }
    bool large = listpack && too_much(rule, used, pairs, 2 * (uint64_t)count);
    if (!ref->entry)
        done = created = create(keys, ref, pairs, count, large);
    else if (large)
        show_large(keys, ref);
    for (; done < count; done++) created += put(keys, ref, pairs + 2 * (size_t)done);
    if (UNLIKELY(ref->entry->flags & ENTRY_FIELDS_TIMED)) keyspace_fields_changed(keys, ref);
    return created;
}

/* --- removing --- */

static bool remove_from_run(struct keyspace *keys, struct key_ref *ref, struct slice field) {
    struct packed run = entry_packed(ref->entry);
    struct packed_value sought = packed_value_of(field);
    const char *at = packed_find(&run, run.begin, &sought, 2);
    if (!at) return false;
    const char *end = packed_next(packed_next(at));
    struct packed_edit edit = {.at = (size_t)(at - run.begin), .remove = (size_t)(end - at), .added = -2};
    keyspace_edit_packed(keys, ref, edit);
    return true;
}

bool hash_remove(struct keyspace *keys, struct key_ref *ref, struct slice field) {
    bool gone = entry_is_packed(ref->entry)
                    ? remove_from_run(keys, ref, field)
                    : fields_remove(&keyspace_shared_of(keys)->store, entry_object(ref->entry), field);
    if (gone && hash_len(ref->entry) == 0)
        keyspace_remove(keys, ref);
    else if (UNLIKELY(ref->entry->flags & ENTRY_FIELDS_TIMED))
        keyspace_fields_changed(keys, ref);
    return gone;
}

/* --- deadlines --- */

uint64_t hash_deadline(const struct entry *entry, struct slice field) {
    return entry->flags & ENTRY_FIELDS_TIMED ? fields_deadline(entry_object(entry), field) : 0;
}

void hash_set_deadline(struct keyspace *keys, struct key_ref *ref, struct slice field, uint64_t deadline_ms) {
    const struct store *store = &keyspace_shared_of(keys)->store;
    if (!deadline_ms && !(ref->entry->flags & ENTRY_FIELDS_TIMED)) return;
    if (entry_is_packed(ref->entry)) make_table(keys, ref);
    fields_set_deadline(store, entry_object(ref->entry), field, deadline_ms);
    keyspace_fields_changed(keys, ref);
}

void hash_check(const struct entry *entry) {
    uint64_t count;
    ASSERT(hash_len(entry) > 0);
    if (!entry_is_packed(entry)) {
        ASSERT(entry->flags & ENTRY_LARGE);
        fields_check(entry_object(entry));
        ASSERT((fields_timed(entry_object(entry)) > 0) == ((entry->flags & ENTRY_FIELDS_TIMED) != 0));
        return;
    }
    struct packed run = entry_packed(entry);
    bool valid = packed_valid(slice_of(run.begin, run_len(&run)), &count);
    ASSERT(valid && count == run.count && count % 2 == 0);
    ASSERT(!(entry->flags & ENTRY_LARGE) || may_stay_run(run_len(&run), count / 2));
    struct packed_value name;
    char scratch[PACKED_SCRATCH];
    for (const char *at = run.begin; at < run.end; at = packed_next(packed_next(at))) {
        (void)packed_read(at, &name);
        name = packed_value_of(packed_text(&name, scratch));
        ASSERT(packed_find(&run, run.begin, &name, 2) == at); /* each field once */
    }
}
