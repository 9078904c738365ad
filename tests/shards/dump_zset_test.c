/* Dump of sorted sets: written as Redis 7.0.15 writes them, read in all four forms that any Redis wrote, and nothing
 * from outside does harm.
 *
 * The expected payloads come from redis-server 7.0.15 (ZADD, then DUMP); the older forms are made here by their
 * description and were restored by it. Hostile inputs are good ones cut at every byte and with every byte changed to
 * every other. Each is read from a heap block of exactly its size. */
#include "shards/dump.h"
#include "shards/zset.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct heap *heap;
static struct store store;
static struct buf scratch;
static struct zset_rule rule = {128, 64};
static const struct quicklist_rule list_rule = {1024, UINT32_MAX}; /* a changed byte may make it a list */
static const struct hash_seed seed = {1, 2};

struct scored {
    double score;
    struct slice member;
};

static struct entry *zset_of(const struct scored *pairs, size_t count) {
    struct sorted *set = sorted_new(&store, &seed);
    for (size_t i = 0; i < count; i++) sorted_insert(&store, set, pairs[i].member, pairs[i].score);
    zset_mark(&rule, set);
    return zset_new_entry(&store, SLICE("key"), set, 0);
}

static struct entry *read_entry(struct slice *body, bool as_it_was) {
    return dump_read_entry(body, &(struct dump_target){.store = &store,
                                                       .zset_rule = &rule,
                                                       .list_rule = &list_rule,
                                                       .set_rule = &(struct set_rule){{1, 2}, 512},
                                                       .hash_rule = &(struct packed_rule){128, 64},
                                                       .seed = &seed,
                                                       .scratch = &scratch,
                                                       .key = SLICE("key"),
                                                       .deadline_ms = 5,
                                                       .as_it_was = as_it_was});
}

static void assert_pairs(const struct entry *entry, const struct scored *pairs, size_t count) {
    struct zset_pair pair;
    assert_non_null(entry);
    assert_int_equal(entry->type, TYPE_ZSET);
    assert_int_equal(zset_len(entry), count);
    struct zset_iter iter = zset_seek(entry, 0);
    for (size_t i = 0; i < count; i++) {
        assert_true(zset_next(&iter, &pair));
        assert_true(slice_equal(pair.member, pairs[i].member));
        assert_true(pair.score == pairs[i].score);
    }
}

/* --- the same as Redis --- */

static const struct scored all_kinds[] = {
    {-INFINITY, SLICE_INIT("a")}, {-1.5, SLICE_INIT("")},    {0, SLICE_INIT("12")},        {1, SLICE_INIT("b")},
    {1, SLICE_INIT("c")},         {1e17, SLICE_INIT("big")}, {INFINITY, SLICE_INIT("end")},
};
static const struct slice as_listpack = SLICE_INIT(
    "\x11\x3f\x3f\x00\x00\x00\x0e\x00\x81\x61\x02\x84\x2d\x69\x6e\x66\x05\x80\x01\x84\x2d\x31\x2e\x35\x05\x0c\x01\x00"
    "\x01\x81\x62\x02\x01\x01\x81\x63\x02\x01\x01\x83\x62\x69\x67\x04\xf4\x00\x00\x8a\x5d\x78\x45\x63\x01\x09\x83\x65"
    "\x6e\x64\x04\x83\x69\x6e\x66\x04\xff\x0a\x00\xc1\xbd\x23\x7a\x8e\x14\x78\xf0");
static const struct slice as_skiplist = SLICE_INIT(
    "\x05\x07\x03\x65\x6e\x64\x00\x00\x00\x00\x00\x00\xf0\x7f\x03\x62\x69\x67\x00\xa0\xd8\x85\x57\x34\x76\x43\x01\x63"
    "\x00\x00\x00\x00\x00\x00\xf0\x3f\x01\x62\x00\x00\x00\x00\x00\x00\xf0\x3f\xc0\x0c\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\xf8\xbf\x01\x61\x00\x00\x00\x00\x00\x00\xf0\xff\x0a\x00\x49\x8a\x44\x41\x41\x3c\xe2"
    "\xd4");

static void agrees_with_redis(struct slice payload) {
    struct buf out;
    buf_init(&out, heap, MEM_STATS);
    struct entry *entry = zset_of(all_kinds, ARRAY_LEN(all_kinds));
    dump_write(&out, entry);
    entry_delete(&store, entry);
    assert_true(slice_equal(buf_slice(&out), payload));
    assert_true(dump_footer_fits(payload));
    entry = read_entry(&payload, false);
    assert_pairs(entry, all_kinds, ARRAY_LEN(all_kinds));
    assert_int_equal(entry_deadline_ms(entry), 5);
    assert_int_equal(payload.len, DUMP_FOOTER);
    entry_delete(&store, entry);
    buf_deinit(&out);
}

static void same_bytes_as_redis(void **state) {
    (void)state;
    agrees_with_redis(as_listpack);
    rule.entries_max = 0;
    agrees_with_redis(as_skiplist);
    rule.entries_max = 128;
}

/* --- older forms --- */

static const struct slice with_text = SLICE_INIT("\x03\x03\x01\x61\xff\x02xy\x03\x31.5\xc0\x07\xfe");
static const struct slice as_ziplist = SLICE_INIT(
    "\x0c\x18\x18\x00\x00\x00\x12\x00\x00\x00\x04\x00\x00\x01\x61\x03\xf2\x02\x01\x62\x03\x03\x32.5\xff");

static void older_forms(void **state) {
    static const struct scored texts[] = {
        {-INFINITY, SLICE_INIT("a")}, {1.5, SLICE_INIT("xy")}, {INFINITY, SLICE_INIT("7")}};
    static const struct scored zipped[] = {{1, SLICE_INIT("a")}, {2.5, SLICE_INIT("b")}};
    struct slice body = with_text;
    (void)state;
    struct entry *entry = read_entry(&body, false);
    assert_pairs(entry, texts, ARRAY_LEN(texts));
    entry_delete(&store, entry);
    body = as_ziplist;
    entry = read_entry(&body, false);
    assert_pairs(entry, zipped, ARRAY_LEN(zipped));
    entry_delete(&store, entry);
}

/* --- what Redis would call it --- */

static const char *encoding_after(struct slice body, bool as_it_was) {
    struct entry *entry = read_entry(&body, as_it_was);
    assert_non_null(entry);
    const char *name = entry_encoding_name(entry);
    entry_delete(&store, entry);
    return name;
}

static void encodings(void **state) {
    (void)state;
    assert_string_equal(encoding_after(as_skiplist, false), "listpack"); /* few and short enough */
    assert_string_equal(encoding_after(as_skiplist, true), "skiplist");  /* what another of our threads had */
    rule.entries_max = 3;
    assert_string_equal(encoding_after(as_listpack, false), "skiplist");
    assert_string_equal(encoding_after(as_listpack, true), "listpack");
    rule = (struct zset_rule){128, 2};
    assert_string_equal(encoding_after(as_listpack, false), "listpack"); /* the length of members does not count then */
    assert_string_equal(encoding_after(as_skiplist, false), "skiplist");
    rule.value_max = 64;
}

/* --- hostile --- */

/* Reads a copy in a block of exactly its size; what came of it, if anything, is checked and freed. */
static bool try_body(const char *bytes, size_t len) {
    char *copy = malloc(len ? len : 1);
    if (len) memcpy(copy, bytes, len);
    struct slice body = slice_of(copy, len);
    struct entry *entry = read_entry(&body, false);
    if (entry && entry->type == TYPE_ZSET) {
        struct zset_pair pair;
        struct zset_iter iter = zset_seek(entry, 0);
        uint64_t seen = 0;
        for (; zset_next(&iter, &pair); seen++) assert_true(!isnan(pair.score) && pair.member.len <= 100 * len);
        assert_int_equal(seen, zset_len(entry));
    }
    bool good = entry != NULL;
    if (entry) entry_delete(&store, entry);
    free(copy);
    return good;
}

static void hostile_bytes(void **state) {
    const struct slice bodies[] = {as_listpack, as_skiplist, with_text, as_ziplist};
    char bytes[200];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        size_t len = bodies[i].len - (i < 2 ? DUMP_FOOTER : 0);
        for (size_t cut = 0; cut < len; cut++) assert_false(try_body(bodies[i].ptr, cut));
        for (size_t at = 0; at < len * 256; at++) {
            memcpy(bytes, bodies[i].ptr, len);
            bytes[at / 256] = (char)at;
            try_body(bytes, len);
        }
    }
}

static void refused(void **state) {
    static const struct slice bodies[] = {
        SLICE_INIT("\x05\x00"), /* nothing in it */
        SLICE_INIT("\x05\x01\x01\x61\x00\x00\x00\x00\x00\x00\xf8\x7f"), /* NaN */
        SLICE_INIT("\x03\x01\x01\x61\xfd"), /* the same in the oldest form */
        SLICE_INIT("\x03\x01\x01\x61\x01x"), /* no number */
        SLICE_INIT("\x03\x02\x01\x61\x01\x31\x01\x61\x01\x32"), /* a member twice */
        SLICE_INIT("\x11\x0a\x0a\x00\x00\x00\x01\x00\x81\x61\x02\xff"), /* a member without a score */
        SLICE_INIT("\x11\x0d\x0d\x00\x00\x00\x02\x00\x81\x61\x02\x81x\x02\xff"), /* a score that is no number */
        SLICE_INIT("\x05\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01\x61\x00\x00\x00\x00\x00\x00\xf0\x3f")
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) assert_false(try_body(bodies[i].ptr, bodies[i].len));
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    store = (struct store){.heap = heap, .slab = slab_new(heap, MEM_DATA)};
    buf_init(&scratch, heap, MEM_STATS);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    buf_deinit(&scratch);
    int left = (int)slab_used_bytes(store.slab);
    slab_delete(store.slab);
    for (int i = 0; i < MEM_CLASSES; i++) left |= (int)heap_used(heap, (enum mem_class)i);
    heap_delete(heap);
    return left == 0 ? 0 : -1;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(same_bytes_as_redis), TEST(older_forms), TEST(encodings), TEST(hostile_bytes), TEST(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
