/* Manifest: that what is written is read back, that what is not exactly a manifest is refused with its line, and that
 * the file is replaced as a whole.
 *
 * Hostile texts are made from a good one: every prefix, every byte changed, and lines edited with the checksum made
 * right again. They lie in heap blocks of exactly their size, so that AddressSanitizer sees a step too far. */
#include "core/crc.h"
#include "persist/manifest.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char good[] = "sherd-manifest 1\n"
                           "next 22\n"
                           "checkpoint 18 shards 2 boot 00c0ffee00c0ffee\n"
                           "file shard-000.000018.rdb bytes 1234 crc64 0123456789abcdef last 57 seed "
                           "000102030405060708090a0b0c0d0e0f\n"
                           "file shard-001.000018.rdb bytes 99 crc64 00000000000000ff last 0 seed "
                           "000102030405060708090a0b0c0d0e0f\n"
                           "journal boot 00c0ffee00c0ffee shards 2 over\n"
                           "log shard-000.000019.aof seq 41 to shard-000.000020.aof seq 99 part 0\n"
                           "log shard-001.000019.aof seq 30 to shard-001.000019.aof seq 29 part 120\n"
                           "journal boot 0badcafe0badcafe shards 1\n"
                           "log shard-000.000021.aof seq 1\n";

struct text {
    char bytes[4096];
    size_t len;
};

static void append(void *ctx, struct slice piece) {
    struct text *text = ctx;
    assert_true(text->len + piece.len < sizeof text->bytes);
    memcpy(text->bytes + text->len, piece.ptr, piece.len);
    text->len += piece.len;
}

static struct text sealed(const char *body) {
    struct text text = {.len = strlen(body)};
    memcpy(text.bytes, body, text.len);
    text.len += (size_t)sprintf(text.bytes + text.len, "checksum %016" PRIx64 "\n", crc64(0, body, strlen(body)));
    return text;
}

static enum status parse(const struct text *text, size_t len, struct manifest *manifest, struct error *error) {
    char *exact = malloc(len ? len : 1);
    memcpy(exact, text->bytes, len);
    manifest_init(manifest);
    *error = (struct error){0};
    enum status status = manifest_parse(manifest, slice_of(exact, len), "m", error);
    free(exact);
    return status;
}

static void test_round_trip(void **state) {
    (void)state;
    struct text text = sealed(good), again = {.len = 0};
    struct manifest manifest, copy;
    struct error error;
    assert_int_equal(parse(&text, text.len, &manifest, &error), ST_OK);
    assert_int_equal(manifest.next, 22);
    assert_int_equal(manifest.checkpoint.files[0].last, 57);
    assert_int_equal(manifest.checkpoint.files[1].seed.k1, 0x08090a0b0c0d0e0full);
    assert_int_equal(manifest.generation_count, 2);
    assert_true(manifest.generations[0].over);
    assert_int_equal(manifest.generations[0].ranges[1].last_part, 120);
    assert_false(manifest.generations[1].over);
    manifest_init(&copy);
    assert_true(manifest_copy(&copy, &manifest));
    manifest_deinit(&manifest);
    manifest_write(&copy, append, &again);
    assert_int_equal(again.len, text.len);
    assert_memory_equal(again.bytes, text.bytes, text.len);
    manifest_deinit(&copy);
}

static void test_import(void **state) {
    (void)state;
    struct text text = sealed("sherd-manifest 1\nnext 1\nimport bytes 7 crc64 00000000000000ff /a b/dump.rdb\n");
    struct text again = {.len = 0};
    struct manifest manifest;
    struct error error;
    assert_int_equal(parse(&text, text.len, &manifest, &error), ST_OK);
    assert_string_equal(manifest.import.path, "/a b/dump.rdb");
    assert_int_equal(manifest.import.bytes, 7);
    manifest_write(&manifest, append, &again);
    assert_int_equal(again.len, text.len);
    assert_memory_equal(again.bytes, text.bytes, text.len);
    manifest_deinit(&manifest);
    text = sealed("sherd-manifest 1\nnext 1\nimport bytes 7 crc64 00000000000000ff \n");
    assert_int_equal(parse(&text, text.len, &manifest, &error), ST_INVALID);
    text = sealed("sherd-manifest 1\nnext 1\nimport bytes 7 crc64 00000000000000ff x\n"
                  "import bytes 7 crc64 00000000000000ff x\n");
    assert_int_equal(parse(&text, text.len, &manifest, &error), ST_INVALID);
    assert_string_equal(error.text, "m:4: expected journal");
}

static void test_empty(void **state) {
    (void)state;
    struct text text = {.len = 0};
    struct manifest manifest;
    struct error error;
    manifest_init(&manifest);
    manifest_write(&manifest, append, &text);
    assert_int_equal(parse(&text, text.len, &manifest, &error), ST_OK);
    assert_int_equal(manifest.next, 1);
    assert_int_equal(manifest.checkpoint.number, 0);
    manifest_deinit(&manifest);
}

static void test_damage(void **state) {
    (void)state;
    struct text text = sealed(good);
    struct manifest manifest;
    struct error error;
    for (size_t len = 0; len < text.len; len++) assert_int_equal(parse(&text, len, &manifest, &error), ST_INVALID);
    for (size_t i = 0; i < text.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            text.bytes[i] = (char)(text.bytes[i] ^ 1 << bit);
            assert_int_equal(parse(&text, text.len, &manifest, &error), ST_INVALID);
            assert_true(error.text[0]);
            text.bytes[i] = (char)(text.bytes[i] ^ 1 << bit);
        }
    }
}

/* good with the first `from` replaced by `to`. */
static struct text edited(const char *from, const char *to) {
    char body[4096];
    const char *at = strstr(good, from);
    assert_non_null(at);
    snprintf(body, sizeof body, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    return sealed(body);
}

static void test_wrong_lines(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
        {"manifest 1", "manifest 2", "m:1: expected 1"},
        {"next 22", "next x", "m:2: expected a number"},
        {"next 22", "next 022", "m:2: expected a number"},
        {"next 22", "next 9999999999999999999", "m:2: expected a number"},
        {"next 22", "next 22 ", "m:2: expected no space at the end of the line"},
        {"next 22", "next 0", "m: contradicts itself: numbers begin at 1"},
        {"checkpoint 18", "checkpoint 0", "m:3: expected a number above 0"},
        {"shards 2", "shards 65", "m:3: expected a smaller number"},
        {"shards 2", "shards 0", "m:3: expected a number of shards above 0"},
        {"shards 2", "shards 3", "m:6: expected file"},
        {"shards 2", "shards 1", "m:5: expected journal"},
        {"boot 00c0ffee00c0ffee", "boot 00C0ffee00c0ffee", "m:3: expected 16 hexadecimal digits"},
        {"file shard-000", "file ../ard-000", "m:4: expected a checkpoint file's name"},
        {"shard-001.000018", "shard-000.000018", "m:5: expected a file of the shard that comes next"},
        {"shard-001.000018", "shard-001.000019", "m:5: expected the checkpoint's number in the name"},
        {"0f\n", "0\n", "m:4: expected 32 hexadecimal digits"},
        {"to shard-000.000020", "to shard-000.000018", "m: contradicts itself: the last segment is before the first"},
        {"seq 29", "seq 28", "m: contradicts itself: the last batch is before the first"},
        {"journal boot 0badcafe0badcafe", "journal boot 00c0ffee00c0ffee",
         "m: contradicts itself: the checkpoint's journal is not the first"},
        {"part 120", "part 4294967296000000000", "m:8: expected a number"},
        {"log shard-000.000021.aof seq 1\n", "", "m:9: expected a log line for each shard"},
        {"log shard-000.000021.aof seq 1\n", "log shard-000.000021.aof seq 1", "m:10: expected a newline at the end"},
        {"log shard-000.000021.aof seq 1\n", "log shard-000.000021.aof seq 1\ncheckpoint 18 shards 1\n",
         "m:11: expected journal"},
    };
    struct manifest manifest;
    struct error error;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct text text = edited(cases[i].from, cases[i].to);
        enum status status = parse(&text, text.len, &manifest, &error);
        if (status != ST_INVALID || strncmp(error.text, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("case %zu: %s", i, error.text);
        assert_null(manifest.generations);
    }
}

static void test_open_journal_must_be_last(void **state) {
    (void)state;
    struct text text = sealed("sherd-manifest 1\nnext 9\njournal boot 0000000000000001 shards 1\n"
                              "log shard-000.000001.aof seq 1\njournal boot 0000000000000002 shards 1\n"
                              "log shard-000.000002.aof seq 1\n");
    struct manifest manifest;
    struct error error;
    assert_int_equal(parse(&text, text.len, &manifest, &error), ST_INVALID);
    assert_string_equal(error.text, "m: contradicts itself: only the last journal may be open");
}

static bool names(const struct manifest *manifest, const char *name) {
    return manifest_names(manifest, datadir_parse_name(slice_of_cstr(name)));
}

static void test_names(void **state) {
    (void)state;
    struct text text = sealed(good);
    struct manifest manifest;
    struct error error;
    assert_int_equal(parse(&text, text.len, &manifest, &error), ST_OK);
    assert_true(names(&manifest, "shard-000.000018.rdb"));
    assert_true(names(&manifest, "shard-001.000018.rdb"));
    assert_false(names(&manifest, "shard-002.000018.rdb"));
    assert_false(names(&manifest, "shard-000.000017.rdb"));
    assert_false(names(&manifest, "shard-000.000018.aof"));
    assert_true(names(&manifest, "shard-000.000020.aof"));
    assert_false(names(&manifest, "shard-001.000020.aof"));
    assert_true(names(&manifest, "shard-000.000021.aof"));
    assert_true(names(&manifest, "shard-000.123456789.aof")); /* the open journal may have got there */
    assert_false(names(&manifest, "dump.rdb"));
    manifest_deinit(&manifest);
}

static void test_file(void **state) {
    (void)state;
    char path[] = "/tmp/sherd-manifest-XXXXXX";
    struct datadir dir;
    struct error error;
    struct manifest manifest, again;
    assert_non_null(mkdtemp(path));
    assert_int_equal(datadir_open(&dir, path, &error), ST_OK);
    manifest_init(&again);
    assert_int_equal(manifest_load(&again, &dir, &error), ST_NOT_FOUND);
    struct text text = sealed(good);
    assert_int_equal(parse(&text, text.len, &manifest, &error), ST_OK);
    for (int i = 0; i < 2; i++) assert_int_equal(manifest_save(&manifest, &dir, &error), ST_OK);
    assert_int_equal(manifest_load(&again, &dir, &error), ST_OK);
    assert_int_equal(again.generation_count, 2);
    manifest_deinit(&again);
    manifest_deinit(&manifest);

    char name[128];
    snprintf(name, sizeof name, "%s/" DATADIR_MANIFEST DATADIR_TEMPORARY, path);
    assert_int_not_equal(access(name, F_OK), 0);
    snprintf(name, sizeof name, "%s/" DATADIR_MANIFEST, path);
    assert_int_equal(truncate(name, 0), 0);
    assert_int_equal(manifest_load(&again, &dir, &error), ST_INVALID);
    unlink(name);
    assert_int_equal(mkdir(name, 0755), 0); /* cannot be replaced: an error, nothing else */
    manifest_init(&manifest);
    assert_int_equal(manifest_save(&manifest, &dir, &error), ST_IO);
    rmdir(name);
    datadir_close(&dir);
    snprintf(name, sizeof name, "rm -r %s", path);
    assert_int_equal(system(name), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_import),
        cmocka_unit_test(test_empty),       cmocka_unit_test(test_damage),
        cmocka_unit_test(test_wrong_lines), cmocka_unit_test(test_open_journal_must_be_last),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
