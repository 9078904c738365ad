/* Hash table against a naive twin: the twin is the list of live entries, so what the table should answer is known at
 * every step. Random operations on hashes of several kinds (good ones, and those an adversary would choose), with
 * scans and expiry rounds running between them; every seed is printed and SHERD_SEED=n repeats one.
 * Further: fair random choice, memory that comes back, the pace of resizes, moves that do not read entries. */
#include "core/hashtable_priv.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct entry {
    uint64_t hash;
    uint32_t deadline; /* 0: none */
    bool live;
    uint32_t place; /* in world.live */
    uint32_t seen;  /* by the scan that is running */
    bool sampled;   /* in the round of samples that is running */
    uint32_t scan;  /* number of the first scan that began after it was inserted */
};

struct world {
    struct prng prng;
    struct heap *heap;
    struct slab *slab;
    struct hashtable *table;
    struct entry *entries;
    struct entry **live;
    uint32_t count, limit;
    int hashes; /* which kind */
    uint64_t rehashes;

    uint32_t scan; /* number of the running scan */
    uint64_t cursor;
    bool scan_resized;
    uint64_t scan_calls;

    uint32_t now_s;
    uint64_t due_cursor;
};

static uint64_t rehash(void *ctx, const void *entry) {
    if (ctx != NULL) ((struct world *)ctx)->rehashes++;
    return ((const struct entry *)entry)->hash;
}
static uint32_t deadline_s(void *ctx, const void *entry) {
    (void)ctx;
    return ((const struct entry *)entry)->deadline;
}
static const struct hashtable_type type = {rehash, deadline_s};

static bool same(const void *entry, const void *key) {
    return entry == key;
}

enum { GOOD, TOP_EQUAL, ALL_EQUAL, LOW_BITS, EXTREMES, CLUSTERS, BORDERS, KINDS };

static uint64_t make_hash(struct world *w) {
    uint64_t r = prng_next(&w->prng);
    switch (w->hashes) {
    case TOP_EQUAL: return 0xABCDEF1200000000ull | r >> 32;
    case ALL_EQUAL: return 0x123456789ABCDEF0ull;
    case LOW_BITS: return 0x5555555555550000ull | (r & 0xFFFF);
    case EXTREMES: return r & 1 ? 0 - (r >> 60) : r >> 60;
    case CLUSTERS: return (r & 15) << 60 | r >> 30;
    case BORDERS: return (r % 97 * (UINT64_MAX / 96)) + (r >> 62) - 1;
    default: return r;
    }
}

static void world_init(struct world *w, uint64_t seed, uint32_t limit, int hashes) {
    *w = (struct world){.limit = limit, .hashes = hashes, .now_s = 1000};
    prng_init(&w->prng, seed);
    w->heap = heap_new();
    w->slab = seed % 3 == 0 ? NULL : slab_new(w->heap, MEM_INDEX);
    w->table = hashtable_new(w->heap, w->slab, &type, w);
    w->entries = calloc(limit, sizeof *w->entries);
    w->live = calloc(limit, sizeof(struct entry *));
    for (uint32_t i = 0; i < limit; i++) w->entries[i].hash = make_hash(w);
}

static void world_deinit(struct world *w) {
    hashtable_delete(w->table, NULL);
    if (w->slab != NULL) assert_int_equal(slab_used_bytes(w->slab), 0);
    slab_delete(w->slab);
    assert_int_equal(heap_used(w->heap, MEM_INDEX), 0);
    heap_delete(w->heap);
    free(w->entries);
    free(w->live);
}

static bool resizing(const struct world *w) {
    return w->table->arrays[1].buckets != 0;
}

static ht_slot *find(struct world *w, const struct entry *e) {
    ht_prefetch_bucket(w->table, e->hash);
    ht_prefetch_entry(w->table, e->hash);
    ht_slot *slot = ht_find(w->table, e->hash, same, e);
    assert_true(slot == hashtable_find(w->table, e->hash, same, e));
    return slot;
}

static void date(struct world *w, struct entry *e, ht_slot *slot) {
    e->deadline = prng_below(&w->prng, 3) == 0 ? 0 : w->now_s + (uint32_t)prng_below(&w->prng, 50);
    ht_replace(slot, e, (ht_flags(*slot) & ~HT_TIMED) | (e->deadline != 0 ? HT_TIMED : 0));
    if (e->deadline != 0) hashtable_note_deadline(w->table, e->hash, e->deadline);
}

static void insert(struct world *w, struct entry *e) {
    assert_null(find(w, e));
    ht_slot *slot = hashtable_insert(w->table, e->hash, e, 2);
    assert_ptr_equal(ht_entry(*slot), e);
    assert_int_equal(ht_flags(*slot), 2);
    e->live = true;
    e->place = w->count;
    e->scan = w->scan + 1;
    e->seen = 0;
    w->live[w->count++] = e;
    date(w, e, slot);
}

static void removed(struct world *w, struct entry *e) {
    e->live = false;
    w->live[e->place] = w->live[--w->count];
    w->live[e->place]->place = e->place;
}

static void remove_entry(struct world *w, struct entry *e) {
    ht_slot *slot = find(w, e);
    assert_non_null(slot);
    hashtable_remove(w->table, e->hash, slot);
    removed(w, e);
}

static struct entry *any(struct world *w) {
    return &w->entries[prng_below(&w->prng, w->limit)];
}
static struct entry *any_live(struct world *w) {
    return w->live[prng_below(&w->prng, w->count)];
}

/* --- scan: all that was there from its first call to its last --- */

static void see(void *ctx, void *entry, unsigned flags) {
    (void)ctx;
    struct entry *e = entry;
    assert_true(e->live);
    assert_int_equal((flags & HT_TIMED) != 0, e->deadline != 0);
    e->seen++;
}

static void scan_step(struct world *w) {
    if (w->cursor == 0) { /* a new one */
        w->scan++;
        w->scan_resized = false;
        w->scan_calls = 0;
        for (uint32_t i = 0; i < w->count; i++) w->live[i]->seen = 0;
    }
    w->scan_resized |= resizing(w);
    uint64_t next = hashtable_scan(w->table, w->cursor, see, w);
    assert_true(next == 0 || next > w->cursor);
    assert_true(next < 1ull << HT_CURSOR_BITS);
    w->cursor = next;
    w->scan_calls++;
    if (next != 0) return;
    for (uint32_t i = 0; i < w->count; i++) {
        struct entry *e = w->live[i];
        if (e->scan > w->scan) continue;
        if (e->seen == 0) fail_msg("scan %u missed hash %016llx", w->scan, (unsigned long long)e->hash);
    }
}

/* On its own the scan sees everything exactly once, also when a resize stands still half way. */
static void scan_at_rest(struct world *w) {
    w->cursor = 0;
    do scan_step(w);
    while (w->cursor != 0);
    for (uint32_t i = 0; i < w->count; i++) assert_int_equal(w->live[i]->seen, 1);
}

/* --- expiry: all that is due, nothing else --- */

static void expire(struct world *w) {
    w->now_s += (uint32_t)prng_below(&w->prng, 8);
    if (prng_below(&w->prng, 2) == 0) w->due_cursor = prng_next(&w->prng); /* any value will do */
    void *out[20];
    bool more = true;
    for (unsigned rounds = 0; more; rounds++) {
        assert_true(rounds < 10 * w->limit + 100);
        size_t found = hashtable_due(w->table, w->now_s, &w->due_cursor, 1 + (unsigned)prng_below(&w->prng, 5), out,
                                     1 + prng_below(&w->prng, 20), &more);
        for (size_t i = 0; i < found; i++) {
            struct entry *e = out[i];
            assert_true(e->live && e->deadline != 0 && e->deadline <= w->now_s);
            if (prng_below(&w->prng, 5) == 0) { /* dated anew instead of removed */
                ht_slot *slot = find(w, e);
                e->deadline = w->now_s + 1 + (uint32_t)prng_below(&w->prng, 10);
                hashtable_note_deadline(w->table, e->hash, e->deadline);
                assert_int_equal(ht_flags(*slot) & HT_TIMED, HT_TIMED);
            } else {
                remove_entry(w, e);
            }
        }
        if (prng_below(&w->prng, 4) == 0) hashtable_step(w->table, 1);
    }
    uint32_t next = hashtable_next_deadline(w->table);
    for (uint32_t i = 0; i < w->count; i++) {
        const struct entry *e = w->live[i];
        if (e->deadline != 0 && (e->deadline <= w->now_s || e->deadline < next))
            fail_msg("deadline %u at %u, next %u", e->deadline, w->now_s, next);
    }
}

/* Once round the table by samples, from anywhere: every entry comes by, and of those asked for only. */
static void sample_round(struct world *w, bool timed) {
    void **out = malloc((w->limit + 1) * sizeof *out);
    uint64_t position = prng_next(&w->prng), begin = position;
    unsigned wraps = 0;
    for (uint32_t i = 0; i < w->count; i++) w->live[i]->sampled = false;
    while (w->count != 0 && (wraps == 0 || (wraps == 1 && position < begin))) {
        uint64_t before = position;
        size_t want = 1 + prng_below(&w->prng, MIN(w->limit, 20u));
        size_t found = hashtable_sample(w->table, &position, timed, want, out, w->limit + 1);
        wraps += position <= before;
        for (size_t i = 0; i < found; i++) {
            struct entry *e = out[i];
            assert_true(e->live && (!timed || e->deadline != 0));
            e->sampled = true;
        }
    }
    for (uint32_t i = 0; i < w->count; i++)
        if (!timed || w->live[i]->deadline != 0) assert_true(w->live[i]->sampled);
    free(out);
}

static void drain(struct world *w) {
    void *out[64];
    uint64_t position = 0;
    size_t taken;
    while ((taken = hashtable_drain(w->table, &position, out, 1 + prng_below(&w->prng, 64))) != 0) {
        for (size_t i = 0; i < taken; i++) {
            struct entry *e = out[i];
            assert_true(e->live);
            assert_null(find(w, e));
            removed(w, e);
        }
    }
    assert_int_equal(w->count, 0);
    assert_null(hashtable_random(w->table, &w->prng));
    w->cursor = 0;
}

static void change(struct world *w, unsigned bias) {
    struct entry *e = any(w);
    uint64_t dice = prng_below(&w->prng, 100);
    if (dice < 80) {
        if (prng_below(&w->prng, 100) < bias) {
            if (!e->live) insert(w, e);
        } else if (w->count != 0) {
            remove_entry(w, any_live(w));
        }
    } else if (dice < 95) {
        ht_slot *slot = find(w, e);
        assert_int_equal(slot != NULL, e->live);
        if (slot != NULL) date(w, e, slot);
    } else if (dice < 97) {
        hashtable_step(w->table, (unsigned)prng_below(&w->prng, 5));
    } else if (w->count != 0) {
        struct entry *chosen = hashtable_random(w->table, &w->prng);
        assert_true(chosen->live);
    }
}

static void model(uint64_t seed, uint32_t limit, int hashes, unsigned ops) {
    struct world w;
    world_init(&w, seed, limit, hashes);
    unsigned bias = 70, calm = MAX(ops / 12, 1u);
    for (unsigned op = 0; op < ops; op++) {
        if (op % calm == 0) {
            bias = (unsigned)prng_below(&w.prng, 100);
            hashtable_check(w.table);
            scan_at_rest(&w);
            sample_round(&w, prng_below(&w.prng, 2) == 0);
            if (prng_below(&w.prng, 6) == 0) drain(&w);
            if (prng_below(&w.prng, 8) == 0) hashtable_expect(w.table, prng_below(&w.prng, 2 * limit));
        }
        change(&w, bias);
        if (prng_below(&w.prng, 4) == 0) scan_step(&w);
        if (prng_below(&w.prng, calm) == 0) expire(&w);
        assert_int_equal(hashtable_count(w.table), w.count);
    }
    hashtable_check(w.table);
    while (w.count != 0) remove_entry(&w, any_live(&w));
    hashtable_check(w.table);
    world_deinit(&w);
}

static void model_small(void **state) {
    (void)state;
    uint64_t first = seed_or(1), last = seed_given() ? first : 2000;
    for (uint64_t seed = first; seed <= last; seed++) {
        if (seed % 100 == 0 || seed_given()) printf("seed %llu\n", (unsigned long long)seed);
        static const uint32_t limits[] = {3, 20, 60, 300, 1000};
        uint32_t limit = limits[seed / KINDS % ARRAY_LEN(limits)];
        model(seed, limit, (int)(seed % KINDS), 200 + limit * 4);
    }
}

static void model_large(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        printf("seed %llu\n", (unsigned long long)seed);
        model(seed, 60000, seed == 4 ? CLUSTERS : seed == 5 ? BORDERS : GOOD, seed == 5 ? 30000 : 300000);
    }
}

/* --- a million entries --- */

/* Resizes always finish before the next is due, loads stay in range, hardly a move reads an entry. */
static void million(void **state) {
    (void)state;
    enum { COUNT = 1000000 };
    struct world w;
    world_init(&w, 4, COUNT, GOOD);
    uint64_t rehashes_at_100k = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct entry *e = &w.entries[i];
        hashtable_insert(w.table, e->hash, e, 0);
        e->live = true;
        if (resizing(&w)) assert_true(w.table->count <= w.table->grow_at);
        if (i == 100000) rehashes_at_100k = w.rehashes;
    }
    /* the window slid once, at 2^13 buckets; later it had at least 12 bits to spare */
    assert_true(rehashes_at_100k < 60000);
    assert_true(w.rehashes - rehashes_at_100k < 5 * COUNT / 1000);
    for (uint32_t i = 0; i < COUNT; i++) {
        const struct entry *e = &w.entries[i];
        ht_slot *slot = ht_find(w.table, e->hash, same, e);
        if (slot == NULL || ht_entry(*slot) != e) fail_msg("entry %u", i);
    }
    hashtable_check(w.table);
    struct hashtable_stats stats;
    hashtable_stats(w.table, &stats);
    printf("%u entries: %.2f bytes each, %.2f per bucket, %.3f in overflow buckets, longest chain "
           "%llu\n",
           COUNT, (double)hashtable_bytes(w.table) / COUNT, COUNT / (double)stats.buckets,
           (double)stats.overflow_entries / COUNT, (unsigned long long)stats.longest_chain);
    assert_true(hashtable_bytes(w.table) < 15 * COUNT);

    uint64_t before = w.rehashes;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct entry *e = &w.entries[i];
        hashtable_remove(w.table, e->hash, ht_find(w.table, e->hash, same, e));
        e->live = false;
        if (resizing(&w)) assert_true(w.table->count >= w.table->shrink_at);
    }
    assert_true(w.rehashes - before < 5 * COUNT / 1000);
    hashtable_check(w.table);
    assert_true(hashtable_bytes(w.table) < 1024);
    world_deinit(&w);
}

/* A shrink that meets a surge of inserts, and growth that meets a wave of removes, still finish in time. */
static void pace_when_the_wind_turns(void **state) {
    (void)state;
    enum { COUNT = 100000 };
    struct world w;
    world_init(&w, 6, COUNT, GOOD);
    uint32_t shrinks = 0;
    for (uint32_t base = 2000; base < COUNT / 4; base = base * 3 / 2) {
        while (w.count < COUNT / 2) insert(&w, &w.entries[w.count]);
        while (w.count > base || !resizing(&w)) remove_entry(&w, w.live[w.count - 1]);
        shrinks += w.table->arrays[1].buckets < w.table->arrays[0].buckets;
        while (resizing(&w)) {
            insert(&w, &w.entries[w.count]);
            assert_true(w.table->count <= w.table->grow_at);
        }
        while (!resizing(&w)) insert(&w, &w.entries[w.count]);
        assert_true(w.table->arrays[1].buckets > w.table->arrays[0].buckets);
        while (resizing(&w)) {
            remove_entry(&w, w.live[w.count - 1]);
            assert_true(w.table->count >= w.table->shrink_at);
        }
    }
    assert_true(shrinks > 3);
    world_deinit(&w);
}

/* What stored bits say about a hash is true, for arrays of all sizes, also far larger than a test can fill; and they
 * say it nearly always. */
static void deduction(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 3);
    uint64_t undecided = 0, tries = 3000000;
    for (uint64_t i = 0; i < tries; i++) {
        unsigned k = (unsigned)prng_below(&prng, 32);
        /* half of the arrays are hardly larger than a power of two, where an interval nearly repeats */
        uint64_t n = (1ull << k) + prng_below(&prng, i % 2 ? 3 : 1ull << k);
        unsigned window = k - (unsigned)prng_below(&prng, MIN(k, 12u) + 1);
        uint64_t next = i % 3 == 0 ? n / 3 + 1 : n + n / 4;
        uint64_t bucket = prng_below(&prng, n);
        uint64_t low = ht_border(bucket, n), high = ht_border(bucket + 1, n) - 1;
        uint64_t width = high - low + 1; /* 0: all of hash space */
        uint64_t hash = width == 0 ? prng_next(&prng) : low + prng_below(&prng, width);
        if (i % 5 == 0) hash = prng_below(&prng, 2) ? low : high;
        assert_int_equal(ht_index(hash, n), bucket);
        uint64_t index, known;
        if (!ht_deduce(ht_window(hash, window), window, low, high, next, &index, &known)) {
            undecided += i % 5 != 0;
            continue;
        }
        if (index != ht_index(hash, next)) fail_msg("%llu of %llu", (unsigned long long)bucket, (unsigned long long)n);
        /* a window that begins higher is known from the deduced bits */
        assert_int_equal(ht_window(known, window / 2), ht_window(hash, window / 2));
        assert_int_equal(ht_window(known, window), ht_window(hash, window));
    }
    assert_true(undecided < tries / 1000);
}

static void expect_takes_no_buckets(void **state) {
    (void)state;
    enum { COUNT = 300000 };
    struct world w;
    world_init(&w, 5, COUNT, GOOD);
    hashtable_expect(w.table, COUNT);
    assert_true(hashtable_bytes(w.table) < 16384);
    scan_at_rest(&w);
    for (uint32_t i = 0; i < COUNT; i++) {
        hashtable_insert(w.table, w.entries[i].hash, &w.entries[i], 0);
        assert_false(resizing(&w));
    }
    hashtable_check(w.table);
    assert_int_equal(w.rehashes, COUNT); /* by the check alone */
    world_deinit(&w);
}

/* Each of n entries is drawn about equally often, at rest and in the middle of a resize. */
static void random_is_fair(void **state) {
    (void)state;
    enum { COUNT = 3000, DRAWS = 1000 };
    struct world w;
    world_init(&w, 7, COUNT, GOOD);
    for (uint32_t n = 0; n < COUNT; n++) {
        insert(&w, &w.entries[n]);
        bool middle = resizing(&w) && w.table->moved == w.table->arrays[0].buckets / 2 && n > 500;
        if (!middle && n != COUNT - 1) continue;
        for (uint32_t i = 0; i <= n; i++) w.entries[i].seen = 0;
        for (uint32_t i = 0; i < DRAWS * (n + 1); i++) ((struct entry *)hashtable_random(w.table, &w.prng))->seen++;
        double chi2 = 0;
        for (uint32_t i = 0; i <= n; i++) {
            double off = (double)w.entries[i].seen - DRAWS;
            chi2 += off * off / DRAWS;
        }
        /* n degrees of freedom; chains longer than RANDOM_SLOTS do not occur here */
        if (chi2 > 1.3 * n) fail_msg("chi2 %.0f for %u entries", chi2, n + 1);
    }
    world_deinit(&w);
}

static void empty_table(void **state) {
    (void)state;
    struct world w;
    world_init(&w, 8, 10, GOOD);
    bool more = true;
    uint64_t cursor = 12345;
    void *out[1];
    assert_null(find(&w, &w.entries[0]));
    assert_null(hashtable_random(w.table, &w.prng));
    assert_int_equal(hashtable_scan(w.table, 0, see, NULL), 0);
    assert_int_equal(hashtable_drain(w.table, &cursor, out, 1), 0);
    assert_int_equal(hashtable_due(w.table, UINT32_MAX, &cursor, 10, out, 1, &more), 0);
    assert_false(more);
    assert_int_equal(hashtable_next_deadline(w.table), UINT32_MAX);
    assert_true(hashtable_bytes(w.table) <= 512); /* no bucket yet */
    hashtable_check(w.table);
    world_deinit(&w);
}

static void count_drop(void *ctx, void *entry) {
    struct world *w = ctx;
    removed(w, entry);
}
static void delete_drops_all(void **state) {
    (void)state;
    struct world w;
    world_init(&w, 9, 5000, GOOD);
    while (!(resizing(&w) && w.count > 3000)) insert(&w, &w.entries[w.count]);
    insert(&w, &w.entries[w.count]);
    insert(&w, &w.entries[w.count]);
    hashtable_delete(w.table, count_drop);
    assert_int_equal(w.count, 0);
    w.table = hashtable_new(w.heap, w.slab, &type, &w);
    world_deinit(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_table),    cmocka_unit_test(delete_drops_all),
        cmocka_unit_test(random_is_fair), cmocka_unit_test(expect_takes_no_buckets),
        cmocka_unit_test(deduction),      cmocka_unit_test(pace_when_the_wind_turns),
        cmocka_unit_test(million),        cmocka_unit_test(model_small),
        cmocka_unit_test(model_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
