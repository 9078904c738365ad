/* Commands with very many arguments, a part of them per turn. A part is put together in memory of its own:
 *
 *      | SADD | key | next | next | ... |          up to PART_ARGS of them, or about PART_BYTES
 *        \ before `first` /                                                                        */
#include "shards/args_work.h"
#include "core/num.h"
#include "shards/effect_add.h"
#include "shards/gather.h"
#include "shards/shard.h"

#define PART_ARGS  WORK_SLICE
#define PART_BYTES (256u * 1024) /* of large arguments fewer make a part */

struct args_work {
    struct work work; /* first: it is cast back */
    struct args_parts parts;
    command_run run;
    uint32_t at;     /* the next argument */
    bool begun;      /* there was a part */
    bool there;      /* after the last part the key was there */
    uint64_t now_ms; /* the instant */
    int64_t sum;
    struct notify_told told;
};

static void begin(struct exec *x, struct args_work *work) {
    const struct args_parts *parts = &work->parts;
    work->at = parts->first;
    work->begun = true;
    work->there = false;
    work->now_ms = x->shared->now_ms;
    work->sum = 0;
    work->told = (struct notify_told){0};
    x->out->len = 0;
    if (parts->reply == ARGS_LIST) reply_array(x, (x->argc - parts->first) / parts->step);
}

/* Somebody has taken it out because its time is over. */
static bool was_taken_out(struct exec *x, const struct args_work *work) {
    struct key_ref ref;
    bool takes = x->slot->row->keys[0].access & KEY_DELETE;
    return work->there && !takes && !exec_open_any(x, 1, &ref);
}

/* Where the next part ends. */
static uint32_t end_of_part(const struct exec *x, const struct args_work *work) {
    uint32_t step = work->parts.step, end = work->at, last = MIN(x->argc - end, PART_ARGS) / step * step + end;
    for (size_t bytes = 0; end < last && bytes < PART_BYTES; end += step)
        for (uint32_t i = 0; i < step; i++) bytes += x->argv[end + i].len;
    return end;
}

/* Its effect is told as that of any command (pipeline_execute.c), but for its arguments. */
static void run(struct exec *part, const struct args_work *work) {
    struct keyspace_shared *shared = part->shared;
    uint64_t hits = shared->hits, misses = shared->misses; /* it has counted when it asked for turns */
    uint64_t dirty = shared->dirty, added = part->shard->effects.added;
    work->run(part);
    if (shared->dirty != dirty && part->shard->effects.added == added) effect_same(part);
    shared->hits = hits;
    shared->misses = misses;
}

static void take_reply(struct exec *x, struct args_work *work, struct slice reply) {
    struct slice rest = reply;
    int64_t number = 0;
    switch (work->parts.reply) {
    case ARGS_LAST:
        x->out->len = 0;
        buf_append_slice(x->out, reply);
        return;
    case ARGS_LIST:
        (void)gather_reply_array(reply, &rest);
        buf_append_slice(x->out, rest);
        return;
    default: (void)gather_reply_int(reply, &number); break;
    }
    work->sum = work->parts.reply == ARGS_ANY ? work->sum | number : work->sum + number;
}

/* False: an error, which is the reply. */
static bool run_part(struct exec *x, struct args_work *work) {
    const struct args_parts *parts = &work->parts;
    uint32_t end = end_of_part(x, work), count = end - work->at;
    size_t bytes = (parts->first + count) * sizeof(struct slice);
    struct slice *argv = heap_alloc(x->shard->heap, MEM_MESSAGE, bytes);
    char digits[NUM_U64_MAX];
    struct buf out;
    memcpy(argv, x->argv, parts->first * sizeof *argv);
    memcpy(argv + parts->first, x->argv + work->at, count * sizeof *argv);
    if (parts->count_at) argv[parts->count_at] = slice_of(digits, num_format_u64(digits, count / parts->step));
    buf_init(&out, x->shard->heap, MEM_CLIENT_OUT);
    struct exec part = *x;
    part.argv = argv;
    part.argc = parts->first + count;
    part.out = &out;
    part.part = false; /* an error is counted */
    part.flags |= CLIENT_NO_BLOCK;
    run(&part, work);
    work->at = end;
    x->failed = part.failed;
    if (part.failed) work->parts.reply = ARGS_LAST;
    take_reply(x, work, buf_slice(&out));
    buf_deinit(&out);
    heap_free(x->shard->heap, MEM_MESSAGE, argv, bytes);
    return !part.failed;
}

/* A part, as of the instant of the first. True while there are more. */
static bool some_then(struct exec *x, struct args_work *work, uint64_t now_ms) {
    struct key_ref ref;
    if (was_taken_out(x, work)) {
        x->shared->now_ms = now_ms;
        begin(x, work);
    }
    bool more = run_part(x, work) && work->at < x->argc;
    work->there = exec_open_any(x, 1, &ref) != NULL;
    return more;
}

static bool args_work_some(struct exec *x, struct work *of) {
    struct args_work *work = (struct args_work *)of;
    uint64_t now_ms = x->shared->now_ms;
    if (!work->begun) begin(x, work);
    x->shared->now_ms = work->now_ms;
    x->shard->told = &work->told;
    bool more = some_then(x, work, now_ms);
    x->shard->told = NULL;
    x->shared->now_ms = now_ms;
    bool counts = work->parts.reply == ARGS_ADD_UP || work->parts.reply == ARGS_ANY;
    if (!more && counts) reply_int(x, work->sum);
    return more;
}

bool args_take_turns_slow(struct exec *x, struct args_parts parts) {
    ASSERT(parts.step > 0 && parts.first < x->argc && (x->argc - parts.first) % parts.step == 0);
    if (!work_takes_turns(x)) return false;
    if (!work_begins(x)) return true;
    bool writes = x->slot->row->flags & CMD_WRITE;
    struct args_work *work = work_new(x, sizeof *work, (struct work){.some = args_work_some, .tells = writes});
    work->parts = parts;
    work->run = x->slot->row->run;
    work_begin(x, &work->work);
    return true;
}
