/* A search that passes over many members, over many turns of its shard (shards/work.h): the same walk as in
 * cmd_geo_search.c, a slice at a time. What it found is then replied, likewise; or it is stored, and where that is all,
 * it is put together aside as it is found. Many hits that are to be in order are sorted at once, and so are put
 * together those that were chosen. When the time of the key is over during the walk, nothing was found. */
#include "shards/cmd_geo_search_priv.h"
#include "shards/shard.h"

struct geo_work {
    struct work work; /* first: it is cast back */
    struct search search;
    struct wanted wanted;
    uint32_t key_at;
    bool walked;
    uint64_t replied; /* hits */
    struct geo_walk walk;
    struct hits hits; /* its set is the result's until that is stored */
    struct zset_storing result;
};

static bool stores_all(const struct search *search, const struct wanted *wanted) {
    return search->store_at && wanted->keep == UINT64_MAX;
}

static void begin_hits(const struct exec *x, struct geo_work *work) {
    geo_hits_init(&work->hits, x->shard->heap);
    if (stores_all(&work->search, &work->wanted)) work->hits.set = sorted_new(&x->shared->store, &x->shared->seed);
}

static void drop_hits(struct shard *shard, struct geo_work *work) {
    if (work->hits.set) sorted_delete(&shard->shared.store, work->hits.set);
    work->hits.set = NULL;
    geo_hits_deinit(&work->hits);
}

/* True while there is more. */
static bool search_some(struct exec *x, struct geo_work *work) {
    struct key_ref ref;
    work->search.entry = exec_open_any(x, work->key_at, &ref);
    if (!work->search.entry) {
        drop_hits(x->shard, work);
        begin_hits(x, work);
        return false;
    }
    return geo_walk_some(x, &work->search, &work->wanted, &work->walk, WORK_SLICE, &work->hits);
}

/* The walk is over. */
static void end_walk(struct exec *x, struct geo_work *work) {
    work->walked = true;
    geo_hits_end(&work->search, &work->wanted, &work->hits);
    if (!work->search.store_at) {
        reply_array(x, work->hits.count);
        return;
    }
    work->result.set = work->hits.set ? work->hits.set : geo_set_of(x, &work->search, &work->hits);
    work->hits.set = NULL;
}

static bool reply_some(struct exec *x, struct geo_work *work) {
    uint64_t from = work->replied;
    work->replied = MIN(from + WORK_SLICE, work->hits.count);
    geo_reply_some(x, &work->search, &work->hits, from, work->replied);
    return work->replied < work->hits.count;
}

static bool geo_work_some(struct exec *x, struct work *of) {
    struct geo_work *work = (struct geo_work *)of;
    if (!work->walked) {
        if (search_some(x, work)) return true;
        end_walk(x, work);
    }
    if (!work->search.store_at) return reply_some(x, work);
    if (zset_store_some(x, of, &work->result)) return true;
    reply_int(x, (int64_t)work->result.count);
    return false;
}

static void geo_work_end(struct shard *shard, struct work *of) {
    struct geo_work *work = (struct geo_work *)of;
    if (work->result.set) sorted_delete(&shard->shared.store, work->result.set);
    drop_hits(shard, work);
}

struct work *geo_work_new(const struct exec *x, const struct search *search, uint32_t key_at) {
    uint64_t members = zset_len(search->entry), each = 2 * entry_bytes(search->entry) / members + sizeof(struct hit);
    uint64_t most = MIN(geo_wanted_by(search).keep, members);
    struct work begun = {.some = geo_work_some, .end = geo_work_end, .expects = most * each};
    struct geo_work *work = work_new(x, sizeof *work, begun);
    work->search = *search;
    work->search.argv = NULL; /* it is read, and the next slice has it elsewhere */
    work->wanted = geo_wanted_by(search);
    work->key_at = key_at;
    work->result.at = search->store_at;
    begin_hits(x, work);
    return &work->work;
}
