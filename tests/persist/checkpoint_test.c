/* Checkpoints of simulated shards that go on working meanwhile.
 *
 * Proves   whatever commands run while a checkpoint is made, its files and the batches of the journal since its cut
 *          give every key, value and deadline: the files read back, and each batch applied where the frontiers say that
 *          it comes later. With `appendonly no` the same up to the checkpoint's end. What is emptied meanwhile begins
 *          anew; a disk that fails leaves the old checkpoint as it was, and the next one succeeds. Nothing is left
 *          behind.
 * How      chattering clients (tests/support/chatter.h), slices and buffers so small that everything interleaves, a
 *          disk that completes at random, and a journal that is a list of batches.
 *
 * SHERD_SEED runs one seed only, SHERD_ROUNDS says how many; a failure prints the seed. */
#include "persist/checkpoints.h"
#include "persist/frontier.h"
#include "persist/rdb_read.h"
#include "persist/segment.h"
#include "persist/spool.h"
#include "shards/effect_apply.h"
#include "shards/request.h"
#include "tests/support/checkpoint_bench.c"
#include "tests/support/compare.c"
#include "tests/support/seed.h"
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define FILLERS 4000

/* Of all rounds: that something happened at all. */
struct totals {
    uint64_t keys, held, watched[TYPE_COUNT], frontiers, passed_over;
};

/* --- loading --- */

struct loaded {
    struct bench *bench;
    struct sim *target;
    uint32_t file;
    struct frontiers frontiers;
    struct totals *totals;
};

static struct shard *owner_of(struct sim *target, struct slice key) {
    return sim_shard(target, shard_of_key(sim_shard(target, 0), key));
}

/* Twice: for the frontiers, which are of no particular shard, and then by each shard for its own keys. */
struct taking {
    struct shard *shard;
};

static bool is_mine(void *ctx, uint32_t db, struct slice key) {
    const struct taking *taking = ctx;
    (void)db;
    return shard_of_key(taking->shard, key) == taking->shard->id;
}

static void put(struct shard *shard, const struct rdb_event *event) {
    struct keyspace *keys = shard_db(shard, event->db);
    struct key_ref ref;
    struct slice key = entry_key(event->entry);
    keyspace_open(keys, key, key_hash(&shard->shared, key), &ref);
    if (ref.entry) fail_msg("%.*s is in the file twice", (int)key.len, key.ptr);
    keyspace_put_entry(keys, &ref, event->entry);
}

static void load_file(struct loaded *loaded, const char *path, struct shard *shard, bool note) {
    struct taking taking = {shard};
    struct keyspace_shared *shared = &shard->shared;
    struct rdb_reader_options options = {.path = path,
                                         .takes = is_mine,
                                         .ctx = &taking,
                                         .build = true,
                                         .target = {.store = &shared->store,
                                                    .list_rule = &shared->list_rule,
                                                    .set_rule = &shared->set_rule,
                                                    .hash_rule = &shared->hash_rule,
                                                    .zset_rule = &shared->zset_rule,
                                                    .seed = &shared->seed,
                                                    .allow_int = true}};
    struct rdb_reader *reader;
    struct rdb_event event;
    struct error error;
    assert_int_equal(rdb_open(&reader, &options, &error), ST_OK);
    for (enum rdb_item item; (item = rdb_next(reader, &event, &error)) != RDB_END;) {
        if (item == RDB_BROKEN) fail_msg("%s", error.text);
        if (item == RDB_KEY) put(shard, &event);
        if (item != RDB_AUX || !note) continue;
        struct frontier frontier;
        if (slice_is(event.key, FRONTIER_AUX_SEED))
            assert_true(frontier_read_seed(event.value, &loaded->frontiers.seed));
        if (!slice_is(event.key, FRONTIER_AUX)) continue;
        assert_true(frontier_read(event.value, &frontier));
        assert_true(frontiers_add(&loaded->frontiers, frontier));
    }
    rdb_close(reader);
}

static void apply(struct loaded *loaded, uint32_t db, uint64_t seq, const struct slice *argv, uint32_t argc) {
    struct sim *target = loaded->target;
    struct bench *bench = loaded->bench;
    struct error error;
    uint32_t key_at = effect_key_at(sim_shard(target, 0), argv, argc);
    struct slot_range from = slot_range_of(loaded->file, bench->shards);
    if (key_at) {
        if (seq <= frontiers_find(&loaded->frontiers, db, argv[key_at])) {
            loaded->totals->passed_over++;
            return;
        }
        assert_set_shard((int)owner_of(target, argv[key_at])->id);
        if (!effect_apply_from(owner_of(target, argv[key_at]), db, argv, argc, from, &error))
            fail_msg("%s", error.text);
        assert_set_shard(-1);
        return;
    }
    bool nothing = argc == 3 && slice_equal(argv[1], argv[2]); /* SWAPDB 1 1 */
    assert_true(nothing || seq > loaded->frontiers.last);
    for (uint32_t i = 0; i < target->count; i++) {
        assert_set_shard((int)i);
        if (!effect_apply_from(sim_shard(target, i), db, argv, argc, from, &error)) fail_msg("%s", error.text);
        assert_set_shard(-1);
    }
}

static void apply_batch(struct loaded *loaded, const struct batch *batch) {
    struct effect_reader reader;
    uint32_t db = batch->db;
    effect_reader_init(&reader, buf_slice(&batch->bytes));
    for (enum effect_item item; (item = effect_reader_next(&reader)) != EFFECT_END;) {
        assert_int_not_equal(item, EFFECT_BROKEN);
        if (item != EFFECT_COMMAND) continue;
        if (slice_is(reader.argv[0], "select"))
            db = (uint32_t)strtoul(reader.argv[1].ptr, NULL, 10);
        else if (!slice_is(reader.argv[0], "multi") && !slice_is(reader.argv[0], "exec"))
            apply(loaded, db, batch->seq, reader.argv, reader.argc);
    }
    effect_reader_deinit(&reader);
}

static void load_shard(struct loaded *loaded, const struct manifest *manifest) {
    char name[DATADIR_NAME_MAX], path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
    const struct manifest_checkpoint *checkpoint = &manifest->checkpoint;
    const struct manifest_range *range = &manifest->generations[0].ranges[loaded->file];
    const struct place *place = &loaded->bench->places[loaded->file];
    datadir_checkpoint_name(name, loaded->file, checkpoint->number);
    datadir_path(&loaded->bench->dir, name, path);
    frontiers_init(&loaded->frontiers, loaded->target->heap, checkpoint->files[loaded->file].last);
    for (uint32_t i = 0; i < loaded->target->count; i++) {
        assert_set_shard((int)i);
        load_file(loaded, path, sim_shard(loaded->target, i), i == 0);
        assert_set_shard(-1);
    }
    uint64_t seq = range->first_seq;
    loaded->totals->frontiers += loaded->frontiers.count;
    for (uint32_t i = 0; i < place->batch_count; i++) {
        if (place->batches[i].segment < range->first_segment) continue;
        assert_int_equal(place->batches[i].seq, seq++);
        if (!manifest->generations[0].over || place->batches[i].seq <= range->last_seq)
            apply_batch(loaded, &place->batches[i]);
    }
    frontiers_deinit(&loaded->frontiers);
}

/* The manifest, the files and the journal make what is there now. */
static void check_state(struct bench *bench, struct totals *totals) {
    struct manifest manifest;
    struct error error;
    manifest_init(&manifest);
    assert_int_equal(manifest_load(&manifest, &bench->dir, &error), ST_OK);
    assert_int_equal(manifest.generation_count, 1);
    assert_int_equal(manifest.generations[0].over, !bench->appendonly);
    uint32_t shards = roll(bench, 2) ? bench->shards : 1 + (uint32_t)roll(bench, 6);
    struct loaded loaded = {.bench = bench, .totals = totals};
    loaded.target = sim_new(&(struct sim_options){
        .shards = shards, .mailbox_capacity = 8, .db_count = CHATTER_DBS, .seed = bench->seed, .tables = tables});
    for (loaded.file = 0; loaded.file < bench->shards; loaded.file++) load_shard(&loaded, &manifest);
    totals->keys += compare_machines(bench->sim, loaded.target, CHATTER_DBS);
    for (uint32_t i = 0; i < shards; i++) shard_turn_begin(sim_shard(loaded.target, i), 0, 0);
    sim_delete(loaded.target);
    manifest_deinit(&manifest);
}

/* Exactly the files of the checkpoint in the manifest are there. */
static void check_directory(const struct bench *bench) {
    DIR *dir = opendir(dir_path);
    uint32_t files = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        struct datadir_name name = datadir_parse_name(slice_of_cstr(entry->d_name));
        assert_int_not_equal(name.kind, DATADIR_TEMPORARY_FILE);
        if (name.kind != DATADIR_CHECKPOINT) continue;
        assert_int_equal(name.number, bench->manifest.checkpoint.number);
        files++;
    }
    closedir(dir);
    assert_int_equal(files, bench->manifest.checkpoint.number ? bench->shards : 0);
}

/* --- rounds --- */

/* Many keys that come and go, so that tables grow and shrink under the cursor; INCR, because it must
 * not be done twice. */
static void fill(struct bench *bench, uint64_t commands) {
    if (roll(bench, 200) == 0) bench->filling = !bench->filling;
    for (; commands > 0; commands--) {
        char text[64];
        int len =
            snprintf(text, sizeof text, "%s f%" PRIu64 "\r\n", bench->filling ? "INCR" : "DEL", roll(bench, FILLERS));
        sim_say(bench->filler, text, (size_t)len);
    }
}

/* Large collections whose elements change: what makes them large, how often said at once, and what is said to them. In
 * all of it # is one of two numbers and % any. */
struct writer {
    const char *key, *many, *each;
    unsigned times;
    const char *commands[12];
};
static const struct writer writers[] = {
    {"tab#",
     "HSET tab#",
     " f% some_value_%",
     2000,
     {"HSET tab# f% v%", "HINCRBY tab# i% %", "HDEL tab# f% f%", "HINCRBY tab# i% -%"}},
    {"set#", "SADD set#", " f% some_value_%", 2000, {"SADD set# m% m%", "SREM set# m% m%", "SPOP set#"}},
    {"zset#",
     "ZADD zset#",
     " % some_member_%",
     2000,
     {"ZADD zset# % m%", "ZINCRBY zset# % m%", "ZREM zset# m% m%", "ZPOPMIN zset#", "ZPOPMAX zset# 3",
      "ZINCRBY zset# -% m%", "BZPOPMIN zset# 0.01", "ZREMRANGEBYRANK zset# 5 1%", "ZREMRANGEBYSCORE zset# 3% 3%"}},
    {"list#",
     "RPUSH list#",
     " element_% another_element_%",
     1500,
     {"LPUSH list# a% b%", "RPUSH list# %", "LPOP list#", "RPOP list#", "LTRIM list# 1 -2", "LPOP list# 7",
      "RPUSH list# %", "LTRIM list# 9 -7", "LTRIM list# 0 5%", "BLPOP list# 0.01", "LSET list# 1 %", "RPUSHX list# %"}},
    {"stream#",
     "XGROUP CREATE stream# g 0 MKSTREAM",
     "\r\nXADD stream# * f% a_value_that_is_so_long_that_blocks_are_filled_soon_and_a_stream_is_large_%",
     900,
     {"XADD stream# * f% some_value_%", "XADD stream# * f v%", "XADD stream# MAXLEN ~ 3% * f v%",
      "XTRIM stream# MAXLEN 1%", "XREADGROUP GROUP g c COUNT 5 STREAMS stream# >",
      "XREADGROUP GROUP g d COUNT 2 STREAMS stream# >", "XAUTOCLAIM stream# g c 0 0 COUNT 3",
      "XGROUP DELCONSUMER stream# g d", "XGROUP SETID stream# g 0-%"}},
};

/* Rarely, to any of them. */
static const char *const strokes[] = {"DEL @",          "EXPIRE @ 1",     "PERSIST @",
                                      "RENAME @ other", "RENAME other @", "COPY @ other REPLACE"};

static size_t add_text(struct bench *bench, char *text, const char *form, const struct writer *writer, unsigned which) {
    size_t len = 0;
    for (; *form; form++) {
        if (*form == '@')
            len += add_text(bench, text + len, writer->key, writer, which);
        else if (*form == '#')
            len += (size_t)sprintf(text + len, "%u", which);
        else if (*form == '%')
            len += (size_t)sprintf(text + len, "%u", (unsigned)roll(bench, 4000));
        else
            text[len++] = *form;
    }
    return len;
}

static void enlarge_table(struct bench *bench) {
    const struct writer *writer = &writers[roll(bench, ARRAY_LEN(writers))];
    unsigned which = (unsigned)roll(bench, 2), commands = 0;
    char text[128 * 1024];
    size_t len = 0;
    while (commands < ARRAY_LEN(writer->commands) && writer->commands[commands]) commands++;
    if (roll(bench, 25) == 0) {
        len = add_text(bench, text, writer->many, writer, which);
        for (unsigned i = 0; i < writer->times; i++) len += add_text(bench, text + len, writer->each, writer, which);
    } else if (roll(bench, 300) == 0) {
        len = add_text(bench, text, strokes[roll(bench, ARRAY_LEN(strokes))], writer, which);
    } else {
        len = add_text(bench, text, writer->commands[roll(bench, commands)], writer, which);
    }
    len += add_text(bench, text + len, "\r\n", writer, which);
    assert_true(len < sizeof text);
    sim_say(bench->peers[roll(bench, ARRAY_LEN(bench->peers))], text, len);
}

/* Values that take several slices, and writers for them. */
static void enlarge(struct bench *bench) {
    static const char *const commands[] = {
        "SETRANGE big%u 300000 z\r\n", "APPEND big%u more\r\n", "APPEND big%u again\r\n",      "GET big%u\r\n",
        "PEXPIRE big%u 30\r\n",        "RENAME big%u big0\r\n", "SETRANGE big%u 400000 y\r\n", "STRLEN big%u\r\n"};
    char text[64];
    int len = snprintf(text, sizeof text, commands[roll(bench, ARRAY_LEN(commands))], (unsigned)roll(bench, 4));
    sim_say(bench->peers[roll(bench, ARRAY_LEN(bench->peers))], text, (size_t)len);
}

static void chat(struct bench *bench) {
    if (roll(bench, 3) == 0) enlarge(bench);
    for (uint64_t more = roll(bench, 6); more > 0; more--) enlarge_table(bench);
    if (roll(bench, 2)) fill(bench, roll(bench, 20));
    for (uint32_t i = 0; i < CHATTER_PEERS; i++)
        if (roll(bench, 2)) chatter_say_something(&bench->chatter, i);
    for (uint64_t steps = roll(bench, 10); steps > 0; steps--) sim_step(bench->sim);
    if (roll(bench, 60) == 0) sim_advance_ms(bench->sim, roll(bench, 200));
}

static void fall_silent(struct bench *bench) {
    chatter_end_transactions(&bench->chatter);
    if (sim_settle(bench->sim, 10000000)) return;
    sim_explain(bench->sim);
    fail_msg("it hangs");
}

static uint64_t ask(struct bench *bench, enum checkpoint_why why) {
    uint64_t ticket = 0;
    uint32_t id = (uint32_t)roll(bench, bench->shards);
    enum checkpoint_answer answer = checkpoints_ask(bench->checkpoints, sim_shard(bench->sim, id), why, false, &ticket);
    assert_int_equal(answer, ANSWER_STARTED);
    return ticket;
}

static bool wait_for(struct bench *bench, uint64_t ticket, bool chatting) {
    for (unsigned i = 0; i < 1000000; i++) {
        enum checkpoint_outcome outcome = checkpoints_outcome(bench->checkpoints, ticket);
        if (outcome != OUTCOME_PENDING) return outcome == OUTCOME_OK;
        if (chatting && i < 2000)
            chat(bench);
        else
            sim_step(bench->sim);
    }
    fail_msg("the checkpoint does not end");
    return false;
}

/* Without a journal, what happens after the checkpoint's end is nowhere; so it has to be the end of everything. */
static void save_last(struct bench *bench) {
    uint64_t ticket = ask(bench, WHY_SAVE);
    hold_end(bench, true);
    for (uint64_t during = roll(bench, 150); during > 0; during--) chat(bench);
    for (uint32_t i = 0; i < bench->shards; i++) sim_shard(bench->sim, i)->expire_off = true;
    fall_silent(bench);
    hold_end(bench, false);
    assert_true(wait_for(bench, ticket, false));
}

static void play(uint64_t seed, struct totals *totals) {
    struct bench bench;
    bench_open(&bench, seed, 0);
    fill(&bench, roll(&bench, 2) ? FILLERS : 0);
    for (uint64_t i = 0; i < 100; i++) chat(&bench);
    for (uint64_t i = roll(&bench, 2); i > 0; i--)
        assert_true(wait_for(&bench, ask(&bench, roll(&bench, 2) ? WHY_BGSAVE : WHY_REWRITE), true));
    if (!bench.appendonly) {
        save_last(&bench);
    } else {
        assert_true(wait_for(&bench, ask(&bench, WHY_BGSAVE), true));
        for (uint64_t later = roll(&bench, 50); later > 0; later--) chat(&bench);
        fall_silent(&bench);
    }
    check_state(&bench, totals);
    for (unsigned i = 0; i < 1000 && !all_idle_at_disk(&bench); i++) sim_step(bench.sim);
    check_directory(&bench);
    totals->held += bench.held;
    for (unsigned i = 0; i < TYPE_COUNT; i++) totals->watched[i] += bench.watched[i];
    bench_close(&bench);
}

/* --- by hand --- */

static void status_of(struct bench *bench, struct checkpoints_status *status) {
    checkpoints_read_status(bench->checkpoints, sim_now_ms(bench->sim), status);
}

/* One with some keys and nobody who chats. */
static void quiet_bench(struct bench *bench, bool appendonly) {
    bench_open(bench, 5, 3);
    bench->appendonly = appendonly;
    for (uint32_t i = 0; i < bench->shards; i++) bench->places[i].shard->effects.on = appendonly;
    bench->slow_disk = false;
    fill(bench, 2000);
    fall_silent(bench);
}

static void say(struct bench *bench, const char *text) {
    sim_say(bench->peers[0], text, strlen(text));
    assert_true(sim_settle(bench->sim, 1000000));
}

static void let_pass(struct bench *bench, unsigned steps) {
    for (unsigned i = 0; i < steps; i++) sim_step(bench->sim);
}

static void a_full_disk_leaves_all_as_it_was(void **state) {
    (void)state;
    struct bench bench;
    struct totals totals = {0};
    struct checkpoints_status status;
    quiet_bench(&bench, true);
    assert_true(wait_for(&bench, ask(&bench, WHY_BGSAVE), false));
    let_pass(&bench, 300);
    uint64_t number = bench.manifest.checkpoint.number;
    for (uint64_t fails_in = 1; fails_in < 4; fails_in++) {
        say(&bench, "SET some thing\r\n");
        bench.fails_in = fails_in;
        assert_false(wait_for(&bench, ask(&bench, WHY_REWRITE), false));
        let_pass(&bench, 300);
        status_of(&bench, &status);
        assert_true(status.last_save_ok && !status.last_rewrite_ok && !status.rewriting);
        assert_int_equal(status.rewrites_failed_in_a_row, fails_in);
        assert_int_equal(bench.manifest.checkpoint.number, number);
        check_directory(&bench);
        check_state(&bench, &totals);
        sim_advance_ms(bench.sim, 100);
    }
    bench.fails_in = 0;
    assert_true(wait_for(&bench, ask(&bench, WHY_REWRITE), false));
    let_pass(&bench, 300);
    status_of(&bench, &status);
    assert_true(status.last_rewrite_ok && status.rewrites == 1 && status.rewrites_failed_in_a_row == 0);
    assert_true(bench.manifest.checkpoint.number > number);
    check_state(&bench, &totals);
    check_directory(&bench);
    bench_close(&bench);
}

static void what_is_emptied_begins_anew(void **state) {
    (void)state;
    static const char *const commands[] = {"FLUSHALL\r\n", "FLUSHDB\r\n", "SWAPDB 0 1\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        struct bench bench;
        struct totals totals = {0};
        quiet_bench(&bench, i % 2);
        uint64_t ticket = ask(&bench, WHY_SAVE);
        let_pass(&bench, 30); /* of several hundred */
        assert_int_equal(checkpoints_outcome(bench.checkpoints, ticket), OUTCOME_PENDING);
        say(&bench, commands[i]);
        say(&bench, "SET some thing\r\n");
        assert_true(wait_for(&bench, ticket, false));
        let_pass(&bench, 300);
        assert_int_equal(bench.manifest.checkpoint.number, 2);
        check_state(&bench, &totals);
        check_directory(&bench);
        bench_close(&bench);
    }
}

static void rules_and_growth(void **state) {
    (void)state;
    struct bench bench;
    struct checkpoints_status status;
    quiet_bench(&bench, true);
    struct config *config = &bench.sim->config;
    config->save.count = 1;
    config->save.rules[0].seconds = 10;
    config->save.rules[0].changes = 2002;
    sim_advance_ms(bench.sim, 15000);
    status_of(&bench, &status);
    assert_int_equal(status.saves, 0); /* 2000 changes, or less: DELs */
    say(&bench, "MSET a 1 b 2 c 3 d 4 e 5 f 6\r\n");
    config->save.rules[0].changes = 5;
    sim_advance_ms(bench.sim, 9000);
    status_of(&bench, &status);
    assert_int_equal(status.saves, 1);
    assert_int_equal(status.changes, 0);
    assert_int_equal(status.last_save_time_s, (int64_t)(sim_now_ms(bench.sim) / 1000) - 8);
    say(&bench, "MSET a 1 b 2 c 3 d 4 e 5\r\n");
    sim_advance_ms(bench.sim, 500);
    status_of(&bench, &status);
    assert_int_equal(status.saves, 1); /* too early */
    sim_advance_ms(bench.sim, 4000);
    status_of(&bench, &status);
    assert_int_equal(status.saves, 2);
    config->save.count = 0;
    config->appendonly = true;
    config->auto_aof_rewrite_percentage = 100;
    config->auto_aof_rewrite_min_size = 1;
    bench.journal_bytes = status.base_bytes / bench.shards / 2;
    sim_advance_ms(bench.sim, 3000);
    status_of(&bench, &status);
    assert_int_equal(status.rewrites, 0);
    bench.journal_bytes = status.base_bytes / bench.shards + 1;
    for (unsigned i = 0; i < 100000 && status.rewrites == 0; i++) {
        sim_step(bench.sim);
        status_of(&bench, &status);
        if (status.rewriting) bench.journal_bytes = 0;
    }
    assert_int_equal(status.rewrites, 1);
    bench_close(&bench);
}

/* One that is due by itself lets commands that keep their keys end, but not for ever. */
static void a_cut_is_put_off_for_a_while(void **state) {
    (void)state;
    struct bench bench;
    struct checkpoints_status status;
    for (int ends = 0; ends < 2; ends++) {
        quiet_bench(&bench, true);
        struct config *config = &bench.sim->config;
        config->save.count = 1;
        config->save.rules[0].seconds = 1;
        config->save.rules[0].changes = 5;
        bench.works = true;
        say(&bench, "MSET a 1 b 2 c 3 d 4 e 5 f 6\r\n");
        sim_advance_ms(bench.sim, 8000);
        status_of(&bench, &status);
        assert_false(status.saving);
        assert_int_equal(status.saves, 0);
        bench.works = !ends;
        sim_advance_ms(bench.sim, ends ? 2000 : 9000); /* both cuts are put off, each for ten seconds at the most */
        status_of(&bench, &status);
        assert_int_equal(status.saves, ends);
        sim_advance_ms(bench.sim, 8000);
        status_of(&bench, &status);
        assert_true(status.saves > 0);
        bench.works = false;
        bench_close(&bench);
    }
}

static void one_after_the_other(void **state) {
    (void)state;
    struct bench bench;
    struct checkpoints_status status;
    quiet_bench(&bench, true);
    struct shard *shard = sim_shard(bench.sim, bench.shards - 1);
    uint64_t save, rewrite;
    assert_int_equal(checkpoints_ask(bench.checkpoints, shard, WHY_BGSAVE, false, &save), ANSWER_STARTED);
    assert_int_equal(checkpoints_ask(bench.checkpoints, shard, WHY_SAVE, true, NULL), ANSWER_SAVING);
    assert_int_equal(checkpoints_ask(bench.checkpoints, shard, WHY_REWRITE, false, NULL), ANSWER_SAVING);
    assert_int_equal(checkpoints_ask(bench.checkpoints, shard, WHY_REWRITE, true, &rewrite), ANSWER_SCHEDULED);
    status_of(&bench, &status);
    assert_true(status.saving && !status.rewriting && status.rewrite_scheduled);
    assert_true(wait_for(&bench, save, false));
    status_of(&bench, &status);
    assert_true(!status.saving && status.rewriting && !status.rewrite_scheduled);
    assert_int_equal(checkpoints_ask(bench.checkpoints, shard, WHY_BGSAVE, false, NULL), ANSWER_REWRITING);
    assert_true(wait_for(&bench, rewrite, false));
    let_pass(&bench, 300);
    status_of(&bench, &status);
    assert_true(!status.saving && !status.rewriting && status.saves == 1 && status.rewrites == 1);
    check_directory(&bench);
    bench_close(&bench);
}

static void the_last_one_follows(void **state) {
    (void)state;
    struct bench bench;
    struct checkpoints_status status;
    quiet_bench(&bench, false);
    struct shard *shard = sim_shard(bench.sim, 0);
    uint64_t save = ask(&bench, WHY_BGSAVE), end;
    assert_int_equal(checkpoints_ask(bench.checkpoints, shard, WHY_END, true, &end), ANSWER_SCHEDULED);
    assert_true(end > save);
    assert_true(wait_for(&bench, end, false));
    status_of(&bench, &status);
    assert_int_equal(status.saves, 2);
    bench_close(&bench);
}

static void it_stops_at_any_time(void **state) {
    (void)state;
    for (unsigned steps = 0; steps < 400; steps += 7) {
        struct bench bench;
        quiet_bench(&bench, steps % 2);
        ask(&bench, WHY_BGSAVE);
        let_pass(&bench, steps);
        bench_close(&bench);
    }
}

/* Was a large value of each type in hand that may change? Which seeds have one is chance. */
static bool watched_all(const struct totals *totals, uint64_t rounds) {
    bool all = true;
    for (unsigned i = 0; i < TYPE_COUNT; i++) all &= i == TYPE_STRING || totals->watched[i] > rounds / 4;
    return all;
}

static void files_and_journal_make_the_state(void **state) {
    (void)state;
    uint64_t rounds = 30, least = 20, most = 8 * rounds, seed = seed_or(1);
    struct totals totals = {0};
    const char *text = getenv("SHERD_ROUNDS");
    if (text) rounds = strtoull(text, NULL, 0);
    if (seed_given()) rounds = 1;
    for (uint64_t i = 0; i < rounds; i++) {
        fprintf(stderr, "seed %" PRIu64 "\r", seed + i);
        play(seed + i, &totals);
        bool more = i + 1 == rounds && rounds >= least && rounds < most && !watched_all(&totals, rounds);
        rounds += more;
    }
    fprintf(stderr,
            "%" PRIu64 " seeds: %" PRIu64 " keys, %" PRIu64 " frontiers, %" PRIu64
            " effects that were in the file, %" PRIu64 " turns with large values in hand; with one that may change:",
            rounds, totals.keys, totals.frontiers, totals.passed_over, totals.held);
    for (unsigned i = 0; i < TYPE_COUNT; i++)
        fprintf(stderr, " %s %" PRIu64, value_type_name((enum value_type)i), totals.watched[i]);
    fprintf(stderr, "\n");
    if (rounds < least) return;
    assert_true(totals.keys > 50 * rounds && totals.frontiers > 10 * rounds);
    assert_true(totals.passed_over > 10 * rounds && totals.held > rounds / 4);
    assert_true(watched_all(&totals, rounds));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_full_disk_leaves_all_as_it_was),
                                       cmocka_unit_test(what_is_emptied_begins_anew),
                                       cmocka_unit_test(rules_and_growth),
                                       cmocka_unit_test(a_cut_is_put_off_for_a_while),
                                       cmocka_unit_test(one_after_the_other),
                                       cmocka_unit_test(the_last_one_follows),
                                       cmocka_unit_test(it_stops_at_any_time),
                                       cmocka_unit_test(files_and_journal_make_the_state)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
