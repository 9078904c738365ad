/* Checking a data directory: recovery's own stages, one thread, no shard; then the checkpoint's files.
 *
 * It runs as recovery-damage skip does, so that one damage does not hide the next. */
#include "persist/check.h"
#include "core/alloc.h"
#include "core/assert.h"
#include "persist/rdb_read.h"
#include "persist/recover_priv.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#define LINE_MAX_BYTES  1024
#define PROGRESS_NS     1000000000ull
#define STEPS_PER_CLOCK 256 /* batches or keys between looks at it */

struct checking {
    const struct check_options *options;
    struct recovery *recovery;
    struct heap *heap;
    uint64_t said_ns; /* when progress was told last */
    uint64_t damages; /* beside those that recovery counts */
};

static void say(const struct checking *checking, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(const struct checking *checking, const char *format, ...) {
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    checking->options->print(checking->options->ctx, line);
}

static void say_progress(struct checking *checking, const char *what, uint64_t bytes, uint64_t total) {
    uint64_t now_ns = clock_mono_ns(&checking->options->clock);
    if (!checking->options->progress || now_ns - checking->said_ns < PROGRESS_NS) return;
    checking->said_ns = now_ns;
    char line[LINE_MAX_BYTES];
    snprintf(line, sizeof line, "%s: %" PRIu64 " of %" PRIu64 " MB", what, bytes >> 20, total >> 20);
    checking->options->progress(checking->options->ctx, line);
}

/* A line of recovery's log. */
static void from_log(void *ctx, const char *line, size_t len) {
    const struct checking *checking = ctx;
    say(checking, "%.*s", (int)MIN(len, (size_t)LINE_MAX_BYTES - 1) - (len > 0 && line[len - 1] == '\n'), line);
}

/* --- the journals --- */

static const char *end_text(const struct recovery_segment *segment) {
    if (segment->opened == ST_NOT_FOUND) return "prepared, nothing in it";
    if (segment->opened != ST_OK) return "cannot be read";
    switch (segment->end) {
    case SEGMENT_SEALED: return "whole";
    case SEGMENT_OPEN: return "was in use, whole";
    case SEGMENT_TORN: return "was in use, its end was torn by a crash";
    case SEGMENT_MORE:
    case SEGMENT_DAMAGED:
    case SEGMENT_UNREADABLE: break;
    }
    return "DAMAGED";
}

static void say_segment(const struct checking *checking, const struct recovery_segment *segment) {
    char name[DATADIR_NAME_MAX];
    datadir_segment_name(name, checking->recovery->chains[segment->chain].shard, segment->number);
    if (segment->last_seq == 0)
        say(checking, "  %s: no batches, %s", name, end_text(segment));
    else
        say(checking,
            "  %s: batches %" PRIu64 " to %" PRIu64 " in %" PRIu64 " bytes, %" PRIu64 " effects, %" PRIu32
            " parts of transactions, %s",
            name, segment->header.first_batch, segment->last_seq, segment->end_offset, segment->writes,
            segment->part_count, segment->skipped ? "DAMAGED" : end_text(segment));
}

static void say_journals(const struct checking *checking) {
    const struct recovery *recovery = checking->recovery;
    for (uint32_t c = 0; c < recovery->chain_count; c++) {
        const struct recovery_chain *chain = &recovery->chains[c];
        const struct manifest_generation *generation = &recovery->manifest.generations[chain->generation];
        if (chain->shard == 0)
            say(checking, "journal %016" PRIx64 " of %" PRIu32 " shards, %s", generation->boot, generation->shards,
                generation->over ? "over" : "open");
        for (uint32_t i = 0; i < chain->count; i++) say_segment(checking, &recovery->segments[chain->first + i]);
    }
}

static uint64_t journal_bytes(const struct recovery *recovery) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < recovery->segment_count; i++) {
        char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
        struct stat info;
        recovery_segment_path(recovery, &recovery->segments[i], path);
        if (stat(path, &info) == 0) sum += (uint64_t)info.st_size;
    }
    return sum;
}

static void check_journals(struct checking *checking) {
    struct recovery *recovery = checking->recovery;
    struct recovery_thread *thread = &recovery->threads[0];
    uint64_t total = journal_bytes(recovery);
    for (uint64_t steps = 1; recovery_verify_step(recovery, thread); steps++)
        if (steps % STEPS_PER_CLOCK == 0) say_progress(checking, "journals", thread->bytes, total);
    say_journals(checking);
    while (!atomic_load(&recovery->failed) && recovery_join_step(recovery)) continue;
}

/* --- the checkpoint --- */

struct file_facts {
    uint64_t keys, frontiers;
    bool contradicts;
};

static void take_aux(const struct checking *checking, struct frontiers *frontiers, const struct rdb_event *event,
                     struct file_facts *facts) {
    struct frontier frontier;
    struct hash_seed seed;
    bool imported = checking->recovery->manifest.import.path[0];
    if (imported) return;
    if (slice_equal(event->key, SLICE(FRONTIER_AUX))) {
        facts->frontiers++;
        facts->contradicts |= !frontier_read(event->value, &frontier) || !frontiers_add(frontiers, frontier);
    } else if (slice_equal(event->key, SLICE(FRONTIER_AUX_SEED))) {
        facts->contradicts |=
            !frontier_read_seed(event->value, &seed) || seed.k0 != frontiers->seed.k0 || seed.k1 != frontiers->seed.k1;
    }
}

/* To its end; false: error says what is wrong. */
static bool read_file(struct checking *checking, struct rdb_reader *reader, struct frontiers *frontiers,
                      struct file_facts *facts, struct error *error) {
    struct rdb_event event;
    for (uint64_t items = 1;; items++) {
        switch (rdb_next(reader, &event, error)) {
        case RDB_KEY: facts->keys++; break;
        case RDB_AUX: take_aux(checking, frontiers, &event, facts); break;
        case RDB_DATABASE:
        case RDB_RESIZE:
        case RDB_SKIPPED: break;
        case RDB_BROKEN: return false;
        case RDB_END: return true;
        }
        if (items % STEPS_PER_CLOCK == 0) say_progress(checking, "checkpoint", rdb_offset(reader), rdb_size(reader));
    }
}

static bool facts_fit(const struct manifest *manifest, uint32_t file, uint64_t bytes, uint64_t crc64) {
    if (manifest->import.path[0]) return bytes == manifest->import.bytes && crc64 == manifest->import.crc64;
    return bytes == manifest->checkpoint.files[file].bytes && crc64 == manifest->checkpoint.files[file].crc64;
}

static void check_file(struct checking *checking, uint32_t file) {
    const struct manifest *manifest = &checking->recovery->manifest;
    char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
    struct error error = {0};
    struct rdb_reader *reader = NULL;
    struct frontiers frontiers;
    struct file_facts facts = {0};
    uint64_t bytes = 0, crc64 = 0;
    recovery_file_path(checking->recovery, file, path);
    frontiers_init(&frontiers, checking->heap, manifest->checkpoint.files[file].last);
    frontiers.seed = manifest->checkpoint.files[file].seed;
    struct rdb_reader_options options = {.path = path, .heap = checking->heap};
    bool fine = recovery_file_facts(path, &bytes, &crc64, &error) == ST_OK &&
                rdb_open(&reader, &options, &error) == ST_OK && read_file(checking, reader, &frontiers, &facts, &error);
    if (reader) rdb_close(reader);
    if (fine && !facts_fit(manifest, file, bytes, crc64))
        fine = error_set(&error, ST_INVALID, 0, "size or checksum is not what the manifest says") == ST_OK;
    if (fine && facts.contradicts)
        fine = error_set(&error, ST_INVALID, 0, "a sherd-... field contradicts the manifest or itself") == ST_OK;
    checking->damages += !fine;
    if (fine)
        say(checking, "  %.400s: %" PRIu64 " bytes, %" PRIu64 " keys, %" PRIu64 " frontiers, whole", path, bytes,
            facts.keys, facts.frontiers);
    else
        say(checking, "  %.400s: DAMAGED: %s", path, error.text);
    frontiers_deinit(&frontiers);
}

static void check_checkpoint(struct checking *checking) {
    const struct manifest *manifest = &checking->recovery->manifest;
    if (manifest->import.path[0]) {
        say(checking, "an imported file instead of a checkpoint");
        check_file(checking, 0);
    } else if (manifest->checkpoint.number) {
        say(checking, "checkpoint %" PRIu64 " of %" PRIu32 " shards", manifest->checkpoint.number,
            manifest->checkpoint.shards);
        for (uint32_t file = 0; file < manifest->checkpoint.shards; file++) check_file(checking, file);
    } else {
        say(checking, "no checkpoint yet");
    }
}

/* --- the whole --- */

static void say_stranger(void *ctx, const char *name, struct datadir_name is) {
    const struct checking *checking = ctx;
    if (is.kind == DATADIR_OTHER || manifest_names(&checking->recovery->manifest, is)) return;
    say(checking, "%s is not named by the manifest; the next start removes it", name);
}

static enum status judge(struct checking *checking, struct error *error) {
    const struct recovery *recovery = checking->recovery;
    if (atomic_load(&recovery->failed)) {
        *error = recovery->error;
        return error->status;
    }
    uint64_t damages = checking->damages + atomic_load(&recovery->damages);
    if (damages == 0) return ST_OK;
    return error_set(error, ST_INVALID, 0, "%s: damaged in %" PRIu64 " places, see above", recovery->options.dir->path,
                     damages);
}

static enum status check_open(struct checking *checking, const struct datadir *dir, struct error *error) {
    struct log log;
    log_init(&log, from_log, checking, checking->options->clock, LOG_LEVEL_NOTICE, 'C');
    struct recovery_options options = {.dir = dir,
                                       .threads = 1,
                                       .damage = DAMAGE_SKIP,
                                       .boot = 1,
                                       .only_look = true,
                                       .clock = checking->options->clock,
                                       .log = &log};
    enum status status = recovery_open(&checking->recovery, &options, error);
    if (status != ST_OK) return status;
    if (!checking->recovery->found)
        say(checking, "%s holds no data of sherd's", dir->path);
    else
        check_checkpoint(checking);
    check_journals(checking);
    struct error trouble = {0};
    if (datadir_list(dir, say_stranger, checking, &trouble) != ST_OK) say(checking, "%s", trouble.text);
    status = judge(checking, error);
    recovery_close(checking->recovery);
    return status;
}

enum status check_directory(const struct check_options *options, struct error *error) {
    struct checking checking = {.options = options, .said_ns = clock_mono_ns(&options->clock)};
    struct datadir dir;
    struct stat info;
    if (stat(options->path, &info) != 0 || !S_ISDIR(info.st_mode))
        return error_set(error, ST_NOT_FOUND, 0, "%s is not a directory", options->path);
    enum status status = datadir_open(&dir, options->path, error);
    if (status != ST_OK) return status;
    checking.heap = heap_new();
    if (checking.heap)
        status = check_open(&checking, &dir, error);
    else
        status = error_set(error, ST_NO_MEMORY, 0, "No memory");
    if (checking.heap) heap_delete(checking.heap);
    datadir_close(&dir);
    return status;
}
