/* Chain: what is appended comes out in order, whether blocks are taken off meanwhile or chains are joined; blocks stay small
 * and move without being copied; bytes that several chains share are there once, and go with the last; nothing is left
 * allocated. A naive twin (one long string) knows the bytes. SHERD_SEED
 * sets the seed; a failure prints it. */
#include "core/chain.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void append(struct chain *chain, struct heap *heap, const void *bytes, size_t len) {
    buf_append(chain_tail(chain, heap, MEM_CLIENT_OUT), bytes, len);
}

static void starts_empty_and_small(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct chain chain = {0}, other = {0};
    assert_true(chain_empty(&chain));
    assert_int_equal(chain_len(&chain), 0);
    chain_join(&chain, &other);
    chain_deinit(&chain, heap);
    append(&chain, heap, "hello", 5);
    assert_int_equal(chain_len(&chain), 5);
    assert_true(heap_used(heap, MEM_CLIENT_OUT) < 1024);
    struct buf out = {.heap = heap, .owner = MEM_MESSAGE};
    chain_flatten(&chain, heap, &out);
    assert_true(slice_equal(buf_slice(&out), SLICE("hello")));
    assert_true(chain_empty(&chain));
    buf_deinit(&out);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
}

static void an_append_larger_than_a_block_has_its_own(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct chain chain = {0};
    size_t large = 3 * CHAIN_BLOCK;
    char *bytes = calloc(1, large);
    append(&chain, heap, bytes, large);
    append(&chain, heap, "x", 1);
    chain_check(&chain);
    assert_ptr_not_equal(chain.first, chain.last);
    struct buf out = {0};
    const char *memory = chain.first->bytes.data;
    assert_null(chain_take_first(&chain, heap, &out));
    assert_ptr_equal(out.data, memory);
    assert_int_equal(out.len, large);
    assert_int_equal(chain_len(&chain), 1);
    buf_deinit(&out);
    chain_deinit(&chain, heap);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
    free(bytes);
}

/* As a reply does: filled on one heap, passed on and freed through another. */
static void changes_heaps(void **state) {
    (void)state;
    struct heap *here = heap_new(), *there = heap_new();
    struct chain chain = {0};
    char bytes[1000] = {0};
    for (int i = 0; i < 1000; i++) append(&chain, there, bytes, sizeof bytes);
    chain_check(&chain);
    struct buf out = {0};
    assert_null(chain_take_first(&chain, here, &out));
    assert_ptr_equal(out.heap, here);
    assert_true(out.cap <= CHAIN_BLOCK);
    buf_deinit(&out);
    append(&chain, here, bytes, sizeof bytes);
    chain_deinit(&chain, here);
    assert_int_equal(heap_used(here, MEM_CLIENT_OUT) + heap_used(there, MEM_CLIENT_OUT), 0);
    heap_delete(here);
    heap_delete(there);
}

static struct shared_bytes *shared_of(struct heap *heap, const void *bytes, size_t len) {
    struct shared_bytes *shared = shared_bytes_new(heap, MEM_CLIENT_OUT, len);
    memcpy(shared->data, bytes, len);
    return shared;
}

static void shares_what_others_have_too(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct chain chains[50] = {0};
    size_t large = 1024 * 1024;
    char *bytes = calloc(1, large);
    struct shared_bytes *shared = shared_of(heap, bytes, large);
    int64_t one = heap_used(heap, MEM_CLIENT_OUT);
    for (int i = 0; i < 50; i++) {
        append(&chains[i], heap, "before", 6);
        chain_add_shared(&chains[i], heap, shared);
        append(&chains[i], heap, "behind", 6);
        chain_check(&chains[i]);
        assert_int_equal(chain_len(&chains[i]), large + 12);
        assert_true(chain_held(&chains[i]) < (i ? large : 2 * large));
    }
    assert_true(heap_used(heap, MEM_CLIENT_OUT) < one + 50 * (CHAIN_BLOCK + 2048));
    shared_bytes_let_go(shared, heap);
    for (int i = 0; i < 49; i++) {
        struct buf out = {0};
        assert_null(chain_take_first(&chains[i], heap, &out));
        assert_true(slice_equal(buf_slice(&out), SLICE("before")));
        buf_deinit(&out);
        struct shared_bytes *use = chain_take_first(&chains[i], heap, &out);
        assert_ptr_equal(use, shared);
        assert_ptr_equal(out.data, shared->data);
        assert_int_equal(out.len, large);
        shared_bytes_let_go(use, heap);
        chain_deinit(&chains[i], heap);
    }
    struct buf out = {.heap = heap, .owner = MEM_CLIENT_OUT};
    chain_flatten(&chains[49], heap, &out);
    assert_int_equal(out.len, large + 12);
    buf_deinit(&out);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
    free(bytes);
}

#define BLOCK ((size_t)32 * 1024)

static void blocks_of_a_size_do_not_grow(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct chain chain = {0};
    char bytes[3000] = {0};
    for (int i = 0; i < 100; i++) {
        bool room = chain_has_room(&chain, sizeof bytes);
        const struct chain_block *last = chain.last;
        buf_append(chain_tail_sized(&chain, heap, MEM_CLIENT_OUT, sizeof bytes, BLOCK), bytes, sizeof bytes);
        assert_true(room == (chain.last == last));
        assert_int_equal(chain.last->bytes.cap, BLOCK);
    }
    chain_check(&chain);
    assert_int_equal(chain_len(&chain), 100 * sizeof bytes);
    struct buf take = {.heap = heap, .owner = MEM_CLIENT_OUT};
    chain_take_buf(&chain, heap, MEM_CLIENT_OUT, &take); /* nothing */
    assert_int_equal(chain_len(&chain), 100 * sizeof bytes);
    buf_append(&take, bytes, 5);
    const char *memory = take.data;
    chain_take_buf(&chain, heap, MEM_CLIENT_OUT, &take);
    assert_ptr_equal(chain.last->bytes.data, memory);
    assert_null(take.data);
    chain_check(&chain);
    chain_deinit(&chain, heap);
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
}

#define CHAINS 3

static void fill_some(struct prng *prng, struct chain *chain, struct heap *heap, struct buf *twin) {
    static char bytes[2 * CHAIN_BLOCK];
    size_t len = (size_t)prng_below(prng, prng_below(prng, 10) ? 5000 : sizeof bytes);
    for (size_t i = 0; i < len; i += 97) bytes[i] = (char)prng_next(prng);
    append(chain, heap, bytes, len);
    buf_append(twin, bytes, len);
}

/* Behind several of the chains at once, and the maker's use goes first. */
static void share_some(struct prng *prng, struct heap *heap, struct chain *chains, struct buf *twins) {
    static char bytes[2 * CHAIN_BLOCK];
    size_t len = 1 + (size_t)prng_below(prng, prng_below(prng, 4) ? 5000 : sizeof bytes - 1);
    for (size_t i = 0; i < len; i += 97) bytes[i] = (char)prng_next(prng);
    struct shared_bytes *shared = shared_of(heap, bytes, len);
    for (int i = 0; i < CHAINS; i++) {
        if (prng_below(prng, 2)) continue;
        chain_add_shared(&chains[i], heap, shared);
        buf_append(&twins[i], bytes, len);
    }
    shared_bytes_let_go(shared, heap);
}

static void assert_next(struct buf *twin, struct slice bytes) {
    assert_true(bytes.len <= buf_readable(twin));
    assert_memory_equal(twin->data + twin->read, bytes.ptr, bytes.len);
    twin->read += bytes.len;
}

static void step(struct prng *prng, struct heap *heap, struct chain *chains, struct buf *twins) {
    size_t i = (size_t)prng_below(prng, CHAINS), j = (size_t)prng_below(prng, CHAINS);
    struct chain *chain = &chains[i];
    uint64_t die = prng_below(prng, 20);
    if (die == 0 && i != j) {
        chain_join(chain, &chains[j]);
        buf_append_slice(&twins[i], buf_slice(&twins[j]));
        buf_reset(&twins[j], 0);
        chain_check(&chains[j]);
    } else if (die < 4 && !chain_empty(chain)) {
        struct buf out = {0};
        struct shared_bytes *shared = chain_take_first(chain, heap, &out);
        if (out.len) assert_next(&twins[i], buf_slice(&out));
        if (shared)
            shared_bytes_let_go(shared, heap);
        else
            buf_deinit(&out);
    } else if (die < 7) {
        share_some(prng, heap, chains, twins);
    } else if (die < 10) {
        size_t len = (size_t)prng_below(prng, 100000);
        char *bytes = calloc(1, len + 1);
        buf_append(chain_tail_sized(chain, heap, MEM_CLIENT_OUT, len, BLOCK), bytes, len);
        buf_append(&twins[i], bytes, len);
        free(bytes);
    } else if (die < 18) {
        fill_some(prng, chain, heap, &twins[i]);
    }
    chain_check(chain);
    assert_int_equal(chain_len(chain), buf_readable(&twins[i]));
    if (buf_readable(&twins[i]) < 8 * 1024 * 1024) return;
    chain_deinit(chain, heap);
    buf_reset(&twins[i], 0);
}

static void equals_a_naive_twin(void **state) {
    (void)state;
    uint64_t seed = seed_or(1);
    printf("seed %" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    struct heap *heap = heap_new();
    struct chain chains[CHAINS] = {0};
    struct buf twins[CHAINS];
    for (int i = 0; i < CHAINS; i++) buf_init(&twins[i], heap, MEM_MESSAGE);
    for (int i = 0; i < 20000; i++) step(&prng, heap, chains, twins);
    for (int i = 0; i < CHAINS; i++) {
        struct buf out = {.heap = heap, .owner = MEM_MESSAGE};
        chain_flatten(&chains[i], heap, &out);
        assert_int_equal(out.len, buf_readable(&twins[i]));
        if (out.len) assert_next(&twins[i], buf_slice(&out));
        buf_deinit(&out);
        buf_deinit(&twins[i]);
    }
    assert_int_equal(heap_used(heap, MEM_CLIENT_OUT), 0);
    heap_delete(heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty_and_small),
        cmocka_unit_test(an_append_larger_than_a_block_has_its_own),
        cmocka_unit_test(changes_heaps),
        cmocka_unit_test(shares_what_others_have_too),
        cmocka_unit_test(blocks_of_a_size_do_not_grow),
        cmocka_unit_test(equals_a_naive_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
