/* Gather room: commands over several shards (MGET, EXEC) wait, with all their keys held, until there is room for what
 * their parts are going to reply.
 *
 * Nobody knows how much that is before the keys are looked at, which are on many shards; and a part that has run cannot
 * be given up, since the others belong to the same instant. But the parts are locked first and run later. So with its
 * locks each shard tells how much its part will reply, as far as its commands' rows tell (.answers; struct grant), and
 * home, when it has all locks, lets them run or not. Only parts with much to reply say so, and none while memory is
 * plenty. EXEC whose commands run step by step tells the shards, with the keys to lock, what they are.
 *
 *      there is room     what is let go is added to ledger.expected, as parts and once more as the whole that they are
 *                        joined to, and comes off as the parts arrive. So of three hundred that are granted in one turn
 *                        the second one sees what the first one will come to
 *      there is none     the gather stands in shard->roomless, in order of arrival. The first few are asked about in
 *                        each turn, as all answers that wait are (admit_waiting_answer): the fattest clients that do not
 *                        read are closed, and in the end it goes or is refused
 *      its client goes   one that only reads gives everything back; one that may write runs when there is room
 *
 * SORT and unions over several shards, which collect before they reply, ask when they know how much that is.
 *
 * Deadlock  none: it holds all it needs and waits for nothing but memory, which comes with time. What it holds others
 *           wait for as long: a second at the most, where home sees that they do, or the command is a transaction
 *           that writes or holds all shards, which it assumes.
 * Bounds    those that wait are under way, and bound as such (admit_gather).
 * Cost      while memory is plenty, a load for each part; else a look-up for each key: of an MGET of 10 small keys over 2
 *           shards a tenth more instructions.
 * Thread    home, but gather_room_for: any shard. */
#pragma once
#include "shards/gather.h"

/* There is room for the reply of a part that was tried, besides which there is little: as part and in the whole. */
bool gather_room_for(struct shard *shard, uint64_t bytes);
/* All its locks are held, and gather->answers is not 0. True: there is room, and it is promised. False: it waits, and
 * goes on with txn_go or ends with txn_drop. */
COLD bool gather_room_take(struct gather *gather);
/* So many bytes that were promised are there. */
COLD void gather_room_came(struct gather *gather, uint64_t bytes);
/* A command of several steps is about to make and reply so many bytes, as far as it knows; what it was promised before is
 * no more. False: there is no room yet, and this step is over; or there will be none, and that was replied. */
bool gather_room_for_steps(struct gather *gather, uint64_t bytes);
/* While some wait: once a turn. Asks about a few. */
COLD void gather_room_turn(struct shard *shard);
/* The server ends, and nobody will get their replies: nothing of them runs. */
COLD void gather_room_drop(struct shard *shard);
