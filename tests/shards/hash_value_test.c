/* Hash: random sets, removals and look-ups through a keyspace, under limits that change, against two plain arrays of
 * strings. What is shown as a listpack keeps its order and is exactly what Redis's limits make one; the key is there
 * exactly as long as a field is, keeps its deadline, and gives back every byte. Copies and loaded
 * hashes are the same. */
#include "core/num.h"
#include "core/prng.h"
#include "shards/hash_value.h"
#include "tests/support/seed.h"
#include "tests/support/text_array.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define TEXT_MAX 2000

static struct heap *heap;
static struct keyspace_shared shared;
static struct keyspace *keys;

static struct key_ref open_hash(void) {
    struct key_ref ref;
    (void)keyspace_open(keys, SLICE("hash"), key_hash(&shared, SLICE("hash")), &ref);
    return ref;
}

/* --- the twin: fields in the order in which they came --- */

struct model {
    struct prng prng;
    struct text_array fields, values;
    uint64_t deadline_ms, names;
    bool large; /* what Redis shows */
};

static size_t find(const struct text_array *array, struct slice text) {
    size_t at = 0;
    while (at < array->count && !slice_equal(array->texts[at], text)) at++;
    return at;
}

static void twin_set(struct model *model, struct slice field, struct slice value) {
    size_t at = find(&model->fields, field);
    if (at < model->fields.count) {
        text_array_replace(&model->values, at, value);
    } else {
        text_array_insert(&model->fields, at, field);
        text_array_insert(&model->values, at, value);
    }
    model->large |= model->fields.count > shared.hash_rule.count_max;
}

static void twin_remove(struct model *model, size_t at) {
    text_array_remove(&model->fields, at, 1);
    text_array_remove(&model->values, at, 1);
    if (model->fields.count > 0) return;
    model->large = false;
    model->deadline_ms = 0;
}

/* --- texts --- */

static struct slice random_field(struct model *model, char *text) {
    uint64_t number = prng_below(&model->prng, model->names);
    if (prng_below(&model->prng, 500) == 0) return memset(text, 'f', 70), slice_of(text, 70);
    size_t head = number % 3;
    memset(text, 'x', head);
    return slice_of(text, head + num_format_u64(text + head, number));
}

static struct slice random_value(struct model *model, char *text) {
    uint64_t kind = prng_below(&model->prng, 1000);
    int64_t number = (int64_t)prng_next(&model->prng) >> prng_below(&model->prng, 64);
    if (kind < 300) return slice_of(text, num_format_i64(text, number));
    size_t len = prng_below(&model->prng, kind < 990 ? 65 : kind < 995 ? 100 : TEXT_MAX);
    memset(text, (int)('a' + prng_below(&model->prng, 26)), len);
    return slice_of(text, len);
}

/* --- the same --- */

struct comparing {
    const struct model *model;
    size_t at;
};

static void compare_pair(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    struct comparing *comparing = ctx;
    const struct model *model = comparing->model;
    char scratch[2][PACKED_SCRATCH];
    struct slice name = packed_text(field, scratch[0]);
    size_t at = model->large ? find(&model->fields, name) : comparing->at;
    comparing->at++;
    assert_true(at < model->fields.count && slice_equal(model->fields.texts[at], name));
    assert_true(slice_equal(model->values.texts[at], packed_text(value, scratch[1])));
}

static void assert_same_entry(const struct model *model, const struct entry *entry) {
    struct comparing comparing = {.model = model};
    hash_check(entry);
    assert_int_equal(hash_len(entry), model->fields.count);
    assert_int_equal(entry_deadline_ms(entry), model->deadline_ms);
    assert_string_equal(entry_encoding_name(entry), model->large ? "hashtable" : "listpack");
    hash_each(entry, compare_pair, &comparing);
    assert_int_equal(comparing.at, model->fields.count);
}

static void assert_same(struct model *model) {
    struct key_ref ref = open_hash();
    struct packed_value value, field;
    char text[TEXT_MAX], scratch[PACKED_SCRATCH];
    assert_int_equal(ref.entry != NULL, model->fields.count > 0);
    if (!ref.entry) return;
    assert_same_entry(model, ref.entry);
    struct slice name = random_field(model, text);
    size_t at = find(&model->fields, name);
    assert_int_equal(hash_get(ref.entry, name, &value), at < model->fields.count);
    if (at < model->fields.count) assert_true(slice_equal(packed_text(&value, scratch), model->values.texts[at]));
    hash_random(ref.entry, &model->prng, &field, &value);
    assert_true(find(&model->fields, packed_text(&field, scratch)) < model->fields.count);
}

/* --- changing --- */

static void set(struct model *model) {
    static char bytes[2 * 40][TEXT_MAX];
    struct slice pairs[2 * 40];
    struct key_ref ref = open_hash();
    uint32_t count = 1 + (uint32_t)prng_below(&model->prng, prng_below(&model->prng, 4) ? 3 : 40);
    for (uint32_t i = 0; i < count; i++) {
        pairs[2 * i] = random_field(model, bytes[2 * i]);
        pairs[2 * i + 1] = random_value(model, bytes[2 * i + 1]);
        model->large |= MAX(pairs[2 * i].len, pairs[2 * i + 1].len) > shared.hash_rule.text_max;
    }
    size_t before = model->fields.count;
    for (uint32_t i = 0; i < count; i++) twin_set(model, pairs[2 * i], pairs[2 * i + 1]);
    assert_int_equal(hash_set(keys, &ref, pairs, count), model->fields.count - before);
    if (prng_below(&model->prng, 10) > 0) return;
    model->deadline_ms = prng_below(&model->prng, 2) ? 0 : shared.now_ms + 1 + prng_below(&model->prng, 1000);
    keyspace_set_deadline(keys, &ref, model->deadline_ms);
}

static void take(struct model *model) {
    char text[TEXT_MAX];
    struct key_ref ref = open_hash();
    if (!ref.entry) return;
    struct slice field = random_field(model, text);
    size_t at = find(&model->fields, field);
    bool there = at < model->fields.count;
    if (there) twin_remove(model, at);
    assert_int_equal(hash_remove(keys, &ref, field), there);
    assert_int_equal(ref.entry != NULL, model->fields.count > 0);
}

static void begin_anew(struct model *model) {
    struct key_ref ref = open_hash();
    while (model->fields.count > 0) twin_remove(model, 0);
    if (ref.entry) keyspace_remove(keys, &ref);
    model->names = 1 + prng_below(&model->prng, prng_below(&model->prng, 2) ? 30 : 400);
    shared.hash_rule = (struct packed_rule){128, 64};
    if (prng_below(&model->prng, 2) == 0)
        shared.hash_rule = (struct packed_rule){prng_below(&model->prng, 300), prng_below(&model->prng, 2500)};
}

/* The entry's own copy, and one that is loaded field by field. */
static void copy(struct model *model) {
    struct key_ref ref = open_hash();
    if (!ref.entry) return;
    struct entry *entry = entry_copy(&shared.store, ref.entry, SLICE("copy"), model->deadline_ms);
    assert_same_entry(model, entry);
    entry_delete(&shared.store, entry);

    static const struct packed_rule all = {UINT64_MAX, SIZE_MAX}, none = {0};
    struct hash_loading loading;
    hash_load_begin(&loading, &shared.store, model->large ? &none : &all, &shared.seed);
    for (size_t i = 0; i < model->fields.count; i++) {
        struct packed_value field = {.text = model->fields.texts[i]}, value = packed_value_of(model->values.texts[i]);
        assert_true(hash_load(&loading, &field, &value, true));
    }
    struct packed_value again = {.text = model->fields.texts[prng_below(&model->prng, model->fields.count)]};
    assert_false(hash_load(&loading, &again, &again, true));
    entry = hash_load_end(&loading, SLICE("loaded"), model->deadline_ms);
    assert_same_entry(model, entry);
    entry_delete(&shared.store, entry);
}

static void agrees_with_arrays(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct model model = {.names = 20};
    prng_init(&model.prng, seed);
    uint64_t forms[3] = {0};
    for (int i = 0; i < 15000; i++) {
        if (prng_below(&model.prng, 3))
            set(&model);
        else
            take(&model);
        if (i % 50 == 0) copy(&model);
        assert_same(&model);
        struct key_ref ref = open_hash();
        if (ref.entry) forms[entry_is_packed(ref.entry) ? model.large : 2]++;
        if (prng_below(&model.prng, 150) == 0) begin_anew(&model);
    }
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) assert_true(forms[i] > 100);
    begin_anew(&model);
    keyspace_check(keys);
    text_array_clear(&model.fields);
    text_array_clear(&model.values);
}

/* --- loading what is not to be believed --- */

static struct entry *load_numbers(uint64_t count, struct packed_rule rule) {
    struct hash_loading loading;
    hash_load_begin(&loading, &shared.store, &rule, &shared.seed);
    for (uint64_t i = 0; i < count; i++) {
        char text[NUM_U64_MAX];
        struct packed_value field = packed_value_of(slice_of(text, num_format_u64(text, i)));
        assert_true(hash_load(&loading, &field, &field, true));
    }
    return hash_load_end(&loading, SLICE("hash"), 77);
}

static void loading_chooses_the_form(void **state) {
    (void)state;
    assert_null(load_numbers(0, (struct packed_rule){128, 64}));
    for (uint64_t count = 1; count <= 5000; count = count * 2 + 1) {
        for (int rule = 0; rule < 3; rule++) {
            uint64_t count_max = rule == 0 ? 128 : rule == 1 ? 0 : 3000;
            struct entry *entry = load_numbers(count, (struct packed_rule){count_max, 64});
            hash_check(entry);
            assert_int_equal(hash_len(entry), count);
            assert_int_equal(entry_deadline_ms(entry), 77);
            assert_int_equal((entry->flags & ENTRY_LARGE) != 0, count > count_max);
            if (count > count_max) assert_int_equal(entry_is_packed(entry), count <= HASH_PAIRS_MAX);
            entry_delete(&shared.store, entry);
        }
    }
}

static void a_dropped_loading_leaves_nothing(void **state) {
    (void)state;
    for (int count = 0; count <= 1000; count += 250) {
        struct hash_loading loading;
        hash_load_begin(&loading, &shared.store, &shared.hash_rule, &shared.seed);
        for (int i = 0; i < count; i++) {
            char text[NUM_I64_MAX];
            struct packed_value field = packed_value_of(slice_of(text, num_format_i64(text, i)));
            assert_true(hash_load(&loading, &field, &field, true));
        }
        hash_load_drop(&loading);
    }
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    shared = (struct keyspace_shared){.now_ms = 1000, .hash_rule = {128, 64}, .seed = {3, 4}};
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
        TEST(agrees_with_arrays),
        TEST(loading_chooses_the_form),
        TEST(a_dropped_loading_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
