/* Pieces: values of every type and of random sizes, in all their forms, are read piece by piece and put together again;
 * element i has the text and the value that its number says, so nothing else has to be remembered. */
#include "core/num.h"
#include "core/prng.h"
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
    uint64_t cursor = 0;
    buf_init(&piece, heap, MEM_MESSAGE);
    do {
        piece.len = 0;
        cursor = piece_read(entry, cursor, max, &piece);
        if (entry->encoding == ENC_OBJECT) assert_true(piece.len < PIECE_BYTES + 64 * (LONG_TEXT + 16));
        building_add(building, buf_slice(&piece));
    } while (cursor);
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
        TEST(copies_have_all_elements),
        TEST(nothing_makes_no_value),
        TEST(scores_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
