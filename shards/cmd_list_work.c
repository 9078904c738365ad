/* Lists: LPOP and RPOP of many elements, over many turns of their shard (shards/work.h). Each slice takes some out and
 * replies them; the first one says so to the journal, which hears of it at the end. When the time of the list is over
 * in the middle, what was taken by then is the reply. */
#include "shards/cmd_list_priv.h"
#include "shards/shard.h"
#include "shards/work.h"

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

static void pop_work_end(struct shard *shard, struct work *of) {
    heap_free(shard->heap, MEM_MESSAGE, of, sizeof(struct pop_work));
}

bool list_pop_takes_turns(struct exec *x, enum list_end end, uint64_t count) {
    if (count <= WORK_AT_ONCE || !work_takes_turns(x)) return false;
    if (!work_begins(x)) return true;
    struct pop_work *work = heap_alloc_zero(x->shard->heap, MEM_MESSAGE, sizeof *work);
    *work = (struct pop_work){
        .work = {.some = pop_work_some, .end = pop_work_end, .tells = true}, .end = end, .count = count, .left = count};
    work_begin(x, &work->work);
    return true;
}
