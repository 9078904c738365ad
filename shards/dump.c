/* Dump: footer, types, and RDB's encoding of a string, both ways.
 *
 * A length starts with two bits that say how it goes on:
 *
 *      00xxxxxx                       6 bits
 *      01xxxxxx xxxxxxxx              14 bits
 *      10000000 and 4 bytes           32 bits, big-endian
 *      10000001 and 8 bytes           64 bits, big-endian
 *      11xxxxxx                       no length: one of the encodings below
 *
 *      c0, c1, c2                     an integer of 1, 2, 4 bytes, little-endian; the string is its text
 *      c3 packed_len len bytes        LZF
 *
 * Format: rdb.c of Redis, also https://rdb.fnordig.de/file_format.html. */
#include "core/assert.h"
#include "core/crc.h"
#include "core/num.h"
#include "shards/dump_priv.h"
#include "shards/set.h"
#include "shards/zset.h"
#include <endian.h>
#include <liblzf/lzf.h>

enum { LEN_6 = 0x00, LEN_14 = 0x40, LEN_32 = 0x80, LEN_64 = 0x81, LEN_SPECIAL = 0xc0, LEN_KIND = 0xc0 };
enum { ENC_I8 = 0xc0, ENC_I16 = 0xc1, ENC_I32 = 0xc2, ENC_LZF = 0xc3 };

#define INT_TEXT_MAX  11u /* "-2147483648": longer text is no 32-bit integer */
#define COMPRESS_MIN  20u /* Redis: what is not longer stays plain */
#define COMPRESS_GAIN 4u  /* bytes that compression must save */
/* The densest code of LZF is a back-reference: 3 bytes for up to 264. */
#define LZF_RATIO_MAX 88u
/* Compressing costs more than the copy, so a large value must first show on a sample that it pays. */
#define PROBE_FROM  (256u * 1024)
#define PROBE_BYTES (16u * 1024)

/* --- writing --- */

void dump_put_byte(struct buf *out, unsigned byte) {
    *buf_reserve(out, 1) = (char)byte;
    out->len++;
}

void dump_write_length(struct buf *out, uint64_t len) {
    if (len < 1u << 6) {
        dump_put_byte(out, LEN_6 | (unsigned)len);
    } else if (len < 1u << 14) {
        dump_put_byte(out, LEN_14 | (unsigned)(len >> 8));
        dump_put_byte(out, (unsigned)(len & 255));
    } else if (len <= UINT32_MAX) {
        uint32_t wire = htobe32((uint32_t)len);
        dump_put_byte(out, LEN_32);
        buf_append(out, &wire, 4);
    } else {
        uint64_t wire = htobe64(len);
        dump_put_byte(out, LEN_64);
        buf_append(out, &wire, 8);
    }
}

/* False: needs more than 32 bits. */
static bool write_int(struct buf *out, int64_t value) {
    if (value < INT32_MIN || value > INT32_MAX) return false;
    bool one = value >= INT8_MIN && value <= INT8_MAX, two = value >= INT16_MIN && value <= INT16_MAX;
    uint32_t wire = htole32((uint32_t)(int32_t)value);
    dump_put_byte(out, one ? ENC_I8 : two ? ENC_I16 : ENC_I32);
    buf_append(out, &wire, one ? 1 : two ? 2 : 4);
    return true;
}

/* The first bytes of a large value compress by an eighth at least. */
static bool worth_compressing(struct slice bytes) {
    if (bytes.len < PROBE_FROM) return true;
    char probe[PROBE_BYTES];
    return lzf_compress(bytes.ptr, PROBE_BYTES, probe, PROBE_BYTES - PROBE_BYTES / 8) != 0;
}

/* False, and nothing written, when it would save too little. */
static bool write_compressed(struct buf *out, struct slice bytes) {
    if (bytes.len <= COMPRESS_MIN || bytes.len > DUMP_STRING_MAX || !worth_compressing(bytes)) return false;
    size_t start = out->len, room = bytes.len - COMPRESS_GAIN;
    /* The packed length stands in front and is not known yet. Reserve the longest head and close the gap afterwards. */
    const size_t head_max = 1 + 5 + 5;
    if (!buf_try_reserve(out, head_max + room)) return false;
    unsigned packed = lzf_compress(bytes.ptr, (unsigned)bytes.len, out->data + start + head_max, (unsigned)room);
    if (packed == 0) return false;
    dump_put_byte(out, ENC_LZF);
    dump_write_length(out, packed);
    dump_write_length(out, bytes.len);
    memmove(out->data + out->len, out->data + start + head_max, packed);
    out->len += packed;
    return true;
}

void dump_write_string(struct buf *out, struct slice bytes, bool compress) {
    int64_t number;
    if (bytes.len <= INT_TEXT_MAX && num_parse_i64(bytes, &number) && write_int(out, number)) return;
    if (compress && write_compressed(out, bytes)) return;
    dump_write_length(out, bytes.len);
    buf_append_slice(out, bytes);
}

static void write_string_object(struct buf *out, const struct entry *entry, bool compress) {
    char scratch[ENTRY_SCRATCH];
    dump_write_string(out, entry_string(entry, scratch), compress);
}

unsigned dump_type_of(const struct entry *entry) {
    switch ((enum value_type)entry->type) {
    case TYPE_STRING: return RDB_STRING;
    case TYPE_LIST: return RDB_LIST_QUICKLIST_2;
    case TYPE_SET: return set_is_intset(entry) ? RDB_SET_INTSET : RDB_SET;
    case TYPE_HASH:
        if (entry->flags & ENTRY_FIELDS_TIMED) return RDB_HASH_TIMED;
        return entry->flags & ENTRY_LARGE ? RDB_HASH : RDB_HASH_LISTPACK;
    case TYPE_STREAM: return RDB_STREAM_2;
    case TYPE_ZSET:
    case TYPE_COUNT: break;
    }
    ASSERT(entry->type == TYPE_ZSET);
    return zset_is_compact(entry) ? RDB_ZSET_LISTPACK : RDB_ZSET_2;
}

void dump_write_object(struct buf *out, const struct entry *entry, bool compress) {
    typedef void (*writer)(struct buf * out, const struct entry *entry, bool compress);
    static const writer writers[TYPE_COUNT] = {[TYPE_STRING] = write_string_object,
                                               [TYPE_LIST] = dump_write_list,
                                               [TYPE_SET] = dump_write_set,
                                               [TYPE_HASH] = dump_write_hash,
                                               [TYPE_ZSET] = dump_write_zset,
                                               [TYPE_STREAM] = dump_write_stream};
    ASSERT(writers[entry->type]);
    writers[entry->type](out, entry, compress);
}

void dump_write_body(struct buf *out, const struct entry *entry, bool compress) {
    dump_put_byte(out, dump_type_of(entry));
    dump_write_object(out, entry, compress);
}

void dump_write(struct buf *out, const struct entry *entry) {
    size_t start = out->len;
    dump_write_body(out, entry, true);
    uint16_t version = htole16(DUMP_VERSION);
    buf_append(out, &version, sizeof version);
    uint64_t crc = htole64(crc64(0, out->data + start, out->len - start));
    buf_append(out, &crc, sizeof crc);
}

/* --- reading --- */

uint64_t dump_expected(uint64_t said, const struct slice *rest, size_t least) {
    return MIN(said, (uint64_t)(rest->len / least));
}

/* The next len bytes; the one place where input is consumed. */
bool dump_take(struct slice *rest, uint64_t len, struct slice *bytes) {
    if (len > rest->len) return false;
    *bytes = slice_of(rest->ptr, len);
    *rest = slice_of(rest->ptr + len, rest->len - len);
    return true;
}

bool dump_take_byte(struct slice *rest, unsigned *byte) {
    struct slice one;
    if (!dump_take(rest, 1, &one)) return false;
    *byte = (unsigned char)one.ptr[0];
    return true;
}

bool dump_footer_fits(struct slice payload) {
    if (payload.len < DUMP_FOOTER) return false;
    const char *footer = payload.ptr + payload.len - DUMP_FOOTER;
    uint16_t version;
    uint64_t crc;
    memcpy(&version, footer, sizeof version);
    memcpy(&crc, footer + sizeof version, sizeof crc);
    return le16toh(version) <= DUMP_VERSION_MAX && le64toh(crc) == crc64(0, payload.ptr, payload.len - sizeof crc);
}

/* The length whose first byte is `first`. */
static bool read_length_after(struct slice *rest, unsigned first, uint64_t *len) {
    struct slice more;
    if ((first & LEN_KIND) == LEN_6) {
        *len = first & 63;
        return true;
    }
    if ((first & LEN_KIND) == LEN_14) {
        unsigned low;
        if (!dump_take_byte(rest, &low)) return false;
        *len = (first & 63) << 8 | low;
        return true;
    }
    if (first == LEN_32 && dump_take(rest, 4, &more)) {
        uint32_t wire;
        memcpy(&wire, more.ptr, sizeof wire);
        *len = be32toh(wire);
        return true;
    }
    if (first == LEN_64 && dump_take(rest, 8, &more)) {
        uint64_t wire;
        memcpy(&wire, more.ptr, sizeof wire);
        *len = be64toh(wire);
        return true;
    }
    return false;
}

bool dump_read_length(struct slice *rest, uint64_t *len) {
    unsigned first;
    return dump_take_byte(rest, &first) && read_length_after(rest, first, len);
}

static bool read_int(struct slice *rest, unsigned encoding, struct buf *scratch, struct slice *value) {
    struct slice wire;
    size_t size = encoding == ENC_I8 ? 1 : encoding == ENC_I16 ? 2 : 4;
    if (!dump_take(rest, size, &wire)) return false;
    uint32_t bits = 0;
    for (size_t i = 0; i < size; i++) bits |= (uint32_t)(unsigned char)wire.ptr[i] << (8 * i);
    int64_t number = size == 1 ? (int8_t)bits : size == 2 ? (int16_t)bits : (int32_t)bits;
    char *text = buf_reserve(scratch, NUM_I64_MAX);
    *value = slice_of(text, num_format_i64(text, number));
    return true;
}

static bool read_compressed(struct slice *rest, struct buf *scratch, struct slice *value) {
    uint64_t packed_len, len;
    struct slice packed;
    if (!dump_read_length(rest, &packed_len) || !dump_read_length(rest, &len) ||
        !dump_take(rest, packed_len, &packed)) {
        return false;
    }
    /* lzf_decompress reads a byte before it looks at the length, so an empty input must not get there. */
    if (packed.len == 0 || packed.len > DUMP_STRING_MAX) return false;
    if (len > DUMP_STRING_MAX || len > packed.len * LZF_RATIO_MAX) return false;
    if (!buf_try_reserve(scratch, len + 1)) return false; /* one more, so that len 0 has an address too */
    if (lzf_decompress(packed.ptr, (unsigned)packed.len, scratch->data, (unsigned)len) != len) return false;
    *value = slice_of(scratch->data, len);
    return true;
}

int dump_string_special(unsigned first) {
    switch (first) {
    case ENC_I8: return 1;
    case ENC_I16: return 2;
    case ENC_I32: return 4;
    case ENC_LZF: return DUMP_STRING_LZF;
    default: return DUMP_STRING_PLAIN;
    }
}

bool dump_read_string(struct slice *rest, struct buf *scratch, struct slice *value) {
    scratch->len = scratch->read = 0;
    unsigned first;
    uint64_t len;
    if (!dump_take_byte(rest, &first)) return false;
    switch (first) {
    case ENC_I8:
    case ENC_I16:
    case ENC_I32: return read_int(rest, first, scratch, value);
    case ENC_LZF: return read_compressed(rest, scratch, value);
    default: return read_length_after(rest, first, &len) && len <= DUMP_STRING_MAX && dump_take(rest, len, value);
    }
}

static struct entry *read_string_object(struct slice *rest, const struct dump_target *target) {
    struct slice value;
    if (!dump_read_string(rest, target->scratch, &value)) return NULL;
    return entry_new_string(target->store, target->key, value, target->deadline_ms, target->allow_int);
}

struct entry *dump_read_object(unsigned type, struct slice *rest, const struct dump_target *target) {
    static const struct {
        enum rdb_type type;
        dump_reader read;
    } readers[] = {
        {RDB_STRING, read_string_object},
        {RDB_LIST, dump_read_list},
        {RDB_HASH, dump_read_hash},
        {RDB_HASH_ZIPMAP, dump_read_hash_zipmap},
        {RDB_LIST_ZIPLIST, dump_read_list_ziplist},
        {RDB_HASH_ZIPLIST, dump_read_hash_ziplist},
        {RDB_LIST_QUICKLIST, dump_read_list_quicklist},
        {RDB_HASH_LISTPACK, dump_read_hash_listpack},
        {RDB_ZSET, dump_read_zset},
        {RDB_ZSET_2, dump_read_zset_2},
        {RDB_ZSET_ZIPLIST, dump_read_zset_ziplist},
        {RDB_ZSET_LISTPACK, dump_read_zset_listpack},
        {RDB_LIST_QUICKLIST_2, dump_read_list_quicklist_2},
        {RDB_SET, dump_read_set},
        {RDB_SET_INTSET, dump_read_set_intset},
        {RDB_SET_LISTPACK, dump_read_set_listpack},
        {RDB_HASH_TIMED_OLD, dump_read_hash_timed_old},
        {RDB_HASH_LISTPACK_TIMED_OLD, dump_read_hash_listpack_timed_old},
        {RDB_HASH_TIMED, dump_read_hash_timed},
        {RDB_HASH_LISTPACK_TIMED, dump_read_hash_listpack_timed},
        {RDB_STREAM, dump_read_stream},
        {RDB_STREAM_2, dump_read_stream_2},
        {RDB_STREAM_3, dump_read_stream_3},
    };
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        if (readers[i].type == type) return readers[i].read(rest, target);
    return NULL;
}

struct entry *dump_read_entry(struct slice *rest, const struct dump_target *target) {
    unsigned type;
    return dump_take_byte(rest, &type) ? dump_read_object(type, rest, target) : NULL;
}
