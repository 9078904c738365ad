/* What dump_pieces.c (what is written, in its turn) and dump_pieces_watch.c (what changes meanwhile) share. */
#pragma once
#include "shards/dump_pieces.h"

/* A string: now, or what is longer than DUMP_PIECE_MAX from now on. */
void dump_pieces_put_text(struct dump_pieces *pieces, struct buf *out, struct slice text);
void dump_pieces_put_rest(struct dump_pieces *pieces, struct buf *out, size_t room); /* of such a one */
void dump_pieces_put_pair(struct dump_pieces *pieces, struct buf *out, struct slice member, double score);
/* Of a table: the cursor below which a scan has passed this name. */
uint64_t dump_pieces_position(const struct dump_pieces *pieces, struct slice name);
void dump_pieces_unwatch(struct dump_pieces *pieces); /* it is watched */

/* What is being written? How many there are comes before, and then it is neither. */
bool dump_pieces_writes_table(const struct dump_pieces *pieces);
bool dump_pieces_writes_zset(const struct dump_pieces *pieces);
bool dump_pieces_writes_list(const struct dump_pieces *pieces);
bool dump_pieces_writes_stream(const struct dump_pieces *pieces);
