/* Recovery: that what comes back is exactly what was promised, whatever wrote the files and whatever reads them.
 *
 * Histories (tests/support/history.c) are written by M shards and recovered by N, in a random order of turns; then the
 * next generation is written by N shards on top of it, for several starts. SHERD_SEED repeats one seed.
 *
 * Damage, which no history explains, is made by hand: each case says what becomes of it under each recovery-damage. */
#include "tests/support/history.c"
#include "tests/support/machine.c"

static void test_histories(void **state) {
    (void)state;
    uint64_t seed = seed_or(1), rounds = seed_given() ? 1 : 40;
    for (uint64_t end = seed + rounds; seed < end; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        struct world *world = new_world(seed);
        recover(world, 1 + (uint32_t)pick(world, SHARDS)); /* an empty directory */
        for (unsigned starts = 0; starts < 4; starts++) {
            play(world);
            save_manifest(world);
            crash(world);
            recover(world, 1 + (uint32_t)pick(world, SHARDS));
        }
        delete_world(world);
    }
}

/* --- damage, made by hand: one shard, APPENDs of the batch's number to one key --- */

#define BOOT 77

struct file {
    uint64_t number;       /* of the segment; 0: ends a list */
    uint64_t first, count; /* batches */
    bool promises;         /* each line says that those before it are durable */
    uint64_t broken;       /* a batch of which a byte is flipped; 0: none */
    bool others;           /* it is another journal's */
    const char *instead;   /* of APPEND, in all its batches */
};

static void write_hand_made(struct world *world, const struct file *file) {
    struct buf out, payload;
    char line[SEGMENT_HEADER_MAX], name[DATADIR_NAME_MAX], text[24];
    buf_init(&out, world->heap, MEM_STATS);
    buf_init(&payload, world->heap, MEM_STATS);
    struct segment_header header = {.boot = file->others ? BOOT + 1 : BOOT,
                                    .first_batch = file->first,
                                    .durable = file->promises ? file->first - 1 : 0,
                                    .shards = 1};
    buf_append(&out, line, segment_header_write(line, &header));
    for (uint64_t seq = file->first; seq < file->first + file->count; seq++) {
        payload.len = 0;
        snprintf(text, sizeof text, "%" PRIu64 ",", seq);
        if (file->instead)
            buf_append(&payload, file->instead, strlen(file->instead));
        else
            add_command(&payload, 3, (const char *[]){"APPEND", "key:0", text});
        struct batch_header batch = {.seq = seq, .durable = file->promises ? seq - 1 : 0, .payload = payload.len};
        batch_line_write(line, segment_seed(header.boot, 0), &batch, payload.data);
        buf_append(&out, line, BATCH_LINE);
        buf_append(&out, payload.data, payload.len);
        if (seq == file->broken) out.data[out.len - 3] ^= 1;
    }
    datadir_segment_name(name, 0, file->number);
    write_file(world, name, out.data, out.len);
    buf_deinit(&out);
    buf_deinit(&payload);
}

struct damage_case {
    const char *name;
    struct file files[4];
    uint64_t over_at; /* the manifest says that the journal is over there; 0: it is open */
    uint64_t over_part;
    const char *refuse; /* what the message holds; NULL: it is no damage, and the next is the value */
    const char *truncate, *skip;
};

static const struct damage_case damages[] = {
    {"whole", {{1, 1, 6, true, 0, false, NULL}}, 0, 0, NULL, "1,2,3,4,5,6,", NULL},
    {"torn", {{1, 1, 6, false, 3, false, NULL}}, 0, 0, NULL, "1,2,", NULL},
    {"a byte",
     {{1, 1, 6, true, 3, false, NULL}},
     0,
     0,
     "shard-000.000001.aof is damaged at byte ",
     "1,2,",
     "1,2,4,5,6,"},
    {"next segments",
     {{1, 1, 3, true, 0, false, NULL}, {2, 4, 3, true, 0, false, NULL}},
     0,
     0,
     NULL,
     "1,2,3,4,5,6,",
     NULL},
    {"repeated", {{1, 1, 4, true, 0, false, NULL}, {2, 3, 3, true, 0, false, NULL}}, 0, 0, NULL, "1,2,3,4,5,", NULL},
    {"rewritten", {{1, 1, 4, false, 3, false, NULL}, {2, 3, 3, true, 0, false, NULL}}, 0, 0, NULL, "1,2,3,4,5,", NULL},
    {"a segment is missing",
     {{1, 1, 3, true, 0, false, NULL}, {3, 7, 2, true, 0, false, NULL}},
     0,
     0,
     "batches 4 to 6 of shard 0, which were durable, are missing before shard-000.000003.aof",
     "1,2,3,",
     "1,2,3,7,8,"},
    {"a crash took it",
     {{1, 1, 3, false, 0, false, NULL}, {3, 7, 2, false, 0, false, NULL}},
     0,
     0,
     NULL,
     "1,2,3,",
     NULL},
    {"recycled", {{1, 1, 3, true, 0, false, NULL}, {2, 1, 9, true, 0, true, NULL}}, 0, 0, NULL, "1,2,3,", NULL},
    {"recycled, the same journal's",
     {{1, 4, 3, true, 0, false, NULL}, {2, 1, 5, true, 0, false, NULL}},
     0,
     0,
     "batches 1 to 3 of shard 0",
     "",
     "4,5,6,"},
    {"over", {{1, 1, 6, true, 0, false, NULL}}, 4, 0, NULL, "1,2,3,4,", NULL},
    {"over, then garbage", {{1, 1, 6, true, 5, false, NULL}}, 4, 0, NULL, "1,2,3,4,", NULL},
    {"over, but not there",
     {{1, 1, 3, true, 0, false, NULL}},
     4,
     0,
     "ends with batch 3, but had been durable to batch 4",
     "1,2,3,",
     "1,2,3,"},
    {"over in a batch", {{1, 1, 6, true, 0, false, NULL}}, 4, 1, NULL, "1,2,3,4,5,", NULL},
    {"over in a batch that is not there",
     {{1, 1, 4, true, 0, false, NULL}},
     4,
     1,
     "ends with batch 4, but had been durable to batch 5",
     "1,2,3,4,",
     "1,2,3,4,"},
    {"no commands",
     {{1, 1, 2, true, 0, false, NULL}, {2, 3, 2, true, 0, false, "*1\r\nx"}, {3, 5, 1, true, 0, false, NULL}},
     0,
     0,
     "shard-000.000002.aof is damaged at byte ",
     "1,2,",
     "1,2,5,"},
    {"no effect",
     {{1, 1, 2, true, 0, false, NULL},
      {2, 3, 1, true, 0, false, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"},
      {3, 4, 1, true, 0, false, NULL}},
     0,
     0,
     "it changes no key",
     "1,2,4,",
     "1,2,4,"},
};

static void hand_made_manifest(struct world *world, const struct damage_case *damage) {
    struct manifest_generation *generation = manifest_add_generation(&world->manifest);
    generation->boot = BOOT;
    generation->shards = 1;
    generation->over = damage->over_at > 0;
    uint64_t last = 0;
    for (uint32_t i = 0; damage->files[i].number; i++) last = damage->files[i].number;
    generation->ranges[0] = (struct manifest_range){.first_segment = 1,
                                                    .first_seq = 1,
                                                    .last_segment = last,
                                                    .last_seq = damage->over_at,
                                                    .last_part = damage->over_part};
    world->manifest.next = 4;
    save_manifest(world);
}

static void check_value(struct run *run, const char *expected) {
    struct state *state = calloc(1, sizeof *state);
    strcpy(state->value[0][0], expected);
    check_state(run->sim, state);
    free(state);
}

static void try_damage(const struct damage_case *damage, enum config_recovery_damage mode) {
    struct world *world = new_world(1);
    struct run run;
    for (uint32_t i = 0; damage->files[i].number; i++) write_hand_made(world, &damage->files[i]);
    hand_made_manifest(world, damage);
    run_recovery(&run, &(struct recovery_options){.threads = 2, .boot = 5, .journal = true, .damage = mode},
                 world->path, &world->prng);
    bool fails = damage->refuse && mode == DAMAGE_REFUSE;
    assert_int_equal(run.state, fails ? RECOVERY_FAILED : RECOVERY_DONE);
    if (fails) {
        const char *text = recovery_error(run.recovery)->text;
        if (!strstr(text, damage->refuse)) fail_msg("%s", text);
        assert_non_null(strstr(text, "--recovery-damage truncate"));
    } else {
        check_value(&run, mode == DAMAGE_SKIP && damage->skip ? damage->skip : damage->truncate);
        assert_int_equal(recovery_result(run.recovery)->damages > 0, damage->refuse != NULL);
    }
    end_run(&run);
    if (!fails) {                              /* and again, without damage, what was found then */
        bool over_short = mode == DAMAGE_SKIP; /* what was skipped is damaged still */
        run_recovery(&run, &(struct recovery_options){.threads = 1, .boot = 6, .journal = true, .damage = mode},
                     world->path, &world->prng);
        assert_int_equal(run.state, RECOVERY_DONE);
        check_value(&run, mode == DAMAGE_SKIP && damage->skip ? damage->skip : damage->truncate);
        if (!over_short && !strstr(damage->name, "no effect"))
            assert_int_equal(recovery_result(run.recovery)->damages, 0);
        end_run(&run);
    }
    delete_world(world);
}

static void test_damage(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        print_message("%s\n", damages[i].name);
        try_damage(&damages[i], DAMAGE_REFUSE);
        try_damage(&damages[i], DAMAGE_TRUNCATE);
        try_damage(&damages[i], DAMAGE_SKIP);
    }
}

/* --- the rest --- */

static void write_dump(struct world *world, const char *name, uint32_t db) {
    struct journal *journal = &world->journals[0];
    journal->rdb.len = 0;
    strcpy(world->live.value[0][0], "imported");
    strcpy(world->live.value[0][7], "as well");
    rdb_write_header(&journal->rdb);
    rdb_write_database(&journal->rdb, db, 2, 0);
    save_key(world, journal, 0, 0);
    save_key(world, journal, 0, 7);
    rdb_write_end(&journal->rdb, crc64(0, journal->rdb.data, journal->rdb.len));
    write_file(world, name, journal->rdb.data, journal->rdb.len);
}

static void test_import(void **state) {
    (void)state;
    struct world *world = new_world(3);
    struct run run;
    struct recovery_options options = {.threads = 3, .boot = 5, .journal = true, .import = "dump.rdb"};
    write_dump(world, "dump.rdb", 0);
    run_recovery(&run, &options, world->path, &world->prng);
    assert_int_equal(run.state, RECOVERY_DONE);
    check_state(run.sim, &world->live);
    assert_true(recovery_result(run.recovery)->wants_checkpoint);
    end_run(&run);

    /* It is part of the data until there is a checkpoint: also when nobody asks for it, and not twice. */
    options = (struct recovery_options){.threads = 2, .boot = 6, .journal = true};
    run_recovery(&run, &options, world->path, &world->prng);
    assert_int_equal(run.state, RECOVERY_DONE);
    check_state(run.sim, &world->live);
    end_run(&run);

    struct datadir dir;
    struct error error;
    assert_int_equal(datadir_open(&dir, world->path, &error), ST_OK);
    options = (struct recovery_options){
        .dir = &dir, .threads = 1, .boot = 7, .import = "dump.rdb", .import_is_must = true, .clock = clock_system()};
    assert_int_equal(recovery_open(&run.recovery, &options, &error), ST_EXISTS);
    datadir_close(&dir);

    strcpy(world->live.value[0][7], "changed");
    char path[160];
    file_name(world, path, "dump.rdb");
    assert_int_equal(truncate(path, 30), 0); /* somebody touched it */
    options = (struct recovery_options){.threads = 2, .boot = 8, .journal = true};
    run_recovery(&run, &options, world->path, &world->prng);
    assert_int_equal(run.state, RECOVERY_FAILED);
    assert_non_null(strstr(recovery_error(run.recovery)->text, "it is another file"));
    end_run(&run);
    delete_world(world);
}

static void test_import_refused(void **state) {
    (void)state;
    struct world *world = new_world(3);
    struct run run;
    struct recovery_options options = {.threads = 3, .boot = 5, .journal = true, .import = "dump.rdb"};
    write_dump(world, "dump.rdb", DBS); /* a database that is not there */
    run_recovery(&run, &options, world->path, &world->prng);
    assert_int_equal(run.state, RECOVERY_FAILED);
    assert_non_null(strstr(recovery_error(run.recovery)->text, "'databases'"));
    end_run(&run);
    struct datadir dir;
    struct error error;
    assert_int_equal(datadir_open(&dir, world->path, &error), ST_OK);
    options = (struct recovery_options){
        .dir = &dir, .threads = 1, .boot = 5, .import = "no-such.rdb", .clock = clock_system()};
    assert_int_equal(recovery_open(&run.recovery, &options, &error), ST_IO);
    assert_non_null(strstr(error.text, "no-such.rdb"));
    datadir_close(&dir);
    delete_world(world);
}

static void test_no_manifest(void **state) {
    (void)state;
    struct world *world = new_world(4);
    struct recovery *recovery;
    struct datadir dir;
    struct error error;
    write_hand_made(world, &(struct file){.number = 1, .first = 1, .count = 1});
    assert_int_equal(datadir_open(&dir, world->path, &error), ST_OK);
    struct recovery_options options = {.dir = &dir, .threads = 1, .boot = 1, .clock = clock_system()};
    assert_int_equal(recovery_open(&recovery, &options, &error), ST_INVALID);
    assert_non_null(strstr(error.text, "no sherd.manifest"));
    datadir_close(&dir);
    delete_world(world);
}

/* --- anything --- */

struct listed {
    char names[256][DATADIR_NAME_MAX];
    uint32_t count;
};

static void list_one(void *ctx, const char *name, struct datadir_name is) {
    struct listed *listed = ctx;
    if (is.kind == DATADIR_OTHER || listed->count == ARRAY_LEN(listed->names)) return;
    strcpy(listed->names[listed->count++], name);
}

/* A byte changed, an end cut off, a file gone, or a file put in another's place. */
static void spoil_one(struct world *world, const struct listed *listed) {
    char path[160], other[160];
    file_name(world, path, listed->names[pick(world, listed->count)]);
    file_name(world, other, listed->names[pick(world, listed->count)]);
    struct stat info;
    if (stat(path, &info) != 0 || info.st_size == 0) return;
    uint64_t at = pick(world, (uint64_t)info.st_size);
    switch (pick(world, 8)) {
    case 0: assert_int_equal(truncate(path, (off_t)at), 0); break;
    case 1: unlink(path); break;
    case 2: assert_int_equal(rename(path, other), 0); break;
    default: {
        FILE *file = fopen(path, "r+");
        assert_non_null(file);
        fseek(file, (long)at, SEEK_SET);
        int byte = fgetc(file);
        fseek(file, (long)at, SEEK_SET);
        fputc(byte ^ (int)(1 + pick(world, 255)), file);
        fclose(file);
    }
    }
}

/* Files as no crash leaves them: whatever recovery makes of them, it ends and touches nothing that is not its own; and
 * what it made of them is whole at the next start. (For the sanitizers.) */
static void test_hostile(void **state) {
    (void)state;
    uint64_t seed = seed_or(1), rounds = seed_given() ? 1 : 60;
    for (uint64_t end = seed + rounds; seed < end; seed++) {
        struct world *world = new_world(seed);
        struct listed listed = {.count = 0};
        struct datadir dir;
        struct error error;
        struct run run;
        recover(world, 1 + (uint32_t)pick(world, SHARDS));
        for (unsigned starts = 0; starts < 2; starts++) {
            play(world);
            save_manifest(world);
            crash(world);
            if (starts == 0) recover(world, 1 + (uint32_t)pick(world, SHARDS));
        }
        assert_int_equal(datadir_open(&dir, world->path, &error), ST_OK);
        assert_int_equal(datadir_list(&dir, list_one, &listed, &error), ST_OK);
        datadir_close(&dir);
        for (uint64_t places = 1 + pick(world, 4); places > 0; places--) spoil_one(world, &listed);
        enum config_recovery_damage mode = (enum config_recovery_damage)(seed % 3);
        struct recovery_options options = {
            .threads = 1 + (uint32_t)pick(world, SHARDS), .boot = 5, .journal = true, .damage = mode};
        run_recovery(&run, &options, world->path, &world->prng);
        bool done = run.state == RECOVERY_DONE;
        assert_true(done || mode == DAMAGE_REFUSE);
        end_run(&run);
        if (done && mode != DAMAGE_SKIP) { /* what was skipped is damaged still */
            options.boot = 6;
            options.damage = mode == DAMAGE_TRUNCATE && world->manifest.checkpoint.number ? mode : DAMAGE_REFUSE;
            run_recovery(&run, &options, world->path, &world->prng);
            if (run.state != RECOVERY_DONE) fail_msg("seed %" PRIu64 ": %s", seed, recovery_error(run.recovery)->text);
            end_run(&run);
        }
        delete_world(world);
    }
}

/* The server is told to end while it loads, at any point. */
static void test_leave(void **state) {
    (void)state;
    struct world *world = new_world(20);
    recover(world, 3);
    play(world);
    save_manifest(world);
    crash(world);
    for (uint64_t slices = 0;; slices++) {
        struct sim *sim =
            sim_new(&(struct sim_options){.shards = 2, .mailbox_capacity = 16, .db_count = DBS, .seed = 1});
        struct datadir dir;
        struct error error;
        struct recovery *recovery;
        struct recovery_options options = {.dir = &dir,
                                           .threads = 2,
                                           .boot = 5,
                                           .only_look = true,
                                           .clock = clock_system(),
                                           .log = sim_shard(sim, 0)->log};
        enum recovery_state last = RECOVERY_MORE;
        assert_int_equal(datadir_open(&dir, world->path, &error), ST_OK);
        assert_int_equal(recovery_open(&recovery, &options, &error), ST_OK);
        for (uint64_t i = 0; i < slices; i++) {
            assert_set_shard((int)(i % 2));
            last = recovery_slice(recovery, i % 2, sim_shard(sim, i % 2), 0);
        }
        for (uint32_t id = 0; id < 2; id++) recovery_leave(recovery, id);
        assert_set_shard(-1);
        recovery_close(recovery);
        datadir_close(&dir);
        sim_delete(sim);
        if (last == RECOVERY_DONE) break;
    }
    delete_world(world);
}

/* One thread's slices until it waits for the others, or is done. */
static enum recovery_state go_on(struct recovery *recovery, struct sim *sim, uint32_t id) {
    enum recovery_state state;
    assert_set_shard((int)id);
    do state = recovery_slice(recovery, id, sim_shard(sim, id), 1000000);
    while (state == RECOVERY_MORE);
    assert_set_shard(-1);
    return state;
}

/* A segment is cut off, or is another one, when it is read for the second time: as an export by parts does. */
static void test_changed(void **state) {
    (void)state;
    static const struct file changed[] = {{1, 1, 4, true, 0, false, NULL},
                                          {1, 1, 6, true, 3, false, NULL},
                                          {1, 1, 6, true, 0, true, NULL},
                                          {1, 2, 5, true, 0, false, NULL}};
    for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
        static const struct damage_case whole = {"whole", {{1, 1, 6, true, 0, false, NULL}}, 0, 0, NULL, NULL, NULL};
        struct world *world = new_world(1);
        struct sim *sim =
            sim_new(&(struct sim_options){.shards = 2, .mailbox_capacity = 16, .db_count = DBS, .seed = 1});
        struct datadir dir;
        struct error error;
        struct recovery *recovery;
        write_hand_made(world, &whole.files[0]);
        hand_made_manifest(world, &whole);
        assert_int_equal(datadir_open(&dir, world->path, &error), ST_OK);
        struct recovery_options options = {.dir = &dir,
                                           .threads = 2,
                                           .boot = 5,
                                           .only_look = true,
                                           .damage = DAMAGE_TRUNCATE,
                                           .clock = clock_system(),
                                           .log = sim_shard(sim, 0)->log};
        assert_int_equal(recovery_open(&recovery, &options, &error), ST_OK);
        assert_int_equal(go_on(recovery, sim, 0), RECOVERY_WAITING);
        assert_int_equal(go_on(recovery, sim, 1), RECOVERY_WAITING); /* it has loaded */
        write_hand_made(world, &changed[i]);
        assert_int_equal(go_on(recovery, sim, 0), RECOVERY_FAILED);
        assert_non_null(strstr(recovery_error(recovery)->text, "shard-000.000001.aof is not what it was"));
        recovery_leave(recovery, 1);
        recovery_close(recovery);
        datadir_close(&dir);
        sim_delete(sim);
        delete_world(world);
    }
}

/* Without a journal nothing is written into an empty directory, and with only_look never. */
static void test_leaves_alone(void **state) {
    (void)state;
    struct world *world = new_world(5);
    struct run run;
    char path[160];
    file_name(world, path, DATADIR_MANIFEST);
    run_recovery(&run, &(struct recovery_options){.threads = 2, .boot = 5}, world->path, &world->prng);
    assert_int_equal(run.state, RECOVERY_DONE);
    assert_false(recovery_has_data(run.recovery));
    end_run(&run);
    assert_int_not_equal(access(path, F_OK), 0);
    run_recovery(&run, &(struct recovery_options){.threads = 2, .boot = 5, .journal = true, .only_look = true},
                 world->path, &world->prng);
    end_run(&run);
    assert_int_not_equal(access(path, F_OK), 0);
    delete_world(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaves_alone), cmocka_unit_test(test_no_manifest),    cmocka_unit_test(test_damage),
        cmocka_unit_test(test_import),       cmocka_unit_test(test_import_refused), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_leave),        cmocka_unit_test(test_changed),        cmocka_unit_test(test_histories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
