/* Spans: blocks never overlap and keep their bytes; what is held is what is used and a bounded rest, whatever was freed
 * before; what was freed a moment ago is used again. The model test keeps a twin of every live block. */
#include "core/prng.h"
#include "core/spans.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FRAME ((size_t)SPANS_FRAME)
#define CHUNK ((size_t)4 << 20)

static void purge(struct spans *spans) {
    size_t held = spans_held_bytes(spans);
    while (spans_purge_some(spans)) {
        assert_true(spans_held_bytes(spans) < held);
        assert_true(held - spans_held_bytes(spans) <= 2 * SPANS_MAX + FRAME * 256);
        held = spans_held_bytes(spans);
    }
    spans_check(spans);
}

static void sizes(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct spans *spans = spans_new(heap, MEM_DATA);
    for (size_t size = 1; size <= SPANS_MAX; size = size * 5 / 4 + 1) {
        char *block = spans_alloc(spans, size);
        assert_int_equal((uintptr_t)block % FRAME, 0);
        assert_int_equal(spans_used_bytes(spans), (size + FRAME - 1) / FRAME * FRAME);
        memset(block, 1, size);
        spans_check(spans);
        spans_free(spans, block, size);
        spans_check(spans);
    }
    void *largest = spans_alloc(spans, SPANS_MAX);
    memset(largest, 1, SPANS_MAX);
    spans_delete(spans); /* with it */
    assert_int_equal(heap_used(heap, MEM_DATA), 0);
    heap_delete(heap);
}

/* Who overwrites one value after another needs no new frames. */
static void freed_frames_are_used_again(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct spans *spans = spans_new(heap, MEM_DATA);
    enum { COUNT = 100 };
    size_t size = 100000;
    void *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) blocks[i] = spans_alloc(spans, size);
    spans_free(spans, spans_alloc(spans, size), size);
    size_t held = spans_held_bytes(spans);
    for (int i = 0; i < 10 * COUNT; i++) {
        void *fresh = spans_alloc(spans, size - (size_t)i % 1000);
        spans_free(spans, blocks[i % COUNT], size);
        blocks[i % COUNT] = fresh;
    }
    assert_int_equal(spans_held_bytes(spans), held);
    spans_check(spans);
    spans_delete(spans);
    heap_delete(heap);
}

struct live {
    unsigned char *block;
    uint32_t size;
    unsigned char fill;
};

/* The ends and a byte of each frame. */
static void fill(const struct live *live) {
    for (uint32_t at = 0; at < live->size; at += 4096) live->block[at] = live->fill;
    live->block[live->size - 1] = live->fill;
}

static void verify(const struct live *live) {
    for (uint32_t at = 0; at < live->size; at += 4096)
        if (live->block[at] != live->fill) fail_msg("block %p of %u changed", (void *)live->block, live->size);
    assert_int_equal(live->block[live->size - 1], live->fill);
}

static void model(uint64_t seed) {
    struct heap *heap = heap_new();
    struct spans *spans = spans_new(heap, MEM_DATA);
    struct prng prng;
    prng_init(&prng, seed);
    size_t limit = 1 + prng_below(&prng, 2000), count = 0, bytes = 0, most = 0;
    size_t sizes_max = 1 + prng_below(&prng, seed % 2 ? SPANS_MAX : 100000);
    struct live *all = malloc(limit * sizeof *all);
    unsigned bias = 50;
    for (int op = 0; op < 10000; op++) {
        if (op % 1000 == 0) {
            bias = (unsigned)prng_below(&prng, 100);
            purge(spans);
            /* one frame for every chunk there ever was at once */
            assert_true(spans_held_bytes(spans) <= bytes + bytes / 32 + SPANS_SPARE + (most / (CHUNK / 4) + 2) * FRAME);
        }
        if (count < limit && bytes < (256u << 20) && prng_below(&prng, 100) < bias) {
            struct live *live = &all[count++];
            live->size = (uint32_t)(1 + prng_below(&prng, sizes_max));
            live->fill = (unsigned char)prng_next(&prng);
            live->block = spans_alloc(spans, live->size);
            fill(live);
            bytes += spans_block_size(live->size);
        } else if (count != 0) {
            struct live *live = &all[prng_below(&prng, count)];
            verify(live);
            spans_free(spans, live->block, live->size);
            bytes -= spans_block_size(live->size);
            *live = all[--count];
        }
        most = MAX(most, bytes);
        assert_int_equal(spans_used_bytes(spans), bytes);
        if (prng_below(&prng, 20) == 0) spans_purge_some(spans);
        if (prng_below(&prng, 100) == 0) (void)spans_purge_rest(spans);
    }
    while (count != 0) {
        verify(&all[--count]);
        spans_free(spans, all[count].block, all[count].size);
    }
    purge(spans);
    assert_true(spans_held_bytes(spans) <= SPANS_SPARE + (SPANS_SPARE / FRAME + 1) * FRAME);
    free(all);
    spans_delete(spans);
    assert_int_equal(heap_used(heap, MEM_DATA), 0);
    heap_delete(heap);
}

static void against_a_twin(void **state) {
    (void)state;
    uint64_t first = seed_or(1);
    for (uint64_t seed = first; seed < first + (seed_given() ? 1 : 20); seed++) {
        printf("seed %llu\r", (unsigned long long)seed);
        fflush(stdout);
        model(seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(freed_frames_are_used_again),
        cmocka_unit_test(against_a_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
