/* Check and export: that a directory as a crash leaves it is as it should be, that every damage is told, and that an
 * export holds exactly what recovery brings back (it is read back by importing it). */
#include "persist/check.h"
#include "persist/export.h"
#include "tests/support/history.c"
#include "tests/support/machine.c"

struct lines {
    char text[65536];
    size_t len;
};

static void keep_line(void *ctx, const char *line) {
    struct lines *lines = ctx;
    int len = snprintf(lines->text + lines->len, sizeof lines->text - lines->len, "%s\n", line);
    lines->len = MIN(lines->len + (size_t)len, sizeof lines->text - 1);
}

static enum status check(const struct world *world, struct lines *lines, struct error *error) {
    struct check_options options = {.path = world->path, .print = keep_line, .ctx = lines, .clock = clock_system()};
    *lines = (struct lines){.len = 0};
    *error = (struct error){0};
    return check_directory(&options, error);
}

/* A world with a crash in it, and a checkpoint unless no seed of a few has one. */
static struct world *crashed_world(uint64_t seed, bool with_checkpoint) {
    for (;; seed++) {
        struct world *world = new_world(seed);
        recover(world, 1 + (uint32_t)pick(world, SHARDS));
        for (unsigned starts = 0; starts < 2; starts++) {
            play(world);
            save_manifest(world);
            crash(world);
            if (starts == 0) recover(world, 1 + (uint32_t)pick(world, SHARDS));
        }
        if (!with_checkpoint || world->manifest.checkpoint.number) return world;
        delete_world(world);
    }
}

static void test_check(void **state) {
    (void)state;
    struct lines *lines = malloc(sizeof *lines);
    struct error error;
    uint64_t seed = seed_or(1);
    for (uint64_t end = seed + 10; seed < end; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        struct world *world = crashed_world(seed, false);
        if (check(world, lines, &error) != ST_OK) fail_msg("%s\n%s", error.text, lines->text);
        assert_non_null(strstr(lines->text, "shard-000."));
        recover(world, 2); /* it has changed nothing */
        delete_world(world);
    }
    free(lines);
}

/* A byte in the middle of the file; ST_OK: it lay where it does not matter, as in the name of a field. */
static void spoil(const struct world *world, const char *name, long at) {
    char path[160];
    file_name(world, path, name);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    fputc(byte ^ 4, file);
    fclose(file);
}

static void test_check_damage(void **state) {
    (void)state;
    struct lines *lines = malloc(sizeof *lines);
    struct error error;
    struct world *world = crashed_world(50, true);
    char name[DATADIR_NAME_MAX];
    datadir_checkpoint_name(name, 0, world->manifest.checkpoint.number);
    assert_int_equal(check(world, lines, &error), ST_OK);
    spoil(world, name, 60);
    assert_int_equal(check(world, lines, &error), ST_INVALID);
    assert_non_null(strstr(error.text, "in 1 places"));
    assert_non_null(strstr(lines->text, "DAMAGED"));
    spoil(world, name, 60);
    spoil(world, DATADIR_MANIFEST, 20);
    assert_int_equal(check(world, lines, &error), ST_INVALID);
    spoil(world, DATADIR_MANIFEST, 20);
    char path[160];
    file_name(world, path, name);
    unlink(path);
    assert_int_equal(check(world, lines, &error), ST_INVALID);
    delete_world(world);
    free(lines);
}

static void test_check_elsewhere(void **state) {
    (void)state;
    struct lines *lines = malloc(sizeof *lines);
    struct world *world = new_world(1);
    struct datadir dir;
    struct error error;
    assert_int_equal(check(world, lines, &error), ST_OK); /* empty */
    assert_non_null(strstr(lines->text, "holds no data"));
    assert_int_equal(datadir_open(&dir, world->path, &error), ST_OK);
    assert_int_equal(check(world, lines, &error), ST_EXISTS); /* somebody uses it */
    datadir_close(&dir);
    struct check_options options = {.path = "/no/such", .print = keep_line, .ctx = lines, .clock = clock_system()};
    assert_int_equal(check_directory(&options, &error), ST_NOT_FOUND);
    delete_world(world);
    free(lines);
}

/* --- export --- */

struct exporter {
    struct heap *heap;
    struct command_registry *registry;
    struct config config;
    struct log log;
};

static void no_output(void *ctx, const char *line, size_t len) {
    (void)ctx, (void)line, (void)len;
}

static enum status export_to(const struct world *world, enum export_form form, uint32_t parts, const char *file,
                             struct export_result *result, struct error *error) {
    struct exporter *exporter = calloc(1, sizeof *exporter);
    struct sim *sim = sim_new(&(struct sim_options){.shards = 1, .mailbox_capacity = 16, .db_count = DBS, .seed = 1});
    config_init(&exporter->config);
    log_init(&exporter->log, no_output, NULL, clock_system(), LOG_LEVEL_NOTHING, 'C');
    struct export_options options = {.dir = world->path,
                                     .file = file,
                                     .form = form,
                                     .parts = parts,
                                     .config = &exporter->config,
                                     .registry = sim_shard(sim, 0)->registry,
                                     .clock = clock_system(),
                                     .log = &exporter->log};
    enum status status = export_directory(&options, result, error);
    sim_delete(sim);
    free(exporter);
    return status;
}

static uint64_t count_keys(const struct state *state) {
    uint64_t count = 0;
    for (uint32_t db = 0; db < DBS; db++)
        for (uint32_t key = 0; key < KEYS; key++) count += state->value[db][key][0] != 0;
    return count;
}

static void import_again(const struct world *world, const char *file) {
    struct world *other = new_world(9);
    struct run run;
    run_recovery(&run, &(struct recovery_options){.threads = 3, .boot = 5, .import = file}, other->path, &other->prng);
    if (run.state != RECOVERY_DONE) fail_msg("%s", recovery_error(run.recovery)->text);
    check_state(run.sim, &world->live);
    end_run(&run);
    delete_world(other);
}

static void test_export_rdb(void **state) {
    (void)state;
    uint64_t seed = seed_or(1);
    for (uint64_t end = seed + 6; seed < end; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        struct world *world = crashed_world(seed, false);
        struct export_result result;
        struct error error;
        char file[160];
        file_name(world, file, "dump.rdb");
        static const uint32_t parts[] = {0, 1, 2, 7, 20};
        if (export_to(world, EXPORT_RDB, parts[seed % ARRAY_LEN(parts)], file, &result, &error) != ST_OK)
            fail_msg("%s", error.text);
        assert_int_equal(result.keys, count_keys(&world->live));
        import_again(world, file);
        assert_int_equal(export_to(world, EXPORT_RDB, 3, file, &result, &error), ST_EXISTS);
        delete_world(world);
    }
}

/* The same commands in a journal of one batch do the same. */
static void replay(const struct world *world, const char *file) {
    struct world *other = new_world(9);
    struct run run;
    struct stat info;
    assert_int_equal(stat(file, &info), 0);
    FILE *from = fopen(file, "r");
    assert_non_null(from);
    struct journal *journal = &other->journals[0];
    other->shards = 1;
    other->boot = 7;
    struct manifest_generation *generation = manifest_add_generation(&other->manifest);
    generation->boot = 7;
    generation->shards = 1;
    generation->ranges[0] = (struct manifest_range){.first_segment = 1, .first_seq = 1};
    begin_generation(other, 1);
    char *room = buf_reserve(&journal->pending, (size_t)info.st_size + 1);
    journal->pending.len = fread(room, 1, (size_t)info.st_size, from);
    fclose(from);
    end_batch(other, 0);
    save_segment(other, 0);
    save_manifest(other);
    run_recovery(&run, &(struct recovery_options){.threads = 2, .boot = 5}, other->path, &other->prng);
    if (run.state != RECOVERY_DONE) fail_msg("%s", recovery_error(run.recovery)->text);
    check_state(run.sim, &world->live);
    end_run(&run);
    delete_world(other);
}

static void test_export_aof(void **state) {
    (void)state;
    struct world *world = crashed_world(seed_or(3), false);
    struct export_result result;
    struct error error;
    char file[160];
    file_name(world, file, "appendonly.aof");
    if (export_to(world, EXPORT_AOF, 3, file, &result, &error) != ST_OK) fail_msg("%s", error.text);
    assert_int_equal(result.keys, count_keys(&world->live));
    replay(world, file);
    struct world *empty = new_world(1);
    assert_int_equal(export_to(empty, EXPORT_AOF, 0, "/tmp/sherd-never", &result, &error), ST_NOT_FOUND);
    delete_world(empty);
    file_name(world, file, "no/such/directory.aof");
    assert_int_equal(export_to(world, EXPORT_AOF, 3, file, &result, &error), ST_IO);
    delete_world(world);
}

static void test_export_damage(void **state) {
    (void)state;
    struct world *world = crashed_world(50, true);
    struct export_result result;
    struct error error;
    char name[DATADIR_NAME_MAX], file[160];
    file_name(world, file, "dump.rdb");
    datadir_checkpoint_name(name, 0, world->manifest.checkpoint.number);
    spoil(world, name, 60);
    for (uint32_t parts = 1; parts < 6; parts++) {
        assert_int_equal(export_to(world, EXPORT_RDB, parts, file, &result, &error), ST_INVALID);
        assert_int_not_equal(access(file, F_OK), 0);
    }
    delete_world(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_check),           cmocka_unit_test(test_check_damage),
                                       cmocka_unit_test(test_check_elsewhere), cmocka_unit_test(test_export_rdb),
                                       cmocka_unit_test(test_export_aof),      cmocka_unit_test(test_export_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
