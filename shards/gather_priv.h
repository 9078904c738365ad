/* What the files of shards/gather.h share. */
#pragma once
#include "shards/gather.h"

/* The one step of the generic gathers, by their row's merge: their parts are sent before it, so it already has all
 * replies. O(bytes of the replies), but for elements that came in a chain. */
void gather_merge(struct gather *gather);
/* gather_lock_keys where some shards, a bit each, hold their keys already under this stamp. */
void gather_lock_keys_again(struct gather *gather, uint64_t stamp, uint64_t granted);
