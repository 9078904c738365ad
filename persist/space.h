/* Space: what the data directory takes on its disk, what it may take (option disk-budget), and what comes of that.
 *
 *      | files that are there | rest of the checkpoint under way | room of the log |  margin |
 *      0 ............... used ..................................................... budget .. the disk's end
 *
 * A checkpoint is begun only when it fits, by what the last one came to and how the data have grown since. Room for it
 * is kept, and it is begun early, while it is there (if it is not there at all, the log has everything). While it is
 * being written its rest is spoken for, and the log has what is left: writes come no faster than that lasts until it is
 * done, since then what it replaces goes (persist/pace.h).
 *
 * Measuring asks the filesystem for each file, so it is done as often as needed: the less there is until something is
 * to be done, the sooner it may be gone.
 *
 * Thread    space_measure: the background thread, as it asks the filesystem. space_plan: pure. */
#pragma once
#include "persist/datadir.h"

struct space {
    uint64_t used;        /* bytes of blocks of all files in the directory that are ours */
    uint64_t free, total; /* of the filesystem, for us */
};
/* O(files). 0 or -errno. */
int space_measure(const struct datadir *dir, struct space *out);

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
    uint64_t most;   /* a checkpoint that begins now may take */
    bool roomy;      /* the log may take blocks before it needs them */
    bool tight;      /* it is time for one, or it will not fit any more */
    double again;    /* in so many seconds it is to be measured again */
};
void space_plan(const struct space_input *input, struct space_plan *out);
