/* Reading a segment: a window over the file that is moved, and grown for a batch that is larger.
 *
 *      file    | header | batch | batch | batch | ...                          | size
 *      window                   | ----------------- cap -------------- |
 *
 * What a batch's line says of itself is believed only when its checksum is right, so nothing is allocated for a length
 * that is none of ours. When the next batch is not whole, everything behind is searched once for lines of later
 * batches, which decides between torn and damaged (persist/segment.h); a candidate costs a comparison of a few bytes
 * and 64 bytes of checksum. Lines of older batches, which a recycled file is full of, count for nothing. */
#include "core/assert.h"
#include "core/crc.h"
#include "persist/segment.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW_BYTES (1u << 20)

struct segment_reader {
    int fd;
    uint64_t size;
    char *window;
    size_t cap, filled;
    uint64_t window_at; /* offset of its first byte */

    uint32_t seed;
    uint64_t offset; /* behind the last whole batch */
    uint64_t next;   /* number of the batch that has to follow */
    enum segment_end end;
    uint64_t lost;
    uint64_t later_offset, later_seq; /* the first later line behind what is broken; 0: none */
    struct error error;
};

/* --- the window --- */

static bool grow(struct segment_reader *reader, size_t cap) {
    char *window = shared_alloc(cap);
    if (!window) {
        error_set(&reader->error, ST_NO_MEMORY, 0, "no memory for %zu bytes of a segment", cap);
        return false;
    }
    if (reader->filled) memcpy(window, reader->window, reader->filled);
    shared_free(reader->window);
    reader->window = window;
    reader->cap = cap;
    return true;
}

/* Reads behind what is there until the window is full or the file ends. */
static bool fill(struct segment_reader *reader) {
    size_t want = (size_t)MIN(reader->cap, reader->size - reader->window_at);
    while (reader->filled < want) {
        uint64_t at = reader->window_at + reader->filled;
        ssize_t n = pread(reader->fd, reader->window + reader->filled, want - reader->filled, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            error_set(&reader->error, ST_IO, n < 0 ? errno : EIO, "cannot read the segment at byte %llu",
                      (unsigned long long)at);
            return false;
        }
        reader->filled += (size_t)n;
    }
    return true;
}

/* The bytes [offset, offset + len) of the file, which has them; NULL: reader->error. offset never goes back behind the
 * window's start but for segment_skip, which starts a new window. */
static const char *bytes_at(struct segment_reader *reader, uint64_t offset, size_t len) {
    ASSERT(offset + len <= reader->size);
    uint64_t have_end = reader->window_at + reader->filled;
    if (offset >= reader->window_at && offset + len <= have_end) return reader->window + (offset - reader->window_at);
    size_t keep = offset >= reader->window_at && offset < have_end ? (size_t)(have_end - offset) : 0;
    if (keep) memmove(reader->window, reader->window + (offset - reader->window_at), keep);
    reader->window_at = offset;
    reader->filled = keep;
    if (len > reader->cap && !grow(reader, len)) return NULL;
    return fill(reader) ? reader->window : NULL;
}

/* --- open and close --- */

static enum status open_file(struct segment_reader *reader, const char *path, struct error *error) {
    reader->fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts;
    if (reader->fd < 0 || fstat(reader->fd, &facts) < 0)
        return error_set(error, errno == ENOENT ? ST_NOT_FOUND : ST_IO, errno, "cannot open segment %s", path);
    if (!S_ISREG(facts.st_mode)) return error_set(error, ST_INVALID, 0, "%s is not a regular file", path);
    reader->size = (uint64_t)facts.st_size;
    posix_fadvise(reader->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return ST_OK;
}

static enum status read_header(struct segment_reader *reader, const char *path, struct segment_header *header,
                               struct error *error) {
    *header = (struct segment_header){0};
    size_t len = (size_t)MIN(reader->size, SEGMENT_HEADER_MAX);
    const char *bytes = len ? bytes_at(reader, 0, len) : NULL;
    if (len && !bytes) {
        *error = reader->error;
        return error->status;
    }
    if (len == 0 || bytes[0] == 0)
        return error_set(error, ST_NOT_FOUND, 0, "segment %s was prepared, but nothing was written to it", path);
    reader->offset = segment_header_read(slice_of(bytes, len), header);
    if (reader->offset == 0)
        return error_set(error, ST_INVALID, 0, "%s does not begin as a segment of sherd's journal (version 1) does",
                         path);
    reader->seed = segment_seed(header->boot, header->shard);
    reader->next = header->first_batch;
    return ST_OK;
}

enum status segment_open(struct segment_reader **out, const char *path, struct segment_header *header,
                         struct error *error) {
    struct segment_reader *reader = shared_alloc(sizeof *reader);
    if (!reader) return error_set(error, ST_NO_MEMORY, 0, "no memory to read segment %s", path);
    reader->fd = -1;
    enum status status = open_file(reader, path, error);
    if (status == ST_OK && !grow(reader, WINDOW_BYTES)) {
        *error = reader->error;
        status = ST_NO_MEMORY;
    }
    if (status == ST_OK) status = read_header(reader, path, header, error);
    if (status == ST_OK)
        *out = reader;
    else
        segment_close(reader);
    return status;
}

void segment_close(struct segment_reader *reader) {
    if (reader->fd >= 0) close(reader->fd);
    shared_free(reader->window);
    shared_free(reader);
}

/* --- how it ends --- */

/* One later line: it counts, and may prove that the batch which is broken was whole once. */
static void note_later(struct segment_reader *reader, uint64_t offset, const struct batch_header *header) {
    if (reader->lost++ == 0) {
        reader->later_offset = offset;
        reader->later_seq = header->seq;
    }
    if (header->durable >= reader->next) reader->end = SEGMENT_DAMAGED;
}

static void search_window(struct segment_reader *reader, uint64_t offset, const char *bytes, size_t len) {
    const char *at = bytes, *last = bytes + len - BATCH_LINE;
    while (at <= last && (at = memchr(at, '#', (size_t)(last - at) + 1))) {
        struct batch_header header;
        uint32_t crc;
        if (batch_line_read(at, reader->seed, &header, &crc) && header.seq > reader->next)
            note_later(reader, offset + (uint64_t)(at - bytes), &header);
        at++;
    }
}

/* O(bytes behind the end). False: the file cannot be read. */
static bool search_later(struct segment_reader *reader) {
    reader->lost = reader->later_offset = 0;
    for (uint64_t at = reader->offset; at + BATCH_LINE <= reader->size; at += WINDOW_BYTES - BATCH_LINE + 1) {
        size_t len = (size_t)MIN(WINDOW_BYTES, reader->size - at);
        const char *bytes = bytes_at(reader, at, len);
        if (!bytes) return false;
        search_window(reader, at, bytes, len);
    }
    return true;
}

/* Are there zeros up to a multiple of a page, and at least one? -1: the file cannot be read. */
static int zeros_follow(struct segment_reader *reader) {
    uint64_t page_end = reader->offset / SEGMENT_PAGE * SEGMENT_PAGE + SEGMENT_PAGE;
    size_t len = (size_t)(MIN(page_end, reader->size) - reader->offset);
    const char *bytes = bytes_at(reader, reader->offset, len);
    if (!bytes) return -1;
    for (size_t i = 0; i < len; i++)
        if (bytes[i]) return 0;
    return 1;
}

static enum segment_end find_end(struct segment_reader *reader) {
    if (reader->offset == reader->size) return reader->end = SEGMENT_SEALED;
    int zeros = zeros_follow(reader);
    if (zeros < 0 || !search_later(reader)) return reader->end = SEGMENT_UNREADABLE;
    if (reader->end == SEGMENT_DAMAGED) return SEGMENT_DAMAGED;
    return reader->end = zeros && reader->lost == 0 ? SEGMENT_OPEN : SEGMENT_TORN;
}

/* --- batch by batch --- */

enum segment_end segment_next(struct segment_reader *reader, struct batch_header *header, struct slice *payload) {
    if (reader->end != SEGMENT_MORE) return reader->end;
    if (reader->size - reader->offset < BATCH_LINE) return find_end(reader);
    const char *line = bytes_at(reader, reader->offset, BATCH_LINE);
    if (!line) return reader->end = SEGMENT_UNREADABLE;
    uint32_t crc;
    if (!batch_line_read(line, reader->seed, header, &crc) || header->seq != reader->next) return find_end(reader);
    if (header->payload > reader->size - reader->offset - BATCH_LINE) return find_end(reader);
    line = bytes_at(reader, reader->offset, BATCH_LINE + header->payload);
    if (!line) return reader->end = SEGMENT_UNREADABLE;
    *payload = slice_of(line + BATCH_LINE, header->payload);
    if (crc32c(reader->seed, payload->ptr, payload->len) != crc) return find_end(reader);
    reader->offset += BATCH_LINE + header->payload;
    reader->next++;
    return SEGMENT_MORE;
}

bool segment_skip(struct segment_reader *reader) {
    if ((reader->end != SEGMENT_TORN && reader->end != SEGMENT_DAMAGED) || reader->lost == 0) return false;
    ASSERT(reader->later_offset > reader->offset);
    reader->offset = reader->later_offset;
    reader->next = reader->later_seq;
    reader->end = SEGMENT_MORE;
    return true;
}

uint64_t segment_lost(const struct segment_reader *reader) {
    return reader->lost;
}

uint64_t segment_offset(const struct segment_reader *reader) {
    return reader->offset;
}

uint64_t segment_size(const struct segment_reader *reader) {
    return reader->size;
}

const struct error *segment_error(const struct segment_reader *reader) {
    return &reader->error;
}
