/* Fuzz: packed runs from outside. Proves that packed_valid steps over no border, that what it accepts reads the same
 * from both ends, and that a quicklist made of it holds the same elements.
 *
 * With libFuzzer (SHERD_FUZZ, clang) this is a target; without it main plays mutations of good runs:
 *
 *    packed_fuzz [seconds [seed]]        default: 2 seconds of seed 1; `smoke` in ctest */
#include "core/assert.h"
#include "core/num.h"
#include "core/prng.h"
#include "core/quicklist.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One store for all inputs of the process; a fuzzer has one thread. */
static const struct store *store_get(void) {
    static struct store store;
    if (store.heap) return &store;
    store.heap = heap_new();
    ASSERT(store.heap);
    store.slab = slab_new(store.heap, MEM_DATA);
    return &store;
}

static void walk_both_ways(const struct packed *run) {
    struct packed_value value;
    uint32_t seen = 0;
    const char *at = run->begin;
    for (; at < run->end; seen++) {
        const char *next = packed_next(at);
        ASSERT(packed_read(at, &value) == next);
        ASSERT(value.is_int || (value.text.ptr > at && value.text.ptr + value.text.len < next));
        at = next;
    }
    ASSERT(at == run->end && seen == run->count);
    for (; at > run->begin; seen--) at = packed_prev(at);
    ASSERT(at == run->begin && seen == 0);
}

static void make_list(const struct packed *run) {
    const struct store *store = store_get();
    struct quicklist_rule rule = {128, 7};
    struct quicklist *list = quicklist_new(store);
    quicklist_append_run(store, list, &rule, run);
    quicklist_check(list);
    struct quicklist_iter iter = quicklist_seek(list, 0), alone = quicklist_iter_of_run(run, 0);
    struct packed_value a, b;
    while (quicklist_next(&alone, &a)) {
        bool more = quicklist_next(&iter, &b);
        ASSERT(more && a.is_int == b.is_int && (a.is_int ? a.number == b.number : slice_equal(a.text, b.text)));
    }
    ASSERT(!quicklist_next(&iter, &b));
    quicklist_delete(store, list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t count;
    const char *bytes = (const char *)data;
    if (!packed_valid(slice_of(bytes, size), &count) || size == 0) return 0;
    ASSERT(count > 0 && count <= size / 2);
    struct packed run = {bytes, bytes + size, (uint32_t)count};
    walk_both_ways(&run);
    make_list(&run);
    return 0;
}

#ifndef SHERD_LIBFUZZER

#define INPUT_MAX 16384
#define TEXT_MAX  5000

static size_t good_run(struct prng *prng, char *out) {
    char *at = out;
    for (uint64_t left = prng_below(prng, 20); left > 0 && at + TEXT_MAX + PACKED_OVER_MAX < out + INPUT_MAX; left--) {
        char text[TEXT_MAX];
        size_t len = prng_below(prng, prng_below(prng, 8) ? 100 : TEXT_MAX);
        memset(text, 'x', len);
        if (prng_below(prng, 2)) len = num_format_i64(text, (int64_t)prng_next(prng) >> prng_below(prng, 64));
        struct packed_value value = packed_value_of(slice_of(text, len));
        at = packed_write(at, &value);
    }
    return (size_t)(at - out);
}

static size_t mutate(struct prng *prng, char *bytes, size_t len) {
    for (uint64_t changes = prng_below(prng, 4); changes > 0 && len > 1; changes--) {
        size_t at = prng_below(prng, len);
        switch (prng_below(prng, 4)) {
        case 0: bytes[at] = (char)prng_next(prng); break;
        case 1: bytes[at] = (char)((unsigned char)bytes[at] ^ 1u << prng_below(prng, 8)); break;
        case 2: len = at + 1; break;
        default: /* one byte fewer */ memmove(bytes + at, bytes + at + 1, len - at - 1); len--;
        }
    }
    return len;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct prng prng;
    prng_init(&prng, seed);
    uint64_t rounds = 0;
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    for (; clock() < end; rounds++) {
        char bytes[INPUT_MAX];
        size_t len = mutate(&prng, bytes, good_run(&prng, bytes));
        uint8_t *exact = malloc(len ? len : 1); /* a block of its size, for AddressSanitizer */
        ASSERT(exact);
        memcpy(exact, bytes, len);
        (void)LLVMFuzzerTestOneInput(exact, len);
        free(exact);
    }
    printf("%llu runs of seed %llu\n", (unsigned long long)rounds, (unsigned long long)seed);
    return 0;
}

#endif
