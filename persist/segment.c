/* The lines of a segment.
 *
 * All fields are lower-case hexadecimal of fixed width, so a line is read by comparing its fixed bytes and turning the
 * rest into numbers; no length is looked for. What reads a line accepts exactly what writes it, byte for byte.
 *
 * A batch has two checksums. The line's own makes its length and number worth believing before the payload is there: a
 * broken length asks for no memory, and a search for later batches costs one pass over the file. It covers the
 * payload's, and both begin with the seed of the generation. The SELECT behind the header is for Redis; the header's
 * db, which the checksum covers, says how it must read. */
#include "persist/segment.h"
#include "core/assert.h"
#include "core/crc.h"
#include <stdio.h>

#define HEADER_TEXT "#S sherd 1 " /* 1: the version of the format */
#define HEADER_LINE 87
#define LAG_UNKNOWN 0xffffffffu

static size_t write_select(char *out, size_t size, uint32_t db) {
    char digits[16];
    int count = snprintf(digits, sizeof digits, "%u", db);
    return (size_t)snprintf(out, size, "*2\r\n$6\r\nSELECT\r\n$%d\r\n%s\r\n", count, digits);
}

static void write_hex(char *out, unsigned digits, uint64_t value) {
    for (unsigned i = digits; i-- > 0; value >>= 4) out[i] = "0123456789abcdef"[value & 15];
    ASSERT(value == 0);
}

/* Moves *at behind the field and the byte that has to follow it. */
static bool read_hex(const char **at, unsigned digits, char then, uint64_t *value) {
    const char *text = *at;
    *value = 0;
    for (unsigned i = 0; i < digits; i++) {
        unsigned digit = (unsigned char)text[i];
        if (digit >= '0' && digit <= '9')
            digit -= '0';
        else if (digit >= 'a' && digit <= 'f')
            digit -= 'a' - 10;
        else
            return false;
        *value = *value << 4 | digit;
    }
    *at = text + digits + 1;
    return text[digits] == then;
}

static bool read_hex32(const char **at, unsigned digits, char then, uint32_t *value) {
    uint64_t wide;
    bool ok = read_hex(at, digits, then, &wide);
    *value = (uint32_t)wide;
    return ok;
}

/* --- the segment's header --- */

size_t segment_header_write(char out[SEGMENT_HEADER_MAX], const struct segment_header *header) {
    ASSERT(header->shard < header->shards && header->shards <= SHARDS_MAX && header->db <= UINT16_MAX);
    int len = snprintf(out, SEGMENT_HEADER_MAX, HEADER_TEXT "%016llx %04x %04x %016llx %016llx %04x ",
                       (unsigned long long)header->boot, header->shard, header->shards,
                       (unsigned long long)header->first_batch, (unsigned long long)header->durable, header->db);
    ASSERT(len == HEADER_LINE - 10);
    write_hex(out + len, 8, crc32c(0, out, (size_t)len));
    memcpy(out + HEADER_LINE - 2, "\r\n", 2);
    return HEADER_LINE + write_select(out + HEADER_LINE, SEGMENT_HEADER_MAX - HEADER_LINE, header->db);
}

size_t segment_header_read(struct slice bytes, struct segment_header *header) {
    const char *at = bytes.ptr;
    if (bytes.len < HEADER_LINE || memcmp(at, HEADER_TEXT, sizeof HEADER_TEXT - 1) != 0) return 0;
    at += sizeof HEADER_TEXT - 1;
    uint32_t crc;
    bool ok = read_hex(&at, 16, ' ', &header->boot) && read_hex32(&at, 4, ' ', &header->shard) &&
              read_hex32(&at, 4, ' ', &header->shards) && read_hex(&at, 16, ' ', &header->first_batch) &&
              read_hex(&at, 16, ' ', &header->durable) && read_hex32(&at, 4, ' ', &header->db) &&
              read_hex32(&at, 8, '\r', &crc) && *at == '\n';
    if (!ok || crc != crc32c(0, bytes.ptr, HEADER_LINE - 10)) return 0;
    if (header->shards > SHARDS_MAX || header->shard >= header->shards) return 0;
    char select[SEGMENT_HEADER_MAX];
    size_t len = write_select(select, sizeof select, header->db);
    if (bytes.len - HEADER_LINE < len || memcmp(bytes.ptr + HEADER_LINE, select, len) != 0) return 0;
    return HEADER_LINE + len;
}

/* --- a batch's line --- */

uint32_t segment_seed(uint64_t boot, uint32_t shard) {
    char text[24];
    write_hex(text, 16, boot);
    write_hex(text + 16, 8, shard);
    return crc32c(0, text, sizeof text);
}

static uint32_t lag_of(const struct batch_header *header) {
    ASSERT(header->durable < header->seq);
    uint64_t lag = header->seq - header->durable;
    return lag < LAG_UNKNOWN ? (uint32_t)lag : LAG_UNKNOWN;
}

static uint32_t line_crc(const char line[BATCH_LINE], uint32_t seed) {
    return crc32c(seed, line, BATCH_LINE - 10);
}

/* "#B " 3, payload 10, number 16, lag 8, db 4, two checksums of 8, five spaces, CR LF: 64. */
static_assert(3 + 10 + 16 + 8 + 4 + 8 + 8 + 5 + 2 == BATCH_LINE, "the line as it is drawn in the header");

void batch_line_write(char out[BATCH_LINE], uint32_t seed, const struct batch_header *header, const char *payload) {
    ASSERT(header->payload > 0 && header->payload <= BATCH_PAYLOAD_MAX);
    memset(out, ' ', BATCH_LINE);
    memcpy(out, "#B", 2);
    write_hex(out + 3, 10, header->payload);
    write_hex(out + 14, 16, header->seq);
    write_hex(out + 31, 8, lag_of(header));
    write_hex(out + 40, 4, header->db);
    write_hex(out + 45, 8, crc32c(seed, payload, header->payload));
    write_hex(out + 54, 8, line_crc(out, seed));
    memcpy(out + BATCH_LINE - 2, "\r\n", 2);
}

bool batch_line_read(const char line[BATCH_LINE], uint32_t seed, struct batch_header *header, uint32_t *payload_crc) {
    if (memcmp(line, "#B ", 3) != 0) return false;
    const char *at = line + 3;
    uint32_t lag, crc;
    bool ok = read_hex(&at, 10, ' ', &header->payload) && read_hex(&at, 16, ' ', &header->seq) &&
              read_hex32(&at, 8, ' ', &lag) && read_hex32(&at, 4, ' ', &header->db) &&
              read_hex32(&at, 8, ' ', payload_crc) && read_hex32(&at, 8, '\r', &crc) && *at == '\n';
    if (!ok || crc != line_crc(line, seed)) return false;
    if (header->payload == 0 || lag == 0 || (lag != LAG_UNKNOWN && lag > header->seq)) return false;
    header->durable = lag == LAG_UNKNOWN ? 0 : header->seq - lag;
    return true;
}
