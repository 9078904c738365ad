/* Walk: a checkpoint's way through the databases, as bytes of RDB. Knows shards and values, and neither file nor disk.
 *
 * A *stretch* is a piece of hash space with some dozens of keys, saved as one. Its keys are found and prefetched first,
 * so that their cache misses overlap; then all of them are written here and now. When that cannot be, the stretch is
 * made one bucket long; its large values, and what somebody has in hand, are held (shards/request.h); and when they
 * are, the bucket is written: small values at once, large ones in pieces over as many slices as that takes. The place
 * counts as of the moment when that began. Writers of a large value wait for it, but for those that change
 * single elements of it: what these are about to change is written first (shards/dump_pieces.h).
 *
 *      hash space   |------ saved ------|-- stretch --|---------- to come ----------|
 *                                       at            end
 *
 * Owner     the checkpoint. Thread: the shard's. */
#pragma once
#include "core/buf.h"
#include "persist/rdb_write.h"

struct shard;
struct request;
struct pin;

enum walk_step {
    WALK_MORE,    /* the cursor moved, or a piece was written */
    WALK_WAITING, /* for a key: nothing can be done in this turn */
    WALK_YIELD,   /* keys were let go of: the slice ends here */
    WALK_END,     /* all databases are done */
    WALK_OVERTAKEN,
};

struct walk_hashes {
    uint64_t *items;
    uint32_t count, cap;
};
struct walk_entries {
    struct entry **items;
    uint32_t count, cap;
};

struct walk {       /* the owner takes from out and reads keys; the rest is private */
    struct buf out; /* what comes next in the file */
    uint64_t keys;  /* in it */
    struct shard *shard;
    struct rdb_style style;
    struct rdb_thrift thrift; /* style's */
    uint32_t stretch_keys;
    uint64_t database_changes; /* of the shard, at the cut */
    uint64_t batch;            /* of this slice */
    /* the cursor */
    uint32_t db;
    uint64_t at;
    bool db_open;    /* its header is written */
    bool one_bucket; /* the next stretch is no longer than that */
    bool moved;      /* since the frontier was written last, in a slice of moved_batch */
    uint64_t moved_batch;
    /* the stretch */
    struct walk_entries found;
    struct walk_hashes hashes;    /* of what was found */
    struct walk_hashes unwritten; /* keys of which the journal does not have all, sorted; of this slice */
    uint32_t waited;              /* slices in a row that met one of them */
    /* what cannot be saved in passing */
    struct walk_hashes wanted; /* keys to hold */
    struct request *held;      /* those, when it is their turn */
    struct pin *pins;          /* large values that are being saved */
    uint32_t pin_count, pin_at;
    struct rdb_writer writer;
    struct pin_watch watch; /* of the one that is being written, if its elements may change */
};

/* At the cut. Nothing else is walking on this shard. A stretch ends with the bucket in which it has stretch_keys. */
void walk_begin(struct walk *walk, struct shard *shard, uint32_t stretch_keys);
/* A slice begins; batch is what the journal has of the shard. False: nothing can be done in it. O(requests). */
NODISCARD bool walk_slice(struct walk *walk, uint64_t batch);
/* Appends a stretch, or a piece of a value, to out. O(bytes), about 64 KiB of large values. */
enum walk_step walk_step(struct walk *walk);
void walk_end(struct walk *walk); /* lets go of everything, wherever it is */
