/* RDB, read: versions 1 to 12, all types and old encodings that Redis and Valkey wrote. (essay: helper RDB) */
#pragma once
#include "core/status.h"
#include "shards/dump.h"

struct rdb_reader;

enum rdb_item {
    RDB_AUX,      /* key and value */
    RDB_DATABASE, /* db */
    RDB_RESIZE,   /* keys, timed: what to expect in this database */
    RDB_KEY,      /* a key that the filter took, as an entry that is the caller's */
    RDB_SKIPPED,  /* a key that the filter did not take, a function library, module data outside of keys */
    RDB_END,      /* the checksum was right, or there is none (version below 5, or 0) */
    RDB_BROKEN,   /* error says what and at which offset */
};
struct rdb_event {
    struct slice key, value; /* borrowed until the next call */
    uint32_t db;
    uint64_t keys, timed;
    struct entry *entry;
    uint64_t deadline_ms;
    uint64_t offset; /* where the item begins */
};
struct rdb_reader_options {
    const char *path;
    bool (*takes)(void *ctx, uint32_t db, struct slice key); /* NULL: all */
    void *ctx;
    bool build; /* make entries (target); false: read and check only (sherd check): RDB_KEY without entry */
    struct dump_target target; /* key, deadline_ms and scratch are the reader's */
};
NODISCARD enum status rdb_open(struct rdb_reader **out, const struct rdb_reader_options *options, struct error *error);
enum rdb_item rdb_next(struct rdb_reader *reader, struct rdb_event *event, struct error *error);
uint64_t rdb_offset(const struct rdb_reader *reader); /* bytes read, for progress */
uint64_t rdb_size(const struct rdb_reader *reader);
uint32_t rdb_version(const struct rdb_reader *reader);
void rdb_close(struct rdb_reader *reader);
