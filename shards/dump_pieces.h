/* Dump in pieces: a value too large to be written at once, as an object that any Redis reads, a bounded piece per call.
 *
 * Collections are written element by element, in the plain forms of RDB (a length and strings), whatever the form that
 * dump_write_object would choose: Redis makes what its limits say of them when it loads them, and so do we. A list goes
 * node by node. A string above DUMP_COMPRESS_MAX is never compressed, which would take too long in one go, and one
 * above DUMP_PIECE_MAX is itself written in pieces.
 *
 * Between calls the entry stays as it is: nobody changes, deletes or moves it. Reading it is fine.
 * Memory    the addresses of the elements of one bucket of a table.
 * Thread    the shard's owner. Cost: a call O(bytes asked for), and up to DUMP_PIECE_MAX more. */
#pragma once
#include "shards/dump.h"
#include "shards/dump_stream.h"
#include "shards/zset.h"

#define DUMP_LARGE_MIN    (64u * 1024)  /* bytes of memory: what takes less is written at once, in 0.1 to 0.5 ms */
#define DUMP_COMPRESS_MAX (256u * 1024) /* bytes of a string: compressing it takes about 1 ms */
#define DUMP_PIECE_MAX    (1024u * 1024)
#define DUMP_PASSED_MAX   (32u * 1024 * 1024) /* some 400,000 names */

struct dump_pieces;
typedef bool (*dump_step)(struct dump_pieces *pieces,
                          struct buf *out); /* writes one more thing; false: there is none */

struct dump_pieces { /* all private */
    const struct entry *entry;
    bool compress;
    dump_step step;
    uint64_t left;     /* elements, or nodes, or texts of a table, not written yet */
    struct slice rest; /* of a long string that is being written */
    char tail[8];      /* what follows it */
    unsigned tail_len;
    const char *at;                    /* in a run */
    const struct quicklist_node *node; /* written last, of a list that is not watched */
    struct quicklist_past *past;       /* of one that is */
    struct zset_iter iter;
    uint64_t rank; /* of a sorted set: so many elements lie ahead */
    bool moved;    /* it has changed, and iter is to be found anew */
    struct dump_stream stream;
    uint64_t cursor;
    struct buf texts; /* slices: what the last scan found */
    size_t next;      /* of them */
    /* watched */
    const struct store *store; /* NULL: it is not */
    struct table_watch watch;
    struct score_watch score_watch;
    struct members *passed; /* names that lie ahead and are new or changed: to be passed over */
    size_t passing;         /* what passing over some has cost since the call began, in bytes that could be written */
    struct buf *out;
};

/* Is it worth writing in pieces? O(1). */
bool dump_is_large(const struct entry *entry);
unsigned dump_pieces_type(const struct entry *entry); /* the type byte of what is written in pieces */
void dump_pieces_begin(struct dump_pieces *pieces, const struct entry *entry, bool compress);
/* Appends about `bytes` more of the object; false when that was all. Every out is of the same heap. */
NODISCARD bool dump_pieces_next(struct dump_pieces *pieces, struct buf *out, size_t bytes);
/* From here on elements may change; what is written is what there was when it began. What changes is written before, to
 * out, which is where the pieces go. Before each command that changes some, dump_pieces_ready must say yes. To be called
 * between two pieces; false: it must not change, yet or at all. Seed: see members_new. Memory: the names that change before
 * they are written, about DUMP_PASSED_MAX. */
bool dump_pieces_watch(struct dump_pieces *pieces, const struct store *store, const struct hash_seed *seed,
                       struct buf *out);
bool dump_pieces_ready(const struct dump_pieces *pieces);
bool dump_pieces_groups_may_change(const struct dump_pieces *pieces); /* watched: of a stream, its groups, too */
void dump_pieces_end(struct dump_pieces *pieces);                     /* at any time */
