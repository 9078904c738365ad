/* The turn of a part that has loaded: the journal's batch, what that makes durable, the checkpoint's slice; and the
 * end. */
#include "core/probe.h"
#include "persist/persist_priv.h"
#include "persist/spool.h"
#include "shards/commit.h"
#include <stdio.h>
#include <string.h>

#define SLICE_US     200 /* of a checkpoint, in a turn that has commands to run */
#define SLICE_BYTES  ((uint64_t)4 << 20)
#define STRETCH_KEYS 32
#define CUT_STAMP    (1ull << 60)
#define ASK_NS       5000000000ull /* between checkpoints that a changed option wants, should they fail */
#define STOP_NS      5000000000ull /* so long a disk that fails may come to itself when the server ends */
#define ENDING_NS    1000000ull
#define AHEAD_BYTES  ((uint64_t)16 << 20) /* twice what the journal makes durable at once (SYNC_BYTES) */
#define AHEAD_CHUNKS 4                    /* the same while the disk is in a hurry, and makes less durable at once */
#define AHEAD_MS     5000                 /* how long a disk may stand still, where persist-timeout is shorter */

static bool wants_journal(const struct persist_part *part) {
    return part->shard->config->appendonly;
}

/* --- the journal comes and goes --- */

enum status part_open_journal(struct persist_part *part, struct error *error) {
    struct persist *persist = part->persist;
    struct shard *shard = part->shard;
    struct journal_options options = {.dir = persist->dir.path,
                                      .shard = shard->id,
                                      .shards = shard->count,
                                      .boot = persist->boot,
                                      .first_segment = part->next_segment,
                                      .first_batch = part->batch + 1,
                                      .heap = shard->heap,
                                      .effects = &shard->effects,
                                      .disk = part->disk,
                                      .log = persist->log,
                                      .write_through = datadir_writes_through(&persist->dir)};
    ASSERT(!part->journal && part->state != PART_RECOVERING);
    part->closing = false;
    return journal_open(&part->journal, &options, error);
}

static void read_journal(struct persist_part *part) {
    if (!part->journal) return;
    uint64_t syncs = part->status.syncs_ended;
    journal_read_status(part->journal, &part->status);
    part->batch = part->status.batch_written;
    part->batch_durable = part->status.batch_durable;
    part->next_segment = part->status.segment + 1;
    if (part->status.syncs_ended == syncs) return;
    PROBE3(fsync, part->shard->id, part->status.sync_ns_last, part->status.bytes_pending);
    shard_note_ns(part->shard, SPIKE_SYNC, part->status.sync_ns_last);
}

static bool log_is_on(const struct persist_part *part) {
    return part->journal && !part->closing;
}

void part_note_log(const struct persist_part *part) {
    /* relaxed: it says nothing of other memory */
    if (part->shard->id == 0)
        atomic_store_explicit(&part->persist->log_stands, log_is_on(part) && !part->unnamed, memory_order_relaxed);
}

/* Off: what it holds goes to the disk, and then its files are closed (close_journal). */
static void end_journal(struct persist_part *part) {
    if (!part->journal || part->closing) return;
    journal_flush(part->journal);
    part->closing = true;
    part_note_log(part);
}

static void close_journal(struct persist_part *part) {
    bool in_vain = part->discards && !part->shard->commit.on; /* nobody waits for it, and nobody will read it */
    if (!part->journal || !part->closing || !journal_idle(part->journal)) return;
    if (part->batch_durable < part->batch && !in_vain) return;
    journal_close(part->journal);
    part->journal = NULL;
    if (part->discards) part_discard_segments(part, part->scratch_segment, part->next_segment);
    part->discards = false;
    part->status = (struct journal_status){.batch_written = part->batch, .batch_durable = part->batch};
}

/* --- appendfsync always: replies wait for the disk, from one cut on --- */

static bool wants_gate(const struct persist_part *part) {
    return wants_journal(part) && part->shard->config->appendfsync == APPENDFSYNC_ALWAYS;
}

/* The checkpoint's number names the cut in all shards; no transaction has such a stamp. */
static void set_gate(struct persist_part *part, const struct checkpoint_cut_order *order) {
    struct shard *shard = part->shard;
    if (order->gates == shard->commit.on) return;
    if (order->gates)
        commit_start(shard, CUT_STAMP | order->number << 1 | order->kind);
    else
        commit_stop(shard);
}

/* --- what the checkpoint asks of it --- */

/* The journal goes on, or begins, with a new segment. */
static struct checkpoint_cut begin_cut(struct persist_part *part) {
    struct error error = {0};
    part->unnamed |= !part->journal || part->closing;
    if (part->journal) {
        part->closing = part->discards = false;
        return (struct checkpoint_cut){part->batch, journal_cut(part->journal), true, part->status.bytes_since_cut};
    }
    bool opened = part_open_journal(part, &error) == ST_OK;
    ASSERT(opened); /* the path was short enough for the manifest */
    read_journal(part);
    part->scratch_segment = part->status.segment;
    return (struct checkpoint_cut){part->batch, part->status.segment, true, 0};
}

static struct checkpoint_cut end_cut(struct persist_part *part, bool logs) {
    ASSERT(part->journal);
    if (logs)
        journal_flush(part->journal);
    else
        end_journal(part);
    return (struct checkpoint_cut){part->batch, part->status.segment, logs, part->status.bytes_since_cut};
}

static struct checkpoint_cut cut(void *ctx, const struct checkpoint_cut_order *order) {
    struct persist_part *part = ctx;
    if (part->journal) {
        journal_turn(part->journal, part->shard->now_ns, part->shard->config->appendfsync);
        read_journal(part);
    }
    struct checkpoint_cut result = order->kind == CUT_BEGIN ? begin_cut(part) : end_cut(part, order->logs);
    set_gate(part, order);
    return result;
}

static void drop_before(void *ctx, uint64_t segment) {
    struct persist_part *part = ctx;
    part->scratch_segment = 0;
    part->unnamed = false;
    if (part->journal) journal_drop_before(part->journal, segment);
    part_note_log(part);
}

static void leave(void *ctx) {
    struct persist_part *part = ctx;
    part->scratch_segment = 0;
}

/* A journal that is wanted goes on, and begins once more with the next checkpoint (look). */
static void gave_up(void *ctx) {
    struct persist_part *part = ctx;
    if (log_is_on(part) && wants_journal(part)) return;
    if (part->journal) {
        part->discards = part->scratch_segment > 0; /* else it was there before, and holds what counts */
        end_journal(part);
    } else if (part->scratch_segment > 0) {
        part_discard_segments(part, part->scratch_segment, part->next_segment);
    }
}

enum status part_join_checkpoints(struct persist_part *part, struct error *error) {
    struct persist *persist = part->persist;
    struct checkpoints_member_options options = {
        .file = {.shard = part->shard,
                 .disk = part->disk,
                 .dir = &persist->dir,
                 .redis_version = persist->redis_version,
                 .buffer_bytes = SPOOL_BUFFER,
                 .slice_us = SLICE_US,
                 .slice_bytes = SLICE_BYTES,
                 .stretch_keys = STRETCH_KEYS},
        .journal = {.ctx = part, .cut = cut, .drop_before = drop_before, .leave = leave, .gave_up = gave_up}};
    part->member = checkpoints_join(persist->checkpoints, &options);
    return part->member ? ST_OK : error_set(error, ST_NO_MEMORY, 0, "No memory for checkpoints");
}

/* --- writes that cannot be kept --- */

static const char save_refusal[] =
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that "
    "may "
    "modify the data set are disabled, because this instance is configured to report errors during writes if RDB "
    "snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB "
    "error.";

static bool save_failed(const struct persist_part *part) {
    const struct config *config = part->shard->config;
    if (!part->member || config->save.count == 0 || !config->stop_writes_on_bgsave_error) return false;
    return !checkpoints_save_ok(part->member);
}

static void judge_writes(struct persist_part *part) {
    const char *no_save = save_failed(part) ? save_refusal : NULL;
    part->shard->no_writes = part->orders.refuse ? part->orders.refusal : no_save;
}

static void follow_orders(struct persist_part *part) {
    struct shard *shard = part->shard;
    guard_read_orders(part->persist->guard, &part->orders);
    shard->braked.reason = part->orders.patience;
    commit_set_excuse(shard, part->orders.excuse ? part->orders.late : NULL);
    part->look_ns = 0; /* INFO says so, too */
}

/* Tells how far the disk is, and follows what that comes to for all shards. */
static void follow_guard(struct persist_part *part) {
    struct guard *guard = part->persist->guard;
    const struct shard *shard = part->shard;
    guard_turn(guard, shard->id, &part->status, part->journal && shard->effects.on, shard->now_ns, shard->config);
    if (UNLIKELY(guard_version(guard) != part->orders.version)) follow_orders(part);
    if (!part->journal) return;
    journal_set_pace(part->journal, part->orders.sync_every_ns, part->orders.chunk_bytes, part->orders.spare);
    journal_set_room(part->journal, part->orders.roomy);
}

/* What is told in pieces waits for the disk, so that memory does not hold what a large value comes to. But not for one
 * that stands still: the command has begun, holds keys, and perhaps a checkpoint that would make room waits for them. */
static bool is_crowded(struct persist_part *part) {
    const struct journal_status *status = &part->status;
    uint64_t chunk = part->orders.chunk_bytes ? part->orders.chunk_bytes : UINT64_MAX;
    uint64_t most = MIN(AHEAD_BYTES, MIN(chunk, AHEAD_BYTES) * AHEAD_CHUNKS);
    bool is_much = status->bytes_pending > most;
    if (LIKELY(!is_much) || status->bytes_durable != part->moved_to) {
        part->moved_to = status->bytes_durable;
        part->moved_ns = part->shard->now_ns;
    }
    if (LIKELY(!is_much)) return false;
    uint64_t patience_ms = MAX((uint64_t)part->shard->config->persist_timeout, (uint64_t)AHEAD_MS);
    return part->shard->now_ns - part->moved_ns < patience_ms * 1000000; /* else it stands still */
}

/* What changes seldom: ten times a second at most, and never in a thread that sleeps. */
static void look(struct persist_part *part) {
    struct persist *persist = part->persist;
    if (part->shard->now_ns < part->look_ns) return;
    part->look_ns = part->shard->now_ns + PERSIST_LOOK_NS;
    judge_writes(part);
    pthread_mutex_lock(&persist->lock);
    persist->shard[part->shard->id] = (struct persist_shard_status){part->status, part->shard->effects.on};
    pthread_mutex_unlock(&persist->lock);
    if (part->shard->id != 0 || part->stopping) return;
    part_look_at_space(part);
    part->exporting = live_export_turn(persist->live_export, persist->checkpoints, &part->disk, part->shard->now_ms);
    struct checkpoints_status status;
    bool on = log_is_on(part), named = !on || !part->unnamed;
    if (wants_journal(part) == on && wants_gate(part) == part->shard->commit.on && named) return;
    checkpoints_read_status(persist->checkpoints, part->shard->now_ms, &status);
    if (status.saving || status.rewriting || part->shard->now_ns < part->ask_ns) return;
    part->ask_ns = part->shard->now_ns + ASK_NS;
    /* CONFIG SET: it begins, or ends, with a checkpoint; with another one, if that was not completed. */
    checkpoints_ask(persist->checkpoints, part->shard, WHY_REWRITE, false, NULL);
}

/* --- the end --- */

/* As Redis: whenever there are rules, since nobody here knows for certain whether anything has changed since. */
static bool must_save(const struct persist_part *part) {
    const struct config *config = part->shard->config;
    bool asked = atomic_load(&part->persist->end_how) == END_SAVE;
    return asked || (config->save.count > 0 && !config->appendonly); /* else the journal has it all */
}

/* Writes wait until the last save is done, or has failed. */
static void hold(struct persist_part *part, bool on) {
    if (part->holding == on) return;
    part->holding = on;
    shard_hold_writes(part->shard, on);
    if (on)
        atomic_fetch_add(&part->persist->held, 1);
    else
        atomic_fetch_sub(&part->persist->held, 1);
}

static void save_at_end(struct persist_part *part) {
    struct persist *persist = part->persist;
    if (atomic_load(&persist->held) < persist->shards) return;
    if (!part->asked) {
        if (!must_save(part)) {
            atomic_store(&persist->end, END_READY);
            return;
        }
        log_line(persist->log, LOG_LEVEL_NOTICE, "Saving everything before the end");
        part->asked = true;
        checkpoints_ask(persist->checkpoints, part->shard, WHY_END, true, &part->ticket);
        return;
    }
    enum checkpoint_outcome outcome = checkpoints_outcome(persist->checkpoints, part->ticket);
    if (outcome == OUTCOME_PENDING) return;
    part->asked = false;
    if (outcome == OUTCOME_FAILED) log_line(persist->log, LOG_LEVEL_WARNING, "Error trying to save the DB, can't exit");
    atomic_store(&persist->end, outcome == OUTCOME_OK ? END_READY : END_REFUSED);
}

static void end(struct persist_part *part) {
    int state = atomic_load(&part->persist->end);
    if (LIKELY(state == END_NONE && !part->holding)) return;
    if (state == END_READY) return; /* writes are held back until the shard is gone */
    hold(part, state == END_SAVING);
    if (state == END_SAVING && part->shard->id == 0) save_at_end(part);
}

bool persist_leave_off(struct persist_part *part) {
    part->left_off = true;
    return !part->replay || aof_replay_is_quiet(part->replay);
}

void persist_stop(struct persist_part *part) {
    if (part->stopping) return;
    part->stopping = true;
    part->stop_by_ns = part->shard->now_ns + STOP_NS;
    part->shard->expire_off = true; /* or the journal would never be done */
    if (part->member) checkpoints_stop(part->member);
    if (part->journal) journal_flush(part->journal);
}

bool persist_is_idle(const struct persist_part *part) {
    bool given_up = part->status.error && part->shard->now_ns >= part->stop_by_ns;
    bool written = !part->journal || (journal_idle(part->journal) && (given_up || part->batch_durable == part->batch));
    return part->stopping && written && part->jobs == 0 && (!part->member || checkpoints_idle(part->member));
}

/* --- the turn --- */

static bool run_checkpoints(struct persist_part *part, bool busy) {
    if (!part->member) return false;
    struct checkpoints_turn turn = {.now_ns = part->shard->now_ns,
                                    .batch = part->batch,
                                    .batch_durable = part->batch_durable,
                                    .journal_bytes = part->status.bytes_since_cut,
                                    .journal_errno = part->status.error,
                                    .busy = busy,
                                    .works = part->shard->works != NULL};
    return checkpoints_turn(part->member, &turn);
}

static uint64_t wait_of(const struct persist_part *part) {
    uint64_t now_ns = part->shard->now_ns, wait_ns = UINT64_MAX;
    if (part->journal) {
        wait_ns = MIN(wait_ns, journal_wait_ns(part->journal, now_ns));
        wait_ns = MIN(wait_ns, guard_wait_ns(part->persist->guard, &part->status, part->shard->config, now_ns));
    }
    if (part->member) wait_ns = MIN(wait_ns, checkpoints_wait_ns(part->member, now_ns));
    if (part->exporting) wait_ns = MIN(wait_ns, PERSIST_LOOK_NS);
    if (part->holding || part->stopping) wait_ns = MIN(wait_ns, ENDING_NS);
    return wait_ns;
}

bool part_run(struct persist_part *part, bool busy) {
    struct shard *shard = part->shard;
    if (!part->persist->has_dir) return false;
    if (part->journal) {
        journal_turn(part->journal, shard->now_ns, shard->config->appendfsync);
        read_journal(part);
        commit_durable(shard, part->status.position_durable);
        if (UNLIKELY(part->closing)) close_journal(part);
    }
    follow_guard(part);
    shard->effects.crowded = part->journal && is_crowded(part);
    end(part);
    bool more = run_checkpoints(part, busy);
    look(part);
    part->wait_ns = more ? 0 : wait_of(part);
    return more;
}
