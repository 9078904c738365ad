/* Quicklist: random pushes, drops, inserts, replacements, purges and appended runs, under rules that make nodes small,
 * against a plain array of strings; both ways, from every index, with all invariants checked, and memory exact to the
 * byte. Then what the header promises: slices are bounded, and what goes in bulk goes through the port. */
#include "core/assert.h"
#include "core/num.h"
#include "core/prng.h"
#include "core/quicklist.h"
#include "tests/support/seed.h"
#include "tests/support/store_memory.h"
#include "tests/support/text_array.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct store store;

static struct prng seeded(void) {
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    return prng;
}

static size_t memory_in_use(void) {
    return store_memory(&store);
}

/* --- the model --- */

struct model {
    struct prng prng;
    struct quicklist_rule rule;
    struct quicklist *list;
    struct text_array twin;
    size_t target; /* around which the length swings */
};

#define TEXT_MAX 70000

static struct slice random_text(struct prng *prng, char *text) {
    uint64_t kind = prng_below(prng, 200);
    if (kind < 60) return slice_of(text, num_format_i64(text, (int64_t)prng_below(prng, 5) - 2));
    if (kind < 80) return slice_of(text, num_format_i64(text, (int64_t)prng_next(prng) >> prng_below(prng, 64)));
    size_t len = prng_below(prng, kind < 170 ? 3 : kind < 197 ? 300 : kind < 199 ? 6000 : TEXT_MAX);
    memset(text, (int)('a' + prng_below(prng, 2)), len);
    return slice_of(text, len);
}

static void assert_text(const struct packed_value *value, struct slice expected) {
    char scratch[PACKED_SCRATCH];
    assert_true(slice_equal(packed_text(value, scratch), expected));
}

static void assert_same(const struct quicklist *list, const struct text_array *twin) {
    struct packed_value value;
    quicklist_check(list);
    assert_int_equal(quicklist_count(list), twin->count);
    struct quicklist_iter iter = quicklist_seek(list, 0);
    for (size_t i = 0; i < twin->count; i++) {
        assert_true(quicklist_next(&iter, &value));
        assert_text(&value, twin->texts[i]);
    }
    assert_false(quicklist_next(&iter, &value));
    for (size_t i = twin->count; i-- > 0;) {
        assert_true(quicklist_prev(&iter, &value));
        assert_text(&value, twin->texts[i]);
    }
    assert_false(quicklist_prev(&iter, &value));
    for (int end = LIST_HEAD; end <= LIST_TAIL; end++) {
        bool found = quicklist_peek(list, (enum list_end)end, &value);
        assert_int_equal(found, twin->count > 0);
        if (found) assert_text(&value, twin->texts[end == LIST_HEAD ? 0 : twin->count - 1]);
    }
}

static void push(struct model *model) {
    static char text[TEXT_MAX];
    enum list_end end = prng_below(&model->prng, 2) ? LIST_HEAD : LIST_TAIL;
    for (uint64_t count = prng_below(&model->prng, 40); count > 0; count--) {
        struct slice bytes = random_text(&model->prng, text);
        struct packed_value value = packed_value_of(bytes);
        quicklist_push(&store, model->list, &model->rule, end, &value);
        text_array_insert(&model->twin, end == LIST_HEAD ? 0 : model->twin.count, bytes);
    }
}

static void drop(struct model *model) {
    enum list_end end = prng_below(&model->prng, 2) ? LIST_HEAD : LIST_TAIL;
    size_t most = prng_below(&model->prng, 5) ? 30 : model->twin.count + 2;
    size_t count = prng_below(&model->prng, most), gone = MIN(count, model->twin.count);
    quicklist_drop(&store, model->list, end, count);
    text_array_remove(&model->twin, end == LIST_HEAD ? 0 : model->twin.count - gone, gone);
}

static void insert(struct model *model) {
    static char text[TEXT_MAX];
    struct slice bytes = random_text(&model->prng, text);
    struct packed_value value = packed_value_of(bytes), passed;
    size_t at = prng_below(&model->prng, model->twin.count + 1);
    struct quicklist_iter iter = quicklist_seek(model->list, at);
    if (prng_below(&model->prng, 2)) { /* the same place reached by steps, perhaps at the other node's border */
        if (at > 0 && prng_below(&model->prng, 2)) {
            iter = quicklist_seek(model->list, at - 1);
            (void)quicklist_next(&iter, &passed);
        } else if (at < model->twin.count) {
            iter = quicklist_seek(model->list, at + 1);
            (void)quicklist_prev(&iter, &passed);
        }
    }
    quicklist_insert(&store, model->list, &model->rule, &iter, &value);
    text_array_insert(&model->twin, at, bytes);
}

static void replace(struct model *model) {
    static char text[TEXT_MAX];
    if (model->twin.count == 0) return;
    struct slice bytes = random_text(&model->prng, text);
    struct packed_value value = packed_value_of(bytes);
    size_t at = prng_below(&model->prng, model->twin.count);
    struct quicklist_iter iter = quicklist_seek(model->list, at);
    quicklist_replace(&store, model->list, &model->rule, &iter, &value);
    text_array_replace(&model->twin, at, bytes);
}

static void purge(struct model *model) {
    static char text[TEXT_MAX];
    struct slice bytes = random_text(&model->prng, text);
    struct packed_value sought = packed_value_of(bytes);
    enum list_end from = prng_below(&model->prng, 2) ? LIST_HEAD : LIST_TAIL;
    uint64_t max = prng_below(&model->prng, 3) ? prng_below(&model->prng, 10) : UINT64_MAX;
    struct quicklist_purging purging = {.max = max};
    unsigned nodes = 1 + (unsigned)(quicklist_count(model->list) % 3);
    while (quicklist_purge_some(&store, model->list, &model->rule, from, &sought, &purging, nodes)) continue;
    uint64_t gone = purging.gone;
    assert_int_equal(gone, text_array_purge(&model->twin, from == LIST_TAIL, bytes, max));
}

static void append_run(struct model *model) {
    static char text[TEXT_MAX];
    uint32_t count = (uint32_t)prng_below(&model->prng, 100);
    char *bytes = malloc((size_t)(count + 1) * 20 + TEXT_MAX + 20), *end = bytes;
    for (uint32_t i = 0; i < count; i++) {
        struct slice one = random_text(&model->prng, text);
        if (one.len > 9 && i > 0) one.len = 9; /* room for one long one */
        struct packed_value value = packed_value_of(one);
        end = packed_write(end, &value);
        text_array_insert(&model->twin, model->twin.count, one);
    }
    struct packed run = {bytes, end, count};
    quicklist_append_run(&store, model->list, &model->rule, &run);
    free(bytes);
}

static void step(struct model *model) {
    bool grow = model->twin.count < model->target;
    switch (prng_below(&model->prng, 12)) {
    case 0: insert(model); break;
    case 1: insert(model); break;
    case 2: replace(model); break;
    case 3: purge(model); break;
    case 4: append_run(model); break;
    default:
        if (grow)
            push(model);
        else
            drop(model);
    }
    if (prng_below(&model->prng, 300) == 0) model->target = prng_below(&model->prng, 4000);
    if (prng_below(&model->prng, 50) == 0)
        model->rule.count_max = prng_below(&model->prng, 2) ? UINT32_MAX : 1 + (uint32_t)prng_below(&model->prng, 9);
}

static void agrees_with_an_array(void **state) {
    (void)state;
    struct model model = {.prng = seeded(), .rule = quicklist_rule_of(-1), .target = 1000};
    size_t before = memory_in_use();
    model.list = quicklist_new(&store);
    for (int i = 0; i < 6000; i++) {
        step(&model);
        assert_int_equal(memory_in_use() - before, quicklist_bytes(model.list));
        if (i % 5 == 0) assert_same(model.list, &model.twin);
        if (i % 100 == 0) {
            struct quicklist *copy = quicklist_new(&store);
            while (quicklist_copy_some(&store, copy, model.list, 1 + (unsigned)i / 100 % 5)) continue;
            quicklist_check(copy);
            assert_same(copy, &model.twin);
            quicklist_delete(&store, copy);
        }
    }
    quicklist_delete(&store, model.list);
    text_array_clear(&model.twin);
    assert_int_equal(memory_in_use(), before);
}

/* --- the header's promises --- */

static struct quicklist *numbers(uint64_t count) {
    struct quicklist_rule rule = quicklist_rule_of(-2);
    struct quicklist *list = quicklist_new(&store);
    char text[NUM_U64_MAX];
    for (uint64_t i = 0; i < count; i++) {
        struct packed_value value = packed_value_of(slice_of(text, num_format_u64(text, i)));
        quicklist_push(&store, list, &rule, LIST_TAIL, &value);
    }
    return list;
}

static void rules_are_those_of_redis(void **state) {
    (void)state;
    static const struct {
        int option;
        uint32_t block_max, count_max;
    } rows[] = {{-1, 4096, UINT32_MAX},
                {-2, 8192, UINT32_MAX},
                {-3, 16384, UINT32_MAX},
                {-4, 32768, UINT32_MAX},
                {-5, 65536, UINT32_MAX},
                {-6, 65536, UINT32_MAX},
                {INT32_MIN, 65536, UINT32_MAX},
                {0, 8192, 1},
                {1, 8192, 1},
                {128, 8192, 128},
                {INT32_MAX, 8192, INT32_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct quicklist_rule rule = quicklist_rule_of(rows[i].option);
        assert_int_equal(rule.block_max, rows[i].block_max);
        assert_int_equal(rule.count_max, rows[i].count_max);
    }
}

/* A node's worth of small numbers takes little more than its bytes. */
static void long_lists_are_dense(void **state) {
    (void)state;
    enum { COUNT = 200000 };
    struct quicklist *list = numbers(COUNT);
    struct packed run;
    size_t used = 0;
    for (const struct quicklist_node *node = NULL; (node = quicklist_walk(list, node, &run));)
        used += (size_t)(run.end - run.begin);
    assert_true(quicklist_bytes(list) < used + used / 50 + 8192);
    assert_true(quicklist_nodes(list) <= used / 8000 + 2);
    quicklist_delete(&store, list);
}

/* As a queue and as a stack, at either end, a list holds on to no more than it needs. */
static void ends_reuse_their_room(void **state) {
    (void)state;
    struct quicklist_rule rule = quicklist_rule_of(-2);
    for (int way = 0; way < 4; way++) {
        enum list_end in = way & 1 ? LIST_HEAD : LIST_TAIL, out = way & 2 ? LIST_HEAD : LIST_TAIL;
        struct quicklist *list = numbers(50);
        for (int i = 0; i < 100000; i++) {
            struct packed_value value = packed_value_of(SLICE("an element of a queue"));
            quicklist_push(&store, list, &rule, in, &value);
            quicklist_drop(&store, list, out, 1);
            assert_true(quicklist_bytes(list) <= 5 * 1024);
        }
        quicklist_check(list);
        quicklist_delete(&store, list);
    }
    struct quicklist *list = numbers(100000);
    quicklist_drop(&store, list, LIST_TAIL, 99990);
    quicklist_drop(&store, list, LIST_HEAD, 5);
    assert_true(quicklist_bytes(list) <= 2 * 1024);
    quicklist_delete(&store, list);
}

static void slices_are_bounded(void **state) {
    (void)state;
    struct quicklist *list = numbers(100000);
    uint64_t nodes = quicklist_nodes(list), steps = 1;
    while (quicklist_free_some(&store, list, 3)) steps++;
    assert_int_equal(steps, (nodes + 2) / 3);
}

struct later {
    void *objects[4];
    store_free_some free_some;
    uint32_t count;
    size_t block_size;
};

static void later_object(void *ctx, store_free_some free_some, void *object) {
    struct later *later = ctx;
    assert_true(later->count < ARRAY_LEN(later->objects));
    later->free_some = free_some;
    later->objects[later->count++] = object;
}

static void later_block(void *ctx, void *block, size_t size) {
    struct later *later = ctx;
    later->block_size += size;
    heap_free(store.heap, MEM_DATA, block, size);
}

static void bulk_goes_through_the_port(void **state) {
    (void)state;
    struct later later = {0};
    struct store with_port = store;
    with_port.later = (struct store_later){later_block, later_object, &later};
    struct quicklist *list = numbers(300000);
    quicklist_drop(&with_port, list, LIST_HEAD, 100000);
    quicklist_drop(&with_port, list, LIST_TAIL, 100000);
    quicklist_check(list);
    assert_int_equal(quicklist_count(list), 100000);
    assert_int_equal(later.count, 2);
    quicklist_drop(&with_port, list, LIST_TAIL, 1000000);
    assert_int_equal(quicklist_count(list), 0);
    assert_int_equal(later.count, 3);
    quicklist_delete(&with_port, list);
    quicklist_delete(&with_port, numbers(10)); /* at once */
    assert_int_equal(later.count, 3);
    for (uint32_t i = 0; i < later.count; i++)
        while (later.free_some(&with_port, later.objects[i], 7)) continue;

    struct quicklist_rule rule = quicklist_rule_of(-2);
    char *large = calloc(1, 2 * STORE_LATER_MIN);
    struct packed_value value = packed_value_of(slice_of(large, 2 * STORE_LATER_MIN));
    list = quicklist_new(&store);
    quicklist_push(&with_port, list, &rule, LIST_TAIL, &value);
    quicklist_drop(&with_port, list, LIST_TAIL, 1);
    assert_true(later.block_size > 2 * STORE_LATER_MIN);
    quicklist_delete(&with_port, list);
    free(large);
}

/* A long element gives its memory back when a short one takes its place. */
static void replacing_shrinks(void **state) {
    (void)state;
    struct quicklist_rule rule = quicklist_rule_of(-2);
    char *large = calloc(1, 100000);
    struct quicklist *list = numbers(10);
    struct packed_value value = packed_value_of(slice_of(large, 100000)), small = packed_value_of(SLICE("x"));
    struct quicklist_iter at = quicklist_seek(list, 5);
    quicklist_replace(&store, list, &rule, &at, &value);
    assert_int_equal(quicklist_nodes(list), 3);
    assert_true(quicklist_bytes(list) > 100000);
    at = quicklist_seek(list, 5);
    quicklist_replace(&store, list, &rule, &at, &small);
    assert_true(quicklist_bytes(list) < 4000);
    quicklist_check(list);
    quicklist_delete(&store, list);
    free(large);
}

static int setup(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    store = (struct store){.heap = heap, .slab = slab_new(heap, MEM_DATA)};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    int left = (int)slab_used_bytes(store.slab);
    slab_delete(store.slab);
    left |= (int)heap_used(store.heap, MEM_DATA);
    heap_delete(store.heap);
    return left == 0 ? 0 : -1;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(agrees_with_an_array),  TEST(rules_are_those_of_redis), TEST(long_lists_are_dense),
        TEST(ends_reuse_their_room), TEST(slices_are_bounded),       TEST(bulk_goes_through_the_port),
        TEST(replacing_shrinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
