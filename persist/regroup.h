/* Regroup: how long the next group commit waits for the clients that the last one has just answered.
 *
 * A sync ends, and replies leave to everybody whose writes it was about. Their next commands come within a fraction of
 * a sync's time; but what others have written meanwhile is ready now. Begun at once, the next sync carries only them,
 * and the two halves of the clients take turns for ever:
 *
 *      at once     |sync A|sync B|sync A|sync B|          half of the clients in each
 *      regrouped   |sync AB|..|sync AB|..|sync AB|        all of them; .. is less than a sync
 *
 * So it waits until as many groups of effects have come as the last sync made durable, but only while they come: not
 * longer than a quarter of a round (write and sync, of late, 8 ms at most) without a new one, and one round in all,
 * counted from when there is something to write.
 * Where the same clients do not come back (an open loop, or a burst that is over) it waits in vain; then as many rounds
 * go without a wait, one, then three, until one is of use again.
 *
 * A pure function of figures: no clock, no disk. O(1). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct regroup {            /* all zero at first, but for `answered` */
    uint64_t answered;      /* position up to which replies were let go */
    uint64_t round_ns;      /* write and sync, of late */
    uint64_t wanted;        /* groups that are to come */
    uint64_t from, seen;    /* position when it began to wait; now */
    uint64_t until_ns;      /* without another group it waits until then */
    uint64_t limit_ns;      /* and never longer than that; UINT64_MAX: nothing is there to be written */
    uint32_t pause, paused; /* so many rounds go without a wait; have gone */
    bool waits;
};

/* A sync has ended. The disk has all groups up to position `durable`; those up to `written` have come; the round
 * took round_ns. */
void regroup_begin(struct regroup *regroup, uint64_t now_ns, uint64_t durable, uint64_t written, uint64_t round_ns);
/* Each turn: groups up to this position have come. */
void regroup_turn(struct regroup *regroup, uint64_t now_ns, uint64_t written);
/* When what has come is to be written: 0: at once. */
uint64_t regroup_due_ns(const struct regroup *regroup);
