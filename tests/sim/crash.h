/* Crash: the machine of a gated round stops in the middle of anything. What its disks have is recovered, as persist/
 * would, into a new one, which takes its place.
 *
 * Proves   nothing that was answered is lost: every operation that was under way is closed in the history (it may have
 *          taken effect or not), so the checker accepts what the new machine holds only if all answered ones are in it,
 *          transactions whole or not at all.
 * How      of each journal what is durable counts, cut before the first transaction that a participant does not have,
 *          to a fixed point, which is looked for here by itself and not with shards/commit_cut.h. */
#pragma once
#include "tests/sim/clients.h"

/* Everybody is disconnected. The old machine is deleted with the clients. */
void clients_crash(struct clients *clients);
