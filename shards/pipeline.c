/* The batch. The hot path of the server is pipeline_feed -> take_command -> route_command, then pipeline_run -> run_one
 * -> run_local -> handler.
 *
 * Everything here is bounded: BATCH_MAX commands and ARGS_MAX argument slices per batch; a full batch is run at once
 * and collecting goes on. */
#include "shards/pipeline.h"
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/blocked.h"
#include "shards/gather.h"
#include "shards/message.h"
#include "shards/monitor.h"
#include "shards/multi.h"
#include "shards/request.h"
#include "shards/route.h"
#include "shards/shard.h"
#include "shards/txn.h"
#include "shards/waiters.h"
#include <stdio.h>

#define BATCH_MAX        128
#define ARGS_MAX         4096
#define EXPECTED_OUT_MAX (1024 * 1024)
#define LARGE_REPLY      (64 * 1024) /* from here on also a few outstanding commands are counted */
#define KEEP_EXACT_MIN   (1024 * 1024)
#define OVERRUN_MAX      (16 * 1024 * 1024) /* of all shards: what clients hold beyond what they may, before all wait */

struct pipeline {
    uint32_t count, args_used;
    uint64_t bytes; /* of the commands in the batch */
    bool running;
    struct queued batch[BATCH_MAX];
    struct slice args[ARGS_MAX];
};

struct pipeline *pipeline_new(struct heap *heap) {
    return heap_alloc_zero(heap, MEM_MESSAGE, sizeof(struct pipeline));
}

void pipeline_delete(struct pipeline *pipeline, struct heap *heap) {
    heap_free(heap, MEM_MESSAGE, pipeline, sizeof *pipeline);
}

/* --- running ------------------------------------------------------------------------------------------------- */

static void log_slow(struct shard *shard, const struct client *client, const struct slice *argv, uint32_t argc,
                     uint64_t micros) {
    char address[64] = "";
    if (client && client->carrier) client->carrier->address(client, false, address, sizeof address);
    slowlog_add(&shard->slowlog, (uint32_t)shard->config->slowlog_max_len, shard->now_ms / 1000, micros, argv, argc,
                address, client && client->name ? client->name : "");
}

static COLD void count_slow(struct shard *shard, struct exec *x, uint64_t micros) {
    if (x->slot->row->flags & CMD_SKIP_SLOWLOG) return;
    if (x->slow_us)
        *x->slow_us = micros;
    else
        log_slow(shard, x->client, x->argv, x->argc, micros);
}

void pipeline_log_slow(struct shard *shard, const struct message *message) {
    size_t at = 0;
    const struct message_item *item;
    for (uint32_t i = 0; (item = message_next(message, &at)); i++) {
        if (!item->slow) continue;
        size_t bytes = item->argc * sizeof(struct slice);
        struct slice *argv = heap_alloc(shard->heap, MEM_MESSAGE, bytes);
        message_item_argv(item, argv);
        log_slow(shard, message_note_at(message, i)->client, argv, item->argc, item->slow_us);
        heap_free(shard->heap, MEM_MESSAGE, argv, bytes);
    }
}

HOT_INLINE void count_command(struct shard *shard, struct exec *x, uint64_t ticks) {
    struct command_stats *stats = &shard->command_stats[x->slot->number];
    stats->calls++;
    stats->ticks += ticks;
    shard->stats.commands++;
    if (UNLIKELY(x->failed)) {
        stats->failed++;
        shard->stats.errors++;
    }
    if (LIKELY(shard->config->latency_tracking)) {
        if (UNLIKELY(!stats->histogram))
            stats->histogram = heap_alloc_zero(shard->heap, MEM_STATS, HISTOGRAM_BUCKETS * sizeof(uint64_t));
        uint64_t ns = (uint64_t)((double)ticks * shard->host.tick_ns) | 1;
        unsigned bucket = 63u - (unsigned)__builtin_clzll(ns);
        stats->histogram[MIN(bucket, HISTOGRAM_BUCKETS - 1u)]++;
    }
    if (UNLIKELY(ticks >= shard->slow_ticks))
        count_slow(shard, x, (uint64_t)((double)ticks * shard->host.tick_ns / 1000));
}

/* Commands inside of it (EXEC) have effects of their own. */
static void run_with_effect(struct shard *shard, struct exec *x) {
    struct effects *effects = &shard->effects;
    const struct command *row = x->slot->row;
    uint64_t dirty = shard->shared.dirty, added = effects->added;
    effects_open(effects, 0, 0);
    row->run(x);
    bool changed = shard->shared.dirty != dirty;
    if (changed && effects->added == added) {
        ASSERT(row->replays);
        effects_add(effects, x->db, x->argv, x->argc);
    }
    /* Not counted as changes: the second half of what is counted elsewhere. */
    ASSERT_SLOW(changed || effects->added == added || row->flags & CMD_INTERNAL || row->wide);
    effects_close(effects);
}

static bool may_change_keys(const struct command *row) {
    return row->flags & CMD_WRITE || row->locks != NULL; /* or holds commands that do */
}

/* While there is a journal: with what it writes, and what the reply waits for. */
static NOINLINE void run_and_note(struct shard *shard, struct exec *x) {
    uint64_t added = shard->effects.added;
    if (may_change_keys(x->slot->row))
        run_with_effect(shard, x);
    else
        x->slot->row->run(x);
    if (shard->commit.on) commit_note(x, shard->effects.added != added);
}

void pipeline_execute(struct shard *shard, struct exec *x) {
    x->shard = shard;
    x->shared = &shard->shared;
    x->keys = shard_db(shard, x->db);
    uint64_t start = shard->last_tick;
    if (shard->effects.on)
        run_and_note(shard, x);
    else
        x->slot->row->run(x);
    uint64_t end = shard->host.ticks(shard->host.ctx);
    shard->last_tick = end;
    if (LIKELY(!x->again && !x->part)) count_command(shard, x, end - start);
}

void pipeline_refuse(struct shard *shard, struct exec *x) {
    x->shard = shard;
    reply_error(x, OOM_ERROR);
    shard->command_stats[x->slot->number].rejected++;
    shard->stats.errors++;
}

void pipeline_count_gather(struct shard *shard, const struct gather *gather, bool failed) {
    struct exec x = {
        .slot = gather->slot, .argv = gather->argv, .argc = gather->argc, .client = gather->client, .failed = failed};
    struct slice name;
    if (!x.argv) { /* a split command: its name is all there is for the slow log */
        name = slice_of_cstr(gather->slot->row->name);
        x.argv = &name;
        x.argc = 1;
    }
    uint64_t now = shard->host.ticks(shard->host.ctx);
    count_command(shard, &x, now - gather->started_tick);
}

/* Field by field: an initialiser would clear the whole struct first, which costs more than all else here. */
HOT_INLINE void fill_exec(struct shard *shard, struct exec *x, const struct queued *q, struct buf *out) {
    struct client *client = q->client;
    x->shard = shard;
    x->shared = &shard->shared;
    x->slot = q->slot;
    x->argv = q->argv;
    x->argc = q->argc;
    x->db = client->db;
    x->resp = client->resp;
    x->failed = x->again = x->sleeping = x->part = x->blocks = false;
    x->flags = client->flags;
    x->hash = q->hash;
    x->hash_at = q->hash_at;
    x->hashes = NULL;
    x->hash_count = 0;
    x->out = out;
    x->client = client;
    x->client_id = client->id;
    x->slow_us = NULL;
    x->slice = NULL;
    x->elements = NULL;
}

/* A browser that was lured here (cross-protocol scripting) sends POST and Host: lines; as Redis, we hang up. */
static bool looks_like_http(const struct exec *x) {
    return slice_is(x->argv[0], "post") || slice_is(x->argv[0], "host:");
}

static COLD void refuse_http(struct shard *shard, struct exec *x) {
    log_line(
        shard->log, LOG_LEVEL_WARNING,
        "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to sherd. This is "
        "likely due to an attacker attempting to use Cross Protocol Scripting. Connection closed.");
    x->client->flags |= CLIENT_CLOSE_AFTER_REPLY;
}

static COLD void reply_reject(struct shard *shard, const struct queued *q, struct exec *x) {
    switch ((enum reject)q->reject) {
    case REJECT_UNKNOWN:
        if (looks_like_http(x))
            refuse_http(shard, x);
        else
            reply_unknown_command(x);
        break;
    case REJECT_UNKNOWN_SUB: reply_unknown_sub(x); break;
    case REJECT_ARITY: reply_wrong_arity(x); break;
    case REJECT_NOAUTH: reply_error(x, "NOAUTH Authentication required."); break;
    case REJECT_LOADING: reply_error(x, "LOADING Redis is loading the dataset in memory"); break;
    case REJECT_NO_WRITES: reply_error(x, shard->no_writes); break;
    case REJECT_MONITOR: reply_error(x, "ERR Replica can't interact with the keyspace"); break;
    case REJECT_PUBSUB: reply_only_pubsub(x); break;
    case REJECT_TOO_LATE: reply_error(x, shard->braked.reason); break;
    case REJECT_OOM: reply_error(x, OOM_ERROR); break;
    case REJECT_NO_MULTI: reply_error(x, "ERR Command not allowed inside a transaction"); break;
    }
}

/* An EXEC that is refused ends its transaction all the same; the reason becomes part of the error. */
static COLD void reject_exec(struct shard *shard, const struct queued *q, struct exec *x) {
    struct buf *out = x->out, why;
    buf_init(&why, shard->heap, MEM_MESSAGE);
    x->out = &why;
    x->part = true; /* not an error of its own */
    reply_reject(shard, q, x);
    x->out = out;
    x->part = false;
    int len = (int)why.len - 3; /* without the minus and the line's end */
    const char *text = why.data + 1;
    if (strncmp(text, "ERR ", 4) == 0) text += 4, len -= 4;
    multi_abandon(q->client);
    reply_errorf(x, "EXECABORT Transaction discarded because of: %.*s", len, text);
    buf_deinit(&why);
}

static COLD void run_reject(struct shard *shard, struct queued *q, struct exec *x) {
    if (q->slot && q->slot->row->flags & CMD_ENDS_MULTI) {
        reject_exec(shard, q, x);
    } else {
        reply_reject(shard, q, x);
        multi_spoil(q->client);
    }
    if (q->slot) shard->command_stats[q->slot->number].rejected++;
    shard->stats.errors++;
}

/* Drops the reply when the client asked for silence; moves CLIENT REPLY SKIP on. */
HOT_INLINE void settle_reply(struct client *client, struct buf *out, size_t mark) {
    if (LIKELY(!(client->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT)))) return;
    if (client->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP)) out->len = mark;
    client->flags &= ~(uint32_t)CLIENT_REPLY_SKIP;
    if (client->flags & CLIENT_REPLY_SKIP_NEXT) {
        client->flags &= ~(uint32_t)CLIENT_REPLY_SKIP_NEXT;
        client->flags |= CLIENT_REPLY_SKIP;
    }
}

static bool is_silent(struct client *client) {
    bool silent = client->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
    struct buf none = {0};
    settle_reply(client, &none, 0);
    return silent;
}

/* Its keys are held: it runs later, and its reply has a place. */
static COLD void park(struct shard *shard, const struct queued *q, struct exec *x) {
    struct client *client = q->client;
    struct message_note note = {.client = client, .place = reply_queue_reserve(&client->replies)};
    x->client = NULL;
    if (q->barrier) client->wait = WAIT_REPLIES;
    request_park(x, txn_stamp(shard), shard->id, note, is_silent(client));
}

/* It found nothing and waits for its keys. */
static COLD void block(struct shard *shard, const struct queued *q, const struct exec *x) {
    struct client *client = q->client;
    uint64_t stamp = txn_stamp(shard), place = reply_queue_reserve(&client->replies);
    client->wait = WAIT_REPLIES;
    waiter_add(x, stamp, shard->id);
    blocked_add(client, stamp, place, 1ull << shard->id, x->timeout_ms, is_silent(client));
}

/* The reply was written to out from mark on, which is the client's, or what is held behind earlier ones. True: it waits
 * for its position, and has a place. */
static COLD bool keep_reply(struct shard *shard, struct client *client, struct buf *out, size_t mark,
                            uint64_t position) {
    if (out->len == mark) return false;
    struct buf reply;
    buf_init(&reply, shard->heap, MEM_CLIENT_OUT);
    buf_append(&reply, out->data + mark, out->len - mark);
    out->len = mark;
    struct message_note note = {.client = client, .place = reply_queue_reserve(&client->replies)};
    commit_deliver_own(shard, note, &reply, position);
    buf_deinit(&reply);
    return true;
}

HOT_INLINE void run_local(struct shard *shard, struct queued *q) {
    struct client *client = q->client;
    bool direct = reply_queue_empty(&client->replies);
    if (UNLIKELY(client->out.cap == 0)) buf_pool_lend(&shard->replies, &client->out);
    struct buf *out = direct ? &client->out : &client->replies.held;
    size_t mark = out->len;
    uint64_t position = 0;
    struct exec x;
    fill_exec(shard, &x, q, out);
    if (LIKELY(q->fate <= FATE_MULTI)) {
        if (UNLIKELY(!locks_idle(shard->locks)) && q->slot->row->where != ON_CONN && !request_may_run_slow(&x)) {
            park(shard, q, &x);
            return;
        }
        pipeline_execute(shard, &x);
        position = commit_end(&shard->commit);
        if (UNLIKELY(x.blocks)) {
            block(shard, q, &x);
            return;
        }
    } else if (q->fate == FATE_QUEUE) {
        multi_queue(client, q);
        buf_append_literal(out, "+QUEUED\r\n");
    } else {
        run_reject(shard, q, &x);
    }
    settle_reply(client, out, mark);
    client->reply_size = (uint32_t)MIN(out->len - mark, (size_t)UINT32_MAX);
    if (UNLIKELY(position) && keep_reply(shard, client, out, mark, position)) return;
    if (UNLIKELY(!direct)) reply_queue_hold(&client->replies, mark);
}

struct message *pipeline_outgoing(struct shard *shard, uint32_t to, bool alone) {
    struct message *message = shard->outgoing[to];
    if (message && (alone || message_full(message))) {
        shard_post(shard, message);
        message = shard->outgoing[to] = NULL;
    }
    if (!message) {
        message = message_new(&shard->messages, shard->id, to);
        message->alone = alone;
        shard->outgoing[to] = message;
        shard->to_send |= 1ull << to;
    }
    return message;
}

static void run_remote(struct shard *shard, struct queued *q) {
    struct client *client = q->client;
    struct message *message = pipeline_outgoing(shard, q->owner, false);
    struct message_note note = {.client = client, .place = reply_queue_reserve(&client->replies)};
    struct message_item *item = message_add(message, note, q->argv, q->argc);
    item->hash = q->hash;
    item->hash_at = (uint8_t)q->hash_at;
    item->stamp = txn_stamp(shard);
    item->client_id = client->id;
    item->number = (uint16_t)q->slot->number;
    item->flags = client->flags;
    item->db = client->db;
    item->resp = client->resp;
    item->silent = is_silent(client);
    item->admitted = admit_grants_whole(q);
    shard->stats.hops_sent++;
    client->queued_remote--;
    if (q->barrier && client->wait == WAIT_NOTHING) client->wait = WAIT_REPLIES;
}

static void run_split(struct queued *q, struct exec *x) {
    q->client->queued_remote--;
    x->flags &= ~(uint32_t)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
    if (is_silent(q->client)) x->flags |= CLIENT_REPLY_SKIP;
    if (x->slot->row->split)
        x->slot->row->split(x);
    else
        gather_start_split(x);
}

/* EXEC: on this shard it replies like any local command; else its reply has a place, or the client waits. */
static void run_exec(struct shard *shard, struct queued *q, struct exec *x) {
    struct client *client = q->client;
    client->queued_remote -= q->leaves;
    if (q->fate_in_exec == FATE_LOCAL) {
        bool direct = reply_queue_empty(&client->replies);
        struct buf *out = direct ? &client->out : &client->replies.held;
        size_t mark = out->len;
        x->out = out;
        uint64_t start = shard->last_tick;
        if (!multi_exec_here(x)) { /* it stands in line */
            (void)is_silent(client);
            if (q->barrier && client->wait == WAIT_NOTHING) client->wait = WAIT_REPLIES;
            return;
        }
        count_command(shard, x, shard->last_tick - start);
        settle_reply(client, out, mark);
        client->reply_size = (uint32_t)MIN(out->len - mark, (size_t)UINT32_MAX);
        uint64_t position = commit_end(&shard->commit);
        if (UNLIKELY(position) && keep_reply(shard, client, out, mark, position)) return;
        if (!direct) reply_queue_hold(&client->replies, mark);
        return;
    }
    if (q->leaves) {
        x->flags &= ~(uint32_t)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
        if (is_silent(client)) x->flags |= CLIENT_REPLY_SKIP;
    }
    multi_exec(x);
    if (q->leaves && q->barrier && client->wait == WAIT_NOTHING) client->wait = WAIT_REPLIES;
}

static void run_gather(struct shard *shard, struct queued *q) {
    ASSERT(!q->barrier || reply_queue_empty(&q->client->replies));
    struct exec x;
    fill_exec(shard, &x, q, &q->client->out);
    switch (q->fate) {
    case FATE_SPLIT: run_split(q, &x); break;
    case FATE_ACROSS: gather_start(&x, q->slot->row->across); break;
    case FATE_EXEC: run_exec(shard, q, &x); break;
    default: gather_start_all(&x); break;
    }
}

/* Do all commands of the client from here on lie in its kept input? (A batch may hold some from there and some from
 * the bytes that the carrier passed later.) */
static bool all_in_kept_input(const struct pipeline *p, uint32_t from, const struct client *client) {
    uintptr_t begin = (uintptr_t)client->in.data;
    for (uint32_t i = from; i < p->count; i++) {
        const struct queued *q = &p->batch[i];
        if (q->client == client && (uintptr_t)q->raw - begin >= client->in.len) return false;
    }
    return true;
}

/* Puts this client's commands from here on back into its input: it has more replies waiting than it reads. */
static COLD void put_back(struct shard *shard, struct pipeline *p, uint32_t from, enum client_wait why) {
    struct client *client = p->batch[from].client;
    const char *first = p->batch[from].raw;
    bool kept = all_in_kept_input(p, from, client);
    struct buf again;
    buf_init(&again, shard->heap, MEM_CLIENT_IN);
    for (uint32_t i = from; i < p->count; i++) {
        struct queued *q = &p->batch[i];
        if (q->client != client) continue;
        if (!kept) buf_append(&again, q->raw, q->raw_len);
        client->queued--;
        client->queued_remote -= q->leaves;
        q->client = NULL;
    }
    if (why == WAIT_MEMORY && client->wait != WAIT_MEMORY)
        admit_wait(client);
    else
        client->wait = (uint8_t)why;
    client->need = 0;
    resp_parser_reset(&client->parser); /* its progress is of a command behind these */
    if (kept) {
        client->in.read = (size_t)(first - client->in.data);
        return;
    }
    buf_append_slice(&again, buf_slice(&client->in));
    buf_deinit(&client->in);
    client->in = again;
}

/* Clients with large replies wait first; but how large the first one is, nobody knows before. So when clients hold far
 * more than they may in spite of that, all who read wait until the fattest are gone (shards/pressure.h). Who publishes
 * adds to what others hold, wherever these are, and waits from the first byte that they may not have. */
static COLD bool may_answer(struct shard *shard, const struct client *client, const struct queued *q) {
    if (!admit_reply(shard, client)) return false;
    bool overrun = shard->account.uncovered > OVERRUN_MAX / (int64_t)shard->count;
    bool reads = q->slot && (q->slot->row->flags & CMD_READ || q->fate == FATE_EXEC);
    bool publishes = q->slot && q->slot->row->flags & CMD_PUBSUB;
    if (!(overrun && reads) && !(shard->account.crowded && publishes)) return true;
    return !client->carrier || client->flags & CLIENT_LOADER || admit_is_in_vain(client);
}

/* Why the client's next command may not run now. What an earlier one in this batch made it wait for comes first; then
 * replies for which there is no room; replies that it does not read; for a barrier, an earlier command that stands in
 * line; or replies that pile up behind one that is not there yet. */
HOT_INLINE enum client_wait hindrance(struct shard *shard, const struct client *client, const struct queued *q) {
    if (UNLIKELY(client->wait != WAIT_NOTHING)) return (enum client_wait)client->wait;
    if (UNLIKELY(account_trips(&shard->account, 0)) && !may_answer(shard, client, q)) return WAIT_MEMORY;
    if (UNLIKELY(buf_readable(&client->out) >= OUT_PAUSE)) return WAIT_READER;
    if (UNLIKELY(q->barrier) && !reply_queue_empty(&client->replies)) return WAIT_REPLIES;
    return UNLIKELY(buf_readable(&client->replies.held) >= EXPECTED_OUT_MAX) ? WAIT_REPLIES : WAIT_NOTHING;
}

/* The command has run: those who monitor see it, and its client gets what it may not get in the middle of a reply. */
static COLD void tell(struct shard *shard, const struct queued *q) {
    if (monitor_is_on(&shard->pubsub) && q->fate != FATE_REJECT && q->fate != FATE_QUEUE)
        monitor_show(q->client, q->slot, q->argv, q->argc);
    pubsub_flush_later(shard);
}

static void run_one(struct shard *shard, struct pipeline *p, uint32_t i) {
    struct queued *q = &p->batch[i];
    struct client *client = q->client;
    if (UNLIKELY(client->flags & (CLIENT_CLOSE_NOW | CLIENT_CLOSE_AFTER_REPLY))) {
        client->queued--;
        client->queued_remote -= q->leaves;
        return;
    }
    enum client_wait why = hindrance(shard, client, q);
    if (UNLIKELY(why != WAIT_NOTHING)) {
        put_back(shard, p, i, why);
        return;
    }
    client->queued--;
    client->commands++;
    shard->pubsub.running = client;
    if (q->slot) client->last_command = q->slot;
    if (LIKELY(q->fate <= FATE_REJECT))
        run_local(shard, q);
    else if (q->fate == FATE_REMOTE)
        run_remote(shard, q);
    else
        run_gather(shard, q);
    waiters_serve(shard);
    if (UNLIKELY(pubsub_to_tell(&shard->pubsub))) tell(shard, q);
    if (UNLIKELY(client->in.len > 0 && client->in.read == client->in.len && client->queued == 0))
        buf_reset(&client->in, 0); /* nothing points there any more, and an idle client pins no memory */
    if (!(client->flags & CLIENT_DIRTY_OUT)) shard_mark_dirty(shard, client);
}

void pipeline_run(struct shard *shard) {
    struct pipeline *p = shard->pipeline;
    if (p->count == 0) return;
    ASSERT(!p->running);
    p->running = true;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct queued *q = &p->batch[i];
        if (!route_runs_here(q) || !q->hash_at) continue;
        struct keyspace *keys = shard_db_peek(shard, q->client->db);
        if (keys) keyspace_prefetch_entry(keys, q->hash);
    }
    shard->last_tick = shard->host.ticks(shard->host.ctx);
    for (uint32_t i = 0; i < p->count; i++)
        if (LIKELY(p->batch[i].client != NULL)) run_one(shard, p, i);
    shard->pubsub.running = NULL;
    p->count = 0;
    p->args_used = 0;
    p->bytes = 0;
    p->running = false;
}

/* --- collecting ---------------------------------------------------------------------------------------------- */

static COLD void protocol_error(struct shard *shard, struct client *client, const char *text) {
    bool direct = reply_queue_empty(&client->replies);
    struct buf *out = direct ? &client->out : &client->replies.held;
    size_t mark = out->len;
    resp_errorf(out, "ERR %s", text);
    error_stats_count(&shard->errors, SLICE("ERR"));
    settle_reply(client, out, mark);
    if (!direct) reply_queue_hold(&client->replies, mark);
    client->flags |= CLIENT_CLOSE_AFTER_REPLY;
    shard->stats.errors++;
    shard_mark_dirty(shard, client);
}

static bool must_pause(const struct shard *shard, const struct queued *q) {
    if (LIKELY(!shard->pause_until_ms && !shard->hold_writes)) return false;
    if (!q->slot || q->slot->row->flags & CMD_ALLOW_BUSY) return false;
    uint32_t flags = q->fate == FATE_EXEC ? multi_flags_ahead(q->client) : q->slot->row->flags;
    return (shard->pause_until_ms && shard->pause_all) || flags & (CMD_WRITE | CMD_MAY_REPLICATE);
}

/* Outstanding commands, and what their replies may come to. */
static bool too_many_outstanding(const struct client *client) {
    uint64_t outstanding = reply_queue_len(&client->replies) + client->queued_remote;
    uint64_t size = MAX(client->answer_size, client->reply_size);
    if (LIKELY(outstanding < 16 && size <= LARGE_REPLY)) return false;
    return outstanding + client->queued >= REPLY_QUEUE_MAX || outstanding * size > EXPECTED_OUT_MAX;
}

/* Why the command just parsed may not join the batch; WAIT_NOTHING: it may. */
HOT_INLINE enum client_wait obstacle(struct shard *shard, struct client *client, struct queued *q) {
    if (UNLIKELY(!reply_queue_empty(&client->replies) || client->queued_remote)) {
        if (q->barrier || too_many_outstanding(client)) return WAIT_REPLIES;
    }
    if (UNLIKELY(must_pause(shard, q))) return WAIT_PAUSE;
    return UNLIKELY(shard->braked.closed) && !brake_lets_pass(shard, client, q) ? WAIT_BRAKE : WAIT_NOTHING;
}

static bool may_parse(const struct client *client) {
    return client->wait == WAIT_NOTHING && !(client->flags & (CLIENT_CLOSE_NOW | CLIENT_CLOSE_AFTER_REPLY));
}

enum take {
    TAKE_OK,
    TAKE_RUN,   /* taken; the batch has to run before the next is parsed */
    TAKE_RETRY, /* nothing taken; the batch has to run first */
    TAKE_STOP,  /* nothing taken; the client has to wait, for bytes or for what client.wait says */
};

static bool is_about_multi(const struct queued *q) {
    return q->slot && q->slot->row->flags & CMD_IN_MULTI;
}

/* Commands after which the batch runs at once: what changes the client's or the shard's state (SELECT, CLIENT PAUSE)
 * or takes several turns. */
static bool runs_at_once(const struct queued *q) {
    switch ((enum fate)q->fate) {
    case FATE_LOCAL: {
        const struct command *row = q->slot->row;
        return ((row->where == ON_CONN || row->where == ON_ALL) && q->barrier) || row->flags & CMD_IN_MULTI;
    }
    case FATE_MULTI:
    case FATE_QUEUE: return false;
    case FATE_REJECT: return is_about_multi(q);
    case FATE_EXEC: return q->barrier;
    default: return !q->leaves || q->barrier;
    }
}

/* Is routed by what all commands before it have done, not by what they will have done. */
static bool needs_batch_done(const struct queued *q) {
    return is_about_multi(q) && (q->barrier || !(q->slot->row->flags & CMD_ROUTED));
}

/* Memory is short, or the command may need much. Those before it in the batch run first, unless it may just join them:
 * they may free some. TAKE_OK: it joins, be it as one that is refused. */
static COLD enum take take_if_admitted(struct shard *shard, struct client *client, struct queued *q) {
    struct pipeline *p = shard->pipeline;
    if (must_pause(shard, q)) return TAKE_OK; /* it waits for something else first */
    enum admission admission = admit_command(shard, client, q, p->bytes);
    if (LIKELY(admission == ADMIT_GO)) return TAKE_OK;
    if (p->count > 0) return TAKE_RETRY;
    if (admission == ADMIT_WAIT) {
        admit_wait(client);
        return TAKE_STOP;
    }
    route_refuse(q, REJECT_OOM);
    return TAKE_OK;
}

/* One command of the client from bytes into the batch. */
HOT_INLINE enum take take_command(struct shard *shard, struct client *client, struct slice bytes, size_t *size) {
    struct pipeline *p = shard->pipeline;
    if (UNLIKELY(p->count == BATCH_MAX)) return TAKE_RETRY;
    struct parse_limits limits = {.bulk_max = (uint64_t)shard->config->proto_max_bulk_len,
                                  .unauthenticated = !(client->flags & CLIENT_AUTHENTICATED)};
    struct parsed_command command;
    enum parse_result result =
        resp_parse(&client->parser, bytes, &limits, p->args + p->args_used, ARGS_MAX - p->args_used, &command);
    if (UNLIKELY(result != PARSE_OK)) {
        if (result == PARSE_EMPTY) {
            *size = command.size;
            return TAKE_OK;
        }
        if (result == PARSE_MORE) {
            client->need = command.need;
            return TAKE_STOP;
        }
        if (p->count > 0) return TAKE_RETRY; /* an error is told after the replies of what came before it */
        ASSERT(result == PARSE_ERROR);
        protocol_error(shard, client, command.error);
        return TAKE_STOP;
    }
    struct queued *q = &p->batch[p->count];
    q->client = client;
    q->argv = command.argv;
    q->argc = command.argc;
    q->raw = bytes.ptr;
    q->raw_len = (uint32_t)command.size;
    route_command(shard, client, q, p->count ? q - 1 : NULL);
    if (UNLIKELY(client->queued > 0 && needs_batch_done(q))) return TAKE_RETRY;
    if (UNLIKELY(account_trips(&shard->account, p->bytes + command.size) || (q->slot && q->slot->grows))) {
        enum take admitted = take_if_admitted(shard, client, q);
        if (admitted != TAKE_OK) return admitted;
    }
    enum client_wait wait = obstacle(shard, client, q);
    if (UNLIKELY(wait != WAIT_NOTHING)) {
        if (client->queued > 0) return TAKE_RETRY; /* its earlier commands are not to wait with it */
        if (wait == WAIT_BRAKE)
            brake_wait(shard, client);
        else
            client->wait = (uint8_t)wait;
        return TAKE_STOP;
    }
    if (UNLIKELY(client->multi || q->fate == FATE_MULTI)) multi_look_ahead(client, q);
    p->count++;
    p->bytes += command.size;
    client->queued++;
    client->queued_remote += q->leaves;
    *size = command.size;
    if (LIKELY(!command.kept)) p->args_used += command.argc;
    return UNLIKELY(command.kept || runs_at_once(q)) ? TAKE_RUN : TAKE_OK;
}

size_t pipeline_feed(struct shard *shard, struct client *client, struct slice bytes) {
    ASSERT_SLOW(buf_readable(&client->in) == 0);
    size_t at = 0, size = 0;
    while (at < bytes.len && may_parse(client)) {
        switch (take_command(shard, client, slice_of(bytes.ptr + at, bytes.len - at), &size)) {
        case TAKE_OK: at += size; break;
        case TAKE_RUN:
            at += size;
            pipeline_run(shard);
            break;
        case TAKE_RETRY: pipeline_run(shard); break;
        case TAKE_STOP: return at;
        }
    }
    return at;
}

void pipeline_feed_kept(struct shard *shard, struct client *client) {
    size_t size = 0;
    bool stop = false;
    while (!stop && may_parse(client) && buf_readable(&client->in) > 0 && buf_readable(&client->in) >= client->need) {
        client->need = 0;
        /* The cursor moves before the batch runs: running may put commands back and with them the cursor. */
        switch (take_command(shard, client, buf_slice(&client->in), &size)) {
        case TAKE_OK: client->in.read += size; break;
        case TAKE_RUN:
            client->in.read += size;
            pipeline_run(shard);
            break;
        case TAKE_RETRY: pipeline_run(shard); break;
        case TAKE_STOP: stop = true; break;
        }
    }
    if (buf_readable(&client->in) > 0 || client->queued > 0) return;
    buf_reset(&client->in, 0);
    resp_parser_reset(&client->parser);
    client->need = 0;
}

/* A command that there is no room for: its beginning has not been kept, and what follows would not be understood. */
static COLD void refuse_input(struct shard *shard, struct client *client) {
    bool direct = reply_queue_empty(&client->replies);
    struct buf *out = direct ? &client->out : &client->replies.held;
    size_t mark = out->len;
    resp_error(out, SLICE(OOM_ERROR));
    error_stats_count(&shard->errors, SLICE(OOM_ERROR));
    settle_reply(client, out, mark);
    if (!direct) reply_queue_hold(&client->replies, mark);
    client->flags |= CLIENT_CLOSE_AFTER_REPLY;
    shard->stats.errors++;
    shard_mark_dirty(shard, client);
    shard->host.attend(shard->host.ctx, client);
}

static COLD void close_for_input(struct shard *shard, struct client *client, size_t bytes, const char *why) {
    log_line(shard->log, LOG_LEVEL_WARNING, "Closing client id=%llu: %zu bytes of unparsed input are over %s",
             (unsigned long long)client->id, bytes, why);
    client->flags |= CLIENT_CLOSE_NOW;
    shard->host.attend(shard->host.ctx, client);
}

/* What is announced of the input besides what there is, or half as much again as has come. */
static size_t announced(const struct client *client, size_t extra) {
    size_t have = buf_readable(&client->in);
    return MAX(client->need, have + extra + have / 2) - have;
}

/* Memory is short, and a piece of input is to be kept. The commands before it run first: they are not to wait with it,
 * and their replies come before an error. */
static COLD void run_before_keeping(struct shard *shard, struct client *client) {
    if (buf_readable(&client->in) > 0) pipeline_feed_kept(shard, client);
    pipeline_run(shard);
}

/* Memory is short. False: there is no room. Else *want, how much to reserve, becomes less unless all was granted. While
 * room for the rest is being made, a piece goes on that fits. Whom that leaves waiting is not read from until there is
 * some (its carrier looks at client.wait), so what has come of its input stays. Who waits already, be it with commands
 * that are whole, is not refused; but a blocked client is read from all the same, and has to be granted what is more
 * than the others have at the most. */
static COLD bool admit_kept(struct shard *shard, struct client *client, size_t extra, size_t *want) {
    size_t arrived = buf_readable(&client->in) + extra, piece = MAX(extra, arrived / 4), all = *want;
    *want = extra;
    if (!may_parse(client) && !(client->blocked && arrived > IN_PAUSE)) return true;
    enum admission admission = admit_input(shard, client, announced(client, extra), arrived);
    if (admission == ADMIT_REFUSE && !client->blocked) {
        refuse_input(shard, client);
        return true;
    }
    if (admission == ADMIT_GO)
        *want = all;
    else if (admission == ADMIT_WAIT && account_take_for_clients(shard, piece))
        *want = piece;
    else if (client->blocked)
        return false;
    else
        admit_wait(client);
    return true;
}

/* Room for what is announced, but only when a good part of it has really arrived; else a quarter more, so that a long
 * command of many arguments, whose size is not announced, is not copied with every piece that arrives. Before any of it
 * is kept somebody must have granted all. */
static bool reserve_input(struct shard *shard, struct client *client, size_t extra) {
    if (client->in.cap - client->in.len >= extra) return true;
    size_t have = buf_readable(&client->in), want = MAX(extra, have / 4);
    if (have >= KEEP_EXACT_MIN && client->need > have + extra) want = client->need - have;
    if (UNLIKELY(account_trips(&shard->account, announced(client, extra)))) {
        if (!admit_kept(shard, client, extra, &want)) return false;
        if (client->flags & CLIENT_CLOSE_AFTER_REPLY) return true;
    }
    return buf_try_reserve(&client->in, want) || buf_try_reserve(&client->in, extra);
}

bool client_keep_input(struct shard *shard, struct client *client, struct slice bytes) {
    if (bytes.len == 0) return true;
    if (UNLIKELY(account_trips(&shard->account, announced(client, bytes.len)))) run_before_keeping(shard, client);
    if (client->queued > 0 && client->in.len > 0) pipeline_run(shard); /* its arguments may point there */
    if (client->in.read > 0) buf_compact(&client->in);
    size_t total = buf_readable(&client->in) + bytes.len;
    bool over = total > (size_t)shard->config->client_query_buffer_limit;
    if (over || !reserve_input(shard, client, bytes.len)) {
        close_for_input(shard, client, total, over ? "client-query-buffer-limit" : "what there is memory for");
        return false;
    }
    shard->stats.input_buffer_max = MAX(shard->stats.input_buffer_max, (uint64_t)total);
    if (UNLIKELY(client->flags & CLIENT_CLOSE_AFTER_REPLY)) return true;
    buf_append_slice(&client->in, bytes);
    return true;
}

/* --- going on after a wait ----------------------------------------------------------------------------------- */

void pipeline_deliver_own(struct shard *shard, struct message_note note, struct buf *take) {
    if (note.gather) {
        gather_part_done_own(note.gather, (uint32_t)note.place, take);
        return;
    }
    struct client *client = note.client;
    client_note_answer(client, take->len);
    reply_queue_fill_own(&client->replies, note.place, take, &shard->messages, &client->out);
    buf_deinit(take);
    shard_mark_dirty(shard, client);
    if (reply_queue_empty(&client->replies)) pipeline_resume(shard, client);
}

void pipeline_resume(struct shard *shard, struct client *client) {
    switch ((enum client_wait)client->wait) {
    case WAIT_REPLIES:
        if (!reply_queue_empty(&client->replies)) return;
        break;
    case WAIT_READER:
        if (buf_readable(&client->out) >= OUT_PAUSE || !chain_empty(&client->rest)) return;
        break;
    case WAIT_PAUSE:
        if (shard->pause_until_ms) return;
        break;
    case WAIT_GATHER:
        if (client->gather) return;
        break;
    default: return;
    }
    client->wait = WAIT_NOTHING;
    shard->host.attend(shard->host.ctx, client);
}
