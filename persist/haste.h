/* Haste: which part of a busy thread's time its checkpoint takes. A pure function of figures.
 *
 * Until a checkpoint is complete it is there beside the one before, and so is the log since that: the most that the
 * data ever take on the disk. In units of a checkpoint, when it is begun because the log has grown by 100 %:
 *
 *      | the one before 1 | log before the cut 1 | this one 1 | log since the cut: as fast as writers write it |
 *
 * Only the last depends on how long it takes. Writers notice least when it takes little of their time, so it does as
 * long as both parts of the log together will be no longer than one and a half checkpoints by its end: 3.5 in all, or
 * no more than a quarter of one since the cut where there was more already. As that is passed it takes more, up to
 * half of the time: writers come half as fast then. It never waits for more room than there is; that is the space
 * plan's and the brake's affair (persist/space.h, persist/pace.h).
 *
 * Figures are of one shard, since it is its own thread that decides. */
#pragma once
#include <stdint.h>

#define HASTE_LEAST (1.0 / 11) /* of what a turn takes: a twelfth of both together */
#define HASTE_MOST  1.0

struct haste_input {
    uint64_t keys, keys_total; /* saved so far, and how many there were at the cut */
    uint64_t saved;            /* bytes so far */
    uint64_t log_before, log;  /* bytes of the log that it replaces; and since its cut */
};
/* What a slice may take, as a part of what the turn before it took: HASTE_LEAST to HASTE_MOST. O(1). */
double haste_of(const struct haste_input *input);
