/* Commands that do not run: the replies that say why. */
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/multi.h"
#include "shards/pipeline_priv.h"
#include "shards/route.h"
#include "shards/shard.h"

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

void pipeline_reject(struct shard *shard, struct queued *q, struct exec *x) {
    if (q->slot && q->slot->row->flags & CMD_ENDS_MULTI) {
        reject_exec(shard, q, x);
    } else {
        reply_reject(shard, q, x);
        multi_spoil(q->client);
    }
    /* A subcommand that is not there is no command, and the one it would belong to was not called. */
    if (q->slot && q->reject != REJECT_UNKNOWN_SUB) shard->command_stats[q->slot->number].rejected++;
    shard->stats.errors++;
}

void pipeline_refuse(struct shard *shard, struct exec *x) {
    x->shard = shard;
    reply_error(x, OOM_ERROR);
    shard->command_stats[x->slot->number].rejected++;
    shard->stats.errors++;
}

void pipeline_hang_up(struct shard *shard, struct client *client, const char *code, const char *text) {
    struct buf *out = pipeline_reply_to(client);
    size_t mark = out->len;
    resp_errorf(out, "%s%s", code, text);
    error_stats_count(&shard->errors, slice_of(out->data + mark + 1, out->len - mark - 1));
    pipeline_settle(client, out, mark);
    if (out != &client->out) reply_queue_hold(&client->replies, mark);
    client->flags |= CLIENT_CLOSE_AFTER_REPLY;
    shard->stats.errors++;
    shard_mark_dirty(shard, client);
}
