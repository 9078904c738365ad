/* Sorting: random elements, in random chunks, against one qsort of all of them by a comparison that is written down
 * here once more; what is no number is told; patterns of SORT cut into their pieces. */
#include "core/prng.h"
#include "shards/sort_words.h"
#include "shards/sorting.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define ELEMENTS_MAX 3000

static struct heap *heap;

struct element {
    char text[12], weight[12];
    uint32_t text_len, weight_len, place;
    bool has_weight;
};

struct twin {
    struct element elements[ELEMENTS_MAX];
    uint32_t count;
    struct sort_order order;
};

static int bytes(const char *a, uint32_t a_len, const char *b, uint32_t b_len, bool whole) {
    char x[13] = {0}, y[13] = {0};
    memcpy(x, a, a_len);
    memcpy(y, b, b_len);
    if (!whole) return strcmp(x, y);
    int c = memcmp(x, y, MIN(a_len, b_len));
    return c ? c : (int)a_len - (int)b_len;
}

static int compare(const void *left, const void *right, void *ctx) {
    const struct element *a = left, *b = right;
    const struct sort_order *order = ctx;
    int c = 0;
    if (order->alpha && !order->weighed) {
        c = bytes(a->text, a->text_len, b->text, b->text_len, order->whole);
    } else if (order->alpha) {
        c = a->has_weight && b->has_weight ? bytes(a->weight, a->weight_len, b->weight, b->weight_len, order->whole)
                                           : (int)a->has_weight - (int)b->has_weight;
    } else {
        const char *of_a = order->weighed ? a->has_weight ? a->weight : "0" : a->text;
        const char *of_b = order->weighed ? b->has_weight ? b->weight : "0" : b->text;
        double x = strtod(of_a, NULL), y = strtod(of_b, NULL);
        c = x < y ? -1 : x > y;
        if (c == 0) c = bytes(a->text, a->text_len, b->text, b->text_len, true);
    }
    if (c) return order->descending ? -c : c;
    return a->place < b->place ? -1 : 1;
}

static uint32_t random_text(struct prng *prng, char out[12], bool number) {
    if (number) return (uint32_t)snprintf(out, 12, "%d.%d", (int)prng_below(prng, 40) - 20, (int)prng_below(prng, 3));
    uint32_t len = (uint32_t)prng_below(prng, 4);
    for (uint32_t i = 0; i < len; i++) out[i] = "ab\0\xff"[prng_below(prng, 4)];
    out[len] = 0;
    return len;
}

static void fill(struct twin *twin, struct prng *prng, struct sorting *sorting) {
    twin->count = (uint32_t)prng_below(prng, prng_below(prng, 4) ? 40 : ELEMENTS_MAX);
    for (uint32_t i = 0, opened = 0; i < twin->count; i++) {
        struct element *e = &twin->elements[i];
        e->place = i;
        e->has_weight = twin->order.weighed && prng_below(prng, 5);
        e->text_len = random_text(prng, e->text, !twin->order.alpha && !twin->order.weighed);
        e->weight_len = random_text(prng, e->weight, !twin->order.alpha);
        sorting_add(sorting, slice_of(e->text, e->text_len));
        assert_int_equal(sorting_open_count(sorting), i - opened + 1);
        assert_true(slice_equal(sorting_open_text(sorting, i - opened), slice_of(e->text, e->text_len)));
        if (e->has_weight) assert_true(sorting_weigh(sorting, i - opened, slice_of(e->weight, e->weight_len)));
        if (prng_below(prng, 100) && i + 1 < twin->count) continue;
        assert_true(sorting_seal(sorting));
        opened = i + 1;
    }
    if (twin->count == 0) assert_true(sorting_seal(sorting));
}

static void agrees_with_qsort(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    struct twin *twin = calloc(1, sizeof *twin);
    prng_init(&prng, seed);
    for (int round = 0; round < 300; round++) {
        struct slice text;
        twin->order = (struct sort_order){.as_came = prng_below(&prng, 8) == 0,
                                          .alpha = prng_below(&prng, 2),
                                          .descending = prng_below(&prng, 2),
                                          .weighed = prng_below(&prng, 2),
                                          .whole = prng_below(&prng, 2)};
        struct sorting *sorting = sorting_new(heap, &twin->order);
        fill(twin, &prng, sorting);
        assert_int_equal(sorting_count(sorting), twin->count);
        if (!twin->order.as_came) qsort_r(twin->elements, twin->count, sizeof *twin->elements, compare, &twin->order);
        for (uint32_t i = 0; i < twin->count; i++) {
            assert_true(sorting_next(sorting, &text));
            assert_true(slice_equal(text, slice_of(twin->elements[i].text, twin->elements[i].text_len)));
        }
        assert_false(sorting_next(sorting, &text));
        sorting_delete(sorting);
    }
    free(twin);
}

/* As strtod of the C locale reads it. */
static void tells_what_is_no_number(void **state) {
    (void)state;
    static const struct {
        struct slice text;
        bool good;
    } cases[] = {{SLICE_INIT("1"), true},      {SLICE_INIT(""), true},     {SLICE_INIT(" 7"), true},
                 {SLICE_INIT("0x10"), true},   {SLICE_INIT("inf"), true},  {SLICE_INIT("1\0x"), true},
                 {SLICE_INIT("7 "), false},    {SLICE_INIT("abc"), false}, {SLICE_INIT("nan"), false},
                 {SLICE_INIT("1e999"), false}, {SLICE_INIT("1,5"), false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sorting *sorting = sorting_new(heap, &(struct sort_order){0});
        sorting_add(sorting, cases[i].text);
        assert_int_equal(sorting_seal(sorting), cases[i].good);
        sorting_clear(sorting);
        assert_int_equal(sorting_count(sorting), 0);
        sorting_delete(sorting);
    }
    char zeros[2000];
    memset(zeros, '0', sizeof zeros);
    struct sorting *sorting = sorting_new(heap, &(struct sort_order){0});
    sorting_add(sorting, slice_of(zeros, sizeof zeros));
    assert_true(sorting_seal(sorting));
    sorting_delete(sorting);
}

static void cuts_patterns(void **state) {
    (void)state;
    static const struct {
        struct slice word;
        int kind;
        const char *key, *field;
    } cases[] = {
        {SLICE_INIT("#"), PATTERN_ELEMENT, "", ""},         {SLICE_INIT("nosort"), PATTERN_NOTHING, "", ""},
        {SLICE_INIT("w_*"), PATTERN_STRING, "w_E", ""},     {SLICE_INIT("*"), PATTERN_STRING, "E", ""},
        {SLICE_INIT("a*b*c"), PATTERN_STRING, "aEb*c", ""}, {SLICE_INIT("o_*->n"), PATTERN_FIELD, "o_E", "n"},
        {SLICE_INIT("o_*->"), PATTERN_STRING, "o_E->", ""}, {SLICE_INIT("a->*->n->m"), PATTERN_FIELD, "a->E", "n->m"},
        {SLICE_INIT("a->b"), PATTERN_NOTHING, "", ""},      {SLICE_INIT("#\0*"), PATTERN_ELEMENT, "", ""},
        {SLICE_INIT(""), PATTERN_NOTHING, "", ""}};
    struct buf key;
    buf_init(&key, heap, MEM_MESSAGE);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sort_pattern pattern = sort_pattern_of(cases[i].word);
        assert_int_equal(pattern.kind, cases[i].kind);
        assert_true(slice_equal(pattern.field, slice_of_cstr(cases[i].field)));
        if (pattern.kind < PATTERN_STRING) continue;
        assert_true(slice_equal(sort_pattern_key(&pattern, SLICE("E"), &key), slice_of_cstr(cases[i].key)));
    }
    buf_deinit(&key);
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(heap_used(heap, MEM_MESSAGE), 0);
    heap_delete(heap);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_qsort), cmocka_unit_test(tells_what_is_no_number),
                                       cmocka_unit_test(cuts_patterns)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
