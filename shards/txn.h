/* Transaction: how a gather holds the keys of all its shards at one instant, seen from its client's home. The other
 * side is shards/request.h, which has the protocol; shards/locks.h says why nobody waits for ever.
 *
 *    TXN_FREE      no locks: INFO, KEYS
 *    TXN_TRYING    home's part is locked and the only other shard was asked to run its part if it can (ITEM_TRY)
 *    TXN_LOCKING   all shards were asked; some have granted. What is granted may still be asked back
 *    TXN_HELD      all have granted at the same time, or the try has run: nothing is given back before the end. One
 *                  whose parts will reply much waits here until there is room for that, and then says GO
 *
 * Proof that it is strictly serialisable: between txn_held and the first ITEM_GO or ITEM_LEAVE that is received all
 * locks are held, since a shard keeps a granted lock until its home says GO, LEAVE or YIELD, and home says YIELD only
 * before txn_held. So transactions and single commands (which run when nobody holds their keys) are ordered as by
 * two-phase locking, and the order agrees with real time, because that instant lies between the command's arrival and
 * its reply.
 *
 * Thread    home. A transaction is known by its stamp (shard->txns) to news that may come after its end. */
#pragma once
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/message.h"

enum txn_phase { TXN_FREE, TXN_TRYING, TXN_LOCKING, TXN_HELD };

/* Stamps are of three kinds, and each kind is older than the next: those of blocked clients' commands
 * (shards/waiters.h), which go before everybody who came later or earlier; guards, which stand for them; all others. */
#define STAMP_OTHER (1ull << 62)
#define STAMP_GUARD (1ull << 61)

/* A place in line, unique in the server, later than all before of this shard. */
uint64_t txn_stamp(struct shard *shard);
/* The same for a command that is blocked now: its name from here on, at home and at the owners. */
HOT_INLINE uint64_t txn_waiting_stamp(uint64_t stamp) {
    return stamp & ~STAMP_OTHER;
}

/* Opens the transaction of a gather over these shards (a bit each); they are then asked, home first. */
void txn_begin(struct gather *gather, uint64_t shards);
/* The same where some shards have granted already, for this stamp. */
void txn_begin_again(struct gather *gather, uint64_t shards, uint64_t stamp, uint64_t granted);
/* x is the part: it is copied. home's own part has the first turn (see ITEM_TRY). */
void txn_ask(struct gather *gather, uint32_t to, const struct exec *x);
/* There is room for what it answers (shards/gather_room.h): its parts run. Or there is none: nothing runs, and this is
 * the reply. */
void txn_go(struct gather *gather);
void txn_drop(struct gather *gather, const char *error);
/* All were asked. When all locks are held the parts run, or the gather's steps begin: that may be now. */
void txn_asked_all(struct gather *gather);
/* The shards that have a part in it, a bit each, if it may have changed keys; else 0 (see shards/effect.h). */
uint64_t txn_participants(const struct gather *gather);
/* The gather is finished: what it still holds is given back. */
void txn_end(struct gather *gather);

/* --- what comes back --- */
/* Before the reply of ITEM_LOCK or ITEM_TRY from a shard: if home's part runs then, fetches what that needs. */
void txn_prefetch(const struct gather *gather, uint32_t shard, keyspace_prefetch prefetch);
/* The reply of ITEM_LOCK or ITEM_TRY from a shard; later: the part stands in line there. */
void txn_lock_reply(struct gather *gather, uint32_t shard, bool later, struct slice reply, struct message *message);
void txn_granted(struct shard *home, uint64_t stamp, uint32_t shard, struct grant grant);
void txn_revoked(struct shard *home, uint64_t stamp, uint32_t shard);
