/* A bench for checkpoints: simulated shards that each have a member of the checkpoints, a disk and a journal.
 *
 *    disk       operations wait in a list and complete one by one, at random; it may be full, or hold syncs back
 *    journal    a list of batches, with the segment each is in; a cut closes the batch and begins a segment
 *
 * Thread    the test's. bench_open to bench_close; the directory is made anew for each and removed at the end. Included
 * as text by tests of persist. */
#include "persist/checkpoints.h"
#include "persist/spool.h"
#include "shards/request.h"
#include "tests/support/chatter.c"
#include "tests/support/machine.c"
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define OPS_MAX 16
#define BUFFER  (2 * SPOOL_BLOCK)

static const struct command *const tables[] = {chatter_commands, NULL};

/* --- a disk --- */

struct op {
    int fd;
    const void *bytes;
    size_t len;
    uint64_t offset;
    disk_done done;
    void *owner;
    disk_work work;
    void *into; /* of a read; without work, bytes and this: a sync */
};

struct bench;

struct batch {
    uint64_t seq, segment;
    uint32_t db;
    struct buf bytes;
};

/* One shard's persistence. */
struct place {
    struct bench *bench;
    struct shard *shard;
    struct checkpoints_member *member;
    struct op ops[OPS_MAX];
    uint32_t op_count;
    uint32_t jobs_left; /* that may be done while the end is held */
    struct batch *batches;
    uint32_t batch_count, batch_cap;
    uint64_t batch, durable, segment;
    uint32_t db; /* selected at the end of what was taken */
};

struct bench {
    struct sim *sim;
    struct prng prng;
    uint32_t shards;
    uint64_t seed;
    bool appendonly;
    uint64_t fails_in; /* writes until the disk is full; 0: never */
    bool slow_disk, holds_end;
    bool works;             /* commands that keep their keys are under way, as far as is told */
    uint64_t journal_bytes; /* of each shard, as far as is told */
    struct chatter chatter;
    struct peer *filler, *peers[3];
    bool filling; /* else emptying */
    struct place places[SIM_SHARDS_MAX];
    struct datadir dir;
    struct manifest manifest;
    struct checkpoints *checkpoints;
    uint64_t held, watched[TYPE_COUNT]; /* turns with large values in hand, and with one that may change */
};

static uint64_t roll(struct bench *bench, uint64_t n) {
    return prng_below(&bench->prng, n);
}

static void add_op(struct place *place, struct op op) {
    assert_true(place->op_count < OPS_MAX);
    place->ops[place->op_count++] = op;
}

static void disk_write(void *ctx, int fd, const void *bytes, size_t len, uint64_t offset, bool durable, disk_done done,
                       void *owner) {
    (void)durable;
    assert_true(len > 0);
    add_op(ctx, (struct op){.fd = fd, .bytes = bytes, .len = len, .offset = offset, .done = done, .owner = owner});
}

static void disk_read(void *ctx, int fd, void *bytes, size_t len, uint64_t offset, disk_done done, void *owner) {
    add_op(ctx, (struct op){.fd = fd, .into = bytes, .len = len, .offset = offset, .done = done, .owner = owner});
}

static void disk_sync(void *ctx, int fd, disk_done done, void *owner) {
    add_op(ctx, (struct op){.fd = fd, .done = done, .owner = owner});
}

static void disk_job(void *ctx, disk_work work, void *job, disk_done done) {
    add_op(ctx, (struct op){.fd = -1, .done = done, .owner = job, .work = work});
}

static int64_t carry_out(struct place *place, const struct op *op) {
    struct bench *bench = place->bench;
    if (op->work) return op->work(op->owner);
    if (op->into) return pread(op->fd, op->into, op->len, (off_t)op->offset);
    if (!op->bytes) return 0;
    if (bench->fails_in && --bench->fails_in == 0) return -ENOSPC;
    return pwrite(op->fd, op->bytes, op->len, (off_t)op->offset);
}

/* A checkpoint cannot end as long as its files cannot be closed. */
static void hold_end(struct bench *bench, bool hold) {
    bench->holds_end = hold;
    for (uint32_t i = 0; i < bench->shards; i++) bench->places[i].jobs_left = 1; /* to open them */
}

/* In any order, at any time. */
static void serve_disk(struct place *place) {
    if (place->op_count == 0 || (place->bench->slow_disk && roll(place->bench, 8))) return;
    uint32_t i = (uint32_t)roll(place->bench, place->op_count);
    struct op op = place->ops[i];
    if (op.work && place->bench->holds_end && place->jobs_left == 0) return;
    if (op.work && place->jobs_left > 0) place->jobs_left--;
    place->ops[i] = place->ops[--place->op_count];
    int64_t result = carry_out(place, &op);
    op.done(op.owner, result);
}

/* --- a journal --- */

static void end_batch(struct place *place) {
    struct shard *shard = place->shard;
    struct buf bytes;
    uint32_t db;
    buf_init(&bytes, shard->heap, MEM_MESSAGE);
    effects_take(&shard->effects, &bytes, &db);
    assert_int_equal(db, place->db);
    place->db = shard->effects.db;
    if (buf_readable(&bytes) > 0) {
        if (place->batch_count == place->batch_cap) {
            place->batch_cap = MAX(64u, place->batch_cap * 2);
            place->batches = realloc(place->batches, place->batch_cap * sizeof *place->batches);
        }
        place->batches[place->batch_count++] =
            (struct batch){.seq = ++place->batch, .segment = place->segment, .db = db, .bytes = bytes};
    } else {
        buf_deinit(&bytes);
    }
}

static struct checkpoint_cut journal_cut_here(void *ctx, const struct checkpoint_cut_order *order) {
    struct place *place = ctx;
    struct bench *bench = place->bench;
    end_batch(place);
    if (order->kind == CUT_BEGIN) {
        place->segment++;
        place->shard->effects.on = true;
    } else if (!bench->appendonly) {
        place->shard->effects.on = false;
    }
    return (struct checkpoint_cut){place->batch, place->segment, bench->appendonly, 0};
}

static void journal_drop(void *ctx, uint64_t segment) {
    struct place *place = ctx;
    uint32_t dropped = 0;
    while (dropped < place->batch_count && place->batches[dropped].segment < segment)
        buf_deinit(&place->batches[dropped++].bytes);
    if (dropped == 0) return;
    memmove(place->batches, place->batches + dropped, (place->batch_count - dropped) * sizeof *place->batches);
    place->batch_count -= dropped;
}

static void journal_leave(void *ctx) {
    (void)ctx;
}

static void journal_gave_up(void *ctx) {
    struct place *place = ctx;
    if (!place->bench->appendonly) place->shard->effects.on = false;
}

/* --- the turn's end --- */

static bool turn_end(void *ctx, struct shard *shard) {
    struct bench *bench = ctx;
    struct place *place = &bench->places[shard->id];
    if (!place->member) return false;
    end_batch(place);
    serve_disk(place);
    if (roll(bench, 2)) place->durable += roll(bench, place->batch - place->durable + 1);
    struct checkpoints_turn turn = {.now_ns = shard->now_ns,
                                    .batch = place->batch,
                                    .batch_durable = place->durable,
                                    .journal_bytes = bench->journal_bytes,
                                    .busy = roll(bench, 2),
                                    .works = bench->works};
    bool more = checkpoints_turn(place->member, &turn);
    bench->held += shard->shared.pin_count > 0;
    if (shard->shared.pin_watch) bench->watched[shard->shared.pin_watch->entry->type]++;
    return more || place->op_count > 0 || checkpoints_wait_ns(place->member, shard->now_ns) < 1000000000;
}

/* --- birth and death --- */

static char dir_path[64];

static void remove_dir(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir_path);
    assert_int_equal(system(command), 0);
}

static void join(struct bench *bench, uint32_t id) {
    struct place *place = &bench->places[id];
    *place = (struct place){.bench = bench, .shard = sim_shard(bench->sim, id)};
    struct disk disk = {.ctx = place, .write = disk_write, .read = disk_read, .sync = disk_sync, .job = disk_job};
    struct checkpoints_member_options options = {
        .file = {.shard = place->shard,
                 .disk = disk,
                 .dir = &bench->dir,
                 .redis_version = "7.2.4",
                 .buffer_bytes = BUFFER,
                 .slice_us = 200,
                 .slice_bytes = 1 + roll(bench, 300),
                 .stretch_keys = 1 + (uint32_t)roll(bench, 20)},
        .journal = {place, journal_cut_here, journal_drop, journal_leave, journal_gave_up}};
    place->member = checkpoints_join(bench->checkpoints, &options);
    place->shard->effects.on = bench->appendonly;
}

static void bench_open(struct bench *bench, uint64_t seed, uint32_t shards) {
    struct error error;
    *bench = (struct bench){.seed = seed};
    prng_init(&bench->prng, seed);
    bench->shards = shards ? shards : 1 + (uint32_t)roll(bench, 4);
    bench->appendonly = roll(bench, 3) > 0;
    bench->slow_disk = roll(bench, 2);
    bench->sim = sim_new(&(struct sim_options){
        .shards = bench->shards, .mailbox_capacity = 8, .db_count = CHATTER_DBS, .seed = seed, .tables = tables});
    snprintf(dir_path, sizeof dir_path, "/tmp/sherd-checkpoint-XXXXXX");
    assert_non_null(mkdtemp(dir_path));
    assert_int_equal(datadir_open(&bench->dir, dir_path, &error), ST_OK);
    manifest_init(&bench->manifest);
    bench->checkpoints = checkpoints_new(&(struct checkpoints_options){.shards = bench->shards,
                                                                       .boot = 77,
                                                                       .dir = &bench->dir,
                                                                       .manifest = &bench->manifest,
                                                                       .log = &bench->sim->log,
                                                                       .now_ms = sim_now_ms(bench->sim)});
    bench->sim->config.save.count = 0; /* only when asked */
    for (uint32_t i = 0; i < bench->shards; i++) join(bench, i);
    sim_set_turn_end(bench->sim, turn_end, bench);
    chatter_init(&bench->chatter, bench->sim, seed);
    bench->chatter.rare = 1500;
    bench->filler = sim_connect(bench->sim, (uint32_t)roll(bench, bench->shards));
    bench->filling = true;
    for (size_t i = 0; i < ARRAY_LEN(bench->peers); i++)
        bench->peers[i] = sim_connect(bench->sim, (uint32_t)roll(bench, bench->shards));
}

static bool all_idle_at_disk(const struct bench *bench) {
    for (uint32_t i = 0; i < bench->shards; i++)
        if (!checkpoints_idle(bench->places[i].member) || bench->places[i].op_count > 0) return false;
    return true;
}

static void bench_close(struct bench *bench) {
    for (uint32_t i = 0; i < bench->shards; i++) checkpoints_stop(bench->places[i].member);
    for (unsigned i = 0; i < 100000 && !all_idle_at_disk(bench); i++) sim_step(bench->sim);
    assert_true(all_idle_at_disk(bench));
    sim_set_turn_end(bench->sim, NULL, NULL);
    for (uint32_t i = 0; i < bench->shards; i++) {
        struct place *place = &bench->places[i];
        checkpoints_leave(place->member);
        assert_null(place->shard->shared.pins);
        end_batch(place);
        journal_drop(place, UINT64_MAX);
        free(place->batches);
        place->shard->effects.on = false;
    }
    checkpoints_delete(bench->checkpoints);
    manifest_deinit(&bench->manifest);
    datadir_close(&bench->dir);
    sim_delete(bench->sim);
    remove_dir();
}
