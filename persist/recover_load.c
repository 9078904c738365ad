/* Recovery, LOAD: one thread fills its shard. First from files (persist/recover_files.c), then from the journals
 * (persist/recover_effects.c). Of all it takes the keys that its shard owns. */
#include "core/assert.h"
#include "core/slab.h"
#include "persist/rdb_read.h"
#include "persist/recover_priv.h"
#include "shards/shard.h"
#include <inttypes.h>
#include <stdio.h>

#define WHAT_MAX 400

void recovery_damage_at(struct recovery *recovery, const char *file, uint64_t offset, const char *why) {
    char what[WHAT_MAX];
    snprintf(what, sizeof what, "%.200s is damaged at byte %" PRIu64 " (%.128s)", file, offset, why);
    recovery_may_go_on(recovery, what);
}

bool recovery_owns(void *ctx, uint32_t db, struct slice key) {
    const struct recovery_thread *thread = ctx;
    (void)db;
    return shard_of_key(thread->shard, key) == thread->shard->id;
}

static void begin(struct recovery *recovery, struct recovery_thread *thread) {
    uint32_t count = recovery->manifest.checkpoint.number ? recovery->manifest.checkpoint.shards : 0;
    struct heap *heap = thread->shard->heap;
    thread->frontier_count = count;
    thread->frontiers = count ? heap_alloc_zero(heap, MEM_STATS, count * sizeof *thread->frontiers) : NULL;
    for (uint32_t i = 0; i < count; i++) frontiers_init(&thread->frontiers[i], heap, 0);
    thread->load = LOAD_FILES;
    slab_expect_much(thread->shard->slab, true);
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
    case LOAD_FILES:
        if (recovery_files_step(recovery, thread)) return true;
        thread->load = LOAD_EFFECTS;
        thread->chain = thread->segment = 0;
        return true;
    case LOAD_EFFECTS:
        if (recovery_effects_step(recovery, thread)) return true;
        count_keys(recovery, thread->shard);
        recovery_load_stop(thread);
        thread->load = LOAD_OVER;
        return false;
    case LOAD_OVER: break;
    }
    return false;
}

void recovery_load_stop(struct recovery_thread *thread) {
    if (thread->shard) slab_expect_much(thread->shard->slab, false);
    recovery_drop_pending(thread);
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
        for (uint32_t file = 0; !recovery->manifest.import.path[0] && file < recovery_file_count(recovery); file++)
            if (recovery_file_is_wanted(recovery, id, file)) sum += recovery->manifest.checkpoint.files[file].bytes;
        sum += recovery->manifest.import.bytes;
        for (uint32_t c = 0; c < recovery->chain_count; c++) {
            const struct recovery_chain *chain = &recovery->chains[c];
            if (!recovery_chain_is_wanted(recovery, chain, id)) continue;
            for (uint32_t i = chain->first; i < chain->first + chain->count && i <= chain->end_segment; i++)
                sum += recovery->segments[i].end_offset;
        }
    }
    return sum;
}
