/* Dump of sets: written as Redis 7.0.15 writes them, read in all three forms that any Redis wrote, there and back
 * whatever their form and size, and nothing from outside does harm.
 *
 * The expected payloads come from redis-server 7.0.15 (SADD, then DUMP). Hostile inputs are good ones cut at every byte
 * and with every byte changed to every other, and random insides in a right frame. Each is read from a heap block of
 * exactly its size. */
#include "core/num.h"
#include "core/prng.h"
#include "shards/dump.h"
#include "shards/set.h"
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
static const struct set_rule rule = {{1, 2}, 512};
static struct buf scratch;

static struct entry *set_of(const struct slice *texts, size_t count) {
    struct members *members = members_new(&store, &rule.seed);
    for (size_t i = 0; i < count; i++) assert_true(members_add(&store, members, texts[i]));
    return set_new_entry(&store, &rule, SLICE("key"), members, true, 0);
}

static struct entry *read_entry(struct slice *body, bool allow_int) {
    return dump_read_entry(body, &(struct dump_target){.store = &store,
                                                       .set_rule = &rule,
                                                       .scratch = &scratch,
                                                       .key = SLICE("key"),
                                                       .deadline_ms = 5,
                                                       .allow_int = allow_int});
}

static void assert_members(const struct entry *entry, const struct slice *texts, size_t count, bool is_intset) {
    assert_non_null(entry);
    assert_int_equal(entry->type, TYPE_SET);
    assert_int_equal(set_count(entry), count);
    assert_int_equal(set_is_intset(entry), is_intset);
    for (size_t i = 0; i < count; i++) assert_true(set_has(entry, texts[i]));
}

/* --- known bodies --- */

static const struct slice small[] = {SLICE_INIT("1"), SLICE_INIT("-2"), SLICE_INIT("300")};
static const struct slice middle[] = {SLICE_INIT("1"), SLICE_INIT("70000")};
static const struct slice wide[] = {SLICE_INIT("1"), SLICE_INIT("10000000000")};
static const struct slice text[] = {SLICE_INIT("a")};
static const struct slice mixed[] = {SLICE_INIT("12"), SLICE_INIT("a")};
static const struct slice packed[] = {SLICE_INIT("a"), SLICE_INIT("5")};

static const struct {
    struct slice payload;
    const struct slice *texts;
    size_t count;
    bool is_intset, is_ours; /* is_ours: we write the same */
} known[] = {
    {SLICE_INIT("\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\xfe\xff\x01\x00\x2c\x01\x0a\x00\x5b\x0a\xa8\x62\xf7"
                "\x94\x60\x0a"),
     small, ARRAY_LEN(small), true, true},
    {SLICE_INIT("\x0b\x10\x04\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x70\x11\x01\x00\x0a\x00\x27\x35\x43\x6e\xfd"
                "\x66\x56\xc4"),
     middle, ARRAY_LEN(middle), true, true},
    {SLICE_INIT("\x0b\x18\x08\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\xe4\x0b\x54\x02\x00\x00"
                "\x00\x0a\x00\xd9\xeb\xbe\xcf\x4d\xe6\x27\x7b"),
     wide, ARRAY_LEN(wide), true, true},
    {SLICE_INIT("\x02\x01\x01\x61\x0a\x00\x62\x96\xe9\x7e\x44\xd2\x1a\x6d"), text, ARRAY_LEN(text), false, true},
    {SLICE_INIT("\x02\x02\xc0\x0c\x01\x61\x0a\x00\x4d\xb6\x7f\xa3\xc6\xc9\x17\xd4"), mixed, ARRAY_LEN(mixed), false,
     true},
    /* from here on bodies by their description: a listpack of Redis 7.2; integers as strings */
    {SLICE_INIT("\x14\x0c\x0c\x00\x00\x00\x02\x00\x81\x61\x02\x05\x01\xff"), packed, ARRAY_LEN(packed), false, false},
    {SLICE_INIT("\x02\x03\xc0\x01\xc0\xfe\xc1\x2c\x01"), small, ARRAY_LEN(small), true, false},
};

static void writes_what_redis_writes(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known) && known[i].is_ours; i++) {
        struct buf out;
        buf_init(&out, heap, MEM_STATS);
        struct entry *entry = set_of(known[i].texts, known[i].count);
        dump_write(&out, entry);
        entry_delete(&store, entry);
        assert_true(slice_equal(buf_slice(&out), known[i].payload));
        assert_true(dump_footer_fits(known[i].payload));
        buf_deinit(&out);
    }
}

static void reads_every_form(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct slice body = known[i].payload;
        struct entry *entry = read_entry(&body, true);
        assert_members(entry, known[i].texts, known[i].count, known[i].is_intset);
        assert_int_equal(entry_deadline_ms(entry), 5);
        assert_int_equal(body.len, known[i].is_ours ? DUMP_FOOTER : 0);
        entry_delete(&store, entry);
    }
    struct slice body = known[ARRAY_LEN(known) - 1].payload; /* RENAME of what is a table on another shard */
    struct entry *entry = read_entry(&body, false);
    assert_members(entry, small, ARRAY_LEN(small), false);
    entry_delete(&store, entry);
}

/* --- there and back --- */

static void round_trips(void **state) {
    (void)state;
    enum { COUNT = 3000, LONGEST = 700 };
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    struct slice *texts = calloc(COUNT, sizeof *texts);
    char *bytes = malloc(COUNT * LONGEST);
    for (int round = 0; round < 40; round++) {
        bool numbers = round % 2;
        uint64_t shift = prng_below(&prng, 40);
        size_t count = 1 + prng_below(&prng, round % 4 < 2 ? 40 : COUNT);
        for (size_t i = 0; i < count; i++) {
            char *at = bytes + i * LONGEST;
            size_t len = num_format_i64(at, (int64_t)(i << shift) - 500);
            if (!numbers) at[len++] = 'x';
            if (!numbers && prng_below(&prng, 20) == 0)
                for (size_t more = prng_below(&prng, LONGEST - len); more > 0; more--) at[len++] = 'y';
            texts[i] = slice_of(at, len);
        }
        struct buf out;
        buf_init(&out, heap, MEM_STATS);
        struct entry *entry = set_of(texts, count);
        assert_members(entry, texts, count, numbers && count <= 512);
        dump_write_body(&out, entry, prng_below(&prng, 2));
        entry_delete(&store, entry);
        struct slice body = buf_slice(&out);
        entry = read_entry(&body, true);
        assert_members(entry, texts, count, numbers && count <= 512);
        assert_int_equal(body.len, 0);
        entry_delete(&store, entry);
        buf_deinit(&out);
    }
    free(bytes);
    free(texts);
}

/* --- hostile --- */

struct counting {
    uint64_t seen;
    size_t longest;
};

static bool count_text(void *ctx, struct slice member) {
    struct counting *counting = ctx;
    counting->seen++;
    counting->longest = MAX(counting->longest, member.len);
    return true;
}

/* Reads a copy in a block of exactly its size; what came of it, if anything, is walked through and freed. */
static bool try_body(const char *bytes, size_t len) {
    char *copy = malloc(len ? len : 1);
    if (len) memcpy(copy, bytes, len);
    struct slice body = slice_of(copy, len);
    unsigned type = len ? (unsigned char)copy[0] : 0;
    bool is_set = type == 2 || type == 11 || type == 20;
    struct entry *entry = is_set ? read_entry(&body, true) : NULL;
    if (entry) {
        struct counting counting = {0};
        set_each(entry, count_text, &counting);
        assert_int_equal(counting.seen, set_count(entry));
        assert_true(counting.seen > 0 && counting.longest < len * 100);
        entry_delete(&store, entry);
    }
    free(copy);
    return entry != NULL;
}

static size_t body_len(size_t i) {
    return known[i].payload.len - (known[i].is_ours ? DUMP_FOOTER : 0);
}

static void survives_every_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        for (size_t cut = 0; cut < body_len(i); cut++) assert_false(try_body(known[i].payload.ptr, cut));
}

static void survives_every_changed_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        char bad[64];
        memcpy(bad, known[i].payload.ptr, body_len(i));
        for (size_t at = 0; at < body_len(i); at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                bad[at] = (char)byte;
                (void)try_body(bad, body_len(i));
            }
            bad[at] = known[i].payload.ptr[at];
        }
    }
}

static void survives_random_insides(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 11);
    uint64_t good = 0;
    for (int i = 0; i < 200000; i++) {
        char bytes[64] = {0x0b};
        size_t width = 2u << prng_below(&prng, 3), count = 1 + prng_below(&prng, 4), inside = width * count;
        bytes[1] = (char)(8 + inside);
        bytes[2] = (char)width;
        bytes[6] = (char)count;
        for (size_t at = 0; at < inside; at++) bytes[10 + at] = (char)(prng_below(&prng, 3) ? 0 : prng_next(&prng));
        good += try_body(bytes, 10 + inside);
    }
    assert_in_range(good, 1000, 199000); /* both ways are tried */
}

static void refuses_what_is_empty_twice_or_promises(void **state) {
    (void)state;
    static const struct slice bad[] = {
        SLICE_INIT("\x02\x00"),
        SLICE_INIT("\x0b\x08\x02\x00\x00\x00\x00\x00\x00\x00"),
        SLICE_INIT("\x14\x07\x07\x00\x00\x00\x00\x00\xff"),
        SLICE_INIT("\x02\x02\x01\x61\x01\x61"),                                     /* a twice */
        SLICE_INIT("\x02\x02\xc0\x05\x01\x35"),                                     /* 5, as integer and as text */
        SLICE_INIT("\x14\x0d\x0d\x00\x00\x00\x02\x00\x81\x61\x02\x81\x61\x02\xff"), /* a twice */
        SLICE_INIT("\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x01\x00"),     /* 1 twice */
        SLICE_INIT("\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x01\x00"),     /* descending */
        SLICE_INIT("\x0b\x0c\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00\x02\x00"),     /* the count is wrong */
        SLICE_INIT("\x0b\x0a\x03\x00\x00\x00\x01\x00\x00\x00\x01\x00"),             /* no such width */
        SLICE_INIT("\x02\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01\x61"),
        SLICE_INIT("\x0b\x0a\x02\x00\x00\x00\xff\xff\xff\xff\x01\x00"),
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t before = heap_used(heap, MEM_DATA) + heap_used(heap, MEM_INDEX);
        assert_false(try_body(bad[i].ptr, bad[i].len));
        assert_true(heap_used(heap, MEM_DATA) + heap_used(heap, MEM_INDEX) - before < 65536);
    }
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
    left |= (int)heap_used(heap, MEM_DATA) | (int)heap_used(heap, MEM_INDEX);
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
        TEST(refuses_what_is_empty_twice_or_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
