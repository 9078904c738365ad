/* Serve: commands of other shards' clients on the shard that owns their keys, and words about what is kept here for
 * them (shards/request.h has the protocol).
 *
 * Thread    the owner's. Cost: the commands'; what has to wait for its keys is kept and does not hold up the others. */
#pragma once
#include "shards/keyspace.h"
#include "shards/message.h"

struct shard;

/* Fetches what the items need: with keyspace_prefetch_bucket, and when that was begun for all, with
 * keyspace_prefetch_entry. */
void serve_prefetch(struct shard *shard, const struct message *message, keyspace_prefetch prefetch);
/* Runs all items of a message from another shard and appends a reply for each. */
/* Serves it, or as much of it as has large replies, and then what is left waits in shard->rest. */
void serve_message(struct shard *shard, struct message *message);
