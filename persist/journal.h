/* Journal: one shard's log of effects: batches, group commit, segments. (essay: helper JOURNAL) */
#pragma once
#include "core/config.h"
#include "core/log.h"
#include "persist/disk.h"

struct journal;
struct shard;

struct journal_options {
    const char *dir;
    uint32_t shard, shards;
    uint64_t boot;          /* of this generation */
    uint64_t first_segment; /* number of its first segment; those after it follow by one */
    uint64_t first_batch;   /* sequence number of its first batch */
    struct disk disk;
    struct log *log;
};

struct journal_status {
    uint64_t batch_written, batch_durable; /* sequence numbers: closed, and on the disk for good */
    uint64_t position_written, position_durable; /* the same as effects.position */
    uint64_t bytes_written, bytes_pending, segment, segment_bytes, bytes_since_cut;
    uint64_t oldest_pending_ns; /* when what is not durable yet was written first; 0: all is */
    int error; /* errno of what keeps it from going on; 0: fine */
    uint64_t writes, syncs, sync_ns_max;
};

NODISCARD enum status journal_open(struct journal **out, struct shard *shard, const struct journal_options *options,
                                   struct error *error);
/* The end of a turn: closes the batch of what the shard's effects hold (also when empty: nothing) and hands it to the
 * disk as appendfsync says. Returns the number of the latest closed batch. */
uint64_t journal_turn(struct journal *journal, uint64_t now_ns, enum config_appendfsync fsync);
/* Everything after this call goes to a new segment; returns its number. Called between turns' batches, at a cut. */
uint64_t journal_cut(struct journal *journal);
/* Segments before this number are not needed any more: they are recycled or removed. */
void journal_drop_before(struct journal *journal, uint64_t segment);
/* Writes and syncs all that is there as soon as it can, whatever appendfsync says (end of a checkpoint, shutdown). */
void journal_flush(struct journal *journal);
void journal_read_status(const struct journal *journal, struct journal_status *out);
uint64_t journal_wait_ns(const struct journal *journal, uint64_t now_ns); /* when it wants a turn; UINT64_MAX: never */
/* Nothing is under way at the disk. */
bool journal_idle(const struct journal *journal);
void journal_close(struct journal *journal); /* idle; seals the segment with what blocking calls it needs */
