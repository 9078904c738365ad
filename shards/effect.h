/* Effects: what commands did to this shard's keys, as Redis commands that do the same again. What the journal writes.
 *
 * An effect changes one key (or is FLUSHDB, FLUSHALL, SWAPDB), names absolute times and leaves nothing to chance, so that
 * whoever applies a key's effects in order, on any number of shards, gets the same value. A handler that changed
 * something says so once: effect_same when the command as it came is such an effect, else what happened.
 *
 * Groups    the effects of one command, or of one transaction's part on this shard, belong together: MULTI and EXEC stand
 *           around them when there are several. A transaction over several shards keeps its effects with its request
 *           until its locks are given back; then they are added with a line before them that names it:
 *
 *               #T <stamp, 16 hex digits> <participants, a bit each, 16 hex digits>\r\n
 *
 *           in each shard that took part, also where it did nothing.
 * Owner     the shard. Whoever writes the journal takes the bytes once a turn (effects_take).
 * Cost      while the journal is off: one comparison per change. */
#pragma once
#include "core/buf.h"
#include "core/slice.h"

struct exec;
struct shard;

struct effects {
    bool on;           /* somebody writes them down */
    uint32_t db;       /* selected at the end of bytes */
    uint64_t position; /* groups added so far, since start */
    struct buf bytes;  /* RESP of whole groups, and lines that begin with # */
};

void effects_init(struct effects *effects, struct heap *heap);
void effects_deinit(struct effects *effects);
/* What was added since the last call moves to out, which is empty; *db is the database selected where it begins. */
void effects_take(struct effects *effects, struct buf *out, uint32_t *db);
