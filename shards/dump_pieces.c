/* Dump in pieces: one step function per form of value; each call writes one element, or what precedes all of them. What
 * changes meanwhile is the affair of dump_pieces_watch.c.
 *
 * A table is visited by a scan, whose visitor only notes where the texts of a bucket are; they are written one by one
 * afterwards, because any of them may be long enough to need several calls. A table that does not change is visited
 * exactly once per element; how many were promised in front is compared with how many were written at the end. */
#include "core/assert.h"
#include "core/fields.h"
#include "shards/dump_pieces_priv.h"
#include "shards/dump_priv.h"
#include "shards/hash_value.h"
#include "shards/list.h"
#include "shards/set.h"
#include <endian.h>

#define PASSING_COST 32u /* of an element that is passed over: a look-up takes as long as writing so many bytes */

bool dump_is_large(const struct entry *entry) {
    if (entry->flags & ENTRY_FIELDS_TIMED && entry->type == TYPE_HASH) return false; /* time may change it meanwhile */
    return entry->encoding >= ENC_EXTERNAL && entry_bytes(entry) > DUMP_LARGE_MIN;
}

unsigned dump_pieces_type(const struct entry *entry) {
    switch ((enum value_type)entry->type) {
    case TYPE_LIST: return RDB_LIST_QUICKLIST_2;
    case TYPE_SET: return RDB_SET;
    case TYPE_HASH: return RDB_HASH;
    case TYPE_ZSET: return RDB_ZSET_2;
    case TYPE_STREAM: /* is written in pieces as it is at once */
    case TYPE_STRING:
    case TYPE_COUNT: break;
    }
    return dump_type_of(entry);
}

/* A string: now, or from now on. */
void dump_pieces_put_text(struct dump_pieces *pieces, struct buf *out, struct slice text) {
    if (text.len <= DUMP_PIECE_MAX) {
        dump_write_string(out, text, pieces->compress && text.len <= DUMP_COMPRESS_MAX);
        return;
    }
    dump_write_length(out, text.len);
    pieces->rest = text;
}

void dump_pieces_put_rest(struct dump_pieces *pieces, struct buf *out, size_t room) {
    size_t len = MIN(pieces->rest.len, room);
    buf_append(out, pieces->rest.ptr, len);
    pieces->rest = slice_of(pieces->rest.ptr + len, pieces->rest.len - len);
    if (pieces->rest.len > 0) return;
    buf_append(out, pieces->tail, pieces->tail_len);
    pieces->tail_len = 0;
}

static void put_value(struct dump_pieces *pieces, struct buf *out, const struct packed_value *value) {
    char scratch[PACKED_SCRATCH];
    dump_pieces_put_text(pieces, out, packed_text(value, scratch)); /* what is long enough to stay is no number */
}

/* --- strings --- */

static bool step_string(struct dump_pieces *pieces, struct buf *out) {
    char scratch[ENTRY_SCRATCH];
    if (pieces->left == 0) return false;
    pieces->left = 0;
    dump_pieces_put_text(pieces, out, entry_string(pieces->entry, scratch));
    return true;
}

/* --- lists --- */

static bool step_list(struct dump_pieces *pieces, struct buf *out) {
    struct packed run;
    struct packed_value value;
    if (pieces->left == 0) return false;
    if (!pieces->past) pieces->node = quicklist_walk(entry_object(pieces->entry), pieces->node, &run);
    bool more = pieces->past ? quicklist_past_next(pieces->past, &run) : pieces->node != NULL;
    ASSERT(more);
    pieces->left--;
    (void)packed_read(run.begin, &value);
    if (value.is_int || value.text.len < DUMP_PIECE_MAX) {
        dump_write_list_node(out, &run, pieces->compress && run.end - run.begin <= (ptrdiff_t)DUMP_COMPRESS_MAX);
        return true;
    }
    ASSERT(run.count == 1); /* an element larger than a node has one of its own */
    dump_write_list_plain(out);
    dump_pieces_put_text(pieces, out, value.text);
    return true;
}

/* --- runs of fields and values --- */

static bool step_run(struct dump_pieces *pieces, struct buf *out) {
    struct packed_value value;
    if (pieces->left == 0) return false;
    pieces->left--;
    pieces->at = packed_read(pieces->at, &value);
    put_value(pieces, out, &value);
    return true;
}

/* --- tables --- */

static bool is_set(const struct dump_pieces *pieces) {
    return pieces->entry->type == TYPE_SET;
}

uint64_t dump_pieces_position(const struct dump_pieces *pieces, struct slice name) {
    void *object = entry_object(pieces->entry);
    return is_set(pieces) ? members_position(object, name) : fields_position(object, name);
}

/* A table that was resized meanwhile has other buckets: what lies before the cursor was in one that was visited. */
static bool is_to_come(struct dump_pieces *pieces, struct slice name) {
    if (!pieces->store || (dump_pieces_position(pieces, name) >= pieces->cursor && !members_has(pieces->passed, name)))
        return true;
    pieces->passing += PASSING_COST;
    return false;
}

static void note(struct dump_pieces *pieces, struct slice text) {
    buf_append(&pieces->texts, &text, sizeof text);
}

static void note_member(void *ctx, struct slice text) {
    if (is_to_come(ctx, text)) note(ctx, text);
}

static void note_field(void *ctx, const struct field *field) {
    if (!is_to_come(ctx, field_name(field))) return;
    note(ctx, field_name(field));
    note(ctx, field_value(field));
}

static void scan_some(struct dump_pieces *pieces, struct heap *heap) {
    void *object = entry_object(pieces->entry);
    buf_set_heap(&pieces->texts, heap);
    pieces->texts.len = pieces->next = 0;
    pieces->cursor = is_set(pieces) ? members_scan(object, pieces->cursor, note_member, pieces)
                                    : fields_scan(object, pieces->cursor, note_field, pieces);
    ASSERT(pieces->cursor > 0 || pieces->texts.len == pieces->left * sizeof(struct slice));
}

static bool step_table(struct dump_pieces *pieces, struct buf *out) {
    struct slice text;
    if (pieces->left == 0) return false;
    if (pieces->next == pieces->texts.len) {
        scan_some(pieces, out->heap);
        return true;
    }
    memcpy(&text, pieces->texts.data + pieces->next, sizeof text);
    pieces->next += sizeof text;
    pieces->left--;
    dump_pieces_put_text(pieces, out, text);
    return true;
}

/* --- sorted sets --- */

void dump_pieces_put_pair(struct dump_pieces *pieces, struct buf *out, struct slice member, double score) {
    uint64_t bits;
    memcpy(&bits, &score, sizeof bits);
    bits = htole64(bits);
    dump_pieces_put_text(pieces, out, member);
    if (pieces->rest.len == 0) {
        buf_append(out, &bits, sizeof bits);
    } else {
        memcpy(pieces->tail, &bits, sizeof bits);
        pieces->tail_len = sizeof bits;
    }
}

static bool step_zset(struct dump_pieces *pieces, struct buf *out) {
    struct zset_pair pair;
    if (pieces->left == 0) return false;
    if (pieces->moved) pieces->iter = zset_seek(pieces->entry, pieces->rank);
    pieces->moved = false;
    bool more = zset_prev(&pieces->iter, &pair);
    ASSERT(more);
    pieces->rank--;
    if (pieces->store && members_remove(pieces->store, pieces->passed, pair.member)) {
        pieces->passing += PASSING_COST;
        return true;
    }
    pieces->left--;
    dump_pieces_put_pair(pieces, out, pair.member, pair.score);
    return true;
}

/* --- streams --- */

static bool step_stream(struct dump_pieces *pieces, struct buf *out) {
    if (!dump_stream_next(&pieces->stream, out, pieces->compress)) return false;
    pieces->rest = pieces->stream.rest;
    pieces->tail[0] = (char)DUMP_NODE_END;
    pieces->tail_len = pieces->rest.len > 0;
    return true;
}

/* --- all of them --- */

bool dump_pieces_writes_table(const struct dump_pieces *pieces) {
    return pieces->step == step_table;
}

bool dump_pieces_writes_zset(const struct dump_pieces *pieces) {
    return pieces->step == step_zset;
}

bool dump_pieces_writes_list(const struct dump_pieces *pieces) {
    return pieces->step == step_list;
}

bool dump_pieces_writes_stream(const struct dump_pieces *pieces) {
    return pieces->step == step_stream && pieces->stream.part > 0;
}

/* What stands in front: how many elements follow. */
static bool step_count(struct dump_pieces *pieces, struct buf *out) {
    const struct entry *entry = pieces->entry;
    switch ((enum value_type)entry->type) {
    case TYPE_LIST:
        pieces->left = quicklist_nodes(entry_object(entry));
        pieces->step = step_list;
        break;
    case TYPE_SET:
        pieces->left = set_count(entry);
        pieces->step = step_table;
        break;
    case TYPE_ZSET:
        pieces->left = pieces->rank = zset_len(entry);
        pieces->moved = true; /* to the largest, which comes first, see dump_zset.c */
        pieces->step = step_zset;
        break;
    default: /* TYPE_HASH */
        pieces->left = hash_len(entry);
        pieces->step = entry_is_packed(entry) ? step_run : step_table;
        if (entry_is_packed(entry)) pieces->at = entry_packed(entry).begin;
        break;
    }
    dump_write_length(out, pieces->left);
    if (entry->type == TYPE_HASH) pieces->left *= 2; /* texts */
    return true;
}

void dump_pieces_begin(struct dump_pieces *pieces, const struct entry *entry, bool compress) {
    ASSERT(dump_is_large(entry));
    *pieces = (struct dump_pieces){.entry = entry, .compress = compress, .step = step_count, .left = 1};
    if (entry->type == TYPE_STRING) pieces->step = step_string;
    if (entry->type == TYPE_STREAM) {
        dump_stream_begin(&pieces->stream, entry);
        pieces->step = step_stream;
    }
    buf_init(&pieces->texts, NULL, MEM_MESSAGE); /* the heap is that of out */
}

bool dump_pieces_next(struct dump_pieces *pieces, struct buf *out, size_t bytes) {
    size_t start = out->len;
    bool between = false; /* elements of a bucket, which may not change until they are written */
    pieces->passing = 0;
    while (out->len - start + pieces->passing < bytes || between) {
        if (pieces->rest.len > 0) {
            dump_pieces_put_rest(pieces, out, bytes - (out->len - start));
        } else if (!pieces->step(pieces, out)) {
            return false;
        }
        between = pieces->store && pieces->rest.len == 0 && pieces->next < pieces->texts.len;
    }
    return true;
}

void dump_pieces_end(struct dump_pieces *pieces) {
    if (pieces->store || pieces->stream.watched) dump_pieces_unwatch(pieces);
    buf_deinit(&pieces->texts);
}
