/* Stream block: some consecutive entries of a stream in one stretch of memory, as Redis lays out its nodes.
 *
 *      run      | fields of the first entry: how many, name ..., 0 | entry | entry | ...
 *      entry    | flags | ms and number less the block's id | names and values, or values | elements of the entry |
 *
 * All are elements of core/packed.h. In an RDB file there is a listpack of these elements, with the numbers of live and
 * of deleted entries in front (block_write_head). An entry with the same names as the first one in the block has no
 * names of its own. One that is deleted is marked and stays until all of its block are: blocks are what approximate
 * trimming takes away, and which entries share one is visible to clients (XTRIM MAXLEN ~), so it is as in Redis: see
 * block_is_full.
 *
 * The block's id is that of its first entry, also when that is deleted. It stands with whoever has the block.
 *
 * Ownership whoever holds it; memory is the store's. Thread: any one. Cost: O(bytes of the entries passed). */
#pragma once
#include "core/packed.h"
#include "core/store.h"
#include "core/stream_id.h"

struct block {
    uint32_t cap, used;
    uint32_t live, dead; /* entries, and those that are only marked */
    uint32_t fields;     /* of the first entry */
    uint32_t entries_at; /* where the first entry begins */
    char run[];
};

/* When a new block begins. 0: no limit. */
struct stream_rule {
    uint64_t block_bytes;
    int64_t block_entries;
};
#define BLOCK_BYTES_MAX (1u << 30) /* whatever the rule says, and of an entry */

struct stream_entry {
    struct stream_id id;
    uint64_t fields;
    const char *at;    /* of a mark: what is deleted is not shown */
    const char *names; /* of the block's; NULL: the entry has its own */
    const char *next;  /* values, or names and values in turn */
};

size_t block_size(const struct block *block); /* for store_free and store_block_size */

/* --- writing --- */
/* A block that is to begin with an entry of these fields (names and values in turn, `fields` pairs). */
struct block *block_new(const struct store *store, const struct slice *pairs, uint32_t fields);
/* Is an entry, whose names and values have so many bytes, to go to another block? */
bool block_is_full(const struct block *block, const struct stream_rule *rule, uint64_t bytes);
/* Appends; returns the block, which may have moved. id is above all in it, and not below base, the block's id. */
struct block *block_append(const struct store *store, struct block *take, struct stream_id base, struct stream_id id,
                           const struct slice *pairs, uint32_t fields);
struct block *block_shrink(const struct store *store, struct block *take); /* nothing comes any more */
struct block *block_copy(const struct store *store, const struct block *block);
/* The same between threads: its bytes, and a block of such bytes. */
struct slice block_bytes(const struct block *block);
struct block *block_of_bytes(const struct store *store, struct slice bytes);
/* Marks an entry that block_next or block_prev found. Not the last live one: then the whole block should go. */
void block_mark_deleted(struct block *block, const struct stream_entry *entry);

/* --- reading; at is a place between two entries --- */
HOT_INLINE const char *block_begin(const struct block *block) {
    return block->run + block->entries_at;
}
HOT_INLINE const char *block_end(const struct block *block) {
    return block->run + block->used;
}
/* The entry behind `at`, or before it; returns where it ends, or begins. at is not the end, or the beginning. */
const char *block_next(const struct block *block, struct stream_id base, const char *at, struct stream_entry *entry);
const char *block_prev(const struct block *block, struct stream_id base, const char *at, struct stream_entry *entry);
bool stream_entry_is_deleted(const struct stream_entry *entry);
/* The next field of an entry; `fields` says how often. Moves next (and names). */
void stream_entry_field(struct stream_entry *entry, struct packed_value *name, struct packed_value *value);

/* --- files --- */
#define BLOCK_HEAD_MAX 22u /* bytes of the two numbers in front of a run */
size_t block_write_head(const struct block *block, char head[BLOCK_HEAD_MAX]); /* returns how many */
/* A block of a whole listpack's elements. NULL: they are no block. */
struct block *block_read(const struct store *store, struct stream_id base, const struct packed *elements);

void block_check(const struct block *block, struct stream_id base);
