/* Request: what stands in line for keys on the shard that owns them (shards/locks.h): a part of a transaction over
 * several shards, or a single command that met one.
 *
 *      home                              owner of some of the keys
 *      ITEM_LOCK stamp part      --->    keeps the part, stands in line
 *                                <---    'g' at once, or REPLY_LATER and then NEWS_GRANT; with how much the part will
 *                                        reply, if that is much
 *      (all shards granted: this is the instant of the transaction; if the parts together come to more than there is
 *      room for, home waits until there is: shards/gather_room.h)
 *      ITEM_GO stamp             --->    runs the part, gives back its locks
 *                                <---    the part's reply
 *
 *                                <---    NEWS_REVOKE: an older one waits for these keys
 *      ITEM_YIELD, if not all have granted yet; else nothing: ITEM_GO is on its way
 *
 * Where home and one other shard are all there is, home locks its own keys first and sends ITEM_TRY, which runs at once
 * when its keys are free and there is room for its reply. That is one message there and back, as if there were no
 * locks. It is safe: when it runs all other locks are held, and when it cannot run it is an ITEM_LOCK like any other.
 * Where home's own part has much to reply the other one is asked as by ITEM_LOCK, too. A transaction of several steps
 * (RENAME) keeps nothing at the owner: its part is "sherd.lock keys", its steps are ITEM_UNDER, its end is ITEM_LEAVE.
 *
 * A single command whose keys are held or waited for is kept here (request_park), answered with REPLY_LATER, and runs
 * as soon as it is its turn; NEWS_REPLY brings the reply. Commands that its client sends to this shard meanwhile stand
 * behind it, on whatever keys, so that one connection's commands on one shard keep their order.
 *
 * Order     two kinds of messages go from owner to home: replies, posted at once, and news, posted when the turn ends.
 *           So home reads REPLY_LATER before the news it announces, and a grant before its revocation.
 * Owner     the shard. What is kept is a copy; a client has at most REPLY_QUEUE_MAX commands under way.
 * Thread    the shard's own. Cost: one comparison per command while there is no request. */
#pragma once
#include "shards/exec.h"
#include "shards/message.h"
#include "shards/shard.h"

struct request;

COLD bool request_may_run_slow(const struct exec *x);
/* May this command run now? Needs x's shard, slot, argv, argc, hash, hash_at, shared and client_id. */
HOT_INLINE bool request_may_run(const struct exec *x) {
    return LIKELY(locks_idle(x->shard->locks)) || request_may_run_slow(x);
}

/* Does it run beside a checkpoint that reads its key? shared->pin_watch is set. */
COLD bool request_runs_beside_save(const struct exec *x);
/* Keeps the command until its keys are free. note says where its reply goes when home is this shard. */
void request_park(const struct exec *x, uint64_t stamp, uint32_t home, struct message_note note, bool silent);
/* Keeps a part of a transaction. True when it has its locks at once; otherwise home is told later. */
NODISCARD bool request_line_up(const struct exec *x, uint64_t stamp, uint32_t home);
/* What a part's home is told when it has its locks here: that no watched key was changed (its row's `clean`), and how
 * much it will reply. */
struct grant request_grant(const struct exec *x);
/* Tells its home, at the end of the turn, of one that had them at once. */
void request_tell_grant(struct shard *shard, uint32_t home, uint64_t stamp, struct grant grant);
/* A blocked client's command (shards/waiters.h) stands in line for the keys it has here. */
void request_serve(const struct exec *x, uint64_t stamp, uint32_t home);
/* Keeps everybody but waiters away from a key; not told to anybody. The caller settles. */
struct request *request_guard(struct shard *shard, uint64_t key_hash);
void request_unguard(struct shard *shard, struct request *take);
/* Runs the part into out and takes it out of the line. It has its locks. participants: the shards that have a part in
 * the transaction, a bit each, when it may have changed something: what it did here is then told apart in the journal
 * (shards/effect.h); else 0. *position is what the reply waits for (shards/commit.h). */
enum request_went {
    REQUEST_RAN,
    REQUEST_WAITS, /* a blocked client's command found nothing after all; it is waiting again */
    REQUEST_WORKS, /* a blocked client's command takes turns (shards/work.h): home gets its reply as of one that stood
                    * in line, or by blocked_served_here */
};
NODISCARD enum request_went request_go(struct shard *shard, uint64_t stamp, uint64_t participants, struct buf *out,
                                       uint64_t *position);
/* Runs a step of the transaction with this stamp; what it does belongs to that one's end. Returns what the reply waits
 * for, as request_leave does. */
uint64_t request_run_step(struct exec *x, uint64_t stamp);
/* Leaving returns the position of what it has changed (shards/commit.h), 0 for nothing.
 * served: a blocked client's, which is gone. */
void request_leave_served(struct shard *shard, uint64_t stamp, uint64_t participants);
uint64_t request_leave(struct shard *shard, uint64_t stamp, uint64_t participants);
void request_prefetch(struct shard *shard, uint64_t stamp, keyspace_prefetch prefetch); /* a part's, if it is here */
void request_yield(struct shard *shard, uint64_t stamp);

/* A key's time is over: its effect comes behind what a transaction that holds the key has done to it. */
COLD void request_key_expired(struct shard *shard, uint32_t db, struct slice key);
COLD void request_field_expired(struct shard *shard, uint32_t db, struct slice key, struct slice field); /* likewise */

/* Runs and tells what became possible; to be called after whatever took a request out of line. Bounded: what is left is
 * done in the next turn (shard->settle_more). */
void requests_settle(struct shard *shard);
/* News for a home, which is told when the turn ends. */
struct message *request_news(struct shard *shard, uint32_t to);

/* What the row says a command touches. */
void request_each_lock(const struct exec *x, command_lock_visit visit, void *ctx);

/* --- for who reads keys over several turns (a checkpoint) --- */
/* Stands in line to share these keys, before all others but waiters, and keeps them until it lets go, whoever wants
 * them: it must not wait for another lock meanwhile. Writers of the keys wait; readers and all other keys go on. */
struct request *request_hold(struct shard *shard, const uint64_t *key_hashes, uint32_t count);
bool request_is_held(const struct request *request);
void request_let_go(struct shard *shard, struct request *take); /* held or not yet; who waited runs in the next turn */
/* Visits the keys that somebody holds to change them and may have changed already, although the effects are not in the
 * journal yet (a command of several steps). False: that is the whole shard, or more than max keys. O(requests). */
typedef void (*request_hash_visit)(void *ctx, uint64_t key_hash);
bool request_each_unwritten(const struct shard *shard, uint32_t max, request_hash_visit visit, void *ctx);
