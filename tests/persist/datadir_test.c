/* Data directory: that exactly the names we write are ours, that the lock keeps others out and names its holder, and
 * that sweeping removes ours and nothing else. */
#include "persist/datadir.h"
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static enum datadir_kind kind_of(const char *name) {
    return datadir_parse_name(slice_of_cstr(name)).kind;
}

static void test_names(void **state) {
    (void)state;
    char name[DATADIR_NAME_MAX];
    static const uint64_t numbers[] = {0, 1, 999999, 1000000, DATADIR_NUMBER_MAX};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        datadir_checkpoint_name(name, 63, numbers[i]);
        struct datadir_name is = datadir_parse_name(slice_of_cstr(name));
        assert_int_equal(is.kind, DATADIR_CHECKPOINT);
        assert_int_equal(is.shard, 63);
        assert_int_equal(is.number, numbers[i]);
        datadir_segment_name(name, 0, numbers[i]);
        is = datadir_parse_name(slice_of_cstr(name));
        assert_int_equal(is.kind, DATADIR_SEGMENT);
        assert_int_equal(is.number, numbers[i]);
    }
    assert_int_equal(kind_of("shard-003.000018.rdb.tmp"), DATADIR_TEMPORARY_FILE);
    assert_int_equal(kind_of("sherd.manifest.tmp"), DATADIR_TEMPORARY_FILE);
    static const char *const others[] = {
        "",
        "dump.rdb",
        ".tmp",
        "sherd.manifest",
        "sherd.lock",
        "a.tmp",
        "shard-3.18.rdb",
        "shard-003.18.rdb",
        "shard-003.0000018.rdb",
        "shard-064.000018.rdb",
        "shard-",
        "shard-003.000018",
        "shard-003.000018.rdbx",
        "xshard-003.000018.rdb",
        "shard-003.000018.rdb.tmp.tmp",
        "shard-003.9999999999999999999.rdb",
        "shard--03.000018.rdb",
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) assert_int_equal(kind_of(others[i]), DATADIR_OTHER);
}

static char path[64];

static int make(void **state) {
    (void)state;
    strcpy(path, "/tmp/sherd-datadir-XXXXXX");
    return mkdtemp(path) ? 0 : -1;
}

static int clean(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", path);
    return system(command);
}

static void test_lock(void **state) {
    (void)state;
    struct datadir dir, second;
    struct error error;
    char below[128], expected[64];
    snprintf(below, sizeof below, "%s/data", path);
    assert_int_equal(datadir_open(&dir, below, &error), ST_OK); /* created */
    assert_int_equal(datadir_open(&second, below, &error), ST_EXISTS);
    snprintf(expected, sizeof expected, "in use by process %d ", getpid());
    assert_non_null(strstr(error.text, expected));
    assert_int_equal(second.fd, -1);
    datadir_close(&dir);
    assert_int_equal(datadir_open(&second, below, &error), ST_OK);
    datadir_close(&second);
    pid_t child = fork(); /* dies with the lock in its hands */
    if (child == 0) _exit(datadir_open(&dir, below, &error) == ST_OK ? 0 : 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(datadir_open(&second, below, &error), ST_OK);
    datadir_close(&second);
    snprintf(below, sizeof below, "%s/no/such", path);
    assert_int_equal(datadir_open(&dir, below, &error), ST_IO);
    assert_non_null(strstr(error.text, below));
}

static void touch(const char *name) {
    char file[128];
    snprintf(file, sizeof file, "%s/%s", path, name);
    int fd = open(file, O_CREAT | O_WRONLY, 0644);
    assert_true(fd >= 0);
    close(fd);
}

static bool there(const char *name) {
    char file[128];
    snprintf(file, sizeof file, "%s/%s", path, name);
    return access(file, F_OK) == 0;
}

static bool keep_18(void *ctx, struct datadir_name is) {
    (*(unsigned *)ctx)++;
    return is.kind != DATADIR_TEMPORARY_FILE && is.number == 18;
}

static void test_sweep(void **state) {
    (void)state;
    static const char *const stay[] = {"shard-003.000018.rdb", "shard-003.000018.aof", "dump.rdb", "x.tmp",
                                       "sherd.manifest",       "shard-3.rdb"};
    static const char *const go[] = {"shard-003.000017.rdb", "shard-001.000019.aof", "shard-003.000018.rdb.tmp"};
    struct datadir dir;
    struct error error;
    uint64_t removed = 0;
    unsigned asked = 0;
    assert_int_equal(datadir_open(&dir, path, &error), ST_OK);
    for (size_t i = 0; i < ARRAY_LEN(stay); i++) touch(stay[i]);
    for (size_t i = 0; i < ARRAY_LEN(go); i++) touch(go[i]);
    assert_int_equal(datadir_sweep(&dir, keep_18, &asked, &removed, &error), ST_OK);
    assert_int_equal(removed, ARRAY_LEN(go));
    assert_int_equal(asked, 5);
    for (size_t i = 0; i < ARRAY_LEN(stay); i++) assert_true(there(stay[i]));
    for (size_t i = 0; i < ARRAY_LEN(go); i++) assert_false(there(go[i]));
    assert_true(there(DATADIR_LOCK));
    datadir_close(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup_teardown(test_lock, make, clean),
        cmocka_unit_test_setup_teardown(test_sweep, make, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
