/* Space: what the data directory takes on its disk, what it may take (option disk-budget), and what comes of that.
 *
 *      | base | log | fresh | rest of the checkpoint, under way or next | room of the log |  margin |
 *      0 ........ used ..................................................................budget .... the disk's end
 *
 * A log ends only by a checkpoint, which is there beside the one before until it is complete. So room for the next one
 * is kept whatever happens, as long as the two fit the budget at all: writers wait rather than eat it. It is begun
 * early, while there is room. While it is being written its rest is spoken for, and the log has what is left: writes
 * come no faster than that lasts until it is done, since then what it replaces goes (persist/pace.h).
 *
 * A log may be longer than it should all the same: figures come late, data grow, a budget is made smaller. Then a
 * checkpoint takes more than the budget for its time, if the disk has that; it is by no more than the log has taken,
 * and nothing else would ever end it. Only when two checkpoints exceed the budget even without a log, by an eighth of
 * one, so that an estimate that errs for a moment does not count, none is begun, and the log has what is left.
 *
 * Measuring asks the filesystem for each file, so it is done as often as needed: the less there is until something is
 * to be done, the sooner it may be gone. What a checkpoint has taken and what is used come from the same look: of what
 * it says itself, a part would not be in the figure of the disk yet, and the log would have it twice.
 *
 * Thread    space_measure: the background thread, as it asks the filesystem. space_plan: pure. */
#pragma once
#include "persist/datadir.h"

struct space {
    uint64_t used;        /* bytes of blocks of all files in the directory that are ours */
    uint64_t base;        /* of them: of the checkpoint that is the truth */
    uint64_t fresh;       /* and of the one under way; when there is none, of one whose files are about to go */
    uint64_t free, total; /* of the filesystem, for us */
};
/* base, fresh: numbers of these checkpoints; 0: there is none. O(files). 0 or -errno. */
int space_measure(const struct datadir *dir, uint64_t base, uint64_t fresh, struct space *out);

struct space_input {
    struct space space;
    uint64_t spare;    /* of space.used: blocks of the log that hold nothing */
    uint64_t budget;   /* disk-budget; 0: what is free */
    uint64_t expected; /* what a checkpoint of now would come to; 0: not known */
    double rate;       /* at which the last one was written, bytes a second; 0: not known */
    bool saving;
    uint64_t saved, keys, keys_total; /* of the one under way: bytes and keys so far, and how many there are */
    double seconds;                   /* since it began */
};
struct space_plan {
    uint64_t budget; /* that holds: what may be used at most */
    uint64_t room;   /* for the log, from here on */
    uint64_t near;   /* with less room than that writes are slowed down in any case */
    double seconds;  /* the room has to last so long; 0: it need not */
    uint64_t most;   /* the next checkpoint may take, when the one under way is done */
    bool roomy;      /* the log may take blocks before it needs them */
    bool tight;      /* it is time for one, or it will not fit any more */
    double again;    /* in so many seconds it is to be measured again */
};
void space_plan(const struct space_input *input, struct space_plan *out);
