/* Dump of lists: written as Redis 7.0.15 writes them, read in all four forms that any Redis wrote, there and back
 * whatever their form and length, and nothing from outside does harm.
 *
 * The expected payloads come from redis-server 7.0.15 (RPUSH, then DUMP); the older forms are made here by their
 * description. Hostile inputs are good ones cut at every byte, with every byte changed to every other, and every byte
 * of their inside changed while its frame stays right. Each is read from a heap block of exactly its size. */
#include "core/num.h"
#include "core/prng.h"
#include "shards/dump.h"
#include "shards/list.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct heap *heap;
static struct store store;
static struct quicklist_rule rule;
static const struct set_rule set_rule = {{1, 2}, 512};
static struct buf scratch;

/* A list of these texts, as RPUSH makes it. */
static struct entry *list_of(const struct slice *texts, size_t count) {
    struct quicklist *list = quicklist_new(&store);
    for (size_t i = 0; i < count; i++) {
        struct packed_value value = packed_value_of(texts[i]);
        quicklist_push(&store, list, &rule, LIST_TAIL, &value);
    }
    return list_new_entry(&store, SLICE("key"), list, 0);
}

static struct entry *read_entry(struct slice *body) {
    return dump_read_entry(body, &(struct dump_target){.store = &store,
                                                       .list_rule = &rule,
                                                       .set_rule = &set_rule,
                                                       .hash_rule = &(struct packed_rule){128, 64},
                                                       .zset_rule = &(struct zset_rule){128, 64},
                                                       .seed = &(struct hash_seed){1, 2},
                                                       .scratch = &scratch,
                                                       .key = SLICE("key"),
                                                       .deadline_ms = 5,
                                                       .allow_int = true});
}

static void assert_elements(const struct entry *entry, const struct slice *texts, size_t count) {
    char text[PACKED_SCRATCH];
    struct packed_value value;
    assert_non_null(entry);
    assert_int_equal(entry->type, TYPE_LIST);
    assert_int_equal(list_len(entry), count);
    struct quicklist_iter iter = list_seek(entry, 0);
    for (size_t i = 0; i < count; i++) {
        assert_true(list_step(&iter, LIST_HEAD, &value));
        assert_true(slice_equal(packed_text(&value, text), texts[i]));
    }
}

/* --- the same as Redis --- */

static const struct slice numbers_and_text[] = {
    SLICE_INIT(""),           SLICE_INIT("0"),
    SLICE_INIT("-1"),         SLICE_INIT("127"),
    SLICE_INIT("128"),        SLICE_INIT("-4096"),
    SLICE_INIT("-32768"),     SLICE_INIT("8388607"),
    SLICE_INIT("2147483648"), SLICE_INIT("-9223372036854775808"),
    SLICE_INIT("hello"),
};
static const struct slice letters[] = {SLICE_INIT("a"), SLICE_INIT("b"), SLICE_INIT("c"), SLICE_INIT("d"),
                                       SLICE_INIT("e")};

static void writes_what_redis_writes(void **state) {
    (void)state;
    struct slice repeated[40];
    for (size_t i = 0; i < ARRAY_LEN(repeated); i++) repeated[i] = SLICE("aaaaaaaa");
    const struct {
        const struct slice *texts;
        size_t count;
        int rule;
        struct slice payload;
    } known[] = {
        {letters, 1, -2,
         SLICE_INIT(
             "\x12\x01\x02\x0a\x0a\x00\x00\x00\x01\x00\x81\x61\x02\xff\x0a\x00\x09\xb9\xed\xf5\x94\xde\xd9\x95")},
        {numbers_and_text, ARRAY_LEN(numbers_and_text), -2,
         SLICE_INIT("\x12\x01\x02\x3a\x3a\x00\x00\x00\x0b\x00\x80\x01\x00\x01\xdf\xff\x02\x7f\x01\xc0\x80\x02\xd0\x00"
                    "\x02\xf1\x00\x80\x03\xf2\xff\xff\x7f\x04\xf4\x00\x00\x00\x80\x00\x00\x00\x00\x09\xf4\x00\x00\x00"
                    "\x00\x00\x00\x00\x80\x09\x85hello\x06\xff\x0a\x00\x35\xd2\xf2\xb8\xaa\x35\x06\xab")},
        {repeated, ARRAY_LEN(repeated), -2,
         SLICE_INIT("\x12\x01\x02\xc3\x18\x41\x97\x07\x97\x01\x00\x00\x28\x00\x88\x61\xa0\x00\x00\x09\xe0\xff\x09\x60"
                    "\x00\xe1\x6f\x0d\x01\x09\xff\x0a\x00\x2b\xb8\xb7\xa2\x8b\xf2\x7f\x59")},
        {letters, 5, 2,
         SLICE_INIT("\x12\x03\x02\x0d\x0d\x00\x00\x00\x02\x00\x81\x61\x02\x81\x62\x02\xff\x02\x0d\x0d\x00\x00\x00\x02"
                    "\x00\x81\x63\x02\x81\x64\x02\xff\x02\x0a\x0a\x00\x00\x00\x01\x00\x81\x65\x02\xff\x0a\x00\xec\x52"
                    "\x36\xa7\x60\x20\xa1\xdb")},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct buf out;
        buf_init(&out, heap, MEM_STATS);
        rule = quicklist_rule_of(known[i].rule);
        struct entry *entry = list_of(known[i].texts, known[i].count);
        dump_write(&out, entry);
        entry_delete(&store, entry);
        assert_true(slice_equal(buf_slice(&out), known[i].payload));

        struct slice payload = known[i].payload;
        assert_true(dump_footer_fits(payload));
        entry = read_entry(&payload);
        assert_elements(entry, known[i].texts, known[i].count);
        assert_int_equal(entry_deadline_ms(entry), 5);
        assert_int_equal(payload.len, DUMP_FOOTER);
        entry_delete(&store, entry);
        buf_deinit(&out);
    }
    rule = quicklist_rule_of(-2);
}

/* --- older forms --- */

static const struct slice bodies[] = {
    /* a list of strings: text, integer, empty */
    SLICE_INIT("\x01\x03\x01\x61\xc0\x85\x00"),
    /* a ziplist: a, 0, 12, -128, -32768, -8388608, and two bytes of length */
    SLICE_INIT(
        "\x0a\x40\x71\x71\x00\x00\x00\x1d\x00\x00\x00\x07\x00\x00\x01\x61\x03\xf1\x02\xfd\x02\xfe\x80\x03\xc0\x00\x80"
        "\x04\xf0\x00\x00\x80\x05\x40\x50"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "\xff"),
    /* two ziplists: an integer of 4 bytes; one of 8 */
    SLICE_INIT("\x0e\x02\x11\x11\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\xd0\x00\x00\x00\x80\xff"
               "\x15\x15\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\xe0\x00\x00\x00\x00\x00\x00\x00\x40\xff"),
    /* nodes: a listpack of two, a plain element */
    SLICE_INIT("\x12\x02\x02\x0c\x0c\x00\x00\x00\x02\x00\x81\x61\x02\x05\x01\xff\x01\x05plain"),
};
static const struct slice of_strings[] = {SLICE_INIT("a"), SLICE_INIT("-123"), SLICE_INIT("")};
static const struct slice of_ziplist[] = {SLICE_INIT("a"),
                                          SLICE_INIT("0"),
                                          SLICE_INIT("12"),
                                          SLICE_INIT("-128"),
                                          SLICE_INIT("-32768"),
                                          SLICE_INIT("-8388608"),
                                          SLICE_INIT("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                                                     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")};
static const struct slice of_two_ziplists[] = {SLICE_INIT("-2147483648"), SLICE_INIT("4611686018427387904")};
static const struct slice of_nodes[] = {SLICE_INIT("a"), SLICE_INIT("5"), SLICE_INIT("plain")};

static void reads_every_form(void **state) {
    (void)state;
    const struct {
        const struct slice *texts;
        size_t count;
    } expected[ARRAY_LEN(bodies)] = {{of_strings, ARRAY_LEN(of_strings)},
                                     {of_ziplist, ARRAY_LEN(of_ziplist)},
                                     {of_two_ziplists, ARRAY_LEN(of_two_ziplists)},
                                     {of_nodes, ARRAY_LEN(of_nodes)}};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct slice body = bodies[i];
        struct entry *entry = read_entry(&body);
        assert_elements(entry, expected[i].texts, expected[i].count);
        assert_int_equal(body.len, 0);
        entry_delete(&store, entry);
    }
}

/* --- there and back --- */

static void round_trips(void **state) {
    (void)state;
    enum { COUNT = 3000, LONGEST = 20000 };
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    struct slice *texts = calloc(COUNT, sizeof *texts);
    for (size_t i = 0; i < COUNT; i++) {
        char *bytes = malloc(LONGEST);
        size_t len = prng_below(&prng, prng_below(&prng, 50) ? 20 : LONGEST);
        for (size_t at = 0; at < len; at++) bytes[at] = (char)('a' + prng_below(&prng, 3));
        if (prng_below(&prng, 2)) len = num_format_i64(bytes, (int64_t)prng_next(&prng) >> prng_below(&prng, 64));
        texts[i] = slice_of(bytes, len);
    }
    for (size_t count = 1; count <= COUNT; count = count * 2 + 1) {
        for (int compress = 0; compress < 2; compress++) {
            struct buf out;
            buf_init(&out, heap, MEM_STATS);
            struct entry *entry = list_of(texts, count);
            dump_write_body(&out, entry, compress);
            entry_delete(&store, entry);
            struct slice body = buf_slice(&out);
            entry = read_entry(&body);
            assert_elements(entry, texts, count);
            assert_int_equal(body.len, 0);
            if (entry->encoding == ENC_OBJECT) quicklist_check(entry_object(entry));
            entry_delete(&store, entry);
            buf_deinit(&out);
        }
    }
    for (size_t i = 0; i < COUNT; i++) free((char *)(uintptr_t)texts[i].ptr);
    free(texts);
}

/* --- hostile --- */

/* Reads a copy in a block of exactly its size; what came of it, if anything, is walked through and freed. */
static bool try_body(const char *bytes, size_t len) {
    char *copy = malloc(len ? len : 1);
    if (len) memcpy(copy, bytes, len);
    struct slice body = slice_of(copy, len);
    struct entry *entry = read_entry(&body);
    if (entry && entry->type == TYPE_LIST) {
        struct packed_value value;
        uint64_t seen = 0;
        struct quicklist_iter iter = list_seek(entry, 0);
        for (; list_step(&iter, LIST_HEAD, &value); seen++) assert_true(value.is_int || value.text.len < len * 100);
        assert_int_equal(seen, list_len(entry));
        assert_true(seen > 0);
    }
    if (entry) entry_delete(&store, entry);
    free(copy);
    return entry != NULL;
}

static void survives_every_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        for (size_t cut = 0; cut < bodies[i].len; cut++) assert_false(try_body(bodies[i].ptr, cut));
}

static void survives_every_changed_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        char bad[256];
        memcpy(bad, bodies[i].ptr, bodies[i].len);
        for (size_t at = 0; at < bodies[i].len; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                bad[at] = (char)byte;
                (void)try_body(bad, bodies[i].len);
            }
            bad[at] = bodies[i].ptr[at];
        }
    }
}

/* Random inside, right frame: the checks of elements have to see to it. */
static void survives_random_insides(void **state) {
    (void)state;
    static const unsigned char heads[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xdf, 0xe0, 0xef, 0xf0, 0xf1, 0xf4, 0xfe, 0xff};
    struct prng prng;
    prng_init(&prng, 11);
    uint64_t good = 0;
    for (int i = 0; i < 300000; i++) {
        bool ziplist = prng_below(&prng, 2);
        size_t head = ziplist ? 10 : 6, inside = prng_below(&prng, 12), total = head + inside + 1;
        char bytes[64] = {(char)(ziplist ? 0x0a : 0x12), 1, 2};
        size_t at = ziplist ? 1 : 3;
        bytes[at++] = (char)total;
        memset(bytes + at, 0, head);
        bytes[at] = (char)total;
        if (!ziplist) memset(bytes + at + 4, 0xff, 2); /* the count is not known */
        at += head;
        for (size_t j = 0; j < inside; j++) {
            uint64_t kind = prng_below(&prng, 3);
            bytes[at++] =
                (char)(kind == 0 ? heads[prng_below(&prng, ARRAY_LEN(heads))] : prng_below(&prng, kind == 1 ? 4 : 256));
        }
        bytes[at++] = (char)0xff;
        good += try_body(bytes, at);
    }
    assert_in_range(good, 1000, 299000); /* both ways are tried */
}

static void refuses_what_is_empty_or_promises(void **state) {
    (void)state;
    static const struct slice bad[] = {
        SLICE_INIT("\x01\x00"),
        SLICE_INIT("\x12\x00"),
        SLICE_INIT("\x0e\x00"),
        SLICE_INIT("\x0a\x0b\x0b\x00\x00\x00\x0a\x00\x00\x00\x00\x00\xff"), /* no element */
        SLICE_INIT("\x12\x01\x02\x07\x07\x00\x00\x00\x00\x00\xff"),
        SLICE_INIT("\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01\x61"),
        SLICE_INIT("\x12\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x61"),
        SLICE_INIT("\x12\x01\x03\x0a\x0a\x00\x00\x00\x01\x00\x81\x61\x02\xff"), /* no such container */
        SLICE_INIT("\x12\x01\x02\x0a\x0a\x00\x00\x00\x02\x00\x81\x61\x02\xff"), /* the count is wrong */
        SLICE_INIT("\x12\x01\x02\x0a\x0b\x00\x00\x00\x01\x00\x81\x61\x02\xff"), /* the size is */
        SLICE_INIT("\x12\x01\x02\x0a\x0a\x00\x00\x00\x01\x00\x81\x61\x02\x00"), /* no end */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t before = heap_used(heap, MEM_DATA);
        assert_false(try_body(bad[i].ptr, bad[i].len));
        assert_true(heap_used(heap, MEM_DATA) - before < 65536);
    }
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    store = (struct store){.heap = heap, .slab = slab_new(heap, MEM_DATA)};
    rule = quicklist_rule_of(-2);
    buf_init(&scratch, heap, MEM_STATS);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    buf_deinit(&scratch);
    int left = (int)slab_used_bytes(store.slab);
    slab_delete(store.slab);
    left |= (int)heap_used(heap, MEM_DATA);
    heap_delete(heap);
    return left == 0 ? 0 : -1;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(writes_what_redis_writes),
        TEST(reads_every_form),
        TEST(round_trips),
        TEST(survives_every_cut),
        TEST(survives_every_changed_byte),
        TEST(survives_random_insides),
        TEST(refuses_what_is_empty_or_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
