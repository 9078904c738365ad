/* Blocked: clients that wait for keys (BLPOP ...), at their home. The other half is shards/waiters.h.
 *
 * A blocked client's command has a place in its reply queue and is a barrier, so nothing behind it runs. It ends when
 * an owner's news is accepted and the command has run there (or, when it has keys on several shards, as a transaction
 * from here), at its deadline, by CLIENT UNBLOCK, or when the client goes away.
 *
 * Thread    home. Cost: O(log blocked clients) for those with a deadline, else O(1). */
#pragma once
#include "shards/message.h"

struct shard;
struct blocked;

/* A binary heap of blocked clients by deadline. */
struct deadlines {
    struct heap *heap;
    struct blocked **items;
    uint32_t count, cap;
};
void deadlines_init(struct deadlines *deadlines, struct heap *heap);
void deadlines_deinit(struct deadlines *deadlines);

/* The client waits at these shards (a bit each), which know it by this stamp (its txn_waiting_stamp). place is in its
 * reply queue. timeout_ms 0: for ever. silent: its reply is dropped. */
void blocked_add(struct client *client, uint64_t stamp, uint64_t place, uint64_t shards, uint64_t timeout_ms,
                 bool silent);
/* A shard has something for it, and holds the key until it is told to go on or that nobody waits. args: the whole
 * command, when it has keys on several shards; else NULL. */
void blocked_ready(struct shard *home, uint64_t stamp, uint32_t from, const struct message_item *args);
/* What a shard that was told to go on answered: that there was nothing; */
void blocked_not_served(struct shard *home, uint64_t stamp);
/* or the reply. It does not wait any more: fills where that goes. participants: of the transaction that served it, as
 * for request_leave; 0: it was one shard alone. False: the reply is to be dropped. */
NODISCARD bool blocked_over(struct shard *home, uint64_t stamp, uint64_t participants, struct message_note *note);

/* It was served by this shard, which has made its reply over several turns. Takes the reply's memory; position is what
 * it waits for (shards/commit.h). */
void blocked_served_here(struct shard *home, uint64_t stamp, struct buf *take, uint64_t position);

/* Tells shards that nobody waits under this stamp any more. participants: as for blocked_served. */
void blocked_cancel(struct shard *home, uint64_t stamp, uint64_t shards, uint64_t participants);

struct client *blocked_client(struct shard *home, uint64_t stamp); /* NULL: it does not wait any more */
/* Ends waiting with this reply; false when it is being served at this moment. */
bool blocked_end(struct client *client, struct slice reply);
void blocked_client_gone(struct client *client); /* the carrier closes it; nothing when it is not blocked */
void blocked_abandon(struct client *client);     /* the server ends: nobody is told */

uint64_t blocked_next_deadline_ns(const struct shard *home); /* UINT64_MAX: none */
void blocked_expire(struct shard *home);                     /* ends those whose time is over; bounded per turn */
