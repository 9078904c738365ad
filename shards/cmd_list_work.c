/* Lists: operations that pass over many elements, over many turns of their shard (shards/work.h). Each slice seeks
 * where the one before has stopped.
 *
 * LPOP and RPOP take some out in each slice and reply them; LREM takes out what it meets. The first slice of a pop, or
 * the last one of LREM, says so to the journal, which hears of it at the end. When the time of the list is over in the
 * middle, what was done by then is the reply. */
#include "shards/cmd_list_priv.h"
#include "shards/shard.h"
#include "shards/work.h"

#define ELEMENTS (LIST_AT_ONCE / 4)
#define NODES    64u /* of up to 8 KiB, unless configured */

/* --- LPOP, RPOP --- */

struct pop_work {
    struct work work; /* first: it is cast back */
    enum list_end end;
    uint64_t count, left;
    bool begun;
};

static bool pop_work_some(struct exec *x, struct work *of) {
    struct pop_work *work = (struct pop_work *)of;
    struct key_ref ref;
    exec_open_any(x, 1, &ref);
    if (!work->begun) reply_array(x, work->count);
    if (!ref.entry) {
        resp_recount(x->out, 0, work->count - work->left);
        return false;
    }
    if (!work->begun) list_say_popped(x, ref.key, work->end, work->count);
    work->begun = true;
    uint64_t piece = MIN(work->left, WORK_SLICE);
    list_take(x, &ref, work->end, piece);
    work->left -= piece;
    if (work->left > 0) return true;
    list_event_popped(x, &ref, work->end);
    return false;
}

bool list_pop_takes_turns(struct exec *x, enum list_end end, uint64_t count) {
    if (count <= WORK_AT_ONCE || !work_takes_turns(x)) return false;
    if (!work_begins(x)) return true;
    struct pop_work *work = work_new(x, sizeof *work, (struct work){.some = pop_work_some, .tells = true});
    *work = (struct pop_work){.work = work->work, .end = end, .count = count, .left = count};
    work_begin(x, &work->work);
    return true;
}

/* --- LPOS --- */

struct search_work {
    struct work work; /* first: it is cast back */
    struct list_search search;
};

static bool search_work_some(struct exec *x, struct work *of) {
    struct list_search *search = &((struct search_work *)of)->search;
    struct key_ref ref;
    if (exec_open_any(x, 1, &ref) && list_search_some(x, ref.entry, search, ELEMENTS)) return true;
    list_search_end(x, search, 0);
    return false;
}

bool list_search_takes_turns(struct exec *x, const struct list_search *search) {
    if (!work_takes_turns(x)) return false;
    if (!work_begins(x)) return true;
    struct search_work *work = work_new(x, sizeof *work, (struct work){.some = search_work_some});
    work->search = *search;
    work_begin(x, &work->work);
    return true;
}

/* --- LINSERT --- */

struct insert_work {
    struct work work; /* first: it is cast back */
    uint64_t index;
};

static bool insert_work_some(struct exec *x, struct work *of) {
    struct insert_work *work = (struct insert_work *)of;
    struct key_ref ref;
    bool found;
    if (!exec_open_any(x, 1, &ref)) {
        reply_int(x, 0);
        return false;
    }
    if (list_find_some(ref.entry, x->argv[3], &work->index, ELEMENTS, &found)) return true;
    if (found)
        list_insert_at(x, &ref, work->index);
    else
        reply_int(x, -1);
    return false;
}

bool list_insert_takes_turns(struct exec *x) {
    if (!work_takes_turns(x)) return false;
    if (!work_begins(x)) return true;
    struct insert_work *work = work_new(x, sizeof *work, (struct work){.some = insert_work_some});
    work_begin(x, &work->work);
    return true;
}

/* --- LREM --- */

struct purge_work {
    struct work work; /* first: it is cast back */
    enum list_end from;
    struct quicklist_purging purging;
};

static bool purge_work_some(struct exec *x, struct work *of) {
    struct purge_work *work = (struct purge_work *)of;
    struct key_ref ref;
    if (!exec_open_any(x, 1, &ref)) {
        reply_int(x, (int64_t)work->purging.gone);
        return false;
    }
    if (list_purge_some(x->keys, &ref, work->from, x->argv[3], &work->purging, NODES)) return true;
    list_say_purged(x, &ref, work->purging.gone);
    return false;
}

bool list_purge_takes_turns(struct exec *x, enum list_end from, uint64_t most) {
    if (!work_takes_turns(x)) return false;
    if (!work_begins(x)) return true;
    struct purge_work *work = work_new(x, sizeof *work, (struct work){.some = purge_work_some, .tells = true});
    work->from = from;
    work->purging.max = most;
    work_begin(x, &work->work);
    return true;
}
