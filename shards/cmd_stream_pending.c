/* Streams: what was given to consumers and is not acknowledged: XPENDING, XCLAIM, XAUTOCLAIM.
 *
 * Who claims an entry that is no longer in the stream takes it off the list of the group instead. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/shard.h"
#include "shards/stream_read.h"

#define AUTOCLAIM_COUNT    100 /* Redis's */
#define AUTOCLAIM_ATTEMPTS 10  /* entries looked at for each that may be claimed */
#define AUTOCLAIM_MAX      (INT64_MAX / 16)

/* A group that is to be there, of the stream at argv[1]. False: the error was replied. */
static bool open_group(struct exec *x, struct key_ref *ref, struct stream **stream, struct stream_group **group) {
    if (!stream_look(x, 1, ref, stream)) return false;
    *group = *stream ? stream_group_find(*stream, x->argv[2]) : NULL;
    if (!*group) reply_no_key_or_group(x, x->argv[1], x->argv[2]);
    return *group != NULL;
}

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

/* Those of the whole group, or of a consumer, whose tree has just the ids. */
static void reply_pending(struct exec *x, const struct stream_group *group, const struct stream_consumer *consumer,
                          const struct pending_range *range) {
    struct idtree_iter iter = idtree_seek(consumer ? &consumer->pending : &group->pending, range->from);
    const struct stream_id *id;
    int64_t left = range->count;
    size_t mark = resp_array_open(x->out);
    while (left > 0 && (id = idtree_next(&iter)) && stream_id_compare(*id, range->to) <= 0) {
        const struct pending *pending = stream_pending_find(group, *id);
        int64_t idle_ms = idle_of(x, pending);
        if (range->idle_ms && idle_ms < range->idle_ms) continue;
        reply_array(x, 4);
        reply_stream_id(x, *id);
        reply_bulk(x, pending->consumer->name);
        reply_int(x, MAX(idle_ms, (int64_t)0));
        reply_int(x, (int64_t)pending->deliveries);
        left--;
    }
    resp_array_close(x->out, mark, (uint64_t)(range->count - left));
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
    reply_pending(x, group, consumer, &range);
}

/* --- XCLAIM --- */

struct claim {
    int64_t idle_ms; /* the least */
    bool timed, force, just_id;
    int64_t time_ms, deliveries; /* deliveries -1: not given */
    struct stream_id last;
    uint32_t ids_end; /* argv[5 .. ids_end) */
};

static bool claim_int(struct exec *x, uint32_t at, int64_t *value, const char *error) {
    return exec_int_range(x, at, INT64_MIN, INT64_MAX, value, error);
}

static bool parse_claim_option(struct exec *x, uint32_t *at, struct claim *claim) {
    bool more = *at + 1 < x->argc;
    if (arg_is(x, *at, "force")) {
        claim->force = true;
    } else if (arg_is(x, *at, "justid")) {
        claim->just_id = true;
    } else if (more && arg_is(x, *at, "idle")) {
        if (!claim_int(x, ++*at, &claim->time_ms, "ERR Invalid IDLE option argument for XCLAIM")) return false;
        claim->time_ms = (int64_t)(x->shard->now_ms - (uint64_t)claim->time_ms);
        claim->timed = true;
    } else if (more && arg_is(x, *at, "time")) {
        if (!claim_int(x, ++*at, &claim->time_ms, "ERR Invalid TIME option argument for XCLAIM")) return false;
        claim->timed = true;
    } else if (more && arg_is(x, *at, "retrycount")) {
        return claim_int(x, ++*at, &claim->deliveries, "ERR Invalid RETRYCOUNT option argument for XCLAIM");
    } else if (more && arg_is(x, *at, "lastid")) {
        return stream_arg_id(x, ++*at, 0, &claim->last);
    } else {
        reply_about(x, "ERR Unrecognized XCLAIM option '", x->argv[*at], "'", SLICE(""), "");
        return false;
    }
    return true;
}

static bool parse_claim(struct exec *x, struct claim *claim) {
    struct stream_id id;
    uint32_t at = 5;
    *claim = (struct claim){.deliveries = -1};
    if (!claim_int(x, 4, &claim->idle_ms, "ERR Invalid min-idle-time argument for XCLAIM")) return false;
    while (at < x->argc && stream_parse_id(x->argv[at], 0, &id)) at++;
    claim->ids_end = at;
    for (; at < x->argc; at++)
        if (!parse_claim_option(x, &at, claim)) return false;
    /* What is not known, or in the future, is now; a journal is believed. */
    int64_t now_ms = (int64_t)x->shard->now_ms;
    bool believed = x->flags & CLIENT_LOADER && claim->time_ms >= 0;
    if (!claim->timed || (!believed && (claim->time_ms < 0 || claim->time_ms > now_ms))) claim->time_ms = now_ms;
    return true;
}

/* What goes on while entries are claimed. */
struct claiming {
    struct exec *x;
    struct key_ref *ref;
    struct stream *stream;
    struct stream_group *group;
    struct stream_consumer *consumer; /* NULL: nothing was claimed yet */
    struct claim_words words;
    struct claim_effect effect;
    struct buf gone; /* ids that were pending and are not in the stream */
    int64_t idle_ms;
    bool just_id;
};

static void claiming_begin(struct claiming *claiming) {
    struct exec *x = claiming->x;
    claim_effect_begin(&claiming->effect, x, claiming->ref->key, claiming->group, x->argv[3], &claiming->words);
    buf_init(&claiming->gone, x->shard->heap, MEM_MESSAGE);
}

static void claiming_end(struct claiming *claiming) {
    claim_effect_end(&claiming->effect);
    effect_forget(claiming->x, claiming->ref->key, claiming->group, &claiming->gone);
    buf_deinit(&claiming->gone);
}

static void forget(struct claiming *claiming, struct stream_id id) {
    stream_pending_remove(&claiming->x->shared->store, claiming->stream, claiming->group, id);
    buf_append(&claiming->gone, &id, sizeof id);
    stream_changed_unseen(claiming->x, 1);
}

static bool is_idle(const struct claiming *claiming, const struct pending *pending) {
    return claiming->idle_ms <= 0 || idle_of(claiming->x, pending) >= claiming->idle_ms;
}

/* The entry is the consumer's now, and is replied. */
static void take(struct claiming *claiming, const struct stream_entry *entry) {
    struct exec *x = claiming->x;
    bool fresh = !stream_pending_find(claiming->group, entry->id);
    if (!claiming->consumer) claiming->consumer = stream_take_consumer(x, claiming->ref, claiming->group, x->argv[3]);
    if (x->flags & CLIENT_LOADER) claiming->consumer->seen_ms = claiming->words.time_ms;
    struct pending *pending =
        stream_pending_give(&x->shared->store, claiming->stream, claiming->group, entry->id, claiming->consumer);
    if (fresh) pending->deliveries = 1;
    pending->delivered_ms = claiming->words.time_ms;
    if (claiming->words.how == CLAIM_SET)
        pending->deliveries = claiming->words.deliveries;
    else if (claiming->words.how == CLAIM_COUNT)
        pending->deliveries++;
    if (claiming->just_id)
        reply_stream_id(x, entry->id);
    else
        reply_stream_entry(x, entry);
    claim_effect_add(&claiming->effect, entry->id);
    stream_changed_unseen(x, 1);
}

static bool find_entry(const struct stream *stream, struct stream_id id, struct stream_entry *entry) {
    struct stream_iter iter = stream_seek(stream, id, id, false);
    return stream_next(&iter, entry);
}

/* True: it was claimed. */
static bool claim_one(struct claiming *claiming, struct stream_id id, bool force) {
    struct stream_entry entry;
    const struct pending *pending = stream_pending_find(claiming->group, id);
    if (!find_entry(claiming->stream, id, &entry)) {
        if (pending) forget(claiming, id);
        return false;
    }
    if (pending ? !is_idle(claiming, pending) : !force) return false;
    take(claiming, &entry);
    return true;
}

static void cmd_xclaim(struct exec *x) {
    struct claim claim;
    struct key_ref ref;
    struct claiming claiming = {.x = x, .ref = &ref};
    uint64_t claimed = 0;
    if (!open_group(x, &ref, &claiming.stream, &claiming.group) || !parse_claim(x, &claim)) return;
    claiming.words = (struct claim_words){.time_ms = (uint64_t)claim.time_ms,
                                          .how = claim.deliveries >= 0 ? CLAIM_SET
                                                 : claim.just_id       ? CLAIM_KEEP
                                                                       : CLAIM_COUNT,
                                          .deliveries = (uint64_t)claim.deliveries,
                                          .force = claim.force};
    claiming.idle_ms = claim.idle_ms;
    claiming.just_id = claim.just_id;
    bool moves = stream_id_compare(claim.last, claiming.group->last) > 0;
    if (moves) claiming.group->last = claim.last;
    claiming_begin(&claiming);
    size_t mark = resp_array_open(x->out);
    for (uint32_t at = 5; at < claim.ids_end; at++) {
        struct stream_id id;
        bool sound = stream_parse_id(x->argv[at], 0, &id);
        ASSERT(sound);
        claimed += claim_one(&claiming, id, claim.force);
    }
    resp_array_close(x->out, mark, claimed);
    claiming_end(&claiming);
    if (!moves) return;
    stream_changed_unseen(x, 1);
    effect_group_place(x, ref.key, claiming.group);
}

/* --- XAUTOCLAIM --- */

struct autoclaim {
    struct stream_id from;
    int64_t idle_ms, count;
    bool just_id;
};

static bool parse_autoclaim(struct exec *x, struct autoclaim *out) {
    bool open;
    *out = (struct autoclaim){.count = AUTOCLAIM_COUNT};
    if (!claim_int(x, 4, &out->idle_ms, "ERR Invalid min-idle-time argument for XAUTOCLAIM")) return false;
    if (!stream_arg_end(x, 5, 0, &out->from, &open)) return false;
    if (open && !stream_id_step(&out->from)) {
        reply_error(x, "ERR invalid start ID for the interval");
        return false;
    }
    for (uint32_t at = 6; at < x->argc; at++) {
        if (at + 1 < x->argc && arg_is(x, at, "count")) {
            if (!exec_int_range(x, ++at, 1, AUTOCLAIM_MAX, &out->count, "ERR COUNT must be > 0")) return false;
        } else if (arg_is(x, at, "justid")) {
            out->just_id = true;
        } else {
            reply_syntax_error(x);
            return false;
        }
    }
    return true;
}

static void reply_gone(struct exec *x, const struct buf *gone) {
    size_t count = gone->len / sizeof(struct stream_id);
    reply_array(x, count);
    for (size_t i = 0; i < count; i++) {
        struct stream_id id;
        memcpy(&id, gone->data + i * sizeof id, sizeof id);
        reply_stream_id(x, id);
    }
}

/* Goes through what is pending from an id on, which moves to where it stopped. Returns how many were claimed. */
static uint64_t claim_some(struct claiming *claiming, const struct autoclaim *autoclaim, struct stream_id *from) {
    struct idtree_iter iter = idtree_seek(&claiming->group->pending, *from);
    uint64_t claimed = 0;
    int64_t left = autoclaim->count, attempts = left * AUTOCLAIM_ATTEMPTS;
    const struct pending *pending;
    while (left > 0 && attempts-- > 0 && (pending = idtree_next(&iter))) {
        struct stream_entry entry;
        struct stream_id id = pending->id;
        if (!find_entry(claiming->stream, id, &entry)) {
            forget(claiming, id);
            iter = idtree_seek(&claiming->group->pending, id);
            left--;
        } else if (is_idle(claiming, pending)) {
            take(claiming, &entry);
            claimed++;
            left--;
        }
    }
    pending = idtree_next(&iter);
    *from = pending ? pending->id : STREAM_ID_MIN;
    return claimed;
}

static void cmd_xautoclaim(struct exec *x) {
    struct autoclaim autoclaim;
    struct key_ref ref;
    struct claiming claiming = {.x = x, .ref = &ref};
    struct buf cursor;
    if (!parse_autoclaim(x, &autoclaim) || !open_group(x, &ref, &claiming.stream, &claiming.group)) return;
    claiming.words =
        (struct claim_words){.time_ms = x->shard->now_ms, .how = autoclaim.just_id ? CLAIM_KEEP : CLAIM_COUNT};
    claiming.idle_ms = autoclaim.idle_ms;
    claiming.just_id = autoclaim.just_id;
    claiming_begin(&claiming);
    reply_array(x, 3);
    size_t mark = resp_array_open(x->out);
    resp_array_close(x->out, mark, claim_some(&claiming, &autoclaim, &autoclaim.from));
    /* Where to go on stands in front of what was claimed. */
    buf_init(&cursor, x->shard->heap, MEM_MESSAGE);
    char text[STREAM_ID_TEXT_MAX];
    resp_bulk(&cursor, stream_id_text(autoclaim.from, text));
    buf_insert(x->out, mark, buf_slice(&cursor));
    buf_deinit(&cursor);
    reply_gone(x, &claiming.gone);
    claiming_end(&claiming);
}

#define PENDING .acl = ACL_STREAM, .where = ON_OWNER, .group = "stream", .tips = "nondeterministic_output"

const struct command stream_pending_commands[] = {
    {.name = "xpending",
     .arity = -3,
     .flags = CMD_READ,
     PENDING,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .run = cmd_xpending,
     .since = "5.0.0",
     .cost = "O(log(N)+M), M = number of entries answered, or of consumers",
     .args = "key group [[IDLE min-idle-time] start end count [consumer]]",
     .doc = "Answers what a group was given and has not acknowledged."},
    {.name = "xclaim",
     .arity = -6,
     .flags = CMD_WRITE | CMD_FAST,
     PENDING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .run = cmd_xclaim,
     .since = "5.0.0",
     .cost = "O(log(N)) for each id",
     .args = "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] "
             "[FORCE] [JUSTID] [LASTID lastid]",
     .doc = "Gives pending entries to another consumer."},
    {.name = "xautoclaim",
     .arity = -6,
     .flags = CMD_WRITE | CMD_FAST,
     PENDING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .run = cmd_xautoclaim,
     .since = "6.2.0",
     .cost = "O(log(N)) for each entry, COUNT of them",
     .args = "key group consumer min-idle-time start [COUNT count] [JUSTID]",
     .doc = "Gives entries that were pending for long to another consumer."},
    {0},
};
