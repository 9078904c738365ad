/* Journal: one shard's log of effects: batches, group commit, segments.
 *
 * At the end of each turn the shard's effects become one batch (persist/segment.h), numbered without a gap. Batches are
 * written as appendfsync says:
 *
 *    always     each turn's batch is durable as soon as the disk can: one write, or several turns' in one while the
 *               one before is under way; with RWF_DSYNC where the device can do that alone (write_through), else
 *               with a sync behind it
 *    everysec   gathered until there are 256 KiB, of which whole pages are written, or 10 ms have passed: a write
 *               costs much more than its bytes (on a virtual disk 1 ms of CPU for each MB in pieces of 64 KiB, 0.2 in
 *               pieces of 256), and the page it ends in is written twice. Synced once a second, sooner after 8 MiB
 *    no         gathered likewise; synced only after 8 MiB, at the end of a segment and when asked (journal_flush)
 *
 * The policy may change from turn to turn, and so may how often it syncs (journal_set_pace). Everything at the disk is
 * asynchronous, so no call here blocks, but for journal_close. What is not on the disk for good stays in memory. Memory
 * is bounded by whoever looks at `bytes_pending` and holds back writers (persist/guard.h); nothing is ever dropped.
 *
 * Errors    whatever fails is tried again, after 100 ms and then twice as long up to 5 s, for as long as it takes; the
 *           status says what keeps it. Once the cause is gone the journal is complete. After a sync that failed, all
 *           that was not durable is written once more, to a new segment: what the system had in its cache may be lost
 *           without a word.
 * Files     segments `first_segment` and on, by number without a gap (datadir_segment_name). One is always prepared
 *           before it is needed: it is there, and empty, when the server stops. Files of these names that exist are
 *           overwritten.
 * Durable   a segment's first byte is written when the one before is complete and durable, whatever appendfsync says.
 * Thread    the shard's. Cost of a turn without effects: a few comparisons. */
#pragma once
#include "core/alloc.h"
#include "core/config.h"
#include "core/log.h"
#include "persist/disk.h"

struct effects;
struct journal;

struct journal_options {
    const char *dir; /* copied */
    uint32_t shard, shards;
    uint64_t boot;          /* of this generation */
    uint64_t first_segment; /* number of its first segment; those after it follow by one */
    uint64_t first_batch;   /* sequence number of its first batch, at least 1; what is before it counts as durable */
    struct heap *heap;
    struct effects *effects; /* this shard's */
    struct disk disk;
    struct log *log;
    bool write_through;     /* the device keeps a write for good without a flush: datadir_writes_through */
    uint64_t segment_bytes; /* a segment is over when it has so many; 0: 64 MiB */
};

struct journal_status {
    uint64_t batch_written, batch_durable;       /* sequence numbers: closed, and on the disk for good */
    uint64_t position_written, position_durable; /* the same as effects.position */
    uint64_t bytes_written;                      /* to the disk so far */
    uint64_t bytes_pending;                      /* not durable: kept in memory */
    uint64_t bytes_appended, bytes_durable;      /* of batches, so far */
    uint64_t busy_ns;                            /* so long something was under way at the disk, about */
    uint64_t segment, segment_bytes;             /* where the next batch goes, and how much is in it */
    uint64_t bytes_since_cut;                    /* of batches, since the last cut or the start */
    uint64_t bytes_spare;                        /* of blocks that hold nothing: they are filled next, or given back */
    uint64_t oldest_pending_ns; /* when the oldest batch of bytes_pending was closed; 0: there is none */
    int error;                  /* errno of what keeps it from going on; 0: fine */
    int prepare_error; /* errno of what keeps it from preparing the next segment, not yet in need of it; 0: fine */
    uint64_t writes, syncs, sync_ns_max;
    uint64_t syncs_ended, sync_ns_last; /* the latest that ended took so long, by the beginnings of turns */
};

/* Turns the shard's effects on. Creates the first segment in the background; nothing blocks, and a directory that
 * cannot be written shows in the status. Fails only for a path that is too long. */
NODISCARD enum status journal_open(struct journal **out, const struct journal_options *options, struct error *error);
/* The end of a turn: closes the batch of what the shard's effects hold (nothing when they are empty), begins at the
 * disk what appendfsync says, and goes on with what has completed since. Returns the latest closed batch. */
uint64_t journal_turn(struct journal *journal, uint64_t now_ns, enum config_appendfsync fsync);
/* From here on, instead of what everysec and no say above: so often it syncs (UINT64_MAX: not for the time), and so
 * many bytes at once are to become durable (UINT64_MAX: as they come). A disk that is slower than the writers is given
 * no more than twice as much before it has made a part of it durable: what a cache swallows at once takes long to sync,
 * and meanwhile nothing becomes durable. spare: it has time for zeros that are written ahead. */
void journal_set_pace(struct journal *journal, uint64_t sync_every_ns, uint64_t chunk_bytes, bool spare);
/* false: space is scarce. No zeros are written ahead, and segments that are not needed any more are not kept. */
void journal_set_room(struct journal *journal, bool roomy);
/* Everything after this call goes to a new segment (or to the present one, if nothing is in it yet); returns its
 * number. Called between turns' batches, at a cut. After a failed sync that segment may also begin with batches from
 * before. */
uint64_t journal_cut(struct journal *journal);
/* Segments before this number are not needed any more: they are recycled or removed, those still in use when they are
 * complete. At most the number of the segment that is written to. */
void journal_drop_before(struct journal *journal, uint64_t segment);
/* Writes and syncs all that is there as soon as it can, whatever appendfsync says (end of a checkpoint, shutdown): done
 * when batch_durable has reached what batch_written is now. */
void journal_flush(struct journal *journal);
void journal_read_status(const struct journal *journal, struct journal_status *out);
/* In how many ns it wants a turn, if nothing completes before: 0: at once, UINT64_MAX: never. */
uint64_t journal_wait_ns(const struct journal *journal, uint64_t now_ns);
/* Nothing is under way at the disk. True again and again while it waits to try again after an error. */
bool journal_idle(const struct journal *journal);
/* It is idle. Seals the segment with what blocking calls it needs, removes the prepared one and turns the effects off.
 * What is not written is lost (journal_flush, and turns until it is durable, come before). */
void journal_close(struct journal *journal);
