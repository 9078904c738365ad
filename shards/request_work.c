/* Work: the commands that keep their keys over several turns (shards/work.h), a queue of granted requests. Each turn
 * does a slice of the first, which then goes to the end. */
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/answer_work.h"
#include "shards/pipeline_priv.h"
#include "shards/request_priv.h"
#include "shards/waiters.h"
#include "shards/work.h"

static struct work *work_of(const uint64_t *words) {
    return (struct work *)(uintptr_t)words[0];
}

/* It has its keys and was not begun. A blocked client's command, which is counted as a part is, comes to that without
 * having been kept for it. */
static bool may_begin(const struct exec *x) {
    return work_begins(x) && !x->slice[0];
}

bool work_takes_turns(struct exec *x) {
    bool beside = UNLIKELY(x->shared->pin_watch != NULL) && request_runs_beside_save(x); /* it does not own its key */
    if ((x->part && !may_begin(x)) || x->flags & CLIENT_NO_BLOCK || beside) return false;
    ASSERT(work_is_possible(x->slot->row));
    x->again = true;
    if (work_begins(x)) return true;
    x->blocks = true; /* until it has its keys; then its handler looks at them anew, but nobody is told of that */
    x->flags |= CLIENT_STEP;
    return true;
}

void *work_new(const struct exec *x, size_t size, struct work work) {
    void *memory = heap_alloc_zero(x->shard->heap, MEM_MESSAGE, size);
    work.size = size;
    work.since_ms = MAX(x->shard->now_ms, (uint64_t)1);
    work.argc = x->argc;
    buf_init(&work.out, x->shard->heap, MEM_CLIENT_OUT);
    memcpy(memory, &work, sizeof work);
    return memory;
}

void work_delete(struct shard *shard, struct work *work) {
    if (work->end) work->end(shard, work);
    account_expect(&shard->account, work->expected, -1);
    buf_deinit(&work->out);
    if (work->argv) heap_free(shard->heap, MEM_MESSAGE, work->argv, work->argc * sizeof *work->argv);
    heap_free(shard->heap, MEM_MESSAGE, work, work->size);
}

void work_begin(struct exec *x, struct work *work) {
    ASSERT(x->slice && !x->slice[0] && work->some);
    x->slice[0] = (uint64_t)(uintptr_t)work;
}

void work_take_reply(struct request *request, struct buf *reply) {
    struct work *work = work_of(request->work);
    ASSERT(work->out.len == 0);
    struct buf empty = work->out;
    work->out = *reply;
    *reply = empty;
}

/* --- the queue --- */

#define LOOK_MAX 16 /* of those that are passed over in a turn */

static void append(struct shard *shard, struct request *request) {
    request->next_work = NULL;
    if (shard->works)
        shard->works_last->next_work = request;
    else
        shard->works = request;
    shard->works_last = request;
}

static struct request *take_first(struct shard *shard) {
    struct request *request = shard->works;
    shard->works = request->next_work;
    return request;
}

static bool refuse(struct exec *x, struct work *work) {
    (void)work;
    reply_error(x, answer_refusal(command_at(x->shard->registry, x->slot->number)->row));
    return false;
}

/* Until it ends, what it expects is room that is taken. */
static bool has_begun(struct shard *shard, const struct request *request) {
    struct work *work = work_of(request->work);
    if (LIKELY(!work->expects)) return true;
    enum admission may =
        admit_waiting_answer(shard, work->expects, work->since_ms, locks_is_waited_for(shard->locks, &request->lock));
    if (may == ADMIT_WAIT) return false;
    if (may == ADMIT_REFUSE) work->some = refuse;
    work->expected = may == ADMIT_GO ? work->expects : 0;
    work->expects = 0;
    account_expect(&shard->account, work->expected, 1);
    return true;
}

static bool is_ready(struct shard *shard, const struct request *request) {
    if (!has_begun(shard, request)) return false;
    return !work_of(request->work)->tells || !shard->effects.crowded;
}

/* The first that need not wait for the disk, or for room; NULL: there is none near the front. */
static struct request *take_next(struct shard *shard) {
    const struct request *last = shard->works_last;
    for (unsigned i = 0; i < LOOK_MAX; i++) {
        struct request *request = take_first(shard);
        if (is_ready(shard, request)) return request;
        append(shard, request);
        if (request == last) break;
    }
    return NULL;
}

void request_keep_working(struct shard *shard, struct request *request) {
    ASSERT(request->kind == REQUEST_COMMAND || request->kind == REQUEST_SERVE);
    ASSERT(request->lock.state == LOCK_GRANTED);
    append(shard, request);
}

/* --- a slice --- */

static void run_some(struct exec *x) {
    struct work *work = work_of(x->slice);
    if (work->some(x, work)) exec_continue(x);
}

/* Runs it in place of the row's handler: what it says to the journal is then a group of its own, or kept. */
static void execute(struct shard *shard, struct request *request, struct exec *x) {
    const struct command_slot *slot = x->slot;
    struct command row = *slot->row;
    struct command_slot some = *slot;
    bool tells = work_of(request->work)->tells && shard->effects.on;
    row.run = run_some;
    row.flags |= CMD_INTERNAL; /* a slice that tells of a change need not be the one that made it */
    some.row = &row;
    x->slot = &some;
    if (tells && !request->effects) request->effects = effect_group_new(shard->heap);
    if (tells) effects_keep(&shard->effects, request->effects);
    pipeline_execute(shard, x);
    effects_keep(&shard->effects, NULL);
    if (tells) effects_add_piece(&shard->effects, request->effects, request->lock.stamp);
    uint64_t position = tells ? commit_end_step(&shard->commit) : commit_end(&shard->commit);
    request->position = MAX(request->position, position);
    x->slot = slot;
}

static struct exec exec_of_slice(struct shard *shard, struct request *request) {
    struct work *work = work_of(request->work);
    if (!work->argv) {
        work->argv = heap_alloc(shard->heap, MEM_MESSAGE, work->argc * sizeof *work->argv);
        message_item_argv(request->item, work->argv);
    }
    return request_exec(shard, request->item, work->argv, &work->out);
}

static void count(struct shard *shard, struct exec *x, const struct work *work, uint64_t ticks) {
    if (work->counts_as && work->counts_as != x->slot) {
        x->slot = work->counts_as;
        x->argc = 2; /* name and key, of those of a stand-in */
    }
    pipeline_count(shard, x, work->ticks + ticks);
}

/* True: that was the last one. */
static bool run_slice(struct shard *shard, struct request *request) {
    struct exec x = exec_of_slice(shard, request);
    x.slice = request->work;
    x.part = true; /* it is counted as a whole, below */
    uint64_t start = shard->host.ticks(shard->host.ctx);
    shard->last_tick = start;
    execute(shard, request, &x);
    request->ticks += shard->last_tick - start;
    ASSERT(x.again || x.out->len > 0);
    if (x.again) return false;
    if (request->kind == REQUEST_SERVE)
        waiter_count(shard, request->lock.stamp, request->ticks, buf_slice(x.out));
    else
        count(shard, &x, work_of(request->work), request->ticks);
    return true;
}

void work_drop(struct shard *shard, struct request *request) {
    struct work *work = work_of(request->work);
    if (!work) return;
    work_delete(shard, work);
    request->work[0] = 0;
}

static void finish(struct shard *shard, struct request *request) {
    struct work *work = work_of(request->work);
    struct buf out = work->out;
    buf_init(&work->out, shard->heap, MEM_CLIENT_OUT);
    work_drop(shard, request);
    if (request->silent) out.len = 0;
    uint64_t added = request_add_effects(shard, request, 0), position = MAX(request->position, added);
    struct request copy = *request; /* of what is to be known afterwards */
    if (copy.kind == REQUEST_SERVE)
        waiter_leaves(shard, copy.lock.stamp, true);
    else
        shard->parked--;
    request_take_out(shard, request);
    request_answer(shard, &copy, &out, position);
    buf_deinit(&out);
    requests_settle(shard);
}

void works_turn(struct shard *shard) {
    struct request *request = take_next(shard);
    shard->works_wait = request == NULL;
    if (!request) return;
    if (run_slice(shard, request))
        finish(shard, request);
    else
        append(shard, request);
}

void works_drop(struct shard *shard) {
    for (struct lock_request *lock = NULL; (lock = locks_next(shard->locks, lock));) {
        struct request *request = (struct request *)lock;
        if (!request->work[0]) continue;
        work_drop(shard, request);
        if (request->effects) effect_group_delete(shard->heap, request->effects);
        request->effects = NULL;
    }
    shard->works = NULL;
}
