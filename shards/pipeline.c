/* Collecting the batch: take_command parses and routes, and says why a client may not be parsed further. With
 * pipeline_run.c it is the hot path of the server: pipeline_feed -> take_command -> route_command.
 *
 * Everything here is bounded: BATCH_MAX commands and ARGS_MAX argument slices per batch; a full batch is run at once
 * and collecting goes on. */
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/gather.h"
#include "shards/multi.h"
#include "shards/pipeline_priv.h"
#include "shards/route.h"
#include "shards/shard.h"

#define LARGE_REPLY (64 * 1024) /* from here on also a few outstanding commands are counted */

struct pipeline *pipeline_new(struct heap *heap) {
    return heap_alloc_zero(heap, MEM_MESSAGE, sizeof(struct pipeline));
}

void pipeline_delete(struct pipeline *pipeline, struct heap *heap) {
    heap_free(heap, MEM_MESSAGE, pipeline, sizeof *pipeline);
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
    if (q->fate == FATE_EXEC && multi_grows_ahead(q->client)) return true; /* its commands are looked at */
    return is_about_multi(q) && (q->barrier || !(q->slot->row->flags & CMD_ROUTED));
}

HOT_INLINE bool may_grow(const struct queued *q) {
    if (LIKELY(q->plain) || !q->slot) return false;
    return q->slot->grows || (q->fate == FATE_EXEC && multi_grows_ahead(q->client));
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

/* The command is about to join the batch: what has to be known of one that is not plain. */
static NOINLINE void look_ahead(struct client *client, const struct queued *q) {
    if (client->multi || q->fate == FATE_MULTI) multi_look_ahead(client, q);
    if (!q->hash_at && q->fate != FATE_REMOTE) client->homing.neutral++;
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
        pipeline_hang_up(shard, client, "ERR ", command.error);
        return TAKE_STOP;
    }
    struct queued *q = &p->batch[p->count];
    q->client = client;
    q->argv = command.argv;
    q->argc = command.argc;
    q->raw = bytes.ptr;
    q->raw_len = (uint32_t)command.size;
    route_command(shard, client, q, p->count ? q - 1 : NULL);
    if (UNLIKELY(!q->plain) && client->queued > 0 && needs_batch_done(q)) return TAKE_RETRY;
    if (UNLIKELY(account_trips(&shard->account, p->bytes + command.size) || may_grow(q))) {
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
    if (UNLIKELY(!q->plain)) look_ahead(client, q);
    p->count++;
    p->bytes += command.size;
    client->queued++;
    client->queued_remote += q->leaves;
    *size = command.size;
    if (LIKELY(!command.kept)) p->args_used += command.argc;
    return UNLIKELY(command.kept || (!q->plain && runs_at_once(q))) ? TAKE_RUN : TAKE_OK;
}

size_t pipeline_feed(struct shard *shard, struct client *client, struct slice bytes) {
    ASSERT_SLOW(buf_readable(&client->in) == 0);
    size_t at = 0, size = 0;
    while (at < bytes.len && pipeline_may_parse(client)) {
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
    while (!stop && pipeline_may_parse(client) && buf_readable(&client->in) > 0 &&
           buf_readable(&client->in) >= client->need) {
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

/* --- going on after a wait ----------------------------------------------------------------------------------- */

void pipeline_deliver_own(struct shard *shard, struct message_note note, struct buf *take) {
    if (note.gather) {
        gather_part_done_own(note.gather, (uint32_t)note.place, take);
        return;
    }
    struct client *client = note.client;
    client_note_answer(client, take->len);
    client_fill_own(client, note.place, take);
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
        if (buf_readable(&client->out) >= OUT_PAUSE) return;
        break;
    case WAIT_PAUSE:
        if (shard->pause_until_ms) return;
        break;
    case WAIT_GATHER:
        if (client->gather) return;
        break;
    default: return;
    }
    if (UNLIKELY(!chain_empty(&client->rest)) && !client_fold_rest(client)) { /* what came meanwhile is to be sent */
        client->wait = WAIT_READER;
        return;
    }
    client->wait = WAIT_NOTHING;
    shard->host.attend(shard->host.ctx, client);
}
