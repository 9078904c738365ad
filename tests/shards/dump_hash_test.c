/* Dump of hashes: written as Redis 7.0.15 writes them, read in all four forms that any Redis wrote, there and back
 * whatever their form, and nothing from outside does harm.
 *
 * The expected payloads come from redis-server 7.0.15 (HSET, then DUMP); the older forms are made here by their
 * description. Hostile inputs are good ones cut at every byte and with every byte changed to every other, each read
 * from a heap block of exactly its size. */
#include "core/num.h"
#include "core/prng.h"
#include "shards/dump.h"
#include "shards/hash_value.h"
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
static struct packed_rule rule;
static struct buf scratch;
static const struct hash_seed seed = {5, 6};

static struct entry *read_entry(struct slice *body) {
    return dump_read_entry(body, &(struct dump_target){.store = &store,
                                                       .hash_rule = &rule,
                                                       .seed = &seed,
                                                       .scratch = &scratch,
                                                       .key = SLICE("key"),
                                                       .deadline_ms = 5,
                                                       .allow_int = true});
}

/* texts: field and value in turn. */
static struct entry *hash_of(const struct slice *texts, size_t count) {
    struct hash_loading loading;
    hash_load_begin(&loading, &store, &rule, &seed);
    for (size_t i = 0; i < count; i += 2) {
        struct packed_value field = packed_value_of(texts[i]), value = packed_value_of(texts[i + 1]);
        assert_true(hash_load(&loading, &field, &value, true));
    }
    return hash_load_end(&loading, SLICE("key"), 0);
}

static void assert_has(const struct entry *entry, const struct slice *texts, size_t count, bool large) {
    struct packed_value value;
    char text[PACKED_SCRATCH];
    assert_non_null(entry);
    hash_check(entry);
    assert_int_equal(entry->type, TYPE_HASH);
    assert_int_equal(hash_len(entry), count / 2);
    assert_string_equal(entry_encoding_name(entry), large ? "hashtable" : "listpack");
    for (size_t i = 0; i < count; i += 2) {
        assert_true(hash_get(entry, texts[i], &value));
        assert_true(slice_equal(packed_text(&value, text), texts[i + 1]));
    }
}

/* --- the same as Redis --- */

#define X65 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct slice few[] = {SLICE_INIT("a"), SLICE_INIT("1"), SLICE_INIT("128"), SLICE_INIT("hello")};
static const struct slice with_long[] = {SLICE_INIT("a"), SLICE_INIT("ab" X65)};

static void writes_what_redis_writes(void **state) {
    (void)state;
    const struct {
        const struct slice *texts;
        size_t count;
        struct slice payload;
    } known[] = {
        {few, ARRAY_LEN(few),
         SLICE_INIT("\x10\x16\x16\x00\x00\x00\x04\x00\x81\x61\x02\x01\x01\xc0\x80\x02\x85hello\x06\xff\x0a\x00VtQ`\xd2"
                    "\x1c#\xf2")},
        {with_long, ARRAY_LEN(with_long),
         SLICE_INIT("\x04\x01\x01\x61\xc3\x0a@C\x02\x61\x62x\xe0\x35\x00\x01xx\x0a\x00(\xc1\xd9\x9b\xa7\xb4Y\x98")},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct buf out;
        buf_init(&out, heap, MEM_STATS);
        struct entry *entry = hash_of(known[i].texts, known[i].count);
        dump_write(&out, entry);
        entry_delete(&store, entry);
        assert_true(slice_equal(buf_slice(&out), known[i].payload));

        struct slice payload = known[i].payload;
        assert_true(dump_footer_fits(payload));
        entry = read_entry(&payload);
        assert_has(entry, known[i].texts, known[i].count, i == 1);
        assert_int_equal(entry_deadline_ms(entry), 5);
        assert_int_equal(payload.len, DUMP_FOOTER);
        entry_delete(&store, entry);
        buf_deinit(&out);
    }
}

/* --- every form --- */

static const struct slice bodies[] = {
    /* strings: a 1, 128 hello */
    SLICE_INIT("\x04\x02\x01\x61\xc0\x01\xc1\x80\x00\x05hello"),
    /* a zipmap: the same, with two free bytes behind the first value */
    SLICE_INIT("\x09\x14\x02\x01\x61\x01\x02\x31\x00\x00\x03\x31\x32\x38\x05\x00hello\xff"),
    /* a ziplist: the same */
    SLICE_INIT("\x0d\x1b\x1b\x00\x00\x00\x13\x00\x00\x00\x04\x00\x00\x01\x61\x03\xf2\x02\xc0\x80\x00\x04\x05hello\xff"),
    /* a listpack: the same; then one whose number is text */
    SLICE_INIT("\x10\x16\x16\x00\x00\x00\x04\x00\x81\x61\x02\x01\x01\xc0\x80\x02\x85hello\x06\xff"),
    SLICE_INIT("\x10\x19\x19\x00\x00\x00\x04\x00\x81\x61\x02\x81\x31\x02\x83\x31\x32\x38\x04\x85hello\x06\xff"),
};

static void reads_every_form(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct slice body = bodies[i];
        struct entry *entry = read_entry(&body);
        assert_has(entry, few, ARRAY_LEN(few), false);
        assert_int_equal(body.len, 0);
        entry_delete(&store, entry);
    }
    char zipmap[300] = "\x09\x41\x0a\xfe\x01\x61\xfe\x00\x01\x00"; /* 266 bytes; pairs unknown; a value of 256 */
    memset(zipmap + 12, 'v', 256);
    zipmap[268] = (char)0xff;
    struct slice body = slice_of(zipmap, 269), pair[2] = {SLICE("a"), slice_of(zipmap + 12, 256)};
    struct entry *entry = read_entry(&body);
    assert_has(entry, pair, 2, true);
    entry_delete(&store, entry);
}

/* By Redis's limits at the time of loading: the number of fields always, lengths where texts come one by one. */
/* --- deadlines of fields --- */

/* a 1 without, b 2 at 1000, c 3 at 2500. */
static const struct slice timed_bodies[] = {
    SLICE_INIT("\x16\x03\x00\x01\x61\xc0\x01\x43\xe8\x01\x62\xc0\x02\x49\xc4\x01\x63\xc0\x03"),
    SLICE_INIT("\x17\x1e\x1e\x00\x00\x00\x09\x00\x81\x62\x02\x02\x01\xc3\xe8\x02\x81\x63\x02\x03\x01\xc9\xc4\x02\x81"
               "\x61\x02\x01\x01\x00\x01\xff"),
    SLICE_INIT("\x18\xe8\x03\0\0\0\0\0\0\x03\x00\x01\x61\xc0\x01\x01\x01\x62\xc0\x02\x45\xdd\x01\x63\xc0\x03"),
    SLICE_INIT("\x19\xe8\x03\0\0\0\0\0\0\x1e\x1e\x00\x00\x00\x09\x00\x81\x62\x02\x02\x01\xc3\xe8\x02\x81\x63\x02\x03"
               "\x01\xc9\xc4\x02\x81\x61\x02\x01\x01\x00\x01\xff"),
};

static void reads_deadlines_of_fields(void **state) {
    (void)state;
    static const struct slice texts[] = {SLICE_INIT("a"), SLICE_INIT("1"), SLICE_INIT("b"),
                                         SLICE_INIT("2"), SLICE_INIT("c"), SLICE_INIT("3")};
    for (size_t i = 0; i < ARRAY_LEN(timed_bodies); i++) {
        for (int again = 0; again < 2; again++) {
            struct buf out;
            buf_init(&out, heap, MEM_STATS);
            struct slice body = timed_bodies[i];
            struct entry *entry = read_entry(&body);
            assert_non_null(entry);
            if (again) { /* what was read is written, and read once more */
                dump_write_body(&out, entry, true);
                assert_int_equal(out.data[0], 24);
                entry_delete(&store, entry);
                body = buf_slice(&out);
                entry = read_entry(&body);
            }
            assert_int_equal(body.len, 0);
            assert_has(entry, texts, ARRAY_LEN(texts), true);
            assert_int_equal(hash_deadline(entry, SLICE("a")), 0);
            assert_int_equal(hash_deadline(entry, SLICE("b")), 1000);
            assert_int_equal(hash_deadline(entry, SLICE("c")), 2500);
            hash_check(entry);
            entry_delete(&store, entry);
            buf_deinit(&out);
        }
    }
}

static void refuses_broken_deadlines(void **state) {
    (void)state;
    static const struct slice broken[] = {SLICE_INIT("\x16\x00"), SLICE_INIT("\x18\0\0\0\0\0\0\0\0\x00"),
                                          SLICE_INIT("\x18\0\0\0"),
                                          /* the same field twice; beyond all time; threes that are not */
                                          SLICE_INIT("\x16\x02\x01\x01\x61\xc0\x01\x02\x01\x61\xc0\x02"),
                                          SLICE_INIT("\x16\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01\x61\xc0\x01"),
                                          SLICE_INIT("\x18\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x01\x61\xc0\x01"),
                                          SLICE_INIT("\x17\x0d\x0d\x00\x00\x00\x02\x00\x81\x61\x02\x01\x01\xff")};
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct slice body = broken[i];
        assert_null(read_entry(&body));
    }
    for (size_t i = 0; i < ARRAY_LEN(timed_bodies); i++) {
        for (size_t len = 0; len < timed_bodies[i].len; len++) {
            struct slice cut = slice_of(timed_bodies[i].ptr, len);
            assert_null(read_entry(&cut));
        }
    }
}

static void follows_the_limits(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct slice body = bodies[i];
        rule = (struct packed_rule){1, 64};
        struct entry *entry = read_entry(&body);
        assert_has(entry, few, ARRAY_LEN(few), true);
        entry_delete(&store, entry);
        body = bodies[i];
        rule = (struct packed_rule){2, 4};
        entry = read_entry(&body);
        assert_has(entry, few, ARRAY_LEN(few), i < 2);
        entry_delete(&store, entry);
    }
}

/* --- there and back --- */

static void round_trips(void **state) {
    (void)state;
    enum { COUNT = 2000, LONGEST = 3000 };
    uint64_t random_seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", random_seed);
    struct prng prng;
    prng_init(&prng, random_seed);
    struct slice *texts = calloc(COUNT, sizeof *texts);
    for (size_t i = 0; i < COUNT; i++) {
        char *bytes = malloc(LONGEST);
        size_t len = prng_below(&prng, prng_below(&prng, 300) ? 20 : LONGEST);
        for (size_t at = 0; at < len; at++) bytes[at] = (char)('a' + prng_below(&prng, 3));
        if (i % 2 == 0) len = num_format_u64(bytes, i * i); /* fields are different */
        texts[i] = slice_of(bytes, len);
    }
    for (size_t count = 2; count <= COUNT; count = count * 2) {
        for (int compress = 0; compress < 2; compress++) {
            struct buf out;
            buf_init(&out, heap, MEM_STATS);
            struct entry *entry = hash_of(texts, count);
            bool large = entry->flags & ENTRY_LARGE;
            dump_write_body(&out, entry, compress);
            entry_delete(&store, entry);
            struct slice body = buf_slice(&out);
            entry = read_entry(&body);
            assert_has(entry, texts, count, large);
            assert_int_equal(body.len, 0);
            entry_delete(&store, entry);
            buf_deinit(&out);
        }
    }
    for (size_t i = 0; i < COUNT; i++) free((char *)(uintptr_t)texts[i].ptr);
    free(texts);
}

/* --- hostile --- */

/* Reads a copy in a block of exactly its size; what came of it, if anything, is checked and freed. */
static bool try_body(const char *bytes, size_t len) {
    char *copy = malloc(len ? len : 1);
    if (len) memcpy(copy, bytes, len);
    struct slice body = slice_of(copy, len);
    bool other = len > 0 && !strchr("\x04\x09\x0d\x10", bytes[0]); /* no hash any more */
    struct entry *entry = other ? NULL : read_entry(&body);
    if (entry && entry->type == TYPE_HASH) hash_check(entry);
    if (entry) entry_delete(&store, entry);
    free(copy);
    return entry != NULL;
}

static void survives_every_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        for (size_t cut = 1; cut < bodies[i].len; cut++) assert_false(try_body(bodies[i].ptr, cut));
}

static void survives_every_changed_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        char bad[64];
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

static void refuses_what_is_empty_or_promises(void **state) {
    (void)state;
    static const struct slice bad[] = {
        SLICE_INIT("\x04\x00"),
        SLICE_INIT("\x04\x02\x01\x61\x01\x62\x01\x61\x01\x63"), /* a field twice */
        SLICE_INIT("\x04\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01\x61\x01\x62"),
        SLICE_INIT("\x09\x00"),
        SLICE_INIT("\x09\x02\x00\xff"),
        SLICE_INIT("\x09\x08\x01\x01\x61\x01\x00\x31\xff\xff"),                         /* bytes behind the end */
        SLICE_INIT("\x09\x0a\x01\x01\x61\xfe\xff\xff\xff\xff\x00\xff"),                 /* a long value */
        SLICE_INIT("\x09\x07\x02\x01\x61\x01\x00\x31\xff"),                             /* one pair, not two */
        SLICE_INIT("\x09\x0b\x01\x01\x61\xfe\x01\x00\x00\x00\x00\x31\xff"),             /* 5 bytes for a length of 1 */
        SLICE_INIT("\x0d\x0b\x0b\x00\x00\x00\x0a\x00\x00\x00\x00\x00\xff"),             /* no element */
        SLICE_INIT("\x0d\x0e\x0e\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x01\x61\xff"), /* no value */
        SLICE_INIT("\x10\x07\x07\x00\x00\x00\x00\x00\xff"),
        SLICE_INIT("\x10\x0a\x0a\x00\x00\x00\x01\x00\x81\x61\x02\xff"),
        SLICE_INIT("\x10\x11\x11\x00\x00\x00\x04\x00\x81\x61\x02\x01\x01\x81\x61\x02\x01\x01\xff"), /* a field twice */
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
    rule = (struct packed_rule){128, 64};
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
        TEST(reads_deadlines_of_fields),
        TEST(refuses_broken_deadlines),
        TEST(follows_the_limits),
        TEST(round_trips),
        TEST(survives_every_cut),
        TEST(survives_every_changed_byte),
        TEST(refuses_what_is_empty_or_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
