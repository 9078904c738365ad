/* Cut: where the journals of one generation end, so that every transaction is in all of them or in none.
 *
 * A transaction over several shards leaves a line in the journal of each that took part. A crash may keep it in some
 * and lose it in others. Then it is taken back everywhere, and with it all that stands behind it in those journals, as
 * that may build on it; which may take parts of other transactions, and so on, to a fixed point. What is left is the
 * largest set of beginnings of the journals that agree.
 *
 *      shard 0   ---T1------T2----|          T2's part in shard 1 was lost: shard 0 ends before T2.
 *      shard 1   ---T1---|                   T3 lay behind it: shard 2 ends before T3.
 *      shard 2   -----------------T3---      (T3: shards 0 and 2)
 *
 * Each part is looked at once when it is filed by its transaction's stamp and at most once when it is taken back, so
 * the whole is O(parts). It runs in steps, since there may be millions.
 *
 * Memory    4 bytes per part and 8 to 16 for the index, beside the parts, which are borrowed. Thread: one at a time. */
#pragma once
#include "core/defs.h"

struct cut;

/* A transaction's line in one journal. */
struct cut_part {
    uint64_t stamp, participants; /* a bit per shard */
    uint64_t seq;                 /* of the batch it stands in */
    uint64_t at;                  /* where it begins in the segment, bytes */
    uint64_t writes;              /* effects before it in the segment */
    uint64_t offset;              /* where it begins in the batch's payload, bytes */
};
/* A run of parts of one journal, such as those of a segment. The runs of a journal stand together and in order. */
struct cut_run {
    const struct cut_part *parts;
    uint32_t count;
    uint32_t shard;
};

/* runs are borrowed. forgiven: shards whose missing parts are forgiven, a bit each. NULL: no memory, or more than 2^31
 * parts. */
struct cut *cut_new(const struct cut_run *runs, uint32_t run_count, uint64_t forgiven);
void cut_delete(struct cut *cut);
/* Looks at about so many parts; true: call again. */
bool cut_step(struct cut *cut, uint32_t parts);

/* When it is done: the first part of this shard that is taken back; NULL: none is. *run is where it is. */
const struct cut_part *cut_end(const struct cut *cut, uint32_t shard, uint32_t *run);
uint64_t cut_transactions(const struct cut *cut); /* that were taken back */
