/* Watch: versions of the keys that some client watches (WATCH), on the shard that owns them.
 *
 * A watched key has a record (shards/interest.h) with a version that grows whenever somebody changes the key. WATCH
 * notes the version, EXEC compares it under its locks.
 *
 * Owner     the shard. Cost: O(1); when nothing is watched a change costs one comparison (exec_changed). Flushing and
 *           swapping databases are O(keys with interest). */
#pragma once
#include "core/slice.h"

struct shard;

/* One watcher more: returns the key's version. */
uint64_t watch_add(struct shard *shard, uint32_t db, struct slice key);
void watch_drop(struct shard *shard, uint32_t db, struct slice key);
/* Has nobody changed it since? Deletes it first if its time is over, which is a change. */
bool watch_is_unchanged(struct shard *shard, uint32_t db, struct slice key, uint64_t version);

/* The key is changed now. Only worth calling while shard->watchers is not 0. */
void watch_touch(struct shard *shard, uint32_t db, struct slice key);
/* Before db is emptied: every watched key that is there is changed. */
void watch_touch_database(struct shard *shard, uint32_t db);
/* Before two databases change places: every watched key that is in one of them is changed. */
void watch_touch_swap(struct shard *shard, uint32_t a, uint32_t b);
