/* RDB, with Redis as the other side: redis-check-rdb approves of what we write, redis-server loads it, and what it
 * saves again, in whichever encodings its settings make it choose, we read as the same keys with the same values and
 * deadlines.
 *
 * Skipped where there is no redis-server. */
#include "tests/support/rdb_files.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define FAR_MS      4102444800000u /* the year 2100 */
#define DATABASES   3
#define KEYS        300
#define PATIENCE    600 /* tries of 50 ms until the server has loaded all */
#define COMMAND_MAX 1024

static struct entries entries;
static struct buf file;
static struct rdb_content expected;

PRINTF_LIKE(1, 2) static int run(const char *format, ...) {
    char command[COMMAND_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command);
}

static void write_key(uint32_t db, int number) {
    struct prng *prng = &entries.prng;
    struct rdb_style style = {.compress = prng_below(prng, 4) != 0,
                              .usage = (enum rdb_usage)prng_below(prng, 3),
                              .clock = 500,
                              .lfu = {10, 1}};
    char key[64];
    snprintf(key, sizeof key, number % 3 ? "key:%d of these" : "%d", number);
    uint64_t deadline_ms = number % 2 ? 0 : FAR_MS + prng_below(prng, 1u << 30);
    uint64_t count = 1 + prng_below(prng, number % 10 ? 150 : 5000);
    size_t text_max = number % 50 == 7 ? 3 << 20 : prng_below(prng, 4) ? 70 : 3000;
    if (text_max > 3000) count = 1 + count % 16;
    struct entry *entry = entries_make(&entries, (enum value_type)prng_below(prng, TYPE_COUNT), slice_of_cstr(key),
                                       count, text_max, deadline_ms);
    expected.keys++;
    expected.timed += deadline_ms > 0;
    expected.digest += rdb_key_digest(db, entry);
    if (rdb_is_large(entry)) {
        struct rdb_writer writer;
        rdb_writer_begin(&writer, entry, &style);
        while (rdb_writer_next(&writer, &file, 65536)) {
        }
        rdb_writer_end(&writer);
    } else {
        rdb_write_entry(&file, entry, &style);
    }
    entry_delete(&entries.store, entry);
}

static void write_file(void) {
    rdb_write_header(&file);
    rdb_write_aux(&file, SLICE("redis-ver"), SLICE("7.0.15"));
    rdb_write_aux(&file, SLICE("sherd-seed"), SLICE("0123456789abcdef"));
    for (uint32_t db = 0; db < DATABASES; db++) {
        rdb_write_database(&file, db, KEYS, KEYS / 2);
        for (int i = 0; i < KEYS; i++) write_key(db, i);
    }
    rdb_write_aux(&file, SLICE("sherd-frontier"), SLICE("0 1 2"));
    rdb_finish(&file);
    rdb_file_put(rdb_files_path("ours.rdb"), buf_slice(&file));
}

static int setup(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("seed %" PRIu64 "\n", seed);
    entries_init(&entries, seed);
    buf_init(&file, entries.heap, MEM_MESSAGE);
    expected.end = RDB_END;
    write_file();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    buf_deinit(&file);
    entries_deinit(&entries);
    rdb_files_remove();
    return 0;
}

static void skip_without(const char *program) {
    if (run("command -v %s > /dev/null", program) != 0) skip();
}

static void redis_approves(void **state) {
    (void)state;
    skip_without("redis-check-rdb");
    int result = run("redis-check-rdb %s > %s", rdb_files_path("ours.rdb"), rdb_files_path("check"));
    if (result != 0) (void)run("cat %s", rdb_files_path("check"));
    assert_int_equal(result, 0);
}

/* With theirs.rdb, if it is there; answers when it has loaded all. */
static void start_redis(const char *settings) {
    const char *dir = rdb_files_dir();
    assert_int_equal(
        run("redis-server --port 0 --unixsocket %s/socket --dir %s --dbfilename theirs.rdb --daemonize yes "
            "--logfile %s/log --save '' %s > /dev/null",
            dir, dir, dir, settings),
        0);
    int tries = 0;
    while (tries < PATIENCE && run("redis-cli -s %s/socket ping 2> /dev/null | grep -q PONG", dir) != 0) {
        usleep(50000);
        tries++;
    }
    if (tries == PATIENCE) (void)run("tail %s/log", dir);
    assert_true(tries < PATIENCE);
}

static void tell_redis(const char *command) {
    assert_int_equal(run("redis-cli -e -s %s/socket %s > /dev/null", rdb_files_dir(), command), 0);
}

/* Loads our file with these settings, saves it as theirs.rdb and ends. */
static void let_redis_save(const char *settings) {
    assert_int_equal(run("cp %s/ours.rdb %s/theirs.rdb", rdb_files_dir(), rdb_files_dir()), 0);
    start_redis(settings);
    tell_redis("save");
    tell_redis("shutdown nosave");
}

static void redis_loads_and_we_load_what_it_saves(void **state) {
    (void)state;
    skip_without("redis-server");
    static const char *const settings[] = {
        "--rdbcompression yes",
        "--rdbcompression no --hash-max-listpack-entries 0 --zset-max-listpack-entries 0 --set-max-intset-entries 0 "
        "--list-max-listpack-size 1",
        "--hash-max-listpack-entries 10000 --hash-max-listpack-value 100000 --zset-max-listpack-entries 10000 "
        "--zset-max-listpack-value 100000 --set-max-intset-entries 10000 --list-max-listpack-size -5 "
        "--list-compress-depth 1 --maxmemory-policy allkeys-lfu",
        "--rdbchecksum no --hash-max-listpack-entries 20 --list-max-listpack-size 20 --maxmemory-policy allkeys-lru",
    };
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        let_redis_save(settings[i]);
        struct rdb_reader_options options = {.path = rdb_files_path("theirs.rdb"), .build = true};
        struct rdb_content content = rdb_file_read(&entries, &options);
        if (content.end == RDB_BROKEN) print_error("%s\n", content.error.text);
        assert_int_equal(content.end, RDB_END);
        assert_int_equal(content.keys, expected.keys);
        assert_int_equal(content.timed, expected.timed);
        assert_true(content.digest == expected.digest);
    }
}

/* Functions, which sherd does not have yet, are passed over; a stream with what is pending in it is read. */
static void reads_streams_and_passes_over_functions(void **state) {
    (void)state;
    skip_without("redis-server");
    (void)remove(rdb_files_path("theirs.rdb"));
    start_redis("");
    tell_redis("function load \"#!lua name=x\nredis.register_function('f', function() return 1 end)\"");
    for (int i = 0; i < 15; i++) {
        char command[64];
        snprintf(command, sizeof command, "xadd stream '*' number %d", i);
        tell_redis(command);
    }
    tell_redis("xgroup create stream group 0");
    tell_redis("xgroup createconsumer stream group idle");
    tell_redis("xreadgroup group group reader count 5 streams stream '>'");
    tell_redis("set key value");
    tell_redis("save");
    tell_redis("shutdown nosave");
    struct rdb_reader_options options = {.path = rdb_files_path("theirs.rdb")};
    struct rdb_content content = rdb_file_read(&entries, &options);
    assert_int_equal(content.end, RDB_END);
    assert_int_equal(content.keys, 2);
    assert_int_equal(content.skipped, 1);
    options.build = true;
    content = rdb_file_read(&entries, &options);
    assert_int_equal(content.end, RDB_END);
    assert_int_equal(content.keys, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redis_approves),
        cmocka_unit_test(redis_loads_and_we_load_what_it_saves),
        cmocka_unit_test(reads_streams_and_passes_over_functions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
