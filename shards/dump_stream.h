/* Dump of a stream, part by part: each is bounded, but for a node that is one long entry, whose bytes are left to the
 * caller. Shared by dump_stream.c, which writes one part after the other, and dump_pieces.c, which writes some per
 * call.
 *
 * Between calls the stream stays as it is, or is watched: what is written is what there was at the beginning. */
#pragma once
#include "core/buf.h"
#include "core/idtree.h"
#include "core/stream.h"
#include "core/value.h"

struct dump_stream_watched;

#define DUMP_NODE_MAX (256u * 1024) /* bytes of a node that are written, and compressed, at once */

struct dump_stream {
    const struct stream *stream;
    struct stream then;  /* what was true of the whole at the beginning: of its trees only how many there were */
    unsigned part;       /* what comes next */
    uint64_t left;       /* blocks */
    struct stream_id at; /* of the block written last */
    struct dump_stream_watched *watched; /* NULL: it is not */
    uint32_t group, consumer;
    struct idtree_iter iter;
    struct slice rest; /* after a call: what comes next in out, before another call; behind it DUMP_NODE_END */
};
#define DUMP_NODE_END 0xffu

void dump_stream_begin(struct dump_stream *dump, const struct entry *entry);
/* The next part; false: that was all. */
bool dump_stream_next(struct dump_stream *dump, struct buf *out, bool compress);

/* --- watched: entries may change between two calls (dump_stream_watch.c) ---
 * Memory    copies of blocks that change before they are written, about DUMP_KEPT_MAX; blocks that leave the stream
 *           before, which were there; the groups, if they take no more than DUMP_GROUPS_MAX. */
#define DUMP_KEPT_MAX   (1024u * 1024)
#define DUMP_GROUPS_MAX (4u * 1024 * 1024) /* of memory; as bytes of a file it is less */
/* From here on. False: it must not change yet, groups are still to be written aside; call again, after a part or some.
 * Once it is begun it has to be ended. O(bytes of groups), some 256 KiB of them. */
NODISCARD bool dump_stream_watch(struct dump_stream *dump, const struct store *store, struct heap *heap, bool compress);
bool dump_stream_ready(const struct dump_stream *dump);             /* for a command that changes some. O(log blocks) */
bool dump_stream_groups_may_change(const struct dump_stream *dump); /* they are kept as they were */
void dump_stream_unwatch(struct dump_stream *dump);
