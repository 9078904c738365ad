/* The journal's inside, shared by its files:
 *
 *    journal.c            turns into batches, batches into the newest segment's tail; cuts; the status
 *    journal_write.c      the oldest segment's tail onto the disk: writes and syncs
 *    journal_restage.c    what is not durable goes to another segment
 *    journal_files.c      segments prepared, filled with zeros ahead, sealed, recycled and removed
 *
 * Segments that are not complete form a list. Batches go to `active`; the disk works on `head` only, and goes on to the
 * next when all of it is durable. The one behind `active` is prepared in advance.
 *
 *      head ...................................... active ........ next
 *      | durable | written | landed | issued | in memory only |
 *      0 <= durable.offset <= written.offset <= landed <= issued <= tail.end     the first two between batches */
#pragma once
#include "core/buf.h"
#include "persist/datadir.h"
#include "persist/journal.h"
#include "persist/marks.h"
#include "persist/regroup.h"
#include "persist/segment.h"
#include "persist/tail.h"

#define SEGMENT_BYTES    ((uint64_t)64 << 20)
#define GATHER_BYTES     ((uint64_t)TAIL_BLOCK)
#define MARK_BYTES       ((uint64_t)64 << 10) /* small batches have a mark together, up to so many */
#define GATHER_NS        ((uint64_t)10000000)
#define SYNC_NS          ((uint64_t)1000000000)
#define SYNC_BYTES       ((uint64_t)8 << 20) /* so much is kept in memory for a sync that may fail */
#define DURABLE_BYTES    ((uint64_t)1 << 20) /* more than this at once is written plainly and then synced */
#define RETRY_NS_FIRST   ((uint64_t)100000000)
#define RETRY_NS_MAX     ((uint64_t)5000000000)
#define RETRIES_IN_PLACE 4 /* writes that fail so often at one place are tried in another segment */
#define WRITES_MAX       4
#define BOUNCE_BYTES     ((uint64_t)128 << 10)
#define FILL_BYTES       ((uint64_t)TAIL_BLOCK)
#define FILL_AHEAD_MAX   ((uint64_t)8 << 20)
#define SPARES_MAX       8 /* half a gibibyte */
#define PATH_SIZE        (CONFIG_PATH_MAX + DATADIR_NAME_MAX)

enum file_state {
    FILE_WANTED,    /* not there yet */
    FILE_PREPARING, /* a job is at it */
    FILE_READY,
};

struct journal_file {
    struct journal_file *next;
    uint64_t number;
    enum file_state state;
    int fd;               /* -1 unless ready */
    struct tail tail;     /* what is not durable */
    struct marks marks;   /* of what is in the tail */
    uint64_t header;      /* its length; 0: nothing is in the segment */
    uint64_t issued;      /* given to the disk up to here */
    uint64_t landed;      /* written without a gap up to here */
    struct point written; /* the last batch that landed whole */
    struct point durable;
    bool dirty;        /* something was written plainly that no sync which succeeded covers */
    uint64_t frontier; /* up to here the file has blocks, with zeros, data, or what it held before */
};

/* A write under way, or done while one before it is not. */
struct write_slot {
    struct journal *journal;
    uint64_t from, to; /* whole pages */
    uint64_t end;      /* of data */
    bool durable, done;
};

/* Something fails again and again. */
struct trouble {
    int error;
    uint32_t failures;
    uint64_t retry_ns; /* not before */
};

/* What jobs on the background thread are given; they touch nothing else. */
struct prepare_job {
    bool busy;
    struct journal *journal;
    struct journal_file *file;
    const char *dir;
    char from[PATH_SIZE], to[PATH_SIZE]; /* from: a file to recycle; "": none */
    int fd;
    uint64_t size;
};
struct reserve_job {
    struct journal *journal;
    int fd;
    uint64_t from, to;
};
struct seal_job {
    bool busy;
    struct journal *journal;
    struct journal_file *file;
    int fd;
    uint64_t end;
};
struct remove_job {
    bool busy;
    struct journal *journal;
    char path[PATH_SIZE];
};

struct sealed {
    uint64_t number, bytes;
};
/* Sealed segments, oldest first. */
struct sealed_list {
    struct sealed *array;
    uint32_t first, count, cap;
};

struct journal {
    struct journal_options options; /* dir is the copy below */
    char dir[CONFIG_PATH_MAX];
    uint32_t seed;
    uint64_t now_ns;
    enum config_appendfsync fsync;

    uint64_t sync_every_ns, chunk_bytes; /* journal_set_pace; 0: as the policy says */
    bool fills_nothing, keeps_nothing;   /* journal_set_pace, journal_set_room */

    struct buf taken;
    uint64_t batch, position; /* the latest closed one */
    struct point durable;     /* of all segments; its offset says nothing */
    uint64_t flush_batch;
    struct journal_file *head, *active;

    /* the disk and head */
    struct write_slot slots[WRITES_MAX]; /* a ring, in the order of the file */
    uint32_t slots_first, slots_count, in_flight;
    char *bounce; /* the end of the file with zeros behind it, while it is written */
    bool rewind;  /* a write failed: when none is under way, go back to what has landed */
    bool restage; /* go on in another segment, when nothing is under way */
    bool syncing, sync_ended;
    struct point sync_point;
    uint64_t sync_began_ns;
    struct trouble write_trouble, sync_trouble;
    struct regroup regroup;  /* of those whose replies wait for syncs */
    uint64_t write_began_ns; /* the latest */

    /* files */
    char *zeros;                 /* while filling with them */
    uint64_t fill_from, fill_to; /* no data are written here meanwhile; empty while blocks are reserved */
    bool filling;
    bool cannot_reserve; /* the file system has no fallocate: zeros instead */
    struct reserve_job reserve;
    struct journal_file *complete, **complete_end; /* to be sealed */
    struct trouble prepare_trouble;
    struct prepare_job prepare;
    struct seal_job seal;
    struct remove_job remove;
    struct sealed_list sealed;
    struct sealed spares[SPARES_MAX];
    uint32_t spare_count;
    uint64_t drop_before;

    bool was_busy;                                                          /* at the end of the last turn */
    uint64_t bytes_written, bytes_appended, bytes_durable, bytes_since_cut; /* as in the status */
    uint64_t writes, syncs, sync_ns_max, busy_ns;
    uint64_t syncs_ended, sync_ns_last;
};

HOT_INLINE uint64_t page_down(uint64_t offset) {
    return offset / SEGMENT_PAGE * SEGMENT_PAGE;
}
HOT_INLINE uint64_t page_up(uint64_t offset) {
    return page_down(offset + SEGMENT_PAGE - 1);
}

/* Under `always`, where the device takes a write for good without a flush of all it holds. */
HOT_INLINE bool journal_writes_durably(const struct journal *journal) {
    return journal->fsync == APPENDFSYNC_ALWAYS && journal->options.write_through;
}

/* --- journal.c --- */
/* The file behind `file`, made (FILE_WANTED) when it is not there. */
struct journal_file *journal_file_after(struct journal *journal, struct journal_file *file);
void journal_file_delete(struct journal *journal, struct journal_file *file);
void journal_file_begin(struct journal *journal, struct journal_file *file, uint64_t first_batch, uint32_t db);
void trouble_found(struct journal *journal, struct trouble *trouble, int error, const char *what);
void trouble_over(struct journal *journal, struct trouble *trouble);

/* --- journal_write.c --- */
void journal_write_step(struct journal *journal);
uint64_t journal_write_wait_ns(const struct journal *journal);
void journal_head_complete(struct journal *journal); /* it is sealed next; the one behind it is head */

/* --- journal_restage.c --- */
bool journal_can_restage(const struct journal *journal);
void journal_restage(struct journal *journal); /* nothing is under way for head */

/* --- journal_files.c --- */
void journal_files_step(struct journal *journal);
uint64_t journal_files_wait_ns(const struct journal *journal);
void journal_files_close(struct journal *journal); /* blocks */
