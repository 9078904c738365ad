/* Hash table, deadlines: who is due, without a list.
 *
 *   segment    min, a lower bound of its groups           256 groups, lazily allocated: 1 KiB per segment, 0.2 bytes
 *   group      a lower bound of the deadlines of the timed entries in 4 buckets          per entry
 *
 * A bound may be too low, never too high: notes only lower it, a resize copies the old group's bound to the groups its
 * timed entries go to, and removing or re-dating an entry leaves it. When a group's time has come its timed entries
 * are read (prefetched, they are about 20) and its bound becomes exact, so a bound that is too low costs one look.
 *
 * hashtable_due walks hash space like a scan. A round visits every hash once whatever the frontier does between calls,
 * because the position is a hash and the group that holds it is looked at whole. */
#include "core/hashtable_priv.h"

#define GROUPS_PER_SEGMENT (HT_SEGMENT / HT_GROUP)

static uint64_t group_count(const struct ht_array *array, uint64_t s) {
    return (ht_segment_size(array, s) + HT_GROUP - 1) / HT_GROUP;
}

static size_t group_bytes(const struct ht_array *array, uint64_t s) {
    return (group_count(array, s) * sizeof(uint32_t) + 7) & ~(size_t)7;
}

COLD static void due_new(struct hashtable *table, struct ht_array *array, uint64_t s) {
    if (array->due == NULL) {
        size_t size = ht_segment_count(array) * sizeof *array->due;
        array->due = heap_alloc_zero(table->heap, MEM_INDEX, size);
        table->bytes += heap_block_size(size);
    }
    if (array->due[s].groups != NULL) return;
    array->due[s].groups = ht_take(table, group_bytes(array, s));
    memset(array->due[s].groups, 0xFF, group_bytes(array, s));
    array->due[s].min = UINT32_MAX;
}

void ht_due_release(struct hashtable *table, struct ht_array *array, uint64_t s) {
    if (array->due == NULL || array->due[s].groups == NULL) return;
    ht_give_back(table, array->due[s].groups, group_bytes(array, s));
    array->due[s].groups = NULL;
}

void ht_due_move(struct hashtable *table, struct ht_array *array, uint64_t s) {
    if (array->due == NULL || array->due[s].groups == NULL) return;
    array->due[s].groups = ht_moved(table, array->due[s].groups, group_bytes(array, s));
}

void ht_due_note(struct hashtable *table, struct ht_array *array, uint64_t index, uint32_t when_s) {
    uint64_t s = index >> HT_SEGMENT_BITS;
    if (UNLIKELY(array->due == NULL || array->due[s].groups == NULL)) due_new(table, array, s);
    struct ht_due *due = &array->due[s];
    uint32_t *group = &due->groups[(index & (HT_SEGMENT - 1)) / HT_GROUP];
    *group = MIN(*group, when_s);
    due->min = MIN(due->min, when_s);
}

void hashtable_note_deadline(struct hashtable *table, uint64_t hash, uint32_t when_s) {
    struct ht_array *array = &table->arrays[hash < table->frontier];
    ht_due_note(table, array, ht_index(hash, array->buckets), when_s);
}

/* --- looking at a group --- */

struct look {
    struct hashtable *table;
    uint32_t now_s;
    void **out;
    size_t found, max;
    unsigned groups; /* how many may still be looked at */
};

static void prefetch_timed(const struct ht_bucket *bucket) {
    for (;; bucket = ht_next(bucket)) {
        for (unsigned i = 0; i < ht_used(bucket); i++)
            if (bucket->slots[i] & HT_TIMED) __builtin_prefetch(ht_entry(bucket->slots[i]));
        if (!ht_chained(bucket)) return;
    }
}

/* The earliest deadline that stays in this chain; what is due and does not fit into out stays. */
static uint32_t look_at_chain(struct look *look, const struct ht_bucket *bucket, uint32_t earliest) {
    struct hashtable *table = look->table;
    for (;; bucket = ht_next(bucket)) {
        for (unsigned i = 0; i < ht_used(bucket); i++) {
            if ((bucket->slots[i] & HT_TIMED) == 0) continue;
            void *entry = ht_entry(bucket->slots[i]);
            uint32_t deadline = table->type->deadline_s(table->ctx, entry);
            if (deadline <= look->now_s && look->found < look->max)
                look->out[look->found++] = entry;
            else
                earliest = MIN(earliest, deadline);
        }
        if (!ht_chained(bucket)) return earliest;
    }
}

static uint32_t look_at_group(struct look *look, const struct ht_bucket *buckets, uint64_t count) {
    uint32_t earliest = UINT32_MAX;
    for (uint64_t b = 0; b < count; b++) prefetch_timed(&buckets[b]);
    for (uint64_t b = 0; b < count; b++) earliest = look_at_chain(look, &buckets[b], earliest);
    return earliest;
}

/* --- a round --- */

/* Looks at the due groups of one segment from group *g on; false, with *g where it stopped, at a limit. Sets the
 * segment's bound when it got through. */
static bool look_at_segment(struct look *look, struct ht_array *array, uint64_t s, uint64_t *g) {
    struct ht_due *due = &array->due[s];
    uint64_t groups = group_count(array, s), size = ht_segment_size(array, s);
    for (; *g < groups; ++*g) {
        if (due->groups[*g] > look->now_s) continue;
        if (look->groups == 0 || look->found == look->max) return false;
        look->groups--;
        uint64_t first = *g * HT_GROUP;
        due->groups[*g] = look_at_group(look, &array->segments[s][first], MIN((uint64_t)HT_GROUP, size - first));
        if (due->groups[*g] <= look->now_s) return false; /* out is full */
    }
    uint32_t min = UINT32_MAX;
    for (uint64_t i = 0; i < groups; i++) min = MIN(min, due->groups[i]);
    due->min = min;
    return true;
}

/* Walks [hash, 2^64); answers where it stopped, 0 at the end. */
static uint64_t look_from(struct look *look, uint64_t hash, bool *stopped) {
    struct hashtable *table = look->table;
    for (unsigned a = hash < table->frontier ? 2 : 1; a-- > 0; hash = table->frontier) {
        struct ht_array *array = &table->arrays[a];
        uint64_t start = ht_index(hash, array->buckets), limit = ht_place_limit(table, array);
        if (array->due == NULL) continue;
        uint64_t g = (start & (HT_SEGMENT - 1)) / HT_GROUP;
        for (uint64_t s = start >> HT_SEGMENT_BITS; s * HT_SEGMENT < limit; s++, g = 0) {
            if (array->due[s].groups == NULL || array->due[s].min > look->now_s) continue;
            if (look_at_segment(look, array, s, &g)) continue;
            *stopped = true;
            uint64_t border = ht_border(s * HT_SEGMENT + g * HT_GROUP, array->buckets);
            return a == 0 ? MAX(border, table->frontier) : border;
        }
    }
    return 0;
}

size_t hashtable_due(struct hashtable *table, uint32_t now_s, uint64_t *cursor, unsigned groups, void **out, size_t max,
                     bool *more) {
    now_s = MIN(now_s, UINT32_MAX - 1); /* the last second stands for never */
    struct look look = {.table = table, .now_s = now_s, .out = out, .max = max, .groups = groups};
    *more = false;
    uint64_t hash = look_from(&look, *cursor, more);
    if (!*more && *cursor != 0) hash = look_from(&look, 0, more);
    *cursor = hash;
    return look.found;
}

uint32_t hashtable_next_deadline(const struct hashtable *table) {
    uint32_t earliest = UINT32_MAX;
    for (unsigned a = 0; a < ARRAY_LEN(table->arrays); a++) {
        const struct ht_array *array = &table->arrays[a];
        if (array->due == NULL) continue;
        for (uint64_t s = 0; s < ht_segment_count(array); s++)
            if (array->due[s].groups != NULL) earliest = MIN(earliest, array->due[s].min);
    }
    return earliest;
}
