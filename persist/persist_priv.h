/* Persist, inside: what the threads share, and how persist*.c divide the work: persist.c opens and closes and has what
 * any thread may ask, persist_load.c brings a part from the files to its first client, persist_run.c is the turn from
 * then on and the end. */
#pragma once
#include "core/assert.h"
#include "persist/aof_files.h"
#include "persist/aof_replay.h"
#include "persist/live_export.h"
#include "persist/persist.h"
#include "shards/shard.h"
#include <pthread.h>
#include <stdatomic.h>

struct persist {
    /* --- constant while threads run --- */
    uint32_t shards;
    uint64_t boot;
    const char *redis_version;
    struct log *log;
    struct clock clock;
    struct datadir dir;
    bool has_dir;           /* false: memory only, and nothing there is to be loaded */
    bool appendonly, gated; /* as at start: is there a journal, do replies wait for it */
    bool aof_truncated_ok;
    uint64_t started_ms;
    struct recovery *recovery;
    struct checkpoints *checkpoints;
    struct live_export *live_export;
    struct guard *guard;
    struct aof_files aof; /* to be imported; none: count is 0 */

    /* --- one after the other: the main thread, thread 0 between two meetings, thread 0 --- */
    struct manifest manifest;

    /* --- meetings: how many threads have got that far --- */
    _Alignas(CACHE_LINE) _Atomic uint32_t recovered, armed, opened;
    _Atomic bool replayed;   /* thread 0 has played the imported log */
    _Atomic bool adopted;    /* and what was imported is a checkpoint */
    _Atomic int state;       /* enum persist_state */
    _Atomic int end;         /* enum persist_end_state */
    _Atomic int end_how;     /* enum persist_end_how */
    _Atomic uint32_t held;   /* threads that hold back writes for the last save */
    _Atomic bool log_stands; /* thread 0 keeps a log, and the manifest names where it begins */

    /* --- under the lock --- */
    pthread_mutex_t lock;
    struct error error;
    struct persist_shard_status shard[SHARDS_MAX];
};

enum part_state { PART_RECOVERING, PART_RECOVERED, PART_REPLAYING, PART_ARMED, PART_ADOPTING, PART_RUNNING };

struct persist_part {
    struct persist *persist;
    struct shard *shard;
    struct disk disk;
    enum part_state state;
    uint64_t wait_ns; /* what the last turn found */

    /* loading */
    struct aof_replay *replay;
    uint32_t replaying; /* which file of the log */
    uint64_t ticket;    /* thread 0: of the checkpoint that it waits for */

    /* running */
    struct checkpoints_member *member;
    struct journal *journal;       /* NULL: there is none now */
    struct journal_status status;  /* of the journal, or of the last one */
    uint64_t next_segment;         /* where the next journal begins */
    uint64_t batch, batch_durable; /* the latest closed, and on the disk */
    bool closing;                  /* the journal ends when all of it is durable */
    uint64_t look_ns;              /* when to look at what changes seldom */
    bool exporting;                /* thread 0 */
    uint64_t ask_ns;               /* thread 0: not before, for an option that changed */
    struct guard_orders orders;    /* as this part follows them */
    uint64_t moved_to, moved_ns;   /* what was durable when the disk last moved on, or had little to do */

    struct space_job *space;  /* thread 0 */
    uint64_t scratch_segment; /* the first of a journal that was begun for a checkpoint under way; 0: of none */
    bool discards;            /* and that is worth nothing: its segments go when it is closed */
    bool unnamed;             /* the journal began, or was to end, with a checkpoint that the manifest does not name */
    uint32_t jobs;            /* of this part, on the background thread */

    /* the end */
    bool left_off; /* nothing is loaded any more */
    bool holding, asked, stopping;
    uint64_t stop_by_ns;
};

#define PERSIST_LOOK_NS 100000000ull

/* Both: true: there is more to do right now. */
bool part_load(struct persist_part *part);
bool part_run(struct persist_part *part, bool busy);
/* The journal begins with the next batch. */
NODISCARD enum status part_open_journal(struct persist_part *part, struct error *error);
/* After the journal began, ended or was named: what INFO says of it is true at once. */
void part_note_log(const struct persist_part *part);
NODISCARD enum status part_join_checkpoints(struct persist_part *part, struct error *error);
/* --- persist_space.c --- */
/* Now and then, on thread 0: what the directory takes on its disk, for the guard and for the checkpoints. */
void part_look_at_space(struct persist_part *part);
void part_forget_space(struct persist_part *part);
/* Removes segments of this shard from `from` to before `end`, some time. */
void part_discard_segments(struct persist_part *part, uint64_t from, uint64_t end);
void persist_end_import(struct persist *persist); /* what was imported is ours */
void persist_fail(struct persist *persist, const struct error *error);
