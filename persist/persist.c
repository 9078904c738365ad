/* Opening: the directory, what is in it, and what is to be loaded. */
#include "persist/persist_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- what there is --- */

static bool is_there(const struct persist *persist, const char *name, char path[CONFIG_PATH_MAX]) {
    if (name[0] == '/')
        snprintf(path, CONFIG_PATH_MAX, "%s", name);
    else if ((size_t)snprintf(path, CONFIG_PATH_MAX, "%s/%s", persist->dir.path, name) >= CONFIG_PATH_MAX)
        return false;
    return access(path, F_OK) == 0;
}

static bool is_dump(const char *name) {
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".rdb") == 0;
}

/* The option import: a dump is found by find_dump. */
static enum status find_import(struct persist *persist, const struct config *config, struct error *error) {
    char path[CONFIG_PATH_MAX];
    if (!is_there(persist, config->import, path))
        return error_set(error, ST_NOT_FOUND, ENOENT, "There is no %s to begin with (option import)", config->import);
    return is_dump(config->import) ? ST_OK : aof_files_find(&persist->aof, path, error);
}

/* A log of Redis in the directory. Like Redis, we read it rather than dump.rdb when appendonly is on; and also when
 * there is nothing else. */
static enum status find_log(struct persist *persist, const struct config *config, struct error *error) {
    char path[CONFIG_PATH_MAX], manifest[CONFIG_PATH_MAX], dump[CONFIG_PATH_MAX];
    if (config->import[0]) return find_import(persist, config, error);
    bool has_dump = is_there(persist, config->dbfilename, dump);
    if (has_dump && !config->appendonly) return ST_OK;
    bool found = is_there(persist, config->appenddirname, path) && aof_files_manifest(path, manifest);
    if (!found) found = is_there(persist, config->appendfilename, path);
    return found ? aof_files_find(&persist->aof, path, error) : ST_OK;
}

/* Where the import begins: with an RDB file, or with nothing (NULL). */
static const char *find_dump(const struct persist *persist, const struct config *config, char path[CONFIG_PATH_MAX]) {
    if (persist->aof.count > 0) return persist->aof.parts[0].has_rdb ? persist->aof.parts[0].path : NULL;
    return is_there(persist, config->import[0] ? config->import : config->dbfilename, path) ? path : NULL;
}

/* --- a log that is imported is not ours before the first checkpoint: until then a mark says that our files are not yet
 * to be trusted, and the next start begins once more with the log --- */

static bool keeps_nothing(void *ctx, struct datadir_name is) {
    (void)ctx, (void)is;
    return false;
}

static enum status begin_import(struct persist *persist, struct error *error) {
    char mark[CONFIG_PATH_MAX];
    uint64_t removed;
    if (is_there(persist, DATADIR_IMPORTING, mark)) {
        enum status status = datadir_sweep(&persist->dir, keeps_nothing, NULL, &removed, error);
        if (status != ST_OK) return status;
    }
    int fd = openat(persist->dir.fd, DATADIR_IMPORTING, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set(error, ST_IO, errno,
                         "Cannot write to %s, where an imported log is to be saved: make it writable, or choose "
                         "another directory (option "
                         "dir)",
                         persist->dir.path);
    close(fd);
    return datadir_sync(&persist->dir, error);
}

void persist_end_import(struct persist *persist) {
    unlinkat(persist->dir.fd, DATADIR_IMPORTING, 0);
}

static enum status open_recovery(struct persist *persist, const struct config *config, struct error *error) {
    char manifest[CONFIG_PATH_MAX], path[CONFIG_PATH_MAX];
    bool is_ours = is_there(persist, DATADIR_MANIFEST, manifest);
    if (!is_ours) {
        enum status status = find_log(persist, config, error);
        if (status == ST_OK && persist->aof.count > 0) status = begin_import(persist, error);
        if (status != ST_OK) return status;
    } else if (config->import[0]) {
        log_line(persist->log, LOG_LEVEL_NOTICE, "%s is not imported: %s holds data already", config->import,
                 persist->dir.path);
    }
    struct recovery_options options = {.dir = &persist->dir,
                                       .threads = persist->shards,
                                       .damage = config->recovery_damage,
                                       .journal = persist->appendonly,
                                       .boot = persist->boot,
                                       .import = is_ours ? NULL : find_dump(persist, config, path),
                                       .only_look = persist->aof.count > 0,
                                       .clock = persist->clock,
                                       .log = persist->log};
    return recovery_open(&persist->recovery, &options, error);
}

/* --- life --- */

static enum status open_dir(struct persist *persist, const struct config *config, bool writes, struct error *error) {
    enum status status = datadir_open(&persist->dir, config->dir, error);
    persist->has_dir = status == ST_OK;
    if (status == ST_OK || writes) return status;
    log_line(persist->log, LOG_LEVEL_WARNING, "Nothing can be loaded or saved, as the data directory is not ours: %s",
             error->text);
    return ST_OK;
}

enum status persist_open(struct persist **out, const struct persist_options *options, struct error *error) {
    const struct config *config = options->config;
    struct persist *persist = shared_alloc(sizeof *persist);
    if (!persist) return error_set(error, ST_NO_MEMORY, 0, "No memory to keep data on disk");
    *out = persist;
    pthread_mutex_init(&persist->lock, NULL);
    manifest_init(&persist->manifest);
    persist->shards = options->shards;
    persist->boot = options->boot;
    persist->redis_version = options->redis_version;
    persist->log = options->log;
    persist->clock = options->clock;
    persist->appendonly = config->appendonly;
    persist->gated = config->appendonly && config->appendfsync == APPENDFSYNC_ALWAYS;
    persist->aof_truncated_ok = config->aof_load_truncated;
    persist->started_ms = clock_real_us(&persist->clock) / 1000;
    persist->guard = guard_new(persist->shards, persist->log);
    if (!persist->guard) return error_set(error, ST_NO_MEMORY, 0, "No memory to keep data on disk");
    bool writes = config->appendonly || config->save.count > 0;
    enum status status = open_dir(persist, config, writes, error);
    if (status != ST_OK || !persist->has_dir) return status;
    if ((status = open_recovery(persist, config, error)) != ST_OK) return status;
    struct checkpoints_options checkpoints = {.shards = persist->shards,
                                              .boot = persist->boot,
                                              .dir = &persist->dir,
                                              .manifest = &persist->manifest,
                                              .log = persist->log,
                                              .now_ms = persist->started_ms};
    persist->checkpoints = checkpoints_new(&checkpoints);
    persist->live_export = live_export_new(&persist->dir, persist->log);
    bool made = persist->checkpoints && persist->live_export;
    return made ? ST_OK : error_set(error, ST_NO_MEMORY, 0, "No memory for checkpoints");
}

void persist_close(struct persist *persist) {
    if (persist->live_export) live_export_delete(persist->live_export);
    if (persist->guard) guard_delete(persist->guard);
    if (persist->checkpoints) checkpoints_delete(persist->checkpoints);
    if (persist->recovery) recovery_close(persist->recovery);
    aof_files_free(&persist->aof);
    manifest_deinit(&persist->manifest);
    if (persist->has_dir) datadir_close(&persist->dir);
    pthread_mutex_destroy(&persist->lock);
    shared_free(persist);
}

enum status persist_join(struct persist_part **out, struct persist *persist, struct shard *shard, struct disk disk,
                         struct error *error) {
    (void)error;
    struct persist_part *part = heap_alloc_zero(shard->heap, MEM_STATS, sizeof *part);
    *out = part;
    part->persist = persist;
    part->shard = shard;
    part->disk = disk;
    part->state = persist->has_dir ? PART_RECOVERING : PART_RUNNING;
    part->wait_ns = UINT64_MAX;
    shard->loading = persist->has_dir;
    if (!persist->has_dir) atomic_store(&persist->state, PERSIST_RUNNING);
    return ST_OK;
}

void persist_leave(struct persist_part *part) {
    struct shard *shard = part->shard;
    ASSERT(persist_is_idle(part));
    if (part->journal && part->batch_durable < part->batch)
        log_line(part->persist->log, LOG_LEVEL_WARNING,
                 "%llu bytes of shard %u's last writes are lost, as the disk did not take them: %s",
                 (unsigned long long)part->status.bytes_pending, shard->id, strerror(part->status.error));
    part_forget_space(part);
    if (part->replay) aof_replay_close(part->replay);
    if (part->member) checkpoints_leave(part->member);
    if (part->journal) journal_close(part->journal);
    if (part->persist->recovery) recovery_leave(part->persist->recovery, shard->id);
    shard->no_writes = shard->braked.reason = shard->commit.excuse = NULL;
    heap_free(shard->heap, MEM_STATS, part, sizeof *part);
}

bool persist_turn(struct persist_part *part, bool busy) {
    if (part->state == PART_RUNNING) return part_run(part, busy);
    bool more = part->state == PART_ADOPTING && part_run(part, busy);
    return part_load(part) || more;
}

uint64_t persist_wait_ns(const struct persist_part *part) {
    return part->wait_ns;
}

/* --- any thread --- */

void persist_fail(struct persist *persist, const struct error *error) {
    pthread_mutex_lock(&persist->lock);
    if (!persist->error.text[0]) persist->error = *error;
    pthread_mutex_unlock(&persist->lock);
    atomic_store(&persist->state, PERSIST_FAILED);
}

enum persist_state persist_state(const struct persist *persist) {
    return (enum persist_state)atomic_load(&persist->state);
}

bool persist_all_loaded(const struct persist *persist) {
    return !persist->has_dir || persist_state(persist) == PERSIST_FAILED ||
           atomic_load(&persist->opened) == persist->shards;
}

const struct error *persist_error(const struct persist *persist) {
    return &persist->error;
}

struct guard *persist_guard(struct persist *persist) {
    return persist->guard;
}

struct checkpoints *persist_checkpoints(struct persist *persist) {
    return persist->checkpoints;
}

struct live_export *persist_live_export(struct persist *persist) {
    return persist->live_export;
}

void persist_read_status(struct persist *persist, struct persist_status *out) {
    *out = (struct persist_status){.loading = persist_state(persist) == PERSIST_LOADING,
                                   .loading_started_ms = persist->started_ms,
                                   .log_stands = atomic_load_explicit(&persist->log_stands, memory_order_relaxed),
                                   .shards = persist->shards};
    if (persist->recovery && out->loading) recovery_read_progress(persist->recovery, &out->progress);
    if (persist->recovery && !out->loading) out->loaded = *recovery_result(persist->recovery);
    pthread_mutex_lock(&persist->lock);
    memcpy(out->shard, persist->shard, persist->shards * sizeof *out->shard);
    pthread_mutex_unlock(&persist->lock);
}

/* --- the end --- */

void persist_end(struct persist *persist, enum persist_end_how how) {
    atomic_store(&persist->end_how, how);
    bool saves = persist->checkpoints && how != END_NOSAVE && persist_state(persist) == PERSIST_RUNNING;
    atomic_store(&persist->end, saves ? END_SAVING : END_READY);
}

enum persist_end_state persist_end_state(const struct persist *persist) {
    return (enum persist_end_state)atomic_load(&persist->end);
}

void persist_end_cancel(struct persist *persist) {
    atomic_store(&persist->end, END_NONE);
}
