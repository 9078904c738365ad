/* Cut: which transactions over several shards no crash can take back any more.
 *
 * A crash leaves of each shard's journal what was on its disk. Recovery (persist/) keeps the largest consistent cut: a
 * transaction that is missing in the journal of one participant is dropped in those of the others, with everything
 * behind it there, and so may take others with it:
 *
 *      shard A   ... T1 ........|        T1 is on the disks of A and B, but T0 is not on that of C. So B is cut before
 *      T0, shard B   . T0 .. T1 ....|        which drops T1 there, and then A is cut before T1.
 *      shard C   .....|  (T0)
 *
 * So "all participants have it" is not enough for T1; all that stands before it at any of them must be safe, too. That
 * may go in circles (T1 before T2 here, after it there), so no shard can decide it by waiting for the others. One place
 * decides: the cut of shard 0, which every shard tells which transactions are on its disk, in the order of its journal.
 *
 * Safe      a transaction is safe when the smallest set that contains it, and with each member all that stand before
 *           that one in the journals of its participants, is reported by all their participants.
 * Owner     one shard; the cut owns its records. A record is freed when it is safe.
 * Bounded   by the transactions whose clients wait for a reply.
 * Cost      O(participants) per transaction while disks keep pace with each other. A transaction that is late is looked
 *           for once per shard that stands behind it, which reads those behind it up to the place where it is missed.
 *           */
#pragma once
#include "core/alloc.h"
#include "core/defs.h"

struct commit_cut;

struct commit_cut *commit_cut_new(struct heap *heap, uint32_t shards);
void commit_cut_delete(struct commit_cut *cut);

/* The next transaction in the journal of `shard` is on its disk. participants: a bit each, shard's own among them. */
void commit_cut_add(struct commit_cut *cut, uint32_t shard, uint64_t stamp, uint64_t participants);
/* Finds what became safe by what was added, and frees it: looks at `budget` transactions at most for each. Returns the
 * shards of which more are safe than before, a bit each. */
uint64_t commit_cut_advance(struct commit_cut *cut, uint32_t budget);
bool commit_cut_busy(const struct commit_cut *cut); /* it was not enough */
/* How many of the transactions that the shard added are safe, from the first on. */
uint64_t commit_cut_safe(const struct commit_cut *cut, uint32_t shard);
/* Transactions that are kept: not safe yet, or not freed. */
uint32_t commit_cut_open(const struct commit_cut *cut);
void commit_cut_check(const struct commit_cut *cut);
