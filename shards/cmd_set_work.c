/* Sets: an operation on large ones, over many turns of their shard (shards/work.h). The same as in cmd_set_algebra.c, a
 * slice at a time: the position is a source and a cursor in it.
 *
 * A union walks over its sources one after the other and opens each when it is its turn; an intersection and a
 * difference walk over one and open all in each slice, to look for its members. As many sources as a slice has elements
 * make a slice longer than others: it does one member then. */
#include "core/assert.h"
#include "shards/answer_work.h"
#include "shards/cmd_set_algebra_priv.h"
#include "shards/effect_add.h"
#include "shards/shard.h"
#include "shards/work.h"
#include <stdlib.h>

struct set_work {
    struct work work; /* first: it is cast back */
    struct set_job job;
    struct collector result;
    uint32_t at;     /* union: the source that is walked over */
    uint64_t cursor; /* in it */
    uint64_t met;    /* union: sources that were there when their turn came */
    bool put;        /* the result is in its place: the journal is being told */
    struct effect_tale tale;
};

/* What is replied is written as it is found; a union has to know what that was. */
static void begin_result(const struct exec *x, struct set_work *work) {
    const struct set_job *job = &work->job;
    bool unites = job->operation == JOIN_UNION && job->present > 1;
    work->result = (struct collector){.limit = job->limit};
    if (job->target || (job->replied && unites)) work->result = set_collector_of_members(x);
    if (!job->replied) return;
    buf_reset(&work->work.out, 0);
    work->result.out = &work->work.out;
}

/* A source's time was over before it was read. */
static void start_again(struct exec *x, struct set_work *work, uint64_t present) {
    if (work->result.members) members_delete(&x->shared->store, work->result.members);
    work->job.present = present;
    begin_result(x, work);
    work->at = 0;
    work->cursor = work->met = 0;
}

static const struct entry *open_source(struct exec *x, const struct set_work *work, uint32_t i) {
    struct key_ref ref;
    return exec_open_any(x, work->job.first + i, &ref);
}

static uint64_t count_present(struct exec *x, const struct set_work *work) {
    uint64_t present = 0;
    for (uint32_t i = 0; i < work->job.count; i++) present += open_source(x, work, i) != NULL;
    return present;
}

/* True while there is more. */
static bool unite_some(struct exec *x, struct set_work *work) {
    uint64_t done = 0;
    for (; work->at < work->job.count && done < WORK_SLICE; done++) {
        const struct entry *entry = open_source(x, work, work->at);
        if (entry) {
            uint64_t max = WORK_SLICE - done;
            work->cursor = set_scan(entry, work->cursor, max, set_collect, &work->result);
            done += MIN(set_count(entry), max);
            if (work->cursor) continue;
            work->met++;
        }
        work->cursor = 0;
        work->at++;
    }
    if (work->at < work->job.count) return true;
    if (work->met == work->job.present) return false;
    start_again(x, work, count_present(x, work));
    return true;
}

/* Of an intersection or a difference: a slice of the first, with all others to look in. */
static bool select_some(struct set_work *work, const void **sets, uint32_t count) {
    bool inter = work->job.operation == JOIN_INTER;
    if (inter) qsort(sets, count, sizeof *sets, set_by_count); /* as in the slice before: their sizes stay */
    if (!sets[0]) return false;
    struct filter filter = {
        .has = set_entry_has, .sets = sets + 1, .count = count - 1, .in_all = inter, .into = &work->result};
    work->cursor = set_scan(sets[0], work->cursor, WORK_SLICE / count + 1, set_pass, &filter);
    return work->cursor != 0;
}

static bool look_some(struct exec *x, struct set_work *work) {
    uint32_t count = work->job.count;
    const void **sets = heap_alloc(x->shard->heap, MEM_MESSAGE, count * sizeof *sets);
    uint64_t present = 0;
    for (uint32_t i = 0; i < count; i++) present += (sets[i] = open_source(x, work, i)) != NULL;
    if (present != work->job.present) start_again(x, work, present);
    bool hopeless = work->job.operation == JOIN_INTER && present < count;
    bool more = !hopeless && select_some(work, sets, count);
    heap_free(x->shard->heap, MEM_MESSAGE, sets, count * sizeof *sets);
    return more;
}

/* The result is there. True: to be called again, to put it in its place and tell of it in slices. */
static bool store_some(struct exec *x, struct set_work *work) {
    const struct set_job *job = &work->job;
    const struct entry *entry;
    struct key_ref ref;
    if (!work->put) {
        if (x->shard->effects.on && !work->work.tells && work->result.count > WORK_AT_ONCE)
            return work->work.tells = true;
        entry = set_put_result(x, job->target, &work->result, !job->as_table, slice_of_cstr(x->slot->row->name));
        work->result.members = NULL;
        work->put = true;
    } else {
        entry = exec_open_any(x, job->target, &ref);
    }
    return entry && effect_tell_some(&work->tale, x, x->db, entry);
}

static bool set_work_some(struct exec *x, struct work *of) {
    struct set_work *work = (struct set_work *)of;
    bool computed = work->put || work->work.tells;
    if (!computed && (work->job.operation == JOIN_UNION ? unite_some(x, work) : look_some(x, work))) return true;
    if (work->job.target && store_some(x, work)) return true;
    if (work->job.replied)
        set_reply_head(x->out, 0, x->resp, work->result.count);
    else
        reply_int(x, (int64_t)work->result.count);
    return false;
}

static void set_work_end(struct shard *shard, struct work *of) {
    struct set_work *work = (struct set_work *)of;
    if (work->result.members) members_delete(&shard->shared.store, work->result.members);
}

struct work *set_work_new(const struct exec *x, const struct set_job *job) {
    uint64_t expects = job->replied ? ANSWER_COPIES * answer_join_bytes(x, job->operation, job->first, job->count) : 0;
    struct work begun = {.some = set_work_some, .end = set_work_end, .expects = expects};
    struct set_work *work = work_new(x, sizeof *work, begun);
    work->job = *job;
    begin_result(x, work);
    return &work->work;
}
