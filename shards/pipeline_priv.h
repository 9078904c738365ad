/* What the files of shards/pipeline.h share: collecting (pipeline.c), running (_run), one command (_execute), those
 * that do not run (_reject), input that waits (_input). */
#pragma once
#include "shards/pipeline.h"
#include "shards/route.h"

#define BATCH_MAX        128
#define ARGS_MAX         4096
#define EXPECTED_OUT_MAX (1024 * 1024) /* bytes of replies that are outstanding, or held behind one that is */

struct pipeline {
    uint32_t count, args_used;
    uint64_t bytes; /* of the commands in the batch */
    bool running;
    struct queued batch[BATCH_MAX];
    struct slice args[ARGS_MAX];
};

HOT_INLINE bool pipeline_may_parse(const struct client *client) {
    return client->wait == WAIT_NOTHING && !(client->flags & (CLIENT_CLOSE_NOW | CLIENT_CLOSE_AFTER_REPLY));
}

/* Where the reply of what runs next is written: to the client, or behind replies that are still to come
 * (reply_queue_hold it then). */
HOT_INLINE struct buf *pipeline_reply_to(struct client *client) {
    return LIKELY(reply_queue_empty(&client->replies)) ? &client->out : &client->replies.held;
}

/* The reply was written to out from mark on. Drops it when the client asked for silence; moves CLIENT REPLY SKIP on. */
HOT_INLINE void pipeline_settle(struct client *client, struct buf *out, size_t mark) {
    if (LIKELY(!(client->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT)))) return;
    if (client->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP)) out->len = mark;
    client->flags &= ~(uint32_t)CLIENT_REPLY_SKIP;
    if (client->flags & CLIENT_REPLY_SKIP_NEXT) {
        client->flags &= ~(uint32_t)CLIENT_REPLY_SKIP_NEXT;
        client->flags |= CLIENT_REPLY_SKIP;
    }
}

/* Counts and times a command that ran in steps, and puts it into the slow log. */
void pipeline_count(struct shard *shard, struct exec *x, uint64_t ticks);
/* Replies why the command does not run, and counts it as refused. */
COLD void pipeline_reject(struct shard *shard, struct queued *q, struct exec *x);
/* An error that is no command's: replies code and text ("ERR ", "Protocol error: ..."), after which nothing more of the
 * client is read. */
COLD void pipeline_hang_up(struct shard *shard, struct client *client, const char *code, const char *text);
