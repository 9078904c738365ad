/* RDB, written: what a checkpoint's file and an export are made of. Version 10: Redis 7.0 refuses a larger number, and
 * nothing that is written here is newer.
 *
 *      REDIS0010 | AUX ... | SELECTDB RESIZEDB | key ... | SELECTDB RESIZEDB | key ... | EOF | crc64 8 |
 *      key       [EXPIRETIME_MS 8] [IDLE seconds | FREQ 1] type key object
 *
 * AUX fields may stand anywhere between keys. A value is written as DUMP writes it (shards/dump.h); what is large is
 * written in pieces (shards/dump_pieces.h), in a form that Redis and we load as the same value. Keys are not
 * compressed.
 *
 * Ownership all bytes go to the caller's buf; files are the caller's, too, and so is the running checksum: crc64 of all
 *           that was written, which rdb_write_end completes.
 * Threads   the shard's owner. Cost: O(bytes appended). Failure: none; memory that is gone stops us. */
#pragma once
#include "core/buf.h"
#include "core/lfu.h"
#include "core/value.h"
#include "shards/dump_pieces.h"

#define RDB_VERSION 10

void rdb_write_header(struct buf *out);
void rdb_write_aux(struct buf *out, struct slice key, struct slice value);
void rdb_write_database(struct buf *out, uint32_t db, uint64_t keys, uint64_t timed); /* SELECTDB, RESIZEDB */
/* EOF and checksum; crc is that of all bytes before. */
void rdb_write_end(struct buf *out, uint64_t crc);

/* Trying to compress what does not get smaller costs five times as much as writing it. After a number of values in vain
 * the next ones are written as they are, and then it is tried again: noise costs 2% more than without compression, and
 * where at least one value in ten or so gets smaller nothing is given up. One per file, zeroed; the caller's. */
struct rdb_thrift {
    uint32_t in_vain, pause; /* values: tried since the last that got smaller; still to be written without trying */
};

/* How keys are written. */
enum rdb_usage { RDB_USAGE_NONE, RDB_USAGE_IDLE, RDB_USAGE_FREQ };
struct rdb_style {
    bool compress;             /* as rdbcompression says; strings up to DUMP_COMPRESS_MAX */
    struct rdb_thrift *thrift; /* NULL: whatever it costs */
    enum rdb_usage usage;      /* as Redis: IDLE under an LRU policy, FREQ under an LFU policy, else nothing */
    uint32_t clock; /* what an access field is compared with: LRU seconds (24 bits), or minutes (keyspace_minutes) */
    struct lfu_rule lfu;
};

/* One key. A small value is written whole. A large one in pieces: call rdb_writer_next until it returns false; the
 * entry stays where and as it is in between, and all bufs have one heap. */
struct rdb_writer {
    const struct entry *entry; /* all private */
    struct rdb_style style;
    bool begun;
    size_t plain, written; /* bytes; plain 0: says nothing about compression */
    struct dump_pieces pieces;
};
bool rdb_is_large(const struct entry *entry); /* takes more than DUMP_LARGE_MIN of memory */
void rdb_write_entry(struct buf *out, const struct entry *entry, const struct rdb_style *style);
void rdb_writer_begin(struct rdb_writer *writer, const struct entry *entry, const struct rdb_style *style);
/* Appends about `bytes` more, by up to DUMP_PIECE_MAX too many. True: call again. */
NODISCARD bool rdb_writer_next(struct rdb_writer *writer, struct buf *out, size_t bytes);
/* dump_pieces_watch, _ready and _groups_may_change, between two calls of rdb_writer_next. */
bool rdb_writer_watch(struct rdb_writer *writer, const struct store *store, const struct hash_seed *seed,
                      struct buf *out);
bool rdb_writer_ready(const struct rdb_writer *writer);
bool rdb_writer_groups_may_change(const struct rdb_writer *writer);
void rdb_writer_end(struct rdb_writer *writer); /* also when it is given up in the middle */
