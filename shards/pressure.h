/* Pressure: what a shard does, turn by turn, when memory is short. In this order:
 *
 *    gives back   what is free anyway: the reaper works harder, the heap returns pages it does not use
 *    empties      pages, by moving what is left in them, for what is large (shards/defrag.h)
 *    evicts       a bounded number of keys, until the debt is paid and who waits has room (shards/evict.h)
 *    brakes       writers wait meanwhile (shards/admit.h); replies wait while clients hold more than they may
 *    drops        the fattest clients: of those that do not read when that has lasted for a second, of all when for five;
 *                 at once where maxmemory-clients is set
 *    refuses      growth, with -OOM: when nothing above makes room
 *
 * What is too much is evicted once per sample of the resident set (net/ceiling.h): what one round has freed must show
 * in the next measurement before more goes. While more is resident than the ceiling allows, which eviction may not
 * change at once (pages empty late), a shard writes a few 100 KiB per sample and no more.
 *
 * Thread    the shard's. Cost: a few comparisons per turn while nothing presses. */
#pragma once
#include "core/defs.h"

struct shard;

/* At the end of a turn. True: there is more to do right away. */
bool pressure_turn(struct shard *shard);
/* What the shard keeps for later goes back: spare messages and buffers to the heap, each of which may hold a page of
 * many blocks, and the pages that the heap does not use to the system. Some 100 us and more. */
void pressure_purge(struct shard *shard);
/* How long a shard may sleep that may have to make room for others. */
uint64_t pressure_wait_ns(const struct shard *shard);
