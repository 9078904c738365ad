/* Dump: streams, in the three forms that Redis ever wrote. We write the second, as Redis 7.0 does.
 *
 *      stream      nodes; length, last id, first id, highest id deleted, entries ever; groups
 *      node        id of its first entry as a string of 16 bytes, big-endian; a listpack (core/stream_block.h)
 *      group       name, last id, entries read; pending: how many, each id 16, when 8, how often; consumers
 *      consumer    name, when seen 8; pending: how many, each id 16
 *
 * Ids are two lengths but where it says bytes; times are little-endian milliseconds. The first form has no first id,
 * highest id deleted, entries ever and entries read; the third has another time of each consumer, when it was last
 * given something, which is passed over. */
#include "core/assert.h"
#include "core/stream_group.h"
#include "shards/dump_priv.h"
#include "shards/dump_stream_priv.h"
#include <endian.h>

#define IDS_AT_ONCE 512u /* of what is pending, in one part */

/* --- writing --- */

static void write_raw_id(struct buf *out, struct stream_id id) {
    uint64_t wire[2] = {htobe64(id.ms), htobe64(id.seq)};
    buf_append(out, wire, sizeof wire);
}

static void write_id(struct buf *out, struct stream_id id) {
    dump_write_length(out, id.ms);
    dump_write_length(out, id.seq);
}

static void write_time(struct buf *out, uint64_t ms) {
    uint64_t wire = htole64(ms);
    buf_append(out, &wire, sizeof wire);
}

/* Above this, readers of a listpack count its elements by themselves. */
static uint32_t count_elements(const struct block *block) {
    uint32_t count = 2; /* of the head */
    for (const char *at = block->run; at < block_end(block) && count < UINT16_MAX; count++) at = packed_next(at);
    return count;
}

static struct slice write_block(struct buf *out, const struct block_slot *slot, bool compress) {
    const struct block *block = slot->block;
    char head[BLOCK_HEAD_MAX];
    size_t head_len = block_write_head(block, head);
    struct buf run;
    dump_write_length(out, sizeof(struct stream_id));
    write_raw_id(out, slot->base);
    if (block->used > DUMP_NODE_MAX) {
        dump_write_listpack_head(out, head_len + block->used, count_elements(block));
        buf_append(out, head, head_len);
        return slice_of(block->run, block->used);
    }
    buf_init(&run, out->heap, out->owner);
    buf_append(&run, head, head_len);
    buf_append(&run, block->run, block->used);
    struct slice bytes = buf_slice(&run);
    dump_write_listpack(out, &(struct packed){bytes.ptr, bytes.ptr + bytes.len, count_elements(block)}, compress);
    buf_deinit(&run);
    return (struct slice){0};
}

static void write_meta(struct buf *out, const struct stream *stream) {
    dump_write_length(out, stream->length);
    write_id(out, stream->last);
    write_id(out, stream->first);
    write_id(out, stream->max_deleted);
    dump_write_length(out, stream->added);
    dump_write_length(out, stream->groups.count);
}

static void write_group(struct buf *out, const struct stream_group *group, bool compress) {
    dump_write_string(out, group->name, compress);
    write_id(out, group->last);
    dump_write_length(out, (uint64_t)group->read);
    dump_write_length(out, group->pending.count);
}

/* False: there are no more. */
static bool write_pending(struct buf *out, struct idtree_iter *iter) {
    const struct pending *pending = NULL;
    for (unsigned i = 0; i < IDS_AT_ONCE && (pending = idtree_next(iter)); i++) {
        write_raw_id(out, pending->id);
        write_time(out, pending->delivered_ms);
        dump_write_length(out, pending->deliveries);
    }
    return pending != NULL;
}

static void write_consumer(struct buf *out, const struct stream_consumer *consumer, bool compress) {
    dump_write_string(out, consumer->name, compress);
    write_time(out, consumer->seen_ms);
    dump_write_length(out, consumer->pending.count);
}

static bool write_ids(struct buf *out, struct idtree_iter *iter) {
    const struct stream_id *id = NULL;
    for (unsigned i = 0; i < IDS_AT_ONCE && (id = idtree_next(iter)); i++) write_raw_id(out, *id);
    return id != NULL;
}

void dump_stream_begin(struct dump_stream *dump, const struct entry *entry) {
    const struct stream *stream = entry_object(entry);
    *dump = (struct dump_stream){.stream = stream, .then = *stream, .left = stream->blocks.count};
    dump->iter = idtree_begin(&stream->blocks);
}

/* The next group begins, or the stream ends. */
static enum dump_stream_part next_group(const struct dump_stream *dump) {
    return dump->group < dump->then.groups.count ? DUMP_GROUP : DUMP_END;
}

static enum dump_stream_part next_consumer(struct dump_stream *dump, const struct stream_group *group) {
    if (dump->consumer < group->consumers.count) return DUMP_CONSUMER;
    dump->group++;
    return next_group(dump);
}

static void write_group_part(struct dump_stream *dump, struct buf *out, bool compress) {
    const struct stream_group *group = stream_group_at(dump->stream, dump->group);
    switch (dump->part) {
    case DUMP_GROUP:
        write_group(out, group, compress);
        dump->iter = idtree_begin(&group->pending);
        dump->part = DUMP_PENDING;
        break;
    case DUMP_PENDING:
        if (!write_pending(out, &dump->iter)) dump->part = DUMP_CONSUMER_COUNT;
        break;
    case DUMP_CONSUMER_COUNT:
        dump_write_length(out, group->consumers.count);
        dump->consumer = 0;
        dump->part = next_consumer(dump, group);
        break;
    case DUMP_CONSUMER:
        write_consumer(out, stream_consumer_at(group, dump->consumer), compress);
        dump->iter = idtree_begin(&stream_consumer_at(group, dump->consumer)->pending);
        dump->part = DUMP_CONSUMER_IDS;
        break;
    default: /* DUMP_CONSUMER_IDS */
        if (write_ids(out, &dump->iter)) break;
        dump->consumer++;
        dump->part = next_consumer(dump, group);
        break;
    }
}

static const struct block_slot *next_block(struct dump_stream *dump) {
    const struct block_slot *slot = dump->watched ? dump_stream_watched_block(dump) : idtree_next(&dump->iter);
    ASSERT(slot);
    dump->at = slot->base;
    dump->left--;
    return slot;
}

bool dump_stream_next(struct dump_stream *dump, struct buf *out, bool compress) {
    dump->rest = (struct slice){0};
    switch ((enum dump_stream_part)dump->part) {
    case DUMP_NODE_COUNT:
        dump_write_length(out, dump->left);
        dump->part = DUMP_NODES;
        return true;
    case DUMP_NODES:
        if (dump->left > 0)
            dump->rest = write_block(out, next_block(dump), compress);
        else
            dump->part = DUMP_META;
        return true;
    case DUMP_META:
        write_meta(out, &dump->then);
        dump->part = dump->watched && dump_stream_has_staged(dump) ? DUMP_STAGED : next_group(dump);
        return true;
    case DUMP_STAGED:
        if (!dump_stream_put_staged(dump, out)) dump->part = DUMP_END;
        return true;
    case DUMP_END: return false;
    default: write_group_part(dump, out, compress); return true;
    }
}

struct dump_stream dump_stream_groups(const struct dump_stream *dump) {
    struct dump_stream groups = *dump;
    groups.watched = NULL;
    groups.part = next_group(&groups);
    return groups;
}

void dump_write_stream(struct buf *out, const struct entry *entry, bool compress) {
    struct dump_stream dump;
    dump_stream_begin(&dump, entry);
    while (dump_stream_next(&dump, out, compress)) {
        if (dump.rest.len == 0) continue;
        buf_append_slice(out, dump.rest);
        dump_put_byte(out, DUMP_NODE_END);
    }
}

/* --- reading --- */

/* What is being read, and where to. */
struct reading {
    struct slice *rest;
    const struct dump_target *target;
    struct stream *stream;
    unsigned form; /* 1, 2 or 3 */
};

static bool read_id(struct reading *reading, struct stream_id *id) {
    return dump_read_length(reading->rest, &id->ms) && dump_read_length(reading->rest, &id->seq);
}

static bool read_raw_id(struct slice *rest, struct stream_id *id) {
    struct slice raw;
    uint64_t wire[2];
    if (!dump_take(rest, sizeof wire, &raw)) return false;
    memcpy(wire, raw.ptr, sizeof wire);
    *id = (struct stream_id){be64toh(wire[0]), be64toh(wire[1])};
    return true;
}

static bool read_time(struct reading *reading, uint64_t *ms) {
    struct slice raw;
    if (!dump_take(reading->rest, sizeof *ms, &raw)) return false;
    memcpy(ms, raw.ptr, sizeof *ms);
    *ms = le64toh(*ms);
    return true;
}

static bool read_block(struct reading *reading) {
    const struct store *store = reading->target->store;
    struct slice text;
    struct stream_id base;
    struct packed run;
    if (!dump_read_string(reading->rest, reading->target->scratch, &text) || text.len != sizeof base) return false;
    if (!read_raw_id(&text, &base)) return false;
    if (!dump_read_string(reading->rest, reading->target->scratch, &text) || !dump_open_listpack(text, &run))
        return false;
    struct block *block = block_read(store, base, &run);
    if (!block) return false;
    if (stream_load_block(store, reading->stream, base, block)) return true;
    store_free(store, block, block_size(block));
    return false;
}

static bool read_meta(struct reading *reading) {
    struct stream *stream = reading->stream;
    struct stream_id first;
    uint64_t length;
    if (!dump_read_length(reading->rest, &length) || length != stream->length) return false;
    if (!read_id(reading, &stream->last)) return false;
    stream->first = stream_find_first(stream);
    stream->added = length;
    if (stream_id_compare(stream->last, stream_last_valid(stream)) < 0) return false;
    if (reading->form == 1) return true;
    return read_id(reading, &first) && read_id(reading, &stream->max_deleted) &&
           dump_read_length(reading->rest, &stream->added);
}

static bool read_pending(struct reading *reading, struct stream_group *group) {
    struct stream_id id;
    uint64_t ms, deliveries;
    if (!read_raw_id(reading->rest, &id) || !read_time(reading, &ms) || !dump_read_length(reading->rest, &deliveries))
        return false;
    struct pending *pending = stream_pending_load(reading->target->store, reading->stream, group, id);
    if (!pending) return false;
    pending->delivered_ms = ms;
    pending->deliveries = deliveries;
    return true;
}

static bool read_consumer(struct reading *reading, struct stream_group *group) {
    const struct store *store = reading->target->store;
    struct slice name;
    struct stream_id id;
    uint64_t seen_ms, active_ms, left;
    if (!dump_read_string(reading->rest, reading->target->scratch, &name) || stream_consumer_find(group, name))
        return false;
    struct stream_consumer *consumer = stream_consumer_add(store, reading->stream, group, name, 0);
    if (!read_time(reading, &seen_ms) || (reading->form == 3 && !read_time(reading, &active_ms))) return false;
    if (!dump_read_length(reading->rest, &left)) return false;
    consumer->seen_ms = seen_ms;
    for (; left > 0; left--)
        if (!read_raw_id(reading->rest, &id) || !stream_pending_claim(store, reading->stream, group, id, consumer))
            return false;
    return true;
}

/* How often the reader has to succeed is what stands in front. */
static bool read_many(struct reading *reading, struct stream_group *group,
                      bool (*read)(struct reading *reading, struct stream_group *group)) {
    uint64_t left;
    if (!dump_read_length(reading->rest, &left)) return false;
    for (; left > 0; left--)
        if (!read(reading, group)) return false;
    return true;
}

static bool all_claimed(const struct stream_group *group) {
    uint64_t claimed = 0;
    for (uint32_t i = 0; i < group->consumers.count; i++) claimed += stream_consumer_at(group, i)->pending.count;
    return claimed == group->pending.count;
}

static bool read_group(struct reading *reading) {
    struct slice name;
    struct stream_id last;
    uint64_t read;
    if (!dump_read_string(reading->rest, reading->target->scratch, &name) || stream_group_find(reading->stream, name))
        return false;
    struct stream_group *group = stream_group_add(reading->target->store, reading->stream, name, STREAM_ID_MIN, 0);
    if (!read_id(reading, &last)) return false;
    if (reading->form == 1) /* does not say, and is guessed */
        read = (uint64_t)stream_count_to(reading->stream, last);
    else if (!dump_read_length(reading->rest, &read))
        return false;
    group->last = last;
    group->read = (int64_t)read;
    return read_many(reading, group, read_pending) && read_many(reading, group, read_consumer) && all_claimed(group);
}

static bool read_all(struct reading *reading) {
    uint64_t blocks, groups;
    if (!dump_read_length(reading->rest, &blocks)) return false;
    for (; blocks > 0; blocks--)
        if (!read_block(reading)) return false;
    if (!read_meta(reading) || !dump_read_length(reading->rest, &groups)) return false;
    for (; groups > 0; groups--)
        if (!read_group(reading)) return false;
    return true;
}

static struct entry *read_stream(struct slice *rest, const struct dump_target *target, unsigned form) {
    struct reading reading = {rest, target, stream_new(target->store), form};
    if (read_all(&reading))
        return entry_new_object(target->store, target->key, TYPE_STREAM, reading.stream, target->deadline_ms);
    stream_delete(target->store, reading.stream);
    return NULL;
}

struct entry *dump_read_stream(struct slice *rest, const struct dump_target *target) {
    return read_stream(rest, target, 1);
}
struct entry *dump_read_stream_2(struct slice *rest, const struct dump_target *target) {
    return read_stream(rest, target, 2);
}
struct entry *dump_read_stream_3(struct slice *rest, const struct dump_target *target) {
    return read_stream(rest, target, 3);
}
