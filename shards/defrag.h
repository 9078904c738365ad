/* Defrag: memory that is free goes back to the system.
 *
 * Three things keep free memory resident. Pages of the slab in which a few blocks are left: their blocks move to fuller
 * pages, entries as well as what large collections consist of, in rounds over all databases, a slice per turn. And
 * pages that the heap keeps for later: it is told to give them back when much less is in use than was (heap_purge). And
 * what a shard under load keeps for the next command, spare messages and buffers before all: that goes a second after
 * the load has.
 *
 * A round begins when moving can save an eighth of the slab's pages, and DEFRAG_MIN at least (slab_spare_bytes), and
 * the next one follows while that goes on and helps; after a round that did not, when the shard has time, or writers
 * are braked for what is resident. A shard that has time goes further: to a twelfth, and half of that. While there is
 * nothing to do it costs some comparisons every 100 ms.
 *
 * Who needs much memory, or finds that too much is resident, need not evict what moving gives back (defrag_reclaim): then
 * a round begins at once, and goes on in longer slices.
 *
 * Not moved: blocks above SLAB_PAGED_MAX, which share no page with others; streams; the heads of collections and of
 * their tables.
 *
 * Thread    the shard's owner, between commands: no entry is open then. What is pinned for being read over several
 *           turns stays where it is. */
#pragma once
#include "core/defs.h"

#define DEFRAG_MIN (1u << 20) /* bytes */

struct defrag;
struct heap;
struct shard;

struct defrag *defrag_new(struct heap *heap);
void defrag_delete(struct defrag *defrag, struct heap *heap);

/* Looks whether there is something to do: ten times a second. */
void defrag_cron(struct shard *shard);
/* A slice, up to about 100 us, or some of them when memory is short. True while a round goes on. */
bool defrag_some(struct shard *shard);
/* Memory is short: how much will moving give back by itself? A round is under way then, in longer slices as long as this
 * is asked again. 0: too little is to be had, or a round has just been in vain. O(sizes), some us. */
size_t defrag_reclaim(struct shard *shard);
bool defrag_is_running(const struct shard *shard);
/* Few commands come: empty pages need not be kept for the next ones. */
bool defrag_has_time(const struct shard *shard);
/* Nothing is left to do until commands come. */
bool defrag_is_done(const struct shard *shard);
