/* Sorted sets: ZRANGESTORE and ZREMRANGE* of many elements, over many turns of their shard (shards/work.h).
 *
 * What is stored is put together aside. What is removed goes from the set itself, the last ones first, as nobody sees
 * it meanwhile; the first slice says so to the journal, which hears of it at the end. A source whose time is over
 * meanwhile was empty for ZRANGESTORE. For ZREMRANGE* it was there when it began: all of the range is removed then,
 * with all the rest. */
#include "core/assert.h"
#include "shards/cmd_zset_priv.h"
#include "shards/shard.h"

#define PIECE (WORK_SLICE / 2) /* a tree and a table change for each */

bool zset_store_some(struct exec *x, struct work *work, struct zset_storing *storing) {
    const struct entry *entry;
    struct key_ref ref;
    if (!storing->put) {
        storing->count = sorted_count(storing->set);
        if (x->shard->effects.on && !work->tells && storing->count > WORK_AT_ONCE) return work->tells = true;
        entry = zset_store_untold(x, storing->at, storing->set);
        storing->set = NULL;
        storing->put = true;
    } else {
        entry = exec_open_any(x, storing->at, &ref);
    }
    return entry && effect_tell_some(&storing->tale, x, x->db, entry);
}

/* --- ZRANGESTORE --- */

struct range_work {
    struct work work; /* first: it is cast back */
    uint64_t from, to;
    bool backwards, compact;
    struct zset_storing result;
};

/* True while there is more. */
static bool collect_some(struct exec *x, struct range_work *work) {
    struct key_ref ref;
    struct zset_pair pair;
    const struct entry *entry = exec_open_any(x, 2, &ref);
    if (!entry) {
        sorted_delete(&x->shared->store, work->result.set);
        work->result.set = sorted_new(&x->shared->store, &x->shared->seed);
        work->from = work->to;
        return false;
    }
    struct zset_iter iter = zset_seek(entry, work->backwards ? work->to : work->from);
    for (unsigned i = 0; i < PIECE && work->from < work->to; i++) {
        bool there = zset_step(&iter, work->backwards, &pair);
        ASSERT(there);
        zrangestore_add(x, work->result.set, &work->compact, &pair);
        if (work->backwards)
            work->to--;
        else
            work->from++;
    }
    return work->from < work->to;
}

static bool range_work_some(struct exec *x, struct work *of) {
    struct range_work *work = (struct range_work *)of;
    if (work->from < work->to && collect_some(x, work)) return true;
    if (zset_store_some(x, of, &work->result)) return true;
    reply_int(x, (int64_t)work->result.count);
    return false;
}

static void range_work_end(struct shard *shard, struct work *of) {
    struct range_work *work = (struct range_work *)of;
    if (work->result.set) sorted_delete(&shard->shared.store, work->result.set);
}

struct work *zrangestore_work_new(const struct exec *x, uint64_t from, uint64_t to, bool backwards, bool compact) {
    struct range_work *work = work_new(x, sizeof *work, (struct work){.some = range_work_some, .end = range_work_end});
    *work = (struct range_work){.work = work->work,
                                .from = from,
                                .to = to,
                                .backwards = backwards,
                                .compact = compact,
                                .result = {.at = 1, .set = sorted_new(&x->shared->store, &x->shared->seed)}};
    return &work->work;
}

/* --- ZREMRANGE* --- */

struct removal_work {
    struct work work;        /* first: it is cast back */
    uint64_t from, to, left; /* left: the end of what is still to be removed */
    bool by_member;
};

static bool removal_work_some(struct exec *x, struct work *of) {
    struct removal_work *work = (struct removal_work *)of;
    struct key_ref ref;
    if (exec_open_any(x, 1, &ref)) {
        uint64_t until = work->left - work->from > PIECE ? work->left - PIECE : work->from;
        zset_remove_ranks(x->keys, &ref, until, work->left);
        if (work->left == work->to) zremrange_say(x, work->from, work->to, work->by_member);
        work->left = until;
        if (work->left > work->from) return true;
        exec_event_taken(x, NOTIFY_ZSET, x->slot->row->name, &ref);
    }
    reply_int(x, work->left == work->to ? 0 : (int64_t)(work->to - work->from));
    return false;
}

struct work *zremrange_work_new(const struct exec *x, uint64_t from, uint64_t to, bool by_member) {
    struct removal_work *work = work_new(x, sizeof *work, (struct work){.some = removal_work_some, .tells = true});
    *work = (struct removal_work){.work = work->work, .from = from, .to = to, .left = to, .by_member = by_member};
    return &work->work;
}
