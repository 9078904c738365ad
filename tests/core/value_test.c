/* Entries: layout at every border (key length, value length, deadline), each change keeps what it does not change, and
 * memory is counted exactly and all given back. The model test plays random changes against a plain struct. */
#include "core/num.h"
#include "core/prng.h"
#include "core/quicklist.h"
#include "core/value.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int setup(void **state) {
    struct store *store = calloc(1, sizeof *store);
    store->heap = heap_new();
    store->slab = slab_new(store->heap, MEM_DATA);
    *state = store;
    return 0;
}

/* All entries are gone: nothing is left in use. */
static int teardown(void **state) {
    struct store *store = *state;
    slab_check(store->slab);
    assert_int_equal(slab_used_bytes(store->slab), 0);
    slab_delete(store->slab);
    assert_int_equal(heap_used(store->heap, MEM_DATA), 0);
    heap_delete(store->heap);
    free(store);
    return 0;
}

static const size_t key_lens[] = {0, 1, 7, 8, 16, 100, 253, 254, 255, 256, 300, 70000};
static const size_t value_lens[] = {0, 1, 7, 8, 9, 44, 45, 200, 248, 249, 1000, 3999, 4000, 4001, 70000};
static char bytes[200000];

static void fill_bytes(void) {
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)('a' + i % 23);
}

static void expect_entry(const struct entry *entry, struct slice key, struct slice value, uint64_t deadline_ms) {
    char scratch[ENTRY_SCRATCH];
    assert_int_equal(entry->type, TYPE_STRING);
    assert_true(slice_equal(entry_key(entry), key));
    assert_true(slice_equal(entry_string(entry, scratch), value));
    assert_int_equal(entry_string_len(entry), value.len);
    assert_int_equal(entry_deadline_ms(entry), deadline_ms);
    assert_true(entry_bytes(entry) >= sizeof *entry + key.len + (entry->encoding == ENC_INT ? 8 : value.len));
}

static void holds_every_length(void **state) {
    struct store *store = *state;
    fill_bytes();
    for (size_t k = 0; k < ARRAY_LEN(key_lens); k++) {
        for (size_t v = 0; v < ARRAY_LEN(value_lens); v++) {
            for (uint64_t deadline = 0; deadline <= 1234567890123; deadline += 1234567890123) {
                struct slice key = slice_of(bytes, key_lens[k]), value = slice_of(bytes + 1000, value_lens[v]);
                struct entry *entry = entry_new_string(store, key, value, deadline, true);
                expect_entry(entry, key, value, deadline);
                struct entry *copy = entry_copy(store, entry, value, deadline + 1);
                expect_entry(copy, value, value, deadline + 1);
                entry_delete(store, entry);
                expect_entry(copy, value, value, deadline + 1);
                entry_delete(store, copy);
            }
        }
    }
}

static void stores_integers_as_integers(void **state) {
    struct store *store = *state;
    static const struct {
        const char *text;
        bool is_int;
    } cases[] = {{"0", true},
                 {"-1", true},
                 {"9223372036854775807", true},
                 {"-9223372036854775808", true},
                 {"9223372036854775808", false},
                 {"", false},
                 {"-0", false},
                 {"007", false},
                 {"+1", false},
                 {" 1", false},
                 {"1 ", false},
                 {"1.0", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice text = slice_of_cstr(cases[i].text);
        struct entry *entry = entry_new_string(store, SLICE("k"), text, 5, true);
        assert_string_equal(entry_encoding_name(entry), cases[i].is_int ? "int" : "embstr");
        expect_entry(entry, SLICE("k"), text, 5);
        entry = entry_set_string(store, entry, text, 0, false);
        assert_string_equal(entry_encoding_name(entry), "embstr");
        expect_entry(entry, SLICE("k"), text, 0);
        entry_delete(store, entry);
    }
}

static void names_encodings_as_redis(void **state) {
    struct store *store = *state;
    fill_bytes();
    struct entry *entry = entry_new_string(store, SLICE("k"), slice_of(bytes, 44), 0, true);
    assert_string_equal(entry_encoding_name(entry), "embstr");
    char *at;
    entry = entry_edit_string(store, entry, 44, &at);
    assert_string_equal(entry_encoding_name(entry), "raw");
    entry = entry_set_deadline(store, entry, 99);
    assert_string_equal(entry_encoding_name(entry), "raw"); /* EXPIRE does not change it */
    struct entry *copy = entry_copy(store, entry, SLICE("c"), 0);
    assert_string_equal(entry_encoding_name(copy), "raw");
    entry_delete(store, copy);
    entry = entry_set_string(store, entry, slice_of(bytes, 44), 99, true);
    assert_string_equal(entry_encoding_name(entry), "embstr"); /* SET does */
    entry = entry_set_string(store, entry, slice_of(bytes, 45), 99, true);
    assert_string_equal(entry_encoding_name(entry), "raw");
    entry = entry_set_int(store, entry, 7);
    assert_string_equal(entry_encoding_name(entry), "int");
    assert_int_equal(entry_deadline_ms(entry), 99);
    entry_delete(store, entry);
}

/* What makes SET fast: an overwrite that fits the block moves nothing. */
static void overwrites_in_place(void **state) {
    struct store *store = *state;
    struct entry *entry = entry_new_string(store, SLICE("key"), SLICE("value"), 0, true);
    assert_ptr_equal(entry_set_string(store, entry, SLICE("VALUE"), 0, true), entry);
    assert_ptr_equal(entry_set_string(store, entry, SLICE("valu"), 0, true), entry);
    entry = entry_set_int(store, entry, 1);
    for (int64_t i = 0; i < 100; i++)
        assert_ptr_equal(entry_set_int(store, entry, i * INT64_C(92233720368547758)), entry);
    entry_delete(store, entry);
}

static void refusal_changes_nothing(void **state) {
    struct store *store = *state;
    fill_bytes();
    for (size_t v = 0; v < ARRAY_LEN(value_lens); v++) {
        struct slice value = slice_of(bytes, value_lens[v]);
        struct entry *entry = entry_new_string(store, SLICE("k"), value, 77, true);
        char *at = NULL;
        assert_null(entry_edit_string(store, entry, (size_t)1 << 50, &at));
        expect_entry(entry, SLICE("k"), value, 77);
        entry_delete(store, entry);
    }
}

/* A string that grows byte by byte is moved seldom. */
static void appends_are_amortised(void **state) {
    struct store *store = *state;
    struct entry *entry = entry_new_string(store, SLICE("k"), SLICE("x"), 0, true);
    const char *block = NULL;
    unsigned moves = 0;
    for (size_t len = 2; len < 300000; len++) {
        char *at;
        entry = entry_edit_string(store, entry, len, &at);
        assert_int_equal(at[len - 1], 0);
        at[len - 1] = 'x';
        moves += at != block;
        block = at;
    }
    /* 32 slab sizes of 8 bytes, the heap's classes to ENTRY_EMBED_MAX, doubling from there. With sanitizers each byte
     * is a class of its own, and moves. */
    bool exact = heap_block_size(1001) == 1001;
    assert_true(exact || moves < 120);
    for (size_t i = 0; i < 299999; i++) assert_int_equal(block[i], 'x');
    entry_delete(store, entry);
}

/* --- the twin --- */

#define TWIN_MAX 20000u
struct twin {
    char key[400], value[TWIN_MAX];
    size_t key_len, value_len;
    uint64_t deadline_ms;
    uint32_t access;
};

static size_t random_len(struct prng *prng, size_t max) {
    size_t small[] = {10, 60, 300, 5000, max};
    size_t len = prng_below(prng, small[prng_below(prng, ARRAY_LEN(small))] + 1);
    return MIN(len, max);
}

static void twin_set(struct twin *twin, struct prng *prng) {
    twin->value_len = random_len(prng, TWIN_MAX);
    memset(twin->value, (int)('a' + prng_below(prng, 26)), twin->value_len);
    if (prng_below(prng, 3) == 0) twin->value_len = num_format_i64(twin->value, (int64_t)prng_next(prng));
}

static uint64_t random_deadline(struct prng *prng) {
    return prng_below(prng, 2) ? 0 : 1 + prng_below(prng, UINT64_C(1) << 62);
}

static struct entry *change(const struct store *store, struct entry *entry, struct twin *twin, struct prng *prng) {
    switch (prng_below(prng, 6)) {
    case 0: {
        twin_set(twin, prng);
        twin->deadline_ms = random_deadline(prng);
        return entry_set_string(store, entry, slice_of(twin->value, twin->value_len), twin->deadline_ms,
                                prng_below(prng, 2));
    }
    case 1: {
        int64_t number = (int64_t)prng_next(prng) >> prng_below(prng, 64);
        twin->value_len = num_format_i64(twin->value, number);
        return entry_set_int(store, entry, number);
    }
    case 2: return entry_set_deadline(store, entry, twin->deadline_ms = random_deadline(prng));
    case 3: {
        struct entry *copy = entry_copy(store, entry, slice_of(twin->key, twin->key_len), twin->deadline_ms);
        entry_delete(store, entry);
        return copy;
    }
    default: {
        size_t more = random_len(prng, 3000), len = MIN(twin->value_len + more, TWIN_MAX);
        char *at;
        entry = entry_edit_string(store, entry, len, &at);
        memset(twin->value + twin->value_len, 0, len - twin->value_len);
        size_t from = prng_below(prng, len + 1), count = prng_below(prng, len - from + 1);
        memset(at + from, 'E', count);
        memset(twin->value + from, 'E', count);
        twin->value_len = len;
        return entry;
    }
    }
}

static void model(const struct store *store, uint64_t seed) {
    enum { ENTRIES = 40, STEPS = 4000 };
    struct prng prng;
    prng_init(&prng, seed);
    struct twin *twins = calloc(ENTRIES, sizeof *twins);
    struct entry *entries[ENTRIES];
    for (size_t i = 0; i < ENTRIES; i++) {
        struct twin *twin = &twins[i];
        twin->key_len = random_len(&prng, sizeof twin->key);
        memset(twin->key, (int)('A' + i % 26), twin->key_len);
        twin_set(twin, &prng);
        twin->deadline_ms = random_deadline(&prng);
        twin->access = (uint32_t)prng_below(&prng, 1 << 24);
        entries[i] = entry_new_string(store, slice_of(twin->key, twin->key_len), slice_of(twin->value, twin->value_len),
                                      twin->deadline_ms, prng_below(&prng, 2));
        entries[i]->access = twin->access & 0xffffff;
    }
    for (int step = 0; step < STEPS; step++) {
        size_t i = prng_below(&prng, ENTRIES);
        entries[i] = change(store, entries[i], &twins[i], &prng);
        expect_entry(entries[i], slice_of(twins[i].key, twins[i].key_len), slice_of(twins[i].value, twins[i].value_len),
                     twins[i].deadline_ms);
        assert_int_equal(entries[i]->access, twins[i].access);
    }
    /* What the entries say they take is what the store counts. */
    size_t said = 0;
    for (size_t i = 0; i < ENTRIES; i++) {
        expect_entry(entries[i], slice_of(twins[i].key, twins[i].key_len), slice_of(twins[i].value, twins[i].value_len),
                     twins[i].deadline_ms);
        said += entry_bytes(entries[i]);
    }
    size_t counted = (size_t)heap_used(store->heap, MEM_DATA) + slab_used_bytes(store->slab);
    assert_true(said <= counted);
    for (size_t i = 0; i < ENTRIES; i++) {
        size_t before = (size_t)heap_used(store->heap, MEM_DATA) - slab_held_bytes(store->slab);
        size_t before_slab = slab_used_bytes(store->slab), bytes_said = entry_bytes(entries[i]);
        entry_delete(store, entries[i]);
        size_t after = (size_t)heap_used(store->heap, MEM_DATA) - slab_held_bytes(store->slab);
        assert_int_equal(before - after + before_slab - slab_used_bytes(store->slab), bytes_said);
    }
    free(twins);
}

static void behaves_like_a_struct(void **state) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        print_message("seed %d\n", (int)seed);
        model(*state, seed);
    }
}

/* --- small collections --- */

/* Random edits of a run with a deadline coming and going, against the same bytes in a plain array; the run outgrows its
 * entry, and shrinks again. What is written is not elements: the entry does not look at them. */
static void collections_are_runs(void **state) {
    enum { LONGEST = 4 * ENTRY_PACKED_MAX };
    struct store *store = *state;
    struct prng prng;
    prng_init(&prng, 5);
    static char twin[LONGEST + 200];
    bool was_long = false;
    size_t len = 3;
    uint32_t count = 1;
    uint64_t deadline_ms = 0;
    char *at;
    struct entry *entry = entry_new_packed(store, SLICE("key"), TYPE_LIST, count, len, 0, &at);
    memcpy(at, "abc", 3);
    memcpy(twin, "abc", 3);
    entry->access = 77;
    entry->flags |= ENTRY_LARGE;
    for (int i = 0; i < 20000; i++) {
        struct packed_edit edit = {.at = prng_below(&prng, len + 1)};
        edit.remove = prng_below(&prng, MIN(len - edit.at, (size_t)(i % 3000 ? 200 : LONGEST)) + 1);
        edit.insert = prng_below(&prng, 220);
        if (len - edit.remove + edit.insert > LONGEST) edit.insert = 0;
        edit.added = (int32_t)prng_below(&prng, 3) - (count > 0);
        entry = entry_edit_packed(store, entry, edit, &at);
        memset(at, 'a' + i % 26, edit.insert);
        memmove(twin + edit.at + edit.insert, twin + edit.at + edit.remove, len - edit.at - edit.remove);
        memset(twin + edit.at, 'a' + i % 26, edit.insert);
        len = len - edit.remove + edit.insert;
        count += (uint32_t)edit.added;
        if (i % 10 == 0) entry = entry_set_deadline(store, entry, deadline_ms = random_deadline(&prng));
        if (i % 100 == 0) {
            struct entry *copy = entry_copy(store, entry, SLICE("a copy"), deadline_ms);
            entry_delete(store, entry);
            entry = entry_rename(store, copy, SLICE("key"));
        }
        struct packed run = entry_packed(entry);
        was_long |= entry->encoding == ENC_EXTERNAL;
        assert_true(entry_is_packed(entry) && entry->flags & ENTRY_LARGE);
        assert_int_equal(run.count, count);
        assert_int_equal(run.end - run.begin, len);
        assert_memory_equal(run.begin, twin, len);
        assert_int_equal(entry_deadline_ms(entry), deadline_ms);
        assert_int_equal(entry->access, 77);
        assert_int_equal(entry->type, TYPE_LIST);
        assert_true(slice_equal(entry_key(entry), SLICE("key")));
        assert_true(entry_bytes(entry) < 1024 + 5 * len); /* of a long run a quarter is used at least */
    }
    assert_true(was_long);
    entry_delete(store, entry);
}

/* A block of its own goes back to where it came from, however little is in it: a long run that shrank, and its copy. (The
 * heap's blocks were once given to the slab: driver, seed 1479680034.) */
static void long_runs_may_become_short(void **state) {
    struct store *store = *state;
    char *at;
    struct entry *entry = entry_new_packed(store, SLICE("key"), TYPE_LIST, 2, ENTRY_PACKED_MAX + 1000, 0, &at);
    assert_int_equal(entry->encoding, ENC_EXTERNAL);
    memset(at, 'x', ENTRY_PACKED_MAX + 1000);
    entry = entry_edit_packed(store, entry, (struct packed_edit){.remove = ENTRY_PACKED_MAX + 950, .added = -1}, &at);
    struct entry *copy = entry_copy(store, entry, SLICE("copy"), 0);
    entry_delete(store, entry);
    copy = entry_edit_packed(store, copy, (struct packed_edit){.remove = 40}, &at);
    struct packed run = entry_packed(copy);
    assert_int_equal(run.end - run.begin, 10);
    assert_memory_equal(run.begin, "xxxxxxxxxx", 10);
    entry_delete(store, copy);
}

static void objects_belong_to_their_entry(void **state) {
    struct store *store = *state;
    struct quicklist_rule rule = quicklist_rule_of(-2);
    struct packed_value value = packed_value_of(SLICE("element"));
    struct quicklist *list = quicklist_new(store);
    char *run;
    for (int i = 0; i < 10000; i++) quicklist_push(store, list, &rule, LIST_TAIL, &value);
    struct entry *entry = entry_new_packed(store, SLICE("key"), TYPE_LIST, 0, 0, 5, &run);
    entry = entry_set_object(store, entry, list);
    assert_ptr_equal(entry_object(entry), list);
    assert_int_equal(entry_deadline_ms(entry), 5);
    assert_true(entry_bytes(entry) > quicklist_bytes(list));
    assert_string_equal(entry_encoding_name(entry), "quicklist");
    struct entry *copy = entry_copy(store, entry, SLICE("copy"), 0);
    entry_delete(store, entry);
    copy = entry_rename(store, copy, SLICE("a name that needs more room than the one before"));
    assert_int_equal(quicklist_count(entry_object(copy)), 10000);
    quicklist_check(entry_object(copy));
    copy = entry_set_string(store, copy, SLICE("a string"), 0, true); /* frees the list */
    expect_entry(copy, SLICE("a name that needs more room than the one before"), SLICE("a string"), 0);
    entry_delete(store, copy);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(holds_every_length),         TEST(stores_integers_as_integers),
        TEST(names_encodings_as_redis),   TEST(overwrites_in_place),
        TEST(refusal_changes_nothing),    TEST(appends_are_amortised),
        TEST(behaves_like_a_struct),      TEST(collections_are_runs),
        TEST(long_runs_may_become_short), TEST(objects_belong_to_their_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
