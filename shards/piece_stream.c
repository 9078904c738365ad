/* Pieces of a stream. The cursor says at which part reading goes on: the next block's id, or group and consumer by
 * their places and the next id that is pending. Names are sorted, so whoever adds them finds the group and the consumer
 * that came last at the end. */
#include "shards/piece_stream.h"
#include "core/assert.h"
#include "core/stream_group.h"

enum part { PART_END, PART_META, PART_BLOCKS, PART_GROUP, PART_CONSUMER, PART_PENDING }; /* of cursor->at */

#define STEPS_SHARE 8 /* a block, or an id that is pending, costs as much as so many elements */

static void add_words(struct buf *piece, char letter, const void *words, size_t size) {
    buf_append(piece, &letter, 1);
    buf_append(piece, words, size);
}

/* --- reading --- */

struct meta {
    struct stream_id last, first, max_deleted;
    uint64_t added;
};

static enum part read_meta(const struct stream *stream, struct buf *piece) {
    struct meta meta = {stream->last, stream->first, stream->max_deleted, stream->added};
    add_words(piece, 'm', &meta, sizeof meta);
    return PART_BLOCKS;
}

static enum part read_block(const struct stream *stream, struct piece_cursor *cursor, struct buf *piece) {
    struct idtree_iter iter = idtree_seek(&stream->blocks, cursor->id);
    const struct block_slot *slot = idtree_next(&iter);
    if (!slot) return PART_GROUP;
    add_words(piece, 'b', &slot->base, sizeof slot->base);
    piece_add(piece, block_bytes(slot->block));
    cursor->id = slot->base;
    return stream_id_step(&cursor->id) ? PART_BLOCKS : PART_GROUP; /* no id is above the highest */
}

static enum part read_group(const struct stream *stream, struct piece_cursor *cursor, struct buf *piece) {
    if (cursor->group == stream->groups.count) return PART_END;
    const struct stream_group *group = stream_group_at(stream, cursor->group);
    buf_append(piece, "g", 1);
    piece_add(piece, group->name);
    buf_append(piece, &group->last, sizeof group->last);
    buf_append(piece, &group->read, sizeof group->read);
    cursor->consumer = 0;
    return PART_CONSUMER;
}

static enum part read_consumer(const struct stream *stream, struct piece_cursor *cursor, struct buf *piece) {
    const struct stream_group *group = stream_group_at(stream, cursor->group);
    if (cursor->consumer == group->consumers.count) {
        cursor->group++;
        return PART_GROUP;
    }
    const struct stream_consumer *consumer = stream_consumer_at(group, cursor->consumer);
    buf_append(piece, "c", 1);
    piece_add(piece, consumer->name);
    buf_append(piece, &consumer->seen_ms, sizeof consumer->seen_ms);
    cursor->id = STREAM_ID_MIN;
    return PART_PENDING;
}

struct wire_pending {
    struct stream_id id;
    uint64_t delivered_ms, deliveries;
};

static enum part read_pending(const struct stream *stream, struct piece_cursor *cursor, struct buf *piece) {
    const struct stream_group *group = stream_group_at(stream, cursor->group);
    const struct stream_consumer *consumer = stream_consumer_at(group, cursor->consumer);
    struct idtree_iter iter = idtree_seek(&consumer->pending, cursor->id);
    const struct stream_id *id = idtree_next(&iter);
    if (id) {
        const struct pending *pending = stream_pending_find(group, *id);
        struct wire_pending wire = {*id, pending->delivered_ms, pending->deliveries};
        add_words(piece, 'p', &wire, sizeof wire);
        cursor->id = *id;
        if (stream_id_step(&cursor->id)) return PART_PENDING;
    }
    cursor->consumer++;
    return PART_CONSUMER;
}

void piece_read_stream(const struct stream *stream, struct piece_cursor *cursor, uint32_t max, struct buf *piece,
                       size_t end) {
    enum part part = cursor->at ? (enum part)cursor->at : PART_META;
    for (uint32_t steps = max / STEPS_SHARE + 1; part != PART_END && steps > 0 && piece->len < end; steps--) {
        switch (part) {
        case PART_META: part = read_meta(stream, piece); break;
        case PART_BLOCKS: part = read_block(stream, cursor, piece); break;
        case PART_GROUP: part = read_group(stream, cursor, piece); break;
        case PART_CONSUMER: part = read_consumer(stream, cursor, piece); break;
        default: part = read_pending(stream, cursor, piece);
        }
    }
    cursor->at = part;
}

/* --- adding --- */

static struct stream_id take_id(struct slice *piece) {
    struct stream_id id;
    piece_take(piece, &id, sizeof id);
    return id;
}

static uint64_t take_word(struct slice *piece) {
    uint64_t word;
    piece_take(piece, &word, sizeof word);
    return word;
}

static void add_meta(struct stream *stream, struct slice *piece) {
    struct meta meta;
    piece_take(piece, &meta, sizeof meta);
    stream->last = meta.last;
    stream->first = meta.first;
    stream->max_deleted = meta.max_deleted;
    stream->added = meta.added;
}

static void add_block(const struct store *store, struct stream *stream, struct slice *piece) {
    struct stream_id base = take_id(piece);
    bool belongs = stream_load_block(store, stream, base, block_of_bytes(store, piece_next(piece)));
    ASSERT(belongs);
}

static void add_group(const struct store *store, struct stream *stream, struct slice *piece) {
    struct slice name = piece_next(piece);
    struct stream_id last = take_id(piece);
    (void)stream_group_add(store, stream, name, last, (int64_t)take_word(piece));
}

static struct stream_group *last_group(const struct stream *stream) {
    ASSERT(stream->groups.count > 0);
    return stream_group_at(stream, stream->groups.count - 1);
}

static void add_consumer(const struct store *store, struct stream *stream, struct slice *piece) {
    struct slice name = piece_next(piece);
    (void)stream_consumer_add(store, stream, last_group(stream), name, take_word(piece));
}

static void add_pending(const struct store *store, struct stream *stream, struct slice *piece) {
    struct stream_group *group = last_group(stream);
    struct wire_pending wire;
    ASSERT(group->consumers.count > 0);
    piece_take(piece, &wire, sizeof wire);
    struct stream_consumer *consumer = stream_consumer_at(group, group->consumers.count - 1);
    struct pending *pending = stream_pending_give(store, stream, group, wire.id, consumer);
    pending->delivered_ms = wire.delivered_ms;
    pending->deliveries = wire.deliveries;
}

void piece_add_to_stream(const struct store *store, struct stream *stream, struct slice piece) {
    char letter;
    while (piece.len) {
        piece_take(&piece, &letter, 1);
        switch (letter) {
        case 'm': add_meta(stream, &piece); break;
        case 'b': add_block(store, stream, &piece); break;
        case 'g': add_group(store, stream, &piece); break;
        case 'c': add_consumer(store, stream, &piece); break;
        default: ASSERT(letter == 'p'); add_pending(store, stream, &piece);
        }
    }
}
