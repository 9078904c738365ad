/* Pieces: reading them off values, and the commands that do it; shards/building.c puts them together. */
#include "shards/piece.h"
#include "core/assert.h"
#include "core/num.h"
#include "shards/cmd_tables.h"
#include "shards/exec.h"
#include "shards/hash_value.h"
#include "shards/list.h"
#include "shards/piece_stream.h"
#include "shards/set.h"
#include "shards/shard.h"
#include "shards/work.h"

#define STRING_AT_ONCE (1024u * 1024) /* bytes */
#define STREAM_AT_ONCE (256u * 1024)  /* bytes of memory */

uint64_t piece_len(const struct entry *entry) {
    switch ((enum value_type)entry->type) {
    case TYPE_STRING: return entry_string_len(entry);
    case TYPE_SET: return set_count(entry);
    case TYPE_ZSET: return zset_len(entry);
    case TYPE_HASH: return hash_len(entry);
    case TYPE_LIST: return list_len(entry);
    case TYPE_STREAM: return piece_stream_of(entry)->length;
    default: return 0;
    }
}

uint64_t piece_timed(const struct entry *entry) {
    bool timed = entry->type == TYPE_HASH && entry->flags & ENTRY_FIELDS_TIMED;
    return timed ? fields_timed(entry_object(entry)) : 0;
}

bool piece_takes_long(const struct entry *entry) {
    if (entry->type == TYPE_STRING) return entry->encoding == ENC_EXTERNAL && piece_len(entry) > STRING_AT_ONCE;
    if (entry->encoding != ENC_OBJECT) return false;
    if (entry->type == TYPE_STREAM) return stream_bytes(entry_object(entry)) > STREAM_AT_ONCE;
    return piece_len(entry) > WORK_AT_ONCE;
}

uint8_t piece_form(const struct entry *entry) {
    switch ((enum value_type)entry->type) {
    case TYPE_SET: return set_is_intset(entry);
    case TYPE_ZSET: return zset_is_compact(entry);
    case TYPE_HASH: return (entry->flags & ENTRY_SHOWN) != 0;
    default: return 0;
    }
}

/* --- bytes --- */

void piece_add(struct buf *piece, struct slice text) {
    uint32_t len = (uint32_t)text.len;
    buf_append(piece, &len, sizeof len);
    buf_append_slice(piece, text);
}

void piece_add_score(struct buf *piece, double score) {
    buf_append(piece, &score, sizeof score);
}

void piece_take(struct slice *bytes, void *to, size_t size) {
    ASSERT(bytes->len >= size); /* another of our threads wrote it */
    memcpy(to, bytes->ptr, size);
    *bytes = slice_of(bytes->ptr + size, bytes->len - size);
}

struct slice piece_next(struct slice *piece) {
    uint32_t len;
    piece_take(piece, &len, sizeof len);
    ASSERT(piece->len >= len);
    struct slice text = slice_of(piece->ptr, len);
    *piece = slice_of(piece->ptr + len, piece->len - len);
    return text;
}

double piece_next_score(struct slice *piece) {
    double score;
    piece_take(piece, &score, sizeof score);
    return score;
}

/* --- elements of a value --- */

struct reading {
    const struct entry *entry;
    struct buf *piece;
    uint32_t count;
};

static bool read_member(void *ctx, struct slice text) {
    struct reading *reading = ctx;
    piece_add(reading->piece, text);
    reading->count++;
    return true;
}

static void read_field(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    struct reading *reading = ctx;
    char scratch[2][PACKED_SCRATCH];
    struct slice name = packed_text(field, scratch[0]);
    uint64_t deadline_ms = reading->entry->flags & ENTRY_FIELDS_TIMED ? hash_deadline(reading->entry, name) : 0;
    piece_add(reading->piece, name);
    piece_add(reading->piece, packed_text(value, scratch[1]));
    buf_append(reading->piece, &deadline_ms, sizeof deadline_ms);
    reading->count++;
}

#define STEPS 32u /* through a table, before it is asked whether the piece is long enough */

static uint64_t read_scores(const struct entry *entry, uint64_t rank, uint32_t max, struct buf *piece, size_t end) {
    struct zset_pair pair;
    struct zset_iter iter = zset_seek(entry, rank);
    for (; max && piece->len < end && zset_next(&iter, &pair); max--, rank++) {
        piece_add(piece, pair.member);
        piece_add_score(piece, pair.score);
    }
    return rank < zset_len(entry) ? rank : 0;
}

static uint64_t read_list(const struct entry *entry, uint64_t index, uint32_t max, struct buf *piece, size_t end) {
    char scratch[PACKED_SCRATCH];
    struct packed_value value;
    struct quicklist_iter iter = list_seek(entry, index);
    for (; max && piece->len < end && quicklist_next(&iter, &value); max--, index++)
        piece_add(piece, packed_text(&value, scratch));
    return index < list_len(entry) ? index : 0;
}

static uint64_t read_bytes(const struct entry *entry, uint64_t at, struct buf *piece) {
    char scratch[ENTRY_SCRATCH];
    struct slice bytes = entry_string(entry, scratch);
    uint64_t end = MIN(at + PIECE_BYTES, (uint64_t)bytes.len);
    ASSERT(at <= bytes.len);
    buf_append(piece, bytes.ptr + at, end - at);
    return end < bytes.len ? end : 0;
}

static uint64_t read_table(const struct entry *entry, uint64_t cursor, uint32_t max, struct buf *piece, size_t end) {
    struct reading reading = {.entry = entry, .piece = piece};
    uint32_t steps = 0; /* many of them may pass over empty buckets */
    do {
        if (entry->type == TYPE_SET)
            cursor = set_scan(entry, cursor, MIN(STEPS, max), read_member, &reading);
        else
            cursor = hash_scan(entry, cursor, read_field, &reading);
    } while (cursor && reading.count < max && piece->len < end && ++steps < max);
    return cursor;
}

void piece_read(const struct entry *entry, struct piece_cursor *cursor, uint32_t max, struct buf *piece) {
    size_t end = piece->len + PIECE_BYTES;
    ASSERT(max > 0);
    switch ((enum value_type)entry->type) {
    case TYPE_STRING: cursor->at = read_bytes(entry, cursor->at, piece); break;
    case TYPE_ZSET: cursor->at = read_scores(entry, cursor->at, max, piece, end); break;
    case TYPE_LIST: cursor->at = read_list(entry, cursor->at, max, piece, end); break;
    case TYPE_STREAM: piece_read_stream(piece_stream_of(entry), cursor, max, piece, end); break;
    default: cursor->at = read_table(entry, cursor->at, max, piece, end);
    }
}

void piece_ask(struct slice args[2], const struct piece_cursor *cursor, uint32_t max, char *digits) {
    args[0] = slice_of((const char *)cursor, sizeof *cursor);
    args[1] = slice_of(digits, num_format_u64(digits, max));
}

/* --- commands --- */

/* The reply is one bulk string, whose bytes are written from mark on. */
static void close_bulk(struct exec *x, size_t mark) {
    char head[RESP_HEADER_MAX];
    size_t len = resp_header(head, '$', (int64_t)(x->out->len - mark));
    buf_insert(x->out, mark, slice_of(head, len));
    buf_append_literal(x->out, "\r\n");
}

static void cmd_sizes(struct exec *x) {
    size_t mark = x->out->len;
    struct key_ref ref;
    for (uint32_t i = 1; i < x->argc; i++) {
        const struct entry *entry = exec_open_any(x, i, &ref);
        struct piece_size size = {.type = TYPE_COUNT};
        if (entry)
            size = (struct piece_size){.len = piece_len(entry), .bytes = entry_bytes(entry), .type = entry->type};
        buf_append(x->out, &size, sizeof size);
    }
    close_bulk(x, mark);
}

static void cmd_piece(struct exec *x) {
    struct key_ref ref;
    struct piece_cursor cursor;
    struct slice from = x->argv[2];
    int64_t max;
    if (!exec_int(x, 3, &max)) return;
    piece_take(&from, &cursor, sizeof cursor);
    const struct entry *entry = exec_open_any(x, 1, &ref);
    if (!entry) {
        reply_null(x);
        return;
    }
    size_t mark = x->out->len;
    buf_append(x->out, &cursor, sizeof cursor); /* its place */
    piece_read(entry, &cursor, (uint32_t)max, x->out);
    memcpy(x->out->data + mark, &cursor, sizeof cursor);
    close_bulk(x, mark);
}

static struct piece_found find(const struct entry *entry, struct slice member) {
    struct piece_found found = {.score = 1};
    if (entry && entry->type == TYPE_ZSET)
        found.is = zset_score(entry, member, &found.score);
    else if (entry)
        found.is = set_has(entry, member);
    return found;
}

static void look(struct exec *x, uint32_t count, const struct entry **entries, bool scored) {
    uint64_t present = 0;
    size_t mark = x->out->len;
    struct key_ref ref;
    for (uint32_t i = 0; i < count; i++) /* entries stay where they are when another one expires */
        present += (entries[i] = exec_open_any(x, 2 + i, &ref)) != NULL;
    buf_append(x->out, &present, sizeof present);
    for (struct slice piece = x->argv[3 + count]; piece.len;) {
        struct slice member = piece_next(&piece);
        if (scored) (void)piece_next_score(&piece);
        for (uint32_t i = 0; i < count; i++) {
            struct piece_found found = find(entries[i], member);
            buf_append(x->out, &found, sizeof found);
        }
    }
    close_bulk(x, mark);
}

/* sherd.look n key ... set|zset piece */
static void cmd_look(struct exec *x) {
    uint32_t count = x->argc - 4;
    size_t bytes = count * sizeof(const struct entry *);
    const struct entry **entries = heap_alloc(x->shard->heap, MEM_MESSAGE, bytes);
    look(x, count, entries, arg_is(x, 2 + count, "zset"));
    heap_free(x->shard->heap, MEM_MESSAGE, entries, bytes);
}

#define INTERNAL                                                                                                       \
    .flags = CMD_READ | CMD_INTERNAL, .where = ON_OWNER, .group = "generic", .since = "0.5.0",                         \
    .cost = "O(N), N = elements of a piece, for each key"

const struct command piece_commands[] = {
    {.name = "sherd.sizes",
     .arity = -2,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RO)},
     INTERNAL,
     .run = cmd_sizes,
     .args = "key [key ...]",
     .doc = "Answers types and lengths."},
    {.name = "sherd.piece",
     .arity = 4,
     .keys = {KEYS_ONE(1, KEY_RO)},
     INTERNAL,
     .run = cmd_piece,
     .args = "key cursor max",
     .doc = "Answers some elements of a value."},
    {.name = "sherd.look",
     .arity = -5,
     .keys = {{.count_at = 1, .access = KEY_RO}},
     INTERNAL,
     .run = cmd_look,
     .args = "numkeys key [key ...] <SET | ZSET> piece",
     .doc = "Answers which members of a piece values have, and with which scores."},
    {0},
};
