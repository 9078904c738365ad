/* Fields: random puts, removals and look-ups against an array of values by number, over several sizes, with values from
 * nothing to what has a block of the heap; after each phase a scan finds every field once, a copy is equal, and memory
 * is what fields_bytes says. Then what the header promises: few bytes per element, and freeing in slices. */
#include "core/assert.h"
#include "core/fields.h"
#include "core/num.h"
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
static const struct hash_seed seed = {1, 2};

#define NAMES    3000
#define TEXT_MAX 5000

/* A field's name is its number; every 50th is long. */
static struct slice name_of(unsigned number, char text[TEXT_MAX]) {
    size_t len = num_format_u64(text, number);
    if (number % 50 != 0) return slice_of(text, len);
    memset(text + len, 'n', 300);
    return slice_of(text, len + 300);
}

struct model {
    struct prng prng;
    struct fields *fields;
    struct slice values[NAMES]; /* ptr NULL: absent */
    uint64_t deadlines[NAMES];  /* 0: none */
    uint64_t count;
};

static void put(struct model *model, unsigned number) {
    char name[TEXT_MAX], text[TEXT_MAX];
    size_t len = prng_below(&model->prng, prng_below(&model->prng, 20) ? 40 : TEXT_MAX);
    memset(text, (int)('a' + prng_below(&model->prng, 26)), len);
    struct slice value = slice_of(text, len), *twin = &model->values[number];
    bool fresh = fields_put(&store, model->fields, name_of(number, name), value);
    assert_int_equal(fresh, twin->ptr == NULL);
    model->count += fresh;
    model->deadlines[number] = 0;
    text_free(*twin);
    *twin = text_copy(value);
}

static void take(struct model *model, unsigned number) {
    char name[TEXT_MAX];
    struct slice *twin = &model->values[number];
    bool gone = fields_remove(&store, model->fields, name_of(number, name));
    assert_int_equal(gone, twin->ptr != NULL);
    model->count -= gone;
    model->deadlines[number] = 0;
    text_free(*twin);
    *twin = slice_of(NULL, 0);
}

static void date(struct model *model, unsigned number) {
    char name[TEXT_MAX];
    if (!model->values[number].ptr) return;
    model->deadlines[number] = prng_below(&model->prng, 4) ? 1 + prng_below(&model->prng, 1000) : 0;
    fields_set_deadline(&store, model->fields, name_of(number, name), model->deadlines[number]);
}

/* All that are due by a time go, the earliest first. */
static void expire(struct model *model, uint64_t now) {
    struct slice name;
    uint64_t last = 0, due = 0;
    for (unsigned i = 0; i < NAMES; i++) due += model->deadlines[i] > 0 && model->deadlines[i] <= now;
    assert_int_equal(fields_due_count(model->fields, now), due);
    while (fields_due(model->fields, now, &name)) {
        unsigned number = 0;
        for (size_t i = 0; i < name.len && name.ptr[i] != 'n'; i++)
            number = 10 * number + (unsigned)(name.ptr[i] - '0');
        uint64_t deadline = model->deadlines[number];
        assert_true(deadline >= last && deadline <= now && deadline == fields_first_deadline(model->fields));
        last = deadline;
        fields_remove_first_due(&store, model->fields);
        text_free(model->values[number]);
        model->values[number] = slice_of(NULL, 0);
        model->deadlines[number] = 0;
        model->count--;
    }
    for (unsigned i = 0; i < NAMES; i++) assert_true(model->deadlines[i] == 0 || model->deadlines[i] > now);
}

static void look(struct fields *fields, const struct model *model, unsigned number) {
    char name[TEXT_MAX];
    const struct field *field = fields_find(fields, name_of(number, name));
    const struct slice *twin = &model->values[number];
    assert_int_equal(field != NULL, twin->ptr != NULL);
    assert_int_equal(fields_deadline(fields, name_of(number, name)), model->deadlines[number]);
    if (!field) return;
    assert_true(slice_equal(field_value(field), *twin));
    assert_true(slice_equal(field_name(field), name_of(number, name)));
}

struct seen {
    struct fields *fields;
    uint64_t cursor; /* of this call; places before it were seen in an earlier one */
    unsigned char times[NAMES];
};

static void see(void *ctx, const struct field *field) {
    struct seen *seen = ctx;
    struct slice name = field_name(field);
    unsigned number = 0;
    if (fields_position(seen->fields, name) < seen->cursor) return;
    for (size_t i = 0; i < name.len && name.ptr[i] != 'n'; i++) number = 10 * number + (unsigned)(name.ptr[i] - '0');
    seen->times[number]++;
}

static void assert_scanned_once(const struct model *model) {
    struct seen seen = {.fields = model->fields};
    do seen.cursor = fields_scan(model->fields, seen.cursor, see, &seen);
    while (seen.cursor);
    for (unsigned i = 0; i < NAMES; i++) assert_int_equal(seen.times[i], model->values[i].ptr != NULL);
}

static void assert_same(const struct model *model) {
    fields_check(model->fields);
    assert_int_equal(fields_count(model->fields), model->count);
    struct fields *copy = fields_copy(&store, model->fields);
    fields_check(copy);
    for (unsigned i = 0; i < NAMES; i++) {
        look(model->fields, model, i);
        look(copy, model, i);
    }
    fields_delete(&store, copy);
    assert_scanned_once(model);
}

static void agrees_with_an_array(void **state) {
    (void)state;
    uint64_t random_seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", random_seed);
    static struct model model;
    model = (struct model){.fields = fields_new(&store, &seed)};
    prng_init(&model.prng, random_seed);
    for (unsigned phase = 0; phase < 60; phase++) {
        uint64_t names = 1 + prng_below(&model.prng, prng_below(&model.prng, 2) ? 20 : NAMES);
        uint64_t removals = prng_below(&model.prng, 10);
        for (unsigned step = 0; step < 2000; step++) {
            unsigned number = (unsigned)prng_below(&model.prng, names);
            if (prng_below(&model.prng, 10) < removals)
                take(&model, number);
            else
                put(&model, number);
            if (phase % 3 == 0) date(&model, (unsigned)prng_below(&model.prng, names));
            look(model.fields, &model, (unsigned)prng_below(&model.prng, NAMES));
        }
        assert_same(&model);
        if (phase % 6 == 3) expire(&model, prng_below(&model.prng, 1100));
        const struct field *any = fields_random(model.fields, &model.prng);
        assert_int_equal(any != NULL, model.count > 0);
    }
    for (unsigned i = 0; i < NAMES; i++) text_free(model.values[i]);
    fields_delete(&store, model.fields);
}

/* What stays from the first call to the last is seen, while others come and go and the table grows and shrinks. */
static void scans_survive_resizes(void **state) {
    (void)state;
    char name[TEXT_MAX];
    struct fields *fields = fields_new(&store, &seed);
    struct seen seen = {.fields = fields};
    unsigned stays = 500;
    for (unsigned i = 0; i < stays; i++) fields_put(&store, fields, name_of(i, name), SLICE("stays"));
    for (unsigned call = 0;; call++) {
        for (unsigned i = 0; i < 40; i++) {
            unsigned other = stays + (call * 40 + i) % (NAMES - stays);
            if (call % 80 < 40)
                fields_put(&store, fields, name_of(other, name), SLICE("goes"));
            else
                fields_remove(&store, fields, name_of(other, name));
        }
        seen.cursor = fields_scan(fields, seen.cursor, see, &seen);
        if (seen.cursor == 0) break;
    }
    for (unsigned i = 0; i < stays; i++) assert_int_equal(seen.times[i], 1);
    fields_delete(&store, fields);
}

static void memory_is_what_it_says(void **state) {
    (void)state;
    enum { COUNT = 200000, PAYLOAD = 6 + 8 };
    char name[16];
    size_t before = store_memory(&store);
    struct fields *fields = fields_new(&store, &seed);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%06d", i);
        fields_put(&store, fields, slice_of(name, 6), SLICE("8 bytes."));
    }
    size_t taken = store_memory(&store) - before;
    assert_int_equal(taken, fields_bytes(fields));
    double over = (double)taken / COUNT - PAYLOAD;
    print_message("%.1f bytes over payload per element\n", over);
    assert_true(over < 26);
    fields_delete(&store, fields);
}

static struct fields *queued;

static void keep_for_later(void *ctx, store_free_some free_some, void *object) {
    (void)ctx;
    assert_ptr_equal(free_some, fields_free_some);
    queued = object;
}

static void is_freed_in_slices(void **state) {
    (void)state;
    char name[TEXT_MAX];
    struct store slow = store;
    slow.later.free_object = keep_for_later;
    queued = NULL;
    struct fields *fields = fields_new(&store, &seed);
    for (unsigned i = 0; i < NAMES; i++) fields_put(&store, fields, name_of(i, name), SLICE("value"));
    fields_delete(&slow, fields);
    assert_ptr_equal(queued, fields);
    unsigned slices = 1;
    for (; fields_free_some(&store, queued, 10); slices++) assert_true(slices < NAMES);
    assert_true(slices >= NAMES / 10 - STORE_NOW_UNITS);

    queued = NULL;
    fields = fields_new(&store, &seed);
    for (unsigned i = 0; i < STORE_NOW_UNITS; i++) fields_put(&store, fields, name_of(i, name), SLICE("value"));
    fields_delete(&slow, fields);
    assert_null(queued);
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
    for (int i = 0; i < MEM_CLASSES; i++) left |= (int)heap_used(store.heap, (enum mem_class)i);
    heap_delete(store.heap);
    return left == 0 ? 0 : -1;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(agrees_with_an_array),
        TEST(scans_survive_resizes),
        TEST(memory_is_what_it_says),
        TEST(is_freed_in_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
