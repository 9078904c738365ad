/* Members: random additions and removals against an array of flags, through growth and shrinking; visits see each
 * member once, copies are equal, chance is fair, and freeing in slices gives every byte back. Also
 * what a member costs. */
#include "core/members.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define UNIVERSE 4000
#define TEXT_MAX 40000

static struct heap *heap;
static struct store store;
static const struct hash_seed seed_of_hashes = {17, 4};

struct twin {
    struct slice texts[UNIVERSE];
    bool present[UNIVERSE];
    uint32_t seen[UNIVERSE];
    uint64_t count;
};

/* Text i: its number and a tail, so that all lengths occur and no two are equal. */
static void twin_init(struct twin *twin) {
    for (size_t i = 0; i < UNIVERSE; i++) {
        size_t tail = i % 1000 == 999 ? TEXT_MAX - 30 : i % 10 == 9 ? 235 + i % 41 : i % 23;
        char *text = malloc(TEXT_MAX);
        size_t len = (size_t)snprintf(text, 30, "%zu", i);
        memset(text + len, 'x', tail);
        twin->texts[i] = slice_of(text, i == 0 ? 0 : len + tail);
    }
}

static void twin_deinit(struct twin *twin) {
    for (size_t i = 0; i < UNIVERSE; i++) free((char *)(uintptr_t)twin->texts[i].ptr);
    free(twin);
}

static void see(void *ctx, struct slice text) {
    struct twin *twin = ctx;
    char digits[30] = "0";
    memcpy(digits, text.ptr, MIN(text.len, sizeof digits - 1));
    size_t i = text.len ? strtoul(digits, NULL, 10) : 0;
    assert_true(i < UNIVERSE && slice_equal(twin->texts[i], text));
    twin->seen[i]++;
}

static void assert_same(const struct members *members, struct twin *twin) {
    uint64_t cursor = 0;
    members_check(members);
    assert_int_equal(members_count(members), twin->count);
    memset(twin->seen, 0, sizeof twin->seen);
    do cursor = members_scan(members, cursor, see, twin);
    while (cursor);
    for (size_t i = 0; i < UNIVERSE; i++) {
        assert_int_equal(twin->seen[i], twin->present[i]);
        assert_int_equal(members_has(members, twin->texts[i]), twin->present[i]);
    }
}

static void agrees_with_flags(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL)), target = 1000;
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    struct twin *twin = calloc(1, sizeof *twin);
    twin_init(twin);
    struct members *members = members_new(&store, &seed_of_hashes);
    for (int i = 0; i < 100000; i++) {
        size_t which = prng_below(&prng, UNIVERSE);
        bool add = prng_below(&prng, 10) < (twin->count < target ? 7u : 3u), was = twin->present[which];
        if (add)
            assert_int_equal(members_add(&store, members, twin->texts[which]), !was);
        else
            assert_int_equal(members_remove(&store, members, twin->texts[which]), was);
        twin->present[which] = add;
        twin->count += (uint64_t)add - (uint64_t)was;
        if (i % 2000 == 0) target = prng_below(&prng, UNIVERSE);
        if (i % 1000 != 0) continue;
        assert_same(members, twin);
        members_set_numbers(members, i % 2000 == 0);
        struct members *copy = members_copy(&store, members);
        assert_int_equal(members_numbers(copy), i % 2000 == 0);
        assert_same(copy, twin);
        members_delete(&store, copy);
    }
    members_delete(&store, members);
    twin_deinit(twin);
}

static void frees_in_slices(void **state) {
    (void)state;
    struct members *members = members_new(&store, &seed_of_hashes);
    for (int i = 0; i < 100000; i++) {
        char text[20];
        assert_true(members_add(&store, members, slice_of(text, (size_t)snprintf(text, sizeof text, "%d", i))));
    }
    int slices = 1;
    for (; members_free_some(&store, members, 64); slices++) continue;
    assert_in_range(slices, 100000 / 64, 100000 / 40);
}

/* Chi-squared of 1000 classes: 999 in the mean, and above 1150 less than once in 1000. The seed is fixed. */
static void draws_fairly(void **state) {
    (void)state;
    enum { CLASSES = 1000, DRAWS = 400 };
    static uint32_t hits[CLASSES];
    struct prng prng;
    prng_init(&prng, 5);
    struct members *members = members_new(&store, &seed_of_hashes);
    for (int i = 0; i < CLASSES; i++) {
        char text[20];
        members_add(&store, members, slice_of(text, (size_t)snprintf(text, sizeof text, "%d", i)));
    }
    for (int i = 0; i < CLASSES * DRAWS; i++) {
        char digits[20] = "";
        struct slice text = members_random(members, &prng);
        memcpy(digits, text.ptr, text.len);
        hits[atoi(digits)]++;
    }
    double squares = 0;
    for (int i = 0; i < CLASSES; i++) squares += (hits[i] - (double)DRAWS) * (hits[i] - (double)DRAWS) / DRAWS;
    print_message("chi-squared of %d classes: %.0f\n", CLASSES, squares);
    assert_true(squares > 850 && squares < 1150);
    members_delete(&store, members);
}

/* A million members of 10 to 16 bytes: at most 35 bytes over their text. */
static void members_are_cheap(void **state) {
    (void)state;
    size_t text_bytes = 0;
    const int count = 1000000;
    struct members *members = members_new(&store, &seed_of_hashes);
    for (int i = 0; i < count; i++) {
        char text[32];
        size_t len = (size_t)snprintf(text, sizeof text, "member:%d", i);
        members_add(&store, members, slice_of(text, len));
        text_bytes += len;
    }
    int64_t held = 0;
    for (int i = 0; i < MEM_CLASSES; i++) held += heap_used(heap, (enum mem_class)i);
    double over = ((double)held - (double)text_bytes) / count;
    print_message("%.1f bytes a member over %.1f of text; by members_bytes %.1f\n", over, (double)text_bytes / count,
                  (double)(members_bytes(members) - text_bytes) / count);
    assert_true(over < 35);
    members_delete(&store, members);
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    store = (struct store){.heap = heap, .slab = slab_new(heap, MEM_DATA)};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    int left = (int)slab_used_bytes(store.slab);
    slab_delete(store.slab);
    for (int i = 0; i < MEM_CLASSES; i++) left |= (int)heap_used(heap, (enum mem_class)i);
    heap_delete(heap);
    return left == 0 ? 0 : -1;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(agrees_with_flags),
        TEST(frees_in_slices),
        TEST(draws_fairly),
        TEST(members_are_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
