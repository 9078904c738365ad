/* Hash table, checks and statistics: a walk over every bucket of both arrays. */
#include "core/hashtable_priv.h"

struct census {
    const struct hashtable *table;
    const struct ht_array *array;
    uint64_t index;
    uint64_t entries, overflow_buckets, overflow_entries, longest;
};

/* Only the first overflow bucket may have room; a chain is there only when it is needed. */
static void check_chain(const struct ht_bucket *first) {
    if (!ht_chained(first)) {
        ASSERT(first->meta <= HT_SLOTS);
        return;
    }
    ASSERT(ht_used(first) == HT_SLOTS - 1);
    const struct ht_bucket *overflow = ht_next(first);
    ASSERT(ht_used(overflow) >= (ht_chained(overflow) ? 1u : 2u));
    ASSERT(!ht_chained(overflow) || ht_used(overflow) < HT_SLOTS);
    while (ht_chained(overflow)) {
        overflow = ht_next(overflow);
        ASSERT(ht_used(overflow) == (ht_chained(overflow) ? HT_SLOTS - 1 : HT_SLOTS));
    }
}

static void check_entry(const struct census *census, const struct ht_bucket *bucket, unsigned i) {
    const struct hashtable *table = census->table;
    const struct ht_array *array = census->array;
    void *entry = ht_entry(bucket->slots[i]);
    ASSERT(entry != NULL);
    uint64_t hash = table->type->rehash(table->ctx, entry);
    ASSERT(array == ht_array_of(table, hash));
    ASSERT(census->index == ht_index(hash, array->buckets));
    ASSERT(ht_stored_window(bucket, i) == ht_window(hash, array->window));
    if ((bucket->slots[i] & HT_TIMED) == 0 || table->type->deadline_s == NULL) return;
    ASSERT(ht_due_bound(array, census->index) <= table->type->deadline_s(table->ctx, entry));
}

static void count_chain(struct census *census, const struct ht_bucket *first, bool check) {
    if (check) check_chain(first);
    uint64_t length = 0;
    for (const struct ht_bucket *bucket = first;; bucket = ht_next(bucket)) {
        for (unsigned i = 0; check && i < ht_used(bucket); i++) check_entry(census, bucket, i);
        length += ht_used(bucket);
        census->overflow_buckets += bucket != first;
        if (bucket != first) census->overflow_entries += ht_used(bucket);
        if (!ht_chained(bucket)) break;
    }
    census->entries += length;
    census->longest = MAX(census->longest, length);
}

static void count_array(struct census *census, const struct ht_array *array, bool check) {
    census->array = array;
    for (uint64_t s = 0; s < ht_segment_count(array); s++) {
        const struct ht_bucket *segment = array->segments[s];
        if (segment == NULL || ht_is_empty(segment)) continue;
        for (uint64_t b = 0; b < ht_segment_size(array, s); b++) {
            census->index = s * HT_SEGMENT + b;
            count_chain(census, &segment[b], check);
        }
    }
}

static void check_bounds(const struct ht_array *array) {
    for (uint64_t s = 0; array->due != NULL && s < ht_segment_count(array); s++) {
        const struct ht_due *due = &array->due[s];
        if (due->groups == NULL) continue;
        uint64_t groups = (ht_segment_size(array, s) + HT_GROUP - 1) / HT_GROUP;
        for (uint64_t g = 0; g < groups; g++) ASSERT(due->min <= due->groups[g]);
    }
}

static void check_frontier(const struct hashtable *table) {
    const struct ht_array *old = &table->arrays[0], *new = &table->arrays[1];
    if (!ht_resizing(table)) {
        ASSERT(table->frontier == 0 && table->moved == 0 && table->entered == 0);
        return;
    }
    ASSERT(table->moved < old->buckets);
    ASSERT(table->frontier == ht_border(table->moved, old->buckets));
    ASSERT(table->moved == 0 || ht_index(table->frontier - 1, old->buckets) == table->moved - 1);
    uint64_t limit = table->frontier == 0 ? 0 : ht_index(table->frontier - 1, new->buckets) + 1;
    ASSERT(table->entered == (limit + HT_SEGMENT - 1) / HT_SEGMENT);
    for (uint64_t s = 0; s < table->moved / HT_SEGMENT; s++) ASSERT(ht_is_empty(old->segments[s]));
}

void hashtable_check(const struct hashtable *table) {
    struct census census = {.table = table};
    check_frontier(table);
    for (unsigned a = 0; a < ARRAY_LEN(table->arrays); a++) {
        const struct ht_array *array = &table->arrays[a];
        if (array->buckets == 0) continue;
        ASSERT(array->buckets >> array->window != 0);
        count_array(&census, array, true);
        check_bounds(array);
    }
    ASSERT(census.entries == table->count);
    ASSERT(census.overflow_buckets == table->overflow_buckets);
}

void hashtable_stats(const struct hashtable *table, struct hashtable_stats *out) {
    struct census census = {.table = table};
    *out = (struct hashtable_stats){.resizing = ht_resizing(table)};
    for (unsigned a = 0; a < ARRAY_LEN(table->arrays); a++) {
        if (table->arrays[a].buckets == 0) continue;
        count_array(&census, &table->arrays[a], false);
        out->buckets += a == 0 ? table->arrays[a].buckets - table->moved : ht_place_limit(table, &table->arrays[a]);
    }
    out->overflow_buckets = census.overflow_buckets;
    out->overflow_entries = census.overflow_entries;
    out->longest_chain = census.longest;
}
