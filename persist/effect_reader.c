/* What stands in a payload. Only what the journal writes is accepted: arrays of bulk strings and lines of a letter and
 * two numbers, complete.
 *
 * A payload whose checksum is right is what the journal wrote, so this is the second line of defence, against our own
 * mistakes and whoever edits files. A length is compared with the bytes that are left before anything follows from it;
 * an argument takes at least six bytes, which bounds the memory for argv by three times the payload. */
#include "core/assert.h"
#include "persist/segment.h"

#define ARGUMENT_MIN 6 /* "$0\r\n\r\n" */
#define ARGV_FIRST   16u
#define LINE_BYTES   38 /* "#T ", 16, space, 16, CR LF */

void effect_reader_init(struct effect_reader *reader, struct slice payload) {
    *reader = (struct effect_reader){.rest = payload};
}

void effect_reader_start(struct effect_reader *reader, struct slice payload) {
    reader->rest = payload;
    reader->argc = 0;
}

void effect_reader_deinit(struct effect_reader *reader) {
    shared_free(reader->argv);
    *reader = (struct effect_reader){0};
}

/* kind, digits, CR LF; at moves behind it. */
static bool read_count(struct slice *at, char kind, uint64_t max, uint64_t *count) {
    const char *p = at->ptr, *end = at->ptr + at->len;
    if (p == end || *p != kind) return false;
    uint64_t value = 0;
    const char *digits = ++p;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (uint64_t)(*p - '0');
        if (value > max) return false; /* so it never overflows: max is at most what memory holds */
    }
    if (p == digits || end - p < 2 || p[0] != '\r' || p[1] != '\n') return false;
    *at = slice_of(p + 2, (size_t)(end - p) - 2);
    *count = value;
    return true;
}

static void make_room(struct effect_reader *reader, uint32_t count) {
    if (count <= reader->cap) return;
    uint32_t cap = MAX(count, ARGV_FIRST);
    shared_free(reader->argv);
    reader->argv = shared_alloc(cap * sizeof *reader->argv);
    ASSERT(reader->argv);
    reader->cap = cap;
}

static bool read_argument(struct slice *at, struct slice *argument) {
    uint64_t len;
    if (!read_count(at, '$', at->len, &len) || at->len < 2 || len > at->len - 2) return false;
    if (at->ptr[len] != '\r' || at->ptr[len + 1] != '\n') return false;
    *argument = slice_of(at->ptr, len);
    *at = slice_of(at->ptr + len + 2, at->len - len - 2);
    return true;
}

static enum effect_item read_command(struct effect_reader *reader) {
    struct slice at = reader->rest;
    uint64_t count;
    if (!read_count(&at, '*', MIN(at.len / ARGUMENT_MIN, UINT32_MAX), &count) || count == 0) return EFFECT_BROKEN;
    make_room(reader, (uint32_t)count);
    for (uint32_t i = 0; i < count; i++)
        if (!read_argument(&at, &reader->argv[i])) return EFFECT_BROKEN;
    reader->argc = (uint32_t)count;
    reader->rest = at;
    return EFFECT_COMMAND;
}

static bool read_hex16(const char *text, uint64_t *value) {
    *value = 0;
    for (int i = 0; i < 16; i++) {
        const char *digit = text[i] ? strchr("0123456789abcdef", text[i]) : NULL;
        if (!digit) return false;
        *value = *value << 4 | (uint64_t)(digit - "0123456789abcdef");
    }
    return true;
}

static enum effect_item read_line(struct effect_reader *reader) {
    const char *line = reader->rest.ptr;
    uint64_t second;
    if (reader->rest.len < LINE_BYTES || line[2] != ' ' || line[19] != ' ') return EFFECT_BROKEN;
    if (line[LINE_BYTES - 2] != '\r' || line[LINE_BYTES - 1] != '\n') return EFFECT_BROKEN;
    if (!read_hex16(line + 3, &reader->stamp) || !read_hex16(line + 20, &second)) return EFFECT_BROKEN;
    reader->participants = line[1] == 'T' ? second : 0;
    reader->number = line[1] == 'T' ? 0 : second;
    enum effect_item item = line[1] == 'T'   ? EFFECT_TRANSACTION
                            : line[1] == 'P' ? EFFECT_PIECE
                            : line[1] == 'E' ? EFFECT_PIECES_END
                                             : EFFECT_BROKEN;
    if (item != EFFECT_BROKEN) reader->rest = slice_of(line + LINE_BYTES, reader->rest.len - LINE_BYTES);
    return item;
}

enum effect_item effect_reader_next(struct effect_reader *reader) {
    reader->argc = 0;
    if (reader->rest.len == 0) return EFFECT_END;
    return reader->rest.ptr[0] == '#' ? read_line(reader) : read_command(reader);
}
