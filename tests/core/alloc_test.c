/* Alloc: what is counted follows what is held, class by class, and returns to zero. Sizes nobody has are refused
 * without a change; blocks keep their bytes when they are resized; pages are aligned and zero. */
#include "core/alloc.h"
#include "core/prng.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void counts_by_class(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    assert_non_null(heap);
    void *a = heap_alloc(heap, MEM_DATA, 100);
    void *b = heap_alloc(heap, MEM_INDEX, 3000);
    assert_int_equal(heap_used(heap, MEM_DATA), heap_block_size(100));
    assert_int_equal(heap_used(heap, MEM_INDEX), heap_block_size(3000));
    assert_int_equal(heap_used(heap, MEM_MESSAGE), 0);
    heap_free(heap, MEM_DATA, a, 100);
    heap_free(heap, MEM_INDEX, b, 3000);
    heap_free(heap, MEM_INDEX, NULL, 3000);
    for (unsigned c = 0; c < MEM_CLASSES; c++) {
        assert_int_equal(heap_used(heap, (enum mem_class)c), 0);
        assert_non_null(mem_class_name((enum mem_class)c));
    }
    heap_count(heap, MEM_STATS, 5);
    assert_int_equal(heap_used(heap, MEM_STATS), 5);
    heap_purge(heap);
    heap_delete(heap);
}

static void block_size_covers_the_request(void **state) {
    (void)state;
    for (size_t size = 1; size < 200000; size += 1 + size / 50) {
        assert_true(heap_block_size(size) >= size);
        assert_true(heap_block_size(size) <= size + size / 4 + 16);
        /* resize relies on this: a block of a size class may be counted under any size of the class */
        assert_int_equal(heap_block_size(heap_block_size(size)), heap_block_size(size));
    }
}

static void aligned_and_zero(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    for (size_t align = 8; align <= 4096; align *= 2) {
        for (size_t size = align; size <= 70000; size = size * 2 + align) {
            void *block = heap_alloc_aligned(heap, MEM_INDEX, size, align);
            assert_int_equal((uintptr_t)block & (align - 1), 0);
            memset(block, 0xEE, size);
            heap_free(heap, MEM_INDEX, block, size);
        }
    }
    assert_int_equal(heap_used(heap, MEM_INDEX), 0);
    for (size_t size = 1; size < 100000; size = size * 3 + 1) {
        unsigned char *block = heap_alloc_zero(heap, MEM_DATA, size);
        for (size_t i = 0; i < size; i++) assert_int_equal(block[i], 0);
        memset(block, 0xEE, size);
        heap_free(heap, MEM_DATA, block, size);
    }
    heap_delete(heap);
}

static void resize_keeps_bytes(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct prng prng;
    prng_init(&prng, 7);
    size_t size = 0;
    unsigned char *block = NULL;
    for (int round = 0; round < 2000; round++) {
        size_t next = 1 + prng_below(&prng, round % 10 == 0 ? 300000 : 2000);
        block = heap_resize(heap, MEM_DATA, block, size, next);
        for (size_t i = 0; i < MIN(size, next); i++)
            if (block[i] != (unsigned char)(i * 31)) fail_msg("byte %zu of %zu", i, next);
        for (size_t i = MIN(size, next); i < next; i++) block[i] = (unsigned char)(i * 31);
        size = next;
        assert_int_equal(heap_used(heap, MEM_DATA), heap_block_size(size));
    }
    heap_free(heap, MEM_DATA, block, size);
    assert_int_equal(heap_used(heap, MEM_DATA), 0);
    heap_delete(heap);
}

static void absurd_sizes_are_refused(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    assert_null(heap_try_alloc(heap, MEM_CLIENT_IN, SIZE_MAX));
    assert_null(heap_try_alloc(heap, MEM_CLIENT_IN, SIZE_MAX / 2));
    char *block = heap_try_alloc(heap, MEM_CLIENT_IN, 10);
    strcpy(block, "still me");
    assert_null(heap_try_resize(heap, MEM_CLIENT_IN, block, 10, SIZE_MAX - 5));
    assert_string_equal(block, "still me");
    assert_int_equal(heap_used(heap, MEM_CLIENT_IN), heap_block_size(10));
    heap_free(heap, MEM_CLIENT_IN, block, 10);
    heap_delete(heap);
}

static void pages_are_aligned(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    for (size_t align = 4096; align <= 4u << 20; align *= 4) {
        unsigned char *pages = heap_map(heap, MEM_DATA, 5 * 4096, align);
        assert_int_equal((uintptr_t)pages & (align - 1), 0);
        for (size_t i = 0; i < 5 * 4096; i++) assert_int_equal(pages[i], 0);
        assert_int_equal(heap_used(heap, MEM_DATA), 5 * 4096);
        heap_unmap(heap, MEM_DATA, pages, 5 * 4096);
    }
    assert_int_equal(heap_used(heap, MEM_DATA), 0);
    heap_delete(heap);
}

/* A block may be freed through the heap of the thread that received it; only the sum means something then. */
struct passed {
    void *block;
    int64_t used;
};
static void *receiver(void *arg) {
    struct passed *passed = arg;
    struct heap *heap = heap_new();
    heap_free(heap, MEM_MESSAGE, passed->block, 500);
    passed->used = heap_used(heap, MEM_MESSAGE);
    heap_delete(heap);
    return NULL;
}
static void blocks_may_travel(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct passed passed = {.block = heap_alloc(heap, MEM_MESSAGE, 500)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, receiver, &passed), 0);
    pthread_join(thread, NULL);
    assert_int_equal(heap_used(heap, MEM_MESSAGE) + passed.used, 0);
    heap_delete(heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_by_class),          cmocka_unit_test(block_size_covers_the_request),
        cmocka_unit_test(aligned_and_zero),         cmocka_unit_test(resize_keeps_bytes),
        cmocka_unit_test(absurd_sizes_are_refused), cmocka_unit_test(pages_are_aligned),
        cmocka_unit_test(blocks_may_travel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
