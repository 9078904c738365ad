/* Buf: what is appended is what is read, across growth, compaction and reset; nothing is left allocated; sizes that
 * cannot be had are refused and change nothing. */
#include "core/buf.h"
#include "core/prng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void starts_empty_and_allocates_nothing(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct buf buf;
    buf_init(&buf, heap, MEM_CLIENT_OUT);
    assert_null(buf.data);
    assert_int_equal(buf_readable(&buf), 0);
    buf_append(&buf, NULL, 0);
    buf_append_slice(&buf, slice_of(NULL, 0));
    buf_compact(&buf);
    buf_reset(&buf, 0);
    assert_null(buf.data);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    buf_deinit(&buf);
    buf_deinit(&buf); /* twice is fine */
    heap_delete(heap);
}

static void appends_and_prints(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct buf buf;
    buf_init(&buf, heap, MEM_CLIENT_OUT);
    buf_append_literal(&buf, "one ");
    buf_append_slice(&buf, SLICE("two "));
    buf_printf(&buf, "%d %s", 3, "four");
    assert_true(slice_equal(buf_slice(&buf), SLICE("one two 3 four")));
    buf.read += 4;
    assert_true(slice_equal(buf_slice(&buf), SLICE("two 3 four")));
    buf_compact(&buf);
    assert_int_equal(buf.read, 0);
    assert_true(slice_equal(buf_slice(&buf), SLICE("two 3 four")));
    char long_text[3000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    buf_printf(&buf, "%s", long_text);
    assert_int_equal(buf_readable(&buf), 10 + 2999);
    assert_memory_equal(buf.data + 10, long_text, 2999);
    buf_deinit(&buf);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
}

static void reset_keeps_small_memory_only(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct buf buf;
    buf_init(&buf, heap, MEM_CLIENT_OUT);
    buf_append_literal(&buf, "abc");
    size_t cap = buf.cap;
    buf_reset(&buf, cap);
    assert_int_equal(buf.cap, cap);
    assert_int_equal(buf_readable(&buf), 0);
    buf_append_literal(&buf, "abc");
    buf_reset(&buf, cap - 1);
    assert_null(buf.data);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
}

static void cut_gives_back_what_is_behind(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct buf buf;
    buf_init(&buf, heap, MEM_CLIENT_OUT);
    buf_append_literal(&buf, "abc");
    int64_t before = heap_used(heap, MEM_CLIENT_OUT);
    for (int i = 0; i < 100000; i++) buf_append_literal(&buf, "xxxxxxxxxx");
    buf_cut(&buf, 3);
    assert_memory_equal(buf.data, "abc", 3);
    assert_int_equal(buf.len, 3);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), before);
    buf_cut(&buf, 0);
    buf_deinit(&buf);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
}

static void taken_memory_counts_for_who_takes_it(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct buf from, to;
    buf_init(&from, heap, MEM_MESSAGE);
    buf_init(&to, heap, MEM_CLIENT_OUT);
    buf_append_literal(&to, "old");
    to.read = to.len;
    buf_append_literal(&from, "what is taken");
    const char *memory = from.data;
    int64_t held = heap_used(heap, MEM_MESSAGE);
    buf_take(&to, &from);
    assert_ptr_equal(to.data, memory);
    assert_true(slice_equal(buf_slice(&to), SLICE("what is taken")));
    assert_int_equal(heap_used(heap, MEM_MESSAGE), 0);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), held);
    buf_append_literal(&from, "again"); /* it is as good as new */
    buf_deinit(&from);
    buf_deinit(&to);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
}

static void refuses_what_cannot_be_had(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct buf buf;
    buf_init(&buf, heap, MEM_CLIENT_OUT);
    buf_append_literal(&buf, "abc");
    size_t cap = buf.cap;
    assert_false(buf_try_reserve(&buf, (size_t)1 << 50));
    assert_int_equal(buf.cap, cap);
    assert_true(slice_equal(buf_slice(&buf), SLICE("abc")));
    assert_true(buf_try_reserve(&buf, 100000));
    assert_true(buf.cap - buf.len >= 100000);
    assert_true(slice_equal(buf_slice(&buf), SLICE("abc")));
    buf_deinit(&buf);
    heap_delete(heap);
}

/* Appends are amortised O(bytes): few moves on the way to 64 MiB, and at most a quarter too much at the end. */
static void grows_in_few_steps(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct buf buf;
    buf_init(&buf, heap, MEM_CLIENT_OUT);
    static const char chunk[4096];
    unsigned moves = 0;
    size_t cap = 0;
    for (size_t i = 0; i < 64u * 1024 * 1024; i += sizeof chunk) {
        buf_append(&buf, chunk, sizeof chunk);
        moves += buf.cap != cap;
        cap = buf.cap;
    }
    assert_true(moves < 40);
    assert_true(buf.cap <= buf.len + buf.len / 4 + sizeof chunk);
    buf_deinit(&buf);
    heap_delete(heap);
}

/* Random appends, reads and compactions against a plain array. */
static void model(uint64_t seed) {
    enum { MODEL_MAX = 1 << 20 };
    struct heap *heap = heap_new();
    struct buf buf;
    struct prng prng;
    prng_init(&prng, seed);
    buf_init(&buf, heap, MEM_CLIENT_OUT);
    char *model_bytes = malloc(MODEL_MAX);
    size_t from = 0, to = 0;
    for (int i = 0; i < 20000 && to < MODEL_MAX - 2000; i++) {
        switch (prng_below(&prng, 8)) {
        default: {
            size_t len = prng_below(&prng, prng_below(&prng, 10) ? 40 : 2000);
            for (size_t k = 0; k < len; k++) model_bytes[to + k] = (char)prng_next(&prng);
            buf_append(&buf, model_bytes + to, len);
            to += len;
            break;
        }
        case 0: {
            size_t len = prng_below(&prng, to - from + 1);
            buf.read += len;
            from += len;
            break;
        }
        case 1: buf_compact(&buf); break;
        case 2:
            if (prng_below(&prng, 50)) break;
            buf_reset(&buf, 4096);
            from = to;
            break;
        }
        struct slice readable = buf_slice(&buf);
        if (readable.len != to - from || (readable.len && memcmp(readable.ptr, model_bytes + from, readable.len) != 0))
            fail_msg("seed %llu: differs after step %d", (unsigned long long)seed, i);
    }
    free(model_bytes);
    buf_deinit(&buf);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
}

static void behaves_like_an_array(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) model(seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty_and_allocates_nothing),
        cmocka_unit_test(appends_and_prints),
        cmocka_unit_test(reset_keeps_small_memory_only),
        cmocka_unit_test(cut_gives_back_what_is_behind),
        cmocka_unit_test(taken_memory_counts_for_who_takes_it),
        cmocka_unit_test(refuses_what_cannot_be_had),
        cmocka_unit_test(grows_in_few_steps),
        cmocka_unit_test(behaves_like_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
