/* Lists: operations that pass over many elements, over many turns of their shard (shards/work.h). Each slice seeks
 * where the one before has stopped.
 *
 * LREM takes out what it meets, and its last slice says so to the journal. When the time of the list is over in the
 * middle, what was done by then is the reply. LPOP and its like are in pop_work.c. */
#include "shards/cmd_list_priv.h"
#include "shards/shard.h"
#include "shards/work.h"

#define ELEMENTS (LIST_AT_ONCE / 4)
#define NODES    64u /* of up to 8 KiB, unless configured */

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
