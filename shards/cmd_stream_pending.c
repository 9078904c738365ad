/* Streams: what was given to consumers and is not acknowledged: XPENDING.
 *
 * One that passes over many ids goes over several turns (shards/work.h). When the time of the key is over meanwhile, it
 * ends there: what it has found was pending when it began. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/shard.h"
#include "shards/stream_read.h"
#include "shards/work.h"

#define TOLD_BYTES 96 /* of a reply, for each id: with a consumer's name, about */

/* --- XPENDING --- */

static void reply_summary(struct exec *x, const struct stream_group *group) {
    struct idtree_iter first = idtree_begin(&group->pending);
    uint64_t consumers = 0;
    reply_array(x, 4);
    reply_int(x, (int64_t)group->pending.count);
    if (group->pending.count == 0) {
        reply_null(x);
        reply_null(x);
        reply_null_array(x);
        return;
    }
    reply_stream_id(x, ((const struct pending *)idtree_next(&first))->id);
    reply_stream_id(x, ((const struct pending *)idtree_last(&group->pending))->id);
    size_t mark = resp_array_open(x->out);
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        const struct stream_consumer *consumer = stream_consumer_at(group, i);
        if (consumer->pending.count == 0) continue;
        reply_array(x, 2);
        reply_bulk(x, consumer->name);
        resp_bulk_int(x->out, (int64_t)consumer->pending.count);
        consumers++;
    }
    resp_array_close(x->out, mark, consumers);
}

struct pending_range {
    struct stream_id from, to;
    int64_t count, idle_ms;
    uint32_t consumer_at; /* 0: of all */
};

static bool parse_range(struct exec *x, struct pending_range *range) {
    uint32_t at = 3;
    *range = (struct pending_range){0};
    if (x->argc < 6 || x->argc > 9) {
        reply_syntax_error(x);
        return false;
    }
    if (arg_is(x, 3, "idle")) {
        if (!exec_int(x, 4, &range->idle_ms)) return false;
        if (x->argc < 8) {
            reply_syntax_error(x);
            return false;
        }
        at = 5;
    }
    if (!exec_int(x, at + 2, &range->count)) return false;
    range->count = MAX(range->count, (int64_t)0);
    range->consumer_at = at + 3 < x->argc ? at + 3 : 0;
    return stream_arg_interval(x, at, at + 1, &range->from, &range->to);
}

static int64_t idle_of(const struct exec *x, const struct pending *pending) {
    return (int64_t)(x->shard->now_ms - pending->delivered_ms);
}

static void reply_one(struct exec *x, const struct pending *pending) {
    reply_array(x, 4);
    reply_stream_id(x, pending->id);
    reply_bulk(x, pending->consumer->name);
    reply_int(x, MAX(idle_of(x, pending), (int64_t)0));
    reply_int(x, (int64_t)pending->deliveries);
}

/* Looks at up to `max` ids of the whole group, or of a consumer, whose tree has just the ids. Moves range->from and
 * counts range->count down; true while there is more. */
static bool reply_some(struct exec *x, const struct stream_group *group, const struct stream_consumer *consumer,
                       struct pending_range *range, unsigned max) {
    struct idtree_iter iter = idtree_seek(consumer ? &consumer->pending : &group->pending, range->from);
    const struct stream_id *id;
    for (; range->count > 0 && (id = idtree_next(&iter)) && stream_id_compare(*id, range->to) <= 0; max--) {
        range->from = *id;
        if (max == 0) return true;
        const struct pending *pending = stream_pending_find(group, *id);
        if (range->idle_ms && idle_of(x, pending) < range->idle_ms) continue;
        reply_one(x, pending);
        range->count--;
    }
    return false;
}

/* --- over several turns --- */

struct pending_work {
    struct work work; /* first: it is cast back */
    struct pending_range range;
    int64_t count; /* that it began with */
};

static bool pending_work_some(struct exec *x, struct work *of) {
    struct pending_work *work = (struct pending_work *)of;
    struct pending_range *range = &work->range;
    struct key_ref ref;
    const struct stream *stream = exec_open_any(x, 1, &ref) ? entry_object(ref.entry) : NULL;
    if (stream) {
        const struct stream_group *group = stream_group_find(stream, x->argv[2]);
        const struct stream_consumer *consumer =
            range->consumer_at ? stream_consumer_find(group, x->argv[range->consumer_at]) : NULL;
        if (reply_some(x, group, consumer, range, WORK_SLICE)) return true;
    }
    resp_array_close(x->out, 0, (uint64_t)(work->count - range->count));
    return false;
}

/* pending: all that are, in the group. */
static struct work *pending_work_new(const struct exec *x, const struct pending_range *range, uint64_t pending) {
    uint64_t expects = MIN((uint64_t)range->count, pending) * TOLD_BYTES;
    struct pending_work *work = work_new(x, sizeof *work, (struct work){.some = pending_work_some, .expects = expects});
    *work = (struct pending_work){.work = work->work, .range = *range, .count = range->count};
    return &work->work;
}

static void cmd_xpending(struct exec *x) {
    struct pending_range range;
    struct key_ref ref;
    const struct stream *stream;
    bool summary = x->argc == 3;
    if (!summary && !parse_range(x, &range)) return;
    if (!stream_read(x, 1, &ref, &stream)) return;
    const struct stream_group *group = stream ? stream_group_find(stream, x->argv[2]) : NULL;
    if (!group) {
        reply_no_key_or_group(x, x->argv[1], x->argv[2]);
        return;
    }
    if (summary) {
        reply_summary(x, group);
        return;
    }
    const struct stream_consumer *consumer = NULL;
    if (range.consumer_at && !(consumer = stream_consumer_find(group, x->argv[range.consumer_at]))) {
        reply_array(x, 0);
        return;
    }
    const struct pending_range whole = range;
    size_t mark = resp_array_open(x->out);
    bool more = reply_some(x, group, consumer, &range, WORK_AT_ONCE);
    if (more && work_takes_turns(x)) {
        x->out->len = mark;
        if (work_begins(x)) work_begin(x, pending_work_new(x, &whole, group->pending.count));
        return;
    }
    while (more) more = reply_some(x, group, consumer, &range, UINT32_MAX);
    resp_array_close(x->out, mark, (uint64_t)(whole.count - range.count));
}

#define PENDING .acl = ACL_STREAM, .where = ON_OWNER, .group = "stream", .tips = "nondeterministic_output"

const struct command stream_pending_commands[] = {
    {.name = "xpending",
     .arity = -3,
     .flags = CMD_READ,
     PENDING,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .run = cmd_xpending,
     .takes_turns = true,
     .since = "5.0.0",
     .cost = "O(log(N)+M), M = number of entries looked at, or of consumers",
     .args = "key group [[IDLE min-idle-time] start end count [consumer]]",
     .doc = "Answers what a group was given and has not acknowledged."},
    {0},
};
