/* Inbox: what other shards have sent, taken in groups.
 *
 * With many shards a turn's commands are spread over many owners: a message has few of them, and worked off one after
 * the other each would wait for memory alone: for the message's own lines, which another core has written, then for the
 * buckets of its keys, then for their entries. So messages are taken together, whoever sent them, and each of these
 * steps is begun for the whole group before the next.
 *
 * Thread    the shard's own. Bounded: INBOX_MESSAGES a turn, all senders together, each sender in its order. */
#pragma once
#include "shards/message.h"

struct shard;

#define INBOX_MESSAGES 64u /* per turn, all senders together */

/* Works off what has come (shard_receive). True when something is left in a mailbox. */
bool inbox_turn(struct shard *shard);
