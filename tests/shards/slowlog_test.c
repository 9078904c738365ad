/* Slow log: newest first, bounded, copies of what was shown in Redis's shape, and no leak. */
#include "shards/slowlog.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct heap *heap;

static void add(struct slowlog *log, uint32_t max, uint64_t n) {
    char text[32];
    snprintf(text, sizeof text, "value-%llu", (unsigned long long)n);
    struct slice argv[] = {SLICE("set"), SLICE("key"), slice_of_cstr(text)};
    log->now_us = 7000 + n;
    slowlog_add(log, max, 1000 + n, 10 * n, argv, 3, "127.0.0.1:5", "me");
    memset(text, 'x', sizeof text); /* the entry has its own copy */
}

static void assert_newest_first(const struct slowlog *log, uint64_t newest, uint32_t count) {
    assert_int_equal(log->count, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct slow_entry *entry = slowlog_at(log, i);
        char text[32];
        snprintf(text, sizeof text, "value-%llu", (unsigned long long)(newest - i));
        assert_int_equal(entry->id, newest - i);
        assert_int_equal(entry->time_s, 1000 + newest - i);
        assert_int_equal(entry->time_us, 7000 + newest - i);
        assert_int_equal(entry->argc, 3);
        assert_true(slice_equal(entry->argv[0], SLICE("set")));
        assert_true(slice_equal(entry->argv[2], slice_of_cstr(text)));
        assert_string_equal(entry->client, "127.0.0.1:5");
        assert_string_equal(entry->name, "me");
    }
    assert_null(slowlog_at(log, count));
}

static void keeps_the_newest(void **state) {
    (void)state;
    for (uint32_t max = 1; max < 70; max += 7) {
        struct slowlog log;
        slowlog_init(&log, heap);
        assert_null(slowlog_at(&log, 0));
        for (uint64_t n = 0; n < 200; n++) {
            add(&log, max, n);
            assert_newest_first(&log, n, (uint32_t)MIN(n + 1, max));
        }
        slowlog_deinit(&log);
        assert_int_equal(heap_used(heap, MEM_STATS), 0);
    }
}

static void follows_a_changed_limit(void **state) {
    (void)state;
    struct slowlog log;
    slowlog_init(&log, heap);
    uint64_t n = 0;
    for (; n < 40; n++) add(&log, 40, n);
    add(&log, 5, n);
    assert_newest_first(&log, n, 5);
    for (n++; n < 100; n++) add(&log, 100, n);
    assert_newest_first(&log, 99, 64);
    add(&log, 0, 1);
    assert_newest_first(&log, 0, 0);
    slowlog_deinit(&log);
    assert_int_equal(heap_used(heap, MEM_STATS), 0);
}

static void reset_forgets_but_ids_go_on(void **state) {
    (void)state;
    struct slowlog log;
    slowlog_init(&log, heap);
    for (uint64_t n = 0; n < 20; n++) add(&log, 10, n);
    slowlog_reset(&log);
    assert_int_equal(log.count, 0);
    assert_int_equal(heap_used(heap, MEM_STATS), 0);
    for (uint64_t n = 20; n < 25; n++) add(&log, 10, n);
    assert_newest_first(&log, 24, 5);
    slowlog_deinit(&log);
}

static void cuts_long_commands(void **state) {
    (void)state;
    struct slowlog log;
    slowlog_init(&log, heap);
    char big[200];
    memset(big, 'b', sizeof big);
    struct slice argv[40];
    for (int i = 0; i < 40; i++) argv[i] = SLICE("a");
    argv[1] = slice_of(big, sizeof big);
    argv[2] = slice_of(big, SLOWLOG_TEXT);
    argv[3] = slice_of(NULL, 0);
    slowlog_add(&log, 10, 1, 2, argv, 40,
                "a client address that is longer than the sixty-four bytes it may have in all", "");
    const struct slow_entry *entry = slowlog_at(&log, 0);
    assert_int_equal(entry->argc, SLOWLOG_ARGS);
    assert_true(slice_equal(entry->argv[31], SLICE("... (9 more arguments)")));
    assert_int_equal(entry->argv[1].len, SLOWLOG_TEXT + strlen("... (72 more bytes)"));
    assert_memory_equal(entry->argv[1].ptr + SLOWLOG_TEXT, "... (72 more bytes)", 19);
    assert_int_equal(entry->argv[2].len, SLOWLOG_TEXT);
    assert_int_equal(entry->argv[3].len, 0);
    assert_int_equal(strlen(entry->client), 63);
    slowlog_add(&log, 10, 1, 2, argv, 32, "", "");
    assert_true(slice_equal(slowlog_at(&log, 0)->argv[31], SLICE("a")));
    slowlog_deinit(&log);
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    heap_delete(heap);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_newest),
        cmocka_unit_test(follows_a_changed_limit),
        cmocka_unit_test(reset_forgets_but_ids_go_on),
        cmocka_unit_test(cuts_long_commands),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
