/* Hash table, sampling: some entries that lie together, for who looks for one to do without.
 *
 * Samples are taken on a walk through hash space and not at random places. Hashes are random, so neighbours are as good
 * a sample as any; but buckets that follow each other are in cache before they are asked for, and on a walk every entry
 * comes by once in a round, none twice and none never.
 *
 * Timed entries may be rare: one in a million keys. The bounds of core/hashtable_due.c say where there are any, so the
 * walk steps over whole segments and groups. A bound that is set for entries that are gone is taken back here, when the
 * group was seen to hold none. */
#include "core/hashtable_priv.h"

/* Segments, groups and buckets that one call may look at in vain: some microseconds. */
#define LOOKS 2048

struct sample {
    struct hashtable *table;
    void **out;
    size_t found, max;
};

/* Entries whose slot has all of `flags`; those beyond max are passed over. */
static bool take_chain(struct sample *sample, const struct ht_bucket *bucket, unsigned flags) {
    bool any = false;
    for (;; bucket = ht_next(bucket)) {
        for (unsigned i = 0; i < ht_used(bucket); i++) {
            if ((bucket->slots[i] & flags) != flags) continue;
            any = true;
            void *entry = ht_entry(bucket->slots[i]);
            __builtin_prefetch(entry);
            if (sample->found < sample->max) sample->out[sample->found++] = entry;
        }
        if (!ht_chained(bucket)) return any;
    }
}

/* Where bucket `index` begins, or the frontier where that comes first; for the array that `place` is in. */
static uint64_t end_at(const struct hashtable *table, const struct ht_place *place, uint64_t index) {
    uint64_t end = ht_border(MIN(index, place->array->buckets), place->array->buckets);
    bool below = place->array == &table->arrays[1];
    return below && end - 1 >= table->frontier ? table->frontier : end;
}

/* Looks at what is at the place, and returns where the next look begins. */
static uint64_t look_at_any(struct sample *sample, const struct ht_place *place) {
    const struct ht_bucket *segment = place->array->segments[place->index >> HT_SEGMENT_BITS];
    if (ht_is_empty(segment)) return end_at(sample->table, place, (place->index | (HT_SEGMENT - 1)) + 1);
    const struct ht_bucket *bucket = &segment[place->index & (HT_SEGMENT - 1)];
    __builtin_prefetch(bucket + 1);
    take_chain(sample, bucket, 0);
    return place->end;
}

static uint64_t look_at_timed(struct sample *sample, const struct ht_place *place) {
    uint64_t s = place->index >> HT_SEGMENT_BITS, at = place->index & (HT_SEGMENT - 1);
    struct ht_due *due = place->array->due;
    if (due == NULL) return end_at(sample->table, place, place->array->buckets);
    if (due[s].groups == NULL) return end_at(sample->table, place, (place->index | (HT_SEGMENT - 1)) + 1);
    uint64_t first = at / HT_GROUP * HT_GROUP, next = s * HT_SEGMENT + first + HT_GROUP;
    uint32_t *bound = &due[s].groups[at / HT_GROUP];
    if (*bound != UINT32_MAX) {
        bool any = false;
        uint64_t size = MIN((uint64_t)HT_GROUP, ht_segment_size(place->array, s) - first);
        for (uint64_t i = 0; i < size; i++) any |= take_chain(sample, &place->array->segments[s][first + i], HT_TIMED);
        if (!any) *bound = UINT32_MAX;
    }
    return end_at(sample->table, place, next);
}

size_t hashtable_sample(struct hashtable *table, uint64_t *position, bool timed, size_t want, void **out, size_t max) {
    struct sample sample = {.table = table, .out = out, .max = max};
    ASSERT(want != 0 && want <= max);
    if (table->count == 0) return 0;
    for (unsigned looks = 0; looks < LOOKS && sample.found < want; looks++) {
        struct ht_place place = ht_place_at(table, *position);
        *position = timed ? look_at_timed(&sample, &place) : look_at_any(&sample, &place);
    }
    return sample.found;
}
