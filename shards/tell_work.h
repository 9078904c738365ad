/* Tell work: a command has done what it was asked for, at once, and the journal is to hear of a value so large that
 * telling takes long. It tells it in slices, over the next turns, and keeps its keys until the last.
 *
 *    keyspace_put_string(x->keys, &ref, x->argv[2], 0, true);
 *    reply_ok(x);
 *    if (!tell_takes_turns(x, &ref, &(struct tell){.key_at = 1, .db = x->db})) effect_set(...);
 *
 *      SET k <64 MB>   the value is in its place    #P DEL, SETRANGE | #P SETRANGE | ... | #E      OK
 *                      k is the command's from here ---------------------------------------> on it is everybody's
 *
 * The reply, which may be written before or after that, goes to the client at the end. Nobody sees the value before,
 * since its key is held; so it is told as it is then and needs no copy of the arguments. What is kept of the command is
 * a stand-in (sherd.tell-value), which has its keys, the reply and struct tell; it is counted and goes to the slow
 * log under the command's own name.
 *
 * Owner     the request, as of any work (shards/work.h). The row says takes_turns.
 * Thread    the shard's. Cost: two comparisons where the value is not large. */
#pragma once
#include "shards/shard.h"
#include "shards/tell.h"
#include "shards/work.h"

COLD bool tell_takes_turns_slow(struct exec *x, struct key_ref *ref, const struct tell *tell);
/* False: it is small, or may not take turns (work_takes_turns): it is to be told now. ref is that of the key, and stays
 * good; true: the handler looks at nothing else. */
HOT_INLINE bool tell_takes_turns(struct exec *x, struct key_ref *ref, const struct tell *tell) {
    if (LIKELY(!x->shard->effects.on)) return false;
    return UNLIKELY(entry_bytes(ref->entry) > x->shard->effects.tell_bytes) && tell_takes_turns_slow(x, ref, tell);
}
/* x asked for turns to tell, and is about to stand in line: it becomes the stand-in, which answers the reply, the end
 * of out from mark on. */
COLD void tell_becomes_stand_in(struct exec *x, size_t mark);
