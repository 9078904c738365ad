/* RDB, written: the few bytes around keys; values are DUMP's affair. Format:
 * https://rdb.fnordig.de/file_format.html. */
#include "persist/rdb_write.h"
#include "core/assert.h"
#include "core/crc.h"
#include "persist/rdb_opcodes.h"
#include "shards/dump.h"
#include <endian.h>

#define JUDGED_MIN  64u /* bytes of a value: shorter ones tell little and cost little */
#define IN_VAIN_MAX 64u
#define PAUSE       1000u
#define TRIES_AGAIN 4u        /* after a pause */
#define ACCESS_MASK 0xFFFFFFu /* of an entry's clock */

static void put_byte(struct buf *out, unsigned byte) {
    *buf_reserve(out, 1) = (char)byte;
    out->len++;
}

static void put_u64(struct buf *out, uint64_t number) {
    uint64_t wire = htole64(number);
    buf_append(out, &wire, sizeof wire);
}

void rdb_write_header(struct buf *out) {
    static_assert(RDB_VERSION == 10, "as the text below says");
    buf_append_literal(out, "REDIS0010");
}

void rdb_write_aux(struct buf *out, struct slice key, struct slice value) {
    put_byte(out, RDB_OP_AUX);
    dump_write_string(out, key, false);
    dump_write_string(out, value, false);
}

void rdb_write_database(struct buf *out, uint32_t db, uint64_t keys, uint64_t timed) {
    put_byte(out, RDB_OP_SELECTDB);
    dump_write_length(out, db);
    put_byte(out, RDB_OP_RESIZEDB);
    dump_write_length(out, keys);
    dump_write_length(out, timed);
}

void rdb_write_end(struct buf *out, uint64_t crc) {
    static const unsigned char eof = RDB_OP_EOF;
    put_byte(out, eof);
    crc = crc64(crc, &eof, 1);
    put_u64(out, crc);
}

/* --- keys --- */

static void write_usage(struct buf *out, const struct entry *entry, const struct rdb_style *style) {
    switch (style->usage) {
    case RDB_USAGE_NONE: return;
    case RDB_USAGE_IDLE:
        put_byte(out, RDB_OP_IDLE);
        dump_write_length(out, (style->clock - entry->access) & ACCESS_MASK);
        return;
    case RDB_USAGE_FREQ:
        put_byte(out, RDB_OP_FREQ);
        put_byte(out, lfu_counter(entry->access, style->clock, &style->lfu));
        return;
    }
}

/* All that stands in front of the object. */
static void write_head(struct buf *out, const struct entry *entry, unsigned type, const struct rdb_style *style) {
    uint64_t deadline_ms = entry_deadline_ms(entry);
    if (deadline_ms) {
        put_byte(out, RDB_OP_EXPIRETIME_MS);
        put_u64(out, deadline_ms);
    }
    write_usage(out, entry, style);
    put_byte(out, type);
    dump_write_string(out, entry_key(entry), false);
}

bool rdb_is_large(const struct entry *entry) {
    return dump_is_large(entry);
}

/* --- is it worth it? --- */

static bool should_try(const struct rdb_style *style) {
    if (!style->compress || !style->thrift || style->thrift->pause == 0) return style->compress;
    style->thrift->pause--;
    return false;
}

/* Bytes of the one string that an entry is in a file; 0: none, or too short to say anything. */
static size_t judged_bytes(const struct entry *entry) {
    size_t bytes = 0;
    if (entry->encoding == ENC_EMBEDDED) bytes = entry->value_len;
    if (entry->encoding == ENC_EXTERNAL) bytes = entry_bigstr(entry)->len;
    return bytes >= JUDGED_MIN ? bytes : 0;
}

static void learn(struct rdb_thrift *thrift, size_t plain, size_t written) {
    if (written < plain - plain / 8) {
        thrift->in_vain = 0;
    } else if (++thrift->in_vain == IN_VAIN_MAX) {
        thrift->pause = PAUSE;
        thrift->in_vain = IN_VAIN_MAX - TRIES_AGAIN;
    }
}

void rdb_write_entry(struct buf *out, const struct entry *entry, const struct rdb_style *style) {
    write_head(out, entry, dump_type_of(entry), style);
    size_t before = out->len, plain = judged_bytes(entry);
    bool compress = plain > 0 ? should_try(style) : style->compress;
    dump_write_object(out, entry, compress);
    if (compress && plain > 0 && style->thrift) learn(style->thrift, plain, out->len - before);
}

void rdb_writer_begin(struct rdb_writer *writer, const struct entry *entry, const struct rdb_style *style) {
    size_t plain = judged_bytes(entry);
    bool judged = plain > 0 && plain <= DUMP_COMPRESS_MAX, compress = judged ? should_try(style) : style->compress;
    *writer = (struct rdb_writer){.entry = entry, .style = *style, .plain = judged && compress ? plain : 0};
    dump_pieces_begin(&writer->pieces, entry, compress);
}

bool rdb_writer_next(struct rdb_writer *writer, struct buf *out, size_t bytes) {
    if (!writer->begun) write_head(out, writer->entry, dump_pieces_type(writer->entry), &writer->style);
    writer->begun = true;
    size_t before = out->len;
    bool more = dump_pieces_next(&writer->pieces, out, bytes);
    writer->written += out->len - before;
    if (!more && writer->plain > 0 && writer->style.thrift) learn(writer->style.thrift, writer->plain, writer->written);
    return more;
}

bool rdb_writer_watch(struct rdb_writer *writer, const struct store *store, const struct hash_seed *seed,
                      struct buf *out) {
    ASSERT(writer->begun); /* how many there are was written */
    return dump_pieces_watch(&writer->pieces, store, seed, out);
}

bool rdb_writer_ready(const struct rdb_writer *writer) {
    return dump_pieces_ready(&writer->pieces);
}

bool rdb_writer_groups_may_change(const struct rdb_writer *writer) {
    return dump_pieces_groups_may_change(&writer->pieces);
}

void rdb_writer_end(struct rdb_writer *writer) {
    dump_pieces_end(&writer->pieces);
}
