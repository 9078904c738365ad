/* Idtree: random insertions, also at the end alone, removals, cuts and steps, with slots of several sizes, against a
 * sorted array of ids; all invariants are checked, and memory is exact to the byte. */
#include "core/assert.h"
#include "core/idtree.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include "tests/support/store_memory.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define IDS_MAX 6000

static struct store store;
static size_t nothing; /* memory before there was anything */

static size_t memory_in_use(void) {
    return store_memory(&store) - nothing;
}

struct model {
    struct prng prng;
    struct idtree tree;
    size_t slot_size;
    struct stream_id ids[IDS_MAX];
    size_t count;
};

/* Behind its id each slot says it once more, as far as there is room. */
static void fill(const struct model *model, void *slot) {
    struct stream_id id;
    memcpy(&id, slot, sizeof id);
    for (size_t at = sizeof id; at < model->slot_size; at += 8) memcpy((char *)slot + at, &id.seq, 8);
}

static void assert_slot(const struct model *model, const void *slot, struct stream_id expected) {
    struct stream_id id;
    uint64_t word;
    assert_non_null(slot);
    memcpy(&id, slot, sizeof id);
    assert_true(stream_id_equal(id, expected));
    for (size_t at = sizeof id; at < model->slot_size; at += 8) {
        memcpy(&word, (const char *)slot + at, 8);
        assert_int_equal(word, id.seq);
    }
}

/* Of the twin: how many are below id. */
static size_t rank_of(const struct model *model, struct stream_id id) {
    size_t low = 0, high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (stream_id_compare(model->ids[middle], id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct stream_id random_id(struct prng *prng) {
    return (struct stream_id){prng_below(prng, 300), prng_below(prng, 100)};
}

static void insert(struct model *model, struct stream_id id) {
    size_t at = rank_of(model, id);
    bool there = at < model->count && stream_id_equal(model->ids[at], id);
    void *found = idtree_find(&model->tree, id);
    assert_int_equal(found != NULL, there);
    if (there || model->count == IDS_MAX) return;
    fill(model, idtree_insert(&store, &model->tree, id));
    memmove(model->ids + at + 1, model->ids + at, (model->count - at) * sizeof *model->ids);
    model->ids[at] = id;
    model->count++;
}

static void append(struct model *model) {
    struct stream_id id = model->count ? model->ids[model->count - 1] : STREAM_ID_MIN;
    for (uint64_t left = prng_below(&model->prng, 200); left > 0; left--) {
        id.ms += prng_below(&model->prng, 2);
        id.seq++;
        insert(model, id);
    }
}

static void remove_some(struct model *model) {
    size_t at = model->count ? prng_below(&model->prng, model->count) : 0;
    bool in_order = prng_below(&model->prng, 2);
    for (uint64_t left = prng_below(&model->prng, 150); left > 0 && model->count > 0; left--) {
        if (!in_order) at = prng_below(&model->prng, model->count);
        at = MIN(at, model->count - 1);
        idtree_remove(&store, &model->tree, model->ids[at]);
        model->count--;
        memmove(model->ids + at, model->ids + at + 1, (model->count - at) * sizeof *model->ids);
    }
}

/* A random stretch from a random place, both ways. */
static void step(struct model *model) {
    struct stream_id id = random_id(&model->prng);
    size_t at = rank_of(model, id);
    struct idtree_iter iter = idtree_seek(&model->tree, id);
    for (uint64_t left = prng_below(&model->prng, 200); left > 0; left--) {
        if (prng_below(&model->prng, 3)) {
            void *slot = idtree_next(&iter);
            assert_int_equal(slot != NULL, at < model->count);
            if (slot) assert_slot(model, slot, model->ids[at++]);
        } else {
            void *slot = idtree_prev(&iter);
            assert_int_equal(slot != NULL, at > 0);
            if (slot) assert_slot(model, slot, model->ids[--at]);
        }
    }
}

static void assert_same(const struct model *model) {
    struct idtree_iter first = idtree_begin(&model->tree), last = idtree_end(&model->tree);
    idtree_check(&model->tree);
    assert_int_equal(model->tree.count, model->count);
    assert_int_equal(memory_in_use(), model->tree.bytes);
    for (size_t i = 0; i < model->count; i++) {
        assert_slot(model, idtree_next(&first), model->ids[i]);
        assert_slot(model, idtree_prev(&last), model->ids[model->count - 1 - i]);
    }
    assert_null(idtree_next(&first));
    assert_null(idtree_prev(&last));
    if (model->count > 0)
        assert_slot(model, idtree_last(&model->tree), model->ids[model->count - 1]);
    else
        assert_null(idtree_last(&model->tree));
}

static void cut(struct model *model) {
    size_t count = prng_below(&model->prng, model->count + 1);
    struct idtree_iter iter;
    if (count > 0 && prng_below(&model->prng, 2)) { /* behind a slot rather than before one */
        iter = idtree_seek(&model->tree, model->ids[count - 1]);
        (void)idtree_next(&iter);
    } else {
        iter = count < model->count ? idtree_seek(&model->tree, model->ids[count]) : idtree_end(&model->tree);
    }
    struct idtree front;
    idtree_cut(&store, &model->tree, &iter, count, &front);
    idtree_check(&front);
    assert_int_equal(front.count, count);
    struct idtree_iter all = idtree_begin(&front);
    for (size_t i = 0; i < count; i++) assert_slot(model, idtree_next(&all), model->ids[i]);
    if (prng_below(&model->prng, 2))
        for (size_t i = 0; i < count; i++) idtree_drop_last(&store, &front);
    for (unsigned nodes = 1; idtree_free_some(&store, &front, &nodes); nodes = 3) assert_int_equal(nodes, 0);
    assert_int_equal(front.bytes, 0);
    memmove(model->ids, model->ids + count, (model->count - count) * sizeof *model->ids);
    model->count -= count;
    assert_same(model);
}

static void as_a_sorted_array(void **state) {
    static struct model model;
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    static const size_t sizes[] = {16, 24, 32, 40, 120};
    for (uint64_t round = 0; round < 20; round++) {
        prng_init(&model.prng, seed + round);
        model.slot_size = sizes[round % ARRAY_LEN(sizes)];
        model.count = 0;
        idtree_init(&model.tree, model.slot_size);
        for (int i = 0; i < 400; i++) {
            switch (prng_below(&model.prng, 8)) {
            case 0: append(&model); break;
            case 1:
                for (uint64_t left = prng_below(&model.prng, 150); left > 0; left--)
                    insert(&model, random_id(&model.prng));
                break;
            case 2:
            case 3: remove_some(&model); break;
            case 4:
                if (prng_below(&model.prng, 6) == 0) cut(&model);
                break;
            default: step(&model); break;
            }
            if (i % 20 == 0) assert_same(&model);
        }
        unsigned nodes = UINT32_MAX;
        assert_false(idtree_free_some(&store, &model.tree, &nodes));
        assert_int_equal(memory_in_use(), 0);
    }
}

/* What grows at its end, as streams do, has full nodes: 16 bytes of slot cost 17. */
static void grows_at_its_end_without_waste(void **state) {
    struct idtree tree;
    unsigned nodes = UINT32_MAX;
    (void)state;
    idtree_init(&tree, sizeof(struct stream_id));
    for (uint64_t i = 0; i < 100000; i++) idtree_insert(&store, &tree, (struct stream_id){1000 + i / 3, i % 3});
    assert_true(tree.bytes < 100000 * 17);
    assert_false(idtree_free_some(&store, &tree, &nodes));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_a_sorted_array),
                                       cmocka_unit_test(grows_at_its_end_without_waste)};
    store.heap = heap_new();
    store.slab = slab_new(store.heap, MEM_DATA);
    nothing = memory_in_use();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    slab_delete(store.slab);
    heap_delete(store.heap);
    return failed;
}
