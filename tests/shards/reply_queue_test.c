/* Reply queue: replies that come in any order leave in the order of their commands, as with a naive twin that knows
 * all replies in advance. Held (local) and awaited (remote) ones are mixed at random, empty ones included; messages are
 * retained exactly as long as somebody reads in them. SHERD_SEED sets the seed; a failure prints it. */
#include "core/prng.h"
#include "shards/message.h"
#include "shards/reaper.h"
#include "shards/reply_queue.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct heap *heap;
static struct reaper *reaper;
static struct message_pool pool;
static struct reply_queue queue;
static struct buf out;

static void assert_out(const char *text) {
    assert_int_equal(buf_readable(&out), strlen(text));
    assert_memory_equal(out.data, text, strlen(text));
    buf_reset(&out, SIZE_MAX);
}

static void hold(const char *text) {
    size_t mark = queue.held.len;
    buf_append(&queue.held, text, strlen(text));
    reply_queue_hold(&queue, mark);
}

/* A reply that lies in a message of its own, which is released as the shard does. True: others are left. */
static bool fill(uint64_t place, const char *text) {
    struct message *message = message_new(&pool, 0, 1);
    buf_append(&message->reply, text, strlen(text));
    bool left = reply_queue_fill(&queue, place, buf_slice(&message->reply), message, &pool, &out);
    message_release(&pool, message);
    return left;
}

static void in_order_however_they_come(void **state) {
    (void)state;
    assert_true(reply_queue_empty(&queue));
    uint64_t a = reply_queue_reserve(&queue), b = reply_queue_reserve(&queue);
    hold("local;");
    uint64_t c = reply_queue_reserve(&queue);
    hold("");
    hold("last;");
    assert_int_equal(reply_queue_len(&queue), 6);
    fill(c, "c;");
    fill(b, "b;");
    assert_int_equal(buf_readable(&out), 0);
    assert_int_equal(pool.free_count, 0); /* both messages are still read */
    fill(a, "a;");
    assert_out("a;b;local;c;last;");
    assert_int_equal(pool.free_count, 3);
    assert_true(reply_queue_empty(&queue));
}

static void empty_replies_are_replies(void **state) {
    (void)state;
    uint64_t a = reply_queue_reserve(&queue), b = reply_queue_reserve(&queue), c = reply_queue_reserve(&queue);
    fill(b, "");
    fill(a, "");
    assert_int_equal(reply_queue_len(&queue), 1);
    fill(c, "c");
    assert_out("c");
    assert_true(reply_queue_empty(&queue));
}

/* A large reply that is the next to leave takes its memory along; behind others it is copied. */
static void large_ones_are_moved(void **state) {
    (void)state;
    const size_t len = 200000;
    for (int before = 0; before < 2; before++) {
        struct buf take;
        buf_init(&take, heap, MEM_CLIENT_OUT);
        buf_make_room(&take, len);
        memset(take.data, 'x', len);
        take.len = len;
        const char *memory = take.data;
        buf_append(&out, "before", before ? 6 : 0);
        assert_false(reply_queue_fill_own(&queue, reply_queue_reserve(&queue), &take, &pool, &out));
        assert_int_equal(buf_readable(&out), len + (before ? 6 : 0));
        assert_int_equal(out.data == memory, !before);
        assert_int_equal(out.data[out.len - 1], 'x');
        buf_deinit(&take);
        buf_reset(&out, 0);
    }
    assert_true(reply_queue_empty(&queue));
}

/* So does one that is the last in a message, unless others in there are still waited with. */
static void large_ones_leave_their_message(void **state) {
    (void)state;
    const size_t len = 200000;
    for (int shared = 0; shared < 2; shared++) {
        struct message *message = message_new(&pool, 0, 1);
        buf_append_literal(&message->reply, "head");
        buf_make_room(&message->reply, len);
        memset(message->reply.data + 4, 'x', len);
        message->reply.len += len;
        struct slice reply = slice_of(message->reply.data + 4, len);
        message->uses += (uint32_t)shared;
        assert_false(reply_queue_fill(&queue, reply_queue_reserve(&queue), reply, message, &pool, &out));
        assert_int_equal(buf_readable(&out), len);
        assert_int_equal(out.read, 0);
        assert_int_equal(out.data[0] == 'x' && out.data[len - 1] == 'x', 1);
        assert_int_equal(message->reply.data == NULL, !shared);
        for (int i = 0; i <= shared; i++) message_release(&pool, message);
        buf_reset(&out, 0);
    }
    assert_true(reply_queue_empty(&queue));
}

/* left: others are. */
static struct buf flushed(bool *left) {
    struct buf next;
    buf_init(&next, heap, MEM_CLIENT_OUT);
    *left = reply_queue_flush(&queue, &pool, &next);
    assert_true(buf_readable(&next) > 0);
    return next;
}

/* Those that were there before what is in front of them are left, and then leave with their memory: one of its own, one of
 * a message, and one that was held. */
static void large_ones_that_waited_are_moved(void **state) {
    (void)state;
    const size_t len = 200000;
    for (int kind = 0; kind < 3; kind++) {
        uint64_t first = reply_queue_reserve(&queue);
        hold("second");
        struct buf text;
        struct message *message = message_new(&pool, 0, 1);
        buf_init(&text, heap, MEM_CLIENT_OUT);
        struct buf *written = kind == 0 ? &text : kind == 1 ? &message->reply : &queue.held;
        size_t mark = written->len;
        buf_make_room(written, len);
        memset(written->data + mark, 'x', len);
        written->len += len;
        const char *memory = written->data;
        struct slice reply = buf_slice(&message->reply);
        uint64_t place = kind < 2 ? reply_queue_reserve(&queue) : 0;
        if (kind == 0) assert_false(reply_queue_fill_own(&queue, place, &text, &pool, &out));
        if (kind == 1) assert_false(reply_queue_fill(&queue, place, reply, message, &pool, &out));
        if (kind == 2) reply_queue_hold(&queue, mark);
        message_release(&pool, message);
        hold("last");
        assert_true(fill(first, "first"));
        assert_out("firstsecond");
        bool left;
        struct buf next = flushed(&left);
        assert_ptr_equal(next.data, memory);
        assert_int_equal(next.data[0] == 'x' && next.data[len - 1] == 'x', 1);
        if (buf_readable(&next) == len) { /* else what is small had room behind it */
            assert_true(left);
            buf_deinit(&next);
            next = flushed(&left);
        }
        assert_false(left);
        assert_memory_equal(next.data + next.len - 4, "last", 4);
        assert_true(reply_queue_empty(&queue));
        buf_deinit(&next);
        buf_deinit(&text);
    }
}

/* A short reply in a long block waits in one of its own length, and the long one stays with the caller; one that fills
 * its block waits in it. */
static void short_ones_do_not_keep_long_blocks(void **state) {
    (void)state;
    for (size_t len = 0; len <= 3000; len += 1000) {
        struct buf take;
        buf_init(&take, heap, MEM_CLIENT_OUT);
        buf_make_room(&take, 4096);
        memset(take.data, 'y', len);
        take.len = len;
        const char *memory = take.data;
        uint64_t first = reply_queue_reserve(&queue), second = reply_queue_reserve(&queue);
        assert_false(reply_queue_fill_own(&queue, second, &take, &pool, &out));
        assert_int_equal(take.data == memory, len > 0 && len < 2048);
        buf_deinit(&take);
        assert_int_equal(buf_readable(&out), 0);
        fill(first, "x");
        assert_int_equal(buf_readable(&out), 1 + len);
        assert_int_equal(out.data[out.len - 1], len ? 'y' : 'x');
        buf_reset(&out, 0);
    }
    assert_true(reply_queue_empty(&queue));
}

/* One that always has something outstanding keeps what is waiting, not all that ever waited. */
static void held_bytes_leave(void **state) {
    (void)state;
    char text[101];
    memset(text, 'x', 100);
    text[100] = 0;
    uint64_t place = reply_queue_reserve(&queue);
    for (int i = 0; i < 10000; i++) {
        snprintf(text, sizeof text, "%099d", i);
        hold(text);
        uint64_t next = reply_queue_reserve(&queue);
        fill(place, "");
        assert_out(text);
        place = next;
        assert_true(queue.held.cap <= 64 * 1024);
    }
    fill(place, "");
    assert_true(reply_queue_empty(&queue));
}

/* --- model --- */

#define PENDING_MAX REPLY_QUEUE_MAX

static void append_text(struct prng *prng, struct buf *buf, uint64_t number) {
    buf_printf(buf, "<%" PRIu64 ">", number);
    uint64_t most = prng_below(prng, 500) ? 3000 : 2 * MESSAGE_MOVES;
    for (uint64_t n = prng_below(prng, 30) ? prng_below(prng, 8) : prng_below(prng, most); n; n--)
        buf_append(buf, "z", 1);
}

/* Several outstanding replies come in one message, like those of one owner. */
static void fill_some(struct prng *prng, uint64_t *places, struct slice *texts, uint32_t *count, uint32_t how_many) {
    struct message *message = message_new(&pool, 0, 1);
    size_t ends[16];
    uint32_t chosen[16], n = 0;
    for (; n < how_many && *count; n++) {
        chosen[n] = (uint32_t)prng_below(prng, *count);
        uint32_t i = chosen[n], last = --*count;
        buf_append_slice(&message->reply, texts[i]);
        ends[n] = message->reply.len;
        uint64_t place = places[i];
        struct slice text = texts[i];
        places[i] = places[last];
        texts[i] = texts[last];
        places[last] = place; /* behind the end: what is filled below */
        texts[last] = text;
    }
    size_t at = 0;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = *count + n - 1 - k;
        struct slice reply = slice_of(message->reply.data + at, ends[k] - at);
        bool left = reply_queue_fill(&queue, places[i], reply, message, &pool, &out);
        while (left) {
            struct buf next = flushed(&left);
            buf_append_slice(&out, buf_slice(&next));
            buf_deinit(&next);
        }
        free((void *)(uintptr_t)texts[i].ptr);
        at = ends[k];
    }
    message_release(&pool, message);
}

static void random_orders(void **state) {
    (void)state;
    uint64_t seed = seed_or(1);
    for (uint64_t round = 0; round < 60; round++) {
        struct prng prng;
        prng_init(&prng, seed + round);
        struct buf expected;
        buf_init(&expected, heap, MEM_STATS);
        uint64_t places[PENDING_MAX], number = 0;
        struct slice texts[PENDING_MAX];
        uint32_t pending = 0, most = 1 + (uint32_t)prng_below(&prng, PENDING_MAX - 1), longest = 0;
        for (int step = 0; step < 3000 || pending; step++) {
            bool more = step < 3000 && reply_queue_len(&queue) < most;
            if (more && prng_below(&prng, 5) < 3) {
                size_t mark = expected.len;
                buf_make_room(&expected, 1);
                if (prng_below(&prng, 10)) append_text(&prng, &expected, number++);
                struct slice text = slice_of(expected.data + mark, expected.len - mark);
                if (prng_below(&prng, 2) == 0 && !reply_queue_empty(&queue)) {
                    size_t at = queue.held.len;
                    buf_append_slice(&queue.held, text);
                    reply_queue_hold(&queue, at);
                } else if (prng_below(&prng, 4) == 0 && reply_queue_empty(&queue)) {
                    buf_append_slice(&out, text); /* direct, as run_local does */
                } else {
                    char *copy = malloc(text.len + 1);
                    if (text.len) memcpy(copy, text.ptr, text.len);
                    places[pending] = reply_queue_reserve(&queue);
                    texts[pending++] = slice_of(copy, text.len);
                }
            } else if (pending) {
                fill_some(&prng, places, texts, &pending, 1 + (uint32_t)prng_below(&prng, 16));
            }
            longest = MAX(longest, reply_queue_len(&queue));
            bool prefix = out.len <= expected.len && (out.len == 0 || memcmp(out.data, expected.data, out.len) == 0);
            if (!prefix || (pending == 0) != reply_queue_empty(&queue))
                fail_msg("seed %" PRIu64 ", step %d: wrong order", seed + round, step);
        }
        if (out.len != expected.len)
            fail_msg("seed %" PRIu64 ": %zu of %zu bytes", seed + round, out.len, expected.len);
        assert_true(longest <= REPLY_QUEUE_MAX);
        buf_deinit(&expected);
        buf_reset(&out, 0);
    }
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    reaper = reaper_new(&(struct store){.heap = heap});
    message_pool_init(&pool, heap, reaper);
    reply_queue_init(&queue, heap);
    buf_init(&out, heap, MEM_CLIENT_OUT);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    reply_queue_deinit(&queue);
    buf_deinit(&out);
    message_pool_deinit(&pool);
    reaper_delete(reaper);
    bool nothing_left = heap_used(heap, MEM_CLIENT_OUT) == 0 && heap_used(heap, MEM_MESSAGE) == 0;
    heap_delete(heap);
    return nothing_left ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_order_however_they_come, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_replies_are_replies, setup, teardown),
        cmocka_unit_test_setup_teardown(large_ones_are_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(large_ones_leave_their_message, setup, teardown),
        cmocka_unit_test_setup_teardown(large_ones_that_waited_are_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(short_ones_do_not_keep_long_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(held_bytes_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(random_orders, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
