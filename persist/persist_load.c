/* A part's way to its first client:
 *
 *      RECOVERING   its keys come out of the files
 *      RECOVERED    (all meet) thread 0 has the manifest and plays a log of Redis, if one is imported
 *      ARMED        (all meet) the journal takes what happens from here on
 *      ADOPTING     an imported log becomes a checkpoint; clients still wait
 *      RUNNING                                                                                                       */
#include "persist/persist_priv.h"
#include "shards/commit.h"
#include <string.h>

#define SLICE_NS   2000000ull
#define WAITING_NS 1000000ull /* how soon to look again for the others */

static bool wait_for_others(struct persist_part *part) {
    part->wait_ns = WAITING_NS;
    return false;
}

static bool give_up(struct persist_part *part, const struct error *error) {
    persist_fail(part->persist, error);
    part->wait_ns = UINT64_MAX;
    return false;
}

/* --- an imported log --- */

/* The next file of the log; none is left: all is played. */
static bool next_file(struct persist_part *part) {
    struct persist *persist = part->persist;
    struct error error = {0};
    if (part->replaying == persist->aof.count) {
        atomic_store(&persist->replayed, true);
        part->state = PART_RECOVERED;
        return true;
    }
    const struct aof_part *file = &persist->aof.parts[part->replaying++];
    uint64_t offset = file->has_rdb ? recovery_result(persist->recovery)->import_end : 0; /* it is the first then */
    bool is_last = part->replaying == persist->aof.count;
    if (aof_replay_open(&part->replay, part->shard, file->path, offset, is_last && persist->aof_truncated_ok, &error) !=
        ST_OK)
        return give_up(part, &error);
    log_line(persist->log, LOG_LEVEL_NOTICE, "Loading '%s' from byte %llu of %llu", file->path,
             (unsigned long long)offset, (unsigned long long)aof_replay_size(part->replay));
    return true;
}

static bool replay(struct persist_part *part) {
    struct error error = {0};
    if (!part->replay) return next_file(part);
    enum aof_step step = aof_replay_slice(part->replay, &error);
    if (step == AOF_WAITING) return wait_for_others(part);
    if (step == AOF_MORE) return true;
    if (step == AOF_FAILED) return give_up(part, &error);
    if (error.text[0]) log_line(part->persist->log, LOG_LEVEL_WARNING, "%s", error.text);
    aof_replay_close(part->replay);
    part->replay = NULL;
    return true;
}

/* --- meetings --- */

static bool have_met(struct persist_part *part, _Atomic uint32_t *arrived) {
    return atomic_load(arrived) == part->persist->shards;
}

static bool arm(struct persist_part *part) {
    struct persist *persist = part->persist;
    struct shard *shard = part->shard;
    struct error error = {0};
    const struct recovery_result *result = recovery_result(persist->recovery);
    part->next_segment = result->first_segment;
    part->batch = part->batch_durable = result->first_batch - 1;
    bool logs = persist->appendonly && persist->aof.count == 0; /* else from the checkpoint on that adopts it */
    if (logs && part_open_journal(part, &error) != ST_OK) return give_up(part, &error);
    if (logs && persist->gated) commit_start(shard, 0);
    if (part_join_checkpoints(part, &error) != ST_OK) return give_up(part, &error);
    part->state = PART_ARMED;
    atomic_fetch_add(&persist->armed, 1);
    return true;
}

static bool recovered(struct persist_part *part) {
    struct persist *persist = part->persist;
    if (!have_met(part, &persist->recovered)) return wait_for_others(part);
    if (persist->aof.count > 0 && !atomic_load(&persist->replayed)) {
        if (part->shard->id != 0) return wait_for_others(part);
        part->state = PART_REPLAYING;
        return true;
    }
    return arm(part);
}

static void open_doors(struct persist_part *part) {
    shard_loaded(part->shard);
    part->state = PART_RUNNING;
    part_note_log(part);
    atomic_fetch_add(&part->persist->opened, 1);
    if (part->shard->id != 0) return;
    atomic_store(&part->persist->state, PERSIST_RUNNING);
    if (recovery_result(part->persist->recovery)->wants_checkpoint && part->persist->aof.count == 0)
        checkpoints_ask(part->persist->checkpoints, part->shard, WHY_SAVE, false, NULL);
}

static bool armed(struct persist_part *part) {
    struct persist *persist = part->persist;
    if (!have_met(part, &persist->armed)) return wait_for_others(part);
    if (persist->aof.count == 0) {
        open_doors(part);
        return true;
    }
    if (part->shard->id == 0) checkpoints_ask(persist->checkpoints, part->shard, WHY_SAVE, false, &part->ticket);
    part->state = PART_ADOPTING;
    return true;
}

/* A checkpoint is under way (part_run drives it). */
static bool adopted(struct persist_part *part) {
    struct persist *persist = part->persist;
    if (part->shard->id == 0 && !atomic_load(&persist->adopted)) {
        enum checkpoint_outcome outcome = checkpoints_outcome(persist->checkpoints, part->ticket);
        struct error error = {0};
        if (outcome == OUTCOME_FAILED) {
            error_set(&error, ST_IO, 0,
                      "What was imported could not be saved, see the lines before; nothing was changed");
            return give_up(part, &error);
        }
        if (outcome == OUTCOME_OK) {
            persist_end_import(persist);
            atomic_store(&persist->adopted, true);
        }
    }
    if (!atomic_load(&persist->adopted)) return wait_for_others(part);
    open_doors(part);
    return true;
}

static bool recover(struct persist_part *part) {
    struct persist *persist = part->persist;
    switch (recovery_slice(persist->recovery, part->shard->id, part->shard, SLICE_NS)) {
    case RECOVERY_MORE: return true;
    case RECOVERY_WAITING: return wait_for_others(part);
    case RECOVERY_FAILED: return give_up(part, recovery_error(persist->recovery));
    case RECOVERY_DONE: break;
    }
    if (part->shard->id == 0) recovery_take_manifest(persist->recovery, &persist->manifest);
    part->state = PART_RECOVERED;
    atomic_fetch_add(&persist->recovered, 1);
    return true;
}

bool part_load(struct persist_part *part) {
    part->wait_ns = 0;
    if (part->left_off || persist_state(part->persist) == PERSIST_FAILED) {
        part->wait_ns = UINT64_MAX;
        return false;
    }
    switch (part->state) {
    case PART_RECOVERING: return recover(part);
    case PART_RECOVERED: return recovered(part);
    case PART_REPLAYING: return replay(part);
    case PART_ARMED: return armed(part);
    case PART_ADOPTING: return adopted(part);
    case PART_RUNNING: break;
    }
    return false;
}
