/* RDB, read: what the writer wrote comes back, whatever its type, size and form; whatever a Redis ever wrote is
 * understood or refused by name; and no cut and no changed byte does harm or passes unnoticed when
 * there is a checksum. */
#include "core/crc.h"
#include "tests/support/rdb_files.h"
#include "tests/support/seed.h"
#include <endian.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct entries entries;
static struct buf file;

static struct rdb_content read_all(bool build) {
    const char *path = rdb_files_path("read.rdb");
    rdb_file_put(path, buf_slice(&file));
    return rdb_file_read(&entries, &(struct rdb_reader_options){.path = path, .build = build});
}

static int setup(void **state) {
    (void)state;
    entries_init(&entries, 9);
    buf_init(&file, entries.heap, MEM_MESSAGE);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    buf_deinit(&file);
    entries_deinit(&entries);
    rdb_files_remove();
    return 0;
}

static void assert_same_content(const struct rdb_content *a, const struct rdb_content *b) {
    if (a->end == RDB_BROKEN) print_error("%s\n", a->error.text);
    assert_int_equal(a->end, b->end);
    assert_int_equal(a->keys, b->keys);
    assert_int_equal(a->timed, b->timed);
    assert_true(a->digest == b->digest);
}

/* --- there and back --- */

static void write_large(const struct entry *entry, const struct rdb_style *style) {
    struct rdb_writer writer;
    rdb_writer_begin(&writer, entry, style);
    while (rdb_writer_next(&writer, &file, 1 + prng_below(&entries.prng, 300000))) {
    }
    rdb_writer_end(&writer);
}

static void write_random(struct rdb_content *content, uint32_t db, int number) {
    struct prng *prng = &entries.prng;
    struct rdb_style style = {.compress = prng_below(prng, 2)};
    enum value_type type = (enum value_type)prng_below(prng, TYPE_COUNT);
    char key[600];
    int len = snprintf(key, sizeof key, prng_below(prng, 2) ? "%d" : "%0*d", (int)prng_below(prng, 500), number);
    if (key[0] == ' ' || len < 1 || len > 520) len = snprintf(key, sizeof key, "key:%d", number);
    uint64_t deadline_ms = prng_below(prng, 2) ? 0 : 1 + (prng_next(prng) >> prng_below(prng, 40) >> 20);
    uint64_t count = 1 + prng_below(prng, number % 20 ? 60 : 4000);
    size_t text_max = number % 100 == 7 ? 2 << 20 : type == TYPE_STRING && number % 5 == 0 ? 90000 : 200;
    if (number % 100 == 7) count = 1 + count % 20;
    struct entry *entry = entries_make(&entries, type, slice_of(key, (size_t)len), count, text_max, deadline_ms);
    content->keys++;
    content->timed += deadline_ms > 0;
    content->digest += rdb_key_digest(db, entry);
    if (rdb_is_large(entry))
        write_large(entry, &style);
    else
        rdb_write_entry(&file, entry, &style);
    entry_delete(&entries.store, entry);
}

static void reads_what_was_written(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("seed %" PRIu64 "\n", seed);
    prng_init(&entries.prng, seed);
    struct rdb_content expected = {.end = RDB_END};
    rdb_write_header(&file);
    rdb_write_aux(&file, SLICE("redis-ver"), SLICE("7.0.15"));
    for (uint32_t db = 0; db < 3; db++) {
        rdb_write_database(&file, db * 100, 150, 1);
        for (int i = 0; i < 150; i++) write_random(&expected, db * 100, i);
    }
    rdb_write_aux(&file, SLICE("sherd-frontier"), SLICE("12 34"));
    rdb_finish(&file);
    struct rdb_content content = read_all(true);
    assert_same_content(&content, &expected);
    assert_int_equal(content.aux, 2);
    content = read_all(false);
    expected.digest = 0;
    assert_same_content(&content, &expected);
}

static bool takes_odd(void *ctx, uint32_t db, struct slice key) {
    (void)ctx;
    return (db + (unsigned char)key.ptr[key.len - 1]) % 2;
}

static bool takes_even(void *ctx, uint32_t db, struct slice key) {
    return !takes_odd(ctx, db, key);
}

static void two_halves_are_the_whole(void **state) {
    (void)state;
    struct rdb_content expected = {0};
    rdb_write_header(&file);
    for (int i = 0; i < 220; i++) write_random(&expected, 0, i);
    rdb_finish(&file);
    const char *path = rdb_files_path("read.rdb");
    rdb_file_put(path, buf_slice(&file));
    struct rdb_content half[2];
    for (int i = 0; i < 2; i++)
        half[i] = rdb_file_read(
            &entries, &(struct rdb_reader_options){.path = path, .build = true, .takes = i ? takes_odd : takes_even});
    assert_int_equal(half[0].end, RDB_END);
    assert_int_equal(half[1].end, RDB_END);
    assert_int_equal(half[0].skipped, half[1].keys);
    assert_int_equal(half[0].keys + half[1].keys, expected.keys);
    assert_true(half[0].digest + half[1].digest == expected.digest);
}

static void tells_usage(void **state) {
    (void)state;
    struct entry *entry = entries_make(&entries, TYPE_STRING, SLICE("k"), 1, 10, 77);
    struct rdb_reader *reader;
    struct rdb_event event;
    struct error error;
    entry->access = 0xFFFFF0;
    rdb_write_header(&file);
    rdb_write_entry(&file, entry, &(struct rdb_style){.usage = RDB_USAGE_IDLE, .clock = 0x000010});
    entry->access = lfu_field(100, 42) & 0xFFFFFF;
    rdb_write_entry(&file, entry,
                    &(struct rdb_style){.usage = RDB_USAGE_FREQ, .clock = 102, .lfu = {.decay_minutes = 1}});
    rdb_write_entry(&file, entry, &(struct rdb_style){.usage = RDB_USAGE_NONE});
    rdb_finish(&file);
    entry_delete(&entries.store, entry);
    rdb_file_put(rdb_files_path("read.rdb"), buf_slice(&file));
    struct rdb_reader_options options = {.path = rdb_files_path("read.rdb"), .heap = entries.heap};
    assert_int_equal(rdb_open(&reader, &options, &error), ST_OK);
    static const struct {
        int64_t idle_s;
        int freq;
    } expected[] = {{0x20, -1}, {-1, 40}, {-1, -1}};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_int_equal(rdb_next(reader, &event, &error), RDB_KEY);
        assert_int_equal(event.idle_s, expected[i].idle_s);
        assert_int_equal(event.freq, expected[i].freq);
        assert_int_equal(event.deadline_ms, 77);
    }
    assert_int_equal(rdb_next(reader, &event, &error), RDB_END);
    assert_int_equal(rdb_offset(reader), rdb_size(reader));
    assert_int_equal(rdb_version(reader), RDB_VERSION);
    rdb_close(reader);
}

static size_t written(struct entry *entry, struct rdb_thrift *thrift, int times) {
    file.len = 0;
    for (int i = 0; i < times; i++)
        rdb_write_entry(&file, entry, &(struct rdb_style){.compress = true, .thrift = thrift});
    return file.len / (size_t)times;
}

/* Noise makes it stop trying for a while; what gets smaller is then written as it is, and later not any more. */
static void compression_is_given_up_and_tried_again(void **state) {
    (void)state;
    char bytes[500];
    struct rdb_thrift thrift = {0};
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)prng_next(&entries.prng);
    struct entry *noise = entry_new_string(&entries.store, SLICE("k"), slice_of(bytes, sizeof bytes), 0, true);
    memset(bytes, 'a', sizeof bytes);
    struct entry *dense = entry_new_string(&entries.store, SLICE("k"), slice_of(bytes, sizeof bytes), 0, true);
    assert_true(written(dense, &thrift, 100) < 50);
    for (int i = 0; i < 100; i++) { /* one in eleven gets smaller: no reason to stop */
        assert_true(written(noise, &thrift, 10) > 500);
        assert_true(written(dense, &thrift, 1) < 50);
    }
    (void)written(noise, &thrift, 64);
    assert_true(thrift.pause > 0);
    assert_true(written(dense, &thrift, 1) > 500);
    (void)written(noise, &thrift, (int)thrift.pause);
    assert_true(written(dense, &thrift, 1) < 50);
    entry_delete(&entries.store, noise);
    entry_delete(&entries.store, dense);
}

/* --- files made by hand --- */

#define PUT(literal) buf_append_literal(&file, literal)

static uint64_t digest_of(enum value_type type, const char *const *texts, uint32_t db, uint64_t deadline_ms) {
    (void)type;
    struct entry *entry =
        entry_new_string(&entries.store, slice_of_cstr(texts[0]), slice_of_cstr(texts[1]), deadline_ms, true);
    uint64_t digest = rdb_key_digest(db, entry);
    entry_delete(&entries.store, entry);
    return digest;
}

/* Version 1 knew neither checksum nor milliseconds. */
static void reads_the_first_version(void **state) {
    (void)state;
    PUT("REDIS0001\xfe\x00\x00\x01"
        "a\x01"
        "x\xfd\x10\x00\x00\x00\x00\x01"
        "b\xc0\x05\xfe\x03\x00\x01"
        "c\x00\xff");
    struct rdb_content content = read_all(true);
    assert_int_equal(content.end, RDB_END);
    assert_int_equal(content.keys, 3);
    uint64_t expected = digest_of(TYPE_STRING, (const char *[]){"a", "x"}, 0, 0) +
                        digest_of(TYPE_STRING, (const char *[]){"b", "5"}, 0, 16000) +
                        digest_of(TYPE_STRING, (const char *[]){"c", ""}, 3, 0);
    assert_true(content.digest == expected);
}

/* One key per encoding that any Redis ever wrote, all of the value [a 1] or {a: 1}. */
#define ZIPLIST_A_1                                                                                                    \
    "\x10\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01"                                                                 \
    "a\x03\xf2\xff"
#define LISTPACK_A_1                                                                                                   \
    "\x0c\x00\x00\x00\x02\x00\x81"                                                                                     \
    "a\x02\x01\x01\xff"

static void reads_every_encoding(void **state) {
    (void)state;
    static const struct slice keys[] = {
        SLICE_INIT("\x01\x01k\x02\x01"
                   "a\xc0\x01"),                          /* list */
        SLICE_INIT("\x0a\x01k\x10" ZIPLIST_A_1),          /* ziplist */
        SLICE_INIT("\x0e\x01k\x01\x10" ZIPLIST_A_1),      /* ziplists */
        SLICE_INIT("\x12\x01k\x01\x02\x0c" LISTPACK_A_1), /* listpacks */
        SLICE_INIT("\x12\x01k\x02\x01\x01"
                   "a\x01\xc0\x01"), /* plain nodes */
        SLICE_INIT("\x02\x01k\x02\x01"
                   "a\xc0\x01"),                                             /* set */
        SLICE_INIT("\x14\x01k\x0c" LISTPACK_A_1),                            /* listpack */
        SLICE_INIT("\x0b\x01k\x0a\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00"), /* intset {1} */
        SLICE_INIT("\x04\x01k\x01\x01"
                   "a\xc0\x01"), /* hash */
        SLICE_INIT("\x09\x01k\x07\x01\x01"
                   "a\x01\x00"
                   "1\xff"),                      /* zipmap */
        SLICE_INIT("\x0d\x01k\x10" ZIPLIST_A_1),  /* ziplist */
        SLICE_INIT("\x10\x01k\x0c" LISTPACK_A_1), /* listpack */
        SLICE_INIT("\x03\x01k\x01\x01"
                   "a\x01"
                   "1"), /* sorted set */
        SLICE_INIT("\x05\x01k\x01\x01"
                   "a\x00\x00\x00\x00\x00\x00\xf0\x3f"),
        SLICE_INIT("\x0c\x01k\x10" ZIPLIST_A_1),
        SLICE_INIT("\x11\x01k\x0c" LISTPACK_A_1),
        SLICE_INIT("\x0f\x01k\x00\x00\x00\x00\x00"), /* streams without entries */
        SLICE_INIT("\x13\x01k\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        SLICE_INIT("\x15\x01k\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    };
    static const enum value_type types[] = {TYPE_LIST, TYPE_LIST,   TYPE_LIST,   TYPE_LIST,  TYPE_LIST,
                                            TYPE_SET,  TYPE_SET,    TYPE_SET,    TYPE_HASH,  TYPE_HASH,
                                            TYPE_HASH, TYPE_HASH,   TYPE_ZSET,   TYPE_ZSET,  TYPE_ZSET,
                                            TYPE_ZSET, TYPE_STREAM, TYPE_STREAM, TYPE_STREAM};
    uint64_t seen[TYPE_COUNT] = {0};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        for (int version = 1; version <= 12; version++) {
            char head[24];
            file.len = 0;
            buf_append(&file, head, (size_t)sprintf(head, "REDIS%04d", version));
            buf_append_slice(&file, keys[i]);
            PUT("\xff");
            if (version >= 5) {
                uint64_t crc = htole64(crc64(0, file.data, file.len));
                buf_append(&file, &crc, 8);
            }
            struct rdb_content content = read_all(true);
            if (content.end == RDB_BROKEN) print_error("%zu: %s\n", i, content.error.text);
            assert_int_equal(content.end, RDB_END);
            assert_int_equal(content.keys, 1);
            if (keys[i].ptr[0] == 0x0b) continue; /* another set */
            if (seen[types[i]]) assert_true(seen[types[i]] == content.digest);
            seen[types[i]] = content.digest;
        }
    }
}

static void passes_over_what_is_no_key(void **state) {
    (void)state;
    PUT("REDIS0012"
        "\xfa\x02"
        "ab\xc1\x00\x01" /* AUX */
        "\xf5\x06"
        "#!lua\n" /* a function library */
        "\xf7\x81\x01\x02\x03\x04\x05\x06\x07\x08\x02\x02\x01\x05\x05\x03"
        "abc\x00" /* a module's */
        "\xfe\x00\xfb\x01\x00"
        "\xf4\x05\x01\x00" /* a slot of a cluster */
        "\x01\x01"
        "e\x00" /* a list without elements */
        "\x00\x01"
        "a\x01"
        "b");
    rdb_finish(&file);
    struct rdb_content content = read_all(true);
    if (content.end == RDB_BROKEN) print_error("%s\n", content.error.text);
    assert_int_equal(content.end, RDB_END);
    assert_int_equal(content.aux, 1);
    assert_int_equal(content.skipped, 3);
    assert_int_equal(content.keys, 1);
}

static bool takes_none(void *ctx, uint32_t db, struct slice key) {
    (void)ctx, (void)db, (void)key;
    return false;
}

static void refuses_by_name(void **state) {
    (void)state;
    static const struct {
        struct slice bytes;
        const char *says;
        bool passes; /* when nobody takes it */
    } cases[] = {
        {SLICE_INIT("\x07\x02m\n\x05\x00"), "key \"m\\x0a\": a module value", true},
        {SLICE_INIT("\x06\x01m\x05\x00"), "key \"m\": a module", false},
        {SLICE_INIT("\x18\x01h"
                    "12345678\x01\x05\x01"
                    "f\x01v"),
         "key \"h\": its value is damaged", true},
        {SLICE_INIT("\xf6\x01h"), "offset 9: a function of a release candidate", false},
        {SLICE_INIT("\x40\x01h"), "offset 9: something of an unknown type", false},
        {SLICE_INIT("\x00\x05"
                    "abc"),
         "the file ends", false},
        {SLICE_INIT("\x00\x01"
                    "a\x81\x7f\xff\xff\xff\xff\xff\xff\xff"),
         "key \"a\": the file ends", false},
        {SLICE_INIT("\x00\x01"
                    "a\xc7"),
         "key \"a\": this is damaged", false},
        {SLICE_INIT("\x0b\x01"
                    "a\x01x"),
         "key \"a\": its value is damaged", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        file.len = 0;
        PUT("REDIS0011");
        buf_append_slice(&file, cases[i].bytes);
        rdb_finish(&file);
        struct rdb_content content = read_all(true);
        assert_int_equal(content.end, RDB_BROKEN);
        if (!strstr(content.error.text, cases[i].says)) print_error("%zu: %s\n", i, content.error.text);
        assert_non_null(strstr(content.error.text, cases[i].says));
        struct rdb_reader_options options = {.path = rdb_files_path("read.rdb"), .build = true, .takes = takes_none};
        assert_int_equal(rdb_file_read(&entries, &options).end, cases[i].passes ? RDB_END : RDB_BROKEN);
    }
}

static void refuses_heads(void **state) {
    (void)state;
    static const struct {
        const char *head;
        enum status status;
    } cases[] = {{"", ST_INVALID},
                 {"REDIS00", ST_INVALID},
                 {"REDIS0000", ST_INVALID},
                 {"REDIS00x1", ST_INVALID},
                 {"RADIS0001", ST_INVALID},
                 {"REDIS0013", ST_UNSUPPORTED},
                 {"REDIS0080", ST_UNSUPPORTED},
                 {"VALKEY080", ST_UNSUPPORTED}};
    struct rdb_reader *reader;
    struct error error;
    const char *path = rdb_files_path("head.rdb");
    struct rdb_reader_options options = {.path = path, .heap = entries.heap};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        rdb_file_put(path, slice_of_cstr(cases[i].head));
        assert_int_equal(rdb_open(&reader, &options, &error), cases[i].status);
        assert_non_null(strstr(error.text, path));
    }
    options.path = "/nowhere/x.rdb";
    assert_int_equal(rdb_open(&reader, &options, &error), ST_NOT_FOUND);
    options.path = "/tmp";
    assert_int_equal(rdb_open(&reader, &options, &error), ST_IO);
}

/* --- damage --- */

static void write_small_file(void) {
    rdb_write_header(&file);
    rdb_write_aux(&file, SLICE("redis-ver"), SLICE("7.0.15"));
    rdb_write_database(&file, 0, 5, 1);
    for (enum value_type type = TYPE_STRING; type < TYPE_COUNT; type++) {
        for (uint64_t count = 4; count <= 200; count += 196) {
            struct entry *entry = entries_make(&entries, type, SLICE("some key"), count, 30, type == TYPE_SET ? 99 : 0);
            rdb_write_entry(&file, entry, &(struct rdb_style){.compress = true});
            entry_delete(&entries.store, entry);
        }
    }
    rdb_finish(&file);
}

/* Whatever the checksum says: 0 at the end switches it off. */
static void survives_changed_bytes(void **state) {
    (void)state;
    write_small_file();
    size_t len = file.len, step = 1 + len / 4000;
    for (size_t at = 0; at < len; at += 1 + prng_below(&entries.prng, step)) {
        char before = file.data[at];
        file.data[at] = (char)((unsigned char)before ^ (1u << prng_below(&entries.prng, 8)));
        assert_int_equal(read_all(prng_below(&entries.prng, 2)).end, RDB_BROKEN);
        char crc[8];
        memcpy(crc, file.data + len - 8, 8);
        memset(file.data + len - 8, 0, 8);
        (void)read_all(true); /* has to find it out by itself, or not */
        memcpy(file.data + len - 8, crc, 8);
        file.data[at] = before;
    }
    assert_int_equal(read_all(true).end, RDB_END);
}

static void survives_cuts(void **state) {
    (void)state;
    write_small_file();
    size_t len = file.len, step = 1 + len / 4000;
    for (size_t cut = 0; cut < len; cut += 1 + prng_below(&entries.prng, step)) {
        file.len = cut;
        assert_int_equal(read_all(prng_below(&entries.prng, 2)).end, RDB_BROKEN);
    }
    file.len = len;
}

/* A few bytes that promise a lot must not make us reserve it. */
static void believes_no_promise(void **state) {
    (void)state;
    static const struct slice promises[] = {
        SLICE_INIT("\x00\x01k\x80\x1f\xff\xff\xff"),
        SLICE_INIT("\x00\x01k\xc3\x05\x80\x1f\xff\xff\xff"
                   "aaaaa"),
        SLICE_INIT("\x02\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                   "a"),
        SLICE_INIT("\x00\x80\x1f\xff\xff\xff"),
        SLICE_INIT("\xfb\x81\xff\xff\xff\xff\xff\xff\xff\xff\x81\xff\xff\xff\xff\xff\xff\xff\xff"),
    };
    for (size_t i = 0; i < ARRAY_LEN(promises); i++) {
        file.len = 0;
        PUT("REDIS0011");
        buf_append_slice(&file, promises[i]);
        int64_t before = heap_used(entries.heap, MEM_MESSAGE);
        (void)read_all(true);
        assert_int_equal(heap_used(entries.heap, MEM_MESSAGE), before);
        assert_true(entries.scratch.cap < 65536);
    }
}

/* After a value larger than the window it is as small as before. */
static void windows_grow_and_shrink(void **state) {
    (void)state;
    struct rdb_style style = {0};
    struct rdb_reader *reader;
    struct rdb_event event;
    struct error error;
    rdb_write_header(&file);
    for (int i = 0; i < 40; i++) {
        struct entry *entry = entries_make(&entries, TYPE_STRING, SLICE("k"), 1, i == 3 ? 20 << 20 : 60000, 0);
        if (rdb_is_large(entry))
            write_large(entry, &style);
        else
            rdb_write_entry(&file, entry, &style);
        entry_delete(&entries.store, entry);
    }
    rdb_finish(&file);
    rdb_file_put(rdb_files_path("read.rdb"), buf_slice(&file));
    struct rdb_reader_options options = {
        .path = rdb_files_path("read.rdb"), .build = true, .target = entries_target(&entries)};
    int64_t before = heap_used(entries.heap, MEM_MESSAGE);
    assert_int_equal(rdb_open(&reader, &options, &error), ST_OK);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(rdb_next(reader, &event, &error), RDB_KEY);
        entry_delete(&entries.store, event.entry);
        assert_true(heap_used(entries.heap, MEM_MESSAGE) - before < (i == 3            ? 50 << 20
                                                                     : i > 3 && i < 10 ? 50 << 20
                                                                                       : 1 << 20));
    }
    assert_int_equal(rdb_next(reader, &event, &error), RDB_END);
    rdb_close(reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(reads_what_was_written),
        TEST(two_halves_are_the_whole),
        TEST(tells_usage),
        TEST(reads_the_first_version),
        TEST(reads_every_encoding),
        TEST(passes_over_what_is_no_key),
        TEST(compression_is_given_up_and_tried_again),
        TEST(refuses_by_name),
        TEST(refuses_heads),
        TEST(survives_changed_bytes),
        TEST(survives_cuts),
        TEST(believes_no_promise),
        TEST(windows_grow_and_shrink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
