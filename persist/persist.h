/* Persist: what keeps a server's data on its disk, as one thing for whoever runs the server: the data directory,
 * loading at start, the journal and the checkpoints of all shards, and the last save before it ends.
 *
 * Life      main thread    persist_open ......................................................... persist_close
 *           each thread        persist_join .. persist_turn, once per turn ... persist_leave
 *                                  LOADING: nobody is let in for a second (net/thread.c), then refused (-LOADING)
 *                                  RUNNING: all threads have loaded
 *
 * Loading   what the manifest names (persist/recover.h); or, where there is none yet, what Redis left in the directory:
 *           its append-only files if appendonly says so or there is nothing else, else its dump.rdb. What was imported
 *           becomes sherd's by a checkpoint, and only then are clients served: until then nothing here says that it is
 *           there.
 * Running   at the end of each turn the journal takes what the turn has changed, replies that wait for the disk learn
 *           how far it is, and the checkpoint has its slice. When the disk does not keep up, writes are slowed down,
 *           wait, and are refused in the end (persist/guard.h); what is in memory is served.
 * Ending    persist_end asks for the end. Where `save` has rules (or SHUTDOWN SAVE says so) writes are held back, all
 *           is saved once more, and only when that went well may the server stop.
 * In memory with `save ''` and `appendonly no` nothing is written unless asked for (BGSAVE), and a directory that
 *           cannot be locked is passed over. What is in it is loaded all the same; a log of Redis is saved there first.
 *
 * Threads   as said at each function. What threads share is behind atomics and in persist/checkpoints.h. */
#pragma once
#include "core/clock.h"
#include "core/config.h"
#include "core/log.h"
#include "persist/checkpoints.h"
#include "persist/disk.h"
#include "persist/guard.h"
#include "persist/journal.h"
#include "persist/recover.h"

struct persist;
struct persist_part;
struct shard;

struct persist_options {
    const struct config *config; /* as at start; copied where it is needed later */
    uint32_t shards;
    struct log *log;
    struct clock clock;
    uint64_t boot;             /* random, not 0 */
    const char *redis_version; /* written to RDB files */
};

/* --- main thread --- */
/* Locks the directory and looks what is in it; reads no data yet. */
NODISCARD enum status persist_open(struct persist **out, const struct persist_options *options, struct error *error);
void persist_close(struct persist *persist); /* all threads have left */

/* --- a thread, with its shard --- */
/* The shard refuses commands until persist_turn has loaded what there is. */
NODISCARD enum status persist_join(struct persist_part **out, struct persist *persist, struct shard *shard,
                                   struct disk disk, struct error *error);
/* At the end of the turn, after shard_turn. busy: it had commands to run. True: there is more to do right now. */
bool persist_turn(struct persist_part *part, bool busy);
uint64_t persist_wait_ns(const struct persist_part *part); /* when it wants a turn; UINT64_MAX: never */
/* The server is to stop: no more of an imported log is played. True when nothing of it is under way on any shard; that
 * is waited for as for the replies of clients. */
bool persist_leave_off(struct persist_part *part);
/* The server stops: no client is left. What the shards said is made durable; turns go on until persist_is_idle. */
void persist_stop(struct persist_part *part);
bool persist_is_idle(const struct persist_part *part);
void persist_leave(struct persist_part *part); /* idle */

/* --- any thread --- */
enum persist_state { PERSIST_LOADING, PERSIST_RUNNING, PERSIST_FAILED };
enum persist_state persist_state(const struct persist *persist);
/* No shard refuses commands as its data are still being loaded; also when loading has failed. */
bool persist_all_loaded(const struct persist *persist);
const struct error *persist_error(const struct persist *persist); /* PERSIST_FAILED: the server cannot start */

enum persist_end_how { END_DEFAULT, END_SAVE, END_NOSAVE };
enum persist_end_state { END_NONE, END_SAVING, END_READY, END_REFUSED };
/* Asks for the end; the state says when the server may stop. REFUSED: the save failed, and all goes on. */
void persist_end(struct persist *persist, enum persist_end_how how);
enum persist_end_state persist_end_state(const struct persist *persist);
void persist_end_cancel(struct persist *persist); /* REFUSED, or called back: NONE, and writes go on */

/* The limits on what the disk may be behind, and how near they are. */
struct guard *persist_guard(struct persist *persist);
/* BGSAVE and its like; NULL: memory only, with the reason. */
struct checkpoints *persist_checkpoints(struct persist *persist);
struct live_export *persist_live_export(struct persist *persist); /* of the command EXPORT; NULL as above */

struct persist_shard_status {
    struct journal_status journal; /* of this shard; zero without one */
    bool journal_on;
};
struct persist_status {
    bool loading;
    struct recovery_progress progress;
    struct recovery_result loaded; /* after loading */
    uint64_t loading_started_ms;
    bool log_stands; /* a restart would find a log; now, unlike what follows */
    uint32_t shards;
    struct persist_shard_status shard[SHARDS_MAX]; /* a moment old */
};
void persist_read_status(struct persist *persist, struct persist_status *out);
