/* Files for the tests of RDB: written from bytes, read into what a test can compare. */
#pragma once
#include "persist/rdb_read.h"
#include "persist/rdb_write.h"
#include "tests/support/entries.h"

/* A directory of this process's own, made at the first call; rdb_files_remove removes it with all that is in it. */
const char *rdb_files_dir(void);
const char *rdb_files_path(const char *name); /* in it; valid until the next call but three */
void rdb_files_remove(void);

void rdb_file_put(const char *path, struct slice bytes);
/* Behind what is there: the end with its checksum. */
void rdb_finish(struct buf *file);

/* What is in a file, in any order of keys. */
struct rdb_content {
    enum rdb_item end; /* RDB_END or RDB_BROKEN */
    uint64_t keys, skipped, timed, aux;
    uint64_t digest; /* over databases, keys, deadlines and values */
    struct error error;
};
uint64_t rdb_key_digest(uint32_t db, const struct entry *entry);
/* options: path, takes, ctx and build; the rest is done here. Entries are deleted. */
struct rdb_content rdb_file_read(struct entries *entries, const struct rdb_reader_options *options);
