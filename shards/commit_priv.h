/* What the files of shards/commit.h share. */
#pragma once
#include "shards/commit.h"

/* Replies whose position is confirmed, a bounded number. True when some are left. */
bool commit_release(struct commit *commit);
void commit_drop_waits(struct commit *commit);
void commit_check_waits(const struct commit *commit);
