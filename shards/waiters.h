/* Waiters: blocked clients (BLPOP ...), on the shards that own the keys they wait for. The other half, at the client's
 * home, is shards/blocked.h.
 *
 *      home                               owner of a key
 *      BLPOP (ITEM_RUN)         --->      nothing there: the command is kept, in order of arrival
 *                               <---      REPLY_BLOCKED
 *                                         RPUSH: the key comes into being. Before anybody else may touch it a request
 *                                         of the waiter stands in line for it (REQUEST_SERVE), ahead of all others
 *                               <---      NEWS_READY, when that is granted
 *      still waiting: ITEM_GO   --->      runs the kept command for this key; the waiter is gone
 *                               <---      its reply; or REPLY_LATER and then NEWS_REPLY, if there is so much that it
 *                                         takes turns (shards/work.h): the waiter keeps the key until then
 *      gone: ITEM_CANCEL        --->      the next waiter has its turn
 *
 * When several keys have something for the same clients, the one that came first serves all it can; the others are
 * guarded meanwhile by a request of their own (REQUEST_GUARD), which gives way to waiters only.
 *
 * A stream is not there or not there, like a list, but has something for each client that has not seen all of it; so
 * those that wait for one are asked one by one whether there is something for them (command.wakes), and what is kept of
 * their commands says exactly from where on they read (command.waits_as).
 *
 * So an element is taken only when its client is there to have it, a client that waits at several shards is served by
 * the first whose news it accepts, and nobody who came later gets between a push and those who wait.
 *
 * Owner     the shard. Bounded: one waiter per blocked client. Cost: O(1) per key waited for and per key that comes
 *           into being while somebody waits. */
#pragma once
#include "shards/exec.h"
#include "shards/shard.h"

struct interest;
struct waiter;

/* One key of a waiter; in the interest's list. */
struct wait_link {
    struct waiter *waiter;
    struct interest *interest;
    struct wait_link *next, *prev;
    uint32_t position; /* of the key in the command */
};

/* A command in place of another: what command.waits_as writes. Memory is freed when it has been kept. */
struct waiting {
    struct exec x; /* slot, argv and argc are its own; its arguments may be in memory */
    void *memory;
    size_t bytes;
    bool ready; /* a key of it may serve it already */
};

/* The command in x found nothing: keeps it for those of its keys that live here (its row's first key specification). */
void waiter_add(const struct exec *x, uint64_t stamp, uint32_t home);
/* The client does not wait any more. Nothing when it was served meanwhile. participants: of the transaction that served
 * it under this stamp, as for request_leave; else 0. */
void waiter_cancel(struct shard *shard, uint64_t stamp, uint64_t participants);

/* A key that holds a collection came into being (keyspace_put_entry), or its database became another one; or a stream
 * got entries, lost a group, or is gone. */
void waiters_key_created(struct shard *shard, uint32_t db, struct slice key, uint64_t hash);
void waiters_databases_changed(struct shard *shard, uint32_t a, uint32_t b); /* after SWAPDB */
/* Puts waiters of ready keys in line. To be called after each command or transaction, before another one starts. */
COLD void waiters_serve_slow(struct shard *shard);
HOT_INLINE void waiters_serve(struct shard *shard) {
    if (UNLIKELY(shard->ready != NULL)) waiters_serve_slow(shard);
}

/* --- for shards/request.c, about the request of a waiter's stamp --- */
/* It has the key. False: there is nothing in it any more, and home does not know yet: the request may leave. */
bool waiter_granted(struct shard *shard, uint64_t stamp);
/* It ran, in so many ticks, and answered this: counted, and in the slow log, as the end of its client's command. */
void waiter_count(struct shard *shard, uint64_t stamp, uint64_t ticks, struct slice reply);
/* It is about to leave. served: the waiter is gone; else it goes on waiting. */
void waiter_leaves(struct shard *shard, uint64_t stamp, bool served);

void waiters_drop(struct shard *shard); /* at the end: frees those that are left */
void waiters_check(const struct shard *shard);
