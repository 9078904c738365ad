/* Sorted sets: a join of large ones, over many turns of their shard (shards/work.h). The same as in cmd_zset_join.c, a
 * slice at a time: the position is a source and a place in it. Each slice opens all sources; a source whose time is
 * over meanwhile was never there, and all begins again. cmd_zset_range_work.c has the commands on one range. */
#include "core/assert.h"
#include "shards/answer_work.h"
#include "shards/cmd_zset_join_priv.h"
#include "shards/cmd_zset_priv.h"
#include "shards/effect_add.h"
#include "shards/set.h"
#include "shards/shard.h"
#include "shards/work.h"

/* An element of the result is put into a table and a tree. Where they come in no order, as a set's members do, that is
 * some ten cache misses each. */
#define PIECE (WORK_SLICE / 8)

struct join_work {
    struct work work; /* first: it is cast back */
    struct join join;
    uint64_t present; /* sources that are there */
    uint64_t count;   /* of select_member */
    uint32_t at;      /* the source that is walked over */
    uint64_t place;   /* in it: a rank, or a set's cursor */
    bool joined;
    uint64_t replied;           /* elements of the result, where it is the answer */
    struct zset_storing result; /* its set is NULL where members are only counted */
};

/* --- a piece of a source --- */

struct piece {
    bool (*visit)(void *ctx, struct slice member, double score);
    void *ctx;
    bool stopped;
};

static bool visit_member(void *ctx, struct slice member) {
    struct piece *piece = ctx;
    piece->stopped = !piece->visit(piece->ctx, member, 1);
    return !piece->stopped;
}

/* About `max` members from *place on. True while there are more. */
static bool visit_some(const struct entry *entry, uint64_t *place, uint64_t max, struct piece *piece) {
    struct zset_pair pair;
    if (entry->type == TYPE_SET) {
        *place = set_scan(entry, *place, max, visit_member, piece);
        return *place != 0;
    }
    struct zset_iter iter = zset_seek(entry, *place);
    for (; max && !piece->stopped && zset_next(&iter, &pair); max--, ++*place)
        piece->stopped = !piece->visit(piece->ctx, pair.member, pair.score);
    return !piece->stopped && *place < zset_len(entry);
}

/* --- slices --- */

static void begin_result(const struct exec *x, struct join_work *work) {
    if (work->result.set) sorted_delete(&x->shared->store, work->result.set);
    work->result.set = work->join.form != JOIN_COUNTS ? sorted_new(&x->shared->store, &x->shared->seed) : NULL;
    work->count = work->at = 0;
    work->place = 0;
}

/* One source after the other. True while there is more. */
static bool unite_some(struct join_work *work, struct joining *joining) {
    struct piece piece = {.visit = join_unite_member, .ctx = joining};
    uint64_t done = 0;
    for (; work->at < work->join.keys && done < PIECE; done++) {
        const struct source *source = joining->source = &joining->sources[work->at];
        uint64_t max = PIECE - done;
        done += MIN(source->len, max);
        if (source->entry && visit_some(source->entry, &work->place, max, &piece)) continue;
        work->place = 0;
        work->at++;
    }
    return work->at < work->join.keys;
}

static bool select_some(struct join_work *work, struct joining *joining) {
    const struct entry *first = joining->sources[0].entry;
    struct piece piece = {.visit = join_select_member, .ctx = joining};
    joining->count = work->count;
    bool more = first && visit_some(first, &work->place, PIECE / work->join.keys + 1, &piece) && !piece.stopped;
    work->count = joining->count;
    return more;
}

static bool join_some(struct exec *x, struct join_work *work) {
    const struct join *join = &work->join;
    size_t bytes = join->keys * sizeof(struct source);
    struct source *sources = heap_alloc_zero(x->shard->heap, MEM_MESSAGE, bytes);
    uint64_t present = 0;
    struct key_ref ref;
    for (uint32_t i = 0; i < join->keys; i++)
        present += (sources[i].entry = exec_open_any(x, join->first + i, &ref)) != NULL;
    join_prepare(join, x->argv, sources);
    if (present != work->present) begin_result(x, work);
    work->present = present;
    struct joining joining = {.store = &x->shared->store, .join = join, .sources = sources, .set = work->result.set};
    bool more = join->operation == JOIN_UNION ? unite_some(work, &joining) : select_some(work, &joining);
    heap_free(x->shard->heap, MEM_MESSAGE, sources, bytes);
    return more;
}

static bool reply_some(struct exec *x, struct join_work *work) {
    const struct sorted *set = work->result.set;
    work->replied = join_reply_some(x->out, x->resp, &work->join, set, work->replied, WORK_SLICE);
    return work->replied < sorted_count(set);
}

static bool join_work_some(struct exec *x, struct work *of) {
    struct join_work *work = (struct join_work *)of;
    bool stores = work->join.form == JOIN_STORES;
    if (!work->joined && join_some(x, work)) return true;
    work->joined = true;
    if (work->join.form == JOIN_ANSWERS) return reply_some(x, work);
    if (stores && zset_store_some(x, of, &work->result)) return true;
    reply_int(x, (int64_t)(stores ? work->result.count : work->count));
    return false;
}

static void join_work_end(struct shard *shard, struct work *of) {
    struct join_work *work = (struct join_work *)of;
    if (work->result.set) sorted_delete(&shard->shared.store, work->result.set);
}

struct work *join_work_new(const struct exec *x, const struct join *join, uint64_t present) {
    bool answers = join->form == JOIN_ANSWERS;
    uint64_t expects = answers ? ANSWER_COPIES * answer_join_bytes(x, join->operation, join->first, join->keys) : 0;
    struct work begun = {.some = join_work_some, .end = join_work_end, .expects = expects};
    struct join_work *work = work_new(x, sizeof *work, begun);
    work->join = *join;
    work->present = present;
    work->result.at = 1;
    begin_result(x, work);
    return &work->work;
}
