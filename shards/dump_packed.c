/* Dump: the packed forms that RDB files hold as strings.
 *
 *      listpack   | bytes in all 4 | elements 2 | a run, as in core/packed.h | ff |
 *      ziplist    | bytes in all 4 | offset of the last element 4 | elements 2 | element ... | ff |
 *
 * all little-endian; 65535 elements or more are written as 65535. A listpack is taken over as it is, once it is known
 * to be sound. A ziplist, which Redis wrote until 7.0, is only read, and only forwards:
 *
 *      element    | size of the one before: 1, or fe and 4 | encoding | bytes |
 *      encoding   00llllll, 01llllll and 1 byte, 80 and 4 bytes    text; these lengths are big-endian
 *                 c0, d0, e0, f0, fe                               an integer of 2, 4, 8, 3 or 1 bytes
 *                 f1 .. fd                                         the integers 0 .. 12 */
#include "core/assert.h"
#include "shards/dump_priv.h"
#include <endian.h>

#define LISTPACK_HEAD 6u
#define ZIPLIST_HEAD  10u
#define END           0xffu
#define COUNT_UNKNOWN UINT16_MAX

static uint32_t read_u32(const char *at) {
    uint32_t wire;
    memcpy(&wire, at, sizeof wire);
    return le32toh(wire);
}

static uint16_t read_u16(const char *at) {
    uint16_t wire;
    memcpy(&wire, at, sizeof wire);
    return le16toh(wire);
}

/* It says its own size rightly and has its end mark. */
static bool is_framed(struct slice bytes, size_t head) {
    return bytes.len > head && bytes.len <= UINT32_MAX && read_u32(bytes.ptr) == bytes.len &&
           (unsigned char)bytes.ptr[bytes.len - 1] == END;
}

/* --- listpacks --- */

static void append_head(struct buf *out, size_t len, uint32_t elements) {
    uint32_t total = htole32((uint32_t)(LISTPACK_HEAD + len + 1));
    uint16_t count = htole16((uint16_t)MIN(elements, (uint32_t)COUNT_UNKNOWN));
    buf_append(out, &total, sizeof total);
    buf_append(out, &count, sizeof count);
}

static void append_listpack(struct buf *out, const struct packed *run) {
    size_t len = (size_t)(run->end - run->begin);
    append_head(out, len, run->count);
    buf_append(out, run->begin, len);
    dump_put_byte(out, END);
}

void dump_write_listpack_head(struct buf *out, size_t run_len, uint32_t count) {
    ASSERT(run_len <= UINT32_MAX - LISTPACK_HEAD - 1);
    dump_write_length(out, LISTPACK_HEAD + run_len + 1);
    append_head(out, run_len, count);
}

void dump_write_listpack(struct buf *out, const struct packed *run, bool compress) {
    size_t total = LISTPACK_HEAD + (size_t)(run->end - run->begin) + 1;
    ASSERT(total <= UINT32_MAX);
    if (!compress) {
        dump_write_length(out, total);
        append_listpack(out, run);
        return;
    }
    struct buf whole;
    buf_init(&whole, out->heap, out->owner);
    append_listpack(&whole, run);
    dump_write_string(out, buf_slice(&whole), true);
    buf_deinit(&whole);
}

bool dump_open_listpack(struct slice bytes, struct packed *run) {
    uint64_t count;
    if (!is_framed(bytes, LISTPACK_HEAD)) return false;
    struct slice inner = slice_of(bytes.ptr + LISTPACK_HEAD, bytes.len - LISTPACK_HEAD - 1);
    if (!packed_valid(inner, &count)) return false;
    uint16_t said = read_u16(bytes.ptr + 4);
    if (said != COUNT_UNKNOWN && said != count) return false;
    *run = (struct packed){inner.ptr, inner.ptr + inner.len, (uint32_t)count};
    return true;
}

/* --- ziplists --- */

bool dump_open_ziplist(struct slice bytes, struct ziplist_walk *walk) {
    if (!is_framed(bytes, ZIPLIST_HEAD)) return false;
    *walk = (struct ziplist_walk){.rest = slice_of(bytes.ptr + ZIPLIST_HEAD, bytes.len - ZIPLIST_HEAD - 1)};
    return true;
}

/* The little-endian integer of the next `size` bytes. */
static bool take_int(struct slice *rest, unsigned size, int64_t *number) {
    struct slice wire;
    uint64_t bits = 0;
    if (!dump_take(rest, size, &wire)) return false;
    for (unsigned i = 0; i < size; i++) bits |= (uint64_t)(unsigned char)wire.ptr[i] << (8 * i);
    *number = (int64_t)(bits << (64 - 8 * size)) >> (64 - 8 * size);
    return true;
}

static bool take_text(struct slice *rest, unsigned encoding, struct slice *text) {
    struct slice more;
    if (encoding >> 6 == 0) return dump_take(rest, encoding, text);
    if (encoding >> 6 == 1) {
        unsigned low;
        return dump_take_byte(rest, &low) && dump_take(rest, (encoding & 63) << 8 | low, text);
    }
    if (encoding != 0x80 || !dump_take(rest, 4, &more)) return false;
    uint64_t len = be32toh(htole32(read_u32(more.ptr)));
    return len <= PACKED_TEXT_MAX && dump_take(rest, len, text);
}

static bool take_element(struct slice *rest, struct packed_value *value) {
    unsigned before, encoding;
    struct slice skipped;
    if (!dump_take_byte(rest, &before) || (before == 0xfe && !dump_take(rest, 4, &skipped))) return false;
    if (before == END || !dump_take_byte(rest, &encoding)) return false;
    value->is_int = encoding >= 0xc0;
    switch (encoding) {
    case 0xc0: return take_int(rest, 2, &value->number);
    case 0xd0: return take_int(rest, 4, &value->number);
    case 0xe0: return take_int(rest, 8, &value->number);
    case 0xf0: return take_int(rest, 3, &value->number);
    case 0xfe: return take_int(rest, 1, &value->number);
    default: break;
    }
    if (encoding < 0xc0) return take_text(rest, encoding, &value->text);
    value->number = (int64_t)encoding - 0xf1;
    return encoding >= 0xf1 && encoding <= 0xfd;
}

bool dump_next_in_ziplist(struct ziplist_walk *walk, struct packed_value *value) {
    walk->sound = walk->rest.len == 0;
    return !walk->sound && take_element(&walk->rest, value);
}
