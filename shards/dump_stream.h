/* Dump of a stream, part by part: each is bounded, but for a node that is one long entry, whose bytes are left to the
 * caller. Shared by dump_stream.c, which writes one part after the other, and dump_pieces.c, which writes some per
 * call.
 *
 * Between calls the stream stays as it is. */
#pragma once
#include "core/buf.h"
#include "core/idtree.h"
#include "core/value.h"

struct stream;

#define DUMP_NODE_MAX (256u * 1024) /* bytes of a node that are written, and compressed, at once */

struct dump_stream {
    const struct stream *stream;
    unsigned part; /* what comes next */
    uint32_t group, consumer;
    struct idtree_iter iter;
    struct slice rest; /* after a call: what comes next in out, before another call; behind it DUMP_NODE_END */
};
#define DUMP_NODE_END 0xffu

void dump_stream_begin(struct dump_stream *dump, const struct entry *entry);
/* The next part; false: that was all. */
bool dump_stream_next(struct dump_stream *dump, struct buf *out, bool compress);
