/* Segment: the format of a journal file, written and read.
 *
 *    #S sherd 1 <boot> <shard> <shards> <first batch> <durable> <db> <crc>\r\n     hexadecimal, fixed widths
 *    *2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n                                             the db of the line above
 *    #B <payload bytes> <number> <lag> <db> <crc of payload> <crc of line>\r\n     64 bytes
 *    payload: RESP commands and lines that begin with # (shards/effect.h)
 *    #B ...
 *
 * A segment is a Redis 7 append-only file: Redis and its tools skip lines that begin with #. Batches are numbered
 * without a gap, across segments too. Checksums are CRC32C and begin with the generation (boot and shard), so bytes of
 * another file, which a value may hold, are never taken for a batch of this one.
 *
 * Durable   each line says which batches were on the disk for good when it was made: those up to number - lag. That
 *           tells damage from a crash. After a power cut what was not synced may be there in any pieces, later ones
 *           without earlier ones: torn, and nobody was promised anything. But when a whole line behind a broken batch
 *           says that this batch was durable, the disk has lost what it had kept.
 * End       a segment in use ends with zeros up to the next multiple of SEGMENT_PAGE at least, and a whole such page
 *           where a batch ends at one. What follows is whatever a recycled file held: older batches, with lower
 *           numbers. A sealed segment is cut at its end.
 * Chain     where a segment ends before it was sealed, the next one says where it goes on, with its first number. It
 *           may repeat batches of the one before (after a failed sync they are written once more), and then they are
 *           the same. A gap is damage when the next header's `durable` lies behind it, else (appendfsync no) a crash.
 *
 * Threads   functions of borrowed bytes; a reader belongs to one thread at a time and blocks on its file. */
#pragma once
#include "core/buf.h"
#include "core/slice.h"
#include "core/status.h"

#define SEGMENT_PAGE 4096 /* what the journal writes is aligned to, and padded with zeros to */

struct segment_header {
    uint64_t boot;        /* of the generation */
    uint64_t first_batch; /* its first batch's number */
    uint64_t durable;     /* batches up to this one were durable when it was begun */
    uint32_t shard, shards;
    uint32_t db; /* selected where it begins */
};
struct batch_header {
    uint64_t seq;
    uint64_t durable; /* batches up to this one were; below seq. Reads as 0 when it lags more than 2^32 - 2 behind */
    uint64_t payload; /* bytes, below 2^40 */
    uint32_t db;      /* selected where it begins */
};

/* --- write --- */
#define SEGMENT_HEADER_MAX 128u
#define BATCH_LINE         64
#define BATCH_PAYLOAD_MAX  (((uint64_t)1 << 40) - 1)
size_t segment_header_write(char out[SEGMENT_HEADER_MAX], const struct segment_header *header); /* returns its length */
/* Reads it back and checks it; its length, or 0: it is none, or is not there to its end. */
size_t segment_header_read(struct slice bytes, struct segment_header *header);
uint32_t segment_seed(uint64_t boot, uint32_t shard); /* of its batches */
/* The line before payload, whose length is header->payload. O(payload). */
void batch_line_write(char out[BATCH_LINE], uint32_t seed, const struct batch_header *header, const char *payload);
/* Reads a line back; false: it is none of this generation. The payload is not looked at. */
bool batch_line_read(const char line[BATCH_LINE], uint32_t seed, struct batch_header *header, uint32_t *payload_crc);

/* --- read a file --- */
enum segment_end {
    SEGMENT_MORE,
    SEGMENT_SEALED,     /* the file ends after a whole batch */
    SEGMENT_OPEN,       /* zeros follow: a segment that was in use */
    SEGMENT_TORN,       /* what follows is not whole; nothing says that it ever was */
    SEGMENT_DAMAGED,    /* a batch behind says that the one which is broken here was durable */
    SEGMENT_UNREADABLE, /* the file cannot be read on, or there is no memory: segment_error */
};
struct segment_reader; /* reads a file in windows of 1 MiB; memory is bounded by the largest batch */

/* ST_NOT_FOUND: there is no such file, or it was prepared and nothing was written to it (then header->boot is 0 and
 * error->os_errno too). ST_INVALID: not the beginning of a segment. ST_IO, ST_NO_MEMORY. The file's first batch may
 * have a number that an earlier segment had, too. */
NODISCARD enum status segment_open(struct segment_reader **out, const char *path, struct segment_header *header,
                                   struct error *error);
/* SEGMENT_MORE: fills header and payload (borrowed until the next call); else how it ended, and again when called
 * again. The end costs a look at all bytes behind it. */
enum segment_end segment_next(struct segment_reader *reader, struct batch_header *header, struct slice *payload);
/* After TORN or DAMAGED: goes on with the next batch whose line is whole; false: there is none. */
bool segment_skip(struct segment_reader *reader);
uint64_t segment_lost(const struct segment_reader *reader);   /* whole lines of later batches behind the end */
uint64_t segment_offset(const struct segment_reader *reader); /* of the end of the last whole batch */
uint64_t segment_size(const struct segment_reader *reader);
const struct error *segment_error(const struct segment_reader *reader);
void segment_close(struct segment_reader *reader);

/* --- read a payload: commands and lines, one after the other ---
 * Hostile bytes are safe: what a count promises is compared with the bytes that are there before memory is asked for.
 * argv and what it points to are valid until the next call and as long as the payload. */
enum effect_item {
    EFFECT_END,
    EFFECT_COMMAND,     /* argv, argc: at least one argument */
    EFFECT_TRANSACTION, /* a #T line: stamp, participants */
    EFFECT_PIECE,       /* a #P line: stamp, number */
    EFFECT_PIECES_END,  /* an #E line: stamp, number */
    EFFECT_BROKEN,      /* `rest` begins with what is neither */
};
struct effect_reader {
    struct slice rest;
    struct slice *argv; /* owned, grown as needed; argc of them are valid */
    uint32_t argc, cap;
    uint64_t stamp, participants, number;
};
void effect_reader_init(struct effect_reader *reader, struct slice payload);
/* Another payload, with the memory kept. */
void effect_reader_start(struct effect_reader *reader, struct slice payload);
enum effect_item effect_reader_next(struct effect_reader *reader);
void effect_reader_deinit(struct effect_reader *reader);
