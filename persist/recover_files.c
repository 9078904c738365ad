/* Recovery, LOAD, the files: a checkpoint's (or the one that is imported) whose slots overlap the shard's; of each the
 * keys that the shard owns.
 *
 * Putting a key into a large table waits for memory: its bucket is nowhere near the cache. So keys are put some dozens
 * together, when the buckets of all of them were asked for; meanwhile their entries are built. And the table is told
 * beforehand how many will come, as the file says it, so that it does not grow step by step. */
#include "core/assert.h"
#include "persist/rdb_read.h"
#include "persist/recover_priv.h"
#include "shards/effect_apply.h"
#include "shards/shard.h"
#include <inttypes.h>
#include <stdio.h>

#define KEY_BYTES_MIN 3 /* of a key with its value in a file: type, two lengths */

/* --- which files --- */

uint32_t recovery_file_count(const struct recovery *recovery) {
    return recovery->manifest.import.path[0]      ? 1
           : recovery->manifest.checkpoint.number ? recovery->manifest.checkpoint.shards
                                                  : 0;
}

bool recovery_file_is_wanted(const struct recovery *recovery, uint32_t id, uint32_t file) {
    if (recovery->manifest.import.path[0]) return true;
    return recovery_overlap(file, recovery->manifest.checkpoint.shards, id, recovery->options.threads);
}

void recovery_file_path(const struct recovery *recovery, uint32_t file, char out[CONFIG_PATH_MAX + DATADIR_NAME_MAX]) {
    const struct manifest *manifest = &recovery->manifest;
    char name[DATADIR_NAME_MAX];
    const struct datadir *dir = recovery->options.dir;
    if (!manifest->import.path[0]) {
        datadir_checkpoint_name(name, file, manifest->checkpoint.number);
        datadir_path(dir, name, out);
    } else if (manifest->import.path[0] == '/') {
        snprintf(out, CONFIG_PATH_MAX + DATADIR_NAME_MAX, "%s", manifest->import.path);
    } else {
        int len = snprintf(out, CONFIG_PATH_MAX + DATADIR_NAME_MAX, "%s/%s", dir->path, manifest->import.path);
        if (len >= CONFIG_PATH_MAX + DATADIR_NAME_MAX) out[0] = 0; /* is found nowhere */
    }
}

/* --- a file is opened --- */

static struct dump_target target_of(struct shard *shard, bool ours) {
    struct keyspace_shared *shared = &shard->shared;
    return (struct dump_target){.store = &shared->store,
                                .list_rule = &shared->list_rule,
                                .set_rule = &shared->set_rule,
                                .hash_rule = &shared->hash_rule,
                                .zset_rule = &shared->zset_rule,
                                .seed = &shared->seed,
                                .allow_int = true,
                                .as_it_was = ours};
}

/* Is it the file that the manifest names? False: error. */
static bool file_is_right(const struct recovery *recovery, uint32_t file, const char *path, struct error *error) {
    const struct manifest *manifest = &recovery->manifest;
    uint64_t bytes, crc64, bytes_wanted = manifest->import.bytes, crc64_wanted = manifest->import.crc64;
    if (!manifest->import.path[0]) {
        bytes_wanted = manifest->checkpoint.files[file].bytes;
        crc64_wanted = manifest->checkpoint.files[file].crc64;
    }
    if (recovery_file_facts(path, &bytes, &crc64, error) != ST_OK) return false;
    if (bytes == bytes_wanted && crc64 == crc64_wanted) return true;
    (void)error_set(error, ST_INVALID, 0,
                    "%s has not the size and the checksum that are in the manifest: it is another file", path);
    return false;
}

static void begin_frontiers(const struct recovery *recovery, struct recovery_thread *thread) {
    if (!thread->frontier_count) return;
    const struct manifest_file *facts = &recovery->manifest.checkpoint.files[thread->file];
    frontiers_init(&thread->frontiers[thread->file], thread->shard->heap, facts->last);
    thread->frontiers[thread->file].seed = facts->seed;
}

static void open_file(struct recovery *recovery, struct recovery_thread *thread) {
    const char *path = thread->path;
    bool ours = !recovery->manifest.import.path[0];
    struct error error = {0};
    recovery_file_path(recovery, thread->file, thread->path);
    struct rdb_reader_options options = {
        .path = path, .takes = recovery_owns, .ctx = thread, .build = true, .target = target_of(thread->shard, ours)};
    thread->counted = 0;
    begin_frontiers(recovery, thread);
    if (file_is_right(recovery, thread->file, path, &error) && rdb_open(&thread->rdb, &options, &error) == ST_OK)
        return;
    thread->rdb = NULL;
    thread->file++; /* without it, if that is wanted */
    if (recovery->imports)
        recovery_fail(recovery, &error);
    else
        recovery_may_go_on(recovery, error.text);
}

/* What the file says of itself; false: it contradicts the manifest. */
static bool take_aux(const struct recovery *recovery, struct recovery_thread *thread, const struct rdb_event *event) {
    if (recovery->manifest.import.path[0]) return true;
    struct frontiers *frontiers = &thread->frontiers[thread->file];
    if (slice_equal(event->key, SLICE(FRONTIER_AUX))) {
        struct frontier frontier;
        return frontier_read(event->value, &frontier) && frontiers_add(frontiers, frontier);
    }
    if (slice_equal(event->key, SLICE(FRONTIER_AUX_SEED))) {
        struct hash_seed seed;
        return frontier_read_seed(event->value, &seed) && seed.k0 == frontiers->seed.k0 &&
               seed.k1 == frontiers->seed.k1;
    }
    if (slice_equal(event->key, SLICE(FRONTIER_AUX_SHARD))) {
        uint32_t shard, shards;
        return frontier_read_shard(event->value, &shard, &shards) && shard == thread->file &&
               shards == recovery->manifest.checkpoint.shards;
    }
    return true;
}

static void set_access(const struct shard *shard, struct entry *entry, const struct rdb_event *event) {
    const struct keyspace_shared *shared = &shard->shared;
    if (shared->use_lrfu) return; /* files have nothing about it: each begins anew */
    if (shared->use_lfu && event->freq >= 0)
        entry->access = lfu_field((uint32_t)(shard->now_ms / 60000), (uint32_t)event->freq & 0xFF) & 0xFFFFFF;
    else if (!shared->use_lfu && event->idle_s >= 0)
        entry->access = (shared->access - (uint32_t)(event->idle_s & 0xFFFFFF)) & 0xFFFFFF;
}

/* --- keys --- */

static void put_key(struct recovery_thread *thread, struct keyspace *keyspace, uint64_t hash, struct entry *entry) {
    struct key_ref ref;
    if (keyspace_open(keyspace, entry_key(entry), hash, &ref)) {
        /* It stands twice in a checkpoint's file when its table was resized at the wrong moment: then the first is the
         * one that its frontier speaks of. */
        entry_delete(&thread->shard->shared.store, entry);
        return;
    }
    keyspace_put_entry(keyspace, &ref, entry);
    thread->keys++;
}

static void put_pending(struct recovery_thread *thread) {
    struct recovery_pending *pending = &thread->pending;
    if (pending->count == 0) return;
    struct keyspace *keyspace = shard_db(thread->shard, pending->db);
    for (uint32_t i = 0; i < pending->count; i++) put_key(thread, keyspace, pending->hashes[i], pending->entries[i]);
    pending->count = 0;
}

void recovery_drop_pending(struct recovery_thread *thread) {
    struct recovery_pending *pending = &thread->pending;
    while (pending->count) entry_delete(&thread->shard->shared.store, pending->entries[--pending->count]);
}

static void too_few_databases(struct recovery *recovery, uint32_t db, uint32_t count) {
    struct error error = {0};
    (void)error_set(&error, ST_INVALID, 0,
                    "The data have keys in database %" PRIu32 ", but there are only %" PRIu32
                    ": start with a larger 'databases'",
                    db, count);
    recovery_fail(recovery, &error);
}

static void take_key(struct recovery *recovery, struct recovery_thread *thread, const struct rdb_event *event) {
    struct shard *shard = thread->shard;
    struct recovery_pending *pending = &thread->pending;
    if (event->db >= shard->db_count) {
        entry_delete(&shard->shared.store, event->entry);
        too_few_databases(recovery, event->db, shard->db_count);
        return;
    }
    set_access(shard, event->entry, event);
    if (pending->count == RECOVERY_PENDING || pending->db != event->db) put_pending(thread);
    uint64_t hash = key_hash(&shard->shared, entry_key(event->entry));
    keyspace_prefetch_bucket(shard_db(shard, event->db), hash);
    pending->db = event->db;
    pending->hashes[pending->count] = hash;
    pending->entries[pending->count++] = event->entry;
}

/* Of how many slots of the file's does this shard own how many? */
static double owned_share(const struct recovery *recovery, const struct recovery_thread *thread) {
    struct slot_range own = slot_range_of(thread->id, recovery->options.threads), of = {0, HASH_SLOTS};
    if (!recovery->manifest.import.path[0]) of = slot_range_of(thread->file, recovery->manifest.checkpoint.shards);
    uint32_t first = MAX(own.first, of.first), last = MIN(own.last, of.last);
    return last > first ? (double)(last - first) / (of.last - of.first) : 0;
}

/* The file announces its keys. Believed as far as it has bytes. */
static void expect_keys(const struct recovery *recovery, struct recovery_thread *thread,
                        const struct rdb_event *event) {
    if (event->db >= thread->shard->db_count) return;
    put_pending(thread);
    struct keyspace *keyspace = shard_db(thread->shard, event->db);
    uint64_t most = (rdb_size(thread->rdb) - rdb_offset(thread->rdb)) / KEY_BYTES_MIN;
    double keys = owned_share(recovery, thread) * (double)MIN(event->keys, most);
    keyspace_expect(keyspace, keyspace_count(keyspace) + (uint64_t)keys);
}

static void expect_no_more(const struct shard *shard) {
    for (uint32_t db = 0; db < shard->db_used; db++)
        if (shard_db_peek(shard, db)) keyspace_expect(shard_db_peek(shard, db), 0);
}

/* --- item by item --- */

static void note_end(struct recovery *recovery, const struct recovery_thread *thread) {
    if (!recovery->manifest.import.path[0]) return;
    atomic_store_explicit(&recovery->import_end, rdb_offset(thread->rdb), memory_order_relaxed); /* by the arrival */
}

static void close_file(struct recovery_thread *thread) {
    put_pending(thread);
    expect_no_more(thread->shard);
    recovery_count_bytes(thread, rdb_size(thread->rdb));
    rdb_close(thread->rdb);
    thread->rdb = NULL;
    thread->file++;
}

static void read_item(struct recovery *recovery, struct recovery_thread *thread) {
    struct rdb_event event;
    struct error error = {0};
    switch (rdb_next(thread->rdb, &event, &error)) {
    case RDB_KEY:
        take_key(recovery, thread, &event);
        recovery_count_bytes(thread, rdb_offset(thread->rdb));
        break;
    case RDB_SKIPPED: recovery_count_bytes(thread, rdb_offset(thread->rdb)); break;
    case RDB_AUX:
        if (take_aux(recovery, thread, &event)) break;
        recovery_damage_at(recovery, thread->path, event.offset, "a sherd-... field that contradicts the manifest");
        break;
    case RDB_RESIZE: expect_keys(recovery, thread, &event); break;
    case RDB_DATABASE: break;
    case RDB_BROKEN:
        recovery_may_go_on(recovery, error.text);
        close_file(thread);
        break;
    case RDB_END:
        note_end(recovery, thread);
        close_file(thread);
        break;
    }
}

bool recovery_files_step(struct recovery *recovery, struct recovery_thread *thread) {
    if (thread->rdb) {
        read_item(recovery, thread);
    } else if (thread->file >= recovery_file_count(recovery)) {
        return false;
    } else if (recovery_file_is_wanted(recovery, thread->id, thread->file)) {
        open_file(recovery, thread);
    } else {
        thread->file++;
    }
    return true;
}
