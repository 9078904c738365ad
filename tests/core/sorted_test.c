/* Sorted sets: random inserts, removals and new scores against a plain sorted array, in phases that grow, shrink and
 * empty the set; ranks, bounds and walks both ways compared, all invariants checked, and memory exact to the byte. Then
 * what the header promises of memory, of full leaves behind who appends, and of slices. */
#include "core/assert.h"
#include "core/num.h"
#include "core/prng.h"
#include "core/sorted.h"
#include "tests/support/seed.h"
#include "tests/support/store_memory.h"
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct store store;
static const struct hash_seed seed = {1, 2};

static struct prng seeded(void) {
    uint64_t number = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", number);
    struct prng prng;
    prng_init(&prng, number);
    return prng;
}

static size_t memory_in_use(void) {
    return store_memory(&store);
}

/* --- the twin: an array of members and scores, in order --- */

#define TWIN_MAX 6000
#define TEXT_MAX 400

struct pair {
    double score;
    uint32_t number; /* the member is text_of(number) */
};
struct twin {
    struct pair pairs[TWIN_MAX];
    uint32_t count;
};

/* Texts of every kind of length; the same number is always the same text. */
static struct slice text_of(uint32_t number, char text[TEXT_MAX]) {
    size_t len = (size_t)snprintf(text, TEXT_MAX, "%" PRIu32, number * 2654435761u >> 8);
    size_t wanted = number % 97 == 0 ? 380 : number % 31 == 0 ? 254 + number % 4 : number % 7 == 0 ? 40 : len;
    for (; len < wanted; len++) text[len] = 'x';
    if (number == 0) len = 0;
    return slice_of(text, len);
}

static bool twin_before(const struct pair *pair, const struct sorted_bound *bound) {
    char text[TEXT_MAX];
    return sorted_is_before(pair->score, text_of(pair->number, text), bound);
}

static uint32_t twin_count_before(const struct twin *twin, const struct sorted_bound *bound) {
    uint32_t before = 0;
    while (before < twin->count && twin_before(&twin->pairs[before], bound)) before++;
    return before;
}

static uint32_t twin_find(const struct twin *twin, uint32_t number) {
    uint32_t i = 0;
    while (i < twin->count && twin->pairs[i].number != number) i++;
    return i;
}

static void twin_remove(struct twin *twin, uint32_t at) {
    memmove(&twin->pairs[at], &twin->pairs[at + 1], (--twin->count - at) * sizeof *twin->pairs);
}

static void twin_insert(struct twin *twin, uint32_t number, double score) {
    char text[TEXT_MAX];
    struct sorted_bound bound = {.by = SORTED_BY_BOTH, .score = score, .member = text_of(number, text)};
    uint32_t at = twin_count_before(twin, &bound);
    memmove(&twin->pairs[at + 1], &twin->pairs[at], (twin->count++ - at) * sizeof *twin->pairs);
    twin->pairs[at] = (struct pair){score, number};
}

/* --- comparing --- */

static void assert_pair(const struct sorted_element *element, const struct pair *pair) {
    char text[TEXT_MAX];
    assert_non_null(element);
    assert_true(element->score == pair->score);
    assert_true(slice_equal(sorted_member(element), text_of(pair->number, text)));
}

static void assert_same(const struct sorted *set, const struct twin *twin) {
    struct sorted_iter up = sorted_seek(set, 0), down = sorted_seek(set, twin->count);
    assert_int_equal(sorted_count(set), twin->count);
    for (uint32_t i = 0; i < twin->count; i++) {
        assert_pair(sorted_next(&up), &twin->pairs[i]);
        assert_pair(sorted_prev(&down), &twin->pairs[twin->count - 1 - i]);
    }
    assert_null(sorted_next(&up));
    assert_null(sorted_prev(&down));
}

static double random_score(struct prng *prng) {
    switch (prng_below(prng, 12)) {
    case 0: return INFINITY;
    case 1: return -INFINITY;
    case 2: return prng_double(prng);
    case 3: return -0.0;
    default: return (double)prng_below(prng, 40) - 20;
    }
}

static void compare_places(struct prng *prng, const struct sorted *set, const struct twin *twin) {
    char text[TEXT_MAX];
    struct sorted_bound bound = {.by = prng_below(prng, 2) ? SORTED_BY_SCORE : SORTED_BY_BOTH,
                                 .inclusive = prng_below(prng, 2),
                                 .score = random_score(prng),
                                 .member = text_of((uint32_t)prng_below(prng, 5000), text)};
    assert_int_equal(sorted_count_before(set, &bound), twin_count_before(twin, &bound));
    uint32_t rank = (uint32_t)prng_below(prng, twin->count + 1);
    struct sorted_iter iter = sorted_seek(set, rank);
    for (uint32_t i = rank; i < twin->count && i < rank + 50; i++) assert_pair(sorted_next(&iter), &twin->pairs[i]);
    iter = sorted_seek(set, rank);
    for (uint32_t i = rank; i > 0 && i + 50 > rank; i--) assert_pair(sorted_prev(&iter), &twin->pairs[i - 1]);
}

/* --- the model --- */

struct model {
    struct prng prng;
    struct sorted *set;
    struct twin *twin;
    uint32_t target, numbers; /* around which the count swings; how many members there are */
};

static void step(struct model *m) {
    char text[TEXT_MAX];
    uint32_t number = (uint32_t)prng_below(&m->prng, m->numbers), at = twin_find(m->twin, number);
    struct slice member = text_of(number, text);
    struct sorted_element *element = sorted_find(m->set, member);
    assert_int_equal(element != NULL, at < m->twin->count);
    bool grow = prng_below(&m->prng, 10) < (m->twin->count < m->target ? 8 : 2);
    if (element && (!grow || prng_below(&m->prng, 3) == 0)) {
        sorted_remove(&store, m->set, element);
        twin_remove(m->twin, at);
    } else if (element) {
        double score = prng_below(&m->prng, 3) ? random_score(&m->prng) : element->score + 0.0625;
        sorted_move(&store, m->set, element, score);
        twin_remove(m->twin, at);
        twin_insert(m->twin, number, score);
    } else if (grow && m->twin->count < TWIN_MAX) {
        double score = random_score(&m->prng);
        sorted_insert(&store, m->set, member, score);
        twin_insert(m->twin, number, score);
    }
}

static void set_beside_a_twin(void **state) {
    static const uint32_t targets[] = {30, 400, 5, 3000, 100, 0, 1500};
    struct model m = {.prng = seeded(), .twin = calloc(1, sizeof *m.twin), .numbers = 5000};
    size_t before = memory_in_use();
    (void)state;
    m.set = sorted_new(&store, &seed);
    for (size_t phase = 0; phase < ARRAY_LEN(targets); phase++) {
        m.target = targets[phase];
        m.numbers = m.target < 1000 ? MAX(m.target * 2, 40u) : 5000;
        for (unsigned i = 0; i < 12000; i++) {
            step(&m);
            if (i % 16 == 0) compare_places(&m.prng, m.set, m.twin);
            if (i % 1000 == 0) sorted_check(m.set);
        }
        if (m.target == 0) {
            while (m.twin->count > 0) { /* those that are left, in any order */
                uint32_t at = (uint32_t)prng_below(&m.prng, m.twin->count);
                sorted_remove(&store, m.set, sorted_at(m.set, at));
                twin_remove(m.twin, at);
                if (m.twin->count % 64 == 0) sorted_check(m.set);
            }
        }
        sorted_check(m.set);
        assert_same(m.set, m.twin);
        assert_int_equal(memory_in_use() - before, sorted_bytes(m.set));
    }
    struct sorted *copy = sorted_copy(&store, m.set);
    sorted_check(copy);
    assert_same(copy, m.twin);
    sorted_delete(&store, copy);
    sorted_delete(&store, m.set);
    assert_int_equal(memory_in_use(), before);
    free(m.twin);
}

/* Members at the ends of leaves and nodes go, one side after the other, so that nodes empty that no
 * neighbour can take. */
static void ends_are_taken(void **state) {
    (void)state;
    struct prng prng = seeded();
    for (unsigned way = 0; way < 4; way++) {
        struct sorted *set = sorted_new(&store, &seed);
        char text[TEXT_MAX];
        for (uint32_t i = 0; i < 20000; i++) sorted_insert(&store, set, text_of(i + 1, text), i);
        sorted_check(set);
        while (sorted_count(set) > 0) {
            uint64_t count = sorted_count(set), block = 42 * prng_below(&prng, count / 42 + 1);
            uint64_t rank = way == 0 ? 0 : way == 1 ? count - 1 : way == 2 ? count / 2 : MIN(block, count - 1);
            sorted_remove(&store, set, sorted_at(set, rank));
            if (sorted_count(set) % 997 == 0) sorted_check(set);
        }
        sorted_check(set);
        sorted_delete(&store, set);
    }
}

/* --- what the header promises --- */

static void by_member(void **state) {
    (void)state;
    struct sorted *set = sorted_new(&store, &seed);
    char text[TEXT_MAX];
    for (int i = 0; i < 1000; i++) sorted_insert(&store, set, slice_of(text, (size_t)snprintf(text, 9, "%03d", i)), 0);
    struct sorted_bound bound = {.by = SORTED_BY_MEMBER, .member = SLICE("500")};
    assert_int_equal(sorted_count_before(set, &bound), 500);
    bound.inclusive = true;
    assert_int_equal(sorted_count_before(set, &bound), 501);
    bound.member = SLICE("5");
    assert_int_equal(sorted_count_before(set, &bound), 500);
    bound.member = SLICE("");
    assert_int_equal(sorted_count_before(set, &bound), 0);
    sorted_delete(&store, set);
}

#define MANY 200000

static double overhead(double (*score)(struct prng *prng, uint32_t i)) {
    struct prng prng;
    char text[32];
    prng_init(&prng, 7);
    struct sorted *set = sorted_new(&store, &seed);
    for (uint32_t i = 0; i < MANY; i++) {
        size_t len = (size_t)snprintf(text, sizeof text, "member:%08u", i);
        sorted_insert(&store, set, slice_of(text, len), score(&prng, i));
    }
    sorted_check(set);
    double bytes = (double)sorted_bytes(set) / MANY - 15 - 8;
    sorted_delete(&store, set);
    return bytes;
}

static double any_score(struct prng *prng, uint32_t i) {
    (void)i;
    return prng_double(prng);
}
static double next_score(struct prng *prng, uint32_t i) {
    (void)prng;
    return i;
}

static void memory_per_element(void **state) {
    (void)state;
    double any = overhead(any_score), next = overhead(next_score);
    print_message("bytes over member and score: %.1f, appended %.1f\n", any, next);
    assert_true(any < 30 && next < 29);
}

static void count_visit(void *ctx, void *element, unsigned flags) {
    (void)flags;
    assert_non_null(element);
    ++*(uint64_t *)ctx;
}

static void scanned_and_freed_in_slices(void **state) {
    (void)state;
    size_t before = memory_in_use();
    struct sorted *set = sorted_new(&store, &seed);
    char text[32];
    uint64_t visited = 0, cursor = 0;
    for (uint32_t i = 0; i < MANY; i++)
        sorted_insert(&store, set, slice_of(text, (size_t)snprintf(text, sizeof text, "%u", i)), i % 1000);
    do cursor = sorted_scan(set, cursor, count_visit, &visited);
    while (cursor);
    assert_true(visited >= MANY);
    unsigned slices = 0;
    for (size_t last = memory_in_use(), now; sorted_free_some(&store, set, 64); last = now, slices++) {
        now = memory_in_use();
        assert_true(last - now <= 64 * 1024 + 64 * 1100); /* a segment of the table and 64 nodes at most */
    }
    assert_in_range(slices, MANY / 64, MANY / 32);
    assert_int_equal(memory_in_use(), before);
}

static int setup(void **state) {
    (void)state;
    store = (struct store){.heap = heap_new()};
    store.slab = slab_new(store.heap, MEM_DATA);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    slab_delete(store.slab);
    heap_delete(store.heap);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_beside_a_twin),
        cmocka_unit_test(ends_are_taken),
        cmocka_unit_test(by_member),
        cmocka_unit_test(memory_per_element),
        cmocka_unit_test(scanned_and_freed_in_slices),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
