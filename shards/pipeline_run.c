/* Running the batch: the hot path is pipeline_run -> run_one -> run_local -> handler. */
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/blocked.h"
#include "shards/client_move.h"
#include "shards/gather.h"
#include "shards/message.h"
#include "shards/monitor.h"
#include "shards/multi.h"
#include "shards/pipeline_priv.h"
#include "shards/request.h"
#include "shards/route.h"
#include "shards/shard.h"
#include "shards/tell_work.h"
#include "shards/txn.h"
#include "shards/waiters.h"

#define OVERRUN_MAX   (16 * 1024 * 1024) /* of all shards: what clients hold beyond what they may, before all wait; */
#define OVERRUN_LEAST (1024 * 1024)      /* and of each, where they may hold less than that */

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
    x->failed = x->again = x->sleeping = x->part = x->blocks = x->tells = false;
    x->flags = client->flags;
    x->hash = q->hash;
    x->hash_at = q->hash_at;
    x->hashes = NULL;
    x->hash_count = 0;
    x->out = out;
    x->mark = out->len;
    x->client = client;
    x->client_id = client->id;
    x->slow_us = NULL;
    x->slice = NULL;
    x->elements = NULL;
}

static bool is_silent(struct client *client) {
    bool silent = client->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
    struct buf none = {0};
    pipeline_settle(client, &none, 0);
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
static COLD void block(struct shard *shard, const struct queued *q, struct exec *x, size_t mark) {
    if (x->again) { /* or rather for its turn, with its keys held */
        if (x->tells) tell_becomes_stand_in(x, mark);
        x->out->len = mark; /* what was there is with the stand-in */
        park(shard, q, x);
        return;
    }
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
    struct slice reply = slice_of(out->data + mark, out->len - mark);
    if (reply.len == 0) return false;
    commit_hold_own(shard, client, position, reply);
    out->len = mark;
    return true;
}

/* The command's reply, written to out from mark on, is complete; at position it may leave. */
HOT_INLINE void finish_reply(struct shard *shard, struct client *client, struct buf *out, size_t mark,
                             uint64_t position) {
    pipeline_settle(client, out, mark);
    client->reply_size = (uint32_t)MIN(out->len - mark, (size_t)UINT32_MAX);
    if (UNLIKELY(position) && keep_reply(shard, client, out, mark, position)) return;
    if (UNLIKELY(out != &client->out)) reply_queue_hold(&client->replies, mark);
}

HOT_INLINE void run_local(struct shard *shard, struct queued *q) {
    struct client *client = q->client;
    if (UNLIKELY(client->out.cap == 0)) buf_pool_lend(&shard->replies, &client->out);
    struct buf *out = pipeline_reply_to(client);
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
            block(shard, q, &x, mark);
            return;
        }
    } else if (q->fate == FATE_QUEUE) {
        multi_queue(client, q);
        buf_append_literal(out, "+QUEUED\r\n");
    } else {
        pipeline_reject(shard, q, &x);
    }
    finish_reply(shard, client, out, mark, position);
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
    client_note_hops(shard, client, q->owner, 1);
    client->queued_remote--;
    if (q->barrier && client->wait == WAIT_NOTHING) client->wait = WAIT_REPLIES;
}

/* The reply comes later: whether it is dropped is settled now, and goes with the command. */
static void settle_ahead(struct client *client, struct exec *x) {
    x->flags &= ~(uint32_t)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
    if (is_silent(client)) x->flags |= CLIENT_REPLY_SKIP;
}

static void run_split(struct queued *q, struct exec *x) {
    q->client->queued_remote--;
    settle_ahead(q->client, x);
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
        struct buf *out = pipeline_reply_to(client);
        size_t mark = out->len;
        x->out = out;
        uint64_t start = shard->last_tick;
        if (!multi_exec_here(x)) { /* it stands in line */
            (void)is_silent(client);
            if (q->barrier && client->wait == WAIT_NOTHING) client->wait = WAIT_REPLIES;
            return;
        }
        pipeline_count(shard, x, shard->last_tick - start);
        finish_reply(shard, client, out, mark, commit_end(&shard->commit));
        return;
    }
    if (q->leaves) settle_ahead(client, x);
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

static bool is_overrun(const struct shard *shard) {
    const struct ledger *ledger = shard->account.shared;
    if (!ledger) return false;
    int64_t share = atomic_load_explicit(&ledger->client_share, memory_order_relaxed);
    return shard->account.uncovered > MIN(OVERRUN_MAX / (int64_t)shard->count, MAX(share, (int64_t)OVERRUN_LEAST));
}

/* Those who monitor are, or subscribers to keyspace events. */
static bool is_told_of(const struct shard *shard, const struct queued *q) {
    if (!q->slot || q->slot->row->flags & CMD_ADMIN) return false;
    bool events = shard->shared.notify && !pubsub_is_idle(&shard->pubsub);
    return monitor_is_on(&shard->pubsub) || (events && q->slot->row->flags & CMD_WRITE);
}

static bool must_not_publish(const struct shard *shard) {
    return shard->account.crowded || (shard->account.shared && account_room_for_answers(shard) < 0);
}

/* Clients with large replies wait first. When clients hold far more than they may in spite of that, all wait of whom
 * others are told until the fattest are gone (shards/pressure.h), and all who read, when there is no room for small
 * replies either. Who publishes adds to what others hold, wherever these are, and waits from the first byte that they
 * may not have. */
static COLD bool may_answer(struct shard *shard, const struct client *client, const struct queued *q) {
    if (!admit_reply(shard, client, q)) return false;
    bool overrun = is_overrun(shard);
    bool reads = q->slot && (q->slot->row->flags & CMD_READ || q->fate == FATE_EXEC);
    bool publishes = q->slot && q->slot->row->flags & CMD_PUBSUB;
    bool waits = overrun && ((reads && !admit_small_reply(shard)) || is_told_of(shard, q));
    if (!waits && !(publishes && must_not_publish(shard))) return true;
    return !client->carrier || client->flags & CLIENT_LOADER || admit_goes_in_vain(shard, client);
}

/* Why the client's next command may not run now. What an earlier one in this batch made it wait for comes first; then
 * replies for which there is no room; replies that it does not read; for a barrier, an earlier command that stands in
 * line; or replies that pile up behind one that is not there yet. */
HOT_INLINE enum client_wait hindrance(struct shard *shard, const struct client *client, const struct queued *q) {
    if (UNLIKELY(client->wait != WAIT_NOTHING)) return (enum client_wait)client->wait;
    if (UNLIKELY(account_trips(&shard->account, 0)) && !may_answer(shard, client, q)) return WAIT_MEMORY;
    if (UNLIKELY(buf_readable(&client->out) >= OUT_PAUSE)) return WAIT_READER;
    if (q->fate >= FATE_SPLIT && !admit_gather(shard, client, q, q->fate == FATE_ALL)) return WAIT_MEMORY;
    if (UNLIKELY(q->barrier) && !reply_queue_empty(&client->replies)) return WAIT_REPLIES;
    return UNLIKELY(reply_queue_kept(&client->replies) >= EXPECTED_OUT_MAX) ? WAIT_REPLIES : WAIT_NOTHING;
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
    shard->turns.stats.batch[turns_bucket(p->count)]++;
    enum turn_phase before = shard_enter(shard, SPENT_EXECUTE);
    for (uint32_t i = 0; i < p->count; i++) {
        const struct queued *q = &p->batch[i];
        if (!route_runs_here(q) || !q->hash_at) continue;
        struct keyspace *keys = shard_db_peek(shard, q->client->db);
        if (keys) keyspace_prefetch_entry(keys, q->hash);
    }
    shard->last_tick = shard->host.ticks(shard->host.ctx);
    commit_batch_begin(&shard->commit, shard->effects.position);
    for (uint32_t i = 0; i < p->count; i++)
        if (LIKELY(p->batch[i].client != NULL)) run_one(shard, p, i);
    shard->pubsub.running = NULL;
    commit_batch_end(&shard->commit);
    p->count = 0;
    p->args_used = 0;
    p->bytes = 0;
    p->running = false;
    shard_enter(shard, before);
}
