/* A Redis log played into shards of the simulator.
 *
 * Proves   what is in the log is in the keys afterwards, whatever the number of shards; a log that was cut anywhere
 *          gives what its whole commands and transactions say, and says that it was cut; what is no log is refused with
 *          the offset; the parts of a log of Redis 7 are found in their order. */
#include "persist/aof_files.h"
#include "persist/aof_replay.h"
#include "shards/exec.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void cmd_select(struct exec *x) {
    int64_t db;
    if (!exec_int_range(x, 1, 0, x->shard->db_count - 1, &db, NULL)) return;
    x->client->db = (uint16_t)db;
    reply_ok(x);
}

static const struct command select_commands[] = {
    {.name = "select",
     .arity = 2,
     .flags = CMD_LOADING | CMD_FAST,
     .where = ON_CONN,
     .run = cmd_select,
     .group = "connection",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "index",
     .doc = "Chooses the database."},
    {0},
};
static const struct command *const tables[] = {select_commands, NULL};

static char dir[] = "/tmp/sherd-aof-XXXXXX";

static const char *in_dir(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static const char *write_file(const char *name, const char *bytes, size_t len) {
    const char *path = in_dir(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
    return path;
}

/* "SET a 1" as the log has it. */
static size_t add_command(char *out, const char *words) {
    char copy[256], *state = NULL;
    const char *args[16];
    size_t count = 0, len = 0;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &state); word; word = strtok_r(NULL, " ", &state)) args[count++] = word;
    len += (size_t)sprintf(out, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) len += (size_t)sprintf(out + len, "$%zu\r\n%s\r\n", strlen(args[i]), args[i]);
    return len;
}

static struct sim *machine(uint32_t shards) {
    struct sim_options options = {
        .shards = shards, .mailbox_capacity = 4, .db_count = 16, .seed = seed_or(7), .tables = tables};
    struct sim *sim = sim_new(&options);
    for (uint32_t i = 0; i < shards; i++) sim_shard(sim, i)->loading = true;
    return sim;
}

static enum aof_step play(struct sim *sim, const char *path, bool truncated_ok, struct error *error) {
    struct aof_replay *replay;
    assert_set_shard(0);
    assert_int_equal(aof_replay_open(&replay, sim_shard(sim, 0), path, 0, truncated_ok, error), ST_OK);
    enum aof_step step;
    for (unsigned turns = 0; turns < 1000000; turns++) {
        assert_set_shard(0);
        step = aof_replay_slice(replay, error);
        assert_set_shard(-1);
        if (step == AOF_DONE || step == AOF_FAILED) break;
        if (step == AOF_WAITING) sim_step(sim);
    }
    assert_true(step == AOF_DONE || step == AOF_FAILED);
    assert_true(sim_settle(sim, 100000));
    assert_set_shard(0);
    aof_replay_close(replay);
    assert_set_shard(-1);
    for (uint32_t i = 0; i < sim->count; i++) sim_shard(sim, i)->loading = false;
    return step;
}

static void expect(struct sim *sim, const char *words, const char *reply) {
    struct peer *peer = sim_connect(sim, 0);
    char bytes[512];
    sim_say(peer, bytes, add_command(bytes, words));
    assert_true(sim_settle(sim, 100000));
    buf_append(&peer->got, "", 1);
    assert_string_equal(peer->got.data, reply);
    sim_vanish(peer);
    assert_true(sim_settle(sim, 100000));
}

static size_t sample(char *out) {
    static const char *const lines[] = {"SELECT 0",
                                        "MSET a 1 b 2 c 3 d 4",
                                        "MULTI",
                                        "INCR a",
                                        "RPUSH l x y z",
                                        "EXEC",
                                        "SELECT 3",
                                        "SET t v PXAT 99999999999999",
                                        "LMOVE l m LEFT RIGHT",
                                        "SELECT 0",
                                        "RENAME l m",
                                        "SET gone v PXAT 1000",
                                        "APPEND gone w"};
    size_t len = (size_t)sprintf(out, "#TS:1700000000\r\n");
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) len += add_command(out + len, lines[i]);
    return len;
}

static void what_is_in_the_log_is_in_the_keys(void **state) {
    (void)state;
    char log[4096];
    size_t len = sample(log);
    for (uint32_t shards = 1; shards <= 5; shards++) {
        struct error error;
        struct sim *sim = machine(shards);
        assert_int_equal(play(sim, write_file("log", log, len), false, &error), AOF_DONE);
        assert_string_equal(error.text, "");
        expect(sim, "MGET a b c d", "*4\r\n$1\r\n2\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n");
        expect(sim, "LRANGE m 0 -1", "*3\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n");
        expect(sim, "EXISTS l gone", ":0\r\n");
        sim_delete(sim);
    }
}

static void a_cut_log_gives_what_is_whole(void **state) {
    (void)state;
    char log[4096];
    size_t len = sample(log);
    for (size_t cut = 0; cut < len; cut++) {
        struct error error;
        struct sim *sim = machine(1 + (uint32_t)(cut % 3));
        assert_int_equal(play(sim, write_file("cut", log, cut), true, &error), AOF_DONE);
        sim_delete(sim);
        if (error.text[0] == 0) continue; /* it ends behind a command */
        sim = machine(2);
        assert_int_equal(play(sim, in_dir("cut"), false, &error), AOF_FAILED);
        sim_delete(sim);
    }
    /* Inside of the transaction: it has not begun. */
    size_t first = (size_t)(strstr(log, "EXEC") - log) - 8;
    struct error error;
    struct sim *sim = machine(3);
    assert_int_equal(play(sim, write_file("half", log, first), true, &error), AOF_DONE);
    assert_non_null(strstr(error.text, "transaction"));
    expect(sim, "GET a", "$1\r\n1\r\n");
    expect(sim, "EXISTS l", ":0\r\n");
    sim_delete(sim);
}

static void what_is_no_log_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *says;
    } wrong[] = {{"*1\r\n$4\r\nPING\r\nhello\r\n", "offset 14"},
                 {"*x\r\n", "offset 0"},
                 {"*2\r\n$4\r\nNONE\r\n$1\r\nk\r\n", "does not have"}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct error error;
        struct sim *sim = machine(2);
        assert_int_equal(play(sim, write_file("wrong", wrong[i].bytes, strlen(wrong[i].bytes)), true, &error),
                         AOF_FAILED);
        if (!strstr(error.text, wrong[i].says)) fail_msg("%s: %s", wrong[i].says, error.text);
        sim_delete(sim);
    }
}

/* The server ends in the middle of it, while other shards have commands and transactions in hand. */
static void given_up_at_any_time(void **state) {
    (void)state;
    char log[4096];
    const char *path = write_file("given-up", log, sample(log));
    for (unsigned slices = 0; slices < 40; slices++) {
        struct error error;
        struct aof_replay *replay;
        struct sim *sim = machine(3);
        assert_set_shard(0);
        assert_int_equal(aof_replay_open(&replay, sim_shard(sim, 0), path, 0, true, &error), ST_OK);
        for (unsigned i = 0; i < slices; i++) {
            assert_set_shard(0);
            enum aof_step step = aof_replay_slice(replay, &error);
            assert_set_shard(-1);
            if (step == AOF_WAITING) sim_step(sim);
        }
        assert_true(sim_settle(sim, 100000));
        assert_true(aof_replay_is_quiet(replay));
        assert_set_shard(0);
        aof_replay_close(replay);
        assert_set_shard(-1);
        sim_delete(sim);
    }
}

static void large_commands_and_values(void **state) {
    (void)state;
    enum { MEMBERS = 20000, VALUE = 3000000 };
    char *log = malloc(VALUE + MEMBERS * 16 + 4096);
    size_t len = (size_t)sprintf(log, "*%d\r\n$4\r\nSADD\r\n$1\r\ns\r\n", MEMBERS + 2);
    for (int i = 0; i < MEMBERS; i++) len += (size_t)sprintf(log + len, "$5\r\n%05d\r\n", i);
    len += (size_t)sprintf(log + len, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n", VALUE);
    memset(log + len, 'x', VALUE);
    len += VALUE;
    len += (size_t)sprintf(log + len, "\r\n");
    struct error error;
    struct sim *sim = machine(3);
    assert_int_equal(play(sim, write_file("large", log, len), false, &error), AOF_DONE);
    expect(sim, "SCARD s", ":20000\r\n");
    expect(sim, "STRLEN big", ":3000000\r\n");
    sim_delete(sim);
    free(log);
}

static void parts_are_found(void **state) {
    (void)state;
    struct aof_files files;
    struct error error;
    char path[300];
    snprintf(path, sizeof path, "%s/appendonlydir", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(aof_files_find(&files, path, &error), ST_NOT_FOUND);
    write_file("appendonlydir/a.1.base.rdb", "REDIS0010", 9);
    write_file("appendonlydir/a.1.incr.aof", "*1", 2);
    write_file("appendonlydir/a.2.incr.aof", "*1", 2);
    static const char good[] = "file a.1.base.rdb seq 1 type b\nfile a.0.incr.aof seq 0 type h\n"
                               "file \"a.1.incr.aof\" seq 1 type i\nfile a.2.incr.aof seq 2 type i\n";
    write_file("appendonlydir/a.manifest", good, sizeof good - 1);
    assert_int_equal(aof_files_find(&files, path, &error), ST_OK);
    assert_int_equal(files.count, 3);
    assert_true(files.parts[0].has_rdb && !files.parts[1].has_rdb);
    assert_non_null(strstr(files.parts[2].path, "/a.2.incr.aof"));
    aof_files_free(&files);
    static const char *const wrong[] = {"file ../x seq 1 type b\n", "file a.1.base.rdb seq 1 type q\n", "hello\n", "",
                                        "file missing seq 1 type i\n"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        write_file("appendonlydir/a.manifest", wrong[i], strlen(wrong[i]));
        assert_int_not_equal(aof_files_find(&files, path, &error), ST_OK);
        assert_null(files.parts);
    }
    assert_int_equal(aof_files_find(&files, in_dir("appendonlydir/a.1.incr.aof"), &error), ST_OK);
    assert_int_equal(files.count, 1);
    aof_files_free(&files);
}

static int set_up(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_the_log_is_in_the_keys), cmocka_unit_test(a_cut_log_gives_what_is_whole),
        cmocka_unit_test(what_is_no_log_is_refused),         cmocka_unit_test(given_up_at_any_time),
        cmocka_unit_test(large_commands_and_values),         cmocka_unit_test(parts_are_found),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
