/* Commit: with `appendfsync always` a reply leaves when no crash can take back any more what it tells.
 *
 * A position counts the groups of effects that a shard has added (effects.position). The disk has everything up to the
 * *durable* position; up to the *confirmed* one no crash takes anything back: it is the durable position, but never at
 * or behind a transaction over several shards that is not safe (shards/commit_cut.h).
 *
 *      0 ......... confirmed ...... T ..... durable ............ effects.position
 *                                   |
 *                                   a participant does not have it yet, or something before it
 *
 * What waits   a reply waits for a position of the shard where its command ran:
 *                 it has changed something     the position of its group
 *                 it shows a key               the latest group above the confirmed position that changed that key
 *                 it shows many (KEYS, SCAN, DBSIZE)       the present one
 *              and for nothing otherwise: PING, commands that are refused, silence (CLIENT REPLY OFF). An error shows
 *              the keys of its command. That WATCH stopped a transaction is told at once: it may be for nothing.
 *              EXEC waits for what its commands wait for. The reply to a command over several shards waits for its
 *              transaction, or, when that only reads, for what each part has shown. No lock is held meanwhile.
 * Where        at home, in the client's reply queue, so that replies of one client stay in order. What a client's
 *              pipeline brings in one turn becomes durable at once, and its replies wait as one. A reply from another
 *              shard travels at once and says what it waits for (message_item.held); the owner promises to tell when it
 *              is confirmed, with one message per turn and home (NEWS_CONFIRMED), however many replies wait for it.
 *
 *      home                                 owner                                  shard 0
 *      SET k v                  --->        position 17
 *                               <---        OK, held until 17
 *                                           disk has 17                             (a transaction: NEWS_DURABLE --->)
 *                                                                                   (<--- NEWS_SAFE)
 *                               <---        NEWS_CONFIRMED 17
 *      OK to the client
 *
 * Keys         are named by their hashes, as locks are: two of the same name in two databases only wait for each other
 *              without need.
 * Owner        the shard. Bounded: replies as reply queues are (REPLY_QUEUE_MAX places per client); keys and
 *              transactions by what the disk has not confirmed.
 * Thread       the shard's own, between commands. Cost: off, one comparison per command; on, O(1) per changed or shown
 *              key and O(log replies that wait) per reply. */
#pragma once
#include "core/buf.h"
#include "core/idmap.h"
#include "core/slice.h"
#include "shards/locks.h"
#include "shards/message.h"

struct client;
struct commit_cut;
struct exec;
struct gather;
struct shard;

/* A reply, or a few of one client that follow each other, or a gather (message_note.gather) whose reply is complete. */
struct held_reply {
    struct message_note note;
    struct buf bytes;
    uint64_t position; /* that it waits for: of the last of them. Among those that wait it may have an earlier one */
    uint32_t count;    /* of replies */
};

/* What this shard knows and owes, as home and as owner, of one shard; itself included. */
struct commit_peer {
    uint64_t confirmed; /* there, as far as we were told */
    uint64_t promised;  /* of ours: it wants to hear when we are there */
    struct held_wait {
        uint64_t position;
        struct held_reply *reply;
    } * waits; /* replies that wait for it: a binary heap */
    uint32_t count, cap;
};

/* A key that was changed in the group at this position. */
struct commit_change {
    uint64_t hash, position;
};
struct commit_changes { /* in order of position; a ring */
    struct commit_change *ring;
    uint32_t cap; /* 0 or a power of two */
    uint64_t head, tail;
};

/* A transaction over several shards in this shard's journal. */
struct commit_txn {
    uint64_t position, stamp, participants;
};
struct commit_txns { /* not known to be safe, in order of position; a ring */
    struct commit_txn *ring;
    uint32_t cap;
    uint64_t head, told, tail; /* from `told` on shard 0 was not told that they are durable */
};

struct commit {
    bool on;
    bool due;      /* commit_turn has something to do */
    bool changed;  /* the commands of the reply being made have changed something */
    uint64_t seen; /* and what they have shown waits for this position */
    uint64_t durable, confirmed;
    uint64_t listeners;             /* homes that want to be told of the confirmed position, a bit each */
    uint64_t ready;                 /* shards that have confirmed something some reply may wait for, a bit each */
    struct held_reply *latest_held; /* by commit_hold_own in the batch that runs; or NULL */
    uint64_t batch_from;            /* positions above it are of that batch */
    struct commit_peer *peers;
    struct commit_txns txns;
    struct commit_changes changes;
    struct idmap latest;  /* changes by hash: the position, as a pointer */
    uint64_t all_changed; /* position of the latest change to keys that are not named (FLUSHALL) */
    uint64_t *fresh;      /* hashes of keys that were changed by the group being made */
    uint32_t fresh_count, fresh_cap;
    bool fresh_all;
    struct commit_cut *cut; /* shard 0 */
    const char *excuse;     /* commit_set_excuse */
    struct shard *shard;
};

void commit_init(struct shard *shard);
/* Forgets what is held: the clients go away, too. After that nothing is delivered any more. */
void commit_drop(struct shard *shard);
void commit_deinit(struct shard *shard);

/* Replies wait from here on, or no longer: said to all shards at one instant, which is before the first command (stamp
 * 0) or in a transaction that holds all shards whole and is in no journal (a stamp of its own). It is one decision for
 * all: who makes it tells the others with that transaction, and nobody looks at options that he may have a turn later.
 * A shard that waits for one that does not tell what is on its disk would wait for ever. effects.on is true. What waits
 * already still does after the end: whoever closes the journal makes all durable first. */
void commit_start(struct shard *shard, uint64_t stamp);
void commit_stop(struct shard *shard);

/* By whoever writes the journal: the disk has all groups up to this position, which grows. What may leave by that does
 * so in the next shard_turn. O(1). */
void commit_durable(struct shard *shard, uint64_t position);

/* The disk takes nothing, for too long: until this is called with NULL, replies that would wait for it are this error
 * instead. text: with its code; stays where it is. What they stand for is done in memory. */
void commit_set_excuse(struct shard *shard, const char *text);

/* --- for whoever runs commands --- */
/* What a command has shown or changed. */
void commit_note(const struct exec *x, bool changed);
/* The commands that make one reply have run and their group was added: the position that the reply waits for, or 0. */
uint64_t commit_end_slow(struct commit *commit);
HOT_INLINE uint64_t commit_end(struct commit *commit) {
    return UNLIKELY(commit->on) ? commit_end_slow(commit) : 0;
}
/* The same for a step of a transaction: what it has changed is added later, and waited for then. */
uint64_t commit_end_step_slow(struct commit *commit);
HOT_INLINE uint64_t commit_end_step(struct commit *commit) {
    return UNLIKELY(commit->on) ? commit_end_step_slow(commit) : 0;
}
/* The same for a part that is all the transaction does here. participants as for effects_open. */
uint64_t commit_end_part_slow(struct commit *commit, uint64_t stamp, uint64_t participants);
HOT_INLINE uint64_t commit_end_part(struct commit *commit, uint64_t stamp, uint64_t participants) {
    return UNLIKELY(commit->on) ? commit_end_part_slow(commit, stamp, participants) : 0;
}
/* A transaction that had several steps gives back its locks: its group, of keys that it has locked, was added. */
uint64_t commit_end_steps_slow(struct commit *commit, const struct lock_request *lock, uint64_t participants);
HOT_INLINE uint64_t commit_end_steps(struct commit *commit, const struct lock_request *lock, uint64_t participants) {
    return UNLIKELY(commit->on) ? commit_end_steps_slow(commit, lock, participants) : 0;
}

/* --- owner: a reply to another shard waits for this position, if it is still ahead --- */
void commit_promise(struct shard *shard, uint32_t home, struct message_item *item, uint64_t position);
HOT_INLINE uint64_t commit_position_of(const struct message_item *item) {
    return UNLIKELY(item->held) ? item->waits_for : 0;
}

/* --- home. owner: where the command ran --- */
/* Keeps a copy of the reply until the owner has confirmed the position. False: it may leave at once. */
NODISCARD bool commit_hold(struct shard *shard, uint32_t owner, uint64_t position, struct message_note note,
                           struct slice reply);
/* The same for a command of the pipeline that ran here, whose position is not confirmed (commit_end). Replies of one
 * client that come one after the other in one batch, between begin and end, are kept as one. */
void commit_hold_own(struct shard *shard, struct client *client, uint64_t position, struct slice reply);
HOT_INLINE void commit_batch_begin(struct commit *commit, uint64_t position) { /* the present one */
    commit->batch_from = position;
}
HOT_INLINE void commit_batch_end(struct commit *commit) {
    commit->latest_held = NULL;
}
/* The reply of a command that ran here: keeps it or delivers it; takes its memory. */
void commit_deliver_own(struct shard *shard, struct message_note note, struct buf *take, uint64_t position);
/* A part of the gather waits for the owner's position. */
void commit_gather_waits(struct gather *gather, uint32_t owner, uint64_t position);
/* The gather's reply is complete, and its locks were given back. True: it is to be kept until gather_confirmed is
 * called. */
NODISCARD bool commit_gather_holds(struct gather *gather);
/* An owner answered where the transaction stands in its journal. */
void commit_gather_left(struct gather *gather, uint32_t owner, uint64_t position);
void commit_gather_free(struct gather *gather);

/* --- what other shards tell, and what is told at the end of a turn --- */
void commit_take_news(struct shard *shard, const struct message_item *item, uint32_t from);
COLD void commit_turn_slow(struct commit *commit);
HOT_INLINE void commit_turn(struct commit *commit) {
    if (UNLIKELY(commit->due)) commit_turn_slow(commit);
}
void commit_check(const struct shard *shard);
