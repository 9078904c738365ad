/* Compare: two machines hold the same keys with the same values and deadlines, whatever their numbers of shards. Fails
 * with the key that differs. */
#pragma once
#include "tests/support/machine.h"

/* Returns how many keys were compared. The time of both machines stands at 0 afterwards: what has
 * expired counts, too. */
uint64_t compare_machines(struct sim *a, struct sim *b, uint32_t dbs);
