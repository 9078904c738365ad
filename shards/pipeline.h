/* Pipeline: from bytes to replies, in batches. Everything read in a turn is parsed first, then run as one batch:
 *
 *    parse + route   slices into the input, command row, hash, owner; the bucket of a local key is prefetched
 *    prefetch        the entries of all local keys
 *    run             local commands in order; the others leave in one message per owner
 *
 * Order     commands of one client to one shard run in order. A barrier (several keys, a connection's or the server's
 *           state) starts when all earlier commands of its client have taken effect, and holds back later ones.
 *           Replies are always in order. A command whose keys are held by a transaction stands in line
 *           (shards/request.h), and later ones of its client to that shard with it.
 * Limits    a client is not parsed further (client.wait) while a barrier or a gather waits, while REPLY_QUEUE_MAX
 *           commands or about 1 MiB of expected replies are outstanding, or while it does not read its replies.
 * Input     bytes passed to pipeline_feed must stay where they are until the next pipeline_run. What feed does not
 *           consume, the caller appends to client.in (client_keep_input), which pipeline_feed_kept works off.
 * Thread    the shard's own. */
#pragma once
#include "shards/exec.h"
#include "shards/message.h"

struct pipeline;
struct gather;

struct pipeline *pipeline_new(struct heap *heap);
void pipeline_delete(struct pipeline *pipeline, struct heap *heap);

/* Takes commands out of bytes; returns how many bytes were consumed. client.in must be empty. */
size_t pipeline_feed(struct shard *shard, struct client *client, struct slice bytes);
/* The same from client.in. */
void pipeline_feed_kept(struct shard *shard, struct client *client);
/* Appends to client.in, running the batch first when it points into it. False when the client exceeds its input
 * limit (client-query-buffer-limit): it has been marked for closing. */
bool client_keep_input(struct shard *shard, struct client *client, struct slice bytes);
void pipeline_run(struct shard *shard);

/* More replies than this waiting to be sent: the client is not parsed further until they are gone. */
#define OUT_PAUSE (256 * 1024)
/* More unparsed bytes than this of a client that waits: it is not read from. */
#define IN_PAUSE (64 * 1024)

/* --- for shard and gather --- */
/* Runs one command here and now; x is filled but for keys and shared. Counts and times it. */
void pipeline_execute(struct shard *shard, struct exec *x);
/* Replies -OOM to a command that came from another home, and counts it as refused. */
COLD void pipeline_refuse(struct shard *shard, struct exec *x);
/* Counts and times a command over several shards, when it is done or begins to wait. */
void pipeline_count_gather(struct shard *shard, const struct gather *gather, bool failed);
/* A command that had to wait, and was counted when it began to, has ended: adds what that took. x as above. */
void pipeline_count_served(struct shard *shard, struct exec *x, uint64_t ticks);
/* Gives the reply of a command that ran here to whom its note names; takes out's memory. */
void pipeline_deliver_own(struct shard *shard, struct message_note note, struct buf *take);
/* Puts those commands of a message that came back into the slow log that were slow. */
COLD void pipeline_log_slow(struct shard *shard, const struct message *message);
/* The message a command for `to` goes into; posts a full one first. alone: one that takes nothing else. */
struct message *pipeline_outgoing(struct shard *shard, uint32_t to, bool alone);
/* A client's replies moved on or its wait ended: lets it go on when it may. */
void pipeline_resume(struct shard *shard, struct client *client);
