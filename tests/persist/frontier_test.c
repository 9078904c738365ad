/* Frontiers: that text is read back and nothing else is read, and that a look-up finds what a walk over all finds. */
#include "core/prng.h"
#include "persist/frontier.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_text(void **state) {
    (void)state;
    static const struct frontier cases[] = {
        {0, 0, 0}, {FRONTIER_DONE, UINT64_MAX, UINT32_MAX}, {0x800000000000, 500, 3}};
    char text[FRONTIER_TEXT_MAX];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct frontier again;
        assert_true(frontier_read(slice_of(text, frontier_write(text, &cases[i])), &again));
        assert_int_equal(again.db, cases[i].db);
        assert_int_equal(again.position, cases[i].position);
        assert_int_equal(again.n, cases[i].n);
    }
    static const char *const wrong[] = {
        "",      "0",     "0 0",  "0 0 0 0",           "0  0 0",       " 0 0 0", "0 0 x",
        "g 0 0", "0 A 0", "0 0 ", "0 1000000000001 0", "100000000 0 0"};
    struct frontier frontier;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) assert_false(frontier_read(slice_of_cstr(wrong[i]), &frontier));

    struct hash_seed seed = {1, UINT64_MAX}, seed_again;
    size_t len = frontier_write_seed(text, &seed);
    assert_true(frontier_read_seed(slice_of(text, len), &seed_again));
    assert_int_equal(seed_again.k0, 1);
    assert_int_equal(seed_again.k1, UINT64_MAX);
    assert_false(frontier_read_seed(slice_of(text, len - 1), &seed_again));
    text[20] = ' ';
    assert_false(frontier_read_seed(slice_of(text, len), &seed_again));

    uint32_t shard, shards;
    assert_true(frontier_read_shard(slice_of(text, frontier_write_shard(text, 63, 64)), &shard, &shards));
    assert_int_equal(shard, 63);
    assert_int_equal(shards, 64);
    assert_false(frontier_read_shard(SLICE("64 64"), &shard, &shards));
    assert_false(frontier_read_shard(SLICE("0 65"), &shard, &shards));
    assert_false(frontier_read_shard(SLICE("0 a"), &shard, &shards));
}

static void test_order(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct frontiers frontiers;
    frontiers_init(&frontiers, heap, 10);
    assert_int_equal(frontiers_find(&frontiers, 0, SLICE("k")), 10);
    assert_true(frontiers_add(&frontiers, (struct frontier){.db = 0, .position = 100, .n = 3}));
    assert_false(frontiers_add(&frontiers, (struct frontier){.db = 0, .position = 100, .n = 3}));
    assert_false(frontiers_add(&frontiers, (struct frontier){.db = 0, .position = 101, .n = 2}));
    assert_false(frontiers_add(&frontiers, (struct frontier){.db = 0, .position = 101, .n = 11}));
    assert_true(frontiers_add(&frontiers, (struct frontier){.db = 2, .position = 0, .n = 3}));
    assert_false(frontiers_add(&frontiers, (struct frontier){.db = 1, .position = 5, .n = 4}));
    assert_int_equal(frontiers.first, 3);
    assert_int_equal(frontiers_find(&frontiers, 1, SLICE("k")), 3); /* passed on the way to database 2 */
    assert_int_equal(frontiers_find(&frontiers, 2, SLICE("k")), 10);
    frontiers_deinit(&frontiers);
    heap_delete(heap);
}

static uint64_t find_slowly(const struct frontiers *frontiers, uint32_t db, struct slice key) {
    uint64_t position = hash_bytes(&frontiers->seed, key.ptr, key.len) >> 16;
    for (uint32_t i = 0; i < frontiers->count; i++) {
        const struct frontier *frontier = &frontiers->items[i];
        if (frontier->db > db || (frontier->db == db && frontier->position > position)) return frontier->n;
    }
    return frontiers->last;
}

static void test_model(void **state) {
    (void)state;
    uint64_t seed = seed_or(1);
    print_message("seed %" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    struct heap *heap = heap_new();
    for (unsigned round = 0; round < 200; round++) {
        struct frontiers frontiers;
        frontiers_init(&frontiers, heap, 1000000);
        frontiers.seed = (struct hash_seed){prng_next(&prng), prng_next(&prng)};
        struct frontier at = {0, 0, 0};
        for (uint64_t count = prng_below(&prng, 200); count > 0; count--) {
            at.n += prng_below(&prng, 3);
            at.position += 1 + prng_below(&prng, FRONTIER_DONE / 20);
            if (at.position >= FRONTIER_DONE || prng_below(&prng, 20) == 0) {
                at.db += 1 + (uint32_t)prng_below(&prng, 2);
                at.position = prng_below(&prng, 100);
            }
            assert_true(frontiers_add(&frontiers, at));
        }
        for (unsigned i = 0; i < 300; i++) {
            char key[24];
            size_t len = (size_t)snprintf(key, sizeof key, "k%" PRIu64, prng_next(&prng));
            uint32_t db = (uint32_t)prng_below(&prng, at.db + 3u);
            assert_int_equal(frontiers_find(&frontiers, db, slice_of(key, len)),
                             find_slowly(&frontiers, db, slice_of(key, len)));
        }
        frontiers_deinit(&frontiers);
    }
    heap_delete(heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_order),
                                       cmocka_unit_test(test_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
