/* Hash table, resize: the frontier and the arithmetic of stored bits (explained in core/hashtable.c).
 *
 * A resize has one direction only, the frontier's: bucket by bucket of the old array, each emptied whole into the one
 * to three buckets of the new array that cover the same hashes (or, when shrinking, into one that several share).
 * Look-ups go to one array or the other by comparing with the frontier, so nothing is ever in two places.
 *
 * The pace is fixed when the resize starts: the nearest count at which the new array would have to be resized again is
 * `left` inserts or removes away, so moving ceil(n / left) buckets in each finishes before. Growth by a quarter from
 * 6.3 per bucket leaves 1.5 n inserts, doubling more; a shrink from 3.2 to 5 per bucket leaves 0.8 n inserts. So it is
 * 1 or 2 buckets, and PACE_MAX is for strange hints only. */
#include "core/hashtable_priv.h"

#define PACE_MAX       8
#define SMALL_TABLE    64 /* buckets; below this a table doubles */
#define WINDOW_OVERLAP 12 /* stored bits that may repeat what the bucket's number says */
#define BUCKETS_MAX    (1ull << 32)

static unsigned log2_floor(uint64_t n) {
    return 63 - (unsigned)__builtin_clzll(n);
}

unsigned ht_window_for(uint64_t buckets, unsigned window) {
    unsigned best = log2_floor(buckets);
    return window > best || best - window > WINDOW_OVERLAP ? best : window;
}

bool ht_may_double(uint64_t buckets) {
    return buckets < 2 * SMALL_TABLE;
}

uint64_t ht_grown(uint64_t buckets) {
    return buckets < SMALL_TABLE ? buckets * 2 : buckets + buckets / 4;
}

uint64_t ht_border(uint64_t i, uint64_t buckets) {
    if (i < 1u << 16) return ((i << 48) + buckets - 1) / buckets << 16;
    return (uint64_t)((((unsigned __int128)i << 48) + buckets - 1) / buckets) << 16;
}

/* Half-open at the top would need 2^64, so both ends belong to the interval. */
bool ht_deduce(uint32_t stored, unsigned window, uint64_t low, uint64_t high, uint64_t buckets, uint64_t *index,
               uint64_t *known) {
    unsigned shift = 64 - HT_WINDOW_BITS - window; /* a granule is 2^shift hashes */
    const uint64_t period = 1ull << HT_WINDOW_BITS;
    uint64_t first = low >> shift;
    uint64_t granule = first + ((stored - first) & (period - 1));
    ASSERT(granule <= high >> shift);
    /* Only one granule can be meant, also when n is hardly above 2^window and the interval nearly a whole period: from
     * 2^24 buckets on granules are no larger than 2^16, so borders do not cut them; below, n > 2^window makes the
     * interval at least one granule shorter than a period. */
    ASSERT(granule + period > high >> shift);
    uint64_t from = MAX(granule << shift, low);
    uint64_t to = MIN((granule << shift) + ((1ull << shift) - 1), high);
    *known = from;
    *index = ht_index(from, buckets);
    return *index == ht_index(to, buckets);
}

/* --- one resize --- */

static unsigned pace_for(const struct hashtable *table) {
    uint64_t grow_at = table->grow_at, shrink_at = table->shrink_at; /* of the new array, by now */
    uint64_t left = grow_at > table->count ? grow_at - table->count : 1;
    if (shrink_at != 0) left = MIN(left, table->count > shrink_at ? table->count - shrink_at : 1);
    uint64_t pace = table->arrays[0].buckets / left + 1;
    return (unsigned)MIN(pace, (uint64_t)PACE_MAX);
}

void ht_resize_start(struct hashtable *table, uint64_t buckets) {
    ASSERT(!ht_resizing(table));
    buckets = MAX(buckets, table->expected / 5);
    buckets = MIN(buckets, BUCKETS_MAX);
    if (buckets == table->arrays[0].buckets) return;
    struct ht_array *to = &table->arrays[1];
    ht_array_init(table, to, buckets, ht_window_for(buckets, table->arrays[0].window));
    table->frontier = table->moved = table->entered = 0;

    struct ht_array old = table->arrays[0];
    table->arrays[0].buckets = buckets; /* limits are those of the new array from now on */
    ht_set_limits(table);
    table->arrays[0].buckets = old.buckets;
    table->pace = pace_for(table);
}

static void resize_finish(struct hashtable *table) {
    ht_directory_release(table, &table->arrays[0]); /* the frontier released the segments as it left them */
    struct ht_array *array = &table->arrays[0];
    *array = table->arrays[1];
    if (array->segments == &table->arrays[1].only) array->segments = &array->only;
    table->arrays[1] = (struct ht_array){0};
    table->frontier = table->moved = table->entered = 0;
}

struct move {
    struct ht_array *from, *to;
    uint64_t low, high; /* the hashes of the bucket that moves, both ends included */
    uint32_t due;
    bool slides; /* the new window begins lower: its last bits are not stored */
};

static void move_entry(struct hashtable *table, const struct move *move, uint32_t stored, ht_slot slot) {
    uint64_t index, hash;
    if (UNLIKELY(move->slides ||
                 !ht_deduce(stored, move->from->window, move->low, move->high, move->to->buckets, &index, &hash))) {
        hash = table->type->rehash(table->ctx, ht_entry(slot));
        ASSERT(hash >= move->low && hash <= move->high);
        index = ht_index(hash, move->to->buckets);
    }
    uint32_t window = ht_window(hash, move->to->window);
    ht_put(table, move->to, index, (uint8_t)window, (slot & 0x0000FFFFFFFFFFFFull) | (uint64_t)(window >> 8) << 48);
    if ((slot & HT_TIMED) != 0 && move->due != UINT32_MAX) ht_due_note(table, move->to, index, move->due);
}

static void move_bucket(struct hashtable *table, const struct move *move, struct ht_bucket *first) {
    struct ht_bucket *bucket = first;
    for (bool last = false; !last;) {
        for (unsigned i = 0; i < ht_used(bucket); i++)
            move_entry(table, move, ht_stored_window(bucket, i), bucket->slots[i]);
        struct ht_bucket *done = bucket;
        last = !ht_chained(bucket);
        bucket = ht_next(bucket); /* not an address when last */
        if (done != first) ht_overflow_free(table, done);
    }
    first->meta = 0;
}

/* What the next step will read. A sliding window reads the entries as well. */
static void prefetch_ahead(const struct hashtable *table, const struct move *move) {
    uint64_t next = table->moved;
    if ((next & (HT_SEGMENT - 1)) == 0) return; /* another segment; the hardware finds it soon enough */
    const struct ht_bucket *bucket = ht_bucket_at(move->from, next);
    __builtin_prefetch(bucket + 1);
    if (!move->slides) return;
    for (unsigned i = 0; i < ht_used(bucket); i++) __builtin_prefetch(ht_entry(bucket->slots[i]));
}

/* Moves the bucket at the frontier; a whole segment at once if that has no entries. */
static void advance(struct hashtable *table) {
    struct move move = {.from = &table->arrays[0], .to = &table->arrays[1]};
    uint64_t index = table->moved, s = index >> HT_SEGMENT_BITS;
    struct ht_bucket *segment = move.from->segments[s];
    bool empty = ht_is_empty(segment);
    uint64_t end = empty ? s * HT_SEGMENT + ht_segment_size(move.from, s) : index + 1;
    uint64_t border = ht_border(end, move.from->buckets);
    move.low = table->frontier;
    move.high = border - 1;
    move.slides = move.to->window > move.from->window;

    uint64_t last = ht_index(move.high, move.to->buckets) >> HT_SEGMENT_BITS;
    while (table->entered <= last)
        move.to->segments[table->entered++] = (struct ht_bucket *)(uintptr_t)ht_empty_segment;
    if (!empty) {
        move.due = ht_due_bound(move.from, index);
        move_bucket(table, &move, &segment[index & (HT_SEGMENT - 1)]);
    }
    table->moved = end;
    table->frontier = border;
    if ((end & (HT_SEGMENT - 1)) == 0 || end == move.from->buckets) ht_segment_release(table, move.from, s);
    if (end == move.from->buckets)
        resize_finish(table);
    else
        prefetch_ahead(table, &move);
}

bool hashtable_step(struct hashtable *table, unsigned buckets) {
    for (; buckets != 0 && ht_resizing(table); buckets--) advance(table);
    return ht_resizing(table);
}
