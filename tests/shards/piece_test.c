/* Pieces: values of every type and of random sizes, in all their forms, are read piece by piece and put together again;
 * element i has the text and the value that its number says, so nothing else has to be remembered. */
#include "core/num.h"
#include "core/prng.h"
#include "core/stream.h"
#include "core/stream_group.h"
#include "shards/dump.h"
#include "shards/hash_value.h"
#include "shards/list.h"
#include "shards/piece.h"
#include "shards/set.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define LONG_TEXT 3000 /* of some elements: a piece ends early then */

static struct heap *heap;
static struct keyspace_shared shared;
static struct keyspace *keys;
static struct prng prng;

static struct key_ref open_key(struct slice key) {
    struct key_ref ref;
    (void)keyspace_open(keys, key, key_hash(&shared, key), &ref);
    return ref;
}

static struct slice text_of(uint64_t i, char bytes[LONG_TEXT]) {
    size_t len = (size_t)snprintf(bytes, LONG_TEXT, i % 3 ? "element:%" PRIu64 : "%" PRIu64, i);
    if (i % 97 == 5) {
        memset(bytes + len, 'x', LONG_TEXT - len);
        len = LONG_TEXT;
    }
    return slice_of(bytes, len);
}

static double score_of(uint64_t i) {
    return (double)(i * 7919 % 1000) / 4;
}

static void add_element(struct key_ref *ref, enum value_type type, uint64_t i) {
    char bytes[LONG_TEXT];
    struct slice text = text_of(i, bytes);
    switch (type) {
    case TYPE_SET: assert_true(set_add(keys, ref, text)); break;
    case TYPE_ZSET: zset_put(keys, ref, text, score_of(i)); break;
    case TYPE_HASH: assert_int_equal(hash_set(keys, ref, (struct slice[]){text, text}, 1), 1); break;
    default: list_push(keys, ref, LIST_TAIL, &text, 1);
    }
}

static void check_element(const struct entry *entry, uint64_t i, double times) {
    char bytes[LONG_TEXT], scratch[PACKED_SCRATCH];
    struct slice text = text_of(i, bytes);
    struct packed_value value;
    struct quicklist_iter iter;
    double score;
    switch ((enum value_type)entry->type) {
    case TYPE_SET: assert_true(set_has(entry, text)); break;
    case TYPE_ZSET:
        assert_true(zset_score(entry, text, &score));
        assert_true(score == times * score_of(i));
        break;
    case TYPE_HASH:
        assert_true(hash_get(entry, text, &value));
        assert_true(slice_equal(packed_text(&value, scratch), text));
        break;
    default:
        iter = list_seek(entry, i);
        assert_true(quicklist_next(&iter, &value));
        assert_true(slice_equal(packed_text(&value, scratch), text));
    }
}

/* All of it, in pieces of at most max elements; every piece is bounded. */
static void read_all(const struct entry *entry, uint32_t max, struct building *building) {
    struct buf piece;
    struct piece_cursor cursor = {0};
    buf_init(&piece, heap, MEM_MESSAGE);
    do {
        piece.len = 0;
        piece_read(entry, &cursor, max, &piece);
        if (entry->encoding == ENC_OBJECT) assert_true(piece.len < PIECE_BYTES + 64 * (LONG_TEXT + 16));
        building_add(building, buf_slice(&piece));
    } while (cursor.at);
    buf_deinit(&piece);
}

static struct entry *copy_of(const struct entry *entry, unsigned times) {
    struct building building;
    bool like = piece_takes_long(entry);
    building_begin(&building, &shared, (enum value_type)entry->type, ZSET_SUM);
    for (unsigned i = 0; i < times; i++) read_all(entry, 1 + (uint32_t)prng_below(&prng, PIECE_ELEMENTS), &building);
    if (entry->type != TYPE_LIST) assert_int_equal(building_count(&building), piece_len(entry));
    if (!like &&
        (entry->type == TYPE_HASH || entry->type == TYPE_LIST)) { /* these are only copied when they are large */
        building_drop(&building);
        return NULL;
    }
    return building_end(&building, SLICE("copy"), like, like ? piece_form(entry) : 1);
}

static void copies_have_all_elements(void **state) {
    static const enum value_type types[] = {TYPE_SET, TYPE_ZSET, TYPE_HASH, TYPE_LIST};
    static const uint64_t most[] = {10, 300, 20000};
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    prng_init(&prng, seed);
    for (unsigned round = 0; round < 24; round++) {
        enum value_type type = types[round % 4];
        uint64_t count = 1 + prng_below(&prng, most[round / 4 % 3]);
        unsigned times = type == TYPE_LIST ? 1 : 1 + (unsigned)prng_below(&prng, 2);
        struct key_ref ref = open_key(SLICE("value"));
        for (uint64_t i = 0; i < count; i++) add_element(&ref, type, i);
        struct entry *copy = copy_of(ref.entry, times);
        if (copy) {
            assert_int_equal(piece_len(copy), count);
            for (uint64_t i = 0; i < count; i++) check_element(copy, i, times);
            if (times == 1) assert_string_equal(entry_encoding_name(copy), entry_encoding_name(ref.entry));
            entry_delete(&shared.store, copy);
        }
        keyspace_remove(keys, &ref);
    }
}

/* Every third field has a deadline. */
static void deadlines_go_along(void **state) {
    char bytes[LONG_TEXT];
    struct building building;
    struct key_ref ref = open_key(SLICE("timed"));
    (void)state;
    for (uint64_t i = 0; i < 5000; i++) add_element(&ref, TYPE_HASH, i);
    for (uint64_t i = 0; i < 5000; i += 3) hash_set_deadline(keys, &ref, text_of(i, bytes), 5000 + i);
    assert_true(piece_takes_long(ref.entry));
    assert_int_equal(piece_timed(ref.entry), 1667);
    building_begin(&building, &shared, TYPE_HASH, piece_timed(ref.entry));
    read_all(ref.entry, 100, &building);
    struct entry *copy = building_end(&building, SLICE("copy"), true, piece_form(ref.entry));
    for (uint64_t i = 0; i < 5000; i++) {
        check_element(copy, i, 1);
        assert_int_equal(hash_deadline(copy, text_of(i, bytes)), i % 3 ? 0 : 5000 + i);
    }
    hash_check(copy);
    entry_delete(&shared.store, copy);
    keyspace_remove(keys, &ref);
}

static void strings_in_pieces(void **state) {
    char scratch[ENTRY_SCRATCH];
    struct building building;
    struct key_ref ref = open_key(SLICE("long"));
    size_t length = 6 * PIECE_BYTES + 5;
    (void)state;
    keyspace_put_string(keys, &ref, SLICE(""), 0, false);
    char *bytes = keyspace_edit_string(keys, &ref, length);
    for (size_t i = 0; i < length; i++) bytes[i] = (char)(i * 7919 >> 3);
    assert_true(piece_takes_long(ref.entry));
    assert_true(building_begin_string(&building, &shared, SLICE("copy"), piece_len(ref.entry)));
    read_all(ref.entry, 1, &building);
    assert_int_equal(building_count(&building), length);
    struct entry *copy = building_end(&building, SLICE("copy"), true, piece_form(ref.entry));
    assert_true(slice_equal(entry_string(copy, scratch), entry_string(ref.entry, scratch)));
    assert_true(slice_equal(entry_key(copy), SLICE("copy")));
    entry_delete(&shared.store, copy);
    assert_true(building_begin_string(&building, &shared, SLICE("copy"), length));
    building_add(&building, SLICE("some of it"));
    building_drop(&building);
    keyspace_remove(keys, &ref);
}

/* Of some of its entries one of the group's consumers, so many of them, has not said that it has seen them. */
static void add_group(struct stream *stream, char name, unsigned consumers, uint64_t entries) {
    const struct store *store = &shared.store;
    struct stream_group *group =
        stream_group_add(store, stream, slice_of(&name, 1), (struct stream_id){consumers, 7}, (int64_t)consumers - 1);
    for (unsigned i = 0; i < consumers; i++) {
        name = (char)('w' - i);
        (void)stream_consumer_add(store, stream, group, slice_of(&name, 1), 1000 + i);
    }
    for (uint64_t i = 1; consumers && i <= entries; i += 1 + prng_below(&prng, 5)) {
        struct stream_consumer *consumer = stream_consumer_at(group, (uint32_t)prng_below(&prng, consumers));
        struct pending *pending = stream_pending_give(store, stream, group, (struct stream_id){i / 3, i}, consumer);
        pending->delivered_ms = i;
        pending->deliveries = i % 5;
    }
}

/* Some of its entries were deleted. */
static struct stream *random_stream(void) {
    const struct store *store = &shared.store;
    const struct slice pair[2] = {SLICE("field"), SLICE("value")};
    struct stream_rule rule = {1 + prng_below(&prng, 4096), (int64_t)(1 + prng_below(&prng, 50))};
    struct stream *stream = stream_new(store);
    uint64_t count = prng_below(&prng, 6000);
    for (uint64_t i = 1; i <= count; i++) stream_append(store, stream, &rule, (struct stream_id){i / 3, i}, pair, 1);
    stream_append(store, stream, &rule, STREAM_ID_MAX, pair, 1);
    for (unsigned i = 0; i < 3; i++) add_group(stream, (char)('c' - i), 2 * i, count);
    for (uint64_t i = 1; i <= count; i += 1 + prng_below(&prng, 9))
        (void)stream_remove(store, stream, (struct stream_id){i / 3, i});
    stream->first = stream_find_first(stream);
    return stream;
}

static void check_same(const struct entry *a, const struct entry *b) {
    struct buf dumps[2];
    for (unsigned i = 0; i < 2; i++) {
        buf_init(&dumps[i], heap, MEM_MESSAGE);
        dump_write(&dumps[i], i ? a : b);
    }
    assert_true(slice_equal(buf_slice(&dumps[0]), buf_slice(&dumps[1])));
    for (unsigned i = 0; i < 2; i++) buf_deinit(&dumps[i]);
}

static void streams_in_pieces(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    prng_init(&prng, seed);
    for (unsigned round = 0; round < 12; round++) {
        struct building building;
        struct entry *entry = entry_new_object(&shared.store, SLICE("stream"), TYPE_STREAM, random_stream(), 0);
        stream_check(entry_object(entry));
        building_begin(&building, &shared, TYPE_STREAM, 0);
        read_all(entry, 1 + (uint32_t)prng_below(&prng, PIECE_ELEMENTS), &building);
        struct entry *copy = building_end(&building, SLICE("copy"), true, 0);
        stream_check(entry_object(copy));
        check_same(copy, entry);
        entry_delete(&shared.store, copy);
        entry_delete(&shared.store, entry);
    }
}

static void nothing_makes_no_value(void **state) {
    struct building building;
    (void)state;
    building_begin(&building, &shared, TYPE_SET, 0);
    assert_null(building_end(&building, SLICE("copy"), false, 1));
    building_drop(&building); /* once more does no harm */
    building_begin(&building, &shared, TYPE_ZSET, ZSET_MAX);
    assert_null(building_end(&building, SLICE("copy"), false, 0));
}

static void scores_are_joined(void **state) {
    double infinity = 1.0 / 0.0;
    (void)state;
    assert_true(zset_aggregate(ZSET_SUM, 1, 2) == 3);
    assert_true(zset_aggregate(ZSET_MIN, 1, 2) == 1);
    assert_true(zset_aggregate(ZSET_MAX, 1, 2) == 2);
    assert_true(zset_aggregate(ZSET_SUM, infinity, -infinity) == 0);
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    shared = (struct keyspace_shared){
        .now_ms = 1000, .set_rule = set_rule_of(&shared.seed, 512), .hash_rule = {128, 64}, .zset_rule = {128, 64}};
    shared.list_rule = quicklist_rule_of(-2);
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
        TEST(copies_have_all_elements), TEST(deadlines_go_along),     TEST(strings_in_pieces),
        TEST(streams_in_pieces),        TEST(nothing_makes_no_value), TEST(scores_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
