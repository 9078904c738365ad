/* List: random pushes, drops, inserts, replacements and purges through a keyspace, around the border where a small list
 * becomes a quicklist, against a plain array of strings. The key is there exactly as long as something is in the list,
 * keeps its deadline, and gives back every byte. */
#include "core/num.h"
#include "core/prng.h"
#include "shards/list.h"
#include "shards/reaper.h"
#include "tests/support/seed.h"
#include "tests/support/text_array.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define TEXT_MAX 3000

static struct heap *heap;
static struct keyspace_shared shared;
static struct keyspace *keys;

static struct key_ref open_list(void) {
    struct key_ref ref;
    (void)keyspace_open(keys, SLICE("list"), key_hash(&shared, SLICE("list")), &ref);
    return ref;
}

/* --- the model --- */

struct model {
    struct prng prng;
    struct text_array twin;
    uint64_t deadline_ms;
    size_t target; /* around which the length swings */
};

static struct slice random_text(struct prng *prng, char *text) {
    uint64_t kind = prng_below(prng, 100);
    if (kind < 40) return slice_of(text, num_format_i64(text, (int64_t)prng_below(prng, 5) - 2));
    if (kind < 50) return slice_of(text, num_format_i64(text, (int64_t)prng_next(prng) >> prng_below(prng, 64)));
    size_t len = prng_below(prng, kind < 85 ? 3 : kind < 98 ? 100 : TEXT_MAX);
    memset(text, (int)('a' + prng_below(prng, 2)), len);
    return slice_of(text, len);
}

static void assert_text(const struct packed_value *value, struct slice expected) {
    char scratch[PACKED_SCRATCH];
    assert_true(slice_equal(packed_text(value, scratch), expected));
}

static void assert_same(struct model *model) {
    struct key_ref ref = open_list();
    struct packed_value value;
    size_t count = model->twin.count;
    assert_int_equal(ref.entry != NULL, count > 0);
    if (!ref.entry) return;
    assert_int_equal(list_len(ref.entry), count);
    assert_int_equal(entry_deadline_ms(ref.entry), model->deadline_ms);
    size_t from = prng_below(&model->prng, count + 1);
    struct quicklist_iter iter = list_seek(ref.entry, from);
    for (size_t i = from; i < count; i++) {
        assert_true(list_step(&iter, LIST_HEAD, &value));
        assert_text(&value, model->twin.texts[i]);
    }
    assert_false(list_step(&iter, LIST_HEAD, &value));
    for (size_t i = count; i-- > 0;) {
        assert_true(list_step(&iter, LIST_TAIL, &value));
        assert_text(&value, model->twin.texts[i]);
    }
    list_peek(ref.entry, LIST_HEAD, &value);
    assert_text(&value, model->twin.texts[0]);
    list_peek(ref.entry, LIST_TAIL, &value);
    assert_text(&value, model->twin.texts[count - 1]);
    if (ref.entry->encoding == ENC_OBJECT)
        quicklist_check(entry_object(ref.entry));
    else
        assert_true(entry_packed(ref.entry).end - entry_packed(ref.entry).begin <= LIST_EMBED_MAX);
}

static void push(struct model *model) {
    static char bytes[40][TEXT_MAX];
    struct slice texts[40];
    struct key_ref ref = open_list();
    enum list_end end = prng_below(&model->prng, 2) ? LIST_HEAD : LIST_TAIL;
    uint32_t count = 1 + (uint32_t)prng_below(&model->prng, prng_below(&model->prng, 4) ? 3 : 40);
    if (!ref.entry) model->deadline_ms = 0;
    for (uint32_t i = 0; i < count; i++) {
        texts[i] = random_text(&model->prng, bytes[i]);
        text_array_insert(&model->twin, end == LIST_HEAD ? 0 : model->twin.count, texts[i]);
    }
    list_push(keys, &ref, end, texts, count);
    assert_non_null(ref.entry);
    if (prng_below(&model->prng, 10) == 0) {
        model->deadline_ms = prng_below(&model->prng, 2) ? 0 : shared.now_ms + 1 + prng_below(&model->prng, 1000);
        keyspace_set_deadline(keys, &ref, model->deadline_ms);
    }
}

static void change(struct model *model) {
    static char text[TEXT_MAX];
    struct key_ref ref = open_list();
    struct slice bytes = random_text(&model->prng, text);
    size_t count = model->twin.count, at = prng_below(&model->prng, count + 1);
    enum list_end end = prng_below(&model->prng, 2) ? LIST_HEAD : LIST_TAIL;
    uint64_t max = prng_below(&model->prng, 3) ? prng_below(&model->prng, 6) : UINT64_MAX;
    if (!ref.entry) return;
    switch (prng_below(&model->prng, 4)) {
    case 0:
        list_insert(keys, &ref, at, bytes);
        text_array_insert(&model->twin, at, bytes);
        break;
    case 1:
        if (at == count) return;
        list_replace(keys, &ref, at, bytes);
        text_array_replace(&model->twin, at, bytes);
        break;
    case 2:
        assert_int_equal(list_purge(keys, &ref, end, bytes, max),
                         text_array_purge(&model->twin, end == LIST_TAIL, bytes, max));
        break;
    default:
        max = prng_below(&model->prng, prng_below(&model->prng, 10) ? 4 : count + 2);
        list_drop(keys, &ref, end, max);
        max = MIN(max, count);
        text_array_remove(&model->twin, end == LIST_HEAD ? 0 : count - max, max);
    }
}

static void agrees_with_an_array(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct model model = {.target = 100};
    prng_init(&model.prng, seed);
    for (int i = 0; i < 20000; i++) {
        if (model.twin.count < model.target && prng_below(&model.prng, 3))
            push(&model);
        else
            change(&model);
        if (prng_below(&model.prng, 200) == 0)
            model.target = prng_below(&model.prng, prng_below(&model.prng, 3) ? 60 : 600);
        if (prng_below(&model.prng, 500) == 0) { /* begin anew with a small one */
            struct key_ref ref = open_list();
            if (ref.entry) list_drop(keys, &ref, LIST_HEAD, UINT64_MAX);
            assert_null(ref.entry);
            text_array_remove(&model.twin, 0, model.twin.count);
        }
        assert_same(&model);
    }
    keyspace_check(keys);
    text_array_clear(&model.twin);
}

/* --- forms --- */

static void short_lists_live_in_their_entry(void **state) {
    (void)state;
    static const struct slice few[] = {SLICE_INIT("a"), SLICE_INIT("12"), SLICE_INIT("hello")};
    struct key_ref ref = open_list();
    list_push(keys, &ref, LIST_TAIL, few, ARRAY_LEN(few));
    assert_int_equal(ref.entry->encoding, ENC_EMBEDDED);
    assert_int_equal(ref.entry->value_len, 2 + 3 + 2 + 7); /* count and three elements */
    struct slice more[300];
    for (size_t i = 0; i < ARRAY_LEN(more); i++) more[i] = SLICE("more");
    list_push(keys, &ref, LIST_HEAD, more, ARRAY_LEN(more));
    assert_int_equal(ref.entry->encoding, ENC_OBJECT);
    list_drop(keys, &ref, LIST_HEAD, 300);
    assert_int_equal(ref.entry->encoding, ENC_OBJECT); /* and stays one */
    assert_int_equal(list_len(ref.entry), 3);
}

static void loading_chooses_the_form(void **state) {
    (void)state;
    for (uint32_t count = 1; count <= 1000; count = count * 3 + 1) {
        struct quicklist *list = quicklist_new(&shared.store);
        struct packed_value value = packed_value_of(SLICE("element"));
        for (uint32_t i = 0; i < count; i++) quicklist_push(&shared.store, list, &shared.list_rule, LIST_TAIL, &value);
        struct entry *entry = list_new_entry(&shared.store, SLICE("list"), list, 77);
        assert_int_equal(entry->encoding, count * 9 <= LIST_EMBED_MAX ? ENC_EMBEDDED : ENC_OBJECT);
        assert_int_equal(list_len(entry), count);
        assert_int_equal(entry_deadline_ms(entry), 77);
        entry_delete(&shared.store, entry);
    }
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    shared = (struct keyspace_shared){.now_ms = 1000, .list_rule = quicklist_rule_of(-1)};
    shared.store = (struct store){.heap = heap, .slab = slab_new(heap, MEM_DATA)};
    keys = keyspace_new(&shared, 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    keyspace_delete(keys);
    int left = (int)slab_used_bytes(shared.store.slab);
    slab_delete(shared.store.slab);
    for (int i = 0; i < MEM_CLASSES; i++) left |= (int)heap_used(heap, (enum mem_class)i);
    heap_delete(heap);
    return left == 0 ? 0 : -1;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(agrees_with_an_array),
        TEST(short_lists_live_in_their_entry),
        TEST(loading_chooses_the_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
