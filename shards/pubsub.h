/* Pub/sub: who on this thread gets which messages, and which other threads want them, too.
 *
 *      SUBSCRIBE   home tells all other shards that it wants the channel, unless it has already, and acknowledges
 *                  when all have noted it. Until then its client is not on the list.
 *      PUBLISH     the publisher's home looks up which shards want the channel, and sends to those and no others. Each
 *                  delivers to its own clients and answers how many they were; the sum is the reply.
 *      UNSUBSCRIBE takes effect at home at once. When it was the last one there, the others are told, some time.
 *
 * Promises  Whoever publishes after an acknowledgement reaches the subscriber. The reply counts exactly the clients
 *           that were reached. What one client publishes, to whatever channels, arrives at each subscriber in that
 *           order, because it takes one way: from mailbox to mailbox. Messages of two publishers may arrive in
 *           different orders at subscribers of different threads.
 * Cost      With nobody subscribed anywhere PUBLISH is one look-up. A channel costs 16 to 32 bytes at every shard that
 *           has no subscriber of it (a hash and a set of shards), a pattern its text. A pattern is compared with each
 *           message, once at the publisher's and once at each home that has subscribers of some.
 * Bounded   by the publisher: a PUBLISH that left for other shards is outstanding like any command (REPLY_QUEUE_MAX of
 *           them, PUBLISH_FLOW_BYTES each), so a slow thread slows its publishers down. A client that does not read is
 *           closed when it has more waiting than client-output-buffer-limit allows (class pubsub). Of memory a message
 *           takes no more at once than SHARE_SPREAD or SHARE_LEAST for each client that gets it (shards/pubsub.c), once
 *           its own size where it is large; while clients hold more than they may publishers wait, and what comes from
 *           other shards (shards/admit.h).
 * Thread    home only. */
#pragma once
#include "core/buf.h"
#include "shards/topics.h"

/* Of a payload: a larger one is waited for before the client's next command. */
#define PUBLISH_FLOW_BYTES 4096

struct shard;
struct client;
struct message;

struct pubsub {
    /* Looked at with every command, so they lie together. */
    uint32_t joint[TOPIC_KINDS]; /* topics known here, of this home or others */
    struct client *running;      /* whose command runs, as one of this home's; else NULL */
    struct client *later_for;    /* has a command running, and may not be written to in the middle of it (later) */
    /* --- */
    struct topics local[TOPIC_KINDS];      /* what clients of this home subscribe to, or are about to */
    struct topics patterns_elsewhere;      /* what those of others do; topic.homes says whose */
    struct idmap elsewhere[TOPIC_PATTERN]; /* of the other kinds: from a hash to the shards that want it, a bit each */
    struct buf frame;                      /* one message as it is sent */
    struct buf channel;                    /* of a keyspace event */
    struct buf later;                      /* what later_for gets afterwards */
    struct subscriber *gone;               /* subscriptions of clients that went away */
    uint32_t clients;                      /* with subscriptions */
    uint64_t behind[SHARDS_MAX];           /* bytes of events that are on their way to another shard */
    uint64_t events_dropped;
};

void pubsub_init(struct shard *shard);
void pubsub_deinit(struct shard *shard); /* all clients are gone */

/* --- publishing --- */
/* Nobody subscribes to channels or patterns: neither here nor elsewhere. */
HOT_INLINE bool pubsub_is_idle(const struct pubsub *pubsub) {
    return !(pubsub->joint[TOPIC_CHANNEL] | pubsub->joint[TOPIC_PATTERN]);
}
/* Has a client of this home subscribed, or does it monitor? */
HOT_INLINE bool pubsub_has_listeners(const struct pubsub *pubsub) {
    return pubsub->clients | pubsub->local[TOPIC_MONITOR].count;
}
/* A command has run: is there something to tell, to those who monitor or to its client? Two loads and one branch. */
HOT_INLINE bool pubsub_to_tell(const struct pubsub *pubsub) {
    return (pubsub->joint[TOPIC_MONITOR] | (uintptr_t)pubsub->later_for) != 0;
}
/* The other shards that want what is sent to this channel (TOPIC_CHANNEL or TOPIC_SHARD), a bit each. */
uint64_t pubsub_homes(const struct shard *shard, enum topic_kind kind, struct slice channel);
/* To all clients of this home that subscribe to it, by its name or a pattern. How many messages were written. running:
 * a client that gets its own after the command that runs now; NULL: none does. */
uint32_t pubsub_deliver(struct shard *shard, enum topic_kind kind, struct slice channel, struct slice payload,
                        struct client *running);
/* To the clients of another home, one way: nobody is told how many they were. */
void pubsub_send(struct shard *shard, uint32_t home, enum topic_kind kind, struct slice channel, struct slice payload);
void pubsub_deliver_line(struct shard *shard, struct slice line);        /* to those who monitor */
void pubsub_arrived(struct shard *shard, const struct message *message); /* which came back */
/* Bytes for a client that are no reply, behind all that it has been sent; or when its command is done. */
void pubsub_push_later(struct shard *shard, struct client *client, struct slice bytes);
void pubsub_flush_later(struct shard *shard); /* no command runs */

/* --- subscribing --- */
/* Names that somebody is about to subscribe to. Holds them; true when the other shards have to be told first: then ask
 * has the arguments for "sherd.topics", which they run and answer. */
bool pubsub_prepare(struct shard *shard, enum topic_kind kind, const struct slice *names, uint32_t count,
                    struct buf *ask);
/* The others know. client NULL: it went away meanwhile. acks: where the acknowledgements go. */
void pubsub_subscribe(struct shard *shard, struct client *client, enum topic_kind kind, const struct slice *names,
                      uint32_t count, struct buf *acks);
/* The same for some of very many names. Nothing is delivered for them before pubsub_subscribed_all. */
void pubsub_subscribe_some(struct shard *shard, struct client *client, enum topic_kind kind, const struct slice *names,
                           uint32_t count, struct buf *acks);
void pubsub_subscribed_all(struct client *client);
void pubsub_unsubscribe(struct client *client, enum topic_kind kind, const struct slice *names, uint32_t count,
                        struct buf *acks);
/* From whatever there is of this kind, up to so many. True while there is more. */
bool pubsub_unsubscribe_any(struct client *client, enum topic_kind kind, uint32_t max, struct buf *acks);
void pubsub_client_gone(struct client *client); /* or wants nothing any more (RESET) */
void pubsub_settle(struct client *client);      /* its subscriptions or its protocol changed */
uint32_t pubsub_count(const struct client *client, enum topic_kind kind);
size_t pubsub_memory(const struct client *client);
/* Takes subscriptions of clients that are gone off the topics; true when there are more. */
bool pubsub_forget_some(struct shard *shard);

void pubsub_check(const struct shard *shard);
