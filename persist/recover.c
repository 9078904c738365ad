/* Recovery: leading the threads through the stages, and the end of it.
 *
 * A thread works on a stage in steps until there is none left for it, then arrives. The last to arrive does what one
 * thread alone does (JOIN after VERIFY, FINISH after LOAD) and opens the next stage; the others look at one word per
 * slice.
 *
 *      thread 0   VERIFY ----|wait.......|LOAD -------|wait ...|DONE
 *      thread 1   VERIFY ------|JOIN ----|LOAD ---|wait .......|DONE
 *      thread 2   VERIFY --|wait.........|LOAD ----------|FINISH|DONE
 *
 * What a stage wrote is visible in the next one: each arrival releases, the last one acquires them all and releases the
 * stage, which the others acquire. */
#include "persist/recover.h"
#include "core/alloc.h"
#include "core/assert.h"
#include "persist/recover_priv.h"
#include "shards/shard.h"
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#define STEPS_PER_LOOK   16 /* at the clock */
#define REPORT_NS        1000000000ull
#define GENERATIONS_MANY 16 /* at so many a checkpoint is due */

/* --- birth and death --- */

enum status recovery_open(struct recovery **out, const struct recovery_options *options, struct error *error) {
    ASSERT(options->threads > 0 && options->threads <= SHARDS_MAX && options->boot != 0);
    struct recovery *recovery = shared_alloc(sizeof *recovery);
    if (recovery) recovery->threads = shared_alloc(options->threads * sizeof *recovery->threads);
    if (!recovery || !recovery->threads) {
        shared_free(recovery);
        return error_set(error, ST_NO_MEMORY, 0, "No memory for the recovery");
    }
    recovery->options = *options;
    manifest_init(&recovery->manifest);
    recovery->started_ns = clock_mono_ns(&options->clock);
    for (uint32_t i = 0; i < options->threads; i++) {
        recovery->threads[i].id = i;
        effect_reader_init(&recovery->threads[i].effects, slice_of(NULL, 0));
    }
    enum status status = recovery_plan(recovery, error);
    if (status == ST_OK) {
        atomic_store(&recovery->reported_ns, recovery->started_ns);
        *out = recovery;
    } else {
        recovery_close(recovery);
    }
    return status;
}

void recovery_close(struct recovery *recovery) {
    for (uint32_t i = 0; i < recovery->options.threads; i++) {
        ASSERT(!recovery->threads[i].rdb && !recovery->threads[i].frontiers); /* recovery_leave */
        recovery_verify_stop(&recovery->threads[i]);
        effect_reader_deinit(&recovery->threads[i].effects);
    }
    cut_delete(recovery->cut);
    shared_free(recovery->runs);
    shared_free(recovery->run_segments);
    recovery_forget_plan(recovery);
    shared_free(recovery->threads);
    shared_free(recovery);
}

bool recovery_has_data(const struct recovery *recovery) {
    const struct manifest *manifest = &recovery->manifest;
    return manifest->checkpoint.number || manifest->import.path[0] || recovery->segment_count;
}

/* --- going wrong --- */

void recovery_fail(struct recovery *recovery, const struct error *error) {
    if (atomic_exchange(&recovery->failing, 1)) return;
    recovery->error = *error;
    /* Release: the error is written. Pairs with the acquire in has_failed. */
    atomic_store_explicit(&recovery->failed, 1, memory_order_release);
}

static bool has_failed(const struct recovery *recovery) {
    return atomic_load_explicit(&recovery->failed, memory_order_acquire);
}

bool recovery_may_go_on(struct recovery *recovery, const char *what) {
    struct error error = {0};
    atomic_fetch_add_explicit(&recovery->damages, 1, memory_order_relaxed); /* a counter */
    if (recovery->options.damage != DAMAGE_REFUSE) {
        log_line(recovery->options.log, LOG_LEVEL_WARNING, "Damage: %s%s", what,
                 recovery->options.only_look ? "" : "; going on, as recovery-damage says");
        return true;
    }
    (void)error_set(&error, ST_INVALID, 0,
                    "%.220s (in %.90s). Nothing was changed. To go on without it: --recovery-damage truncate gives up "
                    "what was written after it, --recovery-damage skip only what is damaged",
                    what, recovery->options.dir->path);
    recovery_fail(recovery, &error);
    return false;
}

const struct error *recovery_error(const struct recovery *recovery) {
    ASSERT(has_failed(recovery));
    return &recovery->error;
}

/* --- progress --- */

void recovery_count_bytes(struct recovery_thread *thread, uint64_t offset) {
    if (offset <= thread->counted) return;
    thread->bytes += offset - thread->counted;
    thread->counted = offset;
}

/* Once a slice, so that threads do not fight for a line of cache with every key. Relaxed: counters for people, and what
 * is final is ordered by the arrivals. */
static void add_counts(struct recovery *recovery, struct recovery_thread *thread) {
    atomic_fetch_add_explicit(&recovery->bytes, thread->bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&recovery->keys, thread->keys, memory_order_relaxed);
    atomic_fetch_add_explicit(&recovery->effects, thread->applied, memory_order_relaxed);
    thread->bytes = thread->keys = thread->applied = 0;
}

void recovery_read_progress(const struct recovery *recovery, struct recovery_progress *out) {
    /* Relaxed: each is a moment old, and they need not fit together. */
    out->bytes = atomic_load_explicit(&recovery->bytes, memory_order_relaxed);
    out->bytes_total = atomic_load_explicit(&recovery->bytes_total, memory_order_relaxed);
    out->keys = atomic_load_explicit(&recovery->keys, memory_order_relaxed);
    out->effects = atomic_load_explicit(&recovery->effects, memory_order_relaxed);
    out->verifying = atomic_load_explicit(&recovery->stage, memory_order_relaxed) == STAGE_VERIFY;
}

static void report_progress(struct recovery *recovery, uint64_t now_ns) {
    uint64_t before = atomic_load_explicit(&recovery->reported_ns, memory_order_relaxed);
    if (now_ns - before < REPORT_NS) return;
    /* Whoever moves the time reports. */
    if (!atomic_compare_exchange_strong(&recovery->reported_ns, &before, now_ns)) return;
    struct recovery_progress progress;
    recovery_read_progress(recovery, &progress);
    if (progress.verifying)
        log_line(recovery->options.log, LOG_LEVEL_NOTICE, "Verifying the journal: %" PRIu64 " MB read",
                 progress.bytes >> 20);
    else
        log_line(recovery->options.log, LOG_LEVEL_NOTICE,
                 "Loading: %" PRIu64 " of %" PRIu64 " MB read, %" PRIu64 " keys, %" PRIu64 " effects applied",
                 progress.bytes >> 20, progress.bytes_total >> 20, progress.keys, progress.effects);
}

/* --- FINISH --- */

/* Journals that were open are over where JOIN found their end; those in which nothing is left go. */
static void end_generations(struct recovery *recovery) {
    struct manifest *manifest = &recovery->manifest;
    uint32_t chain = recovery->chain_count;
    for (uint32_t g = manifest->generation_count; g-- > 0;) {
        struct manifest_generation *generation = &manifest->generations[g];
        bool empty = true;
        generation->over = true;
        for (uint32_t shard = generation->shards; shard-- > 0;) {
            const struct recovery_chain *at = &recovery->chains[--chain];
            struct manifest_range *range = &generation->ranges[shard];
            range->last_segment = at->count ? recovery->segments[at->end_segment].number : range->first_segment;
            range->last_seq = at->end_seq;
            range->last_part = at->end_part;
            empty &= range->last_seq < range->first_seq && range->last_part == 0;
        }
        bool is_checkpoints = manifest->checkpoint.number && manifest->checkpoint.boot == generation->boot;
        if (empty && !is_checkpoints) manifest_remove_generation(manifest, g);
    }
}

static bool begin_generation(struct recovery *recovery) {
    struct manifest *manifest = &recovery->manifest;
    recovery->result.first_segment = manifest->next;
    recovery->result.first_batch = 1;
    if (!recovery->options.journal) return true;
    struct manifest_generation *generation = manifest_add_generation(manifest);
    if (!generation) return false;
    generation->boot = recovery->options.boot;
    generation->shards = recovery->options.threads;
    for (uint32_t i = 0; i < generation->shards; i++)
        generation->ranges[i] = (struct manifest_range){.first_segment = manifest->next, .first_seq = 1};
    manifest->next++;
    return true;
}

static bool keep(void *ctx, struct datadir_name is) {
    return manifest_names(ctx, is);
}

/* Segments that were prepared and never begun. */
static void drop_empty_segments(const struct recovery *recovery) {
    char name[DATADIR_NAME_MAX];
    for (uint32_t i = 0; i < recovery->segment_count; i++) {
        const struct recovery_segment *segment = &recovery->segments[i];
        if (segment->opened != ST_NOT_FOUND) continue;
        datadir_segment_name(name, recovery->chains[segment->chain].shard, segment->number);
        unlinkat(recovery->options.dir->fd, name, 0);
    }
}

/* A full disk has room for a manifest when what nobody needs is gone; the reserve is there for that. */
static enum status save_manifest(const struct recovery *recovery, struct error *error) {
    enum status status = manifest_save(&recovery->manifest, recovery->options.dir, error);
    if (status == ST_OK || error->os_errno != ENOSPC) return status;
    drop_empty_segments(recovery);
    unlinkat(recovery->options.dir->fd, DATADIR_RESERVE, 0);
    return manifest_save(&recovery->manifest, recovery->options.dir, error);
}

static enum status write_manifest(struct recovery *recovery, struct error *error) {
    if (recovery->options.only_look || !(recovery->found || recovery->options.journal)) return ST_OK;
    const struct datadir *dir = recovery->options.dir;
    uint64_t removed = 0;
    enum status status = save_manifest(recovery, error);
    if (status != ST_OK) return status;
    struct error trouble = {0}; /* files that stay for now do no harm */
    if (datadir_sweep(dir, keep, &recovery->manifest, &removed, &trouble) != ST_OK)
        log_line(recovery->options.log, LOG_LEVEL_WARNING, "%s", trouble.text);
    if (removed)
        log_line(recovery->options.log, LOG_LEVEL_NOTICE, "%" PRIu64 " files that are not needed any more were removed",
                 removed);
    datadir_keep_reserve(dir);
    return ST_OK;
}

static enum status make_manifest(struct recovery *recovery, struct error *error) {
    struct manifest *manifest = &recovery->manifest;
    end_generations(recovery);
    manifest->next = MAX(manifest->next, recovery->highest + 1);
    if (!begin_generation(recovery))
        return error_set(error, ST_TOO_LARGE, 0,
                         "%s has journals of %u starts, but no checkpoint since: 'sherd export' makes one file of them",
                         recovery->options.dir->path, MANIFEST_GENERATIONS_MAX);
    return ST_OK;
}

static void fill_result(struct recovery *recovery) {
    struct recovery_result *result = &recovery->result;
    result->keys = atomic_load_explicit(&recovery->keys, memory_order_relaxed); /* the arrivals ordered it */
    result->keys_held = atomic_load_explicit(&recovery->keys_held, memory_order_relaxed);
    result->effects = atomic_load_explicit(&recovery->effects, memory_order_relaxed);
    result->import_end = atomic_load_explicit(&recovery->import_end, memory_order_relaxed);
    result->damages = atomic_load_explicit(&recovery->damages, memory_order_relaxed);
    /* What was passed over is in the files still, and would be in the way at the next start. */
    result->wants_checkpoint = recovery->manifest.import.path[0] || result->damages > 0 ||
                               recovery->manifest.generation_count > GENERATIONS_MANY;
}

static void finish(struct recovery *recovery) {
    struct error error = {0};
    bool had_data = recovery_has_data(recovery);
    enum status status = make_manifest(recovery, &error);
    if (status == ST_OK) status = write_manifest(recovery, &error);
    if (status != ST_OK) {
        recovery_fail(recovery, &error);
        return;
    }
    fill_result(recovery);
    uint64_t took_ms = (clock_mono_ns(&recovery->options.clock) - recovery->started_ns) / 1000000;
    if (had_data)
        log_line(recovery->options.log, LOG_LEVEL_NOTICE,
                 "DB loaded from disk: %" PRIu64 " keys, of %" PRIu64 " in files and %" PRIu64
                 " effects after them, in %" PRIu64 ".%03" PRIu64 " seconds",
                 recovery->result.keys_held, recovery->result.keys, recovery->result.effects, took_ms / 1000,
                 took_ms % 1000);
}

/* --- the stages --- */

static bool is_last_to_arrive(struct recovery *recovery) {
    /* Acquire and release: the last one sees what all did before they arrived. */
    uint32_t before = atomic_fetch_add_explicit(&recovery->arrivals, 1, memory_order_acq_rel);
    return before + 1 == recovery->options.threads;
}

static void open_stage(struct recovery *recovery, enum recovery_stage stage) {
    atomic_store_explicit(&recovery->arrivals, 0, memory_order_relaxed); /* ordered by the next store */
    /* Release: what the stage before found. Pairs with the acquire in wait_for. */
    atomic_store_explicit(&recovery->stage, stage, memory_order_release);
}

static bool wait_for(const struct recovery *recovery, enum recovery_stage stage) {
    return atomic_load_explicit(&recovery->stage, memory_order_acquire) >= stage;
}

/* At the end of VERIFY or LOAD: the last one goes on to the stage of one thread, the others wait. */
static enum recovery_state arrive(struct recovery *recovery, struct recovery_thread *thread,
                                  enum recovery_stage next_alone, enum recovery_stage next) {
    if (!thread->arrived) {
        thread->arrived = true;
        add_counts(recovery, thread);
        if (is_last_to_arrive(recovery)) {
            thread->arrived = false;
            thread->stage = next_alone;
            return RECOVERY_MORE;
        }
    }
    if (!wait_for(recovery, next)) return RECOVERY_WAITING;
    thread->arrived = false;
    thread->stage = next;
    return RECOVERY_MORE;
}

static void end_join(struct recovery *recovery, struct recovery_thread *thread) {
    atomic_store_explicit(&recovery->bytes, 0, memory_order_relaxed); /* ordered by open_stage */
    atomic_store_explicit(&recovery->bytes_total, recovery_load_bytes(recovery), memory_order_relaxed);
    thread->stage = STAGE_LOAD;
    open_stage(recovery, STAGE_LOAD);
}

static enum recovery_state step(struct recovery *recovery, struct recovery_thread *thread) {
    switch (thread->stage) {
    case STAGE_VERIFY:
        if (!thread->arrived && recovery_verify_step(recovery, thread)) return RECOVERY_MORE;
        return arrive(recovery, thread, STAGE_JOIN, STAGE_LOAD);
    case STAGE_JOIN:
        if (!recovery_join_step(recovery) && !has_failed(recovery)) end_join(recovery, thread);
        return RECOVERY_MORE;
    case STAGE_LOAD:
        if (!thread->arrived && recovery_load_step(recovery, thread)) return RECOVERY_MORE;
        return arrive(recovery, thread, STAGE_FINISH, STAGE_DONE);
    case STAGE_FINISH:
        finish(recovery);
        if (has_failed(recovery)) return RECOVERY_MORE;
        thread->stage = STAGE_DONE;
        open_stage(recovery, STAGE_DONE);
        return RECOVERY_MORE;
    case STAGE_DONE: break;
    }
    return RECOVERY_DONE;
}

static enum recovery_state stop(struct recovery_thread *thread) {
    recovery_load_stop(thread);
    return RECOVERY_FAILED;
}

void recovery_leave(struct recovery *recovery, uint32_t thread) {
    recovery_load_stop(&recovery->threads[thread]);
}

enum recovery_state recovery_slice(struct recovery *recovery, uint32_t id, struct shard *shard, uint64_t budget_ns) {
    struct recovery_thread *thread = &recovery->threads[id];
    ASSERT(id < recovery->options.threads && shard->id == id && shard->count == recovery->options.threads);
    thread->shard = shard;
    uint64_t now_ns, end_ns = clock_mono_ns(&recovery->options.clock) + budget_ns;
    uint64_t now_ms = shard->shared.now_ms, dirty = shard->shared.dirty;
    shard->shared.now_ms = 0; /* nothing expires: what expired was removed by an effect */
    enum recovery_state state = RECOVERY_MORE;
    do {
        for (unsigned i = 0; i < STEPS_PER_LOOK && state == RECOVERY_MORE; i++)
            state = has_failed(recovery) ? stop(thread) : step(recovery, thread);
        now_ns = clock_mono_ns(&recovery->options.clock);
    } while (state == RECOVERY_MORE && now_ns < end_ns);
    shard->shared.now_ms = now_ms;
    shard->shared.dirty = dirty; /* what is loaded is no change */
    add_counts(recovery, thread);
    if (state != RECOVERY_DONE) report_progress(recovery, now_ns);
    return state;
}

/* --- what came out --- */

const struct recovery_result *recovery_result(const struct recovery *recovery) {
    ASSERT(wait_for(recovery, STAGE_DONE));
    return &recovery->result;
}

void recovery_take_manifest(struct recovery *recovery, struct manifest *to) {
    ASSERT(wait_for(recovery, STAGE_DONE));
    *to = recovery->manifest;
    manifest_init(&recovery->manifest);
}
