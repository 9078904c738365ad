/* Reaper: frees what is too large to free at once, a slice per turn.
 *
 * Three kinds of things come here: large blocks (their pages are given back piece by piece before the block is freed),
 * objects of many blocks such as a long list, and whole tables of a keyspace that was flushed. Until it is reaped the
 * memory still counts in its class.
 *
 * Blocks and objects come through the port of the store (core/store.h), so whoever deletes an entry need not know
 * whether it is large.
 *
 * Thread    the shard's owner. Cost of a step: bounded by the budget, about 1 MiB of pages, 64 nodes of an object or
 *           256 entries a unit. */
#pragma once
#include "core/chain.h"
#include "core/hashtable.h"
#include "core/value.h"

struct reaper;

struct reaper *reaper_new(const struct store *store); /* store's own port is not used */
void reaper_delete(struct reaper *reaper);            /* frees everything that waits */
struct store_later reaper_port(struct reaper *reaper);

#define REAP_BLOCK_MIN STORE_LATER_MIN
void reaper_take_block(struct reaper *reaper, enum mem_class owner, void *block, size_t size);
/* All blocks of a chain. O(blocks). */
void reaper_take_chain(struct reaper *reaper, struct chain *take);
/* The memory of a buf: back to its heap now, or later when it is large. */
void reaper_take_buf(struct reaper *reaper, struct buf *take);
/* A use of shared bytes: they are freed with the last one. */
void reaper_take_shared(struct reaper *reaper, struct shared_bytes *take);
/* A table of entries (struct entry); the table and all entries are freed. */
void reaper_take_table(struct reaper *reaper, struct hashtable *table);

bool reaper_idle(const struct reaper *reaper);
bool reaper_step(struct reaper *reaper, unsigned units); /* true while there is more */
uint64_t reaper_pending(const struct reaper *reaper);    /* objects waiting: INFO lazyfree_pending_objects */
uint64_t reaper_freed(const struct reaper *reaper);      /* objects freed so far: INFO lazyfreed_objects */
