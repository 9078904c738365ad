/* Reaper: everything handed over is freed, in bounded steps, in the class it belongs to, and counted once. */
#include "core/hash.h"
#include "shards/reaper.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct heap *heap;
static struct store store;
static struct reaper *reaper;

static uint64_t rehash(void *ctx, const void *entry) {
    struct slice key = entry_key(entry);
    return hash_bytes(ctx, key.ptr, key.len);
}

static const struct hashtable_type type = {.rehash = rehash};
static struct hash_seed seed = {1, 2};

static struct entry *new_entry(uint32_t number, size_t bytes) {
    char key[32];
    char *value = calloc(1, bytes + 1);
    size_t len = (size_t)snprintf(key, sizeof key, "key%u", number);
    struct entry *entry = entry_new_string(&store, slice_of(key, len), slice_of(value, bytes), 0, false);
    free(value);
    return entry;
}

static struct hashtable *new_table(uint32_t count, uint32_t large) {
    struct hashtable *table = hashtable_new(heap, store.slab, &type, &seed);
    for (uint32_t i = 0; i < count; i++) {
        struct entry *entry = new_entry(i, i < large ? 2 * REAP_BLOCK_MIN : i % 5000);
        hashtable_insert(table, rehash(&seed, entry), entry, 0);
    }
    return table;
}

static void idle_at_first(void **state) {
    (void)state;
    assert_true(reaper_idle(reaper));
    assert_false(reaper_step(reaper, 10));
    assert_int_equal(reaper_pending(reaper), 0);
    assert_int_equal(reaper_freed(reaper), 0);
}

static void small_entries_go_at_once(void **state) {
    (void)state;
    entry_delete(&store, new_entry(1, 10));
    entry_delete(&store, new_entry(2, 100000));
    assert_true(reaper_idle(reaper));
    assert_int_equal(slab_used_bytes(store.slab), 0);
}

static void large_blocks_go_in_pieces(void **state) {
    (void)state;
    enum { BYTES = 10 * 1024 * 1024 };
    int64_t before = heap_used(heap, MEM_INDEX);
    for (int i = 0; i < 3; i++) {
        char *block = heap_alloc(heap, MEM_INDEX, BYTES);
        memset(block, 1, BYTES);
        reaper_take_block(reaper, MEM_INDEX, block, BYTES);
    }
    assert_int_equal(reaper_pending(reaper), 3);
    unsigned steps = 1;
    while (reaper_step(reaper, 1)) steps++;
    assert_in_range(steps, 30, 33);
    assert_int_equal(heap_used(heap, MEM_INDEX), before);
    assert_int_equal(reaper_pending(reaper), 0);
    assert_int_equal(reaper_freed(reaper), 3);
    assert_true(reaper_idle(reaper));
    /* The queue works again after it was empty. */
    reaper_take_block(reaper, MEM_DATA, heap_alloc(heap, MEM_DATA, 100), 100);
    assert_false(reaper_step(reaper, 1));
    assert_int_equal(reaper_freed(reaper), 4);
}

static void tables_go_entry_by_entry(void **state) {
    (void)state;
    enum { COUNT = 3000, LARGE = 7 };
    reaper_take_table(reaper, new_table(COUNT, LARGE));
    reaper_take_table(reaper, new_table(0, 0));
    reaper_take_table(reaper, new_table(1, 1));
    assert_int_equal(reaper_pending(reaper), COUNT + 1);
    uint64_t freed = 0;
    while (reaper_step(reaper, 1)) {
        assert_true(reaper_freed(reaper) - freed <= 256); /* bounded */
        freed = reaper_freed(reaper);
    }
    assert_int_equal(reaper_freed(reaper), COUNT + 1); /* large ones once */
    assert_int_equal(reaper_pending(reaper), 0);
    assert_int_equal(slab_used_bytes(store.slab), 0);
    assert_int_equal(heap_used(heap, MEM_INDEX), 0);
}

static void deleting_frees_what_waits(void **state) {
    (void)state;
    reaper_take_table(reaper, new_table(500, 2));
    entry_delete(&store, new_entry(1, 3 * REAP_BLOCK_MIN));
    reaper_step(reaper, 1); /* teardown sees that nothing is left */
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    store = (struct store){.heap = heap, .slab = slab_new(heap, MEM_DATA)};
    reaper = reaper_new(&store);
    store.later = reaper_port(reaper);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    reaper_delete(reaper);
    slab_delete(store.slab);
    bool left = false;
    for (int i = 0; i < MEM_CLASSES; i++) left |= heap_used(heap, (enum mem_class)i) != 0;
    heap_delete(heap);
    return left ? -1 : 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(idle_at_first, setup, teardown),
        cmocka_unit_test_setup_teardown(small_entries_go_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(large_blocks_go_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_go_entry_by_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(deleting_frees_what_waits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
