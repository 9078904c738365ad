/* Message: what is packed comes out again, byte for byte and in order, whatever its size; and the pool gives back and
 * bounds memory. Argument bytes are exact blocks, so the sanitizer sees a read beyond them. */
#include "core/prng.h"
#include "shards/message.h"
#include "shards/reaper.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct heap *heap;
static struct reaper *reaper;
static struct message_pool pool;

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    reaper = reaper_new(&(struct store){.heap = heap});
    message_pool_init(&pool, heap, reaper);
    return 0;
}

static void assert_item(const struct message_item *item, const struct slice *argv, uint32_t argc) {
    assert_non_null(item);
    assert_int_equal((uintptr_t)item % 8, 0);
    assert_int_equal(item->argc, argc);
    struct slice *out = malloc((argc ? argc : 1) * sizeof *out);
    message_item_argv(item, out);
    for (uint32_t i = 0; i < argc; i++) assert_true(slice_equal(out[i], argv[i]));
    free(out);
}

static void packs_and_walks(void **state) {
    (void)state;
    struct message *message = message_new(&pool, 3, 5);
    assert_int_equal(message->kind, MESSAGE_COMMANDS);
    assert_int_equal(message->from, 3);
    assert_int_equal(message->to, 5);
    size_t at = 0;
    assert_null(message_next(message, &at));
    struct slice few[] = {SLICE("set"), SLICE(""), {NULL, 0}, SLICE("a\0b"), SLICE("12345678")};
    for (uint32_t argc = 1; argc <= 5; argc++) message_add(message, (struct message_note){.place = argc}, few, argc);
    assert_int_equal(message->count, 5);
    for (uint32_t argc = 1; argc <= 5; argc++) {
        struct message_item *item = message_next(message, &at);
        assert_item(item, few, argc);
        const struct message_note *note = message_note_at(message, argc - 1);
        assert_int_equal(note->place, argc);
        assert_null(note->client);
        assert_null(note->gather);
        assert_false(item->part);
        assert_false(item->silent);
    }
    assert_null(message_next(message, &at));
    assert_null(message_next(message, &at));
    message_release(&pool, message);
}

static void full_by_count_bytes_and_loneliness(void **state) {
    (void)state;
    struct slice ping = SLICE("ping");
    struct message *message = message_new(&pool, 0, 1);
    for (uint32_t i = 0; i < MESSAGE_ITEMS; i++) {
        assert_false(message_full(message));
        message_add(message, (struct message_note){0}, &ping, 1);
    }
    assert_true(message_full(message));
    message_release(&pool, message);

    message = message_new(&pool, 0, 1); /* the same one again: empty */
    assert_false(message_full(message));
    char *bytes = calloc(1, 10 * MESSAGE_BYTES);
    struct slice large = slice_of(bytes, 10 * MESSAGE_BYTES); /* one item may be larger than a message */
    message_add(message, (struct message_note){0}, &large, 1);
    assert_true(message_full(message));
    size_t at = 0;
    assert_item(message_next(message, &at), &large, 1);
    free(bytes);
    message_release(&pool, message);

    message = message_new(&pool, 0, 1);
    message->alone = true;
    assert_true(message_full(message));
    message_release(&pool, message);
    message = message_new(&pool, 0, 1);
    assert_false(message->alone);
    message_release(&pool, message);
}

static void random_items_come_out_again(void **state) {
    (void)state;
    enum { ITEMS = 60, ARGS = 40 };
    struct prng prng;
    prng_init(&prng, 7);
    for (int round = 0; round < 50; round++) {
        struct message *message = message_new(&pool, 0, 1);
        struct slice args[ITEMS][ARGS];
        uint32_t counts[ITEMS];
        for (int i = 0; i < ITEMS; i++) {
            counts[i] = 1 + (uint32_t)prng_below(&prng, ARGS - 1);
            for (uint32_t j = 0; j < counts[i]; j++) {
                size_t len = prng_below(&prng, 20) ? prng_below(&prng, 20) : prng_below(&prng, 3000);
                char *bytes = malloc(len ? len : 1);
                for (size_t k = 0; k < len; k++) bytes[k] = (char)prng_next(&prng);
                args[i][j] = slice_of(bytes, len);
            }
            message_add(message, (struct message_note){0}, args[i], counts[i]);
        }
        size_t at = 0;
        for (int i = 0; i < ITEMS; i++) {
            assert_item(message_next(message, &at), args[i], counts[i]);
            for (uint32_t j = 0; j < counts[i]; j++) free((void *)(uintptr_t)args[i][j].ptr);
        }
        assert_null(message_next(message, &at));
        message_release(&pool, message);
    }
}

static void lives_as_long_as_it_is_used(void **state) {
    (void)state;
    struct message *message = message_new(&pool, 0, 1);
    buf_append_literal(&message->reply, "+OK\r\n");
    message->uses += 2;
    uint32_t spare = pool.free_count;
    message_release(&pool, message);
    message_release(&pool, message);
    assert_int_equal(pool.free_count, spare);
    assert_memory_equal(message->reply.data, "+OK\r\n", 5);
    message_release(&pool, message);
    assert_int_equal(pool.free_count, spare + 1);
    struct message *again = message_new(&pool, 4, 6);
    assert_ptr_equal(again, message);
    assert_int_equal(again->uses, 1);
    assert_int_equal(again->count, 0);
    assert_int_equal(again->reply.len, 0);
    assert_int_equal(again->request.len, 0);
    message_release(&pool, again);
}

/* The reply is written on another heap and read at home: memory is counted in both, and the sum is right. */
static void replies_change_heaps(void **state) {
    (void)state;
    struct heap *other = heap_new();
    setup(state);
    struct message *message = message_new(&pool, 0, 1);
    buf_set_heap(&message->reply, other);
    for (int i = 0; i < 20000; i++) buf_append_literal(&message->reply, "$5\r\nhello\r\n");
    assert_true(heap_used(other, MEM_MESSAGE) > 0);
    message_release(&pool, message);
    assert_int_equal(pool.free->reply.cap, 0); /* large: not kept */
    message_pool_deinit(&pool);
    reaper_delete(reaper);
    assert_int_equal(heap_used(heap, MEM_MESSAGE) + heap_used(other, MEM_MESSAGE), 0);
    heap_delete(other);
    heap_delete(heap);
}

/* What a huge command leaves behind is freed in slices. */
static void large_buffers_go_to_the_reaper(void **state) {
    (void)state;
    struct message *message = message_new(&pool, 0, 1);
    buf_make_room(&message->reply, REAP_BLOCK_MIN);
    buf_make_room(&message->request, REAP_BLOCK_MIN);
    message_release(&pool, message);
    assert_int_equal(reaper_pending(reaper), 2);
    assert_int_equal(message->reply.cap + message->request.cap, 0);
    while (reaper_step(reaper, 1)) continue;
    assert_true(heap_used(heap, MEM_MESSAGE) < 64 * 1024);
}

static void splits_between_items(void **state) {
    (void)state;
    struct slice argv[] = {SLICE("get"), SLICE("key")};
    struct message *message = message_new(&pool, 3, 5);
    for (uint64_t i = 0; i < 5; i++) message_add(message, (struct message_note){.place = 100 + i}, argv, 2)->stamp = i;
    size_t at = 0;
    (void)message_next(message, &at);
    (void)message_next(message, &at);
    struct message *rest = message_split(&pool, message, at, 2);
    assert_true(rest->rest);
    assert_int_equal(rest->from, 3);
    assert_int_equal(rest->to, 5);
    assert_int_equal(message->count, 2);
    assert_int_equal(rest->count, 3);
    struct message *parts[] = {message, rest};
    uint64_t stamp = 0;
    for (int part = 0; part < 2; part++) {
        const struct message_item *item;
        at = 0;
        for (uint32_t i = 0; (item = message_next(parts[part], &at)); i++, stamp++) {
            assert_item(item, argv, 2);
            assert_int_equal(item->stamp, stamp);
            assert_int_equal(message_note_at(parts[part], i)->place, 100 + stamp);
        }
    }
    assert_int_equal(stamp, 5);
    /* What travels counts for whoever has it, to the byte. */
    int64_t before = heap_used(heap, MEM_MESSAGE);
    message_leaves(rest, heap);
    assert_true(heap_used(heap, MEM_MESSAGE) < before);
    message_arrives(rest, heap);
    assert_int_equal(heap_used(heap, MEM_MESSAGE), before);
    message_release(&pool, rest);
    message_release(&pool, message);
}

static void pool_is_bounded(void **state) {
    (void)state;
    enum { COUNT = 500 };
    struct message *all[COUNT];
    struct slice ping = SLICE("ping");
    for (int i = 0; i < COUNT; i++) message_add(all[i] = message_new(&pool, 0, 1), (struct message_note){0}, &ping, 1);
    for (int i = 0; i < COUNT; i++) message_release(&pool, all[i]);
    assert_true(pool.free_count >= 16 && pool.free_count < COUNT);
    uint32_t count = 0;
    for (struct message *message = pool.free; message; message = message->next) count++;
    assert_int_equal(count, pool.free_count);
}

static int teardown(void **state) {
    (void)state;
    message_pool_deinit(&pool);
    reaper_delete(reaper);
    bool nothing_left = heap_used(heap, MEM_MESSAGE) == 0;
    heap_delete(heap);
    return nothing_left ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(packs_and_walks, setup, teardown),
        cmocka_unit_test_setup_teardown(full_by_count_bytes_and_loneliness, setup, teardown),
        cmocka_unit_test_setup_teardown(random_items_come_out_again, setup, teardown),
        cmocka_unit_test_setup_teardown(lives_as_long_as_it_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(large_buffers_go_to_the_reaper, setup, teardown),
        cmocka_unit_test_setup_teardown(splits_between_items, setup, teardown),
        cmocka_unit_test_setup_teardown(pool_is_bounded, setup, teardown),
        cmocka_unit_test(replies_change_heaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
