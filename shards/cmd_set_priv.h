/* What the files of set commands share: cmd_set.c has one key, or moves a member; cmd_set_random.c draws; and
 * cmd_set_algebra.c computes a set from several. */
#pragma once
#include "shards/exec.h"
#include "shards/set.h"

bool reply_member(void *exec, struct slice text); /* a set_visit that replies */
