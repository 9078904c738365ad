/* Background: what a shard does for itself, a little with each turn, while it serves.
 *
 *      each turn    a pause of clients that is over ends; what was deleted is freed; sparse pages are emptied, free
 *                   ones go back to the system; subscriptions of clients that are gone are forgotten
 *      each 100 ms  what has expired goes (at once again while there is much); tables are made smaller
 *
 * Every step is bounded, so a turn stays short whatever there is to do. A shard to which nothing has come looks up when
 * the next key expires, and sleeps until then.
 *
 * Thread    the shard's own. Pauses of clients (shard_unpause, shard_hold_writes) are declared in shards/shard.h. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct shard;

/* True: there is more to do right away. */
bool background_turn(struct shard *shard);
/* How long the shard may sleep, as far as it is about this: one second at most. O(databases). */
uint64_t background_wait_ns(const struct shard *shard);
