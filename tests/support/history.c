/* History: a naive server's life on disk, for tests of recovery. Included by the tests that use it, like machine.c.
 *
 * A world plays operations on keys that only grow (APPEND: applying an effect twice, never, or in the wrong order
 * shows), DEL, transactions over several shards, FLUSHDB and SWAPDB. It writes them as journals of M shards in random
 * batches and segments, with a checkpoint that goes on for a while in between. Then it "loses power": tails of journals
 * are torn off at any byte that was not declared durable, and the expected state is computed operation by operation
 * from what is left of each journal, with a fixed point of its own.
 *
 *      struct world *world = new_world(seed);
 *      recover(world, shards);                     an empty directory; from here on `shards` write
 *      play(world); save_manifest(world);          a generation
 *      crash(world);                               world->live is what must come back
 *      recover(world, other_shards);               compares, and begins the next generation */
#pragma once
#include "core/crc.h"
#include "core/num.h"
#include "persist/frontier.h"
#include "persist/rdb_write.h"
#include "persist/recover.h"
#include "persist/segment.h"
#include "tests/support/machine.h"
#include "tests/support/seed.h"
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KEYS      40
#define DBS       3
#define SHARDS    5
#define OPS       120 /* per generation */
#define VALUE_MAX (OPS * 6 * 8)

struct state {
    char value[DBS][KEYS][VALUE_MAX]; /* "": absent */
};

enum op_kind { OP_APPEND, OP_DEL, OP_FLUSHDB, OP_SWAPDB };
struct effect {
    enum op_kind kind;
    uint32_t db, key; /* SWAPDB: db and the other */
    char text[12];
};
struct position {
    uint64_t seq, offset;
};
/* One command or transaction. */
struct op {
    struct effect effects[6];
    uint32_t count;
    uint64_t participants;
    struct position at[SHARDS];
};

/* A journal being written. */
struct journal {
    struct buf pending; /* groups of the batch that is open */
    uint32_t db, begin_db;
    uint64_t seq; /* of the open batch */
    uint64_t segment;
    struct buf file; /* of the segment */
    uint64_t safe;   /* bytes of it that no crash takes */
    /* the checkpoint */
    uint64_t position[DBS]; /* how far in each database */
    uint32_t walk_db;
    struct buf rdb;
};

struct world {
    struct prng prng;
    struct heap *heap;
    char path[64];
    uint32_t shards; /* of this generation */
    uint64_t boot, next;
    struct hash_seed seed;
    struct journal journals[SHARDS];
    struct op ops[OPS];
    uint32_t op_count;
    struct state start, live; /* of this generation */
    struct manifest manifest;
    bool walking;
    uint64_t safe_seq[SHARDS]; /* batches up to here survive */
};

static uint64_t pick(struct world *world, uint64_t n) {
    return prng_below(&world->prng, n);
}

static struct slice key_name(uint32_t key, char out[24]) {
    return slice_of(out, (size_t)snprintf(out, 24, "key:%u", key));
}

static uint32_t owner(const struct world *world, uint32_t key) {
    char text[24];
    return shard_of_slot(hash_slot(key_name(key, text)), world->shards);
}

static void file_name(const struct world *world, char out[160], const char *name) {
    snprintf(out, 160, "%s/%s", world->path, name);
}

static void write_file(const struct world *world, const char *name, const void *bytes, size_t len) {
    char path[160];
    file_name(world, path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

/* --- the state --- */

static void apply(struct state *state, const struct effect *effect) {
    char *value = state->value[effect->db % DBS][effect->key % KEYS];
    switch (effect->kind) {
    case OP_APPEND:
        assert_true(strlen(value) + strlen(effect->text) < VALUE_MAX);
        strcat(value, effect->text);
        break;
    case OP_DEL: value[0] = 0; break;
    case OP_FLUSHDB: memset(state->value[effect->db], 0, sizeof state->value[0]); break;
    case OP_SWAPDB:
        for (uint32_t k = 0; k < KEYS; k++) {
            char copy[VALUE_MAX];
            strcpy(copy, state->value[effect->db][k]);
            strcpy(state->value[effect->db][k], state->value[effect->key][k]);
            strcpy(state->value[effect->key][k], copy);
        }
        break;
    }
}

/* --- writing journals --- */

static void add_command(struct buf *out, uint32_t count, const char *const *words) {
    buf_printf(out, "*%u\r\n", count);
    for (uint32_t i = 0; i < count; i++) buf_printf(out, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
}

static bool is_wide(const struct effect *effect) {
    return effect->kind == OP_FLUSHDB || effect->kind == OP_SWAPDB;
}

static void add_effect(struct journal *journal, const struct effect *effect) {
    char key[24], number[12], other[12];
    key_name(effect->key, key);
    snprintf(number, sizeof number, "%u", effect->db);
    snprintf(other, sizeof other, "%u", effect->key);
    if (effect->kind != OP_SWAPDB && effect->db != journal->db) {
        add_command(&journal->pending, 2, (const char *[]){"SELECT", number});
        journal->db = effect->db;
    }
    switch (effect->kind) {
    case OP_APPEND: add_command(&journal->pending, 3, (const char *[]){"append", key, effect->text}); break;
    case OP_DEL: add_command(&journal->pending, 2, (const char *[]){"DEL", key}); break;
    case OP_FLUSHDB: add_command(&journal->pending, 1, (const char *[]){"FLUSHDB"}); break;
    case OP_SWAPDB: add_command(&journal->pending, 3, (const char *[]){"SWAPDB", number, other}); break;
    }
}

static void begin_segment(struct world *world, uint32_t shard) {
    struct journal *journal = &world->journals[shard];
    struct segment_header header = {.boot = world->boot,
                                    .first_batch = journal->seq,
                                    .durable = world->safe_seq[shard],
                                    .shard = shard,
                                    .shards = world->shards,
                                    .db = journal->db};
    char line[SEGMENT_HEADER_MAX];
    journal->file.len = 0;
    buf_append(&journal->file, line, segment_header_write(line, &header));
    journal->safe = 0;
}

static void save_segment(struct world *world, uint32_t shard) {
    struct journal *journal = &world->journals[shard];
    char name[DATADIR_NAME_MAX];
    datadir_segment_name(name, shard, journal->segment);
    write_file(world, name, journal->file.data, journal->file.len);
}

static void rotate(struct world *world, uint32_t shard) {
    struct journal *journal = &world->journals[shard];
    world->safe_seq[shard] = journal->seq - 1; /* a sealed segment is durable */
    save_segment(world, shard);
    journal->segment++;
    begin_segment(world, shard);
}

static void walk(struct world *world, uint32_t shard, uint64_t n);

static void end_batch(struct world *world, uint32_t shard) {
    struct journal *journal = &world->journals[shard];
    if (journal->pending.len) {
        struct batch_header header = {.seq = journal->seq,
                                      .durable = world->safe_seq[shard],
                                      .payload = journal->pending.len,
                                      .db = journal->begin_db};
        char line[BATCH_LINE];
        batch_line_write(line, segment_seed(world->boot, shard), &header, journal->pending.data);
        buf_append(&journal->file, line, BATCH_LINE);
        buf_append(&journal->file, journal->pending.data, journal->pending.len);
        journal->seq++;
        journal->pending.len = 0;
    }
    journal->begin_db = journal->db;
    if (world->walking) walk(world, shard, journal->seq - 1);
    if (pick(world, 12) == 0) rotate(world, shard);
}

/* --- operations --- */

static void note_position(struct world *world, struct op *op, uint32_t shard) {
    struct journal *journal = &world->journals[shard];
    op->at[shard] = (struct position){journal->seq, journal->pending.len};
}

static bool is_of(const struct world *world, const struct effect *effect, uint32_t shard) {
    return is_wide(effect) || owner(world, effect->key) == shard;
}

/* The next `count` effects of the shard from *at on, framed when that is asked for. */
static void write_effects(struct world *world, const struct op *op, uint32_t shard, uint32_t *at, uint32_t count,
                          bool framed) {
    struct journal *journal = &world->journals[shard];
    if (framed) add_command(&journal->pending, 1, (const char *[]){"MULTI"});
    for (; count > 0; ++*at) {
        if (!is_of(world, &op->effects[*at], shard)) continue;
        add_effect(journal, &op->effects[*at]);
        count--;
    }
    if (framed) add_command(&journal->pending, 1, (const char *[]){"EXEC"});
}

/* May it be written in pieces? A file that is being saved would show what has no end yet. */
static bool may_be_in_pieces(struct world *world, const struct op *op) {
    for (uint32_t i = 0; i < op->count; i++)
        if (is_wide(&op->effects[i])) return false;
    return !world->walking && pick(world, 2) == 0;
}

/* What is left at its end, behind the pieces; and what is in those, with batches that end between them. */
static void write_part(struct world *world, struct op *op, uint64_t stamp, uint32_t shard, bool in_pieces) {
    struct journal *journal = &world->journals[shard];
    uint32_t count = 0, at = 0, pieces = 0;
    for (uint32_t i = 0; i < op->count; i++) count += is_of(world, &op->effects[i], shard);
    while (in_pieces && count > 0 && pick(world, 3)) {
        uint32_t n = 1 + (uint32_t)pick(world, count);
        buf_printf(&journal->pending, "#P %016" PRIx64 " %016" PRIx32 "\r\n", stamp, ++pieces);
        write_effects(world, op, shard, &at, n, true);
        count -= n;
        if (pick(world, 2)) end_batch(world, shard);
    }
    note_position(world, op, shard);
    if (op->participants & (op->participants - 1))
        buf_printf(&journal->pending, "#T %016" PRIx64 " %016" PRIx64 "\r\n", stamp, op->participants);
    if (pieces) buf_printf(&journal->pending, "#E %016" PRIx64 " %016" PRIx32 "\r\n", stamp, pieces);
    write_effects(world, op, shard, &at, count, count > 1);
}

static void write_op(struct world *world, struct op *op, uint64_t stamp) {
    bool in_pieces = may_be_in_pieces(world, op);
    for (uint32_t shard = 0; shard < world->shards; shard++)
        if (op->participants & 1ull << shard) write_part(world, op, stamp, shard, in_pieces);
}

static void make_op(struct world *world) {
    struct op *op = &world->ops[world->op_count];
    *op = (struct op){.count = 1 + (uint32_t)(pick(world, 3) == 0 ? pick(world, 6) : 0)};
    for (uint32_t i = 0; i < op->count; i++) {
        struct effect *effect = &op->effects[i];
        uint64_t draw = pick(world, 40);
        effect->kind = draw < 32 ? OP_APPEND : OP_DEL;
        effect->db = (uint32_t)pick(world, DBS);
        effect->key = (uint32_t)pick(world, KEYS);
        snprintf(effect->text, sizeof effect->text, "%u.%u,", world->op_count % 1000, i % 10);
        if (draw == 39 && !world->walking) effect->kind = OP_FLUSHDB;
        if (draw == 38 && !world->walking) {
            effect->kind = OP_SWAPDB;
            effect->key = (effect->db + 1) % DBS;
        }
        op->participants |= is_wide(effect) ? (1ull << world->shards) - 1 : 1ull << owner(world, effect->key);
        apply(&world->live, effect);
    }
    if (op->count > 1 && pick(world, 4) == 0)
        op->participants |= 1ull << pick(world, world->shards); /* only read there */
    write_op(world, op, world->boot << 20 | world->op_count);
    world->op_count++;
    for (uint32_t shard = 0; shard < world->shards; shard++)
        if (pick(world, 3) == 0) end_batch(world, shard);
}

/* --- the checkpoint --- */

static uint64_t place_of(const struct world *world, uint32_t key) {
    char text[24];
    struct slice name = key_name(key, text);
    return hash_bytes(&world->seed, name.ptr, name.len) >> (64 - HT_CURSOR_BITS);
}

static void save_key(struct world *world, struct journal *journal, uint32_t db, uint32_t key) {
    char text[24];
    struct slice name = key_name(key, text), value = slice_of_cstr(world->live.value[db][key]);
    if (!value.len) return;
    /* Type byte, key, value, as rdb_write_entry would write a string. */
    char type = 0;
    buf_append(&journal->rdb, &type, 1);
    dump_write_string(&journal->rdb, name, false);
    dump_write_string(&journal->rdb, value, false);
}

static void add_frontier(struct journal *journal, uint64_t n) {
    char text[FRONTIER_TEXT_MAX];
    struct frontier frontier = {.db = journal->walk_db, .position = journal->position[journal->walk_db], .n = n};
    rdb_write_aux(&journal->rdb, SLICE(FRONTIER_AUX), slice_of(text, frontier_write(text, &frontier)));
}

/* One slice: some way on, and the keys in it as they are now. */
static void walk(struct world *world, uint32_t shard, uint64_t n) {
    struct journal *journal = &world->journals[shard];
    if (journal->walk_db == DBS) return;
    uint32_t db = journal->walk_db;
    uint64_t from = journal->position[db], to = from + pick(world, FRONTIER_DONE / 2);
    to = MIN(to, FRONTIER_DONE);
    rdb_write_database(&journal->rdb, db, 0, 0);
    for (uint32_t key = 0; key < KEYS; key++) {
        uint64_t place = place_of(world, key);
        if (owner(world, key) == shard && place >= from && place < to) save_key(world, journal, db, key);
    }
    if (to == from) return;
    journal->position[db] = to;
    add_frontier(journal, n);
    if (to == FRONTIER_DONE) journal->walk_db++;
}

static void begin_checkpoint(struct world *world) {
    world->walking = true;
    world->seed = (struct hash_seed){prng_next(&world->prng), prng_next(&world->prng)};
    uint64_t cut[SHARDS];
    for (uint32_t shard = 0; shard < world->shards; shard++) {
        struct journal *journal = &world->journals[shard];
        char text[FRONTIER_TEXT_MAX];
        world->walking = false;
        end_batch(world, shard);
        world->walking = true;
        rotate(world, shard);
        cut[shard] = journal->segment;
        journal->rdb.len = 0;
        journal->walk_db = 0;
        memset(journal->position, 0, sizeof journal->position);
        rdb_write_header(&journal->rdb);
        rdb_write_aux(&journal->rdb, SLICE(FRONTIER_AUX_SEED), slice_of(text, frontier_write_seed(text, &world->seed)));
        rdb_write_aux(&journal->rdb, SLICE(FRONTIER_AUX_SHARD),
                      slice_of(text, frontier_write_shard(text, shard, world->shards)));
        struct manifest_generation *generation = &world->manifest.generations[world->manifest.generation_count - 1];
        generation->ranges[shard].first_segment = cut[shard];
        generation->ranges[shard].first_seq = journal->seq;
    }
}

static bool walk_is_over(const struct world *world) {
    for (uint32_t shard = 0; shard < world->shards; shard++)
        if (world->journals[shard].walk_db < DBS) return false;
    return true;
}

static void publish_checkpoint(struct world *world) {
    struct manifest_checkpoint *checkpoint = &world->manifest.checkpoint;
    uint64_t number = world->next++;
    *checkpoint = (struct manifest_checkpoint){.number = number, .boot = world->boot, .shards = world->shards};
    world->walking = false;
    for (uint32_t shard = 0; shard < world->shards; shard++) {
        struct journal *journal = &world->journals[shard];
        char name[DATADIR_NAME_MAX];
        end_batch(world, shard);
        world->safe_seq[shard] = journal->seq - 1; /* all that the checkpoint can have seen is durable */
        journal->safe = journal->file.len;
        uint64_t crc = crc64(0, journal->rdb.data, journal->rdb.len);
        rdb_write_end(&journal->rdb, crc);
        memcpy(&crc, journal->rdb.data + journal->rdb.len - 8, 8);
        datadir_checkpoint_name(name, shard, number);
        write_file(world, name, journal->rdb.data, journal->rdb.len);
        checkpoint->files[shard] = (struct manifest_file){
            .bytes = journal->rdb.len, .crc64 = crc, .last = journal->seq - 1, .seed = world->seed};
    }
    while (world->manifest.generation_count > 1) manifest_remove_generation(&world->manifest, 0);
    world->manifest.next = world->next;
}

/* --- a generation --- */

static void save_manifest(struct world *world) {
    struct datadir dir;
    struct error error;
    assert_int_equal(datadir_open(&dir, world->path, &error), ST_OK);
    assert_int_equal(manifest_save(&world->manifest, &dir, &error), ST_OK);
    datadir_close(&dir);
}

static void begin_generation(struct world *world, uint64_t first_segment) {
    world->op_count = 0;
    world->start = world->live;
    for (uint32_t shard = 0; shard < world->shards; shard++) {
        struct journal *journal = &world->journals[shard];
        journal->db = journal->begin_db = 0;
        journal->seq = 1;
        journal->segment = first_segment;
        journal->pending.len = 0;
        world->safe_seq[shard] = 0;
        begin_segment(world, shard);
    }
}

static void play(struct world *world) {
    uint32_t checkpoint_at = (uint32_t)pick(world, 2 * OPS);
    bool checkpointed = false;
    while (world->op_count < OPS) {
        if (world->op_count == checkpoint_at && !checkpointed) {
            begin_checkpoint(world);
            checkpointed = true;
        }
        make_op(world);
        if (world->walking && walk_is_over(world)) publish_checkpoint(world);
        if (!world->walking && pick(world, OPS) == 0) break;
    }
    for (unsigned i = 0; world->walking; i = (i + 1) % world->shards) {
        end_batch(world, i);
        if (walk_is_over(world)) publish_checkpoint(world);
    }
}

/* The end of the file is torn off behind what is safe, and perhaps zeros follow, or bytes of something else. */
static uint64_t tear(struct world *world, uint32_t shard) {
    struct journal *journal = &world->journals[shard];
    uint64_t len = journal->file.len, whole = 0;
    if (pick(world, 2) == 0 && len > journal->safe) len = journal->safe + pick(world, len - journal->safe + 1);
    struct segment_header header;
    size_t at = segment_header_read(slice_of(journal->file.data, len), &header);
    whole = header.first_batch - 1;
    if (at == 0) { /* not even the header: as if it was not there */
        journal->file.len = 0;
        whole = journal->seq; /* set below */
    }
    uint64_t survived = at ? whole : 0;
    for (; at && at + BATCH_LINE <= len;) {
        struct batch_header batch;
        uint32_t crc;
        assert_true(batch_line_read(journal->file.data + at, segment_seed(world->boot, shard), &batch, &crc));
        at += BATCH_LINE + batch.payload;
        if (at <= len) survived = batch.seq;
    }
    if (at) journal->file.len = len;
    uint64_t zeros = pick(world, 3) * 5000;
    for (uint64_t i = 0; i < zeros; i++) buf_append(&journal->file, "", 1);
    save_segment(world, shard);
    return at ? survived : UINT64_MAX;
}

static bool is_before(struct position a, struct position b) {
    return a.seq != b.seq ? a.seq < b.seq : a.offset < b.offset;
}

/* What is left after the crash, into live. */
static void crash(struct world *world) {
    struct position limit[SHARDS];
    for (uint32_t shard = 0; shard < world->shards; shard++) {
        uint64_t first_here;
        struct segment_header header;
        struct journal *journal = &world->journals[shard];
        (void)segment_header_read(slice_of(journal->file.data, journal->file.len), &header);
        first_here = header.first_batch;
        uint64_t survived = tear(world, shard);
        limit[shard] = (struct position){(survived == UINT64_MAX ? first_here - 1 : survived) + 1, 0};
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < world->op_count; i++) {
            const struct op *op = &world->ops[i];
            bool lost = false;
            for (uint32_t s = 0; s < world->shards; s++)
                if (op->participants & 1ull << s && !is_before(op->at[s], limit[s])) lost = true;
            for (uint32_t s = 0; lost && s < world->shards; s++) {
                if (!(op->participants & 1ull << s) || !is_before(op->at[s], limit[s])) continue;
                limit[s] = op->at[s];
                changed = true;
            }
        }
    }
    world->live = world->start;
    for (uint32_t i = 0; i < world->op_count; i++) {
        const struct op *op = &world->ops[i];
        uint32_t any = (uint32_t)__builtin_ctzll(op->participants);
        if (!is_before(op->at[any], limit[any])) continue;
        for (uint32_t e = 0; e < op->count; e++) apply(&world->live, &op->effects[e]);
    }
}

/* --- recovering --- */

static uint64_t check_state(struct sim *sim, const struct state *expected) {
    uint64_t all = 0; /* keys there are */
    for (uint32_t db = 0; db < DBS; db++) {
        uint64_t count = 0, there = 0;
        for (uint32_t key = 0; key < KEYS; key++) {
            char text[24], scratch[ENTRY_SCRATCH];
            struct slice name = key_name(key, text), wanted = slice_of_cstr(expected->value[db][key]);
            struct shard *shard = sim_shard(sim, shard_of_slot(hash_slot(name), sim_shard(sim, 0)->count));
            struct key_ref ref;
            struct entry *entry = keyspace_open(shard_db(shard, db), name, key_hash(&shard->shared, name), &ref);
            struct slice got = entry ? entry_string(entry, scratch) : slice_of("", 0);
            if (!slice_equal(got, wanted))
                fail_msg("db %u key %u: '%.*s' and not '%s'", db, key, (int)got.len, got.ptr, wanted.ptr);
            count += wanted.len > 0;
        }
        for (uint32_t s = 0; s < sim_shard(sim, 0)->count; s++)
            there += keyspace_count(shard_db(sim_shard(sim, s), db));
        assert_int_equal(there, count);
        all += count;
    }
    return all;
}

struct run {
    struct sim *sim;
    struct datadir dir;
    struct recovery *recovery;
    enum recovery_state state;
};

static void run_recovery(struct run *run, const struct recovery_options *changes, const char *path, struct prng *prng) {
    struct error error = {0};
    struct recovery_options options = *changes;
    uint32_t shards = options.threads;
    run->sim = sim_new(
        &(struct sim_options){.shards = shards, .mailbox_capacity = 16, .db_count = DBS, .seed = prng_next(prng)});
    assert_int_equal(datadir_open(&run->dir, path, &error), ST_OK);
    options.dir = &run->dir;
    options.clock = clock_system();
    options.log = sim_shard(run->sim, 0)->log;
    if (recovery_open(&run->recovery, &options, &error) != ST_OK) fail_msg("%s", error.text);
    uint32_t done = 0;
    uint64_t over = 0;
    for (uint64_t turns = 0; done < shards; turns++) {
        uint32_t id = (uint32_t)prng_below(prng, shards);
        if (over & 1ull << id) continue;
        assert_true(turns < 1000000);
        assert_set_shard((int)id);
        struct shard *shard = sim_shard(run->sim, id);
        shard->loading = true;
        enum recovery_state state = recovery_slice(run->recovery, id, shard, prng_below(prng, 2) * 100000);
        if (state == RECOVERY_DONE || state == RECOVERY_FAILED) {
            run->state = state;
            shard->loading = false;
            over |= 1ull << id;
            done++;
        }
        assert_set_shard(-1);
    }
}

static void end_run(struct run *run) {
    recovery_close(run->recovery);
    datadir_close(&run->dir);
    sim_delete(run->sim);
}

static void recover(struct world *world, uint32_t shards) {
    struct run run;
    uint64_t boot = 1 + prng_next(&world->prng) % 0xFFFFFFF;
    run_recovery(&run, &(struct recovery_options){.threads = shards, .journal = true, .boot = boot}, world->path,
                 &world->prng);
    if (run.state != RECOVERY_DONE) fail_msg("%s", recovery_error(run.recovery)->text);
    const struct recovery_result *result = recovery_result(run.recovery);
    assert_int_equal(result->keys_held, check_state(run.sim, &world->live));
    assert_int_equal(result->damages, 0);
    world->shards = shards;
    world->boot = boot;
    uint64_t first = result->first_segment;
    manifest_deinit(&world->manifest);
    recovery_take_manifest(run.recovery, &world->manifest);
    manifest_check(&world->manifest);
    world->next = world->manifest.next;
    end_run(&run);
    begin_generation(world, first);
}

/* --- worlds --- */

static struct world *new_world(uint64_t seed) {
    struct world *world = calloc(1, sizeof *world);
    prng_init(&world->prng, seed);
    world->heap = heap_new();
    strcpy(world->path, "/tmp/sherd-recover-XXXXXX");
    assert_non_null(mkdtemp(world->path));
    for (uint32_t i = 0; i < SHARDS; i++) {
        buf_init(&world->journals[i].pending, world->heap, MEM_STATS);
        buf_init(&world->journals[i].file, world->heap, MEM_STATS);
        buf_init(&world->journals[i].rdb, world->heap, MEM_STATS);
    }
    manifest_init(&world->manifest);
    return world;
}

static void delete_world(struct world *world) {
    char command[160];
    snprintf(command, sizeof command, "rm -r %s", world->path);
    assert_int_equal(system(command), 0);
    for (uint32_t i = 0; i < SHARDS; i++) {
        buf_deinit(&world->journals[i].pending);
        buf_deinit(&world->journals[i].file);
        buf_deinit(&world->journals[i].rdb);
    }
    manifest_deinit(&world->manifest);
    heap_delete(world->heap);
    free(world);
}
