/* Slab: blocks never overlap, keep their bytes, are aligned as promised; what is held follows what is used, within
 * bounds, and goes back to the kernel. The model test keeps a twin of every live block and its fill byte. */
#include "core/prng.h"
#include "core/slab.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE  (16 * 1024)
#define SPARE ((size_t)SLAB_SPARE_PAGES * PAGE)

static void alignment(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct slab *slab = slab_new(heap, MEM_DATA);
    for (size_t size = 1; size <= SLAB_MAX; size++) {
        for (int i = 0; i < 700; i++) {
            void *block = slab_alloc(slab, size);
            size_t align = size <= SLAB_ALIGNED_MAX && slab_block_size(size) % 64 == 0 ? 64 : 8;
            assert_int_equal((uintptr_t)block % align, 0);
            memset(block, 0xAB, size);
        }
    }
    slab_check(slab);
    slab_delete(slab); /* with all blocks in it */
    assert_int_equal(heap_used(heap, MEM_DATA), 0);
    heap_delete(heap);
}

static void packs_without_waste(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct slab *slab = slab_new(heap, MEM_DATA);
    int64_t empty = heap_used(heap, MEM_DATA);
    enum { COUNT = 100000 };
    for (int i = 0; i < COUNT; i++) memset(slab_alloc(slab, 56), 1, 56);
    assert_int_equal(slab_used_bytes(slab), COUNT * 56);
    assert_true(slab_held_bytes(slab) < COUNT * 56 / 100 * 101 + 2 * PAGE);
    assert_true((size_t)(heap_used(heap, MEM_DATA) - empty) < slab_held_bytes(slab) + 1024);
    slab_delete(slab);
    heap_delete(heap);
}

static void purge(struct slab *slab) {
    size_t held = slab_held_bytes(slab), before = held;
    while (slab_purge_some(slab)) {
        assert_true(slab_held_bytes(slab) < held); /* every step gives something back, but not much */
        assert_true(held - slab_held_bytes(slab) <= 2 * 1024 * 1024);
        held = slab_held_bytes(slab);
    }
    assert_true(slab_held_bytes(slab) <= before);
    slab_check(slab);
}

/* A wave of allocations, all freed: no more than the spare pages and the current one stays. */
static void memory_goes_back(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct slab *slab = slab_new(heap, MEM_DATA);
    enum { COUNT = 200000 };
    void **blocks = malloc(COUNT * sizeof *blocks);
    for (int wave = 0; wave < 3; wave++) {
        for (int i = 0; i < COUNT; i++) blocks[i] = slab_alloc(slab, 96);
        slab_check(slab);
        size_t full = slab_held_bytes(slab);
        /* every other block: nothing can go back yet, and nothing new is held */
        for (int i = 0; i < COUNT; i += 2) slab_free(slab, blocks[i], 96);
        assert_int_equal(slab_held_bytes(slab), full);
        slab_check(slab);
        for (int i = 1; i < COUNT; i += 2) slab_free(slab, blocks[i], 96);
        slab_check(slab);
        assert_int_equal(slab_held_bytes(slab), full); /* nothing goes back but by purging */
        purge(slab);
        assert_int_equal(slab_used_bytes(slab), 0);
        assert_true(slab_held_bytes(slab) <= SPARE + 2 * PAGE);
        assert_true((size_t)heap_used(heap, MEM_DATA) <= SPARE + 2 * PAGE + 8192);
    }
    free(blocks);
    slab_delete(slab);
    assert_int_equal(heap_used(heap, MEM_DATA), 0);
    heap_delete(heap);
}

/* After a random share is freed, moving what is_sparse names packs the rest. */
static void empty_sparse_pages(size_t size, unsigned kept_percent) {
    struct heap *heap = heap_new();
    struct slab *slab = slab_new(heap, MEM_DATA);
    struct prng prng;
    prng_init(&prng, 11);
    enum { COUNT = 30000 };
    void **blocks = malloc(COUNT * sizeof *blocks);
    for (int i = 0; i < COUNT; i++) blocks[i] = slab_alloc(slab, size);
    for (int i = 0; i < COUNT; i++) {
        if (prng_below(&prng, 100) < kept_percent) continue;
        slab_free(slab, blocks[i], size);
        blocks[i] = NULL;
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            if (blocks[i] == NULL || !slab_is_sparse(slab, blocks[i])) continue;
            void *moved = slab_alloc(slab, size);
            slab_free(slab, blocks[i], size);
            blocks[i] = moved;
        }
    }
    purge(slab);
    assert_true(slab_held_bytes(slab) < slab_used_bytes(slab) * 5 / 4 + SPARE + 2 * PAGE);
    free(blocks);
    slab_delete(slab);
    heap_delete(heap);
}

static void sparse_pages_can_be_emptied(void **state) {
    (void)state;
    static const size_t sizes[] = {16, 64, 304, 1064, 2088, 4096};
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
        for (unsigned kept = 1; kept <= 90; kept += 22) empty_sparse_pages(sizes[i], kept);
}

struct live {
    unsigned char *block;
    uint16_t size;
    unsigned char fill;
};

static void verify(const struct live *live) {
    for (unsigned i = 0; i < live->size; i++)
        if (live->block[i] != live->fill) fail_msg("block %p of %u changed", (void *)live->block, live->size);
}

static void model(uint64_t seed) {
    struct heap *heap = heap_new();
    struct slab *slab = slab_new(heap, MEM_DATA);
    struct prng prng;
    prng_init(&prng, seed);
    size_t limit = 1 + prng_below(&prng, 30000), count = 0, bytes = 0;
    size_t sizes = 1 + prng_below(&prng, SLAB_MAX);
    struct live *all = malloc(limit * sizeof *all);
    unsigned bias = 50;
    for (int op = 0; op < 40000; op++) {
        if (op % 5000 == 0) {
            bias = (unsigned)prng_below(&prng, 100);
            slab_check(slab);
            purge(slab);
        }
        if (count < limit && prng_below(&prng, 100) < bias) {
            struct live *live = &all[count++];
            live->size = (uint16_t)(1 + prng_below(&prng, sizes));
            live->fill = (unsigned char)prng_next(&prng);
            live->block = slab_alloc(slab, live->size);
            memset(live->block, live->fill, live->size);
            bytes += slab_block_size(live->size);
        } else if (count != 0) {
            struct live *live = &all[prng_below(&prng, count)];
            verify(live);
            slab_free(slab, live->block, live->size);
            bytes -= slab_block_size(live->size);
            *live = all[--count];
        }
        assert_int_equal(slab_used_bytes(slab), bytes);
        if (prng_below(&prng, 50) == 0) slab_purge_some(slab);
    }
    slab_check(slab);
    while (count != 0) {
        verify(&all[--count]);
        slab_free(slab, all[count].block, all[count].size);
    }
    slab_check(slab);
    assert_int_equal(slab_used_bytes(slab), 0);
    free(all);
    slab_delete(slab);
    assert_int_equal(heap_used(heap, MEM_DATA), 0);
    heap_delete(heap);
}

static void against_a_twin(void **state) {
    (void)state;
    uint64_t first = seed_or(1);
    for (uint64_t seed = first; seed < first + (seed_given() ? 1 : 60); seed++) {
        printf("seed %llu\r", (unsigned long long)seed);
        fflush(stdout);
        model(seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alignment),        cmocka_unit_test(packs_without_waste),
        cmocka_unit_test(memory_goes_back), cmocka_unit_test(sparse_pages_can_be_emptied),
        cmocka_unit_test(against_a_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
