/* A message is served as a batch: the entries of all its keys were prefetched, its items run in order. Each has a
 * reply, be it that there is none yet. */
#include "shards/serve.h"
#include "core/assert.h"
#include "core/probe.h"
#include "shards/admit.h"
#include "shards/answer_work.h"
#include "shards/exec.h"
#include "shards/gather_room.h"
#include "shards/pipeline.h"
#include "shards/request.h"
#include "shards/shard.h"
#include "shards/tell_work.h"
#include "shards/waiters.h"

void serve_prefetch(struct shard *shard, const struct message *message, keyspace_prefetch prefetch) {
    size_t at = 0;
    const struct message_item *item;
    while ((item = message_next(message, &at))) {
        if (UNLIKELY(item->how == ITEM_GO))
            request_prefetch(shard, item->stamp, prefetch);
        else
            shard_prefetch_item(shard, item, prefetch);
    }
}

#define NOT_SLOW    UINT64_MAX
#define SPLIT_PART  8           /* of what clients of a shard may hold, if that is less than SPLIT_BYTES, */
#define SPLIT_LEAST (64 * 1024) /* and not less than this */
#ifndef SPLIT_BYTES
#define SPLIT_BYTES (1024 * 1024) /* of replies in one message, with the one that passes it */
#endif

/* Home keeps the reply until the position is confirmed. */
HOT_INLINE void hold(struct shard *shard, struct message *message, struct message_item *item, uint64_t position) {
    if (LIKELY(!position) || item->silent) return;
    commit_promise(shard, message->from, item, position);
    message->held = true;
}

static COLD void run_if_admitted(struct shard *shard, struct exec *x, const struct message_item *item) {
    if (!admit_here(x, item))
        pipeline_refuse(shard, x);
    else
        pipeline_execute(shard, x);
}

HOT_INLINE void serve_command(struct shard *shard, struct message *message, struct message_item *item, struct exec *x,
                              size_t mark) {
    if (UNLIKELY(item->how == ITEM_RUN && !request_may_run(x))) {
        request_park(x, item->stamp, message->from, (struct message_note){0}, item->silent);
        message_reply_later(message, mark);
        return;
    }
    uint64_t slow_us = NOT_SLOW;
    x->slow_us = &slow_us;
    uint64_t position;
    if (LIKELY(item->how == ITEM_RUN)) {
        if (LIKELY(admit_is_clear_here(x, item)))
            pipeline_execute(shard, x);
        else
            run_if_admitted(shard, x, item);
        position = commit_end(&shard->commit);
    } else {
        position = request_run_step(x, item->stamp);
    }
    if (UNLIKELY(x->blocks)) {
        if (x->again) { /* it does not wait for its keys to hold something, but for its turn */
            if (x->tells) tell_becomes_stand_in(x, mark);
            request_park(x, item->stamp, message->from, (struct message_note){0}, item->silent);
            message_reply_later(message, mark);
            return;
        }
        waiter_add(x, item->stamp, message->from);
        message_reply_blocked(message, mark, x->timeout_ms);
        return;
    }
    if (UNLIKELY(slow_us != NOT_SLOW)) {
        item->slow_us = slow_us;
        item->slow = message->slow = true;
    }
    hold(shard, message, item, position);
    if (item->silent) message->reply.len = mark;
    message_reply_close(message, mark);
}

/* Now or never: when it has to wait, be it for room for its reply, it is a part like those of ITEM_LOCK. */
static void serve_try(struct shard *shard, struct message *message, struct message_item *item, struct exec *x,
                      size_t mark) {
    bool free = request_may_run(x);
    uint64_t position = 0, participants = item->writes ? 1ull << message->from | 1ull << shard->id : 0;
    if (!free && !request_line_up(x, item->stamp, message->from)) {
        message_reply_later(message, mark);
        return;
    }
    struct grant grant = request_grant(x);
    if (UNLIKELY(!grant.clean)) {
        if (!free) request_leave(shard, item->stamp, 0);
        grant_write(&message->reply, grant);
    } else if (UNLIKELY(grant.answers) && !gather_room_for(shard, grant.answers)) {
        if (!free || request_line_up(x, item->stamp, message->from))
            request_tell_grant(shard, message->from, item->stamp, grant);
        message_reply_later(message, mark);
        return;
    } else if (free) {
        effects_open(&shard->effects, item->stamp, participants);
        pipeline_execute(shard, x);
        effects_close(&shard->effects);
        position = commit_end_part(&shard->commit, item->stamp, participants);
    } else {
        enum request_went went = request_go(shard, item->stamp, participants, &message->reply, &position);
        ASSERT(went == REQUEST_RAN); /* it came before all that wait */
    }
    hold(shard, message, item, position);
    message_reply_close(message, mark);
}

static void serve_lock(struct message *message, const struct message_item *item, const struct exec *x, size_t mark) {
    if (!request_line_up(x, item->stamp, message->from)) {
        message_reply_later(message, mark);
        return;
    }
    grant_write(&message->reply, request_grant(x));
    message_reply_close(message, mark);
}

/* One that has arguments, from the heap when there are many. */
HOT_INLINE void serve_item(struct shard *shard, struct message *message, struct message_item *item, size_t mark) {
    struct slice few[32], *argv = few;
    size_t heap_bytes = item->argc > ARRAY_LEN(few) ? item->argc * sizeof *argv : 0;
    if (heap_bytes) argv = heap_alloc(shard->heap, MEM_MESSAGE, heap_bytes);
    message_item_argv(item, argv);
    struct exec x; /* field by field, as in fill_exec */
    x.shard = shard;
    x.shared = &shard->shared;
    x.slot = command_at(shard->registry, item->number);
    x.argv = argv;
    x.argc = item->argc;
    x.db = item->db;
    x.resp = item->resp;
    x.failed = x.again = x.sleeping = x.blocks = x.tells = false;
    x.part = item->part;
    x.flags = item->flags;
    x.hash = item->hash;
    x.hash_at = item->hash_at;
    x.hashes = item->hash_count ? message_item_hashes(item) : NULL;
    x.hash_count = item->hash_count;
    x.out = &message->reply;
    x.mark = mark;
    x.client = NULL;
    x.client_id = item->client_id;
    x.slow_us = NULL;
    x.slice = NULL;
    x.elements = NULL;
    if (LIKELY(item->how <= ITEM_UNDER))
        serve_command(shard, message, item, &x, mark);
    else if (item->how == ITEM_TRY)
        serve_try(shard, message, item, &x, mark);
    else
        serve_lock(message, item, &x, mark);
    if (heap_bytes) heap_free(shard->heap, MEM_MESSAGE, argv, heap_bytes);
}

/* A word about a part that is kept here. */
static void serve_word(struct shard *shard, struct message *message, struct message_item *item, size_t mark) {
    uint64_t position = 0;
    if (item->how == ITEM_GO) {
        enum request_went went = request_go(shard, item->stamp, item->participants, &message->reply, &position);
        if (went == REQUEST_WAITS) message_reply_blocked(message, mark, 0);
        if (went == REQUEST_WORKS) message_reply_later(message, mark);
        if (went != REQUEST_RAN) return;
    }
    if (item->how == ITEM_LEAVE) position = request_leave(shard, item->stamp, item->participants);
    if (item->how == ITEM_YIELD) request_yield(shard, item->stamp);
    if (item->how == ITEM_CANCEL) waiter_cancel(shard, item->stamp, item->participants);
    hold(shard, message, item, position);
    message_reply_close(message, mark);
}

/* The replies of one message are in memory together, and at home once more; a pipeline of GETs of large values must not
 * fill it. So what comes behind a large reply waits, in order and with all that its home sends later, until home has
 * taken it (serve_rests in shard.c). */
static COLD void stop_behind(struct shard *shard, struct message *message, size_t at, uint32_t served) {
    uint32_t home = message->from;
    shard->rests |= 1ull << home;
    if (at == message->request.len) return;
    struct message *rest = message_split(&shard->messages, message, at, served);
    rest->next = shard->rest[home];
    if (!rest->next) shard->rest_last[home] = rest;
    shard->rest[home] = rest;
}

/* Bytes of replies in one message. */
HOT_INLINE size_t replies_most(const struct shard *shard) {
    const struct ledger *ledger = shard->account.shared;
    if (!ledger) return SPLIT_BYTES;
    int64_t part = atomic_load_explicit(&ledger->client_share, memory_order_relaxed) / SPLIT_PART;
    return (size_t)MIN(MAX(part, (int64_t)SPLIT_LEAST), (int64_t)SPLIT_BYTES);
}

void serve_message(struct shard *shard, struct message *message) {
    ASSERT(message->magic == MESSAGE_MAGIC && message->kind == MESSAGE_COMMANDS && message->to == shard->id);
    buf_set_heap(&message->reply, shard->heap);
    shard->last_tick = shard->host.ticks(shard->host.ctx);
    size_t at = 0, most = replies_most(shard);
    uint32_t served = 0;
    struct message_item *item;
    while ((item = message_next(message, &at))) {
        size_t mark = message_reply_open(message);
        if (LIKELY(item->how <= ITEM_LOCK))
            serve_item(shard, message, item, mark);
        else
            serve_word(shard, message, item, mark);
        waiters_serve(shard);
        served++;
        if (UNLIKELY(message->reply.len >= most)) stop_behind(shard, message, at, served);
    }
    PROBE3(hop_served, shard->id, message->from, message->count);
    shard->stats.hops_served += message->count;
    shard->turns.stats.hop[turns_bucket(message->count)]++;
    shard->stats.hop_messages_served++;
}
