/* Evict: which keys go when memory is needed, as maxmemory-policy says.
 *
 * Whoever watches memory (the ledger) calls evict_some when it wants some back; nothing here knows of limits. A call
 * looks at maxmemory-samples keys per victim, those that come next on a walk through the databases, keeps the best
 * victims seen so far in a small pool, and takes the best of it. So it costs the same however many keys there are.
 *
 * What goes is told in one place, shard_key_evicted: to the journal as a DEL, to watchers, to the counters. A key that
 * somebody holds, wants or reads over several turns is passed over (shards/locks.h): what a command over several shards
 * has in hand, what a checkpoint is writing.
 *
 * Thread    the shard's owner, between commands: entries that a command has open would be gone. Not while loading.
 * Memory    what was freed goes back to slab and heap, where it is room for the next entries; the counts of the heap
 *           follow by pages only (core/slab.h), and those of large values when the reaper comes to them. */
#pragma once
#include "core/defs.h"

struct evictor;
struct heap;
struct shard;

/* Evicts until want_bytes are free or max_keys are gone, whichever is first. Returns the bytes that keys and values
 * took (entry_bytes). 0: the policy is noeviction, or there is nothing it may evict now. O(max_keys *
 * maxmemory-samples). */
size_t evict_some(struct shard *shard, size_t want_bytes, unsigned max_keys);

/* Nothing is to go now: CLIENT PAUSE, or all is saved before the end. Who needs memory waits. */
bool evict_is_paused(const struct shard *shard);

/* --- by the shard --- */
struct evictor *evictor_new(struct heap *heap);
void evictor_delete(struct evictor *evictor, struct heap *heap);
void evictor_config_changed(struct evictor *evictor); /* the policy may be another: forgets whom it had in mind */
