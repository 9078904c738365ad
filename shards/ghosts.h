/* Ghosts: how much the keys were used that were evicted lately, for when they come back.
 *
 * A key that is used every now and then, but not often enough to stay, would be a newcomer each time. Its ghost says
 * what it was worth (core/lrfu.h), so that uses add up over several stays.
 *
 * A ghost takes 4 bytes: 12 bits of the key's hash and the field's upper 20 bits. There is one place per hash, and a
 * new ghost takes it from the one that was there. One in 4096 newcomers is taken for another key, which does no harm.
 *
 * Owner     the keyspaces of one shard. Memory: a byte per key of the shard, GHOSTS_MAX places at most. Cost: O(1). */
#pragma once
#include "core/alloc.h"

#define GHOSTS_MAX (1u << 20)

struct ghosts; /* NULL stands for one without places */

/* Makes it fit for so many keys: a new one, empty, when the old one is much too small or too large. Takes the old. */
struct ghosts *ghosts_fit(struct ghosts *take, struct heap *heap, uint64_t keys);
void ghosts_delete(struct ghosts *ghosts, struct heap *heap);

void ghosts_put(struct ghosts *ghosts, uint64_t hash, uint32_t field);
/* Is there one? Then it goes. */
bool ghosts_take(struct ghosts *ghosts, uint64_t hash, uint32_t *field);
