/* RDB, read: versions 1 to 12, that is what any Redis up to 8.2 and Valkey before 9 wrote, with all types and old
 * encodings but those below; later ones are refused by name.
 *
 * The caller asks for one item after the other (rdb_next) and gets each key as an entry of its own, built in its store.
 * A filter sees each key before its value is looked at: what it does not take is passed over, which costs little more
 * than reading the file. So each of several threads reads a whole file and takes what is its own.
 *
 * Refused   streams, module values, hashes with deadlines of fields: a taken key with one of these is RDB_BROKEN
 *           (ST_UNSUPPORTED; the error names key, type and offset). Not taken, or without `build`, they are passed
 *           over.
 * Trust     none. Every length is compared with what is left of the file before memory is reserved for it. What lies
 *           between two right lengths can still be wrong: that is what the checksum is for, and it comes last. So
 *           whatever was built is to be thrown away when the end is not RDB_END.
 * Memory    a window of 256 KiB, or as large as the largest value that is taken (in the file), and what one compressed
 *           string unpacks to. Failure: a value too large for memory is RDB_BROKEN with ST_NO_MEMORY.
 * Threads   one at a time; blocking reads. After RDB_BROKEN and RDB_END only rdb_close and the questions are allowed.
 *           */
#pragma once
#include "core/status.h"
#include "shards/dump.h"

#define RDB_VERSION_MAX 12u

struct rdb_reader;

enum rdb_item {
    RDB_AUX,      /* key and value */
    RDB_DATABASE, /* db */
    RDB_RESIZE,   /* keys, timed: what to expect in this database; a hint, and not to be believed */
    RDB_KEY,      /* a key that the filter took, as an entry that is the caller's */
    RDB_SKIPPED,  /* a key that the filter did not take or that has no elements; or, without key (ptr NULL), a function
                   * library or a module's data outside of keys */
    RDB_END,      /* the checksum was right, or there is none (version below 5, or 0) */
    RDB_BROKEN,   /* error says what and at which offset */
};
struct rdb_event {
    struct slice key, value; /* borrowed until the next call */
    uint32_t db;
    uint64_t keys, timed;
    struct entry *entry;  /* the access field is not set: see idle_s and freq */
    uint64_t deadline_ms; /* 0: none. What has expired is for the caller to say. */
    int64_t idle_s;       /* since it was used, -1: not known */
    int freq;             /* its LFU counter, -1: not known */
    uint64_t offset;      /* where the item begins */
};
struct rdb_reader_options {
    const char *path;                                        /* borrowed as long as the reader is open */
    struct heap *heap;                                       /* of the reader itself; NULL: that of target.store */
    bool (*takes)(void *ctx, uint32_t db, struct slice key); /* NULL: all */
    void *ctx;
    bool build; /* make entries (target); false: only frames and the checksum are checked, RDB_KEY has no entry */
    struct dump_target target; /* key, deadline_ms and scratch are the reader's */
};
/* ST_NOT_FOUND, ST_IO, ST_NO_MEMORY; ST_INVALID: no RDB file; ST_UNSUPPORTED: of a version that is not known. */
NODISCARD enum status rdb_open(struct rdb_reader **out, const struct rdb_reader_options *options, struct error *error);
enum rdb_item rdb_next(struct rdb_reader *reader, struct rdb_event *event, struct error *error);
uint64_t rdb_offset(const struct rdb_reader *reader); /* bytes used, for progress; at RDB_END: where the RDB ends */
uint64_t rdb_size(const struct rdb_reader *reader);   /* of the file when it was opened */
uint32_t rdb_version(const struct rdb_reader *reader);
void rdb_close(struct rdb_reader *reader);
