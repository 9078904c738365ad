/* Checkpoint: one shard's keys as a file, saved while the shard goes on working.
 *
 * It keeps no moment. It begins at a cut, from which on the journal has a new segment, and then goes through the
 * databases in hash order, a slice at the end of each turn, and writes each key as it is when the cursor passes it. The
 * file and the journal since the cut are the state: what has changed a key since it was saved is in the journal, and
 * applied to it again when it is loaded (persist/frontier.h). For that to be exact:
 *
 *  - A slice runs when the turn's batch was closed with number n, so what it saves contains the effects up to n and no
 *    others. The file says for each place in hash order which n that was.
 *  - What somebody holds to change it, and may have changed already without its effects being in the journal, is not
 *    passed. Such a place is waited for; when it is changed again and again, its keys are held (request_hold).
 *  - A value that is too large for one slice is held, so that its writers wait while it is saved in pieces.
 *  - When a whole database is emptied or exchanged, the file is worth nothing: OVERTAKEN.
 *
 * Memory    three buffers (persist/spool.h) and what the keys of a stretch give as bytes. When the disk is slower, the
 *           slice does nothing; no command ever waits for the disk, but writers of a value that is just being saved in
 *           pieces.
 * Time      slices of about 200 us, so that who comes meanwhile waits for no longer than that; of a thread that has
 *           commands to run, they take a twelfth. When the log grows too long meanwhile, they take up to a half, each
 *           as long as the turn before it (persist/haste.h).
 * Thread    the shard's own. Order of calls: begin, then turn until it is neither SAVING nor ENDING, then keep or drop.
 *           */
#pragma once
#include "persist/datadir.h"
#include "persist/disk.h"

struct checkpoint;
struct shard;

enum checkpoint_state {
    CHECKPOINT_IDLE,
    CHECKPOINT_SAVING,
    CHECKPOINT_ENDING,    /* all keys were passed, what the file says is settled; it is at the disk */
    CHECKPOINT_SAVED,     /* the file is whole, on the disk, and was read back; its name is not durable yet */
    CHECKPOINT_FAILED,    /* the disk did not take it */
    CHECKPOINT_OVERTAKEN, /* to be begun anew, from another cut */
    CHECKPOINT_LEAVING,   /* its file is being removed */
};

struct checkpoint_options {
    struct shard *shard;
    struct disk disk;
    const struct datadir *dir;
    const char *redis_version; /* for "redis-ver" */
    size_t buffer_bytes;       /* each of the two; SPOOL_BUFFER */
    uint32_t slice_us;         /* 200 */
    uint64_t slice_bytes;      /* what a slice writes at most, about: 4 MiB. Small ones are for tests */
    uint32_t stretch_keys;     /* saved together, about; 0: 32 */
};

/* What there is to tell; of the one under way, or of the last one. */
struct checkpoint_facts {
    enum checkpoint_state state;
    int os_errno; /* FAILED */
    uint64_t number;
    uint64_t keys, keys_total; /* saved so far, and how many there were at the cut */
    uint64_t bytes;            /* of the file, so far */
    uint64_t crc;              /* SAVED: as it stands at the file's end */
    uint64_t last_batch;       /* SAVED: the n of its last slice */
};

struct checkpoint *checkpoint_new(const struct checkpoint_options *options);
void checkpoint_delete(struct checkpoint *checkpoint); /* IDLE */

/* At the cut, which ended so many bytes of the log that it is to replace. It is IDLE. */
void checkpoint_begin(struct checkpoint *checkpoint, uint64_t number, uint64_t log_before);
struct checkpoint_turn {
    uint64_t batch; /* number of the latest one that is closed */
    uint64_t log;   /* bytes since the cut */
    bool busy;      /* the turn had commands to run */
};
/* At the end of a turn, after its batch was closed. True: it has more to do right now. What it let go of runs in the
 * shard's next turn. */
bool checkpoint_turn(struct checkpoint *checkpoint, const struct checkpoint_turn *turn);
void checkpoint_keep(struct checkpoint *checkpoint); /* SAVED -> IDLE: the file stays */
/* Whatever it is doing ends and the file goes: LEAVING, and IDLE when the disk has done so. */
void checkpoint_drop(struct checkpoint *checkpoint);
/* Nothing of it is at the disk. */
bool checkpoint_idle(const struct checkpoint *checkpoint);
enum checkpoint_state checkpoint_state(const struct checkpoint *checkpoint);
struct disk checkpoint_disk(const struct checkpoint *checkpoint);
void checkpoint_read_facts(const struct checkpoint *checkpoint, struct checkpoint_facts *out);
