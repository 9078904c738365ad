/* Effect apply: doing to this shard what an effect says. For recovery, before the shard has clients.
 *
 * There is no routing, no lock and no reply, nothing expires (time stands at 0) and nothing is noted again: the caller
 * has effects.on false. The caller chooses what this shard is given: the effects whose key it owns, each key's in their
 * order.
 *
 * FLUSHDB, FLUSHALL and SWAPDB have no key. They are about the slots of the shard in whose journal they stand, which
 * with another number of shards are neither all that is here nor all here: effect_apply_from does it to those alone.
 *
 * Thread    the shard's own. Cost: the command's; with other slots than the shard's own: O(keys of the databases). */
#pragma once
#include "core/slice.h"
#include "core/status.h"

struct shard;

/* Slots [first, last). */
struct slot_range {
    uint32_t first, last;
};
struct slot_range slot_range_of(uint32_t shard, uint32_t shards); /* of one of so many shards */

/* Position in argv of the key that the effect changes; 0: it has none, or is no command. */
uint32_t effect_key_at(const struct shard *shard, const struct slice *argv, uint32_t argc);

/* One effect in database db; not SELECT, MULTI or EXEC, which frame them. False: it is none, or the command failed:
 * error tells which and why. */
NODISCARD bool effect_apply(struct shard *shard, uint32_t db, const struct slice *argv, uint32_t argc,
                            struct error *error);
NODISCARD bool effect_apply_from(struct shard *shard, uint32_t db, const struct slice *argv, uint32_t argc,
                                 struct slot_range from, struct error *error);
