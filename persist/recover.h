/* Recovery: from the files of a data directory to the keys of the shards, on all threads at once, while they answer
 * -LOADING.
 *
 * Each thread calls recovery_slice once per turn until it says DONE; whatever number of shards wrote the files, each
 * thread ends up with the keys that its own shard owns now. Inside, all threads go through stages together:
 *
 *      VERIFY   each takes segments of the journal from one list, reads every batch, and notes transactions and how the
 *               segment ends
 *      JOIN     one thread: puts segments together to journals, tells crashes from damage, finds the largest consistent
 *               cut (persist/cut.h), reports what it takes back
 *      LOAD     each reads the files whose slots overlap its own: checkpoint or import, then the effects, generation by
 *               generation; of both it takes the keys that it owns. An effect counts when its batch is behind the
 *               frontier of its key (persist/frontier.h)
 *      FINISH   one thread: the new manifest (old generations are over, a new one begins), then files that it does not
 *               name are removed
 *
 * Wiring    before the threads start:  datadir_open, recovery_open
 *           every thread, every turn:  recovery_slice with shard.loading true and shard.effects.on false, until DONE
 *           (or
 *                                      FAILED: all threads get it, the server does not start)
 *           then:                      shard.loading false; recovery_result says where the journal begins
 *           if the server ends early:  recovery_leave on each thread
 *           when no thread is in it:   recovery_close
 * Damage    a torn end is what a crash leaves, and is cut off. Damage is what no crash explains: a batch that had been
 *           durable is broken or missing. Then `recovery-damage` decides: refuse fails with file, offset and what to
 *           do; truncate ends that journal there, gives up all later generations, and whatever transactions then are
 *           incomplete; skip leaves out what is broken and goes on behind it, and forgives that journal's missing
 *           parts.
 * Threads   as said at each function. The threads share a few atomics (stage, counters); all else is written by one
 *           thread before a stage begins and read by others after.
 * Slices    blocking reads are made inside; a slice ends soon after its budget, but for one value of any size.
 * Memory    40 bytes per transaction over several shards in the journal, 1 MiB per open file and thread; and the data.
 *           */
#pragma once
#include "core/clock.h"
#include "persist/manifest.h"

struct recovery;
struct shard;

struct recovery_options {
    const struct datadir *dir; /* outlives the recovery */
    uint32_t threads;          /* shards there are now; recovery_slice is called for 0 .. threads - 1 */
    enum config_recovery_damage damage;
    bool journal;        /* a new generation begins */
    uint64_t boot;       /* its id: random, not 0 */
    const char *import;  /* an RDB file to begin with, from the data directory or absolute; NULL: none */
    bool import_is_must; /* an error when the directory holds data already; else import is ignored then */
    bool only_look;      /* changes no file: for tools */
    struct clock clock;
    struct log *log;
};

enum recovery_state {
    RECOVERY_MORE,    /* call again in the next turn, which should come soon */
    RECOVERY_WAITING, /* for the other threads: call again within some milliseconds */
    RECOVERY_DONE,
    RECOVERY_FAILED, /* recovery_error */
};

struct recovery_progress {
    uint64_t bytes, bytes_total; /* of this stage; files are counted once per thread that reads them */
    uint64_t keys, effects;      /* loaded, applied */
    bool verifying;
};

struct recovery_result {
    uint64_t first_segment, first_batch;                 /* of each shard's journal, when there is one */
    uint64_t keys, effects;                              /* that were loaded, and applied */
    uint64_t keys_held;                                  /* that there are now */
    uint64_t lost_transactions, lost_writes, lost_bytes; /* taken back, to be consistent */
    uint64_t damages;                                    /* places that were passed over */
    uint64_t import_end;   /* where the RDB part of the imported file ends: a log of Redis may follow */
    bool wants_checkpoint; /* imported, damaged, or of many generations: better saved before the next start */
};

/* --- one thread, before the others start --- */
/* Reads the manifest and the directory; no data yet. Files without a manifest are refused: they may be all there is. */
NODISCARD enum status recovery_open(struct recovery **out, const struct recovery_options *options, struct error *error);
/* Is there anything to be loaded? When not, the slices are over at once. */
bool recovery_has_data(const struct recovery *recovery);

/* --- thread number `thread`, with its shard --- */
enum recovery_state recovery_slice(struct recovery *recovery, uint32_t thread, struct shard *shard, uint64_t budget_ns);

/* The server ends before it is DONE or FAILED: frees what is this thread's; no slice after it. Fine at any time. */
void recovery_leave(struct recovery *recovery, uint32_t thread);

/* --- any thread --- */
void recovery_read_progress(const struct recovery *recovery, struct recovery_progress *out);

/* --- after DONE or FAILED on the calling thread --- */
const struct recovery_result *recovery_result(const struct recovery *recovery); /* DONE */
const struct error *recovery_error(const struct recovery *recovery);            /* FAILED */

/* --- one thread, when no other uses it --- */
/* The manifest as it is on the disk now, or (nothing was written) would be; to is empty. After DONE, once. */
void recovery_take_manifest(struct recovery *recovery, struct manifest *to);
void recovery_close(struct recovery *recovery);
