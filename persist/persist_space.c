/* Space, as a part has it: measured on the background thread, planned, and told to whom it concerns; and the segments
 * that nobody will ever read, which are removed there. */
#include "persist/persist_priv.h"
#include "persist/space.h"
#include <string.h>
#include <unistd.h>

#define RETRY_NS 200000000ull /* when it failed */

struct space_job {
    struct persist_part *part;
    struct space space;
    /* when it was begun: */
    uint64_t base, fresh; /* checkpoints: the truth; under way, or 0 */
    uint64_t durable;     /* of the journals */
    uint64_t spare;       /* blocks of theirs */
    uint64_t budget;      /* disk-budget: another one is followed at once */
    uint64_t next_ns;
    bool busy, known;
    bool failed; /* it was said */
};

/* Blocks count as spare if they were before and after: of those that came or went meanwhile it is not known. */
static struct space_plan plan(const struct persist_part *part, const struct checkpoints_status *status) {
    struct space_plan plan;
    const struct space_job *job = part->space;
    struct space_input input = {.space = job->space,
                                .spare = MIN(job->spare, guard_spare(part->persist->guard)),
                                .budget = job->budget,
                                .expected = status->expected_bytes,
                                .rate = status->rate,
                                .saving = status->saving || status->rewriting,
                                .saved = status->bytes,
                                .keys = status->keys,
                                .keys_total = status->keys_total,
                                .seconds = status->seconds};
    space_plan(&input, &plan);
    return plan;
}

static int measure(void *arg) {
    struct space_job *job = arg;
    return space_measure(&job->part->persist->dir, job->base, job->fresh, &job->space);
}

/* Was the checkpoint under way completed meanwhile? Then what is left of the one before is what goes: all of it, or
 * nothing more if the look came after that. */
static void follow_manifest(struct space_job *job) {
    struct space *space = &job->space;
    if (!job->fresh || job->part->persist->manifest.checkpoint.number != job->fresh) return;
    uint64_t base = space->fresh;
    space->fresh = space->base;
    space->base = base;
}

static void measured(void *owner, int64_t result) {
    struct space_job *job = owner;
    struct persist_part *part = job->part;
    struct persist *persist = part->persist;
    struct checkpoints_status status;
    job->busy = false;
    part->jobs--;
    if (result < 0) {
        if (!job->failed)
            log_line(persist->log, LOG_LEVEL_WARNING, "Cannot tell how much space is left for %s: %s",
                     persist->dir.path, strerror((int)-result));
        job->failed = true;
        return;
    }
    follow_manifest(job);
    checkpoints_read_status(persist->checkpoints, part->shard->now_ms, &status);
    struct guard_space space = {plan(part, &status), job->space.used, job->durable};
    guard_set_space(persist->guard, &space);
    checkpoints_set_room(persist->checkpoints, space.plan.most, space.plan.tight);
    job->known = true;
    job->next_ns = part->shard->now_ns + (uint64_t)(space.plan.again * 1e9);
}

/* Does anything write, or may begin to by itself, or is there a limit to be held? */
static bool is_wanted(const struct persist_part *part) {
    const struct config *config = part->shard->config;
    return part->journal || config->appendonly || config->save.count > 0 || config->disk_budget > 0;
}

/* What was known grows old, and nobody is to go by it: a save by command finds out for itself. */
static void forget(struct space_job *job) {
    if (job->known) checkpoints_set_room(job->part->persist->checkpoints, UINT64_MAX, false);
    job->known = false;
    job->next_ns = 0;
}

static void begin(struct space_job *job) {
    const struct persist_part *part = job->part;
    struct checkpoints_status status;
    checkpoints_read_status(part->persist->checkpoints, part->shard->now_ms, &status);
    job->busy = true;
    job->budget = part->shard->config->disk_budget;
    job->next_ns = part->shard->now_ns + RETRY_NS;
    job->base = part->persist->manifest.checkpoint.number;
    job->fresh = status.saving || status.rewriting ? status.number : 0;
    job->durable = guard_durable(part->persist->guard);
    job->spare = guard_spare(part->persist->guard);
}

void part_look_at_space(struct persist_part *part) {
    struct shard *shard = part->shard;
    if (!part->space) {
        part->space = heap_alloc_zero(shard->heap, MEM_STATS, sizeof *part->space);
        part->space->part = part;
    }
    struct space_job *job = part->space;
    if (job->busy || part->stopping) return;
    if (!is_wanted(part)) {
        forget(job);
        return;
    }
    if (shard->now_ns < job->next_ns && shard->config->disk_budget == job->budget) return;
    begin(job);
    part->jobs++;
    part->disk.job(part->disk.ctx, measure, job, measured);
}

void part_forget_space(struct persist_part *part) {
    ASSERT(!part->space || !part->space->busy);
    if (part->space) heap_free(part->shard->heap, MEM_STATS, part->space, sizeof *part->space);
    part->space = NULL;
}

/* --- segments without a use --- */

struct discard_job {
    struct persist_part *part;
    uint64_t from, end;
};

static int discard(void *arg) {
    const struct discard_job *job = arg;
    for (uint64_t number = job->from; number < job->end; number++) {
        char name[DATADIR_NAME_MAX];
        datadir_segment_name(name, job->part->shard->id, number);
        unlinkat(job->part->persist->dir.fd, name, 0); /* what stays is swept at the next start */
    }
    return 0;
}

static void discarded(void *owner, int64_t result) {
    struct discard_job *job = owner;
    (void)result;
    job->part->jobs--;
    heap_free(job->part->shard->heap, MEM_STATS, job, sizeof *job);
}

void part_discard_segments(struct persist_part *part, uint64_t from, uint64_t end) {
    struct discard_job *job = heap_alloc(part->shard->heap, MEM_STATS, sizeof *job);
    *job = (struct discard_job){part, from, end};
    part->jobs++;
    part->disk.job(part->disk.ctx, discard, job, discarded);
}
