/* Idmap: every answer is that of a naive array beside it, through growth, removal in the middle of runs and shrinking.
 * Random operations from a printed seed (SHERD_SEED repeats one). */
#include "core/idmap.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define IDS 3000u

static struct heap *heap;

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    return heap == NULL;
}

static int teardown(void **state) {
    (void)state;
    heap_delete(heap);
    return 0;
}

static uint64_t id_of(uint32_t i) {
    return ((uint64_t)i + 1) << 6 | 5; /* stamps of one shard look like this */
}

static void answers_like_an_array(void **state) {
    (void)state;
    static void *twin[IDS];
    struct prng prng;
    uint64_t seed = seed_or(20261127);
    printf("seed %llu\n", (unsigned long long)seed);
    prng_init(&prng, seed);
    struct idmap map;
    idmap_init(&map, heap, MEM_MESSAGE);
    for (uint32_t step = 0; step < 200000; step++) {
        uint32_t range = step % 20000 < 10000 ? IDS : 40;
        uint32_t i = (uint32_t)prng_below(&prng, range);
        assert_ptr_equal(idmap_get(&map, id_of(i)), twin[i]);
        if (twin[i]) {
            assert_ptr_equal(idmap_take(&map, id_of(i)), twin[i]);
            twin[i] = NULL;
        } else {
            assert_null(idmap_take(&map, id_of(i)));
            twin[i] = &twin[prng_below(&prng, IDS)];
            idmap_put(&map, id_of(i), twin[i]);
        }
        if (step % 1000 == 0) idmap_check(&map);
    }
    for (uint32_t i = 0; i < IDS; i++) assert_ptr_equal(idmap_take(&map, id_of(i)), twin[i]);
    assert_int_equal(map.count, 0);
    assert_true(map.cap <= 64);
    idmap_deinit(&map);
    assert_int_equal(heap_used(heap, MEM_MESSAGE), 0);
}

static void empty_it_knows_nothing(void **state) {
    (void)state;
    struct idmap map;
    idmap_init(&map, heap, MEM_MESSAGE);
    assert_null(idmap_get(&map, 7));
    assert_null(idmap_take(&map, 7));
    idmap_check(&map);
    idmap_deinit(&map);
    assert_int_equal(heap_used(heap, MEM_MESSAGE), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_like_an_array),
        cmocka_unit_test(empty_it_knows_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
