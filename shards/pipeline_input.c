/* Input that waits: part of a command, or commands behind what their client waits for. It is bounded by
 * client-query-buffer-limit and by memory; what is announced is granted before it is kept. */
#include "shards/admit.h"
#include "shards/pipeline_priv.h"
#include "shards/shard.h"

#define KEEP_EXACT_MIN (1024 * 1024)

/* A command that there is no room for: its beginning has not been kept, and what follows would not be understood. */
static COLD void refuse_input(struct shard *shard, struct client *client) {
    pipeline_hang_up(shard, client, "", OOM_ERROR);
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
    if (!pipeline_may_parse(client) && !(client->blocked && arrived > IN_PAUSE)) return true;
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
        if (want >= ADMIT_LARGE) account_use_room(shard, want);
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
