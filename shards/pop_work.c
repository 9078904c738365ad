/* Elements are taken out and replied. Over turns the header is written by the first slice and says how many there will
 * be; it is put right when there turn out to be less. */
#include "shards/pop_work.h"
#include "shards/work.h"

struct pop_work {
    struct work work; /* first: it is cast back */
    struct pop pop;
    bool begun;
    uint64_t left;
    size_t mark; /* where the elements' header is in the reply */
};

/* Returns where the elements' header begins. */
static size_t open_reply(struct exec *x, const struct pop *pop) {
    if (pop->named) {
        reply_array(x, 2);
        reply_bulk(x, x->argv[pop->key_at]);
    }
    size_t mark = x->out->len;
    if (pop->as_set)
        reply_set(x, pop->count * pop->words);
    else
        reply_array(x, pop->count * pop->words);
    return mark;
}

static bool pop_work_some(struct exec *x, struct work *of) {
    struct pop_work *work = (struct pop_work *)of;
    const struct pop *pop = &work->pop;
    struct key_ref ref;
    exec_open_any(x, pop->key_at, &ref);
    if (!work->begun) work->mark = open_reply(x, pop);
    if (!ref.entry) { /* its time is over: that was all */
        resp_recount(x->out, work->mark, (pop->count - work->left) * pop->words);
        return false;
    }
    if (!work->begun) pop->kind->say(x, &ref, pop);
    work->begun = true;
    uint64_t piece = MIN(work->left, pop->kind->piece);
    pop->kind->take(x, &ref, pop, piece);
    work->left -= piece;
    if (work->left > 0) return true;
    pop->kind->finish(x, &ref, pop);
    return false;
}

static struct work *pop_work_new(const struct exec *x, const struct pop *pop) {
    struct pop_work *work = work_new(x, sizeof *work, (struct work){.some = pop_work_some, .tells = true});
    work->pop = *pop;
    work->left = pop->count;
    return &work->work;
}

void pop_elements(struct exec *x, struct key_ref *ref, const struct pop *pop) {
    if (pop->count > WORK_AT_ONCE && work_takes_turns(x)) {
        if (work_begins(x)) work_begin(x, pop_work_new(x, pop));
        return;
    }
    (void)open_reply(x, pop);
    pop->kind->take(x, ref, pop, pop->count);
    if (!(x->flags & CLIENT_MORE) || !ref->entry) pop->kind->finish(x, ref, pop);
    pop->kind->say(x, ref, pop);
}
