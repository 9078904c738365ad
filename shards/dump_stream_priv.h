/* What dump_stream.c (the parts, in their turn) and dump_stream_watch.c (what changes meanwhile) share. */
#pragma once
#include "shards/dump_stream.h"

enum dump_stream_part {
    DUMP_NODE_COUNT,
    DUMP_NODES,
    DUMP_META,
    DUMP_STAGED, /* all groups, which were written aside; else one after the other: */
    DUMP_GROUP,
    DUMP_PENDING,
    DUMP_CONSUMER_COUNT,
    DUMP_CONSUMER,
    DUMP_CONSUMER_IDS,
    DUMP_END,
};

struct dump_stream dump_stream_groups(const struct dump_stream *dump); /* of the groups alone */

/* Watched: the next of the blocks that there were; valid until the next call. O(log blocks). */
const struct block_slot *dump_stream_watched_block(struct dump_stream *dump);
bool dump_stream_has_staged(const struct dump_stream *dump);
bool dump_stream_put_staged(struct dump_stream *dump, struct buf *out); /* some of it; false: that was all */
