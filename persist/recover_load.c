/* Recovery, LOAD: one thread fills its shard.
 *
 * First the checkpoint's files (or the imported one) whose slots overlap the shard's, then the journals, generation by
 * generation and in each the shards' one after the other: they have no key in common, and what is about whole databases
 * (FLUSHALL and its like) is done to the slots of the journal's shard only. Of all it takes the keys that its shard
 * owns.
 *
 * A checkpoint went on for a while, during which its journal did, too. So an effect of that journal counts only when
 * its batch is behind the frontier of its key. */
#include "core/assert.h"
#include "persist/rdb_read.h"
#include "persist/recover_priv.h"
#include "shards/effect_apply.h"
#include "shards/shard.h"
#include <inttypes.h>
#include <stdio.h>

#define WHAT_MAX 400

/* The recovery has failed then, or goes on. */
static void report_damage(struct recovery *recovery, const char *file, uint64_t offset, const char *why) {
    char what[WHAT_MAX];
    snprintf(what, sizeof what, "%.200s is damaged at byte %" PRIu64 " (%.128s)", file, offset, why);
    recovery_may_go_on(recovery, what);
}

static bool owns(void *ctx, uint32_t db, struct slice key) {
    const struct recovery_thread *thread = ctx;
    (void)db;
    return shard_of_key(thread->shard, key) == thread->shard->id;
}

/* --- files of the checkpoint, or the import --- */

static uint32_t file_count(const struct recovery *recovery) {
    return recovery->manifest.import.path[0]      ? 1
           : recovery->manifest.checkpoint.number ? recovery->manifest.checkpoint.shards
                                                  : 0;
}

static bool file_is_wanted(const struct recovery *recovery, uint32_t id, uint32_t file) {
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
        .path = path, .takes = owns, .ctx = thread, .build = true, .target = target_of(thread->shard, ours)};
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
    if (shared->use_lfu && event->freq >= 0)
        entry->access = lfu_field((uint32_t)(shard->now_ms / 60000), (uint32_t)event->freq & 0xFF) & 0xFFFFFF;
    else if (!shared->use_lfu && event->idle_s >= 0)
        entry->access = (shared->access - (uint32_t)(event->idle_s & 0xFFFFFF)) & 0xFFFFFF;
}

/* A key stands twice in a checkpoint's file when its table was resized at the wrong moment: then the first is the one
 * that its frontier speaks of. */
static void take_key(struct recovery *recovery, struct recovery_thread *thread, const struct rdb_event *event) {
    struct shard *shard = thread->shard;
    if (event->db >= shard->db_count) {
        struct error error = {0};
        entry_delete(&shard->shared.store, event->entry);
        (void)error_set(&error, ST_INVALID, 0,
                        "The data have keys in database %" PRIu32 ", but there are only %" PRIu32
                        ": start with a larger 'databases'",
                        event->db, shard->db_count);
        recovery_fail(recovery, &error);
        return;
    }
    struct keyspace *keyspace = shard_db(shard, event->db);
    struct slice key = entry_key(event->entry);
    struct key_ref ref;
    if (keyspace_open(keyspace, key, key_hash(&shard->shared, key), &ref)) {
        entry_delete(&shard->shared.store, event->entry);
        return;
    }
    set_access(shard, event->entry, event);
    keyspace_put_entry(keyspace, &ref, event->entry);
    thread->keys++;
}

static void close_file(struct recovery_thread *thread) {
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
        report_damage(recovery, thread->path, event.offset, "a sherd-... field that contradicts the manifest");
        break;
    case RDB_DATABASE:
    case RDB_RESIZE: break;
    case RDB_BROKEN:
        recovery_may_go_on(recovery, error.text);
        close_file(thread);
        break;
    case RDB_END: close_file(thread); break;
    }
}

static void load_files_step(struct recovery *recovery, struct recovery_thread *thread) {
    if (thread->rdb) {
        read_item(recovery, thread);
    } else if (thread->file >= file_count(recovery)) {
        thread->load = LOAD_EFFECTS;
        thread->chain = 0;
        thread->segment = 0;
    } else if (file_is_wanted(recovery, thread->id, thread->file)) {
        open_file(recovery, thread);
    } else {
        thread->file++;
    }
}

/* --- effects --- */

static const struct recovery_chain *chain_of(const struct recovery *recovery, const struct recovery_thread *thread) {
    return &recovery->chains[thread->chain];
}

static uint32_t shards_of(const struct recovery *recovery, const struct recovery_chain *chain) {
    return recovery->manifest.generations[chain->generation].shards;
}

static bool chain_is_wanted(const struct recovery *recovery, const struct recovery_chain *chain, uint32_t id) {
    return recovery_overlap(chain->shard, shards_of(recovery, chain), id, recovery->options.threads);
}

/* Frontiers that decide about the effects of this chain; NULL: all count. */
static const struct frontiers *frontiers_of(const struct recovery *recovery, const struct recovery_thread *thread) {
    const struct recovery_chain *chain = chain_of(recovery, thread);
    const struct manifest_checkpoint *checkpoint = &recovery->manifest.checkpoint;
    uint64_t boot = recovery->manifest.generations[chain->generation].boot;
    if (!checkpoint->number || checkpoint->boot != boot || chain->shard >= thread->frontier_count) return NULL;
    const struct frontiers *frontiers = &thread->frontiers[chain->shard];
    return thread->batch.seq <= frontiers->last ? frontiers : NULL;
}

static bool counts(const struct recovery *recovery, struct recovery_thread *thread, uint32_t key_at) {
    if (key_at == 0) return true; /* about whole databases: none is in a checkpoint's journal before its last batch */
    struct slice key = thread->effects.argv[key_at];
    if (!owns(thread, thread->db, key)) return false;
    const struct frontiers *frontiers = frontiers_of(recovery, thread);
    return !frontiers || thread->batch.seq > frontiers_find(frontiers, thread->db, key);
}

/* Database of a SELECT, checked when something is done in it. */
static uint32_t selected(struct slice text) {
    uint64_t db = 0;
    for (size_t i = 0; i < MIN(text.len, 9u); i++) db = db * 10 + (uint64_t)(text.ptr[i] - '0');
    return (uint32_t)db;
}

static void report_effect(struct recovery *recovery, const struct recovery_thread *thread, const char *why) {
    const struct recovery_segment *segment = &recovery->segments[thread->segment];
    char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
    recovery_segment_path(recovery, segment, path);
    report_damage(recovery, path, segment_offset(thread->reader) - thread->effects.rest.len, why);
}

static void apply(struct recovery *recovery, struct recovery_thread *thread) {
    const struct slice *argv = thread->effects.argv;
    uint32_t argc = thread->effects.argc;
    struct error error = {0};
    if (slice_is(argv[0], "multi") || slice_is(argv[0], "exec")) return;
    if (slice_is(argv[0], "select")) {
        if (argc > 1) thread->db = selected(argv[1]);
        return;
    }
    if (!counts(recovery, thread, effect_key_at(thread->shard, argv, argc))) return;
    const struct recovery_chain *chain = chain_of(recovery, thread);
    struct slot_range from = slot_range_of(chain->shard, shards_of(recovery, chain));
    if (effect_apply_from(thread->shard, thread->db, argv, argc, from, &error))
        thread->applied++;
    else
        report_effect(recovery, thread, error.text);
}

/* Bytes of the batch's payload that count. */
static uint64_t counted_payload(const struct recovery_chain *chain, const struct recovery_thread *thread) {
    if (thread->batch.seq <= chain->end_seq) return thread->payload.len;
    return thread->batch.seq == chain->end_seq + 1 ? MIN(chain->end_part, thread->payload.len) : 0;
}

static void read_effect(struct recovery *recovery, struct recovery_thread *thread) {
    uint64_t offset = thread->payload.len - thread->effects.rest.len;
    thread->in_batch = false;
    if (offset >= counted_payload(chain_of(recovery, thread), thread)) return;
    switch (effect_reader_next(&thread->effects)) {
    case EFFECT_COMMAND: apply(recovery, thread); break;
    case EFFECT_TRANSACTION: break;
    case EFFECT_END:
    case EFFECT_BROKEN: return; /* VERIFY has told */
    }
    thread->in_batch = true;
}

static void next_segment(struct recovery *recovery, struct recovery_thread *thread) {
    if (thread->reader) {
        recovery_count_bytes(thread, recovery->segments[thread->segment].end_offset);
        segment_close(thread->reader);
    }
    thread->reader = NULL;
    thread->segment++;
}

/* The next batch; those that an earlier segment had are passed over. */
static void read_batch(struct recovery *recovery, struct recovery_thread *thread) {
    const struct recovery_chain *chain = chain_of(recovery, thread);
    uint64_t before = thread->batch.seq;
    enum segment_end end = segment_next(thread->reader, &thread->batch, &thread->payload);
    if (end == SEGMENT_DAMAGED && recovery->options.damage == DAMAGE_SKIP && segment_skip(thread->reader)) return;
    bool is_over = end != SEGMENT_MORE || thread->batch.seq > chain->end_seq + 1;
    if (is_over) {
        thread->batch.seq = before;
        next_segment(recovery, thread);
        return;
    }
    recovery_count_bytes(thread, segment_offset(thread->reader));
    if (thread->batch.seq <= before) {
        thread->batch.seq = before;
        return;
    }
    thread->db = thread->batch.db;
    thread->in_batch = true;
    effect_reader_start(&thread->effects, thread->payload);
}

static void open_segment(struct recovery *recovery, struct recovery_thread *thread) {
    const struct recovery_segment *segment = &recovery->segments[thread->segment];
    char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
    struct segment_header header;
    struct error error = {0};
    thread->counted = 0;
    if (segment->opened != ST_OK) {
        next_segment(recovery, thread);
        return;
    }
    recovery_segment_path(recovery, segment, path);
    if (segment_open(&thread->reader, path, &header, &error) == ST_OK) return;
    thread->reader = NULL;
    recovery_fail(recovery, &error); /* it could be opened before */
}

static void next_chain(struct recovery *recovery, struct recovery_thread *thread) {
    thread->chain++;
    if (thread->chain == recovery->chain_count) return;
    thread->segment = chain_of(recovery, thread)->first;
    thread->batch.seq = recovery_range(recovery, chain_of(recovery, thread))->first_seq - 1;
}

static bool load_effects_step(struct recovery *recovery, struct recovery_thread *thread) {
    if (thread->chain == recovery->chain_count) return false;
    const struct recovery_chain *chain = chain_of(recovery, thread);
    bool chain_is_over = chain->count == 0 || thread->segment > chain->end_segment;
    if (thread->in_batch)
        read_effect(recovery, thread);
    else if (thread->reader)
        read_batch(recovery, thread);
    else if (chain_is_over || !chain_is_wanted(recovery, chain, thread->id))
        next_chain(recovery, thread);
    else
        open_segment(recovery, thread);
    return true;
}

/* --- the whole --- */

static void begin(struct recovery *recovery, struct recovery_thread *thread) {
    uint32_t count = recovery->manifest.checkpoint.number ? recovery->manifest.checkpoint.shards : 0;
    struct heap *heap = thread->shard->heap;
    thread->frontier_count = count;
    thread->frontiers = count ? heap_alloc_zero(heap, MEM_STATS, count * sizeof *thread->frontiers) : NULL;
    for (uint32_t i = 0; i < count; i++) frontiers_init(&thread->frontiers[i], heap, 0);
    thread->load = LOAD_FILES;
    if (recovery->chain_count) {
        thread->batch.seq = recovery_range(recovery, &recovery->chains[0])->first_seq - 1;
    }
}

static void count_keys(struct recovery *recovery, const struct shard *shard) {
    uint64_t count = 0;
    for (uint32_t db = 0; db < shard->db_used; db++)
        if (shard_db_peek(shard, db)) count += keyspace_count(shard_db_peek(shard, db));
    atomic_fetch_add_explicit(&recovery->keys_held, count, memory_order_relaxed); /* ordered by the arrival */
}

bool recovery_load_step(struct recovery *recovery, struct recovery_thread *thread) {
    switch (thread->load) {
    case LOAD_BEGIN: begin(recovery, thread); return true;
    case LOAD_FILES: load_files_step(recovery, thread); return true;
    case LOAD_EFFECTS:
        if (load_effects_step(recovery, thread)) return true;
        count_keys(recovery, thread->shard);
        recovery_load_stop(thread);
        thread->load = LOAD_OVER;
        return false;
    case LOAD_OVER: break;
    }
    return false;
}

void recovery_load_stop(struct recovery_thread *thread) {
    if (thread->rdb) rdb_close(thread->rdb);
    if (thread->reader) segment_close(thread->reader);
    thread->rdb = NULL;
    thread->reader = NULL;
    if (!thread->frontiers) return;
    struct heap *heap = thread->shard->heap;
    for (uint32_t i = 0; i < thread->frontier_count; i++) frontiers_deinit(&thread->frontiers[i]);
    heap_free(heap, MEM_STATS, thread->frontiers, thread->frontier_count * sizeof *thread->frontiers);
    thread->frontiers = NULL;
    thread->frontier_count = 0;
}

uint64_t recovery_load_bytes(const struct recovery *recovery) {
    uint64_t sum = 0;
    for (uint32_t id = 0; id < recovery->options.threads; id++) {
        for (uint32_t file = 0; !recovery->manifest.import.path[0] && file < file_count(recovery); file++)
            if (file_is_wanted(recovery, id, file)) sum += recovery->manifest.checkpoint.files[file].bytes;
        sum += recovery->manifest.import.bytes;
        for (uint32_t c = 0; c < recovery->chain_count; c++) {
            const struct recovery_chain *chain = &recovery->chains[c];
            if (!chain_is_wanted(recovery, chain, id)) continue;
            for (uint32_t i = chain->first; i < chain->first + chain->count && i <= chain->end_segment; i++)
                sum += recovery->segments[i].end_offset;
        }
    }
    return sum;
}
