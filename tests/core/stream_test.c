/* Stream: random appends, removals, trims and reads, and groups whose consumers get, acknowledge and pass on entries,
 * against plain arrays; under rules that make blocks small, with all invariants checked and memory exact to the byte.
 * Copies are the same and their own. Then what the header promises: what goes in bulk goes in slices, and an entry
 * costs little. */
#include "core/assert.h"
#include "core/num.h"
#include "core/prng.h"
#include "core/stream_group.h"
#include "tests/support/seed.h"
#include "tests/support/store_memory.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define ENTRIES_MAX 3000
#define PAIRS_MAX   4
#define GROUPS      3
#define CONSUMERS   4

static struct store store;
static size_t nothing; /* memory before there was anything */

static size_t memory_in_use(void) {
    return store_memory(&store) - nothing;
}

/* --- the model --- */

/* An entry's fields follow from a number. */
struct twin_entry {
    struct stream_id id;
    uint32_t number;
};

struct twin_pending {
    struct stream_id id;
    unsigned consumer;
    uint64_t time, count;
};

struct twin_group {
    bool there, consumers[CONSUMERS];
    struct twin_pending pending[ENTRIES_MAX];
    size_t count;
};

struct model {
    struct prng prng;
    struct stream_rule rule;
    struct stream *stream;
    struct twin_entry entries[ENTRIES_MAX];
    size_t count;
    struct twin_group groups[GROUPS];
    uint32_t numbers;
};

static uint64_t below(struct model *model, uint64_t n) {
    return prng_below(&model->prng, n);
}

/* Field i of the entry with this number; short names are shared by many entries. */
static uint32_t fields_of(uint32_t number) {
    return 1 + (number / 8) % PAIRS_MAX;
}

static void make_pairs(uint32_t number, char texts[2 * PAIRS_MAX][64], struct slice pairs[2 * PAIRS_MAX]) {
    for (uint32_t i = 0; i < fields_of(number); i++) {
        int name = snprintf(texts[2 * i], 64, number % 7 == 0 ? "other%u" : "f%u", i);
        int value = snprintf(texts[2 * i + 1], 64, number % 3 ? "%u" : "value %u of some length", number * (i + 1));
        pairs[2 * i] = slice_of(texts[2 * i], (size_t)name);
        pairs[2 * i + 1] = slice_of(texts[2 * i + 1], (size_t)value);
    }
}

static void assert_entry(struct stream_entry entry, const struct twin_entry *twin) {
    char texts[2 * PAIRS_MAX][64], scratch[2][PACKED_SCRATCH];
    struct slice pairs[2 * PAIRS_MAX];
    make_pairs(twin->number, texts, pairs);
    assert_true(stream_id_equal(entry.id, twin->id));
    assert_int_equal(entry.fields, fields_of(twin->number));
    for (uint32_t i = 0; i < entry.fields; i++) {
        struct packed_value name, value;
        stream_entry_field(&entry, &name, &value);
        assert_true(slice_equal(packed_text(&name, scratch[0]), pairs[2 * i]));
        assert_true(slice_equal(packed_text(&value, scratch[1]), pairs[2 * i + 1]));
    }
}

static size_t rank_of(const struct model *model, struct stream_id id) {
    size_t rank = 0;
    while (rank < model->count && stream_id_compare(model->entries[rank].id, id) < 0) rank++;
    return rank;
}

static void assert_range(struct model *model, struct stream_id from, struct stream_id to) {
    struct stream_entry entry;
    size_t low = rank_of(model, from), high = low;
    while (high < model->count && stream_id_compare(model->entries[high].id, to) <= 0) high++;
    struct stream_iter forwards = stream_seek(model->stream, from, to, false);
    for (size_t i = low; i < high; i++) {
        assert_true(stream_next(&forwards, &entry));
        assert_entry(entry, &model->entries[i]);
    }
    assert_false(stream_next(&forwards, &entry));
    struct stream_iter backwards = stream_seek(model->stream, from, to, true);
    for (size_t i = high; i-- > low;) {
        assert_true(stream_next(&backwards, &entry));
        assert_entry(entry, &model->entries[i]);
    }
    assert_false(stream_next(&backwards, &entry));
}

/* At least the texts, and at most all blocks. */
static void assert_bytes_between(struct model *model, struct stream_id from, struct stream_id to, bool backwards,
                                 uint64_t count) {
    size_t low = rank_of(model, from), high = low, texts = 0;
    while (high < model->count && stream_id_compare(model->entries[high].id, to) <= 0) high++;
    if (count && count < high - low && backwards) low = high - count;
    if (count && count < high - low) high = low + count;
    for (size_t rank = low; rank < high; rank++) {
        char text[2 * PAIRS_MAX][64];
        struct slice pairs[2 * PAIRS_MAX];
        make_pairs(model->entries[rank].number, text, pairs);
        for (uint32_t at = 1; at < 2 * fields_of(model->entries[rank].number); at += 2)
            texts +=
                pairs[at].len > 20 ? pairs[at].len : 0; /* short ones may be numbers; names a block may have once */
    }
    size_t bytes = stream_bytes_between(model->stream, from, to, backwards, count);
    assert_in_range(bytes, texts, model->stream->block_bytes);
    bool all = stream_id_equal(from, STREAM_ID_MIN) && stream_id_equal(to, STREAM_ID_MAX);
    if (count == 0 && all) assert_int_equal(bytes, model->stream->block_bytes);
}

static struct stream_id some_id(struct model *model) {
    if (model->count > 0 && below(model, 2)) return model->entries[below(model, model->count)].id;
    return (struct stream_id){below(model, model->stream->last.ms + 2), below(model, 3)};
}

static void append(struct model *model) {
    for (uint64_t left = below(model, 60); left > 0 && model->count < ENTRIES_MAX; left--) {
        char texts[2 * PAIRS_MAX][64];
        struct slice pairs[2 * PAIRS_MAX];
        struct stream_id id = model->stream->last;
        if (below(model, 2))
            id = (struct stream_id){id.ms + 1 + below(model, 3), below(model, 3)};
        else
            id.seq += 1 + below(model, 2);
        make_pairs(model->numbers, texts, pairs);
        stream_append(&store, model->stream, &model->rule, id, pairs, fields_of(model->numbers));
        model->entries[model->count++] = (struct twin_entry){id, model->numbers++};
    }
}

static void take_out(struct model *model, size_t at, size_t count) {
    memmove(model->entries + at, model->entries + at + count, (model->count - at - count) * sizeof *model->entries);
    model->count -= count;
}

static void remove_some(struct model *model) {
    for (uint64_t left = below(model, 40); left > 0; left--) {
        struct stream_id id = some_id(model);
        size_t at = rank_of(model, id);
        bool there = at < model->count && stream_id_equal(model->entries[at].id, id);
        assert_int_equal(stream_has(model->stream, id), there);
        assert_int_equal(stream_remove(&store, model->stream, id), there);
        if (there) take_out(model, at, 1);
    }
    model->stream->first = stream_find_first(model->stream);
}

static void trim(struct model *model) {
    struct stream_trim trim = {.by_id = below(model, 2), .exact = below(model, 2), .max = below(model, 400)};
    if (trim.by_id) trim.id = below(model, 8) ? some_id(model) : STREAM_ID_MAX;
    if (!trim.exact && below(model, 2)) trim.limit = below(model, 100);
    size_t most = trim.by_id ? rank_of(model, trim.id) : model->count - MIN(model->count, (size_t)trim.max);
    uint64_t blocks = model->stream->blocks.count;
    size_t gone = stream_trim(&store, model->stream, &trim);
    if (trim.exact)
        assert_int_equal(gone, most);
    else
        assert_true(gone <= most && (!trim.limit || gone <= trim.limit));
    if (!trim.exact && gone > 0) assert_true(model->stream->blocks.count < blocks);
    take_out(model, 0, gone);
}

/* --- groups --- */

static struct slice name_of(unsigned i) {
    static const char *const names[] = {"b", "a", "", "longer name of something"};
    return slice_of_cstr(names[i]);
}

static struct twin_pending *twin_of(struct twin_group *group, struct stream_id id) {
    for (size_t i = 0; i < group->count; i++)
        if (stream_id_equal(group->pending[i].id, id)) return &group->pending[i];
    return NULL;
}

static void give(struct model *model, struct twin_group *twin, struct stream_group *group) {
    unsigned who = (unsigned)below(model, CONSUMERS);
    struct stream_consumer *consumer = stream_consumer_find(group, name_of(who));
    assert_int_equal(consumer != NULL, twin->consumers[who]);
    if (!consumer) consumer = stream_consumer_add(&store, model->stream, group, name_of(who), 5);
    twin->consumers[who] = true;
    for (uint64_t left = below(model, 50); left > 0 && twin->count < ENTRIES_MAX; left--) {
        struct stream_id id = some_id(model);
        struct twin_pending *there = twin_of(twin, id);
        if (!there) {
            there = &twin->pending[twin->count++];
            *there = (struct twin_pending){.id = id};
        }
        struct pending *pending = stream_pending_give(&store, model->stream, group, id, consumer);
        assert_int_equal(pending->deliveries, there->count);
        pending->delivered_ms = there->time = below(model, 1000);
        pending->deliveries = ++there->count;
        there->consumer = who;
    }
}

static void acknowledge(struct model *model, struct twin_group *twin, struct stream_group *group) {
    for (uint64_t left = below(model, 60); left > 0 && twin->count > 0; left--) {
        size_t at = below(model, twin->count);
        stream_pending_remove(&store, model->stream, group, twin->pending[at].id);
        twin->pending[at] = twin->pending[--twin->count];
    }
}

static void drop_consumer(struct model *model, struct twin_group *twin, struct stream_group *group) {
    unsigned who = (unsigned)below(model, CONSUMERS);
    if (!twin->consumers[who]) return;
    struct stream_consumer *consumer = stream_consumer_find(group, name_of(who));
    unsigned at_once = 1 + (unsigned)below(model, 40);
    while (stream_consumer_remove_some(&store, model->stream, group, consumer, at_once)) continue;
    assert_null(stream_consumer_find(group, name_of(who)));
    twin->consumers[who] = false;
    size_t kept = 0;
    for (size_t i = 0; i < twin->count; i++)
        if (twin->pending[i].consumer != who) twin->pending[kept++] = twin->pending[i];
    twin->count = kept;
}

static void change_group(struct model *model) {
    unsigned which = (unsigned)below(model, GROUPS);
    struct twin_group *twin = &model->groups[which];
    struct stream_group *group = stream_group_find(model->stream, name_of(which));
    assert_int_equal(group != NULL, twin->there);
    if (!group) {
        group = stream_group_add(&store, model->stream, name_of(which), STREAM_ID_MIN, 0);
        *twin = (struct twin_group){.there = true};
    }
    switch (below(model, 8)) {
    case 0:
    case 1: acknowledge(model, twin, group); break;
    case 2: drop_consumer(model, twin, group); break;
    case 3:
        if (below(model, 4)) break;
        stream_group_remove(&store, model->stream, group);
        twin->there = false;
        break;
    default: give(model, twin, group); break;
    }
}

static void assert_groups(const struct stream *stream, struct model *model) {
    for (unsigned i = 0; i < GROUPS; i++) {
        struct twin_group *twin = &model->groups[i];
        const struct stream_group *group = stream_group_find(stream, name_of(i));
        assert_int_equal(group != NULL, twin->there);
        if (!group) continue;
        assert_int_equal(group->pending.count, twin->count);
        for (size_t k = 0; k < twin->count; k++) {
            const struct pending *pending = stream_pending_find(group, twin->pending[k].id);
            assert_non_null(pending);
            assert_true(slice_equal(pending->consumer->name, name_of(twin->pending[k].consumer)));
            assert_int_equal(pending->delivered_ms, twin->pending[k].time);
            assert_int_equal(pending->deliveries, twin->pending[k].count);
        }
    }
}

/* --- all together --- */

static void assert_same(struct model *model) {
    stream_check(model->stream);
    assert_int_equal(model->stream->length, model->count);
    assert_int_equal(memory_in_use(), stream_bytes(model->stream));
    assert_range(model, STREAM_ID_MIN, STREAM_ID_MAX);
    assert_bytes_between(model, STREAM_ID_MIN, STREAM_ID_MAX, false, 0);
    assert_groups(model->stream, model);
    struct stream_id last = model->count ? model->entries[model->count - 1].id : STREAM_ID_MIN;
    assert_true(stream_id_equal(stream_last_valid(model->stream), last));
}

/* The copy takes the original's place, which must leave nothing behind; or it is given up in the middle. */
static void copy(struct model *model) {
    struct stream_copying copying;
    unsigned at_once = 1 + (unsigned)below(model, 100);
    bool given_up = below(model, 4) == 0;
    stream_copy_begin(&store, &copying, model->stream);
    while (stream_copy_some(&store, &copying, model->stream, at_once))
        if (given_up && below(model, 4) == 0) break;
    stream_delete(&store, given_up ? copying.copy : model->stream);
    if (!given_up) model->stream = copying.copy;
    assert_same(model);
}

static void one_step(struct model *model) {
    switch (below(model, 12)) {
    case 0:
    case 1:
    case 2:
    case 3: append(model); break;
    case 4: remove_some(model); break;
    case 5:
        if (below(model, 3) == 0) trim(model);
        break;
    case 6:
        if (below(model, 10) == 0) copy(model);
        break;
    case 7:
    case 8:
        assert_range(model, some_id(model), some_id(model));
        assert_bytes_between(model, some_id(model), below(model, 2) ? some_id(model) : STREAM_ID_MAX, below(model, 2),
                             below(model, 50));
        break;
    default: change_group(model); break;
    }
}

static void as_plain_arrays(void **state) {
    static struct model model;
    static const struct stream_rule rules[] = {{4096, 100}, {100, 0}, {0, 3}, {300, 10}, {0, 0}, {4096, 1}};
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    for (uint64_t round = 0; round < 2 * ARRAY_LEN(rules); round++) {
        memset(&model, 0, sizeof model);
        prng_init(&model.prng, seed + round);
        model.rule = rules[round % ARRAY_LEN(rules)];
        model.stream = stream_new(&store);
        for (int i = 0; i < 300; i++) {
            one_step(&model);
            if (i % 10 == 0) assert_same(&model);
        }
        assert_same(&model);
        stream_delete(&store, model.stream);
        assert_int_equal(memory_in_use(), 0);
    }
}

/* --- in slices --- */

static struct stream *long_stream(uint64_t count) {
    static const struct stream_rule rule = {4096, 100};
    struct stream *stream = stream_new(&store);
    char number[NUM_U64_MAX];
    for (uint64_t i = 1; i <= count; i++) {
        struct slice pairs[] = {SLICE("sensor"), SLICE("north"), SLICE("value"),
                                slice_of(number, num_format_u64(number, i * 37 % 10007))};
        stream_append(&store, stream, &rule, (struct stream_id){1700000000000 + i / 3, i % 3}, pairs, 2);
    }
    return stream;
}

static uint64_t laters;
static void *later_object;
static store_free_some later_free;

static void note_later(void *ctx, store_free_some free_some, void *object) {
    (void)ctx;
    laters++;
    later_object = object;
    later_free = free_some;
}

/* Trimming, removing a group and deleting give what is large to the port, which frees a bounded part per call. */
static void what_is_large_goes_in_slices(void **state) {
    (void)state;
    struct store port = store;
    port.later.free_object = note_later;
    struct stream *stream = long_stream(100000);
    struct stream_group *group = stream_group_add(&port, stream, SLICE("g"), STREAM_ID_MIN, 0);
    struct stream_consumer *consumer = stream_consumer_add(&port, stream, group, SLICE("c"), 0);
    for (uint64_t i = 0; i < 20000; i++) stream_pending_give(&port, stream, group, (struct stream_id){i, 0}, consumer);

    assert_int_equal(stream_trim(&port, stream, &(struct stream_trim){.exact = true, .max = 500}), 99500);
    stream_check(stream);
    for (int part = 0; part < 3; part++) {
        if (part == 1) stream_group_remove(&port, stream, group);
        if (part == 2) stream_delete(&port, stream);
        if (part == 2) break; /* few blocks are left: at once */
        assert_int_equal(laters, part + 1);
        unsigned calls = 1;
        for (; later_free(&port, later_object, 10); calls++) continue;
        assert_true(calls > 20);
    }
    assert_int_equal(memory_in_use(), 0);
}

/* 20 bytes of text, an id and two fields in a block that says their names once. */
static void an_entry_costs_little(void **state) {
    (void)state;
    struct stream *stream = long_stream(100000);
    double each = (double)stream_bytes(stream) / 100000;
    print_message("%.1f bytes per entry\n", each);
    assert_true(each < 26);
    stream_delete(&store, stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_plain_arrays),
                                       cmocka_unit_test(what_is_large_goes_in_slices),
                                       cmocka_unit_test(an_entry_costs_little)};
    store.heap = heap_new();
    store.slab = slab_new(store.heap, MEM_DATA);
    nothing = memory_in_use();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    slab_delete(store.slab);
    heap_delete(store.heap);
    return failed;
}
