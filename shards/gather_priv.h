/* What the files of shards/gather.h share. */
#pragma once
#include "shards/gather.h"

/* gather_lock_keys where some shards, a bit each, hold their keys already under this stamp. */
void gather_lock_keys_again(struct gather *gather, uint64_t stamp, uint64_t granted);
