/* Slab: blocks of all sizes never overlap, keep their bytes, are aligned as promised; what is held follows what is
 * used, within bounds, and goes back to the kernel. The model test keeps a twin of every live block
 * and its fill byte. */
#include "core/prng.h"
#include "core/slab.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE  (16 * 1024)
#define SPARE ((size_t)SLAB_SPARE)

/* Blocks of any size, by whichever door; `lines` is for multiples of 64. */
static void *take(struct slab *slab, size_t size, bool lines) {
    if (lines) return slab_alloc_lines(slab, size);
    return size <= SLAB_MAX ? slab_alloc(slab, size) : slab_alloc_large(slab, size);
}

static void give(struct slab *slab, void *block, size_t size, bool lines) {
    if (lines)
        slab_free_lines(slab, block, size);
    else if (size <= SLAB_MAX)
        slab_free(slab, block, size);
    else
        slab_free_large(slab, block, size);
}

static size_t taken(size_t size, bool lines) {
    if (lines) return slab_lines_size(size);
    return size <= SLAB_MAX ? slab_block_size(size) : slab_large_block_size(size);
}

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

static void large_ones(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct slab *slab = slab_new(heap, MEM_DATA);
    size_t before = SLAB_MAX;
    for (size_t size = SLAB_MAX + 1; size <= SLAB_LARGE_MAX; size += size < 100000 ? 37 : 9973) {
        size_t block_size = slab_large_block_size(size);
        assert_true(block_size >= size && block_size >= before && block_size <= size + size / 5);
        void *block = slab_alloc_large(slab, size);
        assert_int_equal((uintptr_t)block % 64, 0);
        memset(block, 0xAB, size);
        assert_int_equal(slab_used_bytes(slab), block_size);
        slab_free_large(slab, block, block_size); /* as good as the size itself */
        before = block_size;
    }
    for (size_t size = 64; size <= 65536; size += 64) {
        void *block = slab_alloc_lines(slab, size);
        assert_int_equal((uintptr_t)block % 64, 0);
        memset(block, 0xAB, size);
        slab_free_lines(slab, block, size);
    }
    assert_int_equal(slab_used_bytes(slab), 0);
    slab_check(slab);
    slab_delete(slab);
    heap_delete(heap);
}

/* Of a large page only what was touched counts. */
static void counts_what_is_touched(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct slab *slab = slab_new(heap, MEM_DATA);
    size_t nothing = slab_held_bytes(slab);
    void *first = slab_alloc_large(slab, 5000);
    size_t chunk = slab_held_bytes(slab) - nothing;
    assert_true(chunk <= 8 * 1024 + 2 * 4096);
    void *second = slab_alloc_large(slab, 5000);
    assert_true(slab_held_bytes(slab) <= nothing + chunk + 2 * 4096);
    slab_free_large(slab, first, 5000);
    slab_free_large(slab, second, 5000);
    slab_check(slab);
    slab_trim(slab); /* nobody knows when the next one of that size comes */
    slab_check(slab);
    slab_delete(slab);
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
        assert_true(held - slab_held_bytes(slab) <= 5 * 1024 * 1024); /* two chunks and 1 MiB */
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
    int64_t empty = heap_used(heap, MEM_DATA);
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
        assert_true((size_t)(heap_used(heap, MEM_DATA) - empty) <= SPARE + 2 * PAGE + 8192);
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
    size_t count = size <= SLAB_MAX ? 30000 : 4000;
    bool lines = size % 64 == 0;
    char **blocks = malloc(count * sizeof *blocks);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = take(slab, size, lines);
        memset(blocks[i], (int)(i % 251), size);
    }
    for (size_t i = 0; i < count; i++) {
        if (prng_below(&prng, 100) < kept_percent) continue;
        give(slab, blocks[i], size, lines);
        blocks[i] = NULL;
    }
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < count; i++)
            if (blocks[i] && slab_is_sparse(slab, blocks[i])) blocks[i] = slab_move(slab, blocks[i], size);
    slab_trim(slab);
    purge(slab);
    size_t page = size <= SLAB_MAX ? PAGE : 8 * PAGE;
    size_t rest =
        page - page / taken(size, lines) * taken(size, lines); /* at the end of a page, little but for lines */
    assert_true(slab_held_bytes(slab) < slab_used_bytes(slab) / (page - rest) * page * 5 / 4 + SPARE + 3 * page);
    for (size_t i = 0; i < count; i++)
        for (size_t at = 0; blocks[i] && at < size; at += 8) assert_int_equal((unsigned char)blocks[i][at], i % 251);
    free(blocks);
    slab_delete(slab);
    heap_delete(heap);
}

static void sparse_pages_can_be_emptied(void **state) {
    (void)state;
    static const size_t sizes[] = {16, 64, 304, 1064, 2088, 2944, 4096, 5000, 9001, 21824};
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
        for (unsigned kept = 1; kept <= 90; kept += 22) empty_sparse_pages(sizes[i], kept);
}

struct live {
    unsigned char *block;
    uint32_t size;
    unsigned char fill;
    bool lines;
};

static void verify(const struct live *live) {
    for (unsigned i = 0; i<live->size; i += live->size> SLAB_MAX ? 61 : 1)
        if (live->block[i] != live->fill) fail_msg("block %p of %u changed", (void *)live->block, live->size);
}

static struct live born(struct slab *slab, struct prng *prng, size_t sizes) {
    struct live live = {.size = (uint32_t)(1 + prng_below(prng, sizes)), .fill = (unsigned char)prng_next(prng)};
    live.lines = prng_below(prng, 4) == 0;
    if (live.lines) live.size = (live.size + 63) / 64 * 64;
    live.block = take(slab, live.size, live.lines);
    memset(live.block, live.fill, live.size);
    return live;
}

/* Moves some, as defragmenting does. */
static void move_some(struct slab *slab, struct live *all, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (all[i].size <= SLAB_PAGED_MAX && slab_is_sparse(slab, all[i].block))
            all[i].block = slab_move(slab, all[i].block, all[i].size);
}

#define MODEL_BYTES (48u << 20)

static void model(uint64_t seed) {
    static const size_t bounds[] = {SLAB_MAX, SLAB_MAX, SLAB_PAGED_MAX, SLAB_LARGE_MAX};
    struct heap *heap = heap_new();
    struct slab *slab = slab_new(heap, MEM_DATA);
    struct prng prng;
    prng_init(&prng, seed);
    size_t limit = 1 + prng_below(&prng, 30000), count = 0, bytes = 0;
    size_t sizes = 1 + prng_below(&prng, bounds[prng_below(&prng, ARRAY_LEN(bounds))]);
    int ops = sizes > SLAB_PAGED_MAX ? 4000 : sizes > SLAB_MAX ? 20000 : 40000;
    struct live *all = malloc(limit * sizeof *all);
    unsigned bias = 50;
    for (int op = 0; op < ops; op++) {
        if (op % 1000 == 0) {
            bias = (unsigned)prng_below(&prng, 100);
            slab_check(slab);
            move_some(slab, all, count);
            if (prng_below(&prng, 2) == 0) slab_trim(slab);
            purge(slab);
        }
        if (count < limit && bytes < MODEL_BYTES && prng_below(&prng, 100) < bias) {
            all[count] = born(slab, &prng, sizes);
            bytes += taken(all[count].size, all[count].lines);
            count++;
        } else if (count != 0) {
            struct live *live = &all[prng_below(&prng, count)];
            verify(live);
            give(slab, live->block, live->size, live->lines);
            bytes -= taken(live->size, live->lines);
            *live = all[--count];
        }
        assert_int_equal(slab_used_bytes(slab), bytes);
        if (prng_below(&prng, 50) == 0) slab_purge_some(slab);
        if (prng_below(&prng, 300) == 0) (void)slab_purge_rest(slab);
        if (prng_below(&prng, 300) == 0) slab_purge_unused(slab);
        if (prng_below(&prng, 300) == 0) slab_spare_huge(slab, prng_below(&prng, 2) == 0);
    }
    slab_check(slab);
    while (count != 0) {
        verify(&all[--count]);
        give(slab, all[count].block, all[count].size, all[count].lines);
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
    for (uint64_t seed = first; seed < first + (seed_given() ? 1 : 30); seed++) {
        printf("seed %llu\r", (unsigned long long)seed);
        fflush(stdout);
        model(seed);
    }
}

/* Mappings of this process that ask for huge pages; 0 also where the kernel has none. */
static unsigned huge_mappings(void) {
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned count = 0;
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) count += strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " hg");
    fclose(file);
    return count;
}

/* Blocks of 1 KiB lie in huge pages only where they were expected, and beyond the first chunks. What is counted stays
 * exact, and all goes back. */
static void expected_blocks_are_in_huge_pages(void **state) {
    (void)state;
    enum { COUNT = 20000, SIZE = 1088 };
    static void *blocks[COUNT];
    for (int expected = 0; expected < 2; expected++) {
        struct heap *heap = heap_new();
        struct slab *slab = slab_new(heap, MEM_DATA);
        unsigned before = huge_mappings();
        slab_expect_much(slab, expected);
        for (int i = 0; i < COUNT; i++) blocks[i] = memset(slab_alloc(slab, SIZE), i % 251, SIZE);
        bool has_huge = access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0;
        assert_int_equal(huge_mappings() > before, expected && has_huge);
        slab_check(slab);
        assert_in_range(slab_held_bytes(slab), (size_t)COUNT * SIZE, (size_t)COUNT * SIZE * 103 / 100);
        slab_expect_much(slab, false);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(((unsigned char *)blocks[i])[SIZE - 1], i % 251);
            slab_free(slab, blocks[i], SIZE);
        }
        slab_trim(slab);
        while (slab_purge_rest(slab)) continue;
        slab_check(slab);
        assert_true(slab_held_bytes(slab) < SPARE);
        slab_delete(slab);
        heap_delete(heap);
    }
}

static bool add_resident(void *ctx, const void *start, size_t bytes) {
    static unsigned char frames[1024];
    size_t *resident = ctx;
    assert_true(bytes / 4096 <= ARRAY_LEN(frames));
    assert_int_equal(mincore((void *)(uintptr_t)start, bytes, frames), 0);
    for (size_t i = 0; i < bytes / 4096; i++) *resident += 4096 * (size_t)(frames[i] & 1);
    return true;
}

static size_t resident_bytes(const struct slab *slab) {
    size_t resident = 0;
    slab_each_area(slab, add_resident, &resident);
    return resident;
}

/* Of a huge page what is not used yet goes back, and where they are spared there is none: what is resident is what
 * counts. */
static void unused_memory_goes_back(void **state) {
    (void)state;
    enum { COUNT = 100000, SIZE = 96 };
    static void *blocks[COUNT];
    for (int spared = 0; spared < 2; spared++) {
        struct heap *heap = heap_new();
        struct slab *slab = slab_new(heap, MEM_DATA);
        slab_spare_huge(slab, spared);
        for (int i = 0; i < COUNT; i++) blocks[i] = memset(slab_alloc(slab, SIZE), i % 251, SIZE);
        if (!spared) slab_purge_unused(slab);
        size_t held = slab_held_bytes(slab);
        assert_true(resident_bytes(slab) <= held + held / 128); /* what is left of a chunk's first page */
        slab_purge_unused(slab);
        slab_check(slab);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(((unsigned char *)blocks[i])[SIZE - 1], i % 251);
            slab_free(slab, blocks[i], SIZE);
        }
        slab_check(slab);
        slab_delete(slab);
        heap_delete(heap);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alignment),
        cmocka_unit_test(large_ones),
        cmocka_unit_test(counts_what_is_touched),
        cmocka_unit_test(packs_without_waste),
        cmocka_unit_test(memory_goes_back),
        cmocka_unit_test(expected_blocks_are_in_huge_pages),
        cmocka_unit_test(unused_memory_goes_back),
        cmocka_unit_test(sparse_pages_can_be_emptied),
        cmocka_unit_test(against_a_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
