/* Aof replay: the commands of a Redis log, played into the server through the same door as a client's.
 *
 * Commands of a foreign log may have several keys on several shards, MULTI, SELECT: so a client of the server's own
 * feeds them into this shard's pipeline, in order, while all others still hear -LOADING. Replies are looked at for
 * errors and dropped.
 *
 * End        a log that ends inside of a command, or inside of MULTI, was cut by a crash: what is not whole is left out
 *            and reported, when the option aof-load-truncated allows it; else it is an error. Anything else that is no
 *            command is an error that names the file and the offset.
 * Unknown    a command that sherd does not have ends the replay: leaving it out would lose data silently.
 * Thread     the shard's. Bounded: a slice reads at most AOF_WINDOW bytes, or one command if that is longer. */
#pragma once
#include "core/status.h"
#include "shards/client.h"

#define AOF_WINDOW (256 * 1024)

struct aof_replay;

enum aof_step {
    AOF_MORE,    /* call again in this turn or the next */
    AOF_WAITING, /* for replies of other shards: call again next turn */
    AOF_DONE,
    AOF_FAILED,
};

/* The commands begin at offset (behind an RDB part). */
NODISCARD enum status aof_replay_open(struct aof_replay **out, struct shard *shard, const char *path, uint64_t offset,
                                      bool truncated_ok, struct error *error);
/* Feeds the pipeline and runs it. error: of AOF_FAILED, or a warning when AOF_DONE (its text is not empty). */
enum aof_step aof_replay_slice(struct aof_replay *replay, struct error *error);
uint64_t aof_replay_offset(const struct aof_replay *replay);
uint64_t aof_replay_size(const struct aof_replay *replay);
uint64_t aof_replay_commands(const struct aof_replay *replay);
bool aof_replay_is_quiet(const struct aof_replay *replay); /* nothing of it is under way on any shard */
/* When it is quiet; or when no shard has a turn any more. */
void aof_replay_close(struct aof_replay *replay);
