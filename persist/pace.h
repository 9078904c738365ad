/* Pace: how fast writes may come, so that the disk keeps what is promised of it. A pure function of figures: no clock,
 * no threads, no disk.
 *
 * Two limits: the age of the oldest write that is acknowledged and not on the disk (staleness), and how many bytes of
 * such writes there are (unsynced). The level is how near the nearer one is; 1 is there.
 *
 *      level     0 ........... 0.6 ................ 0.8 ................. 1
 *      writes    as they come  a good deal faster   as fast as the disk   stand
 *                              than the disk
 *
 * A level that only looked at ages would come too late: what waits now is old by the time the disk has it. So bytes
 * count against a window, what the disk can take within a little more than half of the limit on age, so that it may
 * become a good deal slower; and for that its speed is measured: bytes over the time in which it had something to do,
 * which says what it could do also while little is asked of it. It is measured from one moment to the next in which
 * something became durable; and while such a moment is late, the estimate sinks, so a disk that comes to a standstill
 * is noticed at once. The window is an estimate, and never stops writes by itself: beyond it they only become slower,
 * until one of the limits is reached.
 *
 * Evenly: bytes become durable in lumps, of a twelfth of a second each on a slow disk, and some take several times as
 * long as others. Whoever writes is not to feel them. So what the disk has probably done of the present lump is taken
 * off what waits; the speed is that of many lumps; and writes follow the window gently.
 *
 * Space on the disk is a third limit: as it comes to an end writes become slower in the same way. What comes in until
 * it is measured again (it is, some times a second) has to fit in what is left, or a rush would be through all of it
 * before the checkpoint that makes room has begun; and while it has to last until a checkpoint is done, they come no
 * faster than it does.
 *
 * With more asked for than it can do, the level settles where writes are let in as fast as they become durable, 0.8; it
 * is an integral of the difference, so that is stable, however wrong the estimates are by a factor. What a write says
 * of its size and what it adds to the journal differ by another factor, which is measured while writes wait. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define PACE_NONE UINT64_MAX /* no limit */

struct pace_input {
    uint64_t now_ns;
    uint64_t pending;   /* bytes that are not on the disk for good */
    uint64_t oldest_ns; /* since when the oldest of them waits; 0: there are none */
    /* so far, growing */
    uint64_t appended; /* bytes that were ever added to pending */
    uint64_t durable;  /* and that left it */
    uint64_t busy_ns;  /* time in which the disk had something to do; several at once may be counted several times */
    uint64_t passed;   /* bytes of the writes that were let pass, as they said themselves */
    /* limits */
    uint64_t staleness_ns, unsynced;
    /* space on the disk */
    uint64_t room, near; /* bytes that the journal may still take; with less than `near` writes are slowed down */
    double room_seconds; /* the room has to last so long; 0: it need not */
};

struct pace_output {
    double level;       /* of the nearer limit: 1 and above: nothing may pass */
    bool brake;         /* rate counts */
    uint64_t rate;      /* bytes a second that may pass, as writes say themselves */
    bool hurry;         /* what waits is to be made durable soon */
    uint64_t disk_rate; /* what the disk does, in bytes a second; 0: not known */
    uint64_t chunk;     /* of bytes, to be made durable at once while in a hurry; PACE_NONE: as it comes */
    uint64_t window;    /* bytes that it is trusted with; PACE_NONE: without limit */
    uint64_t age_ns;    /* of the oldest */
    double room_level;  /* of the space alone */
};

struct pace { /* all zero at first */
    uint64_t now_ns;
    uint64_t appended, durable, busy_ns, passed; /* of the step before */
    double bytes, seconds;                       /* the disk's work, weighted; newer counts more */
    double open_seconds;                         /* busy since something became durable last */
    double lump;                                 /* bytes that become durable at once, of late */
    double on_its_way;                           /* bytes that the disk was given, at most */
    double append_rate, burst_rate;              /* bytes a second that come to the journal, over a second; just now */
    double grown, let_in;                        /* bytes of the journal, and of what was let in for them */
    uint64_t pressed_ns;                         /* when the level was high last */
    bool brake;
};

/* O(1). Called a few hundred times a second while something waits. */
void pace_step(struct pace *pace, const struct pace_input *input, struct pace_output *out);
