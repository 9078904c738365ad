/* RDB, written: what a checkpoint's file and an export are made of. (essay: helper RDB) */
#pragma once
#include "core/buf.h"
#include "core/value.h"

#define RDB_VERSION 11

void rdb_write_header(struct buf *out);
void rdb_write_aux(struct buf *out, struct slice key, struct slice value);
void rdb_write_database(struct buf *out, uint32_t db, uint64_t keys, uint64_t timed); /* SELECTDB, RESIZEDB */
void rdb_write_end(struct buf *out, uint64_t crc);                                    /* EOF and checksum */

/* One key: deadline, type, key, value. A small value is written whole. A large one in pieces: call rdb_writer_next until it
 * returns false; the entry stays as it is in between. */
struct rdb_writer {
    const struct entry *entry;
    uint64_t stage, position[4]; /* private */
    void *private_state;
};
bool rdb_is_large(const struct entry *entry);
void rdb_write_entry(struct buf *out, const struct entry *entry); /* O(bytes) */
void rdb_writer_begin(struct rdb_writer *writer, const struct entry *entry);
/* Appends about `bytes` more (a single string may exceed it; strings above 1 MiB come in pieces too). True: call again. */
bool rdb_writer_next(struct rdb_writer *writer, struct buf *out, size_t bytes);
void rdb_writer_end(struct rdb_writer *writer);
