/* Sets: what is done to a small one is an edit of its entry's run; all else is the table's. */
#include "shards/set.h"
#include "core/assert.h"
#include "core/num.h"

static bool is_table(const struct entry *entry) {
    ASSERT(entry->type == TYPE_SET);
    return entry->encoding == ENC_OBJECT;
}

static bool is_ints(const struct entry *entry) {
    return entry->encoding == ENC_INT;
}

static const struct set_rule *rule_of(const struct keyspace *keys) {
    return &keyspace_shared_of(keys)->set_rule;
}

static const struct store *store_of(const struct keyspace *keys) {
    return &keyspace_shared_of(keys)->store;
}

/* --- reading --- */

uint64_t set_count(const struct entry *entry) {
    if (is_table(entry)) return members_count(entry_object(entry));
    return is_ints(entry) ? entry_intset(entry).count : entry_packed(entry).count;
}

bool set_is_intset(const struct entry *entry) {
    return is_table(entry) ? members_numbers(entry_object(entry)) : is_ints(entry);
}

bool set_has(const struct entry *entry, struct slice text) {
    if (is_table(entry)) return members_has(entry_object(entry), text);
    if (is_ints(entry)) {
        int64_t number;
        uint32_t index;
        struct intset ints = entry_intset(entry);
        return num_parse_i64(text, &number) && intset_find(&ints, number, &index);
    }
    struct packed run = entry_packed(entry);
    struct packed_value sought = packed_value_of(text);
    return packed_find(&run, run.begin, &sought, 1) != NULL;
}

static void each_int(const struct intset *ints, set_visit visit, void *ctx) {
    char scratch[NUM_I64_MAX];
    for (uint32_t i = 0; i < ints->count; i++)
        if (!visit(ctx, slice_of(scratch, num_format_i64(scratch, intset_at(ints, i))))) return;
}

static void each_in_run(const struct packed *run, set_visit visit, void *ctx) {
    char scratch[PACKED_SCRATCH];
    struct packed_value value;
    for (const char *at = run->begin; at < run->end;) {
        at = packed_read(at, &value);
        if (!visit(ctx, packed_text(&value, scratch))) return;
    }
}

struct table_visit {
    set_visit visit;
    void *ctx;
    uint64_t visited;
    bool stopped;
};

static void visit_member(void *ctx, struct slice text) {
    struct table_visit *table = ctx;
    if (table->stopped) return;
    table->visited++;
    table->stopped = !table->visit(table->ctx, text);
}

uint64_t set_scan(const struct entry *entry, uint64_t cursor, uint64_t max, set_visit visit, void *ctx) {
    if (is_table(entry)) {
        struct table_visit table = {.visit = visit, .ctx = ctx};
        /* A step passes over up to 64 empty buckets, so an almost empty table is bounded by the steps. */
        for (uint64_t steps = 0; steps < max && !table.stopped && table.visited < max; steps++) {
            cursor = members_scan(entry_object(entry), cursor, visit_member, &table);
            if (cursor == 0) break;
        }
        return table.stopped ? 0 : cursor;
    }
    if (is_ints(entry)) {
        struct intset ints = entry_intset(entry);
        each_int(&ints, visit, ctx);
    } else {
        struct packed run = entry_packed(entry);
        each_in_run(&run, visit, ctx);
    }
    return 0;
}

void set_each(const struct entry *entry, set_visit visit, void *ctx) {
    (void)set_scan(entry, 0, UINT64_MAX, visit, ctx);
}

struct slice set_random(const struct entry *entry, struct prng *prng, char scratch[SET_SCRATCH]) {
    if (is_table(entry)) return members_random(entry_object(entry), prng);
    uint32_t index = (uint32_t)prng_below(prng, set_count(entry));
    if (is_ints(entry)) {
        struct intset ints = entry_intset(entry);
        return slice_of(scratch, num_format_i64(scratch, intset_at(&ints, index)));
    }
    struct packed run = entry_packed(entry);
    struct packed_value value;
    (void)packed_read(packed_at(&run, index), &value);
    return packed_text(&value, scratch);
}

/* --- from form to form --- */

struct building {
    const struct store *store;
    struct members *members;
};

static bool add_member(void *ctx, struct slice text) {
    struct building *building = ctx;
    bool added = members_add(building->store, building->members, text);
    ASSERT(added);
    return true;
}

/* A small set becomes a table. */
static struct members *make_table(struct keyspace *keys, struct key_ref *ref, bool numbers) {
    struct building building = {store_of(keys), members_new(store_of(keys), &rule_of(keys)->seed)};
    set_each(ref->entry, add_member, &building);
    members_set_numbers(building.members, numbers);
    keyspace_set_object(keys, ref, building.members);
    return building.members;
}

static bool add_size(void *ctx, struct slice text) {
    struct packed_value value = packed_value_of(text);
    *(size_t *)ctx += packed_size(&value);
    return *(size_t *)ctx <= SET_EMBED_MAX;
}

static bool write_value(void *ctx, struct slice text) {
    char **at = ctx;
    struct packed_value value = packed_value_of(text);
    *at = packed_write(*at, &value);
    return true;
}

/* Integers become something that is no intset: a run if they fit, or a table. */
static void leave_ints(struct keyspace *keys, struct key_ref *ref) {
    const struct entry *old = ref->entry;
    size_t len = 0;
    char *at;
    set_each(old, add_size, &len);
    if (len > SET_EMBED_MAX) {
        make_table(keys, ref, false);
        return;
    }
    struct entry *fresh = entry_new_packed(store_of(keys), ref->key, TYPE_SET, (uint32_t)set_count(old), len,
                                           entry_deadline_ms(old), &at);
    set_each(old, write_value, &at);
    fresh->access = old->access;
    keyspace_put_entry(keys, ref, fresh);
}

/* --- adding --- */

static void put_int(struct keyspace *keys, struct key_ref *ref, const struct intset *ints, uint32_t index,
                    int64_t number) {
    uint8_t width = intset_width_of(number);
    char *at;
    if (width <= ints->width) {
        width = ints->width;
        intset_write(keyspace_edit_intset(keys, ref, index, true), width, number);
        return;
    }
    /* Wider than all that are there: it is the first or the last. */
    const struct entry *old = ref->entry;
    struct entry *fresh =
        entry_new_intset(store_of(keys), ref->key, width, ints->count + 1, entry_deadline_ms(old), &at);
    intset_widen(at + (index == 0 ? width : 0), width, ints);
    intset_write(at + (size_t)index * width, width, number);
    fresh->access = old->access;
    keyspace_put_entry(keys, ref, fresh);
}

static bool add_to_table(struct keyspace *keys, struct members *members, const struct packed_value *value) {
    if (!members_add(store_of(keys), members, value->text)) return false;
    if (members_numbers(members) && (!value->is_int || members_count(members) > rule_of(keys)->intset_max))
        members_set_numbers(members, false);
    return true;
}

static bool add_to_run(struct keyspace *keys, struct key_ref *ref, const struct packed_value *value) {
    struct packed run = entry_packed(ref->entry);
    size_t used = (size_t)(run.end - run.begin), size = packed_size(value);
    if (packed_find(&run, run.begin, value, 1)) return false;
    if (used + size > SET_EMBED_MAX) return add_to_table(keys, make_table(keys, ref, false), value);
    struct packed_edit edit = {.at = used, .insert = size, .added = 1};
    packed_write(keyspace_edit_packed(keys, ref, edit), value);
    return true;
}

static bool add_to_ints(struct keyspace *keys, struct key_ref *ref, const struct packed_value *value) {
    struct intset ints = entry_intset(ref->entry);
    uint32_t index;
    if (value->is_int) {
        if (intset_find(&ints, value->number, &index)) return false;
        size_t width = (size_t)MAX(ints.width, intset_width_of(value->number));
        if (ints.count < rule_of(keys)->intset_max) {
            if (1 + (ints.count + 1) * width > ENTRY_EMBED_MAX)
                return add_to_table(keys, make_table(keys, ref, true), value);
            put_int(keys, ref, &ints, index, value->number);
            return true;
        }
    }
    leave_ints(keys, ref);
    return is_table(ref->entry) ? add_to_table(keys, entry_object(ref->entry), value) : add_to_run(keys, ref, value);
}

static void create(struct keyspace *keys, struct key_ref *ref, const struct packed_value *value) {
    const struct store *store = store_of(keys);
    struct entry *fresh;
    char *at;
    if (value->is_int && rule_of(keys)->intset_max > 0) {
        unsigned width = intset_width_of(value->number);
        fresh = entry_new_intset(store, ref->key, width, 1, 0, &at);
        intset_write(at, width, value->number);
    } else if (packed_size(value) <= SET_EMBED_MAX) {
        fresh = entry_new_packed(store, ref->key, TYPE_SET, 1, packed_size(value), 0, &at);
        packed_write(at, value);
    } else {
        struct members *members = members_new(store, &rule_of(keys)->seed);
        members_add(store, members, value->text);
        fresh = entry_new_object(store, ref->key, TYPE_SET, members, 0);
    }
    keyspace_put_entry(keys, ref, fresh);
}

bool set_add(struct keyspace *keys, struct key_ref *ref, struct slice text) {
    struct packed_value value = packed_value_of(text);
    if (!ref->entry) {
        create(keys, ref, &value);
        return true;
    }
    if (is_table(ref->entry)) return add_to_table(keys, entry_object(ref->entry), &value);
    return is_ints(ref->entry) ? add_to_ints(keys, ref, &value) : add_to_run(keys, ref, &value);
}

/* --- removing --- */

/* From small sets; the last one goes with its key. */
static bool remove_int(struct keyspace *keys, struct key_ref *ref, struct slice text, bool last) {
    struct intset ints = entry_intset(ref->entry);
    int64_t number;
    uint32_t index;
    if (!num_parse_i64(text, &number) || !intset_find(&ints, number, &index)) return false;
    if (!last) keyspace_edit_intset(keys, ref, index, false);
    return true;
}

static bool remove_from_run(struct keyspace *keys, struct key_ref *ref, struct slice text, bool last) {
    struct packed run = entry_packed(ref->entry);
    struct packed_value sought = packed_value_of(text);
    const char *at = packed_find(&run, run.begin, &sought, 1);
    if (!at) return false;
    struct packed_edit edit = {.at = (size_t)(at - run.begin), .remove = (size_t)(packed_next(at) - at), .added = -1};
    if (!last) keyspace_edit_packed(keys, ref, edit);
    return true;
}

bool set_remove(struct keyspace *keys, struct key_ref *ref, struct slice text) {
    bool last = set_count(ref->entry) == 1, found;
    if (is_table(ref->entry))
        found = members_remove(store_of(keys), entry_object(ref->entry), text);
    else
        found = is_ints(ref->entry) ? remove_int(keys, ref, text, last) : remove_from_run(keys, ref, text, last);
    if (found && last) keyspace_remove(keys, ref);
    return found;
}

void set_reform(struct keyspace *keys, struct key_ref *ref) {
    const struct entry *old = ref->entry;
    struct building building = {store_of(keys), members_new(store_of(keys), &rule_of(keys)->seed)};
    set_each(old, add_member, &building);
    struct entry *fresh =
        set_new_entry(building.store, rule_of(keys), ref->key, building.members, true, entry_deadline_ms(old));
    fresh->access = old->access;
    keyspace_put_entry(keys, ref, fresh);
}

/* --- building --- */

/* The members as integers, at most `max` of them. */
struct numbers {
    int64_t *values;
    size_t count;
    uint8_t width;
};

static bool add_number(void *ctx, struct slice text) {
    struct numbers *numbers = ctx;
    int64_t value;
    if (!num_parse_i64(text, &value)) return false;
    if (numbers->values) numbers->values[numbers->count] = value;
    numbers->count++;
    numbers->width = (uint8_t)MAX(numbers->width, intset_width_of(value));
    return true;
}

static void each_member(const struct members *members, set_visit visit, void *ctx) {
    struct table_visit table = {.visit = visit, .ctx = ctx};
    uint64_t cursor = 0;
    do cursor = members_scan(members, cursor, visit_member, &table);
    while (cursor && !table.stopped);
}

static struct entry *new_ints(const struct store *store, struct slice key, const struct members *members,
                              const struct numbers *found, uint64_t deadline_ms) {
    struct numbers numbers = {.values = heap_alloc(store->heap, MEM_DATA, found->count * sizeof *numbers.values)};
    char *at;
    each_member(members, add_number, &numbers);
    intset_sort(numbers.values, numbers.count);
    struct entry *entry = entry_new_intset(store, key, found->width, (uint32_t)found->count, deadline_ms, &at);
    for (size_t i = 0; i < numbers.count; i++) intset_write(at + i * found->width, found->width, numbers.values[i]);
    heap_free(store->heap, MEM_DATA, numbers.values, found->count * sizeof *numbers.values);
    return entry;
}

struct entry *set_new_entry(const struct store *store, const struct set_rule *rule, struct slice key,
                            struct members *members, bool allow_intset, uint64_t deadline_ms) {
    uint64_t count = members_count(members);
    struct numbers numbers = {.width = 2};
    struct entry *entry = NULL;
    size_t len = 0;
    ASSERT(count > 0);
    if (allow_intset && count <= rule->intset_max) each_member(members, add_number, &numbers);
    bool is_intset = numbers.count == count;
    if (!is_intset) each_member(members, add_size, &len); /* stops early when they are too many */
    if (is_intset && 1 + count * numbers.width <= ENTRY_EMBED_MAX) {
        entry = new_ints(store, key, members, &numbers, deadline_ms);
    } else if (!is_intset && len <= SET_EMBED_MAX) {
        char *at;
        entry = entry_new_packed(store, key, TYPE_SET, (uint32_t)count, len, deadline_ms, &at);
        each_member(members, write_value, &at);
    }
    if (!entry) {
        members_set_numbers(members, is_intset);
        return entry_new_object(store, key, TYPE_SET, members, deadline_ms);
    }
    members_delete(store, members);
    return entry;
}
