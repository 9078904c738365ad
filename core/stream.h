/* Stream: entries in the order of their ids, in blocks, and the groups of consumers that read them.
 *
 *      stream -> idtree of blocks by the id of their first entry -> block (core/stream_block.h)
 *             -> groups by name (core/stream_group.h)
 *
 * Blocks begin and end as Redis's nodes do. So what approximate trimming takes away, which is whole blocks, is what
 * Redis would, and a block is written to an RDB file as it is.
 *
 * Ownership a stream owns its blocks and groups; their memory is the store's. What entries point at is valid until the
 *           stream changes.
 * Thread    the shard's owner.
 * Cost      append O(bytes of the entry), amortised; delete and seek O(log blocks + bytes of a block). Trimming looks
 *           at the 8 bytes that stand for each block that goes, 42 of which share a stretch of 1 KiB; blocks that go
 *           are freed in slices. Length and bytes are known. */
#pragma once
#include "core/idtree.h"
#include "core/names.h"
#include "core/stream_block.h"

struct stream_watch;

struct stream {
    struct idtree blocks;             /* struct block_slot */
    uint64_t length;                  /* entries that are not deleted */
    struct stream_id last;            /* the highest id ever given, which XSETID may raise */
    struct stream_id first;           /* of the first entry; 0-0 when there is none */
    struct stream_id max_deleted;     /* the highest id that was taken out by its id */
    uint64_t added;                   /* entries ever, as far as is known */
    size_t block_bytes;               /* memory of the blocks */
    struct names groups;              /* struct stream_group */
    size_t group_bytes;               /* memory of the groups, with all they own */
    const struct stream_watch *watch; /* NULL: none */
};

/* A block in the tree. What is known of it without looking. */
struct block_slot {
    struct stream_id base;
    struct block *block;
    uint32_t live, bytes;
};

/* --- who reads a stream over several turns hears of each block before it changes ---
 * What is given to the watch is freed by it: a block with store_free, blocks that were cut off with
 * stream_scrap_delete. It may read the stream, must not change it, and takes itself off before one of them goes away. */
struct stream_scrap { /* blocks that were cut off in front, in their order */
    struct idtree blocks;
    /* the watch's */
    struct stream_scrap *next;
    struct stream_id to;
};
void stream_scrap_delete(const struct store *store, struct stream_scrap *scrap); /* large ones later */

struct stream_watch {
    void (*changes)(void *ctx, const struct block_slot *slot); /* entries are about to be added or marked */
    bool (*goes)(void *ctx, const struct block_slot *slot);    /* it leaves the stream; true: the watch has it */
    bool (*cut)(void *ctx, struct stream_scrap *scrap);        /* these have left it; the same */
    void (*grows)(void *ctx, const struct block_slot *last);   /* a block is about to come behind; NULL: to none */
    void *ctx;
};

struct stream *stream_new(const struct store *store);
void stream_delete(const struct store *store, struct stream *stream);               /* large ones later */
bool stream_free_some(const struct store *store, void *stream, unsigned units);     /* a store_free_some */
struct stream *stream_copy(const struct store *store, const struct stream *stream); /* O(bytes) */
size_t stream_bytes(const struct stream *stream);                                   /* memory taken. O(1) */
/* The same over several calls, between which the original stays as it is (only its blocks may move). */
struct stream_copying {
    struct stream *copy; /* complete after the last call; before that good for stream_delete alone */
    bool has_blocks;     /* the groups follow */
    uint32_t group, consumer;
    struct stream_id at; /* of the next block, or of what is pending for that consumer */
};
void stream_copy_begin(const struct store *store, struct stream_copying *copying, const struct stream *stream);
/* So many blocks, or ids that are pending; true while there are more. */
bool stream_copy_some(const struct store *store, struct stream_copying *copying, const struct stream *stream,
                      unsigned units);

/* --- entries --- */
/* id is above last. */
void stream_append(const struct store *store, struct stream *stream, const struct stream_rule *rule,
                   struct stream_id id, const struct slice *pairs, uint32_t fields);
bool stream_remove(const struct store *store, struct stream *stream, struct stream_id id); /* false: not there */
bool stream_has(const struct stream *stream, struct stream_id id);
struct stream_id stream_last_valid(const struct stream *stream); /* of the last entry; 0-0 when there is none */

/* What goes from the front: entries beyond max, or those below an id. */
struct stream_trim {
    bool by_id;
    bool exact; /* else whole blocks alone */
    uint64_t max;
    struct stream_id id;
    uint64_t limit; /* of entries in whole blocks; 0: none */
};
uint64_t stream_trim(const struct store *store, struct stream *stream, const struct stream_trim *trim); /* how many */

/* --- iterating over [from, to], forwards or backwards. Valid until the stream changes --- */
struct stream_iter {
    struct idtree_iter blocks;
    const struct block_slot *slot; /* NULL: not in a block */
    const char *at;
    struct stream_id from, to;
    bool backwards;
};
struct stream_iter stream_seek(const struct stream *stream, struct stream_id from, struct stream_id to, bool backwards);
/* Memory of the blocks that hold the first `count` of them, and some more; 0: of all. O(blocks). */
size_t stream_bytes_between(const struct stream *stream, struct stream_id from, struct stream_id to, bool backwards,
                            uint64_t count);
bool stream_next(struct stream_iter *iter, struct stream_entry *entry); /* false: that was all */

/* --- how many entries lie before an id, for groups: -1 where nobody knows. As Redis guesses --- */
bool stream_has_holes(const struct stream *stream, struct stream_id from); /* some id from here on was taken out */
int64_t stream_count_to(const struct stream *stream, struct stream_id id);

/* --- loading --- */
/* A block behind all others; false: it does not belong there. Takes it on true. length follows; the rest is the
 * caller's. */
bool stream_load_block(const struct store *store, struct stream *stream, struct stream_id base, struct block *take);
struct stream_id stream_find_first(const struct stream *stream);

void stream_check(const struct stream *stream);
