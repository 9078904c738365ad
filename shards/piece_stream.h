/* Pieces of a stream (shards/piece.h): its blocks, as they are in memory, and then its groups, each thing behind a
 * letter.
 *
 *      m | last 16 | first 16 | highest id deleted 16 | entries ever 8      before all others
 *      b | id 16 | text of the block's bytes
 *      g | name | last 16 | entries read 8
 *      c | name | when seen 8                                               of the group before it
 *      p | id 16 | delivered 8 | how often 8                                pending for the consumer before it
 *
 * Thread    any for reading a piece off its stream, the owner's for adding. Cost: O(bytes), and O(log n) for what is
 *           pending. One block is always whole: an entry of many megabytes is a long piece. */
#pragma once
#include "core/stream.h"
#include "shards/piece.h"

HOT_INLINE const struct stream *piece_stream_of(const struct entry *entry) {
    return entry_object(entry);
}
void piece_read_stream(const struct stream *stream, struct piece_cursor *cursor, uint32_t max, struct buf *piece,
                       size_t end); /* of the piece's length */
/* Pieces come in their order, the first to a new stream. */
void piece_add_to_stream(const struct store *store, struct stream *stream, struct slice piece);
