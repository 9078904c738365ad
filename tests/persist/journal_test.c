/* Journal: after a power cut at any moment, all batches that were reported durable are there, in order, and nothing but
 * a prefix of what was written; whatever the disk does in between: completions in any order, torn and lost writes,
 * syncs that fail, a full disk. Afterwards the journal goes on and in the end has everything, in files that Redis
 * accepts.
 *
 * The rounds are random. A failure prints its seed: SHERD_SEED=... repeats it, SHERD_ROUNDS=... plays more. */
#include "core/prng.h"
#include "persist/datadir.h"
#include "persist/journal.h"
#include "persist/segment.h"
#include "shards/effect.h"
#include "tests/support/fake_disk.h"
#include "tests/support/seed.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MS          ((uint64_t)1000000)
#define BATCHES_MAX 2000
#define CUTS_MAX    64
#define SHARD       3
#define BOOT        0xb007ull

/* What the shard's effects were, batch by batch. */
struct written {
    char *payload;
    size_t len;
    uint32_t db;
    uint64_t position;
};

struct fixture {
    char dir[64], crash_dir[80];
    struct heap *heap;
    struct effects effects;
    struct fake_disk *disk;
    struct journal *journal;
    struct log log;
    struct prng prng;
    uint64_t now_ns, first_batch, first_segment, segment_bytes;
    enum config_appendfsync fsync;
    bool write_through;
    struct written batches[BATCHES_MAX];
    uint32_t count;
    struct {
        uint64_t segment, batch; /* the last batch before it */
    } cuts[CUTS_MAX];
    uint32_t cut_count;
    uint64_t base_segment, base_batch; /* nothing before these is needed */
    uint64_t durable;                  /* as reported */
    uint32_t crashes;
};

/* --- set up --- */

static void log_nothing(void *ctx, const char *line, size_t len) {
    (void)ctx;
    if (getenv("SHERD_LOG")) fwrite(line, 1, len, stderr);
}

static void remove_files(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) return;
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

static void start(struct fixture *f, uint64_t seed) {
    memset(f, 0, sizeof *f);
    /* Memory, if there is a file system in it: a round creates many files and syncs them. */
    snprintf(f->dir, sizeof f->dir, "%s/sherd-journal-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->crash_dir, sizeof f->crash_dir, "%s/.crash", f->dir);
    assert_int_equal(mkdir(f->crash_dir, 0700), 0);
    prng_init(&f->prng, seed);
    f->heap = heap_new();
    effects_init(&f->effects, f->heap);
    f->effects.position = prng_below(&f->prng, 1000);
    f->disk = fake_disk_new(f->dir, prng_next(&f->prng));
    log_init(&f->log, log_nothing, NULL, clock_system(), LOG_LEVEL_DEBUG, 'M');
    f->now_ns = 1000 * MS + prng_below(&f->prng, 1000 * MS);
    f->first_batch = 1 + prng_below(&f->prng, 2) * prng_below(&f->prng, 1000000);
    f->first_segment = f->base_segment = 1 + prng_below(&f->prng, 100);
    f->base_batch = f->durable = f->first_batch - 1;
    f->segment_bytes = (uint64_t)16384 << prng_below(&f->prng, 6);
    f->fsync = (enum config_appendfsync)prng_below(&f->prng, 3);
    f->write_through = prng_below(&f->prng, 2);
}

static void open_journal(struct fixture *f) {
    struct journal_options options = {
        .dir = f->dir,
        .shard = SHARD,
        .shards = SHARD + 2,
        .boot = BOOT,
        .first_segment = f->first_segment,
        .first_batch = f->first_batch,
        .heap = f->heap,
        .effects = &f->effects,
        .disk = fake_disk_port(f->disk),
        .log = &f->log,
        .segment_bytes = f->segment_bytes,
        .write_through = f->write_through,
    };
    struct error error = {0};
    assert_int_equal(journal_open(&f->journal, &options, &error), ST_OK);
    assert_true(f->effects.on);
}

static void stop(struct fixture *f) {
    journal_close(f->journal);
    assert_false(f->effects.on);
    effects_deinit(&f->effects); /* has a buffer of the journal's */
    assert_true(heap_used(f->heap, MEM_JOURNAL) == 0);
    fake_disk_delete(f->disk);
    for (uint32_t i = 0; i < f->count; i++) free(f->batches[i].payload);
    heap_delete(f->heap);
    remove_files(f->crash_dir);
    rmdir(f->crash_dir);
    remove_files(f->dir);
    assert_int_equal(rmdir(f->dir), 0);
}

/* --- what the shard does --- */

static size_t random_size(struct prng *prng) {
    uint64_t kind = prng_below(prng, 100);
    if (kind < 85) return prng_below(prng, 200);
    if (kind < 97) return prng_below(prng, 9000);
    if (kind < 99) return prng_below(prng, 100000);
    return prng_below(prng, 1000000);
}

/* One group: a SET with so many bytes. */
static void add_effect(struct fixture *f, size_t bytes) {
    struct buf *out = &f->effects.bytes;
    uint32_t db = (uint32_t)prng_below(&f->prng, 3) ? f->effects.db : (uint32_t)prng_below(&f->prng, 16);
    if (db != f->effects.db) buf_printf(out, "*2\r\n$6\r\nSELECT\r\n$%d\r\n%u\r\n", db > 9 ? 2 : 1, db);
    f->effects.db = db;
    buf_printf(out, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%zu\r\n", bytes);
    char *value = buf_reserve(out, bytes);
    for (size_t i = 0; i < bytes; i++) value[i] = "#B *\r\n$0"[prng_next(&f->prng) & 7];
    out->len += bytes;
    buf_append_literal(out, "\r\n");
    f->effects.position++;
}

static void check_status(struct fixture *f) {
    struct journal_status status;
    journal_read_status(f->journal, &status);
    assert_true(status.batch_written == f->first_batch - 1 + f->count);
    assert_true(status.position_written == f->effects.position);
    assert_true(status.batch_durable >= f->durable && status.batch_durable <= status.batch_written);
    f->durable = status.batch_durable;
    if (f->durable >= f->first_batch)
        assert_true(status.position_durable == f->batches[f->durable - f->first_batch].position);
    if (f->durable == status.batch_written) assert_true(status.oldest_pending_ns == 0);
    if (status.bytes_pending == 0) assert_true(status.oldest_pending_ns == 0);
}

static void turn(struct fixture *f) {
    struct slice payload = buf_slice(&f->effects.bytes);
    if (payload.len) {
        assert_true(f->count < BATCHES_MAX);
        struct written *batch = &f->batches[f->count++];
        *batch = (struct written){malloc(payload.len), payload.len, f->effects.begin_db, f->effects.position};
        assert_non_null(batch->payload);
        memcpy(batch->payload, payload.ptr, payload.len);
    }
    uint64_t latest = journal_turn(f->journal, f->now_ns, f->fsync);
    assert_true(latest == f->first_batch - 1 + f->count);
    assert_true(buf_readable(&f->effects.bytes) == 0);
    check_status(f);
    /* Whatever can be begun was begun: only a completion or time makes more of it, or the thread would spin. */
    assert_true(journal_wait_ns(f->journal, f->now_ns) > 0);
}

static void cut(struct fixture *f) {
    if (f->cut_count == CUTS_MAX || buf_readable(&f->effects.bytes)) return;
    uint64_t segment = journal_cut(f->journal);
    f->cuts[f->cut_count].segment = segment;
    f->cuts[f->cut_count++].batch = f->first_batch - 1 + f->count;
    struct journal_status status;
    journal_read_status(f->journal, &status);
    assert_true(status.segment == segment && status.bytes_since_cut == 0);
}

/* As a checkpoint does that began at a cut: when what is before it is durable, segments before it are not needed. */
static void drop(struct fixture *f) {
    if (f->cut_count == 0) return;
    uint32_t i = (uint32_t)prng_below(&f->prng, f->cut_count);
    if (f->cuts[i].batch > f->durable || f->cuts[i].segment < f->base_segment) return;
    f->base_segment = f->cuts[i].segment;
    f->base_batch = f->cuts[i].batch;
    journal_drop_before(f->journal, f->base_segment);
}

/* --- what recovery does --- */

struct reading {
    struct fixture *f;
    const char *dir;
    uint64_t last; /* batch */
    enum segment_end end;
    uint32_t segments;
};

static void check_batch(const struct reading *r, const struct batch_header *batch, struct slice payload) {
    const struct fixture *f = r->f;
    assert_true(batch->seq >= f->first_batch && batch->seq < f->first_batch + f->count);
    const struct written *want = &f->batches[batch->seq - f->first_batch];
    assert_int_equal(payload.len, want->len);
    assert_memory_equal(payload.ptr, want->payload, want->len);
    assert_int_equal(batch->db, want->db);
    assert_true(batch->durable < batch->seq);
}

/* False: there is no such segment. */
static bool read_segment(struct reading *r, uint64_t number) {
    char name[DATADIR_NAME_MAX], path[200];
    datadir_segment_name(name, SHARD, number);
    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    struct segment_reader *reader;
    struct segment_header header;
    struct error error = {0};
    enum status status = segment_open(&reader, path, &header, &error);
    if (status == ST_NOT_FOUND) return error.os_errno == 0; /* prepared */
    assert_int_equal(status, ST_OK);
    assert_true(header.boot == BOOT && header.shard == SHARD && header.shards == SHARD + 2);
    assert_true(header.first_batch <= r->last + 1 && header.durable <= r->last);
    struct batch_header batch;
    struct slice payload;
    while ((r->end = segment_next(reader, &batch, &payload)) == SEGMENT_MORE) {
        check_batch(r, &batch, payload);
        assert_true(batch.seq <= r->last + 1);
        r->last = MAX(r->last, batch.seq);
    }
    segment_close(reader);
    r->segments++;
    return true;
}

static void read_back(struct reading *r) {
    r->last = r->f->base_batch;
    uint64_t number = r->f->base_segment;
    while (read_segment(r, number)) {
        assert_int_not_equal(r->end, SEGMENT_DAMAGED);
        number++;
    }
}

static void crash(struct fixture *f) {
    remove_files(f->crash_dir);
    fake_disk_crash(f->disk, f->crash_dir);
    struct reading r = {.f = f, .dir = f->crash_dir};
    read_back(&r);
    if (r.last < f->durable) fail_msg("batch %" PRIu64 " was durable, %" PRIu64 " is there", f->durable, r.last);
    f->crashes++;
}

static void redis_checks(const struct fixture *f, uint64_t segment) {
    if (access("/usr/bin/redis-check-aof", X_OK) != 0) return;
    char name[DATADIR_NAME_MAX], command[300];
    datadir_segment_name(name, SHARD, segment);
    snprintf(command, sizeof command, "/usr/bin/redis-check-aof %s/%s >/dev/null 2>&1", f->dir, name);
    assert_int_equal(system(command), 0);
}

static uint32_t count_files(const char *path) {
    uint32_t count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* --- rounds --- */

/* Turns and completions until everything is durable and nothing is under way. */
static void settle(struct fixture *f) {
    journal_flush(f->journal);
    for (int i = 0; f->durable < f->first_batch - 1 + f->count; i++) {
        assert_true(i < 100000);
        while (fake_disk_step(f->disk)) continue;
        uint64_t wait = journal_wait_ns(f->journal, f->now_ns);
        if (wait != UINT64_MAX) f->now_ns += wait;
        turn(f);
    }
    do {
        while (fake_disk_step(f->disk)) continue;
        turn(f);
    } while (!journal_idle(f->journal));
}

static void pass_time(struct fixture *f) {
    uint64_t kind = prng_below(&f->prng, 20);
    f->now_ns += kind < 10 ? prng_below(&f->prng, MS) : kind < 19 ? prng_below(&f->prng, 20 * MS) : 1100 * MS;
}

static void toggle_faults(struct fixture *f) {
    static const int errors[] = {EIO, ENOSPC};
    bool off = prng_below(&f->prng, 3) == 0;
    fake_disk_fail(f->disk, (unsigned)prng_below(&f->prng, 8), errors[prng_below(&f->prng, 2)],
                   off ? 0 : (unsigned)prng_below(&f->prng, 1001));
}

static void act(struct fixture *f, bool faults) {
    switch (prng_below(&f->prng, 40)) {
    case 0: cut(f); break;
    case 1: drop(f); break;
    case 2: journal_flush(f->journal); break;
    case 3: f->fsync = (enum config_appendfsync)prng_below(&f->prng, 3); break;
    case 4:
        if (faults) toggle_faults(f);
        break;
    case 5: crash(f); break;
    default: break;
    }
    for (uint64_t n = prng_below(&f->prng, 4); n > 0; n--) add_effect(f, random_size(&f->prng));
    pass_time(f);
    turn(f);
    for (uint64_t n = prng_below(&f->prng, prng_below(&f->prng, 10) ? 6 : 40); n > 0; n--)
        if (!fake_disk_step(f->disk)) break;
}

/* How often the power was cut. */
static uint32_t play(uint64_t seed, bool faults) {
    static struct fixture f;
    start(&f, seed);
    open_journal(&f);
    for (uint64_t n = 20 + prng_below(&f.prng, 400); n > 0; n--) act(&f, faults);
    fake_disk_fail(f.disk, 0, 0, 0);
    settle(&f);
    journal_drop_before(f.journal, f.base_segment);
    crash(&f);
    settle(&f);
    struct journal_status status;
    journal_read_status(f.journal, &status);
    assert_int_equal(status.error, 0);
    assert_true(status.bytes_pending == 0 || !f.count);
    journal_close(f.journal);
    struct reading r = {.f = &f, .dir = f.dir};
    read_back(&r);
    assert_true(r.last == f.first_batch - 1 + f.count);
    if (r.segments) assert_int_equal(r.end, SEGMENT_SEALED);
    if (r.segments) redis_checks(&f, f.base_segment + r.segments - 1);
    if (!faults) { /* else one may not have been cut, or a spare be left */
        if (r.segments) redis_checks(&f, f.base_segment);
        assert_int_equal(count_files(f.dir), r.segments);
    }
    f.first_segment = f.base_segment + r.segments;
    f.first_batch += f.count;
    for (uint32_t i = 0; i < f.count; i++) free(f.batches[i].payload);
    f.count = 0;
    f.effects.begin_db = f.effects.db;
    open_journal(&f); /* the next one begins where this one ended */
    while (fake_disk_step(f.disk)) continue;
    uint32_t crashes = f.crashes;
    stop(&f);
    return crashes;
}

static void rounds(bool faults) {
    const char *text = getenv("SHERD_ROUNDS");
    int count = seed_given() ? 1 : text ? atoi(text) : 10;
    uint64_t seed = seed_or((uint64_t)time(NULL) * 1000), crashes = 0;
    for (int i = 0; i < count; i++) {
        fprintf(stderr, "\rSHERD_SEED=%" PRIu64 " ", seed + (uint64_t)i);
        crashes += play(seed + (uint64_t)i, faults);
    }
    fprintf(stderr, "%d rounds, %" PRIu64 " crashes\n", count, crashes);
}

static void random_rounds(void **state) {
    (void)state;
    rounds(false);
}

static void random_rounds_with_faults(void **state) {
    (void)state;
    rounds(true);
}

/* --- what each policy does, step by step --- */

static void start_on(struct fixture *f, enum config_appendfsync fsync, bool write_through) {
    start(f, 1);
    f->write_through = write_through;
    f->segment_bytes = 1u << 20;
    f->fsync = fsync;
    open_journal(f);
    turn(f);
    while (fake_disk_step(f->disk)) turn(f); /* the first two segments are there */
}

static void start_quiet(struct fixture *f, enum config_appendfsync fsync) {
    start_on(f, fsync, true);
}

static void write_one(struct fixture *f, size_t bytes) {
    add_effect(f, bytes);
    turn(f);
}

static struct journal_status status_of(const struct fixture *f) {
    struct journal_status status;
    journal_read_status(f->journal, &status);
    return status;
}

static void complete_all(struct fixture *f) {
    while (fake_disk_step(f->disk)) continue;
}

static void finish(struct fixture *f) {
    fake_disk_fail(f->disk, 0, 0, 0);
    settle(f);
    stop(f);
}

static void always_is_one_write(void **state) {
    (void)state;
    static struct fixture f;
    start_quiet(&f, APPENDFSYNC_ALWAYS);
    for (int i = 0; i < 10; i++) {
        uint64_t writes = status_of(&f).writes, durable = f.durable;
        write_one(&f, 100);
        assert_true(f.durable == durable);
        assert_true(status_of(&f).writes == writes + 1);
        write_one(&f, 100); /* waits for the first, and for nothing else */
        write_one(&f, 100);
        assert_true(status_of(&f).writes == writes + 1);
        complete_all(&f);
        turn(&f);
        assert_true(status_of(&f).writes == writes + 2);
        complete_all(&f);
        turn(&f);
        assert_true(f.durable == f.first_batch - 1 + f.count && status_of(&f).syncs == 0);
    }
    finish(&f);
}

/* A device with a volatile cache: each write is synced, and what comes meanwhile is the next one, in one piece. */
static void always_syncs_behind_writes(void **state) {
    (void)state;
    static struct fixture f;
    start_on(&f, APPENDFSYNC_ALWAYS, false);
    write_one(&f, 100);
    complete_all(&f);
    turn(&f);
    assert_true(status_of(&f).writes == 1 && status_of(&f).syncs == 1 && f.durable == f.first_batch - 1);
    write_one(&f, 100);
    write_one(&f, 100);
    assert_true(status_of(&f).writes == 1 && status_of(&f).syncs == 1);
    complete_all(&f);
    turn(&f);
    assert_true(f.durable == f.first_batch && status_of(&f).writes == 2 && status_of(&f).syncs == 1);
    write_one(&f, 100); /* shares a page with it */
    complete_all(&f);
    turn(&f);
    assert_true(f.durable == f.first_batch && status_of(&f).writes == 2 && status_of(&f).syncs == 2);
    complete_all(&f);
    turn(&f);
    assert_true(f.durable == f.first_batch + 2 && status_of(&f).writes == 3 && status_of(&f).syncs == 2);
    finish(&f);
}

static void everysec_gathers_and_syncs_once_a_second(void **state) {
    (void)state;
    static struct fixture f;
    start_quiet(&f, APPENDFSYNC_EVERYSEC);
    write_one(&f, 100);
    assert_true(status_of(&f).writes == 0);
    assert_true(journal_wait_ns(f.journal, f.now_ns) == 10 * MS);
    write_one(&f, 300000); /* enough, but for its end */
    assert_true(status_of(&f).writes == 1);
    complete_all(&f);
    assert_true(status_of(&f).bytes_written == 262144);
    turn(&f); /* the first sync is due, as there was none in the last second */
    complete_all(&f);
    turn(&f);
    assert_true(f.durable == f.first_batch && status_of(&f).syncs == 1);
    assert_true(journal_wait_ns(f.journal, f.now_ns) == 10 * MS);
    for (int ms = 0; ms < 3000; ms += 5) {
        f.now_ns += 5 * MS;
        write_one(&f, 10);
        complete_all(&f);
    }
    struct journal_status status = status_of(&f);
    assert_in_range(status.syncs, 3, 4);
    assert_in_range(status.writes, 200, 310);
    assert_in_range(f.now_ns - status.oldest_pending_ns, 0, 1020 * MS);
    finish(&f);
}

static void no_syncs_when_asked(void **state) {
    (void)state;
    static struct fixture f;
    start_quiet(&f, APPENDFSYNC_NO);
    write_one(&f, 70000);
    for (int i = 0; i < 10; i++) {
        complete_all(&f);
        f.now_ns += 1000 * MS;
        turn(&f);
    }
    assert_true(status_of(&f).syncs == 0 && f.durable == f.first_batch - 1);
    assert_true(journal_wait_ns(f.journal, f.now_ns) == UINT64_MAX);
    journal_flush(f.journal);
    assert_true(journal_wait_ns(f.journal, f.now_ns) == 0);
    turn(&f);
    complete_all(&f);
    turn(&f);
    assert_true(status_of(&f).syncs == 1 && f.durable == f.first_batch);
    finish(&f);
}

static void a_full_disk_is_tried_again(void **state) {
    (void)state;
    static struct fixture f;
    start_quiet(&f, APPENDFSYNC_ALWAYS);
    fake_disk_fail(f.disk, FAKE_WRITE | FAKE_JOB, ENOSPC, 1000);
    write_one(&f, 100);
    complete_all(&f);
    uint64_t expect = 100 * MS;
    for (int i = 0; i < 3; i++) { /* later it tries another place */
        assert_int_equal(status_of(&f).error, ENOSPC);
        assert_true(status_of(&f).bytes_pending > 100);
        uint64_t wait = journal_wait_ns(f.journal, f.now_ns);
        assert_true(wait <= expect);
        f.now_ns += expect - 1;
        uint64_t writes = status_of(&f).writes;
        write_one(&f, 100);
        assert_true(status_of(&f).writes == writes); /* not before its time */
        f.now_ns++;
        turn(&f);
        complete_all(&f);
        expect *= 2;
    }
    for (int i = 0; i < 100; i++) {
        uint64_t wait = journal_wait_ns(f.journal, f.now_ns);
        assert_in_range(wait, 1, 5000 * MS);
        f.now_ns += wait;
        turn(&f);
        complete_all(&f);
        assert_int_equal(status_of(&f).error, ENOSPC);
    }
    assert_true(f.durable == f.first_batch - 1);
    fake_disk_fail(f.disk, 0, 0, 0);
    for (int i = 0; i < 3; i++) {
        f.now_ns += 5000 * MS;
        turn(&f);
        complete_all(&f);
    }
    turn(&f);
    assert_true(f.durable == f.first_batch - 1 + f.count && status_of(&f).error == 0);
    finish(&f);
}

static void a_failed_sync_begins_a_new_segment(void **state) {
    (void)state;
    static struct fixture f;
    start_quiet(&f, APPENDFSYNC_ALWAYS);
    write_one(&f, 100);
    complete_all(&f);
    f.fsync = APPENDFSYNC_NO;
    write_one(&f, 70000);
    f.now_ns += 10 * MS;
    turn(&f);
    complete_all(&f);
    turn(&f);
    uint64_t segment = status_of(&f).segment;
    fake_disk_fail(f.disk, FAKE_SYNC, EIO, 1000);
    journal_flush(f.journal);
    turn(&f);
    complete_all(&f);
    assert_int_equal(status_of(&f).error, EIO);
    fake_disk_fail(f.disk, 0, 0, 0);
    f.now_ns += 100 * MS;
    turn(&f);
    assert_true(status_of(&f).segment == segment + 1);
    crash(&f);
    settle(&f);
    crash(&f);
    assert_true(f.durable == f.first_batch + 1);
    finish(&f);
}

/* Under everysec nothing may be older than two seconds by then. */
static void a_failed_sync_is_made_up_for_at_once(void **state) {
    (void)state;
    static struct fixture f;
    start_quiet(&f, APPENDFSYNC_EVERYSEC);
    fake_disk_fail(f.disk, FAKE_SYNC, EIO, 1000);
    for (int ms = 0; !status_of(&f).error; ms += 5) {
        assert_true(ms < 2000);
        f.now_ns += 5 * MS;
        write_one(&f, 10);
        complete_all(&f);
    }
    fake_disk_fail(f.disk, 0, 0, 0);
    uint64_t failed_ns = f.now_ns, last = f.first_batch - 1 + f.count;
    while (f.durable < last) {
        f.now_ns += 5 * MS;
        write_one(&f, 10);
        complete_all(&f);
        assert_in_range(f.now_ns - failed_ns, 0, 150 * MS);
    }
    finish(&f);
}

static void cuts_wait_for_nothing(void **state) {
    (void)state;
    static struct fixture f;
    start(&f, 2);
    open_journal(&f);
    assert_true(journal_cut(f.journal) == f.first_segment); /* nothing is in it, and not even its file is there */
    for (uint64_t i = 0; i < 5; i++) {
        write_one(&f, 50);
        assert_true(journal_cut(f.journal) == f.first_segment + i + 1);
    }
    finish(&f);
}

static void segments_are_recycled(bool write_through) {
    static struct fixture f;
    start_on(&f, APPENDFSYNC_ALWAYS, write_through);
    ino_t seen[64];
    uint32_t count = 0, again = 0;
    for (int i = 0; i < 20; i++) {
        write_one(&f, 600000);
        settle(&f);
        char name[DATADIR_NAME_MAX], path[200];
        datadir_segment_name(name, SHARD, status_of(&f).segment);
        snprintf(path, sizeof path, "%s/%s", f.dir, name);
        struct stat facts;
        assert_int_equal(stat(path, &facts), 0);
        for (uint32_t k = 0; k < count; k++) again += seen[k] == facts.st_ino;
        seen[count++] = facts.st_ino;
        cut(&f);
        f.base_segment = status_of(&f).segment;
        f.base_batch = f.durable;
        journal_drop_before(f.journal, f.base_segment);
        crash(&f);
    }
    assert_true(again > 0);
    assert_true(count_files(f.dir) <= 6);
    finish(&f);
}

static void always_recycles(void **state) {
    (void)state;
    segments_are_recycled(true);
    segments_are_recycled(false);
}

/* A batch that ends where a page does: zeros follow all the same, in a recycled file too. */
static void an_end_at_a_page_is_an_end(void **state) {
    (void)state;
    static struct fixture f;
    start_quiet(&f, APPENDFSYNC_ALWAYS);
    for (int i = 0; i < 6; i++) {
        write_one(&f, 900000 - (size_t)i * 50000);
        settle(&f);
        size_t over = (size_t)(status_of(&f).segment_bytes + BATCH_LINE) % SEGMENT_PAGE;
        buf_printf(&f.effects.bytes, "*1\r\n$%04zu\r\n", 2 * SEGMENT_PAGE - over - 13);
        char *value = buf_reserve(&f.effects.bytes, 2 * SEGMENT_PAGE - over - 11);
        memset(value, 'x', 2 * SEGMENT_PAGE - over - 13);
        memcpy(value + 2 * SEGMENT_PAGE - over - 13, "\r\n", 2);
        f.effects.bytes.len += 2 * SEGMENT_PAGE - over - 11;
        f.effects.position++;
        turn(&f);
        settle(&f);
        assert_true(status_of(&f).segment_bytes % SEGMENT_PAGE == 0);
        struct reading r = {.f = &f, .dir = f.dir, .last = f.base_batch};
        assert_true(read_segment(&r, status_of(&f).segment));
        assert_true(r.last == f.durable && r.end == SEGMENT_OPEN);
        cut(&f);
        f.base_segment = status_of(&f).segment;
        f.base_batch = f.durable;
        journal_drop_before(f.journal, f.base_segment);
    }
    finish(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(always_is_one_write),
        cmocka_unit_test(always_syncs_behind_writes),
        cmocka_unit_test(everysec_gathers_and_syncs_once_a_second),
        cmocka_unit_test(no_syncs_when_asked),
        cmocka_unit_test(a_full_disk_is_tried_again),
        cmocka_unit_test(a_failed_sync_begins_a_new_segment),
        cmocka_unit_test(a_failed_sync_is_made_up_for_at_once),
        cmocka_unit_test(cuts_wait_for_nothing),
        cmocka_unit_test(always_recycles),
        cmocka_unit_test(an_end_at_a_page_is_an_end),
        cmocka_unit_test(random_rounds),
        cmocka_unit_test(random_rounds_with_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
